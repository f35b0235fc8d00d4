// SPDX-License-Identifier: GPL-2.0-only
/*
 * A hostile helper: processes of several threads that use /dev/vfiouser, its ring, its ioctls and
 * the netlink family in any order and with any arguments, of which enough make sense for devices to
 * come into being, to be scanned and to get drivers; and that are killed at any time.
 *
 * usage: vfu_hostile [SECONDS [SEED]]		0 seconds: only what crashed a kernel once
 *	  vfu_hostile stall			one request that does not end; says so, until killed
 *
 * The seed is printed. What the kernel does with it is judged by the kernel's log; the exit status
 * is 0 unless the module was not there. How often each thing was done is printed, since a run in
 * which all was refused proves nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <linux/userfaultfd.h>
#include <linux/vfio.h>
#include <linux/vfiouser.h>

#define CHANNELS	6
#define THREADS		3
#define PROCESSES	2
#define EVENTFDS	16
#define KTHREADD	2ul	/* its number */
#define MEMORY		(8u << 20)

enum {
	OPENED, CREATED, REFUSED, TAKEN, RESUMED, SERVED, HOOKED, DOORBELLS, REMOVED, CLOSED,
	KILLED, MISTAKEN, NR_COUNTS,
};

static const char *const count_names[NR_COUNTS] = {
	"channels opened", "devices created", "devices refused", "devices taken over",
	"devices resumed", "requests answered", "interrupts hooked",
	"doorbells made", "removals", "channels closed", "processes killed",
	"threads of the kernel's taken for a server",
};

/* Shared by the processes. */
static unsigned long *counts;

static struct {
	int fd;
	struct vfiouser_ring *map;
	uint32_t head;
} channels[CHANNELS];

static uint8_t *memory;
static int eventfds[EVENTFDS], null_fd, memory_fd;
static uint16_t family;
static __thread uint64_t state;
static __thread sigjmp_buf fault;
static __thread volatile sig_atomic_t armed;

static uint32_t chance(uint32_t n)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (state >> 11) % n;
}

static uint64_t any64(void)
{
	static const uint64_t edges[] = {
		0, 1, 63, 64, 255, 256, 4095, 4096, 0x10000, 0x7fffffff, 0x80000000, 0xffffffff,
		1ull << 32, 1ull << 40, (1ull << 40) + 1, 1ull << 63, ~0ull, ~0ull << 12,
		0xffff888000000000ull, 0xffffffff81000000ull,
	};
	uint64_t value = (uint64_t)chance(~0u) << 32 | chance(~0u);

	switch (chance(4)) {
	case 0:
		return edges[chance(sizeof(edges) / sizeof(edges[0]))];
	case 1:
		return edges[chance(sizeof(edges) / sizeof(edges[0]))] + chance(16) - 8;
	case 2:
		return value >> chance(64);
	default:
		return value;
	}
}

static void count(unsigned int what)
{
	__atomic_fetch_add(&counts[what], 1, __ATOMIC_RELAXED);
}

/* Another thread may have unmapped what this one writes to. */
static void on_fault(int sig)
{
	if (armed)
		siglongjmp(fault, 1);
	_exit(128 + sig);
}

/* ---- netlink ---- */

struct message {
	struct nlmsghdr nl;
	struct genlmsghdr genl;
	uint8_t data[8192];
};

static void put(struct message *m, uint16_t type, const void *data, size_t len)
{
	struct nlattr *a = (struct nlattr *)((uint8_t *)m + m->nl.nlmsg_len);

	if (m->nl.nlmsg_len + NLA_ALIGN(NLA_HDRLEN + len) > sizeof(*m))
		return;
	a->nla_type = type;
	a->nla_len = NLA_HDRLEN + len;
	/* now and then of a size that it should not have */
	if (!chance(200))
		a->nla_len -= chance(len + 1);
	if (len)
		memcpy(a + 1, data, len);
	m->nl.nlmsg_len += NLA_ALIGN(NLA_HDRLEN + len);
}

