#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# TIMEOUT: 400
# SMP: 2
#
# An NVMe server that takes doorbells from the driver's memory while it is busy (Doorbell Buffer
# Config), with each kind of real doorbell: data arrives, fewer doorbells are rung than requests are
# made, and none is lost when the server sleeps in between.

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/vfiouser.sh"

# run_fio DEPTH REQUESTS: random writes, read back and compared; twice as many requests as that
run_fio()
{
	fio --name=verify --filename="$disk" --size=$(($2 * 4))k --rw=randwrite --bs=4k --direct=1 \
	    --ioengine=libaio --iodepth="$1" --verify=crc32c --do_verify=1 --verify_fatal=1 \
	    --randseed=4711 --output="$WORK/fio.out"
}

ktap_plan 22
load_module
for doorbells in trap ioeventfd mmap; do
	start_server --ram=64M --doorbells=$doorbells --shadow-doorbells
	attach "$SOCKET"
	ktap_ok $? "$doorbells: attach"
	disk=$(disk_of "$BDF")
	traps=$(stat_of traps)
	ktap_run "$doorbells: fio verifies, depth 32" run_fio 32 2048
	traps=$(($(stat_of traps) - traps))
	ktap_log "$traps traps for 4096 requests"
	# without, it is two for each request; a server that always sleeps is woken for each
	test $traps -lt 6144
	ktap_ok $? "$doorbells: completions are taken without a trap"
	# The server sleeps before each of these: it must be woken, or they time out.
	ktap_run "$doorbells: fio verifies, depth 1" run_fio 1 256
	ktap_run "$doorbells: controller reset" \
		sh -c "echo 1 | tee /sys/bus/pci/devices/$BDF/nvme/nvme*/reset_controller"
	ktap_run "$doorbells: fio after the reset" run_fio 8 256
	ktap_run "$doorbells: detach" detach "$BDF"
	wait_for 5 pci_gone "$BDF"
	stop_server
done
ktap_is "the driver has shadow doorbells and waits for nothing" \
	"$(dmesg | grep -E 'nvme.*(I/O.*timeout|unable to set dbbuf)')" ""
ktap_end
