// SPDX-License-Identifier: GPL-2.0-only
/*
 * The device object: table, states, and the two pieces of work that bring a
 * device into the PCI hierarchy and take it out again.
 *
 * Locking: vfu_devs_lock (mutex) protects the table and the uniqueness of names.
 * The add and remove work of a device follow each other; both take the PCI
 * core's rescan lock inside.
 */
#include <linux/module.h>
#include <linux/notifier.h>
#include <linux/panic_notifier.h>
#include <linux/reboot.h>
#include <linux/sched/mm.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include <linux/suspend.h>
#include <linux/xarray.h>
#include <net/netlink.h>

#include "bars.h"
#include "bridge.h"
#include "config.h"
#include "device.h"
#include "dma.h"
#include "image.h"
#include "ioeventfd.h"
#include "irq.h"
#include "mmio.h"
#include "netlink.h"
#include "pinned.h"
#include "ram.h"
#include "recover.h"
#include "region.h"
#include "rescue.h"
#include "ring.h"
#include "trace.h"
#include "queues.h"
#include "window.h"

/* How long a driver may go on with its probe when the device is to be removed. */
#define VFU_PROBE_END_MS	10000

static DEFINE_XARRAY_ALLOC(vfu_devs);
static DEFINE_MUTEX(vfu_devs_lock);
static struct workqueue_struct *vfu_wq;
/* Nothing on it waits for a driver. */
static struct workqueue_struct *vfu_rescue_wq;

struct class vfu_class = {
	.name = "vfiouser",
};

/* ---- what anyone may know: /sys/class/vfiouser/NAME ---- */

static ssize_t state_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	static const char *const names[] = {
		[VFIOUSER_STATE_NONE]		= "none",
		[VFIOUSER_STATE_PROBING]	= "probing",
		[VFIOUSER_STATE_LIVE]		= "live",
		[VFIOUSER_STATE_LOST]		= "lost",
		[VFIOUSER_STATE_REMOVING]	= "removing",
		[VFIOUSER_STATE_GONE]		= "gone",
		[VFIOUSER_STATE_FROZEN]		= "frozen",
		[VFIOUSER_STATE_RESUMING]	= "resuming",
	};
	const struct vfu_dev *vdev = dev_get_drvdata(dev);

	return sysfs_emit(buf, "%s\n", names[READ_ONCE(vdev->state)]);
}
static DEVICE_ATTR_RO(state);

/* Empty while there is no PCI device. */
static ssize_t address_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct pci_dev *pdev = vfu_pci_get(dev_get_drvdata(dev));
	ssize_t len;

	if (!pdev)
		return sysfs_emit(buf, "\n");
	len = sysfs_emit(buf, "%s\n", pci_name(pdev));
	pci_dev_put(pdev);
	return len;
}
static DEVICE_ATTR_RO(address);

static struct attribute *vfu_dev_attrs[] = {
	&dev_attr_state.attr,
	&dev_attr_address.attr,
	NULL,
};
ATTRIBUTE_GROUPS(vfu_dev);

/* A device does not go back in its life; those of one rank can follow each other. */
static unsigned int vfu_state_rank(u32 state)
{
	switch (state) {
	case VFIOUSER_STATE_FROZEN:
	case VFIOUSER_STATE_RESUMING:
		return VFIOUSER_STATE_LIVE;
	default:
		return state;
	}
}

/**
 * vfu_dev_set_state() - the device enters a state, if it is not past it
 * @vdev: device
 * @state: enum vfiouser_state
 *
 * Context: any but NMI.
 */
void vfu_dev_set_state(struct vfu_dev *vdev, u32 state)
{
	u32 old = READ_ONCE(vdev->state);
	int idx;

	do {
		if (old == state || vfu_state_rank(old) > vfu_state_rank(state))
			return;
	} while (!try_cmpxchg(&vdev->state, &old, state));
	trace_vfiouser_state(vdev->id, state);
	idx = vfu_enter(vdev);
	vfu_ring_state(READ_ONCE(vdev->ring), READ_ONCE(vdev->state));
	vfu_leave(vdev, idx);
}

