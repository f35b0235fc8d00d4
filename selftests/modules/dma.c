// SPDX-License-Identifier: GPL-2.0-only
/*
 * The DMA API: whatever a driver maps the server can reach, and nothing that it does not.
 *
 * The test device fills memory with a pattern, or looks for one; the driver does the same on its
 * side.
 */
#include <linux/completion.h>
#include <linux/dma-mapping.h>
#include <linux/dmapool.h>
#include <linux/errno.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/scatterlist.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "vfu_test.h"

/* One command at a time. */
static DEFINE_MUTEX(dma_lock);

/* ---- the device's side ---- */

static u32 dev_cmd(struct vft *t, u32 cmd, dma_addr_t addr, u32 len, u32 arg, u32 *wrong,
		   u32 *first)
{
	u32 status;

	mutex_lock(&dma_lock);
	writeq(addr, vft_reg(t, TESTDEV_DMA_ADDR));
	writel(len, vft_reg(t, TESTDEV_DMA_LEN));
	writel(arg, vft_reg(t, TESTDEV_DMA_ARG));
	writel(cmd, vft_reg(t, TESTDEV_DMA_CMD));
	status = readl(vft_reg(t, TESTDEV_DMA_STATUS));
	*wrong = readl(vft_reg(t, TESTDEV_DMA_WRONG));
	*first = readl(vft_reg(t, TESTDEV_DMA_FIRST));
	mutex_unlock(&dma_lock);
	return status;
}

static bool dev_do(struct vft *t, u32 cmd, dma_addr_t addr, u32 len, u32 arg)
{
	u32 wrong, first, status = dev_cmd(t, cmd, addr, len, arg, &wrong, &first);

	if (status)
		vft_note("DMA command %u at %pad + %#x: errno %u", cmd, &addr, len, status);
	else if (wrong)
		vft_note("the device sees %u wrong bytes at %pad + %#x, the first is %#x", wrong,
			 &addr, len, first);
	return !status && !wrong;
}

static bool dev_fill(struct vft *t, dma_addr_t addr, u32 len, u8 seed)
{
	return dev_do(t, TESTDEV_DMA_FILL, addr, len, seed);
}

static bool dev_check(struct vft *t, dma_addr_t addr, u32 len, u8 seed)
{
	return dev_do(t, TESTDEV_DMA_CHECK, addr, len, seed);
}

static bool dev_all(struct vft *t, dma_addr_t addr, u32 len, u8 byte)
{
	return dev_do(t, TESTDEV_DMA_CHECK_BYTE, addr, len, byte);
}

/* ---- the driver's ---- */

static void cpu_fill(void *buf, u32 len, u8 seed)
{
	u32 i;

	for (i = 0; i < len; i++)
		((u8 *)buf)[i] = TESTDEV_PATTERN(seed, i);
}

static bool cpu_check(const void *buf, u32 len, u8 seed)
{
	u32 i;

	for (i = 0; i < len; i++) {
		if (((const u8 *)buf)[i] == TESTDEV_PATTERN(seed, i))
			continue;
		vft_note("the driver sees %#x at %#x of %#x, not %#x", ((const u8 *)buf)[i], i, len,
			 TESTDEV_PATTERN(seed, i));
		return false;
	}
	return true;
}

static bool cpu_all(const void *buf, u32 len, u8 byte)
{
	const u8 *at = memchr_inv(buf, byte, len);

	if (at)
		vft_note("the driver sees %#x at %#tx of %#x, not %#x", *at, at - (const u8 *)buf,
			 len, byte);
	return !at;
}

/* Has the device, slow as it may be, done what it was told when the store is over? */
static bool waited(struct vft *t, const u8 *buf, u8 seed)
{
	writel(3000, vft_reg(t, TESTDEV_SLOW_US));
	writel(0, vft_reg(t, TESTDEV_SLOW));
	writel(seed, vft_reg(t, TESTDEV_DMA_ARG));
	writel(TESTDEV_DMA_FILL, vft_reg(t, TESTDEV_DMA_CMD));
	return READ_ONCE(buf[0]) == TESTDEV_PATTERN(seed, 0) &&
	       READ_ONCE(buf[63]) == TESTDEV_PATTERN(seed, 63);
}

static void run_waited(struct vft *t)
{
	static DEFINE_SPINLOCK(lock);
	unsigned long flags;
	dma_addr_t addr;
	bool ok;
	u8 *buf;

	buf = dma_alloc_coherent(&t->pdev->dev, 64, &addr, GFP_KERNEL);
	if (!buf) {
		vft_check(false, "dma_alloc_coherent");
		return;
	}
	writeq(addr, vft_reg(t, TESTDEV_DMA_ADDR));
	writel(64, vft_reg(t, TESTDEV_DMA_LEN));
	vft_check(waited(t, buf, 1), "process: done when the write is over");
	spin_lock(&lock);
	ok = waited(t, buf, 2);
	spin_unlock(&lock);
	vft_check(ok, "spinlock: done when the write is over");
	local_irq_save(flags);
	ok = waited(t, buf, 3);
	local_irq_restore(flags);
	vft_check(ok, "interrupts off: done when the write is over");
	dma_free_coherent(&t->pdev->dev, 64, buf, addr);
}

