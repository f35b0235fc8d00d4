#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The packages on a user's machine: installed by apt in a clean root, the module built by DKMS, a disk
# that is set up as the documentation says and mounted by fstab on a system that systemd really boots
# and takes down again, and nothing left after purging.  Runs natively; the system is a VM.
#
# usage: packages.sh [--no-boot] [--reuse] [--rounds SERVER,HELPER,KEEPER] [--soak] [SERIES]
#
# --rounds: how often each is killed right after a boot (3,2,2)
# --reuse: packages, and the root file system made of them, are those of the last run if there are any,
#   and stay for the next one
# --soak: only that which follows a boot, with more of it (50,20,20), while fio verifies what it writes
#   and memory is short; prints figures ("make soak TESTS=packages")
#
# What the VM says is in $O/packages/SERIES/boot-N.{console,log}; the root file system beside them.

top=$(dirname "$(dirname "$(dirname "$(realpath "$0")")")")
kernels=$top/selftests/vm/kernels.sh
: "${O:=$top/build}"
export O
boot=1
reuse=
rounds=3,2,2
soak=
# each boot: seconds that it may take; without KVM a loaded machine is slow
limit=900
boots='1 2 3'
while :; do
	case ${1:-} in
	--no-boot) boot= ;;
	--reuse) reuse=1 ;;
	--rounds) rounds=$2; shift ;;
	--soak) soak=,soak rounds=50,20,20 limit=5400 boots='1 2' ;;
	*) break ;;
	esac
	shift
done
series=${1:-6.12}

. "${LIB:-$top/selftests/lib}/ktap.sh"

# ---- in a clean root ----

# What packages own, and what they leave: of files, without caches and logs.
files()
{
	find / -xdev \( -path /mnt -o -path /proc -o -path /tmp -o -path /var/cache -o -path /var/lib/apt \
		-o -path /var/log -o -path /var/lib/dpkg -o -path /run \) -prune -o -print |
		grep -v "^/lib/modules/[^/]*/modules\.\|^/usr/lib/modules/[^/]*/modules\." | LC_ALL=C sort
}

