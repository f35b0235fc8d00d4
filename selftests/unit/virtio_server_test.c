// SPDX-License-Identifier: GPL-2.0-only
/*
 * vfiouser-virtio-net against a driver that keeps to the rules, and one that does not.
 *
 * Every test starts a server built with AddressSanitizer and UBSan and ends it with SIGTERM: an
 * exit status other than 0 (a leak counts) fails the test. The far end of the cable is this
 * program.
 */
#include <errno.h>
#include <linux/vfio.h>
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
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "mini_client.h"

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

#define CONFIG	VFIO_PCI_CONFIG_REGION_INDEX
#define BAR	VFIO_PCI_BAR4_REGION_INDEX
#define MSIX	VFIO_PCI_MSIX_IRQ_INDEX
#define INTX	VFIO_PCI_INTX_IRQ_INDEX
#define TRIGGER	(VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER)

#define ISR	0x1000
#define DEVICE	0x2000
#define NOTIFY	0x3000
#define REG(f)	offsetof(struct virtio_pci_common_cfg, f)

#define IOVA	0x100000000ull
#define SIZE	0x100000u
#define DEPTH	8u
#define RX	0u
#define TX	1u
#define DESC(q)		((q) * 0x4000u)
#define AVAIL(q)	((q) * 0x4000u + 0x1000)
#define USED(q)		((q) * 0x4000u + 0x2000)
#define INDIRECT	0x10000u
#define DATA		0x20000u
#define HDR		sizeof(struct virtio_net_hdr_mrg_rxbuf)

#define MUST	(1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_F_ACCESS_PLATFORM)
#define PLAIN	(MUST | 1ull << VIRTIO_RING_F_INDIRECT_DESC | 1ull << VIRTIO_NET_F_STATUS)
#define MERGE	(PLAIN | 1ull << VIRTIO_NET_F_MRG_RXBUF)

static char dir[] = "/tmp/virtio-server-test.XXXXXX";
static char socket_path[64], cable_path[64];

struct driver {
	struct mc_server server;
	struct mc mc;
	int memfd;
	uint8_t *mem;
	int listener;
	int cable;
};

static void put(struct driver *d, uint64_t offset, uint64_t val, uint32_t size)
{
	assert_int_equal(mc_write(&d->mc, BAR, offset, &val, size), 0);
}

static uint64_t get(struct driver *d, uint64_t offset, uint32_t size)
{
	uint64_t val = 0;

	assert_int_equal(mc_read(&d->mc, BAR, offset, &val, size), 0);
	return val;
}

static void start(struct driver *d, bool messages, const char *const extra[])
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	char sock[80], cable[90];
	char *args[20] = { sock, cable };
	int i;

	memset(d, 0, sizeof(*d));
	d->cable = -1;
	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", cable_path);
	unlink(cable_path);
	d->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(d->listener, (struct sockaddr *)&sun, sizeof(sun)), 0);
	assert_int_equal(listen(d->listener, 4), 0);

	snprintf(sock, sizeof(sock), "--socket-path=%s", socket_path);
	snprintf(cable, sizeof(cable), "--link-connect=%s", cable_path);
	for (i = 0; extra && extra[i]; i++)
		args[i + 2] = (char *)extra[i];
	memcpy(d->server.path, socket_path, sizeof(d->server.path));
	assert_int_equal(mc_spawn(&d->server, SERVER, -1, args), 0);
	assert_int_equal(mc_connect(&d->mc, socket_path), 0);
	assert_int_equal(mc_negotiate(&d->mc), 0);
	d->memfd = memfd_create("virtio", MFD_CLOEXEC);
	assert_int_equal(ftruncate(d->memfd, SIZE), 0);
	d->mem = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, d->memfd, 0);
	assert_true(d->mem != MAP_FAILED);
	assert_int_equal(mc_dma_map(&d->mc, IOVA, SIZE, messages ? -1 : d->memfd, 0), 0);
	if (messages) {
		d->mc.mem = d->mem;
		d->mc.iova = IOVA;
		d->mc.mem_size = SIZE;
	}
}

static void stop(struct driver *d)
{
	mc_close(&d->mc);
	assert_int_equal(mc_stop(&d->server), 0);
	munmap(d->mem, SIZE);
	close(d->memfd);
	if (d->cable >= 0)
		close(d->cable);
	close(d->listener);
	unlink(cable_path);
}

