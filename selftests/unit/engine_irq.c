// SPDX-License-Identifier: GPL-2.0-only
/* DEVICE_GET_IRQ_INFO and DEVICE_SET_IRQS: batches, actions, errors on the way. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake_server.h"

#define TRIGGER	VFIO_IRQ_SET_ACTION_TRIGGER
#define EVENTFD	VFIO_IRQ_SET_DATA_EVENTFD
#define NONE	VFIO_IRQ_SET_DATA_NONE

#define CAPS(fds) "{\"capabilities\":{\"max_msg_fds\":" #fds "}}"

struct info_case {
	struct vfuc_wire_irq_info wire;
	size_t len;
	int err;
};

static void script_info(struct fake_server *s)
{
	const struct info_case *t = s->arg;
	struct vfuc_wire_irq_info request;
	struct fs_message *m;

	fs_version(s, NULL);
	m = fs_expect(s, VFUC_CMD_GET_IRQ_INFO);
	fs_check(s, m->len == sizeof(request));
	memcpy(&request, m->payload, sizeof(request));
	fs_check(s, request.argsz == 16 && request.index == 2 && !request.flags && !request.count);
	fs_reply(s, &t->wire, t->len);
	fs_expect_close(s);
}

static void test_info(void **state)
{
	static struct info_case cases[] = {
		{ { 16, VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_NORESIZE, 2, 2048 }, 16, 0 },
		{ { 16, 0, 2, 0 }, 16, 0 },
		{ { 16, 0, 2, 2049 }, 16, -EPROTO },
		{ { 16, 0, 1, 1 }, 16, -EPROTO },
		{ { 15, 0, 2, 1 }, 16, -EPROTO },
		{ { 16, 0, 2, 1 }, 15, -EPROTO },
		{ { 16, 0, 2, 1 }, 0, -EPROTO },
	};
	unsigned int i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct vfuc_error error = { 0 };
		struct vfuc_irq_info info;
		struct fake_server s;
		struct vfuc *c;

		fs_start(&s, script_info, &cases[i]);
		c = fs_open(&s, NULL);
		assert_int_equal(vfuc_get_irq_info(c, 2, &info, &error), cases[i].err);
		if (cases[i].err) {
			assert_int_equal(error.kind, VFUC_PROTOCOL);
		} else {
			assert_int_equal(info.index, 2);
			assert_int_equal(info.flags, cases[i].wire.flags);
			assert_int_equal(info.count, cases[i].wire.count);
		}
		vfuc_close(c);
		fs_finish(&s);
	}
}

/* ---- SET_IRQS ---- */

struct expected {
	uint32_t flags;
	uint32_t start;
	uint32_t count;
	unsigned int nr_fds;
	uint32_t error;		/* to answer with */
};

struct conversation {
	const char *json;
	const struct expected *messages;
	unsigned int count;
	uint64_t first_value;	/* to write to the eventfds, one more for each */
};

static void script_set(struct fake_server *s)
{
	const struct conversation *t = s->arg;
	uint64_t value = t->first_value;
	unsigned int i, j;

	fs_version(s, t->json);
	for (i = 0; i < t->count; i++) {
		const struct expected *e = &t->messages[i];
		struct fs_message *m = fs_expect(s, VFUC_CMD_SET_IRQS);
		struct vfuc_wire_irq_set set;

		fs_check(s, m->len == sizeof(set));
		memcpy(&set, m->payload, sizeof(set));
		fs_check(s, set.argsz == sizeof(set) && set.index == 2);
		fs_check(s, set.flags == e->flags);
		fs_check(s, set.start == e->start);
		fs_check(s, set.count == e->count);
		fs_check(s, m->nr_fds == e->nr_fds);
		for (j = 0; j < m->nr_fds; j++, value++)
			fs_check(s, write(m->fds[j], &value, sizeof(value)) == sizeof(value));
		if (e->error)
			fs_reply_error(s, e->error);
		else
			fs_reply(s, NULL, 0);
	}
	fs_expect_close(s);
}

