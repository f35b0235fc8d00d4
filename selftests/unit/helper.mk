# SPDX-License-Identifier: GPL-2.0-only
# The helper's own files, with the engine, under ASan and UBSan.
HELPER_TESTS := helper_parse helper_peer helper_busy helper_ring helper_pciconf helper_serve helper_iofds \
	helper_notify helper_record helper_alias
UNIT_TESTS += $(HELPER_TESTS) helper_proc

HELPER_DIR := $(abspath $(dir $(lastword $(MAKEFILE_LIST)))../../helper)
HELPER_PC := json-c libnl-3.0 libnl-genl-3.0 libseccomp libcap-ng
HELPER_CFLAGS := -std=gnu11 -Wall -Wextra -Werror -O2 -g -fsanitize=address,undefined \
	-fno-sanitize-recover=all -I$(HELPER_DIR)/../uapi $(shell pkg-config --cflags $(HELPER_PC))
HELPER_SRC := $(wildcard $(HELPER_DIR)/*.c $(HELPER_DIR)/engine/*.c)
HELPER_OBJ := $(patsubst $(HELPER_DIR)/%.c,$(O)/unit/helper/%.o,$(HELPER_SRC))

# main.c is linked for what the subcommands need of it; each test has a main() of its own.
$(O)/unit/helper/main.o: HELPER_CFLAGS += -Dmain=vfiouserctl_main -Wno-missing-prototypes
$(filter-out $(O)/unit/helper/engine/%,$(HELPER_OBJ)): HELPER_CFLAGS += -D_GNU_SOURCE

$(HELPER_OBJ): $(O)/unit/helper/%.o: $(HELPER_DIR)/%.c
	@mkdir -p $(@D)
	$(CC) $(HELPER_CFLAGS) -MMD -MP -c $< -o $@

$(O)/unit/helper_ring $(O)/unit/helper_serve $(O)/unit/helper_iofds: \
	HELPER_LDFLAGS := -Wl,--wrap=ioctl
$(O)/unit/helper_iofds: $(O)/unit/engine/fake_server.o
$(O)/unit/helper_iofds: HELPER_LDFLAGS += -I$(HELPER_DIR)/engine

$(addprefix $(O)/unit/,$(HELPER_TESTS)): $(O)/unit/%: %.c $(HELPER_OBJ)
	@mkdir -p $(@D)
	$(CC) -D_GNU_SOURCE $(HELPER_CFLAGS) $(HELPER_LDFLAGS) $^ -o $@ \
		$(shell pkg-config --libs $(HELPER_PC)) -lcmocka -lpthread

# Without ASan, which needs system calls of its own at the end of a confined process.
$(O)/unit/helper_proc: helper_proc.c $(addprefix $(HELPER_DIR)/,proc.c seccomp.c log.c)
	@mkdir -p $(@D)
	$(CC) -D_GNU_SOURCE $(filter-out -fsanitize=%,$(HELPER_CFLAGS)) -fsanitize=undefined $^ -o $@ \
		-lseccomp -lcap-ng -lcmocka

-include $(HELPER_OBJ:.o=.d)
