// SPDX-License-Identifier: GPL-2.0-only
/*
 * NVM command set (NVMe 1.4 section 6): read, write, flush, compare, verify, write zeroes, dataset
 * management. Data goes straight between the disk and the client's memory.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "nvme.h"

enum {
	CMD_FLUSH = 0x00,
	CMD_WRITE = 0x01,
	CMD_READ = 0x02,
	CMD_COMPARE = 0x05,
	CMD_WRITE_ZEROES = 0x08,
	CMD_DSM = 0x09,
	CMD_VERIFY = 0x0c,
};

#define CDW12_FUA	(1u << 30)
#define CDW12_DEAC	(1u << 25)
#define DSM_AD		(1u << 2)

static bool in_range(const struct nvme_ns *ns, uint64_t slba, uint64_t blocks)
{
	return slba <= ns->blocks && blocks <= ns->blocks - slba;
}

static uint64_t slba_of(const struct nvme_cmd *cmd)
{
	return (uint64_t)cmd->cdw11 << 32 | cmd->cdw10;
}

static uint64_t blocks_of(const struct nvme_cmd *cmd)
{
	return (cmd->cdw12 & 0xffff) + 1;
}

/* Without a volatile write cache every write is durable when it completes. */
static bool durable(const struct nvme_req *req)
{
	return req->cmd.cdw12 & CDW12_FUA || !req->c->feat.write_cache ||
	       req->ns->disk.opt.cache == DISK_WRITETHROUGH;
}

/**
 * nvme_write_status() - what a driver is told of a write that failed
 * @error: negative errno, or 0
 *
 * Return: a status.
 */
int nvme_write_status(int error)
{
	if (!error)
		return NVME_OK;
	return error == -ENOSPC || error == -EDQUOT ? NVME_CAPACITY_EXCEEDED : NVME_WRITE_FAULT;
}

static void read_write_done(struct io *io)
{
	struct nvme_req *req = nvme_req_of(io);
	bool is_read = req->cmd.opcode == CMD_READ;
	int status = NVME_OK;

	/* nobody's memory any more */
	if (!nvme_req_current(req))
		status = NVME_ABORT_REQUESTED;
	else if (io->result)
		status = is_read ? NVME_READ_ERROR : nvme_write_status(io->result);
	nvme_finish(req, nvme_data_put(req->c, &req->data, is_read, status));
}

static int read_write(struct nvme_req *req, bool is_write)
{
	const struct nvme_cmd *cmd = &req->cmd;
	struct nvme_ns *ns = req->ns;
	struct nvme_ctrl *c = req->c;
	uint64_t len = blocks_of(cmd) << ns->lba_shift;
	int status;

	if (len > NVME_MAX_XFER)
		return NVME_INVALID_FIELD;
	if (!in_range(ns, slba_of(cmd), blocks_of(cmd)))
		return NVME_LBA_OUT_OF_RANGE;
	if (is_write && ns->disk.opt.read_only)
		return NVME_WRITE_PROTECTED;
	status = nvme_data_get(c, cmd, (uint32_t)len, !is_write, ns->disk.memory_align, &req->data);
	if (status)
		return status;
	if (is_write) {
		c->writes++;
		c->written_bytes += len;
	} else {
		c->reads++;
		c->read_bytes += len;
	}
	req->io.iov = req->data.iov;
	req->io.n = req->data.n;
	req->io.offset = slba_of(cmd) << ns->lba_shift;
	req->io.durable = is_write && durable(req);
	return nvme_req_submit(req, is_write ? IO_WRITE : IO_READ, read_write_done);
}

static void compare_done(struct io *io)
{
	struct nvme_req *req = nvme_req_of(io);
	size_t len = blocks_of(&req->cmd) << req->ns->lba_shift;
	int status = io->result ? NVME_READ_ERROR : NVME_OK;
	uint8_t *host;

	if (!status && req->cmd.opcode == CMD_COMPARE && nvme_req_current(req)) {
		host = malloc(len);
		status = host ? nvme_from_host(req->c, &req->cmd, host, (uint32_t)len) :
				NVME_INTERNAL_ERROR;
		if (!status && memcmp(host, req->medium, len))
			status = NVME_COMPARE_FAILURE;
		free(host);
	}
	free(req->medium);
	nvme_finish(req, status);
}

/* Verify is a compare with nothing. */
static int compare(struct nvme_req *req)
{
	const struct nvme_cmd *cmd = &req->cmd;
	uint64_t len = blocks_of(cmd) << req->ns->lba_shift;

	if (len > NVME_MAX_XFER)
		return NVME_INVALID_FIELD;
	if (!in_range(req->ns, slba_of(cmd), blocks_of(cmd)))
		return NVME_LBA_OUT_OF_RANGE;
	req->medium = aligned_alloc(4096, (len + 4095) / 4096 * 4096);
	if (!req->medium)
		return NVME_INTERNAL_ERROR;
	req->data.iov[0] = (struct iovec){ req->medium, len };
	req->io.iov = req->data.iov;
	req->io.n = 1;
	req->io.offset = slba_of(cmd) << req->ns->lba_shift;
	return nvme_req_submit(req, IO_READ, compare_done);
}

