// SPDX-License-Identifier: GPL-2.0-only
/*
 * The instruction decoder (kmod/arch/x86/insn.c) against an independent one, Zydis.
 *
 * expectation() turns what Zydis says about some bytes into the struct vfu_insn that the decoder
 * must produce, or says that it must refuse them. The comparison is exact in both directions: an
 * instruction taken which should be refused, one refused which should be taken, and any differing
 * field are failures. The rules under which the decoder refuses what a CPU would run are spelled
 * out in deliberately_refused() from Zydis' view, not shared with the decoder.
 *
 * Usage: insn_test [SEED [RANDOM-CASES]]
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>

#include <cmocka.h>
#include <Zydis/Zydis.h>

#include "../../kmod/arch/x86/insn.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

static ZydisDecoder zydis;
static u64 seed = 0x5eed;
static unsigned long random_cases = 1000000;

/* Instructions taken, by operation, by whichever test ran last. */
static unsigned long taken[VFU_OP_COUNT];

static const struct mnemonic {
	ZydisMnemonic zydis;
	u8 op;
	u8 cond;
} mnemonics[] = {
	{ ZYDIS_MNEMONIC_MOV, VFU_OP_MOV, 0 },
	{ ZYDIS_MNEMONIC_MOVNTI, VFU_OP_MOV, 0 },
	{ ZYDIS_MNEMONIC_MOVDIRI, VFU_OP_MOV, 0 },
	{ ZYDIS_MNEMONIC_MOVZX, VFU_OP_MOVZX, 0 },
	{ ZYDIS_MNEMONIC_MOVSX, VFU_OP_MOVSX, 0 },
	{ ZYDIS_MNEMONIC_MOVSXD, VFU_OP_MOVSX, 0 },
	{ ZYDIS_MNEMONIC_MOVBE, VFU_OP_MOVBE, 0 },
	{ ZYDIS_MNEMONIC_CMOVO, VFU_OP_CMOV, 0 },
	{ ZYDIS_MNEMONIC_CMOVNO, VFU_OP_CMOV, 1 },
	{ ZYDIS_MNEMONIC_CMOVB, VFU_OP_CMOV, 2 },
	{ ZYDIS_MNEMONIC_CMOVNB, VFU_OP_CMOV, 3 },
	{ ZYDIS_MNEMONIC_CMOVZ, VFU_OP_CMOV, 4 },
	{ ZYDIS_MNEMONIC_CMOVNZ, VFU_OP_CMOV, 5 },
	{ ZYDIS_MNEMONIC_CMOVBE, VFU_OP_CMOV, 6 },
	{ ZYDIS_MNEMONIC_CMOVNBE, VFU_OP_CMOV, 7 },
	{ ZYDIS_MNEMONIC_CMOVS, VFU_OP_CMOV, 8 },
	{ ZYDIS_MNEMONIC_CMOVNS, VFU_OP_CMOV, 9 },
	{ ZYDIS_MNEMONIC_CMOVP, VFU_OP_CMOV, 10 },
	{ ZYDIS_MNEMONIC_CMOVNP, VFU_OP_CMOV, 11 },
	{ ZYDIS_MNEMONIC_CMOVL, VFU_OP_CMOV, 12 },
	{ ZYDIS_MNEMONIC_CMOVNL, VFU_OP_CMOV, 13 },
	{ ZYDIS_MNEMONIC_CMOVLE, VFU_OP_CMOV, 14 },
	{ ZYDIS_MNEMONIC_CMOVNLE, VFU_OP_CMOV, 15 },
	{ ZYDIS_MNEMONIC_SETO, VFU_OP_SETCC, 0 },
	{ ZYDIS_MNEMONIC_SETNO, VFU_OP_SETCC, 1 },
	{ ZYDIS_MNEMONIC_SETB, VFU_OP_SETCC, 2 },
	{ ZYDIS_MNEMONIC_SETNB, VFU_OP_SETCC, 3 },
	{ ZYDIS_MNEMONIC_SETZ, VFU_OP_SETCC, 4 },
	{ ZYDIS_MNEMONIC_SETNZ, VFU_OP_SETCC, 5 },
	{ ZYDIS_MNEMONIC_SETBE, VFU_OP_SETCC, 6 },
	{ ZYDIS_MNEMONIC_SETNBE, VFU_OP_SETCC, 7 },
	{ ZYDIS_MNEMONIC_SETS, VFU_OP_SETCC, 8 },
	{ ZYDIS_MNEMONIC_SETNS, VFU_OP_SETCC, 9 },
	{ ZYDIS_MNEMONIC_SETP, VFU_OP_SETCC, 10 },
	{ ZYDIS_MNEMONIC_SETNP, VFU_OP_SETCC, 11 },
	{ ZYDIS_MNEMONIC_SETL, VFU_OP_SETCC, 12 },
	{ ZYDIS_MNEMONIC_SETNL, VFU_OP_SETCC, 13 },
	{ ZYDIS_MNEMONIC_SETLE, VFU_OP_SETCC, 14 },
	{ ZYDIS_MNEMONIC_SETNLE, VFU_OP_SETCC, 15 },
	{ ZYDIS_MNEMONIC_ADD, VFU_OP_ADD, 0 },
	{ ZYDIS_MNEMONIC_OR, VFU_OP_OR, 0 },
	{ ZYDIS_MNEMONIC_ADC, VFU_OP_ADC, 0 },
	{ ZYDIS_MNEMONIC_SBB, VFU_OP_SBB, 0 },
	{ ZYDIS_MNEMONIC_AND, VFU_OP_AND, 0 },
	{ ZYDIS_MNEMONIC_SUB, VFU_OP_SUB, 0 },
	{ ZYDIS_MNEMONIC_XOR, VFU_OP_XOR, 0 },
	{ ZYDIS_MNEMONIC_CMP, VFU_OP_CMP, 0 },
	{ ZYDIS_MNEMONIC_TEST, VFU_OP_TEST, 0 },
	{ ZYDIS_MNEMONIC_INC, VFU_OP_INC, 0 },
	{ ZYDIS_MNEMONIC_DEC, VFU_OP_DEC, 0 },
	{ ZYDIS_MNEMONIC_NOT, VFU_OP_NOT, 0 },
	{ ZYDIS_MNEMONIC_NEG, VFU_OP_NEG, 0 },
	{ ZYDIS_MNEMONIC_ROL, VFU_OP_ROL, 0 },
	{ ZYDIS_MNEMONIC_ROR, VFU_OP_ROR, 0 },
	{ ZYDIS_MNEMONIC_SHL, VFU_OP_SHL, 0 },
	{ ZYDIS_MNEMONIC_SHR, VFU_OP_SHR, 0 },
	{ ZYDIS_MNEMONIC_SAR, VFU_OP_SAR, 0 },
	{ ZYDIS_MNEMONIC_XCHG, VFU_OP_XCHG, 0 },
	{ ZYDIS_MNEMONIC_XADD, VFU_OP_XADD, 0 },
	{ ZYDIS_MNEMONIC_CMPXCHG, VFU_OP_CMPXCHG, 0 },
	{ ZYDIS_MNEMONIC_BT, VFU_OP_BT, 0 },
	{ ZYDIS_MNEMONIC_BTS, VFU_OP_BTS, 0 },
	{ ZYDIS_MNEMONIC_BTR, VFU_OP_BTR, 0 },
	{ ZYDIS_MNEMONIC_BTC, VFU_OP_BTC, 0 },
	{ ZYDIS_MNEMONIC_MOVSB, VFU_OP_MOVS, 0 },
	{ ZYDIS_MNEMONIC_MOVSW, VFU_OP_MOVS, 0 },
	{ ZYDIS_MNEMONIC_MOVSD, VFU_OP_MOVS, 0 },
	{ ZYDIS_MNEMONIC_MOVSQ, VFU_OP_MOVS, 0 },
	{ ZYDIS_MNEMONIC_CMPSB, VFU_OP_CMPS, 0 },
	{ ZYDIS_MNEMONIC_CMPSW, VFU_OP_CMPS, 0 },
	{ ZYDIS_MNEMONIC_CMPSD, VFU_OP_CMPS, 0 },
	{ ZYDIS_MNEMONIC_CMPSQ, VFU_OP_CMPS, 0 },
	{ ZYDIS_MNEMONIC_STOSB, VFU_OP_STOS, 0 },
	{ ZYDIS_MNEMONIC_STOSW, VFU_OP_STOS, 0 },
	{ ZYDIS_MNEMONIC_STOSD, VFU_OP_STOS, 0 },
	{ ZYDIS_MNEMONIC_STOSQ, VFU_OP_STOS, 0 },
	{ ZYDIS_MNEMONIC_LODSB, VFU_OP_LODS, 0 },
	{ ZYDIS_MNEMONIC_LODSW, VFU_OP_LODS, 0 },
	{ ZYDIS_MNEMONIC_LODSD, VFU_OP_LODS, 0 },
	{ ZYDIS_MNEMONIC_LODSQ, VFU_OP_LODS, 0 },
	{ ZYDIS_MNEMONIC_SCASB, VFU_OP_SCAS, 0 },
	{ ZYDIS_MNEMONIC_SCASW, VFU_OP_SCAS, 0 },
	{ ZYDIS_MNEMONIC_SCASD, VFU_OP_SCAS, 0 },
	{ ZYDIS_MNEMONIC_SCASQ, VFU_OP_SCAS, 0 },
	{ ZYDIS_MNEMONIC_MOVDIR64B, VFU_OP_MOVDIR64B, 0 },
};

