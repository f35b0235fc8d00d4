// SPDX-License-Identifier: GPL-2.0-only
/*
 * virtio devices: the one feature bit without which they cannot work here.
 *
 * A device behind a socket sees bus addresses, always. Drivers give it these if it offers
 * VIRTIO_F_ACCESS_PLATFORM, and physical addresses of the host if it does not, which devices
 * made for virtual machines do not: there the two are the same. So the bit is shown to the
 * driver, and kept from the server, which would refuse what it has not offered. Where the server
 * offers it, nothing is touched.
 *
 * The feature bits lie behind two windows of 32 bits each in the common configuration, which can
 * be reached through a BAR and through a capability in config space.
 *
 * A device with the interface of virtio 0.9 only has no such bit.
 *
 * Locking: none of its own. Registers are followed as they are written; a driver whose CPUs write
 * them at the same time does not know what it asked for either.
 */
#include <linux/pci.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>

#include "bars.h"
#include "device.h"
#include "image.h"
#include "virtio.h"

/* The bit's window, and its place there. */
#define VFU_VIRTIO_WINDOW	(VIRTIO_F_ACCESS_PLATFORM / 32)
#define VFU_VIRTIO_BYTE		(VIRTIO_F_ACCESS_PLATFORM % 32 / 8)
#define VFU_VIRTIO_BIT		BIT(VIRTIO_F_ACCESS_PLATFORM % 8)

/* Device ids: transitional ones, and those without the older interface. */
#define VFU_VIRTIO_ID_OLD	0x1000
#define VFU_VIRTIO_ID_NEW	0x1040
#define VFU_VIRTIO_ID_END	0x1080

#define VFU_COMMON(field)	offsetof(struct virtio_pci_common_cfg, field)

static bool vfu_virtio_is(const struct vfu_dev *vdev, u32 first, u32 end)
{
	u32 id = vfu_image_get(vdev, PCI_DEVICE_ID, 2);

	return vfu_image_get(vdev, PCI_VENDOR_ID, 2) == PCI_VENDOR_ID_REDHAT_QUMRANET &&
	       id >= first && id < end;
}

/* Follow a register of 32 bits at @reg of the common configuration. */
static void vfu_virtio_follow(u32 *value, u64 at, const u8 *data, u32 count, u64 reg)
{
	u32 i;

	for (i = 0; i < 4; i++)
		if (reg + i >= at && reg + i < at + count) {
			*value &= ~(0xffU << (8 * i));
			*value |= (u32)data[reg + i - at] << (8 * i);
		}
}

/* The byte of the bit in the register at @reg, or NULL. */
static u8 *vfu_virtio_byte(u64 at, void *data, u32 count, u64 reg)
{
	reg += VFU_VIRTIO_BYTE;
	return reg >= at && reg < at + count ? (u8 *)data + (reg - at) : NULL;
}

/* Does an access touch the common configuration? Sets @at to where in it. */
static bool vfu_virtio_hit(const struct vfu_dev *vdev, u32 region, u64 offset, u32 count, u64 *at)
{
	const struct vfu_virtio *virtio = &vdev->cfg.virtio;

	*at = offset - virtio->common;
	return virtio->modern && region == virtio->bir && offset >= virtio->common &&
	       *at < sizeof(struct virtio_pci_common_cfg);
}

/**
 * vfu_virtio_page() - does a page of a region hold a part of the common configuration?
 * @vdev: device
 * @region: VFIO_PCI_*_REGION_INDEX
 * @offset: of the page, in bytes
 *
 * Such a page traps, whatever the server says.
 *
 * Context: any.
 * Return: true if it does.
 */
bool vfu_virtio_page(const struct vfu_dev *vdev, u32 region, u64 offset)
{
	const struct vfu_virtio *virtio = &vdev->cfg.virtio;

	return virtio->modern && region == virtio->bir && offset + PAGE_SIZE > virtio->common &&
	       offset < virtio->common + sizeof(struct virtio_pci_common_cfg);
}

/**
 * vfu_virtio_read() - what was read of a BAR, with the bit where it belongs
 * @vdev: device
 * @region: VFIO_PCI_*_REGION_INDEX
 * @offset: bytes into the region
 * @data: what the server answered
 * @count: bytes
 *
 * Context: any.
 */
