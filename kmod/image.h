/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * image.c: what of config space was checked.
 */
#ifndef _KMOD_IMAGE_H
#define _KMOD_IMAGE_H

#include <linux/types.h>

struct vfu_dev;

struct vfu_image;

#define VFU_HEADER_MULTI	0x80	/* PCI_HEADER_TYPE_MFD, from 6.8 on */

int vfu_image_create(struct vfu_dev *vdev);
void vfu_image_destroy(struct vfu_dev *vdev);
u32 vfu_image_get(const struct vfu_dev *vdev, unsigned int where, int size);
void vfu_image_set(struct vfu_dev *vdev, unsigned int where, u32 bits, u32 value);
bool vfu_image_answers(const struct vfu_dev *vdev, unsigned int where, int size);
void vfu_image_apply(const struct vfu_dev *vdev, unsigned int where, int size, u32 *val);

#endif /* _KMOD_IMAGE_H */
