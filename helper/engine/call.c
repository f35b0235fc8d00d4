// SPDX-License-Identifier: GPL-2.0-only
/*
 * Synchronous requests: an asynchronous one, and processing until it is over.
 *
 * The struct vfuc_call lives on the caller's stack. That is safe because vfuc_wait() returns only
 * once the request completed, unless it never was sent.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

int vfuc_wait(struct vfuc *c, const bool *finished, struct vfuc_error *error)
{
	struct pollfd fds[VFUC_POLL_FDS];
	int n;

	while (!*finished) {
		/*
		 * Poll first: there was no time for a reply. An interrupted or failed poll() does
		 * no harm, vfuc_process() looks at the sockets and the clock by itself.
		 */
		n = vfuc_poll_fds(c, fds, VFUC_POLL_FDS);
		poll(fds, n, vfuc_next_deadline_ms(c));
		if (vfuc_process(c) && !*finished)
			return vfuc_describe(c, 0, c->death.kind, c->dead, error);
	}
	return 0;
}

int vfuc_describe(const struct vfuc *c, unsigned int command, enum vfuc_error_kind kind, int err,
		  struct vfuc_error *error)
{
	const char *name = vfuc_command_name(command);

	if (c->dead && err == c->dead) {
		if (error)
			*error = c->death;
		return err;
	}
	switch (kind) {
	case VFUC_TIMEOUT:
		return vfuc_error_set(error, kind, err,
				      "the server did not answer %s within %u ms; is it hung?",
				      name, command == VFUC_CMD_RESET ? c->config.reset_timeout_ms :
				      c->config.timeout_ms);
	case VFUC_SERVER_ERROR:
		return vfuc_error_set(error, kind, err, "the server refused %s: %s", name,
				      strerror(-err));
	case VFUC_PROTOCOL:
		return vfuc_error_set(error, kind, err,
				      "the server's reply to %s breaks the protocol", name);
	default:
		return vfuc_error_set(error, kind == VFUC_OK ? VFUC_SYSTEM : kind, err,
				      "%s could not be sent: %s", name, strerror(-err));
	}
}

static void finish(struct vfuc *c, const struct vfuc_request *request,
		   const struct vfuc_reply *reply)
{
	struct vfuc_call *call = request->opaque;

	(void)c;
	call->finished = true;
	call->error = reply->error;
	call->kind = reply->kind;
	if (call->error)
		return;
	/* One byte more, so that an empty payload is not mistaken for a lack of memory. */
	call->reply = malloc(reply->len + 1);
	if (!call->reply) {
		call->error = -ENOMEM;
		call->kind = VFUC_SYSTEM;
		return;
	}
	memcpy(call->reply, reply->data, reply->len);
	call->reply_len = reply->len;
	if (reply->fds && request->wants_fds) {
		call->fds = *reply->fds;
		reply->fds->count = 0;
		reply->fds->lost = false;
	}
}

int vfuc_call(struct vfuc *c, struct vfuc_call *call, struct vfuc_error *error)
{
	struct vfuc_request request = {
		.command = call->command,
		.wants_fds = call->wants_fds,
		.deadline = call->deadline,
		.complete = finish,
		.opaque = call,
	};
	struct iovec iov[2] = {
		{ 0 },
		{ .iov_base = (void *)call->payload, .iov_len = call->len },
	};
	int err;

	call->finished = false;
	call->reply = NULL;
	call->reply_len = 0;
	call->fds.count = 0;
	call->fds.lost = false;
	if (c->dispatching)
		return vfuc_error_set(error, VFUC_USAGE, -EDEADLK,
				      "%s: synchronous call from a callback",
				      vfuc_command_name(call->command));
	err = vfuc_request(c, &request, iov, 2, &call->fd, call->fd >= 0, true);
	if (err)
		return vfuc_describe(c, call->command, VFUC_SYSTEM, err, error);
	err = vfuc_wait(c, &call->finished, error);
	if (err)
		return err;
	if (call->error)
		return vfuc_describe(c, call->command, call->kind, call->error, error);
	return 0;
}

void vfuc_call_free(struct vfuc *c, struct vfuc_call *call)
{
	unsigned int surplus = vfuc_fds_close(&call->fds);

	if (surplus) {
		c->stats.surplus_fds += surplus;
		c->stats.violations++;
	}
	free(call->reply);
	call->reply = NULL;
}
