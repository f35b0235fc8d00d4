// SPDX-License-Identifier: GPL-2.0-only
/*
 * Windows: the physical addresses that BARs lie in, and which each begins with.
 *
 * A window is a piece of the physical address space that nothing decodes. It
 * has a low part for 32-bit BARs, whose bus addresses start at VFU_LOW_BASE
 * whatever the CPU addresses are, and a high part for 64-bit BARs, where bus and
 * CPU addresses are the same.
 *
 * Locking: the tree of windows has its own; readers use RCU. vfu_pci_slot.lock while one
 * is made.
 * Lifetime: from the first vfu_window_create() of a slot to vfu_window_destroy(), while
 * no area can be mapped any more.
 */
#include <linux/ioport.h>
#include <linux/maple_tree.h>
#include <linux/mm.h>

#include "bars.h"
#include "bridge.h"
#include "compat.h"
#include "config.h"
#include "device.h"
#include "window.h"

#define VFU_LOW_SIZE_MAX	SZ_2G

/* What a function of a slot for several gets of each part. */
#define VFU_FN_LOW_SIZE		(VFU_LOW_SIZE_MAX / VFU_NR_FUNCTIONS)
#define VFU_FN_HIGH_SIZE	(8ULL * SZ_1G)

static struct maple_tree vfu_windows = MTREE_INIT(vfu_windows, MT_FLAGS_USE_RCU);

static u64 vfu_bar_size(const struct vfu_dev *vdev, int i)
{
	u64 size = vfu_bar_bytes(vdev, i);

	return size ? max_t(u64, roundup_pow_of_two(size), PAGE_SIZE) : 0;
}

/* I/O ports that are shown: their address ends with their number, see bars.c. */
static bool vfu_bar_is_ports(const struct vfu_dev *vdev, int i)
{
	return i < VFU_NR_BARS && vdev->cfg.ports[i];
}

/* Room that the BAR takes. */
static u64 vfu_bar_room(const struct vfu_dev *vdev, int i)
{
	return vfu_bar_is_ports(vdev, i) ? 2 * SZ_64K : vfu_bar_size(vdev, i);
}

/*
 * Give each BAR of a part its address, the largest first, as firmware does: the
 * PCI core leaves some devices alone (those without a class) that have none.
 */
static void vfu_window_place(struct vfu_dev *vdev, u64 next, bool is_64)
{
	struct vfu_config *cfg = &vdev->cfg;
	unsigned long placed = 0;
	int i, best;
	u64 bus;

	for (;;) {
		best = -1;
		for (i = 0; i <= VFU_NR_BARS; i++)
			if (vfu_bar_size(vdev, i) && !test_bit(i, &placed) &&
			    !!(cfg->bar_type[i] & PCI_BASE_ADDRESS_MEM_TYPE_64) == is_64 &&
			    (best < 0 || vfu_bar_size(vdev, i) > vfu_bar_size(vdev, best)))
				best = i;
		if (best < 0)
			return;
		__set_bit(best, &placed);
		if (vfu_bar_is_ports(vdev, best))
			next = ALIGN(next, SZ_64K) + vdev->cfg.port[best];
		bus = vfu_window_to_bus(vdev, next);
		cfg->bar[best] = bus;
		if (is_64)
			cfg->bar[best + 1] = bus >> 32;
		next += vfu_bar_is_ports(vdev, best) ? SZ_64K - vdev->cfg.port[best] :
						       vfu_bar_size(vdev, best);
	}
}

static int vfu_window_part(struct vfu_pci_slot *slot, struct resource *part, u64 start, u64 size,
			   unsigned long flags)
{
	if (!size)
		return 0;
	*part = (struct resource) {
		.name = "vfiouser_pci",
		.start = start,
		.end = start + size - 1,
		.flags = flags,
	};
	return request_resource(slot->window, part);
}

/* The parts lie one behind the other, each aligned for its largest BAR. */
static int vfu_window_make(struct vfu_pci_slot *slot, u64 low, u64 high, u64 align)
{
	struct resource *window;
	u64 start;
	int err;

	window = vfu_compat_request_free(ALIGN(low, align) + high + (align > SZ_128M ? align : 0),
					 "vfiouser_pci");
	if (IS_ERR(window))
		return PTR_ERR(window);
	/* Drivers request their BARs inside, which are no device's memory. */
	window->flags &= ~IORESOURCE_BUSY;
	window->desc = IORES_DESC_NONE;
	slot->window = window;

	start = ALIGN(window->start, align);
	err = vfu_window_part(slot, &slot->low, start, low, IORESOURCE_MEM);
	if (!err)
		err = vfu_window_part(slot, &slot->high, start + ALIGN(low, align), high,
				      IORESOURCE_MEM | IORESOURCE_MEM_64);
	if (!err)
		err = mtree_store_range(&vfu_windows, window->start, window->end, slot, GFP_KERNEL);
	if (err)
		vfu_window_destroy(slot);
	return err;
}

