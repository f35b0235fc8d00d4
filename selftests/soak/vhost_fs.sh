#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# TIMEOUT: 1800
#
# What test_vhost_02 does, with virtiofsd killed more often.

FS_KILLS=20 exec "$(dirname "$0")/../tests/test_vhost_02.sh"
