// SPDX-License-Identifier: GPL-2.0-only
/*
 * "stats": what went through a device and how long it took, once or again and again.
 *
 * With --watch the numbers are those of each interval; the first one is since the device was made.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "array.h"
#include "cmd.h"
#include "log.h"
#include "ring.h"
#include "status.h"
#include "term.h"

#define DEFAULT_WATCH_US	2000000
#define MIN_WATCH_US		100000

#define BAR_CHARS	40

static const char *const path_names[NETLINK_PATHS] = {
	[VFIOUSER_PATH_READ] = "read",
	[VFIOUSER_PATH_WRITE] = "write",
	[VFIOUSER_PATH_CONFIG_READ] = "config_read",
	[VFIOUSER_PATH_CONFIG_WRITE] = "config_write",
	[VFIOUSER_PATH_CONTROL] = "control",
	[VFIOUSER_PATH_IRQ] = "irq",
	[VFIOUSER_PATH_DMA_MAP] = "dma_map",
	[VFIOUSER_PATH_DMA_UNMAP] = "dma_unmap",
	[VFIOUSER_PATH_DMA_SYNC] = "dma_sync",
};

struct options {
	const char *target;
	bool json;
	bool histogram;
	uint64_t watch_us;	/* 0: once */
	uint64_t count;		/* 0: no end */
};

/**
 * struct sample - a device's numbers at a time
 * @ns: monotonic
 * @device: with the counters
 * @details: with the paths
 */
struct sample {
	uint64_t ns;
	struct netlink_device device;
	struct netlink_details details;
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

/* What happened between two samples; without the first one, since the device was made. */
static void path_since(const struct sample *then, const struct sample *now, unsigned int i,
		       struct netlink_path *path)
{
	const struct netlink_path *old = &then->details.paths[i];
	unsigned int j;

	*path = now->details.paths[i];
	path->count -= old->count;
	path->bytes -= old->bytes;
	path->ns -= old->ns;
	for (j = 0; j < VFIOUSER_HIST_BUCKETS; j++)
		path->hist[j] -= old->hist[j];
}

/* Where a share of what a histogram counted was over: the upper end of that bucket, ns. */
static uint64_t quantile(const struct netlink_path *path, unsigned int percent)
{
	uint64_t want, sum = 0;
	unsigned int i;

	want = path->count - path->count * (100 - percent) / 100;
	for (i = 0; i < VFIOUSER_HIST_BUCKETS - 1; i++) {
		sum += path->hist[i];
		if (sum >= want)
			break;
	}
	return 2ull << i;
}

static void format_ns(char *text, size_t len, uint64_t ns)
{
	if (ns < 1000)
		snprintf(text, len, "%" PRIu64 "ns", ns);
	else if (ns < 1000000)
		snprintf(text, len, "%.1fus", ns / 1e3);
	else if (ns < 1000000000)
		snprintf(text, len, "%.1fms", ns / 1e6);
	else
		snprintf(text, len, "%.2fs", ns / 1e9);
}

static void print_histogram(const struct netlink_path *path)
{
	uint64_t most = 0;
	char from[16];
	unsigned int i, first = VFIOUSER_HIST_BUCKETS, last = 0;

	for (i = 0; i < VFIOUSER_HIST_BUCKETS; i++) {
		if (!path->hist[i])
			continue;
		if (first > i)
			first = i;
		last = i;
		if (path->hist[i] > most)
			most = path->hist[i];
	}
	for (i = first; most && i <= last; i++) {
		format_ns(from, sizeof(from), 1ull << i);
		printf("    from %8s %12" PRIu64 " %.*s\n", from, path->hist[i],
		       (int)(path->hist[i] * BAR_CHARS / most),
		       "########################################");
	}
}

static void print_path(const struct options *opt, const char *name, const struct netlink_path *path,
		       double seconds)
{
	char bytes[24], mean[16], half[16], most[16], max[16];

	format_size(bytes, sizeof(bytes), seconds > 0 ? path->bytes / seconds : path->bytes);
	printf("%-13s ", name);
	if (seconds > 0)
		printf("%12.1f", path->count / seconds);
	else
		printf("%12" PRIu64, path->count);
	if (!path->count) {
		printf(" %10s %9s %9s %9s %9s\n", bytes, "-", "-", "-", "-");
		return;
	}
	format_ns(mean, sizeof(mean), path->ns / path->count);
	format_ns(half, sizeof(half), quantile(path, 50));
	format_ns(most, sizeof(most), quantile(path, 99));
	format_ns(max, sizeof(max), path->max_ns);
	printf(" %10s %9s %9s %9s %9s\n", bytes, mean, half, most, max);
	if (opt->histogram)
		print_histogram(path);
}

static void print_counters(const struct sample *then, const struct sample *now, double seconds)
{
	static const struct {
		int stat;
		const char *name;
	} names[] = {
		{ VFIOUSER_STAT_A_TRAPS, "traps" },
		{ VFIOUSER_STAT_A_IRQS, "irqs" },
		{ VFIOUSER_STAT_A_IOEVENTFDS, "ioeventfds" },
		{ VFIOUSER_STAT_A_WAKEUPS, "wakeups" },
		{ VFIOUSER_STAT_A_SLEEPS, "sleeps" },
		{ VFIOUSER_STAT_A_ERRORS, "errors" },
		{ VFIOUSER_STAT_A_DMA_FULL, "dma_full" },
	};
	uint64_t n;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(names); i++) {
		n = now->device.stats[names[i].stat] - then->device.stats[names[i].stat];
		if (seconds > 0)
			printf("%s%s %.1f", i ? ", " : "", names[i].name, n / seconds);
		else
			printf("%s%s %" PRIu64, i ? ", " : "", names[i].name, n);
	}
	putchar('\n');
}