/**
 * vfu_dev_wake_all() - let the helper and all who wait for it look at the state again
 * @vdev: device
 *
 * Context: any but NMI.
 */
void vfu_dev_wake_all(struct vfu_dev *vdev)
{
	int idx = vfu_enter(vdev);

	vfu_ring_wake_all(READ_ONCE(vdev->ring));
	vfu_leave(vdev, idx);
	vfu_held_wake(vdev);
}

/**
 * vfu_dev_set_lost() - nothing is forwarded any more, for good
 * @vdev: device
 *
 * Context: any but NMI.
 * Return: whether it was not lost before.
 */
bool vfu_dev_set_lost(struct vfu_dev *vdev)
{
	unsigned long flags;
	bool was;

	raw_spin_lock_irqsave(&vdev->cfg_lock, flags);
	was = vdev->lost;
	WRITE_ONCE(vdev->lost, true);
	WRITE_ONCE(vdev->offline, true);
	raw_spin_unlock_irqrestore(&vdev->cfg_lock, flags);
	return !was;
}

/**
 * vfu_dev_queue() - have some work of a device done, with a reference held
 * @vdev: device
 * @work: drops the reference with vfu_dev_put()
 *
 * Context: any but NMI.
 */
void vfu_dev_queue(struct vfu_dev *vdev, struct work_struct *work)
{
	vfu_dev_get(vdev);
	if (!queue_work(vfu_wq, work))
		vfu_dev_put(vdev);
}

/**
 * vfu_dev_alarm() - set, or set anew, when some work of a device is to be done
 * @work: holds no reference, and waits for no other work
 * @ms: how much later
 *
 * Context: any but NMI.
 */
void vfu_dev_alarm(struct delayed_work *work, unsigned int ms)
{
	mod_delayed_work(vfu_rescue_wq, work, msecs_to_jiffies(ms));
}

/**
 * vfu_dev_queue_on() - have some work of a device done later, on a queue, with a reference held
 * @wq: queue
 * @vdev: device
 * @work: drops the reference with vfu_dev_put()
 * @ms: how much later
 *
 * Context: any but NMI.
 */
void vfu_dev_queue_on(struct workqueue_struct *wq, struct vfu_dev *vdev, struct delayed_work *work,
		      unsigned int ms)
{
	vfu_dev_get(vdev);
	if (!queue_delayed_work(wq, work, msecs_to_jiffies(ms)))
		vfu_dev_put(vdev);
}

/**
 * vfu_dev_queue_delayed() - have some work of a device done later, with a reference held
 * @vdev: device
 * @work: drops the reference with vfu_dev_put(); waits for no other work
 * @ms: how much later
 *
 * Context: any but NMI.
 */
void vfu_dev_queue_delayed(struct vfu_dev *vdev, struct delayed_work *work, unsigned int ms)
{
	vfu_dev_queue_on(vfu_rescue_wq, vdev, work, ms);
}

/**
 * vfu_dev_cancel_delayed() - undo either of them, with the reference that it took
 * @vdev: device
 * @work: what was queued, or not; it may be running
 *
 * Context: may sleep; the caller holds a reference of its own.
 */
void vfu_dev_cancel_delayed(struct vfu_dev *vdev, struct delayed_work *work)
{
	if (cancel_delayed_work_sync(work))
		vfu_dev_put(vdev);
}

/**
 * vfu_regions_release() - unpin the direct pages of all regions
 * @regions: VFU_NR_REGIONS of them
 *
 * Context: may sleep.
 */
void vfu_regions_release(struct vfu_region *regions)
{
	u32 i, j;

	for (i = 0; i < VFU_NR_REGIONS; i++) {
		for (j = 0; j < regions[i].nr_direct; j++)
			vfu_unpin(&regions[i].direct[j].pinned);
		kfree(regions[i].direct);
		regions[i].direct = NULL;
		regions[i].nr_direct = 0;
	}
}

