// SPDX-License-Identifier: GPL-2.0-only
/*
 * Maps a file into this process, as drivers of user space map BARs and DMA memory.
 *
 *	vfu_mmap FILE OFFSET SIZE map		does it map?
 *	vfu_mmap FILE OFFSET SIZE fill SEED	write the test device's pattern
 *	vfu_mmap FILE OFFSET SIZE check SEED	is the pattern there?
 *
 * Exit status: 0, 1 where the pattern is another, 2 for a wrong command line, 3 where the file does
 * not open, 4 where it does not map.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../servers/testdev.h"

int main(int argc, char **argv)
{
	volatile uint8_t *p;
	unsigned long offset, size, i;
	uint8_t seed;
	void *map;
	int fd;

	if (argc < 5 || (argc < 6 && strcmp(argv[4], "map"))) {
		fprintf(stderr, "usage: vfu_mmap FILE OFFSET SIZE map|fill|check [SEED]\n");
		return 2;
	}
	offset = strtoul(argv[2], NULL, 0);
	size = strtoul(argv[3], NULL, 0);
	seed = argc > 5 ? (uint8_t)strtoul(argv[5], NULL, 0) : 0;
	fd = open(argv[1], O_RDWR);
	if (fd < 0) {
		fprintf(stderr, "%s: %s\n", argv[1], strerror(errno));
		return 3;
	}
	map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)offset);
	if (map == MAP_FAILED) {
		fprintf(stderr, "mmap: %s\n", strerror(errno));
		return 4;
	}
	p = map;
	for (i = 0; i < size; i++) {
		if (!strcmp(argv[4], "fill")) {
			p[i] = TESTDEV_PATTERN(seed, i);
		} else if (!strcmp(argv[4], "check") && p[i] != TESTDEV_PATTERN(seed, i)) {
			fprintf(stderr, "byte %#lx is %#x, not %#x\n", i, p[i],
				TESTDEV_PATTERN(seed, i));
			return 1;
		}
	}
	return 0;
}
