// SPDX-License-Identifier: GPL-2.0-only
/*
 * The DMA pool, and the DMA API on it.
 *
 * A pool is memory of the helper's, pinned and mapped once, which the server
 * has mapped too. It is all that the device can reach: coherent allocations
 * live in it, and streaming mappings are copies in it of the driver's memory.
 * Its bytes have consecutive bus addresses; those are handed out in pages by
 * the kernel's own IOVA allocator.
 *
 * The server may write anything into the pool at any time. So what is mapped
 * where is remembered outside of it, in struct vfu_slot, and a byte of the
 * pool is only ever copied, never looked at, but for this:
 *
 * What a device leaves alone of a buffer that it may write must stay as it was, as with hardware,
 * which writes less where a transfer ends early. But the buffer cannot be copied into the
 * pool to be copied back: what it holds before is anyone's, that of a page that someone freed, and
 * no server's business. So such a mapping is filled with a word of eight random bytes, over and
 * over, which no device knows before, and where that word still is when the mapping ends, the
 * driver's buffer is not touched. A device that means to write this very word is taken for one that
 * did not, once in 2^64 words. It can also read the word and write it on purpose: then it has left
 * the buffer alone. Words that it writes in part come back whole, with random bytes in the
 * rest; and what is mapped before the first aligned word, or after the last, always comes back.
 *
 * A transfer may begin or end with a part of a word, and a single byte is what was there already
 * once in 256 times. So the first word, and those on both sides of one that is written, come back
 * as well: up to eight random bytes behind the end of a transfer, rather than one byte of it lost.
 *
 * Locking: none. Whoever got pages from the IOVA allocator owns their slots
 * until it gives them back, and the allocator's locks order that against the
 * next owner. Unmapping and freeing claim the mapping with an xchg() of
 * vfu_slot.nr first, so that doing it twice is noticed instead of obeyed.
 * Mapping, unmapping and syncing may be done in any context.
 *
 * Lifetime: the pool lives as long as its struct vfu_dev, thus longer than any
 * driver of the device.
 */
#include <linux/dma-mapping.h>
#include <linux/err.h>
#include <linux/io.h>
#include <linux/iova.h>
#include <linux/log2.h>
#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/random.h>
#include <linux/scatterlist.h>
#include <linux/sched/clock.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/vmalloc.h>

#include "bridge.h"
#include "compat.h"
#include "device.h"
#include "dma.h"
#include "pinned.h"
#include "trace.h"

#define VFU_POOL_MIN		SZ_1M
#define VFU_POOL_MAX		(64ULL * SZ_1G)

/*
 * Added to what the IOVA allocator sees as page numbers. Below 4 GiB it takes
 * one failure for a reason to refuse everything of that size until something
 * is freed, even if the next caller's mask reaches further.
 */
#define VFU_PFN_BIAS		BIT_ULL(52)

/* The largest size that the IOVA allocator's per-CPU caches serve. */
#define VFU_OPT_MAPPING		(PAGE_SIZE << 5)

/**
 * struct vfu_slot - what a page of the pool is used for
 * @pfn: the driver's page that this one stands for
 * @nr: in the first page of a mapping or allocation its number of pages, else 0
 * @start: first byte of the page that is mapped
 * @end: last such byte + 1; 0 in pages that are free or of an allocation
 * @before: the page before is of the same buffer
 * @after: the page after it is
 * @fill: what its words hold that the device has not written; 0: all comes back
 *
 * The offset within the page is the same in both pages, hence one page of the
 * pool never stands for parts of two.
 */
struct vfu_slot {
	unsigned long pfn;
	u32 nr;
	u16 start;
	u16 end;
	bool before;
	bool after;
	u64 fill;
};

/**
 * struct vfu_pool - the memory which the device can reach
 * @pinned: its pages
 * @vaddr: where they are mapped, all of them, in order
 * @iova: bus address of its first byte
 * @size: bytes
 * @iovad: hands out its pages
 * @slots: one for each page
 * @coherent: pages used by allocations
 */
struct vfu_pool {
	struct vfu_pinned pinned;
	void *vaddr;
	u64 iova;
	u64 size;
	struct iova_domain iovad;
	struct vfu_slot *slots;
	atomic_long_t coherent;
};

static u64 vfu_pool_last(const struct vfu_pool *pool)
{
	return pool->iova + pool->size - 1;
}

/**
 * vfu_pool_create() - make a range of the caller's memory a DMA pool
 * @uaddr: first byte, in the address space of the current process; page aligned
 * @size: bytes, whole pages, 1 MiB to 64 GiB
 * @iova: bus address of the first byte, page aligned
 *
 * Nobody but the server may have use for the memory any more: the pool is not
 * cleared, but everything handed out of it is overwritten first.
 *
 * Context: the process whose memory it is. Sleeps.
 * Return: the pool, or an ERR_PTR():
 * -EOPNOTSUPP: this kernel has no per-device DMA operations;
 * -EINVAL: not whole pages, or the bus addresses wrap around;
 * -ERANGE: too small or too large;
 * or an error of vfu_pin() or of the IOVA allocator.
 */
