// SPDX-License-Identifier: GPL-2.0-only
/*
 * What of config space was checked when the device was made, and is answered from that.
 *
 * The PCI core reads registers again and believes them: where the vector table is, what kind of
 * function this is, which capabilities there are. A server that answers otherwise later could
 * have the kernel write where it should not. So the server is asked once, here; what is made of
 * its answers is made of this copy, and the bits that were looked at stay what they were.
 *
 * What reaches beyond the function is taken out of the lists: virtual functions and their like
 * are resources of the host's that nobody has set up behind a socket.
 *
 * Locking: none; written before the device is on a bus, read-only from then on.
 * Lifetime: vfu_image_create() to vfu_image_destroy(), with the device.
 */
#include <linux/pci.h>
#include <linux/slab.h>
#include <linux/virtio_pci.h>

#include "bridge.h"
#include "device.h"
#include "image.h"
#include "ring.h"

/* Entries of a list that has no loop. */
#define VFU_CAPS_MAX		((PCI_CFG_SPACE_SIZE - PCI_STD_HEADER_SIZEOF) / 4)
#define VFU_EXT_CAPS_MAX	((PCI_CFG_SPACE_EXP_SIZE - PCI_CFG_SPACE_SIZE) / 8)

/* 7.x has names for all of these, 6.1 does not. */
#define VFU_EXT_CAP_VF_REBAR	0x24

/**
 * struct vfu_image - config space as it was when it was checked
 * @size: bytes of the server's
 * @value: the registers, as read or as they are to be shown
 * @known: bits of these that are answered from here
 * @hidden: capabilities that were taken out, in words
 */
struct vfu_image {
	unsigned int size;
	u32 value[PCI_CFG_SPACE_EXP_SIZE / 4];
	u32 known[PCI_CFG_SPACE_EXP_SIZE / 4];
	char hidden[160];
};

/* ---- the copy ---- */

static int vfu_image_fetch(struct vfu_dev *vdev, unsigned int where)
{
	__le32 raw = 0;
	int err;

	vfu_count(vdev, VFU_STAT_CONFIG, 1);
	err = vfu_region_read(vdev, VFIO_PCI_CONFIG_REGION_INDEX, where, &raw, sizeof(raw));
	vdev->cfg.image->value[where / 4] = le32_to_cpu(raw);
	return err;
}

/**
 * vfu_image_get() - a register as it is in the copy
 * @vdev: device
 * @where: offset in config space, below 256, or of an extended capability's header
 * @size: 1, 2 or 4 bytes, aligned
 *
 * Context: any.
 * Return: the register; 0 where the copy ends.
 */
u32 vfu_image_get(const struct vfu_dev *vdev, unsigned int where, int size)
{
	if (where + size > PCI_CFG_SPACE_EXP_SIZE)
		return 0;
	return vdev->cfg.image->value[where / 4] >> (8 * (where % 4)) & GENMASK(8 * size - 1, 0);
}

/**
 * vfu_image_set() - bits of a register are shown like this from now on
 * @vdev: device that is on no bus yet
 * @where: offset in config space, any alignment
 * @bits: which of the 32 bits from there on
 * @value: what they are
 *
 * Context: any.
 */
void vfu_image_set(struct vfu_dev *vdev, unsigned int where, u32 bits, u32 value)
{
	struct vfu_image *image = vdev->cfg.image;
	unsigned int shift = 8 * (where % 4), i = where / 4;
	u64 mask = (u64)bits << shift, new = (u64)(value & bits) << shift;

	for (; mask && i < ARRAY_SIZE(image->value); i++, mask >>= 32, new >>= 32) {
		image->known[i] |= (u32)mask;
		image->value[i] = (image->value[i] & ~(u32)mask) | (u32)new;
	}
}

/* They stay as they were read. */
static void vfu_image_keep(struct vfu_dev *vdev, unsigned int where, u32 bits)
{
	vfu_image_set(vdev, where, bits, vfu_image_get(vdev, where & ~3u, 4) >> (8 * (where % 4)));
}

/**
 * vfu_image_answers() - is all of a register answered from the copy?
 * @vdev: device
 * @where: offset in config space
 * @size: 1, 2 or 4 bytes, aligned
 *
 * Context: any.
 * Return: true if the server need not be asked.
 */
