#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# EXPECT: 2 1 0 not ok left behind: process

. /selftests/lib/ktap.sh

ktap_plan 1
setsid sleep 1000 >/dev/null 2>&1 &
ktap_pass "one"
ktap_end