static int set(const struct conversation *t, uint32_t start, uint32_t count, const int *fds,
	       struct vfuc_error *error)
{
	struct conversation copy = *t;
	struct fake_server s;
	struct vfuc *c;
	int err;

	memset(error, 0, sizeof(*error));
	fs_start(&s, script_set, &copy);
	c = fs_open(&s, NULL);
	err = vfuc_set_irq_eventfds(c, 2, TRIGGER, start, count, fds, error);
	vfuc_close(c);
	fs_finish(&s);
	return err;
}

static void test_batches(void **state)
{
	static const struct expected by_eight[] = {
		{ EVENTFD | TRIGGER, 3, 8, 8, 0 },
		{ EVENTFD | TRIGGER, 11, 8, 8, 0 },
		{ EVENTFD | TRIGGER, 19, 4, 4, 0 },
	};
	static const struct expected by_one[] = {
		{ EVENTFD | TRIGGER, 3, 1, 1, 0 },
		{ EVENTFD | TRIGGER, 4, 1, 1, 0 },
	};
	static const struct expected at_once[] = {
		{ EVENTFD | TRIGGER, 3, 20, 20, 0 },
	};
	static const struct conversation eight = { CAPS(8), by_eight, 3, 100 };
	static const struct conversation one = { NULL, by_one, 2, 100 };
	static const struct conversation once = { CAPS(64), at_once, 1, 100 };
	static const struct {
		const struct conversation *t;
		unsigned int count;
	} cases[] = { { &eight, 20 }, { &one, 2 }, { &once, 20 } };
	unsigned int open_fds = fs_count_fds();
	struct vfuc_error error;
	unsigned int i, j;
	uint64_t value;
	int fds[20];

	(void)state;
	for (i = 0; i < 3; i++) {
		for (j = 0; j < 20; j++)
			fds[j] = eventfd(0, EFD_NONBLOCK);
		assert_int_equal(set(cases[i].t, 3, cases[i].count, fds, &error), 0);
		/* Each vector's eventfd is the one that was given for it. */
		for (j = 0; j < cases[i].count; j++) {
			assert_int_equal(read(fds[j], &value, sizeof(value)), sizeof(value));
			assert_int_equal(value, 100 + j);
		}
		for (j = 0; j < 20; j++)
			close(fds[j]);
	}
	assert_int_equal(fs_count_fds(), open_fds);
}

static void test_all_2048(void **state)
{
	static struct expected messages[33];
	struct conversation t = { CAPS(253), messages, 9, 0 };
	unsigned int i;
	struct vfuc_error error;
	int fds[2048];
	int fd = eventfd(0, 0);

	(void)state;
	for (i = 0; i < 2048; i++)
		fds[i] = fd;
	for (i = 0; i < 9; i++) {
		messages[i].flags = EVENTFD | TRIGGER;
		messages[i].start = i * 253;
		messages[i].count = i < 8 ? 253 : 2048 - 8 * 253;
		messages[i].nr_fds = messages[i].count;
	}
	assert_int_equal(set(&t, 0, 2048, fds, &error), 0);
	close(fd);
}

static void test_holes(void **state)
{
	static const struct expected messages[] = {
		{ EVENTFD | TRIGGER, 0, 2, 0, 0 },
		{ EVENTFD | TRIGGER, 2, 1, 1, 0 },
		{ EVENTFD | TRIGGER, 3, 3, 0, 0 },
		{ EVENTFD | TRIGGER, 6, 2, 2, 0 },
	};
	static const struct conversation t = { CAPS(8), messages, 4, 1 };
	int fd = eventfd(0, 0);
	int fds[8] = { -1, -1, fd, -1, -1, -1, fd, fd };
	struct vfuc_error error;

	(void)state;
	assert_int_equal(set(&t, 0, 8, fds, &error), 0);
	close(fd);
}

