# SPDX-License-Identifier: GPL-2.0-only
# The instruction decoder (kmod/arch/x86/insn.c) against an independent disassembler.
INSN_DIR := $(dir $(lastword $(MAKEFILE_LIST)))
INSN_SRC := $(addprefix $(INSN_DIR),insn_test.c ../../kmod/arch/x86/insn.c)
UNIT_TESTS += insn_test

$(O)/unit/insn_test: $(INSN_SRC) $(INSN_DIR)../../kmod/arch/x86/insn.h
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -Wall -Wextra -Werror -O2 -g -fsanitize=address,undefined \
		-fno-sanitize-recover=all $(INSN_SRC) -o $@ -lZydis -lcmocka
