// SPDX-License-Identifier: GPL-2.0-only
/*
 * Recordings of a conversation: see pcapng.h.
 *
 * Of the format only what is needed: one interface, enhanced packets. A file of ours is read as it
 * was written; blocks of other kinds, which editing tools may add, are passed over, and everything
 * about sizes is checked, since a recording may come from anybody.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pcapng.h"

#define BLOCK_SECTION		0x0a0d0d0au
#define BLOCK_INTERFACE		1u
#define BLOCK_PACKET		6u
#define MAGIC			0x1a2b3c4du
#define LINKTYPE_USER0		147
#define OPTION_END		0
#define OPTION_IF_NAME		2
#define OPTION_IF_DESCRIPTION	3
#define OPTION_IF_TSRESOL	9
#define OPTION_EPB_FLAGS	2
#define FLAG_INBOUND		1u
#define FLAG_OUTBOUND		2u

#define MAX_IOVS		8

static size_t align4(size_t len)
{
	return (len + 3) & ~(size_t)3;
}

static uint8_t *put16(uint8_t *p, uint16_t value)
{
	memcpy(p, &value, sizeof(value));
	return p + sizeof(value);
}

static uint8_t *put32(uint8_t *p, uint32_t value)
{
	memcpy(p, &value, sizeof(value));
	return p + sizeof(value);
}

static uint32_t get32(const uint8_t *p)
{
	uint32_t value;

	memcpy(&value, p, sizeof(value));
	return value;
}

static uint8_t *put_option(uint8_t *p, uint16_t code, const void *data, size_t len)
{
	p = put16(p, code);
	p = put16(p, len);
	memset(p, 0, align4(len));
	if (len)
		memcpy(p, data, len);
	return p + align4(len);
}

static int write_all(int fd, const struct iovec *iov, int n, size_t len)
{
	ssize_t done = writev(fd, iov, n);

	if (done < 0)
		return -errno;
	/* Half a block makes the file unreadable from there on: as good as an error. */
	return (size_t)done == len ? 0 : -ENOSPC;
}

/**
 * pcapng_begin() - write what comes before the first message
 * @fd: an empty file
 * @name: of the server, for information
 *
 * Context: may sleep.
 * Return: 0 or a negative errno.
 */
int pcapng_begin(int fd, const char *name)
{
	const uint8_t resolution = 9;	/* nanoseconds */
	uint8_t buf[512], *p, *start;
	size_t len = strlen(name);
	struct iovec iov;

	if (len > 255)
		len = 255;
	p = put32(buf, BLOCK_SECTION);
	p = put32(p, 28);
	p = put32(p, MAGIC);
	p = put16(p, 1);
	p = put16(p, 0);
	memset(p, 0xff, 8);		/* length not known */
	p = put32(p + 8, 28);

	start = p;
	p = put32(p, BLOCK_INTERFACE);
	p = put32(p, 0);
	p = put16(p, LINKTYPE_USER0);
	p = put16(p, 0);
	p = put32(p, 0);		/* no limit of length */
	p = put_option(p, OPTION_IF_NAME, "vfio-user", 9);
	p = put_option(p, OPTION_IF_DESCRIPTION, name, len);
	p = put_option(p, OPTION_IF_TSRESOL, &resolution, 1);
	p = put_option(p, OPTION_END, NULL, 0);
	p = put32(p, p + 4 - start);
	put32(start + 4, p - start);

	iov = (struct iovec) { .iov_base = buf, .iov_len = p - buf };
	return write_all(fd, &iov, 1, iov.iov_len);
}

/**
 * pcapng_write() - append a message
 * @fd: the file
 * @packet: about it; @data and @len are not looked at
 * @iov: the message
 * @n: how many of @iov, at most 6
 *
 * Context: sleeps as a write to the file does; no allocation.
 * Return: 0 or a negative errno.
 */
