// SPDX-License-Identifier: GPL-2.0-only
/*
 * Base address registers: what a driver sees of them, and what the server is told.
 *
 * What is read, and how large a BAR is, is the kernel's: the server's region sizes say the size.
 * Each write reaches the server as well, since a device model may decode a BAR only where its
 * register says, as hardware does. It is told bus addresses, as the driver's side has them.
 *
 * I/O ports cannot be trapped. Their BAR is shown as one of memory, for drivers that use
 * pci_iomap(), which serves both, or not at all; the server is given a port number of 16 bits
 * instead of the address, and I/O decoding whenever the driver turns on that of memory. A BAR of
 * ports is not shown where there is one of memory as well: drivers that want the one take the
 * first BAR that is not ports, and drivers that want ports cannot have them anyway. The
 * administrator can say otherwise.
 *
 * Locking: vfu_dev.cfg_lock protects vfu_config.bar. It is never held over a request to the helper.
 */
#include <linux/ioport.h>
#include <linux/log2.h>
#include <linux/pci.h>

#include "bars.h"
#include "device.h"
#include "image.h"
#include "ring.h"
#include "window.h"

#define VFU_ROM			VFU_NR_BARS	/* index of the ROM's register */

/* Where firmware has them, of a device each so many, for devices of one server to be apart. */
#define VFU_PORTS_BASE		0xc000U
#define VFU_PORTS_EACH		0x800U
#define VFU_PORTS_LOW		0x1000U
#define VFU_PORTS_END		0x10000U

static bool vfu_bar_is_64(const struct vfu_config *cfg, int i)
{
	return i < VFU_NR_BARS - 1 && (cfg->bar_type[i] & PCI_BASE_ADDRESS_MEM_TYPE_64);
}

/* The upper half of a 64-bit BAR belongs to the register before it. */
static int vfu_bar_lower(const struct vfu_config *cfg, int i)
{
	return i > 0 && i < VFU_NR_BARS && vfu_bar_is_64(cfg, i - 1) ? i - 1 : i;
}

/**
 * vfu_bar_bytes() - how much of a BAR there is for a driver
 * @vdev: device
 * @i: 0 to 5, or 6 for the ROM
 *
 * Context: any.
 * Return: bytes, 0 for a BAR that is not there or not shown.
 */
u64 vfu_bar_bytes(const struct vfu_dev *vdev, int i)
{
	return vdev->cfg.bars_hidden & BIT(i) ? 0 : vdev->regions[i].size;
}

static u64 vfu_bar_mask(const struct vfu_dev *vdev, int i)
{
	u64 size = vfu_bar_bytes(vdev, i);

	if (!size)
		return 0;
	size = roundup_pow_of_two(size);
	return ~(max_t(u64, size, i == VFU_ROM ? SZ_2K : 16) - 1);
}

/**
 * vfu_bar_at() - which register does an offset in config space belong to?
 * @where: offset
 *
 * Context: any.
 * Return: 0 to 5, 6 for the ROM's, or -1.
 */
int vfu_bar_at(unsigned int where)
{
	if (where >= PCI_BASE_ADDRESS_0 && where < PCI_BASE_ADDRESS_0 + 4 * VFU_NR_BARS)
		return (where - PCI_BASE_ADDRESS_0) / 4;
	if (where >= PCI_ROM_ADDRESS && where < PCI_ROM_ADDRESS + 4)
		return VFU_ROM;
	return -1;
}

/**
 * vfu_bar_read() - read a base address register
 * @vdev: device
 * @i: which, see vfu_bar_at()
 * @byte: first byte of it
 * @size: bytes
 *
 * Context: any but NMI.
 * Return: what the driver sees.
 */
u32 vfu_bar_read(struct vfu_dev *vdev, int i, unsigned int byte, int size)
{
	struct vfu_config *cfg = &vdev->cfg;
	unsigned long flags;
	u32 val;

	raw_spin_lock_irqsave(&vdev->cfg_lock, flags);
	val = cfg->bar[i] | cfg->bar_type[i];
	raw_spin_unlock_irqrestore(&vdev->cfg_lock, flags);
	return val >> (8 * byte) & GENMASK(8 * size - 1, 0);
}

