// SPDX-License-Identifier: GPL-2.0-only
/* What a server must not do, and what comes of it: no leak, no hang, each outcome once. */
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

struct result {
	unsigned int done;
	int error;
	uint64_t data;
};

static void keep(void *opaque, uint64_t cookie, int error, const void *data, size_t len)
{
	struct result *r = opaque;

	(void)cookie;
	r->done++;
	r->error = error;
	r->data = 0;
	if (len && len <= sizeof(r->data))
		memcpy(&r->data, data, len);
}

struct watcher {
	unsigned int notes;
	unsigned int closed;
	int why;
	const unsigned int *before;	/* callbacks that must have run when it closes */
	unsigned int want;
};

static void watch_note(void *opaque, enum vfuc_level level, const char *text)
{
	struct watcher *w = opaque;

	assert_true(level == VFUC_NOTE || level == VFUC_WARN);
	assert_null(strchr(text, '\n'));
	w->notes++;
}

static void watch_closed(void *opaque, int err)
{
	struct watcher *w = opaque;

	w->closed++;
	w->why = err;
	if (w->before)
		assert_int_equal(*w->before, w->want);
}

static const struct vfuc_ops watch_ops = { .note = watch_note, .closed = watch_closed };

static void reply_read(struct fake_server *s, uint64_t value, const int *fds, unsigned int nr_fds)
{
	struct vfuc_wire_access access;
	uint8_t bytes[sizeof(access) + 8];

	memcpy(&access, s->message.payload, sizeof(access));
	memcpy(bytes, &access, sizeof(access));
	memcpy(bytes + sizeof(access), &value, 8);
	fs_reply_fds(s, bytes, sizeof(access) + access.count, fds, nr_fds);
}

/* ---- replies that nobody asked for ---- */

static void script_unknown(struct fake_server *s)
{
	struct vfuc_header stray = { .size = 16, .flags = VFUC_TYPE_REPLY };
	struct vfuc_header first;

	fs_version(s, NULL);
	fs_expect(s, VFUC_CMD_REGION_READ);
	/* Of another id, of the id of posted writes, to each thinkable command. */
	stray.id = s->message.header.id + 1;
	stray.command = VFUC_CMD_REGION_READ;
	fs_send(s, s->fd, &stray, NULL, 0, NULL, 0);
	stray.id = VFUC_CMD_VERSION;
	stray.command = 0xffff;
	fs_send(s, s->fd, &stray, NULL, 0, NULL, 0);
	stray.id = 0;
	stray.flags |= VFUC_FLAG_ERROR;
	fs_send(s, s->fd, &stray, NULL, 0, NULL, 0);
	first = s->message.header;
	reply_read(s, 1, NULL, 0);
	/* The same once more: there is a younger request in its place by then. */
	fs_expect(s, VFUC_CMD_REGION_READ);
	first.size = 16;
	first.flags = VFUC_TYPE_REPLY;
	fs_send(s, s->fd, &first, NULL, 0, NULL, 0);
	reply_read(s, 2, NULL, 0);
	fs_expect_close(s);
}

static void test_unknown_replies(void **state)
{
	struct watcher w = { 0 };
	struct vfuc_config config = { .ops = &watch_ops, .opaque = &w };
	struct fake_server s;
	uint64_t value;
	struct vfuc *c;

	(void)state;
	fs_start(&s, script_unknown, NULL);
	c = fs_open(&s, &config);
	assert_int_equal(vfuc_region_read(c, 0, 0, &value, 8, NULL), 0);
	assert_int_equal(value, 1);
	assert_int_equal(vfuc_stats(c)->unknown_replies, 3);
	assert_int_equal(vfuc_region_read(c, 0, 0, &value, 8, NULL), 0);
	assert_int_equal(value, 2);
	assert_int_equal(vfuc_stats(c)->unknown_replies, 4);
	assert_int_equal(vfuc_stats(c)->violations, 4);
	assert_int_equal(w.notes, 4);
	vfuc_close(c);
	assert_int_equal(w.closed, 0);
	fs_finish(&s);
}

/* ---- commands that are not the server's ---- */

