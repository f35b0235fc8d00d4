// SPDX-License-Identifier: GPL-2.0-only
/*
 * vfiouserctl: makes a vfio-user server's PCI device a PCI device of this host.
 */
#include <errno.h>
#include <getopt.h>
#include <json-c/json.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "array.h"
#include "cmd.h"
#include "log.h"
#include "status.h"

#ifndef VERSION
#define VERSION	"0.1"
#endif

/* In the order in which they are got to know. */
static const struct cmd *const cmds[] = {
	&cmd_probe, &cmd_attach, &cmd_list, &cmd_show, &cmd_stats, &cmd_events, &cmd_trace,
	&cmd_reset, &cmd_recover, &cmd_set, &cmd_detach, &cmd_replay,
};

#define NR_CMDS	ARRAY_SIZE(cmds)

static const struct cmd *find_cmd(const char *name)
{
	size_t i;

	for (i = 0; i < NR_CMDS; i++)
		if (!strcmp(cmds[i]->name, name))
			return cmds[i];
	return NULL;
}

static void help(void)
{
	size_t i;

	printf("Usage: " PROGRAM " COMMAND [OPTION...] [ARGUMENT...]\n\n"
	       "Makes the PCI device which a vfio-user server emulates a PCI device of this host.\n\n"
	       "Commands:\n");
	for (i = 0; i < NR_CMDS; i++)
		printf("  %-8s %s\n", cmds[i]->name, cmds[i]->summary);
	printf("\nExample:\n"
	       "  modprobe vfiouser_pci\n"
	       "  " PROGRAM " probe /run/nvme.sock     what does the server offer?\n"
	       "  " PROGRAM " attach /run/nvme.sock    its device appears in lspci\n"
	       "  " PROGRAM " list\n"
	       "  " PROGRAM " detach /run/nvme.sock\n"
	       "\n\"" PROGRAM " COMMAND --help\" says more; exit statuses are in " PROGRAM "(8).\n");
}

/**
 * cmd_help() - print all there is to know about a command
 * @cmd: the command
 *
 * Context: any.
 */
void cmd_help(const struct cmd *cmd)
{
	printf("Usage: " PROGRAM " %s %s\n\n%s", cmd->name, cmd->synopsis, cmd->help);
}

/**
 * cmd_usage() - complain about the command line
 * @cmd: the command
 * @fmt: printf format: what is wrong
 *
 * Context: any.
 * Return: ST_USAGE.
 */
int cmd_usage(const struct cmd *cmd, const char *fmt, ...)
{
	char text[400];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	return log_fail(ST_USAGE, "%s: %s; see \"" PROGRAM " %s --help\"", cmd->name, text,
			cmd->name);
}

/**
 * cmd_bad_option() - complain about what getopt_long() did not like
 * @cmd: the command
 * @c: ':' or '?', with a ':' at the head of the short options
 * @argv: as passed to getopt_long()
 *
 * Context: any.
 * Return: ST_USAGE.
 */
int cmd_bad_option(const struct cmd *cmd, int c, char **argv)
{
	if (c == ':')
		return cmd_usage(cmd, "option %s needs a value", argv[optind - 1]);
	if (optopt && !strncmp(argv[optind - 1], "--", 2))
		return cmd_usage(cmd, "option %s takes no value", argv[optind - 1]);
	if (optopt)
		return cmd_usage(cmd, "unknown option -%c", optopt);
	return cmd_usage(cmd, "unknown option %s", argv[optind - 1]);
}

/**
 * cmd_finish() - a command's status, once its output is really out
 * @status: so far
 *
 * Context: any.
 * Return: enum status.
 */
int cmd_finish(int status)
{
	if (!fflush(stdout) && !ferror(stdout))
		return status;
	return log_fail(ST_FAILED, "cannot write the output: %s", strerror(errno));
}

/**
 * cmd_netlink() - connect to the kernel module, or say why that cannot be
 * @nl: result
 *
 * Context: may sleep.
 * Return: enum status.
 */
int cmd_netlink(struct netlink **nl)
{
	int err = netlink_open(nl);

	if (!err)
		return ST_OK;
	if (err == -ENOENT)
		return log_fail(ST_NO_MODULE,
				"the kernel module is not loaded; run \"modprobe vfiouser_pci\"");
	return log_fail(ST_FAILED, "cannot talk to the kernel by netlink: %s", strerror(-err));
}

/**
 * cmd_print_json() - print and free
 * @json: an object, or NULL where there was no memory for it
 *
 * Context: any.
 */
void cmd_print_json(struct json_object *json)
{
	puts(json_object_to_json_string_ext(json, JSON_C_TO_STRING_PRETTY |
						  JSON_C_TO_STRING_SPACED |
						  JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(json);
}

/**
 * cmd_print_json_line() - print as one line at once, and free
 * @json: an object, or NULL where there was no memory for it
 *
 * For what goes on: a reader gets each object as soon as it is there.
 *
 * Context: any.
 */
void cmd_print_json_line(struct json_object *json)
{
	puts(json_object_to_json_string_ext(json, JSON_C_TO_STRING_PLAIN |
						  JSON_C_TO_STRING_NOSLASHESCAPE));
	fflush(stdout);
	json_object_put(json);
}

int main(int argc, char **argv)
{
	const struct cmd *cmd;

	if (argc < 2)
		return log_fail(ST_USAGE, "no command; see \"" PROGRAM " --help\"");
	if (!strcmp(argv[1], "-V") || !strcmp(argv[1], "--version")) {
		puts(PROGRAM " " VERSION);
		return cmd_finish(ST_OK);
	}
	if (!strcmp(argv[1], "-h") || !strcmp(argv[1], "--help") ||
	    (!strcmp(argv[1], "help") && argc == 2)) {
		help();
		return cmd_finish(ST_OK);
	}
	if (!strcmp(argv[1], "help")) {
		cmd = find_cmd(argv[2]);
		if (!cmd)
			return log_fail(ST_USAGE, "no command \"%s\"; see \"" PROGRAM " --help\"",
					argv[2]);
		cmd_help(cmd);
		return cmd_finish(ST_OK);
	}
	cmd = find_cmd(argv[1]);
	if (!cmd)
		return log_fail(ST_USAGE, "no command \"%s\"; see \"" PROGRAM " --help\"", argv[1]);
	opterr = 0;
	return cmd_finish(cmd->run(argc - 1, argv + 1));
}
