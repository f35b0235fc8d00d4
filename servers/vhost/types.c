// SPDX-License-Identifier: GPL-2.0-only
/*
 * Device types: the protocol has no message that tells a back end's, so it is given on the command
 * line, and all that follows from it is here. A type that has no entry is given by its number.
 *
 * There is no list of features: all of the type's own bits are passed through, as only the driver
 * has to know them. Of the others the driver gets what the back end has and what is ours.
 */
#include <errno.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_fs.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>
#include <linux/virtio_scsi.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vhost.h"

#define CLASS_STORAGE	0x010000u	/* SCSI, as for all virtio disks */
#define CLASS_ETHERNET	0x020000u
#define CLASS_OTHER	0x078000u
#define CLASS_STORAGE_OTHER 0x018000u
#define CLASS_AUDIO	0x040100u
#define CLASS_NONE	0x00ff00u

/* Queues of a disk that are of use; drivers take no more than there are CPUs. */
#define QUEUES_MAX	256u

#define BIT(n)	(1ull << (n))

static void say(const struct vhost *h, const char *why)
{
	vhost_log(h, 0, "%s", why);
}

/* How many request queues: as many as the back end has, or fewer where that is asked for. */
static int count_queues(struct vhost *h, unsigned int have)
{
	unsigned int most = have;

	if (vhost_has(h, VU_PF_MQ) && h->backend_queues > h->type.others &&
	    h->backend_queues - h->type.others < most)
		most = h->backend_queues - h->type.others;
	if (h->opt.queues > most) {
		vhost_log(h, 0, "--queues=%u: the back end has %u", h->opt.queues, most);
		return -EINVAL;
	}
	if (!most || most > QUEUES_MAX) {
		vhost_log(h, most ? 1 : 0, "the back end has %u queues%s", most,
			  most ? ", of which 256 are used" : "");
		most = QUEUES_MAX;
	}
	return (int)(h->opt.queues ? h->opt.queues : most);
}

/* ---- disks ---- */

static bool blk_smaller(const struct vhost *h)
{
	struct virtio_blk_config now, was;

	memcpy(&now, h->config, 36);
	memcpy(&was, h->v.config, 36);
	return now.capacity < was.capacity;
}

static void blk_patch(const struct vhost *h, uint8_t *config)
{
	const uint16_t n = (uint16_t)h->nr_rings;

	memcpy(config + offsetof(struct virtio_blk_config, num_queues), &n, sizeof(n));
}

static int blk_build(struct vhost *h)
{
	uint16_t have = 1;
	int n;

	if (h->features & BIT(VIRTIO_BLK_F_MQ))
		memcpy(&have, h->config + offsetof(struct virtio_blk_config, num_queues),
		       sizeof(have));
	if (!have) {
		say(h, "the back end's disk has 0 queues");
		return -EINVAL;
	}
	n = count_queues(h, have);
	if (n < 0)
		return n;
	h->nr_rings = (unsigned int)n;
	return 0;
}

/* The last byte of the device-writable part is the status. */
static uint32_t blk_bury(struct vhost *h, unsigned int q, const struct virtq_chain *c)
{
	const uint8_t status = VIRTIO_BLK_S_IOERR;

	(void)q;
	if (!c->in_len || virtq_copy_in(&h->v, c, c->in_len - 1, &status, 1))
		return 0;
	return (uint32_t)c->in_len;
}

/* ---- file systems ---- */

static void fs_patch(const struct vhost *h, uint8_t *config)
{
	struct virtio_fs_config *c = (struct virtio_fs_config *)config;

	c->num_request_queues = h->nr_rings - h->type.others;
	if (h->opt.tag) {
		memset(c->tag, 0, sizeof(c->tag));
		memcpy(c->tag, h->opt.tag, strnlen(h->opt.tag, sizeof(c->tag)));
	}
}

