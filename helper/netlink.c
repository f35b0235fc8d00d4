// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel module's generic netlink family, over libnl-3.
 *
 * Owns: a socket for commands, and one for events so that they cannot get between a command and its
 * answer. Each struct netlink belongs to one thread of one process.
 *
 * Errors are the kernel's errno, negative (libnl's own codes would lose it); netlink_error() has
 * the kernel's words for it where it gave some.
 */
#include <errno.h>
#include <linux/netlink.h>
#include <netlink/errno.h>
#include <netlink/genl/ctrl.h>
#include <netlink/genl/genl.h>
#include <netlink/netlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "array.h"
#include "device.h"
#include "netlink.h"
#include "pool.h"

/* Holds DEVICE_NEW with as many areas as the kernel takes. */
#define MESSAGE_BYTES	65536

/**
 * struct netlink - connection to the family
 * @sk: for commands
 * @events: for events, or NULL
 * @family: number of the family
 * @group: number of the events group
 * @err: of the command under way, negative
 * @text: what the kernel said about it
 */
struct netlink {
	struct nl_sock *sk;
	struct nl_sock *events;
	int family;
	int group;
	int err;
	char text[256];
};

/* libnl's codes, for failures that are not an answer of the kernel. */
static int own_error(struct netlink *nl, int nle)
{
	snprintf(nl->text, sizeof(nl->text), "netlink: %s", nl_geterror(nle));
	switch (-nle) {
	case NLE_NOMEM:
		return -ENOMEM;
	case NLE_PERM:
	case NLE_NOACCESS:
		return -EPERM;
	case NLE_OBJ_NOTFOUND:
		return -ENOENT;
	}
	return -EIO;
}

static struct nl_sock *open_socket(struct netlink *nl, int *err)
{
	struct nl_sock *sk;
	int on = 1;
	int nle;

	sk = nl_socket_alloc();
	if (!sk) {
		*err = -ENOMEM;
		return NULL;
	}
	nle = genl_connect(sk);
	if (nle) {
		*err = own_error(nl, nle);
		nl_socket_free(sk);
		return NULL;
	}
	/* The kernel's words, without our own message in front of them; old kernels do without. */
	setsockopt(nl_socket_get_fd(sk), SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on));
	setsockopt(nl_socket_get_fd(sk), SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on));
	nl_socket_set_msg_buf_size(sk, MESSAGE_BYTES);
	return sk;
}

/**
 * netlink_open() - connect to the family
 * @out: result
 *
 * Context: may sleep.
 * Return: 0 or a negative errno; -ENOENT: the module is not loaded.
 */
int netlink_open(struct netlink **out)
{
	struct netlink *nl;
	int err = 0;

	nl = calloc(1, sizeof(*nl));
	if (!nl)
		return -ENOMEM;
	nl->sk = open_socket(nl, &err);
	if (nl->sk) {
		nl->family = genl_ctrl_resolve(nl->sk, VFIOUSER_GENL_NAME);
		if (nl->family < 0)
			err = own_error(nl, nl->family);
	}
	if (!err) {
		nl->group = genl_ctrl_resolve_grp(nl->sk, VFIOUSER_GENL_NAME,
						  VFIOUSER_MCGRP_EVENTS);
		if (nl->group < 0)
			err = own_error(nl, nl->group);
	}
	if (err) {
		netlink_close(nl);
		return err;
	}
	*out = nl;
	return 0;
}

/**
 * netlink_close() - disconnect
 * @nl: from netlink_open(), or NULL
 *
 * Context: may sleep.
 */
void netlink_close(struct netlink *nl)
{
	if (!nl)
		return;
	nl_socket_free(nl->events);
	nl_socket_free(nl->sk);
	free(nl);
}

/**
 * netlink_error() - what the last failed call failed of
 * @nl: connection
 *
 * Context: any.
 * Return: text without newline: the kernel's own words where it gave some, else the errno's.
 */
const char *netlink_error(const struct netlink *nl)
{
	return *nl->text ? nl->text : strerror(-nl->err);
}

