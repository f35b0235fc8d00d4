// SPDX-License-Identifier: GPL-2.0-only
/*
 * Rings: starting them when the driver is ready, stopping them before a reset, and the doorbells
 * and interrupts that the two sides share without us.
 *
 * ring_poll() compares what is wanted with what is and takes the next step; every step ends with
 * an answer of the back end, and none is waited for.
 *
 * The drain rule. GET_VRING_BASE stops a back end from taking more requests, but some answer it at
 * once and finish those that they took seconds later: into memory that the driver has given to
 * somebody else by then. The answer is how many were taken, the ring says how many are done; a
 * reset is not over before the two are the same. Where that does not come about in time the
 * connection is given up, and then the rings are idle when the process has ended, or answers on
 * another connection, which it does when it is done with what it had.
 */
#include <errno.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>
#include <linux/virtio_ring.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vhost.h"

#define DRAIN_LOOK_US	1000
#define START_FAILURES	3

#define STATUS_RUNNING	(VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | \
			 VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK)

/**
 * ring_init() - make what each ring has for the life of the process
 * @h: device with its PCI function built
 *
 * Return: 0 or a negative errno; ring_free() is due either way.
 */
int ring_init(struct vhost *h)
{
	unsigned int q;
	int ret = 0;

	h->ring = calloc(h->v.nr_queues, sizeof(*h->ring));
	if (!h->ring)
		return -ENOMEM;
	for (q = 0; q < h->v.nr_queues; q++) {
		struct vhost_ring *r = &h->ring[q];

		r->call_sent = -1;
		r->call = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		r->err = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (r->call < 0 || r->err < 0)
			return -errno;
		if (!ret)
			ret = vhost_watch(h, r->call, EPOLLIN, SRC_CALL, q);
		if (!ret)
			ret = vhost_watch(h, r->err, EPOLLIN, SRC_ERR, q);
	}
	return ret;
}

/**
 * ring_free() - undo ring_init()
 * @h: device
 */
void ring_free(struct vhost *h)
{
	unsigned int q;

	for (q = 0; h->ring && q < h->v.nr_queues; q++) {
		if (h->ring[q].call > 0)
			close(h->ring[q].call);
		if (h->ring[q].err > 0)
			close(h->ring[q].err);
	}
	free(h->ring);
	h->ring = NULL;
}

/**
 * ring_index() - how far one side is with a ring
 * @h: device
 * @q: queue
 * @used: the back end's side, else the driver's
 * @idx: filled in
 *
 * Return: false where the ring is not in the client's memory.
 */
bool ring_index(const struct vhost *h, unsigned int q, bool used, uint16_t *idx)
{
	const struct virtq *vq = &h->v.vq[q];
	/* flags are in front of the index in both */
	const uint16_t *at = mem_at(h, (used ? vq->used : vq->avail) + 2, sizeof(*at));

	if (!at)
		return false;
	*idx = __atomic_load_n(at, __ATOMIC_ACQUIRE);
	return true;
}

static bool in_memory(const struct vhost *h)
{
	unsigned int q, any = 0;

	for (q = 0; q < h->v.nr_queues; q++) {
		const struct virtq *vq = &h->v.vq[q];

		if (!vq->enabled)
			continue;
		any++;
		if (!mem_at(h, vq->desc, 16ull * vq->size) ||
		    !mem_at(h, vq->avail, 6 + 2ull * vq->size) ||
		    !mem_at(h, vq->used, 6 + 8ull * vq->size))
			return false;
	}
	return any;
}

static bool home_of(const struct vhost *h, unsigned int q, struct vhost_home home[RING_PARTS])
{
	const struct virtq *vq = &h->v.vq[q];

	memset(home, 0, RING_PARTS * sizeof(*home));
	return mem_home(h, vq->desc, &home[0]) && mem_home(h, vq->avail, &home[1]) &&
	       mem_home(h, vq->used, &home[2]);
}

/*
 * Virtual machines take memory away and give it back, in other pieces, while their firmware maps
 * itself in and out: rings that come back with it go on where they were.
 */