# The root file system for the VM, without what only building takes.
save_root()
{
	mkdir /mnt/root
	tar -C / --one-file-system --exclude=./mnt/* --exclude=./tmp/* --exclude='./usr/src/linux-*' \
		--exclude='./usr/lib/gcc*' --exclude='./usr/share/doc/*' --exclude='./usr/share/locale/*' \
		--exclude='./boot/*' --exclude='./var/cache/*' --exclude='./usr/lib/x86_64-linux-gnu/*.a' \
		--exclude='./usr/libexec/gcc*' --exclude='./var/lib/apt/lists/*' \
		-c . | tar -C /mnt/root -x
	mkdir -p /mnt/root/var/cache/apt/archives/partial
}

inside()
{
	local kernel=$1 dir command

	# one kernel is enough
	for dir in /lib/modules/*; do
		[ "$dir" = "/lib/modules/$kernel" ] || rm -rf "$dir"
	done
	# as "apt update" has left them on a user's machine
	mkdir -p /var/lib/apt/lists/partial
	files >/mnt/before

	cd /mnt || exit 1
	command=$(head -n 1 /mnt/commands)
	ktap_match "the first command is apt's" "$command" '^apt install '
	# apt may be asked nothing here
	ktap_run "$command" sh -c "${command/apt install/apt-get -y install}"
	ktap_match "DKMS has built and installed the module" "$(dkms status vfiouser_pci)" \
		"${kernel//[.+]/.}.*installed"
	ktap_run "modprobe would find it" modprobe -S "$kernel" --show-depends vfiouser_pci
	ktap_run "vfiouserctl runs" vfiouserctl --version
	ktap_run "units are sound" systemd-analyze verify --man=no vfiouser@test.service \
		vfiouser-nvme@test.socket vfiouser-nvme@test.service vfiouser-vhost@test.service
	# (of control groups there are none here)
	ktap_is "systemd-analyze has nothing to say" "$(grep vfiouser <<<"$KTAP_OUT" |
		grep -vc "legacy cgroups v1")" 0
	[ -z "$2" ] || ktap_run "the root is saved" save_root

	ktap_run "apt purge" apt-get -y purge vfiouser-pci-dkms vfiouser-utils vfiouser-dev
	files >/mnt/after
	# libraries came as dependencies and are apt's to remove
	ktap_is "nothing is left" "$(comm -13 /mnt/before /mnt/after | grep -i vfiouser)" ""
	ktap_is "nothing is missing" "$(comm -23 /mnt/before /mnt/after)" ""
}

# ---- the system ----

# What each boot runs; its results go to the second serial port as "ok NAME" and "not ok NAME".
vm_script()
{
	cat <<'END'
#!/bin/bash
exec 3>/dev/ttyS1 >>/var/log/vmtest.log 2>&1
set -x
stage=$(($(cat /vmtest/stage 2>/dev/null || echo 0) + 1))
echo $stage >/vmtest/stage

say()
{
	{ set +x; } 2>/dev/null
	printf '%s\n' "$*" >&3
	set -x
}

# check NAME COMMAND...
check()
{
	local name=$1 out

	shift
	if out=$("$@" 2>&1); then
		say "ok $name"
	else
		say "not ok $name"
		printf '%s\n' "$out" | tail -n 20 | sed 's/^/# /' >&3
	fi
}

wait_for()
{
	local end=$((SECONDS + $1))

	shift
	until "$@"; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.3
	done
}

is()
{
	[ "$1" = "$2" ] || { echo "got '$1', want '$2'"; return 1; }
}

# What the journal has about a boot that should not be there.  The VM has no hardware and few packages
# of its own to complain about.
bad_lines()
{
	journalctl -q -b "$1" ${2:+--since "$2"} --no-pager -o short-monotonic |
		grep -aE 'Failed (to|with)|[Ff]ailed with|Timed out|timed out|I/O error|Buffer I/O|EXT4-fs (error|warning)|recover|WARNING|BUG:|Oops|hung task|lost:|Dependency failed|ordering cycle|Killing process|SIGKILL|in use; what|vfiouser.*(Unknown|unknown|ignoring)' |
		grep -avE 'ttyS|hwdb|rtc|clocksource: Watchdog remote CPU [0-9]+ read timed out|vconsole|systemd-timesyncd|Mount API|crng|ACPI|i8042|firmware|pcieport|MDS|mitigation|journal.*(recover|unclean)|systemd-random-seed|RETBleed'
}

no_bad_lines()
{
	local lines

	lines=$(bad_lines "$@")
	echo "$lines"
	[ -z "$lines" ]
}

# helper [NAME]: its process; 0 while there is none
helper()
{
	vfiouserctl list --json | awk -v want="${1:-disk1}" '
		/"name":/ { gsub(/[",]/, "", $2); name = $2 }
		/"pid":/ && name == want { gsub(/,/, "", $2); print $2 }'
}

keeper()
{
	vfiouserctl list --json | sed -nE 's/.*"keeper_pid": *([0-9]+).*/\1/p'
}

# writer: files through the page cache, synced, and verified past it, until told to stop
writer()
{
	local n=0

	rm -f /vmtest/stop /vmtest/failed
	until [ -e /vmtest/stop ]; do
		n=$((n + 1))
		dd if=/dev/urandom of=/mnt/w.$((n % 4)) bs=64k count=32 conv=fsync 2>/dev/null &&
			sha256sum <"/mnt/w.$((n % 4))" >"/vmtest/w.sum" &&
			dd if=/mnt/w.$((n % 4)) bs=64k iflag=direct 2>/dev/null | sha256sum | cmp -s - /vmtest/w.sum ||
			{ touch /vmtest/failed; break; }
		echo $n >/vmtest/written
	done
}

# verifier: random writes past the page cache, each verified, until told to stop
verifier()
{
	local n=0

	until [ -e /vmtest/stop ]; do
		n=$((n + 1))
		fio --name=v --directory=/mnt --ioengine=libaio --direct=1 --rw=randwrite --bsrange=4k-64k \
			--iodepth=8 --size=4M --verify=crc32c --verify_fatal=1 --do_verify=1 --randseed=$n \
			--minimal >/vmtest/fio.out 2>&1 || { touch /vmtest/failed; break; }
		echo $n >/vmtest/verified
	done
}

