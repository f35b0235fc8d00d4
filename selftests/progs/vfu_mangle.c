// SPDX-License-Identifier: GPL-2.0-only
/*
 * A hostile server: a man in the middle who passes on what the helper and an honest server say to
 * each other, with all descriptors, until he has seen --after replies, or gets SIGUSR1. From then
 * on he does what --mode says, a list of:
 *
 *	lie		changes bytes of replies, at random
 *	sizes		changes the message's size, or cuts it off
 *	fds		sends descriptors by the hundred with each reply
 *	deaf		never reads its socket again
 *	mute		never answers again
 *	irq		raises every interrupt of the device, without end
 *	dma		asks for DMA anywhere, without end
 *	reply		answers what was not asked, without end
 *	scribble	changes the shared memory, without end
 *	truncate	takes the memory behind the BARs away
 *	close		closes the connection
 *
 * The seed is printed; the same one makes the same changes.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <linux/vfio.h>

#define MAX_MESSAGE	(32u << 20)
#define MAX_FDS		253
#define KEPT		4096

enum {
	LIE, SIZES, FDS, DEAF, MUTE, IRQ, DMA, REPLY, SCRIBBLE, TRUNCATE, CLOSE, NR_MODES,
};

static const char *const mode_names[NR_MODES] = {
	"lie", "sizes", "fds", "deaf", "mute", "irq", "dma", "reply", "scribble", "truncate",
	"close",
};

struct header {
	uint16_t id;
	uint16_t cmd;
	uint32_t size;
	uint32_t flags;
	uint32_t error;
};

#define CMD_DMA_MAP	2
#define CMD_REGION_INFO	5
#define CMD_SET_IRQS	8
#define CMD_DMA_READ	11
#define IS_REPLY(h)	(((h)->flags & 0xf) == 1)

/* One direction: a message that is being received. */
struct side {
	int fd;
	uint8_t *buf;
	size_t have;
	int fds[MAX_FDS];
	unsigned int nr_fds;
};

static bool mode[NR_MODES];
static unsigned long after = ~0ul, seen;
static uint64_t seed;
static int irq_fds[KEPT], region_fds[KEPT];
static unsigned int nr_irqs, nr_regions;
static uint8_t *pool;
static size_t pool_size;

static uint32_t chance(uint32_t n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return n ? (seed >> 11) % n : 0;
}

static volatile sig_atomic_t told;

static void on_signal(int sig)
{
	told = sig;
}

static bool active(void)
{
	return seen >= after || told;
}

static void drop_fds(struct side *s)
{
	while (s->nr_fds)
		close(s->fds[--s->nr_fds]);
}

