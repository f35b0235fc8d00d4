#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# TIMEOUT: 500
#
# 20 rounds of attach, I/O and detach, and the module loaded anew: nothing is left behind, and memory
# does not go round by round.

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/vfiouser.sh"

# Memory in use, in KiB, without what the kernel gives back by itself.
used()
{
	sync
	echo 3 >/proc/sys/vm/drop_caches
	awk '/^(MemTotal|MemFree|Buffers|Cached|SReclaimable):/ { v[$1] = $2 }
	     END { print v["MemTotal:"] - v["MemFree:"] - v["Buffers:"] - v["Cached:"] -
			 v["SReclaimable:"] }' /proc/meminfo
}

round()
{
	attach "$SOCKET" || ktap_bail "attach failed in round $1"
	disk=$(disk_of "$BDF") || ktap_bail "no disk in round $1"
	dd if="$disk" of=/dev/null bs=64k count=16 iflag=direct 2>/dev/null ||
		ktap_bail "read failed in round $1"
	detach "$BDF" || ktap_bail "detach failed in round $1"
	wait_for 5 pci_gone "$BDF" || ktap_bail "device still there after round $1"
}

ktap_plan 6
load_module
start_server --ram=32M

# Caches that drivers and allocators keep fill up in the first rounds.
round 1
round 2
state_mark warm
fds=$(ls "/proc/$SERVER_PID/fd" | wc -l)
before=$(used)
for i in $(seq 3 22); do
	round "$i"
done
after=$(used)
ktap_pass "20 rounds"
state_check warm "nothing is left behind"
ktap_is "the server's descriptors" "$(ls "/proc/$SERVER_PID/fd" | wc -l)" "$fds"
ktap_log "memory in use: $before KiB before, $after KiB after"
# One pool that leaks in each round would be 20 * 64 MiB, one BAR or ring 20 * 64 KiB.
[ $((after - before)) -lt 1024 ]
ktap_ok $? "memory is level"

ktap_run "rmmod" rmmod vfiouser_pci
load_module
round 23
ktap_pass "attach after a reload"
ktap_end
