# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# A file system on an NVMe disk that is written and verified all the time, while something dies.
#
# Sourced after vfiouser.sh. The writers are processes of their own, which count their rounds in a
# file and end when they are told or when anything went wrong.

# recover_begin NAME ATTACH-OPTION...: attaches, makes a file system, starts writing; reports 3 results
recover_begin()
{
	local name=$1

	shift
	attach "$@"
	ktap_ok $? "$name: attach" || ktap_bail "no device"
	disk=$(disk_of "$BDF") || ktap_bail "no disk"
	mke2fs -q -t ext4 "$disk" && mkdir -p /mnt && mount -t ext4 "$disk" /mnt
	ktap_ok $? "$name: a file system" || ktap_bail "nothing to write to"
	rm -f "$WORK/stop" "$WORK/failed"
	echo 0 >"$WORK/rounds"
	recover_writer &
	RECOVER_WRITER=$!
	recover_progress
	ktap_ok $? "$name: writing"
}

# Rounds of random writes past the page cache, each verified; and files through it.
recover_writer()
{
	local n=0

	while [ ! -e "$WORK/stop" ]; do
		n=$((n + 1))
		if ! fio --name=v --directory=/mnt --ioengine=libaio --direct=1 --rw=randwrite \
		     --bsrange=4k-64k --iodepth=8 --size=4M --verify=crc32c --verify_fatal=1 \
		     --do_verify=1 --randseed=$n --minimal >"$WORK/fio.out" 2>&1; then
			touch "$WORK/failed"
			break
		fi
		dd if=/dev/urandom of=/mnt/file.$((n % 4)) bs=64k count=16 conv=fsync 2>/dev/null &&
			sha256sum /mnt/file.$((n % 4)) >"$WORK/sum.$((n % 4))" || {
			touch "$WORK/failed"
			break
		}
		echo $n >"$WORK/rounds"
	done
}

# recover_progress: waits until the disk has done something more; fails if it does not in time
recover_progress()
{
	local stat=/sys/block/${disk#/dev/}/stat before

	vu_done "$stat"
	before=$DONE
	wait_for 120 vu_more "$stat" "$before"
}

# vu_done STAT: how much a disk has done, into DONE
vu_done()
{
	local stat

	read -ra stat <"$1" && DONE=$((stat[0] + stat[4]))
}

vu_more()
{
	vu_done "$1" && [ $DONE -gt $(($2 + 40)) ]
}

# recover_end NAME: stops writing and looks at what is there; reports 6 results
recover_end()
{
	local name=$1 n

	touch "$WORK/stop"
	wait_for 120 vu_gone $RECOVER_WRITER
	ktap_ok $? "$name: the writer ends"
	if [ -e "$WORK/failed" ]; then
		ktap_log <"$WORK/fio.out"
		ktap_fail "$name: no error, no wrong byte"
	else
		ktap_log "$(cat "$WORK/rounds") rounds"
		ktap_pass "$name: no error, no wrong byte"
	fi
	umount /mnt
	ktap_ok $? "$name: umount"
	mount -t ext4 "$disk" /mnt
	for n in 0 1 2 3; do
		[ ! -e "$WORK/sum.$n" ] || sha256sum -s -c "$WORK/sum.$n" || touch "$WORK/failed"
	done
	umount /mnt
	[ ! -e "$WORK/failed" ]
	ktap_ok $? "$name: files as they were written"
	rm -f "$WORK"/sum.*
	if dmesg_since | grep -Eq 'I/O error|EXT4-fs error|critical (medium|target) error'; then
		dmesg_since | grep -E 'I/O error|EXT4-fs error|critical' | ktap_log
		ktap_fail "$name: nothing of it in the kernel's log"
	else
		ktap_pass "$name: nothing of it in the kernel's log"
	fi
	ktap_run "$name: file system clean" e2fsck -fn "$disk"
}
