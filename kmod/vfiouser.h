/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * vfiouser_pci: what the module's files share.
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
 *	vfu_dev.irq_lock	mutex: eventfds hooked and unhooked
 *	vfu_dev.cfg_lock	raw spinlock: virtual config registers, MSI-X table
 *	vfu_ring.lock		raw spinlock: producing requests
 */
#ifndef _KMOD_VFIOUSER_H
#define _KMOD_VFIOUSER_H

#include <linux/cdev.h>
#include <linux/device.h>
#include <linux/interrupt.h>
#include <linux/irq_work.h>
#include <linux/irqdomain.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/log2.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/smp.h>
#include <linux/spinlock.h>
#include <linux/srcu.h>
#include <linux/types.h>
#include <linux/vfio.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include <linux/vfiouser.h>

#include "arch.h"

#define VFU_TIMEOUT_MS		5000	/* bound of a sleeping wait */
#define VFU_TIMEOUT_MIN_MS	100
#define VFU_TIMEOUT_MAX_MS	600000
#define VFU_ATOMIC_TIMEOUT_MS	1000	/* bound of a spinning wait, default */

#define VFU_GRACE_MAX_MS	86400000	/* wait for another helper */

#define VFU_NR_REGIONS		VFIO_PCI_NUM_REGIONS
#define VFU_NR_BARS		6
#define VFU_MAX_AREAS		64	/* direct areas of one region */
#define VFU_LOW_BASE		0x80000000ULL	/* bus address of the low window */
#define VFU_MAX_VECTORS		2048	/* what an MSI-X table can hold */
#define VFU_NR_FUNCTIONS	8	/* of a slot */

struct vfu_dev;

/* Counters, in the order of enum vfiouser_stat_attr. */
enum vfu_stat {
	VFU_STAT_READS,
	VFU_STAT_WRITES,
	VFU_STAT_CONFIG,
	VFU_STAT_TRAPS,
	VFU_STAT_IRQS,
	VFU_STAT_WAKEUPS,
	VFU_STAT_SLEEPS,
	VFU_STAT_ERRORS,
	VFU_STAT_DMA_MAPS,
	VFU_STAT_DMA_BYTES,
	VFU_STAT_DMA_FULL,
	VFU_STAT_IOEVENTFDS,
	VFU_NR_STATS,
};

#define VFU_NR_PATHS	(VFIOUSER_PATH_DMA_SYNC + 1)

/**
 * struct vfu_path - what has gone one way through the module
 * @bytes: moved
 * @ns: time it took, all together
 * @max_ns: the slowest
 * @hist: how many took how long: see VFIOUSER_HIST_BUCKETS
 */
struct vfu_path {
	u64 bytes;
	u64 ns;
	u64 max_ns;
	u64 hist[VFIOUSER_HIST_BUCKETS];
};

struct vfu_stats {
	u64 count[VFU_NR_STATS];
	struct vfu_path path[VFU_NR_PATHS];
};

/* ---- pinned.c: a range of the helper's memory, pinned ---- */

/**
 * struct vfu_pinned - pinned user pages
 * @pages: the pages, in order
 * @nr: how many
 * @mm: whose pinned_vm they are accounted to
 */
struct vfu_pinned {
	struct page **pages;
	unsigned long nr;
	struct mm_struct *mm;
};

int vfu_pin(struct vfu_pinned *pinned, u64 uaddr, u64 size);
void vfu_unpin(struct vfu_pinned *pinned);

/* ---- ring.c: the request ring ---- */

/**
 * struct vfu_ring - the kernel's side of the request ring
 * @ref: held by the channel and by the device
 * @shared: memory shared with the helper; nothing read from it is trusted
 * @lock: protects @tail, @generation, @posted and @slots_used
 * @tail: requests produced; the shared copy is only ever written
 * @generation: of the last request that has a slot
 * @posted: writes posted so far
 * @pushed: how many of these the server is known to have seen, at least (no lock)
 * @spin_ns: how long a waiter spins before it sleeps (no lock)
 * @slots_used: reply slots that wait for an answer
 * @slot_wq: where the waiter of each slot sleeps
 * @helper_wq: the channel's poll()
 */
