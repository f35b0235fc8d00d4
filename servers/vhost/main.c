// SPDX-License-Identifier: GPL-2.0-only
/*
 * vfiouser-vhost: serves the device of a vhost-user back end over vfio-user; see vhost.h.
 *
 * This file owns the command line and the order in which things come up: the back end
 * first, since what it is decides what the PCI function looks like, then the socket for clients.
 */
#include <errno.h>
#include <getopt.h>
#include <linux/vfio.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "vhost.h"

/* Eventfds in one message. QEMU 11's client refuses a server that says it takes more. */
#define TAKES_FDS	16

#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER 57
#endif

#define SIGNAL_LOOK_US	200000	/* how late a signal may be seen before anything is served */

/* ---- command line ---- */

static const char usage_text[] =
"Usage: " PROG " --type=TYPE --vhost-socket=PATH (--socket-path=PATH | --fd=N) [OPTION...]\n"
"Serve the device of a vhost-user back end over vfio-user. Runs in the foreground until SIGTERM.\n"
"\n"
"  --type=TYPE           %s, or a virtio device number\n"
"  --vhost-socket=PATH   the back end's socket; waited for\n"
"  --listen              make that socket instead: the back end connects to it\n"
"  --socket-path=PATH    listen for vfio-user clients on this UNIX socket; removed at the end\n"
"  --fd=N                use this descriptor instead, a listening or a connected socket\n"
"  --queues=N            request queues, or pairs of a network card (as the back end has; net: 1)\n"
"  --queue-size=N        entries of each, a power of two from 2 to 1024 (256)\n"
"  --tag=NAME            fs: what it is mounted by, where the back end does not say\n"
"  --mac=ADDRESS         net: such as 52:54:00:12:34:56 (made from the socket's path)\n"
"  --mtu=N               net: 68 to 65535 (not told)\n"
"  --config-size=N       bytes of configuration, for a type given by number (0)\n"
"  --in-order            the back end uses requests up in the order in which they are made\n"
"  --out-of-order        it does not, whatever its type: do not take rings up by their index\n"
"  --no-indirect         do not offer indirect descriptors\n"
"  --timeout=MS          how long an answer may take before it is worth a line (5000)\n"
"  --stop-timeout=MS     how long requests may take to end before a reset (5000)\n"
"  --deadline=MS         end requests with errors where the back end stays away longer (0: never)\n"
"  --no-standby          who kills this process takes the device along: no other one goes on\n"
"  --until-gone          end when the back end has gone and there is no client\n"
"  --force               also a type that changes this machine\n"
"  --verbose             say what happens on standard error; twice for more\n"
"  --help\n";

enum {
	OPT_TYPE = 256, OPT_VHOST, OPT_LISTEN, OPT_SOCKET, OPT_FD, OPT_QUEUES, OPT_QUEUE_SIZE,
	OPT_TAG, OPT_MAC, OPT_MTU, OPT_CONFIG_SIZE, OPT_IN_ORDER, OPT_OUT_OF_ORDER,
	OPT_NO_INDIRECT, OPT_TIMEOUT, OPT_STOP_TIMEOUT, OPT_DEADLINE, OPT_UNTIL_GONE, OPT_FORCE,
	OPT_NO_STANDBY, OPT_NO_DRAIN,
	OPT_VERBOSE, OPT_HELP,
};

static const struct option long_options[] = {
	{ "type", required_argument, NULL, OPT_TYPE },
	{ "vhost-socket", required_argument, NULL, OPT_VHOST },
	{ "listen", no_argument, NULL, OPT_LISTEN },
	{ "socket-path", required_argument, NULL, OPT_SOCKET },
	{ "fd", required_argument, NULL, OPT_FD },
	{ "queues", required_argument, NULL, OPT_QUEUES },
	{ "queue-size", required_argument, NULL, OPT_QUEUE_SIZE },
	{ "tag", required_argument, NULL, OPT_TAG },
	{ "mac", required_argument, NULL, OPT_MAC },
	{ "mtu", required_argument, NULL, OPT_MTU },
	{ "config-size", required_argument, NULL, OPT_CONFIG_SIZE },
	{ "in-order", no_argument, NULL, OPT_IN_ORDER },
	{ "out-of-order", no_argument, NULL, OPT_OUT_OF_ORDER },
	{ "no-indirect", no_argument, NULL, OPT_NO_INDIRECT },
	{ "timeout", required_argument, NULL, OPT_TIMEOUT },
	{ "stop-timeout", required_argument, NULL, OPT_STOP_TIMEOUT },
	{ "deadline", required_argument, NULL, OPT_DEADLINE },
	{ "no-standby", no_argument, NULL, OPT_NO_STANDBY },
	{ "until-gone", no_argument, NULL, OPT_UNTIL_GONE },
	{ "force", no_argument, NULL, OPT_FORCE },
	{ "no-drain", no_argument, NULL, OPT_NO_DRAIN },
	{ "verbose", no_argument, NULL, OPT_VERBOSE },
	{ "help", no_argument, NULL, OPT_HELP },
	{ NULL, 0, NULL, 0 },
};

