// SPDX-License-Identifier: GPL-2.0-only
/*
 * Areas: what drivers get from ioremap() for a BAR of ours, and what becomes of
 * their accesses.
 *
 * An area is kernel address space whose pages are not present, but for those
 * which the server lets drivers reach directly: these get the server's own pages.
 * An access to the others faults and is emulated, instruction by instruction,
 * against the region behind it; which region that is the BARs decide at the time
 * of the access.
 *
 * The server's pages come and go with the server: a device that is offline has none,
 * and vfu_mmio_update() then makes the areas follow.
 *
 * Locking: the tree of areas has its own; a fault looks up under RCU and then
 * holds a reference. vfu_areas_lock (mutex) protects the page table entries of areas.
 * The pages themselves stay while anyone is inside of vfu_enter() and vfu_leave().
 * Lifetime: an area lives from ioremap() to iounmap() and holds a reference to its device,
 * even beyond the device's removal; its accesses then read all-ones.
 */
#include <linux/io.h>
#include <linux/maple_tree.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/sched/clock.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>
#include <asm/ptrace.h>

#include "arch.h"
#include "bars.h"
#include "bridge.h"
#include "compat.h"
#include "config.h"
#include "device.h"
#include "ioeventfd.h"
#include "irq.h"
#include "mmio.h"
#include "recover.h"
#include "ring.h"
#include "trace.h"
#include "virtio.h"
#include "window.h"

/*
 * Behind an area lies nothing of others for so long: reads there are all-ones, writes go nowhere.
 * The kernel's fixups, which no driver has to be there for, believe that a device is as large as its
 * IDs promise: of Intel's graphics they write at 0x4400c and read at 0xd0100, of an xHCI controller
 * they follow a list that begins up to 256 KiB behind the start.
 */
#define VFU_AREA_TAIL	SZ_1M

struct vfu_area {
	struct kref ref;
	struct rcu_head rcu;
	struct vfu_dev *vdev;
	phys_addr_t phys;	/* page-aligned, of @virt */
	unsigned long virt;
	unsigned long size;
	bool direct;		/* the server's pages are there, or have been; vfu_areas_lock */
};

static struct maple_tree vfu_areas = MTREE_INIT(vfu_areas, MT_FLAGS_USE_RCU);
static DEFINE_MUTEX(vfu_areas_lock);

static void vfu_area_release(struct kref *ref)
{
	struct vfu_area *area = container_of(ref, struct vfu_area, ref);

	vfu_dev_put(area->vdev);
	kfree_rcu(area, rcu);
}

static struct vfu_area *vfu_area_get(unsigned long addr)
{
	struct vfu_area *area;

	rcu_read_lock();
	area = mtree_load(&vfu_areas, addr);
	if (area && !kref_get_unless_zero(&area->ref))
		area = NULL;
	rcu_read_unlock();
	return area;
}

static void vfu_area_put(struct vfu_area *area)
{
	kref_put(&area->ref, vfu_area_release);
}

/**
 * vfu_mmio_owns() - does a kernel address lie in an area?
 * @addr: kernel virtual address
 *
 * Context: any.
 * Return: true if it does.
 */
bool vfu_mmio_owns(unsigned long addr)
{
	return mtree_load(&vfu_areas, addr);
}

/* ---- direct pages ---- */

/* The page behind a page-aligned offset of a region, or NULL if it traps. */
static struct page *vfu_direct_page(struct vfu_dev *vdev, u32 region, u64 offset)
{
	struct vfu_region *r = &vdev->regions[region];
	u32 i;

	if (vfu_dev_offline(vdev) || vfu_msix_page(vdev, region, offset) ||
	    vfu_virtio_page(vdev, region, offset))
		return NULL;
	for (i = 0; i < r->nr_direct; i++) {
		u64 nr = (offset - r->direct[i].offset) >> PAGE_SHIFT;

		if (offset >= r->direct[i].offset && nr < r->direct[i].pinned.nr)
			return r->direct[i].pinned.pages[nr];
	}
	return NULL;
}

