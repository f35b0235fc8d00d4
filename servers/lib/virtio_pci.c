// SPDX-License-Identifier: GPL-2.0-only
/*
 * virtio over PCI, without the legacy interface (virtio 1.2 section 4.1): capabilities, common
 * configuration, ISR status, notifications, interrupts, and the device status that they lead to.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "virtio.h"

#define PCI_VENDOR_VIRTIO	0x1af4
#define PCI_DEVICE_VIRTIO	0x1040		/* plus the device type */
#define PCI_DEVICE_VIRTIO_OLD	0x0fff		/* the same, of transitional devices */
#define PCI_SUBDEVICE		0x0001

#define BAR_LEGACY	VFIO_PCI_BAR0_REGION_INDEX
#define BAR_LEGACY_SIZE	64u
#define BAR_MSIX	VFIO_PCI_BAR1_REGION_INDEX
#define BAR_VIRTIO	VFIO_PCI_BAR4_REGION_INDEX

#define ISR_QUEUE	0x1
#define ISR_CONFIG	0x2

#define COMMON_SIZE	sizeof(struct virtio_pci_common_cfg)

static const struct vfus_area notify_area = { VIRTIO_NOTIFY, VIRTIO_NOTIFY_SIZE };

/**
 * virtio_has() - has the driver accepted a feature?
 * @v: device
 * @bit: VIRTIO_F_*, VIRTIO_RING_F_* or the device type's
 *
 * Return: true if it has.
 */
bool virtio_has(const struct virtio *v, unsigned int bit)
{
	return v->features >> bit & 1;
}

/**
 * virtio_live() - may the driver's queues be looked at?
 * @v: device
 *
 * Not without bus mastering: a client that takes over what another left behind has it off.
 *
 * Return: true if they may.
 */
bool virtio_live(const struct virtio *v)
{
	return v->status & VIRTIO_CONFIG_S_DRIVER_OK &&
	       !(v->status & VIRTIO_CONFIG_S_NEEDS_RESET) &&
	       v->cfg.bytes[PCI_COMMAND] & PCI_COMMAND_MASTER && vfus_usable(v->vfus);
}

/* ---- interrupts, section 4.1.4.5 and 4.1.5.1 ---- */

/**
 * virtio_msix() - does the driver use MSI-X?
 * @v: device
 *
 * Return: true if it has enabled it.
 */
bool virtio_msix(const struct virtio *v)
{
	return v->msix && v->cfg.bytes[v->msix + PCI_MSIX_FLAGS + 1] & (PCI_MSIX_FLAGS_ENABLE >> 8);
}

/**
 * virtio_irq_sync() - bring the INTx line up to date
 * @priv: device
 */
void virtio_irq_sync(void *priv)
{
	struct virtio *v = priv;
	bool disabled = v->cfg.bytes[PCI_COMMAND + 1] & (PCI_COMMAND_INTX_DISABLE >> 8);

	vfus_irq_level(v->vfus, VFIO_PCI_INTX_IRQ_INDEX,
		       v->isr && !disabled && !virtio_msix(v));
}

static void interrupt(struct virtio *v, uint16_t vector, uint8_t isr)
{
	if (virtio_msix(v)) {
		/* also takes care of VIRTIO_MSI_NO_VECTOR, which is out of range */
		vfus_irq_trigger(v->vfus, VFIO_PCI_MSIX_IRQ_INDEX, vector);
	} else {
		v->isr |= isr;
		virtio_irq_sync(v);
	}
}

/**
 * virtio_interrupt_queue() - a used buffer notification
 * @v: device
 * @q: queue
 */
void virtio_interrupt_queue(struct virtio *v, unsigned int q)
{
	interrupt(v, v->vq[q].vector, ISR_QUEUE);
}

/**
 * virtio_interrupt_config() - a notification that the configuration or the status changed
 * @v: device
 */
void virtio_interrupt_config(struct virtio *v)
{
	if (v->status & VIRTIO_CONFIG_S_DRIVER_OK)
		interrupt(v, v->config_vector, ISR_CONFIG);
}

