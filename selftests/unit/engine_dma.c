// SPDX-License-Identifier: GPL-2.0-only
/* DMA_MAP, DMA_UNMAP, and the server's DMA_READ and DMA_WRITE, on either socket. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake_server.h"

#define RW	(VFUC_DMA_READ | VFUC_DMA_WRITE)

/* ---- our memory ---- */

#define BASE	0x100000
#define SIZE	0x4000

struct memory {
	uint8_t bytes[SIZE];
	int refuse;
};

static int memory_read(void *opaque, uint64_t iova, void *buf, size_t count)
{
	struct memory *m = opaque;

	assert_true(iova >= BASE && iova - BASE + count <= SIZE);
	if (m->refuse)
		return m->refuse;
	memcpy(buf, m->bytes + (iova - BASE), count);
	return 0;
}

static int memory_write(void *opaque, uint64_t iova, const void *buf, size_t count)
{
	struct memory *m = opaque;

	assert_true(iova >= BASE && iova - BASE + count <= SIZE);
	if (m->refuse)
		return m->refuse;
	memcpy(m->bytes + (iova - BASE), buf, count);
	return 0;
}

static const struct vfuc_ops memory_ops = { .dma_read = memory_read, .dma_write = memory_write };

/* ---- map and unmap ---- */

static struct vfuc_wire_dma_map map_of(struct fake_server *s, unsigned int nr_fds)
{
	struct fs_message *m = fs_expect(s, VFUC_CMD_DMA_MAP);
	struct vfuc_wire_dma_map map;

	fs_check(s, m->len == sizeof(map));
	fs_check(s, m->nr_fds == nr_fds);
	memcpy(&map, m->payload, sizeof(map));
	fs_check(s, map.argsz == sizeof(map));
	return map;
}

static struct vfuc_wire_dma_unmap unmap_of(struct fake_server *s)
{
	struct fs_message *m = fs_expect(s, VFUC_CMD_DMA_UNMAP);
	struct vfuc_wire_dma_unmap unmap;

	fs_check(s, m->len == sizeof(unmap) && !m->nr_fds);
	memcpy(&unmap, m->payload, sizeof(unmap));
	fs_check(s, unmap.argsz == sizeof(unmap) && !unmap.flags);
	return unmap;
}

static void script_map(struct fake_server *s)
{
	struct vfuc_wire_dma_map map;
	struct vfuc_wire_dma_unmap unmap;
	char byte;

	fs_version(s, "{\"capabilities\":{\"max_dma_maps\":2}}");
	map = map_of(s, 1);
	fs_check(s, map.flags == RW && map.offset == 0x2000 && map.address == BASE &&
		 map.size == 0x1000);
	/* It is the memory that was meant. */
	fs_check(s, pread(s->message.fds[0], &byte, 1, map.offset) == 1 && byte == 'x');
	fs_reply(s, NULL, 0);
	map = map_of(s, 0);
	fs_check(s, map.flags == VFUC_DMA_READ && map.offset == 0 && map.address == BASE + 0x1000);
	fs_reply(s, NULL, 0);
	/* Room again after an unmap. */
	unmap = unmap_of(s);
	fs_check(s, unmap.address == BASE && unmap.size == 0x1000);
	fs_reply(s, &unmap, sizeof(unmap));
	map_of(s, 0);
	fs_reply_error(s, EEXIST);
	map_of(s, 0);
	fs_reply_error(s, 0);
	map_of(s, 0);
	fs_reply(s, "surprise", 8);
	map_of(s, 0);
	fs_reply(s, NULL, 0);
	/* Unmap: refused, short, of another, and well. */
	unmap = unmap_of(s);
	fs_reply_error(s, EBUSY);
	unmap_of(s);
	fs_reply(s, NULL, 0);
	unmap_of(s);
	unmap.size = 0x2000;
	fs_reply(s, &unmap, sizeof(unmap));
	unmap = unmap_of(s);
	fs_reply(s, &unmap, sizeof(unmap));
	fs_expect_close(s);
}

