// SPDX-License-Identifier: GPL-2.0-only
/*
 * A server that the fuzzer's input plays. Each byte that asks for one is an action: bytes as they
 * are, an honest reply to the oldest request, one with some bytes changed, a command of the
 * server's own, descriptors of many kinds with any of them, nothing for a while, a full socket, the
 * end. An honest reply is what lets the fuzzer get past ids, sizes and the order of set-up.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <linux/vfio.h>

#include "../../helper/engine/protocol.h"
#include "socket.h"

#define MAX_ASKED	128
#define MAX_MESSAGE	(256 * 1024)
#define MAX_SENT_FDS	253
#define FIRST_FD	600	/* above all that the fuzzer itself has open */

enum { FD_MEMORY, FD_EVENT, FD_SOCKET, FD_NULL, FD_DIRECTORY, FD_PIPE, NR_FDS };

struct asked {
	struct vfuc_header header;
	uint8_t payload[64];
};

void (*fuzz_socket_tick)(void);
bool fuzz_socket_active;

static struct input *in;
static int templates[NR_FDS];
static int peer = -1;
static uint64_t now_ms;

/* what the client sent: the stream is cut into messages, of which the heads are kept */
static struct asked asked[MAX_ASKED], current;
static unsigned int nr_asked;
static size_t have, skip;

/* what it will receive */
static uint8_t *rx;
static size_t rx_len, rx_at, rx_chunk;
static int rx_fds[MAX_SENT_FDS];
static unsigned int nr_rx_fds;
static bool closed;

static uint8_t full, partial;
static int highest_fd, lowest_free;

ssize_t __real_send(int fd, const void *data, size_t len, int flags);
ssize_t __real_sendmsg(int fd, const struct msghdr *msg, int flags);
ssize_t __real_recvmsg(int fd, struct msghdr *msg, int flags);
int __real_poll(struct pollfd *fds, nfds_t n, int timeout);
int __real_clock_gettime(clockid_t clock, struct timespec *ts);
ssize_t __wrap_send(int fd, const void *data, size_t len, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *msg, int flags);
ssize_t __wrap_recvmsg(int fd, struct msghdr *msg, int flags);
int __wrap_poll(struct pollfd *fds, nfds_t n, int timeout);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ts);

/* ---- what the client sends ---- */

static void take_sent(const uint8_t *data, size_t len)
{
	const size_t head = sizeof(current);
	size_t n, size;

	while (len) {
		if (skip) {
			n = skip < len ? skip : len;
			skip -= n;
			data += n;
			len -= n;
			continue;
		}
		size = head;
		if (have >= sizeof(current.header)) {
			/* The client's own messages are never broken. */
			FUZZ_CHECK(current.header.size >= sizeof(current.header));
			FUZZ_CHECK(current.header.size <= 64 * 1024 * 1024);
			if (current.header.size < size)
				size = current.header.size;
		} else {
			size = sizeof(current.header);
		}
		n = size - have < len ? size - have : len;
		memcpy((uint8_t *)&current + have, data, n);
		have += n;
		data += n;
		len -= n;
		if (have < sizeof(current.header) ||
		    (have < head && have < current.header.size))
			continue;
		skip = current.header.size - have;
		have = 0;
		if ((current.header.flags & VFUC_TYPE_MASK) == VFUC_TYPE_COMMAND &&
		    !(current.header.flags & VFUC_FLAG_NO_REPLY) && nr_asked < MAX_ASKED)
			asked[nr_asked++] = current;
		memset(&current, 0, sizeof(current));
	}
}

ssize_t __wrap_sendmsg(int fd, const struct msghdr *msg, int flags)
{
	size_t total = 0, n, i;

	if (!fuzz_socket_active)
		return __real_sendmsg(fd, msg, flags);
	if (closed) {
		errno = EPIPE;
		return -1;
	}
	if (full) {
		full--;
		errno = EAGAIN;
		return -1;
	}
	for (i = 0; i < msg->msg_iovlen; i++) {
		n = msg->msg_iov[i].iov_len;
		if (partial && total + n > partial)
			n = partial - total;
		take_sent(msg->msg_iov[i].iov_base, n);
		total += n;
	}
	partial = 0;
	return total;
}

