// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory of the back end's in which it notes what it is working on, so that the one that is
 * started after it can take up exactly that. We keep it for as long as the driver does not reset.
 *
 * It comes from the back end and is read here only where there is none any more to read it (the
 * undertaker): each field is copied once, then checked. The layout is that of the vhost-user
 * specification's split virtqueue.
 */
#include <errno.h>
#include <linux/virtio_config.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vhost.h"

#define ALIGN	64u			/* of a queue's part */
#define HEAD	16u			/* bytes in front of its entries */
#define ENTRY	16u

/* places in a queue's part */
#define AT_COUNT	10u
#define AT_LAST		12u
#define AT_USED		14u

#define LARGEST		(64u << 20)

/**
 * inflight_init() - there is none
 * @h: device
 */
void inflight_init(struct vhost *h)
{
	h->inflight = (struct vhost_inflight){ .fd = -1 };
}

/**
 * inflight_drop() - the driver starts from the beginning
 * @h: device
 */
void inflight_drop(struct vhost *h)
{
	struct vhost_inflight *f = &h->inflight;

	if (f->va) {
		vfus_dma_unguard(f->va);
		munmap(f->va, f->size);
	}
	if (f->fd >= 0)
		close(f->fd);
	inflight_init(h);
}

/**
 * inflight_ask() - ask for it; the back end has the features already
 * @h: device
 * @done: gets the answer
 */
void inflight_ask(struct vhost *h, wire_done done)
{
	struct vu_inflight ask = { .queues = (uint16_t)h->nr_rings };
	unsigned int q;

	for (q = 0; q < h->nr_rings; q++)
		if (h->v.vq[q].enabled && h->v.vq[q].size > ask.queue_size)
			ask.queue_size = h->v.vq[q].size;
	h->inflight.queues = ask.queues;
	h->inflight.queue_size = ask.queue_size;
	wire_call(&h->wire, VU_GET_INFLIGHT_FD, WIRE_REPLY, &ask, VU_INFLIGHT_LEN, NULL, 0, done,
		  0);
}

static size_t part_size(const struct vhost *h)
{
	size_t size = HEAD + (size_t)h->inflight.queue_size * ENTRY;

	return (size + ALIGN - 1) / ALIGN * ALIGN;
}

/**
 * inflight_take() - keep what the back end gave
 * @h: device
 * @reply: to GET_INFLIGHT_FD
 *
 * Return: 0 or -EPROTO where it cannot be right.
 */
int inflight_take(struct vhost *h, struct wire_reply *reply)
{
	struct vhost_inflight *f = &h->inflight;
	struct vu_inflight got = { 0 };
	struct stat st;
	void *va;

	if (reply->len != VU_INFLIGHT_LEN || reply->nfds != 1)
		return -EPROTO;
	memcpy(&got, reply->payload, VU_INFLIGHT_LEN);
	if (fstat(reply->fds[0], &st) || got.mmap_size > LARGEST ||
	    got.mmap_size < f->queues * part_size(h) || got.mmap_offset % 4096 ||
	    got.mmap_offset > (uint64_t)st.st_size ||
	    got.mmap_size > (uint64_t)st.st_size - got.mmap_offset)
		return -EPROTO;
	va = mmap(NULL, got.mmap_size, PROT_READ | PROT_WRITE, MAP_SHARED, reply->fds[0],
		  (off_t)got.mmap_offset);
	if (va == MAP_FAILED)
		return -EPROTO;
	if (vfus_dma_guard(va, got.mmap_size)) {
		munmap(va, got.mmap_size);
		return -ENOMEM;
	}
	f->va = va;
	f->size = got.mmap_size;
	f->offset = got.mmap_offset;
	f->fd = reply->fds[0];
	reply->fds[0] = -1;
	return 0;
}

/**
 * inflight_give() - give it to the back end that is started
 * @h: device; without such memory nothing happens
 */
void inflight_give(struct vhost *h)
{
	const struct vhost_inflight *f = &h->inflight;
	const struct vu_inflight give = {
		.mmap_size = f->size, .mmap_offset = f->offset, .queues = f->queues,
		.queue_size = f->queue_size,
	};

	if (f->fd >= 0)
		ring_set(h, VU_SET_INFLIGHT_FD, &give, VU_INFLIGHT_LEN, &f->fd, 1);
}

static uint16_t get16(const uint8_t *at)
{
	uint16_t v;

	memcpy(&v, at, sizeof(v));
	return v;
}

/**
 * inflight_check() - can it be given to another back end?
 * @h: device
 *
 * Return: 0 or -EPROTO where what is in it makes no sense.
 */
int inflight_check(const struct vhost *h)
{
	unsigned int q;

	for (q = 0; q < h->inflight.queues; q++) {
		const uint8_t *part = h->inflight.va + q * part_size(h);
		uint16_t count = get16(part + AT_COUNT);

		if (!h->v.vq[q].enabled || !count)
			continue;
		if (count > h->inflight.queue_size || get16(part + AT_LAST) >= count)
			return -EPROTO;
	}
	return 0;
}

/**
 * inflight_settle() - finish what a back end that died had begun to note
 * @h: device
 * @q: queue
 *
 * It shows the driver a used buffer first and takes its own note back afterwards.
 */
void inflight_settle(struct vhost *h, unsigned int q)
{
	uint8_t *part = h->inflight.va + q * part_size(h);
	uint16_t last = get16(part + AT_LAST), used;

	if (last < h->inflight.queue_size && ring_index(h, q, true, &used) &&
	    used != get16(part + AT_USED)) {
		part[HEAD + (size_t)last * ENTRY] = 0;
		memcpy(part + AT_USED, &used, sizeof(used));
	}
}

/**
 * inflight_is() - was a request being worked on?
 * @h: device with such memory, settled
 * @q: queue
 * @head: its first descriptor
 *
 * Return: true if it was.
 */
bool inflight_is(const struct vhost *h, unsigned int q, uint16_t head)
{
	const uint8_t *part = h->inflight.va + q * part_size(h);

	return head < h->inflight.queue_size && part[HEAD + (size_t)head * ENTRY] == 1;
}
