// SPDX-License-Identifier: GPL-2.0-only
/*
 * A driver to learn from, for the device of adder.c: nothing in it knows of vfio-user.
 *
 *	# echo 2 3 >/sys/bus/pci/devices/.../sum; cat /sys/bus/pci/devices/.../sum
 *	5
 */
#include <linux/completion.h>
#include <linux/interrupt.h>
#include <linux/io.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pci.h>

#define REG_ID	0x00
#define REG_A	0x04
#define REG_B	0x08
#define REG_SUM	0x0c
#define ID	0x31444441

struct adder {
	void __iomem *regs;
	struct mutex lock;	/* one sum at a time */
	struct completion added;
};

static irqreturn_t adder_irq(int irq, void *data)
{
	struct adder *adder = data;

	complete(&adder->added);
	return IRQ_HANDLED;
}

static ssize_t sum_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct adder *adder = dev_get_drvdata(dev);

	return sysfs_emit(buf, "%u\n", readl(adder->regs + REG_SUM));
}

static ssize_t sum_store(struct device *dev, struct device_attribute *attr, const char *buf,
			 size_t count)
{
	struct adder *adder = dev_get_drvdata(dev);
	ssize_t ret = count;
	u32 a, b;

	if (sscanf(buf, "%u %u", &a, &b) != 2)
		return -EINVAL;
	mutex_lock(&adder->lock);
	reinit_completion(&adder->added);
	writel(a, adder->regs + REG_A);
	writel(b, adder->regs + REG_B);
	if (!wait_for_completion_timeout(&adder->added, 10 * HZ))
		ret = -ETIMEDOUT;
	mutex_unlock(&adder->lock);
	return ret;
}
static DEVICE_ATTR_RW(sum);

static struct attribute *adder_attrs[] = { &dev_attr_sum.attr, NULL };
ATTRIBUTE_GROUPS(adder);

static int adder_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct adder *adder;
	int err;

	adder = devm_kzalloc(&pdev->dev, sizeof(*adder), GFP_KERNEL);
	if (!adder)
		return -ENOMEM;
	mutex_init(&adder->lock);
	init_completion(&adder->added);
	pci_set_drvdata(pdev, adder);

	err = pcim_enable_device(pdev);
	if (err)
		return err;
	err = pcim_iomap_regions(pdev, BIT(0), "adder");
	if (err)
		return err;
	adder->regs = pcim_iomap_table(pdev)[0];
	if (readl(adder->regs + REG_ID) != ID)
		return -ENODEV;
	/* for MSI, which is a write by the device */
	pci_set_master(pdev);
	err = pci_alloc_irq_vectors(pdev, 1, 1, PCI_IRQ_MSI);
	if (err < 0)
		return err;
	return devm_request_irq(&pdev->dev, pci_irq_vector(pdev, 0), adder_irq, 0, "adder", adder);
}

static const struct pci_device_id adder_ids[] = {
	{ PCI_DEVICE(0x7576, 0x0add) },
	{ }
};
MODULE_DEVICE_TABLE(pci, adder_ids);

static struct pci_driver adder_driver = {
	.name = "adder",
	.id_table = adder_ids,
	.probe = adder_probe,
	.dev_groups = adder_groups,
};
module_pci_driver(adder_driver);

MODULE_DESCRIPTION("adds two numbers, slowly");
MODULE_LICENSE("GPL");
