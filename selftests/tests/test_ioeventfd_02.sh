#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# TIMEOUT: 400
#
# ioeventfds of every kind, write by write: what matches is one signal and no message, what does not
# is one message and no signal. The server offers wrong ones too: no write is lost then.

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/vfiouser.sh"
. "$(dirname "$0")/../lib/iofd.sh"

ATTACH_OPTIONS=--wait=30s

load_module
iofd_attach
ktap_ok $? "attach" || ktap_bail "nothing to test on"
ktap_is "nothing to complain about" "$ATTACH_ERR" ""

before=$(stat_of ioeventfds)
iofd_write "size 4: 4 bytes" w 4 0x10 0x12345678 0 0
iofd_write "size 4: interrupts off" W 4 0x10 1 0 0
iofd_message "size 4: 2 bytes" 2 0x10 0x1234
iofd_message "size 4: 8 bytes" 8 0x10 0x123456789abcdef
iofd_message "size 4: 2 bytes in the middle" 2 0x12 0x1234
iofd_message "size 4: 4 bytes beside" 4 0x0c 0x1234
iofd_write "any size: 1 byte" w 1 0x14 1 1 0
iofd_write "any size: 2 bytes" w 2 0x14 1 1 0
iofd_write "any size: 4 bytes" w 4 0x14 1 1 0
iofd_write "any size: 8 bytes" w 8 0x14 1 1 0
iofd_message "any size: 1 byte behind" 1 0x15 0x77
iofd_write "match 7: 7" w 4 0x20 7 2 0
iofd_write "match 9: 9" w 4 0x20 9 3 0
iofd_message "match: 8" 4 0x20 8
iofd_message "match: upper bytes count" 4 0x20 0x107
iofd_message "match 7: 1 byte" 1 0x20 7
iofd_message "match 7: 8 bytes" 8 0x20 7
iofd_write "match of 8 bytes" w 8 0x28 0x1122334455667788 4 0
iofd_message "match of 8 bytes: all count" 8 0x28 0x1022334455667788
iofd_write "size 1" w 1 0x30 255 5 0
# memset_io() of 8 bytes at 0x10: what x86 makes of it, each byte arrives once
poke w 8 $IOFD_CLEAR 0
poke c 8 0x80 0x5a
ktap_is "no ioeventfd near" "$(signals) $(peek 8 0x80)" "none 0x5a5a5a5a5a5a5a5a"
ktap_is "counted" "$(($(stat_of ioeventfds) - before))" 10

iofd_write "shadow: 2 bytes" w 2 0x40 0xbeef 6 0
ktap_is "shadow: value" "$(peek 2 $((IOFD_SHADOW + 0x40)))" 0xbeef
ktap_is "shadow: and no more" "$(peek 8 $((IOFD_SHADOW + 0x40)))" 0xbeef
iofd_message "shadow: 4 bytes" 4 0x40 0xdeadbeef
ktap_is "shadow: untouched by a message" "$(peek 8 $((IOFD_SHADOW + 0x40)))" 0x0
iofd_write "shadow: 8 bytes" w 8 0x48 0x1122334455667788 7 0
ktap_is "shadow: 8 bytes, value" "$(peek 8 $((IOFD_SHADOW + 0x48)))" 0x1122334455667788
iofd_write "shadow: any size, 1 byte" w 1 0x50 0xab 8 0
ktap_is "shadow: any size, 1 byte, value" "$(peek 8 $((IOFD_SHADOW + 0x50)))" 0xab
iofd_write "shadow: any size, 8 bytes" w 8 0x50 0x8877665544332211 8 0
ktap_is "shadow: any size, 8 bytes, value" "$(peek 8 $((IOFD_SHADOW + 0x50)))" 0x8877665544332211
iofd_write "shadow and match" w 4 0x60 5 9 0
ktap_is "shadow and match, value" "$(peek 4 $((IOFD_SHADOW + 0x60)))" 0x5
iofd_message "shadow and match: another value" 4 0x60 6
ktap_is "shadow and match: untouched" "$(peek 4 $((IOFD_SHADOW + 0x60)))" 0x0

