#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Single instructions on trapped memory, compared with the same on ordinary memory; those that are probed,
# single-stepped or behind a jump, and those that may fail.
# TIMEOUT: 600

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/vfiouser.sh"
. "$(dirname "$0")/../lib/testdev.sh"

testdev_attach
testdev_case insn
testdev_case strings
testdev_case fixups
optimization=/proc/sys/debug/kprobes-optimization
for jumps in 0 1; do
	echo $jumps >$optimization
	testdev_case probed $jumps
done
testdev_case probe-asleep
testdev_detach

ktap_end
