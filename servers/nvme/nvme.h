/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The NVMe controller behind vfiouser-nvme: NVM Express 1.4, PCI transport. Written down from the
 * NVM Express Base Specification 1.4; section numbers in comments are that one's.
 *
 * There is one thread for the controller, so nothing here is locked. It never waits for a disk:
 * what moves data or takes time is a struct nvme_req, which is with the I/O engine (io.h) until its
 * end, and whose completion is posted then. Where memory of the client is about to go (reset,
 * DMA_UNMAP, a client that is gone) the answer waits for reads and writes alone, and registers are
 * answered meanwhile. A reset makes a new generation: what is left of the one before ends without a
 * word.
 *
 * Everything the driver wrote into shared memory (queue entries, PRP lists, doorbells) is copied
 * once, then checked, then used.
 */
#ifndef NVME_H
#define NVME_H

#include <stdbool.h>
#include <stdint.h>

#include "disk.h"
#include "io.h"
#include "pcicfg.h"
#include "vfus.h"

#define NVME_MAX_IOQ		64
#define NVME_MAX_DEPTH		1024
#define NVME_PAGE		4096u
#define NVME_MDTS		8u		/* 4 KiB << 8 = 1 MiB */
#define NVME_MAX_XFER		(NVME_PAGE << NVME_MDTS)
#define NVME_MAX_SEGS		(NVME_MAX_XFER / NVME_PAGE + 1)
#define NVME_MAX_AER		4
#define NVME_MAX_NS		16
#define NVME_MAX_REQS		256		/* commands that are being executed at one time */
#define NVME_ERROR_ENTRIES	16
#define NVME_BATCH		64		/* commands taken from one queue per scan */

#define NVME_BAR_SIZE		0x4000u
#define NVME_DB_OFFSET		0x1000u
#define NVME_DB_SIZE		0x1000u
#define NVME_MSIX_TABLE		0x2000u
#define NVME_MSIX_PBA		0x3000u

/* controller registers, section 3.1 */
#define NVME_REG_CAP		0x00
#define NVME_REG_VS		0x08
#define NVME_REG_INTMS		0x0c
#define NVME_REG_INTMC		0x10
#define NVME_REG_CC		0x14
#define NVME_REG_CSTS		0x1c
#define NVME_REG_AQA		0x24
#define NVME_REG_ASQ		0x28
#define NVME_REG_ACQ		0x30

#define NVME_CC_EN		0x1u
#define NVME_CC_SHN(cc)		((cc) >> 14 & 3)
#define NVME_CC_UNSUPPORTED	0x3ff0u		/* CSS, MPS, AMS: only 0 is supported */
#define NVME_CC_IOSQES(cc)	((cc) >> 16 & 0xf)
#define NVME_CC_IOCQES(cc)	((cc) >> 20 & 0xf)
#define NVME_CSTS_RDY		0x1u
#define NVME_CSTS_CFS		0x2u
#define NVME_CSTS_SHST_MASK	0xcu
#define NVME_CSTS_SHST_BUSY	0x4u
#define NVME_CSTS_SHST_DONE	0x8u

/* status: SCT in bits 10:8, SC in 7:0, section 4.6.1 */
enum {
	NVME_OK = 0x000,
	NVME_INVALID_OPCODE = 0x001,
	NVME_INVALID_FIELD = 0x002,
	NVME_DATA_TRANSFER_ERROR = 0x004,
	NVME_INTERNAL_ERROR = 0x006,
	NVME_ABORT_REQUESTED = 0x007,
	NVME_INVALID_NAMESPACE = 0x00b,
	NVME_INVALID_PRP_OFFSET = 0x013,
	NVME_WRITE_PROTECTED = 0x020,
	NVME_LBA_OUT_OF_RANGE = 0x080,
	NVME_CAPACITY_EXCEEDED = 0x081,
	NVME_FORMAT_IN_PROGRESS = 0x084,
	NVME_CQ_INVALID = 0x100,
	NVME_INVALID_QID = 0x101,
	NVME_INVALID_QSIZE = 0x102,
	NVME_AER_LIMIT = 0x105,
	NVME_INVALID_VECTOR = 0x108,
	NVME_INVALID_LOG = 0x109,
	NVME_INVALID_FORMAT = 0x10a,
	NVME_INVALID_QUEUE_DELETION = 0x10c,
	NVME_FEATURE_NOT_SAVEABLE = 0x10d,
	NVME_WRITE_FAULT = 0x280,
	NVME_READ_ERROR = 0x281,
	NVME_COMPARE_FAILURE = 0x285,
	/* ours, no statuses: the command stays outstanding; nvme_finish() will be called for it */
	NVME_NO_COMPLETION = 0xffff,
	NVME_PENDING = 0xfffe,
};

