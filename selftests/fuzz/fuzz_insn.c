// SPDX-License-Identifier: GPL-2.0-only
/*
 * Any bytes through the instruction decoder, and what it makes of them through the emulator with
 * any registers, over memory that may fail. The emulator runs in fault context in the kernel: it
 * must end, leave rsp and the instruction pointer sane, and ask only for sizes that exist.
 */
#include <errno.h>

#include "../../kmod/arch/x86/emulate.h"
#include "input.h"

#define MAX_ELEMENTS	64

struct world {
	struct input *in;
	unsigned int accesses;
	unsigned int fails_at;
};

static int fail(struct world *w, unsigned int len)
{
	FUZZ_CHECK(len && len <= 64);
	/* two or three for each element, and no more */
	FUZZ_CHECK(++w->accesses <= 3 * (MAX_ELEMENTS + 1));
	return w->fails_at == w->accesses ? -EFAULT : 0;
}

static int mem_read(void *opaque, u64 addr, void *buf, unsigned int len)
{
	struct world *w = opaque;

	(void)addr;
	input_bytes(w->in, buf, len);
	return fail(w, len);
}

static int mem_write(void *opaque, u64 addr, const void *buf, unsigned int len)
{
	uint8_t copy[64];

	(void)addr;
	FUZZ_CHECK(len <= sizeof(copy));
	memcpy(copy, buf, len);
	return fail(opaque, len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct vfu_mem_ops ops = { mem_read, mem_write };
	unsigned long gpr[16], ip = 0x1000, flags;
	struct input in = { data, size };
	struct world world = { .in = &in };
	struct vfu_insn insn, again;
	struct vfu_cpu cpu = { .ip = &ip, .flags = &flags };
	uint8_t *bytes;
	size_t len;
	int i, ret;

	len = input_u8(&in) % (VFU_INSN_MAX_LEN + 3);
	bytes = malloc(len + !len);
	len = input_bytes(&in, bytes, len);
	ret = vfu_insn_decode(&insn, bytes, len);
	if (!ret) {
		FUZZ_CHECK(insn.length && insn.length <= len && insn.length <= VFU_INSN_MAX_LEN);
		FUZZ_CHECK(insn.op != VFU_OP_NONE && insn.op < VFU_OP_COUNT);
		FUZZ_CHECK(insn.base < 16 || insn.base == VFU_REG_RIP || insn.base == VFU_REG_NONE);
		FUZZ_CHECK(insn.index < 16 || insn.index == VFU_REG_NONE);
		/* What follows an instruction is nothing to it. */
		FUZZ_CHECK(!vfu_insn_decode(&again, bytes, insn.length));
		FUZZ_CHECK(again.length == insn.length && again.op == insn.op);
	}
	free(bytes);
	if (ret)
		return 0;
	for (i = 0; i < 16; i++) {
		gpr[i] = input_u64(&in);
		cpu.gpr[i] = &gpr[i];
	}
	flags = input_u16(&in);
	cpu.fs_base = input_u16(&in);
	cpu.gs_base = input_u64(&in);
	world.fails_at = input_u8(&in);
	ret = vfu_emulate(&insn, &cpu, &ops, &world, MAX_ELEMENTS);
	FUZZ_CHECK(ip == 0x1000 || ip == 0x1000ul + insn.length);
	return 0;
}
