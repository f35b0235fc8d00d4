// SPDX-License-Identifier: GPL-2.0-only
/*
 * vfiouser-nvme and its disks: what it promises of what was written, what goes on while a disk
 * takes its time, and what happens to that when the driver resets the controller or goes away.
 *
 * The server has faults below its disks (selftests/servers/disk_fault.c). A disk that takes its
 * time waits for us to open a FIFO, so that nothing here depends on how long anything takes.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "nvme_client.h"

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#define ARGS(...)	((const char *const[]){ __VA_ARGS__, NULL })

#define SIZE		(4u << 20)
#define DNR		0x4000		/* in a status, beside the 11 bits of type and code */

enum { FLUSH, WRITE, READ, COMPARE = 5, ZEROES = 8, DSM, VERIFY = 12 };

static char dir[] = "/tmp/nvme-disk-test.XXXXXX";
static char socket_path[64], image_path[64], other_path[64], fifo_path[64];
static char file_arg[80], other_arg[80], wait_arg[3][96];

static pid_t running;

struct rig {
	struct mc_server s;
	struct nc n;
};

static void make_image(const char *path, size_t size)
{
	int fd = open(path, O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	close(fd);
}

static void serve(struct mc_server *s, const char *const extra[])
{
	char sock[80];
	char *args[30] = { sock };
	int i;

	snprintf(sock, sizeof(sock), "--socket-path=%s", socket_path);
	for (i = 0; extra[i]; i++)
		args[i + 1] = (char *)extra[i];
	memcpy(s->path, socket_path, sizeof(s->path));
	assert_int_equal(mc_spawn(s, SERVER, -1, args), 0);
	running = s->pid;
}

static void stop(struct mc_server *s, int status)
{
	assert_int_equal(mc_stop(s), status);
	running = 0;
}

static void attach(struct rig *r)
{
	nc_memory(&r->n);
	assert_int_equal(nc_attach(&r->n, socket_path, NC_MEM_FD), 0);
	assert_int_equal(nc_enable(&r->n), 0);
	assert_int_equal(nc_create_queues(&r->n, 1, 1), 0);
	assert_int_equal(nc_create_queues(&r->n, 2, 2), 0);
}

static void begin(struct rig *r, const char *const extra[])
{
	memset(r, 0, sizeof(*r));
	make_image(image_path, SIZE);
	serve(&r->s, extra);
	attach(r);
}

static void end(struct rig *r, int status)
{
	nc_free(&r->n);
	stop(&r->s, status);
}

static struct nc_cmd command(uint8_t opcode, uint32_t nsid, uint64_t slba, uint32_t blocks)
{
	return (struct nc_cmd){ .opcode = opcode, .nsid = nsid, .prp1 = NC_IOVA + NC_DATA,
				.dw = { (uint32_t)slba, slba >> 32, blocks ? blocks - 1 : 0 } };
}

/* Status with the do-not-retry bit. */
static int run(struct nc *n, unsigned int qid, struct nc_cmd cmd)
{
	struct nc_cqe cqe;

	assert_int_equal(nc_submit(n, qid, &cmd), 0);
	assert_int_equal(nc_poll(n, qid, &cqe, MC_TIMEOUT_MS), 0);
	assert_int_equal(cqe.cid, cmd.cid);
	return cqe.status >> 1 & (0x7ff | DNR);
}

static int io(struct nc *n, uint8_t opcode, uint64_t slba, uint32_t blocks)
{
	return run(n, 1, command(opcode, 1, slba, blocks));
}

static int flush(struct nc *n)
{
	return run(n, 1, (struct nc_cmd){ .opcode = FLUSH, .nsid = 1 });
}

static uint8_t critical_warning(struct nc *n)
{
	struct nc_cmd cmd = { .opcode = 2, .prp1 = NC_IOVA + NC_DATA, .dw = { 127 << 16 | 2 } };

	assert_int_equal(run(n, 0, cmd), 0);
	return n->mem[NC_DATA];
}

/* Whoever waits for the FIFO goes on. Blocks until somebody does. */
static void release(void)
{
	int fd = open(fifo_path, O_WRONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	close(fd);
}

static bool answered(struct nc *n)
{
	struct pollfd p = { .fd = n->mc.fd, .events = POLLIN };

	return poll(&p, 1, 50) == 1;
}

/* Nothing is written any more, and no later flush says that all is well. */
static void assert_lost(struct rig *r)
{
	struct nc_cmd cmd = command(WRITE, 1, 8, 1);
	unsigned int i;

	for (i = 0; i < 3; i++)
		assert_int_equal(flush(&r->n), 0x280 | DNR);
	assert_int_equal(io(&r->n, WRITE, 0, 1), 0x280 | DNR);
	cmd.dw[2] |= 1u << 30;
	assert_int_equal(run(&r->n, 2, cmd), 0x280 | DNR);
	assert_int_equal(io(&r->n, ZEROES, 0, 1), 0x280 | DNR);
	/* not reliable, read-only */
	assert_int_equal(critical_warning(&r->n), 0x0c);
}

/* ---- what was promised ------------------------------------------------------------------- */

static void test_flush_fails(void **state)
{
	struct nc_cmd cmd, events = { .opcode = 9, .dw = { 11, 0x1f } }, aer = { .opcode = 12 };
	struct nc_cqe cqe;
	struct rig r;

	(void)state;
	begin(&r, ARGS(file_arg, "--disk-fault=flush:eio:once"));
	assert_int_equal(run(&r.n, 0, events), 0);
	assert_int_equal(nc_submit(&r.n, 0, &aer), 0);
	assert_int_equal(io(&r.n, WRITE, 0, 8), 0);
	assert_int_equal(flush(&r.n), 0x280 | DNR);
	/* SMART event: reliability */
	assert_int_equal(nc_poll(&r.n, 0, &cqe, MC_TIMEOUT_MS), 0);
	assert_int_equal(cqe.cid, aer.cid);
	assert_int_equal(cqe.result, 0x020001);
	assert_lost(&r);
	/* what is there can be read */
	assert_int_equal(io(&r.n, READ, 0, 8), 0);
	/* a reset does not bring it back */
	assert_int_equal(mc_request(&r.n.mc, VFIO_USER_DEVICE_RESET, NULL, 0, NULL, 0), 0);
	assert_int_equal(nc_enable(&r.n), 0);
	assert_int_equal(nc_create_queues(&r.n, 1, 1), 0);
	cmd = (struct nc_cmd){ .opcode = FLUSH, .nsid = 0xffffffff };
	assert_int_equal(run(&r.n, 1, cmd), 0x280 | DNR);
	end(&r, 1);
}

/* The error may be that of bytes that another command wrote. */
static void test_durable_fails(void **state)
{
	struct nc_cmd cmd;
	unsigned int i;
	struct rig r;

	(void)state;
	for (i = 0; i < 5; i++) {
		const char *const args[] = { file_arg, "--disk-fault=flush:eio:once",
			i == 4 ? "--cache=writethrough" : i == 3 ? "--io=threads" : "--io=auto",
			NULL };

		begin(&r, args);
		if (i < 4)
			assert_int_equal(io(&r.n, WRITE, 64, 8), 0);
		cmd = command(WRITE, 1, 0, 1);
		/* forced unit access, of a write and of zeros; no write cache */
		if (i == 1)
			cmd.opcode = ZEROES;
		if (i == 0 || i == 1 || i == 3)
			cmd.dw[2] |= 1u << 30;
		if (i == 2)
			assert_int_equal(run(&r.n, 0, (struct nc_cmd){ .opcode = 9, .dw = { 6 } }),
					 0x280 | DNR);
		else
			assert_int_equal(run(&r.n, 1, cmd), 0x280 | DNR);
		assert_lost(&r);
		end(&r, 1);
	}
}

static void test_write_fails(void **state)
{
	struct rig r;

	(void)state;
	/* nobody was promised anything: this command fails, and the disk goes on */
	begin(&r, ARGS(file_arg, "--io=threads", "--disk-fault=write:enospc:once"));
	assert_int_equal(io(&r.n, WRITE, 0, 8), 0x81 | DNR);
	assert_int_equal(io(&r.n, WRITE, 0, 8), 0);
	assert_int_equal(flush(&r.n), 0);
	end(&r, 0);
	begin(&r, ARGS(file_arg, "--io=threads", "--disk-fault=write:eio:once",
		       "--disk-fault=read:eio:once", "--disk-fault=erase:enospc:once"));
	assert_int_equal(io(&r.n, WRITE, 0, 8), 0x280 | DNR);
	assert_int_equal(io(&r.n, READ, 0, 8), 0x281);
	assert_int_equal(io(&r.n, ZEROES, 0, 8), 0x81 | DNR);
	assert_int_equal(io(&r.n, READ, 0, 8), 0);
	assert_int_equal(flush(&r.n), 0);
	assert_int_equal(critical_warning(&r.n), 0);
	end(&r, 0);
}

static void test_truncated(void **state)
{
	unsigned int i;
	struct rig r;

	(void)state;
	for (i = 0; i < 3; i++) {
		begin(&r, ARGS(file_arg, i == 1 ? "--io=threads" : "--io=auto"));
		memset(r.n.mem + NC_DATA, 0x55, 4096);
		assert_int_equal(io(&r.n, WRITE, (SIZE >> 9) - 8, 8), 0);
		assert_int_equal(truncate(image_path, SIZE / 2), 0);
		/* what is gone is no zeros, and a flush does not say that it is there */
		if (i < 2)
			assert_int_equal(io(&r.n, READ, (SIZE >> 9) - 8, 8), 0x281);
		assert_lost(&r);
		assert_int_equal(io(&r.n, READ, 0, 8), 0);
		end(&r, 1);
	}
}

static void test_unsafe(void **state)
{
	struct rig r;

	(void)state;
	begin(&r, ARGS(file_arg, "--cache=unsafe", "--disk-fault=flush:eio"));
	assert_int_equal(io(&r.n, WRITE, 0, 8), 0);
	assert_int_equal(flush(&r.n), 0);
	end(&r, 0);
}

/* It cannot start, or runs until it is stopped. */
static void second_server(const char *const extra[], bool runs)
{
	char sock[80];
	char *args[8] = { sock };
	struct mc_server s = { 0 };
	int i;

	snprintf(sock, sizeof(sock), "--socket-path=%s/second", dir);
	for (i = 0; extra[i]; i++)
		args[i + 1] = (char *)extra[i];
	if (runs)
		snprintf(s.path, sizeof(s.path), "%s/second", dir);
	assert_int_equal(mc_spawn(&s, SERVER, -1, args), 0);
	assert_int_equal(runs ? mc_stop(&s) : mc_wait_exit(s.pid), runs ? 0 : 1);
}

static void test_lock(void **state)
{
	struct mc_server s;

	(void)state;
	make_image(image_path, SIZE);
	serve(&s, ARGS(file_arg));
	second_server(ARGS(file_arg), false);
	second_server(ARGS(file_arg, "--read-only"), false);
	stop(&s, 0);
	serve(&s, ARGS(file_arg, "--readonly"));
	second_server(ARGS(file_arg), false);
	/* several may read */
	second_server(ARGS(file_arg, "--read-only"), true);
	stop(&s, 0);
	serve(&s, ARGS(file_arg));
	stop(&s, 0);
}

/* ---- a disk that takes its time ---------------------------------------------------------- */

/* Registers, other commands and other queues do not wait for a flush, or for zeros. */
static void test_slow(void **state)
{
	struct nc_cmd slow, cmd;
	struct nc_cqe cqe;
	unsigned int i, k;
	struct rig r;

	(void)state;
	for (k = 0; k < 2; k++) {
		begin(&r, ARGS(file_arg, wait_arg[k ? 2 : 1]));
		slow = command(k ? ZEROES : FLUSH, 1, 512, 8);
		assert_int_equal(nc_submit(&r.n, 1, &slow), 0);
		for (i = 0; i < 50; i++) {
			assert_int_equal(nc_reg(&r.n, 0x1c), 1);
			memset(r.n.mem + NC_DATA, (int)i, 4096);
			/* out of order, in the same queue and in another */
			cmd = command(WRITE, 1, i * 8, 8);
			assert_int_equal(nc_submit(&r.n, 1 + i % 2, &cmd), 0);
			assert_int_equal(nc_poll(&r.n, 1 + i % 2, &cqe, MC_TIMEOUT_MS), 0);
			assert_int_equal(cqe.cid, cmd.cid);
			assert_int_equal(cqe.status >> 1, 0);
			assert_int_equal(run(&r.n, 1 + i % 2, command(READ, 1, i * 8, 8)), 0);
		}
		release();
		assert_int_equal(nc_poll(&r.n, 1, &cqe, MC_TIMEOUT_MS), 0);
		assert_int_equal(cqe.cid, slow.cid);
		assert_int_equal(cqe.status >> 1, 0);
		end(&r, 0);
	}
}

/* A read that is with the kernel may still write to our memory. */
static void begin_reading(struct rig *r, struct nc_cmd *cmd)
{
	begin(r, ARGS(file_arg, "--io=threads", wait_arg[0]));
	memset(r->n.mem + NC_DATA, 0xee, 4096);
	*cmd = command(READ, 1, 0, 8);
	assert_int_equal(nc_submit(&r->n, 1, cmd), 0);
	/* seen by the server, since the command behind it is done */
	assert_int_equal(run(&r->n, 1, (struct nc_cmd){ .opcode = FLUSH, .nsid = 1 }), 0);
}

/* Nothing of ours is written to, and the controller works. */
static void assert_quiet(struct rig *r)
{
	unsigned int i;

	memset(r->n.mem, 0xdd, NC_SIZE);
	for (i = 0; i < 20; i++)
		nc_reg(&r->n, 0x1c);
	usleep(20000);
	for (i = 0; i < NC_SIZE; i++)
		assert_int_equal(r->n.mem[i], 0xdd);
}

static void test_reset_waits(void **state)
{
	struct vfio_user_hdr h = { .cmd = VFIO_USER_DEVICE_RESET, .size = sizeof(h) };
	struct nc_cmd cmd;
	struct rig r;

	(void)state;
	begin_reading(&r, &cmd);
	h.id = 0x7777;
	assert_int_equal(mc_send(&r.n.mc, &h, NULL, 0, NULL, 0), 0);
	assert_false(answered(&r.n));
	release();
	assert_int_equal(mc_receive(&r.n.mc), 0);
	assert_int_equal(r.n.mc.hdr.id, 0x7777);
	assert_quiet(&r);
	assert_int_equal(nc_enable(&r.n), 0);
	assert_int_equal(nc_create_queues(&r.n, 1, 1), 0);
	assert_int_equal(io(&r.n, READ, 0, 8), 0);
	end(&r, 0);
}

static void test_unmap_waits(void **state)
{
	struct vfio_user_dma_unmap u = { .argsz = sizeof(u), .addr = NC_IOVA, .size = NC_SIZE };
	struct vfio_user_hdr h = { .cmd = VFIO_USER_DMA_UNMAP, .size = sizeof(h) + sizeof(u) };
	struct nc_cmd cmd;
	struct rig r;

	(void)state;
	begin_reading(&r, &cmd);
	h.id = 0x7778;
	assert_int_equal(mc_send(&r.n.mc, &h, &u, sizeof(u), NULL, 0), 0);
	assert_false(answered(&r.n));
	release();
	assert_int_equal(mc_receive(&r.n.mc), 0);
	assert_int_equal(r.n.mc.hdr.id, 0x7778);
	assert_quiet(&r);
	end(&r, 0);
}

static void test_disconnect_waits(void **state)
{
	struct nc_cmd cmd;
	struct rig r;

	(void)state;
	begin_reading(&r, &cmd);
	nc_detach(&r.n);
	release();
	assert_int_equal(nc_attach(&r.n, socket_path, NC_MEM_FD), 0);
	assert_quiet(&r);
	assert_int_equal(nc_enable(&r.n), 0);
	assert_int_equal(nc_create_queues(&r.n, 1, 1), 0);
	assert_int_equal(io(&r.n, READ, 0, 8), 0);
	end(&r, 0);
}

/* Registers are answered meanwhile, and CSTS.RDY says when it is over. */
static void test_disable_waits(void **state)
{
	uint32_t off = 0x460000;
	struct nc_cmd cmd;
	unsigned int i;
	struct rig r;

	(void)state;
	begin_reading(&r, &cmd);
	assert_int_equal(mc_write(&r.n.mc, 0, 0x14, &off, 4), 0);
	for (i = 0; i < 50; i++)
		assert_int_equal(nc_reg(&r.n, 0x1c), 1);
	release();
	assert_int_equal(nc_wait_ready(&r.n, 1, 0), 0);
	assert_quiet(&r);
	assert_int_equal(nc_enable(&r.n), 0);
	assert_int_equal(nc_create_queues(&r.n, 1, 1), 0);
	assert_int_equal(io(&r.n, READ, 0, 8), 0);
	end(&r, 0);
}

static void test_delete_waits(void **state)
{
	struct nc_cmd cmd, del = { .opcode = 0, .dw = { 1 } };
	struct nc_cqe cqe;
	struct rig r;

	(void)state;
	begin_reading(&r, &cmd);
	assert_int_equal(nc_submit(&r.n, 0, &del), 0);
	assert_int_equal(nc_poll(&r.n, 0, &cqe, 50), -ETIMEDOUT);
	/* a second one is wrong, and other queues go on */
	assert_int_equal(run(&r.n, 0, del), 0x101 | DNR);
	assert_int_equal(run(&r.n, 2, command(WRITE, 1, 0, 8)), 0);
	release();
	assert_int_equal(nc_poll(&r.n, 1, &cqe, MC_TIMEOUT_MS), 0);
	assert_int_equal(cqe.cid, cmd.cid);
	assert_int_equal(nc_poll(&r.n, 0, &cqe, MC_TIMEOUT_MS), 0);
	assert_int_equal(cqe.status >> 1, 0);
	end(&r, 0);
	/* or a reset comes before its end */
	begin_reading(&r, &cmd);
	assert_int_equal(nc_submit(&r.n, 0, &del), 0);
	assert_int_equal(nc_poll(&r.n, 0, &cqe, 50), -ETIMEDOUT);
	release();
	assert_int_equal(mc_request(&r.n.mc, VFIO_USER_DEVICE_RESET, NULL, 0, NULL, 0), 0);
	assert_int_equal(nc_enable(&r.n), 0);
	assert_int_equal(nc_create_queues(&r.n, 1, 1), 0);
	assert_int_equal(io(&r.n, READ, 0, 8), 0);
	end(&r, 0);
}

/* A flush has none of our memory: neither a reset nor a client that goes has to wait for it. */
static void test_flush_is_left(void **state)
{
	struct nc_cmd cmd = { .opcode = FLUSH, .nsid = 1 };
	unsigned int i;
	struct rig r;

	(void)state;
	for (i = 0; i < 3; i++) {
		uint32_t off = 0x460000;

		begin(&r, ARGS(file_arg, wait_arg[1]));
		assert_int_equal(nc_submit(&r.n, 1, &cmd), 0);
		assert_int_equal(run(&r.n, 1, command(WRITE, 1, 0, 1)), 0);
		if (i == 0) {
			assert_int_equal(mc_request(&r.n.mc, VFIO_USER_DEVICE_RESET, NULL, 0, NULL,
						    0), 0);
		} else if (i == 1) {
			assert_int_equal(mc_write(&r.n.mc, 0, 0x14, &off, 4), 0);
			assert_int_equal(nc_wait_ready(&r.n, 1, 0), 0);
		} else {
			nc_detach(&r.n);
			assert_int_equal(nc_attach(&r.n, socket_path, NC_MEM_FD), 0);
		}
		assert_int_equal(nc_enable(&r.n), 0);
		assert_int_equal(nc_create_queues(&r.n, 1, 1), 0);
		assert_int_equal(nc_create_queues(&r.n, 2, 2), 0);
		release();
		/* its end is no completion of ours */
		assert_int_equal(flush(&r.n), 0);
		assert_int_equal(io(&r.n, READ, 0, 8), 0);
		end(&r, 0);
	}
}

static void test_shutdown(void **state)
{
	uint32_t shutdown = 0x464001, off = 0x460000;
	unsigned int i;
	struct rig r;

	(void)state;
	begin(&r, ARGS(file_arg, wait_arg[1]));
	assert_int_equal(io(&r.n, WRITE, 0, 1), 0);
	assert_int_equal(mc_write(&r.n.mc, 0, 0x14, &shutdown, 4), 0);
	for (i = 0; i < 20; i++)
		assert_int_equal(nc_reg(&r.n, 0x1c) & 0xc, 4);
	/* the driver does not wait, and shuts down again */
	assert_int_equal(mc_write(&r.n.mc, 0, 0x14, &off, 4), 0);
	assert_int_equal(nc_wait_ready(&r.n, 0xf, 0), 0);
	assert_int_equal(nc_enable(&r.n), 0);
	assert_int_equal(mc_write(&r.n.mc, 0, 0x14, &shutdown, 4), 0);
	assert_int_equal(nc_reg(&r.n, 0x1c) & 0xc, 4);
	release();
	assert_int_equal(nc_wait_ready(&r.n, 0xc, 8), 0);
	end(&r, 0);
}

/* More commands than the server executes at one time, and than there are threads. */
static void test_many(void **state)
{
	struct nc_cmd cmd[NC_DEPTH - 1];
	bool seen[NC_DEPTH - 1];
	unsigned int i, k, round;
	struct nc_cqe cqe;
	struct rig r;

	(void)state;
	for (round = 0; round < 40; round++) {
		if (round % 20 == 0)
			begin(&r, ARGS(file_arg, round ? "--io=threads" : "--io=auto"));
		memset(seen, 0, sizeof(seen));
		for (i = 0; i < ARRAY_SIZE(cmd); i++) {
			memset(r.n.mem + NC_DATA + i * 4096, (int)(i + round), 4096);
			cmd[i] = command(round % 2 ? READ : WRITE, 1, i * 8, 8);
			cmd[i].prp1 += i * 4096;
			assert_int_equal(nc_submit(&r.n, 1, &cmd[i]), 0);
		}
		for (i = 0; i < ARRAY_SIZE(cmd); i++) {
			assert_int_equal(nc_poll(&r.n, 1, &cqe, MC_TIMEOUT_MS), 0);
			assert_int_equal(cqe.status >> 1, 0);
			for (k = 0; k < ARRAY_SIZE(cmd) && cmd[k].cid != cqe.cid; k++)
				;
			assert_true(k < ARRAY_SIZE(cmd) && !seen[k]);
			seen[k] = true;
		}
		for (i = 0; round % 2 && i < ARRAY_SIZE(cmd); i++)
			assert_int_equal(r.n.mem[NC_DATA + i * 4096 + 4095], i + round - 1);
		if (round % 20 == 19)
			end(&r, 0);
	}
}

/* ---- namespaces, sizes, identity --------------------------------------------------------- */

static void test_namespaces(void **state)
{
	uint8_t page[3][4096];
	uint32_t list[1024];
	unsigned int i;
	struct rig r;

	(void)state;
	make_image(other_path, SIZE / 2);
	begin(&r, ARGS(file_arg, other_arg, "--ram=1M"));
	assert_int_equal(nc_identify(&r.n, 2, 0, list), 0);
	assert_int_equal(list[0], 1);
	assert_int_equal(list[1], 2);
	assert_int_equal(list[2], 3);
	assert_int_equal(list[3], 0);
	assert_int_equal(nc_identify(&r.n, 2, 2, list), 0);
	assert_int_equal(list[0], 3);
	for (i = 0; i < 3; i++) {
		uint64_t blocks;

		assert_int_equal(nc_identify(&r.n, 0, i + 1, page[i]), 0);
		memcpy(&blocks, page[i], 8);
		assert_int_equal(blocks, (i == 0 ? SIZE : i == 1 ? SIZE / 2 : 1 << 20) >> 9);
		memset(r.n.mem + NC_DATA, (int)i + 1, 4096);
		assert_int_equal(run(&r.n, 1, command(WRITE, i + 1, 0, 8)), 0);
		assert_int_equal(run(&r.n, 1, command(READ, i + 1, blocks, 1)), 0x80 | DNR);
	}
	assert_memory_not_equal(page[0] + 104, page[1] + 104, 16);
	assert_memory_not_equal(page[1] + 104, page[2] + 104, 16);
	for (i = 0; i < 3; i++) {
		assert_int_equal(run(&r.n, 2, command(READ, i + 1, 0, 8)), 0);
		assert_int_equal(r.n.mem[NC_DATA + 100], i + 1);
	}
	assert_int_equal(run(&r.n, 1, command(READ, 4, 0, 1)), 0x0b | DNR);
	assert_int_equal(run(&r.n, 1, (struct nc_cmd){ .opcode = FLUSH, .nsid = 0xffffffff }), 0);
	end(&r, 0);
	/* the loss of one is not that of another, but of a flush of all */
	begin(&r, ARGS(file_arg, "--ram=1M", "--disk-fault=flush:eio:once"));
	assert_int_equal(flush(&r.n), 0x280 | DNR);
	assert_int_equal(run(&r.n, 1, command(WRITE, 2, 0, 1)), 0);
	assert_int_equal(run(&r.n, 1, (struct nc_cmd){ .opcode = FLUSH, .nsid = 2 }), 0);
	assert_int_equal(run(&r.n, 1, (struct nc_cmd){ .opcode = FLUSH, .nsid = 0xffffffff }),
			 0x280 | DNR);
	end(&r, 1);
	unlink(other_path);
}

static void test_resize(void **state)
{
	struct nc_cmd events = { .opcode = 9, .dw = { 11, 0x100 } }, aer = { .opcode = 12 };
	struct nc_cmd log = { .opcode = 2, .prp1 = NC_IOVA + NC_DATA, .dw = { 1023 << 16 | 4 } };
	struct nc_cmd identify = { .opcode = 6, .nsid = 1, .prp1 = NC_IOVA + NC_DATA };
	uint8_t page[4096];
	struct nc_cqe cqe;
	uint64_t blocks;
	unsigned int i;
	struct rig r;

	(void)state;
	begin(&r, ARGS(file_arg));
	assert_int_equal(run(&r.n, 0, events), 0);
	/* grown; made smaller on purpose; and grown again, which its driver asks about unasked */
	for (i = 0; i < 3; i++) {
		const size_t size = i == 1 ? SIZE / 2 : SIZE * (2 + i);

		assert_int_equal(nc_submit(&r.n, 0, &aer), 0);
		assert_int_equal(truncate(image_path, (off_t)size), 0);
		if (i < 2)
			assert_int_equal(kill(r.s.pid, SIGHUP), 0);
		else
			assert_int_equal(nc_submit(&r.n, 0, &identify), 0);
		if (i == 2)
			assert_int_equal(nc_poll(&r.n, 0, &cqe, MC_TIMEOUT_MS), 0);
		assert_int_equal(nc_poll(&r.n, 0, &cqe, MC_TIMEOUT_MS), 0);
		assert_int_equal(cqe.cid, aer.cid);
		assert_int_equal(cqe.result, 0x040002);
		assert_int_equal(run(&r.n, 0, log), 0);
		assert_int_equal(r.n.mem[NC_DATA], 1);
		assert_int_equal(r.n.mem[NC_DATA + 4], 0);
		assert_int_equal(run(&r.n, 0, log), 0);
		assert_int_equal(r.n.mem[NC_DATA], 0);
		assert_int_equal(nc_identify(&r.n, 0, 1, page), 0);
		memcpy(&blocks, page, 8);
		assert_int_equal(blocks, size >> 9);
		assert_int_equal(io(&r.n, WRITE, blocks - 8, 8), 0);
		assert_int_equal(io(&r.n, WRITE, blocks, 8), 0x80 | DNR);
	}
	assert_int_equal(flush(&r.n), 0);
	end(&r, 0);
}

static void read_identity(const char *const args[], char *serial, uint8_t *uuid)
{
	uint8_t page[4096];
	struct rig r = { 0 };

	serve(&r.s, args);
	attach(&r);
	assert_int_equal(nc_identify(&r.n, 1, 0, page), 0);
	memcpy(serial, page + 4, 20);
	serial[20] = '\0';
	assert_int_equal(nc_identify(&r.n, 0, 1, page), 0);
	memcpy(uuid, page + 104, 16);
	end(&r, 0);
}

/* The disk's, not that of the inode that has it today. */
static void test_identity(void **state)
{
	const char *const name = "--name=disk1";
	const char *const longer = "--name=a-name-of-more-than-twenty-characters";
	char serial[4][21];
	uint8_t uuid[4][16];

	(void)state;
	make_image(image_path, SIZE);
	make_image(other_path, SIZE);
	read_identity(ARGS(file_arg, name), serial[0], uuid[0]);
	assert_string_equal(serial[0], "disk1               ");
	read_identity(ARGS(other_arg, name), serial[1], uuid[1]);
	assert_string_equal(serial[0], serial[1]);
	assert_memory_equal(uuid[0], uuid[1], 16);
	read_identity(ARGS(other_arg, longer), serial[2], uuid[2]);
	assert_memory_equal(serial[2], "VU", 2);
	assert_memory_not_equal(uuid[2], uuid[0], 16);
	/* without a name: another file in the same place is the same disk */
	read_identity(ARGS(file_arg), serial[0], uuid[0]);
	read_identity(ARGS(other_arg), serial[1], uuid[1]);
	assert_memory_not_equal(uuid[0], uuid[1], 16);
	assert_int_equal(rename(other_path, image_path), 0);
	read_identity(ARGS(file_arg), serial[2], uuid[2]);
	assert_string_equal(serial[0], serial[2]);
	assert_memory_equal(uuid[0], uuid[2], 16);
	read_identity(ARGS(file_arg, "--serial=S1", name), serial[3], uuid[3]);
	assert_string_equal(serial[3], "S1                  ");
}

static void test_discard_off(void **state)
{
	uint64_t range[2] = { 8ull << 32, 0 };
	const struct nc_cmd zeroes = { .opcode = ZEROES, .nsid = 1, .dw = { 0, 0, 1u << 25 | 7 } };
	struct nc_cmd cmd = { .opcode = DSM, .nsid = 1, .prp1 = NC_IOVA + NC_LISTS,
			      .dw = { 0, 4 } };
	uint8_t page[4096];
	unsigned int i;
	struct rig r;

	(void)state;
	for (i = 0; i < 2; i++) {
		begin(&r, ARGS(file_arg, i ? "--discard=off" : "--discard=on"));
		assert_int_equal(nc_identify(&r.n, 0, 1, page), 0);
		assert_int_equal(page[33], i ? 0 : 9);
		memset(r.n.mem + NC_DATA, 0x77, 4096);
		assert_int_equal(io(&r.n, WRITE, 0, 8), 0);
		memcpy(r.n.mem + NC_LISTS, range, 16);
		assert_int_equal(run(&r.n, 1, cmd), 0);
		assert_int_equal(io(&r.n, READ, 0, 8), 0);
		assert_int_equal(r.n.mem[NC_DATA + 5], i ? 0x77 : 0);
		/* zeros are zeros all the same, asked to be deallocated or not */
		assert_int_equal(run(&r.n, 1, zeroes), 0);
		assert_int_equal(io(&r.n, READ, 0, 8), 0);
		assert_int_equal(r.n.mem[NC_DATA + 5], 0);
		end(&r, 0);
	}
}

/* ---- format ------------------------------------------------------------------------------ */

static void test_format(void **state)
{
	static const uint32_t bad[] = { 1, 0x10, 0x20, 0x400 };
	struct nc_cmd format = { .opcode = 0x80, .nsid = 1 };
	struct nc_cqe cqe;
	unsigned int i;
	struct rig r;

	(void)state;
	begin(&r, ARGS(file_arg, "--ram=1M", wait_arg[2]));
	memset(r.n.mem + NC_DATA, 0x77, 4096);
	assert_int_equal(io(&r.n, WRITE, 8, 8), 0);
	assert_int_equal(run(&r.n, 1, command(WRITE, 2, 8, 8)), 0);
	/* another format, metadata, protection, cryptographic erasure: there are none */
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		format.dw[0] = bad[i];
		assert_int_equal(run(&r.n, 0, format), (i < 3 ? 0x10a : 2) | DNR);
	}
	format.nsid = 3;
	format.dw[0] = 0;
	assert_int_equal(run(&r.n, 0, format), 0x0b | DNR);
	format.nsid = 1;
	/* while it goes on, the namespace has no blocks, and the other is as it was */
	format.dw[0] = 0x200;
	assert_int_equal(nc_submit(&r.n, 0, &format), 0);
	assert_int_equal(nc_poll(&r.n, 0, &cqe, 50), -ETIMEDOUT);
	assert_int_equal(io(&r.n, READ, 8, 8), 0x84 | DNR);
	assert_int_equal(run(&r.n, 0, format), 0x84 | DNR);
	assert_int_equal(run(&r.n, 1, command(READ, 2, 8, 8)), 0);
	assert_int_equal(r.n.mem[NC_DATA], 0x77);
	release();
	assert_int_equal(nc_poll(&r.n, 0, &cqe, MC_TIMEOUT_MS), 0);
	assert_int_equal(cqe.status >> 1, 0);
	assert_int_equal(io(&r.n, READ, 8, 8), 0);
	assert_int_equal(r.n.mem[NC_DATA], 0);
	assert_int_equal(r.n.mem[NC_DATA + 4095], 0);
	/* all namespaces */
	format.nsid = 0xffffffff;
	assert_int_equal(run(&r.n, 0, format), 0);
	assert_int_equal(run(&r.n, 1, command(READ, 2, 8, 8)), 0);
	assert_int_equal(r.n.mem[NC_DATA], 0);
	/* verify reads */
	assert_int_equal(io(&r.n, VERIFY, 0, 8), 0);
	assert_int_equal(io(&r.n, VERIFY, SIZE >> 9, 8), 0x80 | DNR);
	end(&r, 0);
	begin(&r, ARGS(file_arg, "--read-only"));
	format.nsid = 1;
	assert_int_equal(run(&r.n, 0, format), 0x20 | DNR);
	end(&r, 0);
}

static int setup(void **state)
{
	static const char *const calls[] = { "read", "flush", "erase" };
	unsigned int i;

	(void)state;
	signal(SIGPIPE, SIG_IGN);
	if (!mkdtemp(dir))
		return -1;
	snprintf(socket_path, sizeof(socket_path), "%s/sock", dir);
	snprintf(image_path, sizeof(image_path), "%s/image", dir);
	snprintf(other_path, sizeof(other_path), "%s/other", dir);
	snprintf(fifo_path, sizeof(fifo_path), "%s/fifo", dir);
	snprintf(file_arg, sizeof(file_arg), "--file=%s", image_path);
	snprintf(other_arg, sizeof(other_arg), "--file=%s", other_path);
	for (i = 0; i < 3; i++)
		snprintf(wait_arg[i], sizeof(wait_arg[i]), "--disk-fault=%s:wait=%s", calls[i],
			 fifo_path);
	return mkfifo(fifo_path, 0600);
}

static int teardown(void **state)
{
	(void)state;
	unlink(socket_path);
	unlink(image_path);
	unlink(other_path);
	unlink(fifo_path);
	return rmdir(dir);
}

/* A failed test must not keep the next one from its socket path, or the image locked. */
static int clear_socket(void **state)
{
	(void)state;
	if (running > 0 && !kill(running, SIGKILL))
		waitpid(running, NULL, 0);
	running = 0;
	unlink(socket_path);
	return 0;
}

#define TEST(f)		cmocka_unit_test_teardown(f, clear_socket)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_flush_fails), TEST(test_durable_fails), TEST(test_write_fails),
		TEST(test_truncated), TEST(test_unsafe), TEST(test_lock), TEST(test_slow),
		TEST(test_reset_waits), TEST(test_unmap_waits), TEST(test_disconnect_waits),
		TEST(test_disable_waits), TEST(test_delete_waits), TEST(test_flush_is_left),
		TEST(test_shutdown), TEST(test_many), TEST(test_namespaces), TEST(test_resize),
		TEST(test_identity), TEST(test_discard_off), TEST(test_format),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
