#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# TIMEOUT: 400
#
# A device that decodes its BARs only by its own config space, as hardware does: each write to config
# space reaches it, in order, and after whatever has reset it it knows its addresses before the
# driver goes on. I/O ports: numbers of 16 bits, decoding on, shown or hidden.

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/vfiouser.sh"
. "$(dirname "$0")/../lib/testdev.sh"

LOG=$WORK/config.log

# get WHAT: a register as setpci has it
get()
{
	setpci -s "$BDF" "$1"
}

# log: what the server was told; writes are posted, a read pushes them
log()
{
	get fc.l >/dev/null
	cat "$LOG"
}

# told REGISTER: what the server was last told of it, as 32 bits
told()
{
	log | sed -n "s/^$1\.4 //p" | tail -n 1
}

# serve [OPTION...]
serve()
{
	: >"$LOG"
	SERVER=vfiouser-testdev start_server --config-log="$LOG" "$@"
}

# unbound [OPTION...]: attached, without a driver
unbound()
{
	attach --wait=0 --pool-size=4M "$@" "$SOCKET" || ktap_bail "cannot attach"
	DIR=/sys/bus/pci/devices/$BDF
}

away()
{
	detach "$BDF" && wait_for 10 pci_gone "$BDF" && stop_server
	ktap_ok $? "$1: detach"
}

# ---- each write, in order ----

load_module
serve --ids=fffe:7e58 --shape=decodes
unbound
: >"$LOG"
setpci -s "$BDF" 10.l=ffffffff 10.l=12340000 14.l=abcd0000 12.w=5678 3c.b=5 30.l=fffff800 \
	30.l=20001 COMMAND.w=6 fc.l=11223344 fe.b=9
ktap_is "each write, in order" "$(log | tr '\n' ' ')" \
	"010.4 ffffffff 010.4 12340000 014.4 abcd0000 012.2 5678 03c.1 05 030.4 fffff800 030.4 00020001 004.2 0007 0fc.4 11223344 0fe.1 09 "
ktap_is "what the driver sees is its own" "$(get 10.l) $(get COMMAND.w)" "56780000 0006"
: >"$LOG"
setpci -s "$BDF" COMMAND.b=0
ktap_is "and off again" "$(log)" "004.1 00"
away "order"

# ---- a driver ----

rm -f "$LOG"
ATTACH_OPTIONS="--grace=60s --reconnect=60s --io-bars=show"
testdev_attach --shape=decodes --config-log="$LOG"
DIR=/sys/bus/pci/devices/$BDF
for case in bars counter disable; do
	testdev_case $case
done
port=$(told 020)
ktap_match "a port number of 16 bits" "$port" '^0000[c-f]..[01]$'
ktap_is "and I/O decoding" "$(($((16#$(log | sed -n 's/^004.2 //p' | tail -n 1))) & 3))" 3
ktap_is "the driver knows of none" "$(($((16#$(get COMMAND.w))) & 1))" 0

echo flr >"$DIR/reset_method"
: >"$LOG"
ktap_run "FLR: reset" sh -c "echo 1 >'$DIR/reset'"
testdev_case counter
ktap_is "FLR: the port number again" "$(told 020)" "$port"
testdev_case reset
testdev_case bars

# Back from D3hot it is as of power-on.
: >"$LOG"
setpci -s "$BDF" CAP_PM+4.w=3 CAP_PM+4.w=0
ktap_is "D0: the port number again" "$(told 020)" "$port"
ktap_match "D0: and an address" "$(told 010)" '^[0-9a-f]*[1-9a-f]0000'

# The server is another process: it knows nothing of what was.
: >"$LOG"
before=$(cat "$DIR/resource")
SERVER=vfiouser-testdev restart_server --shape=decodes --config-log="$LOG"
wait_for 30 state_is "$BDF" live
ktap_ok $? "recovered"
wait_for 10 test -e /sys/bus/pci/drivers/vfu_test/"$BDF"
ktap_ok $? "recovered: the driver is bound"
ktap_is "recovered: the same addresses" "$(cat "$DIR/resource")" "$before"
testdev_case bars
testdev_case counter
ktap_is "recovered: the port number again" "$(told 020)" "$port"
testdev_detach
stop_server

# ---- I/O ports: shown where there is nothing else ----

serve --ids=fffe:7e58
unbound
ktap_is "beside memory they are not shown" \
	"$(get 20.l) $(sed -n 5p "$DIR/resource" | cut -d' ' -f3)" "00000000 0x0000000000000000"
setpci -s "$BDF" 20.l=ffffffff
ktap_is "not in sizing either" "$(get 20.l)" 00000000
ktap_match "the server has its port number" "$(told 020)" '^0000[c-f]..[01]$'
away "hidden"
serve --ids=fffe:7e58
unbound --io-bars=show
ktap_match "unless wanted" "$(sed -n 5p "$DIR/resource")" '0x[0-9a-f]*[1-9a-f][0-9a-f]* .*0x0*[0-9a-f]*2[0-9a-f]*$'
away "shown"
serve --ids=fffe:7e58 --shape=ports,decodes --interrupts=intx
unbound
ktap_is "alone they are shown" "$(stat -c %s "$DIR/resource4")" 64
ktap_match "as memory" "$(lspci -v -s "$BDF")" 'Region 4: Memory|Memory at'
address=$(sed -n '5s/ .*//p' "$DIR/resource")
ktap_is "the address ends with the port number" "$(printf %x $((address & 0xffff)))" \
	"$(printf %x $((16#$(told 020) & ~3)))"
ktap_match "of ports which the host has to spare" "$(cat /proc/ioports)" \
	"$(printf %x $((address & 0xffff)))-.* : vfiouser_pci"
away "ports"
# the slot goes with the last who holds it, which may be after the device
wait_for 10 sh -c '! grep -q vfiouser /proc/ioports'
ktap_ok $? "and has back"
serve --ids=fffe:7e58 --shape=ports --interrupts=intx
unbound --io-bars=hide
ktap_status '!0' "unless not wanted" test -e "$DIR/resource4"
away "no ports"
refused 2 "another word" 'show or hide' vfiouserctl attach --io-bars=maybe "$SOCKET"
ktap_end
