// SPDX-License-Identifier: GPL-2.0-only
/*
 * Interrupts: DEVICE_GET_IRQ_INFO and DEVICE_SET_IRQS.
 *
 * A SET_IRQS message carries at most max_msg_fds eventfds, all vectors of it have one or none has:
 * what is asked for is cut into such batches, and each is sent when the one before was answered.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

#define MAX_VECTORS	2048	/* of an interrupt type: as many as MSI-X can have */

#define DATA_FLAGS	(VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_DATA_BOOL | \
			 VFIO_IRQ_SET_DATA_EVENTFD)
#define ACTION_FLAGS	(VFIO_IRQ_SET_ACTION_MASK | VFIO_IRQ_SET_ACTION_UNMASK | \
			 VFIO_IRQ_SET_ACTION_TRIGGER)

/* One vfuc_submit_set_irqs() that needs eventfds; freed before its done() runs. */
struct batches {
	vfuc_done_fn done;
	void *opaque;
	uint64_t cookie;
	uint32_t index;
	uint32_t flags;
	uint32_t start;
	uint32_t count;
	uint32_t at;		/* of count: sent so far */
	int fds[];
};

/**
 * vfuc_get_irq_info() - ask for one interrupt type
 * @c: connection
 * @index: VFIO_PCI_INTX_IRQ_INDEX, ...
 * @info: filled in
 * @error: filled in on failure, or NULL
 *
 * Implements VFIO_USER_DEVICE_GET_IRQ_INFO.
 *
 * Context: blocks; other requests' callbacks run.
 * Return: 0 or a negative errno.
 */
int vfuc_get_irq_info(struct vfuc *c, uint32_t index, struct vfuc_irq_info *info,
		      struct vfuc_error *error)
{
	struct vfuc_wire_irq_info wire = { .argsz = sizeof(wire), .index = index };
	struct vfuc_call call = {
		.command = VFUC_CMD_GET_IRQ_INFO,
		.payload = &wire,
		.len = sizeof(wire),
		.fd = -1,
	};
	int err;

	err = vfuc_call(c, &call, error);
	if (err)
		return err;
	if (call.reply_len >= sizeof(wire))
		memcpy(&wire, call.reply, sizeof(wire));
	if (call.reply_len < sizeof(wire) || wire.argsz < sizeof(wire) || wire.index != index)
		err = vfuc_describe(c, call.command, VFUC_PROTOCOL, -EPROTO, error);
	else if (wire.count > MAX_VECTORS)
		err = vfuc_error_set(error, VFUC_PROTOCOL, -EPROTO,
				     "the server claims %u interrupts of type %u, more than PCI has",
				     wire.count, index);
	vfuc_call_free(c, &call);
	if (err)
		return err;
	info->index = index;
	info->flags = wire.flags;
	info->count = wire.count;
	return 0;
}

static int send_set(struct vfuc *c, const struct vfuc_wire_irq_set *set, const int *fds,
		    unsigned int nr_fds, struct vfuc_request *request, bool force)
{
	struct iovec iov[2] = { { 0 }, { .iov_base = (void *)set, .iov_len = sizeof(*set) } };

	request->command = VFUC_CMD_SET_IRQS;
	return vfuc_request(c, request, iov, 2, fds, nr_fds, force);
}

static void complete_batch(struct vfuc *c, const struct vfuc_request *request,
			   const struct vfuc_reply *reply);

/* The next run of vectors that all have an eventfd, or all have none. */
static int send_batch(struct vfuc *c, struct batches *b, bool force)
{
	struct vfuc_request request = { .complete = complete_batch, .opaque = b };
	struct vfuc_wire_irq_set set = {
		.argsz = sizeof(set),
		.flags = b->flags,
		.index = b->index,
		.start = b->start + b->at,
	};
	const int *fds = b->fds + b->at;
	bool give = *fds >= 0;
	uint32_t left = b->count - b->at;
	int err;

	if (give && left > c->caps.max_msg_fds)
		left = c->caps.max_msg_fds;
	while (set.count < left && (fds[set.count] >= 0) == give)
		set.count++;
	err = send_set(c, &set, fds, give ? set.count : 0, &request, force);
	if (!err)
		b->at += set.count;
	return err;
}

