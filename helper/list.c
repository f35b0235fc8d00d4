// SPDX-License-Identifier: GPL-2.0-only
/*
 * "list": the devices there are, from the kernel module, with what sysfs knows about them. Who
 * may not ask the module sees what sysfs shows to anyone.
 */
#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "array.h"
#include "cmd.h"
#include "log.h"
#include "ring.h"
#include "status.h"
#include "sysfs.h"
#include "term.h"

/* What people call a device by: its disks (not their partitions) and network interfaces. */
static bool is_child(const struct sysfs_node *node, const char *subsystem)
{
	char path[PATH_MAX], text[16];

	if (strcmp(node->subsystem, subsystem))
		return false;
	if (strcmp(subsystem, "block"))
		return true;
	if (!node->has_dev)
		return false;
	return sysfs_path(path, "%s/partition", node->path) ||
	       sysfs_read(path, text, sizeof(text));
}

/**
 * list_children() - names of a device's disks and network interfaces
 * @device: which
 * @text: result, separated by commas; "" if there are none
 * @len: bytes there are in @text
 *
 * Context: may sleep.
 */
void list_children(const struct netlink_device *device, char *text, size_t len)
{
	struct sysfs_nodes nodes;
	size_t i, n = 0;

	*text = '\0';
	if (!device->has_bdf || sysfs_pci_nodes(&device->bdf, &nodes))
		return;
	for (i = 0; i < nodes.count && n < len; i++)
		if (is_child(&nodes.node[i], "block") || is_child(&nodes.node[i], "net"))
			n += snprintf(text + n, len - n, "%s%s", n ? "," : "", nodes.node[i].name);
	sysfs_nodes_free(&nodes);
}

static struct json_object *children_json(const struct sysfs_nodes *nodes, const char *subsystem)
{
	struct json_object *array = json_object_new_array();
	size_t i;

	for (i = 0; i < nodes->count; i++)
		if (is_child(&nodes->node[i], subsystem))
			json_object_array_add(array, json_object_new_string(nodes->node[i].name));
	return array;
}

/**
 * list_counters_json() - a device's counters as an object
 * @device: which
 *
 * Context: any.
 * Return: the object, the caller's.
 */
struct json_object *list_counters_json(const struct netlink_device *device)
{
	static const struct {
		int stat;
		const char *name;
	} names[] = {
		{ VFIOUSER_STAT_A_READS, "reads" },
		{ VFIOUSER_STAT_A_WRITES, "writes" },
		{ VFIOUSER_STAT_A_CONFIG, "config" },
		{ VFIOUSER_STAT_A_TRAPS, "traps" },
		{ VFIOUSER_STAT_A_IRQS, "irqs" },
		{ VFIOUSER_STAT_A_WAKEUPS, "wakeups" },
		{ VFIOUSER_STAT_A_SLEEPS, "sleeps" },
		{ VFIOUSER_STAT_A_ERRORS, "errors" },
		{ VFIOUSER_STAT_A_DMA_MAPS, "dma_maps" },
		{ VFIOUSER_STAT_A_DMA_BYTES, "dma_bytes" },
		{ VFIOUSER_STAT_A_DMA_FULL, "dma_full" },
		{ VFIOUSER_STAT_A_IOEVENTFDS, "ioeventfds" },
	};
	struct json_object *o = json_object_new_object();
	size_t i;

	for (i = 0; i < ARRAY_SIZE(names); i++)
		json_object_object_add(o, names[i].name,
				       json_object_new_uint64(device->stats[names[i].stat]));
	return o;
}

static void add_id(struct json_object *o, const struct bdf *bdf, const char *attr, int digits)
{
	struct json_object *value = NULL;
	unsigned int id;
	char text[16];

	if (!sysfs_pci_id(bdf, attr, &id)) {
		snprintf(text, sizeof(text), "%0*x", digits, id);
		value = json_object_new_string(text);
	}
	json_object_object_add(o, attr, value);
}

/**
 * list_device_json() - a device as an object, whose members are documented in vfiouserctl(8)
 * @device: which
 *
 * Context: may sleep.
 * Return: the object, the caller's.
 */
