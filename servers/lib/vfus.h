/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * vfus: a small vfio-user server library. A server uses what this file, pcicfg.h (configuration
 * space) and vfus_proto.h (the protocol's structures) declare, and is linked with libvfus.a as
 * ../server.mk does; vfus_priv.h is the library's own.
 *
 * A device model fills a struct vfus_device (regions,
 * interrupts, callbacks) and calls vfus_run(), which owns the socket, the protocol and the
 * event loop until SIGTERM.
 *
 * Everything is single-threaded: callbacks run inside vfus_run() and must not block for long,
 * except in vfus_dma_read()/vfus_dma_write(), which may wait for the client's answer. What takes a
 * device longer (a reset, giving memory back) it puts off, see vfus_resume().
 */
#ifndef VFUS_H
#define VFUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "vfus_proto.h"

#define VFUS_MAX_REGIONS	16
#define VFUS_MAX_IRQ_TYPES	8
#define VFUS_MAX_VECTORS	2048
#define VFUS_MAX_FDS		253	/* one SCM_RIGHTS message's most (SCM_MAX_FD) */

struct vfus;

/* One page-aligned part of a region that the client may map. */
struct vfus_area {
	uint64_t offset;
	uint64_t size;
};

/* One sub-region whose writes the client may turn into an eventfd signal; see GET_REGION_IO_FDS. */
struct vfus_io_fd {
	uint64_t offset;
	uint64_t size;
	enum vfio_user_io_fd_type type;
	int fd;
	uint32_t flags;
	uint64_t datamatch;
	int shadow_fd;			/* type SHADOW only */
	uint64_t shadow_offset;
};

struct vfus_region {
	uint64_t size;			/* 0: the region does not exist */
	uint32_t flags;			/* VFIO_REGION_INFO_FLAG_READ, _WRITE; no others */
	int fd;				/* mappable memory, with nr_areas or map_all */
	uint64_t fd_offset;
	bool map_all;			/* the whole region can be mapped */
	const struct vfus_area *areas;	/* or only these parts */
	unsigned int nr_areas;
	const struct vfus_io_fd *io_fds;
	unsigned int nr_io_fds;
};

struct vfus_irq_type {
	unsigned int count;
	uint32_t flags;			/* VFIO_IRQ_INFO_*; AUTOMASKED: level-triggered */
};

/* vfus_ops.poll(): another thread runs the event loop now; no errno */
#define VFUS_TURN_LOST	(-4096)

/*
 * The device's callbacks; any of them may be NULL. Offsets and counts passed to
 * region_read/region_write have been checked against the region's size. Each returns 0 or a
 * negative errno, which becomes the reply's error.
 */
struct vfus_ops {
	int (*region_read)(void *priv, unsigned int region, void *buf, size_t count,
			   uint64_t offset);
	int (*region_write)(void *priv, unsigned int region, const void *buf, size_t count,
			    uint64_t offset);
	int (*reset)(void *priv);
	/*
	 * The client shares memory, for a device that hands it on: @fd is -1 where it is reached by
	 * messages only, and the library's in any case; @va is where it is mapped here, or NULL. An
	 * error refuses the window.
	 */
	int (*dma_map)(void *priv, uint64_t addr, uint64_t size, uint32_t flags, int fd,
		       uint64_t offset, void *va);
	/*
	 * A DMA window is about to go: finish or drop every access to it before returning 0, or
	 * return -EINPROGRESS, see vfus_resume(), as reset() may.
	 */
	int (*dma_unmap)(void *priv, uint64_t addr, uint64_t size);
	/* Eventfds of vectors were replaced or taken away; the old ones are closed. */
	void (*irqs_changed)(void *priv, unsigned int index, unsigned int start,
			     unsigned int count);
	/* A level interrupt is about to be re-evaluated: bring vfus_irq_level() up to date. */
	void (*irq_sync)(void *priv);
	/* A client finished version negotiation, or is gone. */
	void (*connected)(void *priv, bool connected);
	/*
	 * The client has gone without a word, and said before that another one may go on where it
	 * was: can the device, until then? Without a client its interrupts are pending, and its
	 * memory stays mapped. connected() says that it is gone when that is over. NULL: it cannot.
	 */
	bool (*keep)(void *priv);
	/*
	 * The device's own work, called before each sleep while a client is connected. Returns how
	 * long the loop may sleep: microseconds, 0 to be called again at once, or a negative number
	 * for "until something happens"; VFUS_TURN_LOST where vfus_hold_end() returned false.
	 */
	long (*poll)(void *priv);
	/* SIGHUP: look again at what may have been changed. Without it, the signal's default. */
	void (*reload)(void *priv);
	/* The device's file descriptor (vfus_device.fd) is readable. */
	void (*fd_ready)(void *priv);
	/*
	 * May another client be let in? NULL: always. Until then the memory of the one before stays
	 * mapped.
	 */
	bool (*accepting)(void *priv);
	/*
	 * The loop sleeps until something happens, and for a moment nothing has. The server and its
	 * device stay as they are until touched() is called, if it is, after awake(). asleep()
	 * returns false in a process that goes on with a copy of both.
	 */
	bool (*asleep)(void *priv);
	void (*awake)(void *priv);
	void (*touched)(void *priv);
};

struct vfus_device {
	const struct vfus_ops *ops;
	void *priv;
	struct vfus_region regions[VFUS_MAX_REGIONS];
	unsigned int nr_regions;
	struct vfus_irq_type irqs[VFUS_MAX_IRQ_TYPES];
	unsigned int nr_irqs;
	uint32_t own_masks;		/* types, by bit, whose vectors start masked */
	int fd;				/* polled for the device, or -1 */
	bool always;			/* poll() and fd_ready() are called without a client, too */
};

/* What a hook wants to happen next. */
enum vfus_verdict {
	VFUS_PASS,			/* go on as usual */
	VFUS_CLOSE,			/* drop the connection */
	VFUS_HANG,			/* never answer this client again */
};

/* Bytes of a reply on its way out; a hook may change any of it, len up to cap. */
struct vfus_reply {
	struct vfio_user_hdr hdr;
	uint8_t *payload;
	size_t len;
	size_t cap;
	uint16_t request_cmd;
	const uint8_t *request;		/* the request's payload */
	size_t request_len;
};

/* Test hooks: see what comes in, change what goes out. The NULL ones are skipped. */
struct vfus_hooks {
	void *priv;
	enum vfus_verdict (*on_connect)(void *priv);
	enum vfus_verdict (*on_message)(void *priv, const struct vfio_user_hdr *hdr);
	enum vfus_verdict (*on_reply)(void *priv, struct vfus_reply *reply);
	bool one_irq_table;		/* eventfds for ERR and REQ replace those of MSI-X */
	bool answer_posted;		/* replies also where none is wanted */
	int version_fd;			/* goes with the reply to VERSION, for nothing; 0: none */
};

struct vfus_config {
	const char *socket_path;	/* one of these two; the other NULL or -1 */
	int fd;
	uint32_t max_msg_fds;		/* what the server accepts in one message */
	uint32_t max_xfer;		/* bytes a REGION_READ/WRITE may carry */
	uint32_t max_dma_maps;
	uint32_t pgsizes;
	bool twin_socket;		/* offer it where the client proposes it */
	bool write_multiple;
	bool no_dma_fds;		/* do not map client memory, reach it by messages */
	unsigned long poll_us;		/* after a message, look that long for the next */
	bool reorder;			/* answer a read after the one behind it, if any */
	bool chatter;			/* say what nobody asked for with each reply */
	unsigned int dma_timeout_ms;	/* how long a DMA_READ/WRITE may stay unanswered */
	bool stand_in;			/* the device says where it may be held: vfus_hold_begin() */
	int verbose;
	const struct vfus_hooks *hooks;
};

void vfus_config_init(struct vfus_config *cfg);
int vfus_config_parse_fd(struct vfus_config *cfg, const char *arg);

/* descriptors that come in: vfus_msg.c */
void vfus_each_fd(struct msghdr *mh, void (*take)(void *ctx, int fd), void *ctx);

struct vfus *vfus_create(const struct vfus_config *cfg, const struct vfus_device *dev);
int vfus_run(struct vfus *s);
void vfus_destroy(struct vfus *s);
bool vfus_usable(const struct vfus *s);
void vfus_resume(struct vfus *s);
bool vfus_waits(const struct vfus *s);
void vfus_disconnect(struct vfus *s, const char *why);
uint64_t vfus_now_us(void);

/* In a loop that looks for something: lets another thread of the core work, where there is a way. */
static inline void vfus_pause(void)
{
#if __has_builtin(__builtin_ia32_pause)
	__builtin_ia32_pause();
#endif
}

unsigned int vfus_hold_begin(struct vfus *s);
bool vfus_hold_end(struct vfus *s, unsigned int hold);

/* interrupts: vfus_irq.c */
bool vfus_irq_armed(const struct vfus *s, unsigned int index);
bool vfus_irq_pending(const struct vfus *s, unsigned int index, unsigned int sub);
void vfus_irq_trigger(struct vfus *s, unsigned int index, unsigned int sub);
void vfus_irq_level(struct vfus *s, unsigned int index, bool level);
int vfus_irq_fd(const struct vfus *s, unsigned int index, unsigned int sub);

/* client memory: vfus_dma.c */
int vfus_dma_iov(struct vfus *s, uint64_t addr, size_t len, bool write, struct iovec *iov, int max);
int vfus_dma_guard(void *map, size_t len);
void vfus_dma_unguard(void *map);
int vfus_dma_read(struct vfus *s, void *buf, uint64_t addr, size_t len);
int vfus_dma_write(struct vfus *s, uint64_t addr, const void *buf, size_t len);

#endif
