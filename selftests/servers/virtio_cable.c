// SPDX-License-Identifier: GPL-2.0-only
/*
 * The network cable; see virtio_cable.h. Nothing here blocks. The far end is another server, or
 * whatever took its place: a packet that is no frame is dropped.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "vfus.h"
#include "virtio_cable.h"

#define RETRY_US	50000
#define FRAME_MIN	14		/* two addresses and a type */

static const char hello[] = "CABLE";

static int address(const char *path, struct sockaddr_un *sun)
{
	*sun = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (!*path || strlen(path) >= sizeof(sun->sun_path))
		return -ENAMETOOLONG;
	memcpy(sun->sun_path, path, strlen(path) + 1);
	return 0;
}

static int make_socket(void)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	return fd < 0 ? -errno : fd;
}

static int try_connect(const struct sockaddr_un *sun)
{
	int fd = make_socket(), ret;

	if (fd < 0)
		return fd;
	if (!connect(fd, (const struct sockaddr *)sun, sizeof(*sun)))
		return fd;
	ret = -errno;
	close(fd);
	return ret;
}

static int start_listening(struct cable *c, const struct sockaddr_un *sun)
{
	struct stat st;
	int fd;

	/* The socket file of a listener that was killed may be replaced. */
	if (!lstat(c->path, &st) && S_ISSOCK(st.st_mode)) {
		fd = try_connect(sun);
		if (fd >= 0)
			close(fd);
		else if (fd == -ECONNREFUSED)
			unlink(c->path);
	}
	fd = make_socket();
	if (fd < 0)
		return fd;
	if (bind(fd, (const struct sockaddr *)sun, sizeof(*sun))) {
		int ret = -errno;

		close(fd);
		return ret;
	}
	c->listen_fd = fd;
	/* One is connected, one may wait for it to go. */
	return listen(fd, 1) ? -errno : 0;
}

/**
 * cable_watch() - wake up for another descriptor as well
 * @c: cable
 * @fd: its owner's, who reads it when woken up
 *
 * Return: 0 or a negative errno.
 */
int cable_watch(struct cable *c, int fd)
{
	struct epoll_event e = { .events = EPOLLIN };

	return epoll_ctl(c->epfd, EPOLL_CTL_ADD, fd, &e) ? -errno : 0;
}

/**
 * cable_init() - make the end of a cable, not plugged in
 * @c: cable; path and listen are set
 *
 * Return: 0 or a negative errno; cable_free() is due either way.
 */
int cable_init(struct cable *c)
{
	struct sockaddr_un sun;
	int ret;

	c->plugged = false;
	c->up = false;
	c->listen_fd = -1;
	c->fd = -1;
	c->epfd = epoll_create1(EPOLL_CLOEXEC);
	if (c->epfd < 0)
		return -errno;
	if (!c->path)
		return 0;
	ret = address(c->path, &sun);
	if (!ret && c->listen)
		ret = start_listening(c, &sun);
	return ret;
}

static void disconnect(struct cable *c)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	c->up = false;
	c->retry = vfus_now_us() + RETRY_US;
}

/**
 * cable_free() - undo cable_init()
 * @c: cable
 */
void cable_free(struct cable *c)
{
	disconnect(c);
	if (c->listen_fd >= 0) {
		close(c->listen_fd);
		unlink(c->path);
	}
	if (c->epfd >= 0)
		close(c->epfd);
}

static bool adopt(struct cable *c, int fd)
{
	struct epoll_event e = { .events = EPOLLIN };

	if (epoll_ctl(c->epfd, EPOLL_CTL_ADD, fd, &e)) {
		close(fd);
		return false;
	}
	c->fd = fd;
	c->events = EPOLLIN;
	return true;
}

static void try_accept(struct cable *c)
{
	int fd = accept4(c->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return;
	/* One at a time; the other tries again. */
	if (c->fd >= 0) {
		close(fd);
		return;
	}
	if (!adopt(c, fd))
		return;
	c->up = send(fd, hello, sizeof(hello), MSG_NOSIGNAL) == sizeof(hello);
	if (!c->up)
		disconnect(c);
}

/**
 * cable_plug() - plug the cable in, or pull it out
 * @c: cable
 * @in: which
 */
void cable_plug(struct cable *c, bool in)
{
	if (!c->path || c->plugged == in)
		return;
	c->plugged = in;
	if (!in)
		disconnect(c);
	c->retry = 0;
	if (c->listen && in)
		cable_watch(c, c->listen_fd);
	else if (c->listen)
		epoll_ctl(c->epfd, EPOLL_CTL_DEL, c->listen_fd, NULL);
}

/**
 * cable_run() - connect, as far as that is possible now
 * @c: cable
 *
 * Return: microseconds until it wants to be called again, -1 for when @epfd is readable.
 */
long cable_run(struct cable *c)
{
	struct sockaddr_un sun;
	uint64_t now;
	int fd;

	if (!c->plugged)
		return -1;
	/* While nobody receives, nobody would see the end. */
	if (c->fd >= 0 && !(c->events & EPOLLIN)) {
		struct pollfd p = { .fd = c->fd };

		if (poll(&p, 1, 0) > 0 && p.revents & (POLLHUP | POLLERR))
			disconnect(c);
	}
	if (c->listen) {
		try_accept(c);
		return -1;
	}
	if (c->fd >= 0)
		return -1;
	now = vfus_now_us();
	if (now < c->retry)
		return (long)(c->retry - now);
	c->retry = now + RETRY_US;
	fd = address(c->path, &sun) ? -1 : try_connect(&sun);
	return fd >= 0 && adopt(c, fd) ? -1 : RETRY_US;
}

/**
 * cable_want() - what to wake up for
 * @c: cable
 * @in: frames can be taken
 * @out: a frame waits that could not be sent
 */
void cable_want(struct cable *c, bool in, bool out)
{
	struct epoll_event e = { .events = (in || !c->up ? EPOLLIN : 0) | (out ? EPOLLOUT : 0) };

	if (c->fd < 0 || e.events == c->events)
		return;
	c->events = e.events;
	epoll_ctl(c->epfd, EPOLL_CTL_MOD, c->fd, &e);
}

/**
 * cable_send() - send a frame
 * @c: cable
 * @frame: at least 14 bytes
 * @len: bytes
 *
 * Return: 0, -EAGAIN where the far end does not keep up, -ENOTCONN without a carrier.
 */
int cable_send(struct cable *c, const void *frame, size_t len)
{
	if (!c->up)
		return -ENOTCONN;
	if (send(c->fd, frame, len, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)len)
		return 0;
	if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR || errno == ENOBUFS)
		return -EAGAIN;
	disconnect(c);
	return -ENOTCONN;
}

/**
 * cable_receive() - take the next frame
 * @c: cable
 * @frame: where to
 * @size: bytes; longer frames are dropped
 *
 * Return: bytes, 0 if there is none.
 */
int cable_receive(struct cable *c, void *frame, size_t size)
{
	while (c->fd >= 0) {
		ssize_t n = recv(c->fd, frame, size, MSG_DONTWAIT | MSG_TRUNC);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return 0;
		if (n <= 0) {
			disconnect(c);
			return 0;
		}
		if (!c->up) {
			c->up = n == sizeof(hello) && !memcmp(frame, hello, sizeof(hello));
			if (!c->up)
				disconnect(c);
		} else if (n >= FRAME_MIN && (size_t)n <= size) {
			return (int)n;
		}
	}
	return 0;
}
