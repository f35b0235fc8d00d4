// SPDX-License-Identifier: GPL-2.0-only
/*
 * helper/: what people type, and the memory pool.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../helper/array.h"
#include "../../helper/cmd.h"
#include "../../helper/log.h"
#include "../../helper/parse.h"
#include "../../helper/pool.h"
#include "../../helper/ram.h"
#include "../../helper/status.h"
#include "../../helper/sysfs.h"

static void test_size(void **state)
{
	static const struct {
		const char *text;
		int err;
		uint64_t bytes;
	} cases[] = {
		{ "0", 0, 0 },
		{ "4096", 0, 4096 },
		{ "0x1000", 0, 4096 },
		{ "64M", 0, 64ull << 20 },
		{ "64m", 0, 64ull << 20 },
		{ "64MiB", 0, 64ull << 20 },
		{ "1G", 0, 1ull << 30 },
		{ "2TB", 0, 2ull << 40 },
		{ "16777215T", 0, 16777215ull << 40 },
		{ "16777216T", -ERANGE, 0 },
		{ "18446744073709551616", -ERANGE, 0 },
		{ "", -EINVAL, 0 },
		{ "-1", -EINVAL, 0 },
		{ "+1", -EINVAL, 0 },
		{ " 1", -EINVAL, 0 },
		{ "M", -EINVAL, 0 },
		{ "64X", -EINVAL, 0 },
		{ "64Mx", -EINVAL, 0 },
		{ "1.5G", -EINVAL, 0 },
	};
	uint64_t bytes;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(parse_size(cases[i].text, &bytes), cases[i].err);
		if (!cases[i].err)
			assert_int_equal(bytes, cases[i].bytes);
	}
}

static void test_duration(void **state)
{
	static const struct {
		const char *text;
		int err;
		uint64_t us;
	} cases[] = {
		{ "5", 0, 5000000 },
		{ "5s", 0, 5000000 },
		{ "100ms", 0, 100000 },
		{ "7us", 0, 7 },
		{ "2m", 0, 120000000 },
		{ "0", 0, 0 },
		{ "5h", -EINVAL, 0 },
		{ "s", -EINVAL, 0 },
		{ "-5s", -EINVAL, 0 },
		{ "5 s", -EINVAL, 0 },
		{ "999999999999999999m", -ERANGE, 0 },
	};
	uint64_t us;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(parse_duration(cases[i].text, 1000000, &us), cases[i].err);
		if (!cases[i].err)
			assert_int_equal(us, cases[i].us);
	}
}

static void test_bdf(void **state)
{
	static const char *const bad[] = {
		"", "vfu0", "00", "00.0", "0:0", "00:00.8", "00:20.0", "100:00.0", "0:100:00.0",
		"123456789:00:00.0", "00:00.00", "00:00.0x", "a:b:c:d.0", ":00.0", "00::0.0",
	};
	char text[BDF_TEXT];
	struct bdf bdf;
	size_t i;

	(void)state;
	assert_int_equal(parse_bdf("10000:0a:1f.7", &bdf), 0);
	assert_int_equal(bdf.domain, 0x10000);
	assert_int_equal(bdf.bus, 0x0a);
	assert_int_equal(bdf.devfn, 0x1f << 3 | 7);
	format_bdf(text, &bdf);
	assert_string_equal(text, "10000:0a:1f.7");
	assert_int_equal(parse_bdf("3:2.1", &bdf), 0);
	format_bdf(text, &bdf);
	assert_string_equal(text, "0000:03:02.1");
	bdf = (struct bdf) { UINT32_MAX, 0xff, 0xff };
	format_bdf(text, &bdf);
	assert_string_equal(text, "ffffffff:ff:1f.7");
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(parse_bdf(bad[i], &bdf), -EINVAL);
}

static void test_name(void **state)
{
	(void)state;
	assert_true(parse_name_valid("vfu0", 32));
	assert_true(parse_name_valid("disk-1.a_b", 32));
	assert_true(parse_name_valid("abcdefghijklmnopqrstuvwxyz01234", 32));
	assert_false(parse_name_valid("abcdefghijklmnopqrstuvwxyz012345", 32));
	assert_false(parse_name_valid("", 32));
	assert_false(parse_name_valid("-f", 32));
	assert_false(parse_name_valid(".", 32));
	assert_false(parse_name_valid("a/b", 32));
	assert_false(parse_name_valid("a b", 32));
	assert_false(parse_name_valid("a\n", 32));
	assert_false(parse_name_valid("10000:00:00.0", 32));
}

static void test_format_size(void **state)
{
	char text[24];

	(void)state;
	format_size(text, sizeof(text), 0);
	assert_string_equal(text, "0");
	format_size(text, sizeof(text), 1023);
	assert_string_equal(text, "1023");
	format_size(text, sizeof(text), 16384);
	assert_string_equal(text, "16K");
	format_size(text, sizeof(text), 1ull << 63);
	assert_string_equal(text, "8E");
}

static void test_clean(void **state)
{
	char text[] = "a\033[31mb\nc\177\303\244";

	(void)state;
	log_clean(text);
	assert_string_equal(text, "a?[31mb?c?\303\244");
}

static int parse(struct attach_options *opt, const char *const *args)
{
	char *argv[16] = { (char *)"attach" };
	int argc = 1;

	for (; *args; args++)
		argv[argc++] = (char *)*args;
	optind = 0;
	opterr = 0;
	return attach_parse(argc, argv, opt);
}

#define PARSE(opt, ...)	parse(opt, (const char *const[]) { __VA_ARGS__, NULL })

static void test_attach_options(void **state)
{
	struct attach_options opt;

	(void)state;
	assert_int_equal(PARSE(&opt, "/run/x.sock"), ST_OK);
	assert_string_equal(opt.address, "/run/x.sock");
	assert_null(opt.name);
	assert_int_equal(opt.pool_size, 64 << 20);
	assert_int_equal(opt.timeout_ms, 5000);
	assert_int_equal(opt.wait_us, 10000000);
	assert_int_equal(opt.poll_us, -1);
	assert_int_equal(CPU_COUNT(&opt.cpus), 0);
	assert_true(opt.sandbox);
	assert_true(opt.direct);
	assert_true(opt.interrupts);
	assert_false(opt.passthrough);
	assert_null(opt.slot);
	assert_false(opt.foreground);
	assert_false(opt.force);

	assert_int_equal(PARSE(&opt, "-F", "--name=a", "--pool-size", "3M", "s", "--timeout=100ms",
			       "--wait=0", "--poll-us=7", "--cpus=1-2,7", "--no-sandbox", "--no-direct",
			       "--force", "--json", "--no-interrupts"), ST_OK);
	assert_string_equal(opt.address, "s");
	assert_string_equal(opt.name, "a");
	/* Rounded up to what a pool can have. */
	assert_int_equal(opt.pool_size, 4 << 20);
	assert_int_equal(opt.timeout_ms, 100);
	assert_int_equal(opt.wait_us, 0);
	assert_int_equal(opt.poll_us, 7);
	assert_int_equal(CPU_COUNT(&opt.cpus), 3);
	assert_true(CPU_ISSET(1, &opt.cpus) && CPU_ISSET(2, &opt.cpus) && CPU_ISSET(7, &opt.cpus));
	assert_false(opt.sandbox);
	assert_false(opt.direct);
	assert_false(opt.interrupts);
	assert_true(opt.foreground);
	assert_true(opt.force);
	assert_true(opt.json);

	assert_int_equal(PARSE(&opt, "--dma=passthrough", "--slot=s", "--function=7", "a"), ST_OK);
	assert_true(opt.passthrough);
	assert_string_equal(opt.slot, "s");
	assert_int_equal(opt.function, 7);
	assert_int_equal(PARSE(&opt, "--dma=bounce", "--slot=s", "a"), ST_OK);
	assert_false(opt.passthrough);
	assert_int_equal(opt.function, 0);

	assert_int_equal(PARSE(&opt, "--help"), ST_OK);
	assert_true(opt.help);
}

