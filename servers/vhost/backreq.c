// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the back end asks of us, on a socket of its own: only to look at its configuration again.
 * All else is refused, and descriptors that come with it are closed: a page for doorbells would
 * have to be mapped, and memory of its own that it wants to show the driver would be taken for
 * RAM by a driver of the host (DAX), which nothing of ours could guard.
 */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vhost.h"

/* In one go; the others have their turn in between. */
#define REQUESTS	64

/**
 * backreq_open() - give the back end the socket
 * @h: device; the back end has said that it wants one
 *
 * Return: 0 or a negative errno.
 */
int backreq_open(struct vhost *h)
{
	int pair[2], ret;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair))
		return -errno;
	h->backreq = pair[0];
	ret = vhost_watch(h, h->backreq, EPOLLIN, SRC_BACKREQ, 0);
	if (!ret)
		ring_set(h, VU_SET_BACKEND_REQ_FD, NULL, 0, &pair[1], 1);
	close(pair[1]);
	return ret;
}

/**
 * backreq_close() - close it again
 * @h: device
 */
void backreq_close(struct vhost *h)
{
	wire_input_drop(&h->backreq_in);
	if (h->backreq < 0)
		return;
	vhost_unwatch(h, h->backreq);
	close(h->backreq);
	h->backreq = -1;
}

/* A back end that does not read its answers does not get them. */
static void answer(struct vhost *h, const struct vu_hdr *hdr, uint64_t value)
{
	uint8_t buf[sizeof(*hdr) + sizeof(value)];
	const struct vu_hdr reply = {
		.request = hdr->request, .flags = VU_VERSION | VU_F_REPLY, .size = sizeof(value),
	};

	memcpy(buf, &reply, sizeof(reply));
	memcpy(buf + sizeof(reply), &value, sizeof(value));
	if (wire_send(h->backreq, buf, sizeof(buf), NULL, 0) != (int)sizeof(buf))
		vhost_log(h, 1, "the back end does not take the answer to its request");
}

/**
 * backreq_event() - the back end has sent something
 * @h: device
 */
void backreq_event(struct vhost *h)
{
	struct vu_hdr hdr;
	unsigned int i;
	int ret = 0;

	for (i = 0; i < REQUESTS && h->backreq >= 0; i++) {
		ret = wire_input(&h->backreq_in, h->backreq, &hdr);
		if (ret <= 0)
			break;
		wire_input_drop(&h->backreq_in);
		if (hdr.request == VU_BACKEND_CONFIG_CHANGE)
			config_changed(h);
		else
			vhost_log(h, 1, "the back end's request %u is refused", hdr.request);
		if (hdr.flags & VU_F_NEED_REPLY)
			answer(h, &hdr, hdr.request != VU_BACKEND_CONFIG_CHANGE);
	}
	if (ret < 0 && h->backreq >= 0) {
		if (ret != -EPIPE)
			vhost_log(h, 0, "a request of the back end makes no sense: no more are taken");
		backreq_close(h);
	}
}