/**
 * virtio_config_changed() - change the device's configuration and tell the driver
 * @v: device
 * @offset: bytes into the configuration
 * @data: new contents
 * @len: bytes
 */
void virtio_config_changed(struct virtio *v, unsigned int offset, const void *data,
			   unsigned int len)
{
	memcpy(v->config + offset, data, len);
	v->generation++;
	virtio_interrupt_config(v);
}

/**
 * virtio_broken() - the driver broke the rules: nothing goes on until it resets (section 2.1.2)
 * @v: device
 * @why: for standard error
 *
 * Not where the client is gone, and its memory with it.
 */
void virtio_broken(struct virtio *v, const char *why)
{
	if (!vfus_usable(v->vfus) || v->status & VIRTIO_CONFIG_S_NEEDS_RESET)
		return;
	fprintf(stderr, "%s: device needs reset: %s\n", program_invocation_short_name, why);
	v->status |= VIRTIO_CONFIG_S_NEEDS_RESET;
	virtio_interrupt_config(v);
}

/* ---- reset ---- */

static void reset(struct virtio *v)
{
	unsigned int i;

	for (i = 0; i < v->nr_queues; i++)
		v->vq[i] = (struct virtq){ .size = v->queue_max,
					   .vector = VIRTIO_MSI_NO_VECTOR };
	v->features = 0;
	v->device_select = 0;
	v->driver_select = 0;
	v->queue_select = 0;
	v->status = 0;
	v->isr = 0;
	v->config_vector = VIRTIO_MSI_NO_VECTOR;
	virtio_irq_sync(v);
	v->ops->reset(v);
}

static void function_reset(struct virtio *v)
{
	pcicfg_reset(&v->cfg);
	memset(v->msix_table, 0, v->vectors * 16);
	reset(v);
}

/* Returns whether the reset is over; a larger one takes the place of one that is not. */
static bool begin_reset(struct virtio *v, enum virtio_resetting which)
{
	bool waiting = v->resetting != VIRTIO_RESETTING_NOT;

	if (v->resetting < which)
		v->resetting = which;
	if (waiting || (v->ops->stop && !v->ops->stop(v)))
		return false;
	virtio_stopped(v);
	return true;
}

/**
 * virtio_stopped() - the queues are not used any more: do the reset that waited for it
 * @v: device
 */
void virtio_stopped(struct virtio *v)
{
	enum virtio_resetting which = v->resetting;

	v->resetting = VIRTIO_RESETTING_NOT;
	if (which == VIRTIO_RESETTING_VIRTIO)
		reset(v);
	else if (which == VIRTIO_RESETTING_FUNCTION)
		function_reset(v);
	vfus_resume(v->vfus);
}

/**
 * virtio_device_reset() - VFIO_USER_DEVICE_RESET or function-level reset
 * @priv: device
 *
 * Return: 0, or -EINPROGRESS where the reset is over when virtio_stopped() is called.
 */
int virtio_device_reset(void *priv)
{
	return begin_reset(priv, VIRTIO_RESETTING_FUNCTION) ? 0 : -EINPROGRESS;
}

static void write_status(struct virtio *v, uint8_t val)
{
	const uint64_t must = 1ull << VIRTIO_F_VERSION_1 |
			      (v->offered & 1ull << VIRTIO_F_ACCESS_PLATFORM);
	uint8_t new = val & ~v->status;

	if (!val) {
		begin_reset(v, VIRTIO_RESETTING_VIRTIO);
		return;
	}
	if (v->resetting)
		return;
	/* The driver sets bits; only a reset clears them, and NEEDS_RESET is ours. */
	v->status |= val & ~VIRTIO_CONFIG_S_NEEDS_RESET;
	/*
	 * A driver that declines ACCESS_PLATFORM uses physical addresses, of which we know
	 * nothing; legacy drivers without VERSION_1 have another layout of everything.
	 */
	if (new & VIRTIO_CONFIG_S_FEATURES_OK &&
	    (v->features & ~v->offered || (v->features & must) != must))
		v->status &= ~VIRTIO_CONFIG_S_FEATURES_OK;
	if (v->ops->status)
		v->ops->status(v);
}

