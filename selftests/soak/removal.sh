#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# TIMEOUT: 5400
#
# Without --reconnect: the server killed under I/O 200 times. I/O ends with errors, the device goes,
# nothing is left of it.

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/vfiouser.sh"

KILLS=${KILLS:-200}

ktap_plan 2
load_module
failed=0
for ((n = 0; n < KILLS; n++)); do
	[ "$n" != 1 ] || state_mark first
	start_server --ram=16M
	attach --timeout=2s "$SOCKET" && disk=$(disk_of "$BDF") || failed=$((failed + 1))
	dd if="$disk" of=/dev/null bs=4k count=1000000 iflag=direct 2>/dev/null &
	reader=$!
	kill -KILL "$SERVER_PID"
	wait_for 60 pci_gone "$BDF" && wait_for 60 vu_gone $reader || failed=$((failed + 1))
	wait $reader && failed=$((failed + 1))
	wait_for 20 sh -c '! pidof vfiouserctl' || failed=$((failed + 1))
	wait "$SERVER_PID" 2>/dev/null
	rm -f "$SOCKET" "$SOCKET.log"
	SERVER_PIDS=
	[ $failed = 0 ] || break
done
ktap_log "figure: server killed without --reconnect: $n, not cleanly removed: $failed"
ktap_is "removed cleanly each time" "$failed" 0
state_check first "nothing is left"
dmesg_allow 'I/O error|Buffer I/O error'
ktap_end
