// SPDX-License-Identifier: GPL-2.0-only
/*
 * An NVMe driver of a few lines over the mini client. Functions return 0 or a negative errno;
 * nc_exec() returns the command's status, the more and do-not-retry bits left out.
 */
#include <errno.h>
#include <linux/vfio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "nvme_client.h"

#define SQ(q)	((q) * 0x2000u)
#define CQ(q)	((q) * 0x2000u + 0x1000u)

/**
 * nc_memory() - make the memory that will be the device's to access
 * @n: zeroed driver
 */
void nc_memory(struct nc *n)
{
	n->memfd = memfd_create("nvme-client", MFD_CLOEXEC);
	if (n->memfd < 0 || ftruncate(n->memfd, NC_SIZE))
		abort();
	n->mem = mmap(NULL, NC_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, n->memfd, 0);
	if (n->mem == MAP_FAILED)
		abort();
	n->mc.fd = -1;
	n->mc.twin = -1;
	n->db_event = -1;
}

/**
 * nc_free() - disconnect and free the memory
 * @n: driver
 */
void nc_free(struct nc *n)
{
	nc_detach(n);
	munmap(n->mem, NC_SIZE);
	close(n->memfd);
}

/**
 * nc_detach() - disconnect
 * @n: driver
 */
void nc_detach(struct nc *n)
{
	mc_close(&n->mc);
	if (n->doorbells)
		munmap(n->doorbells, 4096);
	if (n->db_event >= 0)
		close(n->db_event);
	n->doorbells = NULL;
	n->db_event = -1;
}

static int map_doorbells(struct nc *n, int fd, uint64_t offset)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)offset);

	if (p == MAP_FAILED)
		return -errno;
	n->doorbells = p;
	return 0;
}

/* Take mapped or shadowed doorbells where the server offers them. */
static int find_doorbells(struct nc *n)
{
	struct vfio_region_info info = { .argsz = 256, .index = 0 };
	struct vfio_user_region_io_fds io = { .argsz = 65536 };
	struct vfio_user_io_fd_shadow e;
	int ret;

	ret = mc_request(&n->mc, VFIO_USER_DEVICE_GET_REGION_INFO, &info, sizeof(info), NULL, 0);
	if (ret)
		return ret;
	memcpy(&info, n->mc.payload, sizeof(info));
	if (info.flags & VFIO_REGION_INFO_FLAG_MMAP)
		return n->mc.nfds == 1 ? map_doorbells(n, n->mc.fds[0], info.offset + 0x1000) :
					 -EPROTO;
	ret = mc_request(&n->mc, VFIO_USER_DEVICE_GET_REGION_IO_FDS, &io, sizeof(io), NULL, 0);
	if (ret)
		return ret == -ENOTSUP ? 0 : ret;
	memcpy(&io, n->mc.payload, sizeof(io));
	if (n->mc.nfds != 2 || n->mc.len != io.argsz ||
	    io.argsz != sizeof(io) + io.count * sizeof(e))
		return -EPROTO;
	memcpy(&e, n->mc.payload + sizeof(io), sizeof(e));
	if (e.type != VFIO_USER_IO_FD_SHADOW || e.offset != 0x1000 || e.fd_index > 1 ||
	    e.shadow_fd_index > 1)
		return -EPROTO;
	ret = map_doorbells(n, n->mc.fds[e.shadow_fd_index], e.shadow_offset);
	n->db_event = dup(n->mc.fds[e.fd_index]);
	return ret;
}

/**
 * nc_attach() - connect, negotiate, share memory
 * @n: driver after nc_memory()
 * @path: socket
 * @how: memory with its descriptor, or to be asked for with messages
 */
int nc_attach(struct nc *n, const char *path, enum nc_memory how)
{
	int ret = mc_connect(&n->mc, path);

	if (!ret)
		ret = mc_negotiate(&n->mc);
	if (!ret)
		ret = find_doorbells(n);
	if (!ret)
		ret = mc_dma_map(&n->mc, NC_IOVA, NC_SIZE, how == NC_MEM_FD ? n->memfd : -1, 0);
	if (how == NC_MEM_MESSAGES) {
		n->mc.mem = n->mem;
		n->mc.iova = NC_IOVA;
		n->mc.mem_size = NC_SIZE;
	}
	return ret;
}