static void print_text(const struct options *opt, const struct sample *then,
		       const struct sample *now)
{
	double seconds = then->ns ? (now->ns - then->ns) / 1e9 : 0;
	struct netlink_path path;
	char bdf[BDF_TEXT] = "-";
	unsigned int i;

	if (now->device.has_bdf)
		format_bdf(bdf, &now->device.bdf);
	if (opt->watch_us)
		term_clear();
	printf("%s%s%s %s %s%s%s %s, ", term_colour(TERM_BOLD), now->device.name,
	       term_colour(TERM_PLAIN), bdf, term_colour(term_state_colour(now->device.state)),
	       ring_state_name(now->device.state), term_colour(TERM_PLAIN), now->device.socket);
	if (seconds > 0)
		printf("in %.1f s:\n", seconds);
	else
		printf("since it was attached:\n");
	printf("%s%-13s %12s %10s %9s %9s %9s %9s%s\n", term_colour(TERM_DIM), "PATH",
	       seconds > 0 ? "PER SECOND" : "COUNT", seconds > 0 ? "BYTES/S" : "BYTES", "MEAN",
	       "50% <", "99% <", "MAX EVER", term_colour(TERM_PLAIN));
	for (i = 0; i < NETLINK_PATHS; i++) {
		path_since(then, now, i, &path);
		print_path(opt, path_names[i], &path, seconds);
	}
	print_counters(then, now, seconds);
	fflush(stdout);
}

static struct json_object *path_json(const char *name, const struct netlink_path *path)
{
	struct json_object *o = json_object_new_object();
	struct json_object *array = json_object_new_array();
	unsigned int i;

	json_object_object_add(o, "name", json_object_new_string(name));
	json_object_object_add(o, "count", json_object_new_uint64(path->count));
	json_object_object_add(o, "bytes", json_object_new_uint64(path->bytes));
	json_object_object_add(o, "ns", json_object_new_uint64(path->ns));
	json_object_object_add(o, "max_ns", json_object_new_uint64(path->max_ns));
	for (i = 0; i < VFIOUSER_HIST_BUCKETS; i++)
		json_object_array_add(array, json_object_new_uint64(path->hist[i]));
	json_object_object_add(o, "histogram", array);
	return o;
}

static void print_json(const struct options *opt, const struct sample *then,
		       const struct sample *now)
{
	struct json_object *o = json_object_new_object();
	struct json_object *array = json_object_new_array();
	char bdf[BDF_TEXT];
	unsigned int i;

	json_object_object_add(o, "id", json_object_new_int64(now->device.id));
	json_object_object_add(o, "name", json_object_new_string(now->device.name));
	json_object_object_add(o, "state",
			       json_object_new_string(ring_state_name(now->device.state)));
	if (now->device.has_bdf)
		format_bdf(bdf, &now->device.bdf);
	json_object_object_add(o, "bdf", now->device.has_bdf ? json_object_new_string(bdf) : NULL);
	json_object_object_add(o, "interval", then->ns ?
			       json_object_new_double((now->ns - then->ns) / 1e9) : NULL);
	json_object_object_add(o, "counters", list_counters_json(&now->device));
	/* Totals, of which the reader knows the last ones. */
	for (i = 0; i < NETLINK_PATHS; i++)
		json_object_array_add(array, path_json(path_names[i], &now->details.paths[i]));
	json_object_object_add(o, "paths", array);
	if (opt->watch_us)
		cmd_print_json_line(o);
	else
		cmd_print_json(o);
}

