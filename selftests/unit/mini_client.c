// SPDX-License-Identifier: GPL-2.0-only
/*
 * A vfio-user client of a few lines, to test servers with. Functions return 0, the errno of an
 * error reply as a negative number (-EIO where it had none), -EPIPE where the server closed the
 * connection, -ETIMEDOUT where it does not answer, -EPROTO where the answer is malformed.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "mini_client.h"

#define MAX_MSG	(2u << 20)

/**
 * mc_wait_exit() - wait for a process, at most MC_TIMEOUT_MS
 * @pid: child
 *
 * Return: its exit status, 128 plus the signal that ended it, or -ETIMEDOUT after killing it.
 */
int mc_wait_exit(pid_t pid)
{
	const struct timespec ms = { 0, 1000000 };
	int status, i;

	for (i = 0; i < MC_TIMEOUT_MS; i++) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
		nanosleep(&ms, NULL);
	}
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	return -ETIMEDOUT;
}

/**
 * mc_spawn() - start a server
 * @s: filled in; s->path, where not empty, is waited for
 * @program: path
 * @keep_fd: descriptor that the server inherits, or -1
 * @args: its arguments from argv[1] on, ended by NULL
 *
 * Return: 0; -ECHILD if it exited, with the status in s->path[0]; -ETIMEDOUT.
 */
int mc_spawn(struct mc_server *s, const char *program, int keep_fd, char *const args[])
{
	const struct timespec ms = { 0, 1000000 };
	pid_t parent = getpid();
	char *argv[32];
	int i, status;

	argv[0] = (char *)program;
	for (i = 0; i < 30 && args[i]; i++)
		argv[i + 1] = args[i];
	argv[i + 1] = NULL;
	s->pid = fork();
	if (s->pid < 0)
		return -errno;
	if (!s->pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(127);
		if (keep_fd >= 0)
			fcntl(keep_fd, F_SETFD, 0);
		execv(program, argv);
		_exit(127);
	}
	for (i = 0; *s->path && i < MC_TIMEOUT_MS; i++) {
		struct mc c;

		if (!mc_connect(&c, s->path)) {
			mc_close(&c);
			return 0;
		}
		if (waitpid(s->pid, &status, WNOHANG) == s->pid)
			return -ECHILD;
		nanosleep(&ms, NULL);
	}
	return *s->path ? -ETIMEDOUT : 0;
}

/**
 * mc_stop() - SIGTERM, and wait
 * @s: server
 *
 * Return: as mc_wait_exit().
 */
int mc_stop(struct mc_server *s)
{
	kill(s->pid, SIGTERM);
	return mc_wait_exit(s->pid);
}

/**
 * mc_adopt() - be the client of a connected socket
 * @c: filled in
 * @fd: socket, owned from here on
 */
void mc_adopt(struct mc *c, int fd)
{
	memset(c, 0, sizeof(*c));
	c->fd = fd;
	c->twin = -1;
	c->cap = MAX_MSG;
	c->payload = malloc(c->cap);
	if (!c->payload)
		abort();
}

/**
 * mc_connect() - connect to a server
 * @c: filled in
 * @path: its socket
 *
 * Return: 0 or a negative errno.
 */
int mc_connect(struct mc *c, const char *path)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), ret;

	if (fd < 0)
		return -errno;
	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
	if (connect(fd, (struct sockaddr *)&sun, sizeof(sun))) {
		ret = -errno;
		close(fd);
		return ret;
	}
	mc_adopt(c, fd);
	return 0;
}

/**
 * mc_close_fds() - close the descriptors of the last reply
 * @c: client
 */
void mc_close_fds(struct mc *c)
{
	while (c->nfds)
		close(c->fds[--c->nfds]);
}

/**
 * mc_close() - disconnect
 * @c: client
 */
void mc_close(struct mc *c)
{
	mc_close_fds(c);
	if (c->fd >= 0)
		close(c->fd);
	if (c->twin >= 0)
		close(c->twin);
	free(c->payload);
	c->payload = NULL;
	c->fd = -1;
	c->twin = -1;
}

