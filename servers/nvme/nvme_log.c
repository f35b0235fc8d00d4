// SPDX-License-Identifier: GPL-2.0-only
/*
 * Log pages and asynchronous events (NVMe 1.4 sections 5.14 and 5.2). An event type is reported
 * once and then stays silent until its log page has been read.
 */
#include <string.h>

#include "nvme.h"

#define TEMPERATURE	307	/* kelvin */

enum {
	LOG_ERROR = 0x01,
	LOG_SMART = 0x02,
	LOG_FIRMWARE = 0x03,
	LOG_CHANGED_NS = 0x04,
	LOG_EFFECTS = 0x05,
};

static void put(uint8_t *p, unsigned int bytes, uint64_t v)
{
	for (; bytes; bytes--, v >>= 8)
		*p++ = (uint8_t)v;
}

/**
 * nvme_critical_warning() - the SMART log's first byte
 * @c: controller
 *
 * Return: bit 1 where the temperature is beyond a threshold, bit 2 where a disk has lost what it
 * had promised to keep, bit 3 where one cannot be written.
 */
uint8_t nvme_critical_warning(const struct nvme_ctrl *c)
{
	uint8_t v = 0;
	unsigned int i;

	if (TEMPERATURE >= c->feat.temp_over || TEMPERATURE <= c->feat.temp_under)
		v |= 2;
	for (i = 0; i < c->nr_ns; i++) {
		if (c->ns[i].disk.opt.read_only)
			v |= 8;
		/* not reliable, and nothing is written to it any more */
		if (disk_lost(&c->ns[i].disk))
			v |= 4 | 8;
	}
	return v;
}

/**
 * nvme_log_error() - add to the error information log
 * @c: controller
 * @sqid: submission queue or 0xffff
 * @cid: command or 0xffff
 * @status: status
 * @param: byte and bit of the command in error or 0xffff
 */
void nvme_log_error(struct nvme_ctrl *c, unsigned int sqid, uint16_t cid, uint16_t status,
		    uint16_t param)
{
	struct nvme_error *e = &c->errors[c->nr_errors % NVME_ERROR_ENTRIES];

	*e = (struct nvme_error){
		.count = ++c->nr_errors, .sqid = (uint16_t)sqid, .cid = cid,
		.status = (uint16_t)(status << 1), .param = param,
	};
}

/**
 * nvme_event() - something the driver may want to know
 * @c: controller
 * @type: kind of event
 * @info: which one, as the specification numbers them
 */
void nvme_event(struct nvme_ctrl *c, enum nvme_event type, uint8_t info)
{
	if (c->event_masked[type] || c->event_pending[type])
		return;
	c->event_pending[type] = true;
	c->event_info[type] = info;
}

/**
 * nvme_post_events() - complete event requests with what has happened
 * @c: controller, running
 */
void nvme_post_events(struct nvme_ctrl *c)
{
	static const uint8_t log[NVME_EVENTS] = { LOG_ERROR, LOG_SMART, LOG_CHANGED_NS };
	static const uint8_t type[NVME_EVENTS] = { 0, 1, 2 };
	unsigned int i;

	for (i = 0; i < NVME_EVENTS; i++) {
		uint16_t cid;

		if (!c->event_pending[i] || !c->nr_aer || !nvme_cq_room(c, 0))
			continue;
		c->event_pending[i] = false;
		c->event_masked[i] = true;
		cid = c->aer[0];
		c->nr_aer--;
		memmove(&c->aer[0], &c->aer[1], c->nr_aer * sizeof(c->aer[0]));
		nvme_complete(c, 0, cid, NVME_OK, type[i] | (uint32_t)c->event_info[i] << 8 |
			      (uint32_t)log[i] << 16);
	}
}

/**
 * nvme_events_reset() - drop event requests and events; the error log stays
 * @c: controller
 */
void nvme_events_reset(struct nvme_ctrl *c)
{
	c->nr_aer = 0;
	memset(c->event_pending, 0, sizeof(c->event_pending));
	memset(c->event_masked, 0, sizeof(c->event_masked));
}

static void error_log(const struct nvme_ctrl *c, uint8_t *p)
{
	uint64_t i;

	/* newest first */
	for (i = 0; i < NVME_ERROR_ENTRIES && i < c->nr_errors; i++)
		memcpy(p + i * sizeof(struct nvme_error),
		       &c->errors[(c->nr_errors - 1 - i) % NVME_ERROR_ENTRIES],
		       sizeof(struct nvme_error));
}

