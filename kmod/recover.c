// SPDX-License-Identifier: GPL-2.0-only
/*
 * When the server or the helper is gone, and when they come back.
 *
 * A device with a grace time is frozen instead of lost: accesses are answered with
 * all-ones at once, writes and interrupts go nowhere, and its driver is told by its
 * pci_error_handlers, as of a PCI slot that is being reset. Another helper then takes the
 * device (DEVICE_TAKE), connects to the server, and brings what it has (DEVICE_RESUME):
 * a new request ring, new direct pages, new eventfds. The DMA pool stays, which is why
 * the kernel keeps its file. The driver is told again and sets the device up as after a
 * reset.
 *
 * A server can say that it keeps its device's state for a client that has gone without a
 * word, and names that state by a token. Where the helper of such a server goes, and the
 * server does not, the device is held instead of frozen: requests wait, and doorbells that
 * are eventfds, interrupts and DMA go on, since no process of ours takes part in them. A
 * helper that comes with the same token takes the device up where it was, its interrupts
 * are armed anew and raised once, and the driver knows of nothing. Otherwise the hold
 * becomes a freeze: where the server goes as well, or has another token, where an access
 * that cannot sleep has waited for as long as it may, or where it is not known of all
 * that the helper was asked to tell the server that it did. While a device is held, those
 * who wait are inside of vfu_enter(): what served it before is let go of when they are
 * through, not before another one does. Direct pages are used all the while, and stay: what
 * the server shows the next helper has to be the same ones.
 *
 * A driver without error handlers cannot wait: its PCI device is taken out of the bus at
 * the freeze and found again at the end. So it is at the end where a driver has left it on
 * its own meanwhile, as one does whose probe the server did not survive. What does not end
 * within the grace time ends as a surprise removal.
 *
 * The order in vfu_dev_freeze() matters: a driver that reads all-ones and then looks
 * whether the channel is offline must find that it is; nvme's timeout handler would else
 * reset the controller on its own and give it up.
 *
 * A slot that is frozen lets no DMA through. A server that hangs, or whose helper has
 * died, may still go on with what it was asked, and write to the pool: nvme would complete
 * requests a second time that it has cancelled. So a driver that keeps its queues, as one
 * with error handlers does, is told of the freeze only once the server is gone, or talks
 * on a new connection: it has dropped the old one then, with all that it had begun. Of a
 * server that nobody can name, on another machine or in a namespace of its own, only the
 * latter can be known.
 *
 * Once a driver was told to resume, it is not told of another freeze before it is
 * through: its own handler may wait for the device, and would do so for ever. It then sees
 * a device that does not answer and gives up; what it makes of the next round is up to it,
 * at worst its device is taken out and found again.
 *
 * Locking: vfu_dev.cfg_lock protects vfu_recover.phase and @again, vfu_dev.offline,
 * vfu_dev.pdev and the PCI device's error state. One worker talks to the driver. What
 * serves the device is exchanged while it is frozen and nobody is inside of vfu_enter().
 */
#include <linux/delay.h>
#include <linux/overflow.h>
#include <linux/pci.h>
#include <linux/sched/mm.h>
#include <linux/sched/task.h>
#include <net/netlink.h>

#include "bridge.h"
#include "config.h"
#include "device.h"
#include "ioeventfd.h"
#include "irq.h"
#include "mmio.h"
#include "netlink.h"
#include "recover.h"
#include "rescue.h"
#include "ring.h"
#include "queues.h"

/* For a device without a grace time, the helper of which is replaced. */
#define VFU_REPLACE_MS		30000

/* Between two errors of its device that a server signals. */
#define VFU_ERROR_PAUSE		HZ

/* How long a reset may take that the device itself has asked for, in message timeouts. */
#define VFU_RESET_TIMEOUTS	6

/**
 * vfu_enter() - use what serves the device: its ring, its direct pages
 * @vdev: device
 *
 * Context: any; nests.
 * Return: for vfu_leave().
 */
int vfu_enter(struct vfu_dev *vdev)
	__acquires(&vdev->recover.users)
{
	/* Nobody answers in an NMI, and nothing is looked at. */
	if (in_nmi()) {
		__acquire(&vdev->recover.users);
		return -1;
	}
	return srcu_read_lock(&vdev->recover.users);
}

/**
 * vfu_leave() - end of vfu_enter()
 * @vdev: device
 * @idx: what it returned
 *
 * Context: that of vfu_enter().
 */
void vfu_leave(struct vfu_dev *vdev, int idx)
	__releases(&vdev->recover.users)
{
	if (idx >= 0)
		srcu_read_unlock(&vdev->recover.users, idx);
	else
		__release(&vdev->recover.users);
}

/**
 * vfu_held() - do requests wait for another helper?
 * @vdev: device
 *
 * Context: any.
 * Return: true if they do; false also where they have waited, and the device is offline.
 */
bool vfu_held(const struct vfu_dev *vdev)
{
	/* Acquire: pairs with the release that ends it, and brings another ring. */
	return smp_load_acquire(&vdev->recover.phase) == VFU_PHASE_HELD;
}

/**
 * vfu_held_wake() - let those who wait look again
 * @vdev: device
 *
 * Context: any but NMI.
 */
void vfu_held_wake(struct vfu_dev *vdev)
{
	wake_up_all(&vdev->recover.held);
}

/**
 * vfu_recover_token() - by what the state of a server's device is known, if it can go on silently
 * @params: what the server offers
 *
 * Context: any.
 * Return: the token, or 0.
 */
u64 vfu_recover_token(const struct vfu_dev_params *params)
{
	return params->ram ? 0 : params->token;
}

/* ---- the freeze ---- */