/* splitmix64: small, and the same everywhere. */
static u64 rng_state;

static u64 rng(void)
{
	u64 z = rng_state += 0x9e3779b97f4a7c15;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

static void print_bytes(const u8 *bytes, size_t len)
{
	fputs("# bytes:", stderr);
	for (size_t i = 0; i < len; i++)
		fprintf(stderr, " %02x", bytes[i]);
	fputc('\n', stderr);
}

static void print_insn(const char *who, const struct vfu_insn *i)
{
	fprintf(stderr, "# %s: length %u op %u cond %u mem_size %u reg_size %u operand %u reg %u\n",
		who, i->length, i->op, i->cond, i->mem_size, i->reg_size, i->operand, i->reg);
	fprintf(stderr, "#   high8 %u rep %u lock %u mem_dst %u bits %u addr32 %u imm %#llx\n",
		i->reg_high8, i->rep, i->lock, i->mem_dst, i->bit_string, i->addr32,
		(unsigned long long)i->imm);
	fprintf(stderr, "#   seg %u base %u index %u scale %u disp %#llx\n",
		i->seg, i->base, i->index, i->scale, (unsigned long long)i->disp);
}

/* Field by field, since padding differs. */
static bool same_insn(const struct vfu_insn *a, const struct vfu_insn *b)
{
	return a->length == b->length && a->op == b->op && a->cond == b->cond &&
	       a->mem_size == b->mem_size && a->reg_size == b->reg_size &&
	       a->operand == b->operand && a->reg == b->reg && a->rep == b->rep &&
	       a->seg == b->seg && a->base == b->base && a->index == b->index &&
	       a->scale == b->scale && a->reg_high8 == b->reg_high8 && a->mem_dst == b->mem_dst &&
	       a->bit_string == b->bit_string && a->lock == b->lock && a->addr32 == b->addr32 &&
	       a->disp == b->disp && a->imm == b->imm;
}

static bool is_string(u8 op)
{
	return op >= VFU_OP_MOVS && op <= VFU_OP_SCAS;
}

static u8 register_number(ZydisRegister reg)
{
	if (reg == ZYDIS_REGISTER_NONE)
		return VFU_REG_NONE;
	if (reg == ZYDIS_REGISTER_RIP || reg == ZYDIS_REGISTER_EIP)
		return VFU_REG_RIP;
	switch (ZydisRegisterGetClass(reg)) {
	case ZYDIS_REGCLASS_GPR8:
	case ZYDIS_REGCLASS_GPR16:
	case ZYDIS_REGCLASS_GPR32:
	case ZYDIS_REGCLASS_GPR64:
		break;
	default:
		return VFU_REG_NONE;
	}
	switch (reg) {
	case ZYDIS_REGISTER_AH:
	case ZYDIS_REGISTER_CH:
	case ZYDIS_REGISTER_DH:
	case ZYDIS_REGISTER_BH:
		return reg - ZYDIS_REGISTER_AH;
	case ZYDIS_REGISTER_SPL:
	case ZYDIS_REGISTER_BPL:
	case ZYDIS_REGISTER_SIL:
	case ZYDIS_REGISTER_DIL:
		return reg - ZYDIS_REGISTER_SPL + 4;
	default:
		break;
	}
	/* Zydis numbers byte registers with AH to BH between BL and SPL. */
	if (reg >= ZYDIS_REGISTER_R8B && reg <= ZYDIS_REGISTER_R15B)
		return reg - ZYDIS_REGISTER_R8B + 8;
	if (reg >= ZYDIS_REGISTER_AL && reg <= ZYDIS_REGISTER_BL)
		return reg - ZYDIS_REGISTER_AL;
	return ZydisRegisterGetId(reg);
}

/* Legal, and a covered mnemonic, and yet to be refused. */
static bool deliberately_refused(const ZydisDecodedInstruction *zi, u8 op)
{
	bool f2 = false, f3 = false, opsize = false, fs = false, gs = false, null_seg = false;

	for (int i = 0; i < zi->raw.prefix_count; i++) {
		switch (zi->raw.prefixes[i].value) {
		case 0xf2:
			f2 = true;
			break;
		case 0xf3:
			f3 = true;
			break;
		case 0x66:
			opsize = true;
			break;
		case 0x64:
			fs = true;
			break;
		case 0x65:
			gs = true;
			break;
		case 0x26:
		case 0x2e:
		case 0x36:
		case 0x3e:
			null_seg = true;
			break;
		case 0x40 ... 0x4f:
			/* A REX that is not the last prefix: the CPU ignores it. */
			if (i != zi->raw.prefix_count - 1)
				return true;
			break;
		default:
			break;
		}
	}
	if (fs + gs + null_seg > 1)
		return true;
	/* Ignored, a hint, or undefined. */
	if ((f2 && f3) || (!is_string(op) && (f2 || f3)))
		return true;
	if (f2 && op != VFU_OP_CMPS && op != VFU_OP_SCAS)
		return true;
	/* MOVSXD r16: Intel reads two bytes, AMD four. */
	if (zi->mnemonic == ZYDIS_MNEMONIC_MOVSXD && opsize)
		return true;
	/* The operand size prefix is no part of these (SDM: NP). */
	if (opsize && (zi->mnemonic == ZYDIS_MNEMONIC_MOVNTI ||
		       zi->mnemonic == ZYDIS_MNEMONIC_MOVDIRI))
		return true;
	/* Undocumented aliases of TEST and SHL. */
	if (zi->mnemonic == ZYDIS_MNEMONIC_TEST && (zi->opcode & ~1) == 0xf6 && zi->raw.modrm.reg)
		return true;
	if (zi->mnemonic == ZYDIS_MNEMONIC_SHL && zi->raw.modrm.reg == 6)
		return true;
	return false;
}

/*
 * Fills in what the decoder must say. Returns 0, -EINVAL where it must refuse, -ENODATA where the
 * bytes are too few.
 */
static int expectation(const u8 *bytes, size_t len, struct vfu_insn *e)
{
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
	const ZydisDecodedOperand *mem = NULL, *reg = NULL;
	const struct mnemonic *m = NULL;
	ZydisDecodedInstruction zi;
	ZyanStatus status;

	status = ZydisDecoderDecodeFull(&zydis, bytes, len, &zi, ops);
	if (status == ZYDIS_STATUS_NO_MORE_DATA)
		return -ENODATA;
	if (!ZYAN_SUCCESS(status))
		return -EINVAL;

	for (size_t i = 0; i < ARRAY_SIZE(mnemonics); i++)
		if (mnemonics[i].zydis == zi.mnemonic)
			m = &mnemonics[i];
	if (!m)
		return -EINVAL;

	*e = (struct vfu_insn){
		.length = zi.length,
		.op = m->op,
		.cond = m->cond,
		.reg = VFU_REG_NONE,
		.base = VFU_REG_NONE,
		.index = VFU_REG_NONE,
		.addr32 = zi.address_width == 32,
		.lock = !!(zi.attributes & ZYDIS_ATTRIB_HAS_LOCK),
	};
	if (zi.attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE))
		e->rep = VFU_REP_REP;
	if (zi.attributes & ZYDIS_ATTRIB_HAS_REPNE)
		e->rep = VFU_REP_REPNE;

	if (is_string(m->op)) {
		/* MOVSD and CMPSD are SSE mnemonics as well. */
		if (zi.meta.category != ZYDIS_CATEGORY_STRINGOP)
			return -EINVAL;
		if (deliberately_refused(&zi, m->op))
			return -EINVAL;
		e->mem_size = zi.operand_width / 8;
		e->reg_size = e->mem_size;
		/* Zydis does not report an override that STOS and SCAS ignore. */
		for (int i = 0; i < zi.raw.prefix_count; i++) {
			if (zi.raw.prefixes[i].value == 0x64)
				e->seg = VFU_SEG_FS;
			if (zi.raw.prefixes[i].value == 0x65)
				e->seg = VFU_SEG_GS;
		}
		return 0;
	}

	for (int i = 0; i < zi.operand_count; i++) {
		if (ops[i].visibility == ZYDIS_OPERAND_VISIBILITY_HIDDEN)
			continue;
		switch (ops[i].type) {
		case ZYDIS_OPERAND_TYPE_MEMORY:
			if (m->op == VFU_OP_MOVDIR64B && mem) {
				mem = &ops[i];
				e->mem_dst = false;
				break;
			}
			mem = &ops[i];
			e->mem_dst = i == 0;
			break;
		case ZYDIS_OPERAND_TYPE_REGISTER:
			reg = &ops[i];
			break;
		case ZYDIS_OPERAND_TYPE_IMMEDIATE:
			e->operand = VFU_OPERAND_IMM;
			break;
		default:
			break;
		}
	}
	if (!mem || mem->mem.type != ZYDIS_MEMOP_TYPE_MEM)
		return -EINVAL;
	if (deliberately_refused(&zi, m->op))
		return -EINVAL;

	e->mem_size = mem->size / 8;
	e->reg_size = e->mem_size;
	e->base = register_number(mem->mem.base);
	e->index = register_number(mem->mem.index);
	if (e->index != VFU_REG_NONE)
		e->scale = __builtin_ctz(mem->mem.scale);
	if (mem->mem.disp.has_displacement)
		e->disp = mem->mem.disp.value;
	/*
	 * Zydis 4.0 errs with a 32-bit address size, mod 0, SIB base 5 and REX.B: it names r13d
	 * as the base, yet reads the displacement that stands for "no base". objdump and the CPU
	 * (emulate_test) say there is none.
	 */
	if (e->addr32 && e->base == 13 && zi.raw.modrm.mod == 0 && zi.raw.disp.size == 32) {
		e->base = VFU_REG_NONE;
		e->disp = zi.raw.disp.value;
	}
	if (mem->mem.segment == ZYDIS_REGISTER_FS)
		e->seg = VFU_SEG_FS;
	if (mem->mem.segment == ZYDIS_REGISTER_GS)
		e->seg = VFU_SEG_GS;

	if (reg) {
		if (register_number(reg->reg.value) == VFU_REG_NONE)
			return -EINVAL;		/* segment, control and debug registers */
		e->operand = VFU_OPERAND_REG;
		e->reg = register_number(reg->reg.value);
		e->reg_size = reg->size / 8;
		e->reg_high8 = reg->reg.value >= ZYDIS_REGISTER_AH &&
			       reg->reg.value <= ZYDIS_REGISTER_BH;
	}
	if (e->op >= VFU_OP_ROL && e->op <= VFU_OP_SAR && reg) {
		e->operand = VFU_OPERAND_CL;
		e->reg = VFU_REG_NONE;
		e->reg_size = e->mem_size;
	}
	if (e->operand == VFU_OPERAND_IMM) {
		if (zi.raw.imm[0].size) {
			unsigned int shift = 64 - zi.raw.imm[0].size;

			e->imm = (s64)(zi.raw.imm[0].value.u << shift) >> shift;
		} else {
			e->imm = 1;	/* shift by one */
		}
	}
	e->bit_string = e->op >= VFU_OP_BT && e->op <= VFU_OP_BTC && reg;
	if (e->op == VFU_OP_MOVDIR64B) {
		e->operand = VFU_OPERAND_REG;
		e->reg_size = zi.address_width / 8;
	}
	return 0;
}