static bool vfu_offers_pages(const struct vfu_dev *vdev)
{
	int i;

	for (i = 0; i < VFU_NR_BARS; i++)
		if (vdev->regions[i].nr_direct)
			return true;
	return false;
}

/* The same by CPU address; only whole pages of one BAR can be direct. */
static struct page *vfu_phys_page(struct vfu_dev *vdev, phys_addr_t phys)
{
	u64 offset;
	int region;

	/* First, since after a panic nobody gives a lock back. */
	if (vfu_dev_offline(vdev))
		return NULL;
	region = vfu_config_resolve(vdev, phys, &offset);
	return region >= 0 && PAGE_ALIGNED(offset) ? vfu_direct_page(vdev, region, offset) : NULL;
}

/* Put the server's pages where the area has them. */
static void vfu_area_direct(struct vfu_area *area)
{
	unsigned long at;

	/* A large BAR has millions of pages, and most devices none to put there. */
	if (!area->direct && !vfu_offers_pages(area->vdev))
		return;
	area->direct = true;
	for (at = 0; at < area->size; at += PAGE_SIZE) {
		cond_resched();
		WARN_ON_ONCE(!vfu_arch_set_page(area->virt + at,
						vfu_phys_page(area->vdev, area->phys + at)));
	}
}

/**
 * vfu_mmio_update() - map the server's pages where drivers have them, or take them out
 * @vdev: device, just gone offline or back online
 *
 * Afterwards no CPU reaches other pages than those which the device has now.
 *
 * Context: may sleep.
 */
void vfu_mmio_update(struct vfu_dev *vdev)
{
	struct vfu_area *area;
	unsigned long index = 0;

	mutex_lock(&vfu_areas_lock);
	mt_for_each(&vfu_areas, area, index, ULONG_MAX)
		if (area->vdev == vdev)
			vfu_area_direct(area);
	mutex_unlock(&vfu_areas_lock);
	vfu_arch_flush();
}

/* ---- ioremap() and iounmap() ---- */

/*
 * It takes a 256th of its size in memory, and of so much vmap() refuses what is larger than all
 * memory only when half of it is there.
 */
static void *vfu_area_space(unsigned long pages)
{
	struct page **dummy;
	unsigned long i;
	void *virt;

	if (pages > totalram_pages())
		return NULL;
	dummy = kvmalloc_array(pages, sizeof(*dummy),
			       GFP_KERNEL_ACCOUNT | __GFP_NOWARN | __GFP_NORETRY);
	if (!dummy)
		return NULL;
	for (i = 0; i < pages; i++)
		dummy[i] = ZERO_PAGE(0);
	/*
	 * PAGE_NONE: address space with page tables, and nothing in it. VM_IOREMAP, as of any
	 * registers: who reads the kernel's memory as a whole (/proc/kcore) passes it over.
	 */
	virt = vmap(dummy, pages, VM_IOREMAP, PAGE_NONE);
	kvfree(dummy);
	return virt;
}

/**
 * vfu_mmio_map() - ioremap() of an address in a window
 * @phys: CPU physical address
 * @size: bytes
 *
 * Context: may sleep.
 * Return: the mapping, or NULL.
 */
