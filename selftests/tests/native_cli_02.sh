#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# vfiouserctl without a VM: what its help teaches, completion, recordings and their replay, the
# dissector for Wireshark, JSON of "probe", fault rules. Needs no kernel module.
#
# BUILD is the build directory (default: the tree's).

dir=$(cd "$(dirname "$0")/.." && pwd)
. "$dir/lib/ktap.sh"
. "$dir/lib/vfiouser.sh"

BUILD=$(realpath "${BUILD:-$dir/../build}")
top=$(dirname "$dir")
CTL=$WORK/vfiouserctl
cp "$BUILD/helper/vfiouserctl" "$CTL" || ktap_bail "vfiouserctl is not built"
PATH=$WORK:$BUILD/servers:$PATH
cd "$WORK" || exit 1
commands=$("$CTL" --help | sed -nE '/^Commands:/,/^$/s/^  ([a-z]+) .*/\1/p')

# ---- help ----

for cmd in $commands; do
	"$CTL" "$cmd" --help >help
	missing=
	for part in "^Usage: vfiouserctl $cmd " '^Options:$|\[--json\]|^  -h' '^Examples?:$' "vfiouserctl $cmd" \
		    '^ +-h, --help +this text$'; do
		grep -Eq -- "$part" help || missing="$missing '$part'"
	done
	ktap_is "help of $cmd: options and examples" "$missing" ""
	ktap_is "help of $cmd: fits a terminal" "$(awk 'length > 100' help)" ""
	# Each option that is told of is one, and each command that prints says what as JSON.
	wrong=
	for option in $(sed -nE 's/^ +(-[A-Za-z], )?(--[a-z-]+).*/\2/p' help); do
		out=$("$CTL" "$cmd" "$option" --help 2>&1 </dev/null)
		case $out in
		*"unknown option"*) wrong="$wrong $option" ;;
		esac
	done
	ktap_is "help of $cmd: its options exist" "$wrong" ""
	ktap_run "manual has $cmd" grep -qx "$cmd" "$top/Documentation/man/vfiouserctl.8.rst"
	wrong=
	for option in $(sed -nE 's/^ +(-[A-Za-z], )?(--[a-z-]+).*/\2/p' help); do
		grep -q -- "$option" "$top/Documentation/man/vfiouserctl.8.rst" || wrong="$wrong $option"
	done
	ktap_is "manual has the options of $cmd" "${wrong/ --help/}" ""
done
# Exit statuses are an interface: each is in the manual.
wrong=
for status in $(sed -nE 's/^\tST_[A-Z_]+ *= ([0-9]+),.*/\1/p' "$top/helper/status.h"); do
	sed -n '/^EXIT STATUS/,/^THE HELPER/p' "$top/Documentation/man/vfiouserctl.8.rst" |
		grep -qx "$status" || wrong="$wrong $status"
done
ktap_is "manual has the exit statuses" "$wrong" ""

# ---- completion ----

# complete WORD...: what bash offers for the last word
complete_bash()
{
	bash --norc -c '
		. "$1"
		shift
		COMP_WORDS=("$@")
		COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
		_vfiouserctl
		printf "%s\n" "${COMPREPLY[@]}"' bash "$top/completions/vfiouserctl.bash" "$@" | sort | paste -sd' '
}

complete_zsh()
{
	zsh -f -c '
		compadd() { while [[ $1 != -- ]]; do shift; done; shift; print -l -- "$@" }
		_files() { print -l files }
		compset() { }
		file=$1
		shift
		words=("$@")
		CURRENT=$#words
		functions[go]=$(<$file)
		go' zsh "$top/completions/_vfiouserctl" "$@" | sort | paste -sd' '
}

all=$(printf '%s\n' $commands help --help --version | LC_ALL=C sort | paste -sd' ')
ktap_is "bash: commands" "$(complete_bash "$CTL" '' | tr ' ' '\n' | LC_ALL=C sort | paste -sd' ')" "$all"
ktap_is "bash: a command" "$(complete_bash "$CTL" det)" "detach"
ktap_is "bash: options" "$(complete_bash "$CTL" detach --)" "--force --help --timeout= --verbose"
ktap_is "bash: an option with a value" "$(complete_bash "$CTL" attach --inj)" "--inject="
touch recording.pcapng
ktap_is "bash: a file for an option" "$(complete_bash "$CTL" attach --record = rec)" "recording.pcapng"
ktap_is "bash: faults" "$(complete_bash "$CTL" attach --inject = d)" "delay: drop:"
ktap_is "bash: types of --vhost" "$(complete_bash "$CTL" attach --vhost = s)" "scsi: sound:"
# Devices are root's business and need the module: as the program would list them.
mkdir fake
cat >fake/vfiouserctl <<'END'
#!/bin/sh
[ "$1" != list ] || printf '{\n  "devices": [\n    {\n      "name": "disk1",\n      "socket": "/run/s",\n      "bdf": "5f000:00:00.0"\n    }\n  ]\n}\n'
END
chmod +x fake/vfiouserctl
ktap_is "bash: a device" "$(complete_bash fake/vfiouserctl detach d)" "disk1"
ktap_is "bash: a socket" "$(complete_bash fake/vfiouserctl show /r)" "/run/s"
if command -v zsh >/dev/null; then
	ktap_run "zsh: syntax" zsh -n "$top/completions/_vfiouserctl"
	ktap_is "zsh: commands" "$(complete_zsh "$CTL" '' | tr ' ' '\n' | LC_ALL=C sort | paste -sd' ')" "$all"
	ktap_is "zsh: options" "$(complete_zsh "$CTL" detach --)" "--force --help --timeout= --verbose"
	ktap_is "zsh: types of --vhost" "$(complete_zsh "$CTL" attach --vhost=)" \
		"blk console fs net rng scsi sound"
	ktap_match "zsh: devices" "$(complete_zsh fake/vfiouserctl detach '')" '\bdisk1\b'
