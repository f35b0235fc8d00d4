/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A server that the fuzzer's input plays, at the other end of what the engine takes for a socket:
 * send(), sendmsg(), recvmsg(), poll() and the clock are ours (--wrap).
 */
#ifndef FUZZ_SOCKET_H
#define FUZZ_SOCKET_H

#include <stdbool.h>

#include "input.h"

struct vfuc;
struct vfuc_config;

/**
 * fuzz_socket_start() - a new connection
 * @in: the server's actions; when it is used up the server closes
 * @address: filled in for struct vfuc_config, 32 bytes
 *
 */
void fuzz_socket_start(struct input *in, char *address);

/**
 * fuzz_socket_end() - check that no descriptor that the server sent is still open
 */
void fuzz_socket_end(void);

/* What else is to happen whenever the target looks for something new; NULL: nothing. */
extern void (*fuzz_socket_tick)(void);

/* Pass the other calls on to the real ones. */
extern bool fuzz_socket_active;

#endif