static void bad_option(const char *name, const char *arg, const char *want)
{
	fprintf(stderr, "%s: --%s=%s: give %s\n", PROG, name, arg, want);
	exit(2);
}

static unsigned int number(const char *name, const char *arg, unsigned int min, unsigned int max)
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
	return (unsigned int)v;
}

static void mac_arg(struct vhost_options *o, const char *arg)
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

static void help(void)
{
	char list[128];

	type_list(list, sizeof(list));
	printf(usage_text, list);
	exit(0);
}

static void set_option(struct vhost_options *o, int opt)
{
	switch (opt) {
	case OPT_TYPE:
		o->type = optarg;
		break;
	case OPT_VHOST:
		o->socket = optarg;
		break;
	case OPT_LISTEN:
		o->listen = true;
		break;
	case OPT_SOCKET:
		o->vfus.socket_path = optarg;
		break;
	case OPT_FD:
		if (vfus_config_parse_fd(&o->vfus, optarg))
			bad_option("fd", optarg, "the number of an open descriptor");
		break;
	case OPT_QUEUES:
		o->queues = number("queues", optarg, 1, 256);
		break;
	case OPT_QUEUE_SIZE:
		o->queue_size = number("queue-size", optarg, 2, VIRTQ_MAX);
		if (o->queue_size & (o->queue_size - 1))
			bad_option("queue-size", optarg, "a power of two");
		break;
	case OPT_TAG:
		if (!*optarg || strlen(optarg) > 36)
			bad_option("tag", optarg, "1 to 36 characters");
		o->tag = optarg;
		break;
	case OPT_MAC:
		mac_arg(o, optarg);
		break;
	case OPT_MTU:
		o->mtu = number("mtu", optarg, 68, 65535);
		break;
	case OPT_CONFIG_SIZE:
		o->config_size = number("config-size", optarg, 0, VU_MAX_CONFIG);
		break;
	case OPT_IN_ORDER:
		o->in_order = true;
		break;
	case OPT_OUT_OF_ORDER:
		o->out_of_order = true;
		break;
	case OPT_NO_INDIRECT:
		o->no_indirect = true;
		break;
	case OPT_TIMEOUT:
		o->timeout_ms = number("timeout", optarg, 1, 3600000);
		break;
	case OPT_STOP_TIMEOUT:
		o->stop_timeout_ms = number("stop-timeout", optarg, 1, 3600000);
		break;
	case OPT_DEADLINE:
		o->deadline_ms = number("deadline", optarg, 0, 86400000);
		break;
	case OPT_NO_STANDBY:
		o->no_standby = true;
		break;
	case OPT_UNTIL_GONE:
		o->until_gone = true;
		break;
	case OPT_FORCE:
		o->force = true;
		break;
	case OPT_NO_DRAIN:
		o->no_drain = true;
		break;
	case OPT_VERBOSE:
		o->vfus.verbose++;
		break;
	case OPT_HELP:
		help();
		break;
	default:
		fprintf(stderr, "%s: see %s --help\n", PROG, PROG);
		exit(2);
	}
}

static void parse_options(struct vhost *h, int argc, char **argv)
{
	struct vhost_options *o = &h->opt;
	char list[128];
	int opt, ret;

	while ((opt = getopt_long(argc, argv, "", long_options, NULL)) != -1)
		set_option(o, opt);
	if (optind < argc || !o->type || !o->socket ||
	    !o->vfus.socket_path == (o->vfus.fd < 0)) {
		fprintf(stderr,
			"%s: give --type, --vhost-socket and either --socket-path or --fd; see %s --help\n",
			PROG, PROG);
		exit(2);
	}
	ret = type_find(h, o->type);
	type_list(list, sizeof(list));
	if (ret == -ENOENT)
		bad_option("type", o->type, list);
	if (ret)
		exit(2);
}