/* From reset to FEATURES_OK. Returns the device status. */
static uint8_t negotiate(struct driver *d, uint64_t features)
{
	put(d, REG(device_status), 0, 1);
	assert_int_equal(get(d, REG(device_status), 1), 0);
	memset(d->mem, 0, SIZE);
	put(d, REG(device_status), 3, 1);
	put(d, REG(guest_feature_select), 0, 4);
	put(d, REG(guest_feature), (uint32_t)features, 4);
	put(d, REG(guest_feature_select), 1, 4);
	put(d, REG(guest_feature), features >> 32, 4);
	put(d, REG(device_status), 11, 1);
	return get(d, REG(device_status), 1);
}

static void set_queue(struct driver *d, unsigned int q, uint64_t desc, uint64_t avail,
		      uint64_t used, uint16_t size)
{
	put(d, REG(queue_select), q, 2);
	put(d, REG(queue_size), size, 2);
	put(d, REG(queue_msix_vector), q + 1, 2);
	put(d, REG(queue_desc_lo), desc, 8);
	put(d, REG(queue_avail_lo), (uint32_t)avail, 4);
	put(d, REG(queue_avail_hi), avail >> 32, 4);
	put(d, REG(queue_used_lo), used, 8);
	put(d, REG(queue_enable), 1, 2);
}

/* Waits for @cond, answering the server's requests for memory meanwhile. */
#define WAIT(d, cond) do {							\
	int tries_;								\
	for (tries_ = 0; !(cond) && tries_ < MC_TIMEOUT_MS; tries_++)		\
		assert_true(mc_serve(&(d)->mc, 1) >= 0);			\
	assert_true(cond);							\
} while (0)

static void master(struct driver *d)
{
	uint16_t command = 6;

	assert_int_equal(mc_write(&d->mc, CONFIG, 4, &command, 2), 0);
}

/* Ready for traffic, and the far end of the cable plugged in. */
static void up(struct driver *d, uint64_t features)
{
	struct pollfd p = { .fd = d->listener, .events = POLLIN };
	unsigned int q;

	master(d);
	assert_int_equal(negotiate(d, features), 11);
	for (q = 0; q < 2; q++)
		set_queue(d, q, IOVA + DESC(q), IOVA + AVAIL(q), IOVA + USED(q), DEPTH);
	put(d, REG(device_status), 15, 1);
	if (d->cable >= 0)
		close(d->cable);
	do {
		assert_int_equal(poll(&p, 1, MC_TIMEOUT_MS), 1);
		d->cable = accept(d->listener, NULL, NULL);
	} while (d->cable < 0);
	assert_int_equal(send(d->cable, "CABLE", 6, 0), 6);
	WAIT(d, get(d, DEVICE + 6, 2) == VIRTIO_NET_S_LINK_UP);
}

static struct vring_desc *desc(struct driver *d, unsigned int q)
{
	return (struct vring_desc *)(d->mem + DESC(q));
}

static struct vring_used *used(struct driver *d, unsigned int q)
{
	return (struct vring_used *)(d->mem + USED(q));
}

/* Make a head available, and say so. */
static void offer(struct driver *d, unsigned int q, uint16_t head)
{
	struct vring_avail *a = (struct vring_avail *)(d->mem + AVAIL(q));

	a->ring[a->idx % DEPTH] = head;
	__atomic_store_n(&a->idx, a->idx + 1, __ATOMIC_RELEASE);
	put(d, NOTIFY + q * 4, q, 2);
}

#define used_idx(d, q)	__atomic_load_n(&used(d, q)->idx, __ATOMIC_ACQUIRE)

/* The device has noticed, is still served, and works again after a reset. */
static void assert_broken(struct driver *d)
{
	WAIT(d, get(d, REG(device_status), 1) & VIRTIO_CONFIG_S_NEEDS_RESET);
	put(d, REG(device_status), 0, 1);
	assert_int_equal(get(d, REG(device_status), 1), 0);
}

static void frame(uint8_t *f, size_t len, uint8_t seed)
{
	size_t i;

	for (i = 0; i < len; i++)
		f[i] = (uint8_t)(seed + i * 7);
}

/* ---- the rules kept ---- */

