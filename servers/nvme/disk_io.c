// SPDX-License-Identifier: GPL-2.0-only
/*
 * Disks: reading, writing, and what is promised of what was written.
 *
 * Whether write-back failed, the kernel says once for an open file, to the first fsync() or O_DSYNC
 * write after it, whoever's bytes they were. So there is one caller of fdatasync() at a time, for
 * flushes and for durable writes alike, and its first error is remembered for all later ones.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "disk.h"

/**
 * disk_lost() - has the disk lost what it had promised to keep?
 * @d: disk
 *
 * Return: 0, or the negative errno that every write and flush has from now on.
 */
int disk_lost(const struct disk *d)
{
	return atomic_load_explicit(&d->lost, memory_order_acquire);
}

/**
 * disk_lose() - from now on disk_lost(), with one line to say so
 * @d: disk
 * @error: negative errno
 * @what: what failed
 */
void disk_lose(struct disk *d, int error, const char *what)
{
	int none = 0;

	if (!atomic_compare_exchange_strong(&d->lost, &none, error))
		return;
	fprintf(stderr, "vfiouser-nvme: %s: %s: %s; %s\n", d->path, what, strerror(-error),
		"acknowledged writes may be lost, nothing more is written");
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
 * Return: 0, -ENXIO where the backing ends before that, since somebody truncated it, or another
 * negative errno.
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
			disk_lose(d, -ENXIO, "shorter than it was");
			return -ENXIO;
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
	if (disk_lost(d))
		return disk_lost(d);
	if (d->ram) {
		for (i = 0; i < n; offset += iov[i++].iov_len)
			memcpy(d->ram + offset, iov[i].iov_base, iov[i].iov_len);
		return 0;
	}
	memcpy(copy, iov, n * sizeof(*iov));
	while (n) {
		put = pwritev(d->fd, v, n, (off_t)offset);
		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			return put ? -errno : -EIO;
		offset += put;
		advance(&v, &n, put);
	}
	return durable ? disk_flush(d) : 0;
}

/**
 * disk_flush() - put everything written so far on stable storage
 * @d: disk
 *
 * Return: 0 or a negative errno, which is then that of every later write and flush.
 */
int disk_flush(struct disk *d)
{
	uint64_t size = d->size;
	int ret;

	if (d->fd < 0 || d->opt.read_only || d->opt.cache == DISK_UNSAFE)
		return 0;
	pthread_mutex_lock(&d->flushing);
	ret = disk_lost(d);
	if (!ret && fdatasync(d->fd)) {
		ret = -errno;
		disk_lose(d, ret, "flush failed");
	}
	/* what was beyond the end when somebody truncated it is gone, acknowledged or not */
	if (!ret && !disk_size_now(d, &size) && size < d->size) {
		ret = -ENXIO;
		disk_lose(d, ret, "shorter than it was");
	}
	pthread_mutex_unlock(&d->flushing);
	return ret;
}
