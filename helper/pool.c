// SPDX-License-Identifier: GPL-2.0-only
/*
 * The memory that the device can reach by DMA: a sealed memfd, which the server maps through its
 * descriptor, and the kernel module pins through our mapping.
 *
 * Servers want it aligned to 2 MiB and in one piece (SPDK passes over anything else), and on huge
 * pages where there are any. Sealed, so that the server cannot shrink it under the kernel or us.
 *
 * Owns: descriptor and mapping, from pool_create() to pool_destroy(). Immutable in between.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/memfd.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "pool.h"
#include "sysfs.h"

/**
 * pool_round() - a size that a pool can have
 * @size: bytes, at most POOL_MAX
 *
 * Context: any.
 * Return: @size rounded up to POOL_ALIGN.
 */
uint64_t pool_round(uint64_t size)
{
	return (size + POOL_ALIGN - 1) & ~(POOL_ALIGN - 1);
}

/*
 * Populating more than there is would not fail but bring out the OOM killer. So look first; where
 * that cannot be seen, go on.
 */
static bool memory_available(uint64_t size)
{
	uint64_t kib;
	char path[PATH_MAX], line[128];
	bool ok = true;
	FILE *f;

	f = sysfs_path(path, "/proc/meminfo") ? NULL : fopen(path, "re");
	if (!f)
		return true;
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "MemAvailable: %" SCNu64 " kB", &kib) == 1) {
			ok = size / 1024 < kib;
			break;
		}
	}
	fclose(f);
	return ok;
}

/* Maps the pool at an address aligned to POOL_ALIGN, each page present. */
static int map(struct pool *pool)
{
	size_t reserved = pool->size + POOL_ALIGN;
	char *base, *addr;
	int err = 0;

	base = mmap(NULL, reserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (base == MAP_FAILED)
		return -errno;
	addr = (char *)(((uintptr_t)base + POOL_ALIGN - 1) & ~(uintptr_t)(POOL_ALIGN - 1));
	if (mmap(addr, pool->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, pool->fd, 0) ==
	    MAP_FAILED) {
		err = -errno;
		munmap(base, reserved);
		return err;
	}
	/* What is left of the reservation on both sides. */
	if (addr != base)
		munmap(base, addr - base);
	munmap(addr + pool->size, base + reserved - (addr + pool->size));

	/* Transparent huge pages, where shmem has them; a hint only. */
	if (!pool->huge)
		madvise(addr, pool->size, MADV_HUGEPAGE);
	/* Unlike MAP_POPULATE it reports that memory is short. */
	if (madvise(addr, pool->size, MADV_POPULATE_WRITE)) {
		err = -errno;
		munmap(addr, pool->size);
		return err == -EFAULT ? -ENOMEM : err;
	}
	pool->addr = addr;
	return 0;
}

static int create(struct pool *pool, bool huge)
{
	unsigned int flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	int err;

	if (huge)
		flags |= MFD_HUGETLB | MFD_HUGE_2MB;
	pool->huge = huge;
	pool->fd = memfd_create("vfiouser-pool", flags);
	if (pool->fd < 0)
		return -errno;
	if (ftruncate(pool->fd, pool->size))
		err = -errno;
	else
		err = map(pool);
	if (!err && fcntl(pool->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)) {
		err = -errno;
		munmap(pool->addr, pool->size);
	}
	if (err)
		close(pool->fd);
	return err;
}

/**
 * pool_create() - allocate a pool, all of it at once
 * @pool: result
 * @size: bytes, a multiple of POOL_ALIGN, at most POOL_MAX
 *
 * Context: set-up; may sleep.
 * Return: 0 or a negative errno; -ENOMEM if there is not that much memory.
 */
int pool_create(struct pool *pool, uint64_t size)
{
	memset(pool, 0, sizeof(*pool));
	pool->fd = -1;
	if (!size || size % POOL_ALIGN || size > POOL_MAX)
		return -EINVAL;
	pool->size = size;
	pool->iova = POOL_IOVA;
	/* Huge pages are there if the administrator set them aside; no harm in asking. */
	if (!create(pool, true))
		return 0;
	if (!memory_available(size))
		return -ENOMEM;
	return create(pool, false);
}

/**
 * pool_adopt() - a pool that another process has made
 * @pool: result
 * @fd: its file; the pool's from here on, also after an error
 * @size: bytes
 * @iova: bus address of its first byte
 *
 * Context: set-up; may sleep.
 * Return: 0 or a negative errno.
 */
int pool_adopt(struct pool *pool, int fd, uint64_t size, uint64_t iova)
{
	int err;

	*pool = (struct pool) { .fd = fd, .size = size, .iova = iova };
	if (!size || size % POOL_ALIGN || size > POOL_MAX)
		err = -EINVAL;
	else
		err = map(pool);
	if (err)
		close(fd);
	return err;
}

/**
 * pool_destroy() - free a pool; the server's and the kernel's references keep the pages
 * @pool: from pool_create()
 *
 * Context: may sleep.
 */
void pool_destroy(struct pool *pool)
{
	munmap(pool->addr, pool->size);
	close(pool->fd);
}

/**
 * pool_at() - where bus addresses are in our memory
 * @pool: from pool_create()
 * @iova: first bus address
 * @count: bytes
 *
 * Context: any.
 * Return: the address, or NULL if the range is not entirely in the pool.
 */
void *pool_at(const struct pool *pool, uint64_t iova, size_t count)
{
	if (iova < pool->iova || iova - pool->iova > pool->size ||
	    count > pool->size - (iova - pool->iova))
		return NULL;
	return (char *)pool->addr + (iova - pool->iova);
}