void __iomem *vfu_mmio_map(phys_addr_t phys, size_t size)
{
	unsigned long in_page = offset_in_page(phys);
	struct vfu_area *area;
	struct vfu_dev *vdev;
	unsigned int noio;
	int idx, err;

	if (!size || size > SIZE_MAX / 2)
		return NULL;
	rcu_read_lock();
	vdev = vfu_window_find(phys);
	if (vdev && !kref_get_unless_zero(&vdev->ref))
		vdev = NULL;
	rcu_read_unlock();
	if (!vdev)
		return NULL;
	/* Its neighbours in the window are other devices, which have not asked for this. */
	if (!vfu_bars_contain(vdev, phys, size)) {
		dev_warn_ratelimited(vdev->dev, "a mapping of %#zx bytes at %pa leaves its BAR: refused\n",
				     size, &phys);
		goto err_dev;
	}

	area = kzalloc(sizeof(*area), GFP_KERNEL_ACCOUNT);
	if (!area)
		goto err_dev;
	kref_init(&area->ref);
	area->vdev = vdev;
	area->phys = phys - in_page;
	area->size = PAGE_ALIGN(size + in_page);
	area->virt = (unsigned long)vfu_area_space((area->size + VFU_AREA_TAIL) >> PAGE_SHIFT);
	if (!area->virt)
		goto err_area;
	/* A recovery waits for both, and memory may have to be written to the device that it is for. */
	noio = memalloc_noio_save();
	mutex_lock(&vfu_areas_lock);
	/* Nothing was present: no other CPU can hold it in its TLB. */
	idx = vfu_enter(vdev);
	vfu_area_direct(area);
	vfu_leave(vdev, idx);
	err = mtree_store_range(&vfu_areas, area->virt, area->virt + area->size + VFU_AREA_TAIL - 1,
				area, GFP_KERNEL);
	mutex_unlock(&vfu_areas_lock);
	memalloc_noio_restore(noio);
	if (err)
		goto err_virt;
	return (void __iomem *)(area->virt + in_page);

err_virt:
	vunmap((void *)area->virt);
err_area:
	kfree(area);
err_dev:
	vfu_dev_put(vdev);
	return NULL;
}

/**
 * vfu_mmio_unmap() - iounmap() of an area
 * @addr: what vfu_mmio_map() returned
 *
 * Context: may sleep.
 * Return: false if @addr is not ours.
 */
bool vfu_mmio_unmap(void __iomem *addr)
{
	unsigned long virt = (unsigned long)addr & PAGE_MASK;
	struct vfu_area *area = mtree_load(&vfu_areas, virt);

	if (!area || area->virt != virt)
		return false;
	mutex_lock(&vfu_areas_lock);
	mtree_erase(&vfu_areas, virt);
	mutex_unlock(&vfu_areas_lock);
	vunmap((void *)virt);
	vfu_area_put(area);
	return true;
}

/**
 * vfu_mmio_user_map() - mmap() of a BAR by a process, as sysfs offers it
 * @pdev: PCI device of ours
 * @bar: resource number
 * @vma: where to; vm_pgoff counts pages of the BAR
 *
 * The pages stay those of this server until the process unmaps them, also if the device
 * is recovered with another one.
 *
 * Context: may sleep, mmap lock held.
 * Return: 0 where all of it is direct; -EINVAL where a page would trap, since a
 * process cannot be emulated.
 */
int vfu_mmio_user_map(struct pci_dev *pdev, int bar, struct vm_area_struct *vma)
{
	struct vfu_dev *vdev = vfu_dev_of_pci(pdev);
	u64 offset = (u64)vma->vm_pgoff << PAGE_SHIFT;
	unsigned long addr;
	unsigned int noio;
	int err = 0, idx;

	if (bar >= VFU_NR_BARS || vfu_dev_offline(vdev))
		return -EINVAL;
	/* As in vfu_mmio_map(). */
	noio = memalloc_noio_save();
	idx = vfu_enter(vdev);
	for (addr = vma->vm_start; addr < vma->vm_end; addr += PAGE_SIZE)
		if (!vfu_direct_page(vdev, bar, offset + addr - vma->vm_start))
			err = -EINVAL;
	for (addr = vma->vm_start; !err && addr < vma->vm_end; addr += PAGE_SIZE) {
		struct page *page = vfu_direct_page(vdev, bar, offset + addr - vma->vm_start);

		/* Gone, if the device has frozen meanwhile. */
		err = page ? vm_insert_page(vma, addr, page) : -EINVAL;
	}
	vfu_leave(vdev, idx);
	memalloc_noio_restore(noio);
	return err;
}

