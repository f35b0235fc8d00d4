# SPDX-License-Identifier: GPL-2.0-only
# The bundled virtio network server (selftests/servers), run under AddressSanitizer and UBSan.
VIRTIOSRV_DIR := $(dir $(lastword $(MAKEFILE_LIST)))
VIRTIOSRV_SRC := $(addprefix $(VIRTIOSRV_DIR),virtio_server_test.c mini_client.c)
VIRTIOSRV_HDR := $(addprefix $(VIRTIOSRV_DIR),mini_client.h ../../servers/lib/vfus_proto.h)
UNIT_TESTS += virtio_server_test

$(O)/unit/virtio_server_test: $(VIRTIOSRV_SRC) $(VIRTIOSRV_HDR) | servers_asan
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Werror -O2 -g -fsanitize=address,undefined \
		-fno-sanitize-recover=all -DSERVER='"$(O)/servers/vfiouser-virtio-net-asan"' \
		$(VIRTIOSRV_SRC) -o $@ -lcmocka
