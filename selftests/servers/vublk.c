// SPDX-License-Identifier: GPL-2.0-only
/*
 * vfiouser-vublk: a vhost-user disk for tests, with what the packaged back ends do not have: memory
 * for requests in flight (INFLIGHT_SHMFD), delays, completion out of order, and faults. Written
 * down from the vhost-user specification, independently of the front end in servers/vhost, so that
 * a misreading there is not mirrored here.
 *
 * With --net it is a network card instead, whose every pair of queues sends what it is given back;
 * on SIGUSR1 it says how much that was.
 *
 * One thread. The image is mapped, so that a process that is killed loses nothing that it has
 * written. A request is taken from the available ring at once and done when its delay is over;
 * GET_VRING_BASE does not wait for that, as in the real ones.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define PROG	"vfiouser-vublk"

#define QUEUES	16
#define SIZE	1024			/* entries of a queue */
#define REGIONS	8
#define FDS	8
#define SEGS	1024
#define HDR	12			/* of a frame */

/* requests of the front end; the numbers are the specification's */
enum {
	GET_FEATURES = 1, SET_FEATURES, SET_OWNER, RESET_OWNER, SET_MEM_TABLE, SET_VRING_NUM = 8,
	SET_VRING_ADDR, SET_VRING_BASE, GET_VRING_BASE, SET_VRING_KICK, SET_VRING_CALL,
	SET_VRING_ERR, GET_PROTOCOL_FEATURES, SET_PROTOCOL_FEATURES, GET_QUEUE_NUM,
	SET_VRING_ENABLE, NET_SET_MTU = 20, SET_BACKEND_REQ_FD, GET_CONFIG = 24, SET_CONFIG,
	GET_INFLIGHT_FD = 31, SET_INFLIGHT_FD, RESET_DEVICE = 34, SET_STATUS = 39, GET_STATUS,
	SET_DEVICE_STATE_FD = 42, CHECK_DEVICE_STATE,
};

#define F_REPLY		4u
#define F_NEED_REPLY	8u

#define PF_MQ		0
#define PF_REPLY_ACK	3
#define PF_MTU		4
#define PF_BACKEND_REQ	5
#define PF_CONFIG	9
#define PF_INFLIGHT	12
#define PF_RESET	13
#define PF_STATUS	16
#define PF_STATE	19

#define BIT(n)		(1ull << (n))

struct header {
	uint32_t request, flags, size;
};

struct message {
	uint32_t unused;		/* so that the payload follows its header */
	struct header h;
	union {
		uint64_t u64;
		struct { uint32_t index, num; } state;
		struct { uint32_t index, flags; uint64_t desc, used, avail, log; } addr;
		struct {
			uint32_t count, padding;
			struct { uint64_t gpa, size, uva, offset; } region[REGIONS];
		} mem;
		struct { uint32_t offset, size, flags; uint8_t data[256]; } config;
		struct { uint64_t size, offset; uint16_t queues, queue_size; } inflight;
		uint8_t bytes[512];
	};
	int fds[FDS];
	unsigned int nfds;
};

/* A queue's part of the memory for requests in flight. */
struct note {
	uint8_t inflight;
	uint8_t padding[5];
	uint16_t next;
	uint64_t counter;
};

struct notes {
	uint64_t features;
	uint16_t version, count, last_head, used_idx;
	struct note note[];
};

#define NOTES_SIZE(n)	((sizeof(struct notes) + (n) * sizeof(struct note) + 63) / 64 * 64)

struct queue {
	unsigned int num;
	uint64_t desc, avail, used;
	uint16_t last_avail;
	int kick, call, err;
	bool enabled;
	bool running;
	struct notes *notes;
};

struct request {
	struct request *next;
	unsigned int queue;
	uint16_t head;
	uint64_t due;
};

static struct {
	const char *path;
	const char *image;
	uint64_t size;
	unsigned int queues;
	unsigned int delay_us;		/* the longest; each has a random part of it */
	bool fixed;			/* or all of it */
	bool reorder;
	bool inflight, status, reset, no_ack, no_version, once, net, state;
	const char *fault;
	uint32_t fault_at;
} opt = { .size = 16 << 20, .queues = 1 };

static struct {
	uint64_t gpa, size, uva;
	uint8_t *va;
	void *map;
	size_t map_len;
} regions[REGIONS];

static struct queue queues[QUEUES];
static struct request *requests;	/* by due */
static uint64_t features, protocol, counter, done, resumed, capacity;
static uint64_t looped[QUEUES / 2][2];	/* of a network card's pairs: frames, and their bytes */
static uint8_t *disk;
static bool state_ok;
static uint8_t wce = 1;
static int conn = -1, backreq = -1;
static void *notes_map;
static size_t notes_len;
static uint64_t last_due;

