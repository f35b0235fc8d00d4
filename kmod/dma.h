/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * dma.c: the pool and the DMA API on it.
 */
#ifndef _KMOD_DMA_H
#define _KMOD_DMA_H

#include <linux/types.h>

struct device;
struct vfu_dev;

struct vfu_pool;

struct vfu_pool *vfu_pool_create(u64 uaddr, u64 size, u64 iova);
void vfu_pool_destroy(struct vfu_pool *pool);
void vfu_pool_info(const struct vfu_pool *pool, u64 *iova, u64 *size, u64 *coherent);
void vfu_dma_setup(struct vfu_dev *vdev, struct device *dev);

#endif /* _KMOD_DMA_H */