void vfu_virtio_read(struct vfu_dev *vdev, u32 region, u64 offset, void *data, u32 count)
{
	struct vfu_virtio *virtio = &vdev->cfg.virtio;
	u8 *byte;
	u64 at;

	if (!vfu_virtio_hit(vdev, region, offset, count, &at))
		return;
	byte = vfu_virtio_byte(at, data, count, VFU_COMMON(device_feature));
	if (byte && READ_ONCE(virtio->device_select) == VFU_VIRTIO_WINDOW) {
		WRITE_ONCE(virtio->offered, *byte & VFU_VIRTIO_BIT);
		*byte |= VFU_VIRTIO_BIT;
	}
	byte = vfu_virtio_byte(at, data, count, VFU_COMMON(guest_feature));
	if (byte && READ_ONCE(virtio->driver_select) == VFU_VIRTIO_WINDOW &&
	    READ_ONCE(virtio->taken))
		*byte |= VFU_VIRTIO_BIT;
}

/**
 * vfu_virtio_write() - what is to be written to a BAR, without the bit where the server has none
 * @vdev: device
 * @region: VFIO_PCI_*_REGION_INDEX
 * @offset: bytes into the region
 * @data: what the driver writes; changed
 * @count: bytes
 *
 * Context: any.
 */
void vfu_virtio_write(struct vfu_dev *vdev, u32 region, u64 offset, void *data, u32 count)
{
	struct vfu_virtio *virtio = &vdev->cfg.virtio;
	u32 select;
	u8 *byte;
	u64 at;

	if (!vfu_virtio_hit(vdev, region, offset, count, &at))
		return;
	select = READ_ONCE(virtio->device_select);
	vfu_virtio_follow(&select, at, data, count, VFU_COMMON(device_feature_select));
	WRITE_ONCE(virtio->device_select, select);
	select = READ_ONCE(virtio->driver_select);
	vfu_virtio_follow(&select, at, data, count, VFU_COMMON(guest_feature_select));
	WRITE_ONCE(virtio->driver_select, select);
	byte = vfu_virtio_byte(at, data, count, VFU_COMMON(guest_feature));
	if (!byte || select != VFU_VIRTIO_WINDOW || READ_ONCE(virtio->offered))
		return;
	WRITE_ONCE(virtio->taken, *byte & VFU_VIRTIO_BIT);
	*byte &= ~VFU_VIRTIO_BIT;
}

/* Does a config access touch the data of the capability that is a window to a BAR? */
static bool vfu_virtio_config_hit(const struct vfu_dev *vdev, unsigned int where, int size)
{
	unsigned int data = vdev->cfg.virtio.window +
			    offsetof(struct virtio_pci_cfg_cap, pci_cfg_data);

	return vdev->cfg.virtio.window && where + size > data && where < data + 4;
}

/**
 * vfu_virtio_config_read() - the same for config space: the capability that is a window to a BAR
 * @vdev: device
 * @where: offset in config space
 * @size: bytes
 * @val: what the server answered
 *
 * Context: any.
 */
void vfu_virtio_config_read(struct vfu_dev *vdev, unsigned int where, int size, u32 *val)
{
	const struct vfu_virtio *virtio = &vdev->cfg.virtio;
	unsigned int data = virtio->window + offsetof(struct virtio_pci_cfg_cap, pci_cfg_data);
	__le32 raw = cpu_to_le32(*val);

	if (!vfu_virtio_config_hit(vdev, where, size))
		return;
	vfu_virtio_read(vdev, READ_ONCE(virtio->window_bir),
			(u64)READ_ONCE(virtio->window_offset) + where - data, &raw, size);
	*val = le32_to_cpu(raw) & GENMASK(8 * size - 1, 0);
}

/**
 * vfu_virtio_config_write() - the same for a write
 * @vdev: device
 * @where: offset in config space
 * @size: bytes
 * @val: what the driver writes, and what the server is to be told
 *
 * Context: any.
 */
