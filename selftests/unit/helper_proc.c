// SPDX-License-Identifier: GPL-2.0-only
/*
 * helper/proc.c and seccomp.c: what a confined helper can and cannot do, in a child that reports by
 * its exit status.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <linux/vfiouser.h>

#include "../../helper/proc.h"
#include "../../helper/seccomp.h"

#define EXPECT(what)	do { if (!(what)) _exit(__LINE__ % 200 + 20); } while (0)
#define REFUSED(call)	do { errno = 0; EXPECT((call) < 0 && errno == EPERM); } while (0)

static void run(void (*child)(void))
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid) {
		child();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (status)
		print_error("child: status 0x%x; exit statuses are line %% 200 + 20\n", status);
	assert_int_equal(status, 0);
}

static void refuses(void)
{
	struct sockaddr_in addr = { .sin_family = AF_INET };
	char *const argv[] = { (char *)"true", NULL };
	void *page;
	int fd;

	page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	EXPECT(page != MAP_FAILED && fd >= 0);
	EXPECT(!seccomp_restrict());
	REFUSED(open("/dev/null", O_RDONLY));
	REFUSED(open("/tmp/vfiouser-new", O_CREAT | O_RDWR, 0600));
	REFUSED(socket(AF_INET, SOCK_STREAM, 0));
	REFUSED(connect(fd, (struct sockaddr *)&addr, sizeof(addr)));
	REFUSED(execv("/bin/true", argv));
	REFUSED(fork());
	REFUSED(kill(1, 0));
	/* Somebody else of the same user's. */
	REFUSED(syscall(SYS_tgkill, getppid(), getppid(), 0));
	EXPECT(!syscall(SYS_tgkill, getpid(), getpid(), 0));
	REFUSED(ptrace(PTRACE_TRACEME, 0, NULL, NULL));
	REFUSED(unlink("/tmp/vfiouser-none"));
	REFUSED(ioctl(1, TIOCSTI, "x"));
	REFUSED(mprotect(page, 4096, PROT_READ | PROT_EXEC));
	errno = 0;
	EXPECT(mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
	       MAP_FAILED && errno == EPERM);
}

