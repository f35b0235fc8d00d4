// SPDX-License-Identifier: GPL-2.0-only
/*
 * The virtual host bridges: one PCI domain with one bus for each slot.
 *
 * A slot has the functions of one server each: a single one, or up to eight where it
 * has a name. Each of them comes and goes on its own, the bus with the last of them.
 *
 * Domain numbers lie above 0xffff, where no firmware puts any, and their low 16
 * bits are those of no other domain: IOMMU drivers keep only these bits and
 * would else take our device for one of their own.
 *
 * What a device needs before a driver sees it (DMA operations, its interrupt,
 * closed doors for user mappings) is set by a notifier, so that a function found
 * again by a later rescan gets it as well.
 *
 * The rescan lock is the host's, and a driver may take any time to bind or to let go: its device
 * is a process, which may have stopped. So drivers are bound and unbound outside of that lock, as
 * a host bridge driver like vmd does. What is scanned is first told to match no driver (see
 * VFU_NO_DRIVER), since the PCI core would bind one where it adds the device, and again
 * where anybody rescans a bus whose driver is still in its probe.
 *
 * Locking: the PCI core's rescan lock around scan and removal; vfu_slots_lock for
 * the list of slots and who is in them. vfu_pci_slot.functions is read under RCU.
 */
#include <linux/bitmap.h>
#include <linux/module.h>
#include <linux/msi.h>
#include <linux/netlink.h>
#include <linux/pci.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/vgaarb.h>

#include "bars.h"
#include "bridge.h"
#include "compat.h"
#include "config.h"
#include "device.h"
#include "dma.h"
#include "irq.h"
#include "queues.h"
#include "recover.h"
#include "window.h"

/* How long what comes before the scan may take, in message timeouts. */
#define VFU_PREPARE_TIMEOUTS	10

#define VFU_DOMAIN_FIRST	0x5f000
#define VFU_DOMAIN_LAST		0x5fffe

static int vfu_pci_read(struct pci_bus *bus, unsigned int devfn, int where, int size, u32 *val);
static int vfu_pci_write(struct pci_bus *bus, unsigned int devfn, int where, int size, u32 val);

static struct pci_ops vfu_pci_ops = {
	.read	= vfu_pci_read,
	.write	= vfu_pci_write,
};

static LIST_HEAD(vfu_slots);
static DEFINE_MUTEX(vfu_slots_lock);

/* ---- slots ---- */

static void vfu_slot_free(struct work_struct *work)
{
	struct vfu_pci_slot *slot = container_of(work, struct vfu_pci_slot, free);

	vfu_window_destroy(slot);
	if (slot->dev)
		device_unregister(slot->dev);
	kfree(slot);
	module_put(THIS_MODULE);
}

static void vfu_slot_release(struct kref *ref)
{
	struct vfu_pci_slot *slot = container_of(ref, struct vfu_pci_slot, ref);

	INIT_WORK(&slot->free, vfu_slot_free);
	vfu_work_queue(&slot->free);
}

/**
 * vfu_slot_put() - drop a reference
 * @slot: slot
 *
 * Context: any but NMI.
 */
void vfu_slot_put(struct vfu_pci_slot *slot)
{
	kref_put(&slot->ref, vfu_slot_release);
}

static struct vfu_pci_slot *vfu_slot_create(const char *name)
{
	static unsigned int count;
	struct vfu_pci_slot *slot;

	slot = kzalloc(sizeof(*slot), GFP_KERNEL_ACCOUNT);
	if (!slot)
		return ERR_PTR(-ENOMEM);
	/* No device is called so: no name has such a character. */
	if (name[0]) {
		slot->dev = device_create(&vfu_class, NULL, 0, slot, "slot@%u", count++);
		if (IS_ERR(slot->dev)) {
			int err = PTR_ERR(slot->dev);

			kfree(slot);
			return ERR_PTR(err);
		}
	}
	kref_init(&slot->ref);
	mutex_init(&slot->lock);
	strscpy(slot->name, name, sizeof(slot->name));
	list_add(&slot->list, &vfu_slots);
	__module_get(THIS_MODULE);
	return slot;
}

