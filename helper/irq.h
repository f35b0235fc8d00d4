/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The eventfds by which the server raises interrupts.
 */
#ifndef HELPER_IRQ_H
#define HELPER_IRQ_H

#include <stdint.h>
#include <linux/vfio.h>

struct ring;

/**
 * struct irq_type - the vectors of one interrupt index
 * @count: how many the server has
 * @fds: eventfd of each that is hooked, else -1; NULL until any was
 */
struct irq_type {
	uint32_t count;
	int *fds;
};

struct irqs {
	struct irq_type types[VFIO_PCI_NUM_IRQS];
};

int irq_hook(struct irqs *irqs, struct ring *ring, uint32_t index, uint32_t start, uint32_t count);
const int *irq_fds(const struct irqs *irqs, uint32_t index, uint32_t start);
void irq_unhook(struct irqs *irqs, struct ring *ring, uint32_t index, uint32_t start,
		uint32_t count);
void irq_release(struct irqs *irqs);

#endif
