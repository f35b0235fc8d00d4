/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * vfiouser_pci: the interface between the kernel module and its helper.
 *
 * A helper opens /dev/vfiouser (a "channel"), maps its request ring, and
 * creates one PCI device over it by generic netlink (VFIOUSER_CMD_DEVICE_NEW).
 * From then on it answers the requests of the ring until it removes the device
 * or closes the channel; closing is a surprise removal, or for a device with a
 * grace time the wait for another helper (DEVICE_TAKE, DEVICE_RESUME). So is the
 * end of the process that had the ring mapped, whatever its files wait for.
 *
 * The interface knows PCI regions and interrupts by the indices of
 * <linux/vfio.h> (VFIO_PCI_*), and nothing of the vfio-user protocol.
 */
#ifndef _UAPI_LINUX_VFIOUSER_H
#define _UAPI_LINUX_VFIOUSER_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* Grows when something is added; VFIOUSER_A_ABI carries it both ways. */
#define VFIOUSER_ABI_VERSION	1

#define VFIOUSER_DEV_NAME	"vfiouser"	/* /dev/vfiouser */
#define VFIOUSER_NAME_MAX	32		/* with the NUL */
#define VFIOUSER_SOCKET_MAX	256		/* with the NUL, information only */
#define VFIOUSER_OPTIONS_MAX	256		/* with the NUL, the helper's own business */
#define VFIOUSER_REASON_MAX	200		/* with the NUL */
#define VFIOUSER_AREAS_MAX	64		/* direct areas of one region */

/*
 * Request ring
 *
 * mmap() of the channel at offset VFIOUSER_MMAP_RING with length
 * VFIOUSER_RING_BYTES. The kernel produces requests at @tail and the helper
 * consumes them at @head; both are free-running counts, the entry is
 * count % VFIOUSER_RING_ENTRIES. Requests must be carried out in ring order.
 *
 * A request with VFIOUSER_REQ_POSTED expects no answer. Any other names a
 * reply slot: the helper fills in @error and @data and then stores the
 * request's @generation to @done (store-release).
 */
#define VFIOUSER_MMAP_RING	0

#define VFIOUSER_RING_ENTRIES	256
#define VFIOUSER_RING_SLOTS	128
#define VFIOUSER_DATA_MAX	64		/* bytes one request can move */

enum vfiouser_op {
	VFIOUSER_OP_NOP		= 0,
	VFIOUSER_OP_READ	= 1,	/* @count bytes at @offset of @region */
	VFIOUSER_OP_WRITE	= 2,
	VFIOUSER_OP_RESET	= 3,	/* the function's reset (FLR), any time */
	/*
	 * Interrupts of index @region: start = @offset, count = @count.
	 * ARM registers an eventfd for each with VFIOUSER_IOC_IRQFD and gives
	 * it to the server before it answers; DISARM takes all of the index
	 * back; UNMASK re-enables a level interrupt. The vectors of MSI and MSI-X
	 * that are armed are to be signalled: the kernel keeps their masks.
	 */
	VFIOUSER_OP_IRQ_ARM	= 4,
	VFIOUSER_OP_IRQ_DISARM	= 5,
	VFIOUSER_OP_IRQ_UNMASK	= 6,
};

#define VFIOUSER_REQ_POSTED	(1U << 0)

/**
 * struct vfiouser_request - one entry of the ring, written by the kernel
 * @op: enum vfiouser_op
 * @flags: VFIOUSER_REQ_*
 * @slot: reply slot, unused for posted requests
 * @generation: what to store to the slot's @done; never 0
 * @region: region index (READ, WRITE) or interrupt index (IRQ_*)
 * @offset: bytes into the region, or first vector
 * @count: bytes (at most VFIOUSER_DATA_MAX), or number of vectors
 * @reserved: 0
 * @data: what to write, in the order of the bytes in the region
 * @pad: 0
 */
struct vfiouser_request {
	__u16 op;
	__u16 flags;
	__u32 slot;
	__u32 generation;
	__u32 region;
	__u64 offset;
	__u32 count;
	__u32 reserved;
	__u8 data[VFIOUSER_DATA_MAX];
	__u8 pad[32];
};

