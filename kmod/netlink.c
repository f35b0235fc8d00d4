// SPDX-License-Identifier: GPL-2.0-only
/*
 * Control: the generic netlink family.
 *
 * Requests are checked completely here, before anything is made of them; what
 * is wrong goes back as extended ack, in words.
 *
 * Context: the sender's process, for whose memory and files addresses and
 * descriptors in requests stand. No lock is held: requests are served when genetlink is through
 * with them. Dumps, which only look, are called by it.
 */
#include <linux/file.h>
#include <linux/module.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/task_work.h>
#include <net/genetlink.h>
#include <net/sock.h>

#include "bridge.h"
#include "channel.h"
#include "compat.h"
#include "device.h"
#include "dma.h"
#include "netlink.h"
#include "pinned.h"
#include "ram.h"
#include "region.h"
#include "trace.h"

static struct genl_family vfu_genl;

enum { VFU_MCGRP_EVENTS };

static const struct genl_multicast_group vfu_mcgrps[] = {
	[VFU_MCGRP_EVENTS] = {
		.name	= VFIOUSER_MCGRP_EVENTS,
		.flags	= VFU_COMPAT_MCAST_ADMIN,
	},
};

static const struct nla_policy vfu_area_policy[VFIOUSER_AREA_A_MAX + 1] = {
	[VFIOUSER_AREA_A_OFFSET]	= { .type = NLA_U64 },
	[VFIOUSER_AREA_A_SIZE]		= { .type = NLA_U64 },
	[VFIOUSER_AREA_A_ADDR]		= { .type = NLA_U64 },
};

static const struct nla_policy vfu_region_policy[VFIOUSER_REGION_A_MAX + 1] = {
	[VFIOUSER_REGION_A_INDEX]	= NLA_POLICY_MAX(NLA_U32, VFU_NR_REGIONS - 1),
	[VFIOUSER_REGION_A_SIZE]	= { .type = NLA_U64 },
	[VFIOUSER_REGION_A_FLAGS]	= { .type = NLA_U32 },
	[VFIOUSER_REGION_A_AREA]	= NLA_POLICY_NESTED(vfu_area_policy),
};

static const struct nla_policy vfu_irq_policy[VFIOUSER_IRQ_A_MAX + 1] = {
	[VFIOUSER_IRQ_A_INDEX]		= NLA_POLICY_MAX(NLA_U32, VFIO_PCI_NUM_IRQS - 1),
	[VFIOUSER_IRQ_A_COUNT]		= NLA_POLICY_MAX(NLA_U32, VFU_MAX_VECTORS),
	[VFIOUSER_IRQ_A_FLAGS]		= { .type = NLA_U32 },
};

static const struct nla_policy vfu_pool_policy[VFIOUSER_POOL_A_MAX + 1] = {
	[VFIOUSER_POOL_A_ADDR]		= { .type = NLA_U64 },
	[VFIOUSER_POOL_A_SIZE]		= { .type = NLA_U64 },
	[VFIOUSER_POOL_A_IOVA]		= { .type = NLA_U64 },
	[VFIOUSER_POOL_A_FD]		= { .type = NLA_U32 },
};

static struct netlink_range_validation vfu_timeout_range = {
	.min = VFU_TIMEOUT_MIN_MS,
	.max = VFU_TIMEOUT_MAX_MS,
};

static struct netlink_range_validation vfu_grace_range = {
	.max = VFU_GRACE_MAX_MS,
};

static const struct nla_policy vfu_policy[VFIOUSER_A_MAX + 1] = {
	[VFIOUSER_A_ABI]		= { .type = NLA_U32 },
	[VFIOUSER_A_ID]			= { .type = NLA_U32 },
	[VFIOUSER_A_NAME]		= { .type = NLA_NUL_STRING, .len = VFIOUSER_NAME_MAX - 1 },
	[VFIOUSER_A_SOCKET]		= { .type = NLA_NUL_STRING,
					    .len = VFIOUSER_SOCKET_MAX - 1 },
	[VFIOUSER_A_CHANNEL_FD]		= { .type = NLA_U32 },
	[VFIOUSER_A_FLAGS]		= NLA_POLICY_MASK(NLA_U32, VFIOUSER_DEV_F_RESET |
							  VFIOUSER_DEV_F_FORCE |
							  VFIOUSER_DEV_F_PASSTHROUGH |
							  VFIOUSER_DEV_F_CHECK |
							  VFIOUSER_DEV_F_IO_SHOW |
							  VFIOUSER_DEV_F_IO_HIDE |
							  VFIOUSER_DEV_F_WAIT_WRITES),
	[VFIOUSER_A_TIMEOUT_MS]		= NLA_POLICY_FULL_RANGE(NLA_U32, &vfu_timeout_range),
	[VFIOUSER_A_REGION]		= NLA_POLICY_NESTED(vfu_region_policy),
	[VFIOUSER_A_IRQ]		= NLA_POLICY_NESTED(vfu_irq_policy),
	[VFIOUSER_A_POOL]		= NLA_POLICY_NESTED(vfu_pool_policy),
	[VFIOUSER_A_SERVER_PID]		= NLA_POLICY_MIN(NLA_U32, 1),
	[VFIOUSER_A_GRACE_MS]		= NLA_POLICY_FULL_RANGE(NLA_U32, &vfu_grace_range),
	[VFIOUSER_A_CONFIG]		= NLA_POLICY_EXACT_LEN(VFU_IDENTITY),
	[VFIOUSER_A_SLOT]		= { .type = NLA_NUL_STRING, .len = VFIOUSER_NAME_MAX - 1 },
	[VFIOUSER_A_FUNCTION]		= NLA_POLICY_MAX(NLA_U32, VFU_NR_FUNCTIONS - 1),
	[VFIOUSER_A_OPTIONS]		= { .type = NLA_NUL_STRING,
					    .len = VFIOUSER_OPTIONS_MAX - 1 },
	[VFIOUSER_A_KEEPER_PID]		= { .type = NLA_U32 },
	[VFIOUSER_A_TOKEN]		= { .type = NLA_U64 },
};

