/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * budget.c: what a device may take of a CPU that waits for it.
 */
#ifndef _KMOD_BUDGET_H
#define _KMOD_BUDGET_H

#include <linux/spinlock.h>
#include <linux/timekeeping.h>
#include <linux/types.h>

struct vfu_dev;

/**
 * struct vfu_budget - time that drivers spend waiting where they cannot sleep
 * @lock: raw spinlock, protects the rest
 * @used: up to @when, ns; a share of the time since then has come back
 * @when: see there
 */
struct vfu_budget {
	raw_spinlock_t lock;	/* see above */
	u64 used;
	u64 when;
};

/*
 * Of the clock source itself. Where the CPUs' counters are not trusted, what the
 * scheduler's clock says is bounded by the CPU's last tick: with interrupts off it
 * would stand still, and no bound ever pass.
 */
static inline u64 vfu_now(void)
{
	return ktime_get_mono_fast_ns();
}

void vfu_budget_init(struct vfu_budget *budget);
u64 vfu_budget_bound(const struct vfu_dev *vdev, u64 now);
void vfu_budget_take(struct vfu_dev *vdev, u64 ns);

#endif /* _KMOD_BUDGET_H */
