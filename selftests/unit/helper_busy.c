// SPDX-License-Identifier: GPL-2.0-only
/*
 * helper/: what is below a PCI device, and who uses it, on a made-up /sys and /proc.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../helper/busy.h"
#include "../../helper/sysfs.h"

#define PCI	"/sys/devices/pci10000:00/10000:00:00.0"
#define NULL_FD	"/dev/null"

static const struct bdf device = { 0x10000, 0, 0 };
static char root[64];

/* The path in the made-up tree, its directories made. */
static const char *at(const char *path)
{
	static char full[PATH_MAX];
	char *slash;

	assert_true(snprintf(full, sizeof(full), "%s%s", root, path) < PATH_MAX);
	for (slash = full + strlen(root) + 1; (slash = strchr(slash, '/')); slash++) {
		*slash = '\0';
		mkdir(full, 0755);
		*slash = '/';
	}
	return full;
}

static void put(const char *path, const char *text)
{
	FILE *f = fopen(at(path), "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void link_to(const char *path, const char *target)
{
	const char *full = at(path);

	unlink(full);
	assert_int_equal(symlink(target, full), 0);
}

static void make_dir(const char *path)
{
	mkdir(at(path), 0755);
}

static void put_node(const char *dir, const char *subsystem, const char *number)
{
	char path[PATH_MAX], target[128];

	snprintf(path, sizeof(path), "%s/subsystem", dir);
	snprintf(target, sizeof(target), "../../../../class/%s", subsystem);
	link_to(path, target);
	if (!number)
		return;
	snprintf(path, sizeof(path), "%s/dev", dir);
	put(path, number);
}

static void put_process(const char *pid, const char *comm, const char *ns, const char *mountinfo)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "/proc/%s/comm", pid);
	put(path, comm);
	snprintf(path, sizeof(path), "/proc/%s/ns/mnt", pid);
	link_to(path, ns);
	snprintf(path, sizeof(path), "/proc/%s/mountinfo", pid);
	put(path, mountinfo);
	snprintf(path, sizeof(path), "/proc/%s/fd", pid);
	make_dir(path);
}

#define ROOT_MOUNT	"25 1 0:22 / / rw,relatime shared:1 - tmpfs none rw\n"

static int setup(void **state)
{
	char path[PATH_MAX], real[64];
	struct stat st;

	(void)state;
	snprintf(root, sizeof(root), "/tmp/vfiouser-busy.XXXXXX");
	if (!mkdtemp(root))
		return -1;
	sysfs_root = root;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/10000:00:00.0");
	make_dir(PCI);
	link_to(path, "../../../devices/pci10000:00/10000:00:00.0");
	put(PCI "/vendor", "0x1b36\n");
	put(PCI "/class", "0x010802\n");
	link_to(PCI "/subsystem", "../../../bus/pci");
	link_to(PCI "/driver", "../../../bus/pci/drivers/nvme");
	put_node(PCI "/nvme/nvme0", "nvme", "241:0\n");
	put_node(PCI "/nvme/nvme0/nvme0n1", "block", "259:0\n");
	put(PCI "/nvme/nvme0/nvme0n1/size", "2048\n");
	make_dir(PCI "/nvme/nvme0/nvme0n1/holders");
	put_node(PCI "/nvme/nvme0/nvme0n1/nvme0n1p1", "block", "259:1\n");
	put(PCI "/nvme/nvme0/nvme0n1/nvme0n1p1/partition", "1\n");
	make_dir(PCI "/nvme/nvme0/nvme0n1/nvme0n1p1/holders");
	/* A way back up, as sysfs has many. */
	link_to(PCI "/nvme/nvme0/device", "../..");
	/* A character device with the number of /dev/null, to be open for real. */
	if (stat(NULL_FD, &st))
		return -1;
	snprintf(real, sizeof(real), "%u:%u\n", major(st.st_rdev), minor(st.st_rdev));
	put_node(PCI "/nvme/nvme0/ng0n1", "nvme-generic", real);

	put_process("self", "vfiouserctl\n", "mnt:[1]", ROOT_MOUNT);
	put_process("10", "init\n", "mnt:[1]", ROOT_MOUNT);
	put("/proc/swaps", "Filename\t\t\tType\t\tSize\n/dev/sda2  partition\t1000\n");
	return 0;
}

static int teardown(void **state)
{
	char command[128];

	(void)state;
	sysfs_root = "";
	snprintf(command, sizeof(command), "rm -rf '%s'", root);
	return system(command);
}

static void check(struct busy *busy)
{
	struct sysfs_nodes nodes;

	assert_int_equal(sysfs_pci_nodes(&device, &nodes), 0);
	assert_int_equal(busy_check(&nodes, busy), 0);
	sysfs_nodes_free(&nodes);
}

