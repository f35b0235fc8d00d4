#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# TIMEOUT: 400
# SMP: 2
#
# Many devices at once, each with a server, a helper, a PCI domain and a disk of its own: each works
# while all are there, and is told from the others; what they leave behind is nothing. Here 16;
# soak/many has 64.

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/vfiouser.sh"

: "${DEVICES:=16}"

# of them attached at the same time
AT_ONCE=4

# label N: what the disk of a device has in its first bytes
label()
{
	printf 'disk %02d' "$1"
}

# attach_one N
attach_one()
{
	vfiouserctl attach --name="many$1" --pool-size=2M --wait=60 "$WORK/many.$1" >"$WORK/out.$1" 2>&1
}

# lines of "vfiouserctl list" that say of one of our devices that it is there
there()
{
	vfiouserctl list | grep -c '^many.* live '
}

attach_all()
{
	local i pids=() status=0

	for i in $(seq "$DEVICES"); do
		attach_one "$i" &
		pids+=($!)
		if [ ${#pids[@]} -ge $AT_ONCE ]; then
			wait "${pids[0]}" || status=1
			pids=("${pids[@]:1}")
		fi
	done
	for i in "${pids[@]}"; do
		wait "$i" || status=1
	done
	[ $status = 0 ] || head -n 1 "$WORK"/out.* | grep -iE 'vfiouserctl|==>' | head -n 20
	return $status
}

# read_all: each disk has what its server has
read_all()
{
	local i bdf disk text

	for i in $(seq "$DEVICES"); do
		bdf=$(grep -Eo '[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]' "$WORK/out.$i" | head -n 1)
		disk=$(disk_of "$bdf") || { echo "many$i: no disk"; return 1; }
		read -r text < <(head -c 4096 "$disk" | tr -d '\0')
		[ "$text" = "$(label "$i")" ] || { echo "many$i: $disk has \"$text\""; return 1; }
	done
}

helpers()
{
	pidof vfiouserctl | wc -w
}

no_helpers()
{
	[ "$(helpers)" = 0 ]
}

ktap_plan 8
load_module
for i in $(seq "$DEVICES"); do
	{ label "$i"; echo; } >"$WORK/disk.$i"
	truncate -s 1M "$WORK/disk.$i"
	# shellcheck disable=SC2034 # of vu_serve
	SOCKET=$WORK/many.$i
	vu_serve vfiouser-nvme --file="$WORK/disk.$i" --queues=1 --doorbells=ioeventfd
done
ktap_run "$DEVICES devices are attached" attach_all
ktap_is "all are live" "$(there)" "$DEVICES"
ktap_is "each has a domain of its own" \
	"$(cat "$WORK"/out.* | grep -Eo '[0-9a-f]{4,8}:[0-9a-f]{2}:' | sort -u | wc -l)" "$DEVICES"
ktap_is "each has a helper" "$(helpers)" "$DEVICES"
ktap_run "each disk has its server's data" read_all
ktap_run "one is detached" vfiouserctl detach many7
ktap_is "the others are live" "$(there)" $((DEVICES - 1))
for i in $(seq "$DEVICES"); do
	[ "$i" = 7 ] || vfiouserctl detach "many$i" || break
done
wait_for 60 no_helpers
ktap_is "devices, helpers and PCI functions are gone" \
	"$(there) $(helpers) $(find /sys/bus/pci/devices -name '?????*:*:*' | wc -l)" "0 0 0"
ktap_end
