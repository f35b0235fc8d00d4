// SPDX-License-Identifier: GPL-2.0-only
/*
 * All memory of the host, for passthrough DMA: as the kernel module gives it to us, mapped, so that
 * what a server asks for by message can be answered, and cut into windows for servers that map it.
 *
 * Owns: the descriptor and the mappings, from ram_open() to ram_close(). Immutable in between.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ram.h"
#include "ring.h"

/**
 * ram_open() - get all memory of the host
 * @ram: result
 * @ring: a channel without a device
 *
 * Context: set-up; may sleep.
 * Return: 0, or a negative errno as VFIOUSER_IOC_RAM has them.
 */
int ram_open(struct ram *ram, const struct ring *ring)
{
	struct vfiouser_ram arg = { 0 };
	unsigned int i;
	int err;

	memset(ram, 0, sizeof(*ram));
	ram->fd = -1;
	err = ring_ram(ring, &arg);
	if (err != -E2BIG)
		return err ? err : -ENOMEM;
	ram->ranges = calloc(arg.count, sizeof(*ram->ranges));
	ram->at = calloc(arg.count, sizeof(*ram->at));
	if (!ram->ranges || !ram->at) {
		ram_close(ram);
		return -ENOMEM;
	}
	arg.ranges = (uintptr_t)ram->ranges;
	err = ring_ram(ring, &arg);
	if (err) {
		ram_close(ram);
		return err;
	}
	ram->fd = arg.fd;
	for (i = 0; i < arg.count; i++) {
		void *at = mmap(NULL, ram->ranges[i].size, PROT_READ | PROT_WRITE, MAP_SHARED,
				ram->fd, (off_t)ram->ranges[i].start);

		if (at == MAP_FAILED) {
			err = -errno;
			ram_close(ram);
			return err;
		}
		ram->at[ram->count++] = at;
	}
	return 0;
}

/**
 * ram_close() - let it go; what the server has mapped it keeps until the channel closes
 * @ram: from ram_open()
 *
 * Context: may sleep.
 */
void ram_close(struct ram *ram)
{
	while (ram->count) {
		ram->count--;
		munmap(ram->at[ram->count], ram->ranges[ram->count].size);
	}
	if (ram->fd >= 0)
		close(ram->fd);
	ram->fd = -1;
	free(ram->ranges);
	free(ram->at);
	ram->ranges = NULL;
	ram->at = NULL;
}

/**
 * ram_copy() - copy between a buffer and memory
 * @ram: from ram_open()
 * @iova: bus address
 * @buf: the buffer
 * @count: bytes
 * @write: into memory
 *
 * Context: any.
 * Return: 0, or -EFAULT if not all of it is in one range.
 */
int ram_copy(const struct ram *ram, uint64_t iova, void *buf, size_t count, bool write)
{
	unsigned int i;
	char *at;

	for (i = 0; i < ram->count; i++) {
		const struct vfiouser_ram_range *r = &ram->ranges[i];

		if (iova < r->start || iova - r->start >= r->size)
			continue;
		if (count > r->size - (iova - r->start))
			return -EFAULT;
		at = ram->at[i] + (iova - r->start);
		if (write)
			memcpy(at, buf, count);
		else
			memcpy(buf, at, count);
		return 0;
	}
	return -EFAULT;
}

/* Cuts a range where it is aligned; returns into how many pieces, up to 3. */
static unsigned int cut(const struct vfiouser_ram_range *range, struct vfiouser_ram_range *out)
{
	uint64_t end = range->start + range->size;
	uint64_t first = (range->start + RAM_ALIGN - 1) & ~(RAM_ALIGN - 1);
	uint64_t last = end & ~(RAM_ALIGN - 1);
	unsigned int n = 0;

	if (first >= last) {
		out[0] = *range;
		return 1;
	}
	if (first > range->start)
		out[n++] = (struct vfiouser_ram_range){ range->start, first - range->start };
	out[n++] = (struct vfiouser_ram_range){ first, last - first };
	if (end > last)
		out[n++] = (struct vfiouser_ram_range){ last, end - last };
	return n;
}

/**
 * ram_windows() - which windows to offer to a server
 * @ram: from ram_open()
 * @max: how many it takes
 * @windows: result, room for 3 for each range
 *
 * Aligned to RAM_ALIGN as far as may be, the rest in windows of its own; where that is too many,
 * one for each range, but for as many as can be cut.
 *
 * Context: any.
 * Return: how many; 0 where @max is less than there are ranges.
 */
unsigned int ram_windows(const struct ram *ram, unsigned int max,
			 struct vfiouser_ram_range *windows)
{
	unsigned int i, n = 0, spare, pieces;

	if (ram->count > max)
		return 0;
	spare = max - ram->count;
	/* From the end: the largest range of a machine is the last one. */
	for (i = ram->count; i--;) {
		pieces = cut(&ram->ranges[i], windows + n);
		if (pieces - 1 > spare) {
			windows[n++] = ram->ranges[i];
			continue;
		}
		spare -= pieces - 1;
		n += pieces;
	}
	return n;
}
