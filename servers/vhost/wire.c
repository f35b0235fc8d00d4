// SPDX-License-Identifier: GPL-2.0-only
/*
 * The wire to the back end; see wire.h. Nothing blocks: the socket is non-blocking, and its owner
 * calls wire_run() whenever it is ready.
 *
 * What comes from the back end is believed nowhere: a header with a wrong version, without the
 * reply flag, of another message than the one that was sent or of an impossible size ends the
 * connection, since nothing after it could be trusted to be a header. Descriptors beyond those
 * that a message can have are closed as they come.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "vfus.h"
#include "wire.h"

#define INPUT_FDS	253		/* one message's most (SCM_MAX_FD) */

/**
 * wire_now_us() - monotonic time
 *
 * Return: microseconds since an arbitrary point.
 */
uint64_t wire_now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000ull + ts.tv_nsec / 1000;
}

/**
 * wire_name() - a message's name
 * @request: VU_*
 *
 * Return: as the specification writes it, without its prefix.
 */
const char *wire_name(uint32_t request)
{
	static const char *const names[] = {
		[VU_GET_FEATURES] = "GET_FEATURES",
		[VU_SET_FEATURES] = "SET_FEATURES",
		[VU_SET_OWNER] = "SET_OWNER",
		[VU_SET_MEM_TABLE] = "SET_MEM_TABLE",
		[VU_SET_VRING_NUM] = "SET_VRING_NUM",
		[VU_SET_VRING_ADDR] = "SET_VRING_ADDR",
		[VU_SET_VRING_BASE] = "SET_VRING_BASE",
		[VU_GET_VRING_BASE] = "GET_VRING_BASE",
		[VU_SET_VRING_KICK] = "SET_VRING_KICK",
		[VU_SET_VRING_CALL] = "SET_VRING_CALL",
		[VU_SET_VRING_ERR] = "SET_VRING_ERR",
		[VU_GET_PROTOCOL_FEATURES] = "GET_PROTOCOL_FEATURES",
		[VU_SET_PROTOCOL_FEATURES] = "SET_PROTOCOL_FEATURES",
		[VU_GET_QUEUE_NUM] = "GET_QUEUE_NUM",
		[VU_SET_VRING_ENABLE] = "SET_VRING_ENABLE",
		[VU_NET_SET_MTU] = "NET_SET_MTU",
		[VU_SET_BACKEND_REQ_FD] = "SET_BACKEND_REQ_FD",
		[VU_GET_CONFIG] = "GET_CONFIG",
		[VU_SET_CONFIG] = "SET_CONFIG",
		[VU_GET_INFLIGHT_FD] = "GET_INFLIGHT_FD",
		[VU_SET_INFLIGHT_FD] = "SET_INFLIGHT_FD",
		[VU_RESET_DEVICE] = "RESET_DEVICE",
		[VU_SET_STATUS] = "SET_STATUS",
		[VU_GET_STATUS] = "GET_STATUS",
		[VU_SET_DEVICE_STATE_FD] = "SET_DEVICE_STATE_FD",
		[VU_CHECK_DEVICE_STATE] = "CHECK_DEVICE_STATE",
	};

	return request < sizeof(names) / sizeof(names[0]) && names[request] ? names[request] :
	       "a message";
}

/* ---- what comes in ---- */

static void take_fd(void *ctx, int fd)
{
	struct wire_input *in = ctx;

	if (in->nfds < VU_MAX_FDS) {
		in->fds[in->nfds++] = fd;
	} else {
		in->surplus++;
		close(fd);
	}
}

/* How much of the message is still to come, 0 if nothing; -EPROTO where it can never be right. */
static ssize_t missing(const struct wire_input *in)
{
	struct vu_hdr hdr;

	if (in->have < sizeof(hdr))
		return (ssize_t)(sizeof(hdr) - in->have);
	memcpy(&hdr, in->buf, sizeof(hdr));
	if (hdr.size > VU_MAX_PAYLOAD)
		return -EPROTO;
	return (ssize_t)(sizeof(hdr) + hdr.size - in->have);
}