static void script_commands(struct fake_server *s)
{
	static const uint16_t commands[] = { 0, 1, 2, 4, 9, 13, 14, 15, 16, 0xffff };
	struct vfuc_wire_access access = { 0 };
	struct vfuc_header read;
	uint8_t bytes[24] = { 0 };
	unsigned int i;

	if (s->arg)
		fs_version_twin(s);
	else
		fs_version(s, NULL);
	fs_expect(s, VFUC_CMD_REGION_READ);
	read = s->message.header;
	memcpy(&access, s->message.payload, sizeof(access));
	for (i = 0; i < 10; i++) {
		int fd = s->arg ? s->twin : s->fd;

		fs_command(s, fd, i + 5, commands[i], 0, "payload", 7);
		fs_receive_from(s, fd);
		fs_check(s, s->message.header.id == i + 5);
		fs_check(s, s->message.header.command == commands[i]);
		fs_check(s, s->message.header.flags == (VFUC_TYPE_REPLY | VFUC_FLAG_ERROR));
		fs_check(s, s->message.header.error == EOPNOTSUPP && !s->message.len);
	}
	/* A DMA request that is too short to be one. */
	fs_command(s, s->fd, 1, VFUC_CMD_DMA_READ, 0, "short", 5);
	fs_check(s, fs_receive(s)->header.error == EINVAL);
	s->message.header = read;
	memcpy(bytes, &access, sizeof(access));
	fs_reply(s, bytes, sizeof(bytes));
	fs_expect_close(s);
}

static void test_unknown_commands(void **state)
{
	int twin;

	(void)state;
	for (twin = 0; twin < 2; twin++) {
		struct fake_server s;
		uint64_t value;
		struct vfuc *c;

		fs_start(&s, script_commands, twin ? &s : NULL);
		c = fs_open(&s, NULL);
		assert_int_equal(vfuc_region_read(c, 0, 0, &value, 8, NULL), 0);
		assert_int_equal(vfuc_stats(c)->unknown_commands, 10);
		vfuc_close(c);
		fs_finish(&s);
	}
}

/* ---- replies with an error ---- */

static void script_errors(struct fake_server *s)
{
	struct vfuc_header header = { .command = VFUC_CMD_REGION_READ, .size = 24 };
	static const uint32_t errnos[] = { EPERM, 4095, 0, 4096, 0x7fffffff, 0xffffffff };
	unsigned int i;

	fs_version(s, NULL);
	for (i = 0; i < 6; i++) {
		fs_expect(s, VFUC_CMD_REGION_READ);
		fs_reply_error(s, errnos[i]);
	}
	/* With a payload, that must not be there and is not looked at. */
	fs_expect(s, VFUC_CMD_REGION_READ);
	header.id = s->message.header.id;
	header.flags = VFUC_TYPE_REPLY | VFUC_FLAG_ERROR;
	header.error = ENXIO;
	fs_send(s, s->fd, &header, "rubbish!", 8, NULL, 0);
	/* An errno without the flag is none. */
	fs_expect(s, VFUC_CMD_RESET);
	header.id = s->message.header.id;
	header.command = VFUC_CMD_RESET;
	header.size = 16;
	header.flags = VFUC_TYPE_REPLY;
	fs_send(s, s->fd, &header, NULL, 0, NULL, 0);
	fs_expect_close(s);
}

static void test_error_replies(void **state)
{
	static const int errors[] = { -EPERM, -4095, -EIO, -EIO, -EIO, -EIO, -ENXIO };
	struct vfuc_error error;
	struct fake_server s;
	uint64_t value;
	struct vfuc *c;
	int i;

	(void)state;
	fs_start(&s, script_errors, NULL);
	c = fs_open(&s, NULL);
	for (i = 0; i < 7; i++) {
		assert_int_equal(vfuc_region_read(c, 0, 0, &value, 8, &error), errors[i]);
		assert_int_equal(error.kind, VFUC_SERVER_ERROR);
		assert_int_equal(error.err, errors[i]);
	}
	assert_int_equal(vfuc_stats(c)->error_replies, 7);
	assert_int_equal(vfuc_reset(c, &error), 0);
	vfuc_close(c);
	fs_finish(&s);
}

/* ---- error replies of the type "command" ---- */

static void error_as_command(struct fake_server *s, uint32_t err)
{
	struct vfuc_header header = s->message.header;

	header.size = sizeof(header);
	header.flags = VFUC_TYPE_COMMAND | VFUC_FLAG_ERROR;
	header.error = err;
	fs_send(s, s->fd, &header, NULL, 0, NULL, 0);
}

