// SPDX-License-Identifier: GPL-2.0-only
/*
 * The request ring: how the kernel asks the helper.
 *
 * Owns the memory shared with the helper and the order of the requests: the
 * order in which vfu_ring.lock is taken is the order in which the server sees
 * the accesses. Writes are posted; a read is queued behind them and waited
 * for, spinning at first and then asleep where the context allows it.
 *
 * Nothing that the helper writes is trusted: its head is checked for range,
 * its answers are copied once, and every wait has a bound. A device whose bound
 * has passed is lost, or frozen until another helper serves it with a ring of its own,
 * and is not waited for any more.
 *
 * Lifetime: reference counted; the channel and the device each hold one.
 */
#include <linux/delay.h>
#include <linux/lockdep.h>
#include <linux/nospec.h>
#include <linux/reboot.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "budget.h"
#include "device.h"
#include "irq.h"
#include "recover.h"
#include "rescue.h"
#include "ring.h"
#include "trace.h"

/**
 * vfu_nobody_answers() - is it no use to ask?
 * @vdev: device
 *
 * In an NMI nobody can answer, and locks may be held below it; after a panic, which takes all
 * devices offline, CPUs have stopped that hold some. While another CPU prints an oops all goes on.
 *
 * Context: any; takes no lock.
 * Return: true if so: reads are all-ones, and writes go nowhere.
 */
bool vfu_nobody_answers(const struct vfu_dev *vdev)
{
	return vfu_dev_offline(vdev) || in_nmi();
}

/*
 * The ring, inside of vfu_enter(), until vfu_leave(); NULL while the device is offline.
 *
 * Offline is looked at first: who has come in before the freeze is waited for before there
 * is another ring, and who comes later sees the freeze, or all of what ended it.
 */
static struct vfu_ring *vfu_ring_of(struct vfu_dev *vdev)
{
	return vfu_dev_offline(vdev) ? NULL : READ_ONCE(vdev->ring);
}

/**
 * vfu_in_reset() - is the server resetting the device?
 * @vdev: device
 *
 * Accesses are not queued behind that, which can take any time, but answered as
 * by hardware in reset: reads are all-ones and writes go nowhere.
 *
 * Context: any but NMI.
 * Return: true if it is.
 */
bool vfu_in_reset(struct vfu_dev *vdev)
{
	struct vfu_ring *ring;
	unsigned long flags;
	int idx;

	if (likely(!READ_ONCE(vdev->reset.active)))
		return false;
	idx = vfu_enter(vdev);
	ring = vfu_ring_of(vdev);
	if (!ring)
		goto out;
	raw_spin_lock_irqsave(&ring->lock, flags);
	/* Acquire: pairs with the helper's store-release of @done. */
	if (vdev->reset.active && smp_load_acquire(&ring->shared->slots[vdev->reset.slot].done) ==
	    vdev->reset.generation) {
		__clear_bit(vdev->reset.slot, ring->slots_used);
		WRITE_ONCE(vdev->reset.active, false);
	}
	raw_spin_unlock_irqrestore(&ring->lock, flags);
out:
	vfu_leave(vdev, idx);
	return READ_ONCE(vdev->reset.active);
}

/*
 * How long to spin before sleeping: twice what answers take, since going to sleep and being woken
 * costs more than that; but where they take longer than the largest, hardly at all.
 */
#define VFU_SPIN_NS	(20 * NSEC_PER_USEC)
#define VFU_SPIN_MIN_NS	(5 * NSEC_PER_USEC)
#define VFU_SPIN_MAX_NS	(200 * NSEC_PER_USEC)

/**
 * vfu_ring_init_wq() - make a place to wait for who serves a device
 * @wq: what
 *
 * A driver reads where it may not sleep, and config accesses come below pci_lock: who is waited for
 * is woken under raw locks. That rules out PREEMPT_RT, and elsewhere is fine.
 */
void vfu_ring_init_wq(wait_queue_head_t *wq)
{
	static struct lock_class_key key;

	init_waitqueue_head(wq);
	lockdep_init_map_wait(&wq->lock.dep_map, "vfu_ring_wq", &key, 0, LD_WAIT_SPIN);
}

