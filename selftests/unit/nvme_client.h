/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * An NVMe driver of a few lines over the mini client: enough to put any command, right or wrong,
 * into a queue and to see its completion.
 */
#ifndef NVME_CLIENT_H
#define NVME_CLIENT_H

#include "mini_client.h"

#define NC_IOVA		0x100000000ull
#define NC_SIZE		(16u << 20)
#define NC_DEPTH	16u		/* entries in each queue */
#define NC_QUEUES	9
#define NC_LISTS	0x100000u	/* offset of PRP lists */
#define NC_DATA		0x200000u	/* offset of data */

struct nc_cmd {
	uint8_t opcode;
	uint8_t flags;
	uint16_t cid;
	uint32_t nsid;
	uint64_t reserved;
	uint64_t mptr;
	uint64_t prp1;
	uint64_t prp2;
	uint32_t dw[6];			/* command dwords 10 to 15 */
};

struct nc_cqe {
	uint32_t result;
	uint32_t reserved;
	uint16_t sq_head;
	uint16_t sq_id;
	uint16_t cid;
	uint16_t status;
};

struct nc_queue {
	unsigned int tail;
	unsigned int head;
	unsigned int phase;
};

struct nc {
	struct mc mc;
	int memfd;
	uint8_t *mem;
	uint32_t *doorbells;	/* the server's page, mapped; NULL: by messages */
	int db_event;		/* signalled after a store there, or -1 */
	struct nc_queue q[NC_QUEUES];
	uint16_t cid;
};

/* how client memory is shared */
enum nc_memory { NC_MEM_FD, NC_MEM_MESSAGES };

void nc_memory(struct nc *n);
void nc_free(struct nc *n);
int nc_attach(struct nc *n, const char *path, enum nc_memory how);
void nc_detach(struct nc *n);
int nc_enable(struct nc *n);
int nc_wait_ready(struct nc *n, uint32_t mask, uint32_t want);
uint32_t nc_reg(struct nc *n, uint32_t offset);
int nc_ring(struct nc *n, unsigned int qid, unsigned int cq, uint32_t value);
uint32_t nc_put(struct nc *n, unsigned int qid, struct nc_cmd *cmd);
int nc_submit(struct nc *n, unsigned int qid, struct nc_cmd *cmd);
bool nc_ended(const struct nc *n, unsigned int qid);
int nc_poll(struct nc *n, unsigned int qid, struct nc_cqe *cqe, int timeout_ms);
int nc_exec(struct nc *n, unsigned int qid, struct nc_cmd *cmd, uint32_t *result);
int nc_create_queues(struct nc *n, unsigned int qid, unsigned int vector);
int nc_identify(struct nc *n, uint32_t cns, uint32_t nsid, void *page);

#endif
