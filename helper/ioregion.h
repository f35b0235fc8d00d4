/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ioregionfds: parts of BARs whose accesses go over a socket of their own.
 */
#ifndef HELPER_IOREGION_H
#define HELPER_IOREGION_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/client.h"

struct device;

#define IOREGION_MAX_FDS	32
#define IOREGION_WIRE_BYTES	32	/* a command or a response */

/**
 * struct ioregion_fd - one socket, which parts may share; one command at a time
 * @fd: the device's (struct device_region)
 * @dead: not used any more; the accesses go by message
 * @full: takes no command now
 * @busy: a response is outstanding
 * @cookie: of that request
 * @count: bytes that it reads; 0 for a write
 * @deadline: when the server counts as dead, milliseconds
 * @got: bytes of the response received
 * @response: the response
 */
struct ioregion_fd {
	int fd;
	bool dead;
	bool full;
	bool busy;
	uint64_t cookie;
	uint32_t count;
	int64_t deadline;
	size_t got;
	uint8_t response[IOREGION_WIRE_BYTES];
};

/**
 * struct ioregion - one part
 * @region: VFIO_PCI_*_REGION_INDEX
 * @offset: bytes into the region
 * @size: bytes; 0: writes of any size that begin here
 * @posted: writes have no response
 * @user_data: the server's
 * @fd: index in struct ioregions
 */
struct ioregion {
	uint32_t region;
	uint64_t offset;
	uint64_t size;
	bool posted;
	uint64_t user_data;
	unsigned int fd;
};

/**
 * struct ioregions - all of a device; all zero is none
 * @done: runs for each request, when it is over
 * @opaque: for @done
 * @timeout_ms: for a response
 * @count: how many @parts
 * @parts: allocated
 * @nr_fds: how many @fds
 * @fds: sockets
 * @pending: how many of them are busy
 */
struct ioregions {
	vfuc_done_fn done;
	void *opaque;
	unsigned int timeout_ms;
	unsigned int count;
	struct ioregion *parts;
	unsigned int nr_fds;
	struct ioregion_fd fds[IOREGION_MAX_FDS];
	unsigned int pending;
};

/**
 * struct ioregion_access - a request of the ring
 * @region: VFIO_PCI_*_REGION_INDEX
 * @offset: bytes into it
 * @count: bytes
 * @data: what to write; NULL for a read
 * @cookie: for @done
 */
struct ioregion_access {
	uint32_t region;
	uint64_t offset;
	uint32_t count;
	const void *data;
	uint64_t cookie;
};

void ioregion_setup(struct ioregions *io, const struct device *dev);
int ioregion_submit(struct ioregions *io, const struct ioregion_access *access);
bool ioregion_process(struct ioregions *io);
int ioregion_poll_fds(const struct ioregions *io, struct pollfd *fds);
int ioregion_next_deadline_ms(const struct ioregions *io);
void ioregion_release(struct ioregions *io);

#endif