/* The first error ends it, what comes after is not sent. */
static void test_error_between(void **state)
{
	static const struct expected messages[] = {
		{ EVENTFD | TRIGGER, 0, 2, 2, 0 },
		{ EVENTFD | TRIGGER, 2, 2, 2, ENOSPC },
	};
	static const struct conversation t = { CAPS(2), messages, 2, 1 };
	int fd = eventfd(0, 0);
	int fds[6] = { fd, fd, fd, fd, fd, fd };
	struct vfuc_error error;

	(void)state;
	assert_int_equal(set(&t, 0, 6, fds, &error), -ENOSPC);
	assert_int_equal(error.kind, VFUC_SERVER_ERROR);
	close(fd);
}

static void test_no_fds(void **state)
{
	static const struct conversation none = { CAPS(0), NULL, 0, 0 };
	static const struct expected away[] = { { EVENTFD | TRIGGER, 0, 1, 0, 0 } };
	static const struct conversation take_away = { CAPS(0), away, 1, 0 };
	int fd = eventfd(0, 0);
	struct vfuc_error error;
	int no_fd = -1;

	(void)state;
	assert_int_equal(set(&none, 0, 1, &fd, &error), -EOPNOTSUPP);
	assert_int_equal(error.kind, VFUC_UNSUPPORTED);
	assert_int_equal(set(&take_away, 0, 1, &no_fd, &error), 0);
	close(fd);
}

static void test_state(void **state)
{
	static const struct expected messages[] = {
		{ NONE | VFIO_IRQ_SET_ACTION_MASK, 0, 1, 0, 0 },
		{ NONE | VFIO_IRQ_SET_ACTION_UNMASK, 5, 3, 0, 0 },
		{ NONE | TRIGGER, 1, 1, 0, 0 },
		{ NONE | TRIGGER, 0, 0, 0, 0 },
		{ EVENTFD | VFIO_IRQ_SET_ACTION_UNMASK, 0, 1, 1, 0 },
		{ NONE | VFIO_IRQ_SET_ACTION_MASK, 0, 1, 0, EINVAL },
	};
	struct conversation t = { CAPS(8), messages, 6, 1 };
	struct vfuc_error error = { 0 };
	int fd = eventfd(0, 0);
	struct fake_server s;
	struct vfuc *c;

	(void)state;
	fs_start(&s, script_set, &t);
	c = fs_open(&s, NULL);
	assert_int_equal(vfuc_set_irq_state(c, 2, VFIO_IRQ_SET_ACTION_MASK, 0, 1, NULL), 0);
	assert_int_equal(vfuc_set_irq_state(c, 2, VFIO_IRQ_SET_ACTION_UNMASK, 5, 3, NULL), 0);
	assert_int_equal(vfuc_set_irq_state(c, 2, TRIGGER, 1, 1, NULL), 0);
	assert_int_equal(vfuc_disable_irqs(c, 2, NULL), 0);
	assert_int_equal(vfuc_set_irq_eventfds(c, 2, VFIO_IRQ_SET_ACTION_UNMASK, 0, 1, &fd, NULL),
			 0);
	assert_int_equal(vfuc_set_irq_state(c, 2, VFIO_IRQ_SET_ACTION_MASK, 0, 1, &error), -EINVAL);
	assert_int_equal(error.kind, VFUC_SERVER_ERROR);
	vfuc_close(c);
	fs_finish(&s);
	close(fd);
}

static void script_nothing(struct fake_server *s)
{
	fs_version(s, CAPS(8));
	fs_expect_close(s);
}