static int fs_build(struct vhost *h)
{
	struct virtio_fs_config c = { 0 };
	unsigned int have = 1;
	int n;

	if (h->config_len) {
		memcpy(&c, h->config, sizeof(c));
		have = c.num_request_queues;
	} else if (vhost_has(h, VU_PF_MQ) && h->backend_queues > 1) {
		have = h->backend_queues - 1;
	}
	if (!c.tag[0] && !h->opt.tag) {
		say(h, "the back end does not say the file system's tag: give --tag");
		return -EINVAL;
	}
	n = count_queues(h, have);
	if (n < 0)
		return n;
	h->nr_rings = (unsigned int)n + 1;
	memcpy(h->config, &c, sizeof(c));
	h->config_len = sizeof(c);
	return 0;
}

/* A request without an answer (FORGET) has no writable part. */
static uint32_t fs_bury(struct vhost *h, unsigned int q, const struct virtq_chain *c)
{
	struct {
		uint32_t len;
		int32_t error;
		uint64_t unique;
	} out = { .len = sizeof(out), .error = -ENOTCONN };

	(void)q;
	/* The request's header: length, what to do, and a number that goes into the answer. */
	if (c->in_len < sizeof(out) || virtq_copy_out(&h->v, c, &out.unique, 8, 8) ||
	    virtq_copy_in(&h->v, c, 0, &out, sizeof(out)))
		return 0;
	return sizeof(out);
}

/* ---- network cards ---- */

static void make_mac(struct vhost *h)
{
	const char *p = h->opt.vfus.socket_path ? h->opt.vfus.socket_path : h->opt.socket;
	uint64_t hash = 0xcbf29ce484222325ull;

	/* FNV-1a; locally administered, the same for a socket each time */
	for (; *p; p++)
		hash = (hash ^ (uint8_t)*p) * 0x100000001b3ull;
	memcpy(h->opt.mac, &hash, sizeof(h->opt.mac));
	h->opt.mac[0] = (h->opt.mac[0] & ~1u) | 2;
}

static int net_build(struct vhost *h)
{
	const uint64_t ours = BIT(VIRTIO_NET_F_MAC) | BIT(VIRTIO_NET_F_STATUS);
	/* What is asked for by the control queue, which is ours or is not there. */
	const uint64_t not = BIT(VIRTIO_NET_F_CTRL_VQ) | BIT(VIRTIO_NET_F_CTRL_RX) |
			     BIT(VIRTIO_NET_F_CTRL_VLAN) | BIT(VIRTIO_NET_F_GUEST_ANNOUNCE) |
			     BIT(VIRTIO_NET_F_MQ) | BIT(VIRTIO_NET_F_CTRL_MAC_ADDR) |
			     BIT(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS) | BIT(VIRTIO_NET_F_MTU) |
			     BIT(VIRTIO_NET_F_RSS) | BIT(VIRTIO_NET_F_HASH_REPORT);
	struct virtio_net_config c = { .status = VIRTIO_NET_S_LINK_UP, .max_virtqueue_pairs = 1 };
	unsigned int pairs = h->opt.queues ? h->opt.queues : 1;

	if (pairs > 1 && (!vhost_has(h, VU_PF_MQ) || h->backend_queues / 2 < pairs)) {
		/* (some count pairs) */
		vhost_log(h, 0, "--queues=%u: the back end has %u pair%s of queues", pairs,
			  vhost_has(h, VU_PF_MQ) ? h->backend_queues / 2 : 1,
			  vhost_has(h, VU_PF_MQ) ? "s" : "");
		return -EINVAL;
	}
	h->nr_rings = 2 * pairs;
	h->pairs = 1;
	if (!h->opt.has_mac)
		make_mac(h);
	memcpy(c.mac, h->opt.mac, sizeof(c.mac));
	h->v.offered &= ~not;
	h->v.offered |= ours;
	h->ours |= ours;
	if (h->opt.mtu) {
		c.mtu = (uint16_t)h->opt.mtu;
		h->v.offered |= BIT(VIRTIO_NET_F_MTU);
		h->ours |= BIT(VIRTIO_NET_F_MTU);
	}
	if (pairs > 1) {
		c.max_virtqueue_pairs = (uint16_t)pairs;
		netctl_build(h);
	}
	/* The driver's copy: nothing of it is the back end's. */
	h->v.config_len = offsetof(struct virtio_net_config, mtu) + sizeof(c.mtu);
	memcpy(h->v.config, &c, h->v.config_len);
	return 0;
}

