// SPDX-License-Identifier: GPL-2.0-only
/* DEVICE_GET_INFO and DEVICE_GET_REGION_INFO: retries, capability chains, areas, descriptors. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake_server.h"

#define R	VFIO_REGION_INFO_FLAG_READ
#define W	VFIO_REGION_INFO_FLAG_WRITE
#define M	VFIO_REGION_INFO_FLAG_MMAP
#define C	VFIO_REGION_INFO_FLAG_CAPS

#define FIXED	sizeof(struct vfuc_wire_region_info)

/* ---- device info ---- */

struct info_case {
	struct vfuc_wire_info wire;
	size_t len;
	int err;
};

static void script_info(struct fake_server *s)
{
	const struct info_case *t = s->arg;
	struct vfuc_wire_info request;
	struct fs_message *m;

	fs_version(s, NULL);
	m = fs_expect(s, VFUC_CMD_GET_INFO);
	fs_check(s, m->len == sizeof(request) && !m->nr_fds);
	memcpy(&request, m->payload, sizeof(request));
	fs_check(s, request.argsz == 16 && !request.flags && !request.num_regions &&
		 !request.num_irqs);
	fs_reply(s, &t->wire, t->len);
	fs_expect_close(s);
}

static void test_info(void **state)
{
	static struct info_case cases[] = {
		{ { 16, VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET, 9, 5 }, 16, 0 },
		{ { 16, VFIO_DEVICE_FLAGS_PCI, 12, 5 }, 16, 0 },
		{ { 16, VFIO_DEVICE_FLAGS_PCI, 257, 5 }, 16, -EPROTO },
		{ { 16, VFIO_DEVICE_FLAGS_PCI, 9, 0xffffffff }, 16, -EPROTO },
		{ { 16, VFIO_DEVICE_FLAGS_PCI, 9, 5 }, 15, -EPROTO },
		{ { 16, VFIO_DEVICE_FLAGS_PCI, 9, 5 }, 0, -EPROTO },
		{ { 8, VFIO_DEVICE_FLAGS_PCI, 9, 5 }, 16, -EPROTO },
	};
	unsigned int i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct vfuc_error error = { 0 };
		struct vfuc_info info = { 0 };
		struct fake_server s;
		struct vfuc *c;

		fs_start(&s, script_info, &cases[i]);
		c = fs_open(&s, NULL);
		assert_int_equal(vfuc_get_info(c, &info, &error), cases[i].err);
		if (cases[i].err) {
			assert_int_equal(error.kind, VFUC_PROTOCOL);
		} else {
			assert_int_equal(info.flags, cases[i].wire.flags);
			assert_int_equal(info.num_regions, cases[i].wire.num_regions);
			assert_int_equal(info.num_irqs, cases[i].wire.num_irqs);
		}
		vfuc_close(c);
		fs_finish(&s);
	}
}

/* ---- replies built by hand ---- */

struct reply {
	uint8_t bytes[8192];
	size_t len;		/* what is sent */
	unsigned int nr_fds;
	bool tight;		/* the client has room for so many of them only */
	unsigned int room;
};

static struct vfuc_wire_region_info *begin(struct reply *r, uint32_t flags, uint64_t size)
{
	struct vfuc_wire_region_info wire = {
		.argsz = FIXED,
		.flags = flags,
		.index = 2,
		.cap_offset = flags & C ? FIXED : 0,
		.size = size,
		.offset = 0x10000,
	};

	memset(r, 0, sizeof(*r));
	memcpy(r->bytes, &wire, sizeof(wire));
	r->len = FIXED;
	return (void *)r->bytes;
}

static void set_argsz(struct reply *r)
{
	uint32_t argsz = r->len;

	memcpy(r->bytes, &argsz, sizeof(argsz));
}

static void append(struct reply *r, const void *data, size_t len)
{
	memcpy(r->bytes + r->len, data, len);
	r->len += len;
	set_argsz(r);
}

/* next == 1: the capability that follows this one, of len bytes behind the header. */
static void append_cap(struct reply *r, uint16_t id, uint16_t version, uint32_t next, size_t len)
{
	struct vfuc_wire_cap cap = { .id = id, .version = version, .next = next };

	if (next == 1)
		cap.next = r->len + sizeof(cap) + len;
	append(r, &cap, sizeof(cap));
}

