// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reads and writes through io_uring. What the kernel did in part is left to threads for the rest.
 *
 * Memory of the client's can be registered: its pages are held once, instead of for each read and
 * write of a disk without a cache. Which, the table here says; the kernel may hold pages that are
 * in there no more, until their place is taken.
 *
 * The thread that submits can be held in the kernel, and another one be the ring's user meanwhile:
 * it takes what has ended, and submits nothing until the first is back.
 */
#include <errno.h>
#include <liburing.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "io.h"
#include "vfus.h"

#define ENTRIES	512	/* more than there are ever operations */

/*
 * The kernel begins an operation in the thread that submits it, which is the one that answers for
 * the registers. Through a page cache that has to find memory first that can take seconds (seen on
 * 7.2). The stand-in has the registers then; and after a submission that took long the ring takes
 * nothing for a while: threads have it.
 */
#define SLOW_US		10000
#define SLOW_FOR_US	2000000

/* Client memory that is registered. The kernel takes no more than 1 GiB for one. */
#define BUFFERS		16
#define BUFFER_MAX	(1ull << 30)

struct io_buffer {
	uint8_t *va;		/* NULL: the place is free */
	uint64_t size;
	uint64_t addr;
};

struct io_ring {
	struct io_uring uring;
	struct io_buffer buffers[BUFFERS];
	bool no_buffers;	/* Linux before 5.19 */
	atomic_bool busy;	/* a thread is in the kernel to submit */
	atomic_ullong slow_until;	/* microseconds; 0: it is quick */
};

/*
 * A write to a file that cannot be written to without waiting (ext4, tmpfs) is done by a thread
 * of the kernel's. Its end is ours to see, in the system call that asks for it, instead of an
 * interrupt to a CPU that looks anyway; kernels before 5.19 know nothing else.
 */
static int set_up(struct io_uring *uring)
{
	int ret = io_uring_queue_init(ENTRIES, uring,
				      IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG);

	return ret == -EINVAL ? io_uring_queue_init(ENTRIES, uring, 0) : ret;
}

/**
 * io_ring_create() - set a ring up
 * @event: eventfd that is signalled after io_ring_arm()
 *
 * Return: the ring, or NULL with errno set, as where the administrator forbids it.
 */
struct io_ring *io_ring_create(int event)
{
	struct io_ring *r = calloc(1, sizeof(*r));
	int ret;

	if (!r)
		return NULL;
	ret = set_up(&r->uring);
	if (!ret) {
		ret = io_uring_register_eventfd(&r->uring, event);
		if (ret)
			io_uring_queue_exit(&r->uring);
	}
	if (ret) {
		free(r);
		errno = -ret;
		return NULL;
	}
	io_uring_cq_eventfd_toggle(&r->uring, false);
	r->no_buffers = io_uring_register_buffers_sparse(&r->uring, BUFFERS) < 0;
	return r;
}

/**
 * io_ring_destroy() - undo; nothing is in flight
 * @r: ring or NULL
 */
void io_ring_destroy(struct io_ring *r)
{
	if (!r)
		return;
	io_uring_queue_exit(&r->uring);
	free(r);
}

static bool is_slow(struct io_ring *r)
{
	uint64_t until = r->slow_until;

	if (!until)
		return false;
	if (vfus_now_us() < until)
		return true;
	r->slow_until = 0;
	return false;
}

/**
 * io_ring_memory_add() - register memory
 * @r: ring
 * @va: where it is
 * @size: bytes
 * @addr: its name for io_ring_memory_drop()
 *
 * Where it cannot be, as where there is no room, it is used as any other.
 */
void io_ring_memory_add(struct io_ring *r, void *va, uint64_t size, uint64_t addr)
{
	const struct iovec iov = { va, size };
	__u64 tag = 0;
	unsigned int i;

	/* who is held in the kernel holds the ring's lock */
	if (r->no_buffers || r->busy || size > BUFFER_MAX)
		return;
	for (i = 0; i < BUFFERS && r->buffers[i].va; i++)
		;
	if (i < BUFFERS && io_uring_register_buffers_update_tag(&r->uring, i, &iov, &tag, 1) == 1)
		r->buffers[i] = (struct io_buffer){ va, size, addr };
}

static void forget(struct io_ring *r, unsigned int i)
{
	const struct iovec none = { 0 };
	__u64 tag = 0;

	r->buffers[i] = (struct io_buffer){ 0 };
	if (!r->busy)
		io_uring_register_buffers_update_tag(&r->uring, i, &none, &tag, 1);
}

/**
 * io_ring_memory_drop() - use it no more
 * @r: ring
 * @addr: as given to io_ring_memory_add(), or not
 */
void io_ring_memory_drop(struct io_ring *r, uint64_t addr)
{
	unsigned int i;

	for (i = 0; i < BUFFERS; i++)
		if (r->buffers[i].va && r->buffers[i].addr == addr)
			forget(r, i);
}

/**
 * io_ring_memory_drop_all() - use none any more
 * @r: ring
 */
void io_ring_memory_drop_all(struct io_ring *r)
{
	unsigned int i;

	for (i = 0; i < BUFFERS; i++)
		if (r->buffers[i].va)
			forget(r, i);
}

