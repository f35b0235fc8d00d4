/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the server offers: regions and interrupts, as the kernel is going to be told.
 */
#ifndef HELPER_DEVICE_H
#define HELPER_DEVICE_H

#include <stdbool.h>

#include "engine/client.h"

/**
 * struct device_area - a part of a region that is mapped here
 * @offset: bytes into the region
 * @size: bytes
 * @addr: where it is mapped
 */
struct device_area {
	uint64_t offset;
	uint64_t size;
	void *addr;
};

/**
 * struct device_region - one region
 * @size: bytes; 0: not there
 * @flags: VFIO_REGION_INFO_FLAG_*
 * @nr_areas: how many of @areas
 * @areas: what is mapped here
 * @io_fds: descriptors that stand for accesses, or NULL
 */
struct device_region {
	uint64_t size;
	uint32_t flags;
	unsigned int nr_areas;
	struct device_area *areas;
	struct vfuc_region_io_fds *io_fds;
};

/**
 * struct device - the server's device
 * @info: DEVICE_GET_INFO
 * @regions: by VFIO_PCI_*_REGION_INDEX; size 0: not there
 * @irqs: by VFIO_PCI_*_IRQ_INDEX; count 0: not there
 */
struct device {
	struct vfuc_info info;
	struct device_region regions[VFIO_PCI_NUM_REGIONS];
	struct vfuc_irq_info irqs[VFIO_PCI_NUM_IRQS];
};

bool device_is_memory(int fd);
int device_query(struct device *dev, struct vfuc *c, bool direct);
void device_release(struct device *dev);
const char *device_region_name(uint32_t index);
const char *device_irq_name(uint32_t index);

#endif
