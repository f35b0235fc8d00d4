/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What differs between the kernels supported. The rest of the module is
 * written for the newest; the older ways are mapped to it here, and nowhere
 * else is a kernel version looked at.
 */
#ifndef _KMOD_COMPAT_H
#define _KMOD_COMPAT_H

#include <linux/version.h>

/* ---- the DMA API, for dma.c ---- */

#include <linux/dma-map-ops.h>

/*
 * set_dma_ops() is an empty stub in kernels built without a user of it (on
 * x86: without GART_IOMMU and XEN). CONFIG_DMA_OPS: up to 6.11.
 */
static inline bool vfu_have_dma_ops(void)
{
	return IS_ENABLED(CONFIG_ARCH_HAS_DMA_OPS) || IS_ENABLED(CONFIG_DMA_OPS);
}

/* 6.12: the IOMMU's DMA operations are no dma_map_ops and go first. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 12, 0)
#include <linux/iommu-dma.h>
#else
static inline bool use_dma_iommu(struct device *dev)
{
	return false;
}
#endif

/* 6.10: renamed, alloc_pages() had become a macro */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 10, 0)
#define alloc_pages_op	alloc_pages
#endif

/* 6.19: mappings are made of physical addresses, and may be MMIO */
#ifndef DMA_ATTR_MMIO
#define DMA_ATTR_MMIO	0
#endif

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 19, 0)
#define VFU_DEFINE_MAP_PAGE(map)
#define VFU_MAP_PHYS_OPS(map, unmap)	\
	.map_phys = map,		\
	.unmap_phys = unmap
#else
#define VFU_DEFINE_MAP_PAGE(map)					\
static dma_addr_t map##_page(struct device *dev, struct page *page,	\
			     unsigned long offset, size_t size,		\
			     enum dma_data_direction dir,		\
			     unsigned long attrs)			\
{									\
	return map(dev, page_to_phys(page) + offset, size, dir, attrs);	\
}

#define VFU_MAP_PHYS_OPS(map, unmap)	\
	.map_page = map##_page,		\
	.unmap_page = unmap
#endif

/* ---- PCI/MSI domains, for irq.c ---- */

#include <linux/irq.h>
#include <linux/irqdomain.h>
#include <linux/kthread.h>
#include <linux/msi.h>

#include "device.h"

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 17, 0)
#include <linux/irqchip/irq-msi-lib.h>

/* Each PCI device gets a domain of its own, whose parent this is. */
static const struct msi_parent_ops vfu_compat_msi_parent_ops = {
	.supported_flags	= MSI_GENERIC_FLAGS_MASK | MSI_FLAG_PCI_MSIX |
				  MSI_FLAG_PCI_MSIX_ALLOC_DYN | MSI_FLAG_MULTI_PCI_MSI,
	.required_flags		= MSI_FLAG_USE_DEF_DOM_OPS | MSI_FLAG_USE_DEF_CHIP_OPS,
	.chip_flags		= MSI_CHIP_FLAG_SET_ACK,
	.bus_select_token	= DOMAIN_BUS_NEXUS,
	.bus_select_mask	= BIT(DOMAIN_BUS_PCI_DEVICE_MSI) |
				  BIT(DOMAIN_BUS_PCI_DEVICE_MSIX),
	.prefix			= "vfiouser-",
	.init_dev_msi_info	= msi_lib_init_dev_msi_info,
};

static inline int vfu_compat_msi_domain(struct vfu_dev *vdev, const struct irq_domain_ops *ops)
{
	struct irq_domain_info info = {
		.fwnode		= vdev->irq.fwnode,
		.size		= VFU_MAX_VECTORS,
		.ops		= ops,
		.host_data	= vdev,
	};

	vdev->irq.domain = msi_create_parent_irq_domain(&info, &vfu_compat_msi_parent_ops);
	return vdev->irq.domain ? 0 : -ENOMEM;
}

static inline void vfu_compat_msi_domain_remove(struct vfu_dev *vdev)
{
	if (vdev->irq.domain)
		irq_domain_remove(vdev->irq.domain);
	vdev->irq.domain = NULL;
}
#else
/* One PCI/MSI domain for the bus, above one that knows the vectors. */
static struct irq_chip vfu_compat_msi_chip = {
	.name		= "vfiouser-msi",
	.irq_ack	= irq_chip_ack_parent,
	.irq_mask	= pci_msi_mask_irq,
	.irq_unmask	= pci_msi_unmask_irq,
};

static struct msi_domain_info vfu_compat_msi_info = {
	.flags	= MSI_FLAG_USE_DEF_DOM_OPS | MSI_FLAG_USE_DEF_CHIP_OPS |
		  MSI_FLAG_PCI_MSIX | MSI_FLAG_MULTI_PCI_MSI,
	.chip	= &vfu_compat_msi_chip,
};

static inline void vfu_compat_msi_domain_remove(struct vfu_dev *vdev)
{
	if (vdev->irq.domain)
		irq_domain_remove(vdev->irq.domain);
	vdev->irq.domain = NULL;
	if (vdev->irq.parent)
		irq_domain_remove(vdev->irq.parent);
	vdev->irq.parent = NULL;
}

static inline int vfu_compat_msi_domain(struct vfu_dev *vdev, const struct irq_domain_ops *ops)
{
	vdev->irq.parent = irq_domain_create_linear(vdev->irq.fwnode, VFU_MAX_VECTORS, ops, vdev);
	if (!vdev->irq.parent)
		return -ENOMEM;
	vdev->irq.domain = pci_msi_create_irq_domain(vdev->irq.fwnode, &vfu_compat_msi_info,
						     vdev->irq.parent);
	return vdev->irq.domain ? 0 : -ENOMEM;
}
#endif

