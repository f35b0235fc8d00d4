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
	put(p + 256, 2, c->shadow_offered ? 0x100 : 0);	/* OACS: doorbell buffers */
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
	put(p + 516, 4, 1);			/* NN */
	put(p + 520, 2, 0x0d);			/* ONCS: compare, DSM, write zeroes */
	p[525] = 0x07;				/* VWC: present; flush takes all namespaces */
	memcpy(p + 768, c->subnqn, strlen(c->subnqn));
	put(p + 2048, 2, 2500);			/* power state 0: 25 W */
}

static void identify_namespace(const struct nvme_ctrl *c, uint8_t *p)
{
	put(p + 0, 8, nvme_blocks(c));		/* NSZE */
	put(p + 8, 8, nvme_blocks(c));		/* NCAP */
	put(p + 16, 8, nvme_blocks(c));		/* NUSE */
	p[33] = 0x09;				/* DLFEAT: deallocated is zeros, DEAC works */
	p[99] = c->disk.read_only;		/* NSATTR: write protected */
	memcpy(p + 104, c->uuid, 16);		/* NGUID */
	p[130] = (uint8_t)c->lba_shift;		/* LBAF0: LBADS */
}

static void identify_descriptors(const struct nvme_ctrl *c, uint8_t *p)
{
	p[0] = 2;				/* NGUID */
	p[1] = 16;
	memcpy(p + 4, c->uuid, 16);
	p[20] = 3;				/* UUID */
	p[21] = 16;
	memcpy(p + 24, c->uuid, 16);
}

/**
 * nvme_identify() - the Identify command
 * @c: controller
 * @cmd: command
 *
 * Return: a status.
 */
int nvme_identify(struct nvme_ctrl *c, const struct nvme_cmd *cmd)
{
	uint8_t page[4096] = { 0 };

	switch (cmd->cdw10 & 0xff) {
	case CNS_NAMESPACE:
		/* The broadcast value asks for what all namespaces have in common. */
		if (cmd->nsid != 1 && cmd->nsid != 0xffffffff)
			return NVME_INVALID_NAMESPACE;
		identify_namespace(c, page);
		break;
	case CNS_CONTROLLER:
		identify_controller(c, page);
		break;
	case CNS_ACTIVE_LIST:
		if (cmd->nsid >= 0xfffffffe)
			return NVME_INVALID_NAMESPACE;
		/* identifiers above the given one */
		if (!cmd->nsid)
			put(page, 4, 1);
		break;
	case CNS_DESCRIPTORS:
		if (cmd->nsid != 1)
			return NVME_INVALID_NAMESPACE;
		identify_descriptors(c, page);
		break;
	default:
		return NVME_INVALID_FIELD;
	}
	return nvme_to_host(c, cmd, page, sizeof(page));
}
