// SPDX-License-Identifier: GPL-2.0-only
/*
 * BAR 0 and configuration space of the NVMe controller: registers, doorbells, MSI-X table and
 * pending bits, and the controller's enable, reset and shutdown (NVMe 1.4 section 3.1).
 */
#include <errno.h>
#include <linux/vfio.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "nvme.h"

/* MQES 1023, contiguous queues, TO 60 s, doorbell stride 4 bytes, NVM command set, 4 KiB pages */
#define CAP	((uint64_t)(NVME_MAX_DEPTH - 1) | 1ull << 16 | 120ull << 24 | 1ull << 37)
#define VS	0x00010400u

/**
 * nvme_running() - does the controller take commands?
 * @c: controller
 *
 * Return: true if it does.
 */
bool nvme_running(const struct nvme_ctrl *c)
{
	return c->csts == NVME_CSTS_RDY && !c->disabling && vfus_usable(c->vfus);
}

/**
 * nvme_fatal() - the controller cannot go on until it is reset: CSTS.CFS
 * @c: controller
 * @why: for standard error
 *
 * Not where the client is gone: the queues' memory went with it, and the next one will reset us.
 */
void nvme_fatal(struct nvme_ctrl *c, const char *why)
{
	if (!vfus_usable(c->vfus))
		return;
	fprintf(stderr, "vfiouser-nvme: controller fatal status: %s\n", why);
	c->csts |= NVME_CSTS_CFS;
}

/* Does anything still read or change a disk? */
static bool busy(const struct nvme_ctrl *c)
{
	return c->io.transfers || c->io.erasures;
}

/* What erases has nobody who waits for its end, and may be long. */
static void hurry(struct nvme_ctrl *c, bool on)
{
	unsigned int i;

	for (i = 0; i < c->nr_ns; i++)
		atomic_store(&c->ns[i].disk.hurry, on);
}

/* Nobody is answered from now on. */
static void controller_reset(struct nvme_ctrl *c)
{
	c->generation++;
	c->disabling = false;
	nvme_shadow_reset(c);
	nvme_queues_reset(c);
	nvme_events_reset(c);
	nvme_features_reset(c);
	c->csts = 0;
	c->intms = 0;
}

/* Returns true where data still moves: nvme_drained() then ends it. */
static bool reset(struct nvme_ctrl *c)
{
	controller_reset(c);
	c->cc = 0;
	c->aqa = 0;
	c->asq = 0;
	c->acq = 0;
	memset(c->msix_table, 0, sizeof(c->msix_table));
	pcicfg_reset(&c->cfg);
	c->resetting = busy(c);
	hurry(c, c->resetting);
	return c->resetting;
}

/**
 * nvme_device_reset() - VFIO_USER_DEVICE_RESET: as after power-on
 * @priv: controller
 *
 * Once it is answered nothing is written to the client's memory, so that waits for reads.
 *
 * Return: 0, or -EINPROGRESS where it is going to be called again.
 */
int nvme_device_reset(void *priv)
{
	struct nvme_ctrl *c = priv;

	if (c->reset_done) {
		c->reset_done = false;
		return 0;
	}
	c->in_flr = false;
	c->reset_put_off = reset(c);
	return c->reset_put_off ? -EINPROGRESS : 0;
}

/* Nothing answers, nor does the function's configuration space, until it is over. */
static void function_reset(struct nvme_ctrl *c)
{
	c->in_flr = reset(c);
}

/**
 * nvme_dma_unmap() - a window is about to go
 * @priv: controller
 * @addr: DMA address
 * @size: bytes
 *
 * Return: 0, or -EINPROGRESS while there is data that moves; whose, nobody asks.
 */
int nvme_dma_unmap(void *priv, uint64_t addr, uint64_t size)
{
	struct nvme_ctrl *c = priv;

	(void)size;
	/* one that was put off would come before us */
	c->reset_put_off = false;
	c->reset_done = false;
	c->unmapping = c->io.transfers;
	if (c->unmapping)
		return -EINPROGRESS;
	io_memory_drop(&c->io, addr);
	return 0;
}

static void enable(struct nvme_ctrl *c)
{
	uint32_t sq = (c->aqa & 0xfff) + 1, cq = (c->aqa >> 16 & 0xfff) + 1;

	c->last_work = 0;
	if (c->cc & NVME_CC_UNSUPPORTED)
		nvme_fatal(c, "CC asks for a page size, command set or arbitration not in CAP");
	else if (nvme_create_cq(c, 0, c->acq, cq, true, 0) ||
		 nvme_create_sq(c, 0, c->asq, sq, 0))
		nvme_fatal(c, "AQA, ASQ or ACQ is not usable");
	else
		c->csts |= NVME_CSTS_RDY;
}