ssize_t __wrap_send(int fd, const void *data, size_t len, int flags)
{
	struct iovec iov = { .iov_base = (void *)data, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (!fuzz_socket_active)
		return __real_send(fd, data, len, flags);
	return __wrap_sendmsg(fd, &msg, flags);
}

/* ---- what it receives ---- */

static void put(const void *data, size_t len)
{
	if (rx_len + len > MAX_MESSAGE)
		return;
	memcpy(rx + rx_len, data, len);
	rx_len += len;
}

static void put_fd(unsigned int kind)
{
	int fd;

	if (nr_rx_fds == MAX_SENT_FDS)
		return;
	fd = fcntl(templates[kind], F_DUPFD_CLOEXEC, FIRST_FD);
	if (fd >= 0)
		rx_fds[nr_rx_fds++] = fd;
}

static void put_fds(unsigned int n)
{
	unsigned int kind;

	while (n--) {
		kind = input_u8(in) % NR_FDS;
		put_fd(kind);
	}
}

static void put_header(const struct asked *to, size_t len)
{
	struct vfuc_header header = {
		.id = to->header.id,
		.command = to->header.command,
		.size = sizeof(header) + len,
		.flags = VFUC_TYPE_REPLY,
	};

	put(&header, sizeof(header));
}

static void put_version(const struct asked *to)
{
	static const char *const json[] = {
		"",
		"{\"capabilities\":{\"max_msg_fds\":8,\"max_data_xfer_size\":65536}}",
		"{\"capabilities\":{\"write_multiple\":true,\"pgsizes\":4096,\"max_dma_maps\":4}}",
		"{\"capabilities\":{\"twin_socket\":{\"supported\":true,\"fd_index\":0}}}",
	};
	const struct vfuc_wire_version version = { .minor = 1 };
	unsigned int which = input_u8(in) % 4;
	size_t len = which ? strlen(json[which]) + 1 : 0;

	put_header(to, sizeof(version) + len);
	put(&version, sizeof(version));
	put(json[which], len);
	if (which == 3)
		put_fd(FD_SOCKET);
}

static void put_region(const struct asked *to)
{
	struct {
		struct vfuc_wire_region_info info;
		struct vfuc_wire_cap type_cap;
		struct vfuc_wire_type type;
		struct vfuc_wire_cap cap;
		struct vfuc_wire_sparse sparse;
		struct vfuc_wire_area areas[2];
	} reply = {
		.info = {
			.argsz = sizeof(reply),
			.flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE |
				 VFIO_REGION_INFO_FLAG_MMAP | VFIO_REGION_INFO_FLAG_CAPS,
			.cap_offset = sizeof(reply.info),
			.size = 0x10000,
		},
		.type_cap = {
			.id = VFIO_REGION_INFO_CAP_TYPE,
			.version = 1,
			.next = sizeof(reply.info) + sizeof(reply.type_cap) + sizeof(reply.type),
		},
		.cap = { .id = VFIO_REGION_INFO_CAP_SPARSE_MMAP, .version = 1 },
		.sparse = { .nr_areas = 2 },
		.areas = { { 0x1000, 0x1000 }, { 0x8000, 0x4000 } },
	};

	memcpy(&reply.info.index, to->payload + 8, sizeof(reply.info.index));
	put_header(to, sizeof(reply));
	put(&reply, sizeof(reply));
	put_fds(1);
}

static void put_io_fds(const struct asked *to)
{
	struct {
		struct vfuc_wire_io_fds head;
		struct vfuc_wire_io_fd_shadow entries[2];
	} reply = {
		.head = { .argsz = sizeof(reply), .count = 2 },
		.entries = {
			{ .offset = 0x1000, .size = 4, .shadow_fd_index = 1, .type = 2 },
			{ .offset = 0x2000, .size = 8, .type = 1 },
		},
	};

	memcpy(&reply.head.index, to->payload + 8, sizeof(reply.head.index));
	put_header(to, sizeof(reply));
	put(&reply, sizeof(reply));
	put_fds(2);
}

static void put_read(const struct asked *to)
{
	struct vfuc_wire_access access;
	static const uint8_t zeroes[65536];

	memcpy(&access, to->payload, sizeof(access));
	if (access.count > sizeof(zeroes))
		access.count = sizeof(zeroes);
	put_header(to, sizeof(access) + access.count);
	put(&access, sizeof(access));
	put(zeroes, access.count);
}

static void put_reply(const struct asked *to)
{
	struct vfuc_wire_info info = { sizeof(info), VFIO_DEVICE_FLAGS_PCI, 9, 5 };
	struct vfuc_wire_irq_info irq = { sizeof(irq), VFIO_IRQ_INFO_EVENTFD, 0, 32 };

	switch (to->header.command) {
	case VFUC_CMD_VERSION:
		put_version(to);
		break;
	case VFUC_CMD_GET_INFO:
		put_header(to, sizeof(info));
		put(&info, sizeof(info));
		break;
	case VFUC_CMD_GET_REGION_INFO:
		put_region(to);
		break;
	case VFUC_CMD_GET_REGION_IO_FDS:
		put_io_fds(to);
		break;
	case VFUC_CMD_GET_IRQ_INFO:
		memcpy(&irq.index, to->payload + 8, sizeof(irq.index));
		put_header(to, sizeof(irq));
		put(&irq, sizeof(irq));
		break;
	case VFUC_CMD_REGION_READ:
		put_read(to);
		break;
	case VFUC_CMD_REGION_WRITE:
		put_header(to, sizeof(struct vfuc_wire_access));
		put(to->payload, sizeof(struct vfuc_wire_access));
		break;
	case VFUC_CMD_DMA_UNMAP:
		put_header(to, sizeof(struct vfuc_wire_dma_unmap));
		put(to->payload, sizeof(struct vfuc_wire_dma_unmap));
		break;
	default:
		put_header(to, 0);
	}
}

/* The oldest request, or an old one by the input's choice. */
static bool next_asked(struct asked *to, bool any)
{
	unsigned int which = any ? input_u8(in) : 0;

	if (!nr_asked)
		return false;
	which %= nr_asked;
	*to = asked[which];
	nr_asked--;
	memmove(asked + which, asked + which + 1, (nr_asked - which) * sizeof(*asked));
	return true;
}

static void put_raw_payload(struct vfuc_header *header)
{
	uint8_t bytes[1024];
	size_t len = input_u16(in) % (sizeof(bytes) + 1);

	input_bytes(in, bytes, len);
	header->size = sizeof(*header) + len;
	put(header, sizeof(*header));
	put(bytes, len);
}

static void put_command(void)
{
	struct vfuc_header header = {
		.id = input_u8(in),
		.command = VFUC_CMD_DMA_READ + input_u8(in) % 2,
		.flags = input_u8(in) & 0xf0,
	};
	struct vfuc_wire_dma dma = {
		.address = 0x100000 + input_u16(in),
		.count = input_u16(in),
	};
	static const uint8_t zeroes[65536];
	size_t data = header.command == VFUC_CMD_DMA_WRITE ? dma.count : 0;

	header.size = sizeof(header) + sizeof(dma) + data;
	put(&header, sizeof(header));
	put(&dma, sizeof(dma));
	put(zeroes, data);
}

/* Fills the receive buffer with what the next action says; false: nothing came of it. */
static bool act(void)
{
	uint8_t action = input_u8(in);
	struct vfuc_header header = { 0 };
	struct asked to;
	unsigned int n;
	size_t at;

	rx_len = 0;
	rx_at = 0;
	rx_chunk = 0;
	if (action & 0x80)
		put_fds(1 + (action >> 4) % 8);
	else if (action & 0x40)
		rx_chunk = 1 + input_u8(in);
	switch (action % 16) {
	case 0:
	case 1:
	case 2:
		if (next_asked(&to, action % 16 == 2))
			put_reply(&to);
		break;
	case 3:		/* honest but for a few bytes */
	case 4:
		if (!next_asked(&to, false))
			break;
		put_reply(&to);
		for (n = 1 + input_u8(in) % 4; n; n--) {
			at = input_u8(in);
			if (at < rx_len)
				rx[at] ^= input_u8(in);
		}
		break;
	case 5:		/* a reply with any payload and flags */
		if (!next_asked(&to, true))
			break;
		header.id = to.header.id;
		header.command = to.header.command;
		header.flags = VFUC_TYPE_REPLY;
		put_raw_payload(&header);
		break;
	case 6:		/* an error */
		if (!next_asked(&to, true))
			break;
		put_header(&to, 0);
		rx[8] |= VFUC_FLAG_ERROR;
		rx[12] = input_u8(in);
		break;
	case 7:
	case 8:
		put_command();
		break;
	case 9:		/* any message */
		input_bytes(in, &header, sizeof(header));
		put_raw_payload(&header);
		break;
	case 10:	/* any bytes */
		n = input_u8(in);
		FUZZ_CHECK(n <= MAX_MESSAGE);
		rx_len = input_bytes(in, rx, n);
		break;
	case 11:
		now_ms += input_u8(in) * 64;
		break;
	case 12:
		full = input_u8(in) % 16;
		break;
	case 13:
		partial = input_u8(in);
		break;
	case 14:	/* the rest of a message is cut off */
		if (!next_asked(&to, false))
			break;
		put_reply(&to);
		n = input_u8(in);
		rx_len -= n < rx_len ? n : rx_len - 1;
		break;
	case 15:
		closed = !input_u8(in);
		break;
	}
	return rx_len;
}

static ssize_t deliver(struct msghdr *msg)
{
	size_t room = msg->msg_iov[0].iov_len, n = rx_len - rx_at;
	size_t space, fds = nr_rx_fds;
	struct cmsghdr *cmsg;

	if (rx_chunk && n > rx_chunk)
		n = rx_chunk;
	if (n > room)
		n = room;
	memcpy(msg->msg_iov[0].iov_base, rx + rx_at, n);
	rx_at += n;
	msg->msg_flags = 0;
	space = msg->msg_control ? msg->msg_controllen : 0;
	if (nr_rx_fds) {
		while (fds && CMSG_SPACE(fds * sizeof(int)) > space)
			fds--;
		if (fds) {
			memset(msg->msg_control, 0, space);
			cmsg = CMSG_FIRSTHDR(msg);
			cmsg->cmsg_level = SOL_SOCKET;
			cmsg->cmsg_type = SCM_RIGHTS;
			cmsg->cmsg_len = CMSG_LEN(fds * sizeof(int));
			memcpy(CMSG_DATA(cmsg), rx_fds, fds * sizeof(int));
			msg->msg_controllen = CMSG_SPACE(fds * sizeof(int));
		}
		/* As the kernel does: what has no room is closed. */
		if (fds < nr_rx_fds)
			msg->msg_flags |= MSG_CTRUNC;
		for (; nr_rx_fds > fds; nr_rx_fds--)
			close(rx_fds[nr_rx_fds - 1]);
		while (nr_rx_fds) {
			nr_rx_fds--;
			if (rx_fds[nr_rx_fds] > highest_fd)
				highest_fd = rx_fds[nr_rx_fds];
		}
	}
	if (!fds)
		msg->msg_controllen = 0;
	return n;
}

ssize_t __wrap_recvmsg(int fd, struct msghdr *msg, int flags)
{
	if (!fuzz_socket_active)
		return __real_recvmsg(fd, msg, flags);
	if (fuzz_socket_tick)
		fuzz_socket_tick();
	if (rx_at == rx_len && !closed) {
		if (!in->left) {
			closed = true;
		} else if (!act() && !closed) {
			errno = EAGAIN;
			return -1;
		}
	}
	if (rx_at == rx_len) {
		msg->msg_controllen = 0;
		msg->msg_flags = 0;
		return 0;
	}
	return deliver(msg);
}

/* Time passes where there is nothing to wait for. */
int __wrap_poll(struct pollfd *fds, nfds_t n, int timeout)
{
	nfds_t i;

	if (!fuzz_socket_active)
		return __real_poll(fds, n, timeout);
	if (fuzz_socket_tick)
		fuzz_socket_tick();
	if (timeout > 0)
		now_ms += timeout < 16 ? timeout : 16;
	for (i = 0; i < n; i++)
		fds[i].revents = fds[i].fd >= 0 ? fds[i].events & (POLLIN | POLLOUT) : 0;
	return 1;
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *ts)
{
	if (!fuzz_socket_active)
		return __real_clock_gettime(clock, ts);
	ts->tv_sec = now_ms / 1000;
	ts->tv_nsec = now_ms % 1000 * 1000000;
	return 0;
}

/* ---- beginning and end ---- */

static void make_templates(void)
{
	int pair[2];

	/* what was inherited */
	close_range(FIRST_FD, UINT_MAX, 0);
	templates[FD_MEMORY] = memfd_create("fuzz", MFD_CLOEXEC);
	FUZZ_CHECK(!ftruncate(templates[FD_MEMORY], 0x20000));
	templates[FD_EVENT] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	FUZZ_CHECK(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
	templates[FD_SOCKET] = pair[0];
	templates[FD_NULL] = open("/dev/null", O_RDWR | O_CLOEXEC);
	templates[FD_DIRECTORY] = open("/", O_PATH | O_CLOEXEC);
	FUZZ_CHECK(!pipe2(pair, O_CLOEXEC));
	templates[FD_PIPE] = pair[0];
	rx = malloc(MAX_MESSAGE);
	FUZZ_CHECK(rx);
}

/* The lowest descriptor that is free: what is opened and not closed changes it. */
static int free_fd(void)
{
	int fd = dup(templates[FD_NULL]);

	close(fd);
	return fd;
}

void fuzz_socket_start(struct input *input, char *address)
{
	int pair[2];

	if (!rx)
		make_templates();
	in = input;
	memset(&current, 0, sizeof(current));
	now_ms = 1000000;
	nr_asked = 0;
	have = 0;
	skip = 0;
	rx_len = 0;
	rx_at = 0;
	nr_rx_fds = 0;
	closed = false;
	full = 0;
	partial = 0;
	lowest_free = free_fd();
	highest_fd = FIRST_FD;
	FUZZ_CHECK(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
	peer = pair[1];
	snprintf(address, 32, "fd:%d", pair[0]);
	fuzz_socket_active = true;
}

/* What may be left of what was sent: files whose close() might wait for somebody, see vfuc_fd_close(). */
static bool may_wait(int fd)
{
	struct stat st;

	return !fstat(fd, &st) && (S_ISCHR(st.st_mode) || S_ISDIR(st.st_mode));
}

void fuzz_socket_end(void)
{
	int fd;

	fuzz_socket_active = false;
	while (nr_rx_fds)
		close(rx_fds[--nr_rx_fds]);
	close(peer);
	FUZZ_CHECK(free_fd() == lowest_free);
	for (fd = FIRST_FD; fd <= highest_fd; fd++) {
		if (fcntl(fd, F_GETFD) < 0)
			continue;
		FUZZ_CHECK(may_wait(fd));
		close(fd);
	}
}