struct vfu_pool *vfu_pool_create(u64 uaddr, u64 size, u64 iova)
{
	struct vfu_pool *pool;
	u64 end;
	int ret;

	if (!vfu_have_dma_ops())
		return ERR_PTR(-EOPNOTSUPP);
	if (!PAGE_ALIGNED(size) || !PAGE_ALIGNED(iova) ||
	    check_add_overflow(iova, size, &end))
		return ERR_PTR(-EINVAL);
	if (size < VFU_POOL_MIN || size > VFU_POOL_MAX)
		return ERR_PTR(-ERANGE);

	pool = kzalloc(sizeof(*pool), GFP_KERNEL_ACCOUNT);
	if (!pool)
		return ERR_PTR(-ENOMEM);
	pool->iova = iova;
	pool->size = size;

	ret = vfu_pin(&pool->pinned, uaddr, size);
	if (ret)
		goto err_free;

	ret = -ENOMEM;
	pool->vaddr = vmap(pool->pinned.pages, pool->pinned.nr, VM_MAP, PAGE_KERNEL);
	if (!pool->vaddr)
		goto err_unpin;
	pool->slots = kvcalloc(pool->pinned.nr, sizeof(*pool->slots),
			       GFP_KERNEL_ACCOUNT);
	if (!pool->slots)
		goto err_vunmap;

	ret = iova_cache_get();
	if (ret)
		goto err_slots;
	/* Some drivers take the bus address 0 for none. */
	init_iova_domain(&pool->iovad, PAGE_SIZE,
			 VFU_PFN_BIAS + max(iova >> PAGE_SHIFT, 1ULL));
	ret = iova_domain_init_rcaches(&pool->iovad);
	if (ret)
		goto err_iova_cache;

	return pool;

err_iova_cache:
	iova_cache_put();
err_slots:
	kvfree(pool->slots);
err_vunmap:
	vunmap(pool->vaddr);
err_unpin:
	vfu_unpin(&pool->pinned);
err_free:
	kfree(pool);
	return ERR_PTR(ret);
}

/**
 * vfu_pool_destroy() - give a pool's memory back
 * @pool: the pool, or NULL; no device uses it any more
 *
 * Context: any process or worker. Sleeps.
 */
void vfu_pool_destroy(struct vfu_pool *pool)
{
	unsigned long i, leaked = 0;

	if (!pool)
		return;

	for (i = 0; i < pool->pinned.nr; i++)
		leaked += !!pool->slots[i].nr;
	if (leaked)
		pr_warn("vfiouser: a driver left %lu DMA mappings behind\n", leaked);

	put_iova_domain(&pool->iovad);
	iova_cache_put();
	kvfree(pool->slots);
	vunmap(pool->vaddr);
	vfu_unpin(&pool->pinned);
	kfree(pool);
}

/**
 * vfu_pool_is_of() - is a pool a mapping of a file?
 * @pool: the pool
 * @file: any file
 *
 * Context: any.
 * Return: true if its first and its last page are pages of it.
 */
bool vfu_pool_is_of(const struct vfu_pool *pool, const struct file *file)
{
	struct page *const *pages = pool->pinned.pages;

	return page_folio(pages[0])->mapping == file->f_mapping &&
	       page_folio(pages[pool->pinned.nr - 1])->mapping == file->f_mapping;
}

/**
 * vfu_pool_info() - what can be told about a pool
 * @pool: the pool, or NULL
 * @iova: bus address of its first byte
 * @size: bytes, 0 without a pool
 * @coherent: of these, in use by allocations
 *
 * Context: any.
 */
void vfu_pool_info(const struct vfu_pool *pool, u64 *iova, u64 *size, u64 *coherent)
{
	*iova = pool ? pool->iova : 0;
	*size = pool ? pool->size : 0;
	*coherent = pool ? (u64)atomic_long_read(&pool->coherent) << PAGE_SHIFT : 0;
}

/* The device's pool; NULL where it was created without one. */
static struct vfu_pool *vfu_dma_pool(struct device *dev, struct vfu_dev **vdev)
{
	*vdev = vfu_dev_of_pci(to_pci_dev(dev));

	return *vdev ? (*vdev)->pool : NULL;
}

/* Page of the pool that @size bytes at @addr begin in, or -1 if not in it. */
static long vfu_pool_index(const struct vfu_pool *pool, dma_addr_t addr, u64 size)
{
	u64 offset = addr - pool->iova;

	if (addr < pool->iova || offset >= pool->size || size > pool->size - offset)
		return -1;

	return offset >> PAGE_SHIFT;
}

/*
 * Take @nr pages of bus addresses from 0 to @mask; the allocator aligns them to
 * their size. Returns the index of the first or -ENOMEM.
 */
static long vfu_pool_alloc(struct vfu_dev *vdev, struct vfu_pool *pool,
			   struct device *dev, unsigned long nr, u64 mask, bool warn)
{
	u64 last = min3(vfu_pool_last(pool), mask,
			dev->bus_dma_limit ?: U64_MAX);
	unsigned long end = VFU_PFN_BIAS + ((last + 1) >> PAGE_SHIFT), pfn = 0;

