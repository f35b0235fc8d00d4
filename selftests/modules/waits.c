// SPDX-License-Identifier: GPL-2.0-only
/*
 * Waiting for an answer where something else is going on: a task that has said what it will sleep
 * for, a lock that a process holds while the handler reads, a server that takes its time each time,
 * a vector that is let go from two sides at once, and NMIs.
 */
#include <linux/delay.h>
#include <linux/interrupt.h>
#include <linux/irq.h>
#include <linux/kthread.h>
#include <linux/nmi.h>
#include <linux/slab.h>
#include <linux/vfio.h>
#include <linux/wait.h>
#include <asm/apic.h>
#include <asm/nmi.h>

#include "vfu_test.h"

#define SLOW_MS		20
#define WAIT_S		60

/* A read in the condition must not take back that the task is about to sleep. */
static void run_wait_event(struct vft *t)
{
	DECLARE_WAIT_QUEUE_HEAD_ONSTACK(wq);
	unsigned int looks = 0;

	writel(1000 * SLOW_MS, vft_reg(t, TESTDEV_SLOW_US));
	writel(0, vft_reg(t, TESTDEV_SLOW));
	readl(vft_reg(t, TESTDEV_ID));
	wait_event_timeout(wq, (looks++, readl(vft_reg(t, TESTDEV_SLOW)) & 1), HZ);
	vft_note("%u reads", looks);
	vft_check(looks <= 3, "wait_event() sleeps though its condition reads a register");

	set_current_state(TASK_UNINTERRUPTIBLE);
	readl(vft_reg(t, TESTDEV_SLOW));
	vft_check(READ_ONCE(current->__state) == TASK_UNINTERRUPTIBLE,
		  "the state of a task is the same after a read");
	__set_current_state(TASK_RUNNING);
	writel(0, vft_reg(t, TESTDEV_SLOW_US));
}

/* ---- the handler reads, and a process reads under a lock ---- */

struct nic {
	struct vft *t;
	spinlock_t lock;	/* what the driver holds while it reads */
	atomic_t count;
	bool handler_locks;
	bool wrong;
};

static irqreturn_t nic_handler(int irq, void *data)
{
	struct nic *nic = data;

	if (readl(vft_reg(nic->t, TESTDEV_ID)) != TESTDEV_MAGIC)
		nic->wrong = true;
	if (nic->handler_locks) {
		spin_lock(&nic->lock);
		if (readl(vft_reg(nic->t, TESTDEV_ID)) != TESTDEV_MAGIC)
			nic->wrong = true;
		spin_unlock(&nic->lock);
	}
	atomic_inc(&nic->count);
	return IRQ_HANDLED;
}

#define NIC_ROUNDS	50
#define NIC_REGISTERS	20

static void run_handler_lock(struct vft *t)
{
	struct nic nic = { .t = t };
	int i, j, irq, before;
	unsigned long flags;
	bool ok = true;

	spin_lock_init(&nic.lock);
	/* On two there would be no CPU left for who answers. */
	nic.handler_locks = num_online_cpus() > 2;
	if (!vft_check(pci_alloc_irq_vectors(t->pdev, 1, 1, PCI_IRQ_MSIX) == 1, "one vector"))
		return;
	irq = pci_irq_vector(t->pdev, 0);
	if (vft_check(!request_irq(irq, nic_handler, 0, "vfu_test", &nic), "request_irq")) {
		for (i = 0; ok && !nic.wrong && i < NIC_ROUNDS; i++) {
			before = atomic_read(&nic.count);
			writel(VFIO_PCI_MSIX_IRQ_INDEX << 16, vft_reg(t, TESTDEV_IRQ));
			spin_lock_irqsave(&nic.lock, flags);
			for (j = 0; j < NIC_REGISTERS; j++)
				if (readl(vft_reg(t, TESTDEV_ID)) != TESTDEV_MAGIC)
					nic.wrong = true;
			spin_unlock_irqrestore(&nic.lock, flags);
			for (j = 0; j < 1000 * WAIT_S && atomic_read(&nic.count) == before; j++)
				usleep_range(500, 1000);
			ok = atomic_read(&nic.count) != before;
			cond_resched();
		}
		vft_check(ok, "%d interrupts, while registers are read under a lock", NIC_ROUNDS);
		vft_check(!nic.wrong, "all reads are right");
		free_irq(irq, &nic);
	}
	pci_free_irq_vectors(t->pdev);
}