static bool same_memory(const struct vhost *h)
{
	struct vhost_home home[RING_PARTS];
	unsigned int q;

	for (q = 0; q < h->nr_rings; q++)
		if (h->v.vq[q].enabled &&
		    (!home_of(h, q, home) || memcmp(home, h->ring[q].home, sizeof(home))))
			return false;
	return true;
}

/**
 * ring_check() - memory has come, maybe in place of what was taken away
 * @h: device
 *
 * Rings that were in that are not in other memory.
 */
void ring_check(struct vhost *h)
{
	if (h->rings == RINGS_IDLE && h->resumed && virtio_live(&h->v) && !h->v.resetting &&
	    in_memory(h) && !same_memory(h))
		virtio_broken(&h->v, "the memory of its rings was taken away");
}

/* Does the driver want the rings to run, and can they? */
static bool wanted(const struct vhost *h)
{
	const struct virtio *v = &h->v;

	return virtio_live(v) && !v->resetting && !h->leaving && !h->unmapping && !h->buried &&
	       !h->condemned && !h->handover.step && in_memory(h);
}

/**
 * ring_set() - send a message that only tells the back end something
 * @h: device
 * @request: VU_*
 * @payload: of the message
 * @len: bytes
 * @fds: descriptors, which stay the caller's
 * @nfds: how many
 *
 * That it is refused is only seen where the back end has REPLY_ACK.
 */
void ring_set(struct vhost *h, enum vu_request request, const void *payload, size_t len,
	      const int *fds, unsigned int nfds)
{
	wire_call(&h->wire, request, vhost_has(h, VU_PF_REPLY_ACK) ? WIRE_ACK : WIRE_NONE, payload,
		  len, fds, nfds, NULL, 0);
}

static void set_state(struct vhost *h, enum vu_request request, unsigned int q, uint32_t num)
{
	const struct vu_vring_state s = { q, num };

	ring_set(h, request, &s, sizeof(s), NULL, 0);
}

static void set_fd(struct vhost *h, enum vu_request request, unsigned int q, int fd)
{
	const uint64_t index = q;

	ring_set(h, request, &index, sizeof(index), &fd, 1);
}

/* When it is answered everything before it has been handled. */
static void barrier(struct vhost *h, wire_done done, unsigned int arg)
{
	wire_call(&h->wire, VU_GET_FEATURES, WIRE_REPLY, NULL, 0, NULL, 0, done, arg);
}

/* ---- doorbells and interrupts ---- */

static void signal_fd(int fd)
{
	const uint64_t one = 1;

	/* a full counter is signalled already */
	if (write(fd, &one, sizeof(one)) < 0)
		return;
}

static void clear_fd(int fd)
{
	uint64_t n;

	if (read(fd, &n, sizeof(n)) < 0)
		return;
}

/**
 * ring_kick() - ring a queue's doorbell for the driver
 * @h: device
 * @q: queue
 */
void ring_kick(struct vhost *h, unsigned int q)
{
	signal_fd(h->v.events[q]);
}

/* What the back end is to signal: the client's eventfd where it has given one for the vector. */
static int call_fd(const struct vhost *h, unsigned int q)
{
	int fd = -1;

	if (virtio_msix(&h->v))
		fd = vfus_irq_fd(h->v.vfus, VFIO_PCI_MSIX_IRQ_INDEX, h->v.vq[q].vector);
	return fd >= 0 ? fd : h->ring[q].call;
}

/* The old eventfd may have been signalled when nobody listened any more: say it once on the new. */
static void call_taken(void *ctx, int err, struct wire_reply *reply, unsigned int q)
{
	struct vhost *h = ctx;

	(void)reply;
	if (err)
		link_lost(h, "the back end refused SET_VRING_CALL");
	else
		virtio_interrupt_queue(&h->v, q);
}

