/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Requests that wait for their replies, found by message id, ordered by deadline; all in O(1).
 *
 * An id is a slot number below a generation, so that a second reply, or one that comes after its
 * request timed out, is not taken for the reply to a younger request in the same slot. Slot 0 is
 * not used: the ids that it would give are those of messages without reply.
 */
#ifndef VFUC_PENDING_H
#define VFUC_PENDING_H

#include <stdbool.h>
#include <stdint.h>

#include "client.h"

#define VFUC_ID_NO_REPLY	0

struct vfuc_reply;
struct vfuc_request;

/* Runs once, after the request has left the table; the request is a copy. */
typedef void (*vfuc_complete_fn)(struct vfuc *c, const struct vfuc_request *request,
				 const struct vfuc_reply *reply);

enum vfuc_deadline {
	VFUC_DEADLINE_NORMAL,
	VFUC_DEADLINE_RESET,
	VFUC_NR_DEADLINES,
};

enum vfuc_request_state {
	VFUC_REQUEST_FREE,
	VFUC_REQUEST_WAITING,
	VFUC_REQUEST_LATE,	/* timed out and reported; the slot waits for its reply */
};

/**
 * struct vfuc_request - a request sent
 * @id: message id
 * @command: the reply's must be the same
 * @state: of the slot
 * @wants_fds: the reply may carry descriptors
 * @deadline: which timeout applies
 * @offset: of a region access
 * @region: of a region access
 * @count: of a region access
 * @complete: engine's end of the request
 * @done: user's, called by @complete
 * @opaque: for @done
 * @cookie: for @done
 * @expires_ms: on vfuc_now_ms()'s clock
 * @injected: errno that replaces the reply's result, or 0
 * @next: slot, of the free list or the deadline list
 * @prev: slot, of the deadline list
 */
struct vfuc_request {
	uint16_t id;
	uint16_t command;
	uint8_t state;
	bool wants_fds;
	uint8_t deadline;
	uint64_t offset;
	uint32_t region;
	uint32_t count;
	vfuc_complete_fn complete;
	vfuc_done_fn done;
	void *opaque;
	uint64_t cookie;
	uint64_t expires_ms;
	int injected;
	uint16_t next;
	uint16_t prev;
};

struct vfuc_pending {
	struct vfuc_request *slots;
	unsigned int nr_slots;		/* a power of two */
	uint16_t free;			/* 0: none */
	uint16_t head[VFUC_NR_DEADLINES];	/* soonest, 0: none */
	uint16_t tail[VFUC_NR_DEADLINES];
	unsigned int waiting;
	unsigned int wanting_fds;	/* of those */
};

/**
 * vfuc_pending_init() - an empty table
 * @p: table
 * @nr_slots: power of two, 2 to 32768
 *
 * Return: 0, -EINVAL or -ENOMEM.
 */
int vfuc_pending_init(struct vfuc_pending *p, unsigned int nr_slots);

/**
 * vfuc_pending_free() - forget all
 * @p: table
 */
void vfuc_pending_free(struct vfuc_pending *p);

/**
 * vfuc_pending_add() - enter a request
 * @p: table
 * @request: copied; id, state and links are filled in here
 *
 * Requests of one deadline class must be added in the order in which they expire.
 *
 * Return: its id, or -EAGAIN if the table is full.
 */
int vfuc_pending_add(struct vfuc_pending *p, const struct vfuc_request *request);

/**
 * vfuc_pending_take() - a reply came: take its request out
 * @p: table
 * @id: of the reply
 * @request: the request, state as it was; valid if found
 *
 * Return: whether a request with this id was waiting or late.
 */
bool vfuc_pending_take(struct vfuc_pending *p, uint16_t id, struct vfuc_request *request);

/**
 * vfuc_pending_expire() - take a request whose time is up; its slot becomes late
 * @p: table
 * @now_ms: vfuc_now_ms()
 * @request: the request, valid if there was one
 *
 * Return: whether there was one. Call again until there is none.
 */
bool vfuc_pending_expire(struct vfuc_pending *p, uint64_t now_ms, struct vfuc_request *request);

/**
 * vfuc_pending_deadline() - when the next request expires
 * @p: table
 *
 * Return: time on vfuc_now_ms()'s clock, UINT64_MAX if nothing waits.
 */
uint64_t vfuc_pending_deadline(const struct vfuc_pending *p);

/**
 * vfuc_pending_any() - take any waiting request out
 * @p: table
 * @request: valid if there was one
 *
 * Return: whether there was one.
 */
bool vfuc_pending_any(struct vfuc_pending *p, struct vfuc_request *request);

#endif
