// SPDX-License-Identifier: GPL-2.0-only
/*
 * "show": all there is to know about one device.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <string.h>

#include "array.h"
#include "cmd.h"
#include "device.h"
#include "log.h"
#include "ring.h"
#include "status.h"
#include "sysfs.h"
#include "term.h"

/* Name of a process, or "?". */
static void process_name(uint32_t pid, char *text, size_t len)
{
	char path[PATH_MAX];

	if (!pid || sysfs_path(path, "/proc/%u/comm", pid) || sysfs_read(path, text, len))
		snprintf(text, len, "?");
}

static struct json_object *regions_json(const struct netlink_details *details)
{
	struct json_object *array = json_object_new_array();
	struct json_object *o;
	uint32_t i;

	for (i = 0; i < NETLINK_REGIONS; i++) {
		if (!details->regions[i].size)
			continue;
		o = json_object_new_object();
		json_object_object_add(o, "index", json_object_new_int64(i));
		json_object_object_add(o, "name", json_object_new_string(device_region_name(i)));
		json_object_object_add(o, "size",
				       json_object_new_uint64(details->regions[i].size));
		json_object_object_add(o, "direct",
				       json_object_new_uint64(details->regions[i].direct));
		json_object_object_add(o, "flags",
				       json_object_new_int64(details->regions[i].flags));
		json_object_array_add(array, o);
	}
	return array;
}

static struct json_object *irqs_json(const struct netlink_details *details)
{
	struct json_object *array = json_object_new_array();
	struct json_object *o;
	uint32_t i;

	for (i = 0; i < NETLINK_IRQS; i++) {
		if (!details->irqs[i].count)
			continue;
		o = json_object_new_object();
		json_object_object_add(o, "index", json_object_new_int64(i));
		json_object_object_add(o, "name", json_object_new_string(device_irq_name(i)));
		json_object_object_add(o, "count", json_object_new_int64(details->irqs[i].count));
		json_object_object_add(o, "armed", json_object_new_int64(details->irqs[i].armed));
		json_object_object_add(o, "flags", json_object_new_int64(details->irqs[i].flags));
		json_object_array_add(array, o);
	}
	return array;
}

static void print_json(const struct netlink_device *device, const struct netlink_details *details)
{
	struct json_object *o = list_device_json(device);
	struct json_object *pool = json_object_new_object();

	json_object_object_add(o, "timeout_ms", json_object_new_int64(details->timeout_ms));
	json_object_object_add(o, "server_pid", details->server ?
			       json_object_new_int64(details->server) : NULL);
	json_object_object_add(pool, "size", json_object_new_uint64(details->pool_size));
	json_object_object_add(pool, "iova", json_object_new_uint64(details->pool_iova));
	json_object_object_add(pool, "coherent", json_object_new_uint64(details->pool_coherent));
	json_object_object_add(o, "pool", pool);
	json_object_object_add(o, "regions", regions_json(details));
	json_object_object_add(o, "interrupts", irqs_json(details));
	cmd_print_json(o);
}

static void print_regions(const struct netlink_details *details)
{
	char size[24], direct[24];
	uint32_t i;

	for (i = 0; i < NETLINK_REGIONS; i++) {
		if (!details->regions[i].size)
			continue;
		format_size(size, sizeof(size), details->regions[i].size);
		format_size(direct, sizeof(direct), details->regions[i].direct);
		printf("  %-7s %6s%s%s%s\n", device_region_name(i), size,
		       details->regions[i].direct ? ", direct: " : "",
		       details->regions[i].direct ? direct : "",
		       details->regions[i].flags & VFIO_REGION_INFO_FLAG_WRITE ? "" :
		       ", read only");
	}
}

