/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * trap.c: how the kernel's calls and faults get here.
 */
#ifndef _KMOD_TRAP_H
#define _KMOD_TRAP_H

#include <linux/types.h>

int vfu_trap_init(void);
void vfu_trap_exit(void);
bool vfu_trap_sees_probes(void);
int vfu_trap_queues(bool on);

#endif /* _KMOD_TRAP_H */