/* Tell the server of a register, as a whole. */
static void vfu_bar_put(struct vfu_dev *vdev, int i, u32 val)
{
	unsigned int where = i == VFU_ROM ? PCI_ROM_ADDRESS : PCI_BASE_ADDRESS_0 + 4 * i;
	__le32 raw = cpu_to_le32(val);

	vfu_count(vdev, VFU_STAT_CONFIG, 1);
	vfu_region_restore(vdev, VFIO_PCI_CONFIG_REGION_INDEX, where, &raw, sizeof(raw));
}

/**
 * vfu_bar_write() - write a base address register, with its effect here and in the server
 * @vdev: device
 * @i: which, see vfu_bar_at()
 * @byte: first byte of it
 * @size: bytes
 * @val: the value
 *
 * Context: any but NMI.
 */
void vfu_bar_write(struct vfu_dev *vdev, int i, unsigned int byte, int size, u32 val)
{
	struct vfu_config *cfg = &vdev->cfg;
	u32 bits = GENMASK(8 * size - 1, 0) << (8 * byte);
	unsigned int where = i == VFU_ROM ? PCI_ROM_ADDRESS : PCI_BASE_ADDRESS_0 + 4 * i;
	__le32 raw = cpu_to_le32(val);
	unsigned long flags;
	int lower;
	u64 mask;

	raw_spin_lock_irqsave(&vdev->cfg_lock, flags);
	lower = vfu_bar_lower(cfg, i);
	mask = vfu_bar_mask(vdev, lower) >> (lower == i ? 0 : 32);
	if (i == VFU_ROM && mask)
		mask |= PCI_ROM_ADDRESS_ENABLE;
	val = (cfg->bar[i] & ~bits) | (val << (8 * byte) & bits);
	cfg->bar[i] = val & mask;
	raw_spin_unlock_irqrestore(&vdev->cfg_lock, flags);

	/* A port number does not change: nobody but the server knows of it. */
	if (cfg->bars_io & BIT(i)) {
		vfu_bar_put(vdev, i, cfg->port[i]);
		return;
	}
	vfu_count(vdev, VFU_STAT_CONFIG, 1);
	vfu_region_write(vdev, VFIO_PCI_CONFIG_REGION_INDEX, where + byte, &raw, size, false);
}

/**
 * vfu_bars_tell() - tell a server that does not know, or has forgotten, where its BARs are
 * @vdev: device
 *
 * Also while it is reset: what is told comes behind the reset.
 *
 * Context: any but NMI.
 */
void vfu_bars_tell(struct vfu_dev *vdev)
{
	const struct vfu_config *cfg = &vdev->cfg;
	int i;

	for (i = 0; i <= VFU_ROM; i++) {
		if (!vdev->regions[vfu_bar_lower(cfg, i)].size)
			continue;
		vfu_bar_put(vdev, i, cfg->bars_io & BIT(i) ? cfg->port[i] : READ_ONCE(cfg->bar[i]));
	}
}

/* Bus address of a register, or 0 where it decodes nothing. cfg_lock held. */
static u64 vfu_bar_base(const struct vfu_dev *vdev, int i)
{
	const struct vfu_config *cfg = &vdev->cfg;
	u64 base = cfg->bar[i];

	if (vfu_bar_lower(cfg, i) != i || !vfu_bar_bytes(vdev, i))
		return 0;
	if (i == VFU_ROM)
		return base & PCI_ROM_ADDRESS_ENABLE ? base & PCI_ROM_ADDRESS_MASK : 0;
	if (vfu_bar_is_64(cfg, i))
		base |= (u64)cfg->bar[i + 1] << 32;
	return base;
}

