// SPDX-License-Identifier: GPL-2.0-only
/* REGION_READ, REGION_WRITE, posted and coalesced writes, pipelining, reset. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake_server.h"

#define MULTI "{\"capabilities\":{\"write_multiple\":true}}"

static struct vfuc_wire_access access_of(const struct fs_message *m)
{
	struct vfuc_wire_access access = { 0 };

	if (m->len >= sizeof(access))
		memcpy(&access, m->payload, sizeof(access));
	return access;
}

static void fill(uint8_t *data, size_t len, uint64_t offset)
{
	size_t i;

	for (i = 0; i < len; i++)
		data[i] = (offset + i) * 7 + ((offset + i) >> 8);
}

static void reply_read(struct fake_server *s, const struct vfuc_wire_access *access)
{
	uint8_t *bytes = malloc(sizeof(*access) + access->count);

	memcpy(bytes, access, sizeof(*access));
	fill(bytes + sizeof(*access), access->count, access->offset);
	fs_reply(s, bytes, sizeof(*access) + access->count);
	free(bytes);
}

/* ---- every size ---- */

static const uint32_t sizes[] = {
	1, 2, 3, 4, 7, 8, 9, 16, 255, 4096, 4097, 32768, 65536, 100000, 1 << 20,
};

#define NR_SIZES	(sizeof(sizes) / sizeof(sizes[0]))

struct result {
	unsigned int done;
	int error;
	uint64_t cookie;
	size_t len;
	uint8_t *data;
	uint64_t order[64];
};

static void keep(void *opaque, uint64_t cookie, int error, const void *data, size_t len)
{
	struct result *r = opaque;

	if (r->done < 64)
		r->order[r->done] = cookie;
	r->done++;
	r->error = error;
	r->cookie = cookie;
	r->len = len;
	if (r->data && len)
		memcpy(r->data, data, len);
	else if (!len)
		assert_null(data);
}

static void script_sizes(struct fake_server *s)
{
	unsigned int i;

	fs_version(s, NULL);
	for (i = 0; i < NR_SIZES; i++) {
		struct vfuc_wire_access access;
		uint8_t *expected;
		int differ;

		access = access_of(fs_expect(s, VFUC_CMD_REGION_READ));
		fs_check(s, s->message.len == sizeof(access));
		fs_check(s, access.count == sizes[i] && access.region == 4);
		fs_check(s, access.offset == 0x1000 + i);
		reply_read(s, &access);
		access = access_of(fs_expect(s, VFUC_CMD_REGION_WRITE));
		fs_check(s, s->message.len == sizeof(access) + sizes[i]);
		fs_check(s, access.count == sizes[i] && access.region == 4);
		expected = malloc(sizes[i]);
		fill(expected, sizes[i], access.offset);
		differ = memcmp(expected, s->message.payload + sizeof(access), sizes[i]);
		free(expected);
		fs_check(s, !differ);
		fs_reply(s, &access, sizeof(access));
	}
	fs_expect_close(s);
}

static void test_sizes(void **state)
{
	uint8_t *expected = malloc(1 << 20);
	uint8_t *data = malloc(1 << 20);
	struct fake_server s;
	struct vfuc *c;
	unsigned int i;

	(void)state;
	fs_start(&s, script_sizes, NULL);
	c = fs_open(&s, NULL);
	for (i = 0; i < NR_SIZES; i++) {
		struct result r = { .data = data };

		assert_int_equal(vfuc_submit_read(c, 4, 0x1000 + i, sizes[i], keep, &r, i), 0);
		fs_run_until(c, &r.done, 1);
		assert_int_equal(r.error, 0);
		assert_int_equal(r.cookie, i);
		assert_int_equal(r.len, sizes[i]);
		fill(expected, sizes[i], 0x1000 + i);
		assert_memory_equal(data, expected, sizes[i]);
		fill(data, sizes[i], 77);
		assert_int_equal(vfuc_submit_write(c, 4, 77, data, sizes[i], false, keep, &r, 99),
				 0);
		fs_run_until(c, &r.done, 2);
		assert_int_equal(r.error, 0);
		assert_int_equal(r.len, 0);
	}
	assert_int_equal(vfuc_submit_read(c, 4, 0, (1 << 20) + 1, keep, NULL, 0), -EINVAL);
	assert_int_equal(vfuc_submit_read(c, 4, 0, 0, keep, NULL, 0), -EINVAL);
	assert_int_equal(vfuc_submit_read(c, 4, UINT64_MAX, 2, keep, NULL, 0), -EINVAL);
	assert_int_equal(vfuc_submit_write(c, 4, 0, data, 0, true, NULL, NULL, 0), -EINVAL);
	assert_int_equal(vfuc_pending(c), 0);
	assert_int_equal(vfuc_stats(c)->violations, 0);
	vfuc_close(c);
	fs_finish(&s);
	free(data);
	free(expected);
}

