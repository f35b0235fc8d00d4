// SPDX-License-Identifier: GPL-2.0-only
/*
 * vfiouser-nvme: serves a disk image, or memory, as an NVMe controller over vfio-user.
 *
 * This file owns the command line, the identity of the device and its PCI layout:
 *
 *	BAR 0, 16 KiB, 64-bit
 *	0x0000	controller registers, trapped
 *	0x1000	doorbells: mappable, trapped, or trapped with a shadow ioeventfd
 *	0x2000	MSI-X table
 *	0x3000	MSI-X pending bits
 *
 * Serial number, UUID and NQN are derived from the backing file, so that two servers of two files
 * never look like two ports of one subsystem to the driver, and a restarted server looks the same.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "nvme.h"

#define PROG		"vfiouser-nvme"
#define VERSION		"1.0"

/* Not assigned by the PCI-SIG ("uv", "NV"); drivers bind to the class code. */
#define PCI_VENDOR	0x7576
#define PCI_DEVICE	0x4e56
#define PCI_SUBDEVICE	0x0001
#define CLASS_NVME	0x010802u

struct options {
	struct vfus_config vfus;
	const char *file;
	uint64_t ram;
	bool read_only;
	unsigned int irqs;	/* bit per VFIO_PCI_*_IRQ_INDEX */
};

static const struct vfus_area doorbell_area = { NVME_DB_OFFSET, NVME_DB_SIZE };

static const char usage_text[] =
"Usage: " PROG " (--socket-path=PATH | --fd=N) (--file=PATH | --ram=SIZE) [OPTION...]\n"
"Serve a disk as an NVMe controller over vfio-user. Runs in the foreground until SIGTERM.\n"
"\n"
"  --socket-path=PATH    listen on this UNIX socket; removed at the end\n"
"  --fd=N                use this descriptor instead, a listening or a connected socket\n"
"  --file=PATH           disk image or block device\n"
"  --ram=SIZE            a disk in memory; suffixes K, M, G, T\n"
"  --read-only           refuse writes\n"
"  --lba=512|4096        logical block size in bytes (512)\n"
"  --queues=N            I/O queues, 1 to 64 (8)\n"
"  --doorbells=HOW       mmap: the client maps them, the server polls (the default);\n"
"                        trap: a message for each write;\n"
"                        ioeventfd: shadow memory and an eventfd, messages otherwise\n"
"  --interrupts=LIST     of msix, msi, intx (all of them)\n"
"  --shadow-doorbells    let the driver keep doorbells in its memory while we are busy\n"
"  --poll-us=N           mapped or shadow doorbells: look without sleeping for N microseconds\n"
"                        after the last work (mapped: 100, shadow: 0)\n"
"  --poll-max-us=N       longest sleep between two looks when idle (1000)\n"
"  --serial=TEXT         serial number, up to 20 characters; also decides the UUID and NQN\n"
"  --model=TEXT          model, up to 40 characters\n"
"  --no-map              reach the client's memory by messages only\n"
"  --max-msg-fds=N       descriptors accepted in one message, 0 to 253 (8)\n"
"  --max-xfer=N          bytes accepted in one access message (1048576)\n"
"  --twin-socket         offer a second socket for requests to the client\n"
"  --no-write-multi      do not offer REGION_WRITE_MULTI\n"
"  --verbose             say what happens on standard error; twice for more\n"
"  --help, --version\n";

enum {
	OPT_SOCKET = 256, OPT_FD, OPT_FILE, OPT_RAM, OPT_READ_ONLY, OPT_LBA, OPT_QUEUES,
	OPT_DOORBELLS, OPT_SHADOW, OPT_INTERRUPTS, OPT_POLL, OPT_POLL_MAX, OPT_SERIAL,
	OPT_MODEL, OPT_MAX_FDS, OPT_MAX_XFER, OPT_NO_MAP, OPT_TWIN, OPT_NO_MULTI,
	OPT_VERBOSE, OPT_HELP, OPT_VERSION,
};

static const struct option long_options[] = {
	{ "socket-path", required_argument, NULL, OPT_SOCKET },
	{ "fd", required_argument, NULL, OPT_FD },
	{ "file", required_argument, NULL, OPT_FILE },
	{ "ram", required_argument, NULL, OPT_RAM },
	{ "read-only", no_argument, NULL, OPT_READ_ONLY },
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
		o->file = optarg;
		break;
	case OPT_RAM:
		o->ram = size_arg("ram", optarg);
		break;
	case OPT_READ_ONLY:
		o->read_only = true;
		break;
	case OPT_LBA:
		if (strcmp(optarg, "512") && strcmp(optarg, "4096"))
			bad_option("lba", optarg, "512 or 4096");
		c->lba_shift = strcmp(optarg, "512") ? 12 : 9;
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

static void parse_options(struct options *o, struct nvme_ctrl *c, int argc, char **argv)
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
	else if (!o->file == !o->ram)
		wrong = "give either --file or --ram";
	if (wrong) {
		fprintf(stderr, "%s: %s; see %s --help\n", PROG, wrong, PROG);
		exit(2);
	}
}

