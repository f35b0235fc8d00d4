#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# TIMEOUT: 300
# DISK: 64M
# SHARE: yes
# APPEND: vm.end=reboot
#
# A machine that goes down under attached devices: a disk with a file system that is mounted and being
# written, one that waits for its server, and one of a vhost-user back end, mounted as well.  The script leaves all of that to process 1, which reboots;
# the rest is said by test_shutdown_01.host.

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/vfiouser.sh"
. "$(dirname "$0")/../lib/recover.sh"
. "$(dirname "$0")/../lib/vhost.sh"

ktap_plan 8
load_module

start_server --file=/dev/vda
attach --name=live "$SOCKET"
ktap_ok $? "a disk" || ktap_bail "no device"
live=$BDF
disk=$(disk_of "$BDF") || ktap_bail "no disk"
mke2fs -q -t ext4 "$disk" && mkdir -p /mnt && mount -t ext4 "$disk" /mnt
ktap_ok $? "a file system on it"
dd if=/dev/urandom of=/mnt/kept bs=64k count=32 conv=fsync 2>/dev/null &&
	sha256sum </mnt/kept >/share/sum
ktap_ok $? "a file that is synced"

start_server --ram=16M
attach --name=waits --reconnect=$((300 * ${VM_SCALE:-1})) "$SOCKET"
ktap_ok $? "another disk"
other=$(disk_of "$BDF")
dd if="$other" of=/dev/null bs=4k count=10000000 iflag=direct >/dev/null 2>&1 &
kill -KILL "$SERVER_PID"
wait_for 60 state_is "$BDF" frozen
ktap_ok $? "without its server, under a reader"

vhost_drivers
truncate -s 32M /share/vhost.img
qsd /share/vhost.img 1
vhost_backend "${QSD[@]}"
vhost_front blk
attach --name=vhost "$SOCKET"
ktap_ok $? "a disk of a vhost-user back end"
disk=$(vdisk_of "$BDF") && mkfs.ext4 -q "$disk" && mkdir -p /mnt2 && mount -t ext4 "$disk" /mnt2 &&
	dd if=/dev/urandom of=/mnt2/kept bs=64k count=32 conv=fsync 2>/dev/null &&
	sha256sum </mnt2/kept >/share/vhost.sum
ktap_ok $? "a file on it that is synced"
(while :; do dd if=/dev/urandom of=/mnt2/more bs=64k count=8 conv=fsync; done) >/dev/null 2>&1 &

(while :; do dd if=/dev/urandom of=/mnt/more bs=64k count=8 conv=fsync; done) >/dev/null 2>&1 &
recover_progress && state_is "$live" live
ktap_ok $? "the first one is being written"

# Nothing is cleaned up.
trap - EXIT
ktap_end
