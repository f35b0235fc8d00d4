#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# TIMEOUT: 900
#
# 20 rounds of attach, I/O and detach, and the module loaded anew: nothing is left behind, and memory
# does not go round by round.

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/vfiouser.sh"

POOL=default

# Memory that something holds, in KiB. Not what is not free: that counts the allocator's own lists.
used()
{
	sync
	echo 3 >/proc/sys/vm/drop_caches
	awk '/^(AnonPages|Shmem|SUnreclaim|KernelStack|PageTables|VmallocUsed|Percpu):/ { sum += $2 }
	     END { print sum }' /proc/meminfo
}

# Pages that are pinned now.
pinned()
{
	awk '$1 == "nr_foll_pin_acquired" { sum += $2 } $1 == "nr_foll_pin_released" { sum -= $2 }
	     END { print sum }' /proc/vmstat
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

# is_level: not so much more than $before that a round could have left something; sets $after
is_level()
{
	after=$(used)
	[ $((after - before)) -lt 1024 ]
}

ktap_plan 7
load_module
start_server --ram=32M

# Caches that drivers and allocators keep fill up in the first rounds.
for i in 1 2 3 4; do
	round "$i"
done
state_mark warm
fds=$(ls "/proc/$SERVER_PID/fd" | wc -l)
# What leaks in each round grows in each set of rounds; a cache or a lazily freed list does so once.
# One pool would be 20 * 64 MiB, one BAR or ring 20 * 64 KiB.
level=1
for set in 0 1 2; do
	before=$(used)
	for i in $(seq $((5 + 20 * set)) $((24 + 20 * set))); do
		round "$i"
	done
	# who has just ended may not have given back all of it yet
	wait_for 20 is_level && level=0
	ktap_log "memory in use: $before KiB before, $after KiB after rounds to $i"
	[ $level != 0 ] || break
done
ktap_pass "20 rounds"
state_check warm "nothing is left behind"
ktap_is "the server's descriptors" "$(ls "/proc/$SERVER_PID/fd" | wc -l)" "$fds"
ktap_ok $level "memory is level"
# The counters are summed up now and then; one device pins more than 16384.
pins=$(pinned)
ktap_log "pages pinned: $pins"
[ "$pins" -lt 4096 ]
ktap_ok $? "no pool is still pinned"

ktap_run "rmmod" rmmod vfiouser_pci
load_module
round last
ktap_pass "attach after a reload"
ktap_end
