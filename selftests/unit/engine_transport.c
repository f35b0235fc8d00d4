// SPDX-License-Identifier: GPL-2.0-only
/* Addresses: every kind, and every way in which they lead nowhere. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake_server.h"

static char dir[64];

static int make_dir(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/engine_transport.XXXXXX");
	return mkdtemp(dir) ? chmod(dir, 0755) : -1;
}

static int remove_dir(void **state)
{
	(void)state;
	return rmdir(dir);
}

static int listen_at(const struct sockaddr *addr, socklen_t len, int backlog)
{
	int fd = socket(addr->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	if (bind(fd, addr, len) || listen(fd, backlog)) {
		close(fd);
		return -1;
	}
	return fd;
}

static int listen_unix(const char *path, int backlog)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };

	assert_true(strlen(path) < sizeof(addr.sun_path));
	strcpy(addr.sun_path, path);
	return listen_at((struct sockaddr *)&addr, sizeof(addr), backlog);
}

/* Serves one read and one map on whatever connects to the listener. */
static void script_accept(struct fake_server *s)
{
	int listener = *(int *)s->arg;
	struct vfuc_wire_access access;
	uint8_t bytes[24] = { 0 };

	close(s->fd);
	s->fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	fs_check(s, s->fd >= 0);
	fs_version(s, NULL);
	fs_expect(s, VFUC_CMD_DMA_MAP);
	fs_reply(s, NULL, 0);
	fs_expect(s, VFUC_CMD_REGION_READ);
	memcpy(&access, s->message.payload, sizeof(access));
	memcpy(bytes, &access, sizeof(access));
	memcpy(bytes + 16, "working!", 8);
	fs_reply(s, bytes, sizeof(bytes));
	fs_expect_close(s);
}

static void script_listen_late(struct fake_server *s)
{
	usleep(50000);
	fs_check(s, !listen(*(int *)s->arg, 5));
	script_accept(s);
}

static void assert_serves(fs_script script, int listener, const char *address, bool passes_fds)
{
	struct vfuc_config config = { .address = address };
	unsigned int fds = fs_count_fds();
	struct vfuc_error error = { 0 };
	int memory = fs_memory(4096);
	struct fake_server s;
	struct vfuc *c;
	char data[8];

	fs_start(&s, script, &listener);
	close(s.client_fd);
	if (vfuc_open(&c, &config, &error))
		fail_msg("%s: %s", address, error.message);
	assert_int_equal(vfuc_caps(c)->can_pass_fds, passes_fds);
	assert_int_equal(vfuc_dma_map(c, 0, 4096, 3, memory, 0, &error), 0);
	assert_int_equal(vfuc_region_read(c, 0, 0, data, 8, &error), 0);
	assert_memory_equal(data, "working!", 8);
	if (!passes_fds) {
		struct vfuc_region_io_fds *io_fds;

		assert_int_equal(vfuc_set_irq_eventfds(c, 0, VFIO_IRQ_SET_ACTION_TRIGGER, 0, 1,
						       &memory, &error), -EOPNOTSUPP);
		assert_int_equal(error.kind, VFUC_UNSUPPORTED);
		assert_int_equal(vfuc_get_region_io_fds(c, 0, 4096, &io_fds, &error), -EOPNOTSUPP);
	}
	vfuc_close(c);
	fs_finish(&s);
	close(memory);
	assert_int_equal(fs_count_fds(), fds);
}

static void assert_works(int listener, const char *address, bool passes_fds)
{
	assert_serves(script_accept, listener, address, passes_fds);
}

static void assert_fails(const char *address, enum vfuc_error_kind kind)
{
	struct vfuc_config config = { .address = address, .timeout_ms = 100 };
	unsigned int fds = fs_count_fds();
	struct vfuc_error error = { 0 };
	struct vfuc *c;
	int err;

	err = vfuc_open(&c, &config, &error);
	if (!err || error.kind != kind)
		fail_msg("%s: %d, %s: %s", address, err, vfuc_error_kind_name(error.kind),
			 error.message);
	assert_int_equal(error.err, err);
	assert_true(err < 0);
	assert_null(strchr(error.message, '\n'));
	if (*address)
		assert_non_null(strstr(error.message, address));
	assert_int_equal(fs_count_fds(), fds);
}

