// SPDX-License-Identifier: GPL-2.0-only
/*
 * The connection: opening and negotiating, sending requests, taking messages in, dying.
 *
 * Order in vfuc_process(): what came in is handled before a broken send side is acted on, so that
 * the last words of a server that closed are heard. Requests leave the pending table before their
 * callbacks run, so that callbacks may submit.
 */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

#define MESSAGES_PER_CALL	256	/* handled by one vfuc_process() per socket */
#define MAX_ERRNO		4095

void vfuc_note(struct vfuc *c, enum vfuc_level level, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	if (level == VFUC_WARN)
		c->stats.violations++;
	if (!c->ops.note || c->notes >= VFUC_MAX_NOTES)
		return;
	c->notes++;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	c->ops.note(c->config.opaque, level, text);
	if (c->notes == VFUC_MAX_NOTES)
		c->ops.note(c->config.opaque, VFUC_NOTE,
			    "no more notes about this server, it has had enough");
}

/* Ends every waiting request. Callbacks may submit, which fails as the connection is dead. */
static void fail_pending(struct vfuc *c, enum vfuc_error_kind kind, int err)
{
	struct vfuc_reply reply = { .error = err, .kind = kind };
	struct vfuc_request request;

	while (vfuc_pending_any(&c->pending, &request))
		request.complete(c, &request, &reply);
}

static void die(struct vfuc *c, enum vfuc_error_kind kind, int err, const char *why)
{
	if (c->dead)
		return;
	c->dead = err;
	vfuc_error_set(&c->death, kind, err, "%s", why);
	vfuc_channel_close(&c->main);
	vfuc_channel_close(&c->twin);
	fail_pending(c, kind, err);
	if (!c->negotiating && c->ops.closed)
		c->ops.closed(c->config.opaque, err);
}

static void die_of(struct vfuc *c, int err)
{
	switch (err) {
	case -ECONNRESET:
		die(c, VFUC_CLOSED, err, "the server closed the connection; see its log");
		break;
	case -EPROTO:
		die(c, VFUC_PROTOCOL, err,
		    "what the server sends is not vfio-user; is it the right socket?");
		break;
	case -ENOMEM:
		die(c, VFUC_SYSTEM, err, "out of memory");
		break;
	default:
		die(c, VFUC_SYSTEM, err, strerror(-err));
	}
}

/* ---- sending ---- */

int vfuc_may_queue(const struct vfuc *c, size_t bytes)
{
	if (c->dead)
		return c->dead;
	if (c->main.tx_head && c->main.tx_bytes + bytes > c->config.max_queue_bytes)
		return -EAGAIN;
	return 0;
}

struct vfuc_fault vfuc_inject(struct vfuc *c, unsigned int command, uint32_t region)
{
	struct vfuc_fault fault = { 0 };

	if (c->ops.inject)
		c->ops.inject(c->config.opaque, command, region, &fault);
	if (fault.delay_ms)
		vfuc_channel_hold(&c->main, fault.delay_ms);
	return fault;
}

static bool has_region(unsigned int command)
{
	return command == VFUC_CMD_REGION_READ || command == VFUC_CMD_REGION_WRITE;
}

int vfuc_request(struct vfuc *c, const struct vfuc_request *request, struct iovec *iov, int n,
		 const int *fds, unsigned int nr_fds, bool force)
{
	struct vfuc_header header = { .command = request->command };
	struct vfuc_request r = *request;
	struct vfuc_fault fault;
	int err;
	int id;
	int i;

	header.size = sizeof(header);
	for (i = 1; i < n; i++)
		header.size += iov[i].iov_len;
	err = vfuc_may_queue(c, header.size);
	if (err && !(force && err == -EAGAIN))
		return err;
	r.expires_ms = vfuc_now_ms() + (r.deadline == VFUC_DEADLINE_RESET ?
					c->config.reset_timeout_ms : c->config.timeout_ms);
	fault = vfuc_inject(c, r.command, has_region(r.command) ? r.region : VFUC_NO_REGION);
	r.injected = fault.error;
	id = vfuc_pending_add(&c->pending, &r);
	if (id < 0)
		return id;
	if (fault.drop)
		return 0;
	header.id = id;
	iov[0].iov_base = &header;
	iov[0].iov_len = sizeof(header);
	err = vfuc_channel_send(&c->main, iov, n, fds, nr_fds, c->corked);
	if (err)
		vfuc_pending_take(&c->pending, id, &r);
	return err;
}

