/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The memory that the device can reach by DMA.
 */
#ifndef HELPER_POOL_H
#define HELPER_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define POOL_ALIGN	(2ull << 20)
#define POOL_MIN	POOL_ALIGN
#define POOL_DEFAULT	(64ull << 20)
/*
 * Bus address of its first byte: not 0, which drivers and devices may take for "none", and low, so
 * that devices with small DMA masks (down to 27 bits for the default size) reach all of it.
 */
#define POOL_IOVA	POOL_ALIGN
/* All of it stays below 4 GiB. */
#define POOL_MAX	((4ull << 30) - POOL_IOVA)

/**
 * struct pool - shared memory with bus addresses iova .. iova + size - 1
 * @fd: sealed memfd
 * @addr: where we have it mapped, aligned to POOL_ALIGN
 * @size: bytes, a multiple of POOL_ALIGN
 * @iova: bus address of the first byte
 * @huge: on pages of 2 MiB from the hugetlb pool
 */
struct pool {
	int fd;
	void *addr;
	uint64_t size;
	uint64_t iova;
	bool huge;
};

int pool_create(struct pool *pool, uint64_t size);
int pool_adopt(struct pool *pool, int fd, uint64_t size, uint64_t iova);
void pool_destroy(struct pool *pool);
void *pool_at(const struct pool *pool, uint64_t iova, size_t count);
uint64_t pool_round(uint64_t size);

#endif