static int on_error(struct sockaddr_nl *from, struct nlmsgerr *e, void *arg)
{
	/* libnl passes the payload of the message whose header is right before it. */
	struct nlmsghdr *hdr = (struct nlmsghdr *)((char *)e - NLMSG_HDRLEN);
	struct nlattr *tb[NLMSGERR_ATTR_MAX + 1];
	struct netlink *nl = arg;
	size_t skip = sizeof(*e);

	(void)from;
	nl->err = e->error ? e->error : -EIO;
	if (!(hdr->nlmsg_flags & NLM_F_ACK_TLVS))
		return NL_STOP;
	if (!(hdr->nlmsg_flags & NLM_F_CAPPED))
		skip += NLMSG_ALIGN(e->msg.nlmsg_len) - sizeof(e->msg);
	if (skip > (size_t)nlmsg_datalen(hdr))
		return NL_STOP;
	if (nla_parse(tb, NLMSGERR_ATTR_MAX, (struct nlattr *)((char *)e + skip),
		      nlmsg_datalen(hdr) - skip, NULL))
		return NL_STOP;
	if (tb[NLMSGERR_ATTR_MSG])
		snprintf(nl->text, sizeof(nl->text), "%.*s", nla_len(tb[NLMSGERR_ATTR_MSG]),
			 (const char *)nla_data(tb[NLMSGERR_ATTR_MSG]));
	return NL_STOP;
}

static int on_end(struct nl_msg *msg, void *arg)
{
	struct netlink *nl = arg;

	(void)msg;
	nl->err = 0;
	return NL_STOP;
}

/* Sends msg and frees it; valid sees each message of the answer. */
static int transact(struct netlink *nl, struct nl_msg *msg, nl_recvmsg_msg_cb_t valid, void *arg)
{
	struct nl_cb *cb;
	int nle;

	*nl->text = '\0';
	cb = nl_cb_alloc(NL_CB_DEFAULT);
	if (!cb) {
		nlmsg_free(msg);
		nl->err = -ENOMEM;
		return nl->err;
	}
	nl_cb_err(cb, NL_CB_CUSTOM, on_error, nl);
	nl_cb_set(cb, NL_CB_FINISH, NL_CB_CUSTOM, on_end, nl);
	nl_cb_set(cb, NL_CB_ACK, NL_CB_CUSTOM, on_end, nl);
	if (valid)
		nl_cb_set(cb, NL_CB_VALID, NL_CB_CUSTOM, valid, arg);

	nle = nl_send_auto(nl->sk, msg);
	nl->err = 1;			/* no end seen yet */
	while (nle >= 0 && nl->err == 1)
		nle = nl_recvmsgs(nl->sk, cb);
	/* An error message of the kernel makes nl_recvmsgs() fail, too: its errno is better. */
	if (nl->err == 1)
		nl->err = own_error(nl, nle);
	nl_cb_put(cb);
	nlmsg_free(msg);
	return nl->err;
}

static struct nl_msg *command(struct netlink *nl, uint8_t cmd, int flags)
{
	struct nl_msg *msg;

	msg = nlmsg_alloc_size(MESSAGE_BYTES);
	if (msg && !genlmsg_put(msg, NL_AUTO_PORT, NL_AUTO_SEQ, nl->family, 0, flags, cmd,
				VFIOUSER_GENL_VERSION)) {
		nlmsg_free(msg);
		msg = NULL;
	}
	if (!msg) {
		nl->err = -ENOMEM;
		*nl->text = '\0';
	}
	return msg;
}

/* A string attribute whose length nobody vouches for. */
static void get_string(char *to, size_t size, const struct nlattr *attr)
{
	if (attr)
		snprintf(to, size, "%.*s", nla_len(attr), (const char *)nla_data(attr));
}

static void get_u32(uint32_t *to, const struct nlattr *attr)
{
	if (attr && nla_len(attr) >= (int)sizeof(*to))
		*to = nla_get_u32(attr);
}

static void get_u64(uint64_t *to, const struct nlattr *attr)
{
	if (attr && nla_len(attr) >= (int)sizeof(*to))
		*to = nla_get_u64(attr);
}

