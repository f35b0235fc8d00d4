// SPDX-License-Identifier: GPL-2.0-only
/*
 * vfu_ublk: a disk in memory, or on an image, behind ublk, for comparison.
 *
 *	vfu_ublk MIB [QUEUES [IMAGE[,direct]]]
 *
 * Does what ublk's own servers do by default: a thread for each queue, a buffer for each request,
 * which the driver copies to or from, and io_uring for both. Prints the device's name when it can
 * be used; SIGTERM removes it.
 */
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <linux/ublk_cmd.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define DEPTH		128
#define BUFFER		(512 * 1024)
#define MAX_QUEUES	64
#define OF_IMAGE	(1u << 16)	/* user_data: not the device's */

/* As kernels from 6.4 on have them; whether they take the old ones is configured. */
#define CTRL_OP(cmd)	_IOWR('u', cmd, struct ublksrv_ctrl_cmd)
#define IO_OP(cmd)	_IOWR('u', cmd, struct ublksrv_io_cmd)

struct queue {
	pthread_t thread;
	unsigned int id;
	int fd;
	struct io_uring ring;
	struct ublksrv_io_desc *descs;
	uint8_t *buffers;
};

static uint8_t *ram;
static int image = -1;
static uint64_t size;
static struct io_uring ctrl_ring;
static int ctrl_fd;

static void die(const char *what, int err)
{
	fprintf(stderr, "vfu_ublk: %s: %s\n", what, strerror(err));
	exit(1);
}

static struct io_uring_sqe *new_sqe(struct io_uring *ring, size_t bytes)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);

	if (!sqe)
		die("io_uring", EBUSY);
	memset(sqe, 0, bytes);
	sqe->opcode = IORING_OP_URING_CMD;
	return sqe;
}

static int ctrl(uint32_t cmd, uint32_t dev, void *buf, uint16_t len, uint64_t data)
{
	struct io_uring_sqe *sqe = new_sqe(&ctrl_ring, 2 * sizeof(*sqe));
	struct io_uring_cqe *cqe;
	struct ublksrv_ctrl_cmd c = {
		.dev_id = dev,
		.queue_id = UINT16_MAX,
		.addr = (uintptr_t)buf,
		.len = len,
		.data[0] = data,
	};
	int ret;

	sqe->fd = ctrl_fd;
	sqe->cmd_op = cmd;
	memcpy(sqe->cmd, &c, sizeof(c));
	ret = io_uring_submit_and_wait(&ctrl_ring, 1);
	if (ret >= 0)
		ret = io_uring_wait_cqe(&ctrl_ring, &cqe);
	if (!ret) {
		ret = cqe->res;
		io_uring_cqe_seen(&ctrl_ring, cqe);
	}
	return ret;
}

static void queue_io(struct queue *q, unsigned int tag, uint32_t op, int result)
{
	struct io_uring_sqe *sqe = new_sqe(&q->ring, sizeof(*sqe));
	struct ublksrv_io_cmd c = {
		.q_id = q->id,
		.tag = tag,
		.result = result,
		.addr = (uintptr_t)(q->buffers + (size_t)tag * BUFFER),
	};

	sqe->fd = q->fd;
	sqe->cmd_op = op;
	sqe->user_data = tag;
	memcpy(sqe->cmd, &c, sizeof(c));
}

static int serve(struct queue *q, unsigned int tag)
{
	const struct ublksrv_io_desc *d = &q->descs[tag];
	uint64_t at = d->start_sector << 9, len = (uint64_t)d->nr_sectors << 9;
	uint8_t *buf = q->buffers + (size_t)tag * BUFFER;

	if (ublksrv_get_op(d) == UBLK_IO_OP_FLUSH)
		return 0;
	if (len > BUFFER || at > size || len > size - at)
		return -EIO;
	switch (ublksrv_get_op(d)) {
	case UBLK_IO_OP_READ:
		memcpy(buf, ram + at, len);
		return (int)len;
	case UBLK_IO_OP_WRITE:
		memcpy(ram + at, buf, len);
		return (int)len;
	}
	return -EOPNOTSUPP;
}

/* The loop target: the image's part of it, through the same ring. */
static void begin(struct queue *q, unsigned int tag)
{
	const struct ublksrv_io_desc *d = &q->descs[tag];
	uint8_t *buf = q->buffers + (size_t)tag * BUFFER;
	struct io_uring_sqe *sqe = io_uring_get_sqe(&q->ring);

	if (!sqe)
		die("io_uring", EBUSY);
	switch (ublksrv_get_op(d)) {
	case UBLK_IO_OP_READ:
		io_uring_prep_read(sqe, image, buf, d->nr_sectors << 9, d->start_sector << 9);
		break;
	case UBLK_IO_OP_WRITE:
		io_uring_prep_write(sqe, image, buf, d->nr_sectors << 9, d->start_sector << 9);
		break;
	default:
		io_uring_prep_fsync(sqe, image, IORING_FSYNC_DATASYNC);
	}
	sqe->user_data = tag | OF_IMAGE;
}

static void open_image(char *name)
{
	char *direct = strstr(name, ",direct");

	if (direct)
		*direct = 0;
	image = open(name, O_RDWR | O_CLOEXEC | (direct ? O_DIRECT : 0));
	if (image < 0)
		die(name, errno);
}

