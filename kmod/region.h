/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Regions of the server's device, and what of them drivers reach without a trap.
 */
#ifndef _KMOD_REGION_H
#define _KMOD_REGION_H

#include <linux/types.h>
#include <linux/vfio.h>

#include "pinned.h"

#define VFU_NR_REGIONS		VFIO_PCI_NUM_REGIONS
#define VFU_NR_BARS		6

/**
 * struct vfu_direct - pages of a region which drivers reach without a trap
 * @offset: bytes into the region
 * @pinned: the server's pages
 */
struct vfu_direct {
	u64 offset;
	struct vfu_pinned pinned;
};

struct vfu_region {
	u64 size;
	u32 flags;
	u32 nr_direct;
	struct vfu_direct *direct;
};

void vfu_regions_release(struct vfu_region *regions);

#endif /* _KMOD_REGION_H */