/* ---- accesses ---- */

/* Where an access goes: -ENXIO for nowhere. */
static int vfu_phys_region(struct vfu_dev *vdev, phys_addr_t phys, u32 count, u32 flag,
			   u64 *offset)
{
	int region;

	if (vfu_dev_offline(vdev) || !vfu_config_decodes(vdev))
		return -ENXIO;
	region = vfu_config_resolve(vdev, phys, offset);
	if (region >= 0 && (*offset + count > vdev->regions[region].size ||
			    !(vdev->regions[region].flags & flag)))
		return -ENXIO;
	return region;
}

static void vfu_phys_read(struct vfu_dev *vdev, phys_addr_t phys, void *data, u32 count)
{
	u64 offset;
	int region = vfu_phys_region(vdev, phys, count, VFIO_REGION_INFO_FLAG_READ, &offset);

	if (region < 0)
		vfu_config_gone(vdev, phys, data, count);
	else if (vfu_msix_hit(vdev, region, offset, count))
		vfu_msix_read(vdev, offset, data, count);
	else if (!vfu_region_read(vdev, region, offset, data, count))
		vfu_virtio_read(vdev, region, offset, data, count);
}

static void vfu_phys_write(struct vfu_dev *vdev, phys_addr_t phys, const void *data, u32 count,
			   bool burst)
{
	u64 offset;
	int region = vfu_phys_region(vdev, phys, count, VFIO_REGION_INFO_FLAG_WRITE, &offset);
	u8 copy[VFIOUSER_DATA_MAX];

	if (region < 0)
		return;
	if (vdev->cfg.virtio.modern && region == vdev->cfg.virtio.bir) {
		memcpy(copy, data, count);
		vfu_virtio_write(vdev, region, offset, copy, count);
		data = copy;
	}
	if (vfu_msix_hit(vdev, region, offset, count))
		vfu_msix_write(vdev, offset, data, count);
	else if (!vfu_ioeventfd_write(vdev, region, offset, data, count))
		vfu_region_write(vdev, region, offset, data, count, burst);
}

/* Do all of these bytes belong to the area, and not to what lies behind it? */
static bool vfu_area_has(const struct vfu_area *area, unsigned long addr, u32 count)
{
	unsigned long offset = addr - area->virt;

	return offset < area->size && count <= area->size - offset;
}

static void vfu_area_beyond(const struct vfu_area *area, unsigned long addr, const void *ip)
{
	if (!in_nmi())
		dev_warn_ratelimited(area->vdev->dev,
				     "%pS goes beyond the end of a mapping, to %#lx of %#lx: nothing is there\n",
				     ip, addr - area->virt, area->size);
}

static u32 vfu_page_left(unsigned long addr, u32 count)
{
	return min_t(unsigned long, count, PAGE_SIZE - offset_in_page(addr));
}

/*
 * An access that touches a direct page is split at the page boundary; one
 * between trapped pages goes out whole, as the CPU made it.
 */
static bool vfu_access_direct(struct vfu_dev *vdev, phys_addr_t phys, u32 count)
{
	return vfu_phys_page(vdev, phys & PAGE_MASK) ||
	       (vfu_page_left(phys, count) < count &&
		vfu_phys_page(vdev, (phys + count - 1) & PAGE_MASK));
}

static void vfu_area_read(struct vfu_area *area, unsigned long addr, void *data, u32 count)
{
	phys_addr_t phys = area->phys + (addr - area->virt);
	struct page *page;
	u32 n;

	if (likely(!vfu_access_direct(area->vdev, phys, count))) {
		vfu_phys_read(area->vdev, phys, data, count);
		return;
	}
	for (; count; count -= n, phys += n, data += n) {
		n = vfu_page_left(phys, count);
		page = vfu_phys_page(area->vdev, phys & PAGE_MASK);
		if (page)
			memcpy(data, page_address(page) + offset_in_page(phys), n);
		else
			vfu_phys_read(area->vdev, phys, data, n);
	}
}