struct nvme_cmd {
	uint8_t opcode;
	uint8_t flags;
	uint16_t cid;
	uint32_t nsid;
	uint32_t cdw2;
	uint32_t cdw3;
	uint64_t mptr;
	uint64_t prp1;
	uint64_t prp2;
	uint32_t cdw10;
	uint32_t cdw11;
	uint32_t cdw12;
	uint32_t cdw13;
	uint32_t cdw14;
	uint32_t cdw15;
};

struct nvme_cqe {
	uint32_t result;
	uint32_t reserved;
	uint16_t sq_head;
	uint16_t sq_id;
	uint16_t cid;
	uint16_t status;	/* bit 0 is the phase tag */
};

struct nvme_sq {
	bool used;
	uint16_t cqid;
	uint32_t size;
	uint32_t head;
	uint32_t tail;
	uint32_t refused;	/* last invalid doorbell value, reported once; ~0: none */
	unsigned int busy;	/* commands being executed */
	struct nvme_req *deleting;	/* the command that waits for their end */
	uint64_t addr;
};

struct nvme_cq {
	bool used;
	bool ien;
	bool signal;		/* completions posted since the last interrupt */
	bool phase;
	uint16_t vector;
	uint32_t size;
	uint32_t head;
	uint32_t tail;
	uint32_t refused;
	unsigned int reserved;	/* entries for commands that are being executed */
	uint64_t addr;
};

enum nvme_doorbells { NVME_DB_MMAP, NVME_DB_TRAP, NVME_DB_IOEVENTFD };

/* asynchronous event types, section 5.2 */
/* What the driver can ask for: critical warnings, and namespaces that changed. */
#define NVME_ASYNC_SMART	0x1fu
#define NVME_ASYNC_NS		0x100u

enum nvme_event { NVME_EVENT_ERROR, NVME_EVENT_SMART, NVME_EVENT_NS_CHANGED, NVME_EVENTS };

struct nvme_ns {
	struct disk disk;
	unsigned int lba_shift;
	uint64_t blocks;
	uint8_t uuid[16];
	bool changed;		/* since the log of that was read */
	bool formatting;
	bool told_lost;		/* the driver has the event */
	struct nvme_ctrl *c;
	struct io look;		/* at its size */
	bool looking;
	bool look_again;
};

struct nvme_features {
	uint32_t arbitration;
	uint32_t power;
	uint16_t temp_over;
	uint16_t temp_under;
	uint32_t error_recovery;
	bool write_cache;
	uint32_t coalescing;
	uint32_t no_coalescing[NVME_MAX_IOQ + 1];	/* per vector: coalescing disable bit */
	uint32_t atomicity;
	uint32_t async_events;
};

struct nvme_error {
	uint64_t count;
	uint16_t sqid;
	uint16_t cid;
	uint16_t status;
	uint16_t param;
	uint64_t lba;
	uint32_t nsid;
	uint8_t reserved[36];
};

struct nvme_data {
	struct iovec iov[NVME_MAX_SEGS];
	int n;
	void *bounce;		/* iov[0] where the client's memory cannot be used as it is */
	uint64_t seg_addr[NVME_MAX_SEGS];
	uint32_t seg_len[NVME_MAX_SEGS];
	int segs;
};

struct nvme_range {
	uint32_t attributes;
	uint32_t blocks;
	uint64_t slba;
};

