// SPDX-License-Identifier: GPL-2.0-only
/*
 * vfiouser-vhost: a whole session, with a back end that says anything at any time, between answers
 * that are right, and a driver and a client that do what they like. Bytes of the input are taken
 * for what happens next.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../servers/vhost/vhost.h"
#include "../../servers/lib/vfus_priv.h"
#include "input.h"

#define IOVA	0x200000ull
#define SIZE	0x100000ull
#define BAR4	VFIO_PCI_BAR4_REGION_INDEX
#define STEPS	300

struct world {
	struct vhost h;
	struct input in;
	int back;		/* the back end's end, or -1 */
	int client;		/* the client's end */
	int pool;
	bool mapped;
};

static void drop_fds(struct msghdr *mh)
{
	struct cmsghdr *cm;

	for (cm = CMSG_FIRSTHDR(mh); cm; cm = CMSG_NXTHDR(mh, cm)) {
		size_t n = (cm->cmsg_len - CMSG_LEN(0)) / sizeof(int), i;
		int fd;

		for (i = 0; i < n; i++) {
			memcpy(&fd, CMSG_DATA(cm) + i * sizeof(fd), sizeof(fd));
			close(fd);
		}
	}
}

/* What the front end sends is thrown away. */
static void swallow(int fd)
{
	char bytes[4096] = { 0 }, control[CMSG_SPACE(sizeof(int) * 253)] = { 0 };

	for (;;) {
		struct iovec iov = { bytes, sizeof(bytes) };
		struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
				     .msg_controllen = sizeof(control) };

		if (fd < 0 || recvmsg(fd, &mh, MSG_DONTWAIT) <= 0)
			break;
		drop_fds(&mh);
	}
}

static void say(struct world *w, int fd, const void *buf, size_t len, unsigned int nfds)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int) * 20)];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec iov = { (void *)buf, len };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	unsigned int i;

	if (nfds) {
		struct cmsghdr *cm;
		int fds[20] = { 0 };

		for (i = 0; i < nfds; i++)
			fds[i] = w->pool;
		mh.msg_control = control.bytes;
		mh.msg_controllen = CMSG_SPACE(sizeof(int) * nfds);
		cm = CMSG_FIRSTHDR(&mh);
		cm->cmsg_level = SOL_SOCKET;
		cm->cmsg_type = SCM_RIGHTS;
		cm->cmsg_len = CMSG_LEN(sizeof(int) * nfds);
		memcpy(CMSG_DATA(cm), fds, sizeof(int) * nfds);
	}
	if (fd >= 0 && sendmsg(fd, &mh, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		return;
}

static void connect_back(struct world *w)
{
	int pair[2];

	if (w->h.link != LINK_DOWN || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair))
		return;
	if (w->back >= 0)
		close(w->back);
	w->back = pair[1];
	link_adopt(&w->h, pair[0]);
}

/* A right answer to what has been asked, as far as there is one. */
static void answer(struct world *w, bool right)
{
	const struct wire_call *c = w->h.wire.calls;
	struct {
		struct vu_hdr h;
		union {
			uint64_t value;
			struct vu_vring_state state;
			uint8_t bytes[VU_MAX_PAYLOAD];
		};
	} __attribute__((packed)) m = { 0 };
	unsigned int fds = 0, q;

	if (!c || c->answer == WIRE_NONE)
		return;
	m.h = (struct vu_hdr){ c->hdr.request, VU_VERSION | VU_F_REPLY, 8 };
	switch (c->answer == WIRE_ACK ? 0 : c->hdr.request) {
	case VU_GET_FEATURES:
		m.value = ~0ull;
		break;
	case VU_GET_PROTOCOL_FEATURES:
		m.value = ~0ull & ~(uint64_t)input_u8(&w->in);
		break;
	case VU_GET_QUEUE_NUM:
		m.value = 4;
		break;
	case VU_GET_CONFIG:
		m.h.size = c->hdr.size;
		memcpy(m.bytes, c->payload, c->hdr.size);
		if (c->hdr.size > VU_CONFIG_HEAD + 36)
			m.bytes[VU_CONFIG_HEAD + 34] = 2;
		m.bytes[VU_CONFIG_HEAD] = 1;
		break;
	case VU_GET_VRING_BASE:
		memcpy(&q, c->payload, sizeof(q));
		m.state.index = q;
		break;
	case VU_GET_INFLIGHT_FD:
		m.h.size = VU_INFLIGHT_LEN;
		memcpy(m.bytes, c->payload, VU_INFLIGHT_LEN);
		m.value = SIZE;
		fds = 1;
		break;
	}
	if (!right) {
		fds = input_u8(&w->in) % 20;
		if (input_u8(&w->in) & 1)
			m.h.size = input_u8(&w->in);
		input_bytes(&w->in, m.bytes, m.h.size < 64 ? m.h.size : 64);
	}
	say(w, w->back, &m, sizeof(m.h) + m.h.size, fds);
}

