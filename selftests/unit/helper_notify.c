// SPDX-License-Identifier: GPL-2.0-only
/*
 * helper/notify.c: what a service manager is told, and that it is never waited for.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../helper/notify.h"

#define EXPECT(what)	do { if (!(what)) _exit(__LINE__ % 200 + 20); } while (0)

static char dir[] = "/tmp/notify.XXXXXX";
static char path[64];

/* The state of notify.c is its process's: each case has one of its own. */
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

/* A service manager, at a path or, with *name == '@', an abstract address. */
static int manager(const char *name)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", name);
	if (*name == '@')
		addr.sun_path[0] = 0;
	else
		unlink(name);
	EXPECT(fd >= 0);
	EXPECT(!bind(fd, (struct sockaddr *)&addr,
		     offsetof(struct sockaddr_un, sun_path) + strlen(name)));
	setenv("NOTIFY_SOCKET", name, 1);
	return fd;
}

static const char *heard(int fd)
{
	static char text[600];
	ssize_t n = recv(fd, text, sizeof(text) - 1, 0);

	if (n < 0)
		return "";
	text[n] = 0;
	return text;
}

static void watchdog(const char *usec, int pid)
{
	char text[20];

	snprintf(text, sizeof(text), "%d", pid);
	setenv("WATCHDOG_USEC", usec, 1);
	setenv("WATCHDOG_PID", text, 1);
}

static void child_tells(void)
{
	int fd = manager(path);

	notify_open();
	EXPECT(notify_active());
	EXPECT(!getenv("NOTIFY_SOCKET"));
	notify("READY=1\nSTATUS=%s %d", "disk", 1);
	EXPECT(!strcmp(heard(fd), "READY=1\nSTATUS=disk 1"));
	EXPECT(notify_beat() == -1);
	EXPECT(!*heard(fd));
}

static void child_abstract(void)
{
	char name[64];
	int fd;

	snprintf(name, sizeof(name), "@vfiouser-notify-%d", (int)getpid());
	fd = manager(name);
	notify_open();
	notify("STOPPING=1");
	EXPECT(!strcmp(heard(fd), "STOPPING=1"));
}

static void child_nobody(void)
{
	unsetenv("NOTIFY_SOCKET");
	watchdog("1000000", getpid());
	notify_open();
	EXPECT(!notify_active());
	notify("READY=1");
	EXPECT(notify_beat() == -1);
}

static void child_gone(void)
{
	close(manager(path));
	notify_open();
	EXPECT(!notify_active());
	notify("READY=1");
}

static void child_beats(void)
{
	int fd = manager(path), ms;

	watchdog("60000000", getpid());
	notify_open();
	EXPECT(!getenv("WATCHDOG_USEC") && !getenv("WATCHDOG_PID"));
	ms = notify_beat();
	EXPECT(ms > 0 && ms <= 30001);
	EXPECT(!strcmp(heard(fd), "WATCHDOG=1"));
	/* not before it is time */
	ms = notify_beat();
	EXPECT(ms > 0 && ms <= 30001);
	EXPECT(!*heard(fd));
}

static void child_beats_again(void)
{
	int fd = manager(path), n = 0;

	watchdog("2000", getpid());
	notify_open();
	while (n < 3) {
		notify_beat();
		if (!strcmp(heard(fd), "WATCHDOG=1"))
			n++;
	}
}

static void child_not_ours(void)
{
	int fd = manager(path);

	watchdog("2000", getppid());
	notify_open();
	EXPECT(notify_beat() == -1);
	EXPECT(!*heard(fd));
}

static void child_full(void)
{
	int fd = manager(path), i;

	notify_open();
	/* nobody reads: would the alarm come, it had waited */
	alarm(60);
	for (i = 0; i < 5000; i++)
		notify("STATUS=%d", i);
	EXPECT(!strcmp(heard(fd), "STATUS=0"));
}

static void test_tells(void **state)
{
	(void)state;
	run(child_tells);
	run(child_abstract);
}

static void test_nobody(void **state)
{
	(void)state;
	run(child_nobody);
	run(child_gone);
}

static void test_watchdog(void **state)
{
	(void)state;
	run(child_beats);
	run(child_beats_again);
	run(child_not_ours);
}

static void test_never_waits(void **state)
{
	(void)state;
	run(child_full);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tells),
		cmocka_unit_test(test_nobody),
		cmocka_unit_test(test_watchdog),
		cmocka_unit_test(test_never_waits),
	};
	int status;

	if (!mkdtemp(dir))
		return 1;
	snprintf(path, sizeof(path), "%s/socket", dir);
	status = cmocka_run_group_tests(tests, NULL, NULL);
	unlink(path);
	rmdir(dir);
	return status;
}
