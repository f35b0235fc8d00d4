// SPDX-License-Identifier: GPL-2.0-only
/*
 * Interrupts: from a raised vector to the driver's handler.
 *
 * There are two ways. A handler that reads no register runs in hard interrupt context, on the
 * vector's affinity CPU: by irq_work if that is this one, else by an IPI. One that reads registers
 * would have to wait there, with interrupts off, for a process: for the helper and the server,
 * which it may have stopped itself, or which have no CPU left where another one waits too. So it
 * runs in a thread, one for each device, as handlers do with "threadirqs": with interrupts off, but
 * where it reads and holds no lock it sleeps until the answer is there (vfu_irq_may_pause()). No
 * other device notices.
 *
 * Which way a vector goes is learned: it begins in the thread, where a few interrupts without a
 * read let it out; the first read brings it back for good. A level interrupt stays there. An
 * interrupt that has stopped the helper or the server goes to the thread in any case: should its
 * handler read for the first time, they could never answer.
 *
 * In the thread a handler sees what it sees with "threadirqs": in_hardirq() is false, softirqs that
 * it raises run when it sleeps or is through, and it may be on another CPU after a read. What
 * interrupts are off for holds all the same while it does not read: neither this device's handlers
 * nor timers run on its CPU meanwhile.
 *
 * The mask and pending state is ours, since servers need not keep it.
 *
 * Locking: @pending is atomic. @masked is written under vfu_dev.cfg_lock and read
 * without; the pair "set pending, look at masked" and "clear masked, look at
 * pending" has full barriers on both sides, so that one of them delivers. Both may, at once.
 * Lifetime: vectors live as long as the device; vfu_irqs_destroy() waits for
 * interrupts under way.
 */
#include <linux/bottom_half.h>
#include <linux/cpumask.h>
#include <linux/delay.h>
#include <linux/irq.h>
#include <linux/irqdesc.h>
#include <linux/kthread.h>
#include <linux/msi.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/sched/clock.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include "bridge.h"
#include "compat.h"
#include "config.h"
#include "device.h"
#include "irq.h"
#include "recover.h"
#include "rescue.h"
#include "ring.h"
#include "stats.h"
#include "trace.h"

/* What the MSI message says is of no consequence; drivers may look for zeroes. */
#define VFU_MSI_ADDRESS		0xfee00000

/* So many interrupts without a read show that a handler reads nothing. */
#define VFU_QUIET		8

/*
 * To a CPU. What is sent there may be sent again only when it has arrived, and two may want to at
 * once, so @sent is claimed. Who does not get it need not send: what has not arrived yet will find
 * @pending set, since that comes before the claim, and the end of the claim before the look at it.
 */
static void vfu_vector_send(struct vfu_vector *vec, unsigned int cpu)
{
	if (test_and_set_bit(0, &vec->sent))
		return;
	if (cpu != smp_processor_id()) {
		atomic_inc(&vec->calls);
		if (!smp_call_function_single_async(cpu, &vec->csd))
			return;
		/* The CPU is gone. */
		atomic_dec(&vec->calls);
	}
	irq_work_queue(&vec->work);
}

static void vfu_vector_kick(struct vfu_vector *vec)
{
	if (READ_ONCE(vec->waits)) {
		kthread_queue_work(vec->vdev->irq.thread, &vec->turn);
		return;
	}
	preempt_disable();
	vfu_vector_send(vec, READ_ONCE(vec->cpu));
	preempt_enable();
}

/* The vector whose handler runs on this CPU, in hard interrupt context. */
static DEFINE_PER_CPU(struct vfu_vector *, vfu_handling);

static bool vfu_irq_in_thread(const struct vfu_dev *vdev)
{
	return vdev->irq.thread && vdev->irq.thread->task == current && vdev->irq.handling;
}

/**
 * vfu_irq_reads() - a register is read: remember it, if a handler of ours does
 * @vdev: device
 *
 * Context: any but NMI.
 */
