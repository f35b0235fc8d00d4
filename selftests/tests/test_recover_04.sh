#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# TIMEOUT: 600
#
# What else there is to a recovery: a driver without error handlers, a server that comes back with
# another device, none that comes back in time, one that goes away each time, detach while frozen; ERR and REQ, the signals of a
# device to its driver and to its administrator.

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/vfiouser.sh"
. "$(dirname "$0")/../lib/recover.sh"
. "$(dirname "$0")/../lib/testdev.sh"

ktap_plan 53
load_module

# A driver that cannot wait is unbound and bound again.
modprobe vfu_test || ktap_bail "modprobe vfu_test failed"
SERVER=vfiouser-testdev start_server
dmesg_mark
attach --reconnect=60 "$SOCKET"
ktap_is "no handlers: the driver" "$(driver_of "$BDF")" vfu_test
kill -KILL "$SERVER_PID"
wait_for 60 pci_gone "$BDF"
ktap_ok $? "no handlers: unbound and taken out"
state_is "$BDF" frozen
ktap_ok $? "no handlers: the device waits"
SERVER=vfiouser-testdev restart_server
wait_for 120 state_is "$BDF" live
ktap_ok $? "no handlers: back"
wait_for 60 test -e "/sys/bus/pci/devices/$BDF/driver"
ktap_is "no handlers: bound again" "$(driver_of "$BDF")" vfu_test
for case in widths msix; do
	echo $case >"$VFT/run" && grep -q '^ok' "$VFT/result" && ! grep '^not ok' "$VFT/result"
	ktap_ok $? "no handlers: and works: $case"
done

# Its error, with a driver that has no handlers, is the same with the same server.
dmesg_mark
kill -USR1 "$SERVER_PID"
wait_for 60 sh -c "dmesg | grep -q 'signals an error of its device'"
ktap_ok $? "ERR: noticed"
wait_for 60 test -e "/sys/bus/pci/devices/$BDF/driver"
wait_for 60 state_is "$BDF" live
ktap_is "ERR: bound again" "$(driver_of "$BDF")" vfu_test

# Not the device that it was.
pid=$(helper_pid)
kill -KILL "$SERVER_PID"
wait_for 60 state_is "$BDF" frozen
restart_server --ram=64M
wait_for 60 sh -c 'dmesg | grep -q "came back with another device"'
ktap_ok $? "another device: refused in words"
sleep 2
ktap_is "another device: said once" "$(dmesg | grep -c 'came back with another device')" 1
state_is "$BDF" frozen
ktap_ok $? "another device: still waits"
SERVER=vfiouser-testdev restart_server
wait_for 120 state_is "$BDF" live
ktap_ok $? "another device: the right one is taken"

# Detach while there is nobody.
kill -KILL "$SERVER_PID"
wait_for 60 state_is "$BDF" frozen
ktap_run "detach while frozen" vfiouserctl detach --force "$SOCKET"
wait_for 60 sh -c '! pidof vfiouserctl'
ktap_ok $? "detach while frozen: no process is left"

# Too late.
rm -f "$SOCKET"
start_server --ram=64M
attach --reconnect=2s "$SOCKET"
ktap_ok $? "too late: attach"
disk=$(disk_of "$BDF")
dmesg_mark
dd if="$disk" of=/dev/null bs=4k count=100000 iflag=direct 2>/dev/null &
reader=$!
kill -KILL "$SERVER_PID"
wait_for 120 pci_gone "$BDF"
ktap_ok $? "too late: the device goes"
wait_for 120 vu_gone $reader
ktap_ok $? "too late: I/O ends"
dmesg_check "too late: said in the log" "lost: it was not recovered in time"
wait_for 60 sh -c '! pidof vfiouserctl'
ktap_ok $? "too late: no process is left"

# A device that the driver was told to reset; the disk stays.
rm -f "$SOCKET"
start_server --ram=64M
attach "$SOCKET"
disk=$(disk_of "$BDF")
dd if=/dev/urandom of="$WORK/data" bs=64k count=16 2>/dev/null
dd if="$WORK/data" of="$disk" bs=64k oflag=direct 2>/dev/null
dmesg_mark
kill -USR1 "$SERVER_PID"
wait_for 60 sh -c "dmesg | grep -q 'restart after slot reset'"
ktap_ok $? "ERR with nvme: its handlers run"
dd if="$disk" of="$WORK/back" bs=64k count=16 iflag=direct 2>/dev/null
ktap_run "ERR with nvme: the disk is as it was" cmp "$WORK/data" "$WORK/back"
kill -USR2 "$SERVER_PID"
wait_for 60 pci_gone "$BDF"
ktap_ok $? "REQ: the device goes"
dmesg_check "REQ: said in the log" "asks for the removal of its device"
[ -z "$(dmesg_since | grep 'lost:')" ]
ktap_ok $? "REQ: and is not lost"
wait_for 60 sh -c '! pidof vfiouserctl'
ktap_ok $? "REQ: no process is left"

# In the foreground the exit status says how it ended.
vfiouserctl attach --foreground "$SOCKET" >"$WORK/fg.out" 2>&1 &
fg=$!
wait_for 120 grep -q nvme "$WORK/fg.out"
ktap_ok $? "REQ in the foreground: attached"
kill -USR2 "$SERVER_PID"
wait $fg
ktap_is "REQ in the foreground: exit status" $? 0

