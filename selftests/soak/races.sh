#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# TIMEOUT: 1200
# SMP: 3
#
# Everything that changes a device, at once, for SOAK_SECONDS (120): attach and detach, bind and unbind,
# reset, remove and rescan, setpci and lspci, a CPU that comes and goes, attempts to unload the module;
# beside a disk that nobody is to disturb.  How often each was done is printed.

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/vfiouser.sh"
. "$(dirname "$0")/../lib/hostile.sh"

seconds=$((${SOAK_SECONDS:-120} * ${VM_SCALE:-1}))

# worker NAME COMMAND...: again and again until the time is over
worker()
{
	local name=$1

	shift
	(
		trap - EXIT
		end=$((SECONDS + seconds)) n=0 good=0
		while [ $SECONDS -lt $end ]; do
			n=$((n + 1))
			"$@" >/dev/null 2>&1 && good=$((good + 1))
		done
		echo "$name: $n times, $good of them succeeded" >"$WORK/count.$name"
	) &
	WORKERS="$WORKERS $!"
}

# device_b: where the one named b is.  CPU hotplug stops every CPU for a moment, helpers as well; a device
# that is read just then, where nobody may sleep, is lost.
device_b()
{
	local bdf

	bdf=$(vfiouserctl list | awk '$1 == "b" { print $2 }')
	if [ -z "$bdf" ]; then
		vfiouserctl attach --name=b "$socket_b" </dev/null >/dev/null
		sleep 1
	fi
	echo "${bdf:-none}"
}

attach_detach()
{
	local bdf

	bdf=$(vfiouserctl attach --timeout=5s --wait=10s "$socket_a" </dev/null |
	      grep -Eo '[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]' | head -n 1)
	[ -n "$bdf" ] && vfiouserctl detach --force "$bdf"
}

bind_unbind()
{
	local bdf_b

	bdf_b=$(device_b)
	echo "$bdf_b" >/sys/bus/pci/drivers/nvme/unbind
	echo "$bdf_b" >/sys/bus/pci/drivers/nvme/bind
}

reset()
{
	echo 1 >"/sys/bus/pci/devices/$(device_b)/reset"
}

rescan()
{
	echo 1 >/sys/bus/pci/rescan
}

remove_rescan()
{
	[ ! -e "/sys/bus/pci/devices/$bdf_c" ] || echo 1 >"/sys/bus/pci/devices/$bdf_c/remove"
	echo 1 >/sys/bus/pci/rescan
	[ -e "/sys/bus/pci/devices/$bdf_c" ]
}

config()
{
	setpci -s "$(device_b)" LATENCY_TIMER=40 COMMAND INTERRUPT_LINE
	lspci -vvvxxxx
}

hotplug()
{
	echo 0 >/sys/devices/system/cpu/cpu2/online
	echo 1 >/sys/devices/system/cpu/cpu2/online
}

unload()
{
	# in use: must be refused
	modprobe -r vfiouser_pci
}

workers_ended()
{
	local pid

	for pid in $WORKERS; do
		vu_gone "$pid" || return 1
	done
}

ktap_plan 10
# a driver whose device is taken away in the middle of its probe says so; and Linux 6.12 miscounts the
# tasks of a CPU that goes (dl_server, with or without us)
dmesg_allow 'nvme nvme[0-9]+:|I/O error|Buffer I/O error|sched_cpu_dying|Call Trace'
load_module
start_server --ram=16M
socket_a=$SOCKET
start_server --ram=16M
socket_b=$SOCKET
attach --name=b "$SOCKET"
ktap_ok $? "a device for bind, unbind, reset"
start_server --ram=16M
attach "$SOCKET"
ktap_ok $? "a device for remove, rescan"
bdf_c=$BDF
start_server --ram=64M
attach "$SOCKET"
ktap_ok $? "a device for I/O"
disk=$(disk_of "$BDF")
ktap_ok $? "it has a disk"

WORKERS=
worker attach-detach attach_detach
worker bind-unbind bind_unbind
worker reset reset
worker rescan rescan
worker remove-rescan remove_rescan
worker config config
worker hotplug hotplug
worker unload unload
# 2 MiB written and then compared, again and again; --time_based compares nothing before all is written
fio --name=io --filename="$disk" --ioengine=libaio --direct=1 --rw=randwrite --bs=4k --iodepth=8 \
	--size=2M --loops=1000000 --verify=crc32c --runtime="$seconds" >"$WORK/fio" 2>&1 &&
	grep -q '^ *READ:' "$WORK/fio"
status=$?
[ $status = 0 ] || ktap_log <"$WORK/fio"
ktap_ok $status "fio: no error, no wrong byte"
wait_for 120 workers_ended
ktap_ok $? "nothing hangs"
sed "s/^/figure: /" "$WORK"/count.* | ktap_log
ktap_is "each was done" "$(grep -c ': [1-9]' "$WORK"/count.* | grep -c ':1')" 8
ktap_is "the module was never unloaded" "$(sed -n 's/.*, \([0-9]*\) of.*/\1/p' "$WORK/count.unload")" 0
all_gone
ktap_ok $? "all is given back"
ktap_run "the module can go" modprobe -r vfiouser_pci
ktap_end
