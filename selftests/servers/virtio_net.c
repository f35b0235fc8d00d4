// SPDX-License-Identifier: GPL-2.0-only
/*
 * vfiouser-virtio-net: serves a virtio network device over vfio-user. Two of them, joined by a
 * cable, make a network.
 *
 * This file owns the command line and what makes a network device out of a virtio device (virtio
 * 1.2 section 5.1): one receive and one transmit queue, on demand one for commands, mergeable
 * receive buffers, link status.
 *
 * The cable loses nothing for as long as both ends keep up. A frame that the far end does not take
 * is held back, and the transmit queue with it, for HOLD_US; then frames are dropped until it does,
 * so that the driver's transmit queue never stands still.
 */
#include <errno.h>
#include <getopt.h>
#include <linux/vfio.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fault.h"
#include "vfus.h"
#include "virtio.h"
#include "virtio_cable.h"

#define PROG		"vfiouser-virtio-net"
#define CLASS_ETHERNET	0x020000u

enum { RX, TX, CTRL, NR_QUEUES };

#define QUEUE_MAX	256

#define HDR_SIZE	sizeof(struct virtio_net_hdr_mrg_rxbuf)
#define ETH_HEADER	14
#define VLAN_TAG	4
#define MTU_MIN		68
#define MTU_MAX		9216
#define FRAME_MAX	(MTU_MAX + ETH_HEADER + VLAN_TAG)

/*
 * Frames of one direction in a row, and for how long: the client's messages wait meanwhile, and
 * where its memory is only reached by messages a frame can take milliseconds.
 */
#define BATCH		64
#define BATCH_US	1000
#define HOLD_US		1000000
/* mapped notifications: how long to look without sleeping, and the longest sleep when idle */
#define POLL_US		100
#define POLL_MAX_US	1000

struct net {
	struct virtio v;
	struct cable cable;
	unsigned int mtu;
	bool control;			/* has a control queue */
	bool no_platform;
	uint64_t last_work;		/* vfus_now_us() */

	struct virtq_chain chain;
	struct virtq_chain first;	/* of a frame that is received into several buffers */

	bool tx_held;			/* a buffer was taken and not given back; frame in tx */
	bool tx_blocked;		/* the far end did not take the last frame */
	uint64_t tx_since;		/* from when on */
	uint16_t tx_head;
	size_t tx_len;			/* 0: no frame, but the buffer goes back */
	uint8_t tx[FRAME_MAX];

	bool rx_blocked;		/* the frame in rx waits for buffers */
	size_t rx_len;			/* 0: no frame */
	uint8_t rx[FRAME_MAX];

	uint64_t sent, received, dropped;
};

static size_t frame_max(const struct net *n)
{
	return n->mtu + ETH_HEADER + VLAN_TAG;
}

/* ---- transmit, section 5.1.6.2 ---- */

/* Take a buffer and copy its frame. Returns whether there was one. */
static bool tx_take(struct net *n)
{
	struct virtq_chain *c = &n->chain;
	struct virtio *v = &n->v;

	if (virtq_pop(v, TX, c) <= 0)
		return false;
	if (c->nr_in) {
		virtio_broken(v, "a transmit buffer has device-writable parts");
		return false;
	}
	n->tx_len = 0;
	if (c->out_len >= HDR_SIZE + ETH_HEADER && c->out_len - HDR_SIZE <= frame_max(n)) {
		/* No offload was offered: there is nothing in the header. */
		if (virtq_copy_out(v, c, n->tx, HDR_SIZE, (uint32_t)(c->out_len - HDR_SIZE)))
			return false;
		n->tx_len = c->out_len - HDR_SIZE;
	}
	n->tx_head = c->head;
	n->tx_held = true;
	return true;
}

/* Returns whether the frame is done with. */
static bool tx_send(struct net *n)
{
	int ret = n->tx_len ? cable_send(&n->cable, n->tx, n->tx_len) : -EMSGSIZE;

	if (ret == -EAGAIN) {
		if (!n->tx_blocked)
			n->tx_since = vfus_now_us();
		n->tx_blocked = true;
		if (vfus_now_us() - n->tx_since < HOLD_US)
			return false;
	} else {
		n->tx_blocked = false;
	}
	if (ret)
		n->dropped++;
	else
		n->sent++;
	return true;
}