static void script_error_commands(struct fake_server *s)
{
	uint16_t id;

	fs_version(s, NULL);
	fs_expect(s, VFUC_CMD_REGION_READ);
	error_as_command(s, ENXIO);
	fs_expect(s, VFUC_CMD_RESET);
	error_as_command(s, 0);
	/* To nobody: not answered either, and the next is. */
	fs_expect(s, VFUC_CMD_REGION_READ);
	id = s->message.header.id;
	s->message.header.id = id + 1;
	error_as_command(s, EIO);
	s->message.header.id = id;
	/* One of those that a server may send is a command, whatever its flags. */
	fs_command(s, s->fd, 7, VFUC_CMD_DMA_READ, VFUC_FLAG_ERROR, "short", 5);
	fs_check(s, fs_receive(s)->header.error == EINVAL);
	s->message.header.id = id;
	s->message.header.command = VFUC_CMD_REGION_READ;
	error_as_command(s, EPERM);
	fs_expect_close(s);
}

static void script_error_version(struct fake_server *s)
{
	fs_expect(s, VFUC_CMD_VERSION);
	error_as_command(s, EPROTO);
	fs_drain(s);
}

static void test_error_commands(void **state)
{
	struct vfuc_error error = { 0 };
	struct fake_server s;
	uint64_t value;
	struct vfuc *c;

	(void)state;
	fs_start(&s, script_error_commands, NULL);
	c = fs_open(&s, NULL);
	assert_int_equal(vfuc_region_read(c, 0, 0, &value, 8, &error), -ENXIO);
	assert_int_equal(error.kind, VFUC_SERVER_ERROR);
	assert_int_equal(vfuc_reset(c, &error), -EIO);
	assert_int_equal(error.kind, VFUC_SERVER_ERROR);
	assert_int_equal(vfuc_region_read(c, 0, 0, &value, 8, &error), -EPERM);
	assert_int_equal(vfuc_stats(c)->unknown_commands, 0);
	assert_int_equal(vfuc_stats(c)->unknown_replies, 1);
	vfuc_close(c);
	fs_finish(&s);
	fs_start(&s, script_error_version, NULL);
	assert_true(fs_try_open(&s, &c, NULL, &error) < 0);
	assert_int_equal(error.kind, VFUC_VERSION);
	fs_finish(&s);
}

/* ---- a stream that cannot be trusted any more ---- */

static void script_broken(struct fake_server *s)
{
	struct vfuc_header header = { .command = VFUC_CMD_REGION_READ, .flags = VFUC_TYPE_REPLY };
	unsigned int which = *(unsigned int *)s->arg;

	fs_version(s, NULL);
	fs_expect(s, VFUC_CMD_REGION_READ);
	fs_expect(s, VFUC_CMD_RESET);
	header.id = s->message.header.id;
	header.size = 16;
	switch (which) {
	case 0:
		header.size = 0;
		break;
	case 1:
		header.size = 15;
		break;
	case 2:
		header.size = 0xffffffff;
		break;
	case 3:
		header.size = 2 << 20;	/* above all that was negotiated */
		break;
	case 4:
		header.flags = 2;
		break;
	case 5:
		header.flags = 0xf;
		break;
	}
	fs_send(s, s->fd, &header, NULL, 0, NULL, 0);
	fs_expect_close(s);
}

static void test_broken_stream(void **state)
{
	unsigned int which;

	(void)state;
	for (which = 0; which < 6; which++) {
		unsigned int fds = fs_count_fds();
		struct result r = { 0 };
		struct watcher w = { .before = &r.done, .want = 1 };
		struct vfuc_config config = { .ops = &watch_ops, .opaque = &w };
		struct vfuc_error error = { 0 };
		struct fake_server s;
		struct vfuc *c;

		fs_start(&s, script_broken, &which);
		c = fs_open(&s, &config);
		assert_int_equal(vfuc_submit_read(c, 0, 0, 8, keep, &r, 0), 0);
		assert_int_equal(vfuc_reset(c, &error), -EPROTO);
		assert_int_equal(error.kind, VFUC_PROTOCOL);
		assert_int_equal(r.done, 1);
		assert_int_equal(r.error, -EPROTO);
		assert_int_equal(w.closed, 1);
		assert_int_equal(w.why, -EPROTO);
		assert_int_equal(vfuc_dead(c), -EPROTO);
		vfuc_close(c);
		assert_int_equal(r.done, 1);
		assert_int_equal(w.closed, 1);
		fs_finish(&s);
		assert_int_equal(fs_count_fds(), fds);
	}
}

