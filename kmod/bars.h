/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * bars.c: base address registers.
 */
#ifndef _KMOD_BARS_H
#define _KMOD_BARS_H

#include <linux/types.h>

struct vfu_dev;

int vfu_bars_init(struct vfu_dev *vdev);
void vfu_bars_destroy(struct vfu_dev *vdev);
void vfu_bars_tell(struct vfu_dev *vdev);
bool vfu_bars_contain(struct vfu_dev *vdev, phys_addr_t phys, u64 size);
int vfu_bar_at(unsigned int where);
u64 vfu_bar_bytes(const struct vfu_dev *vdev, int i);
u32 vfu_bar_read(struct vfu_dev *vdev, int i, unsigned int byte, int size);
void vfu_bar_write(struct vfu_dev *vdev, int i, unsigned int byte, int size, u32 val);
int vfu_config_resolve(struct vfu_dev *vdev, phys_addr_t phys, u64 *offset);

#endif /* _KMOD_BARS_H */
