// SPDX-License-Identifier: GPL-2.0-only
/*
 * The server's log of accesses: exactly once, in order, with the width they were made.
 */
#include "vfu_test.h"

/**
 * vft_log_start() - empty the log and begin to log
 * @t: device
 */
void vft_log_start(struct vft *t)
{
	writel(1, vft_reg(t, TESTDEV_LOG_CTL));
}

/**
 * vft_log_count() - accesses since vft_log_start()
 * @t: device
 */
u32 vft_log_count(struct vft *t)
{
	return readl(vft_reg(t, TESTDEV_LOG_COUNT));
}

/**
 * vft_log_read() - read an entry
 * @t: device
 * @i: counted from 0
 * @a: where to
 */
void vft_log_read(struct vft *t, u32 i, struct testdev_access *a)
{
	void __iomem *at = vft_reg(t, TESTDEV_LOG) + i % TESTDEV_LOG_ENTRIES * sizeof(*a);
	u64 *to = (u64 *)a;
	unsigned int j;

	BUILD_BUG_ON(sizeof(*a) != 32);
	for (j = 0; j < sizeof(*a) / 8; j++)
		to[j] = readq(at + 8 * j);
}

static void vft_log_show(u32 i, const struct testdev_access *a)
{
	vft_note("access %u: %s BAR %u offset %#llx size %u value %#llx", i,
		 a->write ? "write" : "read", a->region, a->offset, a->size, a->value);
}

/**
 * vft_log_is() - were these the accesses, and no others, in this order?
 * @t: device
 * @want: what is expected
 * @n: how many, at most TESTDEV_LOG_ENTRIES
 *
 * Notes what differs.
 */
bool vft_log_is(struct vft *t, const struct vft_access *want, u32 n)
{
	u32 i, count = vft_log_count(t);
	struct testdev_access a;
	bool ok = true;

	if (count != n) {
		vft_note("%u accesses reached the server, %u were made", count, n);
		ok = false;
	}
	for (i = 0; i < n && i < count; i++) {
		vft_log_read(t, i, &a);
		if (a.seq == i && a.region == want[i].bar && a.write == want[i].write &&
		    a.offset == want[i].offset && a.size == want[i].size &&
		    (!a.write || a.value == want[i].value))
			continue;
		if (ok)
			vft_note("expected %u: %s BAR %u offset %#x size %u value %#llx", i,
				 want[i].write ? "write" : "read", want[i].bar, want[i].offset,
				 want[i].size, want[i].value);
		ok = false;
		vft_log_show(i, &a);
		if (i > 8)
			break;
	}
	return ok;
}

/**
 * vft_log_quiet() - was there no access at all?
 * @t: device
 */
bool vft_log_quiet(struct vft *t)
{
	struct testdev_access a;
	u32 count = vft_log_count(t);

	if (!count)
		return true;
	vft_log_read(t, 0, &a);
	vft_log_show(0, &a);
	return false;
}
