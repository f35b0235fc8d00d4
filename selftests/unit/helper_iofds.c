// SPDX-License-Identifier: GPL-2.0-only
/*
 * Descriptors that stand for accesses: helper/ioeventfd.c between a scripted server and a kernel
 * that is this test (ioctl() is ours), and helper/ioregion.c, at the other end of whose socket the
 * test is.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../helper/device.h"
#include "../../helper/ioeventfd.h"
#include "../../helper/ioregion.h"
#include "../../helper/ring.h"
#include "fake_server.h"

#define BAR_SIZE	0x1000
#define RING_FD		1000	/* never used, the kernel is us */
#define MAX_SET		32
#define MAX_ENTRIES	8

/* ---- the kernel ---- */

static struct {
	struct vfiouser_ioeventfd set[MAX_SET];
	unsigned int nr;
	uint64_t refused;	/* what is asked for at this offset is refused */
	uint32_t store;		/* what a write leaves in shadow memory; 0: nothing */
} kernel;

int __wrap_ioctl(int fd, unsigned long request, void *arg)
{
	const struct vfiouser_ioeventfd *set = arg;

	assert_int_equal(fd, RING_FD);
	assert_int_equal(request, VFIOUSER_IOC_IOEVENTFD);
	assert_true(kernel.nr < MAX_SET);
	kernel.set[kernel.nr++] = *set;
	if (set->offset == kernel.refused) {
		errno = EINVAL;
		return -1;
	}
	if (set->flags & VFIOUSER_IOEVENTFD_SHADOW && kernel.store)
		memcpy((void *)(uintptr_t)set->shadow, &kernel.store, sizeof(kernel.store));
	return 0;
}

/* ---- the server ---- */

/**
 * struct offer - what the server answers for each region
 * @error: instead of an answer
 * @silent: no answer
 * @nr: how many @entries; the descriptors are an eventfd and a page of memory
 * @entries: as libvfio-user sends them
 * @asked: questions that came
 * @memory: the memory's descriptor
 */
struct offer {
	struct {
		uint32_t error;
		bool silent;
		unsigned int nr;
		struct vfuc_wire_io_fd_shadow entries[MAX_ENTRIES];
	} region[6];
	unsigned int asked;
	int memory;
};

static void answer(struct fake_server *s, struct offer *o, uint32_t index)
{
	struct {
		struct vfuc_wire_io_fds head;
		struct vfuc_wire_io_fd_shadow entries[MAX_ENTRIES];
	} reply = { 0 };
	size_t len;
	int fds[2];

	len = o->region[index].nr * sizeof(reply.entries[0]);
	memcpy(reply.entries, o->region[index].entries, len);
	reply.head.count = o->region[index].nr;
	reply.head.index = index;
	reply.head.argsz = sizeof(reply.head) + len;
	fds[0] = eventfd(0, 0);
	fds[1] = o->memory;
	fs_reply_fds(s, &reply, reply.head.argsz, fds, 2);
	close(fds[0]);
}

static void script(struct fake_server *s)
{
	struct vfuc_wire_io_fds request;
	struct offer *o = s->arg;
	unsigned int i;

	fs_version(s, NULL);
	for (i = 0; i < 2; i++) {
		struct fs_message *m = fs_expect(s, VFUC_CMD_GET_REGION_IO_FDS);

		memcpy(&request, m->payload, sizeof(request));
		fs_check(s, request.index == i);
		o->asked++;
		if (o->region[i].silent)
			break;
		if (o->region[i].error)
			fs_reply_error(s, o->region[i].error);
		else
			answer(s, o, i);
	}
	fs_expect_close(s);
}

