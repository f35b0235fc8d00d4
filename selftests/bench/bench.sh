#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# TIMEOUT: 14400
# SHARE: yes
# DISK: 1G
#
# The measurements of "make bench", in the VM (scripts/bench starts it, and makes tables and plots).
#
# The kernel's command line says what is measured: bench.groups=LIST (floors, mmio, block, backing, shared,
# net, scale), bench.reps=N times in turn, bench.seconds=N for each run of fio. Each result is a line of
# /share/raw.tsv:
#
#	group	variant	case	repetition	value	unit
#
# Nothing is asserted about time; a test result only says that what was to be measured was. What
# cannot be measured here has "missing" as its value and the reason as its unit.

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/vfiouser.sh"
. "$(dirname "$0")/../lib/testdev.sh"
. "$(dirname "$0")/../lib/vhost.sh"
. "$(dirname "$0")/../lib/netpair.sh"
. "$(dirname "$0")/record.sh"
. "$(dirname "$0")/mmio.sh"
. "$(dirname "$0")/block.sh"
. "$(dirname "$0")/backing.sh"
. "$(dirname "$0")/shared.sh"
. "$(dirname "$0")/net.sh"
. "$(dirname "$0")/scale.sh"

# what users get, not what is easy on a VM
export POLL_MAX_US=1000

record_machine
wanted=$(cmdline bench.groups floors,mmio,block,scale)
# null_blk with memory and nvmet are made there
modprobe -q configfs
mount -t configfs configfs /sys/kernel/config 2>/dev/null
for group in ${wanted//,/ }; do
	"group_$group"
done
umount /sys/kernel/config
ktap_end
