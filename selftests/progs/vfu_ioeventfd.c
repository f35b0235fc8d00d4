// SPDX-License-Identifier: GPL-2.0-only
/*
 * vfu_ioeventfd HELPER-PID: VFIOUSER_IOC_IOEVENTFD from all sides, on the device of vfiouser-iofd,
 * to which the driver vfu_poke is bound. Takes the helper's channel out of its process.
 *
 * Prints "ok NAME" and "not ok NAME" lines; exit status 0 where it came to the end.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/vfiouser.h>

#define POKE		"/sys/kernel/debug/vfu_poke"
#define BAR_SIZE	0x1000
#define PAGE		4096

/* Free in the device, see selftests/servers/iofd.h. */
#define AT		0x90
#define AT_MANY		0xa0
#define AT_RACE		0xb0
#define MESSAGES	0x400
#define CLEAR		0x480

#define MANY		4096
#define RACE_ROUNDS	100

static int channel;
static int event;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static __attribute__((format(printf, 2, 3))) void check(bool ok, const char *fmt, ...)
{
	va_list ap;

	printf(ok ? "ok " : "not ok ");
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
	fflush(stdout);
}

/* ---- the device ---- */

static void poke(char op, unsigned int size, uint32_t offset, uint64_t value)
{
	char text[64];
	int fd, n;

	n = snprintf(text, sizeof(text), "%c %u 0x%x 0x%llx", op, size, offset,
		     (unsigned long long)value);
	fd = open(POKE, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, text, n) != n)
		die(POKE);
	close(fd);
}

static uint64_t peek(unsigned int size, uint32_t offset)
{
	char text[32] = "";
	int fd;

	poke('r', size, offset, 0);
	fd = open(POKE, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, text, sizeof(text) - 1) < 1)
		die(POKE);
	close(fd);
	return strtoull(text, NULL, 16);
}

