/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * device.c: the object that all rooms work on.
 *
 * Each room has a header, with the part of struct vfu_dev that is its own.
 *
 * Data flows one way: driver -> trap.c / config.c -> ring.c -> helper, and
 * back through irqfd.c -> irq.c -> driver. The DMA pool (dma.c) lies beside.
 *
 * Lifetime: a struct vfu_dev is created by DEVICE_NEW over an open channel and
 * is reference counted. References are held by the device table (until the
 * removal work has run), by the channel, by each PCI device of it until that is
 * freed, and by each area that a driver has mapped with ioremap(). Its memory,
 * its pool, its slot and the module stay until the last of them is gone, so
 * that nothing which a slow driver still does can reach freed memory.
 *
 * Lock order, outermost first:
 *	pci_rescan_remove_lock	(the PCI core's)
 *	vfu_irq.lock		mutex: eventfds hooked and unhooked
 *	vfu_dev.cfg_lock	raw spinlock: virtual config registers, MSI-X table
 *	vfu_ring.lock		raw spinlock: producing requests
 */
#ifndef _KMOD_DEVICE_H
#define _KMOD_DEVICE_H

#include <linux/completion.h>
#include <linux/device.h>
#include <linux/kref.h>
#include <linux/log2.h>
#include <linux/percpu.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/workqueue.h>

#include <linux/vfiouser.h>

#include "bridge.h"
#include "budget.h"
#include "config.h"
#include "irq.h"
#include "recover.h"
#include "region.h"
#include "rescue.h"
#include "ring.h"
#include "stats.h"
#include "watch.h"

struct file;
struct netlink_ext_ack;
struct vfu_channel;
struct vfu_ioeventfds;
struct vfu_pool;
struct vfu_ram;

#define VFU_TIMEOUT_MS		5000	/* bound of a sleeping wait */
#define VFU_TIMEOUT_MIN_MS	100
#define VFU_TIMEOUT_MAX_MS	600000

/**
 * struct vfu_dev - one PCI function served by a helper
 * @ref: see the lifetime rules at the top of this file
 * @id: key in the device table
 * @name: unique
 * @socket: as told by the helper; information
 * @pid: the helper's, information; 0 without one
 * @owner: its channel, or NULL (channel.c's lock)
 * @flags: VFIOUSER_DEV_F_*
 * @timeout_ms: bound of a sleeping wait for the helper
 * @grace_ms: how long to wait for another helper, 0: not at all
 * @dev: parent of the host bridge, in class "vfiouser"
 * @state: enum vfiouser_state; only ever grows, but for LIVE, FROZEN and RESUMING
 * @offline: nothing is forwarded now, reads are all-ones (set under @cfg_lock); not where
 *	requests wait, see vfu_held()
 * @lost: nor will it ever be again; implies @offline
 * @removing: the removal work has been asked for
 * @refusal: why it cannot be added, in words, or ""
 * @handback: the virtio device whose queues are handed back, or NULL
 * @handback_user: has the hook that this takes
 * @queues_work: ends what a virtio driver waits for, while it is offline
 * @queues_leaving: a virtio disk whose driver is leaving it, or NULL (@cfg_lock)
 * @watch: watch.c's
 * @add_work: scans the bus, and has a driver bind
 * @added: is over
 * @remove_work: removes it
 * @rcu: frees it once nobody looks at its slot's functions any more
 * @stats: per-CPU counters
 * @regions: by VFIO_PCI_*_REGION_INDEX
 * @pool: DMA memory, or NULL
 * @ram: with passthrough DMA: what the server can reach, else NULL
 * @pool_file: the file that it is, for another helper, or NULL
 * @ioeventfds: writes that signal the server, by BAR (changed under vfu_irq.lock, read under RCU)
 * @ring: the channel's ring; another one after DEVICE_RESUME. Used inside of
 *	vfu_enter() and vfu_leave()
 * @budget: budget.c's
 * @reset: ring.c's
 * @serving: rescue.c's
 * @recover: recover.c's
 * @cfg_lock: protects @cfg, and what else says so
 * @cfg: config.c's
 * @place: bridge.c's
 * @irq: irq.c's and irqfd.c's
 */
struct vfu_dev {
	struct kref ref;
	u32 id;
	char name[VFIOUSER_NAME_MAX];
	char socket[VFIOUSER_SOCKET_MAX];
	pid_t pid;
	struct vfu_channel *owner;
	u32 flags;
	u32 timeout_ms;
	u32 grace_ms;
	struct device *dev;

	u32 state;
	bool offline;
	bool lost;
	unsigned long removing;
	char refusal[VFIOUSER_REASON_MAX];
	struct delayed_work queues_work;
	struct device *queues_leaving;
	struct virtio_device *handback;
	bool handback_user;
	struct vfu_watch watch;
	struct work_struct add_work;
	struct completion added;
	struct work_struct remove_work;
	struct rcu_head rcu;
	struct vfu_stats __percpu *stats;

	struct vfu_region regions[VFU_NR_REGIONS];
	struct vfu_pool *pool;
	struct vfu_ram *ram;
	struct file *pool_file;
	struct vfu_ioeventfds __rcu *ioeventfds[VFU_NR_BARS];
	struct vfu_ring *ring;

	struct vfu_budget budget;
	struct vfu_reset reset;
	struct vfu_serving serving;
	struct vfu_recover recover;
	raw_spinlock_t cfg_lock;
	struct vfu_config cfg;
	struct vfu_place place;
	struct vfu_irq irq;
};

/* The device has been given work: see watch.c. */
static inline void vfu_watch(struct vfu_dev *vdev)
{
	if (unlikely(!test_bit(0, &vdev->watch.running)))
		vfu_watch_start(vdev);
}

static inline void vfu_count(struct vfu_dev *vdev, enum vfu_stat stat, u64 n)
{
	this_cpu_add(vdev->stats->count[stat], n);
	if (stat == VFU_STAT_WRITES || stat == VFU_STAT_IOEVENTFDS || stat == VFU_STAT_DMA_MAPS)
		vfu_watch(vdev);
}

/*
 * Takes no lock and looks at no clock. The maximum may miss one of two that are measured on one
 * CPU at once.
 */
static inline void vfu_account(struct vfu_dev *vdev, enum vfiouser_path path, s64 ns, u64 bytes)
{
	unsigned int bucket;

	/* Clocks of two CPUs may differ a little. */
	ns = max_t(s64, ns, 0);
	bucket = ns ? min_t(unsigned int, ilog2(ns), VFIOUSER_HIST_BUCKETS - 1) : 0;
	this_cpu_inc(vdev->stats->path[path].hist[bucket]);
	this_cpu_add(vdev->stats->path[path].ns, ns);
	if (bytes)
		this_cpu_add(vdev->stats->path[path].bytes, bytes);
	if (ns > this_cpu_read(vdev->stats->path[path].max_ns))
		this_cpu_write(vdev->stats->path[path].max_ns, ns);
}

static inline bool vfu_dev_lost(const struct vfu_dev *vdev)
{
	return READ_ONCE(vdev->lost);
}

/* Lost or frozen. */
static inline bool vfu_dev_offline(const struct vfu_dev *vdev)
{
	/* Acquire: pairs with the release that ends a freeze, and brings a ring and pages. */
	return smp_load_acquire(&vdev->offline);
}

/* What DEVICE_NEW or DEVICE_RESUME says; regions' pages are pinned. */
struct vfu_dev_params {
	char name[VFIOUSER_NAME_MAX];
	char socket[VFIOUSER_SOCKET_MAX];
	char slot[VFIOUSER_NAME_MAX];
	u32 fn;
	char options[VFIOUSER_OPTIONS_MAX];
	pid_t server;
	pid_t keeper;
	u32 flags;
	u32 timeout_ms;
	u32 grace_ms;
	u64 token;
	const u8 *config;
	struct vfu_region regions[VFU_NR_REGIONS];
	struct {
		u32 count;
		u32 flags;
	} irqs[VFIO_PCI_NUM_IRQS];
	struct vfu_pool *pool;
	struct vfu_ram *ram;
	struct file *pool_file;
};

struct vfu_dev *vfu_dev_create(struct vfu_dev_params *params,
			       struct vfu_ring *ring,
			       struct netlink_ext_ack *extack);
void vfu_dev_get(struct vfu_dev *vdev);
void vfu_dev_put(struct vfu_dev *vdev);
struct vfu_dev *vfu_dev_find(u32 id, const char *name);
struct vfu_dev *vfu_dev_next(unsigned long *id);
void vfu_work_queue(struct work_struct *work);
void vfu_work_finish(struct work_struct *work);
void vfu_dev_remove(struct vfu_dev *vdev);
void vfu_dev_lose(struct vfu_dev *vdev, const char *why);
__printf(3, 4) int vfu_dev_refuse(struct vfu_dev *vdev, int err, const char *fmt, ...);
bool vfu_dev_set_lost(struct vfu_dev *vdev);
void vfu_dev_set_state(struct vfu_dev *vdev, u32 state);
void vfu_dev_wake_all(struct vfu_dev *vdev);
void vfu_dev_queue(struct vfu_dev *vdev, struct work_struct *work);
void vfu_dev_alarm(struct delayed_work *work, unsigned int ms);
void vfu_dev_queue_on(struct workqueue_struct *wq, struct vfu_dev *vdev, struct delayed_work *work,
		      unsigned int ms);
void vfu_dev_queue_delayed(struct vfu_dev *vdev, struct delayed_work *work, unsigned int ms);
void vfu_dev_cancel_delayed(struct vfu_dev *vdev, struct delayed_work *work);
u64 vfu_dev_stat(struct vfu_dev *vdev, enum vfu_stat stat);
void vfu_dev_path(struct vfu_dev *vdev, enum vfiouser_path path, struct vfu_path *sum);
extern struct class vfu_class;
int vfu_device_init(void);
void vfu_device_exit(void);

#endif /* _KMOD_DEVICE_H */
