// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sends frames to itself through a network interface whose other end gives back what it is sent,
 * and compares what comes with what went out.
 *
 *	vfu_frames INTERFACE FRAMES
 *
 * That many frames from each CPU, of all sizes that Ethernet has, so that each queue that a driver
 * has for a CPU is used. Prints "FRAMES BYTES" of what has come back, as the interface counts them.
 *
 * Ethernet may lose a frame: how many there were goes to standard error.
 *
 * Exit status: 1 where something fails, is not the same, or a tenth is lost; 2 for a wrong command
 * line.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define TYPE		0x88b5		/* for experiments */
#define WINDOW		16u		/* under way at a time */
#define TIMEOUT_MS	20000		/* before what is under way is lost */

struct frame {
	struct ethhdr eth;
	uint32_t number;
	uint8_t data[ETH_DATA_LEN - sizeof(uint32_t)];
};

static struct frame sent[WINDOW];
static uint64_t frames, bytes, lost;
static int fd;

static void die(const char *what)
{
	fprintf(stderr, "vfu_frames: %s: %s\n", what, strerror(errno));
	exit(1);
}

static size_t length(uint32_t number)
{
	return ETH_ZLEN + number * 37 % (ETH_FRAME_LEN - ETH_ZLEN + 1);
}

static void send_one(uint32_t number)
{
	struct frame *f = &sent[number % WINDOW];
	size_t i;

	f->number = number;
	for (i = 0; i < sizeof(f->data); i++)
		f->data[i] = (uint8_t)rand();
	/* (a queue may be full) */
	while (send(fd, f, length(number), 0) < 0)
		if (errno != ENOBUFS || usleep(1000))
			die("send");
}

/*
 * The next frame that is not one of those that go out: number @next, or a later one where some were
 * lost; frames of one CPU keep their order. Returns the number behind it.
 */
static uint32_t receive(uint32_t next, uint32_t end)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	struct sockaddr_ll from;
	const uint8_t *got, *want;
	struct frame f;
	ssize_t n;
	size_t i;

	do {
		socklen_t len = sizeof(from);

		if (poll(&p, 1, TIMEOUT_MS) != 1) {
			lost += end - next;
			return end;
		}
		n = recvfrom(fd, &f, sizeof(f), 0, (struct sockaddr *)&from, &len);
		if (n < 0)
			die("receive");
	} while (from.sll_pkttype == PACKET_OUTGOING);
	if (f.number >= next && f.number < end) {
		lost += f.number - next;
		next = f.number;
	}
	want = (const uint8_t *)&sent[next % WINDOW];
	got = (const uint8_t *)&f;
	for (i = 0; i < (size_t)n && got[i] == want[i]; i++)
		;
	if ((size_t)n != length(next) || i < (size_t)n) {
		fprintf(stderr,
			"vfu_frames: CPU %d, frame %u of %zu bytes: %zd came, wrong from byte %zu on\n",
			sched_getcpu(), next, length(next), n, i);
		exit(1);
	}
	frames++;
	bytes += (uint64_t)n;
	return next + 1;
}

static void use_cpu(int cpu, uint32_t count)
{
	uint32_t end = 0, next = 0;
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		die("sched_setaffinity");
	while (next < count) {
		while (end < count && end - next < WINDOW)
			send_one(end++);
		next = receive(next, end);
	}
}

int main(int argc, char **argv)
{
	struct sockaddr_ll at = { .sll_family = AF_PACKET, .sll_protocol = htons(TYPE) };
	long cpus = sysconf(_SC_NPROCESSORS_ONLN), cpu;
	struct ifreq ifr = { 0 };
	unsigned int i;

	if (argc != 3 || strlen(argv[1]) >= sizeof(ifr.ifr_name) || atoi(argv[2]) < (int)WINDOW) {
		fprintf(stderr, "usage: vfu_frames INTERFACE FRAMES\n");
		return 2;
	}
	strcpy(ifr.ifr_name, argv[1]);
	fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (fd < 0 || ioctl(fd, SIOCGIFHWADDR, &ifr))
		die(argv[1]);
	for (i = 0; i < WINDOW; i++) {
		memcpy(sent[i].eth.h_dest, ifr.ifr_hwaddr.sa_data, ETH_ALEN);
		memcpy(sent[i].eth.h_source, ifr.ifr_hwaddr.sa_data, ETH_ALEN);
		sent[i].eth.h_proto = htons(TYPE);
	}
	at.sll_ifindex = (int)if_nametoindex(argv[1]);
	if (bind(fd, (struct sockaddr *)&at, sizeof(at)))
		die("bind");
	for (cpu = 0; cpu < cpus; cpu++)
		use_cpu((int)cpu, (uint32_t)atoi(argv[2]));
	printf("%llu %llu\n", (unsigned long long)frames, (unsigned long long)bytes);
	if (lost)
		fprintf(stderr, "vfu_frames: %llu frames did not come back\n", (unsigned long long)lost);
	return lost * 10 > frames;
}
