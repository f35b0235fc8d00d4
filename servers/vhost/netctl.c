// SPDX-License-Identifier: GPL-2.0-only
/*
 * The control queue of a network device (virtio 1.2 section 5.1.6.5), which is served here: back
 * ends have no notion of it. It is there with several pairs of queues only, to say how many of
 * them are in use; receive modes and addresses are taken note of, as every frame that the back end
 * has for the device is the device's.
 */
#include <errno.h>
#include <linux/virtio_net.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "vhost.h"

static struct virtq_chain chain;	/* too large for the stack */

/**
 * netctl_build() - give the device a control queue
 * @h: device with several pairs of queues
 *
 * Return: 0.
 */
int netctl_build(struct vhost *h)
{
	const uint64_t ours = 1ull << VIRTIO_NET_F_CTRL_VQ | 1ull << VIRTIO_NET_F_MQ |
			      1ull << VIRTIO_NET_F_CTRL_RX;

	h->v.offered |= ours;
	h->ours |= ours;
	h->ctl = true;
	return 0;
}

/**
 * netctl_uses() - is a ring of the back end's in use?
 * @h: device
 * @q: queue
 *
 * Return: true if it is, as all are of a device without control queue.
 */
bool netctl_uses(const struct vhost *h, unsigned int q)
{
	return !h->ctl || q < 2 * h->pairs;
}

/* The driver may ask at any time, and waits for the answer without sleeping. */
static void tell_backend(struct vhost *h)
{
	unsigned int q;

	for (q = 0; h->rings == RINGS_RUNNING && q < h->nr_rings; q++)
		if (h->ring[q].started && h->ring[q].on != netctl_uses(h, q))
			ring_enable(h, q, netctl_uses(h, q));
}

static uint8_t command(struct vhost *h, const struct virtq_chain *c)
{
	uint8_t head[2];		/* class and command */
	uint16_t pairs;

	if (virtq_copy_out(&h->v, c, head, 0, sizeof(head)))
		return VIRTIO_NET_ERR;
	if (head[0] == VIRTIO_NET_CTRL_RX)
		return VIRTIO_NET_OK;
	if (head[0] != VIRTIO_NET_CTRL_MQ || head[1] != VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET ||
	    virtq_copy_out(&h->v, c, &pairs, sizeof(head), sizeof(pairs)) || !pairs ||
	    pairs > h->nr_rings / 2)
		return VIRTIO_NET_ERR;
	h->pairs = pairs;
	tell_backend(h);
	return VIRTIO_NET_OK;
}

/**
 * netctl_kick() - the driver has put something into the control queue
 * @h: device with one
 */
void netctl_kick(struct vhost *h)
{
	struct virtio *v = &h->v;
	unsigned int q = h->nr_rings;

	do {
		while (virtq_pop(v, q, &chain) > 0) {
			uint8_t ack = command(h, &chain);

			if (chain.in_len && virtq_copy_in(v, &chain, chain.in_len - 1, &ack, 1))
				return;
			virtq_push(v, q, chain.head, 1, 0);
			virtq_publish(v, q, 1);
		}
		virtq_want(v, q, true);
	} while (!virtq_empty(v, q));
	virtq_signal(v, q);
}

/**
 * netctl_started() - the rings run: see what the driver has asked for meanwhile
 * @h: device
 *
 * That may have been answered since they were given to the back end.
 */
void netctl_started(struct vhost *h)
{
	if (!h->ctl)
		return;
	netctl_kick(h);
	tell_backend(h);
}
