// SPDX-License-Identifier: GPL-2.0-only
/*
 * The channel: /dev/vfiouser, one open file a helper.
 *
 * An open file owns a request ring and, once DEVICE_NEW or DEVICE_TAKE has bound one,
 * a reference to a device. Closing it takes the device away by surprise, or freezes it
 * until another helper takes it: the channel of which is then the device's owner.
 *
 * A helper that was killed counts as gone when the last mapping of its ring does: its memory goes
 * before its files, and closing one of those that its server sent may wait for that for ever.
 *
 * Locking: vfu_channel_lock protects vfu_channel.vdev and @ram being set, once each, and who
 * owns a device.
 */
#include <linux/capability.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/poll.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>
#include <linux/workqueue.h>

#include "channel.h"
#include "device.h"
#include "ioeventfd.h"
#include "irq.h"
#include "ram.h"
#include "recover.h"
#include "ring.h"

struct vfu_channel {
	struct vfu_ring *ring;
	struct vfu_dev *vdev;
	struct vfu_ram *ram;
	atomic_t maps;		/* of the ring */
	unsigned long ended;	/* bit 0: @exit_work was queued, once */
	struct file *file;	/* held for @exit_work */
	struct work_struct exit_work;
	bool replaced;		/* the device has another owner, or none */
	u32 polled_state;
};

static DEFINE_MUTEX(vfu_channel_lock);

/* The one who serves by this channel does so no more. Further calls have no effect. */
static void vfu_channel_leave(struct vfu_channel *chan, const char *why)
{
	struct vfu_dev *vdev;

	mutex_lock(&vfu_channel_lock);
	vdev = chan->vdev;
	/* Before drivers that see a lost device free what the server writes to. */
	vfu_ram_cut(chan->ram);
	if (vdev && vdev->owner == chan) {
		vdev->owner = NULL;
		vdev->pid = 0;
		WRITE_ONCE(chan->replaced, true);
		/* Before another one owns it, whose server would be taken for gone. */
		vfu_dev_unserved(vdev, why);
	}
	mutex_unlock(&vfu_channel_lock);
}

static void vfu_channel_exit_work(struct work_struct *work)
{
	struct vfu_channel *chan = container_of(work, struct vfu_channel, exit_work);

	vfu_channel_leave(chan, "the helper has ended");
	fput(chan->file);
}

static int vfu_channel_open(struct inode *inode, struct file *file)
{
	struct vfu_channel *chan;

	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;
	chan = kzalloc(sizeof(*chan), GFP_KERNEL_ACCOUNT);
	if (!chan)
		return -ENOMEM;
	chan->ring = vfu_ring_create();
	if (IS_ERR(chan->ring)) {
		int err = PTR_ERR(chan->ring);

		kfree(chan);
		return err;
	}
	INIT_WORK(&chan->exit_work, vfu_channel_exit_work);
	file->private_data = chan;
	return nonseekable_open(inode, file);
}

static int vfu_channel_release(struct inode *inode, struct file *file)
{
	struct vfu_channel *chan = file->private_data;

	vfu_channel_leave(chan, "the helper closed its channel");
	vfu_ram_put(chan->ram);
	if (chan->vdev)
		vfu_dev_put(chan->vdev);
	vfu_ring_put(chan->ring);
	kfree(chan);
	return 0;
}

static void vfu_channel_vma_open(struct vm_area_struct *vma)
{
	struct vfu_channel *chan = vma->vm_file->private_data;

	atomic_inc(&chan->maps);
}

/* The rest is not for here: locks of the address space are held. */
static void vfu_channel_vma_close(struct vm_area_struct *vma)
{
	struct vfu_channel *chan = vma->vm_file->private_data;

	/* Who unmaps it, and lives on, will close the channel. */
	if (!atomic_dec_and_test(&chan->maps) || vma->vm_mm == current->mm ||
	    test_and_set_bit(0, &chan->ended))
		return;
	chan->file = get_file(vma->vm_file);
	vfu_work_queue(&chan->exit_work);
}

static const struct vm_operations_struct vfu_channel_vm_ops = {
	.open	= vfu_channel_vma_open,
	.close	= vfu_channel_vma_close,
};

static int vfu_channel_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct vfu_channel *chan = file->private_data;
	int err;

	if (vma->vm_pgoff != VFIOUSER_MMAP_RING >> PAGE_SHIFT)
		return -EINVAL;
	if (!(vma->vm_flags & VM_SHARED))
		return -EINVAL;
	err = remap_vmalloc_range(vma, chan->ring->shared, 0);
	if (err)
		return err;
	atomic_inc(&chan->maps);
	vma->vm_ops = &vfu_channel_vm_ops;
	return 0;
}