# pressure: all memory but 120 MiB is taken
pressure()
{
	local free

	mkdir -p /hog
	mount -t tmpfs -o size=90% none /hog
	free=$(($(sed -n 's/^MemAvailable: *\([0-9]*\) kB/\1/p' /proc/meminfo) / 1024))
	dd if=/dev/zero of=/hog/hog bs=1M count=$((free - 120)) 2>/dev/null
}

# killed WHAT TIMES COMMAND...: so often COMMAND, which kills it; the device goes on each time
killed()
{
	local what=$1 times=$2 n old before out

	shift 2
	for ((n = 1; n <= times; n++)); do
		old=$(helper)
		before=$(operations)
		if ! out=$("$@" 2>&1); then
			say "# $what, $n of $times: $* failed: $out"
			return 1
		fi
		if ! wait_for 120 replaced "$old" || ! wait_for 120 more "$before"; then
			say "# $what, $n of $times: $(vfiouserctl list | tail -n 1)"
			return 1
		fi
	done
	say "# figure: $what killed $((n - 1)) times, $SECONDS s after the boot"
}

# operations: those that the disk has completed
operations()
{
	awk '{ print $1 + $5 }' "/sys/class/block/$(basename "$(realpath /dev/disk/by-id/vfiouser-disk1)")/stat"
}

more()
{
	[ "$(operations)" -gt $(($1 + 40)) ]
}

kill_keeper()
{
	kill -KILL "$(keeper)"
}

kill_helper()
{
	kill -KILL "$(helper)"
}

# replaced PID [NAME]: another one has the device, and then it lives; the other way round that may have
# been before
replaced()
{
	local pid

	pid=$(helper "${2:-disk1}")
	[ -n "$pid" ] && [ "$pid" != 0 ] && [ "$pid" != "$1" ] &&
		vfiouserctl list | grep -w "^${2:-disk1}" | grep -qw live
}

# grown IMAGE: the disk is as large as that
grown()
{
	[ "$(blockdev --getsize64 /dev/disk/by-id/vfiouser-disk1)" = "$(stat -c %s "$1")" ]
}

restarted()
{
	active vfiouser@disk1 && [ "$(systemctl show -P NRestarts vfiouser@disk1)" -gt 0 ] &&
		vfiouserctl list | grep -qw live
}

active()
{
	[ "$(systemctl is-active "$1")" = active ]
}

fill()
{
	dd if=/dev/urandom of="$1/$2" bs=1M count=8 && sha256sum "$1/$2" >"/vmtest/$2.sum"
}

sums()
{
	sha256sum -c "/vmtest/$1.sum"
}

# vdisk_setup: a disk of QEMU's storage daemon, each of the three processes a service, mounted at boot
vdisk_setup()
{
	truncate -s 64M /var/lib/vdisk.img
	cat >/etc/systemd/system/vdisk-backend.service <<-UNIT
	[Unit]
	Before=vfiouser-vhost@vdisk.service
	[Service]
	Environment=LD_LIBRARY_PATH=/vmtest/qsd
	ExecStart=/vmtest/qsd/qemu-storage-daemon \\
		--blockdev driver=file,node-name=f,filename=/var/lib/vdisk.img \\
		--export type=vhost-user-blk,id=e,node-name=f,writable=on,addr.type=unix,addr.path=/run/vdisk.sock
	[Install]
	WantedBy=vfiouser-vhost@vdisk.service
	UNIT
	mkdir -p /etc/vfiouser /vdisk
	echo BACKEND=/run/vdisk.sock >/etc/vfiouser/vdisk.conf
	systemctl daemon-reload
	systemctl enable --now vdisk-backend vfiouser-vhost@vdisk vfiouser@vdisk
}

# vdisk_mount: at each boot, and now
vdisk_mount()
{
	mkfs.ext4 -q /dev/disk/by-id/vfiouser-vdisk || return 1
	echo '/dev/disk/by-id/vfiouser-vdisk /vdisk ext4 _netdev 0 2' >>/etc/fstab
	systemctl daemon-reload
	mount /vdisk
}

# other_vhost PID: the device is live, and vfiouser-vhost another process than PID
stands_by()
{
	[ -n "$(cat "/proc/$1/task/$1/children")" ]
}

