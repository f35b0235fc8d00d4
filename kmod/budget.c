// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a device may take of a CPU that waits for it.
 *
 * A driver that reads where it cannot sleep keeps its CPU until the server has answered. Each such
 * wait has a bound, and all of them together have one, the device's budget: a server that answers
 * each access just in time must not own a CPU either. Who has used his budget up is given less and
 * less time to answer, in the end next to none, and is lost.
 *
 * Waits that are short are not taken off it: on a busy machine honest servers have many. But a
 * driver may read thousands of times in one section with interrupts off, or under one lock, and
 * then nobody else gets the CPU, however soon each answer comes. So all waits count until the CPU
 * turns to another task. Half-way it is given one, who can have it at once where the driver allows
 * that.
 *
 * Locking: vfu_budget.lock, and a CPU's section, with interrupts off.
 */
#include <linux/irqflags.h>
#include <linux/minmax.h>
#include <linux/moduleparam.h>
#include <linux/percpu.h>
#include <linux/sched.h>

#include "budget.h"
#include "device.h"
#include "recover.h"
#include "rescue.h"

#define VFU_ATOMIC_TIMEOUT_MS	1000	/* bound of a spinning wait, default */
#define VFU_BUDGET_MAX_MS	8000	/* of all together; lockup detectors complain at 10 s */

static unsigned int vfu_atomic_timeout_ms = VFU_ATOMIC_TIMEOUT_MS;

static int vfu_atomic_timeout_set(const char *val, const struct kernel_param *kp)
{
	return param_set_uint_minmax(val, kp, 10, VFU_BUDGET_MAX_MS);
}

static const struct kernel_param_ops vfu_atomic_timeout_ops = {
	.set = vfu_atomic_timeout_set,
	.get = param_get_uint,
};
module_param_cb(atomic_timeout_ms, &vfu_atomic_timeout_ops, &vfu_atomic_timeout_ms, 0644);
MODULE_PARM_DESC(atomic_timeout_ms,
		 "bound of a read that cannot sleep, 10 to 8000 ms (1000); a longer one loses the device");

/*
 * From this part of its bound on a wait that keeps its CPU is taken off the device's budget. Where
 * the bound was raised the machine is slow, and so are honest servers.
 */
#define VFU_SLOW_PART	100

/* Of the time that passes so much comes back into the budget. */
#define VFU_BUDGET_SHARE	10

/* What the device has used of its budget. Its lock is held, or the answer is a hint. */
static u64 vfu_budget_used(const struct vfu_budget *budget, u64 now)
{
	u64 used = READ_ONCE(budget->used);
	s64 since = now - READ_ONCE(budget->when);
	u64 back = since > 0 ? since / VFU_BUDGET_SHARE : 0;

	return used > back ? used - back : 0;
}

/* What it has of it. */
static u64 vfu_budget_size(void)
{
	return min_t(u64, 2 * READ_ONCE(vfu_atomic_timeout_ms), VFU_BUDGET_MAX_MS) * NSEC_PER_MSEC;
}

/* Waits that are shorter are not counted, ns. */
static u64 vfu_slow_ns(void)
{
	return READ_ONCE(vfu_atomic_timeout_ms) * (NSEC_PER_MSEC / VFU_SLOW_PART);
}

/**
 * struct vfu_section - what a CPU has waited for a device since it turned to its task
 * @vdev: the device, to be compared only
 * @task: the task, likewise
 * @switches: how often others have had a CPU of the task's
 * @waited: ns
 */
struct vfu_section {
	const struct vfu_dev *vdev;
	const struct task_struct *task;
	unsigned long switches;
	u64 waited;
};

static DEFINE_PER_CPU(struct vfu_section, vfu_sections);

static void vfu_section_take(struct vfu_dev *vdev, u64 ns)
{
	unsigned long flags, switches = current->nvcsw + current->nivcsw;
	struct vfu_section *section;
	u64 waited;

	local_irq_save(flags);
	section = this_cpu_ptr(&vfu_sections);
	if (section->vdev != vdev || section->task != current || section->switches != switches)
		*section = (struct vfu_section){
			.vdev = vdev,
			.task = current,
			.switches = switches,
		};
	section->waited += ns;
	waited = section->waited;
	local_irq_restore(flags);
	if (likely(waited < VFU_BUDGET_MAX_MS / 2 * (u64)NSEC_PER_MSEC))
		return;
	if (waited < VFU_BUDGET_MAX_MS * (u64)NSEC_PER_MSEC)
		vfu_rescue_occupy(vdev);
	else if (!vfu_dev_offline(vdev))
		vfu_dev_fail(vdev, "its answers keep a CPU from all else");
}

/**
 * vfu_budget_bound() - how long may a wait take that keeps its CPU?
 * @vdev: device
 * @now: vfu_now()
 *
 * Context: any but NMI; takes no lock.
 * Return: that time, ns.
 */
u64 vfu_budget_bound(const struct vfu_dev *vdev, u64 now)
{
	u64 bound = READ_ONCE(vfu_atomic_timeout_ms) * (u64)NSEC_PER_MSEC, size, used;

	if (likely(!READ_ONCE(vdev->budget.used)))
		return bound;
	size = vfu_budget_size();
	used = vfu_budget_used(&vdev->budget, now);
	bound = min_t(u64, bound, used < size ? size - used : 0);
	return max_t(u64, bound, vfu_slow_ns());
}

/**
 * vfu_budget_take() - such a wait is over
 * @vdev: device
 * @ns: how long it took
 *
 * Context: any but NMI.
 */
void vfu_budget_take(struct vfu_dev *vdev, u64 ns)
{
	struct vfu_budget *budget = &vdev->budget;
	unsigned long flags;
	u64 now;

	vfu_section_take(vdev, ns);
	if (likely(ns < vfu_slow_ns()))
		return;
	now = vfu_now();
	raw_spin_lock_irqsave(&budget->lock, flags);
	WRITE_ONCE(budget->used, vfu_budget_used(budget, now) + ns);
	WRITE_ONCE(budget->when, now);
	raw_spin_unlock_irqrestore(&budget->lock, flags);
}

/**
 * vfu_budget_init() - nothing is used
 * @budget: a device's
 *
 * Context: any.
 */
void vfu_budget_init(struct vfu_budget *budget)
{
	raw_spin_lock_init(&budget->lock);
}