	if (end > pool->iovad.start_pfn)
		pfn = alloc_iova_fast(&pool->iovad, nr, end - 1, true);
	if (pfn)
		return pfn - VFU_PFN_BIAS - (pool->iova >> PAGE_SHIFT);

	vfu_count(vdev, VFU_STAT_DMA_FULL, 1);
	if (warn)
		dev_warn_ratelimited(dev,
				     "no room for %lu pages below %#llx in the DMA pool of %llu MiB: make the pool larger\n",
				     nr, last, pool->size / SZ_1M);
	return -ENOMEM;
}

static void vfu_pool_free(struct vfu_pool *pool, long index, u32 nr)
{
	free_iova_fast(&pool->iovad,
		       VFU_PFN_BIAS + (pool->iova >> PAGE_SHIFT) + index, nr);
}

/**
 * vfu_dma_poke() - write a byte as the device would, into memory that a driver has mapped
 * @vdev: device with a pool
 * @phys: where the driver's memory begins
 * @size: bytes of it
 * @val: for the last byte of it that is mapped, but not as a part of what is mapped from @phys on
 *
 * Context: any; what is mapped there is not unmapped meanwhile.
 */
void vfu_dma_poke(struct vfu_dev *vdev, phys_addr_t phys, size_t size, u8 val)
{
	struct vfu_pool *pool = vdev->pool;
	unsigned long i, last = pool->pinned.nr;
	phys_addr_t start, end, found = 0;

	for (i = 0; i < pool->pinned.nr; i++) {
		const struct vfu_slot *slot = &pool->slots[i];

		start = PFN_PHYS(slot->pfn) + slot->start;
		end = PFN_PHYS(slot->pfn) + slot->end;
		if (start < end && start > phys && end <= phys + size && end > found) {
			found = end;
			last = i;
		}
	}
	if (last < pool->pinned.nr)
		((u8 *)pool->vaddr)[(last << PAGE_SHIFT) + pool->slots[last].end - 1] = val;
}

/**
 * vfu_dma_answer() - write to all buffers of a size as the device would
 * @vdev: device with a pool
 * @data: to be written
 * @size: bytes of it, and of the buffers
 *
 * Those that the device only reads are written to as well; nobody looks at them any more.
 *
 * Context: any; what is mapped there is not unmapped meanwhile.
 */
void vfu_dma_answer(struct vfu_dev *vdev, const void *data, size_t size)
{
	struct vfu_pool *pool = vdev->pool;
	const struct vfu_slot *slot;
	unsigned long i, k, nr;
	size_t len, done;

	for (i = 0; i < pool->pinned.nr; i++) {
		slot = &pool->slots[i];
		nr = min_t(unsigned long, READ_ONCE(slot->nr), pool->pinned.nr - i);
		for (k = 0, len = 0; k < nr; k++)
			len += slot[k].end - slot[k].start;
		if (len != size)
			continue;
		for (k = 0, done = 0; k < nr; k++) {
			memcpy(pool->vaddr + ((i + k) << PAGE_SHIFT) + slot[k].start, data + done,
			       slot[k].end - slot[k].start);
			done += slot[k].end - slot[k].start;
		}
	}
}

/**
 * vfu_dma_vaddr() - where the kernel sees what a driver has told its device of
 * @vdev: device
 * @addr: bus address
 * @size: bytes
 *
 * Context: any; what is mapped there is not unmapped meanwhile.
 * Return: the address; NULL if it is not of the pool, or there is none.
 */
void *vfu_dma_vaddr(struct vfu_dev *vdev, dma_addr_t addr, size_t size)
{
	struct vfu_pool *pool = vdev->pool;

	if (!pool || vfu_pool_index(pool, addr, size) < 0)
		return NULL;
	return pool->vaddr + (addr - pool->iova);
}

/* Streaming mappings */

/* Most are whole pages, which the CPU has faster ways for than memcpy() and memset() know. */
static void vfu_copy(void *to, void *from, size_t size)
{
	if (size == PAGE_SIZE)
		copy_page(to, from);
	else
		memcpy(to, from, size);
}

/* Words of a page's part from @start to @end: from which byte on, up to which. */
static size_t vfu_words(size_t start, size_t end, size_t *last)
{
	size_t first = ALIGN(start, sizeof(u64));

	*last = max(first, ALIGN_DOWN(end, sizeof(u64)));
	return first;
}

/* What the device may write, of a page of the pool. */
static void vfu_prefill(void *page, const struct vfu_slot *slot)
{
	size_t last, first = vfu_words(slot->start, slot->end, &last);

	if (first > slot->end) {
		memset(page + slot->start, 0, slot->end - slot->start);
		return;
	}
	memset(page + slot->start, 0, first - slot->start);
	memset64(page + first, slot->fill, (last - first) / sizeof(u64));
	memset(page + last, 0, slot->end - last);
}

