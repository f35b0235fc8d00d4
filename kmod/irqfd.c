// SPDX-License-Identifier: GPL-2.0-only
/*
 * eventfds hooked to interrupt vectors.
 *
 * The server's write() to an eventfd runs vfu_irqfd_wakeup() in the server's
 * context, which raises the interrupt: no process of ours takes part.
 *
 * Locking: vfu_irq.lock protects vfu_vector.irqfd. The wait queue's own lock
 * orders a wake-up against the unhooking, after which none can come.
 */
#include <linux/eventfd.h>
#include <linux/file.h>
#include <linux/nospec.h>
#include <linux/poll.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "device.h"
#include "irq.h"

struct vfu_irqfd {
	struct vfu_vector *vec;
	struct eventfd_ctx *ctx;
	wait_queue_entry_t wait;
	poll_table pt;
};

/* Called with the eventfd's wait queue lock held and interrupts off. */
static int vfu_irqfd_wakeup(wait_queue_entry_t *wait, unsigned int mode, int sync, void *key)
{
	struct vfu_irqfd *irqfd = container_of(wait, struct vfu_irqfd, wait);
	u64 count;

	if (key_to_poll(key) & EPOLLIN) {
		eventfd_ctx_do_read(irqfd->ctx, &count);
		vfu_vector_raise(irqfd->vec);
	}
	return 0;
}

static void vfu_irqfd_queue(struct file *file, wait_queue_head_t *wqh, poll_table *pt)
{
	struct vfu_irqfd *irqfd = container_of(pt, struct vfu_irqfd, pt);

	add_wait_queue(wqh, &irqfd->wait);
}

static void vfu_irqfd_unhook(struct vfu_irqfd **at)
{
	struct vfu_irqfd *irqfd = *at;
	u64 count;

	if (!irqfd)
		return;
	*at = NULL;
	eventfd_ctx_remove_wait_queue(irqfd->ctx, &irqfd->wait, &count);
	eventfd_ctx_put(irqfd->ctx);
	kfree(irqfd);
}

static int vfu_irqfd_hook(struct vfu_vector *vec, int fd)
{
	struct vfu_irqfd *irqfd;
	struct file *file;
	int err = 0;

	if (vec->irqfd)
		return -EBUSY;
	file = fget(fd);
	if (!file)
		return -EBADF;
	irqfd = kzalloc(sizeof(*irqfd), GFP_KERNEL_ACCOUNT);
	if (!irqfd) {
		err = -ENOMEM;
		goto out;
	}
	irqfd->ctx = eventfd_ctx_fileget(file);
	if (IS_ERR(irqfd->ctx)) {
		err = PTR_ERR(irqfd->ctx);
		kfree(irqfd);
		goto out;
	}
	irqfd->vec = vec;
	vec->irqfd = irqfd;
	init_waitqueue_func_entry(&irqfd->wait, vfu_irqfd_wakeup);
	init_poll_funcptr(&irqfd->pt, vfu_irqfd_queue);
	/* Signalled before it was hooked: must not be lost. */
	if (vfs_poll(file, &irqfd->pt) & EPOLLIN)
		vfu_vector_raise(vec);
out:
	fput(file);
	return err;
}

/**
 * vfu_irqfd_set() - hook or unhook eventfds, the helper's ioctl
 * @vdev: device
 * @arg: checked here; its fds are looked up in the caller's file table
 *
 * Context: may sleep.
 * Return: 0, -EINVAL, -EFAULT, -EBADF, -EBUSY for a vector that has one. After
 * an error the vectors before the one at fault have been changed.
 */
int vfu_irqfd_set(struct vfu_dev *vdev, const struct vfiouser_irqfd *arg)
{
	struct vfu_irqs *irqs;
	int err = 0;
	s32 *fds;
	u32 i;

	if (arg->reserved || arg->index >= VFIO_PCI_NUM_IRQS)
		return -EINVAL;
	irqs = &vdev->irq.index[array_index_nospec(arg->index, VFIO_PCI_NUM_IRQS)];
	if (arg->start > irqs->count || arg->count > irqs->count - arg->start)
		return -EINVAL;

	/* Before the lock: the caller's memory may take any time. */
	fds = vmemdup_user(u64_to_user_ptr(arg->fds), arg->count * sizeof(*fds));
	if (IS_ERR(fds))
		return PTR_ERR(fds);
	mutex_lock(&vdev->irq.lock);
	if (vdev->irq.closed)
		err = -ENODEV;
	for (i = 0; !err && i < arg->count; i++) {
		u32 nr = array_index_nospec(arg->start + i, irqs->count);
		struct vfu_vector *vec = &irqs->vectors[nr];

		if (fds[i] == -1)
			vfu_irqfd_unhook(&vec->irqfd);
		else
			err = vfu_irqfd_hook(vec, fds[i]);
	}
	mutex_unlock(&vdev->irq.lock);
	kvfree(fds);
	return err;
}

/**
 * vfu_irqfd_close() - from now on neither eventfds nor ioeventfds can be added
 * @vdev: device
 *
 * Context: may sleep.
 */
void vfu_irqfd_close(struct vfu_dev *vdev)
{
	mutex_lock(&vdev->irq.lock);
	vdev->irq.closed = true;
	mutex_unlock(&vdev->irq.lock);
}

static void vfu_irqfd_each(struct vfu_dev *vdev, void (*fn)(struct vfu_vector *vec))
{
	u32 index, nr;

	mutex_lock(&vdev->irq.lock);
	for (index = 0; index < VFIO_PCI_NUM_IRQS; index++)
		for (nr = 0; nr < vdev->irq.index[index].count; nr++)
			fn(&vdev->irq.index[index].vectors[nr]);
	mutex_unlock(&vdev->irq.lock);
}

static void vfu_irqfd_drop_one(struct vfu_vector *vec)
{
	vfu_irqfd_unhook(&vec->kept);
}

static void vfu_irqfd_clear_one(struct vfu_vector *vec)
{
	vfu_irqfd_unhook(&vec->irqfd);
	vfu_irqfd_unhook(&vec->kept);
}

static void vfu_irqfd_keep_one(struct vfu_vector *vec)
{
	if (WARN_ON_ONCE(vec->kept))
		vfu_irqfd_unhook(&vec->kept);
	swap(vec->irqfd, vec->kept);
}

/**
 * vfu_irqfd_clear() - unhook all; no vector is raised by those afterwards
 * @vdev: device, closed or frozen
 *
 * Context: may sleep.
 */
void vfu_irqfd_clear(struct vfu_dev *vdev)
{
	vfu_irqfd_each(vdev, vfu_irqfd_clear_one);
}

/**
 * vfu_irqfd_keep() - make room for the eventfds of another helper; those of this one stay hooked
 * @vdev: device that is being resumed
 *
 * Until vfu_irqfd_drop().
 *
 * Context: may sleep.
 */
void vfu_irqfd_keep(struct vfu_dev *vdev)
{
	vfu_irqfd_each(vdev, vfu_irqfd_keep_one);
}

/**
 * vfu_irqfd_drop() - unhook what vfu_irqfd_keep() has kept
 * @vdev: device
 *
 * Context: may sleep.
 */
void vfu_irqfd_drop(struct vfu_dev *vdev)
{
	vfu_irqfd_each(vdev, vfu_irqfd_drop_one);
}
