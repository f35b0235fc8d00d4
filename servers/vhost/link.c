// SPDX-License-Identifier: GPL-2.0-only
/*
 * The connection to the back end: connecting (or being connected to), the questions that are
 * asked at first, and what happens when it is lost.
 *
 * A back end that comes again has to be the one that was there before: with the features that the
 * driver was shown, as many queues and as large. Another one is turned away, in one line, and
 * waited out: an administrator may yet start the right one.
 *
 * Whether a lost back end can still write to the client's memory is known from its process: when
 * that has ended nothing can, and what answers on a new connection has finished with the old one.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "vhost.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD	77
#endif

#define RETRY_MIN_US	20000
#define RETRY_MAX_US	1000000

/* Each complaint once, until there is a connection again. */
static void complain(struct vhost *h, const char *why)
{
	bool again = !strcmp(h->said, why);

	vhost_log(h, again ? 1 : 0, "%s: %s", h->opt.socket, why);
	snprintf(h->said, sizeof(h->said), "%s", why);
}

/* ---- the peer's process ---- */

static void forget(struct vhost *h, int *pidfd)
{
	if (*pidfd >= 0) {
		vhost_unwatch(h, *pidfd);
		close(*pidfd);
	}
	*pidfd = -1;
}

/* Without it a lost back end is only known to be gone when there is another one. */
static void know_peer(struct vhost *h, int fd)
{
	socklen_t len = sizeof(struct ucred);
	struct ucred cred = { 0 };
	int pidfd = -1;

	forget(h, &h->peer);
	h->peer_dead = false;
	getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len);
	h->peer_pid = cred.pid;
	len = sizeof(pidfd);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &len))
		pidfd = cred.pid > 1 ? (int)syscall(SYS_pidfd_open, cred.pid, 0) : -1;
	h->peer = pidfd;
	if (pidfd >= 0 && vhost_watch(h, pidfd, EPOLLIN, SRC_PEER, 0))
		forget(h, &h->peer);
}

/**
 * link_keep_peer() - the back end is lost with memory of the client's: remember its process
 * @h: device
 */
void link_keep_peer(struct vhost *h)
{
	if (h->lost_peer >= 0)
		return;
	h->lost_pid = h->peer_pid;
	if (h->peer < 0)
		return;
	vhost_unwatch(h, h->peer);
	h->lost_peer = h->peer;
	h->peer = -1;
	if (vhost_watch(h, h->lost_peer, EPOLLIN, SRC_PEER, 1))
		forget(h, &h->lost_peer);
}

/* ---- greeting ---- */

static void close_link(struct vhost *h)
{
	if (wire_is_open(&h->wire))
		vhost_unwatch(h, h->wire.fd);
	wire_close(&h->wire);
	backreq_close(h);
	h->link = LINK_DOWN;
	h->link_writes = false;
	h->retry_at = wire_now_us() + h->retry_us;
	if (h->retry_us < RETRY_MAX_US)
		h->retry_us *= 2;
}

/**
 * link_lost() - the connection is of no more use
 * @h: device
 * @why: for the user
 */
void link_lost(struct vhost *h, const char *why)
{
	if (h->link == LINK_DOWN)
		return;
	complain(h, why);
	/* while it is known what has been sent */
	if (h->built) {
		ring_lost(h);
		handover_lost(h);
	}
	close_link(h);
}

static void wire_broken(void *ctx, const char *why)
{
	link_lost(ctx, why);
}

static void wire_late(void *ctx, const char *message)
{
	struct vhost *h = ctx;
	char why[96];

	snprintf(why, sizeof(why), "the back end does not answer %s", message);
	/* Nothing is lost by trying again as long as it has nothing of ours. */
	if (h->link == LINK_GREETING)
		link_lost(h, why);
	else
		complain(h, why);
}

static const char *different(const struct vhost *h)
{
	if (h->needed & ~h->features)
		return "another back end than before: it lacks features that the driver knows of";
	if (h->inflight.fd >= 0 && !vhost_has(h, VU_PF_INFLIGHT_SHMFD))
		return "another back end than before: it does not keep requests in flight in memory";
	if (h->backend_queues < h->nr_rings && vhost_has(h, VU_PF_MQ))
		return "another back end than before: it has fewer queues";
	if (h->v.config_len && h->config_len && h->type.smaller &&
	    h->type.smaller(h))
		return "another back end than before: it is smaller";
	return NULL;
}

static void greeted(struct vhost *h)
{
	const char *why = h->built ? different(h) : NULL;

	if (why) {
		complain(h, why);
		h->retry_us = RETRY_MAX_US;
		close_link(h);
		return;
	}
	h->link = LINK_UP;
	/* Another process says nothing about the lost one. */
	if (h->lost_peer < 0 || h->peer_pid == h->lost_pid) {
		h->quiet = true;
		forget(h, &h->lost_peer);
	}
	h->retry_us = RETRY_MIN_US;
	h->connections++;
	if (h->connections > 1 || *h->said)
		vhost_log(h, 0, "%s: connected%s", h->opt.socket,
			  h->connections > 1 ? " again" : "");
	*h->said = 0;
	if (h->built)
		config_show(h);
}

