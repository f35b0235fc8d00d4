// SPDX-License-Identifier: GPL-2.0-only
/*
 * vfiouser-iofd: a PCI device with every kind of descriptor that can stand for accesses to a BAR
 * (iofd.h), right ones and, with --bad, wrong ones. What happened can be read from its registers.
 *
 * The ioregionfd speaks as the third version of the series that the specification refers to.
 */
#include <errno.h>
#include <getopt.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "iofd.h"
#include "pcicfg.h"
#include "vfus.h"

#define PROG		"vfiouser-iofd"

#define DATAMATCH	1	/* KVM_IOEVENTFD_FLAG_DATAMATCH */
#define POSTED_WRITES	2	/* KVM_IOREGION_POSTED_WRITES */

#define BAD		.offset = 0x70
#define BAD_SHADOW	BAD, .size = 4, .type = VFIO_USER_IO_FD_SHADOW
#define BAD_REGION	BAD, .size = 8, .type = VFIO_USER_IO_FD_IOREGIONFD

#define NR_GOOD		10
#define NR_REGIONS	3
#define NR_MAX		(NR_GOOD + NR_REGIONS + 2)

struct cmd {
	uint8_t cmd;			/* 0 read, 1 write */
	uint8_t size_exponent : 4;
	uint8_t resp : 1;
	uint8_t padding[6];
	uint64_t user_data;
	uint64_t offset;
	uint64_t data;
};

struct resp {
	uint64_t data;
	uint8_t pad[24];
};

_Static_assert(sizeof(struct cmd) == 32 && sizeof(struct resp) == 32, "ioregionfd on the wire");

struct iofd {
	struct vfus *vfus;
	struct pcicfg cfg;
	uint8_t *shadow;
	int shadow_fd;
	int event[NR_MAX];		/* of each ioeventfd */
	uint64_t signals[NR_MAX];
	unsigned int nr_events;
	int region_fd;			/* our end */
	bool hung_up;
	int client_fd;
	struct vfus_io_fd fds[NR_MAX];
	unsigned int nr_fds;
	uint8_t bar[IOFD_BAR_SIZE];	/* memory and registers */
};

/* The ioeventfds. The number of each is that of its counter at IOFD_COUNTS. */
static const struct vfus_io_fd good[NR_GOOD] = {
	{ .offset = 0x10, .size = 4 },
	{ .offset = 0x14 },
	{ .offset = 0x20, .size = 4, .flags = DATAMATCH, .datamatch = 7 },
	{ .offset = 0x20, .size = 4, .flags = DATAMATCH, .datamatch = 9 },
	{ .offset = 0x28, .size = 8, .flags = DATAMATCH, .datamatch = 0x1122334455667788 },
	{ .offset = 0x30, .size = 1 },
	{ .offset = 0x40, .size = 2, .type = VFIO_USER_IO_FD_SHADOW, .shadow_offset = 0x40 },
	{ .offset = 0x48, .size = 8, .type = VFIO_USER_IO_FD_SHADOW, .shadow_offset = 0x48 },
	{ .offset = 0x50, .type = VFIO_USER_IO_FD_SHADOW, .shadow_offset = 0x50 },
	{ .offset = 0x60, .size = 4, .type = VFIO_USER_IO_FD_SHADOW, .flags = DATAMATCH,
	  .datamatch = 5, .shadow_offset = 0x60 },
};

static const struct vfus_io_fd regions[NR_REGIONS] = {
	{ .offset = IOFD_REGION, .size = IOFD_REGION_SIZE, .type = VFIO_USER_IO_FD_IOREGIONFD,
	  .datamatch = IOFD_USER_DATA },
	{ .offset = IOFD_POSTED, .size = IOFD_POSTED_SIZE, .type = VFIO_USER_IO_FD_IOREGIONFD,
	  .flags = POSTED_WRITES, .datamatch = IOFD_POSTED_USER_DATA },
	{ .offset = IOFD_SIZELESS, .type = VFIO_USER_IO_FD_IOREGIONFD, .flags = POSTED_WRITES },
};

