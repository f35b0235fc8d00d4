// SPDX-License-Identifier: GPL-2.0-only
/*
 * Instructions that access a register and are not what stands in the text, and those that are allowed
 * to fail: probed ones, single-stepped or behind a jump; one that sleeps while a probe is put on it;
 * copies between a device and a process. And ftrace, that turns itself off.
 */
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/kprobes.h>
#include <linux/kthread.h>
#include <linux/mman.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <asm/asm.h>
#include <asm/ibt.h>
#include <asm/linkage.h>

#include "vfu_test.h"

#define SLEEP_S		2
#define SLOW_MS		20
#define WAIT_S		30
#define WORDS		200
#define JUMP		0xe9

asm(".pushsection .text\n"
	".type vft_probed_load, @function\n"
	".globl vft_probed_load\n"
"vft_probed_load:\n"
	ASM_ENDBR
	"movl (%rdi), %eax\n"
	"leal 1(%rax), %eax\n"
	"leal 1(%rax), %eax\n"
	ASM_RET
	".size vft_probed_load, . - vft_probed_load\n"
	".type vft_probed_store, @function\n"
	".globl vft_probed_store\n"
"vft_probed_store:\n"
	ASM_ENDBR
	"movl %esi, (%rdi)\n"
	"leal 1(%rax), %eax\n"
	"leal 1(%rax), %eax\n"
	ASM_RET
	".size vft_probed_store, . - vft_probed_store\n"
	".type vft_probed_copy, @function\n"
	".globl vft_probed_copy\n"
"vft_probed_copy:\n"
	ASM_ENDBR
	"rep movsl\n"
	"leal 1(%rax), %eax\n"
	"leal 1(%rax), %eax\n"
	ASM_RET
	".size vft_probed_copy, . - vft_probed_copy\n"
	".popsection\n");

/* What the function returns for a register's value. */
static u32 loaded(u32 value)
{
	return value + 2;
}

struct probe {
	struct kprobe kp;
	atomic_t hits;
	struct vft *nested;	/* its handler stores there */
};

static int probe_hit(struct kprobe *kp, struct pt_regs *regs)
{
	struct probe *p = container_of(kp, struct probe, kp);

	atomic_inc(&p->hits);
	if (p->nested)
		vft_probed_store(vft_ram(p->nested, 8), 0x77665544);
	return 0;
}

static bool is_jump(const struct probe *p)
{
	return *(const u8 *)p->kp.addr == JUMP;
}

static bool becomes_jump(const struct probe *p)
{
	int i;

	for (i = 0; i < 50 * WAIT_S && !is_jump(p); i++)
		msleep(20);
	return is_jump(p);
}

static void probed_accesses(struct vft *t, struct probe probes[3])
{
	unsigned long switches, flags;
	u32 *copy, i;
	bool ok = true;

	writel(0x1234, vft_ram(t, 0));
	vft_check(vft_probed_load(vft_ram(t, 0)) == loaded(0x1234), "a read");
	vft_probed_store(vft_ram(t, 4), 0x5678);
	vft_check(readl(vft_ram(t, 4)) == 0x5678, "a write");
	vft_check(atomic_read(&probes[0].hits) == 1 && atomic_read(&probes[1].hits) == 1,
		  "are seen by their probes");
	local_irq_save(flags);
	ok = vft_probed_load(vft_ram(t, 0)) == loaded(0x1234) && irqs_disabled();
	local_irq_restore(flags);
	vft_check(ok, "a read with interrupts off");

	/* The handler of a breakpoint is an NMI to the kernel, and so to us: it reaches nothing. */
	writel(0, vft_ram(t, 8));
	probes[0].nested = t;
	vft_check(vft_probed_load(vft_ram(t, 0)) == loaded(0x1234), "a read in whose probe");
	vft_check(readl(vft_ram(t, 8)) == (t->arg ? 0x77665544 : 0), "there is a probed write");
	probes[0].nested = NULL;

	copy = kcalloc(WORDS, sizeof(*copy), GFP_KERNEL);
	if (!copy)
		return;
	for (i = 0; i < WORDS; i++)
		writel(i * 0x01010101, vft_ram(t, 4 * i));
	vft_probed_copy(copy, (__force void *)vft_ram(t, 0), 0, WORDS);
	for (i = 0, ok = true; i < WORDS; i++)
		ok &= copy[i] == i * 0x01010101;
	vft_check(ok && atomic_read(&probes[2].hits), "a string");
	kfree(copy);

	writel(1000 * SLOW_MS, vft_reg(t, TESTDEV_SLOW_US));
	writel(0x4711, vft_reg(t, TESTDEV_SLOW));
	readl(vft_reg(t, TESTDEV_ID));
	switches = current->nvcsw;
	ok = vft_probed_load(vft_reg(t, TESTDEV_SLOW)) == loaded(0x4711);
	vft_check(ok && (!is_jump(&probes[0]) || current->nvcsw == switches),
		  "a slow one, asleep only where nobody frees the instruction meanwhile");
	writel(0, vft_reg(t, TESTDEV_SLOW_US));
	vft_check(!irqs_disabled() && !preempt_count(), "nothing is left turned off");
}

