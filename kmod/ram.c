// SPDX-License-Identifier: GPL-2.0-only
/*
 * Passthrough DMA: all memory of the host, given to one server.
 *
 * The memory is a file of its own, whose offsets are physical addresses, which are
 * the device's bus addresses too. Nothing but mmap() works on it, so that a server
 * which gets it gets nothing of the channel. Pages come in on fault, each with the
 * cache attributes that the kernel's own mapping of it has.
 *
 * Drivers then use the kernel's direct mapping of DMA, as for any device that no
 * IOMMU stands in front of; see vfu_dma_setup().
 *
 * When the channel closes or the device is lost, drivers get back memory that the
 * server may still be writing to. So its access is cut before: all its pages are
 * taken away, and what it touches from then on is one page of nobody's.
 *
 * Memory that comes or goes would not be in the server's map, or be in it for
 * ever: hotplug of memory is refused while such a file exists.
 *
 * Locking: vfu_ram.lock orders faults against vfu_ram_cut(): a fault that did not
 * see the cut has put its pages in before the cut takes all away.
 * Lifetime: held by the channel, by its device, and by the file; a mapping holds the
 * file, and the file holds the module.
 */
#include <linux/anon_inodes.h>
#include <linux/capability.h>
#include <linux/cc_platform.h>
#include <linux/dma-map-ops.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/huge_mm.h>
#include <linux/ioport.h>
#include <linux/memory.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/rwsem.h>
#include <linux/security.h>
#include <linux/slab.h>

#include "compat.h"
#include "ram.h"

#define VFU_RAM_MAX	4096	/* ranges of memory */

static bool vfu_allow_passthrough;
module_param_named(allow_passthrough, vfu_allow_passthrough, bool, 0444);
MODULE_PARM_DESC(allow_passthrough,
		 "let servers that are trusted reach all memory of the host by DMA (default: no)");

/* How many there are; memory hotplug is refused while there are any. */
static atomic_t vfu_ram_files = ATOMIC_INIT(0);

/**
 * struct vfu_ram - the host's memory, as one server has it
 * @ref: see above
 * @mapping: all mappings of the file
 * @lock: see above
 * @cut: the server's access has ended
 * @nobody: what it sees then
 * @nr: how many @ranges
 * @ranges: of memory, in ascending order, whole pages
 */
struct vfu_ram {
	struct kref ref;
	struct address_space mapping;
	struct rw_semaphore lock;	/* see above */
	bool cut;
	struct page *nobody;
	u32 nr;
	struct vfiouser_ram_range ranges[];
};

static void vfu_ram_release(struct kref *ref)
{
	struct vfu_ram *ram = container_of(ref, struct vfu_ram, ref);

	atomic_dec(&vfu_ram_files);
	__free_page(ram->nobody);
	kvfree(ram);
}

/**
 * vfu_ram_get() - take a reference
 * @ram: memory
 */
void vfu_ram_get(struct vfu_ram *ram)
{
	kref_get(&ram->ref);
}

/**
 * vfu_ram_put() - drop a reference
 * @ram: memory, or NULL
 *
 * Context: may sleep.
 */
void vfu_ram_put(struct vfu_ram *ram)
{
	if (ram)
		kref_put(&ram->ref, vfu_ram_release);
}

/**
 * vfu_ram_cut() - end the server's access
 * @ram: memory, or NULL
 *
 * What the server writes from now on goes nowhere.
 *
 * Context: may sleep. Further calls have no effect.
 */
void vfu_ram_cut(struct vfu_ram *ram)
{
	if (!ram)
		return;
	down_write(&ram->lock);
	ram->cut = true;
	up_write(&ram->lock);
	unmap_mapping_range(&ram->mapping, 0, 0, 1);
}

/* ---- the file ---- */

/* Is it all in one range? */
static bool vfu_ram_contains(const struct vfu_ram *ram, u64 start, u64 size)
{
	u32 i;

	for (i = 0; i < ram->nr; i++)
		if (start >= ram->ranges[i].start &&
		    start - ram->ranges[i].start < ram->ranges[i].size)
			return size <= ram->ranges[i].size - (start - ram->ranges[i].start);
	return false;
}

