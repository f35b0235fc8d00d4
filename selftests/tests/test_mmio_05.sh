#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Where everybody is bound to one CPU: a driver that cannot sleep there gets its answers, and helper and
# server may run afterwards where they might before. Accesses from softirqs and hard interrupts, which find the CPU doing anything, and from NMIs. Writes are
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

# bound MASK PID...: only there may the threads of these processes run
bound()
{
	local mask=$1 pid task

	shift
	for pid; do
		for task in "/proc/$pid/task/"*; do
			[ "$(busybox taskset -p "${task##*/}")" = "pid ${task##*/}'s current affinity mask: $mask" ] ||
				return 1
		done
	done
}

testdev_attach
ktap_run "one CPU: the server's" pin 2 "$SERVER_PID"
ktap_run "one CPU: the helper's" pin 2 "$(helper_pid)"
busybox taskset -p 2 $$ >/dev/null
testdev_case contexts
busybox taskset -p f $$ >/dev/null
wait_for 10 bound 2 "$SERVER_PID" "$(helper_pid)"
ktap_ok $? "one CPU: their choice is what it was"
ktap_run "every CPU: the server's" pin f "$SERVER_PID"
ktap_run "every CPU: the helper's" pin f "$(helper_pid)"

testdev_case interrupt-writes
testdev_case nmi
ktap_run "the server's CPUs" pin c "$SERVER_PID"
ktap_run "the helper's CPUs" pin c "$(helper_pid)"
busybox taskset -p 1 $$ >/dev/null
testdev_case interrupt-reads
testdev_detach

ktap_end