static void say(const char *what)
{
	fprintf(stderr, "%s: %s\n", PROG, what);
}

static uint64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000ull + ts.tv_nsec / 1000;
}

static bool fault(const char *kind, uint32_t at)
{
	return opt.fault && !strcmp(opt.fault, kind) && (!opt.fault_at || opt.fault_at == at);
}

/* ---- memory ---- */

static void *at(uint64_t addr, uint64_t len)
{
	int i;

	for (i = 0; i < REGIONS; i++)
		if (regions[i].va && addr >= regions[i].gpa && len <= regions[i].size &&
		    addr - regions[i].gpa <= regions[i].size - len)
			return regions[i].va + (addr - regions[i].gpa);
	return NULL;
}

static void drop_memory(void)
{
	int i;

	for (i = 0; i < REGIONS; i++)
		if (regions[i].map)
			munmap(regions[i].map, regions[i].map_len);
	memset(regions, 0, sizeof(regions));
}

static bool set_memory(const struct message *m)
{
	unsigned int i;

	drop_memory();
	if (m->mem.count > REGIONS || m->nfds != m->mem.count)
		return false;
	for (i = 0; i < m->mem.count; i++) {
		uint64_t offset = m->mem.region[i].offset;

		regions[i].gpa = m->mem.region[i].gpa;
		regions[i].uva = m->mem.region[i].uva;
		regions[i].size = m->mem.region[i].size;
		/* from the start, as most do */
		regions[i].map_len = regions[i].size + offset;
		regions[i].map = mmap(NULL, regions[i].map_len, PROT_READ | PROT_WRITE, MAP_SHARED,
				      m->fds[i], 0);
		if (regions[i].map == MAP_FAILED) {
			regions[i].map = NULL;
			return false;
		}
		regions[i].va = (uint8_t *)regions[i].map + offset;
	}
	return true;
}

/* ---- requests ---- */

static struct vring_used *used_of(const struct queue *q)
{
	return at(q->used, 6 + 8ull * q->num);
}

static struct vring_avail *avail_of(const struct queue *q)
{
	return at(q->avail, 6 + 2ull * q->num);
}

struct seg {
	uint8_t *va;
	uint32_t len;
	bool write;
};

/* Follow a chain; returns its segments, or 0 where it is not right. */
static int chain(const struct queue *q, uint16_t head, struct seg *segs)
{
	const struct vring_desc *table = at(q->desc, 16ull * q->num), *d;
	unsigned int entries = q->num, i = head, n = 0;

	while (table && i < entries && n < SEGS) {
		d = &table[i];
		if (d->flags & VRING_DESC_F_INDIRECT) {
			entries = d->len / 16;
			table = at(d->addr, d->len);
			i = 0;
			continue;
		}
		segs[n].va = at(d->addr, d->len);
		segs[n].len = d->len;
		segs[n].write = d->flags & VRING_DESC_F_WRITE;
		if (!segs[n++].va)
			break;
		if (!(d->flags & VRING_DESC_F_NEXT))
			return (int)n;
		i = d->next;
	}
	say("a descriptor chain is not right");
	return 0;
}

static uint8_t transfer(const struct virtio_blk_outhdr *h, struct seg *segs, int n, uint32_t *in)
{
	uint64_t pos = h->sector * 512;
	bool read = h->type == VIRTIO_BLK_T_IN;
	int i;

	for (i = 0; i < n; i++) {
		if (segs[i].len > capacity || pos > capacity - segs[i].len ||
		    read != segs[i].write)
			return VIRTIO_BLK_S_IOERR;
		if (read)
			memcpy(segs[i].va, disk + pos, segs[i].len);
		else
			memcpy(disk + pos, segs[i].va, segs[i].len);
		if (read)
			*in += segs[i].len;
		pos += segs[i].len;
	}
	return VIRTIO_BLK_S_OK;
}

/* Returns how many bytes were written to the driver's memory. */
static uint32_t execute(const struct queue *q, uint16_t head)
{
	static struct seg segs[SEGS];
	int n = chain(q, head, segs);
	struct virtio_blk_outhdr h;
	uint8_t status;
	uint32_t in = 0;

	if (n < 2 || segs[0].len != sizeof(h) || segs[n - 1].len != 1 || !segs[n - 1].write)
		return 0;
	memcpy(&h, segs[0].va, sizeof(h));
	switch (h.type) {
	case VIRTIO_BLK_T_IN:
	case VIRTIO_BLK_T_OUT:
		status = transfer(&h, segs + 1, n - 2, &in);
		break;
	case VIRTIO_BLK_T_FLUSH:
		status = VIRTIO_BLK_S_OK;
		break;
	case VIRTIO_BLK_T_GET_ID:
		memset(segs[1].va, 0, segs[1].len);
		memcpy(segs[1].va, "vublk", segs[1].len < 5 ? segs[1].len : 5);
		in = segs[1].len;
		status = VIRTIO_BLK_S_OK;
		break;
	default:
		status = VIRTIO_BLK_S_UNSUPP;
	}
	*segs[n - 1].va = status;
	return in + 1;
}

