// SPDX-License-Identifier: GPL-2.0-only
/*
 * Threads that execute operations on disks, one each at a time.
 *
 * Two queues: what moves data, and what may take seconds, such as flushes. Only some of the threads
 * take the second kind, so that data never waits for all of them.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "io.h"

#define THREADS		16
#define MAX_SLOW	8	/* that flush, zero or discard at one time */

struct list {
	struct io *first;
	struct io **last;
};

struct io_threads {
	pthread_mutex_t lock;	/* of all below */
	pthread_cond_t work;
	struct list data;
	struct list slow;
	struct list done;
	unsigned int nr_slow;
	bool stop;
	int event;		/* signalled when done gets its first */
	unsigned int nr;
	pthread_t thread[THREADS];
};

static void put(struct list *l, struct io *io)
{
	io->next = NULL;
	*l->last = io;
	l->last = &io->next;
}

static struct io *take(struct list *l)
{
	struct io *io = l->first;

	if (!io)
		return NULL;
	l->first = io->next;
	if (!l->first)
		l->last = &l->first;
	return io;
}

static int execute(struct io *io)
{
	switch (io->op) {
	case IO_READ:
		return disk_read(io->disk, io->iov, io->n, io->offset);
	case IO_WRITE:
		return disk_write(io->disk, io->iov, io->n, io->offset, io->durable);
	case IO_FLUSH:
		return disk_flush(io->disk);
	case IO_ZERO:
		return disk_zero(io->disk, io->offset, io->len, io->durable);
	case IO_DISCARD:
		return disk_discard(io->disk, io->offset, io->len, io->durable);
	case IO_SIZE:
		return disk_size_now(io->disk, &io->len);
	}
	return -EINVAL;
}

static bool is_slow(const struct io *io)
{
	return io->op != IO_READ && io->op != IO_WRITE && io->op != IO_SIZE;
}

static void *worker(void *arg)
{
	const uint64_t one = 1;
	struct io_threads *t = arg;
	struct io *io;
	bool wake;

	pthread_mutex_lock(&t->lock);
	for (;;) {
		io = take(&t->data);
		if (!io && t->nr_slow < MAX_SLOW)
			io = take(&t->slow);
		if (!io && t->stop)
			break;
		if (!io) {
			pthread_cond_wait(&t->work, &t->lock);
			continue;
		}
		t->nr_slow += is_slow(io);
		pthread_mutex_unlock(&t->lock);
		io->result = execute(io);
		pthread_mutex_lock(&t->lock);
		t->nr_slow -= is_slow(io);
		wake = !t->done.first;
		put(&t->done, io);
		/* it is non-blocking, and already readable where it is full */
		if (wake && write(t->event, &one, sizeof(one)) < 0)
			continue;
	}
	pthread_mutex_unlock(&t->lock);
	return NULL;
}

/**
 * io_threads_create() - start the threads
 * @event: eventfd to signal when an operation has ended
 *
 * They are there from the start: when memory is short is no time to make one.
 *
 * Return: the threads or NULL with errno set.
 */
struct io_threads *io_threads_create(int event)
{
	struct io_threads *t = calloc(1, sizeof(*t));
	pthread_attr_t attr;
	sigset_t all, before;
	int ret = 0;

	if (!t)
		return NULL;
	pthread_mutex_init(&t->lock, NULL);
	pthread_cond_init(&t->work, NULL);
	t->data.last = &t->data.first;
	t->slow.last = &t->slow.first;
	t->done.last = &t->done.first;
	t->event = event;
	/* signals are the first thread's */
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 256 * 1024);
	while (!ret && t->nr < THREADS) {
		ret = pthread_create(&t->thread[t->nr], &attr, worker, t);
		t->nr += !ret;
	}
	pthread_attr_destroy(&attr);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (!ret)
		return t;
	io_threads_destroy(t);
	errno = ret;
	return NULL;
}

/**
 * io_threads_destroy() - end them, after what was submitted
 * @t: threads or NULL
 */
void io_threads_destroy(struct io_threads *t)
{
	unsigned int i;

	if (!t)
		return;
	pthread_mutex_lock(&t->lock);
	t->stop = true;
	pthread_cond_broadcast(&t->work);
	pthread_mutex_unlock(&t->lock);
	for (i = 0; i < t->nr; i++)
		pthread_join(t->thread[i], NULL);
	pthread_cond_destroy(&t->work);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

/**
 * io_threads_submit() - have one of the threads execute an operation
 * @t: threads
 * @io: operation
 */
void io_threads_submit(struct io_threads *t, struct io *io)
{
	pthread_mutex_lock(&t->lock);
	put(is_slow(io) ? &t->slow : &t->data, io);
	pthread_cond_signal(&t->work);
	pthread_mutex_unlock(&t->lock);
}

/**
 * io_threads_reap() - take what has ended
 * @t: threads
 *
 * Return: a list of operations, or NULL.
 */
struct io *io_threads_reap(struct io_threads *t)
{
	struct io *list;

	/* a look without the lock: what is missed now signals the event */
	if (!__atomic_load_n(&t->done.first, __ATOMIC_ACQUIRE))
		return NULL;
	pthread_mutex_lock(&t->lock);
	list = t->done.first;
	t->done.first = NULL;
	t->done.last = &t->done.first;
	pthread_mutex_unlock(&t->lock);
	return list;
}
