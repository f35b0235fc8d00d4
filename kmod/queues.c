// SPDX-License-Identifier: GPL-2.0-only
/*
 * Drivers of virtio devices, when their device is gone.
 *
 * A PCI driver learns that its device has gone from its registers, which read all-ones. Drivers of
 * virtio devices do not read any: they put a request into a queue in memory and wait for the device
 * to give it back, a network driver with the kernel's network configuration locked, a disk's driver
 * in its own removal. Nobody else gives it back. So for as long as such a device is offline,
 * what waits for it is ended here:
 *
 * - Its queues are marked broken. That ends waits that spin, and what is put into
 *   them from then on is refused at once.
 * - A disk's requests that are in its queues come back as failed, and a SCSI host's, whose driver
 *   has no time-out for them: a bus that is being scanned waits with the host's lock held, which
 *   its removal takes. What the SCSI error handler asks for in the control queue is not ended; it
 *   is refused from then on.
 * - A file system's requests are ended by its driver, see handback.c. Other drivers are not waited
 *   for in that way.
 *
 * A driver may make queues after that, since nothing tells it that its device has gone while it
 * is in its probe: so it is done again and again until the PCI device is gone, or back.
 *
 * The functions of the virtio core are looked up when they are needed: it is a module on some
 * kernels, without which there is no such driver.
 *
 * A disk whose driver is leaving waits for its requests when it is nobody's child any more: so it is
 * remembered when the driver begins to leave.
 *
 * Locking: a disk cannot go while we look at its requests, nor what a host keeps of them: we hold a
 * queue's usage counter, as one of them would. vfu_dev.cfg_lock protects vfu_dev.queues_leaving.
 */
#include <linux/blk-mq.h>
#include <linux/blkdev.h>
#include <linux/delay.h>
#include <linux/device.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/percpu-refcount.h>
#include <linux/virtio.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_ring.h>
#include <scsi/scsi_cmnd.h>
#include <scsi/scsi_device.h>
#include <scsi/scsi_host.h>

#include "device.h"
#include "dma.h"
#include "handback.h"
#include "queues.h"
#include "recover.h"

#define VFU_QUEUES_AGAIN_MS	250

/* ---- disks ---- */

static bool vfu_request_waits(struct request *rq)
{
	return blk_mq_request_started(rq) && !blk_mq_request_completed(rq);
}

/*
 * The last byte that a disk writes of a request is its status, and the only ones that it writes of
 * the driver's own memory of a request are that and some before it.
 */
static bool vfu_request_mark(struct request *rq, void *data)
{
	struct vfu_dev *vdev = data;

	if (vfu_request_waits(rq))
		vfu_dma_poke(vdev, virt_to_phys(blk_mq_rq_to_pdu(rq)), rq->q->tag_set->cmd_size,
			     VIRTIO_BLK_S_IOERR);
	/* Each of a thousand requests looks through a pool of up to a million pages. */
	cond_resched();
	return true;
}

static bool vfu_request_end(struct request *rq, void *data)
{
	if (vfu_request_waits(rq))
		blk_mq_complete_request(rq);
	return true;
}

/* Where a split ring says how much has been put into it; NULL where we cannot see it. */
static __virtio16 *vfu_queue_avail(struct vfu_dev *vdev, struct virtqueue *vq)
{
	typeof(virtqueue_get_avail_addr) *addr = symbol_get(virtqueue_get_avail_addr);
	dma_addr_t at;

	if (!addr)
		return NULL;
	at = addr(vq) + offsetof(struct vring_avail, idx);
	symbol_put(virtqueue_get_avail_addr);
	if (virtio_has_feature(vq->vdev, VIRTIO_F_RING_PACKED))
		return NULL;
	return vfu_dma_vaddr(vdev, at, sizeof(__virtio16));
}

