#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Accesses from softirqs and hard interrupts, which find the CPU doing anything, and from NMIs. Writes are
# never waited for. Reads of a driver's own timers and IPIs may find the CPU doing what the answer depends on,
# which is no promise: here helper and server are on other CPUs. (Reads in handlers of the device are in
# test_irq_03.)
# SMP: 4
# PARALLEL: yes

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/vfiouser.sh"
. "$(dirname "$0")/../lib/testdev.sh"

# pin MASK PID: all threads of a process
pin()
{
	local task

	for task in "/proc/$2/task/"*; do
		busybox taskset -p "$1" "${task##*/}" || return 1
	done
}

testdev_attach
testdev_case interrupt-writes
testdev_case nmi
ktap_run "the server's CPUs" pin c "$SERVER_PID"
ktap_run "the helper's CPUs" pin c "$(helper_pid)"
busybox taskset -p 1 $$ >/dev/null
testdev_case interrupt-reads
testdev_detach

ktap_end
