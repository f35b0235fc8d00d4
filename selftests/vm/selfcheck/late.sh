#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# EXPECT: 1 1 0 not ok dmesg clean

. /selftests/lib/ktap.sh

# a warning after the test's own end, while process 1 puts things in order
ktap_plan 1
(sleep 1; echo "WARNING: CPU: 0 PID: 1 at fs/nowhere.c:1" >/dev/kmsg) >/dev/null 2>&1 </dev/null &
ktap_pass "one"
ktap_end
