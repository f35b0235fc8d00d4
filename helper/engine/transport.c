// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sockets: turning an address into a connected one, and moving bytes and descriptors through it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/vm_sockets.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "transport.h"

/* Bytes that are copied sooner than their parts are described to the kernel. */
#define SMALL_MESSAGE	128

/* Milliseconds for which a socket that nobody listens on is tried, and between two tries. */
#define REFUSED_MS	200
#define REFUSED_STEP_MS	10

/* Whether address starts with prefix; then *rest is what follows. */
static bool after(const char *address, const char *prefix, const char **rest)
{
	size_t n = strlen(prefix);

	if (strncmp(address, prefix, n))
		return false;
	*rest = address + n;
	return true;
}

/* Digits only, the whole string, at most max. */
static bool parse_number(const char *text, unsigned long max, unsigned long *value)
{
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	*value = strtoul(text, &end, 10);
	return !errno && !*end && *value <= max;
}

static int connect_error(struct vfuc_error *error, const char *address, int err)
{
	switch (err) {
	case -ENOENT:
	case -ENOTDIR:
		return vfuc_error_set(error, VFUC_NO_SOCKET, err,
				      "%s: no such socket; is the server running, with this path?",
				      address);
	case -ENOTSOCK:
		return vfuc_error_set(error, VFUC_NOT_A_SOCKET, err,
				      "%s: not a socket; give the server's UNIX socket", address);
	case -EPROTOTYPE:
		return vfuc_error_set(error, VFUC_NOT_A_SOCKET, err,
				      "%s: not a stream socket, vfio-user needs one", address);
	case -ECONNREFUSED:
		return vfuc_error_set(error, VFUC_REFUSED, err,
				      "%s: nobody listens there; start the server first", address);
	case -EACCES:
	case -EPERM:
		return vfuc_error_set(error, VFUC_PERMISSION, err,
				      "%s: permission denied; check who may use the socket",
				      address);
	case -ENODEV:
	case -ENXIO:
	case -ENETUNREACH:
	case -EHOSTUNREACH:
	case -EADDRNOTAVAIL:
		return vfuc_error_set(error, VFUC_NO_SOCKET, err,
				      "%s: no such host, or no way to it; check the address",
				      address);
	case -EAFNOSUPPORT:
		return vfuc_error_set(error, VFUC_UNSUPPORTED, err,
				      "%s: this kernel has no such sockets; is a module missing (vsock)?",
				      address);
	case -ETIMEDOUT:
		return vfuc_error_set(error, VFUC_TIMEOUT, err,
				      "%s: the server does not accept the connection; is it busy with another client?",
				      address);
	default:
		return vfuc_error_set(error, VFUC_SYSTEM, err, "%s: cannot connect: %s", address,
				      strerror(-err));
	}
}

/*
 * A UNIX connect() whose server has a full backlog gives EAGAIN and nothing to poll for: such a
 * socket must block instead, bounded by its send timeout.
 */
static int connect_bounded(int fd, const struct sockaddr *addr, socklen_t len,
			   unsigned int timeout_ms)
{
	struct timeval tv = {
		.tv_sec = timeout_ms / 1000,
		.tv_usec = timeout_ms % 1000 * 1000,
	};

	if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)))
		return -errno;
	if (connect(fd, addr, len)) {
		if (errno == EAGAIN || errno == EINPROGRESS)
			return -ETIMEDOUT;
		return -errno;
	}
	return 0;
}

/*
 * A name is there from the server's bind() on, and whoever has waited for it may come before the
 * listen(): where nobody listens it is tried again for a moment.
 */
static int connect_patiently(int fd, const struct sockaddr *addr, socklen_t len,
			     unsigned int timeout_ms)
{
	int left = REFUSED_MS;
	int err;

	while ((err = connect_bounded(fd, addr, len, timeout_ms)) == -ECONNREFUSED && left > 0) {
		poll(NULL, 0, REFUSED_STEP_MS);
		left -= REFUSED_STEP_MS;
	}
	return err;
}

