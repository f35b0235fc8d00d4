# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# A network card whose other end is passt, by vhost-user behind vfiouser-vhost and as a tap (which passt calls
# pasta), beside a veth pair: each between a namespace and the host, as passt is for both.
#
# A target has nic_TARGET_start, which gives the namespace NET_PID a card and sets NET_PEER, the host's
# address as that namespace sees it, and NET_WORKER, whose CPU time is measured, or says why it cannot in
# REASON; and nic_TARGET_stop. The ones with passt have the MTU that its DHCP server would tell.
#
# That passt is of Debian 13, with its C library: scripts/bench fetches both.

NET_TARGETS=$(cmdline bench.targets veth,tap,vhost-user)
NET_SECONDS=4
NET_MTU=65520
NET_PORT=5300

nic_inside()
{
	nsenter -t "$NET_PID" -n "$@"
}

# nic_passt NAME [OPTION...]: in the background, as it ends the shell. passt makes a user namespace and calls
# pivot_root(), which an initramfs does not let it do.
nic_passt()
{
	local name=$1

	shift
	# shellcheck disable=SC2016 # the inner shell's
	exec unshare -m sh -c 'mount --rbind / /tmp/root && cd /tmp/root && mount --move . / && exec chroot . "$@"' sh \
		passt-ld --library-path /tmp/passt-lib --argv0 "$name" /usr/bin/passt -f -4 "$@"
}

# nic_outside: what passt takes for the way out, and its own library
nic_outside()
{
	type passt passt-ld >/dev/null 2>&1 || { REASON="no passt: see new_passt() in scripts/bench"; return 1; }
	mkdir -p /tmp/root /tmp/passt-lib
	ln -sf /usr/bin/passt-libc /tmp/passt-lib/libc.so.6
	ip link add up0 type veth peer name up1
	ip link set up1 up
	ip addr add 10.9.0.2/24 dev up0
	ip link set up0 up
	ip route add default via 10.9.0.1 dev up0
	NET_PEER=10.9.0.1
}

nic_veth_start()
{
	ip link add va type veth peer name vb
	ip link set vb netns "$NET_PID"
	ip addr add 10.7.0.1/24 dev va
	ip link set va up
	nic_inside ip addr add 10.7.0.2/24 dev vb
	nic_inside ip link set vb up
	NET_PEER=10.7.0.1
	NET_WORKER=
}

nic_veth_stop()
{
	ip link del va
}

nic_tap_start()
{
	nic_outside || return 1
	modprobe -q tun
	touch /tmp/net
	mount --bind "/proc/$NET_PID/ns/net" /tmp/net
	nic_passt pasta --config-net --runas 0:0 -t none -u none -T none -U none --no-netns-quit --netns-only \
		--netns /tmp/net >"$WORK/pasta.log" 2>&1 &
	NET_WORKER=$!
	# shellcheck disable=SC2016 # the inner shell's
	wait_for 30 nic_inside sh -c '[ -n "$(ip route)" ]' && return 0
	ktap_log <"$WORK/pasta.log"
	REASON="passt makes no tap"
	return 1
}

nic_tap_stop()
{
	kill "$NET_WORKER"
	wait "$NET_WORKER"
	umount /tmp/net
	rm -f /tmp/net
	ip link del up0
}

nic_vhost-user_start()
{
	local card

	nic_outside || return 1
	modprobe -qa virtio_pci virtio_net
	vhost_backend nic_passt passt --vhost-user --runas 65534:65534 --socket-path @
	NET_WORKER=$BACKEND_PID
	SERVER=vfiouser-vhost start_server --type=net --vhost-socket="$BACKEND"
	attach "$SOCKET" || { REASON=$(head -n 1 "$WORK/attach.err"); return 1; }
	wait_for 30 net_interface "$BDF" || { REASON="the card does not come"; return 1; }
	card=$(net_interface "$BDF")
	ip link set "$card" netns "$NET_PID"
	nic_inside ip link set "$card" mtu $NET_MTU
	nic_inside ip link set "$card" up
	nic_inside ip addr add 10.9.0.2/24 dev "$card"
}

nic_vhost-user_stop()
{
	detach && wait_for 20 pci_gone "$BDF"
	stop_server
	wait_for 10 vu_gone "$BACKEND_PID" || vhost_kill
	ip link del up0
}

# nic_cpu: seconds that NET_WORKER has had
nic_cpu()
{
	[ -z "$NET_WORKER" ] || awk '{ print ($14 + $15) / 100 }' "/proc/$NET_WORKER/stat"
}

# nic_stream TARGET REP out|in [OPTION]
nic_stream()
{
	local cpu rate

	cpu=$(nic_cpu)
	rate=$(nic_inside iperf3 -c "$NET_PEER" -p $NET_PORT -t $NET_SECONDS -f m ${4:+"$4"} 2>"$WORK/iperf" |
		awk '/receiver/ { for (i = 2; i <= NF; i++) if ($i == "Mbits/sec") print $(i - 1) }')
	[ -n "$rate" ] || { ktap_log <"$WORK/iperf"; return 1; }
	record net "$1" "$3" "$2" "$rate" Mbit/s
	[ -z "$NET_WORKER" ] || record net "$1" "$3-busy" "$2" \
		"$(awk -v b="$(nic_cpu)" -v a="$cpu" -v s=$NET_SECONDS 'BEGIN { print (b - a) / s }')" CPUs
}

nic_ping()
{
	local ms

	ms=$(nic_inside busybox ping -c 100 -i 0.02 -q "$NET_PEER" 2>/dev/null |
		awk -F / '/^round-trip/ { print $4 }')
	[ -n "$ms" ] && record net "$1" ping "$2" "$(awk -v m="$ms" 'BEGIN { print m * 1e6 }')" ns
}

group_net()
{
	local rep target server

	type iperf3 >/dev/null 2>&1 || { missing net iperf3 "not on the host"; return; }
	load_module
	modprobe -qa veth
	# who may ping without privilege: passt does it for its guest
	echo 0 2147483647 >/proc/sys/net/ipv4/ping_group_range
	ip link set lo up
	iperf3 -s -p $NET_PORT >/dev/null 2>&1 &
	server=$!
	for rep in $(seq "$REPS"); do
		for target in ${NET_TARGETS//,/ }; do
			REASON=
			unshare -n sleep 100000 &
			NET_PID=$!
			sleep 1
			nic_inside ip link set lo up
			if "nic_${target}_start"; then
				nic_stream "$target" "$rep" out && nic_stream "$target" "$rep" in -R &&
					nic_ping "$target" "$rep"
				ktap_ok $? "net: $target, turn $rep"
			elif [ "$rep" = 1 ]; then
				missing net "$target" "${REASON:-could not be started}"
			fi
			"nic_${target}_stop" >/dev/null 2>&1
			kill $NET_PID
			wait $NET_PID 2>/dev/null
		done
	done
	kill $server
	wait $server 2>/dev/null
	rm -rf /tmp/passt-lib /tmp/root
}