static void test_arguments(void **state)
{
	struct fake_server s;
	struct vfuc *c;
	int fd = 0;

	(void)state;
	fs_start(&s, script_nothing, NULL);
	c = fs_open(&s, NULL);
#define REFUSED(flags, start, count, fds) \
	assert_int_equal(vfuc_submit_set_irqs(c, 2, flags, start, count, fds, NULL, NULL, 0), \
			 -EINVAL)
	REFUSED(0, 0, 1, NULL);
	REFUSED(NONE, 0, 1, NULL);
	REFUSED(TRIGGER, 0, 1, NULL);
	REFUSED(NONE | EVENTFD | TRIGGER, 0, 1, &fd);
	REFUSED(NONE | TRIGGER | VFIO_IRQ_SET_ACTION_MASK, 0, 1, NULL);
	REFUSED(VFIO_IRQ_SET_DATA_BOOL | TRIGGER, 0, 1, NULL);
	REFUSED(EVENTFD | TRIGGER, 0, 1, NULL);
	REFUSED(EVENTFD | TRIGGER, 0, 0, &fd);
	REFUSED(NONE | TRIGGER, 1, 0, NULL);
	REFUSED(NONE | VFIO_IRQ_SET_ACTION_MASK, 0, 0, NULL);
	REFUSED(NONE | TRIGGER, 2048, 1, NULL);
	REFUSED(NONE | TRIGGER, 0xffffffff, 2, NULL);
	REFUSED(NONE | TRIGGER | 64, 0, 1, NULL);
	vfuc_close(c);
	fs_finish(&s);
}

/* ---- asynchronous ---- */

struct outcome {
	unsigned int done;
	int error;
	uint64_t cookie;
};

static void note_outcome(void *opaque, uint64_t cookie, int error, const void *data, size_t len)
{
	struct outcome *o = opaque;

	assert_null(data);
	assert_int_equal(len, 0);
	o->done++;
	o->error = error;
	o->cookie = cookie;
}

static void test_async(void **state)
{
	static const struct expected messages[] = {
		{ EVENTFD | TRIGGER, 0, 2, 2, 0 },
		{ EVENTFD | TRIGGER, 2, 1, 1, 0 },
	};
	struct conversation t = { CAPS(2), messages, 2, 1 };
	int fd = eventfd(0, 0);
	int fds[3] = { fd, fd, fd };
	struct outcome o = { 0 };
	struct fake_server s;
	struct vfuc *c;

	(void)state;
	fs_start(&s, script_set, &t);
	c = fs_open(&s, NULL);
	assert_int_equal(vfuc_submit_set_irqs(c, 2, EVENTFD | TRIGGER, 0, 3, fds, note_outcome, &o,
					      77), 0);
	memset(fds, 0, sizeof(fds));	/* the array was copied */
	fs_run_until(c, &o.done, 1);
	assert_int_equal(o.error, 0);
	assert_int_equal(o.cookie, 77);
	vfuc_close(c);
	assert_int_equal(o.done, 1);
	fs_finish(&s);
	close(fd);
}

static void script_die_between(struct fake_server *s)
{
	fs_version(s, CAPS(2));
	fs_expect(s, VFUC_CMD_SET_IRQS);
	fs_reply(s, NULL, 0);
	fs_expect(s, VFUC_CMD_SET_IRQS);
}

static void test_death_between(void **state)
{
	unsigned int open_fds = fs_count_fds();
	int fd = eventfd(0, 0);
	int fds[5] = { fd, fd, fd, fd, fd };
	struct vfuc_error error = { 0 };
	struct fake_server s;
	struct vfuc *c;

	(void)state;
	fs_start(&s, script_die_between, NULL);
	c = fs_open(&s, NULL);
	assert_int_equal(vfuc_set_irq_eventfds(c, 2, TRIGGER, 0, 5, fds, &error), -ECONNRESET);
	assert_int_equal(error.kind, VFUC_CLOSED);
	vfuc_close(c);
	fs_finish(&s);
	close(fd);
	assert_int_equal(fs_count_fds(), open_fds);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_info),
		cmocka_unit_test(test_batches),
		cmocka_unit_test(test_all_2048),
		cmocka_unit_test(test_holes),
		cmocka_unit_test(test_error_between),
		cmocka_unit_test(test_no_fds),
		cmocka_unit_test(test_state),
		cmocka_unit_test(test_arguments),
		cmocka_unit_test(test_async),
		cmocka_unit_test(test_death_between),
	};

	return cmocka_run_group_tests_name("engine_irq", tests, NULL, NULL);
}
