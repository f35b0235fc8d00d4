// SPDX-License-Identifier: GPL-2.0-only
/*
 * helper/serve.c between a kernel that is the test itself and a server that is a thread: the real
 * loop, the real engine, a ring in memory. ioctl() is ours (--wrap).
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../helper/engine/client.h"
#include "../../helper/serve.h"
#include "../../helper/status.h"

#define CMD_VERSION	1
#define CMD_GET_INFO	4
#define CMD_SET_IRQS	8
#define CMD_READ	9
#define CMD_WRITE	10
#define CMD_RESET	13
#define FLAG_REPLY	0x1
#define FLAG_NO_REPLY	0x10
#define FLAG_ERROR	0x20

#define VECTORS		40
#define MAX_LOG		4096
#define TIMEOUT_MS	300

struct header {
	uint16_t id;
	uint16_t cmd;
	uint32_t size;
	uint32_t flags;
	uint32_t error;
};

struct access {
	uint64_t offset;
	uint32_t region;
	uint32_t count;
	uint8_t data[];
};

struct set_irqs {
	uint32_t argsz;
	uint32_t flags;
	uint32_t index;
	uint32_t start;
	uint32_t count;
};

/* What the server does with the next request that wants an answer. */
enum mood { ANSWER, FAIL, HANG, DIE };

static struct {
	/* server */
	int sock;
	pthread_t server_thread;
	enum mood mood;
	unsigned int nr_writes;
	uint64_t write_offset[MAX_LOG];
	unsigned int resets;
	unsigned int set_irqs_messages;
	unsigned int infos;
	struct set_irqs last_irqs;
	unsigned int unmasks;		/* of MSI or MSI-X */
	struct set_irqs unmask;		/* the last of these */
	int irq_fds[VECTORS];
	/* kernel */
	struct ring ring;
	int hooked[VECTORS];
	uint32_t generation;
	int irqfd_errno;
	unsigned int servers;		/* how often another one was named */
	pid_t named;
	/* helper */
	struct serve serve;
	pthread_t helper_thread;
	int status;
} f;

int __wrap_ioctl(int fd, unsigned long request, void *arg)
{
	const struct vfiouser_irqfd *irqfd = arg;
	const int32_t *fds;
	uint32_t i;

	if (fd == f.ring.fd && request == VFIOUSER_IOC_SERVER) {
		f.named = (pid_t)(uintptr_t)arg;
		errno = ESRCH;
		return __atomic_add_fetch(&f.servers, 1, __ATOMIC_SEQ_CST) < 3 ? -1 : 0;
	}
	if (fd != f.ring.fd || request != VFIOUSER_IOC_IRQFD)
		return 0;
	if (f.irqfd_errno) {
		errno = f.irqfd_errno;
		return -1;
	}
	fds = (const int32_t *)(uintptr_t)irqfd->fds;
	for (i = 0; i < irqfd->count; i++) {
		/* As the kernel does: a hooked vector is not hooked again. */
		if (fds[i] >= 0 && f.hooked[irqfd->start + i] >= 0) {
			errno = EBUSY;
			return -1;
		}
		__atomic_store_n(&f.hooked[irqfd->start + i], fds[i], __ATOMIC_SEQ_CST);
	}
	return 0;
}

/* ---- the server ---- */

static bool receive(void *buf, size_t len, int *fds, unsigned int *nr_fds)
{
	char control[CMSG_SPACE(sizeof(int) * 64)];
	struct cmsghdr *cmsg;
	size_t done = 0;
	ssize_t n;

	while (done < len) {
		struct iovec iov = { (char *)buf + done, len - done };
		struct msghdr msg = {
			.msg_iov = &iov,
			.msg_iovlen = 1,
			.msg_control = control,
			.msg_controllen = sizeof(control),
		};

		n = recvmsg(f.sock, &msg, 0);
		if (n <= 0)
			return false;
		done += n;
		cmsg = CMSG_FIRSTHDR(&msg);
		if (cmsg && cmsg->cmsg_type == SCM_RIGHTS) {
			*nr_fds = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
			memcpy(fds, CMSG_DATA(cmsg), *nr_fds * sizeof(int));
		}
	}
	return true;
}