/* ---- requests ---- */

/* Names end up in sysfs. */
static bool vfu_name_ok(const char *name)
{
	const char *p;

	if (!*name || !strcmp(name, ".") || !strcmp(name, ".."))
		return false;
	for (p = name; *p; p++)
		if (!isalnum(*p) && !strchr("-_.:", *p))
			return false;
	return true;
}

static int vfu_parse_area(struct nlattr *nest, const char *name, u32 index,
			  struct vfu_region *region, struct netlink_ext_ack *extack)
{
	struct nlattr *tb[VFIOUSER_AREA_A_MAX + 1];
	struct vfu_direct *direct;
	u64 offset, size, addr;
	u32 i;
	int err;

	err = nla_parse_nested(tb, VFIOUSER_AREA_A_MAX, nest, vfu_area_policy, extack);
	if (err)
		return err;
	if (!tb[VFIOUSER_AREA_A_OFFSET] || !tb[VFIOUSER_AREA_A_SIZE] || !tb[VFIOUSER_AREA_A_ADDR]) {
		NL_SET_ERR_MSG_ATTR(extack, nest, "an area needs offset, size and address");
		return -EINVAL;
	}
	offset = nla_get_u64(tb[VFIOUSER_AREA_A_OFFSET]);
	size = nla_get_u64(tb[VFIOUSER_AREA_A_SIZE]);
	addr = nla_get_u64(tb[VFIOUSER_AREA_A_ADDR]);
	if (!size || !PAGE_ALIGNED(offset | size | addr) || offset > region->size ||
	    size > PAGE_ALIGN(region->size) - offset) {
		NL_SET_ERR_MSG_ATTR(extack, nest, "an area is not whole pages of its region");
		return -EINVAL;
	}
	for (i = 0; i < region->nr_direct; i++) {
		u64 start = region->direct[i].offset;
		u64 end = start + ((u64)region->direct[i].pinned.nr << PAGE_SHIFT);

		if (offset < end && offset + size > start) {
			NL_SET_ERR_MSG_ATTR(extack, nest, "two areas of a region overlap");
			return -EINVAL;
		}
	}
	direct = &region->direct[region->nr_direct];
	err = vfu_pin(&direct->pinned, addr, size);
	if (err == -ENOMEM || err == -EINTR) {
		NL_SET_ERR_MSG_ATTR(extack, nest, "cannot pin the pages of an area");
		return err;
	}
	if (err) {
		/* A file on a disk, a device's own memory: it is as slow as without the offer. */
		pr_notice("vfiouser_pci: %s: region %u: the pages at %#llx cannot be pinned (%d), accesses are forwarded\n",
			  name[0] ? name : "a device", index, offset, err);
		return 0;
	}
	direct->offset = offset;
	region->nr_direct++;
	return 0;
}

static int vfu_parse_region(struct nlattr *nest, struct vfu_dev_params *params,
			    struct netlink_ext_ack *extack)
{
	struct nlattr *tb[VFIOUSER_REGION_A_MAX + 1];
	struct vfu_region *region;
	struct nlattr *area;
	u32 index, areas = 0;
	int err, rem;

	err = nla_parse_nested(tb, VFIOUSER_REGION_A_MAX, nest, vfu_region_policy, extack);
	if (err)
		return err;
	if (!tb[VFIOUSER_REGION_A_INDEX] || !tb[VFIOUSER_REGION_A_SIZE]) {
		NL_SET_ERR_MSG_ATTR(extack, nest, "a region needs index and size");
		return -EINVAL;
	}
	index = nla_get_u32(tb[VFIOUSER_REGION_A_INDEX]);
	region = &params->regions[index];
	if (region->size) {
		NL_SET_ERR_MSG_ATTR(extack, nest, "a region is given twice");
		return -EINVAL;
	}
	region->size = nla_get_u64(tb[VFIOUSER_REGION_A_SIZE]);
	region->flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
	if (tb[VFIOUSER_REGION_A_FLAGS])
		region->flags = nla_get_u32(tb[VFIOUSER_REGION_A_FLAGS]);
	if (region->size > 1ULL << 40) {
		NL_SET_ERR_MSG_ATTR(extack, nest, "a region is larger than 1 TiB");
		return -E2BIG;
	}
	nla_for_each_nested(area, nest, rem)
		areas += nla_type(area) == VFIOUSER_REGION_A_AREA;
	if (!areas)
		return 0;
	if (areas > VFIOUSER_AREAS_MAX) {
		NL_SET_ERR_MSG_ATTR(extack, nest, "a region has too many areas");
		return -E2BIG;
	}
	region->direct = kcalloc(areas, sizeof(*region->direct), GFP_KERNEL_ACCOUNT);
	if (!region->direct)
		return -ENOMEM;
	nla_for_each_nested(area, nest, rem) {
		if (nla_type(area) != VFIOUSER_REGION_A_AREA)
			continue;
		err = vfu_parse_area(area, params->name, index, region, extack);
		if (err)
			return err;
	}
	return 0;
}