static void test_path(void **state)
{
	char path[128], address[160];
	int listener;

	(void)state;
	snprintf(path, sizeof(path), "%s/socket", dir);
	snprintf(address, sizeof(address), "unix:%s", path);
	assert_fails(path, VFUC_NO_SOCKET);
	assert_fails(address, VFUC_NO_SOCKET);
	listener = listen_unix(path, 5);
	assert_true(listener >= 0);
	assert_works(listener, path, true);
	assert_works(listener, address, true);
	/* Below a file there is nothing. */
	snprintf(address, sizeof(address), "%s/deeper", path);
	assert_fails(address, VFUC_NO_SOCKET);
	/* The server is gone and its socket is still there. */
	close(listener);
	assert_fails(path, VFUC_REFUSED);
	unlink(path);
}

/* A server between bind() and listen(): its file is there, and it is not. */
static void test_before_listen(void **state)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int listener;

	(void)state;
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/socket", dir);
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_serves(script_listen_late, listener, addr.sun_path, true);
	close(listener);
	unlink(addr.sun_path);
}

/* Says yes. */
static void answer_version(int fd)
{
	struct vfuc_wire_version version = { .major = 0, .minor = 1 };
	struct vfuc_header header;
	uint8_t message[4096];

	if (fd < 0 || recv(fd, &header, sizeof(header), MSG_WAITALL) != sizeof(header) ||
	    header.size > sizeof(message) ||
	    recv(fd, message, header.size - sizeof(header), MSG_WAITALL) < 0)
		_exit(1);
	header.size = sizeof(header) + sizeof(version);
	header.flags = VFUC_TYPE_REPLY;
	memcpy(message, &header, sizeof(header));
	memcpy(message + sizeof(header), &version, sizeof(version));
	if (send(fd, message, header.size, 0) < 0)
		_exit(1);
}

/* Takes one connection, as a server does whose supervisor has made its socket. */
static void serve_version(int listener)
{
	int fd = accept(listener, NULL, NULL);
	char byte;

	answer_version(fd);
	/* Until the client has seen it. */
	_exit(recv(fd, &byte, 1, 0) != 0);
}

/* The server is who answers, not who called listen(). */
static void test_activated(void **state)
{
	struct vfuc_error error = { 0 };
	struct ucred cred = { 0 };
	socklen_t len = sizeof(cred);
	struct pollfd fd;
	struct vfuc *c;
	char path[128];
	int listener, status;
	pid_t server;

	(void)state;
	snprintf(path, sizeof(path), "%s/socket", dir);
	listener = listen_unix(path, 1);
	assert_true(listener >= 0);
	server = fork();
	if (!server)
		serve_version(listener);
	assert_true(server > 0);
	if (vfuc_open(&c, &(struct vfuc_config) { .address = path }, &error))
		fail_msg("%s", error.message);
	assert_int_equal(vfuc_caps(c)->server_pid, server);
	assert_int_equal(vfuc_poll_fds(c, &fd, 1), 1);
	assert_int_equal(getsockopt(fd.fd, SOL_SOCKET, SO_PEERCRED, &cred, &len), 0);
	assert_int_equal(cred.pid, getpid());
	vfuc_close(c);
	assert_int_equal(waitpid(server, &status, 0), server);
	assert_int_equal(status, 0);
	close(listener);
	unlink(path);
}

