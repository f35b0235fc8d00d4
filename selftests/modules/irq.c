// SPDX-License-Identifier: GPL-2.0-only
/*
 * Interrupts: each vector reaches its handler, exactly as often as it was triggered when each time
 * is waited for, and at least once however it is masked in between.
 *
 * Handlers only count, so that a lost interrupt is seen as a count that stays behind.
 */
#include <linux/delay.h>
#include <linux/interrupt.h>
#include <linux/slab.h>
#include <linux/vfio.h>

#include "vfu_test.h"

#define WAIT_AFFINITY_S	20

/* 6.8 gave it its new name */
#ifndef PCI_IRQ_INTX
#define PCI_IRQ_INTX	PCI_IRQ_LEGACY
#endif

struct vector {
	struct vft *t;
	atomic_t count;
	atomic_t threaded;
	unsigned int cpu;
	u32 keep;	/* INTx: calls for which the line stays up */
	bool reads;
	bool wrong;
};

/* Long enough for any machine; only what is lost takes so long. */
#define WAIT_MS	10000

static bool wait_count(atomic_t *count, int n)
{
	int i;

	for (i = 0; i < WAIT_MS && atomic_read(count) < n; i++)
		usleep_range(900, 1100);
	return atomic_read(count) >= n;
}

/* Anything that is still on its way has time to arrive. */
static void settle(struct vft *t)
{
	readl(vft_reg(t, TESTDEV_ID));
	msleep(50);
}

static void trigger(struct vft *t, u32 index, u32 nr)
{
	writel(index << 16 | nr, vft_reg(t, TESTDEV_IRQ));
}

static irqreturn_t vector_handler(int irq, void *data)
{
	struct vector *v = data;

	v->cpu = smp_processor_id();
	if (v->reads && readl(vft_reg(v->t, TESTDEV_ID)) != TESTDEV_MAGIC)
		v->wrong = true;
	atomic_inc(&v->count);
	return IRQ_HANDLED;
}

static irqreturn_t vector_wake(int irq, void *data)
{
	struct vector *v = data;

	atomic_inc(&v->count);
	return IRQ_WAKE_THREAD;
}

static irqreturn_t vector_thread(int irq, void *data)
{
	struct vector *v = data;

	if (readl(vft_reg(v->t, TESTDEV_ID)) != TESTDEV_MAGIC)
		v->wrong = true;
	atomic_inc(&v->threaded);
	return IRQ_HANDLED;
}

static struct vector *vectors_create(struct vft *t)
{
	struct vector *v = kcalloc(TESTDEV_VECTORS, sizeof(*v), GFP_KERNEL);
	u32 i;

	for (i = 0; v && i < TESTDEV_VECTORS; i++)
		v[i].t = t;
	return v;
}

/* Allocates and requests @n vectors; returns how many it got, 0 after an error. */
static u32 vectors_request(struct vft *t, struct vector *v, u32 n, unsigned int type)
{
	int got = pci_alloc_irq_vectors(t->pdev, n, n, type), i, ret;

	if (got != n) {
		vft_note("%u vectors asked for, %d given", n, got);
		if (got > 0)
			pci_free_irq_vectors(t->pdev);
		return 0;
	}
	for (i = 0; i < n; i++) {
		ret = request_irq(pci_irq_vector(t->pdev, i), vector_handler, 0, "vfu_test", &v[i]);
		if (!ret)
			continue;
		vft_note("vector %d: request_irq: %d", i, ret);
		while (i--)
			free_irq(pci_irq_vector(t->pdev, i), &v[i]);
		pci_free_irq_vectors(t->pdev);
		return 0;
	}
	return n;
}

static void vectors_free(struct vft *t, struct vector *v, u32 n)
{
	while (n--)
		free_irq(pci_irq_vector(t->pdev, n), &v[n]);
	pci_free_irq_vectors(t->pdev);
}

/* Each of @n vectors @times times, one after the other. */
static bool one_by_one(struct vft *t, struct vector *v, u32 index, u32 n, u32 times)
{
	bool ok = true;
	u32 i, j;

	for (j = 1; j <= times; j++) {
		for (i = 0; i < n; i++) {
			int before = atomic_read(&v[i].count);

			trigger(t, index, i);
			if (wait_count(&v[i].count, before + 1))
				continue;
			vft_note("vector %u, time %u: lost", i, j);
			return false;
		}
	}
	settle(t);
	for (i = 0; i < n; i++) {
		if (atomic_read(&v[i].count) == times)
			continue;
		vft_note("vector %u: %d interrupts of %u", i, atomic_read(&v[i].count), times);
		ok = false;
	}
	return ok;
}

