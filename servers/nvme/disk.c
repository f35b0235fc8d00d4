// SPDX-License-Identifier: GPL-2.0-only
/*
 * Disks: opening, what the backing is like, and that nobody else writes to it.
 *
 * A file is locked as a whole, with a lock that belongs to the open file: against a second server,
 * and whoever else keeps to such locks. A block device is opened exclusively, which a mounted one
 * refuses.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "disk.h"

/* FNV-1a */
static uint64_t hash(const char *p)
{
	uint64_t h = 0xcbf29ce484222325ull;

	for (; *p; p++)
		h = (h ^ (uint8_t)*p) * 0x100000001b3ull;
	return h;
}

static bool read_attribute(dev_t dev, const char *name, char *to, size_t size)
{
	char path[80];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/%s", major(dev), minor(dev), name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, to, size - 1);
	close(fd);
	to[n > 0 ? n : 0] = '\0';
	return n > 1;
}

/*
 * Numbers of devices and inodes change from one boot to the next, so a disk is who its hardware or
 * volume manager says it is, and otherwise the path it is at.
 */
static uint64_t identify(const char *path, const struct stat *st)
{
	static const char *const names[] = { "dm/uuid", "wwid", "device/wwid", "md/uuid" };
	char text[PATH_MAX];
	size_t i;

	for (i = 0; S_ISBLK(st->st_mode) && i < sizeof(names) / sizeof(names[0]); i++)
		if (read_attribute(st->st_rdev, names[i], text, sizeof(text)))
			return hash(text);
	return hash(realpath(path, text) ? text : path);
}

static void block_geometry(struct disk *d)
{
	unsigned int physical = 0;
	int logical = 0;

	if (!ioctl(d->fd, BLKSSZGET, &logical) && logical >= 512 && logical <= 4096)
		d->logical = (unsigned int)logical;
	if (!ioctl(d->fd, BLKPBSZGET, &physical) && physical >= d->logical && physical <= 65536)
		d->physical = physical;
}

/* What direct I/O wants of offsets, lengths and memory. */
static void direct_geometry(struct disk *d)
{
	struct statx sx;

	d->memory_align = 512;
#ifdef STATX_DIOALIGN
	if (!statx(d->fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &sx) &&
	    sx.stx_mask & STATX_DIOALIGN && sx.stx_dio_offset_align) {
		if (sx.stx_dio_offset_align > d->logical && sx.stx_dio_offset_align <= 4096)
			d->logical = sx.stx_dio_offset_align;
		d->memory_align = sx.stx_dio_mem_align;
		return;
	}
#endif
	if (!d->block_device && !statx(d->fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &sx)) {
		struct stat st;
		char text[32];

		/* the logical blocks of what the file system is on */
		if (!fstat(d->fd, &st) &&
		    (read_attribute(st.st_dev, "queue/logical_block_size", text, sizeof(text)) ||
		     read_attribute(st.st_dev, "../queue/logical_block_size", text,
				    sizeof(text))) && atoi(text) > 512 && atoi(text) <= 4096)
			d->logical = (unsigned int)atoi(text);
	}
	if (d->memory_align < d->logical)
		d->memory_align = d->logical;
}

/* Not every file system has locks; one that says that somebody else holds them does. */
static int lock(const struct disk *d)
{
	struct flock all = { .l_type = d->opt.read_only ? F_RDLCK : F_WRLCK };

	if (d->block_device || !fcntl(d->fd, F_OFD_SETLK, &all))
		return 0;
	if (errno == EAGAIN || errno == EACCES)
		return -EBUSY;
	fprintf(stderr, "vfiouser-nvme: %s: cannot be locked against a second server: %s\n",
		d->path, strerror(errno));
	return 0;
}

/**
 * disk_size_now() - how large is the backing at this moment?
 * @d: disk
 * @size: bytes
 *
 * Return: 0 or a negative errno.
 */
int disk_size_now(const struct disk *d, uint64_t *size)
{
	off_t end = d->fd < 0 ? (off_t)d->size : lseek(d->fd, 0, SEEK_END);

	if (end < 0)
		return -errno;
	*size = (uint64_t)end;
	return 0;
}

/**
 * disk_open_file() - serve a regular file or block device
 * @d: filled in
 * @path: file; must stay while the disk is open
 * @opt: copied
 *
 * Return: 0, -EBUSY where somebody else has it, or another negative errno.
 */
int disk_open_file(struct disk *d, const char *path, const struct disk_options *opt)
{
	int flags = (opt->read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC;
	struct stat st;
	int ret;

	*d = (struct disk){ .path = path, .fd = -1, .opt = *opt, .logical = 512, .physical = 4096,
			    .flushing = PTHREAD_MUTEX_INITIALIZER };
	if (opt->cache == DISK_DIRECT)
		flags |= O_DIRECT;
	/* opening a device may have effects, so what it is comes first; again below */
	if (stat(path, &st))
		return -errno;
	d->block_device = S_ISBLK(st.st_mode);
	if (!d->block_device && !S_ISREG(st.st_mode))
		return -EINVAL;
	/* several may read */
	if (d->block_device && !opt->read_only)
		flags |= O_EXCL;
	d->fd = open(path, flags);
	if (d->fd < 0)
		return -errno;
	ret = fstat(d->fd, &st) ? -errno : disk_size_now(d, &d->size);
	if (!ret && S_ISBLK(st.st_mode) != d->block_device)
		ret = -EINVAL;
	if (!ret)
		ret = lock(d);
	if (ret) {
		close(d->fd);
		d->fd = -1;
		return ret;
	}
	if (d->block_device)
		block_geometry(d);
	if (opt->cache == DISK_DIRECT)
		direct_geometry(d);
	if (d->physical < d->logical)
		d->physical = d->logical;
	d->identity = identify(path, &st);
	return 0;
}

/**
 * disk_open_ram() - a disk that lives as long as the process
 * @d: filled in
 * @size: bytes; memory is taken as it is written
 * @opt: copied
 *
 * Return: 0 or a negative errno.
 */
int disk_open_ram(struct disk *d, uint64_t size, const struct disk_options *opt)
{
	void *p;

	*d = (struct disk){ .path = "--ram", .fd = -1, .size = size, .opt = *opt, .logical = 512,
			    .physical = 4096, .flushing = PTHREAD_MUTEX_INITIALIZER };
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