/* Answers a question with itself, or with an error. */
static void answer_info(int fd, bool refuse)
{
	struct { struct vfuc_header header; uint32_t words[4]; } m;

	if (recv(fd, &m, sizeof(m), MSG_WAITALL) != sizeof(m))
		_exit(0);
	m.header.flags = VFUC_TYPE_REPLY | (refuse ? VFUC_FLAG_ERROR : 0);
	m.header.error = refuse ? EINVAL : 0;
	if (refuse)
		m.header.size = sizeof(m.header);
	if (send(fd, &m, m.header.size, 0) < 0)
		_exit(1);
}

struct who {
	bool known;
	int error;
};

static void who_known(void *opaque, uint64_t cookie, int error, const void *data, size_t len)
{
	struct who *who = opaque;

	(void)cookie;
	(void)data;
	(void)len;
	who->known = true;
	who->error = error;
}

static int ask_who(struct vfuc *c)
{
	struct who who = { 0 };

	assert_int_equal(vfuc_submit_who(c, who_known, &who), 0);
	while (!who.known) {
		struct pollfd fd;

		assert_int_equal(vfuc_poll_fds(c, &fd, 1), 1);
		assert_true(poll(&fd, 1, 20000) > 0);
		vfuc_process(c);
	}
	return who.error;
}

/* Another process can go on with the connection, and then it is the server. */
static void test_another_process(void **state)
{
	struct vfuc_error error = { 0 };
	int fds[2], one[2], status;
	pid_t first, second;
	char address[32];
	struct vfuc *c;
	char byte;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	assert_int_equal(pipe(one), 0);
	first = fork();
	if (!first) {
		close(fds[0]);
		answer_version(fds[1]);
		answer_info(fds[1], false);
		second = fork();
		if (second)
			_exit(write(one[1], &second, sizeof(second)) != sizeof(second));
		answer_info(fds[1], true);
		answer_info(fds[1], false);
		answer_info(fds[1], false);
		_exit(0);
	}
	close(fds[1]);
	snprintf(address, sizeof(address), "fd:%d", fds[0]);
	if (vfuc_open(&c, &(struct vfuc_config) { .address = address }, &error))
		fail_msg("%s", error.message);
	assert_int_equal(vfuc_caps(c)->server_pid, first);
	assert_int_equal(ask_who(c), 0);
	assert_int_equal(vfuc_caps(c)->server_pid, first);
	assert_int_equal(read(one[0], &second, sizeof(second)), sizeof(second));
	assert_int_equal(waitpid(first, &status, 0), first);
	assert_int_equal(ask_who(c), -EINVAL);
	assert_int_equal(vfuc_caps(c)->server_pid, first);
	assert_int_equal(ask_who(c), 0);
	assert_int_equal(vfuc_caps(c)->server_pid, second);
	/* and nobody is asked for good */
	assert_int_equal(getsockopt(fds[0], SOL_SOCKET, SO_PASSCRED, &status,
				    &(socklen_t) { sizeof(status) }), 0);
	assert_int_equal(status, 0);
	vfuc_close(c);
	close(one[1]);
	assert_int_equal(read(one[0], &byte, 1), 0);
	close(one[0]);
}

static void test_relative_path(void **state)
{
	char path[128];
	int listener, cwd;

	(void)state;
	cwd = open(".", O_PATH | O_CLOEXEC);
	assert_int_equal(chdir(dir), 0);
	snprintf(path, sizeof(path), "%s/relative", dir);
	listener = listen_unix(path, 5);
	assert_works(listener, "relative", true);
	close(listener);
	unlink(path);
	assert_int_equal(fchdir(cwd), 0);
	close(cwd);
}

static void test_long_path(void **state)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	char deep[256], path[300];
	int listener, cwd;

	(void)state;
	memset(deep, 0, sizeof(deep));
	snprintf(deep, sizeof(deep), "%s/", dir);
	memset(deep + strlen(deep), 'd', 120);
	assert_int_equal(mkdir(deep, 0755), 0);
	snprintf(path, sizeof(path), "%s/socket", deep);
	cwd = open(".", O_PATH | O_CLOEXEC);
	assert_int_equal(chdir(deep), 0);
	strcpy(addr.sun_path, "socket");
	listener = listen_at((struct sockaddr *)&addr, sizeof(addr), 5);
	assert_int_equal(fchdir(cwd), 0);
	close(cwd);
	assert_true(listener >= 0);
	assert_works(listener, path, true);
	close(listener);
	unlink(path);
	rmdir(deep);
}