void vfuc_complete_plain(struct vfuc *c, const struct vfuc_request *request,
			 const struct vfuc_reply *reply)
{
	int err = reply->error;

	if (!err && reply->len) {
		vfuc_note(c, VFUC_WARN, "reply to %s with %zu bytes where none belong",
			  vfuc_command_name(request->command), reply->len);
		err = -EPROTO;
	}
	if (request->done)
		request->done(request->opaque, request->cookie, err, NULL, 0);
}

void vfuc_cork(struct vfuc *c)
{
	c->corked = true;
}

int vfuc_uncork(struct vfuc *c)
{
	c->corked = false;
	return vfuc_flush(c);
}

int vfuc_flush(struct vfuc *c)
{
	int err;

	if (c->dead)
		return c->dead;
	err = vfuc_channel_flush(&c->main);
	if (!err && c->twin.fd >= 0)
		err = vfuc_channel_flush(&c->twin);
	return err;
}

/* ---- receiving ---- */

/*
 * Is it the answer to a posted write? Some servers answer those too, which does no harm, and tells
 * of errors that nobody would hear of otherwise. Said once: each write may have one.
 */
static bool posted_reply(struct vfuc *c, const struct vfuc_message *m)
{
	if (m->header.id != VFUC_ID_NO_REPLY || !c->stats.writes ||
	    (m->header.command != VFUC_CMD_REGION_WRITE &&
	     m->header.command != VFUC_CMD_REGION_WRITE_MULTI))
		return false;
	if (!c->stats.posted_replies++)
		vfuc_note(c, VFUC_NOTE, "the server answers writes that want no reply; ignored");
	if (m->header.flags & VFUC_FLAG_ERROR && !c->stats.posted_errors++)
		vfuc_note(c, VFUC_NOTE, "the server has refused a write that wants no reply (%s)",
			  strerror(m->header.error && m->header.error <= MAX_ERRNO ?
				   m->header.error : EIO));
	return true;
}

static void handle_reply(struct vfuc *c, const struct vfuc_message *m)
{
	struct vfuc_reply reply = { .fds = m->fds };
	struct vfuc_request request;

	if (!vfuc_pending_take(&c->pending, m->header.id, &request)) {
		if (posted_reply(c, m))
			return;
		c->stats.unknown_replies++;
		vfuc_note(c, VFUC_WARN, "reply %u to %s, which was not asked; ignored",
			  m->header.id, vfuc_command_name(m->header.command));
		return;
	}
	if (request.state == VFUC_REQUEST_LATE) {
		c->stats.late_replies++;
		return;
	}
	if (m->header.command != request.command) {
		vfuc_note(c, VFUC_WARN, "reply to %s where one to %s belongs",
			  vfuc_command_name(m->header.command),
			  vfuc_command_name(request.command));
		reply.error = -EPROTO;
		reply.kind = VFUC_PROTOCOL;
	} else if (request.injected) {
		reply.error = -request.injected;
		reply.kind = VFUC_SERVER_ERROR;
	} else if (m->header.flags & VFUC_FLAG_ERROR) {
		c->stats.error_replies++;
		reply.kind = VFUC_SERVER_ERROR;
		if (m->header.error && m->header.error <= MAX_ERRNO)
			reply.error = -(int)m->header.error;
		else
			reply.error = -EIO;
	} else {
		reply.data = m->payload;
		reply.len = m->len;
	}
	request.complete(c, &request, &reply);
}

