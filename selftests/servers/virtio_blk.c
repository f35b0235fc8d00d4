// SPDX-License-Identifier: GPL-2.0-only
/*
 * vfiouser-virtio-blk: serves a virtio block device over vfio-user, for tests: a disk in memory
 * with one queue, which looks as those do that are made for virtual machines.
 *
 * This file owns the command line and what makes a block device out of a virtio device (virtio 1.2
 * section 5.2). Requests are carried out one after the other, by the thread that serves the client.
 *
 * After --answer=N of them, and after SIGUSR1, they are taken and never given back; registers are
 * served as before.
 *
 * With --scsi it is a SCSI host (section 5.6) that never takes anything out of its queues.
 */
#include <errno.h>
#include <getopt.h>
#include <linux/vfio.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_ring.h>
#include <linux/virtio_scsi.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fault.h"
#include "vfus.h"
#include "virtio.h"

#define PROG		"vfiouser-virtio-blk"
#define CLASS_SCSI	0x010000u

#define SECTOR		512u
#define CHUNK		65536u
#define BATCH		64
#define SERIAL		"vfiouser-virtio-blk"

struct blk {
	struct virtio v;
	struct virtq_chain chain;
	uint8_t *disk;
	uint64_t size;
	uint64_t requests;
	uint64_t answer;	/* requests still to be answered */
	bool scsi;
};

/* SIGUSR1 stays blocked, and pending for good: it interrupts nothing. */
static void block_usr1(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
}

static bool muted(void)
{
	sigset_t set;

	return !sigpending(&set) && sigismember(&set, SIGUSR1);
}

/* ---- requests, section 5.2.6 ---- */

/* What lies between the header and the status, to the disk or from it. */
static uint8_t transfer(struct blk *b, uint64_t sector, bool write)
{
	struct virtq_chain *c = &b->chain;
	const uint64_t head = sizeof(struct virtio_blk_outhdr);
	const uint64_t len = write ? c->out_len - head : c->in_len - 1;
	uint64_t at, start = sector * SECTOR;

	if (len % SECTOR || sector > b->size / SECTOR || len > b->size - start)
		return VIRTIO_BLK_S_IOERR;
	for (at = 0; at < len; at += CHUNK) {
		uint32_t part = len - at < CHUNK ? (uint32_t)(len - at) : CHUNK;
		uint8_t *bytes = b->disk + start + at;

		if (write ? virtq_copy_out(&b->v, c, bytes, head + at, part) :
			    virtq_copy_in(&b->v, c, at, bytes, part))
			return VIRTIO_BLK_S_IOERR;
	}
	return VIRTIO_BLK_S_OK;
}

static uint8_t identify(struct blk *b)
{
	char serial[VIRTIO_BLK_ID_BYTES] = { 0 };
	uint64_t len = b->chain.in_len - 1;

	memcpy(serial, SERIAL, sizeof(SERIAL) - 1);
	if (len > sizeof(serial))
		len = sizeof(serial);
	return virtq_copy_in(&b->v, &b->chain, 0, serial, (uint32_t)len) ? VIRTIO_BLK_S_IOERR :
									   VIRTIO_BLK_S_OK;
}

static void request(struct blk *b)
{
	struct virtq_chain *c = &b->chain;
	struct virtio_blk_outhdr head;
	struct virtio *v = &b->v;
	uint8_t status;

	if (c->out_len < sizeof(head) || !c->in_len ||
	    virtq_copy_out(v, c, &head, 0, sizeof(head))) {
		virtio_broken(v, "a request has no header or no room for its status");
		return;
	}
	switch (head.type) {
	case VIRTIO_BLK_T_IN:
		status = transfer(b, head.sector, false);
		break;
	case VIRTIO_BLK_T_OUT:
		status = transfer(b, head.sector, true);
		break;
	case VIRTIO_BLK_T_FLUSH:
		status = VIRTIO_BLK_S_OK;
		break;
	case VIRTIO_BLK_T_GET_ID:
		status = identify(b);
		break;
	default:
		status = VIRTIO_BLK_S_UNSUPP;
	}
	if (virtq_copy_in(v, c, c->in_len - 1, &status, 1))
		return;
	virtq_push(v, 0, c->head, (uint32_t)c->in_len, 0);
	virtq_publish(v, 0, 1);
	b->requests++;
}

