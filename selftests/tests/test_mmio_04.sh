#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# CPUs go offline and come back while drivers access the device.
# SMP: 4

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/vfiouser.sh"
. "$(dirname "$0")/../lib/testdev.sh"

set_cpu()
{
	echo "$2" >"/sys/devices/system/cpu/cpu$1/online"
}

testdev_attach
testdev_case traffic-start 3
for round in 1 2; do
	for cpu in 1 2 3; do
		ktap_run "round $round: CPU $cpu goes offline" set_cpu $cpu 0
		testdev_case traffic-alive
	done
	testdev_case threaded
	for cpu in 3 1 2; do
		ktap_run "round $round: CPU $cpu comes back" set_cpu $cpu 1
		testdev_case traffic-alive
	done
done
testdev_case traffic-stop
testdev_case msix
testdev_detach

ktap_end