bool vfu_image_answers(const struct vfu_dev *vdev, unsigned int where, int size)
{
	u32 bits = GENMASK(8 * size - 1, 0);

	return (vdev->cfg.image->known[where / 4] >> (8 * (where % 4)) & bits) == bits;
}

/**
 * vfu_image_apply() - what the server answered, but for what was checked
 * @vdev: device
 * @where: offset in config space
 * @size: 1, 2 or 4 bytes, aligned
 * @val: the answer, and what is to be shown
 *
 * Context: any.
 */
void vfu_image_apply(const struct vfu_dev *vdev, unsigned int where, int size, u32 *val)
{
	const struct vfu_image *image = vdev->cfg.image;
	unsigned int shift = 8 * (where % 4);
	u32 known = image->known[where / 4] >> shift;

	*val = (*val & ~known) | (image->value[where / 4] >> shift & known);
	*val &= GENMASK(8 * size - 1, 0);
}

/* ---- what is not shown ---- */

static void vfu_image_hide(struct vfu_dev *vdev, unsigned int pos, const char *what)
{
	struct vfu_image *image = vdev->cfg.image;
	size_t len = strlen(image->hidden);

	if (!strstr(image->hidden, what))
		scnprintf(image->hidden + len, sizeof(image->hidden) - len, "%s%s",
			  len ? ", " : "", what);
	/* Nor is it found by who does not follow the list. */
	vfu_image_set(vdev, pos, pos < PCI_CFG_SPACE_SIZE ? 0xffff : U32_MAX, 0);
}

/* Why a capability is not shown, or NULL. */
static const char *vfu_cap_hidden(struct vfu_dev *vdev, unsigned int pos)
{
	u32 room = PCI_CFG_SPACE_SIZE - pos;

	switch (vfu_image_get(vdev, pos, 1)) {
	case PCI_CAP_ID_VNDR:
		/* Memory that drivers map as RAM, to run programs from it. */
		if (vfu_image_get(vdev, PCI_VENDOR_ID, 2) == PCI_VENDOR_ID_REDHAT_QUMRANET &&
		    room >= sizeof(struct virtio_pci_cap) &&
		    vfu_image_get(vdev, pos + offsetof(struct virtio_pci_cap, cfg_type), 1) ==
		    VIRTIO_PCI_CAP_SHARED_MEMORY_CFG)
			return "virtio shared memory";
		return NULL;
	case PCI_CAP_ID_EA:
		/* Where BARs are is not the server's to say. */
		return "Enhanced Allocation";
	case PCI_CAP_ID_MSI:
		return room < PCI_MSI_MASK_64 + 8 ? "MSI (out of bounds)" : NULL;
	case PCI_CAP_ID_MSIX:
		return room < PCI_CAP_MSIX_SIZEOF ? "MSI-X (out of bounds)" : NULL;
	case PCI_CAP_ID_EXP:
		return room < PCI_CAP_EXP_ENDPOINT_SIZEOF_V1 ? "PCI Express (out of bounds)" : NULL;
	case PCI_CAP_ID_AF:
		return room < PCI_CAP_AF_SIZEOF ? "Advanced Features (out of bounds)" : NULL;
	}
	return NULL;
}

static const char *vfu_ext_cap_hidden(u32 header)
{
	switch (PCI_EXT_CAP_ID(header)) {
	case PCI_EXT_CAP_ID_SRIOV:
	case PCI_EXT_CAP_ID_MRIOV:
		return "SR-IOV";
	case PCI_EXT_CAP_ID_REBAR:
	case VFU_EXT_CAP_VF_REBAR:
		return "resizable BAR";
	case PCI_EXT_CAP_ID_ATS:
		return "ATS";
	case PCI_EXT_CAP_ID_PRI:
		return "PRI";
	case PCI_EXT_CAP_ID_PASID:
		return "PASID";
	}
	return NULL;
}

/* ---- the lists ---- */

