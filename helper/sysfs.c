// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the kernel made of a PCI device: its driver, disks, network interfaces, read from sysfs.
 * Nothing here reads config space or waits for a driver.
 *
 * Owns: nothing; results are the caller's. What is read may change while it is read: what is gone
 * again is left out.
 */
#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sysfs.h"

/* Deeper than any device is below its PCI device. */
#define MAX_DEPTH	12

const char *sysfs_root = "";

/**
 * sysfs_path() - a path below sysfs_root
 * @path: result
 * @fmt: printf format
 *
 * Context: any.
 * Return: 0 or -ENAMETOOLONG.
 */
int sysfs_path(char path[PATH_MAX], const char *fmt, ...)
{
	va_list args;
	int n, len;

	n = snprintf(path, PATH_MAX, "%s", sysfs_root);
	if (n >= PATH_MAX)
		return -ENAMETOOLONG;
	va_start(args, fmt);
	len = vsnprintf(path + n, PATH_MAX - n, fmt, args);
	va_end(args);
	return len < PATH_MAX - n ? 0 : -ENAMETOOLONG;
}

/**
 * sysfs_read() - the first line of a file
 * @path: with sysfs_root
 * @text: result, without the newline
 * @len: bytes there are in @text
 *
 * Context: may sleep.
 * Return: 0 or a negative errno.
 */
int sysfs_read(const char *path, char *text, size_t len)
{
	FILE *f;
	int err = 0;

	f = fopen(path, "re");
	if (!f)
		return -errno;
	if (fgets(text, len, f))
		text[strcspn(text, "\n")] = '\0';
	else
		err = ferror(f) ? -EIO : -ENODATA;
	fclose(f);
	return err;
}

/**
 * sysfs_link() - the last component of what a link points to
 * @path: with sysfs_root
 * @name: result
 * @len: bytes there are in @name
 *
 * Context: may sleep.
 * Return: 0 or a negative errno.
 */
int sysfs_link(const char *path, char *name, size_t len)
{
	char target[PATH_MAX];
	const char *base;
	ssize_t n;

	n = readlink(path, target, sizeof(target) - 1);
	if (n < 0)
		return -errno;
	target[n] = '\0';
	base = strrchr(target, '/');
	snprintf(name, len, "%s", base ? base + 1 : target);
	return 0;
}

static int pci_path(char path[PATH_MAX], const struct bdf *bdf, const char *attr)
{
	char text[BDF_TEXT];

	format_bdf(text, bdf);
	return sysfs_path(path, "/sys/bus/pci/devices/%s%s%s", text, *attr ? "/" : "", attr);
}

/**
 * sysfs_pci_exists() - is there such a PCI device?
 * @bdf: its address
 *
 * Context: may sleep.
 * Return: true if there is.
 */
bool sysfs_pci_exists(const struct bdf *bdf)
{
	char path[PATH_MAX];

	return !pci_path(path, bdf, "") && !access(path, F_OK);
}

/**
 * sysfs_pci_attr() - an attribute of a PCI device
 * @bdf: its address
 * @attr: file name
 * @text: result
 * @len: bytes there are in @text
 *
 * Context: may sleep.
 * Return: 0 or a negative errno.
 */
int sysfs_pci_attr(const struct bdf *bdf, const char *attr, char *text, size_t len)
{
	char path[PATH_MAX];

	return pci_path(path, bdf, attr) ? : sysfs_read(path, text, len);
}

/**
 * sysfs_pci_id() - a numeric attribute of a PCI device: "vendor", "device", "class"
 * @bdf: its address
 * @attr: file name
 * @id: result
 *
 * Context: may sleep.
 * Return: 0 or a negative errno.
 */
int sysfs_pci_id(const struct bdf *bdf, const char *attr, unsigned int *id)
{
	uint64_t value;
	char text[32];
	int err;

	err = sysfs_pci_attr(bdf, attr, text, sizeof(text));
	if (!err)
		err = parse_u64(text, UINT32_MAX, &value);
	if (!err)
		*id = value;
	return err;
}

/**
 * sysfs_pci_driver() - the driver of a PCI device
 * @bdf: its address
 * @name: result
 * @len: bytes there are in @name
 *
 * Context: may sleep.
 * Return: 0 or a negative errno, -ENOENT if it has none.
 */
int sysfs_pci_driver(const struct bdf *bdf, char *name, size_t len)
{
	char path[PATH_MAX];

	return pci_path(path, bdf, "driver") ? : sysfs_link(path, name, len);
}