static bool wants_interrupt(const struct queue *q, uint16_t old, uint16_t new)
{
	struct vring_avail *a = avail_of(q);
	uint16_t event;

	if (!(features & BIT(VIRTIO_RING_F_EVENT_IDX)))
		return !(__atomic_load_n(&a->flags, __ATOMIC_ACQUIRE) & VRING_AVAIL_F_NO_INTERRUPT);
	event = __atomic_load_n(&a->ring[q->num], __ATOMIC_ACQUIRE);
	return vring_need_event(event, new, old);
}

static void complete(struct queue *q, uint16_t head)
{
	uint32_t len = execute(q, head);
	struct vring_used *u = used_of(q);
	uint16_t idx;

	if (!u)
		return;
	idx = u->idx;
	u->ring[idx % q->num] = (struct vring_used_elem){ head, len };
	if (q->notes)
		q->notes->last_head = head;
	__atomic_store_n(&u->idx, (uint16_t)(idx + 1), __ATOMIC_SEQ_CST);
	if (q->notes) {
		q->notes->note[head].inflight = 0;
		__atomic_store_n(&q->notes->used_idx, (uint16_t)(idx + 1), __ATOMIC_SEQ_CST);
	}
	done++;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (q->call >= 0 && wants_interrupt(q, idx, (uint16_t)(idx + 1)))
		eventfd_write(q->call, 1);
}

static void use(struct queue *q, uint16_t head, uint32_t len)
{
	struct vring_used *u = used_of(q);
	uint16_t idx = u->idx;

	u->ring[idx % q->num] = (struct vring_used_elem){ head, len };
	__atomic_store_n(&u->idx, (uint16_t)(idx + 1), __ATOMIC_SEQ_CST);
	done++;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (q->call >= 0 && wants_interrupt(q, idx, (uint16_t)(idx + 1)))
		eventfd_write(q->call, 1);
}

/* The next buffer of a ring; without EVENT_IDX. */
static bool next_buffer(struct queue *q, uint16_t *head)
{
	struct vring_avail *a = avail_of(q);

	if (!q->running || !q->enabled || !a || !used_of(q) ||
	    __atomic_load_n(&a->idx, __ATOMIC_ACQUIRE) == q->last_avail)
		return false;
	*head = a->ring[q->last_avail % q->num];
	return *head < q->num;
}

/* Frames of a transmit queue go into the receive queue of its pair, as long as there is room. */
static void loop_back(unsigned int pair)
{
	struct queue *rx = &queues[2 * pair], *tx = &queues[2 * pair + 1];
	static struct seg in[SEGS], out[SEGS];
	uint16_t from, to;

	while (next_buffer(tx, &from) && next_buffer(rx, &to)) {
		static uint8_t frame[65536];
		uint32_t len = 0, done_len = 0;
		int n = chain(tx, from, out), m = chain(rx, to, in), i;

		for (i = 0; i < n && len + out[i].len <= sizeof(frame); i++) {
			memcpy(frame + len, out[i].va, out[i].len);
			len += out[i].len;
		}
		/* one buffer */
		if (len >= HDR)
			memcpy(frame + 10, &(uint16_t){ 1 }, 2);
		for (i = 0; i < m && done_len < len; i++) {
			uint32_t part = len - done_len < in[i].len ? len - done_len : in[i].len;

			memcpy(in[i].va, frame + done_len, part);
			done_len += part;
		}
		tx->last_avail++;
		rx->last_avail++;
		looped[pair][0]++;
		looped[pair][1] += len - HDR;
		use(tx, from, 0);
		use(rx, to, done_len);
	}
}

static void add_request(unsigned int nr, uint16_t head)
{
	struct request *r = malloc(sizeof(*r)), **p;
	uint64_t delay = opt.delay_us;

	if (!r)
		abort();
	if (delay && !opt.fixed)
		delay = (uint64_t)rand() % delay;
	r->queue = nr;
	r->head = head;
	r->due = now_us() + delay;
	if (!opt.reorder && r->due < last_due)
		r->due = last_due;
	last_due = r->due;
	for (p = &requests; *p && (*p)->due <= r->due; p = &(*p)->next)
		;
	r->next = *p;
	*p = r;
}

