// SPDX-License-Identifier: GPL-2.0-only
/*
 * Config space.
 *
 * It is the server's, but for what the kernel has to keep itself: the base
 * address registers and their sizing (the server's region sizes say how large
 * they are), and the enable and mask bits of MSI and MSI-X, which also go to the
 * server. A function level reset becomes the server's reset.
 *
 * Locking: vfu_dev.cfg_lock protects vfu_dev.cfg and the MSI-X table. It is never
 * held over a request to the helper.
 */
#include <linux/bitfield.h>
#include <linux/pci.h>
#include <linux/sched/clock.h>
#include <linux/slab.h>
#include <linux/stacktrace.h>
#include <linux/virtio_pci.h>

#include "bridge.h"
#include "config.h"
#include "device.h"
#include "irq.h"
#include "ring.h"
#include "trace.h"
#include "window.h"

#define VFU_ROM			VFU_NR_BARS	/* index of the ROM's register */

static int vfu_cfg_get(struct vfu_dev *vdev, unsigned int where, int size, u32 *val)
{
	__le32 raw = 0;
	int err;

	vfu_count(vdev, VFU_STAT_CONFIG, 1);
	err = vfu_region_read(vdev, VFIO_PCI_CONFIG_REGION_INDEX, where, &raw, size);
	*val = le32_to_cpu(raw);
	return err;
}

static void vfu_cfg_put(struct vfu_dev *vdev, unsigned int where, int size, u32 val)
{
	__le32 raw = cpu_to_le32(val);

	vfu_count(vdev, VFU_STAT_CONFIG, 1);
	vfu_region_write(vdev, VFIO_PCI_CONFIG_REGION_INDEX, where, &raw, size, false);
}

/* ---- base address registers ---- */

static bool vfu_bar_is_64(const struct vfu_config *cfg, int i)
{
	return i < VFU_NR_BARS - 1 && (cfg->bar_type[i] & PCI_BASE_ADDRESS_MEM_TYPE_64);
}

/* The upper half of a 64-bit BAR belongs to the register before it. */
static int vfu_bar_lower(const struct vfu_config *cfg, int i)
{
	return i > 0 && i < VFU_NR_BARS && vfu_bar_is_64(cfg, i - 1) ? i - 1 : i;
}

static u64 vfu_bar_mask(const struct vfu_dev *vdev, int i)
{
	u64 size = vdev->regions[i].size;

	if (!size)
		return 0;
	size = roundup_pow_of_two(size);
	return ~(max_t(u64, size, i == VFU_ROM ? SZ_2K : 16) - 1);
}

/* Which register does an offset in config space belong to, or -1? */
static int vfu_bar_at(unsigned int where)
{
	if (where >= PCI_BASE_ADDRESS_0 && where < PCI_BASE_ADDRESS_0 + 4 * VFU_NR_BARS)
		return (where - PCI_BASE_ADDRESS_0) / 4;
	if (where >= PCI_ROM_ADDRESS && where < PCI_ROM_ADDRESS + 4)
		return VFU_ROM;
	return -1;
}

static u32 vfu_bar_read(struct vfu_dev *vdev, int i, unsigned int byte, int size)
{
	struct vfu_config *cfg = &vdev->cfg;
	unsigned long flags;
	u32 val;

	raw_spin_lock_irqsave(&vdev->cfg_lock, flags);
	val = cfg->bar[i] | cfg->bar_type[i];
	raw_spin_unlock_irqrestore(&vdev->cfg_lock, flags);
	return val >> (8 * byte) & GENMASK(8 * size - 1, 0);
}

static void vfu_bar_write(struct vfu_dev *vdev, int i, unsigned int byte, int size, u32 val)
{
	struct vfu_config *cfg = &vdev->cfg;
	u32 bits = GENMASK(8 * size - 1, 0) << (8 * byte);
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
}

/* Bus address of a register, or 0 where it decodes nothing. cfg_lock held. */
static u64 vfu_bar_base(const struct vfu_dev *vdev, int i)
{
	const struct vfu_config *cfg = &vdev->cfg;
	u64 base = cfg->bar[i];

	if (vfu_bar_lower(cfg, i) != i || !vdev->regions[i].size)
		return 0;
	if (i == VFU_ROM)
		return base & PCI_ROM_ADDRESS_ENABLE ? base & PCI_ROM_ADDRESS_MASK : 0;
	if (vfu_bar_is_64(cfg, i))
		base |= (u64)cfg->bar[i + 1] << 32;
	return base;
}