/**
 * vfu_slot_join() - plug a device in, not yet seen on the bus
 * @vdev: device
 * @name: of a slot for several functions, or "" for one of its own
 * @fn: which function
 * @extack: tells the caller what is wrong
 *
 * On success the device has a reference to its slot, and is on the bus in the sense
 * of vfu_on_bus_put().
 *
 * Context: may sleep.
 * Return: 0, -EBUSY or another negative errno.
 */
int vfu_slot_join(struct vfu_dev *vdev, const char *name, u32 fn, struct netlink_ext_ack *extack)
{
	struct vfu_pci_slot *slot, *found = NULL;
	int err = 0;

	mutex_lock(&vfu_slots_lock);
	list_for_each_entry(slot, &vfu_slots, list)
		if (name[0] && !strcmp(slot->name, name))
			found = slot;
	if (found) {
		slot = found;
		kref_get(&slot->ref);
	} else {
		slot = vfu_slot_create(name);
		err = PTR_ERR_OR_ZERO(slot);
	}
	if (!err && test_bit(fn, &slot->taken)) {
		NL_SET_ERR_MSG(extack,
			       "this function of the slot is taken, or its last device still open");
		vfu_slot_put(slot);
		err = -EBUSY;
	}
	if (!err) {
		set_bit(fn, &slot->taken);
		slot->users++;
		vdev->place.slot = slot;
		vdev->place.fn = fn;
		atomic_set(&vdev->place.on_bus, 1);
	}
	mutex_unlock(&vfu_slots_lock);
	return err;
}

/**
 * vfu_slot_leave() - undo vfu_slot_join()
 * @vdev: device, which is going to be taken off the bus
 *
 * After the last one, the slot takes no others.
 *
 * Context: may sleep.
 */
void vfu_slot_leave(struct vfu_dev *vdev)
{
	struct vfu_pci_slot *slot = vdev->place.slot;

	mutex_lock(&vfu_slots_lock);
	if (!--slot->users)
		list_del_init(&slot->list);
	mutex_unlock(&vfu_slots_lock);
}

static void vfu_function_free(struct vfu_dev *vdev)
{
	struct vfu_pci_slot *slot = vdev->place.slot;

	RCU_INIT_POINTER(slot->functions[vdev->place.fn], NULL);
	/* The next one to take it has seen that: it takes the lock, which has barriers. */
	clear_bit_unlock(vdev->place.fn, &slot->taken);
}

/**
 * vfu_on_bus_put() - the device is off the bus, or a PCI device of it has been freed
 * @vdev: device; with the last of these its function can be another's
 *
 * A PCI device may outlive its removal for long, and finds us by its function.
 *
 * Context: any but NMI.
 */
void vfu_on_bus_put(struct vfu_dev *vdev)
{
	if (atomic_dec_and_test(&vdev->place.on_bus))
		vfu_function_free(vdev);
}

/* ---- config accesses ---- */

static struct vfu_pci_slot *vfu_slot_of_bus(struct pci_bus *bus)
{
	return container_of((struct vfu_arch_bus *)bus->sysdata, struct vfu_pci_slot, sysdata);
}

/**
 * vfu_dev_of_pci() - the device behind a PCI device
 * @pdev: any PCI device
 *
 * Return: the device, alive as long as @pdev is, or NULL if @pdev is not ours.
 */
struct vfu_dev *vfu_dev_of_pci(struct pci_dev *pdev)
{
	/* A virtual function, if there ever is one, is not the function that has it. */
	if (pdev->bus->ops != &vfu_pci_ops || PCI_SLOT(pdev->devfn) || pdev->is_virtfn)
		return NULL;
	/* Nobody else becomes this function while there is a PCI device of it. */
	return rcu_dereference_raw(vfu_slot_of_bus(pdev->bus)->functions[PCI_FUNC(pdev->devfn)]);
}

/* What answers at an address, with a reference, or NULL. */
static struct vfu_dev *vfu_dev_at(struct pci_bus *bus, unsigned int devfn)
{
	struct vfu_dev *vdev;

