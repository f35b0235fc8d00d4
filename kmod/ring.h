/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ring.c: the request ring, and how anybody asks the server for anything.
 */
#ifndef _KMOD_RING_H
#define _KMOD_RING_H

#include <linux/kref.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/wait.h>

#include <linux/vfiouser.h>

struct vfu_dev;

/**
 * struct vfu_ring - the kernel's side of the request ring
 * @ref: held by the channel and by the device
 * @shared: memory shared with the helper; nothing read from it is trusted
 * @lock: protects @tail, @generation, @posted, @sent, @seen and @slots_used
 * @tail: requests produced; the shared copy is only ever written
 * @generation: of the last request that has a slot
 * @posted: writes posted so far
 * @pushed: how many of these the server is known to have seen, at least (no lock)
 * @sent: requests so far that change something
 * @seen: how many of these the server is known to have carried out, at least
 * @spin_ns: how long a waiter spins before it sleeps (no lock)
 * @slots_used: reply slots that wait for an answer
 * @slot_wq: where the waiter of each slot sleeps
 * @helper_wq: the channel's poll()
 */
struct vfu_ring {
	struct kref ref;
	struct vfiouser_ring *shared;
	raw_spinlock_t lock;
	u32 tail;
	u32 generation;
	u32 posted;
	u32 pushed;
	u32 sent;
	u32 seen;
	u64 spin_ns;
	DECLARE_BITMAP(slots_used, VFIOUSER_RING_SLOTS);
	wait_queue_head_t slot_wq[VFIOUSER_RING_SLOTS];
	wait_queue_head_t helper_wq;
};

struct vfu_ring *vfu_ring_create(void);
void vfu_ring_get(struct vfu_ring *ring);
void vfu_ring_put(struct vfu_ring *ring);
void vfu_ring_wake_all(struct vfu_ring *ring);
void vfu_ring_wake(struct vfu_ring *ring, u32 slot);
bool vfu_ring_pending(struct vfu_ring *ring);
bool vfu_ring_settled(struct vfu_ring *ring);
void vfu_ring_init_wq(wait_queue_head_t *wq);
void vfu_ring_state(struct vfu_ring *ring, u32 state);
void vfu_ring_timeout(struct vfu_ring *ring, u32 ms);

/**
 * struct vfu_reset - a reset of the function, as ring.c knows of it
 * @active: it is under way: reads are all-ones, as of a device in reset
 * @slot: where its end will be told (vfu_ring.lock)
 * @generation: as which request
 */
struct vfu_reset {
	bool active;
	u32 slot;
	u32 generation;
};

int vfu_region_read(struct vfu_dev *vdev, u32 region, u64 offset, void *data,
		    u32 count);
int vfu_region_write(struct vfu_dev *vdev, u32 region, u64 offset, const void *data, u32 count,
		     bool burst);
void vfu_region_restore(struct vfu_dev *vdev, u32 region, u64 offset, const void *data, u32 count);
int vfu_region_tell(struct vfu_dev *vdev, u32 region, u64 offset, const void *data, u32 count);
bool vfu_region_pushed(const struct vfu_dev *vdev);
void vfu_region_push(struct vfu_dev *vdev);
void vfu_region_settle(struct vfu_dev *vdev);
bool vfu_nobody_answers(const struct vfu_dev *vdev);
bool vfu_in_reset(struct vfu_dev *vdev);
int vfu_request_reset(struct vfu_dev *vdev);
bool vfu_may_sleep(void);
int vfu_request_irq(struct vfu_dev *vdev, enum vfiouser_op op, u32 index,
		    u32 start, u32 count);

#endif /* _KMOD_RING_H */