static void run_msix(struct vft *t)
{
	struct vector *v = vectors_create(t);
	bool ok = true;
	u32 i, round;

	if (!v)
		return;
	if (vft_check(vectors_request(t, v, TESTDEV_VECTORS, PCI_IRQ_MSIX), "64 vectors")) {
		vft_check(one_by_one(t, v, VFIO_PCI_MSIX_IRQ_INDEX, TESTDEV_VECTORS, 3),
			  "each reaches its handler, exactly once each time");
		for (i = 0; i < TESTDEV_VECTORS; i++)
			atomic_set(&v[i].count, 0);
		writel(VFIO_PCI_MSIX_IRQ_INDEX << 16 | TESTDEV_VECTORS,
		       vft_reg(t, TESTDEV_IRQ_ALL));
		for (i = 0; i < TESTDEV_VECTORS; i++)
			ok &= wait_count(&v[i].count, 1);
		settle(t);
		for (i = 0; i < TESTDEV_VECTORS; i++)
			ok &= atomic_read(&v[i].count) == 1;
		vft_check(ok, "all at once");
		vectors_free(t, v, TESTDEV_VECTORS);
	}
	/* Other numbers, again and again: arming and disarming leaves nothing behind. */
	for (round = 0, ok = true; round < 6 && ok; round++) {
		u32 n = 1 + 11 * round;

		memset(v, 0, TESTDEV_VECTORS * sizeof(*v));
		ok = vectors_request(t, v, n, PCI_IRQ_MSIX) == n;
		if (!ok)
			break;
		ok = one_by_one(t, v, VFIO_PCI_MSIX_IRQ_INDEX, n, 1);
		vectors_free(t, v, n);
	}
	vft_check(ok, "other numbers of vectors, in turn");
	kfree(v);
}

#ifdef MSI_ANY_INDEX
/* Is the server told again of vectors that it knows? */
static bool told_again(struct vft *t, u32 used)
{
	u32 i, n = vft_log_count(t);
	struct testdev_access a;

	for (i = 0; i < n; i++) {
		vft_log_read(t, i, &a);
		if (a.write && a.region == VFIO_PCI_BAR2_REGION_INDEX &&
		    a.offset >= TESTDEV_MSIX_TABLE &&
		    a.offset < TESTDEV_MSIX_TABLE + used * PCI_MSIX_ENTRY_SIZE)
			return true;
	}
	return false;
}

/* Vectors that are added while others are in use, with gaps; those go on. */
static void grow(struct vft *t, struct vector *v, u32 used)
{
	static const u32 more[] = { 10, 20, TESTDEV_VECTORS - 1 };
	struct msi_map maps[ARRAY_SIZE(more)];
	bool ok = true, again = false;
	u32 i, n;

	for (n = 0; n < ARRAY_SIZE(more); n++) {
		vft_log_start(t);
		maps[n] = pci_msix_alloc_irq_at(t->pdev, more[n], NULL);
		if (maps[n].index != more[n]) {
			vft_note("vector %u: pci_msix_alloc_irq_at: %d", more[n], maps[n].index);
			break;
		}
		if (request_irq(maps[n].virq, vector_handler, 0, "vfu_test", &v[more[n]])) {
			pci_msix_free_irq(t->pdev, maps[n]);
			break;
		}
		again |= told_again(t, n ? more[n - 1] + 1 : used);
	}
	vft_check(n == ARRAY_SIZE(more), "more vectors, one by one");
	vft_check(!again, "the server is told of each once");

	/* Those in use may have been raised once each time, in case something was missed. */
	settle(t);
	for (i = 0; i < TESTDEV_VECTORS; i++) {
		ok &= atomic_read(&v[i].count) <= 1 + n;
		atomic_set(&v[i].count, 0);
	}
	vft_check(ok, "the others are raised at most once each time");
	ok = one_by_one(t, v, VFIO_PCI_MSIX_IRQ_INDEX, used, 1);
	for (i = 0; i < n; i++) {
		trigger(t, VFIO_PCI_MSIX_IRQ_INDEX, more[i]);
		ok &= wait_count(&v[more[i]].count, 1);
	}
	settle(t);
	for (i = 0; i < n; i++)
		ok &= atomic_read(&v[more[i]].count) == 1;
	vft_check(ok, "old ones and new ones reach their handlers");

	while (n--) {
		free_irq(maps[n].virq, &v[more[n]]);
		pci_msix_free_irq(t->pdev, maps[n]);
	}
	for (i = 0; i < used; i++)
		atomic_set(&v[i].count, 0);
	vft_check(one_by_one(t, v, VFIO_PCI_MSIX_IRQ_INDEX, used, 2), "fewer again");
}
#endif

