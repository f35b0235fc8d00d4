// SPDX-License-Identifier: GPL-2.0-only
/*
 * Emulator for the instructions that insn.c decodes.
 *
 * Pure: registers come by pointer, memory through callbacks. Keeps nothing, takes no lock.
 * Registers and flags change only after the last memory access of an instruction (of an element,
 * for strings) has succeeded, so an error leaves a state from which the instruction can be
 * started again.
 *
 * Flags that the manuals call undefined come out as most CPUs leave them, and nothing may rely on
 * it: AF is cleared by the logic operations, untouched by shifts; OF follows the one-bit rule for
 * every shift count.
 *
 * References: Intel SDM volume 2, "Operation" of each instruction; volume 1, 3.4.3 EFLAGS.
 */
#ifdef __KERNEL__
#include <linux/kernel.h>
#endif
#include <linux/errno.h>
#include <asm/processor-flags.h>

#include "emulate.h"

/* Places in vfu_cpu.gpr of the registers that instructions imply. */
#define GPR_AX	0
#define GPR_CX	1
#define GPR_SI	6
#define GPR_DI	7

#define MOVDIR64B_SIZE	64

#define FLAGS_RESULT	(X86_EFLAGS_PF | X86_EFLAGS_ZF | X86_EFLAGS_SF)
#define FLAGS_ARITH	(X86_EFLAGS_CF | X86_EFLAGS_AF | X86_EFLAGS_OF | FLAGS_RESULT)

/* What a register-file or memory update should be, once nothing can fail any more. */
struct outcome {
	bool to_mem;
	bool to_reg;
	u8 reg;
	bool reg_high8;
	u64 mem;
	u64 value;
	unsigned long flags;
};

static u64 zero_extend(u64 value, unsigned int size)
{
	unsigned int shift = 64 - 8 * size;

	return value << shift >> shift;
}

static u64 sign_extend(u64 value, unsigned int size)
{
	unsigned int shift = 64 - 8 * size;

	return (s64)(value << shift) >> shift;
}

static bool top_bit(u64 value, unsigned int size)
{
	return value >> (8 * size - 1) & 1;
}

static u64 reverse_bytes(u64 value, unsigned int size)
{
	return __builtin_bswap64(value) >> (64 - 8 * size);
}

static u64 get_reg(const struct vfu_cpu *cpu, u8 reg, bool high8, unsigned int size)
{
	return zero_extend(*cpu->gpr[reg] >> (high8 ? 8 : 0), size);
}

/* 8- and 16-bit writes keep the rest of the register, 32-bit writes clear the upper half. */
static void set_reg(struct vfu_cpu *cpu, u8 reg, bool high8, unsigned int size, u64 value)
{
	unsigned long *r = cpu->gpr[reg];
	unsigned int shift = high8 ? 8 : 0;
	u64 mask;

	if (size >= 4) {
		*r = zero_extend(value, size);
		return;
	}
	mask = zero_extend(~0ULL, size) << shift;
	*r = (*r & ~mask) | (value << shift & mask);
}

static u64 segment_base(const struct vfu_insn *insn, const struct vfu_cpu *cpu)
{
	switch (insn->seg) {
	case VFU_SEG_FS:
		return cpu->fs_base;
	case VFU_SEG_GS:
		return cpu->gs_base;
	default:
		return 0;
	}
}

static u64 truncate_address(const struct vfu_insn *insn, u64 addr)
{
	return insn->addr32 ? (u32)addr : addr;
}

/* Linear address of the memory operand of anything but a string instruction. */
static u64 operand_address(const struct vfu_insn *insn, const struct vfu_cpu *cpu)
{
	u64 addr = insn->disp;

	if (insn->base == VFU_REG_RIP)
		addr += *cpu->ip + insn->length;
	else if (insn->base != VFU_REG_NONE)
		addr += *cpu->gpr[insn->base];
	if (insn->index != VFU_REG_NONE)
		addr += (u64)*cpu->gpr[insn->index] << insn->scale;
	if (insn->bit_string) {
		s64 bit = sign_extend(*cpu->gpr[insn->reg], insn->reg_size);
		s64 bits = 8 * insn->mem_size;

		/* Rounds down, also for bits before the operand. */
		addr += (bit & ~(bits - 1)) / 8;
	}
	return segment_base(insn, cpu) + truncate_address(insn, addr);
}

