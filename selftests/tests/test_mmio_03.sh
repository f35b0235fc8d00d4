#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# PARALLEL: yes
#
# Accesses from every context that a process can bring itself into, and from several CPUs at once
# under a lock, whose order the server must see.
# SMP: 4

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/vfiouser.sh"
. "$(dirname "$0")/../lib/testdev.sh"

testdev_attach
for case in contexts race; do
	testdev_case $case
done
testdev_detach

ktap_end