static void test_attach_bad_options(void **state)
{
	struct attach_options opt;

	(void)state;
	assert_int_equal(PARSE(&opt, "-F"), ST_USAGE);
	assert_int_equal(PARSE(&opt, "a", "b"), ST_USAGE);
	assert_int_equal(PARSE(&opt, "a", "--nonsense"), ST_USAGE);
	assert_int_equal(PARSE(&opt, "a", "-x"), ST_USAGE);
	assert_int_equal(PARSE(&opt, "a", "--name"), ST_USAGE);
	assert_int_equal(PARSE(&opt, "a", "--json=1"), ST_USAGE);
	assert_int_equal(PARSE(&opt, "a", "--name=a/b"), ST_USAGE);
	assert_int_equal(PARSE(&opt, "a", "--pool-size=0"), ST_USAGE);
	assert_int_equal(PARSE(&opt, "a", "--pool-size=4G"), ST_USAGE);
	assert_int_equal(PARSE(&opt, "a", "--pool-size=much"), ST_USAGE);
	assert_int_equal(PARSE(&opt, "a", "--timeout=99ms"), ST_USAGE);
	assert_int_equal(PARSE(&opt, "a", "--timeout=601s"), ST_USAGE);
	assert_int_equal(PARSE(&opt, "a", "--poll-us=1000001"), ST_USAGE);
	assert_int_equal(PARSE(&opt, "a", "--cpus="), ST_USAGE);
	assert_int_equal(PARSE(&opt, "a", "--cpus=1,"), ST_USAGE);
	assert_int_equal(PARSE(&opt, "a", "--cpus=3-1"), ST_USAGE);
	assert_int_equal(PARSE(&opt, "a", "--cpus=-1"), ST_USAGE);
	assert_int_equal(PARSE(&opt, "a", "--cpus=1024"), ST_USAGE);
	assert_int_equal(PARSE(&opt, "a", "--cpus=99999999999999999999"), ST_USAGE);
	assert_int_equal(PARSE(&opt, "a", "--dma=all"), ST_USAGE);
	assert_int_equal(PARSE(&opt, "a", "--slot=a/b"), ST_USAGE);
	assert_int_equal(PARSE(&opt, "a", "--slot=s", "--function=8"), ST_USAGE);
	assert_int_equal(PARSE(&opt, "a", "--function=1"), ST_USAGE);
	assert_int_equal(PARSE(&opt, "fd:0"), ST_USAGE);
	assert_int_equal(PARSE(&opt, "fd:3"), ST_OK);
}

