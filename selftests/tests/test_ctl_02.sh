#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# SHARE: yes
#
# vfiouserctl trace: what a driver does to its device, in words, and as JSON, which
# test_ctl_02.host checks against the schema.

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/vfiouser.sh"
. "$(dirname "$0")/../lib/iofd.sh"

TRACING=/sys/kernel/tracing

# tracing PID: waits until it sees what happens. A new instance is on, and sees no event yet; then it is
# off until all events are.
tracing()
{
	local instance=$TRACING/instances/vfiouserctl-$1

	wait_for 30 grep -qx 1 "$instance/events/vfiouser/vfiouser_reply/enable" &&
		wait_for 30 grep -qx 1 "$instance/tracing_on"
}

# start_trace FILE [OPTION...]: in the background, sets TRACE; returns when it sees all
start_trace()
{
	local file=$1

	shift
	vfiouserctl trace "$@" >"$file" 2>"$WORK/trace.err" </dev/null &
	TRACE=$!
	tracing $TRACE ||
		ktap_bail "trace does not start: $(cat "$WORK/trace.err")"
}

# stop_trace: as ^C does
stop_trace()
{
	kill -INT $TRACE
	wait $TRACE
}

# seen NAME REGEX: there is such a line, soon
seen()
{
	if wait_for 60 grep -Eq "$2" "$LOG"; then
		ktap_pass "$1"
	else
		ktap_log "no match of '$2' in:"
		tail -n 20 "$LOG" | ktap_log
		ktap_fail "$1"
	fi
}

load_module
ktap_status 14 "trace: no such device" vfiouserctl trace vfu7

# From the first access on, of all devices.
LOG=$WORK/all
start_trace "$LOG"
start_server --ram=32M
attach --no-direct --name=disk1 "$SOCKET" || ktap_bail "attach failed"
disk_of "$BDF" >/dev/null || ktap_bail "no disk"
seen "the PCI core's accesses" 'read  config at 0x0, 4 bytes: 0x[0-9a-f]+, [0-9.]+[mu]s, by pci_'
seen "a read, by its function" \
	'read  BAR0 at 0x1c, 4 bytes: 0x[0-9a-f]+, [0-9.]+[mu]s, by nvme_[a-z_0-9]+ \[nvme(_core)?\]'
seen "a write, by its function" \
	'write BAR0 at 0x14, 4 bytes: 0x46[0-9a-f]+, [0-9.]+[mu]s, by nvme_[a-z_0-9.]+ \[nvme(_core)?\]'
seen "time, CPU, thread, device" '^ *[0-9]+\.[0-9]{6} \[[0-9]{3}\] [^ ]+-[0-9]+ 0: '
seen "interrupts being set up" '0: message: arm MSI-X [0-9]+\+[0-9]+$'
seen "and the answer to that" '0: answer to arm MSI-X [0-9]+\+[0-9]+, [0-9.]+[mu]s$'
seen "an interrupt" '0: interrupt MSI-X [0-9]+ on CPU [01]$'
seen "a state" '0: state live$'
seen "an event" '0: event added error 0$'
ktap_is "no requests of accesses without --all" "$(grep -c 'message: read' "$LOG")" 0
stop_trace
ktap_ok $? "an interrupted trace ends well"
ktap_is "nothing is left of it" "$(ls $TRACING/instances)" ""

# One device of two, all of it.
start_server --ram=32M
attach --name=disk2 "$SOCKET" || ktap_bail "attach failed"
second=$BDF
LOG=$WORK/one
start_trace "$LOG" --all disk2
vfiouserctl trace --json --all "$second" >"$WORK/trace.json" 2>/dev/null &
JSON=$!
tracing $JSON
lspci -s "$second" -xxx >/dev/null
lspci -s 5f000:00:00.0 -xxx >/dev/null
dd if="$(disk_of "$second")" of=/dev/null bs=4k count=2 iflag=direct 2>/dev/null
seen "a mapping" '1: DMA map at 0x[0-9a-f]+, 4096 bytes, from_device$'
seen "a request" '1: message: read config at 0x4[0-9a-f], 4 bytes$'
seen "a reply" '1: answer to read config at 0x4[0-9a-f], 4 bytes, [0-9.]+[mu]s$'
seen "a process reads config space" '\[[0-9]{3}\] lspci-[0-9]+ 1: read  config at 0x4[0-9a-f]'
ktap_is "nothing of the other device" "$(grep -c ' 0: ' "$LOG")" 0
detach "$second" || ktap_fail "detach failed"
ktap_run "the trace ends with its device" wait_for 30 vu_gone $TRACE
ktap_run "so does the one as JSON" wait_for 30 vu_gone $JSON
cp "$WORK/trace.json" /share/
wait $TRACE
ktap_ok $? "and well"
detach disk1

# Doorbells; and a number of lines.
load_module
iofd_attach || ktap_bail "cannot attach the device with doorbells"
start_trace "$WORK/count" --count=1
reg $IOFD_WRITES >/dev/null
ktap_run "trace --count ends by itself" wait_for 30 vu_gone $TRACE
ktap_is "one line" "$(wc -l <"$WORK/count")" 1
LOG=$WORK/doorbell
start_trace "$LOG" "$BDF"
poke w 4 0x10 1
poke w 8 0x600 0x1122334455667788
seen "a doorbell" 'doorbell BAR[0-9] at 0x[0-9a-f]+, [0-9] bytes: 0x1$'
seen "a value of 8 bytes" 'write BAR[0-9] at 0x600, 8 bytes: 0x1122334455667788, .* by poke_[a-z]+ \[vfu_poke\]'
# One that is killed leaves its instance; the next one clears it away.
kill -KILL $TRACE
wait $TRACE 2>/dev/null
start_trace "$WORK/next"
ktap_is "what a killed one left goes" "$(ls $TRACING/instances)" "vfiouserctl-$TRACE"
stop_trace
iofd_detach || ktap_fail "detach failed"

# Everybody else's tools find the tracepoints.
missing=
for event in trap config ioeventfd request reply irq dma_map dma_unmap dma_sync dma_alloc dma_free state event; do
	[ -d "$TRACING/events/vfiouser/vfiouser_$event" ] || missing="$missing $event"
done
ktap_is "tracepoints for perf and trace-cmd" "$missing" ""
ktap_is "which they can print: they know no names of constants" \
	"$(grep -hoE '(VFIOUSER|DMA)_[A-Z_]+' "$TRACING"/events/vfiouser/*/format | sort -u)" ""
ktap_end
