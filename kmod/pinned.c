// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pinned user memory: pages of the calling process that the kernel and the
 * server use together, for the DMA pool and for directly mapped BAR pages.
 *
 * A struct vfu_pinned belongs to whoever filled it with vfu_pin(); there is no
 * lock. The pages stay valid and in place until vfu_unpin(), also when the
 * process unmaps them or exits; only the accounting in its mm_struct is shared.
 */
#include <linux/capability.h>
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/sizes.h>
#include <linux/slab.h>

#include "pinned.h"

#define VFU_PIN_MAX	(64ULL * SZ_1G)	/* bytes of one range */
#define VFU_PIN_BATCH	4096UL		/* pages between looks at the scheduler */

static int vfu_pin_account(struct mm_struct *mm, unsigned long nr)
{
	unsigned long limit = rlimit(RLIMIT_MEMLOCK) >> PAGE_SHIFT;
	s64 pinned = atomic64_add_return(nr, &mm->pinned_vm);

	if ((u64)pinned <= limit || capable(CAP_IPC_LOCK))
		return 0;

	atomic64_sub(nr, &mm->pinned_vm);
	return -ENOMEM;
}

static void vfu_unpin_pages(struct page **pages, unsigned long nr)
{
	unsigned long done = 0;

	while (done < nr) {
		unsigned long n = min(nr - done, VFU_PIN_BATCH);

		unpin_user_pages_dirty_lock(pages + done, n, true);
		done += n;
		cond_resched();
	}
}

/**
 * vfu_pin() - pin a range of the caller's memory for writing, for long
 * @pinned: what to fill; all zero on error
 * @uaddr: first byte, in the address space of the current process; page aligned
 * @size: bytes, whole pages, at most 64 GiB
 *
 * Context: the process whose memory it is. Sleeps.
 * Return: 0, or
 * -EINVAL: not whole pages, or nothing;
 * -E2BIG: too large;
 * -ESRCH: the caller has no memory of its own (a kernel thread);
 * -ENOMEM: past RLIMIT_MEMLOCK, or out of memory;
 * -EINTR: the caller was killed meanwhile;
 * -EFAULT: part of it is not mapped, not writable or not ordinary memory; any
 * other error of pin_user_pages_fast() as it is.
 */
int vfu_pin(struct vfu_pinned *pinned, u64 uaddr, u64 size)
{
	struct mm_struct *mm = current->mm;
	unsigned long nr, done = 0;
	struct page **pages;
	u64 end;
	int ret;

	memset(pinned, 0, sizeof(*pinned));

	if (!size || !PAGE_ALIGNED(uaddr) || !PAGE_ALIGNED(size) ||
	    check_add_overflow(uaddr, size, &end))
		return -EINVAL;
	if (size > VFU_PIN_MAX)
		return -E2BIG;
	if (!mm)
		return -ESRCH;

	nr = size >> PAGE_SHIFT;
	ret = vfu_pin_account(mm, nr);
	if (ret)
		return ret;

	pages = kvmalloc_array(nr, sizeof(*pages), GFP_KERNEL_ACCOUNT);
	if (!pages) {
		ret = -ENOMEM;
		goto err_account;
	}

	while (done < nr) {
		if (fatal_signal_pending(current)) {
			ret = -EINTR;
			goto err_unpin;
		}
		ret = pin_user_pages_fast(uaddr + (done << PAGE_SHIFT),
					  min(nr - done, VFU_PIN_BATCH),
					  FOLL_WRITE | FOLL_LONGTERM,
					  pages + done);
		if (ret <= 0) {
			ret = ret ?: -EFAULT;
			goto err_unpin;
		}
		done += ret;
		cond_resched();
	}

	mmgrab(mm);
	pinned->pages = pages;
	pinned->nr = nr;
	pinned->mm = mm;
	return 0;

err_unpin:
	vfu_unpin_pages(pages, done);
	kvfree(pages);
err_account:
	atomic64_sub(nr, &mm->pinned_vm);
	return ret;
}

/**
 * vfu_unpin() - undo vfu_pin()
 * @pinned: the pages; all zero afterwards, and all zero is accepted
 *
 * Context: any process or worker. Sleeps.
 */
void vfu_unpin(struct vfu_pinned *pinned)
{
	if (!pinned->pages)
		return;

	vfu_unpin_pages(pinned->pages, pinned->nr);
	kvfree(pinned->pages);
	atomic64_sub(pinned->nr, &pinned->mm->pinned_vm);
	mmdrop(pinned->mm);
	memset(pinned, 0, sizeof(*pinned));
}
