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
for series in "$@"; do
	faults='' p='' f=''
	case $series in
	*-debug) faults=$(cd "$vm/.." && echo debug/*.sh) ;;
	esac
	"$vm/run.sh" --tests "${tests//[[:space:]]/ } $faults" "$series" 2>&1 | tee "$log"
	read -r p f < <(sed -nE '$s/^([0-9]+) passed, ([0-9]+) failed$/\1 \2/p' "$log")
	passed=$((passed + ${p:-0}))
	failed=$((failed + ${f:-1}))
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