static int handle_message(struct vfuc *c, struct vfuc_channel *ch, const struct vfuc_message *m)
{
	if (vfuc_is_reply(&m->header)) {
		if (ch == &c->main) {
			handle_reply(c, m);
		} else {
			c->stats.unknown_replies++;
			vfuc_note(c, VFUC_WARN, "reply on the twin socket; ignored");
		}
		return 0;
	}
	if (c->negotiating)
		return -EPROTO;
	if (m->header.command == VFUC_CMD_DMA_READ || m->header.command == VFUC_CMD_DMA_WRITE)
		return vfuc_serve_dma(c, ch, m);
	c->stats.unknown_commands++;
	vfuc_note(c, VFUC_WARN, "the server asks for %s (%u), which is not for us to do",
		  vfuc_command_name(m->header.command), m->header.command);
	return vfuc_serve_error(ch, m, EOPNOTSUPP);
}

/* A server that asks and does not take the answers is not listened to until it does. */
static bool choked(const struct vfuc *c, const struct vfuc_channel *ch)
{
	return ch->tx_reply_bytes > c->config.max_queue_bytes;
}

/* Returns 0 or the errno the connection must die of. */
static int take_in(struct vfuc *c, struct vfuc_channel *ch)
{
	unsigned int budget = MESSAGES_PER_CALL;
	bool drained = false;
	struct vfuc_message m;
	ssize_t got;
	bool exact;
	int ret;

	for (;;) {
		while (budget && !choked(c, ch)) {
			ret = vfuc_channel_next(ch, &m);
			if (ret < 0)
				return ret;
			if (!ret)
				break;
			budget--;
			ret = handle_message(c, ch, &m);
			vfuc_channel_consume(ch, &m);
			if (ret)
				return ret;
		}
		if (!budget || choked(c, ch) || drained)
			return 0;
		exact = ch == &c->main && c->pending.wanting_fds;
		got = vfuc_channel_receive(ch, exact);
		if (got == -EAGAIN)
			return 0;
		if (got < 0)
			return got;
		/*
		 * Less than there was room for: the socket is empty, or a message with descriptors
		 * ended there, for which poll() will call again.
		 */
		drained = !exact && ch->rx_end < ch->rx_capacity;
	}
}

static void expire(struct vfuc *c)
{
	struct vfuc_reply reply = { .error = -ETIMEDOUT, .kind = VFUC_TIMEOUT };
	struct vfuc_request request;
	uint64_t now;

	if (!c->pending.waiting)
		return;
	now = vfuc_now_ms();
	/*
	 * Where messages still wait here to be handled, it may be us who were late, and the reply
	 * among them: as much time again, and no more, as the server may also be flooding us.
	 */
	if (vfuc_channel_readable(&c->main))
		now -= now < c->config.timeout_ms ? now : c->config.timeout_ms;
	while (vfuc_pending_expire(&c->pending, now, &request)) {
		c->stats.timeouts++;
		vfuc_note(c, VFUC_NOTE, "no reply to %s in time",
			  vfuc_command_name(request.command));
		request.complete(c, &request, &reply);
	}
}

static bool stalled(const struct vfuc *c, struct vfuc_channel *ch)
{
	return ch->tx_head && !vfuc_channel_held(ch) &&
	       vfuc_now_ms() - ch->tx_progress_ms >= c->config.timeout_ms;
}

int vfuc_process(struct vfuc *c)
{
	int err;

	if (c->dead)
		return c->dead;
	if (c->dispatching)
		return -EDEADLK;
	c->dispatching = true;
	c->corked = false;
	vfuc_flush(c);
	err = take_in(c, &c->main);
	if (!err && c->twin.fd >= 0)
		err = take_in(c, &c->twin);
	if (!err)
		expire(c);
	/* Callbacks may have queued, or left a cork in. */
	c->corked = false;
	if (!err)
		err = vfuc_flush(c);
	if (err)
		die_of(c, err);
	else if (stalled(c, &c->main) || stalled(c, &c->twin))
		die(c, VFUC_TIMEOUT, -ETIMEDOUT,
		    "the server does not read its socket; is it hung?");
	c->dispatching = false;
	return c->dead;
}

