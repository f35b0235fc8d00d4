#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# TIMEOUT: 400
#
# A network card of two pairs of queues behind vfiouser-vhost: the driver turns the second pair on
# and off by the control queue, which vfiouser-vhost serves, and frames go out and come back by
# both, unchanged. The back end, which gives back what it is sent, is killed below it; then
# vfiouser-vhost, while the driver waits for it in a loop; then its helper and vfiouser-vhost under
# load, each to come back, and vfiouser-vhost with the process that would go on.

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/vfiouser.sh"
. "$(dirname "$0")/../lib/netpair.sh"
. "$(dirname "$0")/../lib/vhost.sh"

FRAMES=${FRAMES:-300}
HELPER_KILLS=${HELPER_KILLS:-3}

net_load
[ "$(nproc)" -ge 2 ] || ktap_skip_all "one CPU"
loop=(vfiouser-vublk --socket=@ --net --queues=4)
vhost_backend "${loop[@]}"
vhost_front net --queues=2 --no-standby
N_SOCKET[a]=$SOCKET

# card_up: nobody else is to send anything, hence no address
card_up()
{
	echo 1 >"/proc/sys/net/ipv6/conf/${N_IF[a]}/disable_ipv6" 2>/dev/null
	ip link set "${N_IF[a]}" up && wait_for 30 net_carrier a
}

# pairs: that the driver uses
pairs()
{
	ethtool -l "${N_IF[a]}" | awk '/^Combined:/ { n = $2 } END { print n }'
}

# looped: bytes that the back end has given back so far, of the first pair and of the second one
looped()
{
	local lines

	lines=$(grep -c 'pair 1:' "$BACKEND.log")
	kill -USR1 "$BACKEND_PID"
	wait_for 10 sh -c "[ \$(grep -c 'pair 1:' '$BACKEND.log') -gt $lines ]" || return 1
	tail -n 2 "$BACKEND.log" | awk '{ print $(NF - 1) }'
}

