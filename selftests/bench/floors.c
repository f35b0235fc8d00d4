// SPDX-License-Identifier: GPL-2.0-only
/*
 * vfu_floors: what the parts of a forwarded access cost when nothing else is done.
 *
 *	vfu_floors NAME [SAMPLES]
 *
 * prints "bench NAME NANOSECONDS", the median of the samples for one operation. Ping-pong is
 * between two processes, as the device and its server are, with messages of the size that a read of
 * 4 bytes has; a round trip, of which half is one way. Where the clock is too coarse for one
 * operation, batches are timed.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

/* Of a REGION_READ of 4 bytes, and of its reply. */
#define REQUEST		32
#define REPLY		36
#define BATCH		64

#define WARM_UP		50

static void die(const char *what)
{
	perror(what);
	exit(1);
}

/* One message; spinning instead of sleeping where @spin. */
static void take(int fd, void *buf, size_t len, bool spin)
{
	ssize_t n;

	while ((n = recv(fd, buf, len, spin ? MSG_DONTWAIT : 0)) < 0 &&
	       (errno == EAGAIN || errno == EINTR))
		__builtin_ia32_pause();
	if (!n)
		exit(0);
	if (n != (ssize_t)len)
		die("recv");
}

static void give(int fd, const void *buf, size_t len)
{
	if (send(fd, buf, len, MSG_NOSIGNAL) != (ssize_t)len)
		exit(0);
}

/* Looks in vain at a socket of its own, until it is killed. */
static pid_t bystander(void)
{
	pid_t pid = fork();
	char buf[REQUEST];
	int fd[2];

	if (pid < 0)
		die("fork");
	if (pid)
		return pid;
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, fd))
		die("socketpair");
	for (;;)
		take(fd[0], buf, REQUEST, true);
}

static void sockets(double *samples, unsigned int n, bool spin)
{
	char buf[REPLY] = { 0 };
	unsigned int i;
	uint64_t start;
	int fd[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, fd))
		die("socketpair");
	pid = fork();
	if (pid < 0)
		die("fork");
	if (!pid) {
		close(fd[0]);
		for (;;) {
			take(fd[1], buf, REQUEST, spin);
			give(fd[1], buf, REPLY);
		}
	}
	close(fd[1]);
	for (i = 0; i < n + WARM_UP; i++) {
		start = now_ns();
		give(fd[0], buf, REQUEST);
		take(fd[0], buf, REPLY, spin);
		samples[i < WARM_UP ? 0 : i - WARM_UP] = now_ns() - start;
	}
	close(fd[0]);
	waitpid(pid, NULL, 0);
}

static void unix_blocking(double *samples, unsigned int n)
{
	sockets(samples, n, false);
}

static void unix_polling(double *samples, unsigned int n)
{
	sockets(samples, n, true);
}

/* As many spin as where a driver waits for a helper and that for a server. */
static void unix_polling_3(double *samples, unsigned int n)
{
	pid_t pid = bystander();

	sockets(samples, n, true);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void signal_event(int fd)
{
	uint64_t one = 1;

	if (write(fd, &one, sizeof(one)) != sizeof(one))
		die("write to an eventfd");
}

static void take_event(int fd)
{
	uint64_t v;

	if (read(fd, &v, sizeof(v)) != sizeof(v))
		die("read of an eventfd");
}

static void events(double *samples, unsigned int n)
{
	int to = eventfd(0, 0), from = eventfd(0, 0);
	unsigned int i;
	uint64_t start;
	pid_t pid;

	if (to < 0 || from < 0)
		die("eventfd");
	pid = fork();
	if (pid < 0)
		die("fork");
	if (!pid) {
		for (i = 0; i < n + WARM_UP; i++) {
			take_event(to);
			signal_event(from);
		}
		exit(0);
	}
	for (i = 0; i < n + WARM_UP; i++) {
		start = now_ns();
		signal_event(to);
		take_event(from);
		samples[i < WARM_UP ? 0 : i - WARM_UP] = now_ns() - start;
	}
	waitpid(pid, NULL, 0);
}

/* The writer's side of an eventfd, with a process that poll()s and reads it, or without. */
static void event_writes(double *samples, unsigned int n, bool waited_for)
{
	int fd = eventfd(0, EFD_NONBLOCK), end[2];
	unsigned int i, k;
	uint64_t start, v;
	pid_t pid = 0;

	if (fd < 0 || pipe(end))
		die("eventfd");
	if (waited_for) {
		pid = fork();
		if (pid < 0)
			die("fork");
	}
	if (waited_for && !pid) {
		struct pollfd p[2] = { { .fd = fd, .events = POLLIN }, { .fd = end[0] } };

		close(end[1]);
		while (poll(p, 2, -1) > 0 && !p[1].revents)
			if (read(fd, &v, sizeof(v)) < 0 && errno != EAGAIN)
				die("read of an eventfd");
		exit(0);
	}
	for (i = 0; i < n; i++) {
		start = now_ns();
		for (k = 0; k < BATCH; k++)
			signal_event(fd);
		samples[i] = (double)(now_ns() - start) / BATCH;
		/* As long as the other does between two batches of its own. */
		usleep(50);
	}
	close(end[1]);
	close(end[0]);
	if (waited_for)
		waitpid(pid, NULL, 0);
}

static void event_quiet(double *samples, unsigned int n)
{
	event_writes(samples, n, false);
}

static void event_waited(double *samples, unsigned int n)
{
	event_writes(samples, n, true);
}

static const struct {
	const char *name;
	void (*run)(double *samples, unsigned int n);
	unsigned int samples;
} floors[] = {
	{ "unix-blocking", unix_blocking, 1000 },
	{ "unix-polling", unix_polling, 1000 },
	{ "unix-polling-3", unix_polling_3, 1000 },
	{ "eventfd", events, 1000 },
	{ "eventfd-write-quiet", event_quiet, 200 },
	{ "eventfd-write", event_waited, 200 },
};

int main(int argc, char **argv)
{
	unsigned int i, n = argc > 2 ? atoi(argv[2]) : 0;
	double *samples;

	for (i = 0; i < ARRAY_SIZE(floors) && (argc < 2 || strcmp(argv[1], floors[i].name)); i++)
		;
	if (i == ARRAY_SIZE(floors)) {
		fprintf(stderr, "usage: vfu_floors NAME [SAMPLES]; NAME is one of");
		for (i = 0; i < ARRAY_SIZE(floors); i++)
			fprintf(stderr, " %s", floors[i].name);
		fprintf(stderr, "\n");
		return 2;
	}
	if (!n)
		n = floors[i].samples;
	samples = calloc(n, sizeof(*samples));
	if (!samples)
		die("samples");
	floors[i].run(samples, n);
	median(floors[i].name, samples, n);
	free(samples);
	return 0;
}
