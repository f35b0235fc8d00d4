// SPDX-License-Identifier: GPL-2.0-only
/*
 * Configuration spaces that are out of the ordinary, see oddcfg.h. PCI Express Base Specification
 * chapter 7 for the capabilities, of which only what a driver's core looks at is there.
 */
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <string.h>

#include "oddcfg.h"

#define IO_SPACE	0x10000u

static uint32_t get32(const struct pcicfg *c, unsigned int at)
{
	uint32_t v;

	memcpy(&v, c->bytes + at, sizeof(v));
	return v;
}

static void put32(struct pcicfg *c, unsigned int at, uint32_t v)
{
	memcpy(c->bytes + at, &v, sizeof(v));
}

static bool decodes_rom(const struct pcicfg *c)
{
	uint32_t rom = get32(c, PCI_ROM_ADDRESS);

	return rom & PCI_ROM_ADDRESS_ENABLE && rom & (uint32_t)PCI_ROM_ADDRESS_MASK;
}

/**
 * oddcfg_decodes() - does the function answer at the addresses of a region, as hardware would?
 * @c: configuration space
 * @region: VFIO_PCI_BAR0_REGION_INDEX to _ROM_
 * @size: of the region, in bytes
 *
 * Return: true where the register has an address, and the command register lets it through.
 */
bool oddcfg_decodes(const struct pcicfg *c, unsigned int region, uint64_t size)
{
	unsigned int command = c->bytes[PCI_COMMAND];
	uint64_t base;

	if (region == VFIO_PCI_ROM_REGION_INDEX)
		return command & PCI_COMMAND_MEMORY && decodes_rom(c);
	base = get32(c, PCI_BASE_ADDRESS_0 + 4 * region);
	if (base & PCI_BASE_ADDRESS_SPACE_IO) {
		base &= (uint32_t)PCI_BASE_ADDRESS_IO_MASK;
		return command & PCI_COMMAND_IO && base && base + size <= IO_SPACE;
	}
	if ((base & PCI_BASE_ADDRESS_MEM_TYPE_MASK) == PCI_BASE_ADDRESS_MEM_TYPE_64)
		base |= (uint64_t)get32(c, PCI_BASE_ADDRESS_0 + 4 * region + 4) << 32;
	base &= ~0xfull;
	return command & PCI_COMMAND_MEMORY && base && !(base & (size - 1));
}

/**
 * oddcfg_forget_bars() - after pcicfg_reset(), which keeps them: the addresses are as of power-on
 * @c: configuration space
 */
void oddcfg_forget_bars(struct pcicfg *c)
{
	memcpy(c->bytes + PCI_BASE_ADDRESS_0, c->initial + PCI_BASE_ADDRESS_0, 24);
	memcpy(c->bytes + PCI_ROM_ADDRESS, c->initial + PCI_ROM_ADDRESS, 4);
}

static void ext_cap(struct pcicfg *c, unsigned int at, unsigned int id, unsigned int next)
{
	put32(c, at, id | 1u << 16 | next << 20);
}

/**
 * oddcfg_host_caps() - extended capabilities of what would reach beyond the function
 * @c: configuration space, not sealed
 * @serial: of the one that is harmless
 */
void oddcfg_host_caps(struct pcicfg *c, uint64_t serial)
{
	memset(c->bytes + PCI_CFG_SPACE_SIZE, 0, ODDCFG_LTR - PCI_CFG_SPACE_SIZE);
	ext_cap(c, ODDCFG_ATS, PCI_EXT_CAP_ID_ATS, ODDCFG_DSN);
	ext_cap(c, ODDCFG_DSN, PCI_EXT_CAP_ID_DSN, ODDCFG_VSEC);
	put32(c, ODDCFG_DSN + 4, (uint32_t)serial);
	put32(c, ODDCFG_DSN + 8, (uint32_t)(serial >> 32));
	ext_cap(c, ODDCFG_VSEC, PCI_EXT_CAP_ID_VNDR, ODDCFG_SRIOV);
	put32(c, ODDCFG_VSEC + 4, 1 | 1 << 16 | 12u << 20);
	ext_cap(c, ODDCFG_SRIOV, PCI_EXT_CAP_ID_SRIOV, ODDCFG_REBAR);
	put32(c, ODDCFG_SRIOV + PCI_SRIOV_INITIAL_VF, 4 | 4u << 16);
	put32(c, ODDCFG_SRIOV + PCI_SRIOV_VF_OFFSET, 1 | 1u << 16);
	put32(c, ODDCFG_SRIOV + PCI_SRIOV_VF_DID - 2, 0x7e58u << 16);
	put32(c, ODDCFG_SRIOV + PCI_SRIOV_SUP_PGSIZE, 1);
	put32(c, ODDCFG_SRIOV + PCI_SRIOV_SYS_PGSIZE, 1);
	c->wmask[ODDCFG_SRIOV + PCI_SRIOV_CTRL] = 0x1f;
	c->wmask[ODDCFG_SRIOV + PCI_SRIOV_NUM_VF] = 0xff;
	/* BAR 0 may be 1 or 2 MiB */
	ext_cap(c, ODDCFG_REBAR, PCI_EXT_CAP_ID_REBAR, ODDCFG_PRI);
	put32(c, ODDCFG_REBAR + 4, 3 << 4);
	put32(c, ODDCFG_REBAR + 8, 1 << 5);
	ext_cap(c, ODDCFG_PRI, PCI_EXT_CAP_ID_PRI, ODDCFG_PASID);
	ext_cap(c, ODDCFG_PASID, PCI_EXT_CAP_ID_PASID, ODDCFG_LTR);
	ext_cap(c, ODDCFG_LTR, PCI_EXT_CAP_ID_LTR, 0);
}