static int vfu_parse_irq(struct nlattr *nest, struct vfu_dev_params *params,
			 struct netlink_ext_ack *extack)
{
	struct nlattr *tb[VFIOUSER_IRQ_A_MAX + 1];
	u32 index;
	int err;

	err = nla_parse_nested(tb, VFIOUSER_IRQ_A_MAX, nest, vfu_irq_policy, extack);
	if (err)
		return err;
	if (!tb[VFIOUSER_IRQ_A_INDEX] || !tb[VFIOUSER_IRQ_A_COUNT]) {
		NL_SET_ERR_MSG_ATTR(extack, nest, "an interrupt needs index and count");
		return -EINVAL;
	}
	index = nla_get_u32(tb[VFIOUSER_IRQ_A_INDEX]);
	params->irqs[index].count = nla_get_u32(tb[VFIOUSER_IRQ_A_COUNT]);
	if (tb[VFIOUSER_IRQ_A_FLAGS])
		params->irqs[index].flags = nla_get_u32(tb[VFIOUSER_IRQ_A_FLAGS]);
	return 0;
}

static int vfu_parse_pool(struct nlattr *nest, struct vfu_dev_params *params,
			  struct netlink_ext_ack *extack)
{
	struct nlattr *tb[VFIOUSER_POOL_A_MAX + 1];
	struct vfu_pool *pool;
	int err;

	err = nla_parse_nested(tb, VFIOUSER_POOL_A_MAX, nest, vfu_pool_policy, extack);
	if (err)
		return err;
	if (!tb[VFIOUSER_POOL_A_ADDR] || !tb[VFIOUSER_POOL_A_SIZE] || !tb[VFIOUSER_POOL_A_IOVA]) {
		NL_SET_ERR_MSG_ATTR(extack, nest, "a pool needs address, size and iova");
		return -EINVAL;
	}
	if (!vfu_have_dma_ops()) {
		NL_SET_ERR_MSG(extack, "this kernel is built without per-device DMA operations");
		return -EOPNOTSUPP;
	}
	pool = vfu_pool_create(nla_get_u64(tb[VFIOUSER_POOL_A_ADDR]),
			       nla_get_u64(tb[VFIOUSER_POOL_A_SIZE]),
			       nla_get_u64(tb[VFIOUSER_POOL_A_IOVA]));
	if (IS_ERR(pool)) {
		NL_SET_ERR_MSG_ATTR(extack, nest,
				    "cannot pin and map the DMA pool: too large, or not whole pages");
		return PTR_ERR(pool);
	}
	params->pool = pool;
	if (!tb[VFIOUSER_POOL_A_FD])
		return 0;
	params->pool_file = fget(nla_get_u32(tb[VFIOUSER_POOL_A_FD]));
	if (!params->pool_file)
		return -EBADF;
	/* Nor a channel, which would hold itself for ever. */
	if (!vfu_pool_is_of(pool, params->pool_file)) {
		NL_SET_ERR_MSG_ATTR(extack, nest, "the pool's memory is not of its file");
		return -EINVAL;
	}
	return 0;
}

static int vfu_parse_params(struct genl_info *info, struct vfu_dev_params *params)
{
	struct netlink_ext_ack *extack = info->extack;
	struct nlattr *attr;
	int err = 0, rem;

	params->timeout_ms = VFU_TIMEOUT_MS;
	if (info->attrs[VFIOUSER_A_TIMEOUT_MS])
		params->timeout_ms = nla_get_u32(info->attrs[VFIOUSER_A_TIMEOUT_MS]);
	if (info->attrs[VFIOUSER_A_GRACE_MS])
		params->grace_ms = nla_get_u32(info->attrs[VFIOUSER_A_GRACE_MS]);
	if (info->attrs[VFIOUSER_A_CONFIG])
		params->config = nla_data(info->attrs[VFIOUSER_A_CONFIG]);
	if (info->attrs[VFIOUSER_A_FLAGS])
		params->flags = nla_get_u32(info->attrs[VFIOUSER_A_FLAGS]);
	if (info->attrs[VFIOUSER_A_SERVER_PID])
		params->server = nla_get_u32(info->attrs[VFIOUSER_A_SERVER_PID]);
	if (info->attrs[VFIOUSER_A_KEEPER_PID])
		params->keeper = nla_get_u32(info->attrs[VFIOUSER_A_KEEPER_PID]);
	if (info->attrs[VFIOUSER_A_TOKEN])
		params->token = nla_get_u64(info->attrs[VFIOUSER_A_TOKEN]);
	if (info->attrs[VFIOUSER_A_OPTIONS])
		nla_strscpy(params->options, info->attrs[VFIOUSER_A_OPTIONS],
			    sizeof(params->options));
	if (info->attrs[VFIOUSER_A_SOCKET])
		nla_strscpy(params->socket, info->attrs[VFIOUSER_A_SOCKET],
			    sizeof(params->socket));
	if (info->attrs[VFIOUSER_A_NAME]) {
		nla_strscpy(params->name, info->attrs[VFIOUSER_A_NAME], sizeof(params->name));
		if (!vfu_name_ok(params->name)) {
			NL_SET_ERR_MSG_ATTR(extack, info->attrs[VFIOUSER_A_NAME],
					    "a name is made of letters, digits and -_.:");
			return -EINVAL;
		}
	}
	if (info->attrs[VFIOUSER_A_SLOT]) {
		nla_strscpy(params->slot, info->attrs[VFIOUSER_A_SLOT], sizeof(params->slot));
		if (!vfu_name_ok(params->slot)) {
			NL_SET_ERR_MSG_ATTR(extack, info->attrs[VFIOUSER_A_SLOT],
					    "a slot's name is made of letters, digits and -_.:");
			return -EINVAL;
		}
	}
	if (info->attrs[VFIOUSER_A_FUNCTION])
		params->fn = nla_get_u32(info->attrs[VFIOUSER_A_FUNCTION]);
	if (params->fn && !params->slot[0]) {
		NL_SET_ERR_MSG(extack, "a function other than 0 needs a slot's name");
		return -EINVAL;
	}
	if (num_online_cpus() < 2 && !(params->flags & VFIOUSER_DEV_F_FORCE)) {
		NL_SET_ERR_MSG(extack,
			       "one CPU only: a driver that reads with interrupts off could not be answered");
		return -EOPNOTSUPP;
	}
	nla_for_each_attr(attr, genlmsg_data(info->genlhdr),
			  genlmsg_len(info->genlhdr), rem) {
		if (nla_type(attr) == VFIOUSER_A_REGION)
			err = vfu_parse_region(attr, params, extack);
		else if (nla_type(attr) == VFIOUSER_A_IRQ)
			err = vfu_parse_irq(attr, params, extack);
		else if (nla_type(attr) == VFIOUSER_A_POOL && params->pool)
			err = -EINVAL;
		else if (nla_type(attr) == VFIOUSER_A_POOL)
			err = vfu_parse_pool(attr, params, extack);
		if (err)
			return err;
	}
	if (params->regions[VFIO_PCI_CONFIG_REGION_INDEX].size < PCI_CFG_SPACE_SIZE) {
		NL_SET_ERR_MSG(extack, "the config region has less than 256 bytes");
		return -EINVAL;
	}
	return 0;
}

