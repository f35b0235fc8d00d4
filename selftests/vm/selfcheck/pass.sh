#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# EXPECT: 9 0 1 the disk, the share, the modules and the host's part all work
# DISK: 16M
# SHARE: yes

. /selftests/lib/ktap.sh

ktap_plan 8
ktap_run "disk is there" test -b /dev/vda
ktap_run "disk can be written" dd if=/selftests/lib/ktap.sh of=/dev/vda conv=fsync
cp /selftests/lib/ktap.sh /share/
ktap_run "share can be written" cmp /selftests/lib/ktap.sh /share/ktap.sh
ktap_run "a file system" mke2fs -q -t ext4 /dev/vda 8M
mkdir -p /tmp/mnt
ktap_run "ext4 mounts" mount -t ext4 /dev/vda /tmp/mnt
ktap_run "fio runs" fio --name=t --directory=/tmp/mnt --size=64k --rw=randwrite --ioengine=libaio \
	--direct=1 --verify=crc32c
ktap_run "umount" umount /tmp/mnt
rmdir /tmp/mnt
ktap_skip "what is skipped" "neither pass nor fail"
ktap_end
