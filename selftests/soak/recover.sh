#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# TIMEOUT: 5400
# DISK: 64M
# APPEND: log_buf_len=8M
#
# What test_recover_01 to _03 do, by the dozen: the server killed 50 times, the helper 20 times, the
# server hung 10 times, and the helper killed 20 times above a server that keeps its state, all
# under one file system that is being written and verified. In the last part requests of processes that know
# nothing of each other begin all the time, also while there is no helper.

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/vfiouser.sh"
. "$(dirname "$0")/../lib/recover.sh"

KILLS=${KILLS:-50} HELPERS=${HELPERS:-20} HANGS=${HANGS:-10}
serve="--file=/dev/vda --doorbells=trap"

# back NAME: waits until the device is live again; false, and said, if it does not come
back()
{
	wait_for 120 state_is "$BDF" live && return
	device_state "$BDF"
	ktap_log "$1: $STATE"
	lost=$((lost + 1))
	return 1
}

ktap_plan 14
load_module
# shellcheck disable=SC2086
start_server $serve --no-keep
dmesg_mark
lost=0
recover_begin soak --reconnect=300 --timeout=2s "$SOCKET"

for ((n = 0; n < KILLS; n++)); do
	recover_progress
	kill -KILL "$SERVER_PID"
	wait_for 60 state_is "$BDF" frozen
	# shellcheck disable=SC2086
	restart_server $serve --no-keep
	back "server killed $n" || break
done
ktap_log "figure: server killed and started again: $n"
ktap_is "the server killed" "$n" "$KILLS"

# helpers NAME: the helper is, as often
helpers()
{
	local n pid

	for ((n = 0; n < HELPERS; n++)); do
		recover_progress
		pid=$(helper_pid)
		kill -KILL "$pid"
		wait_for 60 other_helper "$pid"
		back "$1 $n" || break
	done
	ktap_log "figure: $1 and replaced: $n"
	ktap_is "$1" "$n" "$HELPERS"
}
helpers "helper killed"

for ((n = 0; n < HANGS; n++)); do
	recover_progress
	kill -STOP "$SERVER_PID"
	(lspci -s "$BDF" -vvv >/dev/null 2>&1 &)
	wait_for 60 state_is "$BDF" frozen
	kill -CONT "$SERVER_PID"
	back "server hung $n" || break
done
ktap_log "figure: server hung and resumed: $n"
ktap_is "the server hung" "$n" "$HANGS"

kill -KILL "$SERVER_PID"
wait_for 60 state_is "$BDF" frozen
restart_server --file=/dev/vda --doorbells=ioeventfd
back "another server"
(while [ ! -e "$WORK/stop" ]; do
	dd if="$disk" of=/dev/null bs=4k count=1 iflag=direct 2>/dev/null &
	usleep 20000
done; wait) &
frozen=$(dmesg_since | grep -c ': frozen: ')
helpers "helper killed, the driver not told"
ktap_is "never frozen for that" "$(dmesg_since | grep -c ': frozen: ')" "$frozen"

recover_progress
recover_end soak
ktap_log "figure: rounds of writing and verifying meanwhile: $(cat "$WORK/rounds")"
ktap_log "figure: I/O errors: $(dmesg_since | grep -c 'I/O error')"
detach "$BDF"
ktap_end
