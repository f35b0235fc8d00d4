#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# TIMEOUT: 600
#
# A server that raises every interrupt without end: all CPUs get on, and the device can be taken away.
# And one that writes to the shared memory while the driver uses it.

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/vfiouser.sh"
. "$(dirname "$0")/../lib/hostile.sh"

# irqs: of the device, so far
irqs()
{
	awk '/nvme[0-9]q/ { for (i = 2; i <= NF && $i ~ /^[0-9]+$/; i++) n += $i } END { print n + 0 }' \
		/proc/interrupts
}

more_irqs()
{
	[ "$(irqs)" -gt "$1" ]
}

# under MODE: attach a disk behind such a server
under()
{
	start_server --ram=16M
	real=$SOCKET
	SERVER=vfu_mangle start_server --server="$real" --mode="$1"
	attach "$SOCKET"
	ktap_ok $? "$1: attach"
	disk_of "$BDF" >/dev/null
	kill -USR1 "$SERVER_PID"
}

ktap_plan 9
# interrupts that no driver has asked for are turned off by the kernel in the end, and it says so;
# a driver that reads nonsense in its queues says so too
dmesg_allow 'nobody cared|Call Trace|nvme nvme[0-9]+:|nvme.*invalid id|I/O error|Buffer I/O error'
load_module
pulse_start

under irq
before=$(irqs)
wait_for 30 more_irqs $((before + 1000))
ktap_ok $? "irq: interrupts come without end"
responsive "irq: every CPU gets on"
ktap_log "figure: interrupts taken until then: $(($(irqs) - before))"
timeout $((60 * ${VM_SCALE:-1})) vfiouserctl detach --force "$BDF" >/dev/null 2>&1
ktap_ok $? "irq: it can be detached"
all_gone
ktap_ok $? "irq: all is given back"

under scribble
for disk in /dev/nvme[0-9]*n[0-9]*; do
	[ ! -b "$disk" ] || timeout 5 dd if="$disk" of=/dev/null bs=64k count=64 iflag=direct 2>/dev/null
done
responsive "scribble: every CPU gets on"
all_gone
ktap_ok $? "scribble: all is given back"
pulse_stop
ktap_run "the module can go" modprobe -r vfiouser_pci
ktap_end
