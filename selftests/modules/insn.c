// SPDX-License-Identifier: GPL-2.0-only
/*
 * Single instructions on trapped memory, chosen byte for byte by inline assembly.
 *
 * Each one runs twice, on ordinary memory and on the device's, from the same registers: what the
 * CPU does is what is expected. The server's log tells that memory was read and written as often as
 * the instruction has it, and with its width.
 */
#include <linux/slab.h>
#include <asm/cpufeature.h>
#include <asm/processor-flags.h>

#include "vfu_test.h"

#define BLOCK	64	/* bytes that an instruction may reach */

/* What an instruction starts from, in rbx and rax, and what it leaves behind. */
struct regs {
	u64 b;
	u64 a;
	u64 flags;
};

#define CF	X86_EFLAGS_CF
#define OF	X86_EFLAGS_OF
#define ALL	(CF | OF | X86_EFLAGS_PF | X86_EFLAGS_AF | X86_EFLAGS_ZF | X86_EFLAGS_SF)
#define LOGIC	(ALL & ~X86_EFLAGS_AF)
#define SHIFTN	(LOGIC & ~OF)

/* Operands; memory is at rdi + 16, rcx is 5. */
#define RM(r)	"%%" #r ", 16(%%rdi)"
#define MR(r)	"16(%%rdi), %%" #r
#define IM(r)	"$0x5a, 16(%%rdi)"
#define I3(r)	"$3, 16(%%rdi)"
#define I1(r)	"$1, 16(%%rdi)"
#define CL(r)	"%%cl, 16(%%rdi)"
#define M(r)	"16(%%rdi)"

