// SPDX-License-Identifier: GPL-2.0-only
/*
 * Operations on disks: which of the ways they go, and their ends. One thread, the controller's.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "io.h"

/**
 * io_init() - make ready
 * @e: filled in
 * @ring: try io_uring
 *
 * Return: 0 or a negative errno.
 */
int io_init(struct io_engine *e, bool ring)
{
	*e = (struct io_engine){ .event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) };
	if (e->event < 0)
		return -errno;
	e->threads = io_threads_create(e->event);
	if (!e->threads) {
		int ret = -errno;

		close(e->event);
		return ret;
	}
	if (ring)
		e->ring = io_ring_create(e->event);
	return 0;
}

/**
 * io_exit() - undo, after the end of everything that was submitted
 * @e: engine
 */
void io_exit(struct io_engine *e)
{
	io_drain(e);
	io_ring_destroy(e->ring);
	io_threads_destroy(e->threads);
	close(e->event);
}

static bool has_data(const struct io *io)
{
	return io->op == IO_READ || io->op == IO_WRITE;
}

static bool erases(const struct io *io)
{
	return io->op == IO_ZERO || io->op == IO_DISCARD;
}

static void finish(struct io_engine *e, struct io *io)
{
	e->transfers -= has_data(io);
	e->erasures -= erases(io);
	e->in_flight--;
	io->done(io);
}

/* Memory takes no time, and is no other thread's to touch: the client can take it away (SIGBUS). */
static int in_memory(struct io *io)
{
	switch (io->op) {
	case IO_READ:
		return disk_read(io->disk, io->iov, io->n, io->offset);
	case IO_WRITE:
		return disk_write(io->disk, io->iov, io->n, io->offset, false);
	case IO_ZERO:
		return disk_zero(io->disk, io->offset, io->len, false);
	case IO_DISCARD:
		return disk_discard(io->disk, io->offset, io->len, false);
	case IO_SIZE:
		return disk_size_now(io->disk, &io->len);
	default:
		return 0;
	}
}

/**
 * io_submit() - begin an operation
 * @e: engine
 * @io: all but the engine's fields are set; it stays until done() is called, which may be before
 *	this returns
 */
void io_submit(struct io_engine *e, struct io *io)
{
	io->result = 0;
	e->in_flight++;
	e->transfers += has_data(io);
	e->erasures += erases(io);
	if (io->op != IO_READ && io->op != IO_SIZE)
		io->result = disk_lost(io->disk);
	if (io->disk->ram && !io->result)
		io->result = in_memory(io);
	if (io->disk->ram || io->result)
		finish(e, io);
	else if (!e->ring || !has_data(io) || !io_ring_submit(e->ring, io))
		io_threads_submit(e->threads, io);
}

/**
 * io_push_begin() - nothing more is going to be submitted at once
 * @e: engine
 *
 * Return: true if io_push() has to be called, which can be held in the kernel.
 */
bool io_push_begin(struct io_engine *e)
{
	return e->ring && io_ring_push_begin(e->ring);
}

/**
 * io_kick() - have the event signalled, by any thread
 * @e: engine
 */
void io_kick(struct io_engine *e)
{
	const uint64_t one = 1;

	/* where it cannot be, it is already */
	if (write(e->event, &one, sizeof(one)) < 0)
		return;
}

/**
 * io_push() - have the kernel see what was submitted, after io_push_begin()
 * @e: engine
 *
 * Return: true unless both have to be called again.
 */
bool io_push(struct io_engine *e)
{
	return io_ring_push(e->ring);
}

static bool finish_all(struct io_engine *e, struct io *list, bool from_ring)
{
	bool any = list;

	while (list) {
		struct io *io = list;

		list = io->next;
		/* the ring's part of a durable write: it has done with the data, and is not done */
		if (from_ring && io->op == IO_WRITE && io->durable && !io->result) {
			e->transfers--;
			io->op = IO_FLUSH;
			io_threads_submit(e->threads, io);
			continue;
		}
		finish(e, io);
	}
	return any;
}

/**
 * io_reap() - call done() of what has ended
 * @e: engine
 *
 * Return: true if there was anything.
 */
bool io_reap(struct io_engine *e)
{
	struct io *rest = NULL, *next;
	bool any = false;

	if (!e->in_flight)
		return false;
	if (e->ring)
		any = finish_all(e, io_ring_reap(e->ring, &rest), true);
	for (; rest; rest = next) {
		next = rest->next;
		io_threads_submit(e->threads, rest);
	}
	return finish_all(e, io_threads_reap(e->threads), false) || any;
}

/**
 * io_arm() - the controller is about to sleep on the event
 * @e: engine
 *
 * Return: true if it should not, since there is something to reap.
 */
bool io_arm(struct io_engine *e)
{
	return e->in_flight && e->ring && io_ring_arm(e->ring);
}

/**
 * io_memory_add() - reads and writes are going to be into this memory
 * @e: engine
 * @va: where it is
 * @size: bytes
 * @addr: its name for io_memory_drop()
 *
 * For disks without a cache, where each would have its pages looked up and held anew.
 */
void io_memory_add(struct io_engine *e, void *va, uint64_t size, uint64_t addr)
{
	if (e->ring)
		io_ring_memory_add(e->ring, va, size, addr);
}

/**
 * io_memory_drop() - memory is about to go; no read or write of it is in flight
 * @e: engine
 * @addr: as given to io_memory_add(), or not
 */
void io_memory_drop(struct io_engine *e, uint64_t addr)
{
	if (e->ring)
		io_ring_memory_drop(e->ring, addr);
}

/**
 * io_memory_drop_all() - all memory is about to go, or has gone
 * @e: engine
 */
void io_memory_drop_all(struct io_engine *e)
{
	if (e->ring)
		io_ring_memory_drop_all(e->ring);
}

/**
 * io_drain() - wait for the end of everything, at the end
 * @e: engine
 */
void io_drain(struct io_engine *e)
{
	struct pollfd p = { .fd = e->event, .events = POLLIN };
	uint64_t n;

	while (e->in_flight) {
		/* a push that the kernel refused is tried again in a moment */
		int ms = !io_push_begin(e) || io_push(e) ? -1 : 1;

		if (io_reap(e) || io_arm(e))
			continue;
		/* what the event was for is reaped here, or nobody would look */
		if (poll(&p, 1, ms) > 0 && read(e->event, &n, sizeof(n)) == sizeof(n))
			io_reap(e);
	}
}