/* Last reference gone: nothing can reach the device any more. */
static void vfu_dev_free_work(struct work_struct *work)
{
	struct vfu_dev *vdev = container_of(work, struct vfu_dev, remove_work);

	vfu_rescue_destroy(vdev);
	/* Interrupts look at who serves the device. */
	vfu_irqs_destroy(vdev);
	put_pid(vdev->serving.server);
	put_pid(vdev->recover.keeper);
	put_task_struct(vdev->serving.task);
	vfu_regions_release(vdev->regions);
	vfu_pool_destroy(vdev->pool);
	vfu_ram_put(vdev->ram);
	kvfree(vdev->cfg.table);
	vfu_bars_destroy(vdev);
	vfu_image_destroy(vdev);
	if (vdev->serving.helper)
		mmdrop(vdev->serving.helper);
	vfu_ring_put(vdev->ring);
	vfu_recover_exit(vdev);
	if (vdev->pool_file)
		fput(vdev->pool_file);
	free_percpu(vdev->stats);
	put_device(vdev->dev);
	vfu_slot_put(vdev->place.slot);
	kfree_rcu(vdev, rcu);
	module_put(THIS_MODULE);
}

/**
 * vfu_work_queue() - run work that must be over before the module can go
 * @work: what
 *
 * Context: any but NMI.
 */
void vfu_work_queue(struct work_struct *work)
{
	queue_work(vfu_wq, work);
}

/**
 * vfu_work_finish() - one work of vfu_work_queue()'s waits for another one
 * @work: the other one; it does not queue itself
 *
 * Where memory is short one thread runs them all, one after the other, and may be the caller: what
 * has not begun never would, while it is waited for. So that is done here.
 *
 * Context: may sleep.
 */
void vfu_work_finish(struct work_struct *work)
{
	if (cancel_work_sync(work))
		work->func(work);
}

static void vfu_dev_release(struct kref *ref)
{
	struct vfu_dev *vdev = container_of(ref, struct vfu_dev, ref);

	/* The last one may be dropped where nothing can sleep. */
	INIT_WORK(&vdev->remove_work, vfu_dev_free_work);
	queue_work(vfu_wq, &vdev->remove_work);
}

/**
 * vfu_dev_get() - take a reference
 * @vdev: device
 */
void vfu_dev_get(struct vfu_dev *vdev)
{
	kref_get(&vdev->ref);
}

/**
 * vfu_dev_put() - drop a reference
 * @vdev: device
 *
 * Context: any but NMI.
 */
void vfu_dev_put(struct vfu_dev *vdev)
{
	kref_put(&vdev->ref, vfu_dev_release);
}

/**
 * vfu_dev_find() - look a device up
 * @id: its id, where @name is NULL
 * @name: its name, or NULL
 *
 * Context: may sleep.
 * Return: the device with a reference, or NULL.
 */
struct vfu_dev *vfu_dev_find(u32 id, const char *name)
{
	struct vfu_dev *vdev = NULL;
	unsigned long index;

	mutex_lock(&vfu_devs_lock);
	if (!name) {
		vdev = xa_load(&vfu_devs, id);
	} else {
		xa_for_each(&vfu_devs, index, vdev)
			if (!strcmp(vdev->name, name))
				break;
	}
	if (vdev)
		vfu_dev_get(vdev);
	mutex_unlock(&vfu_devs_lock);
	return vdev;
}

/**
 * vfu_dev_next() - the device with the lowest id from @id on
 * @id: where to begin; set to its id
 *
 * Context: may sleep.
 * Return: the device with a reference, or NULL.
 */
struct vfu_dev *vfu_dev_next(unsigned long *id)
{
	struct vfu_dev *vdev;

	mutex_lock(&vfu_devs_lock);
	vdev = xa_find(&vfu_devs, id, ULONG_MAX, XA_PRESENT);
	if (vdev)
		vfu_dev_get(vdev);
	mutex_unlock(&vfu_devs_lock);
	return vdev;
}

/**
 * vfu_dev_stat() - sum of a counter over all CPUs
 * @vdev: device
 * @stat: which
 *
 * Return: the sum.
 */
u64 vfu_dev_stat(struct vfu_dev *vdev, enum vfu_stat stat)
{
	u64 sum = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		sum += READ_ONCE(per_cpu_ptr(vdev->stats, cpu)->count[stat]);
	return sum;
}

/**
 * vfu_dev_path() - sum of a path's numbers over all CPUs
 * @vdev: device
 * @path: which
 * @sum: result
 */