/**
 * vfu_ring_create() - allocate a ring with its shared memory
 *
 * Context: may sleep.
 * Return: the ring with one reference, or an ERR_PTR.
 */
struct vfu_ring *vfu_ring_create(void)
{
	struct vfu_ring *ring;
	int i;

	BUILD_BUG_ON(sizeof(struct vfiouser_request) != 128);
	BUILD_BUG_ON(sizeof(struct vfiouser_slot) != 128);
	BUILD_BUG_ON(offsetof(struct vfiouser_ring, requests) != 4096);

	ring = kzalloc(sizeof(*ring), GFP_KERNEL_ACCOUNT);
	if (!ring)
		return ERR_PTR(-ENOMEM);
	ring->shared = vmalloc_user(PAGE_ALIGN(VFIOUSER_RING_BYTES));
	if (!ring->shared) {
		kfree(ring);
		return ERR_PTR(-ENOMEM);
	}
	kref_init(&ring->ref);
	ring->spin_ns = VFU_SPIN_NS;
	raw_spin_lock_init(&ring->lock);
	vfu_ring_init_wq(&ring->helper_wq);
	for (i = 0; i < VFIOUSER_RING_SLOTS; i++)
		vfu_ring_init_wq(&ring->slot_wq[i]);
	return ring;
}

static void vfu_ring_release(struct kref *ref)
{
	struct vfu_ring *ring = container_of(ref, struct vfu_ring, ref);

	/* Pages that the helper still has mapped hold references of their own. */
	vfree(ring->shared);
	kfree(ring);
}

/**
 * vfu_ring_get() - take a reference
 * @ring: the ring
 */
void vfu_ring_get(struct vfu_ring *ring)
{
	kref_get(&ring->ref);
}

/**
 * vfu_ring_put() - drop a reference
 * @ring: the ring
 *
 * Context: may sleep.
 */
void vfu_ring_put(struct vfu_ring *ring)
{
	kref_put(&ring->ref, vfu_ring_release);
}

/**
 * vfu_ring_wake() - the helper has answered a slot whose waiter sleeps
 * @ring: the ring
 * @slot: the helper's word; out of range is ignored
 */
void vfu_ring_wake(struct vfu_ring *ring, u32 slot)
{
	if (slot < VFIOUSER_RING_SLOTS)
		wake_up(&ring->slot_wq[array_index_nospec(slot, VFIOUSER_RING_SLOTS)]);
}

/**
 * vfu_ring_wake_all() - let every waiter look at the device's state again
 * @ring: the ring
 *
 * Context: any but NMI.
 */
void vfu_ring_wake_all(struct vfu_ring *ring)
{
	int i;

	for (i = 0; i < VFIOUSER_RING_SLOTS; i++)
		wake_up(&ring->slot_wq[i]);
	wake_up(&ring->helper_wq);
}

/**
 * vfu_ring_pending() - is there a request that the helper has not taken?
 * @ring: the ring
 *
 * Return: true if there is.
 */
bool vfu_ring_pending(struct vfu_ring *ring)
{
	return READ_ONCE(ring->tail) != READ_ONCE(ring->shared->head);
}

/**
 * vfu_ring_settled() - is the server known to have carried out all that was asked for?
 * @ring: the ring
 *
 * But for reads, which can be asked again. What the helper has taken, and what it has sent, it may
 * have taken along where it died.
 *
 * Context: any but NMI.
 * Return: true if so.
 */
bool vfu_ring_settled(struct vfu_ring *ring)
{
	unsigned long flags;
	bool settled;

	raw_spin_lock_irqsave(&ring->lock, flags);
	settled = ring->sent == ring->seen;
	raw_spin_unlock_irqrestore(&ring->lock, flags);
	return settled;
}

/**
 * vfu_ring_state() - show the helper a new device state
 * @ring: the ring
 * @state: enum vfiouser_state
 */
void vfu_ring_state(struct vfu_ring *ring, u32 state)
{
	WRITE_ONCE(ring->shared->state, state);
	wake_up(&ring->helper_wq);
}

/**
 * vfu_ring_timeout() - tell the helper how long the server may take for an answer
 * @ring: the ring
 * @ms: milliseconds
 */
