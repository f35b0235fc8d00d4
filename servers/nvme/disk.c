// SPDX-License-Identifier: GPL-2.0-only
/* Where a disk's bytes are: a file, a block device or memory. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "disk.h"

#define ZERO_CHUNK	(64 * 1024)
#define DISK_MAX_IOV	512

/**
 * disk_open_file() - serve a regular file or block device
 * @d: filled in
 * @path: file
 * @read_only: open it for reading only
 *
 * Return: 0 or a negative errno.
 */
int disk_open_file(struct disk *d, const char *path, bool read_only)
{
	struct stat st;
	off_t size;
	int ret;

	*d = (struct disk){ .fd = -1, .read_only = read_only };
	d->fd = open(path, (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC);
	if (d->fd < 0)
		return -errno;
	size = lseek(d->fd, 0, SEEK_END);
	ret = fstat(d->fd, &st) || size < 0 ? -errno : 0;
	if (!ret && !S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		ret = -EINVAL;
	if (ret) {
		close(d->fd);
		d->fd = -1;
		return ret;
	}
	d->size = size;
	d->identity = S_ISBLK(st.st_mode) ? st.st_rdev : (uint64_t)st.st_ino << 16 ^ st.st_dev;
	return 0;
}

/**
 * disk_open_ram() - a disk that lives as long as the process
 * @d: filled in
 * @size: bytes; memory is taken as it is written
 *
 * Return: 0 or a negative errno.
 */
int disk_open_ram(struct disk *d, uint64_t size)
{
	void *p;

	*d = (struct disk){ .fd = -1, .size = size };
	if (size > SIZE_MAX / 2)
		return -EINVAL;
	p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
		 -1, 0);
	if (p == MAP_FAILED)
		return -errno;
	d->ram = p;
	if (getrandom(&d->identity, sizeof(d->identity), 0) != sizeof(d->identity))
		d->identity = getpid();
	return 0;
}

/**
 * disk_close() - undo either open
 * @d: disk
 */
void disk_close(struct disk *d)
{
	if (d->fd >= 0)
		close(d->fd);
	if (d->ram)
		munmap(d->ram, d->size);
	d->fd = -1;
	d->ram = NULL;
}

/* Drop the first @done bytes of a vector. */
static void advance(struct iovec **v, int *n, size_t done)
{
	while (done && *n) {
		size_t k = done < (*v)->iov_len ? done : (*v)->iov_len;

		(*v)->iov_base = (uint8_t *)(*v)->iov_base + k;
		(*v)->iov_len -= k;
		done -= k;
		if (!(*v)->iov_len) {
			(*v)++;
			(*n)--;
		}
	}
}

/**
 * disk_read() - read
 * @d: disk
 * @iov: destination
 * @n: entries in it, at most DISK_MAX_IOV
 * @offset: bytes from the start
 *
 * What lies beyond the end of a file that somebody truncated reads as zeros.
 *
 * Return: 0 or a negative errno.
 */
int disk_read(struct disk *d, const struct iovec *iov, int n, uint64_t offset)
{
	struct iovec copy[DISK_MAX_IOV], *v = copy;
	ssize_t got;
	int i;

	if (n > DISK_MAX_IOV)
		return -EINVAL;
	if (d->ram) {
		for (i = 0; i < n; offset += iov[i++].iov_len)
			memcpy(iov[i].iov_base, d->ram + offset, iov[i].iov_len);
		return 0;
	}
	memcpy(copy, iov, n * sizeof(*iov));
	while (n) {
		got = preadv(d->fd, v, n, (off_t)offset);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (!got) {
			for (i = 0; i < n; i++)
				memset(v[i].iov_base, 0, v[i].iov_len);
			return 0;
		}
		offset += got;
		advance(&v, &n, got);
	}
	return 0;
}

/**
 * disk_write() - write
 * @d: disk
 * @iov: source
 * @n: entries in it, at most DISK_MAX_IOV
 * @offset: bytes from the start
 * @durable: return only when it is on stable storage
 *
 * Return: 0 or a negative errno.
 */
int disk_write(struct disk *d, const struct iovec *iov, int n, uint64_t offset, bool durable)
{
	struct iovec copy[DISK_MAX_IOV], *v = copy;
	ssize_t put;
	int i;

	if (n > DISK_MAX_IOV)
		return -EINVAL;
	if (d->ram) {
		for (i = 0; i < n; offset += iov[i++].iov_len)
			memcpy(d->ram + offset, iov[i].iov_base, iov[i].iov_len);
		return 0;
	}
	memcpy(copy, iov, n * sizeof(*iov));
	while (n) {
		put = pwritev2(d->fd, v, n, (off_t)offset, durable ? RWF_DSYNC : 0);
		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			return put ? -errno : -EIO;
		offset += put;
		advance(&v, &n, put);
	}
	return 0;
}

/**
 * disk_flush() - put everything written so far on stable storage
 * @d: disk
 *
 * Return: 0 or a negative errno.
 */
int disk_flush(struct disk *d)
{
	return d->fd >= 0 && !d->read_only && fdatasync(d->fd) ? -errno : 0;
}

static int write_zeros(struct disk *d, uint64_t offset, uint64_t len)
{
	static const uint8_t zeros[ZERO_CHUNK];
	int ret = 0;

	while (len && !ret) {
		struct iovec v = { (void *)zeros, len < ZERO_CHUNK ? len : ZERO_CHUNK };

		ret = disk_write(d, &v, 1, offset, false);
		offset += v.iov_len;
		len -= v.iov_len;
	}
	return ret;
}

/**
 * disk_discard() - give space back; it reads as zeros afterwards
 * @d: disk
 * @offset: bytes from the start
 * @len: bytes
 *
 * Return: 0 or a negative errno.
 */
int disk_discard(struct disk *d, uint64_t offset, uint64_t len)
{
	uint64_t page = sysconf(_SC_PAGESIZE), from, to;

	if (!len)
		return 0;
	if (!d->ram) {
		if (!fallocate(d->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
			       (off_t)len))
			return 0;
		return errno == EOPNOTSUPP ? write_zeros(d, offset, len) : -errno;
	}
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
	int ret;

	if (d->ram) {
		memset(d->ram + offset, 0, len);
		return 0;
	}
	if (!fallocate(d->fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
		       (off_t)len))
		ret = 0;
	else
		ret = errno == EOPNOTSUPP ? write_zeros(d, offset, len) : -errno;
	return ret || !durable ? ret : disk_flush(d);
}
