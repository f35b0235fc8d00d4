// SPDX-License-Identifier: GPL-2.0-only
/*
 * The planned restart of a back end below a driver that does not notice: on SIGHUP its rings are
 * stopped, its state (a file system's open files) is read by SET_DEVICE_STATE_FD, and the
 * connection is ended; the next back end on the socket is given the state and then the rings.
 *
 * Each step is taken by handover_poll() or ends with an answer or an event of the pipe that the
 * state goes through, and none is waited for. The driver's requests wait in the rings meanwhile.
 * What goes wrong before the state is here leaves the back end as it was, with its rings; afterwards
 * the undertaker has them, since no back end would know what this one knew.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "vhost.h"

#define STATE_MAX	(64u << 20)	/* bytes of a back end's state that are taken */
#define STATE_PART	65536u

enum { SAVE, LOAD };			/* directions of vu_device_state */

static void close_pipe(struct vhost_handover *s)
{
	if (s->pipe >= 0)
		close(s->pipe);
	s->pipe = -1;
}

/**
 * handover_drop() - nothing is handed over, or not any more
 * @h: device
 */
void handover_drop(struct vhost *h)
{
	struct vhost_handover *s = &h->handover;

	close_pipe(s);
	free(s->buf);
	s->buf = NULL;
	s->len = 0;
	s->step = HANDOVER_NONE;
}

/* The back end keeps its rings. */
static void give_up(struct vhost *h, const char *why)
{
	vhost_log(h, 0, "%s: it is not replaced", why);
	handover_drop(h);
}

/* The state is of no use any more. */
static void fail(struct vhost *h, const char *why)
{
	handover_drop(h);
	h->condemned = why;
}

/* The one before keeps its rings; the next one is of no use. */
static void refused(struct vhost *h)
{
	if (h->handover.step == HANDOVER_LOAD)
		fail(h, "the back end does not take the state of the one before");
	else
		give_up(h, "the back end does not save its state");
}

/* Anything but a number is an error. */
static uint64_t answer(const struct wire_reply *reply)
{
	uint64_t val = 1;

	if (reply->len == sizeof(val))
		memcpy(&val, reply->payload, sizeof(val));
	return val;
}

/* (the driver may have reset the device since, and what is handed over be something else now) */
static void checked(void *ctx, int err, struct wire_reply *reply, unsigned int turn)
{
	struct vhost *h = ctx;
	struct vhost_handover *s = &h->handover;
	uint64_t val;

	(void)err;
	if (turn != s->turn)
		return;
	val = answer(reply);
	if (s->step == HANDOVER_LOAD && val) {
		refused(h);
	} else if (s->step == HANDOVER_LOAD) {
		vhost_log(h, 0, "%zu bytes of state handed over", s->len);
		handover_drop(h);
	} else if (s->step == HANDOVER_SAVE && val) {
		give_up(h, "the back end could not save its state");
	} else if (s->step == HANDOVER_SAVE) {
		s->step = HANDOVER_SAVED;
		s->since = wire_now_us();
		link_lost(h, "the back end's state is saved: waiting for the next one");
	}
}

static void transferred(struct vhost *h)
{
	close_pipe(&h->handover);
	wire_call(&h->wire, VU_CHECK_DEVICE_STATE, WIRE_REPLY, NULL, 0, NULL, 0, checked,
		  h->handover.turn);
}

static void read_state(struct vhost *h)
{
	struct vhost_handover *s = &h->handover;
	uint8_t *buf = realloc(s->buf, s->len + STATE_PART);
	ssize_t n = -1;

	if (buf) {
		s->buf = buf;
		n = read(s->pipe, s->buf + s->len, STATE_PART);
	}
	if (!n) {
		transferred(h);
		return;
	}
	if (n < 0 && buf && errno == EAGAIN)
		return;
	if (n < 0 || s->len + (size_t)n > STATE_MAX)
		give_up(h, "the back end's state cannot be read");
	else
		s->len += (size_t)n;
}

static void write_state(struct vhost *h)
{
	struct vhost_handover *s = &h->handover;
	ssize_t n = write(s->pipe, s->buf + s->done, s->len - s->done);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n < 0) {
		fail(h, "the back end does not read the state of the one before");
		return;
	}
	s->done += (size_t)n;
	if (s->done == s->len)
		transferred(h);
}

/**
 * handover_event() - the pipe of the state can be read, or written
 * @h: device
 */
void handover_event(struct vhost *h)
{
	if (h->handover.pipe >= 0 && h->handover.step == HANDOVER_SAVE)
		read_state(h);
	else if (h->handover.pipe >= 0 && h->handover.step == HANDOVER_LOAD)
		write_state(h);
}

