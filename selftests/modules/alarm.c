// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the kernels that look for bugs must find: a bug of each kind, made on purpose.
 *
 * "modprobe vfu_alarm what=KIND" makes one and fails, so that nothing of it stays. The kinds are those below; each
 * is one that a kernel of ../vm/debug is there for, and of which it may be silent where it is configured otherwise
 * than it was meant to be. No device, and none of vfiouser_pci, has a part in it.
 */
#include <linux/compiler.h>
#include <linux/delay.h>
#include <linux/jiffies.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/rcupdate.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include <linux/spinlock.h>
#include <linux/string.h>

static char *what = "";
module_param(what, charp, 0444);
MODULE_PARM_DESC(what, "kind of bug: bounds, atomic, locks, rcu, leak, csd, shift, race");

/* KASAN: a byte behind what was asked for is read. */
static void vfa_bounds(void)
{
	char *p = kmalloc(13, GFP_KERNEL);

	OPTIMIZER_HIDE_VAR(p);
	if (p)
		pr_info("vfu_alarm: read %d\n", READ_ONCE(p[13]));
	kfree(p);
}

/* DEBUG_ATOMIC_SLEEP */
static void vfa_atomic(void)
{
	static DEFINE_SPINLOCK(lock);

	spin_lock(&lock);
	msleep(20);
	spin_unlock(&lock);
}

/* PROVE_LOCKING: one order, and then the other. */
static void vfa_locks(void)
{
	static DEFINE_MUTEX(a);
	static DEFINE_MUTEX(b);

	mutex_lock(&a);
	mutex_lock(&b);
	mutex_unlock(&b);
	mutex_unlock(&a);
	mutex_lock(&b);
	mutex_lock(&a);
	mutex_unlock(&a);
	mutex_unlock(&b);
}

/* PROVE_RCU */
static void vfa_rcu(void)
{
	static void __rcu *nothing;

	if (rcu_dereference(nothing))
		pr_info("vfu_alarm: something\n");
}

/* DEBUG_KMEMLEAK: nobody knows of it any more. */
static void vfa_leak(void)
{
	void *p = kmalloc(4321, GFP_KERNEL);

	OPTIMIZER_HIDE_VAR(p);
}

static void vfa_busy(void *unused)
{
	int i;

	for (i = 0; i < 9000; i++)
		mdelay(1);
}

/* CSD_LOCK_WAIT_DEBUG: another CPU does not end within the 5 s that are given to it. */
static void vfa_csd(void)
{
	int cpu = get_cpu();

	smp_call_function_single(cpumask_any_but(cpu_online_mask, cpu), vfa_busy, NULL, 1);
	put_cpu();
}

/* UBSAN */
static void vfa_shift(void)
{
	int n = 40;

	OPTIMIZER_HIDE_VAR(n);
	pr_info("vfu_alarm: %d\n", 1 << n);
}

static int vfa_count;

static int vfa_race_count(void *unused)
{
	unsigned long end = jiffies + 5 * HZ;

	while (time_before(jiffies, end)) {
		vfa_count++;
		barrier();
		cond_resched();
	}
	return 0;
}

/* KCSAN: two CPUs count in one variable. */
static void vfa_race(void)
{
	struct task_struct *task = kthread_create(vfa_race_count, NULL, "vfu_alarm");

	if (IS_ERR(task))
		return;
	get_task_struct(task);
	wake_up_process(task);
	vfa_race_count(NULL);
	/* it has left this module's code then, whenever it ended */
	kthread_stop(task);
	put_task_struct(task);
}

static const struct {
	const char *what;
	void (*make)(void);
} vfa_kinds[] = {
	{ "bounds", vfa_bounds }, { "atomic", vfa_atomic }, { "locks", vfa_locks }, { "rcu", vfa_rcu },
	{ "leak", vfa_leak }, { "csd", vfa_csd }, { "shift", vfa_shift }, { "race", vfa_race },
};

static int __init vfa_init(void)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(vfa_kinds); i++) {
		if (strcmp(vfa_kinds[i].what, what))
			continue;
		vfa_kinds[i].make();
		return -ECANCELED;
	}
	return -EINVAL;
}
module_init(vfa_init);

MODULE_DESCRIPTION("Bugs for the kernels that find them");
MODULE_LICENSE("GPL");
