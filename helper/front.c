// SPDX-License-Identifier: GPL-2.0-only
/*
 * The command that was typed: it waits until the helper has made the device and the device is
 * usable, and prints it. In the foreground it stays, and turns a signal into an orderly removal.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "busy.h"
#include "clock.h"
#include "cmd.h"
#include "front.h"
#include "log.h"
#include "notify.h"
#include "proc.h"
#include "status.h"
#include "sysfs.h"

/* When waiting is long enough to be told of. */
#define PROGRESS_MS		1000
/* How long the helper may take to end. */
#define HELPER_END_MS		5000
/* And a removal: the kernel gives a driver ten seconds to end its probe. */
#define REMOVAL_MS		20000
/* How long the bus scan may take without an event. */
#define SCAN_MS			120000
/* How long a service that is stopped waits for its device to be let go; how often it looks. */
#define UNUSED_MS		60000
#define UNUSED_LOOK_MS		100

/**
 * front_pause() - sleep
 * @front: the command
 * @ms: up to so many milliseconds
 *
 * Context: sleeps.
 * Return: false if the helper has ended, or has said something, meanwhile.
 */
bool front_pause(const struct front *front, int ms)
{
	struct pollfd fd = { .fd = front->fd, .events = POLLIN };

	return poll(&fd, 1, ms) <= 0;
}

/*
 * What the helper's end waits for is its own business: a descriptor of the server's that cannot be
 * closed, for which the kernel has no end. Its device has gone by then.
 */
static int helper_status(pid_t pid)
{
	struct pollfd fd = { .fd = syscall(SYS_pidfd_open, pid, 0), .events = POLLIN };
	int n = 1;

	if (fd.fd >= 0) {
		n = poll(&fd, 1, HELPER_END_MS);
		close(fd.fd);
	}
	if (n)
		return proc_status(pid);
	return log_fail(ST_FAILED,
			"the helper %d cannot be ended: it waits for a descriptor of the server's; leaving it behind",
			(int)pid);
}

/**
 * front_helper_ended() - the helper has ended; it has said why, unless it had nothing to
 * complain about
 * @front: the command
 *
 * Context: sleeps.
 * Return: enum status, never ST_OK.
 */
int front_helper_ended(struct front *front)
{
	int status = helper_status(front->helper);

	front->helper = 0;
	if (status == ST_OK)
		status = log_fail(ST_FAILED, "the device was removed while it was being attached");
	return status;
}

/**
 * front_progress() - tell who looks on a terminal what takes so long
 * @front: the command
 * @start: since when, now_ms()
 * @what: we are waiting for
 *
 * Context: any.
 */
void front_progress(const struct front *front, int64_t start, const char *what)
{
	int64_t ms = now_ms() - start;

	if (ms >= PROGRESS_MS)
		log_progress("%s: %s, %lld s", front->opt->name ? front->opt->name :
			     front->opt->address, what, (long long)ms / 1000);
}

static int wait_created(struct front *front)
{
	struct proc_ready ready;
	int64_t start = now_ms();
	ssize_t n;

	while (front_pause(front, 200))
		front_progress(front, start, "waiting for the server");
	log_progress_end();
	do {
		n = recv(front->fd, &ready, sizeof(ready), 0);
	} while (n < 0 && errno == EINTR);
	if (n != sizeof(ready))
		return front_helper_ended(front);
	front->device.id = ready.id;
	notify("STATUS=connected; waiting for a driver");
	return ST_OK;
}

/* Has the kernel refused the device? Then why has been said. Returns enum status. */
static int refusal(struct front *front)
{
	struct netlink_event event;

	while (!netlink_event(front->nl, &event)) {
		log_debug("event %u for device %u", event.event, event.device.id);
		if (event.device.id != front->device.id || event.event != VFIOUSER_EVENT_FAILED)
			continue;
		front->refused = true;
		if (*event.reason)
			return log_fail(ST_KERNEL, "the device cannot be attached: %s",
					event.reason);
		return log_fail(ST_KERNEL, "the kernel could not add the device (%s); see its log",
				strerror(event.error));
	}
	return ST_OK;
}

/* The helper of a device that was being added has ended, perhaps since it was refused just now. */
static int ended_early(struct front *front)
{
	int status = refusal(front);

	return status ? status : front_helper_ended(front);
}

/* Waits until the bus was scanned and drivers were asked. */
static int wait_added(struct front *front)
{
	int64_t start = now_ms(), end = start + SCAN_MS;
	uint32_t id = front->device.id;
	int err, status;

	for (;;) {
		status = refusal(front);
		if (status)
			return status;
		err = netlink_device_get(front->nl, id, &front->device);
		if (err && err != -ENODEV)
			return log_fail(status_of_kernel(err), "cannot look at the device: %s",
					netlink_error(front->nl));
		if (!err && front->device.state == VFIOUSER_STATE_LIVE)
			return ST_OK;
		if (err || (front->device.state > VFIOUSER_STATE_LIVE &&
			    front->device.state <= VFIOUSER_STATE_GONE)) {
			/* Why is what the helper says, if it is not hanging too. */
			if (!front_pause(front, 1000))
				return ended_early(front);
			status = refusal(front);
			if (status)
				return status;
			return log_fail(ST_KERNEL, "the device was lost while it was being added; see the kernel's log");
		}
		front_progress(front, start, "waiting for the scan of the bus");
		if (now_ms() > end)
			return log_fail(ST_TIMEOUT, "the scan of the bus does not end; see the kernel's log");
		if (!front_pause(front, FRONT_LOOK_MS))
			return ended_early(front);
	}
}

