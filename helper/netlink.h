/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The kernel module's generic netlink family (uapi/linux/vfiouser.h).
 */
#ifndef HELPER_NETLINK_H
#define HELPER_NETLINK_H

#include <stdbool.h>
#include <stdint.h>

#include <linux/vfiouser.h>

#include "parse.h"

struct netlink;
struct device;
struct pool;

/**
 * struct netlink_new - DEVICE_NEW
 * @name: or NULL for one of the kernel's choice
 * @socket: of the server, for information
 * @channel: open /dev/vfiouser
 * @flags: VFIOUSER_DEV_F_*
 * @timeout_ms: bound of a sleeping wait
 * @server: process id of the server, or 0 if it is not on this host
 * @device: regions and interrupts
 * @pool: DMA memory
 */
struct netlink_new {
	const char *name;
	const char *socket;
	int channel;
	uint32_t flags;
	uint32_t timeout_ms;
	uint32_t server;
	const struct device *device;
	const struct pool *pool;
};

/**
 * struct netlink_device - one device as DEVICE_GET tells it
 * @id: key
 * @name: unique
 * @socket: of the server, "" if not known
 * @state: enum vfiouser_state
 * @pid: of the helper
 * @has_bdf: it is on a bus
 * @bdf: its address
 * @stats: by enum vfiouser_stat_attr
 */
struct netlink_device {
	uint32_t id;
	char name[VFIOUSER_NAME_MAX];
	char socket[VFIOUSER_SOCKET_MAX];
	uint32_t state;
	uint32_t pid;
	bool has_bdf;
	struct bdf bdf;
	uint64_t stats[VFIOUSER_STAT_A_MAX + 1];
};

/**
 * struct netlink_event - one message of the events group
 * @event: enum vfiouser_event
 * @error: errno of VFIOUSER_EVENT_FAILED, positive
 * @device: whose; only what the event carries is filled in
 */
struct netlink_event {
	uint32_t event;
	uint32_t error;
	struct netlink_device device;
};

int netlink_open(struct netlink **out);
void netlink_close(struct netlink *nl);
const char *netlink_error(const struct netlink *nl);

int netlink_device_new(struct netlink *nl, const struct netlink_new *params, uint32_t *id);
int netlink_device_del(struct netlink *nl, uint32_t id);
int netlink_device_get(struct netlink *nl, uint32_t id, struct netlink_device *device);
int netlink_device_list(struct netlink *nl, struct netlink_device **devices, size_t *count);

int netlink_subscribe(struct netlink *nl);
int netlink_event_fd(const struct netlink *nl);
int netlink_event(struct netlink *nl, struct netlink_event *event);

#endif
