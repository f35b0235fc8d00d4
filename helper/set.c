// SPDX-License-Identifier: GPL-2.0-only
/*
 * "set": change what can be changed of a device that is in use: the times that it has.
 */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "log.h"
#include "parse.h"
#include "status.h"

/* As "attach" takes them. */
#define MIN_TIMEOUT_US	100000ull
#define MAX_TIMEOUT_US	600000000ull
#define MAX_GRACE_US	86400000000ull

static int set(const char *target, const uint32_t *timeout_ms, const uint32_t *grace_ms)
{
	struct netlink_device device;
	struct netlink *nl;
	int status, err;

	status = cmd_netlink(&nl);
	if (status)
		return status;
	status = find_device(nl, target, &device);
	if (!status) {
		err = netlink_device_set(nl, device.id, timeout_ms, grace_ms);
		if (err)
			status = log_fail(status_of_kernel(err), "the kernel does not change %s: %s",
					  device.name, netlink_error(nl));
	}
	netlink_close(nl);
	return status;
}

static int run(int argc, char **argv)
{
	static const struct option options[] = {
		{ "timeout", required_argument, NULL, 't' },
		{ "grace", required_argument, NULL, 'g' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 }
	};
	uint32_t timeout_ms, grace_ms;
	bool timeout = false, grace = false;
	uint64_t us;
	int c;

	while ((c = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
		switch (c) {
		case 't':
			if (parse_duration(optarg, 1000000, &us) || us < MIN_TIMEOUT_US ||
			    us > MAX_TIMEOUT_US)
				return cmd_usage(&cmd_set, "\"%s\" is no timeout: 100ms up to 600s",
						 optarg);
			timeout_ms = us / 1000;
			timeout = true;
			break;
		case 'g':
			if (parse_duration(optarg, 1000000, &us) || us > MAX_GRACE_US)
				return cmd_usage(&cmd_set, "\"%s\" is no grace time: up to 24h, as 120s",
						 optarg);
			grace_ms = us / 1000;
			grace = true;
			break;
		case 'h':
			cmd_help(&cmd_set);
			return ST_OK;
		default:
			return cmd_bad_option(&cmd_set, c, argv);
		}
	}
	if (optind != argc - 1)
		return cmd_usage(&cmd_set, "it takes one device");
	if (!timeout && !grace)
		return cmd_usage(&cmd_set, "what is to be changed? give --timeout or --grace");
	return set(argv[optind], timeout ? &timeout_ms : NULL, grace ? &grace_ms : NULL);
}

const struct cmd cmd_set = {
	.name = "set",
	.synopsis = "[--timeout=TIME] [--grace=TIME] DEVICE",
	.summary = "change the times that a device has",
	.help =
"Changes how long the server of a device may take for an answer, and how long the device\n"
"waits for another server or helper. It may be in use, or be waiting: then it waits that\n"
"long from now on.\n\n" CMD_DEVICE_HELP
"Options:\n"
"      --timeout=TIME  how long the server may take for an answer: 100ms up to 600s\n"
"      --grace=TIME    how long the device waits: up to 24h; 0: it is removed at once\n"
"  -h, --help          this text\n\n"
"Examples:\n"
"  vfiouserctl set --timeout=30s disk1\n"
"  vfiouserctl set --grace=10m disk1     its storage is away for longer than was thought\n",
	.run = run,
};
