// SPDX-License-Identifier: GPL-2.0-only
/*
 * "replay": say to a server what a client said in a recording, and compare the answers.
 *
 * One message at a time, each answer waited for, whatever the recorded client did. Where the client
 * passed descriptors, new ones go along: memory full of zeroes, or an eventfd that nobody looks at.
 * What the server asks of us (DMA by message) is answered as it was then.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cmd.h"
#include "device.h"
#include "engine/channel.h"
#include "engine/client.h"
#include "engine/protocol.h"
#include "log.h"
#include "pcapng.h"
#include "status.h"

#define MAX_MEMORY	(64ull << 30)
#define SHOWN_BYTES	16
#define RETRY_MS	10

/**
 * struct replay - a conversation under way
 * @packets: the recording
 * @count: how many
 * @used: for each of them, whether something was compared with it or answered by it
 * @pool: the channels' buffers
 * @stats: the channels' counters
 * @main: the socket
 * @twin: the twin socket, or without descriptor
 * @timeout_ms: for an answer
 * @retry_ms: how long a read is repeated whose answer differs
 * @sent: messages sent
 * @same: answers that were the same
 * @different: answers that were not
 * @retried: reads that had to be repeated
 * @asked: requests of the server answered as recorded
 * @unexpected: requests of the server that were not in the recording
 */
struct replay {
	struct pcapng_packet *packets;
	size_t count;
	bool *used;
	struct vfuc_pool pool;
	struct vfuc_stats stats;
	struct vfuc_channel main;
	struct vfuc_channel twin;
	unsigned int timeout_ms;
	unsigned int retry_ms;
	unsigned int sent;
	unsigned int same;
	unsigned int different;
	unsigned int retried;
	unsigned int asked;
	unsigned int unexpected;
};

static bool header_of(const struct pcapng_packet *packet, struct vfuc_header *header)
{
	memset(header, 0, sizeof(*header));
	if (packet->len < sizeof(*header))
		return false;
	memcpy(header, packet->data, sizeof(*header));
	return header->size == packet->len;
}

/* The recorded answer to a recorded message, or NULL. */
static const struct pcapng_packet *find_reply(struct replay *r, size_t i)
{
	const struct pcapng_packet *asked = &r->packets[i];
	struct vfuc_header header, reply;

	if (!header_of(asked, &header))
		return NULL;
	for (i++; i < r->count; i++) {
		if (r->packets[i].server == asked->server || r->packets[i].twin != asked->twin ||
		    r->used[i] || !header_of(&r->packets[i], &reply) || !vfuc_is_reply(&reply) ||
		    reply.id != header.id)
			continue;
		r->used[i] = true;
		return &r->packets[i];
	}
	return NULL;
}

/* ---- words ---- */

static void describe(const struct pcapng_packet *packet, char *text, size_t len)
{
	struct vfuc_wire_access access;
	struct vfuc_header header;

	header_of(packet, &header);
	if ((header.command == VFUC_CMD_REGION_READ || header.command == VFUC_CMD_REGION_WRITE) &&
	    packet->len >= sizeof(header) + sizeof(access)) {
		memcpy(&access, packet->data + sizeof(header), sizeof(access));
		snprintf(text, len, "%s of %u bytes of %s at 0x%" PRIx64,
			 header.command == VFUC_CMD_REGION_READ ? "read" : "write", access.count,
			 device_region_name(access.region), access.offset);
		return;
	}
	snprintf(text, len, "%s", vfuc_command_name(header.command));
}

static void hex(const uint8_t *data, size_t len, char *text, size_t size)
{
	size_t i, n = 0;

	*text = '\0';
	for (i = 0; i < len && i < SHOWN_BYTES && n + 4 < size; i++)
		n += snprintf(text + n, size - n, "%s%02x", i ? " " : "", data[i]);
	if (len > SHOWN_BYTES)
		snprintf(text + n, size - n, "...");
	else if (!len)
		snprintf(text, size, "nothing");
}

static void print_difference(size_t i, const struct pcapng_packet *asked,
			     const struct vfuc_message *got, const struct pcapng_packet *want)
{
	const size_t skip = sizeof(struct vfuc_header);
	char what[100], a[80], b[80];
	struct vfuc_header header;
	size_t from = 0;

	describe(asked, what, sizeof(what));
	header_of(want, &header);
	if ((got->header.flags | header.flags) & VFUC_FLAG_ERROR) {
		log_note("message %zu, %s: error %u instead of %u", i + 1, what,
			 got->header.flags & VFUC_FLAG_ERROR ? got->header.error : 0,
			 header.flags & VFUC_FLAG_ERROR ? header.error : 0);
		return;
	}
	/* The first bytes repeat what was asked. */
	if (header.command == VFUC_CMD_REGION_READ && got->len >= sizeof(struct vfuc_wire_access) &&
	    want->len >= skip + sizeof(struct vfuc_wire_access))
		from = sizeof(struct vfuc_wire_access);
	hex(got->payload + from, got->len - from, a, sizeof(a));
	hex(want->data + skip + from, want->len - skip - from, b, sizeof(b));
	log_note("message %zu, %s: %s instead of %s", i + 1, what, a, b);
}

