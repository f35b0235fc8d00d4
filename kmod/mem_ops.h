/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memory as an emulated instruction sees it: between an architecture's emulator, which asks, and
 * mmio.c, which answers. Used in user-space tests as well.
 */
#ifndef VFU_MEM_OPS_H
#define VFU_MEM_OPS_H

#include <linux/types.h>

/**
 * struct vfu_mem_ops - memory as the instruction sees it
 * @read: copy @len bytes at virtual address @addr to @buf, in one access where the place is a
 * device
 * @write: the reverse
 *
 * @len is 1, 2, 4, 8 or (MOVDIR64B) 64. Addresses come as the instruction has them: not aligned, in
 * any mix of trapped, direct and ordinary pages, or nonsense; the callback has to tell. A
 * read-modify-write comes as one read and one write, locked or not: who needs them indivisible must
 * hold something around the emulation. Both return 0 or a negative errno.
 */
struct vfu_mem_ops {
	int (*read)(void *opaque, __u64 addr, void *buf, unsigned int len);
	int (*write)(void *opaque, __u64 addr, const void *buf, unsigned int len);
};

#endif /* VFU_MEM_OPS_H */
