/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * irq.c, irqfd.c: interrupts.
 */
#ifndef _KMOD_IRQ_H
#define _KMOD_IRQ_H

#include <linux/atomic.h>
#include <linux/interrupt.h>
#include <linux/irq_work.h>
#include <linux/irqdomain.h>
#include <linux/kthread.h>
#include <linux/mutex.h>
#include <linux/smp.h>
#include <linux/types.h>
#include <linux/vfio.h>

struct pci_dev;
struct vfiouser_irqfd;
struct vfu_dev;
struct vfu_irqfd;

#define VFU_MAX_VECTORS		2048	/* what an MSI-X table can hold */

/**
 * struct vfu_vector - one interrupt of the device
 * @vdev: its device
 * @index: VFIO_PCI_*_IRQ_INDEX
 * @nr: vector within the index
 * @virq: Linux interrupt, 0 while no driver has it
 * @cpu: where it is to be raised
 * @pending: raised and not yet handled
 * @raised: when, on local_clock(); 0 if it was held back
 * @masked: not to be raised now; a raise stays @pending
 * @waits: its handler runs in vfu_irq.thread
 * @reads: it has read registers
 * @quiet: interrupts since then (the thread's)
 * @turn: raises it in the thread
 * @sent: @work or @csd is on its way
 * @work: raises it on this CPU
 * @csd: raises it on another
 * @calls: how many of @csd are under way
 * @irqfd: the eventfd hooked to it, or NULL (vfu_irq.lock)
 * @kept: that of the helper before, until the server has the other (vfu_irq.lock)
 */
struct vfu_vector {
	struct vfu_dev *vdev;
	u32 index;
	u32 nr;
	unsigned int virq;
	unsigned int cpu;
	unsigned long pending;
	u64 raised;
	bool masked;
	bool waits;
	bool reads;
	unsigned int quiet;
	struct kthread_work turn;
	unsigned long sent;
	struct irq_work work;
	call_single_data_t csd;
	atomic_t calls;
	struct vfu_irqfd *irqfd;
	struct vfu_irqfd *kept;
};

/**
 * struct vfu_irqs - the vectors of one interrupt index
 * @vectors: @count of them
 * @count: what the server offers
 * @flags: VFIO_IRQ_INFO_*
 * @armed: how many the server has eventfds for (vfu_dev.cfg_lock)
 */
struct vfu_irqs {
	struct vfu_vector *vectors;
	u32 count;
	u32 flags;
	u32 armed;
};

/**
 * struct vfu_irq - the interrupts of a device
 * @lock: protects eventfds and arming; and for who wants to look at them, vfu_serving.server and
 *	the pages of vfu_dev.regions, which else stay inside of vfu_enter() and vfu_leave()
 * @closed: no eventfd can be hooked any more (@lock)
 * @index: by VFIO_PCI_*_IRQ_INDEX
 * @parent: domain of the vectors
 * @domain: PCI/MSI domain of the bus
 * @fwnode: names them
 * @intx_virq: Linux interrupt of INTx, or 0
 * @thread: runs handlers that read registers
 * @handling: whose handler it runs (the thread's)
 * @spread: has it run where the vectors may go
 * @anywhere: where it may run when these may go anywhere
 * @narrowed: it may not run there now (the thread's)
 * @line: looks whether INTx is still up
 * @line_falls: it was seen down (the thread's)
 * @line_ups: how often it was still up before that (the thread's)
 * @table_refused: the server does not take writes to its MSI-X table
 * @table_told: so many of its vectors have been written there since they were armed
 * @mode: VFIO_PCI_*_IRQ_INDEX the server has eventfds for, or -1
 */
struct vfu_irq {
	struct mutex lock;	/* see above */
	bool closed;
	struct vfu_irqs index[VFIO_PCI_NUM_IRQS];
	struct irq_domain *parent;
	struct irq_domain *domain;
	struct fwnode_handle *fwnode;
	unsigned int intx_virq;
	struct kthread_worker *thread;
	struct vfu_vector *handling;
	struct kthread_delayed_work spread;
	cpumask_var_t anywhere;
	bool narrowed;
	struct kthread_work line;
	bool line_falls;
	unsigned int line_ups;
	bool table_refused;
	u32 table_told;
	int mode;
};

int vfu_irqs_create(struct vfu_dev *vdev, u32 index, u32 count, u32 flags);
int vfu_irqs_start(struct vfu_dev *vdev);
void vfu_irqs_destroy(struct vfu_dev *vdev);
void vfu_vector_raise(struct vfu_vector *vec);
void vfu_irq_reads(struct vfu_dev *vdev);
bool vfu_irq_may_pause(const struct vfu_dev *vdev);
void vfu_irq_pause(void);
void vfu_vector_set_masked(struct vfu_vector *vec, bool masked);
void vfu_irqs_mode(struct vfu_dev *vdev, u32 index, u32 count);
int vfu_irqs_rearm(struct vfu_dev *vdev);
int vfu_irq_domain_create(struct vfu_dev *vdev);
void vfu_irq_domain_destroy(struct vfu_dev *vdev);
void vfu_irq_setup(struct vfu_dev *vdev, struct pci_dev *pdev);

int vfu_irqfd_set(struct vfu_dev *vdev, const struct vfiouser_irqfd *arg);
void vfu_irqfd_clear(struct vfu_dev *vdev);
void vfu_irqfd_keep(struct vfu_dev *vdev);
void vfu_irqfd_drop(struct vfu_dev *vdev);
void vfu_irqfd_close(struct vfu_dev *vdev);

#endif /* _KMOD_IRQ_H */
