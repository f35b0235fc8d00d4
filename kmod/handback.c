// SPDX-License-Identifier: GPL-2.0-only
/*
 * Requests in the queues of a virtio device that has gone, for drivers of which only they
 * themselves can end one: virtiofs counts those in flight where nobody else can, and its removal,
 * and an unmount, wait for the count.
 *
 * So they are ended by the driver. Its device is marked broken before, and then each buffer in a
 * queue is answered with an error where the device would have written its answer, and the queue's
 * callback called, as an interrupt would. The driver asks the virtio core for what is done, which
 * has nothing for a broken queue; that function is hooked, and hands back what is still in the
 * queue, one by one, as the core itself knows it. No guess is made from the rings.
 *
 * The hook is in place only while there is such a device: other devices' drivers call the function
 * for each request.
 *
 * Locking: vfu_handback_lock guards the hook and its users. A queue is its driver's, whose lock is
 * held where it asks; we touch one only where it is broken and nobody is in the middle of it.
 *
 * Lifetime: vfu_dev.handback names the device whose queues are handed back. It is never looked
 * into, only compared with that of a queue that is in use.
 */
#include <linux/fuse.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/rcupdate.h>
#include <linux/virtio.h>
#include <linux/virtio_config.h>

#include "bridge.h"
#include "device.h"
#include "dma.h"
#include "handback.h"
#include "trap.h"

static DEFINE_MUTEX(vfu_handback_lock);
static unsigned int vfu_handback_users;

/* Of the virtio core, held while there are users. */
static typeof(virtqueue_detach_unused_buf) *vfu_vq_detach;
static typeof(virtqueue_is_broken) *vfu_vq_is_broken;
static typeof(virtqueue_get_vring_size) *vfu_vq_size;

static void vfu_handback_symbols_put(void)
{
	if (vfu_vq_detach)
		symbol_put(virtqueue_detach_unused_buf);
	if (vfu_vq_is_broken)
		symbol_put(virtqueue_is_broken);
	if (vfu_vq_size)
		symbol_put(virtqueue_get_vring_size);
}

static int vfu_handback_hook(void)
{
	int err = -ENOENT;

	vfu_vq_detach = symbol_get(virtqueue_detach_unused_buf);
	vfu_vq_is_broken = symbol_get(virtqueue_is_broken);
	vfu_vq_size = symbol_get(virtqueue_get_vring_size);
	if (vfu_vq_detach && vfu_vq_is_broken && vfu_vq_size)
		err = vfu_trap_queues(true);
	if (err)
		vfu_handback_symbols_put();
	return err;
}

/* Returns whether the device has the hook. */
static bool vfu_handback_get(struct vfu_dev *vdev)
{
	int err = 0;

	if (vdev->handback_user)
		return true;
	mutex_lock(&vfu_handback_lock);
	if (!vfu_handback_users)
		err = vfu_handback_hook();
	if (!err) {
		vfu_handback_users++;
		vdev->handback_user = true;
	}
	mutex_unlock(&vfu_handback_lock);
	return !err;
}

/**
 * vfu_handback_is() - is a queue one whose buffers are handed back?
 * @vq: any queue that is in use
 *
 * Context: any.
 * Return: true if it is.
 */
bool vfu_handback_is(const struct virtqueue *vq)
{
	struct device *parent = vq->vdev->dev.parent;
	struct vfu_dev *vdev;

	if (!parent || !dev_is_pci(parent))
		return false;
	vdev = vfu_dev_of_pci(to_pci_dev(parent));
	/* A queue that was made later has not been answered. */
	return vdev && READ_ONCE(vdev->handback) == vq->vdev &&
	       vfu_vq_is_broken((struct virtqueue *)vq);
}

/**
 * vfu_handback_next() - in place of virtqueue_get_buf(): a buffer of a queue that is handed back
 * @vq: queue
 * @len: set to what the device is said to have written, in bytes
 *
 * Context: any, the lock of the queue's driver held.
 * Return: what the driver has given with the buffer, or NULL if none is left.
 */
void *vfu_handback_next(struct virtqueue *vq, unsigned int *len)
{
	*len = sizeof(struct fuse_out_header);
	return vfu_vq_detach(vq);
}

/* Nobody puts in or takes out. What is in a queue now its driver waits for: it does not go. */
static void vfu_handback_ask(struct virtio_device *virtio)
{
	struct virtqueue *vq;

	list_for_each_entry(vq, &virtio->vqs, list)
		if (vq->callback && vq->num_free < vfu_vq_size(vq))
			vq->callback(vq);
}

/**
 * vfu_handback_all() - have a driver take back what is in its queues
 * @vdev: device, offline, with a pool
 * @virtio: its virtio device, a file system, all of whose queues are broken
 *
 * To be done again for queues that are made meanwhile.
 *
 * Context: may sleep; not at the same time for one device.
 */
void vfu_handback_all(struct vfu_dev *vdev, struct virtio_device *virtio)
{
	static const struct fuse_out_header answer = { .len = sizeof(answer), .error = -ENOTCONN };
	unsigned long flags;

	if (!vfu_handback_get(vdev))
		return;
	WRITE_ONCE(vdev->handback, NULL);
	/* Queues are used under spinlocks. */
	synchronize_rcu();
	virtio_synchronize_cbs(virtio);
	vfu_dma_answer(vdev, &answer, sizeof(answer));
	/*
	 * Queues do not go while the lock is held. The driver's answer to a callback is to queue
	 * work, which a processor with interrupts off does not begin: it finds its buffers.
	 */
	spin_lock_irqsave(&virtio->vqs_list_lock, flags);
	vfu_handback_ask(virtio);
	WRITE_ONCE(vdev->handback, virtio);
	spin_unlock_irqrestore(&virtio->vqs_list_lock, flags);
}

/**
 * vfu_handback_stop() - the device is back, or gone
 * @vdev: device
 *
 * Context: may sleep; not while vfu_handback_all() runs for it.
 */
void vfu_handback_stop(struct vfu_dev *vdev)
{
	WRITE_ONCE(vdev->handback, NULL);
	if (!vdev->handback_user)
		return;
	vdev->handback_user = false;
	mutex_lock(&vfu_handback_lock);
	if (!--vfu_handback_users && !vfu_trap_queues(false))
		vfu_handback_symbols_put();
	mutex_unlock(&vfu_handback_lock);
}