static void get_device(struct netlink_device *d, struct nlattr **tb)
{
	struct nlattr *stats[VFIOUSER_STAT_A_MAX + 1], *pool[VFIOUSER_POOL_A_MAX + 1];
	uint32_t bus = 0, devfn = 0;
	int i;

	memset(d, 0, sizeof(*d));
	get_u32(&d->id, tb[VFIOUSER_A_ID]);
	get_string(d->name, sizeof(d->name), tb[VFIOUSER_A_NAME]);
	get_string(d->socket, sizeof(d->socket), tb[VFIOUSER_A_SOCKET]);
	get_string(d->slot, sizeof(d->slot), tb[VFIOUSER_A_SLOT]);
	get_string(d->options, sizeof(d->options), tb[VFIOUSER_A_OPTIONS]);
	get_u32(&d->keeper, tb[VFIOUSER_A_KEEPER_PID]);
	d->waits = tb[VFIOUSER_A_GRACE_LEFT_MS];
	get_u32(&d->grace_left_ms, tb[VFIOUSER_A_GRACE_LEFT_MS]);
	get_u64(&d->token, tb[VFIOUSER_A_TOKEN]);
	get_u32(&d->state, tb[VFIOUSER_A_STATE]);
	get_u32(&d->pid, tb[VFIOUSER_A_PID]);
	get_u32(&d->flags, tb[VFIOUSER_A_FLAGS]);
	get_u32(&d->timeout_ms, tb[VFIOUSER_A_TIMEOUT_MS]);
	get_u32(&d->grace_ms, tb[VFIOUSER_A_GRACE_MS]);
	if (tb[VFIOUSER_A_POOL] &&
	    !nla_parse_nested(pool, VFIOUSER_POOL_A_MAX, tb[VFIOUSER_A_POOL], NULL)) {
		get_u64(&d->pool_size, pool[VFIOUSER_POOL_A_SIZE]);
		get_u64(&d->pool_iova, pool[VFIOUSER_POOL_A_IOVA]);
	}
	get_u32(&d->bdf.domain, tb[VFIOUSER_A_DOMAIN]);
	get_u32(&bus, tb[VFIOUSER_A_BUS]);
	get_u32(&devfn, tb[VFIOUSER_A_DEVFN]);
	d->bdf.bus = bus;
	d->bdf.devfn = devfn;
	d->has_bdf = tb[VFIOUSER_A_DOMAIN] && tb[VFIOUSER_A_BUS] && tb[VFIOUSER_A_DEVFN];
	if (!tb[VFIOUSER_A_STATS] ||
	    nla_parse_nested(stats, VFIOUSER_STAT_A_MAX, tb[VFIOUSER_A_STATS], NULL))
		return;
	for (i = 0; i <= VFIOUSER_STAT_A_MAX; i++)
		get_u64(&d->stats[i], stats[i]);
}

static int on_id(struct nl_msg *msg, void *arg)
{
	struct nlattr *tb[VFIOUSER_A_MAX + 1];
	uint32_t *id = arg;

	if (!genlmsg_parse(nlmsg_hdr(msg), 0, tb, VFIOUSER_A_MAX, NULL))
		get_u32(id, tb[VFIOUSER_A_ID]);
	return NL_OK;
}

static int put_regions(struct nl_msg *msg, const struct device *dev)
{
	const struct device_region *region;
	struct nlattr *nest, *area;
	unsigned int i, j;

	for (i = 0; i < VFIO_PCI_NUM_REGIONS; i++) {
		region = &dev->regions[i];
		if (!region->size)
			continue;
		nest = nla_nest_start(msg, VFIOUSER_A_REGION | NLA_F_NESTED);
		if (!nest || nla_put_u32(msg, VFIOUSER_REGION_A_INDEX, i) ||
		    nla_put_u64(msg, VFIOUSER_REGION_A_SIZE, region->size) ||
		    nla_put_u32(msg, VFIOUSER_REGION_A_FLAGS, region->flags))
			return -EMSGSIZE;
		for (j = 0; j < region->nr_areas; j++) {
			area = nla_nest_start(msg, VFIOUSER_REGION_A_AREA | NLA_F_NESTED);
			if (!area ||
			    nla_put_u64(msg, VFIOUSER_AREA_A_OFFSET, region->areas[j].offset) ||
			    nla_put_u64(msg, VFIOUSER_AREA_A_SIZE, region->areas[j].size) ||
			    nla_put_u64(msg, VFIOUSER_AREA_A_ADDR,
					(uintptr_t)region->areas[j].addr))
				return -EMSGSIZE;
			nla_nest_end(msg, area);
		}
		nla_nest_end(msg, nest);
	}
	return 0;
}

