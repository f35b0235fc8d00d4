#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# TIMEOUT: 300
#
# Detaching a disk in use is refused with the reason, unless it is forced.

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/vfiouser.sh"

ktap_plan 30
load_module
start_server --ram=64M
attach --name=disk0 "$SOCKET" || ktap_bail "attach failed"
disk=$(disk_of "$BDF") || ktap_bail "no disk"

ktap_status '!0' "rmmod is refused" rmmod vfiouser_pci
mke2fs -q -t ext4 "$disk"
mkdir -p /mnt
mount -t ext4 "$disk" /mnt || ktap_bail "cannot mount"
ktap_status '!0' "mounted: refused" vfiouserctl detach disk0
ktap_match "mounted: the reason" "$KTAP_OUT" 'mounted on /mnt'
ktap_is "mounted: one line" "$(printf '%s\n' "$KTAP_OUT" | wc -l)" 1
echo text >/mnt/file
ktap_run "mounted: still works" sync /mnt/file
umount /mnt

exec 7<"$disk"
ktap_status '!0' "open: refused" vfiouserctl detach "$BDF"
ktap_match "open: the reason" "$KTAP_OUT" 'open'
exec 7<&-

modprobe -q loop
loop=$(losetup -f) && losetup "$loop" "$disk" || ktap_bail "no loop device"
ktap_status '!0' "under a loop device: refused" vfiouserctl detach "$SOCKET"
losetup -d "$loop"

mkdir -p /mnt
mount -t ext4 "$disk" /mnt || ktap_bail "cannot mount"
ktap_run "mounted: forced" vfiouserctl detach --force disk0
wait_for 10 pci_gone "$BDF"
ktap_ok $? "mounted: gone"
ktap_status '!0' "mounted: reads fail" sh -c 'echo 3 >/proc/sys/vm/drop_caches; cat /mnt/file'
umount /mnt
ktap_ok $? "mounted: umount"
dmesg_allow 'EXT4-fs error|Buffer I/O error|JBD2'

attach --name=disk0 "$SOCKET"
ktap_ok $? "attach again, same name"
detach disk0
ktap_ok $? "detach by name"
stop_server

# Servers with an older libvfio-user, SPDK's among them: what is armed last has the first vector.
start_server --ram=16M --fault=one-irq-table
attach "$SOCKET"
ktap_ok $? "one table of interrupts: attach"
ktap_run "one table of interrupts: the admin queue's vector" timeout 50 nvme id-ctrl /dev/nvme0
disk=$(disk_of "$BDF")
ktap_run "one table of interrupts: the disk" dd if="$disk" of=/dev/null bs=64k count=16 iflag=direct
ktap_run "one table of interrupts: detach" detach
ktap_run "one table of interrupts: the server has not asked for it" sh -c '! dmesg | grep -q "asks for the removal"'
stop_server

# Errors that look like commands, and answers to writes that want none: heard, or noted once.
start_server --ram=16M --fault=error-commands
attach "$SOCKET"
ktap_ok $? "errors as commands: attach"
ktap_status '!0' "errors as commands: each is heard" \
	grep -E "no reply|not for us|was not asked" "$WORK/attach.err"
disk=$(disk_of "$BDF")
ktap_run "errors as commands: the disk" dd if="$disk" of=/dev/null bs=64k count=16 iflag=direct
ktap_run "errors as commands: detach" detach
stop_server
start_server --ram=16M --doorbells=trap --fault=answer-posted
attach "$SOCKET"
ktap_ok $? "answers to posted writes: attach"
disk=$(disk_of "$BDF")
ktap_run "answers to posted writes: the disk" dd if="$disk" of=/dev/null bs=64k count=16 iflag=direct
ktap_status '!0' "answers to posted writes: none is taken for another's" \
	grep "was not asked" "$WORK/attach.err"
ktap_run "answers to posted writes: detach" detach
stop_server

# A BAR that says it is memory, for the driver to put its queues there: it is none of this host's.
start_server --ram=16M --fault=cmb
attach "$SOCKET"
ktap_ok $? "memory in a BAR: attach"
disk=$(disk_of "$BDF")
ktap_run "memory in a BAR: the disk" dd if="$disk" of=/dev/null bs=64k count=16 iflag=direct
ktap_run "memory in a BAR: detach" detach
ktap_end
