#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Runs the fuzz targets: prints KTAP, with the executions and the coverage of each.
#
# usage: run.sh [--time SECONDS] [TARGET...]
#
# Without --time each target does a fixed number of executions from a fixed seed, the same ones each
# time, so that a failure is one of the change at hand: that is the run of "make check".  With it,
# each one runs for so long from a seed of its own, which is printed, and keeps what it learns in
# $O/fuzz/corpus.  A crash is kept in $O/fuzz/crash; run $O/fuzz/TARGET with it as its argument.

set -uo pipefail

fuzz=$(dirname "$(realpath "$0")")
: "${O:=$(dirname "$(dirname "$fuzz")")/build}"
mkdir -p "$O/fuzz/crash" "$O/fuzz/log"
O=$(realpath "$O")
export O

. "$fuzz/../lib/ktap.sh"

# target: executions of the short run; a few seconds each
declare -A runs=([version]=100000 [region]=8000 [engine]=12000 [insn]=200000 [pciconf]=20000
		 [serve]=30000 [vhost]=1000)
seconds='' targets=()
while [ $# -gt 0 ]; do
	case $1 in
	--time) seconds=$2; shift ;;
	-*) echo "usage: run.sh [--time SECONDS] [TARGET...]" >&2; exit 2 ;;
	*) targets+=("$1") ;;
	esac
	shift
done
[ ${#targets[@]} -gt 0 ] || targets=(version region engine insn pciconf serve vhost)

ktap_plan ${#targets[@]}
if ! make --no-print-directory -s -j"$(nproc)" -C "$fuzz" >"$O/fuzz/log/build" 2>&1; then
	tail -n 20 "$O/fuzz/log/build" | ktap_log
	ktap_bail "the fuzz targets do not build"
fi

# leaks are looked for as well; a small quarantine keeps the caches of the machine warm
export ASAN_OPTIONS=quarantine_size_mb=16:detect_leaks=1:abort_on_error=0
export UBSAN_OPTIONS=print_stacktrace=1

for target in "${targets[@]}"; do
	log=$O/fuzz/log/$target
	args=(-timeout=60 -rss_limit_mb=2048 -max_len=4096 -artifact_prefix="$O/fuzz/crash/$target-"
	      -print_final_stats=1)
	[ ! -e "$fuzz/$target.dict" ] || args+=(-dict="$fuzz/$target.dict")
	if [ -n "$seconds" ]; then
		mkdir -p "$O/fuzz/corpus/$target"
		args+=(-max_total_time="$seconds" "$O/fuzz/corpus/$target")
	else
		# what is new goes into the first directory, and is not kept
		rm -rf "$O/fuzz/new"
		mkdir "$O/fuzz/new"
		args+=(-seed=1 -runs="${runs[$target]}" "$O/fuzz/new")
	fi
	[ ! -d "$fuzz/seeds/$target" ] || args+=("$fuzz/seeds/$target")
	status=0
	"$O/fuzz/$target" "${args[@]}" >"$log" 2>&1 </dev/null || status=$?
	count=$(sed -n 's/^stat::number_of_executed_units: //p' "$log")
	edges=$(sed -nE 's/.* cov: ([0-9]+) .*/\1/p' "$log" | tail -n 1)
	total=$(sed -nE 's/.*\(([0-9]+) inline 8-bit counters\).*/\1/p' "$log" | head -n 1)
	seed=$(sed -n 's/^INFO: Seed: //p' "$log" | head -n 1)
	ktap_log "$target: ${count:-0} executions, ${edges:-0} of ${total:-0} edges, seed ${seed:-none}"
	if [ $status = 0 ] && [ "${count:-0}" -gt 0 ]; then
		ktap_pass "fuzz $target"
	else
		grep -aE 'ERROR|SUMMARY|does not hold|runtime error|Test unit|^ *#[0-9]+ 0x' "$log" |
			head -n 40 | ktap_log
		ktap_fail "fuzz $target (exit status $status, see $log)"
	fi
done
ktap_end
