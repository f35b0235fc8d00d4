// SPDX-License-Identifier: GPL-2.0-only
/*
 * Accesses as drivers make them: the accessors of linux/io.h, and plain pointers.
 */
#include <linux/delay.h>
#include <linux/kthread.h>
#include <linux/ktime.h>
#include <linux/sched/task.h>
#include <linux/slab.h>

#include "vfu_test.h"

/**
 * vft_peek() - 8 bytes of BAR 2 as the server sees them
 * @t: device
 * @offset: in BAR 2
 */
u64 vft_peek(struct vft *t, u32 offset)
{
	writeq(offset, vft_reg(t, TESTDEV_PEEK_AT));
	return readq(vft_reg(t, TESTDEV_PEEK));
}

/**
 * vft_poke() - change 8 bytes of BAR 2 at the server
 * @t: device
 * @offset: in BAR 2
 * @value: what they become
 */
void vft_poke(struct vft *t, u32 offset, u64 value)
{
	writeq(offset, vft_reg(t, TESTDEV_PEEK_AT));
	writeq(value, vft_reg(t, TESTDEV_PEEK));
	/* Writes are posted, and the driver's to direct pages would overtake it. */
	vft_log_count(t);
}

static u64 access_read(void __iomem *p, u32 size)
{
	switch (size) {
	case 1:
		return readb(p);
	case 2:
		return readw(p);
	case 4:
		return readl(p);
	default:
		return readq(p);
	}
}

static void access_write(void __iomem *p, u32 size, u64 v)
{
	switch (size) {
	case 1:
		writeb(v, p);
		break;
	case 2:
		writew(v, p);
		break;
	case 4:
		writel(v, p);
		break;
	default:
		writeq(v, p);
	}
}

static u64 plain_read(volatile void *p, u32 size)
{
	switch (size) {
	case 1:
		return *(volatile u8 *)p;
	case 2:
		return *(volatile u16 *)p;
	case 4:
		return *(volatile u32 *)p;
	default:
		return *(volatile u64 *)p;
	}
}

static void plain_write(volatile void *p, u32 size, u64 v)
{
	switch (size) {
	case 1:
		*(volatile u8 *)p = v;
		break;
	case 2:
		*(volatile u16 *)p = v;
		break;
	case 4:
		*(volatile u32 *)p = v;
		break;
	default:
		*(volatile u64 *)p = v;
	}
}

static u64 truncate(u64 v, u32 size)
{
	return size == 8 ? v : v & ((1ULL << 8 * size) - 1);
}

static const u64 VALUE = 0xf1e2d3c4b5a69788ULL;

/* Every width at offsets @from to @to of BAR 0's memory: one write, one read, as they were made. */
static bool every_width(struct vft *t, u32 from, u32 to, bool plain)
{
	bool ok = true;
	u32 size, at;

	for (size = 1; size <= 8; size *= 2) {
		for (at = from; at <= to; at++) {
			void __iomem *p = vft_ram(t, at);
			u64 v = truncate(VALUE + at, size), got;
			struct vft_access want[] = {
				{ 0, true, TESTDEV_RAM + at, size, v },
				{ 0, false, TESTDEV_RAM + at, size },
			};

			vft_log_start(t);
			if (plain) {
				plain_write((void __force *)p, size, v);
				got = plain_read((void __force *)p, size);
			} else {
				access_write(p, size, v);
				got = access_read(p, size);
			}
			if (got != v)
				vft_note("%u bytes at %#x: %#llx, not %#llx", size, at, got, v);
			ok &= got == v && vft_log_is(t, want, 2);
		}
	}
	return ok;
}

static void run_widths(struct vft *t)
{
	vft_check(every_width(t, 0x40, 0x48, false), "accessors, every width and alignment");
	vft_check(every_width(t, 0x60, 0x68, true), "pointers, every width and alignment");
	vft_check(every_width(t, 0xff8, 0x1000, false), "across two trapped pages");
	vft_check(every_width(t, TESTDEV_RAM_SIZE - 8, TESTDEV_RAM_SIZE - 8, false),
		  "at the end of the BAR");
}