static uint64_t signals(void)
{
	uint64_t n = 0;

	return read(event, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

/* A write is one signal and no message, or the other way round. */
static bool signalled(unsigned int size, uint32_t offset, uint64_t value)
{
	uint64_t messages, n;

	signals();
	messages = peek(8, MESSAGES);
	poke('w', size, offset, value);
	n = signals();
	messages = peek(8, MESSAGES) - messages;
	if (n + messages != 1)
		check(false, "a write is %llu signals and %llu messages", (unsigned long long)n,
		      (unsigned long long)messages);
	return n;
}

/* ---- the channel ---- */

static int find_channel(const char *pid)
{
	char path[64], to[64];
	int fd, pidfd, i;
	ssize_t n;

	pidfd = syscall(SYS_pidfd_open, atoi(pid), 0);
	if (pidfd < 0)
		die("pidfd_open");
	for (i = 0; i < 256; i++) {
		snprintf(path, sizeof(path), "/proc/%d/fd/%d", atoi(pid), i);
		n = readlink(path, to, sizeof(to) - 1);
		if (n < 0)
			continue;
		to[n] = '\0';
		if (strcmp(to, "/dev/vfiouser"))
			continue;
		fd = syscall(SYS_pidfd_getfd, pidfd, i, 0);
		if (fd < 0)
			die("pidfd_getfd");
		close(pidfd);
		return fd;
	}
	fprintf(stderr, "process %s has no channel\n", pid);
	exit(1);
}

/* Returns 0 or an errno. */
static int set(const struct vfiouser_ioeventfd *arg)
{
	return ioctl(channel, VFIOUSER_IOC_IOEVENTFD, arg) ? errno : 0;
}

static struct vfiouser_ioeventfd entry(uint64_t offset, uint32_t size)
{
	return (struct vfiouser_ioeventfd) { .offset = offset, .size = size, .fd = event };
}

static struct vfiouser_ioeventfd match(uint64_t offset, uint32_t size, uint64_t value)
{
	struct vfiouser_ioeventfd e = entry(offset, size);

	e.flags = VFIOUSER_IOEVENTFD_DATAMATCH;
	e.datamatch = value;
	return e;
}

static struct vfiouser_ioeventfd shadow(uint64_t offset, uint32_t size, const void *to)
{
	struct vfiouser_ioeventfd e = entry(offset, size);

	e.flags = VFIOUSER_IOEVENTFD_SHADOW;
	e.shadow = (uintptr_t)to;
	return e;
}

static int deassign(struct vfiouser_ioeventfd e)
{
	e.flags |= VFIOUSER_IOEVENTFD_DEASSIGN;
	e.fd = -1;
	return set(&e);
}

static void refused(const char *name, struct vfiouser_ioeventfd e, int want)
{
	int got = set(&e);

	check(got == want, "%s: %s", name, strerror(got));
}

/* ---- the tests ---- */

static void test_nonsense(void)
{
	uint8_t *page = mmap(NULL, PAGE, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct vfiouser_ioeventfd e;
	int err;

	e = entry(AT, 4);
	e.region = 6;
	refused("ROM", e, EINVAL);
	e.region = 1;
	refused("a BAR that is not there", e, EINVAL);
	e.region = ~0u;
	refused("no region", e, EINVAL);
	e = entry(AT, 4);
	e.flags = 8;
	refused("unknown flag", e, EINVAL);
	refused("behind the region", entry(BAR_SIZE, 4), EINVAL);
	refused("out of the region", entry(BAR_SIZE - 4, 8), EINVAL);
	refused("far away", entry(~0ull, 1), EINVAL);
	refused("size 3", entry(AT, 3), EINVAL);
	refused("size 16", entry(AT, 16), EINVAL);
	refused("match without a size", match(AT, 0, 1), EINVAL);
	refused("match of more than the size", match(AT, 2, 0x10000), EINVAL);
	e = entry(AT, 4);
	e.fd = -1;
	refused("no descriptor", e, EBADF);
	e.fd = channel;
	refused("no eventfd", e, EINVAL);
	refused("odd shadow", shadow(AT, 4, page + 2), EINVAL);
	refused("odd shadow for any size", shadow(AT, 0, page + 4), EINVAL);
	refused("shadow that is read-only", shadow(AT, 4, page), EFAULT);
	munmap(page, PAGE);
	refused("shadow that is not there", shadow(AT, 4, page), EFAULT);
	err = deassign(entry(AT, 4));
	check(err == ENOENT, "nothing to take back: %s", strerror(err));
	err = ioctl(channel, VFIOUSER_IOC_IOEVENTFD, NULL) ? errno : 0;
	check(err == EFAULT, "no argument: %s", strerror(err));
	check(!signalled(4, AT, 1), "nothing of it was taken");
}

static void test_assign(void)
{
	struct vfiouser_ioeventfd e = entry(AT, 4);

	check(!set(&e), "assign");
	check(signalled(4, AT, 1), "a signal");
	check(!signalled(2, AT, 1), "a message");
	refused("twice", e, EEXIST);
	refused("any size beside one", entry(AT, 0), EEXIST);
	refused("a match beside any value", match(AT, 4, 7), EEXIST);
	e = entry(AT, 8);
	check(!set(&e), "another size");
	check(signalled(8, AT, 1) && signalled(4, AT, 1), "both sizes");
	check(deassign(entry(AT, 2)) == ENOENT, "take back what was not given");
	check(deassign(match(AT, 4, 7)) == ENOENT, "take back a match that was not given");
	check(!deassign(entry(AT, 4)), "take back");
	check(!signalled(4, AT, 1) && signalled(8, AT, 1), "only one is left");
	e = match(AT, 4, 7);
	check(!set(&e), "a match");
	e = match(AT, 4, 8);
	check(!set(&e), "another match");
	refused("the same match", e, EEXIST);
	refused("any value beside a match", entry(AT, 4), EEXIST);
	check(signalled(4, AT, 7) && signalled(4, AT, 8) && !signalled(4, AT, 9), "matches");
	check(!deassign(match(AT, 4, 7)) && !deassign(match(AT, 4, 8)) && !deassign(entry(AT, 8)),
	      "take all back");
	check(!signalled(8, AT, 7) && !signalled(4, AT, 7), "none is left");
}

/* The mapping and the descriptor need not stay. */
static void test_shadow(void)
{
	int memory = memfd_create("shadow", MFD_CLOEXEC), other;
	struct vfiouser_ioeventfd e;
	uint64_t value = 0;
	uint8_t *page;

	if (memory < 0 || ftruncate(memory, PAGE))
		die("memfd_create");
	page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
	e = shadow(AT, 4, page + PAGE - 4);
	check(!set(&e), "shadow");
	munmap(page, PAGE);
	check(signalled(4, AT, 0x12345678), "shadow signalled");
	pread(memory, &value, 4, PAGE - 4);
	check(value == 0x12345678, "shadow stored: %llx", (unsigned long long)value);
	check(!deassign(entry(AT, 4)), "take shadow back");
	poke('w', 4, AT, 1);
	pread(memory, &value, 4, PAGE - 4);
	check(value == 0x12345678, "no store any more: %llx", (unsigned long long)value);

	e = shadow(AT, 0, NULL);
	page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
	e.shadow = (uintptr_t)page;
	other = eventfd(0, EFD_CLOEXEC);
	e.fd = other;
	check(!set(&e), "shadow of any size");
	close(other);
	ftruncate(memory, 0);
	poke('w', 8, AT, 0x1111111111111111);
	poke('W', 1, AT, 0x11);
	check(!deassign(entry(AT, 0)), "a server that cuts its memory and closes its eventfd");
	munmap(page, PAGE);
	close(memory);
}

static void test_many(void)
{
	struct vfiouser_ioeventfd e;
	unsigned int i;
	int err = 0;

	for (i = 0; !err && i <= MANY; i++) {
		e = match(AT_MANY, 8, i);
		err = set(&e);
	}
	check(err == ENOSPC && i > MANY - 100, "%u, then: %s", i, strerror(err));
	check(signalled(8, AT_MANY, 0) && signalled(8, AT_MANY, i / 2) &&
	      signalled(8, AT_MANY, i - 2) && !signalled(8, AT_MANY, MANY * 2),
	      "each is found");
	/* They stay, for the removal of the device to take. */
}

static unsigned int race_writes;	/* made so far */
static bool race_over;

/* Until a write began and ended. */
static void race_wait(void)
{
	unsigned int until = __atomic_load_n(&race_writes, __ATOMIC_SEQ_CST) + 2;

	while (__atomic_load_n(&race_writes, __ATOMIC_SEQ_CST) < until)
		usleep(100);
}

static void *race(void *arg)
{
	struct vfiouser_ioeventfd e = entry(AT_RACE, 4);
	unsigned int i;

	for (i = 0; i < RACE_ROUNDS; i++) {
		if (set(&e))
			break;
		race_wait();
		if (deassign(e))
			break;
		race_wait();
	}
	__atomic_store_n((unsigned int *)arg, i, __ATOMIC_SEQ_CST);
	__atomic_store_n(&race_over, true, __ATOMIC_SEQ_CST);
	return NULL;
}

/* An entry that comes and goes under writes: each write is a signal or a message. */
static void test_race(void)
{
	unsigned int rounds = 0;
	uint64_t messages, n;
	pthread_t thread;

	signals();
	messages = peek(8, MESSAGES);
	pthread_create(&thread, NULL, race, &rounds);
	while (!__atomic_load_n(&race_over, __ATOMIC_SEQ_CST)) {
		poke('w', 4, AT_RACE, 1);
		__atomic_add_fetch(&race_writes, 1, __ATOMIC_SEQ_CST);
	}
	pthread_join(thread, NULL);
	n = signals();
	messages = peek(8, MESSAGES) - messages;
	printf("# %u writes: %llu signals, %llu messages\n", race_writes, (unsigned long long)n,
	       (unsigned long long)messages);
	check(rounds == RACE_ROUNDS, "assigned and taken back %u times", rounds);
	check(n >= rounds && messages >= rounds, "both happened in each round");
	check(n + messages == race_writes, "each write was a signal or a message");
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "usage: %s HELPER-PID\n", argv[0]);
		return 2;
	}
	channel = find_channel(argv[1]);
	event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (event < 0)
		die("eventfd");
	poke('w', 8, CLEAR, 0);
	test_nonsense();
	test_assign();
	test_shadow();
	test_race();
	test_many();
	return 0;
}
