// SPDX-License-Identifier: GPL-2.0-only
/* struct vfuc_error: filling it in, naming its kinds. */
#include <stdarg.h>
#include <stdio.h>

#include "error.h"

int vfuc_error_set(struct vfuc_error *error, enum vfuc_error_kind kind, int err,
		   const char *fmt, ...)
{
	va_list ap;

	if (!error)
		return err;
	error->kind = kind;
	error->err = err;
	va_start(ap, fmt);
	vsnprintf(error->message, sizeof(error->message), fmt, ap);
	va_end(ap);
	return err;
}

const char *vfuc_error_kind_name(enum vfuc_error_kind kind)
{
	static const char * const names[] = {
		[VFUC_OK] = "ok",
		[VFUC_USAGE] = "usage",
		[VFUC_NO_SOCKET] = "no-socket",
		[VFUC_NOT_A_SOCKET] = "not-a-socket",
		[VFUC_REFUSED] = "refused",
		[VFUC_PERMISSION] = "permission",
		[VFUC_CLOSED] = "closed",
		[VFUC_TIMEOUT] = "timeout",
		[VFUC_VERSION] = "version",
		[VFUC_PROTOCOL] = "protocol",
		[VFUC_SERVER_ERROR] = "server-error",
		[VFUC_UNSUPPORTED] = "unsupported",
		[VFUC_SYSTEM] = "system",
	};

	if ((unsigned int)kind < sizeof(names) / sizeof(names[0]))
		return names[kind];
	return "unknown";
}
