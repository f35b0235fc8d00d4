// SPDX-License-Identifier: GPL-2.0-only
/* The command line of vfiouser-nvme. */
#include <errno.h>
#include <getopt.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"

#define VERSION		"1.0"

static const char usage_text[] =
"Usage: " PROG " (--socket-path=PATH | --fd=N) (--file=PATH | --ram=SIZE)... [OPTION...]\n"
"Serve a disk as an NVMe controller over vfio-user. Runs in the foreground until SIGTERM.\n"
"\n"
"  --socket-path=PATH    listen on this UNIX socket; removed at the end\n"
"  --fd=N                use this descriptor instead, a listening or a connected socket\n"
"  --file=PATH           disk image or block device; again for another namespace, up to 16\n"
"  --ram=SIZE            a disk in memory; suffixes K, M, G, T\n"
"  --read-only           refuse writes; --readonly is the same\n"
"  --cache=HOW           writeback: through the page cache, a flush makes it last (the default);\n"
"                        none: direct I/O, as --direct; writethrough: each write lasts;\n"
"                        unsafe: flushes are ignored, a crash of the machine loses the disk\n"
"  --direct              as --cache=none\n"
"  --discard=on|off      give back the space that the driver does not need (on)\n"
"  --lba=512|4096        logical block size in bytes (as the backing has it)\n"
"  --io=auto|threads     do without io_uring, where it could be had\n"
"  --queues=N            I/O queues, 1 to 64 (8)\n"
"  --doorbells=HOW       mmap: the client maps them, the server polls (the default);\n"
"                        trap: a message for each write;\n"
"                        ioeventfd: shadow memory and an eventfd, messages otherwise\n"
"  --interrupts=LIST     of msix, msi, intx (all of them)\n"
"  --shadow-doorbells    let the driver keep doorbells in its memory while we are busy\n"
"  --poll-us=N           mapped or shadow doorbells: look without sleeping for N microseconds\n"
"                        after the last work (mapped: 100, shadow: 0)\n"
"  --poll-max-us=N       longest sleep between two looks when idle (1000)\n"
"  --name=TEXT           the disk's name, from which serial number, UUID and NQN are made;\n"
"                        without it the backing's identity is used\n"
"  --serial=TEXT         serial number, up to 20 characters; also decides the UUID and NQN\n"
"  --model=TEXT          model, up to 40 characters\n"
"  --no-map              reach the client's memory by messages only\n"
"  --max-msg-fds=N       descriptors accepted in one message, 0 to 253 (8)\n"
"  --max-xfer=N          bytes accepted in one access message (1048576)\n"
"  --twin-socket         offer a second socket for requests to the client\n"
"  --no-keep             where a client has gone, let none go on with the controller as it is\n"
"  --no-write-multi      do not offer REGION_WRITE_MULTI\n"
"  --verbose             say what happens on standard error; twice for more\n"
"  --help, --version\n";

enum {
	OPT_SOCKET = 256, OPT_FD, OPT_FILE, OPT_RAM, OPT_READ_ONLY, OPT_CACHE, OPT_DIRECT,
	OPT_DISCARD, OPT_LBA, OPT_IO, OPT_NAME, OPT_QUEUES,
	OPT_DOORBELLS, OPT_SHADOW, OPT_INTERRUPTS, OPT_POLL, OPT_POLL_MAX, OPT_SERIAL,
	OPT_MODEL, OPT_MAX_FDS, OPT_MAX_XFER, OPT_NO_MAP, OPT_TWIN, OPT_NO_KEEP,
	OPT_NO_MULTI,
	OPT_VERBOSE, OPT_HELP, OPT_VERSION,
};

static const struct option long_options[] = {
	{ "socket-path", required_argument, NULL, OPT_SOCKET },
	{ "fd", required_argument, NULL, OPT_FD },
	{ "file", required_argument, NULL, OPT_FILE },
	{ "ram", required_argument, NULL, OPT_RAM },
	{ "read-only", no_argument, NULL, OPT_READ_ONLY },
	{ "readonly", no_argument, NULL, OPT_READ_ONLY },
	{ "cache", required_argument, NULL, OPT_CACHE },
	{ "direct", no_argument, NULL, OPT_DIRECT },
	{ "discard", required_argument, NULL, OPT_DISCARD },
	{ "io", required_argument, NULL, OPT_IO },
	{ "name", required_argument, NULL, OPT_NAME },
	{ "lba", required_argument, NULL, OPT_LBA },
	{ "queues", required_argument, NULL, OPT_QUEUES },
	{ "doorbells", required_argument, NULL, OPT_DOORBELLS },
	{ "shadow-doorbells", no_argument, NULL, OPT_SHADOW },
	{ "interrupts", required_argument, NULL, OPT_INTERRUPTS },
	{ "poll-us", required_argument, NULL, OPT_POLL },
	{ "poll-max-us", required_argument, NULL, OPT_POLL_MAX },
	{ "serial", required_argument, NULL, OPT_SERIAL },
	{ "model", required_argument, NULL, OPT_MODEL },
	{ "no-map", no_argument, NULL, OPT_NO_MAP },
	{ "max-msg-fds", required_argument, NULL, OPT_MAX_FDS },
	{ "max-xfer", required_argument, NULL, OPT_MAX_XFER },
	{ "twin-socket", no_argument, NULL, OPT_TWIN },
	{ "no-keep", no_argument, NULL, OPT_NO_KEEP },
	{ "no-write-multi", no_argument, NULL, OPT_NO_MULTI },
	{ "verbose", no_argument, NULL, OPT_VERBOSE },
	{ "help", no_argument, NULL, OPT_HELP },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ NULL, 0, NULL, 0 },
};

