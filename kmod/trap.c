// SPDX-License-Identifier: GPL-2.0-only
/*
 * Hooks: how accesses of an unchanged kernel reach us.
 *
 * A few global functions get an ftrace handler of the kind that live patching
 * uses (IPMODIFY). It looks at the arguments, and only where they are about an
 * address of ours does it continue in our replacement; every other caller runs
 * the original. PERMANENT keeps ftrace from being turned off underneath.
 *
 *	ioremap*(), memremap()		vfu_mmio_map(): address space without pages
 *	iounmap()			vfu_mmio_unmap()
 *	fixup_exception()		vfu_mmio_fault(): emulate, "fixed"
 *	memremap_pages()		refused: struct pages for what is no memory
 *	pci_mmap_resource_range()	user mappings: direct pages or nothing
 *	pci_user_*_config_*()		lspci and the like, without the lock of all buses
 *	kprobe_fault_handler()		looked at: an instruction that is single-stepped
 *	arch_optimize_kprobes()		later, if it would write over an instruction that sleeps
 *	virtqueue_get_buf()		vfu_handback_next(): requests of a device that has gone
 *
 * fixup_exception() is called for each fault of the kernel that nothing else
 * handled, with the faulting registers; our replacement runs as an ordinary
 * function in its place.
 *
 * Lifetime: hooked while the module is loaded, the last one while vfu_trap_queues() says. Memory
 * that a driver still has mapped keeps the module from being unloaded; and a hook that cannot be
 * taken out keeps the module's text: ftrace turns itself off for good where it finds a bug
 * (ftrace_kill()).
 */
#include <linux/ftrace.h>
#include <linux/io.h>
#include <linux/kprobes.h>
#include <linux/memremap.h>
#include <linux/pci.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "arch.h"
#include "bridge.h"
#include "compat.h"
#include "config.h"
#include "device.h"
#include "handback.h"
#include "mmio.h"
#include "trap.h"
#include "window.h"

/*
 * One function; those that one registration has share its ops. Taking an ops out waits for
 * every task of the machine to have left what it may be running (synchronize_rcu_tasks()),
 * tenths of a second: not once for each function.
 */
struct vfu_hook {
	const char *name;
	/* where it is; not all are exported */
	void *entry;
	bool (*ours)(struct ftrace_regs *fregs);
	void *replacement;
	/* not every kernel has it; where somebody else has it loading fails all the same */
	bool optional;
	/* where it was found, 0 where it was not */
	unsigned long at;
};

struct vfu_hooks {
	struct ftrace_ops ops;
	struct vfu_hook *hooks;
	int nr;
	bool hooked;
};

/* ---- replacements; each has the signature of what it replaces, or less ---- */

static void __iomem *vfu_trap_ioremap(resource_size_t phys, unsigned long size)
{
	return vfu_mmio_map(phys, size);
}

static void vfu_trap_iounmap(void __iomem *addr)
{
	vfu_mmio_unmap(addr);
}

/*
 * The direct map would lead to where nothing is. Drivers that would like to use a BAR as
 * memory, such as nvme a controller memory buffer, do without.
 */
static __maybe_unused void *vfu_trap_pages(struct dev_pagemap *pgmap, int nid)
{
	return ERR_PTR(-EOPNOTSUPP);
}

static int vfu_trap_mmap(struct pci_dev *pdev, int bar, struct vm_area_struct *vma)
{
	return vfu_mmio_user_map(pdev, bar, vma);
}

/*
 * Config space for processes. The original spins under pci_lock with interrupts
 * off: that keeps a CPU from whoever has to answer, others that wait for the lock
 * keep theirs, and where these are all of them the device is lost. Here a process
 * can sleep as well.
 */
static int vfu_trap_user_read(struct pci_dev *pdev, int pos, int size, u32 *val)
{
	if (pos & (size - 1))
		return -EINVAL;
	vfu_config_read(vfu_dev_of_pci(pdev), pos, size, val);
	return 0;
}

static int vfu_trap_user_write(struct pci_dev *pdev, int pos, int size, u32 val)
{
	if (pos & (size - 1))
		return -EINVAL;
	vfu_config_write(vfu_dev_of_pci(pdev), pos, size, val);
	return 0;
}

#define VFU_TRAP_USER(name, type)							\
static int vfu_trap_user_read_##name(struct pci_dev *pdev, int pos, typeof(type) *val)		\
{											\
	u32 all = ~0U;									\
	int err = vfu_trap_user_read(pdev, pos, sizeof(type), &all);			\
											\
	*val = all;									\
	return err;									\
}											\
											\
static int vfu_trap_user_write_##name(struct pci_dev *pdev, int pos, type val)		\
{											\
	return vfu_trap_user_write(pdev, pos, sizeof(type), val);			\
}

VFU_TRAP_USER(byte, u8)
VFU_TRAP_USER(word, u16)
VFU_TRAP_USER(dword, u32)

/* ---- whose call is it? Preemption is off ---- */

static bool vfu_ours_phys(struct ftrace_regs *fregs)
{
	return vfu_window_find(vfu_arch_arg(fregs, 0));
}

