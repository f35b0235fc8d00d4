#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# EXPECT: 1 2 0 not ok the VM ended before the test did

. /selftests/lib/ktap.sh

ktap_plan 1
ktap_pass "one"
echo c >/proc/sysrq-trigger