static bool send_all(int fd, const void *data, size_t len, const int *fds, unsigned int nr_fds)
{
	char control[CMSG_SPACE(sizeof(int) * MAX_FDS)] = { 0 };
	struct iovec iov = { (void *)data, len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *cmsg;
	ssize_t n;

	if (nr_fds) {
		msg.msg_control = control;
		msg.msg_controllen = CMSG_SPACE(nr_fds * sizeof(int));
		cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(nr_fds * sizeof(int));
		memcpy(CMSG_DATA(cmsg), fds, nr_fds * sizeof(int));
	}
	while (iov.iov_len) {
		n = sendmsg(fd, &msg, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return false;
		iov.iov_base = (uint8_t *)iov.iov_base + n;
		iov.iov_len -= n;
		msg.msg_control = NULL;
		msg.msg_controllen = 0;
	}
	return true;
}

/* Returns 1 with a whole message, 0 without, -1 at the end. */
static int receive(struct side *s)
{
	char control[CMSG_SPACE(sizeof(int) * MAX_FDS)];
	struct header *h = (struct header *)s->buf;
	struct iovec iov = { s->buf + s->have, 0 };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	size_t want = sizeof(*h);
	struct cmsghdr *cmsg;
	unsigned int n;
	ssize_t got;

	if (s->have >= sizeof(*h))
		want = h->size;
	if (want > MAX_MESSAGE || want < sizeof(*h))
		return -1;
	iov.iov_len = want - s->have;
	got = recvmsg(s->fd, &msg, MSG_CMSG_CLOEXEC);
	if (got < 0 && errno == EINTR)
		return 0;
	if (got <= 0)
		return -1;
	for (cmsg = CMSG_FIRSTHDR(&msg); cmsg; cmsg = CMSG_NXTHDR(&msg, cmsg)) {
		if (cmsg->cmsg_type != SCM_RIGHTS)
			continue;
		n = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		if (n > MAX_FDS - s->nr_fds)
			return -1;
		memcpy(s->fds + s->nr_fds, CMSG_DATA(cmsg), n * sizeof(int));
		s->nr_fds += n;
	}
	s->have += got;
	return s->have >= sizeof(*h) && s->have == h->size;
}

/* ---- what is kept for later ---- */

static void keep(int *fds, unsigned int *nr, const struct side *s)
{
	unsigned int i;

	for (i = 0; i < s->nr_fds && *nr < KEPT; i++) {
		fds[*nr] = dup(s->fds[i]);
		if (fds[*nr] >= 0)
			(*nr)++;
	}
}

static void keep_pool(const struct side *s)
{
	uint64_t offset, size;
	void *map;

	/* argsz, flags, offset, address, size */
	memcpy(&offset, s->buf + sizeof(struct header) + 8, sizeof(offset));
	memcpy(&size, s->buf + sizeof(struct header) + 24, sizeof(size));
	if (!s->nr_fds || !size || pool)
		return;
	map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, s->fds[0], offset);
	if (map == MAP_FAILED)
		return;
	pool = map;
	pool_size = size;
}

static void forget(void)
{
	while (nr_irqs)
		close(irq_fds[--nr_irqs]);
	while (nr_regions)
		close(region_fds[--nr_regions]);
	if (pool)
		munmap(pool, pool_size);
	pool = NULL;
}

/* ---- the attacks ---- */

static void lie(struct side *s)
{
	unsigned int n = 1 + chance(4);
	size_t at;

	/* Of the payload, its head above all: that is where sizes and counts are. */
	if (s->have <= sizeof(struct header) || chance(3))
		return;
	while (n--) {
		at = sizeof(struct header) + chance(chance(2) ? 32 : s->have);
		if (at >= s->have)
			continue;
		switch (chance(4)) {
		case 0:
			s->buf[at] = chance(256);
			break;
		case 1:
			s->buf[at] ^= 1u << chance(8);
			break;
		case 2:
			s->buf[at] = 0xff;
			break;
		default:
			n = s->have - at < 8 ? s->have - at : 8;
			memset(s->buf + at, chance(2) ? 0xff : 0, n);
			return;
		}
	}
}

static bool to_client(struct side *s, int client)
{
	struct header *h = (struct header *)s->buf;
	int fds[MAX_FDS];
	unsigned int n;

	if (IS_REPLY(h)) {
		if (h->cmd == CMD_REGION_INFO)
			keep(region_fds, &nr_regions, s);
		seen++;
	}
	if (!active())
		return send_all(client, s->buf, s->have, s->fds, s->nr_fds);
	if (mode[MUTE])
		return true;
	if (mode[LIE])
		lie(s);
	if (mode[SIZES] && !chance(4)) {
		if (chance(2))
			h->size += chance(64);
		else
			s->have -= chance(s->have);
	}
	if (mode[CLOSE] && !chance(8))
		return false;
	if (mode[FDS]) {
		memcpy(fds, s->fds, s->nr_fds * sizeof(int));
		for (n = s->nr_fds; n < MAX_FDS; n++)
			fds[n] = n % 3 ? STDERR_FILENO : client;
		return send_all(client, s->buf, s->have, fds, MAX_FDS);
	}
	return send_all(client, s->buf, s->have, s->fds, s->nr_fds);
}

static bool to_server(struct side *s, int server)
{
	const struct header *h = (const struct header *)s->buf;
	uint32_t index;

	/* argsz, flags, index; not those by which a server asks for its device's end */
	if (h->cmd == CMD_SET_IRQS && s->have >= sizeof(*h) + 12) {
		memcpy(&index, s->buf + sizeof(*h) + 8, sizeof(index));
		if (index <= VFIO_PCI_MSIX_IRQ_INDEX)
			keep(irq_fds, &nr_irqs, s);
	}
	if (h->cmd == CMD_DMA_MAP && s->have >= sizeof(*h) + 32)
		keep_pool(s);
	/* the answer to a question of our own */
	if (IS_REPLY(h) && mode[DMA])
		return true;
	return send_all(server, s->buf, s->have, s->fds, s->nr_fds);
}

static bool ask_dma(int client)
{
	struct {
		struct header h;
		uint64_t address;
		uint64_t count;
		uint8_t data[4096];
	} m = { .h = { .id = chance(65536), .cmd = CMD_DMA_READ + chance(2) } };
	static const uint64_t bases[] = { 0, 1ull << 32, 0x100000, ~0ull << 12, 1ull << 63 };

	m.h.flags = chance(2) ? 0x10 : 0;
	m.address = bases[chance(5)] + chance(1 << 26);
	m.count = chance(8) ? chance(sizeof(m.data)) : ((uint64_t)chance(~0u) << 32) + chance(~0u);
	m.h.size = sizeof(m.h) + 16;
	if (m.h.cmd != CMD_DMA_READ)
		m.h.size += m.count <= sizeof(m.data) ? m.count : sizeof(m.data);
	return send_all(client, &m, m.h.size, NULL, 0);
}

static bool answer_nothing(int client)
{
	struct {
		struct header h;
		uint8_t data[256];
	} m = { .h = { .id = chance(65536), .cmd = 1 + chance(16), .flags = 1 } };

	m.h.size = sizeof(m.h) + chance(sizeof(m.data));
	return send_all(client, &m, m.h.size, NULL, 0);
}

/* A round of what goes on without end. Returns false where the client is gone. */
static bool attack(int client)
{
	const uint64_t one = 1;
	unsigned int i;

	for (i = 0; mode[IRQ] && nr_irqs && i < 4096; i++)
		if (write(irq_fds[i % nr_irqs], &one, sizeof(one)) < 0 && errno == EAGAIN)
			break;
	for (i = 0; mode[SCRIBBLE] && pool && i < 256; i++)
		pool[chance(pool_size)] = chance(256);
	if (mode[SCRIBBLE] && pool && pool_size >= 4096)
		memset(pool + chance(pool_size / 4096) * 4096, chance(256), 4096);
	for (i = 0; mode[TRUNCATE] && i < nr_regions; i++)
		if (ftruncate(region_fds[i], 0))
			continue;
	for (i = 0; i < 32; i++) {
		if (mode[DMA] && !ask_dma(client))
			return false;
		if (mode[REPLY] && !answer_nothing(client))
			return false;
	}
	return true;
}

static bool endless(void)
{
	return active() && (mode[IRQ] || mode[SCRIBBLE] || mode[DMA] || mode[REPLY]);
}

static void serve(struct side *c, struct side *s)
{
	struct pollfd fds[2];
	int ret;

	for (;;) {
		fds[0] = (struct pollfd) { .fd = c->fd, .events = POLLIN };
		fds[1] = (struct pollfd) { .fd = s->fd, .events = POLLIN };
		/* Deaf, but not blind: it notices when nobody is there any more. */
		if (mode[DEAF] && active())
			fds[0].events = 0;
		if (poll(fds, 2, endless() ? 0 : -1) < 0) {
			if (errno != EINTR)
				return;
			continue;
		}
		if (fds[0].revents & (POLLIN | POLLHUP | POLLERR)) {
			if (mode[DEAF] && active())
				return;
			ret = receive(c);
			if (ret < 0 || (ret && !to_server(c, s->fd)))
				return;
			if (ret) {
				drop_fds(c);
				c->have = 0;
			}
		}
		if (fds[1].revents) {
			ret = receive(s);
			if (ret < 0 || (ret && !to_client(s, c->fd)))
				return;
			if (ret) {
				drop_fds(s);
				s->have = 0;
			}
		}
		if (active() && !attack(c->fd))
			return;
	}
}

/* ---- set-up ---- */

static int unix_socket(const char *path, bool listening)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	if (fd < 0)
		return -1;
	if (listening ? bind(fd, (struct sockaddr *)&addr, sizeof(addr)) || listen(fd, 4) :
	    connect(fd, (struct sockaddr *)&addr, sizeof(addr))) {
		close(fd);
		return -1;
	}
	return fd;
}