static int send_on(int sock, const struct vfio_user_hdr *hdr, const void *payload, size_t len,
		   const int *fds, unsigned int nfds)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int) * 253)];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec v[2] = { { (void *)hdr, sizeof(*hdr) }, { (void *)payload, len } };
	struct msghdr mh = { .msg_iov = v, .msg_iovlen = 2 };
	size_t left = sizeof(*hdr) + len;
	ssize_t n;

	if (nfds) {
		struct cmsghdr *cm;

		mh.msg_control = control.bytes;
		mh.msg_controllen = CMSG_SPACE(sizeof(int) * nfds);
		cm = CMSG_FIRSTHDR(&mh);
		cm->cmsg_level = SOL_SOCKET;
		cm->cmsg_type = SCM_RIGHTS;
		cm->cmsg_len = CMSG_LEN(sizeof(int) * nfds);
		memcpy(CMSG_DATA(cm), fds, sizeof(int) * nfds);
	}
	/* The socket is blocking, so a short count means that a signal came in. */
	n = sendmsg(sock, &mh, MSG_NOSIGNAL);
	if (n < 0)
		return -errno;
	return (size_t)n == left ? 0 : -EPROTO;
}

/**
 * mc_send() - send a message, any message
 * @c: client
 * @hdr: header, sent as it is
 * @payload: what follows
 * @len: bytes of it
 * @fds: descriptors
 * @nfds: how many, up to 253
 *
 * Return: 0 or a negative errno.
 */
int mc_send(struct mc *c, const struct vfio_user_hdr *hdr, const void *payload, size_t len,
	    const int *fds, unsigned int nfds)
{
	return send_on(c->fd, hdr, payload, len, fds, nfds);
}

static int wait_in(struct pollfd *p, int n)
{
	int ret;

	do {
		ret = poll(p, n, MC_TIMEOUT_MS);
	} while (ret < 0 && errno == EINTR);
	if (ret < 0)
		return -errno;
	return ret ? 0 : -ETIMEDOUT;
}

static int read_all(struct mc *c, int sock, void *buf, size_t len)
{
	uint8_t *p = buf;

	while (len) {
		union {
			char bytes[CMSG_SPACE(sizeof(int) * MC_MAX_FDS)];
			struct cmsghdr align;
		} control;
		struct iovec v = { p, len };
		struct msghdr mh = { .msg_iov = &v, .msg_iovlen = 1,
				     .msg_control = control.bytes,
				     .msg_controllen = sizeof(control.bytes) };
		struct pollfd pfd = { .fd = sock, .events = POLLIN };
		struct cmsghdr *cm;
		int ret = wait_in(&pfd, 1);
		ssize_t n;

		if (ret)
			return ret;
		n = recvmsg(sock, &mh, MSG_CMSG_CLOEXEC);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n && errno != ECONNRESET ? -errno : -EPIPE;
		for (cm = CMSG_FIRSTHDR(&mh); cm; cm = CMSG_NXTHDR(&mh, cm)) {
			size_t k = (cm->cmsg_len - CMSG_LEN(0)) / sizeof(int);

			if (cm->cmsg_type != SCM_RIGHTS || c->nfds + k > MC_MAX_FDS)
				return -EPROTO;
			memcpy(c->fds + c->nfds, CMSG_DATA(cm), k * sizeof(int));
			c->nfds += k;
		}
		p += n;
		len -= n;
	}
	return 0;
}

static int read_msg(struct mc *c, int sock)
{
	int ret = read_all(c, sock, &c->hdr, sizeof(c->hdr));

	if (ret)
		return ret;
	if (c->hdr.size < sizeof(c->hdr) || c->hdr.size - sizeof(c->hdr) > c->cap)
		return -EPROTO;
	c->len = c->hdr.size - sizeof(c->hdr);
	return read_all(c, sock, c->payload, c->len);
}

/* The server wants to see our memory. */
static int serve(struct mc *c, int sock)
{
	struct vfio_user_hdr hdr = { .id = c->hdr.id, .cmd = c->hdr.cmd,
				     .flags = VFIO_USER_F_REPLY };
	struct vfio_user_dma_access a;
	uint8_t *reply;
	size_t len;
	int ret;

	if (c->len < sizeof(a))
		return -EPROTO;
	memcpy(&a, c->payload, sizeof(a));
	if (!c->mem || a.addr < c->iova || a.count > c->mem_size ||
	    a.addr - c->iova > c->mem_size - a.count || a.count > MAX_MSG / 2) {
		hdr.flags |= VFIO_USER_F_ERROR;
		hdr.error = EFAULT;
		hdr.size = sizeof(hdr);
		return send_on(sock, &hdr, NULL, 0, NULL, 0);
	}
	c->served++;
	reply = malloc(sizeof(a) + a.count);
	if (!reply)
		return -ENOMEM;
	memcpy(reply, &a, sizeof(a));
	if (c->hdr.cmd == VFIO_USER_DMA_READ) {
		memcpy(reply + sizeof(a), c->mem + (a.addr - c->iova), a.count);
		len = sizeof(a) + a.count;
	} else if (c->len == sizeof(a) + a.count) {
		memcpy(c->mem + (a.addr - c->iova), c->payload + sizeof(a), a.count);
		len = 12;	/* the specification's size */
	} else {
		free(reply);
		return -EPROTO;
	}
	hdr.size = sizeof(hdr) + len;
	ret = send_on(sock, &hdr, reply, len, NULL, 0);
	free(reply);
	return ret;
}