static void run_coherent(struct vft *t)
{
	static const u32 sizes[] = { 1, 64, 4096, 4097, 65536, SZ_1M };
	struct device *dev = &t->pdev->dev;
	bool zero = true, seen = true, written = true, aligned = true;
	dma_addr_t addr;
	void *buf;
	u32 i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		buf = dma_alloc_coherent(dev, sizes[i], &addr, GFP_KERNEL);
		if (!vft_check(buf, "allocate %u bytes", sizes[i]))
			return;
		zero &= cpu_all(buf, sizes[i], 0) && dev_all(t, addr, sizes[i], 0);
		aligned &= IS_ALIGNED(addr, PAGE_SIZE << get_order(sizes[i]));
		cpu_fill(buf, sizes[i], 3 + i);
		seen &= dev_check(t, addr, sizes[i], 3 + i);
		written &= dev_fill(t, addr, sizes[i], 90 + i) && cpu_check(buf, sizes[i], 90 + i);
		dma_free_coherent(dev, sizes[i], buf, addr);
	}
	vft_check(zero, "comes zeroed, also where it was used before");
	vft_check(aligned, "aligned to its size");
	vft_check(seen, "the device sees what the driver writes");
	vft_check(written, "and the other way");
}

/*
 * What the device sees where it is only to write, and the driver has bytes of 0xaa: no memory of
 * the kernel's, unless there are no copies (argument 1: passthrough). Some bytes may be the same.
 */
static bool dev_hidden(struct vft *t, dma_addr_t addr, u32 len)
{
	u32 wrong, first;

	if (t->arg == 1)
		return dev_all(t, addr, len, 0xaa);
	if (!dev_cmd(t, TESTDEV_DMA_CHECK_BYTE, addr, len, 0xaa, &wrong, &first) &&
	    (len < 16 || wrong > len / 4))
		return true;
	vft_note("the device sees what the driver had at %pad + %#x", &addr, len);
	return false;
}

/* What it has left alone is as it was; but for the ends, and the word behind what it wrote. */
static bool cpu_left(const void *buf, u32 len)
{
	const void *first = PTR_ALIGN(buf, 8) + 8, *last = PTR_ALIGN_DOWN(buf + len, 8);

	return first >= last || cpu_all(first, last - first, 0xaa);
}

/* What a mapping must do for one buffer in one direction. */
static bool stream_once(struct vft *t, u8 *whole, u32 size, u32 offset, enum dma_data_direction dir)
{
	struct device *dev = &t->pdev->dev;
	u8 *buf = whole + offset;
	u8 seed = 11 * offset + size;
	u32 part = size - size / 3;
	dma_addr_t addr;
	bool ok = true;

	memset(whole, 0xaa, offset + size + 64);
	if (dir != DMA_FROM_DEVICE)
		cpu_fill(buf, size, seed);
	addr = dma_map_single(dev, buf, size, dir);
	if (dma_mapping_error(dev, addr)) {
		vft_note("dma_map_single of %u bytes fails", size);
		return false;
	}
	if (offset_in_page(addr) != offset_in_page(buf)) {
		vft_note("offset in page %#lx became %#lx", offset_in_page(buf),
			 (unsigned long)offset_in_page(addr));
		ok = false;
	}
	if (dir == DMA_FROM_DEVICE)
		ok &= dev_hidden(t, addr, size);
	else
		ok &= dev_check(t, addr, size, seed);
	/* Not all of it: the device may write less. What it may not write is a copy here. */
	if (dir != DMA_TO_DEVICE || t->arg != 1)
		ok &= dev_fill(t, addr, part, seed + 1);
	dma_unmap_single(dev, addr, size, dir);

	if (dir == DMA_TO_DEVICE)
		ok &= cpu_check(buf, size, seed);
	else
		ok &= cpu_check(buf, part, seed + 1);
	if (dir == DMA_FROM_DEVICE)
		ok &= cpu_left(buf + part, size - part);
	ok &= cpu_all(whole, offset, 0xaa) && cpu_all(buf + size, 64, 0xaa);
	if (!ok)
		vft_note("... %u bytes at offset %u, direction %d", size, offset, dir);
	return ok;
}

/*
 * The device writes @len bytes at @from, and at @at one that happens to be there already: which one
 * that is it finds out here, and with data of any kind it is so once in 256 times.
 */
static bool stream_same(struct vft *t, u8 *buf, u32 from, u32 len, u32 at)
{
	struct device *dev = &t->pdev->dev;
	const u32 size = 3 * 4096;
	dma_addr_t addr;
	bool ok = true;
	u8 byte;

	memset(buf, 0xaa, size);
	addr = dma_map_single(dev, buf, size, DMA_FROM_DEVICE);
	if (dma_mapping_error(dev, addr)) {
		vft_note("dma_map_single of %u bytes fails", size);
		return false;
	}
	if (len)
		ok &= dev_fill(t, addr + from, len, 5);
	ok &= dev_do(t, TESTDEV_DMA_READ, addr + at, 1, TESTDEV_RAM);
	byte = readb(vft_reg(t, TESTDEV_RAM));
	ok &= dev_do(t, TESTDEV_DMA_WRITE, addr + at, 1, TESTDEV_RAM);
	dma_unmap_single(dev, addr, size, DMA_FROM_DEVICE);
	if (buf[at] != byte) {
		vft_note("after %u bytes at %u the device writes %#x at %u, the driver sees %#x",
			 len, from, byte, at, buf[at]);
		ok = false;
	}
	return ok && cpu_check(buf + from, len, 5);
}

/* A transfer may begin and end anywhere. */
static void run_same(struct vft *t, u8 *buf)
{
	bool ok = true;

	ok &= stream_same(t, buf, 0, 16, 16);
	ok &= stream_same(t, buf, 0, 4096, 4096);
	ok &= stream_same(t, buf, 0, 2 * 4096 - 8, 2 * 4096 - 8);
	ok &= stream_same(t, buf, 64, 64, 63);
	ok &= stream_same(t, buf, 4096, 64, 4095);
	ok &= stream_same(t, buf, 0, 0, 0);
	vft_check(ok, "a byte that was there already is not lost");
}

