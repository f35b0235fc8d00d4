/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The vfio-user wire format as the server side sees it: message header, command numbers and
 * payloads, written down from the protocol specification. Deliberately independent of the
 * helper's engine, so that a misreading there is not mirrored here. All fields are in host byte
 * order. Structures that equal Linux' own VFIO ones (region info, irq info, irq set) are taken
 * from <linux/vfio.h>.
 */
#ifndef VFUS_PROTO_H
#define VFUS_PROTO_H

#include <stdint.h>

#define VFIO_USER_MAJOR 0
#define VFIO_USER_MINOR 1

enum vfio_user_command {
	VFIO_USER_VERSION = 1,
	VFIO_USER_DMA_MAP = 2,
	VFIO_USER_DMA_UNMAP = 3,
	VFIO_USER_DEVICE_GET_INFO = 4,
	VFIO_USER_DEVICE_GET_REGION_INFO = 5,
	VFIO_USER_DEVICE_GET_REGION_IO_FDS = 6,
	VFIO_USER_DEVICE_GET_IRQ_INFO = 7,
	VFIO_USER_DEVICE_SET_IRQS = 8,
	VFIO_USER_REGION_READ = 9,
	VFIO_USER_REGION_WRITE = 10,
	VFIO_USER_DMA_READ = 11,
	VFIO_USER_DMA_WRITE = 12,
	VFIO_USER_DEVICE_RESET = 13,
	VFIO_USER_REGION_WRITE_MULTI = 15,
};

#define VFIO_USER_F_TYPE_MASK	0xfu
#define VFIO_USER_F_COMMAND	0x0u
#define VFIO_USER_F_REPLY	0x1u
#define VFIO_USER_F_NO_REPLY	0x10u
#define VFIO_USER_F_ERROR	0x20u

/* What the specification lets a peer assume where nothing was negotiated. */
#define VFIO_USER_DEF_MAX_FDS	1u
#define VFIO_USER_DEF_MAX_XFER	1048576u
#define VFIO_USER_DEF_PGSIZES	4096u
#define VFIO_USER_DEF_MAX_MAPS	65535u

struct vfio_user_hdr {
	uint16_t id;
	uint16_t cmd;
	uint32_t size;		/* whole message, this header included */
	uint32_t flags;
	uint32_t error;
};

struct vfio_user_version {
	uint16_t major;
	uint16_t minor;
	/* NUL-terminated JSON follows, or nothing */
};

#define VFIO_USER_DMA_READABLE	0x1u
#define VFIO_USER_DMA_WRITEABLE	0x2u

struct vfio_user_dma_map {
	uint32_t argsz;
	uint32_t flags;
	uint64_t offset;
	uint64_t addr;
	uint64_t size;
};

struct vfio_user_dma_unmap {
	uint32_t argsz;
	uint32_t flags;
	uint64_t addr;
	uint64_t size;
};

struct vfio_user_device_info {
	uint32_t argsz;
	uint32_t flags;
	uint32_t num_regions;
	uint32_t num_irqs;
};

struct vfio_user_region_access {
	uint64_t offset;
	uint32_t region;
	uint32_t count;
	/* data follows */
};

struct vfio_user_dma_access {
	uint64_t addr;
	uint64_t count;
	/* data follows */
};

struct vfio_user_write_one {
	uint64_t offset;
	uint32_t region;
	uint32_t count;
	uint8_t data[8];
};

struct vfio_user_region_io_fds {
	uint32_t argsz;
	uint32_t flags;
	uint32_t index;
	uint32_t count;
	/* sub-regions follow */
};

enum vfio_user_io_fd_type {
	VFIO_USER_IO_FD_IOEVENTFD = 0,
	VFIO_USER_IO_FD_IOREGIONFD = 1,
	VFIO_USER_IO_FD_SHADOW = 2,	/* libvfio-user's extension */
};

/* Specification layout for types 0 and 1: 40 bytes. */
struct vfio_user_io_fd {
	uint64_t offset;
	uint64_t size;
	uint32_t fd_index;
	uint32_t type;
	uint32_t flags;
	uint32_t padding;
	uint64_t datamatch;	/* user_data for an ioregionfd */
};

/* libvfio-user's layout for type 2: 48 bytes, a second descriptor where the padding was. */
struct vfio_user_io_fd_shadow {
	uint64_t offset;
	uint64_t size;
	uint32_t fd_index;
	uint32_t type;
	uint32_t flags;
	uint32_t shadow_fd_index;
	uint64_t shadow_offset;
	uint64_t datamatch;
};

#endif
