#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# TIMEOUT: 600
#
# Disks whose back end is killed: one that keeps its requests in flight in memory, at any time, under
# load and without an error; QEMU's storage daemon while idle, and at depth, where the requests end
# with errors and the device goes. Then what a disk's configuration changes, a back end that is replaced
# as planned, and the helper and vfiouser-vhost themselves being killed under load: unnoticed, for good and
# to come back. soak/vhost.sh has each of it more often.

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/vfiouser.sh"
. "$(dirname "$0")/../lib/vhost.sh"

KILLS=${KILLS:-6}
HELPER_KILLS=${HELPER_KILLS:-3}
HANDOVERS=${HANDOVERS:-5}
IDLE_KILLS=${IDLE_KILLS:-3}
DEPTH_KILLS=${DEPTH_KILLS:-1}
errors='I/O error, dev vd|Buffer I/O error on dev|lost async page write'
# what a program is told whose disk goes: a disk that has been deleted has no room for a write
gone='Input/output error|No such device|No space left on device'

load_module
vhost_drivers
dmesg_mark

# load NAME: requests at depth 32 until they fail
load()
{
	fio --name="$1" --filename="$disk" --rw=randrw --bs=4k --size=16M --iodepth=32 --time_based \
		--runtime=600 --allow_file_create=0 --ioengine=libaio --direct=1 >"$WORK/fio" 2>&1 &
	load=$!
	wait_for 30 disk_busy
}

# disk_busy [N]: more than N (0) requests are in flight
disk_busy()
{
	awk -v n="${1:-0}" '{ exit !($1 + $2 > n) }' "/sys/block/${disk##*/}/inflight"
}

# killed_under_load NAME PID: the process is, and requests end with errors
killed_under_load()
{
	load "$1"
	kill -KILL "$2"
	! wait $load && grep -qE "$gone" "$WORK/fio"
	ktap_ok $? "$1: requests end with errors" || ktap_log <"$WORK/fio"
}

# fio_on NAME: rounds of it, each of which reads again what it has written, until told to stop
fio_on()
{
	until [ -e "$WORK/enough" ]; do
		fio --name="$1" --filename="$disk" --rw=randwrite --bs=4k --size=4M --iodepth=32 --numjobs=2 \
			--offset_increment=32M --allow_file_create=0 --ioengine=libaio --direct=1 \
			--verify=crc32c --verify_fatal=1 --do_verify=1 --group_reporting >"$WORK/fio" 2>&1 ||
			return 1
	done
}

# said TEXT N: vfiouser-vhost has, so often
said()
{
	[ "$(grep -c "$1" "$SOCKET.log")" = "$2" ]
}

no_vdisk()
{
	! vhost_disk "$BDF" >/dev/null
}

# front_end NAME: vfiouser-vhost and the back end are of no more use
front_end()
{
	stop_server "$SERVER_PID"
	ktap_ok $? "$1: vfiouser-vhost ends on SIGTERM"
	ktap_log <"$SOCKET.log"
	vu_gone "$BACKEND_PID" || stop_server "$BACKEND_PID"
}

# ---- a back end with memory for its requests in flight ----

vublk=(vfiouser-vublk --socket=@ "--image=$WORK/vublk.img" --size=67108864 --queues=2 --inflight
       --delay=3000 --reorder)
vhost_backend "${vublk[@]}"
vhost_front blk
attach "$SOCKET"
ktap_ok $? "inflight: attach" || ktap_bail "nothing to test"
disk=$(vdisk_of "$BDF") || ktap_bail "no disk"
fio --name=verify --filename="$disk" --rw=randwrite --bs=4k --size=8M --iodepth=32 --numjobs=2 \
	--offset_increment=32M --allow_file_create=0 --ioengine=libaio --direct=1 --verify=crc32c \
	--verify_fatal=1 --do_verify=1 --time_based --runtime=$((KILLS * 2)) --group_reporting \
	>"$WORK/fio" 2>&1 &
