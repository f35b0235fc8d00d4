// SPDX-License-Identifier: GPL-2.0-only
/*
 * vfiouser-nvme against a client that knows the specification and one that does not keep to it.
 *
 * Every test starts a server of its own, built with AddressSanitizer and UBSan, and ends it with
 * SIGTERM: an exit status other than 0 (a leak counts) fails the test. The path of the server is
 * compiled in; the environment variable VFIOUSER_NVME overrides it.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "mini_client.h"
#include "nvme_client.h"

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

#define MSIX	VFIO_PCI_MSIX_IRQ_INDEX
#define INTX	VFIO_PCI_INTX_IRQ_INDEX
#define TRIGGER	VFIO_IRQ_SET_ACTION_TRIGGER
#define MASK	VFIO_IRQ_SET_ACTION_MASK
#define UNMASK	VFIO_IRQ_SET_ACTION_UNMASK
#define NONE	VFIO_IRQ_SET_DATA_NONE
#define BOOL	VFIO_IRQ_SET_DATA_BOOL
#define EVENTFD	VFIO_IRQ_SET_DATA_EVENTFD

static char dir[] = "/tmp/nvme-server-test.XXXXXX";
static char socket_path[64], image_path[64], fifo_path[64];

static const char *server_program(void)
{
	const char *p = getenv("VFIOUSER_NVME");

	return p ? p : SERVER;
}

#define ARGS(...)	((const char *const[]){ __VA_ARGS__, NULL })

static void start(struct mc_server *s, const char *const extra[])
{
	char sock[80];
	char *args[30];
	int i;

	snprintf(sock, sizeof(sock), "--socket-path=%s", socket_path);
	args[0] = sock;
	for (i = 0; extra[i]; i++)
		args[i + 1] = (char *)extra[i];
	args[i + 1] = NULL;
	memcpy(s->path, socket_path, sizeof(s->path));
	assert_int_equal(mc_spawn(s, server_program(), -1, args), 0);
}

static void stop(struct mc_server *s)
{
	assert_int_equal(mc_stop(s), 0);
	assert_int_equal(access(socket_path, F_OK), -1);
}

static int run_server(const char *const args[])
{
	struct mc_server s = { 0 };

	assert_int_equal(mc_spawn(&s, server_program(), -1, (char *const *)args), 0);
	return mc_wait_exit(s.pid);
}

static void make_image(off_t size)
{
	int fd = open(image_path, O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, size), 0);
	close(fd);
}

static void client(struct mc *c)
{
	assert_int_equal(mc_connect(c, socket_path), 0);
}

/* The server must still be there for this client. */
static void assert_alive(struct mc *c)
{
	uint16_t id;

	assert_int_equal(mc_read(c, VFIO_PCI_CONFIG_REGION_INDEX, 0, &id, 2), 0);
	assert_int_equal(id, 0x7576);
}

/* A command with a fixed-size payload and no descriptors. */
#define ask(c, cmd, payload) mc_request(c, VFIO_USER_##cmd, &(payload), sizeof(payload), NULL, 0)

static bool fired(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	uint64_t v;

	return poll(&p, 1, 0) == 1 && read(fd, &v, sizeof(v)) == sizeof(v);
}

static void assert_fires(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	uint64_t v;

	assert_int_equal(poll(&p, 1, MC_TIMEOUT_MS), 1);
	assert_int_equal(read(fd, &v, sizeof(v)), sizeof(v));
}

/* ---- protocol ---------------------------------------------------------------------------- */

static void test_version(void **state)
{
	static const char *const bad[] = {
		"", "{", "[]", "nonsense", "{} x", "{\"capabilities\": 3}",
		"{\"capabilities\": {\"max_msg_fds\": \"8\"}}",
		"{\"capabilities\": {\"max_msg_fds\": -1}}",
		"{\"capabilities\": {\"max_data_xfer_size\": 0}}",
		"{\"capabilities\": {\"pgsizes\": 1}}",
		"{\"capabilities\": {\"max_dma_maps\": null}}",
		"{\"capabilities\": {\"write_multiple\": 1}}",
		"{\"capabilities\": {\"migration\": true}}",
		"{\"capabilities\": {\"twin_socket\": []}}",
		"{\"capabilities\": {\"twin_socket\": {\"supported\": 1}}}",
		"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
	};
	struct vfio_user_version v = { 0, 1 };
	struct mc_server s;
	struct mc c;
	uint32_t reg;
	size_t i;

	(void)state;
	start(&s, ARGS("--ram=1M", "--twin-socket"));
	/* no version data at all: legal, and the answer has no capability in it */
	client(&c);
	assert_int_equal(mc_version(&c, 0, 7, NULL), 0);
	memcpy(&v, c.payload, sizeof(v));
	assert_int_equal(v.major, 0);
	assert_int_equal(v.minor, 1);
	assert_string_equal((char *)c.payload + 4, "{\"capabilities\":{}}");
	/* only once */
	assert_int_equal(mc_version(&c, 0, 1, NULL), -EINVAL);
	assert_alive(&c);
	mc_close(&c);

	/* the reply is a subset of the proposal, unknown names are ignored */
	client(&c);
	assert_int_equal(mc_version(&c, 0, 0, "{\"capabilities\":{\"max_dma_maps\":9,\"x\":1}}"),
			 0);
	memcpy(&v, c.payload, sizeof(v));
	assert_int_equal(v.minor, 0);
	assert_string_equal((char *)c.payload + 4, "{\"capabilities\":{\"max_dma_maps\":65535}}");
	mc_close(&c);

	/* everything */
	client(&c);
	assert_int_equal(mc_negotiate(&c), 0);
	assert_true(c.twin >= 0);
	assert_non_null(strstr((char *)c.payload + 4, "\"max_msg_fds\":8"));
	assert_non_null(strstr((char *)c.payload + 4, "\"max_data_xfer_size\":1048576"));
	assert_non_null(strstr((char *)c.payload + 4, "\"pgsizes\":4096"));
	assert_non_null(strstr((char *)c.payload + 4, "\"write_multiple\":true"));
	assert_null(strstr((char *)c.payload + 4, "migration"));
	mc_close(&c);

	/* what cannot be agreed on ends the connection */
	client(&c);
	assert_int_equal(mc_version(&c, 1, 0, NULL), -ENOTSUP);
	assert_int_equal(mc_closed(&c), 0);
	mc_close(&c);
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		client(&c);
		assert_int_equal(mc_version(&c, 0, 1, bad[i]), -EINVAL);
		assert_int_equal(mc_closed(&c), 0);
		mc_close(&c);
	}
	/* no NUL at the end */
	client(&c);
	assert_int_equal(mc_request(&c, VFIO_USER_VERSION, "\0\0\1\0{}", 6, NULL, 0), -EINVAL);
	assert_int_equal(mc_closed(&c), 0);
	mc_close(&c);
	/* another command first */
	client(&c);
	assert_int_equal(mc_read(&c, 0, 0, &reg, 4), -EINVAL);
	assert_int_equal(mc_closed(&c), 0);
	mc_close(&c);
	stop(&s);
}

static void test_info(void **state)
{
	struct vfio_user_device_info info = { .argsz = sizeof(info) };
	struct vfio_region_info r;
	struct vfio_region_info_cap_sparse_mmap *cap;
	uint8_t cfg[4096], next;
	struct mc_server s;
	bool seen[32] = { false };
	struct mc c;
	uint32_t i, v;

	(void)state;
	start(&s, ARGS("--ram=1M", "--queues=4"));
	client(&c);
	assert_int_equal(mc_negotiate(&c), 0);

	assert_int_equal(ask(&c, DEVICE_GET_INFO, info), 0);
	assert_int_equal(c.len, sizeof(info));
	memcpy(&info, c.payload, sizeof(info));
	assert_int_equal(info.flags, VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET);
	assert_int_equal(info.num_regions, VFIO_PCI_NUM_REGIONS);
	assert_int_equal(info.num_irqs, VFIO_PCI_NUM_IRQS);

	for (i = 0; i < VFIO_PCI_NUM_REGIONS; i++) {
		r = (struct vfio_region_info){ .argsz = sizeof(r), .index = i };
		assert_int_equal(ask(&c, DEVICE_GET_REGION_INFO, r), 0);
		assert_int_equal(c.len, sizeof(r));
		memcpy(&r, c.payload, sizeof(r));
		assert_int_equal(r.index, i);
		assert_int_equal(r.size, i == 0 ? 0x4000 :
				 i == VFIO_PCI_CONFIG_REGION_INDEX ? 4096 : 0);
		assert_int_equal(r.argsz, i ? sizeof(r) : 64);
		assert_int_equal(r.cap_offset, 0);
	}
	/* with room for the capability */
	r = (struct vfio_region_info){ .argsz = 64 };
	assert_int_equal(ask(&c, DEVICE_GET_REGION_INFO, r), 0);
	assert_int_equal(c.len, 64);
	assert_int_equal(c.nfds, 1);
	memcpy(&r, c.payload, sizeof(r));
	assert_int_equal(r.flags, VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE |
				  VFIO_REGION_INFO_FLAG_MMAP | VFIO_REGION_INFO_FLAG_CAPS);
	assert_int_equal(r.cap_offset, 32);
	cap = (void *)(c.payload + r.cap_offset);
	assert_int_equal(cap->header.id, VFIO_REGION_INFO_CAP_SPARSE_MMAP);
	assert_int_equal(cap->header.version, 1);
	assert_int_equal(cap->header.next, 0);
	assert_int_equal(cap->nr_areas, 1);
	assert_int_equal(cap->areas[0].offset, 0x1000);
	assert_int_equal(cap->areas[0].size, 0x1000);
	/* we may not shrink what the server looks at */
	assert_int_equal(ftruncate(c.fds[0], 0), -1);

	r = (struct vfio_region_info){ .argsz = 31 };
	assert_int_equal(ask(&c, DEVICE_GET_REGION_INFO, r), -EINVAL);
	r = (struct vfio_region_info){ .argsz = 32, .index = 9 };
	assert_int_equal(ask(&c, DEVICE_GET_REGION_INFO, r), -EINVAL);

	/* configuration space: identity, and a capability list that ends */
	assert_int_equal(mc_read(&c, VFIO_PCI_CONFIG_REGION_INDEX, 0, cfg, sizeof(cfg)), 0);
	assert_memory_equal(cfg + 9, "\x02\x08\x01", 3);
	for (next = cfg[0x34], i = 0; next; next = cfg[next + 1], i++) {
		assert_true(next >= 0x40 && i < 8 && cfg[next] < sizeof(seen));
		seen[cfg[next]] = true;
		if (cfg[next] == 0x10)
			assert_int_equal(cfg[next + 7] & 0x10, 0x10);	/* FLR */
		if (cfg[next] == 0x11)
			assert_int_equal(cfg[next + 2], 4);		/* 5 vectors */
	}
	assert_true(seen[0x01] && seen[0x05] && seen[0x10] && seen[0x11]);
	/* BAR sizing, and bits that are not to be written */
	v = 0xffffffff;
	assert_int_equal(mc_write(&c, VFIO_PCI_CONFIG_REGION_INDEX, 0x10, &v, 4), 0);
	assert_int_equal(mc_read(&c, VFIO_PCI_CONFIG_REGION_INDEX, 0x10, &v, 4), 0);
	assert_int_equal(v, 0xffffc004);
	v = 0;
	assert_int_equal(mc_write(&c, VFIO_PCI_CONFIG_REGION_INDEX, 0, &v, 4), 0);
	assert_alive(&c);

	/* version, capabilities; 8-byte and unaligned reads */
	assert_int_equal(mc_read(&c, 0, 8, &v, 4), 0);
	assert_int_equal(v, 0x10400);
	assert_int_equal(mc_read(&c, 0, 0, cfg, 8), 0);
	assert_int_equal(mc_read(&c, 0, 1, cfg + 8, 7), 0);
	assert_memory_equal(cfg + 1, cfg + 8, 7);
	mc_close(&c);
	stop(&s);
}

/* A client that cannot take descriptors is not told of mapping. */
static void test_no_fds(void **state)
{
	struct vfio_region_info r = { .argsz = 64 };
	struct mc_server s;
	struct mc c;

	(void)state;
	start(&s, ARGS("--ram=1M", "--twin-socket"));
	client(&c);
	assert_int_equal(mc_version(&c, 0, 1, "{\"capabilities\":{\"max_msg_fds\":0,"
				    "\"twin_socket\":{\"supported\":true}}}"), 0);
	assert_null(strstr((char *)c.payload + 4, "twin"));
	assert_int_equal(ask(&c, DEVICE_GET_REGION_INFO, r), 0);
	memcpy(&r, c.payload, sizeof(r));
	assert_int_equal(r.flags, VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE);
	assert_int_equal(c.nfds, 0);
	mc_close(&c);
	stop(&s);
}

/* The lowest descriptor that a process does not have: as a limit, it leaves room for none. */
static unsigned int first_free_fd(pid_t pid)
{
	char path[40], target[8];
	unsigned int fd = 0;

	do {
		snprintf(path, sizeof(path), "/proc/%d/fd/%u", pid, fd++);
	} while (readlink(path, target, sizeof(target)) >= 0);
	return fd - 1;
}

/*
 * A server that has no room for the eventfds says so: the vectors keep those that they had, and
 * none is taken for one that was to be disarmed.
 */
