// SPDX-License-Identifier: GPL-2.0-only
/*
 * helper/ring.c against a kernel's side that is a thread here. ioctl() is ours (--wrap).
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../helper/ring.h"

#define FD		77
#define REQUESTS	20000

static unsigned int wakes[VFIOUSER_RING_SLOTS];
static struct vfiouser_irqfd irqfd;
static sem_t slot_sem[VFIOUSER_RING_SLOTS];

int __wrap_ioctl(int fd, unsigned long request, unsigned long arg)
{
	if (fd != FD) {
		errno = EBADF;
		return -1;
	}
	if (request == VFIOUSER_IOC_WAKE && arg < VFIOUSER_RING_SLOTS) {
		wakes[arg]++;
		sem_post(&slot_sem[arg]);
		return 0;
	}
	if (request == VFIOUSER_IOC_IRQFD) {
		memcpy(&irqfd, (void *)arg, sizeof(irqfd));
		errno = EBUSY;
		return irqfd.index == 4 ? -1 : 0;
	}
	errno = ENOTTY;
	return -1;
}

static int setup(void **state)
{
	struct ring *ring = calloc(1, sizeof(*ring));
	unsigned int i;

	ring->fd = FD;
	ring->map = aligned_alloc(4096, (sizeof(*ring->map) + 4095) & ~4095ul);
	memset(ring->map, 0, sizeof(*ring->map));
	memset(wakes, 0, sizeof(wakes));
	for (i = 0; i < VFIOUSER_RING_SLOTS; i++)
		sem_init(&slot_sem[i], 0, 0);
	*state = ring;
	return 0;
}

static int teardown(void **state)
{
	struct ring *ring = *state;

	free(ring->map);
	free(ring);
	return 0;
}

static void produce(struct ring *ring, uint64_t value)
{
	uint32_t tail = ring->map->tail;

	ring->map->requests[tail % VFIOUSER_RING_ENTRIES].offset = value;
	__atomic_store_n(&ring->map->tail, tail + 1, __ATOMIC_RELEASE);
}

/* The layout is an interface: these numbers are in the kernel module, too. */
static void test_layout(void **state)
{
	(void)state;
	assert_int_equal(sizeof(struct vfiouser_request), 128);
	assert_int_equal(sizeof(struct vfiouser_slot), 128);
	assert_int_equal(offsetof(struct vfiouser_ring, head), 128);
	assert_int_equal(offsetof(struct vfiouser_ring, requests), 4096);
	assert_int_equal(VFIOUSER_RING_BYTES, 4096 + (256 + 128) * 128);
}

static void test_order_and_wrap(void **state)
{
	struct ring *ring = *state;
	const struct vfiouser_request *req;
	unsigned int i;

	/* The counts wrap around as well. */
	ring->map->head = UINT32_MAX - 2;
	ring->map->tail = UINT32_MAX - 2;
	ring->head = UINT32_MAX - 2;
	assert_null(ring_peek(ring));
	for (i = 0; i < VFIOUSER_RING_ENTRIES; i++)
		produce(ring, i);
	for (i = 0; i < VFIOUSER_RING_ENTRIES; i++) {
		req = ring_peek(ring);
		assert_non_null(req);
		assert_ptr_equal(req, ring_peek(ring));
		assert_int_equal(req->offset, i);
		assert_int_equal(ring_count(ring), VFIOUSER_RING_ENTRIES - i);
		ring_advance(ring);
		assert_int_equal(ring->map->head, (uint32_t)(UINT32_MAX - 2 + i + 1));
	}
	assert_null(ring_peek(ring));
	assert_int_equal(ring_count(ring), 0);
}

static void test_complete(void **state)
{
	struct ring *ring = *state;
	struct vfiouser_slot *slot = &ring->map->slots[5];
	uint8_t data[2 * VFIOUSER_DATA_MAX];

	memset(data, 0xa5, sizeof(data));
	ring_complete(ring, 5, 9, 0, data, 4);
	assert_int_equal(slot->done, 9);
	assert_int_equal(slot->error, 0);
	assert_memory_equal(slot->data, data, 4);
	assert_int_equal(slot->data[4], 0);
	assert_int_equal(wakes[5], 0);

	slot->sleeping = 1;
	ring_complete(ring, 5, 10, -EIO, NULL, 0);
	assert_int_equal(slot->done, 10);
	assert_int_equal(slot->error, -EIO);
	assert_int_equal(wakes[5], 1);

	/* Neither too much data nor a slot that does not exist goes anywhere. */
	ring_complete(ring, 5, 11, 0, data, sizeof(data));
	assert_memory_equal(slot->data, data, VFIOUSER_DATA_MAX);
	assert_int_equal(slot->pad[0], 0);
	ring_complete(ring, VFIOUSER_RING_SLOTS, 12, 0, data, 4);
	ring_complete(ring, UINT32_MAX, 12, 0, data, 4);
}