static void change_call(struct vhost *h, unsigned int q, int fd)
{
	const uint64_t index = q;

	h->ring[q].call_sent = fd;
	if (vhost_has(h, VU_PF_REPLY_ACK)) {
		wire_call(&h->wire, VU_SET_VRING_CALL, WIRE_ACK, &index, sizeof(index), &fd, 1,
			  call_taken, q);
		return;
	}
	set_fd(h, VU_SET_VRING_CALL, q, fd);
	barrier(h, call_taken, q);
}

/**
 * ring_calls() - have the back end signal what the driver and the client want to be signalled
 * @h: device
 */
void ring_calls(struct vhost *h)
{
	unsigned int q;

	for (q = 0; h->rings == RINGS_RUNNING && q < h->nr_rings; q++) {
		int fd = call_fd(h, q);

		if (h->ring[q].started && h->ring[q].call_sent != fd)
			change_call(h, q, fd);
	}
}

/**
 * ring_forget_calls() - eventfds of the client are about to be closed or replaced
 * @h: device
 * @start: first vector
 * @count: vectors
 *
 * The number of a new descriptor can be that of an old one.
 */
void ring_forget_calls(struct vhost *h, unsigned int start, unsigned int count)
{
	unsigned int q;

	for (q = 0; q < h->nr_rings; q++) {
		unsigned int vector = h->v.vq[q].vector;

		if (vector >= start && vector - start < count &&
		    h->ring[q].call_sent != h->ring[q].call)
			h->ring[q].call_sent = -1;
	}
}

/**
 * ring_call_event() - the back end signalled an eventfd of ours
 * @h: device
 * @q: queue
 *
 * Without MSI-X, or before the client has given an eventfd.
 */
void ring_call_event(struct vhost *h, unsigned int q)
{
	clear_fd(h->ring[q].call);
	virtio_interrupt_queue(&h->v, q);
}

/**
 * ring_err_event() - the back end says that it cannot go on with a ring
 * @h: device
 * @q: queue
 */
void ring_err_event(struct vhost *h, unsigned int q)
{
	clear_fd(h->ring[q].err);
	if (h->rings != RINGS_RUNNING || h->condemned)
		return;
	vhost_log(h, 0, "the back end reports an error of queue %u: its requests end with errors",
		  q);
	h->condemned = "the back end found a ring broken";
}

/* What was put into it while it was off has not been looked at. */
static void enabled(void *ctx, int err, struct wire_reply *reply, unsigned int q)
{
	struct vhost *h = ctx;

	(void)reply;
	if (err)
		link_lost(h, "the back end refused SET_VRING_ENABLE");
	else
		ring_kick(h, q);
}

/**
 * ring_enable() - turn a ring on or off
 * @h: device
 * @q: queue
 * @on: or off
 */
void ring_enable(struct vhost *h, unsigned int q, bool on)
{
	const struct vu_vring_state s = { q, on };

	h->ring[q].on = on;
	if (h->features >> VU_F_PROTOCOL_FEATURES & 1)
		wire_call(&h->wire, VU_SET_VRING_ENABLE,
			  vhost_has(h, VU_PF_REPLY_ACK) ? WIRE_ACK : WIRE_NONE, &s, sizeof(s), NULL,
			  0, on ? enabled : NULL, q);
}

/**
 * ring_hush() - no interrupts for what is still done, or interrupts again
 * @h: device
 * @q: queue
 * @on: none
 *
 * libvhost-user closes its eventfd with GET_VRING_BASE, fails to write to it afterwards, and then
 * drops all that it had begun. A driver that resets wants none and writes these words anew; one
 * that knows of nothing gets them back when its rings go on.
 */
void ring_hush(struct vhost *h, unsigned int q, bool on)
{
	const struct virtq *vq = &h->v.vq[q];
	uint16_t *flags = mem_at(h, vq->avail, sizeof(*flags));
	uint16_t *event = mem_at(h, vq->avail + 4 + 2ull * vq->size, sizeof(*event)), used;

	if (!flags || !event || !ring_index(h, q, true, &used))
		return;
	if (virtio_has(&h->v, VIRTIO_RING_F_EVENT_IDX))
		__atomic_store_n(event, (uint16_t)(on ? used + 0x8000 : used), __ATOMIC_SEQ_CST);
	else
		__atomic_store_n(flags, on ? VRING_AVAIL_F_NO_INTERRUPT : 0, __ATOMIC_SEQ_CST);
}