/* ---- common configuration, section 4.1.4.3 ---- */

static void common_image(const struct virtio *v, struct virtio_pci_common_cfg *c)
{
	const struct virtq *q = v->queue_select < v->nr_queues ? &v->vq[v->queue_select] : NULL;

	*c = (struct virtio_pci_common_cfg){
		.device_feature_select = v->device_select,
		.device_feature = v->device_select < 2 ?
				  (uint32_t)(v->offered >> 32 * v->device_select) : 0,
		.guest_feature_select = v->driver_select,
		.guest_feature = v->driver_select < 2 ?
				 (uint32_t)(v->features >> 32 * v->driver_select) : 0,
		.msix_config = v->config_vector,
		.num_queues = (uint16_t)v->nr_queues,
		.device_status = v->status,
		.config_generation = v->generation,
		.queue_select = v->queue_select,
	};
	/* A queue that does not exist has size 0. */
	c->queue_msix_vector = VIRTIO_MSI_NO_VECTOR;
	if (!q)
		return;
	c->queue_size = q->size;
	c->queue_msix_vector = q->vector;
	c->queue_enable = q->enabled;
	c->queue_notify_off = v->queue_select;
	c->queue_desc_lo = (uint32_t)q->desc;
	c->queue_desc_hi = (uint32_t)(q->desc >> 32);
	c->queue_avail_lo = (uint32_t)q->avail;
	c->queue_avail_hi = (uint32_t)(q->avail >> 32);
	c->queue_used_lo = (uint32_t)q->used;
	c->queue_used_hi = (uint32_t)(q->used >> 32);
}

static uint16_t usable_vector(const struct virtio *v, uint64_t vector)
{
	return v->msix && vector < v->vectors ? (uint16_t)vector : VIRTIO_MSI_NO_VECTOR;
}

static void vectors_changed(struct virtio *v)
{
	if (v->ops->vectors)
		v->ops->vectors(v);
}

static void set_half(uint64_t *reg, bool high, uint64_t val)
{
	if (high)
		*reg = (*reg & 0xffffffffull) | val << 32;
	else
		*reg = (*reg & ~0xffffffffull) | (uint32_t)val;
}

static void enable_queue(struct virtio *v, struct virtq *q)
{
	if (!(v->status & VIRTIO_CONFIG_S_FEATURES_OK) || !virtq_usable(v, q)) {
		virtio_broken(v, "a queue is enabled too early, or its size or addresses are not usable");
		return;
	}
	q->enabled = true;
	q->kicked = true;
}

/* A field of the selected queue; all but the vector are fixed once the queue is enabled. */
static void write_queue(struct virtio *v, size_t offset, uint64_t val)
{
	bool high = offset & 4;
	struct virtq *q;

	if (v->queue_select >= v->nr_queues)
		return;
	q = &v->vq[v->queue_select];
	if (offset == offsetof(struct virtio_pci_common_cfg, queue_msix_vector)) {
		q->vector = usable_vector(v, val);
		vectors_changed(v);
		return;
	}
	if (q->enabled)
		return;
	switch (offset) {
	case offsetof(struct virtio_pci_common_cfg, queue_size):
		q->size = (uint16_t)val;
		break;
	case offsetof(struct virtio_pci_common_cfg, queue_enable):
		if (val == 1)
			enable_queue(v, q);
		break;
	case offsetof(struct virtio_pci_common_cfg, queue_desc_lo):
	case offsetof(struct virtio_pci_common_cfg, queue_desc_hi):
		set_half(&q->desc, high, val);
		break;
	case offsetof(struct virtio_pci_common_cfg, queue_avail_lo):
	case offsetof(struct virtio_pci_common_cfg, queue_avail_hi):
		set_half(&q->avail, high, val);
		break;
	case offsetof(struct virtio_pci_common_cfg, queue_used_lo):
	case offsetof(struct virtio_pci_common_cfg, queue_used_hi):
		set_half(&q->used, high, val);
		break;
	}
}

