#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# TIMEOUT: 900
# DISK: 512M
#
# What lies below vfiouser-nvme: a device that fails under it (device mapper), after which no write
# that was acknowledged is lost without an error; one with blocks of 4 KiB; a full file system; and
# memory that is short while it is written to the disk, whose image is on a file system of the same
# machine.

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/vfiouser.sh"

# below linear|error|flakey: flakey fails to write every other second
below()
{
	local target="linear /dev/vda 0"

	case $1 in
	error) target=error ;;
	flakey) target="flakey /dev/vda 0 1 1 1 error_writes" ;;
	esac
	dmsetup suspend --noflush --nolockfs below &&
	dmsetup load below --table "0 262144 $target" && dmsetup resume below
}

critical()
{
	nvme smart-log "${disk%n*}" | sed -n 's/^critical_warning[ \t]*:[ \t]*//p'
}

# serve OPTION...: the disk of a server with that
serve()
{
	start_server "$@"
	attach "$SOCKET" || ktap_bail "attach failed"
	disk=$(disk_of "$BDF") || ktap_bail "no disk"
}

# zeroes OFFSET BYTES: so many are written there, and no more
zeroes()
{
	dd if="$WORK/data" of="$disk" bs=64k oflag=direct conv=fsync 2>/dev/null &&
	blkdiscard -z -o "$1" -l "$2" "$disk" &&
	dd if="$disk" of="$WORK/read" bs=64k count=1 iflag=direct 2>/dev/null &&
	cp "$WORK/data" "$WORK/want" &&
	dd if=/dev/zero of="$WORK/want" bs="$2" seek=$(($1 / $2)) count=1 conv=notrunc 2>/dev/null &&
	cmp "$WORK/want" "$WORK/read"
}

block_size()
{
	cat "/sys/block/${disk#/dev/}/queue/logical_block_size"
}