static void allows(void)
{
	struct pollfd pfd = { .events = POLLIN };
	struct msghdr msg = { 0 };
	struct iovec iov;
	uint64_t value = 1;
	int pair[2], null, fd;
	void *p, *more;

	null = open("/dev/null", O_RDWR);
	EXPECT(null >= 0 && !socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	EXPECT(!seccomp_restrict());
	fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	EXPECT(fd >= 0);
	EXPECT(write(fd, &value, sizeof(value)) == sizeof(value));
	pfd.fd = fd;
	EXPECT(poll(&pfd, 1, 1000) == 1);
	EXPECT(read(fd, &value, sizeof(value)) == sizeof(value));
	iov = (struct iovec) { &value, sizeof(value) };
	msg.msg_iov = &iov;
	msg.msg_iovlen = 1;
	EXPECT(sendmsg(pair[0], &msg, MSG_NOSIGNAL) == sizeof(value));
	EXPECT(recvmsg(pair[1], &msg, MSG_DONTWAIT) == sizeof(value));
	/* Past the filter; /dev/null has no such ioctl. */
	EXPECT(ioctl(null, VFIOUSER_IOC_WAKE, 0) < 0 && errno == ENOTTY);
	EXPECT(ioctl(null, VFIOUSER_IOC_IRQFD, NULL) < 0 && errno == ENOTTY);
	/* What the allocator asks for, small and large. */
	p = malloc(100);
	EXPECT(p);
	free(p);
	p = malloc(64 << 20);
	EXPECT(p);
	memset(p, 1, 64 << 20);
	more = realloc(p, 128 << 20);
	EXPECT(more);
	free(more);
	/* Letting the terminal go. */
	EXPECT(dup2(null, STDERR_FILENO) == STDERR_FILENO);
	EXPECT(!close(fd));
}

/* As root only: others have nothing to drop. */
static void drops(void)
{
	char text[4096], *line;
	uint64_t caps;
	ssize_t n;
	int fd;

	fd = open("/proc/self/status", O_RDONLY);
	EXPECT(fd >= 0);
	EXPECT(proc_privileged());
	EXPECT(!proc_confine(true));
	n = read(fd, text, sizeof(text) - 1);
	EXPECT(n > 0);
	text[n] = '\0';
	for (line = strstr(text, "\nCap"); line; line = strstr(line + 1, "\nCap")) {
		EXPECT(sscanf(line, "\nCap%*3s:%lx", &caps) == 1);
		EXPECT(!caps);
	}
	/* Nobody else's user, and in no group. */
	EXPECT(getuid() >= 0x70000000 && geteuid() == getuid() && getgid() == getuid());
	EXPECT(strstr(text, "\nGroups:\t \n") || strstr(text, "\nGroups:\t\n"));
	line = strstr(text, "\nNoNewPrivs:");
	EXPECT(line && !strncmp(line, "\nNoNewPrivs:\t1", 14));
	line = strstr(text, "\nSeccomp:");
	EXPECT(line && !strncmp(line, "\nSeccomp:\t2", 11));
}

static void test_refuses(void **state)
{
	(void)state;
	run(refuses);
}

static void test_allows(void **state)
{
	(void)state;
	run(allows);
}

static void test_drops(void **state)
{
	(void)state;
	if (!proc_privileged())
		skip();
	run(drops);
}

static void switched_off(void)
{
	bool privileged = proc_privileged();

	EXPECT(!proc_confine(false));
	EXPECT(proc_privileged() == privileged);
	EXPECT(open("/dev/null", O_RDONLY) >= 0);
}

static void test_switched_off(void **state)
{
	(void)state;
	run(switched_off);
}

/* Returns what the helper writes after its front has died: nothing, where it dies with it. */
static ssize_t front_dies(bool stay)
{
	int fd, ready[2], out[2], status;
	char byte = 'x';
	pid_t front;
	ssize_t n;

	assert_int_equal(pipe(ready), 0);
	assert_int_equal(pipe(out), 0);
	front = fork();
	assert_true(front >= 0);
	if (!front) {
		front = getpid();
		if (proc_fork(&fd) == 0) {
			close(out[0]);
			if (stay)
				proc_stay();
			EXPECT(write(ready[1], &byte, 1) == 1);
			/* The hang-up of the pair. */
			EXPECT(read(fd, &byte, 1) == 0);
			if (!stay)
				pause();
			while (getppid() == front)
				usleep(1000);
			EXPECT(write(out[1], &byte, 1) == 1);
			_exit(0);
		}
		EXPECT(read(ready[0], &byte, 1) == 1);
		_exit(0);
	}
	close(out[1]);
	assert_int_equal(waitpid(front, &status, 0), front);
	assert_int_equal(status, 0);
	n = read(out[0], &byte, 1);
	close(out[0]);
	close(ready[0]);
	close(ready[1]);
	return n;
}

static void test_front_dies(void **state)
{
	(void)state;
	assert_int_equal(front_dies(false), 0);
	assert_int_equal(front_dies(true), 1);
}

static void helper_status(void)
{
	pid_t pid;
	int fd;

	pid = proc_fork(&fd);
	if (!pid)
		_exit(11);
	EXPECT(pid > 0 && proc_status(pid) == 11);
	close(fd);
	pid = proc_fork(&fd);
	if (!pid) {
		raise(SIGKILL);
		_exit(0);
	}
	EXPECT(pid > 0 && proc_status(pid) == 1);
	close(fd);
}

static void test_status(void **state)
{
	(void)state;
	run(helper_status);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refuses),
		cmocka_unit_test(test_allows),
		cmocka_unit_test(test_drops),
		cmocka_unit_test(test_switched_off),
		cmocka_unit_test(test_front_dies),
		cmocka_unit_test(test_status),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
