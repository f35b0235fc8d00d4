// SPDX-License-Identifier: GPL-2.0-only
/*
 * Registers that are read wherever drivers read them, for as many seconds as the number behind the
 * case's name says: what is answered, and when the device is lost. Where that cannot sleep it is on
 * one CPU, or on each where the name is in the plural.
 *
 * A place is one such reader on one CPU. What interrupts others is set off by a thread that waits
 * for it and then sleeps for a millisecond or two. That a device is lost is no failure here, but
 * noted; a wrong answer and an interrupt that does not come are.
 */
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/interrupt.h>
#include <linux/kthread.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include <linux/spinlock.h>
#include <linux/timer.h>
#include <linux/vfio.h>

#include "vfu_test.h"

#define CPUS_MAX	8
#define SECONDS		10
#define WAIT_S		30
#define LOCKED_READS	4

enum kind {
	PROCESS,	/* sleeps */
	HANDLER,	/* of an interrupt of the device */
	LOCK,		/* a process with interrupts off */
	TIMER,
	TASKLET,	/* raised by an interrupt */
	IPI,		/* a hard interrupt that is not the device's */
	IDLE,		/* with interrupts off, on a CPU that has nothing to run */
	NIC,		/* a handler that takes the lock of LOCK */
	NR_KINDS,
};

static const char *const kind_names[NR_KINDS] = {
	"process", "handler", "lock", "timer", "softirq", "interrupt", "idle", "nic",
};

#define SLEEPERS	(BIT(PROCESS) | BIT(HANDLER))

struct place {
	struct vft *t;
	enum kind kind;
	u32 nr;
	u32 cpu;
	int irq;
	u32 value;		/* last one written; never all-ones, which a lost device reads */
	u64 reads;
	u64 wrong;
	u64 longest;		/* ns */
	struct task_struct *task;
	struct completion runs;		/* a thread that is stopped before it runs never does */
	struct completion done;
	struct timer_list timer;
	struct tasklet_struct tasklet;
	call_single_data_t csd;
};

static DEFINE_SPINLOCK(registers_lock);
static bool registers_stop;	/* nobody begins anything */
static bool registers_lost;
static u32 registers_missing;	/* interrupts that did not come */

/* Each place has a register of its own. */
static void place_read(struct place *p)
{
	void __iomem *reg = vft_ram(p->t, 0xc000 + 16 * p->nr);
	u64 begin;
	u32 got;

	p->value = (p->value + 1) & 0xffffff;
	writel(p->value, reg);
	begin = ktime_get_ns();
	got = readl(reg);
	p->longest = max(p->longest, ktime_get_ns() - begin);
	if (got == p->value)
		p->reads++;
	else if (got == ~0U)
		WRITE_ONCE(registers_lost, true);
	else
		p->wrong++;
}

static void place_read_locked(struct place *p)
{
	unsigned long flags;
	int i;

	spin_lock_irqsave(&registers_lock, flags);
	for (i = 0; i < LOCKED_READS; i++)
		place_read(p);
	spin_unlock_irqrestore(&registers_lock, flags);
}

static irqreturn_t place_handler(int irq, void *data)
{
	struct place *p = data;

	place_read(p);
	if (p->kind == NIC)
		place_read_locked(p);
	complete(&p->done);
	return IRQ_HANDLED;
}

static void place_timer(struct timer_list *timer)
{
	struct place *p = container_of(timer, struct place, timer);

	if (p->kind != IDLE || is_idle_task(current))
		place_read(p);
	complete(&p->done);
}

static void place_tasklet(struct tasklet_struct *tasklet)
{
	struct place *p = container_of(tasklet, struct place, tasklet);

	place_read(p);
	complete(&p->done);
}

static void place_ipi(void *data)
{
	struct place *p = data;

	if (p->kind == TASKLET) {
		tasklet_schedule(&p->tasklet);
		return;
	}
	place_read(p);
	complete(&p->done);
}