/* ---- starting ---- */

static void started(void *ctx, int err, struct wire_reply *reply, unsigned int arg)
{
	struct vhost *h = ctx;
	unsigned int q;

	(void)err;
	(void)reply;
	(void)arg;
	h->rings = RINGS_RUNNING;
	h->failures = 0;
	for (q = 0; q < h->nr_rings; q++) {
		if (!h->ring[q].started)
			continue;
		if (h->keep)
			ring_hush(h, q, false);
		/* Back ends take up a ring when it is kicked, whatever is in it already. */
		ring_kick(h, q);
		/* One that died may have used a buffer and not said so. */
		if (h->resumed)
			virtio_interrupt_queue(&h->v, q);
	}
	vhost_log(h, 1, "rings %s", h->resumed ? "taken up again" : "started");
	h->resumed = true;
	h->keep = false;
	ring_calls(h);
	netctl_started(h);
}

/* After GET_INFLIGHT_FD, whose answer depends on the features. */
static void start_rings(struct vhost *h)
{
	struct virtio *v = &h->v;
	unsigned int q;

	for (q = 0; q < h->nr_rings; q++) {
		struct vhost_ring *r = &h->ring[q];

		r->started = v->vq[q].enabled;
		r->on = false;
		r->exposed = false;
		if (!r->started)
			continue;
		home_of(h, q, r->home);
		set_state(h, VU_SET_VRING_NUM, q, v->vq[q].size);
		set_state(h, VU_SET_VRING_BASE, q, r->base);
	}
	/* Where the rings are known by then, and before the first kick. */
	inflight_give(h);
	for (q = 0; q < h->nr_rings; q++) {
		struct vhost_ring *r = &h->ring[q];
		const struct vu_vring_addr addr = {
			.index = q, .desc = v->vq[q].desc, .used = v->vq[q].used,
			.avail = v->vq[q].avail,
		};

		if (!r->started)
			continue;
		ring_set(h, VU_SET_VRING_ADDR, &addr, sizeof(addr), NULL, 0);
		r->call_sent = call_fd(h, q);
		set_fd(h, VU_SET_VRING_CALL, q, r->call_sent);
		set_fd(h, VU_SET_VRING_ERR, q, r->err);
		set_fd(h, VU_SET_VRING_KICK, q, v->events[q]);
		r->exposed = true;
		if (netctl_uses(h, q))
			ring_enable(h, q, true);
	}
	if (vhost_has(h, VU_PF_STATUS)) {
		const uint64_t status = STATUS_RUNNING;

		ring_set(h, VU_SET_STATUS, &status, sizeof(status), NULL, 0);
	}
	barrier(h, started, 0);
}

static void inflight_came(void *ctx, int err, struct wire_reply *reply, unsigned int arg)
{
	struct vhost *h = ctx;

	(void)arg;
	if (err || inflight_take(h, reply))
		link_lost(h, "the back end's memory for requests in flight cannot be used");
	else
		start_rings(h);
}

/**
 * ring_start() - give the rings to the back end
 * @h: device; link up, rings idle or lost
 */
void ring_start(struct vhost *h)
{
	uint64_t features = h->v.features & h->features & ~h->ours;
	unsigned int q;

	h->rings = RINGS_STARTING;
	for (q = 0; q < h->nr_rings; q++)
		h->ring[q].exposed = false;
	/* Without it all rings would be on at once. */
	features |= h->features & 1ull << VU_F_PROTOCOL_FEATURES;
	ring_set(h, VU_SET_FEATURES, &features, sizeof(features), NULL, 0);
	mem_send(h);
	if (vhost_has(h, VU_PF_INFLIGHT_SHMFD) && h->inflight.fd < 0)
		inflight_ask(h, inflight_came);
	else
		start_rings(h);
}

/* ---- stopping ---- */

