#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# An instruction that the decoder does not know: named in the log, and then the kernel's own oops.

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/vfiouser.sh"
. "$(dirname "$0")/../lib/testdev.sh"

dmesg_allow 'BUG: unable to handle page fault for address'
dmesg_allow 'Oops: .*\[#1\]'
dmesg_allow 'Call Trace:'

testdev_attach
echo 0 >/proc/sys/kernel/panic_on_oops
dmesg_mark
testdev_case undecoded
dmesg_check "one line names the instruction" 'cannot emulate 0f ae .* at undecoded_thread'
dmesg_check "then the kernel's own message" 'unable to handle page fault'
testdev_detach
ktap_end