static void test_irqs_lost(void **state)
{
	struct rlimit tight, before;
	struct mc_server s;
	int ev[5], i;
	struct mc c;

	(void)state;
	start(&s, ARGS("--ram=1M", "--queues=4"));
	client(&c);
	assert_int_equal(mc_negotiate(&c), 0);
	for (i = 0; i < 5; i++)
		ev[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	assert_int_equal(mc_set_irqs(&c, EVENTFD | TRIGGER, MSIX, 0, 3, NULL, 0, ev, 3), 0);
	assert_int_equal(prlimit(s.pid, RLIMIT_NOFILE, NULL, &before), 0);
	tight = before;
	tight.rlim_cur = first_free_fd(s.pid);
	assert_int_equal(prlimit(s.pid, RLIMIT_NOFILE, &tight, NULL), 0);
	assert_int_equal(mc_set_irqs(&c, EVENTFD | TRIGGER, MSIX, 0, 1, NULL, 0, ev, 1), -EMFILE);
	assert_int_equal(mc_set_irqs(&c, EVENTFD | TRIGGER, MSIX, 1, 4, NULL, 0, ev + 1, 4),
			 -EMFILE);
	assert_int_equal(prlimit(s.pid, RLIMIT_NOFILE, &before, NULL), 0);
	assert_int_equal(mc_set_irqs(&c, NONE | TRIGGER, MSIX, 0, 5, NULL, 0, NULL, 0), 0);
	for (i = 0; i < 5; i++)
		assert_int_equal(fired(ev[i]), i < 3);
	assert_int_equal(mc_set_irqs(&c, EVENTFD | TRIGGER, MSIX, 0, 5, NULL, 0, ev, 5), 0);
	assert_int_equal(mc_set_irqs(&c, NONE | TRIGGER, MSIX, 0, 5, NULL, 0, NULL, 0), 0);
	for (i = 0; i < 5; i++) {
		assert_true(fired(ev[i]));
		close(ev[i]);
	}
	mc_close(&c);
	stop(&s);
}

static void test_irqs(void **state)
{
	struct vfio_irq_info info;
	struct mc_server s;
	struct mc c;
	uint8_t flags[5] = { 0, 1, 0, 0, 1 };
	int ev[5], file, i;
	uint64_t pba;

	(void)state;
	start(&s, ARGS("--ram=1M", "--queues=4"));
	client(&c);
	assert_int_equal(mc_negotiate(&c), 0);
	for (i = 0; i < 5; i++)
		ev[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	info = (struct vfio_irq_info){ .argsz = sizeof(info), .index = MSIX };
	assert_int_equal(ask(&c, DEVICE_GET_IRQ_INFO, info), 0);
	memcpy(&info, c.payload, sizeof(info));
	assert_int_equal(info.count, 5);
	assert_int_equal(info.flags & VFIO_IRQ_INFO_EVENTFD, VFIO_IRQ_INFO_EVENTFD);
	info = (struct vfio_irq_info){ .argsz = sizeof(info), .index = 5 };
	assert_int_equal(ask(&c, DEVICE_GET_IRQ_INFO, info), -EINVAL);

	/* in two batches, then triggered from here */
	assert_int_equal(mc_set_irqs(&c, EVENTFD | TRIGGER, MSIX, 0, 3, NULL, 0, ev, 3), 0);
	assert_int_equal(mc_set_irqs(&c, EVENTFD | TRIGGER, MSIX, 3, 2, NULL, 0, ev + 3, 2), 0);
	assert_int_equal(mc_set_irqs(&c, BOOL | TRIGGER, MSIX, 0, 5, flags, 5, NULL, 0), 0);
	for (i = 0; i < 5; i++)
		assert_int_equal(fired(ev[i]), flags[i]);
	assert_int_equal(mc_set_irqs(&c, NONE | TRIGGER, MSIX, 1, 2, NULL, 0, NULL, 0), 0);
	for (i = 0; i < 5; i++)
		assert_int_equal(fired(ev[i]), i == 1 || i == 2);
	/* masks are taken; nothing is pending */
	assert_int_equal(mc_set_irqs(&c, NONE | MASK, MSIX, 0, 5, NULL, 0, NULL, 0), 0);
	assert_int_equal(mc_read(&c, 0, 0x3000, &pba, 8), 0);
	assert_int_equal(pba, 0);
	assert_int_equal(mc_set_irqs(&c, NONE | UNMASK, MSIX, 0, 5, NULL, 0, NULL, 0), 0);
	/* one taken away */
	assert_int_equal(mc_set_irqs(&c, EVENTFD | TRIGGER, MSIX, 4, 1, NULL, 0, NULL, 0), 0);
	assert_int_equal(mc_set_irqs(&c, NONE | TRIGGER, MSIX, 0, 5, NULL, 0, NULL, 0), 0);
	for (i = 0; i < 5; i++)
		assert_int_equal(fired(ev[i]), i != 4);
	/* all taken away */
	assert_int_equal(mc_set_irqs(&c, NONE | TRIGGER, MSIX, 0, 0, NULL, 0, NULL, 0), 0);
	assert_int_equal(mc_set_irqs(&c, NONE | TRIGGER, MSIX, 0, 5, NULL, 0, NULL, 0), 0);
	for (i = 0; i < 5; i++)
		assert_false(fired(ev[i]));

	/* wrong in every way there is */
	assert_int_equal(mc_set_irqs(&c, EVENTFD | TRIGGER, MSIX, 3, 3, NULL, 0, ev, 3), -EINVAL);
	assert_int_equal(mc_set_irqs(&c, EVENTFD | TRIGGER, MSIX, 0xffffffff, 2, NULL, 0, ev, 2),
			 -EINVAL);
	assert_int_equal(mc_set_irqs(&c, EVENTFD | TRIGGER, MSIX, 0, 3, NULL, 0, ev, 2), -EINVAL);
	assert_int_equal(mc_set_irqs(&c, EVENTFD | TRIGGER, 5, 0, 1, NULL, 0, ev, 1), -EINVAL);
	assert_int_equal(mc_set_irqs(&c, EVENTFD | TRIGGER, 3, 1, 1, NULL, 0, ev, 1), -EINVAL);
	assert_int_equal(mc_set_irqs(&c, NONE | TRIGGER, MSIX, 0, 1, NULL, 0, ev, 1), -EINVAL);
	assert_int_equal(mc_set_irqs(&c, NONE | MASK, MSIX, 0, 0, NULL, 0, NULL, 0), -EINVAL);
	assert_int_equal(mc_set_irqs(&c, BOOL | TRIGGER, MSIX, 0, 5, flags, 4, NULL, 0), -EINVAL);
	assert_int_equal(mc_set_irqs(&c, NONE | BOOL | TRIGGER, MSIX, 0, 1, flags, 1, NULL, 0),
			 -EINVAL);
	assert_int_equal(mc_set_irqs(&c, NONE | TRIGGER | MASK, MSIX, 0, 1, NULL, 0, NULL, 0),
			 -EINVAL);
	assert_int_equal(mc_set_irqs(&c, NONE, MSIX, 0, 1, NULL, 0, NULL, 0), -EINVAL);
	assert_int_equal(mc_set_irqs(&c, NONE | TRIGGER | 0x40, MSIX, 0, 1, NULL, 0, NULL, 0),
			 -EINVAL);
	assert_int_equal(mc_set_irqs(&c, EVENTFD | MASK, MSIX, 0, 1, NULL, 0, ev, 1), -ENOTSUP);
	file = open("/dev/null", O_RDWR | O_CLOEXEC);
	assert_int_equal(mc_set_irqs(&c, EVENTFD | TRIGGER, MSIX, 0, 1, NULL, 0, &file, 1), -EBADF);
	close(file);
	assert_alive(&c);
	mc_close(&c);
	for (i = 0; i < 5; i++)
		close(ev[i]);
	stop(&s);
}

static void test_dma_map(void **state)
{
	struct vfio_user_dma_map m;
	struct mc_server s;
	struct mc c;
	int fd[2], i;

	(void)state;
	start(&s, ARGS("--ram=1M"));
	client(&c);
	assert_int_equal(mc_negotiate(&c), 0);
	fd[0] = memfd_create("a", MFD_CLOEXEC);
	fd[1] = fd[0];
	assert_int_equal(ftruncate(fd[0], 1 << 20), 0);
	assert_int_equal(mc_dma_map(&c, 0x10000, 0x10000, fd[0], 0), 0);
	/* every kind of overlap */
	assert_int_equal(mc_dma_map(&c, 0x10000, 0x10000, fd[0], 0), -EEXIST);
	assert_int_equal(mc_dma_map(&c, 0x1f000, 0x1000, -1, 0), -EEXIST);
	assert_int_equal(mc_dma_map(&c, 0xf000, 0x2000, -1, 0), -EEXIST);
	assert_int_equal(mc_dma_map(&c, 0, 0x100000, -1, 0), -EEXIST);
	/* neighbours are not */
	assert_int_equal(mc_dma_map(&c, 0x20000, 0x1000, fd[0], 0x1000), 0);
	assert_int_equal(mc_dma_map(&c, 0xf000, 0x1000, -1, 0), 0);
	/* the last page there is */
	assert_int_equal(mc_dma_map(&c, 0xfffffffffffff000ull, 0x1000, -1, 0), 0);
	assert_int_equal(mc_dma_unmap(&c, 0xfffffffffffff000ull, 0x1000), 0);
	/* wrong in every way there is */
	assert_int_equal(mc_dma_map(&c, 0xfffffffffffff000ull, 0x2000, -1, 0), -EINVAL);
	assert_int_equal(mc_dma_map(&c, 0x40000, 0, -1, 0), -EINVAL);
	assert_int_equal(mc_dma_map(&c, 0x40800, 0x1000, -1, 0), -EINVAL);
	assert_int_equal(mc_dma_map(&c, 0x40000, 0x800, -1, 0), -EINVAL);
	assert_int_equal(mc_dma_map(&c, 0x40000, 0x1000, -1, 0x1000), -EINVAL);
	assert_int_equal(mc_dma_map(&c, 0x40000, 0x1000, fd[0], 0x800), -EINVAL);
	assert_int_equal(mc_dma_map(&c, 0x40000, 0x1000, fd[0], 0x100000), -EINVAL);
	assert_int_equal(mc_dma_map(&c, 0x40000, 0x101000, fd[0], 0), -EINVAL);
	assert_int_equal(mc_dma_map(&c, 0x40000, 0x1000, fd[0], 0x8000000000000000ull), -EINVAL);
	m = (struct vfio_user_dma_map){ sizeof(m), 3, 0, 0x40000, 0x1000 };
	assert_int_equal(mc_request(&c, VFIO_USER_DMA_MAP, &m, sizeof(m), fd, 2), -EINVAL);
	m.flags = 4;
	assert_int_equal(mc_request(&c, VFIO_USER_DMA_MAP, &m, sizeof(m), fd, 1), -EINVAL);
	/* only exactly what was mapped can be unmapped, once */
	assert_int_equal(mc_dma_unmap(&c, 0x10000, 0x1000), -ENOENT);
	assert_int_equal(mc_dma_unmap(&c, 0x11000, 0xf000), -ENOENT);
	assert_int_equal(mc_dma_unmap(&c, 0x10000, 0x11000), -ENOENT);
	assert_int_equal(mc_dma_unmap(&c, 0x10000, 0x10000), 0);
	assert_int_equal(mc_dma_unmap(&c, 0x10000, 0x10000), -ENOENT);
	/* many, in no order */
	for (i = 0; i < 500; i++)
		assert_int_equal(mc_dma_map(&c, 0x1000000ull + i * 37 % 500 * 0x2000, 0x1000,
					    i & 1 ? fd[0] : -1, 0), 0);
	for (i = 0; i < 500; i++)
		assert_int_equal(mc_dma_unmap(&c, 0x1000000ull + i * 0x2000, 0x1000), 0);
	assert_alive(&c);
	mc_close(&c);
	close(fd[0]);
	stop(&s);
}

/* Wrong messages get an error reply, and the next right one its answer. */
static void test_malformed(void **state)
{
	static const struct {
		uint16_t cmd;
		size_t len;
		int err;
	} bad[] = {
		{ VFIO_USER_DMA_MAP, 0, -EINVAL }, { VFIO_USER_DMA_MAP, 31, -EINVAL },
		{ VFIO_USER_DMA_MAP, 33, -EINVAL }, { VFIO_USER_DMA_UNMAP, 23, -EINVAL },
		{ VFIO_USER_DMA_UNMAP, 64, -EINVAL }, { VFIO_USER_DEVICE_GET_INFO, 0, -EINVAL },
		{ VFIO_USER_DEVICE_GET_INFO, 17, -EINVAL },
		{ VFIO_USER_DEVICE_GET_REGION_INFO, 16, -EINVAL },
		{ VFIO_USER_DEVICE_GET_REGION_IO_FDS, 15, -EINVAL },
		{ VFIO_USER_DEVICE_GET_IRQ_INFO, 3, -EINVAL },
		{ VFIO_USER_DEVICE_SET_IRQS, 19, -EINVAL },
		{ VFIO_USER_DEVICE_SET_IRQS, 20, -EINVAL },
		{ VFIO_USER_REGION_READ, 0, -EINVAL }, { VFIO_USER_REGION_READ, 24, -EINVAL },
		{ VFIO_USER_REGION_WRITE, 8, -EINVAL }, { VFIO_USER_REGION_WRITE, 17, -EINVAL },
		{ VFIO_USER_DMA_READ, 16, -ENOTSUP }, { VFIO_USER_DMA_WRITE, 16, -ENOTSUP },
		{ VFIO_USER_DEVICE_RESET, 4, -EINVAL },
		{ VFIO_USER_REGION_WRITE_MULTI, 4, -EINVAL },
		{ VFIO_USER_REGION_WRITE_MULTI, 20, -EINVAL },
		{ 0, 0, -ENOTSUP }, { 14, 0, -ENOTSUP }, { 16, 8, -ENOTSUP },
		{ 65535, 0, -ENOTSUP },
	};
	struct vfio_user_hdr h = { .size = 16, .cmd = VFIO_USER_DEVICE_RESET };
	uint8_t zeros[64] = { 0 };
	uint8_t multi[8 + 2 * sizeof(struct vfio_user_write_one)] = { 2 };
	struct vfio_user_write_one *w = (void *)(multi + 8);
	int fds[253];
	struct mc_server s;
	struct mc c;
	uint32_t v;
	size_t i;

	(void)state;
	start(&s, ARGS("--ram=1M"));
	client(&c);
	assert_int_equal(mc_negotiate(&c), 0);
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(mc_request(&c, bad[i].cmd, zeros, bad[i].len, NULL, 0),
				 bad[i].err);
		assert_alive(&c);
	}
	/* accesses outside */
	assert_int_equal(mc_read(&c, 0, 0x3ffd, &v, 4), -EINVAL);
	assert_int_equal(mc_read(&c, 0, 0xfffffffffffffffeull, &v, 4), -EINVAL);
	assert_int_equal(mc_read(&c, 1, 0, &v, 4), -EINVAL);
	assert_int_equal(mc_read(&c, 9, 0, &v, 4), -EINVAL);
	assert_int_equal(mc_read(&c, 0xffffffff, 0, &v, 4), -EINVAL);
	assert_int_equal(mc_write(&c, 7, 4094, &v, 4), -EINVAL);
	assert_int_equal(mc_write(&c, 8, 0, &v, 4), -EINVAL);
	assert_int_equal(mc_read(&c, 0, 0, &v, 0), -EINVAL);
	/* descriptors where none belong, one and as many as there can be */
	for (i = 0; i < 253; i++)
		fds[i] = STDERR_FILENO;
	assert_int_equal(mc_request(&c, VFIO_USER_DEVICE_RESET, NULL, 0, fds, 1), -EINVAL);
	assert_int_equal(mc_request(&c, VFIO_USER_DEVICE_RESET, NULL, 0, fds, 253), -EINVAL);
	assert_int_equal(mc_set_irqs(&c, EVENTFD | TRIGGER, MSIX, 0, 9, NULL, 0, fds, 9), -EINVAL);
	/* flags that no command has; a reply to nothing gets no answer */
	h.flags = VFIO_USER_F_ERROR;
	assert_int_equal(mc_send(&c, &h, NULL, 0, NULL, 0), 0);
	assert_int_equal(mc_receive(&c), 0);
	assert_int_equal(c.hdr.flags, VFIO_USER_F_REPLY | VFIO_USER_F_ERROR);
	h.flags = 0x2;
	assert_int_equal(mc_send(&c, &h, NULL, 0, NULL, 0), 0);
	assert_int_equal(mc_receive(&c), 0);
	assert_int_equal(c.hdr.error, EINVAL);
	h.flags = VFIO_USER_F_REPLY;
	assert_int_equal(mc_send(&c, &h, NULL, 0, NULL, 0), 0);
	assert_alive(&c);
	/* No_reply: neither for what works nor for what does not */
	h.flags = VFIO_USER_F_NO_REPLY;
	assert_int_equal(mc_send(&c, &h, NULL, 0, NULL, 0), 0);
	h.cmd = 99;
	assert_int_equal(mc_send(&c, &h, NULL, 0, NULL, 0), 0);
	assert_alive(&c);

	/* REGION_WRITE_MULTI: both, the first only, none */
	w[0] = (struct vfio_user_write_one){ 0x24, 0, 4, { 0x11, 0, 0x22, 0 } };
	w[1] = (struct vfio_user_write_one){ 0x28, 0, 8, { 0, 0x10, 0, 0, 5 } };
	assert_int_equal(ask(&c, REGION_WRITE_MULTI, multi), 0);
	assert_int_equal(c.len, 8);
	assert_int_equal(c.payload[0], 2);
	assert_int_equal(mc_read(&c, 0, 0x24, &v, 4), 0);
	assert_int_equal(v, 0x220011);
	assert_int_equal(mc_read(&c, 0, 0x2c, &v, 4), 0);
	assert_int_equal(v, 5);
	w[1].count = 9;
	assert_int_equal(ask(&c, REGION_WRITE_MULTI, multi), 0);
	assert_int_equal(c.payload[0], 1);
	w[0].region = 77;
	assert_int_equal(ask(&c, REGION_WRITE_MULTI, multi), -EINVAL);
	mc_close(&c);
	stop(&s);
}

/* A size that cannot be ends the connection, not the server. */
static void test_framing(void **state)
{
	static const uint32_t sizes[] = { 0, 15, 0x200000, 0xffffffff };
	struct mc_server s;
	struct mc c;
	size_t i;

	(void)state;
	start(&s, ARGS("--ram=1M"));
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct vfio_user_hdr h = { .cmd = VFIO_USER_DEVICE_RESET, .size = sizes[i] };

		client(&c);
		assert_int_equal(mc_negotiate(&c), 0);
		assert_int_equal(mc_send(&c, &h, NULL, 0, NULL, 0), 0);
		assert_int_equal(mc_closed(&c), 0);
		mc_close(&c);
	}
	/* half a message, then nothing */
	client(&c);
	assert_int_equal(mc_negotiate(&c), 0);
	assert_int_equal(send(c.fd, "\1\0\4\0\40", 5, 0), 5);
	mc_close(&c);
	client(&c);
	assert_int_equal(mc_negotiate(&c), 0);
	assert_alive(&c);
	mc_close(&c);
	stop(&s);
}

