// SPDX-License-Identifier: GPL-2.0-only
/*
 * "attach --vhost=TYPE:SOCKET": the server is vfiouser-vhost in front of a vhost-user back end, and
 * it is started here where it does not run yet.
 *
 * It outlives the device: many back ends end with their connection, and a device that is detached
 * can be attached again. It ends by itself when the back end has gone and nobody is connected to
 * it. What it says goes to a file beside its socket.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "cmd.h"
#include "log.h"
#include "parse.h"
#include "status.h"

#define PROGRAM_NAME	"vfiouser-vhost"
#define DIRECTORY	"/run/vfiouser"

/* How long a back end may take to be there, where --wait-server does not say. */
#define DEFAULT_WAIT_MS	10000
#define LOOK_US		20000

/* For the life of the process. */
static struct {
	char type[32];
	char name[VFIOUSER_NAME_MAX];
	char socket[64];
	char log[64];
	char program[PATH_MAX];
} server;

/* The back end's file name without what follows a dot; what names do not have becomes "-". */
static void make_name(const char *socket)
{
	const char *base = strrchr(socket, '/');
	size_t i;

	snprintf(server.name, sizeof(server.name), "%.*s", (int)sizeof(server.name) - 1,
		 base ? base + 1 : socket);
	server.name[strcspn(server.name, ".")] = 0;
	for (i = 0; server.name[i]; i++)
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-",
			    server.name[i]))
			server.name[i] = '-';
	if (!parse_name_valid(server.name, VFIOUSER_NAME_MAX))
		snprintf(server.name, sizeof(server.name), "vhost");
}

/* Beside this program where both are installed, else where programs are looked for. */
static const char *program(void)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	if (n > 0) {
		self[n] = 0;
		slash = strrchr(self, '/');
		if (slash)
			*slash = 0;
		if (snprintf(server.program, sizeof(server.program),
			     "%s/../libexec/vfiouser/" PROGRAM_NAME, self) <
		    (int)sizeof(server.program) && !access(server.program, X_OK))
			return server.program;
	}
	return PROGRAM_NAME;
}

/* Is anybody there? Only asks: the connection is closed at once. */
static bool listens(void)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool yes;

	if (fd < 0)
		return false;
	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", server.socket);
	yes = !connect(fd, (struct sockaddr *)&sun, sizeof(sun)) || errno == EAGAIN;
	close(fd);
	return yes;
}

static pid_t start(const char *backend)
{
	char type[48], vhost[PATH_MAX + 20], socket[100];
	char *argv[] = { PROGRAM_NAME, type, vhost, socket, "--until-gone", NULL };
	const char *path = program();
	int log;
	pid_t pid;

	snprintf(type, sizeof(type), "--type=%s", server.type);
	snprintf(vhost, sizeof(vhost), "--vhost-socket=%s", backend);
	snprintf(socket, sizeof(socket), "--socket-path=%s", server.socket);
	pid = fork();
	if (pid)
		return pid;
	setsid();
	log = open(server.log, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
	if (log < 0)
		_exit(127);
	dup2(log, STDOUT_FILENO);
	dup2(log, STDERR_FILENO);
	log = open("/dev/null", O_RDONLY | O_CLOEXEC);
	dup2(log, STDIN_FILENO);
	umask(0077);
	if (chdir("/"))
		_exit(127);
	execvp(path, argv);
	fprintf(stderr, PROGRAM_NAME ": %s\n", strerror(errno));
	_exit(127);
}

/* The last line that it has written. */
static int failed(int status, const char *otherwise)
{
	char line[400] = "", last[400] = "";
	FILE *f = fopen(server.log, "re");
	const char *text;

	while (f && fgets(line, sizeof(line), f))
		snprintf(last, sizeof(last), "%s", line);
	if (f)
		fclose(f);
	last[strcspn(last, "\n")] = 0;
	text = !strncmp(last, PROGRAM_NAME ": ", strlen(PROGRAM_NAME ": ")) ?
	       last + strlen(PROGRAM_NAME ": ") : last;
	return log_fail(status, "%s: %s", PROGRAM_NAME, *text ? text : otherwise);
}

static int wait_ready(pid_t pid, uint64_t wait_us)
{
	int64_t end = now_ms() + (wait_us ? (int64_t)(wait_us / 1000) : DEFAULT_WAIT_MS);
	int status;

	while (!listens()) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			return failed(WIFEXITED(status) && WEXITSTATUS(status) == 2 ? ST_USAGE :
				      ST_SERVER, "it ended at once");
		if (now_ms() >= end) {
			kill(pid, SIGTERM);
			waitpid(pid, NULL, 0);
			return failed(ST_NO_SOCKET, "no back end came in time");
		}
		usleep(LOOK_US);
	}
	return ST_OK;
}

/**
 * vhost_start() - have a server in front of a back end
 * @opt: vhost is set; address, and the name where there is none, are filled in
 *
 * Context: sleeps, up to the time that --wait-server says.
 * Return: enum status.
 */
int vhost_start(struct attach_options *opt)
{
	const char *colon = strchr(opt->vhost, ':');
	char backend[PATH_MAX];
	int status = ST_OK;
	pid_t pid;

	if (!colon || colon == opt->vhost || !colon[1] ||
	    (size_t)(colon - opt->vhost) >= sizeof(server.type))
		return cmd_usage(&cmd_attach, "\"%s\" is no device type and socket like blk:/run/disk.sock",
				 opt->vhost);
	snprintf(server.type, sizeof(server.type), "%.*s", (int)(colon - opt->vhost), opt->vhost);
	/* It may not be there yet, and this program's directory is not the server's. */
	if (!realpath(colon + 1, backend)) {
		if (colon[1] != '/' && !opt->server_us)
			return log_fail(ST_NO_SOCKET, "%s: %s", colon + 1, strerror(errno));
		snprintf(backend, sizeof(backend), "%s", colon + 1);
	}
	if (opt->name)
		snprintf(server.name, sizeof(server.name), "%s", opt->name);
	else
		make_name(backend);
	opt->name = server.name;
	if (mkdir(DIRECTORY, 0755) && errno != EEXIST)
		return log_fail(ST_FAILED, "%s: %s", DIRECTORY, strerror(errno));
	snprintf(server.socket, sizeof(server.socket), DIRECTORY "/%s.vhost", server.name);
	snprintf(server.log, sizeof(server.log), DIRECTORY "/%s.vhost.log", server.name);
	opt->address = server.socket;
	if (listens()) {
		log_note("%s: using the " PROGRAM_NAME " that runs already", server.socket);
		return ST_OK;
	}
	pid = start(backend);
	if (pid < 0)
		return log_fail(ST_FAILED, "cannot start " PROGRAM_NAME ": %s", strerror(errno));
	status = wait_ready(pid, opt->server_us);
	return status;
}