static void print_text(const struct netlink_device *device, const struct netlink_details *details)
{
	char text[256], size[24], coherent[24];
	unsigned int vendor = 0xffff, id = 0xffff, class = 0;
	uint32_t i;

	printf("%s%s%s (number %u)\n", term_colour(TERM_BOLD), device->name,
	       term_colour(TERM_PLAIN), device->id);
	printf("  State:    %s%s%s\n", term_colour(term_state_colour(device->state)),
	       ring_state_name(device->state), term_colour(TERM_PLAIN));
	if (device->has_bdf) {
		format_bdf(text, &device->bdf);
		sysfs_pci_id(&device->bdf, "vendor", &vendor);
		sysfs_pci_id(&device->bdf, "device", &id);
		sysfs_pci_id(&device->bdf, "class", &class);
		printf("  Address:  %s, ID %04x:%04x, class %06x\n", text, vendor, id, class);
		if (sysfs_pci_driver(&device->bdf, text, sizeof(text)))
			snprintf(text, sizeof(text), "none");
		printf("  Driver:   %s\n", text);
	}
	list_children(device, text, sizeof(text));
	printf("  Gives:    %s\n", *text ? text : "no disk or network interface");
	printf("  Socket:   %s\n", *device->socket ? device->socket : "unknown");
	if (details->server) {
		process_name(details->server, text, sizeof(text));
		printf("  Server:   process %u (%s), has %g s for an answer\n", details->server,
		       text, details->timeout_ms / 1000.0);
	} else {
		printf("  Server:   not a process of this host, has %g s for an answer\n",
		       details->timeout_ms / 1000.0);
	}
	process_name(device->pid, text, sizeof(text));
	if (device->pid)
		printf("  Helper:   process %u (%s)\n", device->pid, text);
	else
		printf("  Helper:   none\n");
	if (device->keeper)
		printf("  Keeper:   process %u starts another helper\n", device->keeper);
	if (*device->options)
		printf("  Options:  %s\n", device->options);
	if (device->waits)
		printf("  Grace:    %g s, of which %u s are left\n", device->grace_ms / 1000.0,
		       device->grace_left_ms / 1000);
	else if (device->grace_ms)
		printf("  Grace:    %g s\n", device->grace_ms / 1000.0);
	else
		printf("  Grace:    none: removed at once\n");
	format_size(size, sizeof(size), details->pool_size);
	format_size(coherent, sizeof(coherent), details->pool_coherent);
	if (device->flags & VFIOUSER_DEV_F_PASSTHROUGH)
		printf("  DMA:      all memory of this host (passthrough)\n");
	else
		printf("  DMA pool: %s at 0x%" PRIx64 ", drivers' own %s, refused %" PRIu64 " times\n",
		       size, details->pool_iova, coherent,
		       device->stats[VFIOUSER_STAT_A_DMA_FULL]);
	printf("Regions:\n");
	print_regions(details);
	printf("Interrupts:\n");
	for (i = 0; i < NETLINK_IRQS; i++)
		if (details->irqs[i].count)
			printf("  %-7s %6u, in use: %u\n", device_irq_name(i),
			       details->irqs[i].count, details->irqs[i].armed);
}

static int show(const char *target, bool json)
{
	struct netlink_details details;
	struct netlink_device device;
	struct netlink *nl;
	int status, err;

	status = cmd_netlink(&nl);
	if (status)
		return status;
	status = find_device(nl, target, &device);
	if (!status) {
		err = netlink_device_details(nl, device.id, &device, &details);
		if (err)
			status = log_fail(status_of_kernel(err), "cannot look at %s: %s",
					  device.name, netlink_error(nl));
		else if (json)
			print_json(&device, &details);
		else
			print_text(&device, &details);
	}
	netlink_close(nl);
	return status;
}

static int run(int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 }
	};
	bool json = false;
	int c;

	while ((c = getopt_long(argc, argv, ":jh", options, NULL)) != -1) {
		switch (c) {
		case 'j':
			json = true;
			break;
		case 'h':
			cmd_help(&cmd_show);
			return ST_OK;
		default:
			return cmd_bad_option(&cmd_show, c, argv);
		}
	}
	if (optind != argc - 1)
		return cmd_usage(&cmd_show, "it takes one device");
	return show(argv[optind], json);
}

const struct cmd cmd_show = {
	.name = "show",
	.synopsis = "[--json] DEVICE",
	.summary = "show all about one device",
	.help =
"Shows all about one attached device: state, PCI address and IDs, driver and what it made\n"
"of the device, server and helper, DMA pool, regions with what of them the driver reaches\n"
"directly, interrupts with how many the driver uses.\n\n" CMD_DEVICE_HELP
"Options:\n"
"  -j, --json   print JSON; schema in vfiouserctl(8)\n"
"  -h, --help   this text\n\n"
"Examples:\n"
"  vfiouserctl show vfu0\n"
"  vfiouserctl show --json /run/nvme.sock | jq .server_pid\n",
	.run = run,
};
