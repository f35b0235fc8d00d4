// SPDX-License-Identifier: GPL-2.0-only
/*
 * ioeventfds: writes that are not forwarded, but signal an eventfd of the server's.
 *
 * A trapped write that matches an entry signals the entry's eventfd from the fault,
 * and where the entry has shadow memory stores the value there before: no message,
 * and no process of ours takes part. At most one entry matches any write.
 *
 * Order: where it may sleep, a write waits until the server has seen the writes that were
 * forwarded before; else, as on KVM, its signal can overtake them. It is never itself
 * forwarded if it matches, since that could reach the server after the store of a later
 * one.
 *
 * Locking: vfu_irq.lock protects the tables against each other's change. Writes
 * look under RCU; a table is replaced as a whole, and an entry is freed after a grace
 * period. Lifetime of an entry: from the helper's ioctl to the one that takes it back,
 * or to the device's removal. It holds a reference to the eventfd, and its page of
 * shadow memory pinned.
 *
 * Where a device goes on silently with another helper, the entries of the one before stay
 * until that has assigned the same: a doorbell that was forwarded in between would reach the
 * server after a later one that was not.
 */
#include <linux/mm.h>
#include <linux/nospec.h>
#include <linux/slab.h>

#include "compat.h"
#include "device.h"
#include "ioeventfd.h"
#include "pinned.h"
#include "recover.h"
#include "ring.h"
#include "trace.h"

#define VFU_MAX_IOEVENTFDS	4096	/* of one region */

/**
 * struct vfu_ioeventfd - one entry
 * @offset: of the write, bytes into the region
 * @size: of the write, bytes; 0: any
 * @match: only a write of @data
 * @data: see there
 * @ctx: what to signal
 * @shadow: where to store the value, naturally aligned for @size (8 if that is 0), or NULL
 * @pinned: the page of @shadow
 * @kept: of the helper before, who has gone (vfu_irq.lock)
 */
struct vfu_ioeventfd {
	u64 offset;
	u32 size;
	bool match;
	u64 data;
	struct eventfd_ctx *ctx;
	void *shadow;
	struct vfu_pinned pinned;
	bool kept;
};

/**
 * struct vfu_ioeventfds - the entries of one region, never changed once visible
 * @rcu: frees the table, not the entries
 * @count: how many; never 0
 * @entries: sorted by offset
 */
struct vfu_ioeventfds {
	struct rcu_head rcu;
	u32 count;
	struct vfu_ioeventfd *entries[];
};

