// SPDX-License-Identifier: GPL-2.0-only
/*
 * What accesses and interrupts cost, measured where drivers are: in the kernel.
 *
 * Each case notes "bench NAME NANOSECONDS", the median of its samples for one operation, and
 * asserts nothing about time. Operations that are shorter than the clock is fine are timed in
 * batches. The floors beside these, of processes, are in ../bench/floors.c.
 */
#include <linux/completion.h>
#include <linux/interrupt.h>
#include <linux/ktime.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/vfio.h>

#include "vfu_test.h"

#define SAMPLES_MAX	10000
#define BATCH		64
#define WAIT_JIFFIES	(10 * HZ)

struct bench {
	struct vft *t;
	u32 n;		/* samples wanted */
	u32 got;
	u64 *samples;	/* picoseconds of one operation */
};

static int compare(const void *a, const void *b)
{
	u64 x = *(const u64 *)a, y = *(const u64 *)b;

	return x < y ? -1 : x > y;
}

static bool bench_begin(struct bench *b, struct vft *t, u32 n)
{
	b->t = t;
	b->n = clamp(t->arg ?: n, 1U, (u32)SAMPLES_MAX);
	b->got = 0;
	b->samples = kvcalloc(b->n, sizeof(*b->samples), GFP_KERNEL);
	return vft_check(b->samples, "memory for samples");
}

/* @ops operations took @ns. */
static void bench_sample(struct bench *b, u64 ns, u32 ops)
{
	b->samples[b->got++] = div_u64(ns * 1000, ops);
}

static void bench_end(struct bench *b, const char *name)
{
	u64 median;

	if (vft_check(b->got == b->n, "%s: %u samples", name, b->got)) {
		sort(b->samples, b->got, sizeof(*b->samples), compare, NULL);
		median = b->samples[b->got / 2];
		vft_note("bench %s %llu.%03llu", name, median / 1000, median % 1000);
	}
	kvfree(b->samples);
}

/* A read, each answered by the server; with interrupts off where @atomic. */
static void time_reads(struct vft *t, const char *name, void __iomem *at, bool atomic)
{
	struct bench b;
	u64 start, ns;

	if (!bench_begin(&b, t, 1000))
		return;
	while (b.got < b.n) {
		if (atomic)
			local_irq_disable();
		start = ktime_get_ns();
		readl(at);
		ns = ktime_get_ns() - start;
		if (atomic)
			local_irq_enable();
		bench_sample(&b, ns, 1);
		cond_resched();
	}
	bench_end(&b, name);
}

static void bench_read(struct vft *t)
{
	time_reads(t, "read", vft_reg(t, TESTDEV_SCRATCH), false);
}

static void bench_read_atomic(struct vft *t)
{
	time_reads(t, "read-atomic", vft_reg(t, TESTDEV_SCRATCH), true);
}

/* At the far end of a BAR whose size the server can be told. */
static void bench_read_far(struct vft *t)
{
	time_reads(t, "read-far", t->bar[5] + pci_resource_len(t->pdev, 5) - 4, false);
}

/*
 * Writes of one register: a batch which the ring has room for, and then, untimed, a read that waits
 * until all of it is done.
 */
static void time_writes(struct vft *t, const char *name, void __iomem *at)
{
	struct bench b;
	u64 start, ns;
	u32 i;

	if (!bench_begin(&b, t, 200))
		return;
	while (b.got < b.n) {
		start = ktime_get_ns();
		for (i = 0; i < BATCH; i++)
			writel(i, at);
		ns = ktime_get_ns() - start;
		bench_sample(&b, ns, BATCH);
		readl(vft_reg(t, TESTDEV_SCRATCH));
		cond_resched();
	}
	bench_end(&b, name);
}

static void bench_write(struct vft *t)
{
	time_writes(t, "write", vft_reg(t, TESTDEV_SCRATCH));
}

/* As many as can be: what is written waits for room in the ring, and so for the server. */
static void bench_write_stream(struct vft *t)
{
	struct bench b;
	u64 start;
	u32 i;

	if (!bench_begin(&b, t, 20))
		return;
	while (b.got < b.n) {
		start = ktime_get_ns();
		for (i = 0; i < 2048; i++)
			writel(i, vft_reg(t, TESTDEV_SCRATCH));
		readl(vft_reg(t, TESTDEV_SCRATCH));
		bench_sample(&b, ktime_get_ns() - start, 2048);
		cond_resched();
	}
	bench_end(&b, "write-stream");
}

/* Trapped and emulated, and not forwarded: the vector table is the module's own. */
static void bench_trap(struct vft *t)
{
	void __iomem *table = t->bar[2] + TESTDEV_MSIX_TABLE;
	struct bench b;
	u64 start;
	u32 i;

	if (!bench_begin(&b, t, 200))
		return;
	while (b.got < b.n) {
		start = ktime_get_ns();
		for (i = 0; i < BATCH; i++)
			readl(table);
		bench_sample(&b, ktime_get_ns() - start, BATCH);
		cond_resched();
	}
	bench_end(&b, "trap");
	if (!bench_begin(&b, t, 200))
		return;
	while (b.got < b.n) {
		start = ktime_get_ns();
		for (i = 0; i < BATCH; i++)
			writel(0, table);
		bench_sample(&b, ktime_get_ns() - start, BATCH);
		cond_resched();
	}
	bench_end(&b, "trap-write");
}

