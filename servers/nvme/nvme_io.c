// SPDX-License-Identifier: GPL-2.0-only
/*
 * NVM command set (NVMe 1.4 section 6): read, write, flush, compare, write zeroes, dataset
 * management. Data goes straight between the disk and the client's memory.
 */
#include <stdlib.h>
#include <string.h>

#include "nvme.h"

enum {
	IO_FLUSH = 0x00,
	IO_WRITE = 0x01,
	IO_READ = 0x02,
	IO_COMPARE = 0x05,
	IO_WRITE_ZEROES = 0x08,
	IO_DSM = 0x09,
};

#define CDW12_FUA	(1u << 30)
#define CDW12_DEAC	(1u << 25)
#define DSM_AD		(1u << 2)

struct dsm_range {
	uint32_t attributes;
	uint32_t blocks;
	uint64_t slba;
};

/**
 * nvme_blocks() - size of the namespace
 * @c: controller
 *
 * Return: logical blocks.
 */
uint64_t nvme_blocks(const struct nvme_ctrl *c)
{
	return c->disk.size >> c->lba_shift;
}

static bool in_range(const struct nvme_ctrl *c, uint64_t slba, uint64_t blocks)
{
	return slba <= nvme_blocks(c) && blocks <= nvme_blocks(c) - slba;
}

static uint64_t slba_of(const struct nvme_cmd *cmd)
{
	return (uint64_t)cmd->cdw11 << 32 | cmd->cdw10;
}

/* Without a volatile write cache every write is durable when it completes. */
static bool durable(const struct nvme_ctrl *c, const struct nvme_cmd *cmd)
{
	return cmd->cdw12 & CDW12_FUA || !c->feat.write_cache;
}

static int read_write(struct nvme_ctrl *c, const struct nvme_cmd *cmd, bool is_write)
{
	uint64_t slba = slba_of(cmd), blocks = (cmd->cdw12 & 0xffff) + 1;
	uint64_t len = blocks << c->lba_shift;
	struct nvme_data d;
	int status;

	if (len > NVME_MAX_XFER)
		return NVME_INVALID_FIELD;
	if (!in_range(c, slba, blocks))
		return NVME_LBA_OUT_OF_RANGE;
	if (is_write && c->disk.read_only)
		return NVME_WRITE_PROTECTED;
	status = nvme_data_get(c, cmd, (uint32_t)len, !is_write, &d);
	if (status)
		return status;
	if (is_write) {
		c->writes++;
		c->written_bytes += len;
		if (disk_write(&c->disk, d.iov, d.n, slba << c->lba_shift, durable(c, cmd)))
			status = NVME_WRITE_FAULT;
	} else {
		c->reads++;
		c->read_bytes += len;
		if (disk_read(&c->disk, d.iov, d.n, slba << c->lba_shift))
			status = NVME_READ_ERROR;
	}
	return nvme_data_put(c, &d, !is_write, status);
}

static int compare(struct nvme_ctrl *c, const struct nvme_cmd *cmd)
{
	uint64_t slba = slba_of(cmd), blocks = (cmd->cdw12 & 0xffff) + 1;
	uint64_t len = blocks << c->lba_shift;
	uint8_t *host, *medium;
	struct iovec v;
	int status;

	if (len > NVME_MAX_XFER)
		return NVME_INVALID_FIELD;
	if (!in_range(c, slba, blocks))
		return NVME_LBA_OUT_OF_RANGE;
	host = malloc(len);
	medium = malloc(len);
	v = (struct iovec){ medium, len };
	if (!host || !medium)
		status = NVME_INTERNAL_ERROR;
	else
		status = nvme_from_host(c, cmd, host, (uint32_t)len);
	if (!status && disk_read(&c->disk, &v, 1, slba << c->lba_shift))
		status = NVME_READ_ERROR;
	if (!status && memcmp(host, medium, len))
		status = NVME_COMPARE_FAILURE;
	free(host);
	free(medium);
	return status;
}

static int write_zeroes(struct nvme_ctrl *c, const struct nvme_cmd *cmd)
{
	uint64_t slba = slba_of(cmd), blocks = (cmd->cdw12 & 0xffff) + 1;
	uint64_t at = slba << c->lba_shift, len = blocks << c->lba_shift;
	int ret;

	if (!in_range(c, slba, blocks))
		return NVME_LBA_OUT_OF_RANGE;
	if (c->disk.read_only)
		return NVME_WRITE_PROTECTED;
	c->writes++;
	if (cmd->cdw12 & CDW12_DEAC) {
		ret = disk_discard(&c->disk, at, len);
		if (!ret && durable(c, cmd))
			ret = disk_flush(&c->disk);
	} else {
		ret = disk_zero(&c->disk, at, len, durable(c, cmd));
	}
	return ret ? NVME_WRITE_FAULT : NVME_OK;
}

static int dataset_management(struct nvme_ctrl *c, const struct nvme_cmd *cmd)
{
	struct dsm_range range[256];
	unsigned int n = (cmd->cdw10 & 0xff) + 1, i;
	int status;

	status = nvme_from_host(c, cmd, range, n * sizeof(range[0]));
	if (status)
		return status;
	for (i = 0; i < n; i++)
		if (!in_range(c, range[i].slba, range[i].blocks))
			return NVME_LBA_OUT_OF_RANGE;
	/* The other attributes are hints. */
	if (!(cmd->cdw11 & DSM_AD))
		return NVME_OK;
	if (c->disk.read_only)
		return NVME_WRITE_PROTECTED;
	for (i = 0; i < n; i++)
		if (disk_discard(&c->disk, range[i].slba << c->lba_shift,
				 (uint64_t)range[i].blocks << c->lba_shift))
			return NVME_WRITE_FAULT;
	return NVME_OK;
}

/**
 * nvme_io() - execute a command of an I/O queue
 * @c: controller
 * @cmd: our copy of the command
 *
 * Return: a status.
 */
int nvme_io(struct nvme_ctrl *c, const struct nvme_cmd *cmd)
{
	/* Flush may name all namespaces. */
	if (cmd->nsid != 1 && !(cmd->opcode == IO_FLUSH && cmd->nsid == 0xffffffff))
		return NVME_INVALID_NAMESPACE;
	switch (cmd->opcode) {
	case IO_FLUSH:
		return disk_flush(&c->disk) ? NVME_WRITE_FAULT : NVME_OK;
	case IO_WRITE:
		return read_write(c, cmd, true);
	case IO_READ:
		return read_write(c, cmd, false);
	case IO_COMPARE:
		return compare(c, cmd);
	case IO_WRITE_ZEROES:
		return write_zeroes(c, cmd);
	case IO_DSM:
		return dataset_management(c, cmd);
	default:
		return NVME_INVALID_OPCODE;
	}
}