/* What drivers and the core rely on, and what was checked for them. */
static void vfu_cap_keep(struct vfu_dev *vdev, unsigned int pos)
{
	struct vfu_config *cfg = &vdev->cfg;
	u32 flags;

	vfu_image_keep(vdev, pos, 0xff);
	switch (vfu_image_get(vdev, pos, 1)) {
	case PCI_CAP_ID_MSI:
		if (cfg->msi)
			break;
		cfg->msi = pos;
		flags = vfu_image_get(vdev, pos + PCI_MSI_FLAGS, 2);
		vfu_image_keep(vdev, pos + PCI_MSI_FLAGS, PCI_MSI_FLAGS_QMASK |
			       PCI_MSI_FLAGS_64BIT | PCI_MSI_FLAGS_MASKBIT);
		if (flags & PCI_MSI_FLAGS_MASKBIT)
			cfg->msi_mask = pos + (flags & PCI_MSI_FLAGS_64BIT ? PCI_MSI_MASK_64 :
									     PCI_MSI_MASK_32);
		break;
	case PCI_CAP_ID_MSIX:
		if (cfg->msix)
			break;
		cfg->msix = pos;
		vfu_image_keep(vdev, pos + PCI_MSIX_FLAGS,
			       U16_MAX & ~(PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL));
		vfu_image_keep(vdev, pos + PCI_MSIX_TABLE, U32_MAX);
		vfu_image_keep(vdev, pos + PCI_MSIX_PBA, U32_MAX);
		break;
	case PCI_CAP_ID_EXP:
		if (cfg->pcie)
			break;
		cfg->pcie = pos;
		vfu_image_keep(vdev, pos + PCI_EXP_FLAGS, U16_MAX);
		/* A server that can be reset shows it, so that sysfs offers it. */
		if (vdev->flags & VFIOUSER_DEV_F_RESET)
			vfu_image_set(vdev, pos + PCI_EXP_DEVCAP, PCI_EXP_DEVCAP_FLR,
				      PCI_EXP_DEVCAP_FLR);
		else
			vfu_image_keep(vdev, pos + PCI_EXP_DEVCAP, PCI_EXP_DEVCAP_FLR);
		break;
	case PCI_CAP_ID_PM:
		if (!cfg->pm)
			cfg->pm = pos;
		break;
	case PCI_CAP_ID_AF:
		if (!cfg->af)
			cfg->af = pos;
		break;
	}
}

static void vfu_image_caps(struct vfu_dev *vdev)
{
	unsigned int link = PCI_CAPABILITY_LIST, pos, next, ttl = VFU_CAPS_MAX;
	DECLARE_BITMAP(seen, PCI_CFG_SPACE_SIZE) = { 0 };
	const char *what;

	vfu_image_keep(vdev, PCI_STATUS, PCI_STATUS_CAP_LIST);
	if (!(vfu_image_get(vdev, PCI_STATUS, 2) & PCI_STATUS_CAP_LIST))
		return;
	pos = vfu_image_get(vdev, link, 1) & ~3u;
	/* The two low bits are reserved; a list that has come back to where it was ends. */
	for (; pos >= PCI_STD_HEADER_SIZEOF && !test_bit(pos, seen) && ttl--; pos = next) {
		if (vfu_image_get(vdev, pos, 1) == 0xff)
			break;
		__set_bit(pos, seen);
		next = vfu_image_get(vdev, pos + PCI_CAP_LIST_NEXT, 1) & ~3u;
		what = vfu_cap_hidden(vdev, pos);
		if (what) {
			vfu_image_hide(vdev, pos, what);
			continue;
		}
		vfu_image_set(vdev, link, 0xff, pos);
		vfu_cap_keep(vdev, pos);
		link = pos + PCI_CAP_LIST_NEXT;
	}
	vfu_image_set(vdev, link, 0xff, 0);
}

/* The place of a link to the next one in a header. */
#define VFU_EXT_NEXT(pos)	((u32)(pos) << 20)
#define VFU_EXT_NEXT_MASK	0xfff00000

static int vfu_image_ext_caps(struct vfu_dev *vdev)
{
	unsigned int link = 0, pos = PCI_CFG_SPACE_SIZE, ttl = VFU_EXT_CAPS_MAX;
	DECLARE_BITMAP(seen, PCI_CFG_SPACE_EXP_SIZE) = { 0 };
	const char *what;
	u32 header;
	int err;

	while (pos >= PCI_CFG_SPACE_SIZE && pos + 4 <= vdev->cfg.image->size &&
	       !test_bit(pos, seen) && ttl--) {
		__set_bit(pos, seen);
		err = vfu_image_fetch(vdev, pos);
		if (err)
			return err;
		header = vfu_image_get(vdev, pos, 4);
		/* An empty list is one null entry, or what is not there at all. */
		if (!header || header == U32_MAX) {
			if (!link)
				vfu_image_keep(vdev, pos, U32_MAX);
			break;
		}
		what = vfu_ext_cap_hidden(header);
		if (what)
			vfu_image_hide(vdev, pos, what);
		else
			vfu_image_keep(vdev, pos, ~VFU_EXT_NEXT_MASK);
		/* The first one is where it is: without an id it is nobody's, and has a link. */
		if (link && !what)
			vfu_image_set(vdev, link, VFU_EXT_NEXT_MASK, VFU_EXT_NEXT(pos));
		if (!link || !what)
			link = pos;
		pos = PCI_EXT_CAP_NEXT(header) & ~3u;
	}
	if (link)
		vfu_image_set(vdev, link, VFU_EXT_NEXT_MASK, 0);
	return 0;
}