static void test_map(void **state)
{
	unsigned int fds = fs_count_fds();
	struct vfuc_error error = { 0 };
	struct fake_server s;
	int fd = fs_memory(0x4000);
	struct vfuc *c;

	(void)state;
	assert_int_equal(pwrite(fd, "x", 1, 0x2000), 1);
	fs_start(&s, script_map, NULL);
	c = fs_open(&s, NULL);
	assert_int_equal(vfuc_dma_map(c, BASE, 0x1000, RW, fd, 0x2000, &error), 0);
	/* Not sent at all. */
	assert_int_equal(vfuc_dma_map(c, BASE, 0x1000, RW, fd, 0, &error), -EEXIST);
	assert_int_equal(vfuc_dma_map(c, BASE - 0x1000, 0x2000, RW, fd, 0, &error), -EEXIST);
	assert_int_equal(vfuc_dma_map(c, BASE, 0, RW, fd, 0, &error), -EINVAL);
	assert_int_equal(vfuc_dma_map(c, BASE + 0x1001, 0x1000, RW, fd, 0, &error), -EINVAL);
	assert_int_equal(vfuc_dma_map(c, BASE + 0x1000, 0x800, RW, fd, 0, &error), -EINVAL);
	assert_int_equal(vfuc_dma_map(c, -0x1000ull, 0x2000, RW, fd, 0, &error), -EINVAL);
	assert_int_equal(vfuc_dma_map(c, BASE + 0x1000, 0x1000, 0, fd, 0, &error), -EINVAL);
	assert_int_equal(vfuc_dma_map(c, BASE + 0x1000, 0x1000, 4, fd, 0, &error), -EINVAL);
	assert_int_equal(vfuc_dma_unmap(c, BASE, 0x2000, &error), -ENOENT);
	assert_int_equal(vfuc_dma_unmap(c, BASE + 0x1000, 0x1000, &error), -ENOENT);
	assert_int_equal(vfuc_dma_map(c, BASE + 0x1000, 0x1000, VFUC_DMA_READ, -1, 0x5000, &error),
			 0);
	assert_int_equal(vfuc_dma_map(c, BASE + 0x2000, 0x1000, RW, fd, 0, &error), -ENOSPC);
	assert_int_equal(error.kind, VFUC_UNSUPPORTED);
	assert_int_equal(vfuc_dma_unmap(c, BASE, 0x1000, &error), 0);
	/* What the server refuses is not mapped. */
	assert_int_equal(vfuc_dma_map(c, BASE, 0x1000, RW, -1, 0, &error), -EEXIST);
	assert_int_equal(error.kind, VFUC_SERVER_ERROR);
	assert_int_equal(vfuc_dma_map(c, BASE, 0x1000, RW, -1, 0, &error), -EIO);
	assert_int_equal(vfuc_dma_map(c, BASE, 0x1000, RW, -1, 0, &error), -EPROTO);
	assert_int_equal(error.kind, VFUC_PROTOCOL);
	assert_int_equal(vfuc_dma_map(c, BASE, 0x1000, RW, -1, 0, &error), 0);
	/* What the server has not given up stays. */
	assert_int_equal(vfuc_dma_unmap(c, BASE, 0x1000, &error), -EBUSY);
	assert_int_equal(vfuc_dma_unmap(c, BASE, 0x1000, &error), -EPROTO);
	assert_int_equal(vfuc_dma_unmap(c, BASE, 0x1000, &error), -EPROTO);
	assert_int_equal(vfuc_dma_unmap(c, BASE, 0x1000, &error), 0);
	assert_int_equal(vfuc_dma_unmap(c, BASE, 0x1000, &error), -ENOENT);
	vfuc_close(c);
	fs_finish(&s);
	close(fd);
	assert_int_equal(fs_count_fds(), fds);
}

static void script_no_fds(struct fake_server *s)
{
	struct vfuc_wire_dma_map map;

	fs_version(s, s->arg);
	map = map_of(s, 0);
	fs_check(s, !map.offset);
	fs_reply(s, NULL, 0);
	fs_expect_close(s);
}