/* A process other than @server, which is as the caller sees it; inside, see vfu_enter(). */
static bool vfu_old_server_runs(struct vfu_dev *vdev, pid_t server)
{
	struct task_struct *task;
	struct pid *old;
	bool runs;

	rcu_read_lock();
	old = READ_ONCE(vdev->serving.server);
	task = old ? pid_task(old, PIDTYPE_TGID) : NULL;
	runs = task && !(READ_ONCE(task->flags) & PF_EXITING) && pid_vnr(old) != server;
	rcu_read_unlock();
	return runs;
}

/**
 * vfu_server_get() - the process that a helper names as its device's server
 * @nr: its number, as the caller sees it; 0 where that is not known
 *
 * A thread of the kernel's is none, whoever says so: a server is given CPUs which are not its own.
 *
 * Context: any but NMI.
 * Return: it, for put_pid(); NULL if there is no such process.
 */
struct pid *vfu_server_get(pid_t nr)
{
	struct pid *pid = find_get_pid(nr);
	struct task_struct *task;
	bool is_process;

	rcu_read_lock();
	task = pid ? pid_task(pid, PIDTYPE_TGID) : NULL;
	is_process = task && !(READ_ONCE(task->flags) & PF_KTHREAD);
	rcu_read_unlock();
	if (is_process)
		return pid;
	put_pid(pid);
	return NULL;
}

/**
 * vfu_server_runs() - is the server still there that the device has, or had until it went offline?
 * @vdev: device
 *
 * Context: any but NMI.
 * Return: true if it is; false also where it is not known who that is.
 */
bool vfu_server_runs(struct vfu_dev *vdev)
{
	/* For who it is: see vfu_served_put(). */
	int idx = vfu_enter(vdev);
	bool runs = vfu_old_server_runs(vdev, 0);

	vfu_leave(vdev, idx);
	return runs;
}

/**
 * vfu_recover_settle() - where a device could be held, see to it that it is known what it was told
 * @vdev: device
 *
 * Not every write is followed by a read.
 *
 * Context: may sleep.
 */
void vfu_recover_settle(struct vfu_dev *vdev)
{
	int idx = vfu_enter(vdev);

	if (READ_ONCE(vdev->recover.token) && !vfu_ring_settled(READ_ONCE(vdev->ring)))
		vfu_region_push(vdev);
	vfu_leave(vdev, idx);
}

/* cfg_lock held. Returns whether the device can wait without its driver's knowledge, and does. */
static bool vfu_hold(struct vfu_dev *vdev)
{
	struct vfu_recover *r = &vdev->recover;

	lockdep_assert_held(&vdev->cfg_lock);
	if (!r->token || READ_ONCE(vdev->reset.active) || !vfu_server_runs(vdev))
		return false;
	/* Under the ring's lock: who has not come so far sees it. */
	WRITE_ONCE(r->phase, VFU_PHASE_HELD);
	if (!vfu_ring_settled(READ_ONCE(vdev->ring))) {
		WRITE_ONCE(r->phase, VFU_PHASE_RUNNING);
		return false;
	}
	WRITE_ONCE(r->arms, true);
	return true;
}

/* cfg_lock held. */
static void vfu_set_error_state(struct vfu_dev *vdev, pci_channel_state_t from,
				pci_channel_state_t to)
{
	lockdep_assert_held(&vdev->cfg_lock);
	if (vdev->place.pdev && vdev->place.pdev->error_state == from)
		WRITE_ONCE(vdev->place.pdev->error_state, to);
}

enum vfu_freeze { VFU_FREEZE_NOT, VFU_FREEZE_HELD, VFU_FREEZE_FROZEN };

/* cfg_lock held. */
static enum vfu_freeze vfu_freeze_phase(struct vfu_dev *vdev, bool grace, bool hold)
{
	struct vfu_recover *r = &vdev->recover;

	if (r->phase != VFU_PHASE_HELD && (!grace || test_bit(0, &vdev->removing)))
		return VFU_FREEZE_NOT;
	/* The server's new connection is still to come, or was that which has ended. */
	WRITE_ONCE(r->connected, false);
	if (r->phase == VFU_PHASE_RESUMING) {
		r->again = true;
		/* A driver that has been told nothing yet; see the top of this file. */
		if (r->silent)
			vfu_set_error_state(vdev, pci_channel_io_normal, pci_channel_io_frozen);
		return VFU_FREEZE_FROZEN;
	}
	if (r->phase != VFU_PHASE_HELD && READ_ONCE(vdev->state) != VFIOUSER_STATE_LIVE)
		return VFU_FREEZE_NOT;
	if (hold && vfu_hold(vdev))
		return VFU_FREEZE_HELD;
	WRITE_ONCE(r->arms, false);
	vfu_set_error_state(vdev, pci_channel_io_normal, pci_channel_io_frozen);
	return VFU_FREEZE_FROZEN;
}

/*
 * Returns false if the device cannot be frozen now; true if it is, since now or before, or held
 * where that will do (@hold), or lost. What is held already has its time from before.
 */
static bool vfu_dev_freeze(struct vfu_dev *vdev, const char *why, u32 grace_ms, bool hold)
{
	struct vfu_recover *r = &vdev->recover;
	enum vfu_freeze how;
	unsigned long flags;
	bool held;
	int idx;

	/* For the ring. */
	idx = vfu_enter(vdev);
	raw_spin_lock_irqsave(&vdev->cfg_lock, flags);
	held = r->phase == VFU_PHASE_HELD;
	if (vdev->offline || (held && hold)) {
		raw_spin_unlock_irqrestore(&vdev->cfg_lock, flags);
		vfu_leave(vdev, idx);
		return true;
	}
	how = vfu_freeze_phase(vdev, grace_ms, hold);
	if (how == VFU_FREEZE_FROZEN) {
		/* Between the error state and all-ones; see the top of this file. */
		smp_mb();
		WRITE_ONCE(vdev->offline, true);
		WRITE_ONCE(vdev->reset.active, false);
		if (!r->again)
			/* Release, behind that: who has waited finds it offline. */
			smp_store_release(&r->phase, VFU_PHASE_FROZEN);
	}
	if (how != VFU_FREEZE_NOT && !held)
		vfu_dev_alarm(&r->grace, grace_ms);
	raw_spin_unlock_irqrestore(&vdev->cfg_lock, flags);
	vfu_leave(vdev, idx);
	if (how == VFU_FREEZE_NOT)
		return false;

	if (how == VFU_FREEZE_HELD)
		dev_notice(vdev->dev, "held: %s; waiting %u s for another\n", why,
			   grace_ms / 1000);
	else if (held)
		dev_warn(vdev->dev, "frozen: %s\n", why);
	else
		dev_warn(vdev->dev, "frozen: %s; waiting %u s for its return\n", why,
			 grace_ms / 1000);
	vfu_dev_set_state(vdev, VFIOUSER_STATE_FROZEN);
	vfu_dev_wake_all(vdev);
	if (how == VFU_FREEZE_FROZEN)
		vfu_queues_gone(vdev);
	vfu_dev_queue(vdev, &r->work);
	return true;
}

