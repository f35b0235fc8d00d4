// SPDX-License-Identifier: GPL-2.0-only
/* What a process needs that memory is written to the disk of. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "nvme.h"

#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER 57
#endif

/**
 * nvme_below_memory() - never wait for memory that has to be written here first
 * @lock: lock memory: what is mapped now, and what will be when it is used
 *
 * An I/O flusher's allocations do not write to file systems or devices, and it is throttled by its
 * own backing alone; threads inherit that. Pages that are locked never have to be read back. Both
 * take privileges; without them there is a disk all the same, for which the administrator should
 * not let memory run short.
 */
void nvme_below_memory(bool lock)
{
	const struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };

	/* with a limit, mappings of the client's memory would fail later */
	if (lock && !setrlimit(RLIMIT_MEMLOCK, &unlimited) && !mlockall(MCL_CURRENT))
		mlockall(MCL_FUTURE | MCL_ONFAULT);
	prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0);
}
