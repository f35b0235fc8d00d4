// SPDX-License-Identifier: GPL-2.0-only
/*
 * x86-64: instructions that are not where the CPU found them, because of a kprobe.
 *
 * A probe puts a breakpoint (int3) over the first byte of the instruction, and has a copy of it
 * elsewhere executed; before a fault of the copy is looked at, kprobe_fault_handler() sets the
 * registers back to the breakpoint. So we look at its arguments first: there the copy still is. Or
 * the probe becomes a jump (five bytes, which may be several instructions) to a buffer, which has
 * copies of all that is overwritten.
 *
 * The jump is written, and buffers are freed, when each task has been seen asleep or in user space:
 * nobody sleeps in the middle of what is no function call (synchronize_rcu_tasks()). But one that
 * reads a register of ours does. So:
 *
 *	where an instruction's successor is, is counted while it is emulated, and no jump is
 *	written over one that is or just was: arch_optimize_kprobes() leaves all jumps for later,
 *	which its caller tries again after another such wait;
 *	in a buffer nobody sleeps, vfu_arch_text_stays().
 *
 * Both functions are hooked where the kernel has them (trap.c).
 *
 * Locking: none. What is noted of a fault is its CPU's, and used by the same fault, which has
 * interrupts off until then; NMIs have a place of their own. The counters are atomic.
 * Lifetime: a count lasts as long as one emulation.
 */
#include <linux/atomic.h>
#include <linux/hash.h>
#include <linux/kprobes.h>
#include <linux/list.h>
#include <linux/percpu.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <asm/text-patching.h>

#include "arch.h"
#include "trap.h"

/* ---- breakpoints ---- */

/**
 * struct vfu_stepped - an instruction that faulted in a copy
 * @regs: of the fault
 * @ip: where the copy is
 */
struct vfu_stepped {
	const struct pt_regs *regs;
	unsigned long ip;
};

static DEFINE_PER_CPU(struct vfu_stepped [2], vfu_stepped);

/**
 * vfu_arch_text_fault() - a fault while a probe is handled, on its way to the kernel's handlers
 * @fregs: of the call of kprobe_fault_handler()
 *
 * Context: the fault, interrupts off.
 * Return: false, the original runs.
 */
bool vfu_arch_text_fault(struct ftrace_regs *fregs)
{
	const struct pt_regs *regs = (const struct pt_regs *)vfu_arch_arg(fregs, 0);
	struct vfu_stepped *stepped = this_cpu_ptr(&vfu_stepped[!!in_nmi()]);

	stepped->regs = regs;
	stepped->ip = regs->ip;
	return false;
}
NOKPROBE_SYMBOL(vfu_arch_text_fault);

/**
 * vfu_arch_text_at() - where is the instruction that faulted?
 * @regs: of the fault
 *
 * Context: the fault, interrupts off.
 * Return: its address or that of its copy, good while interrupts are off; 0 if it has been
 * overwritten since the CPU executed it, and has to be executed again.
 */
unsigned long vfu_arch_text_at(const struct pt_regs *regs)
{
	struct vfu_stepped *stepped = this_cpu_ptr(&vfu_stepped[!!in_nmi()]);
	unsigned long copy = stepped->regs == regs ? stepped->ip : 0;
	u8 first;

	stepped->regs = NULL;
	/* These cannot have made a page fault: they were not there when the CPU looked. */
	if (copy_from_kernel_nofault(&first, (void *)regs->ip, sizeof(first)) ||
	    (first != INT3_INSN_OPCODE && first != JMP32_INSN_OPCODE))
		return regs->ip;
	return copy || vfu_trap_sees_probes() ? copy : regs->ip;
}

/* ---- jumps ---- */

#define VFU_TEXT_BITS	12
/* In a counter: somebody was there since this was last looked at. */
#define VFU_TEXT_SEEN	BIT(30)

