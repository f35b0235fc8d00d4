#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The DMA API: coherent and streaming memory, lists, syncs, masks.

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/vfiouser.sh"
. "$(dirname "$0")/../lib/testdev.sh"

POOL=default
testdev_attach
for case in dma-coherent dma-streaming dma-sync dma-sg dma-masks dma-pool dma-pages dma-limits \
	dma-master; do
	testdev_case $case
done
testdev_detach

ktap_end
