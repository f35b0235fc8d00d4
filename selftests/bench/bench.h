/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the programs of the bench have in common: the clock, and how a result is printed.
 */
#ifndef BENCH_H
#define BENCH_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static inline uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

static inline int bench_compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

/* Prints the median of the samples, which are sorted by that. */
static inline void median(const char *name, double *samples, unsigned int n)
{
	qsort(samples, n, sizeof(*samples), bench_compare);
	printf("bench %s %.3f\n", name, samples[n / 2]);
	fflush(stdout);
}

#endif
