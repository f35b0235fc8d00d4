#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# vfiouserctl against wrong input, and "probe" against sound and broken servers. Needs no VM and no
# kernel module; each failure has to be one line on standard error and its own exit status.
#
# BUILD is the build directory (default: the tree's).

dir=$(cd "$(dirname "$0")/.." && pwd)
. "$dir/lib/ktap.sh"
. "$dir/lib/vfiouser.sh"

BUILD=${BUILD:-$dir/../build}
# Where an unprivileged user can run it, too.
chmod 755 "$WORK"
cp "$BUILD/helper/vfiouserctl" "$WORK/vfiouserctl" || ktap_bail "vfiouserctl is not built"
CTL=$WORK/vfiouserctl
SERVER=$BUILD/servers/vfiouser-nvme
[ -x "$SERVER" ] || ktap_bail "vfiouser-nvme is not built"
cd "$WORK" || exit 1

# fails STATUS NAME REGEX COMMAND...: passes where COMMAND exits with STATUS, prints nothing, and
# says one line with REGEX in it.
fails()
{
	local want=$1 name=$2 regex=$3 status=0 out

	shift 3
	out=$(timeout 60 "$@" 2>"$WORK/err" </dev/null) || status=$?
	if [ "$status" = "$want" ] && [ -z "$out" ] && [ "$(wc -l <"$WORK/err")" = 1 ] &&
	   grep -Eq "^vfiouserctl: .*($regex)" "$WORK/err"; then
		ktap_pass "$name"
	else
		ktap_log "$*: exit status $status, not $want; or not one line with '$regex':"
		ktap_log <"$WORK/err"
		[ -z "$out" ] || ktap_log "standard output: $out"
		ktap_fail "$name"
	fi
}

# What runs a command without any privilege.
NOBODY=()
[ "$(id -u)" != 0 ] ||
	NOBODY=(setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all)

# same_help COMMAND: --help, -h and "help COMMAND" are one text about COMMAND
same_help()
{
	"$CTL" "$1" --help >help.1 && "$CTL" "$1" -h >help.2 && "$CTL" help "$1" >help.3 &&
	cmp help.1 help.2 && cmp help.1 help.3 && grep -q "^Usage: vfiouserctl $1 " help.1
}

# broken FAULT STATUS NAME REGEX: probe of a server that misbehaves
broken()
{
	start_server --ram=16M --fault="$1"
	fails "$2" "$3" "$4" "$CTL" probe --timeout=500ms "$SOCKET"
	stop_server || ktap_log "the server does not end"
}

# The command line.
fails 2 "no command" 'no command' "$CTL"
fails 2 "unknown command" 'no command "frob"' "$CTL" frob
fails 2 "unknown option" 'unknown option --frob' "$CTL" probe --frob x
fails 2 "missing argument" 'one server address' "$CTL" probe
fails 2 "surplus argument" 'unexpected argument' "$CTL" list x
fails 2 "option without its value" 'needs a value' "$CTL" attach x --name
fails 2 "bad name" 'no name' "$CTL" attach --name=../x x
fails 2 "bad pool size" 'no pool size' "$CTL" attach --pool-size=many x
fails 2 "bad timeout" 'no timeout' "$CTL" attach --timeout=0 x
fails 2 "bad address" '' "$CTL" probe vsock:nonsense
for cmd in attach detach list probe; do
	ktap_run "help of $cmd" same_help "$cmd"
done
ktap_run "version" sh -c "'$CTL' --version | grep -Eq '^vfiouserctl [0-9]+\.[0-9]'"
fails 1 "standard output is full" 'cannot write' sh -c "exec '$CTL' --help >/dev/full"

# What is at the address.
fails 3 "no such socket" '/nonexistent.*(no such|server)' "$CTL" probe /nonexistent/x.sock
echo text >file
fails 4 "a regular file" 'file' "$CTL" probe file
fails 4 "a directory" '' "$CTL" probe "$WORK"
# A socket whose server was killed.
start_server --ram=16M
kill -KILL "$SERVER_PID"
wait "$SERVER_PID" 2>/dev/null
fails 5 "a socket nobody listens on" '' "$CTL" probe "$SOCKET"
start_server --ram=16M
chmod 600 "$SOCKET"
fails 6 "a socket one may not use" '' "${NOBODY[@]}" "$CTL" probe "$SOCKET"

# Sound servers.
chmod 666 "$SOCKET"
out=$("${NOBODY[@]}" "$CTL" probe "$SOCKET" 2>&1)
ktap_match "probe without root" "$out" 'Non-Volatile memory controller \[0108\]'
ktap_match "probe shows regions" "$out" '0 BAR0 .*16K rwm'
ktap_match "probe shows direct areas" "$out" 'direct 0x1000-0x1fff'
ktap_match "probe shows interrupts" "$out" '2 MSI-X .*eventfd'
ktap_match "probe shows capabilities" "$out" 'Capabilities: \[[0-9a-f]+\] MSI-X: Enable-'
ktap_match "probe takes a relative path" \
	"$("$CTL" probe "$(basename "$SOCKET")" 2>&1)" '^  vfio-user 0\.'
ktap_match "probe in hexadecimal" "$("$CTL" probe -v "$SOCKET" 2>&1)" '^ff0:( 00){16}$'
ktap_match "probe as JSON" \
	"$("$CTL" probe --json "$SOCKET" | tr -d ' \n')" '"class":"010802"'
stop_server
ktap_ok $? "the server ends"

