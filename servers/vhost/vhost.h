/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * vfiouser-vhost: the device of a vhost-user back end as a vfio-user device. What its files share.
 *
 *	main.c		command line, life of the process
 *	events.c	who is told of what happens; the log
 *	types.c		what device types there are, and what a device of each looks like
 *	pci.c		what the driver and the vfio-user client do, as events for the files below
 *	link.c		the connection: connecting, greeting, comparing, losing it
 *	backreq.c	what the back end asks of us
 *	mem.c		the client's memory, as the back end and we see it
 *	ring.c		starting, stopping and draining the rings; doorbells and interrupts
 *	inflight.c	memory in which a back end keeps what it is working on
 *	recover.c	which rings can go on with a back end that was started again
 *	undertaker.c	ends the requests of a back end that does not come back
 *	handover.c	the planned restart of a back end, with what it knows
 *	standby.c	the process that goes on when this one is killed
 *	netctl.c	the control queue of a network device
 *	config.c	the device's configuration, which the back end may own
 *	wire.c		messages
 *
 * No data passes through this process: doorbells are eventfds of ours that the client signals and
 * the back end reads, interrupts are eventfds of the client's that the back end signals, and the
 * memory is the client's. There is one thread, nothing is locked and nothing waits: what the
 * driver reads is answered out of what is known, and what the back end has to do is queued.
 *
 * The connection to the back end is one for the life of this process, whatever clients come and
 * go: back ends end with it. It is given up only where it is of no more use.
 */
#ifndef VHOST_H
#define VHOST_H

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "vfus.h"
#include "virtio.h"
#include "wire.h"

#define PROG	"vfiouser-vhost"

enum vhost_link {
	LINK_DOWN,			/* not connected */
	LINK_GREETING,			/* connected, not known yet */
	LINK_UP,			/* the back end has answered what it is asked at first */
};

enum vhost_rings {
	RINGS_IDLE,			/* the back end does not touch rings or memory */
	RINGS_STARTING,
	RINGS_RUNNING,
	RINGS_STOPPING,			/* being asked how far it came */
	RINGS_DRAINING,			/* until it has finished what it began */
	RINGS_ENDING,			/* being told that the device was reset */
	RINGS_LOST,			/* the connection went while they were not idle */
	RINGS_BURIED,			/* the undertaker has them */
};

/* Which memory an address stands for. */
struct vhost_home {
	uint64_t dev;
	uint64_t ino;
	uint64_t offset;
};

#define RING_PARTS	3		/* descriptors, available, used */

/* A queue of the back end's. */
struct vhost_ring {
	struct vhost_home home[RING_PARTS];	/* where it was when it was started */
	bool started;
	bool on;			/* what the back end was told last */
	uint16_t base;			/* where the available ring is taken up */
	bool exposed;			/* the back end may have taken requests from it */
	uint16_t lost_avail;		/* the driver's index when the connection was lost */
	int call;			/* ours, where the client has no eventfd for the vector */
	int call_sent;			/* the descriptor that the back end signals; -1: none */
	int err;			/* the back end signals it when it finds the ring broken */
};

/* A window of the client's memory. */
struct vhost_window {
	uint64_t addr;
	uint64_t size;
	uint64_t offset;		/* in fd */
	int fd;
	uint8_t *va;
};

struct vhost_inflight {
	int fd;				/* -1: there is none */
	uint64_t size;
	uint64_t offset;
	uint16_t queues;
	uint16_t queue_size;
	uint8_t *va;
};

enum vhost_handover_step {
	HANDOVER_NONE,
	HANDOVER_STOP,			/* until the rings are idle */
	HANDOVER_SAVE,			/* the back end's state comes through the pipe */
	HANDOVER_SAVED,			/* until there is another back end */
	HANDOVER_LOAD,			/* which gets the state through the pipe */
};

struct vhost_handover {
	enum vhost_handover_step step;
	int pipe;			/* our end, or -1 */
	uint8_t *buf;			/* the state */
	size_t len;
	size_t done;			/* bytes that the next back end was sent */
	uint64_t since;			/* wire_now_us() when the step began */
	unsigned int turn;		/* counts transfers: whose an answer is */
};

struct vhost_standby {
	int copy;			/* a pidfd, or -1 */
	unsigned int turn;		/* the number of the last one made, from 1 */
	unsigned int *valid;		/* shared with it: who may go on, 0: nobody; NULL: never */
	bool said;			/* that none can be made */
	uint64_t again_at;		/* wire_now_us(): not before; 0: whenever there is time */
	cpu_set_t cpus;			/* where this process may run */
};

