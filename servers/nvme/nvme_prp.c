// SPDX-License-Identifier: GPL-2.0-only
/*
 * Data of a command: physical region pages (NVMe 1.4 section 4.3) into our address space.
 *
 * The PRP entries are the driver's and may be anything. Each list page is copied before it is
 * looked at, and the walk is bounded by the transfer's length, so a list that chains to itself
 * ends like any other.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "nvme.h"

static int add_seg(struct nvme_data *d, uint64_t addr, uint32_t len)
{
	int last = d->segs - 1;

	if (d->segs && d->seg_addr[last] + d->seg_len[last] == addr) {
		d->seg_len[last] += len;
		return NVME_OK;
	}
	if (d->segs == NVME_MAX_SEGS)
		return NVME_INTERNAL_ERROR;
	d->seg_addr[d->segs] = addr;
	d->seg_len[d->segs++] = len;
	return NVME_OK;
}

/* @at points to the first entry of a list that describes @left more bytes. */
static int walk_list(struct nvme_ctrl *c, uint64_t at, uint32_t left, struct nvme_data *d)
{
	uint64_t entry[NVME_PAGE / sizeof(uint64_t)];

	if (at & 7)
		return NVME_INVALID_PRP_OFFSET;
	while (left) {
		unsigned int room = (NVME_PAGE - (at & (NVME_PAGE - 1))) / sizeof(entry[0]);
		unsigned int need = (left + NVME_PAGE - 1) / NVME_PAGE, i;
		bool chained = need > room;
		unsigned int n = chained ? room : need;

		if (vfus_dma_read(c->vfus, entry, at, n * sizeof(entry[0])))
			return NVME_DATA_TRANSFER_ERROR;
		for (i = 0; i < n - chained; i++) {
			uint32_t len = left < NVME_PAGE ? left : NVME_PAGE;
			int status;

			if (entry[i] & (NVME_PAGE - 1))
				return NVME_INVALID_PRP_OFFSET;
			status = add_seg(d, entry[i], len);
			if (status)
				return status;
			left -= len;
		}
		/* The last entry of a full page points to the next list, at a page's start. */
		if (chained) {
			at = entry[n - 1];
			if (at & (NVME_PAGE - 1))
				return NVME_INVALID_PRP_OFFSET;
		}
	}
	return NVME_OK;
}

static int walk(struct nvme_ctrl *c, const struct nvme_cmd *cmd, uint32_t len,
		struct nvme_data *d)
{
	uint32_t first = NVME_PAGE - (cmd->prp1 & (NVME_PAGE - 1));
	int status;

	if (cmd->prp1 & 3)
		return NVME_INVALID_PRP_OFFSET;
	if (first > len)
		first = len;
	status = add_seg(d, cmd->prp1, first);
	len -= first;
	if (status || !len)
		return status;
	if (len > NVME_PAGE)
		return walk_list(c, cmd->prp2, len, d);
	if (cmd->prp2 & (NVME_PAGE - 1))
		return NVME_INVALID_PRP_OFFSET;
	return add_seg(d, cmd->prp2, len);
}

/* Memory of which any part takes messages, or is not aligned, goes through a buffer of our own. */
static int bounce(struct nvme_ctrl *c, uint32_t len, bool to_host, struct nvme_data *d)
{
	uint8_t *p = aligned_alloc(NVME_PAGE, (len + NVME_PAGE - 1) / NVME_PAGE * NVME_PAGE);
	uint32_t done = 0;
	int i;

	if (!p)
		return NVME_INTERNAL_ERROR;
	/* what a read that fails on the way leaves is nobody's business */
	memset(p, 0, len);
	d->bounce = p;
	d->iov[0] = (struct iovec){ p, len };
	d->n = 1;
	for (i = 0; !to_host && i < d->segs; i++) {
		if (vfus_dma_read(c->vfus, p + done, d->seg_addr[i], d->seg_len[i])) {
			free(p);
			d->bounce = NULL;
			return NVME_DATA_TRANSFER_ERROR;
		}
		done += d->seg_len[i];
	}
	return NVME_OK;
}