void vfu_irq_reads(struct vfu_dev *vdev)
{
	struct vfu_vector *vec = NULL;

	if (vfu_irq_in_thread(vdev) && !in_interrupt())
		vec = vdev->irq.handling;
	else if (irqs_disabled())
		vec = __this_cpu_read(vfu_handling);
	if (!vec)
		return;
	WRITE_ONCE(vec->quiet, 0);
	WRITE_ONCE(vec->reads, true);
	WRITE_ONCE(vec->waits, true);
}

/**
 * vfu_irq_may_pause() - is this a handler in the device's thread that holds no lock?
 * @vdev: device that it accesses
 *
 * Interrupts are then off for us only, who have turned them off for the handler.
 *
 * A kernel that does not count locks (PREEMPT_COUNT) cannot tell: there it spins.
 *
 * Context: any.
 * Return: true if interrupts may be turned on, and the handler may sleep.
 */
bool vfu_irq_may_pause(const struct vfu_dev *vdev)
{
	return IS_ENABLED(CONFIG_PREEMPT_COUNT) && vfu_irq_in_thread(vdev) && !preempt_count() &&
	       !rcu_preempt_depth();
}

/**
 * vfu_irq_pause() - turn interrupts on in a handler that may pause, or behind one
 *
 * Softirqs that it has raised so far would not run before the next interrupt.
 *
 * Context: where vfu_irq_may_pause(), or the device's thread, interrupts off.
 */
void vfu_irq_pause(void)
{
	local_irq_enable();
	local_bh_disable();
	local_bh_enable();
}

/* Interrupts off. Takes a pending interrupt to its handler. */
static void vfu_vector_handle(struct vfu_vector *vec)
{
	unsigned int virq;
	u64 raised = READ_ONCE(vec->raised);

	/* Cleared first: a raise from now on is a new interrupt. */
	if (!test_and_clear_bit(0, &vec->pending))
		return;
	virq = READ_ONCE(vec->virq);
	if (!virq)
		return;
	vfu_count(vec->vdev, VFU_STAT_IRQS, 1);
	if (raised)
		vfu_account(vec->vdev, VFIOUSER_PATH_IRQ, local_clock() - raised, 0);
	trace_vfiouser_irq(vec->vdev->id, vec->index, vec->nr, smp_processor_id());
	generic_handle_irq(virq);
}

static bool vfu_vector_wanted(struct vfu_vector *vec)
{
	return !READ_ONCE(vec->masked) && test_bit(0, &vec->pending);
}

/* The device's thread. */
static void vfu_vector_turn(struct kthread_work *work)
{
	struct vfu_vector *vec = container_of(work, struct vfu_vector, turn);
	struct vfu_irq *irq = &vec->vdev->irq;

	if (!vfu_vector_wanted(vec))
		return;
	local_irq_disable();
	irq->handling = vec;
	vfu_vector_handle(vec);
	irq->handling = NULL;
	/* As when an interrupt is over. */
	vfu_irq_pause();
	if (vec->index != VFIO_PCI_INTX_IRQ_INDEX && !READ_ONCE(vec->reads) &&
	    ++vec->quiet >= VFU_QUIET)
		WRITE_ONCE(vec->waits, false);
}

/* Hard interrupt context, interrupts off. */
static void vfu_vector_arrive(struct vfu_vector *vec)
{
	/* A full barrier, see vfu_vector_send(). */
	WARN_ON_ONCE(!test_and_clear_bit(0, &vec->sent));
	if (!vfu_vector_wanted(vec))
		return;
	if (READ_ONCE(vec->waits) || vfu_serves(vec->vdev, current)) {
		kthread_queue_work(vec->vdev->irq.thread, &vec->turn);
		return;
	}
	__this_cpu_write(vfu_handling, vec);
	vfu_vector_handle(vec);
	__this_cpu_write(vfu_handling, NULL);
}

static void vfu_vector_work(struct irq_work *work)
{
	vfu_vector_arrive(container_of(work, struct vfu_vector, work));
}

