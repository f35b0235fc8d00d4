#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# TIMEOUT: 600
#
# The ways a virtio device can differ: level interrupts, whose handler reads a register; memory
# that the server reaches by messages only; notifications as trapped writes, through eventfds and
# through a page that both sides map; frames of several buffers.

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/vfiouser.sh"
. "$(dirname "$0")/../lib/netpair.sh"

# round NAME KIB MAX [OPTION...]: COUNT pings of each size, up to MAX bytes, and a file of KIB KiB in
# either direction, between two servers with these options
round()
{
	local name=$1 kib=$2 max=$3 end size

	shift 3
	for end in a b; do
		net_server $end "$@"
		net_attach $end && net_up $end
		ktap_ok $? "$name: $end: attach" || ktap_bail "nothing to test"
	done
	wait_for 30 net_carrier a && wait_for 30 net_carrier b
	ktap_ok $? "$name: carrier"
	for size in 56 1400 "$max"; do
		net_ping a "$size" "$COUNT"
		ktap_ok $? "$name: ping of $size bytes from a"
		net_ping b "$size" "$COUNT"
		ktap_ok $? "$name: ping of $size bytes from b"
	done
	net_transfer a "$kib"
	ktap_ok $? "$name: $kib KiB from a to b"
	net_transfer b "$kib"
	ktap_ok $? "$name: $kib KiB from b to a"
	wait_for 30 net_balance
	ktap_ok $? "$name: what one sent the other received"
	ktap_is "$name: no errors, no drops" "$(net_faults)" 0
}

# round_end NAME
round_end()
{
	local end

	for end in a b; do
		detach --force "${N_BDF[$end]}" && wait_for 30 pci_gone "${N_BDF[$end]}"
		ktap_ok $? "$1: $end: detach"
		stop_server "${N_PID[$end]}"
	done
}

net_load
COUNT=10
round intx 1024 4000 --interrupts=intx
ktap_match "intx: no MSI-X" "$(lspci -vv -s "${N_BDF[a]}")" 'Interrupt: pin A routed to IRQ'
ktap_match "intx: the interrupt" "$(grep "$(basename "/sys/bus/pci/devices/${N_BDF[a]}"/virtio*)$" \
	/proc/interrupts)" 'vfiouser-intx.*level'
irqs=$(net_irqs a)
ktap_log "$irqs interrupts of a"
# 60 pings that wait for each other
[ "$irqs" -ge 30 ]
ktap_ok $? "intx: interrupts"
round_end intx

round ioeventfd 1024 4000 --notify=ioeventfd
round_end ioeventfd
round mmap 1024 4000 --notify=mmap
round_end mmap
round "large frames" 1024 8900 --mtu=9000
ktap_is "large frames: MTU" "$(cat "/sys/class/net/${N_IF[a]}/mtu")" 9000
round_end "large frames"

# A frame takes some ten messages there and back, which a busy machine is slow at.
COUNT=3
round messages 128 4000 --no-map
round_end messages
round "messages, twin socket, intx" 128 4000 --no-map --twin-socket --interrupts=intx
round_end "messages, twin socket, intx"
ktap_end
