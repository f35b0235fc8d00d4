/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Operations on disks that go on while the controller does something else.
 *
 * One thread, the controller's, submits them and is told of their ends: done() is called by
 * io_submit() itself for a disk in memory, and otherwise by io_reap(), in any order. While it is in
 * io_push() another one can become that (vfus_turn.c), for which there is nothing to push then.
 * Reads and writes go through io_uring where the kernel lets us, the rest through threads
 * (io_threads.c), as does everything where it does not.
 *
 * The memory that an operation reads or writes is the kernel's until its end; those that have any
 * are counted, so that a reset can wait for them. So is what erases: that must not come
 * after what the next driver has written.
 */
#ifndef IO_H
#define IO_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "disk.h"

enum io_op { IO_READ, IO_WRITE, IO_FLUSH, IO_ZERO, IO_DISCARD, IO_SIZE };

struct io {
	enum io_op op;
	struct disk *disk;
	struct iovec *iov;	/* of reads and writes; changed on the way */
	int n;
	uint64_t offset;
	uint64_t len;		/* set by IO_SIZE */
	bool durable;		/* done means on stable storage */
	int result;		/* 0 or a negative errno */
	void (*done)(struct io *io);
	struct io *next;	/* the engine's */
};

struct io_threads;
struct io_ring;

struct io_engine {
	struct io_threads *threads;
	struct io_ring *ring;		/* NULL: threads do everything */
	int event;			/* readable when something ended, after io_arm() */
	unsigned int transfers;		/* reads and writes: they have memory */
	unsigned int erasures;		/* other changes of what is on a disk */
	unsigned int in_flight;		/* all, flushes too */
};

/* io.c */
int io_init(struct io_engine *e, bool ring);
void io_exit(struct io_engine *e);
void io_submit(struct io_engine *e, struct io *io);
bool io_push_begin(struct io_engine *e);
bool io_push(struct io_engine *e);
void io_kick(struct io_engine *e);
bool io_reap(struct io_engine *e);
bool io_arm(struct io_engine *e);
void io_memory_add(struct io_engine *e, void *va, uint64_t size, uint64_t addr);
void io_memory_drop(struct io_engine *e, uint64_t addr);
void io_memory_drop_all(struct io_engine *e);
void io_drain(struct io_engine *e);

/* io_threads.c */
struct io_threads *io_threads_create(int event);
void io_threads_destroy(struct io_threads *t);
void io_threads_submit(struct io_threads *t, struct io *io);
struct io *io_threads_reap(struct io_threads *t);

/* io_ring.c */
struct io_ring *io_ring_create(int event);
void io_ring_destroy(struct io_ring *r);
bool io_ring_submit(struct io_ring *r, struct io *io);
bool io_ring_push_begin(struct io_ring *r);
bool io_ring_push(struct io_ring *r);
struct io *io_ring_reap(struct io_ring *r, struct io **rest);
bool io_ring_arm(struct io_ring *r);
void io_ring_memory_add(struct io_ring *r, void *va, uint64_t size, uint64_t addr);
void io_ring_memory_drop(struct io_ring *r, uint64_t addr);
void io_ring_memory_drop_all(struct io_ring *r);

#endif
