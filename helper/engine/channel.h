/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One socket as a stream of whole messages: a send queue and a receive buffer.
 *
 * A connection has one channel, or two with a twin socket. The channel knows headers, not commands.
 * It belongs to its connection's thread and lives inside struct vfuc.
 */
#ifndef VFUC_CHANNEL_H
#define VFUC_CHANNEL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "buffer.h"
#include "client.h"
#include "protocol.h"
#include "transport.h"

/**
 * struct vfuc_channel - a socket and its queues
 * @fd: the socket, -1 when there is none
 * @err: why sending failed for good, 0 while it works; whoever processes finds it
 * @pool: where message buffers come from
 * @stats: counters
 * @tx_head: oldest queued message; the only one that may be sent in part
 * @tx_tail: youngest
 * @tx_bytes: bytes queued
 * @tx_reply_bytes: bytes of VFUC_BUF_REPLY queued, in whole messages
 * @tx_batch: bytes of messages that may be sent together
 * @tx_progress_ms: when the queue last moved or ceased to be empty
 * @rx: receive buffer
 * @rx_capacity: its size
 * @rx_start: first byte not consumed
 * @rx_end: end of the bytes received
 * @rx_max: largest message that is accepted
 * @rx_fds: descriptors that came with the message at @rx_start
 * @tap: sees each whole message, or NULL
 * @tap_opaque: for @tap
 * @twin: for @tap: it is the twin socket
 * @hold_ms: nothing is sent before that time on vfuc_now_ms()'s clock; 0: none
 */
struct vfuc_channel {
	int fd;
	int err;
	struct vfuc_pool *pool;
	struct vfuc_stats *stats;
	struct vfuc_buf *tx_head;
	struct vfuc_buf *tx_tail;
	size_t tx_bytes;
	size_t tx_reply_bytes;
	size_t tx_batch;
	uint64_t tx_progress_ms;
	uint8_t *rx;
	size_t rx_capacity;
	size_t rx_start;
	size_t rx_end;
	size_t rx_max;
	struct vfuc_fds rx_fds;
	void (*tap)(void *opaque, const struct vfuc_tap *tap);
	void *tap_opaque;
	bool twin;
	uint64_t hold_ms;
};

/* A received message, valid until vfuc_channel_consume(). */
struct vfuc_message {
	struct vfuc_header header;
	const uint8_t *payload;
	size_t len;
	struct vfuc_fds *fds;
};

/**
 * vfuc_now_ms() - the clock of all timeouts
 *
 * Return: milliseconds since an arbitrary point; never goes back.
 */
uint64_t vfuc_now_ms(void);

/**
 * vfuc_channel_init() - take a socket over
 * @ch: channel
 * @fd: connected, non-blocking; the channel's from now on
 * @pool: outlives the channel
 * @stats: outlives the channel
 */
void vfuc_channel_init(struct vfuc_channel *ch, int fd, struct vfuc_pool *pool,
		       struct vfuc_stats *stats);

/**
 * vfuc_channel_close() - close the socket, drop what is queued and received
 * @ch: channel; closing it twice is fine
 */
void vfuc_channel_close(struct vfuc_channel *ch);

/**
 * vfuc_channel_send() - send or queue one whole message
 * @ch: channel
 * @iov: header and payload, copied where they must be queued
 * @n: how many of @iov, at most 4
 * @fds: descriptors to go with it, duplicated where they must be queued
 * @nr_fds: how many
 * @hold: queue it in any case
 *
 * Return: 0: sent or queued, or the channel is broken (@ch->err), which processing will find.
 * -ENOMEM, -EMFILE: not sent and not queued.
 */
int vfuc_channel_send(struct vfuc_channel *ch, const struct iovec *iov, int n, const int *fds,
		      unsigned int nr_fds, bool hold);

/**
 * vfuc_channel_queue() - queue a message that is in a buffer already
 * @ch: channel
 * @buf: message; the channel's from now on
 */
void vfuc_channel_queue(struct vfuc_channel *ch, struct vfuc_buf *buf);

/**
 * vfuc_channel_grow_tail() - account for bytes appended to the youngest queued message
 * @ch: channel, queue not empty
 * @bytes: how many more
 */
void vfuc_channel_grow_tail(struct vfuc_channel *ch, size_t bytes);

/**
 * vfuc_channel_flush() - send what is queued, as far as the socket takes it
 * @ch: channel
 *
 * Return: 0, or @ch->err.
 */
int vfuc_channel_flush(struct vfuc_channel *ch);

/**
 * vfuc_channel_hold() - send nothing for a while, but queue it
 * @ch: channel
 * @ms: from now on; what is held longer already stays so
 */
void vfuc_channel_hold(struct vfuc_channel *ch, unsigned int ms);

/**
 * vfuc_channel_held() - is nothing to be sent now?
 * @ch: channel
 *
 * Return: true while it is so; the queue counts as moving until then.
 */
bool vfuc_channel_held(struct vfuc_channel *ch);

/**
 * vfuc_channel_receive() - one system call's worth of bytes
 * @ch: channel
 * @exact: read no further than the current message and keep its descriptors; else read as much as
 *	fits and have the kernel drop descriptors
 *
 * Descriptors come with bytes, not with messages: only reading message by message tells which one
 * they belong to, so @exact is for when a reply with descriptors may come.
 *
 * Return: bytes; -EAGAIN if there was nothing; -ENOMEM; -EPROTO for a header with an impossible
 * size; -ECONNRESET or another errno if the connection ended.
 */
ssize_t vfuc_channel_receive(struct vfuc_channel *ch, bool exact);

/**
 * vfuc_channel_next() - look at the oldest received message
 * @ch: channel
 * @message: filled in
 *
 * Return: 1; 0 if it is not complete yet; -EPROTO for an impossible size or type.
 */
int vfuc_channel_next(struct vfuc_channel *ch, struct vfuc_message *message);

/**
 * vfuc_channel_consume() - done with the oldest message; closes descriptors left in it
 * @ch: channel
 * @message: from vfuc_channel_next()
 */
void vfuc_channel_consume(struct vfuc_channel *ch, const struct vfuc_message *message);

/**
 * vfuc_channel_readable() - is there something for vfuc_channel_next()?
 * @ch: channel
 *
 * Return: true if a complete message (or a broken one) lies in the receive buffer.
 */
bool vfuc_channel_readable(const struct vfuc_channel *ch);

#endif
