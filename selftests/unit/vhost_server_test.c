// SPDX-License-Identifier: GPL-2.0-only
/*
 * vfiouser-vhost between a driver that keeps to the rules and back ends that do, or do not: the
 * test disk vfiouser-vublk, QEMU's storage daemon and QEMU's virtiofsd. No VM: both ends are
 * sockets, and this program is the driver.
 *
 * vfiouser-vhost runs under AddressSanitizer and UBSan and is ended with SIGTERM: an exit status
 * other than 0 (a leak counts) fails the test.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <linux/vfio.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_pci.h>
#include <linux/virtio_ring.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "mini_client.h"

#define CONFIG	VFIO_PCI_CONFIG_REGION_INDEX
#define BAR	VFIO_PCI_BAR4_REGION_INDEX
#define MSIX	VFIO_PCI_MSIX_IRQ_INDEX
#define INTX	VFIO_PCI_INTX_IRQ_INDEX
#define TRIGGER	(VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER)

#define ISR	0x1000
#define DEVICE	0x2000
#define NOTIFY	0x3000
#define REG(f)	offsetof(struct virtio_pci_common_cfg, f)

#define IOVA	0x200000ull
#define SIZE	0x400000u
#define DEPTH	64u
#define QUEUES	5u
#define DESC(q)		((q) * 0x8000u)
#define AVAIL(q)	((q) * 0x8000u + 0x4000)
#define USED(q)		((q) * 0x8000u + 0x6000)
#define DATA		0x100000u
#define SLOT		0x2000u		/* bytes of a request: header, status, 4096 of data */
#define SLOT_AT(q, n)	(DATA + ((q) * 32 + (n)) * SLOT)

#define BIT(n)	(1ull << (n))
#define MUST	(BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_F_ACCESS_PLATFORM))

static char dir[] = "/tmp/vhost-server-test.XXXXXX";
static char front_path[80], back_path[80], image[80], log_path[80];

struct driver {
	struct mc_server front;
	pid_t back;
	struct mc mc;
	bool connected;
	int memfd;
	uint8_t *mem;
	unsigned int queues;
	int kick[QUEUES];
	int call[QUEUES + 1];		/* the first is the configuration's */
	uint16_t seen[QUEUES];		/* used ring */
	bool intx;
	bool trap;
};

/* ---- processes ---- */

static const char *const vublk[] = { VUBLK, "--image=IMAGE", "--socket=SOCKET", NULL };

static pid_t spawn(const char *const args[], const char *const extra[])
{
	char *argv[40], text[40][160];
	int n = 0, i;
	pid_t pid;

	for (i = 0; i < 2; i++) {
		const char *const *a = i ? extra : args;

		for (; a && *a; a++, n++) {
			const char *socket = strstr(*a, "SOCKET"), *file = strstr(*a, "IMAGE");
			const char *hole = socket ? socket : file;

			if (hole)
				snprintf(text[n], sizeof(text[n]), "%.*s%s%s", (int)(hole - *a), *a,
					 socket ? back_path : image, hole + (socket ? 6 : 5));
			else
				snprintf(text[n], sizeof(text[n]), "%s", *a);
			argv[n] = text[n];
		}
	}
	argv[n] = NULL;
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		int log = open(log_path, O_WRONLY | O_APPEND);

		prctl(PR_SET_PDEATHSIG, SIGKILL);

		dup2(log, 2);
		dup2(log, 1);
		execvp(argv[0], argv);
		_exit(127);
	}
	return pid;
}

static pid_t back(const char *const args[], const char *const extra[])
{
	const struct timespec ms = { 0, 1000000 };
	struct stat st;
	pid_t pid;
	int i;

	unlink(back_path);
	pid = spawn(args, extra);
	for (i = 0; i < MC_TIMEOUT_MS && stat(back_path, &st); i++)
		nanosleep(&ms, NULL);
	assert_int_equal(stat(back_path, &st), 0);
	return pid;
}

static void kill_back(struct driver *d)
{
	kill(d->back, SIGKILL);
	mc_wait_exit(d->back);
	d->back = 0;
}

/* How often vfiouser-vhost has said something so far. */
static unsigned int said(const char *text)
{
	static char buf[65536];
	int fd = open(log_path, O_RDONLY);
	ssize_t n = read(fd, buf, sizeof(buf) - 1);
	unsigned int times = 0;
	const char *at = buf;

	close(fd);
	buf[n > 0 ? n : 0] = 0;
	while ((at = strstr(at, text))) {
		at++;
		times++;
	}
	return times;
}

static void connect_client(struct driver *d)
{
	assert_int_equal(mc_connect(&d->mc, front_path), 0);
	assert_int_equal(mc_negotiate(&d->mc), 0);
	d->connected = true;
}

static bool no_wait;		/* for the socket */
static bool never_up;		/* it did not come */

static void start_front(struct driver *d, const char *type, const char *const extra[])
{
	char socket[100], vhost[100], kind[40];
	char *args[20] = { socket, vhost, kind, "--verbose", "--timeout=300",
			   "--stop-timeout=2000" };
	int i, saved = dup(2), log = open(log_path, O_WRONLY | O_APPEND);

	snprintf(socket, sizeof(socket), "--socket-path=%s", front_path);
	snprintf(vhost, sizeof(vhost), "--vhost-socket=%s", back_path);
	snprintf(kind, sizeof(kind), "--type=%s", type);
	for (i = 0; extra && extra[i]; i++)
		args[i + 6] = (char *)extra[i];
	if (!no_wait)
		memcpy(d->front.path, front_path, sizeof(d->front.path));
	dup2(log, 2);
	assert_int_equal(mc_spawn(&d->front, SERVER, -1, args), 0);
	dup2(saved, 2);
	close(saved);
	close(log);
}

static void share_memory(struct driver *d)
{
	d->memfd = memfd_create("pool", MFD_CLOEXEC);
	assert_int_equal(ftruncate(d->memfd, SIZE), 0);
	d->mem = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, d->memfd, 0);
	assert_true(d->mem != MAP_FAILED);
	assert_int_equal(mc_dma_map(&d->mc, IOVA, SIZE, d->memfd, 0), 0);
}

static void forget_memory(struct driver *d)
{
	munmap(d->mem, SIZE);
	close(d->memfd);
}

static void begin(struct driver *d)
{
	int fd = open(log_path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	close(fd);
	unlink(image);
	memset(d, 0, sizeof(*d));
	memset(d->kick, -1, sizeof(d->kick));
	memset(d->call, -1, sizeof(d->call));
}

/* A client, and its memory. */
static void join(struct driver *d)
{
	connect_client(d);
	share_memory(d);
}

/* The back end, vfiouser-vhost before it, a client, and its memory. */
static void bring_all(struct driver *d, const char *type, const char *const args[],
		      const char *const back_extra[], const char *const front_extra[])
{
	d->back = back(args, back_extra);
	start_front(d, type, front_extra);
	join(d);
}

static void start(struct driver *d, const char *type, const char *const args[],
		  const char *const back_extra[], const char *const front_extra[])
{
	begin(d);
	bring_all(d, type, args, back_extra, front_extra);
}

static void close_fds(struct driver *d)
{
	unsigned int i;

	for (i = 0; i < QUEUES; i++) {
		if (d->kick[i] >= 0)
			close(d->kick[i]);
		d->kick[i] = -1;
	}
	for (i = 0; i <= QUEUES; i++) {
		if (d->call[i] >= 0)
			close(d->call[i]);
		d->call[i] = -1;
	}
}

static void leave(struct driver *d)
{
	mc_close(&d->mc);
	d->connected = false;
	forget_memory(d);
	close_fds(d);
}

static void stop(struct driver *d)
{
	int status;

	if (d->connected)
		leave(d);
	status = mc_stop(&d->front);
	/* On a busy machine it may not have begun yet: nothing of ours had the signal. */
	if (never_up && status == 128 + SIGTERM)
		status = 0;
	if (status) {
		char cmd[100];

		snprintf(cmd, sizeof(cmd), "tail -n 60 %s >&2", log_path);
		if (system(cmd))
			print_message("no log\n");
	}
	assert_int_equal(status, 0);
	if (d->back) {
		kill(d->back, SIGCONT);
		kill(d->back, SIGTERM);
		mc_wait_exit(d->back);
	}
}

/* ---- the driver ---- */

/* In a process of its own, which may end at any time: nothing is a failure. */
static bool lenient;

#define must(expr) do {								\
	int ret_ = (expr);							\
	if (!lenient)								\
		assert_int_equal(ret_, 0);					\
} while (0)

static void put(struct driver *d, uint64_t offset, uint64_t val, uint32_t size)
{
	must(mc_write(&d->mc, BAR, offset, &val, size));
}

static uint64_t get(struct driver *d, uint64_t offset, uint32_t size)
{
	uint64_t val = 0;

	must(mc_read(&d->mc, BAR, offset, &val, size));
	return val;
}

#define WAIT(cond) do {								\
	const struct timespec ms_ = { 0, 1000000 };				\
	int tries_;								\
	for (tries_ = 0; !(cond) && tries_ < MC_TIMEOUT_MS; tries_++)		\
		nanosleep(&ms_, NULL);						\
	assert_true(cond);							\
} while (0)

static uint8_t status(struct driver *d)
{
	return (uint8_t)get(d, REG(device_status), 1);
}

static void reset(struct driver *d)
{
	put(d, REG(device_status), 0, 1);
	WAIT(!status(d));
}

static uint64_t offered(struct driver *d)
{
	uint64_t bits;

	put(d, REG(device_feature_select), 1, 4);
	bits = get(d, REG(device_feature), 4) << 32;
	put(d, REG(device_feature_select), 0, 4);
	return bits | get(d, REG(device_feature), 4);
}

static uint8_t accept_features(struct driver *d, uint64_t features)
{
	put(d, REG(device_status), 3, 1);
	put(d, REG(guest_feature_select), 0, 4);
	put(d, REG(guest_feature), (uint32_t)features, 4);
	put(d, REG(guest_feature_select), 1, 4);
	put(d, REG(guest_feature), features >> 32, 4);
	put(d, REG(device_status), 11, 1);
	return status(d);
}