/* Fails the test where decoder and Zydis differ; returns the decoder's verdict. */
static int check(const u8 *bytes, size_t len, struct vfu_insn *got)
{
	struct vfu_insn want = { 0 };
	int err, expected;

	expected = expectation(bytes, len, &want);
	err = vfu_insn_decode(got, bytes, len);
	if (err != expected) {
		/* The decoder may find an opcode illegal sooner, before all bytes are there, */
		if (err == -EINVAL && expected == -ENODATA)
			return err;
		/* or Zydis may, before it looks at the ModRM byte that we miss first. */
		if (err == -ENODATA && expected == -EINVAL && len < VFU_INSN_MAX_LEN)
			return err;
		print_bytes(bytes, len);
		fprintf(stderr, "# decoder says %d, expected %d\n", err, expected);
		if (!err)
			print_insn("got", got);
		if (!expected)
			print_insn("want", &want);
		fail();
	}
	if (err)
		return err;
	if (!same_insn(got, &want)) {
		print_bytes(bytes, len);
		print_insn("got", got);
		print_insn("want", &want);
		fail();
	}
	taken[got->op]++;
	return 0;
}

/* Every shorter piece of an accepted instruction, in memory that ends with it: ASan watches. */
static void check_truncated(const u8 *bytes, size_t length)
{
	struct vfu_insn insn;

	for (size_t len = 0; len < length; len++) {
		u8 *exact = malloc(len ? len : 1);
		int err;

		assert_non_null(exact);
		memcpy(exact, bytes, len);
		err = vfu_insn_decode(&insn, exact, len);
		if (err != -ENODATA) {
			print_bytes(bytes, length);
			fprintf(stderr, "# cut to %zu bytes: %d, expected -ENODATA\n", len, err);
			fail();
		}
		free(exact);
	}
}

