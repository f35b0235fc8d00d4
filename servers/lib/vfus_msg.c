// SPDX-License-Identifier: GPL-2.0-only
/*
 * Bytes to messages and back: one channel per stream socket, with the file descriptors that
 * travel beside the bytes, and the synchronous calls which the server makes to the client.
 *
 * Which message does a descriptor belong to? The kernel ends a recvmsg() with the bytes that the
 * descriptors were sent with, so they belong to the last message begun by then: the one with
 * start < position of receipt <= end. Clients send each message in one sendmsg(), and a client
 * that does otherwise only confuses itself.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vfus_priv.h"

/**
 * vfus_chan_init() - take over a connected stream socket
 * @c: channel to set up
 * @fd: the socket; owned by the channel from here on, also on failure
 * @cap: largest message accepted, in bytes, header included
 *
 * Return: 0 or -ENOMEM.
 */
int vfus_chan_init(struct vfus_chan *c, int fd, size_t cap)
{
	memset(c, 0, sizeof(*c));
	c->fd = fd;
	c->cap = cap;
	c->buf = malloc(cap);
	if (!c->buf) {
		close(fd);
		c->fd = -1;
		return -ENOMEM;
	}
	return 0;
}

/**
 * vfus_chan_close() - close the socket and everything received but not consumed
 * @c: channel; one that was never opened (fd -1) is left alone
 */
void vfus_chan_close(struct vfus_chan *c)
{
	unsigned int i;

	if (c->fd < 0)
		return;
	for (i = 0; i < c->nfds; i++)
		close(c->fds[i]);
	close(c->fd);
	free(c->buf);
	memset(c, 0, sizeof(*c));
	c->fd = -1;
}

/**
 * vfus_each_fd() - the descriptors that came with a message
 * @mh: as recvmsg() left it
 * @take: gets each, and owns it
 * @ctx: its first argument
 */
void vfus_each_fd(struct msghdr *mh, void (*take)(void *ctx, int fd), void *ctx)
{
	struct cmsghdr *cm;

	for (cm = CMSG_FIRSTHDR(mh); cm; cm = CMSG_NXTHDR(mh, cm)) {
		size_t i, n;

		if (cm->cmsg_level != SOL_SOCKET || cm->cmsg_type != SCM_RIGHTS)
			continue;
		n = (cm->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(cm) + i * sizeof(fd), sizeof(fd));
			take(ctx, fd);
		}
	}
}

static void keep_fd(void *ctx, int fd)
{
	struct vfus_chan *c = ctx;

	if (c->nfds == VFUS_MAX_FDS) {
		/* Only a message that never ends collects that many. */
		c->dead = true;
		close(fd);
		return;
	}
	c->fds[c->nfds] = fd;
	c->fd_pos[c->nfds++] = c->pos;
}

/**
 * vfus_chan_fill() - read once from the socket
 * @s: server, for messages
 * @c: channel; there must be no complete message left in it
 *
 * Return: 1 if something was read, 0 if there was nothing, -EPIPE if the channel is dead.
 */
