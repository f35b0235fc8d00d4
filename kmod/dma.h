/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * dma.c: the pool and the DMA API on it.
 */
#ifndef _KMOD_DMA_H
#define _KMOD_DMA_H

#include <linux/types.h>

struct device;
struct file;
struct vfu_dev;

struct vfu_pool;

struct vfu_pool *vfu_pool_create(u64 uaddr, u64 size, u64 iova);
void vfu_pool_destroy(struct vfu_pool *pool);
bool vfu_pool_is_of(const struct vfu_pool *pool, const struct file *file);
void vfu_pool_info(const struct vfu_pool *pool, u64 *iova, u64 *size, u64 *coherent);
void vfu_dma_poke(struct vfu_dev *vdev, phys_addr_t phys, size_t size, u8 val);
void *vfu_dma_vaddr(struct vfu_dev *vdev, dma_addr_t addr, size_t size);
void vfu_dma_answer(struct vfu_dev *vdev, const void *data, size_t size);
void vfu_dma_setup(struct vfu_dev *vdev, struct device *dev);

#endif /* _KMOD_DMA_H */
