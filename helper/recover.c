// SPDX-License-Identifier: GPL-2.0-only
/*
 * "recover": another helper for a device that exists, be it that its own is gone or that it is to
 * be replaced, as by a newer version.
 */
#include <errno.h>
#include <getopt.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmd.h"
#include "log.h"
#include "status.h"

/* Is this one of the words? */
static bool has_word(const char *text, const char *word)
{
	size_t len = strlen(word);
	const char *at;

	for (at = text; (at = strstr(at, word)); at += len)
		if ((at == text || at[-1] == ' ') && (!at[len] || at[len] == ' '))
			return true;
	return false;
}

/* The options that the device was attached with, and after them those that were typed. */
static int take_up(int argc, char **argv, const struct netlink_device *device,
		   struct attach_options *opt)
{
	char text[VFIOUSER_OPTIONS_MAX], *word, *save;
	char **words;
	int i, n = 1, status;

	/* Both for the life of the process, since options point into them. */
	word = strdup(device->options);
	words = calloc(argc + sizeof(text), sizeof(*words));
	if (!word || !words)
		return log_fail(ST_NO_MEMORY, "out of memory");
	words[0] = argv[0];
	for (word = strtok_r(word, " ", &save); word; word = strtok_r(NULL, " ", &save))
		/* That is not typed here, and how long it may take is the device's. */
		if (strcmp(word, "--reconnect"))
			words[n++] = word;
	for (i = 1; i < argc; i++)
		words[n++] = argv[i];
	optind = 0;
	status = attach_parse(n, words, opt);
	opt->reconnect = has_word(device->options, "--reconnect");
	if (opt->reconnect && !has_word(opt->helper_options, "--reconnect")) {
		snprintf(text, sizeof(text), "%s", opt->helper_options);
		snprintf(opt->helper_options, sizeof(opt->helper_options), "--reconnect%s%.*s",
			 *text ? " " : "", (int)(sizeof(text) - sizeof("--reconnect ")), text);
	}
	return status;
}

/*
 * Who has the device loses it when it is taken, and whoever takes it must then be able to go on. So
 * all that can be known is looked at before.
 */
static int check(const struct netlink_device *device)
{
	const char *path = device->socket;
	struct stat st;

	if (!strncmp(path, "fd:", 3))
		return log_fail(ST_NO_SOCKET, "%s: its server was descriptor %s of another process, which nobody can connect to again",
				device->name, path + 3);
	if (device->flags & VFIOUSER_DEV_F_PASSTHROUGH)
		return log_fail(ST_KERNEL, "%s: with passthrough DMA a device cannot change its server",
				device->name);
	/* One that waits has nothing to lose, and its server may be on its way. */
	if (device->state == VFIOUSER_STATE_FROZEN || *path != '/')
		return ST_OK;
	if (stat(path, &st))
		return log_fail(ST_NO_SOCKET, "%s: %s: %s; it stays with the helper that it has",
				device->name, path, strerror(errno));
	if (!S_ISSOCK(st.st_mode))
		return log_fail(ST_NOT_SOCKET, "%s: %s is not a socket any more; it stays with the helper that it has",
				device->name, path);
	return ST_OK;
}

static int recover(int argc, char **argv, struct netlink *nl, const struct netlink_device *device)
{
	struct netlink_details details;
	struct netlink_device again;
	struct attach_options opt;
	unsigned int i;
	int status;

	status = check(device);
	if (status)
		return status;
	if (netlink_device_details(nl, device->id, &again, &details))
		return log_fail(ST_NO_DEVICE, "%s has just gone", device->name);
	status = take_up(argc, argv, device, &opt);
	if (status)
		return status;
	opt.old = device;
	opt.name = device->name;
	opt.address = device->socket;
	opt.timeout_ms = device->timeout_ms;
	/* Of a device without them, "attach --no-interrupts" may have been why. */
	opt.interrupts = false;
	for (i = VFIO_PCI_INTX_IRQ_INDEX; i <= VFIO_PCI_MSIX_IRQ_INDEX; i++)
		opt.interrupts |= details.irqs[i].count;
	return attach_run(&opt);
}

/* In a process of its own, since this is done once in each. */
static int recover_child(int argc, char **argv, struct netlink *nl,
			 const struct netlink_device *device)
{
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (!pid)
		exit(cmd_finish(recover(argc, argv, nl, device)));
	if (pid < 0 || waitpid(pid, &status, 0) < 0 || !WIFEXITED(status))
		return log_fail(ST_FAILED, "cannot recover %s", device->name);
	return WEXITSTATUS(status);
}

static int recover_all(int argc, char **argv, struct netlink *nl)
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
		err = recover_child(argc, argv, nl, &devices[i]);
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
	if (opt.fixed)
		return cmd_usage(&cmd_recover, "--%s is for \"attach\": the device stays what it is; \"" PROGRAM " set\" changes its times",
				 opt.fixed);
	if (all && opt.foreground)
		return cmd_usage(&cmd_recover, "--all cannot stay in the foreground");
	status = cmd_netlink(&nl);
	if (status)
		return status;
	if (all)
		status = recover_all(argc, argv, nl);
	else
		status = find_device(nl, opt.address, &device);
	if (!all && !status && netlink_device_get(nl, device.id, &device))
		status = log_fail(ST_NO_DEVICE, "%s has just gone", device.name);
	if (!all && !status)
		status = recover(argc, argv, nl, &device);
	netlink_close(nl);
	return status;
}

const struct cmd cmd_recover = {
	.name = "recover",
	.synopsis = "[OPTION...] DEVICE|--all",
	.summary = "start another helper for a device",
	.help =
"Starts another helper for a device that was attached with a --grace time and has lost its\n"
"own; or replaces the helper of a device that is in use, as after an update. The new one\n"
"connects to the same server, and the device's driver goes on as after a reset; of a server\n"
"that keeps its device's state, as vfiouser-vhost does, the driver notices a pause. Prints\n"
"the same as \"attach\". Options of \"attach\" that were given then are taken up again.\n\n"
CMD_DEVICE_HELP
"Options:\n"
"      --all             all devices that wait for a helper\n"
"  -F, --foreground      stay until the device is gone; ^C detaches it\n"
"      --wait=TIME, --poll-us=N, --cpus=LIST, --no-direct, --no-sandbox, --record=FILE,\n"
"      --inject=FAULTS, -j, --json, -v, --verbose\n"
"                        as for \"attach\"\n"
"  -h, --help            this text\n\n"
"Examples:\n"
"  vfiouserctl recover disk1\n"
"  vfiouserctl recover --all\n",
	.run = run,
};