static void reply(const struct header *to, uint32_t error, const void *data, size_t len)
{
	char buf[4096];
	struct header h = *to;

	h.flags = FLAG_REPLY | (error ? FLAG_ERROR : 0);
	h.error = error;
	h.size = sizeof(h) + len;
	memcpy(buf, &h, sizeof(h));
	if (len)
		memcpy(buf + sizeof(h), data, len);
	send(f.sock, buf, h.size, MSG_NOSIGNAL);
}

static void replace_fd(uint32_t vector, int fd)
{
	if (f.irq_fds[vector] >= 0)
		close(f.irq_fds[vector]);
	f.irq_fds[vector] = fd;
}

static void serve_irqs(const struct set_irqs *set, const int *fds, unsigned int nr_fds)
{
	unsigned int i;

	if (set->flags & VFIO_IRQ_SET_ACTION_UNMASK && set->index) {
		f.unmasks++;
		f.unmask = *set;
		return;
	}
	f.last_irqs = *set;
	f.set_irqs_messages++;
	for (i = 0; i < nr_fds; i++) {
		if (set->start + i < VECTORS)
			replace_fd(set->start + i, fds[i]);
		else
			close(fds[i]);
	}
	if (set->count)
		return;
	for (i = 0; i < VECTORS; i++) {
		if (f.irq_fds[i] >= 0)
			close(f.irq_fds[i]);
		f.irq_fds[i] = -1;
	}
}

static void *server(void *arg)
{
	static const char version[] = "\0\0\0\0{\"capabilities\":{\"max_msg_fds\":8}}";
	int fds[64];
	char body[4096];
	struct header h;
	struct access *access = (struct access *)body;
	enum mood mood;
	unsigned int nr_fds, i;

	(void)arg;
	for (;;) {
		nr_fds = 0;
		if (!receive(&h, sizeof(h), fds, &nr_fds) ||
		    h.size < sizeof(h) || h.size - sizeof(h) > sizeof(body) ||
		    !receive(body, h.size - sizeof(h), fds, &nr_fds))
			break;
		mood = __atomic_load_n(&f.mood, __ATOMIC_SEQ_CST);
		if (h.cmd == CMD_VERSION) {
			reply(&h, 0, version, sizeof(version));
			continue;
		}
		if (h.cmd == CMD_WRITE && f.nr_writes < MAX_LOG)
			f.write_offset[f.nr_writes++] = access->offset;
		if (h.flags & FLAG_NO_REPLY)
			continue;
		if (mood == DIE)
			break;
		if (mood == HANG)
			continue;
		if (mood == FAIL) {
			for (i = 0; i < nr_fds; i++)
				close(fds[i]);
			reply(&h, ENXIO, NULL, 0);
			continue;
		}
		switch (h.cmd) {
		case CMD_READ:
			for (i = 0; i < access->count; i++)
				access->data[i] = access->offset + i + access->region;
			reply(&h, 0, access, sizeof(*access) + access->count);
			break;
		case CMD_WRITE:
			reply(&h, 0, access, sizeof(*access));
			break;
		case CMD_SET_IRQS:
			serve_irqs((struct set_irqs *)body, fds, nr_fds);
			reply(&h, 0, NULL, 0);
			break;
		case CMD_GET_INFO:
			if (f.infos++)
				reply(&h, 0, body, h.size - sizeof(h));
			else
				reply(&h, EIO, NULL, 0);
			break;
		case CMD_RESET:
			f.resets++;
			reply(&h, 0, NULL, 0);
			break;
		default:
			reply(&h, EINVAL, NULL, 0);
		}
	}
	shutdown(f.sock, SHUT_RDWR);
	return NULL;
}

/* ---- the kernel ---- */

static void kick(void)
{
	const uint64_t one = 1;

	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (__atomic_load_n(&f.ring.map->helper_flags, __ATOMIC_RELAXED) & VFIOUSER_HELPER_SLEEPING)
		assert_int_equal(write(f.ring.fd, &one, sizeof(one)), sizeof(one));
}

static void produce(struct vfiouser_request req)
{
	uint32_t tail = f.ring.map->tail;

	while (tail - __atomic_load_n(&f.ring.map->head, __ATOMIC_ACQUIRE) ==
	       VFIOUSER_RING_ENTRIES)
		usleep(100);
	f.ring.map->requests[tail % VFIOUSER_RING_ENTRIES] = req;
	__atomic_store_n(&f.ring.map->tail, tail + 1, __ATOMIC_RELEASE);
	kick();
}