static void run_streaming(struct vft *t)
{
	static const u32 sizes[] = { 1, 2, 31, 512, 4095, 4096, 4097, 12345, 65536, 200000 };
	static const u32 offsets[] = { 0, 1, 64, 2049, 4095 };
	static const char *const names[] = { "both ways", "to the device", "from the device" };
	u8 *whole = kmalloc(SZ_256K, GFP_KERNEL);
	u32 i, j;
	int dir;

	if (!whole)
		return;
	for (dir = DMA_BIDIRECTIONAL; dir <= DMA_FROM_DEVICE; dir++) {
		bool ok = true;

		for (i = 0; i < ARRAY_SIZE(sizes); i++)
			for (j = 0; j < ARRAY_SIZE(offsets); j++)
				ok &= stream_once(t, whole, sizes[i], offsets[j], dir);
		vft_check(ok, "%s", names[dir]);
	}
	run_same(t, whole);
	kfree(whole);
}

static void run_sync(struct vft *t)
{
	struct device *dev = &t->pdev->dev;
	const u32 size = 3 * 4096 + 100;
	u8 *buf = kmalloc(size, GFP_KERNEL);
	dma_addr_t addr;

	if (!buf)
		return;
	cpu_fill(buf, size, 1);
	addr = dma_map_single(dev, buf, size, DMA_TO_DEVICE);
	if (!vft_check(!dma_mapping_error(dev, addr), "map to the device"))
		goto out;
	vft_check(dev_check(t, addr, size, 1), "the device sees what was there");
	dma_sync_single_for_cpu(dev, addr, size, DMA_TO_DEVICE);
	cpu_fill(buf, size, 2);
	dma_sync_single_for_device(dev, addr, size, DMA_TO_DEVICE);
	vft_check(dev_check(t, addr, size, 2), "and after a sync what is there now");
	cpu_fill(buf + 5000, 300, 9);
	dma_sync_single_range_for_device(dev, addr, 5000, 300, DMA_TO_DEVICE);
	vft_check(dev_check(t, addr + 5000, 300, 9) && dev_check(t, addr, 5000, 2),
		  "a part of it");
	dma_unmap_single(dev, addr, size, DMA_TO_DEVICE);

	memset(buf, 0xaa, size);
	addr = dma_map_single(dev, buf, size, DMA_FROM_DEVICE);
	if (!vft_check(!dma_mapping_error(dev, addr), "map from the device"))
		goto out;
	dev_fill(t, addr, size, 21);
	dma_sync_single_for_cpu(dev, addr, size, DMA_FROM_DEVICE);
	vft_check(cpu_check(buf, size, 21), "a sync shows what the device wrote");
	dma_sync_single_for_device(dev, addr, size, DMA_FROM_DEVICE);
	dev_fill(t, addr + 4000, 1000, 22);
	dma_sync_single_range_for_cpu(dev, addr, 4000, 500, DMA_FROM_DEVICE);
	vft_check(cpu_check(buf + 4000, 500, 22) && cpu_check(buf, 4000, 21),
		  "of a part that part");
	dma_unmap_single(dev, addr, size, DMA_FROM_DEVICE);
	vft_check(cpu_check(buf + 4000, 1000, 22), "and unmapping the rest");

	cpu_fill(buf, size, 31);
	addr = dma_map_single(dev, buf, size, DMA_BIDIRECTIONAL);
	if (!vft_check(!dma_mapping_error(dev, addr), "map both ways"))
		goto out;
	vft_check(dev_check(t, addr, size, 31) && dev_fill(t, addr, size, 32), "there");
	dma_sync_single_for_cpu(dev, addr, size, DMA_BIDIRECTIONAL);
	vft_check(cpu_check(buf, size, 32), "and back");
	cpu_fill(buf, size, 33);
	dma_sync_single_for_device(dev, addr, size, DMA_BIDIRECTIONAL);
	vft_check(dev_check(t, addr, size, 33), "and there again");
	dma_unmap_single(dev, addr, size, DMA_BIDIRECTIONAL);
	vft_check(cpu_check(buf, size, 33), "and unmapped");

	memset(buf, 0xaa, size);
	addr = dma_map_single_attrs(dev, buf, size, DMA_FROM_DEVICE, DMA_ATTR_SKIP_CPU_SYNC);
	if (!vft_check(!dma_mapping_error(dev, addr), "map without a sync"))
		goto out;
	dev_fill(t, addr, size, 41);
	dma_sync_single_range_for_cpu(dev, addr, 100, 50, DMA_FROM_DEVICE);
	dma_unmap_single_attrs(dev, addr, size, DMA_FROM_DEVICE, DMA_ATTR_SKIP_CPU_SYNC);
	vft_check(cpu_all(buf, 100, 0xaa) && cpu_all(buf + 150, size - 150, 0xaa) &&
		  buf[100] == TESTDEV_PATTERN(41, 100),
		  "only what was asked for comes back");
out:
	kfree(buf);
}

#define SG_NENTS	24

