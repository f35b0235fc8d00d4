#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Accesses of a driver in process context: every accessor, width and alignment, exactly once, in order
# and with the width they were made; direct pages and their edges; all kinds of BARs.

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/vfiouser.sh"
. "$(dirname "$0")/../lib/testdev.sh"

ATTACH_OPTIONS=--io-bars=show testdev_attach
for case in widths counter rep memcpy direct edge msix-table bars disable slow posted reset errors; do
	testdev_case $case
done
echo Y >/sys/module/vfiouser_pci/parameters/ordered_writes
testdev_case direct-order
testdev_detach

ktap_end