/**
 * wire_input() - read on until a message is complete
 * @in: what came so far; the payload is at buf + sizeof(*hdr) afterwards, until wire_input_drop()
 * @fd: socket
 * @hdr: filled in
 *
 * Never reads beyond the message, so that what comes next keeps its descriptors.
 *
 * Return: 1 if it is, 0 if there is no more to read, -EPIPE at the end, -EPROTO for an impossible
 * size, or why the socket failed.
 */
int wire_input(struct wire_input *in, int fd, struct vu_hdr *hdr)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int) * INPUT_FDS)];
		struct cmsghdr align;
	} control;
	ssize_t left, n;

	while ((left = missing(in)) > 0) {
		struct iovec iov = { in->buf + in->have, (size_t)left };
		struct msghdr mh = {
			.msg_iov = &iov, .msg_iovlen = 1,
			.msg_control = control.bytes, .msg_controllen = sizeof(control.bytes),
		};

		n = recvmsg(fd, &mh, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return 0;
		if (n < 0)
			return errno == ECONNRESET ? -EPIPE : -errno;
		vfus_each_fd(&mh, take_fd, in);
		if (!n)
			return -EPIPE;
		in->have += (size_t)n;
	}
	if (left < 0)
		return (int)left;
	memcpy(hdr, in->buf, sizeof(*hdr));
	return 1;
}

/**
 * wire_input_drop() - done with a message: make room for the next, close descriptors left
 * @in: input
 */
void wire_input_drop(struct wire_input *in)
{
	while (in->nfds) {
		int fd = in->fds[--in->nfds];

		if (fd >= 0)
			close(fd);
	}
	in->have = 0;
}

/**
 * wire_send() - send bytes, and descriptors with the first of them
 * @fd: socket
 * @buf: bytes
 * @len: how many
 * @fds: descriptors, which stay the caller's
 * @nfds: how many, up to VU_MAX_FDS
 *
 * Return: how many were taken, 0 if the socket is full, or a negative errno.
 */