# Reads are no business of an ioeventfd's.
poke w 8 $IOFD_CLEAR 0
peek 4 0x10 >/dev/null
ktap_is "a read is a message" "$(signals) $(reg $IOFD_READS)" "none 1"

# What is signalled must not be lost when there is much of it.
poke w 8 $IOFD_CLEAR 0
for i in $(seq 200); do
	poke w 4 0x10 "$i"
	poke w 8 0x48 "$i"
done
ktap_is "200 times" "$(reg $IOFD_COUNTS) $(reg $((IOFD_COUNTS + 56))) $(reg $IOFD_WRITES) $(reg $((IOFD_SHADOW + 0x48)))" \
	"200 200 0 200"

# The same server once more: the entries of the first device are gone, with their references.
ktap_run "detach" detach "$BDF"
wait_for 5 pci_gone "$BDF"
attach $ATTACH_OPTIONS "$SOCKET"
ktap_ok $? "attach again"
iofd_write "signalled again" w 4 0x10 1 0 0
ktap_run "detach again" iofd_detach

# The server dies while the device is in use: doorbells go nowhere, and nothing else happens.
iofd_attach
kill -KILL $SERVER_PID
for i in $(seq 50); do
	poke w 4 0x10 "$i" 2>/dev/null
	poke w 8 0x48 "$i" 2>/dev/null
done
wait_for 20 pci_gone "$BDF"
ktap_ok $? "a server that is killed"

ATTACH_OPTIONS='--wait=30s --no-direct'
iofd_attach
ktap_ok $? "attach with --no-direct"
iofd_message "then a doorbell is a message" 4 0x10 1
iofd_message "and one with shadow memory" 8 0x48 1
ktap_run "detach after --no-direct" iofd_detach
ATTACH_OPTIONS=--wait=30s

# bad KIND NOTE SIZE OFFSET VALUE OTHERS: a wrong one is noted, its writes are messages; OTHERS is 0
# where the first ioeventfd works all the same, "none" where the whole BAR goes by message.
bad()
{
	iofd_attach --bad="$1"
	ktap_ok $? "bad $1: attach" || return
	ktap_match "bad $1: noted" "$ATTACH_ERR" "$2"
	ktap_is "bad $1: in one line" "$(printf '%s\n' "$ATTACH_ERR" | wc -l)" 1
	iofd_message "bad $1: by message" "$3" "$4" "$5"
	if [ "$6" = none ]; then
		iofd_message "bad $1: the others too" 4 0x10 1
	else
		iofd_write "bad $1: the others are signalled" w 4 0x10 1 0 0
	fi
	ktap_run "bad $1: detach" iofd_detach
}

one='1 of 11 ioeventfds cannot be used .*offset 0x70'
bad flags "$one" 4 0x70 3 0
bad match "$one" 1 0x70 3 0
bad nomatch "$one" 4 0x70 1 0
bad notevent "$one" 4 0x70 3 0
bad align "$one" 4 0x70 3 0
bad beyond "$one" 4 0x70 3 0
bad huge "$one" 4 0x70 3 0
bad noshadow "$one" 4 0x70 3 0
bad size "$one" 2 0x70 3 0
bad overlap '1 of 11 ioeventfds cannot be used .*offset 0x10' 2 0x10 3 0
bad outside 'outside the region' 4 0x70 3 none
iofd_attach --bad=long
ktap_match "bad long" "$ATTACH_ERR" "$one"
iofd_message "bad long: by message" 8 0x70 3
ktap_run "bad long: detach" iofd_detach
# A kind that we do not know may be one of a later specification.
iofd_attach --bad=type
ktap_is "unknown type: nothing to complain about" "$ATTACH_ERR" ""
iofd_message "unknown type: by message" 4 0x70 3
iofd_write "unknown type: the others are signalled" w 4 0x10 1 0 0
ktap_run "unknown type: detach" iofd_detach

ktap_end
