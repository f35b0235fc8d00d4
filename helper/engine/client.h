/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The client side of vfio-user: one connection to one server, which emulates one PCI device.
 *
 * Asynchronous at the core (vfuc_submit_*(), vfuc_process()), with synchronous calls on top for
 * setting a device up. The engine knows nothing of the kernel module.
 *
 * Threads: a struct vfuc belongs to one thread at a time; nothing in it is locked. Different
 * connections are independent of each other.
 * Lifetime: from vfuc_open() to vfuc_close(). A connection that died stays a valid object, on which
 * every call fails with the errno it died of, until vfuc_close().
 * Callbacks run inside vfuc_process() and inside the synchronous calls, never inside
 * vfuc_submit_*(), vfuc_flush() or vfuc_uncork(). A callback may submit; it must not call
 * vfuc_process(), vfuc_close() or a synchronous function (the latter fail with -EDEADLK).
 */
#ifndef VFUC_CLIENT_H
#define VFUC_CLIENT_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <linux/vfio.h>		/* flags and indexes: the wire uses VFIO's */

#include "error.h"

struct vfuc;

/* ---- configuration ------------------------------------------------------------------------- */

enum vfuc_level {
	VFUC_NOTE,	/* worth knowing: an unknown capability, something ignored */
	VFUC_WARN,	/* the server broke a rule and the connection goes on */
};

/**
 * struct vfuc_tap - a whole message that was sent or received
 * @sent: by us
 * @twin: on the twin socket
 * @nr_fds: descriptors that came or went with it
 * @iov: the message, header included
 * @n: how many of @iov
 */
struct vfuc_tap {
	bool sent;
	bool twin;
	unsigned int nr_fds;
	const struct iovec *iov;
	int n;
};

/**
 * struct vfuc_fault - what is to become of a message that is about to be sent; 0: nothing
 * @drop: it is not sent, and so never answered
 * @error: errno, positive: the server's answer is replaced by this one
 * @delay_ms: it and all behind it are sent that much later
 */
struct vfuc_fault {
	bool drop;
	int error;
	unsigned int delay_ms;
};

/**
 * struct vfuc_ops - what the engine asks of its user; each may be NULL
 * @dma_read: copy @count bytes at @iova of our memory into @buf, for the server. Already checked:
 *	the range lies in mapped windows that are readable. Return 0 or a negative errno, which the
 *	server gets. NULL: the server gets an error.
 * @dma_write: the other direction, the windows are writeable
 * @note: one line of text about the server's behaviour, no newline; limited to a number per
 *	connection so that a server cannot flood a log
 * @closed: the connection died, @err says why (-ECONNRESET, -ETIMEDOUT, -EPROTO, ...). Called once,
 *	after the callbacks of all outstanding requests, not by vfuc_close().
 * @tap: sees each message of both directions, in the order of each; must not call the engine
 * @inject: fault injection: asked for each command of ours, with the region it accesses or
 *	VFUC_NO_REGION; @fault is zeroed
 */
struct vfuc_ops {
	int (*dma_read)(void *opaque, uint64_t iova, void *buf, size_t count);
	int (*dma_write)(void *opaque, uint64_t iova, const void *buf, size_t count);
	void (*note)(void *opaque, enum vfuc_level level, const char *text);
	void (*closed)(void *opaque, int err);
	void (*tap)(void *opaque, const struct vfuc_tap *tap);
	void (*inject)(void *opaque, unsigned int command, uint32_t region,
		       struct vfuc_fault *fault);
};

#define VFUC_NO_REGION	UINT32_MAX

/* Defaults of struct vfuc_config, where a field is 0. */
#define VFUC_DEFAULT_TIMEOUT_MS		5000
#define VFUC_DEFAULT_MAX_MSG_FDS	16
#define VFUC_DEFAULT_MAX_XFER		(1024 * 1024)
#define VFUC_DEFAULT_PGSIZES		4096
#define VFUC_DEFAULT_MAX_DMA_MAPS	65535
#define VFUC_DEFAULT_MAX_PENDING	1024
#define VFUC_DEFAULT_MAX_QUEUE		(4 * 1024 * 1024)

