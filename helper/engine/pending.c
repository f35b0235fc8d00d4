// SPDX-License-Identifier: GPL-2.0-only
/*
 * Requests that wait for their replies. Links are slot numbers; 0 ends a list, slot 0 being unused.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pending.h"

int vfuc_pending_init(struct vfuc_pending *p, unsigned int nr_slots)
{
	unsigned int i;

	memset(p, 0, sizeof(*p));
	if (nr_slots < 2 || nr_slots > 32768 || nr_slots & (nr_slots - 1))
		return -EINVAL;
	p->slots = calloc(nr_slots, sizeof(*p->slots));
	if (!p->slots)
		return -ENOMEM;
	p->nr_slots = nr_slots;
	for (i = 1; i < nr_slots; i++) {
		p->slots[i].id = i;
		p->slots[i].next = i + 1 < nr_slots ? i + 1 : 0;
	}
	p->free = 1;
	return 0;
}

void vfuc_pending_free(struct vfuc_pending *p)
{
	free(p->slots);
	memset(p, 0, sizeof(*p));
}

static uint16_t slot_of(const struct vfuc_pending *p, uint16_t id)
{
	return id & (p->nr_slots - 1);
}

int vfuc_pending_add(struct vfuc_pending *p, const struct vfuc_request *request)
{
	uint16_t slot = p->free;
	struct vfuc_request *r;
	uint16_t id;

	if (!slot)
		return -EAGAIN;
	r = &p->slots[slot];
	p->free = r->next;
	/* The generation lies above the slot number and wraps by itself. */
	id = r->id + p->nr_slots;
	*r = *request;
	r->id = id;
	r->state = VFUC_REQUEST_WAITING;
	r->next = 0;
	r->prev = p->tail[r->deadline];
	if (r->prev)
		p->slots[r->prev].next = slot;
	else
		p->head[r->deadline] = slot;
	p->tail[r->deadline] = slot;
	p->waiting++;
	p->wanting_fds += r->wants_fds;
	return id;
}

/* Off the deadline list; the slot is neither waiting nor free after this. */
static void stop_waiting(struct vfuc_pending *p, struct vfuc_request *r)
{
	if (r->prev)
		p->slots[r->prev].next = r->next;
	else
		p->head[r->deadline] = r->next;
	if (r->next)
		p->slots[r->next].prev = r->prev;
	else
		p->tail[r->deadline] = r->prev;
	p->waiting--;
	p->wanting_fds -= r->wants_fds;
}

static void release(struct vfuc_pending *p, struct vfuc_request *r)
{
	r->state = VFUC_REQUEST_FREE;
	r->next = p->free;
	p->free = slot_of(p, r->id);
}

bool vfuc_pending_take(struct vfuc_pending *p, uint16_t id, struct vfuc_request *request)
{
	struct vfuc_request *r = &p->slots[slot_of(p, id)];

	if (!slot_of(p, id) || r->state == VFUC_REQUEST_FREE || r->id != id)
		return false;
	*request = *r;
	if (r->state == VFUC_REQUEST_WAITING)
		stop_waiting(p, r);
	release(p, r);
	return true;
}

bool vfuc_pending_expire(struct vfuc_pending *p, uint64_t now_ms, struct vfuc_request *request)
{
	unsigned int i;

	for (i = 0; i < VFUC_NR_DEADLINES; i++) {
		struct vfuc_request *r = &p->slots[p->head[i]];

		if (!p->head[i] || r->expires_ms > now_ms)
			continue;
		*request = *r;
		stop_waiting(p, r);
		r->state = VFUC_REQUEST_LATE;
		return true;
	}
	return false;
}

uint64_t vfuc_pending_deadline(const struct vfuc_pending *p)
{
	uint64_t soonest = UINT64_MAX;
	unsigned int i;

	for (i = 0; i < VFUC_NR_DEADLINES; i++) {
		if (p->head[i] && p->slots[p->head[i]].expires_ms < soonest)
			soonest = p->slots[p->head[i]].expires_ms;
	}
	return soonest;
}

bool vfuc_pending_any(struct vfuc_pending *p, struct vfuc_request *request)
{
	unsigned int i;

	for (i = 0; i < VFUC_NR_DEADLINES; i++) {
		if (p->head[i])
			return vfuc_pending_take(p, p->slots[p->head[i]].id, request);
	}
	return false;
}
