#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Handlers that read registers, and so wait for an answer with interrupts off.
# SMP: 4
# PARALLEL: yes

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/vfiouser.sh"
. "$(dirname "$0")/../lib/testdev.sh"

testdev_attach
testdev_case handler-reads
testdev_detach

ktap_end
