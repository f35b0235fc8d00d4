/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A vfio-user server that does what a script says, right or wrong: a thread at the other end of a
 * socket pair.
 *
 * A script is a function that receives and sends messages with the functions below. Where what it
 * receives is not what it expects, the script ends, and fs_finish(), on the test's own thread,
 * fails the test. A message body is taken with one recv() that does not wait for all of it, as
 * servers built on libvfio-user do, unless it is larger than what one send can deliver.
 */
#ifndef FAKE_SERVER_H
#define FAKE_SERVER_H

#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client.h"
#include "protocol.h"

#define FS_MAX_FDS	253

struct fs_message {
	struct vfuc_header header;
	uint8_t *payload;
	size_t len;
	int fds[FS_MAX_FDS];
	unsigned int nr_fds;
};

struct fake_server;
typedef void (*fs_script)(struct fake_server *s);

/**
 * struct fake_server - one server for one connection
 * @fd: its end of the socket
 * @client_fd: the client's end, until fs_open()
 * @twin: its end of the twin socket, -1 if there is none
 * @arg: for the script
 * @message: last message received; its descriptors are closed by the next
 * @go: posted by the test, waited for by the script
 * @ready: the other way round
 * @failure: what the script did not expect, empty if all went well
 */
struct fake_server {
	int fd;
	int client_fd;
	int twin;
	void *arg;
	struct fs_message message;
	sem_t go;
	sem_t ready;
	char failure[256];
	fs_script script;
	pthread_t thread;
	jmp_buf out;
};

/* ---- for the test's thread ---- */

/* Starts the script. */
void fs_start(struct fake_server *s, fs_script script, void *arg);

/* vfuc_open() towards the script, with config's address replaced; NULL: defaults. */
int fs_try_open(struct fake_server *s, struct vfuc **c, const struct vfuc_config *config,
		struct vfuc_error *error);

/* The same, and it must succeed. */
struct vfuc *fs_open(struct fake_server *s, const struct vfuc_config *config);

/*
 * The message timeout from now on. Tests of timeouts open with the default, so that they do not
 * depend on the machine being quick to shake hands.
 */
void fs_set_timeout(struct vfuc *c, unsigned int timeout_ms);

/* Waits for the script to end; fails the test if it was not content. */
void fs_finish(struct fake_server *s);

/* Processes until *flag is count, or fails the test after a generous while. */
void fs_run_until(struct vfuc *c, const unsigned int *flag, unsigned int count);

/* Open descriptors of this process. */
unsigned int fs_count_fds(void);

/* A descriptor of that many bytes of shared memory. */
int fs_memory(size_t size);

/* ---- for the script ---- */

#define fs_check(s, condition) \
	((condition) ? (void)0 : fs_fail(s, "%s:%d: %s", __FILE__, __LINE__, #condition))

void fs_fail(struct fake_server *s, const char *fmt, ...)
	__attribute__((noreturn, format(printf, 2, 3)));

/* The next message, from the main socket or from fd. */
struct fs_message *fs_receive(struct fake_server *s);
struct fs_message *fs_receive_from(struct fake_server *s, int fd);

/* The next message, which must be this command. */
struct fs_message *fs_expect(struct fake_server *s, uint16_t command);

/* The client must close, having sent nothing more. */
void fs_expect_close(struct fake_server *s);

/* Receives and forgets until the client closes. */
void fs_drain(struct fake_server *s);

/* Bytes as they are. */
void fs_raw(struct fake_server *s, int fd, const void *data, size_t len, const int *fds,
	    unsigned int nr_fds);

/* A whole message. */
void fs_send(struct fake_server *s, int fd, const struct vfuc_header *header, const void *payload,
	     size_t len, const int *fds, unsigned int nr_fds);

/* A good reply to the last message. */
void fs_reply(struct fake_server *s, const void *payload, size_t len);
void fs_reply_fds(struct fake_server *s, const void *payload, size_t len, const int *fds,
		  unsigned int nr_fds);

/* A reply with the Error flag. */
void fs_reply_error(struct fake_server *s, uint32_t err);

/* Takes VERSION and answers 0.1 with this version data; NULL: none. */
void fs_version(struct fake_server *s, const char *json);

/* The same with a twin socket, which s->twin is the end of from then on. */
void fs_version_twin(struct fake_server *s);

/* A command of the server's own. */
void fs_command(struct fake_server *s, int fd, uint16_t id, uint16_t command, uint32_t flags,
		const void *payload, size_t len);

/* Waits for s->go. */
void fs_wait(struct fake_server *s);

#endif
