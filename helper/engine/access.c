// SPDX-License-Identifier: GPL-2.0-only
/*
 * Region accesses: REGION_READ, REGION_WRITE, posted writes and their coalescing into
 * REGION_WRITE_MULTI.
 */
#include <errno.h>
#include <string.h>

#include "internal.h"

#define MULTI_MAX	128	/* writes in a REGION_WRITE_MULTI */
#define MULTI_BYTES	8	/* of a write that fits into one */
#define MULTI_BUFFER	(sizeof(struct vfuc_header) + sizeof(uint64_t) + \
			 MULTI_MAX * sizeof(struct vfuc_wire_multi_write))
#define SYNC_WRITE	(32u * 1024 - 64)

static int check(const struct vfuc *c, uint64_t offset, uint32_t count)
{
	if (c->dead)
		return c->dead;
	if (!count || count > c->caps.max_data_xfer_size || offset + count < offset)
		return -EINVAL;
	return 0;
}

/* What a reply says about the access must be what was asked. */
static bool echoes(const struct vfuc_request *request, const struct vfuc_reply *reply, size_t data)
{
	struct vfuc_wire_access access;

	if (reply->len != sizeof(access) + data)
		return false;
	memcpy(&access, reply->data, sizeof(access));
	return access.offset == request->offset && access.region == request->region &&
	       access.count == request->count;
}

static int judge(struct vfuc *c, const struct vfuc_request *request, const struct vfuc_reply *reply,
		 size_t data)
{
	if (reply->error)
		return reply->error;
	if (echoes(request, reply, data))
		return 0;
	vfuc_note(c, VFUC_WARN, "reply to %s of %u bytes at region %u offset %#llx does not fit it",
		  vfuc_command_name(request->command), request->count, request->region,
		  (unsigned long long)request->offset);
	return -EPROTO;
}

static void complete_read(struct vfuc *c, const struct vfuc_request *request,
			  const struct vfuc_reply *reply)
{
	int err = judge(c, request, reply, request->count);

	if (!request->done)
		return;
	if (err)
		request->done(request->opaque, request->cookie, err, NULL, 0);
	else
		request->done(request->opaque, request->cookie, 0,
			      reply->data + sizeof(struct vfuc_wire_access), request->count);
}

static void complete_write(struct vfuc *c, const struct vfuc_request *request,
			   const struct vfuc_reply *reply)
{
	int err = judge(c, request, reply, 0);

	if (request->done)
		request->done(request->opaque, request->cookie, err, NULL, 0);
}

/**
 * vfuc_submit_read() - read from a region
 * @c: connection
 * @region: index
 * @offset: in the region, bytes
 * @count: bytes, 1 to caps.max_data_xfer_size
 * @done: gets the data
 * @opaque: for @done
 * @cookie: for @done
 *
 * Implements VFIO_USER_REGION_READ.
 *
 * Context: never sleeps; callbacks do not run here.
 * Return: 0, -EAGAIN, -EINVAL, -ENOMEM, or the errno of a dead connection.
 */
int vfuc_submit_read(struct vfuc *c, uint32_t region, uint64_t offset, uint32_t count,
		     vfuc_done_fn done, void *opaque, uint64_t cookie)
{
	struct vfuc_wire_access access = { .offset = offset, .region = region, .count = count };
	struct vfuc_request request = {
		.command = VFUC_CMD_REGION_READ,
		.offset = offset,
		.region = region,
		.count = count,
		.complete = complete_read,
		.done = done,
		.opaque = opaque,
		.cookie = cookie,
	};
	struct iovec iov[2] = { { 0 }, { .iov_base = &access, .iov_len = sizeof(access) } };
	int err;

	err = check(c, offset, count);
	if (!err)
		err = vfuc_request(c, &request, iov, 2, NULL, 0, false);
	if (!err)
		c->stats.reads++;
	return err;
}

static void put_header(struct vfuc_buf *buf, uint16_t command)
{
	struct vfuc_header header = {
		.id = VFUC_ID_NO_REPLY,
		.command = command,
		.size = buf->len,
		.flags = VFUC_TYPE_COMMAND | VFUC_FLAG_NO_REPLY,
	};

	memcpy(buf->data, &header, sizeof(header));
}

static void fill_multi(uint8_t *to, const struct vfuc_wire_access *access, const void *data)
{
	struct vfuc_wire_multi_write write = {
		.offset = access->offset,
		.region = access->region,
		.count = access->count,
	};

	memcpy(write.data, data, access->count);
	memcpy(to, &write, sizeof(write));
}

/* Makes the youngest queued message, a posted write, a WRITE_MULTI of one; there is room for it. */
static void convert_tail(struct vfuc *c, struct vfuc_buf *tail)
{
	uint8_t *payload = tail->data + sizeof(struct vfuc_header);
	struct vfuc_wire_access access;
	uint8_t data[MULTI_BYTES];
	uint64_t one = 1;
	size_t len;

	memcpy(&access, payload, sizeof(access));
	memcpy(data, payload + sizeof(access), access.count);
	memcpy(payload, &one, sizeof(one));
	fill_multi(payload + sizeof(one), &access, data);
	len = sizeof(struct vfuc_header) + sizeof(one) + sizeof(struct vfuc_wire_multi_write);
	vfuc_channel_grow_tail(&c->main, len - tail->len);
	tail->kind = VFUC_BUF_MULTI;
	put_header(tail, VFUC_CMD_REGION_WRITE_MULTI);
	c->stats.coalesced++;
}

