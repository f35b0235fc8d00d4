# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# What grows with the number of devices, queues, jobs and vectors, and with the sizes of the pool and
# of BARs.

SCALE_DEVICES=$(cmdline bench.devices 64)

now_ms()
{
	local up

	read -r up _ </proc/uptime
	echo $((10#${up%.*} * 1000 + 10#${up#*.} * 10))
}

# rss PID: resident memory of a process in bytes, without the pool, which is memory of the device
rss()
{
	local anon file

	anon=$(sed -n 's/^RssAnon:[ \t]*\([0-9]*\) kB/\1/p' "/proc/$1/status")
	file=$(sed -n 's/^RssFile:[ \t]*\([0-9]*\) kB/\1/p' "/proc/$1/status")
	echo $(((anon + file) * 1024))
}

# Long, since there is so little.
IDLE_SECONDS=5

# idle_cpu REP NAME: CPUs that are busy while nothing is asked for
idle_cpu()
{
	vfu_sample - $IDLE_SECONDS 0 | sed "s/^bench busy/bench $2-idle-cpus/" |
		record_notes scale devices "$1" CPUs
}

# ran_ns PID: CPU time of a process
ran_ns()
{
	local ns

	read -r ns _ <"/proc/$1/schedstat"
	echo "$ns"
}

# idle_helper REP PID: the same of one helper, which the kernel knows to the nanosecond
idle_helper()
{
	local before

	before=$(ran_ns "$2")
	sleep $IDLE_SECONDS
	record scale devices 1-helper-cpus "$1" \
		"$(awk "BEGIN { print ($(ran_ns "$2") - $before) / $IDLE_SECONDS / 1e9 }")" CPUs
}

# read_disk: 64 KiB of the disk of BDF, past the cache
read_disk()
{
	dd if="$(disk_of "$BDF")" of=/dev/null bs=4k count=16 iflag=direct 2>/dev/null
}

# Devices at once, each of which works.
scale_devices()
{
	local rep=$1 i start bdfs=() bad=0 pid sum=0 n=0

	idle_cpu "$rep" 0 || bad=1
	for i in $(seq "$SCALE_DEVICES"); do
		start_server --ram=8M --queues=1 --doorbells=ioeventfd
		start=$(now_ms)
		attach --pool-size=2M --name="many$i" "$SOCKET" || { bad=1; break; }
		case $i in
		1|8|64)
			record scale devices "attach-$i" "$rep" $((($(now_ms) - start) * 1000000)) ns
			read_disk || bad=1
			record scale devices "usable-$i" "$rep" $((($(now_ms) - start) * 1000000)) ns
			;;
		esac
		bdfs+=("$BDF")
		[ "$i" = 1 ] || continue
		# The read has long been over then.
		sleep 2
		idle_cpu "$rep" 1 || bad=1
		idle_helper "$rep" "$(pidof vfiouserctl)" || bad=1
	done
	for BDF in "${bdfs[@]}"; do
		read_disk || bad=1
	done
	sleep 2
	idle_cpu "$rep" ${#bdfs[@]} || bad=1
	for pid in $(pidof vfiouserctl); do
		sum=$((sum + $(rss "$pid")))
		n=$((n + 1))
	done
	[ $n = 0 ] || record scale devices helper-memory "$rep" $((sum / n)) bytes
	for BDF in "${bdfs[@]}"; do
		detach "$BDF" || bad=1
	done
	for pid in $SERVER_PIDS; do
		stop_server "$pid"
	done
	SERVER_PIDS=
	return $bad
}

# scale_disk VARIANT REP NAME JOBS SERVER-OPTIONS [ATTACH-OPTION...]: 4k random reads
scale_disk()
{
	local variant=$1 rep=$2 name=$3 jobs=$4 server=$5 start status=0 BLOCK_LOADS=

	shift 5
	start=$(now_ms)
	nvme_attach "--doorbells=ioeventfd --shadow-doorbells $server" "$@" || return 1
	record scale "$variant" "attach-$name" "$rep" $((($(now_ms) - start) * 1000000)) ns
	RECORD_GROUP=scale block_load "$variant" "$rep" "$name" randread 4k 32 "$jobs" || status=1
	nvme_detach || status=1
	return $status
}

# scale_bars REP: a BAR of so many MiB, which the driver maps
scale_bars()
{
	local rep=$1 n start status=0

	for n in 1 16 256 1024; do
		SERVER=vfiouser-testdev start_server --bar5-mib=$n
		start=$(now_ms)
		attach --pool-size=2M "$SOCKET" || return 1
		record scale bars "attach-$n" "$rep" $((($(now_ms) - start) * 1000000)) ns
		echo bench-read-far >"$VFT/run" && sed -n 's/^# bench read-far/bench read-'$n'/p' \
			"$VFT/result" | record_notes scale bars "$rep" ns || status=1
		start=$(now_ms)
		detach "$BDF" || return 1
		record scale bars "detach-$n" "$rep" $((($(now_ms) - start) * 1000000)) ns
		stop_server
	done
	return $status
}

group_scale()
{
	local rep n devices=0 disks=0 vectors=0 bars=0

	load_module
	modprobe vfu_test
	for rep in $(seq "$REPS"); do
		scale_bars "$rep" || bars=1
		scale_devices "$rep" || devices=1
		for n in 1 2 4 8; do
			scale_disk queues "$rep" "queues-$n" "$(nproc)" "--queues=$n" || disks=1
			scale_disk jobs "$rep" "jobs-$n" $n "" || disks=1
		done
		for n in 8M 64M 512M; do
			scale_disk pool "$rep" "pool-$n" 1 "" --pool-size=$n || disks=1
		done
		SERVER=vfiouser-testdev start_server
		attach "$SOCKET" || { vectors=1; continue; }
		for n in 1 8 64; do
			echo "bench-vectors $n" >"$VFT/run" && sed -n 's/^# bench vectors/bench vectors-'$n'/p' \
				"$VFT/result" | record_notes scale vectors "$rep" ns || vectors=1
		done
		detach "$BDF" && stop_server
	done
	ktap_ok $devices "$SCALE_DEVICES devices at once"
	ktap_ok $disks "queues, jobs, pool sizes"
	ktap_ok $bars "sizes of BARs"
	ktap_ok $vectors "vectors"
}