static int vfu_reply_id(struct genl_info *info, u32 id)
{
	struct sk_buff *msg = genlmsg_new(NLMSG_DEFAULT_SIZE, GFP_KERNEL);
	void *hdr;

	if (!msg)
		return -ENOMEM;
	hdr = genlmsg_put_reply(msg, info, &vfu_genl, 0, VFIOUSER_CMD_DEVICE_NEW);
	if (!hdr || nla_put_u32(msg, VFIOUSER_A_ID, id)) {
		nlmsg_free(msg);
		return -EMSGSIZE;
	}
	genlmsg_end(msg, hdr);
	return genlmsg_reply(msg, info);
}

/* The channel that a request names, for fput(). */
static struct file *vfu_cmd_channel(struct genl_info *info)
{
	struct file *file;

	if (GENL_REQ_ATTR_CHECK(info, VFIOUSER_A_ABI) ||
	    GENL_REQ_ATTR_CHECK(info, VFIOUSER_A_CHANNEL_FD))
		return ERR_PTR(-EINVAL);
	if (nla_get_u32(info->attrs[VFIOUSER_A_ABI]) != VFIOUSER_ABI_VERSION) {
		NL_SET_ERR_MSG(info->extack, "module and helper are of different ABI versions");
		return ERR_PTR(-EPROTONOSUPPORT);
	}
	file = fget(nla_get_u32(info->attrs[VFIOUSER_A_CHANNEL_FD]));
	if (!file)
		return ERR_PTR(-EBADF);
	if (!vfu_channel_ring(file)) {
		NL_SET_ERR_MSG(info->extack, "the channel is not an open /dev/vfiouser");
		fput(file);
		return ERR_PTR(-EINVAL);
	}
	return file;
}

static struct vfu_dev_params *vfu_params_get(void)
{
	struct vfu_dev_params *params = kzalloc(sizeof(*params), GFP_KERNEL);

	return params ?: ERR_PTR(-ENOMEM);
}

/* Frees what has not moved to a device. */
static void vfu_params_put(struct vfu_dev_params *params)
{
	vfu_regions_release(params->regions);
	vfu_pool_destroy(params->pool);
	vfu_ram_put(params->ram);
	if (params->pool_file)
		fput(params->pool_file);
	kfree(params);
}

static int vfu_do_new(struct sk_buff *skb, struct genl_info *info)
{
	struct netlink_ext_ack *extack = info->extack;
	struct vfu_dev_params *params;
	struct vfu_dev *vdev;
	struct file *file;
	int err;

	file = vfu_cmd_channel(info);
	if (IS_ERR(file))
		return PTR_ERR(file);
	params = vfu_params_get();
	err = PTR_ERR_OR_ZERO(params);
	if (err)
		goto out_file;
	err = vfu_parse_params(info, params);
	if (!err && params->flags & VFIOUSER_DEV_F_CHECK) {
		NL_SET_ERR_MSG(extack, "what does not exist cannot be checked");
		err = -EINVAL;
	}
	if (err)
		goto out;
	if (params->flags & VFIOUSER_DEV_F_PASSTHROUGH) {
		params->ram = vfu_channel_ram(file);
		if (!params->ram || params->pool) {
			NL_SET_ERR_MSG(extack,
				       "passthrough DMA needs the host's memory and no pool");
			err = -EINVAL;
			goto out;
		}
	}
	vdev = vfu_channel_bind(file, params, extack);
	err = PTR_ERR_OR_ZERO(vdev);
	if (!err)
		err = vfu_reply_id(info, vdev->id);
out:
	vfu_params_put(params);
out_file:
	fput(file);
	return err;
}

