// SPDX-License-Identifier: GPL-2.0-only
/* DEVICE_GET_REGION_IO_FDS: both layouts, lies, descriptors. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake_server.h"

#define FIXED	sizeof(struct vfuc_wire_io_fds)

struct reply {
	uint8_t bytes[8192];
	size_t len;
	unsigned int nr_fds;
	uint32_t error;
	unsigned int questions;
};

static struct vfuc_wire_io_fds *begin(struct reply *r, uint32_t count, unsigned int nr_fds)
{
	struct vfuc_wire_io_fds wire = { .argsz = FIXED, .index = 0, .count = count };

	memset(r, 0, sizeof(*r));
	memcpy(r->bytes, &wire, sizeof(wire));
	r->len = FIXED;
	r->nr_fds = nr_fds;
	return (void *)r->bytes;
}

static void append(struct reply *r, const void *data, size_t len)
{
	uint32_t argsz;

	memcpy(r->bytes + r->len, data, len);
	r->len += len;
	argsz = r->len;
	memcpy(r->bytes, &argsz, sizeof(argsz));
}

/* Gives descriptor i a size of 1000 + i, so that it can be told apart. */
static void script(struct fake_server *s)
{
	struct reply *r = s->arg;
	struct vfuc_wire_io_fds request;
	struct vfuc_wire_io_fds wire;
	int fds[FS_MAX_FDS];
	unsigned int i;

	fs_version(s, NULL);
	memcpy(&wire, r->bytes, sizeof(wire));
	for (;;) {
		struct fs_message *m = fs_expect(s, VFUC_CMD_GET_REGION_IO_FDS);

		fs_check(s, m->len == FIXED);
		memcpy(&request, m->payload, sizeof(request));
		fs_check(s, !request.flags && !request.index && !request.count);
		r->questions++;
		if (r->error) {
			fs_reply_error(s, r->error);
			break;
		}
		if (wire.argsz > request.argsz && wire.argsz < 100000 && r->questions < 5) {
			fs_reply(s, r->bytes, FIXED);
			if (r->questions == 4)
				break;
			continue;
		}
		for (i = 0; i < r->nr_fds; i++)
			fds[i] = fs_memory(1000 + i);
		fs_reply_fds(s, r->bytes, r->len, fds, r->nr_fds);
		for (i = 0; i < r->nr_fds; i++)
			close(fds[i]);
		break;
	}
	fs_expect_close(s);
}

static int ask(struct reply *r, struct vfuc_region_io_fds **out, struct vfuc_error *error)
{
	struct fake_server s;
	struct vfuc *c;
	int err;

	memset(error, 0, sizeof(*error));
	*out = NULL;
	fs_start(&s, script, r);
	c = fs_open(&s, NULL);
	err = vfuc_get_region_io_fds(c, 0, 0x1000, out, error);
	vfuc_close(c);
	fs_finish(&s);
	return err;
}

static void assert_fd(int fd, unsigned int which)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, 1000 + which);
}

static void test_standard(void **state)
{
	static const struct vfuc_wire_io_fd entries[] = {
		{ 0x100, 4, 1, VFUC_IO_FD_IOEVENTFD, VFUC_IO_FD_DATAMATCH, 0, 0x1234 },
		{ 0x200, 0, 1, VFUC_IO_FD_IOEVENTFD, 0, 0, 0 },
		{ 0x300, 8, 0, 9, 0, 0, 0 },		/* of a type to come */
		{ 0xff8, 8, 0, VFUC_IO_FD_IOREGIONFD, 2, 0, 0x5678 },
	};
	unsigned int fds = fs_count_fds();
	struct vfuc_region_io_fds *out;
	struct vfuc_error error;
	struct reply r;

	(void)state;
	begin(&r, 4, 2);
	append(&r, entries, sizeof(entries));
	assert_int_equal(ask(&r, &out, &error), 0);
	assert_int_equal(out->count, 3);
	assert_int_equal(out->nr_fds, 2);
	assert_int_equal(out->entries[0].type, VFUC_IO_FD_IOEVENTFD);
	assert_int_equal(out->entries[0].offset, 0x100);
	assert_int_equal(out->entries[0].size, 4);
	assert_int_equal(out->entries[0].flags, VFUC_IO_FD_DATAMATCH);
	assert_int_equal(out->entries[0].value, 0x1234);
	assert_int_equal(out->entries[0].shadow_fd, -1);
	assert_fd(out->entries[0].fd, 1);
	assert_int_equal(out->entries[1].fd, out->entries[0].fd);
	assert_int_equal(out->entries[1].size, 0);
	assert_int_equal(out->entries[2].type, VFUC_IO_FD_IOREGIONFD);
	assert_int_equal(out->entries[2].value, 0x5678);
	assert_fd(out->entries[2].fd, 0);
	vfuc_region_io_fds_free(out);
	assert_int_equal(fs_count_fds(), fds);
}

