// SPDX-License-Identifier: GPL-2.0-only
/*
 * vfu_patch: a live patch of one of the functions that vfiouser_pci hooks.
 *
 * It is in force from loading on, and can be unloaded when it was turned off in
 * /sys/kernel/livepatch/vfu_patch/enabled. ioremap_wt() then maps uncached, as it may.
 *
 * Locking: none.
 */
#include <linux/io.h>
#include <linux/livepatch.h>
#include <linux/module.h>

static void __iomem *patch_ioremap_wt(resource_size_t phys, unsigned long size)
{
	return ioremap(phys, size);
}

static struct klp_func patch_funcs[] = {
	{ .old_name = "ioremap_wt", .new_func = patch_ioremap_wt },
	{ }
};

static struct klp_object patch_objs[] = {
	{ .funcs = patch_funcs },
	{ }
};

static struct klp_patch patch = {
	.mod	= THIS_MODULE,
	.objs	= patch_objs,
};

static int __init patch_init(void)
{
	return klp_enable_patch(&patch);
}

static void __exit patch_exit(void)
{
}

module_init(patch_init);
module_exit(patch_exit);
MODULE_DESCRIPTION("A live patch, for tests");
MODULE_LICENSE("GPL");
MODULE_INFO(livepatch, "Y");
