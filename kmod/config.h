/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * config.c: config space and the MSI-X table. vfu_dev.cfg_lock protects struct vfu_config.
 */
#ifndef _KMOD_CONFIG_H
#define _KMOD_CONFIG_H

#include <linux/types.h>

#include "region.h"
#include "virtio.h"

/* Words of an MSI capability behind its control word, at most: the last is masks. */
#define VFU_MSI_WORDS	4

struct resource;
struct vfu_dev;
struct vfu_image;

/**
 * struct vfu_config - the config registers that are the kernel's own
 * @image: what was checked
 * @bar: base address registers 0..5 and the ROM's as [6], as last written
 * @bar_type: their read-only low bits
 * @bars_io: which of them the server has as I/O ports
 * @bars_hidden: which of these are not shown
 * @port: numbers of these ports, as the server has them
 * @ports: where they are shown: ports of the host with that number, which nobody uses
 * @command: PCI_COMMAND as last written
 * @msi: offset of the MSI capability, or 0
 * @msi_mask: offset of its mask register, or 0
 * @msi_ctrl: its control word as last written
 * @msi_kept: which of its registers behind that were written, a bit for each byte
 * @msi_regs: those, in words, from the address on
 * @msix: offset of the MSI-X capability, or 0
 * @msix_ctrl: its control word as last written
 * @msix_bir: region of the vector table
 * @msix_table: its offset there
 * @msix_count: vectors in it
 * @table: the vector table (16 bytes an entry), @msix_count entries
 * @pcie: offset of the PCI Express capability, or 0
 * @pm: offset of the power management capability, or 0
 * @af: offset of the Advanced Features capability, or 0
 * @virtio: see there
 */
struct vfu_config {
	struct vfu_image *image;
	u32 bar[VFU_NR_BARS + 1];
	u32 bar_type[VFU_NR_BARS + 1];
	unsigned long bars_io;
	unsigned long bars_hidden;
	u32 port[VFU_NR_BARS];
	struct resource *ports[VFU_NR_BARS];
	u16 command;
	u8 msi;
	u8 msi_mask;
	u16 msi_ctrl;
	u32 msi_kept;
	u32 msi_regs[VFU_MSI_WORDS];
	u8 msix;
	u16 msix_ctrl;
	u32 msix_bir;
	u32 msix_table;
	u32 msix_count;
	u32 (*table)[4];
	u8 pcie;
	u8 pm;
	u8 af;
	struct vfu_virtio virtio;
};

int vfu_config_init(struct vfu_dev *vdev);
void vfu_config_forget(struct vfu_dev *vdev);
void vfu_config_restore(struct vfu_dev *vdev);
void vfu_config_read(struct vfu_dev *vdev, unsigned int where, int size, u32 *val);
void vfu_config_write(struct vfu_dev *vdev, unsigned int where, int size, u32 val);
void vfu_intx_control(struct vfu_dev *vdev);
bool vfu_config_decodes(struct vfu_dev *vdev);
void vfu_config_gone(struct vfu_dev *vdev, phys_addr_t phys, void *data, u32 count);
bool vfu_msix_page(struct vfu_dev *vdev, u32 region, u64 offset);
bool vfu_msix_hit(struct vfu_dev *vdev, u32 region, u64 offset, u32 count);
void vfu_msix_read(struct vfu_dev *vdev, u64 offset, void *data, u32 count);
void vfu_msix_write(struct vfu_dev *vdev, u64 offset, const void *data, u32 count);

#endif /* _KMOD_CONFIG_H */
