#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# EXPECT: 2 0 0 a warning that was announced

. /selftests/lib/ktap.sh
. /selftests/lib/vfiouser.sh

ktap_plan 1
dmesg_allow 'WARNING: .*fs/nowhere'
echo "WARNING: CPU: 0 PID: 1 at fs/nowhere.c:1" >/dev/kmsg
ktap_pass "one"
ktap_end
