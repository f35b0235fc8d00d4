#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# EXPECT: 2 1 0 not ok exit status 7

. /selftests/lib/ktap.sh

ktap_plan 1
ktap_pass "one"
exit 7
