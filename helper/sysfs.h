/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the kernel made of a PCI device: its driver, disks, network interfaces.
 */
#ifndef HELPER_SYSFS_H
#define HELPER_SYSFS_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "parse.h"

/**
 * struct sysfs_node - a kernel device below a PCI device
 * @subsystem: "block", "net", "nvme", ...
 * @name: as in its class: "nvme0n1p1", "eth0"
 * @path: its directory, without sysfs_root
 * @has_dev: it has a device number
 * @major: device number
 * @minor: device number
 */
struct sysfs_node {
	char subsystem[64];
	char name[64];
	char path[PATH_MAX];
	bool has_dev;
	unsigned int major;
	unsigned int minor;
};

struct sysfs_nodes {
	struct sysfs_node *node;
	size_t count;
};

/* In front of /sys, /proc and /dev; "" but for tests. */
extern const char *sysfs_root;

int sysfs_path(char path[PATH_MAX], const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int sysfs_read(const char *path, char *text, size_t len);
int sysfs_link(const char *path, char *name, size_t len);

bool sysfs_pci_exists(const struct bdf *bdf);
int sysfs_pci_attr(const struct bdf *bdf, const char *attr, char *text, size_t len);
int sysfs_pci_id(const struct bdf *bdf, const char *attr, unsigned int *id);
int sysfs_pci_driver(const struct bdf *bdf, char *name, size_t len);
int sysfs_pci_nodes(const struct bdf *bdf, struct sysfs_nodes *nodes);
bool sysfs_pci_settled(const struct bdf *bdf);
void sysfs_nodes_free(struct sysfs_nodes *nodes);

#endif
