/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Who is at the other end of the server's socket, and who else could be.
 */
#ifndef HELPER_PEER_H
#define HELPER_PEER_H

#include <stddef.h>
#include <sys/types.h>

size_t peer_judge(const char *path, uid_t uid, char *text, size_t len);
void peer_check(int fd);

#endif
