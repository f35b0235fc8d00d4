// SPDX-License-Identifier: GPL-2.0-only
/*
 * A supervisor that listens for a server, as systemd does with a socket unit.
 *
 *	vfu_activate PATH PROGRAM [ARG...]
 *
 * Listens on the UNIX socket PATH. PROGRAM is started at the first connection, and again at the
 * next one after its end, with the listening socket as descriptor 3; accepting is PROGRAM's
 * business. Lives until it is killed.
 *
 * Exit status: 2 for a wrong command line, 3 where it cannot listen.
 */
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <signal.h>
#include <unistd.h>

#define SERVER_FD	3

int main(int argc, char **argv)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct pollfd fd = { .events = POLLIN };
	pid_t pid;

	if (argc < 3 || strlen(argv[1]) >= sizeof(addr.sun_path))
		return 2;
	strcpy(addr.sun_path, argv[1]);
	fd.fd = socket(AF_UNIX, SOCK_STREAM, 0);
	if (fd.fd < 0 || bind(fd.fd, (struct sockaddr *)&addr, sizeof(addr)) ||
	    listen(fd.fd, 1)) {
		perror(argv[1]);
		return 3;
	}
	for (;;) {
		if (poll(&fd, 1, -1) < 0)
			continue;
		pid = fork();
		if (!pid) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			if (fd.fd != SERVER_FD)
				dup2(fd.fd, SERVER_FD);
			execvp(argv[2], argv + 2);
			perror(argv[2]);
			_exit(127);
		}
		while (pid > 0 && waitpid(pid, NULL, 0) < 0)
			;
	}
}