static void *queue_main(void *arg)
{
	struct queue *q = arg;
	size_t len = (DEPTH * sizeof(*q->descs) + 4095) & ~4095ul;
	struct io_uring_cqe *cqe;
	unsigned int tag, head, n;
	int ret;

	ret = io_uring_queue_init(2 * DEPTH, &q->ring, IORING_SETUP_COOP_TASKRUN);
	if (ret)
		die("io_uring", -ret);
	q->descs = mmap(NULL, len, PROT_READ, MAP_SHARED | MAP_POPULATE, q->fd,
			UBLKSRV_CMD_BUF_OFFSET + (off_t)q->id * UBLK_MAX_QUEUE_DEPTH *
			(off_t)sizeof(*q->descs));
	q->buffers = mmap(NULL, (size_t)DEPTH * BUFFER, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (q->descs == MAP_FAILED || q->buffers == MAP_FAILED)
		die("memory of a queue", errno);
	for (tag = 0; tag < DEPTH; tag++)
		queue_io(q, tag, IO_OP(UBLK_IO_FETCH_REQ), -1);
	for (;;) {
		bool ended = false;

		ret = io_uring_submit_and_wait(&q->ring, 1);
		if (ret < 0 && ret != -EINTR)
			die("io_uring", -ret);
		n = 0;
		io_uring_for_each_cqe(&q->ring, head, cqe) {
			n++;
			tag = cqe->user_data;
			if (tag & OF_IMAGE)
				queue_io(q, tag & ~OF_IMAGE, IO_OP(UBLK_IO_COMMIT_AND_FETCH_REQ),
					 cqe->res);
			else if (cqe->res == UBLK_IO_RES_OK && image >= 0)
				begin(q, tag);
			else if (cqe->res == UBLK_IO_RES_OK)
				queue_io(q, tag, IO_OP(UBLK_IO_COMMIT_AND_FETCH_REQ),
					 serve(q, tag));
			else
				ended = true;
		}
		io_uring_cq_advance(&q->ring, n);
		if (ended)
			break;
	}
	/* The device cannot be removed while either is there. */
	io_uring_queue_exit(&q->ring);
	munmap(q->descs, len);
	return NULL;
}

int main(int argc, char **argv)
{
	static struct queue queues[MAX_QUEUES];
	struct ublksrv_ctrl_dev_info info = {
		.queue_depth = DEPTH,
		.max_io_buf_bytes = BUFFER,
		.dev_id = UINT32_MAX,
	};
	struct ublk_params params = {
		.len = sizeof(params),
		.types = UBLK_PARAM_TYPE_BASIC,
		.basic = {
			.logical_bs_shift = 9,
			.physical_bs_shift = 12,
			.io_opt_shift = 12,
			.io_min_shift = 12,
			.max_sectors = BUFFER >> 9,
		},
	};
	unsigned int i, n = argc > 2 ? strtoul(argv[2], NULL, 0) :
			  (unsigned long)sysconf(_SC_NPROCESSORS_ONLN);
	char path[32];
	sigset_t set;
	int ret, fd;

	size = argc > 1 ? strtoull(argv[1], NULL, 0) << 20 : 0;
	if (!size || !n || n > MAX_QUEUES) {
		fprintf(stderr, "usage: vfu_ublk MIB [QUEUES [IMAGE[,direct]]]\n");
		return 2;
	}
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	if (argc > 3)
		open_image(argv[3]);
	else
		ram = mmap(NULL, size, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (ram == MAP_FAILED)
		die("memory", errno);
	ctrl_fd = open("/dev/ublk-control", O_RDWR | O_CLOEXEC);
	if (ctrl_fd < 0)
		die("/dev/ublk-control", errno);
	ret = io_uring_queue_init(4, &ctrl_ring, IORING_SETUP_SQE128);
	if (ret)
		die("io_uring", -ret);

	info.nr_hw_queues = n;
	info.ublksrv_pid = getpid();
	ret = ctrl(CTRL_OP(UBLK_CMD_ADD_DEV), info.dev_id, &info, sizeof(info), 0);
	if (ret < 0)
		die("adding a device", -ret);
	params.basic.dev_sectors = size >> 9;
	ret = ctrl(CTRL_OP(UBLK_CMD_SET_PARAMS), info.dev_id, &params, sizeof(params), 0);
	if (ret < 0)
		die("parameters", -ret);
	snprintf(path, sizeof(path), "/dev/ublkc%u", info.dev_id);
	for (i = 0; (fd = open(path, O_RDWR | O_CLOEXEC)) < 0 && i < 1000; i++)
		usleep(10000);
	if (fd < 0)
		die(path, errno);
	for (i = 0; i < n; i++) {
		queues[i].id = i;
		queues[i].fd = fd;
		ret = pthread_create(&queues[i].thread, NULL, queue_main, &queues[i]);
		if (ret)
			die("thread", ret);
	}
	ret = ctrl(CTRL_OP(UBLK_CMD_START_DEV), info.dev_id, NULL, 0, getpid());
	if (ret < 0)
		die("starting the device", -ret);
	printf("ublkb%u\n", info.dev_id);
	fflush(stdout);
	sigwait(&set, &ret);
	ctrl(CTRL_OP(UBLK_CMD_STOP_DEV), info.dev_id, NULL, 0, 0);
	for (i = 0; i < n; i++)
		pthread_join(queues[i].thread, NULL);
	close(fd);
	ret = ctrl(CTRL_OP(UBLK_CMD_DEL_DEV), info.dev_id, NULL, 0, 0);
	if (ret < 0)
		die("removing the device", -ret);
	return 0;
}