/* Has the device left a word alone, out of those from @first to @last? */
static bool vfu_unwritten(const void *page, size_t first, size_t last, u64 fill)
{
	const u64 *word = page + first, *end = page + last;
	bool found = false;

	for (; !found && end - word >= 8; word += 8)
		found = (word[0] == fill) | (word[1] == fill) | (word[2] == fill) |
			(word[3] == fill) | (word[4] == fill) | (word[5] == fill) |
			(word[6] == fill) | (word[7] == fill);
	for (; !found && word < end; word++)
		found = *word == fill;
	return found;
}

static bool vfu_is_fill(const void *word, u64 fill)
{
	return READ_ONCE(*(const u64 *)word) == fill;
}

/*
 * Has the device left the word at @at of a page alone, out of those from @first to @last? It may
 * have written a part of one beside a word that it did write, see the top of this file.
 */
static bool vfu_left_alone(const void *page, const struct vfu_slot *slot, size_t at, size_t first,
			   size_t last)
{
	const void *word = page + at;

	if (at < first || at >= last || !vfu_is_fill(word, slot->fill))
		return false;
	if (at == first && !slot->before)
		return false;
	if (!vfu_is_fill(word - sizeof(u64), slot->fill))
		return false;
	/* what is left of the buffer's last page may be less than a word */
	return (at + sizeof(u64) == last && (!slot->after || slot[1].end < sizeof(u64))) ||
	       vfu_is_fill(word + sizeof(u64), slot->fill);
}

/*
 * Copy from a page of the pool to the one it stands for what the device has written of the bytes
 * from @from to @to. Whatever it changes meanwhile is what it writes.
 */
static void vfu_take(void *orig, const void *page, const struct vfu_slot *slot, size_t from,
		     size_t to)
{
	size_t last, first = vfu_words(slot->start, slot->end, &last);
	size_t at, next, word;

	if (!slot->fill || !vfu_unwritten(page, max(first, ALIGN_DOWN(from, sizeof(u64))),
					  min(last, ALIGN(to, sizeof(u64))), slot->fill)) {
		vfu_copy(orig + from, (void *)page + from, to - from);
		return;
	}
	for (at = from; at < to; at = next) {
		word = ALIGN_DOWN(at, sizeof(u64));
		next = min(to, word + sizeof(u64));
		if (vfu_left_alone(page, slot, word, first, last))
			continue;
		memcpy(orig + at, page + at, next - at);
	}
}

/*
 * Copy between the pool and the memory it stands for, as far as @addr to
 * @addr + @size is mapped. The range is within the pool.
 */
static void vfu_bounce(struct vfu_dev *vdev, struct vfu_pool *pool,
		       dma_addr_t addr, size_t size, bool to_pool)
{
	u64 offset = addr - pool->iova;
	u64 last = offset + size;
	size_t copied = 0;

	while (offset < last) {
		const struct vfu_slot *slot = &pool->slots[offset >> PAGE_SHIFT];
		u64 page = offset & PAGE_MASK;
		u64 from = max(offset, page + slot->start);
		u64 to = min(last, page + slot->end);

		if (from < to) {
			void *orig = phys_to_virt(PFN_PHYS(slot->pfn));

			if (to_pool)
				vfu_copy(pool->vaddr + from, orig + from - page, to - from);
			else
				vfu_take(orig, pool->vaddr + page, slot, from - page, to - page);
			copied += to - from;
		}
		offset = page + PAGE_SIZE;
	}
	vfu_count(vdev, VFU_STAT_DMA_BYTES, copied);
}

/*
 * 0 if all of it may be mapped; -EINVAL: not by this device; -EREMOTEIO: it is not memory with a
 * kernel mapping.
 */
static int vfu_check_phys(struct device *dev, phys_addr_t phys, size_t size, unsigned long attrs)
{
	unsigned long pfn = PHYS_PFN(phys);
	unsigned long last = PHYS_PFN(phys + size - 1);

	if (phys & dma_get_min_align_mask(dev) & PAGE_MASK) {
		dev_err_ratelimited(dev, "DMA alignment beyond a page is not supported\n");
		return -EINVAL;
	}
	if (attrs & DMA_ATTR_MMIO)
		return -EREMOTEIO;
	if (!pfn_valid(pfn) || (last != pfn && !pfn_valid(last)))
		return -EREMOTEIO;
	if (is_pci_p2pdma_page(pfn_to_page(pfn)))
		return -EREMOTEIO;

	return 0;
}

/*
 * Let the pages from @index on stand for @size bytes at @phys, and return the address of the first
 * byte. The caller owns the pages.
 *
 * They are filled whatever the direction and DMA_ATTR_SKIP_CPU_SYNC, or what an earlier mapping
 * left in the pool would be seen by the device, or come back where it writes less than it may. See
 * the top of this file for what it only writes.
 */
