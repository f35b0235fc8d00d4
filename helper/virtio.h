/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * virtio.c: the registers of virtio devices in words.
 */
#ifndef HELPER_VIRTIO_H
#define HELPER_VIRTIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VENDOR_VIRTIO	0x1af4
#define VIRTIO_PARTS	8	/* VIRTIO_PCI_CAP_* */

/**
 * struct virtio_part - a structure of registers in a BAR
 * @there: the device has it
 * @bar: which one
 * @offset: in it
 * @len: bytes
 */
struct virtio_part {
	bool there;
	unsigned int bar;
	uint32_t offset;
	uint32_t len;
};

/**
 * struct virtio_map - where a virtio device has its registers
 * @part: by VIRTIO_PCI_CAP_*
 * @multiplier: bytes from one queue's doorbell to the next one's
 */
struct virtio_map {
	struct virtio_part part[VIRTIO_PARTS];
	uint32_t multiplier;
};

const char *virtio_part_name(unsigned int type);
bool virtio_find(const uint8_t *cfg, size_t len, struct virtio_map *map);
bool virtio_register(const struct virtio_map *map, unsigned int bar, uint64_t offset,
		     char *name, size_t size);
bool virtio_meaning(const char *name, uint64_t value, char *text, size_t size);

#endif
