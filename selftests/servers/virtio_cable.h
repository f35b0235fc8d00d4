/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A network cable between two servers: a SOCK_SEQPACKET UNIX socket, one Ethernet frame a packet.
 *
 * Plugged in only while the device at this end is in use, so that the far end loses its carrier
 * when this one's goes. One side listens, the other connects, and tries again for as long as it is
 * plugged in. The listener says hello first: a connection that merely waits in its backlog is no
 * carrier.
 */
#ifndef VIRTIO_CABLE_H
#define VIRTIO_CABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cable {
	const char *path;		/* NULL: there is no cable */
	bool listen;
	bool plugged;
	bool up;
	int epfd;			/* readable when there is something to do */
	int listen_fd;
	int fd;
	uint32_t events;		/* what @epfd waits for on @fd */
	uint64_t retry;			/* when to connect again, vfus_now_us() */
};

int cable_init(struct cable *c);
void cable_free(struct cable *c);
int cable_watch(struct cable *c, int fd);
void cable_plug(struct cable *c, bool in);
long cable_run(struct cable *c);
void cable_want(struct cable *c, bool in, bool out);
int cable_send(struct cable *c, const void *frame, size_t len);
int cable_receive(struct cable *c, void *frame, size_t size);

#endif