static void run_sg(struct vft *t)
{
	struct device *dev = &t->pdev->dev;
	struct sg_table table;
	struct scatterlist *sg;
	bool mapped = true, seen = true, written = true, around = true;
	u8 *pages[SG_NENTS] = { };
	int dir, i, n;

	if (sg_alloc_table(&table, SG_NENTS, GFP_KERNEL))
		return;
	for (i = 0; i < SG_NENTS; i++) {
		pages[i] = (u8 *)__get_free_pages(GFP_KERNEL, 1);
		if (!pages[i])
			goto out;
	}
	for (dir = DMA_BIDIRECTIONAL; dir <= DMA_FROM_DEVICE; dir++) {
		for_each_sg(table.sgl, sg, SG_NENTS, i) {
			/* The first and the last byte of the pages too. */
			u32 off = i % 3 ? 37 * i : 0, len = i % 5 ? 4000 + i : 2 * PAGE_SIZE - off;

			memset(pages[i], 0xaa, 2 * PAGE_SIZE);
			if (dir != DMA_FROM_DEVICE)
				cpu_fill(pages[i] + off, len, i);
			sg_set_buf(sg, pages[i] + off, len);
		}
		n = dma_map_sg(dev, table.sgl, SG_NENTS, dir);
		if (n <= 0) {
			mapped = false;
			break;
		}
		/* Entries are not merged here, so each can be looked at. */
		mapped &= n == SG_NENTS;
		for_each_sg(table.sgl, sg, n, i) {
			if (dir == DMA_FROM_DEVICE)
				seen &= dev_hidden(t, sg_dma_address(sg), sg_dma_len(sg));
			else
				seen &= dev_check(t, sg_dma_address(sg), sg_dma_len(sg), i);
			if (dir != DMA_TO_DEVICE)
				written &= dev_fill(t, sg_dma_address(sg), sg_dma_len(sg), 100 + i);
		}
		if (dir == DMA_BIDIRECTIONAL) {
			dma_sync_sg_for_cpu(dev, table.sgl, SG_NENTS, dir);
			for_each_sg(table.sgl, sg, SG_NENTS, i) {
				written &= cpu_check(sg_virt(sg), sg->length, 100 + i);
				cpu_fill(sg_virt(sg), sg->length, 200 + i);
			}
			dma_sync_sg_for_device(dev, table.sgl, SG_NENTS, dir);
			for_each_sg(table.sgl, sg, n, i) {
				seen &= dev_check(t, sg_dma_address(sg), sg_dma_len(sg), 200 + i);
				dev_fill(t, sg_dma_address(sg), sg_dma_len(sg), 100 + i);
			}
		}
		dma_unmap_sg(dev, table.sgl, SG_NENTS, dir);
		for_each_sg(table.sgl, sg, SG_NENTS, i) {
			u32 off = sg->offset, len = sg->length;

			written &= cpu_check(sg_virt(sg), len,
					     dir == DMA_TO_DEVICE ? i : 100 + i);
			around &= cpu_all(pages[i], off, 0xaa) &&
				  cpu_all(pages[i] + off + len, 2 * PAGE_SIZE - off - len, 0xaa);
		}
	}
	vft_check(mapped, "mapped");
	vft_check(seen, "the device sees each entry");
	vft_check(written, "the driver sees what the device wrote");
	vft_check(around, "and nothing around it changed");
	n = dma_map_sgtable(dev, &table, DMA_TO_DEVICE, 0);
	vft_check(!n, "dma_map_sgtable");
	if (!n)
		dma_unmap_sgtable(dev, &table, DMA_TO_DEVICE, 0);

	/* As of a controller that cannot count beyond 64 KiB. */
	dma_set_seg_boundary(dev, SZ_64K - 1);
	n = dma_map_sgtable(dev, &table, DMA_TO_DEVICE, 0);
	mapped = !n;
	if (!n) {
		for_each_sgtable_dma_sg(&table, sg, i)
			mapped &= !((sg_dma_address(sg) ^
				     (sg_dma_address(sg) + sg_dma_len(sg) - 1)) & ~(SZ_64K - 1UL));
		dma_unmap_sgtable(dev, &table, DMA_TO_DEVICE, 0);
	}
	dma_set_seg_boundary(dev, DMA_BIT_MASK(32));
	vft_check(mapped, "no entry crosses the device's boundary");
out:
	for (i = 0; i < SG_NENTS; i++)
		free_pages((unsigned long)pages[i], 1);
	sg_free_table(&table);
}

/* Every mask that a driver may have: refused, or kept to. */
static void run_masks(struct vft *t)
{
	struct device *dev = &t->pdev->dev;
	bool kept = true, works = true, wide = true;
	int bits, first = 0;
	dma_addr_t addr;
	u8 *buf;

	for (bits = 24; bits <= 64; bits++) {
		u64 mask = DMA_BIT_MASK(bits);

		if (dma_set_mask_and_coherent(dev, mask)) {
			wide = false;
			continue;
		}
		if (!first)
			first = bits;
		buf = dma_alloc_coherent(dev, 5000, &addr, GFP_KERNEL);
		if (buf) {
			kept &= addr + 4999 <= mask;
			works &= dev_fill(t, addr, 5000, bits) && cpu_check(buf, 5000, bits);
			dma_free_coherent(dev, 5000, buf, addr);
		}
		works &= !!buf;
		buf = kmalloc(5000, GFP_KERNEL);
		if (!buf)
			return;
		cpu_fill(buf, 5000, bits);
		addr = dma_map_single(dev, buf, 5000, DMA_TO_DEVICE);
		if (dma_mapping_error(dev, addr)) {
			works = false;
		} else {
			kept &= addr + 4999 <= mask;
			works &= dev_check(t, addr, 5000, bits);
			dma_unmap_single(dev, addr, 5000, DMA_TO_DEVICE);
		}
		kfree(buf);
	}
	vft_note("the smallest mask that the device takes is of %d bits, required are %d", first,
		 fls64(dma_get_required_mask(dev)));
	vft_check(wide, "masks from 24 bits on are taken");
	vft_check(works, "each mask that is taken works");
	vft_check(kept, "and no address is beyond it");
	vft_check(!dma_set_mask_and_coherent(dev, DMA_BIT_MASK(64)), "back to 64 bits");
	vft_check(dma_get_required_mask(dev) >= DMA_BIT_MASK(24), "required mask");
	dma_set_min_align_mask(dev, 4095);
	for (bits = 0; bits < 12; bits++) {
		buf = kmalloc(16384, GFP_KERNEL);
		if (!buf)
			return;
		addr = dma_map_single(dev, buf + (1 << bits), 8000, DMA_TO_DEVICE);
		kept &= !dma_mapping_error(dev, addr) &&
			offset_in_page(addr) == offset_in_page(buf + (1 << bits));
		dma_unmap_single(dev, addr, 8000, DMA_TO_DEVICE);
		kfree(buf);
	}
	vft_check(kept, "min_align_mask is kept to");
}