/* ---- always just in time ---- */

#define BUDGET_READS	12
#define BUDGET_MS	700

static void run_budget(struct vft *t)
{
	unsigned long flags;
	u32 answered = 0;
	int i;

	writel(0x600d, vft_reg(t, TESTDEV_SLOW));
	writel(1000 * BUDGET_MS, vft_reg(t, TESTDEV_SLOW_US));
	readl(vft_reg(t, TESTDEV_ID));
	local_irq_save(flags);
	for (i = 0; i < BUDGET_READS; i++) {
		answered += readl(vft_reg(t, TESTDEV_SLOW)) == 0x600d;
		touch_nmi_watchdog();
	}
	local_irq_restore(flags);
	vft_note("%u answered", answered);
	vft_check(answered && answered < 6,
		  "a server that answers in time, each time, does not own a CPU");
}

/* ---- soon, but so often ---- */

#define MANY_MS		3
#define MANY_S		11

/* Lets the CPU go after each read, or does not; returns whether all were answered. */
static bool many_reads(struct vft *t, bool let_go)
{
	ktime_t end = ktime_add_ms(ktime_get(), 1000 * MANY_S);
	unsigned long flags;
	u32 reads = 0;
	bool ok = true;

	local_irq_save(flags);
	while (ok && ktime_before(ktime_get(), end)) {
		ok = readl(vft_reg(t, TESTDEV_SLOW)) == 0x600d;
		reads++;
		touch_nmi_watchdog();
		if (let_go) {
			local_irq_restore(flags);
			cond_resched();
			local_irq_save(flags);
		}
	}
	local_irq_restore(flags);
	vft_note("%u reads", reads);
	return ok;
}

static void run_many(struct vft *t)
{
	writel(0x600d, vft_reg(t, TESTDEV_SLOW));
	writel(1000 * MANY_MS, vft_reg(t, TESTDEV_SLOW_US));
	readl(vft_reg(t, TESTDEV_ID));
	vft_check(many_reads(t, true), "reads without end, and others run in between");
	vft_check(!many_reads(t, false), "reads without end do not own a CPU");
}

/* ---- a vector that is let go from two sides ---- */

#define RACE_ROUNDS	4000

struct let_go {
	int irq;
	atomic_t count;
	struct completion done;
};

static irqreturn_t let_go_handler(int irq, void *data)
{
	struct let_go *x = data;

	atomic_inc(&x->count);
	return IRQ_HANDLED;
}

static int let_go_thread(void *arg)
{
	struct let_go *x = arg;
	int i;

	for (i = 0; i < RACE_ROUNDS; i++) {
		disable_irq_nosync(x->irq);
		enable_irq(x->irq);
		if (i % 64 == 0)
			cond_resched();
	}
	complete(&x->done);
	return 0;
}

