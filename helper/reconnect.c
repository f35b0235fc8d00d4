// SPDX-License-Identifier: GPL-2.0-only
/*
 * A helper for a device after another.
 *
 * With --reconnect there is a process between the front and the helper, the keeper. It starts
 * helpers: the first creates the device, and whenever one has ended, because the server is gone or
 * hangs or the helper itself is, another takes the frozen device over. How long that may go on is
 * the kernel's to say, which removes the device when its grace time is over. That ends a wait. A
 * server that does come back, and is gone again before its device works, begins a new wait each
 * time: such ones are counted here, with pauses that grow, and may together take no longer than
 * one. Where a driver has left the device in between, a recovery alone is no sign that it works,
 * since it may set the device up in the background: then it has to last for as long as a wait.
 *
 * A device that the kernel has given up is a failure of the keeper's, so that a service manager
 * starts it again; one whose removal somebody has asked for is none.
 *
 * A helper that serves has no privileges any more and could not connect again. The keeper has
 * them, but sees nothing of what a server sends.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "clock.h"
#include "cmd.h"
#include "log.h"
#include "notify.h"
#include "proc.h"
#include "reconnect.h"
#include "status.h"

#define BACKOFF_MIN_MS	20
/* Where nobody is there to connect to. */
#define BACKOFF_MAX_MS	1000
/* Where somebody was, who did not last. Nor more than such a part of the grace time. */
#define TROUBLE_MAX_MS	15000
#define TROUBLE_PART	8

/* How long a helper may go on with a device that the kernel has frozen. */
#define HELPER_END_MS	1000
/* And how long it may take to end when it is killed. */
#define HELPER_KILL_MS	5000
/* And how long until the kernel says so of the device. */
#define HELPER_GONE_MS	5000

/**
 * struct keeper - one device
 * @opt: options of the helpers
 * @nl: subscribed to events
 * @front: socket to the command that was typed, -1 once that has ended
 * @signals: descriptor
 * @device: as last seen, with @created
 * @created: the device exists
 * @served: the last helper came as far as to serve it
 * @live: and the device as far as to work
 * @tried: since when a driver tries anew, after it had left the device, now_ms(); 0: it had not
 * @lost: the kernel has given the device up
 * @gone: the device is no more
 * @helper: the last one that was started
 * @stuck: a helper that cannot even be killed, 0: there is none
 * @trouble: since when no helper has brought the device that far, now_ms(); 0: the last one has
 * @ours: one of them did; until then a signal is about us, not about the device
 * @stopping: a signal has asked for its removal
 */
struct keeper {
	struct attach_options opt;
	struct netlink *nl;
	int front;
	int signals;
	struct netlink_device device;
	bool created;
	bool served;
	bool live;
	int64_t tried;
	bool lost;
	bool gone;
	pid_t helper;
	pid_t stuck;
	int64_t trouble;
	bool ours;
	bool stopping;
};

/**
 * reconnect_fail() - as log_fail(), but said once where attempts fail one after the other
 * @opt: @old and @last_status are looked at
 * @status: enum status
 * @fmt: printf format: what is wrong, and what to do
 *
 * Context: any.
 * Return: @status.
 */
int reconnect_fail(const struct attach_options *opt, int status, const char *fmt, ...)
{
	char text[400];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (opt->old && opt->last_status == status) {
		log_debug("again: %s", text);
		return status;
	}
	return log_fail(status, "%s", text);
}

/* The command that was typed has ended, and with it the terminal is not ours any more. */
static void front_gone(struct keeper *k)
{
	close(k->front);
	k->front = -1;
	proc_background();
}

/*
 * What the helper has to say: that there is a device, once. It says so before it confines itself;
 * whatever comes later may be its server speaking, and must not make us look after another device.
 */
static void take_ready(struct keeper *k, int *fd)
{
	struct proc_ready ready;

	if (recv(*fd, &ready, sizeof(ready), MSG_DONTWAIT) == sizeof(ready) && !k->served) {
		if (!k->created)
			k->device.id = ready.id;
		ready.id = k->device.id;
		if (k->front >= 0)
			send(k->front, &ready, sizeof(ready), MSG_NOSIGNAL);
		k->created = true;
		k->served = true;
		k->ours = true;
		/* As the helper, for the same reason. */
		if (k->opt.foreground && notify_active())
			proc_background();
		if (k->opt.foreground)
			proc_drop();
		else
			proc_stay();
	}
	/* It learns from the hang-up that the terminal is gone. */
	if (k->front < 0 && k->served) {
		close(*fd);
		*fd = -1;
	}
}