/* Returns the slot once it is answered. */
static struct vfiouser_slot *wait_slot(uint32_t slot, uint32_t generation)
{
	struct vfiouser_slot *s = &f.ring.map->slots[slot];
	const uint64_t one = 1;
	uint64_t drained;
	int i;

	for (i = 0; i < 100000; i++) {
		if (__atomic_load_n(&s->done, __ATOMIC_ACQUIRE) == generation) {
			/* As the channel's poll() is: nothing in the ring, nothing to report. */
			if (read(f.ring.fd, &drained, sizeof(drained)) < 0)
				assert_int_equal(errno, EAGAIN);
			/* But something in it: then it has to be reported still. */
			if (__atomic_load_n(&f.ring.map->head, __ATOMIC_ACQUIRE) !=
			    f.ring.map->tail)
				assert_int_equal(write(f.ring.fd, &one, sizeof(one)), sizeof(one));
			return s;
		}
		usleep(100);
	}
	fail_msg("slot %u was never answered", slot);
	return NULL;
}

static struct vfiouser_slot *ask(struct vfiouser_request req)
{
	uint32_t generation = ++f.generation;

	req.slot = generation % VFIOUSER_RING_SLOTS;
	req.generation = generation;
	produce(req);
	return wait_slot(req.slot, generation);
}

static void set_state(uint32_t state)
{
	const uint64_t one = 1;

	__atomic_store_n(&f.ring.map->state, state, __ATOMIC_RELEASE);
	assert_int_equal(write(f.ring.fd, &one, sizeof(one)), sizeof(one));
}

static struct vfiouser_request request(uint16_t op, uint32_t region, uint64_t offset,
				       uint32_t count)
{
	return (struct vfiouser_request) {
		.op = op, .region = region, .offset = offset, .count = count,
	};
}

/* ---- the helper ---- */

static void *helper(void *arg)
{
	(void)arg;
	f.status = serve_run(&f.serve);
	vfuc_close(f.serve.server);
	irq_release(&f.serve.irqs);
	return NULL;
}

static int start(unsigned int poll_us, int server_fd)
{
	struct vfuc_config config = { .timeout_ms = TIMEOUT_MS };
	struct vfuc_error error = { 0 };
	char address[16];
	int pair[2], i;

	memset(&f, 0, sizeof(f));
	for (i = 0; i < VECTORS; i++) {
		f.irq_fds[i] = -1;
		f.hooked[i] = -1;
	}
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return -1;
	f.sock = pair[0];
	pthread_create(&f.server_thread, NULL, server, NULL);
	snprintf(address, sizeof(address), "fd:%d", pair[1]);
	config.address = address;
	if (vfuc_open(&f.serve.server, &config, &error)) {
		print_error("%s\n", error.message);
		return -1;
	}
	f.ring.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	f.ring.map = calloc(1, sizeof(*f.ring.map));
	f.ring.map->state = VFIOUSER_STATE_LIVE;
	f.serve.ring = &f.ring;
	f.serve.poll_us = poll_us;
	f.serve.poll_server = poll_us;
	f.serve.signal_fd = -1;
	f.serve.front_fd = -1;
	f.serve.server_fd = server_fd;
	f.serve.irqs.types[VFIO_PCI_MSIX_IRQ_INDEX].count = VECTORS;
	f.serve.irqs.types[VFIO_PCI_INTX_IRQ_INDEX].count = 1;
	return pthread_create(&f.helper_thread, NULL, helper, NULL);
}

static int setup_sleeping(void **state)
{
	(void)state;
	return start(0, -1);
}

static int setup_polling(void **state)
{
	(void)state;
	return start(200, -1);
}

/* A server whose process has just ended, and whose connection another one has. */
static int setup_left(void **state)
{
	pid_t pid = fork();
	int fd;

	(void)state;
	if (!pid)
		_exit(0);
	fd = (int)syscall(SYS_pidfd_open, pid, 0);
	waitpid(pid, NULL, 0);
	return start(0, fd);
}

