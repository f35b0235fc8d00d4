// SPDX-License-Identifier: GPL-2.0-only
/* The payload of a reply to VERSION: numbers, JSON, capabilities; any number of descriptors. */
#include "../../helper/engine/version.h"
#include "input.h"

static void note(void *opaque, const char *text)
{
	*(size_t *)opaque += strlen(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	uint8_t offer = input_u8(&in);
	struct vfuc_proposal p = {
		.max_msg_fds = 16,
		.max_data_xfer_size = 1024 * 1024,
		.pgsizes = 4096,
		.max_dma_maps = 65535,
		.write_multiple = offer & 1,
		.twin_socket = offer & 2,
	};
	unsigned int nr_fds = offer >> 4;
	struct vfuc_error error = { 0 };
	struct vfuc_caps caps = { 0 };
	size_t noted = 0;
	int twin, err;
	uint8_t *copy;

	/* A copy of its own, so that reading past its end is seen. */
	copy = malloc(in.left + !in.left);
	memcpy(copy, in.data, in.left);
	err = vfuc_version_judge(&p, copy, in.left, nr_fds, &caps, &twin, note, &noted, &error);
	free(copy);
	if (err) {
		FUZZ_CHECK(err < 0 && error.message[0]);
		return 0;
	}
	FUZZ_CHECK(!caps.major && caps.minor <= 1);
	FUZZ_CHECK(caps.max_data_xfer_size && caps.max_data_xfer_size <= VFUC_LARGEST_XFER);
	FUZZ_CHECK(caps.pgsizes);
	FUZZ_CHECK(!caps.write_multiple || p.write_multiple);
	FUZZ_CHECK(!caps.twin_socket || p.twin_socket);
	FUZZ_CHECK(caps.twin_socket == (twin >= 0));
	FUZZ_CHECK(twin < (int)nr_fds);
	return 0;
}
