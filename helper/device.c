// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the server offers: regions and interrupts, as the kernel is going to be told.
 *
 * Owns: the mappings of the server's BAR memory, and the descriptors that stand for accesses. The
 * kernel module pins the pages, so they need not outlive DEVICE_NEW, but keeping them costs
 * nothing. We never touch their contents: the server may have truncated the file, and we would get
 * SIGBUS.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/vfiouser.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "device.h"
#include "ioeventfd.h"
#include "log.h"
#include "status.h"

#define MIN_CONFIG_SIZE	256

/**
 * device_region_name() - VFIO_PCI_*_REGION_INDEX in words
 * @index: the region
 *
 * Context: any.
 * Return: its name, "extra" for one that is not of PCI.
 */
const char *device_region_name(uint32_t index)
{
	static const char *const names[VFIO_PCI_NUM_REGIONS] = {
		"BAR0", "BAR1", "BAR2", "BAR3", "BAR4", "BAR5", "ROM", "config", "VGA",
	};

	return index < VFIO_PCI_NUM_REGIONS ? names[index] : "extra";
}

/**
 * device_irq_name() - VFIO_PCI_*_IRQ_INDEX in words
 * @index: the interrupt type
 *
 * Context: any.
 * Return: its name, "extra" for one that is not of PCI.
 */
const char *device_irq_name(uint32_t index)
{
	static const char *const names[VFIO_PCI_NUM_IRQS] = {
		"INTx", "MSI", "MSI-X", "ERR", "REQ",
	};

	return index < VFIO_PCI_NUM_IRQS ? names[index] : "extra";
}

/**
 * device_is_memory() - is this descriptor memory that nobody has to be asked for?
 * @fd: from the server
 *
 * The kernel pins what is mapped. Pages of a file system on a disk cannot be pinned for long,
 * and those of one that a process serves (FUSE) come when that process likes, if ever: whoever
 * asks for them then waits in the kernel, and cannot be killed. Even stat() asks. Only memfd,
 * tmpfs and hugetlbfs have seals, and their answer is the kernel's own.
 *
 * Context: any; does not wait.
 * Return: true if it is.
 */
bool device_is_memory(int fd)
{
	return fcntl(fd, F_GET_SEALS) >= 0;
}

/* Maps one area; a failure costs speed only and is worth a note. */
static void *map_area(const struct vfuc_region_info *info, const struct vfuc_area *area)
{
	uint64_t start = info->offset + area->offset;
	int fd = area->fd >= 0 ? area->fd : info->fd;
	struct stat st;
	void *addr;

	if (!device_is_memory(fd)) {
		log_note("%s offset 0x%" PRIx64 ": the server's memory is not from memfd, tmpfs or hugetlbfs; accesses are forwarded instead",
			 device_region_name(info->index), area->offset);
		return NULL;
	}
	if (fstat(fd, &st)) {
		addr = MAP_FAILED;
	} else if (S_ISREG(st.st_mode) &&
		   (start > (uint64_t)st.st_size || area->size > (uint64_t)st.st_size - start)) {
		errno = ENXIO;		/* mmap() would work, and touching it would not */
		addr = MAP_FAILED;
	} else {
		addr = mmap(NULL, area->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, start);
	}
	if (addr != MAP_FAILED)
		return addr;
	log_note("%s offset 0x%" PRIx64 ": cannot map the server's memory (%s); accesses are forwarded instead",
		 device_region_name(info->index), area->offset, strerror(errno));
	return NULL;
}

static int map_region(struct device_region *region, const struct vfuc_region_info *info)
{
	const uint32_t rw = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
	unsigned int i;
	void *addr;

	/* Direct pages are read and written by whoever maps the BAR. */
	if (!info->nr_areas || (info->flags & rw) != rw)
		return 0;
	region->areas = calloc(info->nr_areas, sizeof(*region->areas));
	if (!region->areas)
		return -ENOMEM;
	for (i = 0; i < info->nr_areas; i++) {
		if (region->nr_areas == VFIOUSER_AREAS_MAX) {
			log_note("%s: only the first %u mappable areas are used; accesses to the other %u are forwarded",
				 device_region_name(info->index), VFIOUSER_AREAS_MAX,
				 info->nr_areas - i);
			break;
		}
		addr = map_area(info, &info->areas[i]);
		if (!addr)
			continue;
		region->areas[region->nr_areas].offset = info->areas[i].offset;
		region->areas[region->nr_areas].size = info->areas[i].size;
		region->areas[region->nr_areas].addr = addr;
		region->nr_areas++;
		log_debug("%s: direct 0x%" PRIx64 "+0x%" PRIx64, device_region_name(info->index),
			  info->areas[i].offset, info->areas[i].size);
	}
	return 0;
}