/* What attach does with BAR 0 and BAR 1: asks, then hands over. */
static void attach(struct offer *o, struct device *dev, unsigned int timeout_ms)
{
	struct ring ring = { .fd = RING_FD };
	struct fake_server s;
	struct vfuc *c;

	memset(&kernel, 0, sizeof(kernel.set) + sizeof(kernel.nr));
	memset(dev, 0, sizeof(*dev));
	dev->regions[0].size = BAR_SIZE;
	dev->regions[1].size = BAR_SIZE;
	o->memory = fs_memory(8192);
	fs_start(&s, script, o);
	c = fs_open(&s, NULL);
	if (timeout_ms)
		fs_set_timeout(c, timeout_ms);
	ioeventfd_query(dev, c);
	assert_int_equal(vfuc_dead(c), 0);
	vfuc_close(c);
	fs_finish(&s);
	ioeventfd_assign(dev, &ring);
}

static void detach(struct offer *o, struct device *dev)
{
	device_release(dev);
	close(o->memory);
}

static const struct vfuc_wire_io_fd_shadow plain = {
	0x100, 4, 0, VFUC_IO_FD_IOEVENTFD, 0, 0, 0, 0
};

/* ---- ioeventfds ---- */

static void test_assign(void **state)
{
	unsigned int fds = fs_count_fds();
	struct device dev;
	struct offer o = { .region = { {
		.nr = 5,
		.entries = {
			plain,
			{ 0x104, 0, 0, VFUC_IO_FD_IOEVENTFD, 0, 0, 0, 0 },
			{ 0x108, 2, 0, VFUC_IO_FD_IOEVENTFD, VFUC_IO_FD_DATAMATCH, 0, 0, 0x1234 },
			{ 0x110, 8, 0, VFUC_IO_FD_IOEVENTFD, 2, 0, 0, 99 },
			{ 0x200, 64, 0, VFUC_IO_FD_IOREGIONFD, 0, 0, 0, 0 },
		},
	}, { .nr = 1, .entries = { { 0xffc, 4, 0, VFUC_IO_FD_IOEVENTFD, 0, 0, 0, 0 } } } } };

	(void)state;
	attach(&o, &dev, 0);
	assert_int_equal(o.asked, 2);
	assert_int_equal(kernel.nr, 5);
	assert_int_equal(kernel.set[0].region, 0);
	assert_int_equal(kernel.set[0].offset, 0x100);
	assert_int_equal(kernel.set[0].size, 4);
	assert_int_equal(kernel.set[0].flags, 0);
	assert_true(kernel.set[0].fd >= 0);
	assert_int_equal(kernel.set[1].size, 0);
	assert_int_equal(kernel.set[1].fd, kernel.set[0].fd);
	assert_int_equal(kernel.set[2].flags, VFIOUSER_IOEVENTFD_DATAMATCH);
	assert_int_equal(kernel.set[2].datamatch, 0x1234);
	assert_int_equal(kernel.set[3].flags, 0);	/* PIO means nothing here */
	assert_int_equal(kernel.set[4].region, 1);
	assert_int_equal(kernel.set[4].offset, 0xffc);
	detach(&o, &dev);
	assert_int_equal(fs_count_fds(), fds);
}

/* The address that the kernel is given is the place in the server's memory. */
static void test_shadow(void **state)
{
	unsigned int fds = fs_count_fds();
	uint32_t value = 0;
	struct device dev;
	struct offer o = { .region = { {
		.nr = 2,
		.entries = {
			{ 0x100, 4, 0, VFUC_IO_FD_SHADOW, 0, 1, 0x1ff8, 0 },
			{ 0x104, 4, 0, VFUC_IO_FD_SHADOW, VFUC_IO_FD_DATAMATCH, 1, 0x10, 5 },
		},
	} } };

	(void)state;
	kernel.store = 0xabcd1234;
	attach(&o, &dev, 0);
	kernel.store = 0;
	assert_int_equal(kernel.nr, 2);
	assert_int_equal(kernel.set[0].flags, VFIOUSER_IOEVENTFD_SHADOW);
	assert_int_equal(kernel.set[0].shadow % 4096, 0xff8);
	assert_int_equal(pread(o.memory, &value, sizeof(value), 0x1ff8), sizeof(value));
	assert_int_equal(value, 0xabcd1234);
	assert_int_equal(kernel.set[1].flags,
			 VFIOUSER_IOEVENTFD_SHADOW | VFIOUSER_IOEVENTFD_DATAMATCH);
	assert_int_equal(kernel.set[1].datamatch, 5);
	assert_int_equal(pread(o.memory, &value, sizeof(value), 0x10), sizeof(value));
	assert_int_equal(value, 0xabcd1234);
	detach(&o, &dev);
	assert_int_equal(fs_count_fds(), fds);
}