static void run_requests(void)
{
	struct request *r;

	while ((r = requests) && r->due <= now_us()) {
		requests = r->next;
		complete(&queues[r->queue], r->head);
		free(r);
	}
}

static void forget_requests(void)
{
	struct request *r;

	while ((r = requests)) {
		requests = r->next;
		free(r);
	}
}

/* Look for new buffers; without EVENT_IDX and with it. */
static void take(unsigned int nr)
{
	struct queue *q = &queues[nr];
	struct vring_avail *a = avail_of(q);
	struct vring_used *u = used_of(q);
	uint16_t *event;

	if (!q->running || !q->enabled || !a || !u)
		return;
	/* a ring that it cannot go on with */
	if (fault("err", 0)) {
		if (a->idx != q->last_avail)
			eventfd_write(q->err, 1);
		return;
	}
	event = at(q->used + 4 + 8ull * q->num, sizeof(*event));
	for (;;) {
		uint16_t idx = __atomic_load_n(&a->idx, __ATOMIC_ACQUIRE);

		while (q->last_avail != idx) {
			uint16_t head = a->ring[q->last_avail % q->num];

			if (head >= q->num)
				return;
			if (q->notes) {
				q->notes->note[head].counter = counter++;
				__atomic_store_n(&q->notes->note[head].inflight, 1,
						 __ATOMIC_SEQ_CST);
			}
			q->last_avail++;
			add_request(nr, head);
		}
		if (features & BIT(VIRTIO_RING_F_EVENT_IDX))
			*event = q->last_avail;
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		if (__atomic_load_n(&a->idx, __ATOMIC_ACQUIRE) == q->last_avail)
			return;
	}
}

static int by_counter(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* What another process was working on when it died goes first, in the order it was taken. */
static void resume(unsigned int nr)
{
	struct queue *q = &queues[nr];
	struct vring_used *u = used_of(q);
	uint64_t order[SIZE][2];
	unsigned int i, n = 0;

	if (!q->notes || !u)
		return;
	q->notes->version = 1;
	if (!q->notes->count)
		q->notes->count = (uint16_t)q->num;
	if (q->notes->used_idx != u->idx) {
		q->notes->note[q->notes->last_head % q->num].inflight = 0;
		q->notes->used_idx = u->idx;
	}
	for (i = 0; i < q->num; i++) {
		if (!q->notes->note[i].inflight)
			continue;
		order[n][0] = q->notes->note[i].counter;
		order[n++][1] = i;
		if (q->notes->note[i].counter >= counter)
			counter = q->notes->note[i].counter + 1;
	}
	qsort(order, n, sizeof(order[0]), by_counter);
	for (i = 0; i < n; i++)
		add_request(nr, (uint16_t)order[i][1]);
	q->last_avail = (uint16_t)(u->idx + n);
	resumed += n;
}

static void kicked(unsigned int nr)
{
	struct queue *q = &queues[nr];
	uint64_t n;

	if (read(q->kick, &n, sizeof(n)) != sizeof(n))
		return;
	if (!q->running) {
		q->running = true;
		if (!opt.net)
			resume(nr);
	}
	if (opt.net)
		loop_back(nr / 2);
	else
		take(nr);
}

/* ---- messages ---- */

static bool send_all(int fd, const void *buf, size_t len, const int *fds, unsigned int nfds)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int) * 253)];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec iov = { (void *)buf, len };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (nfds) {
		struct cmsghdr *cm;

		mh.msg_control = control.bytes;
		mh.msg_controllen = CMSG_SPACE(sizeof(int) * nfds);
		cm = CMSG_FIRSTHDR(&mh);
		cm->cmsg_level = SOL_SOCKET;
		cm->cmsg_type = SCM_RIGHTS;
		cm->cmsg_len = CMSG_LEN(sizeof(int) * nfds);
		memcpy(CMSG_DATA(cm), fds, sizeof(int) * nfds);
	}
	return sendmsg(fd, &mh, MSG_NOSIGNAL) == (ssize_t)len;
}

/* An answer, right or wrong. */
static void reply(struct message *m, uint32_t size, int fd)
{
	uint32_t request = m->h.request;
	size_t len = sizeof(m->h) + size;
	unsigned int nfds = fd >= 0, i;
	int fds[250] = { fd };

	m->h.flags = 1 | F_REPLY;
	m->h.size = size;
	if (fault("silent", request))
		return;
	if (fault("size", request))
		m->h.size = size + 4, len += 4;
	if (fault("huge", request))
		m->h.size = 0xfffffff0;
	if (fault("flags", request))
		m->h.flags = 1;
	if (fault("version", request))
		m->h.flags = 2 | F_REPLY;
	if (fault("wrong", request))
		m->h.request = request + 1;
	if (fault("half", request))
		len = len / 2;
	if (fault("empty", request))
		m->h.size = 0, len = sizeof(m->h);
	if (fault("fds", request))
		for (; nfds < 250; nfds++)
			fds[nfds] = conn;
	if (fault("garbage", request))
		for (i = 0; i < size; i++)
			m->bytes[i] = (uint8_t)rand();
	send_all(conn, &m->h, len, fds, nfds);
	if (fault("twice", request))
		send_all(conn, &m->h, len, NULL, 0);
}

