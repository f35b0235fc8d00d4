#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# TIMEOUT: 600
#
# A directory shared by virtiofsd behind vfiouser-vhost, as "attach --vhost" starts it: files are
# what they are, the same virtiofsd is mounted again after a detach, and one that is killed leaves
# nothing that hangs. Then what the guide says about a disk. soak/vhost_fs.sh kills it more often.

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/vfiouser.sh"
. "$(dirname "$0")/../lib/vhost.sh"

FS_KILLS=${FS_KILLS:-1}

load_module
vhost_drivers
mkdir -p "$WORK/share/dir" /mnt
for i in 1 2 3 4 5 6 7 8; do
	dd if=/dev/urandom of="$WORK/share/dir/file$i" bs=64k count=$((i * 4)) 2>/dev/null
done

# virtiofsd has no --tag in this version: the front end says it
share()
{
	vhost_backend /usr/bin/virtiofsd --socket-path=@ -o "source=$WORK/share" -o sandbox=chroot
}

grep -qs virtiofs /proc/filesystems || ktap_skip_all "this kernel has no virtiofs"
share
vhost_front fs --tag=share
attach "$SOCKET"
ktap_ok $? "attach" || ktap_bail "nothing to test"
ktap_match "lspci" "$(lspci -nn -s "$BDF")" '1af4:105a'
wait_for 30 mount -t virtiofs share /mnt
ktap_ok $? "mount" || ktap_bail "no file system"
diff -r "$WORK/share" /mnt
ktap_ok $? "all files are the same"
cp -r "$WORK/share/dir" /mnt/copy && diff -r "$WORK/share/dir" "$WORK/share/copy"
ktap_ok $? "what is written is there"
rm -rf /mnt/copy && [ ! -e "$WORK/share/copy" ]
ktap_ok $? "and can be removed"
fio --name=mmap --directory=/mnt --rw=randwrite --bs=4k --size=2M --ioengine=mmap \
	--verify=crc32c --do_verify=1 >"$WORK/fio" 2>&1
ktap_ok $? "fio: verify through a mapping" || ktap_log <"$WORK/fio"
umount /mnt
ktap_ok $? "umount"
detach && wait_for 30 pci_gone "$BDF"
ktap_ok $? "detach"
vu_gone "$BACKEND_PID"
ktap_is "virtiofsd still runs" $? 1
attach "$SOCKET" && wait_for 30 mount -t virtiofs share /mnt && diff -r "$WORK/share" /mnt
ktap_ok $? "attached and mounted again, all files are the same"
ktap_is "over one connection" "$(grep -c 'connected again' "$SOCKET.log")" 0

share_again()
{
	BACKEND_SOCKET=$BACKEND share
}