static void vfu_vector_ipi(void *info)
{
	struct vfu_vector *vec = info;

	vfu_vector_arrive(vec);
	/* Release: pairs with vfu_vector_settle(), after which there may be no vector. */
	(void)atomic_fetch_dec_release(&vec->calls);
}

/*
 * A server may signal a level line only when it rises: a cause that comes while another one is
 * being handled would never be heard of. Whether the line is still up is in the server's config
 * space. One that always says so, and whose line was never seen to fall, is believed only so often.
 */
#define VFU_LINE_UPS		1000

/* The device's thread, while the helper serves: INTx has just been unmasked. */
static void vfu_intx_look(struct kthread_work *work)
{
	struct vfu_irq *irq = container_of(work, struct vfu_irq, line);
	struct vfu_dev *vdev = container_of(irq, struct vfu_dev, irq);
	__le32 regs;

	/* Command and status: not every server answers a read of two bytes. */
	if (READ_ONCE(irq->mode) != VFIO_PCI_INTX_IRQ_INDEX ||
	    vfu_region_read(vdev, VFIO_PCI_CONFIG_REGION_INDEX, PCI_COMMAND, &regs, sizeof(regs)))
		return;
	if (!(le32_to_cpu(regs) >> 16 & PCI_STATUS_INTERRUPT))
		irq->line_falls = true;
	else if (irq->line_falls || ++irq->line_ups <= VFU_LINE_UPS)
		vfu_vector_raise(&irq->index[VFIO_PCI_INTX_IRQ_INDEX].vectors[0]);
}

/* Wait for all that is under way to a vector. */
static void vfu_vector_settle(struct vfu_vector *vec)
{
	/* Acquire: pairs with vfu_vector_ipi(). */
	while (atomic_read_acquire(&vec->calls))
		usleep_range(100, 1000);
	irq_work_sync(&vec->work);
	kthread_cancel_work_sync(&vec->turn);
}

/**
 * vfu_vector_raise() - the device asserts a vector
 * @vec: vector
 *
 * Context: any but NMI.
 */
void vfu_vector_raise(struct vfu_vector *vec)
{
	if (vec->index >= VFIO_PCI_ERR_IRQ_INDEX) {
		vfu_recover_signal(vec->vdev, vec->index);
		return;
	}
	/* Before it is pending, but not where it was: that one is still to be measured. */
	if (!test_bit(0, &vec->pending))
		WRITE_ONCE(vec->raised, READ_ONCE(vec->masked) ? 0 : local_clock());
	/* Atomic and a full barrier, see the top of this file. */
	if (test_and_set_bit(0, &vec->pending))
		return;
	if (!READ_ONCE(vec->masked))
		vfu_vector_kick(vec);
}

/**
 * vfu_vector_set_masked() - hold a vector back, or let it go
 * @vec: vector
 * @masked: what was raised while masked is delivered when this becomes false
 *
 * Context: any but NMI. Callers for one vector exclude each other: by
 * vfu_dev.cfg_lock for MSI and MSI-X, by the descriptor's lock for INTx.
 */
void vfu_vector_set_masked(struct vfu_vector *vec, bool masked)
{
	if (vec->masked == masked)
		return;
	WRITE_ONCE(vec->masked, masked);
	/* See the top of this file. */
	smp_mb();
	if (!masked && test_bit(0, &vec->pending))
		vfu_vector_kick(vec);
}

/**
 * vfu_irqs_create() - allocate the vectors of one interrupt index
 * @vdev: device
 * @index: VFIO_PCI_*_IRQ_INDEX
 * @count: vectors, at most VFU_MAX_VECTORS
 * @flags: VFIO_IRQ_INFO_*
 *
 * Context: may sleep.
 * Return: 0, -EINVAL or -ENOMEM.
 */