/* ---- synchronous, split at what was negotiated ---- */

static void script_split(struct fake_server *s)
{
	uint8_t memory[5000];
	unsigned int writes = 0;
	unsigned int reads = 0;
	uint64_t end = 0;

	fs_version(s, "{\"capabilities\":{\"max_data_xfer_size\":100}}");
	while (end < sizeof(memory)) {
		struct vfuc_wire_access access = access_of(fs_expect(s, VFUC_CMD_REGION_WRITE));

		fs_check(s, access.count && access.count <= 100 && access.offset == end);
		memcpy(memory + end, s->message.payload + sizeof(access), access.count);
		end += access.count;
		writes++;
		fs_reply(s, &access, sizeof(access));
	}
	for (end = 0; end < sizeof(memory);) {
		struct vfuc_wire_access access = access_of(fs_expect(s, VFUC_CMD_REGION_READ));
		uint8_t bytes[sizeof(access) + 100];

		fs_check(s, access.count && access.count <= 100 && access.offset == end);
		memcpy(bytes, &access, sizeof(access));
		memcpy(bytes + sizeof(access), memory + end, access.count);
		end += access.count;
		reads++;
		fs_reply(s, bytes, sizeof(access) + access.count);
	}
	fs_check(s, writes == 50 && reads == 50);
	fs_expect(s, VFUC_CMD_REGION_READ);
	fs_reply_error(s, EPERM);
	fs_expect_close(s);
}

static void test_split(void **state)
{
	struct vfuc_error error = { 0 };
	uint8_t out[5000], in[5000];
	struct fake_server s;
	struct vfuc *c;

	(void)state;
	fill(out, sizeof(out), 5);
	fs_start(&s, script_split, NULL);
	c = fs_open(&s, NULL);
	assert_int_equal(vfuc_region_write(c, 0, 0, out, sizeof(out), &error), 0);
	assert_int_equal(vfuc_region_read(c, 0, 0, in, sizeof(in), &error), 0);
	assert_memory_equal(in, out, sizeof(in));
	assert_int_equal(vfuc_region_read(c, 0, 0, in, 4, &error), -EPERM);
	assert_int_equal(error.kind, VFUC_SERVER_ERROR);
	vfuc_close(c);
	fs_finish(&s);
}

/* ---- pipelining, replies in another order ---- */

static void script_reverse(struct fake_server *s)
{
	struct vfuc_header headers[32];
	struct vfuc_wire_access accesses[32];
	int i;

	fs_version(s, NULL);
	for (i = 0; i < 32; i++) {
		accesses[i] = access_of(fs_expect(s, VFUC_CMD_REGION_READ));
		fs_check(s, accesses[i].offset == (uint64_t)i * 8);
		headers[i] = s->message.header;
	}
	for (i = 31; i >= 0; i--) {
		s->message.header = headers[i];
		reply_read(s, &accesses[i]);
	}
	fs_expect_close(s);
}

struct check {
	unsigned int done;
	uint64_t last;
};

static void check_one(void *opaque, uint64_t cookie, int error, const void *data, size_t len)
{
	struct check *check = opaque;
	uint8_t expected[8];

	assert_int_equal(error, 0);
	assert_int_equal(len, 8);
	fill(expected, 8, cookie);
	assert_memory_equal(data, expected, 8);
	assert_int_equal(cookie, check->last - 8);
	check->last = cookie;
	check->done++;
}