static void fill_config(uint8_t *data)
{
	struct virtio_blk_config c = {
		.capacity = capacity / 512, .seg_max = 126, .blk_size = 512, .wce = wce,
		.num_queues = (uint16_t)opt.queues,
	};

	if (fault("queues", 0))
		c.num_queues = (uint16_t)opt.fault_at;
	memcpy(data, &c, 60);
}

static void get_inflight(struct message *m)
{
	size_t part = NOTES_SIZE(m->inflight.queue_size);
	int fd = memfd_create("inflight", MFD_CLOEXEC);

	m->inflight.size = part * m->inflight.queues;
	m->inflight.offset = 0;
	if (ftruncate(fd, (off_t)m->inflight.size))
		say("inflight: no memory");
	if (fault("inflight-small", 0) && ftruncate(fd, 64))
		say("inflight");
	reply(m, 20, fd);
	close(fd);
}

static bool set_inflight(const struct message *m)
{
	size_t part = NOTES_SIZE(m->inflight.queue_size);
	unsigned int i;

	if (m->nfds != 1 || m->inflight.queues > QUEUES)
		return false;
	if (notes_map)
		munmap(notes_map, notes_len);
	notes_len = m->inflight.size;
	notes_map = mmap(NULL, notes_len, PROT_READ | PROT_WRITE, MAP_SHARED, m->fds[0],
			 (off_t)m->inflight.offset);
	if (notes_map == MAP_FAILED) {
		notes_map = NULL;
		return false;
	}
	for (i = 0; i < m->inflight.queues; i++)
		queues[i].notes = (struct notes *)((uint8_t *)notes_map + i * part);
	return true;
}

static void set_fd(struct message *m, int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = m->nfds ? m->fds[0] : -1;
	m->nfds = 0;
}

/* Returns whether the message was right. */
static bool set(struct message *m)
{
	unsigned int index = m->state.index;
	struct queue *q = &queues[index % QUEUES];

	switch (m->h.request) {
	case SET_FEATURES:
		features = m->u64;
		return !(features & BIT(VIRTIO_F_ACCESS_PLATFORM));
	case SET_PROTOCOL_FEATURES:
		protocol = m->u64;
		return true;
	case SET_OWNER:
	case SET_STATUS:
		return true;
	case RESET_DEVICE:
		say("reset");
		return true;
	case NET_SET_MTU:
		fprintf(stderr, "%s: mtu %u\n", PROG, (unsigned int)m->u64);
		return opt.net;
	case SET_MEM_TABLE:
		return set_memory(m);
	case SET_BACKEND_REQ_FD:
		set_fd(m, &backreq);
		return true;
	case SET_CONFIG:
		if (m->config.offset != offsetof(struct virtio_blk_config, wce))
			return false;
		wce = m->config.data[0];
		fprintf(stderr, "%s: wce %u\n", PROG, wce);
		return true;
	case SET_INFLIGHT_FD:
		return set_inflight(m);
	case SET_VRING_KICK:
	case SET_VRING_CALL:
	case SET_VRING_ERR:
		index = m->u64 & 0xff;
		q = &queues[index % QUEUES];
		set_fd(m, m->h.request == SET_VRING_KICK ? &q->kick :
		       m->h.request == SET_VRING_CALL ? &q->call : &q->err);
		return index < opt.queues;
	case SET_VRING_NUM:
		q->num = m->state.num;
		return index < opt.queues && q->num <= SIZE;
	case SET_VRING_BASE:
		q->last_avail = (uint16_t)m->state.num;
		return index < opt.queues;
	case SET_VRING_ENABLE:
		q->enabled = m->state.num;
		fprintf(stderr, "%s: queue %u %s\n", PROG, index, q->enabled ? "on" : "off");
		if (q->enabled && !opt.net)
			take(index % QUEUES);
		else if (q->enabled)
			loop_back(index % QUEUES / 2);
		return index < opt.queues;
	case SET_VRING_ADDR:
		q->desc = m->addr.desc;
		q->avail = m->addr.avail;
		q->used = m->addr.used;
		return index < opt.queues && at(q->desc, 16ull * q->num) && used_of(q) &&
		       avail_of(q);
	}
	return false;
}

