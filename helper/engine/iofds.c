// SPDX-License-Identifier: GPL-2.0-only
/*
 * DEVICE_GET_REGION_IO_FDS: descriptors that stand for accesses to parts of a region.
 *
 * The specification computes the distance of entries from an argsz that would count 16 bytes more
 * than there are; servers send argsz = 16 + count * distance, and that is what is read here.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"

#define MAX_ENTRIES	1024
#define MAX_TRIES	4

static int bad(struct vfuc_error *error, uint32_t index, const char *why)
{
	return vfuc_error_set(error, VFUC_PROTOCOL, -EPROTO,
			      "the server's I/O descriptors of region %u are wrong: %s",
			      index, why);
}

/* Asks, with as much room as the server wants. *call holds a reply that is as long as it says. */
static int query(struct vfuc *c, uint32_t index, struct vfuc_call *call,
		 struct vfuc_wire_io_fds *reply, struct vfuc_error *error)
{
	const uint32_t largest = sizeof(*reply) +
				 MAX_ENTRIES * sizeof(struct vfuc_wire_io_fd_shadow);
	struct vfuc_wire_io_fds wire = {
		.argsz = sizeof(wire) + 16 * sizeof(struct vfuc_wire_io_fd_shadow),
		.index = index,
	};
	unsigned int tries;
	const char *why;
	int err;

	for (tries = 0; tries < MAX_TRIES; tries++) {
		call->payload = &wire;
		call->len = sizeof(wire);
		err = vfuc_call(c, call, error);
		call->payload = NULL;
		if (err)
			return err;
		why = "the reply's size is not what it says";
		if (call->reply_len < sizeof(*reply))
			goto fail;
		memcpy(reply, call->reply, sizeof(*reply));
		if (reply->argsz <= wire.argsz) {
			if (reply->argsz < sizeof(*reply) || call->reply_len < reply->argsz)
				goto fail;
			if (!call->fds.lost)
				return 0;
			vfuc_call_free(c, call);
			return vfuc_error_set(error, VFUC_SYSTEM, -EMFILE,
					      "this process has no room for the I/O descriptors of region %u",
					      index);
		}
		why = "there are too many";
		if (reply->argsz > largest)
			goto fail;
		vfuc_fds_close(&call->fds);
		vfuc_call_free(c, call);
		wire.argsz = reply->argsz;
	}
	return bad(error, index, "they grow with each question");
fail:
	vfuc_call_free(c, call);
	return bad(error, index, why);
}

/* fds[] of the result, by index in the message; -1 if the server lied. */
static int fd_at(const struct vfuc_region_io_fds *out, uint32_t index)
{
	return index < out->nr_fds ? out->fds[index] : -1;
}

static int parse_entry(struct vfuc *c, const uint8_t *data, bool longer, uint32_t index,
		       uint64_t region_size, struct vfuc_region_io_fds *out,
		       struct vfuc_error *error)
{
	struct vfuc_io_fd *entry = &out->entries[out->count];
	struct vfuc_wire_io_fd_shadow shadow;
	struct vfuc_wire_io_fd wire;

	memcpy(&wire, data, sizeof(wire));
	if (wire.offset >= region_size || wire.size > region_size - wire.offset)
		return bad(error, index, "one lies outside the region");
	memset(entry, 0, sizeof(*entry));
	entry->offset = wire.offset;
	entry->size = wire.size;
	entry->flags = wire.flags;
	entry->value = wire.value;
	entry->shadow_fd = -1;
	switch (wire.type) {
	case VFUC_IO_FD_IOEVENTFD:
	case VFUC_IO_FD_SHADOW:
		if (longer) {
			memcpy(&shadow, data, sizeof(shadow));
			entry->value = shadow.value;
		}
		break;
	case VFUC_IO_FD_IOREGIONFD:
		break;
	default:
		vfuc_note(c, VFUC_NOTE, "region %u: I/O descriptor of type %u ignored: unknown",
			  index, wire.type);
		return 0;
	}
	entry->type = wire.type;
	entry->fd = fd_at(out, wire.fd_index);
	if (entry->fd < 0)
		return bad(error, index, "a descriptor is missing");
	if (wire.type == VFUC_IO_FD_SHADOW) {
		if (!longer)
			return bad(error, index, "a shadow ioeventfd is cut off");
		entry->shadow_offset = shadow.shadow_offset;
		entry->shadow_fd = fd_at(out, shadow.shadow_fd_index);
		if (entry->shadow_fd < 0)
			return bad(error, index, "the shadow memory's descriptor is missing");
	}
	out->count++;
	return 0;
}