struct vhost_options {
	const char *type;
	const char *socket;
	bool listen;			/* the back end connects to us */
	const char *tag;
	unsigned int queues;		/* 0: as many as the back end has */
	unsigned int queue_size;
	unsigned int config_size;	/* of a type that is given by number */
	unsigned int mtu;
	uint8_t mac[6];
	bool has_mac;
	bool force;
	bool in_order;
	bool out_of_order;
	bool no_indirect;
	bool until_gone;		/* end with the back end, where there is no client */
	bool no_standby;		/* whoever is killed takes the device along */
	bool no_drain;			/* tests only: what happens without */
	unsigned int timeout_ms;
	unsigned int stop_timeout_ms;
	unsigned int deadline_ms;	/* 0: a back end may stay away for ever */
	struct vfus_config vfus;
};

struct vhost;

/* A device type. */
struct vhost_type {
	const char *name;
	uint16_t id;			/* virtio's number */
	uint32_t class_code;
	/* lengths of its configuration, the longest first; 0 ends them */
	unsigned int config[5];
	unsigned int queues;		/* at least; all, where the back end does not say */
	unsigned int others;		/* of these, those that are not counted as request queues */
	bool own_config;		/* we know it where the back end does not say */
	/* Is what came again smaller than what the driver knows? */
	bool (*smaller)(const struct vhost *h);
	/* Does the back end use up requests in the order of the available ring? */
	bool in_order;
	/* Is a back end that is started again without what its driver told it before? */
	bool stateful;
	const char *refused;		/* why the type is not for a host, or NULL */
	const char *dangerous;		/* why it is only with --force, or NULL */
	/* bytes of the configuration that a driver may write */
	unsigned int writable, writable_len;
	/* Say how many queues, which features, what configuration. Returns 0 or an error. */
	int (*build)(struct vhost *h);
	/* What of the back end's configuration is different for the driver. */
	void (*patch)(const struct vhost *h, uint8_t *config);
	/* Are a queue's buffers the driver's to be filled, and no requests? */
	bool (*keeps)(const struct vhost *h, unsigned int q);
	/* End a request with an error: fill in the device-writable part. Returns bytes written. */
	uint32_t (*bury)(struct vhost *h, unsigned int q, const struct virtq_chain *chain);
};

struct vhost {
	struct virtio v;		/* first: it is the callbacks' argument */
	struct vhost_options opt;
	struct vhost_type type;
	struct vfus_device dev;
	int epfd;
	bool built;			/* the PCI function exists */

	/* the back end: link.c */
	struct wire wire;
	enum vhost_link link;
	bool link_writes;		/* polled for room, too */
	int listen_fd;
	bool listening;			/* polled for a connection */
	int peer;			/* its process: pidfd, or -1 */
	pid_t peer_pid;
	bool peer_dead;
	int lost_peer;			/* the one that was lost with the rings, until it is dead */
	pid_t lost_pid;
	uint64_t retry_at;
	unsigned int retry_us;
	uint64_t lost_at;
	uint64_t features;		/* that the back end offers */
	uint64_t needed;		/* of these, what the driver was shown */
	uint64_t ours;			/* features that are not the back end's */
	uint64_t protocol;		/* protocol features in use */
	unsigned int backend_queues;	/* GET_QUEUE_NUM */
	unsigned int config_try;	/* index into type.config */
	uint8_t config[VU_MAX_CONFIG];	/* as the back end has it */
	unsigned int config_len;
	unsigned int connections;	/* for the log and tests */
	char said[192];			/* the last complaint */

	/* its own requests: backreq.c */
	int backreq;			/* our end, or -1 */
	struct wire_input backreq_in;

	/* the client's memory: mem.c */
	struct vhost_window wins[VU_MAX_REGIONS];
	unsigned int nr_wins;
	bool mem_changed;		/* since the back end was told */

	/* rings: ring.c */
	enum vhost_rings rings;
	struct vhost_ring *ring;	/* v.nr_queues */
	unsigned int nr_rings;		/* of the back end's; one more is ours with netctl */
	unsigned int answers_due;
	uint64_t stop_deadline;
	bool keep;			/* the rings are stopped for a while, not for a reset */
	bool client;
	bool leaving;			/* the client has gone, its memory is still in use */
	bool unmapping;			/* the client waits for its memory */
	bool quiet;			/* the lost back end cannot touch the memory any more */
	unsigned int failures;		/* to start, in a row */
	struct vhost_inflight inflight;
	uint64_t stuck_since;
	bool stuck;			/* nobody knows what of the lost rings is done */
	bool buried;			/* until a reset, whether or not a back end comes */
	const char *condemned;		/* why the undertaker is to have the rings when idle */
	bool resumed;			/* the rings are not started for the first time */

	struct vhost_handover handover;
	struct vhost_standby standby;

	/* network: netctl.c */
	bool ctl;
	unsigned int pairs;		/* that the driver uses */
};

