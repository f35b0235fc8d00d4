/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * pinned.c: a range of the helper's memory, pinned.
 */
#ifndef _KMOD_PINNED_H
#define _KMOD_PINNED_H

#include <linux/types.h>

struct mm_struct;
struct page;

/**
 * struct vfu_pinned - pinned user pages
 * @pages: the pages, in order
 * @nr: how many
 * @mm: whose pinned_vm they are accounted to
 */
struct vfu_pinned {
	struct page **pages;
	unsigned long nr;
	struct mm_struct *mm;
};

int vfu_pin(struct vfu_pinned *pinned, u64 uaddr, u64 size);
void vfu_unpin(struct vfu_pinned *pinned);

#endif /* _KMOD_PINNED_H */