static void put_u32(struct message *m, uint16_t type, uint32_t value)
{
	put(m, type, &value, sizeof(value));
}

static void put_u64(struct message *m, uint16_t type, uint64_t value)
{
	put(m, type, &value, sizeof(value));
}

static struct nlattr *nest(struct message *m, uint16_t type)
{
	struct nlattr *a = (struct nlattr *)((uint8_t *)m + m->nl.nlmsg_len);

	put(m, type | NLA_F_NESTED, NULL, 0);
	return a;
}

static void nest_end(struct message *m, struct nlattr *a)
{
	size_t len = (uint8_t *)m + m->nl.nlmsg_len - (uint8_t *)a;

	if (len >= NLA_HDRLEN && len <= sizeof(*m))
		a->nla_len = len;
}

static void start(struct message *m, uint8_t cmd, uint16_t flags)
{
	memset(m, 0, sizeof(*m));
	m->nl.nlmsg_len = NLMSG_HDRLEN + GENL_HDRLEN;
	m->nl.nlmsg_type = family;
	m->nl.nlmsg_flags = NLM_F_REQUEST | flags;
	m->genl.cmd = cmd;
	m->genl.version = VFIOUSER_GENL_VERSION;
}

/* Returns the error of the acknowledgment, -1 without one. */
static int talk(struct message *m)
{
	struct sockaddr_nl addr = { .nl_family = AF_NETLINK };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC);
	struct timeval tv = { .tv_usec = 300000 };
	uint8_t buf[16384];
	struct nlmsghdr *nl;
	int error = -1;
	size_t left;
	ssize_t n;

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	if (sendto(fd, m, m->nl.nlmsg_len, 0, (struct sockaddr *)&addr, sizeof(addr)) > 0) {
		while (error == -1 && (n = recv(fd, buf, sizeof(buf), 0)) > 0) {
			left = n;
			for (nl = (struct nlmsghdr *)buf; NLMSG_OK(nl, left);
			     nl = NLMSG_NEXT(nl, left)) {
				if (nl->nlmsg_type == NLMSG_DONE)
					error = 0;
				else if (nl->nlmsg_type == NLMSG_ERROR)
					error = -((struct nlmsgerr *)NLMSG_DATA(nl))->error;
			}
		}
	}
	close(fd);
	return error;
}