/* Kernels that have no domain for each device of ours, before 6.17, let drivers add none. */
static void run_msix_grow(struct vft *t)
{
	struct vector *v = vectors_create(t);

	if (!v)
		return;
	if (vft_check(vectors_request(t, v, 3, PCI_IRQ_MSIX), "3 vectors")) {
		vft_check(one_by_one(t, v, VFIO_PCI_MSIX_IRQ_INDEX, 3, 1), "each works");
#ifdef MSI_ANY_INDEX
		if (pci_msix_can_alloc_dyn(t->pdev))
			grow(t, v, 3);
		else
			vft_check(pci_msix_alloc_irq_at(t->pdev, 10, NULL).index < 0,
				  "none can be added");
#endif
		vectors_free(t, v, 3);
	}
	kfree(v);
}

static void many_free(struct vft *t, atomic_t *counts, u32 n)
{
	while (n--)
		free_irq(pci_irq_vector(t->pdev, n), &counts[n]);
	pci_free_irq_vectors(t->pdev);
}

static irqreturn_t many_handler(int irq, void *data)
{
	atomic_inc(data);
	return IRQ_HANDLED;
}

/* As many vectors as MSI-X can have, or the number behind the case's name. */
static void run_msix_many(struct vft *t)
{
	u32 n = t->arg ?: TESTDEV_MANY_VECTORS, i;
	atomic_t *counts = kvcalloc(n, sizeof(*counts), GFP_KERNEL);
	bool ok = true;
	int ret;

	if (!counts)
		return;
	ret = pci_alloc_irq_vectors(t->pdev, n, n, PCI_IRQ_MSIX);
	if (!vft_check(ret == n, "all vectors")) {
		vft_note("pci_alloc_irq_vectors: %d", ret);
		kvfree(counts);
		return;
	}
	for (i = 0; i < n; i++) {
		ret = request_irq(pci_irq_vector(t->pdev, i), many_handler, 0, "vfu_test",
				  &counts[i]);
		if (!ret)
			continue;
		vft_check(false, "vector %u: request_irq: %d", i, ret);
		many_free(t, counts, i);
		kvfree(counts);
		return;
	}
	writel(VFIO_PCI_MSIX_IRQ_INDEX << 16 | n, vft_reg(t, TESTDEV_IRQ_ALL));
	for (i = 0; ok && i < n; i++) {
		ok = wait_count(&counts[i], 1);
		if (!ok)
			vft_note("vector %u: lost", i);
	}
	settle(t);
	for (i = 0; i < n; i++)
		ok &= atomic_read(&counts[i]) == 1;
	vft_check(ok, "each reaches its handler once");
	many_free(t, counts, n);
	kvfree(counts);
}

static void run_msi(struct vft *t)
{
	struct vector *v = vectors_create(t);
	u32 n, got;

	if (!v)
		return;
	for (n = 1; n <= 1 << TESTDEV_MSI_LOG2; n *= 2) {
		memset(v, 0, TESTDEV_VECTORS * sizeof(*v));
		got = vectors_request(t, v, n, PCI_IRQ_MSI);
		vft_check(got && one_by_one(t, v, VFIO_PCI_MSI_IRQ_INDEX, n, 5), "MSI, %u vectors",
			  n);
		if (got)
			vectors_free(t, v, n);
	}
	kfree(v);
}

/* What is triggered while an interrupt is disabled arrives when it is enabled. */
static bool mask(struct vft *t, struct vector *v, u32 index, u32 n)
{
	bool ok = true;
	int count;
	u32 i, j;

	for (j = 0; j < 5; j++) {
		for (i = 0; i < n; i++) {
			atomic_set(&v[i].count, 0);
			disable_irq(pci_irq_vector(t->pdev, i));
		}
		for (i = 0; i < n; i++) {
			trigger(t, index, i);
			if (i % 2)
				trigger(t, index, i);
		}
		settle(t);
		for (i = 0; i < n; i++) {
			count = atomic_read(&v[i].count);
			if (count) {
				vft_note("vector %u: %d interrupts while disabled", i, count);
				ok = false;
			}
		}
		for (i = 0; i < n; i++)
			enable_irq(pci_irq_vector(t->pdev, i));
		for (i = 0; i < n; i++)
			ok &= wait_count(&v[i].count, 1);
		settle(t);
		for (i = 0; i < n; i++) {
			count = atomic_read(&v[i].count);
			if (count < 1 || count > 1 + i % 2) {
				vft_note("vector %u: %d interrupts after it was enabled", i, count);
				ok = false;
			}
		}
	}
	return ok;
}

