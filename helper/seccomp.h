/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a serving helper may still ask of the kernel.
 */
#ifndef HELPER_SECCOMP_H
#define HELPER_SECCOMP_H

int seccomp_restrict(void);

#endif