struct vfu_ring {
	struct kref ref;
	struct vfiouser_ring *shared;
	raw_spinlock_t lock;
	u32 tail;
	u32 generation;
	u32 posted;
	u32 pushed;
	u64 spin_ns;
	DECLARE_BITMAP(slots_used, VFIOUSER_RING_SLOTS);
	wait_queue_head_t slot_wq[VFIOUSER_RING_SLOTS];
	wait_queue_head_t helper_wq;
};

struct vfu_ring *vfu_ring_create(void);
void vfu_ring_get(struct vfu_ring *ring);
void vfu_ring_put(struct vfu_ring *ring);
void vfu_ring_wake_all(struct vfu_ring *ring);
void vfu_ring_wake(struct vfu_ring *ring, u32 slot);
bool vfu_ring_pending(struct vfu_ring *ring);
void vfu_ring_state(struct vfu_ring *ring, u32 state);

int vfu_region_read(struct vfu_dev *vdev, u32 region, u64 offset, void *data,
		    u32 count);
int vfu_region_write(struct vfu_dev *vdev, u32 region, u64 offset, const void *data, u32 count,
		     bool burst);
bool vfu_region_pushed(const struct vfu_dev *vdev);
void vfu_region_push(struct vfu_dev *vdev);
void vfu_region_settle(struct vfu_dev *vdev);
bool vfu_in_reset(struct vfu_dev *vdev);
int vfu_request_reset(struct vfu_dev *vdev);
bool vfu_may_sleep(void);
int vfu_request_irq(struct vfu_dev *vdev, enum vfiouser_op op, u32 index,
		    u32 start, u32 count);

/* ---- rescue.c: who serves a device must get to run ---- */

struct vfu_rescue;

bool vfu_serves(const struct vfu_dev *vdev, struct task_struct *task);
void vfu_rescue(struct vfu_dev *vdev, unsigned int attempt);
void vfu_rescue_report(struct vfu_dev *vdev, char *buf, size_t size);
int vfu_rescue_create(struct vfu_dev *vdev);
void vfu_rescue_flush(struct vfu_dev *vdev);
void vfu_rescue_destroy(struct vfu_dev *vdev);
void vfu_rescue_ipis(void);
bool vfu_rescue_in_ipis(void);

/* ---- dma.c: the pool and the DMA API on it ---- */

struct vfu_pool;

struct vfu_pool *vfu_pool_create(u64 uaddr, u64 size, u64 iova);
void vfu_pool_destroy(struct vfu_pool *pool);
void vfu_pool_info(const struct vfu_pool *pool, u64 *iova, u64 *size, u64 *coherent);
void vfu_dma_setup(struct vfu_dev *vdev, struct device *dev);

/* ---- ram.c: all memory of the host, for passthrough DMA ---- */

struct file;
struct vfu_ram;

struct vfu_ram *vfu_ram_create(struct device *dev);
void vfu_ram_get(struct vfu_ram *ram);
void vfu_ram_put(struct vfu_ram *ram);
void vfu_ram_cut(struct vfu_ram *ram);
struct file *vfu_ram_file(struct vfu_ram *ram);
u32 vfu_ram_ranges(const struct vfu_ram *ram, const struct vfiouser_ram_range **ranges);
int vfu_ram_init(void);
void vfu_ram_exit(void);

/* ---- irq.c, irqfd.c: interrupts ---- */

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
 * @hops: how often it was sent on to another CPU because who serves runs here
 * @waits: its handler reads registers; true from the start for a level interrupt
 * @turn: raises it, if @waits, when it is its turn
 * @work: raises it on this CPU
 * @csd: raises it on another
 * @calls: how many of @csd are under way
 * @irqfd: the eventfd hooked to it, or NULL (vfu_dev.irq_lock)
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
	unsigned int hops;
	bool waits;
	struct work_struct turn;
	struct irq_work work;
	call_single_data_t csd;
	atomic_t calls;
	struct vfu_irqfd *irqfd;
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