/* A window is offered without its descriptor where that cannot be passed. */
static void test_no_fds(void **state)
{
	struct vfuc_config config = { .no_fds = true };
	struct fake_server s;
	int fd = fs_memory(0x2000);
	struct vfuc *c;

	(void)state;
	fs_start(&s, script_no_fds, NULL);
	c = fs_open(&s, &config);
	assert_int_equal(vfuc_dma_map(c, BASE, 0x1000, RW, fd, 0x1000, NULL), 0);
	vfuc_close(c);
	fs_finish(&s);
	fs_start(&s, script_no_fds, "{\"capabilities\":{\"max_msg_fds\":0}}");
	c = fs_open(&s, NULL);
	assert_int_equal(vfuc_dma_map(c, BASE, 0x1000, RW, fd, 0x1000, NULL), 0);
	vfuc_close(c);
	fs_finish(&s);
	close(fd);
}

/* ---- the server's accesses ---- */

static void map_windows(struct vfuc *c)
{
	/* Readable and writeable, two in a row; then one of each kind; then nothing. */
	assert_int_equal(vfuc_dma_map(c, BASE + 0x1000, 0x1000, RW, -1, 0, NULL), 0);
	assert_int_equal(vfuc_dma_map(c, BASE, 0x1000, RW, -1, 0, NULL), 0);
	assert_int_equal(vfuc_dma_map(c, BASE + 0x2000, 0x1000, VFUC_DMA_READ, -1, 0, NULL), 0);
	assert_int_equal(vfuc_dma_map(c, BASE + 0x3000, 0x1000, VFUC_DMA_WRITE, -1, 0, NULL), 0);
}

static void take_windows(struct fake_server *s)
{
	int i;

	for (i = 0; i < 4; i++) {
		map_of(s, 0);
		fs_reply(s, NULL, 0);
	}
}

/* Sends a request, checks the reply's header; returns its errno. */
static uint32_t dma(struct fake_server *s, int fd, uint16_t command, uint64_t address,
		    uint64_t count, const void *data, size_t data_len)
{
	static uint16_t id = 0x8000;
	struct vfuc_wire_dma wire = { .address = address, .count = count };
	uint8_t *bytes = malloc(sizeof(wire) + data_len);
	struct fs_message *m;

	memcpy(bytes, &wire, sizeof(wire));
	if (data_len)
		memcpy(bytes + sizeof(wire), data, data_len);
	fs_command(s, fd, ++id, command, 0, bytes, sizeof(wire) + data_len);
	free(bytes);
	m = fs_receive_from(s, fd);
	fs_check(s, m->header.id == id && m->header.command == command);
	fs_check(s, (m->header.flags & VFUC_TYPE_MASK) == VFUC_TYPE_REPLY && !m->nr_fds);
	if (m->header.flags & VFUC_FLAG_ERROR) {
		fs_check(s, m->header.error && !m->len);
		return m->header.error;
	}
	fs_check(s, m->len == sizeof(wire) + (command == VFUC_CMD_DMA_READ ? count : 0));
	memcpy(&wire, m->payload, sizeof(wire));
	fs_check(s, wire.address == address && wire.count == count);
	return 0;
}

