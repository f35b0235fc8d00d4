// SPDX-License-Identifier: GPL-2.0-only
/*
 * "reset": the function's reset, as drivers and virtual machines do it, through sysfs.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "cmd.h"
#include "log.h"
#include "ring.h"
#include "status.h"
#include "sysfs.h"

static int write_reset(const struct netlink_device *device)
{
	char path[PATH_MAX], bdf[BDF_TEXT];
	int fd, err = 0;

	format_bdf(bdf, &device->bdf);
	if (sysfs_path(path, "/sys/bus/pci/devices/%s/reset", bdf))
		return -ENAMETOOLONG;
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (write(fd, "1", 1) < 0)
		err = -errno;
	close(fd);
	return err;
}

static int reset(const char *target, bool force)
{
	struct netlink_device device;
	struct netlink *nl;
	int status, err;

	status = cmd_netlink(&nl);
	if (status)
		return status;
	status = find_device(nl, target, &device);
	if (!status && !force)
		status = detach_check_unused(&device);
	if (!status) {
		log_progress("%s: resetting", device.name);
		err = write_reset(&device);
		log_progress_end();
		/* What the kernel's reset waits for can be what has died. */
		if (netlink_device_get(nl, device.id, &device) ||
		    device.state != VFIOUSER_STATE_LIVE)
			status = log_fail(ST_TIMEOUT, "%s was lost while it was being reset; see the kernel's log",
					  device.name);
		else if (err == -ENOENT || err == -ENOTTY)
			status = log_fail(ST_SERVER, "the server offers no reset of %s",
					  device.name);
		else if (err)
			status = log_fail(status_of_kernel(err), "the kernel could not reset %s: %s",
					  device.name, strerror(-err));
	}
	netlink_close(nl);
	return status;
}

static int run(int argc, char **argv)
{
	static const struct option options[] = {
		{ "force", no_argument, NULL, 'f' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 }
	};
	bool force = false;
	int c;

	while ((c = getopt_long(argc, argv, ":fh", options, NULL)) != -1) {
		switch (c) {
		case 'f':
			force = true;
			break;
		case 'h':
			cmd_help(&cmd_reset);
			return ST_OK;
		default:
			return cmd_bad_option(&cmd_reset, c, argv);
		}
	}
	if (optind != argc - 1)
		return cmd_usage(&cmd_reset, "it takes one device");
	return reset(argv[optind], force);
}

const struct cmd cmd_reset = {
	.name = "reset",
	.synopsis = "[--force] DEVICE",
	.summary = "reset a device",
	.help =
"Resets the device's function, as a driver would. Drivers that know of resets (nvme) put\n"
"the device back to work, others may not: it is refused while the device is in use, as\n"
"\"detach\" is. A server that offers no reset is an error.\n\n" CMD_DEVICE_HELP
"Options:\n"
"  -f, --force  also while it is in use\n"
"  -h, --help   this text\n\n"
"Example:\n"
"  vfiouserctl reset vfu0\n",
	.run = run,
};