static void time_stores(struct vft *t, const char *name, void __iomem *at)
{
	struct bench b;
	u64 start;
	u32 i;

	if (!bench_begin(&b, t, 200))
		return;
	while (b.got < b.n) {
		start = ktime_get_ns();
		for (i = 0; i < BATCH * 64; i++)
			writel(i, at);
		bench_sample(&b, ktime_get_ns() - start, BATCH * 64);
		cond_resched();
	}
	bench_end(&b, name);
}

/* A page that the server lets drivers reach, and one of the kernel's own. */
static void bench_store(struct vft *t)
{
	void *page = (void *)__get_free_page(GFP_KERNEL);

	if (!vft_check(page, "a page"))
		return;
	time_stores(t, "store-plain", (void __iomem __force *)page);
	time_stores(t, "store-direct", t->bar[2] + TESTDEV_PAGE);
	free_page((unsigned long)page);
}

/* Two ioeventfds: one that nobody waits for, one that wakes the server. */
static void bench_ioeventfd(struct vft *t)
{
	time_writes(t, "ioeventfd-quiet", t->bar[1] + TESTDEV_DOORBELL_QUIET);
	time_writes(t, "ioeventfd", t->bar[1] + TESTDEV_DOORBELL);
}

struct bench_irq {
	struct completion done;
	u64 at;
};

static irqreturn_t bench_handler(int irq, void *data)
{
	struct bench_irq *bi = data;

	bi->at = ktime_get_ns();
	complete(&bi->done);
	return IRQ_HANDLED;
}

/*
 * From the server's write to the eventfd, whose time it keeps, to the handler. On @cpu; the driver
 * sleeps meanwhile.
 */
static void time_irqs(struct vft *t, const char *name, unsigned int cpu)
{
	struct bench_irq bi = { };
	struct bench b;
	int irq, ret;

	if (pci_alloc_irq_vectors(t->pdev, 1, 1, PCI_IRQ_MSIX) != 1) {
		vft_check(false, "%s: a vector", name);
		return;
	}
	init_completion(&bi.done);
	irq = pci_irq_vector(t->pdev, 0);
	ret = request_irq(irq, bench_handler, 0, "vfu_bench", &bi);
	if (vft_check(!ret, "%s: request_irq", name) && bench_begin(&b, t, 500)) {
		irq_set_affinity(irq, cpumask_of(cpu));
		while (b.got < b.n) {
			u64 stamp;

			reinit_completion(&bi.done);
			writel(VFIO_PCI_MSIX_IRQ_INDEX << 16, vft_reg(t, TESTDEV_IRQ));
			if (!wait_for_completion_timeout(&bi.done, WAIT_JIFFIES))
				break;
			stamp = readq(vft_reg(t, TESTDEV_IRQ_STAMP));
			bench_sample(&b, max_t(s64, bi.at - stamp, 0), 1);
		}
		bench_end(&b, name);
	}
	if (!ret)
		free_irq(irq, &bi);
	pci_free_irq_vectors(t->pdev);
}

static void bench_irq(struct vft *t)
{
	unsigned int cpu, n = 0;
	char name[24];

	for_each_online_cpu(cpu) {
		snprintf(name, sizeof(name), "irq-cpu%u", cpu);
		time_irqs(t, name, cpu);
		if (++n == 2)
			break;
	}
}

/* Vectors one after the other: does the number of them matter? */
static void bench_vectors(struct vft *t)
{
	struct bench_irq bi = { };
	struct bench b;
	u64 start;
	int n, i;

	n = pci_alloc_irq_vectors(t->pdev, 1, clamp(t->arg, 1U, TESTDEV_VECTORS), PCI_IRQ_MSIX);
	if (!vft_check(n > 0, "vectors"))
		return;
	init_completion(&bi.done);
	for (i = 0; i < n; i++)
		if (!vft_check(!request_irq(pci_irq_vector(t->pdev, i), bench_handler, 0,
					    "vfu_bench", &bi), "request_irq %d", i))
			break;
	t->arg = 200;
	if (i == n && bench_begin(&b, t, 200)) {
		while (b.got < b.n) {
			reinit_completion(&bi.done);
			start = ktime_get_ns();
			writel(VFIO_PCI_MSIX_IRQ_INDEX << 16 | b.got % n,
			       vft_reg(t, TESTDEV_IRQ));
			if (!wait_for_completion_timeout(&bi.done, WAIT_JIFFIES))
				break;
			bench_sample(&b, ktime_get_ns() - start, 1);
		}
		bench_end(&b, "vectors");
	}
	while (i--)
		free_irq(pci_irq_vector(t->pdev, i), &bi);
	pci_free_irq_vectors(t->pdev);
}

const struct vft_case vft_bench_cases[] = {
	{ "bench-read", bench_read },
	{ "bench-read-atomic", bench_read_atomic },
	{ "bench-read-far", bench_read_far },
	{ "bench-write", bench_write },
	{ "bench-write-stream", bench_write_stream },
	{ "bench-trap", bench_trap },
	{ "bench-store", bench_store },
	{ "bench-ioeventfd", bench_ioeventfd },
	{ "bench-irq", bench_irq },
	{ "bench-vectors", bench_vectors },
	{ }
};