struct json_object *list_device_json(const struct netlink_device *device)
{
	struct json_object *o = json_object_new_object();
	struct sysfs_nodes nodes = { 0 };
	char text[256];

	json_object_object_add(o, "id", json_object_new_int64(device->id));
	json_object_object_add(o, "name", json_object_new_string(device->name));
	json_object_object_add(o, "state", json_object_new_string(ring_state_name(device->state)));
	json_object_object_add(o, "socket", json_object_new_string(device->socket));
	json_object_object_add(o, "slot",
			       *device->slot ? json_object_new_string(device->slot) : NULL);
	json_object_object_add(o, "pid", json_object_new_int64(device->pid));
	json_object_object_add(o, "keeper_pid",
			       device->keeper ? json_object_new_int64(device->keeper) : NULL);
	json_object_object_add(o, "options", json_object_new_string(device->options));
	json_object_object_add(o, "grace_ms", json_object_new_int64(device->grace_ms));
	json_object_object_add(o, "grace_left_ms", device->waits ?
			       json_object_new_int64(device->grace_left_ms) : NULL);
	json_object_object_add(o, "dma",
			       json_object_new_string(device->flags & VFIOUSER_DEV_F_PASSTHROUGH ?
						      "passthrough" : "bounce"));
	if (device->has_bdf) {
		format_bdf(text, &device->bdf);
		json_object_object_add(o, "bdf", json_object_new_string(text));
		add_id(o, &device->bdf, "vendor", 4);
		add_id(o, &device->bdf, "device", 4);
		add_id(o, &device->bdf, "class", 6);
		json_object_object_add(o, "driver",
				       sysfs_pci_driver(&device->bdf, text, sizeof(text)) ? NULL :
				       json_object_new_string(text));
		/* On failure the list is empty. */
		sysfs_pci_nodes(&device->bdf, &nodes);
	} else {
		json_object_object_add(o, "bdf", NULL);
		json_object_object_add(o, "vendor", NULL);
		json_object_object_add(o, "device", NULL);
		json_object_object_add(o, "class", NULL);
		json_object_object_add(o, "driver", NULL);
	}
	json_object_object_add(o, "block", children_json(&nodes, "block"));
	json_object_object_add(o, "net", children_json(&nodes, "net"));
	json_object_object_add(o, "stats", list_counters_json(device));
	sysfs_nodes_free(&nodes);
	return o;
}

static int compare_id(const void *a, const void *b)
{
	const struct netlink_device *x = a, *y = b;

	return (x->id > y->id) - (x->id < y->id);
}

static void print_json(const struct netlink_device *devices, size_t count)
{
	struct json_object *o = json_object_new_object();
	struct json_object *array = json_object_new_array();
	size_t i;

	for (i = 0; i < count; i++)
		json_object_array_add(array, list_device_json(&devices[i]));
	json_object_object_add(o, "devices", array);
	cmd_print_json(o);
}

/* From /sys/class/vfiouser/NAME. Returns false if it has gone meanwhile. */
static bool from_sysfs(const char *name, struct netlink_device *d)
{
	char path[PATH_MAX], text[64];

	*d = (struct netlink_device){ 0 };
	snprintf(d->name, sizeof(d->name), "%.*s", (int)sizeof(d->name) - 1, name);
	if (sysfs_path(path, "/sys/class/vfiouser/%s/state", name) ||
	    sysfs_read(path, text, sizeof(text)))
		return false;
	d->state = ring_state_of_name(text);
	d->has_bdf = !sysfs_path(path, "/sys/class/vfiouser/%s/address", name) &&
		     !sysfs_read(path, text, sizeof(text)) && !parse_bdf(text, &d->bdf);
	return true;
}

/* What anyone may know. Returns 0 or a negative errno. */
static int list_sysfs(struct netlink_device **devices, size_t *count)
{
	struct netlink_device *more;
	char path[PATH_MAX];
	struct dirent *entry;
	int err = 0;
	DIR *dir;

	dir = sysfs_path(path, "/sys/class/vfiouser") ? NULL : opendir(path);
	if (!dir)
		return -errno;
	while (!err && (entry = readdir(dir))) {
		if (*entry->d_name == '.')
			continue;
		more = reallocarray(*devices, *count + 1, sizeof(*more));
		if (!more) {
			err = -ENOMEM;
			break;
		}
		*devices = more;
		*count += from_sysfs(entry->d_name, &more[*count]);
	}
	closedir(dir);
	return err;
}

