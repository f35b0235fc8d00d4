// SPDX-License-Identifier: GPL-2.0-only
/*
 * One socket as a stream of whole messages.
 *
 * Sending: servers built on libvfio-user receive a header, then the body with one recv() that does
 * not wait for all of it. A message must therefore be in the server's socket completely as soon as
 * its header is. A UNIX socket cuts what one sendmsg() gives it into segments, of half its send
 * buffer or 48 KiB, and each is taken whole or not at all: so messages are sent together only as
 * long as one segment holds them.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "channel.h"

#define BATCH_BYTES	(32 * 1024)
#define SEGMENT_COST	128	/* of the kernel's own in half a send buffer, and some to spare */
#define BATCH_IOVS	64
#define RX_INITIAL	(64 * 1024)
#define MAX_IOVS	4

uint64_t vfuc_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

void vfuc_channel_init(struct vfuc_channel *ch, int fd, struct vfuc_pool *pool,
		       struct vfuc_stats *stats)
{
	socklen_t len = sizeof(int);
	int half;

	memset(ch, 0, sizeof(*ch));
	ch->tx_batch = BATCH_BYTES;
	if (!getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &half, &len)) {
		half = half / 2 - SEGMENT_COST;
		if (half < BATCH_BYTES)
			ch->tx_batch = half > 0 ? half : 0;
	}
	ch->fd = fd;
	ch->pool = pool;
	ch->stats = stats;
}

static void tap(const struct vfuc_channel *ch, bool sent, const struct iovec *iov, int n,
		unsigned int nr_fds)
{
	struct vfuc_tap message = {
		.sent = sent,
		.twin = ch->twin,
		.nr_fds = nr_fds,
		.iov = iov,
		.n = n,
	};

	if (ch->tap)
		ch->tap(ch->tap_opaque, &message);
}

void vfuc_channel_hold(struct vfuc_channel *ch, unsigned int ms)
{
	uint64_t until = vfuc_now_ms() + ms;

	if (until > ch->hold_ms)
		ch->hold_ms = until;
}

bool vfuc_channel_held(struct vfuc_channel *ch)
{
	if (!ch->hold_ms)
		return false;
	if (vfuc_now_ms() < ch->hold_ms)
		return true;
	ch->hold_ms = 0;
	ch->tx_progress_ms = vfuc_now_ms();
	return false;
}

static struct vfuc_buf *tx_pop(struct vfuc_channel *ch)
{
	struct vfuc_buf *buf = ch->tx_head;

	ch->tx_head = buf->next;
	if (!ch->tx_head)
		ch->tx_tail = NULL;
	if (buf->kind == VFUC_BUF_REPLY)
		ch->tx_reply_bytes -= buf->len;
	return buf;
}

void vfuc_channel_close(struct vfuc_channel *ch)
{
	if (ch->fd >= 0)
		close(ch->fd);
	ch->fd = -1;
	while (ch->tx_head)
		vfuc_pool_put(ch->pool, tx_pop(ch));
	ch->tx_bytes = 0;
	vfuc_fds_close(&ch->rx_fds);
	free(ch->rx);
	ch->rx = NULL;
	ch->rx_capacity = 0;
	ch->rx_start = 0;
	ch->rx_end = 0;
}

/* Returns bytes sent, 0 if the socket is full, or -errno, which is also remembered. */
static ssize_t send_now(struct vfuc_channel *ch, const struct iovec *iov, int n, const int *fds,
			unsigned int nr_fds)
{
	ssize_t sent = vfuc_transport_send(ch->fd, iov, n, fds, nr_fds);

	if (sent == -EAGAIN)
		return 0;
	if (sent < 0) {
		ch->err = sent;
		return sent;
	}
	ch->stats->send_calls++;
	ch->stats->bytes_sent += sent;
	return sent;
}

void vfuc_channel_queue(struct vfuc_channel *ch, struct vfuc_buf *buf)
{
	if (ch->err || ch->fd < 0) {
		vfuc_pool_put(ch->pool, buf);
		return;
	}
	if (!ch->tx_head)
		ch->tx_progress_ms = vfuc_now_ms();
	if (ch->tx_tail)
		ch->tx_tail->next = buf;
	else
		ch->tx_head = buf;
	ch->tx_tail = buf;
	ch->tx_bytes += buf->len - buf->sent;
	if (buf->kind == VFUC_BUF_REPLY)
		ch->tx_reply_bytes += buf->len;
}