/**
 * nvme_abandon() - the client is gone, and its memory will be
 * @c: controller
 *
 * Queues and registers stay as they are, for the next client to reset; commands end without a word.
 */
void nvme_abandon(struct nvme_ctrl *c)
{
	unsigned int i;

	c->generation++;
	c->leaving = busy(c);
	c->unmapping = false;
	c->reset_put_off = false;
	c->reset_done = false;
	hurry(c, c->leaving);
	for (i = 0; i <= c->nr_ioq; i++) {
		if (c->sq[i].deleting) {
			nvme_req_put(c->sq[i].deleting);
			c->sq[i].deleting = NULL;
			c->sq[i].used = false;
		}
		c->sq[i].busy = 0;
		c->cq[i].reserved = 0;
	}
}

/**
 * nvme_drained() - the last data has moved that a disabled or reset controller, DMA_UNMAP or a
 * client that is gone had to wait for
 * @c: controller
 */
void nvme_drained(struct nvme_ctrl *c)
{
	bool off = c->disabling || c->resetting;

	if (c->disabling)
		controller_reset(c);
	c->reset_done = c->reset_put_off;
	c->reset_put_off = false;
	if (c->unmapping || c->reset_done)
		vfus_resume(c->vfus);
	c->resetting = false;
	c->unmapping = false;
	c->leaving = false;
	c->in_flr = false;
	hurry(c, false);
	/* the driver did not wait for CSTS.RDY */
	if (off && c->cc & NVME_CC_EN)
		enable(c);
}

/* One namespace after the other. */
static void next_shut_down(struct io *io)
{
	struct nvme_ctrl *c = (struct nvme_ctrl *)((char *)io -
						   offsetof(struct nvme_ctrl, shutdown.io));

	if (c->shutdown.at == c->nr_ns) {
		c->shutdown.busy = false;
		if ((c->csts & NVME_CSTS_SHST_MASK) == NVME_CSTS_SHST_BUSY)
			c->csts ^= NVME_CSTS_SHST_BUSY ^ NVME_CSTS_SHST_DONE;
		return;
	}
	*io = (struct io){ .op = IO_FLUSH, .disk = &c->ns[c->shutdown.at++].disk,
			   .done = next_shut_down };
	io_submit(&c->io, io);
}

/* A flush of before a reset may still be going on: then the namespaces have another turn. */
static void shut_down(struct nvme_ctrl *c)
{
	c->csts = (c->csts & ~NVME_CSTS_SHST_MASK) | NVME_CSTS_SHST_BUSY;
	c->shutdown.at = 0;
	if (c->shutdown.busy)
		return;
	c->shutdown.busy = true;
	next_shut_down(&c->shutdown.io);
}

static void disable(struct nvme_ctrl *c)
{
	if (busy(c)) {
		c->disabling = true;
		hurry(c, true);
	} else {
		controller_reset(c);
	}
}

static void write_cc(struct nvme_ctrl *c, uint32_t v)
{
	uint32_t old = c->cc;

	c->cc = v & 0xfffff1;
	if (c->disabling || c->resetting)
		;
	else if (!(old & NVME_CC_EN) && v & NVME_CC_EN)
		enable(c);
	else if (old & NVME_CC_EN && !(v & NVME_CC_EN))
		disable(c);
	if (NVME_CC_SHN(v) && !NVME_CC_SHN(old))
		shut_down(c);
}

static uint32_t reg_read(const struct nvme_ctrl *c, unsigned int offset)
{
	switch (offset) {
	case NVME_REG_CAP:
		return (uint32_t)CAP;
	case NVME_REG_CAP + 4:
		return (uint32_t)(CAP >> 32);
	case NVME_REG_VS:
		return VS;
	case NVME_REG_INTMS:
	case NVME_REG_INTMC:
		return c->intms;
	case NVME_REG_CC:
		return c->cc;
	case NVME_REG_CSTS:
		return c->csts;
	case NVME_REG_AQA:
		return c->aqa;
	case NVME_REG_ASQ:
		return (uint32_t)c->asq;
	case NVME_REG_ASQ + 4:
		return (uint32_t)(c->asq >> 32);
	case NVME_REG_ACQ:
		return (uint32_t)c->acq;
	case NVME_REG_ACQ + 4:
		return (uint32_t)(c->acq >> 32);
	default:
		return 0;
	}
}

static void set_half(uint64_t *reg, bool high, uint32_t v)
{
	if (high)
		*reg = (*reg & 0xffffffffull) | (uint64_t)v << 32;
	else
		*reg = (*reg & ~0xffffffffull) | (v & ~0xfffu);
}