static int put_irqs(struct nl_msg *msg, const struct device *dev)
{
	struct nlattr *nest;
	unsigned int i;

	for (i = 0; i < VFIO_PCI_NUM_IRQS; i++) {
		if (!dev->irqs[i].count)
			continue;
		nest = nla_nest_start(msg, VFIOUSER_A_IRQ | NLA_F_NESTED);
		if (!nest || nla_put_u32(msg, VFIOUSER_IRQ_A_INDEX, i) ||
		    nla_put_u32(msg, VFIOUSER_IRQ_A_COUNT, dev->irqs[i].count) ||
		    nla_put_u32(msg, VFIOUSER_IRQ_A_FLAGS, dev->irqs[i].flags))
			return -EMSGSIZE;
		nla_nest_end(msg, nest);
	}
	return 0;
}

static int put_channel(struct nl_msg *msg, int channel)
{
	if (nla_put_u32(msg, VFIOUSER_A_ABI, VFIOUSER_ABI_VERSION) ||
	    nla_put_u32(msg, VFIOUSER_A_CHANNEL_FD, channel))
		return -EMSGSIZE;
	return 0;
}

/* What a server offers, and through which channel. */
static int put_server(struct nl_msg *msg, const struct netlink_new *p)
{
	if (put_channel(msg, p->channel) || nla_put_u32(msg, VFIOUSER_A_FLAGS, p->flags))
		return -EMSGSIZE;
	if (p->server && nla_put_u32(msg, VFIOUSER_A_SERVER_PID, p->server))
		return -EMSGSIZE;
	if (p->keeper && nla_put_u32(msg, VFIOUSER_A_KEEPER_PID, p->keeper))
		return -EMSGSIZE;
	if (p->options && nla_put_string(msg, VFIOUSER_A_OPTIONS, p->options))
		return -EMSGSIZE;
	if (p->token && nla_put_u64(msg, VFIOUSER_A_TOKEN, p->token))
		return -EMSGSIZE;
	return put_regions(msg, p->device) || put_irqs(msg, p->device) ? -EMSGSIZE : 0;
}

static int put_new(struct nl_msg *msg, const struct netlink_new *p)
{
	struct nlattr *nest;

	if (put_server(msg, p) || nla_put_u32(msg, VFIOUSER_A_TIMEOUT_MS, p->timeout_ms) ||
	    nla_put_u32(msg, VFIOUSER_A_GRACE_MS, p->grace_ms) ||
	    nla_put_string(msg, VFIOUSER_A_SOCKET, p->socket))
		return -EMSGSIZE;
	if (p->name && nla_put_string(msg, VFIOUSER_A_NAME, p->name))
		return -EMSGSIZE;
	if (p->slot && (nla_put_string(msg, VFIOUSER_A_SLOT, p->slot) ||
			nla_put_u32(msg, VFIOUSER_A_FUNCTION, p->function)))
		return -EMSGSIZE;
	if (!p->pool)
		return 0;
	nest = nla_nest_start(msg, VFIOUSER_A_POOL | NLA_F_NESTED);
	if (!nest || nla_put_u64(msg, VFIOUSER_POOL_A_ADDR, (uintptr_t)p->pool->addr) ||
	    nla_put_u32(msg, VFIOUSER_POOL_A_FD, p->pool->fd) ||
	    nla_put_u64(msg, VFIOUSER_POOL_A_SIZE, p->pool->size) ||
	    nla_put_u64(msg, VFIOUSER_POOL_A_IOVA, p->pool->iova))
		return -EMSGSIZE;
	nla_nest_end(msg, nest);
	return 0;
}

