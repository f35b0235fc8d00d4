// SPDX-License-Identifier: GPL-2.0-only
/*
 * x86-64: inter-processor interrupts, and only them.
 *
 * Keeps nothing, takes no lock.
 */
#include <linux/irqflags.h>
#include <linux/lockdep.h>
#include <linux/percpu.h>
#include <asm/cpufeature.h>
#include <asm/special_insns.h>

#include "arch.h"

/*
 * To lockdep this is what nobody may do: interrupts come in below locks that interrupts
 * take, and even in a handler. It is not told, and looks at nothing meanwhile.
 */
static void vfu_lockdep_off(void)
{
#ifdef CONFIG_PROVE_LOCKING
	__this_cpu_inc(lockdep_recursion);
#endif
}

static void vfu_lockdep_on(void)
{
#ifdef CONFIG_PROVE_LOCKING
	__this_cpu_dec(lockdep_recursion);
#endif
}

/* Of the task priority register: only vectors from 0xf0 on, which are between CPUs, come in. */
#define VFU_CR8_IPIS	0xeUL

/**
 * vfu_arch_has_ipis() - can they be told from other interrupts?
 *
 * Context: any.
 * Return: true if so.
 */
bool vfu_arch_has_ipis(void)
{
	return !cpu_feature_enabled(X86_FEATURE_XENPV);
}

/**
 * vfu_arch_let_ipis_in() - take those that wait
 *
 * Context: interrupts off, not NMI.
 */
void vfu_arch_let_ipis_in(void)
{
	unsigned long cr8;

	asm volatile("mov %%cr8, %0" : "=r" (cr8));
	asm volatile("mov %0, %%cr8" : : "r" (VFU_CR8_IPIS) : "memory");
	vfu_lockdep_off();
	raw_local_irq_enable();
	/* Takes up the shadow of STI; some emulators let nothing in behind a PAUSE. */
	nop();
	raw_local_irq_disable();
	vfu_lockdep_on();
	asm volatile("mov %0, %%cr8" : : "r" (cr8) : "memory");
}