/**
 * struct vfiouser_slot - the answer to one request
 * @done: the request's generation once @error and @data are valid (helper)
 * @sleeping: not 0 while the kernel's waiter sleeps; the helper then calls
 *	VFIOUSER_IOC_WAKE after it has stored @done (kernel). Store of @done
 *	and load of @sleeping need a full barrier between them.
 * @error: 0 or a negative errno (helper)
 * @reserved: 0
 * @data: what was read (helper)
 * @pad: 0
 */
struct vfiouser_slot {
	__u32 done;
	__u32 sleeping;
	__s32 error;
	__u32 reserved;
	__u8 data[VFIOUSER_DATA_MAX];
	__u8 pad[48];
};

enum vfiouser_state {
	VFIOUSER_STATE_NONE	= 0,	/* channel without a device */
	VFIOUSER_STATE_PROBING	= 1,	/* bus being scanned, drivers bound */
	VFIOUSER_STATE_LIVE	= 2,
	VFIOUSER_STATE_LOST	= 3,	/* reads all-ones, not forwarded */
	VFIOUSER_STATE_REMOVING	= 4,	/* drivers being unbound; keep serving */
	VFIOUSER_STATE_GONE	= 5,	/* nothing more to serve */
	/* From LIVE and back to it; LOST can follow as well. */
	VFIOUSER_STATE_FROZEN	= 6,	/* as LOST, or accesses wait; for a helper */
	VFIOUSER_STATE_RESUMING	= 7,	/* has one: drivers start it again */
};

/* vfiouser_ring.helper_flags */
#define VFIOUSER_HELPER_SLEEPING (1U << 0)	/* wake me through poll() */

/**
 * struct vfiouser_ring - the mapped page set
 * @tail: requests produced (kernel)
 * @state: enum vfiouser_state (kernel); poll() reports POLLPRI once for each
 *	change, and POLLHUP for good when it is VFIOUSER_STATE_GONE
 * @timeout_ms: how long the server may take for an answer (kernel); DEVICE_SET changes it
 * @head: requests consumed (helper)
 * @helper_flags: VFIOUSER_HELPER_* (helper). Store of the flag and load of
 *	@tail need a full barrier between them.
 * @pad0: keeps what the kernel and what the helper writes apart
 * @pad1: the same
 * @pad2: up to the end of the page
 * @requests: the ring proper
 * @slots: reply slots
 */
struct vfiouser_ring {
	__u32 tail;
	__u32 state;
	__u32 timeout_ms;
	__u8 pad0[116];
	__u32 head;
	__u32 helper_flags;
	__u8 pad1[120];
	__u8 pad2[3840];
	struct vfiouser_request requests[VFIOUSER_RING_ENTRIES];
	struct vfiouser_slot slots[VFIOUSER_RING_SLOTS];
};

#define VFIOUSER_RING_BYTES	sizeof(struct vfiouser_ring)

/*
 * ioctls on the channel
 */

/**
 * struct vfiouser_irqfd - hook eventfds to interrupts of the channel's device
 * @index: VFIO_PCI_*_IRQ_INDEX
 * @start: first vector
 * @count: number of vectors
 * @reserved: 0
 * @fds: address of @count file descriptors (__s32); -1 unhooks one
 */
struct vfiouser_irqfd {
	__u32 index;
	__u32 start;
	__u32 count;
	__u32 reserved;
	__u64 fds;
};

/* vfiouser_ioeventfd.flags */
#define VFIOUSER_IOEVENTFD_DATAMATCH	(1U << 0)	/* only writes of @datamatch */
#define VFIOUSER_IOEVENTFD_SHADOW	(1U << 1)	/* store the value at @shadow */
#define VFIOUSER_IOEVENTFD_DEASSIGN	(1U << 2)	/* take it back */

/**
 * struct vfiouser_ioeventfd - writes that signal an eventfd and are not forwarded
 * @region: VFIO_PCI_BAR0_REGION_INDEX to _BAR5_
 * @flags: VFIOUSER_IOEVENTFD_*
 * @offset: where the write begins, bytes into the region
 * @datamatch: with DATAMATCH, the value written; fits in @size bytes
 * @shadow: with SHADOW, address in the caller's memory, a multiple of @size (of 8 if
 *	that is 0). The value is stored there, with one store of the write's size, before
 *	@fd is signalled. The page is pinned, the mapping need not stay.
 * @size: of the write: 1, 2, 4 or 8 bytes; 0: any, without DATAMATCH
 * @fd: the eventfd, which need not stay open
 *
 * No write may match two entries. DEASSIGN takes back the entry with the same
 * @region, @offset, @size and, with DATAMATCH in both, @datamatch.
 */
