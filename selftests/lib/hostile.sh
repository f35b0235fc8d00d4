# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# Tests in which somebody does his worst: is the host still there?
#
# Sourced after vfiouser.sh.

# Something that runs on each CPU and can be seen to get on.
pulse_start()
{
	local cpu

	PULSES=
	for cpu in /sys/devices/system/cpu/cpu[0-9]*; do
		cpu=${cpu##*cpu}
		echo 0 >"$WORK/pulse.$cpu"
		# written over in place: a number that grows is whole at any time
		taskset -c "$cpu" bash -c '
			n=0
			exec {never}<> <(:)
			while :; do
				n=$((n + 1))
				echo $n 1<>"$0"
				read -rt 0.05 -u $never
			done' "$WORK/pulse.$cpu" &
		PULSES="$PULSES $!"
		SERVER_PIDS="$SERVER_PIDS $!"
	done
}

pulse_stop()
{
	# shellcheck disable=SC2086
	kill $PULSES 2>/dev/null
	# shellcheck disable=SC2086
	wait $PULSES 2>/dev/null
}

pulse_beats()
{
	local now

	read -r now <"$1" && [ "$now" -ge "$2" ]
}

# responsive NAME: every CPU runs an ordinary process, again and again, from now on
responsive()
{
	local file now status=0

	for file in "$WORK"/pulse.[0-9] "$WORK"/pulse.[0-9][0-9]; do
		[ -e "$file" ] || continue
		read -r now <"$file"
		wait_for 30 pulse_beats "$file" $((now + 10)) || status=1
	done
	ktap_ok $status "$1"
}

# devices: names, and the process ids of the helpers; 0 where a device waits for another one
devices()
{
	vfiouserctl list --json | awk '
		/"name":/ { gsub(/[",]/, "", $2); name = $2 }
		/"pid":/ { gsub(/,/, "", $2); print name, $2 }'
}

# all_gone: no device, whatever it takes: the end of the helpers, and of the time to replace them.  A driver
# that resets its device in its probe is waited for by the PCI core, 65 s, as on hardware that was pulled out.
all_gone()
{
	local pid

	while read -r _ pid; do
		[ "$pid" = 0 ] || kill -KILL "$pid"
	done < <(devices)
	wait_for 180 no_devices
}

no_devices()
{
	[ -z "$(devices)" ] &&
		! grep -q vfiouser /proc/iomem &&
		[ "$(awk '$1 == "vfiouser_pci" { print $3 }' /proc/modules)" = 0 ]
}

# all_well NAME: who is honest is served, and the module can go; 4 results
all_well()
{
	local disk

	start_server --ram=16M
	attach "$SOCKET"
	ktap_ok $? "$1: attach"
	disk=$(disk_of "$BDF")
	ktap_run "$1: the disk" dd if="$disk" of=/dev/null bs=64k count=16 iflag=direct
	ktap_run "$1: detach" detach
	ktap_run "the module can go" modprobe -r vfiouser_pci
}