/**
 * struct vfuc_config - how to open a connection; zero means the default everywhere
 * @address: "PATH" or "unix:PATH", "@NAME" or "unix-abstract:NAME", "fd:N" (an inherited connected
 *	stream socket, which the engine takes over and closes, also when vfuc_open() fails),
 *	"vsock:CID:PORT", "tcp:HOST:PORT" (HOST may be a name, an IPv4 or a [IPv6] address)
 * @timeout_ms: for connecting, for a reply, and for a send queue that does not move
 * @reset_timeout_ms: for the reply to a reset, which may take long (default: 6 times @timeout_ms)
 * @ops: callbacks, or NULL; copied
 * @opaque: passed to @ops
 * @no_fds: pretend that the transport cannot pass descriptors
 * @no_twin_socket: do not propose a second socket for the server's own requests
 * @no_write_multiple: do not propose WRITE_MULTI
 * @max_msg_fds: to propose: descriptors that we take in one message (at most 253)
 * @max_data_xfer_size: to propose: bytes that the server may ask of us in one DMA message
 * @pgsizes: to propose: DMA page sizes, ORed
 * @max_dma_maps: to propose: DMA windows at a time
 * @max_pending: requests without a reply at a time, a power of two up to 32768
 * @max_queue_bytes: bound of the send queue; past it vfuc_submit_*() returns -EAGAIN
 * @keep_ms: ask the server to keep its device's state that long where this connection ends without
 *	a word; 0: not
 * @token: and to go on with the state that it has kept under this name; 0: to begin afresh
 */
struct vfuc_config {
	const char *address;
	unsigned int timeout_ms;
	unsigned int reset_timeout_ms;
	const struct vfuc_ops *ops;
	void *opaque;
	bool no_fds;
	bool no_twin_socket;
	bool no_write_multiple;
	uint32_t max_msg_fds;
	uint64_t max_data_xfer_size;
	uint64_t pgsizes;
	uint32_t max_dma_maps;
	unsigned int max_pending;
	size_t max_queue_bytes;
	unsigned int keep_ms;
	uint64_t token;
};

/**
 * struct vfuc_caps - what was negotiated
 * @major: protocol version
 * @minor: protocol version
 * @can_pass_fds: transport (and @no_fds) allow descriptors in both directions
 * @max_msg_fds: descriptors the server takes in one message
 * @max_data_xfer_size: bytes of one vfuc_submit_read()/write() at most
 * @pgsizes: DMA page sizes both sides support, ORed
 * @max_dma_maps: DMA windows at a time, the smaller of both sides
 * @write_multiple: WRITE_MULTI may be used
 * @twin_socket: the server's requests come on a second socket
 * @migration: the server named the migration capability (which the engine does not use)
 * @migration_pgsize: its dirty page size, 0 if not given
 * @migration_max_bitmap_size: its bitmap size in bytes
 * @server_pid: process that sent the reply, 0 where that is nobody on this host, or nobody who can
 *	be seen from here
 * @token: under which the server keeps its device's state, 0 if it does not. That of the
 *	configuration: it has kept it; any other: the state is that of a device that was reset
 * @unknown: capabilities in the reply that we do not know or did not propose; all were ignored
 * @json: the reply's version data as text, "" if it had none
 */
struct vfuc_caps {
	uint16_t major;
	uint16_t minor;
	bool can_pass_fds;
	uint32_t max_msg_fds;
	uint64_t max_data_xfer_size;
	uint64_t pgsizes;
	uint32_t max_dma_maps;
	bool write_multiple;
	bool twin_socket;
	bool migration;
	uint64_t migration_pgsize;
	uint64_t migration_max_bitmap_size;
	pid_t server_pid;
	uint64_t token;
	unsigned int unknown;
	const char *json;
};