static void accesses(struct fake_server *s, int fd)
{
	const uint16_t read = VFUC_CMD_DMA_READ;
	const uint16_t write = VFUC_CMD_DMA_WRITE;
	uint8_t data[0x2000];

	memset(data, 0xa5, sizeof(data));
	/* A byte, a window, over two windows. */
	fs_check(s, dma(s, fd, write, BASE + 1, 1, data, 1) == 0);
	fs_check(s, dma(s, fd, read, BASE, 3, NULL, 0) == 0);
	fs_check(s, !memcmp(s->message.payload + 16, "\0\xa5\0", 3));
	fs_check(s, dma(s, fd, write, BASE, 0x2000, data, 0x2000) == 0);
	fs_check(s, dma(s, fd, read, BASE, 0x2000, NULL, 0) == 0);
	fs_check(s, !memcmp(s->message.payload + 16, data, 0x2000));
	fs_check(s, dma(s, fd, read, BASE + 0x1800, 0x1800, NULL, 0) == 0);
	fs_check(s, dma(s, fd, write, BASE + 0x3fff, 1, data, 1) == 0);
	/* Permissions. */
	fs_check(s, dma(s, fd, write, BASE + 0x2000, 1, data, 1) == EFAULT);
	fs_check(s, dma(s, fd, read, BASE + 0x3000, 1, NULL, 0) == EFAULT);
	fs_check(s, dma(s, fd, write, BASE + 0x1fff, 2, data, 2) == EFAULT);
	fs_check(s, dma(s, fd, read, BASE + 0x2fff, 2, NULL, 0) == EFAULT);
	/* Outside, in part or wholly, and around the end of the address space. */
	fs_check(s, dma(s, fd, read, BASE - 1, 2, NULL, 0) == EFAULT);
	fs_check(s, dma(s, fd, write, BASE + 0x3fff, 2, data, 2) == EFAULT);
	fs_check(s, dma(s, fd, read, 0, 8, NULL, 0) == EFAULT);
	fs_check(s, dma(s, fd, read, UINT64_MAX, 8, NULL, 0) == EFAULT);
	fs_check(s, dma(s, fd, read, -(uint64_t)8, 8, NULL, 0) == EFAULT);
	/* Counts: none, more than negotiated, 64 bits of them, not what comes. */
	fs_check(s, dma(s, fd, read, BASE, 0, NULL, 0) == EINVAL);
	fs_check(s, dma(s, fd, read, BASE, 0x2001, NULL, 0) == EINVAL);
	fs_check(s, dma(s, fd, read, BASE, 0x100000001, NULL, 0) == EINVAL);
	fs_check(s, dma(s, fd, read, BASE, UINT64_MAX, NULL, 0) == EINVAL);
	fs_check(s, dma(s, fd, write, BASE, 0x100000001, data, 1) == EINVAL);
	fs_check(s, dma(s, fd, write, BASE, 8, data, 7) == EINVAL);
	fs_check(s, dma(s, fd, write, BASE, 8, data, 9) == EINVAL);
	fs_check(s, dma(s, fd, read, BASE, 8, data, 8) == EINVAL);
}

/* While a read of the client's is outstanding. */
static void script_accesses(struct fake_server *s)
{
	struct vfuc_wire_access access;
	uint8_t bytes[16 + 4] = { 0 };
	struct vfuc_header pending;
	int fd;

	if (s->arg)
		fs_version_twin(s);
	else
		fs_version(s, NULL);
	fd = s->arg ? s->twin : s->fd;
	take_windows(s);
	fs_expect(s, VFUC_CMD_REGION_READ);
	pending = s->message.header;
	memcpy(&access, s->message.payload, sizeof(access));
	accesses(s, fd);
	s->message.header = pending;
	memcpy(bytes, &access, sizeof(access));
	fs_reply(s, bytes, sizeof(bytes));
	fs_expect_close(s);
}

static void serve(bool twin)
{
	struct memory *memory = calloc(1, sizeof(*memory));
	struct vfuc_config config = {
		.ops = &memory_ops,
		.opaque = memory,
		.max_data_xfer_size = 0x2000,
	};
	struct fake_server s;
	uint32_t value;
	struct vfuc *c;

	fs_start(&s, script_accesses, twin ? &s : NULL);
	c = fs_open(&s, &config);
	map_windows(c);
	assert_int_equal(vfuc_region_read(c, 0, 0, &value, 4, NULL), 0);
	assert_int_equal(vfuc_stats(c)->dma_writes, 3);
	assert_int_equal(vfuc_stats(c)->dma_reads, 3);
	assert_int_equal(vfuc_stats(c)->dma_bytes, 1 + 3 + 0x2000 + 0x2000 + 0x1800 + 1);
	assert_int_equal(vfuc_stats(c)->dma_refused, 17);
	assert_int_equal(memory->bytes[0x3fff], 0xa5);
	vfuc_close(c);
	fs_finish(&s);
	free(memory);
}

static void test_main_socket(void **state)
{
	(void)state;
	serve(false);
}

static void test_twin_socket(void **state)
{
	(void)state;
	serve(true);
}

/* ---- a server that maps, reads and unmaps: before and after ---- */

