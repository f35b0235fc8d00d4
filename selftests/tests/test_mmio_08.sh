#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# PARALLEL: yes
#
# A read with interrupts off on a CPU that has nothing to run: to the other one it looks idle still, which
# wakes the server there.

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/vfiouser.sh"
. "$(dirname "$0")/../lib/testdev.sh"

testdev_attach
busybox taskset -p 2 "$(helper_pid)" >/dev/null
testdev_case registers-idle 5
reads=$(sed -n 's/^# idle \([0-9]*\) reads.*/\1/p' "$VFT/result")
[ "${reads:-0}" -gt 0 ]
ktap_ok $? "there were some"
testdev_detach

ktap_end
