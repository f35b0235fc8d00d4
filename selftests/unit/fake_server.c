// SPDX-License-Identifier: GPL-2.0-only
/* A vfio-user server that does what a script says. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake_server.h"
#include "internal.h"

#define PATIENCE_MS	20000	/* before a silent peer is called a failure */
#define ONE_SEND	(32 * 1024)	/* a message up to this size arrives as a whole */

void fs_fail(struct fake_server *s, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(s->failure, sizeof(s->failure), fmt, ap);
	va_end(ap);
	longjmp(s->out, 1);
}

static void forget_message(struct fake_server *s)
{
	while (s->message.nr_fds)
		close(s->message.fds[--s->message.nr_fds]);
	free(s->message.payload);
	s->message.payload = NULL;
	s->message.len = 0;
}

static void wait_readable(struct fake_server *s, int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	if (poll(&p, 1, PATIENCE_MS) != 1)
		fs_fail(s, "the client sends nothing");
}

/* Bytes got, 0 at the end of the stream. */
static size_t receive_some(struct fake_server *s, int fd, void *buf, size_t len)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(FS_MAX_FDS * sizeof(int))];
	} control;
	struct iovec iov = { .iov_base = buf, .iov_len = len };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	struct fs_message *m = &s->message;
	struct cmsghdr *cmsg;
	ssize_t got;
	size_t n;

	wait_readable(s, fd);
	got = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);
	if (got < 0)
		fs_fail(s, "recvmsg: %s", strerror(errno));
	for (cmsg = CMSG_FIRSTHDR(&msg); cmsg; cmsg = CMSG_NXTHDR(&msg, cmsg)) {
		n = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		fs_check(s, m->nr_fds + n <= FS_MAX_FDS);
		memcpy(m->fds + m->nr_fds, CMSG_DATA(cmsg), n * sizeof(int));
		m->nr_fds += n;
	}
	return got;
}

struct fs_message *fs_receive_from(struct fake_server *s, int fd)
{
	struct fs_message *m = &s->message;
	size_t have = 0;
	size_t got;

	forget_message(s);
	got = receive_some(s, fd, &m->header, sizeof(m->header));
	if (got != sizeof(m->header))
		fs_fail(s, "%zu bytes where a header belongs", got);
	fs_check(s, m->header.size >= sizeof(m->header) && m->header.size < 64 * 1024 * 1024);
	m->len = m->header.size - sizeof(m->header);
	m->payload = calloc(1, m->len + 1);
	while (have < m->len) {
		got = receive_some(s, fd, m->payload + have, m->len - have);
		if (!got)
			fs_fail(s, "the client closed within a message");
		have += got;
		if (have < m->len && m->len < ONE_SEND)
			fs_fail(s, "a message of %zu bytes did not come at once", m->len);
	}
	return m;
}

struct fs_message *fs_receive(struct fake_server *s)
{
	return fs_receive_from(s, s->fd);
}

struct fs_message *fs_expect(struct fake_server *s, uint16_t command)
{
	struct fs_message *m = fs_receive(s);

	if (m->header.command != command)
		fs_fail(s, "%s where %s belongs", vfuc_command_name(m->header.command),
			vfuc_command_name(command));
	fs_check(s, (m->header.flags & VFUC_TYPE_MASK) == VFUC_TYPE_COMMAND);
	return m;
}

void fs_expect_close(struct fake_server *s)
{
	uint8_t byte;

	forget_message(s);
	wait_readable(s, s->fd);
	/* A peer that closes with bytes unread resets the connection. */
	if (recv(s->fd, &byte, 1, 0) > 0)
		fs_fail(s, "the client sends where it should close");
}

void fs_drain(struct fake_server *s)
{
	uint8_t bytes[4096];

	forget_message(s);
	do {
		wait_readable(s, s->fd);
	} while (recv(s->fd, bytes, sizeof(bytes), 0) > 0);
}

void fs_raw(struct fake_server *s, int fd, const void *data, size_t len, const int *fds,
	    unsigned int nr_fds)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(FS_MAX_FDS * sizeof(int))];
	} control;
	struct iovec iov = { .iov_base = (void *)data, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *cmsg;
	ssize_t sent;

	fs_check(s, nr_fds <= FS_MAX_FDS);
	if (nr_fds) {
		memset(&control, 0, sizeof(control));
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(nr_fds * sizeof(int));
		cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(nr_fds * sizeof(int));
		memcpy(CMSG_DATA(cmsg), fds, nr_fds * sizeof(int));
	}
	while (iov.iov_len) {
		sent = sendmsg(fd, &msg, MSG_NOSIGNAL);
		if (sent < 0)
			return;		/* the client closed, which the test will judge */
		iov.iov_base = (uint8_t *)iov.iov_base + sent;
		iov.iov_len -= sent;
		msg.msg_control = NULL;
		msg.msg_controllen = 0;
	}
}

void fs_send(struct fake_server *s, int fd, const struct vfuc_header *header, const void *payload,
	     size_t len, const int *fds, unsigned int nr_fds)
{
	uint8_t *bytes = malloc(sizeof(*header) + len);

	memcpy(bytes, header, sizeof(*header));
	if (len)
		memcpy(bytes + sizeof(*header), payload, len);
	fs_raw(s, fd, bytes, sizeof(*header) + len, fds, nr_fds);
	free(bytes);
}

void fs_reply_fds(struct fake_server *s, const void *payload, size_t len, const int *fds,
		  unsigned int nr_fds)
{
	struct vfuc_header header = {
		.id = s->message.header.id,
		.command = s->message.header.command,
		.size = sizeof(header) + len,
		.flags = VFUC_TYPE_REPLY,
	};

	fs_send(s, s->fd, &header, payload, len, fds, nr_fds);
}

