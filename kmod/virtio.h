/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * virtio.c: the feature bit that drivers need.
 */
#ifndef _KMOD_VIRTIO_H
#define _KMOD_VIRTIO_H

#include <linux/types.h>

struct vfu_dev;

/**
 * struct vfu_virtio - a virtio function's feature bits
 * @modern: it has the common configuration of virtio 1.0, which is in
 * @bir: this region
 * @common: there, in bytes
 * @window: offset in config space of the capability that is a window to BARs, or 0
 * @window_bir: BAR that the window shows
 * @window_offset: where in it
 * @device_select: which of the device's feature bits are to be read
 * @driver_select: which of the driver's are to be written
 * @offered: the server offers VIRTIO_F_ACCESS_PLATFORM itself
 * @taken: the driver has accepted it, and the server does not know
 */
struct vfu_virtio {
	bool modern;
	u32 bir;
	u64 common;
	u32 window;
	u32 window_bir;
	u32 window_offset;
	u32 device_select;
	u32 driver_select;
	bool offered;
	bool taken;
};

int vfu_virtio_init(struct vfu_dev *vdev);
bool vfu_virtio_page(const struct vfu_dev *vdev, u32 region, u64 offset);
void vfu_virtio_read(struct vfu_dev *vdev, u32 region, u64 offset, void *data, u32 count);
void vfu_virtio_write(struct vfu_dev *vdev, u32 region, u64 offset, void *data, u32 count);
void vfu_virtio_config_read(struct vfu_dev *vdev, unsigned int where, int size, u32 *val);
void vfu_virtio_config_write(struct vfu_dev *vdev, unsigned int where, int size, u32 *val);

#endif /* _KMOD_VIRTIO_H */
