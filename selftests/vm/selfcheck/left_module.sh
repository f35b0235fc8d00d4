#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# EXPECT: 2 1 0 not ok left behind: module loop

. /selftests/lib/ktap.sh

# a module that somebody uses, and so its device; one that nobody uses goes by itself
ktap_plan 1
modprobe ext4
modprobe loop
busybox losetup /dev/loop0 /selftests/lib/ktap.sh
ktap_pass "one"
ktap_end
