/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a service manager is told: sd_notify(3)'s protocol.
 */
#ifndef HELPER_NOTIFY_H
#define HELPER_NOTIFY_H

#include <stdbool.h>

void notify_open(void);
bool notify_active(void);
void notify(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
int notify_beat(void);

#endif
