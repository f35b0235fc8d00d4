// SPDX-License-Identifier: GPL-2.0-only
/*
 * Submission and completion queues: doorbells, fetching, completing, interrupts.
 *
 * A doorbell is a dword of the doorbell page, whoever wrote it there: the client through its
 * mapping, or we on behalf of a REGION_WRITE; or one of the driver's memory (nvme_shadow.c).
 * scan() compares each with what it saw last.
 */
#include <errno.h>
#include <linux/vfio.h>
#include <string.h>

#include "nvme.h"

#define NONE	0xffffffffu

/* Looks at all doorbells, or microseconds with work, for one system call of the event loop. */
#define LOOKS	64
#define TURN_US	100

/*
 * A pause that is better looked through than slept through, which costs about half of this and
 * makes the pause itself so much longer.
 */
#define SHORT_US	40

/* Commands that the kernel is given at one time: see io_ring.c. */
#define PUSH		8

/* The controller is another thread's. */
#define LOST		(-1)

/* Pairs with the driver's write barrier between filling a queue entry and its doorbell write. */
static uint32_t doorbell(const struct nvme_ctrl *c, unsigned int qid, unsigned int cq)
{
	const uint32_t *db = qid && c->shadow_db ? c->shadow_db : c->db;

	return __atomic_load_n(&db[qid * 2 + cq], __ATOMIC_ACQUIRE);
}

static void clear_doorbell(struct nvme_ctrl *c, unsigned int qid, unsigned int cq)
{
	__atomic_store_n(&c->db[qid * 2 + cq], 0, __ATOMIC_RELEASE);
}

/**
 * nvme_queues_reset() - no queues, all doorbells zero, INTx down
 * @c: controller, in a new generation
 */
void nvme_queues_reset(struct nvme_ctrl *c)
{
	unsigned int i;

	for (i = 1; i <= c->nr_ioq; i++)
		if (c->sq[i].deleting)
			nvme_req_put(c->sq[i].deleting);
	memset(c->sq, 0, sizeof(c->sq));
	memset(c->cq, 0, sizeof(c->cq));
	memset(c->db, 0, NVME_DB_SIZE);
	c->more = false;
	vfus_irq_level(c->vfus, VFIO_PCI_INTX_IRQ_INDEX, false);
}

/**
 * nvme_create_cq() - section 5.3
 * @c: controller
 * @qid: 0 for the admin queue
 * @addr: DMA address of the ring
 * @size: entries
 * @ien: interrupts enabled
 * @vector: interrupt vector
 *
 * Return: a status.
 */
int nvme_create_cq(struct nvme_ctrl *c, unsigned int qid, uint64_t addr, uint32_t size,
		   bool ien, uint16_t vector)
{
	if (qid > c->nr_ioq || c->cq[qid].used)
		return NVME_INVALID_QID;
	if (size < 2 || size > NVME_MAX_DEPTH)
		return NVME_INVALID_QSIZE;
	if (vector > c->nr_ioq)
		return NVME_INVALID_VECTOR;
	if (addr & (NVME_PAGE - 1))
		return NVME_INVALID_PRP_OFFSET;
	clear_doorbell(c, qid, 1);
	c->cq[qid] = (struct nvme_cq){
		.used = true, .ien = ien, .phase = true, .vector = vector, .size = size,
		.addr = addr, .refused = NONE,
	};
	return NVME_OK;
}

/**
 * nvme_create_sq() - section 5.4
 * @c: controller
 * @qid: 0 for the admin queue
 * @addr: DMA address of the ring
 * @size: entries
 * @cqid: completion queue
 *
 * Return: a status.
 */
int nvme_create_sq(struct nvme_ctrl *c, unsigned int qid, uint64_t addr, uint32_t size,
		   uint16_t cqid)
{
	if (qid > c->nr_ioq || c->sq[qid].used)
		return NVME_INVALID_QID;
	if (cqid > c->nr_ioq || !c->cq[cqid].used || !qid != !cqid)
		return NVME_CQ_INVALID;
	if (size < 2 || size > NVME_MAX_DEPTH)
		return NVME_INVALID_QSIZE;
	if (addr & (NVME_PAGE - 1))
		return NVME_INVALID_PRP_OFFSET;
	clear_doorbell(c, qid, 0);
	c->sq[qid] = (struct nvme_sq){
		.used = true, .cqid = cqid, .size = size, .addr = addr, .refused = NONE,
	};
	return NVME_OK;
}

/**
 * nvme_delete_sq() - section 5.6; when the last of its commands has completed, it is done
 * @req: the command
 * @qid: I/O queue
 *
 * Return: a status or NVME_PENDING.
 */