/* Reads that change something are made exactly once, whatever the width. */
static void run_counter(struct vft *t)
{
	void __iomem *p = vft_reg(t, TESTDEV_COUNTER);
	u32 *buf = kcalloc(300, sizeof(*buf), GFP_KERNEL);
	bool ok = true;
	u64 n = 0;
	int i;

	if (!buf)
		return;
	writeq(0, p);
	for (i = 0; i < 20; i++) {
		ok &= readb(p) == n++;
		ok &= readw(p) == n++;
		ok &= readl(p) == n++;
		ok &= readq(p) == n++;
		ok &= *(volatile u32 __force *)p == n++;
	}
	vft_check(ok, "a read counts once");
	ioread32_rep(p, buf, 300);
	for (i = 0, ok = true; i < 300; i++)
		ok &= buf[i] == n++;
	vft_check(ok, "ioread32_rep counts once an element");
	memcpy_fromio(buf, t->bar[5], 4 * 300);
	for (i = 0, ok = true; i < 300; i++)
		ok &= buf[i] == n++;
	/* x86 copies in 32-bit words */
	vft_check(ok, "memcpy_fromio counts once a word");
	vft_check(readq(p) == n, "nothing was read on the way");
	kfree(buf);
}

static void run_rep(struct vft *t)
{
	void __iomem *p = vft_ram(t, 0x400);
	struct vft_access want[64];
	u8 buf[64], got[64];
	u32 size, n, i;
	bool ok;

	for (size = 1; size <= 4; size *= 2) {
		for (i = 0; i < sizeof(buf); i++)
			buf[i] = i * 11 + size;
		n = sizeof(buf) / size;
		vft_log_start(t);
		if (size == 1)
			iowrite8_rep(p, buf, n);
		else if (size == 2)
			iowrite16_rep(p, buf, n);
		else
			iowrite32_rep(p, buf, n);
		for (i = 0; i < n; i++) {
			want[i] = (struct vft_access){ 0, true, TESTDEV_RAM + 0x400, size };
			memcpy(&want[i].value, buf + i * size, size);
		}
		vft_check(vft_log_is(t, want, n), "iowrite%u_rep, in order", 8 * size);

		vft_log_start(t);
		if (size == 1)
			ioread8_rep(p, got, n);
		else if (size == 2)
			ioread16_rep(p, got, n);
		else
			ioread32_rep(p, got, n);
		for (i = 0, ok = true; i < n; i++) {
			want[i].write = false;
			ok &= !memcmp(got + i * size, buf + (n - 1) * size, size);
		}
		vft_check(vft_log_is(t, want, n) && ok, "ioread%u_rep", 8 * size);
	}
	for (size = 1; size <= 4; size *= 2) {
		u32 v = 0x89abcdef & (size == 4 ? ~0U : (1U << 8 * size) - 1);

		if (size == 1)
			iowrite8(v, p);
		else if (size == 2)
			iowrite16be(v, p);
		else
			iowrite32be(v, p);
		ok = size == 1 ? ioread8(p) == v :
		     size == 2 ? ioread16be(p) == v && ioread16(p) == swab16(v) :
				 ioread32be(p) == v && ioread32(p) == swab32(v);
		vft_check(ok, "ioread%u and iowrite%u, big-endian", 8 * size, 8 * size);
	}
}

