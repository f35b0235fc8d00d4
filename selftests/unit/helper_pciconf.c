// SPDX-License-Identifier: GPL-2.0-only
/*
 * helper/pciconf.c: made-up config spaces, sound ones and broken ones.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <json-c/json.h>

#include "../../helper/pciconf.h"
#include "../../helper/virtio.h"

static uint8_t cfg[4096];
static char *text;

static void put16(unsigned int at, unsigned int value)
{
	cfg[at] = value;
	cfg[at + 1] = value >> 8;
}

static void put32(unsigned int at, uint32_t value)
{
	put16(at, value);
	put16(at + 2, value >> 16);
}

/* An NVMe controller with one capability of each kind. */
static int setup(void **state)
{
	(void)state;
	memset(cfg, 0, sizeof(cfg));
	put16(0x00, 0x1b36);
	put16(0x02, 0x0010);
	put16(0x04, 0x0406);
	put16(0x06, 0x0010);
	put32(0x08, 0x01080202);
	put32(0x10, 0x00000004);
	put32(0x14, 0x00000001);
	put32(0x18, 0x0000c001);
	put16(0x2c, 0x1af4);
	put16(0x2e, 0x1100);
	cfg[0x34] = 0x40;
	cfg[0x3d] = 1;
	put32(0x40, 0x0003u << 16 | 0x50 << 8 | 0x01);		/* PM v3 */
	put16(0x44, 0x0008);
	put32(0x50, 0x0088u << 16 | 0x60 << 8 | 0x05);		/* MSI, 16 vectors, 64 bits */
	put32(0x60, 0x803fu << 16 | 0x70 << 8 | 0x11);		/* MSI-X, 64, enabled */
	put32(0x64, 0x00002000);
	put32(0x68, 0x00003004);
	put32(0x70, 0x0002u << 16 | 0x90 << 8 | 0x10);		/* Express endpoint, FLR */
	put32(0x74, 1u << 28 | 1);
	put16(0x78, 2 << 12);
	put32(0x90, 0x0306u << 16 | 0xa0 << 8 | 0x13);		/* AF */
	put32(0xa0, 0xaa05u << 16 | 0x00 << 8 | 0x09);		/* vendor, 5 bytes */
	cfg[0xa4] = 0xbb;
	put32(0x100, 0x150u << 20 | 1 << 16 | 0x0003);		/* DSN */
	put32(0x104, 0x89abcdef);
	put32(0x108, 0x01234567);
	put32(0x150, 0x000u << 20 | 2 << 16 | 0x000b);		/* VSEC */
	put32(0x154, 0x010u << 20 | 3 << 16 | 0x1234);
	return 0;
}

/* A virtio device instead: its common configuration and its doorbells. */
static void make_virtio(void)
{
	put16(0x00, 0x1af4);
	put16(0x02, 0x1042);
	cfg[0x34] = 0xa0;
	put32(0xa0, 0x0110u << 16 | 0xb0 << 8 | 0x09);
	put32(0xa4, 4);
	put32(0xa8, 0x1000);
	put32(0xac, 0x38);
	put32(0xb0, 0x0214u << 16 | 0x00 << 8 | 0x09);
	put32(0xb4, 4);
	put32(0xb8, 0x3000);
	put32(0xbc, 0x1000);
	put32(0xc0, 4);
}

static int teardown(void **state)
{
	(void)state;
	free(text);
	text = NULL;
	return 0;
}

static void print(size_t len)
{
	static const uint64_t sizes[PCICONF_BARS] = { 16384, 0, 32, 0, 0, 0, 65536 };
	size_t n;
	FILE *f;

	free(text);
	f = open_memstream(&text, &n);
	assert_non_null(f);
	pciconf_print(f, cfg, len, sizes);
	fclose(f);
}

#define HAS(s)		assert_non_null(strstr(text, s))
#define HAS_NOT(s)	assert_null(strstr(text, s))

