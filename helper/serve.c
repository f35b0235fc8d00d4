// SPDX-License-Identifier: GPL-2.0-only
/*
 * The main loop of a device: requests of the ring become messages to the server, and back.
 *
 * Ordering: requests are submitted in ring order and the engine sends in the order of submission,
 * so the server sees the accesses as the kernel produced them. Answers may come in any order; each
 * goes to its own slot. A request that cannot be submitted now stays in the ring, and with it all
 * that follow: the engine's queue is full, it is about interrupts that are still being armed, or
 * its ioregionfd is busy.
 *
 * Locking: none, one thread. Callbacks of the engine run inside vfuc_process().
 *
 * The loop looks at the ring for poll_us after the last work, without a system call, then sleeps
 * in poll(). While an answer is outstanding it sleeps at once, since the server may need this CPU;
 * with poll_server it looks at the socket instead.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "array.h"
#include "clock.h"
#include "device.h"
#include "log.h"
#include "notify.h"
#include "serve.h"
#include "status.h"

/* In a loop that looks for something: lets another thread of the core work, where there is a way. */
static inline void spin_pause(void)
{
#if __has_builtin(__builtin_ia32_pause)
	__builtin_ia32_pause();
#endif
}

/* Requests of one round, so that answers do not wait for an endless stream of writes. */
#define BATCH	VFIOUSER_RING_ENTRIES

#define NO_SLOT	UINT32_MAX

/* Looks at the ring for each one at the clock. */
#define LOOKS	32

/* Between two questions who the server is. */
#define ASK_AGAIN_MS	100

/* Of its processes, how many are worth a line. */
#define SERVERS_SAID	16

/* Rounds with work after which signals get their turn. */
#define ROUNDS	4096

static const char *op_name(uint16_t op)
{
	static const char *const names[] = {
		"nop", "read", "write", "reset", "irq-arm", "irq-disarm", "irq-unmask",
	};

	return op < ARRAY_SIZE(names) ? names[op] : "unknown";
}

static uint64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static const char *fate(const struct serve *serve)
{
	return serve->grace ? "frozen" : "given up";
}

static void stop(struct serve *serve, int status)
{
	if (serve->stop)
		return;
	serve->stop = true;
	serve->status = status;
}

/* Of a request with a slot: its generation; of a posted one: its kind. */
static uint64_t make_cookie(uint32_t slot, uint32_t high)
{
	return (uint64_t)high << 32 | slot;
}

/* A request without an answer from the server, or one that was refused on the way there. */
static void answer(struct serve *serve, uint64_t cookie, int error, const void *data, size_t len)
{
	uint32_t slot = (uint32_t)cookie;

	if (slot != NO_SLOT)
		ring_complete(serve->ring, slot, cookie >> 32, error, data, len);
}

/* A server that cannot, or does not answer this, has nothing to unmask. It is not asked again. */
static void unmasked(void *opaque, uint64_t cookie, int error, const void *data, size_t len)
{
	struct serve *serve = opaque;

	(void)data;
	(void)len;
	if (!error)
		return;
	serve->unmask_refused |= 1u << cookie;
	log_debug("irq-unmask of %s: error %d", device_irq_name(cookie), error);
}

static bool keeps_masks(uint32_t index)
{
	return index == VFIO_PCI_MSI_IRQ_INDEX || index == VFIO_PCI_MSIX_IRQ_INDEX;
}

/*
 * All vectors of MSI and MSI-X start masked. The kernel keeps the masks that its driver sees, but a
 * server may keep its own, whatever its GET_IRQ_INFO says, and not signal before it is told. From
 * the first vector on: some take @start and @count for the range from the one to the other.
 */
static void submit_unmask(struct serve *serve, uint32_t index, uint32_t count)
{
	if (!keeps_masks(index) || serve->unmask_refused & 1u << index)
		return;
	if (vfuc_submit_set_irqs(serve->server, index,
				 VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_UNMASK, 0, count,
				 NULL, unmasked, serve, index) == -EAGAIN) {
		serve->unmask_index = index;
		serve->unmask_count = count;
	}
}

