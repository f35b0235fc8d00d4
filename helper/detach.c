// SPDX-License-Identifier: GPL-2.0-only
/*
 * "detach": the orderly removal of a device: its driver is unbound first, then the device goes, and
 * then its helper. Refused while the device is in use, unless forced.
 */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "busy.h"
#include "clock.h"
#include "cmd.h"
#include "log.h"
#include "ring.h"
#include "status.h"
#include "sysfs.h"

#define DEFAULT_TIMEOUT_US	60000000
/* How long a helper may take to end after its device has gone, or after it was killed. */
#define HELPER_END_MS		20000
/* Processes like udev's have a short look at disks now and then: how often to look again. */
#define SETTLE_TRIES		10
#define SETTLE_MS		200
/* When waiting is long enough to be told of. */
#define PROGRESS_MS		1000

struct options {
	const char *target;
	bool force;
	uint64_t timeout_us;
};

static void sleep_ms(unsigned int ms)
{
	poll(NULL, 0, ms);
}

/* An interface that is up, which somebody has made so to use it. Returns false if there is none. */
static bool interface_up(const struct sysfs_nodes *nodes, char *name, size_t len)
{
	char path[PATH_MAX], flags[32];
	size_t i;

	for (i = 0; i < nodes->count; i++) {
		const struct sysfs_node *node = &nodes->node[i];

		if (strcmp(node->subsystem, "net") || sysfs_path(path, "%s/flags", node->path) ||
		    sysfs_read(path, flags, sizeof(flags)) || !(strtoul(flags, NULL, 16) & IFF_UP))
			continue;
		snprintf(name, len, "%s", node->name);
		return true;
	}
	return false;
}

/**
 * detach_check_unused() - refuse what would hurt whoever uses a device
 * @device: which
 *
 * Context: may sleep, up to some seconds.
 * Return: enum status: ST_OK, ST_BUSY or ST_FAILED; why was said.
 */
int detach_check_unused(const struct netlink_device *device)
{
	struct sysfs_nodes nodes;
	struct busy busy;
	char name[64];
	int err, i;
	bool up;

	if (!device->has_bdf)
		return ST_OK;
	for (i = 0; i < SETTLE_TRIES; i++) {
		if (i)
			sleep_ms(SETTLE_MS);
		err = sysfs_pci_nodes(&device->bdf, &nodes);
		if (err == -ENOENT)
			return ST_OK;
		if (!err)
			err = busy_check(&nodes, &busy);
		up = !err && interface_up(&nodes, name, sizeof(name));
		sysfs_nodes_free(&nodes);
		if (up)
			return log_fail(ST_BUSY, "network interface %s is up; take it down (ip link set %s down), or use --force",
					name, name);
		if (err)
			return log_fail(ST_FAILED, "cannot see whether %s is in use (%s); --force does not look",
					device->name, strerror(-err));
		if (!busy.count)
			return ST_OK;
		if (!busy.passing)
			break;
	}
	if (busy.count > 1)
		return log_fail(ST_BUSY, "%s, or use --force (%zu more uses, shown by --verbose)",
				busy.first, busy.count - 1);
	return log_fail(ST_BUSY, "%s, or use --force", busy.first);
}

/* 0 while the device is there, 1 once it has gone. */
static int gone(struct netlink *nl, uint32_t id)
{
	struct netlink_device device;
	struct netlink_event event;

	while (!netlink_event(nl, &event)) {
		log_debug("event %u for device %u", event.event, event.device.id);
		if (event.event == VFIOUSER_EVENT_REMOVED && event.device.id == id)
			return 1;
	}
	/* Events can get lost; the device table is what counts. */
	return netlink_device_get(nl, id, &device) == -ENODEV;
}

static bool wait_gone(struct netlink *nl, const struct netlink_device *device, int64_t timeout_ms)
{
	struct pollfd fd = { .fd = netlink_event_fd(nl), .events = POLLIN };
	int64_t start = now_ms(), end = start + timeout_ms;

	while (!gone(nl, device->id)) {
		if (now_ms() >= end) {
			log_progress_end();
			return false;
		}
		if (now_ms() - start >= PROGRESS_MS)
			log_progress("%s: waiting for the driver to let go, %lld s", device->name,
				     (long long)(now_ms() - start) / 1000);
		poll(&fd, 1, 200);
	}
	log_progress_end();
	return true;
}

