/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ram.c: all memory of the host, for passthrough DMA.
 */
#ifndef _KMOD_RAM_H
#define _KMOD_RAM_H

#include <linux/types.h>

struct device;
struct vfiouser_ram_range;

struct file;
struct vfu_ram;

struct vfu_ram *vfu_ram_create(struct device *dev);
void vfu_ram_get(struct vfu_ram *ram);
void vfu_ram_put(struct vfu_ram *ram);
void vfu_ram_cut(struct vfu_ram *ram);
struct file *vfu_ram_file(struct vfu_ram *ram);
u32 vfu_ram_ranges(const struct vfu_ram *ram, const struct vfiouser_ram_range **ranges);
int vfu_ram_init(void);
void vfu_ram_exit(void);

#endif /* _KMOD_RAM_H */
