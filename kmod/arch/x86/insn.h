/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One decoded x86-64 instruction that accesses memory.
 *
 * Owns the abstract description handed from the decoder (insn.c) to the emulator (emulate.c).
 * Both are pure: no global state, no locking, no allocation; they are built into the module and
 * into user-space tests alike.
 */
#ifndef VFU_INSN_H
#define VFU_INSN_H

#include <linux/types.h>
#ifndef __KERNEL__
#include <stdbool.h>
#include <stddef.h>

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __s64 s64;
#endif

/* The longest instruction that a CPU executes, in bytes. */
#define VFU_INSN_MAX_LEN 15

/*
 * What the instruction does. "dst" and "src" below are the memory operand and the other operand:
 * memory is dst where vfu_insn.mem_dst is set, else src. CMP and TEST write neither.
 */
enum vfu_insn_op {
	VFU_OP_NONE,		/* never returned by a successful decode */
	VFU_OP_MOV,		/* dst = src; MOVNTI and MOVDIRI as well */
	VFU_OP_MOVZX,		/* reg = src, zero-extended from mem_size */
	VFU_OP_MOVSX,		/* reg = src, sign-extended from mem_size */
	VFU_OP_MOVBE,		/* dst = src with its bytes reversed */
	VFU_OP_CMOV,		/* if (cond) reg = src; src is always read */
	VFU_OP_SETCC,		/* dst = cond */
	/* The arithmetic group, in the order in which opcodes encode it. */
	VFU_OP_ADD,
	VFU_OP_OR,
	VFU_OP_ADC,
	VFU_OP_SBB,
	VFU_OP_AND,
	VFU_OP_SUB,
	VFU_OP_XOR,
	VFU_OP_CMP,
	VFU_OP_TEST,
	VFU_OP_INC,
	VFU_OP_DEC,
	VFU_OP_NOT,
	VFU_OP_NEG,
	VFU_OP_ROL,
	VFU_OP_ROR,
	VFU_OP_SHL,
	VFU_OP_SHR,
	VFU_OP_SAR,
	VFU_OP_XCHG,
	VFU_OP_XADD,
	VFU_OP_CMPXCHG,
	VFU_OP_BT,
	VFU_OP_BTS,
	VFU_OP_BTR,
	VFU_OP_BTC,
	/* String instructions: the operands are implied, rsi (with seg) and es:rdi. */
	VFU_OP_MOVS,
	VFU_OP_CMPS,
	VFU_OP_STOS,
	VFU_OP_LODS,
	VFU_OP_SCAS,
	VFU_OP_MOVDIR64B,	/* 64 bytes from memory to the address in reg */
	VFU_OP_COUNT,
};

/* Where the operand that is not memory comes from. */
enum vfu_insn_operand {
	VFU_OPERAND_NONE,
	VFU_OPERAND_REG,	/* vfu_insn.reg */
	VFU_OPERAND_IMM,	/* vfu_insn.imm */
	VFU_OPERAND_CL,		/* a shift count */
};

enum vfu_insn_rep {
	VFU_REP_NONE,
	VFU_REP_REP,		/* F3: REP, or REPE for CMPS and SCAS */
	VFU_REP_REPNE,		/* F2: only with CMPS and SCAS */
};

/* The segments whose base 64-bit mode does not take as zero. */
enum vfu_insn_seg {
	VFU_SEG_NONE,
	VFU_SEG_FS,
	VFU_SEG_GS,
};

/* Register numbers are the encoded ones: rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8 ... r15. */
#define VFU_REG_RIP	0x10	/* base only: address of the next instruction */
#define VFU_REG_NONE	0xff

/**
 * struct vfu_insn - one decoded instruction
 * @length: of the instruction, bytes
 * @op: enum vfu_insn_op
 * @cond: condition code 0..15 as encoded (CMOV, SETCC), else 0
 * @mem_size: bytes that one element occupies in memory: 1, 2, 4, 8, or 64 for MOVDIR64B
 * @reg_size: bytes of the register or immediate operand: 1, 2, 4 or 8. Differs from @mem_size for
 *	MOVZX and MOVSX. A 4-byte register write clears the upper half.
 * @operand: enum vfu_insn_operand
 * @reg: register operand, VFU_REG_NONE without one. For MOVDIR64B the register that holds the
 *	destination address, its width @reg_size.
 * @rep: enum vfu_insn_rep
 * @seg: enum vfu_insn_seg, applies to the memory operand (for strings: to the one at rsi)
 * @base: base register, VFU_REG_RIP or VFU_REG_NONE
 * @index: index register or VFU_REG_NONE
 * @scale: the index is shifted left by this, 0..3
 * @reg_high8: @reg is 0..3 and means AH, CH, DH or BH
 * @mem_dst: memory is the first operand
 * @bit_string: @reg is a signed bit offset that also moves the address, by whole operands of
 * @mem_size
 * @lock: LOCK prefix present (XCHG is locked without)
 * @addr32: addresses and REP count are 32 bits wide
 * @disp: displacement, sign-extended; the whole address for the absolute (moffs) forms
 * @imm: immediate, sign-extended to 64 bits from its encoded width; 1 for the shifts by one
 *
 * String instructions have @base and @index VFU_REG_NONE. The address of any other is
 * seg + (base + (index << scale) + disp), the sum cut to 32 bits where @addr32.
 */
struct vfu_insn {
	u8 length;
	u8 op;
	u8 cond;
	u8 mem_size;
	u8 reg_size;
	u8 operand;
	u8 reg;
	u8 rep;
	u8 seg;
	u8 base;
	u8 index;
	u8 scale;
	bool reg_high8;
	bool mem_dst;
	bool bit_string;
	bool lock;
	bool addr32;
	s64 disp;
	u64 imm;
};

int vfu_insn_decode(struct vfu_insn *insn, const u8 *bytes, size_t len);

#endif /* VFU_INSN_H */