static bool find_family(void)
{
	struct sockaddr_nl addr = { .nl_family = AF_NETLINK };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC);
	uint8_t buf[8192];
	struct nlmsghdr *nl = (struct nlmsghdr *)buf;
	struct message m;
	struct nlattr *a;
	ssize_t n;

	family = GENL_ID_CTRL;
	start(&m, CTRL_CMD_GETFAMILY, 0);
	state = 1;
	put(&m, CTRL_ATTR_FAMILY_NAME, VFIOUSER_GENL_NAME, sizeof(VFIOUSER_GENL_NAME));
	if (fd < 0 || sendto(fd, &m, m.nl.nlmsg_len, 0, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return false;
	n = recv(fd, buf, sizeof(buf), 0);
	close(fd);
	if (n < (ssize_t)(NLMSG_HDRLEN + GENL_HDRLEN) || nl->nlmsg_type == NLMSG_ERROR)
		return false;
	for (a = (struct nlattr *)(buf + NLMSG_HDRLEN + GENL_HDRLEN);
	     (uint8_t *)a + NLA_HDRLEN <= buf + n && a->nla_len;
	     a = (struct nlattr *)((uint8_t *)a + NLA_ALIGN(a->nla_len))) {
		if (a->nla_type == CTRL_ATTR_FAMILY_ID) {
			memcpy(&family, a + 1, sizeof(family));
			return true;
		}
	}
	return false;
}

static void put_region(struct message *m, bool sane, uint32_t index)
{
	struct nlattr *region = nest(m, VFIOUSER_A_REGION), *area;
	unsigned int n;

	put_u32(m, VFIOUSER_REGION_A_INDEX, sane || chance(20) ? index : any64());
	if (index == VFIO_PCI_CONFIG_REGION_INDEX)
		put_u64(m, VFIOUSER_REGION_A_SIZE, chance(20) ? (chance(2) ? 256 : 4096) : any64());
	else
		put_u64(m, VFIOUSER_REGION_A_SIZE, sane ? 0x4000 : any64());
	put_u32(m, VFIOUSER_REGION_A_FLAGS, sane ? 3 : any64());
	if (index == VFIO_PCI_CONFIG_REGION_INDEX)
		sane = chance(8);
	for (n = chance(3); n; n--) {
		area = nest(m, VFIOUSER_REGION_A_AREA);
		put_u64(m, VFIOUSER_AREA_A_OFFSET, sane ? n * 4096 : any64());
		put_u64(m, VFIOUSER_AREA_A_SIZE, sane || chance(4) ? 4096 : any64());
		put_u64(m, VFIOUSER_AREA_A_ADDR, sane || chance(4) ?
			(uintptr_t)memory + chance(64) * 4096 : any64());
		nest_end(m, area);
	}
	nest_end(m, region);
}

/* Devices are counted by the kernel as they come: one of the latest, mostly. */
static uint32_t some_id(void)
{
	return chance(8) ? counts[CREATED] - chance(PROCESSES * CHANNELS) : any64();
}

/* A new device on a channel, or an old one that another helper served. */
static void create(unsigned int c, uint8_t cmd)
{
	bool sane = chance(4);
	struct nlattr *a;
	struct message m;
	unsigned int n;
	char name[40];
	int error;

	start(&m, cmd, NLM_F_ACK);
	if (cmd != VFIOUSER_CMD_DEVICE_NEW)
		put_u32(&m, VFIOUSER_A_ID, some_id());
	put_u32(&m, VFIOUSER_A_ABI, chance(50) ? VFIOUSER_ABI_VERSION : any64());
	put_u32(&m, VFIOUSER_A_CHANNEL_FD, chance(20) ? (uint32_t)channels[c].fd : chance(30));
	put_u32(&m, VFIOUSER_A_TIMEOUT_MS, sane ? 100 + chance(400) : any64());
	put_u32(&m, VFIOUSER_A_FLAGS, chance(4));
	if (!chance(3))
		put_u32(&m, VFIOUSER_A_GRACE_MS, chance(20) ? chance(2000) : any64() % 10000);
	if (!chance(4)) {
		snprintf(name, sizeof(name), chance(4) ? "h%u" : "../%u\xff%%n", chance(16));
		put(&m, VFIOUSER_A_NAME, name, strlen(name) + (sane || chance(2)));
	}
	/* Few slots: devices meet in them. */
	if (!chance(3)) {
		snprintf(name, sizeof(name), chance(8) ? "s%u" : "slot@%u", chance(3));
		put(&m, VFIOUSER_A_SLOT, name, strlen(name) + (sane || chance(4)));
		put_u32(&m, VFIOUSER_A_FUNCTION, chance(20) ? chance(8) : any64());
	}
	if (!chance(4))
		put_u32(&m, VFIOUSER_A_SERVER_PID, chance(2) ? (uint32_t)getpid() : any64());
	/* Servers that keep what they know, and few names for it. */
	if (chance(3))
		put_u64(&m, VFIOUSER_A_TOKEN, chance(8) ? 1 + chance(2) : any64());
	put_region(&m, true, VFIO_PCI_CONFIG_REGION_INDEX);
	for (n = chance(4); n; n--)
		put_region(&m, sane, sane ? n : chance(9));
	for (n = chance(4); n; n--) {
		a = nest(&m, VFIOUSER_A_IRQ);
		put_u32(&m, VFIOUSER_IRQ_A_INDEX, sane ? chance(5) : any64());
		put_u32(&m, VFIOUSER_IRQ_A_COUNT, sane ? chance(40) : any64());
		put_u32(&m, VFIOUSER_IRQ_A_FLAGS, chance(16));
		nest_end(&m, a);
	}
	if (chance(4) && cmd == VFIOUSER_CMD_DEVICE_NEW) {
		a = nest(&m, VFIOUSER_A_POOL);
		put_u64(&m, VFIOUSER_POOL_A_ADDR, sane ? (uintptr_t)memory : any64());
		put_u64(&m, VFIOUSER_POOL_A_SIZE, sane ? MEMORY : any64());
		put_u64(&m, VFIOUSER_POOL_A_IOVA, sane ? 1ull << 32 : any64());
		nest_end(&m, a);
	}
	for (n = sane || chance(8) ? 0 : chance(4); n; n--) {
		uint8_t junk[32];
		size_t i;

		for (i = 0; i < sizeof(junk); i++)
			junk[i] = chance(256);
		put(&m, chance(40), junk, chance(sizeof(junk)));
	}
	error = talk(&m);
	if (cmd == VFIOUSER_CMD_DEVICE_NEW)
		count(error ? REFUSED : CREATED);
	else if (!error)
		count(cmd == VFIOUSER_CMD_DEVICE_TAKE ? TAKEN : RESUMED);
}

static void delete(void)
{
	struct message m;

	start(&m, VFIOUSER_CMD_DEVICE_DEL, NLM_F_ACK);
	put_u32(&m, VFIOUSER_A_ID, some_id());
	if (!talk(&m))
		count(REMOVED);
}

static void get(void)
{
	struct message m;

	start(&m, chance(8) ? VFIOUSER_CMD_DEVICE_GET : chance(256),
	      chance(2) ? NLM_F_DUMP : NLM_F_ACK);
	if (chance(2))
		put_u32(&m, VFIOUSER_A_ID, some_id());
	talk(&m);
}

/* One that the kernel has no single piece of memory for. */
static bool known_large(void)
{
	const uint32_t none = ~0u;
	char text[200];
	struct message m;
	size_t len;

	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = 0;
	start(&m, VFIOUSER_CMD_DEVICE_GET, NLM_F_ACK);
	put(&m, VFIOUSER_A_ID, &none, sizeof(none));
	do {
		len = m.nl.nlmsg_len;
		put(&m, VFIOUSER_A_SOCKET, text, sizeof(text));
	} while (m.nl.nlmsg_len != len);
	if (talk(&m) <= 0) {
		fprintf(stderr, "a message of %zu bytes is taken\n", len);
		return false;
	}
	return true;
}

/* What crashed a kernel once. Each must be refused. */
static bool known(void)
{
	static const uint8_t cmds[] = {
		VFIOUSER_CMD_DEVICE_DEL, VFIOUSER_CMD_DEVICE_GET, VFIOUSER_CMD_DEVICE_TAKE,
		VFIOUSER_CMD_DEVICE_RESUME,
	};
	const uint32_t none = ~0u;
	struct message m;
	unsigned int i;

	for (i = 0; i < sizeof(cmds); i++) {
		start(&m, cmds[i], NLM_F_ACK);
		do {
			m.nl.nlmsg_len = NLMSG_HDRLEN + GENL_HDRLEN;
			put(&m, VFIOUSER_A_ID, &none, sizeof(none));
		} while (((struct nlattr *)m.data)->nla_len != NLA_HDRLEN + sizeof(none));
		if (talk(&m) <= 0) {
			fprintf(stderr, "command %u takes a device that is none\n", cmds[i]);
			return false;
		}
	}
	return known_large();
}

static void *stall_thread(void *arg)
{
	int channel = open("/dev/vfiouser", O_RDWR | O_CLOEXEC);
	struct nlattr *a;
	struct message m;

	state = 1;
	for (;;) {
		start(&m, VFIOUSER_CMD_DEVICE_NEW, NLM_F_ACK);
		put_u32(&m, VFIOUSER_A_ABI, VFIOUSER_ABI_VERSION);
		put_u32(&m, VFIOUSER_A_CHANNEL_FD, channel);
		a = nest(&m, VFIOUSER_A_POOL);
		put_u64(&m, VFIOUSER_POOL_A_ADDR, (uintptr_t)arg);
		put_u64(&m, VFIOUSER_POOL_A_SIZE, MEMORY);
		put_u64(&m, VFIOUSER_POOL_A_IOVA, 1ull << 32);
		nest_end(&m, a);
		printf("refused: error %d\n", talk(&m));
		fflush(stdout);
	}
	return NULL;
}

/* A pool that cannot be pinned: its first page never comes. */
static int stall(void)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	struct uffd_msg msg;
	pthread_t t;
	void *map;
	int fd;

	fd = syscall(SYS_userfaultfd, O_CLOEXEC);
	map = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	reg.range.start = (uintptr_t)map;
	reg.range.len = MEMORY;
	if (fd < 0 || map == MAP_FAILED || ioctl(fd, UFFDIO_API, &api) ||
	    ioctl(fd, UFFDIO_REGISTER, &reg) || pthread_create(&t, NULL, stall_thread, map)) {
		perror("vfu_hostile: userfaultfd");
		return 1;
	}
	if (read(fd, &msg, sizeof(msg)) != sizeof(msg))
		return 1;
	printf("stalled\n");
	fflush(stdout);
	pause();
	return 0;
}

