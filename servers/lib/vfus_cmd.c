// SPDX-License-Identifier: GPL-2.0-only
/*
 * One command in, one reply out: checks a message's header and payload, has the device do what it
 * asks, and sends the answer. Handlers return 0 with the reply's payload in s->out, or a negative
 * errno, which becomes an error reply of the header alone.
 */
#include <errno.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <string.h>
#include <unistd.h>

#include "vfus_priv.h"

static int get_info(struct vfus *s, struct vfus_msg *m)
{
	struct vfio_user_device_info info;

	if (m->len != sizeof(info))
		return -EINVAL;
	memcpy(&info, m->payload, sizeof(info));
	if (info.argsz < sizeof(info) || info.flags || info.num_regions || info.num_irqs)
		return -EINVAL;
	info.argsz = sizeof(info);
	info.flags = VFIO_DEVICE_FLAGS_PCI | (s->dev.ops->reset ? VFIO_DEVICE_FLAGS_RESET : 0);
	info.num_regions = s->dev.nr_regions;
	info.num_irqs = s->dev.nr_irqs;
	memcpy(s->out, &info, sizeof(info));
	s->out_len = sizeof(info);
	return 0;
}

static int get_region_info(struct vfus *s, struct vfus_msg *m)
{
	struct vfio_region_info_cap_sparse_mmap cap = { 0 };
	const struct vfus_region *r;
	struct vfio_region_info info;
	size_t caps = 0;
	uint32_t room;

	if (m->len != sizeof(info))
		return -EINVAL;
	memcpy(&info, m->payload, sizeof(info));
	if (info.argsz < sizeof(info) || info.flags || info.cap_offset || info.size ||
	    info.offset || info.index >= s->dev.nr_regions)
		return -EINVAL;
	r = &s->dev.regions[info.index];
	room = info.argsz;
	info.flags = r->flags;
	info.size = r->size;
	/* A client that takes no descriptors cannot map, so it is not told of mapping. */
	if (r->size && (r->map_all || r->nr_areas) && s->client_max_fds) {
		info.flags |= VFIO_REGION_INFO_FLAG_MMAP;
		info.offset = r->fd_offset;
		s->out_fds[s->out_nfds++] = r->fd;
		if (!r->map_all) {
			info.flags |= VFIO_REGION_INFO_FLAG_CAPS;
			caps = sizeof(cap) + r->nr_areas * sizeof(struct vfus_area);
		}
	}
	info.argsz = sizeof(info) + caps;
	s->out_len = sizeof(info);
	if (caps && room >= info.argsz) {
		info.cap_offset = sizeof(info);
		cap.header.id = VFIO_REGION_INFO_CAP_SPARSE_MMAP;
		cap.header.version = 1;
		cap.nr_areas = r->nr_areas;
		memcpy(s->out + sizeof(info), &cap, sizeof(cap));
		memcpy(s->out + sizeof(info) + sizeof(cap), r->areas,
		       r->nr_areas * sizeof(struct vfus_area));
		s->out_len += caps;
	}
	memcpy(s->out, &info, sizeof(info));
	return 0;
}

/* Place of a descriptor among those that go with the reply; each is sent once. */
static int fd_index(struct vfus *s, int fd)
{
	unsigned int i;

	for (i = 0; i < s->out_nfds; i++)
		if (s->out_fds[i] == fd)
			return (int)i;
	if (s->out_nfds == ARRAY_SIZE(s->out_fds) || s->out_nfds >= s->client_max_fds)
		return -ENOSPC;
	s->out_fds[s->out_nfds] = fd;
	return (int)s->out_nfds++;
}

/* How many entries' descriptors go with one reply; the writes of the others go by message. */
static unsigned int collect_io_fds(struct vfus *s, const struct vfus_region *r)
{
	unsigned int i, before;

	for (i = 0; i < r->nr_io_fds; i++) {
		const struct vfus_io_fd *f = &r->io_fds[i];

		before = s->out_nfds;
		if (fd_index(s, f->fd) >= 0 &&
		    (f->type != VFIO_USER_IO_FD_SHADOW || fd_index(s, f->shadow_fd) >= 0))
			continue;
		s->out_nfds = before;
		break;
	}
	return i;
}

