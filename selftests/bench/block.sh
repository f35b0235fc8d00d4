# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# Disks in memory, ours and those that users would take instead, under the same load.
#
# Ours are called after their doorbells: mmap (a page that the server polls), shadow (memory that it
# looks at while it is busy, and an ioeventfd that wakes it), ioeventfd, trap (messages), and
# passthrough (as mmap, with all memory shared and nothing copied). vhost is QEMU's storage daemon
# behind vfiouser-vhost; vduse, qsdnbd and qsdfuse are the same one by other ways into the kernel.
#
# A target has functions TARGET_start, which sets DISK (as sda) or says why it cannot in REASON, and
# TARGET_stop. Each turn starts a target, runs all loads on it and stops it, one target after the
# other, so that what else the machine does meets all of them.

BLOCK_MIB=256
BLOCK_TARGETS=$(cmdline bench.targets null,nullmem,mmap,shadow,ioeventfd,trap,passthrough,nbd,ublk,vhost,vduse,qsdnbd,qsdfuse,nvmetcp)
BLOCK_JOBS=$(nproc)
# a part of the loads' names, of those that are wanted
BLOCK_LOADS=$(cmdline bench.loads '')

# ---- the ceiling ----

null_start()
{
	modprobe null_blk nr_devices=0 &&
		mkdir /sys/kernel/config/nullb/nullb9 &&
		cd /sys/kernel/config/nullb/nullb9 || return 1
	echo $BLOCK_MIB >size && echo "${NULL_MEMORY:-0}" >memory_backed && nproc >submit_queues &&
		echo 512 >blocksize && echo 0 >irqmode && echo 128 >hw_queue_depth && echo 1 >power
	local status=$?
	cd /
	DISK=nullb9
	return $status
}

null_stop()
{
	echo 0 >/sys/kernel/config/nullb/nullb9/power
	rmdir /sys/kernel/config/nullb/nullb9
}

nullmem_start()
{
	NULL_MEMORY=1 null_start
}

nullmem_stop()
{
	null_stop
}

# ---- ours ----

