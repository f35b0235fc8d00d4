#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# TIMEOUT: 600
# DISK: 64M
#
# Data integrity: fio writes and verifies at random, blocks of 4k to 256k, depths 1 to 32, several
# jobs; then the content is compared with the file behind it, which no cache of the disk's has seen.
# VOLUME times as much is moved by soak/integrity.sh, which has a disk for it.

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/vfiouser.sh"

VOLUME=${VOLUME:-1}

# mib N: as a size for fio
mib()
{
	echo $(($1 * VOLUME))M
}

# sum FILE: of all that can be on the disk
sum()
{
	dd if="$1" bs=1M count=$((64 * VOLUME)) iflag=direct 2>/dev/null | md5sum
}

# verify NAME FIO-OPTION...
verify()
{
	local name=$1

	shift
	ktap_run "$name" fio --name="v" --filename="$disk" --ioengine=libaio --direct=1 \
		--rw=randwrite --verify=crc32c --verify_fatal=1 --do_verify=1 --randseed=1 \
		--minimal "$@"
}

ktap_plan 15
load_module

for doorbells in mmap trap; do
	start_server --file=/dev/vda --doorbells=$doorbells
	attach "$SOCKET" || ktap_bail "attach failed"
	disk=$(disk_of "$BDF") || ktap_bail "no disk"

	verify "$doorbells: 4k, depth 1" --bs=4k --iodepth=1 --size="$(mib 1)"
	verify "$doorbells: 4k, depth 32" --bs=4k --iodepth=32 --size="$(mib 4)"
	verify "$doorbells: 4k to 256k, depth 8" --bsrange=4k-256k --iodepth=8 --size="$(mib 16)"
	verify "$doorbells: 4k to 256k, depth 32, 4 jobs" --bsrange=4k-256k --iodepth=32 \
		--numjobs=4 --size="$(mib 8)" --offset_increment="$(mib 8)"
	verify "$doorbells: buffers that are not page-aligned" --bsrange=512-64k --blockalign=512 \
		--iodepth=16 --size="$(mib 4)" --iomem_align=512

	dd if=/dev/urandom of="$disk" bs=1M count=$((16 * VOLUME)) oflag=direct 2>/dev/null
	there=$(sum "$disk")
	detach "$BDF" || ktap_bail "detach failed"
	stop_server
	# its write cache is ours: past it, to what the disk holds
	here=$(sum /dev/vda)
	ktap_is "$doorbells: the backing holds what the disk showed" "$here" "$there"
done

start_server --file=/dev/vda --lba=4096
attach "$SOCKET" || ktap_bail "attach failed"
disk=$(disk_of "$BDF") || ktap_bail "no disk"
ktap_is "4096-byte blocks" "$(cat "/sys/block/${disk#/dev/}/queue/logical_block_size")" 4096
verify "4096-byte blocks: 4k to 256k, depth 16" --bsrange=4k-256k --iodepth=16 --size="$(mib 8)"
ktap_run "4096-byte blocks: discard" sh -c "blkdiscard -o 0 -l 1048576 $disk || fio --name=t \
	--filename=$disk --rw=trim --bs=64k --size=1M --ioengine=sync --minimal"
detach "$BDF"
ktap_end