/* ---- the server's requests ---- */

static int send_all(struct replay *r, struct vfuc_channel *ch, const void *data, size_t len,
		    const int *fds, unsigned int nr_fds)
{
	const struct iovec iov = { .iov_base = (void *)data, .iov_len = len };
	int err = vfuc_channel_send(ch, &iov, 1, fds, nr_fds, false);
	struct pollfd fd = { .fd = ch->fd, .events = POLLOUT };

	while (!err && ch->tx_head) {
		err = vfuc_channel_flush(ch);
		if (!err && ch->tx_head && poll(&fd, 1, r->timeout_ms) <= 0)
			err = -ETIMEDOUT;
	}
	return err ? err : ch->err;
}

static int answer(struct replay *r, struct vfuc_channel *ch, const struct vfuc_message *m)
{
	struct vfuc_header header = m->header, recorded;
	const struct pcapng_packet *reply = NULL;
	size_t i, len;
	uint8_t *copy;
	int err;

	for (i = 0; i < r->count && !reply; i++) {
		const struct pcapng_packet *p = &r->packets[i];

		/* What is written may differ; where to may not. */
		len = sizeof(struct vfuc_wire_dma);
		if (!p->server || r->used[i] || p->twin != ch->twin || !header_of(p, &recorded) ||
		    vfuc_is_reply(&recorded) || recorded.command != header.command ||
		    p->len < sizeof(recorded) + len || m->len < len ||
		    memcmp(p->data + sizeof(recorded), m->payload, len))
			continue;
		r->used[i] = true;
		reply = find_reply(r, i);
	}
	if (reply)
		r->asked++;
	else
		r->unexpected++;
	if (header.flags & VFUC_FLAG_NO_REPLY)
		return 0;
	if (!reply) {
		header.size = sizeof(header);
		header.flags = VFUC_TYPE_REPLY | VFUC_FLAG_ERROR;
		header.error = EINVAL;
		return send_all(r, ch, &header, sizeof(header), NULL, 0);
	}
	copy = malloc(reply->len);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, reply->data, reply->len);
	memcpy(copy, &header.id, sizeof(header.id));
	err = send_all(r, ch, copy, reply->len, NULL, 0);
	free(copy);
	return err;
}

/* ---- ours ---- */

static int make_fd(const struct pcapng_packet *packet, const struct vfuc_header *header)
{
	struct vfuc_wire_dma_map map;
	int fd;

	if (header->command != VFUC_CMD_DMA_MAP || packet->len < sizeof(*header) + sizeof(map))
		return eventfd(0, EFD_CLOEXEC);
	memcpy(&map, packet->data + sizeof(*header), sizeof(map));
	if (map.size > MAX_MEMORY || map.offset > MAX_MEMORY)
		return -1;
	fd = memfd_create("replay", MFD_CLOEXEC);
	if (fd >= 0 && ftruncate(fd, map.offset + map.size)) {
		close(fd);
		return -1;
	}
	return fd;
}

static int send_packet(struct replay *r, const struct pcapng_packet *packet)
{
	int fds[VFUC_TRANSPORT_MAX_FDS];
	struct vfuc_header header;
	unsigned int n;
	int err = 0;

	header_of(packet, &header);
	for (n = 0; n < packet->nr_fds && n < VFUC_TRANSPORT_MAX_FDS && !err; n++) {
		fds[n] = make_fd(packet, &header);
		if (fds[n] < 0) {
			err = -EMFILE;
			break;
		}
	}
	if (!err)
		err = send_all(r, &r->main, packet->data, packet->len, fds, n);
	while (n)
		close(fds[--n]);
	if (!err)
		r->sent++;
	return err;
}

/* The next reply on a socket: 1 if there is one, 0 if not yet. The server's requests are served. */
static int receive(struct replay *r, struct vfuc_channel *ch, struct vfuc_message *m)
{
	ssize_t got;
	int ret;

	if (ch->fd < 0)
		return 0;
	for (;;) {
		ret = vfuc_channel_next(ch, m);
		if (ret < 0)
			return ret;
		if (ret && vfuc_is_reply(&m->header))
			return 1;
		if (ret) {
			ret = answer(r, ch, m);
			vfuc_channel_consume(ch, m);
			if (ret)
				return ret;
			continue;
		}
		got = vfuc_channel_receive(ch, true);
		if (got == -EAGAIN)
			return 0;
		if (got < 0)
			return got;
	}
}

