/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A virtio 1.x device behind the PCI transport, over vfus. Written down from the OASIS Virtual I/O
 * Device specification, version 1.2; section numbers in comments are that one's.
 *
 * struct virtio is the transport and its queues; the device type fills in features, configuration
 * space and callbacks. The queues may be served here (virtio_queue.c) or by another process that
 * was given the memory, the doorbells and the interrupts. There is one thread; nothing is locked.
 *
 * What the driver wrote into its memory (rings, descriptors) is copied once, then checked, then
 * used. A driver that breaks the rules gets DEVICE_NEEDS_RESET and is not served until it resets.
 */
#ifndef VIRTIO_H
#define VIRTIO_H

#include <stdbool.h>
#include <stdint.h>

#include "pcicfg.h"
#include "vfus.h"

#define VIRTIO_MAX_QUEUES	1024		/* as many doorbells as the notification page has */
#define VIRTQ_MAX		1024		/* entries; also the longest descriptor chain */
#define VIRTIO_CONFIG_MAX	256

/* BAR 1: MSI-X table and pending bits, these half-way or further */
#define VIRTIO_MSIX_TABLE	0x000u
#define VIRTIO_MSIX_PBA_MIN	0x800u
/* BAR 4: a page for each structure of section 4.1.4 */
#define VIRTIO_COMMON		0x0000u
#define VIRTIO_ISR		0x1000u
#define VIRTIO_DEVICE		0x2000u
#define VIRTIO_NOTIFY		0x3000u
#define VIRTIO_NOTIFY_SIZE	0x1000u
#define VIRTIO_NOTIFY_STRIDE	4u
#define VIRTIO_BAR4_SIZE	0x4000u

/* How a driver's notifications reach us. */
enum virtio_notify {
	VIRTIO_NOTIFY_TRAP,		/* REGION_WRITE */
	VIRTIO_NOTIFY_IOEVENTFD,	/* an eventfd for each queue, else as above */
	VIRTIO_NOTIFY_MMAP,		/* a page that the client maps: not at all, we poll */
};

/* struct virtio.looks: other than a non-transitional device with nothing to spare */
#define VIRTIO_LOOKS_SHM	(1u << 0)	/* a shared memory capability (section 4.1.4.7) */
#define VIRTIO_LOOKS_TRANSITIONAL (1u << 1)	/* the older ids, and I/O ports before the rest */
#define VIRTIO_LOOKS_LEGACY	(1u << 2)	/* these, and nothing else */

/* One split virtqueue, section 2.7. */
struct virtq {
	bool enabled;
	uint16_t size;
	uint16_t vector;
	uint64_t desc;
	uint64_t avail;
	uint64_t used;
	uint16_t next_avail;		/* next entry of the available ring to take */
	uint16_t next_used;		/* next entry of the used ring to fill */
	uint16_t signalled;		/* next_used when the driver was last interrupted */
	bool kicked;			/* a notification came since virtio_kicked() */
};

/* A part of a buffer. */
struct virtq_seg {
	uint64_t addr;
	uint32_t len;
};

/* A buffer: the device-readable parts first, then the device-writable ones. */
struct virtq_chain {
	uint16_t head;
	unsigned int nr_out;
	unsigned int nr_in;
	uint64_t out_len;
	uint64_t in_len;
	struct virtq_seg segs[VIRTQ_MAX];
};

struct virtio;

/* The device type's callbacks; those but reset may be NULL. */
struct virtio_ops {
	/* Everything about the driver is to be forgotten: queues are gone. */
	void (*reset)(struct virtio *v);
	/* The driver wrote the device status, which is now v->status. */
	void (*status)(struct virtio *v);
	/*
	 * Before a reset: stop to use the queues and the driver's memory. Returns whether they are
	 * not used any more; otherwise virtio_stopped() says when, and until then the reset has not
	 * happened as far as the driver can see.
	 */
	bool (*stop)(struct virtio *v);
	/* The driver wrote to the configuration space, which did not change by that. */
	void (*config_write)(struct virtio *v, unsigned int offset, const void *buf,
			     unsigned int len);
	/* Which interrupt a queue or a change of the configuration raises may be another now. */
	void (*vectors)(struct virtio *v);
	/* A notification came by message. */
	void (*notify)(struct virtio *v, unsigned int q);
};

