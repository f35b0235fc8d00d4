// SPDX-License-Identifier: GPL-2.0-only
/*
 * vfiouser-testdev: a PCI device for tests of a vfio-user client, and of the drivers on it.
 *
 * Has one of everything that a PCI driver can meet (testdev.h), keeps a log of what reached it, and
 * does on command what devices do: DMA, interrupts, late answers. One thread, as vfus has it.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "fault.h"
#include "oddcfg.h"
#include "pcicfg.h"
#include "testdev.h"
#include "vfus.h"

#define PROG		"vfiouser-testdev"

#define DMA_CHUNK	65536
#define DMA_LEN_MAX	(1u << 30)
#define SLOW_MAX_US	60000000

#define NR_AREAS	(TESTDEV_BAR2_SIZE / TESTDEV_PAGE / 2)

struct testdev {
	struct vfus *vfus;
	struct pcicfg cfg;

	uint8_t regs[TESTDEV_LOG];
	uint8_t ram[TESTDEV_RAM_SIZE];
	uint8_t bar1[TESTDEV_MANY_SIZE];
	uint8_t bar4[TESTDEV_BAR4_SIZE];
	uint8_t rom[TESTDEV_ROM_SIZE];
	uint8_t *bar2;
	int bar2_fd;
	struct vfus_area areas[NR_AREAS];
	unsigned int vectors;
	uint32_t bar1_size;
	uint32_t bar5_size;

	bool doorbells;
	struct vfus_io_fd io_fds[2];

	bool table_masks;		/* MSI-X vectors are masked by the table in BAR 2 */
	bool rising;			/* INTx is signalled when it rises */
	bool decodes;			/* BARs answer only where their registers say */
	FILE *config_log;		/* one line for each write to config space, or NULL */

	uint64_t counter;
	uint64_t stamp;			/* of the last interrupt, ns */
	uint32_t resets;
	bool unmasked[TESTDEV_VECTORS];	/* by the table, see @table_masks */

	bool logging;
	uint32_t log_count;
	struct testdev_access log[TESTDEV_LOG_ENTRIES];
};

_Static_assert(sizeof(struct testdev_access) == 32, "the log's layout is known to the driver");
_Static_assert(TESTDEV_LOG + sizeof(((struct testdev *)0)->log) <= TESTDEV_RAM, "log overlaps");

/* ---- the log ---- */

static void log_access(struct testdev *t, unsigned int region, bool write, const void *buf,
		       size_t count, uint64_t offset)
{
	struct testdev_access *a;

	if (!t->logging)
		return;
	a = &t->log[t->log_count % TESTDEV_LOG_ENTRIES];
	memset(a, 0, sizeof(*a));
	a->offset = offset;
	memcpy(&a->value, buf, count < sizeof(a->value) ? count : sizeof(a->value));
	a->size = (uint32_t)count;
	a->region = (uint8_t)region;
	a->write = write;
	a->seq = t->log_count++;
}

/* ---- registers ---- */

static uint32_t get32(const struct testdev *t, unsigned int reg)
{
	uint32_t v;

	memcpy(&v, t->regs + reg, sizeof(v));
	return v;
}

static uint64_t get64(const struct testdev *t, unsigned int reg)
{
	uint64_t v;

	memcpy(&v, t->regs + reg, sizeof(v));
	return v;
}

static void put32(struct testdev *t, unsigned int reg, uint32_t v)
{
	memcpy(t->regs + reg, &v, sizeof(v));
}

