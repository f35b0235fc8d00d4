// SPDX-License-Identifier: GPL-2.0-only
/*
 * Config space.
 *
 * It is the server's, but for what the kernel has to keep itself: the base
 * address registers (bars.c), what was checked when the device was made (image.c), and
 * the enable and mask bits of MSI and MSI-X. Whatever is written goes to the server too, in
 * order. A function level reset becomes the server's reset.
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

#include "bars.h"
#include "bridge.h"
#include "config.h"
#include "device.h"
#include "fixups.h"
#include "image.h"
#include "irq.h"
#include "ring.h"
#include "trace.h"
#include "virtio.h"
#include "window.h"

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
	const struct vfu_virtio *virtio = &vdev->cfg.virtio;
	u64 offset;

	memset(data, 0xff, count);
	if (virtio->modern && count == 1 && vfu_dev_offline(vdev) &&
	    vfu_config_resolve(vdev, phys, &offset) == virtio->bir &&
	    offset == virtio->common + offsetof(struct virtio_pci_common_cfg, device_status))
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

/* Bytes of an MSI capability behind its control word: address, message, mask bits. */
static unsigned int vfu_msi_bytes(struct vfu_dev *vdev)
{
	const struct vfu_config *cfg = &vdev->cfg;

	if (cfg->msi_mask)
		return cfg->msi_mask + 4 - (cfg->msi + PCI_MSI_ADDRESS_LO);
	return (vfu_image_get(vdev, cfg->msi + PCI_MSI_FLAGS, 2) & PCI_MSI_FLAGS_64BIT ?
		PCI_MSI_DATA_64 : PCI_MSI_DATA_32) + 2 - PCI_MSI_ADDRESS_LO;
}

/*
 * A server that has lost it is told again: the interrupts of a driver that does not do so itself
 * would go.
 */
static void vfu_msi_keep(struct vfu_dev *vdev, unsigned int where, int size, u32 val)
{
	struct vfu_config *cfg = &vdev->cfg;
	unsigned int first = cfg->msi + PCI_MSI_ADDRESS_LO, bytes = vfu_msi_bytes(vdev), at;
	int i;

	for (i = 0; i < size; i++, val >>= 8) {
		at = where + i - first;
		if (where + i < first || at >= bytes)
			continue;
		cfg->msi_regs[at / 4] &= ~((u32)0xff << (8 * (at % 4)));
		cfg->msi_regs[at / 4] |= (val & 0xff) << (8 * (at % 4));
		cfg->msi_kept |= BIT(at);
	}
}

