/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * handback.c: what a virtio driver has in its queues comes back to it.
 */
#ifndef _KMOD_HANDBACK_H
#define _KMOD_HANDBACK_H

#include <linux/types.h>

struct vfu_dev;
struct virtio_device;
struct virtqueue;

bool vfu_handback_is(const struct virtqueue *vq);
void *vfu_handback_next(struct virtqueue *vq, unsigned int *len);

void vfu_handback_all(struct vfu_dev *vdev, struct virtio_device *virtio);
void vfu_handback_stop(struct vfu_dev *vdev);

#endif /* _KMOD_HANDBACK_H */