static void print_device(const struct front *front)
{
	const struct netlink_device *device = &front->device;
	char bdf[BDF_TEXT], driver[64], children[256], line[500];
	unsigned int vendor = 0xffff, id = 0xffff;

	format_bdf(bdf, &device->bdf);
	sysfs_pci_id(&device->bdf, "vendor", &vendor);
	sysfs_pci_id(&device->bdf, "device", &id);
	if (sysfs_pci_driver(&device->bdf, driver, sizeof(driver)))
		snprintf(driver, sizeof(driver), "-");
	list_children(device, children, sizeof(children));
	snprintf(line, sizeof(line), "%s %s %04x:%04x %s%s%s", device->name, bdf, vendor, id,
		 driver, *children ? " " : "", children);
	if (front->opt->json)
		cmd_print_json(list_device_json(device));
	else
		puts(line);
	notify("READY=1\nSTATUS=%s", line);
}

/*
 * At shutdown systemd unmounts what was mounted by hand only after it has stopped all services,
 * this one among them. So its file systems are unmounted here; what else uses it is waited for,
 * within reason.
 */
static void wait_unused(struct front *front, int signals)
{
	struct pollfd fds[2] = {
		{ .fd = front->fd },
		{ .fd = signals, .events = POLLIN },
	};
	int64_t end = now_ms() + UNUSED_MS;
	bool told = false;

	do {
		struct sysfs_nodes nodes;
		struct busy busy = { 0 };

		if (sysfs_pci_nodes(&front->device.bdf, &nodes))
			return;
		if (busy_release(&nodes, &busy))
			busy.count = 0;
		sysfs_nodes_free(&nodes);
		if (!busy.count)
			return;
		if (!told) {
			log_clean(busy.first);
			log_note("%s; waiting %d s for that", busy.first, UNUSED_MS / 1000);
			notify("STATUS=waiting: %s", busy.first);
			told = true;
		}
	} while (now_ms() < end && !poll(fds, 2, UNUSED_LOOK_MS));
	log_note("the device is removed while it is in use; what was not written is lost");
}

/* In the foreground: until the device has gone. The first signal removes it, the second kills. */
static int stay(struct front *front, int signals)
{
	struct pollfd fds[2] = {
		{ .fd = front->fd, .events = POLLIN },
		{ .fd = signals, .events = POLLIN },
	};
	struct signalfd_siginfo info;
	struct proc_ready ready;
	bool asked = false;
	int status;

	while (!(fds[0].revents & POLLHUP)) {
		if (poll(fds, 2, -1) < 0)
			continue;
		/* Another helper has the device now. */
		if (fds[0].revents & POLLIN && recv(front->fd, &ready, sizeof(ready), 0) <= 0)
			break;
		if (!fds[1].revents)
			continue;
		fds[1].revents = 0;
		if (read(signals, &info, sizeof(info)) != sizeof(info))
			continue;
		if (asked) {
			kill(front->helper, SIGKILL);
			continue;
		}
		asked = true;
		if (notify_active()) {
			notify("STOPPING=1");
			wait_unused(front, signals);
		}
		kill(front->helper, SIGTERM);
	}
	status = helper_status(front->helper);
	if (status && notify_active())
		log_note("the device is lost; why is in the kernel's log");
	return status;
}

/**
 * front_run() - wait until the device is usable, print it; in the foreground, stay
 * @opt: options
 * @helper: process that creates and serves the device
 * @fd: our end of the pair
 * @nl: subscribed to events
 *
 * Context: single threaded.
 * Return: enum status.
 */
int front_run(const struct attach_options *opt, pid_t helper, int fd, struct netlink *nl)
{
	struct front front = { .opt = opt, .nl = nl, .helper = helper, .fd = fd };
	int status, signals = -1;

	status = wait_created(&front);
	if (status)
		return status;
	/* From here on a signal must not leave the device half attached and nobody told. */
	if (opt->foreground) {
		signals = proc_signals();
		if (signals < 0)
			return log_fail(ST_FAILED, "cannot receive signals: %s",
					strerror(-signals));
	}
	status = wait_added(&front);
	if (!status)
		status = front_wait_usable(&front);
	log_progress_end();
	if (status) {
		/* Its device did not come to be; leave nothing behind. */
		if (front.helper && (!front.refused || front_pause(&front, HELPER_END_MS))) {
			kill(front.helper, SIGTERM);
			front_pause(&front, REMOVAL_MS);
		}
		return status;
	}
	print_device(&front);
	fflush(stdout);
	return opt->foreground ? stay(&front, signals) : ST_OK;
}