/* A message in pieces, descriptors with the first or the last of them; many in one write. */
static void test_stream(void **state)
{
	struct vfio_user_dma_map m = { sizeof(m), 3, 0, 0, 0x1000 };
	struct vfio_user_hdr h = { .cmd = VFIO_USER_DMA_MAP, .size = sizeof(h) + sizeof(m) };
	struct vfio_user_region_access a = { 8, 0, 4 };
	uint8_t buf[64 * 32], *p = buf;
	struct mc_server s;
	struct mc c;
	int fd, i;

	(void)state;
	start(&s, ARGS("--ram=1M"));
	client(&c);
	assert_int_equal(mc_negotiate(&c), 0);
	fd = memfd_create("a", MFD_CLOEXEC);
	assert_int_equal(ftruncate(fd, 4096), 0);
	for (i = 0; i < 2; i++) {
		m.addr = i * 0x1000;
		assert_int_equal(mc_send(&c, &h, NULL, 0, &fd, i == 0), 0);
		if (i == 0) {
			assert_int_equal(send(c.fd, &m, sizeof(m), 0), sizeof(m));
		} else {
			/* sent as "header" and payload of 16 bytes each, with the descriptor */
			assert_int_equal(mc_send(&c, (void *)&m, (uint8_t *)&m + 16, 16, &fd, 1),
					 0);
		}
		assert_int_equal(mc_receive(&c), 0);
		assert_int_equal(c.hdr.flags, VFIO_USER_F_REPLY);
	}
	close(fd);
	/* 64 reads pipelined: as many answers, in order */
	for (i = 0; i < 64; i++) {
		h = (struct vfio_user_hdr){ .id = (uint16_t)i, .cmd = VFIO_USER_REGION_READ,
					    .size = 32 };
		memcpy(p, &h, sizeof(h));
		memcpy(p + sizeof(h), &a, sizeof(a));
		p += 32;
	}
	assert_int_equal(send(c.fd, buf, sizeof(buf), 0), sizeof(buf));
	for (i = 0; i < 64; i++) {
		assert_int_equal(mc_receive(&c), 0);
		assert_int_equal(c.hdr.id, i);
		assert_int_equal(c.len, 20);
	}
	mc_close(&c);
	stop(&s);
}

/* Random messages, well framed: whatever they do, the server answers the next client. */
static void test_random(void **state)
{
	unsigned int seed = (unsigned int)time(NULL), i, j, k;
	struct mc_server s;
	uint8_t payload[96];
	struct mc c;
	int fd;

	(void)state;
	print_message("# seed %u\n", seed);
	srand(seed);
	start(&s, ARGS("--ram=1M", "--doorbells=trap"));
	fd = memfd_create("r", MFD_CLOEXEC);
	assert_int_equal(ftruncate(fd, 1 << 20), 0);
	for (i = 0; i < 40; i++) {
		client(&c);
		assert_int_equal(mc_negotiate(&c), 0);
		assert_int_equal(mc_dma_map(&c, 0, 1 << 20, fd, 0), 0);
		for (j = 0; j < 200; j++) {
			struct vfio_user_hdr h = {
				.id = (uint16_t)j, .cmd = (uint16_t)(rand() % 18),
				.flags = VFIO_USER_F_NO_REPLY,
			};
			size_t len = rand() % sizeof(payload) & ~3u;

			/* small numbers, as they get further than large ones */
			for (k = 0; k < sizeof(payload); k++)
				payload[k] = rand() % 4 ? 0 : (uint8_t)rand();
			if (h.cmd == VFIO_USER_REGION_WRITE && len >= 16) {
				uint32_t count = (uint32_t)len - 16;

				memcpy(payload + 12, &count, 4);
				payload[2] = 0;
				memset(payload + 3, 0, 9);
			}
			h.size = (uint32_t)(sizeof(h) + len);
			if (mc_send(&c, &h, payload, len, &fd, rand() % 8 == 0))
				break;
		}
		mc_close(&c);
	}
	close(fd);
	client(&c);
	assert_int_equal(mc_negotiate(&c), 0);
	assert_alive(&c);
	mc_close(&c);
	stop(&s);
}

/* ---- the controller ---------------------------------------------------------------------- */

static void fill(uint8_t *p, size_t n, unsigned int seed)
{
	size_t i;

	for (i = 0; i < n; i++)
		p[i] = (uint8_t)(seed * 131 + i * 7 + (i >> 8) * 13);
}

static void set_rw(struct nc_cmd *cmd, uint8_t opcode, uint64_t slba, uint32_t blocks)
{
	*cmd = (struct nc_cmd){ .opcode = opcode, .nsid = 1,
				.dw = { (uint32_t)slba, slba >> 32, blocks - 1 } };
}

/*
 * Describe @len bytes at @offset of the data area. Where that takes a list, it is written so that
 * it begins @list bytes before the end of a page, which makes it continue in others.
 */
static void set_prp(struct nc *n, struct nc_cmd *cmd, uint32_t offset, uint32_t len, uint32_t list)
{
	uint64_t at = NC_IOVA + NC_DATA + offset, page = at & ~0xfffull;
	uint64_t *entry = (uint64_t *)(n->mem + NC_LISTS + 0x1000 - list);
	unsigned int pages = ((at & 0xfff) + len + 0xfff) / 0x1000, i, chained = 1;

	cmd->prp1 = at;
	cmd->prp2 = 0;
	if (pages == 2)
		cmd->prp2 = page + 0x1000;
	if (pages <= 2)
		return;
	cmd->prp2 = NC_IOVA + NC_LISTS + 0x1000 - list;
	for (i = 1; i < pages; i++) {
		/* the last slot of a page, and more than one entry to go */
		if (((uintptr_t)(entry + 1) & 0xfff) == 0 && i + 1 < pages) {
			/* leave a page between, so that going on without the pointer fails */
			*entry = NC_IOVA + NC_LISTS + ++chained * 0x2000;
			entry = (uint64_t *)(n->mem + NC_LISTS + chained * 0x2000);
		}
		*entry++ = page + i * 0x1000ull;
	}
}

static int do_rw(struct nc *n, unsigned int qid, uint8_t opcode, uint64_t slba, uint32_t blocks,
		 uint32_t offset, unsigned int shift, uint32_t list)
{
	struct nc_cmd cmd;

	set_rw(&cmd, opcode, slba, blocks);
	set_prp(n, &cmd, offset, blocks << shift, list);
	return nc_exec(n, qid, &cmd, NULL);
}

static void check_identify(struct nc *n, const char *serial, uint64_t blocks, unsigned int shift)
{
	uint8_t page[4096], expect[20];
	uint32_t list[1024];
	uint64_t v;

	memset(expect, ' ', sizeof(expect));
	memcpy(expect, serial, strlen(serial));
	assert_int_equal(nc_identify(n, 1, 0, page), 0);
	assert_memory_equal(page + 4, expect, sizeof(expect));
	assert_int_equal(page[77], 8);
	assert_int_equal(page[111], 1);
	assert_memory_equal(page + 768, "nqn.2014-08.org.nvmexpress:uuid:", 32);
	assert_int_equal(strnlen((char *)page + 768, 256), 32 + 36);
	assert_int_equal(nc_identify(n, 0, 1, page), 0);
	memcpy(&v, page, 8);
	assert_int_equal(v, blocks);
	assert_int_equal(page[130], shift);
	assert_int_equal(nc_identify(n, 0, 2, page), 0x0b);
	assert_int_equal(nc_identify(n, 2, 0, list), 0);
	assert_int_equal(list[0], 1);
	assert_int_equal(list[1], 0);
	assert_int_equal(nc_identify(n, 2, 1, list), 0);
	assert_int_equal(list[0], 0);
	assert_int_equal(nc_identify(n, 2, 0xffffffff, list), 0x0b);
	assert_int_equal(nc_identify(n, 3, 1, page), 0);
	assert_int_equal(page[0], 2);
	assert_int_equal(page[20], 3);
	assert_int_equal(page[40], 0);
	assert_int_equal(nc_identify(n, 0x77, 1, page), 2);
}

struct io_case {
	const char *args[8];
	enum nc_memory memory;
	unsigned int shift;
	bool file;
	bool twin;
};

