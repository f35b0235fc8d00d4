// SPDX-License-Identifier: GPL-2.0-only
/*
 * The instruction emulator (kmod/arch/x86/emulate.c) against the CPU that this runs on.
 *
 * Each case is a random instruction that the decoder takes, with registers set so that its memory
 * operand falls into an arena. The CPU executes it there, in a page of code of its own, between
 * two pieces of assembly that load and store all registers; vfu_emulate() executes it on copies
 * of the arena. All registers, all defined flags and all memory must then be equal. A second run
 * of the emulator is cut into pieces (a limit on elements, a memory access that fails once) and
 * must arrive at the same end.
 *
 * The arena lies below 2 GiB so that absolute and 32-bit addresses reach it.
 *
 * Usage: emulate_test [SEED [CASES]]
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <signal.h>
#include <unistd.h>
#include <cpuid.h>
#include <ucontext.h>
#include <asm/prctl.h>
#include <asm/processor-flags.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <cmocka.h>

#include "../../kmod/arch/x86/emulate.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#define ARENA		0x20000000UL
#define ARENA_SIZE	0x4000UL
#define CODE		0x20100000UL
/*
 * The arena once more, far up: what the GS override reaches. So a base added before an address is
 * cut to 32 bits, or not added at all, ends elsewhere.
 */
#define ALIAS		0x200010000000UL
#define GS_BASE		(ALIAS - 0x01000000UL)

/* Operands start in the middle: 16-bit bit offsets, and strings in both directions, stay inside. */
#define TARGET_MIN	(ARENA + 0x1800)
#define TARGET_SIZE	0x1000

#define FLAGS_ARITH	(X86_EFLAGS_CF | X86_EFLAGS_PF | X86_EFLAGS_AF | X86_EFLAGS_ZF | \
			 X86_EFLAGS_SF | X86_EFLAGS_OF)

#define ACC	0
#define COUNT	1
#define SOURCE	6
#define DEST	7

/* rax ... r15, flags: loaded by native_run(), stored by it again. */
__attribute__((visibility("hidden"))) unsigned long native_regs[17];
__attribute__((visibility("hidden"))) unsigned long native_sp;
__attribute__((visibility("hidden"))) unsigned long native_code = CODE;

void native_run(void);
void native_exit(void);

/*
 * MOV changes no flags, so flags are loaded first and stored last. The stack pointer may be
 * anything while the instruction runs; nothing pushes in between, and no signal is expected.
 */
asm(".text\n"
	".type native_run, @function\n"
	"native_run:\n"
	"	push %rbx\n"
	"	push %rbp\n"
	"	push %r12\n"
	"	push %r13\n"
	"	push %r14\n"
	"	push %r15\n"
	"	mov %rsp, native_sp(%rip)\n"
	"	pushq native_regs+16*8(%rip)\n"
	"	popfq\n"
	"	mov native_regs+0*8(%rip), %rax\n"
	"	mov native_regs+1*8(%rip), %rcx\n"
	"	mov native_regs+2*8(%rip), %rdx\n"
	"	mov native_regs+3*8(%rip), %rbx\n"
	"	mov native_regs+4*8(%rip), %rsp\n"
	"	mov native_regs+5*8(%rip), %rbp\n"
	"	mov native_regs+6*8(%rip), %rsi\n"
	"	mov native_regs+7*8(%rip), %rdi\n"
	"	mov native_regs+8*8(%rip), %r8\n"
	"	mov native_regs+9*8(%rip), %r9\n"
	"	mov native_regs+10*8(%rip), %r10\n"
	"	mov native_regs+11*8(%rip), %r11\n"
	"	mov native_regs+12*8(%rip), %r12\n"
	"	mov native_regs+13*8(%rip), %r13\n"
	"	mov native_regs+14*8(%rip), %r14\n"
	"	mov native_regs+15*8(%rip), %r15\n"
	"	jmp *native_code(%rip)\n"
	".type native_exit, @function\n"
	"native_exit:\n"
	"	mov %rax, native_regs+0*8(%rip)\n"
	"	mov %rcx, native_regs+1*8(%rip)\n"
	"	mov %rdx, native_regs+2*8(%rip)\n"
	"	mov %rbx, native_regs+3*8(%rip)\n"
	"	mov %rsp, native_regs+4*8(%rip)\n"
	"	mov %rbp, native_regs+5*8(%rip)\n"
	"	mov %rsi, native_regs+6*8(%rip)\n"
	"	mov %rdi, native_regs+7*8(%rip)\n"
	"	mov %r8, native_regs+8*8(%rip)\n"
	"	mov %r9, native_regs+9*8(%rip)\n"
	"	mov %r10, native_regs+10*8(%rip)\n"
	"	mov %r11, native_regs+11*8(%rip)\n"
	"	mov %r12, native_regs+12*8(%rip)\n"
	"	mov %r13, native_regs+13*8(%rip)\n"
	"	mov %r14, native_regs+14*8(%rip)\n"
	"	mov %r15, native_regs+15*8(%rip)\n"
	"	mov native_sp(%rip), %rsp\n"
	"	pushfq\n"
	"	popq native_regs+16*8(%rip)\n"
	"	cld\n"
	"	pop %r15\n"
	"	pop %r14\n"
	"	pop %r13\n"
	"	pop %r12\n"
	"	pop %rbp\n"
	"	pop %rbx\n"
	"	ret\n");

