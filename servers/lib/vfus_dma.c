// SPDX-License-Identifier: GPL-2.0-only
/*
 * Client memory: the table of DMA windows, and every access of the device to it.
 *
 * A window that came with a descriptor is mapped and accessed directly; one without is reached
 * with DMA_READ and DMA_WRITE messages. The table is sorted and its windows never overlap.
 * Windows belong to the connection.
 *
 * The client can shrink the file behind a window at any time. The access then raises SIGBUS; the
 * handler puts an anonymous page in its place, so that only the client's own data is wrong.
 */
#include <errno.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "vfus_priv.h"

/* The server whose windows the SIGBUS handler looks at; there is one in a process. */
static struct vfus *sigbus_server;

/* Mappings of the device's own. */
#define GUARDED	32

static struct {
	void *map;
	size_t len;
} guarded[GUARDED];

/* Returns whether the address was in a mapping that has been replaced. */
static bool replace(void *base, size_t len, const uint8_t *at)
{
	if (!base || at < (uint8_t *)base || at >= (uint8_t *)base + len)
		return false;
	/* The whole window: on huge pages a single small page could not be replaced. */
	return mmap(base, len, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) != MAP_FAILED;
}

/*
 * Runs synchronously inside an access to a window, never while the table is being changed.
 * mmap() is a bare system call, which is what makes it fit for here.
 */
static void on_sigbus(int sig, siginfo_t *info, void *ctx)
{
	const struct vfus *s = sigbus_server;
	const uint8_t *at = info->si_addr;
	size_t i;

	(void)ctx;
	for (i = 0; s && i < s->nr_wins; i++)
		if (replace(s->wins[i].map, s->wins[i].map_len, at))
			return;
	for (i = 0; i < GUARDED; i++)
		if (replace(guarded[i].map, guarded[i].len, at))
			return;
	signal(sig, SIG_DFL);
}

/**
 * vfus_dma_guard() - survive a file's end coming nearer than a mapping of the device's
 * @map: shared mapping
 * @len: bytes
 *
 * Return: 0 or -ENOSPC.
 */
int vfus_dma_guard(void *map, size_t len)
{
	unsigned int i;

	for (i = 0; i < GUARDED; i++) {
		if (guarded[i].map)
			continue;
		guarded[i].len = len;
		guarded[i].map = map;
		return 0;
	}
	return -ENOSPC;
}

/**
 * vfus_dma_unguard() - before the mapping goes
 * @map: as given to vfus_dma_guard()
 */
void vfus_dma_unguard(void *map)
{
	unsigned int i;

	for (i = 0; i < GUARDED; i++)
		if (guarded[i].map == map)
			guarded[i].map = NULL;
}

/**
 * vfus_dma_init() - make the process survive client memory that goes away
 * @s: server; from now on the one whose windows are guarded
 *
 * Return: 0 or a negative errno.
 */
int vfus_dma_init(struct vfus *s)
{
	struct sigaction sa = { .sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO };

	sigbus_server = s;
	return sigaction(SIGBUS, &sa, NULL) ? -errno : 0;
}

