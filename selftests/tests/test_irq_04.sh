#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Waiting where something else is going on, on 2 CPUs; a server that takes nearly too long each time, and
# a driver that never lets its CPU go: their devices are lost.

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/vfiouser.sh"
. "$(dirname "$0")/../lib/testdev.sh"

lost()
{
	dmesg | grep -q 'vfiouser.*lost:'
}

testdev_attach
for case in handler-reads handler-lock wait-event nmi-storm; do
	testdev_case $case
done
ktap_run "the device is there" driver_of "$BDF"
lost && ktap_fail "the device was not lost"
echo 1000 >/sys/module/vfiouser_pci/parameters/atomic_timeout_ms
testdev_case budget
ktap_run "the device is lost then" wait_for 10 lost
ktap_run "and gone" wait_for 20 pci_gone "$BDF"

# A driver that reads thousands of times in one go, each answer soon: no wait is long.
echo 5000 >/sys/module/vfiouser_pci/parameters/atomic_timeout_ms
testdev_attach
testdev_case many
dmesg_check "lost for that" "vfiouser.*lost: its answers keep a CPU from all else"
ktap_run "gone as well" wait_for 20 pci_gone "$BDF"

ktap_end