static void run_mask(struct vft *t)
{
	struct vector *v = vectors_create(t);

	if (!v)
		return;
	if (vft_check(vectors_request(t, v, 8, PCI_IRQ_MSIX), "MSI-X, 8 vectors")) {
		vft_check(mask(t, v, VFIO_PCI_MSIX_IRQ_INDEX, 8),
			  "MSI-X, none lost while disabled");
		vectors_free(t, v, 8);
	}
	if (vft_check(vectors_request(t, v, 8, PCI_IRQ_MSI), "MSI, 8 vectors")) {
		vft_check(mask(t, v, VFIO_PCI_MSI_IRQ_INDEX, 8), "MSI, none lost while disabled");
		vectors_free(t, v, 8);
	}
	kfree(v);
}

/* The MSI-X function mask holds all vectors back, none is lost. */
static void run_function_mask(struct vft *t)
{
	struct vector *v = vectors_create(t);
	bool held = true, ok = true;
	u16 ctrl, pos = t->pdev->msix_cap + PCI_MSIX_FLAGS;
	u32 i, n = 4;

	if (!v)
		return;
	if (vft_check(vectors_request(t, v, n, PCI_IRQ_MSIX), "4 vectors")) {
		pci_read_config_word(t->pdev, pos, &ctrl);
		pci_write_config_word(t->pdev, pos, ctrl | PCI_MSIX_FLAGS_MASKALL);
		for (i = 0; i < n; i++)
			trigger(t, VFIO_PCI_MSIX_IRQ_INDEX, i);
		settle(t);
		for (i = 0; i < n; i++)
			held &= !atomic_read(&v[i].count);
		vft_check(held, "none while the function is masked");
		pci_write_config_word(t->pdev, pos, ctrl);
		for (i = 0; i < n; i++)
			ok &= wait_count(&v[i].count, 1);
		settle(t);
		for (i = 0; i < n; i++)
			ok &= atomic_read(&v[i].count) == 1;
		vft_check(ok, "each of them afterwards, once");
		vectors_free(t, v, n);
	}
	kfree(v);
}

static void run_affinity(struct vft *t)
{
	struct vector *v = vectors_create(t);
	u32 i, cpu, here;
	bool ok = true, somewhere = true;

	if (!v)
		return;
	if (!vft_check(vectors_request(t, v, 4, PCI_IRQ_MSIX), "4 vectors")) {
		kfree(v);
		return;
	}
	for_each_online_cpu(cpu) {
		here = 0;
		for (i = 0; i < 40; i++) {
			unsigned int irq = pci_irq_vector(t->pdev, i % 4);
			int before = atomic_read(&v[i % 4].count);
			int ret = irq_set_affinity(irq, cpumask_of(cpu));

			if (ret) {
				vft_note("irq_set_affinity: %d", ret);
				ok = false;
			}
			/* The helper, which must not be interrupted, has gone to sleep. */
			settle(t);
			trigger(t, VFIO_PCI_MSIX_IRQ_INDEX, i % 4);
			ok &= wait_count(&v[i % 4].count, before + 1);
			here += v[i % 4].cpu == cpu;
		}
		vft_note("CPU %u: %u of 40 interrupts there", cpu, here);
		somewhere &= here > 0;
	}
	vft_check(ok, "none lost when the affinity changes");
	/* Those that would interrupt the helper or the server go elsewhere: see kmod/irq.c. */
	vft_check(somewhere, "handlers run on the CPU asked for");
	vectors_free(t, v, 4);
	kfree(v);
}