static void test_no_socket(void **state)
{
	char path[128];
	int fd;

	(void)state;
	assert_fails(dir, VFUC_NOT_A_SOCKET);
	assert_fails("/dev/null", VFUC_NOT_A_SOCKET);
	snprintf(path, sizeof(path), "%s/file", dir);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
	close(fd);
	assert_fails(path, VFUC_NOT_A_SOCKET);
	unlink(path);
}

static void test_datagram_path(void **state)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	(void)state;
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/datagram", dir);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_fails(addr.sun_path, VFUC_NOT_A_SOCKET);
	close(fd);
	unlink(addr.sun_path);
}

static void test_permission(void **state)
{
	char path[128];
	int listener;

	(void)state;
	if (geteuid())
		skip();		/* only root can become somebody else */
	snprintf(path, sizeof(path), "%s/private", dir);
	listener = listen_unix(path, 5);
	chmod(path, 0600);
	assert_int_equal(seteuid(65534), 0);
	assert_fails(path, VFUC_PERMISSION);
	assert_int_equal(seteuid(0), 0);
	close(listener);
	unlink(path);
}

/* Nobody accepts, and the backlog is full. */
static void test_backlog(void **state)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	char path[128];
	int listener;
	int fds[4];
	int i;

	(void)state;
	snprintf(path, sizeof(path), "%s/busy", dir);
	listener = listen_unix(path, 0);
	strcpy(addr.sun_path, path);
	for (i = 0; i < 4; i++) {
		fds[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		if (connect(fds[i], (struct sockaddr *)&addr, sizeof(addr)))
			assert_int_equal(errno, EAGAIN);
	}
	assert_fails(path, VFUC_TIMEOUT);
	for (i = 0; i < 4; i++)
		close(fds[i]);
	close(listener);
	unlink(path);
}

static void test_abstract(void **state)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	char name[64], address[96];
	int listener;

	(void)state;
	snprintf(name, sizeof(name), "engine_transport-%d", (int)getpid());
	snprintf(address, sizeof(address), "@%s", name);
	assert_fails(address, VFUC_NO_SOCKET);
	memcpy(addr.sun_path + 1, name, strlen(name));
	listener = listen_at((struct sockaddr *)&addr,
			     offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name), 5);
	assert_true(listener >= 0);
	assert_works(listener, address, true);
	snprintf(address, sizeof(address), "unix-abstract:%s", name);
	assert_works(listener, address, true);
	close(listener);
	assert_fails(address, VFUC_NO_SOCKET);
}

static void test_fd(void **state)
{
	int pair[2];
	char address[32];

	(void)state;
	/* One that works is what all other tests use. These are taken over and closed as well. */
	snprintf(address, sizeof(address), "fd:%d", dup(open("/dev/null", O_RDWR | O_CLOEXEC)));
	close(atoi(address + 3) - 1);
	{
		struct vfuc_config config = { .address = address };
		unsigned int fds = fs_count_fds();
		struct vfuc_error error;
		struct vfuc *c;

		assert_int_equal(vfuc_open(&c, &config, &error), -ENOTSOCK);
		assert_int_equal(error.kind, VFUC_NOT_A_SOCKET);
		assert_int_equal(fs_count_fds(), fds - 1);
		assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair), 0);
		snprintf(address, sizeof(address), "fd:%d", pair[0]);
		assert_int_equal(vfuc_open(&c, &config, &error), -EPROTOTYPE);
		assert_int_equal(error.kind, VFUC_NOT_A_SOCKET);
		close(pair[1]);
		assert_int_equal(fs_count_fds(), fds - 1);
	}
	assert_fails("fd:1000000", VFUC_NO_SOCKET);
	assert_fails("fd:", VFUC_USAGE);
	assert_fails("fd:-1", VFUC_USAGE);
	assert_fails("fd:3x", VFUC_USAGE);
	assert_fails("fd:99999999999999999999", VFUC_USAGE);
}

