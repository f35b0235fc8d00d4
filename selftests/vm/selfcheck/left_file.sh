#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# EXPECT: 2 1 0 not ok left behind: /tmp/nobody-cleans-up

. /selftests/lib/ktap.sh

ktap_plan 1
touch /tmp/nobody-cleans-up
ktap_pass "one"
ktap_end