/**
 * nc_reg() - read a 32-bit register
 * @n: driver
 * @offset: in BAR 0
 *
 * Return: its value, all ones where it cannot be read.
 */
uint32_t nc_reg(struct nc *n, uint32_t offset)
{
	uint32_t v;

	return mc_read(&n->mc, 0, offset, &v, sizeof(v)) ? 0xffffffff : v;
}

/**
 * nc_wait_ready() - wait for bits of CSTS
 * @n: driver
 * @mask: bits looked at
 * @want: their value
 */
int nc_wait_ready(struct nc *n, uint32_t mask, uint32_t want)
{
	const struct timespec ms = { 0, 1000000 };
	int i;

	for (i = 0; i < MC_TIMEOUT_MS; i++) {
		if ((nc_reg(n, 0x1c) & mask) == want)
			return 0;
		nanosleep(&ms, NULL);
	}
	return -ETIMEDOUT;
}

/**
 * nc_enable() - disable, set the admin queue up, enable
 * @n: driver
 */
int nc_enable(struct nc *n)
{
	uint32_t off = 0, on = 0x00460001, aqa = (NC_DEPTH - 1) << 16 | (NC_DEPTH - 1);
	uint64_t asq = NC_IOVA + SQ(0), acq = NC_IOVA + CQ(0);
	int ret;

	memset(n->mem, 0, NC_LISTS);
	memset(n->q, 0, sizeof(n->q));
	n->q[0].phase = 1;
	ret = mc_write(&n->mc, 0, 0x14, &off, 4);
	if (!ret)
		ret = nc_wait_ready(n, 1, 0);
	if (!ret)
		ret = mc_write(&n->mc, 0, 0x24, &aqa, 4);
	if (!ret)
		ret = mc_write(&n->mc, 0, 0x28, &asq, 8);
	if (!ret)
		ret = mc_write(&n->mc, 0, 0x30, &acq, 8);
	if (!ret)
		ret = mc_write(&n->mc, 0, 0x14, &on, 4);
	return ret ? ret : nc_wait_ready(n, 3, 1);
}

/**
 * nc_ring() - write a doorbell, the way this server wants it
 * @n: driver
 * @qid: queue
 * @cq: 1 for the completion queue's
 * @value: any
 */
int nc_ring(struct nc *n, unsigned int qid, unsigned int cq, uint32_t value)
{
	const uint64_t one = 1;

	if (!n->doorbells)
		return mc_write(&n->mc, 0, 0x1000 + (qid * 2 + cq) * 4, &value, 4);
	/* Pairs with the server's acquire: the queue entry is there before the doorbell. */
	__atomic_store_n(&n->doorbells[qid * 2 + cq], value, __ATOMIC_RELEASE);
	if (n->db_event >= 0 && write(n->db_event, &one, sizeof(one)) != sizeof(one))
		return -errno;
	return 0;
}

/**
 * nc_put() - put a command into a queue, without a word to the server
 * @n: driver
 * @qid: queue
 * @cmd: command; cid is set
 *
 * Return: the doorbell's value.
 */
uint32_t nc_put(struct nc *n, unsigned int qid, struct nc_cmd *cmd)
{
	struct nc_queue *q = &n->q[qid];

	cmd->cid = ++n->cid;
	memcpy(n->mem + SQ(qid) + q->tail * sizeof(*cmd), cmd, sizeof(*cmd));
	q->tail = (q->tail + 1) % NC_DEPTH;
	return q->tail;
}

/**
 * nc_submit() - put a command into a queue and ring
 * @n: driver
 * @qid: queue
 * @cmd: command; cid is set
 */
int nc_submit(struct nc *n, unsigned int qid, struct nc_cmd *cmd)
{
	return nc_ring(n, qid, 0, nc_put(n, qid, cmd));
}

