/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Recordings of a conversation: pcapng files of link type USER0, which Wireshark and tshark read
 * with the dissector vfio-user.lua.
 *
 * Each packet is one message behind a pseudo-header of 4 bytes: PCAPNG_VERSION; the sender, 0 for
 * the client and 1 for the server; the socket, 0 for the main one and 1 for the twin; and how many
 * descriptors came with the message.
 */
#ifndef HELPER_PCAPNG_H
#define HELPER_PCAPNG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define PCAPNG_VERSION	1
#define PCAPNG_PSEUDO	4
/* A message of the largest transfer, and some to spare. */
#define PCAPNG_MAX	(17u * 1024 * 1024)

/**
 * struct pcapng_packet - a message of a recording
 * @ns: since 1970
 * @server: the server sent it
 * @twin: on the twin socket
 * @nr_fds: descriptors with it
 * @data: the message, allocated
 * @len: its bytes
 */
struct pcapng_packet {
	uint64_t ns;
	bool server;
	bool twin;
	unsigned int nr_fds;
	uint8_t *data;
	size_t len;
};

int pcapng_begin(int fd, const char *name);
int pcapng_write(int fd, const struct pcapng_packet *packet, const struct iovec *iov, int n);
int pcapng_read(const char *path, struct pcapng_packet **packets, size_t *count);
void pcapng_free(struct pcapng_packet *packets, size_t count);

#endif