static void test_out_of_order(void **state)
{
	struct check check = { .last = 32 * 8 };
	struct fake_server s;
	struct vfuc *c;
	int i;

	(void)state;
	fs_start(&s, script_reverse, NULL);
	c = fs_open(&s, NULL);
	vfuc_cork(c);
	for (i = 0; i < 32; i++)
		assert_int_equal(vfuc_submit_read(c, 0, i * 8, 8, check_one, &check, i * 8), 0);
	assert_int_equal(vfuc_stats(c)->messages_sent, 1);
	assert_int_equal(vfuc_uncork(c), 0);
	/* All of them in one system call, beside the one for VERSION. */
	assert_int_equal(vfuc_stats(c)->messages_sent, 33);
	assert_int_equal(vfuc_stats(c)->send_calls, 2);
	assert_int_equal(vfuc_pending(c), 32);
	fs_run_until(c, &check.done, 32);
	assert_int_equal(vfuc_pending(c), 0);
	vfuc_close(c);
	fs_finish(&s);
}

/* ---- posted writes ---- */

static void script_posted(struct fake_server *s)
{
	struct vfuc_wire_access access;
	uint32_t i, value;

	fs_version(s, s->arg);
	for (i = 0; i < 100; i++) {
		access = access_of(fs_expect(s, VFUC_CMD_REGION_WRITE));
		fs_check(s, s->message.header.flags == VFUC_FLAG_NO_REPLY);
		fs_check(s, access.offset == i * 4 && access.count == 4);
		memcpy(&value, s->message.payload + sizeof(access), sizeof(value));
		fs_check(s, value == i);
	}
	/* A read comes behind the writes that were posted before it. */
	access = access_of(fs_expect(s, VFUC_CMD_REGION_READ));
	reply_read(s, &access);
	fs_expect_close(s);
}

static void test_posted(void **state)
{
	const char * const json[] = { NULL, MULTI };
	unsigned int i;

	(void)state;
	for (i = 0; i < 2; i++) {
		struct result r = { 0 };
		struct fake_server s;
		struct vfuc *c;
		uint32_t v;

		fs_start(&s, script_posted, (void *)json[i]);
		c = fs_open(&s, NULL);
		for (v = 0; v < 100; v++)
			assert_int_equal(vfuc_submit_write(c, 1, v * 4, &v, 4, true, NULL, NULL,
							   0), 0);
		assert_int_equal(vfuc_pending(c), 0);
		assert_int_equal(vfuc_submit_read(c, 1, 0, 4, keep, &r, 0), 0);
		fs_run_until(c, &r.done, 1);
		assert_int_equal(vfuc_stats(c)->writes, 100);
		assert_int_equal(vfuc_stats(c)->coalesced, 0);
		vfuc_close(c);
		fs_finish(&s);
	}
}

/* Replies to what was posted: nobody waits for them, a WRITE_MULTI's count is not looked at. */
static void script_posted_answered(struct fake_server *s)
{
	struct vfuc_wire_access access;
	uint64_t count = 2;

	fs_version(s, MULTI);
	access = access_of(fs_expect(s, VFUC_CMD_REGION_WRITE));
	fs_reply(s, &access, sizeof(access));
	fs_expect(s, VFUC_CMD_REGION_WRITE_MULTI);
	fs_check(s, s->message.header.flags == VFUC_FLAG_NO_REPLY);
	fs_reply(s, &count, sizeof(count));
	fs_reply_error(s, 5);
	access = access_of(fs_expect(s, VFUC_CMD_REGION_READ));
	reply_read(s, &access);
	fs_expect_close(s);
}

static void test_posted_answered(void **state)
{
	struct result r = { 0 };
	struct fake_server s;
	struct vfuc *c;
	uint32_t v = 1;

	(void)state;
	fs_start(&s, script_posted_answered, NULL);
	c = fs_open(&s, NULL);
	assert_int_equal(vfuc_submit_write(c, 1, 0, &v, 4, true, NULL, NULL, 0), 0);
	vfuc_cork(c);
	assert_int_equal(vfuc_submit_write(c, 1, 4, &v, 4, true, NULL, NULL, 0), 0);
	assert_int_equal(vfuc_submit_write(c, 1, 8, &v, 4, true, NULL, NULL, 0), 0);
	vfuc_uncork(c);
	assert_int_equal(vfuc_submit_read(c, 1, 0, 4, keep, &r, 0), 0);
	fs_run_until(c, &r.done, 1);
	assert_int_equal(r.error, 0);
	assert_int_equal(vfuc_stats(c)->coalesced, 2);
	assert_int_equal(vfuc_stats(c)->posted_replies, 3);
	assert_int_equal(vfuc_stats(c)->posted_errors, 1);
	assert_int_equal(vfuc_stats(c)->unknown_replies, 0);
	assert_int_equal(vfuc_stats(c)->violations, 0);
	vfuc_close(c);
	fs_finish(&s);
}

