// SPDX-License-Identifier: GPL-2.0-only
/*
 * A stand-in for the thread that runs the event loop, of servers that can be held in the kernel
 * while they do I/O: the client's registers are answered all the same.
 *
 * There are two threads, and one of them has the turn: it alone runs the loop and touches what
 * there is. Where it may be held (vfus_hold_begin()) it says so in seq, and where it still is in
 * the same place after a tick, the other takes the turn. The one that comes back then finds that
 * out (vfus_hold_end()), touches nothing more and is the stand-in from there on.
 *
 * What that costs: two atomic operations for each hold, and ten looks a second of the stand-in
 * while there are any; it sleeps when a tick has passed without.
 */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "vfus_priv.h"

#define TICK_MS		100

static void lock_init(struct vfus_turn *t)
{
	pthread_condattr_t attr;

	pthread_mutex_init(&t->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&t->wake, &attr);
	pthread_condattr_destroy(&attr);
}

/* Returns the place that the loop is in; a tick later, unless there are none or it has ended. */
static unsigned int next_look(struct vfus_turn *t, unsigned int last)
{
	unsigned int seq = atomic_load(&t->seq);
	struct timespec at;

	if (seq == last && !(seq & 1)) {
		t->asleep = true;
		/* Pairs with vfus_hold_begin(): it sees that we sleep, or we see its place. */
		while (!t->ended && atomic_load(&t->seq) == last)
			pthread_cond_wait(&t->wake, &t->lock);
		t->asleep = false;
		seq = atomic_load(&t->seq);
	}
	clock_gettime(CLOCK_MONOTONIC, &at);
	at.tv_nsec += TICK_MS * 1000000l;
	at.tv_sec += at.tv_nsec / 1000000000;
	at.tv_nsec %= 1000000000;
	while (!t->ended && pthread_cond_timedwait(&t->wake, &t->lock, &at) != ETIMEDOUT)
		;
	return seq;
}

/* Returns false when the loop has ended; otherwise we have the turn. */
static bool stand_in(struct vfus *s)
{
	struct vfus_turn *t = &s->turn;
	unsigned int seq = 0;
	bool ours = false;

	pthread_mutex_lock(&t->lock);
	while (!ours && !t->ended) {
		seq = next_look(t, seq);
		ours = seq & 1 && !t->ended &&
		       atomic_compare_exchange_strong(&t->seq, &(unsigned int){ seq }, seq + 1);
	}
	pthread_mutex_unlock(&t->lock);
	if (ours)
		vfus_log(s, 1, "held in the kernel: the other thread goes on");
	return ours;
}

static void take_turns(struct vfus *s)
{
	struct vfus_turn *t = &s->turn;
	int ret;

	do {
		ret = t->loop(s);
		if (ret == VFUS_TURN_LOST)
			continue;
		pthread_mutex_lock(&t->lock);
		t->ended = true;
		t->ret = ret;
		pthread_cond_broadcast(&t->wake);
		pthread_mutex_unlock(&t->lock);
	} while (stand_in(s));
}

static void *other(void *arg)
{
	if (stand_in(arg))
		take_turns(arg);
	return NULL;
}

/**
 * vfus_turn_run() - run the event loop in turns of two threads
 * @s: server
 * @loop: runs it; returns VFUS_TURN_LOST where vfus_hold_end() said so
 *
 * Return: what the loop returned at its end, or a negative errno where there is no second thread.
 */
int vfus_turn_run(struct vfus *s, int (*loop)(struct vfus *s))
{
	struct vfus_turn *t = &s->turn;
	pthread_t thread;
	int ret;

	lock_init(t);
	t->loop = loop;
	ret = pthread_create(&thread, NULL, other, s);
	if (ret)
		return -ret;
	take_turns(s);
	pthread_join(thread, NULL);
	return t->ret;
}

/**
 * vfus_hold_begin() - what comes now may hold this thread for long
 * @s: server that was configured with stand_in
 *
 * The stand-in can be in the loop from now on: what it finds must be whole.
 *
 * Return: for vfus_hold_end().
 */
unsigned int vfus_hold_begin(struct vfus *s)
{
	struct vfus_turn *t = &s->turn;
	unsigned int seq = atomic_fetch_add(&t->seq, 1) + 1;

	if (atomic_load(&t->asleep)) {
		pthread_mutex_lock(&t->lock);
		pthread_cond_broadcast(&t->wake);
		pthread_mutex_unlock(&t->lock);
	}
	return seq;
}

/**
 * vfus_hold_end() - it is over
 * @s: server
 * @hold: what vfus_hold_begin() returned
 *
 * Return: false where the turn is the other thread's now. Nothing of the server's or the device's
 * may be touched then: vfus_ops.poll() has to return VFUS_TURN_LOST at once.
 */
bool vfus_hold_end(struct vfus *s, unsigned int hold)
{
	return atomic_compare_exchange_strong(&s->turn.seq, &hold, hold + 1);
}
