/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * channel.c: /dev/vfiouser.
 */
#ifndef _KMOD_CHANNEL_H
#define _KMOD_CHANNEL_H

#include <linux/types.h>

struct file;
struct netlink_ext_ack;
struct vfu_dev;
struct vfu_dev_params;
struct vfu_ram;
struct vfu_ring;

struct vfu_ring *vfu_channel_ring(struct file *file);
struct vfu_ram *vfu_channel_ram(struct file *file);
struct vfu_dev *vfu_channel_bind(struct file *file, struct vfu_dev_params *params,
				 struct netlink_ext_ack *extack);
int vfu_channel_take(struct file *file, struct vfu_dev *vdev, struct netlink_ext_ack *extack);
int vfu_channel_resume(struct file *file, struct vfu_dev_params *params,
		       struct netlink_ext_ack *extack);
int vfu_channel_init(void);
void vfu_channel_exit(void);

#endif /* _KMOD_CHANNEL_H */
