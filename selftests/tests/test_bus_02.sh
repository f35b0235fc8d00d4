#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# TIMEOUT: 500
#
# virtio devices as they are made for virtual machines: without VIRTIO_F_ACCESS_PLATFORM, which is
# shown to the driver and kept from the server; transitional ones, legacy ones, shared memory.

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/vfiouser.sh"
. "$(dirname "$0")/../lib/netpair.sh"

# virtio_of: the device's virtio device in sysfs
virtio_of()
{
	local dir

	for dir in "/sys/bus/pci/devices/$BDF"/virtio*; do
		[ -e "$dir" ] || return 1
		echo "$dir"
		return 0
	done
}

# vdisk: the node of the device's disk
vdisk()
{
	local dir

	for dir in "/sys/bus/pci/devices/$BDF"/virtio*/block/*; do
		[ -b "/dev/$(basename "$dir")" ] || return 1
		echo "/dev/$(basename "$dir")"
		return 0
	done
}

# bit33: has the driver accepted VIRTIO_F_ACCESS_PLATFORM?
bit33()
{
	cut -c 34 "$(virtio_of)/features"
}

# disk_keeps NAME: what is written to the whole disk is read back
disk_keeps()
{
	local disk

	wait_for 30 vdisk
	ktap_ok $? "$1: a disk" || return 1
	disk=$(vdisk)
	dd if=/dev/urandom of="$WORK/data" bs=1M count=4 2>/dev/null
	ktap_run "$1: write" dd if="$WORK/data" of="$disk" bs=64K oflag=direct conv=fsync
	echo 3 >/proc/sys/vm/drop_caches
	ktap_is "$1: read back" "$(dd if="$disk" bs=64K count=64 iflag=direct 2>/dev/null | sha256sum)" \
		"$(sha256sum <"$WORK/data")"
}

away()
{
	detach "$BDF" && wait_for 30 pci_gone "$BDF" && stop_server
	ktap_ok $? "$1: detach"
}

net_load
modprobe -q virtio_blk

for how in "" --platform --looks=transitional --looks=shm; do
	name="disk${how:+ with }${how#--}"
	dmesg_mark
	# shellcheck disable=SC2086
	SERVER=vfiouser-virtio-blk start_server --verbose $how
	attach "$SOCKET"
	ktap_ok $? "$name: attach" || ktap_bail "no virtio disk"
	disk_keeps "$name"
	ktap_is "$name: the driver has the bit" "$(bit33)" 1
	ktap_status 1 "$name: the server has nothing to complain about" grep "needs reset" "$SOCKET.log"
	case $how in
	*transitional)
		ktap_match "$name: ids" "$(lspci -n -s "$BDF")" '1af4:1001'
		ktap_is "$name: ports are not shown" "$(sed -n 1p "/sys/bus/pci/devices/$BDF/resource")" \
			"0x0000000000000000 0x0000000000000000 0x0000000000000000"
		;;
	*shm)
		dmesg_check "$name: a note" 'hidden from the host: virtio shared memory'
		ktap_is "$name: five are left" "$(lspci -vv -s "$BDF" | grep -c 'VirtIO: ')" 5
		ktap_match "$name: the others are" "$(lspci -vv -s "$BDF")" 'VirtIO: CommonCfg'
		;;
	esac
	away "$name"
done

# The configuration access capability leads to the same registers.
SERVER=vfiouser-virtio-blk start_server --verbose
attach --wait=0 "$SOCKET" || ktap_bail "no virtio disk"
wait_for 10 test -e "/sys/bus/pci/devices/$BDF/driver"
echo "$BDF" >/sys/bus/pci/devices/"$BDF"/driver/unbind
cap=$(lspci -vv -s "$BDF" | sed -n 's/.*Capabilities: \[\(..\)\] Vendor Specific Information: VirtIO: <unknown>.*/\1/p' | tail -n 1)
: "${cap:=$(lspci -vv -s "$BDF" | sed -n 's/.*Capabilities: \[\(..\)\].*VirtIO: PciCfg.*/\1/p')}"
# reg OFFSET: of the capability, for setpci
reg()
{
	printf %x $((16#$cap + $1))
}
setpci -s "$BDF" COMMAND.w=6 "$(reg 4).b=4" "$(reg 12).l=4" "$(reg 8).l=0" "$(reg 16).l=1" "$(reg 8).l=4"
ktap_is "through config space the bit is shown" \
	"$(($((16#$(setpci -s "$BDF" "$(reg 16).l"))) & 3))" 3
away "config access"

SERVER=vfiouser-virtio-blk start_server --looks=legacy
refused 16 "legacy only: refused in one line" 'legacy interface only' vfiouserctl attach "$SOCKET"
ktap_is "legacy only: nothing is left" "$(ls /sys/class/vfiouser)" ""
stop_server

# A network of two that offer no such bit.
net_server a --no-platform
net_server b --no-platform --looks=transitional --notify=mmap
for end in a b; do
	net_attach $end && net_up $end
	ktap_ok $? "net $end: up" || ktap_bail "no network"
done
wait_for 30 net_carrier a && wait_for 30 net_carrier b
ktap_ok $? "net: carrier"
net_ping a 1400 20
ktap_ok $? "net: ping"
net_transfer a 2048
ktap_ok $? "net: 2 MiB"
for end in b a; do
	ktap_run "net $end: detach" detach --force "${N_BDF[$end]}"
done
ktap_end