# goes_on PID: the service has another main process than that one
goes_on()
{
	local pid

	pid=$(systemctl show -P MainPID vfiouser-vhost@vdisk)
	[ "$pid" != 0 ] && [ "$pid" != "$1" ] && systemctl is-active vfiouser-vhost@vdisk && stands_by "$pid"
}

other_vhost()
{
	local pid

	pid=$(systemctl show -P MainPID vfiouser-vhost@vdisk)
	[ "$pid" != 0 ] && [ "$pid" != "$1" ] && vfiouserctl list | grep -w vdisk | grep -qw live &&
		test -b /dev/disk/by-id/vfiouser-vdisk
}

case $stage in
1)
	systemctl is-system-running --wait
	cd /
	while read -r command; do
		check "$command" bash -c "$command"
	done </vmtest/commands
	check "the file system is mounted" mountpoint /mnt
	check "the device has a name that stays" test -b /dev/disk/by-id/vfiouser-disk1
	check "systemd shows what there is" sh -c 'systemctl status vfiouser@disk1 | grep "Status:.*disk1 .* nvme nvme"'
	fill /mnt first
	# with the file system mounted by hand, and written to until the end
	say "end of stage $stage"
	systemctl reboot
	;;
2)
	systemctl is-system-running --wait
	check "mounted by hand: the way down was clean" no_bad_lines -1
	check "the device is there after a boot" wait_for 60 active vfiouser@disk1
	disk=/dev/disk/by-id/vfiouser-disk1
	check "the file system needs no recovery" sh -c "dumpe2fs -h $disk | grep -q 'Filesystem state: *clean' && ! dumpe2fs -h $disk | grep needs_recovery"
	while read -r command; do
		check "$command" bash -c "$command"
	done </vmtest/fstab
	check "the data are as they were" sums first
	fill /mnt second

	# right after a boot, and nothing was started again before: the first connection is systemd's
	check "the server is known" sh -c "vfiouserctl show disk1 | grep 'Server:.*(vfiouser-nvme)'"
	IFS=, read -r servers helpers keepers soak </vmtest/rounds
	echo 0 | tee /vmtest/written >/vmtest/verified
	writer &
	if [ "$soak" ]; then
		pressure
		verifier &
	fi
	check "after a boot: server killed $servers times" killed server "$servers" systemctl kill -s KILL vfiouser-nvme@disk1
	check "after a boot: helper killed $helpers times" killed helper "$helpers" kill_helper
	check "after a boot: not by systemd until here" is "$(systemctl show -P NRestarts vfiouser@disk1)" 0
	check "after a boot: keeper killed $keepers times" killed keeper "$keepers" kill_keeper
	touch /vmtest/stop
	wait
	check "after a boot: no error, no wrong byte" test ! -e /vmtest/failed
	say "# figure: files written and read back meanwhile: $(cat /vmtest/written); rounds of fio: $(cat /vmtest/verified)"
	check "after a boot: the kernel saw none" sh -c '! dmesg | grep -E "I/O error|Buffer I/O|EXT4-fs (error|warning)"'
	rm /mnt/w.*
	sync
	[ "$soak" ] || {
		check "vhost: three services make a disk" vdisk_setup
		check "vhost: it has a name that stays" wait_for 60 test -b /dev/disk/by-id/vfiouser-vdisk
		check "vhost: mkfs, mount" vdisk_mount
		fill /vdisk vhost
		check "vhost: a back end that saves no state is left as it is" systemctl reload vfiouser-vhost@vdisk
	}
	if [ "$soak" ]; then
		check "after a boot: no task was blocked" sh -c '! dmesg | grep -E "blocked for more|hung task"'
		check "after a boot: umount" umount /mnt
		check "after a boot: the file system is clean" e2fsck -fn $disk
		check "after a boot: mount" mount /mnt
		check "after a boot: the data are as they were" sums first
		say "end of stage $stage"
		systemctl poweroff
		exit
	fi
	date '+%F %T' >/vmtest/since
	sleep 1
	say "end of stage $stage"
	systemctl reboot
	;;