static void write_common(struct virtio *v, size_t offset, uint64_t val)
{
	switch (offset) {
	case offsetof(struct virtio_pci_common_cfg, device_feature_select):
		v->device_select = (uint32_t)val;
		break;
	case offsetof(struct virtio_pci_common_cfg, guest_feature_select):
		v->driver_select = (uint32_t)val;
		break;
	case offsetof(struct virtio_pci_common_cfg, guest_feature):
		if (v->driver_select < 2 && !(v->status & VIRTIO_CONFIG_S_FEATURES_OK))
			set_half(&v->features, v->driver_select, val);
		break;
	case offsetof(struct virtio_pci_common_cfg, msix_config):
		v->config_vector = usable_vector(v, val);
		vectors_changed(v);
		break;
	case offsetof(struct virtio_pci_common_cfg, device_status):
		write_status(v, (uint8_t)val);
		break;
	case offsetof(struct virtio_pci_common_cfg, queue_select):
		v->queue_select = (uint16_t)val;
		break;
	default:
		write_queue(v, offset, val);
	}
}

/* Fields are written whole, those of 64 bits also in halves; other writes are dropped. */
static void common_write(struct virtio *v, const void *buf, size_t count, uint64_t offset)
{
	const size_t queues = offsetof(struct virtio_pci_common_cfg, queue_desc_lo);
	uint64_t val = 0;
	size_t width;

	if (offset >= COMMON_SIZE || offset + count > COMMON_SIZE || offset % count)
		return;
	if (offset < offsetof(struct virtio_pci_common_cfg, msix_config) || offset >= queues)
		width = 4;
	else
		width = offset == offsetof(struct virtio_pci_common_cfg, device_status) ? 1 : 2;
	if (count != width && !(count == 8 && offset >= queues))
		return;
	memcpy(&val, buf, count);
	write_common(v, offset, count == 8 ? (uint32_t)val : val);
	if (count == 8)
		write_common(v, offset + 4, val >> 32);
}

/* ---- notifications, section 4.1.4.4 ---- */

static void notify_write(struct virtio *v, size_t count, uint64_t offset)
{
	uint64_t q = (offset - VIRTIO_NOTIFY) / VIRTIO_NOTIFY_STRIDE;

	if (offset % VIRTIO_NOTIFY_STRIDE || count > VIRTIO_NOTIFY_STRIDE || q >= v->nr_queues)
		return;
	v->vq[q].kicked = true;
	if (v->ops->notify)
		v->ops->notify(v, q);
}

static void config_write(struct virtio *v, const void *buf, size_t count, uint64_t offset)
{
	offset -= VIRTIO_DEVICE;
	if (v->ops->config_write && offset < v->config_len && count <= v->config_len - offset)
		v->ops->config_write(v, (unsigned int)offset, buf, (unsigned int)count);
}

/**
 * virtio_kicked() - was there a notification since the last call?
 * @v: device
 * @q: queue
 *
 * Always, where the driver stores notifications in a mapped page, which makes no noise.
 *
 * Return: true if there was.
 */
bool virtio_kicked(struct virtio *v, unsigned int q)
{
	bool kicked = v->vq[q].kicked || v->notify == VIRTIO_NOTIFY_MMAP;

	v->vq[q].kicked = false;
	return kicked;
}

/**
 * virtio_events() - turn signalled eventfds into notifications
 * @v: device
 */
void virtio_events(struct virtio *v)
{
	unsigned int i;
	uint64_t n;

	for (i = 0; v->notify == VIRTIO_NOTIFY_IOEVENTFD && i < v->nr_queues; i++)
		if (read(v->events[i], &n, sizeof(n)) == sizeof(n))
			v->vq[i].kicked = true;
}

/* ---- regions ---- */

