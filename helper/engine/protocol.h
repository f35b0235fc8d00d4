/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What travels on the wire, as the vfio-user protocol specification lays it out: host endianness,
 * no padding that is not named here. Structures are copied in and out with memcpy(), never aliased
 * onto received bytes.
 */
#ifndef VFUC_PROTOCOL_H
#define VFUC_PROTOCOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VFUC_VERSION_MAJOR	0
#define VFUC_VERSION_MINOR	1

enum vfuc_command {
	VFUC_CMD_VERSION = 1,
	VFUC_CMD_DMA_MAP = 2,
	VFUC_CMD_DMA_UNMAP = 3,
	VFUC_CMD_GET_INFO = 4,
	VFUC_CMD_GET_REGION_INFO = 5,
	VFUC_CMD_GET_REGION_IO_FDS = 6,
	VFUC_CMD_GET_IRQ_INFO = 7,
	VFUC_CMD_SET_IRQS = 8,
	VFUC_CMD_REGION_READ = 9,
	VFUC_CMD_REGION_WRITE = 10,
	VFUC_CMD_DMA_READ = 11,
	VFUC_CMD_DMA_WRITE = 12,
	VFUC_CMD_RESET = 13,
	VFUC_CMD_REGION_WRITE_MULTI = 15,
};

#define VFUC_TYPE_MASK		0xfu
#define VFUC_TYPE_COMMAND	0x0u
#define VFUC_TYPE_REPLY		0x1u
#define VFUC_FLAG_NO_REPLY	0x10u
#define VFUC_FLAG_ERROR		0x20u

struct vfuc_header {
	uint16_t id;
	uint16_t command;
	uint32_t size;		/* of the whole message, header included */
	uint32_t flags;
	uint32_t error;
};

/* VERSION, both directions; a NUL-terminated JSON text may follow. */
struct vfuc_wire_version {
	uint16_t major;
	uint16_t minor;
};

struct vfuc_wire_dma_map {
	uint32_t argsz;
	uint32_t flags;
	uint64_t offset;
	uint64_t address;
	uint64_t size;
};

struct vfuc_wire_dma_unmap {
	uint32_t argsz;
	uint32_t flags;
	uint64_t address;
	uint64_t size;
};

struct vfuc_wire_info {
	uint32_t argsz;
	uint32_t flags;
	uint32_t num_regions;
	uint32_t num_irqs;
};

struct vfuc_wire_region_info {
	uint32_t argsz;
	uint32_t flags;
	uint32_t index;
	uint32_t cap_offset;	/* from the start of this structure */
	uint64_t size;
	uint64_t offset;
};

struct vfuc_wire_cap {
	uint16_t id;
	uint16_t version;
	uint32_t next;		/* from the start of the region info, 0: the last */
};

/* Behind a vfuc_wire_cap of VFIO_REGION_INFO_CAP_SPARSE_MMAP; areas follow. */
struct vfuc_wire_sparse {
	uint32_t nr_areas;
	uint32_t reserved;
};

struct vfuc_wire_area {
	uint64_t offset;
	uint64_t size;
};

/* Behind a vfuc_wire_cap of VFIO_REGION_INFO_CAP_TYPE. */
struct vfuc_wire_type {
	uint32_t type;
	uint32_t subtype;
};

struct vfuc_wire_io_fds {
	uint32_t argsz;
	uint32_t flags;
	uint32_t index;
	uint32_t count;
};

/*
 * A sub-region as the specification has it. libvfio-user's, for all of its types, is 8 bytes
 * longer: the index of the shadow memory's descriptor where the padding is, then the offset into
 * that memory where the value is, and the value last. The distance of the entries tells the two
 * apart.
 */
struct vfuc_wire_io_fd {
	uint64_t offset;
	uint64_t size;
	uint32_t fd_index;
	uint32_t type;
	uint32_t flags;
	uint32_t padding;
	uint64_t value;		/* datamatch or user_data */
};

