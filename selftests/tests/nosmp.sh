#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# With one CPU and no other to come the module loads, no device is attached, and nothing is left of one.
# Run by scripts/check-kernels with nosmp.

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/vfiouser.sh"

ktap_is "one CPU" "$(cat /sys/devices/system/cpu/possible)" 0
load_module
start_server --ram=16M
refused 18 "a device" 'with one CPU online a driver.s read could wait for ever; add a CPU' vfiouserctl attach "$SOCKET"
ktap_is "there is none" "$(ls /sys/class/vfiouser)" ""
ktap_run "probe needs no other CPU" vfiouserctl probe "$SOCKET"
stop_server "$SERVER_PID"
rmmod vfiouser_pci
ktap_ok $? "the module goes"
ktap_end