3)
	systemctl is-system-running --wait
	check "mounted by fstab: the way down was clean" no_bad_lines -1 "$(cat /vmtest/since)"
	check "the way up was clean" no_bad_lines 0
	check "nothing failed" is "$(systemctl --failed --no-legend | wc -l)" 0
	check "fstab's file system is mounted at boot" mountpoint /mnt
	check "with its data" sums second
	check "and needed no recovery" sh -c '! dmesg | grep -i "EXT4-fs.*recover"'

	check "vhost: mounted at boot" mountpoint /vdisk
	check "vhost: with its data" sums vhost
	old=$(helper vdisk)
	touch /vdisk/open
	exec 4>>/vdisk/open
	kill -KILL "$old"
	check "vhost: a killed helper is replaced" wait_for 120 replaced "$old" vdisk
	check "vhost: under an open file" sh -c 'echo kept >&4 && sync /vdisk/open && grep -q kept /vdisk/open'
	exec 4>&-
	check "vhost: its driver was not told" sh -c 'dmesg | grep "vfiouser vdisk.*held: "'
	old=$(systemctl show -P MainPID vfiouser-vhost@vdisk)
	touch /vdisk/open
	exec 4>>/vdisk/open
	check "vhost: a second process stands by" wait_for 60 stands_by "$old"
	kill -KILL "$old"
	check "vhost: it goes on where the first is killed" wait_for 60 goes_on "$old"
	check "vhost: under an open file" sh -c 'echo more >&4 && sync /vdisk/open && grep -q more /vdisk/open'
	exec 4>&-
	check "vhost: the service was not started again" is "$(systemctl show -P NRestarts vfiouser-vhost@vdisk)" 0
	check "vhost: nor has it failed" is "$(systemctl show -P Result vfiouser-vhost@vdisk)" success
	systemctl reload vfiouser-vhost@vdisk
	sleep 2
	check "vhost: nor is it stopped when it is told something" goes_on "$old"
	check "vhost: nor the device's" is "$(systemctl show -P NRestarts vfiouser@vdisk)" 0
	old=$(systemctl show -P MainPID vfiouser-vhost@vdisk)
	umount /vdisk
	systemctl kill -s KILL vfiouser-vhost@vdisk
	check "vhost: a killed vfiouser-vhost is started again, and the disk is back" wait_for 120 other_vhost "$old"
	check "vhost: it can be mounted" mount /vdisk
	echo 3 >/proc/sys/vm/drop_caches
	check "vhost: nothing was lost" sums vhost
	check "vhost: nor what was written meanwhile" grep -q kept /vdisk/open
	check "vhost: stopping the device unmounts it" sh -c 'systemctl stop vfiouser@vdisk && ! mountpoint /vdisk'
	check "vhost: its file system is clean" e2fsck -fn /var/lib/vdisk.img
	systemctl disable --now vfiouser@vdisk vfiouser-vhost@vdisk vdisk-backend
	check "vhost: its services end" sh -c '! systemctl is-active vfiouser-vhost@vdisk vdisk-backend'
	sed -i /vdisk/d /etc/fstab
	rm /etc/vfiouser/vdisk.conf /etc/systemd/system/vdisk-backend.service
	systemctl daemon-reload

	truncate -s +8M /var/lib/vfiouser/disk1.img
	check "the image grows, and the server is told" systemctl reload vfiouser-nvme@disk1
	check "the disk has grown" wait_for 60 grown /var/lib/vfiouser/disk1.img
	check "stopping the device" systemctl stop vfiouser@disk1
	check "unmounts it first" sh -c '! mountpoint /mnt'
	check "and removes it" sh -c '[ ! -e /dev/disk/by-id/vfiouser-disk1 ]'
	check "and leaves nothing behind" is "$(ls /sys/class/vfiouser)" ""
	check "starting it again" systemctl start vfiouser@disk1 mnt.mount
	check "the data are still there" sums first

	# from here on the file system stays mounted, whatever is killed
	old=$(helper)
	kill -KILL "$old"
	check "a killed helper is replaced" wait_for 120 replaced "$old"
	check "its driver was not told" sh -c 'dmesg | grep "vfiouser disk1.*held: "'
	check "under the file system" sums first
	old=$(helper)
	systemctl kill -s KILL vfiouser-nvme@disk1
	check "a killed server is connected to again" wait_for 120 replaced "$old"
	check "and the file system goes on" fill /mnt third
	check "by the helper, not by systemd" is "$(systemctl show -P NRestarts vfiouser@disk1)" 0
	sleep 40
	check "the watchdog is content" is "$(systemctl show -P NRestarts vfiouser@disk1)" 0
	old=$(helper)
	kill -STOP "$old"
	check "a hanging helper is replaced" wait_for 120 replaced "$old"
	sync
	systemctl kill --kill-whom=all -s KILL vfiouser@disk1
	check "when all of a service is killed, the next one takes the device over" wait_for 120 restarted
	echo 3 >/proc/sys/vm/drop_caches
	check "nothing was lost: first" sums first
	check "nothing was lost: second" sums second
	check "nothing was lost: third" sums third
	check "the file system was mounted all the time" is "$(dmesg | grep -c 'EXT4-fs (nvme.*mounted')" 2

	# the storage of the image is away for longer than the device waits
	vfiouserctl set --grace=5s disk1
	mv /var/lib/vfiouser/disk1.img /var/lib/vfiouser/away.img
	old=$(helper)
	systemctl kill -s KILL vfiouser-nvme@disk1
	check "image away: the device is given up" wait_for 120 test ! -e /dev/disk/by-id/vfiouser-disk1
	sleep 15
	check "image away: the service goes on trying" sh -c 'systemctl show -P ActiveState vfiouser@disk1 | grep -x activating'
	check "image away: so does the server's socket" active vfiouser-nvme@disk1.socket
	umount -l /mnt
	mv /var/lib/vfiouser/away.img /var/lib/vfiouser/disk1.img
	check "image back: the disk is back, by itself" wait_for 180 test -b /dev/disk/by-id/vfiouser-disk1
	check "image back: the service is active" wait_for 60 active vfiouser@disk1
	check "image back: it can be mounted" mount /mnt
	check "image back: what was synced is there: first" sums first
	check "image back: what was synced is there: second" sums second
	check "image back: what was synced is there: third" sums third

	# a disk with a partition table: one, of 8 MiB from 1 MiB on
	truncate -s 16M /var/lib/vfiouser/parts.img
	printf '\0\0\0\0\203\0\0\0\0\10\0\0\0\100\0\0' |
		dd of=/var/lib/vfiouser/parts.img bs=1 seek=446 conv=notrunc
	printf '\125\252' | dd of=/var/lib/vfiouser/parts.img bs=1 seek=510 conv=notrunc
	check "a second device" systemctl start vfiouser-nvme@parts.socket vfiouser@parts
	check "partitions have names that stay" wait_for 60 test -b /dev/disk/by-id/vfiouser-parts-part1
	check "of the right partition" is "$(blockdev --getsize64 /dev/disk/by-id/vfiouser-parts-part1)" 8388608
	check "it goes again" systemctl stop vfiouser@parts vfiouser-nvme@parts.socket vfiouser-nvme@parts.service

	sed -i /vfiouser/d /etc/fstab
	umount /mnt
	systemctl disable vfiouser@disk1 vfiouser-nvme@disk1.socket
	check "purge" apt-get -y purge vfiouser-pci-dkms vfiouser-utils vfiouser-dev
	check "purge stops the devices" is "$(ls /sys/class/vfiouser 2>/dev/null)" ""
	check "purge unloads the module" test ! -e /sys/module/vfiouser_pci
	check "purge keeps the disk image" test -e /var/lib/vfiouser/disk1.img
	rm -r /var/lib/vfiouser
	# the last of what udev has to do with it
	udevadm settle
	# /run/udev is udev's own memory: systemd 252 sometimes keeps who once had a link (directories in links/)
	check "purge leaves nothing else" is "$(find /etc /usr /var /run /dev -xdev -iname '*vfiouser*' ! -path '/var/log/*' ! -path '/var/lib/systemd/*' ! -path '/run/udev/links/*')" ""
	check "no warning of the kernel" sh -c '! dmesg | grep -E "WARNING|BUG:|Oops|hung task|Call Trace"'
	say "end of stage $stage"
	systemctl poweroff
	;;
