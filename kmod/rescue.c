// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who serves a device, and how they come to run.
 *
 * A driver that reads where it may not sleep keeps its CPU until the answer is
 * there. The helper and the server, which have to give it, may have been queued
 * on that very CPU: where an interrupt stopped the idle task the CPU even looks
 * idle to the scheduler, and waking them there is what it likes best. Nobody
 * else would move them before the wait has passed its bound and the device is
 * lost. So a waiter asks other CPUs, each in its turn, to pull them over; the
 * worker that runs proves that its CPU is not stuck itself.
 *
 * A CPU does not queue whom it wakes on another one that has nothing to run: it leaves that to
 * the other, by an inter-processor interrupt. With interrupts off nothing comes of it, and who
 * is not queued cannot be pulled. So a CPU that was idle is given something to run before it waits
 * like that. (Between CPUs that share no cache it is always left to the other, but there the
 * scheduler wakes somebody only where all that share one are busy.)
 *
 * Where they are bound to run is their administrator's choice, and a pull keeps to
 * it. If they may run only where the driver waits (both have been given a CPU of
 * their own, and a timer or work of the driver's came there) they are lent to another
 * CPU until the waits should be over; and late, if they have not got to run on any CPU
 * of theirs, which may all want a lock that the waiter holds. Nobody else is: on a CPU
 * that is not theirs a driver's interrupt may stop them, see below.
 *
 * What cannot be helped is a task that an interrupt stopped while it was running.
 * See irq.c for our own interrupts; a driver's timer that reads a register of a
 * device on the CPU where that device's server never rests is lost. Nor another CPU
 * that itself waits, without sleeping: for an answer of this one to an inter-processor
 * interrupt, where interrupts are off here, or for a lock that the waiter holds. Where there is
 * no third CPU the device is lost. Letting such interrupts in would not do: what they run may
 * take the lock that interrupts are off for, and RCU would take them for the end of a reader.
 *
 * Locking: vfu_pulls_lock protects vfu_pulls; works are single-instanced each.
 * Lifetime: created and destroyed with the device, whose references all waiters hold.
 */
#include <linux/cpumask.h>
#include <linux/delay.h>
#include <linux/irqflags.h>
#include <linux/list.h>
#include <linux/percpu.h>
#include <linux/pid.h>
#include <linux/preempt.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>

#include "device.h"
#include "rescue.h"

/* Threads of a server that are looked after in one go. */
#define VFU_RESCUE_TASKS	16

/*
 * How long they stay with a CPU that they are not bound to. A driver that reads its
 * statistics under a lock reads a hundred registers; each new loan would cost it some
 * hundred microseconds.
 */
#define VFU_LOAN_MS		100

/**
 * struct vfu_rescue - a CPU's part
 * @work: runs there
 * @vdev: whose
 * @busy: does nothing; there to be run
 * @from: the CPU of who waits
 * @late: he has waited long
 */
struct vfu_rescue {
	struct work_struct work;
	struct work_struct busy;
	struct vfu_dev *vdev;
	unsigned int from;
	bool late;
};

/**
 * vfu_serves() - does the device depend on this task?
 * @vdev: device
 * @task: current, or one that a reference is held to
 *
 * Context: any.
 * Return: true if it does.
 */
bool vfu_serves(const struct vfu_dev *vdev, struct task_struct *task)
{
	const struct vfu_serving *s = &vdev->serving;
	struct pid *server = READ_ONCE(s->server);

	if (!task->mm)
		return false;
	return task->mm == s->helper || (server && task_tgid(task) == server);
}

/* May it be moved here? Only a hint, the scheduler's locks are not held. */
static bool vfu_rescue_movable(struct task_struct *task)
{
	return !READ_ONCE(task->on_cpu) && !READ_ONCE(task->migration_disabled) &&
	       task_cpu(task) != raw_smp_processor_id();
}

/**
 * struct vfu_pull - a task whose affinity is narrowed for a moment
 * @node: in vfu_pulls
 * @task: whose; each user holds a reference
 * @users: workers at it
 * @was: where it may run
 * @to: CPUs that it has been narrowed to
 *
 * A worker may be stopped half-way, by the next waiter on its CPU. The others must
 * then still know where the task may run, or it would stay bound to that CPU.
 */
struct vfu_pull {
	struct list_head node;
	struct task_struct *task;
	unsigned int users;
	cpumask_var_t was, to;
};

static LIST_HEAD(vfu_pulls);
static DEFINE_SPINLOCK(vfu_pulls_lock);

static void vfu_pull_free(struct vfu_pull *pull)
{
	free_cpumask_var(pull->to);
	free_cpumask_var(pull->was);
	kfree(pull);
}

static struct vfu_pull *vfu_pull_begin(struct task_struct *task)
{
	struct vfu_pull *pull, *new = kzalloc(sizeof(*new), GFP_NOWAIT);

	if (!new)
		return NULL;
	if (!alloc_cpumask_var(&new->was, GFP_NOWAIT) ||
	    !zalloc_cpumask_var(&new->to, GFP_NOWAIT)) {
		vfu_pull_free(new);
		return NULL;
	}
	spin_lock(&vfu_pulls_lock);
	list_for_each_entry(pull, &vfu_pulls, node) {
		if (pull->task == task) {
			pull->users++;
			spin_unlock(&vfu_pulls_lock);
			vfu_pull_free(new);
			return pull;
		}
	}
	new->task = task;
	new->users = 1;
	cpumask_copy(new->was, &task->cpus_mask);
	list_add(&new->node, &vfu_pulls);
	spin_unlock(&vfu_pulls_lock);
	return new;
}

/*
 * Where the task may run becomes what it was, unless somebody has said something else since. With
 * several users the first one ends it for all: who still waits asks again. Each user narrows before
 * it comes here, so the last one finds the last narrowing, whoever's that is.
 */
static void vfu_pull_end(struct vfu_pull *pull)
{
	const struct cpumask *now = &pull->task->cpus_mask;
	bool last;

	if (cpumask_weight(now) == 1 && cpumask_subset(now, pull->to))
		set_cpus_allowed_ptr(pull->task, pull->was);
	spin_lock(&vfu_pulls_lock);
	last = !--pull->users;
	if (last)
		list_del(&pull->node);
	spin_unlock(&vfu_pulls_lock);
	if (last)
		vfu_pull_free(pull);
}

/* Is there no CPU of its own where it can run? Awake or not, if it is the waiter's. */
static bool vfu_rescue_lends(const struct vfu_rescue *rescue, struct task_struct *task)
{
	unsigned int state = READ_ONCE(task->__state);

	if (cpumask_subset(&task->cpus_mask, cpumask_of(READ_ONCE(rescue->from))))
		return true;
	return READ_ONCE(rescue->late) && (state == TASK_RUNNING || state == TASK_WAKING);
}

/* Pulls a task here, or lends it if it is bound to be elsewhere: such a loan is returned. */
static struct vfu_pull *vfu_rescue_task(struct vfu_rescue *rescue, struct task_struct *task)
{
	unsigned int here = raw_smp_processor_id();
	bool bound = !cpumask_test_cpu(here, &task->cpus_mask), lend;
	struct vfu_pull *pull;

	/* set_cpus_allowed_ptr() does not ask, and such a task counts on being where it is */
	if (READ_ONCE(task->flags) & PF_NO_SETAFFINITY)
		return NULL;
	lend = bound && vfu_rescue_lends(rescue, task);
	if (!vfu_rescue_movable(task) || !(bound ? lend : task_is_running(task)))
		return NULL;
	pull = vfu_pull_begin(task);
	if (!pull)
		return NULL;
	bound = !cpumask_test_cpu(here, pull->was);
	cpumask_set_cpu(here, pull->to);
	if ((!bound || lend) && !set_cpus_allowed_ptr(task, cpumask_of(here)) && bound)
		return pull;
	vfu_pull_end(pull);
	return NULL;
}

static void vfu_rescue_work(struct work_struct *work)
{
	struct vfu_rescue *rescue = container_of(work, struct vfu_rescue, work);
	struct task_struct *tasks[VFU_RESCUE_TASKS], *leader, *task;
	struct vfu_serving *serving = &rescue->vdev->serving;
	struct vfu_pull *loans[VFU_RESCUE_TASKS];
	struct pid *server;
	bool lent = false;
	unsigned int i, n = 0;

	tasks[n++] = get_task_struct(serving->task);
	rcu_read_lock();
	server = READ_ONCE(serving->server);
	leader = server ? pid_task(server, PIDTYPE_TGID) : NULL;
	if (leader) {
		for_each_thread(leader, task) {
			if (n == VFU_RESCUE_TASKS)
				break;
			if (task_is_running(task) || vfu_rescue_lends(rescue, task))
				tasks[n++] = get_task_struct(task);
		}
	}
	rcu_read_unlock();
	for (i = 0; i < n; i++) {
		loans[i] = vfu_rescue_task(rescue, tasks[i]);
		lent |= !!loans[i];
	}
	if (lent)
		msleep(VFU_LOAN_MS);
	for (i = 0; i < n; i++) {
		if (loans[i])
			vfu_pull_end(loans[i]);
		put_task_struct(tasks[i]);
	}
}

static void vfu_busy_work(struct work_struct *work)
{
}

/**
 * vfu_rescue_occupy() - let this CPU have something to run
 * @vdev: device
 *
 * Wakes a worker that is bound to be here.
 *
 * Context: any but NMI; does not wait.
 */
void vfu_rescue_occupy(struct vfu_dev *vdev)
{
	queue_work_on(raw_smp_processor_id(), system_highpri_wq,
		      &raw_cpu_ptr(vdev->serving.rescue)->busy);
}

/**
 * vfu_rescue_prepare() - before a wait that does not sleep, and before anybody is asked
 * @vdev: device
 *
 * Context: any but NMI; does not wait.
 */
void vfu_rescue_prepare(struct vfu_dev *vdev)
{
	if (irqs_disabled() && is_idle_task(current))
		vfu_rescue_occupy(vdev);
}

/**
 * vfu_rescue() - have another CPU pull over who serves the device
 * @vdev: device
 * @attempt: counts up from 0 within one wait
 * @late: much of the wait's bound has passed
 *
 * Context: any but NMI; does not wait.
 */
void vfu_rescue(struct vfu_dev *vdev, unsigned int attempt, bool late)
{
	unsigned int this = raw_smp_processor_id(), n = num_online_cpus(), cpu;
	struct vfu_rescue *rescue;

	if (n < 2)
		return;
	attempt %= n - 1;
	for_each_online_cpu(cpu) {
		if (cpu == this || attempt--)
			continue;
		rescue = per_cpu_ptr(vdev->serving.rescue, cpu);
		WRITE_ONCE(rescue->from, this);
		WRITE_ONCE(rescue->late, late);
		queue_work_on(cpu, system_highpri_wq, &rescue->work);
		break;
	}
}

static const char *vfu_task_word(struct task_struct *task)
{
	if (READ_ONCE(task->on_cpu))
		return "running";
	switch (READ_ONCE(task->__state)) {
	case TASK_RUNNING:
		return "queued";
	case TASK_WAKING:
		return "being woken";
	}
	return task_is_stopped_or_traced(task) ? "stopped" : "asleep";
}

/* What keeps the caller from sleeping, the innermost first. */
static const char *vfu_context_word(void)
{
	if (in_hardirq())
		return "in an interrupt";
	if (in_serving_softirq())
		return "in a softirq";
	if (irqs_disabled())
		return "with interrupts off";
	return preemptible() ? "able to sleep" : "holding a lock";
}

/**
 * vfu_rescue_report() - who waits, and where are those who should have answered?
 * @vdev: device
 * @buf: gets it in words, for a message
 * @size: of @buf, bytes
 *
 * Of the server's threads the one that is nearest to an answer.
 *
 * Context: any but NMI.
 */
void vfu_rescue_report(struct vfu_dev *vdev, char *buf, size_t size)
{
	struct task_struct *leader, *task, *server = NULL;
	struct pid *pid;
	int len;

	len = scnprintf(buf, size, "%s waiting on CPU %u %s, helper %s on CPU %u", current->comm,
			raw_smp_processor_id(), vfu_context_word(),
			vfu_task_word(vdev->serving.task), task_cpu(vdev->serving.task));
	rcu_read_lock();
	pid = READ_ONCE(vdev->serving.server);
	leader = pid ? pid_task(pid, PIDTYPE_TGID) : NULL;
	if (leader) {
		for_each_thread(leader, task)
			if (!server || READ_ONCE(server->__state))
				server = task;
		if (server)
			scnprintf(buf + len, size - len, ", server %s on CPU %u",
				  vfu_task_word(server), task_cpu(server));
	}
	rcu_read_unlock();
}

/**
 * vfu_rescue_create() - set-up
 * @vdev: device
 *
 * Context: may sleep.
 * Return: 0 or -ENOMEM.
 */
int vfu_rescue_create(struct vfu_dev *vdev)
{
	unsigned int cpu;

	vdev->serving.rescue = alloc_percpu_gfp(struct vfu_rescue, GFP_KERNEL_ACCOUNT);
	if (!vdev->serving.rescue)
		return -ENOMEM;
	for_each_possible_cpu(cpu) {
		struct vfu_rescue *rescue = per_cpu_ptr(vdev->serving.rescue, cpu);

		INIT_WORK(&rescue->work, vfu_rescue_work);
		INIT_WORK(&rescue->busy, vfu_busy_work);
		rescue->vdev = vdev;
	}
	return 0;
}

/**
 * vfu_rescue_flush() - wait until nobody is being pulled over
 * @vdev: device that nobody waits for now: who serves it may be replaced
 *
 * Context: may sleep.
 */
void vfu_rescue_flush(struct vfu_dev *vdev)
{
	unsigned int cpu;

	for_each_possible_cpu(cpu) {
		cancel_work_sync(&per_cpu_ptr(vdev->serving.rescue, cpu)->work);
		cancel_work_sync(&per_cpu_ptr(vdev->serving.rescue, cpu)->busy);
	}
}

/**
 * vfu_rescue_destroy() - undo vfu_rescue_create()
 * @vdev: device that nobody waits for any more
 *
 * Context: may sleep.
 */
void vfu_rescue_destroy(struct vfu_dev *vdev)
{
	vfu_rescue_flush(vdev);
	free_percpu(vdev->serving.rescue);
}
