// SPDX-License-Identifier: GPL-2.0-only
/*
 * Interrupts: from a raised vector to the driver's handler.
 *
 * Each vector has an affinity CPU and two ways to get there: irq_work for this
 * CPU and an IPI for another. Both end in vfu_vector_deliver() in hard interrupt
 * context. The mask and pending state is ours, since servers need not keep it.
 *
 * A handler may read a register, which spins for an answer with interrupts off.
 * If the interrupt had stopped the helper or the server, of which the latter just
 * raised it, the answer could never come; so an interrupt that finds one of them
 * running under it is sent on to another CPU.
 *
 * While it spins, the helper and the server need a CPU. One that an interrupt
 * stopped in its idle task is none, but the scheduler takes it for idle: a task
 * that is woken there waits in a queue which only that CPU empties. And two
 * devices whose handlers spin at the same time are enough to use up two CPUs. So a
 * vector whose handler reads registers is raised by a worker on the CPU, which is
 * then not idle, and only one of them at a time.
 *
 * Locking: @pending is atomic. @masked is written under vfu_dev.cfg_lock and read
 * without; the pair "set pending, look at masked" and "clear masked, look at
 * pending" has full barriers on both sides, so that one of them delivers.
 * Lifetime: vectors live as long as the device; vfu_irqs_destroy() waits for
 * interrupts under way.
 */
#include <linux/delay.h>
#include <linux/irq.h>
#include <linux/irqdesc.h>
#include <linux/msi.h>
#include <linux/sched.h>
#include <linux/sched/clock.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/workqueue.h>

#include "bridge.h"
#include "compat.h"
#include "device.h"
#include "irq.h"
#include "recover.h"
#include "rescue.h"
#include "ring.h"
#include "trace.h"

/* What the MSI message says is of no consequence; drivers may look for zeroes. */
#define VFU_MSI_ADDRESS		0xfee00000

#define VFU_HOPS_MAX		64

static void vfu_vector_send(struct vfu_vector *vec, unsigned int cpu)
{
	if (cpu != smp_processor_id()) {
		/*
		 * A csd has one sender at a time, and that is the sender's business: a raise and an
		 * unmask may both get here. Full barrier, also where it is taken: whoever holds
		 * it has not arrived yet, and will find what made us come. See vfu_vector_ipi().
		 */
		if (test_and_set_bit(0, &vec->sent))
			return;
		atomic_inc(&vec->calls);
		if (!smp_call_function_single_async(cpu, &vec->csd))
			return;
		/* That CPU is gone. */
		atomic_dec(&vec->calls);
		clear_bit_unlock(0, &vec->sent);
	}
	irq_work_queue(&vec->work);
}

/*
 * For vectors whose handler may spin, one at a time. A disk may depend on them, so
 * that nothing here may depend on memory.
 */
static struct workqueue_struct *vfu_turn_wq;
static DEFINE_MUTEX(vfu_turn_lock);

static void vfu_vector_turn(struct work_struct *work)
{
	struct vfu_vector *vec = container_of(work, struct vfu_vector, turn);

	mutex_lock(&vfu_turn_lock);
	/* Interrupts this worker, here and now. */
	irq_work_queue(&vec->work);
	irq_work_sync(&vec->work);
	mutex_unlock(&vfu_turn_lock);
}

static void vfu_vector_kick(struct vfu_vector *vec)
{
	if (READ_ONCE(vec->waits)) {
		queue_work_on(READ_ONCE(vec->cpu), vfu_turn_wq, &vec->turn);
		return;
	}
	preempt_disable();
	vfu_vector_send(vec, READ_ONCE(vec->cpu));
	preempt_enable();
}

/*
 * Is there a CPU to which an interrupt that stopped the helper or the server can
 * go? The next one may run the other of the two, and the hops are the time in
 * which they finish; a server that never sleeps must not hold it up for ever.
 */
static bool vfu_vector_redirect(struct vfu_vector *vec)
{
	unsigned int this = smp_processor_id();
	unsigned int cpu;

	if (!vfu_serves(vec->vdev, current) || vec->hops == VFU_HOPS_MAX)
		return false;
	cpu = cpumask_next(this, cpu_online_mask);
	if (cpu >= nr_cpu_ids)
		cpu = cpumask_first(cpu_online_mask);
	if (cpu == this)
		return false;
	vec->hops++;
	vfu_vector_send(vec, cpu);
	return true;
}

/* The vector whose handler runs on this CPU. */
static DEFINE_PER_CPU(struct vfu_vector *, vfu_handling);

/**
 * vfu_vector_waits() - a register is read: remember it, if a handler of ours does
 *
 * Context: hard interrupt.
 */
void vfu_vector_waits(void)
{
	struct vfu_vector *vec = __this_cpu_read(vfu_handling);

	if (vec)
		WRITE_ONCE(vec->waits, true);
}

