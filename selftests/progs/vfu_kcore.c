// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reads the kernel's memory through /proc/kcore, as debuggers and dump programs do.
 *
 *	vfu_kcore START-END...	ranges of addresses as /proc/vmallocinfo has them
 *
 * Prints how many bytes were read and how many of them are not zero. Exit status: 0, 2 for a wrong
 * command line, 3 where /proc/kcore does not open or is no core file, 4 where a range cannot be
 * read.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Where in the file an address is, or -1. */
static off_t offset_of(const Elf64_Phdr *ph, unsigned int n, unsigned long addr)
{
	unsigned int i;

	for (i = 0; i < n; i++)
		if (ph[i].p_type == PT_LOAD && addr >= ph[i].p_vaddr &&
		    addr - ph[i].p_vaddr < ph[i].p_memsz)
			return (off_t)(ph[i].p_offset + (addr - ph[i].p_vaddr));
	return -1;
}

int main(int argc, char **argv)
{
	unsigned long addr, end, bytes = 0, set = 0;
	static char buf[4096];
	Elf64_Phdr *ph;
	Elf64_Ehdr eh;
	ssize_t got, i;
	off_t at;
	int fd, arg;

	fd = open("/proc/kcore", O_RDONLY);
	if (fd < 0 || pread(fd, &eh, sizeof(eh), 0) != (ssize_t)sizeof(eh) ||
	    memcmp(eh.e_ident, ELFMAG, SELFMAG)) {
		fprintf(stderr, "/proc/kcore: %s\n", strerror(errno));
		return 3;
	}
	ph = calloc(eh.e_phnum, sizeof(*ph));
	if (!ph || pread(fd, ph, eh.e_phnum * sizeof(*ph), (off_t)eh.e_phoff) < 0)
		return 3;
	for (arg = 1; arg < argc; arg++) {
		if (sscanf(argv[arg], "%lx-%lx", &addr, &end) != 2) {
			fprintf(stderr, "usage: vfu_kcore START-END...\n");
			return 2;
		}
		for (; addr < end; addr += (unsigned long)got, bytes += (unsigned long)got) {
			at = offset_of(ph, eh.e_phnum, addr);
			got = at < 0 ? -1 : pread(fd, buf, sizeof(buf), at);
			if (got <= 0) {
				fprintf(stderr, "%lx: %s\n", addr, strerror(errno));
				return 4;
			}
			for (i = 0; i < got; i++)
				set += !!buf[i];
		}
	}
	printf("%lu bytes read, %lu not zero\n", bytes, set);
	return 0;
}
