#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Single instructions on trapped memory, compared with the same on ordinary memory.
# TIMEOUT: 600

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/vfiouser.sh"
. "$(dirname "$0")/../lib/testdev.sh"

testdev_attach
testdev_case insn
testdev_case strings
testdev_detach

ktap_end