	if (PCI_SLOT(devfn) || !pci_is_root_bus(bus))
		return NULL;
	rcu_read_lock();
	vdev = rcu_dereference(vfu_slot_of_bus(bus)->functions[PCI_FUNC(devfn)]);
	if (vdev && !kref_get_unless_zero(&vdev->ref))
		vdev = NULL;
	rcu_read_unlock();
	return vdev;
}

/* See vfu_config_read() for the context. */
static int vfu_pci_read(struct pci_bus *bus, unsigned int devfn, int where, int size, u32 *val)
{
	struct vfu_dev *vdev = vfu_dev_at(bus, devfn);

	if (!vdev) {
		*val = ~0U;
		return PCIBIOS_DEVICE_NOT_FOUND;
	}
	vfu_config_read(vdev, where, size, val);
	vfu_dev_put(vdev);
	return PCIBIOS_SUCCESSFUL;
}

static int vfu_pci_write(struct pci_bus *bus, unsigned int devfn, int where, int size, u32 val)
{
	struct vfu_dev *vdev = vfu_dev_at(bus, devfn);

	if (!vdev)
		return PCIBIOS_DEVICE_NOT_FOUND;
	vfu_config_write(vdev, where, size, val);
	vfu_dev_put(vdev);
	return PCIBIOS_SUCCESSFUL;
}

/* ---- the bus ---- */

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
	vfu_slot_put(bridge->release_data);
}

static int vfu_bus_create(struct vfu_pci_slot *slot, struct device *parent)
{
	LIST_HEAD(resources);
	struct pci_bus *bus;
	int domain;

	domain = vfu_domain_find();
	if (domain < 0)
		return domain;
	slot->domain = domain;
	vfu_arch_bus_init(&slot->sysdata, domain);
	if (slot->low.flags)
		pci_add_resource_offset(&resources, &slot->low, slot->low.start - VFU_LOW_BASE);
	if (slot->high.flags)
		pci_add_resource(&resources, &slot->high);
	bus = pci_create_root_bus(parent, 0, &vfu_pci_ops, &slot->sysdata, &resources);
	if (!bus) {
		pci_free_resource_list(&resources);
		return -ENODEV;
	}
	kref_get(&slot->ref);
	pci_set_host_bridge_release(to_pci_host_bridge(bus->bridge), vfu_bridge_release, slot);
	slot->bus = bus;
	return 0;
}

static void vfu_bus_remove(struct vfu_pci_slot *slot)
{
	struct pci_host_bridge *bridge = to_pci_host_bridge(slot->bus->bridge);

	pci_stop_root_bus(slot->bus);
	pci_remove_root_bus(slot->bus);
	/* The one that pci_create_root_bus() began with; the bus has its own. */
	put_device(&bridge->dev);
	slot->bus = NULL;
	vfu_window_destroy(slot);
}

/*
 * Find the device's function, whether there is a function 0 or not, and leave it without a
 * driver. Under the rescan lock.
 */
static void vfu_bridge_scan(struct vfu_dev *vdev)
{
	struct pci_bus *bus = vdev->place.slot->bus;

	vfu_dev_alarm(&vdev->place.budget, vdev->timeout_ms);
	vdev->place.scanning = true;
	pci_scan_single_device(bus, PCI_DEVFN(0, vdev->place.fn));
	pci_bus_claim_resources(bus);
	pci_assign_unassigned_bus_resources(bus);
	pci_bus_add_devices(bus);
	vdev->place.scanning = false;
	cancel_delayed_work_sync(&vdev->place.budget);
}

/**
 * vfu_pci_get() - the PCI device of a device
 * @vdev: device
 *
 * Context: process.
 * Return: the PCI device while it is in the hierarchy, for pci_dev_put(), or NULL.
 */
struct pci_dev *vfu_pci_get(struct vfu_dev *vdev)
{
	struct pci_dev *pdev;

	raw_spin_lock_irq(&vdev->cfg_lock);
	pdev = pci_dev_get(vdev->place.pdev);
	raw_spin_unlock_irq(&vdev->cfg_lock);
	return pdev;
}

