/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The vhost-user protocol's numbers and payloads, as far as this front end has to do with them.
 * All fields are in host byte order. What back ends do with them in practice, and why some of the
 * protocol is left out on purpose, is in Documentation/conformance.rst.
 */
#ifndef VHOST_PROTO_H
#define VHOST_PROTO_H

#include <stdint.h>

enum vu_request {
	VU_GET_FEATURES = 1,
	VU_SET_FEATURES = 2,
	VU_SET_OWNER = 3,
	VU_SET_MEM_TABLE = 5,
	VU_SET_VRING_NUM = 8,
	VU_SET_VRING_ADDR = 9,
	VU_SET_VRING_BASE = 10,
	VU_GET_VRING_BASE = 11,
	VU_SET_VRING_KICK = 12,
	VU_SET_VRING_CALL = 13,
	VU_SET_VRING_ERR = 14,
	VU_GET_PROTOCOL_FEATURES = 15,
	VU_SET_PROTOCOL_FEATURES = 16,
	VU_GET_QUEUE_NUM = 17,
	VU_SET_VRING_ENABLE = 18,
	VU_NET_SET_MTU = 20,
	VU_SET_BACKEND_REQ_FD = 21,
	VU_GET_CONFIG = 24,
	VU_SET_CONFIG = 25,
	VU_GET_INFLIGHT_FD = 31,
	VU_SET_INFLIGHT_FD = 32,
	VU_RESET_DEVICE = 34,
	VU_SET_STATUS = 39,
	VU_GET_STATUS = 40,
	VU_SET_DEVICE_STATE_FD = 42,
	VU_CHECK_DEVICE_STATE = 43,
};

/* What a back end may ask of us, on the socket of SET_BACKEND_REQ_FD. */
enum vu_backend_request {
	VU_BACKEND_CONFIG_CHANGE = 2,
};

#define VU_VERSION		0x1u
#define VU_VERSION_MASK		0x3u
#define VU_F_REPLY		0x4u
#define VU_F_NEED_REPLY		0x8u

/* feature bit of the vhost-user protocol itself, among those of the device */
#define VU_F_PROTOCOL_FEATURES	30

enum vu_protocol_feature {
	VU_PF_MQ = 0,
	VU_PF_REPLY_ACK = 3,
	VU_PF_MTU = 4,
	VU_PF_BACKEND_REQ = 5,
	VU_PF_CONFIG = 9,
	VU_PF_INFLIGHT_SHMFD = 12,
	VU_PF_RESET_DEVICE = 13,
	VU_PF_STATUS = 16,
	VU_PF_DEVICE_STATE = 19,
};

#define VU_MAX_REGIONS		8	/* of SET_MEM_TABLE */
#define VU_MAX_CONFIG		256	/* bytes that a back end has to take or give at once */
#define VU_MAX_FDS		VU_MAX_REGIONS

struct vu_hdr {
	uint32_t request;
	uint32_t flags;
	uint32_t size;			/* of the payload */
};

struct vu_vring_state {
	uint32_t index;
	uint32_t num;
};

struct vu_vring_addr {
	uint32_t index;
	uint32_t flags;
	uint64_t desc;
	uint64_t used;
	uint64_t avail;
	uint64_t log;
};

#define VU_VRING_NOFD		0x100u	/* of SET_VRING_KICK, _CALL, _ERR: no descriptor comes */

struct vu_mem_region {
	uint64_t guest_addr;
	uint64_t size;
	uint64_t user_addr;
	uint64_t mmap_offset;
};

struct vu_mem_table {
	uint32_t count;
	uint32_t padding;
	struct vu_mem_region regions[VU_MAX_REGIONS];
};

struct vu_config {
	uint32_t offset;
	uint32_t size;
	uint32_t flags;
	uint8_t data[VU_MAX_CONFIG];
};

#define VU_CONFIG_HEAD		12u	/* bytes of the above without data */

struct vu_inflight {
	uint64_t mmap_size;
	uint64_t mmap_offset;
	uint16_t queues;
	uint16_t queue_size;
	uint32_t padding;		/* not sent */
};

#define VU_INFLIGHT_LEN		20u

struct vu_device_state {
	uint32_t direction;		/* 0: save, 1: load */
	uint32_t phase;			/* 0: stopped */
};

/* The largest payload that we take; a config of the whole size. */
#define VU_MAX_PAYLOAD		(VU_CONFIG_HEAD + VU_MAX_CONFIG)

#endif