static void vfu_area_write(struct vfu_area *area, unsigned long addr, const void *data, u32 count,
			   bool burst)
{
	phys_addr_t phys = area->phys + (addr - area->virt);
	struct page *page;
	u32 n;

	if (likely(!vfu_access_direct(area->vdev, phys, count))) {
		vfu_phys_write(area->vdev, phys, data, count, burst);
		return;
	}
	for (; count; count -= n, phys += n, data += n) {
		n = vfu_page_left(phys, count);
		page = vfu_phys_page(area->vdev, phys & PAGE_MASK);
		if (page)
			memcpy(page_address(page) + offset_in_page(phys), data, n);
		else
			vfu_phys_write(area->vdev, phys, data, n, burst);
	}
}

/* For whoever watches: what the driver's instruction did. */
static noinline void vfu_area_trace(struct vfu_area *area, const void *ip, bool write,
				    unsigned long addr, const void *data, u32 count, u64 start)
{
	u64 offset = 0;
	int region = vfu_config_resolve(area->vdev, area->phys + (addr - area->virt), &offset);

	trace_vfiouser_trap(area->vdev->id, (unsigned long)ip, write, region, offset, data, count,
			    local_clock() - start);
}

/**
 * struct vfu_origin - the instruction that accesses memory
 * @ip: its address
 * @burst: a repeated one, whose writes are waited for together
 * @user: its other operand may be a process's memory
 * @user_failed: which was not there
 */
struct vfu_origin {
	void *ip;
	bool burst;
	bool user;
	bool user_failed;
};

/*
 * The other operand: ordinary memory of the kernel, or, in copy_to_user() and copy_from_user(), of
 * a process. That may have to be fetched first, if whoever was interrupted can wait for it.
 */
static bool vfu_origin_user(const struct vfu_origin *origin, u64 addr)
{
	return origin->user && addr < TASK_SIZE_MAX;
}

static bool vfu_user_may_wait(void)
{
	return vfu_may_sleep() && !pagefault_disabled();
}

static int vfu_other_read(struct vfu_origin *origin, u64 addr, void *buf, unsigned int len)
{
	const void __user *from = (const void __user *)(unsigned long)addr;

	if (!vfu_origin_user(origin, addr))
		return copy_from_kernel_nofault(buf, (void *)addr, len);
	origin->user_failed = vfu_user_may_wait() ? copy_from_user(buf, from, len) :
						    copy_from_user_nofault(buf, from, len);
	return origin->user_failed ? -EFAULT : 0;
}

static int vfu_other_write(struct vfu_origin *origin, u64 addr, const void *buf, unsigned int len)
{
	void __user *to = (void __user *)(unsigned long)addr;

	if (!vfu_origin_user(origin, addr))
		return vfu_compat_copy_to_kernel((void *)addr, buf, len);
	origin->user_failed = vfu_user_may_wait() ? copy_to_user(to, buf, len) :
						    copy_to_user_nofault(to, buf, len);
	return origin->user_failed ? -EFAULT : 0;
}

/*
 * The emulator's memory: areas, which may be two devices', or other memory. @opaque:
 * struct vfu_origin. In an NMI nothing that takes a lock is looked at: it may have stopped whoever
 * holds it.
 */
static int vfu_mem_read(void *opaque, u64 addr, void *buf, unsigned int len)
{
	struct vfu_origin *origin = opaque;
	u64 start = trace_vfiouser_trap_enabled() ? local_clock() : 0;
	struct vfu_area *area = vfu_area_get(addr);
	int idx;

	if (!area)
		return vfu_other_read(origin, addr, buf, len);
	if (in_nmi() || !vfu_area_has(area, addr, len)) {
		memset(buf, 0xff, len);
		vfu_area_beyond(area, addr, origin->ip);
	} else {
		idx = vfu_enter(area->vdev);
		vfu_area_read(area, addr, buf, len);
		vfu_leave(area->vdev, idx);
	}
	if (unlikely(start) && !in_nmi())
		vfu_area_trace(area, origin->ip, false, addr, buf, len, start);
	vfu_area_put(area);
	return 0;
}

