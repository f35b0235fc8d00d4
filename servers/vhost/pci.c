// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the driver does with the virtio device and the vfio-user client with the PCI function, and
 * what follows from it for the rings. Registers are all virtio_pci.c's and answered at once.
 */
#include <errno.h>
#include <linux/vfio.h>
#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "vhost.h"

/* ---- the driver ---- */

static void on_reset(struct virtio *v)
{
	ring_reset((struct vhost *)v);
}

static bool on_stop(struct virtio *v)
{
	return ring_stop((struct vhost *)v);
}

static void on_vectors(struct virtio *v)
{
	ring_calls((struct vhost *)v);
}

/* A client that does not take descriptors, or a queue beyond those that fit into a message. */
static void on_notify(struct virtio *v, unsigned int q)
{
	struct vhost *h = (struct vhost *)v;

	ring_kick(h, q);
}

const struct virtio_ops vhost_virtio_ops = {
	.reset = on_reset,
	.stop = on_stop,
	.config_write = config_write,
	.vectors = on_vectors,
	.notify = on_notify,
};

/* ---- the client ---- */

static int on_dma_map(void *priv, uint64_t addr, uint64_t size, uint32_t flags, int fd,
		      uint64_t offset, void *va)
{
	int ret = mem_map(priv, addr, size, flags, fd, offset);

	(void)va;
	if (!ret)
		ring_check(priv);
	return ret;
}

static int on_dma_unmap(void *priv, uint64_t addr, uint64_t size)
{
	struct vhost *h = priv;

	if (h->rings == RINGS_BURIED)
		return 0;
	if (h->rings != RINGS_IDLE) {
		h->unmapping = true;
		return -EINPROGRESS;
	}
	mem_unmap(h, addr, size);
	return 0;
}

static void on_irqs_changed(void *priv, unsigned int index, unsigned int start,
			    unsigned int count)
{
	struct vhost *h = priv;

	if (index != VFIO_PCI_MSIX_IRQ_INDEX)
		return;
	ring_forget_calls(h, start, count);
	ring_calls(h);
}

/* Its memory is used until the rings are idle, and the next one waits as long. */
static void on_connected(void *priv, bool connected)
{
	struct vhost *h = priv;

	h->client = connected;
	if (connected)
		return;
	h->unmapping = false;
	h->leaving = true;
	if (ring_stop(h))
		ring_idle(h);
}

/*
 * Of a device in use all is here but the client's eventfds, which the back end has. A driver that is
 * just resetting it, or a client that takes memory back, would have to know how far that came.
 */
static bool on_keep(void *priv)
{
	const struct vhost *h = priv;

	return virtio_live(&h->v) && !h->v.resetting && !h->unmapping && !h->condemned &&
	       !h->buried && h->rings != RINGS_BURIED;
}

static bool on_accepting(void *priv)
{
	const struct vhost *h = priv;

	return h->link == LINK_UP && h->rings == RINGS_IDLE && !h->leaving;
}

static long on_poll(void *priv)
{
	struct vhost *h = priv;
	long us = ring_poll(h);

	us = vhost_earlier(us, standby_poll(h));
	us = vhost_earlier(us, link_poll(h));
	/* What came in may be what the rings were waiting for. */
	us = vhost_earlier(us, ring_poll(h));
	wire_run(&h->wire);
	link_watch(h);
	if (h->opt.until_gone && h->link == LINK_DOWN && h->rings == RINGS_IDLE && !h->client &&
	    !h->leaving)
		kill(getpid(), SIGTERM);
	return us;
}

static void on_reload(void *priv)
{
	handover_begin(priv);
}

static void on_fd_ready(void *priv)
{
	vhost_run_events(priv, 0);
}

const struct vfus_ops vhost_vfus_ops = {
	.region_read = virtio_read,
	.region_write = virtio_write,
	.reset = virtio_device_reset,
	.dma_map = on_dma_map,
	.dma_unmap = on_dma_unmap,
	.irqs_changed = on_irqs_changed,
	.irq_sync = virtio_irq_sync,
	.connected = on_connected,
	.keep = on_keep,
	.accepting = on_accepting,
	.poll = on_poll,
	.fd_ready = on_fd_ready,
	.reload = on_reload,
	.asleep = standby_asleep,
	.awake = standby_awake,
	.touched = standby_drop,
};