static void test_shadow(void **state)
{
	static const struct vfuc_wire_io_fd_shadow entries[] = {
		{ 0x100, 4, 0, VFUC_IO_FD_SHADOW, 0, 1, 0x40, 0 },
		{ 0x104, 4, 2, VFUC_IO_FD_IOEVENTFD, VFUC_IO_FD_DATAMATCH, 0, 0, 0x99 },
	};
	unsigned int fds = fs_count_fds();
	struct vfuc_region_io_fds *out;
	struct vfuc_error error;
	struct reply r;

	(void)state;
	begin(&r, 2, 3);
	append(&r, entries, sizeof(entries));
	assert_int_equal(ask(&r, &out, &error), 0);
	assert_int_equal(out->count, 2);
	assert_int_equal(out->entries[0].type, VFUC_IO_FD_SHADOW);
	assert_fd(out->entries[0].fd, 0);
	assert_fd(out->entries[0].shadow_fd, 1);
	assert_int_equal(out->entries[0].shadow_offset, 0x40);
	assert_int_equal(out->entries[1].type, VFUC_IO_FD_IOEVENTFD);
	assert_int_equal(out->entries[1].value, 0x99);
	assert_int_equal(out->entries[1].shadow_fd, -1);
	assert_fd(out->entries[1].fd, 2);
	vfuc_region_io_fds_free(out);
	assert_int_equal(fs_count_fds(), fds);
}

static void test_none(void **state)
{
	unsigned int fds = fs_count_fds();
	struct vfuc_region_io_fds *out;
	struct vfuc_error error;
	struct reply r;

	(void)state;
	begin(&r, 0, 0);
	assert_int_equal(ask(&r, &out, &error), 0);
	assert_int_equal(out->count, 0);
	vfuc_region_io_fds_free(out);
	begin(&r, 0, 7);
	assert_int_equal(ask(&r, &out, &error), 0);
	vfuc_region_io_fds_free(out);
	begin(&r, 0, 0);
	r.error = ENOTSUP;
	assert_int_equal(ask(&r, &out, &error), -ENOTSUP);
	assert_int_equal(error.kind, VFUC_SERVER_ERROR);
	assert_int_equal(fs_count_fds(), fds);
}

static void test_retry(void **state)
{
	static struct vfuc_wire_io_fd entry = { 0x100, 4, 0, VFUC_IO_FD_IOEVENTFD, 0, 0, 0 };
	struct vfuc_region_io_fds *out;
	struct vfuc_error error;
	struct reply r;
	unsigned int i;

	(void)state;
	begin(&r, 100, 1);
	for (i = 0; i < 100; i++) {
		entry.value = i;
		append(&r, &entry, sizeof(entry));
	}
	assert_int_equal(ask(&r, &out, &error), 0);
	assert_int_equal(r.questions, 2);
	assert_int_equal(out->count, 100);
	assert_int_equal(out->entries[99].value, 99);
	vfuc_region_io_fds_free(out);
}

static void test_lies(void **state)
{
	static const struct vfuc_wire_io_fd good = { 0x100, 4, 0, VFUC_IO_FD_IOEVENTFD, 0, 0, 0 };
	static const struct vfuc_wire_io_fd bad[] = {
		{ 0x1000, 4, 0, VFUC_IO_FD_IOEVENTFD, 0, 0, 0 },	/* outside */
		{ 0xffc, 8, 0, VFUC_IO_FD_IOEVENTFD, 0, 0, 0 },
		{ 0xfffffffffffffffc, 8, 0, VFUC_IO_FD_IOEVENTFD, 0, 0, 0 },
		{ 0, 0xffffffffffffffff, 0, VFUC_IO_FD_IOEVENTFD, 0, 0, 0 },
		{ 0x100, 4, 2, VFUC_IO_FD_IOEVENTFD, 0, 0, 0 },		/* no such descriptor */
		{ 0x100, 4, 0xffffffff, VFUC_IO_FD_IOREGIONFD, 0, 0, 0 },
		{ 0x100, 4, 0, VFUC_IO_FD_SHADOW, 0, 0, 0 },		/* cut off */
	};
	static const struct vfuc_wire_io_fd_shadow no_memory = {
		0x100, 4, 0, VFUC_IO_FD_SHADOW, 0, 9, 0, 0
	};
	unsigned int fds = fs_count_fds();
	struct vfuc_region_io_fds *out;
	struct vfuc_error error;
	struct reply r;
	unsigned int i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		begin(&r, 2, 2);
		append(&r, &good, sizeof(good));
		append(&r, &bad[i], sizeof(bad[i]));
		assert_int_equal(ask(&r, &out, &error), -EPROTO);
		assert_int_equal(error.kind, VFUC_PROTOCOL);
	}
	begin(&r, 1, 2);
	append(&r, &no_memory, sizeof(no_memory));
	assert_int_equal(ask(&r, &out, &error), -EPROTO);
	/* Count and size. */
	begin(&r, 2, 1);
	append(&r, &good, sizeof(good));
	assert_int_equal(ask(&r, &out, &error), -EPROTO);
	begin(&r, 0xffffffff, 1);
	append(&r, &good, sizeof(good));
	assert_int_equal(ask(&r, &out, &error), -EPROTO);
	begin(&r, 1, 0);
	assert_int_equal(ask(&r, &out, &error), -EPROTO);
	begin(&r, 1, 1)->index = 1;
	append(&r, &good, sizeof(good));
	assert_int_equal(ask(&r, &out, &error), -EPROTO);
	begin(&r, 0, 1)->argsz = 8;
	assert_int_equal(ask(&r, &out, &error), -EPROTO);
	begin(&r, 0, 1)->argsz = 0xffffffff;
	assert_int_equal(ask(&r, &out, &error), -EPROTO);
	begin(&r, 0, 1);
	r.len = 15;
	assert_int_equal(ask(&r, &out, &error), -EPROTO);
	assert_int_equal(fs_count_fds(), fds);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_standard),
		cmocka_unit_test(test_shadow),
		cmocka_unit_test(test_none),
		cmocka_unit_test(test_retry),
		cmocka_unit_test(test_lies),
	};

	return cmocka_run_group_tests_name("engine_iofds", tests, NULL, NULL);
}
