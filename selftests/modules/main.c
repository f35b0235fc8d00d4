// SPDX-License-Identifier: GPL-2.0-only
/*
 * The driver: binds to the test device, and runs cases that are written to debugfs.
 *
 *	echo CASE [NUMBER] > /sys/kernel/debug/vfu_test/run
 *	cat /sys/kernel/debug/vfu_test/result
 *
 * prints "ok NAME", "not ok NAME", "ok NAME # SKIP REASON" and "# NOTE" lines. /dev/vfu_test maps
 * the coherent memory of the last dma-mmap case.
 *
 * Locking: vft_lock protects vft_dev and the results. Unbinding waits for a case to end, since
 * vft_remove() takes the lock.
 */
#include <linux/debugfs.h>
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "vfu_test.h"

#define VFT_RESULT_MAX	SZ_256K

static DEFINE_MUTEX(vft_lock);
static struct vft *vft_dev;
static struct dentry *vft_dir;
static char *vft_result;
static size_t vft_len;

static const struct vft_case *const vft_cases[] = {
	vft_mmio_cases, vft_context_cases, vft_dma_cases, vft_irq_cases, vft_wait_cases,
	vft_bench_cases, vft_probe_cases, vft_register_cases,
};

/* ---- results ---- */

static __printf(2, 0) void vft_line(const char *head, const char *fmt, va_list args)
{
	vft_len += scnprintf(vft_result + vft_len, VFT_RESULT_MAX - vft_len, "%s", head);
	vft_len += vscnprintf(vft_result + vft_len, VFT_RESULT_MAX - vft_len, fmt, args);
	vft_len += scnprintf(vft_result + vft_len, VFT_RESULT_MAX - vft_len, "\n");
}

/**
 * vft_check() - report one result
 * @ok: is it as it should be?
 * @fmt: what
 *
 * Return: @ok.
 */
bool vft_check(bool ok, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vft_line(ok ? "ok " : "not ok ", fmt, args);
	va_end(args);
	return ok;
}

/**
 * vft_note() - something worth knowing when a check fails
 * @fmt: what
 */
void vft_note(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vft_line("# ", fmt, args);
	va_end(args);
}

/**
 * vft_skip() - report what cannot be checked on this machine
 * @fmt: what, followed by " # SKIP " and why
 */
void vft_skip(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vft_line("ok ", fmt, args);
	va_end(args);
}

/* ---- debugfs ---- */

static ssize_t vft_run_write(struct file *file, const char __user *buf, size_t count, loff_t *pos)
{
	const struct vft_case *c = NULL;
	char text[64], name[48];
	unsigned int arg = 0;
	int i, n;

	if (count >= sizeof(text))
		return -EINVAL;
	if (copy_from_user(text, buf, count))
		return -EFAULT;
	text[count] = '\0';
	n = sscanf(text, "%47s %u", name, &arg);
	if (n < 1)
		return -EINVAL;

	mutex_lock(&vft_lock);
	vft_len = 0;
	vft_result[0] = '\0';
	for (i = 0; i < ARRAY_SIZE(vft_cases) && (!c || !c->name); i++)
		for (c = vft_cases[i]; c->name; c++)
			if (!strcmp(c->name, name))
				break;
	if (!c || !c->name) {
		count = -ENOENT;
	} else if (!vft_dev) {
		count = -ENODEV;
	} else {
		vft_dev->arg = arg;
		c->run(vft_dev);
	}
	mutex_unlock(&vft_lock);
	return count;
}

static const struct file_operations vft_run_fops = {
	.owner	= THIS_MODULE,
	.open	= simple_open,
	.write	= vft_run_write,
};

static ssize_t vft_result_read(struct file *file, char __user *buf, size_t count, loff_t *pos)
{
	char *copy = kvmalloc(VFT_RESULT_MAX, GFP_KERNEL);
	ssize_t ret;
	size_t len;

	if (!copy)
		return -ENOMEM;
	/* To user space outside of the lock, which mmap() takes inside of mmap_lock. */
	mutex_lock(&vft_lock);
	len = vft_len;
	memcpy(copy, vft_result, len);
	mutex_unlock(&vft_lock);
	ret = simple_read_from_buffer(buf, count, pos, copy, len);
	kvfree(copy);
	return ret;
}

static const struct file_operations vft_result_fops = {
	.owner	= THIS_MODULE,
	.open	= simple_open,
	.read	= vft_result_read,
};

