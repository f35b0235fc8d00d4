#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# SHARE: yes
# TIMEOUT: 400
#
# vfiouserctl on a terminal (tmux): stats --watch, progress, colours. Then attach with a recording,
# replayed against another server, and with faults that a driver has to live with.

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/vfiouser.sh"

export LC_ALL=C.UTF-8 TMUX_TMPDIR=$WORK
tm()
{
	tmux -f /dev/null -L test "$@"
}

# window NAME COMMAND: a terminal of 110 columns that stays when the command has ended
window()
{
	local name=$1

	shift
	tm new-session -d -s "$name" -x 110 -y 30 "trap : INT; $* 2>&1; echo \"exit status \$?\"; exec sleep 1000"
}

# screen NAME [OPTION]: what is on it; with -e, escape sequences too
screen()
{
	tm capture-pane -p ${2:-} -t "$1"
}

on_screen()
{
	screen "$1" ${3:-} | grep -Eq -- "$2"
}

# shows NAME WINDOW REGEX [OPTION]: soon
shows()
{
	if wait_for 60 on_screen "$2" "$3" "${4:-}"; then
		ktap_pass "$1"
		return 0
	fi
	ktap_log "no match of '$3' on the screen:"
	screen "$2" "${4:-}" | ktap_log
	ktap_fail "$1"
}

load_module

# ---- on a terminal ----

SOCKET=$WORK/late
window attach "TERM=tmux vfiouserctl attach --wait-server=300s --name=disk1 --record=/share/disk.pcapng $SOCKET"
shows "progress: waiting for a server" attach "^disk1: waiting for the server, [0-9]+ s\.\.\.\$"
lines=$(screen attach | grep -c .)
ktap_is "progress: one line" "$lines" 1
vfiouser-nvme --socket-path="$SOCKET" --ram=32M >"$WORK/server.log" 2>&1 &
SERVER_PID=$!
SERVER_PIDS="$SERVER_PIDS $SERVER_PID"
shows "attached when the server had come" attach '^disk1 5f000:00:00.0 7576:4e56 nvme nvme[0-9]n1$'
shows "and well" attach '^exit status 0$'
ktap_is "the progress line has gone" "$(screen attach | grep -c waiting)" 0
BDF=5f000:00:00.0
DISK=$(disk_of $BDF) || ktap_bail "no disk"

window watch "TERM=tmux vfiouserctl stats --watch=500ms disk1"
shows "watch: totals first, then rates" watch '^PATH +PER SECOND +BYTES/S'
shows "watch: the interval" watch "^disk1 $BDF live $SOCKET, in 0\.[4-9] s:\$|, in [1-9]"
dd if="$DISK" of=/dev/null bs=64k iflag=direct 2>/dev/null &
READER=$!
shows "watch: what goes on now" watch '^dma_map +[1-9][0-9]*\.[0-9] +[0-9.]+[KM]? '
ktap_is "watch: one screen, not a scroll" "$(screen watch | grep -c '^PATH')" 1
shows "watch: colours on a terminal" watch "$(printf '\033\\[32m')live" -e
wait $READER
window plain "TERM=tmux NO_COLOR=1 vfiouserctl stats --watch=500ms disk1"
shows "watch: NO_COLOR" plain '^PATH'
ktap_is "no colours then" "$(screen plain -e | grep -c "$(printf '\033\\[3[123]m')")" 0
tm send-keys -t plain C-c
# behind the ^C that the terminal shows
shows "^C ends it" plain 'exit status 130$'
window list "TERM=dumb vfiouserctl list"
shows "list on a dumb terminal" list 'disk1'
ktap_is "no escape sequences there" "$(screen list -e | grep -c "$(printf '\033\\[3')")" 0

# ---- the recording ----

[ "$(stat -c %a /share/disk.pcapng)" = 600 ]
ktap_ok $? "a recording is root's"
mkfs.ext4 -q "$DISK" && mount -t ext4 "$DISK" /mnt && dd if=/dev/urandom of=/mnt/file bs=64k count=16 2>/dev/null &&
	umount /mnt
ktap_ok $? "a file system on a device that is recorded"
ktap_run "detach" detach disk1
shows "watch ends with its device" watch '^exit status 14$'
stop_server
start_server --ram=32M
# Whether the controller is ready is asked again and again, here and there.
ktap_status 0 "replay against another server" vfiouserctl replay --retry=20s /share/disk.pcapng "$SOCKET"
ktap_match "all of it" "$KTAP_OUT" '^[1-9][0-9]{2,} messages sent, [1-9][0-9]{2,} answers the same, 0 different'
stop_server
start_server --ram=64M --fault=error-after:40
ktap_status 22 "a server that answers otherwise" vfiouserctl replay /share/disk.pcapng "$SOCKET"
stop_server

# ---- faults ----

# What a driver is told: an error is all-ones, as on PCI.
modprobe vfu_poke || ktap_bail "no vfu_poke"
. "$(dirname "$0")/../lib/iofd.sh"
ATTACH_OPTIONS='--no-direct --inject=error:EIO@read/bar0'
iofd_attach || ktap_bail "attach with faults failed"
ktap_is "error: a read is all-ones" "$(peek 4 0x100)" 0xffffffff
ktap_is "error: config space is as ever" "$(cat "/sys/bus/pci/devices/$BDF/vendor")" 0xfffe
[ "$(stat_of errors)" -ge 1 ]
ktap_ok $? "error: it is counted"
iofd_detach || ktap_fail "detach failed"

ATTACH_OPTIONS='--no-direct --inject=delay:700@read/bar0'
iofd_attach || ktap_bail "attach with faults failed"
poke w 4 0x100 0x5a5a
peek 4 0x100 >"$WORK/value"
ktap_is "delay: the answer is right" "$(cat "$WORK/value")" 0x5a5a
max=$(vfiouserctl stats --json "$BDF" | tr -d ' \n' | sed -E 's/.*"name":"read",[^}]*"max_ns":([0-9]+).*/\1/')
[ "$max" -ge 700000000 ]
ktap_ok $? "delay: and it is late ($max ns)"
iofd_detach || ktap_fail "detach failed"

ATTACH_OPTIONS='--no-direct --inject=drop@write/bar0'
iofd_attach || ktap_bail "attach with faults failed"
poke w 4 0x100 0x77
poke w 4 0x104 0x66
ktap_is "drop: writes are lost" "$(($(peek 4 0x100))) $(($(peek 4 0x104))) $(reg $IOFD_WRITES)" "0 0 0"
iofd_detach || ktap_fail "detach failed"

# The driver's read is never answered: the device is given up, by everybody.
ATTACH_OPTIONS='--no-direct --timeout=3s --inject=drop@read/bar0'
iofd_attach || ktap_bail "attach with faults failed"
ktap_is "drop: a read is all-ones in the end" "$(peek 4 0x100)" 0xffffffff
ktap_run "drop: the device goes" wait_for 30 pci_gone "$BDF"
stop_server

# A disk does its work while one access in five is slow.
start_server --ram=32M
attach --no-direct --inject=delay:3:20%,seed:4 "$SOCKET" || ktap_bail "attach with faults failed"
DISK=$(disk_of "$BDF") || ktap_bail "no disk"
dd if=/dev/urandom of="$WORK/data" bs=64k count=8 2>/dev/null
dd if="$WORK/data" of="$DISK" oflag=direct bs=64k 2>/dev/null
ktap_run "a slow server's disk has what was written" cmp -n 524288 "$WORK/data" "$DISK"
detach
tm kill-server
ktap_end