#define STATE	200000			/* bytes: more than a pipe holds */

/* What another process has to know, which is nothing: bytes that it can tell from others. */
static void transfer_state(struct message *m)
{
	static uint8_t state[STATE + 1];
	const bool load = m->state.index;
	int fd = m->nfds == 1 ? m->fds[0] : -1;
	size_t len = 0, i;
	ssize_t n;

	m->nfds = 0;
	m->u64 = fd < 0 || fault("state", 0) ? 1 : 0x100;
	reply(m, 8, -1);
	state_ok = false;
	if (m->u64 == 1) {
		close(fd);
		return;
	}
	for (i = 0; i < STATE && !load; i++)
		state[i] = (uint8_t)(i * 7 + i / 1000);
	while (len < (load ? sizeof(state) : STATE)) {
		n = load ? read(fd, state + len, sizeof(state) - len) :
			   write(fd, state + len, STATE - len);
		if (n <= 0)
			break;
		len += (size_t)n;
	}
	for (i = 0; i < len && state[i] == (uint8_t)(i * 7 + i / 1000); i++)
		;
	state_ok = i == STATE && len == STATE;
	fprintf(stderr, "%s: state %s, %zu bytes\n", PROG, load ? "loaded" : "saved", len);
	close(fd);
}

static void handle(struct message *m)
{
	uint32_t request = m->h.request, flags = m->h.flags, size;
	bool ok;

	switch (request) {
	case GET_FEATURES:
		if (opt.net) {
			m->u64 = BIT(VIRTIO_F_VERSION_1) | BIT(30) | BIT(VIRTIO_NET_F_MRG_RXBUF) |
				 BIT(VIRTIO_NET_F_CTRL_VQ) | BIT(VIRTIO_NET_F_MQ);
			reply(m, 8, -1);
			return;
		}
		m->u64 = BIT(VIRTIO_BLK_F_FLUSH) | BIT(VIRTIO_BLK_F_SEG_MAX) |
			 BIT(VIRTIO_BLK_F_BLK_SIZE) | BIT(VIRTIO_BLK_F_CONFIG_WCE) |
			 (opt.queues > 1 ? BIT(VIRTIO_BLK_F_MQ) : 0) |
			 BIT(VIRTIO_RING_F_INDIRECT_DESC) | BIT(VIRTIO_RING_F_EVENT_IDX) | BIT(30) |
			 (opt.no_version ? 0 : BIT(VIRTIO_F_VERSION_1));
		reply(m, 8, -1);
		return;
	case GET_PROTOCOL_FEATURES:
		m->u64 = BIT(PF_MQ) | BIT(PF_BACKEND_REQ) | BIT(PF_CONFIG) |
			 (opt.net ? BIT(PF_MTU) : 0) | (opt.no_ack ? 0 : BIT(PF_REPLY_ACK)) |
			 (opt.inflight ? BIT(PF_INFLIGHT) : 0) | (opt.status ? BIT(PF_STATUS) : 0) |
			 (opt.reset ? BIT(PF_RESET) : 0) | (opt.state ? BIT(PF_STATE) : 0);
		reply(m, 8, -1);
		return;
	case SET_DEVICE_STATE_FD:
		transfer_state(m);
		return;
	case CHECK_DEVICE_STATE:
		m->u64 = !state_ok;
		reply(m, 8, -1);
		return;
	case GET_QUEUE_NUM:
		m->u64 = fault("queue-num", 0) ? opt.fault_at : opt.queues;
		reply(m, 8, -1);
		return;
	case GET_CONFIG:
		size = m->config.size;
		if (size > 60) {
			m->h.flags = 1 | F_REPLY;
			m->h.size = 0;
			send_all(conn, &m->h, sizeof(m->h), NULL, 0);
			return;
		}
		fill_config(m->config.data);
		reply(m, 12 + size, -1);
		return;
	case GET_VRING_BASE:
		queues[m->state.index % QUEUES].running = false;
		m->state.num = queues[m->state.index % QUEUES].last_avail;
		reply(m, 8, -1);
		return;
	case GET_INFLIGHT_FD:
		get_inflight(m);
		return;
	case GET_STATUS:
		m->u64 = 0;
		reply(m, 8, -1);
		return;
	}
	ok = set(m) && !fault("nack", request);
	if (!ok)
		fprintf(stderr, "%s: request %u refused\n", PROG, request);
	if (flags & F_NEED_REPLY) {
		m->u64 = !ok;
		reply(m, 8, -1);
	}
}

