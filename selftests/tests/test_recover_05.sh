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

# other_helper PID: live, and served by another process than PID
other_helper()
{
	local now

	now=$(helper_pid)
	state_is "$BDF" live && [ -n "$now" ] && [ "$now" != 0 ] && [ "$now" != "$1" ]
}

ktap_plan 39
load_module

# begin NAME: a supervisor and a device, right after each other
begin()
{
	SOCKET=$(mktemp -u "$WORK/socket.XXXXXX")
	vfu_activate "$SOCKET" vfiouser-nvme --fd=3 --file="$image" >"$SOCKET.log" 2>&1 &
	SERVER_PID=$!
	SERVER_PIDS="$SERVER_PIDS $SERVER_PID"
	wait_for 20 test -S "$SOCKET" || ktap_bail "no socket"
	recover_begin "$1" --reconnect=120 --name=disk1 "$SOCKET"
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

begin recover
pid=$(helper_pid)
ktap_run "recover: while all is well" vfiouserctl recover disk1
other_helper "$pid"
ktap_ok $? "recover: another serves"
end recover
ktap_end