#define OP3(X, n, op, F, rd, wr, fl)			\
	X(n##_w, #n, op "w " F(bx), 16, 2, rd, wr, fl)	\
	X(n##_l, #n, op "l " F(ebx), 16, 4, rd, wr, fl)	\
	X(n##_q, #n, op "q " F(rbx), 16, 8, rd, wr, fl)
#define OP4(X, n, op, F, rd, wr, fl)			\
	X(n##_b, #n, op "b " F(bl), 16, 1, rd, wr, fl)	\
	OP3(X, n, op, F, rd, wr, fl)

/* name, group, text, offset of the access, its width, reads, writes, flags that are defined */
#define INSNS(X)								\
	OP4(X, mov_to_memory, "mov", RM, 0, 1, ALL)				\
	OP4(X, mov_from_memory, "mov", MR, 1, 0, ALL)				\
	OP4(X, mov_immediate, "mov", IM, 0, 1, ALL)				\
	X(mov_bh, "mov_high_byte", "movb %%bh, 16(%%rdi)", 16, 1, 0, 1, ALL)	\
	X(mov_to_bh, "mov_high_byte", "movb 16(%%rdi), %%bh", 16, 1, 1, 0, ALL)	\
	X(mov_index, "addressing", "movl %%ebx, (%%rdi,%%rcx,4)", 20, 4, 0, 1, ALL) \
	X(mov_disp32, "addressing", "movl 0x12345(%%rdi), %%ebx", 24, 4, 1, 0, ALL) \
	X(mov_negative, "addressing", "movw -8(%%rdi), %%bx", 8, 2, 1, 0, ALL)	\
	X(mov_r9, "addressing",							\
	  "mov %%rdi, %%r9\n\tmov %%rbx, 8(%%r9,%%rcx,2)", 18, 8, 0, 1, ALL)	\
	X(mov_r13, "addressing",						\
	  "mov %%rdi, %%r13\n\tmovl (%%r13), %%r12d\n\tmov %%r12, %%rbx", 0, 4, 1, 0, ALL) \
	X(movzbw, "movzx", "movzbw 16(%%rdi), %%bx", 16, 1, 1, 0, ALL)		\
	X(movzbl, "movzx", "movzbl 16(%%rdi), %%ebx", 16, 1, 1, 0, ALL)		\
	X(movzwl, "movzx", "movzwl 16(%%rdi), %%ebx", 16, 2, 1, 0, ALL)		\
	X(movzwq, "movzx", "movzwq 16(%%rdi), %%rbx", 16, 2, 1, 0, ALL)		\
	X(movsbw, "movsx", "movsbw 16(%%rdi), %%bx", 16, 1, 1, 0, ALL)		\
	X(movsbq, "movsx", "movsbq 16(%%rdi), %%rbx", 16, 1, 1, 0, ALL)		\
	X(movswl, "movsx", "movswl 16(%%rdi), %%ebx", 16, 2, 1, 0, ALL)		\
	X(movslq, "movsx", "movslq 16(%%rdi), %%rbx", 16, 4, 1, 0, ALL)		\
	OP4(X, add_to_memory, "add", RM, 1, 1, ALL)				\
	OP4(X, add_from_memory, "add", MR, 1, 0, ALL)				\
	OP4(X, add_immediate, "add", IM, 1, 1, ALL)				\
	OP4(X, or_to_memory, "or", RM, 1, 1, LOGIC)				\
	OP4(X, or_immediate, "or", IM, 1, 1, LOGIC)				\
	OP4(X, or_from_memory, "or", MR, 1, 0, LOGIC)				\
	OP4(X, adc_to_memory, "stc\n\tadc", RM, 1, 1, ALL)			\
	OP4(X, sbb_to_memory, "stc\n\tsbb", RM, 1, 1, ALL)			\
	OP4(X, sbb_from_memory, "stc\n\tsbb", MR, 1, 0, ALL)			\
	OP4(X, and_to_memory, "and", RM, 1, 1, LOGIC)				\
	OP4(X, and_immediate, "and", IM, 1, 1, LOGIC)				\
	OP4(X, and_from_memory, "and", MR, 1, 0, LOGIC)				\
	OP4(X, sub_to_memory, "sub", RM, 1, 1, ALL)				\
	OP4(X, sub_from_memory, "sub", MR, 1, 0, ALL)				\
	OP4(X, xor_to_memory, "xor", RM, 1, 1, LOGIC)				\
	OP4(X, xor_immediate, "xor", IM, 1, 1, LOGIC)				\
	OP4(X, cmp_to_memory, "cmp", RM, 1, 0, ALL)				\
	OP4(X, cmp_from_memory, "cmp", MR, 1, 0, ALL)				\
	OP4(X, cmp_immediate, "cmp", IM, 1, 0, ALL)				\
	OP4(X, test_register, "test", RM, 1, 0, LOGIC)				\
	OP4(X, test_immediate, "test", IM, 1, 0, LOGIC)				\
	OP4(X, inc, "stc\n\tinc", M, 1, 1, ALL)					\
	OP4(X, dec, "dec", M, 1, 1, ALL)					\
	OP4(X, not, "not", M, 1, 1, ALL)					\
	OP4(X, neg, "neg", M, 1, 1, ALL)					\
	OP4(X, shl_one, "shl", I1, 1, 1, LOGIC)					\
	OP4(X, shl_three, "shl", I3, 1, 1, SHIFTN)				\
	OP4(X, shr_three, "shr", I3, 1, 1, SHIFTN)				\
	OP4(X, sar_cl, "sar", CL, 1, 1, SHIFTN)					\
	OP4(X, rol_three, "rol", I3, 1, 1, CF)					\
	OP4(X, ror_cl, "ror", CL, 1, 1, CF)					\
	OP4(X, xchg, "xchg", RM, 1, 1, ALL)					\
	OP4(X, xadd, "xadd", RM, 1, 1, ALL)					\
	OP4(X, lock_or, "lock or", RM, 1, 1, LOGIC)				\
	OP4(X, lock_add, "lock add", RM, 1, 1, ALL)				\
	OP4(X, lock_cmpxchg, "lock cmpxchg", RM, 1, 1, ALL)			\
	X(cmpxchg_same, "cmpxchg_equal",					\
	  "movl $0x33221100, 16(%%rdi)\n\tmovl $0x33221100, %%eax\n\t"		\
	  "cmpxchgl %%ebx, 16(%%rdi)", 16, 4, 1, 2, ALL)			\
	OP3(X, bt_immediate, "bt", I3, 1, 0, CF)				\
	OP3(X, bts_immediate, "bts", I3, 1, 1, CF)				\
	OP3(X, btr_immediate, "btr", I3, 1, 1, CF)				\
	OP3(X, btc_immediate, "btc", I3, 1, 1, CF)				\
	X(bts_reg, "bit_string", "movl $37, %%ebx\n\tbtsl %%ebx, 16(%%rdi)", 20, 4, 1, 1, CF) \
	X(btr_reg, "bit_string", "movq $-70, %%rbx\n\tbtrq %%rbx, 16(%%rdi)", 0, 8, 1, 1, CF) \
	X(lock_bts, "bit_string",						\
	  "movq $3, %%rbx\n\tlock btsq %%rbx, 16(%%rdi)", 16, 8, 1, 1, CF)	\
	X(cmovc, "cmov", "stc\n\tcmovc 16(%%rdi), %%ebx", 16, 4, 1, 0, ALL)	\
	X(cmovnc, "cmov", "stc\n\tcmovnc 16(%%rdi), %%ebx", 16, 4, 1, 0, ALL)	\
	X(setc, "setcc", "stc\n\tsetc 16(%%rdi)", 16, 1, 0, 1, ALL)		\
	X(setnz, "setcc", "setnz 16(%%rdi)", 16, 1, 0, 1, ALL)			\
	X(movntil, "movnti", "movntil %%ebx, 16(%%rdi)", 16, 4, 0, 1, ALL)	\
	X(movntiq, "movnti", "movntiq %%rbx, 16(%%rdi)", 16, 8, 0, 1, ALL)	\
	OP3(X, movbe_to_memory, "movbe", RM, 0, 1, ALL)				\
	OP3(X, movbe_from_memory, "movbe", MR, 1, 0, ALL)			\
	X(movdiril, "movdiri", ".byte 0x0f,0x38,0xf9,0x5f,0x10", 16, 4, 0, 1, ALL) \
	X(movdiriq, "movdiri", ".byte 0x48,0x0f,0x38,0xf9,0x5f,0x10", 16, 8, 0, 1, ALL)

#define DEFINE_INSN(id, group, text, off, width, rd, wr, fl)			\
static noinline void insn_##id(void *p, struct regs *r)				\
{										\
	asm volatile("xorl %%edx, %%edx\n\t" text "\n\tpushf\n\tpop %%rdx"	\
		     : "+b" (r->b), "+a" (r->a), "=&d" (r->flags)		\
		     : "D" (p), "c" (5UL)					\
		     : "memory", "cc", "r9", "r12", "r13");			\
}

INSNS(DEFINE_INSN)

struct insn {
	const char *name;
	const char *group;
	void (*run)(void *p, struct regs *r);
	u32 off;
	u32 width;
	u32 reads;
	u32 writes;
	u64 flags;
};

#define TABLE_INSN(id, group, text, off, width, rd, wr, fl) \
	{ #id, group, insn_##id, off, width, rd, wr, fl },
static const struct insn insns[] = { INSNS(TABLE_INSN) };

static const struct regs operands[] = {
	{ 0x8877665544332211ULL, 0xffeeddccbbaa9988ULL },
	{ 0x00000000ffffffffULL, 0x7060504030201000ULL },
	{ 0x80000000000000ffULL, 0 },
};

/* Whether this CPU has it; the others it does all have. */
static bool available(const struct insn *insn)
{
	if (!strncmp(insn->group, "movbe", 5))
		return boot_cpu_has(X86_FEATURE_MOVBE);
	if (!strcmp(insn->group, "movdiri"))
		return boot_cpu_has(X86_FEATURE_MOVDIRI);
	return true;
}

static u64 truncate(u64 v, u32 width)
{
	return width == 8 ? v : v & ((1ULL << 8 * width) - 1);
}

static bool insn_log(struct vft *t, const struct insn *insn, u32 base, const u8 *after)
{
	struct vft_access want[4];
	u64 value = 0;
	u32 n = 0, i;

	memcpy(&value, after + insn->off, insn->width);
	/* One that is written twice was given its value by an instruction before. */
	if (insn->writes == 2)
		want[n++] = (struct vft_access){ 0, true, base + insn->off, 4, 0x33221100 };
	for (i = 0; i < insn->reads; i++)
		want[n++] = (struct vft_access){ 0, false, base + insn->off, insn->width };
	if (insn->writes)
		want[n++] = (struct vft_access){ 0, true, base + insn->off, insn->width,
						 truncate(value, insn->width) };
	return vft_log_is(t, want, n);
}

static bool insn_once(struct vft *t, const struct insn *insn, const struct regs *from, u8 *block)
{
	const u32 base = TESTDEV_RAM + 0x100;
	void __iomem *dev = vft_reg(t, base);
	/* The one with a large displacement. */
	u64 shift = !strcmp(insn->name, "mov_disp32") ? 0x12345 - 24 : 0;
	/* The one with a negative displacement. */
	u64 back = !strcmp(insn->name, "mov_negative") ? 16 : 0;
	struct regs cpu = *from, emu = *from;
	u8 after[BLOCK];
	unsigned int i;
	bool ok = true;

	for (i = 0; i < BLOCK; i++)
		block[i] = 0x91 + 29 * i;
	for (i = 0; i < BLOCK; i += 8)
		writeq(*(u64 *)(block + i), dev + i);
	insn->run(block - shift + back, &cpu);
	vft_log_start(t);
	insn->run((void __force *)dev - shift + back, &emu);
	ok = insn_log(t, insn, base, block);
	for (i = 0; i < BLOCK; i += 8)
		*(u64 *)(after + i) = readq(dev + i);

	if (memcmp(after, block, BLOCK)) {
		vft_note("memory is %*phN, the CPU makes it %*phN", 32, after, 32, block);
		ok = false;
	}
	if (cpu.a != emu.a || cpu.b != emu.b) {
		vft_note("rax %#llx rbx %#llx, the CPU makes them %#llx %#llx", emu.a, emu.b,
			 cpu.a, cpu.b);
		ok = false;
	}
	if ((cpu.flags ^ emu.flags) & insn->flags) {
		vft_note("flags %#llx, the CPU makes them %#llx, defined are %#llx", emu.flags,
			 cpu.flags, insn->flags);
		ok = false;
	}
	if (!ok)
		vft_note("... by %s from rax %#llx rbx %#llx", insn->name, from->a, from->b);
	return ok;
}

static void insn_movdir64b(struct vft *t, u8 *block)
{
	const u32 base = TESTDEV_RAM + 0x140;
	void __iomem *dev = vft_reg(t, base);
	struct vft_access want = { 0, true, base, 64 };
	unsigned int i;
	bool ok;

	if (!boot_cpu_has(X86_FEATURE_MOVDIR64B)) {
		vft_skip("movdir64b # SKIP the CPU does not have it");
		return;
	}
	for (i = 0; i < BLOCK; i++)
		block[i] = 3 + 5 * i;
	memcpy(&want.value, block, 8);
	vft_log_start(t);
	/* movdir64b (%rdx), %rax */
	asm volatile(".byte 0x66, 0x0f, 0x38, 0xf8, 0x02"
		     : : "a" (dev), "d" (block) : "memory");
	ok = vft_log_is(t, &want, 1);
	for (i = 0; i < BLOCK; i += 8)
		ok &= readq(dev + i) == *(u64 *)(block + i);
	vft_check(ok, "movdir64b");
}

/**
 * vft_insn() - case: all instructions but those on strings
 * @t: device
 */
void vft_insn(struct vft *t)
{
	u8 *block = kmalloc(2 * BLOCK, GFP_KERNEL);
	bool ok = true, any = false;
	unsigned int i, j;

	if (!block)
		return;
	for (i = 0; i < ARRAY_SIZE(insns); i++) {
		for (j = 0; available(&insns[i]) && j < ARRAY_SIZE(operands); j++) {
			any = true;
			ok &= insn_once(t, &insns[i], &operands[j], block);
		}
		if (i + 1 < ARRAY_SIZE(insns) && !strcmp(insns[i].group, insns[i + 1].group))
			continue;
		if (any)
			vft_check(ok, "%s", insns[i].group);
		else
			vft_skip("%s # SKIP the CPU does not have it", insns[i].group);
		ok = true;
		any = false;
	}
	insn_movdir64b(t, block);
	kfree(block);
}

/* ---- strings ---- */

struct string {
	u64 di;
	u64 si;
	u64 cx;
	u64 ax;
	u64 flags;
};

#define DEFINE_STRING(id, text, end)						\
static noinline void string_##id(struct string *s)				\
{										\
	asm volatile(text "\n\tpushf\n\tpop %%rdx" end				\
		     : "+D" (s->di), "+S" (s->si), "+c" (s->cx), "+a" (s->ax),	\
		       "=&d" (s->flags)						\
		     : : "memory", "cc");					\
}

#define STRING4(op, pre)				\
	DEFINE_STRING(op##b, "xorl %%edx, %%edx\n\t" pre #op "b", "")	\
	DEFINE_STRING(op##w, "xorl %%edx, %%edx\n\t" pre #op "w", "")	\
	DEFINE_STRING(op##l, "xorl %%edx, %%edx\n\t" pre #op "l", "")	\
	DEFINE_STRING(op##q, "xorl %%edx, %%edx\n\t" pre #op "q", "")	\
	static void (*const op##_fns[])(struct string *s) = {		\
		string_##op##b, string_##op##w, string_##op##l, string_##op##q,	\
	};

STRING4(movs, "rep ")
STRING4(stos, "rep ")
STRING4(lods, "rep ")
STRING4(scas, "repne ")
STRING4(cmps, "repe ")
DEFINE_STRING(movsb_down, "xorl %%edx, %%edx\n\t" "std\n\trep movsb", "\n\tcld")
DEFINE_STRING(movsl_down, "xorl %%edx, %%edx\n\t" "std\n\trep movsl", "\n\tcld")
DEFINE_STRING(stosw_down, "xorl %%edx, %%edx\n\t" "std\n\trep stosw", "\n\tcld")
DEFINE_STRING(movsl_once, "xorl %%edx, %%edx\n\t" "movsl", "")
DEFINE_STRING(stosb_once, "xorl %%edx, %%edx\n\t" "stosb", "")
DEFINE_STRING(lodsq_once, "xorl %%edx, %%edx\n\t" "lodsq", "")

/*
 * Two buffers of ordinary memory, and two of the device's with the same in them. An instruction
 * runs on the first two, and once for each choice of operands that are the device's.
 *
 * Between instructions the device's are as string_begin() made them: of what one has stored only so
 * much is compared and put back as it could reach, since each access is a message; that nothing else
 * has changed is what string_end() looks at.
 */
#define STRING_BYTES	2048

struct string_bufs {
	u8 *src;
	u8 *dst;
	u8 *copy;
	void __iomem *dev_src;
	void __iomem *dev_dst;
	u8 seed;	/* of the destination */
};

/* @from to @end: bytes, multiples of 8 */
static void string_put(void __iomem *to, const u8 *mem, u32 from, u32 end)
{
	for (; from < end; from += 8)
		writeq(*(const u64 *)(mem + from), to + from);
}

static bool string_same(const void __iomem *dev, const u8 *mem, u32 from, u32 end)
{
	for (; from < end; from += 8) {
		u64 v = readq(dev + from);

		if (v == *(const u64 *)(mem + from))
			continue;
		vft_note("at %#x: %#llx, the CPU makes it %#llx", from, v, *(const u64 *)(mem + from));
		return false;
	}
	return true;
}

static void string_fill(u8 *p, u8 seed)
{
	unsigned int i;

	for (i = 0; i < STRING_BYTES; i++)
		p[i] = seed + i * 13 + (i >> 8);
}

/* @same: the destination has in it what the source has */
static void string_begin(struct string_bufs *b, bool same)
{
	b->seed = same ? 1 : 77;
	string_fill(b->src, 1);
	string_fill(b->dst, b->seed);
	string_put(b->dev_src, b->src, 0, STRING_BYTES);
	string_put(b->dev_dst, b->dst, 0, STRING_BYTES);
}

static bool string_end(struct string_bufs *b)
{
	string_fill(b->dst, b->seed);
	return string_same(b->dev_src, b->src, 0, STRING_BYTES) &&
	       string_same(b->dev_dst, b->dst, 0, STRING_BYTES);
}

/* @at: where in the buffers; @which: bit 0: destination is the device's, bit 1: source is */
static bool string_once(struct string_bufs *b, void (*fn)(struct string *s), u32 at, u32 count,
			u64 ax, int which)
{
	struct string cpu = { .cx = count, .ax = ax }, emu = cpu;
	u32 from, end, di;
	bool ok = true;

	string_fill(b->src, 1);
	string_fill(b->dst, b->seed);
	memcpy(b->copy, b->dst, STRING_BYTES);
	cpu.di = (u64)(b->dst + at);
	cpu.si = (u64)(b->src + at);
	emu.di = which & 1 ? (__force u64)(b->dev_dst + at) : (u64)(b->copy + at);
	emu.si = which & 2 ? (__force u64)(b->dev_src + at) : cpu.si;
	fn(&cpu);
	fn(&emu);
	emu.di += which & 1 ? (u64)b->dst - (__force u64)b->dev_dst : (u64)b->dst - (u64)b->copy;
	emu.si += which & 2 ? (u64)b->src - (__force u64)b->dev_src : 0;
	if (cpu.di != emu.di || cpu.si != emu.si || cpu.cx != emu.cx || cpu.ax != emu.ax ||
	    (cpu.flags ^ emu.flags) & (ALL | X86_EFLAGS_DF)) {
		vft_note("di %llx si %llx cx %llx ax %llx flags %llx, the CPU: %llx %llx %llx %llx %llx",
			 emu.di, emu.si, emu.cx, emu.ax, emu.flags, cpu.di, cpu.si, cpu.cx, cpu.ax,
			 cpu.flags);
		ok = false;
	}
	if (which & 1) {
		/* from the first element to the last, an operand more on either side */
		di = cpu.di - (u64)b->dst;
		from = round_down(min(at, di) - 8, 8);
		end = round_up(max(at, di) + 16, 8);
		ok &= string_same(b->dev_dst, b->dst, from, end);
		string_fill(b->dst, b->seed);
		string_put(b->dev_dst, b->dst, from, end);
	} else {
		ok &= !memcmp(b->copy, b->dst, STRING_BYTES);
	}
	if (!ok)
		vft_note("... %u elements from %#x, operands %d", count, at, which);
	return ok;
}

/*
 * Longer than what is emulated in one fault, and not. The longest first: a stray store of a shorter one is not
 * put right by one that follows.
 */
static const u32 string_counts[] = { 200, 65, 64, 5, 1, 0 };

static void string_group(struct string_bufs *b, const char *name,
			 void (*const fns[])(struct string *s), int operands, bool same, u64 ax)
{
	unsigned int i, j;
	int which;
	bool ok = true;

	string_begin(b, same);
	for (i = 0; i < 4; i++) {
		for (j = 0; j < ARRAY_SIZE(string_counts); j++)
			for (which = 1; which <= 3; which++)
				if ((which & operands) == which)
					ok &= string_once(b, fns[i], 16 + i, string_counts[j], ax, which);
		ok &= string_end(b);
	}
	vft_check(ok, "%s", name);
}

/**
 * vft_strings() - case: string instructions, upwards and down
 * @t: device
 */
void vft_strings(struct vft *t)
{
	static const struct vft_access three[] = {
		{ 0, false, TESTDEV_RAM + 0x2010, 4 },
		{ 0, true, TESTDEV_RAM + 0x3010, 4, 0x11111111 },
		{ 0, false, TESTDEV_RAM + 0x2014, 4 },
		{ 0, true, TESTDEV_RAM + 0x3014, 4, 0x22222222 },
		{ 0, false, TESTDEV_RAM + 0x2018, 4 },
		{ 0, true, TESTDEV_RAM + 0x3018, 4, 0x33333333 },
	};
	struct string s = { .cx = 3 };
	struct string_bufs b = {
		.dev_src = vft_ram(t, 0x2000),
		.dev_dst = vft_ram(t, 0x3000),
	};
	bool ok = true;
	int i, which;

	b.src = kzalloc(3 * STRING_BYTES, GFP_KERNEL);
	if (!b.src)
		return;
	b.dst = b.src + STRING_BYTES;
	b.copy = b.dst + STRING_BYTES;

	string_group(&b, "rep_movs", movs_fns, 3, false, 0);
	string_group(&b, "rep_stos", stos_fns, 1, false, 0xa1b2c3d4e5f60718ULL);
	string_group(&b, "rep_lods", lods_fns, 2, false, 0x1122334455667788ULL);
	string_group(&b, "repne_scas", scas_fns, 1, false, 0);
	string_group(&b, "repe_cmps", cmps_fns, 3, true, 0);
	string_group(&b, "repe_cmps_differ", cmps_fns, 3, false, 0);
	string_begin(&b, false);
	for (which = 1; which <= 3; which++)
		ok &= string_once(&b, string_movsl_down, 500, 100, 0, which);
	ok &= string_once(&b, string_stosw_down, 501, 100, 0x5566, 1);
	for (which = 1; which <= 3; which++)
		ok &= string_once(&b, string_movsb_down, 500, 100, 0, which);
	vft_check(string_end(&b) && ok, "downwards");
	ok = true;
	for (which = 1; which <= 3; which++)
		ok &= string_once(&b, string_movsl_once, 32, 7, 0, which);
	ok &= string_once(&b, string_stosb_once, 33, 7, 0x77, 1);
	ok &= string_once(&b, string_lodsq_once, 34, 7, 0x77, 2);
	vft_check(string_end(&b) && ok, "without_rep");

	for (i = 0; i < 3; i++)
		writel(0x11111111 * (i + 1), b.dev_src + 16 + 4 * i);
	s.di = (__force u64)b.dev_dst + 16;
	s.si = (__force u64)b.dev_src + 16;
	vft_log_start(t);
	string_movsl(&s);
	vft_check(vft_log_is(t, three, ARRAY_SIZE(three)), "element_by_element");
	kfree(b.src);
}