static void bad_option(const char *name, const char *arg, const char *want)
{
	fprintf(stderr, "%s: --%s=%s: give %s\n", PROG, name, arg, want);
	exit(2);
}

static uint64_t number(const char *name, const char *arg, uint64_t min, uint64_t max)
{
	char *end, want[80];
	uint64_t v;

	errno = 0;
	v = strtoull(arg, &end, 0);
	if (errno || end == arg || *end || *arg == '-' || v < min || v > max) {
		snprintf(want, sizeof(want), "a number from %llu to %llu", (unsigned long long)min,
			 (unsigned long long)max);
		bad_option(name, arg, want);
	}
	return v;
}

static uint64_t size_arg(const char *name, const char *arg)
{
	static const char suffixes[] = "KMGT";
	unsigned int shift = 0;
	const char *s;
	char *end;
	uint64_t v;

	errno = 0;
	v = strtoull(arg, &end, 0);
	if (end != arg && *end && !end[1]) {
		s = strchr(suffixes, *end);
		if (s) {
			shift = 10 * (unsigned int)(s - suffixes + 1);
			end++;
		}
	}
	if (errno || end == arg || *end || *arg == '-' || !v || v > (1ull << 46) >> shift)
		bad_option(name, arg, "a size such as 64M, at most 64T");
	return v << shift;
}

static unsigned int irq_list(const char *arg)
{
	unsigned int v = 0;
	const char *p = arg;

	while (*p) {
		size_t n = strcspn(p, ",");

		if (n == 4 && !memcmp(p, "msix", 4))
			v |= 1u << VFIO_PCI_MSIX_IRQ_INDEX;
		else if (n == 3 && !memcmp(p, "msi", 3))
			v |= 1u << VFIO_PCI_MSI_IRQ_INDEX;
		else if (n == 4 && !memcmp(p, "intx", 4))
			v |= 1u << VFIO_PCI_INTX_IRQ_INDEX;
		else
			bad_option("interrupts", arg, "a list of msix, msi, intx");
		p += n;
		p += *p == ',';
	}
	if (!v)
		bad_option("interrupts", arg, "a list of msix, msi, intx");
	return v;
}

static void text_arg(const char *name, const char *arg, char *to, size_t size)
{
	char want[40];
	size_t i;

	for (i = 0; arg[i] >= 0x20 && arg[i] < 0x7f; i++)
		;
	if (!i || arg[i] || i >= size) {
		snprintf(want, sizeof(want), "1 to %zu ASCII characters", size - 1);
		bad_option(name, arg, want);
	}
	memcpy(to, arg, i + 1);
}

static enum nvme_doorbells doorbells_arg(const char *arg)
{
	if (!strcmp(arg, "mmap"))
		return NVME_DB_MMAP;
	if (!strcmp(arg, "trap"))
		return NVME_DB_TRAP;
	if (strcmp(arg, "ioeventfd"))
		bad_option("doorbells", arg, "mmap, trap or ioeventfd");
	return NVME_DB_IOEVENTFD;
}

/* Which of the two it is. */
static bool choice(const char *name, const char *arg, const char *first, const char *second)
{
	char want[40];

	if (strcmp(arg, first) && strcmp(arg, second)) {
		snprintf(want, sizeof(want), "%s or %s", first, second);
		bad_option(name, arg, want);
	}
	return !strcmp(arg, second);
}

static enum disk_cache cache_arg(const char *arg)
{
	static const char *const names[] = {
		[DISK_WRITEBACK] = "writeback", [DISK_WRITETHROUGH] = "writethrough",
		[DISK_DIRECT] = "none", [DISK_UNSAFE] = "unsafe",
	};
	unsigned int i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(arg, names[i]))
			return i;
	bad_option("cache", arg, "writeback, writethrough, none or unsafe");
	return DISK_WRITEBACK;
}

