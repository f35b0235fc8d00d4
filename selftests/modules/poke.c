// SPDX-License-Identifier: GPL-2.0-only
/*
 * vfu_poke: reads and writes of a BAR by hand, on the device of vfiouser-iofd.
 *
 *	echo w SIZE OFFSET VALUE > /sys/kernel/debug/vfu_poke	one store of SIZE bytes
 *	echo W SIZE OFFSET VALUE > ...				the same with interrupts off
 *	echo c SIZE OFFSET VALUE > ...				SIZE bytes VALUE, by memset_io()
 *	echo r SIZE OFFSET > ...; cat /sys/kernel/debug/vfu_poke	one load
 *	echo R SIZE OFFSET > ...; cat ...			the same with interrupts off
 *
 * It registers a netlink family as well, with nothing in it: as any other module of the host might.
 *
 * Locking: poke_lock; unbinding takes it, so that no access is under way then.
 */
#include <linux/debugfs.h>
#include <linux/io.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/uaccess.h>
#include <net/genetlink.h>

#include "iofd.h"

static DEFINE_MUTEX(poke_lock);
static void __iomem *poke_bar;
static u64 poke_value;
static struct dentry *poke_file;

static int poke_store(void __iomem *at, unsigned int size, u64 value)
{
	switch (size) {
	case 1:
		writeb(value, at);
		break;
	case 2:
		writew(value, at);
		break;
	case 4:
		writel(value, at);
		break;
	case 8:
		writeq(value, at);
		break;
	default:
		return -EINVAL;
	}
	return 0;
}

static int poke_load(void __iomem *at, unsigned int size)
{
	switch (size) {
	case 1:
		poke_value = readb(at);
		break;
	case 2:
		poke_value = readw(at);
		break;
	case 4:
		poke_value = readl(at);
		break;
	case 8:
		poke_value = readq(at);
		break;
	default:
		return -EINVAL;
	}
	return 0;
}

static int poke(char op, unsigned int size, u32 offset, u64 value)
{
	unsigned long flags;
	int ret;

	if (!poke_bar)
		return -ENODEV;
	if (offset >= IOFD_BAR_SIZE || size > IOFD_BAR_SIZE - offset)
		return -EINVAL;
	switch (op) {
	case 'r':
		return poke_load(poke_bar + offset, size);
	case 'R':
		local_irq_save(flags);
		ret = poke_load(poke_bar + offset, size);
		local_irq_restore(flags);
		return ret;
	case 'w':
		return poke_store(poke_bar + offset, size, value);
	case 'W':
		local_irq_save(flags);
		ret = poke_store(poke_bar + offset, size, value);
		local_irq_restore(flags);
		return ret;
	case 'c':
		memset_io(poke_bar + offset, value, size);
		return 0;
	}
	return -EINVAL;
}

static ssize_t poke_write(struct file *file, const char __user *buf, size_t count, loff_t *pos)
{
	unsigned int size;
	char text[64], op;
	u64 value = 0;
	u32 offset;
	int ret;

	if (count >= sizeof(text))
		return -EINVAL;
	if (copy_from_user(text, buf, count))
		return -EFAULT;
	text[count] = '\0';
	if (sscanf(text, "%c %u %i %lli", &op, &size, &offset, &value) < 3)
		return -EINVAL;
	mutex_lock(&poke_lock);
	ret = poke(op, size, offset, value);
	mutex_unlock(&poke_lock);
	return ret ?: count;
}

static ssize_t poke_read(struct file *file, char __user *buf, size_t count, loff_t *pos)
{
	char text[32];
	int n;

	mutex_lock(&poke_lock);
	n = scnprintf(text, sizeof(text), "0x%llx\n", poke_value);
	mutex_unlock(&poke_lock);
	return simple_read_from_buffer(buf, count, pos, text, n);
}

static const struct file_operations poke_fops = {
	.owner	= THIS_MODULE,
	.open	= simple_open,
	.read	= poke_read,
	.write	= poke_write,
};

static int poke_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	void __iomem *bar;
	int ret;

	ret = pci_enable_device(pdev);
	if (ret)
		return ret;
	ret = -ENOMEM;
	bar = pci_iomap(pdev, 0, 0);
	if (!bar)
		goto err_disable;
	mutex_lock(&poke_lock);
	ret = poke_bar ? -EBUSY : 0;
	if (!ret)
		poke_bar = bar;
	mutex_unlock(&poke_lock);
	if (!ret)
		return 0;
	pci_iounmap(pdev, bar);
err_disable:
	pci_disable_device(pdev);
	return ret;
}

static void poke_remove(struct pci_dev *pdev)
{
	void __iomem *bar;

	mutex_lock(&poke_lock);
	bar = poke_bar;
	poke_bar = NULL;
	mutex_unlock(&poke_lock);
	pci_iounmap(pdev, bar);
	pci_disable_device(pdev);
}

static const struct pci_device_id poke_ids[] = {
	{ PCI_DEVICE(IOFD_VENDOR, IOFD_DEVICE) },
	{ }
};
MODULE_DEVICE_TABLE(pci, poke_ids);

static struct pci_driver poke_driver = {
	.name		= "vfu_poke",
	.id_table	= poke_ids,
	.probe		= poke_probe,
	.remove		= poke_remove,
};

static struct genl_family poke_family __ro_after_init = {
	.name		= "vfu_poke",
	.version	= 1,
	.module		= THIS_MODULE,
};

static int __init poke_init(void)
{
	int ret = genl_register_family(&poke_family);

	if (ret)
		return ret;
	ret = pci_register_driver(&poke_driver);
	if (ret) {
		genl_unregister_family(&poke_family);
		return ret;
	}
	poke_file = debugfs_create_file("vfu_poke", 0600, NULL, NULL, &poke_fops);
	return 0;
}
module_init(poke_init);

static void __exit poke_exit(void)
{
	debugfs_remove(poke_file);
	pci_unregister_driver(&poke_driver);
	genl_unregister_family(&poke_family);
}
module_exit(poke_exit);

MODULE_DESCRIPTION("Accesses to a BAR by hand");
MODULE_LICENSE("GPL");