static const struct sysfs_node *find(const struct sysfs_nodes *nodes, const char *name)
{
	size_t i;

	for (i = 0; i < nodes->count; i++)
		if (!strcmp(nodes->node[i].name, name))
			return &nodes->node[i];
	return NULL;
}

static void test_nodes(void **state)
{
	const struct bdf other = { 0, 0, 0 };
	const struct sysfs_node *node;
	struct sysfs_nodes nodes;
	unsigned int id;
	char text[64];

	(void)state;
	assert_true(sysfs_pci_exists(&device));
	assert_false(sysfs_pci_exists(&other));
	assert_int_equal(sysfs_pci_nodes(&other, &nodes), -ENOENT);
	assert_int_equal(sysfs_pci_id(&device, "vendor", &id), 0);
	assert_int_equal(id, 0x1b36);
	assert_int_equal(sysfs_pci_driver(&device, text, sizeof(text)), 0);
	assert_string_equal(text, "nvme");
	assert_int_equal(sysfs_pci_driver(&other, text, sizeof(text)), -ENOENT);

	assert_int_equal(sysfs_pci_nodes(&device, &nodes), 0);
	assert_int_equal(nodes.count, 4);
	node = find(&nodes, "nvme0n1p1");
	assert_non_null(node);
	assert_string_equal(node->subsystem, "block");
	assert_true(node->has_dev);
	assert_int_equal(node->major, 259);
	assert_int_equal(node->minor, 1);
	assert_string_equal(node->path, PCI "/nvme/nvme0/nvme0n1/nvme0n1p1");
	assert_non_null(find(&nodes, "nvme0"));
	sysfs_nodes_free(&nodes);
}

/* udev, where it runs, has named all that has a number. */
static void test_settled(void **state)
{
	(void)state;
	put_node(PCI "/nvme/nvme0/nvme0c0n2", "block", NULL);
	assert_true(sysfs_pci_settled(&device));
	put("/run/udev/control", "");
	assert_false(sysfs_pci_settled(&device));
	put("/run/udev/data/b259:0", "I:1\n");
	assert_false(sysfs_pci_settled(&device));
	put("/run/udev/data/b259:1", "I:1\n");
	assert_true(sysfs_pci_settled(&device));

	put_node(PCI "/net/eth1", "net", NULL);
	put(PCI "/net/eth1/ifindex", "7\n");
	assert_false(sysfs_pci_settled(&device));
	put("/run/udev/data/n7", "I:1\n");
	assert_true(sysfs_pci_settled(&device));
}

/* With multipathing the disk is below the subsystem, and its path is hidden. */
static void test_multipath(void **state)
{
	struct sysfs_nodes nodes;
	struct busy busy;

	(void)state;
	put_node(PCI "/nvme/nvme0/nvme0c0n2", "block", NULL);
	put_node("/sys/devices/virtual/nvme-subsystem/nvme-subsys0/nvme0n2", "block", "259:7\n");
	link_to("/sys/devices/virtual/nvme-subsystem/nvme-subsys0/nvme0",
		"../../../pci10000:00/10000:00:00.0/nvme/nvme0");
	link_to("/sys/class/nvme-subsystem/nvme-subsys0",
		"../../devices/virtual/nvme-subsystem/nvme-subsys0");
	/* Another controller's. */
	put_node("/sys/devices/virtual/nvme-subsystem/nvme-subsys1/nvme1n1", "block", "259:8\n");
	link_to("/sys/class/nvme-subsystem/nvme-subsys1",
		"../../devices/virtual/nvme-subsystem/nvme-subsys1");

	assert_int_equal(sysfs_pci_nodes(&device, &nodes), 0);
	assert_non_null(find(&nodes, "nvme0n2"));
	assert_null(find(&nodes, "nvme1n1"));
	assert_false(find(&nodes, "nvme0c0n2")->has_dev);
	sysfs_nodes_free(&nodes);

	put("/proc/self/mountinfo", ROOT_MOUNT
	    "30 25 259:7 / /srv rw - ext4 /dev/nvme0n2 rw\n");
	check(&busy);
	assert_int_equal(busy.count, 1);
	assert_string_equal(busy.first, "nvme0n2 is mounted on /srv; unmount it");
}

static void test_unused(void **state)
{
	struct busy busy;

	(void)state;
	/* What is mounted is another disk's. */
	put("/proc/self/mountinfo", ROOT_MOUNT
	    "30 25 259:2 / /mnt rw,noatime shared:5 master:1 - ext4 /dev/nvme0n10 rw\n"
	    "broken\n\n31 25 259:0\n32 25 259:0 /\n");
	check(&busy);
	assert_int_equal(busy.count, 0);
}