static void config_came(void *ctx, int err, struct wire_reply *reply, unsigned int len)
{
	struct vhost *h = ctx;

	(void)err;
	if (!config_take(h, reply, len)) {
		greeted(h);
		return;
	}
	if (!h->config_len && h->type.config[h->config_try + 1]) {
		h->config_try++;
		config_fetch(h, config_came);
		return;
	}
	link_lost(h, "the back end does not give the configuration of this device type");
}

static void ask_config(struct vhost *h)
{
	if (!h->type.config[0]) {
		greeted(h);
	} else if (vhost_has(h, VU_PF_CONFIG)) {
		config_fetch(h, config_came);
	} else if (h->type.own_config) {
		greeted(h);
	} else {
		link_lost(h, "the back end has no configuration to give (no CONFIG), which this device type needs");
	}
}

static void queues_came(void *ctx, int err, struct wire_reply *reply, unsigned int arg)
{
	struct vhost *h = ctx;
	uint64_t n = 0;

	(void)err;
	(void)arg;
	if (reply->len == sizeof(n))
		memcpy(&n, reply->payload, sizeof(n));
	if (n < 1 || n > VIRTIO_MAX_QUEUES) {
		link_lost(h, "the back end has an impossible number of queues");
		return;
	}
	h->backend_queues = (unsigned int)n;
	ask_config(h);
}

static void introduce(struct vhost *h)
{
	if (vhost_has(h, VU_PF_BACKEND_REQ) && backreq_open(h)) {
		link_lost(h, "no socket for the back end's requests");
		return;
	}
	ring_set(h, VU_SET_OWNER, NULL, 0, NULL, 0);
	if (h->opt.mtu && h->type.id == VIRTIO_ID_NET && vhost_has(h, VU_PF_MTU)) {
		const uint64_t mtu = h->opt.mtu;

		ring_set(h, VU_NET_SET_MTU, &mtu, sizeof(mtu), NULL, 0);
	}
	if (vhost_has(h, VU_PF_MQ))
		wire_call(&h->wire, VU_GET_QUEUE_NUM, WIRE_REPLY, NULL, 0, NULL, 0, queues_came, 0);
	else
		ask_config(h);
}

static void protocol_came(void *ctx, int err, struct wire_reply *reply, unsigned int arg)
{
	const uint64_t known = 1ull << VU_PF_MQ | 1ull << VU_PF_REPLY_ACK | 1ull << VU_PF_MTU |
			       1ull << VU_PF_BACKEND_REQ | 1ull << VU_PF_CONFIG |
			       1ull << VU_PF_INFLIGHT_SHMFD | 1ull << VU_PF_RESET_DEVICE |
			       1ull << VU_PF_STATUS | 1ull << VU_PF_DEVICE_STATE;
	struct vhost *h = ctx;
	uint64_t bits;

	(void)err;
	(void)arg;
	if (reply->len != sizeof(bits)) {
		link_lost(h, "the back end's answer to GET_PROTOCOL_FEATURES has a wrong size");
		return;
	}
	memcpy(&bits, reply->payload, sizeof(bits));
	bits &= known;
	wire_call(&h->wire, VU_SET_PROTOCOL_FEATURES, WIRE_NONE, &bits, sizeof(bits), NULL, 0,
		  NULL, 0);
	h->protocol = bits;
	introduce(h);
}

static void features_came(void *ctx, int err, struct wire_reply *reply, unsigned int arg)
{
	struct vhost *h = ctx;

	(void)err;
	(void)arg;
	if (reply->len != sizeof(h->features)) {
		link_lost(h, "the back end's answer to GET_FEATURES has a wrong size");
		return;
	}
	memcpy(&h->features, reply->payload, sizeof(h->features));
	if (!(h->features >> VIRTIO_F_VERSION_1 & 1)) {
		h->retry_us = RETRY_MAX_US;
		link_lost(h, "the back end does not know virtio 1 (no VERSION_1)");
		return;
	}
	h->protocol = 0;
	h->backend_queues = 1;
	if (h->features >> VU_F_PROTOCOL_FEATURES & 1)
		wire_call(&h->wire, VU_GET_PROTOCOL_FEATURES, WIRE_REPLY, NULL, 0, NULL, 0,
			  protocol_came, 0);
	else
		introduce(h);
}

/**
 * link_adopt() - begin with a back end
 * @h: device; link down
 * @fd: connected to it, non-blocking; owned from here on
 */
void link_adopt(struct vhost *h, int fd)
{
	know_peer(h, fd);
	wire_open(&h->wire, fd);
	h->link = LINK_GREETING;
	h->link_writes = false;
	if (vhost_watch(h, fd, EPOLLIN | EPOLLRDHUP, SRC_LINK, 0)) {
		link_lost(h, "epoll");
		return;
	}
	wire_call(&h->wire, VU_GET_FEATURES, WIRE_REPLY, NULL, 0, NULL, 0, features_came, 0);
}

/* ---- connecting ---- */