esac
END
}

make_image()
{
	local root=$1 image=$2 unit

	mkdir -p "$root/vmtest" "$root/var/log/journal" "$root/etc/systemd/system/multi-user.target.wants"
	vm_script >"$root/vmtest/run"
	chmod 755 "$root/vmtest/run"
	echo "$rounds$soak" >"$root/vmtest/rounds"
	tail -n +2 "$root/../commands" >"$root/vmtest/commands"
	# the storage daemon of this machine, since apt may be asked nothing
	mkdir "$root/vmtest/qsd"
	cp "$(command -v qemu-storage-daemon)" "$root/vmtest/qsd/"
	ldd "$root/vmtest/qsd/qemu-storage-daemon" | sed -nE 's|.* => (/[^ ]*).*|\1|p' |
		grep -v '/lib[cm]\.so' | xargs cp -Lt "$root/vmtest/qsd/"
	"$top/scripts/doc-commands" "$top/Documentation/admin-guide.rst" fstab >"$root/vmtest/fstab"
	echo "/dev/vda / ext4 defaults 0 1" >"$root/etc/fstab"
	echo vm >"$root/etc/hostname"
	echo "127.0.0.1 localhost vm" >"$root/etc/hosts"
	echo 0123456789abcdef0123456789abcdef >"$root/etc/machine-id"
	cat >"$root/etc/systemd/system/vmtest.service" <<-END
	[Unit]
	Description=Test of this VM
	[Service]
	Type=exec
	ExecStart=/vmtest/run
	END
	ln -s ../vmtest.service "$root/etc/systemd/system/multi-user.target.wants/"
	for unit in getty@tty1.service serial-getty@ttyS0.service serial-getty@ttyS1.service \
		    systemd-timesyncd.service systemd-logind.service apt-daily.timer apt-daily-upgrade.timer \
		    dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer \
		    systemd-hwdb-update.service systemd-networkd.service \
		    nvmf-autoconnect.service nvmefc-boot-connections.service; do
		ln -sf /dev/null "$root/etc/systemd/system/$unit"
	done
	truncate -s 2G "$image"
	mke2fs -q -t ext4 -O ^metadata_csum_seed -d "$root" "$image"
}

