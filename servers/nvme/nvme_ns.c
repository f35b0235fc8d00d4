// SPDX-License-Identifier: GPL-2.0-only
/* Namespaces: their disks, sizes, and what the driver is told when those change. */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>

#include "nvme.h"

/**
 * nvme_ns() - find a namespace
 * @c: controller
 * @nsid: 1 for the first
 *
 * Return: it, or NULL.
 */
struct nvme_ns *nvme_ns(struct nvme_ctrl *c, uint32_t nsid)
{
	return nsid && nsid <= c->nr_ns ? &c->ns[nsid - 1] : NULL;
}

/**
 * nvme_ns_init() - of a disk that is open
 * @ns: namespace
 * @lba_shift: size of its blocks; 0 for those of the backing
 *
 * Return: 0, -EINVAL where blocks of that size cannot be had, -ENOSPC for less than one block.
 */
int nvme_ns_init(struct nvme_ns *ns, unsigned int lba_shift)
{
	ns->lba_shift = lba_shift ? lba_shift : ns->disk.logical > 512 ? 12 : 9;
	/* the page cache makes smaller ones, at the price of reading before writing */
	if (ns->disk.opt.cache == DISK_DIRECT && 1u << ns->lba_shift < ns->disk.logical)
		return -EINVAL;
	ns->blocks = ns->disk.size >> ns->lba_shift;
	return ns->blocks ? 0 : -ENOSPC;
}

/**
 * nvme_ns_resize() - a backing has that size now
 * @c: controller
 * @ns: namespace
 * @size: bytes
 * @shrink: it may have become smaller, which is otherwise no intention but a loss
 */
void nvme_ns_resize(struct nvme_ctrl *c, struct nvme_ns *ns, uint64_t size, bool shrink)
{
	if (size == ns->disk.size || (size < ns->disk.size && !shrink) || !(size >> ns->lba_shift))
		return;
	fprintf(stderr, "vfiouser-nvme: %s: %llu bytes now, %llu before\n", ns->disk.path,
		(unsigned long long)size, (unsigned long long)ns->disk.size);
	ns->disk.size = size;
	ns->blocks = size >> ns->lba_shift;
	ns->changed = true;
	/* notice 0: attributes of a namespace */
	if (c->feat.async_events & NVME_ASYNC_NS)
		nvme_event(c, NVME_EVENT_NS_CHANGED, 0);
}

static void look(struct nvme_ns *ns);

static void looked(struct io *io)
{
	struct nvme_ns *ns = (struct nvme_ns *)((char *)io - offsetof(struct nvme_ns, look));

	ns->looking = false;
	if (!io->result)
		nvme_ns_resize(ns->c, ns, io->len, true);
	if (ns->look_again)
		look(ns);
}

static void look(struct nvme_ns *ns)
{
	ns->look_again = ns->looking;
	if (ns->looking)
		return;
	ns->looking = true;
	ns->look = (struct io){ .op = IO_SIZE, .disk = &ns->disk, .done = looked };
	io_submit(&ns->c->io, &ns->look);
}

/**
 * nvme_ns_check() - somebody may have changed the size of a backing, which is not waited for
 * @c: controller
 */
void nvme_ns_check(struct nvme_ctrl *c)
{
	unsigned int i;

	for (i = 0; i < c->nr_ns; i++)
		look(&c->ns[i]);
}

/**
 * nvme_ns_lost() - tell the driver of disks that lost what they had promised to keep
 * @c: controller
 */
void nvme_ns_lost(struct nvme_ctrl *c)
{
	unsigned int i;

	for (i = 0; i < c->nr_ns; i++) {
		if (c->ns[i].told_lost || !disk_lost(&c->ns[i].disk))
			continue;
		c->ns[i].told_lost = true;
		/* SMART event 0: reliability */
		if (nvme_critical_warning(c) & c->feat.async_events)
			nvme_event(c, NVME_EVENT_SMART, 0);
	}
}