static bool parse_modes(char *list)
{
	char *name;
	int i;

	for (name = strtok(list, ","); name; name = strtok(NULL, ",")) {
		for (i = 0; i < NR_MODES && strcmp(name, mode_names[i]); i++)
			;
		if (i == NR_MODES)
			return false;
		mode[i] = true;
	}
	return true;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "socket-path", required_argument, NULL, 'p' },
		{ "server", required_argument, NULL, 's' },
		{ "mode", required_argument, NULL, 'm' },
		{ "after", required_argument, NULL, 'a' },
		{ "seed", required_argument, NULL, 'r' },
		{ 0 }
	};
	const char *path = NULL, *server = NULL;
	struct side c = { .fd = -1 }, s = { .fd = -1 };
	struct sigaction sa = { .sa_handler = on_signal };
	struct timeval patience = { .tv_sec = 5 };
	int listener, opt;

	seed = time(NULL);
	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (opt) {
		case 'p':
			path = optarg;
			break;
		case 's':
			server = optarg;
			break;
		case 'm':
			if (!parse_modes(optarg))
				return 2;
			break;
		case 'a':
			after = strtoul(optarg, NULL, 0);
			break;
		case 'r':
			seed = strtoull(optarg, NULL, 0);
			break;
		default:
			return 2;
		}
	}
	if (!path || !server)
		return 2;
	printf("seed %llu\n", (unsigned long long)seed);
	fflush(stdout);
	seed = seed * 2862933555777941757ull + 3037000493ull;
	signal(SIGPIPE, SIG_IGN);
	sigaction(SIGUSR1, &sa, NULL);
	c.buf = malloc(MAX_MESSAGE);
	s.buf = malloc(MAX_MESSAGE);
	listener = unix_socket(path, true);
	while (c.buf && s.buf && listener >= 0) {
		c.fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		if (c.fd < 0)
			break;
		setsockopt(c.fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
		s.fd = unix_socket(server, false);
		seen = 0;
		if (s.fd >= 0)
			serve(&c, &s);
		drop_fds(&c);
		drop_fds(&s);
		c.have = 0;
		s.have = 0;
		forget();
		close(c.fd);
		if (s.fd >= 0)
			close(s.fd);
	}
	perror(path);
	free(c.buf);
	free(s.buf);
	return 1;
}
