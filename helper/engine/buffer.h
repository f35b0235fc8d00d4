/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Message buffers, recycled so that a busy connection allocates nothing in its steady state.
 *
 * A buffer is owned by whoever got it until vfuc_pool_put(). One pool per connection, no locking.
 */
#ifndef VFUC_BUFFER_H
#define VFUC_BUFFER_H

#include <stddef.h>
#include <stdint.h>

#define VFUC_POOL_CLASSES	17	/* 512 bytes, doubling, to 32 MiB */

enum vfuc_buf_kind {
	VFUC_BUF_PLAIN,
	VFUC_BUF_POSTED,	/* a posted REGION_WRITE that may turn into a WRITE_MULTI */
	VFUC_BUF_MULTI,		/* a REGION_WRITE_MULTI that may grow */
	VFUC_BUF_REPLY,		/* a reply to the server */
};

struct vfuc_buf {
	struct vfuc_buf *next;
	size_t capacity;
	size_t len;		/* bytes of data[] */
	size_t sent;
	enum vfuc_buf_kind kind;
	unsigned int size_class;
	unsigned int nr_fds;	/* duplicates, owned by the buffer */
	int *fds;
	unsigned int passed;	/* how many go, or went, with it */
	uint8_t data[];
};

struct vfuc_pool {
	struct vfuc_buf *free[VFUC_POOL_CLASSES];
	unsigned int nr_free[VFUC_POOL_CLASSES];
};

/**
 * vfuc_pool_get() - an empty buffer
 * @pool: pool
 * @size: bytes it must hold
 *
 * Return: a buffer with all fields but next reset, or NULL: no memory, or @size beyond 32 MiB.
 */
struct vfuc_buf *vfuc_pool_get(struct vfuc_pool *pool, size_t size);

/**
 * vfuc_pool_put() - give a buffer back, closing its descriptors
 * @pool: pool
 * @buf: buffer, or NULL
 */
void vfuc_pool_put(struct vfuc_pool *pool, struct vfuc_buf *buf);

/**
 * vfuc_pool_free() - free all that lies in the pool
 * @pool: pool, usable again afterwards
 */
void vfuc_pool_free(struct vfuc_pool *pool);

#endif
