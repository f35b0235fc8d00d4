#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# EXPECT: 1 1 0 not ok dmesg clean

. /selftests/lib/ktap.sh

ktap_plan 1
echo "WARNING: CPU: 0 PID: 1 at fs/nowhere.c:1" >/dev/kmsg
ktap_pass "one"
ktap_end