int vfu_irqs_create(struct vfu_dev *vdev, u32 index, u32 count, u32 flags);
void vfu_irqs_destroy(struct vfu_dev *vdev);
void vfu_vector_raise(struct vfu_vector *vec);
void vfu_vector_waits(void);
int vfu_irq_init(void);
void vfu_irq_exit(void);
void vfu_vector_set_masked(struct vfu_vector *vec, bool masked);
void vfu_irqs_mode(struct vfu_dev *vdev, u32 index, u32 count);
void vfu_irqs_rearm(struct vfu_dev *vdev);
int vfu_irq_domain_create(struct vfu_dev *vdev);
void vfu_irq_domain_destroy(struct vfu_dev *vdev);
void vfu_irq_setup(struct vfu_dev *vdev, struct pci_dev *pdev);

int vfu_irqfd_set(struct vfu_dev *vdev, const struct vfiouser_irqfd *arg);
void vfu_irqfd_clear(struct vfu_dev *vdev);
void vfu_irqfd_close(struct vfu_dev *vdev);

/* ---- ioeventfd.c: writes that signal the server ---- */

struct vfu_ioeventfds;

bool vfu_ioeventfd_write(struct vfu_dev *vdev, u32 region, u64 offset, const void *data,
			 u32 count);
int vfu_ioeventfd_set(struct vfu_dev *vdev, const struct vfiouser_ioeventfd *arg);
void vfu_ioeventfd_clear(struct vfu_dev *vdev);

/* ---- device.c: the object ---- */

/**
 * struct vfu_direct - pages of a region which drivers reach without a trap
 * @offset: bytes into the region
 * @pinned: the server's pages
 */
struct vfu_direct {
	u64 offset;
	struct vfu_pinned pinned;
};

struct vfu_region {
	u64 size;
	u32 flags;
	u32 nr_direct;
	struct vfu_direct *direct;
};

/**
 * struct vfu_config - the config registers that are the kernel's own
 * @bar: base address registers 0..5 and the ROM's as [6], as last written
 * @bar_type: their read-only low bits
 * @command: PCI_COMMAND as last written
 * @msi: offset of the MSI capability, or 0
 * @msi_mask: offset of its mask register, or 0
 * @msi_ctrl: its control word as last written
 * @msix: offset of the MSI-X capability, or 0
 * @msix_ctrl: its control word as last written
 * @msix_bir: region of the vector table
 * @msix_table: its offset there
 * @msix_count: vectors in it
 * @pcie: offset of the PCI Express capability, or 0
 * @af: offset of the Advanced Features capability, or 0
 * @virtio_bir: region of a virtio function's device status
 * @virtio_status: its offset there, or 0
 */
struct vfu_config {
	u32 bar[VFU_NR_BARS + 1];
	u32 bar_type[VFU_NR_BARS + 1];
	u16 command;
	u8 msi;
	u8 msi_mask;
	u16 msi_ctrl;
	u8 msix;
	u16 msix_ctrl;
	u32 msix_bir;
	u32 msix_table;
	u32 msix_count;
	u8 pcie;
	u8 af;
	u32 virtio_bir;
	u64 virtio_status;
};

/* Bytes of config space by which a device is known again. */
#define VFU_IDENTITY		PCI_CFG_SPACE_SIZE

enum vfu_phase {
	VFU_PHASE_RUNNING,	/* nothing to recover from */
	VFU_PHASE_FROZEN,	/* the driver is to be told */
	VFU_PHASE_WAITING,	/* it knows; for a helper with a server */
	VFU_PHASE_RESUMING,	/* they are there; the driver is to be told */
};

/**
 * struct vfu_recover - what recover.c keeps of a device
 * @phase: enum vfu_phase (vfu_dev.cfg_lock)
 * @again: frozen again while @phase is RESUMING (vfu_dev.cfg_lock)
 * @error: the server signals an error of its device
 * @connected: the server talks on a new connection
 * @pulled: its PCI device was taken out of the bus (the worker's)
 * @told: driver that knows (the worker's)
 * @work: tells the driver what has happened
 * @grace: ends the waiting
 * @users: who is inside of vfu_enter() and vfu_leave()
 * @config: the server's config space when the device was made
 */
struct vfu_recover {
	enum vfu_phase phase;
	bool again;
	unsigned long error;
	bool connected;
	bool pulled;
	const struct pci_driver *told;
	struct work_struct work;
	struct delayed_work grace;
	struct srcu_struct users;
	u8 config[VFU_IDENTITY];
};

