// SPDX-License-Identifier: GPL-2.0-only
/*
 * What of a server's offer the host will not see as the server shows it: what the kernel module
 * hides, changes and refuses (kmod/image.c, bars.c, virtio.c, fixups.c), and what cannot be mapped.
 *
 * Pure functions over what a server said: lists may have loops and point anywhere. Owns nothing.
 * The module decides for itself, and has the last word: this is for who asks beforehand.
 */
#include <linux/pci_regs.h>
#include <linux/virtio_pci.h>
#include <linux/vfiouser.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "device.h"
#include "offer.h"

#define VENDOR_VIRTIO		0x1af4
#define VIRTIO_FIRST		0x1000
#define VIRTIO_MODERN		0x1040
#define VIRTIO_END		0x1080
#define CLASS_BRIDGE		0x06
#define CLASS_BRIDGE_OTHER	0x0680
#define CLASS_IDE		0x0101
#define IDE_NATIVE		0x05
#define EXT_CAP_VF_REBAR	0x24

/**
 * struct visit - a walk through an offer
 * @offer: the offer
 * @fn: told of each thing
 * @opaque: the caller's
 */
struct visit {
	const struct offer *offer;
	offer_visit_t fn;
	void *opaque;
};

static void tell(const struct visit *v, enum offer_fate fate, const char *what, const char *why)
{
	v->fn(v->opaque, fate, what, why);
}

static uint32_t get(const struct visit *v, unsigned int at, unsigned int bytes)
{
	uint32_t value = 0;
	unsigned int i;

	for (i = 0; i < bytes && at + i < v->offer->len; i++)
		value |= (uint32_t)v->offer->config[at + i] << 8 * i;
	return value;
}

static uint64_t region_size(const struct visit *v, unsigned int i)
{
	return i < v->offer->nr_regions && v->offer->regions[i] ? v->offer->regions[i]->size : 0;
}

/* ---- capabilities ---- */

static bool is_virtio(const struct visit *v)
{
	uint32_t id = get(v, PCI_DEVICE_ID, 2);

	return get(v, PCI_VENDOR_ID, 2) == VENDOR_VIRTIO && id >= VIRTIO_FIRST && id < VIRTIO_END;
}

/* Returns whether there is the configuration of virtio 1.0. */
static bool visit_caps(const struct visit *v)
{
	unsigned int pos = get(v, PCI_CAPABILITY_LIST, 1) & ~3u, ttl = 48, type;
	bool modern = false;

	if (!(get(v, PCI_STATUS, 2) & PCI_STATUS_CAP_LIST))
		return false;
	for (; pos >= PCI_STD_HEADER_SIZEOF && ttl--; pos = get(v, pos + 1, 1) & ~3u) {
		if (get(v, pos, 1) == PCI_CAP_ID_EA)
			tell(v, OFFER_HIDDEN, "Enhanced Allocation",
			     "where BARs are is the kernel's to say");
		if (get(v, pos, 1) != PCI_CAP_ID_VNDR || !is_virtio(v))
			continue;
		type = get(v, pos + offsetof(struct virtio_pci_cap, cfg_type), 1);
		modern |= type == VIRTIO_PCI_CAP_COMMON_CFG;
		if (type == VIRTIO_PCI_CAP_SHARED_MEMORY_CFG)
			tell(v, OFFER_HIDDEN, "virtio shared memory",
			     "drivers would map it as memory of this host");
	}
	return modern;
}

static void visit_ext_cap(const struct visit *v, unsigned int id)
{
	switch (id) {
	case PCI_EXT_CAP_ID_SRIOV:
	case PCI_EXT_CAP_ID_MRIOV:
		tell(v, OFFER_HIDDEN, "SR-IOV", "nobody would serve the virtual functions");
		break;
	case PCI_EXT_CAP_ID_REBAR:
	case EXT_CAP_VF_REBAR:
		tell(v, OFFER_HIDDEN, "resizable BAR", "how large BARs are is the kernel's to say");
		break;
	case PCI_EXT_CAP_ID_ATS:
		tell(v, OFFER_HIDDEN, "ATS", "there is no IOMMU for it");
		break;
	case PCI_EXT_CAP_ID_PRI:
		tell(v, OFFER_HIDDEN, "PRI", "there is no IOMMU for it");
		break;
	case PCI_EXT_CAP_ID_PASID:
		tell(v, OFFER_HIDDEN, "PASID", "there is no IOMMU for it");
		break;
	}
}

static void visit_ext_caps(const struct visit *v)
{
	unsigned int pos = PCI_CFG_SPACE_SIZE, ttl = (PCI_CFG_SPACE_EXP_SIZE - pos) / 8;
	uint32_t header;

	for (; pos >= PCI_CFG_SPACE_SIZE && pos + 4 <= v->offer->len && ttl--;
	     pos = PCI_EXT_CAP_NEXT(header) & ~3u) {
		header = get(v, pos, 4);
		if (!header || header == UINT32_MAX)
			break;
		visit_ext_cap(v, PCI_EXT_CAP_ID(header));
	}
}