static void append_sparse(struct reply *r, uint32_t next, unsigned int n, const uint64_t *areas)
{
	struct vfuc_wire_sparse sparse = { .nr_areas = n };

	append_cap(r, VFIO_REGION_INFO_CAP_SPARSE_MMAP, 1, next, sizeof(sparse) + n * 16);
	append(r, &sparse, sizeof(sparse));
	append(r, areas, n * 16);
}

/* From now on this process can have @room descriptors more. */
static void leave_room(unsigned int room)
{
	int fds[8], next = dup(0);
	struct rlimit limit;
	unsigned int i;

	assert_true(next >= 0 && room < 8);
	for (i = 0; i < room; i++)
		fds[i] = dup(0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = room ? fds[room - 1] : next;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	while (i)
		close(fds[--i]);
	close(next);
}

static void leave_all_room(void)
{
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = limit.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static void script_region(struct fake_server *s)
{
	const struct reply *r = s->arg;
	struct vfuc_wire_region_info request;
	struct fs_message *m;
	int fds[FS_MAX_FDS];
	unsigned int i;

	fs_version(s, NULL);
	m = fs_expect(s, VFUC_CMD_GET_REGION_INFO);
	fs_check(s, m->len == FIXED && !m->nr_fds);
	memcpy(&request, m->payload, sizeof(request));
	fs_check(s, request.index == 2 && request.argsz >= FIXED && !request.flags &&
		 !request.cap_offset && !request.size && !request.offset);
	for (i = 0; i < r->nr_fds; i++)
		fds[i] = fs_memory(4096 + i);
	if (r->tight)
		leave_room(r->room);
	fs_reply_fds(s, r->bytes, r->len, fds, r->nr_fds);
	/* Or there is room where they were. */
	if (r->tight)
		fs_expect_close(s);
	for (i = 0; i < r->nr_fds; i++)
		close(fds[i]);
	if (r->tight)
		return;
	fs_expect_close(s);
}

/* Has the server give r; surplus is how many descriptors must have been closed unused. */
static int ask(struct reply *r, struct vfuc_region_info **info, unsigned int surplus)
{
	unsigned int fds = fs_count_fds();
	struct vfuc_error error = { 0 };
	struct fake_server s;
	unsigned int i;
	struct vfuc *c;
	int err;

	*info = NULL;
	fs_start(&s, script_region, r);
	c = fs_open(&s, NULL);
	err = vfuc_get_region_info(c, 2, info, &error);
	if (r->tight)
		leave_all_room();
	assert_int_equal(vfuc_stats(c)->surplus_fds, surplus);
	assert_int_equal(error.err, err);
	assert_int_equal(error.kind, err ? VFUC_PROTOCOL : VFUC_OK);
	assert_true(!err || *error.message);
	vfuc_close(c);
	fs_finish(&s);
	fds += *info && (*info)->fd >= 0;
	for (i = 0; *info && i < (*info)->nr_areas; i++)
		fds += (*info)->areas[i].fd >= 0;
	assert_int_equal(fs_count_fds(), fds);
	return err;
}

static void assert_refused(struct reply *r)
{
	struct vfuc_region_info *info;

	assert_int_equal(ask(r, &info, r->nr_fds), -EPROTO);
	assert_null(info);
}

static void test_plain(void **state)
{
	struct vfuc_region_info *info;
	struct reply r;

	(void)state;
	begin(&r, R | W, 0x123);
	assert_int_equal(ask(&r, &info, 0), 0);
	assert_int_equal(info->index, 2);
	assert_int_equal(info->flags, R | W);
	assert_int_equal(info->size, 0x123);
	assert_int_equal(info->offset, 0x10000);
	assert_int_equal(info->fd, -1);
	assert_int_equal(info->nr_areas, 0);
	assert_false(info->sparse);
	assert_false(info->has_type);
	vfuc_region_info_free(info);
}

static void test_zero_size(void **state)
{
	struct vfuc_region_info *info;
	struct reply r;

	(void)state;
	begin(&r, 0, 0);
	assert_int_equal(ask(&r, &info, 0), 0);
	assert_int_equal(info->size, 0);
	vfuc_region_info_free(info);
	/* Mappable all the same, with a descriptor. */
	begin(&r, R | W | M, 0);
	r.nr_fds = 1;
	assert_int_equal(ask(&r, &info, 1), 0);
	assert_int_equal(info->fd, -1);
	assert_int_equal(info->nr_areas, 0);
	vfuc_region_info_free(info);
}

static void test_whole(void **state)
{
	struct vfuc_region_info *info;
	struct stat st;
	struct reply r;

	(void)state;
	begin(&r, R | W | M, 0x4000);
	r.nr_fds = 1;
	assert_int_equal(ask(&r, &info, 0), 0);
	assert_true(info->fd >= 0);
	assert_int_equal(fstat(info->fd, &st), 0);
	assert_int_equal(st.st_size, 4096);
	assert_false(info->sparse);
	assert_int_equal(info->nr_areas, 1);
	assert_int_equal(info->areas[0].offset, 0);
	assert_int_equal(info->areas[0].size, 0x4000);
	vfuc_region_info_free(info);
	/* Only whole pages of it. */
	begin(&r, R | W | M, 0x1800);
	r.nr_fds = 1;
	assert_int_equal(ask(&r, &info, 0), 0);
	assert_int_equal(info->nr_areas, 1);
	assert_int_equal(info->areas[0].size, 0x1000);
	vfuc_region_info_free(info);
	begin(&r, R | W | M, 0x100);
	r.nr_fds = 1;
	assert_int_equal(ask(&r, &info, 0), 0);
	assert_int_equal(info->nr_areas, 0);
	vfuc_region_info_free(info);
}

static void test_fds(void **state)
{
	struct vfuc_region_info *info;
	struct stat st;
	struct reply r;

	(void)state;
	/* Mappable, and nothing to map. */
	begin(&r, R | W | M, 0x4000);
	assert_int_equal(ask(&r, &info, 0), 0);
	assert_int_equal(info->fd, -1);
	assert_int_equal(info->nr_areas, 0);
	vfuc_region_info_free(info);
	/* Not mappable, with a descriptor. */
	begin(&r, R | W, 0x4000);
	r.nr_fds = 1;
	assert_int_equal(ask(&r, &info, 1), 0);
	assert_int_equal(info->fd, -1);
	vfuc_region_info_free(info);
	/* Too many: the first counts. */
	begin(&r, R | W | M, 0x4000);
	r.nr_fds = 200;
	assert_int_equal(ask(&r, &info, 199), 0);
	assert_int_equal(fstat(info->fd, &st), 0);
	assert_int_equal(st.st_size, 4096);
	vfuc_region_info_free(info);
}

static void test_sparse(void **state)
{
	static const uint64_t areas[] = { 0x3000, 0x1000, 0, 0, 0x1000, 0x2000 };
	struct vfuc_region_info *info;
	struct reply r;

	(void)state;
	begin(&r, R | W | M | C, 0x4000);
	append_sparse(&r, 0, 3, areas);
	r.nr_fds = 1;
	assert_int_equal(ask(&r, &info, 0), 0);
	assert_true(info->sparse);
	assert_int_equal(info->nr_areas, 2);
	assert_int_equal(info->areas[0].offset, 0x1000);
	assert_int_equal(info->areas[0].size, 0x2000);
	assert_int_equal(info->areas[1].offset, 0x3000);
	assert_int_equal(info->areas[1].size, 0x1000);
	vfuc_region_info_free(info);
	/* None of it. */
	begin(&r, R | W | M | C, 0x4000);
	append_sparse(&r, 0, 0, areas);
	r.nr_fds = 1;
	assert_int_equal(ask(&r, &info, 0), 0);
	assert_true(info->sparse);
	assert_int_equal(info->nr_areas, 0);
	vfuc_region_info_free(info);
	/* Without a descriptor there is nothing to map. */
	begin(&r, R | W | M | C, 0x4000);
	append_sparse(&r, 0, 3, areas);
	assert_int_equal(ask(&r, &info, 0), 0);
	assert_int_equal(info->nr_areas, 0);
	vfuc_region_info_free(info);
	/* Without the flag as well. */
	begin(&r, R | W | C, 0x4000);
	append_sparse(&r, 0, 3, areas);
	assert_int_equal(ask(&r, &info, 0), 0);
	assert_int_equal(info->nr_areas, 0);
	vfuc_region_info_free(info);
}

static void test_bad_areas(void **state)
{
	static const uint64_t bad[][4] = {
		{ 0x800, 0x1000, 0x2000, 0x1000 },		/* alignment */
		{ 0x1000, 0x800, 0x2000, 0x1000 },
		{ 0x1000, 0x1000, 0x4000, 0x1000 },		/* beyond the end */
		{ 0x1000, 0x1000, 0x3000, 0x2000 },
		{ 0x1000, 0x1000, 0x3000, 0xfffffffffffff000 },
		{ 0x1000, 0x1000, 0xfffffffffffff000, 0x1000 },
		{ 0x1000, 0x2000, 0x2000, 0x1000 },		/* overlap */
		{ 0x2000, 0x1000, 0x1000, 0x2000 },
		{ 0x1000, 0x1000, 0x1000, 0x1000 },
	};
	struct vfuc_region_info *info;
	unsigned int i;
	struct reply r;

	(void)state;
	/* The one is not used, the other is. */
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		begin(&r, R | W | M | C, 0x4000);
		append_sparse(&r, 0, 2, bad[i]);
		r.nr_fds = 1;
		assert_int_equal(ask(&r, &info, 0), 0);
		assert_int_equal(info->nr_areas, 1);
		assert_int_equal(info->areas[0].offset % 0x1000, 0);
		assert_true(info->areas[0].offset + info->areas[0].size <= 0x4000);
		vfuc_region_info_free(info);
	}
}

static void test_fds_of_areas(void **state)
{
	static const uint64_t areas[] = { 0x3000, 0x1000, 0x1000, 0x1000, 0x800, 0x1000 };
	struct vfuc_region_info *info;
	struct stat st;
	struct reply r;

	(void)state;
	/* One for each, in the server's order; the descriptors are files of 4096, 4097... bytes. */
	begin(&r, R | W | M | C, 0x4000);
	append_sparse(&r, 0, 3, areas);
	r.nr_fds = 3;
	assert_int_equal(ask(&r, &info, 0), 0);
	assert_int_equal(info->fd, -1);
	assert_int_equal(info->nr_areas, 2);
	assert_int_equal(info->areas[0].offset, 0x1000);
	assert_int_equal(fstat(info->areas[0].fd, &st), 0);
	assert_int_equal(st.st_size, 4097);
	assert_int_equal(fstat(info->areas[1].fd, &st), 0);
	assert_int_equal(st.st_size, 4096);
	vfuc_region_info_free(info);
	/* Some were lost: those areas are not to be had, least of all in another's file. */
	begin(&r, R | W | M | C, 0x4000);
	append_sparse(&r, 0, 3, (const uint64_t[]){ 0, 0x1000, 0x1000, 0x1000, 0x2000, 0x1000 });
	r.nr_fds = 2;
	assert_int_equal(ask(&r, &info, 0), 0);
	assert_int_equal(info->nr_areas, 2);
	assert_int_equal(info->areas[1].offset, 0x1000);
	vfuc_region_info_free(info);
}

/* The same, and it is this process that has no room: one that came is not the whole region's. */
static void test_fds_lost(void **state)
{
	struct vfuc_region_info *info;
	struct stat st;
	struct reply r;

	(void)state;
	begin(&r, R | W | M | C, 0x4000);
	append_sparse(&r, 0, 3, (const uint64_t[]){ 0x2000, 0x1000, 0x1000, 0x1000, 0, 0x1000 });
	r.nr_fds = 3;
	r.tight = true;
	r.room = 1;
	assert_int_equal(ask(&r, &info, 1), 0);
	assert_int_equal(info->fd, -1);
	assert_int_equal(info->nr_areas, 1);
	assert_int_equal(info->areas[0].offset, 0x2000);
	assert_int_equal(fstat(info->areas[0].fd, &st), 0);
	assert_int_equal(st.st_size, 4096);
	vfuc_region_info_free(info);
	/* All of them: the region traps. */
	begin(&r, R | W | M | C, 0x4000);
	append_sparse(&r, 0, 1, (const uint64_t[]){ 0x2000, 0x1000 });
	r.nr_fds = 1;
	r.tight = true;
	assert_int_equal(ask(&r, &info, 1), 0);
	assert_int_equal(info->fd, -1);
	assert_int_equal(info->nr_areas, 0);
	vfuc_region_info_free(info);
}

static void test_other_caps(void **state)
{
	static const uint64_t areas[] = { 0x1000, 0x1000 };
	struct vfuc_wire_type type = { .type = 0x80001234, .subtype = 5 };
	struct vfuc_region_info *info;
	struct reply r;

	(void)state;
	begin(&r, R | W | M | C, 0x4000);
	append_cap(&r, 0x7777, 3, 1, 8);
	append(&r, "whatever", 8);
	append_cap(&r, VFIO_REGION_INFO_CAP_TYPE, 1, 1, sizeof(type));
	append(&r, &type, sizeof(type));
	append_cap(&r, VFIO_REGION_INFO_CAP_MSIX_MAPPABLE, 1, 1, 0);
	append_cap(&r, VFIO_REGION_INFO_CAP_SPARSE_MMAP, 2, 1, 0);	/* a version to come */
	append_sparse(&r, 0, 1, areas);
	r.nr_fds = 1;
	assert_int_equal(ask(&r, &info, 0), 0);
	assert_true(info->has_type);
	assert_int_equal(info->type, 0x80001234);
	assert_int_equal(info->subtype, 5);
	assert_true(info->msix_mappable);
	assert_int_equal(info->unknown_caps, 2);
	assert_int_equal(info->nr_areas, 1);
	vfuc_region_info_free(info);
	/* Links backwards are as good as any. */
	begin(&r, R | C, 0x4000)->cap_offset = FIXED + 8;
	append_cap(&r, VFIO_REGION_INFO_CAP_MSIX_MAPPABLE, 1, 0, 0);
	append_cap(&r, 0x7777, 1, FIXED, 0);
	assert_int_equal(ask(&r, &info, 0), 0);
	assert_true(info->msix_mappable);
	assert_int_equal(info->unknown_caps, 1);
	vfuc_region_info_free(info);
	/* The flag without a capability, a capability without the flag. */
	begin(&r, R | C, 0x4000)->cap_offset = 0;
	assert_int_equal(ask(&r, &info, 0), 0);
	vfuc_region_info_free(info);
	begin(&r, R, 0x4000)->cap_offset = 0xffffffff;
	assert_int_equal(ask(&r, &info, 0), 0);
	vfuc_region_info_free(info);
}

static void test_bad_chains(void **state)
{
	static const uint64_t areas[] = { 0x1000, 0x1000 };
	struct vfuc_wire_sparse many = { .nr_areas = 2 };
	struct reply r;

	(void)state;
	/* Loops: onto itself, of two. */
	begin(&r, R | C, 0x4000);
	append_cap(&r, 0x7777, 1, FIXED, 0);
	assert_refused(&r);
	begin(&r, R | C, 0x4000);
	append_cap(&r, 0x7777, 1, 1, 0);
	append_cap(&r, 0x7778, 1, FIXED, 0);
	assert_refused(&r);
	/* Outside: the first, the next, in the fixed part, cut off by the end. */
	begin(&r, R | C, 0x4000);
	assert_refused(&r);
	begin(&r, R | C, 0x4000)->cap_offset = 0xfffffffc;
	assert_refused(&r);
	begin(&r, R | C, 0x4000)->cap_offset = 8;
	assert_refused(&r);
	begin(&r, R | C, 0x4000);
	append_cap(&r, 0x7777, 1, 1, 0);
	assert_refused(&r);
	begin(&r, R | C, 0x4000);
	append_cap(&r, 0x7777, 1, 0, 0);
	r.len -= 1;
	set_argsz(&r);
	assert_refused(&r);
	/* Sparse: no room for its header, for its areas, twice. */
	begin(&r, R | C, 0x4000);
	append_cap(&r, VFIO_REGION_INFO_CAP_SPARSE_MMAP, 1, 0, 0);
	assert_refused(&r);
	begin(&r, R | C, 0x4000);
	append_cap(&r, VFIO_REGION_INFO_CAP_SPARSE_MMAP, 1, 0, 0);
	append(&r, &many, sizeof(many));
	append(&r, areas, 16);
	assert_refused(&r);
	many.nr_areas = 0x10000001;
	begin(&r, R | C, 0x4000);
	append_cap(&r, VFIO_REGION_INFO_CAP_SPARSE_MMAP, 1, 0, 0);
	append(&r, &many, sizeof(many));
	append(&r, areas, 16);
	assert_refused(&r);
	begin(&r, R | W | M | C, 0x4000);
	append_sparse(&r, 1, 1, areas);
	append_sparse(&r, 0, 1, areas);
	r.nr_fds = 1;
	assert_refused(&r);
	/* Type: cut off. */
	begin(&r, R | C, 0x4000);
	append_cap(&r, VFIO_REGION_INFO_CAP_TYPE, 1, 0, 0);
	assert_refused(&r);
}

static void test_bad_fixed_part(void **state)
{
	struct reply r;

	(void)state;
	begin(&r, R, 0x4000);
	r.len = FIXED - 1;
	r.nr_fds = 2;
	assert_refused(&r);
	begin(&r, R, 0x4000);
	r.len = 0;
	assert_refused(&r);
	begin(&r, R, 0x4000)->argsz = FIXED - 1;
	assert_refused(&r);
	begin(&r, R, 0x4000)->argsz = FIXED + 1;	/* not more than asked, and not there */
	assert_refused(&r);
	begin(&r, R, 0x4000)->argsz = 0xffffffff;
	assert_refused(&r);
	begin(&r, R, 0x4000)->index = 3;
	assert_refused(&r);
	begin(&r, R, 0xffffffffffffffff);
	assert_refused(&r);
	begin(&r, R, 0x4000)->offset = 0x7ffffffffffff000;
	assert_refused(&r);
}

/* ---- argsz ---- */

struct retry {
	unsigned int areas;
	unsigned int questions;		/* answered so far */
	bool growing;
};

static void script_retry(struct fake_server *s)
{
	struct retry *t = s->arg;
	struct vfuc_wire_region_info wire = {
		.flags = R | W | M | C,
		.index = 2,
		.cap_offset = FIXED,
		.size = 0x10000000,
	};
	struct vfuc_wire_cap cap = { .id = VFIO_REGION_INFO_CAP_SPARSE_MMAP, .version = 1 };
	struct vfuc_wire_sparse sparse = { .nr_areas = t->areas };
	struct vfuc_wire_region_info request;
	struct fs_message *m;
	unsigned int i;
	uint8_t *bytes;
	size_t len;
	int fd;

	fs_version(s, NULL);
	for (;;) {
		m = fs_expect(s, VFUC_CMD_GET_REGION_INFO);
		memcpy(&request, m->payload, sizeof(request));
		wire.argsz = FIXED + sizeof(cap) + sizeof(sparse) + t->areas * 16;
		if (t->growing)
			wire.argsz = request.argsz + 16;
		t->questions++;
		/* As some servers do: the descriptor comes with each answer. */
		fd = fs_memory(4096);
		if (wire.argsz <= request.argsz)
			break;
		fs_reply_fds(s, &wire, sizeof(wire), &fd, 1);
		close(fd);
		if (t->growing && t->questions == 4) {
			fs_expect_close(s);
			return;
		}
	}
	len = wire.argsz;
	bytes = calloc(1, len);
	memcpy(bytes, &wire, sizeof(wire));
	memcpy(bytes + FIXED, &cap, sizeof(cap));
	memcpy(bytes + FIXED + sizeof(cap), &sparse, sizeof(sparse));
	for (i = 0; i < t->areas; i++) {
		struct vfuc_wire_area area = { .offset = i * 0x2000ull, .size = 0x1000 };

		memcpy(bytes + FIXED + sizeof(cap) + sizeof(sparse) + i * 16, &area, 16);
	}
	fs_reply_fds(s, bytes, len, &fd, 1);
	free(bytes);
	close(fd);
	fs_expect_close(s);
}

static void test_retry(void **state)
{
	static const unsigned int areas[] = { 1, 100, 4096 };
	unsigned int i;

	(void)state;
	for (i = 0; i < 3; i++) {
		struct retry t = { .areas = areas[i] };
		unsigned int fds = fs_count_fds();
		struct vfuc_region_info *info;
		struct vfuc_error error;
		struct fake_server s;
		struct vfuc *c;

		fs_start(&s, script_retry, &t);
		c = fs_open(&s, NULL);
		assert_int_equal(vfuc_get_region_info(c, 2, &info, &error), 0);
		assert_int_equal(info->nr_areas, areas[i]);
		assert_int_equal(info->areas[areas[i] - 1].offset, (areas[i] - 1) * 0x2000ull);
		assert_int_equal(vfuc_stats(c)->surplus_fds, 0);
		vfuc_region_info_free(info);
		vfuc_close(c);
		fs_finish(&s);
		assert_int_equal(t.questions, areas[i] == 1 ? 1 : 2);
		assert_int_equal(fs_count_fds(), fds);
	}
}

static void test_growing(void **state)
{
	struct retry t = { .areas = 1, .growing = true };
	unsigned int fds = fs_count_fds();
	struct vfuc_error error = { 0 };
	struct vfuc_region_info *info;
	struct fake_server s;
	struct vfuc *c;

	(void)state;
	fs_start(&s, script_retry, &t);
	c = fs_open(&s, NULL);
	assert_int_equal(vfuc_get_region_info(c, 2, &info, &error), -EPROTO);
	assert_int_equal(error.kind, VFUC_PROTOCOL);
	vfuc_close(c);
	fs_finish(&s);
	assert_int_equal(fs_count_fds(), fds);
}

/* ---- regions beyond the nine of PCI, and a server that refuses one ---- */

static void script_many(struct fake_server *s)
{
	uint32_t i;

	fs_version(s, NULL);
	for (i = 0; i < 12; i++) {
		struct vfuc_wire_region_info wire;

		fs_expect(s, VFUC_CMD_GET_REGION_INFO);
		memcpy(&wire, s->message.payload, sizeof(wire));
		fs_check(s, wire.index == i);
		wire.argsz = sizeof(wire);
		wire.size = i * 0x1000;
		if (i == 5)
			fs_reply_error(s, ENODEV);
		else
			fs_reply(s, &wire, sizeof(wire));
	}
	fs_expect_close(s);
}

static void test_many(void **state)
{
	struct vfuc_region_info *info;
	struct vfuc_error error = { 0 };
	struct fake_server s;
	struct vfuc *c;
	uint32_t i;

	(void)state;
	fs_start(&s, script_many, NULL);
	c = fs_open(&s, NULL);
	for (i = 0; i < 12; i++) {
		if (i == 5) {
			assert_int_equal(vfuc_get_region_info(c, i, &info, &error), -ENODEV);
			assert_int_equal(error.kind, VFUC_SERVER_ERROR);
			continue;
		}
		assert_int_equal(vfuc_get_region_info(c, i, &info, &error), 0);
		assert_int_equal(info->index, i);
		assert_int_equal(info->size, i * 0x1000);
		vfuc_region_info_free(info);
	}
	vfuc_close(c);
	fs_finish(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_info),
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_zero_size),
		cmocka_unit_test(test_whole),
		cmocka_unit_test(test_fds),
		cmocka_unit_test(test_sparse),
		cmocka_unit_test(test_bad_areas),
		cmocka_unit_test(test_fds_of_areas),
		cmocka_unit_test(test_fds_lost),
		cmocka_unit_test(test_other_caps),
		cmocka_unit_test(test_bad_chains),
		cmocka_unit_test(test_bad_fixed_part),
		cmocka_unit_test(test_retry),
		cmocka_unit_test(test_growing),
		cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests_name("engine_region", tests, NULL, NULL);
}