/* ---- coalescing: applies writes of every form to memory, in order ---- */

struct device {
	const char *json;
	uint8_t memory[65536];
	unsigned int messages;
	unsigned int multis;
	bool wait;
};

static void apply_multi(struct fake_server *s, struct device *d)
{
	struct fs_message *m = &s->message;
	struct vfuc_wire_multi_write write;
	uint64_t n, i;

	fs_check(s, m->len >= sizeof(n));
	memcpy(&n, m->payload, sizeof(n));
	fs_check(s, n >= 2 && m->len == sizeof(n) + n * sizeof(write));
	fs_check(s, m->header.flags == VFUC_FLAG_NO_REPLY);
	for (i = 0; i < n; i++) {
		memcpy(&write, m->payload + sizeof(n) + i * sizeof(write), sizeof(write));
		fs_check(s, write.count && write.count <= 8 && write.region == 1);
		fs_check(s, write.offset + write.count <= sizeof(d->memory));
		memcpy(d->memory + write.offset, write.data, write.count);
	}
	d->multis++;
}

static void script_device(struct fake_server *s)
{
	struct device *d = s->arg;
	struct vfuc_wire_access access;

	fs_version(s, d->json);
	if (d->wait)
		fs_wait(s);
	for (;;) {
		struct fs_message *m = fs_receive(s);

		d->messages++;
		switch (m->header.command) {
		case VFUC_CMD_REGION_WRITE_MULTI:
			apply_multi(s, d);
			continue;
		case VFUC_CMD_REGION_WRITE:
			access = access_of(m);
			fs_check(s, access.offset + access.count <= sizeof(d->memory));
			memcpy(d->memory + access.offset, m->payload + sizeof(access),
			       access.count);
			continue;
		case VFUC_CMD_REGION_READ:
			access = access_of(m);
			reply_read(s, &access);
			break;
		default:
			fs_fail(s, "command %u", m->header.command);
		}
		break;
	}
	fs_expect_close(s);
}

