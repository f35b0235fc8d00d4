// SPDX-License-Identifier: GPL-2.0-only
/*
 * vfu_fuse DIR: a file system with a file that is closed at once until SIGUSR1, and from then on
 * not at all. Its end is the end of all that waits for it.
 */
#include <signal.h>
#include <stdlib.h>

#include "fuse_file.h"

static volatile sig_atomic_t hold;

static void on_signal(int sig)
{
	(void)sig;
	hold = 1;
}

static bool flush(void)
{
	if (hold)
		puts("held");
	return !hold;
}

int main(int argc, char **argv)
{
	int dev = argc == 2 ? fuse_mount(argv[1]) : -1;

	if (dev < 0) {
		perror(argc == 2 ? argv[1] : "vfu_fuse DIR");
		return 1;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGUSR1, on_signal);
	puts("mounted");
	return fuse_serve(dev, flush);
}
