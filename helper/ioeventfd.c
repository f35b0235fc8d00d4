// SPDX-License-Identifier: GPL-2.0-only
/*
 * Doorbells: writes for which the server takes an eventfd instead of a message. The kernel module
 * signals it from the driver's write; this process only introduces the two to each other.
 *
 * All of it is for speed: what the server does not offer, or offers wrongly, goes by message.
 *
 * Owns nothing: the descriptors are struct device_region's, and the kernel takes what it needs of
 * them in ioeventfd_assign(). That runs before the first request of the ring is served, so that no
 * write of a doorbell ever goes by message first and overtakes, or is overtaken by, a direct one.
 * (Under a driver that goes on meanwhile, those of the helper before are there until then.)
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "device.h"
#include "ioeventfd.h"
#include "log.h"
#include "ring.h"

/* Means nothing to us: I/O BARs are shown as memory. */
#define FLAG_PIO	2u	/* KVM_IOEVENTFD_FLAG_PIO */

/**
 * ioeventfd_query() - ask for the descriptors of all BARs
 * @dev: regions known; @regions[].io_fds is set where the server has any
 * @c: connection
 *
 * Specification: DEVICE_GET_REGION_IO_FDS. No server has to know it, none is given up for it; a
 * connection that died of it is the next call's business.
 *
 * Context: set-up; sleeps up to the message timeout.
 */
void ioeventfd_query(struct device *dev, struct vfuc *c)
{
	struct device_region *region;
	uint32_t i;

	for (i = 0; i <= VFIO_PCI_BAR5_REGION_INDEX && !vfuc_dead(c); i++) {
		struct vfuc_error error = { 0 };

		region = &dev->regions[i];
		if (!region->size)
			continue;
		if (!vfuc_get_region_io_fds(c, i, region->size, &region->io_fds, &error)) {
			log_debug("%s: %u I/O descriptors", device_region_name(i),
				  region->io_fds->count);
			continue;
		}
		region->io_fds = NULL;
		if (error.kind == VFUC_SERVER_ERROR || error.kind == VFUC_UNSUPPORTED)
			log_debug("%s: no I/O descriptors: %s", device_region_name(i),
				  error.message);
		else if (!vfuc_dead(c))
			log_note("%s; its accesses go by message", error.message);
		/* Another question would take as long. */
		if (error.kind == VFUC_TIMEOUT)
			break;
	}
}

/* The page of the server's memory that the value goes to; the kernel pins it. */
static int assign_shadow(struct ring *ring, struct vfiouser_ioeventfd *arg,
			 const struct vfuc_io_fd *entry)
{
	uint64_t page = sysconf(_SC_PAGESIZE);
	uint64_t in_page = entry->shadow_offset % page;
	uint8_t *map;
	int err;

	if (!device_is_memory(entry->shadow_fd))
		return -EINVAL;
	map = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, entry->shadow_fd,
		   entry->shadow_offset - in_page);
	if (map == MAP_FAILED)
		return -errno;
	arg->flags |= VFIOUSER_IOEVENTFD_SHADOW;
	arg->shadow = (uintptr_t)map + in_page;
	err = ring_ioeventfd(ring, arg);
	munmap(map, page);
	return err;
}

static int assign(struct ring *ring, uint32_t region, const struct vfuc_io_fd *entry)
{
	struct vfiouser_ioeventfd arg = {
		.region = region,
		.offset = entry->offset,
		.fd = entry->fd,
	};

	if (entry->size > 8 || entry->flags & ~(VFUC_IO_FD_DATAMATCH | FLAG_PIO))
		return -EINVAL;
	arg.size = entry->size;
	if (entry->flags & VFUC_IO_FD_DATAMATCH) {
		arg.flags = VFIOUSER_IOEVENTFD_DATAMATCH;
		arg.datamatch = entry->value;
	}
	if (entry->type == VFUC_IO_FD_SHADOW)
		return assign_shadow(ring, &arg, entry);
	return ring_ioeventfd(ring, &arg);
}

static void assign_region(const struct device_region *region, uint32_t index, struct ring *ring)
{
	unsigned int i, all = 0, failed = 0;
	const struct vfuc_io_fd *first = NULL;
	int err, first_err = 0;

	for (i = 0; i < region->io_fds->count; i++) {
		const struct vfuc_io_fd *entry = &region->io_fds->entries[i];

		if (entry->type == VFUC_IO_FD_IOREGIONFD)
			continue;
		all++;
		err = assign(ring, index, entry);
		if (!err || failed++)
			continue;
		first = entry;
		first_err = err;
	}
	if (failed)
		log_note("%s: %u of %u ioeventfds cannot be used (the first: offset 0x%" PRIx64 ", %s); their writes go by message",
			 device_region_name(index), failed, all, first->offset,
			 strerror(-first_err));
	if (all)
		log_debug("%s: %u ioeventfds", device_region_name(index), all - failed);
}

/**
 * ioeventfd_assign() - give the kernel what it can signal by itself
 * @dev: after ioeventfd_query()
 * @ring: channel with a device, no request of which was served yet
 *
 * Says in one line for each BAR what cannot be used.
 *
 * Context: set-up; may sleep.
 */
void ioeventfd_assign(const struct device *dev, struct ring *ring)
{
	uint32_t i;

	for (i = 0; i <= VFIO_PCI_BAR5_REGION_INDEX; i++)
		if (dev->regions[i].io_fds)
			assign_region(&dev->regions[i], i, ring);
}