/* Handlers that read registers run in a thread: that follows all vectors of the device. */
static void run_affinity_reads(struct vft *t)
{
	struct vector *v = vectors_create(t);
	bool ok = true, there = true, came;
	u32 i, n = 4, cpu;

	if (!v)
		return;
	for (i = 0; i < n; i++)
		v[i].reads = true;
	if (!vft_check(vectors_request(t, v, n, PCI_IRQ_MSIX), "4 vectors")) {
		kfree(v);
		return;
	}
	for_each_online_cpu(cpu) {
		unsigned long end = jiffies + WAIT_AFFINITY_S * HZ;
		u32 right = 0, all = 0;

		for (i = 0; i < n; i++)
			ok &= !irq_set_affinity(pci_irq_vector(t->pdev, i), cpumask_of(cpu));
		/* It takes a moment; from then on all are there. */
		while (ok && right < 20 && time_before(jiffies, end)) {
			int before = atomic_read(&v[all % n].count);

			trigger(t, VFIO_PCI_MSIX_IRQ_INDEX, all % n);
			came = wait_count(&v[all % n].count, before + 1);
			ok &= came;
			right = v[all % n].cpu == cpu ? right + 1 : 0;
			all++;
		}
		vft_note("CPU %u: the last %u of %u interrupts there", cpu, right, all);
		there &= right == 20;
	}
	vft_check(ok, "none lost when the affinity changes");
	vft_check(there, "handlers that read follow it");
	vectors_free(t, v, n);
	kfree(v);
}

static void run_threaded(struct vft *t)
{
	struct vector *v = vectors_create(t);
	bool ok = true;
	u32 i;
	int ret;

	if (!v)
		return;
	ret = pci_alloc_irq_vectors(t->pdev, 1, 1, PCI_IRQ_MSIX);
	if (vft_check(ret == 1, "one vector")) {
		ret = request_threaded_irq(pci_irq_vector(t->pdev, 0), vector_wake, vector_thread,
					   IRQF_ONESHOT, "vfu_test", v);
		if (vft_check(!ret, "threaded handler")) {
			for (i = 1; ok && i <= 50; i++) {
				trigger(t, VFIO_PCI_MSIX_IRQ_INDEX, 0);
				ok = wait_count(&v->threaded, i);
			}
			settle(t);
			vft_check(ok && atomic_read(&v->count) == 50 &&
				  atomic_read(&v->threaded) == 50, "50 times");
			vft_check(!v->wrong, "its reads are right");
			free_irq(pci_irq_vector(t->pdev, 0), v);
		}
		pci_free_irq_vectors(t->pdev);
	}
	kfree(v);
}

/* Handlers that read a register, as many do to see what it is about. */
static void run_handler_reads(struct vft *t)
{
	struct vector *v = vectors_create(t);
	bool ok = true, right = true;
	u32 i, n = 4;

	if (!v)
		return;
	for (i = 0; i < n; i++)
		v[i].reads = true;
	if (vft_check(vectors_request(t, v, n, PCI_IRQ_MSIX), "4 vectors")) {
		for (i = 0; ok && i < 200; i++) {
			trigger(t, VFIO_PCI_MSIX_IRQ_INDEX, i % n);
			ok = wait_count(&v[i % n].count, i / n + 1);
			if (v[i % n].wrong) {
				vft_note("interrupt %u read something wrong on CPU %u", i,
					 v[i % n].cpu);
				break;
			}
		}
		for (i = 0; i < n; i++)
			right &= !v[i].wrong;
		vft_check(ok, "200 interrupts");
		vft_check(right, "reads in the handler are right");
		vectors_free(t, v, n);
	}
	kfree(v);
}

/* ---- INTx ---- */

static irqreturn_t intx_handler(int irq, void *data)
{
	struct vector *v = data;

	if (v->keep)
		v->keep--;
	else
		writel(0, vft_reg(v->t, TESTDEV_INTX));
	atomic_inc(&v->count);
	return IRQ_HANDLED;
}