static bool batch_over(unsigned int done, uint64_t start)
{
	return done == BATCH || (done && vfus_now_us() - start >= BATCH_US);
}

/* Returns whether frames went; more is set where the batch ended before the queue did. */
static bool transmit(struct net *n, bool *more)
{
	const uint64_t start = vfus_now_us();
	struct virtio *v = &n->v;
	unsigned int done = 0;

	if (!virtio_kicked(v, TX) && !n->tx_held)
		return false;
	while (virtio_live(v)) {
		if (batch_over(done, start)) {
			v->vq[TX].kicked = true;
			*more = true;
			break;
		}
		if (!n->tx_held && !tx_take(n)) {
			virtq_want(v, TX, true);
			if (virtq_empty(v, TX))
				break;
			continue;
		}
		if (!tx_send(n))
			break;
		virtq_push(v, TX, n->tx_head, 0, 0);
		virtq_publish(v, TX, 1);
		n->tx_held = false;
		done++;
	}
	virtq_signal(v, TX);
	return done;
}

/* ---- receive, section 5.1.6.4 ---- */

/*
 * Put the frame in rx into as many buffers as it needs. Returns false where there are too few, and
 * then takes none.
 */
static bool rx_place(struct net *n)
{
	struct virtio_net_hdr_mrg_rxbuf hdr = { 0 };
	const bool merge = virtio_has(&n->v, VIRTIO_NET_F_MRG_RXBUF);
	struct virtio *v = &n->v;
	uint16_t was = v->vq[RX].next_avail, count = 0;
	struct virtq_chain *c = &n->first;
	size_t done = 0, skip = HDR_SIZE;

	while (done < n->rx_len || !count) {
		size_t part;

		/* A frame needs no more than one buffer each time round the ring. */
		if (count == v->vq[RX].size) {
			virtio_broken(v, "all receive buffers together do not hold one frame");
			return false;
		}
		if (virtq_pop(v, RX, c) <= 0) {
			v->vq[RX].next_avail = was;
			return false;
		}
		if (c->nr_out || c->in_len <= skip || (!merge && c->in_len - skip < n->rx_len)) {
			virtio_broken(v, "a receive buffer is too small or has readable parts");
			return false;
		}
		part = n->rx_len - done;
		if (part > c->in_len - skip)
			part = c->in_len - skip;
		if (virtq_copy_in(v, c, skip, n->rx + done, (uint32_t)part))
			return false;
		virtq_push(v, RX, c->head, (uint32_t)(part + skip), count);
		done += part;
		count++;
		skip = 0;
		c = &n->chain;
	}
	hdr.num_buffers = count;
	if (virtq_copy_in(v, &n->first, 0, &hdr, sizeof(hdr)))
		return false;
	virtq_publish(v, RX, count);
	return true;
}

/* Returns whether frames came; more is set where the batch ended before the cable was empty. */
static bool receive(struct net *n, bool *more)
{
	const uint64_t start = vfus_now_us();
	struct virtio *v = &n->v;
	bool kicked = virtio_kicked(v, RX);
	unsigned int done = 0;

	if (n->rx_blocked && !kicked)
		return false;
	while (virtio_live(v)) {
		if (batch_over(done, start)) {
			*more = true;
			break;
		}
		if (!n->rx_len)
			n->rx_len = (size_t)cable_receive(&n->cable, n->rx, frame_max(n));
		if (!n->rx_len)
			break;
		if (!rx_place(n)) {
			/* Hear of new buffers, and look for those that came before that. */
			virtq_want(v, RX, true);
			n->rx_blocked = !rx_place(n);
			if (n->rx_blocked)
				break;
			virtq_want(v, RX, false);
		}
		n->rx_blocked = false;
		n->rx_len = 0;
		n->received++;
		done++;
	}
	virtq_signal(v, RX);
	return done;
}

/* ---- control, section 5.1.6.5 ---- */

