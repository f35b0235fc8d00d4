/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The windows of our memory that the server may access, sorted by address, never overlapping.
 */
#ifndef VFUC_DMA_H
#define VFUC_DMA_H

#include <stdbool.h>
#include <stdint.h>

struct vfuc_window {
	uint64_t iova;
	uint64_t size;		/* not 0; iova + size - 1 does not wrap */
	uint32_t flags;		/* VFUC_DMA_READ | VFUC_DMA_WRITE */
};

struct vfuc_dma_table {
	struct vfuc_window *windows;
	unsigned int count;
	unsigned int capacity;
};

/**
 * vfuc_dma_add() - enter a window
 * @t: table
 * @window: copied
 *
 * Return: 0, -EINVAL if it is empty or wraps, -EEXIST if it overlaps another, -ENOMEM.
 */
int vfuc_dma_add(struct vfuc_dma_table *t, const struct vfuc_window *window);

/**
 * vfuc_dma_find() - exactly this window
 * @t: table
 * @iova: its address
 * @size: its size
 *
 * Return: its place, or -ENOENT.
 */
int vfuc_dma_find(const struct vfuc_dma_table *t, uint64_t iova, uint64_t size);

/**
 * vfuc_dma_remove() - forget a window
 * @t: table
 * @place: from vfuc_dma_find()
 */
void vfuc_dma_remove(struct vfuc_dma_table *t, unsigned int place);

/**
 * vfuc_dma_allowed() - may the server access this range?
 * @t: table
 * @iova: start
 * @count: bytes, not 0
 * @flags: permission needed
 *
 * Return: true if windows with that permission cover all of it, several adjacent ones if need be.
 */
bool vfuc_dma_allowed(const struct vfuc_dma_table *t, uint64_t iova, uint64_t count,
		      uint32_t flags);

/**
 * vfuc_dma_free() - forget all windows, without telling the server
 * @t: table, empty afterwards
 */
void vfuc_dma_free(struct vfuc_dma_table *t);

#endif
