// SPDX-License-Identifier: GPL-2.0-only
/* Admin commands (NVMe 1.4 section 5) but Identify and Get Log Page, and the features. */
#include <string.h>

#include "nvme.h"

enum {
	ADMIN_DELETE_SQ = 0x00,
	ADMIN_CREATE_SQ = 0x01,
	ADMIN_GET_LOG = 0x02,
	ADMIN_DELETE_CQ = 0x04,
	ADMIN_CREATE_CQ = 0x05,
	ADMIN_IDENTIFY = 0x06,
	ADMIN_ABORT = 0x08,
	ADMIN_SET_FEATURES = 0x09,
	ADMIN_GET_FEATURES = 0x0a,
	ADMIN_ASYNC_EVENT = 0x0c,
	ADMIN_DOORBELL_BUFFER = 0x7c,
	ADMIN_FORMAT = 0x80,
};

enum {
	FEAT_ARBITRATION = 0x01,
	FEAT_POWER = 0x02,
	FEAT_TEMPERATURE = 0x04,
	FEAT_ERROR_RECOVERY = 0x05,
	FEAT_WRITE_CACHE = 0x06,
	FEAT_QUEUES = 0x07,
	FEAT_COALESCING = 0x08,
	FEAT_VECTOR = 0x09,
	FEAT_ATOMICITY = 0x0a,
	FEAT_ASYNC_EVENT = 0x0b,
};

/**
 * nvme_features_reset() - defaults
 * @c: controller
 */
void nvme_features_reset(struct nvme_ctrl *c)
{
	memset(&c->feat, 0, sizeof(c->feat));
	c->feat.write_cache = c->ns[0].disk.opt.cache != DISK_WRITETHROUGH;
	c->feat.temp_over = 343;
}

static int create_cq(struct nvme_ctrl *c, const struct nvme_cmd *cmd)
{
	unsigned int qid = cmd->cdw10 & 0xffff;

	/* CAP.CQR: queues must be contiguous */
	if (!(cmd->cdw11 & 1))
		return NVME_INVALID_FIELD;
	if (!qid)
		return NVME_INVALID_QID;
	return nvme_create_cq(c, qid, cmd->prp1, (cmd->cdw10 >> 16) + 1, cmd->cdw11 & 2,
			      cmd->cdw11 >> 16);
}

static int create_sq(struct nvme_ctrl *c, const struct nvme_cmd *cmd)
{
	unsigned int qid = cmd->cdw10 & 0xffff;

	if (!(cmd->cdw11 & 1))
		return NVME_INVALID_FIELD;
	if (!qid)
		return NVME_INVALID_QID;
	return nvme_create_sq(c, qid, cmd->prp1, (cmd->cdw10 >> 16) + 1, cmd->cdw11 >> 16);
}

/* Asynchronous event requests only: what is with the kernel ends when it ends. */
static int abort_cmd(struct nvme_req *req)
{
	const struct nvme_cmd *cmd = &req->cmd;
	struct nvme_ctrl *c = req->c;
	unsigned int sqid = cmd->cdw10 & 0xffff, i;
	uint16_t cid = cmd->cdw10 >> 16;

	req->result = 1;
	for (i = 0; !sqid && i < c->nr_aer; i++) {
		if (c->aer[i] != cid)
			continue;
		/* Two completions: with room for one only, the abort is answered "not aborted". */
		if (!nvme_cq_room(c, 0))
			break;
		c->nr_aer--;
		memmove(&c->aer[i], &c->aer[i + 1], (c->nr_aer - i) * sizeof(c->aer[0]));
		req->result = 0;
		nvme_complete(c, 0, cid, NVME_ABORT_REQUESTED, 0);
		break;
	}
	return NVME_OK;
}

static int async_event(struct nvme_ctrl *c, const struct nvme_cmd *cmd)
{
	if (c->nr_aer == NVME_MAX_AER)
		return NVME_AER_LIMIT;
	c->aer[c->nr_aer++] = cmd->cid;
	return NVME_NO_COMPLETION;
}

static int get_features(struct nvme_req *req)
{
	const struct nvme_cmd *cmd = &req->cmd;
	struct nvme_ctrl *c = req->c;
	const struct nvme_features *f = &c->feat;
	unsigned int vector = cmd->cdw11 & 0xffff;

	/* The SEL field needs ONCS bit 4, which is not claimed. */
	if (cmd->cdw10 & 0x700)
		return NVME_INVALID_FIELD;
	switch (cmd->cdw10 & 0xff) {
	case FEAT_ARBITRATION:
		req->result = f->arbitration;
		break;
	case FEAT_POWER:
		req->result = f->power;
		break;
	case FEAT_TEMPERATURE:
		/* TMPSEL: the composite temperature only */
		if (cmd->cdw11 & 0xf0000)
			return NVME_INVALID_FIELD;
		req->result = cmd->cdw11 & 0x100000 ? f->temp_under : f->temp_over;
		break;
	case FEAT_ERROR_RECOVERY:
		req->result = f->error_recovery;
		break;
	case FEAT_WRITE_CACHE:
		req->result = f->write_cache;
		break;
	case FEAT_QUEUES:
		req->result = (c->nr_ioq - 1) << 16 | (c->nr_ioq - 1);
		break;
	case FEAT_COALESCING:
		req->result = f->coalescing;
		break;
	case FEAT_VECTOR:
		if (vector > c->nr_ioq)
			return NVME_INVALID_FIELD;
		req->result = f->no_coalescing[vector] | vector;
		break;
	case FEAT_ATOMICITY:
		req->result = f->atomicity;
		break;
	case FEAT_ASYNC_EVENT:
		req->result = f->async_events;
		break;
	default:
		return NVME_INVALID_FIELD;
	}
	return NVME_OK;
}