/**
 * ring_idle() - the back end does not touch rings or memory: go on with what waited for it
 * @h: device
 */
void ring_idle(struct vhost *h)
{
	unsigned int q;

	h->rings = RINGS_IDLE;
	h->stuck = false;
	for (q = 0; q < h->nr_rings; q++) {
		h->ring[q].started = false;
		h->ring[q].call_sent = -1;
	}
	if (h->v.resetting)
		virtio_stopped(&h->v);
	if (h->unmapping) {
		h->unmapping = false;
		vfus_resume(h->v.vfus);
	}
	if (h->leaving) {
		h->leaving = false;
		mem_clear(h);
		virtio_device_reset(&h->v);
	}
}

static void ended(void *ctx, int err, struct wire_reply *reply, unsigned int arg)
{
	(void)err;
	(void)reply;
	(void)arg;
	ring_idle(ctx);
}

/* All is done: tell a back end that wants to know of the reset that caused it. */
static void drained(struct vhost *h)
{
	const uint64_t status = 0;

	h->keep = !h->v.resetting && !h->leaving;
	if (h->keep || !(vhost_has(h, VU_PF_RESET_DEVICE) || vhost_has(h, VU_PF_STATUS))) {
		ring_idle(h);
		return;
	}
	h->rings = RINGS_ENDING;
	if (vhost_has(h, VU_PF_RESET_DEVICE))
		ring_set(h, VU_RESET_DEVICE, NULL, 0, NULL, 0);
	if (vhost_has(h, VU_PF_STATUS))
		ring_set(h, VU_SET_STATUS, &status, sizeof(status), NULL, 0);
	barrier(h, ended, 0);
}

/* Returns whether the back end has finished all that it took. */
static bool is_drained(const struct vhost *h)
{
	unsigned int q;

	for (q = 0; q < h->nr_rings; q++) {
		uint16_t used;

		if (h->ring[q].started && ring_index(h, q, true, &used) &&
		    used != h->ring[q].base)
			return false;
	}
	return true;
}

static void base_came(void *ctx, int err, struct wire_reply *reply, unsigned int q)
{
	struct vhost *h = ctx;
	struct vu_vring_state s;

	(void)err;
	if (reply->len != sizeof(s)) {
		link_lost(h, "the back end's answer to GET_VRING_BASE has a wrong size");
		return;
	}
	memcpy(&s, reply->payload, sizeof(s));
	if (s.index != q || s.num > UINT16_MAX) {
		link_lost(h, "the back end's answer to GET_VRING_BASE makes no sense");
		return;
	}
	h->ring[q].base = (uint16_t)s.num;
	if (--h->answers_due)
		return;
	h->rings = RINGS_DRAINING;
	if (is_drained(h) || h->opt.no_drain)
		drained(h);
}

static void stop(struct vhost *h)
{
	unsigned int q;

	h->rings = RINGS_STOPPING;
	h->answers_due = 0;
	/* They are hushed until they go on; a reset forgets that. */
	h->keep = true;
	h->stop_deadline = wire_now_us() + h->opt.stop_timeout_ms * 1000ull;
	for (q = 0; q < h->nr_rings; q++)
		h->answers_due += h->ring[q].started;
	for (q = 0; q < h->nr_rings; q++)
		if (h->ring[q].started)
			ring_hush(h, q, true);
	for (q = 0; q < h->nr_rings; q++)
		if (h->ring[q].started)
			ring_enable(h, q, false);
	for (q = 0; q < h->nr_rings; q++) {
		const struct vu_vring_state s = { q, 0 };

		if (h->ring[q].started)
			wire_call(&h->wire, VU_GET_VRING_BASE, WIRE_REPLY, &s, sizeof(s), NULL, 0,
				  base_came, q);
	}
	if (!h->answers_due)
		drained(h);
}

/**
 * ring_stop() - before a reset
 * @h: device; what it waits for is set already
 *
 * Return: true where the rings are idle; otherwise ring_idle() comes to it.
 */