static u64 other_operand(const struct vfu_insn *insn, const struct vfu_cpu *cpu)
{
	switch (insn->operand) {
	case VFU_OPERAND_REG:
		return get_reg(cpu, insn->reg, insn->reg_high8, insn->reg_size);
	case VFU_OPERAND_IMM:
		return zero_extend(insn->imm, insn->reg_size);
	case VFU_OPERAND_CL:
		return get_reg(cpu, GPR_CX, false, 1);
	default:
		return 0;
	}
}

/* Condition codes as SETcc and CMOVcc encode them: pairs, the odd one opposite to the even. */
static bool condition(u8 cond, unsigned long flags)
{
	bool cf = flags & X86_EFLAGS_CF;
	bool zf = flags & X86_EFLAGS_ZF;
	bool sf = flags & X86_EFLAGS_SF;
	bool of = flags & X86_EFLAGS_OF;
	bool met;

	switch (cond >> 1) {
	case 0:
		met = of;
		break;
	case 1:
		met = cf;
		break;
	case 2:
		met = zf;
		break;
	case 3:
		met = cf || zf;
		break;
	case 4:
		met = sf;
		break;
	case 5:
		met = flags & X86_EFLAGS_PF;
		break;
	case 6:
		met = sf != of;
		break;
	default:
		met = zf || sf != of;
		break;
	}
	return met != (cond & 1);
}

static unsigned long flag(unsigned long bit, bool set)
{
	return set ? bit : 0;
}

/* PF, ZF and SF, which depend on the result alone. */
static unsigned long result_flags(u64 result, unsigned int size)
{
	return flag(X86_EFLAGS_PF, !__builtin_parity(result & 0xff)) |
	       flag(X86_EFLAGS_ZF, !result) |
	       flag(X86_EFLAGS_SF, top_bit(result, size));
}

static u64 add(u64 a, u64 b, bool carry, unsigned int size, unsigned long *flags)
{
	u64 r = zero_extend(a + b + carry, size);

	*flags = (*flags & ~FLAGS_ARITH) | result_flags(r, size) |
		 flag(X86_EFLAGS_CF, r < a || (carry && r == a)) |
		 flag(X86_EFLAGS_AF, (a ^ b ^ r) & 0x10) |
		 flag(X86_EFLAGS_OF, top_bit((a ^ r) & (b ^ r), size));
	return r;
}

static u64 sub(u64 a, u64 b, bool borrow, unsigned int size, unsigned long *flags)
{
	u64 r = zero_extend(a - b - borrow, size);

	*flags = (*flags & ~FLAGS_ARITH) | result_flags(r, size) |
		 flag(X86_EFLAGS_CF, a < b || (borrow && a == b)) |
		 flag(X86_EFLAGS_AF, (a ^ b ^ r) & 0x10) |
		 flag(X86_EFLAGS_OF, top_bit((a ^ b) & (a ^ r), size));
	return r;
}

static u64 logic(u64 r, unsigned int size, unsigned long *flags)
{
	*flags = (*flags & ~FLAGS_ARITH) | result_flags(r, size);
	return r;
}

/* INC and DEC leave CF alone. */
static unsigned long keep_carry(unsigned long flags, unsigned long old)
{
	return (flags & ~X86_EFLAGS_CF) | (old & X86_EFLAGS_CF);
}

static u64 rotate(u8 op, u64 a, unsigned int count, unsigned int size, unsigned long *flags)
{
	unsigned int bits = 8 * size;
	unsigned int left = (op == VFU_OP_ROL ? count : bits - count % bits) % bits;
	bool carry, overflow;
	u64 r = a;

	if (left)
		r = zero_extend(a << left | a >> (bits - left), size);
	if (op == VFU_OP_ROL) {
		carry = r & 1;
		overflow = top_bit(r, size) ^ carry;
	} else {
		carry = top_bit(r, size);
		overflow = carry ^ (r >> (bits - 2) & 1);
	}
	*flags = (*flags & ~(X86_EFLAGS_CF | X86_EFLAGS_OF)) |
		 flag(X86_EFLAGS_CF, carry) | flag(X86_EFLAGS_OF, overflow);
	return r;
}

