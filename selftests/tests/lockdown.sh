#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# A kernel that is locked down loads no module without a signature: modprobe fails and the log has a line.
# Run by scripts/check-kernels with lockdown=integrity.

. "$(dirname "$0")/../lib/ktap.sh"

ktap_plan 3
! said=$(modprobe vfiouser_pci 2>&1)
ktap_ok $? "refused"
ktap_match "and modprobe says so" "$said" 'not permitted|rejected'
dmesg | grep -Eq 'Lockdown: .*unsigned module loading is restricted|Loading of unsigned module is rejected'
ktap_ok $? "and the kernel says why"
ktap_end
