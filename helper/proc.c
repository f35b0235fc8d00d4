// SPDX-License-Identifier: GPL-2.0-only
/*
 * The process that serves a device: how it is started, protected and confined.
 *
 * "attach" is two processes. The front is the command that was typed: it has the terminal and its
 * privileges, starts the helper, waits until the device is usable and prints it; then it ends or,
 * in the foreground, stays and turns a signal into an orderly removal. The helper is the child:
 * it does the set-up and serves. It has the address space that the kernel module knows, drops all
 * privileges before the first request, and talks to nobody but the channel and the server.
 *
 * Between them is a socket pair: the helper says that the device exists (struct proc_ready), and
 * learns that the front has ended by the hang-up.
 */
#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "log.h"
#include "proc.h"
#include "seccomp.h"
#include "status.h"

#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER	57
#endif

/* Not the very last to go, but after everything that is not essential. */
#define OOM_SCORE_ADJ	"-900"

/* Above what distributions and containers give to users; with a process id added. */
#define PROC_USER_BASE	0x70000000u

static int null_fd = -1;
static int kmsg_fd = -1;

/**
 * proc_privileged() - may we create devices?
 *
 * Context: any.
 * Return: true if CAP_SYS_ADMIN is in effect.
 */
bool proc_privileged(void)
{
	return capng_have_capability(CAPNG_EFFECTIVE, CAP_SYS_ADMIN);
}

/**
 * proc_fork() - start the helper
 * @fd: result: our end of the socket pair
 *
 * The helper gets SIGTERM when the front dies before proc_stay() or proc_drop().
 *
 * Context: single threaded.
 * Return: the helper's id in the front, 0 in the helper, or a negative errno.
 */
pid_t proc_fork(int *fd)
{
	pid_t front = getpid();
	int pair[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return -errno;
	fflush(NULL);
	pid = fork();
	if (pid < 0) {
		pid = -errno;
		close(pair[0]);
		close(pair[1]);
		return pid;
	}
	if (pid) {
		close(pair[1]);
		*fd = pair[0];
		return pid;
	}
	close(pair[0]);
	*fd = pair[1];
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	/* It may have died before that. */
	if (getppid() != front)
		_exit(ST_FAILED);
	/* ^C is for the front alone. */
	setsid();
	return 0;
}

/**
 * proc_signals() - SIGTERM and SIGINT become readable on a descriptor
 *
 * Context: single threaded.
 * Return: the descriptor, or a negative errno.
 */
int proc_signals(void)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	if (sigprocmask(SIG_BLOCK, &set, NULL))
		return -errno;
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

static void lower_oom_score(void)
{
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, OOM_SCORE_ADJ, strlen(OOM_SCORE_ADJ)) < 0)
		log_note("cannot lower the OOM score: %s", strerror(errno));
	if (fd >= 0)
		close(fd);
}

/**
 * proc_prepare() - make the helper fit to sit below a file system
 *
 * It may be what the page cache needs to write a page back, so it must never wait for a page of its
 * own, start reclaim that waits for it, or be killed to make room.
 *
 * Context: the helper, connected, before it maps the server's memory. Changes to the directory /.
 * Return: 0 or a negative errno.
 */
int proc_prepare(void)
{
	struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
	struct rlimit files;
	int fd;

	signal(SIGPIPE, SIG_IGN);
	/* Inherited where whoever started us has prepared itself. */
	if (null_fd < 0)
		null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null_fd < 0)
		return -errno;
	if (kmsg_fd < 0)
		kmsg_fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
	/* Nothing is read or printed here; stderr stays until the front has ended. */
	for (fd = 0; fd < 2; fd++)
		if (dup2(null_fd, fd) < 0)
			return -errno;
	if (chdir("/"))
		return -errno;

	/* An eventfd for each of up to 2048 vectors. */
	if (!getrlimit(RLIMIT_NOFILE, &files)) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	/* Allocations are locked memory, also when the capability to exceed the limit is gone. */
	setrlimit(RLIMIT_MEMLOCK, &unlimited);
	/*
	 * What is mapped now is code and data, and is read in. What comes is the pool, populated on
	 * its own, the server's BARs, which are not ours to populate, and the heap: on fault.
	 */
	if (mlockall(MCL_CURRENT) || mlockall(MCL_FUTURE | MCL_ONFAULT))
		log_note("cannot lock memory (%s); the device may hang when memory is short",
			 strerror(errno));
	if (prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0))
		log_note("cannot become an I/O flusher (%s); the device may hang when memory is short",
			 strerror(errno));
	lower_oom_score();
	return 0;
}

