// SPDX-License-Identifier: GPL-2.0-only
/* Message buffers, recycled in power-of-two size classes. */
#include <stdlib.h>
#include <unistd.h>

#include "buffer.h"

#define SMALLEST	512
#define KEEP_SMALL	256	/* buffers kept of each class up to 4 KiB */
#define KEEP_LARGE	4
#define SMALL_CLASSES	4

struct vfuc_buf *vfuc_pool_get(struct vfuc_pool *pool, size_t size)
{
	unsigned int class = 0;
	struct vfuc_buf *buf;

	while (class < VFUC_POOL_CLASSES && (size_t)SMALLEST << class < size)
		class++;
	if (class == VFUC_POOL_CLASSES)
		return NULL;
	buf = pool->free[class];
	if (buf) {
		pool->free[class] = buf->next;
		pool->nr_free[class]--;
	} else {
		buf = malloc(sizeof(*buf) + ((size_t)SMALLEST << class));
		if (!buf)
			return NULL;
	}
	buf->next = NULL;
	buf->capacity = (size_t)SMALLEST << class;
	buf->len = 0;
	buf->sent = 0;
	buf->kind = VFUC_BUF_PLAIN;
	buf->size_class = class;
	buf->nr_fds = 0;
	buf->fds = NULL;
	return buf;
}

void vfuc_pool_put(struct vfuc_pool *pool, struct vfuc_buf *buf)
{
	unsigned int class;

	if (!buf)
		return;
	while (buf->nr_fds)
		close(buf->fds[--buf->nr_fds]);
	free(buf->fds);
	class = buf->size_class;
	if (pool->nr_free[class] >= (class < SMALL_CLASSES ? KEEP_SMALL : KEEP_LARGE)) {
		free(buf);
		return;
	}
	buf->fds = NULL;
	buf->next = pool->free[class];
	pool->free[class] = buf;
	pool->nr_free[class]++;
}

void vfuc_pool_free(struct vfuc_pool *pool)
{
	struct vfuc_buf *buf;
	unsigned int class;

	for (class = 0; class < VFUC_POOL_CLASSES; class++) {
		while ((buf = pool->free[class])) {
			pool->free[class] = buf->next;
			free(buf);
		}
		pool->nr_free[class] = 0;
	}
}
