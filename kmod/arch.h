/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the module needs of an architecture; a folder arch/NAME/ has it.
 *
 * Besides the functions below its arch_defs.h gives:
 *
 *	struct vfu_arch_bus	what bus->sysdata must point to, set up by vfu_arch_bus_init()
 *	struct vfu_arch_insn	a decoded instruction; at the least @bytes and @len, as fetched, and
 *				@repeated, if it makes any number of accesses
 *	VFU_ARCH_HOOK_FLAGS	FTRACE_OPS_FL_* that the next two need
 *	vfu_arch_has_args()	were arguments saved where a hooked function was called?
 *	vfu_arch_arg()		an argument of the function that is hooked
 *	vfu_arch_divert()	continue in another function instead
 *	VFU_ARCH_IOREMAPS(hook)	the functions behind ioremap(): hook(name, optional), ...
 *	vfu_arch_fixup()	the replacement of fixup_exception()
 *	VFU_ARCH_HOOK_STEP	hook: a fault while a probe is being handled
 *	VFU_ARCH_HOOK_JUMPS	hook: probes become jumps
 *	vfu_arch_phys_bits()	how wide a physical address is
 *
 * What it keeps is said at the top of each file.
 */
#ifndef _KMOD_ARCH_H
#define _KMOD_ARCH_H

#include <linux/types.h>

#include "arch_defs.h"
#include "mem_ops.h"

struct ftrace_regs;
struct page;
struct pt_regs;

/* ---- faults: the kernel's fixup_exception() is hooked ---- */

bool vfu_arch_fault_addr(struct ftrace_regs *fregs, unsigned long *addr);
bool vfu_arch_fault_irqs(const struct pt_regs *regs);
bool vfu_arch_fault_user(const struct pt_regs *regs);
int vfu_arch_decode(struct vfu_arch_insn *insn, const struct pt_regs *regs);
int vfu_arch_emulate(const struct vfu_arch_insn *insn, struct pt_regs *regs,
		     const struct vfu_mem_ops *ops, void *opaque);

/* ---- what else writes to the kernel's text ---- */

void vfu_arch_text_hold(const struct vfu_arch_insn *insn, unsigned long ip);
void vfu_arch_text_release(const struct vfu_arch_insn *insn, unsigned long ip);
bool vfu_arch_text_stays(unsigned long ip);

/* ---- pages of the kernel's address space ---- */

bool vfu_arch_set_page(unsigned long addr, struct page *page);
void vfu_arch_flush(void);

#endif /* _KMOD_ARCH_H */
