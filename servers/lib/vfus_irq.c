// SPDX-License-Identifier: GPL-2.0-only
/*
 * Interrupts: the eventfds a client gave, masks, pending state.
 *
 * Message-signalled types (MSI, MSI-X, ERR, REQ) are edges: a trigger that finds its vector masked
 * or without an eventfd stays pending and fires when that changes, so nothing is lost while a
 * client reconnects. An AUTOMASKED type (INTx) is a level: raising the line signals once and masks
 * it, and the client's UNMASK (by message or by its unmask eventfd) signals again while the line
 * is still up.
 *
 * Eventfds belong to the connection and are closed with it.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vfus_priv.h"

static bool is_level(const struct vfus *s, unsigned int index)
{
	return s->dev.irqs[index].flags & VFIO_IRQ_INFO_AUTOMASKED;
}

/* A type that says nothing of MASKABLE, and has masks all the same. */
static bool starts_masked(const struct vfus *s, unsigned int index)
{
	return s->dev.own_masks & 1u << index;
}

/**
 * vfus_irq_init() - allocate the vectors of every type
 * @s: server with its device set
 *
 * Return: 0, -EINVAL for too many, -ENOMEM.
 */
int vfus_irq_init(struct vfus *s)
{
	unsigned int i, j;

	for (i = 0; i < s->dev.nr_irqs; i++) {
		struct vfus_irq *irq = &s->irqs[i];
		unsigned int n = s->dev.irqs[i].count;

		irq->unmask = -1;
		if (n > VFUS_MAX_VECTORS)
			return -EINVAL;
		if (!n)
			continue;
		irq->vec = calloc(n, sizeof(*irq->vec));
		if (!irq->vec)
			return -ENOMEM;
		for (j = 0; j < n; j++) {
			irq->vec[j].trigger = -1;
			irq->vec[j].masked = starts_masked(s, i);
		}
	}
	return 0;
}

static void set_trigger(struct vfus_irq *irq, struct vfus_vector *v, int fd)
{
	if (v->trigger >= 0) {
		close(v->trigger);
		irq->armed--;
	}
	v->trigger = fd;
	if (fd >= 0)
		irq->armed++;
}

/**
 * vfus_irq_fd() - the eventfd of a vector
 * @s: server
 * @index: interrupt type
 * @sub: vector
 *
 * Return: the descriptor, which stays the library's, or -1.
 */
int vfus_irq_fd(const struct vfus *s, unsigned int index, unsigned int sub)
{
	return index < s->dev.nr_irqs && sub < s->dev.irqs[index].count ?
	       s->irqs[index].vec[sub].trigger : -1;
}

static void set_unmask(struct vfus_irq *irq, int fd)
{
	if (irq->unmask >= 0)
		close(irq->unmask);
	irq->unmask = fd;
}

/**
 * vfus_irq_release() - the client is gone: close its eventfds
 * @s: server
 *
 * A level type is left unmasked, or the next client would wait for ever.
 */
void vfus_irq_release(struct vfus *s)
{
	unsigned int i, j;

	for (i = 0; i < s->dev.nr_irqs; i++) {
		for (j = 0; j < s->dev.irqs[i].count; j++) {
			set_trigger(&s->irqs[i], &s->irqs[i].vec[j], -1);
			if (is_level(s, i))
				s->irqs[i].vec[j].masked = false;
		}
		set_unmask(&s->irqs[i], -1);
	}
}

/**
 * vfus_irq_reset() - a device reset: nothing pending, masks as at first; eventfds stay
 * @s: server
 */
void vfus_irq_reset(struct vfus *s)
{
	unsigned int i, j;

	for (i = 0; i < s->dev.nr_irqs; i++) {
		s->irqs[i].level = false;
		for (j = 0; j < s->dev.irqs[i].count; j++) {
			s->irqs[i].vec[j].masked = starts_masked(s, i);
			s->irqs[i].vec[j].pending = false;
		}
	}
}

/**
 * vfus_irq_free() - undo vfus_irq_init()
 * @s: server
 */
void vfus_irq_free(struct vfus *s)
{
	unsigned int i;

	for (i = 0; i < s->dev.nr_irqs; i++) {
		free(s->irqs[i].vec);
		s->irqs[i].vec = NULL;
	}
}