static uint64_t mix(uint64_t x)
{
	/* splitmix64's finaliser: neighbouring inputs give unrelated outputs */
	x += 0x9e3779b97f4a7c15ull;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

static void set_identity(struct nvme_ctrl *c)
{
	uint64_t h[2] = { 0x766673, 0 };
	const uint8_t *u = c->uuid;
	const char *p;

	if (!*c->serial)
		snprintf(c->serial, sizeof(c->serial), "VU%016llX",
			 (unsigned long long)mix(c->disk.identity));
	for (p = c->serial; *p; p++)
		h[0] = mix(h[0] ^ (uint8_t)*p);
	h[1] = mix(h[0]);
	memcpy(c->uuid, h, sizeof(c->uuid));
	/* RFC 4122 version 4, variant 1 */
	c->uuid[6] = (c->uuid[6] & 0x0f) | 0x40;
	c->uuid[8] = (c->uuid[8] & 0x3f) | 0x80;
	snprintf(c->subnqn, sizeof(c->subnqn), "nqn.2014-08.org.nvmexpress:uuid:"
		 "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
		 u[0], u[1], u[2], u[3], u[4], u[5], u[6], u[7], u[8], u[9], u[10], u[11], u[12],
		 u[13], u[14], u[15]);
}

/*
 * The doorbell page. It is shared with the client in mmap and ioeventfd mode; sealed, so that the
 * client cannot shrink it under us.
 */
static int make_doorbells(struct nvme_ctrl *c)
{
	void *p;

	c->db_fd = memfd_create("nvme-doorbells", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (c->db_fd < 0 || ftruncate(c->db_fd, NVME_BAR_SIZE) ||
	    fcntl(c->db_fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		return -errno;
	p = mmap(NULL, NVME_DB_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, c->db_fd, NVME_DB_OFFSET);
	if (p == MAP_FAILED)
		return -errno;
	c->db = p;
	c->db_event = -1;
	if (c->mode == NVME_DB_IOEVENTFD) {
		c->db_event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (c->db_event < 0)
			return -errno;
	}
	return 0;
}

static void build_device(struct nvme_ctrl *c, const struct options *o, struct vfus_device *dev)
{
	const uint32_t rw = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
	const struct pcicfg_ids ids = {
		.vendor = PCI_VENDOR, .device = PCI_DEVICE, .sub_vendor = PCI_VENDOR,
		.sub_device = PCI_SUBDEVICE, .class_code = CLASS_NVME, .revision = 1,
	};
	unsigned int vectors = c->nr_ioq + 1, i;
	struct vfus_region *bar = &dev->regions[VFIO_PCI_BAR0_REGION_INDEX];

	c->pci_vendor = PCI_VENDOR;
	c->pci_sub_vendor = PCI_VENDOR;
	pcicfg_init(&c->cfg, &ids);
	pcicfg_bar64(&c->cfg, 0, NVME_BAR_SIZE, false);
	pcicfg_pm(&c->cfg);
	pcicfg_pcie_endpoint(&c->cfg);

	dev->nr_regions = VFIO_PCI_NUM_REGIONS;
	dev->regions[VFIO_PCI_CONFIG_REGION_INDEX] = (struct vfus_region){ .size = PCICFG_SIZE,
									    .flags = rw, .fd = -1 };
	*bar = (struct vfus_region){ .size = NVME_BAR_SIZE, .flags = rw, .fd = c->db_fd };
	dev->fd = -1;
	if (c->mode == NVME_DB_MMAP) {
		bar->areas = &doorbell_area;
		bar->nr_areas = 1;
	} else if (c->mode == NVME_DB_IOEVENTFD) {
		for (i = 0; i < vectors * 2; i++)
			c->io_fds[i] = (struct vfus_io_fd){
				.offset = NVME_DB_OFFSET + i * 4, .size = 4,
				.type = VFIO_USER_IO_FD_SHADOW, .fd = c->db_event,
				.shadow_fd = c->db_fd, .shadow_offset = NVME_DB_OFFSET + i * 4,
			};
		bar->io_fds = c->io_fds;
		bar->nr_io_fds = vectors * 2;
		dev->fd = c->db_event;
	}

	dev->nr_irqs = VFIO_PCI_NUM_IRQS;
	if (o->irqs & 1u << VFIO_PCI_INTX_IRQ_INDEX) {
		pcicfg_intx(&c->cfg, 1);
		dev->irqs[VFIO_PCI_INTX_IRQ_INDEX] = (struct vfus_irq_type){
			1, VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_MASKABLE |
			   VFIO_IRQ_INFO_AUTOMASKED };
	}
	if (o->irqs & 1u << VFIO_PCI_MSI_IRQ_INDEX) {
		pcicfg_msi(&c->cfg, 0);
		dev->irqs[VFIO_PCI_MSI_IRQ_INDEX] = (struct vfus_irq_type){
			1, VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_MASKABLE |
			   VFIO_IRQ_INFO_NORESIZE };
	}
	if (o->irqs & 1u << VFIO_PCI_MSIX_IRQ_INDEX) {
		pcicfg_msix(&c->cfg, vectors, 0, NVME_MSIX_TABLE, 0, NVME_MSIX_PBA);
		dev->irqs[VFIO_PCI_MSIX_IRQ_INDEX] = (struct vfus_irq_type){
			vectors, VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_MASKABLE |
				 VFIO_IRQ_INFO_NORESIZE };
	}
	pcicfg_seal(&c->cfg);
}

/* ioeventfd mode: the client stored a doorbell and signalled us. */
static void doorbell_event(void *priv)
{
	struct nvme_ctrl *c = priv;
	uint64_t n;

	if (read(c->db_event, &n, sizeof(n)) == sizeof(n))
		c->more = true;
}

static const struct vfus_ops ops = {
	.region_read = nvme_bar_read,
	.region_write = nvme_bar_write,
	.reset = nvme_device_reset,
	.irq_sync = nvme_irq_sync,
	.poll = nvme_poll,
	.fd_ready = doorbell_event,
};

static int open_disk(struct nvme_ctrl *c, const struct options *o)
{
	int ret = o->file ? disk_open_file(&c->disk, o->file, o->read_only) :
			    disk_open_ram(&c->disk, o->ram);

	if (ret) {
		fprintf(stderr, "%s: %s: %s\n", PROG, o->file ? o->file : "--ram", strerror(-ret));
		return ret;
	}
	c->disk.read_only = o->read_only;
	if (!nvme_blocks(c)) {
		fprintf(stderr, "%s: the disk is smaller than one block of %u bytes\n", PROG,
			1u << c->lba_shift);
		return -EINVAL;
	}
	return 0;
}

/**
 * nvme_main() - the whole program
 * @argc: as main() has it
 * @argv: as main() has it
 * @hooks: a test's, which live as long as the program; or NULL
 *
 * Return: the exit status. Exits by itself where the options are wrong.
 */
int nvme_main(int argc, char **argv, const struct vfus_hooks *hooks)
{
	static struct nvme_ctrl ctrl;
	struct nvme_ctrl *c = &ctrl;
	struct options o = { .irqs = 1u << VFIO_PCI_INTX_IRQ_INDEX | 1u << VFIO_PCI_MSI_IRQ_INDEX |
				     1u << VFIO_PCI_MSIX_IRQ_INDEX };
	struct vfus_device dev = { .ops = &ops, .priv = c };
	int ret;

	vfus_config_init(&o.vfus);
	o.vfus.hooks = hooks;
	c->lba_shift = 9;
	c->nr_ioq = 8;
	c->poll_max_us = 1000;
	memcpy(c->model, "vfiouser NVMe", sizeof("vfiouser NVMe"));
	parse_options(&o, c, argc, argv);

	if (open_disk(c, &o))
		return 1;
	set_identity(c);
	ret = make_doorbells(c);
	if (ret) {
		fprintf(stderr, "%s: doorbell page: %s\n", PROG, strerror(-ret));
		return 1;
	}
	build_device(c, &o, &dev);
	nvme_features_reset(c);
	c->vfus = vfus_create(&o.vfus, &dev);
	if (!c->vfus)
		return 1;
	ret = vfus_run(c->vfus);
	if (ret)
		fprintf(stderr, "%s: event loop: %s\n", PROG, strerror(-ret));
	vfus_destroy(c->vfus);
	if (disk_flush(&c->disk)) {
		fprintf(stderr, "%s: flushing the disk: %s\n", PROG, strerror(errno));
		ret = -EIO;
	}
	disk_close(&c->disk);
	munmap(c->db, NVME_DB_SIZE);
	close(c->db_fd);
	if (c->db_event >= 0)
		close(c->db_event);
	return ret ? 1 : 0;
}
