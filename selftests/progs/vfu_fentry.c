// SPDX-License-Identifier: GPL-2.0-only
/*
 * vfu_fentry fentry|fexit FUNCTION COMMAND [ARG...]: runs COMMAND with a BPF program at the
 * entry or the exit of a function of the kernel, as tracing tools have it; the program does
 * nothing.
 *
 * Exit status: the command's; 125 where the kernel has no such program, 126 where it does not
 * let it be attached there (said on stderr), 127 where the command cannot be run.
 *
 * By hand, as there is no library for it on the machines that the tests run on: the function's
 * number is its place in the kernel's own type information.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/btf.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static long bpf(int cmd, union bpf_attr *attr)
{
	return syscall(SYS_bpf, cmd, attr, sizeof(*attr));
}

static char *read_all(const char *path, size_t *len)
{
	size_t size = 0, room = 16 << 20;
	char *data = malloc(room);
	int fd = open(path, O_RDONLY);
	ssize_t n;

	if (!data || fd < 0)
		return NULL;
	while ((n = read(fd, data + size, room - size)) > 0)
		size += n;
	close(fd);
	*len = size;
	return n < 0 || size == room ? NULL : data;
}

/* Bytes behind the struct btf_type of a type. */
static size_t extra(const struct btf_type *t)
{
	size_t n = BTF_INFO_VLEN(t->info);

	switch (BTF_INFO_KIND(t->info)) {
	case BTF_KIND_INT:
	case BTF_KIND_VAR:
	case BTF_KIND_DECL_TAG:
		return 4;
	case BTF_KIND_ARRAY:
		return sizeof(struct btf_array);
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
		return n * sizeof(struct btf_member);
	case BTF_KIND_ENUM:
		return n * sizeof(struct btf_enum);
	case BTF_KIND_ENUM64:
		return n * 12;
	case BTF_KIND_FUNC_PROTO:
		return n * sizeof(struct btf_param);
	case BTF_KIND_DATASEC:
		return n * sizeof(struct btf_var_secinfo);
	}
	return 0;
}

static int function_id(const char *name)
{
	const char *types, *end, *strings;
	const struct btf_header *head;
	size_t len;
	int id = 1;

	head = (void *)read_all("/sys/kernel/btf/vmlinux", &len);
	if (!head || len < sizeof(*head) || head->magic != BTF_MAGIC)
		return -1;
	types = (const char *)head + head->hdr_len + head->type_off;
	end = types + head->type_len;
	strings = (const char *)head + head->hdr_len + head->str_off;
	while (types < end) {
		const struct btf_type *t = (const void *)types;

		if (BTF_INFO_KIND(t->info) == BTF_KIND_FUNC && !strcmp(strings + t->name_off, name))
			return id;
		types += sizeof(*t) + extra(t);
		id++;
	}
	return -1;
}

int main(int argc, char **argv)
{
	static const struct bpf_insn nothing[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	union bpf_attr load = {
		.prog_type = BPF_PROG_TYPE_TRACING,
		.insns = (uintptr_t)nothing,
		.insn_cnt = 2,
		.license = (uintptr_t)"GPL",
	};
	union bpf_attr attach = { 0 };
	int id, status;
	pid_t pid;

	if (argc < 4) {
		fprintf(stderr, "usage: vfu_fentry fentry|fexit FUNCTION COMMAND [ARG...]\n");
		return 2;
	}
	id = function_id(argv[2]);
	if (id < 0) {
		fprintf(stderr, "no type of %s\n", argv[2]);
		return 125;
	}
	load.expected_attach_type = strcmp(argv[1], "fexit") ? BPF_TRACE_FENTRY : BPF_TRACE_FEXIT;
	load.attach_btf_id = id;
	attach.raw_tracepoint.prog_fd = bpf(BPF_PROG_LOAD, &load);
	if ((int)attach.raw_tracepoint.prog_fd < 0) {
		fprintf(stderr, "%s of %s: %s\n", argv[1], argv[2], strerror(errno));
		return 125;
	}
	if (bpf(BPF_RAW_TRACEPOINT_OPEN, &attach) < 0) {
		fprintf(stderr, "attach %s of %s: %s\n", argv[1], argv[2], strerror(errno));
		return 126;
	}
	pid = fork();
	if (!pid) {
		execvp(argv[3], argv + 3);
		_exit(127);
	}
	/* the program goes with this process */
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return 127;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