void vfuc_channel_grow_tail(struct vfuc_channel *ch, size_t bytes)
{
	ch->tx_tail->len += bytes;
	ch->tx_bytes += bytes;
}

static int attach_fds(struct vfuc_buf *buf, const int *fds, unsigned int nr_fds)
{
	buf->fds = calloc(nr_fds, sizeof(int));
	if (!buf->fds)
		return -ENOMEM;
	while (buf->nr_fds < nr_fds) {
		int fd = fcntl(fds[buf->nr_fds], F_DUPFD_CLOEXEC, 3);

		if (fd < 0)
			return -errno;
		buf->fds[buf->nr_fds++] = fd;
	}
	return 0;
}

int vfuc_channel_send(struct vfuc_channel *ch, const struct iovec *iov, int n, const int *fds,
		      unsigned int nr_fds, bool hold)
{
	struct vfuc_buf *buf;
	size_t total = 0;
	ssize_t sent = 0;
	int err;
	int i;

	if (ch->err || ch->fd < 0)
		return 0;
	for (i = 0; i < n; i++)
		total += iov[i].iov_len;
	if (!ch->tx_head && !hold && !vfuc_channel_held(ch)) {
		sent = send_now(ch, iov, n, fds, nr_fds);
		if (sent < 0)
			return 0;
		if ((size_t)sent == total) {
			ch->stats->messages_sent++;
			tap(ch, true, iov, n, nr_fds);
			return 0;
		}
	}
	buf = vfuc_pool_get(ch->pool, total);
	err = buf ? 0 : -ENOMEM;
	if (!err && nr_fds && !sent)
		err = attach_fds(buf, fds, nr_fds);
	if (err) {
		vfuc_pool_put(ch->pool, buf);
		if (!sent)
			return err;
		ch->err = err;	/* half a message is out, and the rest is lost */
		return 0;
	}
	for (i = 0; i < n; i++) {
		if (iov[i].iov_len)
			memcpy(buf->data + buf->len, iov[i].iov_base, iov[i].iov_len);
		buf->len += iov[i].iov_len;
	}
	buf->sent = sent;
	buf->passed = nr_fds;
	vfuc_channel_queue(ch, buf);
	return 0;
}

/* Fills iov with what the next sendmsg() takes; a message with descriptors goes alone. */
static int gather(struct vfuc_channel *ch, struct iovec *iov)
{
	struct vfuc_buf *buf;
	size_t bytes = 0;
	int n = 0;

	for (buf = ch->tx_head; buf && n < BATCH_IOVS; buf = buf->next) {
		size_t len = buf->len - buf->sent;

		if (n && (buf->nr_fds || bytes + len > ch->tx_batch))
			break;
		iov[n].iov_base = buf->data + buf->sent;
		iov[n].iov_len = len;
		n++;
		bytes += len;
		if (buf->nr_fds)
			break;
	}
	return n;
}

int vfuc_channel_flush(struct vfuc_channel *ch)
{
	struct iovec iov[BATCH_IOVS];
	struct vfuc_buf *buf;
	ssize_t sent;
	size_t len;

	while (ch->tx_head && !ch->err && !vfuc_channel_held(ch)) {
		int n = gather(ch, iov);

		buf = ch->tx_head;
		sent = send_now(ch, iov, n, buf->fds, buf->nr_fds);
		if (sent <= 0)
			break;
		ch->tx_progress_ms = vfuc_now_ms();
		ch->tx_bytes -= sent;
		/* They went with the first byte. */
		while (buf->nr_fds)
			close(buf->fds[--buf->nr_fds]);
		while (sent) {
			buf = ch->tx_head;
			len = buf->len - buf->sent;
			if ((size_t)sent < len) {
				buf->sent += sent;
				break;
			}
			sent -= len;
			ch->stats->messages_sent++;
			iov[0] = (struct iovec) { .iov_base = buf->data, .iov_len = buf->len };
			tap(ch, true, iov, 1, buf->passed);
			vfuc_pool_put(ch->pool, tx_pop(ch));
		}
	}
	return ch->err;
}

