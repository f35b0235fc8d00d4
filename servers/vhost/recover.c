// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which rings another back end can take up where a lost one left them. There are three cases in
 * which that is known, and there is no guess in any other:
 *
 *   - the back end kept what it was working on in memory that we have (inflight.c);
 *   - it uses up requests in the order of the available ring, so that the used index says where it
 *     was;
 *   - there was one request at most in each ring, which the used index tells of as well, or the
 *     back end was never given the ring.
 *
 * Anything else would lose a request and complete another one twice.
 *
 * A back end that does not know afterwards what it was told before (a file system's open files)
 * cannot be taken up at all: its rings go to the undertaker.
 */
#include <errno.h>
#include <linux/virtio_config.h>
#include <stddef.h>

#include "vhost.h"

static bool in_order(const struct vhost *h)
{
	if (virtio_has(&h->v, VIRTIO_F_IN_ORDER) || h->opt.in_order)
		return true;
	return h->type.in_order && !h->opt.out_of_order;
}

/**
 * recover_rings() - find out where to take the rings up
 * @h: device with lost rings, which nobody touches any more but the driver
 *
 * Return: true where it is known; the rings' bases are set then.
 */
bool recover_rings(struct vhost *h)
{
	bool noted = h->inflight.fd >= 0 && !inflight_check(h);
	unsigned int q;

	for (q = 0; q < h->nr_rings; q++) {
		struct vhost_ring *r = &h->ring[q];
		uint16_t used;

		if (!h->v.vq[q].enabled || !r->exposed)
			continue;
		if (!ring_index(h, q, true, &used))
			return false;
		/* The driver may have added requests since, which nobody has seen yet. */
		if (!noted && !in_order(h) && (uint16_t)(r->lost_avail - used) > 1)
			return false;
		r->base = used;
	}
	return true;
}

static bool overdue(const struct vhost *h)
{
	return h->opt.deadline_ms &&
	       wire_now_us() - h->lost_at >= h->opt.deadline_ms * 1000ull;
}

static long until_overdue(const struct vhost *h)
{
	uint64_t end = h->lost_at + h->opt.deadline_ms * 1000ull, now = wire_now_us();

	if (!h->opt.deadline_ms)
		return -1;
	return now < end ? (long)(end - now) : 1000;
}

/* Why nobody is going to answer the driver's requests any more, or NULL. */
static const char *hopeless(const struct vhost *h)
{
	if (h->condemned)
		return h->condemned;
	if (h->type.stateful)
		return "the back end has gone, and another one would not know what it knew";
	return overdue(h) ? "no back end came in time" : NULL;
}

/**
 * recover_poll() - the rings are lost and the driver wants them
 * @h: device
 *
 * Return: microseconds after which to call it again, or -1.
 */
long recover_poll(struct vhost *h)
{
	const char *why;

	if (!h->quiet)
		return until_overdue(h);
	why = hopeless(h);
	if (why)
		return undertaker_begin(h, why) ? 0 : -1;
	if (h->link != LINK_UP)
		return until_overdue(h);
	if (recover_rings(h)) {
		ring_start(h);
		return 0;
	}
	if (!h->stuck)
		vhost_log(h, 0, "the back end was lost with several requests in flight, and it does not keep them in memory (no INFLIGHT_SHMFD): which of them are done cannot be known, so nothing is taken up");
	h->stuck = true;
	return until_overdue(h);
}