/* Returns the index of the registered memory that it is all in, or -1. */
static int registered(const struct io_ring *r, const struct iovec *iov)
{
	unsigned int i;

	for (i = 0; i < BUFFERS; i++) {
		const struct io_buffer *b = &r->buffers[i];
		uint64_t at = (uintptr_t)iov->iov_base - (uintptr_t)b->va;

		if (b->va && at < b->size && iov->iov_len <= b->size - at)
			return (int)i;
	}
	return -1;
}

static void prepare(const struct io_ring *r, struct io_uring_sqe *sqe, const struct io *io)
{
	unsigned int len = (unsigned int)io->iov->iov_len, n = (unsigned int)io->n;
	bool read = io->op == IO_READ;
	int fd = io->disk->fd, buffer;

	if (n > 1) {
		if (read)
			io_uring_prep_readv(sqe, fd, io->iov, n, io->offset);
		else
			io_uring_prep_writev(sqe, fd, io->iov, n, io->offset);
		return;
	}
	if (read)
		io_uring_prep_read(sqe, fd, io->iov->iov_base, len, io->offset);
	else
		io_uring_prep_write(sqe, fd, io->iov->iov_base, len, io->offset);
	buffer = io->disk->opt.cache == DISK_DIRECT ? registered(r, io->iov) : -1;
	if (buffer >= 0) {
		sqe->opcode = read ? IORING_OP_READ_FIXED : IORING_OP_WRITE_FIXED;
		sqe->buf_index = (uint16_t)buffer;
	}
}

static bool queue(struct io_ring *r, struct io *io)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&r->uring);

	if (!sqe)
		return false;
	prepare(r, sqe, io);
	io_uring_sqe_set_data(sqe, io);
	return true;
}

/**
 * io_ring_submit() - queue a read or write
 * @r: ring
 * @io: operation
 *
 * Return: false where there is no room, or it is slow, which is somebody else's to cope with.
 */
bool io_ring_submit(struct io_ring *r, struct io *io)
{
	return !r->busy && !is_slow(r) && queue(r, io);
}

/**
 * io_ring_push_begin() - is there anything that the kernel has to be told of?
 * @r: ring
 *
 * Return: true if so, and no other thread is at it: the ring is io_ring_push()'s.
 */
bool io_ring_push_begin(struct io_ring *r)
{
	if (r->busy || !io_uring_sq_ready(&r->uring))
		return false;
	r->busy = true;
	return true;
}

/**
 * io_ring_push() - have the kernel see what was queued
 * @r: ring
 *
 * Return: true where it has seen all; otherwise it has to be tried again.
 */
bool io_ring_push(struct io_ring *r)
{
	uint64_t start, end;
	bool all;

	start = vfus_now_us();
	io_uring_submit(&r->uring);
	end = vfus_now_us();
	if (end - start > SLOW_US)
		r->slow_until = end + SLOW_FOR_US;
	all = !io_uring_sq_ready(&r->uring);
	r->busy = false;
	return all;
}

/* Returns true if the operation has ended; otherwise it is what is left to do. */
static bool ended(struct io *io, int res)
{
	size_t done = res > 0 ? (size_t)res : 0;

	if (res == -EINTR || res == -EAGAIN)
		return false;
	if (res < 0) {
		io->result = res;
		return true;
	}
	if (!res && io->op == IO_READ) {
		io->result = -ENXIO;
		disk_lose(io->disk, -ENXIO, "shorter than it was");
		return true;
	}
	if (!res) {
		io->result = -EIO;
		return true;
	}
	io->offset += done;
	while (io->n && done >= io->iov->iov_len) {
		done -= io->iov->iov_len;
		io->iov++;
		io->n--;
	}
	if (!io->n)
		return true;
	io->iov->iov_base = (uint8_t *)io->iov->iov_base + done;
	io->iov->iov_len -= done;
	return false;
}

/**
 * io_ring_reap() - take what has ended
 * @r: ring
 * @rest: set to a list of operations of which there is something left to do
 *
 * Return: a list of operations, or NULL.
 */
struct io *io_ring_reap(struct io_ring *r, struct io **rest)
{
	struct io *list = NULL, **last = &list, **last_rest = rest, *io;
	struct io_uring_cqe *cqe;

	*rest = NULL;
	while (!io_uring_peek_cqe(&r->uring, &cqe)) {
		int res = cqe->res;

		io = io_uring_cqe_get_data(cqe);
		io_uring_cqe_seen(&r->uring, cqe);
		io->next = NULL;
		if (ended(io, res)) {
			*last = io;
			last = &io->next;
		} else {
			*last_rest = io;
			last_rest = &io->next;
		}
	}
	return list;
}

/**
 * io_ring_arm() - we are about to sleep: have the event signalled
 * @r: ring
 *
 * Return: true if something has ended already.
 */
bool io_ring_arm(struct io_ring *r)
{
	io_uring_cq_eventfd_toggle(&r->uring, true);
	/* Pairs with the kernel's between a completion and its look at the flag. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	/* what the thread that is held has to do for an end, we cannot, and should not wait for */
	if (!io_uring_cq_ready(&r->uring) &&
	    (r->busy ||
	     !(__atomic_load_n(r->uring.sq.kflags, __ATOMIC_RELAXED) & IORING_SQ_TASKRUN)))
		return false;
	io_uring_cq_eventfd_toggle(&r->uring, false);
	return true;
}
