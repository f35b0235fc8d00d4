// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who uses a device: mounts in any mount namespace, swap, block devices stacked on it, open files,
 * and whatever else in the kernel has claimed it. A snapshot: whoever comes later is not seen, and
 * gets I/O errors.
 *
 * Looks only at /proc and /sys below sysfs_root. Owns nothing.
 *
 * busy_release() ends the uses that can be ended without harm: mounts.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "busy.h"
#include "log.h"

struct scan {
	const struct sysfs_nodes *nodes;
	struct busy *busy;
	/* Mount namespaces seen, by what /proc/PID/ns/mnt says. */
	char (*namespaces)[32];
	size_t nr_namespaces;
	bool unmount;
	bool failed;
};

static void found(struct scan *scan, bool passing, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static void found(struct scan *scan, bool passing, const char *fmt, ...)
{
	struct busy *busy = scan->busy;
	char text[sizeof(busy->first)];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	log_clean(text);
	log_debug("in use: %s", text);
	if (!busy->count || (busy->passing && !passing))
		memcpy(busy->first, text, sizeof(text));
	busy->passing = (busy->passing || !busy->count) && passing;
	busy->count++;
}

static const struct sysfs_node *by_number(const struct scan *scan, bool block, unsigned int major,
					  unsigned int minor)
{
	const struct sysfs_node *node;
	size_t i;

	for (i = 0; i < scan->nodes->count; i++) {
		node = &scan->nodes->node[i];
		if (node->has_dev && node->major == major && node->minor == minor &&
		    !strcmp(node->subsystem, "block") == block)
			return node;
	}
	return NULL;
}

/* A device file, by the name in /dev that the kernel gave it or by what it is. */
static const struct sysfs_node *by_file(const struct scan *scan, const char *file)
{
	const struct sysfs_node *node;
	char path[PATH_MAX];
	struct stat st;
	size_t i;

	if (strncmp(file, "/dev/", 5))
		return NULL;
	for (i = 0; i < scan->nodes->count; i++) {
		node = &scan->nodes->node[i];
		if (!strcmp(node->subsystem, "block") && !strcmp(node->name, file + 5))
			return node;
	}
	if (sysfs_path(path, "%s", file) || stat(path, &st) || !S_ISBLK(st.st_mode))
		return NULL;
	return by_number(scan, true, major(st.st_rdev), minor(st.st_rdev));
}

/* The kernel writes space, tab, newline and backslash as \ooo. In place. */
static void unescape(char *text)
{
	char *to = text;

	for (; *text; text++) {
		if (text[0] == '\\' && text[1] >= '0' && text[1] <= '3' &&
		    text[2] >= '0' && text[2] <= '7' && text[3] >= '0' && text[3] <= '7') {
			*to++ = (text[1] - '0') << 6 | (text[2] - '0') << 3 | (text[3] - '0');
			text += 3;
		} else {
			*to++ = *text;
		}
	}
	*to = '\0';
}

/* One line of mountinfo (proc_pid_mountinfo(5)). pid: whose, if not of our own namespace. */
static void mount_line(struct scan *scan, char *line, const char *pid, const char *comm)
{
	const struct sysfs_node *node;
	unsigned int major, minor;
	char *where, *source, *save;
	int i;

	if (sscanf(line, "%*s %*s %u:%u", &major, &minor) != 2)
		return;
	strtok_r(line, " ", &save);
	for (i = 0; i < 3; i++)
		if (!strtok_r(NULL, " ", &save))
			return;
	where = strtok_r(NULL, " ", &save);
	if (!where)
		return;
	/* Options and any number of tags, a dash, the type, the source. */
	do {
		source = strtok_r(NULL, " ", &save);
	} while (source && strcmp(source, "-"));
	if (source && strtok_r(NULL, " ", &save))
		source = strtok_r(NULL, " ", &save);

	/* btrfs and others have numbers of their own, so the source counts as well. */
	node = by_number(scan, true, major, minor);
	if (!node && source) {
		unescape(source);
		node = by_file(scan, source);
	}
	if (!node)
		return;
	unescape(where);
	if (!pid && scan->unmount && !umount2(where, UMOUNT_NOFOLLOW)) {
		log_note("%s: unmounted %s", node->name, where);
		return;
	}
	if (pid)
		found(scan, false, "%s is mounted on %s in the mount namespace of process %s (%s); unmount it there",
		      node->name, where, pid, comm);
	else
		found(scan, false, "%s is mounted on %s; unmount it", node->name, where);
}

static void scan_mounts(struct scan *scan, const char *pid, bool own)
{
	char path[PATH_MAX], ns[32] = "", comm[32] = "?";
	char (*more)[32];
	char *line = NULL;
	size_t len = 0, i;
	FILE *f;

	/* Each namespace once. Where that cannot be told, it is the same. */
	if (sysfs_path(path, "/proc/%s/ns/mnt", pid) || sysfs_link(path, ns, sizeof(ns)))
		if (!own)
			return;
	for (i = 0; i < scan->nr_namespaces; i++)
		if (!strcmp(scan->namespaces[i], ns))
			return;
	more = reallocarray(scan->namespaces, scan->nr_namespaces + 1, sizeof(*more));
	if (!more) {
		scan->failed = true;
		return;
	}
	scan->namespaces = more;
	memcpy(more[scan->nr_namespaces++], ns, sizeof(ns));

	if (sysfs_path(path, "/proc/%s/comm", pid) || sysfs_read(path, comm, sizeof(comm)))
		snprintf(comm, sizeof(comm), "?");
	if (sysfs_path(path, "/proc/%s/mountinfo", pid))
		return;
	f = fopen(path, "re");
	if (!f)
		return;
	while (getline(&line, &len, f) > 0) {
		line[strcspn(line, "\n")] = '\0';
		mount_line(scan, line, own ? NULL : pid, comm);
	}
	free(line);
	fclose(f);
}

static void scan_swaps(struct scan *scan)
{
	const struct sysfs_node *node;
	char path[PATH_MAX];
	char *line = NULL;
	size_t len = 0;
	FILE *f;

	if (sysfs_path(path, "/proc/swaps"))
		return;
	f = fopen(path, "re");
	if (!f)
		return;
	while (getline(&line, &len, f) > 0) {
		line[strcspn(line, " \t\n")] = '\0';
		unescape(line);
		node = by_file(scan, line);
		if (node)
			found(scan, false, "%s is used as swap; swapoff it", node->name);
	}
	free(line);
	fclose(f);
}

static void scan_holders(struct scan *scan, const struct sysfs_node *node)
{
	char path[PATH_MAX], name[128];
	struct dirent *entry;
	DIR *d;

	if (sysfs_path(path, "%s/holders", node->path))
		return;
	d = opendir(path);
	if (!d)
		return;
	while ((entry = readdir(d))) {
		if (entry->d_name[0] == '.')
			continue;
		if (sysfs_path(path, "/sys/class/block/%s/dm/name", entry->d_name) ||
		    sysfs_read(path, name, sizeof(name)))
			found(scan, false, "%s is part of %s; stop that", node->name,
			      entry->d_name);
		else
			found(scan, false, "%s is part of %s (%s); stop that", node->name,
			      entry->d_name, name);
	}
	closedir(d);
}

/* Loop devices are no holders. */
static void scan_loops(struct scan *scan)
{
	const struct sysfs_node *node;
	char path[PATH_MAX], file[PATH_MAX];
	struct dirent *entry;
	DIR *d;

	if (sysfs_path(path, "/sys/block"))
		return;
	d = opendir(path);
	if (!d)
		return;
	while ((entry = readdir(d))) {
		if (strncmp(entry->d_name, "loop", 4) ||
		    sysfs_path(path, "/sys/block/%s/loop/backing_file", entry->d_name) ||
		    sysfs_read(path, file, sizeof(file)))
			continue;
		node = by_file(scan, file);
		if (node)
			found(scan, false, "%s is behind %s; detach that with losetup", node->name,
			      entry->d_name);
	}
	closedir(d);
}

/*
 * Who uses a disk in earnest has claimed it, also where no list says so (the second disk of a
 * btrfs, an exported one). A claim of ours, for a moment, is refused then.
 */
static void scan_claims(struct scan *scan)
{
	const struct sysfs_node *node;
	char path[PATH_MAX];
	size_t i;
	int fd;

	for (i = 0; i < scan->nodes->count; i++) {
		node = &scan->nodes->node[i];
		if (strcmp(node->subsystem, "block") || !node->has_dev ||
		    sysfs_path(path, "/dev/%s", node->name))
			continue;
		fd = open(path, O_RDONLY | O_EXCL | O_NONBLOCK | O_CLOEXEC);
		if (fd >= 0)
			close(fd);
		else if (errno == EBUSY)
			found(scan, false, "%s is claimed by something in the kernel; end that",
			      node->name);
	}
}

static void scan_files(struct scan *scan, const char *pid)
{
	const struct sysfs_node *node;
	char path[PATH_MAX], comm[32];
	struct dirent *entry;
	struct stat st;
	DIR *d;

	if (sysfs_path(path, "/proc/%s/fd", pid))
		return;
	d = opendir(path);
	if (!d)
		return;
	while ((entry = readdir(d))) {
		if (!isdigit((unsigned char)entry->d_name[0]) ||
		    sysfs_path(path, "/proc/%s/fd/%s", pid, entry->d_name) || stat(path, &st) ||
		    !(S_ISBLK(st.st_mode) || S_ISCHR(st.st_mode)))
			continue;
		node = by_number(scan, S_ISBLK(st.st_mode), major(st.st_rdev), minor(st.st_rdev));
		if (!node)
			continue;
		if (sysfs_path(path, "/proc/%s/comm", pid) ||
		    sysfs_read(path, comm, sizeof(comm)))
			snprintf(comm, sizeof(comm), "?");
		found(scan, true, "%s is open in process %s (%s); end it", node->name, pid, comm);
		/* Once for each process is enough. */
		break;
	}
	closedir(d);
}

static void scan_processes(struct scan *scan)
{
	struct dirent *entry;
	char path[PATH_MAX];
	DIR *d;

	if (sysfs_path(path, "/proc"))
		return;
	d = opendir(path);
	if (!d)
		return;
	while ((entry = readdir(d))) {
		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		scan_mounts(scan, entry->d_name, false);
		scan_files(scan, entry->d_name);
	}
	closedir(d);
}

static int look(const struct sysfs_nodes *nodes, struct busy *busy, bool unmount)
{
	struct scan scan = { .nodes = nodes, .busy = busy, .unmount = unmount };
	bool any = false;
	size_t i;

	memset(busy, 0, sizeof(*busy));
	for (i = 0; i < nodes->count; i++)
		any |= nodes->node[i].has_dev;
	if (!any)
		return 0;
	scan_mounts(&scan, "self", true);
	scan_swaps(&scan);
	scan_loops(&scan);
	for (i = 0; i < nodes->count; i++)
		if (!strcmp(nodes->node[i].subsystem, "block"))
			scan_holders(&scan, &nodes->node[i]);
	scan_processes(&scan);
	/* Last, since it knows least. */
	if (!busy->count)
		scan_claims(&scan);
	free(scan.namespaces);
	return scan.failed ? -ENOMEM : 0;
}

/**
 * busy_check() - find the uses of devices
 * @nodes: the devices
 * @busy: result
 *
 * Each use is also a line of --verbose.
 *
 * Context: may sleep.
 * Return: 0, also if there are uses, or a negative errno.
 */
int busy_check(const struct sysfs_nodes *nodes, struct busy *busy)
{
	return look(nodes, busy, false);
}

/**
 * busy_release() - unmount what is mounted of devices, and find the uses that are left
 * @nodes: the devices
 * @busy: result
 *
 * Only in our own mount namespace, and only what nobody uses; below another mount that is
 * seen by the next call.
 *
 * Context: may sleep, as long as it takes to write what was not yet written.
 * Return: as busy_check().
 */
int busy_release(const struct sysfs_nodes *nodes, struct busy *busy)
{
	return look(nodes, busy, true);
}