static void vfu_msi_restore(struct vfu_dev *vdev)
{
	const struct vfu_config *cfg = &vdev->cfg;
	unsigned int bytes = vfu_msi_bytes(vdev), at;

	for (at = 0; at < bytes; at += 4)
		if (cfg->msi_kept >> at & 0xf)
			vfu_cfg_put(vdev, cfg->msi + PCI_MSI_ADDRESS_LO + at,
				    min(bytes - at, 4u), cfg->msi_regs[at / 4]);
	vfu_cfg_put(vdev, cfg->msi + PCI_MSI_FLAGS, 2, cfg->msi_ctrl);
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

/*
 * The command register is the server's, but what it decodes is what the driver has turned on. A
 * driver does not know of I/O ports.
 */
static void vfu_command_read(struct vfu_dev *vdev, unsigned int where, int size, u32 *val)
{
	u16 command = READ_ONCE(vdev->cfg.command), off, on;

	if (where != PCI_COMMAND)
		return;
	off = ~command & (PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_IO);
	on = command & PCI_COMMAND_IO;
	*val = (*val & ~(u32)off) | on;
}

/* A server may have more than there is, and 4096 bytes without it can be asked for. */
static bool vfu_config_ends(const struct vfu_dev *vdev, unsigned int where, int size)
{
	return where + size > min_t(u64, vdev->regions[VFIO_PCI_CONFIG_REGION_INDEX].size,
				    PCI_CFG_SPACE_EXP_SIZE);
}

static void vfu_config_do_read(struct vfu_dev *vdev, unsigned int where, int size, u32 *val)
{
	u32 ones = GENMASK(8 * size - 1, 0);
	int i = vfu_bar_at(where);

	if (vfu_nobody_answers(vdev) || vfu_config_ends(vdev, where, size)) {
		*val = ones;
		return;
	}
	if (i >= 0) {
		*val = vfu_bar_read(vdev, i, where % 4, size);
		return;
	}
	*val = 0;
	/* While a reset is under way nothing answers, also not what is known here. */
	if (vfu_image_answers(vdev, where, size) && !vfu_in_reset(vdev)) {
		vfu_image_apply(vdev, where, size, val);
		return;
	}
	if (vfu_cfg_get(vdev, where, size, val)) {
		*val = ones;
		return;
	}
	vfu_command_read(vdev, where, size, val);
	vfu_virtio_config_read(vdev, where, size, val);
	vfu_image_apply(vdev, where, size, val);
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

/*
 * What resets the function, by the server's reset or by its own. Base addresses are the driver's
 * again only if it writes them, which it does not where it reads what it wrote before: so the
 * server is told of them behind the reset, before anything that the driver does.
 */
static bool vfu_reset_write(struct vfu_dev *vdev, unsigned int where, int size, u32 val)
{
	const struct vfu_config *cfg = &vdev->cfg;
	unsigned int reg = cfg->pcie + PCI_EXP_DEVCTL;
	bool own = vdev->flags & VFIOUSER_DEV_F_RESET;
	u32 flr = 0;

	if (cfg->pcie && vfu_covers(where, size, reg) &&
	    (vfu_word(where, val, reg) & PCI_EXP_DEVCTL_BCR_FLR))
		flr = (u32)PCI_EXP_DEVCTL_BCR_FLR << (8 * (reg - where));
	if (flr) {
		vfu_cfg_put(vdev, where, size, own ? val & ~flr : val);
	} else {
		reg = cfg->af + PCI_AF_CTRL;
		if (!cfg->af || where > reg || where + size <= reg ||
		    !(val >> (8 * (reg - where)) & PCI_AF_CTRL_FLR))
			return false;
		if (!own)
			vfu_cfg_put(vdev, where, size, val);
	}
	if (own)
		vfu_request_reset(vdev);
	vfu_bars_tell(vdev);
	return true;
}

static void vfu_config_do_write(struct vfu_dev *vdev, unsigned int where, int size, u32 val)
{
	struct vfu_config *cfg = &vdev->cfg;
	int i = vfu_bar_at(where);
	unsigned int reg;
	u32 told;

	if (vfu_nobody_answers(vdev) || vfu_config_ends(vdev, where, size))
		return;
	if (i >= 0) {
		vfu_bar_write(vdev, i, where % 4, size, val);
		return;
	}
	if (vfu_reset_write(vdev, where, size, val))
		return;

	told = val;
	/* Whoever may reach memory may reach ports, which drivers see as memory if at all. */
	if (where == PCI_COMMAND && cfg->bars_io && (val & PCI_COMMAND_MEMORY))
		told |= PCI_COMMAND_IO;
	vfu_virtio_config_write(vdev, where, size, &told);
	vfu_cfg_put(vdev, where, size, told);

	/* Back from D3hot, a function may be as of power-on. */
	reg = cfg->pm + PCI_PM_CTRL;
	if (cfg->pm && vfu_covers(where, size, reg) &&
	    !(vfu_word(where, val, reg) & PCI_PM_CTRL_STATE_MASK))
		vfu_bars_tell(vdev);
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
	if (cfg->msi)
		vfu_msi_keep(vdev, where, size, val);
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
	cfg->msi_kept = 0;
	memset(cfg->msi_regs, 0, sizeof(cfg->msi_regs));
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
	u16 command = cfg->command;

	if (cfg->bars_io && (command & PCI_COMMAND_MEMORY))
		command |= PCI_COMMAND_IO;
	vfu_bars_tell(vdev);
	vfu_cfg_put(vdev, PCI_COMMAND, 2, command);
	if (cfg->msi)
		vfu_msi_restore(vdev);
	if (cfg->msix)
		vfu_cfg_put(vdev, cfg->msix + PCI_MSIX_FLAGS, 2, cfg->msix_ctrl);
}

/* ---- set-up ---- */

static int vfu_msix_init(struct vfu_dev *vdev)
{
	struct vfu_config *cfg = &vdev->cfg;
	u32 table = vfu_image_get(vdev, cfg->msix + PCI_MSIX_TABLE, 4), i;

	cfg->msix_count = (vfu_image_get(vdev, cfg->msix + PCI_MSIX_FLAGS, 2) &
			   PCI_MSIX_FLAGS_QSIZE) + 1;
	cfg->msix_bir = table & PCI_MSIX_TABLE_BIR;
	cfg->msix_table = table & PCI_MSIX_TABLE_OFFSET;
	if (cfg->msix_bir >= VFU_NR_BARS ||
	    cfg->msix_table + (u64)cfg->msix_count * PCI_MSIX_ENTRY_SIZE >
	    vfu_bar_bytes(vdev, cfg->msix_bir))
		return vfu_dev_refuse(vdev, -EPROTO, "the MSI-X table lies outside of its BAR");
	cfg->table = kvcalloc(cfg->msix_count, PCI_MSIX_ENTRY_SIZE, GFP_KERNEL_ACCOUNT);
	if (!cfg->table)
		return -ENOMEM;
	for (i = 0; i < cfg->msix_count; i++)
		vfu_msix_mask_entry(vdev, i);
	return 0;
}

/**
 * vfu_config_init() - learn from the server what its function looks like
 * @vdev: device; the helper serves its ring
 *
 * Context: may sleep.
 * Return: 0; -ENODEV: no function there; -EPROTO: a server that contradicts
 * itself; -EOPNOTSUPP: nothing that can be attached; -ENOMEM; or the helper's errno.
 */
int vfu_config_init(struct vfu_dev *vdev)
{
	const u16 decode = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_IO;
	struct vfu_config *cfg = &vdev->cfg;
	u16 command;
	int err;

	err = vfu_image_create(vdev);
	if (!err)
		err = vfu_fixups_check(vdev);
	if (!err)
		err = vfu_bars_init(vdev);
	if (!err && cfg->msix)
		err = vfu_msix_init(vdev);
	if (!err)
		err = vfu_virtio_init(vdev);
	if (err)
		return err;
	/* As of power-on, whatever somebody else has left there. */
	command = vfu_image_get(vdev, PCI_COMMAND, 2);
	cfg->command = command & ~decode;
	if (command & decode)
		vfu_cfg_put(vdev, PCI_COMMAND, 2, cfg->command);
	return 0;
}
