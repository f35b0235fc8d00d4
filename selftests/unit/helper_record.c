// SPDX-License-Identifier: GPL-2.0-only
/*
 * Recordings (pcapng.c) as they were written and as somebody broke them, and rules of fault
 * injection (inject.c).
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../helper/engine/client.h"
#include "../../helper/engine/protocol.h"
#include "../../helper/inject.h"
#include "../../helper/pcapng.h"

#define MESSAGES	20

static char path[] = "/tmp/helper_record.XXXXXX";

/* A file of messages of all lengths modulo 4, in one to three pieces. */
static void write_file(void)
{
	uint8_t data[256];
	struct iovec iov[3];
	unsigned int i, j;
	int fd;

	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(pcapng_begin(fd, "/run/some.sock"), 0);
	for (j = 0; j < sizeof(data); j++)
		data[j] = j;
	for (i = 0; i < MESSAGES; i++) {
		struct pcapng_packet packet = {
			.ns = 0x123456789abcdefull + i,
			.server = i & 1,
			.twin = i % 3 == 2,
			.nr_fds = i * 20,
		};

		iov[0] = (struct iovec) { data, 16 };
		iov[1] = (struct iovec) { data + 16, i };
		iov[2] = (struct iovec) { data + 16 + i, i % 2 };
		assert_int_equal(pcapng_write(fd, &packet, iov, 1 + i % 3), 0);
	}
	close(fd);
}

static void roundtrip(void **state)
{
	struct pcapng_packet *packets;
	size_t count, i, j;

	(void)state;
	write_file();
	assert_int_equal(pcapng_read(path, &packets, &count), 0);
	assert_int_equal(count, MESSAGES);
	for (i = 0; i < count; i++) {
		size_t len = 16 + (i % 3 > 0 ? i : 0) + (i % 3 > 1 ? i % 2 : 0);

		assert_int_equal(packets[i].ns, 0x123456789abcdefull + i);
		assert_int_equal(packets[i].server, i & 1);
		assert_int_equal(packets[i].twin, i % 3 == 2);
		assert_int_equal(packets[i].nr_fds, i * 20 > 255 ? 255 : i * 20);
		assert_int_equal(packets[i].len, len);
		for (j = 0; j < len; j++)
			assert_int_equal(packets[i].data[j], j);
	}
	pcapng_free(packets, count);
}

static void cut(void **state)
{
	struct pcapng_packet *packets;
	struct stat st;
	size_t count;
	off_t len;
	int err;

	(void)state;
	write_file();
	assert_int_equal(stat(path, &st), 0);
	for (len = st.st_size - 1; len >= 0; len--) {
		assert_int_equal(truncate(path, len), 0);
		err = pcapng_read(path, &packets, &count);
		if (len >= 12)
			assert_int_equal(err, 0);
		else
			assert_int_equal(err, -EPROTO);
		assert_true(count < MESSAGES);
		pcapng_free(packets, count);
	}
}

/* Nothing that is in a file makes us read beyond it; the sanitizers look. */
static void broken(void **state)
{
	static const uint32_t values[] = { 0, 1, 3, 4, 12, 28, 31, 32, 35, 36, 0x7fffffff,
					   0x80000000, 0xfffffffc, 0xffffffff };
	struct pcapng_packet *packets;
	unsigned int i;
	struct stat st;
	size_t count;
	off_t at;
	int fd;

	(void)state;
	write_file();
	assert_int_equal(stat(path, &st), 0);
	for (at = 0; at < 400; at += 4) {
		for (i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
			write_file();
			fd = open(path, O_WRONLY);
			assert_int_equal(pwrite(fd, &values[i], 4, at), 4);
			close(fd);
			if (!pcapng_read(path, &packets, &count))
				assert_true(count <= MESSAGES);
			pcapng_free(packets, count);
		}
	}
	assert_int_equal(pcapng_read("/tmp", &packets, &count), -EPROTO);
	assert_int_equal(pcapng_read("/nonexistent", &packets, &count), -ENOENT);
}

