#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# TIMEOUT: 900
#
# Drivers of virtio devices wait for a queue, and read no register: whoever does not give back what is
# in one, and whoever is stopped or killed meanwhile, is missed all the same; what waits ends with an
# error, and the device goes, or comes back.

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/vfiouser.sh"

ktap_plan 32
load_module
modprobe -qa virtio_pci virtio_blk virtio_net || ktap_bail "no virtio drivers in this kernel"
# what is provoked: requests that fail, a server that does not answer
dmesg_allow 'I/O error, dev vd|lost: |no answer: |frozen: |cannot wait: unbound'

# Of the machine's own disks: none.
blk_disk()
{
	local dir

	for dir in "/sys/bus/pci/devices/$BDF"/virtio*/block/vd*; do
		[ -b "/dev/$(basename "$dir")" ] && basename "$dir" && return 0
	done
	return 1
}

net_if()
{
	local dir

	for dir in "/sys/bus/pci/devices/$BDF"/virtio*/net/*; do
		[ -e "$dir" ] && basename "$dir" && return 0
	done
	return 1
}

no_refs()
{
	[ "$(awk '$1 == "vfiouser_pci" { print $3 }' /proc/modules)" = 0 ]
}

inflight()
{
	awk '{ exit !($1 + $2 > 0) }' "/sys/block/$1/inflight"
}

# blk_begin NAME ATTACH-OPTION...: a disk, attached; sets DISK; 1 result
blk_begin()
{
	local name=$1

	shift
	SERVER=vfiouser-virtio-blk start_server --platform
	attach --timeout=2s "$@" "$SOCKET" && wait_for 60 blk_disk
	ktap_ok $? "$name: a disk" || ktap_bail "no disk"
	DISK=$(blk_disk)
}

# blk_write NAME: leaves a write and a read waiting in the queue; 1 result
blk_write()
{
	# a disk that is gone already does not become a file
	[ -b "/dev/$DISK" ] || ktap_bail "$1: no disk any more"
	dd if=/dev/zero of="/dev/$DISK" bs=64k count=4 oflag=direct >"$WORK/dd.w" 2>&1 &
	WRITER=$!
	dd if="/dev/$DISK" of=/dev/null bs=64k count=4 iflag=direct >"$WORK/dd.r" 2>&1 &
	READER=$!
	SERVER_PIDS="$SERVER_PIDS $WRITER $READER"
	wait_for 30 inflight "$DISK"
	ktap_ok $? "$1: requests in flight"
}

# blk_fail NAME: they end, and with an error; 1 result
blk_fail()
{
	local status=0

	wait_for 60 vu_gone $WRITER && wait_for 60 vu_gone $READER || status=1
	if [ $status = 0 ]; then
		wait $WRITER && status=1
		wait $READER && status=1
	fi
	ktap_ok $status "$1: they end with errors"
}

blk_begin "killed"
kill -USR1 "$SERVER_PID"
blk_write "killed"
kill -KILL "$SERVER_PID"
blk_fail "killed"
wait_for 60 pci_gone "$BDF"
ktap_ok $? "killed: the device is gone"

blk_begin "stopped"
kill -STOP "$SERVER_PID"
blk_write "stopped"
blk_fail "stopped"
wait_for 60 pci_gone "$BDF"
ktap_ok $? "stopped: the device is gone"
kill -KILL "$SERVER_PID"

blk_begin "mute"
kill -USR1 "$SERVER_PID"
blk_write "mute"
ktap_run "mute: taken away by force" timeout 120 vfiouserctl detach --force --timeout=3s "$BDF"
blk_fail "mute"
wait_for 60 pci_gone "$BDF"
ktap_ok $? "mute: the device is gone"
kill -KILL "$SERVER_PID"

# Its driver asks the device first, which has gone meanwhile.
blk_begin "going"
kill -USR1 "$SERVER_PID"
blk_write "going"
vfiouserctl detach --force --timeout=100s "$BDF" >/dev/null 2>&1 &
going=$!
SERVER_PIDS="$SERVER_PIDS $going"
wait_for 30 state_is "$BDF" removing
ktap_ok $? "going: its driver waits in its removal"
kill -KILL "$SERVER_PID"
blk_fail "going"
wait_for 60 pci_gone "$BDF"
ktap_ok $? "going: the device is gone"
wait_for 60 vu_gone "$going"

blk_begin "back" --reconnect=120
kill -STOP "$SERVER_PID"
blk_write "back"
wait_for 60 state_is "$BDF" frozen
ktap_ok $? "back: frozen"
blk_fail "back"
SERVER=vfiouser-virtio-blk restart_server --platform
wait_for 120 state_is "$BDF" live && wait_for 60 blk_disk
ktap_ok $? "back: with another server"
ktap_run "back: and read" dd if="/dev/$(blk_disk)" of=/dev/null bs=64k count=4 iflag=direct
ktap_run "back: detached" timeout 120 vfiouserctl detach "$BDF"
stop_server

SERVER=vfiouser-virtio-net start_server --control-queue
attach --timeout=2s --reconnect=120 "$SOCKET" && wait_for 60 net_if
ktap_ok $? "control queue: an interface" || ktap_bail "no interface"
ktap_run "control queue: served" timeout 60 ip link set "$(net_if)" up promisc on
kill -STOP "$SERVER_PID"
timeout 60 ip link set "$(net_if)" promisc off
timeout 120 ip link show >/dev/null
ktap_ok $? "control queue: network configuration goes on"
wait_for 60 state_is "$BDF" frozen
ktap_ok $? "control queue: frozen"
kill -CONT "$SERVER_PID"
wait_for 120 state_is "$BDF" live && wait_for 60 net_if
ktap_ok $? "control queue: back once the server goes on"
ktap_run "control queue: detached" timeout 120 vfiouserctl detach "$BDF"
stop_server

wait_for 60 no_refs
ktap_run "the module can go" modprobe -r vfiouser_pci
ktap_end
