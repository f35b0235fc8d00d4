/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files of the vfus library share among themselves. Not for device models.
 *
 * There is one thread at a time (vfus_turn.c), so nothing here is locked. A connection's state
 * lives from accept() to vfus_disconnect(); interrupt levels, masks of message-signalled interrupts
 * and everything in the device model outlive it, as the specification's "Client Disconnection"
 * asks.
 */
#ifndef VFUS_PRIV_H
#define VFUS_PRIV_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "vfus.h"

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#define MIN_T(t, a, b)	((t)(a) < (t)(b) ? (t)(a) : (t)(b))

/* How long the peer may refuse to take our bytes before it is given up. */
#define VFUS_SEND_TIMEOUT_MS	10000
/*
 * How long a device may put a command off: less than clients wait for its reply, which is longer
 * for a reset. A command that waits behind it has a client that waits, too.
 */
#define VFUS_PUT_OFF_MS		4000
#define VFUS_PUT_OFF_RESET_MS	25000
/* Commands that may pile up while a DMA_READ/WRITE of ours is unanswered. */
#define VFUS_MAX_QUEUED		4096
#define VFUS_REPLY_FDS		VFUS_MAX_FDS	/* descriptors in one reply, at most */
#define VFUS_HOLD_US		2000	/* how long a reply waits for one that could overtake it */

/* One received message; freed as a whole by vfus_msg_free(). */
struct vfus_msg {
	struct vfus_msg *next;
	struct vfio_user_hdr hdr;
	unsigned int nfds;
	int *fds;		/* -1 once somebody took it */
	bool lost_fds;		/* there were more of them than this process could take */
	bool put_off;		/* the device has seen it before */
	size_t len;
	uint8_t *payload;	/* 16-byte aligned */
};

/* Commands that were received and not handled yet. */
struct vfus_queue {
	struct vfus_msg *first;
	struct vfus_msg **last;
	unsigned int nr;
};

/* One stream socket and what has been read from it but not yet made into messages. */
struct vfus_chan {
	int fd;
	bool dead;		/* broken or closed: no more I/O, vfus_run() tears it down */
	uint8_t *buf;
	size_t cap;
	size_t head;		/* first unparsed byte */
	size_t tail;		/* end of the received bytes */
	uint64_t pos;		/* stream position of buf[tail] */
	unsigned int nfds;
	int fds[VFUS_MAX_FDS];
	uint64_t fd_pos[VFUS_MAX_FDS];	/* stream position at which fds[i] was received */
	uint64_t lost_pos;	/* the same, of descriptors lost on the way; 0: none */
};

/* One DMA window. */
struct vfus_win {
	uint64_t addr;
	uint64_t size;
	uint32_t flags;		/* VFIO_USER_DMA_* */
	uint8_t *va;		/* where addr is mapped; NULL: only by messages */
	void *map;		/* what mmap() returned; may begin below va (huge pages) */
	size_t map_len;
	bool kept;		/* of a client before, which may map it again */
	dev_t dev;		/* the file, and where in it */
	ino_t ino;
	uint64_t offset;
};

struct vfus_vector {
	int trigger;		/* eventfd or -1 */
	bool masked;
	bool pending;
};

struct vfus_irq {
	struct vfus_vector *vec;
	unsigned int armed;	/* vectors with an eventfd */
	bool level;		/* AUTOMASKED types: state of the line */
	int unmask;		/* AUTOMASKED types: eventfd the client unmasks with, or -1 */
};

/* Which of two threads runs the loop. */
struct vfus_turn {
	atomic_uint seq;	/* odd: the one that does may be held, since it became that */
	atomic_bool asleep;	/* the stand-in waits to be woken when that changes */
	pthread_mutex_t lock;	/* of all below */
	pthread_cond_t wake;
	bool ended;
	int ret;
	int (*loop)(struct vfus *s);
};

struct vfus {
	struct vfus_config cfg;
	struct vfus_device dev;
	struct vfus_turn turn;
	int sigfd;
	int listen_fd;
	bool bound;		/* we made the socket file, and remove it */
	dev_t sock_dev;
	ino_t sock_ino;
	bool stop;