static bool __maybe_unused vfu_ours_pages(struct ftrace_regs *fregs)
{
	const struct dev_pagemap *pgmap = (const struct dev_pagemap *)vfu_arch_arg(fregs, 0);

	return pgmap->nr_range && vfu_window_find(pgmap->range.start);
}

static bool vfu_ours_virt(struct ftrace_regs *fregs)
{
	return vfu_mmio_owns(vfu_arch_arg(fregs, 0));
}

static bool vfu_ours_fault(struct ftrace_regs *fregs)
{
	unsigned long addr;

	return vfu_arch_fault_addr(fregs, &addr) && vfu_mmio_owns(addr);
}

static bool vfu_ours_pci(struct ftrace_regs *fregs)
{
	return vfu_dev_of_pci((struct pci_dev *)vfu_arch_arg(fregs, 0));
}

/* While a reset keeps processes away the original knows how to wait. */
static bool vfu_ours_config(struct ftrace_regs *fregs)
{
	struct pci_dev *pdev = (struct pci_dev *)vfu_arch_arg(fregs, 0);

	return vfu_dev_of_pci(pdev) && !pdev->block_cfg_access;
}

static bool vfu_ours_queue(struct ftrace_regs *fregs)
{
	return vfu_handback_is((struct virtqueue *)vfu_arch_arg(fregs, 0));
}

#define VFU_HOOK(fn, ours, replacement, ...) { #fn, fn, ours, replacement, ##__VA_ARGS__ }
#define VFU_HOOK_IOREMAP(fn, may_lack)	VFU_HOOK(fn, vfu_ours_phys, vfu_trap_ioremap, may_lack)

#define VFU_HOOK_STEP	1

/* The one that each access goes through is the first to be looked at. */
static struct vfu_hook vfu_hook_list[] = {
	{ "fixup_exception", NULL, vfu_ours_fault, vfu_arch_fixup },
	[VFU_HOOK_STEP] = VFU_ARCH_HOOK_STEP,
	VFU_ARCH_HOOK_JUMPS,
	{ "pci_mmap_resource_range", NULL, vfu_ours_pci, vfu_trap_mmap },
	VFU_HOOK(iounmap, vfu_ours_virt, vfu_trap_iounmap),
	VFU_ARCH_IOREMAPS(VFU_HOOK_IOREMAP),
	VFU_HOOK(memremap, vfu_ours_phys, vfu_trap_ioremap),
#ifdef CONFIG_ZONE_DEVICE
	VFU_HOOK(memremap_pages, vfu_ours_pages, vfu_trap_pages, true),
#endif
	VFU_HOOK(pci_user_read_config_byte, vfu_ours_config, vfu_trap_user_read_byte),
	VFU_HOOK(pci_user_read_config_word, vfu_ours_config, vfu_trap_user_read_word),
	VFU_HOOK(pci_user_read_config_dword, vfu_ours_config, vfu_trap_user_read_dword),
	VFU_HOOK(pci_user_write_config_byte, vfu_ours_config, vfu_trap_user_write_byte),
	VFU_HOOK(pci_user_write_config_word, vfu_ours_config, vfu_trap_user_write_word),
	VFU_HOOK(pci_user_write_config_dword, vfu_ours_config, vfu_trap_user_write_dword),
};

static struct vfu_hooks vfu_hooks = {
	.hooks = vfu_hook_list,
	.nr = ARRAY_SIZE(vfu_hook_list),
};

static struct vfu_hook vfu_hook_queue[] = {
	{ "virtqueue_get_buf", NULL, vfu_ours_queue, vfu_handback_next },
};

/* Of a module that need not be there, and not before it is needed. */
static struct vfu_hooks vfu_hooks_queue = {
	.hooks = vfu_hook_queue,
	.nr = ARRAY_SIZE(vfu_hook_queue),
};

/* How far behind a function's first byte the call to ftrace may be: on x86 an endbr64. */
#define VFU_ENTRY_MAX	8

static const struct vfu_hook *notrace vfu_hook_at(const struct vfu_hooks *set, unsigned long ip)
{
	int i;

	for (i = 0; i < set->nr; i++) {
		if (ip - set->hooks[i].at <= VFU_ENTRY_MAX)
			return &set->hooks[i];
	}
	return NULL;
}

static void notrace vfu_trap(unsigned long ip, unsigned long parent_ip, struct ftrace_ops *ops,
			     struct ftrace_regs *fregs)
{
	const struct vfu_hook *hook = vfu_hook_at(container_of(ops, struct vfu_hooks, ops), ip);

	if (hook && vfu_arch_has_args(fregs) && hook->ours(fregs))
		vfu_arch_divert(fregs, hook->replacement);
}
/* Runs while a probe is being handled. */
NOKPROBE_SYMBOL(vfu_trap);
NOKPROBE_SYMBOL(vfu_hook_at);

/*
 * Where a function is: a probe that never becomes one is told. (ftrace knows names as well, and for
 * each one goes through all functions of the kernel and names them.)
 */