static int too_many_areas(struct netlink *nl, struct nl_msg *msg)
{
	nlmsg_free(msg);
	nl->err = -EMSGSIZE;
	snprintf(nl->text, sizeof(nl->text), "the device has too many mappable areas");
	return nl->err;
}

/**
 * netlink_device_new() - create a device over a channel
 * @nl: connection
 * @params: what to create
 * @id: result: its key
 *
 * The ring has to be served from then on, or the scan of the bus hangs until its timeout.
 *
 * Context: may sleep.
 * Return: 0 or a negative errno, for netlink_error().
 */
int netlink_device_new(struct netlink *nl, const struct netlink_new *params, uint32_t *id)
{
	struct nl_msg *msg;

	msg = command(nl, VFIOUSER_CMD_DEVICE_NEW, NLM_F_REQUEST | NLM_F_ACK);
	if (!msg)
		return nl->err;
	if (put_new(msg, params))
		return too_many_areas(nl, msg);
	return transact(nl, msg, on_id, id);
}

/**
 * netlink_device_take() - make a channel the owner of a device that exists
 * @nl: connection
 * @id: its key
 * @channel: open /dev/vfiouser without a device
 *
 * Context: may sleep.
 * Return: 0 or a negative errno, for netlink_error().
 */
int netlink_device_take(struct netlink *nl, uint32_t id, int channel)
{
	struct nl_msg *msg;

	msg = command(nl, VFIOUSER_CMD_DEVICE_TAKE, NLM_F_REQUEST | NLM_F_ACK);
	if (!msg)
		return nl->err;
	put_channel(msg, channel);
	nla_put_u32(msg, VFIOUSER_A_ID, id);
	return transact(nl, msg, NULL, NULL);
}

/**
 * netlink_device_resume() - there is a server for a device that was taken
 * @nl: connection
 * @params: what it offers; @name, @socket, @timeout_ms, @grace_ms and @pool are not used
 * @config: the first 256 bytes of its config space
 *
 * The ring has to be served from then on, as after netlink_device_new().
 *
 * Context: may sleep.
 * Return: 0 or a negative errno, for netlink_error(): -EAGAIN: later; -EREMCHG: this is another
 * device; -ESTALE: with the token that it had, but its driver has been told.
 */
int netlink_device_resume(struct netlink *nl, const struct netlink_new *params,
			  const void *config)
{
	struct nl_msg *msg;

	msg = command(nl, VFIOUSER_CMD_DEVICE_RESUME, NLM_F_REQUEST | NLM_F_ACK);
	if (!msg)
		return nl->err;
	if (put_server(msg, params) || nla_put(msg, VFIOUSER_A_CONFIG, 256, config))
		return too_many_areas(nl, msg);
	return transact(nl, msg, NULL, NULL);
}

/**
 * netlink_device_set() - change what can be changed of a device that is in use
 * @nl: connection
 * @id: its key
 * @timeout_ms: bound of a sleeping wait, or NULL
 * @grace_ms: how long to wait for another helper, or NULL
 *
 * Context: may sleep.
 * Return: 0 or a negative errno, for netlink_error().
 */
int netlink_device_set(struct netlink *nl, uint32_t id, const uint32_t *timeout_ms,
		       const uint32_t *grace_ms)
{
	struct nl_msg *msg = command(nl, VFIOUSER_CMD_DEVICE_SET, NLM_F_REQUEST | NLM_F_ACK);

	if (!msg)
		return nl->err;
	if (nla_put_u32(msg, VFIOUSER_A_ID, id) ||
	    (timeout_ms && nla_put_u32(msg, VFIOUSER_A_TIMEOUT_MS, *timeout_ms)) ||
	    (grace_ms && nla_put_u32(msg, VFIOUSER_A_GRACE_MS, *grace_ms)))
		return too_many_areas(nl, msg);
	return transact(nl, msg, NULL, NULL);
}

/**
 * netlink_device_del() - begin the removal of a device
 * @nl: connection
 * @id: its key
 *
 * Context: may sleep, but does not wait for the removal: VFIOUSER_EVENT_REMOVED follows.
 * Return: 0 or a negative errno, for netlink_error().
 */