struct vfiouser_ioeventfd {
	__u32 region;
	__u32 flags;
	__u64 offset;
	__u64 datamatch;
	__u64 shadow;
	__u32 size;
	__s32 fd;
};

/* Memory of the host, at bus addresses that are its physical ones. */
struct vfiouser_ram_range {
	__u64 start;
	__u64 size;	/* bytes, whole pages */
};

/**
 * struct vfiouser_ram - all memory of the host, for a server that is trusted
 * @ranges: address of an array of struct vfiouser_ram_range, to be filled in
 * @count: how many fit there; set to how many there are
 * @fd: set to a new descriptor, to be mapped at the ranges' physical addresses; it can
 *	do nothing else. What a process maps of it becomes memory of nobody's when the
 *	channel closes.
 */
struct vfiouser_ram {
	__u64 ranges;
	__u32 count;
	__s32 fd;
};

/*
 * WAKE: wake the kernel's waiter of reply slot @arg.
 * IRQFD: see above; -EBUSY for a vector that is hooked already.
 * REMOVE: begin the orderly removal of the channel's device, as DEVICE_DEL does.
 *	Who has the channel open needs no privilege for it.
 * IOEVENTFD: see above; -EEXIST where a write could match two entries, -EINVAL for
 *	a descriptor that is no eventfd.
 * RAM: see above, once, before the device is created with VFIOUSER_DEV_F_PASSTHROUGH.
 *	-E2BIG: more ranges than fit, @count says how many; -EACCES: the module was loaded
 *	without allow_passthrough=1; -EPERM: needs CAP_SYS_RAWIO and a kernel that is not
 *	locked down; -EOPNOTSUPP: bus addresses are no physical ones on this machine, or
 *	its memory is encrypted.
 * POOL: returns a descriptor of the DMA pool's file, VFIOUSER_POOL_A_FD of DEVICE_NEW;
 *	-ENOENT if there was none.
 * SERVER: process @arg is the server from now on, in place of VFIOUSER_A_SERVER_PID, on the same
 *	connection and with the same state; -EBUSY as long as that one runs, -ESRCH if there is none
 *	of that number.
 *
 * Of a channel whose device was taken over all fail with -ENODEV, and poll() reports
 * POLLHUP while the last @state in its ring is not VFIOUSER_STATE_GONE.
 */
#define VFIOUSER_IOC_WAKE	_IO('V', 0xc0)
#define VFIOUSER_IOC_IRQFD	_IOW('V', 0xc1, struct vfiouser_irqfd)
#define VFIOUSER_IOC_REMOVE	_IO('V', 0xc2)
#define VFIOUSER_IOC_IOEVENTFD	_IOW('V', 0xc3, struct vfiouser_ioeventfd)
#define VFIOUSER_IOC_RAM	_IOWR('V', 0xc4, struct vfiouser_ram)
#define VFIOUSER_IOC_POOL	_IO('V', 0xc5)
#define VFIOUSER_IOC_SERVER	_IO('V', 0xc6)

/*
 * Generic netlink
 */
#define VFIOUSER_GENL_NAME	"vfiouser"
#define VFIOUSER_GENL_VERSION	1
#define VFIOUSER_MCGRP_EVENTS	"events"

/*
 * All commands need CAP_SYS_ADMIN in the initial user namespace.
 *
 * DEVICE_NEW: ABI, CHANNEL_FD and REGION.. are required. Answers with ID, then
 *	scans the bus; VFIOUSER_EVENT_ADDED or _FAILED follows on the events
 *	group, and the ring's @state changes. The helper must serve the ring
 *	meanwhile.
 * DEVICE_TAKE: ABI, CHANNEL_FD, and ID or NAME: the device becomes that of the
 *	channel, which has none. A helper that still serves it is told so, and the
 *	device frozen if it is not. To be followed by DEVICE_RESUME.
 * DEVICE_RESUME: ABI, CHANNEL_FD and all that describes the server's device, as for
 *	DEVICE_NEW but without POOL, and CONFIG: the device is served by the channel
 *	from now on, the drivers start it again, and VFIOUSER_EVENT_RECOVERED follows.
 *	-EAGAIN while drivers are still being told of the freeze: try again soon.
 *	-EREMCHG where this is another device; -EBUSY while the old server still runs.
 *	With the TOKEN that the device has, the drivers are not told: the server has kept all
 *	of its state but what belongs to a connection. -ESTALE if they have been told already:
 *	connect anew, for a server that begins afresh.
 *	With VFIOUSER_DEV_F_CHECK in FLAGS nothing changes: 0 says that the next one will do,
 *	so that the server can be given the DMA pool.
 * DEVICE_SET: ID or NAME, and TIMEOUT_MS or GRACE_MS: changes them. A grace time that is
 *	running begins anew. -EOPNOTSUPP for a grace time with passthrough DMA.
 * DEVICE_DEL: ID or NAME; returns at once, VFIOUSER_EVENT_REMOVED follows.
 * DEVICE_GET: one (ID or NAME) or, as a dump, all. SERVER_PID, REGION, IRQ, POOL and PATH
 *	are told of one only.
 * EVENT: sent by the kernel only.
 */