load=$!
kills=0
while [ $kills -lt "$KILLS" ] && kill -0 $load 2>/dev/null; do
	wait_for 30 disk_busy
	vhost_kill
	vhost_again "${vublk[@]}"
	kills=$((kills + 1))
	wait_for 30 sh -c "[ \$(grep -c 'rings taken up again' '$SOCKET.log') = $kills ]"
done
wait $load
ktap_ok $? "inflight: fio: verify at depth 32 over $kills kills" || ktap_log <"$WORK/fio"
ktap_is "inflight: killed under load" $kills "$KILLS"
ktap_is "inflight: as often taken up again" "$(grep -c 'rings taken up again' "$SOCKET.log")" $kills

# ---- its helper is killed, then vfiouser-vhost, and another comes each time: nobody is told ----

detach && wait_for 30 pci_gone "$BDF"
ktap_ok $? "silent: detach"
attach --reconnect=60 "$SOCKET"
ktap_ok $? "silent: attach" || ktap_bail "nothing to test"
disk=$(vdisk_of "$BDF") || ktap_bail "no disk"
log=$(dmesg | wc -l)
taken=$(grep -c 'rings taken up again\|rings started' "$SOCKET.log")
virtio=$(readlink -f "/sys/bus/pci/devices/$BDF"/virtio*)
rm -f "$WORK/enough"
fio_on silent &
load=$!
kills=0
fronts=0
ones=0
while [ $kills -lt "$HELPER_KILLS" ] && kill -0 $load 2>/dev/null; do
	wait_for 30 disk_busy
	pid=$(helper_pid)
	kill -KILL "$pid"
	kills=$((kills + 1))
	# It waits.
	[ "$(setpci -s "$BDF" COMMAND)" != ffff ] || ones=1
	wait_for 30 other_helper "$pid"
	wait_for 30 disk_busy && vhost_front_kill && wait_for 30 disk_busy || break
	fronts=$((fronts + 1))
done
: >"$WORK/enough"
wait $load
ktap_ok $? "silent: fio: verify at depth 32 over $kills kills of the helper, $fronts of vfiouser-vhost" || ktap_log <"$WORK/fio"
ktap_is "silent: killed under load" "$kills $fronts" "$HELPER_KILLS $HELPER_KILLS"
ktap_is "silent: config space was never all-ones" $ones 0
ktap_is "silent: the same disk" "$(vhost_disk "$BDF") $(readlink -f "/sys/bus/pci/devices/$BDF"/virtio*)" \
	"$disk $virtio"
ktap_is "silent: the rings were not touched" \
	"$(grep -c 'rings taken up again\|rings started' "$SOCKET.log")" "$taken"
ktap_is "silent: held as often" "$(dmesg | tail -n +$((log + 1)) | grep -c 'held: ')" $kills
ktap_is "silent: the driver says nothing" \
	"$(dmesg | tail -n +$((log + 1)) | grep -cv 'vfiouser .*\(held: \|recovered\)\|vfiouserctl\[')" 0 ||
	dmesg | tail -n +$((log + 1)) | ktap_log
vfiouserctl recover "$BDF" >/dev/null
ktap_ok $? "silent: recover, as for an update"
wait_for 30 state_is "$BDF" live
ktap_is "silent: still the same disk" "$(vhost_disk "$BDF")" "$disk"
detach && wait_for 30 pci_gone "$BDF"
ktap_ok $? "silent: detach"

# held: a device with a grace time, without a helper and without one who starts another
held()
{
	kill -KILL "$(helper_pid)"
	wait_for 30 state_is "$BDF" frozen
}

attach --grace=60 "$SOCKET"
ktap_ok $? "held: attach" || ktap_bail "nothing to test"
disk=$(vdisk_of "$BDF") || ktap_bail "no disk"
held && dd if="$disk" of=/dev/null bs=64k count=64 iflag=direct 2>/dev/null
ktap_ok $? "held: it can be read without a helper"
vfiouserctl recover "$BDF" >/dev/null && wait_for 30 state_is "$BDF" live
ktap_ok $? "held: recover"
held && detach && wait_for 30 pci_gone "$BDF"
ktap_ok $? "held: detached without a helper"
attach "$SOCKET"
ktap_ok $? "silent: attached again, from the beginning" || ktap_bail "nothing to test"
disk=$(vdisk_of "$BDF") || ktap_bail "no disk"

