// SPDX-License-Identifier: GPL-2.0-only
/*
 * The command line of "attach", which is that of "recover" as well.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd.h"
#include "engine/client.h"
#include "log.h"
#include "parse.h"
#include "pool.h"
#include "status.h"

#define DEFAULT_WAIT_US		10000000
#define DEFAULT_RECONNECT_US	120000000ull
#define MAX_GRACE_US		86400000000ull
#define MAX_POLL_US		1000000
#define MIN_TIMEOUT_MS		100
#define MAX_TIMEOUT_MS		600000
/* of a slot */
#define MAX_FUNCTION		7

/* For the life of the process; where there is no memory or directory, as it is. */
static const char *absolute(const char *path)
{
	char *cwd = getcwd(NULL, 0), *text = NULL;

	if (cwd && asprintf(&text, "%s/%s", cwd, path) < 0)
		text = NULL;
	free(cwd);
	return text ? text : path;
}

/* Options that say how a helper serves a device, and not what device it is. */
static void remember(struct attach_options *opt, const char *name, const char *value)
{
	size_t len = strlen(opt->helper_options);
	int n;

	n = snprintf(opt->helper_options + len, sizeof(opt->helper_options) - len, "%s--%s%s%s",
		     len ? " " : "", name, value ? "=" : "", value ? value : "");
	if (n < 0 || (size_t)n >= sizeof(opt->helper_options) - len) {
		opt->helper_options[len] = '\0';
		log_note("--%s is too long to be remembered for \"recover\"", name);
	}
}

/**
 * attach_parse() - the command line of "attach"
 * @argc: number of arguments
 * @argv: argv[0] is "attach"
 * @opt: result
 *
 * Says on its own what is wrong.
 *
 * Context: any.
 * Return: enum status.
 */