void vfu_ring_timeout(struct vfu_ring *ring, u32 ms)
{
	WRITE_ONCE(ring->shared->timeout_ms, ms);
	wake_up(&ring->helper_wq);
}

/**
 * vfu_may_sleep() - may the context that was interrupted by a fault sleep?
 *
 * Interrupts must already be as the interrupted context had them. Preemption
 * counting is what Debian's kernels have (PREEMPT_DYNAMIC); without it
 * preemptible() is false and every wait spins.
 *
 * Return: true if it may.
 */
bool vfu_may_sleep(void)
{
	return preemptible() && !rcu_preempt_depth() && system_state == SYSTEM_RUNNING;
}

/* Between two looks of a process at a full ring: some dozen requests are taken meanwhile. */
#define VFU_FULL_US	50

/* A waiter that keeps its CPU sees to it that others can run: after this time, then more rarely. */
#define VFU_RESCUE_NS	(100 * NSEC_PER_USEC)

/* After this part of its bound a wait is late, and keeps to nobody's affinity any more. */
#define VFU_LATE_PART	4

/**
 * struct vfu_wait - one access that waits
 * @start: when it began, vfu_now()
 * @bound: how long it may take, ns
 * @may_sleep: it may sleep
 * @may_yield: it may not, but others may have its CPU in between
 * @rescue: when it helps those who serve the device the next time, ns since @start
 * @attempt: how often it has
 * @sent: vfu_ring.sent when it was asked
 */
struct vfu_wait {
	u64 start;
	u64 bound;
	bool may_sleep;
	bool may_yield;
	u64 rescue;
	unsigned int attempt;
	u32 sent;
};

/*
 * A wait that keeps its CPU has a bound of its own, see budget.c.
 *
 * Where the driver has said already what it will sleep for, as in the condition of wait_event(),
 * sleeping would take that back: there the CPU is only lent to others.
 */
static void vfu_wait_init(struct vfu_wait *wait, struct vfu_dev *vdev)
{
	wait->start = vfu_now();
	wait->bound = (u64)vdev->timeout_ms * NSEC_PER_MSEC;
	wait->may_yield = vfu_may_sleep() && READ_ONCE(current->__state) != TASK_RUNNING;
	wait->may_sleep = vfu_may_sleep() && !wait->may_yield;
	wait->rescue = wait->may_sleep ? U64_MAX : VFU_RESCUE_NS;
	wait->attempt = 0;
	if (wait->may_sleep || wait->may_yield)
		return;
	wait->bound = min_t(u64, vfu_budget_bound(vdev, wait->start), wait->bound);
}

/* The clock may step back a little on another CPU; never let that be "negative". */
static u64 vfu_wait_elapsed(const struct vfu_wait *wait)
{
	s64 delta = vfu_now() - wait->start;

	return max_t(s64, delta, 0);
}

/* A wait is over that took so long. */
static void vfu_wait_end(const struct vfu_wait *wait, struct vfu_dev *vdev, u64 ns)
{
	if (!wait->may_sleep && !wait->may_yield)
		vfu_budget_take(vdev, ns);
}

/* While waiting without sleep: who has to answer must get to run. */
static void vfu_wait_help(struct vfu_wait *wait, struct vfu_dev *vdev, u64 elapsed)
{
	if (wait->may_yield)
		cond_resched();
	if (elapsed > wait->rescue) {
		vfu_rescue(vdev, wait->attempt++, elapsed > wait->bound / VFU_LATE_PART);
		/* Ever more rarely: each moves tasks about. */
		wait->rescue = elapsed + max_t(u64, VFU_RESCUE_NS, elapsed / 4);
	}
	cpu_relax();
}

/* Nobody serves this ring any more, but may be another one, now or soon. */
static bool vfu_ring_left(struct vfu_dev *vdev, struct vfu_ring *ring)
{
	/* In this order: see vfu_recover_rejoin(). */
	return vfu_held(vdev) || READ_ONCE(vdev->ring) != ring;
}

static bool vfu_slot_answered(struct vfiouser_slot *slot, u32 generation)
{
	/* Acquire: pairs with the helper's store-release of @done. */
	return smp_load_acquire(&slot->done) == generation;
}

