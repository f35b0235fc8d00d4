#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Sizes that a server names and the kernel counts with, and registers where no BAR is, in which the
# kernel's own fixups believe.

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/vfiouser.sh"

ktap_plan 6
load_module

SERVER=vfiouser-testdev start_server --shape=ports,many-ports --interrupts=intx
refused 16 "4 GiB of I/O ports: refused" "I/O ports are too large" vfiouserctl attach --wait=0 "$SOCKET"
refused 16 "shown as well" "I/O ports are too large" vfiouserctl attach --wait=0 --io-bars=show "$SOCKET"
stop_server

# Graphics of Intel's by its ID: interrupts are turned off at 0x4400c, and BAR 0 has 16 KiB.
dmesg_mark
SERVER=vfiouser-testdev start_server --ids=8086:0102 --class=ff0000
attach --wait=0 "$SOCKET"
ktap_ok $? "registers of a graphics adapter: attach"
wait_for 20 test -e "/sys/bus/pci/devices/$BDF"
ktap_ok $? "it is there"
dmesg_check "what the fixup reached for" 'disable_igfx_irq.* goes beyond the end of a mapping, to 0x4400c'
ktap_run "and goes" detach
wait_for 20 pci_gone "$BDF"
stop_server
ktap_end