/* Whatever is wrong with one, the others are used. */
static void test_refused(void **state)
{
	unsigned int fds = fs_count_fds();
	struct device dev;
	struct offer o = { .region = { {
		.nr = 6,
		.entries = {
			{ 0x300, 4, 0, VFUC_IO_FD_IOEVENTFD, 0x80, 0, 0, 0 },	/* flags */
			{ 0x310, 16, 0, VFUC_IO_FD_IOEVENTFD, 0, 0, 0, 0 },	/* size */
			{ 0x320, 4, 0, VFUC_IO_FD_IOEVENTFD, 0, 0, 0, 0 },	/* the kernel */
			{ 0x330, 4, 0, VFUC_IO_FD_SHADOW, 0, 0, 0, 0 },		/* no memory */
			{ 0x340, 4, 0, VFUC_IO_FD_SHADOW, 0, 1, ~0xfffull, 0 },
			plain,
		},
	} } };

	(void)state;
	kernel.refused = 0x320;
	attach(&o, &dev, 0);
	kernel.refused = 0;
	assert_int_equal(kernel.nr, 2);
	assert_int_equal(kernel.set[0].offset, 0x320);
	assert_int_equal(kernel.set[1].offset, 0x100);
	detach(&o, &dev);
	assert_int_equal(fs_count_fds(), fds);
}

/* A region about which the server lies or knows nothing has none; the next one is asked for. */
static void test_fallback(void **state)
{
	unsigned int fds = fs_count_fds();
	struct device dev;
	struct offer o = { .region = { { .nr = 2, .entries = { plain } },
				       { .nr = 1, .entries = { plain } } } };

	(void)state;
	o.region[0].entries[1] = plain;
	o.region[0].entries[1].offset = BAR_SIZE;
	attach(&o, &dev, 0);
	assert_int_equal(o.asked, 2);
	assert_int_equal(kernel.nr, 1);
	assert_int_equal(kernel.set[0].region, 1);
	detach(&o, &dev);

	o.asked = 0;
	o.region[0].entries[1] = plain;
	o.region[0].entries[1].fd_index = 2;
	attach(&o, &dev, 0);
	assert_int_equal(kernel.nr, 1);
	detach(&o, &dev);

	o.asked = 0;
	o.region[0].error = ENOTSUP;
	o.region[1].error = EINVAL;
	attach(&o, &dev, 0);
	assert_int_equal(o.asked, 2);
	assert_int_equal(kernel.nr, 0);
	assert_null(dev.regions[0].io_fds);
	detach(&o, &dev);
	assert_int_equal(fs_count_fds(), fds);
}

/* A server that does not answer costs one timeout, not one for each BAR, and is not given up. */
static void test_silent(void **state)
{
	struct device dev;
	struct offer o = { .region = { { .silent = true } } };

	(void)state;
	attach(&o, &dev, 100);
	assert_int_equal(o.asked, 1);
	assert_int_equal(kernel.nr, 0);
	detach(&o, &dev);
}

/* ---- ioregionfds ---- */

struct cmd {
	uint8_t cmd;
	uint8_t size : 4;
	uint8_t resp : 1;
	uint8_t padding[6];
	uint64_t user_data;
	uint64_t offset;
	uint64_t data;
};