/* Copies of odd lengths to and from odd addresses; the rest stays as it was. */
static void run_memcpy(struct vft *t)
{
	static const u16 lengths[] = { 0, 1, 2, 3, 4, 7, 8, 9, 63, 65, 255, 600 };
	const u32 max = 640;
	u8 *buf = kvzalloc(3 * max, GFP_KERNEL), *got = buf + max, *want = got + max;
	void __iomem *p = vft_ram(t, 0x4000 - 100);	/* over the end of a page */
	bool to = true, from = true, set = true, plain = true;
	u32 i, j, off, src;

	if (!buf)
		return;
	for (i = 0; i < max; i++)
		buf[i] = i * 3 + (i >> 7);
	memset_io(p, 0, max);
	for (i = 0; i < ARRAY_SIZE(lengths); i++) {
		off = 1 + i % 5;
		src = i % 4;
		memset(want, 0xee, max);
		memset_io(p, 0xee, max);
		memcpy_toio(p + off, buf + src, lengths[i]);
		memcpy(want + off, buf + src, lengths[i]);
		memset(got, 0x55, max);
		memcpy_fromio(got, p, max);
		to &= !memcmp(got, want, max);

		memset(got, 0x55, max);
		memcpy_fromio(got + src, p + off, lengths[i]);
		for (j = 0; j < max; j++)
			from &= got[j] == (j >= src && j < src + lengths[i] ?
					   want[off + j - src] : 0x55);

		memset_io(p + off, 0x3c, lengths[i]);
		memset(want + off, 0x3c, lengths[i]);
		memcpy_fromio(got, p, max);
		set &= !memcmp(got, want, max);
	}
	vft_check(to, "memcpy_toio");
	vft_check(from, "memcpy_fromio");
	vft_check(set, "memset_io");

	/* Not allowed, and done. */
	memcpy((void __force *)p + 3, buf, 400);
	memcpy(got, (void __force *)p + 3, 400);
	plain &= !memcmp(got, buf, 400);
	memset((void __force *)p + 3, 0x99, 100);
	plain &= !memchr_inv((void __force *)p + 3, 0x99, 100);
	plain &= !memcmp((void __force *)p + 103, buf + 100, 300);
	memmove((void __force *)p + 13, (void __force *)p + 103, 200);
	plain &= !memcmp((void __force *)p + 13, buf + 100, 200);
	vft_check(plain, "memcpy, memset, memcmp and memmove");
	kvfree(buf);
}

/* Even pages of BAR 2 trap, odd ones do not. */
static void run_direct(struct vft *t)
{
	void __iomem *p = t->bar[2] + TESTDEV_PAGE;
	bool ok = true;
	u32 i;

	vft_log_start(t);
	for (i = 0; i < TESTDEV_PAGE; i += 8)
		writeq(VALUE + i, p + i);
	for (i = 0; i < TESTDEV_PAGE; i += 8)
		ok &= readq(p + i) == VALUE + i;
	vft_check(ok, "direct page holds what was written");
	vft_check(vft_log_quiet(t), "without the server being asked");
	for (i = 0, ok = true; i < TESTDEV_PAGE; i += 512)
		ok &= vft_peek(t, TESTDEV_PAGE + i) == VALUE + i;
	vft_check(ok, "the server sees it");
	vft_poke(t, TESTDEV_PAGE + 0x100, 0x1122334455667788ULL);
	vft_check(readq(p + 0x100) == 0x1122334455667788ULL, "the driver sees the server's writes");

	vft_log_start(t);
	writel(1, t->bar[2] + 2 * TESTDEV_PAGE);
	vft_check(readl(t->bar[2] + 2 * TESTDEV_PAGE) == 1 && vft_log_count(t) == 2,
		  "the page after it traps");
}

/* With the module's parameter ordered_writes. */
static void run_direct_order(struct vft *t)
{
	void __iomem *p = t->bar[2] + TESTDEV_PAGE;
	bool ok;
	u32 i;

	writeq(TESTDEV_PAGE + 0x100, vft_reg(t, TESTDEV_PEEK_AT));
	for (i = 1, ok = true; i <= 200; i++) {
		/* The server stores it to the direct page. */
		writeq(i, vft_reg(t, TESTDEV_PEEK));
		ok &= readq(p + 0x100) == i;
	}
	vft_check(ok, "not overtaking a write before it");
	for (i = 1, ok = true; i <= 200; i++) {
		u32 halves[] = { i, ~i };

		memcpy_toio(vft_reg(t, TESTDEV_PEEK), halves, sizeof(halves));
		ok &= readq(p + 0x100) == (i | (u64)~i << 32);
	}
	vft_check(ok, "not overtaking a string of writes before it");
}

static bool edge_once(struct vft *t, u32 edge, u32 before, u32 size)
{
	void __iomem *p = t->bar[2] + edge - before;
	bool direct_first = (edge / TESTDEV_PAGE - 1) & 1;
	u64 v = truncate(VALUE * (before + size + 1), size), got, seen = 0;
	struct vft_access want;
	bool ok;

	vft_poke(t, edge - 8, 0);
	vft_poke(t, edge, 0);
	vft_log_start(t);
	access_write(p, size, v);
	/* Only the trapped part goes to the server. */
	if (direct_first)
		want = (struct vft_access){ 2, true, edge, size - before, v >> 8 * before };
	else
		want = (struct vft_access){ 2, true, edge - before, before,
					    truncate(v, before) };
	ok = vft_log_is(t, &want, 1);
	vft_log_start(t);
	got = access_read(p, size);
	want.write = false;
	ok &= vft_log_is(t, &want, 1);
	seen = vft_peek(t, edge - before);
	if (got != v || truncate(seen, size) != v) {
		vft_note("read %#llx, the server has %#llx, written was %#llx", got,
			 truncate(seen, size), v);
		ok = false;
	}
	if (!ok)
		vft_note("... %u bytes, %u of them before %#x", size, before, edge);
	return ok;
}

