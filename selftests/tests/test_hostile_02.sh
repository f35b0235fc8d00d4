#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# TIMEOUT: 300
#
# A hostile helper (vfu_hostile): any use of the channel, its ring, its ioctls and of netlink, from
# several threads, killed at any moment.  The host gets on, nothing is left, and an honest helper
# finds everything in order.  HOSTILE_SECONDS is how long.

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/vfiouser.sh"
. "$(dirname "$0")/../lib/hostile.sh"

ktap_plan 14
load_module
start_server --ram=16M
attach "$SOCKET"
ktap_ok $? "a device to aim at"
ktap_run "what crashed a kernel once" vfu_hostile 0
detach

# a request that takes for ever keeps none of genetlink's locks, which whoever registers a family needs
stalled()
{
	grep -q stalled "$WORK/stall"
}
answered()
{
	grep -Eq 'stalled|error 14|userfaultfd: Function not implemented' "$WORK/stall"
}
module_live()
{
	[ "$(cat /sys/module/vfu_poke/initstate 2>/dev/null)" = live ]
}
vfu_hostile stall >"$WORK/stall" 2>&1 &
stall=$!
modprobe=
wait_for 20 answered
if ! stalled && answered; then
	for what in "a request whose memory does not come" "another family is registered meanwhile" \
		"and goes"; do
		ktap_skip "$what" "$(tail -n 1 "$WORK/stall"): no such memory here, or it is not waited for"
	done
else
	ktap_run "a request whose memory does not come" stalled
	modprobe vfu_poke &
	modprobe=$!
	ktap_run "another family is registered meanwhile" wait_for 20 module_live
fi
kill -KILL $stall
wait $stall $modprobe 2>/dev/null
[ -z "$modprobe" ] || ktap_run "and goes" modprobe -r vfu_poke

# what a driver says of a device that makes no sense
dmesg_allow 'nvme nvme[0-9]+:'
pulse_start
# a run in which all is refused shows nothing
enough()
{
	local what

	for what in "devices created" "requests answered" "interrupts hooked" "channels closed"; do
		grep -Eq "^[1-9][0-9]* $what" "$WORK/out" || return 1
	done
}
# a slow machine may need more time to get in
for _ in 1 2 3 4 5 6; do
	vfu_hostile $((${HOSTILE_SECONDS:-10} * ${VM_SCALE:-1})) ${SEED:+"$SEED"} >"$WORK/out" 2>&1
	status=$?
	sed 's/^/figure: /' "$WORK/out" | ktap_log
	[ $status != 0 ] || enough || continue
	break
done
ktap_ok $status "it runs"
ktap_run "it got in" enough
ktap_match "none of the kernel's threads was taken for a server" "$(cat "$WORK/out")" '^0 threads of the kernel'
responsive "every CPU gets on"
pulse_stop
all_gone
ktap_ok $? "all is given back"

all_well "an honest helper"
ktap_end