bool ring_stop(struct vhost *h)
{
	if (h->rings == RINGS_BURIED)
		undertaker_end(h);
	return h->rings == RINGS_IDLE;
}

/**
 * ring_reset() - the driver starts from the beginning
 * @h: device with idle rings
 */
void ring_reset(struct vhost *h)
{
	unsigned int q;

	for (q = 0; h->ring && q < h->v.nr_queues; q++) {
		h->ring[q].base = 0;
		clear_fd(h->v.events[q]);
		clear_fd(h->ring[q].call);
		clear_fd(h->ring[q].err);
	}
	inflight_drop(h);
	handover_drop(h);
	h->failures = 0;
	h->buried = false;
	h->condemned = NULL;
	h->resumed = false;
	h->keep = false;
	h->pairs = 1;
}

/**
 * ring_lost() - the connection has gone
 * @h: device
 */
void ring_lost(struct vhost *h)
{
	unsigned int q;

	if (h->rings == RINGS_IDLE || h->rings == RINGS_BURIED)
		return;
	/* A back end that goes each time it is given the rings will do so again. */
	if (h->rings == RINGS_STARTING && ++h->failures >= START_FAILURES)
		h->condemned = "the back end does not take the rings";
	if (h->rings != RINGS_LOST) {
		for (q = 0; q < h->nr_rings; q++) {
			struct vhost_ring *r = &h->ring[q];

			/* The doorbell is what a back end cannot take requests without. */
			if (wire_unsent(&h->wire, VU_SET_VRING_KICK, q))
				r->exposed = false;
			if (!r->exposed || !ring_index(h, q, false, &r->lost_avail))
				r->lost_avail = r->base;
		}
		h->lost_at = wire_now_us();
	}
	if (h->rings != RINGS_LOST) {
		h->quiet = h->peer_dead;
		if (!h->quiet)
			link_keep_peer(h);
	}
	h->rings = RINGS_LOST;
}

/* Nothing of a back end that is gone for good can touch the memory any more. */
static void lost_and_over(struct vhost *h)
{
	h->keep = !h->v.resetting && !h->leaving;
	if (h->keep && !recover_rings(h))
		virtio_broken(&h->v, "a back end was lost with requests that nobody knows of");
	ring_idle(h);
}

static long idle_poll(struct vhost *h)
{
	if (h->condemned && virtio_live(&h->v) && !h->v.resetting && !h->leaving && in_memory(h))
		undertaker_begin(h, h->condemned);
	else if (h->handover.step)
		return handover_poll(h);
	else if (h->link == LINK_UP && wanted(h))
		ring_start(h);
	return -1;
}

static long stopping_poll(struct vhost *h)
{
	uint64_t now = wire_now_us();

	if (h->rings == RINGS_DRAINING && is_drained(h)) {
		drained(h);
		return -1;
	}
	if (now >= h->stop_deadline) {
		link_lost(h, h->rings == RINGS_DRAINING ?
			  "the back end does not finish its requests: connecting to it again" :
			  "the back end does not stop: connecting to it again");
		return 0;
	}
	return h->rings == RINGS_DRAINING ? DRAIN_LOOK_US : (long)(h->stop_deadline - now);
}

/**
 * ring_poll() - take the next step, if there is one to take
 * @h: device
 *
 * Return: microseconds after which to call it again, or -1.
 */
long ring_poll(struct vhost *h)
{
	switch (h->rings) {
	case RINGS_IDLE:
		return idle_poll(h);
	case RINGS_RUNNING:
		if (!wanted(h))
			stop(h);
		else if (h->mem_changed)
			mem_send(h);
		return h->rings == RINGS_RUNNING ? -1 : 0;
	case RINGS_STOPPING:
	case RINGS_DRAINING:
	case RINGS_ENDING:
		return stopping_poll(h);
	case RINGS_LOST:
		if (wanted(h))
			return recover_poll(h);
		if (h->quiet)
			lost_and_over(h);
		return -1;
	case RINGS_BURIED:
		return undertaker_poll(h);
	case RINGS_STARTING:
		break;
	}
	return -1;
}