/* Adds a write to the youngest queued message; false if that is not possible. */
static bool coalesce(struct vfuc *c, const struct vfuc_wire_access *access, const void *data)
{
	struct vfuc_buf *tail = c->main.tx_tail;
	uint64_t n;

	if (!tail || tail->sent ||
	    (tail->kind != VFUC_BUF_POSTED && tail->kind != VFUC_BUF_MULTI))
		return false;
	if (tail->kind == VFUC_BUF_POSTED)
		convert_tail(c, tail);
	memcpy(&n, tail->data + sizeof(struct vfuc_header), sizeof(n));
	if (n == MULTI_MAX)
		return false;
	n++;
	memcpy(tail->data + sizeof(struct vfuc_header), &n, sizeof(n));
	fill_multi(tail->data + tail->len, access, data);
	vfuc_channel_grow_tail(&c->main, sizeof(struct vfuc_wire_multi_write));
	put_header(tail, VFUC_CMD_REGION_WRITE_MULTI);
	c->stats.coalesced++;
	return true;
}

static int post(struct vfuc *c, const struct vfuc_wire_access *access, const void *data)
{
	bool small = c->caps.write_multiple && access->count <= MULTI_BYTES;
	struct vfuc_header header = {
		.id = VFUC_ID_NO_REPLY,
		.command = VFUC_CMD_REGION_WRITE,
		.size = sizeof(header) + sizeof(*access) + access->count,
		.flags = VFUC_TYPE_COMMAND | VFUC_FLAG_NO_REPLY,
	};
	struct iovec iov[3] = {
		{ .iov_base = &header, .iov_len = sizeof(header) },
		{ .iov_base = (void *)access, .iov_len = sizeof(*access) },
		{ .iov_base = (void *)data, .iov_len = access->count },
	};
	struct vfuc_buf *buf;
	int err;

	err = vfuc_may_queue(c, header.size);
	if (err)
		return err;
	if (vfuc_inject(c, VFUC_CMD_REGION_WRITE, access->region).drop)
		return 0;
	if (!small || (!c->main.tx_head && !c->corked && !vfuc_channel_held(&c->main)))
		return vfuc_channel_send(&c->main, iov, 3, NULL, 0, c->corked);
	/* It has to queue: with company, or with room for some. */
	if (coalesce(c, access, data))
		return 0;
	buf = vfuc_pool_get(&c->pool, MULTI_BUFFER);
	if (!buf)
		return -ENOMEM;
	memcpy(buf->data, &header, sizeof(header));
	memcpy(buf->data + sizeof(header), access, sizeof(*access));
	memcpy(buf->data + sizeof(header) + sizeof(*access), data, access->count);
	buf->len = header.size;
	buf->kind = VFUC_BUF_POSTED;
	vfuc_channel_queue(&c->main, buf);
	return 0;
}

/**
 * vfuc_submit_write() - write to a region
 * @c: connection
 * @region: index
 * @offset: in the region, bytes
 * @data: copied
 * @count: bytes, 1 to caps.max_data_xfer_size
 * @posted: ask for no reply; @done is not called
 * @done: told when the server has done it
 * @opaque: for @done
 * @cookie: for @done
 *
 * Implements VFIO_USER_REGION_WRITE and VFIO_USER_REGION_WRITE_MULTI.
 *
 * Context: never sleeps; callbacks do not run here.
 * Return: 0, -EAGAIN, -EINVAL, -ENOMEM, or the errno of a dead connection.
 */
int vfuc_submit_write(struct vfuc *c, uint32_t region, uint64_t offset, const void *data,
		      uint32_t count, bool posted, vfuc_done_fn done, void *opaque,
		      uint64_t cookie)
{
	struct vfuc_wire_access access = { .offset = offset, .region = region, .count = count };
	struct vfuc_request request = {
		.command = VFUC_CMD_REGION_WRITE,
		.offset = offset,
		.region = region,
		.count = count,
		.complete = complete_write,
		.done = done,
		.opaque = opaque,
		.cookie = cookie,
	};
	struct iovec iov[3] = {
		{ 0 },
		{ .iov_base = &access, .iov_len = sizeof(access) },
		{ .iov_base = (void *)data, .iov_len = count },
	};
	int err;

	err = check(c, offset, count);
	if (!err && posted)
		err = post(c, &access, data);
	else if (!err)
		err = vfuc_request(c, &request, iov, 3, NULL, 0, false);
	if (!err)
		c->stats.writes++;
	return err;
}

/**
 * vfuc_submit_reset() - reset the device
 * @c: connection
 * @done: told when the server has done it
 * @opaque: for @done
 * @cookie: for @done
 *
 * Implements VFIO_USER_DEVICE_RESET; has a timeout of its own, other requests go on meanwhile.
 *
 * Context: never sleeps; callbacks do not run here.
 * Return: 0, -EAGAIN, -ENOMEM, or the errno of a dead connection.
 */