/* ---- the channel ---- */

static void channel_open(unsigned int c)
{
	size_t size = chance(8) ? VFIOUSER_RING_BYTES : any64() % (4 * VFIOUSER_RING_BYTES);
	void *map;

	if (channels[c].fd >= 0)
		return;
	channels[c].fd = open("/dev/vfiouser", O_RDWR | O_CLOEXEC);
	if (channels[c].fd < 0)
		return;
	count(OPENED);
	map = mmap(NULL, size, PROT_READ | PROT_WRITE, chance(8) ? MAP_SHARED : MAP_PRIVATE,
		   channels[c].fd, chance(8) ? 0 : chance(64) * 4096);
	channels[c].map = map == MAP_FAILED || size < VFIOUSER_RING_BYTES ? NULL : map;
	channels[c].head = 0;
}

static void channel_close(unsigned int c)
{
	int fd = channels[c].fd;

	if (fd < 0)
		return;
	channels[c].fd = -1;
	if (chance(2) && channels[c].map) {
		munmap(channels[c].map, VFIOUSER_RING_BYTES);
		channels[c].map = NULL;
	}
	close(fd);
	count(CLOSED);
}

static void hook(unsigned int c)
{
	struct vfiouser_irqfd arg = {
		.index = chance(8) ? chance(5) : any64(),
		.start = chance(8) ? chance(4) : any64(),
		.count = chance(8) ? 1 + chance(4) : any64(),
		.reserved = chance(20) ? 0 : any64(),
	};
	int32_t fds[8];
	unsigned int i;

	for (i = 0; i < 8; i++)
		fds[i] = chance(8) ? eventfds[chance(EVENTFDS)] : chance(2) ? -1 : (int)any64();
	arg.fds = chance(20) ? (uintptr_t)fds : any64();
	if (!ioctl(channels[c].fd, VFIOUSER_IOC_IRQFD, &arg))
		count(HOOKED);
}

