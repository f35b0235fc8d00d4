// SPDX-License-Identifier: GPL-2.0-only
/*
 * The undertaker: takes over the rings of a back end that does not come back, and ends each
 * request with an error, those that are there and those that still come. Drivers of disks and file
 * systems wait for their requests before they let a device go, for ever if it takes that long.
 *
 * What the lost back end had not finished has to be known exactly, see recover.c: a request that
 * is ended twice breaks the ring. From then on until the driver resets the device the rings are
 * this process's.
 */
#include <linux/virtio_config.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "vhost.h"

#define LOOK_US		10000

static struct virtq_chain chain;	/* too large for the stack */

static void end_request(struct vhost *h, unsigned int q, const struct virtq_chain *c)
{
	struct virtio *v = &h->v;
	uint32_t len = h->type.bury ? h->type.bury(h, q, c) : 0;

	virtq_push(v, q, c->head, len, 0);
	virtq_publish(v, q, 1);
}

/* Receive buffers are not requests: they stay where they are. */
static bool is_request(const struct vhost *h, unsigned int q)
{
	return !h->type.keeps || !h->type.keeps(h, q);
}

static void end_all(struct vhost *h, unsigned int q)
{
	struct virtio *v = &h->v;

	if (!v->vq[q].enabled || !is_request(h, q))
		return;
	do {
		while (virtq_pop(v, q, &chain) > 0)
			end_request(h, q, &chain);
		virtq_want(v, q, true);
	} while (!virtq_empty(v, q));
	virtq_signal(v, q);
}

/* What a back end with memory for it was working on, which need not be in the ring any more. */
static void end_inflight(struct vhost *h, unsigned int q)
{
	struct virtq *vq = &h->v.vq[q];
	uint16_t head, count = 0;

	inflight_settle(h, q);
	for (head = 0; head < vq->size; head++) {
		if (!inflight_is(h, q, head))
			continue;
		if (virtq_walk(&h->v, q, head, &chain) <= 0)
			return;
		end_request(h, q, &chain);
		count++;
	}
	/* They had been taken from the available ring. */
	vq->next_avail += count;
}

/**
 * undertaker_begin() - take the rings
 * @h: device with idle or lost rings, which nobody touches any more but the driver
 * @why: for the user
 *
 * Return: false where it is not known what is to be ended; nothing is done then.
 */
bool undertaker_begin(struct vhost *h, const char *why)
{
	struct virtio *v = &h->v;
	unsigned int q;

	if (h->rings == RINGS_LOST && !recover_rings(h)) {
		/* The driver knows, and ends them when its device has gone. */
		vhost_log(h, 0, "%s: which requests are done only the driver can know",
			  why);
		vfus_disconnect(h->v.vfus, "the device goes with its back end");
		return false;
	}
	vhost_log(h, 0, "%s: all requests end with errors until the driver lets go of the device",
		  why);
	h->rings = RINGS_BURIED;
	h->buried = true;
	for (q = 0; q < h->nr_rings; q++) {
		struct virtq *vq = &v->vq[q];

		h->ring[q].started = false;
		if (!vq->enabled)
			continue;
		vq->next_avail = h->ring[q].base;
		vq->next_used = h->ring[q].base;
		vq->signalled = h->ring[q].base;
		if (h->keep)
			ring_hush(h, q, false);
		if (h->inflight.fd >= 0)
			end_inflight(h, q);
		vhost_watch(h, v->events[q], EPOLLIN, SRC_KICK, q);
		end_all(h, q);
		/* The lost one may have used a buffer and not said so. */
		virtio_interrupt_queue(v, q);
	}
	return true;
}

/**
 * undertaker_kick() - the driver has added requests
 * @h: device with buried rings
 * @q: queue
 */
void undertaker_kick(struct vhost *h, unsigned int q)
{
	uint64_t n;

	if (read(h->v.events[q], &n, sizeof(n)) == sizeof(n) && h->rings == RINGS_BURIED)
		end_all(h, q);
}

/**
 * undertaker_poll() - look for requests without being told of them
 * @h: device with buried rings
 *
 * A back end that is still there may read the doorbells, and does nothing then.
 *
 * Return: microseconds after which to call it again, or -1.
 */
long undertaker_poll(struct vhost *h)
{
	unsigned int q;

	if (h->link == LINK_DOWN)
		return -1;
	for (q = 0; q < h->nr_rings; q++)
		end_all(h, q);
	return LOOK_US;
}

/**
 * undertaker_end() - the driver resets the device: the rings are idle
 * @h: device with buried rings
 */
void undertaker_end(struct vhost *h)
{
	unsigned int q;

	for (q = 0; q < h->nr_rings; q++)
		if (h->v.vq[q].enabled)
			vhost_unwatch(h, h->v.events[q]);
	h->rings = RINGS_IDLE;
}
