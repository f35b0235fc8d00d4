#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Where everybody is bound to one CPU: a driver that cannot sleep there gets its answers, and helper and
# server may run afterwards where they might before. Where they have other CPUs, a slow answer moves nobody.
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
stop_server

# A server that takes its time, on CPUs of its own: neither it nor the helper is sent elsewhere.
. "$(dirname "$0")/../lib/iofd.sh"
ATTACH_OPTIONS='--no-direct --inject=delay:400@read/bar0'
iofd_attach || ktap_bail "attach with a delay failed"
helper=$(helper_pid)
ktap_run "slow: the server's CPUs" pin c "$SERVER_PID"
ktap_run "slow: the helper's CPUs" pin c "$helper"
wrong='' looks=0
for _ in 1 2 3 4 5; do
	poke R 4 0x100 &
	until vu_gone $!; do
		looks=$((looks + 1))
		bound c "$SERVER_PID" "$helper" || wrong=yes
	done
	wait $! || wrong=failed
done
ktap_is "slow: they stay there" "$wrong" ''
[ $looks -ge 5 ]
ktap_ok $? "slow: that was looked at ($looks times)"
ktap_run "slow: detach" iofd_detach

ktap_end
