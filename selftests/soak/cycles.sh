#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# TIMEOUT: 7200
#
# Attach and detach 1,000 times: memory, slab, files and processes stay level.

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/vfiouser.sh"

CYCLES=${CYCLES:-1000}

# kib FIELD: of /proc/meminfo
kib()
{
	awk -v field="$1:" '$1 == field { print $2 }' /proc/meminfo
}

settle()
{
	sync
	echo 3 >/proc/sys/vm/drop_caches
	sleep 2
	echo 3 >/proc/sys/vm/drop_caches
}

# used: what is neither free nor reclaimed just now
used()
{
	echo $(($(kib MemTotal) - $(kib MemFree)))
}

ktap_plan 5
load_module
start_server --ram=16M
failed=0
for ((n = 0; n < CYCLES; n++)); do
	if [ "$n" = 50 ]; then
		settle
		state_mark begin
		memory=$(used) slab=$(kib SUnreclaim) files=$(cut -f1 /proc/sys/fs/file-nr)
	fi
	attach --wait=0 --pool-size=2M "$SOCKET" || failed=$((failed + 1))
	detach --force "$BDF" || failed=$((failed + 1))
	wait_for 20 pci_gone "$BDF" || failed=$((failed + 1))
done
ktap_is "no attach or detach failed" "$failed" 0
settle
state_check begin "processes, interrupts, address space as before"
after=$(used) slab_after=$(kib SUnreclaim) files_after=$(cut -f1 /proc/sys/fs/file-nr)
ktap_log "figure: attach/detach cycles: $n"
ktap_log "figure: memory used: $memory KiB after 50, $after KiB after $n"
ktap_log "figure: slab: $slab KiB after 50, $slab_after KiB after $n"
ktap_log "figure: open files: $files after 50, $files_after after $n"
# A leak of one page each time would be 4 KiB a cycle; per-CPU lists and the like move by some MiB.
[ $((after - memory)) -lt $(((n - 50) * 4 / 2 + 4096)) ]
ktap_ok $? "memory is level"
[ $((slab_after - slab)) -lt $(((n - 50) + 2048)) ]
ktap_ok $? "slab is level"
[ $((files_after - files)) -lt 64 ]
ktap_ok $? "files are level"
ktap_end