/* Nothing is filtered here, so whatever is asked for is so. */
static void control(struct net *n)
{
	const uint8_t status = VIRTIO_NET_OK;
	struct virtq_chain *c = &n->chain;
	struct virtio *v = &n->v;

	while (v->nr_queues > CTRL && virtio_live(v) && virtq_pop(v, CTRL, c) > 0) {
		if (!c->in_len) {
			virtio_broken(v, "a control buffer has no room for its status");
			return;
		}
		if (virtq_copy_in(v, c, c->in_len - 1, &status, sizeof(status)))
			return;
		virtq_push(v, CTRL, c->head, 1, 0);
		virtq_publish(v, CTRL, 1);
		virtq_want(v, CTRL, true);
		virtq_signal(v, CTRL);
	}
}

/* ---- the device ---- */

static void link_update(struct net *n)
{
	const size_t at = offsetof(struct virtio_net_config, status);
	const uint16_t status = n->cable.up ? VIRTIO_NET_S_LINK_UP : 0;

	if (memcmp(n->v.config + at, &status, sizeof(status)))
		virtio_config_changed(&n->v, at, &status, sizeof(status));
}

static void net_reset(struct virtio *v)
{
	struct net *n = (struct net *)v;

	n->tx_held = false;
	n->tx_blocked = false;
	n->rx_blocked = false;
	n->rx_len = 0;
	cable_plug(&n->cable, false);
	link_update(n);
}

static void net_connected(void *priv, bool connected)
{
	struct net *n = priv;

	if (!connected) {
		cable_plug(&n->cable, false);
		link_update(n);
	}
}

static long earlier(long a, long b)
{
	return b >= 0 && (a < 0 || b < a) ? b : a;
}

/* Mapped notifications make no noise: look again, the sooner the more there was to do lately. */
static long pause_us(struct net *n, bool worked)
{
	uint64_t now = vfus_now_us(), idle;

	if (worked || !n->last_work)
		n->last_work = now;
	idle = now - n->last_work;
	if (idle < POLL_US)
		return 0;
	idle /= 8;
	return idle < POLL_MAX_US ? (long)idle : POLL_MAX_US;
}

static long net_poll(void *priv)
{
	struct net *n = priv;
	struct virtio *v = &n->v;
	bool worked, more = false;
	long us;

	cable_plug(&n->cable, virtio_live(v));
	us = cable_run(&n->cable);
	link_update(n);
	if (!virtio_live(v))
		return us;
	control(n);
	worked = transmit(n, &more);
	worked |= receive(n, &more);
	/* Sending and receiving is how the end of a cable is seen. */
	link_update(n);
	cable_want(&n->cable, !n->rx_blocked, n->tx_held);
	if (n->tx_held) {
		uint64_t waited = vfus_now_us() - n->tx_since;

		us = earlier(us, waited < HOLD_US ? (long)(HOLD_US - waited) : 0);
	}
	if (v->notify == VIRTIO_NOTIFY_MMAP)
		us = earlier(us, pause_us(n, worked));
	return more ? 0 : us;
}

/* An eventfd, the cable's socket or a new connection: the next poll looks at them all. */
static void net_ready(void *priv)
{
	struct net *n = priv;

	virtio_events(&n->v);
}

static int build_device(struct net *n, unsigned int irqs, const uint8_t *mac,
			struct vfus_device *dev)
{
	static const struct virtio_ops ops = { .reset = net_reset };
	struct virtio_net_config config = { .mtu = (uint16_t)n->mtu };
	struct virtio *v = &n->v;

	memcpy(config.mac, mac, sizeof(config.mac));
	v->ops = &ops;
	v->nr_queues = n->control ? NR_QUEUES : CTRL;
	v->queue_max = QUEUE_MAX;
	v->offered = 1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_F_ACCESS_PLATFORM |
		     1ull << VIRTIO_RING_F_INDIRECT_DESC | 1ull << VIRTIO_RING_F_EVENT_IDX |
		     1ull << VIRTIO_NET_F_MAC | 1ull << VIRTIO_NET_F_STATUS |
		     1ull << VIRTIO_NET_F_MTU | 1ull << VIRTIO_NET_F_MRG_RXBUF;
	if (n->control)
		v->offered |= 1ull << VIRTIO_NET_F_CTRL_VQ | 1ull << VIRTIO_NET_F_CTRL_RX;
	if (n->no_platform)
		v->offered &= ~(1ull << VIRTIO_F_ACCESS_PLATFORM);
	/* up to the MTU, which is the last field of what was offered */
	v->config_len = offsetof(struct virtio_net_config, mtu) + sizeof(config.mtu);
	memcpy(v->config, &config, v->config_len);
	return virtio_init(v, VIRTIO_ID_NET, CLASS_ETHERNET, irqs, dev);
}

