#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# A read that cannot sleep, of a device whose server has stopped: it ends, and the log says who was
# where.

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/vfiouser.sh"
. "$(dirname "$0")/../lib/testdev.sh"

bound=/sys/module/vfiouser_pci/parameters/atomic_timeout_ms

set_bound()
{
	echo "$1" 2>/dev/null >$bound
}

testdev_attach
for value in 9 8001 -1 x; do
	! set_bound $value
	ktap_ok $? "a bound of $value ms is refused"
done
ktap_is "it stays as it was" "$(cat $bound)" 5000
set_bound 200
ktap_ok $? "a bound of 200 ms"

kill -STOP "$SERVER_PID"
testdev_case overdue
wait_for 10 pci_gone "$BDF"
ktap_ok $? "the device is gone"
line=$(dmesg | grep 'vfiouser.*no answer:')
ktap_log "$line"
ktap_match "the log says who was where" "$line" \
	'no answer: test_mmio_06.sh waiting on CPU [0-9]+ with interrupts off, helper [a-z ]+ on CPU [0-9]+, server stopped on CPU [0-9]+$'
kill -CONT "$SERVER_PID"

ktap_end
