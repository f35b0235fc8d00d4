#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# VM tests on the kernels that look for bugs (debug.sh): memory errors, locking, leaks, and faults
# injected on purpose with 6.12-debug; data races with 6.12-kcsan.  Everything is many times slower
# there, more so without hardware virtualisation: timeouts are stretched, and not every test runs.
#
# usage: debug-check.sh [TESTS [SERIES...]]
#
# The last line is "N passed, N failed".

set -uo pipefail

vm=$(dirname "$(realpath "$0")")
tests=${1:-}
shift
[ $# -gt 0 ] || set -- 6.12-debug 6.12-kcsan

# One of each kind: what matters is which paths of the module run, not how often.
: "${tests:=test_load_01 test_config_01 test_dma_01 test_irq_01 test_kill_01 test_mmio_01 test_nvme_01
	test_recover_01 test_hostile_02}"

log=$(mktemp)
trap 'rm -f "$log"' EXIT
passed=0 failed=0

# alarm SERIES KIND REGEX: a bug of that kind (../modules/alarm.c) is a failure, for what the kernel says of it. A
# kernel that is configured to look for something may not do so, and all tests would pass.
alarm()
{
	local text

	text=$("$vm/run.sh" --append "vfu_alarm.what=$2" "$1" debug/alarm.sh 2>&1)
	if [[ $text == *'not ok dmesg clean'* ]] && grep -Eq "$3" <<<"$text" && [ "${text##*$'\n'}" = "2 passed, 1 failed" ]; then
		echo "$1: finds $2"
		passed=$((passed + 1))
	else
		printf '%s\n' "$text"
		echo "$1: does not find $2"
		failed=$((failed + 1))
	fi
}

for series in "$@"; do
	faults='' p='' f=''
	case $series in
	*-debug)
		faults=$(cd "$vm/.." && echo debug/test_*.sh)
		alarm "$series" bounds 'KASAN: slab-out-of-bounds in vfa_bounds'
		alarm "$series" atomic 'sleeping function called|scheduling while atomic'
		alarm "$series" locks 'possible circular locking'
		alarm "$series" rcu 'suspicious RCU usage'
		alarm "$series" leak 'kmemleak: .* new suspected memory leak|unreferenced object'
		alarm "$series" csd 'non-responsive CSD lock'
		alarm "$series" shift 'UBSAN: shift-out-of-bounds'
		;;
	*-kcsan)
		alarm "$series" race 'KCSAN: data-race in vfa_race'
		;;
	esac
	"$vm/run.sh" --tests "${tests//[[:space:]]/ } $faults" "$series" 2>&1 | tee "$log"
	read -r p f < <(sed -nE '$s/^([0-9]+) passed, ([0-9]+) failed$/\1 \2/p' "$log")
	passed=$((passed + ${p:-0}))
	failed=$((failed + ${f:-1}))
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