/* A command from its submission queue until its completion. */
struct nvme_req {
	struct nvme_ctrl *c;
	struct nvme_req *next;		/* of the free ones */
	struct nvme_cmd cmd;
	uint16_t sqid;
	uint32_t generation;
	uint32_t result;		/* dword 0 of the completion */
	struct nvme_ns *ns;
	struct io io;
	void *medium;			/* compare: what the disk has */
	unsigned int left;		/* operations to come: ranges, namespaces */
	unsigned int at;
	int status;
	union {
		struct nvme_data data;
		struct nvme_range range[256];
	};
};

struct nvme_ctrl {
	struct vfus *vfus;
	struct pcicfg cfg;
	struct nvme_ns ns[NVME_MAX_NS];
	unsigned int nr_ns;
	struct io_engine io;
	struct nvme_req *reqs;
	struct nvme_req *free_reqs;
	uint32_t generation;
	/* what waits for the data that still moves: nvme_drained() */
	bool disabling;			/* CC.EN is off */
	bool resetting;			/* registers are as after the reset already */
	bool unmapping;			/* no command is begun: DMA_UNMAP waits */
	bool leaving;			/* the client is gone */
	bool kept;			/* so it is, and another one will go on where it was */
	bool reset_put_off;		/* so does DEVICE_RESET, */
	bool reset_done;		/* or it is going to be called again */
	bool in_flr;			/* function-level reset: nothing answers */
	struct {
		struct io io;		/* the flush of one namespace */
		unsigned int at;	/* the next one */
		bool busy;
	} shutdown;
	unsigned int nr_ioq;
	enum nvme_doorbells mode;
	unsigned long poll_us;		/* look without sleeping that long after work */
	unsigned long poll_max_us;	/* longest sleep of an idle but enabled controller */
	char serial[21];
	char model[41];
	char subnqn[80];
	uint16_t pci_vendor;
	uint16_t pci_sub_vendor;

	unsigned int irq;		/* VFIO_PCI_*_IRQ_INDEX that was used last */
	uint32_t intms;
	uint32_t cc;
	uint32_t csts;
	uint32_t aqa;
	uint64_t asq;
	uint64_t acq;
	uint8_t msix_table[(NVME_MAX_IOQ + 1) * 16];
	int db_fd;			/* memfd whose page 1 is the doorbell page */
	uint32_t *db;			/* that page: the client maps it as well (mmap) */
	int db_event;			/* ioeventfd mode: a doorbell was stored */
	int events;			/* epoll: that, and the ends of operations */
	struct vfus_io_fd io_fds[(NVME_MAX_IOQ + 1) * 2];
	bool shadow_offered;		/* shadow doorbells: nvme_shadow.c */
	bool shadow;			/* the driver wants them */
	uint64_t shadow_addr[2];
	const uint32_t *shadow_db;	/* during a scan */
	uint32_t *shadow_ei;
	bool more;			/* the last scan left work over */
	uint64_t last_work;		/* time of the last work done, microseconds */
	unsigned int looks;		/* shadow doorbells: in vain, before sleeping */

	struct nvme_sq sq[NVME_MAX_IOQ + 1];
	struct nvme_cq cq[NVME_MAX_IOQ + 1];
	uint16_t aer[NVME_MAX_AER];
	unsigned int nr_aer;
	bool event_pending[NVME_EVENTS];
	bool event_masked[NVME_EVENTS];	/* until the log page is read */
	uint8_t event_info[NVME_EVENTS];
	struct nvme_error errors[NVME_ERROR_ENTRIES];
	uint64_t nr_errors;

	struct nvme_features feat;
	uint64_t reads, writes, read_bytes, written_bytes;
};

/* nvme_regs.c */
int nvme_bar_read(void *priv, unsigned int region, void *buf, size_t count, uint64_t offset);
int nvme_bar_write(void *priv, unsigned int region, const void *buf, size_t count,
		   uint64_t offset);
int nvme_device_reset(void *priv);
void nvme_abandon(struct nvme_ctrl *c);
void nvme_drained(struct nvme_ctrl *c);
int nvme_dma_unmap(void *priv, uint64_t addr, uint64_t size);
void nvme_fatal(struct nvme_ctrl *c, const char *why);
bool nvme_running(const struct nvme_ctrl *c);

