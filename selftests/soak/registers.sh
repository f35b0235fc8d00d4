#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# TIMEOUT: 9000
# PARALLEL: yes
#
# Registers that are read in handlers of interrupts, timers, softirqs, hard interrupts, under locks and by
# processes, on 2 CPUs, each kind alone, on one of them or on both, and all at the same time
# (../modules/registers.c), for SOAK_SECONDS (3600) altogether. Of these "mixed", where one CPU does what
# cannot sleep, and "all", where both do, have a quarter each. What is answered has to be right, and each
# interrupt has to come; how often a device is lost is a figure.

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/vfiouser.sh"
. "$(dirname "$0")/../lib/testdev.sh"

seconds=$((${SOAK_SECONDS:-3600} * ${VM_SCALE:-1}))
read -ra kinds <<<"${KINDS:-sleepers lock timer softirq interrupt idle mixed locks timers softirqs \
	interrupts nics all}"

# there PCI-DEVICE: the driver has it
there()
{
	[ "$(driver_of "$1")" = vfu_test ]
}

# device: one that works, or fails
device()
{
	[ -z "$BDF" ] || pci_gone "$BDF" || return 0
	restart_server
	attach "$SOCKET" && wait_for 10 there "$BDF"
}

# rounds KIND SECONDS: until then; sets ran (ms), lost, and what went wrong in $WORK/wrong
rounds()
{
	local end=$((SECONDS + $2))

	ran=0 lost=0
	: >"$WORK/notes"
	: >"$WORK/wrong"
	while [ $SECONDS -lt $end ]; do
		device || { echo "no device" >>"$WORK/wrong"; return; }
		dmesg_mark
		echo "registers-$1 20" >"$VFT/run" || { echo "does not run" >>"$WORK/wrong"; return; }
		grep '^not ok' "$VFT/result" >>"$WORK/wrong"
		grep ' reads ' "$VFT/result" >>"$WORK/notes"
		ran=$((ran + $(sed -n 's/^# ran \([0-9]*\) ms.*/\1/p' "$VFT/result")))
		if grep -q '^# ran .*, lost' "$VFT/result"; then
			lost=$((lost + 1))
			wait_for 60 pci_gone "$BDF" || echo "a lost device does not go" >>"$WORK/wrong"
			dmesg_since | sed -n 's/.*no answer: //p' >>"$WORK/answers"
		fi
	done
}

ktap_plan $((${#kinds[@]} + 3))
load_module atomic_timeout_ms=1000
modprobe vfu_test || ktap_bail "modprobe vfu_test failed"
export SERVER=vfiouser-testdev
start_server
for kind in "${kinds[@]}"; do
	case $kind in
	mixed|all) share=$((seconds / 4)) ;;
	*) share=$((seconds / 2 / 11)) ;;
	esac
	: >"$WORK/answers"
	rounds "$kind" $share
	ktap_log <"$WORK/wrong"
	ktap_is "$kind: all is right" "$(wc -l <"$WORK/wrong")" 0
	ktap_log "figure: $kind: in $((ran / 1000)) s lost $lost times"
	# of each kind of place: reads, and the longest
	awk '{ n[$2] += $3; if ($7 > longest[$2]) longest[$2] = $7 }
	     END { for (i in n)
			printf "figure:     %s: %d reads, longest %.1f ms\n", i, n[i], longest[i] / 1000 }' \
		"$WORK/notes" | sort | ktap_log
	# who was where, without the CPUs
	sed 's/ on CPU [0-9]*//g; s/vft_[^ ]*/a thread of the driver/; s/^[^ ]*registers[^ ]*/the test/' "$WORK/answers" |
		sort | uniq -c | sort -rn | sed 's/^/figure:     lost: /' | ktap_log
done
device
ktap_ok $? "there is a device"
ktap_run "detach" detach
ktap_run "the device is gone" wait_for 10 pci_gone "$BDF"
ktap_end