static void clear_taken(void)
{
	memset(taken, 0, sizeof(taken));
}

static void assert_all_ops_taken(unsigned long at_least)
{
	for (unsigned int op = VFU_OP_NONE + 1; op < VFU_OP_COUNT; op++) {
		if (taken[op] < at_least) {
			fprintf(stderr, "# operation %u was taken %lu times only\n", op, taken[op]);
			fail();
		}
	}
}

static const struct {
	u8 len;
	u8 bytes[4];
} prefix_sets[] = {
	{ 0, { 0 } },
	{ 1, { 0x66 } },
	{ 1, { 0x67 } },
	{ 1, { 0xf0 } },
	{ 1, { 0xf2 } },
	{ 1, { 0xf3 } },
	{ 1, { 0x65 } },
	{ 2, { 0x66, 0xf3 } },
	{ 2, { 0x64, 0x67 } },
	{ 3, { 0x2e, 0x2e, 0x66 } },
	{ 3, { 0xf0, 0x66, 0x65 } },
}, escapes[] = {
	{ 0, { 0 } },
	{ 1, { 0x0f } },
	{ 2, { 0x0f, 0x38 } },
	{ 2, { 0x0f, 0x3a } },
};

static const u8 rexes[] = { 0, 0x40, 0x41, 0x42, 0x44, 0x48, 0x4f };
/* No index; rsp base; no base; ordinary; everything set. */
static const u8 sibs[] = { 0x24, 0x64, 0x25, 0x8d, 0x53, 0xff };