static int get_region_io_fds(struct vfus *s, struct vfus_msg *m)
{
	struct vfio_user_region_io_fds req;
	size_t stride = sizeof(struct vfio_user_io_fd);
	const struct vfus_region *r;
	unsigned int i, n;
	uint32_t room;

	if (m->len != sizeof(req))
		return -EINVAL;
	memcpy(&req, m->payload, sizeof(req));
	if (req.argsz < sizeof(req) || req.flags || req.count || req.index >= s->dev.nr_regions)
		return -EINVAL;
	r = &s->dev.regions[req.index];
	if (!r->nr_io_fds)
		return -ENOTSUP;
	for (i = 0; i < r->nr_io_fds; i++)
		if (r->io_fds[i].type == VFIO_USER_IO_FD_SHADOW)
			stride = sizeof(struct vfio_user_io_fd_shadow);
	n = collect_io_fds(s, r);
	if (!n)
		return -ENOSPC;
	room = req.argsz;
	req.argsz = sizeof(req) + n * stride;
	req.count = n;
	memcpy(s->out, &req, sizeof(req));
	s->out_len = sizeof(req);
	if (room < req.argsz) {
		s->out_nfds = 0;
		return 0;
	}
	for (i = 0; i < n; i++) {
		const struct vfus_io_fd *f = &r->io_fds[i];
		struct vfio_user_io_fd_shadow e = {
			.offset = f->offset, .size = f->size, .type = f->type, .flags = f->flags,
		};

		e.fd_index = fd_index(s, f->fd);
		if (f->type == VFIO_USER_IO_FD_SHADOW) {
			e.shadow_fd_index = fd_index(s, f->shadow_fd);
			e.shadow_offset = f->shadow_offset;
			e.datamatch = f->datamatch;
		} else if (f->type == VFIO_USER_IO_FD_IOEVENTFD && stride == sizeof(e)) {
			/* as libvfio-user sends an ioeventfd that is not shadowed */
			e.datamatch = f->datamatch;
		} else {
			/* the specification's layout has the match value in this place */
			e.shadow_offset = f->datamatch;
		}
		memcpy(s->out + s->out_len, &e, stride);
		s->out_len += stride;
	}
	return 0;
}

static int get_irq_info(struct vfus *s, struct vfus_msg *m)
{
	struct vfio_irq_info info;

	if (m->len != sizeof(info))
		return -EINVAL;
	memcpy(&info, m->payload, sizeof(info));
	if (info.argsz < sizeof(info) || info.flags || info.count ||
	    info.index >= s->dev.nr_irqs)
		return -EINVAL;
	info.argsz = sizeof(info);
	info.flags = s->dev.irqs[info.index].count ? s->dev.irqs[info.index].flags : 0;
	info.count = s->dev.irqs[info.index].count;
	memcpy(s->out, &info, sizeof(info));
	s->out_len = sizeof(info);
	return 0;
}

static int check_access(const struct vfus *s, uint32_t region, uint64_t offset, uint32_t count,
			uint32_t need)
{
	const struct vfus_region *r;

	if (region >= s->dev.nr_regions || !count || count > s->cfg.max_xfer)
		return -EINVAL;
	r = &s->dev.regions[region];
	if (offset > r->size || count > r->size - offset)
		return -EINVAL;
	if (r->flags & need)
		return 0;
	vfus_log(s, 1, "region %u accessed for what it is not for", region);
	return -EPERM;
}

static int do_write(struct vfus *s, uint32_t region, uint64_t offset, uint32_t count,
		    const uint8_t *data)
{
	int ret = check_access(s, region, offset, count, VFIO_REGION_INFO_FLAG_WRITE);

	if (!ret)
		ret = s->dev.ops->region_write ?
			      s->dev.ops->region_write(s->dev.priv, region, data, count, offset) :
			      -EPERM;
	return ret;
}

static int region_read(struct vfus *s, struct vfus_msg *m)
{
	struct vfio_user_region_access a;
	int ret;

	if (m->len != sizeof(a))
		return -EINVAL;
	memcpy(&a, m->payload, sizeof(a));
	ret = check_access(s, a.region, a.offset, a.count, VFIO_REGION_INFO_FLAG_READ);
	if (!ret)
		ret = s->dev.ops->region_read ?
			      s->dev.ops->region_read(s->dev.priv, a.region, s->out + sizeof(a),
						      a.count, a.offset) : -EPERM;
	memcpy(s->out, &a, sizeof(a));
	s->out_len = sizeof(a) + a.count;
	return ret;
}

static int region_write(struct vfus *s, struct vfus_msg *m)
{
	struct vfio_user_region_access a;

	if (m->len < sizeof(a))
		return -EINVAL;
	memcpy(&a, m->payload, sizeof(a));
	if (m->len - sizeof(a) != a.count)
		return -EINVAL;
	memcpy(s->out, &a, sizeof(a));
	s->out_len = sizeof(a);
	return do_write(s, a.region, a.offset, a.count, m->payload + sizeof(a));
}