/* ---- set-up ---- */

/* What a driver is chosen by, and how the PCI core reads the rest. */
static void vfu_image_header(struct vfu_dev *vdev)
{
	vfu_image_keep(vdev, PCI_VENDOR_ID, U32_MAX);
	vfu_image_keep(vdev, PCI_CLASS_REVISION, U32_MAX);
	vfu_image_keep(vdev, PCI_SUBSYSTEM_VENDOR_ID, U32_MAX);
	vfu_image_keep(vdev, PCI_INTERRUPT_PIN, 0xff);
	/* Whether there are more functions is the slot's business. */
	vfu_image_set(vdev, PCI_HEADER_TYPE, 0xff, PCI_HEADER_TYPE_NORMAL |
		      (vfu_slot_multi(vdev->place.slot) ? VFU_HEADER_MULTI : 0));
}

/**
 * vfu_image_create() - ask the server for what has to stay as it is
 * @vdev: device in a slot; the helper serves its ring
 *
 * Sets vfu_config.msi, .msix, .pcie, .pm, .af and .msi_mask. What they say is not checked here.
 *
 * Context: may sleep.
 * Return: 0; -ENODEV: no function there; -EOPNOTSUPP: no ordinary one; -ENOMEM; or the helper's
 * errno.
 */
int vfu_image_create(struct vfu_dev *vdev)
{
	struct vfu_image *image;
	unsigned int where;
	u32 val;
	int err;

	image = kvzalloc(sizeof(*image), GFP_KERNEL_ACCOUNT);
	if (!image)
		return -ENOMEM;
	vdev->cfg.image = image;
	image->size = min_t(u64, vdev->regions[VFIO_PCI_CONFIG_REGION_INDEX].size,
			    PCI_CFG_SPACE_EXP_SIZE);
	for (where = 0; where < PCI_CFG_SPACE_SIZE; where += 4) {
		err = vfu_image_fetch(vdev, where);
		if (err)
			return err;
	}
	val = vfu_image_get(vdev, PCI_VENDOR_ID, 4);
	if (val == U32_MAX || !val)
		return vfu_dev_refuse(vdev, -ENODEV,
				      "the server's config space holds no vendor id");
	val = vfu_image_get(vdev, PCI_HEADER_TYPE, 1) & PCI_HEADER_TYPE_MASK;
	if (val != PCI_HEADER_TYPE_NORMAL)
		return vfu_dev_refuse(vdev, -EOPNOTSUPP,
				      "only endpoints are supported, header type is %u", val);
	memcpy(vdev->recover.config, image->value, sizeof(vdev->recover.config));
	vfu_image_header(vdev);
	vfu_image_caps(vdev);
	err = vfu_image_ext_caps(vdev);
	if (err)
		return err;
	if (image->hidden[0])
		dev_notice(vdev->dev, "hidden from the host: %s\n", image->hidden);
	if (!vdev->cfg.pcie)
		return 0;
	val = (vfu_image_get(vdev, vdev->cfg.pcie + PCI_EXP_FLAGS, 2) & PCI_EXP_FLAGS_TYPE) >> 4;
	if (val != PCI_EXP_TYPE_ENDPOINT && val != PCI_EXP_TYPE_LEG_END &&
	    val != PCI_EXP_TYPE_RC_END)
		return vfu_dev_refuse(vdev, -EOPNOTSUPP,
				      "only endpoints are supported, PCI Express type is %u", val);
	return 0;
}

/**
 * vfu_image_destroy() - undo vfu_image_create()
 * @vdev: device that nobody uses any more
 *
 * Context: may sleep.
 */
void vfu_image_destroy(struct vfu_dev *vdev)
{
	kvfree(vdev->cfg.image);
}
