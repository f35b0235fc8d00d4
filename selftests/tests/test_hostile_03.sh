#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# TIMEOUT: 500
#
# What a server says of its device stays what it was when it was checked, and reaches nothing but the
# device: config space that changes, capabilities and IDs that the host would act on.

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/vfiouser.sh"
. "$(dirname "$0")/../lib/testdev.sh"

# looks BDF: its config space, but for what its driver turns on
looks()
{
	lspci -vv -n -s "$1" | sed 's/^[^ ]*//; s/Interrupt:.*//; s/IRQ [0-9]*//; s/BusMaster[+-]//'
}

# base BDF BAR: CPU address
base()
{
	sed -n "$(($2 + 1))s/ .*//p" "/sys/bus/pci/devices/$1/resource"
}

away()
{
	detach "$1" && wait_for 30 pci_gone "$1"
}

# ---- a table that moves into another device ----

# honest_disk: comes and goes; sets before, bar, and the address of its table
honest_disk()
{
	start_server --ram=16M
	attach "$SOCKET" || ktap_bail "cannot attach a disk"
	disk_of "$BDF" >/dev/null
	before=$(looks "$BDF")
	bar=$(lspci -vv -s "$BDF" | sed -n 's/.*Vector table: BAR=\([0-5]\).*/\1/p')
	table=$(base "$BDF" "$bar")
	away "$BDF"
	ktap_ok $? "an honest disk comes and goes"
	stop_server
}

# The device that is aimed at has to be behind the disk, and kernels give addresses from above or from below.
load_module
start_server --ram=16M
attach "$SOCKET" || ktap_bail "cannot attach a disk"
first=$BDF
first_server=$SERVER_PID
testdev_attach
honest=$BDF
honest_server=$SERVER_PID
target=$(base "$honest" 0)
if [ $(($(base "$first" 0))) -lt $((target)) ]; then
	away "$first"
	stop_server "$first_server"
	first=
fi
honest_disk
[ $((target)) -gt $((table)) ] || ktap_bail "the device aimed at is not behind the disk"
testdev_case log-on
SERVER=vfiouser-nvme-fault start_server --ram=16M \
	--fault="msix-table-moves:$((target + 0x20000 - table + bar))"
attach "$SOCKET"
ktap_ok $? "a disk whose table moves: attach"
ktap_run "it is of use" disk_of "$BDF"
ktap_is "its table is where it was" "$(looks "$BDF")" "$before"
testdev_case log-quiet
away "$BDF"
ktap_ok $? "a disk whose table moves: detach"
testdev_case log-quiet
stop_server

SERVER=vfiouser-nvme-fault start_server --ram=16M --fault=config-moves
attach "$SOCKET"
ktap_ok $? "config space that is another: attach"
disk=$(disk_of "$BDF")
ktap_run "it is of use" dd if="$disk" of=/dev/null bs=64K count=16 iflag=direct
ktap_is "it is what it was" "$(looks "$BDF")" "$before"
echo 1 >"/sys/bus/pci/devices/$BDF/remove"
echo 1 >/sys/bus/pci/rescan
ktap_run "found again, it is the same" disk_of "$BDF"
ktap_is "in all its registers" "$(looks "$BDF")" "$before"
away "$BDF"
ktap_ok $? "config space that is another: detach"
stop_server
testdev_case map-beyond
BDF=$honest
SERVER_PID=$honest_server
dmesg_check "a mapping beyond a BAR is refused" 'leaves its BAR: refused'
testdev_detach
stop_server
if [ -n "$first" ]; then
	away "$first"
	stop_server "$first_server"
fi

# ---- capabilities that reach beyond the function ----

dmesg_mark
SERVER=vfiouser-testdev start_server --shape=host-caps
attach --wait=0 --pool-size=4M "$SOCKET" || ktap_bail "cannot attach"
all=$(lspci -vvv -s "$BDF")
DIR=/sys/bus/pci/devices/$BDF
for cap in "Single Root" "Resizable" "Address Translation" "Page Request" "Process Address"; do
	ktap_is "not shown: $cap" "$(grep -c "$cap" <<<"$all")" 0
done
for cap in "Device Serial Number 01-23-45-67-89-ab-cd-ef" "Vendor Specific Information: ID=0001" \
	   "Latency Tolerance"; do
	ktap_match "shown: $cap" "$all" "$cap"
done
ktap_status '!0' "no virtual functions" test -e "$DIR/sriov_numvfs"
ktap_status '!0' "no other size" test -e "$DIR/resource0_resize"
ktap_is "nor in the bytes" "$(setpci -s "$BDF" 100.w 130.l 134.l)" "0000
00000000
00000000"
dmesg_check "one note" 'hidden from the host: ATS, SR-IOV, resizable BAR, PRI, PASID$'
away "$BDF"
stop_server

# ---- ids that the kernel acts on ----

# id VVVV:DDDD CLASS NAME REGEX
id()
{
	SERVER=vfiouser-testdev start_server --ids="$1" --class="$2"
	refused 16 "$3: refused" "$4" vfiouserctl attach --wait=0 "$SOCKET"
	stop_server
}

dmesg_mark
id 144d:a5e3 010802 "MSI off for all" 'refused, --force attaches it: the kernel works around'
id 8086:2640 060100 "registers of the HPET" 'the kernel works around'
id fffe:7e57 060100 "an ISA bridge" 'a bridge for the host.s own'
id fffe:7e57 01018a "an IDE controller in compatibility mode" 'the ports of the host.s own'
ktap_is "nothing has happened" "$(dmesg_since | grep -c 'MSI disabled\|enabled HPET\|legacy IDE')" 0
SERVER=vfiouser-testdev start_server --ids=fffe:7e58 --class=01018f
attach --wait=0 "$SOCKET"
ktap_ok $? "an IDE controller of its own"
away "$BDF"
stop_server
SERVER=vfiouser-testdev start_server --ids=fffe:7e57 --class=060100
attach --force --wait=0 "$SOCKET"
ktap_ok $? "with --force"
dmesg_check "with a warning" 'as told by --force'
away "$BDF"
ktap_end
