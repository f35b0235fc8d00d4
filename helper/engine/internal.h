/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The connection object, and how the engine's files call each other. Not for users of the library.
 */
#ifndef VFUC_INTERNAL_H
#define VFUC_INTERNAL_H

#include "channel.h"
#include "client.h"
#include "dma.h"
#include "pending.h"
#include "protocol.h"
#include "version.h"

#define VFUC_MAX_INFO		(128 * 1024)	/* payload of a GET_* reply */
#define VFUC_MAX_NOTES		64		/* per connection */

/**
 * struct vfuc - a connection
 * @config: as opened; the address is not kept
 * @ops: callbacks
 * @proposal: what we offered
 * @caps: what was negotiated
 * @json: the server's version data, caps.json
 * @stats: counters
 * @pool: message buffers
 * @main: the socket that was connected
 * @twin: the server's requests, if caps.twin_socket
 * @pending: requests without a reply
 * @dma: windows the server may access
 * @dead: 0, or the negative errno the connection died of
 * @death: what vfuc_open() and synchronous calls report then
 * @negotiating: no user is told of anything yet
 * @dispatching: callbacks may be running
 * @corked: queue only
 * @notes: how many notes were given
 */
struct vfuc {
	struct vfuc_config config;
	struct vfuc_ops ops;
	struct vfuc_proposal proposal;
	struct vfuc_caps caps;
	char *json;
	struct vfuc_stats stats;
	struct vfuc_pool pool;
	struct vfuc_channel main;
	struct vfuc_channel twin;
	struct vfuc_pending pending;
	struct vfuc_dma_table dma;
	int dead;
	struct vfuc_error death;
	bool negotiating;
	bool dispatching;
	bool corked;
	unsigned int notes;
};

/**
 * struct vfuc_reply - how a request ended
 * @error: 0 or a negative errno
 * @kind: VFUC_OK, or the class of the error
 * @data: payload of a good reply
 * @len: bytes of @data
 * @fds: descriptors that came with it; what is not taken is closed as surplus; NULL without a reply
 */
struct vfuc_reply {
	int error;
	enum vfuc_error_kind kind;
	const uint8_t *data;
	size_t len;
	struct vfuc_fds *fds;
};

/* ---- client.c ---- */

/**
 * vfuc_note() - tell the user about the server's behaviour
 * @c: connection
 * @level: how bad
 * @fmt: printf format of one line
 *
 * VFUC_WARN counts a violation as well. Past VFUC_MAX_NOTES the text is dropped.
 */
void vfuc_note(struct vfuc *c, enum vfuc_level level, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/**
 * vfuc_request() - send a request that has a reply
 * @c: connection
 * @request: command, deadline class, wants_fds, complete() and its arguments; the rest is filled in
 * @iov: payload; iov[0] is left free for the header
 * @n: how many of @iov, the first included, at most 3
 * @fds: descriptors to send
 * @nr_fds: how many
 * @force: even where the send queue is full
 *
 * Return: 0: request->complete will run, from vfuc_process(), exactly once. Else a negative errno,
 * and it will not.
 */
int vfuc_request(struct vfuc *c, const struct vfuc_request *request, struct iovec *iov, int n,
		 const int *fds, unsigned int nr_fds, bool force);

/**
 * vfuc_inject() - ask what is to become of a message, and hold it up where it is to be late
 * @c: connection
 * @command: of the message
 * @region: that it accesses, or VFUC_NO_REGION
 *
 * Return: the fault; all zero where there is none.
 */
struct vfuc_fault vfuc_inject(struct vfuc *c, unsigned int command, uint32_t region);

/**
 * vfuc_may_queue() - may a message be sent or queued now?
 * @c: connection
 * @bytes: of the message
 *
 * Return: 0; -EAGAIN if that many bytes do not fit into the send queue; the negative errno of a
 * dead connection.
 */
int vfuc_may_queue(const struct vfuc *c, size_t bytes);

/**
 * vfuc_complete_plain() - complete() of requests whose reply has no payload
 * @c: connection
 * @request: its done is called
 * @reply: how it ended
 */
void vfuc_complete_plain(struct vfuc *c, const struct vfuc_request *request,
			 const struct vfuc_reply *reply);

/* ---- call.c: synchronous requests ---- */

/**
 * struct vfuc_call - a synchronous request and, after it, its reply
 * @command: to send
 * @payload: to send
 * @len: bytes of @payload
 * @fd: descriptor to send, or -1
 * @wants_fds: the reply may carry descriptors
 * @deadline: which timeout
 * @reply: payload of the reply, allocated; vfuc_call_free()
 * @reply_len: bytes of @reply
 * @fds: descriptors of the reply; vfuc_call_free() closes what was not taken, as surplus
 * @finished: internal
 * @error: internal
 * @kind: internal
 */
struct vfuc_call {
	uint16_t command;
	const void *payload;
	size_t len;
	int fd;
	bool wants_fds;
	enum vfuc_deadline deadline;
	uint8_t *reply;
	size_t reply_len;
	struct vfuc_fds fds;
	bool finished;
	int error;
	enum vfuc_error_kind kind;
};

/**
 * vfuc_call() - send a request and wait for its reply
 * @c: connection
 * @call: what to send, and where the reply goes
 * @error: filled in on failure, or NULL
 *
 * Context: blocks up to the timeout; other requests' callbacks run.
 * Return: 0, or a negative errno; @call holds nothing to free then.
 */
int vfuc_call(struct vfuc *c, struct vfuc_call *call, struct vfuc_error *error);

/**
 * vfuc_call_free() - free the reply of a call that succeeded
 * @c: connection, whose statistics count descriptors that nobody took
 * @call: finished
 */
void vfuc_call_free(struct vfuc *c, struct vfuc_call *call);

/**
 * vfuc_wait() - process until something is done
 * @c: connection
 * @finished: set by a completion
 * @error: filled in if the connection cannot be waited for, or NULL
 *
 * Return: 0 once *@finished, else a negative errno (-EDEADLK from within a callback).
 */
int vfuc_wait(struct vfuc *c, const bool *finished, struct vfuc_error *error);

/**
 * vfuc_describe() - say how a request to the server failed, for the synchronous functions
 * @c: connection
 * @command: of the request
 * @kind: of failure
 * @err: negative errno it ended with
 * @error: filled in, or NULL
 *
 * Return: @err.
 */
int vfuc_describe(const struct vfuc *c, unsigned int command, enum vfuc_error_kind kind, int err,
		  struct vfuc_error *error);

/* ---- dma.c: the server's requests ---- */

/**
 * vfuc_serve_dma() - answer DMA_READ or DMA_WRITE
 * @c: connection
 * @ch: where it came from and the answer goes
 * @message: the request
 *
 * Return: 0, or -ENOMEM if no answer could be made, which ends the connection.
 */
int vfuc_serve_dma(struct vfuc *c, struct vfuc_channel *ch, const struct vfuc_message *message);

/**
 * vfuc_serve_error() - answer a request of the server with an error, unless it wants no reply
 * @ch: where it came from and the answer goes
 * @message: the request
 * @err: errno, positive as on the wire
 *
 * Return: 0, or -ENOMEM if no answer could be made.
 */
int vfuc_serve_error(struct vfuc_channel *ch, const struct vfuc_message *message, int err);

#endif