static void doorbell(unsigned int c)
{
	struct vfiouser_ioeventfd arg = {
		.region = chance(8) ? chance(6) : any64(),
		.flags = chance(8) ? chance(8) : any64(),
		.offset = chance(8) ? chance(64) * 4 : any64(),
		.datamatch = any64(),
		.shadow = chance(4) ? (uintptr_t)memory + chance(1024) * 8 : any64(),
		.size = chance(8) ? 1u << chance(4) : any64(),
		.fd = chance(8) ? eventfds[chance(EVENTFDS)] : null_fd,
	};

	if (!ioctl(channels[c].fd, VFIOUSER_IOC_IOEVENTFD, &arg))
		count(DOORBELLS);
}

/* A config space that drivers may like: any class, capabilities that go anywhere. */
static uint32_t config(uint64_t offset)
{
	switch (offset) {
	case 0:
		return chance(3) ? 0x00101b36 : chance(~0u);	/* QEMU's NVMe controller */
	case 4:
		return 0x00100000;
	case 8:
		return chance(3) ? 0x01080202 : chance(~0u);
	case 0xc:
		return chance(20) ? 0 : chance(~0u);
	case 0x34:
		return 0x40 + chance(4) * 0x10;
	case 0x3c:
		return 0x100;
	default:
		return offset >= 0x40 && chance(2) ? 0x11u | chance(16) << 12 : chance(~0u);
	}
}