int vfuc_poll_fds(const struct vfuc *c, struct pollfd *fds, int max)
{
	const struct vfuc_channel *channels[] = { &c->main, &c->twin };
	int n = 0;
	int i;

	for (i = 0; i < VFUC_POLL_FDS && n < max; i++) {
		const struct vfuc_channel *ch = channels[i];

		if (ch->fd < 0)
			continue;
		fds[n].fd = ch->fd;
		fds[n].events = (choked(c, ch) ? 0 : POLLIN) |
				(ch->tx_head && !ch->hold_ms ? POLLOUT : 0);
		fds[n].revents = 0;
		n++;
	}
	return n;
}

static bool has_input(const struct vfuc *c, const struct vfuc_channel *ch)
{
	return ch->fd >= 0 && !choked(c, ch) && vfuc_channel_readable(ch);
}

bool vfuc_busy(const struct vfuc *c)
{
	return (c->main.tx_head && !c->main.hold_ms) || c->twin.tx_head || has_input(c, &c->main) ||
	       has_input(c, &c->twin);
}

int vfuc_next_deadline_ms(const struct vfuc *c)
{
	const struct vfuc_channel *channels[] = { &c->main, &c->twin };
	uint64_t deadline = vfuc_pending_deadline(&c->pending);
	uint64_t now;
	int i;

	if (c->dead)
		return -1;
	for (i = 0; i < VFUC_POLL_FDS; i++) {
		const struct vfuc_channel *ch = channels[i];

		if (ch->err || has_input(c, ch))
			return 0;
		if (ch->tx_head && ch->hold_ms) {
			if (ch->hold_ms < deadline)
				deadline = ch->hold_ms;
		} else if (ch->tx_head && ch->tx_progress_ms + c->config.timeout_ms < deadline) {
			deadline = ch->tx_progress_ms + c->config.timeout_ms;
		}
	}
	if (deadline == UINT64_MAX)
		return -1;
	now = vfuc_now_ms();
	if (deadline <= now)
		return 0;
	return deadline - now > INT32_MAX ? INT32_MAX : (int)(deadline - now);
}

/* ---- opening and closing ---- */

static void version_note(void *opaque, const char *text)
{
	vfuc_note(opaque, VFUC_NOTE, "%s", text);
}

static int adopt_twin(struct vfuc *c, struct vfuc_fds *fds, int index, struct vfuc_error *error)
{
	int fd = vfuc_fds_take(fds, index);
	bool passes_fds;
	int err;

	vfuc_channel_init(&c->twin, fd, &c->pool, &c->stats);
	c->twin.rx_max = c->main.rx_max;
	c->twin.tap = c->ops.tap;
	c->twin.tap_opaque = c->config.opaque;
	c->twin.twin = true;
	err = vfuc_transport_adopt(fd, &passes_fds);
	if (err)
		return vfuc_error_set(error, VFUC_PROTOCOL, -EPROTO,
				      "the server's twin socket is not a stream socket: %s",
				      strerror(-err));
	return 0;
}