# ---- its configuration ----

size=$(cat "/sys/block/${disk##*/}/size")
kill -USR1 "$BACKEND_PID"
wait_for 30 sh -c "[ \$(cat /sys/block/${disk##*/}/size) = $((size * 2)) ]"
ktap_ok $? "the disk grows when its back end says so"
ktap_match "the kernel says so" "$(dmesg_since)" 'new size|capacity change'
echo 'write through' >"/sys/block/${disk##*/}/cache_type" && wait_for 30 grep -q 'wce 0' "$BACKEND.log"
ktap_ok $? "cache_type reaches the back end"

# ---- it does not come back: the undertaker ----

detach && wait_for 30 pci_gone "$BDF"
ktap_ok $? "inflight: detach"
front_end inflight
dmesg_allow "$errors"
vhost_backend "${vublk[@]}"
vhost_front blk --deadline=500
attach "$SOCKET"
disk=$(vdisk_of "$BDF") || ktap_bail "no disk"
load lost
vhost_kill
! wait $load && grep -q 'Input/output error' "$WORK/fio"
ktap_ok $? "deadline: requests end with errors" || ktap_log <"$WORK/fio"
detach && wait_for 30 pci_gone "$BDF"
ktap_ok $? "deadline: detach"
front_end deadline

# ---- it is replaced below its driver, as planned, with requests in flight ----

stateful=(vfiouser-vublk --socket=@ "--image=$WORK/vublk.img" --size=67108864 --queues=2 --state
	  --delay=3000 --reorder --once)
vhost_backend "${stateful[@]}"
vhost_front blk
attach "$SOCKET"
disk=$(vdisk_of "$BDF") || ktap_bail "no disk"
rm -f "$WORK/enough"
fio_on handover &
load=$!
n=0
while [ $n -lt "$HANDOVERS" ] && wait_for 30 disk_busy && kill -0 $load 2>/dev/null; do
	n=$((n + 1))
	kill -HUP "$SERVER_PID"
	wait_for 30 said 'state is saved' $n && wait_for 10 vu_gone "$BACKEND_PID" || break
	vhost_again "${stateful[@]}"
	wait_for 30 said 'bytes of state handed over' $n || break
done
: >"$WORK/enough"
wait $load
ktap_ok $? "replaced: fio: verify at depth 32 over $n back ends" || ktap_log <"$WORK/fio"
ktap_is "replaced: each was given the state of the one before" \
	"$(grep -c 'bytes of state handed over' "$SOCKET.log")" "$HANDOVERS"
ktap_is "replaced: the same disk" "$(vhost_disk "$BDF")" "$disk"
detach && wait_for 30 pci_gone "$BDF"
ktap_ok $? "replaced: detach"
front_end replaced

# ---- QEMU's storage daemon: idle ----

truncate -s 64M "$WORK/disk.img"
qsd "$WORK/disk.img" 2
vhost_backend "${QSD[@]}"
vhost_front blk --no-standby --deadline=10000
attach "$SOCKET"
disk=$(vdisk_of "$BDF") || ktap_bail "no disk"
mkfs.ext4 -q "$disk" && mount -t ext4 "$disk" /mnt
ktap_ok $? "idle: mkfs, mount"
for ((n = 0; n < IDLE_KILLS; n++)); do
	dd if=/dev/urandom of="/mnt/file$n" bs=64k count=16 conv=fsync 2>/dev/null
	sync
	vhost_kill
	vhost_again "${QSD[@]}"
