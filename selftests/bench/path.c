// SPDX-License-Identifier: GPL-2.0-only
/*
 * vfu_path: the way of a request through the helper and the server, without a VM and a module.
 *
 *	vfu_path SOCKET POLL-US POLL-SERVER [SAMPLES]
 *
 * A thread takes the kernel's place at the other end of the ring, with the same order of stores and
 * barriers: it wakes the helper where it sleeps, and spins for answers. The helper's main loop and
 * engine are the real ones, and so is the server at SOCKET (vfiouser-testdev). Prints
 * "bench NAME NANOSECONDS", medians: "read" of 4 bytes, "write" in bursts of 64 with a read behind
 * them that is not timed, and "write-stream", with all writes done at the end.
 *
 * The channel is an eventfd here. The helper does not read it, so this end does, between samples.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench.h"
#include "device.h"
#include "engine/client.h"
#include "log.h"
#include "ring.h"
#include "serve.h"
#include "testdev.h"

#define BURST		64
#define STREAM		2048
#define WARM_UP		50

static struct ring ring = { .fd = -1 };
static struct vfiouser_ring *map;
static uint32_t tail, generation;
static unsigned long wakeups;

static void die(const char *what)
{
	fprintf(stderr, "vfu_path: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* ---- what kmod/ring.c does ---- */

static void produce(uint16_t op, bool posted)
{
	struct vfiouser_request req = {
		.op = op,
		.flags = posted ? VFIOUSER_REQ_POSTED : 0,
		.region = VFIO_PCI_BAR0_REGION_INDEX,
		.offset = TESTDEV_SCRATCH,
		.count = 4,
	};
	uint64_t one = 1;

	while (tail - __atomic_load_n(&map->head, __ATOMIC_ACQUIRE) == VFIOUSER_RING_ENTRIES)
		__builtin_ia32_pause();
	if (!posted)
		req.generation = ++generation;
	memcpy(&map->requests[tail % VFIOUSER_RING_ENTRIES], &req, sizeof(req));
	__atomic_store_n(&map->tail, ++tail, __ATOMIC_RELEASE);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (__atomic_load_n(&map->helper_flags, __ATOMIC_RELAXED) & VFIOUSER_HELPER_SLEEPING) {
		wakeups++;
		if (write(ring.fd, &one, sizeof(one)) < 0)
			die("wake the helper");
	}
}

static void read_register(void)
{
	produce(VFIOUSER_OP_READ, false);
	while (__atomic_load_n(&map->slots[0].done, __ATOMIC_ACQUIRE) != generation)
		__builtin_ia32_pause();
	if (map->slots[0].error) {
		errno = -map->slots[0].error;
		die("read of a register");
	}
}

static void settle(void)
{
	uint64_t v;

	if (read(ring.fd, &v, sizeof(v)) < 0 && errno != EAGAIN)
		die("eventfd");
}

/* ---- what drivers do ---- */

static void reads(double *samples, unsigned int n)
{
	unsigned int i;
	uint64_t start;

	for (i = 0; i < n + WARM_UP; i++) {
		start = now_ns();
		read_register();
		samples[i < WARM_UP ? 0 : i - WARM_UP] = now_ns() - start;
		settle();
	}
	median("read", samples, n);
}

static void writes(double *samples, unsigned int n)
{
	unsigned int i, k;
	uint64_t start;

	for (i = 0; i < n; i++) {
		start = now_ns();
		for (k = 0; k < BURST; k++)
			produce(VFIOUSER_OP_WRITE, true);
		samples[i] = (double)(now_ns() - start) / BURST;
		read_register();
		settle();
	}
	median("write", samples, n);
}

static void stream(double *samples, unsigned int n)
{
	unsigned int i, k;
	uint64_t start;

	for (i = 0; i < n; i++) {
		start = now_ns();
		for (k = 0; k < STREAM; k++)
			produce(VFIOUSER_OP_WRITE, true);
		read_register();
		samples[i] = (double)(now_ns() - start) / STREAM;
		settle();
	}
	median("write-stream", samples, n);
}

static void *driver(void *arg)
{
	unsigned int n = *(unsigned int *)arg;
	double *samples = calloc(n, sizeof(*samples));

	if (!samples)
		die("samples");
	reads(samples, n);
	writes(samples, n / 5 + 1);
	stream(samples, n / 50 + 1);
	printf("# woke the helper %lu times\n", wakeups);
	fflush(stdout);
	free(samples);
	exit(0);
}

int main(int argc, char **argv)
{
	unsigned int n = argc > 4 ? atoi(argv[4]) : 1000;
	struct serve serve = { .ring = &ring, .signal_fd = -1, .front_fd = -1,
			       .server_fd = -1 };
	struct vfuc_error error = { 0 };
	struct vfuc_config config = { 0 };
	pthread_t thread;

	if (argc < 4) {
		fprintf(stderr, "usage: vfu_path SOCKET POLL-US POLL-SERVER [SAMPLES]\n");
		return 2;
	}
	config.address = argv[1];
	serve.poll_us = atoi(argv[2]);
	serve.poll_server = atoi(argv[3]);
	if (vfuc_open(&serve.server, &config, &error)) {
		fprintf(stderr, "vfu_path: %s\n", error.message);
		return 1;
	}
	ring.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	map = mmap(NULL, VFIOUSER_RING_BYTES, PROT_READ | PROT_WRITE,
		   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (ring.fd < 0 || map == MAP_FAILED)
		die("ring");
	ring.map = map;
	map->state = VFIOUSER_STATE_LIVE;
	errno = pthread_create(&thread, NULL, driver, &n);
	if (errno)
		die("thread");
	return serve_run(&serve);
}
