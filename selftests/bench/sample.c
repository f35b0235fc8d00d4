// SPDX-License-Identifier: GPL-2.0-only
/*
 * vfu_sample: what a load on a disk gets done, and what CPU time the whole system takes for it.
 *
 *	vfu_sample DISK SECONDS BYTES	DISK as sda, BYTES of one request
 *	vfu_sample - SECONDS 0		CPU time only, at once
 *
 * Waits until the disk has begun to work and goes on to, then looks at both ends of a window:
 * nothing of the load's start is in it. Prints "bench iops N", "bench cpu NANOSECONDS" for one
 * request, and "bench busy N", the CPUs that were not idle. Requests are counted in bytes, since
 * the kernel merges them.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"

#define START_MS	60000
#define STEP_MS		20
#define SETTLE_MS	100

struct sample {
	uint64_t ns;
	uint64_t sectors;
	double idle_s;
};

static void sleep_ms(unsigned int ms)
{
	struct timespec ts = { ms / 1000, ms % 1000 * 1000000l };

	nanosleep(&ts, NULL);
}

/* Of all CPUs; the kernel keeps it exactly, unlike what they do when they are not idle. */
static double idle_seconds(void)
{
	unsigned long long user, nice, system, idle, iowait;
	FILE *f = fopen("/proc/stat", "r");
	double s = -1;

	if (f && fscanf(f, "cpu %llu %llu %llu %llu %llu", &user, &nice, &system, &idle,
			&iowait) == 5)
		s = (double)(idle + iowait) / sysconf(_SC_CLK_TCK);
	if (f)
		fclose(f);
	return s;
}

static int sectors(const char *disk, uint64_t *n)
{
	unsigned long long rios, rmerges, rsectors, rticks, wios, wmerges, wsectors;
	char path[256];
	int got = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/sys/block/%s/stat", disk);
	f = fopen(path, "r");
	if (f) {
		got = fscanf(f, "%llu %llu %llu %llu %llu %llu %llu", &rios, &rmerges, &rsectors,
			     &rticks, &wios, &wmerges, &wsectors);
		fclose(f);
	}
	if (got != 7) {
		fprintf(stderr, "vfu_sample: no statistics of a disk %s\n", disk);
		return -1;
	}
	*n = rsectors + wsectors;
	return 0;
}

static int take(const char *disk, struct sample *s)
{
	s->sectors = 0;
	if (strcmp(disk, "-") && sectors(disk, &s->sectors))
		return -1;
	s->ns = now_ns();
	s->idle_s = idle_seconds();
	return s->idle_s < 0 ? -1 : 0;
}

static int wait_for_load(const char *disk)
{
	uint64_t first, n;
	unsigned int ms;

	if (sectors(disk, &first))
		return -1;
	for (ms = 0; ms < START_MS; ms += STEP_MS) {
		sleep_ms(STEP_MS);
		if (sectors(disk, &n))
			return -1;
		/* The load's own look at the disk is less. */
		if (n - first > 2048) {
			sleep_ms(SETTLE_MS);
			return 0;
		}
	}
	fprintf(stderr, "vfu_sample: nothing happens on %s\n", disk);
	return -1;
}

int main(int argc, char **argv)
{
	double seconds, busy, requests;
	struct sample a, b;
	uint64_t bytes;

	if (argc != 4) {
		fprintf(stderr, "usage: vfu_sample DISK|- SECONDS BYTES\n");
		return 2;
	}
	bytes = strtoull(argv[3], NULL, 0);
	if (strcmp(argv[1], "-") && wait_for_load(argv[1]))
		return 1;
	if (take(argv[1], &a))
		return 1;
	sleep_ms((unsigned int)(atof(argv[2]) * 1000));
	if (take(argv[1], &b))
		return 1;
	seconds = (b.ns - a.ns) / 1e9;
	busy = sysconf(_SC_NPROCESSORS_ONLN) * seconds - (b.idle_s - a.idle_s);
	if (busy < 0)
		busy = 0;
	printf("bench busy %.4f\n", busy / seconds);
	if (!bytes)
		return 0;
	requests = (b.sectors - a.sectors) * 512.0 / bytes;
	if (!requests) {
		fprintf(stderr, "vfu_sample: %s stood still\n", argv[1]);
		return 1;
	}
	printf("bench iops %.1f\nbench cpu %.1f\n", requests / seconds, busy * 1e9 / requests);
	return 0;
}