static void serve(unsigned int c)
{
	struct vfiouser_ring *map = channels[c].map;
	const struct vfiouser_request *req;
	struct vfiouser_slot *slot;
	unsigned int n;
	uint32_t word;

	for (n = 0; map && n < 64; n++) {
		if (__atomic_load_n(&map->tail, __ATOMIC_ACQUIRE) == channels[c].head)
			return;
		req = &map->requests[channels[c].head % VFIOUSER_RING_ENTRIES];
		if (!(req->flags & VFIOUSER_REQ_POSTED) && chance(500)) {
			slot = &map->slots[req->slot % VFIOUSER_RING_SLOTS];
			if (req->region == VFIO_PCI_CONFIG_REGION_INDEX)
				word = config(req->offset & ~3ull) >> (req->offset & 3) * 8;
			else
				word = any64();
			memcpy(slot->data, &word, sizeof(word));
			slot->error = chance(50) ? 0 : any64();
			__atomic_store_n(&slot->done, req->generation, __ATOMIC_SEQ_CST);
			if (slot->sleeping)
				ioctl(channels[c].fd, VFIOUSER_IOC_WAKE, (long)req->slot);
			count(SERVED);
		}
		channels[c].head++;
		__atomic_store_n(&map->head, channels[c].head, __ATOMIC_RELEASE);
	}
}

/* Anything at all, anywhere in the ring. */
static void scribble(unsigned int c)
{
	struct vfiouser_ring *map = channels[c].map;
	unsigned int n = 1 + chance(16);

	if (!map)
		return;
	if (!chance(40))
		map->head = any64();
	if (!chance(8))
		map->helper_flags = any64();
	if (!chance(40))
		map->state = any64();
	if (!chance(40))
		map->tail = any64();
	while (n--)
		((uint8_t *)map->requests)[chance(sizeof(map->requests))] = chance(256);
	n = chance(8);
	while (n--)
		((uint8_t *)map->slots)[chance(sizeof(map->slots))] = chance(256);
}

/* Of the memory behind pool, areas and shadows: what uses it meanwhile faults. */
static void resize(void)
{
	if (ftruncate(memory_fd, 0) || ftruncate(memory_fd, MEMORY))
		errno = 0;
}

static void act(void)
{
	unsigned int c = chance(CHANNELS);
	struct pollfd p = { .fd = channels[c].fd, .events = chance(64) };
	uint32_t what = chance(1000);

	if (channels[c].fd < 0) {
		channel_open(c);
		if (chance(4)) {
			create(c, VFIOUSER_CMD_DEVICE_NEW);
		} else {
			create(c, VFIOUSER_CMD_DEVICE_TAKE);
			create(c, VFIOUSER_CMD_DEVICE_RESUME);
		}
		return;
	}
	if (what < 600)
		serve(c);
	else if (what < 640)
		scribble(c);
	else if (what < 700)
		hook(c);
	else if (what < 740)
		doorbell(c);
	else if (what < 800)
		eventfd_write(eventfds[chance(EVENTFDS)], 1);
	else if (what < 850)
		poll(&p, 1, 0);
	else if (what < 880)
		get();
	else if (what < 900)
		ioctl(p.fd, VFIOUSER_IOC_WAKE, any64());
	else if (what < 905)
		ioctl(p.fd, VFIOUSER_IOC_REMOVE);
	else if (what < 907)
		ioctl(p.fd, VFIOUSER_IOC_SERVER, chance(2) ? (uint64_t)getpid() : any64());
	else if (what < 908 && !ioctl(p.fd, VFIOUSER_IOC_SERVER, KTHREADD))
		count(MISTAKEN);
	else if (what < 910)
		ioctl(p.fd, (unsigned long)any64(), any64());
	else if (what < 915)
		delete();
	else if (what < 920)
		madvise(memory, MEMORY, MADV_DONTNEED);
	else if (what < 922)
		fallocate(memory_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			  chance(MEMORY / 4096) * 4096, 4096 * (1 + chance(64)));
	else if (what < 924)
		resize();
	else if (what < 925)
		create(c, VFIOUSER_CMD_DEVICE_NEW + chance(6));
	else if (what < 930)
		channel_close(c);
	else if (channels[c].map && what < 932)
		mremap(channels[c].map, VFIOUSER_RING_BYTES, VFIOUSER_RING_BYTES * 2,
		       MREMAP_MAYMOVE);
	else
		serve(c);
}

