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

# range_of FUNCTION: from where to where in the kernel, in hex
range_of()
{
	sort /proc/kallsyms | awk -v name="$1" '
		from != "" && $1 "" > from { print from, $1; exit }
		$3 == name { from = $1 "" }'
}

# filter ATTR: only what has the module's text on its stack
filter()
{
	local start end size section

	start=$(cat /sys/module/vfiouser_pci/sections/.text)
	size=$(awk '$1 == "vfiouser_pci" { print $2 }' /proc/modules)
	section=$debug/$1
	echo 0 >"$section/times"
	echo 100 >"$section/probability"
	echo 0 >"$section/verbose"
	echo N >"$section/task-filter"
	echo 32 >"$section/stacktrace-depth"
	# what would fail without a filter is everything
	if ! echo "$start" >"$section/require-start" ||
	   ! printf '0x%x' $((start + size)) >"$section/require-end"; then
		ktap_bail "$1 takes no filter"
	fi
	# before Linux 7, what frees IOVA caches that are half made follows a null pointer itself
	read -r start end < <(range_of iova_domain_init_rcaches)
	echo "0x$start" >"$section/reject-start"
	echo "0x$end" >"$section/reject-end"
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
	local name users

	while read -r name _ users _; do
		[ "$name" != vfiouser_pci ] || [ "$users" != 0 ] || return 0
	done </proc/modules
	all_gone
}

# sweep ATTR attach|detach: all n, until one did not happen, or SWEEP_SECONDS are over
sweep()
{
	local attr=$1 what=$2 n attached=0 refused=0 stuck=0 all=no status end=$((SECONDS + ${SWEEP_SECONDS:-600}))

	filter "$attr"
	for ((n = 1; SECONDS < end; n++)); do
		[ "$what" = detach ] || arm "$attr" $n
		timeout $((60 * ${VM_SCALE:-1})) vfiouserctl attach --timeout=2s --wait=0s "$SOCKET" \
			>"$WORK/out" 2>"$WORK/err" </dev/null
		status=$?
		if [ "$what" = attach ]; then
			disarm "$attr" $n || { all=yes; clean_up; break; }
		else
			arm "$attr" $n
			all_gone || stuck=$((stuck + 1))
			disarm "$attr" $n || { all=yes; break; }
		fi
		case $status in
		0) attached=$((attached + 1)) ;;
		124) stuck=$((stuck + 1)) ;;
		*) refused=$((refused + 1)) ;;
		esac
		clean_up || stuck=$((stuck + 1))
	done
	ktap_log "$attr in $what: $((n - 1)) failures injected: $attached attached nevertheless," \
		"$refused refused; $([ "$all" = yes ] || echo not) all there are"
	ktap_ok $((n < 2)) "$attr: $what: failures were injected"
	ktap_is "$attr: $what: each ends" "$stuck" 0
}

# storm: one allocation in twenty fails, whoever asks the module for what
storm()
{
	local attr left any=1

	for attr in failslab fail_page_alloc; do
		filter $attr
		echo 5 >$debug/$attr/probability
		echo 1 >$debug/$attr/interval
		echo 1000000 >$debug/$attr/times
	done
	vfu_hostile "${STORM_SECONDS:-120}" >"$WORK/out" 2>&1
	ktap_ok $? "storm: a hostile helper"
	for attr in failslab fail_page_alloc; do
		left=$(cat $debug/$attr/times)
		echo 0 >$debug/$attr/times
		ktap_log "$attr at random: $((1000000 - left)) failures injected"
		[ "$left" = 1000000 ] || any=0
	done
	ktap_log <"$WORK/out"
	ktap_ok $any "storm: failures were injected"
	all_gone
	ktap_ok $? "storm: all is given back"
}

ktap_plan 13
# what vmalloc, the page allocator and kmemleak say of a failure, with a backtrace; drivers of nonsense
dmesg_allow 'kmemleak: Cannot allocate|Call Trace|page allocation failure|[ ?] _*(lockdep|kmemleak)_[a-z_]*\+0x|nvme nvme[0-9]+:'
load_module
modprobe vfu_test
SERVER=vfiouser-testdev start_server
attach "$SOCKET"
ktap_ok $? "attach"
all_gone
state_mark level
storm
sweep failslab attach
sweep fail_page_alloc attach
sweep failslab detach
state_check level "nothing is left"
ktap_run "attach after it" attach "$SOCKET"
clean_up
ktap_run "the module can go" modprobe -r vfu_test vfiouser_pci
ktap_end