int vfus_chan_fill(struct vfus *s, struct vfus_chan *c)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int) * VFUS_MAX_FDS)];
		struct cmsghdr align;
	} control;
	struct iovec iov;
	struct msghdr mh = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control.bytes, .msg_controllen = sizeof(control.bytes),
	};
	ssize_t n;

	if (c->dead)
		return -EPIPE;
	if (c->head) {
		memmove(c->buf, c->buf + c->head, c->tail - c->head);
		c->tail -= c->head;
		c->head = 0;
	}
	iov.iov_base = c->buf + c->tail;
	iov.iov_len = c->cap - c->tail;
	do {
		n = recvmsg(c->fd, &mh, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return 0;
	if (n <= 0) {
		if (n < 0)
			vfus_log(s, 1, "receive: %s", strerror(errno));
		c->dead = true;
		return -EPIPE;
	}
	c->tail += n;
	c->pos += n;
	vfus_each_fd(&mh, keep_fd, c);
	if (c->dead)
		vfus_log(s, 0, "more than %d descriptors in one message", VFUS_MAX_FDS);
	/* This process has no room for them: the message is there, and they are gone for good. */
	if (mh.msg_flags & MSG_CTRUNC)
		c->lost_pos = c->pos;
	return c->dead ? -EPIPE : 1;
}

/**
 * vfus_chan_ready() - is there a complete message, or a framing error, in the buffer?
 * @c: channel
 *
 * Return: true if there is: vfus_chan_next() will not wait.
 */
bool vfus_chan_ready(const struct vfus_chan *c)
{
	struct vfio_user_hdr hdr;
	size_t have = c->tail - c->head;

	if (have < sizeof(hdr))
		return false;
	memcpy(&hdr, c->buf + c->head, sizeof(hdr));
	return hdr.size < sizeof(hdr) || hdr.size > c->cap || have >= hdr.size;
}

/**
 * vfus_chan_next() - take the next complete message out of the buffer
 * @s: server, for messages
 * @c: channel; becomes dead where the size field cannot be right, because nothing after it could
 *     be trusted to be a header
 *
 * Return: a message for vfus_msg_free(), or NULL if none is complete.
 */
struct vfus_msg *vfus_chan_next(struct vfus *s, struct vfus_chan *c)
{
	struct vfio_user_hdr hdr;
	unsigned int i, n = 0;
	struct vfus_msg *m;
	uint64_t end;
	size_t base;

	if (c->dead || !vfus_chan_ready(c))
		return NULL;
	memcpy(&hdr, c->buf + c->head, sizeof(hdr));
	if (hdr.size < sizeof(hdr) || hdr.size > c->cap) {
		vfus_log(s, 0, "message of %u bytes (16 to %zu are possible): dropping the client",
			 hdr.size, c->cap);
		c->dead = true;
		return NULL;
	}
	end = c->pos - (c->tail - c->head) + hdr.size;
	while (n < c->nfds && c->fd_pos[n] <= end)
		n++;

	base = (sizeof(*m) + n * sizeof(int) + 15) & ~(size_t)15;
	m = malloc(base + hdr.size - sizeof(hdr) + 1);
	if (!m) {
		vfus_log(s, 0, "no memory for a message of %u bytes", hdr.size);
		c->dead = true;
		return NULL;
	}
	m->next = NULL;
	m->hdr = hdr;
	m->nfds = n;
	m->put_off = false;
	m->lost_fds = c->lost_pos && c->lost_pos <= end;
	if (m->lost_fds)
		c->lost_pos = 0;
	m->fds = (int *)(m + 1);
	m->len = hdr.size - sizeof(hdr);
	m->payload = (uint8_t *)m + base;
	memcpy(m->payload, c->buf + c->head + sizeof(hdr), m->len);
	memcpy(m->fds, c->fds, n * sizeof(int));
	for (i = n; i < c->nfds; i++) {
		c->fds[i - n] = c->fds[i];
		c->fd_pos[i - n] = c->fd_pos[i];
	}
	c->nfds -= n;
	c->head += hdr.size;
	return m;
}

/**
 * vfus_msg_free() - free a message and close the descriptors nobody took
 * @m: message
 */
void vfus_msg_free(struct vfus_msg *m)
{
	unsigned int i;

	for (i = 0; i < m->nfds; i++)
		if (m->fds[i] >= 0)
			close(m->fds[i]);
	free(m);
}

/**
 * vfus_msg_take_fd() - take ownership of a received descriptor
 * @m: message
 * @i: which one, below m->nfds
 *
 * Return: the descriptor.
 */
int vfus_msg_take_fd(struct vfus_msg *m, unsigned int i)
{
	int fd = m->fds[i];

	m->fds[i] = -1;
	return fd;
}

/**
 * vfus_wait() - sleep until a socket is ready, SIGTERM comes or time runs out
 * @s: server
 * @fd: socket
 * @events: POLLIN or POLLOUT
 * @deadline_us: on vfus_now_us()'s clock
 *
 * Return: 0, -EINTR when the server has to stop, -ETIMEDOUT.
 */
int vfus_wait(struct vfus *s, int fd, short events, uint64_t deadline_us)
{
	struct pollfd p[2] = {
		{ .fd = fd, .events = events },
		{ .fd = s->sigfd, .events = POLLIN },
	};

	for (;;) {
		uint64_t now = vfus_now_us();
		int n;

		if (now >= deadline_us)
			return -ETIMEDOUT;
		n = poll(p, 2, (int)((deadline_us - now + 999) / 1000));
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0 && p[1].revents && vfus_take_signal(s))
			return -EINTR;
		if (n > 0 && p[0].revents)
			return 0;
	}
}