# So it does where nobody came back in time, so that a service is started again; but not where somebody
# has asked for the removal while it waited.
vfiouserctl attach --foreground --reconnect=3s "$SOCKET" >"$WORK/lost.out" 2>&1 &
fg=$!
wait_for 120 grep -q nvme "$WORK/lost.out"
ktap_ok $? "lost in the foreground: attached"
stop_server
wait $fg
[ $? != 0 ]
ktap_ok $? "lost in the foreground: exit status"
rm -f "$SOCKET"
start_server --ram=64M
vfiouserctl attach --foreground --reconnect=100s --name=fg "$SOCKET" >"$WORK/detached.out" 2>&1 &
fg=$!
wait_for 120 grep -q nvme "$WORK/detached.out"
ktap_ok $? "detached in the foreground: attached"
BDF=$(awk '{ print $2 }' "$WORK/detached.out")
kill -KILL "$SERVER_PID"
wait_for 60 state_is "$BDF" frozen
ktap_run "detached in the foreground, while frozen" vfiouserctl detach --force fg
wait $fg
ktap_is "detached in the foreground: exit status" $? 0
rm -f "$SOCKET"
start_server --ram=64M

# A server that comes back each time, and goes away at the same access of each probe: there is an end
# to it. One that works after that has its disk back.
fault=--fault=close-when-ready
vfiouserctl attach --foreground --reconnect=8s --name=loop "$SOCKET" >"$WORK/loop.out" 2>&1 &
fg=$!
wait_for 120 grep -q nvme "$WORK/loop.out"
ktap_ok $? "goes at the same access: attached"
BDF=$(awk '{ print $2 }' "$WORK/loop.out")
restart_server --ram=64M $fault
wait_for 120 vu_gone $fg || kill $fg
wait $fg
ktap_is "goes at the same access: exit status" $? 23 || ktap_log <"$WORK/loop.out"
wait_for 10 pci_gone "$BDF"
ktap_ok $? "goes at the same access: the device goes"
restart_server --ram=64M
attach --reconnect=100s "$SOCKET"
ktap_ok $? "goes at some accesses: attach"
disk_of "$BDF" >/dev/null
left()
{
	dmesg_since | grep -q 'driver has left it'
}
dmesg_mark
restart_server --ram=64M $fault
wait_for 90 left
ktap_ok $? "goes at some accesses: its driver leaves, and is bound anew"
restart_server --ram=64M
wait_for 90 vu_disk "$BDF"
ktap_run "goes at some accesses: the disk comes back" dd if="$(disk_of "$BDF")" of=/dev/null bs=64k count=16 iflag=direct
detach "$BDF"
ktap_ok $? "goes at some accesses: detach"

# When all of a service is killed, its device waits for the next one: it is not removed. (A file of its own:
# the one above has the words that are waited for until the shell in the background has opened it anew.)
vfiouserctl attach --foreground --reconnect=100s --name=fg "$SOCKET" >"$WORK/killed.out" 2>&1 &
fg=$!
wait_for 120 grep -q nvme "$WORK/killed.out"
ktap_ok $? "killed in the foreground: attached"
BDF=$(awk '{ print $2 }' "$WORK/killed.out")
kill -KILL $fg
wait $fg
wait_for 60 state_is "$BDF" frozen
ktap_ok $? "killed in the foreground: the device waits"
ktap_run "killed in the foreground: recover" vfiouserctl recover fg
ktap_run "killed in the foreground: the disk" dd if="$(disk_of "$BDF")" of=/dev/null bs=64k count=16 iflag=direct
ktap_run "killed in the foreground: detach" vfiouserctl detach fg

# Suspend and hibernation are refused, in words, and only while there is a device.
suspend()
{
	attach "$SOCKET"
	for state in freeze disk; do
		dmesg_mark
		ktap_status '!0' "$state is refused" sh -c "echo $state >/sys/power/state"
		dmesg_check "$state: said in the log" "cannot suspend while devices are attached"
	done
	ktap_run "after that the disk can be read" dd if="$(disk_of "$BDF")" of=/dev/null bs=64k count=16
	ktap_run "detach" detach "$BDF"
	delay=$(cat /sys/module/suspend/parameters/pm_test_delay)
	echo 1 >/sys/module/suspend/parameters/pm_test_delay
	echo devices >/sys/power/pm_test
	ktap_run "without a device: all others suspend and resume" sh -c 'echo freeze >/sys/power/state'
	echo none >/sys/power/pm_test
	echo "$delay" >/sys/module/suspend/parameters/pm_test_delay
	attach "$SOCKET"
	ktap_ok $? "attach after that"
	detach "$BDF"
}

if [ -e /sys/power/state ]; then
	suspend
else
	for what in 1 2 3 4 5 6 7 8; do
		ktap_skip "suspend $what" "a kernel with CONFIG_SUSPEND and CONFIG_HIBERNATION"
	done
fi
# Of the disk that did not come back.
dmesg_allow 'I/O error|Buffer I/O error'
ktap_end