/* A reply to VERSION can only be refused or taken; every failure here ends the connection. */
static int negotiate(struct vfuc *c, struct vfuc_error *error)
{
	struct vfuc_wire_version version = {
		.major = VFUC_VERSION_MAJOR,
		.minor = VFUC_VERSION_MINOR,
	};
	struct vfuc_call call = { .command = VFUC_CMD_VERSION, .fd = -1 };
	struct vfuc_error ours = { 0 };
	bool can_pass_fds = c->caps.can_pass_fds;
	size_t len, largest;
	int twin_index;
	uint8_t *payload;
	char *json;
	int err;

	json = vfuc_version_propose(&c->proposal);
	if (!json)
		return vfuc_error_set(error, VFUC_SYSTEM, -ENOMEM, "out of memory");
	len = sizeof(version) + strlen(json) + 1;
	payload = malloc(len);
	if (!payload) {
		free(json);
		return vfuc_error_set(error, VFUC_SYSTEM, -ENOMEM, "out of memory");
	}
	memcpy(payload, &version, sizeof(version));
	memcpy(payload + sizeof(version), json, len - sizeof(version));
	free(json);
	call.payload = payload;
	call.len = len;
	call.wants_fds = can_pass_fds;
	c->negotiating = true;
	if (can_pass_fds)
		vfuc_transport_ask_sender(c->main.fd, true);
	c->main.rx_max = sizeof(struct vfuc_header) + sizeof(version) + VFUC_VERSION_MAX_JSON;
	err = vfuc_call(c, &call, &ours);
	if (can_pass_fds)
		vfuc_transport_ask_sender(c->main.fd, false);
	free(payload);
	if (err) {
		if (ours.kind == VFUC_SERVER_ERROR)
			return vfuc_error_set(error, VFUC_VERSION, err,
					      "the server refuses vfio-user %u.%u: %s",
					      VFUC_VERSION_MAJOR, VFUC_VERSION_MINOR,
					      strerror(-err));
		if (error)
			*error = ours;
		return err;
	}
	err = vfuc_version_judge(&c->proposal, call.reply, call.reply_len, call.fds.count,
				 &c->caps, &twin_index, version_note, c, error);
	if (err)
		goto out;
	c->caps.can_pass_fds = can_pass_fds;
	c->caps.server_pid = c->main.rx_fds.sender;
	largest = sizeof(struct vfuc_wire_access) + c->caps.max_data_xfer_size;
	if (largest < sizeof(struct vfuc_wire_dma) + c->proposal.max_data_xfer_size)
		largest = sizeof(struct vfuc_wire_dma) + c->proposal.max_data_xfer_size;
	if (largest < VFUC_MAX_INFO)
		largest = VFUC_MAX_INFO;
	c->main.rx_max = sizeof(struct vfuc_header) + largest;
	if (call.reply_len > sizeof(version))
		c->json = strdup((char *)call.reply + sizeof(version));
	else
		c->json = strdup("");
	if (!c->json) {
		err = vfuc_error_set(error, VFUC_SYSTEM, -ENOMEM, "out of memory");
		goto out;
	}
	c->caps.json = c->json;
	if (twin_index >= 0)
		err = adopt_twin(c, &call.fds, twin_index, error);
	/* It may have said yes and closed: a connection that is open is alive. */
	if (!err && c->dead)
		err = vfuc_describe(c, VFUC_CMD_VERSION, c->death.kind, c->dead, error);
	if (!err)
		c->negotiating = false;
out:
	vfuc_call_free(c, &call);
	return err;
}

static int check_config(struct vfuc *c, struct vfuc_error *error)
{
	struct vfuc_config *config = &c->config;
	struct vfuc_proposal *p = &c->proposal;

	if (!config->timeout_ms)
		config->timeout_ms = VFUC_DEFAULT_TIMEOUT_MS;
	if (!config->reset_timeout_ms)
		config->reset_timeout_ms = 6 * config->timeout_ms;
	if (!config->max_queue_bytes)
		config->max_queue_bytes = VFUC_DEFAULT_MAX_QUEUE;
	if (!config->max_pending)
		config->max_pending = VFUC_DEFAULT_MAX_PENDING;
	p->max_msg_fds = config->max_msg_fds ?: VFUC_DEFAULT_MAX_MSG_FDS;
	p->max_data_xfer_size = config->max_data_xfer_size ?: VFUC_DEFAULT_MAX_XFER;
	p->pgsizes = config->pgsizes ?: VFUC_DEFAULT_PGSIZES;
	p->max_dma_maps = config->max_dma_maps ?: VFUC_DEFAULT_MAX_DMA_MAPS;
	p->write_multiple = !config->no_write_multiple;
	p->keep_ms = config->keep_ms;
	p->token = config->token;
	if (!config->address || !*config->address)
		return vfuc_error_set(error, VFUC_USAGE, -EINVAL, "no socket was given");
	if (p->max_msg_fds > VFUC_TRANSPORT_MAX_FDS || p->max_data_xfer_size > VFUC_LARGEST_XFER)
		return vfuc_error_set(error, VFUC_USAGE, -EINVAL,
				      "at most %u descriptors in a message, %u bytes in a transfer",
				      VFUC_TRANSPORT_MAX_FDS, VFUC_LARGEST_XFER);
	return 0;
}