/* ---- /dev/vfu_test ---- */

static int vft_misc_mmap(struct file *file, struct vm_area_struct *vma)
{
	int ret = -ENODEV;

	mutex_lock(&vft_lock);
	if (vft_dev)
		ret = vft_mmap(vft_dev, vma);
	mutex_unlock(&vft_lock);
	return ret;
}

static const struct file_operations vft_misc_fops = {
	.owner	= THIS_MODULE,
	.mmap	= vft_misc_mmap,
};

static struct miscdevice vft_misc = {
	.minor	= MISC_DYNAMIC_MINOR,
	.name	= "vfu_test",
	.fops	= &vft_misc_fops,
};

/* ---- the driver ---- */

static void vft_unmap(struct vft *t)
{
	int i;

	for (i = 0; i < PCI_STD_NUM_BARS; i++)
		if (t->bar[i])
			pci_iounmap(t->pdev, t->bar[i]);
}

static int vft_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct vft *t;
	int i, ret;

	t = kzalloc(sizeof(*t), GFP_KERNEL);
	if (!t)
		return -ENOMEM;
	t->pdev = pdev;
	ret = pci_enable_device(pdev);
	if (ret)
		goto err_free;
	ret = pci_request_regions(pdev, "vfu_test");
	if (ret)
		goto err_disable;
	ret = -ENOMEM;
	for (i = 0; i < PCI_STD_NUM_BARS; i++) {
		if (!pci_resource_len(pdev, i))
			continue;
		t->bar[i] = pci_iomap(pdev, i, 0);
		if (!t->bar[i])
			goto err_unmap;
	}
	ret = -ENXIO;
	if (!t->bar[0] || readl(vft_reg(t, TESTDEV_ID)) != TESTDEV_MAGIC)
		goto err_unmap;
	ret = dma_set_mask_and_coherent(&pdev->dev, DMA_BIT_MASK(64));
	if (ret)
		goto err_unmap;
	pci_set_master(pdev);
	pci_set_drvdata(pdev, t);

	mutex_lock(&vft_lock);
	ret = vft_dev ? -EBUSY : 0;
	if (!ret)
		vft_dev = t;
	mutex_unlock(&vft_lock);
	if (!ret)
		return 0;

err_unmap:
	vft_unmap(t);
	pci_release_regions(pdev);
err_disable:
	pci_disable_device(pdev);
err_free:
	kfree(t);
	return ret;
}

static void vft_remove(struct pci_dev *pdev)
{
	struct vft *t = pci_get_drvdata(pdev);

	mutex_lock(&vft_lock);
	vft_dev = NULL;
	mutex_unlock(&vft_lock);
	vft_traffic_stop(t);
	vft_mmap_free(t);
	vft_unmap(t);
	pci_release_regions(pdev);
	pci_disable_device(pdev);
	kfree(t);
}

static const struct pci_device_id vft_ids[] = {
	{ PCI_DEVICE(TESTDEV_VENDOR, TESTDEV_DEVICE) },
	{ }
};
MODULE_DEVICE_TABLE(pci, vft_ids);

static struct pci_driver vft_driver = {
	.name		= "vfu_test",
	.id_table	= vft_ids,
	.probe		= vft_probe,
	.remove		= vft_remove,
};

static int __init vft_init(void)
{
	int ret;

	vft_result = kvzalloc(VFT_RESULT_MAX, GFP_KERNEL);
	if (!vft_result)
		return -ENOMEM;
	ret = misc_register(&vft_misc);
	if (ret)
		goto err_free;
	ret = pci_register_driver(&vft_driver);
	if (ret)
		goto err_misc;
	vft_dir = debugfs_create_dir("vfu_test", NULL);
	debugfs_create_file("run", 0200, vft_dir, NULL, &vft_run_fops);
	debugfs_create_file("result", 0400, vft_dir, NULL, &vft_result_fops);
	return 0;

err_misc:
	misc_deregister(&vft_misc);
err_free:
	kvfree(vft_result);
	return ret;
}
module_init(vft_init);

static void __exit vft_exit(void)
{
	debugfs_remove_recursive(vft_dir);
	pci_unregister_driver(&vft_driver);
	misc_deregister(&vft_misc);
	kvfree(vft_result);
}
module_exit(vft_exit);

MODULE_DESCRIPTION("Tests of vfiouser_pci from a driver's side");
MODULE_LICENSE("GPL");
