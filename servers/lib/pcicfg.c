// SPDX-License-Identifier: GPL-2.0-only
/*
 * PCI configuration space of a device model. Built once with the functions up to pcicfg_seal(),
 * which remembers it as the state after reset.
 */
#include <linux/pci_regs.h>
#include <string.h>

#include "pcicfg.h"

static void put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
}

static void put32(uint8_t *p, uint32_t v)
{
	put16(p, (uint16_t)v);
	put16(p + 2, (uint16_t)(v >> 16));
}

/**
 * pcicfg_init() - an empty type 0 header
 * @c: configuration space
 * @ids: identification
 */
void pcicfg_init(struct pcicfg *c, const struct pcicfg_ids *ids)
{
	memset(c, 0, sizeof(*c));
	put16(c->bytes + PCI_VENDOR_ID, ids->vendor);
	put16(c->bytes + PCI_DEVICE_ID, ids->device);
	put32(c->bytes + PCI_CLASS_REVISION, ids->class_code << 8 | ids->revision);
	put16(c->bytes + PCI_SUBSYSTEM_VENDOR_ID, ids->sub_vendor);
	put16(c->bytes + PCI_SUBSYSTEM_ID, ids->sub_device);
	put16(c->wmask + PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER |
	      PCI_COMMAND_PARITY | PCI_COMMAND_SERR | PCI_COMMAND_INTX_DISABLE);
	c->wmask[PCI_CACHE_LINE_SIZE] = 0xff;
	c->wmask[PCI_INTERRUPT_LINE] = 0xff;
	c->next = 0x40;
	c->link = PCI_CAPABILITY_LIST;
}

/**
 * pcicfg_bar64() - a 64-bit memory BAR
 * @c: configuration space
 * @bar: 0, 2 or 4
 * @size: bytes, a power of two of at least 16
 * @prefetch: is it prefetchable?
 */
void pcicfg_bar64(struct pcicfg *c, unsigned int bar, uint64_t size, bool prefetch)
{
	unsigned int at = PCI_BASE_ADDRESS_0 + bar * 4;
	uint64_t mask = ~(size - 1);

	put32(c->bytes + at, PCI_BASE_ADDRESS_MEM_TYPE_64 |
	      (prefetch ? PCI_BASE_ADDRESS_MEM_PREFETCH : 0));
	put32(c->wmask + at, (uint32_t)mask & ~0xfu);
	put32(c->wmask + at + 4, (uint32_t)(mask >> 32));
}

/**
 * pcicfg_intx() - give the function an interrupt pin
 * @c: configuration space
 * @pin: 1 for INTA
 */
void pcicfg_intx(struct pcicfg *c, unsigned int pin)
{
	c->bytes[PCI_INTERRUPT_PIN] = (uint8_t)pin;
}

static unsigned int add_cap(struct pcicfg *c, uint8_t id, unsigned int len)
{
	unsigned int at = c->next;

	c->bytes[PCI_STATUS] |= PCI_STATUS_CAP_LIST;
	c->bytes[c->link] = (uint8_t)at;
	c->bytes[at] = id;
	c->link = at + PCI_CAP_LIST_NEXT;
	c->next = (at + len + 3) & ~3u;
	return at;
}

/**
 * pcicfg_pm() - power management capability: D0 and D3hot, no reset on the way back
 * @c: configuration space
 */
void pcicfg_pm(struct pcicfg *c)
{
	unsigned int at = add_cap(c, PCI_CAP_ID_PM, PCI_PM_SIZEOF);

	put16(c->bytes + at + PCI_PM_PMC, 3);
	put16(c->bytes + at + PCI_PM_CTRL, PCI_PM_CTRL_NO_SOFT_RESET);
	put16(c->wmask + at + PCI_PM_CTRL, PCI_PM_CTRL_STATE_MASK);
}

/**
 * pcicfg_pcie_endpoint() - PCI Express endpoint capability, version 2, with function-level reset
 * @c: configuration space
 */
void pcicfg_pcie_endpoint(struct pcicfg *c)
{
	unsigned int at = add_cap(c, PCI_CAP_ID_EXP, PCI_CAP_EXP_ENDPOINT_SIZEOF_V2);
	const uint32_t link = PCI_EXP_LNKCAP_SLS_8_0GB | 4 << 4;

	c->pcie = at;
	put16(c->bytes + at + PCI_EXP_FLAGS, 2 | PCI_EXP_TYPE_ENDPOINT << 4);
	put32(c->bytes + at + PCI_EXP_DEVCAP, PCI_EXP_DEVCAP_FLR | PCI_EXP_DEVCAP_RBER | 1);
	put16(c->bytes + at + PCI_EXP_DEVCTL,
	      PCI_EXP_DEVCTL_RELAX_EN | PCI_EXP_DEVCTL_READRQ_512B);
	put16(c->wmask + at + PCI_EXP_DEVCTL, 0x7fff);
	put32(c->bytes + at + PCI_EXP_LNKCAP, link);
	put16(c->wmask + at + PCI_EXP_LNKCTL, PCI_EXP_LNKCTL_ASPMC | PCI_EXP_LNKCTL_CCC);
	put16(c->bytes + at + PCI_EXP_LNKSTA, (uint16_t)link);
	put32(c->bytes + at + PCI_EXP_LNKCAP2, PCI_EXP_LNKCAP2_SLS_8_0GB |
	      PCI_EXP_LNKCAP2_SLS_5_0GB | PCI_EXP_LNKCAP2_SLS_2_5GB);
}