#define EXHAUST_SIZE	SZ_64K

static u32 map_all(struct vft *t, dma_addr_t *addr, u32 max, void *buf)
{
	struct device *dev = &t->pdev->dev;
	u32 n;

	for (n = 0; n < max; n++) {
		addr[n] = dma_map_single_attrs(dev, buf, EXHAUST_SIZE, DMA_TO_DEVICE,
					       DMA_ATTR_NO_WARN);
		if (dma_mapping_error(dev, addr[n]))
			break;
	}
	return n;
}

static void unmap_all(struct vft *t, const dma_addr_t *addr, u32 n)
{
	while (n--)
		dma_unmap_single(&t->pdev->dev, addr[n], EXHAUST_SIZE, DMA_TO_DEVICE);
}

static bool adjacent(dma_addr_t a, dma_addr_t b)
{
	return max(a, b) - min(a, b) <= EXHAUST_SIZE;
}

/* Until nothing is left: an error, no harm to what is mapped, and all of it back afterwards. */
static void run_exhaust(struct vft *t)
{
	struct device *dev = &t->pdev->dev;
	const u32 max = 8192;
	dma_addr_t *addr = kvcalloc(max, sizeof(*addr), GFP_KERNEL), one;
	u32 **virt = kvcalloc(max, sizeof(*virt), GFP_KERNEL);
	u8 *buf = kmalloc(EXHAUST_SIZE, GFP_KERNEL);
	struct scatterlist sg[2];
	u32 i, n, again;
	bool ok = true;

	if (!addr || !virt || !buf)
		goto out;
	cpu_fill(buf, EXHAUST_SIZE, 7);
	n = map_all(t, addr, max, buf);
	vft_note("%u mappings of 64 KiB", n);
	if (!vft_check(n > 16 && n < max, "streaming: an error in the end")) {
		unmap_all(t, addr, n);
		goto out;
	}
	for (i = 0; i < n; i += n / 16 + 1)
		ok &= dev_check(t, addr[i], EXHAUST_SIZE, 7);
	vft_check(ok, "what is mapped is still there");
	sg_init_table(sg, 2);
	sg_set_buf(&sg[0], buf, EXHAUST_SIZE);
	sg_set_buf(&sg[1], buf, EXHAUST_SIZE);
	/* One of the two may fit. */
	n--;
	dma_unmap_single(dev, addr[n], EXHAUST_SIZE, DMA_TO_DEVICE);
	vft_check(dma_map_sg_attrs(dev, sg, 2, DMA_TO_DEVICE, DMA_ATTR_NO_WARN) == 0,
		  "a list of which only one entry fits");
	one = dma_map_single(dev, buf, EXHAUST_SIZE, DMA_TO_DEVICE);
	vft_check(!dma_mapping_error(dev, one), "has left nothing behind");
	if (!dma_mapping_error(dev, one))
		dma_unmap_single(dev, one, EXHAUST_SIZE, DMA_TO_DEVICE);
	/* Room for both, but not in a row. */
	for (i = 0; i < n - 1 && adjacent(addr[i], addr[n]); i++)
		;
	dma_unmap_single(dev, addr[i], EXHAUST_SIZE, DMA_TO_DEVICE);
	addr[i] = addr[--n];
	if (vft_check(dma_map_sg_attrs(dev, sg, 2, DMA_TO_DEVICE, DMA_ATTR_NO_WARN) == 2,
		      "a list whose entries fit only one by one")) {
		vft_check(dev_check(t, sg_dma_address(&sg[0]), EXHAUST_SIZE, 7) &&
			  dev_check(t, sg_dma_address(&sg[1]), EXHAUST_SIZE, 7),
			  "the device sees both");
		dma_unmap_sg(dev, sg, 2, DMA_TO_DEVICE);
	}
	unmap_all(t, addr, n);
	again = map_all(t, addr, max, buf);
	vft_note("%u mappings after all were unmapped", again);
	vft_check(again >= n, "as many again");
	unmap_all(t, addr, again);

	for (n = 0; n < max; n++) {
		virt[n] = dma_alloc_attrs(dev, EXHAUST_SIZE, &addr[n], GFP_KERNEL | __GFP_NOWARN,
					  DMA_ATTR_NO_WARN);
		if (!virt[n])
			break;
		*virt[n] = n;
	}
	vft_note("%u coherent allocations of 64 KiB", n);
	vft_check(n > 8 && n < max, "coherent: an error in the end");
	one = dma_map_single(dev, buf, 4096, DMA_TO_DEVICE);
	vft_check(!dma_mapping_error(dev, one), "mappings still have room");
	if (!dma_mapping_error(dev, one))
		dma_unmap_single(dev, one, 4096, DMA_TO_DEVICE);
	for (i = 0; i < n; i++)
		ok &= *virt[i] == i;
	vft_check(ok, "all of them are distinct");
	for (i = 0; i < n; i++)
		dma_free_coherent(dev, EXHAUST_SIZE, virt[i], addr[i]);
	n = map_all(t, addr, max, buf);
	vft_check(n >= again, "all of it is back");
	unmap_all(t, addr, n);
out:
	kfree(buf);
	kvfree(virt);
	kvfree(addr);
}