/* Ends the helper in the orderly way, unless the test has seen it end. */
static void finish(int status)
{
	pthread_join(f.helper_thread, NULL);
	pthread_join(f.server_thread, NULL);
	assert_int_equal(f.status, status);
	f.helper_thread = 0;
}

static int teardown(void **state)
{
	int i;

	(void)state;
	if (f.helper_thread) {
		set_state(VFIOUSER_STATE_GONE);
		finish(ST_OK);
	}
	for (i = 0; i < VECTORS; i++)
		if (f.irq_fds[i] >= 0)
			close(f.irq_fds[i]);
	close(f.sock);
	close(f.ring.fd);
	free(f.ring.map);
	return 0;
}

/* ---- the tests ---- */

static void test_read(void **state)
{
	struct vfiouser_slot *slot;
	unsigned int i, j;

	(void)state;
	for (i = 1; i <= VFIOUSER_DATA_MAX; i++) {
		slot = ask(request(VFIOUSER_OP_READ, i % 8, 1000 + i, i));
		assert_int_equal(slot->error, 0);
		for (j = 0; j < i; j++)
			assert_int_equal(slot->data[j], (uint8_t)(1000 + i + j + i % 8));
	}
}

/* More posted writes than the ring holds, then a read: all are there before it, in order. */
static void test_order(void **state)
{
	struct vfiouser_request req;
	unsigned int i;

	(void)state;
	for (i = 0; i < 1000; i++) {
		req = request(VFIOUSER_OP_WRITE, 0, i * 8, 4);
		req.flags = i % 100 == 99 ? 0 : VFIOUSER_REQ_POSTED;
		if (req.flags)
			produce(req);
		else
			assert_int_equal(ask(req)->error, 0);
	}
	assert_int_equal(ask(request(VFIOUSER_OP_READ, 0, 0, 4))->error, 0);
	assert_int_equal(f.nr_writes, 1000);
	for (i = 0; i < 1000; i++)
		assert_int_equal(f.write_offset[i], i * 8);
}

/* Many at a time, each answer in its own slot. */
static void test_pipelined(void **state)
{
	uint32_t generation[VFIOUSER_RING_SLOTS];
	struct vfiouser_request req;
	unsigned int round, i;

	(void)state;
	for (round = 0; round < 50; round++) {
		for (i = 0; i < VFIOUSER_RING_SLOTS; i++) {
			req = request(VFIOUSER_OP_READ, 0, round * 3 + i, 1);
			req.slot = i;
			req.generation = ++f.generation;
			generation[i] = req.generation;
			produce(req);
		}
		for (i = 0; i < VFIOUSER_RING_SLOTS; i++)
			assert_int_equal(wait_slot(i, generation[i])->data[0],
					 (uint8_t)(round * 3 + i));
	}
}

static void test_error_answer(void **state)
{
	(void)state;
	f.mood = FAIL;
	assert_int_equal(ask(request(VFIOUSER_OP_READ, 0, 0, 4))->error, -ENXIO);
	assert_int_equal(ask(request(VFIOUSER_OP_WRITE, 0, 0, 4))->error, -ENXIO);
	assert_int_equal(ask(request(VFIOUSER_OP_RESET, 0, 0, 0))->error, -ENXIO);
	__atomic_store_n(&f.mood, ANSWER, __ATOMIC_SEQ_CST);
	assert_int_equal(ask(request(VFIOUSER_OP_READ, 0, 0, 4))->error, 0);
}

/* What the kernel should never ask is answered with an error and not passed on. */
static void test_bad_requests(void **state)
{
	struct vfiouser_request req;

	(void)state;
	assert_int_equal(ask(request(99, 0, 0, 4))->error, -EOPNOTSUPP);
	assert_int_equal(ask(request(VFIOUSER_OP_READ, 0, 0, 65))->error, -EINVAL);
	assert_int_equal(ask(request(VFIOUSER_OP_READ, 0, 0, 0))->error, -EINVAL);
	assert_int_equal(ask(request(VFIOUSER_OP_WRITE, 0, 0, UINT32_MAX))->error, -EINVAL);
	assert_int_equal(ask(request(VFIOUSER_OP_IRQ_ARM, 2, 0, VECTORS + 1))->error, -EINVAL);
	assert_int_equal(ask(request(VFIOUSER_OP_IRQ_ARM, 2, UINT32_MAX, 2))->error, -EINVAL);
	assert_int_equal(ask(request(VFIOUSER_OP_IRQ_ARM, 2, 1ull << 32, 1))->error, -EINVAL);
	assert_int_equal(ask(request(VFIOUSER_OP_IRQ_ARM, 99, 0, 1))->error, -EINVAL);
	assert_int_equal(f.set_irqs_messages, 0);
	/* A slot that does not exist. */
	req = request(VFIOUSER_OP_READ, 0, 0, 4);
	req.slot = VFIOUSER_RING_SLOTS;
	produce(req);
	assert_int_equal(ask(request(VFIOUSER_OP_NOP, 0, 0, 0))->error, 0);
	assert_int_equal(ask(request(VFIOUSER_OP_READ, 0, 0, 4))->error, 0);
}

