#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Power cuts: a machine with a disk of vfiouser-nvme, the image on a file system of its own, is killed
# (SIGKILL to the VM) while it writes, and started again, so many times.  Whatever was acknowledged must
# be there then: records that were appended to a file in a file system on that disk, and blocks of a
# second namespace, written past the page cache; each with fsync().  Runs natively; the machine is a VM.
#
# usage: powercut.sh [--cuts N] [--no-build] [SERIES]
#
# --cuts: how often (50)
# --no-build: the module and the initramfs in $O/vm/SERIES are up to date
#
# What the VM said is in $O/powercut/SERIES/.

here=$(dirname "$(realpath "$0")")
. "$here/../lib/ktap.sh"

BLOCKS=64	# of the second namespace, which are written over and over

# ---- in the VM: the kernel's command line has what was acknowledged, powercut=RECORDS,BLOCKS,last ----

# record KIND N: 4 KiB
record()
{
	printf '%-4095s\n' "$1 $2"
}

# Each says so when it is told that it is on stable storage.
write_records()
{
	local n=$1

	while n=$((n + 1)); do
		record record $n | dd of=/mnt/log bs=4k iflag=fullblock oflag=append conv=notrunc,fsync \
			2>"$WORK/record" || break
		echo "acked record $n"
	done
	echo "not ok: record $n: $(cat "$WORK/record")"
}

write_blocks()
{
	local n=$1

	while n=$((n + 1)); do
		record block $n | dd of="$second" bs=4k seek=$((n % BLOCKS)) iflag=fullblock \
			oflag=direct conv=notrunc,fsync 2>"$WORK/block" || break
		echo "acked block $n"
	done
	echo "not ok: block $n: $(cat "$WORK/block")"
}

records_are_there()
{
	[ "$1" = 0 ] || dd if=/mnt/log bs=4k count="$1" 2>/dev/null | awk -v want="$1" '
		!($1 == "record" && $2 == NR) { print "line " NR ": " $0; bad = 1 }
		END { exit bad || NR != want }'
}

# Each block has what was acknowledged last, or what was written there later.
blocks_are_there()
{
	dd if="$second" bs=4k count=$BLOCKS iflag=direct 2>/dev/null | tr -d '\0' | awk -v acked="$1" \
		-v blocks=$BLOCKS '
		{ got[$2 % blocks] = $2 }
		END {
			for (n = acked; n > 0 && n > acked - blocks; n--)
				if (got[n % blocks] < n) {
					print "block " n % blocks ": " got[n % blocks] " instead of " n
					bad = 1
				}
			exit bad
		}'
}

# namespace NSID: sets namespace to its block device
namespace()
{
	local file

	for file in /sys/block/nvme*/nsid; do
		[ "$(cat "$file" 2>/dev/null)" = "$1" ] || continue
		file=${file%/nsid}
		namespace=/dev/${file##*/}
		[ -b "$namespace" ]
		return
	done
	return 1
}

in_vm()
{
	local records blocks last disk

	. "$here/../lib/vfiouser.sh"
	IFS=, read -r records blocks last <<<"$(sed -n 's/.*powercut=\([^ ]*\).*/\1/p' /proc/cmdline)"
	load_module
	mkdir -p /image /mnt
	[ "$records,$blocks" != 0,0 ] || mke2fs -q -t ext4 /dev/vda || ktap_bail "no file system"
	mount -t ext4 /dev/vda /image || ktap_bail "the image's file system is lost"
	if [ "$records,$blocks" = 0,0 ]; then
		truncate -s 128M /image/disk
		truncate -s 1M /image/second
		sync
	fi
	start_server --file=/image/disk --file=/image/second
	attach "$SOCKET" || ktap_bail "attach failed"
	# which of the two is nvme0n1 is not said: namespaces are scanned side by side
	wait_for 60 namespace 1 && disk=$namespace || ktap_bail "no disk"
	wait_for 60 namespace 2 && second=$namespace || ktap_bail "no second namespace"
	[ "$records,$blocks" != 0,0 ] || mke2fs -q -t ext4 "$disk" || ktap_bail "no file system"
	mount -t ext4 "$disk" /mnt || ktap_bail "the disk's file system is lost"
	ktap_run "$records records are there" records_are_there "$records"
	ktap_run "the blocks of $blocks writes are there" blocks_are_there "$blocks"
	if [ "$last" ]; then
		umount /mnt
		ktap_run "the disk's file system is clean" e2fsck -fn "$disk"
		detach "$BDF"
		stop_server
		umount /image
		ktap_run "the image's file system is clean" e2fsck -fn /dev/vda
		ktap_end
	fi
	touch /mnt/log
	truncate -s $((records * 4096)) /mnt/log
	# what is not synced is there to be lost
	(while sleep 0.1; do dd if=/dev/zero of=/mnt/more bs=64k count=64 conv=notrunc; done) 2>/dev/null &
	echo "writing"
	write_records "$records" &
	write_blocks "$blocks"
}

if grep -q powercut= /proc/cmdline; then
	in_vm
	exit
fi

# ---- on the host ----

top=$(dirname "$(dirname "$here")")
: "${O:=$top/build}"
O=$(realpath -m "$O")
export O
cuts=50
build=1
while :; do
	case ${1:-} in
	--cuts) cuts=$2; shift ;;
	--no-build) build= ;;
	*) break ;;
	esac
	shift