static size_t rx_have(const struct vfuc_channel *ch)
{
	return ch->rx_end - ch->rx_start;
}

/* Size of the oldest message: 0 if its header is not there yet, -EPROTO if it is impossible. */
static ssize_t rx_size(const struct vfuc_channel *ch)
{
	struct vfuc_header header;

	if (rx_have(ch) < sizeof(header))
		return 0;
	memcpy(&header, ch->rx + ch->rx_start, sizeof(header));
	if (header.size < sizeof(header) || header.size > ch->rx_max)
		return -EPROTO;
	return header.size;
}

/* Makes room for the oldest message to be completed: its header, or the size bytes of all of it. */
static int rx_room(struct vfuc_channel *ch, size_t size)
{
	size_t capacity = ch->rx_capacity ? ch->rx_capacity : RX_INITIAL;
	uint8_t *rx;

	if (!rx_have(ch)) {
		ch->rx_start = 0;
		ch->rx_end = 0;
	}
	if (ch->rx_start && ch->rx_capacity - ch->rx_start < size) {
		memmove(ch->rx, ch->rx + ch->rx_start, rx_have(ch));
		ch->rx_end -= ch->rx_start;
		ch->rx_start = 0;
	}
	while (capacity < size)
		capacity *= 2;
	if (capacity == ch->rx_capacity)
		return 0;
	rx = realloc(ch->rx, capacity);
	if (!rx)
		return -ENOMEM;
	ch->rx = rx;
	ch->rx_capacity = capacity;
	return 0;
}

ssize_t vfuc_channel_receive(struct vfuc_channel *ch, bool exact)
{
	ssize_t size = rx_size(ch);
	unsigned int surplus = 0;
	ssize_t got;
	size_t want;
	int err;

	if (size < 0)
		return size;
	if (!size)
		size = sizeof(struct vfuc_header);
	err = rx_room(ch, size);
	if (err)
		return err;
	want = exact ? size - rx_have(ch) : ch->rx_capacity - ch->rx_end;
	got = vfuc_transport_receive(ch->fd, ch->rx + ch->rx_end, want,
				     exact ? &ch->rx_fds : NULL, &surplus);
	if (surplus) {
		ch->stats->surplus_fds += surplus;
		ch->stats->violations++;
	}
	if (got > 0) {
		ch->rx_end += got;
		ch->stats->receive_calls++;
		ch->stats->bytes_received += got;
	}
	return got;
}

int vfuc_channel_next(struct vfuc_channel *ch, struct vfuc_message *message)
{
	struct iovec iov;
	ssize_t size = rx_size(ch);
	uint32_t type;

	if (size < 0)
		return size;
	if (!size)
		return 0;
	memcpy(&message->header, ch->rx + ch->rx_start, sizeof(message->header));
	type = message->header.flags & VFUC_TYPE_MASK;
	if (type != VFUC_TYPE_COMMAND && type != VFUC_TYPE_REPLY)
		return -EPROTO;
	if (rx_have(ch) < (size_t)size)
		return 0;
	message->payload = ch->rx + ch->rx_start + sizeof(message->header);
	message->len = size - sizeof(message->header);
	message->fds = &ch->rx_fds;
	ch->stats->messages_received++;
	iov = (struct iovec) { .iov_base = ch->rx + ch->rx_start, .iov_len = size };
	tap(ch, false, &iov, 1, ch->rx_fds.count);
	return 1;
}

void vfuc_channel_consume(struct vfuc_channel *ch, const struct vfuc_message *message)
{
	unsigned int surplus = vfuc_fds_close(&ch->rx_fds);

	if (surplus) {
		ch->stats->surplus_fds += surplus;
		ch->stats->violations++;
	}
	ch->rx_start += message->header.size;
}

bool vfuc_channel_readable(const struct vfuc_channel *ch)
{
	ssize_t size = rx_size(ch);

	return size < 0 || (size > 0 && rx_have(ch) >= (size_t)size);
}