static void run_edge(struct vft *t)
{
	void __iomem *p = t->bar[2] + 2 * TESTDEV_PAGE - 301;
	const u32 len = TESTDEV_PAGE + 602;
	bool ok[2] = { true, true }, whole = true;
	u32 size, before, edge, i;
	u8 *buf, *got;

	for (edge = TESTDEV_PAGE; edge <= 4 * TESTDEV_PAGE; edge += TESTDEV_PAGE)
		for (size = 2; size <= 8; size *= 2)
			for (before = 1; before < size; before++)
				ok[edge / TESTDEV_PAGE & 1] &= edge_once(t, edge, before, size);
	vft_check(ok[1], "from a trapped page into a direct one");
	vft_check(ok[0], "from a direct page into a trapped one");

	/* A modification across the edge: 0x00ff00ff + 0x01010101 carries over it. */
	vft_poke(t, TESTDEV_PAGE - 8, 0x00ff000000000000ULL);
	vft_poke(t, TESTDEV_PAGE, 0x00ffULL);
	asm volatile("addl %0, (%1)" : : "r" (0x01010101), "r" (t->bar[2] + TESTDEV_PAGE - 2)
		     : "memory", "cc");
	vft_check(vft_peek(t, TESTDEV_PAGE - 2) == 0x02000200ULL, "read-modify-write across");

	/* The end of a direct page, a trapped one, and the begin of the next. */
	buf = kvzalloc(2 * len, GFP_KERNEL);
	if (!buf)
		return;
	got = buf + len;
	for (i = 0; i < len; i++)
		buf[i] = i * 7 + (i >> 9);
	memcpy_toio(p, buf, len);
	for (i = 0; i < len - 8; i += 64)
		whole &= vft_peek(t, 2 * TESTDEV_PAGE - 301 + i) == *(u64 *)(buf + i);
	vft_check(whole, "memcpy_toio over trapped and direct pages");
	memcpy_fromio(got, p, len);
	vft_check(!memcmp(got, buf, len), "memcpy_fromio over trapped and direct pages");
	kvfree(buf);
}

/* The vector table is the kernel's: the server sees nothing of it, even if it offers the page. */
static void run_msix_table(struct vft *t)
{
	void __iomem *p = t->bar[2] + TESTDEV_MSIX_TABLE;
	u32 off = TESTDEV_MSIX_TABLE;

	vft_poke(t, off, 0x5555555555555555ULL);
	vft_poke(t, off + 8, 0x5555555555555555ULL);
	vft_log_start(t);
	vft_check(readl(p + PCI_MSIX_ENTRY_VECTOR_CTRL) & PCI_MSIX_ENTRY_CTRL_MASKBIT,
		  "vectors are masked");
	writel(0xfee01000, p + PCI_MSIX_ENTRY_LOWER_ADDR);
	writel(0x1234, p + PCI_MSIX_ENTRY_DATA);
	vft_check(readl(p + PCI_MSIX_ENTRY_LOWER_ADDR) == 0xfee01000 &&
		  readq(p + PCI_MSIX_ENTRY_DATA) == 0x100001234ULL, "the table can be written");
	vft_check(vft_log_quiet(t), "without the server being asked");
	vft_check(vft_peek(t, off) == 0x5555555555555555ULL &&
		  vft_peek(t, off + 8) == 0x5555555555555555ULL, "or seeing it");
	writel(0, p + PCI_MSIX_ENTRY_LOWER_ADDR);
	writel(0, p + PCI_MSIX_ENTRY_DATA);
	vft_check(readq(t->bar[2] + TESTDEV_MSIX_PBA) == 0, "nothing is pending");
	vft_log_start(t);
	readl(t->bar[2] + TESTDEV_MSIX_PBA);
	vft_check(vft_log_count(t) == 1, "pending bits are the server's");
	vft_log_start(t);
	writel(7, t->bar[2] + TESTDEV_MSIX_TABLE + TESTDEV_VECTORS * PCI_MSIX_ENTRY_SIZE);
	vft_check(vft_log_count(t) == 1, "what is behind the table is the server's");
}