static void check_io(struct nc *n, unsigned int shift, uint64_t blocks)
{
	const uint32_t max = (1u << 20) >> shift;
	uint8_t *data = n->mem + NC_DATA, *back = data + (4 << 20);
	const uint32_t back_at = 4 << 20;
	uint64_t range[2];
	struct nc_cmd cmd;
	unsigned int i;

	/* one block, two pages, an offset, a list, a full transfer with chained lists */
	static const struct {
		uint32_t offset, bytes, list;
	} shape[] = {
		{ 0, 0, 4096 }, { 512, 8192, 4096 }, { 4, 4096, 4096 }, { 0, 65536, 4096 },
		{ 2048, 65536, 64 }, { 2048, 65536, 8 }, { 8, 1 << 20, 4096 }, { 0, 1 << 20, 16 },
		{ 0xffc, 4096, 4096 },
	};

	for (i = 0; i < ARRAY_SIZE(shape); i++) {
		uint32_t bytes = shape[i].bytes ? shape[i].bytes : 1u << shift;
		uint64_t slba = i * 5 + (i % 3 ? blocks / 2 : 0);

		fill(data + shape[i].offset, bytes, i);
		assert_int_equal(do_rw(n, 1 + i % 2, 1, slba, bytes >> shift, shape[i].offset,
				       shift, shape[i].list), 0);
		memset(back, 0xee, bytes + 4096);
		/* read it back to another place and alignment */
		assert_int_equal(do_rw(n, 2 - i % 2, 2, slba, bytes >> shift, back_at + 2044,
				       shift, 4096), 0);
		assert_memory_equal(back + 2044, data + shape[i].offset, bytes);
		/* and nothing around it touched */
		assert_int_equal(back[2043], 0xee);
		assert_int_equal(back[2044 + bytes], 0xee);
	}
	/* compare: the same, and not the same */
	fill(data, 8192, 77);
	assert_int_equal(do_rw(n, 1, 1, 8, 8192 >> shift, 0, shift, 4096), 0);
	assert_int_equal(do_rw(n, 1, 5, 8, 8192 >> shift, 0, shift, 4096), 0);
	data[8191] ^= 1;
	assert_int_equal(do_rw(n, 1, 5, 8, 8192 >> shift, 0, shift, 4096), 0x285);
	data[8191] ^= 1;
	/* write zeroes in the middle of it */
	set_rw(&cmd, 8, 9, 1);
	assert_int_equal(nc_exec(n, 1, &cmd, NULL), 0);
	memset(data + (1 << shift), 0, 1 << shift);
	assert_int_equal(do_rw(n, 1, 5, 8, 8192 >> shift, 0, shift, 4096), 0);
	/* dataset management: deallocated reads as zeros, the neighbours stay */
	fill(data, 65536, 99);
	assert_int_equal(do_rw(n, 1, 1, 32, 65536 >> shift, 0, shift, 4096), 0);
	/* from one block to one block short of a page's edge, where blocks are smaller */
	range[0] = ((32768ull >> shift) + 2) << 32;
	range[1] = 32 + (8192 >> shift) - 1;
	memcpy(n->mem + NC_LISTS, range, 16);
	cmd = (struct nc_cmd){ .opcode = 9, .nsid = 1, .prp1 = NC_IOVA + NC_LISTS,
			       .dw = { 0, 4 } };
	assert_int_equal(nc_exec(n, 1, &cmd, NULL), 0);
	memset(data + 8192 - (1 << shift), 0, 32768 + (2 << shift));
	assert_int_equal(do_rw(n, 1, 5, 32, 65536 >> shift, 0, shift, 4096), 0);
	range[1] = blocks;
	memcpy(n->mem + NC_LISTS, range, 16);
	assert_int_equal(nc_exec(n, 1, &cmd, NULL), 0x80);
	/* flush, for this and for all namespaces; forced unit access */
	cmd = (struct nc_cmd){ .opcode = 0, .nsid = 1 };
	assert_int_equal(nc_exec(n, 1, &cmd, NULL), 0);
	cmd.nsid = 0xffffffff;
	assert_int_equal(nc_exec(n, 1, &cmd, NULL), 0);
	set_rw(&cmd, 1, 0, 1);
	cmd.prp1 = NC_IOVA + NC_DATA;
	cmd.dw[2] |= 1u << 30;
	assert_int_equal(nc_exec(n, 1, &cmd, NULL), 0);

	/* what must be refused */
	assert_int_equal(do_rw(n, 1, 2, blocks, 1, 0, shift, 4096), 0x80);
	assert_int_equal(do_rw(n, 1, 2, blocks - 1, 2, 0, shift, 4096), 0x80);
	assert_int_equal(do_rw(n, 1, 1, 0xffffffffffffffffull, 2, 0, shift, 4096), 0x80);
	assert_int_equal(do_rw(n, 1, 2, 0, max + 1, 0, shift, 4096), 2);
	set_rw(&cmd, 8, blocks - 1, 2);
	assert_int_equal(nc_exec(n, 1, &cmd, NULL), 0x80);
	set_rw(&cmd, 2, 0, 1);
	cmd.nsid = 2;
	assert_int_equal(nc_exec(n, 1, &cmd, NULL), 0x0b);
	cmd.nsid = 1;
	cmd.opcode = 0x99;
	assert_int_equal(nc_exec(n, 1, &cmd, NULL), 1);
	cmd.opcode = 2;
	cmd.flags = 0x40;	/* SGL */
	assert_int_equal(nc_exec(n, 1, &cmd, NULL), 2);
	/* a queue's worth of commands several times over: wrap and phase */
	for (i = 0; i < NC_DEPTH * 5; i++)
		assert_int_equal(do_rw(n, 1 + i % 2, 2, i, 1, 0, shift, 4096), 0);
}

static void test_io(void **state)
{
	const struct io_case *t = *state;
	const uint64_t size = 8 << 20;
	struct nc n = { 0 };
	struct mc_server s;
	char file[80];
	const char *args[16] = { "--queues=4", "--serial=TEST1" };
	int i;

	for (i = 0; t->args[i]; i++)
		args[2 + i] = t->args[i];
	if (t->file) {
		make_image(size);
		snprintf(file, sizeof(file), "--file=%s", image_path);
		args[2 + i] = file;
	} else {
		args[2 + i] = "--ram=8M";
	}
	start(&s, args);
	nc_memory(&n);
	assert_int_equal(nc_attach(&n, socket_path, t->memory), 0);
	assert_int_equal(n.mc.twin >= 0, t->twin);
	assert_int_equal(nc_enable(&n), 0);
	check_identify(&n, "TEST1", size >> t->shift, t->shift);
	assert_int_equal(nc_create_queues(&n, 1, 1), 0);
	assert_int_equal(nc_create_queues(&n, 2, 2), 0);
	check_io(&n, t->shift, size >> t->shift);
	assert_int_equal(n.mc.served != 0, t->memory == NC_MEM_MESSAGES);
	if (t->file) {
		/* from outside: what the last write put in the first block */
		uint8_t *block = n.mem + NC_DATA, got[512];
		int fd = open(image_path, O_RDONLY | O_CLOEXEC);

		fill(block, 4096, 5);
		assert_int_equal(do_rw(&n, 1, 1, 0, 4096 >> t->shift, 0, t->shift, 4096), 0);
		assert_int_equal(pread(fd, got, sizeof(got), 512), sizeof(got));
		assert_memory_equal(got, block + 512, sizeof(got));
		close(fd);
	}
	nc_free(&n);
	stop(&s);
}

/* How many pieces of memory a process has registered with io_uring, as the kernel says. */
static unsigned int registered(pid_t pid)
{
	char path[64], target[64], line[256];
	unsigned int fd, index, n = 0;
	unsigned long long va;

	for (fd = 0; fd < 256; fd++) {
		FILE *info;
		ssize_t len;

		snprintf(path, sizeof(path), "/proc/%d/fd/%u", pid, fd);
		len = readlink(path, target, sizeof(target) - 1);
		if (len < 0)
			continue;
		target[len] = 0;
		if (!strstr(target, "io_uring"))
			continue;
		snprintf(path, sizeof(path), "/proc/%d/fdinfo/%u", pid, fd);
		info = fopen(path, "r");
		assert_non_null(info);
		while (fgets(line, sizeof(line), info))
			n += sscanf(line, " %u: 0x%llx/", &index, &va) == 2 && va;
		fclose(info);
	}
	return n;
}

/* Without a cache the client's memory is registered for as long as it is there. */
static void test_registered(void **state)
{
	struct nc n = { 0 };
	uint8_t want[4096];
	struct mc_server s;
	char file[80];
	int i;

	(void)state;
	/* no entries: not allowed, where the kernel looks so far */
	if (syscall(SYS_io_uring_setup, 0, NULL) < 0 && errno != EINVAL && errno != EFAULT)
		skip();
	make_image(8 << 20);
	snprintf(file, sizeof(file), "--file=%s", image_path);
	start(&s, ARGS("--direct", "--queues=4", file));
	nc_memory(&n);
	for (i = 0; i < 3; i++) {
		assert_int_equal(nc_attach(&n, socket_path, NC_MEM_FD), 0);
		assert_int_equal(registered(s.pid), 1);
		assert_int_equal(nc_enable(&n), 0);
		assert_int_equal(nc_create_queues(&n, 1, 1), 0);
		fill(n.mem + NC_DATA, 4096, 6 + i);
		assert_int_equal(do_rw(&n, 1, 1, 0, 8, 0, 9, 4096), 0);
		memset(n.mem + NC_DATA, 0, 4096);
		assert_int_equal(do_rw(&n, 1, 2, 0, 8, 0, 9, 4096), 0);
		fill(want, sizeof(want), 6 + i);
		assert_memory_equal(n.mem + NC_DATA, want, sizeof(want));
		if (i == 1) {
			assert_int_equal(mc_dma_unmap(&n.mc, NC_IOVA, NC_SIZE), 0);
			assert_int_equal(registered(s.pid), 0);
			assert_int_equal(mc_dma_map(&n.mc, NC_IOVA, NC_SIZE, n.memfd, 0), 0);
			assert_int_equal(registered(s.pid), 1);
		}
		/* the next one brings other memory */
		nc_free(&n);
		n = (struct nc){ 0 };
		nc_memory(&n);
	}
	nc_free(&n);
	stop(&s);
}