/* Argument: 1 if the probes are to become jumps, 0 if they are to be single-stepped. */
static void run_probed(struct vft *t)
{
	static const char *const names[] = {
		"vft_probed_load", "vft_probed_store", "vft_probed_copy",
	};
	struct probe probes[3] = { };
	bool ok = true;
	int i, n;

	for (n = 0; n < ARRAY_SIZE(probes); n++) {
		probes[n].kp.symbol_name = names[n];
		probes[n].kp.pre_handler = probe_hit;
		if (register_kprobe(&probes[n].kp))
			break;
	}
	if (vft_check(n == ARRAY_SIZE(probes), "probes are put")) {
		for (i = 0; i < n; i++)
			ok &= t->arg ? becomes_jump(&probes[i]) : !is_jump(&probes[i]);
		vft_check(ok, t->arg ? "they become jumps" : "they stay breakpoints");
		probed_accesses(t, probes);
	}
	while (n--)
		unregister_kprobe(&probes[n].kp);
	writel(0x4321, vft_ram(t, 0));
	vft_check(vft_probed_load(vft_ram(t, 0)) == loaded(0x4321), "without a probe again");
}

struct sleeper {
	struct vft *t;
	u32 value;
	struct completion done;
};

static int sleeper_thread(void *data)
{
	struct sleeper *s = data;

	s->value = vft_probed_load(vft_reg(s->t, TESTDEV_SLOW));
	complete(&s->done);
	return 0;
}

/* What comes behind an instruction must stay while it sleeps: a jump there would be met in its middle. */
static void run_probe_asleep(struct vft *t)
{
	struct probe p = { .kp = { .symbol_name = "vft_probed_load", .pre_handler = probe_hit } };
	struct sleeper s = { .t = t };
	struct task_struct *task;
	bool jump = false;

	init_completion(&s.done);
	writel(0x900d, vft_reg(t, TESTDEV_SLOW));
	writel(1000000 * SLEEP_S, vft_reg(t, TESTDEV_SLOW_US));
	readl(vft_reg(t, TESTDEV_ID));
	task = kthread_run(sleeper_thread, &s, "vfu_probed");
	if (!vft_check(!IS_ERR(task), "a thread reads"))
		return;
	while (READ_ONCE(task->__state) == TASK_RUNNING && !completion_done(&s.done))
		usleep_range(500, 1000);
	if (vft_check(!register_kprobe(&p.kp), "a probe is put on what sleeps")) {
		while (!completion_done(&s.done)) {
			jump |= is_jump(&p);
			usleep_range(500, 1000);
		}
		vft_check(!jump, "it does not become a jump");
		wait_for_completion(&s.done);
		vft_check(s.value == loaded(0x900d), "the read ends as it should");
		vft_check(becomes_jump(&p), "then it does");
		unregister_kprobe(&p.kp);
	} else {
		wait_for_completion(&s.done);
	}
	writel(0, vft_reg(t, TESTDEV_SLOW_US));
}

/* ---- instructions that may fail ---- */

#define COPY_BYTES	300
#define COPY_AT		(PAGE_SIZE - 100)