int vfu_irqs_create(struct vfu_dev *vdev, u32 index, u32 count, u32 flags)
{
	struct vfu_irqs *irqs = &vdev->irq.index[index];
	u32 i;

	if (count > VFU_MAX_VECTORS || irqs->vectors)
		return -EINVAL;
	if (!count)
		return 0;
	irqs->vectors = kvcalloc(count, sizeof(*irqs->vectors), GFP_KERNEL_ACCOUNT);
	if (!irqs->vectors)
		return -ENOMEM;
	irqs->count = count;
	irqs->flags = flags;
	for (i = 0; i < count; i++) {
		struct vfu_vector *vec = &irqs->vectors[i];

		vec->vdev = vdev;
		vec->index = index;
		vec->nr = i;
		vec->waits = true;
		vec->cpu = cpumask_first(cpu_online_mask);
		kthread_init_work(&vec->turn, vfu_vector_turn);
		INIT_CSD(&vec->csd, vfu_vector_ipi, vec);
		vec->work = IRQ_WORK_INIT_HARD(vfu_vector_work);
	}
	return 0;
}

/*
 * The device's thread: it runs handlers of all vectors, so where any of these may go. A mask in a
 * descriptor that is just being freed is read all the same.
 */
static void vfu_irq_spread(struct kthread_work *work)
{
	struct vfu_irq *irq = container_of(work, struct vfu_irq, spread.work);
	struct irq_data *data;
	unsigned int virq;
	cpumask_var_t cpus;
	u32 index, i;
	bool all;

	/* A disk may depend on this thread, and memory on the disk. */
	if (!zalloc_cpumask_var(&cpus, GFP_NOWAIT | __GFP_NOWARN))
		return;
	rcu_read_lock();
	for (index = 0; index <= VFIO_PCI_MSIX_IRQ_INDEX; index++)
		for (i = 0; i < irq->index[index].count; i++) {
			virq = READ_ONCE(irq->index[index].vectors[i].virq);
			/* Nobody has asked for that of INTx where it is not what is armed. */
			data = NULL;
			if (virq && index == READ_ONCE(irq->mode))
				data = irq_get_irq_data(virq);
			if (data)
				cpumask_or(cpus, cpus, irq_data_get_affinity_mask(data));
		}
	rcu_read_unlock();
	all = !cpumask_intersects(cpus, cpu_online_mask) || cpumask_subset(cpu_online_mask, cpus);
	/* What whoever runs the machine has said of the thread stays where it can. */
	if (!all || irq->narrowed)
		irq->narrowed = set_cpus_allowed_ptr(current, all ? irq->anywhere : cpus) || !all;
	free_cpumask_var(cpus);
}

/**
 * vfu_irqs_start() - start the thread that handlers which read registers run in
 * @vdev: device with a name; nothing raises its vectors yet
 *
 * Before there is a device, since a disk may depend on interrupts, and memory on the disk.
 *
 * Context: may sleep.
 * Return: 0, -EINTR or -ENOMEM.
 */
int vfu_irqs_start(struct vfu_dev *vdev)
{
	struct kthread_worker *thread;

	if (!alloc_cpumask_var(&vdev->irq.anywhere, GFP_KERNEL))
		return -ENOMEM;
	thread = kthread_run_worker(0, "vfu-irq/%s", vdev->name);
	if (IS_ERR(thread)) {
		free_cpumask_var(vdev->irq.anywhere);
		return PTR_ERR(thread);
	}
	set_user_nice(thread->task, MIN_NICE);
	cpumask_copy(vdev->irq.anywhere, thread->task->cpus_ptr);
	kthread_init_delayed_work(&vdev->irq.spread, vfu_irq_spread);
	kthread_init_work(&vdev->irq.line, vfu_intx_look);
	vdev->irq.thread = thread;
	return 0;
}

/**
 * vfu_irqs_destroy() - undo vfu_irqs_start() and free all vectors
 * @vdev: device whose eventfds are unhooked and whose drivers are gone
 *
 * Context: may sleep.
 */