/* The server's end of a vector and the kernel's end are one eventfd. */
static void check_wired(int vector)
{
	const uint64_t one = 1;
	uint64_t value;

	assert_true(f.hooked[vector] >= 0);
	assert_true(f.irq_fds[vector] >= 0);
	assert_int_equal(write(f.irq_fds[vector], &one, sizeof(one)), sizeof(one));
	assert_int_equal(read(f.hooked[vector], &value, sizeof(value)), sizeof(value));
	assert_int_equal(value, 1);
}

static void test_irqs(void **state)
{
	int i;

	(void)state;
	/* Eight descriptors a message: five messages, one answer. */
	assert_int_equal(ask(request(VFIOUSER_OP_IRQ_ARM, 2, 0, VECTORS))->error, 0);
	assert_int_equal(f.set_irqs_messages, 5);
	/* In one message from vector 0 on, before anything else. */
	assert_int_equal(ask(request(VFIOUSER_OP_READ, 0, 0, 4))->error, 0);
	assert_int_equal(f.unmasks, 1);
	assert_int_equal(f.unmask.start, 0);
	assert_int_equal(f.unmask.count, VECTORS);
	assert_int_equal(f.unmask.flags, VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_UNMASK);
	for (i = 0; i < VECTORS; i++)
		check_wired(i);

	assert_int_equal(ask(request(VFIOUSER_OP_IRQ_DISARM, 2, 0, 0))->error, 0);
	assert_int_equal(f.last_irqs.count, 0);
	assert_int_equal(f.last_irqs.flags,
			 VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER);
	for (i = 0; i < VECTORS; i++)
		assert_int_equal(f.hooked[i], -1);

	assert_int_equal(ask(request(VFIOUSER_OP_IRQ_UNMASK, 0, 0, 1))->error, 0);
	assert_int_equal(f.last_irqs.index, 0);
	assert_int_equal(f.last_irqs.count, 1);
	assert_int_equal(f.last_irqs.flags,
			 VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_UNMASK);
}

/* Disarmed without waiting and armed again at once; then more vectors, some of them armed. */
static void test_irqs_again(void **state)
{
	struct vfiouser_request disarm = request(VFIOUSER_OP_IRQ_DISARM, 2, 0, 0);
	struct vfiouser_slot *slot;
	int round, i;

	(void)state;
	disarm.flags = VFIOUSER_REQ_POSTED;
	for (round = 0; round < 20; round++) {
		slot = ask(request(VFIOUSER_OP_IRQ_ARM, 2, 0, 20));
		assert_int_equal(slot->error, 0);
		slot = ask(request(VFIOUSER_OP_IRQ_ARM, 2, 10, VECTORS - 10));
		assert_int_equal(slot->error, 0);
		for (i = 0; i < VECTORS; i++)
			check_wired(i);
		produce(disarm);
	}
	/* Behind an arming that is not over. */
	for (round = 0; round < 20; round++) {
		struct vfiouser_request arm = request(VFIOUSER_OP_IRQ_ARM, 2, 0, VECTORS);

		arm.slot = 100;
		arm.generation = ++f.generation;
		produce(arm);
		produce(disarm);
		assert_int_equal(wait_slot(100, arm.generation)->error, 0);
	}
	assert_int_equal(ask(request(VFIOUSER_OP_READ, 0, 0, 4))->error, 0);
	for (i = 0; i < VECTORS; i++) {
		assert_int_equal(f.hooked[i], -1);
		assert_int_equal(f.irq_fds[i], -1);
	}
}

