// SPDX-License-Identifier: GPL-2.0-only
/*
 * vfu_hook: somebody else who watches a function of the kernel, while it is loaded.
 *
 *	modprobe vfu_hook kind=KIND func=NAME
 *
 * KIND is kprobe; kprobe-post, with a handler after the instruction too; kretprobe; ftrace, a
 * handler that sees the registers; or ipmodify, one that may send the call elsewhere, which
 * only one can. "hits" counts calls. Nothing but the counter changes.
 *
 * Locking: none; the counter is atomic.
 */
#include <linux/atomic.h>
#include <linux/ftrace.h>
#include <linux/kprobes.h>
#include <linux/module.h>

static char *kind = "kprobe";
module_param(kind, charp, 0444);
MODULE_PARM_DESC(kind, "kprobe, kprobe-post, kretprobe, ftrace or ipmodify");

static char *func = "ioremap";
module_param(func, charp, 0444);
MODULE_PARM_DESC(func, "the function");

static atomic_long_t hook_hits;

static int hook_hits_get(char *buffer, const struct kernel_param *kp)
{
	return sysfs_emit(buffer, "%ld\n", atomic_long_read(&hook_hits));
}

static const struct kernel_param_ops hook_hits_ops = { .get = hook_hits_get };
module_param_cb(hits, &hook_hits_ops, NULL, 0444);
MODULE_PARM_DESC(hits, "calls so far");

static int hook_pre(struct kprobe *p, struct pt_regs *regs)
{
	atomic_long_inc(&hook_hits);
	return 0;
}

static void hook_post(struct kprobe *p, struct pt_regs *regs, unsigned long flags)
{
}

static int hook_return(struct kretprobe_instance *ri, struct pt_regs *regs)
{
	atomic_long_inc(&hook_hits);
	return 0;
}

static void notrace hook_ftrace(unsigned long ip, unsigned long parent_ip, struct ftrace_ops *ops,
				struct ftrace_regs *fregs)
{
	atomic_long_inc(&hook_hits);
}

static struct kprobe hook_kprobe = { .pre_handler = hook_pre };
static struct kretprobe hook_kretprobe = { .handler = hook_return, .maxactive = 64 };
static struct ftrace_ops hook_ops = {
	.func	= hook_ftrace,
	.flags	= FTRACE_OPS_FL_SAVE_REGS | FTRACE_OPS_FL_RECURSION,
};

static int __init hook_init(void)
{
	int err;

	if (!strcmp(kind, "kprobe") || !strcmp(kind, "kprobe-post")) {
		hook_kprobe.symbol_name = func;
		if (kind[6])
			hook_kprobe.post_handler = hook_post;
		return register_kprobe(&hook_kprobe);
	}
	if (!strcmp(kind, "kretprobe")) {
		hook_kretprobe.kp.symbol_name = func;
		return register_kretprobe(&hook_kretprobe);
	}
	if (!strcmp(kind, "ipmodify"))
		hook_ops.flags |= FTRACE_OPS_FL_IPMODIFY;
	else if (strcmp(kind, "ftrace"))
		return -EINVAL;
	err = ftrace_set_filter(&hook_ops, (unsigned char *)func, strlen(func), 1);
	if (err)
		return err;
	err = register_ftrace_function(&hook_ops);
	if (err)
		ftrace_free_filter(&hook_ops);
	return err;
}

static void __exit hook_exit(void)
{
	if (!strncmp(kind, "kprobe", 6)) {
		unregister_kprobe(&hook_kprobe);
	} else if (!strcmp(kind, "kretprobe")) {
		unregister_kretprobe(&hook_kretprobe);
	} else {
		unregister_ftrace_function(&hook_ops);
		ftrace_free_filter(&hook_ops);
	}
}

module_init(hook_init);
module_exit(hook_exit);
MODULE_DESCRIPTION("Watches a function of the kernel, for tests");
MODULE_LICENSE("GPL");