void vfu_irqs_destroy(struct vfu_dev *vdev)
{
	u32 index, i;

	/* An interrupt under way ends where it is, and is not handed to the thread. */
	if (vdev->irq.thread)
		kthread_cancel_work_sync(&vdev->irq.line);
	for (index = 0; index < VFIO_PCI_NUM_IRQS; index++)
		for (i = 0; i < vdev->irq.index[index].count; i++)
			WRITE_ONCE(vdev->irq.index[index].vectors[i].masked, true);
	for (index = 0; index < VFIO_PCI_NUM_IRQS; index++) {
		struct vfu_irqs *irqs = &vdev->irq.index[index];

		for (i = 0; i < irqs->count; i++) {
			vfu_vector_settle(&irqs->vectors[i]);
			/* What had not seen the mask may have left one more, which has. */
			vfu_vector_settle(&irqs->vectors[i]);
		}
		kvfree(irqs->vectors);
		irqs->vectors = NULL;
		irqs->count = 0;
	}
	if (vdev->irq.thread) {
		kthread_cancel_delayed_work_sync(&vdev->irq.spread);
		kthread_destroy_worker(vdev->irq.thread);
		free_cpumask_var(vdev->irq.anywhere);
	}
	vdev->irq.thread = NULL;
}

/* ---- which of INTx, MSI and MSI-X the server has eventfds for ---- */

/*
 * The vectors of MSI and MSI-X start masked, and are masked again after a reset. A server that
 * keeps such masks does not signal before it is told, in one of two ways: by a message, which
 * the helper sends behind each arming, or by a write to the table in its BAR. What is asked for
 * here is that it signals all that is armed; the masks that the driver sees are ours. A server may
 * refuse either. Vectors before @start have been told of and stay as they are.
 */
static void vfu_irqs_unmask(struct vfu_dev *vdev, u32 index, u32 start, u32 count, bool tell)
{
	const struct vfu_config *cfg = &vdev->cfg;
	u32 at, control = PCI_MSIX_ENTRY_VECTOR_CTRL / 4, i, j;
	__le32 word;
	int err;

	if (index != VFIO_PCI_MSI_IRQ_INDEX && index != VFIO_PCI_MSIX_IRQ_INDEX)
		return;
	if (tell)
		vfu_request_irq(vdev, VFIOUSER_OP_IRQ_UNMASK, index, 0, count);
	if (!start)
		WRITE_ONCE(vdev->irq.table_told, 0);
	if (index != VFIO_PCI_MSIX_IRQ_INDEX || READ_ONCE(vdev->irq.table_refused))
		return;
	/* What does not decode its memory would refuse what it takes later. */
	if (!vfu_config_decodes(vdev) ||
	    !(vdev->regions[cfg->msix_bir].flags & VFIO_REGION_INFO_FLAG_WRITE))
		return;
	for (i = start; i < count && i < cfg->msix_count; i++) {
		for (j = 0; j < PCI_MSIX_ENTRY_SIZE / 4; j++) {
			word = cpu_to_le32(READ_ONCE(cfg->table[i][j]));
			if (j == control)
				word &= cpu_to_le32(~PCI_MSIX_ENTRY_CTRL_MASKBIT);
			at = cfg->msix_table + i * PCI_MSIX_ENTRY_SIZE + 4 * j;
			/* A server that takes the first one takes the others, which are posted. */
			if (i > start || j) {
				vfu_region_write(vdev, cfg->msix_bir, at, &word, sizeof(word),
						 true);
				continue;
			}
			err = vfu_region_tell(vdev, cfg->msix_bir, at, &word, sizeof(word));
			/* A device that goes offline has not refused. */
			if (err && err != -EAGAIN && !vfu_dev_offline(vdev))
				WRITE_ONCE(vdev->irq.table_refused, true);
			if (err)
				return;
		}
	}
	WRITE_ONCE(vdev->irq.table_told, count);
}

/**
 * vfu_irqs_mode() - arm one index at the server and disarm the one before
 * @vdev: device
 * @index: VFIO_PCI_*_IRQ_INDEX
 * @count: vectors to arm, 0 for none
 *
 * VFIO allows one of the three at a time. More vectors of the index that is
 * armed are added to it; where the server takes them only as a set (NORESIZE), all
 * are armed anew, and raised once for what may have come in between.
 *
 * Context: any but NMI; no lock of ours held. Two callers at once would be two
 * writers of the same capability, which PCI leaves to them to order.
 */