static struct vfu_dev *vfu_cmd_find(struct genl_info *info)
{
	struct vfu_dev *vdev = NULL;

	if (info->attrs[VFIOUSER_A_ID]) {
		vdev = vfu_dev_find(nla_get_u32(info->attrs[VFIOUSER_A_ID]), NULL);
	} else if (info->attrs[VFIOUSER_A_NAME]) {
		vdev = vfu_dev_find(0, nla_data(info->attrs[VFIOUSER_A_NAME]));
	} else {
		NL_SET_ERR_MSG(info->extack, "an id or a name is needed");
		return ERR_PTR(-EINVAL);
	}
	if (!vdev) {
		NL_SET_ERR_MSG(info->extack, "no such device");
		return ERR_PTR(-ENODEV);
	}
	return vdev;
}

static int vfu_do_del(struct sk_buff *skb, struct genl_info *info)
{
	struct vfu_dev *vdev = vfu_cmd_find(info);

	if (IS_ERR(vdev))
		return PTR_ERR(vdev);
	vfu_dev_remove(vdev);
	vfu_dev_put(vdev);
	return 0;
}

static int vfu_do_take(struct sk_buff *skb, struct genl_info *info)
{
	struct file *file = vfu_cmd_channel(info);
	struct vfu_dev *vdev;
	int err;

	if (IS_ERR(file))
		return PTR_ERR(file);
	vdev = vfu_cmd_find(info);
	err = PTR_ERR_OR_ZERO(vdev);
	if (!err) {
		err = vfu_channel_take(file, vdev, info->extack);
		vfu_dev_put(vdev);
	}
	fput(file);
	return err;
}

static int vfu_do_resume(struct sk_buff *skb, struct genl_info *info)
{
	struct file *file = vfu_cmd_channel(info);
	struct vfu_dev_params *params;
	int err;

	if (IS_ERR(file))
		return PTR_ERR(file);
	params = vfu_params_get();
	err = PTR_ERR_OR_ZERO(params);
	if (err)
		goto out_file;
	err = GENL_REQ_ATTR_CHECK(info, VFIOUSER_A_CONFIG) ? -EINVAL : 0;
	if (!err)
		err = vfu_parse_params(info, params);
	if (!err)
		err = vfu_channel_resume(file, params, info->extack);
	vfu_params_put(params);
out_file:
	fput(file);
	return err;
}

static int vfu_do_set(struct sk_buff *skb, struct genl_info *info)
{
	struct nlattr *timeout = info->attrs[VFIOUSER_A_TIMEOUT_MS];
	struct nlattr *grace = info->attrs[VFIOUSER_A_GRACE_MS];
	struct vfu_dev *vdev = vfu_cmd_find(info);
	int err = 0, idx;

	if (IS_ERR(vdev))
		return PTR_ERR(vdev);
	if (grace)
		err = vfu_recover_set_grace(vdev, nla_get_u32(grace), info->extack);
	if (!err && timeout) {
		WRITE_ONCE(vdev->timeout_ms, nla_get_u32(timeout));
		idx = vfu_enter(vdev);
		vfu_ring_timeout(READ_ONCE(vdev->ring), nla_get_u32(timeout));
		vfu_leave(vdev, idx);
	}
	vfu_dev_put(vdev);
	return err;
}

/* ---- answers and events ---- */

static int vfu_put_stats(struct sk_buff *msg, struct vfu_dev *vdev)
{
	struct nlattr *nest = nla_nest_start(msg, VFIOUSER_A_STATS);
	int i;

	BUILD_BUG_ON(VFIOUSER_STAT_A_MAX - VFIOUSER_STAT_A_PAD != VFU_NR_STATS);
	if (!nest)
		return -EMSGSIZE;
	for (i = 0; i < VFU_NR_STATS; i++)
		if (nla_put_u64_64bit(msg, VFIOUSER_STAT_A_PAD + 1 + i, vfu_dev_stat(vdev, i),
				      VFIOUSER_STAT_A_PAD))
			return -EMSGSIZE;
	nla_nest_end(msg, nest);
	return 0;
}

/* vfu_irq.lock held, for what another helper may replace. */
static int vfu_put_dev(struct sk_buff *msg, struct vfu_dev *vdev)
{
	u32 left;

	lockdep_assert_held(&vdev->irq.lock);
	if (nla_put_u32(msg, VFIOUSER_A_ABI, VFIOUSER_ABI_VERSION) ||
	    nla_put_u32(msg, VFIOUSER_A_ID, vdev->id) ||
	    nla_put_string(msg, VFIOUSER_A_NAME, vdev->name) ||
	    nla_put_string(msg, VFIOUSER_A_SOCKET, vdev->socket) ||
	    nla_put_u32(msg, VFIOUSER_A_STATE, READ_ONCE(vdev->state)) ||
	    nla_put_u32(msg, VFIOUSER_A_PID, vdev->pid) ||
	    nla_put_u32(msg, VFIOUSER_A_FLAGS, vdev->flags) ||
	    nla_put_u32(msg, VFIOUSER_A_TIMEOUT_MS, vdev->timeout_ms) ||
	    nla_put_u32(msg, VFIOUSER_A_GRACE_MS, vdev->grace_ms) ||
	    nla_put_u32(msg, VFIOUSER_A_DOMAIN, vdev->place.slot->domain) ||
	    nla_put_u32(msg, VFIOUSER_A_BUS, 0) ||
	    nla_put_u32(msg, VFIOUSER_A_DEVFN, PCI_DEVFN(0, vdev->place.fn)))
		return -EMSGSIZE;
	if (vdev->recover.options[0] &&
	    nla_put_string(msg, VFIOUSER_A_OPTIONS, vdev->recover.options))
		return -EMSGSIZE;
	if (vdev->recover.keeper && pid_has_task(vdev->recover.keeper, PIDTYPE_TGID) &&
	    nla_put_u32(msg, VFIOUSER_A_KEEPER_PID, pid_vnr(vdev->recover.keeper)))
		return -EMSGSIZE;
	if (vfu_recover_left_ms(vdev, &left) &&
	    nla_put_u32(msg, VFIOUSER_A_GRACE_LEFT_MS, left))
		return -EMSGSIZE;
	if (vfu_held(vdev) && nla_put_u64_64bit(msg, VFIOUSER_A_TOKEN,
						READ_ONCE(vdev->recover.token), VFIOUSER_A_PAD))
		return -EMSGSIZE;
	if (vfu_slot_multi(vdev->place.slot) &&
	    nla_put_string(msg, VFIOUSER_A_SLOT, vdev->place.slot->name))
		return -EMSGSIZE;
	return 0;
}

