#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# TIMEOUT: 300
#
# A server sends a file of a file system of its own (vfu_fuse), of which no close() ends, not even that
# of a process that was killed.  The device is served, given back and recovered all the same, and
# nobody else is kept waiting.

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/vfiouser.sh"

fuse=$WORK/fuse

said()
{
	grep -q "$1" "$WORK/fuse.out"
}

# hostile_server: one that sends the file, which nobody can close any more
hostile_server()
{
	mkdir -p "$fuse"
	# what the one before has said is not what is waited for
	: >"$WORK/fuse.out"
	vfu_fuse "$fuse" >>"$WORK/fuse.out" 2>&1 &
	FUSE=$!
	wait_for 20 said mounted || ktap_bail "no file system"
	{ SERVER=vfiouser-nvme-fault start_server --ram=16M --name=fuse --fault=surplus-fd:9; } 9<>"$fuse/file"
	kill -USR1 $FUSE
}

# hostile_end: the file system is no more, and all that waited for it ends
hostile_end()
{
	kill -KILL $FUSE "$SERVER_PID"
	wait_for 20 vu_gone $FUSE
	wait_for 20 unmounted
	wait_for 20 vu_gone "$SERVER_PID"
}

# unmounted: who had that file open has let it go
unmounted()
{
	umount "$fuse" 2>/dev/null
}

# stuck PID: it has ended as far as it can
stuck()
{
	said held && ! vu_gone "$1"
}

# others NAME: who has nothing to do with it
others()
{
	local server=$SERVER_PID socket=$SOCKET bdf=$BDF

	start_server --ram=16M
	attach "$SOCKET"
	ktap_ok $? "$1: another device is attached"
	ktap_run "$1: and read" dd if="$(disk_of "$BDF")" of=/dev/null bs=64k count=4 iflag=direct
	ktap_run "$1: and detached" detach
	stop_server
	ktap_run "$1: a family of generic netlink is registered" modprobe vfu_poke
	ktap_run "$1: and goes" modprobe -r vfu_poke
	SERVER_PID=$server SOCKET=$socket BDF=$bdf
}

modprobe fuse || ktap_bail "no fuse"
load_module

# in the foreground, ended as by a service
hostile_server
vfiouserctl attach --foreground "$SOCKET" >"$WORK/front.out" 2>"$WORK/front.err" &
front=$!
attached()
{
	BDF=$(grep -Eo '[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]' "$WORK/front.out" | head -n 1)
	[ -n "$BDF" ]
}
wait_for 60 attached
ktap_ok $? "foreground: attached"
ktap_run "foreground: the disk is read" dd if="$(disk_of "$BDF")" of=/dev/null bs=64k count=4 iflag=direct
helper=$(helper_pid)
kill -TERM $front
wait_for 60 vu_gone $front
ktap_ok $? "foreground: the command ends"
pci_gone "$BDF"
ktap_ok $? "foreground: the device has gone"
ktap_match "foreground: it says who is left" "$(cat "$WORK/front.err")" \
	"the helper $helper cannot be ended: it waits for a descriptor of the server's; leaving it behind"
stuck "$helper"
ktap_ok $? "foreground: the helper waits in the kernel"
others "foreground"
hostile_end
wait_for 20 vu_gone "$helper"
ktap_ok $? "foreground: it ends with that file system"

# killed: there is no signal to end its exit, and the device must not wait for that
hostile_server
attach "$SOCKET"
ktap_ok $? "killed: attached"
helper=$(helper_pid)
kill -KILL "$helper"
wait_for 20 said held
stuck "$helper"
ktap_ok $? "killed: the helper waits in the kernel"
wait_for 60 pci_gone "$BDF"
ktap_ok $? "killed: the device goes"
others "killed"
hostile_end
wait_for 20 vu_gone "$helper"
ktap_ok $? "killed: it ends with that file system"

# with a keeper: another helper has the device
hostile_server
attach --reconnect=60 "$SOCKET"
ktap_ok $? "recovered: attached"
disk_of "$BDF" >/dev/null || ktap_bail "no disk"
helper=$(helper_pid)
kill -KILL "$helper"
wait_for 20 said held
kill -KILL "$SERVER_PID"
first=$SERVER_PID
rm -f "$SOCKET"
SERVER=vfiouser-nvme vu_serve vfiouser-nvme --ram=16M --name=fuse
wait_for 120 other_helper "$helper"
ktap_ok $? "recovered: another helper serves the device"
stuck "$helper"
ktap_ok $? "recovered: the first one waits in the kernel"
ktap_run "recovered: the disk is read" dd if="$(disk_of "$BDF")" of=/dev/null bs=64k count=4 iflag=direct
ktap_run "recovered: and detached" detach
kill -KILL $FUSE
wait_for 20 vu_gone $FUSE
wait_for 20 unmounted
wait_for 20 vu_gone "$first"
wait_for 20 vu_gone "$helper"
ktap_ok $? "recovered: the first helper ends with that file system"
stop_server
ktap_end
