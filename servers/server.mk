# SPDX-License-Identifier: GPL-2.0-only
#
# How a server is built on the library in lib/. Whoever includes it has O set, or lets it be the
# build directory of this tree, and says for each program
#
#	$(eval $(call server,NAME,SOURCES,LIBRARIES))
#
# with the sources' paths in this tree, without ".c". Made of them: $(O)/servers/NAME by "all", and
# $(O)/servers/NAME-asan, the same under AddressSanitizer and UBSan for the unit tests, by "asan".

TOP := $(patsubst %/servers/,%,$(dir $(abspath $(lastword $(MAKEFILE_LIST)))))
O ?= $(TOP)/build
OUT := $(abspath $(O))/servers

CC ?= cc
AR ?= ar
PKG_CONFIG ?= pkg-config
CFLAGS ?= -O2 -g
SERVER_CFLAGS := -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Werror -MMD -MP -I$(TOP)/servers/lib \
	$(shell $(PKG_CONFIG) --cflags json-c)
SERVER_LIBS := $(shell $(PKG_CONFIG) --libs json-c)
SANITIZE := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined \
	-fno-omit-frame-pointer

include $(TOP)/servers/lib/vfus.mk
OBJS := $(VFUS)

.DEFAULT_GOAL := all
all:
asan:

define server
OBJS += $(2)
all: $(OUT)/$(1)
asan: $(OUT)/$(1)-asan
$(OUT)/$(1): $(patsubst %,$(OUT)/obj/%.o,$(2)) $(OUT)/libvfus.a
	$$(CC) $$(CFLAGS) $$(LDFLAGS) -o $$@ $$^ $(3) $$(SERVER_LIBS)
$(OUT)/$(1)-asan: $(patsubst %,$(OUT)/asan/%.o,$(2)) $(OUT)/libvfus-asan.a
	$$(CC) $$(SANITIZE) $$(LDFLAGS) -o $$@ $$^ $(3) $$(SERVER_LIBS)
endef

$(OUT)/libvfus.a: $(patsubst %,$(OUT)/obj/%.o,$(VFUS))
	rm -f $@
	$(AR) rcs $@ $^

$(OUT)/libvfus-asan.a: $(patsubst %,$(OUT)/asan/%.o,$(VFUS))
	rm -f $@
	$(AR) rcs $@ $^

$(OUT)/obj/%.o: $(TOP)/%.c
	@mkdir -p $(@D)
	$(CC) $(SERVER_CFLAGS) $(CFLAGS) -c -o $@ $<

$(OUT)/asan/%.o: $(TOP)/%.c
	@mkdir -p $(@D)
	$(CC) $(SERVER_CFLAGS) $(SANITIZE) -c -o $@ $<

clean:
	rm -rf $(OUT)

# asked for when the servers are known, at the end
DEPS = $(foreach obj,$(sort $(OBJS)),$(OUT)/obj/$(obj).d $(OUT)/asan/$(obj).d)

.PHONY: all asan clean