/* Of a device that is held, or was until now. */
static void vfu_hold_end(struct vfu_dev *vdev, const char *why)
{
	if (vfu_held(vdev))
		vfu_dev_freeze(vdev, why, vdev->grace_ms, false);
}

/**
 * vfu_dev_fail() - who serves the device does not, or not as it should
 * @vdev: device
 * @why: for the log, one line
 *
 * Freezes the device if it has a grace time, else it is lost. Every access from now on
 * reads all-ones at once.
 *
 * Context: any but NMI.
 */
void vfu_dev_fail(struct vfu_dev *vdev, const char *why)
{
	if (!vfu_dev_freeze(vdev, why, vdev->grace_ms, false))
		vfu_dev_lose(vdev, why);
}

/**
 * vfu_dev_unserved() - the device has no helper any more; its server may be there all the same
 * @vdev: device
 * @why: for the log, one line
 *
 * As vfu_dev_fail(), but the device may be held.
 *
 * Context: any but NMI.
 */
void vfu_dev_unserved(struct vfu_dev *vdev, const char *why)
{
	if (!vfu_dev_freeze(vdev, why, vdev->grace_ms, true))
		vfu_dev_lose(vdev, why);
}

static void vfu_recover_grace(struct work_struct *work)
{
	struct vfu_dev *vdev = container_of(to_delayed_work(work), struct vfu_dev, recover.grace);

	if (vfu_dev_offline(vdev) || vfu_held(vdev))
		vfu_dev_lose(vdev, "it was not recovered in time");
}

/**
 * vfu_recover_set_grace() - change how long the device waits for another helper
 * @vdev: device
 * @ms: milliseconds, 0: not at all; where the device waits, from now on
 * @extack: tells the caller what is wrong
 *
 * Context: may sleep.
 * Return: 0; -EOPNOTSUPP with passthrough DMA.
 */
int vfu_recover_set_grace(struct vfu_dev *vdev, u32 ms, struct netlink_ext_ack *extack)
{
	unsigned long flags;

	if (ms && vdev->ram) {
		NL_SET_ERR_MSG(extack,
			       "with passthrough DMA a device cannot wait for another server");
		return -EOPNOTSUPP;
	}
	raw_spin_lock_irqsave(&vdev->cfg_lock, flags);
	WRITE_ONCE(vdev->grace_ms, ms);
	/* Neither one that has just ended nor one that is over is begun again. */
	if ((vdev->offline || vfu_held(vdev)) && delayed_work_pending(&vdev->recover.grace))
		vfu_dev_alarm(&vdev->recover.grace, ms);
	raw_spin_unlock_irqrestore(&vdev->cfg_lock, flags);
	return 0;
}

/**
 * vfu_recover_left_ms() - what is left of the grace time
 * @vdev: device
 * @ms: result, milliseconds
 *
 * Context: any; a snapshot.
 * Return: false if the device does not wait.
 */
bool vfu_recover_left_ms(struct vfu_dev *vdev, u32 *ms)
{
	unsigned long end = READ_ONCE(vdev->recover.grace.timer.expires);

	if (!(vfu_dev_offline(vdev) || vfu_held(vdev)) ||
	    !delayed_work_pending(&vdev->recover.grace))
		return false;
	*ms = time_before(jiffies, end) ? jiffies_to_msecs(end - jiffies) : 0;
	return true;
}

/* ---- the driver ---- */

/* Does the driver, if there is one, want to know? device_lock() held. */
static bool vfu_is_told(const struct pci_driver *drv)
{
	return drv && drv->err_handler && drv->err_handler->error_detected;
}

/* Returns whether the driver, if there is one, goes on by being told of a reset. */
static bool vfu_tell_error(struct vfu_dev *vdev, struct pci_dev *pdev, pci_channel_state_t state)
{
	pci_ers_result_t vote = PCI_ERS_RESULT_NONE;
	const struct pci_driver *drv;
	bool goes_on;

	device_lock(&pdev->dev);
	drv = pdev->driver;
	/* Told twice, without a reset in between, a driver gives its device up. */
	if (READ_ONCE(vdev->recover.knows) && drv && drv == vdev->recover.told)
		vote = PCI_ERS_RESULT_NEED_RESET;
	else if (vfu_is_told(drv))
		vote = drv->err_handler->error_detected(pdev, state);
	goes_on = !drv || vote == PCI_ERS_RESULT_NEED_RESET ||
		  vote == PCI_ERS_RESULT_CAN_RECOVER || vote == PCI_ERS_RESULT_RECOVERED;
	if (!goes_on)
		dev_notice(vdev->dev, "driver %s cannot wait: unbound until the device is back\n",
			   drv->name);
	WRITE_ONCE(vdev->recover.knows, goes_on && state == pci_channel_io_frozen);
	device_unlock(&pdev->dev);
	vdev->recover.told = drv;
	return goes_on;
}

/*
 * The same for its being back; another driver than before finds out by itself. Of a device that is
 * offline again this is not said: the driver would find nothing and give it up. It still knows.
 */