static bool vfu_slot_done(struct vfu_dev *vdev, struct vfu_ring *ring, struct vfiouser_slot *slot,
			  u32 generation)
{
	return vfu_slot_answered(slot, generation) || vfu_dev_offline(vdev) ||
	       vfu_ring_left(vdev, ring);
}

/*
 * Looks at a slot for each one at the clock: where that is an HPET, or an emulated one, reading it
 * all the time slows down everybody else who does.
 */
#define VFU_LOOKS		64

static void vfu_ring_overdue(struct vfu_dev *vdev)
{
	char who[140];

	if (!vfu_dev_offline(vdev)) {
		vfu_rescue_report(vdev, who, sizeof(who));
		dev_err(vdev->dev, "no answer: %s\n", who);
	}
	vfu_dev_fail(vdev, "the helper did not answer in time");
}

/* Two at once may forget what one of them has learned. */
static void vfu_wait_learn(struct vfu_ring *ring, u64 took)
{
	u64 want = took < VFU_SPIN_MAX_NS ? min_t(u64, 2 * took, VFU_SPIN_MAX_NS) :
					    VFU_SPIN_MIN_NS;

	WRITE_ONCE(ring->spin_ns, (READ_ONCE(ring->spin_ns) * 3 + want) / 4);
}

/*
 * Wait for the answer in a slot.
 * Return: 0 once it is there, -ENODEV when the device is lost or frozen, -ESTALE if another ring is
 * to be asked.
 */
static int vfu_ring_wait(struct vfu_dev *vdev, struct vfu_ring *ring, struct vfu_wait *wait,
			 u32 nr, u32 generation)
{
	struct vfiouser_slot *slot = &ring->shared->slots[nr];
	u64 spin = wait->may_sleep ? READ_ONCE(ring->spin_ns) : wait->bound;
	unsigned int looks = 0;
	u64 elapsed;

	while (!vfu_slot_done(vdev, ring, slot, generation)) {
		if (++looks % VFU_LOOKS) {
			cpu_relax();
			continue;
		}
		elapsed = vfu_wait_elapsed(wait);
		/* Where others want this CPU, who answers may be among them. */
		if (elapsed < spin && !(wait->may_sleep && need_resched())) {
			vfu_wait_help(wait, vdev, elapsed);
			continue;
		}
		if (elapsed >= wait->bound) {
			vfu_ring_overdue(vdev);
			return -ENODEV;
		}
		/*
		 * Full barrier (in wait_event's set_current_state()) between
		 * the store of @sleeping and the load of @done: pairs with
		 * the helper's between the store of @done and the load of
		 * @sleeping.
		 */
		WRITE_ONCE(slot->sleeping, 1);
		vfu_count(vdev, VFU_STAT_SLEEPS, 1);
		wait_event_timeout(ring->slot_wq[nr], vfu_slot_done(vdev, ring, slot, generation),
				   nsecs_to_jiffies(wait->bound - elapsed) + 1);
	}
	if (vfu_dev_offline(vdev))
		return -ENODEV;
	return vfu_slot_answered(slot, generation) ? 0 : -ESTALE;
}

static void vfu_ring_kick(struct vfu_dev *vdev, struct vfu_ring *ring)
{
	/*
	 * Between the store of @tail and the load of @helper_flags: pairs with
	 * the helper's barrier between setting SLEEPING and loading @tail.
	 */
	smp_mb();
	if (READ_ONCE(ring->shared->helper_flags) & VFIOUSER_HELPER_SLEEPING) {
		vfu_count(vdev, VFU_STAT_WAKEUPS, 1);
		wake_up_poll(&ring->helper_wq, EPOLLIN);
	}
}

/*
 * Put a request into the ring if there is room.
 * Return: 0, -EAGAIN without room, -ENODEV when lost, -EPROTO for a bad head, -ESTALE if another
 * ring is to be asked.
 */
static int vfu_ring_produce(struct vfu_dev *vdev, struct vfu_ring *ring,
			    struct vfiouser_request *req, struct vfu_wait *wait)
{
	struct vfiouser_ring *shared = ring->shared;
	bool posted = req->flags & VFIOUSER_REQ_POSTED;
	unsigned long flags;
	u32 used, slot = 0;
	int err = 0;