void vfu_irqs_mode(struct vfu_dev *vdev, u32 index, u32 count)
{
	struct vfu_irqs *irqs = &vdev->irq.index[index];
	u32 start = 0, old_count = 0, i;
	unsigned long flags;
	bool anew, told;
	int old;

	count = min(count, irqs->count);
	raw_spin_lock_irqsave(&vdev->cfg_lock, flags);
	old = vdev->irq.mode;
	/* By vfu_irqs_rearm(). */
	told = vdev->recover.arms;
	if (old == index)
		start = irqs->armed;
	else if (old >= 0)
		old_count = vdev->irq.index[old].armed;
	if (old == index && count && count <= start) {
		raw_spin_unlock_irqrestore(&vdev->cfg_lock, flags);
		if (!told)
			vfu_irqs_unmask(vdev, index, 0, start, true);
		return;
	}
	if (old >= 0 && old != index)
		vdev->irq.index[old].armed = 0;
	irqs->armed = count;
	vdev->irq.mode = count ? (int)index : -1;
	raw_spin_unlock_irqrestore(&vdev->cfg_lock, flags);
	if (unlikely(told))
		return;

	anew = start && count && (irqs->flags & VFIO_IRQ_INFO_NORESIZE);
	if (anew || (start && !count))
		vfu_request_irq(vdev, VFIOUSER_OP_IRQ_DISARM, index, 0, 0);
	if (old_count)
		vfu_request_irq(vdev, VFIOUSER_OP_IRQ_DISARM, old, 0, 0);
	if (!count)
		return;
	if (vfu_request_irq(vdev, VFIOUSER_OP_IRQ_ARM, index, anew ? 0 : start,
			    anew ? count : count - start) && !vfu_dev_offline(vdev))
		dev_err_ratelimited(vdev->dev, "the server does not accept interrupts of index %u\n",
				    index);
	else
		/* Arming anew is about eventfds; the table keeps what was written there. */
		vfu_irqs_unmask(vdev, index, min(start, READ_ONCE(vdev->irq.table_told)), count,
				false);
	for (i = 0; anew && i < start; i++)
		vfu_vector_raise(&irqs->vectors[i]);
}

/**
 * vfu_irqs_rearm() - arm again what was armed, at a server that knows of nothing
 * @vdev: device, online
 *
 * What may have come while nothing was armed is raised once. Drivers ask then, and find
 * out. Not so, of a device that was held, the first vector of a virtio device, by which Linux's
 * drivers are told of another configuration: they would say so in the log.
 *
 * Context: may sleep.
 * Return: 0 or a negative errno.
 */
int vfu_irqs_rearm(struct vfu_dev *vdev)
{
	struct vfu_irqs *irqs;
	unsigned long flags;
	u32 i = 0, count = 0;
	int mode, err;

	raw_spin_lock_irqsave(&vdev->cfg_lock, flags);
	mode = vdev->irq.mode;
	if (mode >= 0)
		count = vdev->irq.index[mode].armed;
	WRITE_ONCE(vdev->recover.arms, false);
	raw_spin_unlock_irqrestore(&vdev->cfg_lock, flags);
	if (!count)
		return 0;
	irqs = &vdev->irq.index[mode];
	/* The server may be another one. */
	WRITE_ONCE(vdev->irq.table_refused, false);
	err = vfu_request_irq(vdev, VFIOUSER_OP_IRQ_ARM, mode, 0, count);
	if (err)
		return err;
	vfu_irqs_unmask(vdev, mode, 0, count, false);
	if (mode == VFIO_PCI_MSIX_IRQ_INDEX && vdev->cfg.virtio.modern && vdev->recover.silent)
		i = 1;
	for (; i < count; i++)
		vfu_vector_raise(&irqs->vectors[i]);
	return 0;
}