/**
 * vfu_config_decodes() - is memory space enabled in the command register?
 * @vdev: device
 *
 * As on hardware, an access goes nowhere while it is not.
 *
 * Context: any.
 * Return: true if it does.
 */
bool vfu_config_decodes(struct vfu_dev *vdev)
{
	return READ_ONCE(vdev->cfg.command) & PCI_COMMAND_MEMORY;
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
 * vfu_config_gone() - what a read gives where no device decodes it
 * @vdev: device
 * @phys: address in its window
 * @data: where to
 * @count: bytes
 *
 * All-ones. But drivers of virtio devices, when they are unbound, reset the
 * device and wait for its status to read as zero, for ever: so the status of a
 * lost or frozen one does.
 *
 * Context: any.
 */
void vfu_config_gone(struct vfu_dev *vdev, phys_addr_t phys, void *data, u32 count)
{
	const struct vfu_config *cfg = &vdev->cfg;
	u64 offset;

	memset(data, 0xff, count);
	if (cfg->virtio_status && count == 1 && vfu_dev_offline(vdev) &&
	    vfu_config_resolve(vdev, phys, &offset) == cfg->virtio_bir &&
	    offset == cfg->virtio_status)
		memset(data, 0, count);
}

/* ---- the MSI-X table ---- */

/**
 * vfu_msix_hit() - does an access touch the MSI-X table?
 * @vdev: device
 * @region: VFIO_PCI_*_REGION_INDEX
 * @offset: bytes into the region
 * @count: bytes
 *
 * Return: true if it does.
 */
bool vfu_msix_hit(struct vfu_dev *vdev, u32 region, u64 offset, u32 count)
{
	const struct vfu_config *cfg = &vdev->cfg;
	u64 end = (u64)cfg->msix_table + cfg->msix_count * PCI_MSIX_ENTRY_SIZE;

	return cfg->msix && region == cfg->msix_bir && offset + count > cfg->msix_table &&
	       offset < end;
}

/**
 * vfu_msix_page() - does a page of a region hold a part of the MSI-X table?
 * @vdev: device
 * @region: VFIO_PCI_*_REGION_INDEX
 * @offset: of the page, in bytes
 *
 * Return: true if it does.
 */
bool vfu_msix_page(struct vfu_dev *vdev, u32 region, u64 offset)
{
	return vfu_msix_hit(vdev, region, offset, PAGE_SIZE);
}

/* A vector is held back by its own mask bit and by the function's. */
static void vfu_msix_update(struct vfu_dev *vdev, u32 nr)
{
	struct vfu_irqs *irqs = &vdev->irq.index[VFIO_PCI_MSIX_IRQ_INDEX];
	bool masked = !(vdev->cfg.msix_ctrl & PCI_MSIX_FLAGS_ENABLE) ||
		      (vdev->cfg.msix_ctrl & PCI_MSIX_FLAGS_MASKALL) ||
		      (vdev->cfg.table[nr][PCI_MSIX_ENTRY_VECTOR_CTRL / 4] &
		       PCI_MSIX_ENTRY_CTRL_MASKBIT);

	lockdep_assert_held(&vdev->cfg_lock);
	if (nr < irqs->count)
		vfu_vector_set_masked(&irqs->vectors[nr], masked);
}

/* As of power-on; whoever uses a vector is told of it by vfu_msix_update(). */
static void vfu_msix_mask_entry(struct vfu_dev *vdev, u32 nr)
{
	vdev->cfg.table[nr][PCI_MSIX_ENTRY_VECTOR_CTRL / 4] = PCI_MSIX_ENTRY_CTRL_MASKBIT;
}

/**
 * vfu_msix_read() - read the MSI-X table
 * @vdev: device
 * @offset: bytes into the table's region; vfu_msix_hit() is true for it
 * @data: where to
 * @count: bytes
 */
void vfu_msix_read(struct vfu_dev *vdev, u64 offset, void *data, u32 count)
{
	u64 end = vdev->cfg.msix_count * PCI_MSIX_ENTRY_SIZE;
	const u8 *table = (const u8 *)vdev->cfg.table;
	unsigned long flags;
	u8 *to = data;
	u32 i;

	raw_spin_lock_irqsave(&vdev->cfg_lock, flags);
	for (i = 0; i < count; i++) {
		u64 at = offset + i - vdev->cfg.msix_table;

		to[i] = at < end ? table[at] : 0xff;
	}
	raw_spin_unlock_irqrestore(&vdev->cfg_lock, flags);
}

/**
 * vfu_msix_write() - write the MSI-X table, mask bits with their effect
 * @vdev: device
 * @offset: bytes into the table's region; vfu_msix_hit() is true for it
 * @data: what to write
 * @count: bytes
 */
void vfu_msix_write(struct vfu_dev *vdev, u64 offset, const void *data, u32 count)
{
	u64 end = vdev->cfg.msix_count * PCI_MSIX_ENTRY_SIZE;
	u8 *table = (u8 *)vdev->cfg.table;
	const u8 *from = data;
	unsigned long flags;
	u64 at = 0;
	u32 i;

	raw_spin_lock_irqsave(&vdev->cfg_lock, flags);
	for (i = 0; i < count; i++) {
		at = offset + i - vdev->cfg.msix_table;
		if (at >= end)
			continue;
		table[at] = from[i];
		/* The last byte of an entry, or of what is written to it. */
		if (i == count - 1 || at % PCI_MSIX_ENTRY_SIZE == PCI_MSIX_ENTRY_SIZE - 1)
			vfu_msix_update(vdev, at / PCI_MSIX_ENTRY_SIZE);
	}
	raw_spin_unlock_irqrestore(&vdev->cfg_lock, flags);
}

/* ---- what control writes mean ---- */

/**
 * vfu_intx_control() - arm INTx, unless MSI, MSI-X or the command register has it off
 * @vdev: device
 *
 * Context: any but NMI.
 */
void vfu_intx_control(struct vfu_dev *vdev)
{
	const struct vfu_config *cfg = &vdev->cfg;
	bool on = !(READ_ONCE(cfg->command) & PCI_COMMAND_INTX_DISABLE) &&
		  !(READ_ONCE(cfg->msix_ctrl) & PCI_MSIX_FLAGS_ENABLE) &&
		  !(READ_ONCE(cfg->msi_ctrl) & PCI_MSI_FLAGS_ENABLE);

	if (on || READ_ONCE(vdev->irq.mode) == VFIO_PCI_INTX_IRQ_INDEX)
		vfu_irqs_mode(vdev, VFIO_PCI_INTX_IRQ_INDEX, on);
}

static void vfu_command_write(struct vfu_dev *vdev, u16 command)
{
	u16 old = vdev->cfg.command;

	WRITE_ONCE(vdev->cfg.command, command);
	if ((old ^ command) & PCI_COMMAND_INTX_DISABLE)
		vfu_intx_control(vdev);
}

static void vfu_msix_control(struct vfu_dev *vdev, u16 ctrl)
{
	struct vfu_irqs *irqs = &vdev->irq.index[VFIO_PCI_MSIX_IRQ_INDEX];
	bool was, is = ctrl & PCI_MSIX_FLAGS_ENABLE;
	unsigned long flags;
	u32 i, used = 0;

	raw_spin_lock_irqsave(&vdev->cfg_lock, flags);
	was = vdev->cfg.msix_ctrl & PCI_MSIX_FLAGS_ENABLE;
	vdev->cfg.msix_ctrl = ctrl & (PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
	raw_spin_unlock_irqrestore(&vdev->cfg_lock, flags);

	/*
	 * Drivers enable with all masked, allocate vectors, and unmask: that is
	 * when it is known how many there are, and they must be armed before
	 * the driver goes on.
	 */
	if (is && !(ctrl & PCI_MSIX_FLAGS_MASKALL)) {
		for (i = 0; i < irqs->count; i++)
			if (READ_ONCE(irqs->vectors[i].virq))
				used = i + 1;
		vfu_irqs_mode(vdev, VFIO_PCI_MSIX_IRQ_INDEX, used);
	} else if (is && !was) {
		vfu_irqs_mode(vdev, VFIO_PCI_MSIX_IRQ_INDEX, 0);
	} else if (!is && was) {
		vfu_irqs_mode(vdev, VFIO_PCI_MSIX_IRQ_INDEX, 0);
		vfu_intx_control(vdev);
	}

	raw_spin_lock_irqsave(&vdev->cfg_lock, flags);
	for (i = 0; i < vdev->cfg.msix_count; i++)
		vfu_msix_update(vdev, i);
	raw_spin_unlock_irqrestore(&vdev->cfg_lock, flags);
}

static void vfu_msi_control(struct vfu_dev *vdev, u16 ctrl)
{
	bool was, is = ctrl & PCI_MSI_FLAGS_ENABLE;
	unsigned long flags;

	raw_spin_lock_irqsave(&vdev->cfg_lock, flags);
	was = vdev->cfg.msi_ctrl & PCI_MSI_FLAGS_ENABLE;
	vdev->cfg.msi_ctrl = ctrl & (PCI_MSI_FLAGS_ENABLE | PCI_MSI_FLAGS_QSIZE);
	raw_spin_unlock_irqrestore(&vdev->cfg_lock, flags);
	if (is) {
		vfu_irqs_mode(vdev, VFIO_PCI_MSI_IRQ_INDEX,
			      1 << FIELD_GET(PCI_MSI_FLAGS_QSIZE, ctrl));
	} else if (was) {
		vfu_irqs_mode(vdev, VFIO_PCI_MSI_IRQ_INDEX, 0);
		vfu_intx_control(vdev);
	}
}

static void vfu_msi_mask(struct vfu_dev *vdev, u32 mask)
{
	struct vfu_irqs *irqs = &vdev->irq.index[VFIO_PCI_MSI_IRQ_INDEX];
	unsigned long flags;
	u32 i;

	raw_spin_lock_irqsave(&vdev->cfg_lock, flags);
	for (i = 0; i < irqs->count && i < 32; i++)
		vfu_vector_set_masked(&irqs->vectors[i], mask & BIT(i));
	raw_spin_unlock_irqrestore(&vdev->cfg_lock, flags);
}

/* Does a write of @size at @where contain the whole 16-bit register @reg? */
static bool vfu_covers(unsigned int where, int size, unsigned int reg)
{
	return where <= reg && where + size >= reg + 2;
}

static u16 vfu_word(unsigned int where, u32 val, unsigned int reg)
{
	return val >> (8 * (reg - where));
}

/* ---- accesses ---- */

#define VFU_HEADER_MULTI	0x80	/* PCI_HEADER_TYPE_MFD, from 6.8 on */

/* Bits @bits of the 32-bit register @reg as they are seen by a read of @size at @where. */
static void vfu_cfg_fix(u32 *val, unsigned int where, int size, unsigned int reg, u32 bits, bool on)
{
	u64 mask;

	if (where + size <= reg || where >= reg + 4)
		return;
	mask = where < reg ? (u64)bits << (8 * (reg - where)) : bits >> (8 * (where - reg));
	mask &= GENMASK(8 * size - 1, 0);
	*val = on ? *val | mask : *val & ~mask;
}

static void vfu_config_do_read(struct vfu_dev *vdev, unsigned int where, int size, u32 *val)
{
	u32 ones = GENMASK(8 * size - 1, 0);
	int i = vfu_bar_at(where);

	if (vfu_dev_offline(vdev) ||
	    where + size > vdev->regions[VFIO_PCI_CONFIG_REGION_INDEX].size) {
		*val = ones;
		return;
	}
	if (i >= 0) {
		*val = vfu_bar_read(vdev, i, where % 4, size);
		return;
	}
	if (vfu_cfg_get(vdev, where, size, val)) {
		*val = ones;
		return;
	}
	/* Whether there are more functions is the slot's business. */
	vfu_cfg_fix(val, where, size, PCI_HEADER_TYPE, VFU_HEADER_MULTI,
		    vfu_slot_multi(vdev->place.slot));
	/* A server that can be reset shows it, so that sysfs offers it. */
	if (vdev->cfg.pcie && (vdev->flags & VFIOUSER_DEV_F_RESET))
		vfu_cfg_fix(val, where, size, vdev->cfg.pcie + PCI_EXP_DEVCAP, PCI_EXP_DEVCAP_FLR,
			    true);
}

/* Who asks for config space is somewhere above the PCI core: the reader of a trace picks it. */
static noinline void vfu_config_trace(struct vfu_dev *vdev, bool write, unsigned int where,
				      int size, u32 val, u64 start)
{
	unsigned long stack[VFU_TRACE_STACK] = { 0 };

	stack_trace_save(stack, ARRAY_SIZE(stack), 2);
	trace_vfiouser_config(vdev->id, write, where, size, val, local_clock() - start, stack);
}

/**
 * vfu_config_read() - a config read of the PCI core
 * @vdev: device
 * @where: offset in config space
 * @size: 1, 2 or 4 bytes, aligned
 * @val: all-ones after an error
 *
 * Context: any but NMI, possibly under pci_lock with interrupts off.
 */
void vfu_config_read(struct vfu_dev *vdev, unsigned int where, int size, u32 *val)
{
	u64 start = trace_vfiouser_config_enabled() ? local_clock() : 0;

	vfu_config_do_read(vdev, where, size, val);
	if (unlikely(start))
		vfu_config_trace(vdev, false, where, size, *val, start);
}

static void vfu_config_do_write(struct vfu_dev *vdev, unsigned int where, int size, u32 val)
{
	struct vfu_config *cfg = &vdev->cfg;
	int i = vfu_bar_at(where);
	unsigned int reg;

	if (vfu_dev_offline(vdev) ||
	    where + size > vdev->regions[VFIO_PCI_CONFIG_REGION_INDEX].size)
		return;
	if (i >= 0) {
		vfu_bar_write(vdev, i, where % 4, size, val);
		return;
	}

	reg = cfg->pcie + PCI_EXP_DEVCTL;
	if (cfg->pcie && (vdev->flags & VFIOUSER_DEV_F_RESET) && vfu_covers(where, size, reg) &&
	    (vfu_word(where, val, reg) & PCI_EXP_DEVCTL_BCR_FLR)) {
		val &= ~((u32)PCI_EXP_DEVCTL_BCR_FLR << (8 * (reg - where)));
		vfu_cfg_put(vdev, where, size, val);
		vfu_request_reset(vdev);
		return;
	}
	reg = cfg->af + PCI_AF_CTRL;
	if (cfg->af && (vdev->flags & VFIOUSER_DEV_F_RESET) && where <= reg &&
	    where + size > reg && (val >> (8 * (reg - where)) & PCI_AF_CTRL_FLR)) {
		vfu_request_reset(vdev);
		return;
	}

	vfu_cfg_put(vdev, where, size, val);

	if (where == PCI_COMMAND)
		vfu_command_write(vdev, size == 1 ? (cfg->command & 0xff00) | val : val);
	if (where == PCI_COMMAND + 1)
		vfu_command_write(vdev, (cfg->command & 0x00ff) | val << 8);
	reg = cfg->msix + PCI_MSIX_FLAGS;
	if (cfg->msix && vfu_covers(where, size, reg))
		vfu_msix_control(vdev, vfu_word(where, val, reg));
	reg = cfg->msi + PCI_MSI_FLAGS;
	if (cfg->msi && vfu_covers(where, size, reg))
		vfu_msi_control(vdev, vfu_word(where, val, reg));
	if (cfg->msi && cfg->msi_mask && where == cfg->msi_mask && size == 4)
		vfu_msi_mask(vdev, val);
}

/**
 * vfu_config_write() - a config write of the PCI core
 * @vdev: device
 * @where: offset in config space
 * @size: 1, 2 or 4 bytes, aligned
 * @val: the value
 *
 * Context: any but NMI, possibly under pci_lock with interrupts off. Enabling
 * interrupts waits for the server.
 */
void vfu_config_write(struct vfu_dev *vdev, unsigned int where, int size, u32 val)
{
	u64 start = trace_vfiouser_config_enabled() ? local_clock() : 0;

	vfu_config_do_write(vdev, where, size, val);
	if (unlikely(start))
		vfu_config_trace(vdev, true, where, size, val, start);
}

/**
 * vfu_config_forget() - the registers that the kernel keeps are as of power-on
 * @vdev: device, offline, without a driver; base addresses stay
 *
 * Context: may sleep.
 */
void vfu_config_forget(struct vfu_dev *vdev)
{
	struct vfu_config *cfg = &vdev->cfg;
	u32 i;

	raw_spin_lock_irq(&vdev->cfg_lock);
	WRITE_ONCE(cfg->command, 0);
	cfg->msi_ctrl = 0;
	cfg->msix_ctrl = 0;
	vdev->irq.mode = -1;
	for (i = 0; i < VFIO_PCI_NUM_IRQS; i++)
		vdev->irq.index[i].armed = 0;
	for (i = 0; i < cfg->msix_count; i++) {
		memset(vdev->cfg.table[i], 0, PCI_MSIX_ENTRY_SIZE);
		vfu_msix_mask_entry(vdev, i);
		vfu_msix_update(vdev, i);
	}
	raw_spin_unlock_irq(&vdev->cfg_lock);
}

/**
 * vfu_config_restore() - tell a server that has lost it what was written before
 * @vdev: device, online
 *
 * The registers that the kernel keeps, as last written by the driver. The others are the
 * driver's to write again, as after any reset.
 *
 * Context: may sleep; the helper must be serving the ring.
 */
void vfu_config_restore(struct vfu_dev *vdev)
{
	const struct vfu_config *cfg = &vdev->cfg;

	vfu_cfg_put(vdev, PCI_COMMAND, 2, cfg->command);
	if (cfg->msi)
		vfu_cfg_put(vdev, cfg->msi + PCI_MSI_FLAGS, 2, cfg->msi_ctrl);
	if (cfg->msix)
		vfu_cfg_put(vdev, cfg->msix + PCI_MSIX_FLAGS, 2, cfg->msix_ctrl);
}

/* ---- set-up ---- */

/* A vendor's capability; with virtio's id it may say where the common configuration is. */
static int vfu_config_vendor_cap(struct vfu_dev *vdev, u32 pos)
{
	struct vfu_config *cfg = &vdev->cfg;
	u32 id, type, bar, offset;
	int err;

	err = vfu_cfg_get(vdev, PCI_VENDOR_ID, 2, &id);
	if (err || id != PCI_VENDOR_ID_REDHAT_QUMRANET || cfg->virtio_status)
		return err;
	err = vfu_cfg_get(vdev, pos + offsetof(struct virtio_pci_cap, cfg_type), 1, &type);
	if (err || type != VIRTIO_PCI_CAP_COMMON_CFG)
		return err;
	err = vfu_cfg_get(vdev, pos + offsetof(struct virtio_pci_cap, bar), 1, &bar);
	if (!err)
		err = vfu_cfg_get(vdev, pos + offsetof(struct virtio_pci_cap, offset), 4, &offset);
	if (err)
		return err;
	cfg->virtio_bir = bar;
	cfg->virtio_status = offset + (u64)offsetof(struct virtio_pci_common_cfg, device_status);
	return 0;
}

static int vfu_config_caps(struct vfu_dev *vdev)
{
	struct vfu_config *cfg = &vdev->cfg;
	u32 val, pos, table;
	int err, ttl = 48;

	err = vfu_cfg_get(vdev, PCI_STATUS, 2, &val);
	if (err || !(val & PCI_STATUS_CAP_LIST))
		return err;
	err = vfu_cfg_get(vdev, PCI_CAPABILITY_LIST, 1, &pos);
	for (; !err && (pos &= ~3u) >= 0x40 && ttl--; pos = val >> 8) {
		err = vfu_cfg_get(vdev, pos, 2, &val);
		if (err || (val & 0xff) == 0xff)
			break;
		switch (val & 0xff) {
		case PCI_CAP_ID_MSI:
			cfg->msi = pos;
			err = vfu_cfg_get(vdev, pos + PCI_MSI_FLAGS, 2, &table);
			if (!err && (table & PCI_MSI_FLAGS_MASKBIT))
				cfg->msi_mask = pos + (table & PCI_MSI_FLAGS_64BIT ?
						       PCI_MSI_MASK_64 : PCI_MSI_MASK_32);
			break;
		case PCI_CAP_ID_MSIX:
			cfg->msix = pos;
			err = vfu_cfg_get(vdev, pos + PCI_MSIX_FLAGS, 2, &table);
			cfg->msix_count = (table & PCI_MSIX_FLAGS_QSIZE) + 1;
			if (!err)
				err = vfu_cfg_get(vdev, pos + PCI_MSIX_TABLE, 4, &table);
			cfg->msix_bir = table & PCI_MSIX_TABLE_BIR;
			cfg->msix_table = table & PCI_MSIX_TABLE_OFFSET;
			break;
		case PCI_CAP_ID_VNDR:
			err = vfu_config_vendor_cap(vdev, pos);
			break;
		case PCI_CAP_ID_EXP:
			cfg->pcie = pos;
			break;
		case PCI_CAP_ID_AF:
			cfg->af = pos;
			break;
		}
	}
	return err;
}

static int vfu_config_bars(struct vfu_dev *vdev)
{
	struct vfu_config *cfg = &vdev->cfg;
	u32 val;
	int i, err;

	for (i = 0; i < VFU_NR_BARS; i++) {
		u64 size = vdev->regions[i].size;

		if (vfu_bar_lower(cfg, i) != i) {
			if (size) {
				dev_err(vdev->dev, "BAR %d is the upper half of BAR %d, but the server gives it a size\n",
					i, i - 1);
				return -EPROTO;
			}
			continue;
		}
		if (!size)
			continue;
		err = vfu_cfg_get(vdev, PCI_BASE_ADDRESS_0 + 4 * i, 4, &val);
		if (err)
			return err;
		/* I/O ports cannot be trapped; pci_iomap() serves both kinds. */
		if (val & PCI_BASE_ADDRESS_SPACE_IO)
			continue;
		cfg->bar_type[i] = val & (PCI_BASE_ADDRESS_MEM_TYPE_MASK |
					  PCI_BASE_ADDRESS_MEM_PREFETCH);
		if ((cfg->bar_type[i] & PCI_BASE_ADDRESS_MEM_TYPE_64) && i == VFU_NR_BARS - 1) {
			dev_err(vdev->dev, "BAR 5 cannot be 64 bits wide\n");
			return -EPROTO;
		}
	}
	return 0;
}

/**
 * vfu_config_init() - learn from the server what its function looks like
 * @vdev: device; the helper serves its ring
 *
 * Context: may sleep.
 * Return: 0; -ENODEV: no function there; -EPROTO: a server that contradicts
 * itself; -EOPNOTSUPP: a bridge; -ENOMEM; or the helper's errno.
 */
int vfu_config_init(struct vfu_dev *vdev)
{
	struct vfu_config *cfg = &vdev->cfg;
	u32 val, i;
	int err;

	err = vfu_cfg_get(vdev, PCI_VENDOR_ID, 4, &val);
	if (err)
		return err;
	if (val == U32_MAX || !val) {
		dev_err(vdev->dev, "the server's config space holds no vendor id\n");
		return -ENODEV;
	}
	err = vfu_cfg_get(vdev, PCI_HEADER_TYPE, 1, &val);
	if (err)
		return err;
	if ((val & PCI_HEADER_TYPE_MASK) != PCI_HEADER_TYPE_NORMAL) {
		dev_err(vdev->dev, "only endpoints are supported, header type is %u\n", val);
		return -EOPNOTSUPP;
	}
	err = vfu_cfg_get(vdev, PCI_COMMAND, 2, &val);
	if (err)
		return err;
	cfg->command = val;
	err = vfu_config_bars(vdev);
	if (!err)
		err = vfu_config_caps(vdev);
	if (err || !cfg->msix)
		return err;

	if (cfg->msix_bir >= VFU_NR_BARS ||
	    cfg->msix_table + (u64)cfg->msix_count * PCI_MSIX_ENTRY_SIZE >
	    vdev->regions[cfg->msix_bir].size) {
		dev_err(vdev->dev, "the MSI-X table lies outside of its BAR\n");
		return -EPROTO;
	}
	vdev->cfg.table = kvcalloc(cfg->msix_count, PCI_MSIX_ENTRY_SIZE, GFP_KERNEL_ACCOUNT);
	if (!vdev->cfg.table)
		return -ENOMEM;
	for (i = 0; i < cfg->msix_count; i++)
		vfu_msix_mask_entry(vdev, i);
	return 0;
}