static long blk_poll(void *priv)
{
	struct blk *b = priv;
	struct virtio *v = &b->v;
	unsigned int done = 0;

	if (b->scsi || !virtio_live(v) || !virtio_kicked(v, 0))
		return -1;
	while (virtio_live(v) && done < BATCH) {
		if (virtq_pop(v, 0, &b->chain) <= 0) {
			virtq_want(v, 0, true);
			if (virtq_empty(v, 0))
				break;
			continue;
		}
		done++;
		if (!b->answer || muted())
			continue;
		b->answer--;
		request(b);
	}
	virtq_signal(v, 0);
	if (done < BATCH)
		return -1;
	v->vq[0].kicked = true;
	return 0;
}

static void blk_ready(void *priv)
{
	struct blk *b = priv;

	virtio_events(&b->v);
}

static void blk_reset(struct virtio *v)
{
	(void)v;
}

/* ---- command line ---- */

static const char usage_text[] =
"Usage: " PROG " (--socket-path=PATH | --fd=N) [OPTION...]\n"
"Serve a virtio block device over vfio-user, for tests. Runs in the foreground until SIGTERM.\n"
"\n"
"  --socket-path=PATH    listen on this UNIX socket; removed at the end\n"
"  --fd=N                use this descriptor instead, a listening or a connected socket\n"
"  --size-mib=N          of the disk, which is memory (16)\n"
"  --platform            offer VIRTIO_F_ACCESS_PLATFORM, which devices made for a VM do not\n"
"  --looks=HOW           transitional: also as virtio 0.9 had it; legacy: only so;\n"
"                        shm: with a shared memory region\n"
"  --scsi                be a SCSI host instead, which never answers\n"
"  --answer=N            answer so many requests and then none, as after SIGUSR1 (all)\n"
"  --no-map              reach the client's memory by messages only\n"
"  --fault=KIND[:N]      misbehave: %s\n"
"  --verbose             say what happens on standard error; twice for more\n"
"  --help\n";

enum {
	OPT_SOCKET = 256, OPT_FD, OPT_SIZE, OPT_PLATFORM, OPT_LOOKS, OPT_SCSI, OPT_ANSWER,
	OPT_NO_MAP, OPT_FAULT, OPT_VERBOSE, OPT_HELP,
};

static const struct option long_options[] = {
	{ "socket-path", required_argument, NULL, OPT_SOCKET },
	{ "fd", required_argument, NULL, OPT_FD },
	{ "size-mib", required_argument, NULL, OPT_SIZE },
	{ "platform", no_argument, NULL, OPT_PLATFORM },
	{ "looks", required_argument, NULL, OPT_LOOKS },
	{ "scsi", no_argument, NULL, OPT_SCSI },
	{ "answer", required_argument, NULL, OPT_ANSWER },
	{ "no-map", no_argument, NULL, OPT_NO_MAP },
	{ "fault", required_argument, NULL, OPT_FAULT },
	{ "verbose", no_argument, NULL, OPT_VERBOSE },
	{ "help", no_argument, NULL, OPT_HELP },
	{ NULL, 0, NULL, 0 },
};