static void test_admin(void **state)
{
	struct nc n = { 0 };
	struct mc_server s;
	struct nc_cmd cmd;
	struct nc_cqe cqe;
	uint32_t r;
	unsigned int i;
	uint16_t first;

	(void)state;
	start(&s, ARGS("--ram=1M", "--queues=4"));
	nc_memory(&n);
	assert_int_equal(nc_attach(&n, socket_path, NC_MEM_FD), 0);
	assert_int_equal(nc_enable(&n), 0);

	/* queues: in the wrong order, twice, out of range, with wrong sizes and vectors */
	cmd = (struct nc_cmd){ .opcode = 1, .prp1 = NC_IOVA + 0x2000,
			       .dw = { 15 << 16 | 1, 1 << 16 | 1 } };
	assert_int_equal(nc_exec(&n, 0, &cmd, NULL), 0x100);
	assert_int_equal(nc_create_queues(&n, 1, 1), 0);
	assert_int_equal(nc_exec(&n, 0, &cmd, NULL), 0x101);
	cmd.opcode = 5;
	assert_int_equal(nc_exec(&n, 0, &cmd, NULL), 0x101);
	cmd.dw[0] = 15 << 16 | 5;
	assert_int_equal(nc_exec(&n, 0, &cmd, NULL), 0x101);
	cmd.dw[0] = 15 << 16;
	assert_int_equal(nc_exec(&n, 0, &cmd, NULL), 0x101);
	cmd.dw[0] = 2;
	assert_int_equal(nc_exec(&n, 0, &cmd, NULL), 0x102);
	cmd.dw[0] = 1024 << 16 | 2;
	assert_int_equal(nc_exec(&n, 0, &cmd, NULL), 0x102);
	cmd.dw[0] = 1023u << 16 | 2;
	cmd.dw[1] = 5 << 16 | 3;
	assert_int_equal(nc_exec(&n, 0, &cmd, NULL), 0x108);
	cmd.dw[1] = 2;
	assert_int_equal(nc_exec(&n, 0, &cmd, NULL), 2);
	cmd.dw[1] = 3;
	cmd.prp1 += 8;
	assert_int_equal(nc_exec(&n, 0, &cmd, NULL), 0x13);
	/* delete: the completion queue last */
	cmd = (struct nc_cmd){ .opcode = 4, .dw = { 1 } };
	assert_int_equal(nc_exec(&n, 0, &cmd, NULL), 0x10c);
	cmd.opcode = 0;
	assert_int_equal(nc_exec(&n, 0, &cmd, NULL), 0);
	assert_int_equal(nc_exec(&n, 0, &cmd, NULL), 0x101);
	cmd.opcode = 4;
	assert_int_equal(nc_exec(&n, 0, &cmd, NULL), 0);
	cmd.dw[0] = 0;
	assert_int_equal(nc_exec(&n, 0, &cmd, NULL), 0x101);
	cmd.dw[0] = 0xffff;
	assert_int_equal(nc_exec(&n, 0, &cmd, NULL), 0x101);
	assert_int_equal(nc_create_queues(&n, 1, 1), 0);

	/* features */
	cmd = (struct nc_cmd){ .opcode = 9, .dw = { 7, 63 << 16 | 63 } };
	assert_int_equal(nc_exec(&n, 0, &cmd, &r), 0);
	assert_int_equal(r, 3 << 16 | 3);
	cmd.dw[1] = 0xffff;
	assert_int_equal(nc_exec(&n, 0, &cmd, NULL), 2);
	cmd = (struct nc_cmd){ .opcode = 9, .dw = { 6, 0 } };
	assert_int_equal(nc_exec(&n, 0, &cmd, NULL), 0);
	cmd.opcode = 10;
	assert_int_equal(nc_exec(&n, 0, &cmd, &r), 0);
	assert_int_equal(r, 0);
	for (i = 0; i < 256; i++) {
		cmd = (struct nc_cmd){ .opcode = 10, .dw = { i, 0 } };
		r = nc_exec(&n, 0, &cmd, NULL);
		assert_true(r == 0 || r == 2);
	}
	cmd = (struct nc_cmd){ .opcode = 9, .dw = { 0x80000006u, 1 } };
	assert_int_equal(nc_exec(&n, 0, &cmd, NULL), 0x10d);
	cmd = (struct nc_cmd){ .opcode = 9, .dw = { 9, 0xffff } };
	assert_int_equal(nc_exec(&n, 0, &cmd, NULL), 2);

	/* log pages: whole, in part, past the end, unknown */
	cmd = (struct nc_cmd){ .opcode = 2, .nsid = 0xffffffff, .prp1 = NC_IOVA + NC_DATA,
			       .dw = { 127 << 16 | 2 } };
	assert_int_equal(nc_exec(&n, 0, &cmd, NULL), 0);
	assert_int_equal(n.mem[NC_DATA + 1] | n.mem[NC_DATA + 2] << 8, 307);
	cmd.dw[2] = 512;
	memset(n.mem + NC_DATA, 0xaa, 512);
	assert_int_equal(nc_exec(&n, 0, &cmd, NULL), 0);
	assert_int_equal(n.mem[NC_DATA + 511], 0);
	cmd.dw[2] = 516;
	assert_int_equal(nc_exec(&n, 0, &cmd, NULL), 2);
	cmd.dw[2] = 2;
	assert_int_equal(nc_exec(&n, 0, &cmd, NULL), 2);
	cmd.dw[2] = 0;
	cmd.dw[0] = 1023u << 16 | 5;
	assert_int_equal(nc_exec(&n, 0, &cmd, NULL), 0);
	assert_int_equal(n.mem[NC_DATA + 6 * 4], 1);
	assert_int_equal(n.mem[NC_DATA + 1024 + 4], 3);
	cmd.dw[0] = 1023u << 16 | 3;
	assert_int_equal(nc_exec(&n, 0, &cmd, NULL), 0);
	cmd.dw[0] = 1023u << 16 | 0x70;
	assert_int_equal(nc_exec(&n, 0, &cmd, NULL), 0x109);
	cmd.dw[0] = 0xffffu << 16 | 5;
	cmd.dw[1] = 0xffff;
	assert_int_equal(nc_exec(&n, 0, &cmd, NULL), 2);

	/* event requests: four are held, the fifth is one too many, one is aborted */
	cmd = (struct nc_cmd){ .opcode = 12 };
	for (i = 0; i < 4; i++) {
		assert_int_equal(nc_submit(&n, 0, &cmd), 0);
		if (!i)
			first = cmd.cid;
	}
	assert_int_equal(nc_exec(&n, 0, &cmd, NULL), 0x105);
	cmd = (struct nc_cmd){ .opcode = 8, .dw = { (uint32_t)first << 16 } };
	assert_int_equal(nc_submit(&n, 0, &cmd), 0);
	assert_int_equal(nc_poll(&n, 0, &cqe, MC_TIMEOUT_MS), 0);
	assert_int_equal(cqe.cid, first);
	assert_int_equal(cqe.status >> 1 & 0x7ff, 7);
	assert_int_equal(nc_poll(&n, 0, &cqe, MC_TIMEOUT_MS), 0);
	assert_int_equal(cqe.cid, cmd.cid);
	assert_int_equal(cqe.result, 0);
	assert_int_equal(nc_exec(&n, 0, &cmd, &r), 0);
	assert_int_equal(r, 1);

	/* a temperature threshold below the temperature: an event, once, and again after the log */
	cmd = (struct nc_cmd){ .opcode = 9, .dw = { 11, 2 } };
	assert_int_equal(nc_exec(&n, 0, &cmd, NULL), 0);
	cmd = (struct nc_cmd){ .opcode = 9, .dw = { 4, 300 } };
	for (i = 0; i < 2; i++) {
		assert_int_equal(nc_exec(&n, 0, &cmd, NULL), 0);
		assert_int_equal(nc_poll(&n, 0, &cqe, MC_TIMEOUT_MS), 0);
		assert_int_equal(cqe.result, 0x020101);
		assert_int_equal(nc_exec(&n, 0, &cmd, NULL), 0);
		assert_int_equal(nc_poll(&n, 0, &cqe, 100), -ETIMEDOUT);
		cmd = (struct nc_cmd){ .opcode = 2, .prp1 = NC_IOVA + NC_DATA,
				       .dw = { 127 << 16 | 2 } };
		assert_int_equal(nc_exec(&n, 0, &cmd, NULL), 0);
		assert_int_equal(n.mem[NC_DATA], 2);
		cmd = (struct nc_cmd){ .opcode = 9, .dw = { 4, 300 } };
	}
	/* unknown */
	cmd = (struct nc_cmd){ .opcode = 0x7f };
	assert_int_equal(nc_exec(&n, 0, &cmd, NULL), 1);
	nc_free(&n);
	stop(&s);
}

static void test_msix(void **state)
{
	struct nc n = { 0 };
	struct mc_server s;
	int ev[3], i;
	uint64_t pba;

	(void)state;
	start(&s, ARGS("--ram=1M", "--queues=2"));
	nc_memory(&n);
	assert_int_equal(nc_attach(&n, socket_path, NC_MEM_FD), 0);
	for (i = 0; i < 3; i++)
		ev[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	assert_int_equal(mc_set_irqs(&n.mc, EVENTFD | TRIGGER, MSIX, 0, 3, NULL, 0, ev, 3), 0);
	assert_int_equal(nc_enable(&n), 0);
	assert_int_equal(nc_create_queues(&n, 1, 1), 0);
	assert_fires(ev[0]);
	assert_int_equal(nc_create_queues(&n, 2, 2), 0);
	assert_int_equal(do_rw(&n, 1, 2, 0, 1, 0, 9, 4096), 0);
	assert_fires(ev[1]);
	assert_false(fired(ev[2]));
	assert_int_equal(do_rw(&n, 2, 2, 0, 1, 0, 9, 4096), 0);
	assert_fires(ev[2]);
	/* masked: the pending bit instead, and the interrupt when unmasked */
	assert_int_equal(mc_set_irqs(&n.mc, NONE | MASK, MSIX, 1, 1, NULL, 0, NULL, 0), 0);
	assert_int_equal(do_rw(&n, 1, 2, 0, 1, 0, 9, 4096), 0);
	do {
		/* the completion is seen before its interrupt is raised */
		assert_int_equal(mc_read(&n.mc, 0, 0x3000, &pba, 8), 0);
	} while (!pba);
	assert_int_equal(pba, 2);
	assert_false(fired(ev[1]));
	assert_int_equal(mc_set_irqs(&n.mc, NONE | UNMASK, MSIX, 1, 1, NULL, 0, NULL, 0), 0);
	assert_true(fired(ev[1]));
	assert_int_equal(mc_read(&n.mc, 0, 0x3000, &pba, 8), 0);
	assert_int_equal(pba, 0);
	nc_free(&n);
	for (i = 0; i < 3; i++)
		close(ev[i]);
	stop(&s);
}

/* The line goes up once, stays masked, and comes back while completions are not consumed. */
static void test_intx(void **state)
{
	struct nc_cmd cmd = { .opcode = 10, .dw = { 7 } };
	struct nc n = { 0 };
	const uint64_t one = 1;
	struct mc_server s;
	struct nc_cqe cqe;
	int ev, unmask;
	uint32_t v;

	(void)state;
	start(&s, ARGS("--ram=1M", "--interrupts=intx"));
	nc_memory(&n);
	assert_int_equal(nc_attach(&n, socket_path, NC_MEM_FD), 0);
	ev = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	unmask = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	assert_int_equal(mc_set_irqs(&n.mc, EVENTFD | TRIGGER, INTX, 0, 1, NULL, 0, &ev, 1), 0);
	assert_int_equal(mc_set_irqs(&n.mc, EVENTFD | TRIGGER, MSIX, 0, 1, NULL, 0, &ev, 1),
			 -EINVAL);
	assert_int_equal(nc_enable(&n), 0);
	assert_false(fired(ev));
	assert_int_equal(nc_submit(&n, 0, &cmd), 0);
	assert_fires(ev);
	/* masked by itself: a second completion makes no second interrupt */
	assert_int_equal(nc_submit(&n, 0, &cmd), 0);
	assert_alive(&n.mc);
	assert_false(fired(ev));
	/* unmasked with the completions still there: again */
	assert_int_equal(mc_set_irqs(&n.mc, NONE | UNMASK, INTX, 0, 1, NULL, 0, NULL, 0), 0);
	assert_true(fired(ev));
	/* the controller's own mask takes the line down, with both consumed it stays down */
	v = 1;
	assert_int_equal(mc_write(&n.mc, 0, 0x0c, &v, 4), 0);
	assert_int_equal(mc_set_irqs(&n.mc, NONE | UNMASK, INTX, 0, 1, NULL, 0, NULL, 0), 0);
	assert_false(fired(ev));
	assert_int_equal(mc_write(&n.mc, 0, 0x10, &v, 4), 0);
	assert_true(fired(ev));
	assert_int_equal(nc_poll(&n, 0, &cqe, MC_TIMEOUT_MS), 0);
	assert_int_equal(nc_poll(&n, 0, &cqe, MC_TIMEOUT_MS), 0);
	assert_int_equal(mc_set_irqs(&n.mc, NONE | UNMASK, INTX, 0, 1, NULL, 0, NULL, 0), 0);
	assert_false(fired(ev));
	/* and the same through the unmask eventfd */
	assert_int_equal(mc_set_irqs(&n.mc, EVENTFD | UNMASK, INTX, 0, 1, NULL, 0, &unmask, 1), 0);
	assert_int_equal(nc_submit(&n, 0, &cmd), 0);
	assert_fires(ev);
	assert_int_equal(write(unmask, &one, sizeof(one)), sizeof(one));
	assert_fires(ev);
	nc_free(&n);
	close(ev);
	close(unmask);
	stop(&s);
}

/* A driver that lies about memory gets errors, and nobody else's memory. */
static void test_hostile_prp(void **state)
{
	static const struct {
		uint64_t prp1, prp2;
		int status;
	} bad[] = {
		{ 0, 0, 4 }, { NC_IOVA - 4096, 0, 4 }, { NC_IOVA + NC_SIZE, 0, 4 },
		{ 0xfffffffffffff000ull, 0, 4 }, { 0xfffffffffffffffcull, 0, 4 },
		{ NC_IOVA + 1, 0, 0x13 }, { NC_IOVA + NC_SIZE - 4, 0, 4 },
		{ NC_IOVA + NC_DATA, 0, 4 }, { NC_IOVA + NC_DATA, NC_IOVA + 4, 0x13 },
		{ NC_IOVA + NC_DATA, 0xfffffffffffffff8ull, 4 },
		{ NC_IOVA + NC_DATA, NC_IOVA + NC_SIZE, 4 },
	};
	struct nc n = { 0 };
	struct mc_server s;
	struct nc_cmd cmd;
	uint64_t *list;
	unsigned int i;

	(void)state;
	start(&s, ARGS("--ram=8M"));
	nc_memory(&n);
	assert_int_equal(nc_attach(&n, socket_path, NC_MEM_FD), 0);
	assert_int_equal(nc_enable(&n), 0);
	assert_int_equal(nc_create_queues(&n, 1, 1), 0);
	list = (uint64_t *)(n.mem + NC_LISTS);
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		/* three pages, so that prp2 is a list; one block where it does not matter */
		set_rw(&cmd, i & 1 ? 2 : 1, 0, i < 7 ? 8 : 24);
		cmd.prp1 = bad[i].prp1;
		cmd.prp2 = bad[i].prp2;
		assert_int_equal(nc_exec(&n, 1, &cmd, NULL), bad[i].status);
	}
	/* a list of rubbish, one that points to itself, one entry outside */
	set_rw(&cmd, 2, 0, 2048);
	cmd.prp1 = NC_IOVA + NC_DATA;
	cmd.prp2 = NC_IOVA + NC_LISTS;
	memset(list, 0xff, 4096);
	assert_int_equal(nc_exec(&n, 1, &cmd, NULL), 0x13);
	for (i = 0; i < 512; i++)
		list[i] = NC_IOVA + NC_LISTS;
	cmd.prp2 = NC_IOVA + NC_LISTS + 0xff8;
	assert_int_equal(nc_exec(&n, 1, &cmd, NULL), 0);
	for (i = 0; i < 512; i++)
		list[i] = NC_IOVA + NC_DATA;
	list[254] = NC_IOVA + NC_SIZE;
	cmd.prp2 = NC_IOVA + NC_LISTS;
	assert_int_equal(nc_exec(&n, 1, &cmd, NULL), 4);
	list[511] = 0x1234000;
	cmd.prp2 = NC_IOVA + NC_LISTS + 0xff8;
	assert_int_equal(nc_exec(&n, 1, &cmd, NULL), 4);
	/* admin data, dataset ranges */
	cmd = (struct nc_cmd){ .opcode = 6, .prp1 = NC_IOVA + NC_SIZE - 512, .dw = { 1 } };
	assert_int_equal(nc_exec(&n, 0, &cmd, NULL), 4);
	cmd = (struct nc_cmd){ .opcode = 9, .nsid = 1, .prp1 = 0x5000, .dw = { 255, 4 } };
	assert_int_equal(nc_exec(&n, 1, &cmd, NULL), 4);
	/* all is well with the next right one */
	assert_int_equal(do_rw(&n, 1, 2, 0, 2048, 0, 9, 4096), 0);
	nc_free(&n);
	stop(&s);
}