static void coalesce(const char *json, bool cork, unsigned int count, struct device *d)
{
	uint8_t *expected = calloc(1, sizeof(d->memory));
	struct result r = { 0 };
	struct fake_server s;
	uint64_t value = 1;
	struct vfuc *c;
	unsigned int i;
	int small = 4096;

	memset(d, 0, sizeof(*d));
	d->json = json;
	d->wait = !cork;
	fs_start(&s, script_device, d);
	if (!cork)
		setsockopt(s.client_fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	c = fs_open(&s, NULL);
	if (cork)
		vfuc_cork(c);
	for (i = 0; i < count; i++) {
		uint32_t len = 1 + i % 8;
		uint64_t offset = (i * 13) % 60000;

		value = value * 6364136223846793005 + 1442695040888963407;
		/* Now and then one that does not fit. */
		if (i % 500 == 499)
			len = 40;
		memset(expected + offset, value, len > 8 ? len : 0);
		if (len > 8) {
			uint8_t bytes[40];

			memset(bytes, value, len);
			assert_int_equal(vfuc_submit_write(c, 1, offset, bytes, len, true, NULL,
							   NULL, 0), 0);
			continue;
		}
		memcpy(expected + offset, &value, len);
		assert_int_equal(vfuc_submit_write(c, 1, offset, &value, len, true, NULL, NULL, 0),
				 0);
	}
	if (cork)
		assert_int_equal(vfuc_uncork(c), 0);
	else
		sem_post(&s.go);
	assert_int_equal(vfuc_submit_read(c, 1, 0, 4, keep, &r, 0), 0);
	fs_run_until(c, &r.done, 1);
	assert_int_equal(vfuc_stats(c)->writes, count);
	if (json)
		assert_true(vfuc_stats(c)->coalesced > count / 2);
	else
		assert_int_equal(vfuc_stats(c)->coalesced, 0);
	vfuc_close(c);
	fs_finish(&s);
	assert_memory_equal(d->memory, expected, sizeof(d->memory));
	free(expected);
}

static void test_coalesce(void **state)
{
	struct device *d = malloc(sizeof(*d));

	(void)state;
	/* Not proposed, not answered: each write for itself. */
	coalesce(NULL, true, 1000, d);
	assert_int_equal(d->messages, 1001);
	assert_int_equal(d->multis, 0);
	/* Corked: 2 of 40 bytes, between them 998 by the 128 at most. */
	coalesce(MULTI, true, 1000, d);
	assert_int_equal(d->multis, 8);
	assert_int_equal(d->messages, 8 + 2 + 1);
	/* Backed up: a server that does not read for a while. */
	coalesce(MULTI, false, 20000, d);
	assert_true(d->multis > 20);
	free(d);
}

/* ---- a reply that does not fit ---- */

static void script_misfit(struct fake_server *s)
{
	struct vfuc_wire_access access;
	unsigned int which = *(unsigned int *)s->arg;
	uint8_t bytes[64] = { 0 };

	fs_version(s, NULL);
	access = access_of(fs_expect(s, which < 6 ? VFUC_CMD_REGION_READ : VFUC_CMD_REGION_WRITE));
	memcpy(bytes, &access, sizeof(access));
	switch (which) {
	case 0:		/* too short */
		fs_reply(s, bytes, sizeof(access) + 7);
		break;
	case 1:		/* too long */
		fs_reply(s, bytes, sizeof(access) + 9);
		break;
	case 2:		/* less than asked */
		access.count = 4;
		memcpy(bytes, &access, sizeof(access));
		fs_reply(s, bytes, sizeof(access) + 4);
		break;
	case 3:		/* nothing */
		fs_reply(s, NULL, 0);
		break;
	case 4:		/* another region's */
		access.region++;
		memcpy(bytes, &access, sizeof(access));
		fs_reply(s, bytes, sizeof(access) + 8);
		break;
	case 5:		/* another command's */
		s->message.header.command = VFUC_CMD_REGION_WRITE;
		fs_reply(s, bytes, sizeof(access) + 8);
		break;
	case 6:		/* less than given */
		access.count = 4;
		fs_reply(s, &access, sizeof(access));
		break;
	case 7:		/* with data */
		fs_reply(s, bytes, sizeof(access) + 8);
		break;
	}
	/* It goes on after that. */
	fs_expect(s, VFUC_CMD_RESET);
	fs_reply(s, NULL, 0);
	fs_expect_close(s);
}

static void test_misfits(void **state)
{
	unsigned int which;

	(void)state;
	for (which = 0; which < 8; which++) {
		struct result r = { 0 };
		struct fake_server s;
		uint64_t value = 0;
		struct vfuc *c;

		fs_start(&s, script_misfit, &which);
		c = fs_open(&s, NULL);
		if (which < 6)
			assert_int_equal(vfuc_submit_read(c, 0, 0, 8, keep, &r, 0), 0);
		else
			assert_int_equal(vfuc_submit_write(c, 0, 0, &value, 8, false, keep, &r, 0),
					 0);
		fs_run_until(c, &r.done, 1);
		assert_int_equal(r.error, -EPROTO);
		assert_int_equal(vfuc_stats(c)->violations, 1);
		assert_int_equal(vfuc_reset(c, NULL), 0);
		vfuc_close(c);
		assert_int_equal(r.done, 1);
		fs_finish(&s);
	}
}

/* ---- reset ---- */

static void script_reset(struct fake_server *s)
{
	struct vfuc_header reset;
	struct vfuc_wire_access access;
	int i;

	fs_version(s, NULL);
	fs_check(s, fs_expect(s, VFUC_CMD_RESET)->len == 0);
	reset = s->message.header;
	/* It takes its time, and work goes on. */
	for (i = 0; i < 5; i++) {
		access = access_of(fs_expect(s, VFUC_CMD_REGION_READ));
		reply_read(s, &access);
	}
	fs_wait(s);
	s->message.header = reset;
	fs_reply(s, NULL, 0);
	fs_expect(s, VFUC_CMD_RESET);
	fs_reply_error(s, EBUSY);
	fs_expect(s, VFUC_CMD_RESET);
	fs_reply(s, "unasked", 7);
	fs_expect_close(s);
}

static void test_reset(void **state)
{
	struct result reset = { 0 };
	struct vfuc_error error = { 0 };
	struct fake_server s;
	uint8_t data[8];
	struct vfuc *c;
	int i;

	(void)state;
	fs_start(&s, script_reset, NULL);
	c = fs_open(&s, NULL);
	assert_int_equal(vfuc_submit_reset(c, keep, &reset, 1), 0);
	for (i = 0; i < 5; i++)
		assert_int_equal(vfuc_region_read(c, 0, i, data, 8, NULL), 0);
	assert_int_equal(reset.done, 0);
	sem_post(&s.go);
	fs_run_until(c, &reset.done, 1);
	assert_int_equal(reset.error, 0);
	assert_int_equal(vfuc_reset(c, &error), -EBUSY);
	assert_int_equal(error.kind, VFUC_SERVER_ERROR);
	assert_int_equal(vfuc_reset(c, &error), -EPROTO);
	vfuc_close(c);
	fs_finish(&s);
}

/* A reset outlives the timeout that ends a read sent after it. */
static void script_slow_reset(struct fake_server *s)
{
	struct vfuc_header reset;

	fs_version(s, NULL);
	fs_expect(s, VFUC_CMD_RESET);
	reset = s->message.header;
	fs_expect(s, VFUC_CMD_REGION_READ);
	fs_wait(s);
	s->message.header = reset;
	fs_reply(s, NULL, 0);
	fs_expect_close(s);
}

static void test_slow_reset(void **state)
{
	struct vfuc_config config = { .reset_timeout_ms = 60000 };
	struct result reset = { 0 };
	struct result read = { 0 };
	struct fake_server s;
	struct vfuc *c;

	(void)state;
	fs_start(&s, script_slow_reset, NULL);
	c = fs_open(&s, &config);
	fs_set_timeout(c, 50);
	assert_int_equal(vfuc_submit_reset(c, keep, &reset, 1), 0);
	assert_int_equal(vfuc_submit_read(c, 0, 0, 8, keep, &read, 1), 0);
	fs_run_until(c, &read.done, 1);
	assert_int_equal(read.error, -ETIMEDOUT);
	assert_int_equal(reset.done, 0);
	sem_post(&s.go);
	fs_run_until(c, &reset.done, 1);
	assert_int_equal(reset.error, 0);
	vfuc_close(c);
	assert_int_equal(read.done, 1);
	fs_finish(&s);
}

/* ---- callbacks that submit ---- */

static void script_echo(struct fake_server *s)
{
	unsigned int *n = s->arg;

	fs_version(s, NULL);
	while ((*n)--) {
		struct vfuc_wire_access access = access_of(fs_expect(s, VFUC_CMD_REGION_READ));

		reply_read(s, &access);
	}
	fs_expect_close(s);
}

struct chain {
	struct vfuc *c;
	unsigned int done;
	unsigned int want;
};

static void next_read(void *opaque, uint64_t cookie, int error, const void *data, size_t len)
{
	struct chain *chain = opaque;
	struct vfuc_error failure;
	uint8_t expected[8];

	assert_int_equal(error, 0);
	assert_int_equal(len, 8);
	fill(expected, 8, cookie);
	assert_memory_equal(data, expected, 8);
	chain->done++;
	if (chain->done < chain->want)
		assert_int_equal(vfuc_submit_read(chain->c, 0, cookie + 8, 8, next_read, chain,
						  cookie + 8), 0);
	/* Waiting is not possible here. */
	assert_int_equal(vfuc_process(chain->c), -EDEADLK);
	assert_int_equal(vfuc_reset(chain->c, &failure), -EDEADLK);
	assert_int_equal(vfuc_disable_irqs(chain->c, 0, &failure), -EDEADLK);
}

static void test_chain(void **state)
{
	struct chain chain = { .want = 3000 };
	unsigned int n = 3000;
	struct fake_server s;

	(void)state;
	fs_start(&s, script_echo, &n);
	chain.c = fs_open(&s, NULL);
	assert_int_equal(vfuc_submit_read(chain.c, 0, 0, 8, next_read, &chain, 0), 0);
	fs_run_until(chain.c, &chain.done, 3000);
	vfuc_close(chain.c);
	fs_finish(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_split),
		cmocka_unit_test(test_out_of_order),
		cmocka_unit_test(test_posted),
		cmocka_unit_test(test_posted_answered),
		cmocka_unit_test(test_coalesce),
		cmocka_unit_test(test_misfits),
		cmocka_unit_test(test_reset),
		cmocka_unit_test(test_slow_reset),
		cmocka_unit_test(test_chain),
	};

	return cmocka_run_group_tests_name("engine_access", tests, NULL, NULL);
}
