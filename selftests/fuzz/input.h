/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A fuzzer's input, taken byte by byte from the front. Where it is used up there are zeroes, and
 * each target ends.
 */
#ifndef FUZZ_INPUT_H
#define FUZZ_INPUT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct input {
	const uint8_t *data;
	size_t left;
};

static inline size_t input_bytes(struct input *in, void *buf, size_t len)
{
	size_t n = len < in->left ? len : in->left;

	if (n)
		memcpy(buf, in->data, n);
	memset((uint8_t *)buf + n, 0, len - n);
	in->data += n;
	in->left -= n;
	return n;
}

static inline uint8_t input_u8(struct input *in)
{
	uint8_t value;

	input_bytes(in, &value, sizeof(value));
	return value;
}

static inline uint16_t input_u16(struct input *in)
{
	uint16_t value;

	input_bytes(in, &value, sizeof(value));
	return value;
}

static inline uint32_t input_u32(struct input *in)
{
	uint32_t value;

	input_bytes(in, &value, sizeof(value));
	return value;
}

static inline uint64_t input_u64(struct input *in)
{
	uint64_t value;

	input_bytes(in, &value, sizeof(value));
	return value;
}

/* What must hold whatever the input is: a finding like one of the sanitizers'. */
#define FUZZ_CHECK(condition)							\
	do {									\
		if (!(condition)) {						\
			fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__,	\
				__LINE__, #condition);				\
			abort();						\
		}								\
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