static void run_limits(struct vft *t)
{
	struct device *dev = &t->pdev->dev;
	size_t max = dma_max_mapping_size(dev);
	u32 wrong, first, order;
	dma_addr_t addr;
	void *buf;
	bool ok;

	vft_note("max_mapping_size %#zx, opt_mapping_size %#zx", max, dma_opt_mapping_size(dev));
	vft_check(max >= SZ_128K, "max_mapping_size");
	vft_check(dma_opt_mapping_size(dev) <= max, "opt_mapping_size");
	order = min(get_order(max) - 1, 10);
	buf = (void *)__get_free_pages(GFP_KERNEL | __GFP_COMP, order);
	if (buf) {
		size_t size = min_t(size_t, PAGE_SIZE << order, max);

		cpu_fill(buf, size, 5);
		addr = dma_map_single(dev, buf, size, DMA_TO_DEVICE);
		ok = !dma_mapping_error(dev, addr);
		if (ok) {
			ok = dev_check(t, addr, size, 5);
			dma_unmap_single(dev, addr, size, DMA_TO_DEVICE);
		}
		vft_check(ok, "a large mapping");
		free_pages((unsigned long)buf, order);
	}
	/* Registers of another BAR: no memory that the server has; copies of them would be none. */
	addr = dma_map_resource(dev, pci_resource_start(t->pdev, 1), 256, DMA_BIDIRECTIONAL, 0);
	if (dma_mapping_error(dev, addr)) {
		vft_check(t->arg != 1, "dma_map_resource fails");
		/* The kernel's own checks remember it as a mapping all the same. */
		if (IS_ENABLED(CONFIG_DMA_API_DEBUG))
			dma_unmap_resource(dev, addr, 256, DMA_BIDIRECTIONAL, 0);
	} else {
		vft_check(t->arg == 1 && dev_cmd(t, TESTDEV_DMA_CHECK, addr, 256, 0, &wrong,
						 &first) == EFAULT,
			  "dma_map_resource: the server reaches no registers");
		dma_unmap_resource(dev, addr, 256, DMA_BIDIRECTIONAL, 0);
	}
	vft_check(dev_cmd(t, TESTDEV_DMA_CHECK, 0xdead00000000ULL, 4096, 0, &wrong, &first) ==
		  EFAULT, "elsewhere the device reaches nothing");
}

/* Bus mastering is the device's own business: the server sees the bit. */
static void run_master(struct vft *t)
{
	struct device *dev = &t->pdev->dev;
	u32 wrong, first, status;
	dma_addr_t addr;
	void *buf;

	buf = dma_alloc_coherent(dev, 4096, &addr, GFP_KERNEL);
	if (!vft_check(buf, "memory"))
		return;
	pci_clear_master(t->pdev);
	status = dev_cmd(t, TESTDEV_DMA_FILL, addr, 4096, 9, &wrong, &first);
	vft_check(status == EACCES, "without bus mastering the device refuses");
	pci_set_master(t->pdev);
	vft_check(dev_fill(t, addr, 4096, 9) && cpu_check(buf, 4096, 9), "with it, it works");
	dma_free_coherent(dev, 4096, buf, addr);
}

/* ---- many mappings, from several threads ---- */

struct mapper {
	struct vft *t;
	u32 nr;
	u32 rounds;
	bool ok;
	struct completion runs;		/* one that is stopped before it runs never does */
};

#define MAPPER_HELD	16

static int mapper_thread(void *arg)
{
	struct mapper *m = arg;
	struct device *dev = &m->t->pdev->dev;
	dma_addr_t addr[MAPPER_HELD];
	u32 len[MAPPER_HELD], i, j;
	u8 *buf = kmalloc(MAPPER_HELD * 4096, GFP_KERNEL);

	complete(&m->runs);
	m->ok = buf;
	for (i = 0; m->ok && i < m->rounds; i++) {
		for (j = 0; j < MAPPER_HELD; j++) {
			len[j] = 1 + (i * 97 + j * 331 + m->nr * 53) % 4096;
			cpu_fill(buf + j * 4096, len[j], i + j + m->nr);
			addr[j] = dma_map_single(dev, buf + j * 4096, len[j], DMA_BIDIRECTIONAL);
			m->ok &= !dma_mapping_error(dev, addr[j]);
		}
		if (!m->ok)
			break;
		if (i % 16 == 0)
			for (j = 0; j < MAPPER_HELD; j += 5)
				m->ok &= dev_check(m->t, addr[j], len[j], i + j + m->nr);
		for (j = 0; j < MAPPER_HELD; j++) {
			if (m->t->arg != 1)
				memset(buf + j * 4096, 0, len[j]);
			dma_unmap_single(dev, addr[j], len[j], DMA_BIDIRECTIONAL);
			m->ok &= cpu_check(buf + j * 4096, len[j], i + j + m->nr);
		}
	}
	kfree(buf);
	while (!kthread_should_stop())
		schedule_timeout_interruptible(1);
	return 0;
}

