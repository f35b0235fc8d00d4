#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Config space of a device in use: lspci and setpci while a driver is busy, a driver that comes and goes,
# removal and rescan, and BARs that are moved away.

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/vfiouser.sh"
. "$(dirname "$0")/../lib/testdev.sh"

DRIVER=/sys/bus/pci/drivers/vfu_test

# look NAME: lspci and setpci a few times, with what they must see
look()
{
	local i

	for i in $(seq 5); do
		lspci -vvv -xxxx -s "$BDF" >"$WORK/lspci.$1" || return 1
		grep -q 'Device Serial Number 01-23-45-67-89-ab-cd-ef' "$WORK/lspci.$1" ||
			return 1
		[ "$(setpci -s "$BDF" 0.l 8.b 2c.w | paste -sd' ')" = "7e57fffe 42 fffd" ] || return 1
		setpci -s "$BDF" ffc.l="$i" || return 1
	done
}

# looks: several of them at once
looks()
{
	local pids='' pid name

	for name in 1 2 3; do
		look $name &
		pids="$pids $!"
	done
	for pid in $pids; do
		wait "$pid" || return 1
	done
}

bound()
{
	[ "$(driver_of "$BDF")" = vfu_test ]
}

testdev_attach
DIR=/sys/bus/pci/devices/$BDF

testdev_case traffic-start 2
ktap_run "lspci and setpci while the driver is busy" looks
testdev_case traffic-alive
testdev_case traffic-stop
testdev_case bars

ktap_match "lspci names the driver" "$(lspci -k -s "$BDF")" "Kernel driver in use: vfu_test"
ktap_match "I/O and memory space" "$(lspci -vv -s "$BDF")" "Control: I/O. Mem\+ BusMaster\+"

for round in 1 2 3; do
	ktap_run "round $round: unbind" sh -c "echo $BDF >$DRIVER/unbind"
	ktap_run "round $round: bind" sh -c "echo $BDF >$DRIVER/bind"
	testdev_case widths
done

echo "$BDF" >$DRIVER/unbind
was=$(setpci -s "$BDF" BASE_ADDRESS_0.l)
setpci -s "$BDF" BASE_ADDRESS_0.l="$(printf %x $((16#$was ^ 0x40000000)))"
ktap_status '!0' "a driver whose BAR is elsewhere reads nothing" sh -c "echo $BDF >$DRIVER/bind"
setpci -s "$BDF" BASE_ADDRESS_0.l="$was"
ktap_run "and binds when it is back" sh -c "echo $BDF >$DRIVER/bind"
testdev_case widths

for round in 1 2; do
	echo 1 >"$DIR/remove"
	ktap_run "round $round: removed" pci_gone "$BDF"
	echo 1 >/sys/bus/pci/rescan
	ktap_run "round $round: rescan finds it" wait_for 10 bound
	testdev_case bars
	testdev_case direct
	testdev_case dma-coherent
	testdev_case kinds
done
testdev_detach

ktap_end
