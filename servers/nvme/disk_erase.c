// SPDX-License-Identifier: GPL-2.0-only
/*
 * Disks: zeros, and space that is given back.
 *
 * The kernel takes whole blocks of the backing only: pieces at either end of a range are written.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "disk.h"

#define ZERO_CHUNK	(64 * 1024)
#define ERASE_CHUNK	(128ull << 20)	/* in one system call */

/* with the alignment that direct I/O may want */
static const uint8_t zeros[ZERO_CHUNK] __attribute__((aligned(4096)));

static int write_zeros(struct disk *d, uint64_t offset, uint64_t len)
{
	int ret = 0;

	while (len && !ret) {
		struct iovec v = { (void *)zeros, len < ZERO_CHUNK ? len : ZERO_CHUNK };

		if (atomic_load(&d->hurry))
			return -ECANCELED;
		ret = disk_write(d, &v, 1, offset, false);
		offset += v.iov_len;
		len -= v.iov_len;
	}
	return ret;
}

static int allocate(struct disk *d, int mode, uint64_t offset, uint64_t len)
{
	while (len) {
		uint64_t n = len < ERASE_CHUNK ? len : ERASE_CHUNK;

		if (atomic_load(&d->hurry))
			return -ECANCELED;
		if (fallocate(d->fd, mode | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)n))
			return errno == EOPNOTSUPP ? write_zeros(d, offset, len) : -errno;
		offset += n;
		len -= n;
	}
	return 0;
}

/* Of a block device the whole blocks inside a range; of a file, all of it. */
static int whole_blocks(struct disk *d, int mode, uint64_t offset, uint64_t len)
{
	uint64_t block = d->block_device ? d->logical : 1;
	uint64_t from = (offset + block - 1) / block * block, to = (offset + len) / block * block;
	int ret;

	if (from >= to)
		return write_zeros(d, offset, len);
	ret = allocate(d, mode, from, to - from);
	if (!ret)
		ret = write_zeros(d, offset, from - offset);
	return ret ? ret : write_zeros(d, to, offset + len - to);
}

static int erase_ram(struct disk *d, uint64_t offset, uint64_t len)
{
	uint64_t page = sysconf(_SC_PAGESIZE), from, to;

	from = (offset + page - 1) / page * page;
	to = (offset + len) / page * page;
	if (from >= to) {
		memset(d->ram + offset, 0, len);
		return 0;
	}
	memset(d->ram + offset, 0, from - offset);
	memset(d->ram + to, 0, offset + len - to);
	return madvise(d->ram + from, to - from, MADV_DONTNEED) ? -errno : 0;
}

/**
 * disk_zero() - make a range read as zeros
 * @d: disk
 * @offset: bytes from the start
 * @len: bytes
 * @durable: return only when it is on stable storage
 *
 * Return: 0 or a negative errno.
 */
int disk_zero(struct disk *d, uint64_t offset, uint64_t len, bool durable)
{
	int ret = disk_lost(d);

	if (ret || !len)
		return ret;
	if (d->ram) {
		memset(d->ram + offset, 0, len);
		return 0;
	}
	ret = whole_blocks(d, FALLOC_FL_ZERO_RANGE, offset, len);
	return ret || !durable ? ret : disk_flush(d);
}

/**
 * disk_discard() - give space back; it reads as zeros afterwards
 * @d: disk that takes space back
 * @offset: bytes from the start
 * @len: bytes
 * @durable: return only when it is on stable storage
 *
 * Return: 0 or a negative errno.
 */
int disk_discard(struct disk *d, uint64_t offset, uint64_t len, bool durable)
{
	int ret = disk_lost(d);

	if (ret || !len)
		return ret;
	if (d->ram)
		return erase_ram(d, offset, len);
	ret = whole_blocks(d, FALLOC_FL_PUNCH_HOLE, offset, len);
	return ret || !durable ? ret : disk_flush(d);
}
