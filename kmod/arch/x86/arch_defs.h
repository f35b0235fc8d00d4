/* SPDX-License-Identifier: GPL-2.0-only */
/* x86-64: what arch.h says that an architecture defines. */
#ifndef _KMOD_ARCH_DEFS_H
#define _KMOD_ARCH_DEFS_H

#include <linux/ftrace.h>
#include <linux/pci.h>
#include <asm/processor.h>
#include <asm/ptrace.h>

#include "insn.h"

/* ---- PCI ---- */

/**
 * struct vfu_arch_bus - what the kernel expects behind bus->sysdata
 * @sd: see there
 */
struct vfu_arch_bus {
	struct pci_sysdata sd;
};

static inline void vfu_arch_bus_init(struct vfu_arch_bus *bus, int domain)
{
	bus->sd.domain = domain;
	bus->sd.node = NUMA_NO_NODE;
}

static inline unsigned int vfu_arch_phys_bits(void)
{
	return boot_cpu_data.x86_phys_bits;
}

/* ---- hooks ---- */

#define VFU_ARCH_HOOK_FLAGS	FTRACE_OPS_FL_SAVE_REGS

static __always_inline bool vfu_arch_has_args(struct ftrace_regs *fregs)
{
	return ftrace_get_regs(fregs);
}

/* Of the first four. */
static __always_inline unsigned long vfu_arch_arg(struct ftrace_regs *fregs, unsigned int nr)
{
	const struct pt_regs *regs = ftrace_get_regs(fregs);

	return nr == 0 ? regs->di : nr == 1 ? regs->si : nr == 2 ? regs->dx : regs->cx;
}

static __always_inline void vfu_arch_divert(struct ftrace_regs *fregs, void *to)
{
	ftrace_get_regs(fregs)->ip = (unsigned long)to;
}

#define VFU_ARCH_IOREMAPS(hook)		\
	hook(ioremap, false),		\
	hook(ioremap_uc, false),	\
	hook(ioremap_wc, false),	\
	hook(ioremap_wt, false),	\
	hook(ioremap_cache, false),	\
	hook(ioremap_prot, false),	\
	hook(ioremap_encrypted, true)

/* ---- faults ---- */

int vfu_arch_fixup(struct pt_regs *regs, int trapnr, unsigned long error_code, unsigned long addr);

/**
 * struct vfu_arch_insn - an instruction that faulted
 * @bytes: of it, and some behind it
 * @len: how many could be fetched
 * @repeated: a string instruction with a REP prefix
 * @decoded: what it does
 */
struct vfu_arch_insn {
	u8 bytes[VFU_INSN_MAX_LEN];
	size_t len;
	bool repeated;
	struct vfu_insn decoded;
};

/* ---- kprobes, for trap.c ---- */

bool vfu_arch_text_fault(struct ftrace_regs *fregs);
bool vfu_arch_text_jumps(struct ftrace_regs *fregs);
void vfu_arch_text_later(struct list_head *list);

#define VFU_ARCH_HOOK_STEP	{ "kprobe_fault_handler", NULL, vfu_arch_text_fault, NULL, true }
#define VFU_ARCH_HOOK_JUMPS	{ "arch_optimize_kprobes", NULL, vfu_arch_text_jumps,	\
				  vfu_arch_text_later, true }

/* Internal: where is the instruction, or its copy? */
unsigned long vfu_arch_text_at(const struct pt_regs *regs);

#endif /* _KMOD_ARCH_DEFS_H */