static void test_mounted(void **state)
{
	struct busy busy;

	(void)state;
	put("/proc/self/mountinfo", ROOT_MOUNT
	    "30 25 259:1 / /mnt/a\\040b\\134c rw,noatime shared:5 master:1 - ext4 /dev/x rw\n");
	check(&busy);
	assert_int_equal(busy.count, 1);
	assert_false(busy.passing);
	assert_string_equal(busy.first, "nvme0n1p1 is mounted on /mnt/a b\\c; unmount it");
}

/* btrfs has a device number of its own: only the source tells. */
static void test_mounted_by_source(void **state)
{
	struct busy busy;

	(void)state;
	put("/proc/self/mountinfo", ROOT_MOUNT
	    "30 25 0:44 /@ /mnt rw - btrfs /dev/nvme0n1 rw\n");
	check(&busy);
	assert_int_equal(busy.count, 1);
	assert_string_equal(busy.first, "nvme0n1 is mounted on /mnt; unmount it");
}

static void test_other_namespace(void **state)
{
	struct busy busy;

	(void)state;
	put_process("11", "same\n", "mnt:[1]", "30 25 259:0 / /seen rw - ext4 /dev/nvme0n1 rw\n");
	put_process("12", "contained\n", "mnt:[2]", "30 25 259:0 / /c rw - ext4 /dev/nvme0n1 rw\n");
	put_process("13", "contained2\n", "mnt:[2]", "30 25 259:0 / /c rw - ext4 /dev/nvme0n1 rw\n");
	check(&busy);
	/* Once for the namespace, by whichever process comes first; not for our own again. */
	assert_int_equal(busy.count, 1);
	assert_non_null(strstr(busy.first,
			       "nvme0n1 is mounted on /c in the mount namespace of process 1"));
	assert_non_null(strstr(busy.first, "(contained"));
}

static void test_swap(void **state)
{
	struct busy busy;

	(void)state;
	put("/proc/swaps", "Filename\t\t\tType\t\tSize\n/dev/nvme0n1p1   partition\t1000\n");
	check(&busy);
	assert_int_equal(busy.count, 1);
	assert_string_equal(busy.first, "nvme0n1p1 is used as swap; swapoff it");
}

static void test_holders(void **state)
{
	struct busy busy;

	(void)state;
	link_to(PCI "/nvme/nvme0/nvme0n1/holders/dm-0", "../../../../../../virtual/block/dm-0");
	put("/sys/class/block/dm-0/dm/name", "vg-root\n");
	link_to(PCI "/nvme/nvme0/nvme0n1/nvme0n1p1/holders/md0", "../../md0");
	check(&busy);
	assert_int_equal(busy.count, 2);
	assert_false(busy.passing);
	assert_string_equal(busy.first, "nvme0n1 is part of dm-0 (vg-root); stop that");
}

static void test_loop(void **state)
{
	struct busy busy;

	(void)state;
	put("/sys/block/loop0/loop/backing_file", "/dev/nvme0n10\n");
	put("/sys/block/loop1/size", "0\n");
	check(&busy);
	assert_int_equal(busy.count, 0);
	put("/sys/block/loop7/loop/backing_file", "/dev/nvme0n1\n");
	check(&busy);
	assert_int_equal(busy.count, 1);
	assert_string_equal(busy.first, "nvme0n1 is behind loop7; detach that with losetup");
}

static void test_open_file(void **state)
{
	struct busy busy;

	(void)state;
	put_process("14", "fio\n", "mnt:[1]", "");
	/* The made-up process has the real /dev/null open. */
	link_to("/proc/14/fd/3", NULL_FD);
	link_to("/proc/14/fd/4", NULL_FD);
	link_to("/proc/14/fd/5", "/nonexistent");
	check(&busy);
	assert_int_equal(busy.count, 1);
	assert_true(busy.passing);
	assert_string_equal(busy.first, "ng0n1 is open in process 14 (fio); end it");

	/* A mount says more than an open file, and does not go away by itself. */
	put("/proc/self/mountinfo", ROOT_MOUNT "30 25 259:0 / /mnt rw - ext4 /dev/x rw\n");
	check(&busy);
	assert_int_equal(busy.count, 2);
	assert_false(busy.passing);
	assert_string_equal(busy.first, "nvme0n1 is mounted on /mnt; unmount it");
}

#define TEST(name)	cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_nodes),
		TEST(test_settled),
		TEST(test_multipath),
		TEST(test_unused),
		TEST(test_mounted),
		TEST(test_mounted_by_source),
		TEST(test_other_namespace),
		TEST(test_swap),
		TEST(test_holders),
		TEST(test_loop),
		TEST(test_open_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