static void get_doorbells(struct driver *d)
{
	struct vfio_user_region_io_fds req = { .argsz = 4096, .index = BAR };
	const struct vfio_user_io_fd *e;
	unsigned int i;

	assert_int_equal(mc_request(&d->mc, VFIO_USER_DEVICE_GET_REGION_IO_FDS, &req, sizeof(req),
				    NULL, 0), 0);
	e = (const void *)(d->mc.payload + sizeof(req));
	for (i = 0; i < d->queues; i++) {
		assert_int_equal(e[i].offset, NOTIFY + 4 * i);
		assert_int_equal(e[i].type, VFIO_USER_IO_FD_IOEVENTFD);
		d->kick[i] = fcntl(d->mc.fds[e[i].fd_index], F_DUPFD_CLOEXEC, 0);
	}
}

static unsigned int msix_cap(struct driver *d)
{
	uint8_t cfg[256] = { 0 }, at;

	must(mc_read(&d->mc, CONFIG, 0, cfg, sizeof(cfg)));
	for (at = cfg[0x34]; at && cfg[at] != 0x11; at = cfg[at + 1])
		;
	must(!at);
	return at;
}

static void set_interrupts(struct driver *d)
{
	uint16_t on = 0x8000, command = 6;
	unsigned int i;

	must(mc_write(&d->mc, CONFIG, 4, &command, 2));
	if (d->intx) {
		d->call[0] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		assert_int_equal(mc_set_irqs(&d->mc, TRIGGER, INTX, 0, 1, NULL, 0, d->call, 1), 0);
		return;
	}
	for (i = 0; i <= d->queues; i++)
		d->call[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	must(mc_set_irqs(&d->mc, TRIGGER, MSIX, 0, d->queues + 1, NULL, 0, d->call,
			 d->queues + 1));
	must(mc_write(&d->mc, CONFIG, msix_cap(d) + 2, &on, 2));
	put(d, REG(msix_config), 0, 2);
}

static void set_queue(struct driver *d, unsigned int q)
{
	put(d, REG(queue_select), q, 2);
	put(d, REG(queue_size), DEPTH, 2);
	if (!d->intx)
		put(d, REG(queue_msix_vector), q + 1, 2);
	put(d, REG(queue_desc_lo), IOVA + DESC(q), 8);
	put(d, REG(queue_avail_lo), IOVA + AVAIL(q), 8);
	put(d, REG(queue_used_lo), IOVA + USED(q), 8);
	put(d, REG(queue_enable), 1, 2);
	d->seen[q] = 0;
}

static void bring_up(struct driver *d, unsigned int queues, uint64_t features)
{
	unsigned int q;

	d->queues = queues;
	reset(d);
	memset(d->mem, 0, SIZE);
	assert_int_equal(accept_features(d, features), 11);
	close_fds(d);
	if (!d->trap)
		get_doorbells(d);
	set_interrupts(d);
	for (q = 0; q < queues; q++)
		set_queue(d, q);
	put(d, REG(device_status), 15, 1);
	assert_int_equal(status(d), 15);
}

static struct vring_avail *avail(struct driver *d, unsigned int q)
{
	return (struct vring_avail *)(d->mem + AVAIL(q));
}

static uint16_t used_idx(struct driver *d, unsigned int q)
{
	const struct vring_used *u = (struct vring_used *)(d->mem + USED(q));

	return __atomic_load_n(&u->idx, __ATOMIC_ACQUIRE);
}

static void kick(struct driver *d, unsigned int q)
{
	if (d->trap)
		put(d, NOTIFY + 4 * q, q, 2);
	else
		assert_int_equal(eventfd_write(d->kick[q], 1), 0);
}

/* A disk request in a slot; its first descriptor is 3 * n. */
static void submit(struct driver *d, unsigned int q, unsigned int n, uint32_t type, uint64_t sector,
		   uint8_t fill)
{
	struct vring_desc *t = (struct vring_desc *)(d->mem + DESC(q)) + 3 * n;
	struct vring_avail *a = avail(d, q);
	struct virtio_blk_outhdr *h = (void *)(d->mem + SLOT_AT(q, n));
	const bool in = type == VIRTIO_BLK_T_IN;

	*h = (struct virtio_blk_outhdr){ .type = type, .sector = sector };
	d->mem[SLOT_AT(q, n) + 0x800] = 0xff;
	memset(d->mem + SLOT_AT(q, n) + 0x1000, in ? 0xee : fill, 4096);
	t[0] = (struct vring_desc){ IOVA + SLOT_AT(q, n), sizeof(*h), VRING_DESC_F_NEXT,
				    (uint16_t)(3 * n + 1) };
	t[1] = (struct vring_desc){ IOVA + SLOT_AT(q, n) + 0x1000, 4096,
				    VRING_DESC_F_NEXT | (in ? VRING_DESC_F_WRITE : 0),
				    (uint16_t)(3 * n + 2) };
	t[2] = (struct vring_desc){ IOVA + SLOT_AT(q, n) + 0x800, 1, VRING_DESC_F_WRITE, 0 };
	a->ring[a->idx % DEPTH] = (uint16_t)(3 * n);
	/* with EVENT_IDX: an interrupt for the next one */
	a->ring[DEPTH] = used_idx(d, q);
	__atomic_store_n(&a->idx, a->idx + 1, __ATOMIC_RELEASE);
}

static uint8_t result(struct driver *d, unsigned int q, unsigned int n)
{
	return d->mem[SLOT_AT(q, n) + 0x800];
}

static bool all_bytes(struct driver *d, unsigned int q, unsigned int n, uint8_t val)
{
	const uint8_t *p = d->mem + SLOT_AT(q, n) + 0x1000;
	int i;

	for (i = 0; i < 4096; i++)
		if (p[i] != val)
			return false;
	return true;
}

/* Waits for the interrupt of a queue. */
static void wait_call(struct driver *d, unsigned int q)
{
	struct pollfd p = { .fd = d->call[d->intx ? 0 : q + 1], .events = POLLIN };
	eventfd_t n;

	assert_int_equal(poll(&p, 1, MC_TIMEOUT_MS), 1);
	eventfd_read(p.fd, &n);
}

static void one_request(struct driver *d, unsigned int q, uint32_t type, uint64_t sector,
			uint8_t fill, uint8_t want)
{
	uint16_t before = used_idx(d, q);

	submit(d, q, 0, type, sector, fill);
	kick(d, q);
	WAIT(used_idx(d, q) == (uint16_t)(before + 1));
	assert_int_equal(result(d, q, 0), want);
}

/* Write, read back, one request at a time on each queue. */
static void use_disk(struct driver *d, uint8_t seed)
{
	unsigned int q, i;

	for (q = 0; q < d->queues; q++) {
		for (i = 0; i < 4; i++) {
			one_request(d, q, VIRTIO_BLK_T_OUT, 64 * q + 8 * i, (uint8_t)(seed + i),
				    VIRTIO_BLK_S_OK);
			wait_call(d, q);
		}
		for (i = 0; i < 4; i++) {
			one_request(d, q, VIRTIO_BLK_T_IN, 64 * q + 8 * i, 0, VIRTIO_BLK_S_OK);
			wait_call(d, q);
			assert_true(all_bytes(d, q, 0, (uint8_t)(seed + i)));
		}
	}
}

#define PLAIN	(MUST | BIT(VIRTIO_BLK_F_FLUSH))
#define WITH_EVENT_IDX	(PLAIN | BIT(VIRTIO_RING_F_EVENT_IDX))

static const char *const qsd[] = {
	"qemu-storage-daemon", "--blockdev", "driver=file,node-name=f,filename=IMAGE", "--export",
	"type=vhost-user-blk,id=e,node-name=f,writable=on,addr.type=unix,addr.path=SOCKET,num-queues=2",
	NULL,
};

/* with a latency of a second, in memory only */
static const char *const slow_qsd[] = {
	"qemu-storage-daemon", "--blockdev",
	"driver=null-co,node-name=f,size=16777216,read-zeroes=on,latency-ns=1000000000",
	"--export",
	"type=vhost-user-blk,id=e,node-name=f,writable=on,addr.type=unix,addr.path=SOCKET,num-queues=2",
	NULL,
};

static void make_image(void)
{
	int fd = open(image, O_RDWR | O_CREAT, 0600);

	assert_int_equal(ftruncate(fd, 16 << 20), 0);
	close(fd);
}

/* ---- what works ---- */

static void test_storage_daemon(void **state)
{
	uint64_t capacity;
	struct driver d;

	(void)state;
	begin(&d);
	make_image();
	bring_all(&d, "blk", qsd, NULL, NULL);
	assert_true((offered(&d) & MUST) == MUST);
	assert_int_equal(get(&d, REG(num_queues), 2), 2);
	capacity = get(&d, DEVICE, 8);
	assert_int_equal(capacity, (16 << 20) / 512);
	bring_up(&d, 2, PLAIN);
	use_disk(&d, 1);
	/* the driver goes and comes again */
	bring_up(&d, 2, WITH_EVENT_IDX & offered(&d));
	one_request(&d, 0, VIRTIO_BLK_T_IN, 0, 0, VIRTIO_BLK_S_OK);
	assert_true(all_bytes(&d, 0, 0, 1));
	/* and so does the client, with other memory */
	leave(&d);
	join(&d);
	bring_up(&d, 2, PLAIN);
	use_disk(&d, 7);
	assert_false(said("connected again"));
	stop(&d);
}

static void test_own_backend(void **state)
{
	static const char *const kinds[][5] = {
		{ "--queues=4", NULL },
		{ "--queues=4", "--status", "--reset", NULL },
		{ "--queues=4", "--no-ack", "--inflight", NULL },
		{ "--queues=4", "--inflight", "--status", NULL },
	};
	struct driver d;
	unsigned int i;

	(void)state;
	for (i = 0; i < 4; i++) {
		start(&d, "blk", vublk, kinds[i], NULL);
		assert_int_equal(get(&d, REG(num_queues), 2), 4);
		bring_up(&d, 4, WITH_EVENT_IDX);
		use_disk(&d, 3);
		if (i == 1) {
			reset(&d);
			assert_true(said("vfiouser-vublk: reset"));
		}
		bring_up(&d, 2, PLAIN);
		use_disk(&d, 5);
		stop(&d);
	}
}

/* By message where the client takes no descriptors for doorbells, and without MSI-X. */
static void test_trap_and_intx(void **state)
{
	struct driver d;

	(void)state;
	start(&d, "blk", vublk, (const char *[]){ "--queues=2", NULL }, NULL);
	d.trap = true;
	d.intx = true;
	bring_up(&d, 1, PLAIN);
	one_request(&d, 0, VIRTIO_BLK_T_OUT, 0, 9, VIRTIO_BLK_S_OK);
	wait_call(&d, 0);
	assert_int_equal(get(&d, ISR, 1), 1);
	assert_int_equal(get(&d, ISR, 1), 0);
	stop(&d);
}

/* The client replaces eventfds while requests are on their way: no interrupt is lost. */
static void test_other_eventfds(void **state)
{
	struct driver d;
	unsigned int i;

	(void)state;
	start(&d, "blk", vublk, (const char *[]){ "--queues=1", "--delay=2000", NULL }, NULL);
	bring_up(&d, 1, PLAIN);
	for (i = 0; i < 50; i++) {
		uint16_t before = used_idx(&d, 0);

		submit(&d, 0, 0, VIRTIO_BLK_T_OUT, 0, 1);
		kick(&d, 0);
		close(d.call[1]);
		d.call[1] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		assert_int_equal(mc_set_irqs(&d.mc, TRIGGER, MSIX, 1, 1, NULL, 0, &d.call[1], 1),
				 0);
		WAIT(used_idx(&d, 0) == (uint16_t)(before + 1));
		wait_call(&d, 0);
	}
	stop(&d);
}

/* ---- configuration ---- */

static void test_config_change(void **state)
{
	uint8_t generation;
	struct driver d;
	eventfd_t n;

	(void)state;
	start(&d, "blk", vublk, (const char *[]){ "--queues=1", NULL }, NULL);
	bring_up(&d, 1, PLAIN | BIT(VIRTIO_BLK_F_CONFIG_WCE));
	generation = (uint8_t)get(&d, REG(config_generation), 1);
	assert_int_equal(get(&d, DEVICE, 8), (16 << 20) / 512);
	kill(d.back, SIGUSR1);
	WAIT(get(&d, DEVICE, 8) == (32 << 20) / 512);
	assert_int_equal(get(&d, REG(config_generation), 1), (uint8_t)(generation + 1));
	assert_int_equal(eventfd_read(d.call[0], &n), 0);
	/* what the driver writes reaches the back end */
	assert_int_equal(get(&d, DEVICE + 32, 1), 1);
	put(&d, DEVICE + 32, 0, 1);
	WAIT(said("wce 0"));
	assert_int_equal(get(&d, DEVICE + 32, 1), 0);
	/* and nothing else does */
	put(&d, DEVICE, 1, 8);
	use_disk(&d, 4);
	assert_int_equal(get(&d, DEVICE, 8), (32 << 20) / 512);
	stop(&d);
}

/* Requests that are not for a host are refused, their descriptors closed. */
static void test_pestering(void **state)
{
	struct driver d;

	(void)state;
	start(&d, "blk", vublk, (const char *[]){ "--queues=1", NULL }, NULL);
	bring_up(&d, 1, PLAIN);
	kill(d.back, SIGUSR2);
	WAIT(said("no more are taken"));
	use_disk(&d, 2);
	stop(&d);
}

/* ---- stopping ---- */

/* The pool belongs to somebody else from the moment in which the status reads 0. */
static void check_quiet(struct driver *d)
{
	const struct timespec more = { 1, 500000000 };
	unsigned int i;

	memset(d->mem, 0xa5, SIZE);
	nanosleep(&more, NULL);
	for (i = 0; i < SIZE; i++)
		assert_int_equal(d->mem[i], 0xa5);
}

static void drain(const char *const args[], const char *const extra[])
{
	struct driver d;
	unsigned int i;
	int other;

	begin(&d);
	make_image();
	bring_all(&d, "blk", args, extra, NULL);
	/* the driver resets */
	bring_up(&d, 1, PLAIN);
	for (i = 0; i < 16; i++)
		submit(&d, 0, i, VIRTIO_BLK_T_IN, 8 * i, 0);
	kick(&d, 0);
	/* by then it has taken them */
	usleep(200000);
	put(&d, REG(device_status), 0, 1);
	assert_int_not_equal(status(&d), 0);
	WAIT(!status(&d));
	assert_int_equal(used_idx(&d, 0), 16);
	check_quiet(&d);
	/* the client resets the function */
	bring_up(&d, 1, PLAIN);
	for (i = 0; i < 16; i++)
		submit(&d, 0, i, VIRTIO_BLK_T_IN, 8 * i, 0);
	kick(&d, 0);
	usleep(200000);
	assert_int_equal(mc_request(&d.mc, VFIO_USER_DEVICE_RESET, NULL, 0, NULL, 0), 0);
	assert_int_equal(status(&d), 0);
	assert_int_equal(used_idx(&d, 0), 16);
	check_quiet(&d);
	/* the client takes its memory back */
	bring_up(&d, 1, PLAIN);
	for (i = 0; i < 16; i++)
		submit(&d, 0, i, VIRTIO_BLK_T_IN, 8 * i, 0);
	kick(&d, 0);
	usleep(200000);
	assert_int_equal(mc_dma_unmap(&d.mc, IOVA, SIZE), 0);
	assert_int_equal(used_idx(&d, 0), 16);
	check_quiet(&d);
	/* and gives other memory in its place */
	other = memfd_create("other", MFD_CLOEXEC);
	assert_int_equal(ftruncate(other, SIZE), 0);
	assert_int_equal(mc_dma_map(&d.mc, IOVA, SIZE, other, 0), 0);
	assert_true(status(&d) & VIRTIO_CONFIG_S_NEEDS_RESET);
	assert_int_equal(mc_dma_unmap(&d.mc, IOVA, SIZE), 0);
	close(other);
	assert_int_equal(mc_dma_map(&d.mc, IOVA, SIZE, d.memfd, 0), 0);
	/* the client goes: the next one is let in when all is over */
	bring_up(&d, 1, PLAIN);
	for (i = 0; i < 16; i++)
		submit(&d, 0, i, VIRTIO_BLK_T_IN, 8 * i, 0);
	kick(&d, 0);
	usleep(200000);
	mc_close(&d.mc);
	connect_client(&d);
	assert_int_equal(used_idx(&d, 0), 16);
	check_quiet(&d);
	forget_memory(&d);
	share_memory(&d);
	bring_up(&d, 1, PLAIN);
	assert_false(said("connected again"));
	stop(&d);
}

static void test_drain(void **state)
{
	(void)state;
	drain(vublk, (const char *[]){ "--queues=1", "--delay=1000000", "--fixed", NULL });
}

static void test_drain_storage_daemon(void **state)
{
	(void)state;
	drain(slow_qsd, NULL);
}

/* That the test above would see it. */
static void test_without_drain(void **state)
{
	struct driver d;
	unsigned int i;

	(void)state;
	start(&d, "blk", slow_qsd, NULL, (const char *[]){ "--no-drain", NULL });
	bring_up(&d, 1, PLAIN);
	submit(&d, 0, 0, VIRTIO_BLK_T_IN, 0, 0);
	kick(&d, 0);
	usleep(200000);
	reset(&d);
	memset(d.mem, 0xa5, SIZE);
	usleep(1500000);
	for (i = 0; i < SIZE && d.mem[i] == 0xa5; i++)
		;
	assert_true(i < SIZE);
	stop(&d);
}

/* One that does not finish in time is let go, and what answers next has finished. */
static void test_stop_timeout(void **state)
{
	struct driver d;

	(void)state;
	start(&d, "blk", vublk,
	      (const char *[]){ "--queues=1", "--delay=4000000", "--fixed", NULL }, NULL);
	bring_up(&d, 1, PLAIN);
	submit(&d, 0, 0, VIRTIO_BLK_T_IN, 0, 0);
	kick(&d, 0);
	usleep(200000);
	put(&d, REG(device_status), 0, 1);
	WAIT(!status(&d));
	assert_int_equal(used_idx(&d, 0), 1);
	assert_true(said("does not finish its requests"));
	WAIT(said("connected again"));
	stop(&d);
}

/* Nothing that the driver reads waits for a back end that does not run. */
static void test_stopped_backend(void **state)
{
	struct timespec a, b;
	struct driver d;
	unsigned int i;

	(void)state;
	start(&d, "blk", vublk, (const char *[]){ "--queues=1", NULL }, NULL);
	bring_up(&d, 1, PLAIN);
	use_disk(&d, 1);
	kill(d.back, SIGSTOP);
	clock_gettime(CLOCK_MONOTONIC, &a);
	for (i = 0; i < 0x40; i++)
		get(&d, i, 1);
	for (i = 0; i < 60; i++)
		get(&d, DEVICE + i, 1);
	put(&d, DEVICE + 32, 0, 1);
	put(&d, REG(queue_select), 0, 2);
	put(&d, REG(queue_msix_vector), 0, 2);
	put(&d, REG(queue_msix_vector), 1, 2);
	put(&d, REG(device_status), 0, 1);
	assert_int_not_equal(status(&d), 0);
	clock_gettime(CLOCK_MONOTONIC, &b);
	assert_true(b.tv_sec - a.tv_sec < 5);
	kill(d.back, SIGCONT);
	WAIT(!status(&d));
	bring_up(&d, 1, PLAIN);
	use_disk(&d, 2);
	assert_false(said("connected again"));
	stop(&d);
}

/* ---- recovery ---- */

/* Every head once, in whatever order. */
static void check_used(struct driver *d, unsigned int q, unsigned int n)
{
	const struct vring_used *u = (struct vring_used *)(d->mem + USED(q));
	bool seen[DEPTH] = { 0 };
	unsigned int i;

	for (i = 0; i < n; i++) {
		uint32_t id = u->ring[i % DEPTH].id;

		assert_true(id < DEPTH && !(id % 3) && !seen[id]);
		seen[id] = true;
	}
}

static const char *const inflight_args[] = {
	"--queues=4", "--inflight", "--delay=20000", "--reorder", NULL
};

static void test_inflight(void **state)
{
	struct driver d;
	unsigned int round, q, i;

	(void)state;
	start(&d, "blk", vublk, inflight_args, NULL);
	for (round = 0; round < 10; round++) {
		bring_up(&d, 4, round % 2 ? PLAIN : WITH_EVENT_IDX);
		for (q = 0; q < 4; q++) {
			for (i = 0; i < 16; i++)
				submit(&d, q, i, VIRTIO_BLK_T_OUT, 1024 * q + 8 * i,
				       (uint8_t)(round + q + i));
			kick(&d, q);
		}
		usleep(2000 * round);
		kill_back(&d);
		/* the driver goes on meanwhile */
		for (q = 0; q < 4; q++) {
			for (i = 16; i < 20; i++)
				submit(&d, q, i, VIRTIO_BLK_T_OUT, 1024 * q + 8 * i,
				       (uint8_t)(round + q + i));
			kick(&d, q);
		}
		d.back = back(vublk, inflight_args);
		for (q = 0; q < 4; q++) {
			WAIT(used_idx(&d, q) == 20);
			check_used(&d, q, 20);
			for (i = 0; i < 20; i++)
				assert_int_equal(result(&d, q, i), VIRTIO_BLK_S_OK);
			wait_call(&d, q);
		}
		bring_up(&d, 4, PLAIN);
		for (q = 0; q < 4; q++) {
			for (i = 0; i < 20; i++)
				submit(&d, q, i, VIRTIO_BLK_T_IN, 1024 * q + 8 * i, 0);
			kick(&d, q);
			WAIT(used_idx(&d, q) == 20);
			for (i = 0; i < 20; i++)
				assert_true(all_bytes(&d, q, i, (uint8_t)(round + q + i)));
		}
	}
	stop(&d);
}

/* Without such memory: what can be known is taken up, nothing else. */
static void test_idle_and_single(void **state)
{
	static const char *const args[] = { "--queues=2", "--delay=300000", "--fixed", NULL };
	struct driver d;

	(void)state;
	start(&d, "blk", vublk, args, NULL);
	bring_up(&d, 2, PLAIN);
	one_request(&d, 0, VIRTIO_BLK_T_OUT, 0, 5, VIRTIO_BLK_S_OK);
	/* idle */
	kill_back(&d);
	d.back = back(vublk, args);
	one_request(&d, 0, VIRTIO_BLK_T_OUT, 8, 6, VIRTIO_BLK_S_OK);
	/* one in each queue */
	submit(&d, 0, 1, VIRTIO_BLK_T_IN, 0, 0);
	submit(&d, 1, 1, VIRTIO_BLK_T_IN, 8, 0);
	kick(&d, 0);
	kick(&d, 1);
	usleep(50000);
	kill_back(&d);
	WAIT(said("closed the connection") == 2);
	/* two more that nobody has seen */
	submit(&d, 0, 2, VIRTIO_BLK_T_IN, 0, 0);
	submit(&d, 0, 3, VIRTIO_BLK_T_IN, 8, 0);
	kick(&d, 0);
	d.back = back(vublk, args);
	WAIT(used_idx(&d, 0) == 5 && used_idx(&d, 1) == 1);
	assert_true(all_bytes(&d, 0, 1, 5));
	assert_true(all_bytes(&d, 1, 1, 6));
	assert_true(all_bytes(&d, 0, 2, 5));
	assert_true(all_bytes(&d, 0, 3, 6));
	stop(&d);
}

static void test_unknown(void **state)
{
	static const char *const args[] = {
		"--queues=1", "--delay=2000000", "--reorder", "--state", NULL
	};
	struct driver d;
	unsigned int i;
	uint16_t before;

	(void)state;
	start(&d, "blk", vublk, args, NULL);
	bring_up(&d, 1, PLAIN);
	for (i = 0; i < 16; i++)
		submit(&d, 0, i, VIRTIO_BLK_T_OUT, 8 * i, 1);
	kick(&d, 0);
	WAIT(used_idx(&d, 0) >= 2);
	kill_back(&d);
	before = used_idx(&d, 0);
	d.back = back(vublk, args);
	WAIT(said("cannot be known"));
	/* replacing it makes that no better, and no worse */
	kill(d.front.pid, SIGHUP);
	WAIT(said("nothing that it could save"));
	usleep(500000);
	assert_int_equal(used_idx(&d, 0), before);
	assert_false(said("device needs reset"));
	/* the driver can start again */
	bring_up(&d, 1, PLAIN);
	use_disk(&d, 1);
	stop(&d);
}

/* An administrator who knows better. */
static void test_in_order(void **state)
{
	static const char *const args[] = { "--queues=1", "--delay=20000", NULL };
	struct driver d;
	unsigned int i;

	(void)state;
	start(&d, "blk", vublk, args, (const char *[]){ "--in-order", NULL });
	bring_up(&d, 1, PLAIN);
	for (i = 0; i < 20; i++)
		submit(&d, 0, i, VIRTIO_BLK_T_OUT, 8 * i, (uint8_t)i);
	kick(&d, 0);
	WAIT(used_idx(&d, 0) >= 2);
	kill_back(&d);
	d.back = back(vublk, args);
	WAIT(used_idx(&d, 0) == 20);
	check_used(&d, 0, 20);
	stop(&d);
}

/* One that stays away for too long: requests end with errors, the driver can let go. */
static void test_deadline(void **state)
{
	struct driver d;
	unsigned int i;

	(void)state;
	start(&d, "blk", vublk,
	      (const char *[]){ "--queues=2", "--inflight", "--delay=2000000", "--reorder", NULL },
	      (const char *[]){ "--deadline=300", NULL });
	bring_up(&d, 2, PLAIN);
	for (i = 0; i < 10; i++)
		submit(&d, 0, i, VIRTIO_BLK_T_IN, 8 * i, 0);
	kick(&d, 0);
	WAIT(used_idx(&d, 0) >= 2);
	kill_back(&d);
	WAIT(used_idx(&d, 0) == 10);
	check_used(&d, 0, 10);
	wait_call(&d, 0);
	assert_true(said("all requests end with errors"));
	for (i = 0; i < 10; i++)
		assert_true(result(&d, 0, i) == VIRTIO_BLK_S_IOERR ||
			    result(&d, 0, i) == VIRTIO_BLK_S_OK);
	/* what comes later, too */
	for (i = 0; i < 10; i++)
		one_request(&d, 1, VIRTIO_BLK_T_OUT, 0, 1, VIRTIO_BLK_S_IOERR);
	reset(&d);
	/* and from then on another back end serves */
	d.back = back(vublk, (const char *[]){ "--queues=2", "--inflight", NULL });
	bring_up(&d, 2, PLAIN);
	use_disk(&d, 3);
	stop(&d);
}

/* The same where only the driver knows which requests are done: it loses the device. */
static void test_deadline_unknown(void **state)
{
	static const char *const args[] = { "--queues=1", "--delay=2000000", "--reorder", NULL };
	struct pollfd p = { .events = POLLIN };
	struct driver d;
	unsigned int i;
	char byte;

	(void)state;
	start(&d, "blk", vublk, args, (const char *[]){ "--deadline=300", NULL });
	bring_up(&d, 1, PLAIN);
	for (i = 0; i < 16; i++)
		submit(&d, 0, i, VIRTIO_BLK_T_OUT, 8 * i, 1);
	kick(&d, 0);
	WAIT(used_idx(&d, 0) >= 2);
	kill_back(&d);
	p.fd = d.mc.fd;
	assert_int_equal(poll(&p, 1, MC_TIMEOUT_MS), 1);
	assert_int_equal(recv(d.mc.fd, &byte, 1, 0), 0);
	assert_true(said("only the driver can know"));
	leave(&d);
	/* It has it again when there is another back end. */
	d.back = back(vublk, (const char *[]){ "--queues=1", NULL });
	join(&d);
	bring_up(&d, 1, PLAIN);
	use_disk(&d, 1);
	stop(&d);
}

/* A back end that cannot go on with a ring. */
static void test_ring_error(void **state)
{
	struct driver d;

	(void)state;
	start(&d, "blk", vublk, (const char *[]){ "--queues=2", "--fault=err", NULL }, NULL);
	bring_up(&d, 2, PLAIN);
	one_request(&d, 1, VIRTIO_BLK_T_OUT, 0, 1, VIRTIO_BLK_S_IOERR);
	wait_call(&d, 1);
	one_request(&d, 0, VIRTIO_BLK_T_IN, 0, 0, VIRTIO_BLK_S_IOERR);
	assert_int_equal(said("reports an error of queue 1"), 1);
	/* The back end is kept: the driver may try again. */
	bring_up(&d, 2, PLAIN);
	one_request(&d, 0, VIRTIO_BLK_T_OUT, 0, 1, VIRTIO_BLK_S_IOERR);
	assert_false(said("connected again"));
	stop(&d);
}

/* Another disk than before is turned away. */
static void test_other_backend(void **state)
{
	struct driver d;

	(void)state;
	start(&d, "blk", vublk, (const char *[]){ "--queues=4", NULL }, NULL);
	bring_up(&d, 2, PLAIN);
	use_disk(&d, 1);
	kill_back(&d);
	d.back = back(vublk, (const char *[]){ "--queues=2", NULL });
	WAIT(said("fewer queues"));
	kill_back(&d);
	d.back = back(vublk, (const char *[]){ "--queues=4", "--size=1048576", NULL });
	WAIT(said("it is smaller"));
	kill_back(&d);
	d.back = back(vublk, (const char *[]){ "--queues=4", NULL });
	use_disk(&d, 2);
	stop(&d);
}

static void test_storage_daemon_again(void **state)
{
	struct driver d;
	int i;

	(void)state;
	begin(&d);
	make_image();
	bring_all(&d, "blk", qsd, NULL, NULL);
	bring_up(&d, 2, PLAIN);
	for (i = 0; i < 5; i++) {
		use_disk(&d, (uint8_t)i);
		kill_back(&d);
		d.back = back(qsd, NULL);
	}
	use_disk(&d, 9);
	stop(&d);
}

/* The back end is replaced below requests: the next one gets the state, then the rings. */
static void test_handover(void **state)
{
	static const char *const stateful[] = { "--queues=2", "--state", "--delay=20000", NULL };
	struct driver d;
	unsigned int i, n;

	(void)state;
	start(&d, "blk", vublk, stateful, NULL);
	kill(d.front.pid, SIGHUP);
	WAIT(said("it can be replaced as it is"));
	bring_up(&d, 2, WITH_EVENT_IDX);
	use_disk(&d, 1);
	for (i = 1; i <= 3; i++) {
		uint16_t before = used_idx(&d, 0);

		for (n = 0; n < 8; n++)
			submit(&d, 0, n, VIRTIO_BLK_T_OUT, 64 * n, (uint8_t)i);
		kick(&d, 0);
		kill(d.front.pid, SIGHUP);
		WAIT(said("state is saved") == i);
		/* what comes meanwhile waits */
		submit(&d, 1, 0, VIRTIO_BLK_T_OUT, 1024, (uint8_t)i);
		kick(&d, 1);
		assert_int_equal(result(&d, 1, 0), 0xff);
		kill_back(&d);
		d.back = back(vublk, stateful);
		WAIT(said("bytes of state handed over") == i);
		assert_int_equal(said("state loaded, 200000 bytes"), i);
		WAIT(used_idx(&d, 0) == (uint16_t)(before + 8));
		WAIT(result(&d, 1, 0) == VIRTIO_BLK_S_OK);
		use_disk(&d, (uint8_t)(10 + i));
	}
	/* One that dies before it is given the state, then one that takes it. */
	kill(d.front.pid, SIGHUP);
	WAIT(said("state is saved") == 4);
	kill_back(&d);
	d.back = back(vublk, (const char *[]){ "--queues=2", "--state", "--fault=close:42", NULL });
	kill_back(&d);
	d.back = back(vublk, stateful);
	use_disk(&d, 20);
	/* The driver resets the device meanwhile: there is nothing to hand over any more. */
	kill(d.front.pid, SIGHUP);
	WAIT(said("state is saved") == 5);
	kill_back(&d);
	reset(&d);
	d.back = back(vublk, (const char *[]){ "--queues=2", NULL });
	bring_up(&d, 2, PLAIN);
	use_disk(&d, 21);
	/* This one cannot, and keeps its rings. */
	kill(d.front.pid, SIGHUP);
	WAIT(said("cannot save its state"));
	use_disk(&d, 22);
	stop(&d);
}

/* Back ends that do not save their state, or do not take another's. */
static void test_handover_refused(void **state)
{
	struct driver d;

	(void)state;
	start(&d, "blk", vublk, (const char *[]){ "--queues=2", "--state", "--fault=state", NULL },
	      NULL);
	bring_up(&d, 2, PLAIN);
	use_disk(&d, 1);
	kill(d.front.pid, SIGHUP);
	WAIT(said("does not save its state: it is not replaced"));
	use_disk(&d, 2);
	stop(&d);

	start(&d, "blk", vublk, (const char *[]){ "--queues=2", "--state", NULL }, NULL);
	bring_up(&d, 2, PLAIN);
	use_disk(&d, 1);
	kill(d.front.pid, SIGHUP);
	WAIT(said("state is saved"));
	kill_back(&d);
	d.back = back(vublk, (const char *[]){ "--queues=2", "--state", "--fault=state", NULL });
	one_request(&d, 0, VIRTIO_BLK_T_IN, 0, 0, VIRTIO_BLK_S_IOERR);
	assert_int_equal(said("does not take the state of the one before"), 1);
	stop(&d);

	start(&d, "blk", vublk, (const char *[]){ "--queues=2", "--state", NULL },
	      (const char *[]){ "--deadline=200", NULL });
	bring_up(&d, 2, PLAIN);
	kill(d.front.pid, SIGHUP);
	WAIT(said("state is saved"));
	kill_back(&d);
	one_request(&d, 0, VIRTIO_BLK_T_IN, 0, 0, VIRTIO_BLK_S_IOERR);
	assert_int_equal(said("no back end came in time"), 1);
	stop(&d);
}

/* It comes to us. */
static void test_listen(void **state)
{
	static const char *const args[] = { VUBLK, "--image=IMAGE", "--connect=SOCKET", NULL };
	static const char *const extra[] = { "--queues=1", NULL };
	struct driver d;

	(void)state;
	begin(&d);
	unlink(back_path);
	d.back = spawn(args, extra);
	start_front(&d, "blk", (const char *[]){ "--listen", NULL });
	join(&d);
	bring_up(&d, 1, PLAIN);
	use_disk(&d, 1);
	kill_back(&d);
	d.back = spawn(args, extra);
	use_disk(&d, 2);
	stop(&d);
}

/* ---- lies ---- */

/* The driver's side of a device whose back end may do anything. */
static void poke(struct driver *d)
{
	unsigned int q;

	lenient = true;
	if (mc_connect(&d->mc, front_path) || mc_negotiate(&d->mc))
		return;
	d->queues = 2;
	d->trap = true;
	d->memfd = memfd_create("pool", MFD_CLOEXEC);
	if (ftruncate(d->memfd, SIZE))
		return;
	d->mem = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, d->memfd, 0);
	mc_dma_map(&d->mc, IOVA, SIZE, d->memfd, 0);
	put(d, REG(device_status), 0, 1);
	accept_features(d, PLAIN);
	set_interrupts(d);
	for (q = 0; q < 2; q++)
		set_queue(d, q);
	put(d, REG(device_status), 15, 1);
	submit(d, 0, 0, VIRTIO_BLK_T_IN, 0, 0);
	kick(d, 0);
	usleep(20000);
	get(d, DEVICE, 8);
	put(d, DEVICE + 32, 0, 1);
	kill(d->back, SIGUSR1);
	usleep(5000);
	put(d, REG(device_status), 0, 1);
	usleep(30000);
}

