// SPDX-License-Identifier: GPL-2.0-only
/*
 * Another process that goes on where this one was killed: neither the driver nor the back end
 * notices, since both connections stay.
 *
 * While rings run there is nothing for this process to do, and it sleeps. What fork() makes then is
 * its like in all that it knows and has open, and stays so until the next event. So a copy is made
 * when the sleep has begun (asleep()), waits for the end of this process, and then returns from
 * asleep() as this process would. It may do so while this process sleeps, and not from when it
 * wakes (awake()) until it sleeps again; where the event changes something (touched()) it is killed
 * and made anew.
 *
 * Who may go on is a number in memory that both share. It is withdrawn by a store, and nobody has
 * to wait until the copy is gone, which on a busy host takes its time. A process that fails in what
 * it does about an event therefore has no copy that would do the same once more. What the copy has
 * open is closed a little later than here: back end and client hear of it when it is gone.
 *
 * What is lost is lost as without: whoever kills this process while it is at work, both of them, or
 * their whole control group.
 */
#include <errno.h>
#include <link.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "vhost.h"

/* After a copy that has ended on its own, as where memory is short. */
#define AGAIN_US	1000000

/**
 * standby_init() - there is none yet
 * @h: device; options set
 */
void standby_init(struct vhost *h)
{
	struct vhost_standby *s = &h->standby;

	s->copy = -1;
	if (h->opt.no_standby)
		return;
	s->valid = mmap(NULL, sizeof(*s->valid), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			-1, 0);
	if (s->valid == MAP_FAILED)
		s->valid = NULL;
	/* The host lends a server CPUs, and a copy would keep what it has been lent just then. */
	if (sched_getaffinity(0, sizeof(s->cpus), &s->cpus))
		CPU_ZERO(&s->cpus);
	/* It is not waited for, and its number is not given to another one while we hold it. */
	signal(SIGCHLD, SIG_IGN);
}

static void withdraw(struct vhost_standby *s)
{
	__atomic_store_n(s->valid, 0, __ATOMIC_SEQ_CST);
}

/**
 * standby_drop() - have no copy
 * @priv: struct vhost
 */
void standby_drop(void *priv)
{
	struct vhost *h = priv;
	struct vhost_standby *s = &h->standby;

	if (s->copy < 0)
		return;
	withdraw(s);
	vhost_unwatch(h, s->copy);
	syscall(SYS_pidfd_send_signal, s->copy, SIGKILL, NULL, 0);
	close(s->copy);
	s->copy = -1;
}

/* The service manager: it has lost its main process, and this is it now. */
static void tell_manager(void)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	size_t len = path ? strlen(path) : 0;
	char text[32];
	int fd;

	if (len < 2 || len >= sizeof(addr.sun_path) || (*path != '/' && *path != '@'))
		return;
	memcpy(addr.sun_path, path, len);
	if (*path == '@')
		addr.sun_path[0] = 0;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return;
	snprintf(text, sizeof(text), "MAINPID=%d", getpid());
	if (sendto(fd, text, strlen(text), 0, (struct sockaddr *)&addr,
		   (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) < 0)
		perror(PROG ": the service manager");
	close(fd);
}

static int lock_object(struct dl_phdr_info *info, size_t size, void *unused)
{
	int i;

	(void)size;
	(void)unused;
	for (i = 0; i < info->dlpi_phnum; i++) {
		if (info->dlpi_phdr[i].p_type == PT_LOAD)
			mlock((void *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr),
			      info->dlpi_phdr[i].p_memsz);
	}
	return 0;
}

/*
 * As stay_in_memory(), of which a child inherits nothing. Code is read in, also what has never run;
 * what else is mapped is the client's memory, which is not to be.
 */
static void lock_memory(void)
{
	/* Where there is a limit to that it is as with the first one, which says nothing either. */
	mlockall(MCL_CURRENT | MCL_ONFAULT);
	dl_iterate_phdr(lock_object, NULL);
}