static void test_features(void **state)
{
	uint8_t cfg[256], next, types = 0;
	struct driver d;
	uint64_t offered;

	(void)state;
	start(&d, false, (const char *[]){ "--mac=52:54:00:01:02:03", "--mtu=1400", NULL });
	assert_int_equal(mc_read(&d.mc, CONFIG, 0, cfg, sizeof(cfg)), 0);
	assert_memory_equal(cfg, "\xf4\x1a\x41\x10", 4);
	for (next = cfg[0x34]; next; next = cfg[next + 1])
		if (cfg[next] == 9)
			types |= 1u << cfg[next + 3];
	assert_int_equal(types, 0x3e);		/* all five structures */
	put(&d, REG(device_feature_select), 1, 4);
	offered = get(&d, REG(device_feature), 4) << 32;
	put(&d, REG(device_feature_select), 0, 4);
	offered |= get(&d, REG(device_feature), 4);
	assert_true((offered & MERGE) == MERGE);
	assert_int_equal(get(&d, REG(num_queues), 2), 2);
	assert_int_equal(get(&d, DEVICE, 6), 0x030201005452ull);
	assert_int_equal(get(&d, DEVICE + 10, 2), 1400);
	/* without ACCESS_PLATFORM, without VERSION_1, with something that was not offered */
	assert_int_equal(negotiate(&d, 1ull << VIRTIO_F_VERSION_1), 3);
	assert_int_equal(negotiate(&d, 1ull << VIRTIO_F_ACCESS_PLATFORM), 3);
	assert_int_equal(negotiate(&d, MUST | 1ull << VIRTIO_NET_F_CSUM), 3);
	assert_int_equal(negotiate(&d, MUST), 11);
	/* a queue that does not exist */
	put(&d, REG(queue_select), 2, 2);
	assert_int_equal(get(&d, REG(queue_size), 2), 0);
	/* a vector that does not exist */
	put(&d, REG(msix_config), 3, 2);
	assert_int_equal(get(&d, REG(msix_config), 2), VIRTIO_MSI_NO_VECTOR);
	put(&d, REG(msix_config), 2, 2);
	assert_int_equal(get(&d, REG(msix_config), 2), 2);
	stop(&d);
}

static void traffic(bool messages, const char *const args[])
{
	uint8_t f[1514], got[2000];
	struct driver d;
	struct vring_desc *t, *r, *in;
	struct pollfd p;
	unsigned int i;

	start(&d, messages, args);
	up(&d, MERGE);
	p = (struct pollfd){ .fd = d.cable, .events = POLLIN };
	/* several times round the ring: one descriptor each for header and frame, or indirect */
	for (i = 0; i < 3 * DEPTH; i++) {
		t = desc(&d, TX);
		frame(d.mem + DATA + HDR, sizeof(f), (uint8_t)i);
		frame(f, sizeof(f), (uint8_t)i);
		in = i % 2 ? (struct vring_desc *)(d.mem + INDIRECT) : t;
		in[0] = (struct vring_desc){ IOVA + DATA, HDR, VRING_DESC_F_NEXT, 1 };
		in[1] = (struct vring_desc){ IOVA + DATA + HDR, sizeof(f), 0, 0 };
		if (i % 2)
			t[0] = (struct vring_desc){ IOVA + INDIRECT, 32, VRING_DESC_F_INDIRECT, 0 };
		offer(&d, TX, 0);
		WAIT(&d, used_idx(&d, TX) == i + 1);
		WAIT(&d, poll(&p, 1, 0) == 1);
		assert_int_equal(recv(d.cable, got, sizeof(got), 0), sizeof(f));
		assert_memory_equal(got, f, sizeof(f));
	}
	/* received into buffers that hold a part each */
	r = desc(&d, RX);
	for (i = 0; i < 4; i++) {
		r[i] = (struct vring_desc){ IOVA + DATA + i * 0x1000, 512, VRING_DESC_F_WRITE, 0 };
		offer(&d, RX, (uint16_t)i);
	}
	frame(f, sizeof(f), 99);
	assert_int_equal(send(d.cable, f, sizeof(f), 0), sizeof(f));
	WAIT(&d, used_idx(&d, RX) == 3);
	assert_int_equal(d.mem[DATA + 10], 3);	/* num_buffers */
	assert_int_equal(used(&d, RX)->ring[0].len, 512);
	assert_int_equal(used(&d, RX)->ring[2].len, sizeof(f) + HDR - 1024);
	assert_memory_equal(d.mem + DATA + HDR, f, 512 - HDR);
	assert_memory_equal(d.mem + DATA + 0x1000, f + 512 - HDR, 512);
	/* one buffer is left: a second frame waits for more, and is not lost */
	assert_int_equal(send(d.cable, f, 1000, 0), 1000);
	assert_int_equal(get(&d, REG(device_status), 1), 15);
	assert_int_equal(used_idx(&d, RX), 3);
	offer(&d, RX, 0);
	WAIT(&d, used_idx(&d, RX) == 5);
	stop(&d);
}