/* One that found no room. Returns false if there is none yet. */
static bool unmask_again(struct serve *serve)
{
	uint32_t count = serve->unmask_count;

	serve->unmask_count = 0;
	if (count)
		submit_unmask(serve, serve->unmask_index, count);
	return !serve->unmask_count;
}

/*
 * The engine's callback: the server has answered, or will not any more. Without an answer in time
 * the server counts as dead: which of its other answers would still be worth anything?
 */
static void done(void *opaque, uint64_t cookie, int error, const void *data, size_t len)
{
	uint32_t slot = (uint32_t)cookie;
	struct serve *serve = opaque;
	const struct serve_slot *s;
	uint16_t op;

	if (slot == NO_SLOT) {
		op = cookie >> 32;
	} else {
		s = &serve->slots[slot];
		op = s->op;
		if (op == VFIOUSER_OP_IRQ_ARM) {
			serve->arming = false;
			if (error)
				irq_unhook(&serve->irqs, serve->ring, s->index, s->start, s->count);
			else
				submit_unmask(serve, s->index, s->start + s->count);
		}
	}
	if (log_verbose)
		log_debug("%s slot %d: error %d, %zu bytes", op_name(op), (int)slot, error, len);
	else if (slot == NO_SLOT && error && !vfuc_dead(serve->server))
		log_note("the server failed a %s: %s", op_name(op), strerror(-error));
	/*
	 * What a driver makes of an error depends on whether the device is frozen: that goes first,
	 * and takes back what is unanswered.
	 */
	if (!serve->grace || (error != -ETIMEDOUT && !vfuc_dead(serve->server)))
		answer(serve, cookie, error, data, len);

	if (error == -ETIMEDOUT && !serve->stop) {
		log_error("no answer from the server in time (%s); device %s", op_name(op),
			  fate(serve));
		stop(serve, ST_TIMEOUT);
	}
}

/**
 * serve_ioregions() - use the sockets that a device has for parts of its BARs
 * @serve: before serve_run(); @ioregions are for ioregion_release()
 * @dev: stays until then
 * @timeout_ms: for an answer
 *
 * Context: set-up.
 */
void serve_ioregions(struct serve *serve, const struct device *dev, unsigned int timeout_ms)
{
	serve->ioregions.done = done;
	serve->ioregions.opaque = serve;
	serve->ioregions.timeout_ms = timeout_ms;
	ioregion_setup(&serve->ioregions, dev);
}

static int submit_arm(struct serve *serve, const struct vfiouser_request *req, uint64_t cookie)
{
	int err;

	/* Nobody would know when it is over, and what to undo. */
	if (req->offset > UINT32_MAX || (uint32_t)cookie == NO_SLOT)
		return -EINVAL;
	err = irq_hook(&serve->irqs, serve->ring, req->region, req->offset, req->count);
	if (!err)
		err = vfuc_submit_set_irqs(serve->server, req->region,
					   VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
					   req->offset, req->count,
					   irq_fds(&serve->irqs, req->region, req->offset), done,
					   serve, cookie);
	if (err)
		irq_unhook(&serve->irqs, serve->ring, req->region, req->offset, req->count);
	else
		serve->arming = true;
	return err;
}

static int submit_disarm(struct serve *serve, const struct vfiouser_request *req, uint64_t cookie)
{
	int err;

	if (req->region >= VFIO_PCI_NUM_IRQS)
		return -EINVAL;
	err = vfuc_submit_set_irqs(serve->server, req->region,
				   VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER, 0, 0, NULL,
				   done, serve, cookie);
	/* At once and not with the answer: the kernel may arm the same vectors again before. */
	if (err != -EAGAIN)
		irq_unhook(&serve->irqs, serve->ring, req->region, 0, 0);
	return err;
}

static int submit_access(struct serve *serve, const struct vfiouser_request *req, uint64_t cookie)
{
	bool posted = req->flags & VFIOUSER_REQ_POSTED, write = req->op == VFIOUSER_OP_WRITE;
	struct ioregion_access access = {
		.region = req->region,
		.offset = req->offset,
		.count = req->count,
		.data = write ? req->data : NULL,
		.cookie = cookie,
	};
	int err;

	if (req->count > VFIOUSER_DATA_MAX)
		return -EINVAL;
	err = ioregion_submit(&serve->ioregions, &access);
	if (err != -ENOENT)
		return err;
	if (!write)
		return vfuc_submit_read(serve->server, req->region, req->offset, req->count, done,
					serve, cookie);
	return vfuc_submit_write(serve->server, req->region, req->offset, req->data, req->count,
				 posted, posted ? NULL : done, serve, cookie);
}

