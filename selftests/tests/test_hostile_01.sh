#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# TIMEOUT: 600
#
# A hostile server under the kernel's own nvme driver: lies from the first message on, lies once the
# disk is in use, never reads or answers, asks for DMA and answers without end, sends descriptors
# by the hundred.  Nobody expects the disk to work; the host must, and everything must be given back.
# SEEDS=N adds N times as much again.

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/vfiouser.sh"
. "$(dirname "$0")/../lib/hostile.sh"

seed=${SEED:-$((RANDOM * 32768 + RANDOM))}

# attacked MODE AFTER: a disk behind a server that begins MODE AFTER so many replies
attacked()
{
	seed=$((seed + 1))
	SERVER=vfiouser-nvme start_server --ram=16M
	real=$SOCKET
	SERVER=vfu_mangle start_server --server="$real" --mode="$1" --after="$2" --seed=$seed
	ktap_log "$1 after $2: seed $seed"
	# it may succeed, or not: it has to end
	timeout $((60 * ${VM_SCALE:-1})) vfiouserctl attach --timeout=500ms --wait=2s "$SOCKET" \
		</dev/null >"$WORK/out" 2>"$WORK/err"
	status=$?
	if [ $status = 124 ] || [ $status -gt 128 ]; then
		ktap_log <"$WORK/err"
		return 1
	fi
	for disk in /dev/nvme[0-9]*n[0-9]*; do
		[ -b "$disk" ] || continue
		timeout 5 dd if="$disk" of=/dev/null bs=64k count=16 iflag=direct 2>/dev/null
		timeout 5 dd if=/dev/zero of="$disk" bs=64k count=16 oflag=direct 2>/dev/null
	done
	timeout 10 lspci -vvv >/dev/null 2>&1
	return 0
}

# round MODE AFTER: one test
round()
{
	attacked "$1" "$2"
	ktap_ok $? "$1 after $2: attach ends"
	responsive "$1 after $2: every CPU gets on"
	all_gone
	ktap_ok $? "$1 after $2: all is given back"
	for pid in $SERVER_PIDS; do
		case " $PULSES " in
		*" $pid "*) ;;
		*) kill -KILL "$pid" 2>/dev/null ;;
		esac
	done
	SERVER_PIDS=$PULSES
}

# what a disk that fails says, and its driver of what a controller must not do
dmesg_allow 'I/O error|nvme nvme[0-9]+:|nvme.*invalid id|Buffer I/O error'
rounds=("lie 0" "lie 60" "sizes,fds 12" "deaf 40" "dma,reply 2" "truncate,close 20")
for ((i = 0; i < ${SEEDS:-0}; i++)); do
	rounds+=("lie 12" "lie 30" "lie 90" "sizes 0" "sizes 60" "fds 0" "mute 40" "dma 40" "reply 40"
		 "close 30" "truncate 10" "lie 60" "deaf 20")
done
ktap_plan $((3 * ${#rounds[@]} + 4))
load_module
pulse_start
for what in "${rounds[@]}"; do
	# shellcheck disable=SC2086
	round $what
done
pulse_stop
ktap_log "figure: attacks: ${#rounds[@]}"

# and all is well with a server that is honest
all_well "an honest server"
ktap_end