	/* the connection */
	bool connected;
	bool last;		/* --fd gave a connected socket: its end is ours */
	bool negotiated;
	bool hung;
	unsigned int looked;
	bool touched;		/* something may have changed since asleep(), and that was said */
	struct vfus_chan chan;
	struct vfus_chan twin;	/* server to client requests, where negotiated; else fd -1 */
	struct vfus_queue queue;	/* came while the device waited for an answer */
	struct vfus_queue waiting;	/* one that was put off, and what came behind it */
	bool putting_off;	/* the first of those waits for vfus_resume() */
	bool put_off_failed;	/* it has waited long enough */
	uint64_t put_off_until;	/* 0: nothing has been put off */
	uint16_t next_id;
	uint32_t client_max_fds;
	uint64_t client_max_xfer;
	uint64_t pgsize;	/* granularity of DMA windows */
	bool write_multiple;

	/* what goes on without a client: keep() */
	unsigned int keep_ms;	/* how long, as the client wants it; 0: not at all */
	uint64_t token;		/* its name */
	bool kept;		/* there is no client, or not yet, who goes on with it */
	bool given_up;		/* by us, and not by the client */
	bool forgetting;	/* the client waits until it is no more */
	uint64_t kept_until;

	struct vfus_win *wins;	/* sorted by address, never overlapping */
	size_t nr_wins;
	size_t cap_wins;

	struct vfus_irq irqs[VFUS_MAX_IRQ_TYPES];

	/* a reply that waits for a later one to overtake it */
	uint8_t *held;
	size_t held_len;	/* 0: there is none */
	uint64_t held_at;

	/* what the connection has seen, for the log */
	uint64_t multi_messages;
	uint64_t multi_writes;
	uint64_t overtaken;

	/* the reply being built */
	uint8_t *out;
	size_t out_cap;
	size_t out_len;
	int out_fds[VFUS_REPLY_FDS];
	unsigned int out_nfds;
	int out_close;		/* descriptor to close once the reply is out, or -1 */
};

void vfus_log(const struct vfus *s, int level, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* vfus_msg.c */
int vfus_chan_init(struct vfus_chan *c, int fd, size_t cap);
void vfus_chan_close(struct vfus_chan *c);
int vfus_chan_fill(struct vfus *s, struct vfus_chan *c);
struct vfus_msg *vfus_chan_next(struct vfus *s, struct vfus_chan *c);
bool vfus_chan_ready(const struct vfus_chan *c);
int vfus_chan_send(struct vfus *s, struct vfus_chan *c, const struct iovec *iov, int n,
		   const int *fds, unsigned int nfds);
void vfus_msg_free(struct vfus_msg *m);
int vfus_msg_take_fd(struct vfus_msg *m, unsigned int i);
void vfus_queue_init(struct vfus_queue *q);
bool vfus_queue_put(struct vfus *s, struct vfus_queue *q, struct vfus_msg *m);
struct vfus_msg *vfus_queue_take(struct vfus_queue *q);
void vfus_queue_free(struct vfus_queue *q);
int vfus_wait(struct vfus *s, int fd, short events, uint64_t deadline_us);
int vfus_call(struct vfus *s, uint16_t cmd, const struct iovec *req, int n, void *reply,
	      size_t min_len, size_t len);

/* vfus_version.c */
int vfus_handle_version(struct vfus *s, struct vfus_msg *m);

/* vfus_cmd.c */
void vfus_dispatch(struct vfus *s, struct vfus_msg *m);
bool vfus_only_asks(const struct vfus_msg *m);
void vfus_send_held(struct vfus *s);

/* vfus.c */
bool vfus_accepting(const struct vfus *s);
void vfus_forget(struct vfus *s);
bool vfus_take_signal(struct vfus *s);
void vfus_put_off(struct vfus *s, struct vfus_msg *m);

/* vfus_turn.c */
int vfus_turn_run(struct vfus *s, int (*loop)(struct vfus *s));

/* vfus_irq.c */
int vfus_irq_init(struct vfus *s);
void vfus_irq_free(struct vfus *s);
void vfus_irq_release(struct vfus *s);
void vfus_irq_reset(struct vfus *s);
void vfus_irq_unmask_event(struct vfus *s, unsigned int index);
int vfus_handle_set_irqs(struct vfus *s, struct vfus_msg *m);

/* vfus_dma.c */
int vfus_dma_init(struct vfus *s);
void vfus_dma_release(struct vfus *s);
int vfus_handle_dma_map(struct vfus *s, struct vfus_msg *m);
int vfus_handle_dma_unmap(struct vfus *s, struct vfus_msg *m);

#endif
