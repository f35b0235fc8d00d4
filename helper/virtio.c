// SPDX-License-Identifier: GPL-2.0-only
/*
 * The registers of virtio devices in words: which ones an access is to, and what device_status says.
 *
 * They are found by vendor capabilities in config space, of which nothing is trusted.
 */
#include <linux/pci_regs.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>
#include <stdio.h>
#include <string.h>

#include "array.h"
#include "virtio.h"

#define DEVICE_FIRST	0x1000
#define DEVICE_LAST	0x107f
#define MAX_CAPS	48

/* Of the common configuration, in order. */
static const struct {
	unsigned int offset;
	const char *name;
} registers[] = {
	{ 0x00, "device_feature_select" }, { 0x04, "device_feature" },
	{ 0x08, "driver_feature_select" }, { 0x0c, "driver_feature" },
	{ 0x10, "config_msix_vector" }, { 0x12, "num_queues" }, { 0x14, "device_status" },
	{ 0x15, "config_generation" }, { 0x16, "queue_select" }, { 0x18, "queue_size" },
	{ 0x1a, "queue_msix_vector" }, { 0x1c, "queue_enable" }, { 0x1e, "queue_notify_off" },
	{ 0x20, "queue_desc" }, { 0x24, "queue_desc (high)" }, { 0x28, "queue_driver" },
	{ 0x2c, "queue_driver (high)" }, { 0x30, "queue_device" }, { 0x34, "queue_device (high)" },
	{ 0x38, "queue_notify_data" }, { 0x3a, "queue_reset" },
};

static uint32_t get(const uint8_t *cfg, size_t len, size_t at, unsigned int bytes)
{
	uint32_t value = 0;
	unsigned int i;

	for (i = 0; i < bytes; i++)
		value |= (uint32_t)(at + i < len ? cfg[at + i] : 0xff) << 8 * i;
	return value;
}

/**
 * virtio_part_name() - what a vendor capability is about
 * @type: its cfg_type
 *
 * Context: any.
 * Return: in words.
 */
const char *virtio_part_name(unsigned int type)
{
	static const char *const names[VIRTIO_PARTS] = {
		[VIRTIO_PCI_CAP_COMMON_CFG] = "common configuration",
		[VIRTIO_PCI_CAP_NOTIFY_CFG] = "notifications",
		[VIRTIO_PCI_CAP_ISR_CFG] = "ISR status",
		[VIRTIO_PCI_CAP_DEVICE_CFG] = "device configuration",
		[VIRTIO_PCI_CAP_PCI_CFG] = "access through config space",
	};

	if (type == VIRTIO_PCI_CAP_SHARED_MEMORY_CFG)
		return "shared memory";
	return type < VIRTIO_PARTS && names[type] ? names[type] : "unknown structure";
}

/**
 * virtio_find() - where a device has its registers
 * @cfg: config space
 * @len: its bytes
 * @map: filled in
 *
 * Context: any.
 * Return: false where it is no virtio device, or one without modern registers.
 */
bool virtio_find(const uint8_t *cfg, size_t len, struct virtio_map *map)
{
	uint32_t device = get(cfg, len, PCI_DEVICE_ID, 2);
	unsigned int i, at = get(cfg, len, PCI_CAPABILITY_LIST, 1) & ~3u;

	memset(map, 0, sizeof(*map));
	if (get(cfg, len, PCI_VENDOR_ID, 2) != VENDOR_VIRTIO || device < DEVICE_FIRST ||
	    device > DEVICE_LAST || !(get(cfg, len, PCI_STATUS, 2) & PCI_STATUS_CAP_LIST))
		return false;
	for (i = 0; i < MAX_CAPS && at >= 0x40 && at <= 0xfc; i++) {
		unsigned int type = get(cfg, len, at + 3, 1);

		if (get(cfg, len, at, 1) == PCI_CAP_ID_VNDR && type < VIRTIO_PARTS &&
		    !map->part[type].there) {
			map->part[type] = (struct virtio_part) {
				true, get(cfg, len, at + 4, 1), get(cfg, len, at + 8, 4),
				get(cfg, len, at + 12, 4),
			};
			if (type == VIRTIO_PCI_CAP_NOTIFY_CFG)
				map->multiplier = get(cfg, len, at + 16, 4);
		}
		at = get(cfg, len, at + 1, 1) & ~3u;
	}
	return map->part[VIRTIO_PCI_CAP_COMMON_CFG].there;
}

static void common_name(uint64_t offset, char *name, size_t size)
{
	size_t i = ARRAY_SIZE(registers);

	while (--i && registers[i].offset > offset)
		;
	if (registers[i].offset == offset)
		snprintf(name, size, "%s", registers[i].name);
	else
		snprintf(name, size, "%s + %u", registers[i].name,
			 (unsigned int)(offset - registers[i].offset));
}

/**
 * virtio_register() - the name of a register
 * @map: of the device
 * @bar: which one
 * @offset: in it
 * @name: filled in, "" where there is none
 * @size: of that, in bytes
 *
 * Context: any.
 * Return: whether there is one.
 */
bool virtio_register(const struct virtio_map *map, unsigned int bar, uint64_t offset,
		     char *name, size_t size)
{
	unsigned int type;
	uint64_t at = 0;

	*name = '\0';
	for (type = 0; type < VIRTIO_PARTS; type++) {
		const struct virtio_part *part = &map->part[type];

		at = offset - part->offset;
		if (part->there && part->bar == bar && offset >= part->offset && at < part->len)
			break;
	}
	switch (type) {
	case VIRTIO_PCI_CAP_COMMON_CFG:
		common_name(at, name, size);
		return true;
	case VIRTIO_PCI_CAP_NOTIFY_CFG:
		if (map->multiplier)
			snprintf(name, size, "doorbell %u", (unsigned int)(at / map->multiplier));
		else
			snprintf(name, size, "doorbell");
		return true;
	case VIRTIO_PCI_CAP_ISR_CFG:
		snprintf(name, size, "ISR status");
		return true;
	case VIRTIO_PCI_CAP_DEVICE_CFG:
		snprintf(name, size, "device configuration + %u", (unsigned int)at);
		return true;
	}
	return false;
}

/**
 * virtio_meaning() - what a register's value says
 * @name: of the register, see virtio_register()
 * @value: as it was read or written
 * @text: filled in, "" where the number says it all
 * @size: of that, in bytes
 *
 * Context: any.
 * Return: whether there is anything to say.
 */
bool virtio_meaning(const char *name, uint64_t value, char *text, size_t size)
{
	static const struct {
		unsigned int bit;
		const char *name;
	} bits[] = {
		{ VIRTIO_CONFIG_S_ACKNOWLEDGE, "ACKNOWLEDGE" }, { VIRTIO_CONFIG_S_DRIVER, "DRIVER" },
		{ VIRTIO_CONFIG_S_FEATURES_OK, "FEATURES_OK" },
		{ VIRTIO_CONFIG_S_DRIVER_OK, "DRIVER_OK" },
		{ VIRTIO_CONFIG_S_NEEDS_RESET, "NEEDS_RESET" }, { VIRTIO_CONFIG_S_FAILED, "FAILED" },
	};
	size_t i, n = 0;

	*text = '\0';
	if (strcmp(name, "device_status"))
		return false;
	if (!value)
		snprintf(text, size, "reset");
	for (i = 0; i < ARRAY_SIZE(bits) && n < size; i++)
		if (value & bits[i].bit)
			n += snprintf(text + n, size - n, "%s%s", n ? " " : "", bits[i].name);
	return *text;
}
