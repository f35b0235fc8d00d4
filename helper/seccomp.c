// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a serving helper may still ask of the kernel: an allow-list of system calls, put in place
 * when set-up is over and not to be taken back. Everything else fails with EPERM.
 *
 * It opens nothing, connects to nothing and starts nothing: all descriptors that it will need are
 * open by then, and the eventfds are the only new ones.
 */
#include <errno.h>
#include <seccomp.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/vfiouser.h>

#include "array.h"
#include "seccomp.h"

static const int allowed[] = {
	/* the two sockets of the server */
	SCMP_SYS(sendmsg), SCMP_SYS(recvmsg), SCMP_SYS(sendto), SCMP_SYS(recvfrom),
	SCMP_SYS(shutdown),
	/* a server's process that another one goes on for */
	SCMP_SYS(pidfd_open),
	/* eventfds, signalfd, the log */
	SCMP_SYS(eventfd2), SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(writev), SCMP_SYS(close),
	/* surplus descriptors from the server are looked at before they are closed */
	SCMP_SYS(fstat), SCMP_SYS(newfstatat), SCMP_SYS(lseek), SCMP_SYS(fcntl),
	/* standard descriptors are let go when the starting command has ended */
	SCMP_SYS(dup2), SCMP_SYS(dup3),
	/* waiting and time */
	SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(clock_gettime), SCMP_SYS(clock_nanosleep),
	SCMP_SYS(nanosleep), SCMP_SYS(gettimeofday), SCMP_SYS(sched_yield),
	SCMP_SYS(restart_syscall),
	/* the allocator */
	SCMP_SYS(brk), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(futex),
	SCMP_SYS(getrandom),
	/* the end, also by abort() */
	SCMP_SYS(exit), SCMP_SYS(exit_group), SCMP_SYS(rt_sigreturn), SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigaction), SCMP_SYS(getpid), SCMP_SYS(gettid),
};

static const scmp_datum_t allowed_ioctls[] = {
	VFIOUSER_IOC_WAKE, VFIOUSER_IOC_IRQFD, VFIOUSER_IOC_REMOVE, VFIOUSER_IOC_SERVER,
};

/**
 * seccomp_restrict() - put the allow-list in place
 *
 * Context: single threaded, after set-up. Also sets no_new_privs.
 * Return: 0 or a negative errno; nothing is restricted then.
 */
int seccomp_restrict(void)
{
	scmp_filter_ctx ctx;
	size_t i;
	int err;

	ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	if (!ctx)
		return -ENOMEM;
	err = 0;
	for (i = 0; !err && i < ARRAY_SIZE(allowed); i++)
		err = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, allowed[i], 0);
	for (i = 0; !err && i < ARRAY_SIZE(allowed_ioctls); i++)
		err = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
				       SCMP_A1(SCMP_CMP_EQ, allowed_ioctls[i], 0));
	/* Who sends: see vfuc_submit_who(). */
	if (!err)
		err = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(setsockopt), 2,
				       SCMP_A1(SCMP_CMP_EQ, SOL_SOCKET, 0),
				       SCMP_A2(SCMP_CMP_EQ, SO_PASSCRED, 0));
	/* Signals to nobody but itself, as of abort(). */
	if (!err)
		err = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
				       SCMP_A0(SCMP_CMP_EQ, getpid(), 0));
	/* Memory, but none that can be executed. */
	if (!err)
		err = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
				       SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	if (!err)
		err = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
				       SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	if (!err)
		err = seccomp_load(ctx);
	seccomp_release(ctx);
	return err;
}