/*
 * The copy: returns when it is the device's process, and otherwise ends without giving back what it
 * has of the device: that is the other one's.
 */
static void stand_by(struct vhost *h, int original, unsigned int turn)
{
	struct vhost_standby *s = &h->standby;
	struct pollfd p = { .fd = original, .events = POLLIN };
	const pid_t before = getppid();

	/* Whoever looks for the program by name means the other one. */
	prctl(PR_SET_NAME, "vhost-standby");
	lock_memory();
	while (poll(&p, 1, -1) < 0)
		if (errno != EINTR)
			_exit(0);
	if (__atomic_load_n(s->valid, __ATOMIC_SEQ_CST) != turn)
		_exit(0);
	withdraw(s);
	close(original);
	prctl(PR_SET_NAME, PROG);
	if (CPU_COUNT(&s->cpus))
		sched_setaffinity(0, sizeof(s->cpus), &s->cpus);
	tell_manager();
	vhost_log(h, 0, "process %d has ended: going on in its place", before);
}

/* Returns false in the process that goes on. */
static bool make_copy(struct vhost *h)
{
	struct vhost_standby *s = &h->standby;
	int self = (int)syscall(SYS_pidfd_open, getpid(), 0);
	pid_t copy;

	if (!++s->turn)
		s->turn = 1;
	copy = self < 0 ? -1 : fork();
	if (!copy) {
		stand_by(h, self, s->turn);
		return false;
	}
	s->copy = copy < 0 ? -1 : (int)syscall(SYS_pidfd_open, copy, 0);
	if (copy > 0 && s->copy < 0)
		kill(copy, SIGKILL);
	if (self >= 0)
		close(self);
	/* Woken by its end, to make another one. */
	if (s->copy >= 0 && vhost_watch(h, s->copy, EPOLLIN, SRC_STANDBY, 0))
		standby_drop(h);
	if (s->copy < 0 && !s->said)
		vhost_log(h, 0, "no other process to go on should this one be killed: %s",
			  strerror(errno));
	s->said = s->copy < 0;
	return true;
}

/**
 * standby_asleep() - nothing is to be done until something happens
 * @priv: struct vhost
 *
 * Return: false in the process that goes on.
 */
bool standby_asleep(void *priv)
{
	struct vhost *h = priv;
	struct vhost_standby *s = &h->standby;

	/* What is on its way would change it without an event. */
	if (h->rings != RINGS_RUNNING || !s->valid || !wire_idle(&h->wire) || h->backreq_in.have) {
		standby_drop(h);
		return true;
	}
	if (s->copy < 0 && !make_copy(h))
		return false;
	if (s->copy >= 0)
		__atomic_store_n(s->valid, s->turn, __ATOMIC_SEQ_CST);
	return true;
}

/**
 * standby_awake() - something has happened: the copy is not to be trusted any more
 * @priv: struct vhost
 */
void standby_awake(void *priv)
{
	struct vhost *h = priv;

	if (h->standby.copy >= 0)
		withdraw(&h->standby);
}

/**
 * standby_event() - the copy has ended before we did
 * @h: device
 */
void standby_event(struct vhost *h)
{
	struct pollfd p = { .fd = h->standby.copy, .events = POLLIN };

	if (p.fd < 0 || poll(&p, 1, 0) <= 0)
		return;
	standby_drop(h);
	h->standby.again_at = wire_now_us() + AGAIN_US;
}

/**
 * standby_poll() - when is the time for another copy?
 * @h: device
 *
 * Return: microseconds until then, or -1.
 */
long standby_poll(struct vhost *h)
{
	struct vhost_standby *s = &h->standby;
	uint64_t now = s->again_at ? wire_now_us() : 0;

	if (now < s->again_at)
		return (long)(s->again_at - now);
	s->again_at = 0;
	return -1;
}