# What mounts the image: Debian's kernels have virtio-blk and ext4 as modules.
make_initrd()
{
	local out=$1 kernel=$2 dir=$3 root file

	root=$(mktemp -d)
	mkdir -p "$root"/{bin,proc,dev,sys,new,modules}
	cp "$(command -v busybox)" "$root/bin/busybox"
	for file in virtio_pci virtio_blk ext4 crc32c_generic; do
		modprobe -d "$dir" -S "$kernel" -C /dev/null --show-depends "$file" 2>/dev/null
	done | sed -n 's/^insmod \([^ ]*\).*/\1/p' | awk '!seen[$0]++' | while read -r file; do
		case $file in
		*.xz) xz -dc "$file" >"$root/modules/$(basename "${file%.xz}")" ;;
		*) cp "$file" "$root/modules/" ;;
		esac
		basename "${file%.xz}" >>"$root/modules/order"
	done
	cat >"$root/init" <<-'END'
	#!/bin/busybox sh
	busybox mount -t proc proc /proc
	busybox mount -t devtmpfs dev /dev
	while read -r m; do busybox insmod /modules/$m; done </modules/order
	until busybox mount -t ext4 /dev/vda /new; do busybox sleep 1; done
	busybox umount /proc
	busybox mount --move /dev /new/dev
	exec busybox switch_root /new /sbin/init
	END
	ln -s busybox "$root/bin/sh"
	chmod 755 "$root/init"
	(cd "$root" && find . | cpio -o -H newc --quiet) >"$out"
	rm -rf "$root"
}

