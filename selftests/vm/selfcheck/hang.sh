#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# EXPECT: 2 1 0 not ok the watchdog ended the VM
# TIMEOUT: 15

. /selftests/lib/ktap.sh

ktap_plan 1
ktap_pass "one"
sleep 1000
