#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# SMP: 4
# TIMEOUT: 400
#
# A device through each kind of socket: UNIX sockets of all kinds, where everything works, and vsock
# and TCP, which pass no descriptors. Four CPUs: of a server that is not on a UNIX socket the kernel
# module knows nothing, and cannot pull it over from a CPU on which a driver waits.

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/vfiouser.sh"
. "$(dirname "$0")/../lib/testdev.sh"

ADDRESS=

# listening PROGRAM ADDRESS [OPTION...]: a server there; sets ADDRESS, with the port that it got
listening()
{
	local program=$1 where=$2

	shift 2
	rm -f "$WORK/address"
	vfu_socket "$where" "$program" "$@" >"$WORK/address" 2>"$WORK/server.log" &
	SERVER_PID=$!
	SERVER_PIDS="$SERVER_PIDS $SERVER_PID"
	if ! wait_for 20 test -s "$WORK/address"; then
		ktap_log <"$WORK/server.log"
		return 1
	fi
	ADDRESS=$(cat "$WORK/address")
	ktap_log "server at $ADDRESS"
}

# The note that goes with an attach which has less than everything.
noted()
{
	wait_for 5 grep -Eq "$1" "$WORK/attach.err"
}

# used NAME CASE...: what vfu_test says, then the device goes, by the address of its server
used()
{
	local name=$1 case

	shift
	ktap_is "$name: driver" "$(driver_of "$BDF")" vfu_test
	vfiouserctl list | grep -qF "$ADDRESS"
	ktap_ok $? "$name: the list names the socket"
	for case in "$@"; do
		testdev_case "$case"
	done
	ktap_run "$name: detach by address" detach "$ADDRESS"
	ktap_run "$name: the device is gone" wait_for 30 pci_gone "$BDF"
}

load_module
modprobe vfu_test || ktap_bail "modprobe vfu_test failed"

# UNIX sockets: nothing is missing.
for kind in unix abstract; do
	if [ $kind = unix ]; then
		SERVER=vfiouser-testdev start_server
		ADDRESS=$SOCKET
		attach "unix:$SOCKET"
	else
		listening vfiouser-testdev "@vfiouser-$$" || ktap_bail "no abstract socket"
		attach "unix-abstract:${ADDRESS#@}"
	fi
	ktap_ok $? "$kind: attach"
	[ $kind = unix ] || ADDRESS=unix-abstract:${ADDRESS#@}
	ktap_is "$kind: notes" "$(cat "$WORK/attach.err")" ""
	used $kind direct intx
	stop_server
done

# An inherited descriptor, whose server serves this one connection.
# shellcheck disable=SC2034	# ATTACH_OUT is for the log
ATTACH_OUT=$(vfu_socket pair vfiouser-testdev -- vfiouserctl attach fd:4 2>"$WORK/attach.err")
ktap_ok $? "inherited: attach"
BDF=$(printf '%s\n' "$ATTACH_OUT" | grep -Eo '[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]')
ADDRESS=fd:4
used inherited direct intx
no_server()
{
	! pidof vfiouser-testdev
}
ktap_run "inherited: the server ends with its connection" wait_for 30 no_server

# No descriptors: interrupts cannot work, all else does.
modprobe -qa vsock_loopback
for kind in tcp tcp6 vsock; do
	case $kind in
	tcp) where=tcp:127.0.0.1:0 ;;
	tcp6) where="tcp:[::1]:0" ;;
	vsock) where=vsock:1:0 ;;
	esac
	if ! listening vfiouser-testdev "$where"; then
		ktap_fail "$kind: a server"
		continue
	fi
	refused 21 "$kind: refused, for its interrupts" 'passes no descriptors.*--no-interrupts' vfiouserctl attach "$ADDRESS"
	attach --no-interrupts "$ADDRESS"
	ktap_ok $? "$kind: attach"
	ktap_run "$kind: said what goes by message" noted 'passes no descriptors: register accesses and DMA'
	ktap_is "$kind: no interrupt" "$(cat "/sys/bus/pci/devices/$BDF/irq")" 0
	used $kind slow dma-coherent
	ktap_run "$kind: probe" vfiouserctl probe "$ADDRESS"
	stop_server
	ktap_ok $? "$kind: the server ends"
	refused 5 "$kind: nobody listens" 'nobody listens' vfiouserctl attach "$ADDRESS"
done

# A device without interrupts needs no option.
listening vfiouser-testdev tcp:127.0.0.1:0 --interrupts=
attach "$ADDRESS"
ktap_ok $? "a device without interrupts: attach"
used "a device without interrupts" slow
stop_server

# A UNIX socket whose server takes no descriptors, but gives some.
SERVER=vfiouser-testdev start_server --max-msg-fds=0
ADDRESS=$SOCKET
refused 21 "no descriptors taken: refused" 'takes no descriptors.*--no-interrupts' vfiouserctl attach "$SOCKET"
attach --no-interrupts "$SOCKET"
ktap_ok $? "no descriptors taken: attach"
used "no descriptors taken" direct dma-coherent
stop_server

# The server dies: as with any other.
listening vfiouser-testdev tcp:127.0.0.1:0
attach --no-interrupts "$ADDRESS"
kill -KILL "$SERVER_PID"
ktap_run "the server dies: the device goes away" wait_for 30 pci_gone "$BDF"
refused 3 "no such CID" 'no such host|no way' vfiouserctl attach vsock:77:1
dmesg_allow 'vfiouser.*lost'
ktap_end