/**
 * pcicfg_af() - Advanced Features capability, with function-level reset
 * @c: configuration space
 */
void pcicfg_af(struct pcicfg *c)
{
	unsigned int at = add_cap(c, PCI_CAP_ID_AF, PCI_CAP_AF_SIZEOF);

	c->bytes[at + PCI_AF_LENGTH] = PCI_CAP_AF_SIZEOF;
	c->bytes[at + PCI_AF_CAP] = PCI_AF_CAP_TP | PCI_AF_CAP_FLR;
}

/**
 * pcicfg_msix() - MSI-X capability
 * @c: configuration space
 * @vectors: 1 to 2048
 * @table_bar: BAR of the table
 * @table_offset: offset in it, a multiple of 8
 * @pba_bar: BAR of the pending bits
 * @pba_offset: offset in it, a multiple of 8
 */
void pcicfg_msix(struct pcicfg *c, unsigned int vectors, unsigned int table_bar,
		 uint32_t table_offset, unsigned int pba_bar, uint32_t pba_offset)
{
	unsigned int at = add_cap(c, PCI_CAP_ID_MSIX, PCI_CAP_MSIX_SIZEOF);

	put16(c->bytes + at + PCI_MSIX_FLAGS, (uint16_t)(vectors - 1));
	put16(c->wmask + at + PCI_MSIX_FLAGS, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
	put32(c->bytes + at + PCI_MSIX_TABLE, table_offset | table_bar);
	put32(c->bytes + at + PCI_MSIX_PBA, pba_offset | pba_bar);
}

/**
 * pcicfg_msi() - MSI capability with 64-bit address and per-vector masks
 * @c: configuration space
 * @log2_vectors: 0 to 5
 */
void pcicfg_msi(struct pcicfg *c, unsigned int log2_vectors)
{
	unsigned int at = add_cap(c, PCI_CAP_ID_MSI, 24);

	put16(c->bytes + at + PCI_MSI_FLAGS, (uint16_t)(log2_vectors << 1 | PCI_MSI_FLAGS_64BIT |
							PCI_MSI_FLAGS_MASKBIT));
	put16(c->wmask + at + PCI_MSI_FLAGS, PCI_MSI_FLAGS_ENABLE | PCI_MSI_FLAGS_QSIZE);
	put32(c->wmask + at + PCI_MSI_ADDRESS_LO, ~3u);
	put32(c->wmask + at + PCI_MSI_ADDRESS_HI, ~0u);
	put16(c->wmask + at + PCI_MSI_DATA_64, 0xffff);
	put32(c->wmask + at + PCI_MSI_MASK_64, (uint32_t)((1ull << (1u << log2_vectors)) - 1));
}

/**
 * pcicfg_seal() - remember the present contents as the state after reset
 * @c: configuration space
 */
void pcicfg_seal(struct pcicfg *c)
{
	memcpy(c->initial, c->bytes, sizeof(c->initial));
}

/**
 * pcicfg_reset() - back to the state after reset; BAR addresses stay, the client owns them
 * @c: configuration space
 */
void pcicfg_reset(struct pcicfg *c)
{
	uint8_t bars[24];

	memcpy(bars, c->bytes + PCI_BASE_ADDRESS_0, sizeof(bars));
	memcpy(c->bytes, c->initial, sizeof(c->bytes));
	memcpy(c->bytes + PCI_BASE_ADDRESS_0, bars, sizeof(bars));
}

/**
 * pcicfg_read() - read, any width and alignment
 * @c: configuration space
 * @buf: destination
 * @count: bytes; the range must lie inside
 * @offset: where
 */
void pcicfg_read(const struct pcicfg *c, void *buf, size_t count, uint64_t offset)
{
	memcpy(buf, c->bytes + offset, count);
}

/**
 * pcicfg_write() - write, any width and alignment; read-only bits keep their value
 * @c: configuration space
 * @buf: source
 * @count: bytes; the range must lie inside
 * @offset: where
 *
 * Return: true if the write asked for a function-level reset.
 */
bool pcicfg_write(struct pcicfg *c, const void *buf, size_t count, uint64_t offset)
{
	const uint8_t *p = buf;
	bool flr = false;
	size_t i;

	for (i = 0; i < count; i++) {
		uint8_t m = c->wmask[offset + i];

		c->bytes[offset + i] = (c->bytes[offset + i] & ~m) | (p[i] & m);
		if (c->pcie && offset + i == c->pcie + PCI_EXP_DEVCTL + 1 &&
		    p[i] & (PCI_EXP_DEVCTL_BCR_FLR >> 8))
			flr = true;
	}
	return flr;
}