struct resp {
	uint64_t data;
	uint8_t pad[24];
};

static struct {
	struct device dev;
	struct ioregions io;
	int server;		/* its end of the socket */
	unsigned int done;	/* how often that ran, and with what the last time */
	uint64_t cookie;
	int error;
	uint64_t value;
	size_t len;
} r;

static void done(void *opaque, uint64_t cookie, int error, const void *data, size_t len)
{
	assert_ptr_equal(opaque, &r);
	r.done++;
	r.cookie = cookie;
	r.error = error;
	r.len = len;
	r.value = 0;
	if (len)
		memcpy(&r.value, data, len);
}

static struct vfuc_io_fd part(uint64_t offset, uint64_t size, uint32_t flags, uint64_t user_data,
			      int fd)
{
	return (struct vfuc_io_fd) {
		.type = VFUC_IO_FD_IOREGIONFD,
		.offset = offset,
		.size = size,
		.flags = flags,
		.value = user_data,
		.fd = fd,
		.shadow_fd = -1,
	};
}

/* BAR 0: 0x100+0x40, and with posted writes 0x200+0x10 and 0x300 without a size; some are wrong. */
static int setup(void **state)
{
	struct vfuc_region_io_fds *fds;
	struct vfuc_io_fd *e;
	int pair[2];

	(void)state;
	memset(&r, 0, sizeof(r));
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
		return -1;
	r.server = pair[0];
	fds = calloc(1, sizeof(*fds));
	e = calloc(16, sizeof(*e));
	fds->nr_fds = 2;
	fds->fds = calloc(2, sizeof(int));
	fds->fds[0] = pair[1];
	fds->fds[1] = eventfd(0, 0);
	fds->entries = e;
	e[fds->count++] = part(0x100, 0x40, 0, 0x1111, pair[1]);
	e[fds->count++] = part(0x400, 8, 0, 0, fds->fds[1]);	/* no socket */
	e[fds->count++] = part(0x200, 0x10, 2, 0x2222, pair[1]);
	e[fds->count++] = part(0x300, 0, 3, 0x3333, pair[1]);
	e[fds->count++] = part(0x13c, 8, 0, 0, pair[1]);	/* overlaps */
	e[fds->count++] = part(0x500, 0, 0, 0, pair[1]);	/* sizeless, not posted */
	e[fds->count++] = part(0x600, 8, 0x10, 0, pair[1]);	/* flags */
	r.dev.regions[0].io_fds = fds;
	r.io.done = done;
	r.io.opaque = &r;
	r.io.timeout_ms = 60000;
	ioregion_setup(&r.io, &r.dev);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	ioregion_release(&r.io);
	device_release(&r.dev);
	if (r.server >= 0)
		close(r.server);
	return 0;
}

static int submit(uint64_t offset, uint32_t count, const void *data)
{
	struct ioregion_access access = {
		.offset = offset, .count = count, .data = data, .cookie = offset + 1,
	};

	return ioregion_submit(&r.io, &access);
}

static struct cmd command(void)
{
	struct cmd cmd;

	assert_int_equal(recv(r.server, &cmd, sizeof(cmd), MSG_DONTWAIT), 32);
	return cmd;
}

static void respond(uint64_t data)
{
	struct resp resp = { .data = data };

	assert_int_equal(send(r.server, &resp, sizeof(resp), 0), 32);
}

static void quiet(void)
{
	uint8_t byte;

	assert_int_equal(recv(r.server, &byte, 1, MSG_DONTWAIT), -1);
	assert_int_equal(errno, EAGAIN);
}

