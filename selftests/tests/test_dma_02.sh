#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The DMA pool when it is short: exhaustion and recovery, many small mappings; and coherent memory
# mapped by a process. DMA that is over when the write is which asked for it.

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/vfiouser.sh"
. "$(dirname "$0")/../lib/testdev.sh"

POOL=default
SIZE=$((3 * 4096))

testdev_attach
testdev_case dma-exhaust
testdev_case dma-many
testdev_case dma-parked

ktap_status 4 "nothing to map yet" vfu_mmap /dev/vfu_test 0 $SIZE map
testdev_case dma-mmap-alloc
ktap_run "mmap and write" vfu_mmap /dev/vfu_test 0 $SIZE fill 17
testdev_case dma-mmap-check 17
testdev_case dma-mmap-fill 99
ktap_run "the process sees what the device wrote" vfu_mmap /dev/vfu_test 0 $SIZE check 99
ktap_run "a part of it" vfu_mmap /dev/vfu_test 4096 4096 map
ktap_status 4 "not more than there is" vfu_mmap /dev/vfu_test 0 $((SIZE + 4096)) map
ktap_status 4 "not what is behind it" vfu_mmap /dev/vfu_test $SIZE 4096 map
ktap_run "free" sh -c "echo dma-mmap-free >$VFT/run"
ktap_status 4 "nothing to map any more" vfu_mmap /dev/vfu_test 0 $SIZE map
testdev_detach
stop_server "$SERVER_PID"

# what the device does for a write is done when the driver goes on
ATTACH_OPTIONS=--no-posted-writes testdev_attach
testdev_case dma-waited
testdev_detach

ktap_end
