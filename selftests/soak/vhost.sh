#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# TIMEOUT: 3600
#
# What test_vhost_03 does to disks of vhost-user back ends, more often.

KILLS=50 HELPER_KILLS=20 HANDOVERS=50 IDLE_KILLS=20 DEPTH_KILLS=20 \
	exec "$(dirname "$0")/../tests/test_vhost_03.sh"