static unsigned long truncations;

/* One encoding up to and including ModRM, with each SIB byte where ModRM asks for one. */
static unsigned long check_modrm(const u8 *head, size_t len, u8 modrm)
{
	size_t variants = modrm < 0xc0 && (modrm & 7) == 4 ? ARRAY_SIZE(sibs) : 1;
	u64 tail[2] = { rng(), rng() };
	struct vfu_insn insn;
	u8 bytes[32];

	memcpy(bytes, head, len);
	bytes[len++] = modrm;
	memcpy(bytes + len, tail, sizeof(tail));
	for (size_t i = 0; i < variants; i++) {
		if (variants > 1)
			bytes[len] = sibs[i];
		if (check(bytes, VFU_INSN_MAX_LEN, &insn))
			continue;
		if (taken[insn.op] % 16 == 0) {
			check_truncated(bytes, insn.length);
			truncations++;
		}
	}
	return variants;
}

/* One opcode with each prefix set, REX and ModRM. */
static unsigned long check_opcode(const u8 *escape, size_t escape_len, u8 opcode)
{
	unsigned long cases = 0;
	u8 head[16];

	for (size_t i = 0; i < ARRAY_SIZE(prefix_sets) * ARRAY_SIZE(rexes); i++) {
		size_t p = i / ARRAY_SIZE(rexes), r = i % ARRAY_SIZE(rexes);
		size_t len = prefix_sets[p].len;

		memcpy(head, prefix_sets[p].bytes, len);
		if (rexes[r])
			head[len++] = rexes[r];
		memcpy(head + len, escape, escape_len);
		len += escape_len;
		head[len++] = opcode;
		for (unsigned int modrm = 0; modrm < 256; modrm++) {
			/* One register form for each opcode extension: all are refused. */
			if (modrm < 0xc0 || !(modrm & 7))
				cases += check_modrm(head, len, modrm);
		}
	}
	return cases;
}