static void bad_option(const char *name, const char *arg, const char *want)
{
	fprintf(stderr, "%s: --%s=%s: give %s\n", PROG, name, arg, want);
	exit(2);
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

static void parse_options(struct blk *b, struct vfus_config *cfg, struct vfus_hooks *hooks,
			  bool *platform, int argc, char **argv)
{
	char *end;
	int opt;

	while ((opt = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		switch (opt) {
		case OPT_SOCKET:
			cfg->socket_path = optarg;
			break;
		case OPT_FD:
			if (vfus_config_parse_fd(cfg, optarg))
				bad_option("fd", optarg, "the number of an open descriptor");
			break;
		case OPT_SIZE:
			b->size = strtoull(optarg, &end, 0) << 20;
			if (*end || !b->size || b->size > 1ull << 32)
				bad_option("size-mib", optarg, "a number from 1 to 4096");
			break;
		case OPT_PLATFORM:
			*platform = true;
			break;
		case OPT_LOOKS:
			b->v.looks = looks_arg(optarg);
			break;
		case OPT_SCSI:
			b->scsi = true;
			break;
		case OPT_ANSWER:
			b->answer = strtoull(optarg, &end, 0);
			if (end == optarg || *end)
				bad_option("answer", optarg, "a number");
			break;
		case OPT_NO_MAP:
			cfg->no_dma_fds = true;
			break;
		case OPT_FAULT:
			if (fault_parse(optarg, hooks))
				bad_option("fault", optarg, "one of the kinds that --help lists");
			cfg->hooks = hooks;
			break;
		case OPT_VERBOSE:
			cfg->verbose++;
			break;
		case OPT_HELP:
			printf(usage_text, fault_help());
			exit(0);
		default:
			fprintf(stderr, "%s: see %s --help\n", PROG, PROG);
			exit(2);
		}
	}
	if (optind < argc || !cfg->socket_path == (cfg->fd < 0)) {
		fprintf(stderr, "%s: give either --socket-path or --fd; see %s --help\n", PROG,
			PROG);
		exit(2);
	}
}

static void build_blk(struct blk *b)
{
	struct virtio_blk_config config = { .capacity = b->size / SECTOR, .seg_max = 126 };
	struct virtio *v = &b->v;

	v->nr_queues = 1;
	v->offered = 1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_RING_F_INDIRECT_DESC |
		     1ull << VIRTIO_RING_F_EVENT_IDX | 1ull << VIRTIO_BLK_F_SEG_MAX |
		     1ull << VIRTIO_BLK_F_FLUSH;
	v->config_len = sizeof(config) < VIRTIO_CONFIG_MAX ? sizeof(config) : VIRTIO_CONFIG_MAX;
	memcpy(v->config, &config, v->config_len);
}

static void build_scsi(struct blk *b)
{
	const struct virtio_scsi_config config = {
		.num_queues = 1, .seg_max = 126, .max_sectors = 0xffff, .cmd_per_lun = 128,
		.event_info_size = sizeof(struct virtio_scsi_event),
		.sense_size = VIRTIO_SCSI_SENSE_DEFAULT_SIZE,
		.cdb_size = VIRTIO_SCSI_CDB_DEFAULT_SIZE, .max_target = 1, .max_lun = 1,
	};
	struct virtio *v = &b->v;

	/* control, events, requests */
	v->nr_queues = 2 + config.num_queues;
	v->offered = 1ull << VIRTIO_F_VERSION_1;
	v->config_len = sizeof(config);
	memcpy(v->config, &config, v->config_len);
}

static int build_device(struct blk *b, bool platform, struct vfus_device *dev)
{
	static const struct virtio_ops ops = { .reset = blk_reset };
	struct virtio *v = &b->v;

	v->ops = &ops;
	v->queue_max = 256;
	if (b->scsi)
		build_scsi(b);
	else
		build_blk(b);
	if (platform)
		v->offered |= 1ull << VIRTIO_F_ACCESS_PLATFORM;
	return virtio_init(v, b->scsi ? VIRTIO_ID_SCSI : VIRTIO_ID_BLOCK, CLASS_SCSI,
			   1u << VFIO_PCI_INTX_IRQ_INDEX | 1u << VFIO_PCI_MSIX_IRQ_INDEX, dev);
}

int main(int argc, char **argv)
{
	static const struct vfus_ops ops = {
		.region_read = virtio_read,
		.region_write = virtio_write,
		.reset = virtio_device_reset,
		.irq_sync = virtio_irq_sync,
		.poll = blk_poll,
		.fd_ready = blk_ready,
	};
	static struct blk blk;
	struct blk *b = &blk;
	struct vfus_device dev = { .ops = &ops, .priv = b, .fd = -1 };
	struct vfus_hooks hooks = { 0 };
	struct vfus_config cfg;
	bool platform = false;
	int ret;

	vfus_config_init(&cfg);
	b->size = 16 << 20;
	b->answer = UINT64_MAX;
	block_usr1();
	parse_options(b, &cfg, &hooks, &platform, argc, argv);
	b->disk = calloc(1, b->size);
	ret = b->disk ? build_device(b, platform, &dev) : -ENOMEM;
	if (ret) {
		fprintf(stderr, "%s: set-up: %s\n", PROG, strerror(-ret));
		return 1;
	}
	b->v.vfus = vfus_create(&cfg, &dev);
	if (!b->v.vfus)
		return 1;
	virtio_device_reset(&b->v);
	ret = vfus_run(b->v.vfus);
	if (ret)
		fprintf(stderr, "%s: event loop: %s\n", PROG, strerror(-ret));
	if (cfg.verbose)
		fprintf(stderr, "%s: %llu requests\n", PROG, (unsigned long long)b->requests);
	vfus_destroy(b->v.vfus);
	virtio_free(&b->v);
	free(b->disk);
	return ret ? 1 : 0;
}