static int take(struct netlink *nl, uint32_t id, struct sample *sample)
{
	int err = netlink_device_details(nl, id, &sample->device, &sample->details);

	sample->ns = now_ns();
	if (err == -ENODEV)
		return log_fail(ST_NO_DEVICE, "the device has gone");
	if (err)
		return log_fail(status_of_kernel(err), "cannot look at the device: %s",
				netlink_error(nl));
	return ST_OK;
}

static int stats(struct options *opt)
{
	struct sample samples[2] = { 0 };
	struct sample *then = &samples[0], *now = &samples[1];
	struct sample *swap;
	struct netlink *nl;
	uint32_t id;
	int status;

	status = cmd_netlink(&nl);
	if (status)
		return status;
	status = find_device(nl, opt->target, &now->device);
	id = now->device.id;
	while (!status) {
		status = take(nl, id, now);
		if (status)
			break;
		if (opt->json)
			print_json(opt, then, now);
		else
			print_text(opt, then, now);
		if (!opt->watch_us || (opt->count && !--opt->count))
			break;
		swap = then;
		then = now;
		now = swap;
		poll(NULL, 0, opt->watch_us / 1000);
	}
	netlink_close(nl);
	return status;
}

static int run(int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "histogram", no_argument, NULL, 'H' },
		{ "watch", optional_argument, NULL, 'w' },
		{ "count", required_argument, NULL, 'n' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 }
	};
	struct options opt = { 0 };
	int c;

	while ((c = getopt_long(argc, argv, ":jHw::n:h", options, NULL)) != -1) {
		switch (c) {
		case 'j':
			opt.json = true;
			break;
		case 'H':
			opt.histogram = true;
			break;
		case 'w':
			opt.watch_us = DEFAULT_WATCH_US;
			if (optarg && (parse_duration(optarg, 1000000, &opt.watch_us) ||
				       opt.watch_us < MIN_WATCH_US || opt.watch_us > 86400000000))
				return cmd_usage(&cmd_stats, "\"%s\" is no interval: 100ms up to a day",
						 optarg);
			break;
		case 'n':
			if (parse_u64(optarg, UINT32_MAX, &opt.count) || !opt.count)
				return cmd_usage(&cmd_stats, "\"%s\" is no number of rounds",
						 optarg);
			break;
		case 'h':
			cmd_help(&cmd_stats);
			return ST_OK;
		default:
			return cmd_bad_option(&cmd_stats, c, argv);
		}
	}
	if (optind != argc - 1)
		return cmd_usage(&cmd_stats, "it takes one device");
	opt.target = argv[optind];
	return stats(&opt);
}

const struct cmd cmd_stats = {
	.name = "stats",
	.synopsis = "[OPTION...] DEVICE",
	.summary = "show what goes through a device, and how long it takes",
	.help =
"Shows for each path through the module how much went that way, and how long it took:\n"
"reads of BARs until they were answered, writes until they were queued, the same for\n"
"config space, control (interrupts being set up), interrupts from the server's signal to\n"
"the driver's handler, and DMA mappings. Doorbells that go by eventfd, and BAR pages that\n"
"are mapped directly, cost nothing here and are not timed. 50% < and 99% < are upper\n"
"bounds, powers of two.\n\n" CMD_DEVICE_HELP
"Options:\n"
"  -w, --watch[=TIME]  go on, and show each interval's numbers per second (default 2s)\n"
"  -n, --count=N       with --watch: end after N times\n"
"  -H, --histogram     draw the distribution of each path\n"
"  -j, --json          print JSON with totals, with --watch a line each; schema in\n"
"                      vfiouserctl(8)\n"
"  -h, --help          this text\n\n"
"Examples:\n"
"  vfiouserctl stats vfu0\n"
"  vfiouserctl stats --watch=1s vfu0\n"
"  vfiouserctl stats --histogram 5f000:00:00.0 | less\n",
	.run = run,
};
