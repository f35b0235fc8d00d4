#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# TIMEOUT: 3600
# SMP: 4
# PARALLEL: yes
#
# What a disk notices of its neighbours: fio writes, reads back and compares for SOAK_SECONDS (30) at a
# time, alone, beside an honest disk that is attached, used and detached again and again, and beside a
# hostile server of every kind in its place. Its throughput and its worst latency are figures; no byte
# may be wrong.

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/vfiouser.sh"
. "$(dirname "$0")/../lib/hostile.sh"

seconds=$((${SOAK_SECONDS:-30} * ${VM_SCALE:-1}))
# "late" is a server that answers each read just before its time is over, under a driver that reads with
# interrupts off; the others are vfu_mangle's
read -ra kinds <<<"${KINDS:-honest lie sizes fds deaf mute irq dma reply scribble truncate close late}"

# use_disk BDF: what a user, and root who looks at the machine, do with it, for some seconds
use_disk()
{
	local disk

	timeout 10 lspci -vvv -s "$1" >/dev/null 2>&1
	disk=$(DISK_TIMEOUT=1 disk_of "$1") || return 0
	timeout 5 dd if="$disk" of=/dev/null bs=64k count=64 iflag=direct 2>/dev/null
	timeout 5 dd if=/dev/zero of="$disk" bs=64k count=64 oflag=direct 2>/dev/null
}

# one_disk KIND: a disk that works, until the server shows what it is
one_disk()
{
	SERVER=vfiouser-nvme start_server --ram=16M
	SERVER=vfu_mangle start_server --server="$SOCKET" --mode="${1/honest/}" --seed=$((RANDOM + 1))
	attach --name=neighbour --timeout=2s --wait=10s "$SOCKET" || return
	disk_of "$BDF" >/dev/null || return
	echo x >>"$WORK/attacks"
	kill -USR1 "$SERVER_PID"
	use_disk "$BDF"
}

# one_late: reads with interrupts off
one_late()
{
	SERVER=vfiouser-testdev start_server
	attach --name=neighbour --timeout=2s --wait=10s "$SOCKET" || return
	echo x >>"$WORK/attacks"
	echo budget >/sys/kernel/debug/vfu_test/run
}

# neighbour KIND: again and again, until there is no $WORK/go
neighbour()
{
	local one="one_disk $1"

	[ "$1" != late ] || one=one_late
	while [ -e "$WORK/go" ]; do
		SERVER_PIDS=
		$one
		timeout $((60 * ${VM_SCALE:-1})) vfiouserctl detach --force neighbour >/dev/null 2>&1
		# shellcheck disable=SC2086
		kill -KILL $SERVER_PIDS
		# shellcheck disable=SC2086
		wait $SERVER_PIDS 2>/dev/null
	done
}

# load NAME: fio on the healthy disk, 2 MiB written and then compared, again and again; a result, and a figure
load()
{
	local status requests

	fio --name=healthy --filename="$disk" --ioengine=libaio --direct=1 --rw=randwrite --bs=4k --iodepth=8 \
		--size=2M --loops=1000000 --verify=crc32c --verify_fatal=1 --runtime="$seconds" --minimal \
		>"$WORK/fio" 2>&1
	status=$?
	# KiB read and written, and the longest of any, in microseconds
	requests=$(awk -F';' -v seconds="$seconds" 'NF > 80 && $6 {
		printf "%.0f requests a second, longest %.1f ms", ($6 + $47) / 4 / seconds,
			($39 > $80 ? $39 : $80) / 1000 }' "$WORK/fio")
	[ $status = 0 ] && [ -n "$requests" ] || { ktap_log <"$WORK/fio"; status=1; }
	ktap_ok $status "$1: no error, no wrong byte"
	ktap_log "figure: $1: $requests; neighbours: $(wc -l <"$WORK/attacks")"
}

ktap_plan $((2 * ${#kinds[@]} + 4))
# what a disk that fails says, and its driver of what a controller must not do
dmesg_allow 'nobody cared|Call Trace|I/O error|nvme nvme[0-9]+:|nvme.*invalid id|Buffer I/O error'
load_module atomic_timeout_ms=1000
modprobe vfu_test || ktap_bail "modprobe vfu_test failed"
start_server --ram=32M
attach --name=healthy "$SOCKET"
ktap_ok $? "the healthy disk"
bdf=$BDF
disk=$(disk_of "$bdf")

: >"$WORK/attacks"
load alone
for kind in "${kinds[@]}"; do
	: >"$WORK/attacks"
	: >"$WORK/go"
	(trap - EXIT; neighbour "$kind") >"$WORK/neighbour.log" 2>&1 &
	wait_for 60 test -s "$WORK/attacks"
	load "$kind"
	rm "$WORK/go"
	wait $!
	[ -s "$WORK/attacks" ] || ktap_log <"$WORK/neighbour.log"
	[ -s "$WORK/attacks" ]
	ktap_ok $? "$kind: it attacked"
done
ktap_is "the healthy disk is the same" "$(disk_of "$bdf")" "$disk"
all_gone
ktap_ok $? "all is given back"
ktap_end
