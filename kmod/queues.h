/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * queues.c: drivers of virtio devices that have gone.
 */
#ifndef _KMOD_QUEUES_H
#define _KMOD_QUEUES_H

struct pci_dev;
struct vfu_dev;

void vfu_queues_gone(struct vfu_dev *vdev);
void vfu_queues_leaving(struct vfu_dev *vdev, struct pci_dev *pdev, bool leaving);
void vfu_queues_drain(struct vfu_dev *vdev);
void vfu_queues_stop(struct vfu_dev *vdev);
void vfu_queues_init(struct vfu_dev *vdev);

#endif /* _KMOD_QUEUES_H */