/**
 * nvme_data_get() - find a command's data
 * @c: controller
 * @cmd: command
 * @len: bytes, 1 to NVME_MAX_XFER
 * @to_host: the device will write it
 * @align: what addresses and lengths of its pieces have to be multiples of, or 0
 * @d: filled in; d->iov is where to read or write. Needs nvme_data_put() where this succeeds
 *
 * Return: a status.
 */
int nvme_data_get(struct nvme_ctrl *c, const struct nvme_cmd *cmd, uint32_t len, bool to_host,
		  unsigned int align, struct nvme_data *d)
{
	uintptr_t odd = 0;
	int i, n, status;

	d->n = 0;
	d->segs = 0;
	d->bounce = NULL;
	if (!len || len > NVME_MAX_XFER)
		return NVME_INVALID_FIELD;
	status = walk(c, cmd, len, d);
	for (i = 0; !status && i < d->segs; i++) {
		/* DMA windows are whole pages: there are never more pieces than pages. */
		n = vfus_dma_iov(c->vfus, d->seg_addr[i], d->seg_len[i], to_host, d->iov + d->n,
				 (int)NVME_MAX_SEGS - d->n);
		if (n == -EREMOTE)
			return bounce(c, len, to_host, d);
		if (n < 0)
			return NVME_DATA_TRANSFER_ERROR;
		d->n += n;
	}
	for (i = 0; align && !status && i < d->n; i++)
		odd |= (uintptr_t)d->iov[i].iov_base | d->iov[i].iov_len;
	return align && odd & (align - 1) ? bounce(c, len, to_host, d) : status;
}

/**
 * nvme_data_put() - done with a command's data
 * @c: controller
 * @d: from nvme_data_get()
 * @to_host: as there; copies what was bounced
 * @status: of the command so far
 *
 * Return: @status, or another error if that was NVME_OK.
 */
int nvme_data_put(struct nvme_ctrl *c, struct nvme_data *d, bool to_host, int status)
{
	uint32_t done = 0;
	int i;

	for (i = 0; d->bounce && to_host && !status && i < d->segs; i++) {
		if (vfus_dma_write(c->vfus, d->seg_addr[i], (uint8_t *)d->bounce + done,
				   d->seg_len[i]))
			status = NVME_DATA_TRANSFER_ERROR;
		done += d->seg_len[i];
	}
	free(d->bounce);
	d->bounce = NULL;
	return status;
}

/**
 * nvme_to_host() - copy a buffer to a command's data
 * @c: controller
 * @cmd: command
 * @buf: source
 * @len: bytes
 *
 * Return: a status.
 */
int nvme_to_host(struct nvme_ctrl *c, const struct nvme_cmd *cmd, const void *buf, uint32_t len)
{
	const uint8_t *p = buf;
	struct nvme_data d;
	int i, status;

	status = nvme_data_get(c, cmd, len, true, 0, &d);
	if (status)
		return status;
	for (i = 0; i < d.n; p += d.iov[i++].iov_len)
		memcpy(d.iov[i].iov_base, p, d.iov[i].iov_len);
	return nvme_data_put(c, &d, true, NVME_OK);
}

/**
 * nvme_from_host() - copy a command's data to a buffer
 * @c: controller
 * @cmd: command
 * @buf: destination
 * @len: bytes
 *
 * Return: a status.
 */
int nvme_from_host(struct nvme_ctrl *c, const struct nvme_cmd *cmd, void *buf, uint32_t len)
{
	uint8_t *p = buf;
	struct nvme_data d;
	int i, status;

	status = nvme_data_get(c, cmd, len, false, 0, &d);
	if (status)
		return status;
	for (i = 0; i < d.n; p += d.iov[i++].iov_len)
		memcpy(p, d.iov[i].iov_base, d.iov[i].iov_len);
	return nvme_data_put(c, &d, false, NVME_OK);
}