/* Counters since vfuc_open(), for statistics and tests. */
struct vfuc_stats {
	uint64_t messages_sent;
	uint64_t messages_received;
	uint64_t bytes_sent;
	uint64_t bytes_received;
	uint64_t send_calls;		/* sendmsg() calls that moved data */
	uint64_t receive_calls;
	uint64_t reads;			/* REGION_READ submitted */
	uint64_t writes;		/* REGION_WRITE submitted, coalesced ones included */
	uint64_t coalesced;		/* writes that travelled inside a WRITE_MULTI */
	uint64_t dma_reads;		/* the server's DMA_READ answered with data */
	uint64_t dma_writes;
	uint64_t dma_bytes;
	uint64_t dma_refused;		/* outside the windows, too long, not permitted, failed */
	uint64_t error_replies;		/* replies with the Error flag */
	uint64_t timeouts;
	uint64_t late_replies;		/* to requests that had timed out */
	uint64_t unknown_replies;	/* to no request of ours, duplicates included */
	uint64_t posted_replies;	/* to writes that want none; not counted as unknown */
	uint64_t posted_errors;		/* of those, with the Error flag */
	uint64_t unknown_commands;
	uint64_t violations;		/* all rule breaking, the two above included */
	uint64_t surplus_fds;		/* where none belong, closed; dropped unseen count once */
};

/* ---- connection ---------------------------------------------------------------------------- */

/* Connects, negotiates. Returns 0 or -errno; *out is valid only on 0. May block. */
int vfuc_open(struct vfuc **out, const struct vfuc_config *config, struct vfuc_error *error);

/*
 * Runs the callbacks of what is outstanding with -ECANCELED, closes, frees. NULL is fine. Region
 * infos and their descriptors are the caller's and stay.
 */
void vfuc_close(struct vfuc *c);

/**
 * vfuc_caps() - what was negotiated
 * @c: connection
 *
 * Return: the capabilities, valid until vfuc_close().
 */
const struct vfuc_caps *vfuc_caps(const struct vfuc *c);

/**
 * vfuc_stats() - counters of the connection
 * @c: connection
 *
 * Return: the counters, which go on changing; valid until vfuc_close().
 */
const struct vfuc_stats *vfuc_stats(const struct vfuc *c);

/**
 * vfuc_dead() - whether the connection is dead, and of what it died
 * @c: connection
 *
 * Return: 0 while it lives, else the negative errno it died of.
 */
int vfuc_dead(const struct vfuc *c);

/* ---- synchronous: setting up ----------------------------------------------------------------
 *
 * All return 0 or a negative errno and fill *error (may be NULL). While they wait, they serve the
 * server's DMA requests and run the callbacks of asynchronous requests.
 */

/**
 * struct vfuc_info - DEVICE_GET_INFO
 * @flags: VFIO_DEVICE_FLAGS_RESET | VFIO_DEVICE_FLAGS_PCI | ...
 * @num_regions: regions, 9 or more for PCI; never above VFUC_MAX_REGIONS
 * @num_irqs: interrupt types; never above VFUC_MAX_IRQ_TYPES
 */
struct vfuc_info {
	uint32_t flags;
	uint32_t num_regions;
	uint32_t num_irqs;
};

#define VFUC_MAX_REGIONS	256	/* bounds of ours, so that loops over them end */
#define VFUC_MAX_IRQ_TYPES	64
#define VFUC_MAX_AREAS		4096

int vfuc_get_info(struct vfuc *c, struct vfuc_info *info, struct vfuc_error *error);

/* A part of a region that can be mapped: page aligned, in bounds, sorted, not overlapping. */
struct vfuc_area {
	uint64_t offset;	/* in the region; in the file it is at info->offset + offset */
	uint64_t size;
	unsigned int index;	/* the how manieth of the server's */
	int fd;			/* its own, or -1: that of the region */
};

