/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The subcommands of vfiouserctl, and what they share.
 */
#ifndef HELPER_CMD_H
#define HELPER_CMD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "inject.h"
#include "netlink.h"

struct json_object;

/**
 * struct cmd - a subcommand
 * @name: what is typed
 * @synopsis: its arguments
 * @summary: one line
 * @help: for --help: what it does, its options, examples
 * @run: argv[0] is @name; returns enum status
 */
struct cmd {
	const char *name;
	const char *synopsis;
	const char *summary;
	const char *help;
	int (*run)(int argc, char **argv);
};

extern const struct cmd cmd_attach, cmd_detach, cmd_events, cmd_list, cmd_probe, cmd_recover,
			cmd_replay, cmd_reset, cmd_set, cmd_show, cmd_stats, cmd_trace;

/* For --help of commands that take a device. */
#define CMD_DEVICE_HELP \
"DEVICE is a name (vfu0), a PCI address (10000:00:00.0), a server's socket, or the number\n" \
"that \"vfiouserctl list --json\" calls id.\n\n"

/* main.c */
void cmd_help(const struct cmd *cmd);
int cmd_usage(const struct cmd *cmd, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int cmd_bad_option(const struct cmd *cmd, int c, char **argv);
int cmd_finish(int status);
int cmd_netlink(struct netlink **nl);
void cmd_print_json(struct json_object *json);
void cmd_print_json_line(struct json_object *json);

/* find.c: which device is meant */
int find_device(struct netlink *nl, const char *target, struct netlink_device *device);
bool find_same_socket(const char *socket, const char *target);
bool find_matches(const struct netlink_device *device, const char *target);

/* detach.c */
int detach_check_unused(const struct netlink_device *device);

/* list.c: a device as all commands print it */
struct json_object *list_device_json(const struct netlink_device *device);
struct json_object *list_counters_json(const struct netlink_device *device);
void list_children(const struct netlink_device *device, char *text, size_t len);

/**
 * struct attach_options - "attach"
 * @address: of the server, as typed
 * @name: of the device, or NULL
 * @slot: for several functions, or NULL
 * @function: as which one of it
 * @pool_size: bytes
 * @timeout_ms: message timeout
 * @wait_us: how long to wait for a driver
 * @poll_us: how long to spin, microseconds; -1: depends on the machine
 * @poll_server: spin for the server's answers, too
 * @cpus: where the helper may run; none: anywhere
 * @grace_ms: how long the device waits for another helper, 0: not at all
 * @reconnect: start another helper when one has ended
 * @old: device to take over, or NULL
 * @last_status: of the attempt before this one to take it over
 * @foreground: stay
 * @force: with one CPU, too, and with IDs on which the kernel acts beyond the device
 * @io_bars: VFIOUSER_DEV_F_IO_SHOW, _HIDE, or 0 for as it is best
 * @sandbox: confine the helper
 * @direct: map BARs
 * @passthrough: let the server reach all memory
 * @interrupts: the device has interrupts
 * @posted_writes: the driver goes on before the server is done with a write
 * @record: file for a recording, or NULL
 * @inject: faults to inject
 * @server_us: how long to wait for the server
 * @vhost: TYPE:SOCKET of a vhost-user back end whose device it is to be, or NULL
 * @json: print JSON
 * @help: print the help only
 * @helper_options: of those above what the next helper has to know, as it is typed
 * @fixed: first option that was typed and cannot be changed any more, or NULL
 */
struct attach_options {
	const char *address;
	const char *name;
	const char *slot;
	unsigned int function;
	uint64_t pool_size;
	unsigned int timeout_ms;
	uint64_t wait_us;
	int64_t poll_us;
	bool poll_server;
	cpu_set_t cpus;
	uint32_t grace_ms;
	bool reconnect;
	const struct netlink_device *old;
	int last_status;
	bool foreground;
	bool force;
	uint32_t io_bars;
	bool sandbox;
	bool direct;
	bool passthrough;
	bool interrupts;
	bool posted_writes;
	const char *record;
	struct inject inject;
	uint64_t server_us;
	const char *vhost;
	bool json;
	bool help;
	char helper_options[VFIOUSER_OPTIONS_MAX];
	const char *fixed;
};

/* options.c */
int attach_parse(int argc, char **argv, struct attach_options *opt);

/* attach.c */
int attach_run(struct attach_options *opt);
void attach_socket_name(char name[VFIOUSER_SOCKET_MAX], const char *address);

/* vhost.c */
int vhost_start(struct attach_options *opt);

/* session.c */
int attach_helper(const struct attach_options *opt, int front);

#endif
