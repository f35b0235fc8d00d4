#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# INTx, which is level-triggered, and all three kinds of interrupts in turn.

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/vfiouser.sh"
. "$(dirname "$0")/../lib/testdev.sh"

testdev_attach
for case in intx kinds function-mask; do
	testdev_case $case
done
testdev_detach

ktap_end