/* Raised on one CPU, enabled on a second, handled on a third. */
static void run_let_go(struct vft *t)
{
	struct let_go x = { };
	struct task_struct *task;
	int i, before;

	init_completion(&x.done);
	if (num_online_cpus() < 4) {
		vft_skip("raised and enabled at once # SKIP fewer than 4 CPUs");
		return;
	}
	if (!vft_check(pci_alloc_irq_vectors(t->pdev, 1, 1, PCI_IRQ_MSIX) == 1, "one vector"))
		return;
	x.irq = pci_irq_vector(t->pdev, 0);
	irq_set_status_flags(x.irq, IRQ_DISABLE_UNLAZY);
	if (!vft_check(!request_irq(x.irq, let_go_handler, 0, "vfu_test", &x), "request_irq"))
		goto out;
	irq_set_affinity(x.irq, cpumask_of(2));
	/* Its handler reads nothing: that is to be known first. */
	for (i = 0; i < 20; i++) {
		writel(VFIO_PCI_MSIX_IRQ_INDEX << 16, vft_reg(t, TESTDEV_IRQ));
		readl(vft_reg(t, TESTDEV_ID));
		usleep_range(500, 1000);
	}
	task = kthread_create(let_go_thread, &x, "vft_let_go");
	if (!IS_ERR(task)) {
		kthread_bind(task, 1);
		wake_up_process(task);
		while (!try_wait_for_completion(&x.done)) {
			writel(VFIO_PCI_MSIX_IRQ_INDEX << 16, vft_reg(t, TESTDEV_IRQ));
			cond_resched();
		}
	}
	readl(vft_reg(t, TESTDEV_ID));
	msleep(100);
	before = atomic_read(&x.count);
	writel(VFIO_PCI_MSIX_IRQ_INDEX << 16, vft_reg(t, TESTDEV_IRQ));
	for (i = 0; i < 1000 * WAIT_S && atomic_read(&x.count) == before; i++)
		usleep_range(500, 1000);
	vft_check(before > 20 && atomic_read(&x.count) > before, "raised and enabled at once");
	free_irq(x.irq, &x);
out:
	irq_clear_status_flags(x.irq, IRQ_DISABLE_UNLAZY);
	pci_free_irq_vectors(t->pdev);
}

/* ---- NMIs, on a CPU that holds our locks ---- */

#define STORM_NMIS	3000

static struct vft *storm_device;
static atomic_t storm_nmis;

static int storm_nmi(unsigned int type, struct pt_regs *regs)
{
	struct vft *t = READ_ONCE(storm_device);

	if (!t)
		return NMI_DONE;
	if (readl(t->bar[2] + TESTDEV_MSIX_TABLE) == ~0U)
		atomic_inc(&storm_nmis);
	WRITE_ONCE(storm_device, NULL);
	return NMI_HANDLED;
}

static int storm_thread(void *arg)
{
	struct vft *t = arg;

	while (!kthread_should_stop()) {
		int i;

		for (i = 0; i < 64; i++)
			readl(t->bar[2] + TESTDEV_MSIX_TABLE + 4 * i);
		cond_resched();
	}
	return 0;
}

static void run_nmi_storm(struct vft *t)
{
	struct task_struct *task;
	unsigned long end;
	int i;

	if (num_online_cpus() < 2 || !t->bar[2]) {
		vft_skip("NMIs below locks # SKIP one CPU");
		return;
	}
	if (register_nmi_handler(NMI_LOCAL, storm_nmi, 0, "vft_storm"))
		return;
	atomic_set(&storm_nmis, 0);
	task = kthread_create(storm_thread, t, "vft_storm");
	if (!IS_ERR(task)) {
		kthread_bind(task, 0);
		wake_up_process(task);
		set_cpus_allowed_ptr(current, cpumask_of(1));
		for (i = 0; i < STORM_NMIS; i++) {
			end = jiffies + WAIT_S * HZ;
			WRITE_ONCE(storm_device, t);
			apic->send_IPI_mask(cpumask_of(0), NMI_VECTOR);
			while (READ_ONCE(storm_device) && time_before(jiffies, end))
				cpu_relax();
			if (xchg(&storm_device, NULL))
				break;
			cond_resched();
		}
		vft_check(i == STORM_NMIS && atomic_read(&storm_nmis) == i,
			  "NMIs on a CPU that reads the vector table");
		kthread_stop(task);
		set_cpus_allowed_ptr(current, cpu_possible_mask);
	}
	unregister_nmi_handler(NMI_LOCAL, "vft_storm");
}

const struct vft_case vft_wait_cases[] = {
	{ "wait-event", run_wait_event },
	{ "handler-lock", run_handler_lock },
	{ "budget", run_budget },
	{ "many", run_many },
	{ "let-go", run_let_go },
	{ "nmi-storm", run_nmi_storm },
	{ }
};