void vfu_virtio_config_write(struct vfu_dev *vdev, unsigned int where, int size, u32 *val)
{
	struct vfu_virtio *virtio = &vdev->cfg.virtio;
	unsigned int cap = virtio->window, data;
	__le32 raw = cpu_to_le32(*val);
	u32 reg;

	if (!cap)
		return;
	data = cap + offsetof(struct virtio_pci_cfg_cap, pci_cfg_data);
	reg = READ_ONCE(virtio->window_offset);
	vfu_virtio_follow(&reg, where, (u8 *)&raw, size,
			  cap + offsetof(struct virtio_pci_cap, offset));
	WRITE_ONCE(virtio->window_offset, reg);
	reg = READ_ONCE(virtio->window_bir);
	vfu_virtio_follow(&reg, where, (u8 *)&raw, size,
			  cap + offsetof(struct virtio_pci_cap, bar));
	/* What follows that byte is padding. */
	WRITE_ONCE(virtio->window_bir, reg & 0xff);
	if (!vfu_virtio_config_hit(vdev, where, size))
		return;
	vfu_virtio_write(vdev, virtio->window_bir, (u64)virtio->window_offset + where - data, &raw,
			 size);
	*val = le32_to_cpu(raw) & GENMASK(8 * size - 1, 0);
}

/* A vendor's capability: which of virtio's structures is where? */
static void vfu_virtio_cap(struct vfu_dev *vdev, unsigned int pos)
{
	struct vfu_virtio *virtio = &vdev->cfg.virtio;
	u32 room = PCI_CFG_SPACE_SIZE - pos;

	if (room < sizeof(struct virtio_pci_cap))
		return;
	switch (vfu_image_get(vdev, pos + offsetof(struct virtio_pci_cap, cfg_type), 1)) {
	case VIRTIO_PCI_CAP_COMMON_CFG:
		/* Drivers take the first one that they can use. */
		if (virtio->modern)
			break;
		virtio->bir = vfu_image_get(vdev, pos + offsetof(struct virtio_pci_cap, bar), 1);
		virtio->common = vfu_image_get(vdev, pos + offsetof(struct virtio_pci_cap, offset),
					       4);
		virtio->modern = virtio->bir < VFU_NR_BARS && vfu_bar_bytes(vdev, virtio->bir);
		/* It is where it was. */
		vfu_image_set(vdev, pos + offsetof(struct virtio_pci_cap, cfg_type), 0xff,
			      VIRTIO_PCI_CAP_COMMON_CFG);
		vfu_image_set(vdev, pos + offsetof(struct virtio_pci_cap, bar), 0xff, virtio->bir);
		vfu_image_set(vdev, pos + offsetof(struct virtio_pci_cap, offset), U32_MAX,
			      virtio->common);
		break;
	case VIRTIO_PCI_CAP_PCI_CFG:
		if (!virtio->window && room >= sizeof(struct virtio_pci_cfg_cap))
			virtio->window = pos;
		break;
	}
}

/**
 * vfu_virtio_init() - is it a virtio device, and one that can work here?
 * @vdev: device after vfu_image_create() and vfu_bars_init()
 *
 * Context: may sleep.
 * Return: 0, or -EOPNOTSUPP: it has only the interface of virtio 0.9.
 */
int vfu_virtio_init(struct vfu_dev *vdev)
{
	unsigned int pos, ttl = PCI_CFG_SPACE_SIZE / 4;

	if (!vfu_virtio_is(vdev, VFU_VIRTIO_ID_OLD, VFU_VIRTIO_ID_END))
		return 0;
	pos = vfu_image_get(vdev, PCI_STATUS, 2) & PCI_STATUS_CAP_LIST ?
	      vfu_image_get(vdev, PCI_CAPABILITY_LIST, 1) : 0;
	for (; pos && ttl--; pos = vfu_image_get(vdev, pos + PCI_CAP_LIST_NEXT, 1))
		if (vfu_image_get(vdev, pos, 1) == PCI_CAP_ID_VNDR)
			vfu_virtio_cap(vdev, pos);
	/* With passthrough, bus addresses are physical ones. */
	if (vdev->cfg.virtio.modern || vdev->ram ||
	    !vfu_virtio_is(vdev, VFU_VIRTIO_ID_OLD, VFU_VIRTIO_ID_NEW))
		return 0;
	return vfu_dev_refuse(vdev, -EOPNOTSUPP,
			      "a virtio device with the legacy interface only, whose driver would give it physical addresses; have the server offer virtio 1.0");
}