static bool user_copies(struct vft *t, void __user *at)
{
	void *dev = (__force void *)vft_ram(t, 0x101);
	u8 buf[64];
	bool ok;
	u32 i;

	for (i = 0; i < COPY_BYTES; i++)
		writeb(i * 7, vft_ram(t, 0x101 + i));
	ok = !copy_to_user(at, dev, COPY_BYTES);
	for (i = 0; i + sizeof(buf) <= COPY_BYTES; i += sizeof(buf)) {
		ok &= !copy_from_user(buf, at + i, sizeof(buf));
		ok &= buf[0] == (u8)(i * 7) && buf[63] == (u8)((i + 63) * 7);
	}
	vft_check(ok, "a device's memory to a process");

	for (i = 0; i < COPY_BYTES; i++)
		writeb(0, vft_ram(t, 0x101 + i));
	ok = !copy_from_user(dev, at, COPY_BYTES);
	for (i = 0; i < COPY_BYTES; i++)
		ok &= readb(vft_ram(t, 0x101 + i)) == (u8)(i * 7);
	return vft_check(ok, "and back");
}

static void run_fixups(struct vft *t)
{
	unsigned long user = vm_mmap(NULL, 0, 3 * PAGE_SIZE, PROT_READ | PROT_WRITE,
				     MAP_PRIVATE | MAP_ANONYMOUS, 0);
	void *dev = (__force void *)vft_ram(t, 0);
	bool fixed = false;
	u32 word = 0, mxcsr;
	unsigned long left;

	writel(0xabcdef, vft_ram(t, 0));
	vft_check(!copy_from_kernel_nofault(&word, dev, sizeof(word)) && word == 0xabcdef,
		  "a read that may fail");
	asm volatile("1: ldmxcsr (%[dev])\n"
		     "	jmp 3f\n"
		     "2: movb $1, %[fixed]\n"
		     "3:\n"
		     _ASM_EXTABLE(1b, 2b)
		     : [fixed] "+m" (fixed), "=m" (mxcsr) : [dev] "r" (dev));
	vft_check(fixed, "an instruction that is not emulated fails as it is prepared for");
	if (!vft_check(!IS_ERR_VALUE(user), "memory of a process"))
		return;
	user_copies(t, (void __user *)user + COPY_AT);
	vm_munmap(user + PAGE_SIZE, PAGE_SIZE);
	left = copy_to_user((void __user *)user + COPY_AT, dev, COPY_BYTES);
	vft_check(left == COPY_BYTES - 100, "to a process, until its memory ends: %lu left", left);
	left = copy_from_user(dev, (void __user *)user + COPY_AT, COPY_BYTES);
	vft_check(left == COPY_BYTES - 100, "from a process, until its memory ends: %lu left", left);
	pagefault_disable();
	left = __copy_to_user_inatomic((void __user *)user + 2 * PAGE_SIZE, dev, 4);
	pagefault_enable();
	vft_check(left == 4, "to a page that is not there, where that may not be waited for");
	vm_munmap(user, PAGE_SIZE);
	vm_munmap(user + 2 * PAGE_SIZE, PAGE_SIZE);
	vft_check(readl(vft_reg(t, TESTDEV_ID)) == TESTDEV_MAGIC, "the device goes on");
}

/* ---- and ftrace ---- */

/* As it does to itself where it finds a bug, for good. */
static void run_ftrace_kill(struct vft *t)
{
	struct kprobe kp = { .symbol_name = "ftrace_kill" };
	void (*kill)(void);

	if (!vft_check(!register_kprobe(&kp), "ftrace_kill() is found"))
		return;
	kill = (void (*)(void))kp.addr;
	unregister_kprobe(&kp);
	kill();
	vft_check(readl(vft_reg(t, TESTDEV_ID)) == TESTDEV_MAGIC, "hooks go on without ftrace");
}

const struct vft_case vft_probe_cases[] = {
	{ "probed", run_probed },
	{ "probe-asleep", run_probe_asleep },
	{ "fixups", run_fixups },
	{ "ftrace-kill", run_ftrace_kill },
	{ }
};
