// SPDX-License-Identifier: GPL-2.0-only
/*
 * Gives a server a socket of any kind, since servers by themselves only make UNIX sockets with a
 * path.
 *
 *	vfu_socket ADDRESS SERVER [OPTION...]
 *
 * listens on ADDRESS (@NAME, tcp:HOST:PORT, tcp:[HOST]:PORT, vsock:CID:PORT; port 0: any), prints
 * where that is, and becomes SERVER --fd=3 OPTION...
 *
 *	vfu_socket pair SERVER [OPTION...] -- CLIENT [ARGUMENT...]
 *
 * starts SERVER --fd=3 OPTION... with one end of a socket pair, and becomes CLIENT with the other
 * end as descriptor 4.
 *
 * Exit status: 1 where something fails, 2 for a wrong command line, 3 where this kernel has no such
 * sockets.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <linux/vm_sockets.h>
#include <sys/un.h>
#include <unistd.h>

#define SERVER_FD	3
#define CLIENT_FD	4

static void die(const char *what)
{
	int status = errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL ? 3 : 1;

	fprintf(stderr, "vfu_socket: %s: %s\n", what, strerror(errno));
	exit(status);
}

static void usage(void)
{
	fprintf(stderr, "usage: vfu_socket @NAME|tcp:HOST:PORT|vsock:CID:PORT SERVER [OPTION...]\n"
		"       vfu_socket pair SERVER [OPTION...] -- CLIENT [ARGUMENT...]\n");
	exit(2);
}

static int listener(const void *addr, socklen_t len, int family)
{
	int fd = socket(family, SOCK_STREAM, 0), one = 1;

	if (fd < 0)
		die("socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, addr, len) || listen(fd, 4))
		die("listen");
	return fd;
}

static int listen_abstract(const char *name)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	size_t len = strlen(name);

	if (!len || len >= sizeof(sun.sun_path))
		usage();
	memcpy(sun.sun_path + 1, name, len);
	printf("@%s\n", name);
	return listener(&sun, offsetof(struct sockaddr_un, sun_path) + 1 + len, AF_UNIX);
}

static int listen_tcp(char *where)
{
	struct sockaddr_in6 sin6 = { .sin6_family = AF_INET6 };
	struct sockaddr_in sin = { .sin_family = AF_INET };
	char *colon = strrchr(where, ':');
	socklen_t len;
	int fd;

	if (!colon)
		usage();
	*colon = '\0';
	sin.sin_port = htons(atoi(colon + 1));
	sin6.sin6_port = sin.sin_port;
	if (*where == '[' && colon[-1] == ']') {
		colon[-1] = '\0';
		if (inet_pton(AF_INET6, where + 1, &sin6.sin6_addr) != 1)
			usage();
		fd = listener(&sin6, sizeof(sin6), AF_INET6);
		len = sizeof(sin6);
		if (getsockname(fd, (struct sockaddr *)&sin6, &len))
			die("getsockname");
		printf("tcp:%s]:%d\n", where, ntohs(sin6.sin6_port));
		return fd;
	}
	if (inet_pton(AF_INET, where, &sin.sin_addr) != 1)
		usage();
	fd = listener(&sin, sizeof(sin), AF_INET);
	len = sizeof(sin);
	if (getsockname(fd, (struct sockaddr *)&sin, &len))
		die("getsockname");
	printf("tcp:%s:%d\n", where, ntohs(sin.sin_port));
	return fd;
}

static int listen_vsock(const char *where)
{
	struct sockaddr_vm svm = { .svm_family = AF_VSOCK };
	socklen_t len = sizeof(svm);
	char *end;
	int fd;

	svm.svm_cid = strtoul(where, &end, 0);
	if (*end != ':')
		usage();
	svm.svm_port = strtoul(end + 1, NULL, 0);
	if (!svm.svm_port)
		svm.svm_port = VMADDR_PORT_ANY;
	fd = listener(&svm, sizeof(svm), AF_VSOCK);
	if (getsockname(fd, (struct sockaddr *)&svm, &len))
		die("getsockname");
	printf("vsock:%u:%u\n", svm.svm_cid, svm.svm_port);
	return fd;
}

/* Becomes a server with a socket as descriptor 3. */
static void serve(int fd, char **argv)
{
	char **args;
	int n;

	for (n = 0; argv[n]; n++)
		;
	args = calloc(n + 2, sizeof(*args));
	if (!args || (fd != SERVER_FD && dup2(fd, SERVER_FD) < 0))
		die("server");
	args[0] = argv[0];
	args[1] = "--fd=3";
	memcpy(args + 2, argv + 1, (n - 1) * sizeof(*args));
	execvp(args[0], args);
	die(args[0]);
}

static void pair(char **argv)
{
	char **client = argv;
	int fd[2];
	pid_t pid;

	while (*client && strcmp(*client, "--"))
		client++;
	if (client == argv || !*client || !client[1])
		usage();
	*client++ = NULL;
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, fd))
		die("socketpair");
	/* Out of the way of the numbers that they are to have. */
	if (dup2(fd[0], 10) < 0 || dup2(fd[1], 11) < 0)
		die("dup2");
	close(fd[0]);
	close(fd[1]);
	fflush(NULL);
	pid = fork();
	if (pid < 0)
		die("fork");
	if (!pid) {
		close(11);
		/* Who reads what the client prints is not to wait for the server's end. */
		if (dup2(STDERR_FILENO, STDOUT_FILENO) < 0 || dup2(10, SERVER_FD) < 0)
			die("dup2");
		close(10);
		serve(SERVER_FD, argv);
	}
	close(10);
	if (dup2(11, CLIENT_FD) < 0)
		die("dup2");
	close(11);
	execvp(client[0], client);
	die(client[0]);
}

int main(int argc, char **argv)
{
	int fd;

	if (argc < 3)
		usage();
	if (!strcmp(argv[1], "pair"))
		pair(argv + 2);
	if (argv[1][0] == '@')
		fd = listen_abstract(argv[1] + 1);
	else if (!strncmp(argv[1], "tcp:", 4))
		fd = listen_tcp(argv[1] + 4);
	else if (!strncmp(argv[1], "vsock:", 6))
		fd = listen_vsock(argv[1] + 6);
	else
		usage();
	fflush(stdout);
	serve(fd, argv + 2);
}
