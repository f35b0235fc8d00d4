#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# EXPECT: 2 1 0 not ok left behind: mount /mnt, tmpfs

. /selftests/lib/ktap.sh

ktap_plan 1
mount -t tmpfs tmpfs /mnt
ktap_pass "one"
ktap_end
