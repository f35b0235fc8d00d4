#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# TIMEOUT: 400
#
# ioregionfds: accesses to parts of a BAR go over a socket of their own, and by message where that
# cannot be.

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/vfiouser.sh"
. "$(dirname "$0")/../lib/iofd.sh"

ATTACH_OPTIONS=--wait=30s

# cmd: reads, writes, and offset, size, data, user data and resp of the last command
cmd()
{
	echo "$(reg $IOFD_CMD_READS) $(reg $IOFD_CMD_WRITES) $(peek 8 $IOFD_CMD_OFFSET)" \
	     "$(reg $IOFD_CMD_SIZE) $(peek 8 $IOFD_CMD_DATA) $(peek 8 $IOFD_CMD_USER_DATA)" \
	     "$(reg $IOFD_CMD_RESP)"
}

# clear: all counters are zero, which the server knows when this returns: an ioregionfd's access could
# overtake what was posted before
clear()
{
	poke w 8 $IOFD_CLEAR 0
	reg $IOFD_WRITES >/dev/null
}

# messages: writes and reads that came as messages
messages()
{
	echo "$(reg $IOFD_WRITES) $(reg $IOFD_READS)"
}

load_module
iofd_attach
ktap_ok $? "attach" || ktap_bail "nothing to test on"
ktap_is "nothing to complain about" "$ATTACH_ERR" ""

user=0x1234567890abcdef
at=0
for size in 1 2 4 8; do
	offset=$((0x200 + size * 8))
	at=$(printf '0x%x' $((size * 8)))
	value=$(printf '0x%x' $((0x8877665544332211 & (size == 8 ? -1 : (1 << (size * 8)) - 1))))
	clear
	poke w $size $offset "$value"
	ktap_is "write of $size" "$(cmd)" "0 1 $at $size $value $user 1"
	ktap_is "read of $size" "$(peek $size $offset)" "$value"
	ktap_is "read of $size as a command" "$(cmd)" "1 1 $at $size $value $user 0"
	ktap_is "$size: no messages" "$(messages)" "0 0"
done
ktap_is "the last byte" "$(poke w 1 0x2ff 0x99; peek 1 0x2ff; cmd)" \
	"0x99
2 2 0xff 1 0x99 $user 0"

clear
poke w 4 0x304 0xabcdef
ktap_is "posted write" "$(peek 4 0x304)" 0xabcdef
ktap_is "posted write as a command" "$(cmd)" "1 1 0x4 4 0xabcdef 0x5678 0"
clear
poke w 4 0x304 0x1
# The read pushes it: one socket, one order.
ktap_is "a posted write wants no answer" "$(peek 4 0x304; reg $IOFD_CMD_WRITES)" "0x1
1"
clear
poke w 2 0x310 0x4321
wait_for 5 test "$(reg $IOFD_CMD_WRITES)" = 1
ktap_is "without a size: a write" "$(cmd)" "0 1 0x0 2 0x4321 0x0 0"
ktap_is "without a size: a read is a message" "$(peek 2 0x310 >/dev/null; messages)" "0 1"

clear
poke w 8 0x1fc 0x1111111122222222
ktap_is "an access across the edge is a message" "$(messages) $(reg $IOFD_CMD_WRITES)" "1 0 0"
ktap_is "and beside it too" "$(poke w 4 0x1f8 1; messages)" "2 0"

# Many, mixed with messages, in the order that each has.
clear
for i in $(seq 100); do
	poke w 4 0x200 "$i"
	poke w 4 0x100 "$i"
	poke w 4 0x300 "$i"
done
ktap_is "100 of each" "$(($(peek 4 0x200))) $(($(peek 4 0x100))) $(($(peek 4 0x300)))" "100 100 100"
ktap_is "each once" "$(reg $IOFD_CMD_WRITES) $(reg $IOFD_WRITES)" "200 100"

# An answer that takes a while is waited for; others are served meanwhile.
poke w 8 $IOFD_DELAY 700000
poke w 4 0x200 0x77
ktap_is "a late answer" "$(peek 4 0x200)" 0x77
poke w 8 $IOFD_DELAY 0

# The server closes the socket: by message from then on.
poke w 8 $IOFD_HANGUP 0
clear
poke w 4 0x208 0x55
ktap_is "closed: by message" "$(peek 4 0x208) $(messages)" "0x55 1 1"
poke w 4 0x300 0x66
ktap_is "closed: posted writes too" "$(peek 4 0x300) $(messages)" "0x66 2 2"
ktap_is "closed: ioeventfds are not touched" "$(poke w 4 0x10 1; signals)" 0
ktap_run "detach" iofd_detach

# The server does not answer on the socket: as if it did not by message.
ATTACH_OPTIONS='--wait=30s --timeout=2s'
iofd_attach
ktap_ok $? "attach with a timeout"
poke w 8 $IOFD_MUTE 1
# Two sockets have no order between them: this read pushes the write.
reg $IOFD_CMD_WRITES >/dev/null
ktap_is "no answer: all-ones" "$(peek 4 0x200)" 0xffffffff
ktap_run "no answer: the device goes" wait_for 20 pci_gone "$BDF"
stop_server
ATTACH_OPTIONS=--wait=30s

# bad KIND SIZE OFFSET: noted, its accesses are messages, the others are not
bad()
{
	iofd_attach --bad="$1"
	ktap_ok $? "bad $1: attach" || return
	ktap_match "bad $1: noted" "$ATTACH_ERR" '1 of 4 ioregionfds cannot be used'
	if [ "$1" != regionoverlap ]; then
		iofd_message "bad $1: by message" "$2" "$3" 3
	fi
	clear
	poke w 4 0x208 0x123
	ktap_is "bad $1: the others" "$(peek 4 0x208) $(messages)" "0x123 0 0"
	ktap_run "bad $1: detach" iofd_detach
}

bad notsocket 8 0x70
bad regionflags 8 0x70
bad regionoverlap 8 0x208

ktap_end
