/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * rescue.c: who serves a device must get to run.
 */
#ifndef _KMOD_RESCUE_H
#define _KMOD_RESCUE_H

#include <linux/types.h>

struct mm_struct;
struct pid;
struct task_struct;
struct vfu_dev;

struct vfu_rescue;

/**
 * struct vfu_serving - who serves a device
 * @helper: the helper's address space, to recognise its threads
 * @task: the helper's thread
 * @server: the server's process, or NULL if it is not known
 * @rescue: for each CPU the work that pulls @task and @server there
 *
 * Who looks at @server has rcu_read_lock(), and vfu_irq.lock or is inside of vfu_enter() and
 * vfu_leave(), or is one of @rescue, for which vfu_rescue_flush() waits: with another helper it is
 * replaced and put when nobody is, by vfu_recover_server() at any time.
 */
struct vfu_serving {
	struct mm_struct *helper;
	struct task_struct *task;
	struct pid *server;
	struct vfu_rescue __percpu *rescue;
};

bool vfu_serves(const struct vfu_dev *vdev, struct task_struct *task);
void vfu_rescue_occupy(struct vfu_dev *vdev);
void vfu_rescue_prepare(struct vfu_dev *vdev);
void vfu_rescue(struct vfu_dev *vdev, unsigned int attempt, bool late);
void vfu_rescue_report(struct vfu_dev *vdev, char *buf, size_t size);
int vfu_rescue_create(struct vfu_dev *vdev);
void vfu_rescue_flush(struct vfu_dev *vdev);
void vfu_rescue_destroy(struct vfu_dev *vdev);

#endif /* _KMOD_RESCUE_H */
