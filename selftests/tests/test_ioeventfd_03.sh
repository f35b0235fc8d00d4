#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# TIMEOUT: 400
#
# The channel's VFIOUSER_IOC_IOEVENTFD itself: what is refused, entries that are taken back, very many,
# entries that come and go under writes, and a device that goes with all of them.

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/vfiouser.sh"
. "$(dirname "$0")/../lib/iofd.sh"

ATTACH_OPTIONS=--wait=30s

load_module
iofd_attach
ktap_ok $? "attach" || ktap_bail "nothing to test on"
pid=$(vfiouserctl list --json | tr -d ' \n' | sed -n 's/.*"pid":\([0-9]*\).*/\1/p')
status=0
vfu_ioeventfd "$pid" >"$WORK/out" 2>&1 || status=$?
while read -r line; do
	case $line in
	'ok '*) ktap_pass "${line#ok }" ;;
	'not ok '*) ktap_fail "${line#not ok }" ;;
	*) ktap_log "${line#\# }" ;;
	esac
done <"$WORK/out"
ktap_is "vfu_ioeventfd came to its end" "$status" 0
iofd_write "the server's own are as they were" w 4 0x10 1 0 0
ktap_run "detach" iofd_detach
ktap_run "the module can go" sh -c "modprobe -r vfu_poke && modprobe -r vfiouser_pci"
ktap_end
