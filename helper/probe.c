// SPDX-License-Identifier: GPL-2.0-only
/*
 * "probe": what a server offers, without the kernel module and without root.
 *
 * Everything is asked first and printed then, so that what is printed is complete.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "device.h"
#include "engine/client.h"
#include "log.h"
#include "offer.h"
#include "pciconf.h"
#include "record.h"
#include "status.h"

#define CONFIG_MAX	4096

/**
 * struct probe - what was found
 * @c: connection
 * @info: DEVICE_GET_INFO
 * @regions: @info.num_regions of them
 * @io_fds: of each region, NULL where the server has none
 * @irqs: @info.num_irqs of them
 * @config: config space
 * @config_len: bytes of it, 0 if the server has none
 */
struct probe {
	struct vfuc *c;
	struct vfuc_info info;
	struct vfuc_region_info **regions;
	struct vfuc_region_io_fds **io_fds;
	struct vfuc_irq_info *irqs;
	uint8_t config[CONFIG_MAX];
	size_t config_len;
};

static int ask_config(struct probe *p, struct vfuc_error *error)
{
	const struct vfuc_region_info *region;
	size_t i, len;
	int err;

	if (p->info.num_regions <= VFIO_PCI_CONFIG_REGION_INDEX)
		return 0;
	region = p->regions[VFIO_PCI_CONFIG_REGION_INDEX];
	len = region->size < CONFIG_MAX ? region->size & ~3ull : CONFIG_MAX;
	/* As a PCI host does it: some servers know no other way. */
	for (i = 0; i < len; i += 4) {
		err = vfuc_region_read(p->c, VFIO_PCI_CONFIG_REGION_INDEX, i, p->config + i, 4,
				       error);
		if (err)
			return err;
	}
	p->config_len = len;
	return 0;
}

static int ask(struct probe *p, struct vfuc_error *error)
{
	uint32_t i;
	int err;

	err = vfuc_get_info(p->c, &p->info, error);
	if (err)
		return err;
	p->regions = calloc(p->info.num_regions + 1, sizeof(*p->regions));
	p->io_fds = calloc(p->info.num_regions + 1, sizeof(*p->io_fds));
	p->irqs = calloc(p->info.num_irqs + 1, sizeof(*p->irqs));
	if (!p->regions || !p->io_fds || !p->irqs)
		return vfuc_error_set(error, VFUC_SYSTEM, -ENOMEM, "out of memory");
	for (i = 0; i < p->info.num_regions; i++) {
		err = vfuc_get_region_info(p->c, i, &p->regions[i], error);
		if (err)
			return err;
	}
	for (i = 0; i < p->info.num_irqs; i++) {
		err = vfuc_get_irq_info(p->c, i, &p->irqs[i], error);
		if (err)
			return err;
	}
	err = ask_config(p, error);
	if (err)
		return err;
	/* Last, since it is the least known command: a server that minds it has said all else. */
	for (i = 0; i < p->info.num_regions && !vfuc_dead(p->c); i++)
		if (i <= VFIO_PCI_BAR5_REGION_INDEX && p->regions[i]->size &&
		    vfuc_get_region_io_fds(p->c, i, p->regions[i]->size, &p->io_fds[i], NULL))
			p->io_fds[i] = NULL;
	return 0;
}

static void release(struct probe *p)
{
	uint32_t i;

	for (i = 0; i < p->info.num_regions; i++) {
		if (p->regions)
			vfuc_region_info_free(p->regions[i]);
		if (p->io_fds && p->io_fds[i])
			vfuc_region_io_fds_free(p->io_fds[i]);
	}
	free(p->regions);
	free(p->io_fds);
	free(p->irqs);
}

static const char *io_fd_name(enum vfuc_io_fd_type type)
{
	switch (type) {
	case VFUC_IO_FD_IOEVENTFD:
		return "ioeventfd";
	case VFUC_IO_FD_IOREGIONFD:
		return "ioregionfd";
	case VFUC_IO_FD_SHADOW:
		return "shadow-ioeventfd";
	}
	return "unknown";
}

/* ---- text ---- */

static const char *yes(bool value)
{
	return value ? "yes" : "no";
}