/* Wherever the thread runs, it happens on the place's CPU, to whatever runs there. */
static void place_act(struct place *p)
{
	switch (p->kind) {
	case PROCESS:
		place_read(p);
		return;
	case LOCK:
		place_read_locked(p);
		return;
	case HANDLER:
	case NIC:
		writel(VFIO_PCI_MSIX_IRQ_INDEX << 16 | (p->irq - pci_irq_vector(p->t->pdev, 0)),
		       vft_reg(p->t, TESTDEV_IRQ));
		if (!wait_for_completion_timeout(&p->done, WAIT_S * HZ) &&
		    !READ_ONCE(registers_lost)) {
			registers_missing++;
			WRITE_ONCE(registers_stop, true);
		}
		return;
	case TIMER:
	case IDLE:
		p->timer.expires = jiffies + 1;
		add_timer_on(&p->timer, p->cpu);
		break;
	default:
		smp_call_function_single_async(p->cpu, &p->csd);
		break;
	}
	/* Whatever becomes of the device, these come. */
	wait_for_completion(&p->done);
}

static int place_thread(void *arg)
{
	struct place *p = arg;

	complete(&p->runs);
	while (!kthread_should_stop()) {
		if (!READ_ONCE(registers_lost) && !READ_ONCE(registers_stop))
			place_act(p);
		usleep_range(1000, 2000);
	}
	return 0;
}

/* A vector for each place that has handlers. Returns how many, or 0. */
static u32 vectors_create(struct vft *t, struct place *places, u32 n)
{
	u32 i, nr = 0;
	int ret;

	for (i = 0; i < n; i++)
		nr += places[i].kind == HANDLER || places[i].kind == NIC;
	if (!nr)
		return 0;
	ret = pci_alloc_irq_vectors(t->pdev, nr, nr, PCI_IRQ_MSIX);
	if (!vft_check(ret == nr, "%u vectors", nr)) {
		if (ret > 0)
			pci_free_irq_vectors(t->pdev);
		return 0;
	}
	for (i = 0, nr = 0; i < n; i++) {
		struct place *p = &places[i];

		if (p->kind != HANDLER && p->kind != NIC)
			continue;
		p->irq = pci_irq_vector(t->pdev, nr++);
		ret = request_irq(p->irq, place_handler, 0, "vfu_test", p);
		if (ret)
			p->irq = 0;
		else
			irq_set_affinity(p->irq, cpumask_of(p->cpu));
		vft_check(!ret, "vector of CPU %u", p->cpu);
	}
	return nr;
}

static void vectors_free(struct vft *t, struct place *places, u32 n)
{
	u32 i;

	for (i = 0; i < n; i++)
		if (places[i].irq)
			free_irq(places[i].irq, &places[i]);
	pci_free_irq_vectors(t->pdev);
}

static void place_start(struct place *p)
{
	struct task_struct *task;
	u32 cpu = p->cpu;

	if ((p->kind == HANDLER || p->kind == NIC) && !p->irq)
		return;
	/* An interrupt between CPUs comes from another one; on one that idles nothing is to run. */
	if (p->kind == TASKLET || p->kind == IPI || p->kind == IDLE)
		cpu = cpumask_any_but(cpu_online_mask, cpu);
	if (cpu >= nr_cpu_ids)
		return;
	task = kthread_create(place_thread, p, "vft_%s/%u", kind_names[p->kind], p->cpu);
	if (!vft_check(!IS_ERR(task), "thread of CPU %u", p->cpu))
		return;
	kthread_bind(task, cpu);
	p->task = task;
	wake_up_process(task);
}

static void place_stop(struct place *p)
{
	if (!p->task)
		return;
	wait_for_completion(&p->runs);
	kthread_stop(p->task);
	tasklet_kill(&p->tasklet);
}

static void note_kind(const struct place *places, u32 n, enum kind kind)
{
	u64 reads = 0, wrong = 0, longest = 0;
	bool any = false;
	u32 i;

	for (i = 0; i < n; i++) {
		if (places[i].kind != kind)
			continue;
		any = true;
		reads += places[i].reads;
		wrong += places[i].wrong;
		longest = max(longest, places[i].longest);
	}
	if (any)
		vft_note("%s %llu reads %llu wrong %llu us", kind_names[kind], reads, wrong,
			 div_u64(longest, NSEC_PER_USEC));
}