static void test_text(void **state)
{
	(void)state;
	print(4096);
	HAS("Non-Volatile memory controller [0108]: 1b36:0010 (rev 02) (prog-if 02)\n");
	HAS("Subsystem: 1af4:1100\n");
	HAS("Control: I/O- Mem+ BusMaster+ ParErr- SERR- DisINTx+\n");
	HAS("Status: Cap+ ");
	HAS("Interrupt: pin A\n");
	HAS("BAR 0: Memory at 100000000 (64-bit, non-prefetchable) [size=16K]\n");
	HAS("BAR 2: I/O ports at c000 [size=32]\n");
	HAS("Expansion ROM [size=64K]\n");
	HAS("[40] Power Management: version 3, state D0, D1- D2- NoSoftRst+\n");
	HAS("[50] MSI: Enable- Count=1/16 Maskable- 64bit+\n");
	HAS("[60] MSI-X: Enable+ Count=64 Masked-, vector table: BAR=0 offset=00002000, PBA: BAR=4 offset=00003000\n");
	HAS("[70] Express: version 2, Endpoint, FLReset+, MaxPayload 256, MaxReadReq 512");
	HAS("[90] Advanced Features: FLR+ TP+\n");
	HAS("[a0] Vendor Specific: Len=05: aa bb\n");
	HAS("[100 v1] Device Serial Number: 0123456789abcdef\n");
	HAS("[150 v2] Vendor Specific Information: ID=1234 Rev=3 Len=010\n");
	HAS_NOT("broken");
}

static void test_short(void **state)
{
	(void)state;
	print(256);
	HAS("[a0] Vendor Specific");
	HAS_NOT("[100");
	HAS_NOT("broken");
}

static void test_no_list(void **state)
{
	(void)state;
	put16(0x06, 0);
	print(256);
	HAS_NOT("Capabilities");
}

static void test_loop(void **state)
{
	(void)state;
	cfg[0xa1] = 0x40;
	put32(0x150, 0x100u << 20 | 2 << 16 | 0x000b);
	print(4096);
	HAS("the list is broken");
	/* Each once nevertheless. */
	assert_null(strstr(strstr(text, "[40]") + 1, "[40]"));
	assert_null(strstr(strstr(text, "[100 v1]") + 1, "[100 v1]"));
}

static void test_out_of_bounds(void **state)
{
	(void)state;
	cfg[0xa1] = 0x10;
	print(256);
	HAS("the list is broken");
	cfg[0xa1] = 0;
	put32(0x150, 0x0fcu << 20 | 2 << 16 | 0x000b);
	print(4096);
	HAS("the list is broken");
	/* At the very end: what is behind it reads as all-ones. */
	cfg[0xa1] = 0xfc;
	put32(0xfc, 0x05);
	put32(0x150, 0xffcu << 20 | 2 << 16 | 0x000b);
	put32(0xffc, 0x0003);
	print(4096);
	HAS("[fc] MSI");
	HAS("[ffc v0] Device Serial Number: ffffffffffffffff");
	print(256);
	HAS("[fc] MSI");
}

/* Whatever the bytes are: no crash, an end, and JSON that parses. */
static void test_random(void **state)
{
	static const size_t lens[] = { 0, 4, 64, 256, 4092, 4096 };
	struct json_object *o, *again;
	unsigned int seed = 1, i, j;

	(void)state;
	for (i = 0; i < 600; i++) {
		for (j = 0; j < sizeof(cfg); j++) {
			seed = seed * 1103515245 + 12345;
			cfg[j] = i % 3 ? seed >> 16 : (i & 4 ? 0xff : (seed >> 16) & 0x44);
		}
		print(lens[i % 6]);
		o = pciconf_json(cfg, lens[i % 6]);
		again = json_tokener_parse(json_object_to_json_string(o));
		assert_non_null(again);
		json_object_put(again);
		json_object_put(o);
	}
}

