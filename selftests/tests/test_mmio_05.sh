#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Accesses from softirqs and hard interrupts, which find the CPU doing anything.
# SMP: 4

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/vfiouser.sh"
. "$(dirname "$0")/../lib/testdev.sh"

testdev_attach
for case in interrupt-writes interrupt-reads; do
	testdev_case $case
done
testdev_detach

ktap_end
