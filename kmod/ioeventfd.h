/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ioeventfd.c: writes that signal the server.
 */
#ifndef _KMOD_IOEVENTFD_H
#define _KMOD_IOEVENTFD_H

#include <linux/types.h>

struct vfiouser_ioeventfd;
struct vfu_dev;

struct vfu_ioeventfds;

bool vfu_ioeventfd_write(struct vfu_dev *vdev, u32 region, u64 offset, const void *data,
			 u32 count);
int vfu_ioeventfd_set(struct vfu_dev *vdev, const struct vfiouser_ioeventfd *arg);
void vfu_ioeventfd_keep(struct vfu_dev *vdev);
void vfu_ioeventfd_drop(struct vfu_dev *vdev);
void vfu_ioeventfd_clear(struct vfu_dev *vdev);

#endif /* _KMOD_IOEVENTFD_H */