static void test_sleep(void **state)
{
	struct ring *ring = *state;

	assert_true(ring_sleep(ring));
	assert_int_equal(ring->map->helper_flags, VFIOUSER_HELPER_SLEEPING);
	ring_awake(ring);
	assert_int_equal(ring->map->helper_flags, 0);
	produce(ring, 1);
	assert_false(ring_sleep(ring));
	assert_int_equal(ring->map->helper_flags, 0);
}

static void test_irqfd(void **state)
{
	struct ring *ring = *state;
	int fds[2] = { 3, -1 };

	assert_int_equal(ring_irqfd(ring, 2, 7, 2, fds), 0);
	assert_int_equal(irqfd.index, 2);
	assert_int_equal(irqfd.start, 7);
	assert_int_equal(irqfd.count, 2);
	assert_int_equal(irqfd.reserved, 0);
	assert_ptr_equal((void *)(uintptr_t)irqfd.fds, fds);
	assert_int_equal(ring_irqfd(ring, 4, 0, 1, fds), -EBUSY);
}

static void test_state_names(void **state)
{
	(void)state;
	assert_string_equal(ring_state_name(VFIOUSER_STATE_LIVE), "live");
	assert_string_equal(ring_state_name(VFIOUSER_STATE_GONE), "gone");
	assert_string_equal(ring_state_name(1000), "unknown");
}

/*
 * The kernel's side: one request at a time, waits for its answer first spinning, then asleep, and
 * wakes the helper only where it says that it sleeps. A lost wakeup hangs the test.
 */
struct kernel {
	struct ring *ring;
	sem_t helper_sem;
	unsigned int bad;
};

static void *kernel_thread(void *arg)
{
	struct kernel *k = arg;
	struct vfiouser_ring *map = k->ring->map;
	struct vfiouser_request *req;
	struct vfiouser_slot *slot;
	uint32_t i, spins, answer;

	for (i = 1; i <= REQUESTS; i++) {
		req = &map->requests[map->tail % VFIOUSER_RING_ENTRIES];
		slot = &map->slots[i % VFIOUSER_RING_SLOTS];
		req->slot = i % VFIOUSER_RING_SLOTS;
		req->generation = i;
		req->offset = i * 3;
		__atomic_store_n(&map->tail, map->tail + 1, __ATOMIC_RELEASE);
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		if (__atomic_load_n(&map->helper_flags, __ATOMIC_RELAXED) &
		    VFIOUSER_HELPER_SLEEPING)
			sem_post(&k->helper_sem);
		for (spins = i % 100; spins; spins--)
			if (__atomic_load_n(&slot->done, __ATOMIC_ACQUIRE) == i)
				break;
		while (__atomic_load_n(&slot->done, __ATOMIC_ACQUIRE) != i) {
			__atomic_store_n(&slot->sleeping, 1, __ATOMIC_RELAXED);
			__atomic_thread_fence(__ATOMIC_SEQ_CST);
			if (__atomic_load_n(&slot->done, __ATOMIC_ACQUIRE) != i)
				sem_wait(&slot_sem[req->slot]);
			__atomic_store_n(&slot->sleeping, 0, __ATOMIC_RELAXED);
		}
		memcpy(&answer, slot->data, sizeof(answer));
		k->bad += answer != i * 3 + 1;
	}
	return NULL;
}

static void test_no_wakeup_is_lost(void **state)
{
	struct ring *ring = *state;
	struct kernel k = { .ring = ring };
	const struct vfiouser_request *req;
	uint32_t answer, n = 0, spins = 0;
	pthread_t thread;

	sem_init(&k.helper_sem, 0, 0);
	assert_int_equal(pthread_create(&thread, NULL, kernel_thread, &k), 0);
	while (n < REQUESTS) {
		req = ring_peek(ring);
		if (!req) {
			if (spins++ < n % 50)
				continue;
			spins = 0;
			if (ring_sleep(ring)) {
				sem_wait(&k.helper_sem);
				ring_awake(ring);
			}
			continue;
		}
		answer = req->offset + 1;
		ring_complete(ring, req->slot, req->generation, 0, &answer, sizeof(answer));
		ring_advance(ring);
		n++;
	}
	pthread_join(thread, NULL);
	assert_int_equal(k.bad, 0);
	assert_int_equal(ring->map->head, REQUESTS);
}

#define TEST(name)	cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_layout),
		TEST(test_order_and_wrap),
		TEST(test_complete),
		TEST(test_sleep),
		TEST(test_irqfd),
		TEST(test_state_names),
		TEST(test_no_wakeup_is_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