static void raw(struct world *w, int fd)
{
	uint8_t buf[64], len = input_u8(&w->in) % sizeof(buf);

	input_bytes(&w->in, buf, len);
	say(w, fd, buf, len, input_u8(&w->in) % 20);
}

static void backend_request(struct world *w)
{
	struct {
		struct vu_hdr h;
		uint8_t bytes[32];
	} m = { .h = { input_u8(&w->in) % 16, input_u8(&w->in), input_u8(&w->in) % 40 } };
	int fd;

	if (w->h.backreq < 0)
		return;
	/* Its peer is in the back end; what arrives at ours is what counts. */
	fd = w->h.backreq_in.have ? -1 : w->h.backreq;
	(void)fd;
	memcpy(w->h.backreq_in.buf, &m, sizeof(m));
	w->h.backreq_in.have = sizeof(m.h) + (m.h.size < 32 ? m.h.size : 32);
	backreq_event(&w->h);
}

/* From reset to DRIVER_OK, with rings in the pool. */
static void bring_up(struct world *w)
{
	struct virtio *v = &w->h.v;
	unsigned int q;
	uint16_t command = PCI_COMMAND_MASTER | PCI_COMMAND_MEMORY;
	uint64_t val;

#define PUT(field, value, size) do {						\
	val = (value);								\
	virtio_write(v, BAR4, &val, size, offsetof(struct virtio_pci_common_cfg, field)); \
} while (0)
	virtio_write(v, VFIO_PCI_CONFIG_REGION_INDEX, &command, 2, PCI_COMMAND);
	PUT(device_status, 3, 1);
	PUT(guest_feature_select, 0, 4);
	PUT(guest_feature, v->offered, 4);
	PUT(guest_feature_select, 1, 4);
	PUT(guest_feature, v->offered >> 32, 4);
	PUT(device_status, 11, 1);
	for (q = 0; q < v->nr_queues && q < 4; q++) {
		PUT(queue_select, q, 2);
		PUT(queue_size, 16, 2);
		PUT(queue_msix_vector, q, 2);
		PUT(queue_desc_lo, IOVA + q * 0x1000, 8);
		PUT(queue_avail_lo, IOVA + q * 0x1000 + 0x400, 8);
		PUT(queue_used_lo, IOVA + q * 0x1000 + 0x800, 8);
		PUT(queue_enable, 1, 2);
	}
	PUT(device_status, 15, 1);
}

static void driver(struct world *w, uint8_t what)
{
	struct virtio *v = &w->h.v;
	uint64_t val = input_u8(&w->in);
	uint16_t at = input_u16(&w->in);

	switch (what % 5) {
	case 0:
		bring_up(w);
		break;
	case 1:
		val = 0;
		virtio_write(v, BAR4, &val, 1,
			     offsetof(struct virtio_pci_common_cfg, device_status));
		break;
	case 2:
		virtio_write(v, BAR4, &val, 1u << (at & 3), at % (VIRTIO_BAR4_SIZE - 8));
		break;
	case 3:
		virtio_read(v, BAR4, &val, 1u << (at & 3), at % (VIRTIO_BAR4_SIZE - 8));
		break;
	case 4:
		/* indices and descriptors */
		if (w->mapped)
			memcpy((uint8_t *)mem_at(&w->h, IOVA, SIZE) + at % 0x4000, &val, 2);
		break;
	}
}

static void client(struct world *w, uint8_t what)
{
	struct vhost *h = &w->h;

	switch (what % 4) {
	case 0:
		if (!w->mapped)
			w->mapped = !h->dev.ops->dma_map(h, IOVA, SIZE, 3, w->pool, 0,
							NULL);
		break;
	case 1:
		if (w->mapped && !h->dev.ops->dma_unmap(h, IOVA, SIZE))
			w->mapped = h->nr_wins;
		break;
	case 2:
		h->dev.ops->reset(h);
		break;
	case 3:
		h->dev.ops->connected(h, false);
		break;
	}
}

