// SPDX-License-Identifier: GPL-2.0-only
/*
 * vfiouser-nvme: serves a disk image, or memory, as an NVMe controller over vfio-user.
 *
 * This file owns the identity of the device and its PCI layout:
 *
 *	BAR 0, 16 KiB, 64-bit
 *	0x0000	controller registers, trapped
 *	0x1000	doorbells: mappable, trapped, or trapped with a shadow ioeventfd
 *	0x2000	MSI-X table
 *	0x3000	MSI-X pending bits
 *
 * Serial number, UUIDs and NQN are derived from the disk's name, or else from the identity of the
 * first backing, so that two servers of two disks never look like two ports of one subsystem to the
 * driver, and a restarted server looks the same.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "options.h"

/* Not assigned by the PCI-SIG ("uv", "NV"); drivers bind to the class code. */
#define PCI_VENDOR	0x7576
#define PCI_DEVICE	0x4e56
#define PCI_SUBDEVICE	0x0001
#define CLASS_NVME	0x010802u

static const struct vfus_area doorbell_area = { NVME_DB_OFFSET, NVME_DB_SIZE };

static uint64_t mix(uint64_t x)
{
	/* splitmix64's finaliser: neighbouring inputs give unrelated outputs */
	x += 0x9e3779b97f4a7c15ull;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

static uint64_t mix_text(uint64_t h, const char *p)
{
	for (; *p; p++)
		h = mix(h ^ (uint8_t)*p);
	return h;
}

/* A name that fits is the serial number itself, for people to read. */
static void make_serial(struct nvme_ctrl *c, const char *name)
{
	uint64_t h = name ? mix_text(0, name) : mix(c->ns[0].disk.identity);
	size_t i;

	for (i = 0; name && name[i] > 0x20 && name[i] < 0x7f; i++)
		;
	if (name && !name[i] && i < sizeof(c->serial))
		memcpy(c->serial, name, i + 1);
	else
		snprintf(c->serial, sizeof(c->serial), "VU%016llX", (unsigned long long)h);
}

static void set_identity(struct nvme_ctrl *c, const char *name)
{
	const uint8_t *u = c->ns[0].uuid;
	uint64_t h[2];
	unsigned int i;

	if (!*c->serial)
		make_serial(c, name);
	h[0] = mix_text(0x766673, c->serial);
	for (i = 0; i < c->nr_ns; i++) {
		uint8_t *uuid = c->ns[i].uuid;

		h[1] = mix(h[0]);
		memcpy(uuid, h, sizeof(h));
		/* RFC 4122 version 4, variant 1 */
		uuid[6] = (uuid[6] & 0x0f) | 0x40;
		uuid[8] = (uuid[8] & 0x3f) | 0x80;
		h[0] = mix(h[1]);
	}
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
	dev->fd = c->events;
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

static bool take_event(int fd)
{
	uint64_t n;

	return fd >= 0 && read(fd, &n, sizeof(n)) == sizeof(n);
}

/* The client stored a doorbell and signalled us (ioeventfd mode), or operations have ended. */
static void take_events(void *priv)
{
	struct nvme_ctrl *c = priv;

	if (take_event(c->db_event) | take_event(c->io.event))
		c->more = true;
}

/* Both as one descriptor. */
static int make_events(struct nvme_ctrl *c)
{
	struct epoll_event on = { .events = EPOLLIN };

	c->events = epoll_create1(EPOLL_CLOEXEC);
	if (c->events < 0 || epoll_ctl(c->events, EPOLL_CTL_ADD, c->io.event, &on) ||
	    (c->db_event >= 0 && epoll_ctl(c->events, EPOLL_CTL_ADD, c->db_event, &on)))
		return -errno;
	return 0;
}

/* What had not ended then is nobody's to hear of. */
static void connected(void *priv, bool yes)
{
	struct nvme_ctrl *c = priv;

	if (!yes)
		nvme_abandon(c);
	else if (!c->kept)
		io_memory_drop_all(&c->io);
	c->kept = false;
}

/*
 * An enabled controller has all it needs: queues in memory that stays mapped, and the doorbells in
 * its own. Of one that is being reset, or that is to give memory back, the next client could not
 * know how far it came.
 */
static bool keep(void *priv)
{
	struct nvme_ctrl *c = priv;

	c->kept = nvme_running(c) && !c->resetting && !c->unmapping && !c->reset_put_off &&
		  !c->leaving;
	return c->kept;
}

static int dma_map(void *priv, uint64_t addr, uint64_t size, uint32_t flags, int fd,
		   uint64_t offset, void *va)
{
	struct nvme_ctrl *c = priv;

	(void)flags;
	(void)fd;
	(void)offset;
	/* all namespaces have the same options */
	if (va && c->ns[0].disk.opt.cache == DISK_DIRECT)
		io_memory_add(&c->io, va, size, addr);
	return 0;
}

/* What is left of the one before is not to meet the next one's memory. */
static bool accepting(void *priv)
{
	const struct nvme_ctrl *c = priv;

	return !c->leaving;
}

static void reload(void *priv)
{
	nvme_ns_check(priv);
}

static struct vfus_ops ops = {
	.region_read = nvme_bar_read,
	.region_write = nvme_bar_write,
	.reset = nvme_device_reset,
	.dma_map = dma_map,
	.dma_unmap = nvme_dma_unmap,
	.irq_sync = nvme_irq_sync,
	.connected = connected,
	.keep = keep,
	.accepting = accepting,
	.poll = nvme_poll,
	.fd_ready = take_events,
	.reload = reload,
};

static int open_disk(struct nvme_ctrl *c, const struct options *o, unsigned int i)
{
	const char *file = o->backing[i].file;
	struct nvme_ns *ns = &c->ns[i];
	int ret;

	ret = file ? disk_open_file(&ns->disk, file, &o->disk) :
		     disk_open_ram(&ns->disk, o->backing[i].ram, &o->disk);
	if (ret == -EBUSY)
		fprintf(stderr, "%s: %s: in use by another process, or mounted\n", PROG, file);
	else if (ret)
		fprintf(stderr, "%s: %s: %s\n", PROG, file ? file : "--ram", strerror(-ret));
	if (ret)
		return ret;
	c->nr_ns++;
	ns->c = c;
	ret = nvme_ns_init(ns, o->lba_shift);
	if (ret == -ENOSPC)
		fprintf(stderr, "%s: %s: the disk is smaller than one block of %u bytes\n", PROG,
			ns->disk.path, 1u << ns->lba_shift);
	else if (ret)
		fprintf(stderr, "%s: %s: direct I/O takes blocks of %u bytes: leave --lba out\n",
			PROG, ns->disk.path, ns->disk.logical);
	return ret;
}

static int open_disks(struct nvme_ctrl *c, const struct options *o)
{
	unsigned int i;
	int ret = 0;

	for (i = 0; i < o->nr_backings && !ret; i++)
		ret = open_disk(c, o, i);
	return ret;
}

/* What was written and not flushed is the page cache's otherwise; say so where it fails. */
static int close_disks(struct nvme_ctrl *c)
{
	unsigned int i;
	int ret = 0, error;

	for (i = 0; i < c->nr_ns; i++) {
		error = disk_flush(&c->ns[i].disk);
		if (error)
			fprintf(stderr, "%s: flushing %s: %s\n", PROG, c->ns[i].disk.path,
				strerror(-error));
		ret = ret ? ret : error;
		disk_close(&c->ns[i].disk);
	}
	return ret;
}

/* Locked, such a disk would be all there at once, and could not give anything back. */
static bool has_ram(const struct options *o)
{
	unsigned int i;

	for (i = 0; i < o->nr_backings; i++)
		if (!o->backing[i].file)
			return true;
	return false;
}

static void close_events(const struct nvme_ctrl *c)
{
	munmap(c->db, NVME_DB_SIZE);
	close(c->db_fd);
	close(c->events);
	if (c->db_event >= 0)
		close(c->db_event);
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
	struct vfus_device dev = { .ops = &ops, .priv = c, .always = true };
	int ret;

	vfus_config_init(&o.vfus);
	o.vfus.hooks = hooks;
	o.vfus.stand_in = true;
	c->nr_ioq = 8;
	c->irq = VFIO_PCI_MSIX_IRQ_INDEX;
	c->poll_max_us = 1000;
	memcpy(c->model, "vfiouser NVMe", sizeof("vfiouser NVMe"));
	options_parse(&o, c, argc, argv);

	if (open_disks(c, &o))
		return 1;
	set_identity(c, o.name);
	/* before there are threads: they inherit it */
	nvme_below_memory(!has_ram(&o));
	ret = nvme_reqs_init(c);
	if (!ret)
		ret = make_doorbells(c);
	if (!ret)
		ret = io_init(&c->io, !o.no_ring);
	if (!ret)
		ret = make_events(c);
	if (ret) {
		fprintf(stderr, "%s: set-up: %s\n", PROG, strerror(-ret));
		return 1;
	}
	build_device(c, &o, &dev);
	/* not even offered: a client would rely on it */
	if (o.no_keep)
		ops.keep = NULL;
	nvme_features_reset(c);
	c->vfus = vfus_create(&o.vfus, &dev);
	if (!c->vfus)
		return 1;
	if (o.vfus.verbose && !o.no_ring && !c->io.ring)
		fprintf(stderr, "%s: no io_uring here: threads\n", PROG);
	ret = vfus_run(c->vfus);
	if (ret)
		fprintf(stderr, "%s: event loop: %s\n", PROG, strerror(-ret));
	/* nothing may use the client's memory when it is unmapped */
	nvme_abandon(c);
	io_drain(&c->io);
	vfus_destroy(c->vfus);
	io_exit(&c->io);
	if (close_disks(c))
		ret = -EIO;
	close_events(c);
	nvme_reqs_exit(c);
	return ret ? 1 : 0;
}