/* Each opcode of each map, with each prefix set, REX and ModRM, and a choice of SIB bytes. */
static void test_systematic(void **state)
{
	unsigned long cases = 0;

	(void)state;
	clear_taken();
	truncations = 0;
	rng_state = seed;
	for (size_t e = 0; e < ARRAY_SIZE(escapes); e++)
		for (unsigned int opcode = 0; opcode < 256; opcode++)
			cases += check_opcode(escapes[e].bytes, escapes[e].len, opcode);
	assert_all_ops_taken(100);
	assert_true(truncations > 10000);
	print_message("# %lu encodings, %lu of them cut short\n", cases, truncations);
}

static void random_bytes(u8 *bytes)
{
	static const u8 prefixes[] = {
		0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65,
	};
	u64 r[2] = { rng(), rng() };
	u64 kind = rng();
	size_t n = 0;

	memcpy(bytes, r, VFU_INSN_MAX_LEN);
	if (kind & 1)
		return;
	/* Half of the cases look like code: prefixes in any order and number, REX, an escape. */
	kind >>= 1;
	while ((kind & 3) == 0 && n < 6) {
		kind >>= 2;
		bytes[n++] = prefixes[(kind & 0xff) % ARRAY_SIZE(prefixes)];
		kind >>= 8;
	}
	if (kind & 1)
		bytes[n++] = 0x40 | (kind >> 4 & 15);
	if ((kind & 6) == 6)
		bytes[n++] = 0x0f;
	if ((kind & 0xe) == 0xe)
		bytes[n++] = 0x38;
}

static void test_random(void **state)
{
	unsigned long accepted = 0;
	struct vfu_insn insn;
	u8 bytes[16];

	(void)state;
	clear_taken();
	rng_state = seed;
	for (unsigned long i = 0; i < random_cases; i++) {
		random_bytes(bytes);
		if (check(bytes, VFU_INSN_MAX_LEN, &insn))
			continue;
		accepted++;
		if (i % 4 == 0)
			check_truncated(bytes, insn.length);
	}
	assert_true(accepted > random_cases / 20);
	print_message("# seed %#llx: %lu of %lu random strings are instructions that we take\n",
		      (unsigned long long)seed, accepted, random_cases);
}

/* Random lengths as well: the verdict must be about the bytes given, however few. */
static void test_random_length(void **state)
{
	struct vfu_insn insn;
	u8 bytes[16];

	(void)state;
	rng_state = ~seed;
	for (unsigned long i = 0; i < random_cases / 4; i++) {
		size_t len = rng() % VFU_INSN_MAX_LEN;
		u8 *exact = malloc(len ? len : 1);

		assert_non_null(exact);
		random_bytes(bytes);
		memcpy(exact, bytes, len);
		check(exact, len, &insn);
		free(exact);
	}
}