static bool vfu_tell_reset(struct vfu_dev *vdev, struct pci_dev *pdev)
{
	const struct pci_error_handlers *handlers = NULL;
	pci_ers_result_t vote = PCI_ERS_RESULT_RECOVERED;

	raw_spin_lock_irq(&vdev->cfg_lock);
	if (vdev->offline) {
		raw_spin_unlock_irq(&vdev->cfg_lock);
		return true;
	}
	vfu_set_error_state(vdev, pci_channel_io_frozen, pci_channel_io_normal);
	raw_spin_unlock_irq(&vdev->cfg_lock);

	device_lock(&pdev->dev);
	WRITE_ONCE(vdev->recover.knows, false);
	if (pdev->driver && pdev->driver == vdev->recover.told)
		handlers = pdev->driver->err_handler;
	if (handlers && handlers->slot_reset)
		vote = handlers->slot_reset(pdev);
	if (vote != PCI_ERS_RESULT_RECOVERED && vote != PCI_ERS_RESULT_NONE)
		handlers = NULL;
	if (handlers && handlers->resume)
		handlers->resume(pdev);
	if (vote != PCI_ERS_RESULT_RECOVERED && vote != PCI_ERS_RESULT_NONE)
		dev_notice(vdev->dev, "driver %s cannot go on: bound anew\n", pdev->driver->name);
	device_unlock(&pdev->dev);
	return vote == PCI_ERS_RESULT_RECOVERED || vote == PCI_ERS_RESULT_NONE;
}

/* ---- the worker ---- */

/* See the top of this file. */
static void vfu_wait_old_server(struct vfu_dev *vdev, struct pci_dev *pdev)
{
	bool told;

	device_lock(&pdev->dev);
	told = vfu_is_told(pdev->driver);
	device_unlock(&pdev->dev);
	while (told && (!vdev->serving.server || vfu_server_runs(vdev)) &&
	       !READ_ONCE(vdev->recover.connected) && !vfu_dev_lost(vdev) &&
	       !test_bit(0, &vdev->removing))
		msleep(20);
}

static void vfu_recover_show(struct vfu_dev *vdev)
{
	if (!vdev->recover.shown)
		vfu_netlink_event(vdev, VFIOUSER_EVENT_FROZEN, 0);
	vdev->recover.shown = true;
}

/* Until there is another helper, or the server has gone as well, and what it knew. */
static void vfu_recover_hold(struct vfu_dev *vdev)
{
	vfu_recover_show(vdev);
	while (vfu_held(vdev) && !test_bit(0, &vdev->removing)) {
		if (!vfu_server_runs(vdev))
			vfu_hold_end(vdev, "its server has gone as well");
		else
			msleep(20);
	}
}

static void vfu_recover_pull(struct vfu_dev *vdev)
{
	vdev->recover.pulled = true;
	vfu_bridge_pull(vdev);
	/* What the driver wrote when it went did not get through. */
	vfu_config_forget(vdev);
}

static void vfu_recover_frozen(struct vfu_dev *vdev)
{
	struct pci_dev *pdev;

	vfu_recover_show(vdev);
	vfu_irqfd_clear(vdev);
	vfu_ioeventfd_clear(vdev);
	vfu_mmio_update(vdev);
	pdev = vfu_pci_get(vdev);
	if (pdev)
		vfu_wait_old_server(vdev, pdev);
	if (pdev && !vfu_tell_error(vdev, pdev, pci_channel_io_frozen))
		vfu_recover_pull(vdev);
	pci_dev_put(pdev);
}

/* Has its driver left the device on its own since it went offline? */
static bool vfu_recover_left(struct vfu_dev *vdev)
{
	struct pci_dev *pdev = vfu_pci_get(vdev);
	bool left;

	if (!pdev)
		return false;
	device_lock(&pdev->dev);
	left = !pdev->driver && READ_ONCE(vdev->recover.driven);
	device_unlock(&pdev->dev);
	pci_dev_put(pdev);
	return left;
}

/* Nobody looks any more at who has served the device before. */
static void vfu_served_put(struct vfu_dev *vdev)
{
	struct vfu_served *old = &vdev->recover.served;

	if (!old->ring)
		return;
	vfu_ring_put(old->ring);
	put_task_struct(old->task);
	mmdrop(old->helper);
	put_pid(old->server);
	put_pid(old->keeper);
	memset(old, 0, sizeof(*old));
}

/* Who has waited is served by now, or finds the device offline. */
static void vfu_recover_leave_old(struct vfu_dev *vdev)
{
	synchronize_srcu(&vdev->recover.users);
	vfu_rescue_flush(vdev);
	vfu_served_put(vdev);
}

/* The server has kept all but the connection. */
static void vfu_recover_rejoin(struct vfu_dev *vdev)
{
	/* Answered once the helper serves. */
	vfu_region_push(vdev);
	vfu_ioeventfd_drop(vdev);
	vfu_recover_arm(vdev);
	if (vfu_irqs_rearm(vdev) && !vfu_dev_offline(vdev))
		vfu_dev_fail(vdev, "the server does not take its interrupts again");
	vfu_irqfd_drop(vdev);
	vfu_recover_settle(vdev);
	vfu_recover_leave_old(vdev);
}

/* Tell the server, and then the driver, where they are. */
static void vfu_recover_restart(struct vfu_dev *vdev)
{
	struct vfu_recover *r = &vdev->recover;
	struct pci_dev *pdev;

	if (r->silent) {
		vfu_recover_rejoin(vdev);
		return;
	}
	r->retried = vfu_recover_left(vdev);
	if (r->retried) {
		dev_notice(vdev->dev, "its driver has left it meanwhile: bound anew\n");
		vfu_recover_pull(vdev);
	}
	/* Answered once the helper serves. */
	vfu_region_push(vdev);
	vfu_config_restore(vdev);
	vfu_recover_arm(vdev);
	pdev = vfu_pci_get(vdev);
	if (pdev) {
		vfu_irqs_rearm(vdev);
		if (!vfu_tell_reset(vdev, pdev)) {
			r->pulled = true;
			vfu_bridge_pull(vdev);
		}
		pci_dev_put(pdev);
	}
	if (r->pulled && !vfu_dev_offline(vdev)) {
		r->pulled = false;
		vfu_bridge_plug(vdev);
	}
	vfu_recover_leave_old(vdev);
}

