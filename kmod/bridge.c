// SPDX-License-Identifier: GPL-2.0-only
/*
 * The virtual host bridge: one PCI domain with one bus for each device.
 *
 * Domain numbers lie above 0xffff, where no firmware puts any, and their low 16
 * bits are those of no other domain: IOMMU drivers keep only these bits and
 * would else take our device for one of their own.
 *
 * What a device needs before a driver sees it (DMA operations, its interrupt,
 * closed doors for user mappings) is set by a notifier, so that a function found
 * again by a later rescan gets it as well.
 *
 * Locking: the PCI core's rescan lock around scan and removal.
 */
#include <linux/bitmap.h>
#include <linux/pci.h>
#include <linux/slab.h>

#include "compat.h"
#include "vfiouser.h"

#define VFU_DOMAIN_FIRST	0x5f000
#define VFU_DOMAIN_LAST		0x5fffe

static int vfu_pci_read(struct pci_bus *bus, unsigned int devfn, int where, int size, u32 *val);
static int vfu_pci_write(struct pci_bus *bus, unsigned int devfn, int where, int size, u32 val);

static struct pci_ops vfu_pci_ops = {
	.read	= vfu_pci_read,
	.write	= vfu_pci_write,
};

static struct vfu_dev *vfu_dev_of_bus(struct pci_bus *bus)
{
	return container_of((struct pci_sysdata *)bus->sysdata, struct vfu_dev, sysdata);
}

/**
 * vfu_dev_of_pci() - the device behind a PCI device
 * @pdev: any PCI device
 *
 * Return: the device, alive as long as @pdev is in the hierarchy, or NULL if
 * @pdev is not ours.
 */
struct vfu_dev *vfu_dev_of_pci(struct pci_dev *pdev)
{
	return pdev->bus->ops == &vfu_pci_ops ? vfu_dev_of_bus(pdev->bus) : NULL;
}

/* See vfu_config_read() for the context. */
static int vfu_pci_read(struct pci_bus *bus, unsigned int devfn, int where, int size, u32 *val)
{
	if (devfn || !pci_is_root_bus(bus)) {
		*val = ~0U;
		return PCIBIOS_DEVICE_NOT_FOUND;
	}
	vfu_config_read(vfu_dev_of_bus(bus), where, size, val);
	return PCIBIOS_SUCCESSFUL;
}

static int vfu_pci_write(struct pci_bus *bus, unsigned int devfn, int where, int size, u32 val)
{
	if (devfn || !pci_is_root_bus(bus))
		return PCIBIOS_DEVICE_NOT_FOUND;
	vfu_config_write(vfu_dev_of_bus(bus), where, size, val);
	return PCIBIOS_SUCCESSFUL;
}

/* A free domain number. Under the rescan lock: nobody else can take it. */
static int vfu_domain_find(void)
{
	unsigned long *used = bitmap_zalloc(U16_MAX + 1, GFP_KERNEL);
	struct pci_bus *bus = NULL;
	int nr, domain = -ENOSPC;

	if (!used)
		return -ENOMEM;
	while ((bus = pci_find_next_bus(bus)))
		__set_bit(pci_domain_nr(bus) & U16_MAX, used);
	for (nr = VFU_DOMAIN_FIRST; nr <= VFU_DOMAIN_LAST && domain < 0; nr++)
		if (!test_bit(nr & U16_MAX, used))
			domain = nr;
	bitmap_free(used);
	return domain;
}

/*
 * The bus outlives its removal while anyone holds one of its devices, as nvme
 * does until the last file of a lost disk is closed; so does its sysdata.
 */
static void vfu_bridge_release(struct pci_host_bridge *bridge)
{
	vfu_dev_put(bridge->release_data);
}

/**
 * vfu_bridge_add() - make a device's bus, scan it, and let drivers bind
 * @vdev: device with config, window and interrupt domain
 *
 * Context: may sleep; the helper must be serving the ring.
 * Return: 0 or a negative errno.
 */
int vfu_bridge_add(struct vfu_dev *vdev)
{
	LIST_HEAD(resources);
	struct pci_bus *bus;
	int domain;

	pci_lock_rescan_remove();
	domain = vfu_domain_find();
	if (domain < 0) {
		pci_unlock_rescan_remove();
		return domain;
	}
	vdev->sysdata.domain = domain;
	vdev->sysdata.node = NUMA_NO_NODE;
	if (vdev->low.flags)
		pci_add_resource_offset(&resources, &vdev->low, vdev->low.start - VFU_LOW_BASE);
	if (vdev->high.flags)
		pci_add_resource(&resources, &vdev->high);
	bus = pci_create_root_bus(vdev->dev, 0, &vfu_pci_ops, &vdev->sysdata, &resources);
	if (!bus) {
		pci_unlock_rescan_remove();
		pci_free_resource_list(&resources);
		return -ENODEV;
	}
	vfu_dev_get(vdev);
	pci_set_host_bridge_release(to_pci_host_bridge(bus->bridge), vfu_bridge_release, vdev);
	vdev->bus = bus;
	dev_set_msi_domain(&bus->dev, vdev->irq_domain);
	pci_scan_child_bus(bus);
	pci_bus_claim_resources(bus);
	pci_assign_unassigned_bus_resources(bus);
	/* As of reset, INTx is on; a driver may use it as soon as it binds. */
	vfu_intx_control(vdev);
	pci_bus_add_devices(bus);
	pci_unlock_rescan_remove();
	return 0;
}

