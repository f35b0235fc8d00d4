/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * netlink.c: control and events.
 */
#ifndef _KMOD_NETLINK_H
#define _KMOD_NETLINK_H

#include <linux/types.h>

#include <linux/vfiouser.h>

struct vfu_dev;

void vfu_netlink_event(struct vfu_dev *vdev, enum vfiouser_event event, int err);
int vfu_netlink_init(void);
void vfu_netlink_exit(void);

#endif /* _KMOD_NETLINK_H */