enum vfiouser_cmd {
	VFIOUSER_CMD_UNSPEC,
	VFIOUSER_CMD_DEVICE_NEW,
	VFIOUSER_CMD_DEVICE_DEL,
	VFIOUSER_CMD_DEVICE_GET,
	VFIOUSER_CMD_EVENT,
	VFIOUSER_CMD_DEVICE_TAKE,
	VFIOUSER_CMD_DEVICE_RESUME,
	VFIOUSER_CMD_DEVICE_SET,
	__VFIOUSER_CMD_MAX,
};

#define VFIOUSER_CMD_MAX (__VFIOUSER_CMD_MAX - 1)

enum vfiouser_attr {
	VFIOUSER_A_UNSPEC,
	VFIOUSER_A_PAD,
	VFIOUSER_A_ABI,			/* u32: VFIOUSER_ABI_VERSION */
	VFIOUSER_A_ID,			/* u32 */
	VFIOUSER_A_NAME,		/* string; "vfuN" where not given */
	VFIOUSER_A_SOCKET,		/* string: for information */
	VFIOUSER_A_CHANNEL_FD,		/* u32: an open /dev/vfiouser */
	VFIOUSER_A_FLAGS,		/* u32: VFIOUSER_DEV_F_* */
	VFIOUSER_A_TIMEOUT_MS,		/* u32: bound of a sleeping wait */
	VFIOUSER_A_REGION,		/* nest, multi: vfiouser_region_attr */
	VFIOUSER_A_IRQ,			/* nest, multi: vfiouser_irq_attr */
	VFIOUSER_A_POOL,		/* nest: vfiouser_pool_attr */
	VFIOUSER_A_STATE,		/* u32: enum vfiouser_state */
	VFIOUSER_A_PID,			/* u32: the helper; 0: none */
	VFIOUSER_A_DOMAIN,		/* u32: PCI domain (segment) */
	VFIOUSER_A_BUS,			/* u32 */
	VFIOUSER_A_DEVFN,		/* u32 */
	VFIOUSER_A_EVENT,		/* u32: enum vfiouser_event */
	/*
	 * u32: errno of VFIOUSER_EVENT_FAILED; of _LOST where nobody has asked for its removal; of
	 * _RECOVERED where a driver had left the device meanwhile and was bound anew
	 */
	VFIOUSER_A_ERROR,
	VFIOUSER_A_STATS,		/* nest: vfiouser_stat_attr */
	VFIOUSER_A_SERVER_PID,		/* u32: the server, where it is on this host */
	VFIOUSER_A_PATH,		/* nest, multi: vfiouser_path_attr */
	VFIOUSER_A_GRACE_MS,		/* u32: how long to wait for another helper; 0: not */
	VFIOUSER_A_CONFIG,		/* binary: the first 256 bytes of config space */
	/*
	 * string: slot for several functions, made by the first one that names it, gone with
	 * the last; without it the device has a slot of its own
	 */
	VFIOUSER_A_SLOT,
	VFIOUSER_A_FUNCTION,		/* u32: 0 to 7; needs SLOT if it is not 0 */
	VFIOUSER_A_OPTIONS,		/* string: of the helper, for the next one */
	VFIOUSER_A_KEEPER_PID,		/* u32: who starts helpers for it; 0: nobody */
	VFIOUSER_A_GRACE_LEFT_MS,	/* u32: of GRACE_MS, while frozen (DEVICE_GET) */
	VFIOUSER_A_REASON,		/* string: of VFIOUSER_EVENT_FAILED and _RECOVERED, in words */
	/*
	 * u64: what the server calls the state that it keeps for another helper; not 0. DEVICE_GET:
	 * only while requests wait for such a one
	 */
	VFIOUSER_A_TOKEN,
	__VFIOUSER_A_MAX,
};