/* ---- the domains ---- */

static int vfu_irq_set_affinity(struct irq_data *data, const struct cpumask *mask, bool force)
{
	struct vfu_vector *vec = irq_data_get_irq_chip_data(data);
	struct vfu_irq *irq = &vec->vdev->irq;
	unsigned int cpu, n = 0, nth;

	/* Spread the vectors of a device that leaves the choice to us. */
	for_each_cpu_and(cpu, mask, cpu_online_mask)
		n++;
	if (!n)
		return -EINVAL;
	nth = vec->nr % n;
	for_each_cpu_and(cpu, mask, cpu_online_mask)
		if (!nth--)
			break;
	WRITE_ONCE(vec->cpu, cpu);
	irq_data_update_effective_affinity(data, cpumask_of(cpu));
	/* A tick later: the kernel writes the mask down when this has returned. */
	if (irq->thread)
		kthread_mod_delayed_work(irq->thread, &irq->spread, 1);
	/* The message does not depend on the CPU: nothing to write. */
	return IRQ_SET_MASK_OK_DONE;
}

static void vfu_irq_ack(struct irq_data *data)
{
}

static void vfu_irq_compose_msg(struct irq_data *data, struct msi_msg *msg)
{
	msg->address_hi = 0;
	msg->address_lo = VFU_MSI_ADDRESS;
	msg->data = data->hwirq;
}

static struct irq_chip vfu_irq_chip = {
	.name			= "vfiouser",
	.irq_ack		= vfu_irq_ack,
	.irq_set_affinity	= vfu_irq_set_affinity,
	.irq_compose_msi_msg	= vfu_irq_compose_msg,
};

static void vfu_irq_free(struct irq_domain *domain, unsigned int virq, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++) {
		struct irq_data *data = irq_domain_get_irq_data(domain, virq + i);
		struct vfu_vector *vec = irq_data_get_irq_chip_data(data);

		if (vec)
			WRITE_ONCE(vec->virq, 0);
		irq_domain_reset_irq_data(data);
	}
}

static int vfu_irq_alloc(struct irq_domain *domain, unsigned int virq, unsigned int n, void *arg)
{
	struct msi_desc *desc = ((msi_alloc_info_t *)arg)->desc;
	struct pci_dev *pdev = msi_desc_to_pci_dev(desc);
	struct vfu_dev *vdev = vfu_dev_of_pci(pdev);
	struct vfu_irqs *irqs;
	unsigned int i, first = desc->msi_index;

	if (!vdev)
		return -ENODEV;
	irqs = &vdev->irq.index[desc->pci.msi_attrib.is_msix ? VFIO_PCI_MSIX_IRQ_INDEX :
							  VFIO_PCI_MSI_IRQ_INDEX];
	if (first >= irqs->count || n > irqs->count - first)
		return -ENOSPC;
	for (i = 0; i < n; i++) {
		struct vfu_vector *vec = &irqs->vectors[first + i];

		irq_domain_set_info(domain, virq + i, first + i, &vfu_irq_chip, vec,
				    handle_edge_irq, NULL, NULL);
		vfu_compat_irq_move_at_once(virq + i);
		clear_bit(0, &vec->pending);
		/* Another driver has other handlers. */
		vec->quiet = 0;
		WRITE_ONCE(vec->reads, false);
		WRITE_ONCE(vec->waits, true);
		WRITE_ONCE(vec->virq, virq + i);
	}
	/* A vector that is added while the others are in use. */
	if (vdev->irq.mode == VFIO_PCI_MSIX_IRQ_INDEX && desc->pci.msi_attrib.is_msix)
		vfu_irqs_mode(vdev, VFIO_PCI_MSIX_IRQ_INDEX, first + n);
	return 0;
}

static const struct irq_domain_ops vfu_irq_domain_ops = {
	.alloc	= vfu_irq_alloc,
	.free	= vfu_irq_free,
};

/* ---- INTx: level-triggered, masked by the kernel until it was handled ---- */