/* ---- death ---- */

static void script_close(struct fake_server *s)
{
	struct vfuc_header header = {
		.command = VFUC_CMD_REGION_READ,
		.size = 16 + 16 + 8,
		.flags = VFUC_TYPE_REPLY,
	};
	uint8_t bytes[40] = { 0 };
	size_t part = *(size_t *)s->arg;
	int i;

	fs_version(s, NULL);
	for (i = 0; i < 10; i++)
		fs_expect(s, VFUC_CMD_REGION_READ);
	header.id = s->message.header.id;
	memcpy(bytes, &header, sizeof(header));
	if (part)
		fs_raw(s, s->fd, bytes, part, NULL, 0);
}

static void test_close(void **state)
{
	static size_t parts[] = { 0, 1, 15, 16, 39 };
	unsigned int i, j;

	(void)state;
	for (i = 0; i < 5; i++) {
		unsigned int fds = fs_count_fds();
		struct result r = { 0 };
		struct watcher w = { .before = &r.done, .want = 10 };
		struct vfuc_config config = { .ops = &watch_ops, .opaque = &w };
		struct pollfd pollfds[VFUC_POLL_FDS];
		struct vfuc_error error = { 0 };
		struct fake_server s;
		uint64_t value = 0;
		struct vfuc *c;

		fs_start(&s, script_close, &parts[i]);
		c = fs_open(&s, &config);
		for (j = 0; j < 10; j++)
			assert_int_equal(vfuc_submit_read(c, 0, 0, 8, keep, &r, j), 0);
		fs_run_until(c, &r.done, 10);
		assert_int_equal(r.error, -ECONNRESET);
		assert_int_equal(w.closed, 1);
		assert_int_equal(w.why, -ECONNRESET);
		/* A dead connection says so, and does nothing. */
		assert_int_equal(vfuc_process(c), -ECONNRESET);
		assert_int_equal(vfuc_flush(c), -ECONNRESET);
		assert_int_equal(vfuc_poll_fds(c, pollfds, VFUC_POLL_FDS), 0);
		assert_int_equal(vfuc_next_deadline_ms(c), -1);
		assert_int_equal(vfuc_submit_read(c, 0, 0, 8, keep, &r, 0), -ECONNRESET);
		assert_int_equal(vfuc_submit_write(c, 0, 0, &value, 8, true, NULL, NULL, 0),
				 -ECONNRESET);
		assert_int_equal(vfuc_submit_reset(c, keep, &r, 0), -ECONNRESET);
		assert_int_equal(vfuc_disable_irqs(c, 0, &error), -ECONNRESET);
		assert_int_equal(error.kind, VFUC_CLOSED);
		assert_int_equal(vfuc_dma_map(c, 0, 4096, 1, -1, 0, &error), -ECONNRESET);
		assert_int_equal(vfuc_dma_unmap(c, 0, 4096, &error), -ECONNRESET);
		assert_int_equal(vfuc_reset(c, &error), -ECONNRESET);
		vfuc_close(c);
		assert_int_equal(r.done, 10);
		assert_int_equal(w.closed, 1);
		fs_finish(&s);
		assert_int_equal(fs_count_fds(), fds);
	}
}

static void script_idle(struct fake_server *s)
{
	fs_version(s, NULL);
	fs_drain(s);
}

static void script_twin_closes(struct fake_server *s)
{
	fs_version_twin(s);
	fs_expect(s, VFUC_CMD_REGION_READ);
	shutdown(s->twin, SHUT_RDWR);
	fs_expect_close(s);
}

static void test_twin_closes(void **state)
{
	struct vfuc_error error = { 0 };
	struct fake_server s;
	uint64_t value;
	struct vfuc *c;

	(void)state;
	fs_start(&s, script_twin_closes, NULL);
	c = fs_open(&s, NULL);
	assert_int_equal(vfuc_region_read(c, 0, 0, &value, 8, &error), -ECONNRESET);
	assert_int_equal(error.kind, VFUC_CLOSED);
	vfuc_close(c);
	fs_finish(&s);
}