static vm_fault_t vfu_ram_insert(struct vm_area_struct *vma, unsigned long addr)
{
	unsigned long pfn = vma->vm_pgoff + ((addr - vma->vm_start) >> PAGE_SHIFT);

	if (PageHWPoison(pfn_to_page(pfn)))
		return VM_FAULT_HWPOISON;
	return vmf_insert_pfn(vma, addr, pfn);
}

/* All pages around are put in at once: the server will want them soon. */
static vm_fault_t vfu_ram_fault(struct vm_fault *vmf)
{
	struct vm_area_struct *vma = vmf->vma;
	struct vfu_ram *ram = vma->vm_private_data;
	unsigned long addr = vmf->address & PAGE_MASK;
	unsigned long at = max(vma->vm_start, addr & PMD_MASK);
	unsigned long last = min(vma->vm_end - 1, addr | ~PMD_MASK);
	vm_fault_t ret;

	down_read(&ram->lock);
	if (ram->cut) {
		ret = vmf_insert_pfn(vma, addr, page_to_pfn(ram->nobody));
	} else {
		ret = vfu_ram_insert(vma, addr);
		for (; ret == VM_FAULT_NOPAGE && at < last; at += PAGE_SIZE)
			vfu_ram_insert(vma, at);
	}
	up_read(&ram->lock);
	return ret;
}

static const struct vm_operations_struct vfu_ram_vm_ops = {
	.fault	= vfu_ram_fault,
};

static int vfu_ram_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct vfu_ram *ram = file->private_data;

	if (!(vma->vm_flags & VM_SHARED) || (vma->vm_flags & VM_EXEC))
		return -EINVAL;
	if (!vfu_ram_contains(ram, (u64)vma->vm_pgoff << PAGE_SHIFT,
			      vma->vm_end - vma->vm_start))
		return -ENXIO;
	vm_flags_clear(vma, VM_MAYEXEC);
	/* A crash of the server must not write all memory to its core file. */
	vm_flags_set(vma, VM_IO | VM_PFNMAP | VM_DONTEXPAND | VM_DONTDUMP);
	vma->vm_private_data = ram;
	vma->vm_ops = &vfu_ram_vm_ops;
	return 0;
}

static int vfu_ram_file_release(struct inode *inode, struct file *file)
{
	vfu_ram_put(file->private_data);
	return 0;
}

static const struct file_operations vfu_ram_fops = {
	.owner			= THIS_MODULE,
	.mmap			= vfu_ram_mmap,
	.release		= vfu_ram_file_release,
	/* Servers want addresses aligned to 2 MiB where the memory is. */
	.get_unmapped_area	= thp_get_unmapped_area,
};

/**
 * vfu_ram_file() - the file for the server
 * @ram: memory
 *
 * Context: may sleep.
 * Return: the file, or an ERR_PTR.
 */
struct file *vfu_ram_file(struct vfu_ram *ram)
{
	struct file *file;

	file = anon_inode_getfile("[vfiouser-ram]", &vfu_ram_fops, ram, O_RDWR);
	if (IS_ERR(file))
		return file;
	vfu_ram_get(ram);
	/* Its own, so that its mappings can be found. */
	ram->mapping.host = file_inode(file);
	file->f_mapping = &ram->mapping;
	return file;
}

/* ---- what there is ---- */

static int vfu_ram_walk(struct resource *res, void *arg)
{
	u64 start = PAGE_ALIGN(res->start), end = (res->end + 1) & PAGE_MASK;
	struct vfu_ram *ram = arg;
	struct vfiouser_ram_range *last = ram->ranges + ram->nr - 1;

	/* It may come in pieces that are neighbours: one range for the server. */
	if (start >= end)
		return 0;
	if (ram->nr && last->start + last->size == start) {
		last->size += end - start;
		return 0;
	}
	if (ram->nr == VFU_RAM_MAX)
		return -E2BIG;
	ram->ranges[ram->nr++] = (struct vfiouser_ram_range) {
		.start = start,
		.size = end - start,
	};
	return 0;
}

