#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# TIMEOUT: 600
#
# The helper is killed under a file system that is being written: by itself another takes the device
# over with --reconnect; without, "attach" or "recover" does. A helper that is alive is replaced. One
# that hangs is ended. All of it with a server that forgets its controller with its client, as others do;
# and with ours as it is, of which nvme is told nothing.

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/vfiouser.sh"
. "$(dirname "$0")/../lib/recover.sh"

ktap_plan 70
load_module

image=$WORK/disk
truncate -s 64M "$image"
start_server --file="$image" --no-keep
dmesg_mark
recover_begin keeper --reconnect=120 --name=disk1 --timeout=4s "$SOCKET"
pid=$(helper_pid)
kill -KILL "$pid"
wait_for 120 other_helper "$pid"
ktap_ok $? "keeper: killed, and another serves"
recover_progress
ktap_ok $? "keeper: goes on"
pid=$(helper_pid)
kill -STOP "$pid"
# what the driver reaches directly goes on: somebody has to ask
(lspci -s "$BDF" -vvv >/dev/null 2>&1 &)
wait_for 120 other_helper "$pid"
ktap_ok $? "keeper: stopped, and another serves"
wait_for 60 vu_gone "$pid"
ktap_ok $? "keeper: the one that hung was ended"
recover_progress
ktap_ok $? "keeper: goes on again"
pid=$(helper_pid)
vfiouserctl recover disk1 >"$WORK/recover.out" 2>&1
ktap_ok $? "keeper: replaced while alive" || ktap_log <"$WORK/recover.out"
ktap_match "keeper: recover prints the device" "$(cat "$WORK/recover.out")" "^disk1 $BDF .*nvme"
other_helper "$pid"
ktap_ok $? "keeper: another serves"
wait_for 60 vu_gone "$pid"
ktap_ok $? "keeper: the old one has ended"
recover_progress
recover_end keeper
# Killed, hung, and replaced: each was one freeze, and nobody ended a helper that served.
ktap_is "keeper: frozen three times" "$(dmesg_since | grep -c 'disk1: frozen: ')" 3
detach "$BDF"
ktap_ok $? "keeper: detach"
wait_for 60 sh -c '! pidof vfiouserctl'
ktap_ok $? "keeper: no process is left"

recover_begin grace --grace=120 --name=disk2 "$SOCKET"
pid=$(helper_pid)
kill -KILL "$pid"
wait_for 60 state_is "$BDF" frozen
ktap_ok $? "grace: frozen without a helper"
was=$BDF
attach --name=disk2 "$SOCKET"
ktap_ok $? "grace: attach takes it over"
ktap_is "grace: it is the same device" "$BDF" "$was"
recover_progress
kill -KILL "$(helper_pid)"
wait_for 60 state_is "$BDF" frozen
ktap_run "grace: recover --all takes it over" vfiouserctl recover --all
recover_progress
recover_end grace
detach "$BDF"
stop_server "$SERVER_PID"

# ---- the controller goes on, and another helper goes on with it ----

# (not with trapped doorbells or INTx, where under load a request is always on its way)
for how in mmap ioeventfd; do
	dmesg_mark
	start_server --file="$image" --doorbells=$how
	recover_begin "$how" --reconnect=120 --name=disk3 "$SOCKET"
	for kill in 1 2; do
		pid=$(helper_pid)
		kill -KILL "$pid"
		wait_for 120 other_helper "$pid"
		ktap_ok $? "$how: killed, and another serves ($kill)"
		recover_progress
		ktap_ok $? "$how: goes on ($kill)"
	done
	ktap_run "$how: replaced while alive" vfiouserctl recover disk3
	recover_progress
	recover_end "$how"
	ktap_is "$how: held three times" "$(dmesg_since | grep -c 'disk3: held: ')" 3
	ktap_is "$how: never frozen" "$(dmesg_since | grep -c 'disk3: frozen: ')" 0
	ktap_is "$how: nvme knows of nothing" \
		"$(dmesg_since | awk '/EXT4-fs .*: mounted/ { on = 1 } on' | grep -c ' nvme')" 0
	detach "$BDF"
	ktap_ok $? "$how: detach"
	stop_server "$SERVER_PID"
done
ktap_end