#define VFIOUSER_A_MAX (__VFIOUSER_A_MAX - 1)

#define VFIOUSER_DEV_F_RESET	(1U << 0)	/* the server can reset it */
/* with one CPU too, and with ids on which the kernel acts beyond the device */
#define VFIOUSER_DEV_F_FORCE	(1U << 1)
/* Bus addresses are physical ones; the channel has done VFIOUSER_IOC_RAM. Without POOL. */
#define VFIOUSER_DEV_F_PASSTHROUGH (1U << 2)
#define VFIOUSER_DEV_F_CHECK	(1U << 3)	/* DEVICE_RESUME: only say whether it would do */
/*
 * BARs of I/O ports, which drivers see as memory: shown, or not. Without either they are not
 * shown where there is a BAR of memory as well.
 */
#define VFIOUSER_DEV_F_IO_SHOW	(1U << 4)
#define VFIOUSER_DEV_F_IO_HIDE	(1U << 5)
#define VFIOUSER_DEV_F_WAIT_WRITES (1U << 6)	/* no write is posted */

enum vfiouser_region_attr {
	VFIOUSER_REGION_A_UNSPEC,
	VFIOUSER_REGION_A_PAD,
	VFIOUSER_REGION_A_INDEX,	/* u32: VFIO_PCI_*_REGION_INDEX */
	VFIOUSER_REGION_A_SIZE,		/* u64: bytes */
	VFIOUSER_REGION_A_FLAGS,	/* u32: VFIO_REGION_INFO_FLAG_*; READ and WRITE if absent */
	VFIOUSER_REGION_A_AREA,		/* nest, multi, up to 64: vfiouser_area_attr */
	VFIOUSER_REGION_A_DIRECT,	/* u64: bytes without a trap (DEVICE_GET) */
	__VFIOUSER_REGION_A_MAX,
};

#define VFIOUSER_REGION_A_MAX (__VFIOUSER_REGION_A_MAX - 1)

/*
 * A part of a region that the driver may reach without a trap. One whose pages cannot be pinned,
 * as of a file on a disk or a device's memory, traps.
 */
enum vfiouser_area_attr {
	VFIOUSER_AREA_A_UNSPEC,
	VFIOUSER_AREA_A_PAD,
	VFIOUSER_AREA_A_OFFSET,		/* u64: bytes into the region, page aligned */
	VFIOUSER_AREA_A_SIZE,		/* u64: bytes, whole pages */
	VFIOUSER_AREA_A_ADDR,		/* u64: where the sender has it mapped */
	__VFIOUSER_AREA_A_MAX,
};

#define VFIOUSER_AREA_A_MAX (__VFIOUSER_AREA_A_MAX - 1)

enum vfiouser_irq_attr {
	VFIOUSER_IRQ_A_UNSPEC,
	VFIOUSER_IRQ_A_INDEX,		/* u32: VFIO_PCI_*_IRQ_INDEX */
	VFIOUSER_IRQ_A_COUNT,		/* u32 */
	VFIOUSER_IRQ_A_FLAGS,		/* u32: VFIO_IRQ_INFO_* */
	VFIOUSER_IRQ_A_ARMED,		/* u32: vectors in use (DEVICE_GET) */
	__VFIOUSER_IRQ_A_MAX,
};

#define VFIOUSER_IRQ_A_MAX (__VFIOUSER_IRQ_A_MAX - 1)

/* The memory that the device can reach: DMA addresses IOVA .. IOVA+SIZE-1. */
enum vfiouser_pool_attr {
	VFIOUSER_POOL_A_UNSPEC,
	VFIOUSER_POOL_A_PAD,
	VFIOUSER_POOL_A_ADDR,		/* u64: where the sender has it mapped */
	VFIOUSER_POOL_A_SIZE,		/* u64: bytes, whole pages */
	VFIOUSER_POOL_A_IOVA,		/* u64: bus address of its first byte */
	VFIOUSER_POOL_A_COHERENT,	/* u64: bytes that drivers have allocated (DEVICE_GET) */
	VFIOUSER_POOL_A_FD,		/* u32: the file it is; kept for VFIOUSER_IOC_POOL */
	__VFIOUSER_POOL_A_MAX,
};