static void complete_batch(struct vfuc *c, const struct vfuc_request *request,
			   const struct vfuc_reply *reply)
{
	struct batches *b = request->opaque;
	struct batches last = *b;
	int err = reply->error;

	if (!err && reply->len) {
		vfuc_note(c, VFUC_WARN, "reply to %s with %zu bytes where none belong",
			  vfuc_command_name(request->command), reply->len);
		err = -EPROTO;
	}
	if (!err && b->at < b->count) {
		/* The place that the last batch had in table and queue is this one's. */
		err = send_batch(c, b, true);
		if (!err)
			return;
	}
	free(b);
	if (last.done)
		last.done(last.opaque, last.cookie, err, NULL, 0);
}

static bool one_bit(uint32_t flags)
{
	return flags && !(flags & (flags - 1));
}

/**
 * vfuc_submit_set_irqs() - set up, mask, unmask, trigger or disable interrupts
 * @c: connection
 * @index: interrupt type
 * @flags: VFIO_IRQ_SET_DATA_NONE or VFIO_IRQ_SET_DATA_EVENTFD, and one VFIO_IRQ_SET_ACTION_*
 * @start: first vector
 * @count: vectors; 0 with DATA_NONE and ACTION_TRIGGER disables all
 * @fds: for DATA_EVENTFD: @count eventfds or -1; must stay open until @done runs
 * @done: told when the server has done it all, or of the first error
 * @opaque: for @done
 * @cookie: for @done
 *
 * Implements VFIO_USER_DEVICE_SET_IRQS.
 *
 * Context: never sleeps; callbacks do not run here.
 * Return: 0, -EAGAIN, -EINVAL, -ENOMEM, -EOPNOTSUPP for eventfds that cannot be passed, or the
 * errno of a dead connection.
 */
int vfuc_submit_set_irqs(struct vfuc *c, uint32_t index, uint32_t flags, uint32_t start,
			 uint32_t count, const int *fds, vfuc_done_fn done, void *opaque,
			 uint64_t cookie)
{
	struct vfuc_wire_irq_set set = {
		.argsz = sizeof(set),
		.flags = flags,
		.index = index,
		.start = start,
		.count = count,
	};
	struct vfuc_request request = {
		.complete = vfuc_complete_plain,
		.done = done,
		.opaque = opaque,
		.cookie = cookie,
	};
	bool give = false;
	struct batches *b;
	uint32_t i;
	int err;

	if (c->dead)
		return c->dead;
	if (flags & ~(DATA_FLAGS | ACTION_FLAGS) || !one_bit(flags & ACTION_FLAGS) ||
	    !one_bit(flags & DATA_FLAGS) || flags & VFIO_IRQ_SET_DATA_BOOL ||
	    start > MAX_VECTORS || count > MAX_VECTORS - start)
		return -EINVAL;
	if (flags & VFIO_IRQ_SET_DATA_NONE) {
		if (!count && (start || !(flags & VFIO_IRQ_SET_ACTION_TRIGGER)))
			return -EINVAL;
		return send_set(c, &set, NULL, 0, &request, false);
	}
	if (!count || !fds)
		return -EINVAL;
	for (i = 0; i < count; i++)
		give |= fds[i] >= 0;
	if (give && (!c->caps.can_pass_fds || !c->caps.max_msg_fds))
		return -EOPNOTSUPP;
	b = malloc(sizeof(*b) + count * sizeof(int));
	if (!b)
		return -ENOMEM;
	b->done = done;
	b->opaque = opaque;
	b->cookie = cookie;
	b->index = index;
	b->flags = flags;
	b->start = start;
	b->count = count;
	b->at = 0;
	memcpy(b->fds, fds, count * sizeof(int));
	err = send_batch(c, b, false);
	if (err)
		free(b);
	return err;
}

