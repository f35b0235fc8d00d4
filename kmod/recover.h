/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * recover.c: server or helper gone, and back.
 */
#ifndef _KMOD_RECOVER_H
#define _KMOD_RECOVER_H

#include <linux/pci.h>
#include <linux/srcu.h>
#include <linux/types.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

struct netlink_ext_ack;
struct vfu_dev;
struct vfu_dev_params;
struct vfu_ring;

#define VFU_GRACE_MAX_MS	86400000	/* wait for another helper */

/* Bytes of config space by which a device is known again. */
#define VFU_IDENTITY		PCI_CFG_SPACE_SIZE

enum vfu_phase {
	VFU_PHASE_RUNNING,	/* nothing to recover from */
	VFU_PHASE_HELD,		/* requests wait for another helper; nobody is told */
	VFU_PHASE_FROZEN,	/* the driver is to be told */
	VFU_PHASE_WAITING,	/* it knows; for a helper with a server */
	VFU_PHASE_RESUMING,	/* they are there; the driver is to be told */
};

/**
 * struct vfu_served - who has served a device, until nobody looks any more
 * @ring: of the helper's channel, or NULL if there is none of them
 * @task: the helper
 * @helper: its memory
 * @server: the server, or NULL
 * @keeper: who had started the helper, or NULL
 */
struct vfu_served {
	struct vfu_ring *ring;
	struct task_struct *task;
	struct mm_struct *helper;
	struct pid *server;
	struct pid *keeper;
};

/**
 * struct vfu_recover - what recover.c keeps of a device
 * @phase: enum vfu_phase (vfu_dev.cfg_lock)
 * @token: by which the server knows the state that it would keep, or 0 (vfu_dev.cfg_lock)
 * @silent: the way out of RESUMING is that of a device that was HELD (vfu_dev.cfg_lock)
 * @arms: what is armed will be armed at the end of that, by the worker (vfu_dev.cfg_lock)
 * @held: where requests wait while the device is
 * @shown: listeners know that it waits (the worker's)
 * @served: whom the resumed one has taken over from (of who resumes it, then the worker's)
 * @again: frozen again while @phase is RESUMING (vfu_dev.cfg_lock)
 * @error: the server signals an error of its device
 * @error_next: when the next one will be heard, in jiffies; 0: at once (the worker's)
 * @connected: the server talks on a new connection
 * @pulled: its PCI device was taken out of the bus (the worker's)
 * @told: driver that knows (the worker's)
 * @knows: @told has been told of an error, and not yet of the reset that it waits for (the device's
 *	lock, as of whoever binds or unbinds)
 * @driven: it has a driver, or had one that left it while it was offline (vfu_dev.cfg_lock)
 * @retried: that one was looked for anew (the worker's)
 * @work: tells the driver what has happened
 * @grace: ends the waiting
 * @users: who is inside of vfu_enter() and vfu_leave()
 * @keeper: who starts helpers, or NULL; information (vfu_irq.lock)
 * @options: of the helper, for the next one (vfu_irq.lock)
 * @config: the server's config space when the device was made
 */
struct vfu_recover {
	enum vfu_phase phase;
	u64 token;
	bool silent;
	bool arms;
	wait_queue_head_t held;
	bool shown;
	struct vfu_served served;
	bool again;
	unsigned long error;
	unsigned long error_next;
	bool connected;
	bool pulled;
	const struct pci_driver *told;
	bool knows;
	bool driven;
	bool retried;
	struct work_struct work;
	struct delayed_work grace;
	struct srcu_struct users;
	struct pid *keeper;
	char options[VFIOUSER_OPTIONS_MAX];
	u8 config[VFU_IDENTITY];
};

int vfu_enter(struct vfu_dev *vdev);
void vfu_leave(struct vfu_dev *vdev, int idx);
int vfu_recover_init(struct vfu_dev *vdev);
void vfu_recover_exit(struct vfu_dev *vdev);
void vfu_recover_stop(struct vfu_dev *vdev);
void vfu_dev_fail(struct vfu_dev *vdev, const char *why);
void vfu_dev_unserved(struct vfu_dev *vdev, const char *why);
bool vfu_held(const struct vfu_dev *vdev);
struct pid *vfu_server_get(pid_t nr);
bool vfu_server_runs(struct vfu_dev *vdev);
void vfu_held_wake(struct vfu_dev *vdev);
int vfu_recover_set_grace(struct vfu_dev *vdev, u32 ms, struct netlink_ext_ack *extack);
u64 vfu_recover_token(const struct vfu_dev_params *params);
bool vfu_recover_left_ms(struct vfu_dev *vdev, u32 *ms);
int vfu_recover_server(struct vfu_dev *vdev, pid_t server);
void vfu_recover_drain(void);
int vfu_recover_take(struct vfu_dev *vdev, struct netlink_ext_ack *extack);
int vfu_recover_resume(struct vfu_dev *vdev, struct vfu_dev_params *params,
		       struct vfu_ring *ring, struct netlink_ext_ack *extack);
void vfu_recover_signal(struct vfu_dev *vdev, u32 index);
void vfu_recover_arm(struct vfu_dev *vdev);
void vfu_recover_settle(struct vfu_dev *vdev);
void vfu_recover_driver(struct vfu_dev *vdev, bool bound);

#endif /* _KMOD_RECOVER_H */
