// SPDX-License-Identifier: GPL-2.0-only
/*
 * The eventfds by which the server raises interrupts. The server writes to them, the kernel
 * module's hook runs; this process only introduces the two to each other.
 *
 * Owns: an eventfd for each vector that is hooked. Those of an interrupt that is disarmed are
 * closed and not used again: the server may still signal them until it has seen that it should not.
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

/* Makes and hooks the eventfds of vectors that have none. */
static int hook_new(struct ring *ring, uint32_t index, uint32_t start, uint32_t count, int *fds)
{
	uint32_t i;

	for (i = 0; i < count; i++) {
		fds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (fds[i] < 0)
			return -errno;
	}
	return ring_irqfd(ring, index, start, count, fds);
}

/**
 * irq_hook() - have eventfds for vectors, hooked to the kernel's interrupts
 * @irqs: @types[].count set, all else zero at first
 * @ring: channel with a device
 * @index: VFIO_PCI_*_IRQ_INDEX
 * @start: first vector
 * @count: number of vectors; those that are hooked stay as they are
 *
 * Context: the serving thread; may sleep.
 * Return: 0 or a negative errno: -EINVAL for vectors that do not exist. After an error the caller
 * unhooks them.
 */
int irq_hook(struct irqs *irqs, struct ring *ring, uint32_t index, uint32_t start, uint32_t count)
{
	uint32_t i, n, end;
	int err, *fds;

	if (!in_range(irqs, index, start, count))
		return -EINVAL;
	fds = table(&irqs->types[index]);
	if (!fds)
		return -ENOMEM;
	end = start + count;
	for (i = start; i < end; i += n) {
		/* As many at once as there are in a row. */
		for (n = 0; i + n < end && fds[i + n] < 0; n++)
			;
		if (!n) {
			n = 1;
			continue;
		}
		err = hook_new(ring, index, i, n, fds + i);
		if (err)
			return err;
	}
	return 0;
}

/**
 * irq_fds() - the eventfds of vectors
 * @irqs: after a successful irq_hook() of these vectors
 * @index: VFIO_PCI_*_IRQ_INDEX
 * @start: first vector
 *
 * Context: the serving thread.
 * Return: an array, valid until the vectors are unhooked.
 */
const int *irq_fds(const struct irqs *irqs, uint32_t index, uint32_t start)
{
	return irqs->types[index].fds + start;
}

/**
 * irq_unhook() - take eventfds back from the kernel and close them, where there are any
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
		/* Fails where the device is going, and with it the hook. */
		ring_irqfd(ring, index, i, 1, &none);
		close(type->fds[i]);
		type->fds[i] = -1;
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
