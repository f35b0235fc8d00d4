#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# TIMEOUT: 400
#
# One of two network devices loses its server: it goes away, the other one stays, without a carrier,
# and has its carrier again with a new server at the far end.

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/vfiouser.sh"
. "$(dirname "$0")/../lib/netpair.sh"

ktap_plan 23
net_load
net_server a

# one NAME: b's server is killed
one()
{
	net_server b
	if ! net_attach b || ! net_up b; then
		ktap_bail "cannot attach b"
	fi
	# at both ends: the one without would drop its answers
	wait_for 30 net_carrier a && wait_for 30 net_carrier b
	ktap_ok $? "$1: carrier"
	net_ping a 1000 20
	ktap_ok $? "$1: ping"
	if [ "$1" = busy ]; then
		ping -q -i 0.01 $N_IP_B >/dev/null 2>&1 &
		FLOOD=$!
	fi
	kill -KILL "${N_PID[b]}"
	ktap_run "$1: b goes away" wait_for 20 pci_gone "${N_BDF[b]}"
	wait_for 30 net_no_carrier a
	ktap_ok $? "$1: a has no carrier"
	ktap_is "$1: a still has its driver" "$(driver_of "${N_BDF[a]}")" virtio-pci
	ktap_run "$1: not listed any more" wait_for 30 sh -c '! vfiouserctl list | grep -q "$0"' \
		"${N_BDF[b]}"
	if [ "$1" = busy ]; then
		kill "$FLOOD"
		wait "$FLOOD" 2>/dev/null
		# What the flood asked for in vain would fail the first ping through the next cable too:
		# the stack has b's address down as one that cannot be had for seconds to come.
		ip neigh flush dev "${N_IF[a]}"
	fi
}

net_attach a && net_up a
ktap_ok $? "a: attach" || ktap_bail "nothing to test"
one idle
one busy
one again

net_server b
net_attach b && net_up b
wait_for 30 net_carrier a && wait_for 30 net_carrier b
ktap_ok $? "carrier with a new server"
net_ping b 1000 20
ktap_ok $? "ping with a new server"
detach --force "${N_BDF[b]}"
detach --force "${N_BDF[a]}"
ktap_ok $? "detach"
wait_for 30 pci_gone "${N_BDF[a]}"
ktap_ok $? "a goes away"
ktap_end
