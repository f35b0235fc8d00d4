// SPDX-License-Identifier: GPL-2.0-only
/*
 * Split virtqueues, from the device's side (virtio 1.2 section 2.7).
 *
 * The driver's memory may be mapped here or only be reached by messages; both ways are hidden in
 * load16(), store16() and the copies. Any access that fails, and any chain that is not well-formed,
 * breaks the device until its driver resets it.
 */
#include <errno.h>
#include <linux/virtio_ring.h>
#include <stddef.h>
#include <string.h>

#include "virtio.h"

/*
 * A 16-bit word of a ring. Acquire: what the driver wrote before it is seen after it; pairs with
 * the driver's write barrier before it updates an index.
 */
static int load16(struct virtio *v, uint64_t addr, uint16_t *val)
{
	struct iovec iov;

	if (vfus_dma_iov(v->vfus, addr, sizeof(*val), false, &iov, 1) != 1)
		return vfus_dma_read(v->vfus, val, addr, sizeof(*val));
	*val = __atomic_load_n((uint16_t *)iov.iov_base, __ATOMIC_ACQUIRE);
	return 0;
}

/* Release: pairs with the driver's read barrier after it has read an index. */
static int store16(struct virtio *v, uint64_t addr, uint16_t val)
{
	struct iovec iov;

	if (vfus_dma_iov(v->vfus, addr, sizeof(val), true, &iov, 1) != 1)
		return vfus_dma_write(v->vfus, addr, &val, sizeof(val));
	__atomic_store_n((uint16_t *)iov.iov_base, val, __ATOMIC_RELEASE);
	return 0;
}

/* The events suppression words, which follow the rings' entries (section 2.7.7 and 2.7.8). */
static uint64_t used_event(const struct virtq *q)
{
	return q->avail + 4 + 2ull * q->size;
}

static uint64_t avail_event(const struct virtq *q)
{
	return q->used + 4 + 8ull * q->size;
}

static bool in_space(uint64_t addr, uint64_t len, unsigned int align)
{
	return !(addr & (align - 1)) && addr + (len - 1) >= addr;
}

/**
 * virtq_usable() - may a queue be enabled as the driver has set it up?
 * @v: device
 * @q: queue
 *
 * Whether the addresses are in memory of the client is seen at each access.
 *
 * Return: true if it may.
 */
bool virtq_usable(const struct virtio *v, const struct virtq *q)
{
	return q->size && q->size <= v->queue_max && !(q->size & (q->size - 1)) &&
	       in_space(q->desc, 16ull * q->size, 16) &&
	       in_space(q->avail, 6 + 2ull * q->size, 2) &&
	       in_space(q->used, 6 + 8ull * q->size, 4);
}

/* Entries that the driver has added and we have not taken; -1 where the device is broken. */
static int available(struct virtio *v, unsigned int nr)
{
	struct virtq *q = &v->vq[nr];
	uint16_t idx;

	if (!q->enabled || !virtio_live(v))
		return 0;
	if (load16(v, q->avail + offsetof(struct vring_avail, idx), &idx)) {
		virtio_broken(v, "an available ring is not in readable DMA memory");
		return -1;
	}
	idx -= q->next_avail;
	if (idx > q->size) {
		virtio_broken(v, "an available index is ahead by more than the queue's size");
		return -1;
	}
	return idx;
}

/**
 * virtq_empty() - is there no buffer to take?
 * @v: device
 * @q: queue
 *
 * Return: true if there is none.
 */
bool virtq_empty(struct virtio *v, unsigned int q)
{
	return available(v, q) <= 0;
}

static int add_seg(struct virtq_chain *c, const struct vring_desc *d)
{
	unsigned int n = c->nr_out + c->nr_in;

	/* Ends a chain with a loop in it as well. */
	if (n == VIRTQ_MAX)
		return -ELOOP;
	if (d->flags & VRING_DESC_F_WRITE) {
		c->nr_in++;
		c->in_len += d->len;
	} else if (c->nr_in) {
		return -EPROTO;
	} else {
		c->nr_out++;
		c->out_len += d->len;
	}
	c->segs[n] = (struct virtq_seg){ d->addr, d->len };
	return 0;
}

