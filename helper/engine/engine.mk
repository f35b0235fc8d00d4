# SPDX-License-Identifier: GPL-2.0-only
#
# The vfio-user client library, $(O)/helper/libengine.a. To be included, with O and CC set, or used
# alone: make -f helper/engine/engine.mk O=build
#
# Whoever links it: -I helper/engine, $(ENGINE_LIB) $(ENGINE_LIBS).

ENGINE_DIR := $(dir $(abspath $(lastword $(MAKEFILE_LIST))))
O ?= $(abspath $(ENGINE_DIR)../../build)

ENGINE_CFLAGS ?= -std=gnu11 -Wall -Wextra -Werror -O2 -g
ENGINE_LIB := $(O)/helper/libengine.a
ENGINE_LIBS := -ljson-c
ENGINE_NAMES := access buffer call channel client dma error info iofds irq pending protocol region \
		transport version
ENGINE_SRC := $(addprefix $(ENGINE_DIR),$(addsuffix .c,$(ENGINE_NAMES)))
ENGINE_OBJ := $(addprefix $(O)/helper/engine/,$(addsuffix .o,$(ENGINE_NAMES)))

$(ENGINE_LIB): $(ENGINE_OBJ)
	$(RM) $@
	$(AR) rcs $@ $(ENGINE_OBJ)

$(ENGINE_OBJ): $(O)/helper/engine/%.o: $(ENGINE_DIR)%.c
	@mkdir -p $(@D)
	$(CC) $(ENGINE_CFLAGS) -MMD -MP -c $< -o $@

-include $(ENGINE_OBJ:.o=.d)