static int watch_all(struct net *n)
{
	unsigned int i;
	int ret = cable_init(&n->cable);

	for (i = 0; !ret && n->v.notify == VIRTIO_NOTIFY_IOEVENTFD && i < n->v.nr_queues; i++)
		ret = cable_watch(&n->cable, n->v.events[i]);
	return ret;
}

/* ---- command line ---- */

static const char usage_text[] =
"Usage: " PROG " (--socket-path=PATH | --fd=N) [OPTION...]\n"
"Serve a virtio network device over vfio-user. Runs in the foreground until SIGTERM.\n"
"\n"
"  --socket-path=PATH    listen on this UNIX socket; removed at the end\n"
"  --fd=N                use this descriptor instead, a listening or a connected socket\n"
"  --link-listen=PATH    a cable to another server: this side makes the socket,\n"
"  --link-connect=PATH   the other side connects to it; without either there is no carrier\n"
"  --mac=ADDRESS         such as 52:54:00:12:34:56 (made from the socket's path)\n"
"  --mtu=N               68 to 9216 (1500)\n"
"  --notify=HOW          trap: a message for each notification (the default);\n"
"                        ioeventfd: an eventfd for each queue, messages otherwise;\n"
"                        mmap: the client maps a page, the server polls\n"
"  --interrupts=LIST     of msix, intx (both)\n"
"  --no-platform         do not offer VIRTIO_F_ACCESS_PLATFORM, as a device made for a VM\n"
"  --looks=HOW           transitional: also as virtio 0.9 had it; legacy: only so;\n"
"                        shm: with a shared memory region\n"
"  --control-queue       with a queue for commands, all of which are done by doing nothing\n"
"  --no-map              reach the client's memory by messages only\n"
"  --max-msg-fds=N       descriptors accepted in one message, 0 to 253 (8)\n"
"  --max-xfer=N          bytes accepted in one access message (1048576)\n"
"  --twin-socket         offer a second socket for requests to the client\n"
"  --no-write-multi      do not offer REGION_WRITE_MULTI\n"
"  --fault=KIND[:N]      misbehave: %s\n"
"  --verbose             say what happens on standard error; twice for more\n"
"  --help\n";

enum {
	OPT_SOCKET = 256, OPT_FD, OPT_LISTEN, OPT_CONNECT, OPT_MAC, OPT_MTU, OPT_NOTIFY,
	OPT_INTERRUPTS, OPT_NO_PLATFORM, OPT_LOOKS, OPT_CONTROL, OPT_NO_MAP, OPT_MAX_FDS,
	OPT_MAX_XFER, OPT_TWIN, OPT_NO_MULTI, OPT_FAULT, OPT_VERBOSE, OPT_HELP,
};

static const struct option long_options[] = {
	{ "socket-path", required_argument, NULL, OPT_SOCKET },
	{ "fd", required_argument, NULL, OPT_FD },
	{ "link-listen", required_argument, NULL, OPT_LISTEN },
	{ "link-connect", required_argument, NULL, OPT_CONNECT },
	{ "mac", required_argument, NULL, OPT_MAC },
	{ "mtu", required_argument, NULL, OPT_MTU },
	{ "notify", required_argument, NULL, OPT_NOTIFY },
	{ "interrupts", required_argument, NULL, OPT_INTERRUPTS },
	{ "no-platform", no_argument, NULL, OPT_NO_PLATFORM },
	{ "looks", required_argument, NULL, OPT_LOOKS },
	{ "control-queue", no_argument, NULL, OPT_CONTROL },
	{ "no-map", no_argument, NULL, OPT_NO_MAP },
	{ "max-msg-fds", required_argument, NULL, OPT_MAX_FDS },
	{ "max-xfer", required_argument, NULL, OPT_MAX_XFER },
	{ "twin-socket", no_argument, NULL, OPT_TWIN },
	{ "no-write-multi", no_argument, NULL, OPT_NO_MULTI },
	{ "fault", required_argument, NULL, OPT_FAULT },
	{ "verbose", no_argument, NULL, OPT_VERBOSE },
	{ "help", no_argument, NULL, OPT_HELP },
	{ NULL, 0, NULL, 0 },
};