static int add_node(struct sysfs_nodes *nodes, const char *dir, const char *subsystem)
{
	struct sysfs_node *more, *node;
	char path[PATH_MAX], text[32];
	size_t i;

	for (i = 0; i < nodes->count; i++)
		if (!strcmp(nodes->node[i].path, dir))
			return 0;
	more = reallocarray(nodes->node, nodes->count + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	nodes->node = more;
	node = &more[nodes->count++];
	memset(node, 0, sizeof(*node));
	snprintf(node->subsystem, sizeof(node->subsystem), "%s", subsystem);
	snprintf(node->name, sizeof(node->name), "%s", strrchr(dir, '/') + 1);
	snprintf(node->path, sizeof(node->path), "%s", dir);
	if (snprintf(path, sizeof(path), "%s%s/dev", sysfs_root, dir) < PATH_MAX &&
	    !sysfs_read(path, text, sizeof(text)))
		node->has_dev = sscanf(text, "%u:%u", &node->major, &node->minor) == 2;
	return 0;
}

/* Collects dir and what is below it. dir is without sysfs_root. */
static int walk(struct sysfs_nodes *nodes, const char *dir, int depth)
{
	char path[PATH_MAX], subsystem[64];
	struct dirent *entry;
	int err = 0;
	DIR *d;

	if (sysfs_path(path, "%s/subsystem", dir))
		return 0;
	if (depth && !sysfs_link(path, subsystem, sizeof(subsystem)))
		err = add_node(nodes, dir, subsystem);
	if (err || depth == MAX_DEPTH || sysfs_path(path, "%s", dir))
		return err;
	d = opendir(path);
	if (!d)
		return 0;
	while (!err && (entry = readdir(d))) {
		if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
			continue;
		if (snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name) < PATH_MAX)
			err = walk(nodes, path, depth + 1);
	}
	closedir(d);
	return err;
}

/* The directory that a link points to, without sysfs_root. */
static int resolve(char dir[PATH_MAX], const char *path)
{
	char real[PATH_MAX], root[PATH_MAX] = "";
	size_t skip;

	if (*sysfs_root && !realpath(sysfs_root, root))
		return -errno;
	if (!realpath(path, real))
		return -errno;
	skip = strlen(root);
	snprintf(dir, PATH_MAX, "%s", strncmp(real, root, skip) ? real : real + skip);
	return 0;
}

/*
 * With NVMe multipathing the disk is not below its controller but below the subsystem, which may
 * have more controllers; what it is used for counts in any case.
 */
static int walk_nvme_subsystems(struct sysfs_nodes *nodes, const char *controller)
{
	char path[PATH_MAX], dir[PATH_MAX];
	struct dirent *entry;
	int err = 0;
	DIR *d;

	if (sysfs_path(path, "/sys/class/nvme-subsystem"))
		return 0;
	d = opendir(path);
	if (!d)
		return 0;
	while (!err && (entry = readdir(d))) {
		if (entry->d_name[0] == '.' ||
		    sysfs_path(path, "/sys/class/nvme-subsystem/%s/%s", entry->d_name,
			       controller) ||
		    access(path, F_OK))
			continue;
		if (!sysfs_path(path, "/sys/class/nvme-subsystem/%s", entry->d_name) &&
		    !resolve(dir, path))
			err = walk(nodes, dir, 0);
	}
	closedir(d);
	return err;
}

/**
 * sysfs_pci_nodes() - all kernel devices below a PCI device
 * @bdf: its address
 * @nodes: result, for sysfs_nodes_free(); parents before their children
 *
 * Context: may sleep.
 * Return: 0 or a negative errno, -ENOENT if there is no such PCI device.
 */
int sysfs_pci_nodes(const struct bdf *bdf, struct sysfs_nodes *nodes)
{
	char path[PATH_MAX], dir[PATH_MAX];
	char controller[64];
	size_t i, n;
	int err;

	memset(nodes, 0, sizeof(*nodes));
	err = pci_path(path, bdf, "");
	if (!err)
		err = resolve(dir, path);
	if (!err)
		err = walk(nodes, dir, 0);
	n = nodes->count;
	for (i = 0; !err && i < n; i++) {
		if (strcmp(nodes->node[i].subsystem, "nvme"))
			continue;
		memcpy(controller, nodes->node[i].name, sizeof(controller));
		err = walk_nvme_subsystems(nodes, controller);
	}
	if (err)
		sysfs_nodes_free(nodes);
	return err;
}

/**
 * sysfs_nodes_free() - free a list
 * @nodes: from sysfs_pci_nodes()
 *
 * Context: any.
 */
void sysfs_nodes_free(struct sysfs_nodes *nodes)
{
	free(nodes->node);
	nodes->node = NULL;
	nodes->count = 0;
}

/**
 * sysfs_pci_settled() - has udev named all that is below a PCI device?
 * @bdf: its address
 *
 * Looks at disks, partitions and network interfaces: what udev knows of one is in a file, which it
 * writes when the names are there.
 *
 * Context: may sleep.
 * Return: true as well where no udev is running, or there is no such device.
 */
bool sysfs_pci_settled(const struct bdf *bdf)
{
	char path[PATH_MAX], index[32];
	struct sysfs_nodes nodes;
	bool settled = true;
	size_t i;

	if (sysfs_path(path, "/run/udev/control") || access(path, F_OK) ||
	    sysfs_pci_nodes(bdf, &nodes))
		return true;
	for (i = 0; settled && i < nodes.count; i++) {
		const struct sysfs_node *node = &nodes.node[i];
		int err = -ENOENT;

		if (!strcmp(node->subsystem, "block") && node->has_dev)
			err = sysfs_path(path, "/run/udev/data/b%u:%u", node->major, node->minor);
		else if (!strcmp(node->subsystem, "net") &&
			 !sysfs_path(path, "%s/ifindex", node->path) &&
			 !sysfs_read(path, index, sizeof(index)))
			err = sysfs_path(path, "/run/udev/data/n%s", index);
		settled = err || !access(path, F_OK);
	}
	sysfs_nodes_free(&nodes);
	return settled;
}
