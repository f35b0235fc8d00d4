#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The DMA API with a server that maps no memory: each access of the device is a message, on the socket
# on which the driver's accesses travel the other way, or on one of its own.

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/vfiouser.sh"
. "$(dirname "$0")/../lib/testdev.sh"

POOL=default
for options in --no-map "--no-map --twin-socket"; do
	ktap_log "server with $options"
	# shellcheck disable=SC2086
	testdev_attach $options
	for case in dma-coherent dma-streaming dma-sg dma-many dma-limits; do
		testdev_case $case
	done
	testdev_detach
	stop_server
	ktap_ok $? "the server ends"
done

ktap_end
