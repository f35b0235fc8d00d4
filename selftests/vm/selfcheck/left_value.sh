#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# EXPECT: 2 1 0 not ok left behind: value /proc/sys/kernel/panic_on_oops:0

. /selftests/lib/ktap.sh

ktap_plan 1
echo 0 >/proc/sys/kernel/panic_on_oops
ktap_pass "one"
ktap_end
