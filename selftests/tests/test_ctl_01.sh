#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# SHARE: yes
#
# vfiouserctl show, stats, events and reset on a real device. What they print as JSON is left in
# the share, where test_ctl_01.host checks it against the schema.

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/vfiouser.sh"

POOL=default

# lines FILE N: it has that many lines
lines()
{
	[ "$(wc -l <"$1")" -ge "$2" ]
}

# compact COMMAND...: JSON without blanks
compact()
{
	"$@" | tr -d ' \n'
}

# path NAME MEMBER: of "stats --json"
path()
{
	compact vfiouserctl stats --json disk1 |
		sed -nE "s/.*\"name\":\"$1\",\"count\":([0-9]+),\"bytes\":([0-9]+),\"ns\":([0-9]+),\"max_ns\":([0-9]+),\"histogram\":\[([0-9,]*)\].*/\1 \2 \3 \4 \5/p" |
		cut -d' ' -f"$2"
}

load_module
ktap_status 14 "show: no such device" vfiouserctl show vfu0
ktap_match "show: and it is said" "$KTAP_OUT" '^vfiouserctl: no device "vfu0"; '
ktap_run "list without a device" vfiouserctl list

vfiouserctl events >"$WORK/events" 2>&1 &
EVENTS=$!
vfiouserctl events --json --count=1 disk1 >/share/event1.json 2>&1 &
ONE=$!
start_server --ram=32M
# Both have to be there first: they are members of the group.
wait_for 20 sh -c '[ "$(awk "\$2 == 16 && \$4 != 00000000" /proc/net/netlink | wc -l)" -ge 2 ]' ||
	ktap_log "the event readers are late"
vfiouserctl attach --json --name=disk1 "$SOCKET" >/share/attach.json
ktap_ok $? "attach --json"
BDF=$(compact cat /share/attach.json | sed -E 's/.*"bdf":"([^"]*)".*/\1/')
DISK=$(disk_of "$BDF") || ktap_bail "no disk"
ID=$(compact cat /share/attach.json | sed -E 's/.*"id":([0-9]*),.*/\1/')

ktap_run "events --count ends by itself" wait_for 20 vu_gone $ONE
ktap_run "an event" wait_for 20 lines "$WORK/events" 1
ktap_match "event in words" "$(cat "$WORK/events")" \
	"^20[0-9-]+ [0-9:]+\.[0-9]{3} added +disk1 $BDF $SOCKET\$"
ktap_is "no escape sequences in a file" "$(grep -c $'\033' "$WORK/events")" 0

# One device, four names.
want=$(vfiouserctl show disk1)
for name in disk1 "$BDF" "$SOCKET" "unix:$SOCKET" "$ID"; do
	ktap_is "show $name" "$(vfiouserctl show "$name")" "$want"
done
ktap_is "show a socket relative to the directory" \
	"$(cd "$(dirname "$SOCKET")" && vfiouserctl show "$(basename "$SOCKET")")" "$want"
ktap_match "show: the driver" "$want" '^  Driver:   nvme$'
ktap_match "show: the server" "$want" "^  Server:   process $SERVER_PID \(vfiouser-nvme\)"
ktap_match "show: the pool" "$want" '^  DMA pool: 64M at 0x200000'
ktap_match "show: a region with direct pages" "$want" '^  BAR0 +16K, direct: '
ktap_match "show: vectors in use" "$want" '^  MSI-X +[0-9]+, in use: [1-9]'
vfiouserctl show --json "$BDF" >/share/show.json
ktap_ok $? "show --json"
vfiouserctl list --json >/share/list.json
ktap_ok $? "list --json"

# What goes through is counted.
maps=$(path dma_map 1) bytes=$(path dma_map 2) irqs=$(path irq 1)
dd if="$DISK" of=/dev/null bs=64k count=16 iflag=direct 2>/dev/null
ktap_ok $? "read from the disk"
[ $(($(path dma_map 2) - bytes)) -ge 1048576 ]
ktap_ok $? "stats: bytes mapped"
[ "$(path dma_map 1)" -gt "$maps" ] && [ "$(path dma_unmap 1)" -gt 0 ]
ktap_ok $? "stats: mappings"
[ "$(path irq 1)" -gt "$irqs" ]
ktap_ok $? "stats: interrupts"
[ "$(path config_read 1)" -gt 10 ] && [ "$(path read 1)" -gt 2 ] && [ "$(path write 1)" -gt 2 ]
ktap_ok $? "stats: reads and writes"
[ "$(path control 1)" -gt 0 ]
ktap_ok $? "stats: interrupts set up"
[ "$(path read 3)" -ge "$(path read 4)" ] && [ "$(path read 4)" -gt 0 ]
ktap_ok $? "stats: time of all, time of the slowest"
vfiouserctl stats --json disk1 >/share/stats.json
ktap_ok $? "stats --json"
vfiouserctl stats --json --watch=100ms --count=3 disk1 >/share/watch.json
ktap_ok $? "stats --watch --json"
out=$(vfiouserctl stats --histogram disk1)
ktap_match "stats: a table" "$out" '^read +[0-9]+ +[0-9]+'
ktap_match "stats: a histogram" "$out" '^    from +[0-9.]+[mu]s +[0-9]+ #'
out=$(vfiouserctl stats -w100ms -n2 disk1)
ktap_match "stats --watch: per second" "$out" 'PER SECOND'
ktap_is "stats --watch: no escape sequences" "$(printf '%s' "$out" | grep -c $'\033')" 0

# A reset, and the disk is as before.
ktap_run "reset" vfiouserctl reset "$SOCKET"
DISK=$(disk_of "$BDF")
dd if="$DISK" of=/dev/null bs=64k count=4 iflag=direct 2>/dev/null
ktap_ok $? "the disk works after a reset"
exec 3<"$DISK"
ktap_status 13 "reset of a disk that is open" vfiouserctl reset disk1
ktap_run "reset --force of it" vfiouserctl reset --force disk1
exec 3<&-

vfiouserctl events --json --present --count=1 >/share/present.json
ktap_ok $? "events --present"
vfiouserctl events --json --count=1 "$BDF" >/share/event2.json &
ONE=$!
wait_for 20 sh -c '[ "$(awk "\$2 == 16 && \$4 != 00000000" /proc/net/netlink | wc -l)" -ge 2 ]'
vfiouserctl stats --watch=200ms disk1 >"$WORK/watch" 2>&1 &
WATCH=$!
ktap_run "detach" detach disk1
ktap_run "events: the removal" wait_for 20 vu_gone $ONE
ktap_run "events: in order" sh -c "wc -l <'$WORK/events' | grep -q '^2\$' && tail -n 1 '$WORK/events' | grep -q ' removed '"
wait $WATCH
ktap_is "stats --watch ends with its device" $? 14
kill $EVENTS
ktap_end
