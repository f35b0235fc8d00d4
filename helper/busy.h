/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Who uses a device.
 */
#ifndef HELPER_BUSY_H
#define HELPER_BUSY_H

#include <stdbool.h>
#include <stddef.h>

#include "sysfs.h"

/**
 * struct busy - the uses that were found
 * @count: how many
 * @passing: all of them are open files of processes that may just be having a look (udev)
 * @first: the most telling of them: "nvme0n1 is mounted on /mnt; unmount it"
 */
struct busy {
	size_t count;
	bool passing;
	char first[PATH_MAX + 128];
};

int busy_check(const struct sysfs_nodes *nodes, struct busy *busy);
int busy_release(const struct sysfs_nodes *nodes, struct busy *busy);

#endif