static int address(const struct vhost *h, struct sockaddr_un *sun)
{
	*sun = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (!*h->opt.socket || strlen(h->opt.socket) >= sizeof(sun->sun_path))
		return -ENAMETOOLONG;
	memcpy(sun->sun_path, h->opt.socket, strlen(h->opt.socket) + 1);
	return 0;
}

static void try_connect(struct vhost *h)
{
	struct sockaddr_un sun;
	int ret = address(h, &sun), fd;

	fd = ret ? -1 : socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (!ret && fd < 0)
		ret = -errno;
	if (!ret && connect(fd, (struct sockaddr *)&sun, sizeof(sun)))
		ret = -errno;
	if (!ret) {
		link_adopt(h, fd);
		return;
	}
	if (fd >= 0)
		close(fd);
	complain(h, ret == -ENOENT || ret == -ECONNREFUSED || ret == -EAGAIN ?
		 "waiting for the back end" : strerror(-ret));
	close_link(h);
}

/**
 * link_listen() - be what the back end connects to
 * @h: device
 *
 * A socket file that nobody listens on any more is replaced.
 *
 * Return: 0 or a negative errno.
 */
int link_listen(struct vhost *h)
{
	struct sockaddr_un sun;
	int ret = address(h, &sun), fd;
	struct stat st;

	if (ret)
		return ret;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (!lstat(h->opt.socket, &st) && S_ISSOCK(st.st_mode) &&
	    connect(fd, (struct sockaddr *)&sun, sizeof(sun)) && errno == ECONNREFUSED)
		unlink(h->opt.socket);
	close(fd);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&sun, sizeof(sun)) || listen(fd, 1)) {
		ret = -errno;
		close(fd);
		return ret;
	}
	h->listen_fd = fd;
	complain(h, "waiting for the back end");
	return 0;
}

/**
 * link_init() - not connected yet
 * @h: device; options set
 */
void link_init(struct vhost *h)
{
	static const struct wire_ops ops = { .broken = wire_broken, .late = wire_late };

	wire_init(&h->wire, &ops, h, h->opt.timeout_ms);
	h->link = LINK_DOWN;
	h->listen_fd = -1;
	h->peer = -1;
	h->lost_peer = -1;
	h->backreq = -1;
	h->retry_us = RETRY_MIN_US;
}

/**
 * link_free() - disconnect
 * @h: device
 */
void link_free(struct vhost *h)
{
	wire_close(&h->wire);
	if (h->backreq >= 0)
		close(h->backreq);
	wire_input_drop(&h->backreq_in);
	if (h->peer >= 0)
		close(h->peer);
	if (h->lost_peer >= 0)
		close(h->lost_peer);
	if (h->listen_fd >= 0) {
		close(h->listen_fd);
		unlink(h->opt.socket);
	}
}

static void accept_backend(struct vhost *h)
{
	int fd = accept4(h->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd >= 0 && h->link == LINK_DOWN)
		link_adopt(h, fd);
	else if (fd >= 0)
		close(fd);
}

/**
 * link_event() - something happened to the connection
 * @h: device
 * @src: SRC_LINK, SRC_LISTEN or SRC_PEER
 * @which: of SRC_PEER: 1 for the process that was lost
 */
void link_event(struct vhost *h, enum vhost_source src, unsigned int which)
{
	if (src == SRC_LINK) {
		wire_run(&h->wire);
	} else if (src == SRC_LISTEN) {
		accept_backend(h);
	} else if (which) {
		forget(h, &h->lost_peer);
		h->quiet = true;
	} else {
		/* What it had sent before is still to be read. */
		h->peer_dead = true;
		forget(h, &h->peer);
	}
}

/* One back end at a time; the next one waits in the backlog. */
static void watch_listener(struct vhost *h)
{
	bool want = h->link == LINK_DOWN;

	if (want == h->listening)
		return;
	if (!want)
		vhost_unwatch(h, h->listen_fd);
	else if (vhost_watch(h, h->listen_fd, EPOLLIN, SRC_LISTEN, 0))
		return;
	h->listening = want;
}

/**
 * link_watch() - poll for room in the socket where there is something to send
 * @h: device
 */
void link_watch(struct vhost *h)
{
	bool want = wire_wants_to_send(&h->wire);

	if (!wire_is_open(&h->wire) || want == h->link_writes)
		return;
	vhost_unwatch(h, h->wire.fd);
	if (!vhost_watch(h, h->wire.fd, EPOLLIN | EPOLLRDHUP | (want ? EPOLLOUT : 0), SRC_LINK, 0))
		h->link_writes = want;
}

/**
 * link_poll() - connect when it is time to, and look at the time that answers take
 * @h: device
 *
 * Return: microseconds after which to call it again, or -1.
 */
long link_poll(struct vhost *h)
{
	uint64_t now;
	long us;

	wire_run(&h->wire);
	us = wire_pause_us(&h->wire);
	if (h->listen_fd >= 0)
		watch_listener(h);
	if (h->link != LINK_DOWN || h->listen_fd >= 0)
		return us;
	now = wire_now_us();
	if (now < h->retry_at)
		return (long)(h->retry_at - now);
	try_connect(h);
	return 0;
}
