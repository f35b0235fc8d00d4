#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Several servers as functions of one slot: disks and the test device at work at the same time, each with its
# own reset, end and return; the bus goes with the last one.

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/vfiouser.sh"
. "$(dirname "$0")/../lib/testdev.sh"

declare -A F_SOCKET F_PID F_BDF F_DISK

# function_attach N: the server in F_SOCKET
function_attach()
{
	attach --slot=box --function="$1" --pool-size=16M "${F_SOCKET[$1]}" || return 1
	F_BDF[$1]=$BDF
}

# disk_attach N
disk_attach()
{
	function_attach "$1" && F_DISK[$1]=$(disk_of "$BDF")
}

# disk_server N
disk_server()
{
	[ -e "$WORK/image.$1" ] || truncate -s 16M "$WORK/image.$1"
	start_server --file="$WORK/image.$1"
	F_SOCKET[$1]=$SOCKET
	F_PID[$1]=$SERVER_PID
}

# io N: random data, written and read back
io()
{
	dd if=/dev/urandom of="$WORK/data.$1" bs=64k count=16 2>/dev/null
	dd if="$WORK/data.$1" of="${F_DISK[$1]}" bs=64k conv=fsync 2>/dev/null || return 1
	echo 1 >/proc/sys/vm/drop_caches
	dd if="${F_DISK[$1]}" bs=64k count=16 2>/dev/null | cmp - "$WORK/data.$1"
}

# io_all N...: on these disks at the same time
io_all()
{
	local n pid pids=''

	for n in "$@"; do
		io "$n" &
		pids="$pids $!"
	done
	for pid in $pids; do
		wait "$pid" || return 1
	done
}

# functions: of the slot, as lspci has them
functions()
{
	lspci -D -s "${F_BDF[0]%:*}:" | sed -E 's/^[^ ]*\.([0-7]) .*/\1/' | paste -sd' '
}

load_module
modprobe vfu_test
disk_server 0
disk_server 1
# Of no function, for what is refused.
start_server --ram=16M
SPARE=$SOCKET
SERVER=vfiouser-testdev start_server
F_SOCKET[5]=$SOCKET

for n in 0 1; do
	disk_attach $n
	ktap_ok $? "function $n: a disk"
	ktap_match "function $n: its address" "${F_BDF[$n]}" "^${F_BDF[0]%.*}\.$n\$"
done
function_attach 5
ktap_ok $? "function 5: another device"
ktap_is "driver" "$(driver_of "${F_BDF[5]}")" vfu_test
ktap_is "lspci shows them in one slot" "$(functions)" "0 1 5"
ktap_is "multi-function" "$(setpci -s "${F_BDF[0]}" HEADER_TYPE) $(setpci -s "${F_BDF[5]}" 0c.l | cut -c 3-4)" "80 80"
ktap_status 15 "a function that is taken" vfiouserctl attach --slot=box --function=1 "$SPARE"
ktap_match "says so" "$KTAP_OUT" 'slot "box" has a function 1'
ktap_status 2 "a function of no slot" vfiouserctl attach --function=1 "$SPARE"
ktap_status 2 "no such function" vfiouserctl attach --slot=box --function=8 "$SPARE"
ktap_match "list names the slot" "$(vfiouserctl list --json | tr -d ' \n')" '"slot":"box"'

testdev_case traffic-start 1
ktap_run "disks and more at the same time" io_all 0 1
testdev_case traffic-stop
for case in direct dma-coherent kinds; do
	testdev_case $case
done

echo "${F_BDF[5]}" >/sys/bus/pci/drivers/vfu_test/unbind
setpci -s "${F_BDF[5]}" fc.l=12345678
ktap_run "reset of one function" sh -c "echo 1 >/sys/bus/pci/devices/${F_BDF[5]}/reset"
ktap_is "its server has done it" "$(setpci -s "${F_BDF[5]}" fc.l)" 00000000
ktap_run "not those of the others" io_all 0 1
echo "${F_BDF[5]}" >/sys/bus/pci/drivers/vfu_test/bind

ktap_run "detach function 0" detach "${F_BDF[0]}"
ktap_is "the others stay" "$(functions)" "1 5"
ktap_run "and work" io 1
testdev_case direct
echo 1 >"/sys/bus/pci/devices/${F_BDF[1]}/remove"
disk_attach 0
ktap_ok $? "function 0 comes back"
ktap_match "in its place" "${F_BDF[0]}" "^${F_BDF[5]%.*}\.0\$"
echo 1 >/sys/bus/pci/rescan
F_DISK[1]=$(disk_of "${F_BDF[1]}")
ktap_run "a rescan finds the one removed" io_all 0 1

kill -KILL "${F_PID[1]}"
ktap_run "a server dies: its function goes" wait_for 20 pci_gone "${F_BDF[1]}"
ktap_run "the others work" io 0
testdev_case direct
disk_server 1
wait_for 20 disk_attach 1
ktap_ok $? "a new one can be attached"

# Its last user keeps a PCI device beyond its removal: nobody else can be that function meanwhile.
exec 7<"${F_DISK[1]}"
ktap_run "detach one in use" detach --force "${F_BDF[1]}"
ktap_status 15 "still held: no other in its place" vfiouserctl attach --slot=box --function=1 "$SPARE"
exec 7<&-
wait_for 20 disk_attach 1
ktap_ok $? "free again once it is let go"

for n in 5 0 1; do
	ktap_run "detach function $n" detach "${F_BDF[$n]}"
done
ktap_run "the slot is gone" wait_for 10 sh -c "! ls /sys/bus/pci/devices | grep -q '^${F_BDF[1]%%:*}'"
ktap_run "so is its window" wait_for 10 sh -c '! grep -q vfiouser /proc/iomem'
ktap_status '!0' "and its place in sysfs" sh -c 'ls /sys/class/vfiouser | grep .'
disk_attach 1
ktap_ok $? "and it can be made again"
ktap_run "detach" detach "${F_BDF[1]}"
ktap_end