static void run_many(struct vft *t)
{
	struct mapper mappers[3];
	struct task_struct *threads[3];
	bool ok = true;
	int i;

	for (i = 0; i < 3; i++) {
		mappers[i] = (struct mapper){ t, i, 200 };
		init_completion(&mappers[i].runs);
		threads[i] = kthread_run(mapper_thread, &mappers[i], "vft_map/%d", i);
	}
	for (i = 0; i < 3; i++) {
		if (IS_ERR(threads[i])) {
			ok = false;
			continue;
		}
		wait_for_completion(&mappers[i].runs);
		kthread_stop(threads[i]);
		ok &= mappers[i].ok;
	}
	vft_check(ok, "9600 mappings from three threads");
}

static void run_pool(struct vft *t)
{
	struct dma_pool *pool = dma_pool_create("vfu_test", &t->pdev->dev, 96, 64, 4096);
	dma_addr_t addr[60];
	u8 *obj[60];
	bool ok = true;
	int i, n;

	if (!vft_check(pool, "dma_pool_create"))
		return;
	for (n = 0; n < ARRAY_SIZE(obj); n++) {
		obj[n] = dma_pool_alloc(pool, GFP_KERNEL, &addr[n]);
		if (!obj[n])
			break;
		cpu_fill(obj[n], 96, n);
		ok &= IS_ALIGNED(addr[n], 64);
	}
	vft_check(n == ARRAY_SIZE(obj) && ok, "60 objects, aligned");
	for (i = 0; i < n; i++)
		ok &= cpu_check(obj[i], 96, i) && (i % 7 || dev_check(t, addr[i], 96, i));
	vft_check(ok, "which do not overlap");
	for (i = 0; i < n; i++)
		dma_pool_free(pool, obj[i], addr[i]);
	dma_pool_destroy(pool);
}

static void run_pages(struct vft *t)
{
	struct device *dev = &t->pdev->dev;
	const u32 size = 20000;
	struct sg_table table;
	struct scatterlist *sg;
	dma_addr_t addr;
	u32 at = 0;
	bool ok;
	u8 *buf;
	int i;

	buf = dma_alloc_noncoherent(dev, size, &addr, DMA_BIDIRECTIONAL, GFP_KERNEL);
	if (vft_check(buf, "dma_alloc_noncoherent")) {
		cpu_fill(buf, size, 3);
		dma_sync_single_for_device(dev, addr, size, DMA_BIDIRECTIONAL);
		ok = dev_check(t, addr, size, 3) && dev_fill(t, addr, size, 4);
		dma_sync_single_for_cpu(dev, addr, size, DMA_BIDIRECTIONAL);
		vft_check(cpu_check(buf, size, 4) && ok, "with syncs");
		dma_free_noncoherent(dev, size, buf, addr, DMA_BIDIRECTIONAL);
	}
	buf = dma_alloc_coherent(dev, size, &addr, GFP_KERNEL);
	if (!buf)
		return;
	cpu_fill(buf, size, 8);
	i = dma_get_sgtable(dev, &table, buf, addr, size);
	ok = !i;
	if (ok) {
		for_each_sg(table.sgl, sg, table.orig_nents, i) {
			u32 len = min(sg->length, size - at);

			ok &= !memcmp(sg_virt(sg), buf + at, len);
			at += len;
		}
		ok &= at == size;
		sg_free_table(&table);
	}
	vft_check(ok, "dma_get_sgtable");
	dma_free_coherent(dev, size, buf, addr);
}

/* ---- passthrough: bus addresses are physical ones ---- */

static void run_passthrough(struct vft *t)
{
	struct device *dev = &t->pdev->dev;
	const u32 order = 10, size = PAGE_SIZE << order;
	u8 *buf = (u8 *)__get_free_pages(GFP_KERNEL | __GFP_COMP, order);
	dma_addr_t addr;
	u8 *coherent;

	if (!vft_check(buf, "4 MiB"))
		return;
	cpu_fill(buf, size, 9);
	addr = dma_map_single(dev, buf + 5, size - 5, DMA_BIDIRECTIONAL);
	vft_check(addr == virt_to_phys(buf + 5), "a bus address is the physical one");
	if (!dma_mapping_error(dev, addr)) {
		cpu_fill(buf + 5, size - 5, 50);
		vft_check(dev_check(t, addr, size - 5, 50), "the device sees it at once");
		dev_fill(t, addr, size - 5, 51);
		vft_check(cpu_check(buf + 5, size - 5, 51), "and the driver what the device writes");
		vft_check(cpu_check(buf, 5, 9), "nothing around it");
		dma_unmap_single(dev, addr, size - 5, DMA_BIDIRECTIONAL);
	}
	free_pages((unsigned long)buf, order);
	coherent = dma_alloc_coherent(dev, PAGE_SIZE, &addr, GFP_KERNEL);
	if (vft_check(coherent, "coherent memory")) {
		vft_check(addr == virt_to_phys(coherent), "at its physical address");
		dma_free_coherent(dev, PAGE_SIZE, coherent, addr);
	}
	/* The module's own text is memory like any other: it is the server's to see. */
	addr = page_to_phys(vmalloc_to_page(run_passthrough)) + offset_in_page(run_passthrough);
	vft_check(dev_do(t, TESTDEV_DMA_READ, addr, 1, TESTDEV_RAM) &&
		  readb(vft_ram(t, 0)) == *(u8 *)run_passthrough, "all memory is there");
}

/* ---- memory for a process ---- */