/*
 * What --bad adds, most of it at 0x70: a client may refuse this, or all, but no write may get lost.
 * odd_fd: the descriptor is memory. empty: the shadow memory has no bytes.
 */
static const struct bad {
	const char *name;
	struct vfus_io_fd fd;
	bool odd_fd;
	bool empty;
} bads[] = {
	{ .name = "size", .fd = { BAD, .size = 3 } },
	{ .name = "long", .fd = { BAD, .size = 16 } },
	{ .name = "flags", .fd = { BAD, .size = 4, .flags = 0x80 } },
	{ .name = "match", .fd = { BAD, .size = 1, .flags = DATAMATCH, .datamatch = 0x100 } },
	{ .name = "nomatch", .fd = { BAD, .flags = DATAMATCH, .datamatch = 1 } },
	{ .name = "overlap", .fd = { .offset = 0x10, .flags = 0 } },
	{ .name = "type", .fd = { BAD, .size = 4, .type = 7 } },
	{ .name = "outside", .fd = { .offset = IOFD_BAR_SIZE, .size = 4 } },
	{ .name = "notevent", .fd = { BAD, .size = 4 }, .odd_fd = true },
	{ .name = "align", .fd = { BAD_SHADOW, .shadow_offset = 0x72 } },
	{ .name = "beyond", .fd = { BAD_SHADOW, .shadow_offset = 0x100000 } },
	{ .name = "huge", .fd = { BAD_SHADOW, .shadow_offset = 0xfffffffffffff000 } },
	{ .name = "noshadow", .fd = { BAD_SHADOW }, .empty = true },
	{ .name = "notsocket", .fd = { BAD_REGION }, .odd_fd = true },
	{ .name = "regionflags", .fd = { BAD_REGION, .flags = 0x80 } },
	{ .name = "regionoverlap", .fd = { .offset = IOFD_REGION + 8, .size = 8,
					   .type = VFIO_USER_IO_FD_IOREGIONFD } },
};

static uint64_t get(const struct iofd *t, unsigned int reg)
{
	uint64_t v;

	memcpy(&v, t->bar + reg, sizeof(v));
	return v;
}

static void put(struct iofd *t, unsigned int reg, uint64_t v)
{
	memcpy(t->bar + reg, &v, sizeof(v));
}

static void count(struct iofd *t, unsigned int reg)
{
	put(t, reg, get(t, reg) + 1);
}

static uint64_t value_of(const void *buf, size_t size)
{
	uint64_t v = 0;

	memcpy(&v, buf, size < sizeof(v) ? size : sizeof(v));
	return v;
}

/* Brings the counters of signals up to date. */
static void collect(struct iofd *t)
{
	unsigned int i;
	uint64_t n;

	for (i = 0; i < t->nr_events; i++) {
		if (read(t->event[i], &n, sizeof(n)) == sizeof(n))
			t->signals[i] += n;
		put(t, IOFD_COUNTS + i * 8, t->signals[i]);
	}
}

static void clear(struct iofd *t)
{
	collect(t);
	memset(t->signals, 0, sizeof(t->signals));
	memset(t->bar + IOFD_WRITES, 0, IOFD_CLEAR - IOFD_WRITES);
	memset(t->shadow, 0, IOFD_SHADOW_SIZE);
}

/* The number stays in use, by something that is never readable: the event loop knows it. */
static void hangup(struct iofd *t)
{
	int idle = eventfd(0, EFD_CLOEXEC);

	dup2(idle, t->region_fd);
	close(idle);
	t->hung_up = true;
}

/* ---- messages ---- */

static int region_read(void *priv, unsigned int region, void *buf, size_t size, uint64_t offset)
{
	struct iofd *t = priv;

	if (region == VFIO_PCI_CONFIG_REGION_INDEX) {
		pcicfg_read(&t->cfg, buf, size, offset);
		return 0;
	}
	if (offset < IOFD_WRITES)
		count(t, IOFD_READS);
	collect(t);
	memcpy(t->bar + IOFD_SHADOW, t->shadow, IOFD_SHADOW_SIZE);
	memcpy(buf, t->bar + offset, size);
	return 0;
}

