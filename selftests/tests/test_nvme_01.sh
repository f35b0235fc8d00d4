#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# TIMEOUT: 400
# PARALLEL: yes
#
# From a server's socket to files on a disk, and the same files after the device was away. Both ways
# to ring a doorbell: a page the driver writes directly, and trapped writes.

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/vfiouser.sh"

ktap_plan 34
load_module

for doorbells in mmap trap; do
	image=$WORK/disk.$doorbells
	truncate -s 128M "$image"
	start_server --file="$image" --doorbells=$doorbells

	attach "$SOCKET"
	ktap_ok $? "$doorbells: attach"
	ktap_match "$doorbells: attach names the driver" "$ATTACH_OUT" nvme
	ktap_match "$doorbells: a domain of its own" "$BDF" '^[0-9a-f]{5,8}:00:00\.0$'
	ktap_match "$doorbells: lspci" "$(lspci -nn -s "$BDF")" 'Non-Volatile memory controller'
	ktap_is "$doorbells: driver in use" "$(driver_of "$BDF")" nvme
	ktap_match "$doorbells: MSI-X enabled" "$(lspci -vv -s "$BDF")" 'MSI-X: Enable\+'
	disk=$(disk_of "$BDF")
	ktap_match "$doorbells: disk" "$disk" '^/dev/nvme'

	ktap_run "$doorbells: mkfs" mke2fs -q -t ext4 "$disk"
	mkdir -p /mnt
	ktap_run "$doorbells: mount" mount -t ext4 "$disk" /mnt || ktap_bail "nothing to write to"
	cp -r /selftests /mnt/
	dd if=/dev/urandom of=/mnt/random bs=1M count=24 2>/dev/null
	(cd /mnt && find . -type f -exec sha256sum {} +) >"$WORK/sums"
	ktap_run "$doorbells: umount" umount /mnt
	ktap_run "$doorbells: detach" detach "$BDF"
	wait_for 5 pci_gone "$BDF"
	ktap_ok $? "$doorbells: device gone"

	attach "$SOCKET"
	ktap_ok $? "$doorbells: attach again"
	disk=$(disk_of "$BDF")
	mount -t ext4 "$disk" /mnt || ktap_bail "cannot mount again"
	ktap_run "$doorbells: files unchanged" sh -c "cd /mnt && sha256sum -s -c $WORK/sums"
	umount /mnt
	ktap_run "$doorbells: file system clean" e2fsck -fn "$disk"
	detach "$BDF"
	ktap_run "$doorbells: the image is a clean file system too" e2fsck -fn "$image"
	stop_server
	ktap_ok $? "$doorbells: the server ends on SIGTERM"
	rm "$image"
done
ktap_end