	raw_spin_lock_irqsave(&ring->lock, flags);
	/* Acquire: the entry that head has passed was read before it is reused. */
	used = ring->tail - smp_load_acquire(&shared->head);
	if (vfu_dev_offline(vdev)) {
		err = -ENODEV;
	} else if (vfu_ring_left(vdev, ring)) {
		err = -ESTALE;
	} else if (used > VFIOUSER_RING_ENTRIES) {
		err = -EPROTO;
	} else if (used == VFIOUSER_RING_ENTRIES) {
		err = -EAGAIN;
	} else if (!posted) {
		slot = find_first_zero_bit(ring->slots_used, VFIOUSER_RING_SLOTS);
		if (slot == VFIOUSER_RING_SLOTS)
			err = -EAGAIN;
	}
	if (!err) {
		if (!posted) {
			__set_bit(slot, ring->slots_used);
			if (!++ring->generation)
				ring->generation = 1;
			req->slot = slot;
			req->generation = ring->generation;
			WRITE_ONCE(shared->slots[slot].sleeping, 0);
			if (req->op == VFIOUSER_OP_RESET) {
				vdev->reset.slot = slot;
				vdev->reset.generation = req->generation;
				WRITE_ONCE(vdev->reset.active, true);
			}
		}
		if (req->op == VFIOUSER_OP_WRITE)
			WRITE_ONCE(ring->posted, ring->posted + 1);
		if (req->op != VFIOUSER_OP_READ)
			ring->sent++;
		wait->sent = ring->sent;
		memcpy(&shared->requests[ring->tail % VFIOUSER_RING_ENTRIES], req, sizeof(*req));
		/* Release: pairs with the helper's load-acquire of @tail. */
		smp_store_release(&shared->tail, ++ring->tail);
	}
	raw_spin_unlock_irqrestore(&ring->lock, flags);
	return err;
}

/* It was answered, and so all was carried out that had been asked for before. */
static void vfu_ring_free_slot(struct vfu_ring *ring, u32 slot, u32 sent)
{
	unsigned long flags;

	raw_spin_lock_irqsave(&ring->lock, flags);
	if ((s32)(sent - ring->seen) > 0)
		ring->seen = sent;
	__clear_bit(slot, ring->slots_used);
	raw_spin_unlock_irqrestore(&ring->lock, flags);
}

static enum vfiouser_path vfu_ring_path(const struct vfiouser_request *req)
{
	bool config = req->region == VFIO_PCI_CONFIG_REGION_INDEX;

	switch (req->op) {
	case VFIOUSER_OP_READ:
		return config ? VFIOUSER_PATH_CONFIG_READ : VFIOUSER_PATH_READ;
	case VFIOUSER_OP_WRITE:
		return config ? VFIOUSER_PATH_CONFIG_WRITE : VFIOUSER_PATH_WRITE;
	}
	return VFIOUSER_PATH_CONTROL;
}

static void vfu_ring_account(struct vfu_dev *vdev, const struct vfiouser_request *req, u64 ns)
{
	enum vfiouser_path path = vfu_ring_path(req);

	vfu_account(vdev, path, ns, path == VFIOUSER_PATH_CONTROL ? 0 : req->count);
}

/* As long as the device is held; who cannot sleep ends that when his time is over. */
static void vfu_ring_held(struct vfu_dev *vdev)
{
	struct vfu_wait wait;

	vfu_wait_init(&wait, vdev);
	if (wait.may_sleep) {
		wait_event_idle(vdev->recover.held, !vfu_held(vdev) || vfu_dev_offline(vdev));
		return;
	}
	while (vfu_held(vdev) && !vfu_dev_offline(vdev)) {
		if (vfu_wait_elapsed(&wait) >= wait.bound) {
			vfu_dev_fail(vdev, "an access cannot wait for another helper");
			break;
		}
		if (wait.may_yield)
			cond_resched();
		cpu_relax();
	}
	vfu_wait_end(&wait, vdev, vfu_wait_elapsed(&wait));
}