/* Returns true if the kernel has frozen our device. */
static bool take_events(struct keeper *k)
{
	struct netlink_event event;
	bool frozen = false;

	while (!netlink_event(k->nl, &event)) {
		if (!k->created || event.device.id != k->device.id)
			continue;
		switch (event.event) {
		case VFIOUSER_EVENT_FROZEN:
			frozen = true;
			break;
		case VFIOUSER_EVENT_RECOVERED:
			k->live = !event.error;
			k->tried = event.error ? now_ms() : 0;
			break;
		case VFIOUSER_EVENT_LOST:
			k->lost = event.error;
			break;
		case VFIOUSER_EVENT_REMOVED:
			k->gone = true;
			break;
		}
	}
	return frozen;
}

static bool take_signal(struct keeper *k)
{
	struct signalfd_siginfo info;

	if (read(k->signals, &info, sizeof(info)) != sizeof(info))
		return false;
	k->stopping = true;
	return true;
}

/* Waits for the end of a helper. Returns its status. */
static int watch(struct keeper *k, pid_t pid, int fd)
{
	int helper = syscall(SYS_pidfd_open, pid, 0), timeout = -1, beat, n;
	struct pollfd fds[5];
	bool killed = false;

	if (helper < 0) {
		kill(pid, SIGKILL);
		proc_status(pid);
		return log_fail(ST_FAILED, "cannot watch the helper: %s", strerror(errno));
	}
	for (;;) {
		fds[0] = (struct pollfd) { .fd = helper, .events = POLLIN };
		fds[1] = (struct pollfd) { .fd = k->signals, .events = POLLIN };
		fds[2] = (struct pollfd) { .fd = netlink_event_fd(k->nl), .events = POLLIN };
		fds[3] = (struct pollfd) { .fd = k->front };
		fds[4] = (struct pollfd) { .fd = fd, .events = POLLIN };
		/* A helper that serves tells the watchdog on its own. */
		beat = k->served ? -1 : notify_beat();
		n = poll(fds, 5, timeout < 0 ? beat : timeout);
		if (n < 0 || (!n && timeout < 0))
			continue;
		if (fds[0].revents)
			break;
		if (!n && killed) {
			log_note("the helper %d cannot be ended: it waits for a descriptor of the server's; leaving it behind",
				 (int)pid);
			k->stuck = pid;
			break;
		}
		if (!n) {
			log_note("the helper does not let the device go; ending it");
			kill(pid, SIGKILL);
			killed = true;
			timeout = HELPER_KILL_MS;
		}
		if (fds[1].revents && take_signal(k))
			kill(pid, SIGTERM);
		/* Before it serves, the freeze is that which came before it, or its taking over. */
		if (fds[2].revents && ((take_events(k) && k->served) || k->gone) && !killed)
			timeout = HELPER_END_MS;
		if (fds[3].revents)
			front_gone(k);
		if (fd >= 0 && (fds[4].revents || k->front < 0))
			take_ready(k, &fd);
	}
	close(helper);
	if (fd >= 0) {
		/* It may have said so just before its end. */
		if (!k->served && poll(&fds[4], 1, 0) > 0)
			take_ready(k, &fd);
		if (fd >= 0)
			close(fd);
	}
	if (k->stuck == pid)
		return ST_TIMEOUT;
	return proc_status(pid);
}

static int run_helper(struct keeper *k)
{
	pid_t pid;
	int fd;

	pid = proc_fork(&fd);
	if (!pid) {
		sigset_t none;

		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		if (k->front >= 0)
			close(k->front);
		close(k->signals);
		netlink_close(k->nl);
		exit(attach_helper(&k->opt, fd));
	}
	if (pid < 0)
		return log_fail(ST_FAILED, "cannot start a helper: %s", strerror(-pid));
	k->helper = pid;
	return watch(k, pid, fd);
}

/* Sleeps; cut short by a signal. */
static void pause_ms(struct keeper *k, int ms)
{
	struct pollfd fds[3] = {
		{ .fd = k->signals, .events = POLLIN },
		{ .fd = netlink_event_fd(k->nl), .events = POLLIN },
		{ .fd = k->front },
	};

	notify_beat();
	if (poll(fds, 3, ms) <= 0)
		return;
	if (fds[0].revents)
		take_signal(k);
	if (fds[1].revents)
		take_events(k);
	if (fds[2].revents)
		front_gone(k);
}

/*
 * Does the kernel still take the device for one that is served, and by the helper that has ended?
 * It may have frozen it before the helper's end, which it then hears of late all the same.
 */
static bool not_noticed(const struct keeper *k)
{
	const struct netlink_device *d = &k->device;
	bool ours = (pid_t)d->pid == k->helper;

	if (d->state == VFIOUSER_STATE_FROZEN)
		return ours && k->helper != k->stuck;
	return (d->state < VFIOUSER_STATE_LOST || d->state == VFIOUSER_STATE_RESUMING) &&
	       (!d->pid || ours);
}