/* An instruction of 15 bytes is one, of 16 is none, with however many bytes at hand. */
static void test_length_limit(void **state)
{
	/* add dword [rax + rcx + disp32], imm32: 11 bytes with REX */
	static const u8 add[] = { 0x48, 0x81, 0x84, 0x08, 1, 2, 3, 4, 5, 6, 7, 8 };
	struct vfu_insn insn;
	u8 bytes[32];

	(void)state;
	memset(bytes, 0x2e, sizeof(bytes));
	memcpy(bytes + 3, add, sizeof(add));
	assert_int_equal(check(bytes, sizeof(bytes), &insn), 0);
	assert_int_equal(insn.length, 15);
	assert_int_equal(check(bytes, 15, &insn), 0);
	assert_int_equal(vfu_insn_decode(&insn, bytes, 14), -ENODATA);

	memset(bytes, 0x2e, sizeof(bytes));
	memcpy(bytes + 4, add, sizeof(add));
	assert_int_equal(vfu_insn_decode(&insn, bytes, sizeof(bytes)), -EINVAL);
	assert_int_equal(vfu_insn_decode(&insn, bytes, 16), -EINVAL);
	assert_int_equal(vfu_insn_decode(&insn, bytes, 15), -EINVAL);

	memset(bytes, 0x66, sizeof(bytes));
	assert_int_equal(vfu_insn_decode(&insn, bytes, sizeof(bytes)), -EINVAL);
	assert_int_equal(vfu_insn_decode(&insn, bytes, 14), -ENODATA);
	assert_int_equal(vfu_insn_decode(&insn, bytes, 0), -ENODATA);
}

/*
 * What the compiler and lib/iomem.c make of the accessors, by hand: guards against a mistake that
 * both decoders share.
 */
static void test_accessors(void **state)
{
	static const struct {
		u8 len;
		u8 bytes[12];
		struct vfu_insn want;
	} known[] = {
		/* readb: mov (%rdi),%al */
		{ 2, { 0x8a, 0x07 }, {
			.op = VFU_OP_MOV, .mem_size = 1, .reg_size = 1,
			.operand = VFU_OPERAND_REG, .reg = 0,
			.base = 7, .index = VFU_REG_NONE,
		} },
		/* readl: mov 0x1c(%rbx),%r12d */
		{ 4, { 0x44, 0x8b, 0x63, 0x1c }, {
			.op = VFU_OP_MOV, .mem_size = 4, .reg_size = 4,
			.operand = VFU_OPERAND_REG, .reg = 12,
			.base = 3, .index = VFU_REG_NONE, .disp = 0x1c,
		} },
		/* writel: mov %esi,-4(%rdi,%rax,4) */
		{ 4, { 0x89, 0x74, 0x87, 0xfc }, {
			.op = VFU_OP_MOV, .mem_size = 4, .reg_size = 4,
			.operand = VFU_OPERAND_REG, .reg = 6, .mem_dst = true,
			.base = 7, .index = 0, .scale = 2, .disp = -4,
		} },
		/* movq $-2,%gs:8(%rsp) */
		{ 10, { 0x65, 0x48, 0xc7, 0x44, 0x24, 0x08, 0xfe, 0xff, 0xff, 0xff }, {
			.op = VFU_OP_MOV, .mem_size = 8, .reg_size = 8,
			.operand = VFU_OPERAND_IMM, .imm = -2ULL, .reg = VFU_REG_NONE,
			.mem_dst = true,
			.base = 4, .index = VFU_REG_NONE, .disp = 8, .seg = VFU_SEG_GS,
		} },
		/* mov %ah,0x11223344(%rip) */
		{ 6, { 0x88, 0x25, 0x44, 0x33, 0x22, 0x11 }, {
			.op = VFU_OP_MOV, .mem_size = 1, .reg_size = 1,
			.operand = VFU_OPERAND_REG, .reg = 0, .reg_high8 = true, .mem_dst = true,
			.base = VFU_REG_RIP, .index = VFU_REG_NONE, .disp = 0x11223344,
		} },
		/* lock orb $0x80,(%rdi): set_bit(7, addr) */
		{ 4, { 0xf0, 0x80, 0x0f, 0x80 }, {
			.op = VFU_OP_OR, .mem_size = 1, .reg_size = 1, .lock = true,
			.operand = VFU_OPERAND_IMM, .imm = -128ULL, .reg = VFU_REG_NONE,
			.mem_dst = true,
			.base = 7, .index = VFU_REG_NONE,
		} },
		/* lock bts %rsi,(%rdi) */
		{ 5, { 0xf0, 0x48, 0x0f, 0xab, 0x37 }, {
			.op = VFU_OP_BTS, .mem_size = 8, .reg_size = 8, .lock = true,
			.operand = VFU_OPERAND_REG, .reg = 6, .mem_dst = true, .bit_string = true,
			.base = 7, .index = VFU_REG_NONE,
		} },
		/* movzwl 2(%rax),%ecx */
		{ 4, { 0x0f, 0xb7, 0x48, 0x02 }, {
			.op = VFU_OP_MOVZX, .mem_size = 2, .reg_size = 4,
			.operand = VFU_OPERAND_REG, .reg = 1,
			.base = 0, .index = VFU_REG_NONE, .disp = 2,
		} },
		/* rep movsl: memcpy_toio */
		{ 2, { 0xf3, 0xa5 }, {
			.op = VFU_OP_MOVS, .mem_size = 4, .reg_size = 4, .rep = VFU_REP_REP,
			.reg = VFU_REG_NONE, .base = VFU_REG_NONE, .index = VFU_REG_NONE,
		} },
		/* movdir64b (%rdx),%rax */
		{ 5, { 0x66, 0x0f, 0x38, 0xf8, 0x02 }, {
			.op = VFU_OP_MOVDIR64B, .mem_size = 64, .reg_size = 8,
			.operand = VFU_OPERAND_REG, .reg = 0,
			.base = 2, .index = VFU_REG_NONE,
		} },
	};
	struct vfu_insn got, want;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		want = known[i].want;
		want.length = known[i].len;
		assert_int_equal(check(known[i].bytes, known[i].len, &got), 0);
		if (!same_insn(&got, &want)) {
			print_bytes(known[i].bytes, known[i].len);
			print_insn("got", &got);
			print_insn("want", &want);
			fail();
		}
	}
}

