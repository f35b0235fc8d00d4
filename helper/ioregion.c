// SPDX-License-Identifier: GPL-2.0-only
/*
 * ioregionfds: parts of BARs whose accesses go over a socket of their own instead of by message.
 *
 * The protocol is that of the third version of KVM's ioregionfd series, which the specification
 * refers to: a command of 32 bytes, and for a read or a write that is not posted a response of 32
 * bytes; one command at a time. While a response is outstanding, a further access over the same
 * socket is refused with -EAGAIN and stays in the ring, and with it all that follow.
 *
 * There is no order between these accesses and those that go by message, as with KVM.
 *
 * Owns: the state of the sockets; their descriptors are struct device_region's. A socket that fails
 * is not used again, the accesses then go by message.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "clock.h"
#include "device.h"
#include "ioregion.h"
#include "log.h"

#define FLAG_PIO	1u	/* KVM_IOREGION_PIO: I/O BARs are shown as memory */
#define FLAG_POSTED	2u	/* KVM_IOREGION_POSTED_WRITES */

#define CMD_READ	0
#define CMD_WRITE	1
#define CMD_RESP	0x10	/* in size_resp: a write wants a response */

/**
 * struct wire_cmd - a command
 * @cmd: CMD_READ, CMD_WRITE
 * @size_resp: binary logarithm of the access's size in bits 0 to 3, CMD_RESP
 * @padding: 0
 * @user_data: the server's, of the part
 * @offset: bytes into the part
 * @data: what to write
 */
struct wire_cmd {
	uint8_t cmd;
	uint8_t size_resp;
	uint8_t padding[6];
	uint64_t user_data;
	uint64_t offset;
	uint64_t data;
};

_Static_assert(sizeof(struct wire_cmd) == IOREGION_WIRE_BYTES, "an ioregionfd's command");

/* ---- set-up ---- */

/* Index of a descriptor's socket, or a negative errno. */
static int add_fd(struct ioregions *io, int fd)
{
	socklen_t len = sizeof(int);
	unsigned int i;
	int type;

	for (i = 0; i < io->nr_fds; i++)
		if (io->fds[i].fd == fd)
			return i;
	if (io->nr_fds == IOREGION_MAX_FDS)
		return -ENOSPC;
	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len))
		return -errno;
	if (type != SOCK_STREAM && type != SOCK_SEQPACKET)
		return -EPROTOTYPE;
	io->fds[io->nr_fds] = (struct ioregion_fd) { .fd = fd };
	return io->nr_fds++;
}

static bool overlaps(const struct ioregion *a, const struct ioregion *b)
{
	uint64_t a_size = a->size ? a->size : 1, b_size = b->size ? b->size : 1;

	return a->region == b->region && a->offset < b->offset + b_size &&
	       b->offset < a->offset + a_size;
}

static int add(struct ioregions *io, uint32_t region, const struct vfuc_io_fd *entry)
{
	struct ioregion part = {
		.region = region,
		.offset = entry->offset,
		.size = entry->size,
		.posted = entry->flags & FLAG_POSTED,
		.user_data = entry->value,
	};
	unsigned int i;
	int fd;

	if (entry->flags & ~(FLAG_PIO | FLAG_POSTED) || (!entry->size && !part.posted))
		return -EINVAL;
	for (i = 0; i < io->count; i++)
		if (overlaps(&io->parts[i], &part))
			return -EEXIST;
	fd = add_fd(io, entry->fd);
	if (fd < 0)
		return fd;
	part.fd = fd;
	io->parts[io->count++] = part;
	return 0;
}

static void add_region(struct ioregions *io, uint32_t index, const struct vfuc_region_io_fds *fds)
{
	unsigned int i, all = 0, failed = 0;
	const struct vfuc_io_fd *first = NULL;
	struct ioregion *parts;
	int err, first_err = 0;

	parts = reallocarray(io->parts, io->count + fds->count, sizeof(*parts));
	if (!parts)
		return;		/* the accesses go by message */
	io->parts = parts;
	for (i = 0; i < fds->count; i++) {
		if (fds->entries[i].type != VFUC_IO_FD_IOREGIONFD)
			continue;
		all++;
		err = add(io, index, &fds->entries[i]);
		if (!err || failed++)
			continue;
		first = &fds->entries[i];
		first_err = err;
	}
	if (failed)
		log_note("%s: %u of %u ioregionfds cannot be used (the first: offset 0x%" PRIx64 ", %s); their accesses go by message",
			 device_region_name(index), failed, all, first->offset,
			 strerror(-first_err));
	if (all)
		log_debug("%s: %u ioregionfds", device_region_name(index), all - failed);
}

/**
 * ioregion_setup() - find the parts of a device that have a socket of their own
 * @io: @done, @opaque and @timeout_ms set, all else zero; for ioregion_release()
 * @dev: after ioeventfd_query(); stays as long as @io
 *
 * Says in one line for each BAR what cannot be used. Specification: DEVICE_GET_REGION_IO_FDS.
 *
 * Context: set-up.
 */
void ioregion_setup(struct ioregions *io, const struct device *dev)
{
	uint32_t i;

	for (i = 0; i <= VFIO_PCI_BAR5_REGION_INDEX; i++)
		if (dev->regions[i].io_fds && dev->regions[i].io_fds->count)
			add_region(io, i, dev->regions[i].io_fds);
}

/**
 * ioregion_release() - free
 * @io: see ioregion_setup(); requests that are under way are forgotten
 */
void ioregion_release(struct ioregions *io)
{
	free(io->parts);
	memset(io, 0, sizeof(*io));
}