struct vfuc_wire_io_fd_shadow {
	uint64_t offset;
	uint64_t size;
	uint32_t fd_index;
	uint32_t type;
	uint32_t flags;
	uint32_t shadow_fd_index;
	uint64_t shadow_offset;
	uint64_t value;
};

struct vfuc_wire_irq_info {
	uint32_t argsz;
	uint32_t flags;
	uint32_t index;
	uint32_t count;
};

struct vfuc_wire_irq_set {
	uint32_t argsz;
	uint32_t flags;
	uint32_t index;
	uint32_t start;
	uint32_t count;
};

/* REGION_READ and REGION_WRITE, both directions; data follows where there is any. */
struct vfuc_wire_access {
	uint64_t offset;
	uint32_t region;
	uint32_t count;
};

/* One write of REGION_WRITE_MULTI; the message starts with their number, 64 bits. */
struct vfuc_wire_multi_write {
	uint64_t offset;
	uint32_t region;
	uint32_t count;
	uint8_t data[8];
};

/*
 * DMA_READ and DMA_WRITE, both directions. The specification's table gives the count in the reply
 * to DMA_WRITE 4 bytes; every implementation sends 8, as in all other places.
 */
struct vfuc_wire_dma {
	uint64_t address;
	uint64_t count;
};

#define VFUC_WIRE(type, bytes) _Static_assert(sizeof(struct type) == (bytes), #type " on the wire")
#define VFUC_WIRE_AT(type, field, at) \
	_Static_assert(offsetof(struct type, field) == (at), #type "." #field " on the wire")

VFUC_WIRE(vfuc_header, 16);
VFUC_WIRE_AT(vfuc_header, size, 4);
VFUC_WIRE_AT(vfuc_header, flags, 8);
VFUC_WIRE_AT(vfuc_header, error, 12);
VFUC_WIRE(vfuc_wire_version, 4);
VFUC_WIRE(vfuc_wire_dma_map, 32);
VFUC_WIRE_AT(vfuc_wire_dma_map, address, 16);
VFUC_WIRE(vfuc_wire_dma_unmap, 24);
VFUC_WIRE(vfuc_wire_info, 16);
VFUC_WIRE(vfuc_wire_region_info, 32);
VFUC_WIRE_AT(vfuc_wire_region_info, size, 16);
VFUC_WIRE(vfuc_wire_cap, 8);
VFUC_WIRE(vfuc_wire_sparse, 8);
VFUC_WIRE(vfuc_wire_area, 16);
VFUC_WIRE(vfuc_wire_type, 8);
VFUC_WIRE(vfuc_wire_io_fds, 16);
VFUC_WIRE(vfuc_wire_io_fd, 40);
VFUC_WIRE_AT(vfuc_wire_io_fd, value, 32);
VFUC_WIRE(vfuc_wire_io_fd_shadow, 48);
VFUC_WIRE_AT(vfuc_wire_io_fd_shadow, shadow_offset, 32);
VFUC_WIRE(vfuc_wire_irq_info, 16);
VFUC_WIRE(vfuc_wire_irq_set, 20);
VFUC_WIRE(vfuc_wire_access, 16);
VFUC_WIRE(vfuc_wire_multi_write, 24);
VFUC_WIRE(vfuc_wire_dma, 16);

/**
 * vfuc_command_name() - the specification's name of a command, for messages
 * @command: number
 *
 * Return: a constant string, "unknown command" where it has none.
 */
const char *vfuc_command_name(unsigned int command);

/**
 * vfuc_is_reply() - is a message the answer to one of ours?
 * @header: of the message
 *
 * Servers exist whose error replies are of the type "command": the Error flag, which no command
 * has, tells. Those of the commands that go the other way, DMA_READ and DMA_WRITE, are not
 * meant.
 *
 * Return: true if it is.
 */
bool vfuc_is_reply(const struct vfuc_header *header);

#endif