# flushers: threads of the server's, and how many of them wait for no memory that has to be written
flushers()
{
	awk '{ sub(/.*\) /, ""); n++; io += int($7 / 524288) % 2 } END { print n, io }' \
		/proc/"$SERVER_PID"/task/*/stat
}

# sync_records: 4 KiB each with fsync(), until one fails; $WORK/acked has how many did not
sync_records()
{
	local n=0

	while printf '%-4095s\n' "record $((n + 1))" |
	      dd of="$disk" bs=4k seek=$n iflag=fullblock conv=notrunc,fsync 2>/dev/null; do
		n=$((n + 1))
		echo $n >"$WORK/acked"
	done
}

# sync_until_errors error|flakey: records are synced, the device below begins to fail, and is back later
sync_until_errors()
{
	local records

	echo 0 >"$WORK/acked"
	sync_records &
	records=$!
	wait_for 60 acked 5
	below "$1"
	wait $records
	below linear
	detach "$BDF"
	stop_server
}

# acked N: at least so many are
acked()
{
	local n=0

	read -r n <"$WORK/acked"
	[ "${n:-0}" -ge "$1" ]
}

# records_are_there BACKING
records_are_there()
{
	acked 5 && dd if="$1" bs=4k count="$(cat "$WORK/acked")" iflag=direct 2>/dev/null |
		awk -v want="$(cat "$WORK/acked")" '$2 != NR { exit 1 } { n = NR } END { exit n != want }'
}

ktap_plan 42
load_module
modprobe -a dm_mod dm_flakey || ktap_bail "no device mapper"
dmsetup create below --table "0 262144 linear /dev/vda 0" || ktap_bail "dmsetup"
below=/dev/mapper/below
# shellcheck disable=SC2046	# two words
[ -b $below ] || mknod $below b $(dmsetup info -c --noheadings --separator ' ' -o major,minor below)

start_server --file=$below
ktap_run "a second server of the device: refused" sh -c \
	"! vfiouser-nvme --socket-path=$WORK/second --file=$below"
attach "$SOCKET" || ktap_bail "attach failed"
disk=$(disk_of "$BDF") || ktap_bail "no disk"
ktap_run "write, flush" dd if=/dev/urandom of="$disk" bs=64k count=16 conv=fsync
# acknowledged without a flush, and then it cannot be written
ktap_run "write" dd if=/dev/urandom of="$disk" bs=64k count=16 oflag=direct
below error
ktap_status '!0' "flush, without the device" nvme flush "$disk"
below linear
ktap_status '!0' "flush, with the device back" nvme flush "$disk"
ktap_status '!0' "and again" nvme flush "$disk"
ktap_status '!0' "write" dd if=/dev/zero of="$disk" bs=64k count=1 oflag=direct
ktap_match "critical warning" "$(critical)" '^(0xc|12)'
ktap_is "one line about it" "$(grep -c 'flush failed' "$SOCKET.log")" 1
ktap_run "what is there can be read" dd if="$disk" of=/dev/null bs=64k count=16 iflag=direct
detach "$BDF"
stop_server
start_server --file=$below --direct
attach "$SOCKET" || ktap_bail "attach failed"
disk=$(disk_of "$BDF") || ktap_bail "no disk"
ktap_run "a new server writes again" dd if=/dev/zero of="$disk" bs=64k count=16 oflag=direct conv=fsync
below error
ktap_status '!0' "direct: a write that fails says so" \
	dd if=/dev/zero of="$disk" bs=64k count=1 oflag=direct
below linear
detach "$BDF"
stop_server

# The device begins to fail while records are synced, and is back later.
for how in "error writeback" "error writethrough" "error none" "flakey writeback" "flakey none"; do
	cache=${how#* }
	dd if=/dev/zero of=$below bs=64k count=64 oflag=direct 2>/dev/null
	start_server --file=$below --cache="$cache"
	attach "$SOCKET" || ktap_bail "attach failed"
	disk=$(disk_of "$BDF") || ktap_bail "no disk"
	sync_until_errors "${how% *}"
	ktap_run "${how% *} below, --cache=$cache: what was synced before is there" \
		records_are_there $below
	ktap_log "$(cat "$WORK/acked") records"
done

# The same below a file system with the image, which then is as after a crash.
mkdir -p "$WORK/fs"
mke2fs -q -F -t ext4 $below && mount -t ext4 $below "$WORK/fs" || ktap_bail "no file system"
truncate -s 64M "$WORK/fs/image"
serve --file="$WORK/fs/image"
sync_until_errors error
umount "$WORK/fs"
mount -t ext4 $below "$WORK/fs" || ktap_bail "the file system is lost"
ktap_run "errors below the image's file system: what was synced before is there" \
	records_are_there "$WORK/fs/image"
umount "$WORK/fs"
dmsetup remove below

# Blocks of 4 KiB, which a driver sees unless it is told otherwise.
modprobe -q loop
head -c 65536 /dev/urandom >"$WORK/data"
truncate -s 16M "$WORK/4kn"
loop=$(losetup -f)
losetup --sector-size 4096 "$loop" "$WORK/4kn" || ktap_bail "no loop device"
for option in --cache=writeback --direct; do
	serve --file="$loop" $option
	ktap_is "4K, $option: blocks" "$(block_size)" 4096
	ktap_run "4K, $option: write zeroes" zeroes 8192 4096
	ktap_run "4K, $option: discard" blkdiscard -o 4096 -l 4096 "$disk"
	detach "$BDF"
	stop_server
done
serve --file="$loop" --lba=512
ktap_is "4K, --lba=512: blocks" "$(block_size)" 512
ktap_run "4K, --lba=512: write zeroes of a part of a block" zeroes 512 512
ktap_run "4K, --lba=512: discard of a part of a block" blkdiscard -o 512 -l 512 "$disk"
detach "$BDF"
stop_server
losetup -d "$loop"

# An image with holes, and no room for what they are filled with.
mkdir -p /small
mount -t tmpfs -o size=8M none /small
truncate -s 32M /small/disk
serve --file=/small/disk
ktap_run "full: while there is room" dd if="$WORK/data" of="$disk" bs=64k oflag=direct conv=fsync
ktap_status '!0' "full: no room" dd if=/dev/urandom of="$disk" bs=64k seek=1 count=256 oflag=direct
ktap_match "full: is what the driver is told" "$KTAP_OUT" "No space left"
ktap_run "full: what was written before" sh -c \
	"dd if=$disk bs=64k count=1 iflag=direct 2>/dev/null | cmp - $WORK/data"
detach "$BDF"
stop_server
umount /small

# All but 100 MiB of memory is gone; it takes as long as it takes.
mke2fs -q -t ext4 /dev/vda || ktap_bail "mke2fs"
mkdir -p /image /mnt /hog
mount -t ext4 /dev/vda /image || ktap_bail "mount"
truncate -s 384M /image/disk
start_server --file=/image/disk
attach "$SOCKET" || ktap_bail "attach failed"
disk=$(disk_of "$BDF") || ktap_bail "no disk"
ktap_match "its memory is locked" "$(sed -n 's/^VmLck:[ \t]*//p' "/proc/$SERVER_PID/status")" '^[1-9]'
ktap_match "no thread of its waits for memory that is to be written here" "$(flushers)" \
	'^([1-9][0-9]*) \1$'
mke2fs -q -t ext4 "$disk" && mount -t ext4 "$disk" /mnt || ktap_bail "no file system"
mount -t tmpfs -o size=90% none /hog
free=$(($(sed -n 's/^MemAvailable: *\([0-9]*\) kB/\1/p' /proc/meminfo) / 1024))
dd if=/dev/zero of=/hog/hog bs=1M count=$((free - 100)) 2>/dev/null
ktap_log "memory: $(sed -n 's/^MemAvailable: *//p' /proc/meminfo) available"
(
	for i in $(seq 1 1500); do
		echo "$i" >"/mnt/small.$i"
	done
) &
small=$!
ktap_run "write more than there is memory" \
	fio --name=big --directory=/mnt --size=200M --bs=64k --rw=write --ioengine=sync --end_fsync=1 \
	--verify=crc32c --do_verify=0 --minimal
wait $small
ktap_ok $? "many small files meanwhile"
ktap_run "all of it is there" sh -c "sync; echo 3 >/proc/sys/vm/drop_caches; \
	fio --name=big --directory=/mnt --size=200M --bs=64k --rw=read --ioengine=sync \
	--verify=crc32c --minimal && [ \$(ls /mnt | grep -c small) = 1500 ] && [ \$(cat /mnt/small.777) = 777 ]"
umount /hog

# Memory enough, but not for the server, whose page cache is the image's.
mkdir -p /cg
mount -t cgroup2 none /cg && echo +memory >/cg/cgroup.subtree_control && mkdir /cg/server &&
	echo 48M >/cg/server/memory.max && echo "$SERVER_PID" >/cg/server/cgroup.procs ||
	ktap_bail "no memory cgroup"
ktap_run "memory cgroup: write more than the server may have" \
	fio --name=more --directory=/mnt --size=100M --bs=64k --rw=write --ioengine=sync --end_fsync=1 \
	--verify=crc32c --do_verify=0 --minimal
ktap_match "memory cgroup: its limit was met" "$(sed -n 's/^max //p' /cg/server/memory.events)" '^[1-9]'
ktap_is "memory cgroup: nothing was killed" "$(sed -n 's/^oom_kill //p' /cg/server/memory.events)" 0
ktap_run "memory cgroup: all of it is there" sh -c "echo 3 >/proc/sys/vm/drop_caches; \
	fio --name=more --directory=/mnt --size=100M --bs=64k --rw=read --ioengine=sync --verify=crc32c --minimal"
echo "$SERVER_PID" >/cg/cgroup.procs
rmdir /cg/server
umount /cg
ktap_run "umount" umount /mnt
ktap_run "the file system is clean" e2fsck -fn "$disk"
detach "$BDF"
stop_server
umount /image
ktap_end