static int vfu_mem_write(void *opaque, u64 addr, const void *buf, unsigned int len)
{
	struct vfu_origin *origin = opaque;
	u64 start = trace_vfiouser_trap_enabled() ? local_clock() : 0;
	struct vfu_area *area = vfu_area_get(addr);
	int idx;

	if (!area)
		return vfu_other_write(origin, addr, buf, len);
	if (!in_nmi() && vfu_area_has(area, addr, len)) {
		idx = vfu_enter(area->vdev);
		vfu_area_write(area, addr, buf, len, origin->burst);
		vfu_leave(area->vdev, idx);
	} else {
		vfu_area_beyond(area, addr, origin->ip);
	}
	if (unlikely(start) && !in_nmi())
		vfu_area_trace(area, origin->ip, true, addr, buf, len, start);
	vfu_area_put(area);
	return 0;
}

static const struct vfu_mem_ops vfu_mem_ops = {
	.read	= vfu_mem_read,
	.write	= vfu_mem_write,
};

/* ---- faults ---- */

/* Interrupts are as they are for whoever was interrupted; he may sleep, and so may we. */
static int vfu_fault_emulate(struct vfu_area *area, const struct vfu_arch_insn *insn,
			     struct pt_regs *regs, struct vfu_origin *origin)
{
	bool stays = vfu_arch_text_stays(instruction_pointer(regs));
	int err, idx;

	/* As a reader of RCU one does not sleep. */
	if (!stays)
		rcu_read_lock();
	err = vfu_arch_emulate(insn, regs, &vfu_mem_ops, origin);
	if (origin->burst && !in_nmi()) {
		idx = vfu_enter(area->vdev);
		vfu_region_settle(area->vdev);
		vfu_leave(area->vdev, idx);
	}
	if (!stays)
		rcu_read_unlock();
	return err;
}

/**
 * vfu_mmio_fault() - emulate the instruction that faulted on an area
 * @regs: of the fault
 * @addr: address it faulted on
 *
 * Context: page fault of the kernel, interrupts off; what the interrupted
 * context had on is turned on in between, and interrupts where only we have them off
 * (vfu_irq_may_pause()).
 * Return: true if it was emulated and @regs are behind it, or it has to be executed again; false
 * leaves the fault to the kernel: what the exception table says, or an oops, as without us.
 */
bool vfu_mmio_fault(struct pt_regs *regs, unsigned long addr)
{
	unsigned long ip = instruction_pointer(regs);
	struct vfu_area *area = vfu_area_get(addr);
	bool irqs_on = vfu_arch_fault_irqs(regs), paused = false;
	struct vfu_origin origin = { .ip = (void *)ip, .user = vfu_arch_fault_user(regs) };
	struct vfu_arch_insn insn;
	int err;

	if (!area)
		return false;
	vfu_count(area->vdev, VFU_STAT_TRAPS, 1);
	err = vfu_arch_decode(&insn, regs);
	if (!err) {
		origin.burst = insn.repeated;
		vfu_arch_text_hold(&insn, ip);
		if (irqs_on) {
			local_irq_enable();
		} else if (vfu_irq_may_pause(area->vdev)) {
			paused = true;
			vfu_irq_pause();
		}
		err = vfu_fault_emulate(area, &insn, regs, &origin);
		if (irqs_on || paused)
			local_irq_disable();
		vfu_arch_text_release(&insn, ip);
	}
	if (err && err != -EAGAIN && !origin.user_failed)
		pr_err_ratelimited("vfiouser_pci: %s: cannot emulate %*ph at %pS (error %d)\n",
				   area->vdev->name, (int)insn.len, insn.bytes, (void *)ip, err);
	vfu_area_put(area);
	return !err || err == -EAGAIN;
}
