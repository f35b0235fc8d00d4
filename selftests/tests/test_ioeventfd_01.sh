#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# TIMEOUT: 400
# SMP: 2
#
# The nvme driver on doorbells that are shadow ioeventfds: data arrives, and the doorbells are not
# messages. The same with --no-direct, where they are.

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/vfiouser.sh"

# run_fio DISK SIZE: random writes, read back and compared
run_fio()
{
	fio --name=verify --filename="$1" --size="$2" --rw=randwrite --bs=4k --direct=1 \
	    --ioengine=libaio --iodepth=16 --verify=crc32c --do_verify=1 --verify_fatal=1 \
	    --randseed=4711 --output="$WORK/fio.out"
}

# Each request of fio is a doorbell at least, of which the kernel makes fewer by batching.
FIO_SIZE=4M
FIO_REQUESTS=2048

ktap_plan 22
load_module
start_server --ram=64M --doorbells=ioeventfd

attach "$SOCKET"
ktap_ok $? "attach"
disk=$(disk_of "$BDF")
ktap_match "disk" "$disk" '^/dev/nvme'
ktap_run "mkfs" mke2fs -q -t ext4 "$disk"
mkdir -p /mnt
ktap_run "mount" mount -t ext4 "$disk" /mnt || ktap_bail "no file system"
cp -r /selftests /mnt/
(cd /mnt && find . -type f -exec sha256sum {} +) >"$WORK/sums"
umount /mnt
mount -t ext4 "$disk" /mnt
ktap_run "files unchanged" sh -c "cd /mnt && sha256sum -s -c $WORK/sums"
ktap_run "umount" umount /mnt
ktap_run "file system clean" e2fsck -fn "$disk"

writes=$(stat_of writes)
signals=$(stat_of ioeventfds)
traps=$(stat_of traps)
ktap_run "fio verifies" run_fio "$disk" $FIO_SIZE
writes=$(($(stat_of writes) - writes))
signals=$(($(stat_of ioeventfds) - signals))
traps=$(($(stat_of traps) - traps))
ktap_log "fio: $signals signals, $writes forwarded writes, $traps traps"
test $signals -ge $((FIO_REQUESTS / 16))
ktap_ok $? "doorbells were signalled"
ktap_is "none was a message" "$writes" 0
ktap_is "each trap was one signal" "$traps" "$signals"

# A reset: the queues are made anew, and doorbells work again.
ktap_run "controller reset" sh -c "echo 1 | tee /sys/bus/pci/devices/$BDF/nvme/nvme*/reset_controller"
ktap_run "fio after the reset" run_fio "$disk" 1M
ktap_run "detach" detach "$BDF"
ktap_run "device gone" wait_for 5 pci_gone "$BDF"

# The server's eventfd and memory were given back: it serves the next as it did the first.
attach --no-direct "$SOCKET"
ktap_ok $? "attach without doorbells"
disk=$(disk_of "$BDF")
signals=$(stat_of ioeventfds)
ktap_run "fio verifies without" run_fio "$disk" 1M
ktap_is "nothing was signalled" "$(($(stat_of ioeventfds) - signals))" 0
test "$(stat_of writes)" -gt 100
ktap_ok $? "doorbells were messages"
ktap_run "detach again" detach "$BDF"
ktap_run "device gone again" wait_for 5 pci_gone "$BDF"
stop_server
ktap_ok $? "the server ends on SIGTERM"
ktap_end