/**
 * nc_ended() - is there a completion?
 * @n: driver
 * @qid: queue
 */
bool nc_ended(const struct nc *n, unsigned int qid)
{
	const struct nc_queue *q = &n->q[qid];
	const struct nc_cqe *at = (const struct nc_cqe *)(n->mem + CQ(qid)) + q->head;

	return (__atomic_load_n(&at->status, __ATOMIC_ACQUIRE) & 1) == q->phase;
}

/**
 * nc_poll() - wait for a completion and consume it
 * @n: driver
 * @qid: queue
 * @cqe: filled in
 * @timeout_ms: how long
 *
 * Return: 0, -ETIMEDOUT, or what serving the server's requests meanwhile returned.
 */
int nc_poll(struct nc *n, unsigned int qid, struct nc_cqe *cqe, int timeout_ms)
{
	struct nc_queue *q = &n->q[qid];
	struct nc_cqe *at = (struct nc_cqe *)(n->mem + CQ(qid)) + q->head;
	const struct timespec step = { 0, 50000 };
	int i, ret;

	for (i = 0; !nc_ended(n, qid); i++) {
		if (i == timeout_ms * 20)
			return -ETIMEDOUT;
		ret = n->mc.mem ? mc_serve(&n->mc, 0) : 0;
		if (ret < 0)
			return ret;
		if (!ret)
			nanosleep(&step, NULL);
	}
	*cqe = *at;
	if (++q->head == NC_DEPTH) {
		q->head = 0;
		q->phase = !q->phase;
	}
	return nc_ring(n, qid, 1, q->head);
}

/**
 * nc_exec() - execute one command
 * @n: driver
 * @qid: queue
 * @cmd: command
 * @result: dword 0 of the completion, or NULL
 *
 * Return: status, at least 0, or a negative errno.
 */
int nc_exec(struct nc *n, unsigned int qid, struct nc_cmd *cmd, uint32_t *result)
{
	struct nc_cqe cqe;
	int ret = nc_submit(n, qid, cmd);

	if (!ret)
		ret = nc_poll(n, qid, &cqe, MC_TIMEOUT_MS);
	if (ret)
		return ret;
	if (cqe.cid != cmd->cid || cqe.sq_id != qid)
		return -EPROTO;
	if (result)
		*result = cqe.result;
	return cqe.status >> 1 & 0x7ff;
}

/**
 * nc_create_queues() - an I/O queue pair
 * @n: driver
 * @qid: 1 to NC_QUEUES - 1
 * @vector: interrupt
 *
 * Return: a status or a negative errno.
 */
int nc_create_queues(struct nc *n, unsigned int qid, unsigned int vector)
{
	struct nc_cmd cq = { .opcode = 5, .prp1 = NC_IOVA + CQ(qid),
			     .dw = { (NC_DEPTH - 1) << 16 | qid, vector << 16 | 3 } };
	struct nc_cmd sq = { .opcode = 1, .prp1 = NC_IOVA + SQ(qid),
			     .dw = { (NC_DEPTH - 1) << 16 | qid, qid << 16 | 1 } };
	int ret;

	memset(n->mem + SQ(qid), 0, 0x2000);
	n->q[qid] = (struct nc_queue){ .phase = 1 };
	ret = nc_exec(n, 0, &cq, NULL);
	return ret ? ret : nc_exec(n, 0, &sq, NULL);
}

/**
 * nc_identify() - Identify
 * @n: driver
 * @cns: what
 * @nsid: namespace
 * @page: 4096 bytes
 *
 * Return: a status or a negative errno.
 */
int nc_identify(struct nc *n, uint32_t cns, uint32_t nsid, void *page)
{
	struct nc_cmd cmd = { .opcode = 6, .nsid = nsid, .prp1 = NC_IOVA + NC_DATA,
			      .dw = { cns } };
	int ret = nc_exec(n, 0, &cmd, NULL);

	memcpy(page, n->mem + NC_DATA, 4096);
	return ret;
}