/* The CPU takes five bits of the count, six for 8 bytes; none set changes nothing. */
static u64 shift(u8 op, u64 a, u64 count, unsigned int size, unsigned long *flags)
{
	u64 extended = sign_extend(a, size);
	bool carry, overflow;
	u64 r;

	count &= size == 8 ? 63 : 31;
	if (!count)
		return a;

	switch (op) {
	case VFU_OP_SHL:
		carry = top_bit(a << (count - 1), size);
		r = zero_extend(a << count, size);
		overflow = top_bit(r, size) ^ carry;
		break;
	case VFU_OP_SHR:
		carry = a >> (count - 1) & 1;
		r = a >> count;
		overflow = top_bit(a, size);
		break;
	case VFU_OP_SAR:
		carry = (s64)extended >> (count - 1) & 1;
		r = zero_extend((s64)extended >> count, size);
		overflow = false;
		break;
	default:
		return rotate(op, a, count, size, flags);
	}
	*flags = (*flags & ~(X86_EFLAGS_CF | X86_EFLAGS_OF | FLAGS_RESULT)) |
		 result_flags(r, size) |
		 flag(X86_EFLAGS_CF, carry) | flag(X86_EFLAGS_OF, overflow);
	return r;
}

/* The operations on one or two operands of the same size which yield one result and flags. */
static u64 alu(u8 op, u64 a, u64 b, unsigned int size, unsigned long *flags)
{
	bool carry = *flags & X86_EFLAGS_CF;
	unsigned long old = *flags;
	u64 r;

	switch (op) {
	case VFU_OP_ADD:
	case VFU_OP_XADD:
		return add(a, b, false, size, flags);
	case VFU_OP_ADC:
		return add(a, b, carry, size, flags);
	case VFU_OP_SUB:
	case VFU_OP_CMP:
		return sub(a, b, false, size, flags);
	case VFU_OP_SBB:
		return sub(a, b, carry, size, flags);
	case VFU_OP_OR:
		return logic(a | b, size, flags);
	case VFU_OP_AND:
	case VFU_OP_TEST:
		return logic(a & b, size, flags);
	case VFU_OP_XOR:
		return logic(a ^ b, size, flags);
	case VFU_OP_INC:
		r = add(a, 1, false, size, flags);
		*flags = keep_carry(*flags, old);
		return r;
	case VFU_OP_DEC:
		r = sub(a, 1, false, size, flags);
		*flags = keep_carry(*flags, old);
		return r;
	case VFU_OP_NEG:
		return sub(0, a, false, size, flags);
	case VFU_OP_NOT:
		return zero_extend(~a, size);
	default:
		return shift(op, a, b, size, flags);
	}
}

static u64 bit_operation(u8 op, u64 value, u64 offset, unsigned int size, unsigned long *flags)
{
	u64 bit = 1ULL << (offset & (8 * size - 1));

	*flags = (*flags & ~X86_EFLAGS_CF) | flag(X86_EFLAGS_CF, value & bit);
	switch (op) {
	case VFU_OP_BTS:
		return value | bit;
	case VFU_OP_BTR:
		return value & ~bit;
	case VFU_OP_BTC:
		return value ^ bit;
	default:
		return value;
	}
}

/* Computes @out from the memory operand @mem, as read; nothing is changed here. */
static int evaluate(const struct vfu_insn *insn, const struct vfu_cpu *cpu, u64 mem,
		    struct outcome *out)
{
	u64 other = other_operand(insn, cpu);
	u64 old_acc, r;

	out->flags = *cpu->flags;
	out->reg = insn->reg;
	out->reg_high8 = insn->reg_high8;
	out->to_mem = insn->mem_dst;
	out->to_reg = !insn->mem_dst;