static int connect_unix(const char *path, bool abstract, unsigned int timeout_ms, int *out)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	size_t n = strlen(path);
	char dir[PATH_MAX];
	socklen_t len;
	int dir_fd = -1;
	struct stat st;
	int err;
	int fd;

	if (!n)
		return -EINVAL;
	if (abstract) {
		if (n > sizeof(addr.sun_path) - 1)
			return -ENAMETOOLONG;
		memcpy(addr.sun_path + 1, path, n);
		len = offsetof(struct sockaddr_un, sun_path) + 1 + n;
	} else {
		if (stat(path, &st))
			return -errno;
		if (!S_ISSOCK(st.st_mode))
			return -ENOTSOCK;
		if (n >= sizeof(addr.sun_path)) {
			/* Longer than an address can hold: go through its directory. */
			const char *slash = strrchr(path, '/');

			if (!slash || (size_t)(slash - path) >= sizeof(dir))
				return -ENAMETOOLONG;
			memcpy(dir, path, slash - path);
			dir[slash - path] = '\0';
			dir_fd = open(slash == path ? "/" : dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
			if (dir_fd < 0)
				return -errno;
			n = snprintf(addr.sun_path, sizeof(addr.sun_path), "/proc/self/fd/%d%s",
				     dir_fd, slash);
			if (n >= sizeof(addr.sun_path)) {
				close(dir_fd);
				return -ENAMETOOLONG;
			}
		} else {
			memcpy(addr.sun_path, path, n + 1);
		}
		len = sizeof(addr);
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		err = -errno;
	else
		err = connect_patiently(fd, (struct sockaddr *)&addr, len, timeout_ms);
	if (dir_fd >= 0)
		close(dir_fd);
	if (err) {
		if (fd >= 0)
			close(fd);
		return err;
	}
	*out = fd;
	return 0;
}

static int connect_vsock(const char *where, unsigned int timeout_ms, int *out)
{
	struct sockaddr_vm addr = { .svm_family = AF_VSOCK };
	struct timeval tv = {
		.tv_sec = timeout_ms / 1000,
		.tv_usec = timeout_ms % 1000 * 1000,
	};
	const char *colon = strchr(where, ':');
	unsigned long cid, port;
	char text[32];
	int err;
	int fd;

	if (!colon || (size_t)(colon - where) >= sizeof(text))
		return -EINVAL;
	memcpy(text, where, colon - where);
	text[colon - where] = '\0';
	if (!parse_number(text, UINT32_MAX, &cid) || !parse_number(colon + 1, UINT32_MAX, &port))
		return -EINVAL;
	addr.svm_cid = cid;
	addr.svm_port = port;
	fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	/* It has a bound of its own for connecting, 2 s. */
	setsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_CONNECT_TIMEOUT, &tv, sizeof(tv));
	err = connect_bounded(fd, (struct sockaddr *)&addr, sizeof(addr), timeout_ms);
	if (err) {
		close(fd);
		/* So it answers where nobody listens. */
		return err == -ECONNRESET ? -ECONNREFUSED : err;
	}
	*out = fd;
	return 0;
}

/* The error of the last address tried is the one reported. */
static int connect_tcp(const char *where, unsigned int timeout_ms, int *out)
{
	struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
	const char *colon = strrchr(where, ':');
	struct addrinfo *list, *ai;
	unsigned long port;
	char host[256];
	int err = -EINVAL;
	size_t n;
	int fd;

	if (!colon || !parse_number(colon + 1, UINT16_MAX, &port))
		return -EINVAL;
	n = colon - where;
	if (n >= 2 && where[0] == '[' && where[n - 1] == ']') {
		where++;
		n -= 2;
	}
	if (!n || n >= sizeof(host))
		return -EINVAL;
	memcpy(host, where, n);
	host[n] = '\0';
	if (getaddrinfo(host, colon + 1, &hints, &list))
		return -EHOSTUNREACH;
	for (ai = list; ai; ai = ai->ai_next) {
		fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (fd < 0) {
			err = -errno;
			continue;
		}
		err = connect_bounded(fd, ai->ai_addr, ai->ai_addrlen, timeout_ms);
		if (!err) {
			*out = fd;
			break;
		}
		close(fd);
	}
	freeaddrinfo(list);
	return err;
}

