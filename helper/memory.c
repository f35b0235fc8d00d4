// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the device can reach by DMA: where it comes from, and how the server gets it.
 *
 * It is the helper's, from before the device is created until after the connection has ended.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "engine/client.h"
#include "log.h"
#include "memory.h"
#include "netlink.h"
#include "ring.h"
#include "status.h"

/* That of the device which is taken over. */
static int adopt_pool(const struct attach_options *opt, struct ring *ring, struct pool *pool)
{
	int err;

	err = ring_pool(ring);
	if (err >= 0)
		err = pool_adopt(pool, err, opt->old->pool_size, opt->old->pool_iova);
	if (!err)
		return ST_OK;
	return log_fail(err == -ENOMEM ? ST_NO_MEMORY : ST_FAILED,
			"cannot map the device's DMA pool of %" PRIu64 " MiB: %s",
			opt->old->pool_size >> 20, strerror(-err));
}

/**
 * memory_get() - allocate a pool, take over that of a device, or open the host's memory
 * @memory: result; @passthrough is set
 * @opt: what to do
 * @ring: open channel
 *
 * Says on its own what is wrong.
 *
 * Context: the helper; may sleep.
 * Return: enum status.
 */
int memory_get(struct memory *memory, const struct attach_options *opt, struct ring *ring)
{
	int err;

	if (opt->old)
		return adopt_pool(opt, ring, &memory->pool);
	if (!memory->passthrough) {
		err = pool_create(&memory->pool, opt->pool_size);
		if (!err)
			return ST_OK;
		return log_fail(err == -ENOMEM ? ST_NO_MEMORY : ST_FAILED,
				"cannot allocate %" PRIu64 " MiB for the DMA pool (%s); try a smaller --pool-size",
				opt->pool_size >> 20, strerror(-err));
	}
	err = ram_open(&memory->ram, ring);
	switch (-err) {
	case 0:
		log_note("passthrough DMA: the server can read and write all memory of this host");
		return ST_OK;
	case EACCES:
		return log_fail(ST_PERMISSION, "passthrough DMA is not allowed on this host; \"modprobe vfiouser_pci allow_passthrough=1\" allows it");
	case EPERM:
		return log_fail(ST_PERMISSION, "passthrough DMA needs CAP_SYS_RAWIO, and a kernel that is not locked down");
	case ENOTTY:
		return log_fail(ST_ABI, "this kernel module knows no passthrough DMA; vfiouserctl and vfiouser_pci must be of one version");
	case EOPNOTSUPP:
		return log_fail(ST_KERNEL, "passthrough DMA does not work on this machine: its memory is encrypted, or bus addresses are not physical ones");
	}
	return log_fail(ST_KERNEL, "cannot get the memory of this host: %s", strerror(-err));
}

/**
 * memory_put() - undo memory_get()
 * @memory: that nobody uses any more
 *
 * Context: the helper.
 */
void memory_put(struct memory *memory)
{
	if (memory->passthrough)
		ram_close(&memory->ram);
	else
		pool_destroy(&memory->pool);
}

/**
 * memory_read() - what the server asks for by message
 * @memory: that was mapped
 * @iova: DMA address
 * @buf: result
 * @count: bytes
 *
 * Context: the helper.
 * Return: 0 or -EFAULT.
 */
int memory_read(const struct memory *memory, uint64_t iova, void *buf, size_t count)
{
	const void *from;

	if (memory->passthrough)
		return ram_copy(&memory->ram, iova, buf, count, false);
	from = pool_at(&memory->pool, iova, count);
	if (!from)
		return -EFAULT;
	memcpy(buf, from, count);
	return 0;
}

/**
 * memory_write() - what the server writes by message
 * @memory: that was mapped
 * @iova: DMA address
 * @buf: bytes to write
 * @count: of them
 *
 * Context: the helper.
 * Return: 0 or -EFAULT.
 */
int memory_write(const struct memory *memory, uint64_t iova, const void *buf, size_t count)
{
	void *to;

	if (memory->passthrough)
		return ram_copy(&memory->ram, iova, (void *)buf, count, true);
	to = pool_at(&memory->pool, iova, count);
	if (!to)
		return -EFAULT;
	memcpy(to, buf, count);
	return 0;
}

static int map_pool(struct vfuc *server, const struct pool *pool)
{
	bool fds = vfuc_caps(server)->can_pass_fds && vfuc_caps(server)->max_msg_fds;
	struct vfuc_error error = { 0 };

	log_debug("pool: %" PRIu64 " bytes at DMA address 0x%" PRIx64 "%s%s", pool->size,
		  pool->iova, pool->huge ? ", huge pages" : "",
		  fds ? "" : ", no descriptor passed");
	if (!vfuc_dma_map(server, pool->iova, pool->size, VFUC_DMA_READ | VFUC_DMA_WRITE,
			  fds ? pool->fd : -1, 0, &error))
		return ST_OK;
	return log_fail(status_of_server(&error), "the server does not take the DMA pool: %s",
			error.message);
}

static int map_ram(struct vfuc *server, const struct ram *ram)
{
	const struct vfuc_caps *caps = vfuc_caps(server);
	struct vfiouser_ram_range *windows;
	struct vfuc_error error = { 0 };
	unsigned int i, n;
	int status = ST_OK;

	windows = calloc(ram->count, 3 * sizeof(*windows));
	if (!windows)
		return log_fail(ST_NO_MEMORY, "out of memory");
	n = ram_windows(ram, caps->max_dma_maps, windows);
	if (!n)
		status = log_fail(ST_SERVER, "the server takes %u DMA windows, the memory of this host has %u parts; go without --dma=passthrough",
				  caps->max_dma_maps, ram->count);
	for (i = 0; i < n && !status; i++) {
		log_debug("memory: 0x%" PRIx64 " bytes at 0x%" PRIx64, (uint64_t)windows[i].size,
			  (uint64_t)windows[i].start);
		if (vfuc_dma_map(server, windows[i].start, windows[i].size,
				 VFUC_DMA_READ | VFUC_DMA_WRITE,
				 caps->can_pass_fds ? ram->fd : -1, windows[i].start, &error))
			status = log_fail(status_of_server(&error),
					  "the server does not take the memory of this host: %s",
					  error.message);
	}
	free(windows);
	return status;
}

/**
 * memory_map() - offer it to the server
 * @memory: after memory_get()
 * @server: connection
 *
 * Says on its own what is wrong.
 *
 * Context: the helper; waits for the server.
 * Return: enum status.
 */
int memory_map(const struct memory *memory, struct vfuc *server)
{
	if (memory->passthrough)
		return map_ram(server, &memory->ram);
	return map_pool(server, &memory->pool);
}
