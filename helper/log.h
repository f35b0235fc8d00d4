/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Messages: one line each, to the terminal or, for a helper in the background, to the kernel's log.
 */
#ifndef HELPER_LOG_H
#define HELPER_LOG_H

#include <stdarg.h>
#include <stdbool.h>

#define PROGRAM	"vfiouserctl"

extern bool log_verbose;

void log_device(const char *name);
void log_to_kmsg(int fd);
void log_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
int log_fail(int status, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void log_progress(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_progress_end(void);
void log_clean(char *text);

#endif