/* Returns false if the server was gone again meanwhile. */
static bool vfu_recover_end(struct vfu_dev *vdev)
{
	struct vfu_recover *r = &vdev->recover;
	bool again;

	raw_spin_lock_irq(&vdev->cfg_lock);
	again = r->again;
	r->again = false;
	r->silent = false;
	WRITE_ONCE(r->phase, again ? VFU_PHASE_FROZEN : VFU_PHASE_RUNNING);
	if (again)
		vfu_set_error_state(vdev, pci_channel_io_normal, pci_channel_io_frozen);
	else
		/* With the phase: what is neither live nor resuming is not frozen but lost. */
		vfu_dev_set_state(vdev, VFIOUSER_STATE_LIVE);
	raw_spin_unlock_irq(&vdev->cfg_lock);
	r->shown = false;
	if (again)
		return false;
	dev_info(vdev->dev, "recovered\n");
	vfu_netlink_event(vdev, VFIOUSER_EVENT_RECOVERED, r->retried ? ENXIO : 0);
	/* The next one may be silent, and nobody looks for a driver then. */
	r->retried = false;
	return true;
}

/* The server has signalled an error: its device is reset, as a slot would be. */
static void vfu_recover_error(struct vfu_dev *vdev)
{
	bool reset = vdev->flags & VFIOUSER_DEV_F_RESET;
	struct pci_dev *pdev = vfu_pci_get(vdev);
	unsigned long end;
	bool goes_on;

	if (!pdev)
		return;
	dev_warn_ratelimited(vdev->dev, "the server signals an error of its device%s\n",
			     reset ? ": resetting it" : ", which cannot be reset");
	if (reset) {
		raw_spin_lock_irq(&vdev->cfg_lock);
		vfu_set_error_state(vdev, pci_channel_io_normal, pci_channel_io_frozen);
		raw_spin_unlock_irq(&vdev->cfg_lock);
	}
	goes_on = vfu_tell_error(vdev, pdev, reset ? pci_channel_io_frozen :
						     pci_channel_io_normal);
	if (!goes_on)
		vfu_bridge_pull(vdev);
	if (reset && !vfu_request_reset(vdev)) {
		end = jiffies + VFU_RESET_TIMEOUTS * msecs_to_jiffies(vdev->timeout_ms);
		while (vfu_in_reset(vdev) && !vfu_dev_offline(vdev) && time_before(jiffies, end))
			msleep(20);
		if (vfu_in_reset(vdev))
			vfu_dev_fail(vdev, "its reset does not end");
	}
	vfu_config_restore(vdev);
	vfu_irqs_rearm(vdev);
	if (goes_on && !vfu_tell_reset(vdev, pdev)) {
		vfu_bridge_pull(vdev);
		goes_on = false;
	}
	if (!goes_on && !vfu_dev_offline(vdev))
		vfu_bridge_plug(vdev);
	else if (!goes_on)
		vdev->recover.pulled = true;
	pci_dev_put(pdev);
}

/* A server that signals errors all the time is heard once in a while. */
static void vfu_recover_pause(struct vfu_dev *vdev)
{
	struct vfu_recover *r = &vdev->recover;

	while (r->error_next && time_before(jiffies, r->error_next) &&
	       !test_bit(0, &vdev->removing) && READ_ONCE(r->phase) == VFU_PHASE_RUNNING)
		msleep(20);
	r->error_next = (jiffies + VFU_ERROR_PAUSE) | 1;
}

static void vfu_recover_work(struct work_struct *work)
{
	struct vfu_dev *vdev = container_of(work, struct vfu_dev, recover.work);
	struct vfu_recover *r = &vdev->recover;
	/* What is written back to make room may be waiting for this very device. */
	unsigned int noio = memalloc_noio_save();
	enum vfu_phase phase;

	while (!test_bit(0, &vdev->removing)) {
		/* What others set is HELD, FROZEN and RESUMING, and each has this work queued. */
		phase = READ_ONCE(r->phase);
		if (phase == VFU_PHASE_RUNNING && test_bit(0, &r->error)) {
			vfu_recover_pause(vdev);
			if (READ_ONCE(r->phase) == VFU_PHASE_RUNNING &&
			    test_and_clear_bit(0, &r->error))
				vfu_recover_error(vdev);
			continue;
		}
		if (phase == VFU_PHASE_HELD) {
			vfu_recover_hold(vdev);
		} else if (phase == VFU_PHASE_FROZEN) {
			vfu_recover_frozen(vdev);
			raw_spin_lock_irq(&vdev->cfg_lock);
			WRITE_ONCE(r->phase, VFU_PHASE_WAITING);
			raw_spin_unlock_irq(&vdev->cfg_lock);
		} else if (phase == VFU_PHASE_RESUMING) {
			vfu_recover_restart(vdev);
			if (vfu_recover_end(vdev))
				continue;
		} else {
			break;
		}
	}
	memalloc_noio_restore(noio);
	vfu_dev_put(vdev);
}

/* ---- another helper ---- */

/**
 * vfu_recover_take() - may another helper take the device? Freeze it, if it is not
 * @vdev: device
 * @extack: tells the caller what is wrong
 *
 * Context: may sleep, the helper's process.
 * Return: 0; -EBUSY while it is being added; -ENODEV if it is going; -EOPNOTSUPP with
 * passthrough DMA, where memory that drivers free must be taken from the server at once.
 */