static void *thread(void *arg)
{
	state = (uintptr_t)arg;
	for (;;) {
		if (!sigsetjmp(fault, 1)) {
			armed = 1;
			act();
		}
		armed = 0;
	}
	return NULL;
}

static void process(uint64_t seed)
{
	struct sigaction sa = { .sa_handler = on_fault, .sa_flags = SA_NODEFER };
	pthread_t t;
	unsigned int i;

	sigaction(SIGSEGV, &sa, NULL);
	sigaction(SIGBUS, &sa, NULL);
	for (i = 0; i < CHANNELS; i++)
		channels[i].fd = -1;
	for (i = 0; i < EVENTFDS; i++)
		eventfds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	memory_fd = memfd_create("hostile", MFD_CLOEXEC);
	if (ftruncate(memory_fd, MEMORY))
		_exit(1);
	/* where huge pages would be: 2 MiB aligned */
	memory = mmap((void *)0x200000000, MEMORY, PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_FIXED_NOREPLACE, memory_fd, 0);
	if (memory == MAP_FAILED)
		_exit(1);
	for (i = 1; i < THREADS; i++)
		if (pthread_create(&t, NULL, thread, (void *)(seed * 2654435761u + i)))
			_exit(1);
	thread((void *)(seed * 2654435761u + THREADS));
}

int main(int argc, char **argv)
{
	unsigned long seconds = argc > 1 ? strtoul(argv[1], NULL, 0) : 10, seed;
	pid_t pids[PROCESSES] = { 0 };
	struct timespec nap;
	unsigned int i, n = 0;
	time_t end;

	seed = argc > 2 ? strtoul(argv[2], NULL, 0) : (unsigned long)time(NULL);
	printf("seed %lu\n", seed);
	fflush(stdout);
	counts = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (counts == MAP_FAILED || !find_family()) {
		fprintf(stderr, "vfu_hostile: no netlink family: is the module loaded?\n");
		return 1;
	}
	if (argc > 1 && !strcmp(argv[1], "stall"))
		return stall();
	state = seed * 2862933555777941757ull + 1;
	if (!known())
		return 1;
	for (end = time(NULL) + seconds; time(NULL) < end;) {
		i = chance(PROCESSES);
		if (pids[i]) {
			kill(pids[i], SIGKILL);
			waitpid(pids[i], NULL, 0);
			count(KILLED);
		}
		n++;
		pids[i] = fork();
		if (pids[i] < 0)
			return 1;
		if (!pids[i])
			process(seed + n);
		nap = (struct timespec) { .tv_nsec = 1000000 * (50 + chance(900)) };
		nanosleep(&nap, NULL);
	}
	for (i = 0; i < PROCESSES; i++) {
		if (!pids[i])
			continue;
		kill(pids[i], SIGKILL);
		waitpid(pids[i], NULL, 0);
	}
	for (i = 0; i < NR_COUNTS; i++)
		printf("%lu %s\n", counts[i], count_names[i]);
	return 0;
}
