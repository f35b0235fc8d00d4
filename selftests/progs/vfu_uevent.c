// SPDX-License-Identifier: GPL-2.0-only
/*
 * What udev does on a machine: loads the driver of a device that appears.
 *
 * Takes the kernel's events one by one, in their order, and runs modprobe for the few of them that need it.
 * A program for each, as busybox's uevent starts it, was a tenth of all that the test VMs did.
 * Ends only with the VM, or at once where it cannot have the events.
 */
#include <errno.h>
#include <linux/netlink.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* The kernel's events; udev's own are another group. */
#define GROUP_KERNEL	1
/* As many as a burst of devices makes while one of them waits for its driver to be loaded. */
#define QUEUE_BYTES	(16 << 20)

static void load(char *alias)
{
	char *argv[] = { "modprobe", "-q", "-b", alias, NULL };
	pid_t pid;

	if (!posix_spawn(&pid, "/usr/bin/modprobe", NULL, NULL, argv, environ))
		waitpid(pid, NULL, 0);
}

/* An event is "ACTION@PATH" and then variables, each of which ends in a NUL. */
static void handle(char *event, size_t len)
{
	char *var, *alias = NULL;

	if (strncmp(event, "add@", 4))
		return;
	for (var = event; var < event + len; var += strlen(var) + 1)
		if (!strncmp(var, "MODALIAS=", 9))
			alias = var + 9;
	if (alias && *alias)
		load(alias);
}

int main(void)
{
	struct sockaddr_nl addr = { .nl_family = AF_NETLINK, .nl_groups = GROUP_KERNEL };
	int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_KOBJECT_UEVENT);
	int bytes = QUEUE_BYTES;
	static char buf[16384];
	ssize_t len;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) ||
	    bind(fd, (struct sockaddr *)&addr, sizeof(addr))) {
		perror("vfu_uevent");
		return 1;
	}
	for (;;) {
		len = recv(fd, buf, sizeof(buf) - 1, 0);
		if (len > 0) {
			buf[len] = '\0';
			handle(buf, (size_t)len);
		} else if (len < 0 && errno != EINTR) {
			perror("vfu_uevent");
		}
	}
}
