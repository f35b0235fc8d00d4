/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A vfio-user client of a few lines, to test servers with: sends what it is told, right or wrong,
 * and returns what comes back. Every wait ends after MC_TIMEOUT_MS, so that a server which hangs
 * is a failed test and not a hung one.
 */
#ifndef MINI_CLIENT_H
#define MINI_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "../../servers/lib/vfus_proto.h"

#define MC_TIMEOUT_MS	20000
#define MC_MAX_FDS	16

struct mc_server {
	pid_t pid;
	char path[64];
};

struct mc {
	int fd;
	int twin;		/* where server requests come in, or -1 */
	uint16_t id;
	/* memory that DMA_READ and DMA_WRITE are served from */
	uint8_t *mem;
	uint64_t iova;
	uint64_t mem_size;
	unsigned int served;
	/* the last reply */
	struct vfio_user_hdr hdr;
	uint8_t *payload;
	size_t cap;
	size_t len;
	int fds[MC_MAX_FDS];
	unsigned int nfds;
};

int mc_spawn(struct mc_server *s, const char *program, int keep_fd, char *const args[]);
int mc_stop(struct mc_server *s);
int mc_wait_exit(pid_t pid);

int mc_connect(struct mc *c, const char *path);
void mc_adopt(struct mc *c, int fd);
void mc_close(struct mc *c);
void mc_close_fds(struct mc *c);
int mc_send(struct mc *c, const struct vfio_user_hdr *hdr, const void *payload, size_t len,
	    const int *fds, unsigned int nfds);
int mc_receive(struct mc *c);
int mc_serve(struct mc *c, int timeout_ms);
int mc_request(struct mc *c, uint16_t cmd, const void *payload, size_t len, const int *fds,
	       unsigned int nfds);
int mc_version(struct mc *c, uint16_t major, uint16_t minor, const char *json);
int mc_negotiate(struct mc *c);
int mc_read(struct mc *c, uint32_t region, uint64_t offset, void *buf, uint32_t count);
int mc_write(struct mc *c, uint32_t region, uint64_t offset, const void *buf, uint32_t count);
int mc_dma_map(struct mc *c, uint64_t iova, uint64_t size, int fd, uint64_t offset);
int mc_dma_unmap(struct mc *c, uint64_t iova, uint64_t size);
int mc_set_irqs(struct mc *c, uint32_t flags, uint32_t index, uint32_t start, uint32_t count,
		const void *data, size_t len, const int *fds, unsigned int nfds);
int mc_closed(struct mc *c);

#endif