void vfu_dev_path(struct vfu_dev *vdev, enum vfiouser_path path, struct vfu_path *sum)
{
	const struct vfu_path *from;
	int cpu, i;

	memset(sum, 0, sizeof(*sum));
	for_each_possible_cpu(cpu) {
		from = &per_cpu_ptr(vdev->stats, cpu)->path[path];
		sum->bytes += READ_ONCE(from->bytes);
		sum->ns += READ_ONCE(from->ns);
		sum->max_ns = max(sum->max_ns, READ_ONCE(from->max_ns));
		for (i = 0; i < VFIOUSER_HIST_BUCKETS; i++)
			sum->hist[i] += READ_ONCE(from->hist[i]);
	}
}

static void vfu_dev_add(struct vfu_dev *vdev)
{
	int err;

	vfu_bridge_prepare(vdev);
	err = vfu_config_init(vdev);
	if (!err)
		err = vfu_window_create(vdev);
	if (!err)
		err = vfu_irq_domain_create(vdev);
	if (!err) {
		/*
		 * Before a driver has interrupts: in a server with an older libvfio-user, as
		 * SPDK v24.01, this takes the place of the first vector.
		 */
		vfu_recover_arm(vdev);
		err = vfu_bridge_add(vdev);
	}
	cancel_delayed_work_sync(&vdev->place.budget);
	if (!err && vfu_dev_lost(vdev))
		err = -ENODEV;
	if (err) {
		dev_err(vdev->dev, "cannot add the device: error %d\n", err);
		vfu_netlink_event(vdev, VFIOUSER_EVENT_FAILED, -err);
		vfu_dev_remove(vdev);
		return;
	}
	vfu_dev_set_state(vdev, VFIOUSER_STATE_LIVE);
	vfu_netlink_event(vdev, VFIOUSER_EVENT_ADDED, 0);
}

static void vfu_dev_add_work(struct work_struct *work)
{
	struct vfu_dev *vdev = container_of(work, struct vfu_dev, add_work);

	vfu_dev_add(vdev);
	complete_all(&vdev->added);
}

/*
 * A driver may wait in its probe for what a server that is well never does, and its removal for the
 * driver. Nobody has used the device yet, so nothing is lost with it. Returns whether it was taken away.
 */
static bool vfu_dev_end_probe(struct vfu_dev *vdev)
{
	/* What has not begun is done by vfu_work_finish(). */
	if (work_pending(&vdev->add_work) ||
	    wait_for_completion_timeout(&vdev->added, msecs_to_jiffies(VFU_PROBE_END_MS)) ||
	    vfu_dev_lost(vdev))
		return false;
	dev_err(vdev->dev, "its driver does not end its probe: the device is taken from it\n");
	vfu_dev_lose(vdev, "");
	return true;
}

/* Of a lost device: its server may go on with what drivers are about to free. */
static void vfu_dev_cut(struct vfu_dev *vdev)
{
	if (!vfu_dev_lost(vdev))
		return;
	vfu_ram_cut(vdev->ram);
	/* Reads of the pages that the server had shown are all-ones from now on. */
	vfu_mmio_update(vdev);
}

static void vfu_dev_remove_work(struct work_struct *work)
{
	struct vfu_dev *vdev = container_of(work, struct vfu_dev, remove_work);
	bool asked;

	/* A probe that is under way fails, and may be waiting for one of those pages to change. */
	vfu_dev_cut(vdev);
	asked = vfu_dev_end_probe(vdev);
	vfu_dev_cut(vdev);
	vfu_work_finish(&vdev->add_work);
	vfu_recover_stop(vdev);
	/* Or by itself: whoever keeps it served wants to know. */
	asked |= !vfu_dev_lost(vdev);
	/* Frozen, nobody will come any more. */
	if (vfu_dev_offline(vdev))
		vfu_dev_set_lost(vdev);
	vfu_dev_cut(vdev);
	if (vfu_dev_lost(vdev))
		vfu_netlink_event(vdev, VFIOUSER_EVENT_LOST, asked ? 0 : ETIMEDOUT);
	vfu_dev_set_state(vdev, VFIOUSER_STATE_REMOVING);
	vfu_slot_leave(vdev);
	vfu_bridge_remove(vdev);
	/* Whoever unloads the module next need not wait for their references. */
	vfu_watch_stop(vdev);
	vfu_irqfd_close(vdev);
	vfu_irqfd_clear(vdev);
	vfu_ioeventfd_clear(vdev);
	vfu_irq_domain_destroy(vdev);
	vfu_on_bus_put(vdev);
	dev_info(vdev->dev, "removed\n");
	device_unregister(vdev->dev);

	mutex_lock(&vfu_devs_lock);
	xa_erase(&vfu_devs, vdev->id);
	mutex_unlock(&vfu_devs_lock);
	vfu_dev_set_state(vdev, VFIOUSER_STATE_GONE);
	vfu_queues_stop(vdev);
	vfu_dev_wake_all(vdev);
	vfu_netlink_event(vdev, VFIOUSER_EVENT_REMOVED, 0);
	vfu_dev_put(vdev);
}