done
umount /mnt
e2fsck -fn "$disk" >"$WORK/fsck" 2>&1
ktap_ok $? "idle: a storage daemon that is killed $n times is taken up again: e2fsck" ||
	ktap_log <"$WORK/fsck"

# ---- the same with requests in flight: which are done only the driver knows ----

for ((n = 0; n < DEPTH_KILLS; n++)); do
	load depth
	# with several for certain: with one or none it would be waited for
	kill -STOP "$BACKEND_PID"
	wait_for 30 disk_busy 8
	vhost_kill
	! wait $load && grep -qE "$gone" "$WORK/fio"
	ktap_ok $? "depth: requests end with errors" || ktap_log <"$WORK/fio"
	wait_for 30 pci_gone "$BDF"
	ktap_ok $? "depth: the device goes"
	vhost_again "${QSD[@]}"
	attach "$SOCKET" && disk=$(vdisk_of "$BDF")
	ktap_ok $? "depth: attached again, with another storage daemon" || ktap_bail "no disk"
	dd if="$disk" of=/dev/null bs=64k count=64 iflag=direct 2>/dev/null
	ktap_ok $? "depth: it can be read"
done

# ---- the helper is killed under load ----

dd if=/dev/urandom of="$WORK/kept" bs=64k count=16 2>/dev/null
dd if="$WORK/kept" of="$disk" bs=64k seek=512 oflag=direct conv=fsync 2>/dev/null
again=$(grep -c 'connected again' "$SOCKET.log")
killed_under_load helper "$(helper_pid)"
wait_for 30 pci_gone "$BDF"
ktap_ok $? "helper: the device goes"
attach "$SOCKET" && disk=$(vdisk_of "$BDF")
ktap_ok $? "helper: attached again, with the same vfiouser-vhost" || ktap_bail "no disk"
ktap_is "helper: over the same connection to the back end" "$(grep -c 'connected again' "$SOCKET.log")" \
	"$again"
dd if="$disk" of="$WORK/read" bs=64k skip=512 count=16 iflag=direct 2>/dev/null
cmp "$WORK/kept" "$WORK/read"
ktap_ok $? "helper: what was acknowledged is there"

# ---- vfiouser-vhost is killed under load ----

killed_under_load front "$SERVER_PID"
wait_for 30 pci_gone "$BDF"
ktap_ok $? "front: the device goes"
ktap_log <"$SOCKET.log"
rm -f "$SOCKET"

# ---- the same where it is to come back ----

WHILE_WAITING=qsd_supervise vhost_front blk --no-standby
attach --reconnect=60 "$SOCKET"
ktap_ok $? "reconnect: attach" || ktap_bail "nothing to test"
disk=$(vdisk_of "$BDF") || ktap_bail "no disk"
killed_under_load reconnect "$SERVER_PID"
wait_for 60 no_vdisk
ktap_ok $? "reconnect: the driver lets go"
rm -f "$SOCKET"
WHILE_WAITING=qsd_supervise vu_serve vfiouser-vhost --type=blk --vhost-socket="$BACKEND" --verbose \
	--no-standby
disk=$(vdisk_of "$BDF") && dd if="$disk" of=/dev/null bs=64k count=64 iflag=direct 2>/dev/null
ktap_ok $? "reconnect: a disk again with another vfiouser-vhost"
detach && wait_for 30 pci_gone "$BDF"
ktap_ok $? "reconnect: detach"

# ---- the helper is killed, and then the server as well ----

attach --grace=60 "$SOCKET"
disk=$(vdisk_of "$BDF") || ktap_bail "no disk"
held
kill -KILL "$SERVER_PID"
wait_for 30 no_vdisk
ktap_ok $? "both: the driver lets go"
dmesg_check "both: since the server is gone" 'frozen: its server has gone as well'
detach && wait_for 30 pci_gone "$BDF"
ktap_ok $? "both: detach"
ktap_log <"$SOCKET.log"
stop_server "$BACKEND_PID"

ktap_is "a ring was never broken" "$(dmesg_since | grep -c 'is not a head')" 0
ktap_end