static void print_server(const struct probe *p, const char *address)
{
	const struct vfuc_caps *caps = vfuc_caps(p->c);
	char size[24], pages[24];

	format_size(size, sizeof(size), caps->max_data_xfer_size);
	printf("Server: %s\n", address);
	printf("  vfio-user %u.%u\n", caps->major, caps->minor);
	if (caps->can_pass_fds)
		printf("  Descriptors: up to %u a message\n", caps->max_msg_fds);
	else
		printf("  Descriptors: not over this transport\n");
	printf("  Largest transfer: %s\n", size);
	format_size(pages, sizeof(pages), caps->pgsizes & -caps->pgsizes);
	printf("  DMA: up to %u windows, page sizes 0x%" PRIx64 " (smallest %s)\n",
	       caps->max_dma_maps, caps->pgsizes, pages);
	printf("  Several writes a message: %s, twin socket: %s, migration: %s\n",
	       yes(caps->write_multiple), yes(caps->twin_socket), yes(caps->migration));
	if (caps->unknown)
		printf("  Ignored capabilities: %u\n", caps->unknown);
	printf("Device: %sreset %s, %u regions, %u interrupt types\n",
	       p->info.flags & VFIO_DEVICE_FLAGS_PCI ? "PCI, " : "not PCI, ",
	       yes(p->info.flags & VFIO_DEVICE_FLAGS_RESET), p->info.num_regions,
	       p->info.num_irqs);
}

static void print_region(const struct probe *p, const struct vfuc_region_info *r)
{
	const struct vfuc_region_io_fds *fds = p->io_fds[r->index];
	char size[24];
	unsigned int i;

	format_size(size, sizeof(size), r->size);
	printf("  %u %-6s %6s %s%s%s", r->index, device_region_name(r->index), size,
	       r->flags & VFIO_REGION_INFO_FLAG_READ ? "r" : "-",
	       r->flags & VFIO_REGION_INFO_FLAG_WRITE ? "w" : "-",
	       r->nr_areas ? "m" : "-");
	if (r->has_type)
		printf(" type 0x%x subtype 0x%x", r->type, r->subtype);
	if (r->msix_mappable)
		printf(" msix-mappable");
	if (r->unknown_caps)
		printf(" %u unknown capabilities", r->unknown_caps);
	printf("\n");
	for (i = 0; i < r->nr_areas; i++)
		printf("      direct 0x%" PRIx64 "-0x%" PRIx64 "%s\n", r->areas[i].offset,
		       r->areas[i].offset + r->areas[i].size - 1, r->sparse ? "" : " (all)");
	for (i = 0; fds && i < fds->count; i++)
		printf("      %s 0x%" PRIx64 "+%" PRIu64 " flags 0x%x value 0x%" PRIx64 "\n",
		       io_fd_name(fds->entries[i].type), fds->entries[i].offset,
		       fds->entries[i].size, fds->entries[i].flags, fds->entries[i].value);
}

static struct offer offer_of(const struct probe *p)
{
	return (struct offer) {
		.config = p->config,
		.len = p->config_len,
		.regions = p->regions,
		.nr_regions = p->info.num_regions,
	};
}

static void print_fate(void *opaque, enum offer_fate fate, const char *what, const char *why)
{
	bool *any = opaque;

	if (!*any)
		printf("Attached:\n");
	*any = true;
	printf("  %s: %s (%s)\n", offer_fate_name(fate), what, why);
}

static void print_text(const struct probe *p, const char *address)
{
	uint64_t bar_size[PCICONF_BARS] = { 0 };
	const struct offer offer = offer_of(p);
	bool any = false;
	uint32_t i;

	print_server(p, address);
	printf("Regions:\n");
	for (i = 0; i < p->info.num_regions; i++) {
		if (i < PCICONF_BARS)
			bar_size[i] = p->regions[i]->size;
		if (p->regions[i]->size)
			print_region(p, p->regions[i]);
	}
	printf("Interrupts:\n");
	for (i = 0; i < p->info.num_irqs; i++)
		if (p->irqs[i].count)
			printf("  %u %-6s %5u%s%s%s%s\n", i, device_irq_name(i), p->irqs[i].count,
			       p->irqs[i].flags & VFIO_IRQ_INFO_EVENTFD ? " eventfd" : "",
			       p->irqs[i].flags & VFIO_IRQ_INFO_MASKABLE ? " maskable" : "",
			       p->irqs[i].flags & VFIO_IRQ_INFO_AUTOMASKED ? " automasked" : "",
			       p->irqs[i].flags & VFIO_IRQ_INFO_NORESIZE ? " noresize" : "");
	if (!p->config_len) {
		printf("Config space: none\n");
		return;
	}
	printf("Config space: %zu bytes\n", p->config_len);
	pciconf_print(stdout, p->config, p->config_len, bar_size);
	offer_visit(&offer, print_fate, &any);
	if (log_verbose)
		pciconf_dump(stdout, p->config, p->config_len);
}