/* nvme_queue.c */
void nvme_queues_reset(struct nvme_ctrl *c);
int nvme_create_cq(struct nvme_ctrl *c, unsigned int qid, uint64_t addr, uint32_t size,
		   bool ien, uint16_t vector);
int nvme_create_sq(struct nvme_ctrl *c, unsigned int qid, uint64_t addr, uint32_t size,
		   uint16_t cqid);
int nvme_delete_cq(struct nvme_ctrl *c, unsigned int qid);
int nvme_delete_sq(struct nvme_req *req, unsigned int qid);
void nvme_complete(struct nvme_ctrl *c, unsigned int sqid, uint16_t cid, uint16_t status,
		   uint32_t result);
unsigned int nvme_cq_room(const struct nvme_ctrl *c, unsigned int qid);
void nvme_irq_sync(void *priv);
long nvme_poll(void *priv);

/* nvme_req.c */
int nvme_reqs_init(struct nvme_ctrl *c);
void nvme_reqs_exit(struct nvme_ctrl *c);
struct nvme_req *nvme_req_get(struct nvme_ctrl *c, unsigned int sqid);
void nvme_req_put(struct nvme_req *req);
bool nvme_req_current(const struct nvme_req *req);
struct nvme_req *nvme_req_of(struct io *io);
int nvme_req_submit(struct nvme_req *req, enum io_op op, void (*done)(struct io *));
void nvme_finish(struct nvme_req *req, int status);

/* nvme_shadow.c */
int nvme_shadow_config(struct nvme_ctrl *c, const struct nvme_cmd *cmd);
void nvme_shadow_look(struct nvme_ctrl *c);
bool nvme_shadow_arm(struct nvme_ctrl *c);
void nvme_shadow_reset(struct nvme_ctrl *c);

/* nvme_prp.c */
int nvme_data_get(struct nvme_ctrl *c, const struct nvme_cmd *cmd, uint32_t len, bool to_host,
		  unsigned int align, struct nvme_data *d);
int nvme_data_put(struct nvme_ctrl *c, struct nvme_data *d, bool to_host, int status);
int nvme_to_host(struct nvme_ctrl *c, const struct nvme_cmd *cmd, const void *buf, uint32_t len);
int nvme_from_host(struct nvme_ctrl *c, const struct nvme_cmd *cmd, void *buf, uint32_t len);

/* nvme_ns.c */
struct nvme_ns *nvme_ns(struct nvme_ctrl *c, uint32_t nsid);
int nvme_ns_init(struct nvme_ns *ns, unsigned int lba_shift);
void nvme_ns_resize(struct nvme_ctrl *c, struct nvme_ns *ns, uint64_t size, bool shrink);
void nvme_ns_check(struct nvme_ctrl *c);
void nvme_ns_lost(struct nvme_ctrl *c);

/* nvme_admin.c, nvme_identify.c, nvme_io.c, nvme_format.c: return a status or NVME_PENDING */
int nvme_admin(struct nvme_req *req);
int nvme_identify(struct nvme_req *req);
int nvme_io(struct nvme_req *req);
int nvme_flush(struct nvme_req *req);
int nvme_format(struct nvme_req *req);
int nvme_write_status(int error);
void nvme_features_reset(struct nvme_ctrl *c);

/* nvme_log.c */
int nvme_get_log(struct nvme_ctrl *c, const struct nvme_cmd *cmd);
void nvme_event(struct nvme_ctrl *c, enum nvme_event type, uint8_t info);
void nvme_post_events(struct nvme_ctrl *c);
void nvme_events_reset(struct nvme_ctrl *c);
void nvme_log_error(struct nvme_ctrl *c, unsigned int sqid, uint16_t cid, uint16_t status,
		    uint16_t param);
uint8_t nvme_critical_warning(const struct nvme_ctrl *c);

/* memory.c */
void nvme_below_memory(bool lock);

/* nvme.c */
int nvme_main(int argc, char **argv, const struct vfus_hooks *hooks);

#endif