	switch (insn->op) {
	case VFU_OP_MOV:
		r = insn->mem_dst ? other : mem;
		break;
	case VFU_OP_MOVZX:
		r = mem;
		break;
	case VFU_OP_MOVSX:
		r = sign_extend(mem, insn->mem_size);
		break;
	case VFU_OP_MOVBE:
		r = reverse_bytes(insn->mem_dst ? other : mem, insn->mem_size);
		break;
	case VFU_OP_CMOV:
		/* Written even where the condition is false: that clears the upper half. */
		r = condition(insn->cond, out->flags) ? mem : other;
		break;
	case VFU_OP_SETCC:
		r = condition(insn->cond, out->flags);
		break;
	case VFU_OP_XCHG:
		out->to_reg = true;
		out->mem = other;
		out->value = mem;
		return 0;
	case VFU_OP_XADD:
		out->to_reg = true;
		out->mem = alu(insn->op, mem, other, insn->mem_size, &out->flags);
		out->value = mem;
		return 0;
	case VFU_OP_CMPXCHG:
		/* Memory is written in either case, the accumulator only where they differ. */
		old_acc = get_reg(cpu, GPR_AX, false, insn->mem_size);
		alu(VFU_OP_CMP, old_acc, mem, insn->mem_size, &out->flags);
		out->to_reg = old_acc != mem;
		out->mem = out->to_reg ? mem : other;
		out->reg = GPR_AX;
		out->reg_high8 = false;
		out->value = mem;
		return 0;
	case VFU_OP_BT:
	case VFU_OP_BTS:
	case VFU_OP_BTR:
	case VFU_OP_BTC:
		out->to_mem = insn->op != VFU_OP_BT;
		r = bit_operation(insn->op, mem, other, insn->mem_size, &out->flags);
		break;
	case VFU_OP_ADD ... VFU_OP_SAR:
		r = insn->mem_dst ? alu(insn->op, mem, other, insn->mem_size, &out->flags) :
				    alu(insn->op, other, mem, insn->mem_size, &out->flags);
		if (insn->op == VFU_OP_CMP || insn->op == VFU_OP_TEST) {
			out->to_mem = false;
			out->to_reg = false;
		}
		break;
	default:
		return -EINVAL;
	}
	out->mem = r;
	out->value = r;
	return 0;
}

/* Pure stores must not read: a device register may have side effects. */
static bool reads_memory(const struct vfu_insn *insn)
{
	switch (insn->op) {
	case VFU_OP_MOV:
	case VFU_OP_MOVBE:
	case VFU_OP_SETCC:
		return !insn->mem_dst;
	default:
		return true;
	}
}

static int emulate_single(const struct vfu_insn *insn, struct vfu_cpu *cpu,
			  const struct vfu_mem_ops *ops, void *opaque)
{
	u64 addr = operand_address(insn, cpu);
	struct outcome out;
	u64 mem = 0;
	int err;

	if (reads_memory(insn)) {
		err = ops->read(opaque, addr, &mem, insn->mem_size);
		if (err)
			return err;
	}
	err = evaluate(insn, cpu, mem, &out);
	if (err)
		return err;
	if (out.to_mem) {
		err = ops->write(opaque, addr, &out.mem, insn->mem_size);
		if (err)
			return err;
	}
	if (out.to_reg)
		set_reg(cpu, out.reg, out.reg_high8, insn->reg_size, out.value);
	*cpu->flags = out.flags;
	return 0;
}

/* The CPU faults (#GP) where the destination is not aligned. */
static int emulate_movdir64b(const struct vfu_insn *insn, struct vfu_cpu *cpu,
			     const struct vfu_mem_ops *ops, void *opaque)
{
	u64 dst = get_reg(cpu, insn->reg, false, insn->reg_size);
	u8 buf[MOVDIR64B_SIZE];
	int err;

	if (dst % MOVDIR64B_SIZE)
		return -EINVAL;
	err = ops->read(opaque, operand_address(insn, cpu), buf, sizeof(buf));
	if (err)
		return err;
	return ops->write(opaque, dst, buf, sizeof(buf));
}

/* Moves a pointer register past one element. */
static void advance(const struct vfu_insn *insn, struct vfu_cpu *cpu, u8 reg)
{
	u64 step = insn->mem_size;

	if (*cpu->flags & X86_EFLAGS_DF)
		step = -step;
	*cpu->gpr[reg] = truncate_address(insn, *cpu->gpr[reg] + step);
}