static void step(struct world *w)
{
	struct vhost *h = &w->h;
	uint8_t what = input_u8(&w->in);

	switch (what & 7) {
	case 0:
	case 1:
		answer(w, true);
		break;
	case 2:
		answer(w, false);
		break;
	case 3:
		raw(w, w->back);
		break;
	case 4:
		backend_request(w);
		break;
	case 5:
		driver(w, what >> 3);
		break;
	case 6:
		client(w, what >> 3);
		break;
	case 7:
		if (what & 8 && w->back >= 0)
			shutdown(w->back, SHUT_RDWR);
		else
			connect_back(w);
		break;
	}
	h->dev.ops->poll(h);
	vhost_run_events(h, 0);
	h->dev.ops->poll(h);
	swallow(w->back);
	swallow(w->client);
	w->mapped = h->nr_wins;
	/* The back end has what it is told of, and nothing is running without a back end. */
	FUZZ_CHECK(h->rings != RINGS_RUNNING || h->link == LINK_UP);
	FUZZ_CHECK(!(h->v.offered & 1ull << VIRTIO_F_VERSION_1) ||
		   h->v.offered & 1ull << VIRTIO_F_ACCESS_PLATFORM);
}

static int build(struct world *w)
{
	struct vfus_config cfg;
	struct vhost *h = &w->h;
	int pair[2];

	if (type_build(h))
		return -1;
	h->v.ops = &vhost_virtio_ops;
	h->v.notify = VIRTIO_NOTIFY_IOEVENTFD;
	h->v.interrupts_elsewhere = true;
	h->dev = (struct vfus_device){ .ops = &vhost_vfus_ops, .priv = h, .fd = h->epfd,
				       .always = true };
	if (virtio_init(&h->v, h->type.id, h->type.class_code, 1u << VFIO_PCI_MSIX_IRQ_INDEX |
			1u << VFIO_PCI_INTX_IRQ_INDEX, &h->dev) || ring_init(h) ||
	    socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
		return -1;
	vfus_config_init(&cfg);
	cfg.fd = pair[0];
	w->client = pair[1];
	h->v.vfus = vfus_create(&cfg, &h->dev);
	if (!h->v.vfus)
		return -1;
	/* The library's own session has its own tests. */
	h->v.vfus->negotiated = true;
	h->client = true;
	h->built = true;
	virtio_device_reset(&h->v);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const types[] = { "blk", "fs", "net", "scsi" };
	static struct world world;
	struct world *w = &world;
	struct vhost *h = &w->h;
	unsigned int i;

	memset(w, 0, sizeof(*w));
	w->in = (struct input){ data, size };
	w->back = -1;
	w->client = -1;
	w->pool = memfd_create("pool", MFD_CLOEXEC);
	if (w->pool < 0 || ftruncate(w->pool, SIZE))
		return 0;
	h->opt.socket = "fuzz";
	h->opt.tag = "tag";
	h->opt.queue_size = 64;
	h->opt.timeout_ms = 1;
	h->opt.stop_timeout_ms = 1;
	h->opt.deadline_ms = input_u8(&w->in) & 1;
	h->opt.vfus.verbose = -1;
	h->epfd = epoll_create1(EPOLL_CLOEXEC);
	type_find(h, types[input_u8(&w->in) % 4]);
	link_init(h);
	inflight_init(h);
	h->opt.no_standby = true;
	standby_init(h);
	/* never one of its own */
	h->listen_fd = eventfd(0, EFD_CLOEXEC);
	connect_back(w);
	for (i = 0; i < STEPS && w->in.left && !h->built; i++) {
		if (input_u8(&w->in) & 7)
			answer(w, true);
		else
			answer(w, false);
		link_poll(h);
		vhost_run_events(h, 0);
		link_poll(h);
		swallow(w->back);
		if (h->link == LINK_UP && build(w))
			break;
	}
	for (i = 0; i < STEPS && w->in.left && h->built; i++)
		step(w);
	vfus_destroy(h->v.vfus);
	h->opt.socket = "/nonexistent/fuzz";
	link_free(h);
	inflight_drop(h);
	mem_clear(h);
	ring_free(h);
	virtio_free(&h->v);
	close(h->epfd);
	close(w->pool);
	if (w->back >= 0)
		close(w->back);
	if (w->client >= 0)
		close(w->client);
	return 0;
}