static void parse(const char *text, int want, struct inject *inject)
{
	const char *wrong;
	size_t len;

	memset(inject, 0, sizeof(*inject));
	if (inject_parse(inject, text, &wrong, &len) != want)
		fail_msg("\"%s\" is not judged as %d", text, want);
}

static void rules(void **state)
{
	struct inject inject;
	char many[400] = "drop";
	int i;

	(void)state;
	parse("delay:20", 0, &inject);
	assert_int_equal(inject.count, 1);
	assert_int_equal(inject.rules[0].action, INJECT_DELAY);
	assert_int_equal(inject.rules[0].value, 20);
	assert_int_equal(inject.rules[0].millionths, 1000000);
	assert_int_equal(inject.rules[0].region, -1);
	parse("error:EIO:0.25@read/BAR3,drop:1%@config", 0, &inject);
	assert_int_equal(inject.count, 2);
	assert_int_equal(inject.rules[0].value, EIO);
	assert_int_equal(inject.rules[0].millionths, 250000);
	assert_int_equal(inject.rules[0].region, VFIO_PCI_BAR3_REGION_INDEX);
	assert_int_equal(inject.rules[0].commands, 1 << VFUC_CMD_REGION_READ);
	assert_int_equal(inject.rules[1].action, INJECT_DROP);
	assert_int_equal(inject.rules[1].millionths, 10000);
	assert_int_equal(inject.rules[1].region, VFIO_PCI_CONFIG_REGION_INDEX);
	parse("", -EINVAL, &inject);
	parse(",", -EINVAL, &inject);
	parse("drop:1.01", -EINVAL, &inject);
	parse("drop:inf", -EINVAL, &inject);
	parse("drop@irq/bar0", -EINVAL, &inject);
	parse("drop@all/bar0", -EINVAL, &inject);
	parse("error:4096", -EINVAL, &inject);
	parse("delay:600001", -EINVAL, &inject);
	for (i = 1; i < INJECT_RULES; i++)
		strcat(many, ",drop");
	parse(many, 0, &inject);
	strcat(many, ",drop");
	parse(many, -E2BIG, &inject);
}

/* How often of a million. */
static unsigned int hits(struct inject *inject, unsigned int command, uint32_t region)
{
	unsigned int i, n = 0;

	for (i = 0; i < 1000000; i++) {
		struct vfuc_fault fault = { 0 };

		inject_decide(inject, command, region, &fault);
		n += fault.drop || fault.error || fault.delay_ms;
	}
	return n;
}

static void decide(void **state)
{
	struct inject inject, again;
	unsigned int n;

	(void)state;
	parse("error:EIO:0.25@read/bar0", 0, &inject);
	again = inject;
	n = hits(&inject, VFUC_CMD_REGION_READ, 0);
	assert_in_range(n, 245000, 255000);
	assert_int_equal(hits(&again, VFUC_CMD_REGION_READ, 0), n);
	assert_int_equal(hits(&inject, VFUC_CMD_REGION_READ, 1), 0);
	assert_int_equal(hits(&inject, VFUC_CMD_REGION_WRITE, 0), 0);
	assert_int_equal(hits(&inject, VFUC_CMD_RESET, VFUC_NO_REGION), 0);
	parse("drop:0", 0, &inject);
	assert_int_equal(hits(&inject, VFUC_CMD_REGION_READ, 0), 0);
	parse("drop@all", 0, &inject);
	assert_int_equal(hits(&inject, VFUC_CMD_VERSION, VFUC_NO_REGION), 1000000);
	parse("delay:5,delay:7", 0, &inject);
	{
		struct vfuc_fault fault = { 0 };

		inject_decide(&inject, VFUC_CMD_REGION_WRITE, 2, &fault);
		assert_int_equal(fault.delay_ms, 12);
	}
}

static int teardown(void **state)
{
	(void)state;
	unlink(path);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(roundtrip),
		cmocka_unit_test(cut),
		cmocka_unit_test(broken),
		cmocka_unit_test(rules),
		cmocka_unit_test(decide),
	};
	int fd = mkstemp(path);

	if (fd < 0)
		return 1;
	close(fd);
	return cmocka_run_group_tests(tests, NULL, teardown);
}