static bool net_keeps(const struct vhost *h, unsigned int q)
{
	(void)h;
	return !(q % 2);
}

/* ---- SCSI ---- */

static void scsi_patch(const struct vhost *h, uint8_t *config)
{
	const uint32_t n = h->nr_rings - h->type.others;

	memcpy(config, &n, sizeof(n));
}

static int scsi_build(struct vhost *h)
{
	struct virtio_scsi_config c;
	int n;

	memcpy(&c, h->config, sizeof(c));
	n = count_queues(h, c.num_queues);
	if (n < 0)
		return n;
	h->nr_rings = (unsigned int)n + h->type.others;
	return 0;
}

static uint32_t scsi_bury(struct vhost *h, unsigned int q, const struct virtq_chain *c)
{
	struct virtio_scsi_cmd_resp resp = { .response = VIRTIO_SCSI_S_TRANSPORT_FAILURE };
	const uint8_t ctrl = VIRTIO_SCSI_S_TRANSPORT_FAILURE;

	if (q >= 2 && c->in_len >= sizeof(resp))
		return virtq_copy_in(&h->v, c, 0, &resp, sizeof(resp)) ? 0 : sizeof(resp);
	/* the control queue's answers end with the response */
	if (!q && c->in_len)
		virtq_copy_in(&h->v, c, c->in_len - 1, &ctrl, 1);
	return (uint32_t)c->in_len;
}

static bool scsi_keeps(const struct vhost *h, unsigned int q)
{
	(void)h;
	return q == 1;
}

/* ---- the others ---- */

static int plain_build(struct vhost *h)
{
	unsigned int n = h->opt.queues ? h->opt.queues : h->type.queues;

	if (vhost_has(h, VU_PF_MQ) && n > h->backend_queues) {
		vhost_log(h, 0, "this device has %u queues, the back end %u", n,
			  h->backend_queues);
		return -EINVAL;
	}
	h->nr_rings = n;
	return 0;
}

static bool first_keeps(const struct vhost *h, unsigned int q)
{
	(void)h;
	return !q;
}

static const struct vhost_type types[] = {
	{
		.name = "blk", .id = VIRTIO_ID_BLOCK, .class_code = CLASS_STORAGE,
		/* all, without zones, without erasing, without discarding */
		.config = { 96, 72, 60, 36 },
		.writable = offsetof(struct virtio_blk_config, wce), .writable_len = 1,
		.build = blk_build, .patch = blk_patch, .smaller = blk_smaller, .bury = blk_bury,
	}, {
		.name = "fs", .id = VIRTIO_ID_FS, .class_code = CLASS_STORAGE_OTHER,
		.config = { sizeof(struct virtio_fs_config) }, .others = 1, .own_config = true,
		.in_order = true, .stateful = true,
		.build = fs_build, .patch = fs_patch, .bury = fs_bury,
	}, {
		.name = "net", .id = VIRTIO_ID_NET, .class_code = CLASS_ETHERNET,
		.in_order = true, .build = net_build, .keeps = net_keeps,
	}, {
		.name = "scsi", .id = VIRTIO_ID_SCSI, .class_code = CLASS_STORAGE,
		.config = { sizeof(struct virtio_scsi_config) }, .others = 2,
		.writable = offsetof(struct virtio_scsi_config, sense_size), .writable_len = 8,
		.build = scsi_build, .patch = scsi_patch, .bury = scsi_bury, .keeps = scsi_keeps,
	}, {
		.name = "rng", .id = VIRTIO_ID_RNG, .class_code = CLASS_NONE, .queues = 1,
		.in_order = true, .build = plain_build,
	}, {
		.name = "console", .id = VIRTIO_ID_CONSOLE, .class_code = CLASS_OTHER, .queues = 2,
		.in_order = true, .build = plain_build, .keeps = first_keeps,
	}, {
		.name = "sound", .id = 25, .class_code = CLASS_AUDIO, .config = { 16, 12 },
		.queues = 4, .build = plain_build,
	}, {
		.name = "vsock", .id = VIRTIO_ID_VSOCK, .class_code = CLASS_OTHER, .config = { 8 },
		.queues = 3, .in_order = true, .build = plain_build, .keeps = first_keeps,
		.dangerous = "it would become this machine's way to a host, and change its CID",
	}, {
		.name = "balloon", .id = VIRTIO_ID_BALLOON,
		.refused = "it would take this machine's memory away",
	}, {
		.name = "mem", .id = 24, .refused = "it would add memory to this machine",
	}, {
		.name = "iommu", .id = 23,
		.refused = "it would translate for other devices of this machine",
	}, {
		.name = "pmem", .id = 27, .refused = "its memory would be mapped as this machine's",
	}, {
		.name = "gpu", .id = VIRTIO_ID_GPU,
		.refused = "it needs a display on this side of the socket",
	}, {
		.name = "crypto", .id = 20,
		.refused = "its sessions are made by messages of their own",
	}, {
		.name = "input", .id = VIRTIO_ID_INPUT,
		.refused = "its configuration changes with each question, which only the back end can answer",
	},
};

