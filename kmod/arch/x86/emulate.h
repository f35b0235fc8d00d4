/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Carrying out a decoded instruction.
 *
 * Owns the interface between the emulator (emulate.c) and whoever holds the registers and the
 * memory: the fault handler of the module, or a unit test. Nothing here outlives a call.
 */
#ifndef VFU_EMULATE_H
#define VFU_EMULATE_H

#include "../../mem_ops.h"
#include "insn.h"

/**
 * struct vfu_cpu - the registers of the interrupted context
 * @gpr: general-purpose registers in encoding order: rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8
 *	... r15; point into struct pt_regs in the kernel
 * @ip: address of the instruction
 * @flags: EFLAGS
 * @fs_base: what an FS override adds; looked at only where vfu_insn.seg says so
 * @gs_base: likewise for GS
 */
struct vfu_cpu {
	unsigned long *gpr[16];
	unsigned long *ip;
	unsigned long *flags;
	u64 fs_base;
	u64 gs_base;
};

int vfu_emulate(const struct vfu_insn *insn, struct vfu_cpu *cpu, const struct vfu_mem_ops *ops,
		void *opaque, unsigned int max_elements);

#endif /* VFU_EMULATE_H */