static bool bar_memory(struct vft *t, int bar, u32 offset)
{
	void __iomem *p = t->bar[bar] + offset;
	struct vft_access want[] = {
		{ bar, true, offset, 4, 0xcafe0000 + bar },
		{ bar, false, offset, 2 },
		{ bar, true, offset, 1, 0x5a },
		{ bar, false, offset, 4 },
	};
	bool ok;

	vft_log_start(t);
	iowrite32(0xcafe0000 + bar, p);
	ok = ioread16(p) == bar;
	iowrite8(0x5a, p);
	ok &= ioread32(p) == 0xcafe005a;
	return vft_log_is(t, want, ARRAY_SIZE(want)) && ok;
}

/* A mapping is of one BAR: what is behind that is nobody's, or another device's. */
static void run_map_beyond(struct vft *t)
{
	resource_size_t start = pci_resource_start(t->pdev, 0), len = pci_resource_len(t->pdev, 0);
	const struct {
		resource_size_t start;
		size_t size;
		bool fits;
	} ranges[] = {
		{ start, len, true },
		{ start + len - PAGE_SIZE, PAGE_SIZE, true },
		{ start, len + 1, false },
		{ start + len - PAGE_SIZE, 2 * PAGE_SIZE, false },
		{ start, SZ_1G, false },
		{ start + len - 1, 2, false },
	};
	void __iomem *p;
	bool ok = true;
	u32 i;

	for (i = 0; i < ARRAY_SIZE(ranges); i++) {
		p = ioremap(ranges[i].start, ranges[i].size);
		if (!!p != ranges[i].fits) {
			vft_note("%#zx bytes at BAR 0 + %#llx: %p", ranges[i].size,
				 (u64)(ranges[i].start - start), p);
			ok = false;
		}
		if (p)
			iounmap(p);
	}
	vft_check(ok, "a mapping stays in its BAR");
}

/* For what others do meanwhile. */
static void run_log_on(struct vft *t)
{
	vft_log_start(t);
	vft_check(vft_log_quiet(t), "nothing yet");
}

static void run_log_quiet(struct vft *t)
{
	vft_check(vft_log_quiet(t), "nothing has reached this device");
}

static void run_bars(struct vft *t)
{
	static const u32 sizes[] = {
		TESTDEV_BAR0_SIZE, TESTDEV_BAR1_SIZE, TESTDEV_BAR2_SIZE, 0, TESTDEV_BAR4_SIZE,
		TESTDEV_BAR5_SIZE,
	};
	void __iomem *part;
	size_t rom_size = 0;
	bool ok = true;
	u8 *rom;
	u32 i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++)
		ok &= pci_resource_len(t->pdev, i) == (i == 4 && !t->bar[4] ? 0 : sizes[i]);
	vft_check(ok, "sizes");
	vft_check(bar_memory(t, 1, 0) && bar_memory(t, 1, TESTDEV_BAR1_SIZE - 4),
		  "BAR 1, smaller than a page");
	vft_check(pci_resource_flags(t->pdev, 2) & IORESOURCE_PREFETCH &&
		  pci_resource_flags(t->pdev, 2) & IORESOURCE_MEM_64, "BAR 2, type");
	vft_check(bar_memory(t, 2, 2 * TESTDEV_PAGE + 8), "BAR 2, 64 bits wide");
	if (t->bar[4]) {
		vft_check(pci_resource_flags(t->pdev, 4) & IORESOURCE_MEM, "BAR 4, type");
		vft_check(bar_memory(t, 4, 0) && bar_memory(t, 4, TESTDEV_BAR4_SIZE - 4),
			  "BAR 4, of I/O ports, by pci_iomap");
	} else {
		vft_check(!pci_resource_flags(t->pdev, 4), "BAR 4, of I/O ports, is not there");
	}

	part = pci_iomap_range(t->pdev, 0, TESTDEV_RAM + 0x1234, 0x20);
	ok = part;
	if (part) {
		writel(0x600d, part);
		ok = readl(vft_ram(t, 0x1234)) == 0x600d;
		pci_iounmap(t->pdev, part);
	}
	vft_check(ok, "a part of a BAR, mapped once more");
	part = ioremap_wc(pci_resource_start(t->pdev, 2), TESTDEV_BAR2_SIZE);
	ok = part;
	if (part) {
		writeq(VALUE, part + TESTDEV_PAGE + 16);
		writeq(~VALUE, part + 2 * TESTDEV_PAGE + 16);
		ok = readq(t->bar[2] + TESTDEV_PAGE + 16) == VALUE &&
		     readq(t->bar[2] + 2 * TESTDEV_PAGE + 16) == ~VALUE;
		iounmap(part);
	}
	vft_check(ok, "ioremap_wc");

	part = pci_map_rom(t->pdev, &rom_size);
	rom = kzalloc(TESTDEV_ROM_SIZE, GFP_KERNEL);
	ok = part && rom && rom_size == TESTDEV_ROM_SIZE;
	if (ok) {
		memcpy_fromio(rom, part, TESTDEV_ROM_SIZE);
		ok = rom[0] == 0x55 && rom[1] == 0xaa;
		for (i = TESTDEV_ROM_HEADER; i < TESTDEV_ROM_SIZE; i++)
			ok &= rom[i] == TESTDEV_ROM_BYTE(i);
	}
	vft_check(ok, "ROM");
	if (part)
		pci_unmap_rom(t->pdev, part);
	kfree(rom);
}