/* Is there a device without a helper? The kernel may find out a little later than we do. */
static bool waits(struct keeper *k)
{
	int64_t end = now_ms() + HELPER_GONE_MS;

	for (;;) {
		if (netlink_device_get(k->nl, k->device.id, &k->device))
			return false;
		if (!not_noticed(k) || k->stopping || now_ms() >= end)
			break;
		pause_ms(k, BACKOFF_MIN_MS);
	}
	return k->device.state == VFIOUSER_STATE_FROZEN &&
	       (!k->device.pid || (pid_t)k->device.pid == k->stuck);
}

/* Somebody else has the device, or nobody any more. Returns enum status, @status if it was lost. */
static int ended(struct keeper *k, int status)
{
	take_events(k);
	while (!k->gone && !netlink_device_get(k->nl, k->device.id, &k->device)) {
		if (k->device.state < VFIOUSER_STATE_LOST ||
		    k->device.state > VFIOUSER_STATE_GONE)
			return ST_OK;
		/* Its drivers may take their time to let it go. */
		pause_ms(k, BACKOFF_MAX_MS);
	}
	take_events(k);
	if (!k->lost || k->stopping)
		return ST_OK;
	return log_fail(status, "the device is lost: nobody has served it in time");
}

static void remove_device(struct keeper *k)
{
	netlink_device_del(k->nl, k->device.id);
	while (!netlink_device_get(k->nl, k->device.id, &k->device))
		pause_ms(k, BACKOFF_MAX_MS);
}

/*
 * How long to wait after a helper has ended. Returns -1 if the server has gone away so often,
 * before its device worked, that there is no point in going on.
 */
static int backoff(struct keeper *k, int last)
{
	int max = BACKOFF_MAX_MS;

	if (k->tried && now_ms() - k->tried > k->device.grace_ms)
		k->live = true;
	if (k->served && k->live) {
		k->trouble = 0;
		return BACKOFF_MIN_MS;
	}
	if (k->served && !k->trouble)
		k->trouble = now_ms();
	if (k->trouble) {
		if (k->served && now_ms() - k->trouble > k->device.grace_ms)
			return -1;
		max = k->device.grace_ms / TROUBLE_PART;
		if (max > TROUBLE_MAX_MS)
			max = TROUBLE_MAX_MS;
	}
	return last * 2 < max ? last * 2 : max;
}

static int keep(struct keeper *k)
{
	int wait = BACKOFF_MIN_MS, status;

	for (;;) {
		k->served = false;
		/* One that is created is not frozen before it works, but lost. */
		k->live = !k->opt.old;
		k->tried = 0;
		status = run_helper(k);
		if (status == ST_OK || !k->created)
			return status;
		take_events(k);
		if (!waits(k))
			break;
		if (k->served)
			log_note("the device waits for up to %u s; connecting again",
				 k->device.grace_ms / 1000);
		wait = backoff(k, wait);
		if (wait < 0) {
			remove_device(k);
			return log_fail(ST_UNSTABLE,
					"the server goes away each time before its device works, for %u s now; device removed",
					k->device.grace_ms / 1000);
		}
		k->opt.last_status = k->served ? ST_OK : status;
		k->opt.old = &k->device;
		if (!k->stopping)
			pause_ms(k, wait);
		if (k->stopping) {
			if (!k->ours)
				return status;
			remove_device(k);
			return ST_OK;
		}
		if (!waits(k))
			break;
	}
	return ended(k, status);
}

/**
 * reconnect_run() - have a device served until it is gone
 * @opt: of the helpers
 * @front: socket to the command that was typed
 *
 * Context: a process of its own, with all privileges.
 * Return: enum status.
 */
int reconnect_run(const struct attach_options *opt, int front)
{
	struct keeper k = { .opt = *opt, .front = front };
	char path[VFIOUSER_SOCKET_MAX];
	int err, status;

	log_device(opt->old ? opt->old->name : opt->name ? opt->name : opt->address);
	/* Helpers start in another directory. What the path leads to is looked up each time. */
	attach_socket_name(path, opt->address);
	k.opt.address = path;
	if (opt->old) {
		k.device = *opt->old;
		k.opt.old = &k.device;
		k.created = true;
	}
	err = proc_prepare();
	if (err)
		return log_fail(ST_FAILED, "cannot prepare the keeper process: %s",
				strerror(-err));
	k.signals = proc_signals();
	if (k.signals < 0)
		return log_fail(ST_FAILED, "cannot receive signals: %s", strerror(-k.signals));
	status = cmd_netlink(&k.nl);
	if (status)
		return status;
	if (netlink_subscribe(k.nl))
		status = log_fail(ST_FAILED, "cannot follow the kernel's events: %s",
				  netlink_error(k.nl));
	else
		status = keep(&k);
	netlink_close(k.nl);
	close(k.signals);
	return status;
}
