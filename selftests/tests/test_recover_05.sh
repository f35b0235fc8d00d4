#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# TIMEOUT: 600
#
# A server whose socket a supervisor has made, which starts it with the first connection and lives
# on, as systemd does: right from that first connection the device survives its helper, its server,
# and being taken over.

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/vfiouser.sh"
. "$(dirname "$0")/../lib/recover.sh"

# server_pid: as "show" has it
server_pid()
{
	vfiouserctl show --json disk1 | awk '/"server_pid":/ { gsub(/,/, "", $2); print $2 }'
}

ktap_plan 59
load_module

# begin NAME [OPTION...]: a supervisor and a device, right after each other
begin()
{
	local name=$1

	SOCKET=$(mktemp -u "$WORK/socket.XXXXXX")
	vfu_activate "$SOCKET" vfiouser-nvme --fd=3 --file="$image" >"$SOCKET.log" 2>&1 &
	SERVER_PID=$!
	SERVER_PIDS="$SERVER_PIDS $SERVER_PID"
	wait_for 20 test -S "$SOCKET" || ktap_bail "no socket"
	shift
	recover_begin "$name" --reconnect=120 --name=disk1 "$@" "$SOCKET"
}

# end NAME
end()
{
	recover_progress
	ktap_ok $? "$1: goes on"
	recover_end "$1"
	detach disk1
	ktap_ok $? "$1: detach"
	kill -KILL "$SERVER_PID"
	wait_for 10 vu_gone "$SERVER_PID"
}

image=$WORK/disk
truncate -s 64M "$image"

begin helper
ktap_is "helper: the server is known, not who listens" "$(basename "$(readlink "/proc/$(server_pid)/exe")")" vfiouser-nvme
pid=$(helper_pid)
kill -KILL "$pid"
wait_for 120 other_helper "$pid"
ktap_ok $? "helper: killed, and another serves"
end helper

begin server
pid=$(helper_pid)
kill -KILL "$(server_pid)"
wait_for 120 other_helper "$pid"
ktap_ok $? "server: killed, and another serves"
end server

# refused STATUS NAME OPTION...: "recover" says no in one line, and the device does not notice
refused()
{
	local status=$1 name=$2 pid

	shift 2
	pid=$(helper_pid)
	vfiouserctl recover "$@" disk1 >"$WORK/out" 2>&1
	ktap_is "$name: exit status" $? "$status"
	ktap_is "$name: in one line" "$(wc -l <"$WORK/out")" 1
	device_state "$BDF"
	ktap_is "$name: same helper" "$STATE $(helper_pid)" "live $pid"
}

begin recover --poll-us=7 --inject=error:EIO@reset
# before the driver does so on its own
ktap_match "recover: attaching begins with a reset" "$(cat "$WORK/attach.err")" 'does not reset its device'
refused 2 "recover with an option of the device" --dma=passthrough
refused 2 "recover without interrupts" --no-interrupts
refused 2 "recover with other BARs" --io-bars=hide
mv "$SOCKET" "$SOCKET.away"
refused 3 "recover without a socket"
mv "$SOCKET.away" "$SOCKET"
ktap_run "set" vfiouserctl set --timeout=9s --grace=200s disk1
ktap_match "set: is set" "$(vfiouserctl show disk1)" 'has 9 s for an answer'
ktap_match "set: the grace time, too" "$(vfiouserctl show disk1)" 'Grace: *200 s$'
pid=$(helper_pid)
ktap_run "recover: while all is well" vfiouserctl recover disk1
other_helper "$pid"
ktap_ok $? "recover: another serves"
ktap_match "recover: with the options of attach" "$(vfiouserctl show disk1)" 'Options: .*--poll-us=7'
ktap_match "recover: and a keeper" "$(vfiouserctl show disk1)" 'Keeper: *process [1-9]'
ktap_match "recover: the times stay" "$(vfiouserctl show --json disk1 | tr -d ' \n')" '"grace_ms":200000,.*"timeout_ms":9000'
kill -KILL "$(server_pid)"
rm -f "$SOCKET"
wait_for 60 state_is "$BDF" frozen
ktap_match "frozen: how long yet" "$(vfiouserctl list)" 'frozen [0-9]+s'
# another directory's socket by the same path
mkdir "$WORK/new"
image2=$image
vfu_activate "$WORK/new/s" vfiouser-nvme --fd=3 --file="$image2" >/dev/null 2>&1 &
SERVER_PIDS="$SERVER_PIDS $!"
wait_for 20 test -S "$WORK/new/s"
ln -s new/s "$SOCKET"
wait_for 120 state_is "$BDF" live
ktap_ok $? "frozen: a path is followed to where it leads now"
end recover
ktap_end