# boot N: runs the VM until it ends on its own; its results become ours
boot()
{
	local n=$1 log=$dir/boot-$1.log line image accel=(-accel "tcg,thread=multi" -cpu "max,la57=off,erms=off")

	if grep -qwE 'vmx|svm' /proc/cpuinfo && [ -w /dev/kvm ]; then
		accel=(-accel kvm -cpu max)
	fi
	image=$kernel/vmlinux
	[ -e "$image" ] || image=$kernel/vmlinuz
	: >"$log"
	# VM_RUN: a command that runs one, for machines which have to be shared. A machine that has much to
	# do is too slow for the kernel's check of its timer, which panics.
	${VM_RUN:-} timeout --kill-after=5 $limit qemu-system-x86_64 -machine q35 "${accel[@]}" -smp 2 -m 1G \
		-nodefaults -display none -no-reboot -kernel "$image" -initrd "$dir/initrd" \
		-drive "file=$dir/image,format=raw,if=virtio,cache=unsafe" \
		-serial "file:$dir/boot-$n.console" -serial "file:$log" \
		-append "console=ttyS0 no_timer_check tsc=nowatchdog loglevel=5 panic=-1 oops=panic mitigations=off norandmaps systemd.show_status=1" \
		</dev/null >"$dir/boot-$n.qemu" 2>&1
	ktap_ok $? "boot $n ends on its own"
	ktap_run "boot $n ran to its end" grep -q "^end of stage $n" "$log"
	while read -r line; do
		line=${line%$'\r'}
		case $line in
		'ok '*) ktap_pass "${line#ok }" ;;
		'not ok '*) ktap_fail "${line#not ok }" ;;
		'# '*) echo "$line" ;;
		esac
	done <"$log"
}

if [ "${1:-}" = --inside ]; then
	inside "$2" "${3:-}"
	ktap_end
fi

# make_packages: builds them
make_packages()
{
	local log

	if [ -n "$reuse" ] && ls "$O"/deb/*_0*.deb >/dev/null 2>&1; then
		return
	fi
	log=$("$top/packaging/make-deb" 2>&1)
	ktap_ok $? "the packages are built, and lintian is content" || { ktap_log <<<"$log"; ktap_end; }
}

# use_packages: installs them in a clean root, and makes the VM's disk of that
use_packages()
{
	rm -rf "$dir"
	mkdir -p "$dir/lib"
	cp "$O"/deb/*_0*.deb "$dir/"
	rm -f "$dir"/*-dbgsym_*
	cp "$top"/selftests/lib/* "$dir/lib/"
	cp "$0" "$dir/packages.sh"
	"$top/scripts/doc-commands" "$top/README.rst" five-commands >"$dir/commands" ||
		ktap_bail "README.rst has no five commands"
	ktap_is "there are five commands" "$(wc -l <"$dir/commands")" 5

	BIND=$dir LIB=/mnt/lib "$kernels" systemd "$series" /mnt/packages.sh --inside \
		"$(cat "$kernel/version")" "$boot" >"$dir/inside.log" 2>&1
	while read -r line; do
		case $line in
		'ok '*) ktap_pass "${line#ok * }" ;;
		'not ok '*) ktap_fail "${line#not ok * }" ;;
		*) echo "# ${line#\# }" ;;
		esac
	done <"$dir/inside.log"
	ktap_run "that ran to its end" grep -q '^1\.\.' "$dir/inside.log"
	[ -n "$boot" ] || return
	make_image "$dir/root" "$dir/image" && make_initrd "$dir/initrd" "$(cat "$kernel/version")" "$kernel" ||
		ktap_bail "no image for the VM"
	rm -rf "$dir/root"
	cp --sparse=always "$dir/image" "$dir/image.new"
}

# reuse_image: as it was before the first boot, with the script of today
reuse_image()
{
	cp --sparse=always "$dir/image.new" "$dir/image"
	vm_script >"$dir/run"
	echo "$rounds$soak" >"$dir/rounds"
	debugfs -w -f /dev/stdin "$dir/image" <<-END >/dev/null 2>&1
	rm /vmtest/run
	rm /vmtest/rounds
	write $dir/run /vmtest/run
	write $dir/rounds /vmtest/rounds
	set_inode_field /vmtest/run mode 0100755
	END
}

kernel=$("$kernels" fetch "$series") || ktap_bail "kernel $series cannot be fetched"
dir=$O/packages/$series
make_packages
if [ -n "$reuse" ] && [ -e "$dir/image.new" ]; then
	reuse_image
else
	use_packages
fi
if [ -n "$boot" ]; then
	for n in $boots; do
		boot "$n"
	done
	[ "$KTAP_FAILED" != 0 ] || [ -n "$reuse" ] || rm -f "$dir/image" "$dir/image.new"
fi
ktap_end
