// SPDX-License-Identifier: GPL-2.0-only
/*
 * When a device is usable: a driver has it, an NVMe controller has a disk, and udev has given
 * it its names. All of it is seen in sysfs.
 */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "alias.h"
#include "clock.h"
#include "cmd.h"
#include "front.h"
#include "log.h"
#include "status.h"
#include "sysfs.h"

/* A driver's link is there while it probes, and goes away where it fails. */
#define BOUND_MS		200
/* A controller that is live scans its namespaces; one that has none looks the same. */
#define NO_DISK_MS		3000
/* How long udev may take for its names. */
#define UDEV_MS			30000
/* How long a driver that no list knows of may take: one that was told of the device by hand. */
#define UNKNOWN_MS		1000
#define PCI_CLASS_NVME		0x010802

/* An NVMe controller's disk: there, not empty, and with a device node. */
static bool disk_usable(const struct sysfs_nodes *nodes)
{
	char path[PATH_MAX], size[32];
	size_t i;

	for (i = 0; i < nodes->count; i++) {
		const struct sysfs_node *node = &nodes->node[i];

		if (strcmp(node->subsystem, "block") || !node->has_dev)
			continue;
		if (sysfs_path(path, "%s/size", node->path) ||
		    sysfs_read(path, size, sizeof(size)) || !strcmp(size, "0"))
			continue;
		if (!sysfs_path(path, "/dev/%s", node->name) && !access(path, F_OK))
			return true;
	}
	return false;
}

static bool nvme_live(const struct sysfs_nodes *nodes)
{
	char path[PATH_MAX], state[32];
	size_t i;

	for (i = 0; i < nodes->count; i++)
		if (!strcmp(nodes->node[i].subsystem, "nvme") &&
		    !sysfs_path(path, "%s/state", nodes->node[i].path) &&
		    !sysfs_read(path, state, sizeof(state)) && !strcmp(state, "live"))
			return true;
	return false;
}

/* Waits for the names that udev gives, which whoever waits for us is going to use. */
static int wait_named(struct front *front)
{
	int64_t start = now_ms();

	while (!sysfs_pci_settled(&front->device.bdf) && now_ms() - start < UDEV_MS) {
		front_progress(front, start, "waiting for udev");
		if (!front_pause(front, FRONT_LOOK_MS))
			return front_helper_ended(front);
	}
	return ST_OK;
}

/**
 * front_wait_usable() - wait for a driver, and for NVMe until there is a disk
 * @front: the command; its device is live
 *
 * Drivers may bind later, on a thread of the kernel's or once udev has loaded them. A device
 * without a driver is no error.
 *
 * Context: sleeps.
 * Return: enum status.
 */
int front_wait_usable(struct front *front)
{
	const struct bdf *bdf = &front->device.bdf;
	int64_t start = now_ms(), end = start + (int64_t)(front->opt->wait_us / 1000);
	int64_t bound = 0, live = 0;
	unsigned int class = 0;
	struct sysfs_nodes nodes;
	char driver[64], modalias[128];
	bool known;

	sysfs_pci_id(bdf, "class", &class);
	known = sysfs_pci_attr(bdf, "modalias", modalias, sizeof(modalias)) ||
		alias_find(modalias) != 0;
	while (now_ms() < end) {
		if (sysfs_pci_driver(bdf, driver, sizeof(driver)))
			bound = 0;
		else if (!bound)
			bound = now_ms();
		if (bound && (class != PCI_CLASS_NVME || strcmp(driver, "nvme"))) {
			if (now_ms() - bound >= BOUND_MS)
				return wait_named(front);
		} else if (bound && !sysfs_pci_nodes(bdf, &nodes)) {
			bool usable = disk_usable(&nodes);

			if (!live && nvme_live(&nodes))
				live = now_ms();
			sysfs_nodes_free(&nodes);
			if (usable || (live && now_ms() - live >= NO_DISK_MS))
				return wait_named(front);
		}
		if (!bound && !known && now_ms() - start >= UNKNOWN_MS) {
			log_note("no module says that it is a driver for it (%s), and none built in has taken it",
				 modalias);
			return ST_OK;
		}
		front_progress(front, start, bound ? "waiting for the disk" : "waiting for a driver");
		if (!front_pause(front, FRONT_LOOK_MS))
			return front_helper_ended(front);
	}
	/* Nobody asked for a driver where nobody waits for one. */
	if (front->opt->wait_us && sysfs_pci_driver(bdf, driver, sizeof(driver)))
		log_note("no driver has taken the device within %" PRIu64 " s; is the driver's module there?",
			 front->opt->wait_us / 1000000);
	return ST_OK;
}