int netlink_device_del(struct netlink *nl, uint32_t id)
{
	struct nl_msg *msg;

	msg = command(nl, VFIOUSER_CMD_DEVICE_DEL, NLM_F_REQUEST | NLM_F_ACK);
	if (!msg)
		return nl->err;
	nla_put_u32(msg, VFIOUSER_A_ID, id);
	return transact(nl, msg, NULL, NULL);
}

static void get_path(struct netlink_details *d, struct nlattr *nest)
{
	struct nlattr *tb[VFIOUSER_PATH_A_MAX + 1];
	struct netlink_path *path;
	uint32_t index = UINT32_MAX;
	size_t len;

	if (nla_parse_nested(tb, VFIOUSER_PATH_A_MAX, nest, NULL))
		return;
	get_u32(&index, tb[VFIOUSER_PATH_A_INDEX]);
	/* A newer module may have more. */
	if (index >= NETLINK_PATHS)
		return;
	path = &d->paths[index];
	get_u64(&path->count, tb[VFIOUSER_PATH_A_COUNT]);
	get_u64(&path->bytes, tb[VFIOUSER_PATH_A_BYTES]);
	get_u64(&path->ns, tb[VFIOUSER_PATH_A_NS]);
	get_u64(&path->max_ns, tb[VFIOUSER_PATH_A_MAX_NS]);
	if (!tb[VFIOUSER_PATH_A_HIST])
		return;
	len = nla_len(tb[VFIOUSER_PATH_A_HIST]);
	if (len > sizeof(path->hist))
		len = sizeof(path->hist);
	memcpy(path->hist, nla_data(tb[VFIOUSER_PATH_A_HIST]), len);
}

static void get_region(struct netlink_details *d, struct nlattr *nest)
{
	struct nlattr *tb[VFIOUSER_REGION_A_MAX + 1];
	uint32_t index = UINT32_MAX;

	if (nla_parse_nested(tb, VFIOUSER_REGION_A_MAX, nest, NULL))
		return;
	get_u32(&index, tb[VFIOUSER_REGION_A_INDEX]);
	if (index >= NETLINK_REGIONS)
		return;
	get_u64(&d->regions[index].size, tb[VFIOUSER_REGION_A_SIZE]);
	get_u64(&d->regions[index].direct, tb[VFIOUSER_REGION_A_DIRECT]);
	get_u32(&d->regions[index].flags, tb[VFIOUSER_REGION_A_FLAGS]);
}

static void get_irq(struct netlink_details *d, struct nlattr *nest)
{
	struct nlattr *tb[VFIOUSER_IRQ_A_MAX + 1];
	uint32_t index = UINT32_MAX;

	if (nla_parse_nested(tb, VFIOUSER_IRQ_A_MAX, nest, NULL))
		return;
	get_u32(&index, tb[VFIOUSER_IRQ_A_INDEX]);
	if (index >= NETLINK_IRQS)
		return;
	get_u32(&d->irqs[index].count, tb[VFIOUSER_IRQ_A_COUNT]);
	get_u32(&d->irqs[index].armed, tb[VFIOUSER_IRQ_A_ARMED]);
	get_u32(&d->irqs[index].flags, tb[VFIOUSER_IRQ_A_FLAGS]);
}

static void get_pool(struct netlink_details *d, struct nlattr *nest)
{
	struct nlattr *tb[VFIOUSER_POOL_A_MAX + 1];

	if (nla_parse_nested(tb, VFIOUSER_POOL_A_MAX, nest, NULL))
		return;
	get_u64(&d->pool_size, tb[VFIOUSER_POOL_A_SIZE]);
	get_u64(&d->pool_iova, tb[VFIOUSER_POOL_A_IOVA]);
	get_u64(&d->pool_coherent, tb[VFIOUSER_POOL_A_COHERENT]);
}

struct list {
	struct netlink_device *devices;
	size_t count;
	bool failed;
};

static int on_device(struct nl_msg *msg, void *arg)
{
	struct nlattr *tb[VFIOUSER_A_MAX + 1];
	struct netlink_device *more;
	struct list *list = arg;

	if (genlmsg_parse(nlmsg_hdr(msg), 0, tb, VFIOUSER_A_MAX, NULL))
		return NL_SKIP;
	more = reallocarray(list->devices, list->count + 1, sizeof(*more));
	if (!more) {
		list->failed = true;
		return NL_SKIP;
	}
	list->devices = more;
	get_device(&list->devices[list->count++], tb);
	return NL_OK;
}