/* Follow a chain through a descriptor table; the last descriptor may point to an indirect table. */
static int walk(struct virtio *v, struct virtq_chain *c, uint64_t table, uint32_t entries,
		uint32_t index, bool indirect)
{
	struct vring_desc d;

	do {
		int ret;

		if (index >= entries)
			return -ERANGE;
		ret = vfus_dma_read(v->vfus, &d, table + index * sizeof(d), sizeof(d));
		if (ret)
			return ret;
		if (d.flags & VRING_DESC_F_INDIRECT) {
			if (indirect || !virtio_has(v, VIRTIO_RING_F_INDIRECT_DESC) ||
			    d.flags & VRING_DESC_F_NEXT || !d.len || d.len % sizeof(d) ||
			    !in_space(d.addr, d.len, 1))
				return -EPROTO;
			return walk(v, c, d.addr, d.len / sizeof(d), 0, true);
		}
		ret = add_seg(c, &d);
		if (ret)
			return ret;
		index = d.next;
	} while (d.flags & VRING_DESC_F_NEXT);
	return 0;
}

/**
 * virtq_walk() - look at a buffer
 * @v: device
 * @nr: queue
 * @head: its first descriptor
 * @chain: filled in
 *
 * Return: 1, or -1 where it is not well-formed and the device is broken.
 */
int virtq_walk(struct virtio *v, unsigned int nr, uint16_t head, struct virtq_chain *chain)
{
	const struct virtq *q = &v->vq[nr];
	int ret;

	chain->head = head;
	chain->nr_out = 0;
	chain->nr_in = 0;
	chain->out_len = 0;
	chain->in_len = 0;
	ret = walk(v, chain, q->desc, q->size, head, false);
	if (!ret)
		return 1;
	virtio_broken(v, ret == -ELOOP ? "a descriptor chain has a loop or is too long" :
		      ret == -ERANGE ? "a descriptor number is beyond its table" :
		      ret == -EPROTO ? "a descriptor chain is not well-formed" :
		      "a descriptor table is not in readable DMA memory");
	return -1;
}

/**
 * virtq_pop() - take the next buffer that the driver made available
 * @v: device
 * @nr: queue
 * @chain: filled in
 *
 * Return: 1, 0 where there is none, -1 where the device is broken.
 */
int virtq_pop(struct virtio *v, unsigned int nr, struct virtq_chain *chain)
{
	struct virtq *q = &v->vq[nr];
	uint16_t head;
	int ret = available(v, nr);

	if (ret <= 0)
		return ret;
	if (load16(v, q->avail + 4 + 2ull * (q->next_avail % q->size), &head)) {
		virtio_broken(v, "an available ring is not in readable DMA memory");
		return -1;
	}
	ret = virtq_walk(v, nr, head, chain);
	if (ret > 0)
		q->next_avail++;
	return ret;
}

/**
 * virtq_want() - does the device want to hear of new buffers?
 * @v: device
 * @nr: queue
 * @on: if so, look at the queue once more afterwards
 */
