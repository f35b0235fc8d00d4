// SPDX-License-Identifier: GPL-2.0-only
/*
 * x86-64 instruction decoder for trapped MMIO.
 *
 * Decodes one instruction in 64-bit mode that has a memory operand and general-purpose operands.
 * Pure: it looks at the given bytes only, keeps nothing, takes no lock. Whatever is not in the
 * tables below is refused, never guessed at; so are encodings which are legal or which CPUs
 * happen to tolerate, but which no assembler emits (see decode_prefixes() and check_prefixes()).
 *
 * References: Intel SDM volume 2 (2.1 instruction format, 2.2.1 REX, appendix A opcode maps), AMD
 * APM volume 3.
 */
#ifdef __KERNEL__
#include <linux/kernel.h>
#endif
#include <linux/errno.h>

#include "insn.h"

#define REX_W	0x08
#define REX_R	0x04
#define REX_X	0x02
#define REX_B	0x01

/* How the operands are encoded. */
enum form {
	FORM_UNKNOWN,
	FORM_RM,		/* memory alone */
	FORM_RM_REG,		/* memory, register */
	FORM_REG_RM,		/* register, memory */
	FORM_RM_IMM,		/* memory, immediate of operand size, at most 4 bytes */
	FORM_RM_IMM8,		/* memory, immediate byte */
	FORM_RM_ONE,		/* memory, 1 */
	FORM_RM_CL,		/* memory, CL */
	FORM_ACC_MOFFS,		/* accumulator, absolute address */
	FORM_MOFFS_ACC,		/* absolute address, accumulator */
	FORM_STRING,		/* implied */
};

/* Opcode flags. */
#define BYTE	0x01		/* operands are bytes */
#define BYTE_W	0x02		/* bytes where the opcode's lowest bit is clear */
#define EXT	0x04		/* memory is a byte or a word, by the opcode's lowest bit */
#define EXT_D	0x08		/* memory is a doubleword */
#define NO_66	0x10		/* undefined with an operand size prefix */
#define NEED_66	0x20		/* the operand size prefix is part of the opcode */
#define GROUP	0x40		/* modrm.reg selects the operation, op is the group */

struct opcode {
	u8 op;
	u8 form;
	u8 flags;
};

enum group {
	GROUP_ARITH,		/* 80, 81, 83 */
	GROUP_SHIFT,		/* C0, C1, D0 ... D3 */
	GROUP_MOV,		/* C6, C7 */
	GROUP_UNARY,		/* F6, F7 */
	GROUP_INCDEC,		/* FE, FF */
	GROUP_BIT,		/* 0F BA */
};

static const u8 groups[][8] = {
	[GROUP_ARITH] = {
		VFU_OP_ADD, VFU_OP_OR, VFU_OP_ADC, VFU_OP_SBB,
		VFU_OP_AND, VFU_OP_SUB, VFU_OP_XOR, VFU_OP_CMP,
	},
	/* 2 and 3 rotate through carry, 6 is an undocumented alias: not here. */
	[GROUP_SHIFT] = {
		[0] = VFU_OP_ROL, [1] = VFU_OP_ROR, [4] = VFU_OP_SHL, [5] = VFU_OP_SHR,
		[7] = VFU_OP_SAR,
	},
	[GROUP_MOV] = { [0] = VFU_OP_MOV },
	/* 1 is an undocumented alias of TEST, 4 to 7 multiply and divide: not here. */
	[GROUP_UNARY] = { [0] = VFU_OP_TEST, [2] = VFU_OP_NOT, [3] = VFU_OP_NEG },
	[GROUP_INCDEC] = { [0] = VFU_OP_INC, [1] = VFU_OP_DEC },
	[GROUP_BIT] = { [4] = VFU_OP_BT, [5] = VFU_OP_BTS, [6] = VFU_OP_BTR, [7] = VFU_OP_BTC },
};

