#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Tests the runner: each script in selfcheck/ says in its EXPECT line how it must be judged, as the
# numbers passed, failed and skipped, and for a failure a line of the verdict.  All of them run in one
# go, in VMs that they share as long as one lasts: what one of them does must not tell in the others,
# wherever it is in the order.  Then those that are often in the middle of three.  Prints KTAP.
#
# usage: selfcheck.sh [SERIES]

vm=$(dirname "$(realpath "$0")")
series=${1:-6.1}
: "${O:=$(dirname "$(dirname "$vm")")/build}"
export O
out=$O/vm/$series

. "$vm/../lib/ktap.sh"

# judged TEXT NAME...: these, of which run.sh said TEXT, were judged as they must be
judged()
{
	local text=$1 name script passed failed skipped what got

	shift
	for name; do
		script=$vm/selfcheck/${name%-smp*}.sh
		read -r passed failed skipped what < <(sed -n 's/^# EXPECT: //p' "$script")
		got=
		[ ! -e "$out/$name/result" ] || read -r -a got <"$out/$name/result"
		if [ "${got[*]:0:3}" != "$passed $failed $skipped" ] ||
		   { [ "$failed" != 0 ] && ! grep -A 5 " $name " <<<"$text" | grep -qF "$what"; }; then
			ktap_log "want $passed passed, $failed failed, $skipped skipped: $what"
			ktap_log "$text"
			ktap_fail "runner: $name"
		else
			ktap_pass "runner: $name"
		fi
	done
}

# boots WORD: how many in the last run began with it
boots()
{
	grep -c "^$1 " "$out/boots"
}

ktap_run "the initramfs is made" "$vm/initramfs.sh" "$series" "$out"

scripts=("$vm"/selfcheck/*.sh)
names=()
for script in "${scripts[@]}"; do
	names+=("$(basename "$script" .sh)")
done
text=$("$vm/run.sh" --no-build --jobs "${JOBS:-2}" "$series" "${scripts[@]}" 2>&1)
ktap_is "runner: exit status of failures" $? 1
judged "$text" "${names[@]}" smp-smp4
ktap_is "runner: on 2 CPUs, and on 4" \
	"$(sed -n 's/^# CPUs: //p' "$out/smp/ktap" "$out/smp-smp4/ktap" | paste -sd' ')" "2 4"
ktap_is "runner: kernels that died before the test are counted" "$(boots died)" 4
ktap_match "runner: and it says so" "$text" '4 kernels died before a test'

# one VM for all three, or two where the second ends the first
for name in warn fail noplan; do
	text=$("$vm/run.sh" --no-build "$series" vm/selfcheck/{allow,$name,after}.sh 2>&1)
	judged "$text" allow $name after
	ktap_is "runner: one VM for three with $name" "$(boots ready)" 1
done
for name in crash hang left_process; do
	text=$("$vm/run.sh" --no-build "$series" vm/selfcheck/{allow,$name,after}.sh 2>&1)
	judged "$text" allow $name after
	ktap_match "runner: no more VMs than it takes with $name" "$(boots ready)" '^[12]$'
done
text=$("$vm/run.sh" --no-build "$series" vm/selfcheck/{allow,after,status,pass}.sh 2>&1)
status=$?
judged "$text" allow after status pass
ktap_is "runner: one failure is a failure" $status 1
"$vm/run.sh" --no-build --alone "$series" vm/selfcheck/{allow,after}.sh >/dev/null 2>&1
ktap_is "runner: none is none" $? 0
ktap_is "runner: --alone" "$(boots ready)" 2

ktap_end
