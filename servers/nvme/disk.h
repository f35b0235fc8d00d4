/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where a disk's bytes are: a file, a block device or memory. Callers have checked that ranges
 * lie inside.
 */
#ifndef DISK_H
#define DISK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

struct disk {
	int fd;			/* -1: memory */
	uint8_t *ram;
	uint64_t size;		/* bytes */
	uint64_t identity;	/* the same for the same file, random for memory */
	bool read_only;
};

int disk_open_file(struct disk *d, const char *path, bool read_only);
int disk_open_ram(struct disk *d, uint64_t size);
void disk_close(struct disk *d);
int disk_read(struct disk *d, const struct iovec *iov, int n, uint64_t offset);
int disk_write(struct disk *d, const struct iovec *iov, int n, uint64_t offset, bool durable);
int disk_flush(struct disk *d);
int disk_zero(struct disk *d, uint64_t offset, uint64_t len, bool durable);
int disk_discard(struct disk *d, uint64_t offset, uint64_t len);

#endif