static void test_cancel(void **state)
{
	struct result r = { 0 };
	struct watcher w = { 0 };
	struct vfuc_config config = { .ops = &watch_ops, .opaque = &w };
	struct fake_server s;
	struct vfuc *c;

	(void)state;
	fs_start(&s, script_idle, NULL);
	c = fs_open(&s, &config);
	assert_int_equal(vfuc_submit_read(c, 0, 0, 8, keep, &r, 0), 0);
	assert_int_equal(vfuc_submit_reset(c, keep, &r, 0), 0);
	assert_int_equal(r.done, 0);
	vfuc_close(c);
	assert_int_equal(r.done, 2);
	assert_int_equal(r.error, -ECANCELED);
	assert_int_equal(w.closed, 0);
	fs_finish(&s);
	vfuc_close(NULL);
}

/* ---- time ---- */

static void script_late(struct fake_server *s)
{
	struct vfuc_header late;
	struct vfuc_wire_access access;
	uint8_t bytes[24] = { 0 };

	fs_version(s, NULL);
	fs_expect(s, VFUC_CMD_REGION_READ);
	late = s->message.header;
	memcpy(&access, s->message.payload, sizeof(access));
	fs_wait(s);
	/* Too late, then in time. */
	fs_expect(s, VFUC_CMD_REGION_READ);
	late.size = 40;
	late.flags = VFUC_TYPE_REPLY;
	memcpy(bytes, &access, sizeof(access));
	fs_send(s, s->fd, &late, bytes, sizeof(bytes), NULL, 0);
	reply_read(s, 42, NULL, 0);
	fs_expect_close(s);
}

static void test_timeout(void **state)
{
	struct vfuc_error error = { 0 };
	struct fake_server s;
	uint64_t value = 0;
	struct vfuc *c;

	(void)state;
	fs_start(&s, script_late, NULL);
	c = fs_open(&s, NULL);
	fs_set_timeout(c, 100);
	assert_int_equal(vfuc_region_read(c, 0, 0, &value, 8, &error), -ETIMEDOUT);
	assert_int_equal(error.kind, VFUC_TIMEOUT);
	assert_int_equal(vfuc_stats(c)->timeouts, 1);
	assert_int_equal(vfuc_dead(c), 0);
	fs_set_timeout(c, 20000);
	sem_post(&s.go);
	assert_int_equal(vfuc_region_read(c, 0, 0, &value, 8, &error), 0);
	assert_int_equal(value, 42);
	assert_int_equal(vfuc_stats(c)->late_replies, 1);
	assert_int_equal(vfuc_stats(c)->unknown_replies, 0);
	vfuc_close(c);
	fs_finish(&s);
}

/* Messages without end must not keep a request from timing out. */
static void script_flood(struct fake_server *s)
{
	struct vfuc_header stray = {
		.id = 9,
		.command = VFUC_CMD_RESET,
		.size = 16,
		.flags = VFUC_TYPE_REPLY,
	};

	fs_version(s, NULL);
	fs_expect(s, VFUC_CMD_REGION_READ);
	while (send(s->fd, &stray, sizeof(stray), MSG_NOSIGNAL) > 0)
		;
}

static void test_flood(void **state)
{
	struct watcher w = { 0 };
	struct vfuc_config config = { .ops = &watch_ops, .opaque = &w };
	struct vfuc_error error = { 0 };
	struct fake_server s;
	uint64_t value;
	struct vfuc *c;

	(void)state;
	fs_start(&s, script_flood, NULL);
	c = fs_open(&s, &config);
	fs_set_timeout(c, 200);
	assert_int_equal(vfuc_region_read(c, 0, 0, &value, 8, &error), -ETIMEDOUT);
	assert_true(vfuc_stats(c)->unknown_replies > 100);
	assert_true(w.notes <= 70);
	vfuc_close(c);
	fs_finish(&s);
}

/* ---- a server that never reads ---- */

static void script_deaf(struct fake_server *s)
{
	fs_version(s, s->arg);
	fs_wait(s);
}

