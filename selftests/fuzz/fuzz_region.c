// SPDX-License-Identifier: GPL-2.0-only
/*
 * Replies to GET_REGION_INFO and GET_REGION_IO_FDS on a connection that is otherwise sound: the
 * chains of capabilities, sparse areas, I/O descriptors. What comes out must be what the helper
 * and the kernel rely on.
 */
#include "../../helper/engine/client.h"
#include "socket.h"

static void check_region(const struct vfuc_region_info *info)
{
	uint64_t end = 0;
	unsigned int i;

	FUZZ_CHECK(info->nr_areas <= VFUC_MAX_AREAS);
	FUZZ_CHECK(info->size <= INT64_MAX && info->offset <= INT64_MAX - info->size);
	for (i = 0; i < info->nr_areas; i++) {
		const struct vfuc_area *area = &info->areas[i];

		/* the region's descriptor, or one of its own */
		FUZZ_CHECK((info->fd >= 0) != (area->fd >= 0));
		FUZZ_CHECK(area->size && area->offset % 4096 == 0 && area->size % 4096 == 0);
		FUZZ_CHECK(area->offset >= end);
		end = area->offset + area->size;
		FUZZ_CHECK(end > area->offset && end <= info->size);
	}
}

static void check_io_fds(const struct vfuc_region_io_fds *fds, uint64_t region_size)
{
	unsigned int i;

	for (i = 0; i < fds->count; i++) {
		const struct vfuc_io_fd *entry = &fds->entries[i];

		FUZZ_CHECK(entry->fd >= 0);
		FUZZ_CHECK(entry->offset < region_size);
		FUZZ_CHECK(entry->size <= region_size - entry->offset);
		FUZZ_CHECK((entry->type == VFUC_IO_FD_SHADOW) == (entry->shadow_fd >= 0));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* An honest VERSION first, with the first set of capabilities. */
	uint8_t bytes[4096] = { 0, 1 };
	struct input in = { bytes, 2 };
	struct vfuc_region_io_fds *fds;
	struct vfuc_region_info *info;
	struct vfuc_config config = { 0 };
	struct vfuc_error error = { 0 };
	uint64_t region_size = 0x10000;
	char address[32];
	struct vfuc *c;
	uint32_t index;

	if (size > sizeof(bytes) - 2)
		return 0;
	memcpy(bytes + 2, data, size);
	in.left += size;
	fuzz_socket_start(&in, address);
	config.address = address;
	if (!vfuc_open(&c, &config, &error)) {
		for (index = 0; index < 3 && !vfuc_dead(c); index++) {
			if (!vfuc_get_region_info(c, index, &info, &error)) {
				check_region(info);
				if (info->size)
					region_size = info->size;
				vfuc_region_info_free(info);
			}
			if (!vfuc_get_region_io_fds(c, index, region_size, &fds, &error)) {
				check_io_fds(fds, region_size);
				vfuc_region_io_fds_free(fds);
			}
		}
		vfuc_close(c);
	}
	fuzz_socket_end();
	return 0;
}
