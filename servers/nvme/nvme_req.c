// SPDX-License-Identifier: GPL-2.0-only
/*
 * Commands that are being executed. All there can be are made at the start, since a disk that
 * memory is written to must not need any: with none left, commands wait in their queues.
 */
#include <errno.h>
#include <stdlib.h>

#include "nvme.h"

/**
 * nvme_reqs_init() - make them
 * @c: controller
 *
 * Return: 0 or -ENOMEM.
 */
int nvme_reqs_init(struct nvme_ctrl *c)
{
	unsigned int i;

	c->reqs = calloc(NVME_MAX_REQS, sizeof(*c->reqs));
	for (i = 0; c->reqs && i < NVME_MAX_REQS; i++) {
		c->reqs[i].c = c;
		c->reqs[i].next = c->free_reqs;
		c->free_reqs = &c->reqs[i];
	}
	return c->reqs ? 0 : -ENOMEM;
}

/**
 * nvme_reqs_exit() - free them; none is being executed
 * @c: controller
 */
void nvme_reqs_exit(struct nvme_ctrl *c)
{
	free(c->reqs);
	c->reqs = NULL;
	c->free_reqs = NULL;
}

/**
 * nvme_req_get() - a command begins
 * @c: controller
 * @sqid: where it came from; there is room for its completion
 *
 * Return: it, for nvme_finish() or nvme_req_put(), or NULL with all in use.
 */
struct nvme_req *nvme_req_get(struct nvme_ctrl *c, unsigned int sqid)
{
	struct nvme_req *req = c->free_reqs;

	if (!req)
		return NULL;
	c->free_reqs = req->next;
	req->sqid = (uint16_t)sqid;
	req->generation = c->generation;
	req->result = 0;
	req->ns = NULL;
	req->medium = NULL;
	req->status = NVME_OK;
	c->sq[sqid].busy++;
	c->cq[c->sq[sqid].cqid].reserved++;
	return req;
}

/**
 * nvme_req_current() - is there still somebody who waits for it?
 * @req: command
 *
 * Return: false where the controller has been reset, or has lost its client, since it began.
 */
bool nvme_req_current(const struct nvme_req *req)
{
	return req->generation == req->c->generation;
}

/**
 * nvme_req_put() - a command ends without a completion now
 * @req: command
 */
void nvme_req_put(struct nvme_req *req)
{
	struct nvme_ctrl *c = req->c;

	if (nvme_req_current(req)) {
		c->sq[req->sqid].busy--;
		c->cq[c->sq[req->sqid].cqid].reserved--;
	}
	req->next = c->free_reqs;
	c->free_reqs = req;
}

/**
 * nvme_req_of() - whose operation is it?
 * @io: a command's
 *
 * Return: the command.
 */
struct nvme_req *nvme_req_of(struct io *io)
{
	return (struct nvme_req *)((char *)io - offsetof(struct nvme_req, io));
}

/**
 * nvme_req_submit() - begin an operation on the disk of a command's namespace
 * @req: command
 * @op: operation; what else it takes is set
 * @done: called at its end
 *
 * Return: NVME_PENDING.
 */
int nvme_req_submit(struct nvme_req *req, enum io_op op, void (*done)(struct io *))
{
	req->io.op = op;
	req->io.disk = &req->ns->disk;
	req->io.done = done;
	io_submit(&req->c->io, &req->io);
	return NVME_PENDING;
}

/**
 * nvme_finish() - a command ends
 * @req: command
 * @status: its status; an error is also logged
 */
void nvme_finish(struct nvme_req *req, int status)
{
	struct nvme_ctrl *c = req->c;
	bool current = nvme_req_current(req);
	struct nvme_sq *q = &c->sq[req->sqid];
	struct nvme_req *deleting;

	nvme_req_put(req);
	if (!current)
		return;
	if (status)
		nvme_log_error(c, req->sqid, req->cmd.cid, (uint16_t)status, 0xffff);
	/* A command that made the controller stop, or lose its client, gets no answer. */
	if (nvme_running(c))
		nvme_complete(c, req->sqid, req->cmd.cid, (uint16_t)status, req->result);
	deleting = q->deleting;
	if (deleting && !q->busy) {
		q->deleting = NULL;
		q->used = false;
		nvme_finish(deleting, NVME_OK);
	}
}
