#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# TIMEOUT: 400
#
# The in-tree virtio_net driver on two devices that a cable joins, with MSI-X: through the host's
# network stack from one to the other and back.

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/vfiouser.sh"
. "$(dirname "$0")/../lib/netpair.sh"

net_load
net_server a
net_server b

# What drivers and the network stack keep from their first device on.
for end in a b; do
	net_attach $end || ktap_bail "attach of $end failed"
done
if ! net_up a || ! net_up b; then
	ktap_bail "no network"
fi
wait_for 30 net_carrier a
net_ping a 56 1
for end in b a; do
	detach --force "${N_BDF[$end]}" || ktap_bail "detach of $end failed"
	wait_for 30 pci_gone "${N_BDF[$end]}" || ktap_bail "$end does not go away"
done
state_mark warm

for end in a b; do
	net_attach $end
	ktap_ok $? "$end: attach" || ktap_bail "nothing to test"
	ktap_is "$end: driver in use" "$(driver_of "${N_BDF[$end]}")" virtio-pci
	ktap_match "$end: lspci" "$(lspci -nn -s "${N_BDF[$end]}")" '1af4:1041.*rev 01'
	ktap_match "$end: MSI-X enabled" "$(lspci -vv -s "${N_BDF[$end]}")" 'MSI-X: Enable\+ Count=3'
	ktap_is "$end: address" "$(cat "/sys/class/net/${N_IF[$end]}/address")" "52:54:00:00:00:0$end"
	net_up $end
	ktap_ok $? "$end: up"
done
wait_for 30 net_carrier a
ktap_ok $? "a: carrier"
wait_for 30 net_carrier b
ktap_ok $? "b: carrier"
ktap_match "the carrier came with an interrupt" "$(net_irqs a config)" '^[1-9]'

before=$(net_irqs a input.0)
for size in 56 64 200 512 1000 1400 1472 4000; do
	net_ping a $size 50
	ktap_ok $? "ping of $size bytes from a"
	net_ping b $size 50
	ktap_ok $? "ping of $size bytes from b"
done
after=$(net_irqs a input.0)
# 800 requests and answers came in. One interrupt may be for several, but pings wait for each other.
ktap_log "$((after - before)) receive interrupts for 800 pings"
[ $((after - before)) -ge 200 ]
ktap_ok $? "each receive queue has interrupts of its own"

net_transfer a $((8 * 1024))
ktap_ok $? "8 MiB from a to b"
net_transfer b $((8 * 1024))
ktap_ok $? "8 MiB from b to a"
wait_for 30 net_balance
ktap_ok $? "what one sent the other received"
ktap_log "interrupts of a: config $(net_irqs a config), input $(net_irqs a input.0)," \
	"output $(net_irqs a output.0)"
ktap_is "no errors, no drops" "$(net_faults)" 0

refused 13 "detach of an interface that is up" "network interface .* is up; take it down" \
	vfiouserctl detach "${N_BDF[a]}"
ktap_is "which stays" "$(driver_of "${N_BDF[a]}")" virtio-pci

# Plug and unplug without traffic and with it; the other end stays usable.
detach --force "${N_BDF[b]}"
ktap_ok $? "b: detach"
wait_for 30 net_no_carrier a
ktap_ok $? "a: no carrier while b is away"
ktap_is "a: still attached" "$(driver_of "${N_BDF[a]}")" virtio-pci
net_attach b && net_up b
ktap_ok $? "b: attach again"
wait_for 30 net_carrier a && wait_for 30 net_carrier b
ktap_ok $? "carrier again"
net_ping a 1400 50
ktap_ok $? "ping again"

for end in b a; do
	ktap_run "$end: detach" detach --force "${N_BDF[$end]}"
	ktap_run "$end: gone" wait_for 30 pci_gone "${N_BDF[$end]}"
done
state_check warm "nothing is left behind"
for end in a b; do
	stop_server "${N_PID[$end]}"
	ktap_ok $? "$end: the server ends on SIGTERM"
	tail -n 2 "${N_SOCKET[$end]}.log" | ktap_log
done
ktap_end