static void lie(const char *kind, int message)
{
	const char *args[] = { "--queues=2", "--inflight", "--status", "--reset", NULL, NULL };
	const struct timespec ms = { 0, 1000000 };
	char fault[40], path[80];
	struct driver d;
	struct stat st;
	int i;

	snprintf(fault, sizeof(fault), "--fault=%s:%d", kind, message);
	args[4] = fault;
	print_message("# %s\n", fault);
	begin(&d);
	d.back = back(vublk, args);
	/* It may never come up. */
	memcpy(path, front_path, sizeof(path));
	unlink(path);
	no_wait = true;
	start_front(&d, "blk", (const char *[]){ "--timeout=50", NULL });
	no_wait = false;
	for (i = 0; i < 300 && stat(path, &st); i++)
		nanosleep(&ms, NULL);
	never_up = i == 300;
	if (!never_up) {
		pid_t child = fork();

		if (!child) {
			poke(&d);
			_exit(0);
		}
		for (i = 0; i < 400 && !waitpid(child, NULL, WNOHANG); i++)
			nanosleep(&ms, NULL);
		if (i == 400) {
			kill(child, SIGKILL);
			waitpid(child, NULL, 0);
		}
	}
	stop(&d);
	never_up = false;
}

static void test_lies(void **state)
{
	static const char *const kinds[] = {
		"silent", "nack", "close",
		/* of messages with a reply */
		"exit", "wrong", "fds", "size", "huge", "flags", "version", "half", "empty",
		"garbage", "twice",
	};
	static const int sets[] = { 5, 12, 13, 18, 25, 32, 39 };
	static const int gets[] = { 1, 11, 24 };
	static const int few[] = { 15, 17, 31 };
	unsigned int k, m;

	(void)state;
	for (k = 0; k < 3; k++)
		for (m = 0; m < sizeof(sets) / sizeof(sets[0]); m++)
			lie(kinds[k], sets[m]);
	for (k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++)
		for (m = 0; m < sizeof(gets) / sizeof(gets[0]); m++)
			lie(kinds[k], gets[m]);
	for (m = 0; m < sizeof(few) / sizeof(few[0]); m++) {
		lie("size", few[m]);
		lie("garbage", few[m]);
		lie("fds", few[m]);
		lie("close", few[m]);
	}
	lie("queue-num", 65535);
	lie("queue-num", 1);
	lie("queues", 65535);
	lie("inflight-small", 0);
}