static int remove_device(struct netlink *nl, const struct netlink_device *device,
			 const struct options *opt, int helper)
{
	struct pollfd fd = { .fd = helper, .events = POLLIN };
	char driver[64];
	int err;

	err = netlink_device_del(nl, device->id);
	/* Whoever removes it as well is as good. */
	if (err && err != -ENODEV && err != -EALREADY && err != -EINPROGRESS)
		return log_fail(status_of_kernel(err), "the kernel refused to remove %s: %s",
				device->name, netlink_error(nl));
	if (!wait_gone(nl, device, opt->timeout_us / 1000)) {
		if (!opt->force || helper < 0)
			return log_fail(ST_TIMEOUT, "%s is still being removed after %llu s; wait with a longer --timeout, or use --force to end its helper",
					device->name,
					(unsigned long long)opt->timeout_us / 1000000);
		log_note("ending the helper (process %u)", device->pid);
		syscall(SYS_pidfd_send_signal, helper, SIGKILL, NULL, 0);
		if (!wait_gone(nl, device, HELPER_END_MS)) {
			if (sysfs_pci_driver(&device->bdf, driver, sizeof(driver)) || !driver[0])
				snprintf(driver, sizeof(driver), "%s", "none that is known");
			return log_fail(ST_TIMEOUT, "%s is still there without its helper: its driver, %s, does not let go; see the kernel's log",
					device->name, driver);
		}
	}
	/* So that nothing of it is left when we return. */
	if (helper >= 0)
		poll(&fd, 1, HELPER_END_MS);
	return ST_OK;
}

static int detach(const struct options *opt)
{
	struct netlink_device device;
	struct netlink *nl;
	int status, helper = -1;

	status = cmd_netlink(&nl);
	if (status)
		return status;
	status = find_device(nl, opt->target, &device);
	if (!status && !opt->force)
		status = detach_check_unused(&device);
	if (!status && netlink_subscribe(nl))
		status = log_fail(ST_FAILED, "cannot follow the kernel's events: %s",
				  netlink_error(nl));
	if (!status) {
		log_debug("removing %s (id %u, %s, helper %u)", device.name, device.id,
			  ring_state_name(device.state), device.pid);
		if (device.pid)
			helper = syscall(SYS_pidfd_open, device.pid, 0);
		status = remove_device(nl, &device, opt, helper);
		if (helper >= 0)
			close(helper);
	}
	netlink_close(nl);
	return status;
}

static int run(int argc, char **argv)
{
	static const struct option options[] = {
		{ "force", no_argument, NULL, 'f' },
		{ "timeout", required_argument, NULL, 't' },
		{ "verbose", no_argument, NULL, 'v' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 }
	};
	struct options opt = { .timeout_us = DEFAULT_TIMEOUT_US };
	int c;

	while ((c = getopt_long(argc, argv, ":ft:vh", options, NULL)) != -1) {
		switch (c) {
		case 'f':
			opt.force = true;
			break;
		case 't':
			if (parse_duration(optarg, 1000000, &opt.timeout_us))
				return cmd_usage(&cmd_detach, "\"%s\" is no time like 60s", optarg);
			break;
		case 'v':
			log_verbose = true;
			break;
		case 'h':
			cmd_help(&cmd_detach);
			return ST_OK;
		default:
			return cmd_bad_option(&cmd_detach, c, argv);
		}
	}
	if (optind != argc - 1)
		return cmd_usage(&cmd_detach, "it takes one device");
	opt.target = argv[optind];
	return detach(&opt);
}

const struct cmd cmd_detach = {
	.name = "detach",
	.synopsis = "[OPTION...] DEVICE",
	.summary = "remove a device in an orderly way",
	.help =
"Unbinds the driver, removes the PCI device, and ends its helper. Refused while it is in\n"
"use: mounted in any mount namespace, used as swap, part of another block device, or\n"
"open; a network interface that is up, in this network namespace.\n\n" CMD_DEVICE_HELP
"Options:\n"
"  -f, --force         also while it is in use (unsaved data is lost), and end a helper\n"
"                      that does not let go\n"
"  -t, --timeout=TIME  how long to wait for the removal (default 60s)\n"
"  -v, --verbose       one line for each use and event\n"
"  -h, --help          this text\n\n"
"Examples:\n"
"  umount /mnt && vfiouserctl detach vfu0\n"
"  vfiouserctl detach --force /run/nvme.sock    the server hangs, and its disk with it\n",
	.run = run,
};
