#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Servers that keep masks of MSI and MSI-X themselves, in each of the two ways, and one whose level
# line is signalled only when it rises.

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/vfiouser.sh"
. "$(dirname "$0")/../lib/testdev.sh"

# on SHAPE CASE...: the cases on a device of that shape
on()
{
	local shape=$1

	shift
	testdev_attach --shape="$shape"
	for case; do
		testdev_case "$case"
	done
	testdev_detach
	stop_server
}

on own-masks msix msi mask
on table-masks msix
on rising-intx intx

ktap_end