struct options {
	struct vfus_config vfus;
	struct vfus_hooks hooks;
	unsigned int irqs;		/* bit per VFIO_PCI_*_IRQ_INDEX */
	bool has_mac;
	uint8_t mac[6];
};

static void bad_option(const char *name, const char *arg, const char *want)
{
	fprintf(stderr, "%s: --%s=%s: give %s\n", PROG, name, arg, want);
	exit(2);
}

static uint32_t number(const char *name, const char *arg, uint32_t min, uint32_t max)
{
	unsigned long v;
	char *end;

	errno = 0;
	v = strtoul(arg, &end, 0);
	if (errno || end == arg || *end || *arg == '-' || v < min || v > max) {
		char want[80];

		snprintf(want, sizeof(want), "a number from %u to %u", min, max);
		bad_option(name, arg, want);
	}
	return (uint32_t)v;
}

static unsigned int irq_list(const char *arg)
{
	const unsigned int msix = 1u << VFIO_PCI_MSIX_IRQ_INDEX;
	const unsigned int intx = 1u << VFIO_PCI_INTX_IRQ_INDEX;

	if (!strcmp(arg, "msix"))
		return msix;
	if (!strcmp(arg, "intx"))
		return intx;
	if (strcmp(arg, "msix,intx") && strcmp(arg, "intx,msix"))
		bad_option("interrupts", arg, "a list of msix, intx");
	return msix | intx;
}

static enum virtio_notify notify_arg(const char *arg)
{
	if (!strcmp(arg, "mmap"))
		return VIRTIO_NOTIFY_MMAP;
	if (!strcmp(arg, "ioeventfd"))
		return VIRTIO_NOTIFY_IOEVENTFD;
	if (strcmp(arg, "trap"))
		bad_option("notify", arg, "trap, ioeventfd or mmap");
	return VIRTIO_NOTIFY_TRAP;
}

static unsigned int looks_arg(const char *arg)
{
	if (!strcmp(arg, "shm"))
		return VIRTIO_LOOKS_SHM;
	if (!strcmp(arg, "transitional"))
		return VIRTIO_LOOKS_TRANSITIONAL;
	if (strcmp(arg, "legacy"))
		bad_option("looks", arg, "transitional, legacy or shm");
	return VIRTIO_LOOKS_LEGACY;
}

static void mac_arg(struct options *o, const char *arg)
{
	unsigned int b[6], i;
	int end = 0;

	if (strlen(arg) != 17 ||
	    sscanf(arg, "%2x:%2x:%2x:%2x:%2x:%2x%n", b, b + 1, b + 2, b + 3, b + 4, b + 5,
		   &end) != 6 || end != 17 || b[0] & 1)
		bad_option("mac", arg, "a unicast address such as 52:54:00:12:34:56");
	for (i = 0; i < 6; i++)
		o->mac[i] = (uint8_t)b[i];
	o->has_mac = true;
}