static __poll_t vfu_channel_poll(struct file *file, poll_table *wait)
{
	struct vfu_channel *chan = file->private_data;
	u32 state = READ_ONCE(chan->ring->shared->state);
	__poll_t mask = 0;

	poll_wait(file, &chan->ring->helper_wq, wait);
	if (vfu_ring_pending(chan->ring))
		mask |= EPOLLIN | EPOLLRDNORM;
	if (chan->vdev)
		state = READ_ONCE(chan->vdev->state);
	if (state != READ_ONCE(chan->polled_state)) {
		WRITE_ONCE(chan->polled_state, state);
		mask |= EPOLLPRI;
	}
	if (state == VFIOUSER_STATE_GONE || READ_ONCE(chan->replaced))
		mask |= EPOLLHUP;
	return mask;
}

static struct miscdevice vfu_channel_misc;

/* The caller's memory, which may take any time to come, is not touched under a lock. */
static int vfu_channel_give_ram(struct vfu_channel *chan, struct vfiouser_ram __user *uarg)
{
	const struct vfiouser_ram_range *ranges;
	struct vfiouser_ram arg;
	struct vfu_ram *ram;
	struct file *file;
	u32 room;
	int err;

	if (copy_from_user(&arg, uarg, sizeof(arg)))
		return -EFAULT;
	ram = vfu_ram_create(vfu_channel_misc.this_device);
	if (IS_ERR(ram))
		return PTR_ERR(ram);
	room = arg.count;
	arg.count = vfu_ram_ranges(ram, &ranges);
	err = -E2BIG;
	if (arg.count > room) {
		if (put_user(arg.count, &uarg->count))
			err = -EFAULT;
		goto err_ram;
	}
	err = -EFAULT;
	if (copy_to_user(u64_to_user_ptr(arg.ranges), ranges, arg.count * sizeof(*ranges)))
		goto err_ram;
	err = get_unused_fd_flags(O_CLOEXEC);
	if (err < 0)
		goto err_ram;
	arg.fd = err;
	file = vfu_ram_file(ram);
	if (IS_ERR(file)) {
		err = PTR_ERR(file);
		goto err_fd;
	}
	if (copy_to_user(uarg, &arg, sizeof(arg))) {
		err = -EFAULT;
		goto err_file;
	}
	mutex_lock(&vfu_channel_lock);
	err = chan->ram ? -EBUSY : 0;
	if (!err)
		chan->ram = ram;
	mutex_unlock(&vfu_channel_lock);
	if (err)
		goto err_file;
	fd_install(arg.fd, file);
	return 0;

err_file:
	fput(file);
err_fd:
	put_unused_fd(arg.fd);
err_ram:
	vfu_ram_put(ram);
	return err;
}

/* Another descriptor of the pool's file, for a helper that did not make it. */
static int vfu_channel_pool(struct vfu_dev *vdev)
{
	int fd;

	if (!vdev->pool_file)
		return -ENOENT;
	fd = get_unused_fd_flags(O_CLOEXEC);
	if (fd >= 0)
		fd_install(fd, get_file(vdev->pool_file));
	return fd;
}

static long vfu_channel_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct vfu_channel *chan = file->private_data;
	struct vfu_dev *vdev = READ_ONCE(chan->vdev);
	struct vfiouser_ioeventfd ioeventfd;
	struct vfiouser_irqfd irqfd;

	if (cmd == VFIOUSER_IOC_WAKE) {
		if (arg >= VFIOUSER_RING_SLOTS)
			return -EINVAL;
		vfu_ring_wake(chan->ring, arg);
		return 0;
	}
	/* Who is replaced right now may get through: its descriptors go with the next freeze. */
	if (!vdev || READ_ONCE(chan->replaced))
		vdev = NULL;
	switch (cmd) {
	case VFIOUSER_IOC_IRQFD:
		if (copy_from_user(&irqfd, (void __user *)arg, sizeof(irqfd)))
			return -EFAULT;
		return vdev ? vfu_irqfd_set(vdev, &irqfd) : -ENODEV;
	case VFIOUSER_IOC_IOEVENTFD:
		if (copy_from_user(&ioeventfd, (void __user *)arg, sizeof(ioeventfd)))
			return -EFAULT;
		return vdev ? vfu_ioeventfd_set(vdev, &ioeventfd) : -ENODEV;
	case VFIOUSER_IOC_RAM:
		return vfu_channel_give_ram(chan, (void __user *)arg);
	case VFIOUSER_IOC_REMOVE:
		if (!vdev)
			return -ENODEV;
		vfu_dev_remove(vdev);
		return 0;
	case VFIOUSER_IOC_POOL:
		return vdev ? vfu_channel_pool(vdev) : -ENODEV;
	case VFIOUSER_IOC_SERVER:
		if (arg != (pid_t)arg)
			return -ESRCH;
		return vdev ? vfu_recover_server(vdev, arg) : -ENODEV;
	}
	return -ENOTTY;
}

static const struct file_operations vfu_channel_fops = {
	.owner		= THIS_MODULE,
	.open		= vfu_channel_open,
	.release	= vfu_channel_release,
	.mmap		= vfu_channel_mmap,
	.poll		= vfu_channel_poll,
	.unlocked_ioctl	= vfu_channel_ioctl,
	.compat_ioctl	= compat_ptr_ioctl,
};

