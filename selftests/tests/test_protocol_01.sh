#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# TIMEOUT: 500
#
# Servers that use the protocol's freedoms, and some that abuse it: each with a device attached and a
# driver on it.

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/vfiouser.sh"
. "$(dirname "$0")/../lib/testdev.sh"

# with NAME [OPTION...] [-- ATTACH-OPTION...]: a test device on such a server; sets HELPER
with()
{
	local name=$1 server=() status

	shift
	while [ $# != 0 ] && [ "$1" != -- ]; do
		server+=("$1")
		shift
	done
	[ $# = 0 ] || shift
	SERVER=vfiouser-testdev start_server --verbose "${server[@]}"
	attach "$@" "$SOCKET"
	status=$?
	ktap_ok $status "$name: attach" || return $status
	HELPER=$(vfiouserctl list --json | sed -n 's/.*"pid": *\([0-9]*\).*/\1/p' | head -n 1)
}

# done_with NAME: the device goes in the orderly way, and its server ends
done_with()
{
	detach && wait_for 30 pci_gone "$BDF"
	ktap_ok $? "$1: detach"
	stop_server
	ktap_ok $? "$1: the server ends"
}

noted()
{
	grep -Eq "$1" "$WORK/attach.err"
}

# counted REGEX: what the server has counted, from its last words; the pattern's first group
counted()
{
	grep 'client disconnected' "$SOCKET.log" | sed -nE "s/.*$1.*/\1/p" | tail -n 1
}

# The helper has noticed that the attach has ended, and has closed what they had in common.
in_background()
{
	[ "$(readlink "/proc/$HELPER/fd/2")" = /dev/null ]
}

descriptors()
{
	wait_for 30 in_background
	find "/proc/$HELPER/fd" -mindepth 1 | wc -l
}

load_module
modprobe vfu_test || ktap_bail "modprobe vfu_test failed"

# As many vectors as there can be, in messages of 16 descriptors.
if with vectors --vectors=2048 --max-msg-fds=16; then
	before=$(descriptors)
	testdev_case msix-many 2048
	ktap_is "vectors: no descriptor left" "$(descriptors)" "$before"
	done_with vectors
fi

# Reads of two CPUs, answered in another order than they came.
if with reorder --reorder; then
	testdev_case traffic-start
	testdev_case traffic-alive
	testdev_case traffic-stop
	done_with reorder
	overtaken=$(counted 'writes, ([0-9]*) replies overtaken')
	ktap_log "$overtaken replies were overtaken"
	[ "${overtaken:-0}" -gt 0 ]
	ktap_ok $? "reorder: replies came in another order"
fi

# Writes that pile up while the helper does not run travel together, where the server takes that.
backed_up()
{
	local pid state

	kill -STOP "$HELPER"
	echo posted >"$VFT/run" &
	pid=$!
	# until the ring is full and the driver sleeps
	wait_for 30 grep -q '^State:[[:space:]]*[DS]' /proc/$pid/status
	state=$?
	kill -CONT "$HELPER"
	wait $pid
	grep -E '^(not )?ok|^#' "$VFT/result" | grep '^not ok' | ktap_log
	[ $state = 0 ] && ! grep -q '^not ok' "$VFT/result" && grep -q '^ok' "$VFT/result"
}
for option in "" --no-write-multi; do
	name="backed up${option:+ with $option}"
	# shellcheck disable=SC2086
	with "$name" $option -- --timeout=60s --no-direct || continue
	ktap_run "$name: writes arrive once and in order" backed_up
	done_with "$name"
	multi=$(counted 'disconnected; ([0-9]*) REGION_WRITE_MULTI')
	ktap_log "$multi messages with several writes"
	if [ -z "$option" ]; then
		[ "${multi:-0}" -gt 0 ]
		ktap_ok $? "$name: writes travelled together"
	else
		ktap_is "$name: none travelled together" "$multi" 0
	fi
done

# A server that repeats itself, sends descriptors and asks what nobody asks.
if with chatter --chatter; then
	testdev_case intx
	before=$(descriptors)
	testdev_case intx
	testdev_case dma-coherent
	ktap_is "chatter: no descriptor left" "$(descriptors)" "$before"
	done_with chatter
fi

# BAR pages that the server offers and the administrator does not want.
if with "no direct" -- --no-direct; then
	grep -q testdev-bar2 "/proc/$HELPER/maps"
	ktap_is "no direct: nothing is mapped" $? 1
	testdev_case posted
	done_with "no direct"
fi
if with "short descriptor" --shape=short-fd; then
	ktap_run "short descriptor: said" noted 'BAR2 offset 0x1000: cannot map'
	testdev_case bars
	done_with "short descriptor"
fi

# Accesses that a region is not for: the server, which would refuse them, sees none.
refused_any()
{
	grep 'for what it is not for' "$SOCKET.log"
}
if with "write-only" --shape=bar1-w; then
	testdev_case refused 1
	done_with write-only
	ktap_status 1 "write-only: no read came" refused_any
fi
if with "read-only" --shape=bar1-r; then
	testdev_case refused 2
	done_with read-only
	ktap_status 1 "read-only: no write came" refused_any
fi

# Flags of the device and its interrupts.
if with "edge" --shape=edge-intx; then
	testdev_case intx 1
	done_with edge
fi
if with "no eventfd flag" --fault=no-eventfd-flag; then
	testdev_case threaded
	done_with "no eventfd flag"
fi
if with "vga" --shape=vga; then
	ktap_run "vga: said" noted 'VGA region is not used'
	done_with vga
fi
if with "no reset" --shape=no-reset; then
	# its own capability has the bit, which then goes there as it is
	testdev_case reset
	done_with "no reset"
fi

# A disk whose server maps no memory: each command, each completion, all data are messages.
for option in "" --twin-socket; do
	name="nvme by messages${option:+, twin socket}"
	# shellcheck disable=SC2086
	start_server --ram=16M --no-map $option
	attach "$SOCKET" && disk=$(disk_of "$BDF")
	ktap_ok $? "$name: attach" || continue
	dd if=/dev/urandom of="$WORK/data" bs=64k count=32 2>/dev/null
	dd if="$WORK/data" of="$disk" bs=64k conv=fsync 2>/dev/null
	ktap_ok $? "$name: 2 MiB written"
	echo 3 >/proc/sys/vm/drop_caches
	dd if="$disk" bs=64k count=32 2>/dev/null | cmp - "$WORK/data"
	ktap_ok $? "$name: and read back"
	done_with "$name"
done

SERVER=vfiouser-testdev start_server --fault=not-pci
attach "$SOCKET"
ktap_is "not PCI: refused" $? 10
ktap_run "not PCI: said" noted 'not a PCI device'
stop_server
dmesg_allow 'vfiouser.*error'
ktap_end
