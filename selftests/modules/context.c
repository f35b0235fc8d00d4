// SPDX-License-Identifier: GPL-2.0-only
/*
 * Accesses from every context that a driver can be in, from several CPUs at once, and while CPUs
 * come and go.
 */
#include <linux/completion.h>
#include <linux/cpu.h>
#include <linux/delay.h>
#include <linux/hrtimer.h>
#include <linux/interrupt.h>
#include <linux/irq_work.h>
#include <linux/kthread.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include <linux/spinlock.h>
#include <linux/timer.h>
#include <linux/workqueue.h>
#include <asm/apic.h>
#include <asm/nmi.h>

#include "vfu_test.h"

#define ROUNDS	20

/* ---- contexts that a process can bring itself into ---- */

/* Writes and reads its own place in memory, and reads a counter, @n times. */
static bool accesses(struct vft *t, u32 place, u32 n)
{
	void __iomem *p = vft_ram(t, 0x8000 + 16 * place);
	u64 count, was;
	u32 i;

	was = readq(t->bar[5]);
	for (i = 0; i < n; i++) {
		writel(i * 0x01010101, p);
		writeb(i, p + 5);
		if (readl(p) != i * 0x01010101 || readb(p + 5) != (u8)i)
			return false;
		count = readq(t->bar[5]);
		if (count != was + 1)
			return false;
		was = count;
	}
	return true;
}

static DEFINE_SPINLOCK(vft_spinlock);
static DEFINE_RAW_SPINLOCK(vft_raw_lock);

static void run_contexts(struct vft *t)
{
	unsigned long flags;
	bool ok;
	int i;

	vft_check(accesses(t, 0, ROUNDS), "process");

	for (i = 0, ok = true; i < ROUNDS; i++) {
		spin_lock(&vft_spinlock);
		ok &= accesses(t, 0, 2);
		spin_unlock(&vft_spinlock);
	}
	vft_check(ok, "spinlock");

	for (i = 0, ok = true; i < ROUNDS; i++) {
		spin_lock_irqsave(&vft_spinlock, flags);
		ok &= accesses(t, 0, 2) && irqs_disabled();
		spin_unlock_irqrestore(&vft_spinlock, flags);
		ok &= !irqs_disabled();
	}
	vft_check(ok, "spinlock with interrupts off");

	for (i = 0, ok = true; i < ROUNDS; i++) {
		raw_spin_lock_irqsave(&vft_raw_lock, flags);
		ok &= accesses(t, 0, 2);
		raw_spin_unlock_irqrestore(&vft_raw_lock, flags);
	}
	vft_check(ok, "raw spinlock with interrupts off");

	for (i = 0, ok = true; i < ROUNDS; i++) {
		rcu_read_lock();
		ok &= accesses(t, 0, 2);
		rcu_read_unlock();
	}
	vft_check(ok, "RCU reader");

	for (i = 0, ok = true; i < ROUNDS; i++) {
		preempt_disable();
		ok &= accesses(t, 0, 2);
		preempt_enable();
	}
	vft_check(ok, "preemption off");

	for (i = 0, ok = true; i < ROUNDS; i++) {
		local_bh_disable();
		ok &= accesses(t, 0, 2);
		local_bh_enable();
	}
	vft_check(ok, "softirqs off");

	for (i = 0, ok = true; i < ROUNDS; i++) {
		local_irq_disable();
		ok &= accesses(t, 0, 2);
		local_irq_enable();
	}
	vft_check(ok, "interrupts off");
	vft_check(!in_atomic() && !irqs_disabled(), "nothing is left off");
}

/* ---- contexts that interrupt something ---- */

struct interrupter {
	struct vft *t;
	struct tasklet_struct tasklet;
	struct irq_work irq_work;
	call_single_data_t csd;
	struct timer_list timer;
	struct work_struct work;
	struct completion done;
	bool reads;
	u32 n;
	bool ok;
};

static void interrupter_act(struct interrupter *x)
{
	if (x->reads)
		x->ok &= accesses(x->t, 1, 2);
	writel(++x->n, vft_ram(x->t, 0x9000));
	complete(&x->done);
}

static void interrupter_tasklet(struct tasklet_struct *tasklet)
{
	interrupter_act(container_of(tasklet, struct interrupter, tasklet));
}

