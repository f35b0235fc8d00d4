#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# TIMEOUT: 1800
# DISK: 512M
#
# What test_nvme_02 does, with eight times as much.

VOLUME=8 exec "$(dirname "$0")/../tests/test_nvme_02.sh"