static void bar4_read(struct virtio *v, uint8_t *buf, size_t count, uint64_t offset)
{
	struct virtio_pci_common_cfg common;
	const uint8_t *from = NULL;
	size_t len = 0, i;

	if (offset < VIRTIO_ISR) {
		common_image(v, &common);
		from = (const uint8_t *)&common;
		len = sizeof(common);
	} else if (offset < VIRTIO_DEVICE) {
		from = &v->isr;
		len = 1;
	} else if (offset < VIRTIO_NOTIFY) {
		from = v->config;
		len = v->config_len;
	}
	for (i = 0; i < count; i++) {
		size_t at = offset % VIRTIO_ISR + i;

		buf[i] = at < len ? from[at] : 0;
	}
	if (offset == VIRTIO_ISR) {
		/* Reading acknowledges. */
		v->isr = 0;
		virtio_irq_sync(v);
	}
}

static void bar1_read(const struct virtio *v, uint8_t *buf, size_t count, uint64_t offset)
{
	const size_t table = v->vectors * 16;
	unsigned int i;
	size_t at;

	for (at = offset; at < offset + count; at++) {
		uint8_t byte = at < table ? v->msix_table[at] : 0;

		/* bits of vectors that there are not are not pending */
		for (i = 0; at >= v->msix_pba && i < 8; i++)
			if (vfus_irq_pending(v->vfus, VFIO_PCI_MSIX_IRQ_INDEX,
					     (unsigned int)(at - v->msix_pba) * 8 + i))
				byte |= 1u << i;
		*buf++ = byte;
	}
}

static int bar_read(struct virtio *v, unsigned int bar, void *buf, size_t count, uint64_t offset)
{
	if (bar == BAR_MSIX)
		bar1_read(v, buf, count, offset);
	else if (bar == BAR_VIRTIO)
		bar4_read(v, buf, count, offset);
	else
		return -EINVAL;
	return 0;
}

static int bar_write(struct virtio *v, unsigned int bar, const void *buf, size_t count,
		     uint64_t offset)
{
	const size_t table = v->vectors * 16;

	if (bar == BAR_VIRTIO && offset < VIRTIO_ISR)
		common_write(v, buf, count, offset);
	else if (bar == BAR_VIRTIO && offset >= VIRTIO_NOTIFY)
		notify_write(v, count, offset);
	else if (bar == BAR_VIRTIO && offset >= VIRTIO_DEVICE)
		config_write(v, buf, count, offset);
	else if (bar == BAR_MSIX && offset < table)
		memcpy(v->msix_table + offset, buf,
		       count < table - offset ? count : table - offset);
	else if (bar != BAR_VIRTIO && bar != BAR_MSIX)
		return -EINVAL;
	return 0;
}

/*
 * The configuration access capability (section 4.1.4.9): the last four bytes of it are a window to
 * the BAR, offset and length in the bytes before.
 */
static bool window(const struct virtio *v, uint64_t count, uint64_t offset, uint32_t *bar,
		   uint32_t *at, uint32_t *len)
{
	const uint8_t *cap = v->cfg.bytes + v->window;
	const size_t data = offsetof(struct virtio_pci_cfg_cap, pci_cfg_data);

	*bar = cap[offsetof(struct virtio_pci_cap, bar)];
	memcpy(at, cap + offsetof(struct virtio_pci_cap, offset), sizeof(*at));
	memcpy(len, cap + offsetof(struct virtio_pci_cap, length), sizeof(*len));
	return offset < v->window + data + 4 && offset + count > v->window + data &&
	       (*len == 1 || *len == 2 || *len == 4) && !(*at % *len) &&
	       *at < (*bar == BAR_MSIX ? v->msix_bar_size : VIRTIO_BAR4_SIZE);
}

/**
 * virtio_read() - REGION_READ
 * @priv: device
 * @region: VFIO_PCI_*_REGION_INDEX
 * @buf: destination
 * @count: bytes, inside the region
 * @offset: bytes
 *
 * Return: 0 or -EINVAL for another region.
 */