/* Must be refused, each for its own reason. */
static void test_refused(void **state)
{
	static const struct {
		const char *why;
		u8 bytes[VFU_INSN_MAX_LEN];
	} refused[] = {
		{ "register form", { 0x89, 0xc0 } },
		{ "lock on a load", { 0xf0, 0x8b, 0x00 } },
		{ "lock on a store", { 0xf0, 0x89, 0x00 } },
		{ "lock on cmp", { 0xf0, 0x39, 0x00 } },
		{ "lock on bt", { 0xf0, 0x0f, 0xa3, 0x00 } },
		{ "lock on the register destination of add", { 0xf0, 0x03, 0x00 } },
		{ "lock on a string", { 0xf0, 0xa5 } },
		{ "rep on mov", { 0xf3, 0x89, 0x00 } },
		{ "repne on movs", { 0xf2, 0xa5 } },
		{ "rep and repne", { 0xf2, 0xf3, 0xa7 } },
		{ "fs and gs", { 0x64, 0x65, 0x8b, 0x00 } },
		{ "rex before a prefix", { 0x48, 0x66, 0x8b, 0x00 } },
		{ "two rex", { 0x48, 0x48, 0x8b, 0x00 } },
		{ "push", { 0xff, 0x30 } },
		{ "call", { 0xff, 0x10 } },
		{ "jmp", { 0xff, 0x20 } },
		{ "pop", { 0x8f, 0x00 } },
		{ "mov to a segment register", { 0x8e, 0x00 } },
		{ "lea", { 0x48, 0x8d, 0x00 } },
		{ "crc32, not movbe", { 0xf2, 0x0f, 0x38, 0xf1, 0x00 } },
		{ "movdir64b without 66", { 0x0f, 0x38, 0xf8, 0x00 } },
		{ "enqcmd", { 0xf2, 0x0f, 0x38, 0xf8, 0x00 } },
		{ "movups", { 0x0f, 0x10, 0x00 } },
		{ "vmovups", { 0xc5, 0xf8, 0x10, 0x00 } },
		{ "fld", { 0xd9, 0x00 } },
		{ "invlpg", { 0x0f, 0x01, 0x38 } },
		{ "group 1A, not mov", { 0xc6, 0x08 } },
		{ "opcode 82", { 0x82, 0x00, 0x00 } },
	};
	struct vfu_insn insn;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		if (vfu_insn_decode(&insn, refused[i].bytes, VFU_INSN_MAX_LEN) != -EINVAL) {
			fprintf(stderr, "# not refused: %s\n", refused[i].why);
			fail();
		}
		check(refused[i].bytes, VFU_INSN_MAX_LEN, &insn);
	}
}

/* The comparison itself must notice a difference in any field. */
static void test_comparison(void **state)
{
	static const u8 bytes[] = { 0x48, 0x89, 0x44, 0x8b, 0x10 };
	struct vfu_insn good, bad;

	(void)state;
	assert_int_equal(check(bytes, sizeof(bytes), &good), 0);
#define DIFFERS(field)					\
	do {						\
		bad = good;				\
		bad.field = !bad.field;			\
		assert_false(same_insn(&good, &bad));	\
	} while (0)
	DIFFERS(length);
	DIFFERS(op);
	DIFFERS(cond);
	DIFFERS(mem_size);
	DIFFERS(reg_size);
	DIFFERS(operand);
	DIFFERS(reg);
	DIFFERS(rep);
	DIFFERS(seg);
	DIFFERS(base);
	DIFFERS(index);
	DIFFERS(scale);
	DIFFERS(reg_high8);
	DIFFERS(mem_dst);
	DIFFERS(bit_string);
	DIFFERS(lock);
	DIFFERS(addr32);
	DIFFERS(disp);
	DIFFERS(imm);
#undef DIFFERS
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_comparison),
		cmocka_unit_test(test_accessors),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_length_limit),
		cmocka_unit_test(test_systematic),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_random_length),
	};

	if (argc > 1)
		seed = strtoull(argv[1], NULL, 0);
	if (argc > 2)
		random_cases = strtoul(argv[2], NULL, 0);
	if (!ZYAN_SUCCESS(ZydisDecoderInit(&zydis, ZYDIS_MACHINE_MODE_LONG_64,
					   ZYDIS_STACK_WIDTH_64))) {
		fputs("insn_test: libZydis is not the version built against: rebuild\n", stderr);
		return 1;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