/* Let a driver have what was found. Takes as long as it does. */
static void vfu_bridge_bind(struct vfu_dev *vdev)
{
	struct pci_dev *pdev = vfu_pci_get(vdev);
	int err;

	if (!pdev)
		return;
	/* As of reset, INTx is on; a driver may use it as soon as it binds. */
	vfu_intx_control(vdev);
	vfu_compat_free_driver(pdev);
	err = device_attach(&pdev->dev);
	if (err < 0 && err != -EPROBE_DEFER)
		pci_warn(pdev, "no driver: error %d\n", err);
	pci_dev_put(pdev);
}

/* Take the driver away, and let no other one come. Takes as long as it does. */
static void vfu_bridge_unbind(struct vfu_dev *vdev)
{
	struct pci_dev *pdev = vfu_pci_get(vdev);

	if (!pdev)
		return;
	if (vfu_dev_offline(vdev)) {
		/* Drivers look at this instead of waiting for the device. */
		pdev->error_state = pci_channel_io_perm_failure;
		vfu_queues_drain(vdev);
	}
	/* Without memory for it, one that comes meanwhile is unbound under the rescan lock. */
	vfu_compat_no_driver(pdev);
	device_release_driver(&pdev->dev);
	pci_dev_put(pdev);
}

static void vfu_bridge_overdue(struct work_struct *work)
{
	struct vfu_dev *vdev = container_of(to_delayed_work(work), struct vfu_dev, place.budget);

	vfu_dev_fail(vdev, "it answers too slowly to be added");
}

/**
 * vfu_bridge_prepare() - the device begins to be added, up to vfu_bridge_add()
 * @vdev: device
 *
 * Each of the some hundred reads of config space has a bound, and a server that uses each of them
 * up would keep us for an hour, and the rescan lock for a part of that. So all that comes before
 * the scan has a bound, and so has the scan, the bound of one read.
 *
 * Context: may sleep.
 */
void vfu_bridge_prepare(struct vfu_dev *vdev)
{
	INIT_DELAYED_WORK(&vdev->place.budget, vfu_bridge_overdue);
	vfu_dev_alarm(&vdev->place.budget, VFU_PREPARE_TIMEOUTS * vdev->timeout_ms);
}

/**
 * vfu_bridge_add() - put a device on its slot's bus, scan it, and let a driver bind
 * @vdev: device with config, window and interrupt domain
 *
 * Context: may sleep; the helper must be serving the ring. Takes as long as the driver does.
 * Return: 0 or a negative errno.
 */
int vfu_bridge_add(struct vfu_dev *vdev)
{
	struct vfu_pci_slot *slot = vdev->place.slot;
	int err = 0;

	pci_lock_rescan_remove();
	if (!slot->bus)
		err = vfu_bus_create(slot, slot->dev ?: vdev->dev);
	if (err) {
		pci_unlock_rescan_remove();
		return err;
	}
	slot->present |= BIT(vdev->place.fn);
	rcu_assign_pointer(slot->functions[vdev->place.fn], vdev);
	vfu_bars_tell(vdev);
	vfu_bridge_scan(vdev);
	pci_unlock_rescan_remove();
	vfu_bridge_bind(vdev);
	return 0;
}

/**
 * vfu_bridge_remove() - unbind the driver and take the device off its bus
 * @vdev: device that has left its slot
 *
 * The bus goes with the last one. Afterwards, what still has a mapping of the device
 * reads all-ones, and no rescan finds it.
 *
 * Context: may sleep; takes as long as the driver does.
 */
