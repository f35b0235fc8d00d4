// SPDX-License-Identifier: GPL-2.0-only
/*
 * A device model to learn from: a PCI device that adds two numbers.
 *
 *	BAR 0, 4 KiB
 *	0x00	identification, "ADD1"		read
 *	0x04	first number			read and write
 *	0x08	second number; a write adds	read and write
 *	0x0c	the sum				read
 *
 * When the sum is there, MSI vector 0 is raised. The library (servers/lib/vfus.h) has the
 * socket, the protocol and the event loop.
 */
#include <errno.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <string.h>

#include "pcicfg.h"
#include "vfus.h"

enum { REG_ID, REG_A, REG_B, REG_SUM, NR_REGS };

struct adder {
	struct vfus *vfus;
	struct pcicfg cfg;
	uint32_t regs[NR_REGS];
};

static int region_read(void *priv, unsigned int region, void *buf, size_t count, uint64_t offset)
{
	struct adder *a = priv;

	if (region == VFIO_PCI_CONFIG_REGION_INDEX) {
		pcicfg_read(&a->cfg, buf, count, offset);
		return 0;
	}
	memset(buf, 0, count);
	if (offset + count <= sizeof(a->regs))
		memcpy(buf, (char *)a->regs + offset, count);
	return 0;
}

static int region_write(void *priv, unsigned int region, const void *buf, size_t count,
			uint64_t offset)
{
	struct adder *a = priv;

	if (region == VFIO_PCI_CONFIG_REGION_INDEX) {
		pcicfg_write(&a->cfg, buf, count, offset);
		return 0;
	}
	if (count != 4 || (offset != 4 * REG_A && offset != 4 * REG_B))
		return -EINVAL;
	memcpy(&a->regs[offset / 4], buf, 4);
	if (offset == 4 * REG_B) {
		a->regs[REG_SUM] = a->regs[REG_A] + a->regs[REG_B];
		vfus_irq_trigger(a->vfus, VFIO_PCI_MSI_IRQ_INDEX, 0);
	}
	return 0;
}

int main(int argc, char **argv)
{
	static const struct pcicfg_ids ids = {
		.vendor = 0x7576, .device = 0x0add, .class_code = 0xff0000,
	};
	static const struct vfus_ops ops = {
		.region_read = region_read,
		.region_write = region_write,
	};
	static struct adder adder = { .regs[REG_ID] = 0x31444441 };
	const uint32_t rw = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
	struct vfus_device dev = { .ops = &ops, .priv = &adder, .fd = -1 };
	struct vfus_config cfg;

	if (argc != 2) {
		fprintf(stderr, "usage: adder SOCKET\n");
		return 2;
	}
	pcicfg_init(&adder.cfg, &ids);
	pcicfg_bar64(&adder.cfg, 0, 4096, false);
	pcicfg_msi(&adder.cfg, 0);
	pcicfg_seal(&adder.cfg);
	dev.nr_regions = VFIO_PCI_NUM_REGIONS;
	dev.regions[VFIO_PCI_CONFIG_REGION_INDEX] = (struct vfus_region){
		.size = PCICFG_SIZE, .flags = rw, .fd = -1,
	};
	dev.regions[VFIO_PCI_BAR0_REGION_INDEX] = (struct vfus_region){
		.size = 4096, .flags = rw, .fd = -1,
	};
	dev.nr_irqs = VFIO_PCI_NUM_IRQS;
	dev.irqs[VFIO_PCI_MSI_IRQ_INDEX] = (struct vfus_irq_type){
		.count = 1, .flags = VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_NORESIZE,
	};

	vfus_config_init(&cfg);
	cfg.socket_path = argv[1];
	adder.vfus = vfus_create(&cfg, &dev);
	if (!adder.vfus)
		return 1;
	vfus_run(adder.vfus);
	vfus_destroy(adder.vfus);
	return 0;
}
