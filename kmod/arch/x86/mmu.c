// SPDX-License-Identifier: GPL-2.0-only
/*
 * x86-64: page table entries of the kernel's address space, and what CPUs remember of them.
 *
 * The kernel's own functions for this are not exported.
 *
 * Locking: the caller's.
 */
#include <linux/mm.h>
#include <linux/smp.h>
#include <asm/invpcid.h>

#include "arch.h"

/**
 * vfu_arch_set_page() - change what is mapped at an address
 * @addr: in an area made by vmap(), page-aligned
 * @page: the page, or NULL for none: accesses then fault
 *
 * CPUs may see what was there before until vfu_arch_flush().
 *
 * Context: any; callers for one address exclude each other.
 * Return: false if the address has no entry.
 */
bool vfu_arch_set_page(unsigned long addr, struct page *page)
{
	unsigned int level;
	pte_t *pte = lookup_address(addr, &level);

	if (!pte || level != PG_LEVEL_4K)
		return false;
	set_pte(pte, page ? mk_pte(page, PAGE_KERNEL) : mk_pte(ZERO_PAGE(0), PAGE_NONE));
	return true;
}

/*
 * Whatever this CPU has in its TLB goes, of all processes: which entries it has for an address
 * of the kernel's depends on PCID and on page table isolation.
 */
static void vfu_flush_cpu(void *unused)
{
	unsigned long cr4;

	if (boot_cpu_has(X86_FEATURE_INVPCID)) {
		invpcid_flush_all();
		return;
	}
	asm volatile("mov %%cr4, %0" : "=r" (cr4));
	/* A change of this bit invalidates all entries; interrupts are off. */
	asm volatile("mov %0, %%cr4" : : "r" (cr4 ^ X86_CR4_PGE) : "memory");
	asm volatile("mov %0, %%cr4" : : "r" (cr4) : "memory");
}

/**
 * vfu_arch_flush() - have all CPUs see the page table entries as they are now
 *
 * Context: process, interrupts on.
 */
void vfu_arch_flush(void)
{
	on_each_cpu(vfu_flush_cpu, NULL, 1);
}