void vfu_bridge_remove(struct vfu_dev *vdev)
{
	struct vfu_pci_slot *slot = vdev->place.slot;
	struct pci_dev *pdev;

	vfu_bridge_unbind(vdev);
	pci_lock_rescan_remove();
	if (slot->bus) {
		pdev = pci_get_slot(slot->bus, PCI_DEVFN(0, vdev->place.fn));
		if (pdev && vfu_dev_of_pci(pdev) == vdev)
			pci_stop_and_remove_bus_device(pdev);
		pci_dev_put(pdev);
	}
	/*
	 * Nobody joins any more: see vfu_slot_leave(). One that has left, but not got here, has its
	 * driver to unbind first, without this lock.
	 */
	slot->present &= ~BIT(vdev->place.fn);
	if (slot->bus && !slot->present && !READ_ONCE(slot->users))
		vfu_bus_remove(slot);
	vfu_dev_set_lost(vdev);
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

	vfu_bridge_unbind(vdev);
	pci_lock_rescan_remove();
	pdev = vfu_pci_get(vdev);
	if (pdev) {
		pci_stop_and_remove_bus_device(pdev);
		pci_dev_put(pdev);
	}
	pci_unlock_rescan_remove();
}

/**
 * vfu_bridge_plug() - find again what vfu_bridge_pull() took out
 * @vdev: device, online
 *
 * Context: may sleep; the helper must be serving the ring. Takes as long as the driver does.
 */
void vfu_bridge_plug(struct vfu_dev *vdev)
{
	struct vfu_pci_slot *slot = vdev->place.slot;

	pci_lock_rescan_remove();
	if (slot->bus && !vfu_dev_lost(vdev))
		vfu_bridge_scan(vdev);
	pci_unlock_rescan_remove();
	vfu_bridge_bind(vdev);
}

/* What the PCI core frees a device with. */
static void (*vfu_pci_free)(struct device *dev);

static void vfu_pdev_release(struct device *dev)
{
	struct vfu_dev *vdev = vfu_dev_of_pci(to_pci_dev(dev));

	vfu_pci_free(dev);
	vfu_on_bus_put(vdev);
	vfu_dev_put(vdev);
}

static int vfu_bridge_notify(struct notifier_block *nb, unsigned long action, void *data)
{
	struct pci_dev *pdev = to_pci_dev(data);
	struct vfu_dev *vdev = vfu_dev_of_pci(pdev);
	struct resource *res;

	if (!vdev)
		return NOTIFY_DONE;
	if (action == BUS_NOTIFY_BIND_DRIVER)
		vfu_recover_driver(vdev, true);
	else if (action == BUS_NOTIFY_UNBOUND_DRIVER || action == BUS_NOTIFY_DRIVER_NOT_BOUND)
		vfu_recover_driver(vdev, false);
	if (action == BUS_NOTIFY_UNBIND_DRIVER || action == BUS_NOTIFY_UNBOUND_DRIVER)
		vfu_queues_leaving(vdev, pdev, action == BUS_NOTIFY_UNBIND_DRIVER);
	if (action != BUS_NOTIFY_ADD_DEVICE && action != BUS_NOTIFY_DEL_DEVICE)
		return NOTIFY_DONE;
	raw_spin_lock_irq(&vdev->cfg_lock);
	vdev->place.pdev = action == BUS_NOTIFY_ADD_DEVICE ? pdev : NULL;
	raw_spin_unlock_irq(&vdev->cfg_lock);
	if (action == BUS_NOTIFY_DEL_DEVICE)
		return NOTIFY_OK;
	/* Its driver, and what that leaves behind, needs ours until the last reference is gone. */
	vfu_dev_get(vdev);
	atomic_inc(&vdev->place.on_bus);
	vfu_pci_free = pdev->dev.release;
	pdev->dev.release = vfu_pdev_release;
	vfu_dma_setup(vdev, &pdev->dev);
	dev_set_msi_domain(&pdev->dev, vdev->irq.domain);
	vfu_irq_setup(vdev, pdev);
	/* Nor is it what answers at the addresses of VGA: others would be turned off for it. */
	if (pdev->class >> 8 == PCI_CLASS_DISPLAY_VGA)
		vga_set_legacy_decoding(pdev, VGA_RSRC_NONE);
	/* Found by somebody else's rescan, it gets its driver there. */
	if (vdev->place.scanning && vfu_compat_no_driver(pdev))
		pci_warn(pdev, "a driver binds while the bus is locked: no memory\n");
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