# frames NAME: from each CPU; sets pair[], the bytes that went by each pair
frames()
{
	local before received total

	# shellcheck disable=SC2207
	before=($(looped))
	received=$(cat "/sys/class/net/${N_IF[a]}/statistics/rx_bytes")
	total=$(vfu_frames "${N_IF[a]}" "$FRAMES" 2>"$WORK/frames")
	ktap_ok $? "$1: what comes back is what was sent"
	[ ! -s "$WORK/frames" ] || {
		ktap_log <"$WORK/frames"
		grep -H '[1-9]' "/sys/class/net/${N_IF[a]}/statistics"/* | sed 's/.*statistics.//' |
			ktap_log
	}
	received=$(($(cat "/sys/class/net/${N_IF[a]}/statistics/rx_bytes") - received))
	# shellcheck disable=SC2207
	pair=($(looped))
	pair=($((pair[0] - before[0])) $((pair[1] - before[1])))
	ktap_log "$1: $total frames and bytes; by pair ${pair[*]}"
	ktap_is "$1: the bytes that the driver has received" "$received" "${total#* }"
	ktap_is "$1: the bytes that the back end has given back" $((pair[0] + pair[1])) \
		"${total#* }"
}
declare -a pair

# both NAME, one NAME: that many pairs are in use
both()
{
	frames "$1"
	[ "${pair[0]}" -gt 0 ] && [ "${pair[1]}" -gt 0 ]
	ktap_ok $? "$1: by both pairs"
}

one()
{
	frames "$1"
	[ "${pair[0]}" -gt 0 ] && [ "${pair[1]}" = 0 ]
	ktap_ok $? "$1: by the first pair alone"
}

net_attach a
ktap_ok $? "attach" || ktap_bail "nothing to test"
ktap_match "lspci" "$(lspci -nn -s "$BDF")" '1af4:1041'
ktap_match "a vector for each queue and the control queue" "$(lspci -vv -s "$BDF")" \
	'MSI-X: Enable\+ Count=6'
card_up
ktap_ok $? "carrier"
ethtool -L "${N_IF[a]}" combined 2
ktap_is "two pairs" "$(pairs)" 2
both "two pairs"
ktap_run "one pair: ethtool -L" ethtool -L "${N_IF[a]}" combined 1
ktap_is "one pair" "$(pairs)" 1
one "one pair"
ktap_run "two pairs again: ethtool -L" ethtool -L "${N_IF[a]}" combined 2
both "two pairs again"
! ethtool -L "${N_IF[a]}" combined 3 2>/dev/null
ktap_ok $? "three pairs are refused"

# The driver does not notice that there is another back end.
vhost_kill
vhost_again "${loop[@]}"
wait_for 30 grep -q 'rings taken up again' "$SOCKET.log"
ktap_ok $? "another back end: taken up again"
both "another back end"
vhost_kill
ktap_run "no back end: the driver asks for one pair" ethtool -L "${N_IF[a]}" combined 1
vhost_again "${loop[@]}"
wait_for 30 sh -c "[ \$(grep -c 'rings taken up again' '$SOCKET.log') = 2 ]"
ktap_ok $? "asked meanwhile: taken up again"
one "asked meanwhile"
ethtool -L "${N_IF[a]}" combined 2
both "and two"

ip link set "${N_IF[a]}" down
detach && wait_for 30 pci_gone "$BDF"
ktap_ok $? "detach"
net_attach a && card_up
ktap_ok $? "attach again"
ethtool -L "${N_IF[a]}" combined 2
both "attached again"

# It waits in a loop, with a lock that all network devices share.
kill -STOP "$SERVER_PID"
ethtool -L "${N_IF[a]}" combined 1 >/dev/null 2>&1 &
waits=$!
wait_for 20 sh -c "[ \$(awk '{ print \$14 + \$15 }' /proc/$waits/stat) -gt 50 ]"
ktap_ok $? "stopped: the driver waits for its control queue"
kill -KILL "$SERVER_PID"
wait_for 60 vu_gone $waits
ktap_ok $? "killed: it waits no longer"
wait_for 60 pci_gone "$BDF"
ktap_ok $? "killed: the device goes"
ktap_run "killed: other devices work" ip link show lo
ktap_log <"$SOCKET.log"

# ---- its helper is killed under load, then vfiouser-vhost, and another comes: nobody is told ----

# frames_on: from each CPU, until told to stop. A busy machine loses one on its way to the driver; where
# a ring stands still all of them are lost that vfu_frames has under way.
frames_on()
{
	until [ -e "$WORK/enough" ]; do
		vfu_frames "${N_IF[a]}" "$FRAMES" >"$WORK/frames" 2>&1 &&
			awk '/did not come back/ && $2 >= 16 { exit 1 }' "$WORK/frames" || return 1
	done
}

# under_way: they come
under_way()
{
	local count=/sys/class/net/${N_IF[a]}/statistics/rx_packets

	wait_for 30 sh -c "[ \$(cat $count) -gt $(($(cat "$count") + 20)) ]"
}

# card: what would be new of another one
card()
{
	echo "${N_IF[a]} $(cat "/sys/class/net/${N_IF[a]}/ifindex" \
		"/sys/class/net/${N_IF[a]}/carrier_changes" | tr '\n' ' ')" "$(pairs)"
}

vhost_front net --queues=2
N_SOCKET[a]=$SOCKET
net_attach a --reconnect=60 && card_up && ethtool -L "${N_IF[a]}" combined 2
ktap_ok $? "silent: attach" || ktap_bail "nothing to test"
log=$(dmesg | wc -l)
rings=$(grep -c 'rings taken up again\|rings started' "$SOCKET.log")
card=$(card)
frames_on &
load=$!
kills=0
fronts=0
while [ $kills -lt "$HELPER_KILLS" ] && under_way; do
	pid=$(helper_pid)
	kill -KILL "$pid"
	kills=$((kills + 1))
	wait_for 30 other_helper "$pid"
	under_way && vhost_front_kill && under_way || break
	fronts=$((fronts + 1))
done
under_way && : >"$WORK/enough" && wait $load
ktap_ok $? "silent: frames go on, unchanged, over $kills kills of the helper, $fronts of vfiouser-vhost" ||
	ktap_log <"$WORK/frames"
ktap_is "silent: killed under load" "$kills $fronts" "$HELPER_KILLS $HELPER_KILLS"
ktap_is "silent: the same card, with its carrier and both pairs" "$(card)" "$card"
ktap_is "silent: the rings were not touched" \
	"$(grep -c 'rings taken up again\|rings started' "$SOCKET.log")" "$rings"
ktap_is "silent: held as often" "$(dmesg | tail -n +$((log + 1)) | grep -c 'held: ')" $kills
ktap_is "silent: the driver says nothing" \
	"$(dmesg | tail -n +$((log + 1)) | grep -cv 'vfiouser .*\(held: \|recovered\)\|vfiouserctl\[')" 0 ||
	dmesg | tail -n +$((log + 1)) | ktap_log
both "silent: afterwards"

# ---- vfiouser-vhost is killed under load, and another comes: a card again ----

no_card()
{
	! net_interface "$BDF" >/dev/null
}

rm -f "$WORK/enough"
frames_on 2>/dev/null &
load=$!
under_way
wait_for 10 vhost_standby
kill -KILL "$(vhost_standby)" "$SERVER_PID"
wait_for 60 no_card
ktap_ok $? "reconnect: the driver lets go"
wait_for 60 vu_gone $load
ktap_ok $? "reconnect: who used it has an error"
ktap_log <"$SOCKET.log"
rm -f "$SOCKET"
vu_serve vfiouser-vhost --type=net --vhost-socket="$BACKEND" --verbose --queues=2
wait_for 60 net_interface "$BDF"
ktap_ok $? "reconnect: a card again with another vfiouser-vhost" || ktap_bail "no card"
N_IF[a]=$(net_interface "$BDF")
card_up && ethtool -L "${N_IF[a]}" combined 2
ktap_ok $? "reconnect: carrier, two pairs"
both "reconnect"
ip link set "${N_IF[a]}" down
detach && wait_for 30 pci_gone "$BDF"
ktap_ok $? "reconnect: detach"
stop_server "$BACKEND_PID"
ktap_log <"$SOCKET.log"
ktap_end