/*
 * Take everything back out of the queues, and with it what the driver has mapped. The virtio core
 * takes it out of the count of what is there, too. A server may still be at it, where only the
 * helper has gone, and would have taken more than there ever was: it is not to see that.
 */
static bool vfu_queues_detach(struct vfu_dev *vdev, struct virtio_device *virtio)
{
	void *(*detach)(struct virtqueue *vq) = symbol_get(virtqueue_detach_unused_buf);
	struct virtqueue *vq;

	if (!detach)
		return false;
	list_for_each_entry(vq, &virtio->vqs, list) {
		__virtio16 *idx = vfu_queue_avail(vdev, vq);
		__virtio16 was = idx ? READ_ONCE(*idx) : 0;

		while (detach(vq))
			;
		if (idx)
			WRITE_ONCE(*idx, was);
	}
	symbol_put(virtqueue_detach_unused_buf);
	return true;
}

static void vfu_disk_end(struct vfu_dev *vdev, struct virtio_device *virtio,
			 struct request_queue *q)
{
	/* Nothing in flight; or it is being deleted, and nothing is left that we could end. */
	if (!percpu_ref_tryget(&q->q_usage_counter))
		return;
	/*
	 * The queues are broken. Who found them whole before is through after these two, and nobody
	 * but us uses them then.
	 */
	blk_mq_quiesce_queue(q);
	virtio_synchronize_cbs(virtio);
	blk_mq_tagset_busy_iter(q->tag_set, vfu_request_mark, vdev);
	if (vfu_queues_detach(vdev, virtio)) {
		blk_mq_tagset_busy_iter(q->tag_set, vfu_request_end, NULL);
		blk_mq_tagset_wait_completed_request(q->tag_set);
	}
	blk_mq_unquiesce_queue(q);
	/* Some may wait for room in a queue. */
	blk_mq_start_stopped_hw_queues(q, true);
	percpu_ref_put(&q->q_usage_counter);
}

/* ---- SCSI hosts ---- */

/* One of its devices' queues with its usage counter held, or NULL: nothing is in flight. */
static struct request_queue *vfu_host_queue(struct Scsi_Host *host)
{
	struct request_queue *q = NULL;
	struct scsi_device *sdev;
	unsigned long flags;

	spin_lock_irqsave(host->host_lock, flags);
	/* Also those that are being removed, which wait for their commands. */
	__shost_for_each_device(sdev, host)
		if (percpu_ref_tryget(&sdev->request_queue->q_usage_counter)) {
			q = sdev->request_queue;
			break;
		}
	spin_unlock_irqrestore(host->host_lock, flags);
	return q;
}

/* As scsi_done(), which modules cannot look up. The error handler has a time-out for its own. */
static bool vfu_command_end(struct request *rq, void *data)
{
	struct scsi_cmnd *cmd = blk_mq_rq_to_pdu(rq);

	if (vfu_request_waits(rq) && cmd->submitter == SUBMITTED_BY_BLOCK_LAYER &&
	    !test_and_set_bit(SCMD_STATE_COMPLETE, &cmd->state)) {
		cmd->result = DID_NO_CONNECT << 16;
		blk_mq_complete_request(rq);
	}
	return true;
}

static void vfu_host_end(struct vfu_dev *vdev, struct virtio_device *virtio,
			 struct Scsi_Host *host)
{
	struct request_queue *q = vfu_host_queue(host);

	if (!q)
		return;
	/*
	 * As for a disk. Commands are queued in a section of RCU, as virtio_scsi does not sleep
	 * there; stopping the queues of all devices would say the same.
	 */
	synchronize_rcu();
	virtio_synchronize_cbs(virtio);
	if (vfu_queues_detach(vdev, virtio)) {
		blk_mq_tagset_busy_iter(&host->tag_set, vfu_command_end, NULL);
		blk_mq_tagset_wait_completed_request(&host->tag_set);
	}
	percpu_ref_put(&q->q_usage_counter);
}

/* ---- all ---- */

