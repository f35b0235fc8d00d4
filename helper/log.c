// SPDX-License-Identifier: GPL-2.0-only
/*
 * Messages: one line each, "vfiouserctl: what; what to do".
 *
 * In the background they go to /dev/kmsg and not to syslog: a syslog daemon may be waiting for the
 * very disk that this process serves, and a write to its socket would then wait for it. Writing to
 * /dev/kmsg never waits.
 *
 * What takes long is told in a line that is overwritten, on a terminal only. The line may be that
 * of another process, so each message there begins by clearing its line.
 *
 * Owns: where messages go. Not thread safe: set up once, used by one thread.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"

bool log_verbose;

static int kmsg = -1;
static char device[64];

/**
 * log_clean() - make text harmless for a terminal and a log
 * @text: string; control characters become '?', since a server may have chosen them
 *
 * Context: any.
 */
void log_clean(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			*text = '?';
}

/* Is standard error a terminal on which a line can be written again? */
static bool overwrites(void)
{
	const char *term = getenv("TERM");

	return !log_verbose && isatty(STDERR_FILENO) && term && *term && strcmp(term, "dumb");
}

static void emit(int level, const char *fmt, va_list args)
{
	char line[700], text[600];
	int len;

	vsnprintf(text, sizeof(text), fmt, args);
	log_clean(text);
	if (kmsg < 0) {
		log_progress_end();
		fprintf(stderr, PROGRAM ": %s\n", text);
		return;
	}
	/* facility 3, daemon */
	len = snprintf(line, sizeof(line), "<%d>" PROGRAM "[%d]: %s%s%s\n", 3 << 3 | level,
		       (int)getpid(), device, *device ? ": " : "", text);
	/* Nobody is left to be told where this fails. */
	if (write(kmsg, line, len) < 0)
		return;
}

/**
 * log_progress() - say in a line that is overwritten what is being waited for
 * @fmt: printf format, no newline
 *
 * Only where standard error is a terminal that can overwrite.
 *
 * Context: single threaded.
 */
void log_progress(const char *fmt, ...)
{
	char text[200];
	va_list args;

	if (!overwrites())
		return;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	log_clean(text);
	fprintf(stderr, "\r\033[K%s...", text);
	fflush(stderr);
}

/**
 * log_progress_end() - take that line away
 *
 * Context: single threaded.
 */
void log_progress_end(void)
{
	if (overwrites())
		fputs("\r\033[K", stderr);
}

/**
 * log_device() - name the device in messages to the kernel's log
 * @name: of the device
 *
 * Context: single threaded.
 */
void log_device(const char *name)
{
	snprintf(device, sizeof(device), "%s", name);
}

/**
 * log_to_kmsg() - send all further messages to the kernel's log
 * @fd: /dev/kmsg, open for writing
 *
 * Context: single threaded.
 */
void log_to_kmsg(int fd)
{
	kmsg = fd;
}

/**
 * log_error() - say what is wrong and what to do
 * @fmt: printf format, no newline
 *
 * Context: does not sleep once log_to_kmsg() was called.
 */
void log_error(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	emit(3, fmt, args);
	va_end(args);
}

/**
 * log_note() - say something worth knowing
 * @fmt: printf format, no newline
 *
 * Context: does not sleep once log_to_kmsg() was called.
 */
void log_note(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	emit(5, fmt, args);
	va_end(args);
}

/**
 * log_debug() - one event, with --verbose only
 * @fmt: printf format, no newline
 *
 * Context: does not sleep once log_to_kmsg() was called. Callers on a hot path look at log_verbose
 * first.
 */
void log_debug(const char *fmt, ...)
{
	va_list args;

	if (!log_verbose)
		return;
	va_start(args, fmt);
	emit(7, fmt, args);
	va_end(args);
}

/**
 * log_fail() - log_error() for "return log_fail(ST_..., ...)"
 * @status: enum status
 * @fmt: printf format, no newline
 *
 * Context: as log_error().
 * Return: @status.
 */
int log_fail(int status, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	emit(3, fmt, args);
	va_end(args);
	return status;
}
