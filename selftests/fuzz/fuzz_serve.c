// SPDX-License-Identifier: GPL-2.0-only
/*
 * The helper's main loop between a ring that is filled with anything and a server that does
 * anything. The kernel keeps its own rules (no more requests than the ring has room for) and none
 * in what a request says.
 */
#include <errno.h>
#include <stdarg.h>

#include "../../helper/engine/client.h"
#include "../../helper/log.h"
#include "../../helper/serve.h"
#include "socket.h"

#define MAX_TICKS	20000

static struct vfiouser_ring *map;
static struct ring ring;
static struct input kernel;
static unsigned int ticks;

int __wrap_ioctl(int fd, unsigned long request, void *arg);

/* What the helper has to say is made and thrown away. */
bool log_verbose = true;

static void say(const char *fmt, va_list args)
{
	char text[600];

	vsnprintf(text, sizeof(text), fmt, args);
}

void log_error(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	say(fmt, args);
	va_end(args);
}

void log_note(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	say(fmt, args);
	va_end(args);
}

int log_fail(int status, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	say(fmt, args);
	va_end(args);
	return status;
}

void log_debug(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	say(fmt, args);
	va_end(args);
}

int __wrap_ioctl(int fd, unsigned long request, void *arg)
{
	(void)fd;
	switch (request) {
	case VFIOUSER_IOC_WAKE:
		FUZZ_CHECK((uintptr_t)arg < VFIOUSER_RING_SLOTS);
		return 0;
	case VFIOUSER_IOC_IRQFD:
		if (input_u8(&kernel) < 0xf0)
			return 0;
		errno = EBUSY;
		return -1;
	default:
		return 0;
	}
}

static void produce(void)
{
	struct vfiouser_request *req;

	if (map->tail - map->head >= VFIOUSER_RING_ENTRIES)
		return;
	req = &map->requests[map->tail % VFIOUSER_RING_ENTRIES];
	memset(req, 0, sizeof(*req));
	req->op = input_u8(&kernel) % 9;
	req->flags = input_u8(&kernel) & 3;
	req->slot = input_u8(&kernel);
	req->generation = 1 + input_u8(&kernel);
	req->region = input_u8(&kernel) % 12;
	req->offset = input_u16(&kernel);
	req->count = input_u8(&kernel) % 70;
	if (req->op >= 8) {
		/* all of it, in any way */
		input_bytes(&kernel, req, 40);
	}
	map->slots[req->slot % VFIOUSER_RING_SLOTS].sleeping = input_u8(&kernel) & 1;
	__atomic_store_n(&map->tail, map->tail + 1, __ATOMIC_RELEASE);
}

/* The kernel's turn. */
static void tick(void)
{
	unsigned int n;

	if (!kernel.left || ++ticks > MAX_TICKS) {
		map->state = VFIOUSER_STATE_GONE;
		return;
	}
	n = input_u8(&kernel);
	if (n >= 0xf8)
		map->state = n % 8;
	else
		for (n %= 8; n; n--)
			produce();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vfuc_config config = { .max_pending = 64, .max_queue_bytes = 100000 };
	struct serve serve = { .ring = &ring, .signal_fd = -1, .front_fd = -1,
			       .server_fd = -1 };
	struct vfuc_error error = { 0 };
	struct input server;
	char address[32];
	struct vfuc *c;
	size_t half;

	if (size < 2 || size > 16384)
		return 0;
	if (!map) {
		map = malloc(sizeof(*map));
		FUZZ_CHECK(map);
	}
	half = (size - 1) * data[0] / 256;
	kernel = (struct input) { data + 1, half };
	server = (struct input) { data + 1 + half, size - 1 - half };
	memset(map, 0, sizeof(*map));
	ring = (struct ring) { .fd = 1000000, .map = map };
	ticks = 0;
	fuzz_socket_tick = NULL;
	fuzz_socket_start(&server, address);
	config.address = address;
	if (!vfuc_open(&c, &config, &error)) {
		fuzz_socket_tick = tick;
		serve.server = c;
		serve.irqs.types[0].count = 1;
		serve.irqs.types[2].count = 32;
		map->state = VFIOUSER_STATE_LIVE;
		serve_run(&serve);
		fuzz_socket_tick = NULL;
		FUZZ_CHECK(map->tail - map->head <= VFIOUSER_RING_ENTRIES);
		vfuc_close(c);
		irq_release(&serve.irqs);
	}
	fuzz_socket_end();
	return 0;
}