static int submit(struct serve *serve, const struct vfiouser_request *req, uint64_t cookie)
{
	switch (req->op) {
	case VFIOUSER_OP_NOP:
		answer(serve, cookie, 0, NULL, 0);
		return 0;
	case VFIOUSER_OP_READ:
	case VFIOUSER_OP_WRITE:
		return submit_access(serve, req, cookie);
	case VFIOUSER_OP_RESET:
		return vfuc_submit_reset(serve->server, done, serve, cookie);
	case VFIOUSER_OP_IRQ_ARM:
		return serve->arming ? -EAGAIN : submit_arm(serve, req, cookie);
	case VFIOUSER_OP_IRQ_DISARM:
		return serve->arming ? -EAGAIN : submit_disarm(serve, req, cookie);
	case VFIOUSER_OP_IRQ_UNMASK:
		if (req->offset > UINT32_MAX)
			return -EINVAL;
		if (keeps_masks(req->region)) {
			submit_unmask(serve, req->region, req->offset + req->count);
			answer(serve, cookie, 0, NULL, 0);
			return 0;
		}
		return vfuc_submit_set_irqs(serve->server, req->region,
					    VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_UNMASK,
					    req->offset, req->count, NULL, done, serve, cookie);
	}
	return -EOPNOTSUPP;
}

/* Returns false if the request has to wait for the server. */
static bool serve_request(struct serve *serve, const struct vfiouser_request *req)
{
	bool posted = req->flags & VFIOUSER_REQ_POSTED;
	uint64_t cookie = make_cookie(NO_SLOT, req->op);
	int err;

	if (!unmask_again(serve))
		return false;
	if (!posted && req->slot < VFIOUSER_RING_SLOTS) {
		cookie = make_cookie(req->slot, req->generation);
		serve->slots[req->slot] = (struct serve_slot) {
			.op = req->op,
			.index = req->region,
			.start = req->offset,
			.count = req->count,
		};
	}
	err = submit(serve, req, cookie);
	if (err == -EAGAIN)
		return false;
	if (log_verbose)
		log_debug("%s %s 0x%" PRIx64 "+%u slot %d%s",
			  op_name(req->op), req->op >= VFIOUSER_OP_IRQ_ARM ?
			  device_irq_name(req->region) : device_region_name(req->region),
			  (uint64_t)req->offset, req->count, posted ? -1 : (int)req->slot,
			  err ? ": refused" : "");
	if (err)
		answer(serve, cookie, err, NULL, 0);
	/* Nobody waits for an answer to this one, and what follows it counts on it. */
	if (err && posted && !vfuc_dead(serve->server)) {
		log_error("cannot send a posted %s (%s); device %s", op_name(req->op),
			  strerror(-err), fate(serve));
		stop(serve, status_of_errno(err));
	}
	return true;
}

/* Takes what is in the ring. Returns true if there was something. */
static bool serve_ring(struct serve *serve)
{
	const struct vfiouser_request *req = ring_peek(serve->ring);
	bool together = false;
	unsigned int n = 0;

	if (!req) {
		serve->blocked = false;
		return false;
	}
	while (req && n < BATCH) {
		/* Several go together; one alone goes at once, and is not queued first. */
		if (!together && ring_count(serve->ring) > 1) {
			vfuc_cork(serve->server);
			together = true;
		}
		if (!serve_request(serve, req))
			break;
		ring_advance(serve->ring);
		req = ring_peek(serve->ring);
		n++;
	}
	serve->blocked = req && n < BATCH;
	/* A dead connection is the next vfuc_process()' business. */
	if (together)
		vfuc_uncork(serve->server);
	return n;
}

