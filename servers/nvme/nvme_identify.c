// SPDX-License-Identifier: GPL-2.0-only
/* Identify (NVMe 1.4 section 5.15): what the controller and its namespace say about themselves. */
#include <string.h>

#include "nvme.h"

enum {
	CNS_NAMESPACE = 0x00,
	CNS_CONTROLLER = 0x01,
	CNS_ACTIVE_LIST = 0x02,
	CNS_DESCRIPTORS = 0x03,
};

static void put(uint8_t *p, unsigned int bytes, uint64_t v)
{
	/* little-endian, as everything here */
	for (; bytes; bytes--, v >>= 8)
		*p++ = (uint8_t)v;
}

/* ASCII fields are filled up with spaces and have no NUL. */
static void put_text(uint8_t *p, size_t len, const char *text)
{
	memset(p, ' ', len);
	memcpy(p, text, strnlen(text, len));
}

static void identify_controller(const struct nvme_ctrl *c, uint8_t *p)
{
	put(p + 0, 2, c->pci_vendor);
	put(p + 2, 2, c->pci_sub_vendor);
	put_text(p + 4, 20, c->serial);
	put_text(p + 24, 40, c->model);
	put_text(p + 64, 8, "1.0");
	p[72] = 6;				/* RAB */
	p[77] = NVME_MDTS;
	put(p + 80, 4, 0x00010400);		/* VER */
	p[111] = 1;				/* CNTRLTYPE: I/O */
	put(p + 88, 4, 60000000);		/* RTD3E: what a shutdown may take, microseconds */
	put(p + 92, 4, NVME_ASYNC_NS);		/* OAES */
	put(p + 256, 2, 2 | (c->shadow_offered ? 0x100 : 0));	/* OACS: format, doorbell buffers */
	p[258] = 3;				/* ACL: four aborts at a time */
	p[259] = NVME_MAX_AER - 1;		/* AERL */
	p[260] = 0x03;				/* FRMW: one firmware slot, read-only */
	p[261] = 0x06;				/* LPA: effects, long offsets */
	p[262] = NVME_ERROR_ENTRIES - 1;	/* ELPE */
	put(p + 266, 2, 343);			/* WCTEMP, kelvin */
	put(p + 268, 2, 353);			/* CCTEMP */
	p[512] = 0x66;				/* SQES: 64 bytes */
	p[513] = 0x44;				/* CQES: 16 bytes */
	put(p + 514, 2, NVME_MAX_DEPTH);	/* MAXCMD */
	put(p + 516, 4, c->nr_ns);		/* NN */
	put(p + 520, 2, 0x8d);			/* ONCS: compare, DSM, write zeroes, verify */
	/* VWC: present; flush takes all namespaces */
	p[525] = 6 | (c->ns[0].disk.opt.cache != DISK_WRITETHROUGH);
	memcpy(p + 768, c->subnqn, strlen(c->subnqn));
	put(p + 2048, 2, 2500);			/* power state 0: 25 W */
}

static void identify_namespace(const struct nvme_ns *ns, uint8_t *p)
{
	uint64_t blocks = ns->disk.physical >> ns->lba_shift, whole = blocks - (blocks != 0);

	put(p + 0, 8, ns->blocks);		/* NSZE */
	put(p + 8, 8, ns->blocks);		/* NCAP */
	put(p + 16, 8, ns->blocks);		/* NUSE */
	p[24] = 0x10;				/* NSFEAT: there are NPWG to NOWS */
	/* DLFEAT: deallocated is zeros, DEAC works */
	p[33] = ns->disk.opt.no_discard ? 0 : 0x09;
	put(p + 64, 2, whole);			/* NPWG: what is written without reading before */
	put(p + 66, 2, whole);			/* NPWA */
	put(p + 68, 2, whole);			/* NPDG */
	put(p + 70, 2, whole);			/* NPDA */
	put(p + 72, 2, (NVME_MAX_XFER >> ns->lba_shift) - 1);	/* NOWS */
	p[99] = ns->disk.opt.read_only;		/* NSATTR: write protected */
	memcpy(p + 104, ns->uuid, 16);		/* NGUID */
	p[130] = (uint8_t)ns->lba_shift;	/* LBAF0: LBADS */
}

/* What all namespaces have in common: the format. */
static void identify_common(const struct nvme_ns *ns, uint8_t *p)
{
	p[130] = (uint8_t)ns->lba_shift;
}

static void identify_descriptors(const struct nvme_ns *ns, uint8_t *p)
{
	p[0] = 2;				/* NGUID */
	p[1] = 16;
	memcpy(p + 4, ns->uuid, 16);
	p[20] = 3;				/* UUID */
	p[21] = 16;
	memcpy(p + 24, ns->uuid, 16);
}

static void size_known(struct io *io)
{
	struct nvme_req *req = nvme_req_of(io);
	uint8_t page[4096] = { 0 };
	int status = NVME_ABORT_REQUESTED;

	if (nvme_req_current(req)) {
		if (!io->result)
			nvme_ns_resize(req->c, req->ns, io->len, false);
		identify_namespace(req->ns, page);
		status = nvme_to_host(req->c, &req->cmd, page, sizeof(page));
	}
	nvme_finish(req, status);
}

/* Whoever asks may have been told that its size has changed. */
static int look_and_identify(struct nvme_req *req, struct nvme_ns *ns)
{
	req->ns = ns;
	return nvme_req_submit(req, IO_SIZE, size_known);
}

/**
 * nvme_identify() - the Identify command
 * @req: command
 *
 * Return: a status or NVME_PENDING.
 */
int nvme_identify(struct nvme_req *req)
{
	const struct nvme_cmd *cmd = &req->cmd;
	struct nvme_ctrl *c = req->c;
	struct nvme_ns *ns = nvme_ns(c, cmd->nsid);
	uint8_t page[4096] = { 0 };
	uint32_t i;

	switch (cmd->cdw10 & 0xff) {
	case CNS_NAMESPACE:
		if (!ns && cmd->nsid != 0xffffffff)
			return NVME_INVALID_NAMESPACE;
		if (ns)
			return look_and_identify(req, ns);
		identify_common(&c->ns[0], page);
		break;
	case CNS_CONTROLLER:
		identify_controller(c, page);
		break;
	case CNS_ACTIVE_LIST:
		if (cmd->nsid >= 0xfffffffe)
			return NVME_INVALID_NAMESPACE;
		/* identifiers above the given one */
		for (i = cmd->nsid; i < c->nr_ns; i++)
			put(page + (i - cmd->nsid) * 4, 4, i + 1);
		break;
	case CNS_DESCRIPTORS:
		if (!ns)
			return NVME_INVALID_NAMESPACE;
		identify_descriptors(ns, page);
		break;
	default:
		return NVME_INVALID_FIELD;
	}
	return nvme_to_host(c, cmd, page, sizeof(page));
}