int wire_send(int fd, const void *buf, size_t len, const int *fds, unsigned int nfds)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int) * VU_MAX_FDS)];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec iov = { (void *)buf, len };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

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
	do {
		n = sendmsg(fd, &mh, MSG_NOSIGNAL | MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -errno;
	return (int)n;
}

/* ---- calls ---- */

/**
 * wire_init() - a wire that is not open
 * @w: wire
 * @ops: what to tell its owner
 * @ctx: argument of these and of the callbacks
 * @timeout_ms: how long an answer may take before ops->late()
 */
void wire_init(struct wire *w, const struct wire_ops *ops, void *ctx, unsigned int timeout_ms)
{
	memset(w, 0, sizeof(*w));
	w->ops = ops;
	w->ctx = ctx;
	w->timeout_ms = timeout_ms;
	w->fd = -1;
	w->tail = &w->calls;
}

/**
 * wire_open() - start to use a connection
 * @w: wire that is not open
 * @fd: connected stream socket, non-blocking; owned by the wire from here on
 */
void wire_open(struct wire *w, int fd)
{
	w->fd = fd;
	w->generation++;
}

static void free_call(struct wire_call *c)
{
	while (c->nfds)
		close(c->fds[--c->nfds]);
	free(c);
}

/**
 * wire_close() - end the connection; calls that are not answered never will be
 * @w: wire, open or not
 */
void wire_close(struct wire *w)
{
	struct wire_call *c;

	while ((c = w->calls)) {
		w->calls = c->next;
		free_call(c);
	}
	w->tail = &w->calls;
	wire_input_drop(&w->in);
	if (w->fd >= 0)
		close(w->fd);
	w->fd = -1;
}

/**
 * wire_is_open() - is there a connection?
 * @w: wire
 *
 * Return: true if there is.
 */
bool wire_is_open(const struct wire *w)
{
	return w->fd >= 0;
}

/**
 * wire_unsent() - is a message still here, as a whole?
 * @w: wire
 * @request: message that begins with the number of a queue
 * @q: queue
 *
 * Return: true if it is.
 */
bool wire_unsent(const struct wire *w, enum vu_request request, unsigned int q)
{
	const struct wire_call *c;
	uint32_t index;

	for (c = w->calls; c; c = c->next) {
		if (c->hdr.request != request || c->sent || c->hdr.size < sizeof(index))
			continue;
		memcpy(&index, c->payload, sizeof(index));
		if (index == q)
			return true;
	}
	return false;
}

static void broken(struct wire *w, const char *fmt, const char *name, const char *why)
{
	char text[160];

	snprintf(text, sizeof(text), fmt, name, why);
	w->ops->broken(w->ctx, text);
}

/**
 * wire_call() - queue a message
 * @w: wire; nothing happens where it is not open
 * @request: message
 * @answer: what it is answered with
 * @payload: copied
 * @len: bytes of it
 * @fds: descriptors; duplicated, so that the caller may close them
 * @nfds: how many, up to VU_MAX_FDS
 * @done: called with the answer, or once it is sent where there is none; may be NULL, and then a
 *	refusal ends the connection
 * @arg: for @done
 *
 * Where memory or descriptors run out the connection is broken, as the back end would otherwise
 * miss a message.
 */
void wire_call(struct wire *w, enum vu_request request, enum wire_answer answer,
	       const void *payload, size_t len, const int *fds, unsigned int nfds, wire_done done,
	       unsigned int arg)
{
	struct wire_call *c;
	unsigned int i;

	if (!wire_is_open(w))
		return;
	c = calloc(1, sizeof(*c) + len);
	for (i = 0; c && i < nfds; i++) {
		c->fds[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 0);
		if (c->fds[i] < 0)
			break;
		c->nfds++;
	}
	if (!c || c->nfds != nfds) {
		if (c)
			free_call(c);
		broken(w, "%s: %s", wire_name(request), strerror(c ? EMFILE : ENOMEM));
		return;
	}
	c->hdr = (struct vu_hdr){
		.request = request,
		.flags = VU_VERSION | (answer == WIRE_ACK ? VU_F_NEED_REPLY : 0),
		.size = (uint32_t)len,
	};
	c->answer = answer;
	c->done = done;
	c->arg = arg;
	if (len)
		memcpy(c->payload, payload, len);
	*w->tail = c;
	w->tail = &c->next;
}

/* The first call is over: take it off before its callback, which may queue others or close all. */
static void finish(struct wire *w, int err, struct wire_reply *reply)
{
	struct wire_call *c = w->calls;

	w->calls = c->next;
	if (!w->calls)
		w->tail = &w->calls;
	if (c->done)
		c->done(w->ctx, err, reply, c->arg);
	else if (err)
		broken(w, "the back end refused %s%s", wire_name(c->hdr.request), "");
	free_call(c);
}

/* Returns whether the first call is on its way as a whole. */
static bool send_first(struct wire *w)
{
	struct wire_call *c = w->calls;
	size_t total = sizeof(c->hdr) + c->hdr.size;
	uint8_t buf[sizeof(c->hdr) + VU_MAX_PAYLOAD];
	int n;

	if (c->deadline)
		return true;
	memcpy(buf, &c->hdr, sizeof(c->hdr));
	memcpy(buf + sizeof(c->hdr), c->payload, c->hdr.size);
	while (c->sent < total) {
		n = wire_send(w->fd, buf + c->sent, total - c->sent, c->fds, c->nfds);
		if (n < 0) {
			broken(w, "%s cannot be sent: %s", wire_name(c->hdr.request),
			       strerror(-n));
			return false;
		}
		if (!n)
			return false;
		c->sent += (size_t)n;
		/* They went with the first byte. */
		while (c->nfds)
			close(c->fds[--c->nfds]);
	}
	c->deadline = wire_now_us() + w->timeout_ms * 1000ull;
	return true;
}

/* Check the answer to the first call and hand it over. */
static void answered(struct wire *w, const struct vu_hdr *hdr)
{
	struct wire_call *c = w->calls;
	struct wire_reply r = { .payload = w->in.buf + sizeof(*hdr), .len = hdr->size };
	unsigned int generation = w->generation;
	uint64_t value;
	int err = 0;

	if (!c || hdr->request != c->hdr.request || !(hdr->flags & VU_F_REPLY) ||
	    (hdr->flags & VU_VERSION_MASK) != VU_VERSION) {
		broken(w, "the back end sent what is no answer to %s%s",
		       c ? wire_name(c->hdr.request) : "any message", "");
		return;
	}
	if (c->answer == WIRE_ACK) {
		if (r.len != sizeof(value)) {
			broken(w, "the back end's answer to %s has a wrong size%s",
			       wire_name(c->hdr.request), "");
			return;
		}
		memcpy(&value, r.payload, sizeof(value));
		err = value ? -EREMOTEIO : 0;
	}
	memcpy(r.fds, w->in.fds, w->in.nfds * sizeof(int));
	r.nfds = w->in.nfds;
	w->in.nfds = 0;
	finish(w, err, &r);
	while (r.nfds) {
		int fd = r.fds[--r.nfds];

		if (fd >= 0)
			close(fd);
	}
	/* The callback may have closed the wire and opened it again. */
	if (generation == w->generation)
		wire_input_drop(&w->in);
}

static bool receive(struct wire *w)
{
	struct vu_hdr hdr;
	int ret = wire_input(&w->in, w->fd, &hdr);

	if (ret > 0)
		answered(w, &hdr);
	else if (ret == -EPIPE)
		w->ops->broken(w->ctx, "the back end closed the connection");
	else if (ret == -EPROTO)
		w->ops->broken(w->ctx, "the back end sent a message of an impossible size");
	else if (ret < 0)
		broken(w, "%s: %s", "receiving from the back end", strerror(-ret));
	return ret > 0;
}

/**
 * wire_run() - send what can be sent, take what has come
 * @w: wire
 */
void wire_run(struct wire *w)
{
	while (wire_is_open(w)) {
		unsigned int generation = w->generation;

		if (w->calls && send_first(w) && wire_is_open(w) &&
		    generation == w->generation && w->calls->answer == WIRE_NONE) {
			finish(w, 0, NULL);
			continue;
		}
		if (!wire_is_open(w) || generation != w->generation || !receive(w))
			break;
	}
}

/**
 * wire_idle() - is nothing on its way, in either direction?
 * @w: wire
 *
 * Return: true if so; false also of half a message.
 */
bool wire_idle(const struct wire *w)
{
	return !w->calls && !w->in.have;
}

/**
 * wire_wants_to_send() - is the socket to be polled for room?
 * @w: wire
 *
 * Return: true if there is something to send.
 */
bool wire_wants_to_send(const struct wire *w)
{
	return wire_is_open(w) && w->calls && !w->calls->deadline;
}

/**
 * wire_pause_us() - how long may the owner sleep?
 * @w: wire
 *
 * Tells of a late answer, once for each call; the call goes on to wait.
 *
 * Return: microseconds, or -1 for as long as nothing comes.
 */
long wire_pause_us(struct wire *w)
{
	struct wire_call *c = w->calls;
	uint64_t now;

	if (!wire_is_open(w) || !c || !c->deadline || c->late)
		return -1;
	now = wire_now_us();
	if (now < c->deadline)
		return (long)(c->deadline - now);
	c->late = true;
	w->ops->late(w->ctx, wire_name(c->hdr.request));
	return 0;
}