static struct miscdevice vfu_channel_misc = {
	.minor	= MISC_DYNAMIC_MINOR,
	.name	= VFIOUSER_DEV_NAME,
	.fops	= &vfu_channel_fops,
	.mode	= 0600,
};

/**
 * vfu_channel_ring() - the ring of an open channel
 * @file: any file
 *
 * Return: the ring, valid while @file is held, or NULL if it is no channel.
 */
struct vfu_ring *vfu_channel_ring(struct file *file)
{
	struct vfu_channel *chan = file->private_data;

	return file->f_op == &vfu_channel_fops ? chan->ring : NULL;
}

/**
 * vfu_channel_ram() - the host's memory, where a channel has asked for it
 * @file: a channel
 *
 * Return: the memory with a reference, or NULL.
 */
struct vfu_ram *vfu_channel_ram(struct file *file)
{
	struct vfu_channel *chan = file->private_data;
	struct vfu_ram *ram;

	mutex_lock(&vfu_channel_lock);
	ram = chan->ram;
	if (ram)
		vfu_ram_get(ram);
	mutex_unlock(&vfu_channel_lock);
	return ram;
}

/**
 * vfu_channel_bind() - create a channel's device
 * @file: a channel
 * @params: what to make
 * @extack: tells the caller what is wrong
 *
 * Context: may sleep, the helper's process.
 * Return: the device, valid while @file is held, or an ERR_PTR; -EBUSY if the
 * channel has one.
 */
struct vfu_dev *vfu_channel_bind(struct file *file, struct vfu_dev_params *params,
				 struct netlink_ext_ack *extack)
{
	struct vfu_channel *chan = file->private_data;
	struct vfu_dev *vdev;
	unsigned int noio;

	/* Another device's recovery wants the lock, and memory may have to be written to it. */
	noio = memalloc_noio_save();
	mutex_lock(&vfu_channel_lock);
	if (chan->vdev) {
		vdev = ERR_PTR(-EBUSY);
	} else {
		vdev = vfu_dev_create(params, chan->ring, extack);
		if (!IS_ERR(vdev)) {
			vdev->owner = chan;
			WRITE_ONCE(chan->vdev, vdev);
		}
	}
	mutex_unlock(&vfu_channel_lock);
	memalloc_noio_restore(noio);
	return vdev;
}

/**
 * vfu_channel_take() - make a channel the owner of a device that exists
 * @file: a channel
 * @vdev: device
 * @extack: tells the caller what is wrong
 *
 * Context: may sleep, the helper's process.
 * Return: 0; -EBUSY if the channel has a device, or this one is still being added;
 * -ENODEV if it is going.
 */
int vfu_channel_take(struct file *file, struct vfu_dev *vdev, struct netlink_ext_ack *extack)
{
	struct vfu_channel *chan = file->private_data, *old;
	int err = -EBUSY;

	mutex_lock(&vfu_channel_lock);
	old = vdev->owner;
	/* Before it sees the freeze, so that it knows why. */
	if (old)
		WRITE_ONCE(old->replaced, true);
	if (!chan->vdev)
		err = vfu_recover_take(vdev, extack);
	if (err && old)
		WRITE_ONCE(old->replaced, false);
	if (!err) {
		vdev->owner = chan;
		vdev->pid = task_tgid_nr(current);
		vfu_dev_get(vdev);
		WRITE_ONCE(chan->vdev, vdev);
		vfu_ring_state(chan->ring, VFIOUSER_STATE_FROZEN);
		if (old)
			vfu_ring_wake_all(old->ring);
	}
	mutex_unlock(&vfu_channel_lock);
	return err;
}

/**
 * vfu_channel_resume() - a channel that took a device has a server for it
 * @file: a channel
 * @params: the server's device; areas move to it when this succeeds
 * @extack: tells the caller what is wrong
 *
 * Context: may sleep, the helper's process.
 * Return: 0; -ENODEV without a device; or see vfu_recover_resume().
 */
int vfu_channel_resume(struct file *file, struct vfu_dev_params *params,
		       struct netlink_ext_ack *extack)
{
	struct vfu_channel *chan = file->private_data;
	int err = -ENODEV;

	mutex_lock(&vfu_channel_lock);
	if (chan->vdev && chan->vdev->owner == chan)
		err = vfu_recover_resume(chan->vdev, params, chan->ring, extack);
	mutex_unlock(&vfu_channel_lock);
	return err;
}

/**
 * vfu_channel_init() - register the character device
 *
 * Return: 0 or a negative errno.
 */
int vfu_channel_init(void)
{
	return misc_register(&vfu_channel_misc);
}

/**
 * vfu_channel_exit() - unregister the character device
 */
void vfu_channel_exit(void)
{
	misc_deregister(&vfu_channel_misc);
}