static void pipe_came(void *ctx, int err, struct wire_reply *reply, unsigned int turn)
{
	struct vhost *h = ctx;
	struct vhost_handover *s = &h->handover;
	uint64_t val;

	(void)err;
	if (turn != s->turn || (s->step != HANDOVER_SAVE && s->step != HANDOVER_LOAD))
		return;
	val = answer(reply);
	/* It may have a descriptor that it likes better. */
	if (!(val & 0xff) && !(val & VU_VRING_NOFD) && reply->nfds == 1 && reply->fds[0] >= 0) {
		close_pipe(s);
		s->pipe = reply->fds[0];
		reply->fds[0] = -1;
		fcntl(s->pipe, F_SETFL, O_NONBLOCK);
	}
	if (!(val & 0xff) && !vhost_watch(h, s->pipe, s->step == HANDOVER_SAVE ? EPOLLIN : EPOLLOUT,
					  SRC_STATE, 0))
		return;
	refused(h);
}

static void transfer(struct vhost *h, enum vhost_handover_step step)
{
	const struct vu_device_state m = { .direction = step == HANDOVER_SAVE ? SAVE : LOAD };
	struct vhost_handover *s = &h->handover;
	int fds[2], theirs = step == HANDOVER_SAVE;

	if (pipe2(fds, O_CLOEXEC)) {
		if (step == HANDOVER_SAVE)
			give_up(h, "no pipe for the back end's state");
		else
			fail(h, "no pipe for the back end's state");
		return;
	}
	s->step = step;
	s->since = wire_now_us();
	s->done = 0;
	s->turn++;
	s->pipe = fds[!theirs];
	fcntl(s->pipe, F_SETFL, O_NONBLOCK);
	wire_call(&h->wire, VU_SET_DEVICE_STATE_FD, WIRE_REPLY, &m, sizeof(m), &fds[theirs], 1,
		  pipe_came, s->turn);
	close(fds[theirs]);
}

/**
 * handover_poll() - take the next step
 * @h: device with idle rings, of which something is handed over
 *
 * Return: microseconds after which to call it again, or -1.
 */
long handover_poll(struct vhost *h)
{
	struct vhost_handover *s = &h->handover;
	bool saved = s->step == HANDOVER_SAVED;
	uint64_t ms = saved ? h->opt.deadline_ms : 2ull * h->opt.timeout_ms, now = wire_now_us();

	if (h->link == LINK_UP && s->step == HANDOVER_STOP) {
		transfer(h, HANDOVER_SAVE);
	} else if (h->link == LINK_UP && saved && !vhost_has(h, VU_PF_DEVICE_STATE)) {
		fail(h, "the back end does not take the state of the one before");
		return 0;
	} else if (h->link == LINK_UP && saved) {
		transfer(h, HANDOVER_LOAD);
	} else if (ms && now - s->since >= ms * 1000) {
		if (saved)
			fail(h, "no back end came in time");
		else
			refused(h);
		return 0;
	}
	return ms ? (long)(s->since + ms * 1000 - now) : -1;
}

/**
 * handover_lost() - the connection has gone
 * @h: device
 */
void handover_lost(struct vhost *h)
{
	struct vhost_handover *s = &h->handover;

	close_pipe(s);
	if (s->step == HANDOVER_LOAD)
		s->step = HANDOVER_SAVED;
	else if (s->step == HANDOVER_SAVE && h->type.stateful)
		fail(h, "the back end has gone while it saved its state");
	else if (s->step == HANDOVER_STOP || s->step == HANDOVER_SAVE)
		handover_drop(h);
}

/**
 * handover_begin() - the back end is to be replaced, if that is possible
 * @h: device
 */
void handover_begin(struct vhost *h)
{
	if (h->handover.step != HANDOVER_NONE)
		return;
	/* (a driver whose rings are just being started uses it) */
	if (h->link != LINK_UP || h->buried || !virtio_live(&h->v) || h->v.resetting ||
	    h->leaving) {
		vhost_log(h, 0, "no driver uses the back end: it can be replaced as it is");
		return;
	}
	/* What the one before was doing the one that came instead does not know. */
	if (h->rings == RINGS_LOST) {
		vhost_log(h, 0, "the back end is lost: there is nothing that it could save");
		return;
	}
	if (!vhost_has(h, VU_PF_DEVICE_STATE)) {
		vhost_log(h, 0, "the back end cannot save its state (no DEVICE_STATE)");
		return;
	}
	vhost_log(h, 1, "the back end is to be replaced");
	h->handover.step = HANDOVER_STOP;
}