/* ---- life ---- */

/* Its disk may be what memory is freed to. */
static void stay_in_memory(void)
{
	struct rlimit files;

	/* An eventfd or three for each queue. */
	if (!getrlimit(RLIMIT_NOFILE, &files)) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0);
	/* What is mapped later is the client's, and in memory anyway. */
	mlockall(MCL_CURRENT);
}

/* They wait for the library, which reads them from a descriptor. */
static void hold_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
}

static bool asked_to_end(void)
{
	sigset_t set;

	return !sigpending(&set) && (sigismember(&set, SIGTERM) || sigismember(&set, SIGINT));
}

/* Returns whether it came. */
static bool wait_for_backend(struct vhost *h)
{
	while (h->link != LINK_UP && !asked_to_end()) {
		long us = vhost_earlier(link_poll(h), SIGNAL_LOOK_US);

		link_watch(h);
		if (h->link != LINK_UP)
			vhost_run_events(h, (int)((us + 999) / 1000));
	}
	return h->link == LINK_UP;
}

static int build(struct vhost *h)
{
	const unsigned int irqs = 1u << VFIO_PCI_MSIX_IRQ_INDEX | 1u << VFIO_PCI_INTX_IRQ_INDEX;
	unsigned int q;
	int ret = type_build(h);

	if (ret)
		return ret;
	h->v.ops = &vhost_virtio_ops;
	h->v.notify = VIRTIO_NOTIFY_IOEVENTFD;
	h->v.interrupts_elsewhere = true;
	h->dev = (struct vfus_device){
		.ops = &vhost_vfus_ops, .priv = h, .fd = h->epfd, .always = true,
	};
	ret = virtio_init(&h->v, h->type.id, h->type.class_code, irqs, &h->dev);
	if (!ret)
		ret = ring_init(h);
	for (q = h->nr_rings; !ret && q < h->v.nr_queues; q++)
		ret = vhost_watch(h, h->v.events[q], EPOLLIN, SRC_KICK, q);
	if (ret)
		vhost_log(h, 0, "set-up: %s", strerror(-ret));
	h->built = !ret;
	return ret;
}

static int serve(struct vhost *h)
{
	int ret;

	h->v.vfus = vfus_create(&h->opt.vfus, &h->dev);
	if (!h->v.vfus)
		return 1;
	stay_in_memory();
	virtio_device_reset(&h->v);
	ret = vfus_run(h->v.vfus);
	if (ret)
		vhost_log(h, 0, "event loop: %s", strerror(-ret));
	vfus_destroy(h->v.vfus);
	return ret ? 1 : 0;
}

int main(int argc, char **argv)
{
	static struct vhost vhost;
	struct vhost *h = &vhost;
	int ret = 1;

	signal(SIGPIPE, SIG_IGN);
	hold_signals();
	vfus_config_init(&h->opt.vfus);
	h->opt.queue_size = 256;
	h->opt.timeout_ms = 5000;
	h->opt.stop_timeout_ms = 5000;
	/* A vector for each queue, and in few messages. */
	h->opt.vfus.max_msg_fds = TAKES_FDS;
	parse_options(h, argc, argv);
	link_init(h);
	inflight_init(h);
	standby_init(h);
	h->handover.pipe = -1;
	h->epfd = epoll_create1(EPOLL_CLOEXEC);
	if (h->epfd < 0) {
		vhost_log(h, 0, "epoll: %s", strerror(errno));
		return 1;
	}
	if (h->opt.listen) {
		ret = link_listen(h);
		if (ret) {
			vhost_log(h, 0, "%s: %s", h->opt.socket, strerror(-ret));
			return 1;
		}
	}
	if (!wait_for_backend(h))
		ret = 0;
	else
		ret = build(h) ? 1 : serve(h);
	standby_drop(h);
	link_free(h);
	inflight_drop(h);
	handover_drop(h);
	mem_clear(h);
	ring_free(h);
	virtio_free(&h->v);
	close(h->epfd);
	return ret;
}