# What the host will not see as the server shows it, in words.
# fate PROGRAM REGEX [OPTION...]
fate()
{
	local program=$1 regex=$2

	shift 2
	SERVER=$BUILD/servers/$program start_server "$@"
	ktap_match "probe: $* $regex" "$("$CTL" probe "$SOCKET" 2>&1)" "$regex"
	"$CTL" probe --json "$SOCKET" >fate.json
	ktap_run "probe: $* as JSON" "$dir/lib/check-json" probe fate.json
	stop_server
}
fate vfiouser-testdev '^  hidden: SR-IOV \(' --shape=host-caps
fate vfiouser-testdev '^  hidden: resizable BAR \(' --shape=host-caps
fate vfiouser-testdev '^  hidden: BAR 4, I/O ports \(' --shape=vga
fate vfiouser-testdev '^  hidden: VGA region \(' --shape=vga
fate vfiouser-testdev '^  changed: BAR 4, I/O ports \(' --shape=ports
fate vfiouser-testdev '^  refused: a bridge \(' --shape=bridge
fate vfiouser-testdev '^  refused: the class of a bridge \(' --class=060100
fate vfiouser-testdev '^  refused: an IDE controller' --class=01018a
fate vfiouser-virtio-blk '^  hidden: virtio shared memory \(' --looks=shm
fate vfiouser-virtio-blk '^  changed: VIRTIO_F_ACCESS_PLATFORM \(' --looks=transitional
fate vfiouser-virtio-blk '^  refused: a virtio device with the legacy' --looks=legacy

# Error replies of the type "command", as a server library has them.
start_server --ram=16M --fault=error-commands
out=$("$CTL" probe --timeout=2s "$SOCKET" 2>&1)
ktap_ok $? "probe of a server whose errors look like commands"
ktap_status '!0' "probe: and each is heard" grep -E 'no reply|not for us' <<<"$out"
stop_server

# Each kind of socket.
MAKE_SOCKET=$BUILD/tests/vfu_socket
[ -x "$MAKE_SOCKET" ] || ktap_bail "vfu_socket is not built"

# at NAME ADDRESS REGEX: probe through a socket of that kind says that
at()
{
	local pid status=0

	rm -f address
	"$MAKE_SOCKET" "$2" "$SERVER" --ram=16M >address 2>socket.err &
	pid=$!
	SERVER_PIDS="$SERVER_PIDS $pid"
	wait_for 20 sh -c "test -s address || ! kill -0 $pid"
	if [ ! -s address ]; then
		wait $pid || status=$?
		if [ $status = 3 ]; then
			ktap_skip "probe over $1" "this machine has no such sockets"
		else
			ktap_log <socket.err
			ktap_fail "probe over $1"
		fi
		return
	fi
	ktap_match "probe over $1" "$("$CTL" probe "$(cat address)" 2>&1)" "$3"
	stop_server $pid
}

passes='Descriptors: up to 8 a message'
none='Descriptors: not over this transport'
at "an abstract socket" "@vfiouser-cli-$$" "$passes"
at TCP tcp:127.0.0.1:0 "$none"
at "TCP over IPv6" "tcp:[::1]:0" "$none"
ktap_match "probe over an inherited socket" \
	"$("$MAKE_SOCKET" pair "$SERVER" --ram=16M -- "$CTL" probe fd:4 2>&1)" "$passes"
fails 3 "no such descriptor" 'no such descriptor' "$CTL" probe fd:77
fails 5 "TCP: nobody listens" 'nobody listens' "$CTL" probe "$(
	"$MAKE_SOCKET" tcp:127.0.0.1:0 true)"
fails 3 "a host that is not" 'no such host' "$CTL" probe tcp:a..b:1
fails 2 "a port that is not" 'not an address' "$CTL" probe tcp:127.0.0.1:http

# Broken servers.
broken close-on-connect 7 "a server that closes at once" 'clos'
broken version-major 8 "another major version" 'vfio-user 1\.'
broken garbage 9 "a server that answers rubbish" ''
broken bad-json 9 "version data that is no JSON" ''
broken close-after:2 7 "a server that closes later" 'clos'
broken hang-after:2 11 "a server that hangs" ''
broken error-after:2 10 "a server that answers with an error" ''
broken short-after:2 9 "an answer that is too short" ''
broken bad-region-size 9 "a region size that cannot be" ''

# The specification wants a description beside each server.
described()
{
	local program name status=0

	for program in "$BUILD"/servers/vfiouser-*; do
		name=$(basename "$program")
		case $name in
		# (what ends in vublk is a back end of vhost-user's)
		*-asan | *-fault | *-vublk) continue ;;
		esac
		grep -qs "\"binary\": \"/.*/$name\"" "$dir/servers/50-$name.json" \
			"$dir"/../servers/*/50-"$name.json" || status=1
	done
	return $status
}
ktap_run "each server has its description" described

# Root and the module.
fails 6 "attach without root" 'root' "${NOBODY[@]}" "$CTL" attach x.sock
if [ -e /dev/vfiouser ]; then
	ktap_skip "attach without the module" "the module is loaded"
	ktap_skip "list without the module" "the module is loaded"
	ktap_skip "detach without the module" "the module is loaded"
elif [ "$(id -u)" != 0 ]; then
	ktap_skip "attach without the module" "needs root"
	fails 12 "list without the module" 'modprobe vfiouser_pci' "$CTL" list
	fails 12 "detach without the module" 'modprobe vfiouser_pci' "$CTL" detach vfu0
else
	fails 12 "attach without the module" 'modprobe vfiouser_pci' "$CTL" attach x.sock
	fails 12 "list without the module" 'modprobe vfiouser_pci' "$CTL" list
	fails 12 "detach without the module" 'modprobe vfiouser_pci' "$CTL" detach vfu0
fi

ktap_end
