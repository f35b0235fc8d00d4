/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where a namespace's bytes are: a file, a block device or memory. Callers have checked that ranges
 * lie inside.
 *
 * Reads, writes, flushes and the rest may be called from any thread, several at once. A disk that
 * failed to put acknowledged bytes on stable storage is lost: the kernel reports such an error once
 * and forgets it, so we do not; nothing is written to it any more (disk_lost()).
 */
#ifndef DISK_H
#define DISK_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#define DISK_MAX_IOV	512

/* Who caches what was written: the page cache, until a flush; nobody; or for ever, on request. */
enum disk_cache { DISK_WRITEBACK, DISK_WRITETHROUGH, DISK_DIRECT, DISK_UNSAFE };

struct disk_options {
	enum disk_cache cache;
	bool read_only;
	bool no_discard;	/* what is given back stays as it is */
};

struct disk {
	const char *path;	/* for messages */
	int fd;			/* -1: memory */
	uint8_t *ram;
	uint64_t size;		/* bytes */
	uint64_t identity;	/* the same for the same disk, random for memory */
	struct disk_options opt;
	bool block_device;
	unsigned int logical;	/* bytes of the smallest access that the backing takes */
	unsigned int physical;	/* bytes of one that it takes without reading before */
	unsigned int memory_align;	/* of buffers, where it is direct */
	pthread_mutex_t flushing;
	atomic_bool hurry;	/* what erases ends early, unfinished: nobody waits for it */
	atomic_int lost;	/* negative errno: see above */
};

/* disk.c */
int disk_open_file(struct disk *d, const char *path, const struct disk_options *opt);
int disk_open_ram(struct disk *d, uint64_t size, const struct disk_options *opt);
void disk_close(struct disk *d);
int disk_size_now(const struct disk *d, uint64_t *size);

/* disk_io.c */
int disk_read(struct disk *d, const struct iovec *iov, int n, uint64_t offset);
int disk_write(struct disk *d, const struct iovec *iov, int n, uint64_t offset, bool durable);
int disk_flush(struct disk *d);
int disk_lost(const struct disk *d);
void disk_lose(struct disk *d, int error, const char *what);

/* disk_erase.c */
int disk_zero(struct disk *d, uint64_t offset, uint64_t len, bool durable);
int disk_discard(struct disk *d, uint64_t offset, uint64_t len, bool durable);

#endif
