#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# TIMEOUT: 500
#
# The server or the helper killed, idle and busy: the device goes away, what was under way ends in
# errors and not in a hang, and attaching again works.

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/vfiouser.sh"

helper_pid()
{
	vfiouserctl list --json | grep -Eo '"pid": *[0-9]+' | grep -Eo '[0-9]+' | head -n 1
}

# one VICTIM LOAD: VICTIM is server or helper, LOAD idle or busy
one()
{
	local name="$1 killed $2" fio="" pid

	start_server --ram=64M
	attach "$SOCKET"
	ktap_ok $? "$name: attach" || return
	disk=$(disk_of "$BDF")
	if [ "$2" = busy ]; then
		fio --name=busy --filename="$disk" --ioengine=libaio --direct=1 --rw=randrw --bs=4k \
			--iodepth=16 --time_based --runtime=120 --output="$WORK/fio.out" &
		fio=$!
		sleep 2
	fi
	pid=$SERVER_PID
	[ "$1" = server ] || pid=$(helper_pid)
	kill -KILL "$pid"
	ktap_ok $? "$name: killed"
	wait_for 20 pci_gone "$BDF"
	ktap_ok $? "$name: the device goes away"
	if [ -n "$fio" ]; then
		wait_for 20 vu_gone $fio
		ktap_ok $? "$name: I/O ends"
		wait $fio
		[ $? != 0 ]
		ktap_ok $? "$name: with errors"
	fi
	wait_for 10 test ! -b "$disk"
	ktap_ok $? "$name: the disk goes away"
	wait_for 10 sh -c '! vfiouserctl list | grep -q "$0"' "$BDF"
	ktap_ok $? "$name: not listed any more"
	[ "$1" = server ] && start_server --ram=64M
	attach "$SOCKET"
	ktap_ok $? "$name: attach again"
	disk_of "$BDF" >/dev/null
	ktap_ok $? "$name: a disk again"
	detach
	stop_server
}

ktap_plan 32
load_module
one server idle
one server busy
one helper idle
one helper busy
# The runner looks for hung tasks and warnings; these are what a pulled-out disk says.
dmesg_allow 'I/O error|Buffer I/O error'
ktap_end
