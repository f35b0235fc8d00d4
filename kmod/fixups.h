/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * fixups.c: IDs on which the kernel acts beyond the device.
 */
#ifndef _KMOD_FIXUPS_H
#define _KMOD_FIXUPS_H

#include <linux/types.h>

struct vfu_dev;

int vfu_fixups_check(struct vfu_dev *vdev);

#endif /* _KMOD_FIXUPS_H */