static dma_addr_t vfu_fill(struct vfu_dev *vdev, struct vfu_pool *pool, long index,
			   phys_addr_t phys, size_t size, enum dma_data_direction dir)
{
	dma_addr_t addr = pool->iova + ((u64)index << PAGE_SHIFT) + offset_in_page(phys);
	struct vfu_slot *slot = &pool->slots[index];
	unsigned long pfn = PHYS_PFN(phys);
	size_t start = offset_in_page(phys), left = size;
	void *page = pool->vaddr + ((u64)index << PAGE_SHIFT);
	u64 fill = dir == DMA_FROM_DEVICE ? get_random_u64() ?: 1 : 0;

	for (; left; slot++, start = 0) {
		slot->pfn = pfn++;
		slot->start = start;
		slot->end = min_t(size_t, PAGE_SIZE, start + left);
		slot->before = left != size;
		slot->fill = fill;
		left -= slot->end - start;
		slot->after = left;
		if (fill)
			vfu_prefill(page, slot);
		page += PAGE_SIZE;
	}
	if (dir != DMA_FROM_DEVICE)
		vfu_bounce(vdev, pool, addr, size, true);

	return addr;
}

/* The pages from @index on are one mapping now. */
static void vfu_mapped(struct vfu_dev *vdev, struct vfu_pool *pool, long index, u32 nr,
		       dma_addr_t addr, size_t size, u64 start,
		       enum dma_data_direction dir, unsigned long attrs)
{
	WRITE_ONCE(pool->slots[index].nr, nr);
	if (dir != DMA_FROM_DEVICE)
		this_cpu_inc(vdev->stats->to_device);
	vfu_count(vdev, VFU_STAT_DMA_MAPS, 1);
	vfu_account(vdev, VFIOUSER_PATH_DMA_MAP, local_clock() - start, size);
	trace_vfiouser_dma_map(vdev->id, addr, size, dir, attrs);
}

/*
 * Map @size bytes at @phys. -EINVAL: not to be mapped at all; -EREMOTEIO: not
 * memory; -ENOMEM: no room now.
 */
static int vfu_map(struct device *dev, phys_addr_t phys, size_t size,
		   enum dma_data_direction dir, unsigned long attrs, dma_addr_t *addr)
{
	unsigned long nr = PFN_UP(offset_in_page(phys) + size);
	struct vfu_dev *vdev;
	struct vfu_pool *pool = vfu_dma_pool(dev, &vdev);
	u64 start = local_clock();
	long index;
	int ret;

	if (!pool || !size || size > pool->size)
		return -EINVAL;
	ret = vfu_check_phys(dev, phys, size, attrs);
	if (ret)
		return ret;
	index = vfu_pool_alloc(vdev, pool, dev, nr, dma_get_mask(dev),
			       !(attrs & DMA_ATTR_NO_WARN));
	if (index < 0)
		return index;

	*addr = vfu_fill(vdev, pool, index, phys, size, dir);
	vfu_mapped(vdev, pool, index, nr, *addr, size, start, dir, attrs);
	return 0;
}

static dma_addr_t vfu_map_phys(struct device *dev, phys_addr_t phys, size_t size,
			       enum dma_data_direction dir, unsigned long attrs)
{
	dma_addr_t addr;

	return vfu_map(dev, phys, size, dir, attrs, &addr) ? DMA_MAPPING_ERROR : addr;
}

VFU_DEFINE_MAP_PAGE(vfu_map_phys)

/*
 * Undo a mapping, all of it, and return the first bus address after its pages; @addr if nothing is
 * mapped there.
 */
static dma_addr_t vfu_unmap(struct device *dev, dma_addr_t addr, size_t size,
			    enum dma_data_direction dir, unsigned long attrs)
{
	struct vfu_dev *vdev;
	struct vfu_pool *pool = vfu_dma_pool(dev, &vdev);
	u64 start = local_clock();
	struct vfu_slot *slot;
	dma_addr_t end;
	long index = -1;
	u32 i, nr = 0;

	if (pool)
		index = vfu_pool_index(pool, addr, size);
	if (index >= 0) {
		slot = &pool->slots[index];
		if (slot->end && slot->start == offset_in_page(addr))
			nr = xchg(&slot->nr, 0);
	}
	if (!nr) {
		dev_err_ratelimited(dev, "driver unmaps %pad + %#zx, which is not mapped\n",
				    &addr, size);
		return addr;
	}

	end = pool->iova + ((u64)(index + nr) << PAGE_SHIFT);
	if (!(attrs & DMA_ATTR_SKIP_CPU_SYNC) && dir != DMA_TO_DEVICE)
		vfu_bounce(vdev, pool, addr, end - addr, false);

	for (i = 0, size = 0; i < nr; i++)
		size += slot[i].end - slot[i].start;
	memset(slot, 0, nr * sizeof(*slot));
	vfu_pool_free(pool, index, nr);
	if (dir != DMA_FROM_DEVICE)
		this_cpu_dec(vdev->stats->to_device);
	vfu_account(vdev, VFIOUSER_PATH_DMA_UNMAP, local_clock() - start, size);
	trace_vfiouser_dma_unmap(vdev->id, addr, size, dir, attrs);
	return end;
}

static void vfu_unmap_phys(struct device *dev, dma_addr_t addr, size_t size,
			   enum dma_data_direction dir, unsigned long attrs)
{
	vfu_unmap(dev, addr, size, dir, attrs);
}

