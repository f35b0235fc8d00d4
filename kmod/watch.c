// SPDX-License-Identifier: GPL-2.0-only
/*
 * Is a server still there that is not asked anything?
 *
 * A driver that has rung a doorbell waits for an interrupt, and no read is outstanding whose bound
 * could pass: a server that has stopped would never be missed. So where a device has been given
 * work and no interrupt comes, it is asked for something that does no harm, a read of its IDs. That
 * read has the bound of any other.
 *
 * What is work: a write, a doorbell, memory mapped for DMA; and for as long as memory is mapped
 * that the device reads, as each request to a virtio device or an NVMe write has some, it has
 * something to do. A device at rest is not asked, and costs nothing.
 *
 * Locking: none. vfu_watch.running is set by whoever gives the device work, and cleared by the
 * worker once there is none; the rest is the worker's own.
 */
#include <linux/pci.h>
#include <linux/workqueue.h>

#include "device.h"
#include "recover.h"

/*
 * One look may wait for a server, and where the device is held meanwhile for another helper or for
 * the end of that wait, which is an alarm on another queue. Devices may lie under swap or dirty
 * files, so that without memory one thread has them all; nobody else's work is behind it.
 */
static struct workqueue_struct *vfu_watch_wq;

/* How often to look: so that the server is missed within half its bound, and that. */
#define VFU_WATCH_PARTS		4
#define VFU_WATCH_MIN_MS	250

static u64 vfu_watch_activity(struct vfu_dev *vdev)
{
	return vfu_dev_stat(vdev, VFU_STAT_WRITES) + vfu_dev_stat(vdev, VFU_STAT_IOEVENTFDS) +
	       vfu_dev_stat(vdev, VFU_STAT_DMA_MAPS);
}

/* Mappings that the device reads. */
static bool vfu_watch_waiting(struct vfu_dev *vdev)
{
	s64 sum = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		sum += READ_ONCE(per_cpu_ptr(vdev->stats, cpu)->to_device);
	return sum > 0;
}

static void vfu_watch_ask(struct vfu_dev *vdev)
{
	u32 id;

	vfu_region_read(vdev, VFIO_PCI_CONFIG_REGION_INDEX, PCI_VENDOR_ID, &id, sizeof(id));
}

/* Returns false if there is nothing to look out for. */
static bool vfu_watch_look(struct vfu_dev *vdev)
{
	struct vfu_watch *watch = &vdev->watch;
	u64 activity = vfu_watch_activity(vdev);
	u64 signs = vfu_dev_stat(vdev, VFU_STAT_IRQS);
	bool waiting = vfu_watch_waiting(vdev);
	bool idle = activity == watch->activity;

	vfu_recover_settle(vdev);
	if (!idle)
		watch->owed = true;
	if (signs != watch->signs) {
		if (idle)
			watch->owed = false;
	} else if (watch->owed || waiting) {
		/* Without a helper it would only wait for one. */
		if (!vfu_held(vdev)) {
			watch->owed = false;
			vfu_watch_ask(vdev);
		}
	} else {
		return false;
	}
	watch->activity = activity;
	watch->signs = signs;
	return true;
}

static void vfu_watch_work(struct work_struct *work)
{
	struct vfu_dev *vdev = container_of(to_delayed_work(work), struct vfu_dev, watch.work);
	u32 ms = max_t(u32, vdev->timeout_ms / VFU_WATCH_PARTS, VFU_WATCH_MIN_MS);

	/* Its helper may go at any time, unnoticed if what was written is known to be there. */
	if (READ_ONCE(vdev->recover.token))
		ms = VFU_WATCH_MIN_MS;
	if (!vfu_dev_offline(vdev) && vfu_watch_look(vdev)) {
		vfu_dev_queue_on(vfu_watch_wq, vdev, &vdev->watch.work, ms);
	} else {
		clear_bit(0, &vdev->watch.running);
		/* Full barrier: who gave it work and found us running is seen here. */
		smp_mb__after_atomic();
		if (!vfu_dev_offline(vdev) && vfu_watch_activity(vdev) != vdev->watch.activity)
			vfu_watch(vdev);
	}
	vfu_dev_put(vdev);
}

/**
 * vfu_watch_start() - the device has been given work: see vfu_watch()
 * @vdev: device
 *
 * Context: any but NMI.
 */
void vfu_watch_start(struct vfu_dev *vdev)
{
	if (!READ_ONCE(vdev->watch.stopped) && !test_and_set_bit(0, &vdev->watch.running))
		vfu_dev_queue_on(vfu_watch_wq, vdev, &vdev->watch.work, VFU_WATCH_MIN_MS);
}

/**
 * vfu_watch_stop() - the device goes: nobody asks it for a sign of life any more
 * @vdev: device
 *
 * A look that begins at this very moment may still come once; it finds nothing and ends.
 *
 * Context: may sleep, for as long as a read of a register may take.
 */
void vfu_watch_stop(struct vfu_dev *vdev)
{
	WRITE_ONCE(vdev->watch.stopped, true);
	vfu_dev_cancel_delayed(vdev, &vdev->watch.work);
}

/**
 * vfu_watch_add() - set-up of a device
 * @vdev: it
 */
void vfu_watch_add(struct vfu_dev *vdev)
{
	INIT_DELAYED_WORK(&vdev->watch.work, vfu_watch_work);
}

/**
 * vfu_watch_init() - module set-up
 *
 * Return: 0 or -ENOMEM.
 */
int vfu_watch_init(void)
{
	vfu_watch_wq = alloc_workqueue("vfiouser_watch", WQ_UNBOUND | WQ_MEM_RECLAIM, 0);
	return vfu_watch_wq ? 0 : -ENOMEM;
}

/**
 * vfu_watch_exit() - undo vfu_watch_init(); no device exists any more
 */
void vfu_watch_exit(void)
{
	destroy_workqueue(vfu_watch_wq);
}
