#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Config spaces that are not as usual, each a server of its own: small, with a loop, of a bridge; each
# way to have or not to have a reset.

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/vfiouser.sh"
. "$(dirname "$0")/../lib/testdev.sh"

# get WHAT: a register as setpci has it
get()
{
	setpci -s "$BDF" "$1"
}

# shape LIST: a device of that shape, attached; no driver that could change what is looked at
shape()
{
	SERVER=vfiouser-testdev start_server --shape="$1"
	attach --wait=0 --pool-size=4M "$SOCKET" || ktap_bail "$1: cannot attach"
	DIR=/sys/bus/pci/devices/$BDF
}

shape_end()
{
	detach "$BDF" && wait_for 10 pci_gone "$BDF" && stop_server
	ktap_ok $? "$1: detach"
}

# resets: does a reset through sysfs reach the server, which forgets what a register of its own held?
resets()
{
	setpci -s "$BDF" fc.l=12345678
	[ "$(get fc.l)" = 12345678 ] || return 2
	echo 1 2>/dev/null >"$DIR/reset"
	[ "$(get fc.l)" = 00000000 ]
}

load_module

shape small,loop
ktap_is "small: size" "$(wc -c <"$DIR/config")" 256
ktap_is "small: nothing behind it" "$(get 100.l) $(get ffc.w) $(get fff.b)" "ffffffff ffff ff"
ktap_match "small: capabilities" "$(lspci -vv -s "$BDF")" "MSI-X: Enable- Count=64"
ktap_match "loop: capabilities" "$(lspci -vv -s "$BDF")" "Vendor Specific Information"
shape_end small,loop

dmesg_mark
SERVER=vfiouser-testdev start_server --shape=bridge
ktap_status 16 "bridge: refused" vfiouserctl attach "$SOCKET"
dmesg_check "bridge: and why" 'only endpoints are supported, header type is 1'
ktap_is "bridge: nothing is left" "$(ls /sys/class/vfiouser)" ""
stop_server

shape no-flr
ktap_match "no-flr: shown, as the server can be reset" "$(lspci -vv -s "$BDF")" "FLReset\+"
ktap_is "no-flr: in each width" \
	"$(($((16#$(get CAP_EXP+4.l))) >> 28 & 1)) $(($((16#$(get CAP_EXP+6.w))) >> 12 & 1)) $(($((16#$(get CAP_EXP+7.b))) >> 4 & 1))" \
	"1 1 1"
ktap_is "no-flr: nowhere else" "$(($((16#$(get CAP_EXP+4.b))) & 7))" 1
ktap_run "no-flr: reaches the server" resets
shape_end no-flr

shape no-flr,no-reset
ktap_match "no-reset: not shown" "$(lspci -vv -s "$BDF")" "FLReset-"
ktap_status '!0' "no-reset: not offered" grep flr "$DIR/reset_method"
ktap_status 1 "no-reset: none reaches the server" resets
shape_end no-flr,no-reset

shape no-reset
ktap_run "no-reset: an FLR that the server shows is its own business" resets
shape_end no-reset

shape af,multi
ktap_is "multi: there are no others, and none is shown" "$(get HEADER_TYPE)" 00
ktap_match "af: method" "$(cat "$DIR/reset_method")" af_flr
ktap_run "af: reaches the server" resets
shape_end af,multi

ktap_end