/**
 * netlink_device_get() - one device
 * @nl: connection
 * @id: its key
 * @device: result
 *
 * Context: may sleep.
 * Return: 0 or a negative errno, -ENODEV if there is none (any more).
 */
int netlink_device_get(struct netlink *nl, uint32_t id, struct netlink_device *device)
{
	struct list list = { 0 };
	struct nl_msg *msg;
	int err;

	msg = command(nl, VFIOUSER_CMD_DEVICE_GET, NLM_F_REQUEST | NLM_F_ACK);
	if (!msg)
		return nl->err;
	nla_put_u32(msg, VFIOUSER_A_ID, id);
	err = transact(nl, msg, on_device, &list);
	if (!err && list.count)
		*device = list.devices[0];
	else if (!err || err == -ENOENT)
		err = -ENODEV;
	free(list.devices);
	nl->err = err;
	return err;
}

struct one {
	struct netlink_device *device;
	struct netlink_details *details;
	bool found;
};

static int on_details(struct nl_msg *msg, void *arg)
{
	struct nlattr *tb[VFIOUSER_A_MAX + 1];
	struct one *one = arg;
	struct genlmsghdr *hdr;
	struct nlattr *attr;
	int rem;

	if (genlmsg_parse(nlmsg_hdr(msg), 0, tb, VFIOUSER_A_MAX, NULL))
		return NL_SKIP;
	one->found = true;
	get_device(one->device, tb);
	get_u32(&one->details->timeout_ms, tb[VFIOUSER_A_TIMEOUT_MS]);
	get_u32(&one->details->server, tb[VFIOUSER_A_SERVER_PID]);
	if (tb[VFIOUSER_A_POOL])
		get_pool(one->details, tb[VFIOUSER_A_POOL]);
	/* Those that come more than once are not in the table. */
	hdr = genlmsg_hdr(nlmsg_hdr(msg));
	nla_for_each_attr(attr, genlmsg_attrdata(hdr, 0), genlmsg_attrlen(hdr, 0), rem) {
		if (nla_type(attr) == VFIOUSER_A_REGION)
			get_region(one->details, attr);
		else if (nla_type(attr) == VFIOUSER_A_IRQ)
			get_irq(one->details, attr);
		else if (nla_type(attr) == VFIOUSER_A_PATH)
			get_path(one->details, attr);
	}
	return NL_OK;
}

/**
 * netlink_device_details() - all there is to know about one device
 * @nl: connection
 * @id: its key
 * @device: result
 * @details: result
 *
 * Context: may sleep.
 * Return: 0 or a negative errno, -ENODEV if there is none (any more).
 */
int netlink_device_details(struct netlink *nl, uint32_t id, struct netlink_device *device,
			   struct netlink_details *details)
{
	struct one one = { .device = device, .details = details };
	struct nl_msg *msg;
	int err;

	memset(details, 0, sizeof(*details));
	msg = command(nl, VFIOUSER_CMD_DEVICE_GET, NLM_F_REQUEST | NLM_F_ACK);
	if (!msg)
		return nl->err;
	nla_put_u32(msg, VFIOUSER_A_ID, id);
	err = transact(nl, msg, on_details, &one);
	if ((!err && !one.found) || err == -ENOENT)
		err = -ENODEV;
	nl->err = err;
	return err;
}

/**
 * netlink_device_list() - all devices
 * @nl: connection
 * @devices: result, for free()
 * @count: how many
 *
 * Context: may sleep.
 * Return: 0 or a negative errno, for netlink_error().
 */
int netlink_device_list(struct netlink *nl, struct netlink_device **devices, size_t *count)
{
	struct list list = { 0 };
	struct nl_msg *msg;
	int err;

	msg = command(nl, VFIOUSER_CMD_DEVICE_GET, NLM_F_REQUEST | NLM_F_DUMP);
	if (!msg)
		return nl->err;
	err = transact(nl, msg, on_device, &list);
	if (!err && list.failed) {
		err = -ENOMEM;
		nl->err = err;
	}
	if (err) {
		free(list.devices);
		return err;
	}
	*devices = list.devices;
	*count = list.count;
	return 0;
}