/* @kinds on the first CPU, @each on every one. */
static void registers(struct vft *t, u32 kinds, u32 each)
{
	u32 first = cpumask_first(cpu_online_mask), cpu, kind, n = 0, i, vectors;
	unsigned long begin, end;
	struct place *places, *p;
	u64 wrong = 0;

	places = kcalloc(CPUS_MAX * NR_KINDS, sizeof(*places), GFP_KERNEL);
	if (!places)
		return;
	registers_stop = false;
	registers_lost = false;
	registers_missing = 0;
	for_each_online_cpu(cpu) {
		for (kind = 0; kind < NR_KINDS && cpu < CPUS_MAX; kind++) {
			if (!((cpu == first ? kinds | each : each) & BIT(kind)))
				continue;
			p = &places[n];
			p->t = t;
			p->kind = kind;
			p->nr = n++;
			p->cpu = cpu;
			init_completion(&p->runs);
			init_completion(&p->done);
			timer_setup(&p->timer, place_timer,
				    TIMER_PINNED | (kind == IDLE ? TIMER_IRQSAFE : 0));
			tasklet_setup(&p->tasklet, place_tasklet);
			INIT_CSD(&p->csd, place_ipi, p);
		}
	}
	vectors = vectors_create(t, places, n);
	begin = jiffies;
	end = begin + (t->arg ?: SECONDS) * HZ;
	for (i = 0; i < n; i++)
		place_start(&places[i]);
	while (time_before(jiffies, end) && !READ_ONCE(registers_lost) &&
	       !READ_ONCE(registers_stop))
		msleep(20);
	vft_note("ran %u ms%s", jiffies_to_msecs(jiffies - begin), registers_lost ? ", lost" : "");
	for (i = 0; i < n; i++) {
		place_stop(&places[i]);
		wrong += places[i].wrong;
	}
	if (vectors)
		vectors_free(t, places, n);
	for (kind = 0; kind < NR_KINDS; kind++)
		note_kind(places, n, kind);
	vft_check(!wrong, "no read is answered with something else");
	vft_check(!registers_missing, "no interrupt is missing");
	kfree(places);
}

#define CASE(name, kinds, each)				\
static void run_##name(struct vft *t)			\
{							\
	registers(t, kinds, each);			\
}

CASE(sleepers, 0, SLEEPERS)
CASE(lock, BIT(LOCK), 0)
CASE(timer, BIT(TIMER), 0)
CASE(softirq, BIT(TASKLET), 0)
CASE(interrupt, BIT(IPI), 0)
CASE(idle, BIT(IDLE), 0)
CASE(mixed, BIT(LOCK) | BIT(TIMER) | BIT(TASKLET) | BIT(IPI), SLEEPERS)
CASE(locks, 0, BIT(LOCK))
CASE(timers, 0, BIT(TIMER))
CASE(softirqs, 0, BIT(TASKLET))
CASE(interrupts, 0, BIT(IPI))
CASE(nics, 0, BIT(LOCK) | BIT(NIC))
CASE(all, 0, SLEEPERS | BIT(LOCK) | BIT(TIMER) | BIT(TASKLET) | BIT(IPI) | BIT(NIC))

const struct vft_case vft_register_cases[] = {
	{ "registers-sleepers", run_sleepers },
	{ "registers-lock", run_lock },
	{ "registers-timer", run_timer },
	{ "registers-softirq", run_softirq },
	{ "registers-interrupt", run_interrupt },
	{ "registers-idle", run_idle },
	{ "registers-mixed", run_mixed },
	{ "registers-locks", run_locks },
	{ "registers-timers", run_timers },
	{ "registers-softirqs", run_softirqs },
	{ "registers-interrupts", run_interrupts },
	{ "registers-nics", run_nics },
	{ "registers-all", run_all },
	{ }
};
