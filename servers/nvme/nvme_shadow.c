// SPDX-License-Identifier: GPL-2.0-only
/*
 * Shadow doorbells: the Doorbell Buffer Config command (NVMe 1.4 section 5.7 and appendix B.5).
 *
 * The driver stores the doorbells of I/O queues into a page of its memory, and writes a register
 * only where the value passes one that we left in a second page, the event index. So a busy
 * controller costs the driver no trap, and an idle one may sleep: it sets the event indices to what
 * it has seen, and looks once more.
 *
 * The pages belong to the driver, which may do anything with them: what comes from there is checked
 * as any other doorbell, and both are looked up again for each scan, since their memory can go.
 */
#include <stddef.h>

#include "nvme.h"

/* As far away as can be: the driver does not pass it before its next turn around the queue. */
#define NEVER(seen)	(((seen) + 0x8000u) & 0xffffu)

static uint32_t *page(struct nvme_ctrl *c, uint64_t addr, bool write)
{
	struct iovec v;

	return vfus_dma_iov(c->vfus, addr, NVME_PAGE, write, &v, 1) == 1 ? v.iov_base : NULL;
}

/**
 * nvme_shadow_config() - the command
 * @c: controller
 * @cmd: PRP 1 is the doorbells' page, PRP 2 that of the event indices
 *
 * Return: a status; without the memory mapped here there are no shadow doorbells.
 */
int nvme_shadow_config(struct nvme_ctrl *c, const struct nvme_cmd *cmd)
{
	if (!c->shadow_offered)
		return NVME_INVALID_OPCODE;
	if ((cmd->prp1 | cmd->prp2) & (NVME_PAGE - 1))
		return NVME_INVALID_PRP_OFFSET;
	if (!page(c, cmd->prp1, false) || !page(c, cmd->prp2, true))
		return NVME_INVALID_FIELD;
	c->shadow_addr[0] = cmd->prp1;
	c->shadow_addr[1] = cmd->prp2;
	c->shadow = true;
	c->more = true;
	return NVME_OK;
}

/**
 * nvme_shadow_look() - find both pages, before doorbells are looked at
 * @c: controller
 */
void nvme_shadow_look(struct nvme_ctrl *c)
{
	c->shadow_db = c->shadow ? page(c, c->shadow_addr[0], false) : NULL;
	c->shadow_ei = c->shadow_db ? page(c, c->shadow_addr[1], true) : NULL;
	if (!c->shadow_ei)
		c->shadow_db = NULL;
}

static void set_event(struct nvme_ctrl *c, unsigned int i, uint32_t v)
{
	__atomic_store_n(&c->shadow_ei[i], v, __ATOMIC_RELAXED);
}

static uint32_t stored(const struct nvme_ctrl *c, unsigned int i)
{
	return __atomic_load_n(&c->shadow_db[i], __ATOMIC_RELAXED);
}

/**
 * nvme_shadow_arm() - we are about to sleep: have the driver wake us
 * @c: controller, after a scan that found nothing
 *
 * Return: true if there is something to do after all.
 */
bool nvme_shadow_arm(struct nvme_ctrl *c)
{
	unsigned int i;

	nvme_shadow_look(c);
	if (!c->shadow_ei)
		return false;
	for (i = 1; i <= c->nr_ioq; i++) {
		if (c->sq[i].used)
			set_event(c, i * 2, c->sq[i].tail);
		/* Who consumes completions is only of interest where there is no room for more. */
		if (c->cq[i].used)
			set_event(c, i * 2 + 1, !nvme_cq_room(c, i) ? c->cq[i].head :
						NEVER(c->cq[i].head));
	}
	/* Pairs with the driver's barrier between storing a doorbell and reading its index. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	for (i = 1; i <= c->nr_ioq; i++) {
		if (c->sq[i].used && stored(c, i * 2) != c->sq[i].tail &&
		    stored(c, i * 2) != c->sq[i].refused)
			return true;
		if (c->cq[i].used && !nvme_cq_room(c, i) && stored(c, i * 2 + 1) != c->cq[i].head)
			return true;
	}
	return false;
}

/**
 * nvme_shadow_reset() - no shadow doorbells any more
 * @c: controller
 */
void nvme_shadow_reset(struct nvme_ctrl *c)
{
	c->shadow = false;
	c->shadow_db = NULL;
	c->shadow_ei = NULL;
}