static void test_parts(void **state)
{
	(void)state;
	assert_int_equal(r.io.count, 3);
	assert_int_equal(r.io.nr_fds, 1);
	/* What is in none, or only partly, or odd. */
	assert_int_equal(submit(0xff, 1, NULL), -ENOENT);
	assert_int_equal(submit(0xfc, 8, NULL), -ENOENT);
	assert_int_equal(submit(0x13e, 4, NULL), -ENOENT);
	assert_int_equal(submit(0x140, 1, NULL), -ENOENT);
	assert_int_equal(submit(0x100, 3, NULL), -ENOENT);
	assert_int_equal(submit(0x100, 16, NULL), -ENOENT);
	assert_int_equal(submit(0x100, 0, NULL), -ENOENT);
	assert_int_equal(submit(0x300, 4, NULL), -ENOENT);
	assert_int_equal(submit(0x301, 1, ""), -ENOENT);
	assert_int_equal(submit(0x400, 8, NULL), -ENOENT);
	assert_int_equal(submit(0x500, 4, "abc"), -ENOENT);
	assert_int_equal(submit(0x600, 8, NULL), -ENOENT);
	assert_int_equal(submit(UINT64_MAX, 8, NULL), -ENOENT);
	assert_int_equal(r.done, 0);
	quiet();
}

static void test_read(void **state)
{
	struct pollfd p[IOREGION_MAX_FDS];
	const uint64_t value = 0x8877665544332211;
	unsigned int i;
	struct cmd cmd;

	(void)state;
	for (i = 0; i < 4; i++) {
		assert_int_equal(ioregion_poll_fds(&r.io, p), 0);
		assert_int_equal(ioregion_next_deadline_ms(&r.io), -1);
		assert_int_equal(submit(0x108, 1u << i, NULL), 0);
		cmd = command();
		assert_int_equal(cmd.cmd, 0);
		assert_int_equal(cmd.size, i);
		assert_int_equal(cmd.user_data, 0x1111);
		assert_int_equal(cmd.offset, 8);
		/* One at a time. */
		assert_int_equal(submit(0x208, 4, NULL), -EAGAIN);
		assert_false(ioregion_process(&r.io));
		assert_int_equal(ioregion_poll_fds(&r.io, p), 1);
		assert_int_equal(p[0].events, POLLIN);
		assert_in_range(ioregion_next_deadline_ms(&r.io), 1, 60000);
		assert_int_equal(r.done, i);
		respond(value);
		assert_true(ioregion_process(&r.io));
		assert_int_equal(r.done, i + 1);
		assert_int_equal(r.cookie, 0x109);
		assert_int_equal(r.error, 0);
		assert_int_equal(r.len, 1u << i);
		assert_memory_equal(&r.value, &value, 1u << i);
	}
}

static void test_write(void **state)
{
	struct cmd cmd;

	(void)state;
	assert_int_equal(submit(0x13c, 4, "\x11\x22\x33\x44"), 0);
	cmd = command();
	assert_int_equal(cmd.cmd, 1);
	assert_int_equal(cmd.size, 2);
	assert_int_equal(cmd.resp, 1);
	assert_int_equal(cmd.offset, 0x3c);
	assert_int_equal(cmd.data, 0x44332211);
	assert_int_equal(r.done, 0);
	respond(0);
	assert_true(ioregion_process(&r.io));
	assert_int_equal(r.done, 1);
	assert_int_equal(r.error, 0);
	assert_int_equal(r.len, 0);
	/* Posted: over at once. */
	assert_int_equal(submit(0x200, 1, "\x55"), 0);
	cmd = command();
	assert_int_equal(cmd.resp, 0);
	assert_int_equal(cmd.user_data, 0x2222);
	assert_int_equal(cmd.data, 0x55);
	assert_int_equal(r.done, 2);
	assert_int_equal(submit(0x300, 2, "\x66\x77"), 0);
	cmd = command();
	assert_int_equal(cmd.user_data, 0x3333);
	assert_int_equal(cmd.size, 1);
	assert_int_equal(cmd.offset, 0);
	assert_int_equal(cmd.data, 0x7766);
	assert_int_equal(r.done, 3);
	assert_int_equal(r.io.pending, 0);
}