int nvme_delete_sq(struct nvme_req *req, unsigned int qid)
{
	struct nvme_ctrl *c = req->c;

	if (!qid || qid > c->nr_ioq || !c->sq[qid].used || c->sq[qid].deleting)
		return NVME_INVALID_QID;
	clear_doorbell(c, qid, 0);
	c->sq[qid].tail = c->sq[qid].head;
	if (c->sq[qid].busy) {
		c->sq[qid].deleting = req;
		return NVME_PENDING;
	}
	c->sq[qid].used = false;
	return NVME_OK;
}

/**
 * nvme_delete_cq() - section 5.5
 * @c: controller
 * @qid: I/O queue
 *
 * Return: a status.
 */
int nvme_delete_cq(struct nvme_ctrl *c, unsigned int qid)
{
	unsigned int i;

	if (!qid || qid > c->nr_ioq || !c->cq[qid].used)
		return NVME_INVALID_QID;
	for (i = 1; i <= c->nr_ioq; i++)
		if (c->sq[i].used && c->sq[i].cqid == qid)
			return NVME_INVALID_QUEUE_DELETION;
	c->cq[qid].used = false;
	clear_doorbell(c, qid, 1);
	nvme_irq_sync(c);
	return NVME_OK;
}

/**
 * nvme_cq_room() - how many more commands can complete?
 * @c: controller
 * @qid: completion queue
 *
 * Return: entries beside those of the commands that are being executed.
 */
unsigned int nvme_cq_room(const struct nvme_ctrl *c, unsigned int qid)
{
	const struct nvme_cq *q = &c->cq[qid];

	return (q->head + q->size - q->tail - 1) % q->size - q->reserved;
}

/* The phase tag is in the last 8 bytes; a driver that polls must not see it before the rest. */
static int put_cqe(struct nvme_ctrl *c, uint64_t addr, const struct nvme_cqe *cqe)
{
	struct iovec v;
	uint64_t last;

	if (vfus_dma_iov(c->vfus, addr, sizeof(*cqe), true, &v, 1) != 1)
		return vfus_dma_write(c->vfus, addr, cqe, sizeof(*cqe));
	memcpy(v.iov_base, cqe, 8);
	memcpy(&last, (const uint8_t *)cqe + 8, sizeof(last));
	/* Pairs with the driver's read barrier after it saw the phase tag change. */
	__atomic_store_n((uint64_t *)v.iov_base + 1, last, __ATOMIC_RELEASE);
	return 0;
}

/**
 * nvme_complete() - post a completion; the interrupt follows at the end of the batch
 * @c: controller
 * @sqid: submission queue; its completion queue must not be full
 * @cid: command identifier
 * @status: status
 * @result: dword 0
 */
void nvme_complete(struct nvme_ctrl *c, unsigned int sqid, uint16_t cid, uint16_t status,
		   uint32_t result)
{
	struct nvme_cq *q = &c->cq[c->sq[sqid].cqid];
	struct nvme_cqe cqe = {
		.result = result,
		.sq_head = (uint16_t)c->sq[sqid].head,
		.sq_id = (uint16_t)sqid,
		.cid = cid,
		.status = (uint16_t)(status << 1 | q->phase),
	};

	/* Retrying does not help with any of our errors but one: another try may read a sector. */
	if (status && status != NVME_READ_ERROR)
		cqe.status |= 0x8000;
	if (put_cqe(c, q->addr + q->tail * sizeof(cqe), &cqe)) {
		nvme_fatal(c, "a completion queue is not in writeable DMA memory");
		return;
	}
	q->tail++;
	if (q->tail == q->size) {
		q->tail = 0;
		q->phase = !q->phase;
	}
	q->signal = true;
}

static bool take_cq_head(struct nvme_ctrl *c, unsigned int qid)
{
	struct nvme_cq *q = &c->cq[qid];
	uint32_t v = doorbell(c, qid, 1);

	if (v == q->head)
		return false;
	/* It can move over entries that were posted, not further. */
	if (v < q->size &&
	    (v + q->size - q->head) % q->size <= (q->tail + q->size - q->head) % q->size) {
		q->head = v;
		return true;
	}
	if (v != q->refused) {
		q->refused = v;
		nvme_log_error(c, 0xffff, 0xffff, NVME_INVALID_FIELD, 0xffff);
		nvme_event(c, NVME_EVENT_ERROR, 1);
	}
	return false;
}

static void take_sq_tail(struct nvme_ctrl *c, unsigned int qid)
{
	struct nvme_sq *q = &c->sq[qid];
	uint32_t v = doorbell(c, qid, 0);

	if (v < q->size) {
		q->tail = v;
	} else if (v != q->refused) {
		q->refused = v;
		nvme_log_error(c, (uint16_t)qid, 0xffff, NVME_INVALID_FIELD, 0xffff);
		nvme_event(c, NVME_EVENT_ERROR, 1);
	}
}

