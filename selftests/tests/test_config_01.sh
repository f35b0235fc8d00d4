#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Config space of a device without a driver: contents, widths, capabilities, BAR sizing, ROM, reset, and
# what a process may map.

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/vfiouser.sh"

# get WHAT: a register as setpci has it
get()
{
	setpci -s "$BDF" "$1"
}

# put WHAT=VALUE...
put()
{
	setpci -s "$BDF" "$@"
}

# bytes OFFSET COUNT: of config space through sysfs, as one hexadecimal string
bytes()
{
	od -An -v -tx1 -j "$1" -N "$2" "$DIR/config" | tr -d ' \n'
}

# sizing NAME REGISTER WANT: write all ones and look what sticks
sizing()
{
	local was

	was=$(get "$2.l")
	put "$2.l=ffffffff"
	ktap_is "sizing $1" "$(get "$2.l")" "$3"
	put "$2.l=$was"
	ktap_is "sizing $1, restored" "$(get "$2.l")" "$was"
}

# sizes: of the BARs and the ROM
sizes()
{
	local start end flags

	head -n 7 "$DIR/resource" | while read -r start end flags; do
		printf '%d ' $((flags ? end - start + 1 : 0))
	done
}

# rom_image: what the ROM must hold behind its header
rom_image()
{
	awk 'BEGIN { for (i = 64; i < 4096; i++) printf "%02x", (i * 7 + int(i / 256)) % 256 }'
}

load_module
modprobe vfu_test
SERVER=vfiouser-testdev start_server
attach --io-bars=show "$SOCKET" || ktap_bail "cannot attach the test device"
DIR=/sys/bus/pci/devices/$BDF
[ ! -e "$DIR/driver" ] || echo "$BDF" >"$DIR/driver/unbind"

ktap_match "lspci lists it" "$(lspci -n -s "$BDF")" "ff00: fffe:7e57 \(rev 42\)"
ktap_is "size" "$(wc -c <"$DIR/config")" 4096

# 32-bit contents, and the same in pieces
ktap_is "ids" "$(get 0.l)" 7e57fffe
ktap_is "ids, 16 bits" "$(get 0.w) $(get 2.w)" "fffe 7e57"
ktap_is "ids, 8 bits" "$(get 0.b) $(get 1.b) $(get 2.b) $(get 3.b)" "fe ff 57 7e"
ktap_is "subsystem" "$(get 2c.l)" 0badfffd
ktap_is "class and revision" "$(get 8.l)" ff000042
ktap_is "through sysfs" "$(bytes 0 4)$(bytes 1 3)$(bytes 3 1)" "feff577eff577e7e"
put 0.l=12345678
ktap_is "read-only stays" "$(get 0.l)" 7e57fffe

# the last word can be written
put ffc.l=44332211
ktap_is "write 32 bits" "$(get ffc.l)" 44332211
put ffe.w=beef
ktap_is "write 16 bits" "$(get ffc.l)" beef2211
put ffd.b=a5
ktap_is "write 8 bits" "$(get ffc.l)" beefa511
ktap_is "extended space, 8 bits" "$(get fff.b)" be
printf '\x77\x88\x99' | dd of="$DIR/config" bs=3 seek=$((0xffd)) oflag=seek_bytes 2>/dev/null
ktap_is "write through sysfs" "$(get ffc.l)" 99887711

# BARs
put COMMAND.w=0
ktap_is "nothing is decoded" "$(get COMMAND.w)" 0000
sizing "BAR 0" BASE_ADDRESS_0 fffc0000
sizing "BAR 1" BASE_ADDRESS_1 ffffff00
sizing "BAR 2" BASE_ADDRESS_2 ffff000c
sizing "BAR 2, upper half" BASE_ADDRESS_3 ffffffff
sizing "BAR 4, I/O ports shown as memory" BASE_ADDRESS_4 ffffffc0
sizing "BAR 5" BASE_ADDRESS_5 fffff000
sizing "ROM" ROM_ADDRESS fffff001
was=$(get BASE_ADDRESS_0.l)
put BASE_ADDRESS_0.l=0
put 12.w=abcd 13.b=12
ktap_is "a BAR in pieces" "$(get BASE_ADDRESS_0.l)" 12cc0000
put BASE_ADDRESS_0.l="$was"
ktap_is "resources" "$(sizes)" "262144 256 65536 0 64 4096 4096 "