else
	ktap_fail "zsh: it is not installed: run scripts/install-deps"
fi

# ---- recordings ----

start_server --ram=16M
first=$SOCKET
"$CTL" probe --json --record=probe.pcapng "$SOCKET" >probe.json
ktap_ok $? "probe --record"
ktap_run "schema: probe" "$dir/lib/check-json" probe probe.json
"$CTL" replay --json probe.pcapng "$SOCKET" >replay.json
ktap_ok $? "the same server answers the same"
ktap_run "schema: replay" "$dir/lib/check-json" replay replay.json
start_server --ram=16M
ktap_status 0 "so does another one like it" "$CTL" replay probe.pcapng "$SOCKET"
ktap_match "and all was compared" "$KTAP_OUT" '^1[0-9]{3} messages sent, 1[0-9]{3} answers the same, 0 different'
SERVER=vfiouser-testdev start_server
ktap_status 22 "another device answers otherwise" "$CTL" replay --retry=0 probe.pcapng "$SOCKET"
ktap_match "a difference is told of" "$KTAP_OUT" \
	'^vfiouserctl: message [0-9]+, read of 4 bytes of config at 0x0: [0-9a-f ]+ instead of [0-9a-f ]+$'
ktap_match "and counted" "$KTAP_OUT" '^vfiouserctl: [0-9]+ of [0-9]+ answers differ from the recording$'
start_server --ram=16M --fault=hang-after:5
ktap_status 11 "a server that hangs" "$CTL" replay --timeout=500ms probe.pcapng "$SOCKET"
start_server --ram=16M --fault=close-after:5
ktap_status 7 "a server that closes" "$CTL" replay probe.pcapng "$SOCKET"
# Recordings that are none, or broken.
echo text >text
ktap_status 1 "replay of a text" "$CTL" replay text "$first"
ktap_status 1 "replay of nothing" "$CTL" replay nonexistent "$first"
ktap_status 1 "replay of a directory" "$CTL" replay . "$first"
head -c 5000 probe.pcapng >cut.pcapng
ktap_status 0 "replay of a recording whose end is missing" "$CTL" replay cut.pcapng "$first"
bad=0
for at in 4 8 28 32 100 104 108 112 116 120 124 128 132 140 148 152; do
	for byte in '\000' '\001' '\377'; do
		cp cut.pcapng bad.pcapng
		printf "$byte" | dd of=bad.pcapng bs=1 seek=$at conv=notrunc 2>/dev/null
		timeout 20 "$CTL" replay --timeout=300ms bad.pcapng "$first" >/dev/null 2>&1
		[ $? -lt 100 ] || bad=$((bad + 1))
	done
done
ktap_is "broken recordings end in no crash and no hang" $bad 0
ktap_status 1 "record where one cannot" "$CTL" probe --record=/nonexistent/x "$first"

# ---- Wireshark ----

# shark [ARG...]: what tshark says about the recording
shark()
{
	HOME=$WORK tshark -X "lua_script:$top/contrib/wireshark/vfio-user.lua" -r probe.pcapng "$@" 2>/dev/null
}
if command -v tshark >/dev/null; then
	shark >shark
	ktap_is "tshark: each message" "$(wc -l <shark)" \
		"$(($(sed -nE 's/.*"sent": ([0-9]+).*/\1/p' replay.json) * 2))"
	ktap_match "tshark: the first" "$(head -n 1 shark)" 'client .* server +vfio-user [0-9]+ VERSION 0\.1$'
	ktap_match "tshark: a reply" "$(cat shark)" 'server .* client +vfio-user [0-9]+ REGION_READ reply config at 0x0, 4 bytes: 0x[0-9a-f]{8}$'
	ktap_match "tshark: a descriptor" "$(cat shark)" 'DEVICE_GET_REGION_INFO reply BAR0, 16384 bytes, 1 descriptors$'
	ktap_is "tshark: fields to filter by" "$(shark -Y 'vfio_user.cmd == 4 && vfio_user.type == 1' -T fields -e vfio_user.num_regions)" 9
	ktap_is "tshark: nothing malformed" "$(shark -Y '_ws.malformed || vfio_user.short || _ws.lua.error')" ""
	ktap_is "tshark: sender" "$(shark -c 2 -T fields -e vfio_user.sender | paste -sd' ')" "0 1"
else
	ktap_fail "tshark: it is not installed: run scripts/install-deps"
fi

# ---- faults ----

for rule in delay drop: error:EFOO error delay:1:2 drop:0.1@bar9 drop@reset/bar0 seed:0 'drop,' delay:x \
	    drop:-1 error:0 error:5000 drop:nan; do
	ktap_status 2 "no fault: $rule" "$CTL" attach --inject="$rule" x
done
for rule in delay:10 delay:0:0.5@read drop:10% error:EIO@read/bar0 error:5:1e-3@config seed:7,drop:0 \
	    error:enomem@write/BAR5 drop@all; do
	"$CTL" attach --inject="$rule" /nonexistent/socket >out 2>&1 </dev/null
	[ $? != 2 ]
	ktap_ok $? "a fault: $rule"
done

ktap_end
