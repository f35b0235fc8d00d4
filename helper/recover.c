// SPDX-License-Identifier: GPL-2.0-only
/*
 * "recover": another helper for a device that exists, be it that its own is gone or that it is to
 * be replaced, as by a newer version.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmd.h"
#include "log.h"
#include "status.h"

static int recover(struct attach_options *opt, const struct netlink_device *device)
{
	opt->old = device;
	opt->name = device->name;
	opt->address = device->socket;
	opt->timeout_ms = device->timeout_ms;
	opt->reconnect = device->grace_ms && strncmp(device->socket, "fd:", 3);
	return attach_run(opt);
}

/* In a process of its own, since this is done once in each. */
static int recover_child(struct attach_options *opt, const struct netlink_device *device)
{
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (!pid)
		exit(cmd_finish(recover(opt, device)));
	if (pid < 0 || waitpid(pid, &status, 0) < 0 || !WIFEXITED(status))
		return log_fail(ST_FAILED, "cannot recover %s", device->name);
	return WEXITSTATUS(status);
}

static int recover_all(struct attach_options *opt, struct netlink *nl)
{
	struct netlink_device *devices;
	int err, status = ST_OK;
	size_t count, i;

	err = netlink_device_list(nl, &devices, &count);
	if (err)
		return log_fail(status_of_kernel(err), "cannot list devices: %s",
				netlink_error(nl));
	for (i = 0; i < count; i++) {
		if (devices[i].state != VFIOUSER_STATE_FROZEN || devices[i].pid ||
		    netlink_device_get(nl, devices[i].id, &devices[i]))
			continue;
		err = recover_child(opt, &devices[i]);
		if (err)
			status = err;
	}
	free(devices);
	return status;
}

static int run(int argc, char **argv)
{
	struct netlink_device device;
	struct attach_options opt;
	bool all = false;
	struct netlink *nl;
	int i, status;

	/* The rest is as for "attach". */
	for (i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--all"))
			continue;
		all = true;
		argv[i] = "all";
	}
	status = attach_parse(argc, argv, &opt);
	if (status)
		return status;
	if (opt.help) {
		cmd_help(&cmd_recover);
		return ST_OK;
	}
	if (opt.name || opt.force || opt.reconnect)
		return cmd_usage(&cmd_recover, "name, reconnecting and force are the device's");
	if (all && opt.foreground)
		return cmd_usage(&cmd_recover, "--all cannot stay in the foreground");
	status = cmd_netlink(&nl);
	if (status)
		return status;
	if (all)
		status = recover_all(&opt, nl);
	else
		status = find_device(nl, opt.address, &device);
	if (!all && !status && netlink_device_get(nl, device.id, &device))
		status = log_fail(ST_NO_DEVICE, "%s has just gone", device.name);
	netlink_close(nl);
	if (!all && !status)
		status = recover(&opt, &device);
	return status;
}

const struct cmd cmd_recover = {
	.name = "recover",
	.synopsis = "[OPTION...] DEVICE|--all",
	.summary = "start another helper for a device",
	.help =
"Starts another helper for a device that was attached with a --grace time and has lost its\n"
"own; or replaces the helper of a device that is in use, as after an update. The new one\n"
"connects to the same server, and the device's driver goes on as after a reset. Prints the\n"
"same as \"attach\".\n\n"
CMD_DEVICE_HELP
"Options:\n"
"      --all             all devices that wait for a helper\n"
"  -F, --foreground      stay until the device is gone; ^C detaches it\n"
"      --wait=TIME, --poll-us=N, --no-direct, --no-sandbox, -j, --json, -v, --verbose\n"
"                        as for \"attach\"\n"
"  -h, --help            this text\n\n"
"Examples:\n"
"  vfiouserctl recover disk1\n"
"  vfiouserctl recover --all\n",
	.run = run,
};
