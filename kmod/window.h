/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * window.c: the BARs' addresses.
 */
#ifndef _KMOD_WINDOW_H
#define _KMOD_WINDOW_H

#include <linux/types.h>

struct vfu_dev;
struct vfu_pci_slot;

#define VFU_LOW_BASE		0x80000000ULL	/* bus address of the low window */

int vfu_window_create(struct vfu_dev *vdev);
void vfu_window_destroy(struct vfu_pci_slot *slot);
struct vfu_dev *vfu_window_find(phys_addr_t phys);
u64 vfu_window_to_bus(const struct vfu_dev *vdev, phys_addr_t phys);

#endif /* _KMOD_WINDOW_H */