static void run_intx(struct vft *t)
{
	struct vector v = { .t = t };
	bool ok = true;
	int i, ret, count;

	ret = pci_alloc_irq_vectors(t->pdev, 1, 1, PCI_IRQ_INTX);
	if (!vft_check(ret == 1, "one interrupt"))
		return;
	ret = request_irq(pci_irq_vector(t->pdev, 0), intx_handler, IRQF_SHARED, "vfu_test", &v);
	if (!vft_check(!ret, "request_irq: %d", ret)) {
		pci_free_irq_vectors(t->pdev);
		return;
	}
	for (i = 1; ok && i <= 50; i++) {
		writel(1, vft_reg(t, TESTDEV_INTX));
		ok = wait_count(&v.count, i);
		/* The line is down before it goes up again. */
		readl(vft_reg(t, TESTDEV_INTX));
	}
	settle(t);
	count = atomic_read(&v.count);
	if (count != 50)
		vft_note("%d interrupts", count);
	vft_check(ok && count == 50, "50 times up, 50 interrupts");
	/* A line that does not mask itself is an edge. */
	if (t->arg) {
		free_irq(pci_irq_vector(t->pdev, 0), &v);
		pci_free_irq_vectors(t->pdev);
		return;
	}

	atomic_set(&v.count, 0);
	WRITE_ONCE(v.keep, 6);
	writel(1, vft_reg(t, TESTDEV_INTX));
	ok = wait_count(&v.count, 7);
	settle(t);
	vft_check(ok && !v.keep && atomic_read(&v.count) == 7, "again as long as the line is up");
	vft_check(readl(vft_reg(t, TESTDEV_INTX)) == 0, "and the line is down");
	count = atomic_read(&v.count);
	settle(t);
	vft_check(atomic_read(&v.count) == count, "none without the line");

	disable_irq(pci_irq_vector(t->pdev, 0));
	atomic_set(&v.count, 0);
	writel(1, vft_reg(t, TESTDEV_INTX));
	settle(t);
	vft_check(atomic_read(&v.count) == 0, "none while disabled");
	enable_irq(pci_irq_vector(t->pdev, 0));
	vft_check(wait_count(&v.count, 1), "but afterwards");
	readl(vft_reg(t, TESTDEV_INTX));

	/* The command register's own switch. */
	pci_intx(t->pdev, 0);
	atomic_set(&v.count, 0);
	writel(1, vft_reg(t, TESTDEV_INTX));
	settle(t);
	vft_check(atomic_read(&v.count) == 0, "none while Interrupt Disable is set");
	pci_intx(t->pdev, 1);
	vft_check(wait_count(&v.count, 1), "the line is still up when it is cleared");
	readl(vft_reg(t, TESTDEV_INTX));
	settle(t);

	disable_irq(pci_irq_vector(t->pdev, 0));
	writel(1, vft_reg(t, TESTDEV_INTX));
	readl(vft_reg(t, TESTDEV_INTX));
	writel(0, vft_reg(t, TESTDEV_INTX));
	settle(t);
	enable_irq(pci_irq_vector(t->pdev, 0));
	atomic_set(&v.count, 0);
	writel(1, vft_reg(t, TESTDEV_INTX));
	vft_check(wait_count(&v.count, 1), "works after a line that went down unseen");

	free_irq(pci_irq_vector(t->pdev, 0), &v);
	pci_free_irq_vectors(t->pdev);
}

/* From one kind to the next and back, as drivers that fall back do. */
static void run_kinds(struct vft *t)
{
	struct vector *v = vectors_create(t);
	struct vector x = { .t = t };
	bool ok = true;
	int i, ret;

	if (!v)
		return;
	for (i = 0; ok && i < 3; i++) {
		memset(v, 0, TESTDEV_VECTORS * sizeof(*v));
		ok = vectors_request(t, v, 5, PCI_IRQ_MSIX);
		if (ok) {
			ok = one_by_one(t, v, VFIO_PCI_MSIX_IRQ_INDEX, 5, 2);
			vectors_free(t, v, 5);
		}
		memset(v, 0, TESTDEV_VECTORS * sizeof(*v));
		if (ok && vectors_request(t, v, 4, PCI_IRQ_MSI)) {
			ok = one_by_one(t, v, VFIO_PCI_MSI_IRQ_INDEX, 4, 2);
			vectors_free(t, v, 4);
		} else {
			ok = false;
		}
		if (!ok)
			break;
		atomic_set(&x.count, 0);
		ret = request_irq(t->pdev->irq, intx_handler, IRQF_SHARED, "vfu_test", &x);
		if (ret) {
			vft_note("INTx: request_irq: %d", ret);
			ok = false;
			break;
		}
		writel(1, vft_reg(t, TESTDEV_INTX));
		ok = wait_count(&x.count, 1);
		readl(vft_reg(t, TESTDEV_INTX));
		free_irq(t->pdev->irq, &x);
	}
	vft_check(ok, "MSI-X, MSI and INTx in turn");
	kfree(v);
}

const struct vft_case vft_irq_cases[] = {
	{ "msix", run_msix },
	{ "msix-grow", run_msix_grow },
	{ "msix-many", run_msix_many },
	{ "msi", run_msi },
	{ "mask", run_mask },
	{ "function-mask", run_function_mask },
	{ "affinity", run_affinity },
	{ "affinity-reads", run_affinity_reads },
	{ "threaded", run_threaded },
	{ "handler-reads", run_handler_reads },
	{ "intx", run_intx },
	{ "kinds", run_kinds },
	{ }
};