int vfu_recover_take(struct vfu_dev *vdev, struct netlink_ext_ack *extack)
{
	if (vfu_dev_lost(vdev) || test_bit(0, &vdev->removing)) {
		NL_SET_ERR_MSG(extack, "the device is being removed");
		return -ENODEV;
	}
	if (vdev->ram) {
		NL_SET_ERR_MSG(extack, "with passthrough DMA a device cannot change its server");
		return -EOPNOTSUPP;
	}
	if (!vfu_dev_freeze(vdev, "its helper is being replaced",
			    vdev->grace_ms ?: VFU_REPLACE_MS, true)) {
		NL_SET_ERR_MSG(extack, "the device is still being added");
		return -EBUSY;
	}
	return 0;
}

/* Vendor, device, revision, class, header type, subsystem: by byte. */
static bool vfu_same_function(const u8 *a, const u8 *b)
{
	return !memcmp(a + PCI_VENDOR_ID, b + PCI_VENDOR_ID, 4) &&
	       !memcmp(a + PCI_REVISION_ID, b + PCI_REVISION_ID, 4) &&
	       a[PCI_HEADER_TYPE] == b[PCI_HEADER_TYPE] &&
	       !memcmp(a + PCI_SUBSYSTEM_VENDOR_ID, b + PCI_SUBSYSTEM_VENDOR_ID, 4);
}

/* Where the capabilities lie that the kernel keeps registers of, and how large they are. */
static bool vfu_same_caps(const struct vfu_config *cfg, const u8 *a, const u8 *b)
{
	const unsigned int last = VFU_IDENTITY - 12;
	unsigned int pos = cfg->msix;

	if (a[PCI_CAPABILITY_LIST] != b[PCI_CAPABILITY_LIST])
		return false;
	if (pos && pos <= last &&
	    (memcmp(a + pos, b + pos, 2) ||
		    ((a[pos + PCI_MSIX_FLAGS] ^ b[pos + PCI_MSIX_FLAGS]) & 0xff) ||
		    ((a[pos + PCI_MSIX_FLAGS + 1] ^ b[pos + PCI_MSIX_FLAGS + 1]) & 0x07) ||
		    memcmp(a + pos + PCI_MSIX_TABLE, b + pos + PCI_MSIX_TABLE, 8)))
		return false;
	pos = cfg->msi;
	if (pos && pos <= last &&
	    (memcmp(a + pos, b + pos, 2) ||
		    ((a[pos + PCI_MSI_FLAGS] ^ b[pos + PCI_MSI_FLAGS]) & 0x8e)))
		return false;
	pos = cfg->pcie;
	return !pos || a[pos] == b[pos];
}

/* In what the kernel goes by; what it only passes on may be another. */
static bool vfu_same_region(const struct vfu_region *a, const struct vfu_region *b)
{
	const u32 flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;

	return a->size == b->size && !((a->flags ^ b->flags) & flags);
}

static bool vfu_same_irqs(const struct vfu_irqs *irqs, u32 count, u32 flags)
{
	return irqs->count == count && !((irqs->flags ^ flags) & VFIO_IRQ_INFO_AUTOMASKED);
}

static int vfu_same_device(struct vfu_dev *vdev, const struct vfu_dev_params *params,
			   struct netlink_ext_ack *extack)
{
	u32 i;

	if (!vfu_same_function(vdev->recover.config, params->config)) {
		NL_SET_ERR_MSG(extack, "vendor, device, class or subsystem differ");
		return -EREMCHG;
	}
	if (!vfu_same_caps(&vdev->cfg, vdev->recover.config, params->config)) {
		NL_SET_ERR_MSG(extack, "capabilities differ");
		return -EREMCHG;
	}
	for (i = 0; i < VFU_NR_REGIONS; i++) {
		if (!vfu_same_region(&vdev->regions[i], &params->regions[i])) {
			NL_SET_ERR_MSG(extack,
				       "regions differ, in size or in what can be read and written");
			return -EREMCHG;
		}
	}
	for (i = 0; i < VFIO_PCI_NUM_IRQS; i++) {
		if (!vfu_same_irqs(&vdev->irq.index[i], params->irqs[i].count,
				   params->irqs[i].flags)) {
			NL_SET_ERR_MSG(extack,
				       "interrupts differ, in number or in who masks them");
			return -EREMCHG;
		}
	}
	if ((vdev->flags ^ params->flags) & VFIOUSER_DEV_F_RESET) {
		NL_SET_ERR_MSG(extack, "one can be reset, the other not");
		return -EREMCHG;
	}
	return 0;
}

/* Are the direct pages those that are in use? */
static bool vfu_same_pages(const struct vfu_region *ours, const struct vfu_region *theirs)
{
	const struct vfu_direct *a = ours->direct, *b = theirs->direct;
	u32 i;

	if (ours->nr_direct != theirs->nr_direct)
		return false;
	for (i = 0; i < ours->nr_direct; i++)
		if (a[i].offset != b[i].offset || a[i].pinned.nr != b[i].pinned.nr ||
		    memcmp(a[i].pinned.pages, b[i].pinned.pages,
			   array_size(a[i].pinned.nr, sizeof(*a[i].pinned.pages))))
			return false;
	return true;
}

/* Can the server go on where the device is held? As for vfu_recover_resume(). */
static int vfu_same_held(struct vfu_dev *vdev, const struct vfu_dev_params *params,
			 struct netlink_ext_ack *extack)
{
	u32 i;
	int err;

	if (!vfu_held(vdev)) {
		NL_SET_ERR_MSG(extack, "the driver has been told of the freeze");
		return -ESTALE;
	}
	err = vfu_same_device(vdev, params, extack);
	for (i = 0; i < VFU_NR_REGIONS && !err; i++) {
		if (!vfu_same_pages(&vdev->regions[i], &params->regions[i])) {
			vfu_hold_end(vdev, "its server has other pages for its regions");
			NL_SET_ERR_MSG(extack, "directly mapped pages differ");
			err = -ESTALE;
		}
	}
	return err;
}