int vfuc_submit_reset(struct vfuc *c, vfuc_done_fn done, void *opaque, uint64_t cookie)
{
	struct vfuc_request request = {
		.command = VFUC_CMD_RESET,
		.deadline = VFUC_DEADLINE_RESET,
		.complete = vfuc_complete_plain,
		.done = done,
		.opaque = opaque,
		.cookie = cookie,
	};
	struct iovec iov[1] = { { 0 } };

	return vfuc_request(c, &request, iov, 1, NULL, 0, false);
}

/* Calls with a short reply whose payload must have len bytes; -EPROTO else. */
static int call_access(struct vfuc *c, uint16_t command, const struct vfuc_wire_access *access,
		       const void *out, void *in, struct vfuc_error *error)
{
	struct vfuc_request request = {
		.offset = access->offset,
		.region = access->region,
		.count = access->count,
	};
	size_t out_len = out ? access->count : 0;
	struct vfuc_buf *buf = vfuc_pool_get(&c->pool, sizeof(*access) + out_len);
	struct vfuc_call call = { .command = command, .fd = -1 };
	struct vfuc_reply reply = { 0 };
	int err;

	if (!buf)
		return vfuc_error_set(error, VFUC_SYSTEM, -ENOMEM, "out of memory");
	memcpy(buf->data, access, sizeof(*access));
	if (out_len)
		memcpy(buf->data + sizeof(*access), out, out_len);
	call.payload = buf->data;
	call.len = sizeof(*access) + out_len;
	err = vfuc_call(c, &call, error);
	vfuc_pool_put(&c->pool, buf);
	if (err)
		return err;
	reply.data = call.reply;
	reply.len = call.reply_len;
	if (!echoes(&request, &reply, in ? access->count : 0)) {
		vfuc_note(c, VFUC_WARN, "reply to %s does not fit it", vfuc_command_name(command));
		err = vfuc_describe(c, command, VFUC_PROTOCOL, -EPROTO, error);
	} else if (in) {
		memcpy(in, call.reply + sizeof(*access), access->count);
	}
	vfuc_call_free(c, &call);
	return err;
}

/**
 * vfuc_region_read() - read from a region and wait
 * @c: connection
 * @region: index
 * @offset: in the region, bytes
 * @buf: where to
 * @count: bytes, any number
 * @error: filled in on failure, or NULL
 *
 * Context: blocks; other requests' callbacks run.
 * Return: 0 or a negative errno.
 */
int vfuc_region_read(struct vfuc *c, uint32_t region, uint64_t offset, void *buf, size_t count,
		     struct vfuc_error *error)
{
	uint8_t *to = buf;

	while (count) {
		struct vfuc_wire_access access = { .offset = offset, .region = region };
		int err;

		access.count = count < c->caps.max_data_xfer_size ? count :
			       c->caps.max_data_xfer_size;
		err = call_access(c, VFUC_CMD_REGION_READ, &access, NULL, to, error);
		if (err)
			return err;
		c->stats.reads++;
		to += access.count;
		offset += access.count;
		count -= access.count;
	}
	return 0;
}

/**
 * vfuc_region_write() - write to a region and wait
 * @c: connection
 * @region: index
 * @offset: in the region, bytes
 * @buf: data
 * @count: bytes, any number; goes in pieces of up to about 32 KiB, since servers exist that receive
 *	a message only if it is in their socket completely
 * @error: filled in on failure, or NULL
 *
 * Context: blocks; other requests' callbacks run.
 * Return: 0 or a negative errno.
 */
int vfuc_region_write(struct vfuc *c, uint32_t region, uint64_t offset, const void *buf,
		      size_t count, struct vfuc_error *error)
{
	const uint8_t *from = buf;

	while (count) {
		struct vfuc_wire_access access = { .offset = offset, .region = region };
		int err;

		access.count = count < SYNC_WRITE ? count : SYNC_WRITE;
		if (access.count > c->caps.max_data_xfer_size)
			access.count = c->caps.max_data_xfer_size;
		err = call_access(c, VFUC_CMD_REGION_WRITE, &access, from, NULL, error);
		if (err)
			return err;
		c->stats.writes++;
		from += access.count;
		offset += access.count;
		count -= access.count;
	}
	return 0;
}

/**
 * vfuc_reset() - reset the device and wait
 * @c: connection
 * @error: filled in on failure, or NULL
 *
 * Context: blocks up to the reset timeout; other requests' callbacks run.
 * Return: 0 or a negative errno.
 */
int vfuc_reset(struct vfuc *c, struct vfuc_error *error)
{
	struct vfuc_call call = {
		.command = VFUC_CMD_RESET,
		.fd = -1,
		.deadline = VFUC_DEADLINE_RESET,
	};
	int err;

	err = vfuc_call(c, &call, error);
	if (err)
		return err;
	if (call.reply_len)
		err = vfuc_describe(c, call.command, VFUC_PROTOCOL, -EPROTO, error);
	vfuc_call_free(c, &call);
	return err;
}