#define MMAP_SIZE	(3 * PAGE_SIZE)

static void *mmap_buf;
static dma_addr_t mmap_addr;

/**
 * vft_mmap() - mmap() of /dev/vfu_test
 * @t: device
 * @vma: where to
 *
 * Return: 0 or a negative errno.
 */
int vft_mmap(struct vft *t, struct vm_area_struct *vma)
{
	if (!mmap_buf)
		return -ENXIO;
	return dma_mmap_coherent(&t->pdev->dev, vma, mmap_buf, mmap_addr, MMAP_SIZE);
}

static void run_mmap_alloc(struct vft *t)
{
	if (!mmap_buf)
		mmap_buf = dma_alloc_coherent(&t->pdev->dev, MMAP_SIZE, &mmap_addr, GFP_KERNEL);
	vft_check(mmap_buf, "memory for a process");
}

static void run_mmap_check(struct vft *t)
{
	vft_check(mmap_buf && dev_check(t, mmap_addr, MMAP_SIZE, t->arg),
		  "the device sees what the process wrote");
}

static void run_mmap_fill(struct vft *t)
{
	vft_check(mmap_buf && dev_fill(t, mmap_addr, MMAP_SIZE, t->arg), "the device writes it");
}

/**
 * vft_mmap_free() - case: give back what dma-mmap-alloc took
 * @t: device
 */
void vft_mmap_free(struct vft *t)
{
	if (mmap_buf)
		dma_free_coherent(&t->pdev->dev, MMAP_SIZE, mmap_buf, mmap_addr);
	mmap_buf = NULL;
}

/* ---- what is freed stays with its CPU and its size, and is needed elsewhere ---- */

#define PARK_ORDER	5
#define PARK_MAX	254	/* so much the allocator keeps for each CPU and size */

struct park {
	struct page *pages[PARK_MAX];
	dma_addr_t addr[PARK_MAX];
	u32 n;
};

/* Take what there is in pieces of 128 KiB, and give it back. */
static void park(struct vft *t, struct park *p)
{
	u32 i, n;

	for (n = 0; n < p->n; n++) {
		p->addr[n] = dma_map_page_attrs(&t->pdev->dev, p->pages[n], 0,
						PAGE_SIZE << PARK_ORDER, DMA_TO_DEVICE,
						DMA_ATTR_SKIP_CPU_SYNC | DMA_ATTR_NO_WARN);
		if (dma_mapping_error(&t->pdev->dev, p->addr[n]))
			break;
	}
	for (i = 0; i < n; i++)
		dma_unmap_page_attrs(&t->pdev->dev, p->addr[i], PAGE_SIZE << PARK_ORDER,
				     DMA_TO_DEVICE, DMA_ATTR_SKIP_CPU_SYNC);
	vft_note("CPU %u: %u pieces", raw_smp_processor_id(), n);
}

/* One of another size. */
static u64 park_other(struct vft *t, struct park *p, bool *ok)
{
	u64 start = ktime_get_ns();
	dma_addr_t addr = dma_map_page_attrs(&t->pdev->dev, p->pages[0], 0, SZ_64K,
					     DMA_TO_DEVICE, DMA_ATTR_SKIP_CPU_SYNC);
	u64 ns = ktime_get_ns() - start;

	*ok &= !dma_mapping_error(&t->pdev->dev, addr);
	if (*ok)
		dma_unmap_page_attrs(&t->pdev->dev, addr, SZ_64K, DMA_TO_DEVICE,
				     DMA_ATTR_SKIP_CPU_SYNC);
	return ns;
}

static void run_parked(struct vft *t)
{
	struct park *p = kzalloc(sizeof(*p), GFP_KERNEL);
	u64 first, next;
	bool ok = true;
	int cpu;

	if (!p)
		return;
	for (; p->n < PARK_MAX; p->n++) {
		p->pages[p->n] = alloc_pages(GFP_KERNEL | __GFP_NOWARN, PARK_ORDER);
		if (!p->pages[p->n])
			break;
	}
	vft_check(p->n == PARK_MAX, "memory to map");
	for_each_online_cpu(cpu) {
		set_cpus_allowed_ptr(current, cpumask_of(cpu));
		park(t, p);
	}
	first = park_other(t, p, &ok);
	next = park_other(t, p, &ok);
	vft_check(ok, "what CPUs keep of one size is there for another");
	vft_note("figure: %llu us with taking it back from them, %llu us without",
		 first / NSEC_PER_USEC, next / NSEC_PER_USEC);
	set_cpus_allowed_ptr(current, cpu_possible_mask);
	while (p->n--)
		__free_pages(p->pages[p->n], PARK_ORDER);
	kfree(p);
}

const struct vft_case vft_dma_cases[] = {
	{ "dma-coherent", run_coherent },
	{ "dma-streaming", run_streaming },
	{ "dma-waited", run_waited },
	{ "dma-sync", run_sync },
	{ "dma-sg", run_sg },
	{ "dma-masks", run_masks },
	{ "dma-exhaust", run_exhaust },
	{ "dma-limits", run_limits },
	{ "dma-master", run_master },
	{ "dma-many", run_many },
	{ "dma-parked", run_parked },
	{ "dma-pool", run_pool },
	{ "dma-pages", run_pages },
	{ "dma-passthrough", run_passthrough },
	{ "dma-mmap-alloc", run_mmap_alloc },
	{ "dma-mmap-check", run_mmap_check },
	{ "dma-mmap-fill", run_mmap_fill },
	{ "dma-mmap-free", vft_mmap_free },
	{ }
};