int virtio_read(void *priv, unsigned int region, void *buf, size_t count, uint64_t offset)
{
	struct virtio *v = priv;
	uint32_t bar, at, len;

	if (region != VFIO_PCI_CONFIG_REGION_INDEX)
		return bar_read(v, region, buf, count, offset);
	if (window(v, count, offset, &bar, &at, &len))
		bar_read(v, bar, v->cfg.bytes + v->window +
			 offsetof(struct virtio_pci_cfg_cap, pci_cfg_data), len, at);
	pcicfg_read(&v->cfg, buf, count, offset);
	return 0;
}

/**
 * virtio_write() - REGION_WRITE
 * @priv: device
 * @region: VFIO_PCI_*_REGION_INDEX
 * @buf: source
 * @count: bytes, inside the region
 * @offset: bytes
 *
 * Return: 0 or -EINVAL for another region.
 */
int virtio_write(void *priv, unsigned int region, const void *buf, size_t count, uint64_t offset)
{
	struct virtio *v = priv;
	uint32_t bar, at, len;

	if (!count)
		return 0;
	if (region != VFIO_PCI_CONFIG_REGION_INDEX)
		return bar_write(v, region, buf, count, offset);
	if (pcicfg_write(&v->cfg, buf, count, offset))
		virtio_device_reset(v);
	else if (window(v, count, offset, &bar, &at, &len))
		bar_write(v, bar, v->cfg.bytes + v->window +
			  offsetof(struct virtio_pci_cfg_cap, pci_cfg_data), len, at);
	/* Bus mastering and interrupt enables may have changed. */
	virtio_irq_sync(v);
	vectors_changed(v);
	for (at = 0; at < v->nr_queues; at++)
		v->vq[at].kicked = true;
	return 0;
}

/* ---- what it looks like ---- */

static unsigned int add_vendor_cap(struct pcicfg *c, uint8_t type, uint32_t offset,
				   uint32_t length, unsigned int size)
{
	const struct virtio_pci_cap cap = {
		.cap_vndr = PCI_CAP_ID_VNDR, .cap_len = (uint8_t)size, .cfg_type = type,
		.bar = BAR_VIRTIO, .offset = offset, .length = length,
	};
	unsigned int at = c->next;

	memcpy(c->bytes + at, &cap, sizeof(cap));
	c->bytes[PCI_STATUS] |= PCI_STATUS_CAP_LIST;
	c->bytes[c->link] = (uint8_t)at;
	c->link = at + PCI_CAP_LIST_NEXT;
	c->next = (at + size + 3) & ~3u;
	return at;
}

static void add_capabilities(struct virtio *v)
{
	const uint32_t stride = VIRTIO_NOTIFY_STRIDE;
	struct pcicfg *c = &v->cfg;
	unsigned int at;

	if (v->looks & VIRTIO_LOOKS_LEGACY)
		return;
	/* Where the configuration is: as good a memory as any. */
	if (v->looks & VIRTIO_LOOKS_SHM)
		add_vendor_cap(c, VIRTIO_PCI_CAP_SHARED_MEMORY_CFG, VIRTIO_DEVICE, VIRTIO_ISR,
			       sizeof(struct virtio_pci_cap64));
	add_vendor_cap(c, VIRTIO_PCI_CAP_COMMON_CFG, VIRTIO_COMMON, COMMON_SIZE,
		       sizeof(struct virtio_pci_cap));
	add_vendor_cap(c, VIRTIO_PCI_CAP_ISR_CFG, VIRTIO_ISR, 1, sizeof(struct virtio_pci_cap));
	if (v->config_len)
		add_vendor_cap(c, VIRTIO_PCI_CAP_DEVICE_CFG, VIRTIO_DEVICE, v->config_len,
			       sizeof(struct virtio_pci_cap));
	at = add_vendor_cap(c, VIRTIO_PCI_CAP_NOTIFY_CFG, VIRTIO_NOTIFY, VIRTIO_NOTIFY_SIZE,
			    sizeof(struct virtio_pci_notify_cap));
	memcpy(c->bytes + at + offsetof(struct virtio_pci_notify_cap, notify_off_multiplier),
	       &stride, sizeof(stride));
	at = add_vendor_cap(c, VIRTIO_PCI_CAP_PCI_CFG, 0, 0, sizeof(struct virtio_pci_cfg_cap));
	v->window = at;
	c->wmask[at + offsetof(struct virtio_pci_cap, bar)] = 0xff;
	memset(c->wmask + at + offsetof(struct virtio_pci_cap, offset), 0xff,
	       sizeof(struct virtio_pci_cfg_cap) - offsetof(struct virtio_pci_cap, offset));
}

