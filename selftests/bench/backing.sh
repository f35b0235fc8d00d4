# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# One image, served by those that can: by us, and by what users would take instead; on a file of ext4
# on the VM's own disk and on a RAM disk; through the page cache and past it.
#
# A target has BACKED_TARGET_start FILE DIRECT, which sets DISK or REASON, and BACKED_TARGET_stop. As in
# block.sh each turn starts it, runs all loads and stops it, and they take turns.

BACKED_TARGETS=$(cmdline bench.targets nvme,ublk,nbd,vduse,loop)
BACKED_ON=$(cmdline bench.backing file,ram)
BACKED_MIB=128

backed_nvme_start()
{
	start_server --file="$1" ${2:+--direct} --doorbells=mmap
	attach "$SOCKET" || { REASON=$(head -n 1 "$WORK/attach.err"); return 1; }
	DISK=$(disk_of "$BDF") || { REASON="no disk"; return 1; }
	DISK=${DISK#/dev/}
}

backed_nvme_stop() { nvme_detach; }

backed_ublk_start()
{
	UBLK_IMAGE="$1${2:+,direct}" ublk_start
}

backed_ublk_stop() { ublk_stop; }

backed_nbd_start()
{
	[ -z "$2" ] || { REASON="this nbdkit has no direct I/O"; return 1; }
	NBD_PLUGIN="file $1" nbd_start
}

backed_nbd_stop() { nbd_stop; }

backed_vduse_start()
{
	VDUSE_IMAGE="$1${2:+,cache.direct=on}" vduse_start
}

backed_vduse_stop() { vduse_stop; }

backed_loop_start()
{
	modprobe loop
	DISK=$(losetup --show ${2:+--direct-io=on} -f "$1") || { REASON="losetup failed"; return 1; }
	DISK=${DISK#/dev/}
}

backed_loop_stop() { losetup -d "/dev/$DISK"; }

# backing WHERE: sets BACKING to an image there
backing()
{
	case $1 in
	file)
		mkdir -p /backing
		mke2fs -q -t ext4 /dev/vda && mount -t ext4 /dev/vda /backing || return 1
		BACKING=/backing/disk.img
		fallocate -l ${BACKED_MIB}M $BACKING
		;;
	ram)
		BLOCK_MIB=$BACKED_MIB nullmem_start || return 1
		BACKING=/dev/nullb9
		;;
	esac
}

unbacking()
{
	case $1 in
	file) umount /backing ;;
	ram) nullmem_stop ;;
	esac
}

# backed_loads VARIANT REP
backed_loads()
{
	local variant=$1 rep=$2 rw bs shape status=0

	block_fill || return 1
	for rw in randread randwrite; do
		for bs in 4k 128k; do
			for shape in "1 1" "32 1" "32 4"; do
				# shellcheck disable=SC2086
				RECORD_GROUP=backing BLOCK_TAIL=1 block_load "$variant" "$rep" \
					"$rw-$bs-d${shape% *}-j${shape#* }" $rw $bs $shape || status=1
			done
		done
	done
	return $status
}

# backed_turn TARGET WHERE DIRECT REP
backed_turn()
{
	local variant=$1-$2-${3:-buffered} status

	REASON=
	if ! "backed_$1_start" "$BACKING" "$3"; then
		missing backing "$variant" "${REASON:-could not be started}"
		"backed_$1_stop" >/dev/null 2>&1
		return
	fi
	backed_loads "$variant" "$4"
	status=$?
	"backed_$1_stop" && [ $status = 0 ] && ktap_pass "backing: $variant, turn $4" ||
		ktap_fail "backing: $variant, turn $4"
}

group_backing()
{
	local where direct target rep

	load_module
	BLOCK_MIB=$BACKED_MIB
	for where in ${BACKED_ON//,/ }; do
		backing "$where" || { ktap_fail "backing: $where"; continue; }
		for rep in $(seq "$REPS"); do
			for direct in '' direct; do
				for target in ${BACKED_TARGETS//,/ }; do
					backed_turn "$target" "$where" "$direct" "$rep"
				done
			done
		done
		unbacking "$where"
	done
}
