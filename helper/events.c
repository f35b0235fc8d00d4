// SPDX-License-Identifier: GPL-2.0-only
/*
 * "events": what happens to devices, as the kernel module tells it.
 */
#include <errno.h>
#include <getopt.h>
#include <json-c/json.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cmd.h"
#include "log.h"
#include "ring.h"
#include "status.h"
#include "term.h"

struct options {
	const char *target;
	bool json;
	bool present;
	uint64_t count;
};

/* Since 1970, and with what people read. */
static void stamp(struct timespec *now, char *text, size_t len)
{
	struct tm tm;
	size_t n;

	clock_gettime(CLOCK_REALTIME, now);
	localtime_r(&now->tv_sec, &tm);
	n = strftime(text, len, "%Y-%m-%d %H:%M:%S", &tm);
	snprintf(text + n, len - n, ".%03ld", now->tv_nsec / 1000000);
}

static void print(const struct options *opt, const char *name, const struct netlink_event *event)
{
	const struct netlink_device *device = &event->device;
	char text[40], bdf[BDF_TEXT] = "-";
	struct json_object *o;
	struct timespec now;

	stamp(&now, text, sizeof(text));
	if (device->has_bdf)
		format_bdf(bdf, &device->bdf);
	if (!opt->json) {
		printf("%s%s%s %s%-8s%s %s %s %s", term_colour(TERM_DIM), text,
		       term_colour(TERM_PLAIN), term_colour(term_state_colour(device->state)),
		       name, term_colour(TERM_PLAIN), device->name, bdf,
		       *device->socket ? device->socket : "-");
		if (event->error)
			printf(" (%s)", *event->reason ? event->reason : strerror(event->error));
		putchar('\n');
		fflush(stdout);
		return;
	}
	o = json_object_new_object();
	json_object_object_add(o, "time", json_object_new_double(now.tv_sec + now.tv_nsec / 1e9));
	json_object_object_add(o, "event", json_object_new_string(name));
	json_object_object_add(o, "id", json_object_new_int64(device->id));
	json_object_object_add(o, "name", json_object_new_string(device->name));
	json_object_object_add(o, "state", json_object_new_string(ring_state_name(device->state)));
	json_object_object_add(o, "bdf", device->has_bdf ? json_object_new_string(bdf) : NULL);
	json_object_object_add(o, "socket", json_object_new_string(device->socket));
	json_object_object_add(o, "pid", json_object_new_int64(device->pid));
	json_object_object_add(o, "error", event->error ? json_object_new_int64(event->error) :
			       NULL);
	json_object_object_add(o, "reason", *event->reason ?
			       json_object_new_string(event->reason) : NULL);
	cmd_print_json_line(o);
}

/* Returns whether enough was printed. */
static bool take(struct options *opt, const char *name, const struct netlink_event *event)
{
	if (opt->target && !find_matches(&event->device, opt->target))
		return false;
	print(opt, name, event);
	return opt->count && !--opt->count;
}

static int print_present(struct netlink *nl, struct options *opt, bool *enough)
{
	struct netlink_event event = { 0 };
	struct netlink_device *devices;
	size_t count, i;
	int err;

	err = netlink_device_list(nl, &devices, &count);
	if (err == -EPERM || err == -EACCES)
		return log_fail(ST_PERMISSION, "listing devices needs root; try sudo");
	if (err)
		return log_fail(status_of_kernel(err), "cannot list devices: %s",
				netlink_error(nl));
	for (i = 0; i < count && !*enough; i++) {
		event.device = devices[i];
		*enough = take(opt, "present", &event);
	}
	free(devices);
	return ST_OK;
}

static int events(struct options *opt)
{
	struct netlink_event event;
	struct netlink *nl;
	bool enough = false;
	struct pollfd fd;
	int status, err;

	status = cmd_netlink(&nl);
	if (status)
		return status;
	/* Before the devices are listed: better twice than not at all. */
	if (netlink_subscribe(nl))
		status = log_fail(ST_FAILED, "cannot follow the kernel's events: %s",
				  netlink_error(nl));
	if (!status && opt->present)
		status = print_present(nl, opt, &enough);
	while (!status && !enough) {
		fd = (struct pollfd) { .fd = netlink_event_fd(nl), .events = POLLIN };
		poll(&fd, 1, -1);
		while (!enough && (err = netlink_event(nl, &event)) != -EAGAIN) {
			if (!err)
				enough = take(opt, netlink_event_name(event.event), &event);
			else if (err == -ENOBUFS)
				log_note("events were lost, they came too fast");
			else
				break;
		}
	}
	netlink_close(nl);
	return status;
}

static int run(int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "present", no_argument, NULL, 'p' },
		{ "count", required_argument, NULL, 'n' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 }
	};
	struct options opt = { 0 };
	int c;

	while ((c = getopt_long(argc, argv, ":jpn:h", options, NULL)) != -1) {
		switch (c) {
		case 'j':
			opt.json = true;
			break;
		case 'p':
			opt.present = true;
			break;
		case 'n':
			if (parse_u64(optarg, UINT32_MAX, &opt.count) || !opt.count)
				return cmd_usage(&cmd_events, "\"%s\" is no number of events",
						 optarg);
			break;
		case 'h':
			cmd_help(&cmd_events);
			return ST_OK;
		default:
			return cmd_bad_option(&cmd_events, c, argv);
		}
	}
	if (optind < argc)
		opt.target = argv[optind++];
	if (optind < argc)
		return cmd_usage(&cmd_events, "it takes one device at most");
	return events(&opt);
}

const struct cmd cmd_events = {
	.name = "events",
	.synopsis = "[OPTION...] [DEVICE]",
	.summary = "follow what happens to devices",
	.help =
"Prints a line for each event, of all devices or of one, until it is interrupted: added\n"
"(the bus was scanned, drivers were asked), failed (it could not be added), lost (server\n"
"or helper do not answer), frozen (so it is, but another helper may come), recovered,\n"
"removed. The device need not exist yet.\n\n"
CMD_DEVICE_HELP
"Options:\n"
"  -j, --json     print each as a JSON object on a line; schema in vfiouserctl(8)\n"
"  -p, --present  begin with a line for each device that is there\n"
"  -n, --count=N  end after N lines\n"
"  -h, --help     this text\n\n"
"Examples:\n"
"  vfiouserctl events\n"
"  vfiouserctl events --json | while read -r event; do ...; done\n"
"  vfiouserctl events --count=1 /run/nvme.sock    wait until something happens to it\n",
	.run = run,
};