static void build_config(struct virtio *v, uint16_t type, uint32_t class_code, unsigned int irqs)
{
	const bool old = v->looks & (VIRTIO_LOOKS_TRANSITIONAL | VIRTIO_LOOKS_LEGACY);
	const struct pcicfg_ids ids = {
		.vendor = PCI_VENDOR_VIRTIO,
		.device = (old ? PCI_DEVICE_VIRTIO_OLD : PCI_DEVICE_VIRTIO) + type,
		.sub_vendor = PCI_VENDOR_VIRTIO, .sub_device = old ? type : PCI_SUBDEVICE,
		.class_code = class_code, .revision = !old,
	};
	const uint32_t mask = ~(v->msix_bar_size - 1), ports = ~(BAR_LEGACY_SIZE - 1);
	struct pcicfg *c = &v->cfg;

	pcicfg_init(c, &ids);
	if (old) {
		c->bytes[PCI_BASE_ADDRESS_0] = PCI_BASE_ADDRESS_SPACE_IO;
		memcpy(c->wmask + PCI_BASE_ADDRESS_0, &ports, sizeof(ports));
		c->wmask[PCI_COMMAND] |= PCI_COMMAND_IO;
	}
	/* a 32-bit BAR with the MSI-X table, where there is one */
	if (irqs & 1u << VFIO_PCI_MSIX_IRQ_INDEX)
		memcpy(c->wmask + PCI_BASE_ADDRESS_1, &mask, sizeof(mask));
	pcicfg_bar64(c, BAR_VIRTIO, VIRTIO_BAR4_SIZE, true);
	if (irqs & 1u << VFIO_PCI_MSIX_IRQ_INDEX) {
		v->msix = c->next;
		pcicfg_msix(c, v->vectors, BAR_MSIX, VIRTIO_MSIX_TABLE, BAR_MSIX, v->msix_pba);
	}
	add_capabilities(v);
	pcicfg_pm(c);
	pcicfg_pcie_endpoint(c);
	if (irqs & 1u << VFIO_PCI_INTX_IRQ_INDEX)
		pcicfg_intx(c, 1);
	pcicfg_seal(c);
}

/* Queues, and BAR 1 as large as their vectors need it. */
static int make_queues(struct virtio *v)
{
	unsigned int i;

	if (!v->nr_queues || v->nr_queues > VIRTIO_MAX_QUEUES)
		return -EINVAL;
	v->vectors = v->nr_queues + 1;
	v->msix_pba = VIRTIO_MSIX_PBA_MIN;
	while (v->msix_pba < v->vectors * 16)
		v->msix_pba *= 2;
	v->msix_bar_size = v->msix_pba * 2;
	v->msix_table = calloc(v->vectors, 16);
	v->vq = calloc(v->nr_queues, sizeof(*v->vq));
	v->events = calloc(v->nr_queues, sizeof(*v->events));
	v->io_fds = calloc(v->nr_queues, sizeof(*v->io_fds));
	if (!v->msix_table || !v->vq || !v->events || !v->io_fds)
		return -ENOMEM;
	for (i = 0; i < v->nr_queues; i++)
		v->events[i] = -1;
	return 0;
}