/* A response in pieces is one response. */
static void test_pieces(void **state)
{
	struct resp resp = { .data = 0x42 };
	const uint8_t *at = (const uint8_t *)&resp;
	unsigned int i;

	(void)state;
	assert_int_equal(submit(0x100, 8, NULL), 0);
	for (i = 0; i < sizeof(resp); i++) {
		assert_int_equal(r.done, 0);
		assert_int_equal(send(r.server, at + i, 1, 0), 1);
		assert_true(ioregion_process(&r.io));
	}
	assert_int_equal(r.done, 1);
	assert_int_equal(r.value, 0x42);
}

/* A server that does not read: nothing is lost, and it is known what to wait for. */
static void test_full(void **state)
{
	struct pollfd p[IOREGION_MAX_FDS];
	uint64_t sent = 0, n = 0;
	struct cmd cmd;
	int err;

	(void)state;
	while (!(err = submit(0x200, 8, &sent)))
		sent++;
	assert_int_equal(err, -EAGAIN);
	assert_int_equal(r.done, sent);
	assert_int_equal(ioregion_poll_fds(&r.io, p), 1);
	assert_int_equal(p[0].events, POLLOUT);
	while (recv(r.server, &cmd, sizeof(cmd), MSG_DONTWAIT) == sizeof(cmd))
		assert_int_equal(cmd.data, n++);
	assert_int_equal(n, sent);
	assert_int_equal(submit(0x200, 8, &sent), 0);
	assert_int_equal(command().data, sent);
	assert_int_equal(ioregion_poll_fds(&r.io, p), 0);
}

static void test_hangup(void **state)
{
	(void)state;
	assert_int_equal(submit(0x100, 4, NULL), 0);
	close(r.server);
	r.server = -1;
	assert_true(ioregion_process(&r.io));
	assert_int_equal(r.done, 1);
	assert_int_equal(r.error, -EIO);
	assert_int_equal(r.io.pending, 0);
	/* By message from now on. */
	assert_int_equal(submit(0x100, 4, NULL), -ENOENT);
	assert_int_equal(submit(0x200, 4, "abc"), -ENOENT);
	assert_int_equal(r.done, 1);
}

/* The same while nothing is under way: the access goes by message. */
static void test_idle_hangup(void **state)
{
	(void)state;
	close(r.server);
	r.server = -1;
	assert_int_equal(submit(0x100, 4, NULL), -ENOENT);
	assert_int_equal(r.done, 0);
}

static void test_timeout(void **state)
{
	(void)state;
	r.io.timeout_ms = 0;
	assert_int_equal(submit(0x100, 4, NULL), 0);
	assert_int_equal(ioregion_next_deadline_ms(&r.io), 0);
	assert_true(ioregion_process(&r.io));
	assert_int_equal(r.done, 1);
	assert_int_equal(r.error, -ETIMEDOUT);
	assert_int_equal(r.len, 0);
}

int main(void)
{
	const struct CMUnitTest ioeventfds[] = {
		cmocka_unit_test(test_assign),
		cmocka_unit_test(test_shadow),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_fallback),
		cmocka_unit_test(test_silent),
	};
	const struct CMUnitTest ioregions[] = {
		cmocka_unit_test_setup_teardown(test_parts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_read, setup, teardown),
		cmocka_unit_test_setup_teardown(test_write, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pieces, setup, teardown),
		cmocka_unit_test_setup_teardown(test_full, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hangup, setup, teardown),
		cmocka_unit_test_setup_teardown(test_idle_hangup, setup, teardown),
		cmocka_unit_test_setup_teardown(test_timeout, setup, teardown),
	};
	int failed;

	failed = cmocka_run_group_tests_name("ioeventfd", ioeventfds, NULL, NULL);
	failed += cmocka_run_group_tests_name("ioregion", ioregions, NULL, NULL);
	return failed;
}
