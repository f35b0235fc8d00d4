#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# TIMEOUT: 600
#
# What happens to a device just when it comes back, or is about to: a process that reads its config
# space all the time, a server that is gone before the reset has ended which its error led to, and one
# that is nearly the same.

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/vfiouser.sh"
. "$(dirname "$0")/../lib/recover.sh"

ktap_plan 22
load_module

# ---- whoever reads meanwhile is served by the new helper, which must not wait for him ----

# read_config: until told to stop
read_config()
{
	until [ -e "$WORK/enough" ]; do
		cat "/sys/bus/pci/devices/$BDF/config" >/dev/null
	done
}

truncate -s 64M "$WORK/disk"
start_server --file="$WORK/disk"
dmesg_mark
attach --reconnect=120 "$SOCKET"
ktap_ok $? "read all the time: attach"
disk=$(disk_of "$BDF")
read_config &
readers=$!
read_config &
readers="$readers $!"
for n in 1 2 3; do
	kill -KILL "$SERVER_PID"
	wait_for 60 state_is "$BDF" frozen
	restart_server --file="$WORK/disk"
	wait_for 60 state_is "$BDF" live
	ktap_ok $? "read all the time: recovered, $n"
	ktap_run "read all the time: the disk, $n" dd if="$disk" of=/dev/null bs=64k count=4 iflag=direct
done
ktap_is "read all the time: no server was given up" "$(dmesg_since | grep -c 'frozen: ')" 3
: >"$WORK/enough"
# shellcheck disable=SC2086	# several
wait $readers
detach
stop_server

# ---- a driver is not told of a reset before there has been one ----

start_server --file="$WORK/disk"
dmesg_mark
recover_begin "in its reset" --reconnect=120 --inject=delay:4000@reset "$SOCKET"
kill -USR1 "$SERVER_PID"
wait_for 60 sh -c "dmesg | grep -q 'signals an error of its device: resetting'"
ktap_ok $? "in its reset: ERR is noticed"
sleep 1
kill -KILL "$SERVER_PID"
wait_for 60 state_is "$BDF" frozen
restart_server --file="$WORK/disk"
wait_for 120 state_is "$BDF" live
ktap_ok $? "in its reset: another server"
recover_end "in its reset"
detach
stop_server

# ---- a BAR that could be written, and cannot be any more ----

export SERVER=vfiouser-testdev
start_server
attach --wait=0 --reconnect=60 "$SOCKET"
ktap_ok $? "nearly the same: attach"
dmesg_mark
kill -KILL "$SERVER_PID"
wait_for 60 state_is "$BDF" frozen
restart_server --shape=bar1-r
wait_for 60 sh -c "dmesg | grep -q 'came back with another device'"
dmesg_check "nearly the same: refused, and why" 'came back with another device.*regions differ'
stop_server
restart_server
wait_for 60 state_is "$BDF" live
ktap_ok $? "nearly the same: the same is taken"
detach
stop_server
ktap_end