/* ---- what is refused ---- */

static int front_status(const char *const args[])
{
	char *argv[16] = { (char *)SERVER };
	int i, null, status;
	pid_t pid;

	for (i = 0; args[i]; i++)
		argv[i + 1] = (char *)args[i];
	pid = fork();
	if (!pid) {
		null = open("/dev/null", O_WRONLY);
		dup2(null, 2);
		execv(SERVER, argv);
		_exit(127);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void test_refused(void **state)
{
	static const char *const types[] = {
		"--type=balloon", "--type=mem", "--type=iommu", "--type=pmem", "--type=gpu",
		"--type=24", "--type=vsock", "--type=nonsense", "--type=0", "--type=65536",
	};
	unsigned int i;

	(void)state;
	for (i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		assert_int_equal(front_status((const char *[]){
			types[i], "--vhost-socket=/nowhere/a", "--socket-path=/nowhere/b", NULL
		}), 2);
	assert_int_equal(front_status((const char *[]){ "--type=blk", NULL }), 2);
}

/* A client without memory that can be handed on. */
static void test_no_memory(void **state)
{
	struct driver d;

	(void)state;
	begin(&d);
	d.back = back(vublk, (const char *[]){ "--queues=1", NULL });
	start_front(&d, "blk", NULL);
	connect_client(&d);
	assert_int_equal(mc_dma_map(&d.mc, IOVA, SIZE, -1, 0), -EINVAL);
	assert_true(said("shares no memory"));
	share_memory(&d);
	bring_up(&d, 1, PLAIN);
	use_disk(&d, 1);
	/* Nothing happens where a ring is not in memory, or is not any more. */
	assert_int_equal(ftruncate(d.memfd, 0), 0);
	put(&d, REG(device_status), 0, 1);
	stop(&d);
}

/* Memory that is taken away and comes back in other pieces, as a virtual machine's does. */
static void test_memory_moves(void **state)
{
	struct vfio_user_dma_map firmware = {
		sizeof(firmware), VFIO_USER_DMA_READABLE, 0, IOVA + SIZE, 0x1000,
	};
	struct driver d;
	int i;

	(void)state;
	begin(&d);
	d.back = back(vublk, (const char *[]){ "--queues=1", NULL });
	start_front(&d, "blk", NULL);
	connect_client(&d);
	share_memory(&d);
	/* firmware: read only, without a descriptor */
	assert_int_equal(mc_request(&d.mc, VFIO_USER_DMA_MAP, &firmware, sizeof(firmware), NULL, 0),
			 0);
	bring_up(&d, 1, PLAIN);
	use_disk(&d, 1);
	for (i = 0; i < 3; i++) {
		assert_int_equal(mc_dma_unmap(&d.mc, IOVA, SIZE), 0);
		assert_int_equal(mc_dma_map(&d.mc, IOVA, SIZE / 2, d.memfd, 0), 0);
		assert_int_equal(mc_dma_map(&d.mc, IOVA + SIZE / 2, SIZE / 2, d.memfd, SIZE / 2), 0);
		use_disk(&d, 1);
		assert_int_equal(mc_dma_unmap(&d.mc, IOVA, SIZE / 2), 0);
		assert_int_equal(mc_dma_unmap(&d.mc, IOVA + SIZE / 2, SIZE / 2), 0);
		assert_int_equal(mc_dma_map(&d.mc, IOVA, SIZE, d.memfd, 0), 0);
	}
	assert_false(status(&d) & VIRTIO_CONFIG_S_NEEDS_RESET);
	stop(&d);
}

/* ---- a client that goes, and another that goes on where it was ---- */

#define KEEP_MS		30000
#define TOKEN		17

/* Returns whether the device was kept for this client; @token is its name from now on. */
static bool connect_keeping(struct driver *d, unsigned int ms, char token[TOKEN])
{
	static const char at[] = "\"vfiouser_keep\":{\"token\":\"";
	char json[160], was[TOKEN];
	const char *reply;

	memcpy(was, token, sizeof(was));
	snprintf(json, sizeof(json),
		 "{\"capabilities\":{\"max_msg_fds\":16,\"vfiouser_keep\":{\"ms\":%u%s%s%s}}}", ms,
		 *was ? ",\"token\":\"" : "", was, *was ? "\"" : "");
	assert_int_equal(mc_connect(&d->mc, front_path), 0);
	assert_int_equal(mc_version(&d->mc, 0, 1, json), 0);
	d->connected = true;
	reply = strstr((char *)d->mc.payload + 4, at);
	assert_non_null(reply);
	memcpy(token, reply + sizeof(at) - 1, TOKEN - 1);
	token[TOKEN - 1] = 0;
	assert_int_equal(strspn(token, "0123456789abcdef"), TOKEN - 1);
	return !strcmp(was, token);
}

/* One that would go on, with a proposal that is refused for something else: nothing is lost by it. */
static void propose_badly(struct driver *d, const char token[TOKEN])
{
	char json[160];

	snprintf(json, sizeof(json),
		 "{\"capabilities\":{\"max_data_xfer_size\":0,\"vfiouser_keep\":{\"ms\":%u,\"token\":\"%s\"}}}",
		 KEEP_MS, token);
	assert_int_equal(mc_connect(&d->mc, front_path), 0);
	assert_int_equal(mc_version(&d->mc, 0, 1, json), -EINVAL);
	mc_close(&d->mc);
}

/* Without a word. */
static void vanish(struct driver *d)
{
	unsigned int before = said("goes on until there is another");

	mc_close(&d->mc);
	d->connected = false;
	WAIT(said("goes on until there is another") == before + 1);
}

static void new_calls(struct driver *d)
{
	unsigned int i;

	for (i = 0; i <= d->queues; i++) {
		close(d->call[i]);
		d->call[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	}
	assert_int_equal(mc_set_irqs(&d->mc, TRIGGER, MSIX, 0, d->queues + 1, NULL, 0, d->call,
				     d->queues + 1), 0);
}

static void test_keep(void **state)
{
	static const char *const extra[] = { "--queues=2", "--inflight", NULL };
	char token[TOKEN] = "", json[100];
	struct driver d;
	int i, other;

	(void)state;
	begin(&d);
	d.back = back(vublk, extra);
	start_front(&d, "blk", NULL);
	assert_false(connect_keeping(&d, KEEP_MS, token));
	share_memory(&d);
	bring_up(&d, 2, WITH_EVENT_IDX);
	use_disk(&d, 1);
	for (i = 0; i < 2; i++) {
		vanish(&d);
		/* It has the doorbells and eventfds that there were. */
		use_disk(&d, 3);
		propose_badly(&d, token);
		assert_true(connect_keeping(&d, KEEP_MS, token));
		assert_int_equal(status(&d), 15);
		/* What it works in is what it works in. */
		other = memfd_create("other", MFD_CLOEXEC);
		assert_int_equal(ftruncate(other, SIZE), 0);
		assert_int_equal(mc_dma_map(&d.mc, IOVA, SIZE, other, 0), -EEXIST);
		close(other);
		assert_int_equal(mc_dma_map(&d.mc, IOVA, SIZE / 2, d.memfd, 0), -EEXIST);
		assert_int_equal(mc_dma_map(&d.mc, IOVA, SIZE, d.memfd, 0), 0);
		assert_int_equal(mc_dma_map(&d.mc, IOVA, SIZE, d.memfd, 0), -EEXIST);
		new_calls(&d);
		use_disk(&d, 4);
	}
	assert_int_equal(said("rings started"), 1);

	/* Its back end as well: what it says when it is back is not lost. */
	vanish(&d);
	kill_back(&d);
	d.back = back(vublk, extra);
	WAIT(said("rings taken up again") == 1);
	one_request(&d, 1, VIRTIO_BLK_T_IN, 0, 0, VIRTIO_BLK_S_OK);
	assert_true(connect_keeping(&d, KEEP_MS, token));
	assert_int_equal(mc_dma_map(&d.mc, IOVA, SIZE, d.memfd, 0), 0);
	new_calls(&d);
	wait_call(&d, 1);
	use_disk(&d, 5);

	/* Another client knows of nothing, and neither does the device. */
	vanish(&d);
	forget_memory(&d);
	join(&d);
	assert_int_equal(status(&d), 0);
	bring_up(&d, 2, PLAIN);
	use_disk(&d, 6);
	leave(&d);
	/* Nor one that would like to go on with what is not there any more. */
	assert_false(connect_keeping(&d, KEEP_MS, token));
	share_memory(&d);
	assert_int_equal(status(&d), 0);
	/* Nor who does not say for how long, if he should go as well. */
	bring_up(&d, 2, PLAIN);
	vanish(&d);
	assert_int_equal(mc_connect(&d.mc, front_path), 0);
	snprintf(json, sizeof(json), "{\"capabilities\":{\"vfiouser_keep\":{\"token\":\"%s\"}}}",
		 token);
	assert_int_equal(mc_version(&d.mc, 0, 1, json), 0);
	d.connected = true;
	assert_int_equal(status(&d), 0);
	forget_memory(&d);
	share_memory(&d);
	/* Of a device that is not in use there is nothing to keep. */
	leave(&d);
	assert_false(connect_keeping(&d, 1, token));
	share_memory(&d);
	bring_up(&d, 2, PLAIN);
	vanish(&d);
	WAIT(said("nobody has come to go on with it") == 1);
	forget_memory(&d);
	assert_false(connect_keeping(&d, KEEP_MS, token));
	share_memory(&d);
	bring_up(&d, 2, PLAIN);
	vanish(&d);
	forget_memory(&d);
	stop(&d);
}

static void test_keep_malformed(void **state)
{
	static const char *const wishes[] = {
		"5", "[]", "{\"ms\":-1}", "{\"ms\":\"1\"}", "{\"token\":1}",
		"{\"token\":\"0123\"}", "{\"ms\":1,\"token\":\"0123456789abcdefg\"}",
		"{\"ms\":1,\"token\":\"0123456789ABCDEF\"}",
	};
	struct driver d;
	char json[160];
	unsigned int i;

	(void)state;
	begin(&d);
	d.back = back(vublk, NULL);
	start_front(&d, "blk", NULL);
	for (i = 0; i < sizeof(wishes) / sizeof(wishes[0]); i++) {
		snprintf(json, sizeof(json), "{\"capabilities\":{\"vfiouser_keep\":%s}}",
			 wishes[i]);
		assert_int_equal(mc_connect(&d.mc, front_path), 0);
		assert_int_equal(mc_version(&d.mc, 0, 1, json), -EINVAL);
		mc_close(&d.mc);
	}
	/* Nothing is said of it to a client that has not asked. */
	assert_int_equal(mc_connect(&d.mc, front_path), 0);
	assert_int_equal(mc_version(&d.mc, 0, 1, "{\"capabilities\":{}}"), 0);
	assert_null(strstr((char *)d.mc.payload + 4, "keep"));
	mc_close(&d.mc);
	stop(&d);
}

/* ---- file systems ---- */

static const char *const virtiofsd[] = {
	"/usr/lib/qemu/virtiofsd", "--socket-path=SOCKET", "-o", "source=/usr/share/doc", "-o",
	"sandbox=chroot", NULL,
};

/* A request with 16 bytes of arguments, on the request queue; returns its error. */
static int fuse_call(struct driver *d, uint32_t opcode, const void *arg)
{
	struct vring_desc *t = (struct vring_desc *)(d->mem + DESC(1));
	struct vring_avail *a = avail(d, 1);
	struct {
		struct fuse_in_header h;
		uint8_t arg[16];
	} *in = (void *)(d->mem + DATA);
	struct fuse_out_header *out = (void *)(d->mem + DATA + 0x1000);
	uint16_t before = used_idx(d, 1);

	memset(in, 0, sizeof(*in));
	memset(out, 0, sizeof(*out) + 256);
	in->h.len = sizeof(*in);
	in->h.opcode = opcode;
	in->h.unique = 77;
	in->h.nodeid = FUSE_ROOT_ID;
	memcpy(in->arg, arg, sizeof(in->arg));
	t[0] = (struct vring_desc){ IOVA + DATA, in->h.len, VRING_DESC_F_NEXT, 1 };
	t[1] = (struct vring_desc){ IOVA + DATA + 0x1000, 256, VRING_DESC_F_WRITE, 0 };
	a->ring[a->idx % DEPTH] = 0;
	__atomic_store_n(&a->idx, a->idx + 1, __ATOMIC_RELEASE);
	kick(d, 1);
	WAIT(used_idx(d, 1) == (uint16_t)(before + 1));
	assert_int_equal(out->unique, 77);
	return out->error;
}

static int fuse_init(struct driver *d)
{
	const struct fuse_init_in init = { .major = 7, .minor = 31 };

	return fuse_call(d, FUSE_INIT, &init);
}

/* Of the root, which is there once it is mounted. */
static int fuse_getattr(struct driver *d)
{
	const struct fuse_getattr_in none = { 0 };

	return fuse_call(d, FUSE_GETATTR, &none);
}

static void test_file_system(void **state)
{
	struct driver d;
	char tag[37] = { 0 };

	(void)state;
	start(&d, "fs", virtiofsd, NULL, (const char *[]){ "--tag=share", NULL });
	assert_int_equal(mc_read(&d.mc, BAR, DEVICE, tag, 36), 0);
	assert_string_equal(tag, "share");
	assert_int_equal(get(&d, DEVICE + 36, 4), 1);
	bring_up(&d, 2, MUST);
	assert_int_equal(fuse_init(&d), 0);
	/* It ends with its connection: the driver goes and comes, and so does the client. */
	leave(&d);
	join(&d);
	bring_up(&d, 2, MUST);
	assert_int_equal(fuse_init(&d), 0);
	assert_int_equal(waitpid(d.back, NULL, WNOHANG), 0);
	/* It is killed: nothing hangs. */
	kill_back(&d);
	assert_int_equal(fuse_init(&d), -ENOTCONN);
	assert_int_equal(fuse_init(&d), -ENOTCONN);
	reset(&d);
	/* Another one can be mounted. */
	d.back = back(virtiofsd, NULL);
	bring_up(&d, 2, MUST);
	assert_int_equal(fuse_init(&d), 0);
	stop(&d);
}

/* Another implementation, rust-vmm's: replaced below the driver, which goes on where it was. */
static void test_file_system_rust(void **state)
{
	static const char *const rust[] = {
		"/usr/libexec/virtiofsd", "--socket-path=SOCKET", "--shared-dir=/usr/share/doc",
		"--tag=share", "--sandbox=chroot", NULL,
	};
	struct driver d;
	unsigned int i;

	(void)state;
	if (access(rust[0], X_OK))
		skip();
	start(&d, "fs", rust, NULL, NULL);
	bring_up(&d, 2, MUST);
	assert_int_equal(fuse_init(&d), 0);
	for (i = 1; i <= 3; i++) {
		kill(d.front.pid, SIGHUP);
		WAIT(said("state is saved") == i);
		mc_wait_exit(d.back);
		d.back = back(rust, NULL);
		WAIT(said("bytes of state handed over") == i);
		assert_int_equal(fuse_getattr(&d), 0);
	}
	leave(&d);
	join(&d);
	bring_up(&d, 2, MUST);
	assert_int_equal(fuse_init(&d), 0);
	assert_int_equal(fuse_getattr(&d), 0);
	kill_back(&d);
	assert_int_equal(fuse_getattr(&d), -ENOTCONN);
	stop(&d);
}

/* ---- network cards ---- */

#define HDR	12			/* of a frame */

static void add(struct driver *d, unsigned int q, uint16_t head)
{
	struct vring_avail *a = avail(d, q);

	a->ring[a->idx % DEPTH] = head;
	__atomic_store_n(&a->idx, a->idx + 1, __ATOMIC_RELEASE);
	kick(d, q);
}

/* A frame goes out by a pair's transmit queue and comes back by its receive queue. */
static void send_frame(struct driver *d, unsigned int pair, uint8_t fill)
{
	unsigned int rx = 2 * pair, tx = 2 * pair + 1;
	uint16_t before = used_idx(d, rx);
	uint8_t *in = d->mem + SLOT_AT(rx, 0), *out = d->mem + SLOT_AT(tx, 0);
	struct vring_desc *r = (struct vring_desc *)(d->mem + DESC(rx));
	struct vring_desc *t = (struct vring_desc *)(d->mem + DESC(tx));

	memset(in, 0, SLOT);
	memset(out, 0, HDR);
	memset(out + HDR, fill, 100);
	*r = (struct vring_desc){ IOVA + SLOT_AT(rx, 0), 2048, VRING_DESC_F_WRITE, 0 };
	*t = (struct vring_desc){ IOVA + SLOT_AT(tx, 0), HDR + 100, 0, 0 };
	add(d, rx, 0);
	add(d, tx, 0);
	WAIT(used_idx(d, rx) == (uint16_t)(before + 1));
	assert_memory_equal(in + HDR, out + HDR, 100);
	wait_call(d, rx);
}

/* In order: taken up wherever it was. */
static void frames_over_a_restart(struct driver *d, const char *const args[],
				  const char *const extra[])
{
	send_frame(d, 0, 7);
	send_frame(d, 0, 8);
	kill_back(d);
	d->back = back(args, extra);
	send_frame(d, 0, 9);
}

static void test_network(void **state)
{
	static const char *const args[] = { "--net", "--queues=2", NULL };
	const uint64_t never = BIT(17) | BIT(22);	/* CTRL_VQ, MQ */
	struct driver d;

	(void)state;
	start(&d, "net", vublk, args,
	      (const char *[]){ "--mac=52:54:00:01:02:03", "--mtu=1400", NULL });
	assert_int_equal(get(&d, DEVICE, 6), 0x030201005452ull);
	assert_int_equal(get(&d, DEVICE + 6, 2), 1);
	assert_int_equal(get(&d, DEVICE + 10, 2), 1400);
	assert_int_equal(get(&d, REG(num_queues), 2), 2);
	assert_false(offered(&d) & never);
	assert_int_equal(said("mtu 1400"), 1);
	bring_up(&d, 2, MUST | BIT(5) | BIT(16));
	frames_over_a_restart(&d, vublk, args);
	stop(&d);
}

/* Another implementation: whatever address is asked for is passt's. */
static void ask_for_address(struct driver *d)
{
	static const uint8_t request[42] = {
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x52, 0x54, 0, 1, 2, 3, 0x08, 0x06,
		0, 1, 8, 0, 6, 4, 0, 1, 0x52, 0x54, 0, 1, 2, 3, 192, 0, 2, 2,
		0, 0, 0, 0, 0, 0, 192, 0, 2, 1,
	};
	uint8_t *in = d->mem + SLOT_AT(0, 0), *out = d->mem + SLOT_AT(1, 0);
	uint16_t before = used_idx(d, 0);

	memset(in, 0, SLOT);
	memset(out, 0, HDR);
	memcpy(out + HDR, request, sizeof(request));
	*(struct vring_desc *)(d->mem + DESC(0)) =
		(struct vring_desc){ IOVA + SLOT_AT(0, 0), 4096, VRING_DESC_F_WRITE, 0 };
	*(struct vring_desc *)(d->mem + DESC(1)) =
		(struct vring_desc){ IOVA + SLOT_AT(1, 0), HDR + sizeof(request), 0, 0 };
	add(d, 0, 0);
	add(d, 1, 0);
	WAIT(used_idx(d, 0) == (uint16_t)(before + 1));
	/* a reply, of 192.0.2.1, to us */
	assert_int_equal(in[HDR + 21], 2);
	assert_memory_equal(in + HDR + 28, request + 38, 4);
	assert_memory_equal(in + HDR, request + 6, 6);
}

static void test_network_passt(void **state)
{
	static const char *const passt[] = {
		"/usr/bin/passt", "--vhost-user", "--foreground", "--socket=SOCKET", "--ipv4-only",
		"--address=192.0.2.2", "--netmask=24", "--gateway=192.0.2.1", NULL,
	};
	struct driver d;

	(void)state;
	/* that of Debian 12 has it not yet */
	if (system("/usr/bin/passt --help 2>&1 | grep -q -e --vhost-user"))
		skip();
	start(&d, "net", passt, NULL, NULL);
	bring_up(&d, 2, MUST | BIT(5) | BIT(16));
	ask_for_address(&d);
	kill_back(&d);
	d.back = back(passt, NULL);
	ask_for_address(&d);
	stop(&d);
}

/* And DPDK's, which gives back what it is sent. */
static void test_network_dpdk(void **state)
{
	static const char *const testpmd[] = {
		"/usr/bin/dpdk-testpmd", "--no-huge", "-m", "256", "--no-pci", "--vdev",
		"net_vhost0,iface=SOCKET,queues=1", "--", "--port-topology=loop", "--auto-start",
		"--no-mlockall", "--total-num-mbufs=2048",
		"--stats-period=3600", "--disable-link-check", NULL,
	};
	struct driver d;

	(void)state;
	if (access(testpmd[0], X_OK))
		skip();
	start(&d, "net", testpmd, NULL, NULL);
	bring_up(&d, 2, MUST | BIT(5) | BIT(16));
	frames_over_a_restart(&d, testpmd, NULL);
	stop(&d);
}

#define CTRL		4u		/* the control queue of two pairs */
#define CTRL_AT		SLOT_AT(CTRL, 0)

/* A command to the control queue; returns its answer. */
static uint8_t control(struct driver *d, uint8_t class, uint8_t cmd, const void *arg, uint32_t len)
{
	struct vring_desc *t = (struct vring_desc *)(d->mem + DESC(CTRL));
	uint16_t before = used_idx(d, CTRL);
	uint8_t *at = d->mem + CTRL_AT;

	at[0] = class;
	at[1] = cmd;
	memcpy(at + 2, arg, len);
	at[0x100] = 0xff;
	t[0] = (struct vring_desc){ IOVA + CTRL_AT, 2, VRING_DESC_F_NEXT, 1 };
	t[1] = (struct vring_desc){ IOVA + CTRL_AT + 2, len, VRING_DESC_F_NEXT, 2 };
	t[2] = (struct vring_desc){ IOVA + CTRL_AT + 0x100, 1, VRING_DESC_F_WRITE, 0 };
	add(d, CTRL, 0);
	WAIT(used_idx(d, CTRL) == (uint16_t)(before + 1));
	wait_call(d, CTRL);
	return at[0x100];
}

static uint8_t set_pairs(struct driver *d, uint16_t pairs)
{
	return control(d, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, &pairs,
		       sizeof(pairs));
}

/* Two pairs of queues, of which the driver says by the control queue how many it uses. */
static void test_network_pairs(void **state)
{
	static const char *const args[] = { "--net", "--queues=4", NULL };
	const uint64_t want = MUST | BIT(VIRTIO_NET_F_MAC) | BIT(VIRTIO_NET_F_STATUS) |
			      BIT(VIRTIO_NET_F_CTRL_VQ) | BIT(VIRTIO_NET_F_MQ) |
			      BIT(VIRTIO_NET_F_CTRL_RX);
	const uint8_t on = 1;
	struct driver d;
	unsigned int i;

	(void)state;
	start(&d, "net", vublk, args, (const char *[]){ "--queues=2", NULL });
	assert_int_equal(get(&d, DEVICE + 8, 2), 2);
	assert_int_equal(get(&d, REG(num_queues), 2), 5);
	assert_true((offered(&d) & want) == want);
	for (i = 0; i < 3; i++) {
		bring_up(&d, 5, want);
		send_frame(&d, 0, (uint8_t)(7 + i));
		assert_int_equal(control(&d, VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, &on,
					 1), VIRTIO_NET_OK);
		assert_int_equal(set_pairs(&d, 2), VIRTIO_NET_OK);
		send_frame(&d, 1, 8);
		send_frame(&d, 0, 9);
		/* one that is not there, and what is not a command */
		assert_int_equal(set_pairs(&d, 3), VIRTIO_NET_ERR);
		assert_int_equal(set_pairs(&d, 0), VIRTIO_NET_ERR);
		assert_int_equal(control(&d, 77, 1, &on, 1), VIRTIO_NET_ERR);
		send_frame(&d, 1, 10);
		/* Another back end is told how many are in use. */
		kill_back(&d);
		d.back = back(vublk, args);
		send_frame(&d, 1, 11);
		send_frame(&d, 0, 12);
		assert_int_equal(set_pairs(&d, 1), VIRTIO_NET_OK);
		send_frame(&d, 0, 13);
	}
	stop(&d);
}

/* ---- the process that goes on ---- */

/* Of vfiouser-vhost's process; 0: there is none. */
static pid_t standby_of(pid_t pid)
{
	char path[64], text[32] = "";
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", pid, pid);
	fd = open(path, O_RDONLY);
	if (fd < 0)
		return 0;
	if (read(fd, text, sizeof(text) - 1) < 0)
		*text = 0;
	close(fd);
	return atoi(text);
}

/* One that stays: it is another one after each event that changes something. */
static pid_t settled(struct driver *d)
{
	pid_t pid = 0;
	int tries;

	for (tries = 0; tries < 100; tries++) {
		pid = standby_of(d->front.pid);
		usleep(200000);
		if (pid && standby_of(d->front.pid) == pid)
			return pid;
	}
	fail_msg("no process stands by");
	return 0;
}

static void kill_front(struct driver *d, pid_t next)
{
	kill(d->front.pid, SIGKILL);
	assert_int_equal(mc_wait_exit(d->front.pid), 128 + SIGKILL);
	d->front.pid = next;
}

static void test_standby(void **state)
{
	static const char *const args[] = { "--queues=2", "--inflight", "--delay=50000", NULL };
	const uint16_t command = 0x0406;
	unsigned int i, gone = 0;
	struct driver d;
	uint32_t id;
	pid_t next;

	(void)state;
	start(&d, "blk", vublk, args, NULL);
	/* Nothing is lost yet with this process. */
	assert_int_equal(standby_of(d.front.pid), 0);
	bring_up(&d, 2, WITH_EVENT_IDX);
	for (i = 1; i <= 4; i++) {
		use_disk(&d, (uint8_t)i);
		next = settled(&d);
		submit(&d, 0, 0, VIRTIO_BLK_T_IN, 0, 0);
		kick(&d, 0);
		kill_front(&d, next);
		gone++;
		WAIT(said("going on in its place") == gone);
		wait_call(&d, 0);
		assert_int_equal(result(&d, 0, 0), VIRTIO_BLK_S_OK);
		assert_int_equal(status(&d), 15);
	}
	/* Whether somebody is there may be asked without another one being made. */
	next = settled(&d);
	for (i = 0; i < 20; i++) {
		assert_int_equal(mc_read(&d.mc, CONFIG, 0, &id, sizeof(id)), 0);
		assert_int_equal(id, 0x10421af4);
	}
	assert_int_equal(standby_of(d.front.pid), next);
	/* What else is done changes the one that is there. */
	assert_int_equal(mc_write(&d.mc, CONFIG, 4, &command, sizeof(command)), 0);
	WAIT(standby_of(d.front.pid) && standby_of(d.front.pid) != next);
	/* So does its end. */
	next = settled(&d);
	kill(next, SIGKILL);
	WAIT(standby_of(d.front.pid) && standby_of(d.front.pid) != next);
	use_disk(&d, 20);
	/* A question that the one before did not get to is answered. */
	next = settled(&d);
	kill(d.front.pid, SIGSTOP);
	kill(d.front.pid, SIGKILL);
	assert_int_equal(mc_read(&d.mc, CONFIG, 4, &id, 2), 0);
	assert_int_equal(id & 0x7ff, command);
	mc_wait_exit(d.front.pid);
	d.front.pid = next;
	/* The driver's reset ends it, and a second life is like the first. */
	bring_up(&d, 2, PLAIN);
	use_disk(&d, 30);
	reset(&d);
	WAIT(!standby_of(d.front.pid));
	kill(d.front.pid, SIGKILL);
	assert_int_equal(mc_wait_exit(d.front.pid), 128 + SIGKILL);
	assert_int_equal(mc_closed(&d.mc), 0);
	leave(&d);
	unlink(front_path);
	start_front(&d, "blk", NULL);
	join(&d);
	bring_up(&d, 2, PLAIN);
	use_disk(&d, 40);
	stop(&d);
	assert_int_equal(said("going on in its place"), gone + 1);
}

/* A back end that dies with the process before it is what it is without one. */
static void test_standby_both(void **state)
{
	static const char *const args[] = { "--queues=2", "--inflight", "--delay=300000", NULL };
	struct driver d;
	pid_t next;

	(void)state;
	start(&d, "blk", vublk, args, NULL);
	bring_up(&d, 2, PLAIN);
	use_disk(&d, 1);
	next = settled(&d);
	submit(&d, 1, 0, VIRTIO_BLK_T_IN, 64, 0);
	kick(&d, 1);
	/* not at work with it: then it would be alone */
	kill(d.front.pid, SIGSTOP);
	kill(d.back, SIGKILL);
	kill(d.front.pid, SIGKILL);
	mc_wait_exit(d.front.pid);
	mc_wait_exit(d.back);
	d.front.pid = next;
	d.back = back(vublk, args);
	WAIT(result(&d, 1, 0) == VIRTIO_BLK_S_OK);
	use_disk(&d, 2);
	stop(&d);
}

static void test_no_standby(void **state)
{
	static const char *const alone[] = { "--no-standby", NULL };
	struct driver d;

	(void)state;
	start(&d, "blk", vublk, NULL, alone);
	bring_up(&d, 1, PLAIN);
	use_disk(&d, 1);
	usleep(50000);
	assert_int_equal(standby_of(d.front.pid), 0);
	kill(d.front.pid, SIGKILL);
	assert_int_equal(mc_wait_exit(d.front.pid), 128 + SIGKILL);
	assert_int_equal(mc_closed(&d.mc), 0);
	leave(&d);
	unlink(front_path);
	kill_back(&d);
}

static int make_dir(void **state)
{
	(void)state;
	/* Whoever goes on in a server's place is ours as well. */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	if (!mkdtemp(dir))
		return -1;
	snprintf(front_path, sizeof(front_path), "%s/front", dir);
	snprintf(back_path, sizeof(back_path), "%s/back", dir);
	snprintf(image, sizeof(image), "%s/image", dir);
	snprintf(log_path, sizeof(log_path), "%s/log", dir);
	return 0;
}

static int remove_dir(void **state)
{
	char cmd[120];

	(void)state;
	if (getenv("VHOST_LOG")) {
		snprintf(cmd, sizeof(cmd), "cat %s >&2", log_path);
		if (system(cmd))
			return -1;
	}
	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	return system(cmd);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_storage_daemon),
		cmocka_unit_test(test_own_backend),
		cmocka_unit_test(test_trap_and_intx),
		cmocka_unit_test(test_other_eventfds),
		cmocka_unit_test(test_config_change),
		cmocka_unit_test(test_pestering),
		cmocka_unit_test(test_drain),
		cmocka_unit_test(test_drain_storage_daemon),
		cmocka_unit_test(test_without_drain),
		cmocka_unit_test(test_stop_timeout),
		cmocka_unit_test(test_stopped_backend),
		cmocka_unit_test(test_inflight),
		cmocka_unit_test(test_idle_and_single),
		cmocka_unit_test(test_unknown),
		cmocka_unit_test(test_in_order),
		cmocka_unit_test(test_deadline),
		cmocka_unit_test(test_deadline_unknown),
		cmocka_unit_test(test_ring_error),
		cmocka_unit_test(test_other_backend),
		cmocka_unit_test(test_storage_daemon_again),
		cmocka_unit_test(test_handover),
		cmocka_unit_test(test_handover_refused),
		cmocka_unit_test(test_listen),
		cmocka_unit_test(test_lies),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_no_memory),
		cmocka_unit_test(test_memory_moves),
		cmocka_unit_test(test_keep),
		cmocka_unit_test(test_keep_malformed),
		cmocka_unit_test(test_file_system),
		cmocka_unit_test(test_file_system_rust),
		cmocka_unit_test(test_network),
		cmocka_unit_test(test_network_passt),
		cmocka_unit_test(test_network_dpdk),
		cmocka_unit_test(test_network_pairs),
		cmocka_unit_test(test_standby),
		cmocka_unit_test(test_standby_both),
		cmocka_unit_test(test_no_standby),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
