// SPDX-License-Identifier: GPL-2.0-only
/*
 * The whole engine: a connection on which the first part of the input says what the client does and
 * the rest what the server does (socket.c), from VERSION to the close. Every request that was
 * accepted must be over exactly once, and no descriptor may stay.
 */
#include <errno.h>

#include "../../helper/engine/client.h"
#include "socket.h"

#define MAX_STEPS	64
#define WINDOW		0x100000
#define WINDOW_SIZE	0x20000

static uint8_t memory[WINDOW_SIZE];
static unsigned int submitted, finished, closed;

static int dma_read(void *opaque, uint64_t iova, void *buf, size_t count)
{
	(void)opaque;
	FUZZ_CHECK(iova >= WINDOW && iova - WINDOW < WINDOW_SIZE &&
		   count <= WINDOW_SIZE - (iova - WINDOW));
	memcpy(buf, memory + (iova - WINDOW), count);
	return count % 7 ? 0 : -EIO;
}

static int dma_write(void *opaque, uint64_t iova, const void *buf, size_t count)
{
	(void)opaque;
	FUZZ_CHECK(iova >= WINDOW && iova - WINDOW < WINDOW_SIZE &&
		   count <= WINDOW_SIZE - (iova - WINDOW));
	memcpy(memory + (iova - WINDOW), buf, count);
	return 0;
}

static void note(void *opaque, enum vfuc_level level, const char *text)
{
	(void)opaque;
	(void)level;
	FUZZ_CHECK(!strchr(text, '\n'));
}

static void gone(void *opaque, int err)
{
	(void)opaque;
	FUZZ_CHECK(err < 0);
	closed++;
}

static void done(void *opaque, uint64_t cookie, int error, const void *data, size_t len)
{
	size_t sum = 0, i;

	(void)opaque;
	FUZZ_CHECK(error <= 0);
	FUZZ_CHECK(cookie < submitted);
	/* read what there is of it */
	for (i = 0; i < len; i++)
		sum += ((const uint8_t *)data)[i];
	FUZZ_CHECK(sum <= len * 255);
	finished++;
}

static void sync_step(struct vfuc *c, unsigned int what, uint8_t arg)
{
	int fds[20] = { 0 };
	struct vfuc_region_io_fds *io_fds;
	struct vfuc_region_info *region;
	struct vfuc_error error = { 0 };
	struct vfuc_irq_info irq;
	struct vfuc_info info;
	uint8_t buf[300] = { 0 };

	switch (what) {
	case 0:
		if (!vfuc_get_info(c, &info, &error))
			FUZZ_CHECK(info.num_regions <= VFUC_MAX_REGIONS &&
				   info.num_irqs <= VFUC_MAX_IRQ_TYPES);
		break;
	case 1:
		if (!vfuc_get_region_info(c, arg, &region, &error))
			vfuc_region_info_free(region);
		break;
	case 2:
		vfuc_get_irq_info(c, arg % 5, &irq, &error);
		break;
	case 3:
		if (!vfuc_get_region_io_fds(c, arg, 0x10000, &io_fds, &error))
			vfuc_region_io_fds_free(io_fds);
		break;
	case 4:
		vfuc_dma_map(c, WINDOW, WINDOW_SIZE, arg % 4, arg & 4 ? 0 : -1, 0, &error);
		break;
	case 5:
		vfuc_dma_unmap(c, WINDOW, WINDOW_SIZE, &error);
		break;
	case 6:
		vfuc_set_irq_eventfds(c, 2, VFIO_IRQ_SET_ACTION_TRIGGER, arg, 1 + arg % 20, fds,
				      &error);
		break;
	case 7:
		vfuc_region_read(c, arg % 9, arg, buf, sizeof(buf), &error);
		vfuc_region_write(c, arg % 9, arg, buf, sizeof(buf), &error);
		break;
	case 8:
		vfuc_reset(c, &error);
		break;
	}
}

static void submit_step(struct vfuc *c, unsigned int what, uint8_t arg)
{
	static const uint8_t data[70000];
	int fds[20] = { 0 };
	bool posted = false;
	int err;

	/* done() may not run before it is known that it will */
	submitted++;
	switch (what) {
	case 0:
		err = vfuc_submit_read(c, arg % 9, arg, 1 + arg * 128, done, NULL, submitted - 1);
		break;
	case 1:
		posted = arg & 1;
		err = vfuc_submit_write(c, arg % 9, arg, data, 1 + arg % 8, posted,
					posted ? NULL : done, NULL, submitted - 1);
		break;
	case 2:
		posted = arg & 1;
		err = vfuc_submit_write(c, arg % 9, arg, data, 1 + arg * 256, posted,
					posted ? NULL : done, NULL, submitted - 1);
		break;
	case 3:
		err = vfuc_submit_reset(c, done, NULL, submitted - 1);
		break;
	default:
		err = vfuc_submit_set_irqs(c, 2, arg & 1 ? VFIO_IRQ_SET_DATA_NONE |
					   VFIO_IRQ_SET_ACTION_TRIGGER : VFIO_IRQ_SET_DATA_EVENTFD |
					   VFIO_IRQ_SET_ACTION_TRIGGER, 0, arg & 1 ? 0 : 20, fds,
					   done, NULL, submitted - 1);
		break;
	}
	if (err || posted)
		finished++;	/* nobody will tell */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct vfuc_ops ops = {
		.dma_read = dma_read,
		.dma_write = dma_write,
		.note = note,
		.closed = gone,
	};
	struct vfuc_config config = { .ops = &ops, .max_pending = 32, .max_queue_bytes = 200000 };
	struct input client, server;
	struct vfuc_error error = { 0 };
	unsigned int steps = 0;
	char address[32];
	struct vfuc *c;
	uint8_t step;
	size_t plan;

	if (size < 2 || size > 16384)
		return 0;
	plan = data[0] % MAX_STEPS;
	if (plan > size - 1)
		plan = size - 1;
	client = (struct input) { data + 1, plan };
	server = (struct input) { data + 1 + plan, size - 1 - plan };
	submitted = 0;
	finished = 0;
	closed = 0;
	config.no_twin_socket = data[0] & 0x80;
	fuzz_socket_start(&server, address);
	config.address = address;
	if (!vfuc_open(&c, &config, &error)) {
		while (client.left && steps++ < MAX_STEPS) {
			step = input_u8(&client);
			if (step < 0x60)
				sync_step(c, step % 9, input_u8(&client));
			else if (step < 0xc0)
				submit_step(c, step % 5, input_u8(&client));
			else if (step < 0xd0)
				vfuc_cork(c);
			else if (step < 0xe0)
				vfuc_uncork(c);
			else
				vfuc_process(c);
		}
		while (!vfuc_process(c))
			FUZZ_CHECK(vfuc_next_deadline_ms(c) >= -1);
		FUZZ_CHECK(closed == 1);
		FUZZ_CHECK(finished == submitted);
		FUZZ_CHECK(!vfuc_pending(c));
		vfuc_close(c);
	} else {
		FUZZ_CHECK(error.message[0]);
	}
	FUZZ_CHECK(finished == submitted);
	fuzz_socket_end();
	return 0;
}
