#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# As test_iommu_01, with AMD's.
# DEVICE: amd-iommu
# APPEND: amd_iommu=on iommu.passthrough=0

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/vfiouser.sh"
. "$(dirname "$0")/../lib/testdev.sh"

testdev_attach
ktap_match "the host has an IOMMU" "$(ls /sys/class/iommu)" ivhd0
ktap_run "it has the host's devices" test -e /sys/bus/pci/devices/0000:00:00.0/iommu_group
ktap_status 1 "and not ours" test -e "/sys/bus/pci/devices/$BDF/iommu_group"
for case in dma-coherent dma-sg msix; do
	testdev_case $case
done
testdev_detach
ktap_end