static void test_tcp(void **state)
{
	struct sockaddr_in addr = { .sin_family = AF_INET };
	socklen_t len = sizeof(addr);
	char address[64];
	int listener;

	(void)state;
	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	listener = listen_at((struct sockaddr *)&addr, sizeof(addr), 5);
	assert_true(listener >= 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&addr, &len), 0);
	snprintf(address, sizeof(address), "tcp:127.0.0.1:%d", ntohs(addr.sin_port));
	assert_works(listener, address, false);
	close(listener);
	assert_fails(address, VFUC_REFUSED);
}

static void test_tcp6(void **state)
{
	struct sockaddr_in6 addr = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	socklen_t len = sizeof(addr);
	char address[64];
	int listener;

	(void)state;
	listener = listen_at((struct sockaddr *)&addr, sizeof(addr), 5);
	if (listener < 0)
		skip();		/* no IPv6 on this machine */
	assert_int_equal(getsockname(listener, (struct sockaddr *)&addr, &len), 0);
	snprintf(address, sizeof(address), "tcp:[::1]:%d", ntohs(addr.sin6_port));
	assert_works(listener, address, false);
	close(listener);
}

static void test_nonsense(void **state)
{
	static const char * const wrong[] = {
		"", "unix:", "@", "unix-abstract:", "tcp:", "tcp:host", "tcp::80", "tcp:[]:80",
		"tcp:host:", "tcp:host:port", "tcp:host:65536", "tcp:host:-1", "vsock:", "vsock:2",
		"vsock:2:", "vsock::1", "vsock:two:1", "vsock:2:4294967296", "vsock:-1:1",
	};
	struct vfuc_config config = { 0 };
	struct vfuc_error error;
	char name[300];
	struct vfuc *c;
	unsigned int i;

	(void)state;
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_fails(wrong[i], VFUC_USAGE);
	memset(name, 'n', sizeof(name));
	name[0] = '@';
	name[sizeof(name) - 1] = 0;
	config.address = name;
	assert_int_equal(vfuc_open(&c, &config, &error), -ENAMETOOLONG);
	config.address = NULL;
	assert_int_equal(vfuc_open(&c, &config, &error), -EINVAL);
	assert_int_equal(error.kind, VFUC_USAGE);
	config.address = "/nowhere";
	config.max_msg_fds = 254;
	assert_int_equal(vfuc_open(&c, &config, &error), -EINVAL);
	config.max_msg_fds = 0;
	config.max_data_xfer_size = 1ull << 32;
	assert_int_equal(vfuc_open(&c, &config, &error), -EINVAL);
	config.max_data_xfer_size = 0;
	config.max_pending = 1000;
	assert_int_equal(vfuc_open(&c, &config, &error), -EINVAL);
	assert_int_equal(error.kind, VFUC_USAGE);
	/* Nobody is told where it is of no interest. */
	assert_int_equal(vfuc_open(&c, &config, NULL), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_path),
		cmocka_unit_test(test_before_listen),
		cmocka_unit_test(test_activated),
		cmocka_unit_test(test_another_process),
		cmocka_unit_test(test_relative_path),
		cmocka_unit_test(test_long_path),
		cmocka_unit_test(test_no_socket),
		cmocka_unit_test(test_datagram_path),
		cmocka_unit_test(test_permission),
		cmocka_unit_test(test_backlog),
		cmocka_unit_test(test_abstract),
		cmocka_unit_test(test_fd),
		cmocka_unit_test(test_tcp),
		cmocka_unit_test(test_tcp6),
		cmocka_unit_test(test_nonsense),
	};

	return cmocka_run_group_tests_name("engine_transport", tests, make_dir, remove_dir);
}