struct waiter {
	bool finished;
	int error;
};

static void wake(void *opaque, uint64_t cookie, int error, const void *data, size_t len)
{
	struct waiter *w = opaque;

	(void)cookie;
	(void)data;
	(void)len;
	w->finished = true;
	w->error = error;
}

static enum vfuc_error_kind kind_of(int err)
{
	switch (err) {
	case -ETIMEDOUT:
		return VFUC_TIMEOUT;
	case -EPROTO:
		return VFUC_PROTOCOL;
	default:
		return VFUC_SERVER_ERROR;
	}
}

static int set_and_wait(struct vfuc *c, uint32_t index, uint32_t flags, uint32_t start,
			uint32_t count, const int *fds, struct vfuc_error *error)
{
	struct waiter w = { 0 };
	int err;

	if (c->dispatching)
		return vfuc_error_set(error, VFUC_USAGE, -EDEADLK,
				      "SET_IRQS: synchronous call from a callback");
	err = vfuc_submit_set_irqs(c, index, flags, start, count, fds, wake, &w, 0);
	if (err == -EOPNOTSUPP)
		return vfuc_error_set(error, VFUC_UNSUPPORTED, err,
				      "interrupts need a socket and a server that take descriptors");
	if (err == -EINVAL)
		return vfuc_error_set(error, VFUC_USAGE, err, "SET_IRQS with impossible arguments");
	if (err)
		return vfuc_describe(c, VFUC_CMD_SET_IRQS, VFUC_SYSTEM, err, error);
	err = vfuc_wait(c, &w.finished, error);
	if (err)
		return err;
	if (w.error)
		return vfuc_describe(c, VFUC_CMD_SET_IRQS, kind_of(w.error), w.error, error);
	return 0;
}

/**
 * vfuc_set_irq_eventfds() - give the server eventfds, and wait
 * @c: connection
 * @index: interrupt type
 * @action: VFIO_IRQ_SET_ACTION_*
 * @start: first vector
 * @count: vectors
 * @fds: @count eventfds, or -1 to take one away
 * @error: filled in on failure, or NULL
 *
 * Context: blocks; other requests' callbacks run.
 * Return: 0 or a negative errno.
 */
int vfuc_set_irq_eventfds(struct vfuc *c, uint32_t index, uint32_t action, uint32_t start,
			  uint32_t count, const int *fds, struct vfuc_error *error)
{
	return set_and_wait(c, index, VFIO_IRQ_SET_DATA_EVENTFD | action, start, count, fds, error);
}

/**
 * vfuc_set_irq_state() - mask, unmask or trigger vectors, and wait
 * @c: connection
 * @index: interrupt type
 * @action: VFIO_IRQ_SET_ACTION_*
 * @start: first vector
 * @count: vectors
 * @error: filled in on failure, or NULL
 *
 * Context: blocks; other requests' callbacks run.
 * Return: 0 or a negative errno.
 */
int vfuc_set_irq_state(struct vfuc *c, uint32_t index, uint32_t action, uint32_t start,
		       uint32_t count, struct vfuc_error *error)
{
	return set_and_wait(c, index, VFIO_IRQ_SET_DATA_NONE | action, start, count, NULL, error);
}

/**
 * vfuc_disable_irqs() - disable all vectors of an interrupt type, and wait
 * @c: connection
 * @index: interrupt type
 * @error: filled in on failure, or NULL
 *
 * Context: blocks; other requests' callbacks run.
 * Return: 0 or a negative errno.
 */
int vfuc_disable_irqs(struct vfuc *c, uint32_t index, struct vfuc_error *error)
{
	return set_and_wait(c, index, VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER, 0, 0,
			    NULL, error);
}
