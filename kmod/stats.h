/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Counters of a device, one set for each CPU: vfu_count() and vfu_account() of device.h.
 */
#ifndef _KMOD_STATS_H
#define _KMOD_STATS_H

#include <linux/types.h>

#include <linux/vfiouser.h>

/* Counters, in the order of enum vfiouser_stat_attr. */
enum vfu_stat {
	VFU_STAT_READS,
	VFU_STAT_WRITES,
	VFU_STAT_CONFIG,
	VFU_STAT_TRAPS,
	VFU_STAT_IRQS,
	VFU_STAT_WAKEUPS,
	VFU_STAT_SLEEPS,
	VFU_STAT_ERRORS,
	VFU_STAT_DMA_MAPS,
	VFU_STAT_DMA_BYTES,
	VFU_STAT_DMA_FULL,
	VFU_STAT_IOEVENTFDS,
	VFU_NR_STATS,
};

#define VFU_NR_PATHS	(VFIOUSER_PATH_DMA_SYNC + 1)

/**
 * struct vfu_path - what has gone one way through the module
 * @bytes: moved
 * @ns: time it took, all together
 * @max_ns: the slowest
 * @hist: how many took how long: see VFIOUSER_HIST_BUCKETS
 */
struct vfu_path {
	u64 bytes;
	u64 ns;
	u64 max_ns;
	u64 hist[VFIOUSER_HIST_BUCKETS];
};

/* @to_device: mappings that the device reads, made on this CPU less those undone on it */
struct vfu_stats {
	u64 count[VFU_NR_STATS];
	s64 to_device;
	struct vfu_path path[VFU_NR_PATHS];
};

#endif /* _KMOD_STATS_H */