/* Index of the first window that ends above @addr. */
static size_t find(const struct vfus *s, uint64_t addr)
{
	size_t lo = 0, hi = s->nr_wins;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (s->wins[mid].addr + (s->wins[mid].size - 1) < addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static void unmap_win(const struct vfus_win *w)
{
	if (w->map)
		munmap(w->map, w->map_len);
}

/**
 * vfus_dma_release() - the client is gone: unmap all its memory
 * @s: server
 */
void vfus_dma_release(struct vfus *s)
{
	size_t i;

	for (i = 0; i < s->nr_wins; i++)
		unmap_win(&s->wins[i]);
	free(s->wins);
	s->wins = NULL;
	s->nr_wins = 0;
	s->cap_wins = 0;
}

static int map_win(struct vfus *s, struct vfus_win *w, int fd, uint64_t offset)
{
	uint64_t align = sysconf(_SC_PAGESIZE), skew, len;
	int prot = PROT_NONE;
	struct statfs fs;
	struct stat st;
	void *map;

	if (fstat(fd, &st) || fstatfs(fd, &fs))
		return -errno;
	/* A regular file that is too short would only fail later, at the access. */
	if (S_ISREG(st.st_mode) &&
	    (offset > (uint64_t)st.st_size || w->size > (uint64_t)st.st_size - offset)) {
		vfus_log(s, 0, "DMA window of 0x%llx bytes at 0x%llx is beyond the end of its file",
			 (unsigned long long)w->size, (unsigned long long)offset);
		return -EINVAL;
	}
	/* hugetlbfs maps and unmaps whole huge pages only */
	if (fs.f_type == HUGETLBFS_MAGIC)
		align = st.st_blksize;
	skew = offset % align;
	len = (w->size + skew + align - 1) / align * align;
	if (len < w->size || len > SIZE_MAX / 2)
		return -EINVAL;
	if (w->flags & VFIO_USER_DMA_READABLE)
		prot |= PROT_READ;
	if (w->flags & VFIO_USER_DMA_WRITEABLE)
		prot |= PROT_WRITE;
	map = mmap(NULL, len, prot, MAP_SHARED | MAP_NORESERVE, fd, (off_t)(offset - skew));
	if (map == MAP_FAILED)
		return -errno;
	w->map = map;
	w->map_len = len;
	w->va = (uint8_t *)map + skew;
	return 0;
}

/* Which memory it is. */
static int home_of(struct vfus_win *w, const struct vfus_msg *m, const struct vfio_user_dma_map *req)
{
	struct stat st = { 0 };

	if (m->nfds && fstat(m->fds[0], &st))
		return -errno;
	w->dev = st.st_dev;
	w->ino = st.st_ino;
	w->offset = req->offset;
	return 0;
}

/* The window of a client before, which the device goes on with: this one has to have the same. */
static int take_up(const struct vfus *s, struct vfus_win *w, const struct vfus_msg *m,
		   const struct vfio_user_dma_map *req)
{
	struct vfus_win same;

	if (!w->kept || w->addr != req->addr || w->size != req->size || w->flags != req->flags)
		return -EEXIST;
	if (home_of(&same, m, req) || same.dev != w->dev || same.ino != w->ino ||
	    same.offset != w->offset)
		return -EEXIST;
	w->kept = false;
	vfus_log(s, 1, "DMA map 0x%llx + 0x%llx again", (unsigned long long)w->addr,
		 (unsigned long long)w->size);
	return 0;
}

/**
 * vfus_handle_dma_map() - VFIO_USER_DMA_MAP
 * @s: server
 * @m: the message
 *
 * Return: 0, -EINVAL for a malformed request, -EEXIST on overlap, -ENOSPC past max_dma_maps,
 * -ENOMEM, why mmap() failed, or why the device refuses it.
 */
int vfus_handle_dma_map(struct vfus *s, struct vfus_msg *m)
{
	struct vfio_user_dma_map req;
	struct vfus_win w = { 0 };
	int ret = 0;
	size_t at;

	if (m->len != sizeof(req) || m->nfds > 1)
		return -EINVAL;
	memcpy(&req, m->payload, sizeof(req));
	if (req.argsz != sizeof(req) || !req.size || req.addr + (req.size - 1) < req.addr ||
	    (req.addr | req.size) & (s->pgsize - 1) ||
	    req.flags & ~(VFIO_USER_DMA_READABLE | VFIO_USER_DMA_WRITEABLE))
		return -EINVAL;
	if (!m->nfds && req.offset)
		return -EINVAL;
	if (m->nfds && (req.offset % sysconf(_SC_PAGESIZE) || req.offset > INT64_MAX))
		return -EINVAL;

	at = find(s, req.addr);
	if (at < s->nr_wins && s->wins[at].addr <= req.addr + (req.size - 1))
		return take_up(s, &s->wins[at], m, &req);
	if (s->nr_wins >= s->cfg.max_dma_maps)
		return -ENOSPC;
	if (s->nr_wins == s->cap_wins) {
		size_t cap = s->cap_wins ? s->cap_wins * 2 : 16;
		struct vfus_win *wins = realloc(s->wins, cap * sizeof(*wins));

		if (!wins)
			return -ENOMEM;
		s->wins = wins;
		s->cap_wins = cap;
	}
	w.addr = req.addr;
	w.size = req.size;
	w.flags = req.flags;
	ret = home_of(&w, m, &req);
	if (ret)
		return ret;
	if (m->nfds && !s->cfg.no_dma_fds)
		ret = map_win(s, &w, m->fds[0], req.offset);
	if (!ret && s->dev.ops->dma_map)
		ret = s->dev.ops->dma_map(s->dev.priv, req.addr, req.size, req.flags,
					  m->nfds ? m->fds[0] : -1, req.offset, w.va);
	if (ret) {
		unmap_win(&w);
		return ret;
	}
	memmove(&s->wins[at + 1], &s->wins[at], (s->nr_wins - at) * sizeof(w));
	s->wins[at] = w;
	s->nr_wins++;
	vfus_log(s, 1, "DMA map 0x%llx + 0x%llx%s", (unsigned long long)w.addr,
		 (unsigned long long)w.size, w.va ? "" : " (by messages)");
	return 0;
}

/**
 * vfus_handle_dma_unmap() - VFIO_USER_DMA_UNMAP
 * @s: server
 * @m: the message; echoed as the reply
 *
 * Return: 0, -EINVAL for a malformed request, -ENOENT unless exactly this window is mapped,
 * -EINPROGRESS while the device still uses it.
 */
int vfus_handle_dma_unmap(struct vfus *s, struct vfus_msg *m)
{
	struct vfio_user_dma_unmap req;
	int ret = 0;
	size_t at;

	if (m->len != sizeof(req))
		return -EINVAL;
	memcpy(&req, m->payload, sizeof(req));
	if (req.argsz < sizeof(req) || req.flags || !req.size)
		return -EINVAL;
	at = find(s, req.addr);
	if (at == s->nr_wins || s->wins[at].addr != req.addr || s->wins[at].size != req.size)
		return -ENOENT;
	if (s->dev.ops->dma_unmap)
		ret = s->dev.ops->dma_unmap(s->dev.priv, req.addr, req.size);
	if (ret)
		return ret;
	unmap_win(&s->wins[at]);
	s->nr_wins--;
	memmove(&s->wins[at], &s->wins[at + 1], (s->nr_wins - at) * sizeof(*s->wins));
	vfus_log(s, 1, "DMA unmap 0x%llx + 0x%llx", (unsigned long long)req.addr,
		 (unsigned long long)req.size);
	req.argsz = sizeof(req);
	memcpy(s->out, &req, sizeof(req));
	s->out_len = sizeof(req);
	return 0;
}

/* The window holding @addr with the wanted right, and how much of @len lies in it. */
static const struct vfus_win *window(const struct vfus *s, uint64_t addr, size_t len, bool write,
				     size_t *in)
{
	uint32_t need = write ? VFIO_USER_DMA_WRITEABLE : VFIO_USER_DMA_READABLE;
	const struct vfus_win *w;
	uint64_t left;
	size_t at = find(s, addr);

	if (at == s->nr_wins)
		return NULL;
	w = &s->wins[at];
	if (w->addr > addr || !(w->flags & need))
		return NULL;
	left = w->size - (addr - w->addr);
	*in = left < len ? (size_t)left : len;
	return w;
}

/**
 * vfus_dma_iov() - find client memory in our own address space
 * @s: server
 * @addr: DMA address
 * @len: bytes
 * @write: the device is going to write there
 * @iov: filled in; adjacent pieces are not merged
 * @max: entries in @iov
 *
 * The pointers are valid until the next message is handled.
 *
 * Return: entries used, -EFAULT where any part is not mapped or lacks the right, -EREMOTE where a
 * part can only be reached with vfus_dma_read()/vfus_dma_write(), -E2BIG.
 */
int vfus_dma_iov(struct vfus *s, uint64_t addr, size_t len, bool write, struct iovec *iov, int max)
{
	bool remote = false;
	int n = 0;

	if (len && addr + (len - 1) < addr)
		return -EFAULT;
	while (len) {
		size_t in = 0;
		const struct vfus_win *w = window(s, addr, len, write, &in);

		if (!w)
			return -EFAULT;
		if (n == max)
			return -E2BIG;
		if (w->va)
			iov[n++] = (struct iovec){ w->va + (addr - w->addr), in };
		else
			remote = true;
		addr += in;
		len -= in;
	}
	return remote ? -EREMOTE : n;
}

static int message_read(struct vfus *s, void *buf, uint64_t addr, size_t len)
{
	while (len) {
		struct vfio_user_dma_access a = { .addr = addr };
		struct iovec req = { &a, sizeof(a) };
		uint8_t *reply;
		int ret;

		a.count = MIN_T(uint64_t, len, s->client_max_xfer);
		a.count = MIN_T(uint64_t, a.count, s->cfg.max_xfer);
		reply = malloc(sizeof(a) + a.count);
		if (!reply)
			return -ENOMEM;
		ret = vfus_call(s, VFIO_USER_DMA_READ, &req, 1, reply, sizeof(a) + a.count,
				sizeof(a) + a.count);
		if (!ret && memcmp(reply, &a, sizeof(a)))
			ret = -EPROTO;
		if (!ret)
			memcpy(buf, reply + sizeof(a), a.count);
		free(reply);
		if (ret)
			return ret;
		buf = (uint8_t *)buf + a.count;
		addr += a.count;
		len -= a.count;
	}
	return 0;
}

static int message_write(struct vfus *s, uint64_t addr, const void *buf, size_t len)
{
	while (len) {
		struct vfio_user_dma_access a = { .addr = addr }, reply = { 0 };
		struct iovec req[2] = { { &a, sizeof(a) }, { (void *)buf, 0 } };
		int ret;

		a.count = MIN_T(uint64_t, len, s->client_max_xfer);
		a.count = MIN_T(uint64_t, a.count, s->cfg.max_xfer);
		req[1].iov_len = a.count;
		/* The specification's reply has a 4-byte count, other programs send 8 bytes. */
		ret = vfus_call(s, VFIO_USER_DMA_WRITE, req, 2, &reply, 12, sizeof(reply));
		if (!ret && (reply.addr != addr || (uint32_t)reply.count != a.count))
			ret = -EPROTO;
		if (ret)
			return ret;
		buf = (const uint8_t *)buf + a.count;
		addr += a.count;
		len -= a.count;
	}
	return 0;
}

/**
 * vfus_dma_read() - copy from client memory, however it can be reached
 * @s: server
 * @buf: destination
 * @addr: DMA address
 * @len: bytes
 *
 * Return: 0, -EFAULT where any part is not mapped readable, or what vfus_call() returns.
 */
int vfus_dma_read(struct vfus *s, void *buf, uint64_t addr, size_t len)
{
	if (len && addr + (len - 1) < addr)
		return -EFAULT;
	while (len) {
		size_t in = 0;
		const struct vfus_win *w = window(s, addr, len, false, &in);
		int ret = 0;

		if (!w)
			return -EFAULT;
		if (w->va)
			memcpy(buf, w->va + (addr - w->addr), in);
		else
			ret = message_read(s, buf, addr, in);
		if (ret)
			return ret;
		buf = (uint8_t *)buf + in;
		addr += in;
		len -= in;
	}
	return 0;
}

/**
 * vfus_dma_write() - copy to client memory, however it can be reached
 * @s: server
 * @addr: DMA address
 * @buf: source
 * @len: bytes
 *
 * Return: 0, -EFAULT where any part is not mapped writeable, or what vfus_call() returns.
 */
int vfus_dma_write(struct vfus *s, uint64_t addr, const void *buf, size_t len)
{
	if (len && addr + (len - 1) < addr)
		return -EFAULT;
	while (len) {
		size_t in = 0;
		const struct vfus_win *w = window(s, addr, len, true, &in);
		int ret = 0;

		if (!w)
			return -EFAULT;
		if (w->va)
			memcpy(w->va + (addr - w->addr), buf, in);
		else
			ret = message_write(s, addr, buf, in);
		if (ret)
			return ret;
		buf = (const uint8_t *)buf + in;
		addr += in;
		len -= in;
	}
	return 0;
}