static void test_traffic(void **state)
{
	(void)state;
	traffic(false, NULL);
	traffic(false, (const char *[]){ "--notify=mmap", NULL });
	traffic(true, (const char *[]){ "--no-map", NULL });
	traffic(true, (const char *[]){ "--no-map", "--twin-socket", NULL });
}

static void test_link(void **state)
{
	struct driver d;
	int ev = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct pollfd p = { .fd = ev, .events = POLLIN };
	uint64_t count;

	(void)state;
	start(&d, false, (const char *[]){ "--interrupts=intx", NULL });
	assert_int_equal(mc_set_irqs(&d.mc, TRIGGER, INTX, 0, 1, NULL, 0, &ev, 1), 0);
	up(&d, PLAIN);
	/* the level, with its reason; reading takes both away */
	assert_int_equal(poll(&p, 1, MC_TIMEOUT_MS), 1);
	assert_int_equal(read(ev, &count, 8), 8);
	assert_int_equal(get(&d, ISR, 1), 2);
	assert_int_equal(get(&d, ISR, 1), 0);
	assert_int_equal(get(&d, DEVICE + 6, 2), VIRTIO_NET_S_LINK_UP);
	assert_int_equal(mc_set_irqs(&d.mc, VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_UNMASK,
				     INTX, 0, 1, NULL, 0, NULL, 0), 0);
	assert_int_equal(poll(&p, 1, 0), 0);
	close(d.cable);
	d.cable = -1;
	assert_int_equal(poll(&p, 1, MC_TIMEOUT_MS), 1);
	assert_int_equal(get(&d, DEVICE + 6, 2), 0);
	close(ev);
	stop(&d);
}

/* ---- the rules broken ---- */

static void test_hostile_queues(void **state)
{
	static const struct {
		uint64_t desc, avail, used;
		uint16_t size;
	} bad[] = {
		{ IOVA, IOVA + 0x1000, IOVA + 0x2000, 0 },
		{ IOVA, IOVA + 0x1000, IOVA + 0x2000, 7 },
		{ IOVA, IOVA + 0x1000, IOVA + 0x2000, 512 },
		{ IOVA, IOVA + 0x1000, IOVA + 0x2000, 0x8000 },
		{ IOVA + 8, IOVA + 0x1000, IOVA + 0x2000, 8 },
		{ IOVA, IOVA + 0x1001, IOVA + 0x2000, 8 },
		{ IOVA, IOVA + 0x1000, IOVA + 0x2002, 8 },
		{ ~15ull, IOVA + 0x1000, IOVA + 0x2000, 8 },
		{ IOVA, ~1ull, IOVA + 0x2000, 8 },
		{ IOVA, IOVA + 0x1000, ~3ull, 8 },
	};
	static const uint64_t outside[] = { 0, IOVA - 16, IOVA + SIZE, IOVA + SIZE - 16 };
	struct driver d;
	unsigned int i, which;

	(void)state;
	start(&d, false, NULL);
	master(&d);
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(negotiate(&d, PLAIN), 11);
		set_queue(&d, TX, bad[i].desc, bad[i].avail, bad[i].used, bad[i].size);
		assert_int_equal(get(&d, REG(queue_enable), 2), 0);
		assert_broken(&d);
	}
	/* well-formed, but not in the client's memory: seen when it is used */
	for (i = 0; i < ARRAY_SIZE(outside); i++) {
		/* the last one has room for the first entries of a ring, which are all right */
		for (which = 0; which < (i == 3 ? 1 : 3); which++) {
			assert_int_equal(negotiate(&d, PLAIN), 11);
			set_queue(&d, TX, which == 0 ? outside[i] : IOVA + DESC(TX),
				  which == 1 ? outside[i] : IOVA + AVAIL(TX),
				  which == 2 ? outside[i] : IOVA + USED(TX), 256);
			put(&d, REG(device_status), 15, 1);
			/* the end of the table that does not fit */
			offer(&d, TX, i == 1 ? 0 : 255);
			assert_broken(&d);
		}
	}
	/* before FEATURES_OK */
	put(&d, REG(device_status), 3, 1);
	set_queue(&d, TX, IOVA, IOVA + 0x1000, IOVA + 0x2000, 8);
	assert_broken(&d);
	stop(&d);
}