/* One round; -ESTALE: to be repeated. Of what was in the ring already, only reads are. */
static int vfu_ring_ask(struct vfu_dev *vdev, struct vfiouser_request *req, void *reply)
{
	struct vfu_ring *ring = vfu_ring_of(vdev);
	struct vfiouser_slot *slot;
	struct vfu_wait wait;
	u64 ns;
	int err;

	if (!ring)
		return -ENODEV;
	vfu_wait_init(&wait, vdev);
	/* Also of what is posted: a read may follow. */
	vfu_rescue_prepare(vdev);
	while ((err = vfu_ring_produce(vdev, ring, req, &wait)) == -EAGAIN) {
		vfu_ring_kick(vdev, ring);
		ns = vfu_wait_elapsed(&wait);
		if (ns >= wait.bound) {
			vfu_wait_end(&wait, vdev, ns);
			vfu_dev_fail(vdev, "the helper does not take requests");
			return -ENODEV;
		}
		/* Some room comes soon; nobody wakes us for it. */
		if (wait.may_sleep && ns >= VFU_SPIN_NS)
			usleep_range(VFU_FULL_US, 2 * VFU_FULL_US);
		else
			vfu_wait_help(&wait, vdev, ns);
	}
	if (err == -EPROTO)
		vfu_dev_fail(vdev, "the helper wrote nonsense to the ring");
	if (err)
		return err;
	trace_vfiouser_request(vdev->id, req);
	vfu_ring_kick(vdev, ring);
	if (req->flags & VFIOUSER_REQ_POSTED) {
		ns = vfu_wait_elapsed(&wait);
		vfu_wait_end(&wait, vdev, ns);
		vfu_ring_account(vdev, req, ns);
		return 0;
	}
	if (req->op == VFIOUSER_OP_RESET)
		return 0;

	slot = &ring->shared->slots[req->slot];
	vfu_irq_reads(vdev);
	err = vfu_ring_wait(vdev, ring, &wait, req->slot, req->generation);
	if (!err) {
		ns = vfu_wait_elapsed(&wait);
		vfu_wait_learn(ring, ns);
		err = READ_ONCE(slot->error);
		if (reply && !err)
			memcpy(reply, slot->data, req->count);
		if (err) {
			vfu_count(vdev, VFU_STAT_ERRORS, 1);
			if (err > 0 || err < -MAX_ERRNO)
				err = -EIO;
		}
		vfu_ring_free_slot(ring, req->slot, wait.sent);
	} else {
		/* A late answer could still land in the slot: it stays used. */
		ns = vfu_wait_elapsed(&wait);
	}
	vfu_wait_end(&wait, vdev, ns);
	vfu_ring_account(vdev, req, ns);
	trace_vfiouser_reply(vdev->id, req, reply, err, ns);
	return err;
}

static int vfu_ring_exchange(struct vfu_dev *vdev, struct vfiouser_request *req, void *reply)
{
	int err;

	do {
		if (unlikely(vfu_held(vdev)))
			vfu_ring_held(vdev);
		err = vfu_ring_ask(vdev, req, reply);
	} while (unlikely(err == -ESTALE));
	return err;
}

/*
 * Queue a request and, unless it is posted or a reset, wait for its answer.
 * Return: 0, the helper's errno, or -ENODEV when the device is lost or frozen.
 */
static int vfu_ring_submit(struct vfu_dev *vdev, struct vfiouser_request *req, void *reply)
{
	/* The ring stays until we are through, whoever brings another one. */
	int idx = vfu_enter(vdev);
	int err = vfu_ring_exchange(vdev, req, reply);

	vfu_leave(vdev, idx);
	return err;
}

/**
 * vfu_region_read() - read from a region of the server
 * @vdev: device
 * @region: VFIO_PCI_*_REGION_INDEX
 * @offset: bytes into the region
 * @data: where to; all-ones after an error
 * @count: bytes, at most VFIOUSER_DATA_MAX
 *
 * Context: any but NMI; sleeps only where the context allows it.
 * Return: 0 or a negative errno; -ENODEV when the device is lost or frozen.
 */
