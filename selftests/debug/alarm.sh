#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# VM: own
#
# A bug of the kind that the kernel's command line names (vfu_alarm.what=, ../modules/alarm.c). debug-check.sh
# wants this test judged as failed, for what is in the kernel's log.

. "$(dirname "$0")/../lib/ktap.sh"

# the module does not stay: it makes the bug and fails
ktap_status '!0' "a bug is made" modprobe vfu_alarm
ktap_match "as it was asked to" "$KTAP_OUT" 'Operation canceled'
ktap_end