/**
 * mc_receive() - wait for the next reply, serving the server's requests meanwhile
 * @c: client; hdr, payload, len and fds are filled in
 *
 * Return: 0 where any reply came, error or not; else a negative errno.
 */
int mc_receive(struct mc *c)
{
	for (;;) {
		struct pollfd p[2] = { { .fd = c->fd, .events = POLLIN },
				       { .fd = c->twin, .events = POLLIN } };
		int ret = wait_in(p, 2), sock;

		if (ret)
			return ret;
		sock = p[1].revents ? c->twin : c->fd;
		mc_close_fds(c);
		ret = read_msg(c, sock);
		if (ret)
			return ret;
		if ((c->hdr.flags & VFIO_USER_F_TYPE_MASK) == VFIO_USER_F_REPLY)
			return sock == c->fd ? 0 : -EPROTO;
		if (c->hdr.cmd != VFIO_USER_DMA_READ && c->hdr.cmd != VFIO_USER_DMA_WRITE)
			return -EPROTO;
		if (c->twin >= 0 && sock != c->twin)
			return -EPROTO;
		ret = serve(c, sock);
		if (ret)
			return ret;
	}
}

/**
 * mc_serve() - answer a request of the server, if one comes
 * @c: client with no reply outstanding
 * @timeout_ms: how long to wait for it
 *
 * Return: 1 if one was answered, 0 if none came, or a negative errno.
 */
int mc_serve(struct mc *c, int timeout_ms)
{
	struct pollfd p = { .fd = c->twin >= 0 ? c->twin : c->fd, .events = POLLIN };
	int ret = poll(&p, 1, timeout_ms);

	if (ret <= 0)
		return ret < 0 && errno != EINTR ? -errno : 0;
	mc_close_fds(c);
	ret = read_msg(c, p.fd);
	if (ret)
		return ret;
	if ((c->hdr.flags & VFIO_USER_F_TYPE_MASK) == VFIO_USER_F_REPLY)
		return -EPROTO;
	ret = serve(c, p.fd);
	return ret ? ret : 1;
}

/**
 * mc_request() - send a well-formed command and wait for its reply
 * @c: client
 * @cmd: VFIO_USER_*
 * @payload: its payload
 * @len: bytes
 * @fds: descriptors to pass
 * @nfds: how many
 *
 * Return: see the top of this file.
 */
int mc_request(struct mc *c, uint16_t cmd, const void *payload, size_t len, const int *fds,
	       unsigned int nfds)
{
	struct vfio_user_hdr hdr = { .id = ++c->id, .cmd = cmd,
				     .size = (uint32_t)(sizeof(hdr) + len) };
	int ret = mc_send(c, &hdr, payload, len, fds, nfds);

	if (!ret)
		ret = mc_receive(c);
	if (ret == -ECONNRESET)
		ret = -EPIPE;
	if (ret)
		return ret;
	if (c->hdr.id != hdr.id || c->hdr.cmd != cmd)
		return -EPROTO;
	if (c->hdr.flags & VFIO_USER_F_ERROR) {
		if (c->len)
			return -EPROTO;
		return c->hdr.error ? -(int)c->hdr.error : -EIO;
	}
	return 0;
}

/**
 * mc_version() - propose a version
 * @c: client; the reply is left in it
 * @major: proposed
 * @minor: proposed
 * @json: version data, or NULL for none
 */
int mc_version(struct mc *c, uint16_t major, uint16_t minor, const char *json)
{
	struct vfio_user_version v = { major, minor };
	uint8_t buf[1024];
	size_t n = json ? strlen(json) + 1 : 0;

	memcpy(buf, &v, sizeof(v));
	if (n)
		memcpy(buf + sizeof(v), json, n);
	return mc_request(c, VFIO_USER_VERSION, buf, sizeof(v) + n, NULL, 0);
}

/**
 * mc_negotiate() - propose what a full client proposes
 * @c: client; its twin socket is set where the server gives one
 */