/* A host that is gone without a word would be noticed by nobody while there is nothing to send. */
static void keep_alive(int fd)
{
	const int on = 1, idle = 10, interval = 5, count = 4;

	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
}

int vfuc_transport_adopt(int fd, bool *passes_fds)
{
	socklen_t len = sizeof(int);
	int domain, type, flags;
	int one = 1;

	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len))
		return -errno;
	if (type != SOCK_STREAM)
		return -EPROTOTYPE;
	len = sizeof(int);
	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len))
		return -errno;
	flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) ||
	    fcntl(fd, F_SETFD, FD_CLOEXEC))
		return -errno;
	if ((domain == AF_INET || domain == AF_INET6) &&
	    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)))
		return -errno;
	if (domain == AF_INET || domain == AF_INET6)
		keep_alive(fd);
	*passes_fds = domain == AF_UNIX;
	return 0;
}

int vfuc_transport_open(const char *address, unsigned int timeout_ms, int *fd, bool *passes_fds,
			struct vfuc_error *error)
{
	unsigned long number;
	const char *rest = address;
	int err;

	if (after(address, "fd:", &rest)) {
		err = parse_number(rest, INT_MAX, &number) ? 0 : -EINVAL;
		*fd = err ? -1 : (int)number;
	} else if (after(address, "vsock:", &rest)) {
		err = connect_vsock(rest, timeout_ms, fd);
	} else if (after(address, "tcp:", &rest)) {
		err = connect_tcp(rest, timeout_ms, fd);
	} else if (after(address, "unix-abstract:", &rest) || after(address, "@", &rest)) {
		err = connect_unix(rest, true, timeout_ms, fd);
		if (err == -ECONNREFUSED)
			err = -ENOENT;	/* an abstract name without listener does not exist */
	} else {
		after(address, "unix:", &rest);
		err = connect_unix(rest, false, timeout_ms, fd);
	}
	if (err == -EINVAL)
		return vfuc_error_set(error, VFUC_USAGE, err,
				      "%s: not an address; give PATH, unix:PATH, @NAME, fd:N, vsock:CID:PORT or tcp:HOST:PORT",
				      address);
	if (err)
		return connect_error(error, address, err);
	err = vfuc_transport_adopt(*fd, passes_fds);
	if (err) {
		close(*fd);
		if (err == -EBADF)
			return vfuc_error_set(error, VFUC_NO_SOCKET, err,
					      "%s: no such descriptor was inherited", address);
		return connect_error(error, address, err);
	}
	return 0;
}

/* Returns the size of a message that was copied, or 0 if it is too large for that. */
static size_t copy_small(uint8_t *to, const struct iovec *iov, int n)
{
	size_t len = 0;
	int i;

	for (i = 0; i < n; i++) {
		if (iov[i].iov_len > SMALL_MESSAGE - len)
			return 0;
		if (iov[i].iov_len)
			memcpy(to + len, iov[i].iov_base, iov[i].iov_len);
		len += iov[i].iov_len;
	}
	return len;
}

ssize_t vfuc_transport_send(int fd, const struct iovec *iov, int n, const int *fds,
			    unsigned int nr_fds)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(VFUC_TRANSPORT_MAX_FDS * sizeof(int))];
	} control;
	struct msghdr msg = { .msg_iov = (struct iovec *)iov, .msg_iovlen = n };
	uint8_t small[SMALL_MESSAGE];
	struct cmsghdr *cmsg;
	size_t len = 0;
	ssize_t ret;

	if (nr_fds) {
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(nr_fds * sizeof(int));
		memset(&control, 0, msg.msg_controllen);
		cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(nr_fds * sizeof(int));
		memcpy(CMSG_DATA(cmsg), fds, nr_fds * sizeof(int));
	} else {
		len = copy_small(small, iov, n);
	}
	do {
		ret = len ? send(fd, small, len, MSG_NOSIGNAL | MSG_DONTWAIT) :
			    sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	} while (ret < 0 && errno == EINTR);
	if (ret >= 0)
		return ret;
	switch (errno) {
	case EWOULDBLOCK:
	case ENOBUFS:
	case ENOMEM:
	case ETOOMANYREFS:	/* descriptors in flight: until the server receives some */
		return -EAGAIN;
	case EPIPE:
		return -ECONNRESET;
	default:
		return -errno;
	}
}