/**
 * struct vfuc_region_info - DEVICE_GET_REGION_INFO
 * @index: which region
 * @flags: VFIO_REGION_INFO_FLAG_*, as the server sent them
 * @size: bytes, 0 if the region does not exist
 * @offset: file offset of the region in @fd
 * @fd: what to mmap() for areas without a descriptor of their own, or -1
 * @sparse: the server gave the sparse mmap capability
 * @nr_areas: how many areas of @areas
 * @areas: what can be mapped: the server's sparse areas, or the whole region
 * @has_type: a device-specific region with @type and @subtype
 * @type: of the type capability
 * @subtype: of the type capability
 * @msix_mappable: the server says that the MSI-X table may be mapped
 * @unknown_caps: capabilities ignored
 */
struct vfuc_region_info {
	uint32_t index;
	uint32_t flags;
	uint64_t size;
	uint64_t offset;
	int fd;
	bool sparse;
	unsigned int nr_areas;
	struct vfuc_area *areas;
	bool has_type;
	uint32_t type;
	uint32_t subtype;
	bool msix_mappable;
	unsigned int unknown_caps;
};

int vfuc_get_region_info(struct vfuc *c, uint32_t index, struct vfuc_region_info **info,
			 struct vfuc_error *error);

/* Closes the fd unless the caller took it (and set it to -1). NULL is fine. */
void vfuc_region_info_free(struct vfuc_region_info *info);

/**
 * struct vfuc_irq_info - DEVICE_GET_IRQ_INFO
 * @index: VFIO_PCI_INTX_IRQ_INDEX, ...
 * @flags: VFIO_IRQ_INFO_*
 * @count: vectors, 0 if the device has none of this type
 */
struct vfuc_irq_info {
	uint32_t index;
	uint32_t flags;
	uint32_t count;
};

int vfuc_get_irq_info(struct vfuc *c, uint32_t index, struct vfuc_irq_info *info,
		      struct vfuc_error *error);

/*
 * Give the server eventfds for vectors start..start+count-1 of an interrupt type, in as many
 * messages as max_msg_fds needs. action: VFIO_IRQ_SET_ACTION_TRIGGER (the interrupt), _UNMASK or
 * _MASK. fds[i] == -1 takes the eventfd of that vector away. The fds stay the caller's.
 * Without fd passing: -EOPNOTSUPP.
 */
int vfuc_set_irq_eventfds(struct vfuc *c, uint32_t index, uint32_t action, uint32_t start,
			  uint32_t count, const int *fds, struct vfuc_error *error);

/* Mask, unmask or trigger vectors by message (DATA_NONE). action as above. */
int vfuc_set_irq_state(struct vfuc *c, uint32_t index, uint32_t action, uint32_t start,
		       uint32_t count, struct vfuc_error *error);

/* Disable all vectors of an interrupt type. */
int vfuc_disable_irqs(struct vfuc *c, uint32_t index, struct vfuc_error *error);

/*
 * Make size bytes at iova accessible to the server. fd >= 0: shared memory, from offset on (fd
 * stays the caller's); -1, or a transport without fds: through DMA_READ/WRITE and the ops only.
 * flags: VFUC_DMA_READ | VFUC_DMA_WRITE, as the server sees it.
 * -EEXIST: overlaps a window (ours or the server's word); -ENOSPC: max_dma_maps reached.
 */
#define VFUC_DMA_READ	1u
#define VFUC_DMA_WRITE	2u
int vfuc_dma_map(struct vfuc *c, uint64_t iova, uint64_t size, uint32_t flags, int fd,
		 uint64_t offset, struct vfuc_error *error);

/* Exactly a window mapped before, else -ENOENT. On 0 the server holds no reference any more. */
int vfuc_dma_unmap(struct vfuc *c, uint64_t iova, uint64_t size, struct vfuc_error *error);

/* Any length; split at max_data_xfer_size. */
int vfuc_region_read(struct vfuc *c, uint32_t region, uint64_t offset, void *buf, size_t count,
		     struct vfuc_error *error);
