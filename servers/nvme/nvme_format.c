// SPDX-License-Identifier: GPL-2.0-only
/*
 * Format NVM (NVMe 1.4 section 5.23): there is one format, so all that it does is to erase. What
 * was there reads as zeros when it has completed; where the backing keeps it below, a file system's
 * or a drive's matter, is not ours to know.
 */
#include <stddef.h>

#include "nvme.h"

/* cdw10 */
#define LBAF(v)		((v) & 0xf)
/* metadata and protection, of which there are none */
#define OPTIONS(v)	((v) >> 4 & 0x1f)
#define SES(v)		((v) >> 9 & 7)
#define SES_CRYPTO	2

static void next(struct io *io)
{
	struct nvme_req *req = nvme_req_of(io);

	if (req->ns)
		req->ns->formatting = false;
	if (io->result || !req->left) {
		nvme_finish(req, nvme_write_status(io->result));
		return;
	}
	req->left--;
	req->ns = &req->c->ns[req->at++];
	req->ns->formatting = true;
	io->offset = 0;
	io->len = req->ns->blocks << req->ns->lba_shift;
	io->durable = true;
	nvme_req_submit(req, req->ns->disk.opt.no_discard ? IO_ZERO : IO_DISCARD, next);
}

/**
 * nvme_format() - the Format NVM command
 * @req: command
 *
 * Return: a status or NVME_PENDING.
 */
int nvme_format(struct nvme_req *req)
{
	uint32_t v = req->cmd.cdw10;
	unsigned int i;

	req->ns = nvme_ns(req->c, req->cmd.nsid);
	if (!req->ns && req->cmd.nsid != 0xffffffff)
		return NVME_INVALID_NAMESPACE;
	if (LBAF(v) || OPTIONS(v))
		return NVME_INVALID_FORMAT;
	if (SES(v) >= SES_CRYPTO)
		return NVME_INVALID_FIELD;
	req->at = req->ns ? (unsigned int)(req->ns - req->c->ns) : 0;
	req->left = req->ns ? 1 : req->c->nr_ns;
	for (i = req->at; i < req->at + req->left; i++) {
		if (req->c->ns[i].disk.opt.read_only)
			return NVME_WRITE_PROTECTED;
		if (req->c->ns[i].formatting)
			return NVME_FORMAT_IN_PROGRESS;
	}
	req->ns = NULL;
	req->io.result = 0;
	next(&req->io);
	return NVME_PENDING;
}