static void check_doorbells(const char *how)
{
	struct nc_cmd cmd = { .opcode = 12 };
	struct nc n = { 0 };
	struct mc_server s;
	struct nc_cqe cqe;
	unsigned int i;

	start(&s, ARGS("--ram=1M", "--queues=2", how));
	nc_memory(&n);
	assert_int_equal(nc_attach(&n, socket_path, NC_MEM_FD), 0);
	assert_int_equal(nc_enable(&n), 0);
	assert_int_equal(nc_submit(&n, 0, &cmd), 0);
	assert_int_equal(nc_create_queues(&n, 1, 1), 0);
	/* a tail outside the queue: an error event, the queue goes on with the next good value */
	assert_int_equal(nc_ring(&n, 1, 0, 0xdeadbeef), 0);
	assert_int_equal(nc_poll(&n, 0, &cqe, MC_TIMEOUT_MS), 0);
	assert_int_equal(cqe.result, 0x010100);
	assert_int_equal(nc_ring(&n, 1, 0, 16), 0);
	assert_int_equal(do_rw(&n, 1, 2, 0, 1, 0, 9, 4096), 0);
	/* a head outside, and one that passes entries which were never posted */
	assert_int_equal(nc_ring(&n, 1, 1, 0xffffffff), 0);
	assert_int_equal(nc_ring(&n, 1, 1, 7), 0);
	assert_int_equal(nc_ring(&n, 1, 1, n.q[1].head), 0);
	for (i = 0; i < NC_DEPTH * 2; i++)
		assert_int_equal(do_rw(&n, 1, 2, 0, 1, 0, 9, 4096), 0);
	/* doorbells of queues that are not there, or cannot be */
	for (i = 4; i < 1024; i++) {
		uint32_t v = 1;

		if (n.doorbells)
			n.doorbells[i] = 1;
		else
			assert_int_equal(mc_write(&n.mc, 0, 0x1000 + i * 4, &v, 4), 0);
	}
	assert_int_equal(do_rw(&n, 1, 2, 0, 1, 0, 9, 4096), 0);
	/* the completion queue full: the rest waits for the head to move */
	for (i = 0; i < NC_DEPTH - 1; i++) {
		set_rw(&cmd, 2, 0, 1);
		cmd.prp1 = NC_IOVA + NC_DATA;
		assert_int_equal(nc_submit(&n, 1, &cmd), 0);
	}
	for (i = 0; i < NC_DEPTH - 1; i++)
		assert_int_equal(nc_poll(&n, 1, &cqe, MC_TIMEOUT_MS), 0);
	assert_alive(&n.mc);
	nc_free(&n);
	stop(&s);
}

static void test_hostile_doorbells(void **state)
{
	(void)state;
	check_doorbells("--doorbells=mmap");
	check_doorbells("--doorbells=trap");
	check_doorbells("--doorbells=ioeventfd");
}

/* A server of a new image that waits for a FIFO at @call, once; and a queue of its own. */
static void start_waiting(struct mc_server *s, struct nc *n, const char *call, const char *option)
{
	char file[80], fault[120];

	make_image(1 << 20);
	snprintf(file, sizeof(file), "--file=%s", image_path);
	snprintf(fault, sizeof(fault), "--disk-fault=%s:wait=%s", call, fifo_path);
	assert_int_equal(mkfifo(fifo_path, 0600), 0);
	start(s, ARGS(file, "--doorbells=trap", fault, option));
	nc_memory(n);
	assert_int_equal(nc_attach(n, socket_path, NC_MEM_FD), 0);
	assert_int_equal(nc_enable(n), 0);
	assert_int_equal(nc_create_queues(n, 1, 1), 0);
}

/*
 * A write in the course of which it waits for half a second. Returns its status. On a machine that is
 * busy it may end before there was anything to wait for: once more then.
 */
