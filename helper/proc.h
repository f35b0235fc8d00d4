/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The process that serves a device: how it is started, protected and confined.
 */
#ifndef HELPER_PROC_H
#define HELPER_PROC_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/**
 * struct proc_ready - what the serving process tells the one that started it
 * @id: device that was created, and is served from now on
 */
struct proc_ready {
	uint32_t id;
};

bool proc_privileged(void);
pid_t proc_fork(int *fd);
int proc_signals(void);
int proc_prepare(void);
void proc_drop(void);
void proc_stay(void);
int proc_confine(bool sandbox);
void proc_background(void);
int proc_status(pid_t pid);

#endif
