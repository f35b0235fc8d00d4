#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Who reads memory that is no memory: the kernel's memory as a whole, and an instruction that the decoder does
# not know, which is named in the log, and then the kernel's own oops. At last ftrace turns itself off: the
# module cannot go.
# VM: own

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/vfiouser.sh"
. "$(dirname "$0")/../lib/testdev.sh"

dmesg_allow 'BUG: unable to handle page fault for address'
dmesg_allow 'Oops: .*\[#1\]'
dmesg_allow 'Call Trace:'

# trapped_reads: how many the only device has seen
trapped_reads()
{
	vfiouserctl list --json | grep -o '"reads":[ 0-9]*'
}

testdev_attach
# addresses as they are, for who may see them
echo 1 >/proc/sys/kernel/kptr_restrict
# What is so marked is a hole in /proc/kcore: whoever reads that reads no registers.
areas=$(grep -E 'vfu_(area|mmio)' /proc/vmallocinfo)
ktap_match "BARs are registers to who reads the kernel's memory" "$areas" ' ioremap'
ktap_is "all of them" "$(printf '%s\n' "$areas" | grep -vc ' ioremap')" 0
reads=$(trapped_reads)
mapfile -t ranges <<<"$(printf '%s\n' "$areas" | awk '{ print $1 }')"
ktap_run "they can be read through /proc/kcore" vfu_kcore "${ranges[@]}"
ktap_match "to their ends, as holes" "$KTAP_OUT" \
	"^$(printf '%s\n' "$areas" | awk '{ sum += $2 } END { print sum }') bytes read, 0 not zero"
ktap_is "and the server is not asked" "$(trapped_reads)" "$reads"
echo 0 >/proc/sys/kernel/panic_on_oops
dmesg_mark
testdev_case undecoded
dmesg_check "one line names the instruction" 'cannot emulate 0f ae .* at undecoded_thread'
dmesg_check "then the kernel's own message" 'unable to handle page fault'
testdev_case ftrace-kill
testdev_detach
ktap_run "the driver goes" modprobe -r vfu_test
# it never ends: nothing is to wait for its output
rmmod vfiouser_pci >/dev/null 2>&1 &
stays()
{
	dmesg | grep -q 'it stays until the next boot'
}
ktap_run "the module cannot, without ftrace, and says so" wait_for 20 stays
ktap_run "hooks that are left have something to call" lspci -vv
ktap_run "the module is still there" grep -q ^vfiouser_pci /proc/modules
ktap_end