static void execute(struct nvme_req *req)
{
	int status;

	/* PRPs only, no fused commands */
	if (req->cmd.flags)
		status = NVME_INVALID_FIELD;
	else
		status = req->sqid ? nvme_io(req) : nvme_admin(req);
	if (status == NVME_NO_COMPLETION)
		nvme_req_put(req);
	else if (status != NVME_PENDING)
		nvme_finish(req, status);
}

/*
 * Have the kernel see what was queued, which can take it long: somebody else looks at the
 * controller then, and finds it whole. Returns 0, or LOST if so: it is not ours any more.
 */
static int push(struct nvme_ctrl *c)
{
	bool more = c->more, pushed;
	unsigned int hold;

	if (!io_push_begin(&c->io))
		return 0;
	c->more = true;
	hold = vfus_hold_begin(c->vfus);
	pushed = io_push(&c->io);
	if (!vfus_hold_end(c->vfus, hold)) {
		/* there may be a rest */
		io_kick(&c->io);
		return LOST;
	}
	c->more = more || !pushed;
	return 0;
}

/*
 * Returns commands executed, or LOST; c->more is set where the batch ended before the queue did.
 */
static int run_sq(struct nvme_ctrl *c, unsigned int qid)
{
	struct nvme_sq *q = &c->sq[qid];
	int n = 0;

	if (q->deleting || c->unmapping)
		return 0;
	take_sq_tail(c, qid);
	while (q->used && q->head != q->tail && nvme_cq_room(c, q->cqid) && nvme_running(c)) {
		struct nvme_req *req;

		if (n == NVME_BATCH) {
			c->more = true;
			break;
		}
		/* the end of any of those that there are makes us look again */
		req = nvme_req_get(c, qid);
		if (!req)
			break;
		if (vfus_dma_read(c->vfus, &req->cmd,
				  q->addr + (uint64_t)q->head * sizeof(req->cmd),
				  sizeof(req->cmd))) {
			nvme_req_put(req);
			nvme_fatal(c, "a submission queue is not in readable DMA memory");
			break;
		}
		q->head = (q->head + 1) % q->size;
		execute(req);
		/* The first one goes alone: where it is slow, the others do not go this way. */
		if (n++ % PUSH == 0 && push(c))
			return LOST;
	}
	return n;
}

/**
 * nvme_irq_sync() - bring the INTx line up to date
 * @priv: controller
 *
 * The line is up while any unmasked completion queue with interrupts enabled has entries that the
 * driver has not consumed (section 7.5.1). Doorbells are looked at first: the driver may have
 * stored one that no scan has seen.
 */
void nvme_irq_sync(void *priv)
{
	struct nvme_ctrl *c = priv;
	bool level = false;
	unsigned int i;

	if (vfus_irq_armed(c->vfus, VFIO_PCI_MSIX_IRQ_INDEX) ||
	    vfus_irq_armed(c->vfus, VFIO_PCI_MSI_IRQ_INDEX))
		return;
	nvme_shadow_look(c);
	for (i = 0; i <= c->nr_ioq; i++) {
		const struct nvme_cq *q = &c->cq[i];

		if (!q->used)
			continue;
		take_cq_head(c, i);
		/* Every vector is the one pin, mask bit 0. */
		if (q->ien && q->head != q->tail && !(c->intms & 1))
			level = true;
	}
	vfus_irq_level(c->vfus, VFIO_PCI_INTX_IRQ_INDEX, level);
}

static void interrupt(struct nvme_ctrl *c, struct nvme_cq *q)
{
	q->signal = false;
	if (!q->ien)
		return;
	if (vfus_irq_armed(c->vfus, VFIO_PCI_MSIX_IRQ_INDEX))
		c->irq = VFIO_PCI_MSIX_IRQ_INDEX;
	else if (vfus_irq_armed(c->vfus, VFIO_PCI_MSI_IRQ_INDEX))
		c->irq = VFIO_PCI_MSI_IRQ_INDEX;
	else if (vfus_irq_armed(c->vfus, VFIO_PCI_INTX_IRQ_INDEX))
		return;
	/* Of a client that is coming back none is armed: it fires when the vector has its eventfd. */
	if (c->irq == VFIO_PCI_MSIX_IRQ_INDEX)
		vfus_irq_trigger(c->vfus, c->irq, q->vector);
	else if (!(c->intms & 1))
		vfus_irq_trigger(c->vfus, c->irq, 0);
}

static void interrupts(struct nvme_ctrl *c)
{
	unsigned int i;

	for (i = 0; i <= c->nr_ioq; i++)
		if (c->cq[i].used && c->cq[i].signal)
			interrupt(c, &c->cq[i]);
	nvme_irq_sync(c);
}