static int region_write(void *priv, unsigned int region, const void *buf, size_t size,
			uint64_t offset)
{
	struct iofd *t = priv;

	if (region == VFIO_PCI_CONFIG_REGION_INDEX) {
		pcicfg_write(&t->cfg, buf, size, offset);
		return 0;
	}
	if (offset < IOFD_WRITES) {
		memcpy(t->bar + offset, buf, size);
		count(t, IOFD_WRITES);
		put(t, IOFD_LAST_OFFSET, offset);
		put(t, IOFD_LAST_SIZE, size);
		put(t, IOFD_LAST_VALUE, value_of(buf, size));
	} else if (offset == IOFD_CLEAR) {
		clear(t);
	} else if (offset == IOFD_HANGUP) {
		hangup(t);
	} else if (offset == IOFD_DELAY || offset == IOFD_MUTE) {
		put(t, offset, value_of(buf, size));
	}
	return 0;
}

/* ---- the ioregionfd ---- */

static void command(struct iofd *t, const struct cmd *cmd)
{
	struct resp resp = { 0 };
	uint64_t base = cmd->user_data == IOFD_USER_DATA ? IOFD_REGION :
			cmd->user_data == IOFD_POSTED_USER_DATA ? IOFD_POSTED : IOFD_SIZELESS;
	unsigned int size = 1u << (cmd->size_exponent & 3);

	put(t, IOFD_CMD_OFFSET, cmd->offset);
	put(t, IOFD_CMD_SIZE, size);
	put(t, IOFD_CMD_USER_DATA, cmd->user_data);
	put(t, IOFD_CMD_RESP, cmd->resp);
	count(t, cmd->cmd ? IOFD_CMD_WRITES : IOFD_CMD_READS);
	if (cmd->offset <= IOFD_REGION_SIZE - size) {
		if (cmd->cmd)
			memcpy(t->bar + base + cmd->offset, &cmd->data, size);
		else
			memcpy(&resp.data, t->bar + base + cmd->offset, size);
	}
	put(t, IOFD_CMD_DATA, cmd->cmd ? cmd->data : resp.data);
	if (get(t, IOFD_DELAY))
		usleep(get(t, IOFD_DELAY) % 10000000);
	if ((cmd->cmd && !cmd->resp) || get(t, IOFD_MUTE))
		return;
	if (send(t->region_fd, &resp, sizeof(resp), MSG_NOSIGNAL) != sizeof(resp))
		hangup(t);
}

static void fd_ready(void *priv)
{
	struct iofd *t = priv;
	struct cmd cmd;

	/* The client's other end is with us too, so it never hangs up. */
	if (!t->hung_up &&
	    recv(t->region_fd, &cmd, sizeof(cmd), MSG_WAITALL) == sizeof(cmd))
		command(t, &cmd);
}

/* ---- the device ---- */

static int add(struct iofd *t, const struct vfus_io_fd *fd)
{
	struct vfus_io_fd *to = &t->fds[t->nr_fds++];

	*to = *fd;
	to->shadow_fd = t->shadow_fd;
	if (fd->type == VFIO_USER_IO_FD_IOREGIONFD) {
		to->fd = t->client_fd;
		return 0;
	}
	to->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (to->fd < 0)
		return -errno;
	t->event[t->nr_events++] = to->fd;
	return 0;
}

static int add_bad(struct iofd *t, const char *name)
{
	struct vfus_io_fd *to;
	unsigned int i;
	int ret;

	for (i = 0; i < sizeof(bads) / sizeof(bads[0]); i++)
		if (!strcmp(bads[i].name, name))
			break;
	if (i == sizeof(bads) / sizeof(bads[0])) {
		fprintf(stderr, "%s: --bad=%s: no such kind; see iofd.c\n", PROG, name);
		exit(2);
	}
	ret = add(t, &bads[i].fd);
	if (ret)
		return ret;
	to = &t->fds[t->nr_fds - 1];
	if (bads[i].odd_fd)
		to->fd = t->shadow_fd;
	if (bads[i].empty)
		to->shadow_fd = memfd_create("iofd-empty", MFD_CLOEXEC);
	return to->shadow_fd < 0 ? -errno : 0;
}