static void deaf(const char *json, uint32_t size)
{
	struct vfuc_config config = { .max_queue_bytes = 100000 };
	struct pollfd pollfds[VFUC_POLL_FDS];
	uint8_t data[1000] = { 0 };
	unsigned int accepted = 0;
	unsigned int reads = 0;
	struct result r = { 0 };
	struct fake_server s;
	struct vfuc *c;
	int err;

	fs_start(&s, script_deaf, (void *)json);
	c = fs_open(&s, &config);
	fs_set_timeout(c, 200);
	do {
		err = vfuc_submit_write(c, 0, 0, data, size, true, NULL, NULL, 0);
		accepted += !err;
		assert_true(accepted < 1000000);
	} while (!err);
	assert_int_equal(err, -EAGAIN);
	assert_true(vfuc_busy(c));
	/* Smaller ones may still fit, not for ever; and it says what to wait for. */
	do {
		err = vfuc_submit_read(c, 0, 0, 8, keep, &r, 0);
		reads += !err;
		assert_true(reads < 100);
	} while (!err);
	assert_int_equal(err, -EAGAIN);
	assert_int_equal(vfuc_poll_fds(c, pollfds, VFUC_POLL_FDS), 1);
	assert_int_equal(pollfds[0].events, POLLIN | POLLOUT);
	assert_true(vfuc_next_deadline_ms(c) >= 0);
	while (!vfuc_process(c)) {
		int n = vfuc_poll_fds(c, pollfds, VFUC_POLL_FDS);

		poll(pollfds, n, vfuc_next_deadline_ms(c));
	}
	assert_int_equal(vfuc_dead(c), -ETIMEDOUT);
	assert_int_equal(r.done, reads);
	assert_true(!reads || r.error == -ETIMEDOUT);
	sem_post(&s.go);
	vfuc_close(c);
	fs_finish(&s);
}

static void test_deaf(void **state)
{
	(void)state;
	deaf(NULL, 8);
	deaf(NULL, 1000);
	deaf("{\"capabilities\":{\"write_multiple\":true}}", 8);
}

/* ---- more requests than the table holds ---- */

static void script_full(struct fake_server *s)
{
	int i;

	fs_version(s, NULL);
	fs_wait(s);
	for (i = 0; i < 8; i++) {
		fs_expect(s, VFUC_CMD_REGION_READ);
		reply_read(s, i, NULL, 0);
	}
	fs_expect_close(s);
}

static void test_full(void **state)
{
	struct vfuc_config config = { .max_pending = 8 };
	struct result r = { 0 };
	struct fake_server s;
	struct vfuc *c;
	int i;

	(void)state;
	fs_start(&s, script_full, NULL);
	c = fs_open(&s, &config);
	for (i = 0; i < 7; i++)
		assert_int_equal(vfuc_submit_read(c, 0, 0, 8, keep, &r, 0), 0);
	assert_int_equal(vfuc_submit_read(c, 0, 0, 8, keep, &r, 0), -EAGAIN);
	assert_int_equal(vfuc_pending(c), 7);
	sem_post(&s.go);
	fs_run_until(c, &r.done, 1);
	assert_int_equal(vfuc_submit_read(c, 0, 0, 8, keep, &r, 0), 0);
	fs_run_until(c, &r.done, 8);
	assert_int_equal(r.data, 7);
	vfuc_close(c);
	fs_finish(&s);
}

/* ---- descriptors where none belong ---- */

static void script_fds(struct fake_server *s)
{
	struct vfuc_wire_region_info info = { .argsz = sizeof(info), .size = 4096 };
	struct vfuc_wire_dma dma = { 0, 8 };
	struct vfuc_header header = {
		.id = 3,
		.command = VFUC_CMD_DMA_READ,
		.size = sizeof(header) + sizeof(dma),
	};
	struct vfuc_wire_access access;
	struct vfuc_header read;
	uint8_t bytes[24];
	int fds[20];
	int i;

	for (i = 0; i < 20; i++)
		fds[i] = fs_memory(4096);
	fs_version_twin(s);
	/* In a reply, when no request outstanding could have any. */
	fs_expect(s, VFUC_CMD_REGION_READ);
	reply_read(s, 1, fds, 5);
	/* In a request, on either socket. */
	fs_expect(s, VFUC_CMD_REGION_READ);
	read = s->message.header;
	memcpy(&access, s->message.payload, sizeof(access));
	fs_send(s, s->fd, &header, &dma, sizeof(dma), fds, 3);
	fs_receive(s);
	fs_send(s, s->twin, &header, &dma, sizeof(dma), fds, 3);
	fs_receive_from(s, s->twin);
	s->message.header = read;
	memcpy(bytes, &access, sizeof(access));
	memset(bytes + 16, 2, 8);
	fs_reply(s, bytes, sizeof(bytes));
	/* In a reply to another, when a request outstanding may have some. */
	fs_expect(s, VFUC_CMD_REGION_READ);
	read = s->message.header;
	fs_expect(s, VFUC_CMD_GET_REGION_INFO);
	header = s->message.header;
	s->message.header = read;
	fs_reply_fds(s, bytes, sizeof(bytes), fds, 20);
	/* And its own, in the middle of which more come. */
	info.flags = VFIO_REGION_INFO_FLAG_MMAP;
	header.size = sizeof(header) + sizeof(info);
	header.flags = VFUC_TYPE_REPLY;
	fs_raw(s, s->fd, &header, sizeof(header), fds, 1);
	fs_raw(s, s->fd, &info, 16, fds, 2);
	fs_raw(s, s->fd, (uint8_t *)&info + 16, sizeof(info) - 16, fds, 3);
	for (i = 0; i < 20; i++)
		close(fds[i]);
	fs_expect_close(s);
}

