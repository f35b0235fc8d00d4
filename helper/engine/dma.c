// SPDX-License-Identifier: GPL-2.0-only
/*
 * DMA: telling the server which memory it may access, and doing accesses for it that it cannot do
 * by itself.
 *
 * A window is in the table from before the server hears of it until after it has given it up, as
 * its accesses, on the twin socket above all, may overtake its replies.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

/* The first window that ends at or after iova; t->count if there is none. */
static unsigned int first_after(const struct vfuc_dma_table *t, uint64_t iova)
{
	unsigned int low = 0;
	unsigned int high = t->count;

	while (low < high) {
		unsigned int mid = low + (high - low) / 2;

		if (t->windows[mid].iova + (t->windows[mid].size - 1) < iova)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

int vfuc_dma_add(struct vfuc_dma_table *t, const struct vfuc_window *window)
{
	uint64_t last = window->iova + (window->size - 1);
	unsigned int place;

	if (!window->size || last < window->iova)
		return -EINVAL;
	place = first_after(t, window->iova);
	if (place < t->count && t->windows[place].iova <= last)
		return -EEXIST;
	if (t->count == t->capacity) {
		unsigned int capacity = t->capacity ? 2 * t->capacity : 8;
		struct vfuc_window *windows;

		windows = realloc(t->windows, capacity * sizeof(*windows));
		if (!windows)
			return -ENOMEM;
		t->windows = windows;
		t->capacity = capacity;
	}
	memmove(t->windows + place + 1, t->windows + place,
		(t->count - place) * sizeof(*t->windows));
	t->windows[place] = *window;
	t->count++;
	return 0;
}

int vfuc_dma_find(const struct vfuc_dma_table *t, uint64_t iova, uint64_t size)
{
	unsigned int place = first_after(t, iova);

	if (place < t->count && t->windows[place].iova == iova && t->windows[place].size == size)
		return place;
	return -ENOENT;
}

void vfuc_dma_remove(struct vfuc_dma_table *t, unsigned int place)
{
	t->count--;
	memmove(t->windows + place, t->windows + place + 1,
		(t->count - place) * sizeof(*t->windows));
}

bool vfuc_dma_allowed(const struct vfuc_dma_table *t, uint64_t iova, uint64_t count,
		      uint32_t flags)
{
	uint64_t last = iova + (count - 1);
	unsigned int place;

	if (last < iova)
		return false;
	for (place = first_after(t, iova); place < t->count; place++) {
		const struct vfuc_window *w = &t->windows[place];
		uint64_t end = w->iova + (w->size - 1);

		if (w->iova > iova || (w->flags & flags) != flags)
			return false;
		if (last <= end)
			return true;
		iova = end + 1;		/* end < last, so this does not wrap */
	}
	return false;
}

void vfuc_dma_free(struct vfuc_dma_table *t)
{
	free(t->windows);
	memset(t, 0, sizeof(*t));
}

/**
 * vfuc_dma_map() - let the server access memory
 * @c: connection
 * @iova: the device's address of it
 * @size: bytes
 * @flags: VFUC_DMA_READ | VFUC_DMA_WRITE, what the server may do
 * @fd: shared memory, or -1
 * @offset: of the window in @fd, bytes
 * @error: filled in on failure, or NULL
 *
 * Implements VFIO_USER_DMA_MAP.
 *
 * Context: blocks; other requests' callbacks run, the server may access the window from now on.
 * Return: 0, -EINVAL, -ENOSPC, -EEXIST, or another negative errno.
 */
int vfuc_dma_map(struct vfuc *c, uint64_t iova, uint64_t size, uint32_t flags, int fd,
		 uint64_t offset, struct vfuc_error *error)
{
	struct vfuc_window window = { .iova = iova, .size = size, .flags = flags };
	bool give = fd >= 0 && c->caps.can_pass_fds && c->caps.max_msg_fds;
	struct vfuc_wire_dma_map wire = {
		.argsz = sizeof(wire),
		.flags = flags,
		.offset = give ? offset : 0,
		.address = iova,
		.size = size,
	};
	struct vfuc_call call = {
		.command = VFUC_CMD_DMA_MAP,
		.payload = &wire,
		.len = sizeof(wire),
		.fd = give ? fd : -1,
	};
	uint64_t page = c->caps.pgsizes & -c->caps.pgsizes;
	int err;

	if (c->dead)
		return vfuc_describe(c, call.command, VFUC_SYSTEM, c->dead, error);
	if (!flags || flags & ~(VFUC_DMA_READ | VFUC_DMA_WRITE) || iova % page || size % page)
		return vfuc_error_set(error, VFUC_USAGE, -EINVAL,
				      "DMA window %#llx+%#llx: needs permissions, and multiples of %#llx",
				      (unsigned long long)iova, (unsigned long long)size,
				      (unsigned long long)page);
	if (c->dma.count >= c->caps.max_dma_maps)
		return vfuc_error_set(error, VFUC_UNSUPPORTED, -ENOSPC,
				      "the server takes no more than %u DMA windows",
				      c->caps.max_dma_maps);
	err = vfuc_dma_add(&c->dma, &window);
	if (err)
		return vfuc_error_set(error, err == -ENOMEM ? VFUC_SYSTEM : VFUC_USAGE, err,
				      "DMA window %#llx+%#llx: %s", (unsigned long long)iova,
				      (unsigned long long)size,
				      err == -EEXIST ? "overlaps another" : strerror(-err));
	err = vfuc_call(c, &call, error);
	if (!err && call.reply_len)
		err = vfuc_describe(c, call.command, VFUC_PROTOCOL, -EPROTO, error);
	vfuc_call_free(c, &call);
	if (err)
		vfuc_dma_remove(&c->dma, vfuc_dma_find(&c->dma, iova, size));
	return err;
}

/**
 * vfuc_dma_unmap() - take memory away from the server
 * @c: connection
 * @iova: as mapped
 * @size: as mapped
 * @error: filled in on failure, or NULL
 *
 * Implements VFIO_USER_DMA_UNMAP.
 *
 * Context: blocks until the server has let go; other requests' callbacks run.
 * Return: 0, -ENOENT if no such window was mapped, or another negative errno: the window stays.
 */
int vfuc_dma_unmap(struct vfuc *c, uint64_t iova, uint64_t size, struct vfuc_error *error)
{
	struct vfuc_wire_dma_unmap wire = {
		.argsz = sizeof(wire),
		.address = iova,
		.size = size,
	};
	struct vfuc_wire_dma_unmap reply = { 0 };
	struct vfuc_call call = {
		.command = VFUC_CMD_DMA_UNMAP,
		.payload = &wire,
		.len = sizeof(wire),
		.fd = -1,
	};
	int err;

	if (c->dead)
		return vfuc_describe(c, call.command, VFUC_SYSTEM, c->dead, error);
	if (vfuc_dma_find(&c->dma, iova, size) < 0)
		return vfuc_error_set(error, VFUC_USAGE, -ENOENT,
				      "DMA window %#llx+%#llx was not mapped",
				      (unsigned long long)iova, (unsigned long long)size);
	err = vfuc_call(c, &call, error);
	if (err)
		return err;
	if (call.reply_len >= sizeof(reply))
		memcpy(&reply, call.reply, sizeof(reply));
	if (call.reply_len < sizeof(reply) || reply.address != iova || reply.size != size)
		err = vfuc_describe(c, call.command, VFUC_PROTOCOL, -EPROTO, error);
	vfuc_call_free(c, &call);
	if (!err)
		vfuc_dma_remove(&c->dma, vfuc_dma_find(&c->dma, iova, size));
	return err;
}

/* ---- the server's requests ---- */

static struct vfuc_header answer_to(const struct vfuc_message *message, size_t size)
{
	struct vfuc_header header = {
		.id = message->header.id,
		.command = message->header.command,
		.size = size,
		.flags = VFUC_TYPE_REPLY,
	};

	return header;
}

int vfuc_serve_error(struct vfuc_channel *ch, const struct vfuc_message *message, int err)
{
	struct vfuc_header header = answer_to(message, sizeof(header));
	struct vfuc_buf *buf;

	if (message->header.flags & VFUC_FLAG_NO_REPLY)
		return 0;
	header.flags |= VFUC_FLAG_ERROR;
	header.error = err;
	buf = vfuc_pool_get(ch->pool, sizeof(header));
	if (!buf)
		return -ENOMEM;
	memcpy(buf->data, &header, sizeof(header));
	buf->len = sizeof(header);
	buf->kind = VFUC_BUF_REPLY;
	vfuc_channel_queue(ch, buf);
	return 0;
}

/* Returns 0 or the errno for the server. */
static int check_request(struct vfuc *c, const struct vfuc_message *message,
			 struct vfuc_wire_dma *dma)
{
	bool write = message->header.command == VFUC_CMD_DMA_WRITE;

	if (message->len < sizeof(*dma))
		return -EINVAL;
	memcpy(dma, message->payload, sizeof(*dma));
	if (!dma->count || dma->count > c->proposal.max_data_xfer_size)
		return -EINVAL;
	if (message->len - sizeof(*dma) != (write ? dma->count : 0))
		return -EINVAL;
	if (!vfuc_dma_allowed(&c->dma, dma->address, dma->count,
			      write ? VFUC_DMA_WRITE : VFUC_DMA_READ))
		return -EFAULT;
	if (write ? !c->ops.dma_write : !c->ops.dma_read)
		return -EOPNOTSUPP;
	return 0;
}

static int refuse(struct vfuc *c, struct vfuc_channel *ch, const struct vfuc_message *message,
		  int err)
{
	c->stats.dma_refused++;
	return vfuc_serve_error(ch, message, -err);
}

int vfuc_serve_dma(struct vfuc *c, struct vfuc_channel *ch, const struct vfuc_message *message)
{
	bool write = message->header.command == VFUC_CMD_DMA_WRITE;
	struct vfuc_wire_dma dma = { 0 };
	struct vfuc_header header;
	struct vfuc_buf *buf;
	size_t size;
	int err;

	err = check_request(c, message, &dma);
	if (err) {
		vfuc_note(c, VFUC_WARN, "%s of %#llx bytes at %#llx refused: %s",
			  vfuc_command_name(message->header.command),
			  (unsigned long long)dma.count, (unsigned long long)dma.address,
			  strerror(-err));
		return refuse(c, ch, message, err);
	}
	size = sizeof(header) + sizeof(dma) + (write ? 0 : dma.count);
	buf = vfuc_pool_get(&c->pool, size);
	if (!buf)
		return -ENOMEM;
	if (write)
		err = c->ops.dma_write(c->config.opaque, dma.address,
				       message->payload + sizeof(dma), dma.count);
	else
		err = c->ops.dma_read(c->config.opaque, dma.address,
				      buf->data + sizeof(header) + sizeof(dma), dma.count);
	if (err) {
		vfuc_pool_put(&c->pool, buf);
		return refuse(c, ch, message, err);
	}
	if (write)
		c->stats.dma_writes++;
	else
		c->stats.dma_reads++;
	c->stats.dma_bytes += dma.count;
	if (message->header.flags & VFUC_FLAG_NO_REPLY) {
		vfuc_pool_put(&c->pool, buf);
		return 0;
	}
	header = answer_to(message, size);
	memcpy(buf->data, &header, sizeof(header));
	memcpy(buf->data + sizeof(header), &dma, sizeof(dma));
	buf->len = size;
	buf->kind = VFUC_BUF_REPLY;
	vfuc_channel_queue(ch, buf);
	return 0;
}
