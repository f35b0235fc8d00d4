// SPDX-License-Identifier: GPL-2.0-only
/* The tables inside the engine, against simple models: pending requests, DMA windows, buffers. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "buffer.h"
#include "client.h"
#include "dma.h"
#include "pending.h"

static uint32_t chance(void)
{
	static uint64_t seed = 1;

	seed = seed * 6364136223846793005 + 1442695040888963407;
	return seed >> 33;
}

/* ---- pending ---- */

static void test_pending_ids(void **state)
{
	struct vfuc_request in = { .command = 9 }, out;
	struct vfuc_pending p;
	int id, old = -1;
	int i;

	(void)state;
	assert_int_equal(vfuc_pending_init(&p, 3), -EINVAL);
	assert_int_equal(vfuc_pending_init(&p, 1), -EINVAL);
	assert_int_equal(vfuc_pending_init(&p, 65536), -EINVAL);
	assert_int_equal(vfuc_pending_init(&p, 16), 0);
	for (i = 0; i < 100000; i++) {
		in.cookie = i;
		id = vfuc_pending_add(&p, &in);
		assert_true(id > 0 && id <= 0xffff);
		assert_int_not_equal(id, VFUC_ID_NO_REPLY);
		/* The reply to the request before is not this one's. */
		if (old >= 0) {
			assert_int_not_equal(id, old);
			assert_false(vfuc_pending_take(&p, old, &out));
		}
		assert_int_equal(p.waiting, 1);
		assert_true(vfuc_pending_take(&p, id, &out));
		assert_int_equal(out.cookie, i);
		assert_int_equal(out.state, VFUC_REQUEST_WAITING);
		assert_false(vfuc_pending_take(&p, id, &out));
		old = id;
	}
	for (i = 0; i < 65536; i++)
		assert_false(vfuc_pending_take(&p, i, &out));
	assert_int_equal(p.waiting, 0);
	vfuc_pending_free(&p);
}

static void test_pending_full(void **state)
{
	struct vfuc_request in = { 0 }, out;
	struct vfuc_pending p;
	int ids[32767];
	int i;

	(void)state;
	assert_int_equal(vfuc_pending_init(&p, 32768), 0);
	for (i = 0; i < 32767; i++) {
		ids[i] = vfuc_pending_add(&p, &in);
		assert_true(ids[i] > 0);
	}
	assert_int_equal(vfuc_pending_add(&p, &in), -EAGAIN);
	for (i = 0; i < 32767; i++)
		assert_true(vfuc_pending_take(&p, ids[i], &out));
	assert_true(vfuc_pending_add(&p, &in) > 0);
	assert_true(vfuc_pending_any(&p, &out));
	assert_false(vfuc_pending_any(&p, &out));
	vfuc_pending_free(&p);
}