static void test_hostile_chains(void **state)
{
	struct vring_desc *t, *in;
	struct driver d;
	unsigned int i, q;

	(void)state;
	start(&d, false, NULL);
	for (i = 0; i < 16; i++) {
		uint16_t head = 0;

		up(&d, PLAIN);
		q = i < 12 ? TX : RX;
		t = desc(&d, q);
		in = (struct vring_desc *)(d.mem + INDIRECT);
		t[0] = (struct vring_desc){ IOVA + DATA, 100, VRING_DESC_F_NEXT, 0 };
		switch (i) {
		case 0:		/* a loop */
			break;
		case 1:		/* numbers beyond the table */
			t[0].next = DEPTH;
			break;
		case 2:
			head = 0xffff;
			break;
		case 3:		/* readable after writeable */
			t[0].flags |= VRING_DESC_F_WRITE;
			t[0].next = 1;
			t[1] = (struct vring_desc){ IOVA + DATA, 100, 0, 0 };
			break;
		case 4:		/* indirect: with a next, of odd size, empty, nested, looping */
			t[0] = (struct vring_desc){ IOVA + INDIRECT, 16,
				VRING_DESC_F_INDIRECT | VRING_DESC_F_NEXT, 1 };
			break;
		case 5:
			t[0] = (struct vring_desc){ IOVA + INDIRECT, 17, VRING_DESC_F_INDIRECT, 0 };
			break;
		case 6:
			t[0] = (struct vring_desc){ IOVA + INDIRECT, 0, VRING_DESC_F_INDIRECT, 0 };
			break;
		case 7:
			t[0] = (struct vring_desc){ IOVA + INDIRECT, 16, VRING_DESC_F_INDIRECT, 0 };
			in[0] = t[0];
			break;
		case 8:
			t[0] = (struct vring_desc){ IOVA + INDIRECT, 32, VRING_DESC_F_INDIRECT, 0 };
			in[0] = (struct vring_desc){ IOVA + DATA, 4, VRING_DESC_F_NEXT, 1 };
			in[1] = (struct vring_desc){ IOVA + DATA, 4, VRING_DESC_F_NEXT, 0 };
			break;
		case 9:		/* ... and outside of memory, or past the end of all addresses */
			t[0] = (struct vring_desc){ ~0xfull, 0xfffffff0, VRING_DESC_F_INDIRECT, 0 };
			break;
		case 10:	/* data outside of memory */
			t[0] = (struct vring_desc){ IOVA + SIZE - 8, 100, 0, 0 };
			break;
		case 11:	/* a transmit buffer that is to be written */
			t[0] = (struct vring_desc){ IOVA + DATA, 100, VRING_DESC_F_WRITE, 0 };
			break;
		case 12:	/* receive buffers: read-only, too small, outside, a loop */
			t[0].flags = 0;
			break;
		case 13:
			t[0] = (struct vring_desc){ IOVA + DATA, HDR, VRING_DESC_F_WRITE, 0 };
			break;
		case 14:
			t[0] = (struct vring_desc){ ~0ull, 2000, VRING_DESC_F_WRITE, 0 };
			break;
		case 15:
			t[0].flags |= VRING_DESC_F_WRITE;
			break;
		}
		offer(&d, q, head);
		if (q == RX)
			assert_int_equal(send(d.cable, d.mem + DATA, 200, 0), 200);
		assert_broken(&d);
	}
	/* an available index that is far ahead */
	up(&d, PLAIN);
	((struct vring_avail *)(d.mem + AVAIL(TX)))->idx = DEPTH;
	offer(&d, TX, 0);
	assert_broken(&d);
	/* lengths that are no frame are dropped, not sent, and nothing breaks */
	up(&d, PLAIN);
	for (i = 0; i < 4; i++) {
		static const uint32_t lens[] = { 0, 11, 25, 60000 };

		desc(&d, TX)[0] = (struct vring_desc){ IOVA + DATA, lens[i], 0, 0 };
		offer(&d, TX, 0);
		WAIT(&d, used_idx(&d, TX) == i + 1);
	}
	assert_int_equal(recv(d.cable, d.mem + DATA, 100, MSG_DONTWAIT), -1);
	assert_int_equal(get(&d, REG(device_status), 1), 15);
	stop(&d);
}

