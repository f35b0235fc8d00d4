// SPDX-License-Identifier: GPL-2.0-only
/*
 * Ends this machine by a kexec, with a few instructions in place of the next kernel: they say on
 * the second serial port that they run, and then reset the machine by a triple fault.
 *
 *	vfu_kexec
 *
 * Exit status: 1 where the kernel does not do it.
 */
#include <linux/kexec.h>
#include <linux/reboot.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Where there is memory; what was there is not needed any more. */
#define NEXT_KERNEL	0x1000000UL
#define PAGE		4096UL

/* 64 bits, paging with physical addresses, no stack, no interrupts. */
asm(".pushsection .rodata\n"
	"vfu_next:\n"
	"	lea	text(%rip), %rsi\n"
	"1:	mov	$0x2fd, %edx\n"		/* line status: can it take a byte? */
	"	in	%dx, %al\n"
	"	test	$0x20, %al\n"
	"	jz	1b\n"
	"	mov	(%rsi), %al\n"
	"	test	%al, %al\n"
	"	jz	2f\n"
	"	inc	%rsi\n"
	"	mov	$0x2f8, %edx\n"
	"	out	%al, %dx\n"
	"	jmp	1b\n"
	"2:	lidt	none(%rip)\n"
	"	ud2\n"
	"none:	.quad	0, 0\n"
	"text:	.asciz	\"\\n# kexec: the next kernel runs\\n\"\n"
	"	.skip	128 - (. - vfu_next)\n"
	".popsection\n");

extern const char vfu_next[128];

int main(void)
{
	struct kexec_segment segment = {
		.buf = vfu_next,
		.bufsz = sizeof(vfu_next),
		.mem = (void *)NEXT_KERNEL,
		.memsz = PAGE,
	};

	if (syscall(SYS_kexec_load, NEXT_KERNEL, 1UL, &segment, KEXEC_ARCH_X86_64)) {
		perror("vfu_kexec: kexec_load");
		return 1;
	}
	syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_KEXEC, NULL);
	perror("vfu_kexec: reboot");
	return 1;
}
