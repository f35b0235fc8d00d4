#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# TIMEOUT: 600
#
# A vhost-user disk: QEMU's storage daemon behind vfiouser-vhost, driven by virtio_blk. What is
# written can be read again, no process of ours takes part in it, and the back end is kept over
# attach and detach, and over a removal with requests in flight.

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/vfiouser.sh"
. "$(dirname "$0")/../lib/vhost.sh"

POOL=default
load_module
vhost_drivers
truncate -s 64M "$WORK/disk.img"
qsd "$WORK/disk.img" 2
vhost_backend "${QSD[@]}"
vhost_front blk

# What drivers keep from their first device on.
attach "$SOCKET" || ktap_bail "attach failed"
vdisk_of "$BDF" >/dev/null || ktap_bail "no disk"
detach || ktap_bail "detach failed"
wait_for 30 pci_gone "$BDF" || ktap_bail "it does not go away"
ktap_match "probe: where its registers are" "$(vfiouserctl probe "$SOCKET")" \
	'virtio common configuration: BAR=4 '
state_mark warm

vfiouserctl trace >"$WORK/trace" 2>&1 </dev/null &
trace=$!
wait_for 30 grep -qsx 1 "/sys/kernel/tracing/instances/vfiouserctl-$trace/tracing_on"
attach "$SOCKET"
ktap_ok $? "attach, after an attach and a detach" || ktap_bail "nothing to test"
wait_for 30 grep -q 'device_status: ACKNOWLEDGE DRIVER FEATURES_OK DRIVER_OK' "$WORK/trace"
ktap_ok $? "trace: what the driver says of its state"
for register in device_feature driver_feature queue_select queue_size queue_enable queue_desc; do
	grep -q "write BAR4 .*($register)\|read  BAR4 .*($register)" "$WORK/trace"
	ktap_ok $? "trace: $register" || { grep BAR4 "$WORK/trace" | head -n 5 | ktap_log; }
done
wait_for 30 grep -q 'doorbell BAR4 .*(doorbell [0-9])' "$WORK/trace"
ktap_ok $? "trace: a doorbell, by its queue"
ktap_is "trace: nothing of what it reads itself" "$(grep -c " vfiouserctl-$trace " "$WORK/trace")" 0
kill -INT $trace
wait_for 30 vu_gone $trace
ktap_match "lspci" "$(lspci -nn -s "$BDF")" 'SCSI storage controller.*1af4:1042'
ktap_is "driver" "$(driver_of "$BDF")" virtio-pci
disk=$(vdisk_of "$BDF")
ktap_match "disk" "$disk" '^/dev/vd' || ktap_bail "no disk"
ktap_is "its size" "$(cat "/sys/block/${disk##*/}/size")" 131072
ktap_is "a queue for each CPU" "$(find "/sys/block/${disk##*/}/mq" -mindepth 1 -maxdepth 1 | wc -l)" 2
ktap_match "MSI-X with a vector for each queue" "$(lspci -vv -s "$BDF")" 'MSI-X: Enable\+ Count=3'

mkfs.ext4 -q "$disk" && mount -t ext4 "$disk" /mnt
ktap_ok $? "mkfs, mount"
dd if=/dev/urandom of="$WORK/random" bs=1M count=8 2>/dev/null
cp "$WORK/random" /mnt/random && sync && umount /mnt
ktap_ok $? "a file is written"
e2fsck -fn "$disk" >"$WORK/fsck" 2>&1
ktap_ok $? "e2fsck" || ktap_log <"$WORK/fsck"
mount -t ext4 "$disk" /mnt && cmp "$WORK/random" /mnt/random
ktap_ok $? "and is the same"
umount /mnt

fio --name=verify --filename="$disk" --rw=randwrite --bs=4k --size=16M --iodepth=32 \
	--ioengine=libaio --direct=1 --verify=crc32c --do_verify=1 --verify_fatal=1 \
	--group_reporting >"$WORK/fio" 2>&1
ktap_ok $? "fio: verify at depth 32" || ktap_log <"$WORK/fio"

# No process of ours between driver and back end.
helper=$(helper_pid)
before=$(switches "$helper")
front=$(switches "$SERVER_PID")
writes=$(stat_of writes)
kicks=$(stat_of ioeventfds)
irqs=$(vhost_irqs)
fio --name=path --filename="$disk" --rw=randread --bs=4k --size=16M --iodepth=1 \
	--number_ios=4000 --ioengine=libaio --direct=1 >"$WORK/fio" 2>&1
ktap_ok $? "fio: 4000 reads, one after the other"
irqs=$(($(vhost_irqs) - irqs))
kicks=$(($(stat_of ioeventfds) - kicks))
ktap_log "$irqs interrupts, $kicks doorbells by eventfd"
[ "$irqs" -ge 4000 ]
ktap_ok $? "an interrupt for each"
[ "$kicks" -ge 4000 ]
ktap_ok $? "a doorbell for each, by eventfd"
ktap_is "no write went by message" "$(stat_of writes)" "$writes"
front=$(($(switches "$SERVER_PID") - front))
before=$(($(switches "$helper") - before))
ktap_log "switches: helper $before, vfiouser-vhost $front"
# (the helper answers "vfiouserctl list")
[ "$front" -le 2 ] && [ "$before" -le 50 ]
ktap_ok $? "neither helper nor vfiouser-vhost ran for it"
kill -STOP "$helper" "$SERVER_PID"
timeout 60 fio --name=stopped --filename="$disk" --rw=randrw --bs=4k --size=4M --iodepth=8 \
	--ioengine=libaio --direct=1 >"$WORK/fio" 2>&1
ktap_ok $? "the disk works while both are stopped"
kill -CONT "$helper" "$SERVER_PID"

# the back end's memory: the pool, and not a byte beside it
ktap_is "the back end maps the pool and nothing else of the host" \
	"$(grep -c 'memfd:' "/proc/$BACKEND_PID/maps")" 1

# The driver is unbound under load, and bound again.
fio --name=load --filename="$disk" --rw=randrw --bs=4k --size=16M --iodepth=32 --time_based \
	--runtime=20 --allow_file_create=0 --ioengine=libaio --direct=1 >"$WORK/fio" 2>&1 &
load=$!
wait_for 10 test -e "/proc/$load" && sleep 1
ktap_run "unbind under load" sh -c "echo $BDF >/sys/bus/pci/drivers/virtio-pci/unbind"
wait $load
ktap_run "bind" sh -c "echo $BDF >/sys/bus/pci/drivers/virtio-pci/bind"
disk=$(vdisk_of "$BDF")
dd if="$disk" of=/dev/null bs=64k count=64 2>/dev/null
ktap_ok $? "the disk works again"

detach
ktap_ok $? "detach"
wait_for 30 pci_gone "$BDF"
ktap_ok $? "gone"
attach "$SOCKET" && disk=$(vdisk_of "$BDF") &&
	dd if="$disk" of=/dev/null bs=64k count=64 2>/dev/null
ktap_ok $? "attach again: the disk is there, the back end is the same process"
vu_gone "$BACKEND_PID"
ktap_is "the back end still runs" $? 1
ktap_is "over one connection" "$(grep -c 'connected again' "$SOCKET.log")" 0
detach && wait_for 30 pci_gone "$BDF"
ktap_ok $? "detach"
state_check warm "nothing is left behind"
stop_server "$SERVER_PID"
ktap_ok $? "vfiouser-vhost ends on SIGTERM"
stop_server "$BACKEND_PID"
ktap_log <"$SOCKET.log"
ktap_end