/*
 * 6.14: the affinity of an interrupt changes at once. Before, on x86, a chip had
 * to say so, or the change waited for a call that only its own chips make.
 */
static inline void vfu_compat_irq_move_at_once(unsigned int virq)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 14, 0)
	irq_set_status_flags(virq, IRQ_MOVE_PCNTXT);
#endif
}

/* 6.14: made and started are two things */
#ifndef kthread_run_worker
#define kthread_run_worker	kthread_create_worker
#endif

/* ---- eventfds, for ioeventfd.c ---- */

#include <linux/eventfd.h>

/* 6.8: always by one */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 8, 0)
#define eventfd_signal(ctx)	eventfd_signal(ctx, 1)
#endif

/* ---- mappings, for ram.c ---- */

#include <linux/mm.h>

/* 6.3: flags of a mapping that others look at are changed by these only */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 3, 0)
static inline void vm_flags_set(struct vm_area_struct *vma, unsigned long flags)
{
	vma->vm_flags |= flags;
}

static inline void vm_flags_clear(struct vm_area_struct *vma, unsigned long flags)
{
	vma->vm_flags &= ~flags;
}
#endif

/* ---- faults, for mmio.c ---- */

#include <linux/uaccess.h>

/* copy_to_kernel_nofault() is not exported */
static inline int vfu_compat_copy_to_kernel(void *dst, const void *src, size_t size)
{
	const u8 *from = src;
	u8 *to = dst;

	pagefault_disable();
	if (size == 8)
		__put_kernel_nofault(to, from, u64, err);
	else if (size == 4)
		__put_kernel_nofault(to, from, u32, err);
	else if (size == 2)
		__put_kernel_nofault(to, from, u16, err);
	else
		for (; size; size--, to++, from++)
			__put_kernel_nofault(to, from, u8, err);
	pagefault_enable();
	return 0;
err:
	pagefault_enable();
	return -EFAULT;
}

/* ---- physical addresses, for window.c ---- */

#include <linux/ioport.h>
#include <linux/slab.h>

#include "arch.h"

/*
 * A kernel without a user of request_free_mem_region() (DEVICE_PRIVATE, CXL_REGION) is
 * built without it. Then: from the upper half on, where no memory is plugged in later.
 */
static inline struct resource *vfu_compat_request_free(u64 size, const char *name)
{
#ifdef CONFIG_GET_FREE_REGION
	return request_free_mem_region(&iomem_resource, size, name);
#else
	u64 space = 1ULL << vfu_arch_phys_bits();
	struct resource *res = kzalloc(sizeof(*res), GFP_KERNEL);
	int err;

	if (!res)
		return ERR_PTR(-ENOMEM);
	res->name = name;
	res->flags = IORESOURCE_MEM | IORESOURCE_BUSY;
	err = allocate_resource(&iomem_resource, res, size, space / 2, space - 1, SZ_128M, NULL,
				NULL);
	if (!err)
		return res;
	kfree(res);
	return ERR_PTR(err == -EBUSY ? -ERANGE : err);
#endif
}

/* ---- PCI, for bridge.c ---- */

#ifndef pci_dev_for_each_resource	/* 6.4 */
#define pci_dev_for_each_resource(pdev, res)				\
	for ((res) = &(pdev)->resource[0];				\
	     (res) < &(pdev)->resource[PCI_NUM_RESOURCES]; (res)++)
#endif

/* What no driver is called: a device that is told to match it only has none. */
#define VFU_NO_DRIVER	"(vfiouser)"

/* 7.1, and some before: the name is the driver core's; see Kbuild */
#ifdef VFU_HAVE_DEVICE_DRIVER_OVERRIDE
static inline int vfu_compat_no_driver(struct pci_dev *pdev)
{
	return device_set_driver_override(&pdev->dev, VFU_NO_DRIVER);
}

static inline bool vfu_compat_has_no_driver(struct pci_dev *pdev)
{
	const char *name;
	bool none;

	spin_lock(&pdev->dev.driver_override.lock);
	name = pdev->dev.driver_override.name;
	none = name && !strcmp(name, VFU_NO_DRIVER);
	spin_unlock(&pdev->dev.driver_override.lock);
	return none;
}

static inline void vfu_compat_any_driver(struct pci_dev *pdev)
{
	device_set_driver_override(&pdev->dev, "");
}
#else
static inline int vfu_compat_no_driver(struct pci_dev *pdev)
{
	return driver_set_override(&pdev->dev, &pdev->driver_override, VFU_NO_DRIVER,
				   strlen(VFU_NO_DRIVER));
}

static inline bool vfu_compat_has_no_driver(struct pci_dev *pdev)
{
	bool none;

	device_lock(&pdev->dev);
	none = pdev->driver_override && !strcmp(pdev->driver_override, VFU_NO_DRIVER);
	device_unlock(&pdev->dev);
	return none;
}

static inline void vfu_compat_any_driver(struct pci_dev *pdev)
{
	driver_set_override(&pdev->dev, &pdev->driver_override, "", 0);
}
#endif

/* Undo vfu_compat_no_driver(), unless somebody has named a driver of his own. */
static inline void vfu_compat_free_driver(struct pci_dev *pdev)
{
	if (vfu_compat_has_no_driver(pdev))
		vfu_compat_any_driver(pdev);
}

/* ---- generic netlink, for netlink.c ---- */

#include <net/genetlink.h>

/* 6.7, and 6.1.68: who may join a group */
#ifdef GENL_MCAST_CAP_SYS_ADMIN
#define VFU_COMPAT_MCAST_ADMIN	GENL_MCAST_CAP_SYS_ADMIN
#else
#define VFU_COMPAT_MCAST_ADMIN	0
#endif

#endif /* _KMOD_COMPAT_H */