/**
 * vfu_dev_remove() - begin to remove a device; drivers are unbound first
 * @vdev: device
 *
 * Context: any but NMI. Further calls have no effect.
 */
void vfu_dev_remove(struct vfu_dev *vdev)
{
	if (!test_and_set_bit(0, &vdev->removing))
		queue_work(vfu_wq, &vdev->remove_work);
}

/**
 * vfu_dev_lose() - the device does not answer: stop asking it
 * @vdev: device
 * @why: for the log, one line
 *
 * Every access from now on reads all-ones at once, as after a surprise removal,
 * and the removal follows.
 *
 * Context: any but NMI.
 */
void vfu_dev_lose(struct vfu_dev *vdev, const char *why)
{
	if (!vfu_dev_set_lost(vdev))
		return;
	if (!test_bit(0, &vdev->removing))
		dev_err(vdev->dev, "lost: %s\n", why);
	vfu_dev_set_state(vdev, VFIOUSER_STATE_LOST);
	vfu_dev_wake_all(vdev);
	vfu_queues_gone(vdev);
	vfu_dev_remove(vdev);
}

/**
 * vfu_dev_refuse() - the server's device cannot be added
 * @vdev: device that is being added
 * @err: negative errno
 * @fmt: why, one line: for the log, and for whoever has asked for it
 *
 * Context: may sleep.
 * Return: @err.
 */
int vfu_dev_refuse(struct vfu_dev *vdev, int err, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vscnprintf(vdev->refusal, sizeof(vdev->refusal), fmt, args);
	va_end(args);
	dev_err(vdev->dev, "%s\n", vdev->refusal);
	return err;
}

/**
 * vfu_dev_create() - make a device and begin to scan its bus
 * @params: regions, areas and pool move to the device when this succeeds
 * @ring: of the channel it is bound to
 * @extack: tells the caller what is wrong
 *
 * Context: may sleep, the helper's process.
 * Return: the device with a reference for the caller, or an ERR_PTR.
 */
struct vfu_dev *vfu_dev_create(struct vfu_dev_params *params, struct vfu_ring *ring,
			       struct netlink_ext_ack *extack)
{
	struct vfu_dev *vdev, *other;
	unsigned int sleep_flags;
	unsigned long index;
	u32 i;
	int err;