static void vfu_sync(struct device *dev, dma_addr_t addr, size_t size, bool to_pool)
{
	struct vfu_dev *vdev;
	struct vfu_pool *pool = vfu_dma_pool(dev, &vdev);
	u64 start = local_clock();

	if (!pool || vfu_pool_index(pool, addr, size) < 0) {
		dev_err_ratelimited(dev, "driver syncs %pad + %#zx, which is not mapped\n",
				    &addr, size);
		return;
	}
	vfu_bounce(vdev, pool, addr, size, to_pool);
	vfu_account(vdev, VFIOUSER_PATH_DMA_SYNC, local_clock() - start, size);
	trace_vfiouser_dma_sync(vdev->id, addr, size,
				to_pool ? DMA_TO_DEVICE : DMA_FROM_DEVICE, 0UL);
}

static void vfu_sync_single_for_cpu(struct device *dev, dma_addr_t addr,
				    size_t size, enum dma_data_direction dir)
{
	if (dir != DMA_TO_DEVICE)
		vfu_sync(dev, addr, size, false);
}

static void vfu_sync_single_for_device(struct device *dev, dma_addr_t addr,
				       size_t size, enum dma_data_direction dir)
{
	if (dir != DMA_FROM_DEVICE)
		vfu_sync(dev, addr, size, true);
}

static void vfu_unmap_sg(struct device *dev, struct scatterlist *sgl, int nents,
			 enum dma_data_direction dir, unsigned long attrs)
{
	dma_addr_t first = 0, end = 0;
	struct scatterlist *sg;
	int i;

	for_each_sg(sgl, sg, nents, i) {
		/* It was mapped together with one before. */
		if (sg_dma_address(sg) >= first && sg_dma_address(sg) < end)
			continue;
		first = sg_dma_address(sg);
		end = vfu_unmap(dev, first, sg_dma_len(sg), dir, attrs);
	}
}

static unsigned long vfu_sg_pages(const struct scatterlist *sg)
{
	return PFN_UP(offset_in_page(sg->offset) + sg->length);
}

/*
 * Map as many entries from @sgl on as make a mapping of up to @max pages, but at least one. Returns
 * their number, or an error as vfu_map().
 */
static int vfu_map_some(struct device *dev, struct scatterlist *sgl, int nents, unsigned long max,
			enum dma_data_direction dir, unsigned long attrs)
{
	unsigned long n, nr = 0, done = 0;
	struct vfu_dev *vdev;
	struct vfu_pool *pool = vfu_dma_pool(dev, &vdev);
	u64 start = local_clock();
	struct scatterlist *sg;
	size_t size = 0;
	int i, ret, count = 0;
	long index;

	if (!pool)
		return -EINVAL;
	for_each_sg(sgl, sg, nents, i) {
		n = vfu_sg_pages(sg);
		if (count && nr + n > max)
			break;
		if (!sg->length || sg->length > pool->size)
			return -EINVAL;
		ret = vfu_check_phys(dev, sg_phys(sg), sg->length, attrs);
		if (ret)
			return ret;
		nr += n;
		size += sg->length;
		count++;
	}
	index = vfu_pool_alloc(vdev, pool, dev, nr, dma_get_mask(dev),
			       count == 1 && !(attrs & DMA_ATTR_NO_WARN));
	if (index < 0)
		return index;

	for_each_sg(sgl, sg, count, i) {
		sg_dma_address(sg) = vfu_fill(vdev, pool, index + done, sg_phys(sg), sg->length,
					      dir);
		sg_dma_len(sg) = sg->length;
		done += vfu_sg_pages(sg);
	}
	vfu_mapped(vdev, pool, index, nr, sg_dma_address(sgl), size, start, dir, attrs);
	return count;
}

/*
 * The entries of a request are mapped together, as far as the IOVA allocator's per-CPU caches
 * serve: its work and ours is for a mapping, not for a page.
 */
static int vfu_map_sg(struct device *dev, struct scatterlist *sgl, int nents,
		      enum dma_data_direction dir, unsigned long attrs)
{
	/* Aligned to its size, what is no larger does not cross the device's boundary. */
	unsigned long max = min(VFU_OPT_MAPPING >> PAGE_SHIFT,
				dma_get_seg_boundary_nr_pages(dev, PAGE_SHIFT));
	struct scatterlist *sg = sgl;
	int ret, mapped = 0;

	while (mapped < nents) {
		ret = vfu_map_some(dev, sg, nents - mapped, max, dir, attrs);
		if (ret == -ENOMEM && max > 1) {
			/* Crowded: there may be room for one at a time. */
			max = 1;
			continue;
		}
		if (ret < 0) {
			vfu_unmap_sg(dev, sgl, mapped, dir, attrs | DMA_ATTR_SKIP_CPU_SYNC);
			return ret;
		}
		for (mapped += ret; ret; ret--)
			sg = sg_next(sg);
	}

	return nents;
}

static void vfu_sync_sg_for_cpu(struct device *dev, struct scatterlist *sgl,
				int nents, enum dma_data_direction dir)
{
	struct scatterlist *sg;
	int i;

	for_each_sg(sgl, sg, nents, i)
		vfu_sync_single_for_cpu(dev, sg_dma_address(sg), sg_dma_len(sg), dir);
}