static int vfu_put_path(struct sk_buff *msg, struct vfu_dev *vdev, enum vfiouser_path path)
{
	struct nlattr *nest;
	struct vfu_path sum;
	u64 count = 0;
	int i;

	vfu_dev_path(vdev, path, &sum);
	for (i = 0; i < VFIOUSER_HIST_BUCKETS; i++)
		count += sum.hist[i];
	nest = nla_nest_start(msg, VFIOUSER_A_PATH);
	if (!nest || nla_put_u32(msg, VFIOUSER_PATH_A_INDEX, path) ||
	    nla_put_u64_64bit(msg, VFIOUSER_PATH_A_COUNT, count, VFIOUSER_PATH_A_PAD) ||
	    nla_put_u64_64bit(msg, VFIOUSER_PATH_A_BYTES, sum.bytes, VFIOUSER_PATH_A_PAD) ||
	    nla_put_u64_64bit(msg, VFIOUSER_PATH_A_NS, sum.ns, VFIOUSER_PATH_A_PAD) ||
	    nla_put_u64_64bit(msg, VFIOUSER_PATH_A_MAX_NS, sum.max_ns, VFIOUSER_PATH_A_PAD) ||
	    nla_put_64bit(msg, VFIOUSER_PATH_A_HIST, sizeof(sum.hist), sum.hist,
			  VFIOUSER_PATH_A_PAD))
		return -EMSGSIZE;
	nla_nest_end(msg, nest);
	return 0;
}

static int vfu_put_region(struct sk_buff *msg, struct vfu_dev *vdev, u32 index)
{
	const struct vfu_region *region = &vdev->regions[index];
	struct nlattr *nest;
	u64 direct = 0;
	u32 i;

	if (!region->size)
		return 0;
	for (i = 0; i < region->nr_direct; i++)
		direct += (u64)region->direct[i].pinned.nr << PAGE_SHIFT;
	nest = nla_nest_start(msg, VFIOUSER_A_REGION);
	if (!nest || nla_put_u32(msg, VFIOUSER_REGION_A_INDEX, index) ||
	    nla_put_u64_64bit(msg, VFIOUSER_REGION_A_SIZE, region->size, VFIOUSER_REGION_A_PAD) ||
	    nla_put_u32(msg, VFIOUSER_REGION_A_FLAGS, region->flags) ||
	    nla_put_u64_64bit(msg, VFIOUSER_REGION_A_DIRECT, direct, VFIOUSER_REGION_A_PAD))
		return -EMSGSIZE;
	nla_nest_end(msg, nest);
	return 0;
}

static int vfu_put_irq(struct sk_buff *msg, struct vfu_dev *vdev, u32 index)
{
	const struct vfu_irqs *irqs = &vdev->irq.index[index];
	struct nlattr *nest;

	if (!irqs->count)
		return 0;
	nest = nla_nest_start(msg, VFIOUSER_A_IRQ);
	if (!nest || nla_put_u32(msg, VFIOUSER_IRQ_A_INDEX, index) ||
	    nla_put_u32(msg, VFIOUSER_IRQ_A_COUNT, irqs->count) ||
	    nla_put_u32(msg, VFIOUSER_IRQ_A_FLAGS, irqs->flags) ||
	    nla_put_u32(msg, VFIOUSER_IRQ_A_ARMED, READ_ONCE(irqs->armed)))
		return -EMSGSIZE;
	nla_nest_end(msg, nest);
	return 0;
}