/* ---- BARs ---- */

static void visit_bars(const struct visit *v)
{
	bool memory = false;
	unsigned int i;
	char what[40];

	for (i = 0; i < 6; i++)
		if (region_size(v, i) &&
		    !(get(v, PCI_BASE_ADDRESS_0 + 4 * i, 4) & PCI_BASE_ADDRESS_SPACE_IO))
			memory = true;
	for (i = 0; i < 6; i++) {
		if (!region_size(v, i) ||
		    !(get(v, PCI_BASE_ADDRESS_0 + 4 * i, 4) & PCI_BASE_ADDRESS_SPACE_IO))
			continue;
		snprintf(what, sizeof(what), "BAR %u, I/O ports", i);
		if (memory)
			tell(v, OFFER_HIDDEN, what,
			     "ports cannot be trapped, and there is memory; --io-bars=show shows it as memory");
		else
			tell(v, OFFER_CHANGED, what,
			     "ports cannot be trapped: shown as memory, for drivers that use pci_iomap()");
	}
	if (region_size(v, VFIO_PCI_VGA_REGION_INDEX))
		tell(v, OFFER_HIDDEN, "VGA region", "its addresses are those of this host's own graphics");
}

/* A region that can be mapped in the server's words, and what becomes of that. */
static void visit_mappable(const struct visit *v, const struct vfuc_region_info *r)
{
	const char *name = device_region_name(r->index);
	struct stat st;
	char what[60];

	if (r->nr_areas > VFIOUSER_AREAS_MAX) {
		snprintf(what, sizeof(what), "%s, mappable areas from the %uth on", name,
			 (unsigned int)VFIOUSER_AREAS_MAX + 1);
		tell(v, OFFER_TRAPPED, what, "the kernel takes no more of a region");
	}
	if (r->flags & VFIO_REGION_INFO_FLAG_MMAP && !r->nr_areas && r->size) {
		snprintf(what, sizeof(what), "%s, mappable in the server's words", name);
		tell(v, OFFER_TRAPPED, what,
		     "nothing of it can be mapped: no descriptor came, or no whole pages");
	}
	if (r->nr_areas && r->fd >= 0 && !fstat(r->fd, &st) && S_ISCHR(st.st_mode)) {
		snprintf(what, sizeof(what), "%s, mappable in the server's words", name);
		tell(v, OFFER_TRAPPED, what, "it is a device's memory, which cannot be pinned");
	}
}

/* ---- what is refused ---- */

static void visit_function(const struct visit *v, bool modern)
{
	uint32_t class = get(v, PCI_CLASS_REVISION, 4) >> 8;
	uint32_t id = get(v, PCI_DEVICE_ID, 2);

	if (get(v, PCI_HEADER_TYPE, 1) & 0x7f)
		tell(v, OFFER_REFUSED, "a bridge", "only endpoints are supported");
	else if (class >> 16 == CLASS_BRIDGE && class >> 8 != CLASS_BRIDGE_OTHER)
		tell(v, OFFER_REFUSED, "the class of a bridge",
		     "drivers take it for the host's own; --force attaches it");
	if (class >> 8 == CLASS_IDE && (class & IDE_NATIVE) != IDE_NATIVE)
		tell(v, OFFER_REFUSED, "an IDE controller in compatibility mode",
		     "it has the ports of the host's own; --force attaches it");
	if (!is_virtio(v))
		return;
	if (modern)
		tell(v, OFFER_CHANGED, "VIRTIO_F_ACCESS_PLATFORM",
		     "drivers see it offered, since a device here sees bus addresses");
	else if (id < VIRTIO_MODERN)
		tell(v, OFFER_REFUSED, "a virtio device with the legacy interface only",
		     "its driver would give it physical addresses; --dma=passthrough attaches it");
}

/**
 * offer_visit() - tell what will be hidden, changed, trapped or refused
 * @offer: what the server says
 * @visit: called for each
 * @opaque: handed to @visit
 *
 * IDs on which the kernel acts beyond the device are known to the module only.
 *
 * Context: any.
 */
void offer_visit(const struct offer *offer, offer_visit_t visit, void *opaque)
{
	const struct visit v = { .offer = offer, .fn = visit, .opaque = opaque };
	uint32_t i;
	bool modern;

	modern = visit_caps(&v);
	visit_ext_caps(&v);
	visit_bars(&v);
	for (i = 0; i <= VFIO_PCI_BAR5_REGION_INDEX && i < offer->nr_regions; i++)
		if (offer->regions[i])
			visit_mappable(&v, offer->regions[i]);
	visit_function(&v, modern);
}

/**
 * offer_fate_name() - what becomes of something, in a word
 * @fate: what
 *
 * Context: any.
 * Return: the word.
 */
const char *offer_fate_name(enum offer_fate fate)
{
	static const char *const names[] = { "hidden", "changed", "trapped", "refused" };

	return names[fate];
}