static int write_multi(struct vfus *s, struct vfus_msg *m)
{
	struct vfio_user_write_one w;
	uint64_t count, i;
	int ret = 0;

	if (!s->write_multiple)
		return -ENOTSUP;
	if (m->len < sizeof(count))
		return -EINVAL;
	memcpy(&count, m->payload, sizeof(count));
	if (count != (m->len - sizeof(count)) / sizeof(w) ||
	    m->len != sizeof(count) + count * sizeof(w))
		return -EINVAL;
	for (i = 0; i < count; i++) {
		memcpy(&w, m->payload + sizeof(count) + i * sizeof(w), sizeof(w));
		ret = w.count > sizeof(w.data) ? -EINVAL :
		      do_write(s, w.region, w.offset, w.count, w.data);
		if (ret)
			break;
	}
	s->multi_messages++;
	s->multi_writes += i;
	/* The number of writes completed; fewer than asked for tells of an error. */
	memcpy(s->out, &i, sizeof(i));
	s->out_len = sizeof(i);
	return i ? 0 : ret;
}

static int device_reset(struct vfus *s, struct vfus_msg *m)
{
	if (m->len)
		return -EINVAL;
	if (!s->dev.ops->reset)
		return -ENOTSUP;
	vfus_irq_reset(s);
	return s->dev.ops->reset(s->dev.priv);
}

static const struct {
	int (*handle)(struct vfus *s, struct vfus_msg *m);
	bool takes_fds;
} commands[] = {
	[VFIO_USER_VERSION] = { vfus_handle_version, false },
	[VFIO_USER_DMA_MAP] = { vfus_handle_dma_map, true },
	[VFIO_USER_DMA_UNMAP] = { vfus_handle_dma_unmap, false },
	[VFIO_USER_DEVICE_GET_INFO] = { get_info, false },
	[VFIO_USER_DEVICE_GET_REGION_INFO] = { get_region_info, false },
	[VFIO_USER_DEVICE_GET_REGION_IO_FDS] = { get_region_io_fds, false },
	[VFIO_USER_DEVICE_GET_IRQ_INFO] = { get_irq_info, false },
	[VFIO_USER_DEVICE_SET_IRQS] = { vfus_handle_set_irqs, true },
	[VFIO_USER_REGION_READ] = { region_read, false },
	[VFIO_USER_REGION_WRITE] = { region_write, false },
	[VFIO_USER_DEVICE_RESET] = { device_reset, false },
	[VFIO_USER_REGION_WRITE_MULTI] = { write_multi, false },
};

static int handle(struct vfus *s, struct vfus_msg *m)
{
	uint32_t flags = m->hdr.flags;

	/* DMA_READ and DMA_WRITE travel the other way, so they have no handler here. */
	if (m->hdr.cmd >= ARRAY_SIZE(commands) || !commands[m->hdr.cmd].handle)
		return -ENOTSUP;
	if (flags & ~VFIO_USER_F_NO_REPLY)
		return -EINVAL;
	if (!s->negotiated && m->hdr.cmd != VFIO_USER_VERSION)
		return -EINVAL;
	/* Without them it would mean something else: vectors to disarm, memory not to map. */
	if (m->lost_fds) {
		vfus_log(s, 0, "no room for the descriptors of command %u: refused", m->hdr.cmd);
		return -EMFILE;
	}
	if (m->nfds && (!commands[m->hdr.cmd].takes_fds || m->nfds > s->cfg.max_msg_fds))
		return -EINVAL;
	return commands[m->hdr.cmd].handle(s, m);
}

/* Holds a reply back. Returns false if there is one already: the new one overtakes that. */
static bool hold(struct vfus *s, const struct vfus_reply *r)
{
	if (s->held_len)
		return false;
	memcpy(s->held, &r->hdr, sizeof(r->hdr));
	memcpy(s->held + sizeof(r->hdr), r->payload, r->len);
	s->held_len = sizeof(r->hdr) + r->len;
	s->held_at = vfus_now_us();
	return true;
}

/**
 * vfus_send_held() - send the reply that was held back, if there is one
 * @s: server
 */
void vfus_send_held(struct vfus *s)
{
	struct iovec v = { s->held, s->held_len };

	s->held_len = 0;
	if (v.iov_len)
		vfus_chan_send(s, &s->chan, &v, 1, NULL, 0);
}

/* What a client has to put up with: the reply again, with a descriptor, and a strange command. */
static void chatter(struct vfus *s, const struct vfus_reply *r)
{
	struct vfio_user_hdr hdr = { .id = r->hdr.id, .cmd = 77, .size = sizeof(hdr) };
	struct iovec v[2] = { { (void *)&r->hdr, sizeof(r->hdr) }, { r->payload, r->len } };
	int fd = s->sigfd;

	vfus_chan_send(s, &s->chan, v, 2, &fd, 1);
	v[0].iov_base = &hdr;
	vfus_chan_send(s, &s->chan, v, 1, NULL, 0);
}