/* Nonsense everywhere: whatever happens, the server answers afterwards and ends cleanly. */
static void test_random(void **state)
{
	unsigned int seed = 1, i, j;
	struct driver d;
	uint16_t id;

	(void)state;
	start(&d, false, NULL);
	for (i = 0; i < 100; i++) {
		up(&d, i % 2 ? MERGE : MERGE | 1ull << VIRTIO_RING_F_EVENT_IDX);
		for (j = 0; j < 2 * 0x4000; j++)
			d.mem[j] = (uint8_t)rand_r(&seed);
		/* half of them plausible: small indices, addresses in memory */
		for (j = 0; j < DEPTH; j++) {
			desc(&d, TX)[j].addr = IOVA + (uint32_t)rand_r(&seed) % SIZE;
			desc(&d, TX)[j].len %= 3000;
			desc(&d, TX)[j].flags &= 7;
			desc(&d, TX)[j].next %= DEPTH;
			desc(&d, RX)[j] = desc(&d, TX)[j];
		}
		for (j = 0; j < 2; j++)
			((struct vring_avail *)(d.mem + AVAIL(j)))->idx =
				(uint16_t)(rand_r(&seed) % 5);
		for (j = 0; j < DEPTH; j++)
			offer(&d, j % 2, (uint16_t)(rand_r(&seed) % (DEPTH + 1)));
		send(d.cable, d.mem, 1 + (uint32_t)rand_r(&seed) % 2000,
		     MSG_DONTWAIT | MSG_NOSIGNAL);
		for (j = 0; j < 50; j++) {
			uint64_t v = (uint64_t)rand_r(&seed) << 32 | (uint32_t)rand_r(&seed);

			mc_write(&d.mc, BAR, (uint32_t)rand_r(&seed) % 0x3ff8, &v,
				 1 + (uint32_t)rand_r(&seed) % 8);
		}
		assert_int_equal(mc_read(&d.mc, CONFIG, 0, &id, 2), 0);
		assert_int_equal(id, 0x1af4);
	}
	stop(&d);
}

/* Memory that goes while queues are in it, and bus mastering that is off. */
static void test_memory_gone(void **state)
{
	struct driver d;

	(void)state;
	start(&d, false, NULL);
	up(&d, PLAIN);
	assert_int_equal(mc_dma_unmap(&d.mc, IOVA, SIZE), 0);
	offer(&d, TX, 0);
	assert_broken(&d);
	assert_int_equal(mc_dma_map(&d.mc, IOVA, SIZE, d.memfd, 0), 0);
	up(&d, PLAIN);
	{
		uint16_t command = 2;

		assert_int_equal(mc_write(&d.mc, CONFIG, 4, &command, 2), 0);
	}
	desc(&d, TX)[0] = (struct vring_desc){ IOVA + DATA, 100, 0, 0 };
	offer(&d, TX, 0);
	assert_int_equal(get(&d, REG(device_status), 1), 15);
	assert_int_equal(used_idx(&d, TX), 0);
	master(&d);
	WAIT(&d, used_idx(&d, TX) == 1);
	stop(&d);
}

static int setup(void **state)
{
	(void)state;
	signal(SIGPIPE, SIG_IGN);
	if (!mkdtemp(dir))
		return -1;
	snprintf(socket_path, sizeof(socket_path), "%s/sock", dir);
	snprintf(cable_path, sizeof(cable_path), "%s/cable", dir);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	unlink(socket_path);
	unlink(cable_path);
	return rmdir(dir);
}

static int clear_socket(void **state)
{
	(void)state;
	unlink(socket_path);
	return 0;
}

#define TEST(f)	cmocka_unit_test_teardown(f, clear_socket)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_features), TEST(test_traffic), TEST(test_link),
		TEST(test_hostile_queues), TEST(test_hostile_chains), TEST(test_random),
		TEST(test_memory_gone),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