/* Against an array that is searched. */
static void test_pending_model(void **state)
{
	struct {
		int id;
		uint64_t cookie, expires;
		int state;	/* 0: free, 1: waiting, 2: late */
		bool fds;
	} model[64] = { 0 };	/* the last is never in use */
	struct vfuc_request in, out;
	unsigned int waiting = 0, fds = 0, used = 0;
	struct vfuc_pending p;
	uint64_t now = 1000;
	int i, j;

	(void)state;
	assert_int_equal(vfuc_pending_init(&p, 64), 0);
	for (i = 0; i < 200000; i++) {
		uint64_t soonest = UINT64_MAX;
		int pick = chance() % 63;

		now += chance() % 4;
		switch (chance() % 8) {
		case 0 ... 3:
			memset(&in, 0, sizeof(in));
			in.cookie = i;
			in.deadline = chance() % 2;
			in.expires_ms = now + (in.deadline ? 300 : 100);
			in.wants_fds = chance() % 2;
			j = vfuc_pending_add(&p, &in);
			assert_int_equal(j < 0, used == 63);
			if (j < 0)
				break;
			for (pick = 0; model[pick].state; pick++)
				;
			model[pick].id = j;
			model[pick].cookie = i;
			model[pick].expires = in.expires_ms;
			model[pick].state = 1;
			model[pick].fds = in.wants_fds;
			waiting++;
			used++;
			fds += in.wants_fds;
			break;
		case 4 ... 6:
			if (!model[pick].state)
				break;
			assert_true(vfuc_pending_take(&p, model[pick].id, &out));
			assert_int_equal(out.cookie, model[pick].cookie);
			assert_int_equal(out.state, model[pick].state == 1 ? VFUC_REQUEST_WAITING :
					 VFUC_REQUEST_LATE);
			if (model[pick].state == 1) {
				waiting--;
				fds -= model[pick].fds;
			}
			model[pick].state = 0;
			used--;
			break;
		default:
			while (vfuc_pending_expire(&p, now, &out)) {
				for (j = 0; j < 63; j++)
					if (model[j].state == 1 && model[j].id == out.id)
						break;
				if (j == 63)
					fail();
				assert_true(model[j].expires <= now);
				model[j].state = 2;
				waiting--;
				fds -= model[j].fds;
			}
			for (j = 0; j < 63; j++)
				assert_false(model[j].state == 1 && model[j].expires <= now);
		}
		for (j = 0; j < 63; j++)
			if (model[j].state == 1 && model[j].expires < soonest)
				soonest = model[j].expires;
		assert_true(vfuc_pending_deadline(&p) == soonest);
		assert_int_equal(p.waiting, waiting);
		assert_int_equal(p.wanting_fds, fds);
	}
	vfuc_pending_free(&p);
}

/* ---- DMA windows, against a byte for each unit of address space ---- */

#define SPACE 64

static void test_dma_model(void **state)
{
	uint8_t window[SPACE] = { 0 };	/* number of the window, 0: none */
	uint32_t flags[256] = { 0 };
	struct vfuc_dma_table t = { 0 };
	uint64_t base = 0;
	int next;
	int i, j;

	(void)state;
	for (i = 0; i < 200000; i++) {
		struct vfuc_window w;
		unsigned int start = chance() % SPACE;
		unsigned int size = 1 + chance() % 8;
		bool fits = true, all = true;
		uint32_t want = 1 + chance() % 3;
		int err;

		/* Half of it at the end of the address space. */
		if (i == 100000) {
			vfuc_dma_free(&t);
			memset(window, 0, sizeof(window));
			base = -(uint64_t)SPACE;
		}
		if (start + size > SPACE)
			size = SPACE - start;
		w.iova = base + start;
		w.size = size;
		w.flags = want;
		switch (chance() % 3) {
		case 0:
			for (j = start; j < (int)(start + size); j++)
				fits &= !window[j];
			err = vfuc_dma_add(&t, &w);
			assert_int_equal(err, fits ? 0 : -EEXIST);
			if (err)
				break;
			for (next = 1; memchr(window, next, SPACE); next++)
				;
			memset(window + start, next, size);
			flags[next] = want;
			break;
		case 1:
			/* Exactly a window. */
			fits = window[start] && (!start || window[start - 1] != window[start]);
			for (j = start; j < (int)(start + size); j++)
				fits &= window[j] == window[start];
			fits &= start + size == SPACE || window[start + size] != window[start];
			j = vfuc_dma_find(&t, w.iova, size);
			assert_int_equal(j >= 0, fits);
			if (j < 0)
				break;
			vfuc_dma_remove(&t, j);
			memset(window + start, 0, size);
			break;
		default:
			for (j = start; j < (int)(start + size); j++)
				all &= window[j] && (flags[window[j]] & want) == want;
			assert_int_equal(vfuc_dma_allowed(&t, w.iova, size, want), all);
		}
	}
	vfuc_dma_free(&t);
}