# It is killed under load.
for ((n = 0; n < FS_KILLS; n++)); do
	(while cat /mnt/dir/* >/dev/null 2>&1; do echo 3 >/proc/sys/vm/drop_caches; done) &
	load=$!
	sleep 1
	ended=$(grep -c 'requests end with errors' "$SOCKET.log")
	vhost_kill
	wait_for 60 sh -c "[ \$(grep -c 'requests end with errors' '$SOCKET.log') -gt $ended ]"
	ktap_ok $? "vfiouser-vhost ends its requests"
	wait $load
	ktap_pass "who used it has an error"
	stat /mnt/dir/nothing 2>&1 | ktap_log
	umount /mnt
	ktap_ok $? "umount"
	share_again
	detach
	ktap_ok $? "detach"
	wait_for 30 pci_gone "$BDF"
	ktap_ok $? "gone"
	attach --reconnect=60 "$SOCKET" && wait_for 30 mount -t virtiofs share /mnt &&
		diff -r "$WORK/share/dir" /mnt/dir
	ktap_ok $? "attached and mounted again, with another virtiofsd"
done

# Its helper is killed while files are read, and one is open; then vfiouser-vhost.
exec 3</mnt/dir/file8
echo 3 >/proc/sys/vm/drop_caches
pid=$(helper_pid)
(while [ ! -e "$WORK/enough" ]; do
	diff -r "$WORK/share/dir" /mnt/dir || exit 1
	echo 3 >/proc/sys/vm/drop_caches
done) &
load=$!
kill -KILL "$pid"
wait_for 30 other_helper "$pid"
ktap_ok $? "helper: another one has the device"
diff -r "$WORK/share/dir" /mnt/dir
ktap_ok $? "helper: files are read on"
vhost_front_kill
ktap_ok $? "front: another process goes on in its place"
diff -r "$WORK/share/dir" /mnt/dir && touch "$WORK/enough" && wait $load
ktap_ok $? "front: files are read on"
cmp - "$WORK/share/dir/file8" <&3
ktap_ok $? "front: also the one that was open"
exec 3<&-
ktap_match "helper: the driver was not told" "$(dmesg | grep 'vfiouser .*: ' | tail -n 2 | tr '\n' ' ')" \
	'held: .*recovered'
umount /mnt && detach && wait_for 30 pci_gone "$BDF"
ktap_ok $? "umount, detach"
stop_server "$SERVER_PID"
ktap_ok $? "vfiouser-vhost ends on SIGTERM"
ktap_log <"$SOCKET.log"

# ---- vfiouser-vhost is killed below it, with requests in flight ----

# each_of PROCESS: virtiofsd, whose back end is a child of the one that was started
each_of()
{
	echo "$1"
	cat "/proc/$1/task/$1/children" 2>/dev/null
}

# in_flight PROCESS...: do two of them wait for an answer? Others may for a lock that those hold.
in_flight()
{
	# shellcheck disable=SC2046 # a list
	[ "$(grep -ls request_wait_answer $(printf "/proc/%s/stack " "$@") | wc -l)" -ge 2 ]
}

all_gone()
{
	local pid

	for pid in "$@"; do
		vu_gone "$pid" || return 1
	done
}

vhost_kill
share
vhost_front fs --tag=share --no-standby
attach "$SOCKET" && wait_for 30 mount -t virtiofs share /mnt && [ -e /mnt/dir/file1 ]
ktap_ok $? "front: attached and mounted" || ktap_bail "no file system"
mapfile -t pids < <(each_of "$BACKEND_PID" | xargs -n1)
kill -STOP "${pids[@]}"
users=
for i in 1 2 3 4; do
	cat "/mnt/dir/file$i" >/dev/null 2>"$WORK/user$i" &
	users="$users $!"
done
mkdir /mnt/new 2>"$WORK/user5" &
users="$users $!"
# shellcheck disable=SC2086 # a list
wait_for 30 in_flight $users
ktap_ok $? "front: requests in flight"
kill -KILL "$SERVER_PID"
dmesg_allow 'virtio-fs: virtio_fs_enqueue_req\(\) failed'
# shellcheck disable=SC2086 # a list
wait_for 60 all_gone $users
ktap_ok $? "front: they end" || tail /proc/[0-9]*/stack 2>/dev/null | grep -B3 -A9 fuse_ | ktap_log
ktap_is "front: with an error each" \
	"$(grep -lE 'not connected|Input/output error' "$WORK"/user[1-5] | wc -l)" 5
wait_for 60 pci_gone "$BDF"
ktap_ok $? "front: the device goes"
umount /mnt &
wait_for 60 vu_gone $! && wait $!
ktap_ok $? "front: umount"
kill -KILL "${pids[@]}"
share
vhost_front fs --tag=share
attach "$SOCKET" && wait_for 30 mount -t virtiofs share /mnt && diff -r "$WORK/share/dir" /mnt/dir
ktap_ok $? "front: attached and mounted again, with another vfiouser-vhost"
umount /mnt && detach && wait_for 30 pci_gone "$BDF"
ktap_ok $? "front: umount, detach"
stop_server "$SERVER_PID"

# ---- attach --vhost, as the guide says ----
cd "$WORK" || exit 1
qemu-img create -f qcow2 disk.qcow2 64M >/dev/null 2>&1 ||
	truncate -s 64M disk.raw
if [ -e disk.qcow2 ]; then
	format='driver=qcow2,node-name=f,file=p'
else
	mv disk.raw disk.qcow2
	format='driver=raw,node-name=f,file=p'
fi
BACKEND_SOCKET=/run/disk2.sock vhost_backend qemu-storage-daemon \
	--blockdev driver=file,node-name=p,filename=disk.qcow2 --blockdev $format --export \
	type=vhost-user-blk,id=e,node-name=f,writable=on,addr.type=unix,addr.path=@,num-queues=2
attach --vhost=blk:/run/disk2.sock --name=disk2
ktap_ok $? "attach --vhost"
ktap_match "its name" "$ATTACH_OUT" '^disk2 .* 1af4:1042 virtio-pci vd'
disk=$(vdisk_of "$BDF")
mkfs.ext4 -q "$disk" && mount -t ext4 "$disk" /mnt && umount /mnt
ktap_ok $? "mkfs, mount, umount"
detach disk2 && wait_for 30 pci_gone "$BDF"
ktap_ok $? "detach"
attach --vhost=blk:/run/disk2.sock --name=disk2
ktap_ok $? "attach --vhost again"
ktap_match "with the process that runs" "$(cat "$WORK/attach.err")" 'runs already'
# it and the process that would go on
# shellcheck disable=SC2046 # a list
kill -KILL $(pidof vfiouser-vhost)
wait_for 60 pci_gone "$BDF"
ktap_ok $? "attach --vhost: vfiouser-vhost is killed: the device goes"
attach --reconnect=60 --vhost=blk:/run/disk2.sock --name=disk2
ktap_ok $? "attach --vhost: starts another"
disk=$(vdisk_of "$BDF") && mount -t ext4 "$disk" /mnt && umount /mnt
ktap_ok $? "attach --vhost: the disk is as it was"
# shellcheck disable=SC2046 # a list
kill -KILL $(pidof vfiouser-vhost)
wait_for 30 state_is "$BDF" frozen
bdf=$BDF
attach --vhost=blk:/run/disk2.sock --name=disk2
ktap_log <"$WORK/attach.err"
BDF=$bdf
wait_for 60 state_is "$BDF" live && disk=$(vdisk_of "$BDF") && mount -t ext4 "$disk" /mnt && umount /mnt
ktap_ok $? "attach --vhost: a device that waits has its disk again with the one that is started"
detach disk2 && wait_for 30 pci_gone "$BDF"
refused 2 "a type that is not for a host" 'is not for a host' \
	vfiouserctl attach --vhost=balloon:/run/disk2.sock --name=balloon
refused 2 "no type" 'is no device type and socket' vfiouserctl attach --vhost=/run/disk2.sock
refused 2 "a server as well" 'takes no server address' \
	vfiouserctl attach --vhost=blk:/run/disk2.sock /run/other.sock
refused 3 "no back end" 'waiting for the back end' \
	vfiouserctl attach --wait-server=1s --vhost=blk:/run/nobody.sock
vhost_kill
wait_for 30 test ! -S /run/vfiouser/disk2.vhost
ktap_ok $? "vfiouser-vhost ends with its back end"
rm -rf /run/disk2.sock /run/disk2.sock.log /run/vfiouser
ktap_end