static void reg_write(struct nvme_ctrl *c, unsigned int offset, uint32_t v)
{
	switch (offset) {
	case NVME_REG_INTMS:
		c->intms |= v;
		nvme_irq_sync(c);
		break;
	case NVME_REG_INTMC:
		c->intms &= ~v;
		nvme_irq_sync(c);
		break;
	case NVME_REG_CC:
		write_cc(c, v);
		break;
	case NVME_REG_AQA:
		c->aqa = v & 0x0fff0fff;
		break;
	case NVME_REG_ASQ:
	case NVME_REG_ASQ + 4:
		set_half(&c->asq, offset & 4, v);
		break;
	case NVME_REG_ACQ:
	case NVME_REG_ACQ + 4:
		set_half(&c->acq, offset & 4, v);
		break;
	}
}

/* One aligned dword of the BAR, which is what wider, narrower and odd accesses are made of. */
static uint32_t bar_dword(const struct nvme_ctrl *c, unsigned int offset)
{
	uint32_t v = 0;
	unsigned int i;

	if (offset < NVME_DB_OFFSET)
		return reg_read(c, offset);
	if (offset < NVME_DB_OFFSET + NVME_DB_SIZE)
		return __atomic_load_n(&c->db[(offset - NVME_DB_OFFSET) / 4], __ATOMIC_RELAXED);
	if (offset >= NVME_MSIX_PBA) {
		for (i = 0; i < 32; i++)
			if (vfus_irq_pending(c->vfus, VFIO_PCI_MSIX_IRQ_INDEX,
					     (offset - NVME_MSIX_PBA) * 8 + i))
				v |= 1u << i;
		return v;
	}
	offset -= NVME_MSIX_TABLE;
	if (offset < sizeof(c->msix_table))
		memcpy(&v, c->msix_table + offset, sizeof(v));
	return v;
}

/**
 * nvme_bar_read() - REGION_READ
 * @priv: controller
 * @region: VFIO_PCI_BAR0_REGION_INDEX or VFIO_PCI_CONFIG_REGION_INDEX
 * @buf: destination
 * @count: bytes, inside the region
 * @offset: bytes
 *
 * Any width and alignment is read, though registers are defined for 4 and 8 bytes only.
 *
 * Return: 0 or -EINVAL for another region.
 */
int nvme_bar_read(void *priv, unsigned int region, void *buf, size_t count, uint64_t offset)
{
	const struct nvme_ctrl *c = priv;
	uint8_t *out = buf;

	if (c->in_flr) {
		memset(buf, 0xff, count);
		return 0;
	}
	if (region == VFIO_PCI_CONFIG_REGION_INDEX) {
		pcicfg_read(&c->cfg, buf, count, offset);
		return 0;
	}
	if (region != VFIO_PCI_BAR0_REGION_INDEX)
		return -EINVAL;
	while (count) {
		uint32_t v = bar_dword(c, offset & ~3u);
		size_t skip = offset & 3, n = 4 - skip < count ? 4 - skip : count;

		memcpy(out, (uint8_t *)&v + skip, n);
		out += n;
		offset += n;
		count -= n;
	}
	return 0;
}

/**
 * nvme_bar_write() - REGION_WRITE
 * @priv: controller
 * @region: VFIO_PCI_BAR0_REGION_INDEX or VFIO_PCI_CONFIG_REGION_INDEX
 * @buf: source
 * @count: bytes, inside the region
 * @offset: bytes
 *
 * Registers and doorbells take whole aligned dwords; other writes to them are dropped, as the
 * specification leaves it to the controller.
 *
 * Return: 0 or -EINVAL for another region.
 */
int nvme_bar_write(void *priv, unsigned int region, const void *buf, size_t count,
		   uint64_t offset)
{
	struct nvme_ctrl *c = priv;
	const uint8_t *in = buf;
	uint32_t v;

	if (region == VFIO_PCI_CONFIG_REGION_INDEX) {
		if (!c->in_flr && pcicfg_write(&c->cfg, buf, count, offset))
			function_reset(c);
		return 0;
	}
	if (region != VFIO_PCI_BAR0_REGION_INDEX)
		return -EINVAL;
	if ((offset | count) & 3 || c->in_flr)
		return 0;
	for (; count; count -= 4, offset += 4, in += 4) {
		memcpy(&v, in, sizeof(v));
		if (offset < NVME_DB_OFFSET) {
			reg_write(c, offset, v);
		} else if (offset < NVME_DB_OFFSET + NVME_DB_SIZE) {
			__atomic_store_n(&c->db[(offset - NVME_DB_OFFSET) / 4], v,
					 __ATOMIC_RELAXED);
			c->more = true;
		} else if (offset >= NVME_MSIX_TABLE &&
			   offset < NVME_MSIX_TABLE + sizeof(c->msix_table)) {
			memcpy(c->msix_table + (offset - NVME_MSIX_TABLE), &v, sizeof(v));
		}
	}
	return 0;
}