/* Takes what the server sent. Returns true if there was something. */
static bool serve_server(struct serve *serve)
{
	uint64_t before = vfuc_stats(serve->server)->messages_received;
	bool worked;
	int err;

	worked = ioregion_process(&serve->ioregions);
	err = vfuc_process(serve->server);
	if (err && !serve->stop) {
		if (err == -ETIMEDOUT)
			log_error("the server takes no messages any more; device %s", fate(serve));
		else if (status_of_errno(err) == ST_CLOSED)
			log_error("the server closed the connection; device %s", fate(serve));
		else
			log_error("connection to the server lost (%s); device %s", strerror(-err),
				  fate(serve));
		stop(serve, status_of_errno(err));
	}
	return worked || vfuc_stats(serve->server)->messages_received != before;
}

static void look_at_state(struct serve *serve)
{
	uint32_t state = ring_state(serve->ring), timeout = ring_timeout_ms(serve->ring);

	if (timeout && timeout != serve->timeout_ms) {
		serve->timeout_ms = timeout;
		serve->ioregions.timeout_ms = timeout;
		vfuc_set_timeout(serve->server, timeout);
	}
	if (state == serve->state)
		return;
	log_debug("device %s", ring_state_name(state));
	serve->state = state;
	if (state == VFIOUSER_STATE_GONE) {
		stop(serve, ST_OK);
	} else if (state == VFIOUSER_STATE_LOST) {
		log_error("the kernel has given the device up: no answer in time");
		stop(serve, ST_TIMEOUT);
	} else if (state == VFIOUSER_STATE_FROZEN) {
		if (ring_replaced(serve->ring))
			log_note("another helper takes the device over");
		else
			log_error("the kernel has frozen the device: no answer in time");
		stop(serve, ST_TIMEOUT);
	}
}

static void take_signal(struct serve *serve)
{
	struct signalfd_siginfo info;

	if (read(serve->signal_fd, &info, sizeof(info)) != sizeof(info))
		return;
	if (!serve->removing && !ring_remove(serve->ring)) {
		log_note("signal %u: removing the device", info.ssi_signo);
		serve->removing = true;
		return;
	}
	log_note("signal %u: device given up", info.ssi_signo);
	stop(serve, ST_OK);
}

/* Is there a request that the server has not answered? */
static bool pending(const struct serve *serve)
{
	return vfuc_pending(serve->server) || serve->ioregions.pending;
}

/* Of two times, of which -1 is never. */
static int earlier(int a, int b)
{
	return b < 0 || (a >= 0 && a < b) ? a : b;
}

static int next_deadline_ms(const struct serve *serve)
{
	int server = vfuc_next_deadline_ms(serve->server);
	int regions = ioregion_next_deadline_ms(&serve->ioregions);
	int ask = -1;

	if (serve->ask_at && !serve->asking) {
		ask = (int)(serve->ask_at - now_ms());
		if (ask < 0)
			ask = 0;
	}
	return earlier(earlier(server, regions), earlier(notify_beat(), ask));
}

/*
 * Nothing to sleep for yet? Returns true to look at the ring again. What only poll() reports,
 * requests of the server itself (DMA by message) and signals, waits for the end of this.
 */
static bool serve_spin(struct serve *serve, bool worked)
{
	bool waiting = pending(serve) || vfuc_busy(serve->server);
	uint64_t now;

	if (!serve->poll_us || (waiting && !serve->poll_server))
		return false;
	/* Before the look: who has just been asked, or answered, goes first. */
	spin_pause();
	if (waiting)
		worked |= serve_server(serve);
	look_at_state(serve);
	if (worked) {
		serve->idle_since = 0;
		serve->looks = 0;
		return ++serve->rounds % ROUNDS;
	}
	if (++serve->looks % LOOKS)
		return true;
	now = now_us();
	if (!serve->idle_since)
		serve->idle_since = now;
	return now - serve->idle_since < serve->poll_us;
}

/**
 * serve_watch() - be told when the server's process ends
 * @serve: @server set
 *
 * Where it is no process of this host, nothing is done.
 *
 * Context: set-up, or the loop.
 */
