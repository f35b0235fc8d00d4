#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# TIMEOUT: 600
#
# The server hangs and goes on, or is replaced while it hangs: the message timeout begins the recovery,
# and no memory is given to another server while the old one could still write to it.

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/vfiouser.sh"
. "$(dirname "$0")/../lib/recover.sh"

ktap_plan 18
load_module

image=$WORK/disk
truncate -s 64M "$image"
# doorbells that trap, so that the hang is noticed when the driver next rings one
start_server --file="$image" --doorbells=trap --name=hang
dmesg_mark
recover_begin hang --reconnect=120 --timeout=4s "$SOCKET"
for n in 1 2; do
	recover_progress
	kill -STOP "$SERVER_PID"
	# posted writes are not waited for; a read is
	(lspci -s "$BDF" -vvv >/dev/null 2>&1 &)
	wait_for 120 state_is "$BDF" frozen
	ktap_ok $? "frozen while the server hangs, $n"
	kill -CONT "$SERVER_PID"
	wait_for 120 state_is "$BDF" live
	ktap_ok $? "recovered when it goes on, $n"
done
recover_progress

kill -STOP "$SERVER_PID"
(lspci -s "$BDF" -vvv >/dev/null 2>&1 &)
wait_for 120 state_is "$BDF" frozen
old=$SERVER_PID
rm -f "$SOCKET"
# the old one has the file locked, which is a defence that not every server has: by another way
ktap_run "a second server does not share the file" sh -c \
	"! vfiouser-nvme --socket-path=\"$SOCKET\" --file=\"$image\" 2>/dev/null"
modprobe -q loop
loop=$(losetup -f)
losetup "$loop" "$image" || ktap_bail "no loop device"
vu_serve vfiouser-nvme --file="$loop" --doorbells=trap --name=hang
wait_for 60 sh -c 'dmesg | grep -q "from before still runs"'
ktap_ok $? "another server is refused while the old one is only stopped"
state_is "$BDF" frozen
ktap_ok $? "still frozen"
kill -KILL "$old"
wait_for 120 state_is "$BDF" live
ktap_ok $? "and taken once it has ended"
recover_progress
recover_end hang
detach "$BDF"
ktap_ok $? "detach"
stop_server
losetup -d "$loop"
ktap_end