static void disconnect(void)
{
	unsigned int i;

	if (conn >= 0)
		close(conn);
	conn = -1;
	if (backreq >= 0)
		close(backreq);
	backreq = -1;
	/* What was taken is done before another one is listened to. */
	while (requests) {
		usleep(1000);
		run_requests();
	}
	for (i = 0; i < QUEUES; i++) {
		if (queues[i].kick >= 0)
			close(queues[i].kick);
		if (queues[i].call >= 0)
			close(queues[i].call);
		if (queues[i].err >= 0)
			close(queues[i].err);
		queues[i] = (struct queue){ .kick = -1, .call = -1, .err = -1 };
	}
	drop_memory();
	if (opt.once)
		exit(0);
}

static bool receive(struct message *m)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int) * FDS)];
		struct cmsghdr align;
	} control;
	struct iovec iov = { &m->h, sizeof(m->h) };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes,
			     .msg_controllen = sizeof(control.bytes) };
	struct cmsghdr *cm;

	memset(m, 0, sizeof(*m));
	if (recvmsg(conn, &mh, MSG_CMSG_CLOEXEC | MSG_WAITALL) != sizeof(m->h))
		return false;
	cm = CMSG_FIRSTHDR(&mh);
	if (cm && cm->cmsg_type == SCM_RIGHTS) {
		m->nfds = (unsigned int)((cm->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		memcpy(m->fds, CMSG_DATA(cm), m->nfds * sizeof(int));
	}
	if (m->h.size > sizeof(m->bytes))
		return false;
	return !m->h.size ||
	       recv(conn, m->bytes, m->h.size, MSG_WAITALL) == (ssize_t)m->h.size;
}

static void message(void)
{
	struct message m;

	if (!receive(&m)) {
		disconnect();
		return;
	}
	if (fault("exit", m.h.request))
		_exit(1);
	if (fault("close", m.h.request)) {
		disconnect();
		return;
	}
	handle(&m);
	while (m.nfds)
		close(m.fds[--m.nfds]);
}

/* What a network card's pairs have given back so far. */
static void say_looped(void)
{
	unsigned int i;

	for (i = 0; i < opt.queues / 2; i++)
		fprintf(stderr, "%s: pair %u: %llu frames, %llu bytes\n", PROG, i,
			(unsigned long long)looped[i][0], (unsigned long long)looped[i][1]);
}

/* The disk is twice as large from now on. */
static void grow(void)
{
	const struct header h = { .request = 2, .flags = 1, .size = 0 };

	capacity *= 2;
	if (backreq >= 0 && !send_all(backreq, &h, sizeof(h), NULL, 0))
		say("no request possible");
}

/* Requests that a front end does not want. */
static void pester(void)
{
	struct {
		struct header h;
		uint64_t data[4];
	} m = { .h = { .request = 9, .flags = 1 | F_NEED_REPLY, .size = 32 } };
	int fds[3] = { conn, conn, conn };
	unsigned int i;

	for (i = 0; i < 100 && backreq >= 0; i++) {
		m.h.request = i % 14;
		if (m.h.request != 2)
			send_all(backreq, &m, sizeof(m), fds, 3);
	}
	m.h.size = 1u << 30;
	send_all(backreq, &m, sizeof(m), NULL, 0);
}

/* ---- life ---- */

static int listen_on(const char *path)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
	unlink(path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&sun, sizeof(sun)) || listen(fd, 1)) {
		say(strerror(errno));
		exit(1);
	}
	return fd;
}

static void map_image(void)
{
	int fd = opt.image ? open(opt.image, O_RDWR | O_CREAT | O_CLOEXEC, 0600) :
			     memfd_create("vublk", MFD_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) ||
	    ((uint64_t)st.st_size < 2 * opt.size && ftruncate(fd, (off_t)(2 * opt.size)))) {
		say(strerror(errno));
		exit(1);
	}
	capacity = opt.size;
	disk = mmap(NULL, 2 * opt.size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (disk == MAP_FAILED) {
		say(strerror(errno));
		exit(1);
	}
	close(fd);
}

static const struct option options[] = {
	{ "socket", required_argument, NULL, 's' },
	{ "connect", required_argument, NULL, 'C' },
	{ "image", required_argument, NULL, 'i' },
	{ "size", required_argument, NULL, 'S' },
	{ "queues", required_argument, NULL, 'q' },
	{ "delay", required_argument, NULL, 'd' },
	{ "fixed", no_argument, NULL, 'F' },
	{ "reorder", no_argument, NULL, 'r' },
	{ "inflight", no_argument, NULL, 'I' },
	{ "status", no_argument, NULL, 't' },
	{ "reset", no_argument, NULL, 'R' },
	{ "no-ack", no_argument, NULL, 'A' },
	{ "no-version", no_argument, NULL, 'V' },
	{ "once", no_argument, NULL, 'o' },
	{ "net", no_argument, NULL, 'n' },
	{ "state", no_argument, NULL, 'T' },
	{ "fault", required_argument, NULL, 'f' },
	{ NULL, 0, NULL, 0 },
};