static int set_temperature(struct nvme_ctrl *c, uint32_t v)
{
	uint32_t sel = v >> 20 & 3;

	if (v & 0xf0000 || sel > 1)
		return NVME_INVALID_FIELD;
	if (sel)
		c->feat.temp_under = (uint16_t)v;
	else
		c->feat.temp_over = (uint16_t)v;
	/* SMART event 1: temperature threshold */
	if (nvme_critical_warning(c) & c->feat.async_events)
		nvme_event(c, NVME_EVENT_SMART, 1);
	return NVME_OK;
}

static int set_features(struct nvme_req *req)
{
	const struct nvme_cmd *cmd = &req->cmd;
	struct nvme_ctrl *c = req->c;
	struct nvme_features *f = &c->feat;
	uint32_t v = cmd->cdw11;

	/* the SV bit: nothing is saved across power cycles */
	if (cmd->cdw10 >> 31)
		return NVME_FEATURE_NOT_SAVEABLE;
	switch (cmd->cdw10 & 0xff) {
	case FEAT_ARBITRATION:
		f->arbitration = v;
		break;
	case FEAT_POWER:
		/* there is one power state */
		if (v & 0x1f)
			return NVME_INVALID_FIELD;
		f->power = v;
		break;
	case FEAT_TEMPERATURE:
		return set_temperature(c, v);
	case FEAT_ERROR_RECOVERY:
		f->error_recovery = v;
		break;
	case FEAT_WRITE_CACHE:
		f->write_cache = v & 1;
		if (!f->write_cache)
			return nvme_flush(req);
		break;
	case FEAT_QUEUES:
		/* Zero-based numbers; the answer is what there is, the driver takes the smaller. */
		if ((v & 0xffff) == 0xffff || v >> 16 == 0xffff)
			return NVME_INVALID_FIELD;
		req->result = (c->nr_ioq - 1) << 16 | (c->nr_ioq - 1);
		break;
	case FEAT_COALESCING:
		f->coalescing = v & 0xffff;
		break;
	case FEAT_VECTOR:
		if ((v & 0xffff) > c->nr_ioq)
			return NVME_INVALID_FIELD;
		f->no_coalescing[v & 0xffff] = v & 0x10000;
		break;
	case FEAT_ATOMICITY:
		f->atomicity = v & 1;
		break;
	case FEAT_ASYNC_EVENT:
		f->async_events = v & (NVME_ASYNC_SMART | NVME_ASYNC_NS);
		break;
	default:
		return NVME_INVALID_FIELD;
	}
	return NVME_OK;
}

/**
 * nvme_admin() - execute a command of the admin queue
 * @req: command; its result is set where it has one
 *
 * Return: a status, NVME_PENDING or NVME_NO_COMPLETION.
 */
int nvme_admin(struct nvme_req *req)
{
	const struct nvme_cmd *cmd = &req->cmd;
	struct nvme_ctrl *c = req->c;

	switch (cmd->opcode) {
	case ADMIN_DELETE_SQ:
		return nvme_delete_sq(req, cmd->cdw10 & 0xffff);
	case ADMIN_CREATE_SQ:
		return create_sq(c, cmd);
	case ADMIN_GET_LOG:
		return nvme_get_log(c, cmd);
	case ADMIN_DELETE_CQ:
		return nvme_delete_cq(c, cmd->cdw10 & 0xffff);
	case ADMIN_CREATE_CQ:
		return create_cq(c, cmd);
	case ADMIN_IDENTIFY:
		return nvme_identify(req);
	case ADMIN_ABORT:
		return abort_cmd(req);
	case ADMIN_SET_FEATURES:
		return set_features(req);
	case ADMIN_GET_FEATURES:
		return get_features(req);
	case ADMIN_ASYNC_EVENT:
		return async_event(c, cmd);
	case ADMIN_DOORBELL_BUFFER:
		return nvme_shadow_config(c, cmd);
	case ADMIN_FORMAT:
		return nvme_format(req);
	default:
		return NVME_INVALID_OPCODE;
	}
}
