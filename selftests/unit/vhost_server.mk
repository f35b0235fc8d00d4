# SPDX-License-Identifier: GPL-2.0-only
# vfiouser-vhost (servers/vhost) between a driver, which is this test, and vhost-user back ends. It
# runs under AddressSanitizer and UBSan.
VHOSTSRV_DIR := $(dir $(lastword $(MAKEFILE_LIST)))
VHOSTSRV_SRC := $(addprefix $(VHOSTSRV_DIR),vhost_server_test.c mini_client.c)
VHOSTSRV_HDR := $(addprefix $(VHOSTSRV_DIR),mini_client.h ../../servers/lib/vfus_proto.h)
UNIT_TESTS += vhost_server_test

$(O)/unit/vhost_server_test: $(VHOSTSRV_SRC) $(VHOSTSRV_HDR) | servers_asan
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Werror -O2 -g -fsanitize=address,undefined \
		-fno-sanitize-recover=all -DSERVER='"$(O)/servers/vfiouser-vhost-asan"' \
		-DVUBLK='"$(O)/servers/vfiouser-vublk-asan"' $(VHOSTSRV_SRC) -o $@ -lcmocka