/* What is told only of a device that was asked for by name or id. */
static int vfu_put_details(struct sk_buff *msg, struct vfu_dev *vdev)
{
	pid_t server;
	u64 iova, size, coherent;
	struct nlattr *nest;
	u32 i;

	rcu_read_lock();
	server = pid_vnr(READ_ONCE(vdev->serving.server));
	rcu_read_unlock();
	if (server && nla_put_u32(msg, VFIOUSER_A_SERVER_PID, server))
		return -EMSGSIZE;
	vfu_pool_info(vdev->pool, &iova, &size, &coherent);
	if (size) {
		nest = nla_nest_start(msg, VFIOUSER_A_POOL);
		if (!nest ||
		    nla_put_u64_64bit(msg, VFIOUSER_POOL_A_SIZE, size, VFIOUSER_POOL_A_PAD) ||
		    nla_put_u64_64bit(msg, VFIOUSER_POOL_A_IOVA, iova, VFIOUSER_POOL_A_PAD) ||
		    nla_put_u64_64bit(msg, VFIOUSER_POOL_A_COHERENT, coherent,
				      VFIOUSER_POOL_A_PAD))
			return -EMSGSIZE;
		nla_nest_end(msg, nest);
	}
	for (i = 0; i < VFU_NR_REGIONS; i++)
		if (vfu_put_region(msg, vdev, i))
			return -EMSGSIZE;
	for (i = 0; i < VFIO_PCI_NUM_IRQS; i++)
		if (vfu_put_irq(msg, vdev, i))
			return -EMSGSIZE;
	for (i = 0; i < VFU_NR_PATHS; i++)
		if (vfu_put_path(msg, vdev, i))
			return -EMSGSIZE;
	return 0;
}

static int vfu_fill_dev(struct sk_buff *msg, struct vfu_dev *vdev, u32 portid, u32 seq, int flags,
			bool details)
{
	void *hdr = genlmsg_put(msg, portid, seq, &vfu_genl, flags, VFIOUSER_CMD_DEVICE_GET);
	bool err;

	if (!hdr)
		return -EMSGSIZE;
	/* For the server and its pages, which another helper may replace. */
	mutex_lock(&vdev->irq.lock);
	err = vfu_put_dev(msg, vdev) || vfu_put_stats(msg, vdev) ||
	      (details && vfu_put_details(msg, vdev));
	mutex_unlock(&vdev->irq.lock);
	if (err) {
		genlmsg_cancel(msg, hdr);
		return -EMSGSIZE;
	}
	genlmsg_end(msg, hdr);
	return 0;
}

static int vfu_do_get(struct sk_buff *skb, struct genl_info *info)
{
	struct vfu_dev *vdev = vfu_cmd_find(info);
	struct sk_buff *msg;
	int err;

	if (IS_ERR(vdev))
		return PTR_ERR(vdev);
	/* A histogram for each path, which a page does not hold. */
	msg = genlmsg_new(SZ_8K, GFP_KERNEL);
	err = msg ? vfu_fill_dev(msg, vdev, info->snd_portid, info->snd_seq, 0, true) : -ENOMEM;
	vfu_dev_put(vdev);
	if (err) {
		nlmsg_free(msg);
		return err;
	}
	return genlmsg_reply(msg, info);
}

/* Here and not in the dump: what that returns ends it, and looks like an empty list. */
static int vfu_start_get(struct netlink_callback *cb)
{
	return netlink_capable(cb->skb, CAP_SYS_ADMIN) ? 0 : -EPERM;
}

static int vfu_dump_get(struct sk_buff *skb, struct netlink_callback *cb)
{
	unsigned long id = cb->args[0];
	struct vfu_dev *vdev;
	int err;

	while ((vdev = vfu_dev_next(&id))) {
		err = vfu_fill_dev(skb, vdev, NETLINK_CB(cb->skb).portid, cb->nlh->nlmsg_seq,
				   NLM_F_MULTI, false);
		vfu_dev_put(vdev);
		if (err)
			break;
		id++;
	}
	cb->args[0] = id;
	return skb->len;
}

/* What an error of an event is about, in words; NULL where there are none. */
static const char *vfu_event_reason(const struct vfu_dev *vdev, enum vfiouser_event event, int err)
{
	if (event == VFIOUSER_EVENT_FAILED && vdev->refusal[0])
		return vdev->refusal;
	if (event == VFIOUSER_EVENT_RECOVERED && err)
		return "its driver had left it, and was bound anew";
	return NULL;
}

/**
 * vfu_netlink_event() - tell all listeners
 * @vdev: device
 * @event: what happened
 * @err: errno as VFIOUSER_A_ERROR has it, or 0
 *
 * Context: may sleep.
 */
void vfu_netlink_event(struct vfu_dev *vdev, enum vfiouser_event event, int err)
{
	struct sk_buff *msg = genlmsg_new(NLMSG_GOODSIZE, GFP_KERNEL);
	const char *reason = vfu_event_reason(vdev, event, err);
	bool failed;
	void *hdr;

	trace_vfiouser_event(vdev->id, event, err);
	if (!msg)
		return;
	hdr = genlmsg_put(msg, 0, 0, &vfu_genl, 0, VFIOUSER_CMD_EVENT);
	mutex_lock(&vdev->irq.lock);
	failed = !hdr || vfu_put_dev(msg, vdev);
	mutex_unlock(&vdev->irq.lock);
	if (failed || nla_put_u32(msg, VFIOUSER_A_EVENT, event) ||
	    nla_put_u32(msg, VFIOUSER_A_ERROR, err) ||
	    (reason && nla_put_string(msg, VFIOUSER_A_REASON, reason))) {
		nlmsg_free(msg);
		return;
	}
	genlmsg_end(msg, hdr);
	genlmsg_multicast(&vfu_genl, msg, 0, VFU_MCGRP_EVENTS, GFP_KERNEL);
}

/*
 * Who may: what a device is made of is memory and interrupts of the host's, so it takes
 * CAP_SYS_ADMIN in the initial user namespace, of the sender and of whoever opened the socket, as
 * to open a channel. genetlink's own flags ask for CAP_NET_ADMIN.
 */
static bool vfu_may(const struct sk_buff *skb)
{
	return netlink_capable(skb, CAP_SYS_ADMIN);
}