static void signal_fd(struct vfus *s, int fd)
{
	const uint64_t one = 1;

	/* Non-blocking since it was taken; a full counter is signalled already. */
	if (write(fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
		vfus_log(s, 0, "eventfd: %s", strerror(errno));
}

static void fire(struct vfus *s, unsigned int index, struct vfus_vector *v)
{
	if (v->masked || v->trigger < 0) {
		v->pending = !is_level(s, index);
		return;
	}
	v->pending = false;
	if (is_level(s, index))
		v->masked = true;
	signal_fd(s, v->trigger);
}

/* Something that held an interrupt back is gone. */
static void reevaluate(struct vfus *s, unsigned int index, struct vfus_vector *v)
{
	if (is_level(s, index) ? s->irqs[index].level : v->pending)
		fire(s, index, v);
}

/**
 * vfus_irq_armed() - has the client given any eventfd for this type?
 * @s: server
 * @index: interrupt type
 *
 * Return: true if it has.
 */
bool vfus_irq_armed(const struct vfus *s, unsigned int index)
{
	return index < s->dev.nr_irqs && s->irqs[index].armed;
}

/**
 * vfus_irq_pending() - is an edge held back? (the PBA bit of an MSI-X vector)
 * @s: server
 * @index: interrupt type
 * @sub: vector
 *
 * Return: true if one is.
 */
bool vfus_irq_pending(const struct vfus *s, unsigned int index, unsigned int sub)
{
	return index < s->dev.nr_irqs && sub < s->dev.irqs[index].count &&
	       s->irqs[index].vec[sub].pending;
}

/**
 * vfus_irq_trigger() - signal an edge
 * @s: server
 * @index: interrupt type
 * @sub: vector; one out of range is ignored
 */
void vfus_irq_trigger(struct vfus *s, unsigned int index, unsigned int sub)
{
	if (index < s->dev.nr_irqs && sub < s->dev.irqs[index].count)
		fire(s, index, &s->irqs[index].vec[sub]);
}

/**
 * vfus_irq_level() - set the state of a level-triggered line
 * @s: server
 * @index: interrupt type, AUTOMASKED
 * @level: true to assert it
 */
void vfus_irq_level(struct vfus *s, unsigned int index, bool level)
{
	struct vfus_irq *irq;

	if (index >= s->dev.nr_irqs || !s->dev.irqs[index].count)
		return;
	irq = &s->irqs[index];
	irq->level = level;
	if (level && !irq->vec[0].masked)
		fire(s, index, &irq->vec[0]);
}

static void unmask(struct vfus *s, unsigned int index, unsigned int sub)
{
	struct vfus_vector *v = &s->irqs[index].vec[sub];

	/* While still masked, so that a line raised here is signalled once. */
	if (is_level(s, index) && s->dev.ops->irq_sync)
		s->dev.ops->irq_sync(s->dev.priv);
	v->masked = false;
	reevaluate(s, index, v);
}

/**
 * vfus_irq_unmask_event() - the client signalled the unmask eventfd
 * @s: server
 * @index: interrupt type whose irq.unmask is readable
 */
void vfus_irq_unmask_event(struct vfus *s, unsigned int index)
{
	uint64_t count;

	if (read(s->irqs[index].unmask, &count, sizeof(count)) == sizeof(count))
		unmask(s, index, 0);
}

/* Only eventfds: writing to anything else could block or do harm. */
static bool usable_eventfd(int fd)
{
	char path[40], target[64];
	int flags;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, target, sizeof(target) - 1);
	if (n >= 0) {
		target[n] = '\0';
		if (strcmp(target, "anon_inode:[eventfd]"))
			return false;
	}
	flags = fcntl(fd, F_GETFL);
	return flags >= 0 && !fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

static void changed(struct vfus *s, unsigned int index, unsigned int start, unsigned int count)
{
	if (s->dev.ops->irqs_changed)
		s->dev.ops->irqs_changed(s->dev.priv, index, start, count);
}

static int set_eventfds(struct vfus *s, struct vfus_msg *m, const struct vfio_irq_set *set)
{
	uint32_t action = set->flags & VFIO_IRQ_SET_ACTION_TYPE_MASK;
	struct vfus_irq *irq = &s->irqs[set->index];
	unsigned int i;

	if (s->cfg.hooks && s->cfg.hooks->one_irq_table && set->index >= VFIO_PCI_ERR_IRQ_INDEX)
		irq = &s->irqs[VFIO_PCI_MSIX_IRQ_INDEX];
	/* No descriptor at all takes the earlier ones away. */
	if (m->nfds && m->nfds != set->count)
		return -EINVAL;
	if (!(s->dev.irqs[set->index].flags & VFIO_IRQ_INFO_EVENTFD))
		return -ENOTSUP;
	if (action != VFIO_IRQ_SET_ACTION_TRIGGER &&
	    (action != VFIO_IRQ_SET_ACTION_UNMASK || !is_level(s, set->index)))
		return -ENOTSUP;
	for (i = 0; i < m->nfds; i++)
		if (!usable_eventfd(m->fds[i]))
			return -EBADF;
	if (action == VFIO_IRQ_SET_ACTION_UNMASK) {
		set_unmask(irq, m->nfds ? vfus_msg_take_fd(m, 0) : -1);
		return 0;
	}
	for (i = 0; i < set->count; i++) {
		struct vfus_vector *v = &irq->vec[set->start + i];

		set_trigger(irq, v, m->nfds ? vfus_msg_take_fd(m, i) : -1);
		if (m->nfds)
			reevaluate(s, set->index, v);
	}
	changed(s, set->index, set->start, set->count);
	return 0;
}

static int disable_all(struct vfus *s, unsigned int index)
{
	unsigned int i;

	for (i = 0; i < s->dev.irqs[index].count; i++) {
		set_trigger(&s->irqs[index], &s->irqs[index].vec[i], -1);
		s->irqs[index].vec[i].pending = false;
		s->irqs[index].vec[i].masked = starts_masked(s, index);
	}
	set_unmask(&s->irqs[index], -1);
	changed(s, index, 0, s->dev.irqs[index].count);
	return 0;
}

static void act(struct vfus *s, unsigned int index, unsigned int sub, uint32_t action)
{
	if (action == VFIO_IRQ_SET_ACTION_MASK)
		s->irqs[index].vec[sub].masked = true;
	else if (action == VFIO_IRQ_SET_ACTION_UNMASK)
		unmask(s, index, sub);
	else if (s->irqs[index].vec[sub].trigger >= 0)
		signal_fd(s, s->irqs[index].vec[sub].trigger);
}

/**
 * vfus_handle_set_irqs() - VFIO_USER_DEVICE_SET_IRQS
 * @s: server
 * @m: the message
 *
 * Eventfds of the UNMASK action are taken for level-triggered types only, with the meaning they
 * have in VFIO: the client writes, the server unmasks. Those of MASK are not taken.
 *
 * Return: 0, -EINVAL for a malformed request, -EBADF for a descriptor that is not an eventfd,
 * -ENOTSUP for a combination this type does not have.
 */
int vfus_handle_set_irqs(struct vfus *s, struct vfus_msg *m)
{
	const size_t fixed = sizeof(struct vfio_irq_set);
	uint32_t data, action;
	struct vfio_irq_set set;
	const struct vfus_irq_type *t;
	uint32_t i;

	if (m->len < fixed)
		return -EINVAL;
	memcpy(&set, m->payload, fixed);
	data = set.flags & VFIO_IRQ_SET_DATA_TYPE_MASK;
	action = set.flags & VFIO_IRQ_SET_ACTION_TYPE_MASK;
	if (set.argsz != m->len || set.flags & ~(data | action) || set.index >= s->dev.nr_irqs ||
	    !data || data & (data - 1) || !action || action & (action - 1))
		return -EINVAL;
	t = &s->dev.irqs[set.index];
	if (set.start > t->count || set.count > t->count - set.start)
		return -EINVAL;
	if (m->len != fixed + (data == VFIO_IRQ_SET_DATA_BOOL ? set.count : 0) ||
	    (data != VFIO_IRQ_SET_DATA_EVENTFD && m->nfds))
		return -EINVAL;
	if (!set.count) {
		if (data != VFIO_IRQ_SET_DATA_NONE || action != VFIO_IRQ_SET_ACTION_TRIGGER ||
		    set.start)
			return -EINVAL;
		return disable_all(s, set.index);
	}
	if (data == VFIO_IRQ_SET_DATA_EVENTFD)
		return set_eventfds(s, m, &set);
	if (action != VFIO_IRQ_SET_ACTION_TRIGGER && !(t->flags & VFIO_IRQ_INFO_MASKABLE) &&
	    !starts_masked(s, set.index))
		return -ENOTSUP;
	for (i = 0; i < set.count; i++)
		if (data == VFIO_IRQ_SET_DATA_NONE || m->payload[fixed + i])
			act(s, set.index, set.start + i, action);
	return 0;
}
