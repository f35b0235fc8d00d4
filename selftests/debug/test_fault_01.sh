#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# TIMEOUT: 600
#
# Each allocation of memory on the way of an attach, then of a detach, fails once: for n = 1, 2, 3...
# the n-th one under a function of the module, in whatever context, until there is none any more.
# Attaching may fail, or a driver may not bind; nothing may be left, or be used that is not there.
#
# How the n-th is hit: an attribute counts the calls that match its filter, and fails those whose
# count is a multiple of "interval", "times" times; with times at 0 it does not count.  It counted c so
# far, so that an interval of c + n lets n - 1 calls pass.

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/vfiouser.sh"
. "$(dirname "$0")/../lib/hostile.sh"

debug=/sys/kernel/debug
[ -d $debug/failslab ] || ktap_bail "this kernel has no fault injection: use 6.12-debug"

# filter ATTR: only what has the module's text on its stack
filter()
{
	local start size section

	start=$(cat /sys/module/vfiouser_pci/sections/.text)
	size=$(awk '$1 == "vfiouser_pci" { print $2 }' /proc/modules)
	section=$debug/$1
	echo 0 >"$section/times"
	echo 100 >"$section/probability"
	echo 0 >"$section/verbose"
	echo N >"$section/task-filter"
	echo 32 >"$section/stacktrace-depth"
	printf '%d' "$start" >"$section/require-start"
	printf '%d' $((start + size)) >"$section/require-end"
	echo N >"$section/ignore-gfp-wait" 2>/dev/null
	[ ! -e "$section/min-order" ] || echo 0 >"$section/min-order"
}

declare -A counted=([failslab]=0 [fail_page_alloc]=0)

# arm ATTR N
arm()
{
	echo $((counted[$1] + $2)) >"$debug/$1/interval"
	echo 1 >"$debug/$1/times"
}

# disarm ATTR N: did it happen?
disarm()
{
	local left

	left=$(cat "$debug/$1/times")
	echo 0 >"$debug/$1/times"
	[ "$left" = 0 ] || return 1
	# an interval of 1 does not count
	[ $((counted[$1] + $2)) = 1 ] || counted[$1]=$((counted[$1] + $2))
}

clean_up()
{
	local name

	# not by an injected failure
	for name in $(vfiouserctl list 2>/dev/null | grep -Eo '^vfu[0-9]+'); do
		vfiouserctl detach --force "$name" >/dev/null 2>&1
	done
	all_gone
}

# sweep ATTR attach|detach: all n, until one did not happen
sweep()
{
	local attr=$1 what=$2 n attached=0 refused=0 stuck=0 status end=$((SECONDS + 200 * ${VM_SCALE:-1}))

	filter "$attr"
	for ((n = 1; SECONDS < end; n++)); do
		[ "$what" = detach ] || arm "$attr" $n
		timeout $((60 * ${VM_SCALE:-1})) vfiouserctl attach --timeout=2s --wait=0s "$SOCKET" \
			>"$WORK/out" 2>"$WORK/err" </dev/null
		status=$?
		if [ "$what" = attach ]; then
			disarm "$attr" $n || { clean_up; break; }
		else
			arm "$attr" $n
			all_gone || stuck=$((stuck + 1))
			disarm "$attr" $n || break
		fi
		case $status in
		0) attached=$((attached + 1)) ;;
		124) stuck=$((stuck + 1)) ;;
		*) refused=$((refused + 1)) ;;
		esac
		clean_up || stuck=$((stuck + 1))
	done
	ktap_log "$attr in $what: $((n - 1)) failures injected: $attached attached nevertheless," \
		"$refused refused"
	ktap_ok $((n < 2)) "$attr: $what: failures were injected"
	ktap_is "$attr: $what: each ends" "$stuck" 0
}

ktap_plan 10
load_module
modprobe vfu_test
SERVER=vfiouser-testdev start_server
attach "$SOCKET"
ktap_ok $? "attach"
all_gone
state_mark level
sweep failslab attach
sweep fail_page_alloc attach
sweep failslab detach
state_check level "nothing is left"
ktap_run "attach after it" attach "$SOCKET"
clean_up
ktap_run "the module can go" modprobe -r vfu_test vfiouser_pci
ktap_end