int attach_parse(int argc, char **argv, struct attach_options *opt)
{
	enum {
		OPT_POOL = 256, OPT_TIMEOUT, OPT_WAIT, OPT_POLL, OPT_SANDBOX, OPT_DIRECT, OPT_IRQS,
		OPT_FORCE, OPT_IO_BARS, OPT_POSTED, OPT_DMA, OPT_CPUS, OPT_SLOT, OPT_FUNCTION,
		OPT_RECONNECT, OPT_GRACE,
		OPT_RECORD, OPT_INJECT, OPT_SERVER, OPT_VHOST,
	};
	static const struct option options[] = {
		{ "name", required_argument, NULL, 'n' },
		{ "foreground", no_argument, NULL, 'F' },
		{ "slot", required_argument, NULL, OPT_SLOT },
		{ "function", required_argument, NULL, OPT_FUNCTION },
		{ "dma", required_argument, NULL, OPT_DMA },
		{ "pool-size", required_argument, NULL, OPT_POOL },
		{ "timeout", required_argument, NULL, OPT_TIMEOUT },
		{ "wait", required_argument, NULL, OPT_WAIT },
		{ "poll-us", required_argument, NULL, OPT_POLL },
		{ "reconnect", optional_argument, NULL, OPT_RECONNECT },
		{ "grace", required_argument, NULL, OPT_GRACE },
		{ "cpus", required_argument, NULL, OPT_CPUS },
		{ "no-sandbox", no_argument, NULL, OPT_SANDBOX },
		{ "no-direct", no_argument, NULL, OPT_DIRECT },
		{ "no-interrupts", no_argument, NULL, OPT_IRQS },
		{ "io-bars", required_argument, NULL, OPT_IO_BARS },
		{ "no-posted-writes", no_argument, NULL, OPT_POSTED },
		{ "force", no_argument, NULL, OPT_FORCE },
		{ "record", required_argument, NULL, OPT_RECORD },
		{ "inject", required_argument, NULL, OPT_INJECT },
		{ "wait-server", required_argument, NULL, OPT_SERVER },
		{ "vhost", required_argument, NULL, OPT_VHOST },
		{ "json", no_argument, NULL, 'j' },
		{ "verbose", no_argument, NULL, 'v' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 }
	};
	uint64_t value, reconnect_ms = 0, grace_ms = UINT64_MAX;
	const char *wrong;
	size_t len;
	int c, at = 0;

	*opt = (struct attach_options) {
		.pool_size = POOL_DEFAULT,
		.timeout_ms = VFUC_DEFAULT_TIMEOUT_MS,
		.wait_us = DEFAULT_WAIT_US,
		.poll_us = -1,
		.sandbox = true,
		.direct = true,
		.interrupts = true,
		.posted_writes = true,
	};
	while ((c = getopt_long(argc, argv, ":n:Fjvh", options, &at)) != -1) {
		switch (c) {
		case 'n':
		case OPT_SLOT:
		case OPT_FUNCTION:
		case OPT_DMA:
		case OPT_POOL:
		case OPT_TIMEOUT:
		case OPT_RECONNECT:
		case OPT_GRACE:
		case OPT_IRQS:
		case OPT_SERVER:
		case OPT_VHOST:
		case OPT_FORCE:
		case OPT_IO_BARS:
		case OPT_POSTED:
			if (!opt->fixed)
				opt->fixed = c == 'n' ? "name" : options[at].name;
			break;
		case OPT_POLL:
		case OPT_CPUS:
		case OPT_SANDBOX:
		case OPT_DIRECT:
			remember(opt, options[at].name, optarg);
			break;
		}
		switch (c) {
		case 'n':
			if (!parse_name_valid(optarg, VFIOUSER_NAME_MAX))
				return cmd_usage(&cmd_attach, "\"%s\" is no name: up to %d letters, digits, and . _ - in between",
						 optarg, VFIOUSER_NAME_MAX - 1);
			opt->name = optarg;
			break;
		case 'F':
			opt->foreground = true;
			break;
		case OPT_SLOT:
			if (!parse_name_valid(optarg, VFIOUSER_NAME_MAX))
				return cmd_usage(&cmd_attach, "\"%s\" is no slot's name: up to %d letters, digits, and . _ - in between",
						 optarg, VFIOUSER_NAME_MAX - 1);
			opt->slot = optarg;
			break;
		case OPT_FUNCTION:
			if (parse_u64(optarg, MAX_FUNCTION, &value))
				return cmd_usage(&cmd_attach, "\"%s\" is no function: 0 to %d",
						 optarg, MAX_FUNCTION);
			opt->function = value;
			break;
		case OPT_DMA:
			opt->passthrough = !strcmp(optarg, "passthrough");
			if (!opt->passthrough && strcmp(optarg, "bounce"))
				return cmd_usage(&cmd_attach, "\"%s\" is no way of DMA: bounce or passthrough",
						 optarg);
			break;
		case OPT_POOL:
			if (parse_size(optarg, &value) || !value || value > POOL_MAX)
				return cmd_usage(&cmd_attach, "\"%s\" is no pool size: 2M up to %lluM",
						 optarg, POOL_MAX >> 20);
			opt->pool_size = pool_round(value);
			break;
		case OPT_TIMEOUT:
			if (parse_duration(optarg, 1000000, &value) ||
			    value < MIN_TIMEOUT_MS * 1000ull || value > MAX_TIMEOUT_MS * 1000ull)
				return cmd_usage(&cmd_attach, "\"%s\" is no timeout: 100ms up to 600s",
						 optarg);
			opt->timeout_ms = value / 1000;
			break;
		case OPT_WAIT:
			if (parse_duration(optarg, 1000000, &value))
				return cmd_usage(&cmd_attach, "\"%s\" is no time like 10s", optarg);
			opt->wait_us = value;
			break;
		case OPT_POLL:
			if (parse_u64(optarg, MAX_POLL_US, &value))
				return cmd_usage(&cmd_attach, "\"%s\" is no number of microseconds up to %d",
						 optarg, MAX_POLL_US);
			opt->poll_us = value;
			opt->poll_server = value;
			break;
		case OPT_RECONNECT:
			value = DEFAULT_RECONNECT_US;
			if (optarg && (parse_duration(optarg, 1000000, &value) ||
				       value < 1000 || value > MAX_GRACE_US))
				return cmd_usage(&cmd_attach, "\"%s\" is no time to reconnect: up to 24h, as 120s",
						 optarg);
			opt->reconnect = true;
			reconnect_ms = value / 1000;
			break;
		case OPT_GRACE:
			if (parse_duration(optarg, 1000000, &value) || value > MAX_GRACE_US)
				return cmd_usage(&cmd_attach, "\"%s\" is no grace time: up to 24h, as 120s",
						 optarg);
			grace_ms = value / 1000;
			break;
		case OPT_CPUS:
			if (parse_cpus(optarg, &opt->cpus))
				return cmd_usage(&cmd_attach, "\"%s\" is no list of CPUs like 0-3,8",
						 optarg);
			break;
		case OPT_SANDBOX:
			opt->sandbox = false;
			break;
		case OPT_DIRECT:
			opt->direct = false;
			break;
		case OPT_IRQS:
			opt->interrupts = false;
			break;
		case OPT_RECORD:
			/* Helpers work in another directory. */
			opt->record = *optarg == '/' ? optarg : absolute(optarg);
			break;
		case OPT_INJECT:
			if (inject_parse(&opt->inject, optarg, &wrong, &len))
				return cmd_usage(&cmd_attach, "\"%.*s\" is no fault like delay:10:0.5, drop:0.1 or error:EIO@read/bar0",
						 (int)len, wrong);
			break;
		case OPT_SERVER:
			if (parse_duration(optarg, 1000000, &value))
				return cmd_usage(&cmd_attach, "\"%s\" is no time like 10s", optarg);
			opt->server_us = value;
			break;
		case OPT_VHOST:
			opt->vhost = optarg;
			break;
		case OPT_IO_BARS:
			opt->io_bars = VFIOUSER_DEV_F_IO_SHOW;
			if (!strcmp(optarg, "hide"))
				opt->io_bars = VFIOUSER_DEV_F_IO_HIDE;
			else if (strcmp(optarg, "show"))
				return cmd_usage(&cmd_attach, "\"%s\" is nothing to do with BARs of I/O ports: show or hide",
						 optarg);
			break;
		case OPT_POSTED:
			opt->posted_writes = false;
			break;
		case OPT_FORCE:
			opt->force = true;
			break;
		case 'j':
			opt->json = true;
			break;
		case 'v':
			log_verbose = true;
			break;
		case 'h':
			opt->help = true;
			return ST_OK;
		default:
			return cmd_bad_option(&cmd_attach, c, argv);
		}
	}
	if (opt->function && !opt->slot)
		return cmd_usage(&cmd_attach, "function %u of which slot? give --slot=NAME",
				 opt->function);
	if (optind != argc - !opt->vhost)
		return cmd_usage(&cmd_attach, opt->vhost ?
				 "with --vhost it takes no server address" :
				 "it takes one server address");
	/* with --vhost it is known when that server is */
	opt->address = opt->vhost ? opt->vhost : argv[optind];
	/* How long is the device's. */
	if (opt->reconnect)
		remember(opt, "reconnect", NULL);
	opt->grace_ms = grace_ms == UINT64_MAX ? reconnect_ms : grace_ms;
	if (opt->reconnect && !opt->grace_ms)
		return cmd_usage(&cmd_attach, "--reconnect needs a --grace time");
	if (opt->grace_ms && opt->passthrough)
		return cmd_usage(&cmd_attach, "with --dma=passthrough a device cannot wait for another server; go without --reconnect and --grace");
	if (opt->reconnect && !strncmp(opt->address, "fd:", 3))
		return cmd_usage(&cmd_attach, "--reconnect needs an address to connect to, which %s is not",
				 opt->address);
	/* The helper has other uses for these. */
	if (!strncmp(opt->address, "fd:", 3) && !parse_u64(opt->address + 3, 2, &value))
		return cmd_usage(&cmd_attach, "descriptor %s cannot be the server; use one above 2",
				 opt->address + 3);
	return ST_OK;
}