static void parse(int argc, char **argv, const char **connect_to)
{
	char *colon;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 's':
			opt.path = optarg;
			break;
		case 'C':
			*connect_to = optarg;
			break;
		case 'i':
			opt.image = optarg;
			break;
		case 'S':
			opt.size = strtoull(optarg, NULL, 0);
			break;
		case 'q':
			opt.queues = (unsigned int)strtoul(optarg, NULL, 0);
			break;
		case 'd':
			opt.delay_us = (unsigned int)strtoul(optarg, NULL, 0);
			break;
		case 'F':
			opt.fixed = true;
			break;
		case 'r':
			opt.reorder = true;
			break;
		case 'I':
			opt.inflight = true;
			break;
		case 't':
			opt.status = true;
			break;
		case 'R':
			opt.reset = true;
			break;
		case 'A':
			opt.no_ack = true;
			break;
		case 'V':
			opt.no_version = true;
			break;
		case 'o':
			opt.once = true;
			break;
		case 'n':
			opt.net = true;
			break;
		case 'T':
			opt.state = true;
			break;
		case 'f':
			opt.fault = optarg;
			colon = strchr(optarg, ':');
			if (colon) {
				*colon = 0;
				opt.fault_at = (uint32_t)strtoul(colon + 1, NULL, 0);
			}
			break;
		default:
			exit(2);
		}
	}
	if ((!opt.path && !*connect_to) || opt.queues < 1 || opt.queues > QUEUES) {
		say("--socket=PATH or --connect=PATH [--image=FILE --size=N --queues=N --delay=US --fixed --reorder --inflight --status --reset --no-ack --no-version --once --net --state --fault=KIND[:MESSAGE]]");
		exit(2);
	}
}

static int connect_to_path(const char *path)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd;

	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
	for (;;) {
		fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (fd >= 0 && !connect(fd, (struct sockaddr *)&sun, sizeof(sun)))
			return fd;
		close(fd);
		usleep(10000);
	}
}

static bool take_signal(int sigfd)
{
	struct signalfd_siginfo info;

	if (read(sigfd, &info, sizeof(info)) != sizeof(info))
		return true;
	if (info.ssi_signo == SIGUSR1 && opt.net)
		say_looped();
	else if (info.ssi_signo == SIGUSR1)
		grow();
	else if (info.ssi_signo == SIGUSR2)
		pester();
	else
		return false;
	return true;
}

static int pause_ms(void)
{
	uint64_t now = now_us();

	if (!requests)
		return -1;
	return requests->due <= now ? 0 : (int)((requests->due - now + 999) / 1000);
}

static void loop(int listener, int sigfd, const char *connect_to)
{
	struct pollfd p[3 + QUEUES];
	unsigned int i;

	for (;;) {
		if (conn < 0 && connect_to)
			conn = connect_to_path(connect_to);
		p[0] = (struct pollfd){ sigfd, POLLIN, 0 };
		p[1] = (struct pollfd){ conn < 0 ? listener : -1, POLLIN, 0 };
		p[2] = (struct pollfd){ conn, POLLIN, 0 };
		for (i = 0; i < QUEUES; i++)
			p[3 + i] = (struct pollfd){ queues[i].kick, POLLIN, 0 };
		poll(p, 3 + QUEUES, pause_ms());
		if (p[0].revents && !take_signal(sigfd))
			return;
		if (p[1].revents)
			conn = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		for (i = 0; i < QUEUES; i++)
			if (p[3 + i].revents && queues[i].kick == p[3 + i].fd)
				kicked(i);
		run_requests();
		if (p[2].revents)
			message();
	}
}

int main(int argc, char **argv)
{
	const char *connect_to = NULL;
	int listener = -1, sigfd;
	sigset_t set;
	int i;

	parse(argc, argv, &connect_to);
	prctl(PR_SET_TIMERSLACK, 1000);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	sigprocmask(SIG_BLOCK, &set, NULL);
	sigfd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	for (i = 0; i < QUEUES; i++)
		queues[i] = (struct queue){ .kick = -1, .call = -1, .err = -1 };
	map_image();
	if (opt.path)
		listener = listen_on(opt.path);
	loop(listener, sigfd, connect_to);
	fprintf(stderr, "%s: %llu requests done, %llu taken up from another process\n", PROG,
		(unsigned long long)done, (unsigned long long)resumed);
	forget_requests();
	if (opt.path)
		unlink(opt.path);
	return 0;
}