static int wait_reply(struct replay *r, uint16_t id, struct vfuc_message *m)
{
	uint64_t end = vfuc_now_ms() + r->timeout_ms, now;
	struct vfuc_message other;
	struct pollfd fds[2];
	int ret;

	for (;;) {
		ret = receive(r, &r->twin, &other);
		if (ret > 0)
			vfuc_channel_consume(&r->twin, &other);
		if (ret >= 0)
			ret = receive(r, &r->main, m);
		if (ret < 0)
			return ret;
		if (ret && m->header.id == id)
			return 0;
		if (ret) {
			vfuc_channel_consume(&r->main, m);
			continue;
		}
		now = vfuc_now_ms();
		if (now >= end)
			return -ETIMEDOUT;
		fds[0] = (struct pollfd) { .fd = r->main.fd, .events = POLLIN };
		fds[1] = (struct pollfd) { .fd = r->twin.fd, .events = POLLIN };
		poll(fds, 2, end - now);
	}
}

static bool same(const struct vfuc_message *got, const struct pcapng_packet *want)
{
	struct vfuc_header header;

	header_of(want, &header);
	return got->header.command == header.command && got->header.flags == header.flags &&
	       (!(header.flags & VFUC_FLAG_ERROR) || got->header.error == header.error) &&
	       want->len - sizeof(header) == got->len &&
	       !memcmp(want->data + sizeof(header), got->payload, got->len);
}

static void adopt_twin(struct replay *r, const struct vfuc_message *m)
{
	bool passes_fds;
	int fd = vfuc_fds_take(m->fds, 0);

	if (fd < 0)
		return;
	if (r->twin.fd >= 0 || vfuc_transport_adopt(fd, &passes_fds)) {
		close(fd);
		return;
	}
	vfuc_channel_init(&r->twin, fd, &r->pool, &r->stats);
	r->twin.rx_max = PCAPNG_MAX;
	r->twin.twin = true;
}

/* Sends one message and compares its answer. */
static int say(struct replay *r, size_t i)
{
	const struct pcapng_packet *packet = &r->packets[i], *want;
	uint64_t end = vfuc_now_ms() + r->retry_ms;
	struct vfuc_header header;
	struct vfuc_message m;
	bool retried = false, equal;
	char what[100];
	int err;

	header_of(packet, &header);
	describe(packet, what, sizeof(what));
	want = header.flags & VFUC_FLAG_NO_REPLY ? NULL : find_reply(r, i);
	for (;;) {
		log_debug("message %zu: %s", i + 1, what);
		err = send_packet(r, packet);
		if (err || header.flags & VFUC_FLAG_NO_REPLY)
			return err;
		err = wait_reply(r, header.id, &m);
		if (err)
			return err;
		if (header.command == VFUC_CMD_VERSION)
			adopt_twin(r, &m);
		equal = !want || same(&m, want);
		if (!equal && header.command == VFUC_CMD_REGION_READ && vfuc_now_ms() < end) {
			retried = true;
			vfuc_channel_consume(&r->main, &m);
			poll(NULL, 0, RETRY_MS);
			continue;
		}
		if (!equal)
			print_difference(i, packet, &m, want);
		vfuc_channel_consume(&r->main, &m);
		break;
	}
	r->retried += retried;
	/* A recording that ended before the answer: there is nothing to compare. */
	if (want && equal)
		r->same++;
	else if (want)
		r->different++;
	return 0;
}

static int converse(struct replay *r)
{
	struct vfuc_header header;
	char what[100];
	size_t i;
	int err;

	for (i = 0; i < r->count; i++) {
		if (r->packets[i].server || r->packets[i].twin ||
		    !header_of(&r->packets[i], &header) || vfuc_is_reply(&header))
			continue;
		err = say(r, i);
		if (!err)
			continue;
		describe(&r->packets[i], what, sizeof(what));
		return log_fail(status_of_errno(err), "message %zu of the recording, %s: %s", i + 1,
				what, err == -ETIMEDOUT ? "the server does not answer" :
				err == -ECONNRESET ? "the server closed the connection" :
				strerror(-err));
	}
	if (!r->sent)
		return log_fail(ST_FAILED, "the recording holds no message of a client");
	return ST_OK;
}

