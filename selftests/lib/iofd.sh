# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# Tests on vfiouser-iofd, the device whose doorbells are descriptors, driven by the module vfu_poke.
#
# Sourced after vfiouser.sh. The addresses are those of ../servers/iofd.h.

POKE=/sys/kernel/debug/vfu_poke

IOFD_WRITES=0x400
IOFD_READS=0x408
IOFD_LAST_OFFSET=0x410
IOFD_LAST_SIZE=0x418
IOFD_LAST_VALUE=0x420
IOFD_CMD_READS=0x440
IOFD_CMD_WRITES=0x448
IOFD_CMD_OFFSET=0x450
IOFD_CMD_SIZE=0x458
IOFD_CMD_DATA=0x460
IOFD_CMD_USER_DATA=0x468
IOFD_CMD_RESP=0x470
IOFD_CLEAR=0x480
IOFD_HANGUP=0x488
IOFD_DELAY=0x490
IOFD_MUTE=0x498
IOFD_COUNTS=0x800
IOFD_SHADOW=0xa00

# iofd_attach [OPTION...]: a server with these OPTIONs, attached with the options in ATTACH_OPTIONS;
# what vfiouserctl says is in ATTACH_ERR
iofd_attach()
{
	local status

	modprobe vfu_poke || ktap_bail "modprobe vfu_poke failed"
	SERVER=vfiouser-iofd start_server "$@"
	# shellcheck disable=SC2086
	attach $ATTACH_OPTIONS "$SOCKET"
	status=$?
	ATTACH_ERR=$(cat "$WORK/attach.err")
	[ $status = 0 ] || return $status
	[ "$(driver_of "$BDF")" = vfu_poke ]
}

iofd_detach()
{
	detach "$BDF" && wait_for 5 pci_gone "$BDF" && stop_server
}

# poke w|W|c SIZE OFFSET VALUE
poke()
{
	echo "$*" >$POKE
}

# load SIZE OFFSET: into VALUE, without a process of its own, which costs most of the time of these tests
load()
{
	echo "r $*" >$POKE && read -r VALUE <$POKE
}

# peek SIZE OFFSET
peek()
{
	load "$@" && echo "$VALUE"
}

# reg REGISTER: its value, as a decimal number
reg()
{
	load 8 "$1" && echo $((VALUE))
}

# signals: the numbers of the ioeventfds that were signalled since the last clear, each as often as it was
signals()
{
	local i n out=

	for i in 0 1 2 3 4 5 6 7 8 9 10; do
		load 8 $((IOFD_COUNTS + 8 * i))
		n=$((VALUE))
		while [ "$n" -gt 0 ]; do
			out="$out $i"
			n=$((n - 1))
		done
	done
	echo ${out:-none}
}

# As a driver would see it: the write that clears is before the one that is signalled.
#
# iofd_write NAME OP SIZE OFFSET VALUE WANT MESSAGES: one write signals the ioeventfds WANT and makes so
# many messages
iofd_write()
{
	poke w 8 $IOFD_CLEAR 0
	# with interrupts off it would not wait for the other to have arrived
	[ "$2" = w ] || reg $IOFD_WRITES >/dev/null
	poke "$2" "$3" "$4" "$5"
	ktap_is "$1" "$(signals), $(reg $IOFD_WRITES) messages" "$6, $7 messages"
}

# iofd_message NAME SIZE OFFSET VALUE: a write goes by message, as it was made
iofd_message()
{
	poke w 8 $IOFD_CLEAR 0
	poke w "$2" "$3" "$4"
	ktap_is "$1" "$(signals) $(reg $IOFD_WRITES): $(reg $IOFD_LAST_OFFSET) $(reg $IOFD_LAST_SIZE) $(reg $IOFD_LAST_VALUE)" \
		"none 1: $(($3)) $2 $(($4))"
}