/* Sealed, so that the client cannot shrink it under other clients. */
static int make_notify_page(struct virtio *v)
{
	v->notify_fd = memfd_create("virtio-notify", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (v->notify_fd < 0 || ftruncate(v->notify_fd, VIRTIO_BAR4_SIZE) ||
	    fcntl(v->notify_fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		return -errno;
	return 0;
}

static int make_events(struct virtio *v)
{
	unsigned int i;

	for (i = 0; i < v->nr_queues; i++) {
		v->events[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (v->events[i] < 0)
			return -errno;
		v->io_fds[i] = (struct vfus_io_fd){
			.offset = VIRTIO_NOTIFY + i * VIRTIO_NOTIFY_STRIDE, .size = 2,
			.type = VFIO_USER_IO_FD_IOEVENTFD, .fd = v->events[i],
		};
	}
	return 0;
}

/**
 * virtio_init() - build the PCI function
 * @v: device; ops, notify, offered, nr_queues, queue_max, config and config_len are set, and
 *	interrupts_elsewhere where it is to be; all else is zero
 * @type: device type of section 5
 * @class_code: of PCI
 * @irqs: bit for each VFIO_PCI_*_IRQ_INDEX that it has: INTx, MSI-X
 * @dev: filled in but for its callbacks and @fd
 *
 * Return: 0 or a negative errno; virtio_free() is due either way.
 */
int virtio_init(struct virtio *v, uint16_t type, uint32_t class_code, unsigned int irqs,
		struct vfus_device *dev)
{
	const uint32_t rw = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
	struct vfus_region *bar = &dev->regions[BAR_VIRTIO];
	int ret;

	v->notify_fd = -1;
	ret = make_queues(v);
	if (ret)
		return ret;
	build_config(v, type, class_code, irqs);
	dev->nr_regions = VFIO_PCI_NUM_REGIONS;
	if (v->looks & (VIRTIO_LOOKS_TRANSITIONAL | VIRTIO_LOOKS_LEGACY))
		dev->regions[BAR_LEGACY] = (struct vfus_region){ .size = BAR_LEGACY_SIZE,
								 .flags = rw, .fd = -1 };
	dev->regions[VFIO_PCI_CONFIG_REGION_INDEX] = (struct vfus_region){
		.size = PCICFG_SIZE, .flags = rw, .fd = -1 };
	*bar = (struct vfus_region){ .size = VIRTIO_BAR4_SIZE, .flags = rw, .fd = -1 };
	if (v->notify == VIRTIO_NOTIFY_MMAP) {
		ret = make_notify_page(v);
		bar->fd = v->notify_fd;
		bar->areas = &notify_area;
		bar->nr_areas = 1;
	} else if (v->notify == VIRTIO_NOTIFY_IOEVENTFD) {
		ret = make_events(v);
		bar->io_fds = v->io_fds;
		bar->nr_io_fds = v->nr_queues;
	}

	dev->nr_irqs = VFIO_PCI_NUM_IRQS;
	if (irqs & 1u << VFIO_PCI_INTX_IRQ_INDEX)
		dev->irqs[VFIO_PCI_INTX_IRQ_INDEX] = (struct vfus_irq_type){
			1, VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_MASKABLE |
			   VFIO_IRQ_INFO_AUTOMASKED };
	if (irqs & 1u << VFIO_PCI_MSIX_IRQ_INDEX) {
		/* What is signalled elsewhere cannot be held back here. */
		const uint32_t maskable = v->interrupts_elsewhere ? 0 : VFIO_IRQ_INFO_MASKABLE;

		dev->regions[BAR_MSIX] = (struct vfus_region){ .size = v->msix_bar_size,
							       .flags = rw, .fd = -1 };
		dev->irqs[VFIO_PCI_MSIX_IRQ_INDEX] = (struct vfus_irq_type){
			v->vectors, VFIO_IRQ_INFO_EVENTFD | maskable | VFIO_IRQ_INFO_NORESIZE };
	}
	return ret;
}

/**
 * virtio_free() - undo virtio_init()
 * @v: device
 */
void virtio_free(struct virtio *v)
{
	unsigned int i;

	if (v->notify_fd >= 0)
		close(v->notify_fd);
	for (i = 0; v->events && i < v->nr_queues; i++)
		if (v->events[i] >= 0)
			close(v->events[i]);
	free(v->events);
	free(v->io_fds);
	free(v->vq);
	free(v->msix_table);
}