/* One element: memory accesses first, registers after the last of them. */
static int emulate_element(const struct vfu_insn *insn, struct vfu_cpu *cpu,
			   const struct vfu_mem_ops *ops, void *opaque)
{
	u64 src = segment_base(insn, cpu) + truncate_address(insn, *cpu->gpr[GPR_SI]);
	u64 dst = truncate_address(insn, *cpu->gpr[GPR_DI]);
	unsigned int size = insn->mem_size;
	u64 acc = get_reg(cpu, GPR_AX, false, size);
	u64 a = 0, b = 0;
	int err;

	switch (insn->op) {
	case VFU_OP_MOVS:
		err = ops->read(opaque, src, &a, size);
		if (!err)
			err = ops->write(opaque, dst, &a, size);
		if (err)
			return err;
		advance(insn, cpu, GPR_SI);
		advance(insn, cpu, GPR_DI);
		return 0;
	case VFU_OP_STOS:
		err = ops->write(opaque, dst, &acc, size);
		if (err)
			return err;
		advance(insn, cpu, GPR_DI);
		return 0;
	case VFU_OP_LODS:
		err = ops->read(opaque, src, &a, size);
		if (err)
			return err;
		set_reg(cpu, GPR_AX, false, size, a);
		advance(insn, cpu, GPR_SI);
		return 0;
	case VFU_OP_CMPS:
		err = ops->read(opaque, src, &a, size);
		if (!err)
			err = ops->read(opaque, dst, &b, size);
		if (err)
			return err;
		sub(a, b, false, size, cpu->flags);
		advance(insn, cpu, GPR_SI);
		advance(insn, cpu, GPR_DI);
		return 0;
	case VFU_OP_SCAS:
		err = ops->read(opaque, dst, &b, size);
		if (err)
			return err;
		sub(acc, b, false, size, cpu->flags);
		advance(insn, cpu, GPR_DI);
		return 0;
	default:
		return -EINVAL;
	}
}

/* REPE ends early at the first element that differs, REPNE at the first that is equal. */
static bool comparison_ends(const struct vfu_insn *insn, unsigned long flags)
{
	if (insn->op != VFU_OP_CMPS && insn->op != VFU_OP_SCAS)
		return false;
	return !!(flags & X86_EFLAGS_ZF) == (insn->rep == VFU_REP_REPNE);
}

/* Returns 1 where elements are left, 0 where the instruction is complete. */
static int emulate_string(const struct vfu_insn *insn, struct vfu_cpu *cpu,
			  const struct vfu_mem_ops *ops, void *opaque, unsigned int max_elements)
{
	unsigned int i;
	u64 count;
	int err;

	if (insn->rep == VFU_REP_NONE)
		return emulate_element(insn, cpu, ops, opaque);

	for (i = 0; i < max_elements; i++) {
		count = truncate_address(insn, *cpu->gpr[GPR_CX]);
		if (!count)
			return 0;
		err = emulate_element(insn, cpu, ops, opaque);
		if (err)
			return err;
		*cpu->gpr[GPR_CX] = --count;
		if (!count || comparison_ends(insn, *cpu->flags))
			return 0;
	}
	return 1;
}

/**
 * vfu_emulate() - carry out one decoded instruction
 * @insn: from a successful vfu_insn_decode()
 * @cpu: registers, changed as the instruction changes them
 * @ops: memory
 * @opaque: handed to @ops
 * @max_elements: how many elements of a repeated string instruction to process at most, at least 1
 *
 * When the instruction is complete, the instruction pointer stands behind it and RF is clear. A
 * string instruction that has elements left after @max_elements keeps its instruction pointer:
 * return to it and it goes on, as after an interrupt. After an error registers and flags are as
 * before the instruction, for strings as after the last complete element.
 *
 * Context: any that the callbacks allow.
 * Return: 0, also with elements left; what a callback returned; -EINVAL for an instruction that
 * the CPU would refuse (MOVDIR64B to an unaligned address).
 */
int vfu_emulate(const struct vfu_insn *insn, struct vfu_cpu *cpu, const struct vfu_mem_ops *ops,
		void *opaque, unsigned int max_elements)
{
	int ret;

	if (insn->op >= VFU_OP_MOVS && insn->op <= VFU_OP_SCAS)
		ret = emulate_string(insn, cpu, ops, opaque, max_elements);
	else if (insn->op == VFU_OP_MOVDIR64B)
		ret = emulate_movdir64b(insn, cpu, ops, opaque);
	else
		ret = emulate_single(insn, cpu, ops, opaque);
	if (ret)
		return ret < 0 ? ret : 0;

	*cpu->ip += insn->length;
	*cpu->flags &= ~X86_EFLAGS_RF;
	return 0;
}
