/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * PCI configuration space of a device model: bytes, which of their bits a driver may change, and
 * the capabilities commonly needed.
 */
#ifndef PCICFG_H
#define PCICFG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PCICFG_SIZE	4096

struct pcicfg {
	uint8_t bytes[PCICFG_SIZE];
	uint8_t initial[PCICFG_SIZE];	/* state after reset */
	uint8_t wmask[PCICFG_SIZE];	/* bits that can be written */
	unsigned int next;		/* where the next capability goes */
	unsigned int link;		/* byte that will point to it */
	unsigned int pcie;		/* offset of the PCI Express capability or 0 */
};

struct pcicfg_ids {
	uint16_t vendor;
	uint16_t device;
	uint16_t sub_vendor;
	uint16_t sub_device;
	uint32_t class_code;		/* 24 bits: base class, sub-class, interface */
	uint8_t revision;
};

void pcicfg_init(struct pcicfg *c, const struct pcicfg_ids *ids);
void pcicfg_bar64(struct pcicfg *c, unsigned int bar, uint64_t size, bool prefetch);
void pcicfg_intx(struct pcicfg *c, unsigned int pin);
void pcicfg_pm(struct pcicfg *c);
void pcicfg_pcie_endpoint(struct pcicfg *c);
void pcicfg_af(struct pcicfg *c);
void pcicfg_msix(struct pcicfg *c, unsigned int vectors, unsigned int table_bar,
		 uint32_t table_offset, unsigned int pba_bar, uint32_t pba_offset);
void pcicfg_msi(struct pcicfg *c, unsigned int log2_vectors);
void pcicfg_seal(struct pcicfg *c);
void pcicfg_reset(struct pcicfg *c);
void pcicfg_read(const struct pcicfg *c, void *buf, size_t count, uint64_t offset);
bool pcicfg_write(struct pcicfg *c, const void *buf, size_t count, uint64_t offset);

#endif
