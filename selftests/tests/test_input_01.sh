#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# TIMEOUT: 200
#
# Attaching what cannot be attached: one line, an exit status of its own, and nothing half-made left.

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/vfiouser.sh"

# broken FAULT STATUS NAME REGEX: attach to a server that misbehaves
broken()
{
	start_server --ram=16M --fault="$1"
	refused "$2" "$3" "$4" vfiouserctl attach --timeout=1s "$SOCKET"
	stop_server || ktap_log "the server does not end"
}

ktap_plan 17

start_server --ram=16M
good=$SOCKET
refused 12 "no module loaded" 'modprobe vfiouser_pci' vfiouserctl attach "$good"
load_module
attach "$good" || ktap_bail "attach failed"
disk_of "$BDF" >/dev/null
detach
state_mark before

refused 3 "no such socket" 'nonexistent' vfiouserctl attach /nonexistent/socket
echo text >"$WORK/file"
refused 4 "a regular file" 'not a socket|no socket' vfiouserctl attach "$WORK/file"
refused 4 "a directory" 'not a socket|no socket' vfiouserctl attach "$WORK"
broken close-on-connect 7 "a server that closes at once" 'clos'
broken garbage 9 "a server that answers rubbish" 'not vfio-user'
broken version-major 8 "a server of another major version" 'speaks vfio-user'
broken bad-json 9 "version data that is no JSON" 'JSON|version'
broken hang-after:3 11 "a server that hangs" 'time|answer'
broken close-after:6 7 "a server that closes during set-up" 'clos'
refused 14 "detaching what is not attached" 'no device' vfiouserctl detach nothing
refused 2 "a name that is no name" 'name' vfiouserctl attach --name=a/b "$good"
refused 19 "a pool larger than memory" 'memory|pool' vfiouserctl attach --pool-size=4094M "$good"
attach --name=first "$good"
start_server --ram=16M
refused 15 "a name that is taken" 'exists|taken' vfiouserctl attach --name=first "$SOCKET"
stop_server
detach first
others=$(echo /sys/devices/system/cpu/cpu[1-9]*/online)
for cpu in $others; do echo 0 >"$cpu"; done
refused 18 "one CPU" 'one CPU|CPU' vfiouserctl attach "$good"
for cpu in $others; do echo 1 >"$cpu"; done
state_check before "nothing half-made is left"
attach "$good"
ktap_ok $? "a good one is still attached"
disk_of "$BDF" >/dev/null
detach
dmesg_allow 'vfiouser.*error'
ktap_end
