/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Messages to a vhost-user back end and their answers, without ever waiting for one: calls are
 * queued, one of them is on its way at a time, and its callback runs when the answer is there.
 *
 * Nothing here knows what the messages mean. There is one thread; nothing is locked. A wire and
 * its calls live from wire_open() to wire_close(), which runs no callback.
 */
#ifndef VHOST_WIRE_H
#define VHOST_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto.h"

/* What answers a call. */
enum wire_answer {
	WIRE_NONE,			/* nothing does: done as soon as it is sent */
	WIRE_ACK,			/* a number, 0 for success (REPLY_ACK) */
	WIRE_REPLY,			/* the reply that belongs to the message */
};

/* An answer that came. The descriptors are the callback's where it sets them to -1. */
struct wire_reply {
	const uint8_t *payload;
	size_t len;
	int fds[VU_MAX_FDS];
	unsigned int nfds;
};

/* @err: 0 or -EREMOTEIO, where the back end refused; @arg: as given with the call. */
typedef void (*wire_done)(void *ctx, int err, struct wire_reply *reply, unsigned int arg);

/* One direction of a stream: what came of a message so far. */
struct wire_input {
	uint8_t buf[sizeof(struct vu_hdr) + VU_MAX_PAYLOAD];
	size_t have;
	int fds[VU_MAX_FDS];
	unsigned int nfds;
	uint64_t surplus;		/* descriptors closed, as there were too many */
};

struct wire_call {
	struct wire_call *next;
	struct vu_hdr hdr;
	enum wire_answer answer;
	wire_done done;
	unsigned int arg;
	int fds[VU_MAX_FDS];		/* ours, closed when sent */
	unsigned int nfds;
	size_t sent;
	uint64_t deadline;		/* wire_now_us(); 0 until sent */
	bool late;			/* and said so */
	uint8_t payload[];
};

struct wire_ops {
	/* The connection is of no more use; @why is for the user. Close it. */
	void (*broken)(void *ctx, const char *why);
	/* There is no answer yet to a message, and the time for it is over. */
	void (*late)(void *ctx, const char *message);
};

struct wire {
	const struct wire_ops *ops;
	void *ctx;
	int fd;				/* -1: not open */
	unsigned int timeout_ms;
	struct wire_call *calls;	/* the first one is on its way */
	struct wire_call **tail;
	struct wire_input in;
	unsigned int generation;	/* counts wire_open() */
};

void wire_init(struct wire *w, const struct wire_ops *ops, void *ctx, unsigned int timeout_ms);
void wire_open(struct wire *w, int fd);
void wire_close(struct wire *w);
bool wire_is_open(const struct wire *w);
bool wire_unsent(const struct wire *w, enum vu_request request, unsigned int q);
void wire_call(struct wire *w, enum vu_request request, enum wire_answer answer,
	       const void *payload, size_t len, const int *fds, unsigned int nfds, wire_done done,
	       unsigned int arg);
void wire_run(struct wire *w);
bool wire_idle(const struct wire *w);
bool wire_wants_to_send(const struct wire *w);
long wire_pause_us(struct wire *w);
const char *wire_name(uint32_t request);
uint64_t wire_now_us(void);

/* one message of a stream, for the wire and for the back end's own requests */
int wire_input(struct wire_input *in, int fd, struct vu_hdr *hdr);
void wire_input_drop(struct wire_input *in);
int wire_send(int fd, const void *buf, size_t len, const int *fds, unsigned int nfds);

#endif