# capabilities, as the server has them
all=$(lspci -vvv -s "$BDF")
ktap_match "power management" "$all" "Power Management version 3"
ktap_match "PCI Express" "$all" "Express \(v2\) Endpoint"
ktap_match "function level reset" "$all" "FLReset\+"
ktap_match "MSI" "$all" "MSI: Enable- Count=1/32 Maskable\+ 64bit\+"
ktap_match "MSI-X" "$all" "MSI-X: Enable- Count=64 Masked-"
ktap_match "MSI-X table" "$all" "Vector table: BAR=2 offset=0000f000"
ktap_match "MSI-X pending bits" "$all" "PBA: BAR=2 offset=0000e000"
ktap_match "vendor-specific" "$all" "Vendor Specific Information: Len="
ktap_match "serial number" "$all" "Device Serial Number 01-23-45-67-89-ab-cd-ef"
ktap_match "vendor-specific, extended" "$all" "Vendor Specific Information: ID=7e57 Rev=1 Len=00c"
ktap_match "interrupt pin" "$all" "Interrupt: pin A"
ktap_is "vendor-specific contents" "$(get CAP09+3.b) $(get CAP09+4.l)" "76 756f6966"
ktap_is "extended contents" "$(get ECAP0b+8.l)" feedc0de
put CAP_PM+4.w=3
ktap_is "D3hot" "$(($((16#$(get CAP_PM+4.w))) & 3))" 3
put CAP_PM+4.w=0
ktap_is "D0" "$(($((16#$(get CAP_PM+4.w))) & 3))" 0

# ROM
put COMMAND.w=2
echo 1 >"$DIR/rom"
ktap_is "ROM header" "$(od -An -v -tx1 -N 2 "$DIR/rom" | tr -d ' \n')" 55aa
ktap_is "ROM contents" "$(dd if="$DIR/rom" bs=64 skip=1 2>/dev/null | od -An -v -tx1 |
	tr -d ' \n' | sha256sum)" "$(rom_image | sha256sum)"
echo 0 >"$DIR/rom"

# mapping by a process
echo 1 >"$DIR/enable"
ktap_status 4 "no mapping of trapped pages" vfu_mmap "$DIR/resource0" 0 4096 map
ktap_status 4 "no mapping of all of a BAR" vfu_mmap "$DIR/resource2" 0 65536 map
ktap_status 4 "no mapping of a trapped page and a direct one" vfu_mmap "$DIR/resource2" 0 8192 map
ktap_status 4 "no mapping of the vector table's page" vfu_mmap "$DIR/resource2" 61440 4096 map
ktap_status 4 "no mapping of a small BAR" vfu_mmap "$DIR/resource1" 0 4096 map
ktap_run "a direct page maps" vfu_mmap "$DIR/resource2" 4096 4096 fill 5
ktap_run "and keeps what is written" vfu_mmap "$DIR/resource2" 4096 4096 check 5
if [ -e /sys/kernel/debug/x86/pat_memtype_list ]; then
	ktap_run "write-combining as well" vfu_mmap "$DIR/resource2_wc" 12288 4096 fill 6
else
	ktap_skip "write-combining as well" "a kernel with CONFIG_X86_PAT"
	vfu_mmap "$DIR/resource2" 12288 4096 fill 6
fi
ktap_status 1 "each page is its own" vfu_mmap "$DIR/resource2" 12288 4096 check 5
ktap_run "and this one that" vfu_mmap "$DIR/resource2" 12288 4096 check 6
ktap_status 4 "nothing behind the BAR" vfu_mmap "$DIR/resource2" 65536 4096 map

# reset
ktap_match "reset method" "$(cat "$DIR/reset_method")" flr
bars=$(bytes 16 24)
put ffc.l=1
ktap_run "reset" sh -c "echo 1 >'$DIR/reset'"
ktap_is "the server has done it" "$(get ffc.l)" 00000000
ktap_is "BARs are restored" "$(bytes 16 24)" "$bars"
ktap_is "the command register is" "$(($((16#$(get COMMAND.w))) & 2))" 2
ktap_run "direct pages still map" vfu_mmap "$DIR/resource2" 4096 4096 map
echo 0 >"$DIR/enable"

ktap_run "detach" detach "$BDF"
ktap_run "the device is gone" wait_for 10 pci_gone "$BDF"
ktap_end