/* ---- running ---- */

static const struct ioregion *find(const struct ioregions *io, const struct ioregion_access *a)
{
	const struct ioregion *part;
	unsigned int i;

	for (i = 0; i < io->count; i++) {
		part = &io->parts[i];
		if (part->region != a->region || a->offset < part->offset)
			continue;
		if (!part->size && a->data && a->offset == part->offset)
			return part;
		if (a->offset - part->offset < part->size &&
		    a->count <= part->size - (a->offset - part->offset))
			return part;
	}
	return NULL;
}

/* The request that is under way is over, with or without a response. */
static void finish(struct ioregions *io, struct ioregion_fd *fd, int error)
{
	uint32_t count = error ? 0 : fd->count;

	fd->busy = false;
	io->pending--;
	io->done(io->opaque, fd->cookie, error, count ? fd->response : NULL, count);
}

static void fail(struct ioregions *io, struct ioregion_fd *fd, const char *why)
{
	log_note("an ioregionfd fails (%s); its accesses go by message", why);
	fd->dead = true;
	fd->full = false;
	if (fd->busy)
		finish(io, fd, -EIO);
}

static int send_cmd(struct ioregions *io, struct ioregion_fd *fd, const struct wire_cmd *cmd)
{
	ssize_t n = send(fd->fd, cmd, sizeof(*cmd), MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n == sizeof(*cmd)) {
		fd->full = false;
		return 0;
	}
	if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		fd->full = true;
		return -EAGAIN;
	}
	fail(io, fd, n < 0 ? strerror(errno) : "part of a command was sent");
	return -ENOENT;
}

/**
 * ioregion_submit() - send an access to its socket, if it has one
 * @io: see ioregion_setup()
 * @access: the request
 *
 * @io's done may run inside.
 *
 * Context: the serving thread; does not sleep.
 * Return: 0; -ENOENT: it is to go by message; -EAGAIN: not now, see ioregion_poll_fds().
 */
int ioregion_submit(struct ioregions *io, const struct ioregion_access *access)
{
	const struct ioregion *part = io->count ? find(io, access) : NULL;
	uint32_t count = access->count;
	struct wire_cmd cmd = { 0 };
	struct ioregion_fd *fd;
	bool response;
	int err;

	if (!part || !count || count > 8 || count & (count - 1))
		return -ENOENT;
	fd = &io->fds[part->fd];
	if (fd->dead)
		return -ENOENT;
	if (fd->busy)
		return -EAGAIN;
	response = !access->data || !part->posted;
	cmd.cmd = access->data ? CMD_WRITE : CMD_READ;
	cmd.size_resp = __builtin_ctz(count);
	if (access->data && response)
		cmd.size_resp |= CMD_RESP;
	cmd.user_data = part->user_data;
	cmd.offset = access->offset - part->offset;
	if (access->data)
		memcpy(&cmd.data, access->data, count);
	err = send_cmd(io, fd, &cmd);
	if (err)
		return err;
	fd->busy = true;
	fd->cookie = access->cookie;
	fd->count = access->data ? 0 : count;
	fd->got = 0;
	fd->deadline = now_ms() + io->timeout_ms;
	io->pending++;
	if (!response)
		finish(io, fd, 0);
	return 0;
}

static bool receive(struct ioregions *io, struct ioregion_fd *fd)
{
	ssize_t n;

	n = recv(fd->fd, fd->response + fd->got, sizeof(fd->response) - fd->got, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		if (now_ms() < fd->deadline)
			return false;
		finish(io, fd, -ETIMEDOUT);
		return true;
	}
	if (n <= 0) {
		fail(io, fd, n ? strerror(errno) : "closed by the server");
		return true;
	}
	fd->got += n;
	if (fd->got == sizeof(fd->response))
		finish(io, fd, 0);
	return true;
}

/**
 * ioregion_process() - take the responses that have come, and see which come too late
 * @io: see ioregion_setup(); its done runs inside
 *
 * Context: the serving thread; does not sleep.
 * Return: true if there was something.
 */
bool ioregion_process(struct ioregions *io)
{
	bool worked = false;
	unsigned int i;

	for (i = 0; io->pending && i < io->nr_fds; i++)
		if (io->fds[i].busy)
			worked |= receive(io, &io->fds[i]);
	return worked;
}

/**
 * ioregion_poll_fds() - what to wait for
 * @io: see ioregion_setup()
 * @fds: result, room for IOREGION_MAX_FDS
 *
 * Return: how many.
 */
int ioregion_poll_fds(const struct ioregions *io, struct pollfd *fds)
{
	unsigned int i;
	int n = 0;

	for (i = 0; i < io->nr_fds; i++) {
		const struct ioregion_fd *fd = &io->fds[i];

		if (fd->busy || fd->full)
			fds[n++] = (struct pollfd) {
				.fd = fd->fd,
				.events = fd->busy ? POLLIN : POLLOUT,
			};
	}
	return n;
}

/**
 * ioregion_next_deadline_ms() - when ioregion_process() must run
 * @io: see ioregion_setup()
 *
 * Return: milliseconds from now, or -1 for no limit.
 */
int ioregion_next_deadline_ms(const struct ioregions *io)
{
	int64_t left, next = -1;
	unsigned int i;

	for (i = 0; io->pending && i < io->nr_fds; i++) {
		if (!io->fds[i].busy)
			continue;
		left = io->fds[i].deadline - now_ms();
		if (left < 0)
			left = 0;
		if (next < 0 || left < next)
			next = left;
	}
	return (int)next;
}