void serve_watch(struct serve *serve)
{
	pid_t pid = vfuc_caps(serve->server)->server_pid;

	serve->server_fd = pid ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
	/* It has ended since it answered. */
	serve->ask_at = pid && serve->server_fd < 0 && errno == ESRCH ? now_ms() + ASK_AGAIN_MS : 0;
}

static void server_known(void *opaque, uint64_t cookie, int error, const void *data, size_t len)
{
	struct serve *serve = opaque;
	pid_t pid;

	(void)cookie;
	(void)data;
	(void)len;
	serve->asking = false;
	serve->ask_at = now_ms() + ASK_AGAIN_MS;
	if (error)
		return;
	pid = vfuc_caps(serve->server)->server_pid;
	/* It may have ended in turn. */
	if (ring_server(serve->ring, pid))
		return;
	serve_watch(serve);
	if (serve->servers++ < SERVERS_SAID)
		log_note("the server's process has ended, and %d goes on in its place", pid);
}

/*
 * That its process ends is news where the connection does not: another one has it. Until it is
 * known who, nobody knows that there is one.
 */
static void look_at_server(struct serve *serve)
{
	if (!serve->ask_at || serve->asking || serve->stop || vfuc_dead(serve->server) ||
	    now_ms() < serve->ask_at)
		return;
	serve->asking = !vfuc_submit_who(serve->server, server_known, serve);
	serve->ask_at = now_ms() + ASK_AGAIN_MS;
}

/* Sleeps until there may be something to do. */
static void serve_sleep(struct serve *serve)
{
	struct pollfd fds[4 + VFUC_POLL_FDS + IOREGION_MAX_FDS];
	const int own = 4;
	int n;

	/* Blocked: what is in the ring cannot be taken, so no need to be woken for it. */
	if (!serve->blocked && !ring_sleep(serve->ring)) {
		/* An endless stream of requests must not keep the answers waiting. */
		if (pending(serve))
			serve_server(serve);
		look_at_state(serve);
		return;
	}
	/* After the flag was set, so that a change from here on makes poll() return. */
	look_at_state(serve);
	if (!serve->stop) {
		fds[0] = (struct pollfd) {
			.fd = serve->ring->fd,
			.events = serve->blocked ? POLLPRI : POLLIN | POLLPRI,
		};
		fds[1] = (struct pollfd) { .fd = serve->signal_fd, .events = POLLIN };
		fds[2] = (struct pollfd) { .fd = serve->front_fd, .events = 0 };
		fds[3] = (struct pollfd) { .fd = serve->server_fd, .events = POLLIN };
		n = own + vfuc_poll_fds(serve->server, fds + own, VFUC_POLL_FDS);
		n += ioregion_poll_fds(&serve->ioregions, fds + n);
		n = poll(fds, n, next_deadline_ms(serve));
		if (n > 0) {
			if (fds[0].revents & (POLLERR | POLLHUP | POLLNVAL)) {
				/* So it does once the device is gone, as it should. */
				look_at_state(serve);
				if (!serve->stop)
					log_error("the channel is closed; device given up");
				stop(serve, ST_FAILED);
			}
			if (fds[1].revents)
				take_signal(serve);
			if (fds[2].revents) {
				close(serve->front_fd);
				serve->front_fd = -1;
				serve->front_gone();
			}
			if (fds[3].revents) {
				close(serve->server_fd);
				serve->server_fd = -1;
				serve->ask_at = now_ms() + (serve->servers ? ASK_AGAIN_MS : 0);
			}
		}
	}
	ring_awake(serve->ring);
	serve_server(serve);
	look_at_server(serve);
	look_at_state(serve);
}

/**
 * serve_run() - serve a device until it is gone, or its server is
 * @serve: @ring to @front_gone set, serve_watch() called, @irqs.types[].count set, @ioregions as
 *	serve_ioregions() has made them or zero, all else zero
 *
 * Says on its own why it ends, unless the device was removed.
 *
 * Context: the process's only thread; sleeps.
 * Return: enum status, ST_OK after a removal.
 */
int serve_run(struct serve *serve)
{
	while (!serve->stop) {
		if (serve_spin(serve, serve_ring(serve)) || serve->stop)
			continue;
		serve_sleep(serve);
		serve->idle_since = 0;
		serve->looks = 0;
	}
	return serve->status;
}