/*
 * Look at every doorbell and do what there is to do.
 *
 * Returns 1 if anything was done, 0 if nothing, LOST if the controller is another thread's now.
 */
static int scan(struct nvme_ctrl *c)
{
	unsigned int i;
	int work, n;

	c->more = false;
	work = io_reap(&c->io);
	if (push(c))
		return LOST;
	if (!nvme_running(c))
		return work;
	nvme_shadow_look(c);
	for (i = 0; i <= c->nr_ioq; i++)
		if (c->cq[i].used && take_cq_head(c, i))
			work = 1;
	for (i = 0; i <= c->nr_ioq && nvme_running(c); i++) {
		n = c->sq[i].used ? run_sq(c, i) : 0;
		if (!n)
			continue;
		work = 1;
		if (n == LOST || push(c))
			return LOST;
		/* some end at once */
		io_reap(&c->io);
		/* Each queue's interrupt goes out before the next queue's work. */
		if (c->cq[c->sq[i].cqid].signal)
			interrupt(c, &c->cq[c->sq[i].cqid]);
	}
	if (nvme_running(c)) {
		nvme_ns_lost(c);
		nvme_post_events(c);
		interrupts(c);
	}
	return work;
}

/* A pause is over. Would it have paid to go on looking, instead of having the driver wake us? */
static void learn_pause(struct nvme_ctrl *c, uint64_t pause)
{
	if (pause < SHORT_US)
		c->looks = LOOKS;
	else if (c->looks > 1)
		c->looks /= 2;
}

/*
 * Mapped doorbells make no noise, so an enabled controller keeps looking: without sleeping for
 * poll_us after the last work, then with sleeps that grow with the idle time (an eighth of it), so
 * that a request never waits longer than a fraction of the pause before it, up to poll_max_us. The
 * driver wakes a controller with shadow doorbells, which so looks on only where pauses are short.
 */
static long work(struct nvme_ctrl *c)
{
	uint64_t start, now, idle;
	unsigned int i, vain = 0;
	bool worked = false;

	if (!nvme_running(c)) {
		if (scan(c) == LOST)
			return VFUS_TURN_LOST;
		return c->more || io_arm(&c->io) ? 0 : -1;
	}
	if (c->mode != NVME_DB_MMAP && !c->shadow) {
		/* What has ended before the event was armed comes with no event. */
		if ((c->more || io_arm(&c->io)) && scan(c) == LOST)
			return VFUS_TURN_LOST;
		return c->more || io_arm(&c->io) ? 0 : -1;
	}
	start = vfus_now_us();
	now = start;
	for (i = 0; i < LOOKS && now - start < TURN_US; i++) {
		int done = scan(c);

		if (done == LOST)
			return VFUS_TURN_LOST;
		if (!done) {
			if (c->mode != NVME_DB_MMAP && ++vain > c->looks)
				break;
			vfus_pause();
			continue;
		}
		if (!nvme_running(c))
			return 0;
		now = vfus_now_us();
		if (!worked)
			learn_pause(c, now - c->last_work);
		worked = true;
		vain = 0;
	}
	if (worked || !c->last_work)
		c->last_work = now;
	idle = worked ? 0 : vfus_now_us() - c->last_work;
	if (idle < c->poll_us || c->more)
		return 0;
	if (c->mode != NVME_DB_MMAP)
		return nvme_shadow_arm(c) || io_arm(&c->io) ? 0 : -1;
	if (io_arm(&c->io))
		return 0;
	idle /= 8;
	if (idle < 10)
		idle = 10;
	return idle < c->poll_max_us ? (long)idle : (long)c->poll_max_us;
}

/* Has the data moved that somebody waits for? Erasing takes no memory. */
static bool is_drained(const struct nvme_ctrl *c)
{
	if (c->io.transfers)
		return false;
	if (c->disabling || c->resetting || c->leaving)
		return !c->io.erasures;
	return c->unmapping;
}

/**
 * nvme_poll() - the event loop is about to sleep: for how long may it?
 * @priv: controller
 *
 * Return: microseconds, 0 for not at all, -1 for until something happens, VFUS_TURN_LOST if it is
 * another thread's business now.
 */
long nvme_poll(void *priv)
{
	struct nvme_ctrl *c = priv;
	long us;

	/* what was put off has failed meanwhile: who sent it waits no longer */
	if (!vfus_waits(c->vfus)) {
		c->more |= c->unmapping;
		c->unmapping = false;
		c->reset_put_off = false;
	}
	us = work(c);
	if (us == VFUS_TURN_LOST || !is_drained(c))
		return us;
	nvme_drained(c);
	return 0;
}