static void test_fds(void **state)
{
	unsigned int fds = fs_count_fds();
	struct vfuc_region_info *info;
	struct result r = { 0 };
	struct fake_server s;
	uint64_t value;
	struct vfuc *c;

	(void)state;
	fs_start(&s, script_fds, NULL);
	c = fs_open(&s, NULL);
	assert_int_equal(vfuc_region_read(c, 0, 0, &value, 8, NULL), 0);
	assert_int_equal(value, 1);
	assert_int_equal(vfuc_stats(c)->surplus_fds, 1);	/* dropped unseen count once */
	assert_int_equal(vfuc_region_read(c, 0, 0, &value, 8, NULL), 0);
	assert_int_equal(value, 0x0202020202020202);
	assert_int_equal(vfuc_stats(c)->surplus_fds, 3);
	assert_int_equal(vfuc_submit_read(c, 0, 0, 8, keep, &r, 0), 0);
	assert_int_equal(vfuc_get_region_info(c, 0, &info, NULL), 0);
	assert_int_equal(r.done, 1);
	assert_int_equal(r.data, 0x0202020202020202);
	assert_true(info->fd >= 0);
	assert_int_equal(vfuc_stats(c)->surplus_fds, 3 + 20 + 5);
	vfuc_region_info_free(info);
	vfuc_close(c);
	fs_finish(&s);
	assert_int_equal(fs_count_fds(), fds);
}

/* ---- messages in pieces, and many at once ---- */

static void script_pieces(struct fake_server *s)
{
	struct vfuc_header header = {
		.command = VFUC_CMD_REGION_READ,
		.size = 16 + 16 + 8,
		.flags = VFUC_TYPE_REPLY,
	};
	uint8_t bytes[20 * 40];
	unsigned int i;

	fs_version(s, NULL);
	for (i = 0; i < 20; i++) {
		uint64_t value = i;

		fs_expect(s, VFUC_CMD_REGION_READ);
		header.id = s->message.header.id;
		memcpy(bytes + i * 40, &header, 16);
		memcpy(bytes + i * 40 + 16, s->message.payload, 16);
		memcpy(bytes + i * 40 + 32, &value, 8);
	}
	for (i = 0; i < 400; i++)
		fs_raw(s, s->fd, bytes + i, 1, NULL, 0);
	fs_raw(s, s->fd, bytes + 400, 30, NULL, 0);
	fs_raw(s, s->fd, bytes + 430, 370, NULL, 0);
	fs_expect_close(s);
}

static void test_pieces(void **state)
{
	struct result r = { 0 };
	struct fake_server s;
	struct vfuc *c;
	int i;

	(void)state;
	fs_start(&s, script_pieces, NULL);
	c = fs_open(&s, NULL);
	for (i = 0; i < 20; i++)
		assert_int_equal(vfuc_submit_read(c, 0, 0, 8, keep, &r, 0), 0);
	fs_run_until(c, &r.done, 20);
	assert_int_equal(r.error, 0);
	assert_int_equal(r.data, 19);
	assert_int_equal(vfuc_stats(c)->violations, 0);
	vfuc_close(c);
	fs_finish(&s);
}

/* ---- chance ---- */

static uint32_t chance(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005 + 1442695040888963407;
	return *seed >> 33;
}