int vfu_region_read(struct vfu_dev *vdev, u32 region, u64 offset, void *data, u32 count)
{
	struct vfiouser_request req = {
		.op = VFIOUSER_OP_READ,
		.region = region,
		.offset = offset,
		.count = count,
	};
	int err = -ENODEV;

	if (likely(!vfu_nobody_answers(vdev) && !vfu_in_reset(vdev))) {
		vfu_count(vdev, VFU_STAT_READS, 1);
		err = vfu_ring_submit(vdev, &req, data);
	}
	if (err)
		memset(data, 0xff, count);
	return err;
}

static bool vfu_ordered_writes;
module_param_named(ordered_writes, vfu_ordered_writes, bool, 0644);
MODULE_PARM_DESC(ordered_writes,
		 "on devices with directly mapped pages wait for each write that is forwarded, where the driver may sleep (default: N)");

/* Does the driver reach a part of the device without us? */
static bool vfu_has_direct(const struct vfu_dev *vdev)
{
	unsigned int i;

	for (i = 0; i < VFU_NR_BARS; i++)
		if (vdev->regions[i].nr_direct)
			return true;
	return false;
}

/*
 * Is the server done with a write before the driver goes on? Always where the device was made so;
 * else is it asked for, could anything overtake a write, and may it be waited for?
 */
static bool vfu_waits_for_writes(const struct vfu_dev *vdev)
{
	if (unlikely(vdev->flags & VFIOUSER_DEV_F_WAIT_WRITES))
		return !in_nmi();
	return unlikely(READ_ONCE(vfu_ordered_writes)) && vfu_has_direct(vdev) && vfu_may_sleep();
}

static int vfu_region_send(struct vfu_dev *vdev, u32 region, u64 offset, const void *data,
			   u32 count, u32 flags)
{
	struct vfiouser_request req = {
		.op = VFIOUSER_OP_WRITE,
		.flags = flags,
		.region = region,
		.offset = offset,
		.count = count,
	};

	memcpy(req.data, data, count);
	vfu_count(vdev, VFU_STAT_WRITES, 1);
	return vfu_ring_submit(vdev, &req, NULL);
}

/**
 * vfu_region_write() - write to a region of the server
 * @vdev: device
 * @region: VFIO_PCI_*_REGION_INDEX
 * @offset: bytes into the region
 * @data: what to write
 * @count: bytes, at most VFIOUSER_DATA_MAX
 * @burst: one of several, behind which the caller calls vfu_region_settle()
 *
 * Posted. A load or store of a direct page can overtake it, which PCI does not allow:
 * with the parameter ordered_writes it is waited for, on a device that has such pages,
 * where that can be done asleep, as before a doorbell (ioeventfd.c). Not without: a write
 * would then take as long as a read. That is the price of VFIOUSER_DEV_F_WAIT_WRITES, for
 * a server that must not work while its driver does.
 *
 * Context: any; waits only while the ring is full, but see above.
 * Return: 0 once queued, the server's errno where it was waited for, or -ENODEV
 * when the device is lost or frozen.
 */
int vfu_region_write(struct vfu_dev *vdev, u32 region, u64 offset, const void *data, u32 count,
		     bool burst)
{
	bool posted = burst || !vfu_waits_for_writes(vdev);

	if (unlikely(vfu_nobody_answers(vdev) || vfu_in_reset(vdev)))
		return -ENODEV;
	return vfu_region_send(vdev, region, offset, data, count, posted ? VFIOUSER_REQ_POSTED : 0);
}

/**
 * vfu_region_restore() - tell the server what it has to know again, also behind a reset
 * @vdev: device
 * @region: VFIO_PCI_*_REGION_INDEX
 * @offset: bytes into the region
 * @data: what to write
 * @count: bytes, at most VFIOUSER_DATA_MAX
 *
 * As vfu_region_write(), but a reset that is under way does not swallow it: requests
 * are carried out in their order.
 *
 * Context: any but NMI; waits only while the ring is full.
 */
void vfu_region_restore(struct vfu_dev *vdev, u32 region, u64 offset, const void *data, u32 count)
{
	if (likely(!vfu_nobody_answers(vdev)))
		vfu_region_send(vdev, region, offset, data, count, VFIOUSER_REQ_POSTED);
}