done
series=${1:-6.12}
dir=$O/powercut/$series

# seen PATTERN: the VM has said that; waits for it, in vain if it ends or says nothing new for 5 minutes
seen()
{
	local end=$((SECONDS + 300))

	until grep -Eq "$1" "$dir/said"; do
		if [ $SECONDS -ge $end ] || grep -q '^vm: exit' "$dir/said" || ! kill -0 $vm 2>/dev/null; then
			# it may have said so since we looked
			grep -Eq "$1" "$dir/said"
			return
		fi
		sleep 0.1
	done
}

# acked KIND: the last one that the VM said so of; a line that was cut short does not count
acked()
{
	local n

	n=$(sed -n "s/^acked $1 \([0-9]*\)\r*$/\1/p" "$dir/said" | tail -n 1)
	echo "${n:-$2}"
}

# start LAST: the VM with the disk as it is
start()
{
	local image=$kernel/vmlinux accel=(-accel "tcg,thread=multi" -cpu "max,la57=off,erms=off")

	if grep -qwE 'vmx|svm' /proc/cpuinfo && [ -w /dev/kvm ]; then
		accel=(-accel kvm -cpu max)
	fi
	[ -e "$image" ] || image=$kernel/vmlinuz
	rm -f "$dir/to" "$dir/pid"
	mkfifo "$dir/to"
	: >"$dir/said"
	# VM_RUN: a command that runs one, for machines which have to be shared. A machine that has much to
	# do is too slow for the kernel's check of its timer, which panics.
	${VM_RUN:-} qemu-system-x86_64 -machine q35 "${accel[@]}" -smp 2 -m 512M -nodefaults -display none \
		-no-reboot -kernel "$image" -initrd "$O/vm/$series/initrd" -pidfile "$dir/pid" \
		-drive "file=$dir/disk.img,format=raw,if=virtio,cache=writeback" \
		-serial "file:$dir/console.log" -chardev stdio,id=said,signal=off -serial chardev:said \
		-append "console=ttyS0 no_timer_check tsc=nowatchdog loglevel=7 panic=-1 oops=panic mitigations=off random.trust_cpu=on \
nokaslr norandmaps rdinit=/init vm.disk powercut=$records,$blocks,$1" \
		<"$dir/to" >"$dir/said" 2>"$dir/qemu.log" &
	vm=$!
	exec {to}>"$dir/to"
	# VM_RUN may wait for its turn
	until [ -e "$dir/pid" ] || ! kill -0 $vm 2>/dev/null; do sleep 0.2; done
	if seen '^vm: ready'; then
		echo "run tests/powercut.sh" >&$to
	fi
}

# power_cut: after some writes of both kinds, and in the middle of one
power_cut()
{
	local record=$((records + 10)) block=$((blocks + 10)) end=$((SECONDS + 300))

	until [ "$(acked record 0)" -ge $record ] && [ "$(acked block 0)" -ge $block ]; do
		if [ $SECONDS -ge $end ] || grep -qE '^(vm: exit|not ok)' "$dir/said" || ! kill -0 $vm 2>/dev/null; then
			return 1
		fi
		sleep 0.2
	done
	sleep "0.$((RANDOM % 1000))"
	kill -KILL "$(cat "$dir/pid")"
	wait $vm 2>/dev/null
	exec {to}>&-
	records=$(acked record "$records")
	blocks=$(acked block "$blocks")
}

# failed WHAT: with what the VM said
failed()
{
	ktap_fail "$1"
	tail -n 20 "$dir/said" | ktap_log
	[ ! -e "$dir/pid" ] || kill -KILL "$(cat "$dir/pid")" 2>/dev/null
	ktap_end
}

kernel=$("$top/selftests/vm/kernels.sh" fetch "$series") || ktap_bail "kernel $series cannot be fetched"
if [ -n "$build" ]; then
	{
		make -s -C "$top" helper servers &&
		"$top/selftests/vm/kernels.sh" build "$series" "$top" "$O/vm/$series/build" &&
		"$top/selftests/vm/initramfs.sh" "$series" "$O/vm/$series"
	} >"$O/powercut.log" 2>&1 || ktap_bail "no initramfs: see $O/powercut.log"
fi
rm -rf "$dir"
mkdir -p "$dir"
truncate -s 512M "$dir/disk.img"
records=0
blocks=0
for ((n = 1; n <= cuts; n++)); do
	start ''
	if ! seen '^writing' || grep -q '^not ok' "$dir/said"; then
		failed "after $((n - 1)) cuts: what was acknowledged"
	fi
	power_cut || failed "cut $n: both writers write"
done
ktap_pass "$cuts cuts: each time all that was acknowledged was there"
start last
seen '^vm: exit' || failed "the last start"
grep '^not ok' "$dir/said" && failed "the last start"
ktap_pass "and in the end, and both file systems are clean"
wait_end=$((SECONDS + 60))
echo end >&$to
while kill -0 $vm 2>/dev/null && [ $SECONDS -lt $wait_end ]; do sleep 0.2; done
[ ! -e "$dir/pid" ] || kill -KILL "$(cat "$dir/pid")"
rm -f "$dir/disk.img"
echo "# figure: power cuts: $cuts; acknowledged: $records records, $blocks blocks; none lost"
ktap_end