/* May the caller have it, and would it work? What is wrong goes to the log. */
static int vfu_ram_allowed(struct device *dev)
{
	if (!vfu_allow_passthrough) {
		pr_err("vfiouser_pci: no passthrough DMA: the module was loaded without allow_passthrough=1\n");
		return -EACCES;
	}
	if (!capable(CAP_SYS_RAWIO) || security_locked_down(LOCKDOWN_DEV_MEM)) {
		pr_err("vfiouser_pci: no passthrough DMA: it needs CAP_SYS_RAWIO and a kernel that is not locked down\n");
		return -EPERM;
	}
	if (cc_platform_has(CC_ATTR_MEM_ENCRYPT)) {
		pr_err("vfiouser_pci: no passthrough DMA: this machine's memory is encrypted\n");
		return -EOPNOTSUPP;
	}
	if (get_dma_ops(dev)) {
		pr_err("vfiouser_pci: no passthrough DMA: this machine has bus addresses of its own\n");
		return -EOPNOTSUPP;
	}
	return 0;
}

/**
 * vfu_ram_create() - all memory there is, for a server
 * @dev: any device without DMA operations of its own, to learn about the machine's
 *
 * Context: the helper's process. Sleeps.
 * Return: the memory with a reference, or an ERR_PTR():
 * -EACCES: the module's parameter does not allow it; -EPERM: the caller may not, or
 * the kernel is locked down; -EOPNOTSUPP: not on this machine; -E2BIG: too many
 * ranges; -ENOMEM.
 */
struct vfu_ram *vfu_ram_create(struct device *dev)
{
	struct vfu_ram *ram;
	int err;

	err = vfu_ram_allowed(dev);
	if (err)
		return ERR_PTR(err);
	ram = kvzalloc(struct_size(ram, ranges, VFU_RAM_MAX), GFP_KERNEL_ACCOUNT);
	if (!ram)
		return ERR_PTR(-ENOMEM);
	kref_init(&ram->ref);
	init_rwsem(&ram->lock);
	address_space_init_once(&ram->mapping);
	ram->nobody = alloc_page(GFP_KERNEL_ACCOUNT);
	if (!ram->nobody) {
		kvfree(ram);
		return ERR_PTR(-ENOMEM);
	}
	memset(page_address(ram->nobody), 0xff, PAGE_SIZE);
	/* From here on it stays as it is. */
	atomic_inc(&vfu_ram_files);
	err = walk_iomem_res_desc(IORES_DESC_NONE, IORESOURCE_SYSTEM_RAM | IORESOURCE_BUSY, 0, -1,
				  ram, vfu_ram_walk);
	if (err) {
		vfu_ram_put(ram);
		return ERR_PTR(err);
	}
	/* Whatever happens to this kernel later: a process could write to it. */
	add_taint(TAINT_USER, LOCKDEP_STILL_OK);
	return ram;
}

/**
 * vfu_ram_ranges() - which memory it is
 * @ram: memory
 * @ranges: set to an array, valid as long as @ram
 *
 * Return: how many there are.
 */
u32 vfu_ram_ranges(const struct vfu_ram *ram, const struct vfiouser_ram_range **ranges)
{
	*ranges = ram->ranges;
	return ram->nr;
}

static int vfu_ram_hotplug(struct notifier_block *nb, unsigned long action, void *data)
{
	if ((action != MEM_GOING_ONLINE && action != MEM_GOING_OFFLINE) ||
	    !atomic_read(&vfu_ram_files))
		return NOTIFY_DONE;
	pr_err("vfiouser_pci: memory cannot come or go while a device has passthrough DMA; detach it first\n");
	return notifier_from_errno(-EBUSY);
}

static struct notifier_block vfu_ram_nb = {
	.notifier_call = vfu_ram_hotplug,
};

/**
 * vfu_ram_init() - module set-up
 *
 * Return: 0 or a negative errno.
 */
int vfu_ram_init(void)
{
	return register_memory_notifier(&vfu_ram_nb);
}

/**
 * vfu_ram_exit() - undo vfu_ram_init(); no memory is given away any more
 */
void vfu_ram_exit(void)
{
	unregister_memory_notifier(&vfu_ram_nb);
}
