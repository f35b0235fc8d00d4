// SPDX-License-Identifier: GPL-2.0-only
/*
 * The client's memory: a table of windows, each a descriptor that is handed on to the back end
 * and a mapping of our own, in which the indices of the rings are read.
 *
 * A window is the same to all three: the address by which the device knows it (IOVA) is also the
 * "user address" of the protocol, which is only a number to the back end. The back end gets the
 * very memory that the client shares, and nothing else.
 *
 * Windows outlive the client that brought them, until the rings in them are idle.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vhost.h"

/**
 * mem_map() - the client shares memory
 * @h: device
 * @addr: IOVA
 * @size: bytes
 * @flags: VFIO_USER_DMA_*
 * @fd: the memory, or -1; duplicated
 * @offset: in @fd
 *
 * Return: 0, -EINVAL without a descriptor that can be handed on, -ENOSPC for more windows than a
 * back end takes, or a negative errno.
 */
int mem_map(struct vhost *h, uint64_t addr, uint64_t size, uint32_t flags, int fd, uint64_t offset)
{
	const uint32_t both = VFIO_USER_DMA_READABLE | VFIO_USER_DMA_WRITEABLE;
	struct vhost_window w = { .addr = addr, .size = size, .offset = offset };
	void *va;

	if (fd < 0 && (flags & both) == both) {
		vhost_log(h, 0, "the client shares no memory, only its contents by message: a vhost-user back end cannot use it");
		return -EINVAL;
	}
	/* Also what has no descriptor then: QEMU shares the firmware's ROM without one. */
	if ((flags & both) != both) {
		vhost_log(h, 1, "memory at 0x%llx is not for reading and writing: not passed on",
			  (unsigned long long)addr);
		return 0;
	}
	if (h->nr_wins == VU_MAX_REGIONS) {
		vhost_log(h, 0, "the client shares more than %d pieces of memory, as many as a back end takes",
			  VU_MAX_REGIONS);
		return -ENOSPC;
	}
	va = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd,
		  (off_t)offset);
	if (va == MAP_FAILED)
		return -errno;
	w.va = va;
	w.fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (w.fd < 0 || vfus_dma_guard(va, size)) {
		if (w.fd >= 0)
			close(w.fd);
		munmap(va, size);
		return -ENOMEM;
	}
	h->wins[h->nr_wins++] = w;
	h->mem_changed = true;
	return 0;
}

static void drop(struct vhost_window *w)
{
	vfus_dma_unguard(w->va);
	munmap(w->va, w->size);
	close(w->fd);
}

/**
 * mem_unmap() - the client takes memory back; rings are idle
 * @h: device
 * @addr: of exactly one window
 * @size: of exactly one window
 */
void mem_unmap(struct vhost *h, uint64_t addr, uint64_t size)
{
	unsigned int i;

	for (i = 0; i < h->nr_wins; i++)
		if (h->wins[i].addr == addr && h->wins[i].size == size)
			break;
	if (i == h->nr_wins)
		return;
	drop(&h->wins[i]);
	h->wins[i] = h->wins[--h->nr_wins];
	h->mem_changed = true;
}

/**
 * mem_clear() - the client has gone and nothing uses its memory any more
 * @h: device
 */
void mem_clear(struct vhost *h)
{
	while (h->nr_wins)
		drop(&h->wins[--h->nr_wins]);
	h->mem_changed = true;
}

/**
 * mem_at() - where memory of the client is mapped here
 * @h: device
 * @addr: IOVA
 * @len: bytes
 *
 * Return: a pointer, or NULL where not all of it is in one window.
 */
void *mem_at(const struct vhost *h, uint64_t addr, uint64_t len)
{
	unsigned int i;

	for (i = 0; i < h->nr_wins; i++) {
		const struct vhost_window *w = &h->wins[i];

		if (addr >= w->addr && len <= w->size && addr - w->addr <= w->size - len)
			return w->va + (addr - w->addr);
	}
	return NULL;
}

/**
 * mem_home() - which memory an address stands for
 * @h: device
 * @addr: IOVA
 * @home: filled in
 *
 * Return: false where it is in no window.
 */
bool mem_home(const struct vhost *h, uint64_t addr, struct vhost_home *home)
{
	unsigned int i;

	for (i = 0; i < h->nr_wins; i++) {
		const struct vhost_window *w = &h->wins[i];
		struct stat st;

		if (addr < w->addr || addr - w->addr >= w->size)
			continue;
		if (fstat(w->fd, &st))
			return false;
		*home = (struct vhost_home){ st.st_dev, st.st_ino, w->offset + (addr - w->addr) };
		return true;
	}
	return false;
}

/**
 * mem_send() - tell the back end what memory there is
 * @h: device with at least one window
 */
void mem_send(struct vhost *h)
{
	struct vu_mem_table table = { .count = h->nr_wins };
	int fds[VU_MAX_REGIONS];
	unsigned int i;

	for (i = 0; i < h->nr_wins; i++) {
		const struct vhost_window *w = &h->wins[i];

		table.regions[i] = (struct vu_mem_region){
			.guest_addr = w->addr, .size = w->size, .user_addr = w->addr,
			.mmap_offset = w->offset,
		};
		fds[i] = w->fd;
	}
	ring_set(h, VU_SET_MEM_TABLE, &table, 8 + h->nr_wins * sizeof(table.regions[0]), fds,
		 h->nr_wins);
	h->mem_changed = false;
}
