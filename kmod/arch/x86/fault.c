// SPDX-License-Identifier: GPL-2.0-only
/*
 * x86-64: from the registers of a page fault to an emulated instruction, and back.
 *
 * Keeps what faults were declined until they come again; takes no lock.
 */
#include <linux/atomic.h>
#include <linux/uaccess.h>
#include <asm/trapnr.h>

#include "arch.h"
#include "emulate.h"
#include "insn.h"
#include "mmio.h"

/*
 * Elements of a string instruction for one fault; it then faults again for the
 * rest, so that interrupts and the scheduler get their turn.
 */
#define VFU_ELEMENTS_MAX	64

/* ---- faults that are not ours after all ---- */

#define VFU_DECLINED	16

/**
 * struct vfu_declined - a fault that the kernel is to have
 * @regs: where its registers are; who comes back from it and faults again has them there again
 * @ip: instruction
 *
 * Written by the fault itself. Two that share an entry take it from each other, and are declined
 * once more.
 */
static struct vfu_declined {
	const struct pt_regs *regs;
	unsigned long ip;
} vfu_declined[VFU_DECLINED];

static atomic_t vfu_declined_next;

static void vfu_decline(const struct pt_regs *regs)
{
	unsigned int i = (unsigned int)atomic_inc_return(&vfu_declined_next) % VFU_DECLINED;

	WRITE_ONCE(vfu_declined[i].ip, regs->ip);
	WRITE_ONCE(vfu_declined[i].regs, regs);
}

static bool vfu_was_declined(const struct pt_regs *regs)
{
	int i;

	/* Never happens to most machines. */
	if (likely(!atomic_read(&vfu_declined_next)))
		return false;
	for (i = 0; i < VFU_DECLINED; i++)
		if (READ_ONCE(vfu_declined[i].regs) == regs &&
		    READ_ONCE(vfu_declined[i].ip) == regs->ip) {
			WRITE_ONCE(vfu_declined[i].regs, NULL);
			return true;
		}
	return false;
}

/**
 * vfu_arch_fault_addr() - is a call of fixup_exception() about a page fault, and where?
 * @fregs: of the call
 * @addr: set to the address that faulted
 *
 * Context: any.
 * Return: false for other exceptions, and for a fault that was declined.
 */
bool vfu_arch_fault_addr(struct ftrace_regs *fregs, unsigned long *addr)
{
	*addr = vfu_arch_arg(fregs, 3);
	return vfu_arch_arg(fregs, 1) == X86_TRAP_PF &&
	       !vfu_was_declined((const struct pt_regs *)vfu_arch_arg(fregs, 0));
}

/**
 * vfu_arch_fixup() - what runs instead of fixup_exception()
 * @regs: of the fault
 * @trapnr: a page fault
 * @error_code: what kind of access it was
 * @addr: address it faulted on, in an area
 *
 * What cannot be emulated may be prepared for that, by an entry in the exception table. The
 * original looks there, which cannot be called from here: the instruction faults once more, and
 * then the original runs.
 *
 * Context: the fault.
 * Return: 1, the instruction is done or to be executed again.
 */
int vfu_arch_fixup(struct pt_regs *regs, int trapnr, unsigned long error_code, unsigned long addr)
{
	if (!vfu_mmio_fault(regs, addr))
		vfu_decline(regs);
	return 1;
}

/**
 * vfu_arch_fault_irqs() - are interrupts off only because of the fault?
 * @regs: of the fault
 *
 * Context: the fault.
 * Return: true if the interrupted context had them on.
 */
bool vfu_arch_fault_irqs(const struct pt_regs *regs)
{
	return regs->flags & X86_EFLAGS_IF;
}

/**
 * vfu_arch_fault_user() - may the instruction access a process's memory?
 * @regs: of the fault
 *
 * Context: the fault.
 * Return: true between stac and clac, or where the CPU does not look at that.
 */
bool vfu_arch_fault_user(const struct pt_regs *regs)
{
	return !boot_cpu_has(X86_FEATURE_SMAP) || regs->flags & X86_EFLAGS_AC;
}

static size_t vfu_fetch(unsigned long ip, u8 *bytes)
{
	size_t n = VFU_INSN_MAX_LEN;

	/* The instruction may be the last before an unmapped page. */
	while (n && copy_from_kernel_nofault(bytes, (void *)ip, n))
		n--;
	return n;
}

/**
 * vfu_arch_decode() - what does the instruction do that faulted?
 * @insn: filled in, also in part after an error
 * @regs: of the fault
 *
 * Context: the fault, interrupts still off.
 * Return: 0, or a negative errno for one that cannot be emulated; -EAGAIN for one that has been
 * overwritten meanwhile and has to be executed again.
 */
int vfu_arch_decode(struct vfu_arch_insn *insn, const struct pt_regs *regs)
{
	unsigned long at = vfu_arch_text_at(regs);
	int err;

	insn->len = 0;
	insn->repeated = false;
	if (!at)
		return -EAGAIN;
	insn->len = vfu_fetch(at, insn->bytes);
	err = vfu_insn_decode(&insn->decoded, insn->bytes, insn->len);
	/* Decoded only MOVs to a segment-relative address could need its base. */
	if (!err && insn->decoded.seg != VFU_SEG_NONE)
		err = -EINVAL;
	insn->repeated = !err && insn->decoded.rep != VFU_REP_NONE;
	return err;
}

static void vfu_cpu_init(struct vfu_cpu *cpu, struct pt_regs *regs)
{
	*cpu = (struct vfu_cpu) {
		.gpr = {
			&regs->ax, &regs->cx, &regs->dx, &regs->bx,
			&regs->sp, &regs->bp, &regs->si, &regs->di,
			&regs->r8, &regs->r9, &regs->r10, &regs->r11,
			&regs->r12, &regs->r13, &regs->r14, &regs->r15,
		},
		.ip = &regs->ip,
		.flags = &regs->flags,
	};
}

/**
 * vfu_arch_emulate() - carry an instruction out
 * @insn: from vfu_arch_decode()
 * @regs: of the fault; behind the instruction afterwards, or at it if a part of it is left
 * @ops: memory
 * @opaque: for these
 *
 * Context: that of @ops.
 * Return: 0 or a negative errno; @regs are then unchanged, but for elements of a string that are
 * done.
 */
int vfu_arch_emulate(const struct vfu_arch_insn *insn, struct pt_regs *regs,
		     const struct vfu_mem_ops *ops, void *opaque)
{
	struct vfu_cpu cpu;

	vfu_cpu_init(&cpu, regs);
	return vfu_emulate(&insn->decoded, &cpu, ops, opaque, VFU_ELEMENTS_MAX);
}
