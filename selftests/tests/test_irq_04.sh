#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Waiting where something else is going on, on 2 CPUs, and a server that takes nearly too long each
# time: its device is lost.

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

ktap_end
