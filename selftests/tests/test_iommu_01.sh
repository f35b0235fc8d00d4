#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# A host with an IOMMU, which is on and has all of its devices: ours is none of them, and DMA works.
# IOMMU: what it is called, Intel's if not set.
# DEVICE: intel-iommu
# APPEND: intel_iommu=on iommu.passthrough=0

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/vfiouser.sh"
. "$(dirname "$0")/../lib/testdev.sh"

testdev_attach
ktap_match "the host has an IOMMU" "$(ls /sys/class/iommu)" "${IOMMU:-dmar0}"
ktap_run "it has the host's devices" test -e /sys/bus/pci/devices/0000:00:00.0/iommu_group
ktap_status 1 "and not ours" test -e "/sys/bus/pci/devices/$BDF/iommu_group"
for case in dma-coherent dma-sg msix; do
	testdev_case $case
done
testdev_detach
stop_server

truncate -s 16M "$WORK/image"
start_server --file="$WORK/image"
attach "$SOCKET"
DISK=$(disk_of "$BDF")
ktap_ok $? "a disk"
dd if=/dev/urandom of="$WORK/data" bs=64k count=16 2>/dev/null
dd if="$WORK/data" of="$DISK" bs=64k conv=fsync 2>/dev/null
ktap_run "holds what was written" cmp -n 1048576 "$WORK/data" "$WORK/image"
ktap_run "detach" detach "$BDF"
ktap_end
