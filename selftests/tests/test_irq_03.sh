#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Handlers that read registers, and other waits where something else is going on: 4 CPUs.
# SMP: 4
# PARALLEL: yes

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/vfiouser.sh"
. "$(dirname "$0")/../lib/testdev.sh"

testdev_attach
for case in handler-reads handler-lock let-go nmi-storm; do
	testdev_case $case
done
testdev_detach

ktap_end
