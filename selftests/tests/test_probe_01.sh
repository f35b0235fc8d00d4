#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# TIMEOUT: 600
#
# A driver that waits for its device for ever, in its probe, holds up nobody else: other devices are
# attached, detached and looked for meanwhile, and its own device can be taken away by force.

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/vfiouser.sh"

ktap_plan 18
load_module
modprobe -qa virtio_pci virtio_blk || ktap_bail "no virtio_blk in this kernel"
# what the partition table of such a disk is read with ends with an error
dmesg_allow 'I/O error, dev vd|lost: |no answer: |cannot add the device'

# The disk is there, and its driver looks for partitions.
stuck()
{
	local dir

	for dir in /sys/bus/pci/devices/*/virtio*/block/vd*; do
		[ ! -e "$dir" ] || return 0
	done
	return 1
}

unstuck()
{
	! stuck
}

no_device()
{
	! vfiouserctl list | grep -qw "$1"
}

for round in detach kill; do
	SERVER=vfiouser-virtio-blk start_server --platform --answer=0
	stuck_server=$SERVER_PID
	vfiouserctl attach --name=stuck --wait=300s "$SOCKET" >"$WORK/stuck.out" 2>&1 &
	stuck_attach=$!
	SERVER_PIDS="$SERVER_PIDS $stuck_attach"
	wait_for 60 stuck
	ktap_ok $? "$round: a driver waits in its probe"

	start_server --ram=16M
	ktap_run "$round: another device is attached" timeout 120 vfiouserctl attach --name=other "$SOCKET"
	ktap_run "$round: the host's buses are looked at" \
		timeout 120 sh -c 'echo 1 >/sys/bus/pci/rescan'
	ktap_run "$round: and detached" timeout 120 vfiouserctl detach other
	stop_server

	if [ $round = detach ]; then
		ktap_run "$round: by force" timeout 120 vfiouserctl detach --force --timeout=5s stuck
	else
		kill -KILL "$stuck_server"
		wait_for 60 no_device stuck
		ktap_ok $? "$round: gone with its server"
	fi
	wait_for 60 vu_gone "$stuck_attach"
	ktap_ok $? "$round: who attached it is told"
	kill -KILL "$stuck_server" 2>/dev/null
	wait_for 60 unstuck
	ktap_ok $? "$round: no disk is left"
done
# Each answer in time, but some hundred of them.
start_server --ram=16M
ktap_status '!0' "slow: given up" timeout 240 vfiouserctl attach --name=slow --timeout=1s \
	--inject=delay:700 "$SOCKET"
wait_for 60 no_device slow
ktap_ok $? "slow: gone"
stop_server

no_refs()
{
	[ "$(awk '$1 == "vfiouser_pci" { print $3 }' /proc/modules)" = 0 ]
}
wait_for 60 no_refs
ktap_ok $? "nothing holds the module"
ktap_run "the module can go" modprobe -r vfiouser_pci
ktap_end