struct vfu_channel;

/**
 * struct vfu_pci_slot - one PCI slot, with a domain, a bus and a window of its own
 * @sysdata: of the bus; arch code looks into it. First: bus->sysdata points here
 * @domain: of the bus
 * @ref: held by its functions until they are freed, and by the bus
 * @list: of those with functions in them (vfu_slots_lock)
 * @name: unique; "" for one that takes a single function
 * @users: functions in it (vfu_slots_lock)
 * @taken: which functions have a device, or one whose PCI device is still held (vfu_slots_lock)
 * @functions: what answers as which function (RCU; each written by its device)
 * @dev: parent of the host bridge where there may be several functions, else NULL
 * @bus: the root bus, while there is one (the rescan lock)
 * @window: the CPU addresses that BARs lie in (@lock)
 * @low: part of @window for 32-bit BARs, with bus addresses below 4 GiB
 * @high: part of @window for 64-bit BARs, bus address = CPU address
 * @lock: protects @window being made
 * @free: ends it
 */
struct vfu_pci_slot {
	struct vfu_arch_bus sysdata;
	int domain;
	struct kref ref;
	struct list_head list;
	char name[VFIOUSER_NAME_MAX];
	unsigned int users;
	unsigned long taken;
	struct vfu_dev __rcu *functions[VFU_NR_FUNCTIONS];
	struct device *dev;
	struct pci_bus *bus;
	struct resource *window;
	struct resource low;
	struct resource high;
	struct mutex lock;	/* see above */
	struct work_struct free;
};

/* Is it made for several functions? */
static inline bool vfu_slot_multi(const struct vfu_pci_slot *slot)
{
	return slot->name[0];
}

/**
 * struct vfu_dev - one PCI function served by a helper
 * @ref: see the lifetime rules at the top of this file
 * @id: key in the device table
 * @name: unique
 * @socket: as told by the helper; information
 * @pid: the helper's, information; 0 without one
 * @owner: its channel, or NULL (channel.c's lock)
 * @helper: the helper's address space, to recognise its threads
 * @task: the helper's thread
 * @server: the server's process, or NULL if it is not known
 * @rescue: for each CPU the work that pulls @task and @server there
 * @flags: VFIOUSER_DEV_F_*
 * @timeout_ms: bound of a sleeping wait for the helper
 * @grace_ms: how long to wait for another helper, 0: not at all
 * @dev: parent of the host bridge, in class "vfiouser"
 * @state: enum vfiouser_state; only ever grows, but for LIVE, FROZEN and RESUMING
 * @offline: nothing is forwarded now, reads are all-ones (set under @cfg_lock)
 * @lost: nor will it ever be again; implies @offline
 * @removing: the removal work has been asked for
 * @recover: see there
 * @ring: the channel's ring; another one after DEVICE_RESUME. Used inside of
 *	vfu_enter() and vfu_leave()
 * @resetting: a reset is under way: reads are all-ones, as of a device in reset
 * @reset_slot: where its end will be told (@ring's lock)
 * @reset_generation: as which request
 * @regions: by VFIO_PCI_*_REGION_INDEX
 * @cfg_lock: protects @cfg
 * @cfg: virtual config registers
 * @msix_table: the vector table (16 bytes an entry), @cfg.msix_count entries
 * @slot: where it is plugged in
 * @fn: as which function
 * @on_bus: the slot must know it: until its removal, and as long as it has a PCI device
 * @pdev: the PCI device while it is in the hierarchy (@cfg_lock)
 * @irq_lock: protects eventfds and arming; and for who wants to look at them, @server and the
 *	pages of @regions, which else stay inside of vfu_enter() and vfu_leave()
 * @irqfd_closed: no eventfd can be hooked any more (@irq_lock)
 * @ioeventfds: writes that signal the server, by BAR (changed under @irq_lock, read under RCU)
 * @irqs: by VFIO_PCI_*_IRQ_INDEX
 * @irq_parent: domain of the vectors
 * @irq_domain: PCI/MSI domain of the bus
 * @irq_fwnode: names them
 * @intx_virq: Linux interrupt of INTx, or 0
 * @irq_mode: VFIO_PCI_*_IRQ_INDEX the server has eventfds for, or -1
 * @pool: DMA memory, or NULL
 * @ram: with passthrough DMA: what the server can reach, else NULL
 * @pool_file: the file that it is, for another helper, or NULL
 * @add_work: scans the bus
 * @remove_work: removes it
 * @rcu: frees it once nobody looks at its slot's functions any more
 * @stats: per-CPU counters
 */