static void write_done(struct io *io)
{
	nvme_finish(nvme_req_of(io), nvme_write_status(io->result));
}

static int write_zeroes(struct nvme_req *req)
{
	const struct nvme_cmd *cmd = &req->cmd;
	bool discard = cmd->cdw12 & CDW12_DEAC && !req->ns->disk.opt.no_discard;

	if (!in_range(req->ns, slba_of(cmd), blocks_of(cmd)))
		return NVME_LBA_OUT_OF_RANGE;
	if (req->ns->disk.opt.read_only)
		return NVME_WRITE_PROTECTED;
	req->c->writes++;
	req->io.offset = slba_of(cmd) << req->ns->lba_shift;
	req->io.len = blocks_of(cmd) << req->ns->lba_shift;
	req->io.durable = durable(req);
	return nvme_req_submit(req, discard ? IO_DISCARD : IO_ZERO, write_done);
}

/* The ranges go one after the other. */
static void next_range(struct io *io)
{
	struct nvme_req *req = nvme_req_of(io);

	for (;;) {
		const struct nvme_range *r = &req->range[req->at];

		if (io->result || req->at == req->left || !nvme_req_current(req)) {
			nvme_finish(req, nvme_write_status(io->result));
			return;
		}
		req->at++;
		if (!r->blocks)
			continue;
		io->offset = r->slba << req->ns->lba_shift;
		io->len = (uint64_t)r->blocks << req->ns->lba_shift;
		nvme_req_submit(req, IO_DISCARD, next_range);
		return;
	}
}

static int dataset_management(struct nvme_req *req)
{
	unsigned int n = (req->cmd.cdw10 & 0xff) + 1, i;
	int status;

	status = nvme_from_host(req->c, &req->cmd, req->range, n * sizeof(req->range[0]));
	if (status)
		return status;
	for (i = 0; i < n; i++)
		if (!in_range(req->ns, req->range[i].slba, req->range[i].blocks))
			return NVME_LBA_OUT_OF_RANGE;
	/* The other attributes are hints. */
	if (!(req->cmd.cdw11 & DSM_AD))
		return NVME_OK;
	if (req->ns->disk.opt.read_only)
		return NVME_WRITE_PROTECTED;
	if (req->ns->disk.opt.no_discard)
		return NVME_OK;
	req->left = n;
	req->at = 0;
	req->io.result = 0;
	req->io.durable = !req->c->feat.write_cache ||
			  req->ns->disk.opt.cache == DISK_WRITETHROUGH;
	next_range(&req->io);
	return NVME_PENDING;
}

/* One namespace after the other; the first error is the command's. */
static void next_flush(struct io *io)
{
	struct nvme_req *req = nvme_req_of(io);

	if (io->result && !req->status)
		req->status = nvme_write_status(io->result) ? NVME_WRITE_FAULT : NVME_OK;
	if (!req->left) {
		nvme_finish(req, req->status);
		return;
	}
	req->left--;
	req->ns = &req->c->ns[req->at++];
	nvme_req_submit(req, IO_FLUSH, next_flush);
}

/**
 * nvme_flush() - put what was written on stable storage
 * @req: command; req->ns is the namespace, or NULL for all
 *
 * Return: NVME_PENDING.
 */
int nvme_flush(struct nvme_req *req)
{
	req->at = req->ns ? (unsigned int)(req->ns - req->c->ns) : 0;
	req->left = req->ns ? 1 : req->c->nr_ns;
	req->io.result = 0;
	req->io.durable = false;
	next_flush(&req->io);
	return NVME_PENDING;
}

/**
 * nvme_io() - execute a command of an I/O queue
 * @req: command
 *
 * Return: a status, or NVME_PENDING.
 */
int nvme_io(struct nvme_req *req)
{
	const struct nvme_cmd *cmd = &req->cmd;

	req->ns = nvme_ns(req->c, cmd->nsid);
	/* Flush may name all namespaces. */
	if (!req->ns && !(cmd->opcode == CMD_FLUSH && cmd->nsid == 0xffffffff))
		return NVME_INVALID_NAMESPACE;
	if (req->ns && req->ns->formatting)
		return NVME_FORMAT_IN_PROGRESS;
	switch (cmd->opcode) {
	case CMD_FLUSH:
		return nvme_flush(req);
	case CMD_WRITE:
		return read_write(req, true);
	case CMD_READ:
		return read_write(req, false);
	case CMD_COMPARE:
	case CMD_VERIFY:
		return compare(req);
	case CMD_WRITE_ZEROES:
		return write_zeroes(req);
	case CMD_DSM:
		return dataset_management(req);
	default:
		return NVME_INVALID_OPCODE;
	}
}