static int write_waiting(struct nc *n)
{
	struct {
		struct vfio_user_region_access at;
		uint32_t value;
	} __attribute__((packed)) ring = { { 0x1008, 0, 4 }, 0 };
	const struct vfio_user_hdr hdr = {
		.cmd = VFIO_USER_REGION_WRITE, .size = sizeof(hdr) + sizeof(ring),
	};
	struct nc_cmd cmd;
	struct nc_cqe cqe;
	unsigned int tries;
	bool ended;
	int fd;

	for (tries = 0; tries < 50; tries++) {
		set_rw(&cmd, 1, 0, 8);
		set_prp(n, &cmd, 0, 8 * 512, 4096);
		ring.value = nc_put(n, 1, &cmd);
		assert_int_equal(mc_send(&n->mc, &hdr, &ring, sizeof(ring), NULL, 0), 0);
		usleep(500000);
		do {
			fd = open(fifo_path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
			/* to consume it takes a message, and this one's reply is not read yet */
			ended = fd < 0 && nc_ended(n, 1);
			if (fd < 0 && !ended)
				usleep(10000);
		} while (fd < 0 && !ended);
		assert_int_equal(mc_receive(&n->mc), 0);
		assert_int_equal(nc_poll(n, 1, &cqe, MC_TIMEOUT_MS), 0);
		if (ended)
			continue;
		close(fd);
		return cqe.status >> 1;
	}
	fail_msg("it has never waited");
	return -1;
}

static void stop_waiting(struct mc_server *s, struct nc *n)
{
	nc_free(n);
	stop(s);
	unlink(image_path);
	unlink(fifo_path);
}

/*
 * A command ends when the server has looked at it, and before it has asked to be woken; nobody
 * rings another doorbell.
 */
static void test_ends_before_sleep(void **state)
{
	struct nc n = { 0 };
	struct mc_server s;

	(void)state;
	start_waiting(&s, &n, "arm", NULL);
	assert_int_equal(write_waiting(&n), 0);
	stop_waiting(&s, &n);
}

/* Where the kernel is slow to begin an operation, threads begin the next ones, for a while. */
static void test_slow_begin(void **state)
{
	struct nc n = { 0 };
	struct mc_server s;

	(void)state;
	/* only what threads write fails */
	start_waiting(&s, &n, "submit", "--disk-fault=write:eio");
	assert_int_equal(write_waiting(&n), 0);
	assert_int_not_equal(do_rw(&n, 1, 1, 0, 8, 0, 9, 4096), 0);
	assert_int_equal(do_rw(&n, 1, 2, 0, 8, 0, 9, 4096), 0);
	usleep(2500000);
	assert_int_equal(do_rw(&n, 1, 1, 0, 8, 0, 9, 4096), 0);
	stop_waiting(&s, &n);
}

/*
 * The thread that has the registers is held in the kernel for as long as it takes: they are
 * answered, commands are executed, and the controller is disabled when it is back.
 */
static void test_held(void **state)
{
	uint32_t off = 0x460000;
	struct nc n = { 0 };
	struct mc_server s;
	struct nc_cmd cmd;
	int fd;

	(void)state;
	start_waiting(&s, &n, "submit", NULL);
	set_rw(&cmd, 1, 0, 8);
	set_prp(&n, &cmd, 0, 8 * 512, 4096);
	assert_int_equal(nc_submit(&n, 1, &cmd), 0);
	assert_int_equal(nc_reg(&n, 0x1c), 1);
	assert_int_equal(do_rw(&n, 1, 1, 8, 8, 0, 9, 4096), 0);
	assert_int_equal(do_rw(&n, 1, 2, 8, 8, 0, 9, 4096), 0);
	assert_int_equal(mc_write(&n.mc, 0, 0x14, &off, 4), 0);
	assert_int_equal(nc_reg(&n, 0x1c), 1);
	fd = open(fifo_path, O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(nc_wait_ready(&n, 1, 0), 0);
	assert_int_equal(nc_enable(&n), 0);
	assert_int_equal(nc_create_queues(&n, 1, 1), 0);
	assert_int_equal(do_rw(&n, 1, 1, 0, 8, 0, 9, 4096), 0);
	stop_waiting(&s, &n);
}

/* The disk answers again. */
static void let_go(void)
{
	int fd = open(fifo_path, O_WRONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	close(fd);
}

/* A server with a read in flight that does not end, and a file that its reads wait for. */
static void start_stuck(struct mc_server *s, struct nc *n)
{
	struct nc_cmd cmd;

	start_waiting(s, n, "read", "--io=threads");
	memset(n->mem + NC_DATA, 0xee, 4096);
	set_rw(&cmd, 2, 0, 8);
	set_prp(n, &cmd, 0, 8 * 512, 4096);
	assert_int_equal(nc_submit(n, 1, &cmd), 0);
}

/* Commands whose answers come later. */
static void send_command(struct nc *n, uint16_t cmd, uint16_t id, const void *payload, size_t len)
{
	const struct vfio_user_hdr hdr = {
		.id = id, .cmd = cmd, .size = (uint32_t)(sizeof(hdr) + len),
	};

	assert_int_equal(mc_send(&n->mc, &hdr, payload, len, NULL, 0), 0);
}

/* Returns the error of the answer that comes next, which is that one. */
static int answer_to(struct nc *n, uint16_t cmd, uint16_t id)
{
	assert_int_equal(mc_receive(&n->mc), 0);
	assert_int_equal(n->mc.hdr.cmd, cmd);
	assert_int_equal(n->mc.hdr.id, id);
	return n->mc.hdr.flags & VFIO_USER_F_ERROR ? (int)n->mc.hdr.error : 0;
}

/*
 * A reset waits for a disk that does not answer, and registers do not wait for the reset. What was
 * asked for behind it comes behind it, and the controller is ready when the data has moved.
 */
static void test_reset_stuck(void **state)
{
	struct vfio_user_device_info {
		uint32_t argsz, flags, num_regions, num_irqs;
	} info = { .argsz = sizeof(info) };
	uint32_t on = 0x460001, aqa = 0x000f000f;
	struct nc n = { 0 };
	struct mc_server s;

	(void)state;
	start_stuck(&s, &n);
	send_command(&n, VFIO_USER_DEVICE_RESET, 0x7001, NULL, 0);
	assert_int_equal(nc_reg(&n, 0x1c), 0);
	assert_int_equal(nc_reg(&n, 0x24), 0);
	send_command(&n, VFIO_USER_DEVICE_GET_INFO, 0x7002, &info, sizeof(info));
	/* the driver of another client, which does not wait */
	assert_int_equal(mc_write(&n.mc, 0, 0x24, &aqa, 4), 0);
	assert_int_equal(mc_write(&n.mc, 0, 0x14, &on, 4), 0);
	assert_int_equal(nc_reg(&n, 0x1c), 0);
	let_go();
	assert_int_equal(answer_to(&n, VFIO_USER_DEVICE_RESET, 0x7001), 0);
	assert_int_equal(answer_to(&n, VFIO_USER_DEVICE_GET_INFO, 0x7002), 0);
	assert_int_equal(nc_reg(&n, 0x24), aqa);
	assert_int_not_equal(nc_reg(&n, 0x1c), 0);
	/* the next one is done at once, and really */
	assert_int_equal(mc_request(&n.mc, VFIO_USER_DEVICE_RESET, NULL, 0, NULL, 0), 0);
	assert_int_equal(nc_reg(&n, 0x24), 0);
	assert_int_equal(nc_reg(&n, 0x1c), 0);
	assert_int_equal(nc_enable(&n), 0);
	assert_int_equal(nc_create_queues(&n, 1, 1), 0);
	assert_int_equal(do_rw(&n, 1, 2, 0, 8, 0, 9, 4096), 0);
	stop_waiting(&s, &n);
}

/* Function-level reset, of clients that leave it to the device: it is over when that answers. */
static void test_flr_stuck(void **state)
{
	uint16_t flr = 0x8000, id = 0;
	struct nc n = { 0 };
	struct mc_server s;
	uint8_t cap = 0x34, type = 0;
	int i;

	(void)state;
	start_stuck(&s, &n);
	while (type != 0x10) {
		assert_int_equal(mc_read(&n.mc, 7, cap, &cap, 1), 0);
		assert_int_equal(mc_read(&n.mc, 7, cap, &type, 1), 0);
		cap++;
	}
	assert_int_equal(mc_write(&n.mc, 7, cap - 1 + 8, &flr, 2), 0);
	assert_int_equal(nc_reg(&n, 0x1c), 0xffffffff);
	assert_int_equal(mc_read(&n.mc, 7, 0, &id, 2), 0);
	assert_int_equal(id, 0xffff);
	let_go();
	for (i = 0; id == 0xffff && i < MC_TIMEOUT_MS; i++) {
		usleep(1000);
		assert_int_equal(mc_read(&n.mc, 7, 0, &id, 2), 0);
	}
	assert_alive(&n.mc);
	assert_int_equal(nc_enable(&n), 0);
	stop_waiting(&s, &n);
}

/*
 * So does DMA_UNMAP. A client that has no answer after seconds gets an error: the memory stays
 * mapped, and the queue goes on.
 */
static void test_unmap_stuck(void **state)
{
	struct vfio_user_dma_unmap req = {
		.argsz = sizeof(req), .addr = NC_IOVA + NC_SIZE, .size = 4096,
	};
	struct nc n = { 0 };
	struct nc_cmd cmd;
	struct nc_cqe cqe;
	struct mc_server s;

	(void)state;
	start_stuck(&s, &n);
	assert_int_equal(mc_dma_map(&n.mc, req.addr, req.size, -1, 0), 0);
	send_command(&n, VFIO_USER_DMA_UNMAP, 0x7001, &req, sizeof(req));
	assert_int_equal(nc_reg(&n, 0x1c), 1);
	/* nothing that comes now can keep it waiting */
	set_rw(&cmd, 1, 8, 8);
	set_prp(&n, &cmd, 8192, 8 * 512, 8192);
	assert_int_equal(nc_submit(&n, 1, &cmd), 0);
	assert_int_equal(nc_reg(&n, 0x1c), 1);
	assert_int_equal(answer_to(&n, VFIO_USER_DMA_UNMAP, 0x7001), ETIMEDOUT);
	/* the second command */
	assert_int_equal(nc_poll(&n, 1, &cqe, MC_TIMEOUT_MS), 0);
	assert_int_equal(cqe.cid, cmd.cid);
	send_command(&n, VFIO_USER_DMA_UNMAP, 0x7003, &req, sizeof(req));
	assert_int_equal(nc_reg(&n, 0x1c), 1);
	let_go();
	assert_int_equal(answer_to(&n, VFIO_USER_DMA_UNMAP, 0x7003), 0);
	assert_int_equal(nc_poll(&n, 1, &cqe, MC_TIMEOUT_MS), 0);
	assert_int_equal(cqe.status >> 1, 0);
	assert_int_equal(mc_dma_unmap(&n.mc, req.addr, req.size), -ENOENT);
	stop_waiting(&s, &n);
}

/*
 * A client that is gone while the disk does not answer: the next one is let in when nothing of the
 * first can move any more, and the server does what else it has to.
 */
static void test_gone_stuck(void **state)
{
	struct nc n = { 0 };
	struct mc_server s;
	struct mc second;

	(void)state;
	start_stuck(&s, &n);
	nc_detach(&n);
	client(&second);
	assert_int_equal(truncate(image_path, 2 << 20), 0);
	assert_int_equal(kill(s.pid, SIGHUP), 0);
	let_go();
	assert_int_equal(mc_negotiate(&second), 0);
	mc_close(&second);
	assert_int_equal(nc_attach(&n, socket_path, NC_MEM_FD), 0);
	assert_int_equal(nc_enable(&n), 0);
	assert_int_equal(nc_create_queues(&n, 1, 1), 0);
	assert_int_equal(do_rw(&n, 1, 2, 2048, 8, 0, 9, 4096), 0);
	stop_waiting(&s, &n);
}

/* Looking at the size of a file can take its file system long: whoever asks waits alone. */
static void test_size_stuck(void **state)
{
	struct nc_cmd cmd = { .opcode = 6, .nsid = 1 };
	struct nc n = { 0 };
	struct nc_cqe cqe;
	struct mc_server s;

	(void)state;
	start_waiting(&s, &n, "size", NULL);
	cmd.prp1 = NC_IOVA + NC_DATA;
	assert_int_equal(nc_submit(&n, 0, &cmd), 0);
	assert_int_equal(nc_reg(&n, 0x1c), 1);
	assert_int_equal(do_rw(&n, 1, 1, 8, 8, 8192, 9, 8192), 0);
	let_go();
	assert_int_equal(nc_poll(&n, 0, &cqe, MC_TIMEOUT_MS), 0);
	assert_int_equal(cqe.status >> 1, 0);
	stop_waiting(&s, &n);
}

/* Queues in memory that is not there, or goes away: fatal status, and a reset cures it. */
static void test_fatal(void **state)
{
	struct nc_cmd cmd = { .opcode = 10, .dw = { 7 } };
	uint32_t off = 0, on = 0x460001, aqa = 0x000f000f, bad = 0x460081;
	uint64_t nowhere = 0x7000;
	struct nc n = { 0 };
	struct mc_server s;

	(void)state;
	start(&s, ARGS("--ram=1M"));
	nc_memory(&n);
	assert_int_equal(nc_attach(&n, socket_path, NC_MEM_FD), 0);
	/* no admin queue at all; a page size that is not offered */
	assert_int_equal(mc_write(&n.mc, 0, 0x14, &on, 4), 0);
	assert_int_equal(nc_wait_ready(&n, 3, 2), 0);
	assert_int_equal(mc_write(&n.mc, 0, 0x14, &off, 4), 0);
	assert_int_equal(nc_wait_ready(&n, 3, 0), 0);
	assert_int_equal(mc_write(&n.mc, 0, 0x24, &aqa, 4), 0);
	assert_int_equal(mc_write(&n.mc, 0, 0x14, &bad, 4), 0);
	assert_int_equal(nc_wait_ready(&n, 3, 2), 0);
	/* an admin queue outside */
	assert_int_equal(mc_write(&n.mc, 0, 0x14, &off, 4), 0);
	assert_int_equal(mc_write(&n.mc, 0, 0x28, &nowhere, 8), 0);
	assert_int_equal(mc_write(&n.mc, 0, 0x30, &nowhere, 8), 0);
	assert_int_equal(mc_write(&n.mc, 0, 0x14, &on, 4), 0);
	assert_int_equal(nc_wait_ready(&n, 3, 1), 0);
	assert_int_equal(nc_ring(&n, 0, 0, 1), 0);
	assert_int_equal(nc_wait_ready(&n, 2, 2), 0);
	/* good again */
	assert_int_equal(nc_enable(&n), 0);
	assert_int_equal(nc_exec(&n, 0, &cmd, NULL), 0);
	/* its memory unmapped under it */
	assert_int_equal(mc_dma_unmap(&n.mc, NC_IOVA, NC_SIZE), 0);
	assert_int_equal(nc_submit(&n, 0, &cmd), 0);
	assert_int_equal(nc_wait_ready(&n, 2, 2), 0);
	assert_int_equal(mc_dma_map(&n.mc, NC_IOVA, NC_SIZE, n.memfd, 0), 0);
	assert_int_equal(nc_enable(&n), 0);
	assert_int_equal(nc_exec(&n, 0, &cmd, NULL), 0);
	/* its file cut off under it: the process survives */
	assert_int_equal(ftruncate(n.memfd, 4096), 0);
	assert_int_equal(nc_ring(&n, 0, 0, 9), 0);
	assert_alive(&n.mc);
	assert_int_equal(mc_request(&n.mc, VFIO_USER_DEVICE_RESET, NULL, 0, NULL, 0), 0);
	assert_int_equal(nc_reg(&n, 0x1c), 0);
	assert_int_equal(ftruncate(n.memfd, NC_SIZE), 0);
	assert_int_equal(mc_dma_unmap(&n.mc, NC_IOVA, NC_SIZE), 0);
	assert_int_equal(mc_dma_map(&n.mc, NC_IOVA, NC_SIZE, n.memfd, 0), 0);
	assert_int_equal(nc_enable(&n), 0);
	assert_int_equal(nc_exec(&n, 0, &cmd, NULL), 0);
	nc_free(&n);
	stop(&s);
}

static void test_reset(void **state)
{
	uint32_t off = 0x460000, shutdown = 0x464001, v;
	struct nc n = { 0 };
	struct mc_server s;
	uint16_t flr = 0x8000;
	uint8_t cap;

	(void)state;
	start(&s, ARGS("--ram=1M"));
	nc_memory(&n);
	assert_int_equal(nc_attach(&n, socket_path, NC_MEM_FD), 0);
	assert_int_equal(nc_enable(&n), 0);
	/* shutdown, disable: queues gone, AQA stays */
	assert_int_equal(mc_write(&n.mc, 0, 0x14, &shutdown, 4), 0);
	assert_int_equal(nc_wait_ready(&n, 0xc, 8), 0);
	assert_int_equal(mc_write(&n.mc, 0, 0x14, &off, 4), 0);
	assert_int_equal(nc_wait_ready(&n, 0xf, 0), 0);
	assert_int_equal(nc_reg(&n, 0x24), 0x000f000f);
	/* DEVICE_RESET and function-level reset: as after power-on */
	assert_int_equal(nc_enable(&n), 0);
	assert_int_equal(mc_request(&n.mc, VFIO_USER_DEVICE_RESET, NULL, 0, NULL, 0), 0);
	assert_int_equal(n.mc.len, 0);
	assert_int_equal(nc_reg(&n, 0x14), 0);
	assert_int_equal(nc_reg(&n, 0x1c), 0);
	assert_int_equal(nc_reg(&n, 0x24), 0);
	assert_int_equal(nc_enable(&n), 0);
	for (cap = 0x34; ; cap++) {
		uint8_t id;

		assert_int_equal(mc_read(&n.mc, 7, cap, &cap, 1), 0);
		assert_int_equal(mc_read(&n.mc, 7, cap, &id, 1), 0);
		if (id == 0x10)
			break;
	}
	assert_int_equal(mc_write(&n.mc, 7, cap + 8, &flr, 2), 0);
	assert_int_equal(nc_reg(&n, 0x1c), 0);
	assert_int_equal(mc_read(&n.mc, 7, cap + 8, &v, 2), 0);
	assert_int_equal(v & 0x8000, 0);
	assert_int_equal(nc_enable(&n), 0);
	nc_free(&n);
	stop(&s);
}

/* The device outlives its client; memory and eventfds do not. */
static void test_reconnect(void **state)
{
	struct nc_cmd cmd = { .opcode = 10, .dw = { 7 } };
	struct nc n = { 0 };
	struct mc_server s;
	struct mc second;
	int ev, i;

	(void)state;
	start(&s, ARGS("--ram=1M"));
	nc_memory(&n);
	assert_int_equal(nc_attach(&n, socket_path, NC_MEM_FD), 0);
	ev = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	assert_int_equal(mc_set_irqs(&n.mc, EVENTFD | TRIGGER, MSIX, 0, 1, NULL, 0, &ev, 1), 0);
	assert_int_equal(nc_enable(&n), 0);
	assert_int_equal(nc_exec(&n, 0, &cmd, NULL), 0);
	assert_fires(ev);
	/* a second client has to wait for the first to leave */
	client(&second);
	nc_detach(&n);
	assert_int_equal(mc_negotiate(&second), 0);
	mc_close(&second);
	/* still enabled; the same memory at the same place, and the same queue goes on */
	assert_int_equal(nc_attach(&n, socket_path, NC_MEM_FD), 0);
	assert_int_equal(nc_reg(&n, 0x1c), 1);
	assert_int_equal(nc_exec(&n, 0, &cmd, NULL), 0);
	/* the interrupt of it waits for the new client's eventfd */
	assert_alive(&n.mc);
	assert_false(fired(ev));
	assert_int_equal(mc_set_irqs(&n.mc, EVENTFD | TRIGGER, MSIX, 0, 1, NULL, 0, &ev, 1), 0);
	assert_fires(ev);
	for (i = 0; i < 20; i++) {
		nc_detach(&n);
		assert_int_equal(nc_attach(&n, socket_path, NC_MEM_FD), 0);
		assert_int_equal(nc_enable(&n), 0);
		assert_int_equal(nc_exec(&n, 0, &cmd, NULL), 0);
	}
	nc_free(&n);
	close(ev);
	stop(&s);
}

/* A client that leaves with a request of the server unanswered, or never answers one. */
static void test_dma_lost(void **state)
{
	struct nc n = { 0 };
	struct mc_server s;
	int i;

	(void)state;
	start(&s, ARGS("--ram=1M", "--doorbells=trap"));
	nc_memory(&n);
	for (i = 0; i < 3; i++) {
		assert_int_equal(nc_attach(&n, socket_path, NC_MEM_MESSAGES), 0);
		assert_int_equal(nc_enable(&n), 0);
		assert_int_equal(nc_ring(&n, 0, 0, 1), 0);
		/* the DMA_READ is on its way: an error, a wrong size, nothing */
		if (i == 0)
			n.mc.mem_size = 0;
		if (i == 0)
			assert_int_equal(mc_serve(&n.mc, MC_TIMEOUT_MS), 1);
		if (i == 1) {
			struct vfio_user_hdr h = { .cmd = VFIO_USER_DMA_READ, .size = 17,
						   .flags = VFIO_USER_F_REPLY };

			assert_int_equal(recv(n.mc.fd, &h.id, 2, MSG_WAITALL), 2);
			assert_int_equal(mc_send(&n.mc, &h, "x", 1, NULL, 0), 0);
			/* the rest of the server's request */
			assert_int_equal(recv(n.mc.fd, n.mc.payload, 30, MSG_WAITALL), 30);
		}
		if (i < 2)
			assert_int_equal(nc_wait_ready(&n, 2, 2), 0);
		nc_detach(&n);
		n.mc.mem_size = NC_SIZE;
	}
	assert_int_equal(nc_attach(&n, socket_path, NC_MEM_FD), 0);
	assert_alive(&n.mc);
	nc_free(&n);
	stop(&s);
}

/* ---- the program ------------------------------------------------------------------------- */

static void test_read_only(void **state)
{
	struct nc n = { 0 };
	struct mc_server s;
	struct nc_cmd cmd;
	uint8_t page[4096];
	char file[80];
	int fd = open(image_path, O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600);

	(void)state;
	assert_int_equal(pwrite(fd, "hello", 5, 512), 5);
	assert_int_equal(ftruncate(fd, 1 << 20), 0);
	snprintf(file, sizeof(file), "--file=%s", image_path);
	start(&s, ARGS(file, "--read-only"));
	nc_memory(&n);
	assert_int_equal(nc_attach(&n, socket_path, NC_MEM_FD), 0);
	assert_int_equal(nc_enable(&n), 0);
	assert_int_equal(nc_create_queues(&n, 1, 1), 0);
	assert_int_equal(nc_identify(&n, 0, 1, page), 0);
	assert_int_equal(page[99], 1);
	assert_int_equal(do_rw(&n, 1, 2, 1, 1, 0, 9, 4096), 0);
	assert_memory_equal(n.mem + NC_DATA, "hello", 5);
	assert_int_equal(do_rw(&n, 1, 1, 1, 1, 0, 9, 4096), 0x20);
	set_rw(&cmd, 8, 1, 1);
	assert_int_equal(nc_exec(&n, 1, &cmd, NULL), 0x20);
	nc_free(&n);
	close(fd);
	stop(&s);
}

static void test_fd_option(void **state)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	struct mc_server s = { 0 };
	char arg[16];
	int pair[2], fd, i;
	struct mc c;

	(void)state;
	/* a connected socket: the server ends with the connection */
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	snprintf(arg, sizeof(arg), "--fd=%d", pair[1]);
	assert_int_equal(mc_spawn(&s, server_program(), pair[1],
				  (char *[]){ arg, "--ram=1M", NULL }), 0);
	close(pair[1]);
	mc_adopt(&c, pair[0]);
	assert_int_equal(mc_negotiate(&c), 0);
	assert_alive(&c);
	mc_close(&c);
	assert_int_equal(mc_wait_exit(s.pid), 0);
	/* a listening one: it serves on */
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	memcpy(sun.sun_path, socket_path, sizeof(socket_path));
	assert_int_equal(bind(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	assert_int_equal(listen(fd, 4), 0);
	snprintf(arg, sizeof(arg), "--fd=%d", fd);
	assert_int_equal(mc_spawn(&s, server_program(), fd,
				  (char *[]){ arg, "--ram=1M", NULL }), 0);
	close(fd);
	for (i = 0; i < 3; i++) {
		client(&c);
		assert_int_equal(mc_negotiate(&c), 0);
		mc_close(&c);
	}
	assert_int_equal(mc_stop(&s), 0);
	/* the socket file is not its own */
	assert_int_equal(unlink(socket_path), 0);
}

static void test_socket_file(void **state)
{
	struct mc_server s = { 0 };
	char sock[80];
	struct mc c;
	int fd;

	(void)state;
	snprintf(sock, sizeof(sock), "--socket-path=%s", socket_path);
	/* left over by a killed server: replaced */
	start(&s, ARGS("--ram=1M"));
	/* in use: refused, and the owner goes on */
	assert_int_equal(run_server(ARGS(sock, "--ram=1M")), 1);
	client(&c);
	assert_int_equal(mc_negotiate(&c), 0);
	mc_close(&c);
	kill(s.pid, SIGKILL);
	assert_int_equal(mc_wait_exit(s.pid), 128 + SIGKILL);
	assert_int_equal(access(socket_path, F_OK), 0);
	start(&s, ARGS("--ram=1M"));
	stop(&s);
	/* a file of another kind: refused */
	fd = open(socket_path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(run_server(ARGS(sock, "--ram=1M")), 1);
	assert_int_equal(unlink(socket_path), 0);
	/* SIGTERM with a client connected, and with the controller enabled */
	start(&s, ARGS("--ram=1M"));
	client(&c);
	assert_int_equal(mc_negotiate(&c), 0);
	stop(&s);
	assert_int_equal(mc_closed(&c), 0);
	mc_close(&c);
}

static void test_options(void **state)
{
	static const char *const bad[][4] = {
		{ "--ram=1M" }, { "--socket-path=/tmp/x" },
		{ "--socket-path=/tmp/x", "--fd=3", "--ram=1M" },
		{ "--fd=x", "--ram=1M" }, { "--fd=3", "--ram=1M", "--cache=x" },
		{ "--fd=3", "--ram=1M", "--discard=x" }, { "--fd=3", "--ram=1M", "--io=x" },
		{ "--fd=-1", "--ram=1M" }, { "--fd=3", "--ram=0" }, { "--fd=3", "--ram=1X" },
		{ "--fd=3", "--ram=99999999T" }, { "--fd=3", "--ram=1M", "--lba=1024" },
		{ "--fd=3", "--ram=1M", "--queues=0" }, { "--fd=3", "--ram=1M", "--queues=65" },
		{ "--fd=3", "--ram=1M", "--doorbells=x" },
		{ "--fd=3", "--ram=1M", "--interrupts=" }, { "--fd=3", "--ram=1M", "--fault=x" },
		{ "--fd=3", "--ram=1M", "--fault=close-after" },
		{ "--fd=3", "--ram=1M", "--serial=" }, { "--fd=3", "--ram=1M", "extra" },
		{ "--fd=3", "--ram=1M", "--no-such" },
		{ "--fd=3", "--ram=1M", "--serial=123456789012345678901" },
	};
	static const char *const unusable[][4] = {
		{ "--fd=3", "--file=/nonexistent/image" }, { "--fd=3", "--file=/" },
		{ "--fd=999", "--ram=1M" }, { "--socket-path=/nonexistent/s", "--ram=1M" },
		{ "--fd=3", "--ram=4095", "--lba=4096" },
		{ "--fd=3", "--ram=1M", "--file=/nonexistent/image" },
	};
	int out = dup(STDOUT_FILENO), err = dup(STDERR_FILENO), null, results[2][32], ok[2];
	size_t i;

	(void)state;
	/* what the program prints is not our output */
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	dup2(null, STDOUT_FILENO);
	dup2(null, STDERR_FILENO);
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		results[0][i] = run_server(bad[i]);
	for (i = 0; i < ARRAY_SIZE(unusable); i++)
		results[1][i] = run_server(unusable[i]);
	ok[0] = run_server(ARGS("--help"));
	ok[1] = run_server(ARGS("--version"));
	dup2(out, STDOUT_FILENO);
	dup2(err, STDERR_FILENO);
	close(out);
	close(err);
	close(null);
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(results[0][i], 2);
	for (i = 0; i < ARRAY_SIZE(unusable); i++)
		assert_int_equal(results[1][i], 1);
	assert_int_equal(ok[0], 0);
	assert_int_equal(ok[1], 0);
}

static void test_faults(void **state)
{
	struct vfio_region_info r;
	struct mc_server s;
	struct mc c;
	uint16_t id;
	int i;

	(void)state;
	start(&s, ARGS("--ram=1M", "--fault=close-on-connect"));
	client(&c);
	assert_int_equal(mc_closed(&c), 0);
	mc_close(&c);
	stop(&s);

	start(&s, ARGS("--ram=1M", "--fault=version-major"));
	client(&c);
	assert_int_equal(mc_negotiate(&c), 0);
	assert_int_equal(c.payload[0], 1);
	mc_close(&c);
	stop(&s);

	start(&s, ARGS("--ram=1M", "--fault=garbage"));
	client(&c);
	assert_int_equal(mc_negotiate(&c), -EPROTO);
	mc_close(&c);
	stop(&s);

	start(&s, ARGS("--ram=1M", "--fault=bad-json"));
	client(&c);
	assert_int_equal(mc_negotiate(&c), 0);
	assert_non_null(strstr((char *)c.payload + 4, "\"many\", ["));
	mc_close(&c);
	stop(&s);

	/* three messages are answered, then once no more; the next client is served */
	start(&s, ARGS("--ram=1M", "--fault=close-after:3"));
	client(&c);
	assert_int_equal(mc_negotiate(&c), 0);
	assert_alive(&c);
	assert_alive(&c);
	assert_int_equal(mc_read(&c, 7, 0, &id, 2), -EPIPE);
	mc_close(&c);
	client(&c);
	assert_int_equal(mc_negotiate(&c), 0);
	for (i = 0; i < 5; i++)
		assert_alive(&c);
	mc_close(&c);
	stop(&s);

	start(&s, ARGS("--ram=1M", "--fault=hang-after:1"));
	client(&c);
	assert_int_equal(mc_negotiate(&c), 0);
	{
		struct vfio_user_hdr h = { .cmd = VFIO_USER_DEVICE_RESET, .size = 16 };
		struct pollfd p = { .fd = c.fd, .events = POLLIN };

		assert_int_equal(mc_send(&c, &h, NULL, 0, NULL, 0), 0);
		assert_int_equal(poll(&p, 1, 200), 0);
	}
	mc_close(&c);
	client(&c);
	assert_int_equal(mc_negotiate(&c), 0);
	mc_close(&c);
	stop(&s);

	start(&s, ARGS("--ram=1M", "--fault=error-after:1"));
	client(&c);
	assert_int_equal(mc_negotiate(&c), 0);
	assert_int_equal(mc_read(&c, 7, 0, &id, 2), -EIO);
	assert_alive(&c);
	mc_close(&c);
	stop(&s);

	start(&s, ARGS("--ram=1M", "--fault=short-after:1"));
	client(&c);
	assert_int_equal(mc_negotiate(&c), 0);
	assert_int_equal(mc_read(&c, 7, 0, &id, 2), -EPROTO);
	assert_alive(&c);
	mc_close(&c);
	stop(&s);

	start(&s, ARGS("--ram=1M", "--fault=bad-id-after:1"));
	client(&c);
	assert_int_equal(mc_negotiate(&c), 0);
	assert_int_equal(mc_read(&c, 7, 0, &id, 2), -EPROTO);
	mc_close(&c);
	stop(&s);

	for (i = 0; i < 2; i++) {
		start(&s, ARGS("--ram=1M", i ? "--fault=bad-cap" : "--fault=bad-region-size"));
		client(&c);
		assert_int_equal(mc_negotiate(&c), 0);
		r = (struct vfio_region_info){ .argsz = 64 };
		assert_int_equal(ask(&c, DEVICE_GET_REGION_INFO, r), 0);
		memcpy(&r, c.payload, sizeof(r));
		if (i)
			/* the capability's next pointer */
			assert_int_equal(c.payload[36], 32);
		else
			assert_true(r.size == 0xfffffffffffff001ull);
		mc_close(&c);
		stop(&s);
	}
}

static int setup(void **state)
{
	(void)state;
	signal(SIGPIPE, SIG_IGN);
	if (!mkdtemp(dir))
		return -1;
	snprintf(socket_path, sizeof(socket_path), "%s/sock", dir);
	snprintf(image_path, sizeof(image_path), "%s/image", dir);
	snprintf(fifo_path, sizeof(fifo_path), "%s/fifo", dir);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	unlink(socket_path);
	unlink(image_path);
	return rmdir(dir);
}

/* A failed test must not keep the next one from its socket path. */
static int clear_socket(void **state)
{
	(void)state;
	unlink(socket_path);
	return 0;
}

static struct io_case io_mmap_file = {
	{ "--doorbells=mmap" }, NC_MEM_FD, 9, true, false
};

static struct io_case io_mmap_ram = {
	{ "--doorbells=mmap" }, NC_MEM_FD, 9, false, false
};

static struct io_case io_trap_4k = {
	{ "--doorbells=trap", "--lba=4096" }, NC_MEM_FD, 12, true, false
};

static struct io_case io_ioeventfd = {
	{ "--doorbells=ioeventfd" }, NC_MEM_FD, 9, false, false
};

static struct io_case io_mmap_messages = {
	{ "--doorbells=mmap" }, NC_MEM_MESSAGES, 9, false, false
};

static struct io_case io_trap_messages = {
	{ "--doorbells=trap" }, NC_MEM_MESSAGES, 9, true, false
};

static struct io_case io_twin = {
	{ "--doorbells=trap", "--twin-socket", "--lba=4096" }, NC_MEM_MESSAGES, 12, false, true
};

static struct io_case io_threads = {
	{ "--doorbells=mmap", "--io=threads" }, NC_MEM_FD, 9, true, false
};

static struct io_case io_writethrough = {
	{ "--doorbells=ioeventfd", "--cache=writethrough" }, NC_MEM_FD, 9, true, false
};

/* what is not aligned goes through a buffer of the server's */
static struct io_case io_direct = {
	{ "--doorbells=mmap", "--direct" }, NC_MEM_FD, 9, true, false
};

static struct io_case io_direct_messages = {
	{ "--doorbells=trap", "--cache=none", "--lba=4096", "--io=threads" }, NC_MEM_MESSAGES, 12,
	true, false
};

#define TEST(f)		cmocka_unit_test_teardown(f, clear_socket)
#define IO(name)	{ "test_io " #name, test_io, NULL, clear_socket, &io_##name }

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(test_version), TEST(test_info), TEST(test_no_fds), TEST(test_irqs),
		TEST(test_irqs_lost), TEST(test_dma_map), TEST(test_malformed), TEST(test_framing),
		TEST(test_stream),
		TEST(test_random), IO(mmap_file), IO(mmap_ram), IO(trap_4k), IO(ioeventfd),
		IO(mmap_messages), IO(trap_messages), IO(twin), IO(threads),
		IO(writethrough), IO(direct), IO(direct_messages), TEST(test_registered),
		TEST(test_admin), TEST(test_msix),
		TEST(test_intx), TEST(test_hostile_prp), TEST(test_hostile_doorbells),
		TEST(test_ends_before_sleep), TEST(test_slow_begin),
		TEST(test_held), TEST(test_reset_stuck), TEST(test_flr_stuck),
		TEST(test_unmap_stuck), TEST(test_gone_stuck), TEST(test_size_stuck),
		TEST(test_fatal), TEST(test_reset), TEST(test_reconnect), TEST(test_dma_lost),
		TEST(test_read_only), TEST(test_fd_option), TEST(test_socket_file),
		TEST(test_options), TEST(test_faults),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, setup, teardown);
}