/* With memory decoding off nothing answers, as on hardware. */
static void run_disable(struct vft *t)
{
	u16 command;

	writel(0x1234567, vft_ram(t, 0x80));
	writel(0x1234567, t->bar[2] + 16);
	vft_log_start(t);
	pci_read_config_word(t->pdev, PCI_COMMAND, &command);
	pci_write_config_word(t->pdev, PCI_COMMAND, command & ~PCI_COMMAND_MEMORY);
	vft_check(readl(vft_ram(t, 0x80)) == ~0U && readb(vft_ram(t, 0x83)) == 0xff &&
		  readq(t->bar[2] + 16) == ~0ULL, "disabled, reads are all-ones");
	writel(0, vft_ram(t, 0x80));
	pci_write_config_word(t->pdev, PCI_COMMAND, command);
	vft_check(vft_log_quiet(t), "and nothing reaches the server");
	vft_check(readl(vft_ram(t, 0x80)) == 0x1234567 && readl(t->bar[2] + 16) == 0x1234567,
		  "enabled again, as before");
}

/* A function level reset as drivers ask for it: device state gone, config restored. */
static void run_reset(struct vft *t)
{
	u32 resets = readl(vft_reg(t, TESTDEV_RESETS));
	u16 before, after;
	int ret;

	writel(0xabcdef, vft_ram(t, 0x90));
	pci_read_config_word(t->pdev, PCI_COMMAND, &before);
	ret = pci_reset_function(t->pdev);
	vft_check(!ret, "pci_reset_function: %d", ret);
	vft_check(readl(vft_reg(t, TESTDEV_RESETS)) == resets + 1, "one reset reached the server");
	vft_check(readl(vft_ram(t, 0x90)) == 0, "its memory is clear");
	pci_read_config_word(t->pdev, PCI_COMMAND, &after);
	vft_check(before == after && before & PCI_COMMAND_MEMORY, "the command register is restored");
	writel(1, vft_ram(t, 0x90));
	vft_check(readl(vft_ram(t, 0x90)) == 1, "the BARs are where they were");
}

/* The server answers with an error; and so it does to a write, which nobody waits for. */
static void run_errors(struct vft *t)
{
	void __iomem *end = vft_reg(t, TESTDEV_LOG - 4);

	writel(0, end);
	vft_check(readl(end) == 0, "no error");
	vft_check(readq(end) == ~0ULL, "an error: all-ones");
	writel(0x77, vft_reg(t, TESTDEV_LOG));
	vft_check(readl(vft_reg(t, TESTDEV_LOG)) != 0x77, "a write that is refused");
	vft_check(readl(vft_reg(t, TESTDEV_ID)) == TESTDEV_MAGIC, "the device goes on");
}

/* Ends in the kernel's oops, and with it the thread. */
static int undecoded_thread(void *arg)
{
	struct vft *t = arg;

	asm volatile("ldmxcsr %0" : : "m" (*(const u32 __force *)vft_ram(t, 0)));
	return 0;
}