struct vfu_queues_find {
	struct vfu_dev *vdev;
	struct virtio_device *virtio;
};

static bool vfu_queues_is_disk(const struct device *dev)
{
	return dev->class && !strcmp(dev->class->name, "block");
}

/* Its last reference ends in its driver's code. Returns NULL where that is being unloaded. */
static struct device *vfu_queues_get(struct device *disk)
{
	return disk && try_module_get(dev_to_disk(disk)->fops->owner) ? get_device(disk) : NULL;
}

static void vfu_queues_put(struct device *disk)
{
	struct module *owner;

	if (!disk)
		return;
	owner = dev_to_disk(disk)->fops->owner;
	put_device(disk);
	module_put(owner);
}

static int vfu_queues_child(struct device *dev, void *data)
{
	struct vfu_queues_find *find = data;

	/* Where a disk's status is cannot be known without the pool. */
	if (vfu_queues_is_disk(dev) && find->vdev->pool)
		vfu_disk_end(find->vdev, find->virtio, dev_to_disk(dev)->queue);
	else if (dev->type && dev->type->name && !strcmp(dev->type->name, "scsi_host"))
		vfu_host_end(find->vdev, find->virtio,
			     container_of(dev, struct Scsi_Host, shost_gendev));
	return 0;
}

/* Mark all queues as broken. Returns whether they were already. */
static bool vfu_queues_break(struct virtio_device *virtio)
{
	void (*broken)(struct virtio_device *dev) = symbol_get(virtio_break_device);
	typeof(virtqueue_is_broken) *is_broken = symbol_get(virtqueue_is_broken);
	struct virtqueue *vq;
	bool were = broken && is_broken;

	if (were) {
		spin_lock(&virtio->vqs_list_lock);
		list_for_each_entry(vq, &virtio->vqs, list)
			were &= is_broken(vq);
		spin_unlock(&virtio->vqs_list_lock);
	}
	if (broken) {
		broken(virtio);
		symbol_put(virtio_break_device);
	}
	if (is_broken)
		symbol_put(virtqueue_is_broken);
	return were;
}

static void vfu_queues_found(struct vfu_dev *vdev, struct device *dev)
{
	struct vfu_queues_find find = { .vdev = vdev, .virtio = dev_to_virtio(dev) };
	struct device *leaving;

	/*
	 * Where the server is still there, in the next round: it has stopped by then, and does not
	 * look at a ring that is being emptied.
	 */
	if (!vfu_queues_break(find.virtio) && vfu_server_runs(vdev))
		return;
	/* As with a disk: where an answer belongs cannot be known without the pool. */
	if (find.virtio->id.device == VIRTIO_ID_FS && vdev->pool)
		vfu_handback_all(vdev, find.virtio);
	else
		device_for_each_child(dev, &find, vfu_queues_child);
	raw_spin_lock_irq(&vdev->cfg_lock);
	leaving = vfu_queues_get(vdev->queues_leaving);
	raw_spin_unlock_irq(&vdev->cfg_lock);
	if (leaving)
		vfu_queues_child(leaving, &find);
	vfu_queues_put(leaving);
}

/*
 * The virtio device of a PCI device, for put_device(), or NULL. It is no child that
 * device_for_each_child() would find until its driver's probe is through.
 */
static struct device *vfu_queues_of(struct pci_dev *pdev)
{
	struct kset *devices = pdev->dev.kobj.kset;
	struct device *dev, *found = NULL;
	struct kobject *kobj;

	spin_lock(&devices->list_lock);
	list_for_each_entry(kobj, &devices->list, entry) {
		if (kobj->parent != &pdev->dev.kobj)
			continue;
		dev = kobj_to_dev(kobj);
		if (dev->bus && !strcmp(dev->bus->name, "virtio") &&
		    kobject_get_unless_zero(kobj)) {
			found = dev;
			break;
		}
	}
	spin_unlock(&devices->list_lock);
	return found;
}

