/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * All memory of the host, for passthrough DMA.
 */
#ifndef HELPER_RAM_H
#define HELPER_RAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/vfiouser.h>

struct ring;

/* What servers map best: SPDK passes over windows that are not aligned to it. */
#define RAM_ALIGN	(2ull << 20)

/**
 * struct ram - memory at bus addresses that are physical ones
 * @fd: the kernel module's; mapped at physical addresses
 * @ranges: @count of them, ascending
 * @count: ranges
 * @at: where each is mapped
 */
struct ram {
	int fd;
	struct vfiouser_ram_range *ranges;
	unsigned int count;
	char **at;
};

int ram_open(struct ram *ram, const struct ring *ring);
void ram_close(struct ram *ram);
int ram_copy(const struct ram *ram, uint64_t iova, void *buf, size_t count, bool write);
unsigned int ram_windows(const struct ram *ram, unsigned int max,
			 struct vfiouser_ram_range *windows);

#endif