/*
 * A message so small is copied sooner than its parts are described to the kernel. Returns how many
 * of its bytes were sent; none if it is larger, or the socket took none.
 */
static size_t send_small(struct vfus_chan *c, const struct iovec *iov, int n)
{
	uint8_t small[128];
	size_t len = 0;
	ssize_t sent;
	int i;

	for (i = 0; i < n; i++) {
		if (iov[i].iov_len > sizeof(small) - len)
			return 0;
		if (iov[i].iov_len)
			memcpy(small + len, iov[i].iov_base, iov[i].iov_len);
		len += iov[i].iov_len;
	}
	sent = send(c->fd, small, len, MSG_NOSIGNAL | MSG_DONTWAIT);
	return sent < 0 ? 0 : (size_t)sent;
}

/* Leave out what was sent, and parts without bytes. */
static void advance(struct msghdr *mh, size_t sent)
{
	while (mh->msg_iovlen && sent >= mh->msg_iov->iov_len) {
		sent -= mh->msg_iov->iov_len;
		mh->msg_iov++;
		mh->msg_iovlen--;
	}
	if (sent) {
		mh->msg_iov->iov_base = (uint8_t *)mh->msg_iov->iov_base + sent;
		mh->msg_iov->iov_len -= sent;
	}
}

/**
 * vfus_chan_send() - send one message
 * @s: server
 * @c: channel; dead afterwards if the message could not be sent whole
 * @iov: the message, header first
 * @n: entries in @iov, at most 4
 * @fds: descriptors to pass along; they stay the caller's
 * @nfds: how many, at most VFUS_REPLY_FDS
 *
 * One sendmsg() where the socket takes it all, since some peers read a message with one recv().
 *
 * Return: 0 or -EPIPE.
 */
int vfus_chan_send(struct vfus *s, struct vfus_chan *c, const struct iovec *iov, int n,
		   const int *fds, unsigned int nfds)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int) * VFUS_REPLY_FDS)];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec v[4];
	struct msghdr mh = { .msg_iov = v, .msg_iovlen = n };
	uint64_t deadline = 0;
	ssize_t sent;

	if (c->dead)
		return -EPIPE;
	memcpy(v, iov, n * sizeof(*v));
	advance(&mh, nfds ? 0 : send_small(c, iov, n));
	if (nfds) {
		struct cmsghdr *cm;

		mh.msg_control = control.bytes;
		mh.msg_controllen = CMSG_SPACE(sizeof(int) * nfds);
		cm = CMSG_FIRSTHDR(&mh);
		cm->cmsg_level = SOL_SOCKET;
		cm->cmsg_type = SCM_RIGHTS;
		cm->cmsg_len = CMSG_LEN(sizeof(int) * nfds);
		memcpy(CMSG_DATA(cm), fds, sizeof(int) * nfds);
	}
	while (mh.msg_iovlen) {
		sent = sendmsg(c->fd, &mh, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
			if (!deadline)
				deadline = vfus_now_us() + VFUS_SEND_TIMEOUT_MS * 1000ull;
			if (!vfus_wait(s, c->fd, POLLOUT, deadline))
				continue;
			vfus_log(s, 0, "the client does not read its socket: dropping it");
			goto dead;
		}
		if (sent < 0) {
			vfus_log(s, 1, "send: %s", strerror(errno));
			goto dead;
		}
		mh.msg_control = NULL;
		mh.msg_controllen = 0;
		advance(&mh, sent);
	}
	return 0;

dead:
	c->dead = true;
	return -EPIPE;
}

/**
 * vfus_queue_init() - an empty queue
 * @q: queue
 */
void vfus_queue_init(struct vfus_queue *q)
{
	*q = (struct vfus_queue){ .last = &q->first };
}

/**
 * vfus_queue_put() - a command has to wait for its turn
 * @s: server; gives its client up where there are too many
 * @q: queue
 * @m: command; the queue's, or freed
 *
 * Return: false where the client is given up.
 */
