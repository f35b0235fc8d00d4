/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A helper for a device after another: whoever starts them again.
 */
#ifndef HELPER_RECONNECT_H
#define HELPER_RECONNECT_H

struct attach_options;

int reconnect_run(const struct attach_options *opt, int front);
int reconnect_fail(const struct attach_options *opt, int status, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#endif
