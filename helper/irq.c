// SPDX-License-Identifier: GPL-2.0-only
/*
 * The eventfds by which the server raises interrupts. The server writes to them, the kernel
 * module's hook runs; this process only introduces the two to each other.
 *
 * Owns: one eventfd for each vector that was ever armed, kept until irq_release() since drivers arm
 * and disarm the same vectors again.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "irq.h"
#include "ring.h"

static bool in_range(const struct irqs *irqs, uint32_t index, uint32_t start, uint32_t count)
{
	return index < VFIO_PCI_NUM_IRQS && count && start < irqs->types[index].count &&
	       count <= irqs->types[index].count - start;
}

/* The table of a type, made when it is first needed. */
static int *table(struct irq_type *type)
{
	uint32_t i;

	if (!type->fds) {
		type->fds = calloc(type->count, sizeof(*type->fds));
		for (i = 0; type->fds && i < type->count; i++)
			type->fds[i] = -1;
	}
	return type->fds;
}

/**
 * irq_hook() - have eventfds for vectors, hooked to the kernel's interrupts
 * @irqs: @types[].count set, all else zero at first
 * @ring: channel with a device
 * @index: VFIO_PCI_*_IRQ_INDEX
 * @start: first vector
 * @count: number of vectors
 *
 * Context: the serving thread; may sleep.
 * Return: 0 or a negative errno: -EINVAL for vectors that do not exist.
 */
int irq_hook(struct irqs *irqs, struct ring *ring, uint32_t index, uint32_t start, uint32_t count)
{
	uint32_t i;
	int *fds;

	if (!in_range(irqs, index, start, count))
		return -EINVAL;
	fds = table(&irqs->types[index]);
	if (!fds)
		return -ENOMEM;
	for (i = start; i < start + count; i++) {
		if (fds[i] >= 0)
			continue;
		fds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (fds[i] < 0)
			return -errno;
	}
	return ring_irqfd(ring, index, start, count, fds + start);
}

/**
 * irq_fds() - the eventfds of vectors
 * @irqs: after a successful irq_hook() of these vectors
 * @index: VFIO_PCI_*_IRQ_INDEX
 * @start: first vector
 *
 * Context: the serving thread.
 * Return: an array, valid until irq_release().
 */
const int *irq_fds(const struct irqs *irqs, uint32_t index, uint32_t start)
{
	return irqs->types[index].fds + start;
}

/**
 * irq_unhook() - take eventfds back from the kernel, if they were ever given
 * @irqs: see irq_hook()
 * @ring: channel with a device
 * @index: VFIO_PCI_*_IRQ_INDEX
 * @start: first vector
 * @count: number of vectors; 0: all from @start on
 *
 * Context: the serving thread; may sleep.
 */
void irq_unhook(struct irqs *irqs, struct ring *ring, uint32_t index, uint32_t start,
		uint32_t count)
{
	const int none = -1;
	struct irq_type *type;
	uint64_t value;
	uint32_t i;

	if (index >= VFIO_PCI_NUM_IRQS || !irqs->types[index].fds)
		return;
	type = &irqs->types[index];
	if (!count && start < type->count)
		count = type->count - start;
	if (!in_range(irqs, index, start, count))
		return;
	for (i = start; i < start + count; i++) {
		if (type->fds[i] < 0)
			continue;
		ring_irqfd(ring, index, i, 1, &none);
		/* What was signalled and not taken must not fire when it is armed again. */
		if (read(type->fds[i], &value, sizeof(value)) < 0)
			continue;
	}
}

/**
 * irq_release() - close all eventfds
 * @irqs: see irq_hook()
 *
 * Context: the serving thread.
 */
void irq_release(struct irqs *irqs)
{
	struct irq_type *type;
	unsigned int i;
	uint32_t j;

	for (i = 0; i < VFIO_PCI_NUM_IRQS; i++) {
		type = &irqs->types[i];
		for (j = 0; type->fds && j < type->count; j++)
			if (type->fds[j] >= 0)
				close(type->fds[j]);
		free(type->fds);
		type->fds = NULL;
	}
}
