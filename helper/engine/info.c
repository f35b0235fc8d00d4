// SPDX-License-Identifier: GPL-2.0-only
/*
 * DEVICE_GET_INFO: what kind of device it is, how many regions and interrupt types it has; and who
 * says so.
 */
#include <errno.h>
#include <string.h>

#include "internal.h"

/**
 * vfuc_get_info() - ask for the device's basic information
 * @c: connection
 * @info: filled in
 * @error: filled in on failure, or NULL
 *
 * Implements VFIO_USER_DEVICE_GET_INFO.
 *
 * Context: blocks; other requests' callbacks run.
 * Return: 0 or a negative errno.
 */
int vfuc_get_info(struct vfuc *c, struct vfuc_info *info, struct vfuc_error *error)
{
	struct vfuc_wire_info wire = { .argsz = sizeof(wire) };
	struct vfuc_call call = {
		.command = VFUC_CMD_GET_INFO,
		.payload = &wire,
		.len = sizeof(wire),
		.fd = -1,
	};
	int err;

	err = vfuc_call(c, &call, error);
	if (err)
		return err;
	/* A newer server may append to the structure. */
	if (call.reply_len < sizeof(wire)) {
		err = vfuc_describe(c, call.command, VFUC_PROTOCOL, -EPROTO, error);
		goto out;
	}
	memcpy(&wire, call.reply, sizeof(wire));
	if (wire.argsz < sizeof(wire)) {
		err = vfuc_describe(c, call.command, VFUC_PROTOCOL, -EPROTO, error);
		goto out;
	}
	if (wire.num_regions > VFUC_MAX_REGIONS || wire.num_irqs > VFUC_MAX_IRQ_TYPES) {
		err = vfuc_error_set(error, VFUC_PROTOCOL, -EPROTO,
				     "the server claims %u regions and %u interrupt types, more than any device has",
				     wire.num_regions, wire.num_irqs);
		goto out;
	}
	info->flags = wire.flags;
	info->num_regions = wire.num_regions;
	info->num_irqs = wire.num_irqs;
out:
	vfuc_call_free(c, &call);
	return err;
}

static void complete_who(struct vfuc *c, const struct vfuc_request *request,
			 const struct vfuc_reply *reply)
{
	pid_t sender = reply->fds ? reply->fds->sender : 0;
	int err = reply->error;

	vfuc_transport_ask_sender(c->main.fd, false);
	if (!err && !sender)
		err = -ESRCH;
	if (!err)
		c->caps.server_pid = sender;
	request->done(request->opaque, request->cookie, err, NULL, 0);
}

int vfuc_submit_who(struct vfuc *c, vfuc_done_fn done, void *opaque)
{
	struct vfuc_wire_info wire = { .argsz = sizeof(wire) };
	struct vfuc_request request = {
		.command = VFUC_CMD_GET_INFO,
		.region = VFUC_NO_REGION,
		/* no descriptors, but what is received with them */
		.wants_fds = true,
		.complete = complete_who,
		.done = done,
		.opaque = opaque,
	};
	struct iovec iov[2] = { { 0 }, { .iov_base = &wire, .iov_len = sizeof(wire) } };
	int err;

	vfuc_transport_ask_sender(c->main.fd, true);
	c->main.rx_fds.sender = 0;
	err = vfuc_request(c, &request, iov, 2, NULL, 0, false);
	if (err)
		vfuc_transport_ask_sender(c->main.fd, false);
	return err;
}