static void script_window_life(struct fake_server *s)
{
	struct vfuc_wire_dma_unmap unmap;
	struct vfuc_header header;

	fs_version_twin(s);
	/* It may access as soon as it has the request, before it replied. */
	map_of(s, 0);
	header = s->message.header;
	fs_check(s, dma(s, s->twin, VFUC_CMD_DMA_READ, BASE, 8, NULL, 0) == 0);
	s->message.header = header;
	fs_reply(s, NULL, 0);
	/* And until it has replied to the unmap. */
	unmap = unmap_of(s);
	header = s->message.header;
	fs_check(s, dma(s, s->twin, VFUC_CMD_DMA_READ, BASE, 8, NULL, 0) == 0);
	s->message.header = header;
	fs_reply(s, &unmap, sizeof(unmap));
	fs_expect(s, VFUC_CMD_RESET);
	header = s->message.header;
	fs_check(s, dma(s, s->twin, VFUC_CMD_DMA_READ, BASE, 8, NULL, 0) == EFAULT);
	s->message.header = header;
	fs_reply(s, NULL, 0);
	/* A window that the server refuses is none. */
	map_of(s, 0);
	fs_reply_error(s, EINVAL);
	fs_expect(s, VFUC_CMD_RESET);
	header = s->message.header;
	fs_check(s, dma(s, s->twin, VFUC_CMD_DMA_READ, BASE, 8, NULL, 0) == EFAULT);
	s->message.header = header;
	fs_reply(s, NULL, 0);
	fs_expect_close(s);
}

static void test_window_life(void **state)
{
	struct memory *memory = calloc(1, sizeof(*memory));
	struct vfuc_config config = { .ops = &memory_ops, .opaque = memory };
	struct fake_server s;
	struct vfuc *c;

	(void)state;
	fs_start(&s, script_window_life, NULL);
	c = fs_open(&s, &config);
	assert_int_equal(vfuc_dma_map(c, BASE, 0x1000, RW, -1, 0, NULL), 0);
	assert_int_equal(vfuc_dma_unmap(c, BASE, 0x1000, NULL), 0);
	assert_int_equal(vfuc_reset(c, NULL), 0);
	assert_int_equal(vfuc_dma_map(c, BASE, 0x1000, RW, -1, 0, NULL), -EINVAL);
	assert_int_equal(vfuc_reset(c, NULL), 0);
	vfuc_close(c);
	fs_finish(&s);
	free(memory);
}

/* ---- nobody to do it, somebody who cannot, no reply wanted ---- */

static void script_refused(struct fake_server *s)
{
	struct vfuc_header header;

	fs_version(s, NULL);
	map_of(s, 0);
	fs_reply(s, NULL, 0);
	fs_expect(s, VFUC_CMD_RESET);
	header = s->message.header;
	fs_check(s, dma(s, s->fd, VFUC_CMD_DMA_READ, BASE, 8, NULL, 0) ==
		 *(uint32_t *)s->arg);
	fs_check(s, dma(s, s->fd, VFUC_CMD_DMA_WRITE, BASE, 8, "12345678", 8) ==
		 *(uint32_t *)s->arg);
	s->message.header = header;
	fs_reply(s, NULL, 0);
	fs_expect_close(s);
}

static void test_refused(void **state)
{
	struct memory *memory = calloc(1, sizeof(*memory));
	struct vfuc_config config = { .ops = &memory_ops, .opaque = memory };
	uint32_t want[2] = { ENXIO, EOPNOTSUPP };
	int i;

	(void)state;
	memory->refuse = -ENXIO;
	for (i = 0; i < 2; i++) {
		struct fake_server s;
		struct vfuc *c;

		fs_start(&s, script_refused, &want[i]);
		c = fs_open(&s, &config);
		assert_int_equal(vfuc_dma_map(c, BASE, 0x1000, RW, -1, 0, NULL), 0);
		assert_int_equal(vfuc_reset(c, NULL), 0);
		assert_int_equal(vfuc_stats(c)->dma_refused, 2);
		vfuc_close(c);
		fs_finish(&s);
		config.ops = NULL;
	}
	free(memory);
}