	vdev = kzalloc(sizeof(*vdev), GFP_KERNEL_ACCOUNT);
	if (!vdev)
		return ERR_PTR(-ENOMEM);
	vdev->stats = alloc_percpu_gfp(struct vfu_stats, GFP_KERNEL_ACCOUNT);
	if (!vdev->stats || vfu_recover_init(vdev)) {
		free_percpu(vdev->stats);
		kfree(vdev);
		return ERR_PTR(-ENOMEM);
	}
	if (vfu_rescue_create(vdev)) {
		vfu_recover_exit(vdev);
		free_percpu(vdev->stats);
		kfree(vdev);
		return ERR_PTR(-ENOMEM);
	}
	kref_init(&vdev->ref);
	raw_spin_lock_init(&vdev->cfg_lock);
	vfu_budget_init(&vdev->budget);
	mutex_init(&vdev->irq.lock);
	INIT_WORK(&vdev->add_work, vfu_dev_add_work);
	init_completion(&vdev->added);
	INIT_WORK(&vdev->remove_work, vfu_dev_remove_work);
	vdev->irq.mode = -1;
	vfu_queues_init(vdev);
	vfu_watch_add(vdev);
	vdev->flags = params->flags;
	vdev->timeout_ms = params->timeout_ms;
	/* What passthrough gives a server must be taken back at once, not after a grace time. */
	vdev->grace_ms = params->ram ? 0 : params->grace_ms;
	vdev->pid = task_tgid_nr(current);
	strscpy(vdev->name, params->name, sizeof(vdev->name));
	strscpy(vdev->socket, params->socket, sizeof(vdev->socket));
	strscpy(vdev->recover.options, params->options, sizeof(vdev->recover.options));
	for (i = 0; i < VFIO_PCI_NUM_IRQS; i++) {
		err = vfu_irqs_create(vdev, i, params->irqs[i].count, params->irqs[i].flags);
		if (err) {
			NL_SET_ERR_MSG(extack, "cannot make the interrupt vectors");
			goto err_irqs;
		}
	}

	/* Not between vfu_pm(), which did not see it, and the freeze of the helper. */
	sleep_flags = lock_system_sleep();
	mutex_lock(&vfu_devs_lock);
	err = xa_alloc(&vfu_devs, &vdev->id, vdev, xa_limit_16b, GFP_KERNEL);
	if (err)
		goto err_unlock;
	if (!vdev->name[0])
		snprintf(vdev->name, sizeof(vdev->name), "vfu%u", vdev->id);
	xa_for_each(&vfu_devs, index, other) {
		if (other != vdev && !strcmp(other->name, vdev->name)) {
			NL_SET_ERR_MSG(extack, "a device of this name exists");
			err = -EEXIST;
			goto err_erase;
		}
	}
	err = vfu_irqs_start(vdev);
	if (err)
		goto err_erase;
	err = vfu_slot_join(vdev, params->slot, params->fn, extack);
	if (err)
		goto err_erase;
	vdev->dev = device_create_with_groups(&vfu_class, NULL, 0, vdev, vfu_dev_groups, "%s",
					      vdev->name);
	if (IS_ERR(vdev->dev)) {
		err = PTR_ERR(vdev->dev);
		goto err_slot;
	}
	/* Messages may still name it when it has been unregistered. */
	get_device(vdev->dev);
	vfu_ring_get(ring);
	vdev->ring = ring;
	vfu_ring_timeout(ring, vdev->timeout_ms);
	mmgrab(current->mm);
	vdev->serving.helper = current->mm;
	vdev->serving.task = get_task_struct(current);
	vdev->serving.server = vfu_server_get(params->server);
	if (params->keeper)
		vdev->recover.keeper = find_get_pid(params->keeper);
	vdev->recover.token = vfu_recover_token(params);
	memcpy(vdev->regions, params->regions, sizeof(vdev->regions));
	memset(params->regions, 0, sizeof(params->regions));
	vdev->pool = params->pool;
	params->pool = NULL;
	vdev->ram = params->ram;
	params->ram = NULL;
	vdev->pool_file = params->pool_file;
	params->pool_file = NULL;
	__module_get(THIS_MODULE);
	vfu_dev_set_state(vdev, VFIOUSER_STATE_PROBING);
	vfu_dev_get(vdev);
	queue_work(vfu_wq, &vdev->add_work);
	mutex_unlock(&vfu_devs_lock);
	unlock_system_sleep(sleep_flags);
	return vdev;

err_slot:
	vfu_slot_leave(vdev);
	vfu_on_bus_put(vdev);
	vfu_slot_put(vdev->place.slot);
err_erase:
	xa_erase(&vfu_devs, vdev->id);
err_unlock:
	mutex_unlock(&vfu_devs_lock);
	unlock_system_sleep(sleep_flags);
err_irqs:
	vfu_irqs_destroy(vdev);
	vfu_rescue_destroy(vdev);
	vfu_recover_exit(vdev);
	free_percpu(vdev->stats);
	kfree_rcu(vdev, rcu);
	return ERR_PTR(err);
}

/* ---- the end of the world ---- */