# nvme_attach SERVER-OPTIONS [ATTACH-OPTION...]
nvme_attach()
{
	local server=$1

	shift
	# shellcheck disable=SC2086
	start_server --ram=${BLOCK_MIB}M $server
	attach "$@" "$SOCKET" || { REASON=$(head -n 1 "$WORK/attach.err"); return 1; }
	DISK=$(disk_of "$BDF") || { REASON="no disk"; return 1; }
	DISK=${DISK#/dev/}
}

nvme_detach()
{
	detach "$BDF" && stop_server
}

mmap_start() { nvme_attach --doorbells=mmap; }
mmap_stop() { nvme_detach; }
shadow_start() { nvme_attach "--doorbells=ioeventfd --shadow-doorbells"; }
shadow_stop() { nvme_detach; }
ioeventfd_start() { nvme_attach --doorbells=ioeventfd; }
ioeventfd_stop() { nvme_detach; }
trap_start() { nvme_attach --doorbells=trap; }
trap_stop() { nvme_detach; }

passthrough_start()
{
	if ! vfiouserctl attach --help | grep -q -- --dma; then
		REASON="this vfiouserctl has no --dma=passthrough"
		return 1
	fi
	rmmod vfiouser_pci
	# a module that has the mode asks for this as well
	modprobe vfiouser_pci allow_passthrough=1
	nvme_attach --doorbells=mmap --dma=passthrough
}

passthrough_stop()
{
	nvme_detach
	rmmod vfiouser_pci
	modprobe vfiouser_pci
}

# ---- the others ----

nbd_start()
{
	# shellcheck disable=SC2086
	modprobe nbd max_part=0 &&
		nbdkit -U "$WORK/nbd.sock" -P "$WORK/nbd.pid" ${NBD_PLUGIN:-memory ${BLOCK_MIB}M} &&
		wait_for 20 test -S "$WORK/nbd.sock" &&
		nbd-client -unix "$WORK/nbd.sock" /dev/nbd0 -C "$(nproc)" >/dev/null 2>"$WORK/nbd.err" || {
		REASON=$(head -n 1 "$WORK/nbd.err" 2>/dev/null)
		return 1
	}
	DISK=nbd0
}

nbd_stop()
{
	nbd-client -d /dev/nbd0 >/dev/null 2>&1
	kill "$(cat "$WORK/nbd.pid")"
	wait_for 10 test ! -e "/proc/$(cat "$WORK/nbd.pid")"
	rm -f "$WORK/nbd.sock" "$WORK/nbd.pid"
}

ublk_start()
{
	modprobe ublk_drv || { REASON="no ublk_drv in this kernel"; return 1; }
	# what the one before said is not its word
	rm -f "$WORK/ublk.out"
	vfu_ublk $BLOCK_MIB "$(nproc)" ${UBLK_IMAGE:+"$UBLK_IMAGE"} >"$WORK/ublk.out" 2>"$WORK/ublk.err" &
	UBLK_PID=$!
	wait_for 20 grep -q ublkb "$WORK/ublk.out" || { REASON=$(head -n 1 "$WORK/ublk.err"); return 1; }
	DISK=$(cat "$WORK/ublk.out")
}

ublk_stop()
{
	kill -TERM $UBLK_PID
	wait $UBLK_PID
}

# qsd_serve EXPORT-OPTIONS [OPTION...]: the storage daemon with a file in memory
qsd_serve()
{
	local export=$1

	shift
	truncate -s ${BLOCK_MIB}M /tmp/qsd.img
	qemu-storage-daemon --blockdev driver=file,node-name=f,filename=/tmp/qsd.img "$@" \
		--export "id=e,node-name=f,writable=on,$export" >"$WORK/qsd.err" 2>&1 &
	QSD_PID=$!
}

qsd_end()
{
	kill $QSD_PID
	wait $QSD_PID
	rm -f /tmp/qsd.img
}

vhost_start()
{
	vhost_drivers
	qsd_serve "type=vhost-user-blk,addr.type=unix,addr.path=$WORK/vhost.sock,num-queues=$(nproc)"
	wait_for 20 test -S "$WORK/vhost.sock" || { REASON=$(head -n 1 "$WORK/qsd.err"); return 1; }
	SERVER=vfiouser-vhost start_server --type=blk --vhost-socket="$WORK/vhost.sock"
	attach "$SOCKET" && DISK=$(vdisk_of "$BDF") || { REASON="no disk"; return 1; }
	DISK=${DISK##*/}
}

vhost_stop()
{
	detach
	wait_for 20 pci_gone "$BDF"
	stop_server "$SERVER_PID"
	qsd_end
}

qsdnbd_start()
{
	modprobe nbd max_part=0
	qsd_serve type=nbd,name=e --nbd-server "addr.type=unix,addr.path=$WORK/qsdnbd.sock,max-connections=0"
	wait_for 20 test -S "$WORK/qsdnbd.sock" &&
		nbd-client -unix "$WORK/qsdnbd.sock" /dev/nbd0 -N e >/dev/null \
			2>"$WORK/nbd.err" || {
		REASON=$(cat "$WORK/qsd.err" "$WORK/nbd.err" | head -n 1)
		return 1
	}
	DISK=nbd0
}

qsdnbd_stop()
{
	nbd-client -d /dev/nbd0 >/dev/null 2>&1
	qsd_end
}

qsdfuse_start()
{
	modprobe -a fuse loop
	touch "$WORK/fuse"
	qsd_serve "type=fuse,mountpoint=$WORK/fuse,growable=off,allow-other=off"
	wait_for 20 grep -q "$WORK/fuse" /proc/mounts &&
		DISK=$(losetup --find --show --direct-io=on "$WORK/fuse" 2>"$WORK/loop.err") || {
		REASON=$(cat "$WORK/qsd.err" "$WORK/loop.err" 2>/dev/null | head -n 1)
		return 1
	}
	DISK=${DISK##*/}
}

qsdfuse_stop()
{
	losetup -d "/dev/$DISK"
	qsd_end
	umount "$WORK/fuse" 2>/dev/null
	:
}

vduse_start()
{
	local driver=file

	modprobe -a vduse virtio_vdpa virtio_blk || { REASON="no vduse in this kernel"; return 1; }
	[ "$VDUSE_IMAGE" ] || truncate -s ${BLOCK_MIB}M /tmp/vduse.img
	case $VDUSE_IMAGE in
	/dev/*) driver=host_device ;;
	esac
	qemu-storage-daemon \
		--blockdev "driver=$driver,node-name=f,filename=${VDUSE_IMAGE:-/tmp/vduse.img}" \
		--export type=vduse-blk,id=e,node-name=f,name=bench,writable=on,num-queues="$(nproc)" \
		>"$WORK/vduse.err" 2>&1 &
	VDUSE_PID=$!
	if ! wait_for 20 test -e /dev/vduse/bench ||
	   ! vdpa dev add name bench mgmtdev vduse >>"$WORK/vduse.err" 2>&1 ||
	   ! wait_for 20 vduse_disk; then
		REASON="VDUSE: $(head -n 1 "$WORK/vduse.err")"
		return 1
	fi
	DISK=$(vduse_disk)
}

vduse_disk()
{
	local disk

	for disk in /sys/bus/vdpa/devices/bench/virtio*/block/vd*; do
		[ ! -e "$disk" ] || { basename "$disk"; return 0; }
	done
	return 1
}

vduse_stop()
{
	vdpa dev del bench
	kill $VDUSE_PID
	wait $VDUSE_PID
	rm -f /tmp/vduse.img
}

NVMET=/sys/kernel/config/nvmet
# The kernel knows one already by the other disks, and wants name and number of a host to match.
NVMET_HOST=2cbfe20d-8a5c-4d5c-9bb0-2f7f6ee0a7b1

nvmetcp_start()
{
	modprobe -a nvmet nvmet_tcp nvme_tcp || { REASON="no nvmet_tcp in this kernel"; return 1; }
	nullmem_start || { REASON="no memory disk for the target"; return 1; }
	mkdir $NVMET/subsystems/bench $NVMET/subsystems/bench/namespaces/1 $NVMET/ports/1 || return 1
	echo 1 >$NVMET/subsystems/bench/attr_allow_any_host
	echo -n /dev/nullb9 >$NVMET/subsystems/bench/namespaces/1/device_path
	echo 1 >$NVMET/subsystems/bench/namespaces/1/enable
	echo ipv4 >$NVMET/ports/1/addr_adrfam
	echo tcp >$NVMET/ports/1/addr_trtype
	echo 127.0.0.1 >$NVMET/ports/1/addr_traddr
	echo 4420 >$NVMET/ports/1/addr_trsvcid
	ln -s $NVMET/subsystems/bench $NVMET/ports/1/subsystems/bench
	nvme connect -t tcp -a 127.0.0.1 -s 4420 -n bench --hostid=$NVMET_HOST \
		--hostnqn=nqn.2014-08.org.nvmexpress:uuid:$NVMET_HOST >"$WORK/nvmetcp.err" 2>&1 &&
		wait_for 20 nvmetcp_disk || { REASON="NVMe/TCP: $(head -n 1 "$WORK/nvmetcp.err")"; return 1; }
	DISK=$(nvmetcp_disk)
}

# With multipath the disk is not below the controller, but has the subsystem's number.
nvmetcp_disk()
{
	local ctrl disk

	for ctrl in /sys/class/nvme-fabrics/ctl/nvme*; do
		[ "$(cat "$ctrl/transport" 2>/dev/null)" = tcp ] || continue
		for disk in "$ctrl"/nvme*n* /sys/class/nvme-subsystem/nvme-subsys*/nvme*n*; do
			disk=$(basename "$disk")
			if [ -b "/dev/$disk" ] && [ "$(cat "/sys/block/$disk/size")" != 0 ]; then
				echo "$disk"
				return 0
			fi
		done
	done
	return 1
}

nvmetcp_stop()
{
	nvme disconnect -n bench >/dev/null 2>&1
	rm -f $NVMET/ports/1/subsystems/bench
	rmdir $NVMET/ports/1 $NVMET/subsystems/bench/namespaces/1 $NVMET/subsystems/bench
	nullmem_stop
}

# ---- the load ----

# block_load TARGET REP NAME RW BS DEPTH JOBS; with BLOCK_TAIL the 99th percentile as well
block_load()
{
	local target=$1 rep=$2 name=$3 bytes=4096 tail=--gtod_reduce=1 fio status

	[[ $name =~ $BLOCK_LOADS ]] || return 0
	[ "$5" = 4k ] || bytes=131072
	[ -z "$BLOCK_TAIL" ] || tail="--group_reporting --minimal"
	# shellcheck disable=SC2086
	fio --name=bench --filename="/dev/$DISK" --direct=1 --ioengine=io_uring --rw="$4" --bs="$5" \
		--iodepth="$6" --numjobs="$7" --size=100% --offset_increment=$((BLOCK_MIB / $7))M \
		--time_based --runtime=120 --thread --norandommap --randrepeat=1 \
		$tail \
		--output="$WORK/fio.out" >/dev/null 2>&1 &
	fio=$!
	vfu_sample "$DISK" "$SECONDS_EACH" $bytes >"$WORK/sample" 2>"$WORK/sample.err"
	status=$?
	kill -INT $fio 2>/dev/null
	wait $fio
	if [ $status != 0 ]; then
		{ cat "$WORK/sample.err"; head -n 5 "$WORK/fio.out"; } | ktap_log
		return 1
	fi
	# fio's microseconds, of its whole run
	[ -z "$BLOCK_TAIL" ] || grep -o '99\.0*%=[0-9]*' "$WORK/fio.out" | sort -t= -k2 -n |
		sed -n '$s/.*=\(.*\)/bench p99 \1000/p' >>"$WORK/sample"
	sed "s/^bench /bench $name-/" "$WORK/sample" | record_notes "${RECORD_GROUP:-block}" "$target" "$rep" mixed
}

# All of it once, or who takes memory as it is written pays for that in the first loads.
block_fill()
{
	fio --name=fill --filename="/dev/$DISK" --direct=1 --ioengine=io_uring --rw=write --bs=1M \
		--iodepth=2 --size=100% --buffer_pattern=0x5a >"$WORK/fio.out" 2>&1
}

block_loads()
{
	local target=$1 rep=$2 jobs rw status=0

	block_fill || status=1
	for jobs in 1 $BLOCK_JOBS; do
		for rw in randread randwrite; do
			block_load "$target" "$rep" "$rw-4k-d1-j$jobs" $rw 4k 1 "$jobs" || status=1
			block_load "$target" "$rep" "$rw-4k-d32-j$jobs" $rw 4k 32 "$jobs" || status=1
		done
		for rw in read write; do
			block_load "$target" "$rep" "$rw-128k-d8-j$jobs" $rw 128k 8 "$jobs" || status=1
		done
	done
	return $status
}

group_block()
{
	local rep target broken=' ' failed=' '

	load_module
	for rep in $(seq "$REPS"); do
		for target in ${BLOCK_TARGETS//,/ }; do
			case $broken in
			*" $target "*) continue ;;
			esac
			REASON=
			if ! "${target}_start"; then
				missing block "$target" "${REASON:-could not be started}"
				"${target}_stop" >/dev/null 2>&1
				broken+="$target "
				continue
			fi
			block_loads "$target" "$rep" || failed+="$target "
			"${target}_stop" || failed+="$target "
		done
	done
	for target in ${BLOCK_TARGETS//,/ }; do
		case $broken in
		*" $target "*) continue ;;
		esac
		case $failed in
		*" $target "*) ktap_fail "block: $target" ;;
		*) ktap_pass "block: $target" ;;
		esac
	done
}