/**
 * vfu_config_resolve() - which region lies at a CPU address?
 * @vdev: device
 * @phys: address in its window
 * @offset: set to the bytes into the region
 *
 * Context: any.
 * Return: VFIO_PCI_*_REGION_INDEX or -ENXIO.
 */
int vfu_config_resolve(struct vfu_dev *vdev, phys_addr_t phys, u64 *offset)
{
	u64 bus = vfu_window_to_bus(vdev, phys);
	unsigned long flags;
	int i, ret = -ENXIO;

	raw_spin_lock_irqsave(&vdev->cfg_lock, flags);
	for (i = 0; i <= VFU_ROM; i++) {
		u64 base = vfu_bar_base(vdev, i);

		if (base && bus >= base && bus - base < vdev->regions[i].size) {
			*offset = bus - base;
			ret = i;
			break;
		}
	}
	raw_spin_unlock_irqrestore(&vdev->cfg_lock, flags);
	return ret;
}

/**
 * vfu_bars_contain() - does a range of CPU addresses lie in one BAR of a device?
 * @vdev: device
 * @phys: first address
 * @size: bytes
 *
 * Up to the end of what the BAR decodes, which can be more than the server's region.
 *
 * Context: any.
 * Return: true if it does.
 */
bool vfu_bars_contain(struct vfu_dev *vdev, phys_addr_t phys, u64 size)
{
	u64 bus = vfu_window_to_bus(vdev, phys);
	unsigned long flags;
	bool ret = false;
	int i;

	raw_spin_lock_irqsave(&vdev->cfg_lock, flags);
	for (i = 0; i <= VFU_ROM && !ret; i++) {
		u64 base = vfu_bar_base(vdev, i), bytes;

		/* A ROM is mapped before it is turned on. */
		if (i == VFU_ROM && vfu_bar_bytes(vdev, i))
			base = vdev->cfg.bar[i] & PCI_ROM_ADDRESS_MASK;
		if (!base || bus < base)
			continue;
		bytes = max_t(u64, roundup_pow_of_two(vdev->regions[i].size), PAGE_SIZE);
		ret = bus - base < bytes && size <= bytes - (bus - base);
	}
	raw_spin_unlock_irqrestore(&vdev->cfg_lock, flags);
	return ret;
}

static u32 vfu_port_size(const struct vfu_dev *vdev, int i)
{
	return max_t(u64, roundup_pow_of_two(vdev->regions[i].size), 4);
}

/* Give each BAR of ports a number, the largest first, as firmware does. */
static int vfu_ports_place(struct vfu_dev *vdev)
{
	struct vfu_config *cfg = &vdev->cfg;
	u32 next = VFU_PORTS_BASE + VFU_PORTS_EACH * (vdev->id % 8), end = next + VFU_PORTS_EACH;
	unsigned long left = cfg->bars_io;
	u64 all = 0;
	int i, best;

	for_each_set_bit(i, &left, VFU_NR_BARS)
		all += vfu_port_size(vdev, i);
	if (all > VFU_PORTS_EACH) {
		next = VFU_PORTS_LOW;
		end = VFU_PORTS_BASE;
	}
	if (all > end - next)
		return vfu_dev_refuse(vdev, -EPROTO, "its BARs of I/O ports are too large");
	while (left) {
		best = __ffs(left);
		for_each_set_bit(i, &left, VFU_NR_BARS)
			if (vdev->regions[i].size > vdev->regions[best].size)
				best = i;
		__clear_bit(best, &left);
		cfg->port[best] = next;
		next += vfu_port_size(vdev, best);
	}
	return 0;
}

/* Ports of this host that are nobody's, or NULL. */
static struct resource *vfu_port_find(u32 first, u32 end, u32 size)
{
	struct resource *res;
	u32 port;

	for (port = ALIGN(first, size); port + size <= end; port += size) {
		res = request_region(port, size, "vfiouser_pci");
		if (!res)
			continue;
		/* Inside of a bus is fine, inside of another device's BAR is not. */
		if (res->parent == &ioport_resource ||
		    !strncmp(res->parent->name, "PCI Bus", strlen("PCI Bus")))
			return res;
		release_region(port, size);
	}
	return NULL;
}

