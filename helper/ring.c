// SPDX-License-Identifier: GPL-2.0-only
/*
 * The helper's end of the request ring (uapi/linux/vfiouser.h).
 *
 * Owns: the channel's descriptor and its mapping. Closing the channel is how a helper gives its
 * device up, so a struct ring lives as long as the device is served.
 *
 * Locking: none; one thread consumes. What is shared with the kernel is accessed with the atomics
 * below, each of which names its partner in the kernel.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "array.h"
#include "ring.h"

/**
 * ring_open() - open a channel and map its ring
 * @ring: result
 * @path: of the character device
 *
 * Context: set-up; may sleep.
 * Return: 0 or a negative errno: -ENOENT or -ENXIO where the module is not loaded.
 */
int ring_open(struct ring *ring, const char *path)
{
	void *map;
	int err;

	ring->fd = open(path, O_RDWR | O_CLOEXEC);
	if (ring->fd < 0)
		return -errno;
	map = mmap(NULL, VFIOUSER_RING_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd,
		   VFIOUSER_MMAP_RING);
	if (map == MAP_FAILED) {
		err = -errno;
		close(ring->fd);
		return err;
	}
	ring->map = map;
	ring->head = __atomic_load_n(&ring->map->head, __ATOMIC_RELAXED);
	return 0;
}

/**
 * ring_close() - give the channel back; a device that still exists is surprise-removed
 * @ring: open
 *
 * Context: may sleep.
 */
void ring_close(struct ring *ring)
{
	munmap(ring->map, VFIOUSER_RING_BYTES);
	close(ring->fd);
}

/**
 * ring_peek() - the oldest request that was not consumed yet
 * @ring: open
 *
 * The entry stays the caller's until ring_advance(). What it says is still to be checked.
 *
 * Context: the thread that consumes; does not sleep.
 * Return: the request, or NULL if there is none.
 */
const struct vfiouser_request *ring_peek(const struct ring *ring)
{
	/* Pairs with the kernel's store-release of tail after it has filled the entry. */
	if (__atomic_load_n(&ring->map->tail, __ATOMIC_ACQUIRE) == ring->head)
		return NULL;
	return &ring->map->requests[ring->head % VFIOUSER_RING_ENTRIES];
}

/**
 * ring_count() - how many requests were not consumed yet
 * @ring: open
 *
 * Context: the thread that consumes; does not sleep.
 * Return: the number, which is the kernel's word: at most VFIOUSER_RING_ENTRIES if that is right.
 */
uint32_t ring_count(const struct ring *ring)
{
	return __atomic_load_n(&ring->map->tail, __ATOMIC_RELAXED) - ring->head;
}

/**
 * ring_advance() - the request of ring_peek() was consumed, its entry may be used again
 * @ring: open
 *
 * Context: the thread that consumes; does not sleep.
 */
void ring_advance(struct ring *ring)
{
	/* Pairs with the kernel's load-acquire of head before it overwrites the entry. */
	__atomic_store_n(&ring->map->head, ++ring->head, __ATOMIC_RELEASE);
}

/**
 * ring_complete() - answer a request
 * @ring: open
 * @slot: of the request; ignored if there is no such slot
 * @generation: of the request
 * @error: 0 or a negative errno
 * @data: what was read, or NULL
 * @len: bytes of @data, at most VFIOUSER_DATA_MAX
 *
 * Context: the thread that consumes; does not sleep.
 */
void ring_complete(struct ring *ring, uint32_t slot, uint32_t generation, int error,
		   const void *data, size_t len)
{
	struct vfiouser_slot *s;

	if (slot >= VFIOUSER_RING_SLOTS)
		return;
	s = &ring->map->slots[slot];
	s->error = error;
	if (data)
		memcpy(s->data, data, len < sizeof(s->data) ? len : sizeof(s->data));
	/* Pairs with the kernel's load-acquire of done before it reads error and data. */
	__atomic_store_n(&s->done, generation, __ATOMIC_RELEASE);
	/*
	 * Pairs with the kernel's full barrier between its store of sleeping and its last look at
	 * done: at least one of us sees the other's store.
	 */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (__atomic_load_n(&s->sleeping, __ATOMIC_RELAXED))
		ioctl(ring->fd, VFIOUSER_IOC_WAKE, (unsigned long)slot);
}

/**
 * ring_sleep() - announce that the helper is about to sleep in poll()
 * @ring: open
 *
 * Context: the thread that consumes; does not sleep itself. Ended by ring_awake().
 * Return: true if the caller may sleep; false if a request came first, and nothing was announced.
 */
bool ring_sleep(struct ring *ring)
{
	__atomic_store_n(&ring->map->helper_flags, VFIOUSER_HELPER_SLEEPING, __ATOMIC_RELAXED);
	/*
	 * Pairs with the kernel's full barrier between its store of tail and its load of
	 * helper_flags: either it sees the flag and wakes us, or we see the request.
	 */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!ring_peek(ring))
		return true;
	ring_awake(ring);
	return false;
}

/**
 * ring_awake() - no wakeups are needed any more
 * @ring: open
 *
 * Context: the thread that consumes; does not sleep.
 */
void ring_awake(struct ring *ring)
{
	__atomic_store_n(&ring->map->helper_flags, 0, __ATOMIC_RELAXED);
}

