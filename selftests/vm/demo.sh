#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The demo, inside the VM (run-demo.sh starts it): prints each command before its output.  Ends with
# status 0 only where all of it worked.

set -uo pipefail

socket=/run/demo.sock
image=/tmp/disk.img
step=0

fail()
{
	echo
	echo "FAILED: $*"
	echo "The last messages of the kernel:"
	dmesg | tail -n 20
	[ ! -s /tmp/server.log ] || { echo "The server's messages:"; tail -n 20 /tmp/server.log; }
	exit 1
}

heading()
{
	step=$((step + 1))
	echo
	echo "--- $step. $*"
}

# show COMMAND...: print it, run it, stop where it fails
show()
{
	echo "# $*"
	"$@" 2>&1 || fail "$* (exit status $?)"
}

# until_true SECONDS COMMAND...
until_true()
{
	local end=$((SECONDS + $1))

	shift
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.1
	done
}

# Attach, and set bdf and disk.
attach()
{
	echo "# vfiouserctl attach $socket"
	vfiouserctl attach "$socket" 2>&1 | tee /tmp/attach.out || fail "attach"
	bdf=$(grep -Eo '[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]' /tmp/attach.out | head -n 1)
	[ -n "$bdf" ] || fail "attach did not say the device's address"
	until_true 60 test -d "/sys/bus/pci/devices/$bdf/nvme" || fail "no NVMe controller at $bdf"
	until_true 60 find_disk || fail "the NVMe driver shows no disk"
}

find_disk()
{
	local dir

	for dir in "/sys/bus/pci/devices/$bdf"/nvme/nvme*/nvme*n*; do
		disk=/dev/$(basename "$dir")
		[ -b "$disk" ] && return 0
	done
	return 1
}

echo "Linux $(uname -r), a virtual machine with $(nproc) CPUs"

heading "The module"
show modprobe vfiouser_pci
show modinfo -F description vfiouser_pci

heading "A vfio-user server: a process that emulates an NVMe disk, over a file"
show truncate -s 256M $image
echo "# vfiouser-nvme --socket-path=$socket --file=$image &"
vfiouser-nvme --socket-path=$socket --file=$image >/tmp/server.log 2>&1 &
server=$!
until_true 20 test -S $socket || fail "the server makes no socket"

heading "Its device becomes a PCI device of this machine"
attach
show lspci -nn -s "$bdf"
show lspci -k -s "$bdf"
lspci -k -s "$bdf" | grep -q 'driver in use: nvme' || fail "the nvme driver is not in use"
show nvme list

heading "A file system on it"
mkdir -p /mnt
show mkfs.ext4 -q "$disk"
show mount -t ext4 "$disk" /mnt
cp -r /selftests /usr/bin/fio /usr/bin/bash /mnt/ || fail "copying files"
dd if=/dev/urandom of=/mnt/random bs=1M count=16 2>/dev/null || fail "writing a file"
(cd /mnt && find . -type f ! -name SHA256SUMS -exec sha256sum {} + >SHA256SUMS) ||
	fail "checksums"
echo "$(wc -l </mnt/SHA256SUMS) files, $(du -sh /mnt | cut -f1), with their checksums in SHA256SUMS"
show df -h /mnt
show umount /mnt

heading "Detach, and the device is gone"
show vfiouserctl detach "$bdf"
[ ! -e "/sys/bus/pci/devices/$bdf" ] || fail "$bdf is still there"
kill -0 $server || fail "the server ended"

heading "Attach again, and the files are as they were"
attach
show mount -t ext4 "$disk" /mnt
cd /mnt || fail "cd /mnt"
echo "# sha256sum -c SHA256SUMS"
sha256sum -c SHA256SUMS >/tmp/sums 2>&1 || { grep -v ': OK$' /tmp/sums; fail "checksums"; }
echo "$(grep -c ': OK$' /tmp/sums) files are right"
cd /
show umount /mnt
show e2fsck -fn "$disk"

heading "Random 4k reads and writes for 5 seconds, every block verified"
show fio --name=demo --filename="$disk" --rw=randrw --bs=4k --iodepth=8 --ioengine=libaio --direct=1 \
	--size=64M --time_based --runtime=5 --verify=crc32c --verify_backlog=64 \
	--output=/tmp/fio.out
grep -E '^ +(read|write):|err=' /tmp/fio.out

heading "End"
show vfiouserctl detach "$bdf"
kill -TERM $server
show rmmod vfiouser_pci
if dmesg | grep -E 'WARNING|BUG:|Oops|general protection|hung task'; then
	fail "the kernel complains"
fi
echo
echo "All of it worked, and the kernel's log has no warning."