#define VFIOUSER_POOL_A_MAX (__VFIOUSER_POOL_A_MAX - 1)

enum vfiouser_event {
	VFIOUSER_EVENT_UNSPEC,
	VFIOUSER_EVENT_ADDED,		/* bus scanned, drivers asked */
	VFIOUSER_EVENT_FAILED,		/* DEVICE_NEW did not succeed later on */
	VFIOUSER_EVENT_LOST,		/* no answer in time, or helper gone */
	VFIOUSER_EVENT_REMOVED,
	VFIOUSER_EVENT_FROZEN,		/* LOST, but for another helper within the grace time */
	VFIOUSER_EVENT_RECOVERED,	/* and it came */
};

/* All u64, counted since the device was created. */
enum vfiouser_stat_attr {
	VFIOUSER_STAT_A_UNSPEC,
	VFIOUSER_STAT_A_PAD,
	VFIOUSER_STAT_A_READS,		/* forwarded reads */
	VFIOUSER_STAT_A_WRITES,		/* forwarded writes */
	VFIOUSER_STAT_A_CONFIG,		/* of both, those to config space */
	VFIOUSER_STAT_A_TRAPS,		/* trapped instructions */
	VFIOUSER_STAT_A_IRQS,		/* interrupts raised */
	VFIOUSER_STAT_A_WAKEUPS,	/* times the helper had to be woken */
	VFIOUSER_STAT_A_SLEEPS,		/* waits that slept */
	VFIOUSER_STAT_A_ERRORS,		/* answers with an error */
	VFIOUSER_STAT_A_DMA_MAPS,	/* streaming mappings made */
	VFIOUSER_STAT_A_DMA_BYTES,	/* bytes copied for them */
	VFIOUSER_STAT_A_DMA_FULL,	/* mappings refused: pool exhausted */
	VFIOUSER_STAT_A_IOEVENTFDS,	/* writes that signalled an ioeventfd */
	__VFIOUSER_STAT_A_MAX,
};

#define VFIOUSER_STAT_A_MAX (__VFIOUSER_STAT_A_MAX - 1)

/* Ways through the module on which time is measured. */
enum vfiouser_path {
	VFIOUSER_PATH_READ	= 0,	/* read of a BAR, until it is answered */
	VFIOUSER_PATH_WRITE	= 1,	/* write to a BAR, until it is in the ring */
	VFIOUSER_PATH_CONFIG_READ = 2,	/* forwarded ones of config space */
	VFIOUSER_PATH_CONFIG_WRITE = 3,
	VFIOUSER_PATH_CONTROL	= 4,	/* interrupts armed, disarmed, unmasked */
	VFIOUSER_PATH_IRQ	= 5,	/* from the server's signal to the driver's handler */
	VFIOUSER_PATH_DMA_MAP	= 6,	/* streaming mappings; bytes mapped */
	VFIOUSER_PATH_DMA_UNMAP	= 7,
	VFIOUSER_PATH_DMA_SYNC	= 8,	/* of parts of a mapping, either way */
};

/*
 * Bucket n of a histogram counts what took 2^n to 2^(n+1)-1 ns; the first also what took
 * 0, the last also what took longer.
 */
#define VFIOUSER_HIST_BUCKETS	32

enum vfiouser_path_attr {
	VFIOUSER_PATH_A_UNSPEC,
	VFIOUSER_PATH_A_PAD,
	VFIOUSER_PATH_A_INDEX,		/* u32: enum vfiouser_path */
	VFIOUSER_PATH_A_COUNT,		/* u64 */
	VFIOUSER_PATH_A_BYTES,		/* u64 */
	VFIOUSER_PATH_A_NS,		/* u64: all of them together */
	VFIOUSER_PATH_A_MAX_NS,		/* u64: the slowest */
	VFIOUSER_PATH_A_HIST,		/* u64[VFIOUSER_HIST_BUCKETS] */
	__VFIOUSER_PATH_A_MAX,
};

#define VFIOUSER_PATH_A_MAX (__VFIOUSER_PATH_A_MAX - 1)

#endif /* _UAPI_LINUX_VFIOUSER_H */