/**
 * vfu_region_tell() - write to a region of the server, and wait for what it says
 * @vdev: device
 * @region: VFIO_PCI_*_REGION_INDEX
 * @offset: bytes into the region
 * @data: what to write
 * @count: bytes, at most VFIOUSER_DATA_MAX
 *
 * Context: any but NMI; sleeps only where the context allows it.
 * Return: 0, the server's errno, -EAGAIN where nobody answers now, or -ENODEV when the device is
 * lost or frozen meanwhile.
 */
int vfu_region_tell(struct vfu_dev *vdev, u32 region, u64 offset, const void *data, u32 count)
{
	if (unlikely(vfu_nobody_answers(vdev) || vfu_in_reset(vdev)))
		return -EAGAIN;
	return vfu_region_send(vdev, region, offset, data, count, 0);
}

/**
 * vfu_region_pushed() - has the server seen all posted writes?
 * @vdev: device
 *
 * Context: inside of vfu_enter().
 * Return: false also where it may have; see vfu_region_push().
 */
bool vfu_region_pushed(const struct vfu_dev *vdev)
{
	const struct vfu_ring *ring = READ_ONCE(vdev->ring);

	return READ_ONCE(ring->posted) == READ_ONCE(ring->pushed);
}

/**
 * vfu_region_push() - wait until the server has seen all writes posted so far
 * @vdev: device
 *
 * By what pushes posted writes on PCI, a read. It is of the config space, which
 * always goes the way that writes go.
 *
 * Context: any but NMI; sleeps only where the context allows it.
 */
void vfu_region_push(struct vfu_dev *vdev)
{
	int idx = vfu_enter(vdev);
	struct vfu_ring *ring = READ_ONCE(vdev->ring);
	u32 posted = READ_ONCE(ring->posted);
	u32 id;

	/* Two of these at once may leave the smaller count: then there is one more. */
	if (!vfu_region_read(vdev, VFIO_PCI_CONFIG_REGION_INDEX, PCI_VENDOR_ID, &id, sizeof(id)))
		WRITE_ONCE(ring->pushed, posted);
	vfu_leave(vdev, idx);
}

/**
 * vfu_region_settle() - the end of a burst of writes
 * @vdev: device
 *
 * Waits where vfu_region_write() would have, once for all of them.
 *
 * Context: any but NMI; sleeps only where the context allows it.
 */
void vfu_region_settle(struct vfu_dev *vdev)
{
	if (vfu_waits_for_writes(vdev) && !vfu_region_pushed(vdev))
		vfu_region_push(vdev);
}

/**
 * vfu_request_reset() - ask for a reset of the function
 * @vdev: device
 *
 * Not waited for here: see vfu_in_reset().
 *
 * Context: any but NMI.
 * Return: 0 once queued, or a negative errno.
 */
int vfu_request_reset(struct vfu_dev *vdev)
{
	struct vfiouser_request req = { .op = VFIOUSER_OP_RESET };

	if (vfu_in_reset(vdev))
		return -EBUSY;
	return vfu_ring_submit(vdev, &req, NULL);
}

/**
 * vfu_request_irq() - have the helper arm, disarm or unmask interrupts
 * @vdev: device
 * @op: VFIOUSER_OP_IRQ_*
 * @index: VFIO_PCI_*_IRQ_INDEX
 * @start: first vector
 * @count: number of vectors
 *
 * Arming is waited for, since the driver may let the device interrupt as soon
 * as it is over; the others are posted, and not needed at a server that will be told anew.
 *
 * Context: any but NMI.
 * Return: 0 or a negative errno.
 */
int vfu_request_irq(struct vfu_dev *vdev, enum vfiouser_op op, u32 index, u32 start, u32 count)
{
	struct vfiouser_request req = {
		.op = op,
		.flags = op == VFIOUSER_OP_IRQ_ARM ? 0 : VFIOUSER_REQ_POSTED,
		.region = index,
		.offset = start,
		.count = count,
	};

	if (unlikely(READ_ONCE(vdev->recover.arms)) && op != VFIOUSER_OP_IRQ_ARM)
		return 0;
	return vfu_ring_submit(vdev, &req, NULL);
}