static void test_pool(void **state)
{
	struct pool pool;

	(void)state;
	assert_int_equal(pool_create(&pool, 4096), -EINVAL);
	assert_int_equal(pool_create(&pool, 0), -EINVAL);
	assert_int_equal(pool_create(&pool, POOL_MAX + POOL_ALIGN), -EINVAL);
	assert_int_equal(pool_create(&pool, 2 * POOL_ALIGN), 0);
	assert_int_equal((uintptr_t)pool.addr % POOL_ALIGN, 0);
	assert_int_equal(pool.iova % POOL_ALIGN, 0);
	assert_true(pool.iova);
	/* Nobody can take the memory away again. */
	assert_int_equal(ftruncate(pool.fd, POOL_ALIGN), -1);
	assert_int_equal(errno, EPERM);
	assert_int_equal(ftruncate(pool.fd, 4 * POOL_ALIGN), -1);
	assert_int_equal(fcntl(pool.fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
	memset(pool.addr, 0x5a, pool.size);

	assert_ptr_equal(pool_at(&pool, pool.iova, 1), pool.addr);
	assert_ptr_equal(pool_at(&pool, pool.iova, pool.size), pool.addr);
	assert_ptr_equal(pool_at(&pool, pool.iova + pool.size, 0), (char *)pool.addr + pool.size);
	assert_null(pool_at(&pool, pool.iova, pool.size + 1));
	assert_null(pool_at(&pool, pool.iova - 1, 1));
	assert_null(pool_at(&pool, pool.iova + pool.size, 1));
	assert_null(pool_at(&pool, pool.iova + 1, SIZE_MAX));
	assert_null(pool_at(&pool, UINT64_MAX, 1));
	pool_destroy(&pool);
}

/* Refused, rather than the machine brought down. */
static void test_pool_too_large(void **state)
{
	char root[] = "/tmp/vfiouser-pool.XXXXXX", path[64];
	struct pool pool;
	FILE *f;
	int err;

	(void)state;
	assert_non_null(mkdtemp(root));
	snprintf(path, sizeof(path), "%s/proc", root);
	assert_int_equal(mkdir(path, 0755), 0);
	snprintf(path, sizeof(path), "%s/proc/meminfo", root);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs("MemTotal:  99999999 kB\nMemFree: 99999999 kB\nMemAvailable:   4097 kB\n", f);
	fclose(f);
	sysfs_root = root;
	err = pool_create(&pool, 3 * POOL_ALIGN);
	assert_int_equal(pool_create(&pool, 2 * POOL_ALIGN), 0);
	pool_destroy(&pool);
	sysfs_root = "";
	unlink(path);
	snprintf(path, sizeof(path), "%s/proc", root);
	rmdir(path);
	rmdir(root);
	assert_int_equal(err, -ENOMEM);
}

/* Memory as a PC has it: little below 1 MiB, some below 4 GiB, the rest above. */
static void test_ram_windows(void **state)
{
	struct vfiouser_ram_range ranges[] = {
		{ 0x1000, 0x9e000 },
		{ 0x100000, 0xbfee0000 },
		{ 0x100000000, 0x40000000 },
	}, w[9];
	struct ram ram = { .ranges = ranges, .count = 3 };
	uint64_t sum;
	unsigned int n, i;

	(void)state;
	assert_int_equal(ram_windows(&ram, 2, w), 0);
	for (i = 3, n = 0; i < 12; i++) {
		unsigned int j, got = ram_windows(&ram, i, w);

		assert_true(got >= 3 && got >= n && got <= i);
		n = got;
		for (j = 0, sum = 0; j < n; j++)
			sum += w[j].size;
		assert_int_equal(sum, 0x9e000 + 0xbfee0000 + 0x40000000);
	}
	/* One range is aligned, one has an end on both sides, one is too small. */
	assert_int_equal(n, 5);
	for (i = 0; i < n; i++)
		if (w[i].size >= RAM_ALIGN)
			assert_int_equal((w[i].start | w[i].size) % RAM_ALIGN, 0);
}

static void test_ram_copy(void **state)
{
	struct vfiouser_ram_range ranges[] = { { 0x1000, 16 }, { 0x2000, 8 } };
	char low[16] = "0123456789abcdef", high[8] = "ABCDEFGH", buf[17] = "";
	char *at[] = { low, high };
	struct ram ram = { .ranges = ranges, .count = 2, .at = at };

	(void)state;
	assert_int_equal(ram_copy(&ram, 0x1004, buf, 4, false), 0);
	assert_string_equal(buf, "4567");
	assert_int_equal(ram_copy(&ram, 0x2000, "xy", 2, true), 0);
	assert_memory_equal(high, "xyCD", 4);
	assert_int_equal(ram_copy(&ram, 0x1000, buf, 16, false), 0);
	assert_int_equal(ram_copy(&ram, 0x1000, buf, 17, false), -EFAULT);
	assert_int_equal(ram_copy(&ram, 0xfff, buf, 2, false), -EFAULT);
	assert_int_equal(ram_copy(&ram, 0x1010, buf, 1, false), -EFAULT);
	assert_int_equal(ram_copy(&ram, 0x2008, buf, 1, false), -EFAULT);
	assert_int_equal(ram_copy(&ram, 0x2001, buf, SIZE_MAX, false), -EFAULT);
	assert_int_equal(ram_copy(&ram, UINT64_MAX, buf, 1, false), -EFAULT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ram_windows),
		cmocka_unit_test(test_ram_copy),
		cmocka_unit_test(test_size),
		cmocka_unit_test(test_duration),
		cmocka_unit_test(test_bdf),
		cmocka_unit_test(test_name),
		cmocka_unit_test(test_format_size),
		cmocka_unit_test(test_clean),
		cmocka_unit_test(test_attach_options),
		cmocka_unit_test(test_attach_bad_options),
		cmocka_unit_test(test_pool),
		cmocka_unit_test(test_pool_too_large),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