/* Answers all with a reply that is right in some of its bytes, with descriptors now and then. */
static void script_chance(struct fake_server *s)
{
	uint64_t seed = *(uint64_t *)s->arg;
	int fds[3] = { fs_memory(4096), fs_memory(4096), fs_memory(4096) };
	uint8_t bytes[16 + 600];
	unsigned int i, messages;
	struct pollfd p;

	fs_version_twin(s);
	for (messages = 0; messages < 50; messages++) {
		struct fs_message *m;
		struct vfuc_header header;
		uint32_t len;
		int fd;

		p.fd = s->fd;
		p.events = POLLIN;
		if (poll(&p, 1, 100) != 1)
			break;
		/* Whatever the client says; only that it ends is no failure. */
		if (recv(s->fd, bytes, 1, MSG_PEEK) <= 0)
			break;
		m = fs_receive(s);
		len = chance(&seed) % 4 ? m->len : chance(&seed) % 600;
		header = m->header;
		header.size = 16 + len;
		header.flags = chance(&seed) % 8 ? VFUC_TYPE_REPLY : VFUC_TYPE_COMMAND;
		if (!(chance(&seed) % 8))
			header.command = VFUC_CMD_DMA_READ + chance(&seed) % 2;
		if (!(chance(&seed) % 16))
			header.id += chance(&seed) % 3;
		memcpy(bytes, &header, 16);
		for (i = 0; i < len; i++)
			bytes[16 + i] = i < m->len ? m->payload[i] : 0;
		/* The fixed part of a region info that has capabilities. */
		if (len > 64) {
			bytes[16] = len;
			bytes[17] = len >> 8;
			bytes[20] = 0xf;
			bytes[28] = 32;
			for (i = 48; i < len; i += 8)
				bytes[16 + i] = chance(&seed) % 4;
		}
		for (i = chance(&seed) % 4; i; i--)
			bytes[chance(&seed) % (16 + len)] = chance(&seed);
		fd = chance(&seed) % 8 ? s->fd : s->twin;
		fs_raw(s, fd, bytes, 16 + len, fds, chance(&seed) % 4);
	}
	for (i = 0; i < 3; i++)
		close(fds[i]);
}

static int chance_dma(void *opaque, uint64_t iova, void *buf, size_t count)
{
	(void)opaque;
	(void)iova;
	memset(buf, 0, count);
	return 0;
}

static void test_chance(void **state)
{
	const struct vfuc_ops ops = { .dma_read = chance_dma };
	struct vfuc_config config = { .ops = &ops };
	unsigned int fds = fs_count_fds();
	unsigned int bad = 0;
	uint64_t seed;

	(void)state;
	for (seed = 1; seed <= 150; seed++) {
		struct vfuc_region_io_fds *io_fds;
		struct vfuc_region_info *region;
		struct vfuc_irq_info irq;
		struct vfuc_info info;
		struct fake_server s;
		uint8_t data[64];
		struct vfuc *c;
		int i;

		fs_start(&s, script_chance, &seed);
		c = fs_open(&s, &config);
		fs_set_timeout(c, 50);
		for (i = 0; i < 5 && !vfuc_dead(c) && vfuc_stats(c)->timeouts < 2; i++) {
			int err = vfuc_dma_map(c, i * 4096, 4096, 3, -1, 0, NULL);

			err |= vfuc_get_info(c, &info, NULL);
			if (!vfuc_get_region_info(c, i, &region, NULL))
				vfuc_region_info_free(region);
			else
				err = 1;
			if (!vfuc_get_region_io_fds(c, i, 4096, &io_fds, NULL))
				vfuc_region_io_fds_free(io_fds);
			err |= vfuc_get_irq_info(c, i, &irq, NULL);
			err |= vfuc_region_read(c, i, 0, data, sizeof(data), NULL);
			err |= vfuc_dma_unmap(c, i * 4096, 4096, NULL);
			bad += err != 0;
		}
		vfuc_close(c);
		pthread_join(s.thread, NULL);
		/* What the script thinks of it is not asked here. */
		sem_destroy(&s.go);
		sem_destroy(&s.ready);
	}
	assert_true(bad > 50);
	assert_int_equal(fs_count_fds(), fds);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unknown_replies),
		cmocka_unit_test(test_unknown_commands),
		cmocka_unit_test(test_error_replies),
		cmocka_unit_test(test_error_commands),
		cmocka_unit_test(test_broken_stream),
		cmocka_unit_test(test_close),
		cmocka_unit_test(test_twin_closes),
		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_timeout),
		cmocka_unit_test(test_flood),
		cmocka_unit_test(test_deaf),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_fds),
		cmocka_unit_test(test_pieces),
		cmocka_unit_test(test_chance),
	};

	return cmocka_run_group_tests_name("engine_faults", tests, NULL, NULL);
}
