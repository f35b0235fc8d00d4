# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# Two virtio network devices joined by a cable: "a" in the host's network namespace, "b" in one of
# its own, so that what they say to each other goes through the host's whole network stack twice.
#
# Sourced after vfiouser.sh. Owns the arrays below, indexed by a and b, and the processes HOLDER,
# which keeps the namespace, and SINK, which receives a file.

# shellcheck disable=SC2034	# what scripts use of it
declare -A N_PID N_SOCKET N_BDF N_IF
N_IP_A=10.9.0.1
N_IP_B=10.9.0.2
HOLDER=
SINK=

netpair_cleanup()
{
	[ -z "$HOLDER$SINK" ] || kill -KILL $HOLDER $SINK 2>/dev/null
	vu_cleanup
}
trap netpair_cleanup EXIT

# net_load: the module, and the driver of the devices
net_load()
{
	load_module
	modprobe -qa virtio_pci virtio_net || ktap_bail "no virtio_net in this kernel"
}

# net_server a|b [OPTION...]: starts a server with its end of the cable
net_server()
{
	local end=$1 how=listen

	shift
	[ "$end" = a ] || how=connect
	SERVER=vfiouser-virtio-net start_server --verbose --link-$how="$WORK/cable" \
		--mac="52:54:00:00:00:0$end" "$@"
	N_PID[$end]=$SERVER_PID
	N_SOCKET[$end]=$SOCKET
}

# interface of a PCI device
net_interface()
{
	local dir

	for dir in "/sys/bus/pci/devices/$1"/virtio*/net/*; do
		[ -e "$dir" ] || return 1
		basename "$dir"
		return 0
	done
}

# net_attach a|b [OPTION...]: attaches, and finds the interface
net_attach()
{
	local end=$1

	shift
	attach "$@" "${N_SOCKET[$end]}" || return 1
	N_BDF[$end]=$BDF
	wait_for 30 net_interface "$BDF" || return 1
	N_IF[$end]=$(net_interface "$BDF")
}

# in_ns a|b COMMAND...: in that end's network namespace
in_ns()
{
	local end=$1

	shift
	if [ "$end" = b ]; then
		nsenter -t "$HOLDER" -n "$@"
	else
		"$@"
	fi
}

# net_up a|b: addresses; b moves to its namespace first
net_up()
{
	local ip=$N_IP_A

	if [ "$1" = b ]; then
		ip=$N_IP_B
		if [ -z "$HOLDER" ]; then
			unshare -n sleep 100000 </dev/null >/dev/null 2>&1 &
			HOLDER=$!
			wait_for 10 sh -c "[ \"\$(readlink /proc/$HOLDER/ns/net)\" != \
				\"\$(readlink /proc/self/ns/net)\" ]" || return 1
			in_ns b ip link set lo up
		fi
		ip link set "${N_IF[b]}" netns "$HOLDER" || return 1
	fi
	in_ns "$1" ip addr add "$ip/24" dev "${N_IF[$1]}" &&
		in_ns "$1" ip link set "${N_IF[$1]}" up
}

# net_carrier a|b: is there one, and has the stack seen it? Until then it drops what it is to send.
net_carrier()
{
	in_ns "$1" ip link show "${N_IF[$1]}" | grep LOWER_UP | grep -v NO-CARRIER |
		grep -vq 'qdisc noop'
}

# net_no_carrier a|b
net_no_carrier()
{
	in_ns "$1" ip link show "${N_IF[$1]}" | grep -q NO-CARRIER
}

# net_counter a|b rx|tx packets|errs|drop: from the interface's statistics
net_counter()
{
	local column

	case $2-$3 in
	rx-packets) column=3 ;;
	rx-errs) column=4 ;;
	rx-drop) column=5 ;;
	tx-packets) column=11 ;;
	tx-errs) column=12 ;;
	tx-drop) column=13 ;;
	esac
	in_ns "$1" cat /proc/net/dev | tr ':' ' ' | awk -v i="${N_IF[$1]}" -v c=$column '$1 == i { print $c }'
}

# net_irqs a|b NAME: interrupts so far of the device's action NAME, as in config, input.0
net_irqs()
{
	local virtio

	virtio=$(basename "/sys/bus/pci/devices/${N_BDF[$1]}"/virtio*)
	awk -v name="$virtio${2:+-$2}" '$NF == name {
		for (i = 2; i <= NF && $i ~ /^[0-9]+$/; i++)
			sum += $i
	} END { print sum + 0 }' /proc/interrupts
}

# net_ping a|b SIZE COUNT: from that end to the other one, one after the other, nothing lost. Not all
# with one ping: that does not wait for answers that are late on a busy machine.
net_ping()
{
	local to=$N_IP_B lost end

	[ "$1" = a ] || to=$N_IP_A
	# shellcheck disable=SC2016	# for the other shell
	lost=$(in_ns "$1" sh -c 'i=0
		while [ $i -lt $3 ]; do
			i=$((i + 1))
			said=$(ping -c 1 -W 10 -s $2 $1 2>&1) || {
				echo "ping $i of $3, of $2 bytes: $said"
				ip neigh
			}
		done' sh "$to" "$2" "$3")
	[ -n "$lost" ] || return 0
	ktap_log "$lost"
	for end in a b; do
		in_ns $end ip neigh | sed "s/^/$end: /"
		in_ns $end cat /proc/net/dev | sed "s/^/$end: /"
	done | ktap_log
	return 1
}

# net_transfer a|b KIB: a file of that many KiB from that end to the other arrives unchanged
net_transfer()
{
	local from=$1 to=b ip=$N_IP_B sum

	[ "$from" = a ] || { to=a; ip=$N_IP_A; }
	dd if=/dev/urandom of="$WORK/sent" bs=1K count="$2" 2>/dev/null
	sum=$(sha256sum <"$WORK/sent")
	# The end of its own input would end the receiver's connection.
	[ -e "$WORK/never" ] || mkfifo "$WORK/never"
	if [ $to = b ]; then
		nsenter -t "$HOLDER" -n nc -l -p 5000 <>"$WORK/never" >"$WORK/arrived" 2>/dev/null &
	else
		nc -l -p 5000 <>"$WORK/never" >"$WORK/arrived" 2>/dev/null &
	fi
	SINK=$!
	wait_for 10 grep -q ':1388 [0-9A-F]*:0000 0A' "/proc/$SINK/net/tcp" "/proc/$SINK/net/tcp6"
	in_ns "$from" nc "$ip" 5000 <"$WORK/sent"
	wait_for 60 vu_gone $SINK
	kill $SINK 2>/dev/null
	SINK=
	[ "$(sha256sum <"$WORK/arrived")" = "$sum" ] || {
		ktap_log "$(stat -c %s "$WORK/arrived") bytes arrived"
		return 1
	}
}

# net_balance: what one end sent the other received; packets that are under way get a moment
net_balance()
{
	[ "$(net_counter a tx packets)" = "$(net_counter b rx packets)" ] &&
		[ "$(net_counter b tx packets)" = "$(net_counter a rx packets)" ]
}

# net_faults: errors and drops of both ends, which should be 0
net_faults()
{
	local end sum=0 what

	for end in a b; do
		for what in "rx errs" "tx errs" "tx drop"; do
			# shellcheck disable=SC2086
			sum=$((sum + $(net_counter $end $what)))
		done
	done
	echo $sum
}