/* where an event comes from: the upper half of epoll's number; the lower one is the queue */
enum vhost_source {
	SRC_LINK, SRC_LISTEN, SRC_BACKREQ, SRC_PEER, SRC_CALL, SRC_ERR, SRC_KICK,
	SRC_STATE, SRC_STANDBY,
};

/* events.c */
void vhost_log(const struct vhost *h, int level, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
int vhost_watch(struct vhost *h, int fd, uint32_t events, enum vhost_source src, unsigned int q);
void vhost_unwatch(struct vhost *h, int fd);
long vhost_earlier(long a, long b);
bool vhost_has(const struct vhost *h, enum vu_protocol_feature bit);
void vhost_run_events(struct vhost *h, int timeout_ms);

/* types.c */
int type_find(struct vhost *h, const char *name);
void type_list(char *buf, size_t len);
int type_build(struct vhost *h);

/* pci.c */
extern const struct virtio_ops vhost_virtio_ops;
extern const struct vfus_ops vhost_vfus_ops;

/* link.c */
void link_init(struct vhost *h);
void link_free(struct vhost *h);
int link_listen(struct vhost *h);
void link_adopt(struct vhost *h, int fd);
void link_event(struct vhost *h, enum vhost_source src, unsigned int which);
void link_keep_peer(struct vhost *h);
long link_poll(struct vhost *h);
void link_lost(struct vhost *h, const char *why);
void link_watch(struct vhost *h);

/* config.c */
void config_fetch(struct vhost *h, wire_done done);
int config_take(struct vhost *h, const struct wire_reply *reply, unsigned int len);
void config_changed(struct vhost *h);
void config_show(struct vhost *h);
void config_write(struct virtio *v, unsigned int offset, const void *buf, unsigned int len);

/* backreq.c */
int backreq_open(struct vhost *h);
void backreq_close(struct vhost *h);
void backreq_event(struct vhost *h);

/* mem.c */
int mem_map(struct vhost *h, uint64_t addr, uint64_t size, uint32_t flags, int fd,
	    uint64_t offset);
void mem_unmap(struct vhost *h, uint64_t addr, uint64_t size);
void mem_clear(struct vhost *h);
bool mem_home(const struct vhost *h, uint64_t addr, struct vhost_home *home);
void *mem_at(const struct vhost *h, uint64_t addr, uint64_t len);
void mem_send(struct vhost *h);

/* ring.c */
int ring_init(struct vhost *h);
void ring_free(struct vhost *h);
void ring_reset(struct vhost *h);
bool ring_stop(struct vhost *h);
long ring_poll(struct vhost *h);
void ring_lost(struct vhost *h);
void ring_calls(struct vhost *h);
void ring_forget_calls(struct vhost *h, unsigned int start, unsigned int count);
void ring_call_event(struct vhost *h, unsigned int q);
void ring_err_event(struct vhost *h, unsigned int q);
void ring_kick(struct vhost *h, unsigned int q);
void ring_enable(struct vhost *h, unsigned int q, bool on);
bool ring_index(const struct vhost *h, unsigned int q, bool used, uint16_t *idx);
void ring_set(struct vhost *h, enum vu_request request, const void *payload, size_t len,
	      const int *fds, unsigned int nfds);
void ring_hush(struct vhost *h, unsigned int q, bool on);
void ring_start(struct vhost *h);
void ring_idle(struct vhost *h);
void ring_check(struct vhost *h);

/* inflight.c */
void inflight_init(struct vhost *h);
void inflight_ask(struct vhost *h, wire_done done);
int inflight_take(struct vhost *h, struct wire_reply *reply);
int inflight_check(const struct vhost *h);
void inflight_give(struct vhost *h);
bool inflight_is(const struct vhost *h, unsigned int q, uint16_t head);
void inflight_settle(struct vhost *h, unsigned int q);
void inflight_drop(struct vhost *h);

/* recover.c */
bool recover_rings(struct vhost *h);
long recover_poll(struct vhost *h);

/* undertaker.c */
bool undertaker_begin(struct vhost *h, const char *why);
void undertaker_kick(struct vhost *h, unsigned int q);
long undertaker_poll(struct vhost *h);
void undertaker_end(struct vhost *h);

/* handover.c */
void handover_begin(struct vhost *h);
void handover_event(struct vhost *h);
long handover_poll(struct vhost *h);
void handover_lost(struct vhost *h);
void handover_drop(struct vhost *h);

/* standby.c */
void standby_init(struct vhost *h);
void standby_drop(void *priv);
bool standby_asleep(void *priv);
void standby_awake(void *priv);
void standby_event(struct vhost *h);
long standby_poll(struct vhost *h);

/* netctl.c */
int netctl_build(struct vhost *h);
void netctl_kick(struct vhost *h);
void netctl_started(struct vhost *h);
bool netctl_uses(const struct vhost *h, unsigned int q);

#endif