int vfuc_region_write(struct vfuc *c, uint32_t region, uint64_t offset, const void *buf,
		      size_t count, struct vfuc_error *error);

int vfuc_reset(struct vfuc *c, struct vfuc_error *error);

enum vfuc_io_fd_type {
	VFUC_IO_FD_IOEVENTFD = 0,
	VFUC_IO_FD_IOREGIONFD = 1,
	VFUC_IO_FD_SHADOW = 2,		/* libvfio-user's shadow ioeventfd */
};

#define VFUC_IO_FD_DATAMATCH	1u	/* KVM_IOEVENTFD_FLAG_DATAMATCH */

/**
 * struct vfuc_io_fd - one sub-region of DEVICE_GET_REGION_IO_FDS
 * @type: notification mechanism; entries of unknown type are left out
 * @offset: in the region, checked against its size
 * @size: bytes; 0: any access size
 * @flags: KVM_IOEVENTFD_FLAG_* or KVM_IOREGION_*
 * @fd: the descriptor; several entries may share one
 * @shadow_fd: memory that the written value goes to before @fd is signalled; -1 unless
 *	VFUC_IO_FD_SHADOW
 * @shadow_offset: offset of the value in @shadow_fd
 * @value: datamatch or user_data
 */
struct vfuc_io_fd {
	enum vfuc_io_fd_type type;
	uint64_t offset;
	uint64_t size;
	uint32_t flags;
	int fd;
	int shadow_fd;
	uint64_t shadow_offset;
	uint64_t value;
};

/* The descriptors belong to fds[], which the entries point into by value. */
struct vfuc_region_io_fds {
	unsigned int count;
	struct vfuc_io_fd *entries;
	unsigned int nr_fds;
	int *fds;
};

/*
 * region_size: as vfuc_get_region_info() gave it, entries are checked against it. A server that
 * knows none of it gives count 0 or an error reply (-errno, VFUC_SERVER_ERROR).
 */
int vfuc_get_region_io_fds(struct vfuc *c, uint32_t index, uint64_t region_size,
			   struct vfuc_region_io_fds **out, struct vfuc_error *error);
void vfuc_region_io_fds_free(struct vfuc_region_io_fds *fds);

/* ---- asynchronous: running ------------------------------------------------------------------ */

/**
 * typedef vfuc_done_fn - a request is over
 * @opaque: as submitted
 * @cookie: as submitted
 * @error: 0; the server's errno, negative (-EIO if it named none); -ETIMEDOUT; -EPROTO for a reply
 *	of the wrong kind or size; the errno the connection died of; -ECANCELED by vfuc_close()
 * @data: for a read the bytes, valid only during the call; else NULL
 * @len: bytes of @data: exactly what was asked for
 *
 * Runs exactly once for each submitted request that has one and was accepted (submit returned 0).
 * A timed-out request does not end the connection; the caller decides (a late reply is dropped).
 */
typedef void (*vfuc_done_fn)(void *opaque, uint64_t cookie, int error, const void *data,
			     size_t len);

/*
 * All vfuc_submit_*(): 0, or -EAGAIN (send queue or pending table full: wait for POLLOUT/replies),
 * -EINVAL (count 0 or above max_data_xfer_size), -ENOMEM, or the errno of the dead connection.
 * Sent in the order of submission, at once where the socket takes it and nothing is corked. After
 * -EAGAIN a smaller one may still fit: who wants order submits nothing else until it was accepted.
 * A connection that turns out to be dead meanwhile is reported by the next vfuc_process().
 */
int vfuc_submit_read(struct vfuc *c, uint32_t region, uint64_t offset, uint32_t count,
		     vfuc_done_fn done, void *opaque, uint64_t cookie);

/*
 * posted: No_reply is set and done is never called (pass NULL); data is copied. Posted writes of up
 * to 8 bytes which have to queue are coalesced into WRITE_MULTI where negotiated.
 */