static void print_result(const struct replay *r, bool json)
{
	struct json_object *o;

	if (!json) {
		printf("%u messages sent, %u answers the same, %u different, %u reads repeated\n",
		       r->sent, r->same, r->different, r->retried);
		if (r->asked || r->unexpected)
			printf("%u requests of the server answered as recorded, %u not in the recording\n",
			       r->asked, r->unexpected);
		return;
	}
	o = json_object_new_object();
	json_object_object_add(o, "sent", json_object_new_int64(r->sent));
	json_object_object_add(o, "same", json_object_new_int64(r->same));
	json_object_object_add(o, "different", json_object_new_int64(r->different));
	json_object_object_add(o, "retried", json_object_new_int64(r->retried));
	json_object_object_add(o, "asked", json_object_new_int64(r->asked));
	json_object_object_add(o, "unexpected", json_object_new_int64(r->unexpected));
	cmd_print_json(o);
}

static int replay(struct replay *r, const char *path, const char *address, bool json)
{
	struct vfuc_error error = { 0 };
	bool passes_fds;
	int fd, err, status;

	err = pcapng_read(path, &r->packets, &r->count);
	if (err == -EPROTO || err == -EPROTONOSUPPORT)
		return log_fail(ST_FAILED, "%s is no recording of \"attach --record\"", path);
	if (err)
		return log_fail(ST_FAILED, "cannot read %s: %s", path, strerror(-err));
	r->used = calloc(r->count + 1, sizeof(*r->used));
	if (!r->used) {
		status = log_fail(ST_FAILED, "out of memory");
	} else if (vfuc_transport_open(address, r->timeout_ms, &fd, &passes_fds, &error)) {
		status = log_fail(status_of_server(&error), "%s", error.message);
	} else {
		vfuc_channel_init(&r->main, fd, &r->pool, &r->stats);
		r->main.rx_max = PCAPNG_MAX;
		status = converse(r);
		if (!status) {
			print_result(r, json);
			if (r->different)
				status = log_fail(ST_DIFFERENT, "%u of %u answers differ from the recording",
						  r->different, r->same + r->different);
		}
		vfuc_channel_close(&r->main);
		vfuc_channel_close(&r->twin);
		vfuc_pool_free(&r->pool);
	}
	free(r->used);
	pcapng_free(r->packets, r->count);
	return status;
}

static int run(int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "timeout", required_argument, NULL, 't' },
		{ "retry", required_argument, NULL, 'r' },
		{ "verbose", no_argument, NULL, 'v' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 }
	};
	struct replay r = {
		.main.fd = -1,
		.twin.fd = -1,
		.timeout_ms = VFUC_DEFAULT_TIMEOUT_MS,
	};
	uint64_t retry_us = 0;
	bool json = false;
	int c;

	while ((c = getopt_long(argc, argv, ":jt:r:vh", options, NULL)) != -1) {
		switch (c) {
		case 'j':
			json = true;
			break;
		case 't':
			if (parse_timeout(optarg, &r.timeout_ms))
				return cmd_usage(&cmd_replay, "\"%s\" is no timeout: 1ms up to 600s",
						 optarg);
			break;
		case 'r':
			if (parse_duration(optarg, 1000000, &retry_us) || retry_us > 600000000)
				return cmd_usage(&cmd_replay, "\"%s\" is no time up to 600s",
						 optarg);
			break;
		case 'v':
			log_verbose = true;
			break;
		case 'h':
			cmd_help(&cmd_replay);
			return ST_OK;
		default:
			return cmd_bad_option(&cmd_replay, c, argv);
		}
	}
	if (optind != argc - 2)
		return cmd_usage(&cmd_replay, "it takes a recording and a server address");
	r.retry_ms = retry_us / 1000;
	return replay(&r, argv[optind], argv[optind + 1], json);
}

const struct cmd cmd_replay = {
	.name = "replay",
	.synopsis = "[OPTION...] FILE SOCKET",
	.summary = "say to a server what a recording has, and compare the answers",
	.help =
"Sends the client's side of a recording, made by \"attach --record\", to a server, one message\n"
"after the other, and compares each answer with the recorded one. Needs neither the kernel\n"
"module nor root. Each difference is a line on standard error, and makes the exit status 22.\n\n"
"What drivers and devices share without messages is not in a recording: DMA memory is\n"
"full of zeroes here, and nobody looks at interrupts.\n\n"
"Options:\n"
"  -r, --retry=TIME    repeat a read whose answer differs for so long, as a driver does that\n"
"                      waits for a register to change (default 0)\n"
"  -t, --timeout=TIME  how long the server may take for an answer (default 5s)\n"
"  -j, --json          print the result as JSON; schema in vfiouserctl(8)\n"
"  -v, --verbose       a line for each message\n"
"  -h, --help          this text\n\n"
"Examples:\n"
"  vfiouserctl attach --record=disk.pcapng /run/nvme.sock\n"
"  vfiouserctl replay --retry=2s disk.pcapng /run/new-nvme.sock\n",
	.run = run,
};