static void interrupter_irq_work(struct irq_work *work)
{
	interrupter_act(container_of(work, struct interrupter, irq_work));
}

static void interrupter_ipi(void *info)
{
	interrupter_act(info);
}

static void interrupter_timer(struct timer_list *timer)
{
	interrupter_act(container_of(timer, struct interrupter, timer));
}

static void interrupter_work(struct work_struct *work)
{
	interrupter_act(container_of(work, struct interrupter, work));
}

/* In hard interrupt context, as the work that needs no IPI is on the way to a tasklet. */
static void interrupter_to_tasklet(struct irq_work *work)
{
	tasklet_schedule(&container_of(work, struct interrupter, irq_work)->tasklet);
}

static void interrupter_wait(struct interrupter *x)
{
	/* The device may be lost, but whatever was started ends. */
	wait_for_completion(&x->done);
	reinit_completion(&x->done);
}

static struct interrupter *interrupter_create(struct vft *t, bool reads)
{
	struct interrupter *x = kzalloc(sizeof(*x), GFP_KERNEL);

	if (!x)
		return NULL;
	x->t = t;
	x->ok = true;
	x->reads = reads;
	init_completion(&x->done);
	tasklet_setup(&x->tasklet, interrupter_tasklet);
	timer_setup(&x->timer, interrupter_timer, 0);
	INIT_WORK(&x->work, interrupter_work);
	INIT_CSD(&x->csd, interrupter_ipi, x);
	return x;
}

static bool interrupter_done(struct interrupter *x)
{
	bool ok = x->ok && readl(vft_ram(x->t, 0x9000)) == x->n;

	if (!x->ok)
		vft_note("an access went wrong");
	x->ok = true;
	return ok;
}

static void interrupters(struct vft *t, bool reads)
{
	const char *what = reads ? "reads and writes" : "writes";
	struct interrupter *x = interrupter_create(t, reads);
	int i, cpu;

	if (!x)
		return;
	for (i = 0; i < ROUNDS; i++) {
		cpu = cpumask_next(i % num_online_cpus() - 1, cpu_online_mask);
		if (cpu < nr_cpu_ids)
			queue_work_on(cpu, system_wq, &x->work);
		else
			queue_work(system_wq, &x->work);
		interrupter_wait(x);
	}
	vft_check(interrupter_done(x), "worker: %s", what);

	for (i = 0; i < ROUNDS; i++) {
		x->timer.expires = jiffies + 1;
		add_timer(&x->timer);
		interrupter_wait(x);
	}
	vft_check(interrupter_done(x), "timer: %s", what);

	x->irq_work = IRQ_WORK_INIT_HARD(interrupter_to_tasklet);
	for (i = 0; i < ROUNDS; i++) {
		irq_work_queue(&x->irq_work);
		interrupter_wait(x);
	}
	irq_work_sync(&x->irq_work);
	tasklet_kill(&x->tasklet);
	vft_check(interrupter_done(x), "tasklet: %s", what);

	x->irq_work = IRQ_WORK_INIT_HARD(interrupter_irq_work);
	for (i = 0; i < ROUNDS; i++) {
		irq_work_queue(&x->irq_work);
		interrupter_wait(x);
	}
	irq_work_sync(&x->irq_work);
	vft_check(interrupter_done(x), "hard interrupt: %s", what);

	for (i = 0; i < ROUNDS; i++) {
		preempt_disable();
		cpu = cpumask_any_but(cpu_online_mask, smp_processor_id());
		if (cpu < nr_cpu_ids)
			smp_call_function_single_async(cpu, &x->csd);
		preempt_enable();
		if (cpu < nr_cpu_ids)
			interrupter_wait(x);
		/* The call's data is free again some time after its function. */
		usleep_range(100, 200);
	}
	vft_check(interrupter_done(x), "hard interrupt of another CPU: %s", what);
	kfree(x);
}

static void run_interrupt_writes(struct vft *t)
{
	interrupters(t, false);
}

static void run_interrupt_reads(struct vft *t)
{
	interrupters(t, true);
}

/* ---- NMI ---- */

static struct vft *nmi_device;
static u32 nmi_value;

