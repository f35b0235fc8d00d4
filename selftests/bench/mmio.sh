# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# Registers, doorbells and interrupts, and the floors beside which they are judged.

FLOORS="unix-blocking unix-polling unix-polling-3 eventfd eventfd-write eventfd-write-quiet"

# One turn of all floors.
floors_turn()
{
	local floor

	for floor in $FLOORS; do
		[ "$floor" != unix-polling-3 ] || [ "$(nproc)" -ge 3 ] || continue
		vfu_floors "$floor" | record_notes floors process "$1" ns || return 1
	done
}

# What this machine can do at all, without us.
group_floors()
{
	local rep status=0

	for rep in $(seq "$REPS"); do
		floors_turn "$rep" || status=1
	done
	ktap_ok $status "floors"
}

# mmio_case VARIANT REP CASE [NUMBER]: of the module vfu_test
mmio_case()
{
	echo "${*:3}" >"$VFT/run" && sed -n 's/^# //p' "$VFT/result" | record_notes mmio "$1" "$2" ns
}

# mmio_variant NAME CASES SERVER-OPTIONS ATTACH-OPTIONS REP: a device for each turn
mmio_variant()
{
	local name=$1 cases=$2 case status=0 rep=$5

	# shellcheck disable=SC2086
	SERVER=vfiouser-testdev start_server $3
	# shellcheck disable=SC2086
	attach $4 "$SOCKET" || return 1
	for case in $cases; do
		mmio_case "$name" "$rep" "$case" || status=1
	done
	detach "$BDF" && stop_server || status=1
	return $status
}

MMIO_ALL="bench-trap bench-store bench-write bench-write-stream bench-ioeventfd bench-read
	  bench-read-atomic bench-irq"

group_mmio()
{
	local rep status=0 polling=0

	load_module
	modprobe vfu_test
	for rep in $(seq "$REPS"); do
		floors_turn "$rep" || status=1
		mmio_variant default "$MMIO_ALL" "--doorbells" "" "$rep" || status=1
		mmio_variant sleeping "bench-read bench-read-atomic bench-write-stream" \
			"--doorbells" "--poll-us=0" "$rep" || status=1
		[ "$(nproc)" -ge 3 ] || continue
		mmio_variant polling "bench-read bench-read-atomic bench-write-stream" \
			"--doorbells --poll-us=1000" "--poll-us=1000" "$rep" || polling=1
	done
	ktap_ok $status "registers, doorbells, interrupts"
	if [ "$(nproc)" -ge 3 ]; then
		ktap_ok $polling "the same with a helper and a server that poll"
	else
		missing mmio polling "driver, helper and server spin: 3 CPUs are needed"
	fi
}
