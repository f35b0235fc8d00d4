# SPDX-License-Identifier: GPL-2.0-only
# The protocol engine (helper/engine) against scripted servers, under ASan and UBSan.
ENGINE_TEST_DIR := $(dir $(abspath $(lastword $(MAKEFILE_LIST))))
ENGINE_TEST_SRC_DIR := $(ENGINE_TEST_DIR)../../helper/engine/
ENGINE_TESTS := engine_version engine_transport engine_region engine_irq engine_iofds engine_access \
		engine_dma engine_faults engine_tables
UNIT_TESTS += $(ENGINE_TESTS)

ENGINE_TEST_CFLAGS := -std=gnu11 -Wall -Wextra -Werror -O1 -g -fsanitize=address,undefined \
		      -fno-sanitize-recover=all -I$(ENGINE_TEST_SRC_DIR) -I$(ENGINE_TEST_DIR) -pthread
ENGINE_TEST_SRC := $(wildcard $(ENGINE_TEST_SRC_DIR)*.c) $(ENGINE_TEST_DIR)fake_server.c
ENGINE_TEST_OBJ := $(patsubst %.c,$(O)/unit/engine/%.o,$(notdir $(ENGINE_TEST_SRC)))

$(addprefix $(O)/unit/,$(ENGINE_TESTS)): $(O)/unit/%: $(O)/unit/engine/%.o $(ENGINE_TEST_OBJ)
	$(CC) $(ENGINE_TEST_CFLAGS) $^ -o $@ -ljson-c -lcmocka

$(O)/unit/engine/%.o: $(ENGINE_TEST_SRC_DIR)%.c
	@mkdir -p $(@D)
	$(CC) $(ENGINE_TEST_CFLAGS) -MMD -MP -c $< -o $@

$(O)/unit/engine/%.o: $(ENGINE_TEST_DIR)%.c
	@mkdir -p $(@D)
	$(CC) $(ENGINE_TEST_CFLAGS) -MMD -MP -c $< -o $@

-include $(ENGINE_TEST_OBJ:.o=.d) $(ENGINE_TESTS:%=$(O)/unit/engine/%.d)