static void script_no_reply(struct fake_server *s)
{
	struct {
		struct vfuc_wire_dma wire;
		uint8_t data[8];
	} write = { { BASE + 8, 8 }, "ABCDEFG" };
	struct vfuc_wire_dma bad = { 0, 8 };
	struct vfuc_header header;

	fs_version(s, NULL);
	map_of(s, 0);
	fs_reply(s, NULL, 0);
	fs_expect(s, VFUC_CMD_RESET);
	header = s->message.header;
	fs_command(s, s->fd, 1, VFUC_CMD_DMA_WRITE, VFUC_FLAG_NO_REPLY, &write, sizeof(write));
	fs_command(s, s->fd, 2, VFUC_CMD_DMA_READ, VFUC_FLAG_NO_REPLY, &bad, sizeof(bad));
	fs_command(s, s->fd, 3, 77, VFUC_FLAG_NO_REPLY, NULL, 0);
	/* The next message is the reply to this one. */
	fs_check(s, dma(s, s->fd, VFUC_CMD_DMA_READ, BASE + 8, 8, NULL, 0) == 0);
	fs_check(s, !memcmp(s->message.payload + 16, "ABCDEFG", 8));
	s->message.header = header;
	fs_reply(s, NULL, 0);
	fs_expect_close(s);
}

static void test_no_reply(void **state)
{
	struct memory *memory = calloc(1, sizeof(*memory));
	struct vfuc_config config = { .ops = &memory_ops, .opaque = memory };
	struct fake_server s;
	struct vfuc *c;

	(void)state;
	fs_start(&s, script_no_reply, NULL);
	c = fs_open(&s, &config);
	assert_int_equal(vfuc_dma_map(c, BASE, 0x1000, RW, -1, 0, NULL), 0);
	assert_int_equal(vfuc_reset(c, NULL), 0);
	vfuc_close(c);
	fs_finish(&s);
	free(memory);
}

/* ---- asks without end, and takes no answer ---- */

static void script_greedy(struct fake_server *s)
{
	struct vfuc_wire_dma wire = { BASE, 0x1000 };
	struct vfuc_header header = {
		.command = VFUC_CMD_DMA_READ,
		.size = sizeof(header) + sizeof(wire),
	};
	uint8_t bytes[sizeof(header) + sizeof(wire)];
	unsigned int i;

	fs_version(s, NULL);
	map_of(s, 0);
	fs_reply(s, NULL, 0);
	memcpy(bytes, &header, sizeof(header));
	memcpy(bytes + sizeof(header), &wire, sizeof(wire));
	/* Blocks when the client stops listening, ends when it closes. */
	for (i = 0; i < 1000000; i++) {
		if (send(s->fd, bytes, sizeof(bytes), MSG_NOSIGNAL) < 0)
			return;
	}
	fs_fail(s, "the client took %u requests", i);
}

static void test_greedy(void **state)
{
	struct memory *memory = calloc(1, sizeof(*memory));
	struct vfuc_config config = {
		.ops = &memory_ops,
		.opaque = memory,
		.max_queue_bytes = 1 << 20,
	};
	struct vfuc_error error = { 0 };
	struct fake_server s;
	struct vfuc *c;

	(void)state;
	fs_start(&s, script_greedy, NULL);
	c = fs_open(&s, &config);
	assert_int_equal(vfuc_dma_map(c, BASE, 0x1000, RW, -1, 0, NULL), 0);
	fs_set_timeout(c, 300);
	assert_int_equal(vfuc_reset(c, &error), -ETIMEDOUT);
	assert_int_equal(error.kind, VFUC_TIMEOUT);
	assert_int_equal(vfuc_dead(c), -ETIMEDOUT);
	/* What was answered lies in our queue or in the socket; both have bounds. */
	assert_true(vfuc_stats(c)->dma_bytes < 8 << 20);
	vfuc_close(c);
	fs_finish(&s);
	free(memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_map),
		cmocka_unit_test(test_no_fds),
		cmocka_unit_test(test_main_socket),
		cmocka_unit_test(test_twin_socket),
		cmocka_unit_test(test_window_life),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_no_reply),
		cmocka_unit_test(test_greedy),
	};

	return cmocka_run_group_tests_name("engine_dma", tests, NULL, NULL);
}
