/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * bridge.c: the virtual host bridge, its slots and functions.
 */
#ifndef _KMOD_BRIDGE_H
#define _KMOD_BRIDGE_H

#include <linux/atomic.h>
#include <linux/ioport.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/types.h>
#include <linux/workqueue.h>

#include <linux/vfiouser.h>

#include "arch.h"

struct netlink_ext_ack;
struct vfu_dev;

#define VFU_NR_FUNCTIONS	8	/* of a slot */

/**
 * struct vfu_pci_slot - one PCI slot, with a domain, a bus and a window of its own
 * @sysdata: of the bus; arch code looks into it. First: bus->sysdata points here
 * @domain: of the bus
 * @ref: held by its functions until they are freed, and by the bus
 * @list: of those with functions in them (vfu_slots_lock)
 * @name: unique; "" for one that takes a single function
 * @users: functions in it that are not about to leave (vfu_slots_lock)
 * @present: which functions have been put on the bus, and not been taken off it (the rescan lock)
 * @taken: which functions have a device, or one whose PCI device is still held (vfu_slots_lock)
 * @functions: what answers as which function (RCU; each written by its device)
 * @dev: parent of the host bridge where there may be several functions, else NULL
 * @bus: the root bus, while there is one (the rescan lock)
 * @window: the CPU addresses that BARs lie in (@lock)
 * @low: part of @window for 32-bit BARs, with bus addresses below 4 GiB
 * @high: part of @window for 64-bit BARs, bus address = CPU address
 * @lock: protects @window being made
 * @free: ends it
 */
struct vfu_pci_slot {
	struct vfu_arch_bus sysdata;
	int domain;
	struct kref ref;
	struct list_head list;
	char name[VFIOUSER_NAME_MAX];
	unsigned int users;
	unsigned long present;
	unsigned long taken;
	struct vfu_dev __rcu *functions[VFU_NR_FUNCTIONS];
	struct device *dev;
	struct pci_bus *bus;
	struct resource *window;
	struct resource low;
	struct resource high;
	struct mutex lock;	/* see above */
	struct work_struct free;
};

/* Is it made for several functions? */
static inline bool vfu_slot_multi(const struct vfu_pci_slot *slot)
{
	return slot->name[0];
}

/**
 * struct vfu_place - where a device is plugged in
 * @slot: its slot
 * @fn: as which function
 * @on_bus: the slot must know it: until its removal, and as long as it has a PCI device
 * @pdev: the PCI device while it is in the hierarchy (vfu_dev.cfg_lock)
 * @scanning: its bus is being scanned for it (the rescan lock)
 * @budget: ends a scan, or what is before it, that takes too long
 */
struct vfu_place {
	struct vfu_pci_slot *slot;
	unsigned int fn;
	atomic_t on_bus;
	struct pci_dev *pdev;
	bool scanning;
	struct delayed_work budget;
};

int vfu_slot_join(struct vfu_dev *vdev, const char *name, u32 fn, struct netlink_ext_ack *extack);
void vfu_slot_leave(struct vfu_dev *vdev);
void vfu_slot_put(struct vfu_pci_slot *slot);
void vfu_on_bus_put(struct vfu_dev *vdev);
void vfu_bridge_prepare(struct vfu_dev *vdev);
int vfu_bridge_add(struct vfu_dev *vdev);
void vfu_bridge_remove(struct vfu_dev *vdev);
void vfu_bridge_pull(struct vfu_dev *vdev);
void vfu_bridge_plug(struct vfu_dev *vdev);
struct pci_dev *vfu_pci_get(struct vfu_dev *vdev);
struct vfu_dev *vfu_dev_of_pci(struct pci_dev *pdev);
int vfu_bridge_init(void);
void vfu_bridge_exit(void);

#endif /* _KMOD_BRIDGE_H */
