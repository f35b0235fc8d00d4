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
 * @slot: for several functions, or NULL for one of its own
 * @function: as which one of @slot
 * @socket: of the server, for information
 * @channel: open /dev/vfiouser
 * @flags: VFIOUSER_DEV_F_*
 * @timeout_ms: bound of a sleeping wait
 * @grace_ms: how long to wait for another helper, 0: not at all
 * @server: process id of the server, or 0 if it is not on this host
 * @keeper: process that starts helpers for it, or 0
 * @options: of the helper, for the next one, or NULL
 * @token: of the state that the server keeps for a next one, or 0
 * @device: regions and interrupts
 * @pool: DMA memory, or NULL with VFIOUSER_DEV_F_PASSTHROUGH
 */
struct netlink_new {
	const char *name;
	const char *slot;
	uint32_t function;
	const char *socket;
	int channel;
	uint32_t flags;
	uint32_t timeout_ms;
	uint32_t grace_ms;
	uint32_t server;
	uint32_t keeper;
	const char *options;
	uint64_t token;
	const struct device *device;
	const struct pool *pool;
};

/**
 * struct netlink_device - one device as DEVICE_GET tells it
 * @id: key
 * @name: unique
 * @socket: of the server, "" if not known
 * @slot: name of its slot, "" for one of its own
 * @options: of its helper, as "recover" takes them up
 * @keeper: process that starts helpers for it, 0 without one
 * @waits: for another helper, for @grace_left_ms yet
 * @grace_left_ms: what is left of @grace_ms
 * @token: it waits for one that goes on with the state of this name, and its driver does not know;
 *	else 0
 * @state: enum vfiouser_state
 * @pid: of the helper, 0 without one
 * @flags: VFIOUSER_DEV_F_*
 * @timeout_ms: bound of a sleeping wait
 * @grace_ms: how long the device waits for another helper
 * @pool_size: bytes of DMA memory, 0 without any
 * @pool_iova: bus address of its first byte
 * @has_bdf: it is on a bus
 * @bdf: its address
 * @stats: by enum vfiouser_stat_attr
 */
struct netlink_device {
	uint32_t id;
	char name[VFIOUSER_NAME_MAX];
	char socket[VFIOUSER_SOCKET_MAX];
	char slot[VFIOUSER_NAME_MAX];
	char options[VFIOUSER_OPTIONS_MAX];
	uint32_t keeper;
	bool waits;
	uint32_t grace_left_ms;
	uint64_t token;
	uint32_t state;
	uint32_t pid;
	uint32_t flags;
	uint32_t timeout_ms;
	uint32_t grace_ms;
	uint64_t pool_size;
	uint64_t pool_iova;
	bool has_bdf;
	struct bdf bdf;
	uint64_t stats[VFIOUSER_STAT_A_MAX + 1];
};

#define NETLINK_REGIONS	9	/* VFIO_PCI_NUM_REGIONS */
#define NETLINK_IRQS	5	/* VFIO_PCI_NUM_IRQS */
#define NETLINK_PATHS	(VFIOUSER_PATH_DMA_SYNC + 1)

/**
 * struct netlink_path - what has gone one way through the module
 * @count: how many
 * @bytes: that they moved
 * @ns: time that they took, all together
 * @max_ns: the slowest
 * @hist: how many took how long: bucket n from 2^n ns on
 */
struct netlink_path {
	uint64_t count;
	uint64_t bytes;
	uint64_t ns;
	uint64_t max_ns;
	uint64_t hist[VFIOUSER_HIST_BUCKETS];
};

/**
 * struct netlink_details - what is told of one device only
 * @timeout_ms: bound of a sleeping wait
 * @server: process id of the server, 0 if it is not known
 * @pool_size: DMA memory, bytes
 * @pool_iova: bus address of its first byte
 * @pool_coherent: bytes of it that drivers have allocated
 * @regions: by VFIO_PCI_*_REGION_INDEX; @size 0: none; @direct: bytes without a trap
 * @irqs: by VFIO_PCI_*_IRQ_INDEX; @count 0: none; @armed: in use
 * @paths: by enum vfiouser_path
 */
struct netlink_details {
	uint32_t timeout_ms;
	uint32_t server;
	uint64_t pool_size;
	uint64_t pool_iova;
	uint64_t pool_coherent;
	struct {
		uint64_t size;
		uint64_t direct;
		uint32_t flags;
	} regions[NETLINK_REGIONS];
	struct {
		uint32_t count;
		uint32_t armed;
		uint32_t flags;
	} irqs[NETLINK_IRQS];
	struct netlink_path paths[NETLINK_PATHS];
};

/**
 * struct netlink_event - one message of the events group
 * @event: enum vfiouser_event
 * @error: errno of VFIOUSER_EVENT_FAILED, positive; of _LOST where nobody had asked for its removal
 * @reason: why, in words, or ""
 * @device: whose; only what the event carries is filled in
 */
struct netlink_event {
	uint32_t event;
	uint32_t error;
	char reason[VFIOUSER_REASON_MAX];
	struct netlink_device device;
};

int netlink_open(struct netlink **out);
void netlink_close(struct netlink *nl);
const char *netlink_error(const struct netlink *nl);

int netlink_device_new(struct netlink *nl, const struct netlink_new *params, uint32_t *id);
int netlink_device_take(struct netlink *nl, uint32_t id, int channel);
int netlink_device_resume(struct netlink *nl, const struct netlink_new *params,
			  const void *config);
int netlink_device_set(struct netlink *nl, uint32_t id, const uint32_t *timeout_ms,
		       const uint32_t *grace_ms);
int netlink_device_del(struct netlink *nl, uint32_t id);
int netlink_device_get(struct netlink *nl, uint32_t id, struct netlink_device *device);
int netlink_device_details(struct netlink *nl, uint32_t id, struct netlink_device *device,
			   struct netlink_details *details);
int netlink_device_list(struct netlink *nl, struct netlink_device **devices, size_t *count);

int netlink_subscribe(struct netlink *nl);
int netlink_event_fd(const struct netlink *nl);
int netlink_event(struct netlink *nl, struct netlink_event *event);
const char *netlink_event_name(uint32_t event);

#endif
