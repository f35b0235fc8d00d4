// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a server can do with the descriptor of the host's memory, and what not.
 *
 *	vfu_ram			all checks, as KTAP lines without numbers: "ok NAME", "not ok NAME"
 *	vfu_ram --as-user CMD..	runs CMD without CAP_SYS_RAWIO
 *
 * It looks at a page of its own at the page's physical address.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/vfiouser.h>

#define PAGE	4096ul

static bool failed;

static void check(bool ok, const char *name)
{
	printf("%sok %s\n", ok ? "" : "not ", name);
	failed |= !ok;
}

static uint64_t physical(void *p)
{
	int fd = open("/proc/self/pagemap", O_RDONLY);
	uint64_t entry = 0;

	if (fd < 0 || pread(fd, &entry, 8, (off_t)((uintptr_t)p / PAGE * 8)) != 8 ||
	    !(entry >> 63))
		entry = 0;
	close(fd);
	return (entry & ((1ull << 55) - 1)) * PAGE;
}

static bool maps(int fd, uint64_t offset, size_t size, int prot, int flags)
{
	void *p = mmap(NULL, size, prot, flags, fd, (off_t)offset);

	if (p == MAP_FAILED)
		return false;
	munmap(p, size);
	return true;
}

int main(int argc, char **argv)
{
	const int rw = PROT_READ | PROT_WRITE;
	struct vfiouser_ram_range ranges[256];
	struct vfiouser_ram arg = { .ranges = (uintptr_t)ranges, .count = 256 };
	struct vfiouser_ram more;
	uint64_t phys, total = 0, end = 0;
	volatile uint64_t *mine, *seen;
	bool apart = true;
	struct stat st;
	unsigned int i;
	int chan, err;
	char c = 0;

	if (argc > 2 && !strcmp(argv[1], "--as-user")) {
		if (prctl(PR_CAPBSET_DROP, CAP_SYS_RAWIO))
			return 2;
		execvp(argv[2], argv + 2);
		return 2;
	}
	chan = open("/dev/" VFIOUSER_DEV_NAME, O_RDWR);
	if (chan < 0) {
		perror("/dev/" VFIOUSER_DEV_NAME);
		return 2;
	}
	more = (struct vfiouser_ram){ .ranges = (uintptr_t)ranges };
	err = ioctl(chan, VFIOUSER_IOC_RAM, &more) ? errno : 0;
	check(err == E2BIG && more.count, "no room: how much is needed");
	err = ioctl(chan, VFIOUSER_IOC_RAM, &arg) ? errno : 0;
	check(!err && arg.count == more.count, "all memory");
	if (err)
		return 1;
	err = ioctl(chan, VFIOUSER_IOC_RAM, &more) ? errno : 0;
	check(err == EBUSY, "not twice");
	for (i = 0; i < arg.count; i++) {
		apart &= (!i || ranges[i].start > end) && ranges[i].size &&
			 !(ranges[i].start % PAGE) && !(ranges[i].size % PAGE);
		end = ranges[i].start + ranges[i].size;
		total += ranges[i].size;
	}
	check(apart, "ranges in order, with something between them");
	check(total >= (uint64_t)sysconf(_SC_PHYS_PAGES) * PAGE, "as much as the kernel counts");

	mine = mmap(NULL, PAGE, rw, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	mlock((void *)mine, PAGE);
	*mine = 0x1122334455667788;
	phys = physical((void *)mine);
	seen = mmap(NULL, PAGE, rw, MAP_SHARED, arg.fd, (off_t)phys);
	check(phys && seen != MAP_FAILED, "a page of this process at its physical address");
	if (!phys || seen == MAP_FAILED)
		return 1;
	check(*seen == 0x1122334455667788, "is the same page");
	*seen = 0x99aa;
	check(*mine == 0x99aa, "in both directions");

	check(!fstat(arg.fd, &st) && st.st_blksize == (blksize_t)PAGE, "fstat");
	check(read(arg.fd, &c, 1) < 0 && write(arg.fd, &c, 1) < 0 &&
	      pread(arg.fd, &c, 1, 0x100000) < 0, "no reading and writing");
	check(ioctl(arg.fd, VFIOUSER_IOC_REMOVE) && errno == ENOTTY, "none of the channel's commands");
	check(ftruncate(arg.fd, 0), "no truncation");
	check(!maps(arg.fd, phys, PAGE, rw, MAP_PRIVATE), "no private mapping");
	check(!maps(arg.fd, phys, PAGE, rw | PROT_EXEC, MAP_SHARED), "nothing to be executed");
	check(mprotect((void *)seen, PAGE, PROT_READ | PROT_EXEC), "later neither");
	check(mremap((void *)seen, PAGE, 2 * PAGE, MREMAP_MAYMOVE) == MAP_FAILED, "no growing");
	check(!maps(arg.fd, end, PAGE, rw, MAP_SHARED), "nothing behind the memory");
	check(!maps(arg.fd, end - PAGE, 2 * PAGE, rw, MAP_SHARED), "and nothing half behind it");
	check(maps(arg.fd, ranges[0].start, ranges[0].size, rw, MAP_SHARED), "all of a range");
	/* the kernel's own alignment, of one that knows of such pages */
	if (ranges[arg.count - 1].size >= 8ul << 20 && !access("/sys/kernel/mm/transparent_hugepage", F_OK)) {
		void *big = mmap(NULL, 4ul << 20, rw, MAP_SHARED, arg.fd,
				 (off_t)((end - (6ul << 20)) & ~((2ul << 20) - 1)));

		check(big != MAP_FAILED && !((uintptr_t)big % (2ul << 20)),
		      "large mappings are aligned to 2 MiB");
	}

	/* This process holds the descriptor and the mapping, as a server would. */
	close(chan);
	check(*seen == ~0ull, "the channel is closed: nobody's memory");
	*seen = 5;
	check(*mine == 0x99aa, "what is written goes nowhere");
	seen = mmap(NULL, PAGE, rw, MAP_SHARED, arg.fd, (off_t)phys);
	check(seen == MAP_FAILED || *seen != 0x99aa, "nor does a new mapping show anything");
	return failed;
}