/* Who serves the device. Interrupts only compare pointers. */
static void vfu_swap_server(struct vfu_dev *vdev, struct vfu_dev_params *params,
			    struct vfu_ring *old)
{
	mutex_lock(&vdev->irq.lock);
	vdev->recover.served = (struct vfu_served){
		.ring = old,
		.task = vdev->serving.task,
		.helper = vdev->serving.helper,
		.server = xchg(&vdev->serving.server, vfu_server_get(params->server)),
		.keeper = vdev->recover.keeper,
	};
	WRITE_ONCE(vdev->serving.task, get_task_struct(current));
	mmgrab(current->mm);
	WRITE_ONCE(vdev->serving.helper, current->mm);
	vdev->recover.keeper = params->keeper ? find_get_pid(params->keeper) : NULL;
	strscpy(vdev->recover.options, params->options, sizeof(vdev->recover.options));
	mutex_unlock(&vdev->irq.lock);
}

struct vfu_old_server {
	struct rcu_head rcu;
	struct pid *pid;
};

static void vfu_old_server_put(struct rcu_head *rcu)
{
	struct vfu_old_server *old = container_of(rcu, struct vfu_old_server, rcu);

	put_pid(old->pid);
	kfree(old);
}

/**
 * vfu_recover_server() - another process serves the device, where the one before ended
 * @vdev: device
 * @server: it; with the same state, and on the helper's connection
 *
 * Whoever looks at the one before may be waiting for the helper, which calls this: not waited for.
 *
 * Context: the helper's process; does not wait for it.
 * Return: 0; -EBUSY if the one before runs; -ESRCH if there is no such process; -ENOMEM.
 */
int vfu_recover_server(struct vfu_dev *vdev, pid_t server)
{
	struct vfu_old_server *old;
	struct pid *pid;

	if (vfu_server_runs(vdev))
		return -EBUSY;
	old = kmalloc(sizeof(*old), GFP_NOIO);
	pid = vfu_server_get(server);
	if (!old || !pid) {
		put_pid(pid);
		kfree(old);
		return pid ? -ENOMEM : -ESRCH;
	}
	/* Not vfu_irq.lock: whoever holds it may wait for the helper as well. */
	old->pid = xchg(&vdev->serving.server, pid);
	call_rcu(&old->rcu, vfu_old_server_put);
	return 0;
}

/**
 * vfu_recover_drain() - wait for what vfu_recover_server() has still to free
 *
 * Context: the module's exit, no device exists any more. Sleeps.
 */
void vfu_recover_drain(void)
{
	rcu_barrier();
}

/* Nobody is inside. */
static void vfu_swap_pages(struct vfu_dev *vdev, struct vfu_dev_params *params)
{
	u32 i;

	mutex_lock(&vdev->irq.lock);
	for (i = 0; i < VFU_NR_REGIONS; i++) {
		swap(vdev->regions[i].direct, params->regions[i].direct);
		swap(vdev->regions[i].nr_direct, params->regions[i].nr_direct);
	}
	mutex_unlock(&vdev->irq.lock);
}

/* The server has kept the state that the device had; see the top of this file. */
static int vfu_resume_held(struct vfu_dev *vdev, struct vfu_dev_params *params,
			   struct vfu_ring *ring)
{
	struct vfu_recover *r = &vdev->recover;
	struct vfu_ring *old = vdev->ring;
	bool held;

	vfu_ring_timeout(ring, READ_ONCE(vdev->timeout_ms));
	raw_spin_lock_irq(&vdev->cfg_lock);
	held = r->phase == VFU_PHASE_HELD && !vdev->lost && !test_bit(0, &vdev->removing);
	if (held) {
		vfu_ring_get(ring);
		WRITE_ONCE(vdev->ring, ring);
		r->silent = true;
		/* Before anybody can find that this one does not answer either. */
		cancel_delayed_work(&r->grace);
		vfu_dev_set_state(vdev, VFIOUSER_STATE_RESUMING);
		/* Release: who sees it sees the ring too; pairs with vfu_held(). */
		smp_store_release(&r->phase, VFU_PHASE_RESUMING);
	}
	raw_spin_unlock_irq(&vdev->cfg_lock);
	/* The next try tells why. */
	if (!held)
		return -EAGAIN;
	vfu_swap_server(vdev, params, old);
	vfu_irqfd_keep(vdev);
	vfu_ioeventfd_keep(vdev);
	vfu_held_wake(vdev);
	vfu_dev_queue(vdev, &r->work);
	return 0;
}

/**
 * vfu_recover_resume() - a helper that has taken the device has a server for it
 * @vdev: device
 * @params: what the server offers; what was used before is in it afterwards
 * @ring: of the helper's channel
 * @extack: tells the caller what is wrong
 *
 * Context: may sleep, the helper's process. Callers exclude each other.
 * Return: 0; -EAGAIN while the driver is still being told of the freeze; -EREMCHG if this is
 * another device; -EBUSY while the server from before still runs; -ENODEV if the device
 * is going; -ESTALE if the server has kept its state, but the driver has been told, or pages of the
 * device's are not as they were.
 */
int vfu_recover_resume(struct vfu_dev *vdev, struct vfu_dev_params *params,
		       struct vfu_ring *ring, struct netlink_ext_ack *extack)
{
	struct vfu_recover *r = &vdev->recover;
	struct vfu_ring *old;
	bool going, runs;
	int err, idx;