/**
 * proc_drop() - from now on the helper drops everything when the front dies
 *
 * It is not the front's orderly end, which is a signal: all of a service is being killed, and
 * its device waits for the next one. To begin to remove it would lose what was not written.
 *
 * Context: the helper.
 */
void proc_drop(void)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
}

/**
 * proc_stay() - from now on the helper outlives the front
 *
 * Context: the helper.
 */
void proc_stay(void)
{
	prctl(PR_SET_PDEATHSIG, 0);
}

/*
 * Leaves the file system behind: what is the root directory from now on has nothing in it but
 * the numbers of our own descriptors, and goes with us. A mount namespace would do so as well, but
 * would keep mounted what the host unmounts. Not vital: the filter opens nothing under any root.
 */
static void leave_files(void)
{
	if (chroot("/proc/self/fdinfo") || chdir("/"))
		log_note("cannot leave the file system: %s", strerror(errno));
}

/*
 * A user of its own, whom no other process and no file belongs to: nothing may be done to another
 * process for being the same user's, nor is it root's word that a service manager hears. In a unit
 * without the capability for that it stays who it is.
 */
static void change_user(void)
{
	const uid_t id = PROC_USER_BASE + (uid_t)getpid();
	const pid_t parent = getppid();
	int sig = 0;

	prctl(PR_GET_PDEATHSIG, &sig);
	if (setgroups(0, NULL) || setresgid(id, id, id) || setresuid(id, id, id)) {
		log_note("cannot give the helper a user of its own: %s", strerror(errno));
		return;
	}
	/* Who changes users has lost it. */
	if (sig && (prctl(PR_SET_PDEATHSIG, sig) || getppid() != parent))
		raise(sig);
}

/**
 * proc_confine() - leave the file system, become nobody, drop capabilities, restrict system calls
 * @sandbox: false: do nothing
 *
 * Context: the helper, when set-up is over.
 * Return: 0 or a negative errno.
 */
int proc_confine(bool sandbox)
{
	if (!sandbox)
		return 0;
	leave_files();
	/* Before the capability for it is gone. */
	capng_clear(CAPNG_SELECT_BOUNDS);
	if (capng_apply(CAPNG_SELECT_BOUNDS))
		return -EPERM;
	change_user();
	capng_clear(CAPNG_SELECT_CAPS | CAPNG_SELECT_AMBIENT);
	if (capng_apply(CAPNG_SELECT_CAPS | CAPNG_SELECT_AMBIENT))
		return -EPERM;
	return seccomp_restrict();
}

/**
 * proc_background() - the front has ended: let the terminal go
 *
 * Context: the helper, after proc_prepare().
 */
void proc_background(void)
{
	if (kmsg_fd >= 0)
		log_to_kmsg(kmsg_fd);
	dup2(null_fd, STDERR_FILENO);
}

/**
 * proc_status() - wait for the helper's end
 * @pid: the helper
 *
 * Context: the front; sleeps.
 * Return: its enum status; ST_FAILED, and it is said, if a signal killed it.
 */
int proc_status(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return log_fail(ST_FAILED, "the helper is lost: %s", strerror(errno));
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	return log_fail(ST_FAILED, "the helper was killed by signal %d (%s)", WTERMSIG(status),
			strsignal(WTERMSIG(status)));
}