/* One of the eight rows of register forms at the start of the one-byte map. */
#define ARITH(first, operation)									\
	[(first) ... (first) + 1] = { VFU_OP_##operation, FORM_RM_REG, BYTE_W },		\
	[(first) + 2 ... (first) + 3] = { VFU_OP_##operation, FORM_REG_RM, BYTE_W }

static const struct opcode map_1byte[256] = {
	ARITH(0x00, ADD),
	ARITH(0x08, OR),
	ARITH(0x10, ADC),
	ARITH(0x18, SBB),
	ARITH(0x20, AND),
	ARITH(0x28, SUB),
	ARITH(0x30, XOR),
	ARITH(0x38, CMP),
	/* With 66 and no REX.W Intel reads two bytes, AMD four. */
	[0x63] = { VFU_OP_MOVSX, FORM_REG_RM, EXT_D | NO_66 },
	[0x80 ... 0x81] = { GROUP_ARITH, FORM_RM_IMM, BYTE_W | GROUP },
	[0x83] = { GROUP_ARITH, FORM_RM_IMM8, GROUP },
	[0x84 ... 0x85] = { VFU_OP_TEST, FORM_RM_REG, BYTE_W },
	[0x86 ... 0x87] = { VFU_OP_XCHG, FORM_RM_REG, BYTE_W },
	[0x88 ... 0x89] = { VFU_OP_MOV, FORM_RM_REG, BYTE_W },
	[0x8a ... 0x8b] = { VFU_OP_MOV, FORM_REG_RM, BYTE_W },
	[0xa0 ... 0xa1] = { VFU_OP_MOV, FORM_ACC_MOFFS, BYTE_W },
	[0xa2 ... 0xa3] = { VFU_OP_MOV, FORM_MOFFS_ACC, BYTE_W },
	[0xa4 ... 0xa5] = { VFU_OP_MOVS, FORM_STRING, BYTE_W },
	[0xa6 ... 0xa7] = { VFU_OP_CMPS, FORM_STRING, BYTE_W },
	[0xaa ... 0xab] = { VFU_OP_STOS, FORM_STRING, BYTE_W },
	[0xac ... 0xad] = { VFU_OP_LODS, FORM_STRING, BYTE_W },
	[0xae ... 0xaf] = { VFU_OP_SCAS, FORM_STRING, BYTE_W },
	[0xc0 ... 0xc1] = { GROUP_SHIFT, FORM_RM_IMM8, BYTE_W | GROUP },
	[0xc6 ... 0xc7] = { GROUP_MOV, FORM_RM_IMM, BYTE_W | GROUP },
	[0xd0 ... 0xd1] = { GROUP_SHIFT, FORM_RM_ONE, BYTE_W | GROUP },
	[0xd2 ... 0xd3] = { GROUP_SHIFT, FORM_RM_CL, BYTE_W | GROUP },
	[0xf6 ... 0xf7] = { GROUP_UNARY, FORM_RM, BYTE_W | GROUP },
	[0xfe ... 0xff] = { GROUP_INCDEC, FORM_RM, BYTE_W | GROUP },
};

static const struct opcode map_0f[256] = {
	[0x40 ... 0x4f] = { VFU_OP_CMOV, FORM_REG_RM, 0 },
	[0x90 ... 0x9f] = { VFU_OP_SETCC, FORM_RM, BYTE },
	[0xa3] = { VFU_OP_BT, FORM_RM_REG, 0 },
	[0xab] = { VFU_OP_BTS, FORM_RM_REG, 0 },
	[0xb0 ... 0xb1] = { VFU_OP_CMPXCHG, FORM_RM_REG, BYTE_W },
	[0xb3] = { VFU_OP_BTR, FORM_RM_REG, 0 },
	[0xb6 ... 0xb7] = { VFU_OP_MOVZX, FORM_REG_RM, EXT },
	[0xba] = { GROUP_BIT, FORM_RM_IMM8, GROUP },
	[0xbb] = { VFU_OP_BTC, FORM_RM_REG, 0 },
	[0xbe ... 0xbf] = { VFU_OP_MOVSX, FORM_REG_RM, EXT },
	[0xc0 ... 0xc1] = { VFU_OP_XADD, FORM_RM_REG, BYTE_W },
	[0xc3] = { VFU_OP_MOV, FORM_RM_REG, NO_66 },		/* MOVNTI */
};

static const struct opcode map_0f38[256] = {
	[0xf0] = { VFU_OP_MOVBE, FORM_REG_RM, 0 },
	[0xf1] = { VFU_OP_MOVBE, FORM_RM_REG, 0 },
	[0xf8] = { VFU_OP_MOVDIR64B, FORM_REG_RM, NEED_66 },
	[0xf9] = { VFU_OP_MOV, FORM_RM_REG, NO_66 },		/* MOVDIRI */
};

struct cursor {
	const u8 *bytes;
	size_t len;
	u8 pos;
};

struct prefixes {
	bool opsize;		/* 66 */
	bool null_seg;		/* CS, DS, ES or SS: padding in 64-bit mode */
	bool has_rex;
	u8 rex;
};

/* Longer than any CPU accepts is unknown, even where the caller has no more bytes to show. */
static int next_byte(struct cursor *c, u8 *byte)
{
	if (c->pos >= VFU_INSN_MAX_LEN)
		return -EINVAL;
	if (c->pos >= c->len)
		return -ENODATA;
	*byte = c->bytes[c->pos++];
	return 0;
}

/* A little-endian signed number of 1, 2, 4 or 8 bytes. */
static int next_signed(struct cursor *c, unsigned int size, s64 *value)
{
	unsigned int shift = 64 - 8 * size;
	unsigned int i;
	u64 raw = 0;
	u8 byte;
	int err;

	for (i = 0; i < size; i++) {
		err = next_byte(c, &byte);
		if (err)
			return err;
		raw |= (u64)byte << (8 * i);
	}
	*value = (s64)(raw << shift) >> shift;
	return 0;
}

/*
 * Consumes the prefixes and leaves the first opcode byte in @byte. The same prefix more than once
 * is harmless, and assemblers do so to pad; two different ones of a kind, or a REX that is not
 * the last, are refused: what they mean is not the same in all manuals and CPUs.
 */
static int decode_prefixes(struct cursor *c, struct vfu_insn *insn, struct prefixes *p, u8 *byte)
{
	u8 rep, seg;
	int err;

	for (;;) {
		rep = VFU_REP_NONE;
		seg = VFU_SEG_NONE;
		err = next_byte(c, byte);
		if (err)
			return err;
		switch (*byte) {
		case 0x26:
		case 0x2e:
		case 0x36:
		case 0x3e:
			p->null_seg = true;
			break;
		case 0x64:
			seg = VFU_SEG_FS;
			break;
		case 0x65:
			seg = VFU_SEG_GS;
			break;
		case 0x66:
			p->opsize = true;
			break;
		case 0x67:
			insn->addr32 = true;
			break;
		case 0xf0:
			insn->lock = true;
			break;
		case 0xf2:
			rep = VFU_REP_REPNE;
			break;
		case 0xf3:
			rep = VFU_REP_REP;
			break;
		case 0x40 ... 0x4f:
			p->has_rex = true;
			p->rex = *byte;
			return next_byte(c, byte);
		default:
			return 0;
		}
		if ((seg && insn->seg && seg != insn->seg) ||
		    (rep && insn->rep && rep != insn->rep))
			return -EINVAL;
		if (seg)
			insn->seg = seg;
		if (rep)
			insn->rep = rep;
		if (insn->seg && p->null_seg)
			return -EINVAL;
	}
}

/* After decode_prefixes(): a prefix byte behind REX is in no table, so it is refused here. */
static int decode_opcode(struct cursor *c, u8 *byte, const struct opcode **opcode)
{
	const struct opcode *map = map_1byte;
	int err;

	if (*byte == 0x0f) {
		map = map_0f;
		err = next_byte(c, byte);
		if (err)
			return err;
		if (*byte == 0x38) {
			map = map_0f38;
			err = next_byte(c, byte);
			if (err)
				return err;
		}
	}
	*opcode = &map[*byte];
	return (*opcode)->form == FORM_UNKNOWN ? -EINVAL : 0;
}

static int decode_memory(struct cursor *c, struct vfu_insn *insn, u8 rex, u8 modrm)
{
	u8 mod = modrm >> 6;
	u8 rm = modrm & 7;
	u8 disp_size = mod == 1 ? 1 : mod == 2 ? 4 : 0;
	u8 sib;
	int err;

	if (mod == 3)
		return -EINVAL;

	insn->base = rm | (rex & REX_B ? 8 : 0);
	if (rm == 4) {
		err = next_byte(c, &sib);
		if (err)
			return err;
		insn->base = (sib & 7) | (rex & REX_B ? 8 : 0);
		insn->index = ((sib >> 3) & 7) | (rex & REX_X ? 8 : 0);
		if (insn->index == 4)
			insn->index = VFU_REG_NONE;
		else
			insn->scale = sib >> 6;
		if ((sib & 7) == 5 && mod == 0) {
			insn->base = VFU_REG_NONE;
			disp_size = 4;
		}
	} else if (rm == 5 && mod == 0) {
		insn->base = VFU_REG_RIP;
		disp_size = 4;
	}
	return disp_size ? next_signed(c, disp_size, &insn->disp) : 0;
}

static void set_register(struct vfu_insn *insn, const struct prefixes *p, u8 reg)
{
	insn->operand = VFU_OPERAND_REG;
	insn->reg = reg;
	if (insn->reg_size == 1 && !p->has_rex && reg >= 4) {
		insn->reg = reg - 4;
		insn->reg_high8 = true;
	}
}

static void set_sizes(struct vfu_insn *insn, const struct prefixes *p, u8 flags, u8 byte)
{
	if (flags & BYTE || (flags & BYTE_W && !(byte & 1)))
		insn->reg_size = 1;
	else if (p->rex & REX_W)
		insn->reg_size = 8;
	else
		insn->reg_size = p->opsize ? 2 : 4;

	insn->mem_size = insn->reg_size;
	if (flags & EXT)
		insn->mem_size = byte & 1 ? 2 : 1;
	else if (flags & EXT_D)
		insn->mem_size = 4;
	if (insn->op == VFU_OP_MOVDIR64B) {
		insn->mem_size = 64;
		insn->reg_size = insn->addr32 ? 4 : 8;
	}
}

static int decode_immediate(struct cursor *c, struct vfu_insn *insn, unsigned int size)
{
	s64 value;
	int err;

	err = next_signed(c, size, &value);
	if (err)
		return err;
	insn->operand = VFU_OPERAND_IMM;
	insn->imm = value;
	return 0;
}

static int decode_operands(struct cursor *c, struct vfu_insn *insn, const struct prefixes *p,
			   u8 form, u8 modrm)
{
	u8 reg = ((modrm >> 3) & 7) | (p->rex & REX_R ? 8 : 0);
	int err = 0;

	switch (form) {
	case FORM_RM:
		insn->mem_dst = true;
		break;
	case FORM_RM_REG:
		insn->mem_dst = true;
		set_register(insn, p, reg);
		break;
	case FORM_REG_RM:
		set_register(insn, p, reg);
		break;
	case FORM_RM_IMM:
		insn->mem_dst = true;
		err = decode_immediate(c, insn, insn->mem_size == 8 ? 4 : insn->mem_size);
		break;
	case FORM_RM_IMM8:
		insn->mem_dst = true;
		err = decode_immediate(c, insn, 1);
		break;
	case FORM_RM_ONE:
		insn->mem_dst = true;
		insn->operand = VFU_OPERAND_IMM;
		insn->imm = 1;
		break;
	case FORM_RM_CL:
		insn->mem_dst = true;
		insn->operand = VFU_OPERAND_CL;
		break;
	case FORM_ACC_MOFFS:
	case FORM_MOFFS_ACC:
		insn->mem_dst = form == FORM_MOFFS_ACC;
		set_register(insn, p, 0);
		err = next_signed(c, insn->addr32 ? 4 : 8, &insn->disp);
		break;
	case FORM_STRING:
		break;
	}
	return err;
}

static bool lockable(const struct vfu_insn *insn)
{
	if (!insn->mem_dst)
		return false;

	switch (insn->op) {
	case VFU_OP_ADD:
	case VFU_OP_OR:
	case VFU_OP_ADC:
	case VFU_OP_SBB:
	case VFU_OP_AND:
	case VFU_OP_SUB:
	case VFU_OP_XOR:
	case VFU_OP_INC:
	case VFU_OP_DEC:
	case VFU_OP_NOT:
	case VFU_OP_NEG:
	case VFU_OP_XCHG:
	case VFU_OP_XADD:
	case VFU_OP_CMPXCHG:
	case VFU_OP_BTS:
	case VFU_OP_BTR:
	case VFU_OP_BTC:
		return true;
	default:
		return false;
	}
}

/*
 * A repeat prefix anywhere but on a string instruction selects another instruction, is a lock
 * elision hint, or is ignored; REPNE on a move is undefined. None of that is wanted here.
 */
static int check_prefixes(const struct vfu_insn *insn, const struct prefixes *p,
			  const struct opcode *opcode)
{
	if (insn->lock && !lockable(insn))
		return -EINVAL;
	if (insn->rep && opcode->form != FORM_STRING)
		return -EINVAL;
	if (insn->rep == VFU_REP_REPNE && insn->op != VFU_OP_CMPS && insn->op != VFU_OP_SCAS)
		return -EINVAL;
	if (opcode->flags & NO_66 && p->opsize)
		return -EINVAL;
	if (opcode->flags & NEED_66 && !p->opsize)
		return -EINVAL;
	return 0;
}

/**
 * vfu_insn_decode() - decode one instruction which accesses memory
 * @insn: filled in on success; contents undefined on error
 * @bytes: instruction bytes, at least @len of them readable
 * @len: number of bytes; more than the instruction needs is fine, 15 (VFU_INSN_MAX_LEN) always
 * suffice
 *
 * 64-bit mode only. See struct vfu_insn for the meaning of the result.
 *
 * Context: any. Pure, does not sleep.
 * Return: 0, -EINVAL for an instruction that is illegal, has no memory operand or is not known
 * here, -ENODATA where the bytes end before the instruction does.
 */
int vfu_insn_decode(struct vfu_insn *insn, const u8 *bytes, size_t len)
{
	struct cursor c = { .bytes = bytes, .len = len };
	const struct opcode *opcode;
	struct prefixes p = { 0 };
	u8 byte, form, modrm = 0;
	int err;

	*insn = (struct vfu_insn){
		.reg = VFU_REG_NONE,
		.base = VFU_REG_NONE,
		.index = VFU_REG_NONE,
	};

	err = decode_prefixes(&c, insn, &p, &byte);
	if (err)
		return err;
	err = decode_opcode(&c, &byte, &opcode);
	if (err)
		return err;

	insn->op = opcode->op;
	form = opcode->form;
	if (form < FORM_ACC_MOFFS) {
		err = next_byte(&c, &modrm);
		if (err)
			return err;
		if (opcode->flags & GROUP)
			insn->op = groups[opcode->op][(modrm >> 3) & 7];
		if (insn->op == VFU_OP_NONE)
			return -EINVAL;
		/* TEST alone in its group has an immediate. */
		if (opcode->flags & GROUP && opcode->op == GROUP_UNARY && insn->op == VFU_OP_TEST)
			form = FORM_RM_IMM;
	}
	set_sizes(insn, &p, opcode->flags, byte);
	if (form < FORM_ACC_MOFFS) {
		err = decode_memory(&c, insn, p.rex, modrm);
		if (err)
			return err;
	}
	err = decode_operands(&c, insn, &p, form, modrm);
	if (err)
		return err;
	err = check_prefixes(insn, &p, opcode);
	if (err)
		return err;

	if (insn->op == VFU_OP_CMOV || insn->op == VFU_OP_SETCC)
		insn->cond = byte & 15;
	insn->bit_string = insn->op >= VFU_OP_BT && insn->op <= VFU_OP_BTC &&
			   insn->operand == VFU_OPERAND_REG;
	insn->length = c.pos;
	return 0;
}
