#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# TIMEOUT: 300
#
# The commands of the documentation, typed as they stand there: each has to succeed.

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/vfiouser.sh"

doc=$(dirname "$0")/../doc
# as "make install" would have it; and what udev would load
mkdir -p /usr/libexec/vfiouser
ln -s "$(command -v vfiouser-nvme)" /usr/libexec/vfiouser/
modprobe -qa nvme virtio_pci virtio_blk ext4

# type_in DOCUMENT NAME: the blocks' commands, in one shell and so with its jobs
type_in()
{
	local command socket status

	"$doc/doc-commands" "$doc/$1" "$2" >"$WORK/commands" || ktap_bail "no commands in $1"
	while read -r command <&4; do
		status=0
		eval "$command" >"$WORK/out" 2>&1 </dev/null || status=$?
		case $command in
		'modprobe vfiouser_pci'*)
			# as load_module() does, and for what it says of slow machines
			echo 5000 >/sys/module/vfiouser_pci/parameters/atomic_timeout_ms
			;;
		*'&')
			# nobody types so fast that the server has no socket yet
			SERVER_PIDS="$SERVER_PIDS $!"
			socket=$(grep -Eo '/[^ =]*\.sock' <<<"$command")
			wait_for 20 test -S "$socket" || status=1
			;;
		esac
		[ $status = 0 ] || ktap_log <"$WORK/out"
		ktap_ok $status "$1: $command"
		last=$(cat "$WORK/out")
		case $command in
		'cat '*/sum) ktap_is "$1: the sum" "$last" 5 ;;
		esac
	done 4<"$WORK/commands"
}

type_in README.rst vm
type_in admin-guide.rst vm
type_in driver-guide.rst vm
cd "$WORK" || exit 1
ln -s "$(command -v vfiouser-vhost)" /usr/libexec/vfiouser/
type_in admin-guide.rst vhost_disk
umount /mnt && detach disk2
ktap_ok $? "admin-guide.rst: umount, detach"
ktap_is "no device is left" "$(ls /sys/class/vfiouser)" ""
# what was typed made these
rm -f /tmp/*.sock /tmp/*.img /run/*.sock
rm -rf /run/vfiouser
ktap_end
