/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The command that was typed, while its helper makes the device.
 */
#ifndef HELPER_FRONT_H
#define HELPER_FRONT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "netlink.h"

struct attach_options;

/* How often the front looks at sysfs. */
#define FRONT_LOOK_MS			20

/**
 * struct front - the command that was typed
 * @opt: its options
 * @nl: subscribed to events
 * @helper: process id
 * @fd: our end of the pair; readable or hung up
 * @refused: the kernel has refused the device, and ends its helper
 * @device: what is being attached
 */
struct front {
	const struct attach_options *opt;
	struct netlink *nl;
	pid_t helper;
	int fd;
	bool refused;
	struct netlink_device device;
};

/* front.c */
int front_run(const struct attach_options *opt, pid_t helper, int fd, struct netlink *nl);
bool front_pause(const struct front *front, int ms);
int front_helper_ended(struct front *front);
void front_progress(const struct front *front, int64_t start, const char *what);

/* usable.c */
int front_wait_usable(struct front *front);

#endif
