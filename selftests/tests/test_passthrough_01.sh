#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Passthrough DMA: who gets it, what a server can do with the host's memory, the DMA API, and a server that
# is cut off.
# VM: own

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/vfiouser.sh"
. "$(dirname "$0")/../lib/testdev.sh"

# offline_block: the last block of memory that could go
offline_block()
{
	local state

	for state in $(find /sys/devices/system/memory -name state | sort -rV); do
		echo offline >"$state" 2>/dev/null && return 0
		dmesg_since | grep -q 'memory cannot come or go' && return 1
	done
	return 2
}

# dma_of: what "list" says of the only device
dma_of()
{
	vfiouserctl list --json | tr -d ' \n' | grep -o '"dma":"[a-z]*"'
}

load_module
SERVER=vfiouser-testdev start_server
ktap_status 6 "not unless the module allows it" vfiouserctl attach --dma=passthrough "$SOCKET"
ktap_match "says what to do" "$KTAP_OUT" 'allow_passthrough=1'
ktap_status 2 "no other way of DMA" vfiouserctl attach --dma=none "$SOCKET"
attach --wait=0 "$SOCKET"
ktap_is "list: bounce" "$(dma_of)" '"dma":"bounce"'
detach "$BDF"
rmmod vfiouser_pci || ktap_bail "the module is in use"

load_module allow_passthrough=1
ktap_status 6 "not without CAP_SYS_RAWIO" vfu_ram --as-user \
	vfiouserctl attach --dma=passthrough "$SOCKET"
ktap_match "says what is needed" "$KTAP_OUT" 'CAP_SYS_RAWIO'
stop_server

vfu_ram >"$WORK/ram"
while read -r line; do
	case $line in
	'ok '*) ktap_pass "memory: ${line#ok }" ;;
	*) ktap_fail "memory: ${line#not ok }" ;;
	esac
done <"$WORK/ram"
ktap_match "memory: all was checked" "$(cat "$WORK/ram")" 'nor does a new mapping show anything'

ATTACH_OPTIONS=--dma=passthrough
dmesg_mark
testdev_attach
ktap_is "list: passthrough" "$(dma_of)" '"dma":"passthrough"'
dmesg_check "a line in the log" 'passthrough DMA: the server of this device can read and write all memory'
testdev_case dma-passthrough
for case in dma-streaming dma-sg dma-limits; do
	testdev_case $case 1
done
for case in dma-coherent dma-pool dma-pages; do
	testdev_case $case
done
testdev_case dma-mmap-alloc
ktap_run "a process maps coherent memory" vfu_mmap /dev/vfu_test 0 12288 fill 17
testdev_case dma-mmap-check 17
ktap_is "nothing was copied" \
	"$(vfiouserctl list --json | tr -d ' \n' | grep -o '"dma_bytes":[0-9]*')" '"dma_bytes":0'
dmesg_mark
offline_block
ktap_is "memory cannot be unplugged meanwhile" $? 1
testdev_detach
stop_server

testdev_attach --no-map
ktap_log "a server that maps nothing"
testdev_case dma-passthrough
testdev_case dma-sg 1
testdev_detach
stop_server

# The server lives on with what it has mapped, and the module with it.
testdev_attach
kill -STOP "$SERVER_PID"
kill -KILL "$(vfiouserctl list --json | tr -d ' \n' | grep -o '"pid":[0-9]*' | cut -d: -f2)"
ktap_run "the helper is killed: the device goes" wait_for 20 pci_gone "$BDF"
ktap_status '!0' "the module stays as long as the server has the mapping" rmmod vfiouser_pci
kill -CONT "$SERVER_PID"
ATTACH_OPTIONS=
testdev_attach
testdev_case dma-streaming
ktap_run "detach" detach "$BDF"
ktap_run "the server ends" stop_server

# There is no way back from this: the last devices.
SERVER=vfiouser-testdev start_server
mount -t securityfs securityfs /sys/kernel/security
echo integrity >/sys/kernel/security/lockdown
ktap_match "a kernel that is locked down" "$(cat /sys/kernel/security/lockdown)" '\[integrity\]'
ktap_status 6 "has no passthrough DMA" vfiouserctl attach --dma=passthrough "$SOCKET"
ktap_match "and says so" "$KTAP_OUT" 'not locked down'
attach --wait=0 "$SOCKET"
ktap_ok $? "but the other kind"
ktap_run "detach" detach "$BDF"
rmmod vfu_test
ktap_run "the module can go" rmmod vfiouser_pci
ktap_end