/* An instruction that is not decoded is an oops, as any bad access; a thread of its own has it. */
static void run_undecoded(struct vft *t)
{
	struct task_struct *task = kthread_create(undecoded_thread, t, "vft-undecoded");
	unsigned long end = jiffies + 60 * HZ;

	if (!vft_check(!IS_ERR(task), "a thread"))
		return;
	get_task_struct(task);
	wake_up_process(task);
	while (!READ_ONCE(task->exit_state) && time_before(jiffies, end))
		msleep(20);
	vft_check(READ_ONCE(task->exit_state) && task->exit_code, "is killed");
	put_task_struct(task);
	vft_check(readl(vft_reg(t, TESTDEV_ID)) == TESTDEV_MAGIC, "the device goes on");
}

/* A late answer: waits, and no other access is lost meanwhile. */
static void run_slow(struct vft *t)
{
	writel(700000, vft_reg(t, TESTDEV_SLOW_US));
	writel(0x5103, vft_reg(t, TESTDEV_SLOW));
	vft_check(readl(vft_reg(t, TESTDEV_SLOW)) == 0x5103, "an answer that takes 0.7 s");
	writel(0, vft_reg(t, TESTDEV_SLOW_US));
	vft_check(readl(vft_reg(t, TESTDEV_ID)) == TESTDEV_MAGIC, "and the next");
}

/* More writes than the ring holds, then a read: it sees them all. */
static void run_posted(struct vft *t)
{
	const u32 n = 5000;
	bool ok = true;
	u32 i;

	for (i = 0; i < n; i++)
		writel(i, vft_ram(t, 4 * i));
	vft_check(readl(vft_ram(t, 4 * (n - 1))) == n - 1, "a read sees the write before it");
	for (i = 0; i < n; i += 37)
		ok &= readl(vft_ram(t, 4 * i)) == i;
	vft_check(ok, "and all the others");
	vft_log_start(t);
	for (i = 0; i < 2000; i++)
		writel(i, vft_ram(t, 0));
	vft_check(vft_log_count(t) == 2000, "each write arrives once");
	for (i = 0, ok = true; i < 2000; i += 41) {
		struct testdev_access a;

		vft_log_read(t, i, &a);
		ok &= a.value == i && a.write && a.size == 4;
	}
	vft_check(ok, "in order");
}

/* BAR 1 that is write-only (1) or read-only (2): what it is not for does not reach the server. */
static void run_refused(struct vft *t)
{
	void __iomem *p = t->bar[1];
	u64 before;

	vft_log_start(t);
	if (t->arg == 1) {
		vft_check(readb(p) == 0xff && readw(p + 2) == 0xffff && readl(p + 4) == ~0u &&
			  readq(p + 8) == ~0ull, "reads are all-ones");
		vft_check(vft_log_quiet(t), "the server is not asked");
		vft_log_start(t);
		writel(1, p);
		vft_check(vft_log_count(t) == 1, "it is written");
	} else {
		before = readq(p);
		vft_check(vft_log_count(t) == 1, "it is read");
		vft_log_start(t);
		writeq(~before, p);
		vft_check(vft_log_quiet(t), "the server is not told of a write");
		vft_check(readq(p) == before, "writes change nothing");
	}
	vft_check(readl(vft_reg(t, TESTDEV_ID)) == TESTDEV_MAGIC, "other BARs work");
}

const struct vft_case vft_mmio_cases[] = {
	{ "widths", run_widths },
	{ "counter", run_counter },
	{ "rep", run_rep },
	{ "memcpy", run_memcpy },
	{ "insn", vft_insn },
	{ "strings", vft_strings },
	{ "direct", run_direct },
	{ "direct-order", run_direct_order },
	{ "edge", run_edge },
	{ "msix-table", run_msix_table },
	{ "bars", run_bars },
	{ "map-beyond", run_map_beyond },
	{ "log-on", run_log_on },
	{ "log-quiet", run_log_quiet },
	{ "disable", run_disable },
	{ "reset", run_reset },
	{ "errors", run_errors },
	{ "undecoded", run_undecoded },
	{ "slow", run_slow },
	{ "posted", run_posted },
	{ "refused", run_refused },
	{ }
};