/* "Data units" are thousands of 512 bytes, rounded up. */
static uint64_t units(uint64_t bytes)
{
	return (bytes + 511999) / 512000;
}

static void smart_log(const struct nvme_ctrl *c, uint8_t *p)
{
	p[0] = nvme_critical_warning(c);
	put(p + 1, 2, TEMPERATURE);
	p[3] = 100;				/* available spare, percent */
	p[4] = 10;				/* its threshold */
	put(p + 32, 8, units(c->read_bytes));
	put(p + 48, 8, units(c->written_bytes));
	put(p + 64, 8, c->reads);
	put(p + 80, 8, c->writes);
	put(p + 112, 8, 1);			/* power cycles: this process */
	put(p + 176, 8, c->nr_errors);
}

/* The namespaces whose size changed since it was read last. */
static void changed_log(const struct nvme_ctrl *c, uint8_t *p)
{
	unsigned int i;

	for (i = 0; i < c->nr_ns; i++) {
		if (!c->ns[i].changed)
			continue;
		put(p, 4, i + 1);
		p += 4;
	}
}

static void firmware_log(uint8_t *p)
{
	p[0] = 1;				/* slot 1 is active */
	memcpy(p + 8, "1.0     ", 8);
}

static void effects_log(const struct nvme_ctrl *c, uint8_t *p)
{
	static const uint8_t admin[] = { 0x00, 0x01, 0x02, 0x04, 0x05, 0x06, 0x08, 0x09, 0x0a,
					 0x0c };
	static const uint8_t reads[] = { 0x00, 0x02, 0x05, 0x0c }, writes[] = { 0x01, 0x08, 0x09 };
	size_t i;

	/* bit 0: supported; bit 1: changes the content of blocks */
	for (i = 0; i < sizeof(admin); i++)
		put(p + admin[i] * 4, 4, 1);
	/* format: changes blocks, with no other command for the namespace going on */
	put(p + 0x80 * 4, 4, 0x10003);
	if (c->shadow_offered)
		put(p + 0x7c * 4, 4, 1);
	for (i = 0; i < sizeof(reads); i++)
		put(p + 1024 + reads[i] * 4, 4, 1);
	for (i = 0; i < sizeof(writes); i++)
		put(p + 1024 + writes[i] * 4, 4, 3);
}

/**
 * nvme_get_log() - the Get Log Page command
 * @c: controller
 * @cmd: command
 *
 * Return: a status. Bytes past the end of the page are zeros.
 */
int nvme_get_log(struct nvme_ctrl *c, const struct nvme_cmd *cmd)
{
	uint64_t dwords = ((uint64_t)(cmd->cdw11 & 0xffff) << 16 | cmd->cdw10 >> 16) + 1;
	uint64_t offset = (uint64_t)cmd->cdw13 << 32 | cmd->cdw12;
	bool retain = cmd->cdw10 & 0x8000;
	unsigned int id = cmd->cdw10 & 0xff;
	uint8_t page[8192] = { 0 };
	unsigned int i;
	size_t size;
	int status;

	switch (id) {
	case LOG_ERROR:
		size = NVME_ERROR_ENTRIES * sizeof(struct nvme_error);
		error_log(c, page);
		break;
	case LOG_SMART:
		/* for the controller; there is no log per namespace */
		if (cmd->nsid && cmd->nsid != 0xffffffff)
			return NVME_INVALID_FIELD;
		size = 512;
		smart_log(c, page);
		break;
	case LOG_FIRMWARE:
		size = 512;
		firmware_log(page);
		break;
	case LOG_CHANGED_NS:
		size = 4096;
		changed_log(c, page);
		break;
	case LOG_EFFECTS:
		size = 4096;
		effects_log(c, page);
		break;
	default:
		return NVME_INVALID_LOG;
	}
	if (offset & 3 || offset > size)
		return NVME_INVALID_FIELD;
	if (dwords > 1024)
		return NVME_INVALID_FIELD;
	/* page[] has 4096 bytes of zeros behind the longest log */
	status = nvme_to_host(c, cmd, page + offset, (uint32_t)dwords * 4);
	if (!status && !retain && id == LOG_ERROR)
		c->event_masked[NVME_EVENT_ERROR] = false;
	if (!status && !retain && id == LOG_SMART)
		c->event_masked[NVME_EVENT_SMART] = false;
	if (!status && !retain && id == LOG_CHANGED_NS) {
		c->event_masked[NVME_EVENT_NS_CHANGED] = false;
		for (i = 0; i < c->nr_ns; i++)
			c->ns[i].changed = false;
	}
	return status;
}