static int make_fds(struct iofd *t, const char *bad)
{
	unsigned int i;
	int pair[2], ret;
	void *p;

	t->shadow_fd = memfd_create("iofd-shadow", MFD_CLOEXEC);
	if (t->shadow_fd < 0 || ftruncate(t->shadow_fd, 4096))
		return -errno;
	p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, t->shadow_fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	t->shadow = p;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return -errno;
	t->region_fd = pair[0];
	t->client_fd = pair[1];
	for (i = 0; i < NR_GOOD; i++) {
		ret = add(t, &good[i]);
		if (ret)
			return ret;
	}
	for (i = 0; i < NR_REGIONS; i++) {
		ret = add(t, &regions[i]);
		if (ret)
			return ret;
	}
	return bad ? add_bad(t, bad) : 0;
}

static void build_device(struct iofd *t, struct vfus_device *dev)
{
	const uint32_t rw = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
	const struct pcicfg_ids ids = {
		.vendor = IOFD_VENDOR, .device = IOFD_DEVICE, .sub_vendor = IOFD_VENDOR,
		.sub_device = IOFD_DEVICE, .class_code = 0xff0000, .revision = 1,
	};

	pcicfg_init(&t->cfg, &ids);
	pcicfg_bar64(&t->cfg, 0, IOFD_BAR_SIZE, false);
	pcicfg_seal(&t->cfg);
	dev->nr_regions = VFIO_PCI_NUM_REGIONS;
	dev->regions[VFIO_PCI_CONFIG_REGION_INDEX] = (struct vfus_region){
		.size = PCICFG_SIZE, .flags = rw, .fd = -1,
	};
	dev->regions[VFIO_PCI_BAR0_REGION_INDEX] = (struct vfus_region){
		.size = IOFD_BAR_SIZE, .flags = rw, .fd = -1,
		.io_fds = t->fds, .nr_io_fds = t->nr_fds,
	};
	dev->nr_irqs = VFIO_PCI_NUM_IRQS;
	dev->fd = t->region_fd;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "socket-path", required_argument, NULL, 's' },
		{ "bad", required_argument, NULL, 'b' },
		{ "verbose", no_argument, NULL, 'v' },
		{ 0 }
	};
	static const struct vfus_ops ops = {
		.region_read = region_read,
		.region_write = region_write,
		.fd_ready = fd_ready,
	};
	static struct iofd iofd;
	struct vfus_device dev = { .ops = &ops, .priv = &iofd };
	const char *bad = NULL;
	struct vfus_config cfg;
	int opt, ret;

	vfus_config_init(&cfg);
	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (opt == 's')
			cfg.socket_path = optarg;
		else if (opt == 'b')
			bad = optarg;
		else if (opt == 'v')
			cfg.verbose++;
		else
			return 2;
	}
	if (!cfg.socket_path || optind != argc) {
		fprintf(stderr, "usage: %s --socket-path=PATH [--bad=KIND] [--verbose]\n", PROG);
		return 2;
	}
	ret = make_fds(&iofd, bad);
	if (ret) {
		fprintf(stderr, "%s: descriptors: %s\n", PROG, strerror(-ret));
		return 1;
	}
	build_device(&iofd, &dev);
	iofd.vfus = vfus_create(&cfg, &dev);
	if (!iofd.vfus)
		return 1;
	ret = vfus_run(iofd.vfus);
	if (ret)
		fprintf(stderr, "%s: event loop: %s\n", PROG, strerror(-ret));
	vfus_destroy(iofd.vfus);
	return ret ? 1 : 0;
}
