#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# As test_iommu_01, with AMD's.
# DEVICE: amd-iommu
# APPEND: amd_iommu=on iommu.passthrough=0

IOMMU=ivhd0 exec "$(dirname "$0")/test_iommu_01.sh"