static void add_backing(struct options *o, const char *name, const char *file, uint64_t ram)
{
	if (o->nr_backings == NVME_MAX_NS)
		bad_option(name, optarg, "at most 16 disks");
	o->backing[o->nr_backings].file = file;
	o->backing[o->nr_backings++].ram = ram;
}

static void set_option(struct options *o, struct nvme_ctrl *c, int opt)
{
	switch (opt) {
	case OPT_SOCKET:
		o->vfus.socket_path = optarg;
		break;
	case OPT_FD:
		if (vfus_config_parse_fd(&o->vfus, optarg))
			bad_option("fd", optarg, "the number of an open descriptor");
		break;
	case OPT_FILE:
		add_backing(o, "file", optarg, 0);
		break;
	case OPT_RAM:
		add_backing(o, "ram", NULL, size_arg("ram", optarg));
		break;
	case OPT_READ_ONLY:
		o->disk.read_only = true;
		break;
	case OPT_CACHE:
		o->disk.cache = cache_arg(optarg);
		break;
	case OPT_DIRECT:
		o->disk.cache = DISK_DIRECT;
		break;
	case OPT_DISCARD:
		o->disk.no_discard = choice("discard", optarg, "on", "off");
		break;
	case OPT_LBA:
		o->lba_shift = choice("lba", optarg, "512", "4096") ? 12 : 9;
		break;
	case OPT_IO:
		o->no_ring = choice("io", optarg, "auto", "threads");
		break;
	case OPT_NAME:
		if (!*optarg)
			bad_option("name", optarg, "the disk's name");
		o->name = optarg;
		break;
	case OPT_QUEUES:
		c->nr_ioq = (unsigned int)number("queues", optarg, 1, NVME_MAX_IOQ);
		break;
	case OPT_DOORBELLS:
		c->mode = doorbells_arg(optarg);
		break;
	case OPT_SHADOW:
		c->shadow_offered = true;
		break;
	case OPT_INTERRUPTS:
		o->irqs = irq_list(optarg);
		break;
	case OPT_POLL:
		c->poll_us = number("poll-us", optarg, 0, 1000000);
		break;
	case OPT_POLL_MAX:
		c->poll_max_us = number("poll-max-us", optarg, 1, 1000000);
		break;
	case OPT_SERIAL:
		text_arg("serial", optarg, c->serial, sizeof(c->serial));
		break;
	case OPT_MODEL:
		text_arg("model", optarg, c->model, sizeof(c->model));
		break;
	case OPT_NO_MAP:
		o->vfus.no_dma_fds = true;
		break;
	case OPT_MAX_FDS:
		o->vfus.max_msg_fds = (uint32_t)number("max-msg-fds", optarg, 0, VFUS_MAX_FDS);
		break;
	case OPT_MAX_XFER:
		o->vfus.max_xfer = (uint32_t)number("max-xfer", optarg, 4096, 16 << 20);
		break;
	case OPT_TWIN:
		o->vfus.twin_socket = true;
		break;
	case OPT_NO_KEEP:
		o->no_keep = true;
		break;
	case OPT_NO_MULTI:
		o->vfus.write_multiple = false;
		break;
	case OPT_VERBOSE:
		o->vfus.verbose++;
		break;
	case OPT_HELP:
		fputs(usage_text, stdout);
		exit(0);
	case OPT_VERSION:
		puts(PROG " " VERSION);
		exit(0);
	default:
		fprintf(stderr, "%s: see %s --help\n", PROG, PROG);
		exit(2);
	}
}

/**
 * options_parse() - the command line
 * @o: defaults, changed
 * @c: controller, whose part of the options is set
 * @argc: as main() has it
 * @argv: as main() has it
 *
 * Exits where they are wrong, and after --help and --version.
 */
void options_parse(struct options *o, struct nvme_ctrl *c, int argc, char **argv)
{
	const char *wrong = NULL;
	bool poll = false;
	int opt;

	while ((opt = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		set_option(o, c, opt);
		poll |= opt == OPT_POLL;
	}
	if (!poll)
		c->poll_us = c->mode == NVME_DB_MMAP ? 100 : 0;
	if (optind < argc)
		wrong = "options only, no other arguments";
	else if (!o->vfus.socket_path == (o->vfus.fd < 0))
		wrong = "give either --socket-path or --fd";
	else if (!o->nr_backings)
		wrong = "give --file or --ram";
	if (wrong) {
		fprintf(stderr, "%s: %s; see %s --help\n", PROG, wrong, PROG);
		exit(2);
	}
}
