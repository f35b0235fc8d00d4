#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# EXPECT: 9 0 0 what others leave is not there
# SHARE: yes

. /selftests/lib/ktap.sh

ktap_plan 8
ktap_run "no process" sh -c '! pidof sleep'
ktap_status 1 "no mount" grep -q ' /mnt ' /proc/mounts
ktap_status 1 "no module" grep -qE '^(loop|ext4|vfiouser_pci) ' /proc/modules
ktap_is "no file" "$(ls /tmp /mnt /dev/shm)" "$(printf '/dev/shm:\n\n/mnt:\n\n/tmp:')"
ktap_is "the share is empty" "$(ls /share)" ""
ktap_is "the values are as at boot" "$(cat /proc/sys/kernel/panic_on_oops)" 1
ktap_is "no log of another test" "$(dmesg | grep -c 'WARNING: CPU')" 0
ktap_is "one test has begun" "$(dmesg | grep -c 'vm: test begins')" 1
ktap_end