/**
 * vfuc_open() - connect to a server and negotiate
 * @out: the connection, valid only if 0 is returned
 * @config: what to connect to and what to propose; need not outlive the call
 * @error: filled in on failure; may be NULL
 *
 * Implements VFIO_USER_VERSION and the twin_socket capability.
 *
 * Context: blocks up to the timeout for connecting and once more for the reply.
 * Return: 0 or a negative errno.
 */
int vfuc_open(struct vfuc **out, const struct vfuc_config *config, struct vfuc_error *error)
{
	struct vfuc *c = calloc(1, sizeof(*c));
	int fd;
	int err;

	if (!c)
		return vfuc_error_set(error, VFUC_SYSTEM, -ENOMEM, "out of memory");
	c->main.fd = -1;
	c->twin.fd = -1;
	c->config = *config;
	if (config->ops)
		c->ops = *config->ops;
	c->config.ops = NULL;
	err = check_config(c, error);
	if (err)
		goto fail;
	err = vfuc_pending_init(&c->pending, c->config.max_pending);
	if (err) {
		vfuc_error_set(error, VFUC_USAGE, err,
			       "max_pending %u is not a power of two up to 32768",
			       c->config.max_pending);
		goto fail;
	}
	err = vfuc_transport_open(config->address, c->config.timeout_ms, &fd,
				  &c->caps.can_pass_fds, error);
	if (err)
		goto fail;
	vfuc_channel_init(&c->main, fd, &c->pool, &c->stats);
	c->main.tap = c->ops.tap;
	c->main.tap_opaque = c->config.opaque;
	if (config->no_fds)
		c->caps.can_pass_fds = false;
	/* Nor is the server to send any. */
	if (!c->caps.can_pass_fds)
		c->proposal.max_msg_fds = 0;
	c->proposal.twin_socket = c->caps.can_pass_fds && !config->no_twin_socket;
	err = negotiate(c, error);
	if (err)
		goto fail;
	c->config.address = NULL;
	*out = c;
	return 0;
fail:
	vfuc_close(c);
	return err;
}

/**
 * vfuc_close() - end a connection
 * @c: connection, dead or alive, or NULL
 *
 * Callbacks of outstanding requests run with -ECANCELED. Not to be called from a callback.
 */
void vfuc_close(struct vfuc *c)
{
	if (!c)
		return;
	if (!c->dead) {
		c->negotiating = true;	/* closing on purpose is not told */
		if (c->pending.slots)
			die(c, VFUC_CLOSED, -ECANCELED, "closed");
	}
	vfuc_channel_close(&c->main);
	vfuc_channel_close(&c->twin);
	vfuc_pending_free(&c->pending);
	vfuc_dma_free(&c->dma);
	vfuc_pool_free(&c->pool);
	free(c->json);
	free(c);
}

const struct vfuc_caps *vfuc_caps(const struct vfuc *c)
{
	return &c->caps;
}

const struct vfuc_stats *vfuc_stats(const struct vfuc *c)
{
	return &c->stats;
}

void vfuc_set_timeout(struct vfuc *c, unsigned int timeout_ms)
{
	c->config.timeout_ms = timeout_ms;
	c->config.reset_timeout_ms = 6 * timeout_ms;
}

int vfuc_dead(const struct vfuc *c)
{
	return c->dead;
}

unsigned int vfuc_pending(const struct vfuc *c)
{
	return c->pending.waiting;
}
