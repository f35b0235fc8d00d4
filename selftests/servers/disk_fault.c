// SPDX-License-Identifier: GPL-2.0-only
/*
 * Faults below a disk, by taking the place of the system calls (ld --wrap): what a failing drive, a
 * full file system or a slow one do. Reads and writes only come here with --io=threads; those that
 * go through io_uring can be made to end just before the server sleeps ("arm"), and to begin
 * slowly ("submit").
 *
 * A call that waits does so for somebody to open a FIFO for writing, so that tests need no clock.
 * Set before there are threads; the counts are atomic, since several threads call.
 */
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "../../servers/nvme/io.h"
#include "disk_fault.h"

enum call { READ, WRITE, FLUSH, ERASE, ARM, SUBMIT, SIZE, CALLS };

static const char *const names[CALLS] = {
	"read", "write", "flush", "erase", "arm", "submit", "size"
};

static struct {
	int error;
	atomic_int times;	/* how often; negative: always */
	const char *fifo;	/* waits for it, once */
	atomic_flag waited;
} faults[CALLS];

/**
 * disk_fault_parse() - the argument of --disk-fault
 * @arg: CALL:eio, CALL:enospc, each with :once; or CALL:wait=FIFO. CALL is read, write, flush,
 *	erase, or arm, submit or size, which only wait. It must stay.
 *
 * Return: 0 or -EINVAL.
 */
int disk_fault_parse(const char *arg)
{
	const char *what = strchr(arg, ':');
	size_t i, len;

	if (!what)
		return -EINVAL;
	len = (size_t)(what++ - arg);
	for (i = 0; i < CALLS; i++)
		if (strlen(names[i]) == len && !memcmp(names[i], arg, len))
			break;
	if (i == CALLS)
		return -EINVAL;
	if (!strncmp(what, "wait=", 5)) {
		faults[i].fifo = what + 5;
		return 0;
	}
	if (!strncmp(what, "eio", 3))
		faults[i].error = EIO;
	else if (!strncmp(what, "enospc", 6))
		faults[i].error = ENOSPC;
	else
		return -EINVAL;
	faults[i].times = strstr(what, ":once") ? 1 : -1;
	return 0;
}

/* Returns true, with errno set, where the call has to fail. */
static bool hit(enum call call)
{
	int left;

	if (faults[call].fifo && !atomic_flag_test_and_set(&faults[call].waited)) {
		int fd = open(faults[call].fifo, O_RDONLY | O_CLOEXEC);

		if (fd >= 0)
			close(fd);
	}
	left = atomic_load(&faults[call].times);
	while (left > 0 && !atomic_compare_exchange_weak(&faults[call].times, &left, left - 1))
		;
	errno = faults[call].error;
	return left;
}

ssize_t __real_preadv(int fd, const struct iovec *v, int n, off_t at);
ssize_t __real_pwritev(int fd, const struct iovec *v, int n, off_t at);
int __real_fdatasync(int fd);
int __real_fallocate(int fd, int mode, off_t at, off_t len);

ssize_t __wrap_preadv(int fd, const struct iovec *v, int n, off_t at)
{
	return hit(READ) ? -1 : __real_preadv(fd, v, n, at);
}

ssize_t __wrap_pwritev(int fd, const struct iovec *v, int n, off_t at)
{
	return hit(WRITE) ? -1 : __real_pwritev(fd, v, n, at);
}

int __wrap_fdatasync(int fd)
{
	return hit(FLUSH) ? -1 : __real_fdatasync(fd);
}

int __wrap_fallocate(int fd, int mode, off_t at, off_t len)
{
	return hit(ERASE) ? -1 : __real_fallocate(fd, mode, at, len);
}

int __real_disk_size_now(const struct disk *d, uint64_t *size);

/* Opening a disk looks, too, in the file where this is: that one is not wrapped. */
int __wrap_disk_size_now(const struct disk *d, uint64_t *size)
{
	hit(SIZE);
	return __real_disk_size_now(d, size);
}

bool __real_io_ring_arm(struct io_ring *r);

bool __wrap_io_ring_arm(struct io_ring *r)
{
	hit(ARM);
	return __real_io_ring_arm(r);
}

int __real_io_uring_submit(struct io_uring *uring);

int __wrap_io_uring_submit(struct io_uring *uring)
{
	hit(SUBMIT);
	return __real_io_uring_submit(uring);
}