/* Does an access of @count bytes at @offset touch @size bytes at @reg? */
static bool touches(uint64_t offset, size_t count, unsigned int reg, unsigned int size)
{
	return offset < reg + size && offset + count > reg;
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

static void slow(const struct testdev *t)
{
	uint32_t us = get32(t, TESTDEV_SLOW_US);

	usleep(us < SLOW_MAX_US ? us : SLOW_MAX_US);
}

/* A part of BAR 0 that DMA may name. */
static uint8_t *dma_ram(struct testdev *t, uint32_t offset, uint32_t len)
{
	if (offset < TESTDEV_RAM || offset - TESTDEV_RAM > TESTDEV_RAM_SIZE ||
	    len > TESTDEV_RAM_SIZE - (offset - TESTDEV_RAM))
		return NULL;
	return t->ram + (offset - TESTDEV_RAM);
}

static int dma_fill(struct testdev *t, uint64_t addr, uint32_t len, uint32_t seed)
{
	static uint8_t buf[DMA_CHUNK];
	uint32_t at, n, i;
	int ret = 0;

	for (at = 0; !ret && at < len; at += n) {
		n = len - at < sizeof(buf) ? len - at : sizeof(buf);
		for (i = 0; i < n; i++)
			buf[i] = TESTDEV_PATTERN(seed, at + i);
		ret = vfus_dma_write(t->vfus, addr + at, buf, n);
	}
	return ret;
}

static int dma_check(struct testdev *t, uint64_t addr, uint32_t len, uint32_t seed, bool pattern)
{
	static uint8_t buf[DMA_CHUNK];
	uint32_t at, n, i, wrong = 0, first = 0;
	int ret = 0;

	for (at = 0; !ret && at < len; at += n) {
		n = len - at < sizeof(buf) ? len - at : sizeof(buf);
		ret = vfus_dma_read(t->vfus, buf, addr + at, n);
		for (i = 0; !ret && i < n; i++)
			if (buf[i] != (pattern ? TESTDEV_PATTERN(seed, at + i) : (uint8_t)seed) &&
			    !wrong++)
				first = at + i;
	}
	put32(t, TESTDEV_DMA_WRONG, wrong);
	put32(t, TESTDEV_DMA_FIRST, first);
	return ret;
}

static void dma(struct testdev *t)
{
	uint64_t addr = get64(t, TESTDEV_DMA_ADDR);
	uint32_t len = get32(t, TESTDEV_DMA_LEN), arg = get32(t, TESTDEV_DMA_ARG);
	uint32_t cmd = get32(t, TESTDEV_DMA_CMD);
	uint8_t *ram = dma_ram(t, arg, len);
	int ret = -EINVAL;

	put32(t, TESTDEV_DMA_WRONG, 0);
	put32(t, TESTDEV_DMA_FIRST, 0);
	if (!(t->cfg.bytes[PCI_COMMAND] & PCI_COMMAND_MASTER))
		ret = -EACCES;
	else if (len > DMA_LEN_MAX)
		ret = -E2BIG;
	else if (cmd == TESTDEV_DMA_READ && ram)
		ret = vfus_dma_read(t->vfus, ram, addr, len);
	else if (cmd == TESTDEV_DMA_WRITE && ram)
		ret = vfus_dma_write(t->vfus, addr, ram, len);
	else if (cmd == TESTDEV_DMA_FILL)
		ret = dma_fill(t, addr, len, arg);
	else if (cmd == TESTDEV_DMA_CHECK || cmd == TESTDEV_DMA_CHECK_BYTE)
		ret = dma_check(t, addr, len, arg, cmd == TESTDEV_DMA_CHECK);
	put32(t, TESTDEV_DMA_STATUS, (uint32_t)-ret);
}

static void read_regs(struct testdev *t, uint8_t *buf, size_t count, uint64_t offset)
{
	uint64_t at = get64(t, TESTDEV_PEEK_AT);
	const uint32_t level = get32(t, TESTDEV_INTX);

	put32(t, TESTDEV_ID, TESTDEV_MAGIC);
	put32(t, TESTDEV_RESETS, t->resets);
	put32(t, TESTDEV_LOG_COUNT, t->log_count);
	put32(t, TESTDEV_INTX, level & 1);
	memcpy(t->regs + TESTDEV_COUNTER, &t->counter, sizeof(t->counter));
	memcpy(t->regs + TESTDEV_IRQ_STAMP, &t->stamp, sizeof(t->stamp));
	if (touches(offset, count, TESTDEV_PEEK, 8) && at <= TESTDEV_BAR2_SIZE - 8)
		memcpy(t->regs + TESTDEV_PEEK, t->bar2 + at, 8);
	if (touches(offset, count, TESTDEV_SLOW, 4))
		slow(t);
	memcpy(buf, t->regs + offset, count);
	if (touches(offset, count, TESTDEV_COUNTER, 8))
		t->counter++;
}

/* What is triggered while the table masks it is gone, which a test will notice. */
static bool table_masks(const struct testdev *t, uint32_t index, uint32_t nr)
{
	return t->table_masks && index == VFIO_PCI_MSIX_IRQ_INDEX && nr < TESTDEV_VECTORS &&
	       !t->unmasked[nr];
}

static void write_table(struct testdev *t, const uint8_t *buf, size_t count, uint64_t offset)
{
	uint64_t at = offset - TESTDEV_MSIX_TABLE;

	if (offset >= TESTDEV_MSIX_TABLE && at < PCI_MSIX_ENTRY_SIZE * TESTDEV_VECTORS &&
	    count == 4 && at % PCI_MSIX_ENTRY_SIZE == PCI_MSIX_ENTRY_VECTOR_CTRL)
		t->unmasked[at / PCI_MSIX_ENTRY_SIZE] = !(buf[0] & PCI_MSIX_ENTRY_CTRL_MASKBIT);
}

/* The line, and the bit of the status register that tells of it. */
static void set_line(struct testdev *t, bool up)
{
	bool was = t->cfg.bytes[PCI_STATUS] & PCI_STATUS_INTERRUPT;

	if (!t->rising) {
		vfus_irq_level(t->vfus, VFIO_PCI_INTX_IRQ_INDEX, up);
		return;
	}
	t->cfg.bytes[PCI_STATUS] &= ~PCI_STATUS_INTERRUPT;
	if (up)
		t->cfg.bytes[PCI_STATUS] |= PCI_STATUS_INTERRUPT;
	if (up && !was)
		vfus_irq_trigger(t->vfus, VFIO_PCI_INTX_IRQ_INDEX, 0);
}

static void write_regs(struct testdev *t, const uint8_t *buf, size_t count, uint64_t offset)
{
	uint64_t at;
	uint32_t v, i;

	memcpy(t->regs + offset, buf, count);
	if (touches(offset, count, TESTDEV_COUNTER, 8))
		t->counter = get64(t, TESTDEV_COUNTER);
	if (touches(offset, count, TESTDEV_SLOW, 4))
		slow(t);
	if (touches(offset, count, TESTDEV_LOG_CTL, 4)) {
		t->logging = get32(t, TESTDEV_LOG_CTL) & 1;
		t->log_count = 0;
		memset(t->log, 0, sizeof(t->log));
	}
	v = get32(t, TESTDEV_IRQ);
	if (touches(offset, count, TESTDEV_IRQ, 4)) {
		t->stamp = now_ns();
		if (!table_masks(t, v >> 16, v & 0xffff))
			vfus_irq_trigger(t->vfus, v >> 16, v & 0xffff);
	}
	if (touches(offset, count, TESTDEV_INTX, 4))
		set_line(t, get32(t, TESTDEV_INTX) & 1);
	v = get32(t, TESTDEV_IRQ_ALL);
	if (touches(offset, count, TESTDEV_IRQ_ALL, 4))
		for (i = 0; i < (v & 0xffff) && i < t->vectors; i++)
			vfus_irq_trigger(t->vfus, v >> 16, i);
	if (touches(offset, count, TESTDEV_DMA_CMD, 4))
		dma(t);
	at = get64(t, TESTDEV_PEEK_AT);
	if (touches(offset, count, TESTDEV_PEEK, 8) && at <= TESTDEV_BAR2_SIZE - 8)
		memcpy(t->bar2 + at, t->regs + TESTDEV_PEEK, 8);
}

/* ---- regions ---- */

/* Plain memory of a region; in BAR 0 what is behind the log. */
static uint8_t *memory(struct testdev *t, unsigned int region, uint64_t offset)
{
	switch (region) {
	case VFIO_PCI_BAR0_REGION_INDEX:
		return t->ram + (offset - TESTDEV_RAM);
	case VFIO_PCI_BAR1_REGION_INDEX:
		return t->bar1 + offset;
	case VFIO_PCI_BAR2_REGION_INDEX:
		return t->bar2 + offset;
	case VFIO_PCI_BAR4_REGION_INDEX:
		return t->bar4 + offset;
	}
	return t->rom + offset;
}

/* The log, and the registers that control it or are only for looking. */
static bool unlogged(unsigned int region, uint64_t offset)
{
	return region == VFIO_PCI_CONFIG_REGION_INDEX ||
	       (region == VFIO_PCI_BAR0_REGION_INDEX &&
		((offset >= TESTDEV_LOG && offset < TESTDEV_RAM) ||
		 (offset >= TESTDEV_LOG_CTL && offset < TESTDEV_LOG_CTL + 8) ||
		 (offset >= TESTDEV_PEEK_AT && offset < TESTDEV_PEEK + 8)));
}

static uint64_t pending_bits(const struct testdev *t)
{
	uint64_t bits = 0;
	unsigned int i;

	for (i = 0; i < TESTDEV_VECTORS; i++)
		if (vfus_irq_pending(t->vfus, VFIO_PCI_MSIX_IRQ_INDEX, i))
			bits |= 1ull << i;
	return bits;
}

static bool undecoded(const struct testdev *t, unsigned int region)
{
	static const uint64_t sizes[] = {
		TESTDEV_BAR0_SIZE, TESTDEV_BAR1_SIZE, TESTDEV_BAR2_SIZE, 0, TESTDEV_BAR4_SIZE,
		TESTDEV_BAR5_SIZE, TESTDEV_ROM_SIZE,
	};

	return t->decodes && region < sizeof(sizes) / sizeof(sizes[0]) &&
	       !oddcfg_decodes(&t->cfg, region, sizes[region]);
}

/* Whatever was said of their number. */
static bool no_such_port(unsigned int region, uint64_t offset, size_t count)
{
	return region == VFIO_PCI_BAR4_REGION_INDEX &&
	       (offset >= TESTDEV_BAR4_SIZE || count > TESTDEV_BAR4_SIZE - offset);
}

static void log_config(const struct testdev *t, const void *buf, size_t count, uint64_t offset)
{
	uint32_t v = 0;

	if (!t->config_log || count > sizeof(v))
		return;
	memcpy(&v, buf, count);
	fprintf(t->config_log, "%03x.%zu %0*x\n", (unsigned int)offset, count, (int)(2 * count), v);
	fflush(t->config_log);
}

static int region_read(void *priv, unsigned int region, void *buf, size_t count, uint64_t offset)
{
	struct testdev *t = priv;
	uint64_t v;

	if (region == VFIO_PCI_CONFIG_REGION_INDEX) {
		pcicfg_read(&t->cfg, buf, count, offset);
		return 0;
	}
	if (undecoded(t, region) || no_such_port(region, offset, count))
		return -EIO;
	if (region == VFIO_PCI_VGA_REGION_INDEX)
		return -EIO;
	if (region == VFIO_PCI_BAR5_REGION_INDEX) {
		memset(buf, 0, count);
		memcpy(buf, &t->counter, count < 8 ? count : 8);
		t->counter++;
	} else if (region == VFIO_PCI_BAR0_REGION_INDEX && offset < TESTDEV_LOG) {
		if (offset + count > TESTDEV_LOG)
			return -EINVAL;
		read_regs(t, buf, count, offset);
	} else if (region == VFIO_PCI_BAR0_REGION_INDEX && offset < TESTDEV_RAM) {
		if (offset + count > TESTDEV_RAM || offset - TESTDEV_LOG + count > sizeof(t->log))
			return -EINVAL;
		memcpy(buf, (uint8_t *)t->log + (offset - TESTDEV_LOG), count);
	} else {
		if (region == VFIO_PCI_BAR2_REGION_INDEX &&
		    touches(offset, count, TESTDEV_MSIX_PBA, 8)) {
			v = pending_bits(t);
			memcpy(t->bar2 + TESTDEV_MSIX_PBA, &v, sizeof(v));
		}
		memcpy(buf, memory(t, region, offset), count);
	}
	if (!unlogged(region, offset))
		log_access(t, region, false, buf, count, offset);
	return 0;
}

static int reset(void *priv);

static int region_write(void *priv, unsigned int region, const void *buf, size_t count,
			uint64_t offset)
{
	struct testdev *t = priv;

	if (undecoded(t, region) || no_such_port(region, offset, count))
		return -EIO;
	if (region == VFIO_PCI_CONFIG_REGION_INDEX) {
		log_config(t, buf, count, offset);
		if (pcicfg_write(&t->cfg, buf, count, offset))
			return reset(t);
		return 0;
	}
	if (region == VFIO_PCI_VGA_REGION_INDEX)
		return -EIO;
	if (!unlogged(region, offset))
		log_access(t, region, true, buf, count, offset);
	if (region == VFIO_PCI_BAR5_REGION_INDEX) {
		t->counter = 0;
		memcpy(&t->counter, buf, count < 8 ? count : 8);
	} else if (region == VFIO_PCI_BAR0_REGION_INDEX && offset < TESTDEV_LOG) {
		if (offset + count > TESTDEV_LOG)
			return -EINVAL;
		write_regs(t, buf, count, offset);
	} else if (region == VFIO_PCI_BAR0_REGION_INDEX && offset < TESTDEV_RAM) {
		return -EPERM;
	} else {
		if (region == VFIO_PCI_BAR2_REGION_INDEX)
			write_table(t, buf, count, offset);
		memcpy(memory(t, region, offset), buf, count);
	}
	return 0;
}

static int reset(void *priv)
{
	struct testdev *t = priv;

	set_line(t, false);
	memset(t->unmasked, 0, sizeof(t->unmasked));
	pcicfg_reset(&t->cfg);
	if (t->decodes)
		oddcfg_forget_bars(&t->cfg);
	memset(t->regs, 0, sizeof(t->regs));
	memset(t->ram, 0, sizeof(t->ram));
	t->counter = 0;
	t->logging = false;
	t->log_count = 0;
	t->resets++;
	return 0;
}

/* ---- what it looks like ---- */

static void build_rom(uint8_t *rom)
{
	static const uint8_t pcir[] = {
		'P', 'C', 'I', 'R',
		TESTDEV_VENDOR & 0xff, TESTDEV_VENDOR >> 8,
		TESTDEV_DEVICE & 0xff, TESTDEV_DEVICE >> 8,
		0, 0, 0x18, 0, 3,
		TESTDEV_CLASS & 0xff, TESTDEV_CLASS >> 8 & 0xff, TESTDEV_CLASS >> 16,
		TESTDEV_ROM_SIZE / 512, 0, 1, 0, 0xff, 0x80, 0, 0,
	};
	unsigned int i;

	rom[0] = 0x55;
	rom[1] = 0xaa;
	rom[0x18] = 0x1c;
	memcpy(rom + 0x1c, pcir, sizeof(pcir));
	for (i = TESTDEV_ROM_HEADER; i < TESTDEV_ROM_SIZE; i++)
		rom[i] = TESTDEV_ROM_BYTE(i);
}

static void cfg_put32(struct pcicfg *c, unsigned int at, uint32_t v)
{
	memcpy(c->bytes + at, &v, sizeof(v));
}

static void build_bar(struct pcicfg *c, unsigned int at, uint32_t size, uint32_t type)
{
	uint32_t mask = ~(size - 1);

	cfg_put32(c, at, type);
	memcpy(c->wmask + at, &mask, sizeof(mask));
}

/* --shape: what a device can look like, beside the usual. */
enum {
	SHAPE_SMALL	= 1 << 0,	/* 256 bytes of config space */
	SHAPE_LOOP	= 1 << 1,	/* the capability list has a loop */
	SHAPE_BRIDGE	= 1 << 2,	/* header type 1 */
	SHAPE_MULTI	= 1 << 3,	/* it says that there are more functions */
	SHAPE_NO_RESET	= 1 << 4,	/* the server has no reset */
	SHAPE_NO_FLR	= 1 << 5,	/* the device shows no function-level reset */
	SHAPE_AF	= 1 << 6,	/* it shows it in the AF capability instead */
	SHAPE_BAR1_R	= 1 << 7,	/* BAR 1 is read-only */
	SHAPE_BAR1_W	= 1 << 8,	/* BAR 1 is write-only */
	SHAPE_EDGE_INTX	= 1 << 9,	/* INTx does not mask itself */
	SHAPE_VGA	= 1 << 10,	/* there is a VGA region */
	SHAPE_SHORT_FD	= 1 << 11,	/* the descriptor of BAR 2 ends before it */
	SHAPE_DECODES	= 1 << 12,	/* BARs are decoded as their registers say */
	SHAPE_PORTS	= 1 << 13,	/* there is no BAR but that of I/O ports */
	SHAPE_HOST_CAPS	= 1 << 14,	/* it has capabilities that reach beyond it */
	SHAPE_OWN_MASKS	= 1 << 15,	/* vectors are masked until a message unmasks them */
	SHAPE_TABLE_MASKS = 1 << 16,	/* ... or a write to the MSI-X table in the BAR */
	SHAPE_RISING_INTX = 1 << 17,	/* INTx: signalled when it rises, no automask */
	SHAPE_MANY_PORTS = 1 << 18,	/* BAR 4 is said to have 4 GiB */
};

/* What the options say of the device. */
struct looks {
	unsigned int irqs;		/* bits: 1 << VFIO_PCI_*_IRQ_INDEX */
	unsigned int shape;		/* SHAPE_* */
	unsigned int vendor;
	unsigned int device;
	unsigned int class_code;
};

static void build_config(struct testdev *t, const struct looks *looks)
{
	const struct pcicfg_ids ids = {
		.vendor = (uint16_t)looks->vendor, .device = (uint16_t)looks->device,
		.sub_vendor = TESTDEV_SUB_VENDOR, .sub_device = TESTDEV_SUB_DEVICE,
		.class_code = looks->class_code, .revision = TESTDEV_REVISION,
	};
	const uint8_t text_len = PCI_CAP_FLAGS + 1 + sizeof(TESTDEV_VENDOR_TEXT);
	const unsigned int irqs = looks->irqs, shape = looks->shape;
	struct pcicfg *c = &t->cfg;
	unsigned int at;

	pcicfg_init(c, &ids);
	build_bar(c, PCI_BASE_ADDRESS_4, TESTDEV_BAR4_SIZE, PCI_BASE_ADDRESS_SPACE_IO);
	c->wmask[PCI_COMMAND] |= PCI_COMMAND_IO;
	if (!(shape & SHAPE_PORTS)) {
		build_bar(c, PCI_BASE_ADDRESS_0, TESTDEV_BAR0_SIZE, 0);
		build_bar(c, PCI_BASE_ADDRESS_1, t->bar1_size, 0);
		pcicfg_bar64(c, 2, TESTDEV_BAR2_SIZE, true);
		build_bar(c, PCI_BASE_ADDRESS_5, t->bar5_size, 0);
		build_bar(c, PCI_ROM_ADDRESS, TESTDEV_ROM_SIZE, 0);
		c->wmask[PCI_ROM_ADDRESS] |= PCI_ROM_ADDRESS_ENABLE;
	}

	pcicfg_pm(c);
	if (shape & SHAPE_AF)
		pcicfg_af(c);
	else
		pcicfg_pcie_endpoint(c);
	if (shape & SHAPE_NO_FLR)
		c->bytes[c->pcie + PCI_EXP_DEVCAP + 3] &= (uint8_t)~(PCI_EXP_DEVCAP_FLR >> 24);
	if (shape & SHAPE_BRIDGE)
		c->bytes[PCI_HEADER_TYPE] = PCI_HEADER_TYPE_BRIDGE;
	if (shape & SHAPE_MULTI)
		c->bytes[PCI_HEADER_TYPE] |= 0x80;
	if (irqs & 1u << VFIO_PCI_MSI_IRQ_INDEX)
		pcicfg_msi(c, TESTDEV_MSI_LOG2);
	if (irqs & 1u << VFIO_PCI_MSIX_IRQ_INDEX && t->vectors > TESTDEV_VECTORS)
		pcicfg_msix(c, t->vectors, 1, 0, 1, TESTDEV_MANY_PBA);
	else if (irqs & 1u << VFIO_PCI_MSIX_IRQ_INDEX)
		pcicfg_msix(c, t->vectors, 2, TESTDEV_MSIX_TABLE, 2, TESTDEV_MSIX_PBA);
	if (irqs & 1u << VFIO_PCI_INTX_IRQ_INDEX)
		pcicfg_intx(c, 1);

	at = c->next;
	c->bytes[c->link] = (uint8_t)at;
	c->bytes[at] = PCI_CAP_ID_VNDR;
	c->bytes[at + PCI_CAP_FLAGS] = text_len;
	memcpy(c->bytes + at + PCI_CAP_FLAGS + 1, TESTDEV_VENDOR_TEXT, sizeof(TESTDEV_VENDOR_TEXT));
	c->link = at + PCI_CAP_LIST_NEXT;
	c->next = (at + text_len + 3) & ~3u;
	if (shape & SHAPE_LOOP)
		c->bytes[c->link] = 0x40;

	cfg_put32(c, TESTDEV_DSN, PCI_EXT_CAP_ID_DSN | 1 << 16 | TESTDEV_VSEC << 20);
	cfg_put32(c, TESTDEV_DSN + 4, (uint32_t)TESTDEV_SERIAL);
	cfg_put32(c, TESTDEV_DSN + 8, (uint32_t)(TESTDEV_SERIAL >> 32));
	cfg_put32(c, TESTDEV_VSEC, PCI_EXT_CAP_ID_VNDR | 1 << 16);
	cfg_put32(c, TESTDEV_VSEC + 4, TESTDEV_VSEC_ID | 1 << 16 | 12u << 20);
	cfg_put32(c, TESTDEV_VSEC + 8, TESTDEV_VSEC_DATA);
	if (shape & SHAPE_HOST_CAPS)
		oddcfg_host_caps(c, TESTDEV_SERIAL);
	/* the last words of standard and of all config space can be written */
	memset(c->wmask + PCI_CFG_SPACE_SIZE - 4, 0xff, 4);
	memset(c->wmask + PCICFG_SIZE - 4, 0xff, 4);
	pcicfg_seal(c);
}

static void build_device(struct testdev *t, struct vfus_device *dev, const struct looks *looks)
{
	const uint32_t rw = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
	const struct {
		unsigned int region;
		uint64_t size;
	} sizes[] = {
		{ VFIO_PCI_BAR0_REGION_INDEX, TESTDEV_BAR0_SIZE },
		{ VFIO_PCI_BAR1_REGION_INDEX, t->bar1_size },
		{ VFIO_PCI_BAR2_REGION_INDEX, TESTDEV_BAR2_SIZE },
		{ VFIO_PCI_BAR4_REGION_INDEX, TESTDEV_BAR4_SIZE },
		{ VFIO_PCI_BAR5_REGION_INDEX, t->bar5_size },
		{ VFIO_PCI_ROM_REGION_INDEX, TESTDEV_ROM_SIZE },
		{ VFIO_PCI_CONFIG_REGION_INDEX,
		  looks->shape & SHAPE_SMALL ? PCI_CFG_SPACE_SIZE : PCICFG_SIZE },
		{ VFIO_PCI_VGA_REGION_INDEX, looks->shape & SHAPE_VGA ? 0xc0000 : 0 },
	};
	const unsigned int irqs = looks->irqs, shape = looks->shape;
	unsigned int i;

	dev->nr_regions = VFIO_PCI_NUM_REGIONS;
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		dev->regions[sizes[i].region] = (struct vfus_region){
			.size = sizes[i].size, .flags = rw, .fd = -1,
		};
	dev->regions[VFIO_PCI_ROM_REGION_INDEX].flags = VFIO_REGION_INFO_FLAG_READ;
	for (i = 0; shape & SHAPE_PORTS && i <= VFIO_PCI_ROM_REGION_INDEX; i++)
		if (i != VFIO_PCI_BAR4_REGION_INDEX)
			dev->regions[i].size = 0;
	if (shape & SHAPE_MANY_PORTS)
		dev->regions[VFIO_PCI_BAR4_REGION_INDEX].size = 1ull << 32;
	if (shape & SHAPE_BAR1_R)
		dev->regions[VFIO_PCI_BAR1_REGION_INDEX].flags = VFIO_REGION_INFO_FLAG_READ;
	if (shape & SHAPE_BAR1_W)
		dev->regions[VFIO_PCI_BAR1_REGION_INDEX].flags = VFIO_REGION_INFO_FLAG_WRITE;
	for (i = 0; i < NR_AREAS; i++)
		t->areas[i] = (struct vfus_area){ (2ull * i + 1) * TESTDEV_PAGE, TESTDEV_PAGE };
	dev->regions[VFIO_PCI_BAR2_REGION_INDEX].fd = t->bar2_fd;
	dev->regions[VFIO_PCI_BAR2_REGION_INDEX].areas = t->areas;
	dev->regions[VFIO_PCI_BAR2_REGION_INDEX].nr_areas = shape & SHAPE_PORTS ? 0 : NR_AREAS;
	/* Where the descriptor's memory has ended. */
	if (shape & SHAPE_SHORT_FD)
		dev->regions[VFIO_PCI_BAR2_REGION_INDEX].fd_offset = TESTDEV_BAR2_SIZE;
	dev->fd = -1;
	if (t->doorbells) {
		dev->regions[VFIO_PCI_BAR1_REGION_INDEX].io_fds = t->io_fds;
		dev->regions[VFIO_PCI_BAR1_REGION_INDEX].nr_io_fds = 2;
		dev->fd = t->io_fds[0].fd;
	}

	dev->nr_irqs = VFIO_PCI_NUM_IRQS;
	if (irqs & 1u << VFIO_PCI_INTX_IRQ_INDEX)
		dev->irqs[VFIO_PCI_INTX_IRQ_INDEX] = (struct vfus_irq_type){
			1, VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_MASKABLE |
			   (shape & (SHAPE_EDGE_INTX | SHAPE_RISING_INTX) ?
			    0 : VFIO_IRQ_INFO_AUTOMASKED) };
	if (irqs & 1u << VFIO_PCI_MSI_IRQ_INDEX)
		dev->irqs[VFIO_PCI_MSI_IRQ_INDEX] = (struct vfus_irq_type){
			1 << TESTDEV_MSI_LOG2, VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_NORESIZE };
	if (irqs & 1u << VFIO_PCI_MSIX_IRQ_INDEX)
		dev->irqs[VFIO_PCI_MSIX_IRQ_INDEX] = (struct vfus_irq_type){
			t->vectors, VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_NORESIZE };
	if (shape & SHAPE_OWN_MASKS)
		dev->own_masks = 1u << VFIO_PCI_MSI_IRQ_INDEX | 1u << VFIO_PCI_MSIX_IRQ_INDEX;
	build_config(t, looks);
}

static int make_bar2(struct testdev *t)
{
	void *p;

	t->bar2_fd = memfd_create("testdev-bar2", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (t->bar2_fd < 0 || ftruncate(t->bar2_fd, TESTDEV_BAR2_SIZE) ||
	    fcntl(t->bar2_fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		return -errno;
	p = mmap(NULL, TESTDEV_BAR2_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, t->bar2_fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	t->bar2 = p;
	return 0;
}

static int make_doorbells(struct testdev *t)
{
	static const uint64_t offsets[] = { TESTDEV_DOORBELL, TESTDEV_DOORBELL_QUIET };
	unsigned int i;

	for (i = 0; i < 2; i++) {
		t->io_fds[i] = (struct vfus_io_fd){
			.offset = offsets[i], .size = 4,
			.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
		};
		if (t->io_fds[i].fd < 0)
			return -errno;
	}
	return 0;
}

static void doorbell_event(void *priv)
{
	struct testdev *t = priv;
	uint64_t n;

	if (read(t->io_fds[0].fd, &n, sizeof(n)) < 0 && errno != EAGAIN)
		fprintf(stderr, "%s: doorbell: %s\n", PROG, strerror(errno));
}

/* ---- command line ---- */

static const char usage_text[] =
"Usage: " PROG " (--socket-path=PATH | --fd=N) [OPTION...]\n"
"Serve a PCI device for tests over vfio-user. Runs in the foreground until SIGTERM.\n"
"\n"
"  --socket-path=PATH    listen on this UNIX socket; removed at the end\n"
"  --fd=N                use this descriptor instead, a listening or a connected socket\n"
"  --interrupts=LIST     of msix, msi, intx (all of them); may be empty\n"
"  --shape=LIST          of small, loop, bridge, multi, no-reset, no-flr, af, bar1-r, bar1-w,\n"
"                        edge-intx, vga, short-fd, decodes, ports, host-caps, own-masks,\n"
"                        table-masks, rising-intx, many-ports: see the source\n"
"  --ids=VVVV:DDDD       another vendor and device\n"
"  --class=CCCCCC        another class\n"
"  --config-log=FILE     write down each write to config space\n"
"  --doorbells           offer two ioeventfds in BAR 1\n"
"  --no-map              reach the client's memory by messages only\n"
"  --poll-us=N           look for messages N microseconds after the last before sleeping (0)\n"
"  --max-msg-fds=N       descriptors accepted in one message, 0 to 253 (8)\n"
"  --max-xfer=N          bytes accepted in one access message (1048576)\n"
"  --twin-socket         offer a second socket for requests to the client\n"
"  --no-write-multi      do not offer REGION_WRITE_MULTI\n"
"  --vectors=N           of MSI-X, 1 to 2048 (64); with more than 64 their table is in BAR 1\n"
"  --bar5-mib=N          of BAR 5, a power of two up to 1024, instead of 4 KiB\n"
"  --reorder             answer reads in another order, where several are waiting\n"
"  --chatter             with each answer say what nobody asked for\n"
"  --fault=KIND[:N]      misbehave: %s\n"
"  --verbose             say what happens on standard error; twice for more\n"
"  --help\n";

enum {
	OPT_SOCKET = 256, OPT_FD, OPT_INTERRUPTS, OPT_SHAPE, OPT_DOORBELLS, OPT_NO_MAP, OPT_POLL,
	OPT_MAX_FDS, OPT_MAX_XFER, OPT_TWIN, OPT_NO_MULTI, OPT_VECTORS, OPT_BAR5, OPT_REORDER,
	OPT_CHATTER, OPT_IDS, OPT_CLASS, OPT_CONFIG_LOG, OPT_FAULT, OPT_VERBOSE, OPT_HELP,
};

static const struct option long_options[] = {
	{ "socket-path", required_argument, NULL, OPT_SOCKET },
	{ "fd", required_argument, NULL, OPT_FD },
	{ "interrupts", required_argument, NULL, OPT_INTERRUPTS },
	{ "shape", required_argument, NULL, OPT_SHAPE },
	{ "doorbells", no_argument, NULL, OPT_DOORBELLS },
	{ "no-map", no_argument, NULL, OPT_NO_MAP },
	{ "poll-us", required_argument, NULL, OPT_POLL },
	{ "max-msg-fds", required_argument, NULL, OPT_MAX_FDS },
	{ "max-xfer", required_argument, NULL, OPT_MAX_XFER },
	{ "twin-socket", no_argument, NULL, OPT_TWIN },
	{ "no-write-multi", no_argument, NULL, OPT_NO_MULTI },
	{ "vectors", required_argument, NULL, OPT_VECTORS },
	{ "bar5-mib", required_argument, NULL, OPT_BAR5 },
	{ "reorder", no_argument, NULL, OPT_REORDER },
	{ "chatter", no_argument, NULL, OPT_CHATTER },
	{ "ids", required_argument, NULL, OPT_IDS },
	{ "class", required_argument, NULL, OPT_CLASS },
	{ "config-log", required_argument, NULL, OPT_CONFIG_LOG },
	{ "fault", required_argument, NULL, OPT_FAULT },
	{ "verbose", no_argument, NULL, OPT_VERBOSE },
	{ "help", no_argument, NULL, OPT_HELP },
	{ NULL, 0, NULL, 0 },
};

static void bad_option(const char *name, const char *arg, const char *want)
{
	fprintf(stderr, "%s: --%s=%s: give %s\n", PROG, name, arg, want);
	exit(2);
}

static unsigned int number(const char *name, const char *arg, unsigned int min, unsigned int max)
{
	char *end, want[80];
	unsigned long v;

	errno = 0;
	v = strtoul(arg, &end, 0);
	if (errno || end == arg || *end || *arg == '-' || v < min || v > max) {
		snprintf(want, sizeof(want), "a number from %u to %u", min, max);
		bad_option(name, arg, want);
	}
	return (unsigned int)v;
}

struct word {
	const char *name;
	unsigned int bit;
};

/* A list of words, as the bits that they stand for. */
static unsigned int word_list(const char *option, const struct word *words, char *arg)
{
	const struct word *w;
	unsigned int v = 0;
	char *save = NULL, *p;

	for (p = strtok_r(arg, ",", &save); p; p = strtok_r(NULL, ",", &save)) {
		for (w = words; w->name && strcmp(p, w->name); w++)
			;
		if (!w->name)
			bad_option(option, p, "a list of what --help says");
		v |= w->bit;
	}
	return v;
}

static const struct word irq_words[] = {
	{ "msix", 1u << VFIO_PCI_MSIX_IRQ_INDEX },
	{ "msi", 1u << VFIO_PCI_MSI_IRQ_INDEX },
	{ "intx", 1u << VFIO_PCI_INTX_IRQ_INDEX },
	{ NULL, 0 },
};

static const struct word shape_words[] = {
	{ "small", SHAPE_SMALL },
	{ "loop", SHAPE_LOOP },
	{ "bridge", SHAPE_BRIDGE },
	{ "multi", SHAPE_MULTI },
	{ "no-reset", SHAPE_NO_RESET },
	{ "no-flr", SHAPE_NO_FLR },
	{ "af", SHAPE_AF },
	{ "bar1-r", SHAPE_BAR1_R },
	{ "bar1-w", SHAPE_BAR1_W },
	{ "edge-intx", SHAPE_EDGE_INTX },
	{ "vga", SHAPE_VGA },
	{ "short-fd", SHAPE_SHORT_FD },
	{ "decodes", SHAPE_DECODES },
	{ "ports", SHAPE_PORTS },
	{ "host-caps", SHAPE_HOST_CAPS },
	{ "own-masks", SHAPE_OWN_MASKS },
	{ "table-masks", SHAPE_TABLE_MASKS },
	{ "rising-intx", SHAPE_RISING_INTX },
	{ "many-ports", SHAPE_MANY_PORTS },
	{ NULL, 0 },
};

static void parse_options(struct testdev *t, struct vfus_config *cfg, struct vfus_hooks *hooks,
			  struct looks *looks, int argc, char **argv)
{
	int opt;

	while ((opt = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		switch (opt) {
		case OPT_SOCKET:
			cfg->socket_path = optarg;
			break;
		case OPT_FD:
			if (vfus_config_parse_fd(cfg, optarg))
				bad_option("fd", optarg, "the number of an open descriptor");
			break;
		case OPT_INTERRUPTS:
			looks->irqs = word_list("interrupts", irq_words, optarg);
			break;
		case OPT_SHAPE:
			looks->shape = word_list("shape", shape_words, optarg);
			break;
		case OPT_DOORBELLS:
			t->doorbells = true;
			break;
		case OPT_NO_MAP:
			cfg->no_dma_fds = true;
			break;
		case OPT_POLL:
			cfg->poll_us = number("poll-us", optarg, 0, 1000000);
			break;
		case OPT_MAX_FDS:
			cfg->max_msg_fds = number("max-msg-fds", optarg, 0, VFUS_MAX_FDS);
			break;
		case OPT_MAX_XFER:
			cfg->max_xfer = number("max-xfer", optarg, 4096, 16 << 20);
			break;
		case OPT_TWIN:
			cfg->twin_socket = true;
			break;
		case OPT_NO_MULTI:
			cfg->write_multiple = false;
			break;
		case OPT_VECTORS:
			t->vectors = number("vectors", optarg, 1, TESTDEV_MANY_VECTORS);
			if (t->vectors > TESTDEV_VECTORS)
				t->bar1_size = TESTDEV_MANY_SIZE;
			break;
		case OPT_BAR5:
			t->bar5_size = number("bar5-mib", optarg, 1, 1024) << 20;
			if (t->bar5_size & (t->bar5_size - 1))
				bad_option("bar5-mib", optarg, "a power of two up to 1024");
			break;
		case OPT_REORDER:
			cfg->reorder = true;
			break;
		case OPT_CHATTER:
			cfg->chatter = true;
			break;
		case OPT_IDS:
			if (sscanf(optarg, "%4x:%4x", &looks->vendor, &looks->device) != 2)
				bad_option("ids", optarg, "two numbers such as 1b36:0010");
			break;
		case OPT_CLASS:
			if (sscanf(optarg, "%6x", &looks->class_code) != 1)
				bad_option("class", optarg, "a number such as 010802");
			break;
		case OPT_CONFIG_LOG:
			t->config_log = fopen(optarg, "ae");
			if (!t->config_log)
				bad_option("config-log", optarg, "a file that can be written");
			break;
		case OPT_FAULT:
			if (fault_parse(optarg, hooks))
				bad_option("fault", optarg, "one of the kinds that --help lists");
			cfg->hooks = hooks;
			break;
		case OPT_VERBOSE:
			cfg->verbose++;
			break;
		case OPT_HELP:
			printf(usage_text, fault_help());
			exit(0);
		default:
			fprintf(stderr, "%s: see %s --help\n", PROG, PROG);
			exit(2);
		}
	}
	if (optind < argc || !cfg->socket_path == (cfg->fd < 0)) {
		fprintf(stderr, "%s: give either --socket-path or --fd; see %s --help\n", PROG,
			PROG);
		exit(2);
	}
}

int main(int argc, char **argv)
{
	static const struct vfus_ops ops = {
		.region_read = region_read,
		.region_write = region_write,
		.reset = reset,
		.fd_ready = doorbell_event,
	};
	static const struct vfus_ops ops_no_reset = {
		.region_read = region_read,
		.region_write = region_write,
		.fd_ready = doorbell_event,
	};
	static struct testdev testdev;
	struct testdev *t = &testdev;
	struct looks looks = {
		.irqs = 1u << VFIO_PCI_INTX_IRQ_INDEX | 1u << VFIO_PCI_MSI_IRQ_INDEX |
			1u << VFIO_PCI_MSIX_IRQ_INDEX,
		.vendor = TESTDEV_VENDOR, .device = TESTDEV_DEVICE, .class_code = TESTDEV_CLASS,
	};
	struct vfus_device dev = { .ops = &ops, .priv = t };
	struct vfus_hooks hooks = { 0 };
	struct vfus_config cfg;
	int ret;

	vfus_config_init(&cfg);
	t->vectors = TESTDEV_VECTORS;
	t->bar1_size = TESTDEV_BAR1_SIZE;
	t->bar5_size = TESTDEV_BAR5_SIZE;
	parse_options(t, &cfg, &hooks, &looks, argc, argv);
	if (looks.shape & SHAPE_NO_RESET)
		dev.ops = &ops_no_reset;
	ret = make_bar2(t);
	if (!ret && t->doorbells)
		ret = make_doorbells(t);
	if (ret) {
		fprintf(stderr, "%s: BAR 2 and doorbells: %s\n", PROG, strerror(-ret));
		return 1;
	}
	t->decodes = looks.shape & SHAPE_DECODES;
	t->table_masks = looks.shape & SHAPE_TABLE_MASKS;
	t->rising = looks.shape & SHAPE_RISING_INTX;
	build_rom(t->rom);
	build_device(t, &dev, &looks);
	t->vfus = vfus_create(&cfg, &dev);
	if (!t->vfus)
		return 1;
	ret = vfus_run(t->vfus);
	if (ret)
		fprintf(stderr, "%s: event loop: %s\n", PROG, strerror(-ret));
	vfus_destroy(t->vfus);
	munmap(t->bar2, TESTDEV_BAR2_SIZE);
	close(t->bar2_fd);
	return ret ? 1 : 0;
}