static int nmi_access(unsigned int type, struct pt_regs *regs)
{
	struct vft *t = READ_ONCE(nmi_device);

	if (!t)
		return NMI_DONE;
	writel(0x5a5a5a5a, vft_ram(t, 0));
	nmi_value = readl(vft_ram(t, 4));
	/* Pairs with the acquire in run_nmi(): the value is there. */
	smp_store_release(&nmi_device, NULL);
	return NMI_HANDLED;
}

/* Whatever the interrupted code is in the middle of: the server is not asked. */
static void run_nmi(struct vft *t)
{
	unsigned long end = jiffies + 60 * HZ;

	if (!vft_check(!register_nmi_handler(NMI_LOCAL, nmi_access, 0, "vfu_test"), "a handler"))
		return;
	writel(0x11111111, vft_ram(t, 0));
	writel(0x22222222, vft_ram(t, 4));
	vft_log_start(t);
	WRITE_ONCE(nmi_device, t);
	apic->send_IPI_mask(cpumask_of(raw_smp_processor_id()), NMI_VECTOR);
	/* Pairs with the release in nmi_access(). */
	while (smp_load_acquire(&nmi_device) && time_before(jiffies, end))
		usleep_range(100, 200);
	if (vft_check(!xchg(&nmi_device, NULL), "an NMI comes")) {
		vft_check(nmi_value == ~0U, "a read in it is all-ones");
		vft_check(vft_log_quiet(t), "the server is not asked");
		vft_check(readl(vft_ram(t, 0)) == 0x11111111, "a write in it goes nowhere");
		vft_check(readl(vft_ram(t, 4)) == 0x22222222, "the device goes on");
	}
	unregister_nmi_handler(NMI_LOCAL, "vfu_test");
}

/* ---- several CPUs ---- */

struct racer {
	struct vft *t;
	u32 nr;
	bool irqs_off;
	bool reads;
	bool ok;
	struct completion runs;		/* one that is stopped before it runs never does */
};

#define RACE_ROUNDS	300

static u32 race_seq;

static int race_thread(void *arg)
{
	struct racer *r = arg;
	unsigned long flags = 0;
	u32 i;

	complete(&r->runs);
	r->ok = true;
	for (i = 0; i < RACE_ROUNDS; i++) {
		if (r->irqs_off)
			spin_lock_irqsave(&vft_spinlock, flags);
		else
			spin_lock(&vft_spinlock);
		writel(race_seq, vft_ram(r->t, 0xa000 + 4 * r->nr));
		if (r->reads)
			r->ok &= readl(vft_ram(r->t, 0xa000 + 4 * r->nr)) == race_seq;
		race_seq++;
		if (r->irqs_off)
			spin_unlock_irqrestore(&vft_spinlock, flags);
		else
			spin_unlock(&vft_spinlock);
		if (i % 16 == r->nr)
			cond_resched();
	}
	while (!kthread_should_stop())
		usleep_range(500, 1000);
	return 0;
}

/* Two at once, where there are three: who waits for the lock keeps its CPU; others must serve. */
static void race(struct vft *t, bool irqs_off, bool reads, const char *name)
{
	u32 n = min(num_online_cpus() - 1, 2U), i, count;
	struct task_struct *threads[3];
	struct testdev_access a;
	struct racer racers[3];
	bool ok = true;
	u32 expect = 0;

	if (!n) {
		vft_skip("%s # SKIP one CPU", name);
		return;
	}
	race_seq = 0;
	vft_log_start(t);
	for (i = 0; i < n; i++) {
		racers[i] = (struct racer){ t, i, irqs_off, reads };
		init_completion(&racers[i].runs);
		threads[i] = kthread_run(race_thread, &racers[i], "vft_race/%u", i);
	}
	for (i = 0; i < n; i++) {
		if (IS_ERR(threads[i])) {
			ok = false;
			continue;
		}
		wait_for_completion(&racers[i].runs);
		kthread_stop(threads[i]);
		ok &= racers[i].ok;
	}
	count = vft_log_count(t);
	if (count != n * RACE_ROUNDS * (reads ? 2 : 1)) {
		vft_note("%u accesses arrived", count);
		ok = false;
	}
	for (i = 0; ok && i < count && i < TESTDEV_LOG_ENTRIES; i += reads ? 2 : 1) {
		vft_log_read(t, i, &a);
		ok = a.write && a.value == expect++;
		if (!ok)
			vft_note("access %u is %#llx, not %#x", i, a.value, expect - 1);
	}
	vft_check(ok, "%s", name);
}

