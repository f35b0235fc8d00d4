#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# TIMEOUT: 900
#
# Drivers of virtio devices wait for a queue, and read no register: a server that is stopped meanwhile is
# missed all the same; what waits ends with an error, and the device goes.

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/vfiouser.sh"

ktap_plan 17
load_module
modprobe -qa virtio_pci virtio_blk virtio_scsi || ktap_bail "no virtio drivers in this kernel"
# what is provoked: requests that fail, a server that does not answer
dmesg_allow 'I/O error, dev vd|lost: |no answer: |does not end its probe|cannot add the device'

# Of the machine's own disks: none.
blk_disk()
{
	local dir

	for dir in "/sys/bus/pci/devices/$BDF"/virtio*/block/vd*; do
		[ -b "/dev/$(basename "$dir")" ] && basename "$dir" && return 0
	done
	return 1
}

# the commands that the SCSI host of the device waits for
scsi_busy()
{
	grep -qsv '^0$' "/sys/bus/pci/devices/$BDF"/virtio*/host*/scsi_host/host*/host_busy
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

blk_begin "stopped"
kill -STOP "$SERVER_PID"
blk_write "stopped"
blk_fail "stopped"
wait_for 60 pci_gone "$BDF"
ktap_ok $? "stopped: the device is gone"
kill -KILL "$SERVER_PID"

# The driver is already going, and waits for its disk's requests, when the device goes.
blk_begin "stopped while it is detached"
kill -STOP "$SERVER_PID"
blk_write "stopped while it is detached"
timeout 100 vfiouserctl detach --force "$BDF" >/dev/null 2>&1
ktap_ok $? "stopped while it is detached: detach"
blk_fail "stopped while it is detached"
wait_for 60 pci_gone "$BDF"
ktap_ok $? "stopped while it is detached: the device is gone"
kill -KILL "$SERVER_PID"

# A bus that is being scanned waits without end, and who removes the host waits for it.
scan=/sys/module/scsi_mod/parameters/scan
was=$(cat $scan)
echo async >$scan
SERVER=vfiouser-virtio-blk start_server --platform --scsi
attach "$SOCKET"
ktap_ok $? "SCSI: attach"
wait_for 60 scsi_busy
ktap_ok $? "SCSI: the bus is being scanned"
kill -KILL "$SERVER_PID"
wait_for 60 pci_gone "$BDF"
ktap_ok $? "SCSI: the device is gone"

# The same in the driver's probe, and a server that is there and well.
probing()
{
	compgen -G '/sys/bus/pci/devices/*/virtio*/host*' >/dev/null
}

echo sync >$scan
SERVER=vfiouser-virtio-blk start_server --platform --scsi
vfiouserctl attach --name=probing --wait=300s "$SOCKET" >"$WORK/probing.out" 2>&1 &
probing_attach=$!
SERVER_PIDS="$SERVER_PIDS $probing_attach"
wait_for 60 probing
ktap_ok $? "probe: a driver waits in it"
ktap_run "probe: detach, not by force" timeout 120 vfiouserctl detach --timeout=60s probing
! probing
ktap_ok $? "probe: the device is gone"
wait_for 60 vu_gone $probing_attach
ktap_ok $? "probe: who attached it is told" || ktap_log <"$WORK/probing.out"
kill -KILL "$SERVER_PID"
echo "$was" >$scan

wait_for 60 no_refs
ktap_run "the module can go" modprobe -r vfiouser_pci
ktap_end
