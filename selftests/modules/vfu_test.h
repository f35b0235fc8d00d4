/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * vfu_test: a driver of the test device (../servers/testdev.h) that tests the bus it sits on.
 *
 * Cases run one at a time, in the process that writes a name to /sys/kernel/debug/vfu_test/run,
 * under vft_lock; there is one device at a time. A case reports with vft_check() and its like, the
 * lines can be read from /sys/kernel/debug/vfu_test/result.
 */
#ifndef VFU_TEST_H
#define VFU_TEST_H

#include <linux/io.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/types.h>

#include "testdev.h"

/**
 * struct vft - the device
 * @pdev: PCI device
 * @bar: mapped BARs, by number; NULL where there is none
 * @arg: number behind the name of the case, or 0
 */
struct vft {
	struct pci_dev *pdev;
	void __iomem *bar[PCI_STD_NUM_BARS];
	unsigned int arg;
};

struct vft_case {
	const char *name;
	void (*run)(struct vft *t);
};

extern const struct vft_case vft_mmio_cases[];
extern const struct vft_case vft_context_cases[];
extern const struct vft_case vft_dma_cases[];
extern const struct vft_case vft_irq_cases[];
extern const struct vft_case vft_wait_cases[];
extern const struct vft_case vft_bench_cases[];
extern const struct vft_case vft_probe_cases[];
extern const struct vft_case vft_register_cases[];

/* main.c: results */

__printf(2, 3) bool vft_check(bool ok, const char *fmt, ...);
__printf(1, 2) void vft_note(const char *fmt, ...);
__printf(1, 2) void vft_skip(const char *fmt, ...);

/* log.c: what reached the server */

/**
 * struct vft_access - one access that is expected
 * @bar: which BAR
 * @write: or read
 * @offset: in it
 * @size: bytes
 * @value: of a write, its first 8 bytes
 */
struct vft_access {
	u8 bar;
	bool write;
	u32 offset;
	u32 size;
	u64 value;
};

void vft_log_start(struct vft *t);
u32 vft_log_count(struct vft *t);
void vft_log_read(struct vft *t, u32 i, struct testdev_access *a);
bool vft_log_is(struct vft *t, const struct vft_access *want, u32 n);
bool vft_log_quiet(struct vft *t);

/* insn.c: single instructions */

void vft_insn(struct vft *t);
void vft_strings(struct vft *t);

/*
 * probe.c: each begins with the instruction that is probed, which is shorter than a jump: more than it
 * is overwritten
 */

u32 vft_probed_load(const void __iomem *from);
void vft_probed_store(void __iomem *to, u32 value);
void vft_probed_copy(void *to, const void *from, u32 unused, unsigned long words);

/* mmio.c */

u64 vft_peek(struct vft *t, u32 offset);
void vft_poke(struct vft *t, u32 offset, u64 value);

static inline void __iomem *vft_reg(struct vft *t, u32 reg)
{
	return t->bar[0] + reg;
}

static inline void __iomem *vft_ram(struct vft *t, u32 offset)
{
	return t->bar[0] + TESTDEV_RAM + offset;
}

/* dma.c */

int vft_mmap(struct vft *t, struct vm_area_struct *vma);
void vft_mmap_free(struct vft *t);

/* context.c */

void vft_traffic_stop(struct vft *t);

#endif