/**
 * type_list() - the names of the types that can be given
 * @buf: for the list
 * @len: its size
 */
void type_list(char *buf, size_t len)
{
	size_t i, at = 0;

	*buf = 0;
	for (i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (!types[i].refused && at < len)
			at += (size_t)snprintf(buf + at, len - at, "%s%s", at ? ", " : "",
					       types[i].name);
}

/**
 * type_find() - take a device type
 * @h: device; options set
 * @name: or number
 *
 * Return: 0, -ENOENT where there is none, -EPERM after saying why it cannot be had.
 */
int type_find(struct vhost *h, const char *name)
{
	unsigned long id;
	char *end;
	size_t i;

	id = strtoul(name, &end, 0);
	if (end == name || *end)
		id = 0;
	for (i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (!strcmp(types[i].name, name) || (id && types[i].id == id))
			break;
	if (i < sizeof(types) / sizeof(types[0])) {
		h->type = types[i];
	} else if (id && id < 64) {
		h->type = (struct vhost_type){
			.name = name, .id = (uint16_t)id, .class_code = CLASS_OTHER, .queues = 1,
			.config = { h->opt.config_size }, .build = plain_build,
		};
	} else {
		return -ENOENT;
	}
	if (h->type.refused) {
		vhost_log(h, 0, "a %s device is not for a host: %s", h->type.name,
			  h->type.refused);
		return -EPERM;
	}
	if (h->type.dangerous && !h->opt.force) {
		vhost_log(h, 0, "a %s device needs --force: %s", h->type.name, h->type.dangerous);
		return -EPERM;
	}
	return 0;
}

/**
 * type_build() - what the device looks like
 * @h: device with the link up for the first time
 *
 * Return: 0 or a negative errno after saying why.
 */
int type_build(struct vhost *h)
{
	/* the type's own, and those of rings that do not change who is at the other end of them */
	uint64_t mask = (BIT(24) - 1) | ~(BIT(50) - 1) | BIT(VIRTIO_F_VERSION_1) |
			BIT(VIRTIO_RING_F_INDIRECT_DESC) | BIT(VIRTIO_RING_F_EVENT_IDX) |
			BIT(VIRTIO_F_IN_ORDER);
	int ret;

	if (h->opt.no_indirect)
		mask &= ~BIT(VIRTIO_RING_F_INDIRECT_DESC);
	h->ours = BIT(VIRTIO_F_ACCESS_PLATFORM);
	h->v.offered = (h->features & mask) | h->ours;
	ret = h->type.build(h);
	if (ret)
		return ret;
	h->v.nr_queues = h->nr_rings + h->ctl;
	h->v.queue_max = (uint16_t)h->opt.queue_size;
	if (h->config_len) {
		if (h->type.patch)
			h->type.patch(h, h->config);
		memcpy(h->v.config, h->config, h->config_len);
		h->v.config_len = h->config_len;
	}
	h->needed = h->v.offered & ~h->ours;
	return 0;
}