static void run_race(struct vft *t)
{
	race(t, false, false, "writes under a lock keep their order");
	race(t, true, false, "writes under a lock with interrupts off keep their order");
	race(t, false, true, "reads and writes under a lock");
	race(t, true, true, "reads and writes under a lock with interrupts off");
}

/* ---- nobody answers ---- */

static void run_overdue(struct vft *t)
{
	unsigned long flags;
	u32 value, again;

	local_irq_save(flags);
	value = readl(vft_ram(t, 0));
	again = readl(vft_ram(t, 0));
	local_irq_restore(flags);
	vft_check(value == ~0U && again == ~0U, "a read with interrupts off ends, all-ones");
}

/* ---- traffic while something else happens ---- */

#define TRAFFIC_MAX	8

static struct task_struct *traffic_threads[TRAFFIC_MAX];
static struct racer traffic_racers[TRAFFIC_MAX];
static u32 traffic_rounds[TRAFFIC_MAX];
static u32 traffic_nr;

static int traffic_thread(void *arg)
{
	struct racer *r = arg;
	void __iomem *p = vft_ram(r->t, 0xb000 + 64 * r->nr);
	u32 v = 0;

	complete(&r->runs);
	while (!kthread_should_stop()) {
		writel(++v, p);
		writeb(v, p + 4);
		r->ok &= readl(p) == v && readb(p + 4) == (u8)v;
		traffic_rounds[r->nr]++;
		cond_resched();
	}
	return 0;
}

static void run_traffic_start(struct vft *t)
{
	u32 i, n = t->arg ? min_t(u32, t->arg, TRAFFIC_MAX) : 2;

	vft_traffic_stop(t);
	for (i = 0; i < n; i++) {
		traffic_racers[i] = (struct racer){ .t = t, .nr = i, .ok = true };
		init_completion(&traffic_racers[i].runs);
		traffic_rounds[i] = 0;
		traffic_threads[i] = kthread_run(traffic_thread, &traffic_racers[i],
						 "vft_traffic/%u", i);
		if (IS_ERR(traffic_threads[i]))
			break;
	}
	traffic_nr = i;
	vft_check(i == n, "traffic starts");
}

/**
 * vft_traffic_stop() - end what the case traffic-start began
 * @t: device
 */
void vft_traffic_stop(struct vft *t)
{
	u32 i;

	for (i = 0; i < traffic_nr; i++) {
		wait_for_completion(&traffic_racers[i].runs);
		kthread_stop(traffic_threads[i]);
	}
	traffic_nr = 0;
}

static void run_traffic_stop(struct vft *t)
{
	u32 i, n = traffic_nr;
	bool ok = n, alive = true;

	vft_traffic_stop(t);
	for (i = 0; i < n; i++) {
		ok &= traffic_racers[i].ok;
		alive &= traffic_rounds[i] > 0;
	}
	vft_check(ok, "all accesses were right");
	vft_check(alive, "each thread made some");
}

static void run_traffic_alive(struct vft *t)
{
	u32 i, was[TRAFFIC_MAX];
	bool ok = traffic_nr;
	int tries;

	memcpy(was, traffic_rounds, sizeof(was));
	for (i = 0; i < traffic_nr; i++) {
		for (tries = 0; tries < 1000 && READ_ONCE(traffic_rounds[i]) == was[i]; tries++)
			msleep(20);
		ok &= READ_ONCE(traffic_rounds[i]) != was[i] && traffic_racers[i].ok;
	}
	vft_check(ok, "traffic goes on");
}

const struct vft_case vft_context_cases[] = {
	{ "contexts", run_contexts },
	{ "interrupt-writes", run_interrupt_writes },
	{ "interrupt-reads", run_interrupt_reads },
	{ "nmi", run_nmi },
	{ "race", run_race },
	{ "overdue", run_overdue },
	{ "traffic-start", run_traffic_start },
	{ "traffic-alive", run_traffic_alive },
	{ "traffic-stop", run_traffic_stop },
	{ }
};
