/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * mmio.c: accesses to mapped BARs.
 */
#ifndef _KMOD_MMIO_H
#define _KMOD_MMIO_H

#include <linux/types.h>

struct pci_dev;
struct pt_regs;
struct vfu_dev;
struct vm_area_struct;

void __iomem *vfu_mmio_map(phys_addr_t phys, size_t size);
bool vfu_mmio_unmap(void __iomem *addr);
void vfu_mmio_update(struct vfu_dev *vdev);
int vfu_mmio_user_map(struct pci_dev *pdev, int bar, struct vm_area_struct *vma);
bool vfu_mmio_owns(unsigned long addr);
bool vfu_mmio_fault(struct pt_regs *regs, unsigned long addr);

#endif /* _KMOD_MMIO_H */
