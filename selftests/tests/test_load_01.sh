#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The module loads by name, offers its two interfaces, unloads, and leaves nothing behind; twice.

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/vfiouser.sh"

no_interfaces()
{
	[ ! -e /dev/vfiouser ] && ! genl ctrl get name vfiouser && [ ! -e /sys/module/vfiouser_pci ]
}

ktap_plan 11

state_mark before
for round in first second; do
	ktap_run "$round modprobe" modprobe vfiouser_pci
	ktap_run "$round load: character device" wait_for 10 test -c /dev/vfiouser
	ktap_run "$round load: netlink family" genl ctrl get name vfiouser
	ktap_run "$round rmmod" rmmod vfiouser_pci
	wait_for 10 no_interfaces
	ktap_ok $? "$round unload: interfaces are gone"
done
state_check before "nothing left behind"

ktap_end