static unsigned long vfu_hook_find(const struct vfu_hook *hook)
{
	struct kprobe probe = { .symbol_name = hook->name, .flags = KPROBE_FLAG_DISABLED };

	if (hook->entry)
		return (unsigned long)hook->entry;
	/* Where a probe may not be, the address is told nevertheless. */
	if (!register_kprobe(&probe))
		unregister_kprobe(&probe);
	return (unsigned long)probe.addr;
}

static int vfu_ops_filter(struct ftrace_ops *ops, const struct vfu_hook *hook)
{
	return hook->at ? ftrace_set_filter_ip(ops, hook->at, 0, 0) : -ENOENT;
}

static int vfu_ops_register(struct ftrace_ops *ops)
{
	int err;

	ops->func = vfu_trap;
	/* RECURSION: and preemption is off in the handlers, which call nothing that is hooked. */
	ops->flags = VFU_ARCH_HOOK_FLAGS | FTRACE_OPS_FL_RECURSION |
		     FTRACE_OPS_FL_IPMODIFY | FTRACE_OPS_FL_PERMANENT;
	err = register_ftrace_function(ops);
	if (err)
		ftrace_free_filter(ops);
	return err;
}

/* Which one of a set cannot be hooked: each is asked alone, by a set without hooks to call. */
static const char *vfu_hook_culprit(const struct vfu_hooks *set)
{
	struct vfu_hooks *one;
	const char *name = NULL;
	int i;

	one = kzalloc(sizeof(*one), GFP_KERNEL);
	for (i = 0; one && i < set->nr && !name; i++) {
		memset(one, 0, sizeof(*one));
		if (vfu_ops_filter(&one->ops, &set->hooks[i]))
			continue;
		if (vfu_ops_register(&one->ops)) {
			name = set->hooks[i].name;
			continue;
		}
		/* ftrace has turned itself off in between, and goes on calling this one */
		if (unregister_ftrace_function(&one->ops))
			return set->hooks[i].name;
		ftrace_free_filter(&one->ops);
	}
	kfree(one);
	return name ?: set->hooks[0].name;
}

/* A set has one hook at least that is not optional: without a filter it would be all functions. */
static int vfu_hooks_add(struct vfu_hooks *set)
{
	const char *name;
	int i, err;

	for (i = 0; i < set->nr; i++) {
		name = set->hooks[i].name;
		set->hooks[i].at = vfu_hook_find(&set->hooks[i]);
		err = vfu_ops_filter(&set->ops, &set->hooks[i]);
		if (!err)
			continue;
		set->hooks[i].at = 0;
		if (!set->hooks[i].optional) {
			ftrace_free_filter(&set->ops);
			goto out_say;
		}
	}
	err = vfu_ops_register(&set->ops);
	if (!err) {
		set->hooked = true;
		return 0;
	}
	name = vfu_hook_culprit(set);
out_say:
	pr_err("vfiouser_pci: cannot hook %s(): error %d (is ftrace enabled?)\n", name, err);
	return err;
}

/**
 * vfu_trap_sees_probes() - does vfu_arch_text_fault() see each fault in a kprobe?
 *
 * Return: false on a kernel without the function.
 */
bool vfu_trap_sees_probes(void)
{
	return vfu_hook_list[VFU_HOOK_STEP].at;
}

static int vfu_hooks_remove(struct vfu_hooks *set)
{
	int err = set->hooked ? unregister_ftrace_function(&set->ops) : 0;

	if (!set->hooked || err)
		return err;
	ftrace_free_filter(&set->ops);
	set->hooked = false;
	return 0;
}

/**
 * vfu_trap_queues() - hook what virtio drivers ask for finished requests, or let go of it
 * @on: which
 *
 * Context: may sleep; one call at a time, and none at the same time as vfu_trap_exit().
 * Return: 0 or a negative errno: it is as it was.
 */
int vfu_trap_queues(bool on)
{
	struct vfu_hooks *set = &vfu_hooks_queue;

	if (!on)
		return vfu_hooks_remove(set);
	return set->hooked ? 0 : vfu_hooks_add(set);
}

/**
 * vfu_trap_init() - hook the functions
 *
 * Context: may sleep.
 * Return: 0 or a negative errno; -EBUSY where live patching or another module
 * has one of them, or ftrace is off.
 */
int vfu_trap_init(void)
{
	return vfu_hooks_add(&vfu_hooks);
}

/**
 * vfu_trap_exit() - undo vfu_trap_init()
 *
 * Context: may sleep. No call is inside a replacement afterwards. Does not return if that cannot be
 * had.
 */
void vfu_trap_exit(void)
{
	int err;

	err = vfu_hooks_remove(&vfu_hooks_queue) ?: vfu_hooks_remove(&vfu_hooks);
	if (err) {
		pr_err("vfiouser_pci: ftrace has been turned off by a bug elsewhere (error %d): the module's functions are still called, it stays until the next boot\n",
		       err);
		/* An exit function cannot fail; and what follows frees what the hooks call. */
		for (;;)
			schedule_timeout_idle(MAX_SCHEDULE_TIMEOUT);
	}
	/* A replacement may have been entered and be preempted in its first instructions. */
	synchronize_rcu_tasks();
}
