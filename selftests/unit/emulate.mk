# SPDX-License-Identifier: GPL-2.0-only
# The instruction emulator (kmod/arch/x86/emulate.c) against the CPU.
EMULATE_DIR := $(dir $(lastword $(MAKEFILE_LIST)))
EMULATE_SRC := $(addprefix $(EMULATE_DIR),emulate_test.c ../../kmod/arch/x86/emulate.c ../../kmod/arch/x86/insn.c)
UNIT_TESTS += emulate_test

$(O)/unit/emulate_test: $(EMULATE_SRC) $(addprefix $(EMULATE_DIR)../../kmod/arch/x86/,emulate.h insn.h)
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -Wall -Wextra -Werror -O2 -g -fsanitize=address,undefined \
		-fno-sanitize-recover=all $(EMULATE_SRC) -o $@ -lcmocka
