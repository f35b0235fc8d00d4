/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * watch.c: servers that are not asked anything.
 */
#ifndef _KMOD_WATCH_H
#define _KMOD_WATCH_H

#include <linux/types.h>
#include <linux/workqueue.h>

struct vfu_dev;

/**
 * struct vfu_watch - what watch.c keeps of a device
 * @running: @work is queued, or runs (bit 0)
 * @activity: work given to the device when last looked
 * @signs: of life, that it has given until then
 * @owed: one for work that was given to it
 * @stopped: the device goes: not begun again
 * @work: looks
 */
struct vfu_watch {
	unsigned long running;
	u64 activity;
	u64 signs;
	bool owed;
	bool stopped;
	struct delayed_work work;
};

void vfu_watch_start(struct vfu_dev *vdev);
void vfu_watch_stop(struct vfu_dev *vdev);
void vfu_watch_add(struct vfu_dev *vdev);
int vfu_watch_init(void);
void vfu_watch_exit(void);

#endif /* _KMOD_WATCH_H */