static int compare_name(const void *a, const void *b)
{
	const struct netlink_device *x = a, *y = b;

	return strcmp(x->name, y->name);
}

static void print_table(const struct netlink_device *devices, size_t count)
{
	const struct netlink_device *d;
	char bdf[BDF_TEXT], driver[64], children[256], state[32], pid[16];
	size_t i;

	printf("%-12s %-16s %-9s %-14s %-12s %8s  %s\n", "NAME", "ADDRESS", "STATE", "DRIVER",
	       "CHILDREN", "PID", "SOCKET");
	for (i = 0; i < count; i++) {
		d = &devices[i];
		snprintf(bdf, sizeof(bdf), "-");
		snprintf(driver, sizeof(driver), "-");
		if (d->has_bdf) {
			format_bdf(bdf, &d->bdf);
			if (sysfs_pci_driver(&d->bdf, driver, sizeof(driver)))
				snprintf(driver, sizeof(driver), "-");
		}
		list_children(d, children, sizeof(children));
		snprintf(state, sizeof(state), "%s", ring_state_name(d->state));
		/* How long it will wait yet. */
		if (d->waits)
			snprintf(state, sizeof(state), "%s %us", ring_state_name(d->state),
				 d->grace_left_ms / 1000);
		snprintf(pid, sizeof(pid), "-");
		if (d->pid)
			snprintf(pid, sizeof(pid), "%u", d->pid);
		printf("%-12s %-16s %s%-9s%s %-14s %-12s %8s  %s\n", d->name, bdf,
		       term_colour(term_state_colour(d->state)), state,
		       term_colour(TERM_PLAIN), driver, *children ? children : "-", pid,
		       *d->socket ? d->socket : "-");
	}
}

static int run(int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 }
	};
	struct netlink_device *devices = NULL;
	struct netlink *nl;
	size_t count = 0;
	bool json = false;
	int c, err, status;

	while ((c = getopt_long(argc, argv, ":jh", options, NULL)) != -1) {
		switch (c) {
		case 'j':
			json = true;
			break;
		case 'h':
			cmd_help(&cmd_list);
			return ST_OK;
		default:
			return cmd_bad_option(&cmd_list, c, argv);
		}
	}
	if (optind != argc)
		return cmd_usage(&cmd_list, "unexpected argument \"%s\"", argv[optind]);

	status = cmd_netlink(&nl);
	if (status)
		return status;
	err = netlink_device_list(nl, &devices, &count);
	if ((err == -EPERM || err == -EACCES) && json) {
		status = log_fail(ST_PERMISSION, "listing devices as JSON needs root; try sudo");
	} else if ((err == -EPERM || err == -EACCES) && !list_sysfs(&devices, &count)) {
		if (count)
			qsort(devices, count, sizeof(*devices), compare_name);
		print_table(devices, count);
	} else if (err) {
		status = log_fail(status_of_kernel(err), "cannot list devices: %s",
				  netlink_error(nl));
	} else {
		if (count)
			qsort(devices, count, sizeof(*devices), compare_id);
		if (json)
			print_json(devices, count);
		else
			print_table(devices, count);
	}
	free(devices);
	netlink_close(nl);
	return status;
}

const struct cmd cmd_list = {
	.name = "list",
	.synopsis = "[--json]",
	.summary = "list the attached devices",
	.help =
"Lists the attached devices: name, PCI address, state, driver, disks and network\n"
"interfaces, helper process, and the server's socket. The last two are for root to see, and\n"
"so is JSON.\n\n"
"Options:\n"
"  -j, --json   print JSON, with the counters; schema in vfiouserctl(8)\n"
"  -h, --help   this text\n\n"
"Examples:\n"
"  vfiouserctl list\n"
"  vfiouserctl list --json | jq -r '.devices[] | select(.state == \"live\") | .bdf'\n",
	.run = run,
};
