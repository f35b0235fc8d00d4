/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The main loop of a device: requests of the ring become messages to the server, and back.
 */
#ifndef HELPER_SERVE_H
#define HELPER_SERVE_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/client.h"
#include "ioregion.h"
#include "irq.h"
#include "ring.h"

/**
 * struct serve_slot - what a request needs when its answer comes
 * @op: enum vfiouser_op
 * @index: interrupt index (IRQ_*)
 * @start: first vector (IRQ_ARM)
 * @count: bytes or vectors
 */
struct serve_slot {
	uint16_t op;
	uint32_t index;
	uint32_t start;
	uint32_t count;
};

/**
 * struct serve - one device being served
 * @ring: channel with a device
 * @server: connection
 * @irqs: interrupts
 * @ioregions: accesses that go over sockets of their own
 * @grace: the device waits for another helper if we end early
 * @poll_us: how long to look for work before sleeping, microseconds; 0: never
 * @poll_server: look for the server's answers too, which takes system calls and a CPU
 * @signal_fd: readable: remove the device, or if that was asked for already, stop; or -1
 * @front_fd: hangs up when the command that started us has ended; or -1
 * @front_gone: called then, once
 * @server_fd: pidfd of the server's process, or -1: see serve_watch()
 * @ask_at: when to ask who the server is by now, in now_ms(); 0: it is known, or nobody is
 * @asking: that has been done
 * @servers: how many have been known
 * @state: last state of the ring that was seen
 * @timeout_ms: for an answer of the server, as the ring last said; 0: nothing yet
 * @blocked: the request at the head of the ring has to wait for the server
 * @removing: a signal has asked for the device's removal
 * @arming: interrupts are being armed; their eventfds must not be touched
 * @unmask_refused: interrupt types, by bit, that the server does not unmask
 * @unmask_index: type that is to be unmasked as soon as there is room
 * @unmask_count: its vectors, 0 if there is none
 * @stop: leave the loop
 * @idle_since: when looking began to be in vain, microseconds; 0: it has not
 * @looks: how often it was
 * @rounds: how often it was not
 * @status: enum status to leave with
 * @slots: requests under way
 */
struct serve {
	struct ring *ring;
	struct vfuc *server;
	struct irqs irqs;
	struct ioregions ioregions;
	bool grace;
	unsigned int poll_us;
	bool poll_server;
	int signal_fd;
	int front_fd;
	void (*front_gone)(void);
	int server_fd;
	int64_t ask_at;
	bool asking;
	unsigned int servers;

	uint32_t state;
	uint32_t timeout_ms;
	bool blocked;
	bool removing;
	bool arming;
	uint32_t unmask_refused;
	uint32_t unmask_index;
	uint32_t unmask_count;
	bool stop;
	uint64_t idle_since;
	unsigned int looks;
	unsigned int rounds;
	int status;
	struct serve_slot slots[VFIOUSER_RING_SLOTS];
};

void serve_ioregions(struct serve *serve, const struct device *dev, unsigned int timeout_ms);
void serve_watch(struct serve *serve);
int serve_run(struct serve *serve);

#endif