void virtq_want(struct virtio *v, unsigned int nr, bool on)
{
	struct virtq *q = &v->vq[nr];
	int ret = 0;

	if (!q->enabled || !virtio_live(v))
		return;
	if (!virtio_has(v, VIRTIO_RING_F_EVENT_IDX))
		ret = store16(v, q->used, on ? 0 : VRING_USED_F_NO_NOTIFY);
	else if (on)
		ret = store16(v, avail_event(q), q->next_avail);
	if (ret)
		virtio_broken(v, "a used ring is not in writeable DMA memory");
	/*
	 * Our store before our next load of the available index: pairs with the driver's barrier
	 * between its store of that index and its load of what we stored.
	 */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/**
 * virtq_push() - fill in an entry of the used ring, which the driver does not see yet
 * @v: device
 * @nr: queue
 * @head: of the buffer
 * @len: bytes written to it
 * @nth: 0 for the first one since virtq_publish()
 */
void virtq_push(struct virtio *v, unsigned int nr, uint16_t head, uint32_t len, uint16_t nth)
{
	const struct virtq *q = &v->vq[nr];
	const struct vring_used_elem e = { head, len };
	uint16_t at = (uint16_t)(q->next_used + nth) % q->size;

	if (virtio_live(v) && vfus_dma_write(v->vfus, q->used + 4 + 8ull * at, &e, sizeof(e)))
		virtio_broken(v, "a used ring is not in writeable DMA memory");
}

/**
 * virtq_publish() - show the driver what was pushed
 * @v: device
 * @nr: queue
 * @count: entries
 */
void virtq_publish(struct virtio *v, unsigned int nr, uint16_t count)
{
	struct virtq *q = &v->vq[nr];

	q->next_used += count;
	if (virtio_live(v) &&
	    store16(v, q->used + offsetof(struct vring_used, idx), q->next_used))
		virtio_broken(v, "a used ring is not in writeable DMA memory");
}

/**
 * virtq_signal() - interrupt the driver, if there is news and it wants to hear of it
 * @v: device
 * @nr: queue
 */
void virtq_signal(struct virtio *v, unsigned int nr)
{
	struct virtq *q = &v->vq[nr];
	bool event = virtio_has(v, VIRTIO_RING_F_EVENT_IDX);
	uint16_t old = q->signalled, word;

	if (!q->enabled || !virtio_live(v) || old == q->next_used)
		return;
	/*
	 * The used index before what the driver wants: pairs with the driver's barrier between
	 * saying what it wants and its last look at the used index.
	 */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (load16(v, event ? used_event(q) : q->avail, &word)) {
		virtio_broken(v, "an available ring is not in readable DMA memory");
		return;
	}
	q->signalled = q->next_used;
	if (event ? vring_need_event(word, q->next_used, old) :
		    !(word & VRING_AVAIL_F_NO_INTERRUPT))
		virtio_interrupt_queue(v, nr);
}

/* One direction of a copy between a buffer and our memory. */
static int copy(struct virtio *v, const struct virtq_seg *segs, unsigned int n, uint8_t *to,
		const uint8_t *from, uint64_t offset, uint32_t len)
{
	unsigned int i;

	for (i = 0; i < n && len; i++) {
		uint32_t part = segs[i].len;
		int ret;

		if (offset >= part) {
			offset -= part;
			continue;
		}
		part -= (uint32_t)offset;
		if (part > len)
			part = len;
		ret = to ? vfus_dma_read(v->vfus, to, segs[i].addr + offset, part) :
			   vfus_dma_write(v->vfus, segs[i].addr + offset, from, part);
		if (ret) {
			virtio_broken(v, "a buffer is not in the DMA memory that it should be in");
			return ret;
		}
		if (to)
			to += part;
		else
			from += part;
		len -= part;
		offset = 0;
	}
	return len ? -EMSGSIZE : 0;
}

/**
 * virtq_copy_out() - copy from the device-readable part of a buffer
 * @v: device
 * @chain: buffer
 * @buf: where to
 * @offset: bytes into that part
 * @len: bytes
 *
 * Return: 0, -EMSGSIZE where the part is shorter, else the device is broken.
 */
int virtq_copy_out(struct virtio *v, const struct virtq_chain *chain, void *buf, uint64_t offset,
		   uint32_t len)
{
	return copy(v, chain->segs, chain->nr_out, buf, NULL, offset, len);
}

/**
 * virtq_copy_in() - copy to the device-writable part of a buffer
 * @v: device
 * @chain: buffer
 * @offset: bytes into that part
 * @buf: where from
 * @len: bytes
 *
 * Return: 0, -EMSGSIZE where the part is shorter, else the device is broken.
 */
int virtq_copy_in(struct virtio *v, const struct virtq_chain *chain, uint64_t offset,
		  const void *buf, uint32_t len)
{
	return copy(v, chain->segs + chain->nr_out, chain->nr_in, NULL, buf, offset, len);
}