/* End what a virtio driver waits for, if its device is offline. */
static void vfu_queues_end(struct vfu_dev *vdev)
{
	struct pci_dev *pdev;
	struct device *dev;

	if (!vdev->cfg.virtio.modern || !vfu_dev_offline(vdev))
		return;
	pdev = vfu_pci_get(vdev);
	if (!pdev)
		return;
	dev = vfu_queues_of(pdev);
	if (dev) {
		vfu_queues_found(vdev, dev);
		put_device(dev);
	}
	pci_dev_put(pdev);
}

static void vfu_queues_work(struct work_struct *work)
{
	struct vfu_dev *vdev = container_of(to_delayed_work(work), struct vfu_dev, queues_work);

	vfu_queues_end(vdev);
	/* Without a PCI device one may still be found that is being looked for. */
	if (vfu_dev_offline(vdev) && READ_ONCE(vdev->state) != VFIOUSER_STATE_GONE)
		vfu_dev_queue_delayed(vdev, &vdev->queues_work, VFU_QUEUES_AGAIN_MS);
	else
		vfu_handback_stop(vdev);
	vfu_dev_put(vdev);
}

/**
 * vfu_queues_gone() - a device has gone offline: see to it that its driver, if it is one of a
 * virtio device, does not wait for it
 * @vdev: device
 *
 * Context: any but NMI.
 */
void vfu_queues_gone(struct vfu_dev *vdev)
{
	if (vdev->cfg.virtio.modern)
		vfu_dev_queue_delayed(vdev, &vdev->queues_work, 0);
}

/* Ends with the first disk, and a reference to it in @data. */
static int vfu_queues_disk(struct device *dev, void *data)
{
	struct device **disk = data;

	if (vfu_queues_is_disk(dev))
		*disk = vfu_queues_get(dev);
	return !!*disk;
}

/**
 * vfu_queues_leaving() - the driver of a device begins to leave it, or has left it
 * @vdev: device
 * @pdev: its PCI device
 * @leaving: whether it begins
 *
 * Context: may sleep; the PCI device's lock is held.
 */
void vfu_queues_leaving(struct vfu_dev *vdev, struct pci_dev *pdev, bool leaving)
{
	struct device *dev = leaving && vdev->cfg.virtio.modern ? vfu_queues_of(pdev) : NULL;
	struct device *disk = NULL;

	if (dev)
		device_for_each_child(dev, &disk, vfu_queues_disk);
	put_device(dev);
	raw_spin_lock_irq(&vdev->cfg_lock);
	swap(vdev->queues_leaving, disk);
	raw_spin_unlock_irq(&vdev->cfg_lock);
	vfu_queues_put(disk);
}

/**
 * vfu_queues_drain() - before the driver of an offline device is taken away
 * @vdev: device
 *
 * A disk's driver waits for its requests when it goes, and its disk cannot be found any more then.
 *
 * Context: may sleep.
 */
void vfu_queues_drain(struct vfu_dev *vdev)
{
	if (!vdev->cfg.virtio.modern)
		return;
	/* At once what is to be done again and again. */
	flush_delayed_work(&vdev->queues_work);
	if (!vfu_server_runs(vdev))
		return;
	msleep(VFU_QUEUES_AGAIN_MS);
	flush_delayed_work(&vdev->queues_work);
}

/**
 * vfu_queues_stop() - the device has gone, and its driver with it
 * @vdev: device, in state GONE
 *
 * Context: may sleep.
 */
void vfu_queues_stop(struct vfu_dev *vdev)
{
	vfu_dev_cancel_delayed(vdev, &vdev->queues_work);
	vfu_handback_stop(vdev);
}

/**
 * vfu_queues_init() - set-up
 * @vdev: device
 */
void vfu_queues_init(struct vfu_dev *vdev)
{
	INIT_DELAYED_WORK(&vdev->queues_work, vfu_queues_work);
}
