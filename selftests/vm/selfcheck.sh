#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Tests the runner: each script in selfcheck/ says in its EXPECT line how it must be judged, as the
# numbers passed, failed and skipped, and for a failure a line of the verdict.  Prints KTAP.
#
# usage: selfcheck.sh [SERIES]

vm=$(dirname "$(realpath "$0")")
series=${1:-6.1}
: "${O:=$(dirname "$(dirname "$vm")")/build}"
export O

. "$vm/../lib/ktap.sh"

scripts=("$vm"/selfcheck/*.sh)
ktap_plan $((${#scripts[@]} + 1))

# what is known here already is not built again for each script
ktap_run "the initramfs is made" "$vm/initramfs.sh" "$series" "$O/vm/$series"

for script in "${scripts[@]}"; do
	name=$(basename "$script" .sh)
	read -r passed failed skipped what < <(sed -n 's/^# EXPECT: //p' "$script")
	out=$("$vm/run.sh" --no-build "$series" "vm/selfcheck/$name.sh" 2>&1)
	status=$?
	read -r -a got <"$O/vm/$series/$name/result"
	want_status=$((failed > 0))
	if [ "${got[*]:0:3} $status" != "$passed $failed $skipped $want_status" ] ||
	   { [ "$failed" != 0 ] && ! grep -qF "$what" <<<"$out"; }; then
		ktap_log "want $passed passed, $failed failed, $skipped skipped: $what"
		ktap_log "$out"
		ktap_fail "runner: $name"
	else
		ktap_pass "runner: $name"
	fi
done

ktap_end
