#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# EXPECT: 2 1 0 not ok 2 a test that must fail

. /selftests/lib/ktap.sh

ktap_pass "one"
ktap_run "a test that must fail" false
ktap_end