static void set_option(struct options *o, struct net *n, int opt)
{
	switch (opt) {
	case OPT_SOCKET:
		o->vfus.socket_path = optarg;
		break;
	case OPT_FD:
		if (vfus_config_parse_fd(&o->vfus, optarg))
			bad_option("fd", optarg, "the number of an open descriptor");
		break;
	case OPT_LISTEN:
	case OPT_CONNECT:
		if (n->cable.path)
			bad_option("link-...", optarg, "one end of one cable");
		n->cable.path = optarg;
		n->cable.listen = opt == OPT_LISTEN;
		break;
	case OPT_MAC:
		mac_arg(o, optarg);
		break;
	case OPT_MTU:
		n->mtu = number("mtu", optarg, MTU_MIN, MTU_MAX);
		break;
	case OPT_NOTIFY:
		n->v.notify = notify_arg(optarg);
		break;
	case OPT_INTERRUPTS:
		o->irqs = irq_list(optarg);
		break;
	case OPT_NO_PLATFORM:
		n->no_platform = true;
		break;
	case OPT_LOOKS:
		n->v.looks = looks_arg(optarg);
		break;
	case OPT_CONTROL:
		n->control = true;
		break;
	case OPT_NO_MAP:
		o->vfus.no_dma_fds = true;
		break;
	case OPT_MAX_FDS:
		o->vfus.max_msg_fds = number("max-msg-fds", optarg, 0, VFUS_MAX_FDS);
		break;
	case OPT_MAX_XFER:
		o->vfus.max_xfer = number("max-xfer", optarg, 4096, 16 << 20);
		break;
	case OPT_TWIN:
		o->vfus.twin_socket = true;
		break;
	case OPT_NO_MULTI:
		o->vfus.write_multiple = false;
		break;
	case OPT_FAULT:
		if (fault_parse(optarg, &o->hooks))
			bad_option("fault", optarg, "one of the kinds that --help lists");
		o->vfus.hooks = &o->hooks;
		break;
	case OPT_VERBOSE:
		o->vfus.verbose++;
		break;
	case OPT_HELP:
		printf(usage_text, fault_help());
		exit(0);
	default:
		fprintf(stderr, "%s: see %s --help\n", PROG, PROG);
		exit(2);
	}
}

/* Locally administered, and different for servers with different sockets. */
static void make_mac(struct options *o)
{
	const char *p = o->vfus.socket_path ? o->vfus.socket_path : "";
	uint64_t hash = 0xcbf29ce484222325ull ^ (uint64_t)(o->vfus.fd + 1);

	/* FNV-1a */
	for (; *p; p++)
		hash = (hash ^ (uint8_t)*p) * 0x100000001b3ull;
	memcpy(o->mac, &hash, sizeof(o->mac));
	o->mac[0] = (o->mac[0] & ~1u) | 2;
}

static void parse_options(struct options *o, struct net *n, int argc, char **argv)
{
	int opt;

	while ((opt = getopt_long(argc, argv, "", long_options, NULL)) != -1)
		set_option(o, n, opt);
	if (optind < argc || !o->vfus.socket_path == (o->vfus.fd < 0)) {
		fprintf(stderr, "%s: give either --socket-path or --fd; see %s --help\n", PROG,
			PROG);
		exit(2);
	}
	if (!o->has_mac)
		make_mac(o);
}

static int serve(struct net *n, const struct options *o, const struct vfus_device *dev)
{
	int ret;

	n->v.vfus = vfus_create(&o->vfus, dev);
	if (!n->v.vfus)
		return 1;
	virtio_device_reset(&n->v);
	ret = vfus_run(n->v.vfus);
	if (ret)
		fprintf(stderr, "%s: event loop: %s\n", PROG, strerror(-ret));
	vfus_destroy(n->v.vfus);
	if (o->vfus.verbose)
		fprintf(stderr, "%s: %llu frames sent, %llu received, %llu dropped\n", PROG,
			(unsigned long long)n->sent, (unsigned long long)n->received,
			(unsigned long long)n->dropped);
	return ret ? 1 : 0;
}

int main(int argc, char **argv)
{
	static const struct vfus_ops ops = {
		.region_read = virtio_read,
		.region_write = virtio_write,
		.reset = virtio_device_reset,
		.irq_sync = virtio_irq_sync,
		.connected = net_connected,
		.poll = net_poll,
		.fd_ready = net_ready,
	};
	static struct net net;
	struct net *n = &net;
	struct vfus_device dev = { .ops = &ops, .priv = n };
	struct options o = { .irqs = irq_list("msix,intx") };
	int ret;

	vfus_config_init(&o.vfus);
	n->mtu = 1500;
	parse_options(&o, n, argc, argv);
	ret = build_device(n, o.irqs, o.mac, &dev);
	if (ret) {
		fprintf(stderr, "%s: notifications: %s\n", PROG, strerror(-ret));
	} else {
		ret = watch_all(n);
		if (ret)
			fprintf(stderr, "%s: cable '%s': %s; choose another path\n", PROG,
				n->cable.path ? n->cable.path : "", strerror(-ret));
	}
	dev.fd = n->cable.epfd;
	ret = ret ? 1 : serve(n, &o, &dev);
	cable_free(&n->cable);
	virtio_free(&n->v);
	return ret;
}
