#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Writes from softirqs and hard interrupts, which find the CPU doing anything. (Reads of a driver's
# own timers and IPIs may find it doing what the answer depends on: the module's case
# interrupt-reads, which is no promise and so no test; reads in handlers of the device are in
# test_irq_03.)
# SMP: 4

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/vfiouser.sh"
. "$(dirname "$0")/../lib/testdev.sh"

testdev_attach
testdev_case interrupt-writes
testdev_detach

ktap_end