int vfuc_submit_write(struct vfuc *c, uint32_t region, uint64_t offset, const void *data,
		      uint32_t count, bool posted, vfuc_done_fn done, void *opaque,
		      uint64_t cookie);

int vfuc_submit_reset(struct vfuc *c, vfuc_done_fn done, void *opaque, uint64_t cookie);

/*
 * The asynchronous vfuc_set_irq_*(). flags: one VFIO_IRQ_SET_DATA_NONE or _EVENTFD, one
 * VFIO_IRQ_SET_ACTION_*. fds (for _EVENTFD) must stay open until done runs; the array is copied.
 * Batches go one after the other, done runs once with the first error.
 */
int vfuc_submit_set_irqs(struct vfuc *c, uint32_t index, uint32_t flags, uint32_t start,
			 uint32_t count, const int *fds, vfuc_done_fn done, void *opaque,
			 uint64_t cookie);

/**
 * vfuc_cork() - only queue what is submitted, until vfuc_uncork() or vfuc_process()
 * @c: connection
 *
 * Corks do not nest.
 */
void vfuc_cork(struct vfuc *c);

/**
 * vfuc_uncork() - send what was queued since vfuc_cork(), in as few system calls as possible
 * @c: connection
 *
 * Context: does not block; callbacks do not run here.
 * Return: as vfuc_flush().
 */
int vfuc_uncork(struct vfuc *c);

#define VFUC_POLL_FDS	2

/**
 * vfuc_poll_fds() - what to poll() for
 * @c: connection
 * @fds: filled in with the sockets and the events to wait for
 * @max: how many fit, VFUC_POLL_FDS for all
 *
 * Return: how many were filled in; 0 when the connection is dead.
 */
int vfuc_poll_fds(const struct vfuc *c, struct pollfd *fds, int max);

/**
 * vfuc_process() - receive what is there, serve the server's requests, run callbacks, expire
 *	timeouts, send what is queued
 * @c: connection
 *
 * Does a bounded amount of work a call: see vfuc_next_deadline_ms().
 *
 * Context: never blocks; not from within a callback.
 * Return: 0, or the negative errno of a dead connection, all callbacks of which have then run.
 */
int vfuc_process(struct vfuc *c);

/**
 * vfuc_flush() - send what is queued, as far as the socket takes it
 * @c: connection
 *
 * Context: never blocks; callbacks do not run here.
 * Return: 0, or the negative errno of a dead connection.
 */
int vfuc_flush(struct vfuc *c);

/**
 * vfuc_next_deadline_ms() - how long to poll() at most before vfuc_process() must run
 * @c: connection
 *
 * Return: milliseconds; 0 if there is work already, -1 for no limit.
 */
int vfuc_next_deadline_ms(const struct vfuc *c);

/**
 * vfuc_busy() - whether there is work already, for a caller that spins
 * @c: connection
 *
 * Return: true if received bytes or queued messages are waiting.
 */
bool vfuc_busy(const struct vfuc *c);

/**
 * vfuc_set_timeout() - change how long the server may take, for requests from now on
 * @c: connection
 * @timeout_ms: as in struct vfuc_config, not 0; a reset has six times as long
 */
void vfuc_set_timeout(struct vfuc *c, unsigned int timeout_ms);

/**
 * vfuc_submit_who() - find out which process is the server by now
 * @c: connection
 * @done: called once, with 0 where caps.server_pid is who has answered, -ESRCH where nobody is
 *	named
 * @opaque: for @done
 *
 * Implements VFIO_USER_DEVICE_GET_INFO, of whose answer only the sender is of interest.
 *
 * Context: never sleeps; @done does not run here.
 * Return: as vfuc_submit_read().
 */
int vfuc_submit_who(struct vfuc *c, vfuc_done_fn done, void *opaque);

/**
 * vfuc_pending() - count requests without a reply so far
 * @c: connection
 *
 * Return: how many.
 */
unsigned int vfuc_pending(const struct vfuc *c);

#endif