/* Index of the first entry that does not lie below an offset. */
static u32 vfu_ioeventfds_at(const struct vfu_ioeventfds *table, u64 offset)
{
	u32 low = 0, high = table->count;

	while (low < high) {
		u32 mid = low + (high - low) / 2;

		if (table->entries[mid]->offset < offset)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static u64 vfu_ioeventfd_value(const void *data, u32 count)
{
	u64 value = 0;

	memcpy(&value, data, count);
	return value;
}

/* Can the shadow memory take a write of this size in one store? */
static bool vfu_shadow_takes(u32 count)
{
	return count <= 8 && is_power_of_2(count);
}

static bool vfu_ioeventfd_matches(const struct vfu_ioeventfd *entry, const void *data, u32 count)
{
	if (entry->size && entry->size != count)
		return false;
	if (entry->match && vfu_ioeventfd_value(data, count) != entry->data)
		return false;
	return !entry->shadow || vfu_shadow_takes(count);
}

/*
 * Release: what the driver has written to memory before is there when the server sees the
 * value; pairs with an acquire of the server's.
 */
static void vfu_shadow_store(void *to, const void *data, u32 count)
{
	u64 value = vfu_ioeventfd_value(data, count);

	switch (count) {
	case 1:
		smp_store_release((u8 *)to, value);	/* see above */
		break;
	case 2:
		smp_store_release((u16 *)to, value);	/* see above */
		break;
	case 4:
		smp_store_release((u32 *)to, value);	/* see above */
		break;
	case 8:
		smp_store_release((u64 *)to, value);	/* see above */
		break;
	}
}

/* Inside an RCU read-side section. */
static const struct vfu_ioeventfd *vfu_ioeventfd_find(struct vfu_dev *vdev, u32 region, u64 offset,
						      const void *data, u32 count)
{
	const struct vfu_ioeventfds *table = rcu_dereference(vdev->ioeventfds[region]);
	u32 i;

	if (!table)
		return NULL;
	for (i = vfu_ioeventfds_at(table, offset); i < table->count; i++) {
		if (table->entries[i]->offset != offset)
			break;
		if (vfu_ioeventfd_matches(table->entries[i], data, count))
			return table->entries[i];
	}
	return NULL;
}

static bool vfu_ioeventfd_exists(struct vfu_dev *vdev, u32 region, u64 offset, const void *data,
				 u32 count)
{
	bool found;

	rcu_read_lock();
	found = vfu_ioeventfd_find(vdev, region, offset, data, count);
	rcu_read_unlock();
	return found;
}

/**
 * vfu_ioeventfd_write() - is a write an ioeventfd's? Signal it.
 * @vdev: device
 * @region: VFIO_PCI_*_REGION_INDEX
 * @offset: bytes into the region
 * @data: what is written
 * @count: bytes, at most VFIOUSER_DATA_MAX
 *
 * Specification: DEVICE_GET_REGION_IO_FDS.
 *
 * Context: any, a page fault of the driver's; sleeps only where the context allows it.
 * Return: true if the write is done with, false if it is to be forwarded.
 */
bool vfu_ioeventfd_write(struct vfu_dev *vdev, u32 region, u64 offset, const void *data,
			 u32 count)
{
	const struct vfu_ioeventfd *entry;

	/* Most regions have none. */
	if (region >= VFU_NR_BARS || !rcu_access_pointer(vdev->ioeventfds[region]))
		return false;

	/* All of it, where the device is held. */
	if (!vfu_region_pushed(vdev) && !vfu_held(vdev) && vfu_may_sleep() &&
	    vfu_ioeventfd_exists(vdev, region, offset, data, count))
		vfu_region_push(vdev);

	rcu_read_lock();
	entry = vfu_ioeventfd_find(vdev, region, offset, data, count);
	/* As a forwarded write: it goes nowhere in these. */
	if (entry && !vfu_nobody_answers(vdev) && !vfu_in_reset(vdev)) {
		if (entry->shadow)
			vfu_shadow_store(entry->shadow, data, count);
		eventfd_signal(entry->ctx);
		vfu_count(vdev, VFU_STAT_IOEVENTFDS, 1);
		trace_vfiouser_ioeventfd(vdev->id, region, offset, data, count);
	}
	rcu_read_unlock();
	return entry;
}

/* ---- the tables ---- */

static void vfu_ioeventfd_free(struct vfu_ioeventfd *entry)
{
	if (entry->ctx)
		eventfd_ctx_put(entry->ctx);
	vfu_unpin(&entry->pinned);
	kfree(entry);
}

/* Could one write match both? */
static bool vfu_ioeventfds_overlap(const struct vfu_ioeventfd *a, const struct vfu_ioeventfd *b)
{
	if (a->offset != b->offset)
		return false;
	if (!a->size || !b->size)
		return true;
	return a->size == b->size && (!a->match || !b->match || a->data == b->data);
}

static bool vfu_ioeventfds_same(const struct vfu_ioeventfd *a, const struct vfu_ioeventfd *b)
{
	return a->offset == b->offset && a->size == b->size && a->match == b->match &&
	       (!a->match || a->data == b->data);
}

static struct vfu_ioeventfds *vfu_ioeventfds_get(struct vfu_dev *vdev, u32 region)
{
	return rcu_dereference_protected(vdev->ioeventfds[region],
					 lockdep_is_held(&vdev->irq.lock));
}

static struct vfu_ioeventfds *vfu_ioeventfds_alloc(u32 count)
{
	struct vfu_ioeventfds *table;

	table = kvmalloc(struct_size(table, entries, count), GFP_KERNEL_ACCOUNT);
	if (table)
		table->count = count;
	return table;
}

static int vfu_ioeventfd_add(struct vfu_dev *vdev, u32 region, struct vfu_ioeventfd *entry)
{
	struct vfu_ioeventfds *old = vfu_ioeventfds_get(vdev, region), *new;
	u32 count = old ? old->count : 0;
	u32 i, at = 0;

	for (i = 0; i < count; i++)
		if (vfu_ioeventfds_overlap(old->entries[i], entry))
			return -EEXIST;
	if (count >= VFU_MAX_IOEVENTFDS)
		return -ENOSPC;
	new = vfu_ioeventfds_alloc(count + 1);
	if (!new)
		return -ENOMEM;
	if (old) {
		at = vfu_ioeventfds_at(old, entry->offset);
		memcpy(new->entries, old->entries, at * sizeof(*new->entries));
		memcpy(new->entries + at + 1, old->entries + at,
		       (count - at) * sizeof(*new->entries));
	}
	new->entries[at] = entry;
	rcu_assign_pointer(vdev->ioeventfds[region], new);
	if (old)
		kvfree_rcu(old, rcu);
	return 0;
}

/* Was it there with the helper before? Then it stays. */
static bool vfu_ioeventfd_renew(struct vfu_dev *vdev, u32 region, const struct vfu_ioeventfd *like)
{
	struct vfu_ioeventfds *table = vfu_ioeventfds_get(vdev, region);
	u32 i;

	for (i = 0; table && i < table->count; i++) {
		struct vfu_ioeventfd *entry = table->entries[i];

		if (entry->kept && vfu_ioeventfds_same(entry, like) && entry->ctx == like->ctx &&
		    entry->shadow == like->shadow) {
			entry->kept = false;
			return true;
		}
	}
	return false;
}

static int vfu_ioeventfd_remove(struct vfu_dev *vdev, u32 region, const struct vfu_ioeventfd *like)
{
	struct vfu_ioeventfds *old = vfu_ioeventfds_get(vdev, region), *new = NULL;
	u32 count = old ? old->count : 0, at;
	struct vfu_ioeventfd *entry;

	for (at = 0; at < count; at++)
		if (vfu_ioeventfds_same(old->entries[at], like))
			break;
	if (at == count)
		return -ENOENT;
	entry = old->entries[at];
	if (count > 1) {
		new = vfu_ioeventfds_alloc(count - 1);
		if (!new)
			return -ENOMEM;
		memcpy(new->entries, old->entries, at * sizeof(*new->entries));
		memcpy(new->entries + at, old->entries + at + 1,
		       (count - at - 1) * sizeof(*new->entries));
	}
	rcu_assign_pointer(vdev->ioeventfds[region], new);
	synchronize_rcu();
	kvfree(old);
	vfu_ioeventfd_free(entry);
	return 0;
}

/* ---- the helper's side ---- */

static int vfu_ioeventfd_check(const struct vfu_dev *vdev, const struct vfiouser_ioeventfd *arg)
{
	u32 align = arg->size ?: 8;
	u64 size;

	if (arg->flags & ~(VFIOUSER_IOEVENTFD_DATAMATCH | VFIOUSER_IOEVENTFD_SHADOW |
			   VFIOUSER_IOEVENTFD_DEASSIGN))
		return -EINVAL;
	if (arg->region >= VFU_NR_BARS)
		return -EINVAL;
	size = vdev->regions[array_index_nospec(arg->region, VFU_NR_BARS)].size;
	if (arg->offset >= size || arg->size > size - arg->offset)
		return -EINVAL;
	if (arg->size && !vfu_shadow_takes(arg->size))
		return -EINVAL;
	if (arg->flags & VFIOUSER_IOEVENTFD_DATAMATCH) {
		/* Such a write could not be. */
		if (!arg->size || (arg->size < 8 && arg->datamatch >> (8 * arg->size)))
			return -EINVAL;
	}
	if (arg->flags & VFIOUSER_IOEVENTFD_SHADOW && !IS_ALIGNED(arg->shadow, align))
		return -EINVAL;
	return 0;
}

static int vfu_ioeventfd_fill(struct vfu_ioeventfd *entry, const struct vfiouser_ioeventfd *arg)
{
	struct eventfd_ctx *ctx = eventfd_ctx_fdget(arg->fd);
	int err;

	if (IS_ERR(ctx))
		return PTR_ERR(ctx);
	entry->ctx = ctx;
	if (!(arg->flags & VFIOUSER_IOEVENTFD_SHADOW))
		return 0;
	err = vfu_pin(&entry->pinned, arg->shadow & PAGE_MASK, PAGE_SIZE);
	if (err)
		return err;
	entry->shadow = page_address(entry->pinned.pages[0]) + offset_in_page(arg->shadow);
	return 0;
}

/**
 * vfu_ioeventfd_set() - add or take back an entry, the helper's ioctl
 * @vdev: device
 * @arg: checked here; its descriptor and memory are the caller's
 *
 * Context: the helper's process, may sleep.
 * Return: 0;
 * -EINVAL: nonsense, or outside of the region, or no eventfd; -EBADF: no descriptor;
 * -EEXIST: a write could match this entry and another; -ENOSPC: too many;
 * -ENOENT: no such entry to take back; -ENODEV: the device is going; -ENOMEM;
 * and, of the shadow memory, what vfu_pin() returns.
 */
int vfu_ioeventfd_set(struct vfu_dev *vdev, const struct vfiouser_ioeventfd *arg)
{
	bool remove = arg->flags & VFIOUSER_IOEVENTFD_DEASSIGN;
	struct vfu_ioeventfd *entry;
	bool renewed = false;
	int err;

	err = vfu_ioeventfd_check(vdev, arg);
	if (err)
		return err;
	entry = kzalloc(sizeof(*entry), GFP_KERNEL_ACCOUNT);
	if (!entry)
		return -ENOMEM;
	entry->offset = arg->offset;
	entry->size = arg->size;
	entry->match = arg->flags & VFIOUSER_IOEVENTFD_DATAMATCH;
	entry->data = arg->datamatch;
	if (!remove)
		err = vfu_ioeventfd_fill(entry, arg);

	if (!err) {
		mutex_lock(&vdev->irq.lock);
		if (vdev->irq.closed) {
			err = -ENODEV;
		} else if (remove) {
			err = vfu_ioeventfd_remove(vdev, arg->region, entry);
		} else {
			renewed = vfu_ioeventfd_renew(vdev, arg->region, entry);
			if (!renewed)
				err = vfu_ioeventfd_add(vdev, arg->region, entry);
		}
		mutex_unlock(&vdev->irq.lock);
	}
	if (err || remove || renewed)
		vfu_ioeventfd_free(entry);
	return err;
}

/**
 * vfu_ioeventfd_keep() - another helper is going to assign what there is
 * @vdev: device that is being resumed
 *
 * Until vfu_ioeventfd_drop().
 *
 * Context: may sleep.
 */
void vfu_ioeventfd_keep(struct vfu_dev *vdev)
{
	u32 region, i;

	mutex_lock(&vdev->irq.lock);
	for (region = 0; region < VFU_NR_BARS; region++) {
		struct vfu_ioeventfds *table = vfu_ioeventfds_get(vdev, region);

		for (i = 0; table && i < table->count; i++)
			table->entries[i]->kept = true;
	}
	mutex_unlock(&vdev->irq.lock);
}

/*
 * The entries that are to stay are a table of their own from now on. Returns the one before, or
 * NULL if all stay, or there is no memory. vfu_irq.lock held.
 */
static struct vfu_ioeventfds *vfu_ioeventfds_unkeep(struct vfu_dev *vdev, u32 region)
{
	struct vfu_ioeventfds *old = vfu_ioeventfds_get(vdev, region), *new = NULL;
	u32 i, stay = 0;

	for (i = 0; old && i < old->count; i++)
		stay += !old->entries[i]->kept;
	if (!old || stay == old->count)
		return NULL;
	if (stay) {
		new = vfu_ioeventfds_alloc(stay);
		if (!new)
			return NULL;
		for (i = 0, stay = 0; i < old->count; i++)
			if (!old->entries[i]->kept)
				new->entries[stay++] = old->entries[i];
	}
	rcu_assign_pointer(vdev->ioeventfds[region], new);
	return old;
}

/**
 * vfu_ioeventfd_drop() - take those back that vfu_ioeventfd_keep() has kept for nobody
 * @vdev: device whose helper has assigned its own
 *
 * A server that has kept its state has no reason to have others. Their writes are forwarded from
 * now on; where there is no memory for that they stay.
 *
 * Context: may sleep.
 */
void vfu_ioeventfd_drop(struct vfu_dev *vdev)
{
	struct vfu_ioeventfds *tables[VFU_NR_BARS];
	bool any = false;
	u32 region, i;

	mutex_lock(&vdev->irq.lock);
	for (region = 0; region < VFU_NR_BARS; region++) {
		tables[region] = vfu_ioeventfds_unkeep(vdev, region);
		any |= !!tables[region];
	}
	/* With the lock, which keeps the others of a table from being freed. */
	if (any)
		synchronize_rcu();
	for (region = 0; region < VFU_NR_BARS; region++) {
		for (i = 0; tables[region] && i < tables[region]->count; i++)
			if (tables[region]->entries[i]->kept)
				vfu_ioeventfd_free(tables[region]->entries[i]);
		kvfree(tables[region]);
	}
	mutex_unlock(&vdev->irq.lock);
}

/**
 * vfu_ioeventfd_clear() - take all entries back
 * @vdev: device, closed (vfu_irqfd_close()) or frozen: none can be added now
 *
 * Context: may sleep.
 */
void vfu_ioeventfd_clear(struct vfu_dev *vdev)
{
	struct vfu_ioeventfds *tables[VFU_NR_BARS];
	u32 region, i;

	mutex_lock(&vdev->irq.lock);
	for (region = 0; region < VFU_NR_BARS; region++) {
		tables[region] = vfu_ioeventfds_get(vdev, region);
		RCU_INIT_POINTER(vdev->ioeventfds[region], NULL);
	}
	mutex_unlock(&vdev->irq.lock);
	synchronize_rcu();
	for (region = 0; region < VFU_NR_BARS; region++) {
		if (!tables[region])
			continue;
		for (i = 0; i < tables[region]->count; i++)
			vfu_ioeventfd_free(tables[region]->entries[i]);
		kvfree(tables[region]);
	}
}
