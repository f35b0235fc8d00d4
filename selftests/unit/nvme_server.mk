# SPDX-License-Identifier: GPL-2.0-only
# The bundled NVMe server (servers/nvme) with the faults of selftests/servers, run under
# AddressSanitizer and UBSan.
NVMESRV_DIR := $(dir $(lastword $(MAKEFILE_LIST)))
NVMESRV_SRC := $(addprefix $(NVMESRV_DIR),nvme_client.c mini_client.c)
NVMESRV_HDR := $(addprefix $(NVMESRV_DIR),mini_client.h nvme_client.h ../../servers/lib/vfus_proto.h)
NVMESRV_TESTS := nvme_server_test nvme_disk_test
UNIT_TESTS += $(NVMESRV_TESTS)

$(addprefix $(O)/unit/,$(NVMESRV_TESTS)): $(O)/unit/%: $(NVMESRV_DIR)%.c $(NVMESRV_SRC) \
		$(NVMESRV_HDR) | servers_asan
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Werror -O2 -g -fsanitize=address,undefined \
		-fno-sanitize-recover=all -DSERVER='"$(O)/servers/vfiouser-nvme-fault-asan"' \
		$< $(NVMESRV_SRC) -o $@ -lcmocka

# one for all that run servers: they have objects in common
servers_asan:
	+$(MAKE) -C $(NVMESRV_DIR)../../servers O=$(O) asan
	+$(MAKE) -C $(NVMESRV_DIR)../servers O=$(O) asan

.PHONY: servers_asan