/**
 * ring_timeout_ms() - how long the server may take for an answer
 * @ring: open
 *
 * Context: any thread; does not sleep.
 * Return: milliseconds; 0: the module does not say.
 */
uint32_t ring_timeout_ms(const struct ring *ring)
{
	return __atomic_load_n(&ring->map->timeout_ms, __ATOMIC_RELAXED);
}

/**
 * ring_state() - where the device is in its life
 * @ring: open
 *
 * Context: any thread; does not sleep.
 * Return: enum vfiouser_state.
 */
uint32_t ring_state(const struct ring *ring)
{
	return __atomic_load_n(&ring->map->state, __ATOMIC_ACQUIRE);
}

static const char *const state_names[] = {
	[VFIOUSER_STATE_NONE]		= "none",
	[VFIOUSER_STATE_PROBING]	= "probing",
	[VFIOUSER_STATE_LIVE]		= "live",
	[VFIOUSER_STATE_LOST]		= "lost",
	[VFIOUSER_STATE_REMOVING]	= "removing",
	[VFIOUSER_STATE_GONE]		= "gone",
	[VFIOUSER_STATE_FROZEN]		= "frozen",
	[VFIOUSER_STATE_RESUMING]	= "resuming",
};

/**
 * ring_state_name() - enum vfiouser_state in words
 * @state: the state
 *
 * Context: any.
 * Return: a constant string, also for what is no state.
 */
const char *ring_state_name(uint32_t state)
{
	return state < ARRAY_SIZE(state_names) ? state_names[state] : "unknown";
}

/**
 * ring_state_of_name() - a word as enum vfiouser_state
 * @name: as in sysfs
 *
 * Context: any.
 * Return: the state; one that has no name where @name is none.
 */
uint32_t ring_state_of_name(const char *name)
{
	uint32_t state = 0;

	while (state < ARRAY_SIZE(state_names) && strcmp(state_names[state], name))
		state++;
	return state;
}

/**
 * ring_irqfd() - hook eventfds to interrupts of the device
 * @ring: open, with a device
 * @index: VFIO_PCI_*_IRQ_INDEX
 * @start: first vector
 * @count: number of vectors
 * @fds: one for each; -1 unhooks
 *
 * Context: may sleep.
 * Return: 0 or a negative errno.
 */
int ring_irqfd(struct ring *ring, uint32_t index, uint32_t start, uint32_t count, const int *fds)
{
	struct vfiouser_irqfd arg = {
		.index = index,
		.start = start,
		.count = count,
		.fds = (uintptr_t)fds,
	};

	return ioctl(ring->fd, VFIOUSER_IOC_IRQFD, &arg) < 0 ? -errno : 0;
}

/**
 * ring_ioeventfd() - let a write signal an eventfd, or not any more
 * @ring: open, with a device
 * @arg: which, and what
 *
 * Context: may sleep.
 * Return: 0 or a negative errno.
 */
int ring_ioeventfd(struct ring *ring, const struct vfiouser_ioeventfd *arg)
{
	return ioctl(ring->fd, VFIOUSER_IOC_IOEVENTFD, arg) < 0 ? -errno : 0;
}

/**
 * ring_ram() - get all memory of the host, for passthrough DMA
 * @ring: open, without a device
 * @arg: what for, and the result
 *
 * Context: may sleep.
 * Return: 0 or a negative errno, see VFIOUSER_IOC_RAM.
 */
int ring_ram(const struct ring *ring, struct vfiouser_ram *arg)
{
	return ioctl(ring->fd, VFIOUSER_IOC_RAM, arg) < 0 ? -errno : 0;
}

/**
 * ring_server() - another process is the server from now on
 * @ring: open, with a device
 * @pid: it
 *
 * Context: may sleep.
 * Return: 0 or a negative errno.
 */
int ring_server(const struct ring *ring, pid_t pid)
{
	return ioctl(ring->fd, VFIOUSER_IOC_SERVER, (unsigned long)pid) < 0 ? -errno : 0;
}

/**
 * ring_remove() - begin the orderly removal of the channel's device
 * @ring: open, with a device
 *
 * The drivers still need answers: go on serving until the state is VFIOUSER_STATE_GONE.
 *
 * Context: does not sleep.
 * Return: 0 or a negative errno.
 */
int ring_remove(struct ring *ring)
{
	return ioctl(ring->fd, VFIOUSER_IOC_REMOVE) < 0 ? -errno : 0;
}

/**
 * ring_pool() - the DMA pool of a device that was taken over
 * @ring: open, with a device
 *
 * Context: set-up.
 * Return: a descriptor of its file, or a negative errno.
 */
int ring_pool(struct ring *ring)
{
	int fd = ioctl(ring->fd, VFIOUSER_IOC_POOL);

	return fd < 0 ? -errno : fd;
}

/**
 * ring_replaced() - has another helper taken the device?
 * @ring: open, with a device
 *
 * Context: does not sleep.
 * Return: true if so; also once the device is gone.
 */
bool ring_replaced(const struct ring *ring)
{
	struct pollfd fd = { .fd = ring->fd };

	return poll(&fd, 1, 0) > 0 && fd.revents & POLLHUP;
}
