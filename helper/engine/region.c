// SPDX-License-Identifier: GPL-2.0-only
/*
 * DEVICE_GET_REGION_INFO: sizes, flags, and what of a region can be mapped.
 *
 * The capability chain is a linked list inside the reply whose links the server chose: each link is
 * checked against the bytes that came, and there can be no more links than fit side by side, so a
 * loop is found.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"

#define FIRST_ARGSZ	1024	/* enough for most servers at the first try */
#define MAX_TRIES	4

struct chain {
	struct vfuc *c;
	const uint8_t *data;
	size_t len;
	struct vfuc_region_info *info;
	struct vfuc_error *error;
};

static int bad(struct vfuc_error *error, uint32_t index, const char *why)
{
	return vfuc_error_set(error, VFUC_PROTOCOL, -EPROTO,
			      "the server's information about region %u is wrong: %s", index, why);
}

static int compare_areas(const void *a, const void *b)
{
	const struct vfuc_area *x = a;
	const struct vfuc_area *y = b;

	return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* Why an area is of no use, or NULL. What is before it is in order. */
static const char *area_useless(const struct vfuc_region_info *info, unsigned int i)
{
	const struct vfuc_area *area = &info->areas[i];
	uint64_t page = sysconf(_SC_PAGESIZE);

	if (area->offset % page || area->size % page)
		return "it is not page aligned";
	if (area->offset > info->size || area->size > info->size - area->offset)
		return "it is beyond the region's end";
	if (i && area->offset - area[-1].offset < area[-1].size)
		return "it overlaps another one";
	return NULL;
}

/* It traps, as if the server had not offered it. */
static void drop_area(struct vfuc *c, struct vfuc_region_info *info, unsigned int i,
		      const char *why)
{
	vfuc_note(c, VFUC_WARN,
		  "region %u: the mappable area 0x%" PRIx64 "+0x%" PRIx64 " is not used: %s",
		  info->index, info->areas[i].offset, info->areas[i].size, why);
	if (info->areas[i].fd >= 0)
		vfuc_fd_close(info->areas[i].fd);
	memmove(&info->areas[i], &info->areas[i + 1],
		(--info->nr_areas - i) * sizeof(*info->areas));
}

/* Sorts, and leaves what user and kernel can rely on. */
static void check_areas(struct vfuc *c, struct vfuc_region_info *info)
{
	unsigned int i = 0;
	const char *why;

	qsort(info->areas, info->nr_areas, sizeof(*info->areas), compare_areas);
	while (i < info->nr_areas) {
		why = area_useless(info, i);
		if (why)
			drop_area(c, info, i, why);
		else
			i++;
	}
}

/*
 * Either one descriptor is that of the whole region, or each area has its own, in the order in
 * which the server named them; offsets are those in the region in both cases. An area whose
 * descriptor is missing is never looked for in another's, so one of which others were lost on the
 * way is the first area's.
 */
static void take_fds(struct vfuc *c, struct vfuc_call *call, struct vfuc_region_info *info)
{
	unsigned int i = 0;

	if ((call->fds.count <= 1 && !call->fds.lost) || !info->sparse) {
		info->fd = vfuc_fds_take(&call->fds, 0);
		return;
	}
	for (i = 0; i < info->nr_areas; i++)
		info->areas[i].fd = vfuc_fds_take(&call->fds, info->areas[i].index);
	for (i = 0; i < info->nr_areas;) {
		if (info->areas[i].fd < 0)
			drop_area(c, info, i, "its descriptor did not come");
		else
			i++;
	}
}

static int parse_sparse(struct chain *chain, size_t at)
{
	struct vfuc_region_info *info = chain->info;
	struct vfuc_wire_sparse sparse;
	struct vfuc_wire_area area;
	unsigned int i;

	if (info->sparse)
		return bad(chain->error, info->index, "two sparse mmap capabilities");
	if (chain->len - at < sizeof(sparse))
		return bad(chain->error, info->index, "its sparse mmap capability is cut off");
	memcpy(&sparse, chain->data + at, sizeof(sparse));
	at += sizeof(sparse);
	if (sparse.nr_areas > VFUC_MAX_AREAS ||
	    sparse.nr_areas > (chain->len - at) / sizeof(area))
		return bad(chain->error, info->index, "more mappable areas than the reply has room for");
	info->sparse = true;
	info->areas = calloc(sparse.nr_areas + 1, sizeof(*info->areas));
	if (!info->areas)
		return vfuc_error_set(chain->error, VFUC_SYSTEM, -ENOMEM, "out of memory");
	for (i = 0; i < sparse.nr_areas; i++) {
		memcpy(&area, chain->data + at + i * sizeof(area), sizeof(area));
		if (!area.size)
			continue;
		info->areas[info->nr_areas].offset = area.offset;
		info->areas[info->nr_areas].size = area.size;
		info->areas[info->nr_areas].index = i;
		info->areas[info->nr_areas].fd = -1;
		info->nr_areas++;
	}
	return 0;
}

static int parse_type(struct chain *chain, size_t at)
{
	struct vfuc_wire_type type;

	if (chain->len - at < sizeof(type))
		return bad(chain->error, chain->info->index, "its type capability is cut off");
	memcpy(&type, chain->data + at, sizeof(type));
	chain->info->has_type = true;
	chain->info->type = type.type;
	chain->info->subtype = type.subtype;
	return 0;
}

static int parse_cap(struct chain *chain, const struct vfuc_wire_cap *cap, size_t at)
{
	if (cap->version == 1 && cap->id == VFIO_REGION_INFO_CAP_SPARSE_MMAP)
		return parse_sparse(chain, at);
	if (cap->version == 1 && cap->id == VFIO_REGION_INFO_CAP_TYPE)
		return parse_type(chain, at);
	if (cap->id == VFIO_REGION_INFO_CAP_MSIX_MAPPABLE) {
		chain->info->msix_mappable = true;
		return 0;
	}
	chain->info->unknown_caps++;
	vfuc_note(chain->c, VFUC_NOTE, "region %u: capability %u version %u ignored: unknown",
		  chain->info->index, cap->id, cap->version);
	return 0;
}

static int parse_chain(struct chain *chain, uint32_t at)
{
	unsigned int left = chain->len / sizeof(struct vfuc_wire_cap);
	struct vfuc_wire_cap cap;
	int err;

	while (at) {
		if (!left--)
			return bad(chain->error, chain->info->index, "its capabilities form a loop");
		if (at < sizeof(struct vfuc_wire_region_info) || at > chain->len ||
		    chain->len - at < sizeof(cap))
			return bad(chain->error, chain->info->index,
				   "a capability lies outside the reply");
		memcpy(&cap, chain->data + at, sizeof(cap));
		err = parse_cap(chain, &cap, at + sizeof(cap));
		if (err)
			return err;
		at = cap.next;
	}
	return 0;
}

/* A region that can be mapped as a whole: whole pages of it. */
static int whole_region(struct vfuc_region_info *info, struct vfuc_error *error)
{
	uint64_t page = sysconf(_SC_PAGESIZE);

	info->areas = calloc(1, sizeof(*info->areas));
	if (!info->areas)
		return vfuc_error_set(error, VFUC_SYSTEM, -ENOMEM, "out of memory");
	info->areas[0].size = info->size - info->size % page;
	info->areas[0].fd = -1;
	info->nr_areas = info->areas[0].size ? 1 : 0;
	return 0;
}

static int parse(struct vfuc *c, struct vfuc_call *call, uint32_t index,
		 struct vfuc_region_info *info, struct vfuc_error *error)
{
	struct chain chain = {
		.c = c,
		.data = call->reply,
		.len = call->reply_len,
		.info = info,
		.error = error,
	};
	struct vfuc_wire_region_info wire;
	int err;

	memcpy(&wire, call->reply, sizeof(wire));
	info->index = index;
	info->flags = wire.flags;
	info->size = wire.size;
	info->offset = wire.offset;
	if (wire.index != index)
		return bad(error, index, "it is about another region");
	if (wire.size > INT64_MAX || wire.offset > INT64_MAX - wire.size)
		return bad(error, index, "its size or offset is impossible");
	if (wire.flags & VFIO_REGION_INFO_FLAG_CAPS) {
		err = parse_chain(&chain, wire.cap_offset);
		if (err)
			return err;
	}
	if (!(wire.flags & VFIO_REGION_INFO_FLAG_MMAP) || !info->size) {
		info->nr_areas = 0;
		return 0;
	}
	if (!call->fds.count) {
		if (call->fds.lost)
			vfuc_note(c, VFUC_WARN,
				  "region %u: this process has no room for its descriptors", index);
		else if (c->caps.can_pass_fds)
			vfuc_note(c, VFUC_WARN,
				  "region %u is called mappable and no descriptor came with it",
				  index);
		info->nr_areas = 0;
		return 0;
	}
	take_fds(c, call, info);
	if (!info->sparse)
		return whole_region(info, error);
	check_areas(c, info);
	return 0;
}

/* Asks, with as much room as the server wants. *call holds a reply of at least the fixed part. */
static int query(struct vfuc *c, uint32_t index, struct vfuc_call *call, struct vfuc_error *error)
{
	struct vfuc_wire_region_info wire = { .argsz = FIRST_ARGSZ, .index = index };
	struct vfuc_wire_region_info reply;
	unsigned int tries;
	int err;

	for (tries = 0; tries < MAX_TRIES; tries++) {
		call->payload = &wire;
		call->len = sizeof(wire);
		err = vfuc_call(c, call, error);
		call->payload = NULL;
		if (err)
			return err;
		if (call->reply_len < sizeof(reply)) {
			err = bad(error, index, "the reply is too short");
			break;
		}
		memcpy(&reply, call->reply, sizeof(reply));
		if (reply.argsz <= wire.argsz) {
			if (reply.argsz < sizeof(reply) || call->reply_len < reply.argsz) {
				err = bad(error, index, "the reply's size is not what it says");
				break;
			}
			return 0;
		}
		if (reply.argsz > VFUC_MAX_INFO) {
			err = bad(error, index, "it is too long");
			break;
		}
		/* Descriptors that came already come again. */
		vfuc_fds_close(&call->fds);
		vfuc_call_free(c, call);
		wire.argsz = reply.argsz;
	}
	if (tries == MAX_TRIES)
		return bad(error, index, "it grows with each question");
	vfuc_call_free(c, call);
	return err;
}

/**
 * vfuc_get_region_info() - ask for one region
 * @c: connection
 * @index: which
 * @info: allocated, for vfuc_region_info_free()
 * @error: filled in on failure, or NULL
 *
 * Implements VFIO_USER_DEVICE_GET_REGION_INFO with the argsz retry, the sparse mmap and the type
 * capability.
 *
 * Context: blocks; other requests' callbacks run.
 * Return: 0 or a negative errno.
 */
int vfuc_get_region_info(struct vfuc *c, uint32_t index, struct vfuc_region_info **info,
			 struct vfuc_error *error)
{
	struct vfuc_call call = {
		.command = VFUC_CMD_GET_REGION_INFO,
		.fd = -1,
		.wants_fds = c->caps.can_pass_fds,
	};
	struct vfuc_region_info *new;
	int err;

	err = query(c, index, &call, error);
	if (err)
		return err;
	new = calloc(1, sizeof(*new));
	if (new) {
		new->fd = -1;
		err = parse(c, &call, index, new, error);
	} else {
		err = vfuc_error_set(error, VFUC_SYSTEM, -ENOMEM, "out of memory");
	}
	vfuc_call_free(c, &call);
	if (err) {
		vfuc_region_info_free(new);
		return err;
	}
	*info = new;
	return 0;
}

/**
 * vfuc_region_info_free() - free a region info, close its descriptor
 * @info: from vfuc_get_region_info(), or NULL; a descriptor that was taken out is -1 by now
 */
void vfuc_region_info_free(struct vfuc_region_info *info)
{
	unsigned int i;

	if (!info)
		return;
	if (info->fd >= 0)
		vfuc_fd_close(info->fd);
	for (i = 0; i < info->nr_areas; i++)
		if (info->areas[i].fd >= 0)
			vfuc_fd_close(info->areas[i].fd);
	free(info->areas);
	free(info);
}
