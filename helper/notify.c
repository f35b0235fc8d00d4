// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a service manager is told: sd_notify(3)'s protocol, a datagram of "NAME=value" lines to the
 * socket in NOTIFY_SOCKET.
 *
 * libsystemd would open a socket for each message, which the confined helper may not do, and would
 * wait where the manager does not read. The manager may be waiting for the very disk that this
 * process serves: a message that does not go at once is lost.
 *
 * Owns: the socket, shared by the front and its helper after fork(), and each one's next beat. Not
 * thread safe.
 */
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "notify.h"
#include "parse.h"

static int notify_fd = -1;
/* How often the manager wants to hear of us, and when it will next; 0: not at all. */
static uint64_t beat_us;
static uint64_t next_us;

static uint64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

/* The watchdog is for the process that was started, and its helper acts for it. */
static uint64_t watchdog_us(void)
{
	const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
	uint64_t value;

	if (pid && (parse_u64(pid, INT32_MAX, &value) || (pid_t)value != getpid()))
		return 0;
	if (!usec || parse_u64(usec, UINT64_MAX / 2, &value))
		return 0;
	return value;
}

/**
 * notify_open() - find the service manager, if one has started us
 *
 * What it has put into the environment is removed, so that no child takes it for its own.
 *
 * Context: single threaded, before the helper is forked.
 */
void notify_open(void)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	size_t len = path ? strlen(path) : 0;

	/* Others, such as a virtual machine's vsock, are not for a service of this host. */
	if (path && (*path == '/' || *path == '@') && len > 1 && len < sizeof(addr.sun_path)) {
		memcpy(addr.sun_path, path, len);
		if (*path == '@')
			addr.sun_path[0] = 0;
		notify_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		if (notify_fd >= 0 && connect(notify_fd, (struct sockaddr *)&addr,
					      offsetof(struct sockaddr_un, sun_path) + len)) {
			log_note("cannot reach the service manager at %s: %s", path,
				 strerror(errno));
			close(notify_fd);
			notify_fd = -1;
		}
	}
	if (notify_fd >= 0)
		/* Twice as often as asked for, as sd_watchdog_enabled(3) recommends. */
		beat_us = watchdog_us() / 2;
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
}

/**
 * notify_active() - has a service manager started us?
 *
 * Context: any.
 * Return: true if it wants to be told.
 */
bool notify_active(void)
{
	return notify_fd >= 0;
}

/**
 * notify() - tell the service manager something, if there is one
 * @fmt: printf format of lines "NAME=value"; STATUS has to be the last one, control characters
 *	within it are the caller's to avoid
 *
 * Context: any; never waits.
 */
void notify(const char *fmt, ...)
{
	char text[500];
	va_list args;

	if (notify_fd < 0)
		return;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (send(notify_fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		log_debug("the service manager was not told: %s", strerror(errno));
}

/**
 * notify_beat() - tell the service manager's watchdog that this process goes on, if it is time
 *
 * Context: any; never waits. Called whenever the loop of a process comes around.
 * Return: milliseconds until it has to be called again, or -1 if there is no watchdog.
 */
int notify_beat(void)
{
	uint64_t now;

	if (!beat_us)
		return -1;
	now = now_us();
	if (now >= next_us) {
		notify("WATCHDOG=1");
		next_us = now + beat_us;
	}
	return (int)((next_us - now) / 1000 + 1);
}