int pcapng_write(int fd, const struct pcapng_packet *packet, const struct iovec *iov, int n)
{
	const uint32_t flags = packet->server ? FLAG_INBOUND : FLAG_OUTBOUND;
	uint8_t head[32], tail[3 + 16], *p;
	struct iovec all[MAX_IOVS];
	size_t len = PCAPNG_PSEUDO, total;
	int i;

	if (n > MAX_IOVS - 2)
		return -EINVAL;
	for (i = 0; i < n; i++)
		len += iov[i].iov_len;
	total = 28 + align4(len) + 12 + 4;

	p = put32(head, BLOCK_PACKET);
	p = put32(p, total);
	p = put32(p, 0);		/* interface */
	p = put32(p, packet->ns >> 32);
	p = put32(p, packet->ns);
	p = put32(p, len);
	p = put32(p, len);
	*p++ = PCAPNG_VERSION;
	*p++ = packet->server;
	*p++ = packet->twin;
	*p++ = packet->nr_fds < 255 ? packet->nr_fds : 255;

	memset(tail, 0, sizeof(tail));
	p = tail + align4(len) - len;
	p = put_option(p, OPTION_EPB_FLAGS, &flags, sizeof(flags));
	p = put_option(p, OPTION_END, NULL, 0);
	p = put32(p, total);

	all[0] = (struct iovec) { .iov_base = head, .iov_len = sizeof(head) };
	memcpy(all + 1, iov, n * sizeof(*iov));
	all[n + 1] = (struct iovec) { .iov_base = tail, .iov_len = p - tail };
	return write_all(fd, all, n + 2, total);
}

static int take_packet(const uint8_t *block, size_t len, struct pcapng_packet *packet)
{
	const uint8_t *pseudo = block + 28;
	size_t captured;

	if (len < 32 + PCAPNG_PSEUDO)
		return -EPROTO;
	captured = get32(block + 20);
	if (captured > len - 32 || captured < PCAPNG_PSEUDO || captured > PCAPNG_MAX)
		return -EPROTO;
	if (pseudo[0] != PCAPNG_VERSION)
		return -EPROTONOSUPPORT;
	packet->ns = (uint64_t)get32(block + 12) << 32 | get32(block + 16);
	packet->server = pseudo[1];
	packet->twin = pseudo[2];
	packet->nr_fds = pseudo[3];
	packet->len = captured - PCAPNG_PSEUDO;
	packet->data = malloc(packet->len + 1);
	if (!packet->data)
		return -ENOMEM;
	memcpy(packet->data, pseudo + PCAPNG_PSEUDO, packet->len);
	return 0;
}

static int parse(const uint8_t *file, size_t size, struct pcapng_packet **packets, size_t *count)
{
	struct pcapng_packet *more;
	size_t at = 0, len;
	int err = 0;

	if (size < 12 || get32(file) != BLOCK_SECTION || get32(file + 8) != MAGIC)
		return -EPROTO;
	/* A file that is being written, or whose writer died, may end in the middle of a block. */
	while (!err && size - at >= 12) {
		len = get32(file + at + 4);
		if (len < 12 || len % 4)
			return -EPROTO;
		if (len > size - at)
			break;
		if (get32(file + at) == BLOCK_PACKET) {
			more = reallocarray(*packets, *count + 1, sizeof(*more));
			if (!more)
				return -ENOMEM;
			*packets = more;
			err = take_packet(file + at, len, &more[*count]);
			if (!err)
				++*count;
		} else if (get32(file + at) == BLOCK_INTERFACE && len >= 20 &&
			   (get32(file + at + 8) & 0xffff) != LINKTYPE_USER0) {
			return -EPROTONOSUPPORT;
		} else if (get32(file + at) == BLOCK_SECTION && at) {
			/* Another connection, after the first one was lost. */
			break;
		}
		at += len;
	}
	return err;
}

/**
 * pcapng_read() - read a recording
 * @path: its file
 * @packets: result, for pcapng_free()
 * @count: how many
 *
 * Context: may sleep.
 * Return: 0 or a negative errno; -EPROTO for what is no recording, -EPROTONOSUPPORT for one of
 * something else.
 */
int pcapng_read(const char *path, struct pcapng_packet **packets, size_t *count)
{
	size_t size = 0;
	struct stat st;
	uint8_t *file;
	ssize_t n;
	int fd, err;

	*packets = NULL;
	*count = 0;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st)) {
		err = -errno;
		close(fd);
		return err;
	}
	file = S_ISREG(st.st_mode) ? malloc(st.st_size + 1) : NULL;
	err = !S_ISREG(st.st_mode) ? -EPROTO : file ? 0 : -ENOMEM;
	while (!err && size < (size_t)st.st_size) {
		n = read(fd, file + size, st.st_size - size);
		if (n < 0)
			err = -errno;
		if (n <= 0)
			break;
		size += n;
	}
	close(fd);
	if (!err)
		err = parse(file, size, packets, count);
	free(file);
	if (err) {
		pcapng_free(*packets, *count);
		*packets = NULL;
		*count = 0;
	}
	return err;
}

/**
 * pcapng_free() - free a recording
 * @packets: from pcapng_read(), or NULL
 * @count: how many
 *
 * Context: any.
 */
void pcapng_free(struct pcapng_packet *packets, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++)
		free(packets[i].data);
	free(packets);
}