/*
 * A driver that does not look whether its BAR is one of ports takes the address for a number, of
 * which the processor uses the low 16 bits. So they are a number too, that of ports which the
 * host has to spare, and which the server is told: see vfu_window_create().
 */
static int vfu_ports_reserve(struct vfu_dev *vdev)
{
	struct vfu_config *cfg = &vdev->cfg;
	u32 size;
	int i;

	for_each_set_bit(i, &cfg->bars_io, VFU_NR_BARS) {
		size = vfu_port_size(vdev, i);
		cfg->ports[i] = vfu_port_find(VFU_PORTS_BASE, VFU_PORTS_END, size) ?:
				vfu_port_find(VFU_PORTS_LOW, VFU_PORTS_BASE, size);
		if (!cfg->ports[i])
			return vfu_dev_refuse(vdev, -ENOSPC,
					      "no %u I/O ports of this host are free for BAR %d; --io-bars=hide goes without",
					      size, i);
		cfg->port[i] = cfg->ports[i]->start;
	}
	return 0;
}

/**
 * vfu_bars_destroy() - undo vfu_bars_init()
 * @vdev: device that nobody uses any more
 *
 * Context: may sleep.
 */
void vfu_bars_destroy(struct vfu_dev *vdev)
{
	int i;

	for (i = 0; i < VFU_NR_BARS; i++)
		if (vdev->cfg.ports[i])
			release_region(vdev->cfg.ports[i]->start,
				       resource_size(vdev->cfg.ports[i]));
}

/**
 * vfu_bars_init() - learn what kinds of BARs there are
 * @vdev: device after vfu_image_create()
 *
 * Context: may sleep.
 * Return: 0; -EPROTO: a server that contradicts itself; -ENOSPC: no ports to spare.
 */
int vfu_bars_init(struct vfu_dev *vdev)
{
	struct vfu_config *cfg = &vdev->cfg;
	bool memory = false;
	u32 val;
	int i;

	for (i = 0; i < VFU_NR_BARS; i++) {
		u64 size = vdev->regions[i].size;

		if (vfu_bar_lower(cfg, i) != i) {
			if (size)
				return vfu_dev_refuse(vdev, -EPROTO,
						      "BAR %d is the upper half of BAR %d, but the server gives it a size",
						      i, i - 1);
			continue;
		}
		if (!size)
			continue;
		val = vfu_image_get(vdev, PCI_BASE_ADDRESS_0 + 4 * i, 4);
		if (val & PCI_BASE_ADDRESS_SPACE_IO) {
			if (size > VFU_PORTS_END)
				return vfu_dev_refuse(vdev, -EPROTO,
						      "its BARs of I/O ports are too large");
			cfg->bars_io |= BIT(i);
			continue;
		}
		memory = true;
		cfg->bar_type[i] = val & (PCI_BASE_ADDRESS_MEM_TYPE_MASK |
					  PCI_BASE_ADDRESS_MEM_PREFETCH);
		if ((cfg->bar_type[i] & PCI_BASE_ADDRESS_MEM_TYPE_64) && i == VFU_NR_BARS - 1)
			return vfu_dev_refuse(vdev, -EPROTO, "BAR 5 cannot be 64 bits wide");
	}
	if (!cfg->bars_io)
		return 0;
	if ((vdev->flags & VFIOUSER_DEV_F_IO_HIDE) ||
	    (memory && !(vdev->flags & VFIOUSER_DEV_F_IO_SHOW)))
		cfg->bars_hidden = cfg->bars_io;
	dev_info(vdev->dev, "BARs of I/O ports are %s\n",
		 cfg->bars_hidden ? "not shown" : "shown as memory");
	return cfg->bars_hidden ? vfu_ports_place(vdev) : vfu_ports_reserve(vdev);
}