static enum vfus_verdict send_reply(struct vfus *s, struct vfus_msg *m, int err)
{
	const struct vfus_hooks *h = s->cfg.hooks;
	enum vfus_verdict verdict = VFUS_PASS;
	struct vfus_reply r = {
		.hdr = {
			.id = m->hdr.id,
			.cmd = m->hdr.cmd,
			.flags = VFIO_USER_F_REPLY | (err ? VFIO_USER_F_ERROR : 0),
			.error = err ? -err : 0,
		},
		.payload = s->out,
		.len = err ? 0 : s->out_len,
		.cap = s->out_cap,
		.request_cmd = m->hdr.cmd,
		.request = m->payload,
		.request_len = m->len,
	};
	struct iovec v[2];

	r.hdr.size = sizeof(r.hdr) + r.len;
	if (h && h->on_reply)
		verdict = h->on_reply(h->priv, &r);
	if (verdict != VFUS_PASS)
		return verdict;
	if (s->cfg.reorder && !err && m->hdr.cmd == VFIO_USER_REGION_READ && hold(s, &r))
		return VFUS_PASS;
	if (h && h->version_fd && m->hdr.cmd == VFIO_USER_VERSION && s->out_nfds < VFUS_REPLY_FDS)
		s->out_fds[s->out_nfds++] = h->version_fd;
	v[0] = (struct iovec){ &r.hdr, sizeof(r.hdr) };
	v[1] = (struct iovec){ r.payload, r.len };
	vfus_chan_send(s, &s->chan, v, 2, s->out_fds, err ? 0 : s->out_nfds);
	if (s->held_len) {
		s->overtaken++;
		vfus_send_held(s);
	}
	if (s->cfg.chatter && m->hdr.cmd != VFIO_USER_VERSION)
		chatter(s, &r);
	return VFUS_PASS;
}

/**
 * vfus_only_asks() - is all as it was when a message has been handled?
 * @m: message
 *
 * Of what can be read that is sure of the head of the configuration space only; it is what a client
 * asks that wants to know whether there is somebody.
 *
 * Return: false where something may have changed.
 */
bool vfus_only_asks(const struct vfus_msg *m)
{
	struct vfio_user_region_access a;

	if (m->hdr.cmd == VFIO_USER_DEVICE_GET_INFO)
		return !m->nfds;
	if (m->hdr.cmd != VFIO_USER_REGION_READ || m->nfds || m->len != sizeof(a))
		return false;
	memcpy(&a, m->payload, sizeof(a));
	return a.region == VFIO_PCI_CONFIG_REGION_INDEX && a.count <= PCI_STD_HEADER_SIZEOF &&
	       a.offset <= PCI_STD_HEADER_SIZEOF - a.count;
}

/**
 * vfus_dispatch() - handle one message of the client
 * @s: server
 * @m: the message; freed here
 *
 * One that the device puts off waits, see vfus_put_off().
 *
 * An error in the negotiation ends the connection after its reply; any other error is only
 * replied to. Replies nobody waits for are dropped. Specification: "Header".
 */
void vfus_dispatch(struct vfus *s, struct vfus_msg *m)
{
	const struct vfus_hooks *h = s->cfg.hooks;
	enum vfus_verdict verdict = VFUS_PASS;
	int err;

	if (h && h->on_message)
		verdict = h->on_message(h->priv, &m->hdr);
	if (verdict == VFUS_PASS &&
	    (m->hdr.flags & VFIO_USER_F_TYPE_MASK) == VFIO_USER_F_REPLY) {
		vfus_log(s, 1, "reply %u to no request of ours", m->hdr.id);
	} else if (verdict == VFUS_PASS) {
		s->out_len = 0;
		s->out_nfds = 0;
		s->out_close = -1;
		err = s->put_off_failed ? -ETIMEDOUT : handle(s, m);
		if (err == -EINPROGRESS) {
			vfus_put_off(s, m);
			return;
		}
		if (m->put_off)
			s->put_off_until = 0;
		if (err)
			vfus_log(s, 1, "command %u, %zu bytes, %u descriptors: %s", m->hdr.cmd,
				 m->len, m->nfds, strerror(-err));
		if (!(m->hdr.flags & VFIO_USER_F_NO_REPLY) || (h && h->answer_posted))
			verdict = send_reply(s, m, err);
		if (s->out_close >= 0)
			close(s->out_close);
		if (!s->negotiated)
			s->chan.dead = true;
	}
	if (verdict == VFUS_CLOSE)
		s->chan.dead = true;
	else if (verdict == VFUS_HANG)
		s->hung = true;
	vfus_msg_free(m);
}