/* ---- JSON ---- */

static void add_int(struct json_object *o, const char *name, uint64_t value)
{
	json_object_object_add(o, name, json_object_new_uint64(value));
}

static void add_bool(struct json_object *o, const char *name, bool value)
{
	json_object_object_add(o, name, json_object_new_boolean(value));
}

static struct json_object *server_json(const struct probe *p)
{
	const struct vfuc_caps *caps = vfuc_caps(p->c);
	struct json_object *o = json_object_new_object();

	add_int(o, "major", caps->major);
	add_int(o, "minor", caps->minor);
	add_bool(o, "can_pass_fds", caps->can_pass_fds);
	add_int(o, "max_msg_fds", caps->max_msg_fds);
	add_int(o, "max_data_xfer_size", caps->max_data_xfer_size);
	add_int(o, "pgsizes", caps->pgsizes);
	add_int(o, "max_dma_maps", caps->max_dma_maps);
	add_bool(o, "write_multiple", caps->write_multiple);
	add_bool(o, "twin_socket", caps->twin_socket);
	add_bool(o, "migration", caps->migration);
	return o;
}

static struct json_object *region_json(const struct probe *p, const struct vfuc_region_info *r)
{
	const struct vfuc_region_io_fds *fds = p->io_fds[r->index];
	struct json_object *o = json_object_new_object();
	struct json_object *areas = json_object_new_array();
	struct json_object *io = json_object_new_array();
	struct json_object *entry;
	unsigned int i;

	add_int(o, "index", r->index);
	json_object_object_add(o, "name", json_object_new_string(device_region_name(r->index)));
	add_int(o, "size", r->size);
	add_int(o, "flags", r->flags);
	add_bool(o, "sparse", r->sparse);
	for (i = 0; i < r->nr_areas; i++) {
		entry = json_object_new_object();
		add_int(entry, "offset", r->areas[i].offset);
		add_int(entry, "size", r->areas[i].size);
		json_object_array_add(areas, entry);
	}
	json_object_object_add(o, "areas", areas);
	for (i = 0; fds && i < fds->count; i++) {
		entry = json_object_new_object();
		json_object_object_add(entry, "type",
				       json_object_new_string(io_fd_name(fds->entries[i].type)));
		add_int(entry, "offset", fds->entries[i].offset);
		add_int(entry, "size", fds->entries[i].size);
		add_int(entry, "flags", fds->entries[i].flags);
		add_int(entry, "value", fds->entries[i].value);
		json_object_array_add(io, entry);
	}
	json_object_object_add(o, "io_fds", io);
	if (r->has_type) {
		add_int(o, "type", r->type);
		add_int(o, "subtype", r->subtype);
	}
	return o;
}

static void add_fate(void *opaque, enum offer_fate fate, const char *what, const char *why)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "fate", json_object_new_string(offer_fate_name(fate)));
	json_object_object_add(o, "what", json_object_new_string(what));
	json_object_object_add(o, "why", json_object_new_string(why));
	json_object_array_add(opaque, o);
}

static void print_json(const struct probe *p, const char *address)
{
	struct json_object *o = json_object_new_object();
	struct json_object *device = json_object_new_object();
	struct json_object *regions = json_object_new_array();
	struct json_object *irqs = json_object_new_array();
	const struct offer offer = offer_of(p);
	struct json_object *attached;
	struct json_object *entry;
	uint32_t i;

	json_object_object_add(o, "socket", json_object_new_string(address));
	json_object_object_add(o, "protocol", server_json(p));
	add_bool(device, "pci", p->info.flags & VFIO_DEVICE_FLAGS_PCI);
	add_bool(device, "reset", p->info.flags & VFIO_DEVICE_FLAGS_RESET);
	add_int(device, "num_regions", p->info.num_regions);
	add_int(device, "num_irqs", p->info.num_irqs);
	json_object_object_add(o, "device", device);
	for (i = 0; i < p->info.num_regions; i++)
		json_object_array_add(regions, region_json(p, p->regions[i]));
	json_object_object_add(o, "regions", regions);
	for (i = 0; i < p->info.num_irqs; i++) {
		entry = json_object_new_object();
		add_int(entry, "index", i);
		json_object_object_add(entry, "name", json_object_new_string(device_irq_name(i)));
		add_int(entry, "count", p->irqs[i].count);
		add_int(entry, "flags", p->irqs[i].flags);
		json_object_array_add(irqs, entry);
	}
	json_object_object_add(o, "interrupts", irqs);
	attached = json_object_new_array();
	if (p->config_len)
		offer_visit(&offer, add_fate, attached);
	json_object_object_add(o, "attached", attached);
	json_object_object_add(o, "config",
			       p->config_len ? pciconf_json(p->config, p->config_len) : NULL);
	cmd_print_json(o);
}