void fs_reply(struct fake_server *s, const void *payload, size_t len)
{
	fs_reply_fds(s, payload, len, NULL, 0);
}

void fs_reply_error(struct fake_server *s, uint32_t err)
{
	struct vfuc_header header = {
		.id = s->message.header.id,
		.command = s->message.header.command,
		.size = sizeof(header),
		.flags = VFUC_TYPE_REPLY | VFUC_FLAG_ERROR,
		.error = err,
	};

	fs_send(s, s->fd, &header, NULL, 0, NULL, 0);
}

void fs_command(struct fake_server *s, int fd, uint16_t id, uint16_t command, uint32_t flags,
		const void *payload, size_t len)
{
	struct vfuc_header header = {
		.id = id,
		.command = command,
		.size = sizeof(header) + len,
		.flags = flags,
	};

	fs_send(s, fd, &header, payload, len, NULL, 0);
}

static void reply_version(struct fake_server *s, const char *json, const int *fds,
			  unsigned int nr_fds)
{
	struct vfuc_wire_version version = { .major = 0, .minor = 1 };
	uint8_t payload[4096];
	size_t len = sizeof(version);

	memcpy(payload, &version, sizeof(version));
	if (json) {
		strcpy((char *)payload + len, json);
		len += strlen(json) + 1;
	}
	fs_reply_fds(s, payload, len, fds, nr_fds);
}

void fs_version(struct fake_server *s, const char *json)
{
	fs_expect(s, VFUC_CMD_VERSION);
	reply_version(s, json, NULL, 0);
}

void fs_version_twin(struct fake_server *s)
{
	int pair[2];

	fs_expect(s, VFUC_CMD_VERSION);
	fs_check(s, !socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
	reply_version(s, "{\"capabilities\":{\"twin_socket\":{\"supported\":true,\"fd_index\":0}}}",
		      &pair[0], 1);
	close(pair[0]);
	s->twin = pair[1];
}

static void wait_for(sem_t *sem, bool *timeout)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	ts.tv_sec += PATIENCE_MS / 1000;
	*timeout = false;
	while (sem_timedwait(sem, &ts)) {
		if (errno == ETIMEDOUT) {
			*timeout = true;
			return;
		}
	}
}

void fs_wait(struct fake_server *s)
{
	bool timeout;

	wait_for(&s->go, &timeout);
	if (timeout)
		fs_fail(s, "the test did not say go");
}

static void *server_thread(void *arg)
{
	struct fake_server *s = arg;

	if (!setjmp(s->out))
		s->script(s);
	forget_message(s);
	close(s->fd);
	if (s->twin >= 0)
		close(s->twin);
	return NULL;
}

void fs_start(struct fake_server *s, fs_script script, void *arg)
{
	int pair[2];

	memset(s, 0, sizeof(*s));
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	s->client_fd = pair[0];
	s->fd = pair[1];
	s->twin = -1;
	s->arg = arg;
	s->script = script;
	sem_init(&s->go, 0, 0);
	sem_init(&s->ready, 0, 0);
	assert_int_equal(pthread_create(&s->thread, NULL, server_thread, s), 0);
}

int fs_try_open(struct fake_server *s, struct vfuc **c, const struct vfuc_config *config,
		struct vfuc_error *error)
{
	struct vfuc_config copy = { 0 };
	char address[32];

	if (config)
		copy = *config;
	snprintf(address, sizeof(address), "fd:%d", s->client_fd);
	copy.address = address;
	return vfuc_open(c, &copy, error);
}

struct vfuc *fs_open(struct fake_server *s, const struct vfuc_config *config)
{
	struct vfuc_error error = { 0 };
	struct vfuc *c = NULL;

	if (fs_try_open(s, &c, config, &error))
		fail_msg("vfuc_open: %s", error.message);
	return c;
}

void fs_set_timeout(struct vfuc *c, unsigned int timeout_ms)
{
	c->config.timeout_ms = timeout_ms;
}

void fs_finish(struct fake_server *s)
{
	pthread_join(s->thread, NULL);
	sem_destroy(&s->go);
	sem_destroy(&s->ready);
	if (s->failure[0])
		fail_msg("server: %s", s->failure);
}

void fs_run_until(struct vfuc *c, const unsigned int *flag, unsigned int count)
{
	struct pollfd fds[VFUC_POLL_FDS];
	struct timespec start, now;
	int timeout;
	int n;

	clock_gettime(CLOCK_MONOTONIC, &start);
	while (*flag < count) {
		clock_gettime(CLOCK_MONOTONIC, &now);
		if (now.tv_sec - start.tv_sec > PATIENCE_MS / 1000)
			fail_msg("%u of %u after a long while", *flag, count);
		n = vfuc_poll_fds(c, fds, VFUC_POLL_FDS);
		timeout = vfuc_next_deadline_ms(c);
		poll(fds, n, timeout < 0 || timeout > 1000 ? 1000 : timeout);
		if (vfuc_process(c) && *flag < count)
			fail_msg("the connection died with %u of %u: %s", *flag, count,
				 strerror(-vfuc_dead(c)));
	}
}

unsigned int fs_count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned int n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

int fs_memory(size_t size)
{
	int fd = memfd_create("fake-server", MFD_CLOEXEC);

	if (fd >= 0 && ftruncate(fd, size)) {
		close(fd);
		return -1;
	}
	return fd;
}