/*
 * Runs before the drivers' shutdown hooks: userspace is as good as gone, and
 * each of their accesses would wait for its bound. A driver that was told of a
 * freeze would even wait for its end in that hook: so it is unbound here.
 */
static int vfu_reboot(struct notifier_block *nb, unsigned long action, void *data)
{
	static const char why[] = "the system goes down";
	struct vfu_dev *vdev;
	unsigned long index;
	bool frozen = false;

	mutex_lock(&vfu_devs_lock);
	xa_for_each(&vfu_devs, index, vdev) {
		if (READ_ONCE(vdev->recover.phase) != VFU_PHASE_RUNNING) {
			frozen = true;
			vfu_dev_lose(vdev, why);
		} else if (vfu_dev_set_lost(vdev)) {
			dev_info(vdev->dev, "lost: %s\n", why);
			vfu_dev_wake_all(vdev);
		}
	}
	mutex_unlock(&vfu_devs_lock);
	if (frozen)
		flush_workqueue(vfu_wq);
	return NOTIFY_DONE;
}

static struct notifier_block vfu_reboot_nb = {
	.notifier_call = vfu_reboot,
	.priority = INT_MAX,
};

/* No locks, no sleep: other CPUs are stopped. */
static int vfu_panic(struct notifier_block *nb, unsigned long action, void *data)
{
	struct vfu_dev *vdev;
	unsigned long index;

	xa_for_each(&vfu_devs, index, vdev) {
		WRITE_ONCE(vdev->lost, true);
		WRITE_ONCE(vdev->offline, true);
	}
	return NOTIFY_DONE;
}

static struct notifier_block vfu_panic_nb = {
	.notifier_call = vfu_panic,
	.priority = INT_MAX,
};

/* The helper is frozen before devices suspend: nobody could answer them. */
static int vfu_pm(struct notifier_block *nb, unsigned long action, void *data)
{
	if (action != PM_SUSPEND_PREPARE && action != PM_HIBERNATION_PREPARE)
		return NOTIFY_DONE;
	if (xa_empty(&vfu_devs))
		return NOTIFY_DONE;
	pr_err("vfiouser_pci: cannot suspend while devices are attached; detach them first\n");
	return notifier_from_errno(-EBUSY);
}

static struct notifier_block vfu_pm_nb = {
	.notifier_call = vfu_pm,
};

/**
 * vfu_device_init() - module set-up
 *
 * Return: 0 or a negative errno.
 */
int vfu_device_init(void)
{
	int err;

	/*
	 * A device may lie under swap or dirty files: taking it away, or telling its driver that it
	 * is back, must find a thread without memory. Legacy: the driver's own work, which its
	 * handlers and its removal wait for, need not be on such a queue.
	 */
	vfu_wq = alloc_workqueue("vfiouser", WQ_UNBOUND | WQ_MEM_RECLAIM | __WQ_LEGACY, 0);
	vfu_rescue_wq = alloc_workqueue("vfiouser_rescue", WQ_UNBOUND | WQ_MEM_RECLAIM, 0);
	err = vfu_wq && vfu_rescue_wq ? class_register(&vfu_class) : -ENOMEM;
	if (err) {
		if (vfu_rescue_wq)
			destroy_workqueue(vfu_rescue_wq);
		if (vfu_wq)
			destroy_workqueue(vfu_wq);
		return err;
	}
	register_reboot_notifier(&vfu_reboot_nb);
	atomic_notifier_chain_register(&panic_notifier_list, &vfu_panic_nb);
	register_pm_notifier(&vfu_pm_nb);
	return 0;
}

/**
 * vfu_device_exit() - undo vfu_device_init(); no device exists any more
 */
void vfu_device_exit(void)
{
	unregister_pm_notifier(&vfu_pm_nb);
	atomic_notifier_chain_unregister(&panic_notifier_list, &vfu_panic_nb);
	unregister_reboot_notifier(&vfu_reboot_nb);
	destroy_workqueue(vfu_rescue_wq);
	/* Waits for a last vfu_dev_free_work(). */
	destroy_workqueue(vfu_wq);
	class_unregister(&vfu_class);
	xa_destroy(&vfu_devs);
}