/* Hard interrupt context, interrupts off. */
static void vfu_vector_deliver(struct vfu_vector *vec)
{
	unsigned int virq;
	u64 raised;

	if (READ_ONCE(vec->masked) || !test_bit(0, &vec->pending))
		return;
	if (vfu_rescue_in_ipis()) {
		queue_work_on(smp_processor_id(), vfu_turn_wq, &vec->turn);
		return;
	}
	if (vfu_vector_redirect(vec))
		return;
	vec->hops = 0;
	raised = READ_ONCE(vec->raised);
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
	__this_cpu_write(vfu_handling, vec);
	generic_handle_irq(virq);
	__this_cpu_write(vfu_handling, NULL);
}

static void vfu_vector_work(struct irq_work *work)
{
	vfu_vector_deliver(container_of(work, struct vfu_vector, work));
}

static void vfu_vector_ipi(void *info)
{
	struct vfu_vector *vec = info;

	/* The csd is free again: it was unlocked before this was called. */
	clear_bit(0, &vec->sent);
	/* Full barrier: pairs with the one of whoever found it taken in vfu_vector_send(). */
	smp_mb__after_atomic();
	vfu_vector_deliver(vec);
	/* Release: pairs with vfu_vector_settle(), after which there may be no vector. */
	(void)atomic_fetch_dec_release(&vec->calls);
}

/*
 * Wait for all that is under way to a vector. That a later call to the same CPUs is over says
 * nothing: a handler that waits for an answer lets calls in (vfu_rescue_ipis()), and these
 * overtake those which came together with its own.
 */
static void vfu_vector_settle(struct vfu_vector *vec)
{
	/* Acquire: pairs with vfu_vector_ipi(). */
	while (atomic_read_acquire(&vec->calls))
		usleep_range(100, 1000);
	cancel_work_sync(&vec->turn);
	irq_work_sync(&vec->work);
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
		vec->waits = index == VFIO_PCI_INTX_IRQ_INDEX;
		vec->cpu = cpumask_first(cpu_online_mask);
		INIT_WORK(&vec->turn, vfu_vector_turn);
		vec->work = IRQ_WORK_INIT_HARD(vfu_vector_work);
		INIT_CSD(&vec->csd, vfu_vector_ipi, vec);
	}
	return 0;
}

/**
 * vfu_irqs_destroy() - free all vectors
 * @vdev: device whose eventfds are unhooked and whose drivers are gone
 *
 * Context: may sleep.
 */
void vfu_irqs_destroy(struct vfu_dev *vdev)
{
	u32 index, i;

	/* An interrupt under way ends where it is, and is neither sent on nor put off. */
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
}

/* ---- which of INTx, MSI and MSI-X the server has eventfds for ---- */

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
	bool anew;
	int old;

	count = min(count, irqs->count);
	raw_spin_lock_irqsave(&vdev->cfg_lock, flags);
	old = vdev->irq.mode;
	if (old == index)
		start = irqs->armed;
	else if (old >= 0)
		old_count = vdev->irq.index[old].armed;
	if (old == index && count && count <= start) {
		raw_spin_unlock_irqrestore(&vdev->cfg_lock, flags);
		return;
	}
	if (old >= 0 && old != index)
		vdev->irq.index[old].armed = 0;
	irqs->armed = count;
	vdev->irq.mode = count ? (int)index : -1;
	raw_spin_unlock_irqrestore(&vdev->cfg_lock, flags);

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
	for (i = 0; anew && i < start; i++)
		vfu_vector_raise(&irqs->vectors[i]);
}

/**
 * vfu_irqs_rearm() - arm again what was armed, at a server that knows of nothing
 * @vdev: device, online
 *
 * What may have come while nothing was armed is raised once. Drivers ask then, and find
 * out.
 *
 * Context: may sleep.
 */
void vfu_irqs_rearm(struct vfu_dev *vdev)
{
	struct vfu_irqs *irqs;
	unsigned long flags;
	u32 i, count = 0;
	int mode;

	raw_spin_lock_irqsave(&vdev->cfg_lock, flags);
	mode = vdev->irq.mode;
	if (mode >= 0)
		count = vdev->irq.index[mode].armed;
	raw_spin_unlock_irqrestore(&vdev->cfg_lock, flags);
	if (!count)
		return;
	irqs = &vdev->irq.index[mode];
	if (vfu_request_irq(vdev, VFIOUSER_OP_IRQ_ARM, mode, 0, count))
		return;
	for (i = 0; i < count; i++)
		vfu_vector_raise(&irqs->vectors[i]);
}

/* ---- the domains ---- */

static int vfu_irq_set_affinity(struct irq_data *data, const struct cpumask *mask, bool force)
{
	struct vfu_vector *vec = irq_data_get_irq_chip_data(data);
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

/**
 * vfu_irq_init() - part of loading the module
 *
 * Return: 0 or -ENOMEM.
 */
int vfu_irq_init(void)
{
	vfu_turn_wq = alloc_workqueue("vfiouser-irq",
				      VFU_COMPAT_WQ_PERCPU | WQ_HIGHPRI | WQ_MEM_RECLAIM, 0);
	return vfu_turn_wq ? 0 : -ENOMEM;
}

/**
 * vfu_irq_exit() - undo vfu_irq_init(); there are no devices any more
 */
void vfu_irq_exit(void)
{
	destroy_workqueue(vfu_turn_wq);
}