int mc_negotiate(struct mc *c)
{
	int ret = mc_version(c, 0, 1, "{\"capabilities\":{\"max_msg_fds\":16,"
			     "\"max_data_xfer_size\":1048576,\"pgsizes\":4096,"
			     "\"max_dma_maps\":65535,\"write_multiple\":true,"
			     "\"migration\":{\"pgsize\":4096},"
			     "\"twin_socket\":{\"supported\":true}}}");

	if (!ret && c->nfds == 1 && strstr((char *)c->payload + 4, "\"twin_socket\"")) {
		c->twin = c->fds[0];
		c->nfds = 0;
	}
	return ret;
}

/**
 * mc_read() - REGION_READ
 * @c: client
 * @region: index
 * @offset: bytes
 * @buf: destination
 * @count: bytes
 */
int mc_read(struct mc *c, uint32_t region, uint64_t offset, void *buf, uint32_t count)
{
	struct vfio_user_region_access a = { offset, region, count };
	int ret = mc_request(c, VFIO_USER_REGION_READ, &a, sizeof(a), NULL, 0);

	if (ret)
		return ret;
	if (c->len != sizeof(a) + count || memcmp(c->payload, &a, sizeof(a)))
		return -EPROTO;
	memcpy(buf, c->payload + sizeof(a), count);
	return 0;
}

/**
 * mc_write() - REGION_WRITE
 * @c: client
 * @region: index
 * @offset: bytes
 * @buf: source
 * @count: bytes, at most 4096
 */
int mc_write(struct mc *c, uint32_t region, uint64_t offset, const void *buf, uint32_t count)
{
	struct vfio_user_region_access a = { offset, region, count };
	uint8_t msg[sizeof(a) + 4096];
	int ret;

	memcpy(msg, &a, sizeof(a));
	memcpy(msg + sizeof(a), buf, count);
	ret = mc_request(c, VFIO_USER_REGION_WRITE, msg, sizeof(a) + count, NULL, 0);
	if (!ret && (c->len != sizeof(a) || memcmp(c->payload, &a, sizeof(a))))
		ret = -EPROTO;
	return ret;
}

/**
 * mc_dma_map() - DMA_MAP, readable and writeable
 * @c: client
 * @iova: DMA address
 * @size: bytes
 * @fd: memory or -1
 * @offset: in @fd
 */
int mc_dma_map(struct mc *c, uint64_t iova, uint64_t size, int fd, uint64_t offset)
{
	struct vfio_user_dma_map m = { sizeof(m), 3, offset, iova, size };

	return mc_request(c, VFIO_USER_DMA_MAP, &m, sizeof(m), &fd, fd >= 0);
}

/**
 * mc_dma_unmap() - DMA_UNMAP
 * @c: client
 * @iova: DMA address
 * @size: bytes
 */
int mc_dma_unmap(struct mc *c, uint64_t iova, uint64_t size)
{
	struct vfio_user_dma_unmap m = { sizeof(m), 0, iova, size };
	int ret = mc_request(c, VFIO_USER_DMA_UNMAP, &m, sizeof(m), NULL, 0);

	if (!ret && (c->len != sizeof(m) || memcmp(c->payload, &m, sizeof(m))))
		ret = -EPROTO;
	return ret;
}

/**
 * mc_set_irqs() - DEVICE_SET_IRQS
 * @c: client
 * @flags: VFIO_IRQ_SET_*
 * @index: interrupt type
 * @start: first vector
 * @count: vectors
 * @data: booleans
 * @len: bytes of them
 * @fds: eventfds
 * @nfds: how many
 */
int mc_set_irqs(struct mc *c, uint32_t flags, uint32_t index, uint32_t start, uint32_t count,
		const void *data, size_t len, const int *fds, unsigned int nfds)
{
	uint8_t buf[sizeof(struct vfio_irq_set) + 256];
	struct vfio_irq_set *set = (struct vfio_irq_set *)buf;

	memset(buf, 0, sizeof(buf));
	set->argsz = sizeof(*set) + len;
	set->flags = flags;
	set->index = index;
	set->start = start;
	set->count = count;
	if (len)
		memcpy(set->data, data, len);
	return mc_request(c, VFIO_USER_DEVICE_SET_IRQS, set, sizeof(*set) + len, fds, nfds);
}

/**
 * mc_closed() - does the server close the connection?
 * @c: client; what else comes in is thrown away
 *
 * Return: 0 if so, else why not.
 */
int mc_closed(struct mc *c)
{
	char buf[4096];

	for (;;) {
		struct pollfd p = { .fd = c->fd, .events = POLLIN };
		int ret = wait_in(&p, 1);
		ssize_t n;

		if (ret)
			return ret;
		n = recv(c->fd, buf, sizeof(buf), 0);
		if (!n || (n < 0 && errno == ECONNRESET))
			return 0;
		if (n < 0)
			return -errno;
	}
}