static void test_dma_edges(void **state)
{
	struct vfuc_window last = { UINT64_MAX - 0xfff, 0x1000, 3 };
	struct vfuc_window all = { 0, UINT64_MAX, 3 };
	struct vfuc_window wraps = { UINT64_MAX - 0xfff, 0x1001, 3 };
	struct vfuc_window none = { 0x1000, 0, 3 };
	struct vfuc_dma_table t = { 0 };

	(void)state;
	assert_int_equal(vfuc_dma_add(&t, &none), -EINVAL);
	assert_int_equal(vfuc_dma_add(&t, &wraps), -EINVAL);
	assert_int_equal(vfuc_dma_add(&t, &last), 0);
	assert_int_equal(vfuc_dma_add(&t, &all), -EEXIST);
	assert_true(vfuc_dma_allowed(&t, UINT64_MAX, 1, 3));
	assert_true(vfuc_dma_allowed(&t, UINT64_MAX - 0xfff, 0x1000, 3));
	assert_false(vfuc_dma_allowed(&t, UINT64_MAX - 0xfff, 0x1001, 3));
	assert_false(vfuc_dma_allowed(&t, UINT64_MAX, UINT64_MAX, 3));
	assert_false(vfuc_dma_allowed(&t, 0, UINT64_MAX, 3));
	vfuc_dma_remove(&t, 0);
	assert_int_equal(vfuc_dma_add(&t, &all), 0);
	assert_true(vfuc_dma_allowed(&t, 0, UINT64_MAX, 3));
	assert_false(vfuc_dma_allowed(&t, 1, UINT64_MAX, 3));
	vfuc_dma_free(&t);
}

/* ---- buffers ---- */

static void test_buffers(void **state)
{
	struct vfuc_buf *a, *b;
	struct vfuc_pool pool = { 0 };
	struct vfuc_buf *many[1000];
	int i;

	(void)state;
	a = vfuc_pool_get(&pool, 0);
	assert_int_equal(a->capacity, 512);
	memset(a->data, 1, a->capacity);
	a->len = 7;
	a->kind = VFUC_BUF_REPLY;
	vfuc_pool_put(&pool, a);
	/* The same again, and clean. */
	b = vfuc_pool_get(&pool, 512);
	assert_ptr_equal(a, b);
	assert_int_equal(b->len, 0);
	assert_int_equal(b->kind, VFUC_BUF_PLAIN);
	a = vfuc_pool_get(&pool, 513);
	assert_int_equal(a->capacity, 1024);
	vfuc_pool_put(&pool, a);
	vfuc_pool_put(&pool, b);
	vfuc_pool_put(&pool, NULL);
	a = vfuc_pool_get(&pool, 32 << 20);
	assert_non_null(a);
	a->data[(32 << 20) - 1] = 1;
	vfuc_pool_put(&pool, a);
	assert_null(vfuc_pool_get(&pool, (32 << 20) + 1));
	assert_null(vfuc_pool_get(&pool, SIZE_MAX));
	/* What is kept has a bound. */
	for (i = 0; i < 1000; i++)
		many[i] = vfuc_pool_get(&pool, 100);
	for (i = 0; i < 1000; i++)
		vfuc_pool_put(&pool, many[i]);
	assert_true(pool.nr_free[0] < 1000);
	vfuc_pool_free(&pool);
}

static void test_names(void **state)
{
	struct vfuc_error error;
	int i;

	(void)state;
	for (i = VFUC_OK; i <= VFUC_SYSTEM; i++)
		assert_string_not_equal(vfuc_error_kind_name(i), "unknown");
	assert_string_equal(vfuc_error_kind_name(VFUC_SYSTEM + 1), "unknown");
	assert_string_equal(vfuc_error_kind_name(-1), "unknown");
	assert_int_equal(vfuc_error_set(NULL, VFUC_SYSTEM, -EIO, "x"), -EIO);
	assert_int_equal(vfuc_error_set(&error, VFUC_SYSTEM, -EIO, "%300d", 1), -EIO);
	assert_int_equal(strlen(error.message), sizeof(error.message) - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pending_ids),
		cmocka_unit_test(test_pending_full),
		cmocka_unit_test(test_pending_model),
		cmocka_unit_test(test_dma_model),
		cmocka_unit_test(test_dma_edges),
		cmocka_unit_test(test_buffers),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests_name("engine_tables", tests, NULL, NULL);
}