static int parse(struct vfuc *c, struct vfuc_call *call, const struct vfuc_wire_io_fds *reply,
		 uint32_t index, uint64_t region_size, struct vfuc_region_io_fds *out,
		 struct vfuc_error *error)
{
	size_t bytes = reply->argsz - sizeof(*reply);
	size_t distance;
	uint32_t i;
	int err;

	if (reply->index != index)
		return bad(error, index, "they are another region's");
	if (!reply->count)
		return 0;
	if (reply->count > MAX_ENTRIES)
		return bad(error, index, "there are too many");
	distance = bytes / reply->count;
	if (distance < sizeof(struct vfuc_wire_io_fd) || bytes % reply->count || distance % 8)
		return bad(error, index, "their number does not fit the reply's size");
	out->entries = calloc(reply->count, sizeof(*out->entries));
	out->fds = calloc(call->fds.count + 1, sizeof(*out->fds));
	if (!out->entries || !out->fds)
		return vfuc_error_set(error, VFUC_SYSTEM, -ENOMEM, "out of memory");
	for (out->nr_fds = 0; out->nr_fds < call->fds.count; out->nr_fds++)
		out->fds[out->nr_fds] = vfuc_fds_take(&call->fds, out->nr_fds);
	for (i = 0; i < reply->count; i++) {
		err = parse_entry(c, call->reply + sizeof(*reply) + i * distance,
				  distance >= sizeof(struct vfuc_wire_io_fd_shadow), index,
				  region_size, out, error);
		if (err)
			return err;
	}
	return 0;
}

/**
 * vfuc_get_region_io_fds() - ask for the descriptors that stand for accesses to a region
 * @c: connection
 * @index: region
 * @region_size: its size, bytes
 * @out: allocated, for vfuc_region_io_fds_free()
 * @error: filled in on failure, or NULL
 *
 * Implements VFIO_USER_DEVICE_GET_REGION_IO_FDS, and libvfio-user's shadow ioeventfds.
 *
 * Context: blocks; other requests' callbacks run.
 * Return: 0, -EOPNOTSUPP if descriptors cannot be passed, or another negative errno.
 */
int vfuc_get_region_io_fds(struct vfuc *c, uint32_t index, uint64_t region_size,
			   struct vfuc_region_io_fds **out, struct vfuc_error *error)
{
	struct vfuc_call call = {
		.command = VFUC_CMD_GET_REGION_IO_FDS,
		.fd = -1,
		.wants_fds = true,
	};
	struct vfuc_wire_io_fds reply;
	struct vfuc_region_io_fds *new;
	int err;

	if (!c->caps.can_pass_fds)
		return vfuc_error_set(error, VFUC_UNSUPPORTED, -EOPNOTSUPP,
				      "I/O descriptors need a UNIX socket");
	err = query(c, index, &call, &reply, error);
	if (err)
		return err;
	new = calloc(1, sizeof(*new));
	if (new)
		err = parse(c, &call, &reply, index, region_size, new, error);
	else
		err = vfuc_error_set(error, VFUC_SYSTEM, -ENOMEM, "out of memory");
	vfuc_call_free(c, &call);
	if (err) {
		vfuc_region_io_fds_free(new);
		return err;
	}
	*out = new;
	return 0;
}

/**
 * vfuc_region_io_fds_free() - free I/O descriptors and close them
 * @fds: from vfuc_get_region_io_fds(), or NULL; what was taken out of fds->fds[] is -1 by now
 */
void vfuc_region_io_fds_free(struct vfuc_region_io_fds *fds)
{
	unsigned int i;

	if (!fds)
		return;
	for (i = 0; i < fds->nr_fds; i++) {
		if (fds->fds[i] >= 0)
			vfuc_fd_close(fds->fds[i]);
	}
	free(fds->fds);
	free(fds->entries);
	free(fds);
}