/* ---- the command ---- */

static void note(void *opaque, enum vfuc_level level, const char *text)
{
	(void)opaque;
	if (level == VFUC_WARN)
		log_note("server: %s", text);
	else
		log_debug("server: %s", text);
}

static void tap(void *opaque, const struct vfuc_tap *message)
{
	record_message(opaque, message);
}

static int probe(const char *address, unsigned int timeout_ms, bool json, const char *path)
{
	struct record record = { .fd = -1 };
	const struct vfuc_ops ops = { .note = note, .tap = path ? tap : NULL };
	struct vfuc_config config = {
		.address = address,
		.timeout_ms = timeout_ms,
		.ops = &ops,
		.opaque = &record,
	};
	struct vfuc_error error = { 0 };
	struct probe *p;
	int status = ST_OK;

	p = calloc(1, sizeof(*p));
	if (!p)
		return log_fail(ST_FAILED, "out of memory");
	if (path) {
		status = record_open(&record, path, address, false);
		if (status) {
			free(p);
			return status;
		}
	}
	if (vfuc_open(&p->c, &config, &error)) {
		free(p);
		record_close(&record);
		return log_fail(status_of_server(&error), "%s", error.message);
	}
	if (ask(p, &error))
		status = log_fail(status_of_server(&error), "%s", error.message);
	else if (json)
		print_json(p, address);
	else
		print_text(p, address);
	release(p);
	vfuc_close(p->c);
	record_close(&record);
	free(p);
	return status;
}

static int run(int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "timeout", required_argument, NULL, 't' },
		{ "record", required_argument, NULL, 'r' },
		{ "verbose", no_argument, NULL, 'v' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 }
	};
	unsigned int timeout_ms = VFUC_DEFAULT_TIMEOUT_MS;
	const char *path = NULL;
	bool json = false;
	int c;

	while ((c = getopt_long(argc, argv, ":jt:r:vh", options, NULL)) != -1) {
		switch (c) {
		case 'j':
			json = true;
			break;
		case 't':
			if (parse_timeout(optarg, &timeout_ms))
				return cmd_usage(&cmd_probe, "\"%s\" is no timeout: 1ms up to 600s",
						 optarg);
			break;
		case 'r':
			path = optarg;
			break;
		case 'v':
			log_verbose = true;
			break;
		case 'h':
			cmd_help(&cmd_probe);
			return ST_OK;
		default:
			return cmd_bad_option(&cmd_probe, c, argv);
		}
	}
	if (optind != argc - 1)
		return cmd_usage(&cmd_probe, "it takes one server address");
	return probe(argv[optind], timeout_ms, json, path);
}

const struct cmd cmd_probe = {
	.name = "probe",
	.synopsis = "[OPTION...] SOCKET",
	.summary = "show what a server offers, without the kernel module",
	.help =
"Connects to a vfio-user server and prints what it offers: protocol version and\n"
"capabilities, regions with the parts that can be mapped (direct), I/O descriptors,\n"
"interrupts, PCI config space in words, and what of all that the host will not see as it\n"
"is (hidden, changed, trapped, refused) if it is attached. Needs neither the kernel module nor root,\n"
"only access to the socket. Most servers take one client at a time, so a server whose\n"
"device is attached will not answer.\n\n"
"SOCKET is a path (unix:PATH), @NAME (unix-abstract:NAME), fd:N, vsock:CID:PORT or\n"
"tcp:HOST:PORT.\n\n"
"Options:\n"
"  -j, --json          print JSON; schema in vfiouserctl(8)\n"
"  -t, --timeout=TIME  how long the server may take for an answer (default 5s)\n"
"  -r, --record=FILE   record all messages, for \"vfiouserctl replay\" and Wireshark\n"
"  -v, --verbose       config space in hexadecimal, and notes about the server\n"
"  -h, --help          this text\n\n"
"Examples:\n"
"  vfiouserctl probe /run/nvme.sock\n"
"  vfiouserctl probe --json unix:/run/nvme.sock | jq .config.vendor\n",
	.run = run,
};