static void test_irqs_refused(void **state)
{
	(void)state;
	f.irqfd_errno = EBUSY;
	assert_int_equal(ask(request(VFIOUSER_OP_IRQ_ARM, 2, 0, 1))->error, -EBUSY);
	assert_int_equal(f.set_irqs_messages, 0);
	f.irqfd_errno = 0;
	f.mood = FAIL;
	assert_int_equal(ask(request(VFIOUSER_OP_IRQ_ARM, 2, 3, 2))->error, -ENXIO);
	/* The kernel has nothing that the server does not signal. */
	assert_int_equal(f.hooked[3], -1);
	assert_int_equal(f.hooked[4], -1);
}

static void test_reset(void **state)
{
	(void)state;
	assert_int_equal(ask(request(VFIOUSER_OP_RESET, 0, 0, 0))->error, 0);
	assert_int_equal(f.resets, 1);
}

static void test_server_dies(void **state)
{
	(void)state;
	f.mood = DIE;
	/* What is under way gets an error, and the helper ends with a status of its own. */
	assert_true(ask(request(VFIOUSER_OP_READ, 0, 0, 4))->error < 0);
	finish(ST_CLOSED);
}

static void test_server_dies_idle(void **state)
{
	(void)state;
	assert_int_equal(ask(request(VFIOUSER_OP_READ, 0, 0, 4))->error, 0);
	shutdown(f.sock, SHUT_RDWR);
	finish(ST_CLOSED);
}

static void test_server_hangs(void **state)
{
	(void)state;
	f.mood = HANG;
	assert_int_equal(ask(request(VFIOUSER_OP_READ, 0, 0, 4))->error, -ETIMEDOUT);
	finish(ST_TIMEOUT);
}

/* Asked until it has said who it is and the kernel has found it. */
static void test_server_left(void **state)
{
	int i;

	(void)state;
	for (i = 0; i < 5000 && __atomic_load_n(&f.servers, __ATOMIC_SEQ_CST) < 3; i++)
		usleep(1000);
	assert_int_equal(f.servers, 3);
	assert_int_equal(f.named, getpid());
	assert_int_equal(f.infos, 4);
	assert_int_equal(ask(request(VFIOUSER_OP_READ, 0, 0, 4))->error, 0);
	usleep(300000);
	assert_int_equal(f.infos, 4);
	close(f.serve.server_fd);
}

static void test_removed(void **state)
{
	(void)state;
	/* Drivers being unbound still reach their device. */
	set_state(VFIOUSER_STATE_REMOVING);
	assert_int_equal(ask(request(VFIOUSER_OP_READ, 0, 0, 4))->error, 0);
	set_state(VFIOUSER_STATE_GONE);
	finish(ST_OK);
}

static void test_given_up_by_kernel(void **state)
{
	(void)state;
	set_state(VFIOUSER_STATE_LOST);
	finish(ST_TIMEOUT);
}

#define SLEEPING(name)	cmocka_unit_test_setup_teardown(name, setup_sleeping, teardown)
#define POLLING(name)	cmocka_unit_test_setup_teardown(name, setup_polling, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SLEEPING(test_read),
		POLLING(test_read),
		SLEEPING(test_order),
		POLLING(test_order),
		SLEEPING(test_pipelined),
		POLLING(test_pipelined),
		SLEEPING(test_error_answer),
		POLLING(test_error_answer),
		SLEEPING(test_bad_requests),
		POLLING(test_bad_requests),
		SLEEPING(test_irqs),
		POLLING(test_irqs),
		SLEEPING(test_irqs_again),
		POLLING(test_irqs_again),
		SLEEPING(test_irqs_refused),
		POLLING(test_irqs_refused),
		SLEEPING(test_reset),
		POLLING(test_reset),
		SLEEPING(test_server_dies),
		POLLING(test_server_dies),
		SLEEPING(test_server_dies_idle),
		POLLING(test_server_dies_idle),
		SLEEPING(test_server_hangs),
		POLLING(test_server_hangs),
		cmocka_unit_test_setup_teardown(test_server_left, setup_left, teardown),
		SLEEPING(test_removed),
		POLLING(test_removed),
		SLEEPING(test_given_up_by_kernel),
		POLLING(test_given_up_by_kernel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