static u64 seed = 0x5eed;
static unsigned long cases = 500000;
static unsigned long fs_base;
static bool cpu_movbe, cpu_movdiri, cpu_movdir64b;

/* The arena as the emulator sees it: whole run, run in pieces. */
static u8 copies[2][ARENA_SIZE];

struct test_case {
	u8 bytes[32];
	struct vfu_insn insn;
	unsigned long regs[16];
	unsigned long flags;
	u64 target;		/* place of the memory operand (strings: that at rsi) */
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

static bool one_in(unsigned int n)
{
	return rng() % n == 0;
}

/* Numbers around the places where carries and signs change, as often as any other. */
static u64 rng_value(void)
{
	static const u64 edges[] = {
		0, 1, 2, 0x0f, 0x10, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fffffff,
		0x80000000, 0xffffffff, 0x7fffffffffffffff, 0x8000000000000000, 0xffffffffffffffff,
		0xfffffffffffffffe, 0x8080808080808080,
	};

	return one_in(2) ? rng() : edges[rng() % ARRAY_SIZE(edges)];
}

static bool is_string(const struct vfu_insn *insn)
{
	return insn->op >= VFU_OP_MOVS && insn->op <= VFU_OP_SCAS;
}

static bool is_shift(const struct vfu_insn *insn)
{
	return insn->op >= VFU_OP_ROL && insn->op <= VFU_OP_SAR;
}

static const struct test_case *running;

static void print_case(const struct test_case *t)
{
	fputs("# bytes:", stderr);
	for (unsigned int i = 0; i < t->insn.length; i++)
		fprintf(stderr, " %02x", t->bytes[i]);
	fprintf(stderr, " (op %u, flags %#lx, operand at %#llx)\n", t->insn.op, t->flags,
		(unsigned long long)t->target);
	for (int i = 0; i < 16; i++)
		fprintf(stderr, "#   r%-2d %016lx\n", i, t->regs[i]);
}

static bool refused;			/* the instruction that is running */
static unsigned int passed_over;

/*
 * An instruction that the CPU does not run as we thought.
 *
 * What a CPU does not know it refuses in each case. A virtual one, of which a program runs some of
 * the instructions, was seen to refuse one of those with three bytes of opcode (MOVBE, MOVDIRI) in one
 * of millions of cases, and never the same case again: it is passed over. More than a few would be
 * our fault. There is no way back to the instruction, with a stack pointer that may be anything.
 */
static void on_signal(int sig, siginfo_t *info, void *context)
{
	greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;

	(void)info;
	if (sig == SIGILL && running && !running->insn.rep && passed_over < 5) {
		passed_over++;
		refused = true;
		regs[REG_RIP] = (greg_t)native_exit;
		regs[REG_RSP] = (greg_t)native_sp;
		return;
	}
	if (running)
		print_case(running);
	fprintf(stderr, "# the CPU refuses this: signal %d\n", sig);
	_exit(1);
}

struct memory {
	u8 *bytes;
	unsigned long reads, writes;
	unsigned int len;		/* every access must have this length */
	unsigned long fail_at;		/* count of accesses before one fails, 0 never */
};

static int access_memory(struct memory *m, u64 addr, unsigned int len, u8 **place)
{
	if (m->fail_at && !--m->fail_at)
		return -EFAULT;
	if (addr >= ALIAS + ARENA && addr < ALIAS + ARENA + ARENA_SIZE)
		addr -= ALIAS;
	if (addr < ARENA || addr > ARENA + ARENA_SIZE - len || len != m->len) {
		fprintf(stderr, "# access of %u bytes at %#llx\n", len, (unsigned long long)addr);
		return -ERANGE;
	}
	*place = m->bytes + (addr - ARENA);
	return 0;
}

static int memory_read(void *opaque, u64 addr, void *buf, unsigned int len)
{
	struct memory *m = opaque;
	u8 *place;
	int err;

	err = access_memory(m, addr, len, &place);
	if (err)
		return err;
	m->reads++;
	memcpy(buf, place, len);
	return 0;
}

static int memory_write(void *opaque, u64 addr, const void *buf, unsigned int len)
{
	struct memory *m = opaque;
	u8 *place;
	int err;

	err = access_memory(m, addr, len, &place);
	if (err)
		return err;
	m->writes++;
	memcpy(place, buf, len);
	return 0;
}

static const struct vfu_mem_ops memory_ops = { .read = memory_read, .write = memory_write };

/* The same bytes for the CPU and for both runs of the emulator. */
static void fill(u64 addr, const void *bytes, size_t len)
{
	size_t offset = addr - ARENA;

	memcpy((void *)addr, bytes, len);
	for (size_t i = 0; i < ARRAY_SIZE(copies); i++)
		memcpy(copies[i] + offset, bytes, len);
}

/* Every opcode that the decoder knows; 0x0f and 0x0f38 maps by their escape. */
static const struct opcodes {
	u8 escape_len;
	u8 escape[2];
	u8 first;
	u8 last;
	bool modrm;
} opcodes[] = {
	{ 0, { 0 }, 0x00, 0x03, true },
	{ 0, { 0 }, 0x08, 0x0b, true },
	{ 0, { 0 }, 0x10, 0x13, true },
	{ 0, { 0 }, 0x18, 0x1b, true },
	{ 0, { 0 }, 0x20, 0x23, true },
	{ 0, { 0 }, 0x28, 0x2b, true },
	{ 0, { 0 }, 0x30, 0x33, true },
	{ 0, { 0 }, 0x38, 0x3b, true },
	{ 0, { 0 }, 0x63, 0x63, true },
	{ 0, { 0 }, 0x80, 0x83, true },
	{ 0, { 0 }, 0x80, 0x83, true },
	{ 0, { 0 }, 0x84, 0x87, true },
	{ 0, { 0 }, 0x88, 0x8b, true },
	{ 0, { 0 }, 0xa0, 0xa3, false },
	{ 0, { 0 }, 0xa4, 0xa7, false },
	{ 0, { 0 }, 0xaa, 0xaf, false },
	{ 0, { 0 }, 0xc0, 0xc1, true },
	{ 0, { 0 }, 0xc0, 0xc1, true },
	{ 0, { 0 }, 0xc6, 0xc7, true },
	{ 0, { 0 }, 0xd0, 0xd3, true },
	{ 0, { 0 }, 0xd0, 0xd3, true },
	{ 0, { 0 }, 0xf6, 0xf7, true },
	{ 0, { 0 }, 0xfe, 0xff, true },
	{ 1, { 0x0f }, 0x40, 0x4f, true },
	{ 1, { 0x0f }, 0x90, 0x9f, true },
	{ 1, { 0x0f }, 0xa3, 0xa3, true },
	{ 1, { 0x0f }, 0xab, 0xab, true },
	{ 1, { 0x0f }, 0xb0, 0xb1, true },
	{ 1, { 0x0f }, 0xb3, 0xb3, true },
	{ 1, { 0x0f }, 0xb6, 0xb7, true },
	{ 1, { 0x0f }, 0xba, 0xbb, true },
	{ 1, { 0x0f }, 0xbe, 0xbf, true },
	{ 1, { 0x0f }, 0xc0, 0xc1, true },
	{ 1, { 0x0f }, 0xc3, 0xc3, true },
	{ 2, { 0x0f, 0x38 }, 0xf0, 0xf1, true },
	{ 2, { 0x0f, 0x38 }, 0xf8, 0xf9, true },
};

/* Where the parts of the instruction are that depend on the address. */
struct layout {
	unsigned int opcode;
	unsigned int disp;	/* 4 or 8 bytes there, if the address has neither base nor index */
	bool moffs;		/* the latter, unless addresses have 32 bits */
};

static void random_instruction(struct test_case *t, struct layout *l)
{
	const struct opcodes *o = &opcodes[rng() % ARRAY_SIZE(opcodes)];
	u8 *b = t->bytes;
	unsigned int n = 0;
	u8 modrm;

	for (size_t i = 0; i < sizeof(t->bytes); i++)
		b[i] = rng();
	if (one_in(6))
		b[n++] = one_in(3) ? 0x64 : 0x65;
	else if (one_in(10))
		b[n++] = 0x2e;
	if (one_in(4))
		b[n++] = 0x66;
	if (one_in(6))
		b[n++] = 0x67;
	if (one_in(8))
		b[n++] = 0xf0;
	if (!o->modrm && one_in(2))
		b[n++] = one_in(2) ? 0xf2 : 0xf3;
	if (one_in(2))
		b[n++] = 0x40 | (rng() & 15);
	memcpy(b + n, o->escape, o->escape_len);
	n += o->escape_len;
	l->opcode = n;
	b[n++] = o->first + rng() % (o->last - o->first + 1);
	if (o->modrm) {
		modrm = b[n++];
		if ((modrm & 7) == 4)
			n++;
	}
	l->disp = n;
	l->moffs = !o->modrm;
}

static void put(u8 *place, u64 value, unsigned int size)
{
	memcpy(place, &value, size);
}

/* What to take from the place in the arena to get the address that reaches it. */
static u64 segment_offset(const struct vfu_insn *insn)
{
	switch (insn->seg) {
	case VFU_SEG_FS:
		return fs_base;
	case VFU_SEG_GS:
		return GS_BASE - ALIAS;
	default:
		return 0;
	}
}

/*
 * Sets registers, or the displacement, so that the operand comes to lie near t->target, and moves
 * t->target to where it then is. False where that is not possible with this instruction.
 */
static bool aim(struct test_case *t, const struct layout *l)
{
	const struct vfu_insn *i = &t->insn;
	u64 ea = t->target - segment_offset(i);	/* what base, index and displacement must give */
	u64 rest = ea - i->disp;
	bool has_base = i->base != VFU_REG_NONE;
	bool has_index = i->index != VFU_REG_NONE;

	if (i->addr32 && i->seg == VFU_SEG_FS)
		return false;

	if (i->base == VFU_REG_RIP) {
		rest = ea - (CODE + i->length);
		if (rest != (u64)(s64)(int32_t)rest)
			return false;
		put(t->bytes + l->disp, rest, 4);
		return true;
	}
	if (!has_base && !has_index) {
		unsigned int size = l->moffs && !i->addr32 ? 8 : 4;

		if (size == 4 && ea >> 31)
			return false;
		put(t->bytes + l->disp, ea, size);
		return true;
	}
	if (has_base && i->base == i->index) {
		s64 factor = 1 + (1 << i->scale);

		t->regs[i->base] = (s64)rest / factor;
		t->target += t->regs[i->base] * factor - rest;
	} else if (has_base) {
		if (has_index)
			rest -= t->regs[i->index] << i->scale;
		t->regs[i->base] = rest;
	} else {
		t->regs[i->index] = (s64)rest >> i->scale;
		t->target -= rest & ((1 << i->scale) - 1);
	}
	/* The upper halves must not matter. */
	if (i->addr32) {
		if (has_base)
			t->regs[i->base] = (u32)t->regs[i->base] | rng() << 32;
		if (has_index)
			t->regs[i->index] = (u32)t->regs[i->index] | rng() << 32;
	}
	return true;
}

/* A bit offset that stays in the arena, with rubbish above the operand's size. */
static bool aim_bit(struct test_case *t)
{
	const struct vfu_insn *i = &t->insn;
	s64 offset = (s64)(rng() % 0x10000) - 0x8000;

	if (i->reg == i->base || i->reg == i->index)
		return false;
	if (i->reg_size == 8)
		t->regs[i->reg] = offset;
	else if (i->reg_size == 4)
		t->regs[i->reg] = (u32)offset | rng() << 32;
	else
		t->regs[i->reg] = (offset & 0xffff) | rng() << 16;
	return true;
}

/* More than a string operation touches, in bytes. */
#define ALIAS_APART	512

static bool aim_string(struct test_case *t)
{
	const struct vfu_insn *i = &t->insn;
	u64 pattern[48], dest = TARGET_MIN + rng() % TARGET_SIZE;

	if (i->addr32 && i->seg == VFU_SEG_FS)
		return false;
	/* Sometimes overlapping, by whole elements and by less. */
	if (one_in(3))
		dest = t->target + rng() % 64 - 32;
	/* By another address of the same memory: fast strings of some CPUs do not see that overlap. */
	if (i->seg == VFU_SEG_GS && dest - t->target + ALIAS_APART < 2 * ALIAS_APART)
		return false;
	t->regs[SOURCE] = t->target - segment_offset(i);
	t->regs[DEST] = dest;
	t->regs[COUNT] = rng() % 24;
	if (i->addr32) {
		t->regs[SOURCE] |= rng() << 32;
		t->regs[DEST] |= rng() << 32;
		/* CPUs differ in whether a count of zero still clears the upper halves. */
		t->regs[COUNT] += !t->regs[COUNT];
		t->regs[COUNT] |= rng() << 32;
	}
	/* Comparisons should get past the first element: mostly one value, accumulator too. */
	for (size_t k = 0; k < ARRAY_SIZE(pattern); k++)
		pattern[k] = one_in(12) ? rng() : 0x4242424242424242;
	if (one_in(2))
		t->regs[ACC] = 0x4242424242424242;
	fill(t->target - 192, pattern, sizeof(pattern));
	for (size_t k = 0; k < ARRAY_SIZE(pattern); k++)
		pattern[k] = one_in(12) ? rng() : 0x4242424242424242;
	fill(dest - 192, pattern, sizeof(pattern));
	return true;
}

/* Shift counts around the operand sizes more often than others; an immediate is the last byte. */
static void choose_count(struct test_case *t, const struct layout *l)
{
	static const u8 counts[] = {
		0, 1, 1, 1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 255,
	};
	u8 count = one_in(4) ? rng() : counts[rng() % ARRAY_SIZE(counts)];

	if (t->insn.operand == VFU_OPERAND_CL)
		t->regs[COUNT] = (t->regs[COUNT] & ~0xffUL) | count;
	else if ((t->bytes[l->opcode] & 0xfe) == 0xc0)
		t->bytes[t->insn.length - 1] = count;
}

static bool cpu_runs(const struct test_case *t, const struct layout *l)
{
	if (t->insn.op == VFU_OP_MOVBE)
		return cpu_movbe;
	if (t->insn.op == VFU_OP_MOVDIR64B)
		return cpu_movdir64b;
	if (t->bytes[l->opcode] == 0xf9)
		return cpu_movdiri;
	return true;
}

static bool generate(struct test_case *t)
{
	const struct vfu_insn *i = &t->insn;
	struct layout l;
	u64 value[8];

	random_instruction(t, &l);
	if (vfu_insn_decode(&t->insn, t->bytes, VFU_INSN_MAX_LEN) || !cpu_runs(t, &l))
		return false;

	t->flags = (rng() & (FLAGS_ARITH | X86_EFLAGS_DF)) | X86_EFLAGS_IF | X86_EFLAGS_FIXED;
	for (int k = 0; k < 16; k++)
		t->regs[k] = rng_value();
	t->target = TARGET_MIN + rng() % TARGET_SIZE;

	if (is_string(i))
		return aim_string(t);

	/* A locked access over the end of a cache line is slow, and a trap on some. */
	if (i->lock || i->op == VFU_OP_XCHG || i->op == VFU_OP_MOVDIR64B)
		t->target &= ~63UL;
	if (is_shift(i))
		choose_count(t, &l);
	if (!aim(t, &l) || (i->bit_string && !aim_bit(t)))
		return false;
	if ((i->lock || i->op == VFU_OP_XCHG) && t->target % i->mem_size)
		return false;
	if (i->op == VFU_OP_MOVDIR64B) {
		if (i->reg == i->base || i->reg == i->index)
			return false;
		t->regs[i->reg] = (TARGET_MIN + rng() % TARGET_SIZE) & ~63UL;
	}
	/* The displacement or the immediate may be another now. */
	assert_int_equal(vfu_insn_decode(&t->insn, t->bytes, VFU_INSN_MAX_LEN), 0);

	for (size_t k = 0; k < ARRAY_SIZE(value); k++)
		value[k] = rng_value();
	/* Operands that are equal are rare otherwise. */
	if (one_in(2))
		value[0] = i->op == VFU_OP_CMPXCHG ? t->regs[ACC] :
			   i->operand == VFU_OPERAND_REG ? t->regs[i->reg] : i->imm;
	fill(t->target, value, sizeof(value));
	return true;
}

/* The flags that the manuals define after this instruction. */
static unsigned long defined_flags(const struct test_case *t)
{
	const struct vfu_insn *i = &t->insn;
	unsigned long defined = FLAGS_ARITH | X86_EFLAGS_DF;
	unsigned int count;

	switch (i->op) {
	case VFU_OP_AND:
	case VFU_OP_OR:
	case VFU_OP_XOR:
	case VFU_OP_TEST:
		return defined & ~X86_EFLAGS_AF;
	case VFU_OP_BT:
	case VFU_OP_BTS:
	case VFU_OP_BTR:
	case VFU_OP_BTC:
		return defined & ~(X86_EFLAGS_OF | X86_EFLAGS_SF | X86_EFLAGS_AF | X86_EFLAGS_PF);
	default:
		if (!is_shift(i))
			return defined;
	}
	count = i->operand == VFU_OPERAND_CL ? t->regs[COUNT] : i->imm;
	count &= i->mem_size == 8 ? 63 : 31;
	if (!count)
		return defined;
	if (count != 1)
		defined &= ~X86_EFLAGS_OF;
	if (i->op == VFU_OP_ROL || i->op == VFU_OP_ROR)
		return defined;
	defined &= ~X86_EFLAGS_AF;
	if (i->op != VFU_OP_SAR && count >= 8U * i->mem_size)
		defined &= ~X86_EFLAGS_CF;
	return defined;
}

static void run_native(const struct test_case *t)
{
	/* jmp *0(%rip), the address follows */
	static const u8 jump[] = { 0xff, 0x25, 0, 0, 0, 0 };
	void (*exit)(void) = native_exit;
	u8 *code = (u8 *)CODE;

	memcpy(code, t->bytes, t->insn.length);
	memcpy(code + t->insn.length, jump, sizeof(jump));
	memcpy(code + t->insn.length + sizeof(jump), &exit, sizeof(exit));
	memcpy(native_regs, t->regs, sizeof(t->regs));
	native_regs[16] = t->flags;
	refused = false;
	running = t;
	native_run();
	running = NULL;
}

struct emulated {
	unsigned long regs[16];
	unsigned long ip;
	unsigned long flags;
	struct memory memory;
};

static void emulated_start(struct emulated *e, const struct test_case *t, u8 *bytes)
{
	memcpy(e->regs, t->regs, sizeof(e->regs));
	e->ip = CODE;
	e->flags = t->flags | X86_EFLAGS_RF;	/* as the frame of a fault has it */
	e->memory = (struct memory){ .bytes = bytes, .len = t->insn.mem_size };
}

static int emulated_run(struct emulated *e, const struct test_case *t, unsigned int max_elements)
{
	struct vfu_cpu cpu = {
		.ip = &e->ip,
		.flags = &e->flags,
		.fs_base = fs_base,
		.gs_base = GS_BASE,
	};

	for (int i = 0; i < 16; i++)
		cpu.gpr[i] = &e->regs[i];
	return vfu_emulate(&t->insn, &cpu, &memory_ops, &e->memory, max_elements);
}

static bool same_as_native(const struct test_case *t, const struct emulated *e, const char *which)
{
	unsigned long flags = (e->flags ^ native_regs[16]) & defined_flags(t);
	bool memory = !memcmp((void *)ARENA, e->memory.bytes, ARENA_SIZE);

	if (!memcmp(e->regs, native_regs, sizeof(e->regs)) && !flags && memory &&
	    e->ip == CODE + t->insn.length && !(e->flags & X86_EFLAGS_RF))
		return true;

	print_case(t);
	fprintf(stderr, "# %s: flags %#lx, CPU %#lx, differing %#lx; ip %#lx; memory %s\n", which,
		e->flags, native_regs[16], flags, e->ip, memory ? "equal" : "differs");
	for (int i = 0; i < 16; i++)
		if (e->regs[i] != native_regs[i])
			fprintf(stderr, "#   r%-2d %016lx, CPU %016lx\n", i, e->regs[i],
				native_regs[i]);
	return false;
}

/* A device must see no access that the instruction does not make. */
static void check_accesses(const struct test_case *t, const struct memory *m)
{
	const struct vfu_insn *i = &t->insn;
	unsigned long elements = i->rep ? t->regs[COUNT] & 0xff : 1;
	unsigned long reads = 1, writes = 1;

	switch (i->op) {
	case VFU_OP_MOV:
	case VFU_OP_MOVBE:
	case VFU_OP_SETCC:
		reads = !i->mem_dst;
		writes = i->mem_dst;
		break;
	case VFU_OP_MOVZX:
	case VFU_OP_MOVSX:
	case VFU_OP_CMOV:
	case VFU_OP_CMP:
	case VFU_OP_TEST:
	case VFU_OP_BT:
		writes = 0;
		break;
	case VFU_OP_MOVS:
		reads = elements;
		writes = elements;
		break;
	case VFU_OP_STOS:
		reads = 0;
		writes = elements;
		break;
	case VFU_OP_LODS:
		reads = elements;
		writes = 0;
		break;
	case VFU_OP_CMPS:
	case VFU_OP_SCAS:
		/* As many as the count register tells, two for each or one. */
		elements = i->rep ? (t->regs[COUNT] - native_regs[COUNT]) & 0xff : 1;
		reads = elements * (i->op == VFU_OP_CMPS ? 2 : 1);
		writes = 0;
		break;
	default:
		writes = i->mem_dst || i->op == VFU_OP_MOVDIR64B;
		break;
	}
	if (m->reads != reads || m->writes != writes) {
		print_case(t);
		fprintf(stderr, "# %lu reads and %lu writes, expected %lu and %lu\n", m->reads,
			m->writes, reads, writes);
		fail();
	}
}

/* The same in pieces, which it counts: few elements at a time, and one access that fails. */
static unsigned int run_in_pieces(const struct test_case *t, struct emulated *e)
{
	unsigned int pieces = 0;
	int err;

	emulated_start(e, t, copies[1]);
	e->memory.fail_at = rng() % 8;
	do {
		struct emulated before = *e;

		err = emulated_run(e, t, 1 + rng() % 5);
		if (err) {
			assert_int_equal(err, -EFAULT);
			assert_int_equal(e->ip, CODE);
			assert_true(e->flags & X86_EFLAGS_RF);
			if (!t->insn.rep) {
				assert_memory_equal(before.regs, e->regs, sizeof(e->regs));
				assert_int_equal(before.flags, e->flags);
			}
		}
		assert_true(pieces++ < 100);
	} while (e->ip == CODE);
	return pieces;
}

static void map_at(unsigned long addr, size_t size, int prot, int flags, int fd)
{
	if (mmap((void *)addr, size, prot, flags | MAP_FIXED_NOREPLACE, fd, 0) != (void *)addr) {
		fprintf(stderr, "# no memory at %#lx: %s\n", addr, strerror(errno));
		fail();
	}
}

static void prepare_machine(void)
{
	static u8 signal_stack[65536];
	stack_t stack = { .ss_sp = signal_stack, .ss_size = sizeof(signal_stack) };
	struct sigaction action = { .sa_sigaction = on_signal,
				    .sa_flags = SA_ONSTACK | SA_SIGINFO };
	static const int signals[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP };
	unsigned int a, b, c, d;
	u64 value;
	int fd;

	fd = memfd_create("arena", MFD_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, ARENA_SIZE), 0);
	map_at(ARENA, ARENA_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
	map_at(ALIAS + ARENA, ARENA_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
	map_at(CODE, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	close(fd);
	assert_int_equal(syscall(SYS_arch_prctl, ARCH_GET_FS, &fs_base), 0);
	assert_int_equal(syscall(SYS_arch_prctl, ARCH_SET_GS, GS_BASE), 0);

	assert_int_equal(sigaltstack(&stack, NULL), 0);
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		assert_int_equal(sigaction(signals[i], &action, NULL), 0);

	if (__get_cpuid(1, &a, &b, &c, &d))
		cpu_movbe = c & bit_MOVBE;
	if (__get_cpuid_count(7, 0, &a, &b, &c, &d)) {
		cpu_movdiri = c & bit_MOVDIRI;
		cpu_movdir64b = c & bit_MOVDIR64B;
	}
	for (u64 addr = ARENA; addr < ARENA + ARENA_SIZE; addr += sizeof(value)) {
		value = rng();
		fill(addr, &value, sizeof(value));
	}
}

static void test_against_cpu(void **state)
{
	unsigned long by_op[VFU_OP_COUNT] = { 0 }, pieces = 0;
	struct emulated whole, parts;
	struct test_case t;

	(void)state;
	rng_state = seed;
	prepare_machine();
	for (unsigned long n = 0; n < cases; n++) {
		while (!generate(&t))
			;
		run_native(&t);
		if (refused)
			continue;

		emulated_start(&whole, &t, copies[0]);
		assert_int_equal(emulated_run(&whole, &t, 1000), 0);
		if (!same_as_native(&t, &whole, "in one go"))
			fail();
		check_accesses(&t, &whole.memory);

		pieces += run_in_pieces(&t, &parts);
		if (!same_as_native(&t, &parts, "in pieces"))
			fail();
		by_op[t.insn.op]++;
	}
	for (unsigned int op = VFU_OP_NONE + 1; op < VFU_OP_COUNT; op++) {
		if ((op == VFU_OP_MOVBE && !cpu_movbe) ||
		    (op == VFU_OP_MOVDIR64B && !cpu_movdir64b)) {
			print_message("# this CPU has no instruction for operation %u\n", op);
			continue;
		}
		if (by_op[op] < cases / 1000) {
			fprintf(stderr, "# operation %u was run %lu times only\n", op, by_op[op]);
			fail();
		}
	}
	assert_true(pieces > cases);
	print_message("# seed %#llx: %lu instructions, %lu pieces, %u refused and passed over\n",
		      (unsigned long long)seed, cases, pieces, passed_over);
}

static void by_hand(struct test_case *t, const u8 *bytes, size_t len)
{
	memset(t, 0, sizeof(*t));
	memcpy(t->bytes, bytes, len);
	assert_int_equal(vfu_insn_decode(&t->insn, bytes, len), 0);
	for (size_t i = 0; i < ARENA_SIZE; i++)
		copies[0][i] = i * 7;
}

/* Few CPUs have it, so by hand: copies, changes nothing else, wants its destination aligned. */
static void test_movdir64b(void **state)
{
	static const u8 plain[] = { 0x66, 0x0f, 0x38, 0xf8, 0x02 };		/* (%rdx), %rax */
	static const u8 addr32[] = { 0x67, 0x66, 0x0f, 0x38, 0xf8, 0x02 };	/* (%edx), %eax */
	struct emulated e;
	struct test_case t;

	(void)state;
	by_hand(&t, plain, sizeof(plain));
	t.regs[0] = ARENA + 0x40;
	t.regs[2] = ARENA + 0x801;
	emulated_start(&e, &t, copies[0]);
	assert_int_equal(emulated_run(&e, &t, 1), 0);
	assert_memory_equal(copies[0] + 0x40, copies[0] + 0x801, 64);
	assert_int_equal(copies[0][0x3f], (u8)(0x3f * 7));
	assert_int_equal(copies[0][0x80], (u8)(0x80 * 7));
	assert_memory_equal(e.regs, t.regs, sizeof(e.regs));
	assert_int_equal(e.ip, CODE + sizeof(plain));

	t.regs[0] = ARENA + 0x60;
	emulated_start(&e, &t, copies[0]);
	assert_int_equal(emulated_run(&e, &t, 1), -EINVAL);
	assert_int_equal(e.ip, CODE);
	assert_int_equal(e.memory.reads + e.memory.writes, 0);

	by_hand(&t, addr32, sizeof(addr32));
	t.regs[0] = (ARENA + 0x40) | 0xdeadUL << 32;
	t.regs[2] = (ARENA + 0x800) | 0xbeefUL << 32;
	emulated_start(&e, &t, copies[0]);
	assert_int_equal(emulated_run(&e, &t, 1), 0);
	assert_memory_equal(copies[0] + 0x40, copies[0] + 0x800, 64);
}

/* A count of zero touches nothing; a limit or an error stops after whole elements. */
static void test_rep_limits(void **state)
{
	static const u8 rep_movsd[] = { 0xf3, 0xa5 };
	struct emulated e;
	struct test_case t;

	(void)state;
	by_hand(&t, rep_movsd, sizeof(rep_movsd));
	t.regs[SOURCE] = 1;
	t.regs[DEST] = 2;
	emulated_start(&e, &t, copies[0]);
	assert_int_equal(emulated_run(&e, &t, 1), 0);
	assert_int_equal(e.memory.reads + e.memory.writes, 0);
	assert_memory_equal(e.regs, t.regs, sizeof(e.regs));
	assert_int_equal(e.ip, CODE + sizeof(rep_movsd));

	t.regs[COUNT] = 10;
	t.regs[SOURCE] = ARENA;
	t.regs[DEST] = ARENA + 0x100;
	emulated_start(&e, &t, copies[0]);
	assert_int_equal(emulated_run(&e, &t, 4), 0);
	assert_int_equal(e.ip, CODE);
	assert_int_equal(e.regs[COUNT], 6);
	assert_int_equal(e.regs[SOURCE], ARENA + 16);
	assert_int_equal(e.regs[DEST], ARENA + 0x110);
	assert_memory_equal(copies[0], copies[0] + 0x100, 16);
	assert_int_equal(copies[0][0x110], (u8)(0x110 * 7));

	/* The write of the second element fails. */
	emulated_start(&e, &t, copies[0]);
	e.memory.fail_at = 4;
	assert_int_equal(emulated_run(&e, &t, 10), -EFAULT);
	assert_int_equal(e.ip, CODE);
	assert_int_equal(e.regs[COUNT], 9);
	assert_int_equal(e.regs[SOURCE], ARENA + 4);
	assert_int_equal(e.regs[DEST], ARENA + 0x104);

	/* Exactly the limit: complete. */
	emulated_start(&e, &t, copies[0]);
	assert_int_equal(emulated_run(&e, &t, 10), 0);
	assert_int_equal(e.ip, CODE + sizeof(rep_movsd));
	assert_int_equal(e.regs[COUNT], 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_movdir64b),
		cmocka_unit_test(test_rep_limits),
		cmocka_unit_test(test_against_cpu),
	};

	if (argc > 1)
		seed = strtoull(argv[1], NULL, 0);
	if (argc > 2)
		cases = strtoul(argv[2], NULL, 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