static int query(struct device *dev, struct vfuc *c, bool direct, struct vfuc_error *error)
{
	struct vfuc_region_info *info;
	uint32_t i;
	int err;

	err = vfuc_get_info(c, &dev->info, error);
	if (err)
		return err;
	log_debug("device: flags 0x%x, %u regions, %u interrupt types", dev->info.flags,
		  dev->info.num_regions, dev->info.num_irqs);

	for (i = 0; i < dev->info.num_regions && i < VFIO_PCI_NUM_REGIONS; i++) {
		err = vfuc_get_region_info(c, i, &info, error);
		/* Nobody needs the last one, and a server may not know it. */
		if (err && i == VFIO_PCI_VGA_REGION_INDEX && !vfuc_dead(c))
			continue;
		if (err)
			return err;
		if (i == VFIO_PCI_VGA_REGION_INDEX) {
			/* Legacy addresses, which are those of the host's own graphics. */
			if (info->size)
				log_note("the server's VGA region is not used");
			vfuc_region_info_free(info);
			continue;
		}
		dev->regions[i].size = info->size;
		dev->regions[i].flags = info->flags;
		log_debug("%s: %" PRIu64 " bytes, flags 0x%x, %u areas", device_region_name(i),
			  info->size, info->flags, info->nr_areas);
		/* Config space and ROM go through the kernel module in any case. */
		if (direct && i <= VFIO_PCI_BAR5_REGION_INDEX)
			err = map_region(&dev->regions[i], info);
		vfuc_region_info_free(info);
		if (err)
			return vfuc_error_set(error, VFUC_SYSTEM, err, "out of memory");
	}
	if (dev->info.num_regions > VFIO_PCI_NUM_REGIONS)
		log_debug("%u device-specific regions are not used",
			  dev->info.num_regions - VFIO_PCI_NUM_REGIONS);

	if (direct)
		ioeventfd_query(dev, c);

	for (i = 0; i < dev->info.num_irqs && i < VFIO_PCI_NUM_IRQS; i++) {
		err = vfuc_get_irq_info(c, i, &dev->irqs[i], error);
		if (err)
			return err;
		log_debug("%s: %u vectors, flags 0x%x", device_irq_name(i), dev->irqs[i].count,
			  dev->irqs[i].flags);
	}
	return 0;
}

/**
 * device_query() - ask the server for its device, and map what can be mapped
 * @dev: result, for device_release()
 * @c: connection
 * @direct: map the BAR areas that the server offers, ask for its doorbells
 *
 * Says on its own what is wrong. Specification: DEVICE_GET_INFO, DEVICE_GET_REGION_INFO,
 * DEVICE_GET_IRQ_INFO.
 *
 * Context: set-up; sleeps up to the message timeout.
 * Return: enum status.
 */
int device_query(struct device *dev, struct vfuc *c, bool direct)
{
	struct vfuc_error error = { 0 };
	int status;

	memset(dev, 0, sizeof(*dev));
	if (query(dev, c, direct, &error)) {
		status = log_fail(status_of_server(&error), "%s", error.message);
	} else if (!(dev->info.flags & VFIO_DEVICE_FLAGS_PCI)) {
		status = log_fail(ST_SERVER,
				  "the server's device is not a PCI device; only PCI devices can be attached");
	} else if (dev->regions[VFIO_PCI_CONFIG_REGION_INDEX].size < MIN_CONFIG_SIZE) {
		status = log_fail(ST_SERVER,
				  "the server offers no PCI config space (%" PRIu64 " bytes); it needs region 7 with 256 or 4096 bytes",
				  dev->regions[VFIO_PCI_CONFIG_REGION_INDEX].size);
	} else {
		return ST_OK;
	}
	device_release(dev);
	return status;
}

/**
 * device_release() - unmap and free
 * @dev: from device_query()
 *
 * Context: may sleep.
 */
void device_release(struct device *dev)
{
	struct device_region *region;
	unsigned int i, j;

	for (i = 0; i < VFIO_PCI_NUM_REGIONS; i++) {
		region = &dev->regions[i];
		for (j = 0; j < region->nr_areas; j++)
			munmap(region->areas[j].addr, region->areas[j].size);
		free(region->areas);
		region->areas = NULL;
		region->nr_areas = 0;
		vfuc_region_io_fds_free(region->io_fds);
		region->io_fds = NULL;
	}
}
