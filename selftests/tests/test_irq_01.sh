#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# MSI-X and MSI: every vector, masked and not, threaded handlers, affinity. Who is interrupted depends on what
# runs on each CPU just then.
# PARALLEL: yes

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/vfiouser.sh"
. "$(dirname "$0")/../lib/testdev.sh"

testdev_attach
for case in msix msix-grow msi mask threaded affinity affinity-reads; do
	testdev_case $case
done
testdev_detach

ktap_end
