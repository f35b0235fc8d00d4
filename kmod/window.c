// SPDX-License-Identifier: GPL-2.0-only
/*
 * Windows: the physical addresses that BARs lie in, and which each begins with.
 *
 * A window is a piece of the physical address space that nothing decodes. It
 * has a low part for 32-bit BARs, whose bus addresses start at VFU_LOW_BASE
 * whatever the CPU addresses are, and a high part for 64-bit BARs, where bus and
 * CPU addresses are the same.
 *
 * Locking: the tree of windows has its own; readers use RCU.
 * Lifetime: from vfu_window_create() to vfu_window_destroy(), while no area can
 * be mapped any more.
 */
#include <linux/ioport.h>
#include <linux/maple_tree.h>
#include <linux/mm.h>

#include "compat.h"
#include "vfiouser.h"

#define VFU_LOW_SIZE_MAX	SZ_2G

static struct maple_tree vfu_windows = MTREE_INIT(vfu_windows, MT_FLAGS_USE_RCU);

static u64 vfu_bar_size(const struct vfu_dev *vdev, int i)
{
	u64 size = vdev->regions[i].size;

	return size ? max_t(u64, roundup_pow_of_two(size), PAGE_SIZE) : 0;
}

/*
 * Give each BAR of a part its address, the largest first, as firmware does: the
 * PCI core leaves some devices alone (those without a class) that have none.
 */
static void vfu_window_place(struct vfu_dev *vdev, const struct resource *part, bool is_64)
{
	struct vfu_config *cfg = &vdev->cfg;
	u64 next = part->start, bus;
	unsigned long placed = 0;
	int i, best;

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
		bus = vfu_window_to_bus(vdev, next);
		cfg->bar[best] = bus;
		if (is_64)
			cfg->bar[best + 1] = bus >> 32;
		next += vfu_bar_size(vdev, best);
	}
}

/**
 * vfu_window_create() - find room for a device's BARs
 * @vdev: device whose BAR types are known (vfu_config_init())
 *
 * Context: may sleep.
 * Return: 0, -ENOSPC (32-bit BARs do not fit below 4 GiB), -ENOMEM, -ERANGE (no
 * free physical addresses of that size).
 */
int vfu_window_create(struct vfu_dev *vdev)
{
	u64 low = 0, high = 0, align = PAGE_SIZE, size, start;
	struct resource *window;
	int i, err;

	for (i = 0; i <= VFU_NR_BARS; i++) {
		u64 bar = vfu_bar_size(vdev, i);

		align = max(align, bar);
		if (vdev->cfg.bar_type[i] & PCI_BASE_ADDRESS_MEM_TYPE_64)
			high += bar;
		else
			low += bar;
	}
	/* The parts lie one behind the other, each aligned for its largest BAR. */
	low = ALIGN(low, align);
	high = ALIGN(high, align);
	if (low > VFU_LOW_SIZE_MAX)
		return -ENOSPC;
	/* A device without BARs still gets a window: the bus needs one. */
	if (!low && !high)
		low = align;

	size = low + high + (align > SZ_128M ? align : 0);
	window = vfu_compat_request_free(size, "vfiouser_pci");
	if (IS_ERR(window))
		return PTR_ERR(window);
	/* Drivers request their BARs inside, which are no device's memory. */
	window->flags &= ~IORESOURCE_BUSY;
	window->desc = IORES_DESC_NONE;
	vdev->window = window;

	start = ALIGN(window->start, align);
	if (low) {
		vdev->low = (struct resource) {
			.name = vdev->name,
			.start = start,
			.end = start + low - 1,
			.flags = IORESOURCE_MEM,
		};
		err = request_resource(window, &vdev->low);
		if (err)
			goto err;
	}
	if (high) {
		vdev->high = (struct resource) {
			.name = vdev->name,
			.start = start + low,
			.end = start + low + high - 1,
			.flags = IORESOURCE_MEM | IORESOURCE_MEM_64,
		};
		err = request_resource(window, &vdev->high);
		if (err)
			goto err;
	}
	vfu_window_place(vdev, &vdev->low, false);
	vfu_window_place(vdev, &vdev->high, true);
	err = mtree_store_range(&vfu_windows, window->start, window->end, vdev, GFP_KERNEL);
	if (err)
		goto err;
	return 0;
err:
	vfu_window_destroy(vdev);
	return err;
}

/**
 * vfu_window_destroy() - give the addresses back
 * @vdev: device; nothing happens if it has no window
 *
 * Context: may sleep; waits for readers of vfu_window_find().
 */
void vfu_window_destroy(struct vfu_dev *vdev)
{
	struct resource *window = vdev->window;

	if (!window)
		return;
	if (mtree_load(&vfu_windows, window->start) == vdev)
		mtree_erase(&vfu_windows, window->start);
	synchronize_rcu();
	if (vdev->low.parent)
		release_resource(&vdev->low);
	if (vdev->high.parent)
		release_resource(&vdev->high);
	window->flags |= IORESOURCE_BUSY;
	release_mem_region(window->start, resource_size(window));
	vdev->window = NULL;
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
	return mtree_load(&vfu_windows, phys);
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
	if (vdev->low.flags && phys >= vdev->low.start && phys <= vdev->low.end)
		return phys - vdev->low.start + VFU_LOW_BASE;
	return phys;
}