/**
 * vfu_window_create() - find room for a device's BARs
 * @vdev: device in a slot, whose BAR types are known (vfu_config_init())
 *
 * A slot for several functions has room for eight of them from the start.
 *
 * Context: may sleep.
 * Return: 0, -ENOSPC (BARs do not fit below 4 GiB, or into a function's share), -ENOMEM,
 * -ERANGE (no free physical addresses of that size).
 */
int vfu_window_create(struct vfu_dev *vdev)
{
	bool multi = vfu_slot_multi(vdev->place.slot);
	u64 low = 0, high = 0, align = PAGE_SIZE;
	struct vfu_pci_slot *slot = vdev->place.slot;
	int i, err = 0;

	for (i = 0; i <= VFU_NR_BARS; i++) {
		u64 bar = vfu_bar_room(vdev, i);

		align = max(align, bar);
		if (vdev->cfg.bar_type[i] & PCI_BASE_ADDRESS_MEM_TYPE_64)
			high += bar;
		else
			low += bar;
	}
	low = ALIGN(low, align);
	high = ALIGN(high, align);
	if (low > (multi ? VFU_FN_LOW_SIZE : VFU_LOW_SIZE_MAX))
		return -ENOSPC;
	if (multi && high > VFU_FN_HIGH_SIZE)
		return -ENOSPC;
	/* A device without BARs still gets a window: the bus needs one. */
	if (!low && !high)
		low = align;
	if (multi) {
		low = VFU_LOW_SIZE_MAX;
		high = VFU_NR_FUNCTIONS * VFU_FN_HIGH_SIZE;
		align = VFU_FN_HIGH_SIZE;
	}

	mutex_lock(&slot->lock);
	if (!slot->window)
		err = vfu_window_make(slot, low, high, align);
	mutex_unlock(&slot->lock);
	if (err)
		return err;
	vfu_window_place(vdev, slot->low.start + vdev->place.fn * VFU_FN_LOW_SIZE, false);
	vfu_window_place(vdev, slot->high.start + vdev->place.fn * VFU_FN_HIGH_SIZE, true);
	return 0;
}

/**
 * vfu_window_destroy() - give a slot's addresses back
 * @slot: without a bus; nothing happens if it has no window
 *
 * Context: may sleep; waits for readers of vfu_window_find().
 */
void vfu_window_destroy(struct vfu_pci_slot *slot)
{
	struct resource *window = slot->window;

	if (!window)
		return;
	if (mtree_load(&vfu_windows, window->start) == slot)
		mtree_erase(&vfu_windows, window->start);
	synchronize_rcu();
	if (slot->low.parent)
		release_resource(&slot->low);
	if (slot->high.parent)
		release_resource(&slot->high);
	window->flags |= IORESOURCE_BUSY;
	release_mem_region(window->start, resource_size(window));
	slot->window = NULL;
}

/* As which function it was placed there; its BAR may be elsewhere meanwhile. */
static unsigned int vfu_window_fn(const struct vfu_pci_slot *slot, phys_addr_t phys)
{
	if (phys <= slot->low.end)
		return (phys - slot->low.start) / VFU_FN_LOW_SIZE;
	return (phys - slot->high.start) / VFU_FN_HIGH_SIZE;
}

/* Under RCU. */
static struct vfu_dev *vfu_window_owner(const struct vfu_pci_slot *slot, phys_addr_t phys)
{
	struct vfu_dev *vdev;
	unsigned int fn;
	u64 offset;

	if (!vfu_slot_multi(slot))
		return rcu_dereference(slot->functions[0]);
	/* The PCI core may have moved a BAR into another function's share. */
	for (fn = 0; fn < VFU_NR_FUNCTIONS; fn++) {
		vdev = rcu_dereference(slot->functions[fn]);
		if (vdev && vfu_config_resolve(vdev, phys, &offset) >= 0)
			return vdev;
	}
	fn = vfu_window_fn(slot, phys);
	return fn < VFU_NR_FUNCTIONS ? rcu_dereference(slot->functions[fn]) : NULL;
}

/**
 * vfu_window_find() - whose window does a physical address lie in?
 * @phys: CPU physical address
 *
 * Context: any, inside an RCU read-side section if the result is to be used.
 * Return: the device, without a reference, or NULL.
 */
struct vfu_dev *vfu_window_find(phys_addr_t phys)
{
	struct vfu_pci_slot *slot;
	struct vfu_dev *vdev;

	rcu_read_lock();
	slot = mtree_load(&vfu_windows, phys);
	vdev = slot ? vfu_window_owner(slot, phys) : NULL;
	rcu_read_unlock();
	return vdev;
}

/**
 * vfu_window_to_bus() - bus address of a CPU address in a device's window
 * @vdev: device
 * @phys: CPU physical address
 *
 * Return: the bus address.
 */
u64 vfu_window_to_bus(const struct vfu_dev *vdev, phys_addr_t phys)
{
	const struct resource *low = &vdev->place.slot->low;

	if (low->flags && phys >= low->start && phys <= low->end)
		return phys - low->start + VFU_LOW_BASE;
	return phys;
}