/**
 * netlink_subscribe() - receive events from now on
 * @nl: connection
 *
 * Context: may sleep.
 * Return: 0 or a negative errno, for netlink_error().
 */
int netlink_subscribe(struct netlink *nl)
{
	int nle;

	*nl->text = '\0';
	nl->err = 0;
	nl->events = open_socket(nl, &nl->err);
	if (!nl->events)
		return nl->err;
	nle = nl_socket_add_membership(nl->events, nl->group);
	if (!nle)
		nle = nl_socket_set_nonblocking(nl->events);
	if (nle) {
		nl->err = own_error(nl, nle);
		nl_socket_free(nl->events);
		nl->events = NULL;
	}
	return nl->err;
}

/**
 * netlink_event_fd() - what to poll() for events
 * @nl: subscribed
 *
 * Context: any.
 * Return: a descriptor that stays @nl's.
 */
int netlink_event_fd(const struct netlink *nl)
{
	return nl_socket_get_fd(nl->events);
}

/* Events answer no request: their sequence number is any. */
static int on_any(struct nl_msg *msg, void *arg)
{
	(void)msg;
	(void)arg;
	return NL_OK;
}

static int on_event(struct nl_msg *msg, void *arg)
{
	struct nlattr *tb[VFIOUSER_A_MAX + 1];
	struct netlink_event *event = arg;

	if (genlmsg_parse(nlmsg_hdr(msg), 0, tb, VFIOUSER_A_MAX, NULL))
		return NL_SKIP;
	get_device(&event->device, tb);
	get_u32(&event->event, tb[VFIOUSER_A_EVENT]);
	get_u32(&event->error, tb[VFIOUSER_A_ERROR]);
	event->reason[0] = '\0';
	if (tb[VFIOUSER_A_REASON])
		nla_strlcpy(event->reason, tb[VFIOUSER_A_REASON], sizeof(event->reason));
	return NL_STOP;
}

/**
 * netlink_event() - the next event that has come
 * @nl: subscribed
 * @event: result
 *
 * Context: does not sleep.
 * Return: 0, -EAGAIN if there is none now, -ENOBUFS if some were lost, or another negative errno.
 */
int netlink_event(struct netlink *nl, struct netlink_event *event)
{
	struct nl_cb *cb;
	int nle;

	memset(event, 0, sizeof(*event));
	cb = nl_cb_alloc(NL_CB_DEFAULT);
	if (!cb)
		return -ENOMEM;
	nl_cb_set(cb, NL_CB_VALID, NL_CB_CUSTOM, on_event, event);
	nl_cb_set(cb, NL_CB_SEQ_CHECK, NL_CB_CUSTOM, on_any, NULL);
	nle = nl_recvmsgs(nl->events, cb);
	nl_cb_put(cb);
	if (nle == -NLE_AGAIN)
		return -EAGAIN;
	/* libnl's word for ENOBUFS. */
	if (nle == -NLE_NOMEM)
		return -ENOBUFS;
	/* Events were lost or were not for us: whoever asks also looks with DEVICE_GET. */
	return nle < 0 || !event->event ? -EAGAIN : 0;
}

/**
 * netlink_event_name() - an event in words
 * @event: enum vfiouser_event
 *
 * Context: any.
 * Return: a constant string, "unknown" where it has none.
 */
const char *netlink_event_name(uint32_t event)
{
	static const char *const names[] = {
		[VFIOUSER_EVENT_ADDED] = "added",
		[VFIOUSER_EVENT_FAILED] = "failed",
		[VFIOUSER_EVENT_LOST] = "lost",
		[VFIOUSER_EVENT_REMOVED] = "removed",
		[VFIOUSER_EVENT_FROZEN] = "frozen",
		[VFIOUSER_EVENT_RECOVERED] = "recovered",
	};

	return event < ARRAY_SIZE(names) && names[event] ? names[event] : "unknown";
}