static void vfu_sync_sg_for_device(struct device *dev, struct scatterlist *sgl,
				   int nents, enum dma_data_direction dir)
{
	struct scatterlist *sg;
	int i;

	for_each_sg(sgl, sg, nents, i)
		vfu_sync_single_for_device(dev, sg_dma_address(sg), sg_dma_len(sg),
					   dir);
}

/* Coherent allocations */

static void *vfu_alloc(struct device *dev, size_t size, dma_addr_t *handle,
		       gfp_t gfp, unsigned long attrs)
{
	unsigned long nr = PFN_UP(size);
	struct vfu_dev *vdev;
	struct vfu_pool *pool = vfu_dma_pool(dev, &vdev);
	bool warn = !(gfp & __GFP_NOWARN) && !(attrs & DMA_ATTR_NO_WARN);
	void *vaddr;
	long index;

	if (!pool || !size || size > pool->size)
		return NULL;

	/*
	 * No more than half the pool, or a driver that takes what it can get
	 * (NVMe's host memory buffer) leaves nothing to map its requests with.
	 */
	if (atomic_long_add_return(nr, &pool->coherent) > pool->pinned.nr / 2) {
		vfu_count(vdev, VFU_STAT_DMA_FULL, 1);
		if (warn)
			dev_warn_ratelimited(dev,
					     "no %lu more pages for coherent memory, half of the DMA pool of %llu MiB: make the pool larger\n",
					     nr, pool->size / SZ_1M);
		goto err;
	}
	index = vfu_pool_alloc(vdev, pool, dev, nr, dev->coherent_dma_mask, warn);
	if (index < 0)
		goto err;

	vaddr = pool->vaddr + ((size_t)index << PAGE_SHIFT);
	memset(vaddr, 0, (size_t)nr << PAGE_SHIFT);
	WRITE_ONCE(pool->slots[index].nr, nr);
	*handle = pool->iova + ((u64)index << PAGE_SHIFT);
	trace_vfiouser_dma_alloc(vdev->id, *handle, size, DMA_BIDIRECTIONAL, attrs);
	return vaddr;

err:
	atomic_long_sub(nr, &pool->coherent);
	return NULL;
}

/* First page of the allocation at @handle if it has @size bytes, or -1. */
static long vfu_alloc_index(const struct vfu_pool *pool, dma_addr_t handle, size_t size)
{
	const struct vfu_slot *slot;
	long index = vfu_pool_index(pool, handle, size);

	if (index < 0 || offset_in_page(handle))
		return -1;

	slot = &pool->slots[index];
	return !slot->end && slot->nr && PFN_UP(size) == slot->nr ? index : -1;
}

static void vfu_free(struct device *dev, size_t size, void *vaddr,
		     dma_addr_t handle, unsigned long attrs)
{
	struct vfu_dev *vdev;
	struct vfu_pool *pool = vfu_dma_pool(dev, &vdev);
	long index = pool ? vfu_alloc_index(pool, handle, size) : -1;
	u32 nr = 0;

	if (index >= 0)
		nr = xchg(&pool->slots[index].nr, 0);
	if (!nr) {
		dev_err_ratelimited(dev, "driver frees %pad + %#zx, which is not allocated\n",
				    &handle, size);
		return;
	}

	vfu_pool_free(pool, index, nr);
	atomic_long_sub(nr, &pool->coherent);
	trace_vfiouser_dma_free(vdev->id, handle, size, DMA_BIDIRECTIONAL, attrs);
}

/*
 * The pages need not be contiguous for the CPU, but a user mapping of them
 * is only allowed as one of raw page frames: they have an owner already.
 */
static int vfu_mmap(struct device *dev, struct vm_area_struct *vma, void *vaddr,
		    dma_addr_t handle, size_t size, unsigned long attrs)
{
	unsigned long i, nr = vma_pages(vma), first = vma->vm_pgoff;
	struct vfu_dev *vdev;
	struct vfu_pool *pool = vfu_dma_pool(dev, &vdev);
	long index = pool ? vfu_alloc_index(pool, handle, size) : -1;
	int ret;

	if (index < 0 || first >= PFN_UP(size) || nr > PFN_UP(size) - first)
		return -ENXIO;

	for (i = 0; i < nr; i++) {
		ret = remap_pfn_range(vma, vma->vm_start + (i << PAGE_SHIFT),
				      page_to_pfn(pool->pinned.pages[index + first + i]),
				      PAGE_SIZE, vma->vm_page_prot);
		if (ret)
			return ret;
	}

	return 0;
}

static int vfu_get_sgtable(struct device *dev, struct sg_table *sgt, void *vaddr,
			   dma_addr_t handle, size_t size, unsigned long attrs)
{
	struct vfu_dev *vdev;
	struct vfu_pool *pool = vfu_dma_pool(dev, &vdev);
	long index = pool ? vfu_alloc_index(pool, handle, size) : -1;

	if (index < 0)
		return -ENXIO;

	return sg_alloc_table_from_pages(sgt, pool->pinned.pages + index, PFN_UP(size),
					 0, size, GFP_KERNEL);
}