	if (vfu_dev_lost(vdev) || test_bit(0, &vdev->removing)) {
		NL_SET_ERR_MSG(extack, "the device is being removed");
		return -ENODEV;
	}
	if (params->token && params->token == r->token) {
		err = vfu_same_held(vdev, params, extack);
		if (err || params->flags & VFIOUSER_DEV_F_CHECK)
			return err;
		return vfu_resume_held(vdev, params, ring);
	}
	vfu_hold_end(vdev, "its server has not kept its state");
	if (READ_ONCE(r->phase) != VFU_PHASE_WAITING && !vfu_dev_offline(vdev))
		return -EBUSY;
	/* One that was only stopped would write to memory that is another one's by now. */
	idx = vfu_enter(vdev);
	runs = vfu_old_server_runs(vdev, params->server);
	vfu_leave(vdev, idx);
	if (runs) {
		NL_SET_ERR_MSG(extack,
			       "the server from before still runs and could write to memory of this one");
		return -EBUSY;
	}
	if (READ_ONCE(r->phase) != VFU_PHASE_WAITING) {
		WRITE_ONCE(r->connected, true);
		return -EAGAIN;
	}
	err = vfu_same_device(vdev, params, extack);
	if (err || params->flags & VFIOUSER_DEV_F_CHECK)
		return err;

	/* Offline: nobody comes in any more. Wait for those who are in. */
	synchronize_srcu(&r->users);
	/* One of them may just have asked for a reset: that went with the ring. */
	WRITE_ONCE(vdev->reset.active, false);
	vfu_rescue_flush(vdev);
	old = vdev->ring;
	vfu_swap_server(vdev, params, old);
	vfu_swap_pages(vdev, params);
	vfu_ring_get(ring);
	vfu_ring_timeout(ring, READ_ONCE(vdev->timeout_ms));
	WRITE_ONCE(vdev->ring, ring);

	raw_spin_lock_irq(&vdev->cfg_lock);
	going = vdev->lost || test_bit(0, &vdev->removing);
	r->token = vfu_recover_token(params);
	if (!going) {
		/* Before anybody can find that this one does not answer either. */
		cancel_delayed_work(&r->grace);
		vfu_dev_set_state(vdev, VFIOUSER_STATE_RESUMING);
		WRITE_ONCE(r->phase, VFU_PHASE_RESUMING);
		/*
		 * Release: who sees it sees the ring and the pages too; pairs with the acquire
		 * in vfu_dev_offline().
		 */
		smp_store_release(&vdev->offline, false);
	}
	raw_spin_unlock_irq(&vdev->cfg_lock);
	if (going) {
		/* Who looks at the old ring's state only, and finds the device offline. */
		vfu_recover_leave_old(vdev);
		return -ENODEV;
	}
	/* Who comes in now may wait for this very helper: it waits for nobody. */
	vfu_mmio_update(vdev);
	vfu_dev_queue(vdev, &r->work);
	return 0;
}

/**
 * vfu_recover_driver() - a driver binds to the device, or does not any more
 * @vdev: device
 * @bound: whether it does
 *
 * Context: may sleep.
 */
void vfu_recover_driver(struct vfu_dev *vdev, bool bound)
{
	raw_spin_lock_irq(&vdev->cfg_lock);
	/* One that leaves a device that is offline does so because of that. */
	if (bound || !vdev->offline)
		WRITE_ONCE(vdev->recover.driven, bound);
	WRITE_ONCE(vdev->recover.knows, false);
	raw_spin_unlock_irq(&vdev->cfg_lock);
}

/* ---- what the server signals ---- */

/**
 * vfu_recover_signal() - the server has signalled ERR or REQ
 * @vdev: device
 * @index: VFIO_PCI_ERR_IRQ_INDEX or _REQ_
 *
 * Context: any but NMI.
 */
void vfu_recover_signal(struct vfu_dev *vdev, u32 index)
{
	if (index == VFIO_PCI_REQ_IRQ_INDEX) {
		if (!test_bit(0, &vdev->removing))
			dev_info(vdev->dev, "the server asks for the removal of its device\n");
		vfu_dev_remove(vdev);
		return;
	}
	set_bit(0, &vdev->recover.error);
	vfu_dev_queue(vdev, &vdev->recover.work);
}

/**
 * vfu_recover_arm() - have the server signal ERR and REQ, if it can
 * @vdev: device, online
 *
 * Context: may sleep.
 */
void vfu_recover_arm(struct vfu_dev *vdev)
{
	u32 index;

	for (index = VFIO_PCI_ERR_IRQ_INDEX; index <= VFIO_PCI_REQ_IRQ_INDEX; index++)
		if (vdev->irq.index[index].count &&
		    vfu_request_irq(vdev, VFIOUSER_OP_IRQ_ARM, index, 0, 1))
			dev_dbg(vdev->dev, "the server does not take index %u\n", index);
}

/* ---- set-up ---- */

/**
 * vfu_recover_stop() - the device is being removed: nobody waits, and its driver is told nothing
 * @vdev: device
 *
 * Context: may sleep.
 */
void vfu_recover_stop(struct vfu_dev *vdev)
{
	/* Who is in there has not seen yet that it is being removed. */
	raw_spin_lock_irq(&vdev->cfg_lock);
	raw_spin_unlock_irq(&vdev->cfg_lock);
	vfu_hold_end(vdev, "it is being removed");
	cancel_delayed_work_sync(&vdev->recover.grace);
	vfu_work_finish(&vdev->recover.work);
}

/**
 * vfu_recover_init() - set-up
 * @vdev: device
 *
 * Context: may sleep.
 * Return: 0 or -ENOMEM.
 */
int vfu_recover_init(struct vfu_dev *vdev)
{
	INIT_WORK(&vdev->recover.work, vfu_recover_work);
	INIT_DELAYED_WORK(&vdev->recover.grace, vfu_recover_grace);
	vfu_ring_init_wq(&vdev->recover.held);
	return init_srcu_struct(&vdev->recover.users);
}

/**
 * vfu_recover_exit() - undo vfu_recover_init()
 * @vdev: device that nobody uses any more
 *
 * Context: may sleep.
 */
void vfu_recover_exit(struct vfu_dev *vdev)
{
	vfu_served_put(vdev);
	cleanup_srcu_struct(&vdev->recover.users);
}