/* Both are called under the descriptor's lock, which orders them. */
static void vfu_intx_mask(struct irq_data *data)
{
	vfu_vector_set_masked(irq_data_get_irq_chip_data(data), true);
}

static void vfu_intx_unmask(struct irq_data *data)
{
	struct vfu_vector *vec = irq_data_get_irq_chip_data(data);

	vfu_vector_set_masked(vec, false);
	if (vec->vdev->irq.index[VFIO_PCI_INTX_IRQ_INDEX].flags & VFIO_IRQ_INFO_AUTOMASKED)
		vfu_request_irq(vec->vdev, VFIOUSER_OP_IRQ_UNMASK, VFIO_PCI_INTX_IRQ_INDEX, 0, 1);
	else
		kthread_queue_work(vec->vdev->irq.thread, &vec->vdev->irq.line);
}

static struct irq_chip vfu_intx_chip = {
	.name			= "vfiouser-intx",
	.irq_ack		= vfu_irq_ack,
	.irq_mask		= vfu_intx_mask,
	.irq_unmask		= vfu_intx_unmask,
	.irq_set_affinity	= vfu_irq_set_affinity,
};

static int vfu_intx_create(struct vfu_dev *vdev)
{
	struct vfu_irqs *irqs = &vdev->irq.index[VFIO_PCI_INTX_IRQ_INDEX];
	int virq;

	if (!irqs->count)
		return 0;
	virq = irq_alloc_desc(NUMA_NO_NODE);
	if (virq < 0)
		return virq;
	irq_set_chip_data(virq, &irqs->vectors[0]);
	irq_set_chip_and_handler_name(virq, &vfu_intx_chip, handle_level_irq, "level");
	irq_set_status_flags(virq, IRQ_LEVEL);
	vfu_compat_irq_move_at_once(virq);
	vdev->irq.intx_virq = virq;
	WRITE_ONCE(irqs->vectors[0].virq, virq);
	return 0;
}

/**
 * vfu_irq_domain_create() - make the interrupt domains of a device's bus
 * @vdev: device; its vectors exist
 *
 * Context: may sleep.
 * Return: 0 or -ENOMEM.
 */
int vfu_irq_domain_create(struct vfu_dev *vdev)
{
	int err = vfu_intx_create(vdev);

	if (err)
		return err;
	vdev->irq.fwnode = irq_domain_alloc_named_id_fwnode("vfiouser", vdev->id);
	if (!vdev->irq.fwnode)
		return -ENOMEM;
	return vfu_compat_msi_domain(vdev, &vfu_irq_domain_ops);
}

/**
 * vfu_irq_domain_destroy() - undo vfu_irq_domain_create(), even half-way
 * @vdev: device without drivers
 *
 * Context: may sleep.
 */
void vfu_irq_domain_destroy(struct vfu_dev *vdev)
{
	vfu_compat_msi_domain_remove(vdev);
	if (vdev->irq.fwnode)
		irq_domain_free_fwnode(vdev->irq.fwnode);
	vdev->irq.fwnode = NULL;
	if (vdev->irq.intx_virq) {
		WRITE_ONCE(vdev->irq.index[VFIO_PCI_INTX_IRQ_INDEX].vectors[0].virq, 0);
		irq_free_desc(vdev->irq.intx_virq);
	}
	vdev->irq.intx_virq = 0;
	/* What the thread has begun to ask is answered while the helper is still there. */
	if (vdev->irq.thread)
		kthread_flush_worker(vdev->irq.thread);
}

/**
 * vfu_irq_setup() - give a PCI device its INTx interrupt, or none
 * @vdev: device
 * @pdev: its PCI device, not yet bound to a driver
 */
void vfu_irq_setup(struct vfu_dev *vdev, struct pci_dev *pdev)
{
	pdev->irq = pdev->pin ? vdev->irq.intx_virq : 0;
	/* There is no wire that firmware could route; it is not to look for one. */
	pdev->pin = 0;
}