struct vfu_dev {
	struct kref ref;
	u32 id;
	char name[VFIOUSER_NAME_MAX];
	char socket[VFIOUSER_SOCKET_MAX];
	pid_t pid;
	struct vfu_channel *owner;
	struct mm_struct *helper;
	struct task_struct *task;
	struct pid *server;
	struct vfu_rescue __percpu *rescue;
	u32 flags;
	u32 timeout_ms;
	u32 grace_ms;
	struct device *dev;

	u32 state;
	bool offline;
	bool lost;
	unsigned long removing;
	struct vfu_recover recover;
	struct vfu_ring *ring;
	bool resetting;
	u32 reset_slot;
	u32 reset_generation;

	struct vfu_region regions[VFU_NR_REGIONS];

	raw_spinlock_t cfg_lock;
	struct vfu_config cfg;
	u32 (*msix_table)[4];

	struct vfu_pci_slot *slot;
	unsigned int fn;
	atomic_t on_bus;
	struct pci_dev *pdev;

	struct mutex irq_lock;	/* see above */
	bool irqfd_closed;
	struct vfu_ioeventfds __rcu *ioeventfds[VFU_NR_BARS];
	struct vfu_irqs irqs[VFIO_PCI_NUM_IRQS];
	struct irq_domain *irq_parent;
	struct irq_domain *irq_domain;
	struct fwnode_handle *irq_fwnode;
	unsigned int intx_virq;
	int irq_mode;

	struct vfu_pool *pool;
	struct vfu_ram *ram;
	struct file *pool_file;

	struct work_struct add_work;
	struct work_struct remove_work;
	struct rcu_head rcu;

	struct vfu_stats __percpu *stats;
};

