/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * "attach --record": what travels on the sockets goes to a file as well.
 */
#ifndef HELPER_RECORD_H
#define HELPER_RECORD_H

#include <stdbool.h>

struct vfuc_tap;

/**
 * struct record - a recording being made
 * @fd: the file; -1: none, or it failed
 */
struct record {
	int fd;
};

int record_open(struct record *record, const char *path, const char *address, bool again);
void record_message(struct record *record, const struct vfuc_tap *tap);
void record_close(struct record *record);

#endif
