/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The helper's end of the request ring (uapi/linux/vfiouser.h).
 */
#ifndef HELPER_RING_H
#define HELPER_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/vfiouser.h>

/**
 * struct ring - a mapped channel
 * @fd: the channel
 * @map: shared with the kernel
 * @head: requests consumed so far; the shared copy is only ever written
 */
struct ring {
	int fd;
	struct vfiouser_ring *map;
	uint32_t head;
};

int ring_open(struct ring *ring, const char *path);
void ring_close(struct ring *ring);
const struct vfiouser_request *ring_peek(const struct ring *ring);
uint32_t ring_count(const struct ring *ring);
void ring_advance(struct ring *ring);
void ring_complete(struct ring *ring, uint32_t slot, uint32_t generation, int error,
		   const void *data, size_t len);
bool ring_sleep(struct ring *ring);
void ring_awake(struct ring *ring);
uint32_t ring_timeout_ms(const struct ring *ring);
uint32_t ring_state(const struct ring *ring);
const char *ring_state_name(uint32_t state);
uint32_t ring_state_of_name(const char *name);
int ring_server(const struct ring *ring, pid_t pid);
int ring_remove(struct ring *ring);
int ring_pool(struct ring *ring);
bool ring_replaced(const struct ring *ring);
int ring_ioeventfd(struct ring *ring, const struct vfiouser_ioeventfd *arg);
int ring_ram(const struct ring *ring, struct vfiouser_ram *arg);
int ring_irqfd(struct ring *ring, uint32_t index, uint32_t start, uint32_t count, const int *fds);

#endif