static void take_fds(struct msghdr *msg, struct vfuc_fds *fds, unsigned int *surplus)
{
	struct cmsghdr *cmsg;
	struct ucred cred;
	size_t n, i;
	int fd;

	for (cmsg = CMSG_FIRSTHDR(msg); cmsg; cmsg = CMSG_NXTHDR(msg, cmsg)) {
		if (cmsg->cmsg_level != SOL_SOCKET)
			continue;
		if (cmsg->cmsg_type == SCM_CREDENTIALS) {
			memcpy(&cred, CMSG_DATA(cmsg), sizeof(cred));
			/* One that cannot be seen from here has the number 0. */
			fds->sender = cred.pid > 0 ? cred.pid : 0;
			continue;
		}
		if (cmsg->cmsg_type != SCM_RIGHTS)
			continue;
		n = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (i = 0; i < n; i++) {
			memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof(int), sizeof(int));
			if (fds->count < VFUC_TRANSPORT_MAX_FDS) {
				fds->fd[fds->count++] = fd;
			} else {
				vfuc_fd_close(fd);
				(*surplus)++;
			}
		}
	}
}

void vfuc_transport_ask_sender(int fd, bool ask)
{
	int value = ask;

	/* Where it fails, nobody is named. */
	(void)setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &value, sizeof(value));
}

ssize_t vfuc_transport_receive(int fd, void *buf, size_t len, struct vfuc_fds *fds,
			       unsigned int *surplus)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(VFUC_TRANSPORT_MAX_FDS * sizeof(int)) +
			   CMSG_SPACE(sizeof(struct ucred))];
	} control;
	struct iovec iov = { .iov_base = buf, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t ret;

	if (fds) {
		msg.msg_control = &control;
		msg.msg_controllen = sizeof(control);
	}
	do {
		ret = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	} while (ret < 0 && errno == EINTR);
	if (ret < 0)
		return errno == EWOULDBLOCK ? -EAGAIN : -errno;
	if (fds)
		take_fds(&msg, fds, surplus);
	if (msg.msg_flags & MSG_CTRUNC) {
		(*surplus)++;
		if (fds)
			fds->lost = true;
	}
	return ret ? ret : -ECONNRESET;
}

/* Nobody else is asked: not what the attributes are either. */
static bool closes_at_once(int fd)
{
	socklen_t len = sizeof(int);
	struct stat st;
	int domain;

	if (fcntl(fd, F_GET_SEALS) >= 0)
		return true;
	if (fstatat(fd, "", &st, AT_EMPTY_PATH | AT_STATX_DONT_SYNC))
		return false;
	/* eventfds and their like are of no type */
	if (!(st.st_mode & S_IFMT) || S_ISFIFO(st.st_mode))
		return true;
	return S_ISSOCK(st.st_mode) && !getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) &&
	       domain == AF_UNIX;
}

void vfuc_fd_close(int fd)
{
	if (closes_at_once(fd))
		close(fd);
}

unsigned int vfuc_fds_close(struct vfuc_fds *fds)
{
	unsigned int closed = 0;
	unsigned int i;

	for (i = 0; i < fds->count; i++) {
		if (fds->fd[i] >= 0) {
			vfuc_fd_close(fds->fd[i]);
			closed++;
		}
	}
	fds->count = 0;
	fds->lost = false;
	return closed;
}

int vfuc_fds_take(struct vfuc_fds *fds, unsigned int index)
{
	int fd;

	if (index >= fds->count)
		return -1;
	fd = fds->fd[index];
	fds->fd[index] = -1;
	return fd;
}