static inline void vfu_count(struct vfu_dev *vdev, enum vfu_stat stat, u64 n)
{
	this_cpu_add(vdev->stats->count[stat], n);
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
	pid_t server;
	u32 flags;
	u32 timeout_ms;
	u32 grace_ms;
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

struct netlink_ext_ack;

struct vfu_dev *vfu_dev_create(struct vfu_dev_params *params,
			       struct vfu_ring *ring,
			       struct netlink_ext_ack *extack);
void vfu_dev_get(struct vfu_dev *vdev);
void vfu_dev_put(struct vfu_dev *vdev);
struct vfu_dev *vfu_dev_find(u32 id, const char *name);
struct vfu_dev *vfu_dev_next(unsigned long *id);
void vfu_work_queue(struct work_struct *work);
void vfu_dev_remove(struct vfu_dev *vdev);
void vfu_dev_lose(struct vfu_dev *vdev, const char *why);
bool vfu_dev_set_lost(struct vfu_dev *vdev);
void vfu_dev_set_state(struct vfu_dev *vdev, u32 state);
void vfu_dev_wake_all(struct vfu_dev *vdev);
void vfu_dev_queue(struct vfu_dev *vdev, struct work_struct *work);
u64 vfu_dev_stat(struct vfu_dev *vdev, enum vfu_stat stat);
void vfu_dev_path(struct vfu_dev *vdev, enum vfiouser_path path, struct vfu_path *sum);
extern struct class vfu_class;
void vfu_regions_release(struct vfu_region *regions);
int vfu_device_init(void);
void vfu_device_exit(void);

/* ---- recover.c: server or helper gone, and back ---- */

int vfu_enter(struct vfu_dev *vdev);
void vfu_leave(struct vfu_dev *vdev, int idx);
int vfu_recover_init(struct vfu_dev *vdev);
void vfu_recover_exit(struct vfu_dev *vdev);
int vfu_recover_remember(struct vfu_dev *vdev);
void vfu_recover_stop(struct vfu_dev *vdev);
void vfu_dev_fail(struct vfu_dev *vdev, const char *why);
int vfu_recover_take(struct vfu_dev *vdev, struct netlink_ext_ack *extack);
int vfu_recover_resume(struct vfu_dev *vdev, struct vfu_dev_params *params,
		       struct vfu_ring *ring, struct netlink_ext_ack *extack);
void vfu_recover_signal(struct vfu_dev *vdev, u32 index);
void vfu_recover_arm(struct vfu_dev *vdev);

/* ---- config.c: config space ---- */

int vfu_config_init(struct vfu_dev *vdev);
void vfu_config_forget(struct vfu_dev *vdev);
void vfu_config_restore(struct vfu_dev *vdev);
void vfu_config_read(struct vfu_dev *vdev, unsigned int where, int size, u32 *val);
void vfu_config_write(struct vfu_dev *vdev, unsigned int where, int size, u32 val);
void vfu_intx_control(struct vfu_dev *vdev);
bool vfu_config_decodes(struct vfu_dev *vdev);
int vfu_config_resolve(struct vfu_dev *vdev, phys_addr_t phys, u64 *offset);
void vfu_config_gone(struct vfu_dev *vdev, phys_addr_t phys, void *data, u32 count);
bool vfu_msix_page(struct vfu_dev *vdev, u32 region, u64 offset);
bool vfu_msix_hit(struct vfu_dev *vdev, u32 region, u64 offset, u32 count);
void vfu_msix_read(struct vfu_dev *vdev, u64 offset, void *data, u32 count);
void vfu_msix_write(struct vfu_dev *vdev, u64 offset, const void *data, u32 count);

/* ---- window.c: the BARs' addresses ---- */

int vfu_window_create(struct vfu_dev *vdev);
void vfu_window_destroy(struct vfu_pci_slot *slot);
struct vfu_dev *vfu_window_find(phys_addr_t phys);
u64 vfu_window_to_bus(const struct vfu_dev *vdev, phys_addr_t phys);

/* ---- bridge.c: the virtual host bridge ---- */

int vfu_slot_join(struct vfu_dev *vdev, const char *name, u32 fn, struct netlink_ext_ack *extack);
void vfu_slot_leave(struct vfu_dev *vdev);
void vfu_slot_put(struct vfu_pci_slot *slot);
void vfu_on_bus_put(struct vfu_dev *vdev);
int vfu_bridge_add(struct vfu_dev *vdev);
void vfu_bridge_remove(struct vfu_dev *vdev);
void vfu_bridge_pull(struct vfu_dev *vdev);
void vfu_bridge_plug(struct vfu_dev *vdev);
struct vfu_dev *vfu_dev_of_pci(struct pci_dev *pdev);
int vfu_bridge_init(void);
void vfu_bridge_exit(void);

/* ---- mmio.c: accesses to mapped BARs; trap.c: how they get here ---- */

int vfu_mmio_init(void);
void vfu_mmio_exit(void);
void __iomem *vfu_mmio_map(phys_addr_t phys, size_t size);
bool vfu_mmio_unmap(void __iomem *addr);
void vfu_mmio_update(struct vfu_dev *vdev);
int vfu_mmio_user_map(struct pci_dev *pdev, int bar, struct vm_area_struct *vma);
bool vfu_mmio_owns(unsigned long addr);
bool vfu_mmio_fault(struct pt_regs *regs, unsigned long addr);

int vfu_trap_init(void);
void vfu_trap_exit(void);

/* ---- channel.c: /dev/vfiouser ---- */

struct vfu_ring *vfu_channel_ring(struct file *file);
struct vfu_ram *vfu_channel_ram(struct file *file);
struct vfu_dev *vfu_channel_bind(struct file *file, struct vfu_dev_params *params,
				 struct netlink_ext_ack *extack);
int vfu_channel_take(struct file *file, struct vfu_dev *vdev, struct netlink_ext_ack *extack);
int vfu_channel_resume(struct file *file, struct vfu_dev_params *params,
		       struct netlink_ext_ack *extack);
int vfu_channel_init(void);
void vfu_channel_exit(void);

/* ---- netlink.c: control and events ---- */

void vfu_netlink_event(struct vfu_dev *vdev, enum vfiouser_event event, int err);
int vfu_netlink_init(void);
void vfu_netlink_exit(void);

#endif /* _KMOD_VFIOUSER_H */