static const char *string_of(struct json_object *o, const char *name)
{
	return json_object_get_string(json_object_object_get(o, name));
}

static void test_json(void **state)
{
	struct json_object *o = pciconf_json(cfg, 4096), *caps, *cap;

	(void)state;
	assert_string_equal(string_of(o, "vendor"), "1b36");
	assert_string_equal(string_of(o, "device"), "0010");
	assert_string_equal(string_of(o, "class"), "010802");
	assert_string_equal(string_of(o, "class_name"), "Non-Volatile memory controller");
	assert_false(json_object_get_boolean(json_object_object_get(o, "capabilities_broken")));
	caps = json_object_object_get(o, "capabilities");
	assert_int_equal(json_object_array_length(caps), 6);
	cap = json_object_array_get_idx(caps, 2);
	assert_string_equal(string_of(cap, "name"), "MSI-X");
	assert_int_equal(json_object_get_int(json_object_object_get(cap, "offset")), 0x60);
	assert_int_equal(json_object_get_int(json_object_object_get(cap, "vectors")), 64);
	assert_int_equal(json_object_get_int(json_object_object_get(cap, "pba_bar")), 4);
	assert_true(json_object_get_boolean(json_object_object_get(cap, "enabled")));
	caps = json_object_object_get(o, "extended_capabilities");
	assert_int_equal(json_object_array_length(caps), 2);
	cap = json_object_array_get_idx(caps, 0);
	assert_string_equal(string_of(cap, "serial"), "0123456789abcdef");
	json_object_put(o);
}

static void test_dump(void **state)
{
	size_t n;
	FILE *f = open_memstream(&text, &n);

	(void)state;
	pciconf_dump(f, cfg, 32);
	fclose(f);
	assert_string_equal(text,
			    "00: 36 1b 10 00 06 04 10 00 02 02 08 01 00 00 00 00\n"
			    "10: 04 00 00 00 01 00 00 00 01 c0 00 00 00 00 00 00\n");
}

static void test_virtio(void **state)
{
	char name[40], meaning[80];
	struct virtio_map map;

	(void)state;
	assert_false(virtio_find(cfg, sizeof(cfg), &map));
	make_virtio();
	print(4096);
	HAS("virtio common configuration: BAR=4 offset=00001000 size=00000038\n");
	HAS("virtio notifications: BAR=4 offset=00003000 size=00001000\n");
	assert_true(virtio_find(cfg, sizeof(cfg), &map));
	assert_true(virtio_register(&map, 4, 0x1014, name, sizeof(name)));
	assert_string_equal(name, "device_status");
	assert_true(virtio_meaning(name, 0xf, meaning, sizeof(meaning)));
	assert_string_equal(meaning, "ACKNOWLEDGE DRIVER FEATURES_OK DRIVER_OK");
	assert_true(virtio_meaning(name, 0, meaning, sizeof(meaning)));
	assert_string_equal(meaning, "reset");
	assert_true(virtio_register(&map, 4, 0x1023, name, sizeof(name)));
	assert_string_equal(name, "queue_desc + 3");
	assert_false(virtio_meaning(name, 1, meaning, sizeof(meaning)));
	assert_true(virtio_register(&map, 4, 0x300c, name, sizeof(name)));
	assert_string_equal(name, "doorbell 3");
	assert_false(virtio_register(&map, 4, 0x1038, name, sizeof(name)));
	assert_false(virtio_register(&map, 1, 0x1014, name, sizeof(name)));
	/* a list that leads to itself, and one that is cut off */
	cfg[0xb1] = 0xa0;
	assert_true(virtio_find(cfg, sizeof(cfg), &map));
	assert_false(virtio_find(cfg, 0xa0, &map));
}

#define TEST(name)	cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_text),
		TEST(test_short),
		TEST(test_no_list),
		TEST(test_loop),
		TEST(test_out_of_bounds),
		TEST(test_random),
		TEST(test_json),
		TEST(test_dump),
		TEST(test_virtio),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