/**
 * vfu_bridge_remove() - unbind the drivers and take the bus away
 * @vdev: device; nothing happens without a bus
 *
 * Context: may sleep; takes as long as the drivers do.
 */
void vfu_bridge_remove(struct vfu_dev *vdev)
{
	struct pci_host_bridge *bridge;
	struct pci_dev *pdev;

	pci_lock_rescan_remove();
	if (vdev->bus) {
		bridge = to_pci_host_bridge(vdev->bus->bridge);
		/* Drivers look at this instead of waiting for the device. */
		if (vfu_dev_lost(vdev))
			list_for_each_entry(pdev, &vdev->bus->devices, bus_list)
				pdev->error_state = pci_channel_io_perm_failure;
		pci_stop_root_bus(vdev->bus);
		pci_remove_root_bus(vdev->bus);
		/* The one that pci_create_root_bus() began with; the bus has its own. */
		put_device(&bridge->dev);
		vdev->bus = NULL;
	}
	pci_unlock_rescan_remove();
}

/**
 * vfu_bridge_pull() - take a frozen device's PCI device out of the bus, which stays
 * @vdev: device; its driver cannot be made to wait
 *
 * Context: may sleep; takes as long as the driver does.
 */
void vfu_bridge_pull(struct vfu_dev *vdev)
{
	struct pci_dev *pdev;

	pci_lock_rescan_remove();
	raw_spin_lock_irq(&vdev->cfg_lock);
	pdev = pci_dev_get(vdev->pdev);
	raw_spin_unlock_irq(&vdev->cfg_lock);
	if (pdev) {
		if (vfu_dev_offline(vdev))
			pdev->error_state = pci_channel_io_perm_failure;
		pci_stop_and_remove_bus_device(pdev);
		pci_dev_put(pdev);
	}
	pci_unlock_rescan_remove();
}

/**
 * vfu_bridge_plug() - find again what vfu_bridge_pull() took out
 * @vdev: device, online
 *
 * Context: may sleep; the helper must be serving the ring.
 */
void vfu_bridge_plug(struct vfu_dev *vdev)
{
	pci_lock_rescan_remove();
	if (vdev->bus) {
		pci_scan_child_bus(vdev->bus);
		pci_bus_claim_resources(vdev->bus);
		pci_assign_unassigned_bus_resources(vdev->bus);
		vfu_intx_control(vdev);
		pci_bus_add_devices(vdev->bus);
	}
	pci_unlock_rescan_remove();
}

static int vfu_bridge_notify(struct notifier_block *nb, unsigned long action, void *data)
{
	struct pci_dev *pdev = to_pci_dev(data);
	struct vfu_dev *vdev = vfu_dev_of_pci(pdev);
	struct resource *res;

	if (!vdev || (action != BUS_NOTIFY_ADD_DEVICE && action != BUS_NOTIFY_DEL_DEVICE))
		return NOTIFY_DONE;
	raw_spin_lock_irq(&vdev->cfg_lock);
	vdev->pdev = action == BUS_NOTIFY_ADD_DEVICE ? pdev : NULL;
	raw_spin_unlock_irq(&vdev->cfg_lock);
	if (action == BUS_NOTIFY_DEL_DEVICE)
		return NOTIFY_OK;
	vfu_dma_setup(vdev, &pdev->dev);
	vfu_irq_setup(vdev, pdev);
	/* To map a trapped page into a process would give it the bare bus. */
	pci_dev_for_each_resource(pdev, res)
		if (res->flags & IORESOURCE_MEM)
			res->flags |= IORESOURCE_EXCLUSIVE;
	return NOTIFY_OK;
}

static struct notifier_block vfu_bridge_nb = {
	.notifier_call = vfu_bridge_notify,
	.priority = INT_MIN,
};

/**
 * vfu_bridge_init() - module set-up
 *
 * Return: 0 or a negative errno.
 */
int vfu_bridge_init(void)
{
	return bus_register_notifier(&pci_bus_type, &vfu_bridge_nb);
}

/**
 * vfu_bridge_exit() - undo vfu_bridge_init()
 */
void vfu_bridge_exit(void)
{
	bus_unregister_notifier(&pci_bus_type, &vfu_bridge_nb);
}
