/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the device can reach by DMA: a pool of our own, or all memory of the host.
 */
#ifndef HELPER_MEMORY_H
#define HELPER_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pool.h"
#include "ram.h"

struct attach_options;
struct ring;
struct vfuc;

/**
 * struct memory - what the device can reach by DMA
 * @passthrough: @ram is it, not @pool
 * @pool: memory of our own
 * @ram: all that the host has
 */
struct memory {
	bool passthrough;
	struct pool pool;
	struct ram ram;
};

int memory_get(struct memory *memory, const struct attach_options *opt, struct ring *ring);
int memory_map(const struct memory *memory, struct vfuc *server);
int memory_read(const struct memory *memory, uint64_t iova, void *buf, size_t count);
int memory_write(const struct memory *memory, uint64_t iova, const void *buf, size_t count);
void memory_put(struct memory *memory);

#endif