/* By hash of the address; if two share a counter, a probe stays a breakpoint for longer. */
static atomic_t vfu_text_busy[1 << VFU_TEXT_BITS];

static atomic_t *vfu_text_counter(unsigned long ip)
{
	return &vfu_text_busy[hash_long(ip, VFU_TEXT_BITS)];
}

/**
 * vfu_arch_text_hold() - the text where execution goes on is to stay as it is
 * @insn: instruction that is emulated
 * @ip: its address: where execution goes on if a part of it is left
 *
 * Context: any, before the first wait.
 */
void vfu_arch_text_hold(const struct vfu_arch_insn *insn, unsigned long ip)
{
	atomic_inc(vfu_text_counter(ip));
	atomic_inc(vfu_text_counter(ip + insn->decoded.length));
}

static void vfu_text_release(unsigned long ip)
{
	atomic_t *counter = vfu_text_counter(ip);

	/* From here on until it does go on, which may be after a preemption. */
	atomic_or(VFU_TEXT_SEEN, counter);
	atomic_dec(counter);
}

/**
 * vfu_arch_text_release() - undo vfu_arch_text_hold()
 * @insn: as given there
 * @ip: as given there
 *
 * Context: any, after the last wait.
 */
void vfu_arch_text_release(const struct vfu_arch_insn *insn, unsigned long ip)
{
	vfu_text_release(ip);
	vfu_text_release(ip + insn->decoded.length);
}

#ifdef CONFIG_OPTPROBES
static bool vfu_text_in_use(unsigned long ip)
{
	atomic_t *counter = vfu_text_counter(ip);
	int value = atomic_read(counter);

	if (value & VFU_TEXT_SEEN)
		atomic_andnot(VFU_TEXT_SEEN, counter);
	return value;
}
#endif

/**
 * vfu_arch_text_jumps() - may jumps be written now?
 * @fregs: of the call of arch_optimize_kprobes()
 *
 * Context: the kernel's worker, text_mutex held; each task has been seen asleep since the probes
 * were put.
 * Return: true if they have to wait.
 */
bool vfu_arch_text_jumps(struct ftrace_regs *fregs)
{
	bool busy = false;
#ifdef CONFIG_OPTPROBES
	const struct list_head *list = (const struct list_head *)vfu_arch_arg(fregs, 0);
	const struct optimized_kprobe *op;
	int i;

	list_for_each_entry(op, list, list)
		for (i = 1; i < JMP32_INSN_SIZE; i++)
			busy |= vfu_text_in_use((unsigned long)op->kp.addr + i);
#endif
	return busy;
}

/**
 * vfu_arch_text_later() - what runs instead of arch_optimize_kprobes() then
 * @list: stays as it is, for the next time
 *
 * Context: as vfu_arch_text_jumps().
 */
void vfu_arch_text_later(struct list_head *list)
{
}

/* The end of what a buffer has before its copies: add $16,%rsp; popf. */
static const u8 vfu_text_detour[] = { 0x48, 0x83, 0xc4, 0x10, 0x9d };

/**
 * vfu_arch_text_stays() - does the instruction stay where it is, whoever sleeps there?
 * @ip: of an instruction that faulted
 *
 * Context: the fault.
 * Return: false in the buffer of a probe that is a jump.
 */
bool vfu_arch_text_stays(unsigned long ip)
{
	/* A copied instruction begins in what the jump overwrites. */
	u8 before[sizeof(vfu_text_detour) + JMP32_INSN_SIZE - 1];
	int i;

	/* Buffers are where modules are. */
	if (!IS_ENABLED(CONFIG_OPTPROBES) || ip < MODULES_VADDR ||
	    copy_from_kernel_nofault(before, (void *)ip - sizeof(before), sizeof(before)))
		return true;
	for (i = sizeof(before) - sizeof(vfu_text_detour); i >= 0; i--)
		if (!memcmp(before + i, vfu_text_detour, sizeof(vfu_text_detour)))
			return false;
	return true;
}