/*
 * Requests are served on the sender's way back to user space. genetlink calls us with a lock of its
 * own (cb_lock), which each family of the host waits for once somebody registers one, and memory
 * of gigabytes takes its time to be pinned. The answer is there when sendmsg() returns, as ever.
 */
struct vfu_request {
	struct callback_head work;
	int (*serve)(struct sk_buff *skb, struct genl_info *info);
	struct sk_buff *skb;
	struct sock *sk;
	struct genl_info info;
	struct netlink_ext_ack extack;
	struct nlattr *attrs[VFIOUSER_A_MAX + 1];
};

static void vfu_request_free(struct vfu_request *request)
{
	sock_put(request->sk);
	/* It has not been charged, and what frees a large one (netlink_skb_clone()) gives that back. */
	request->skb->sk = NULL;
	kfree_skb(request->skb);
	kfree(request);
}

static void vfu_request_serve(struct callback_head *work)
{
	struct vfu_request *request = container_of(work, struct vfu_request, work);
	struct nlmsghdr *nlh = nlmsg_hdr(request->skb);
	int err;

	/* Who exits has no memory any more and no files. */
	err = current->flags & PF_EXITING ? -EINTR :
					    request->serve(request->skb, &request->info);
	if (err || nlh->nlmsg_flags & NLM_F_ACK)
		netlink_ack(request->skb, nlh, err, &request->extack);
	vfu_request_free(request);
	/* What follows in here vfu_trap_exit() waits for. */
	module_put(THIS_MODULE);
}

static int vfu_request_defer(struct sk_buff *skb, struct genl_info *info,
			     int (*serve)(struct sk_buff *skb, struct genl_info *info))
{
	struct vfu_request *request;
	int err;

	if (!vfu_may(skb))
		return -EPERM;
	/* They have no way back. */
	if (current->flags & PF_KTHREAD)
		return -EOPNOTSUPP;
	request = kzalloc(sizeof(*request), GFP_KERNEL);
	if (!request)
		return -ENOMEM;
	/* What skb_clone() forgets: a large one's data is vmalloc()'s. */
	request->skb = netlink_skb_clone(skb, GFP_KERNEL);
	if (!request->skb) {
		kfree(request);
		return -ENOMEM;
	}
	/* Who answers: the kernel's socket of the sender's network, which the sender's keeps. */
	request->skb->sk = skb->sk;
	request->sk = NETLINK_CB(skb).sk;
	sock_hold(request->sk);
	request->serve = serve;
	/* Attributes lie in what the clones share, the array of them goes. */
	memcpy(request->attrs, info->attrs, sizeof(request->attrs));
	request->info = *info;
	request->info.attrs = request->attrs;
	request->info.extack = &request->extack;
	init_task_work(&request->work, vfu_request_serve);
	err = try_module_get(THIS_MODULE) ? 0 : -ENODEV;
	if (!err) {
		err = task_work_add(current, &request->work, TWA_RESUME);
		if (err)
			module_put(THIS_MODULE);
	}
	if (err) {
		vfu_request_free(request);
		return err;
	}
	/* Neither an answer nor an error yet. */
	return -EINTR;
}

#define VFU_CMD(name)								\
static int vfu_cmd_##name(struct sk_buff *skb, struct genl_info *info)		\
{										\
	return vfu_request_defer(skb, info, vfu_do_##name);			\
}

VFU_CMD(new)
VFU_CMD(del)
VFU_CMD(get)
VFU_CMD(take)
VFU_CMD(resume)
VFU_CMD(set)

static const struct genl_ops vfu_ops[] = {
	{
		.cmd	= VFIOUSER_CMD_DEVICE_NEW,
		.doit	= vfu_cmd_new,
	}, {
		.cmd	= VFIOUSER_CMD_DEVICE_DEL,
		.doit	= vfu_cmd_del,
	}, {
		.cmd	= VFIOUSER_CMD_DEVICE_GET,
		.doit	= vfu_cmd_get,
		.start	= vfu_start_get,
		.dumpit	= vfu_dump_get,
	}, {
		.cmd	= VFIOUSER_CMD_DEVICE_TAKE,
		.doit	= vfu_cmd_take,
	}, {
		.cmd	= VFIOUSER_CMD_DEVICE_RESUME,
		.doit	= vfu_cmd_resume,
	}, {
		.cmd	= VFIOUSER_CMD_DEVICE_SET,
		.doit	= vfu_cmd_set,
	},
};

static struct genl_family vfu_genl __ro_after_init = {
	.name		= VFIOUSER_GENL_NAME,
	.version	= VFIOUSER_GENL_VERSION,
	.maxattr	= VFIOUSER_A_MAX,
	.policy		= vfu_policy,
	.module		= THIS_MODULE,
	.parallel_ops	= true,
	.ops		= vfu_ops,
	.n_ops		= ARRAY_SIZE(vfu_ops),
	.resv_start_op	= VFIOUSER_CMD_DEVICE_NEW,
	.mcgrps		= vfu_mcgrps,
	.n_mcgrps	= ARRAY_SIZE(vfu_mcgrps),
};

/**
 * vfu_netlink_init() - register the family
 *
 * Return: 0 or a negative errno.
 */
int __init vfu_netlink_init(void)
{
	return genl_register_family(&vfu_genl);
}

/**
 * vfu_netlink_exit() - unregister the family
 */
void vfu_netlink_exit(void)
{
	genl_unregister_family(&vfu_genl);
}