bool vfus_queue_put(struct vfus *s, struct vfus_queue *q, struct vfus_msg *m)
{
	if (q->nr >= VFUS_MAX_QUEUED) {
		vfus_log(s, 0, "%d commands behind one that waits: dropping the client",
			 VFUS_MAX_QUEUED);
		s->chan.dead = true;
		vfus_msg_free(m);
		return false;
	}
	m->next = NULL;
	*q->last = m;
	q->last = &m->next;
	q->nr++;
	return true;
}

/**
 * vfus_queue_take() - the next command
 * @q: queue
 *
 * Return: it, the caller's now, or NULL.
 */
struct vfus_msg *vfus_queue_take(struct vfus_queue *q)
{
	struct vfus_msg *m = q->first;

	if (!m)
		return NULL;
	q->first = m->next;
	if (!q->first)
		q->last = &q->first;
	q->nr--;
	return m;
}

/**
 * vfus_queue_free() - forget all
 * @q: queue
 */
void vfus_queue_free(struct vfus_queue *q)
{
	struct vfus_msg *m;

	while ((m = vfus_queue_take(q)))
		vfus_msg_free(m);
}

static int call_reply(struct vfus *s, const struct vfus_msg *m, void *reply, size_t min_len,
		      size_t len)
{
	if (m->hdr.flags & VFIO_USER_F_ERROR)
		return m->hdr.error && m->hdr.error < 4096 ? -(int)m->hdr.error : -EIO;
	if (m->len < min_len || m->len > len) {
		vfus_log(s, 0, "reply to command %u has %zu bytes, %zu expected", m->hdr.cmd,
			 m->len, len);
		return -EPROTO;
	}
	memcpy(reply, m->payload, m->len);
	return 0;
}

/**
 * vfus_call() - send a request to the client and wait for its reply
 * @s: server
 * @cmd: VFIO_USER_DMA_READ or VFIO_USER_DMA_WRITE
 * @req: payload of the request
 * @n: entries in @req, at most 3
 * @reply: where the reply's payload goes
 * @min_len: fewest bytes that it must have
 * @len: most bytes that it may have
 *
 * Travels on the twin socket where one was negotiated. Otherwise commands of the client may come
 * in between; they are queued and handled after the current one, in the order they came.
 *
 * Return: 0, the client's errno negated, -EPIPE without a client, -ETIMEDOUT (the connection is
 * given up then), -EPROTO.
 */
int vfus_call(struct vfus *s, uint16_t cmd, const struct iovec *req, int n, void *reply,
	      size_t min_len, size_t len)
{
	struct vfus_chan *c = s->twin.fd >= 0 ? &s->twin : &s->chan;
	struct vfio_user_hdr hdr = { .id = s->next_id++, .cmd = cmd, .size = sizeof(hdr) };
	struct iovec v[4] = { { &hdr, sizeof(hdr) } };
	uint64_t deadline;
	int i, ret;

	if (!s->negotiated || s->chan.dead || c->dead)
		return -EPIPE;
	for (i = 0; i < n; i++) {
		v[i + 1] = req[i];
		hdr.size += req[i].iov_len;
	}
	ret = vfus_chan_send(s, c, v, n + 1, NULL, 0);
	deadline = vfus_now_us() + s->cfg.dma_timeout_ms * 1000ull;
	while (!ret) {
		struct vfus_msg *m;

		while ((m = vfus_chan_next(s, c))) {
			bool is_reply = (m->hdr.flags & VFIO_USER_F_TYPE_MASK) == VFIO_USER_F_REPLY;

			if (is_reply && m->hdr.id == hdr.id && m->hdr.cmd == cmd) {
				ret = call_reply(s, m, reply, min_len, len);
				vfus_msg_free(m);
				return ret;
			}
			if (is_reply || c == &s->twin) {
				vfus_log(s, 0, "unexpected message %u on the %s socket", m->hdr.cmd,
					 c == &s->twin ? "twin" : "main");
				vfus_msg_free(m);
			} else {
				vfus_queue_put(s, &s->queue, m);
			}
		}
		if (c->dead || s->chan.dead)
			break;
		ret = vfus_wait(s, c->fd, POLLIN, deadline);
		if (!ret && vfus_chan_fill(s, c) < 0)
			break;
	}
	if (ret == -ETIMEDOUT)
		vfus_log(s, 0, "no reply to a DMA access: dropping the client");
	s->chan.dead = true;
	return ret ? ret : -EPIPE;
}