/*
 * dma_alloc_pages(): the caller wants a struct page, contiguous for the CPU
 * too, and syncs. So it gets pages of the kernel's own, mapped.
 */
static struct page *vfu_alloc_pages(struct device *dev, size_t size,
				    dma_addr_t *handle,
				    enum dma_data_direction dir, gfp_t gfp)
{
	int order = get_order(size);
	struct page *page;

	page = alloc_pages_node(dev_to_node(dev), gfp | __GFP_ZERO | __GFP_NOWARN,
				order);
	if (!page)
		return NULL;
	if (vfu_map(dev, page_to_phys(page), size, dir, 0, handle)) {
		__free_pages(page, order);
		return NULL;
	}

	return page;
}

static void vfu_free_pages(struct device *dev, size_t size, struct page *page,
			   dma_addr_t handle, enum dma_data_direction dir)
{
	vfu_unmap_phys(dev, handle, size, dir, DMA_ATTR_SKIP_CPU_SYNC);
	__free_pages(page, get_order(size));
}

/* What drivers ask beforehand */

static int vfu_dma_supported(struct device *dev, u64 mask)
{
	struct vfu_dev *vdev;
	struct vfu_pool *pool = vfu_dma_pool(dev, &vdev);

	if (!pool) {
		dev_warn(dev, "no DMA: the device was created without a pool\n");
		return 0;
	}
	if (mask < pool->iova + VFU_POOL_MIN - 1) {
		dev_warn(dev, "no DMA: driver reaches %#llx, the pool is at %#llx: move it down\n",
			 mask, pool->iova);
		return 0;
	}
	if (mask < vfu_pool_last(pool))
		dev_warn(dev, "driver reaches %#llx only of the DMA pool at %#llx..%#llx: move it down\n",
			 mask, pool->iova, vfu_pool_last(pool));

	return 1;
}

static u64 vfu_get_required_mask(struct device *dev)
{
	struct vfu_dev *vdev;
	struct vfu_pool *pool = vfu_dma_pool(dev, &vdev);

	return pool ? DMA_BIT_MASK(fls64(vfu_pool_last(pool))) : DMA_BIT_MASK(32);
}

/*
 * A sixteenth of the pool, so that it never holds up all others; less a page,
 * as a buffer need not begin on one and its alignment is that of its size.
 */
static size_t vfu_max_mapping_size(struct device *dev)
{
	struct vfu_dev *vdev;
	struct vfu_pool *pool = vfu_dma_pool(dev, &vdev);

	return pool ? rounddown_pow_of_two(pool->size) / 16 - PAGE_SIZE : 0;
}

static size_t vfu_opt_mapping_size(void)
{
	return VFU_OPT_MAPPING;
}

static const struct dma_map_ops vfu_dma_ops = {
	.alloc			= vfu_alloc,
	.free			= vfu_free,
	.alloc_pages_op		= vfu_alloc_pages,
	.free_pages		= vfu_free_pages,
	.mmap			= vfu_mmap,
	.get_sgtable		= vfu_get_sgtable,
	VFU_MAP_PHYS_OPS(vfu_map_phys, vfu_unmap_phys),
	.map_sg			= vfu_map_sg,
	.unmap_sg		= vfu_unmap_sg,
	.sync_single_for_cpu	= vfu_sync_single_for_cpu,
	.sync_single_for_device	= vfu_sync_single_for_device,
	.sync_sg_for_cpu	= vfu_sync_sg_for_cpu,
	.sync_sg_for_device	= vfu_sync_sg_for_device,
	.dma_supported		= vfu_dma_supported,
	.get_required_mask	= vfu_get_required_mask,
	.max_mapping_size	= vfu_max_mapping_size,
	.opt_mapping_size	= vfu_opt_mapping_size,
};

/**
 * vfu_dma_setup() - make a device do its DMA in the pool, or everywhere
 * @vdev: our side of it
 * @dev: a PCI function of ours, added to its bus but without a driver yet: an
 *	IOMMU takes hold of devices when they are added, and would undo it
 *
 * Where an IOMMU did take hold of the device, which its PCI domain must have
 * prevented, the kernel would not ask us. Its drivers then get addresses that
 * the server does not know, and fail; nothing else is put at risk. A caller
 * that rather refuses the device asks use_dma_iommu() before.
 *
 * With passthrough, bus addresses are physical ones: that is what a device without
 * operations of its own gets from the kernel.
 *
 * Context: process.
 */
void vfu_dma_setup(struct vfu_dev *vdev, struct device *dev)
{
	if (use_dma_iommu(dev)) {
		dev_err(dev, "DMA will fail, an IOMMU claims the device: boot with iommu=pt\n");
		return;
	}
	if (vdev->ram) {
		dev_warn(dev, "passthrough DMA: the server of this device can read and write all memory of this host\n");
		return;
	}

	set_dma_ops(dev, &vfu_dma_ops);
}