/* A reset that waits for virtio_ops.stop(). */
enum virtio_resetting {
	VIRTIO_RESETTING_NOT,
	VIRTIO_RESETTING_VIRTIO,	/* the driver wrote 0 to the device status */
	VIRTIO_RESETTING_FUNCTION,	/* all of the PCI function is to be reset */
};

struct virtio {
	struct vfus *vfus;
	const struct virtio_ops *ops;
	struct pcicfg cfg;
	unsigned int msix;		/* offset of the MSI-X capability, or 0 */
	unsigned int window;		/* offset of the configuration access capability */
	enum virtio_notify notify;
	bool interrupts_elsewhere;	/* the eventfds of MSI-X are somebody else's to signal */
	int notify_fd;			/* mmap: memory whose last page is the notification page */
	int *events;			/* ioeventfd: one for each queue, non-blocking */
	struct vfus_io_fd *io_fds;

	unsigned int looks;		/* VIRTIO_LOOKS_* */
	uint64_t offered;		/* feature bits */
	unsigned int nr_queues;
	uint16_t queue_max;		/* entries that a queue has unless the driver wants fewer */
	uint8_t config[VIRTIO_CONFIG_MAX];	/* the device type's configuration, read-only */
	unsigned int config_len;

	uint64_t features;		/* accepted by the driver */
	uint32_t device_select;
	uint32_t driver_select;
	uint8_t status;
	uint8_t generation;
	uint8_t isr;
	uint16_t config_vector;
	uint16_t queue_select;
	enum virtio_resetting resetting;
	struct virtq *vq;		/* nr_queues */
	unsigned int vectors;		/* of MSI-X: one a queue and one for the configuration */
	uint32_t msix_pba;
	uint32_t msix_bar_size;
	uint8_t *msix_table;
};

/* virtio_pci.c */
int virtio_init(struct virtio *v, uint16_t type, uint32_t class_code, unsigned int irqs,
		struct vfus_device *dev);
void virtio_free(struct virtio *v);
int virtio_read(void *priv, unsigned int region, void *buf, size_t count, uint64_t offset);
int virtio_write(void *priv, unsigned int region, const void *buf, size_t count, uint64_t offset);
int virtio_device_reset(void *priv);
void virtio_stopped(struct virtio *v);
bool virtio_msix(const struct virtio *v);
void virtio_irq_sync(void *priv);
bool virtio_live(const struct virtio *v);
bool virtio_has(const struct virtio *v, unsigned int bit);
void virtio_broken(struct virtio *v, const char *why);
void virtio_config_changed(struct virtio *v, unsigned int offset, const void *data,
			   unsigned int len);
void virtio_interrupt_queue(struct virtio *v, unsigned int q);
void virtio_interrupt_config(struct virtio *v);
bool virtio_kicked(struct virtio *v, unsigned int q);
void virtio_events(struct virtio *v);

/* virtio_queue.c */
bool virtq_usable(const struct virtio *v, const struct virtq *q);
int virtq_pop(struct virtio *v, unsigned int q, struct virtq_chain *chain);
int virtq_walk(struct virtio *v, unsigned int q, uint16_t head, struct virtq_chain *chain);
bool virtq_empty(struct virtio *v, unsigned int q);
void virtq_want(struct virtio *v, unsigned int q, bool on);
void virtq_push(struct virtio *v, unsigned int q, uint16_t head, uint32_t len, uint16_t nth);
void virtq_publish(struct virtio *v, unsigned int q, uint16_t count);
void virtq_signal(struct virtio *v, unsigned int q);
int virtq_copy_out(struct virtio *v, const struct virtq_chain *chain, void *buf, uint64_t offset,
		   uint32_t len);
int virtq_copy_in(struct virtio *v, const struct virtq_chain *chain, uint64_t offset,
		  const void *buf, uint32_t len);

#endif
