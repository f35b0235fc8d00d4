# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# What test scripts do with servers, devices and the kernel's log.
#
# A process is what costs most here, where each instruction is a program's (10 ms to begin and end one
# that does nothing): what is done again and again is done by the shell itself.
#
# Sourced after ktap.sh.  Owns the work directory WORK, which goes when the script ends, and the
# servers started through it, which are killed then.  The variables SERVER_PID, SOCKET and BDF are
# those of the last server and the last device; a script with several keeps copies.

WORK=$(mktemp -d /tmp/vfiouser.XXXXXX)
SERVER_PIDS=
SOCKETS=0

# A pipe in which nothing ever comes, to wait at.
exec {NEVER}<> <(:)

# nap SECONDS
nap()
{
	read -rt "$1" -u $NEVER || :
}

# Things to do when the script ends, last one first.
vu_cleanup()
{
	local pid

	for pid in $SERVER_PIDS; do
		kill -KILL "$pid" 2>/dev/null
	done
	rm -rf "$WORK"
}
trap vu_cleanup EXIT

# wait_for SECONDS COMMAND...: until COMMAND succeeds; fails when the time is over.  Kernels that are
# slower by VM_SCALE have so much more time.
wait_for()
{
	local end=$((SECONDS + $1 * ${VM_SCALE:-1}))

	shift
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $end ] || return 1
		nap 0.1
	done
}

# load_module [PARAM=VALUE...]
load_module()
{
	# No udev in the VM that would load a device's driver.
	modprobe -q nvme
	# Machines that run tests may be slow: a wait that ends too early is a lost device.
	modprobe vfiouser_pci atomic_timeout_ms=5000 "$@" || ktap_bail "modprobe vfiouser_pci failed"
	wait_for 10 test -c /dev/vfiouser || ktap_bail "no /dev/vfiouser after modprobe"
}

# start_server [OPTION...]: an NVMe controller on a new socket; sets SERVER_PID and SOCKET.
# SERVER names another program that takes --socket-path.
start_server()
{
	local program=${SERVER:-vfiouser-nvme}

	vu_name socket SOCKET
	vu_serve "$program" "$@"
}

# vu_name PREFIX VARIABLE: a name for a file that nobody has had, of the script's subshells neither
vu_name()
{
	SOCKETS=$((SOCKETS + 1))
	printf -v "$2" '%s/%s.%d.%d' "$WORK" "$1" "$BASHPID" "$SOCKETS"
}

# restart_server [OPTION...]: another one on the last one's socket; what is left of that goes first
restart_server()
{
	kill -KILL "$SERVER_PID" 2>/dev/null
	wait_for 10 vu_gone "$SERVER_PID"
	rm -f "$SOCKET"
	vu_serve "${SERVER:-vfiouser-nvme}" "$@"
}

# vu_serve PROGRAM [OPTION...]: on SOCKET; sets SERVER_PID
vu_serve()
{
	local program=$1

	shift
	# It looks at mapped doorbells a thousand times a second for as long as it is idle, which takes a sixth
	# of a CPU where each instruction is a program's.
	case $program in
	*vfiouser-nvme) set -- --poll-max-us="${POLL_MAX_US:-10000}" "$@" ;;
	esac
	# the program that is installed has no such option
	case "$program $*" in
	*vfiouser-nvme\ *--fault=*) program=$program-fault ;;
	esac
	"$program" --socket-path="$SOCKET" "$@" >"$SOCKET.log" 2>&1 &
	SERVER_PID=$!
	SERVER_PIDS="$SERVER_PIDS $SERVER_PID"
	if ! wait_for 60 vu_listens; then
		ktap_log <"$SOCKET.log"
		# where it has one behind it, see vhost.sh
		[ ! -e "$BACKEND.log" ] || vhost_log
		ktap_bail "$program $* makes no socket"
	fi
}

# vu_listens: is there the server's socket? WHILE_WAITING names what to do each time it is asked
vu_listens()
{
	${WHILE_WAITING:-:}
	test -S "$SOCKET"
}

# helper_pid: of the only device's helper, 0 without one
helper_pid()
{
	stat_of pid
}

# stat_of KEY [NAME]: a number that "vfiouserctl list --json" has of the device, as a counter; of the first one
# if there is no NAME
stat_of()
{
	local list key value name=

	list=$(vfiouserctl list --json)
	while read -r key value; do
		value=${value//[\",]/}
		if [ "$key" = '"name":' ]; then
			name=$value
		elif [ "$key" = "\"$1\":" ] && [ "${2:-$name}" = "$name" ]; then
			echo "$value"
			return
		fi
	done <<<"$list"
}

# device_state BDF: into STATE; nothing if there is no such device
device_state()
{
	local dir list address

	for dir in /sys/class/vfiouser/*; do
		{ read -r address <"$dir/address" && read -r STATE <"$dir/state"; } 2>/dev/null || continue
		[ "$address" != "$1" ] || return 0
	done
	# one that has been taken out has its address in there only
	list=$(vfiouserctl list)
	while read -r _ address STATE _; do
		[ "$address" != "$1" ] || return 0
	done <<<"$list"
	STATE=
}

# state_is BDF STATE
state_is()
{
	local STATE

	device_state "$1"
	[ "$STATE" = "$2" ]
}

# other_helper PID: the device is live, and served by another process than PID
other_helper()
{
	local now

	now=$(helper_pid)
	state_is "$BDF" live && [ -n "$now" ] && [ "$now" != 0 ] && [ "$now" != "$1" ]
}

# stop_server [PID]: asks it with SIGTERM, as an administrator would; fails if it does not go.
stop_server()
{
	local pid=${1:-$SERVER_PID}

	kill -TERM "$pid" 2>/dev/null
	wait_for 10 vu_gone "$pid"
}

# vu_gone PID: no such process, or only its zombie
vu_gone()
{
	local stat

	{ read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 0
	# behind the name, in which there may be anything
	case ${stat##*) } in
	''|Z*|X*) return 0 ;;
	*) return 1 ;;
	esac
}

# attach [OPTION...] SOCKET: sets BDF and ATTACH_OUT; returns vfiouserctl's status. The pool is a sixteenth of
# what it is by default, which it is where POOL=default: where each instruction is a program's, to clear and
# to pin the rest is more than a third of what attach costs.
attach()
{
	local status=0 pool=--pool-size=4M

	case "${POOL:-} $*" in
	default*|*' --pool-size='*|*' --dma='*) pool= ;;
	esac
	BDF=
	# shellcheck disable=SC2086	# none or one
	ATTACH_OUT=$(vfiouserctl attach $pool "$@" 2>"$WORK/attach.err" </dev/null) || status=$?
	if [ $status != 0 ]; then
		ktap_log <"$WORK/attach.err"
		return $status
	fi
	[[ $ATTACH_OUT =~ [0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7] ]] && BDF=${BASH_REMATCH[0]}
}

# detach [OPTION...] [DEVICE]: without DEVICE the last one attached; returns vfiouserctl's status.
detach()
{
	case $#:${*: -1} in
	0:*|*:-*) set -- "$@" "$BDF" ;;
	esac
	vfiouserctl detach "$@"
}

# pci_gone BDF
pci_gone()
{
	[ ! -e "/sys/bus/pci/devices/$1" ]
}

# driver_of BDF
driver_of()
{
	local driver

	driver=$(readlink "/sys/bus/pci/devices/$1/driver")
	echo "${driver##*/}"
}

# disk_of BDF: waits for the NVMe controller's first namespace and prints its device node.
disk_of()
{
	[ -n "$1" ] || return 1
	wait_for "${DISK_TIMEOUT:-60}" vu_disk "$1" || return 1
	vu_disk "$1"
}

vu_disk()
{
	local dir name size

	for dir in "/sys/bus/pci/devices/$1"/nvme/nvme*/nvme*n*; do
		name=${dir##*/}
		# the hidden path device of a multipath namespace has no node
		if [ -b "/dev/$name" ] && read -r size <"/sys/block/$name/size" && [ "$size" != 0 ]; then
			echo "/dev/$name"
			return 0
		fi
	done
	return 1
}

# processes: names of the kernel threads and programs that run, one a line, without workers, which
# the kernel starts and ends as it likes, without what loads drivers for events, and without this
# script and the commands that it runs; its servers are in.
processes()
{
	cat /proc/[0-9]*/stat 2>/dev/null | awk -v self=$$ -v servers="$SERVER_PIDS" \
		-v uevent="$(cat /run/uevent.pid 2>/dev/null)" '
	{
		pid = $1
		open = index($0, "(")
		for (end = length($0); substr($0, end, 1) != ")"; end--)
			;
		name[pid] = substr($0, open + 1, end - open - 1)
		split(substr($0, end + 2), rest, " ")
		parent[pid] = rest[2]
	}
	END {
		split(servers, list, " ")
		for (i in list)
			server[list[i]] = 1
		for (pid in name) {
			if (name[pid] ~ /^kworker\/(u?[0-9])/ || parent[pid] == uevent)
				continue
			for (up = pid; up in parent && up != self && !(up in server); )
				up = parent[up]
			if (up != self)
				print name[pid]
		}
	}' | sort
}

# state_mark NAME: remember what must be the same again at state_check NAME.  Drivers keep threads and
# workqueues from their first device on: a test that attaches marks after one round.
state_mark()
{
	vu_state >"$WORK/state.$1"
}

# state_check NAME TEST-NAME: passes where no device, process, kernel thread, file in /dev/shm or
# interrupt more or less is there than at state_mark NAME; what takes a moment to go gets 10 s.
state_check()
{
	if wait_for 10 vu_same_state "$1"; then
		ktap_pass "$2"
	else
		vu_state | diff "$WORK/state.$1" - | ktap_log
		ktap_fail "$2"
	fi
}

vu_same_state()
{
	vu_state | cmp -s "$WORK/state.$1" -
}

vu_state()
{
	echo "pci:"
	ls /sys/bus/pci/devices
	echo "block:"
	(cd /sys/block && find . -name '[!l]*' | sort)
	echo "processes:"
	processes
	echo "shm:"
	ls /dev/shm 2>/dev/null
	echo "interrupts:"
	awk '$1 ~ /^[0-9]+:$/ { print $1 }' /proc/interrupts
	echo "iomem:"
	grep -i vfiouser /proc/iomem
	echo "vmallocinfo:"
	grep -c vfiouser /proc/vmallocinfo
	return 0
}

# dmesg_mark: forget what is in the kernel's log so far.
dmesg_mark()
{
	DMESG_MARK=$(dmesg | wc -l)
}

# dmesg_since: the kernel's log since the mark
dmesg_since()
{
	dmesg | tail -n +$((${DMESG_MARK:-0} + 1))
}

# dmesg_check NAME REGEX: passes where the extended regular expression is in the log since the mark.
dmesg_check()
{
	ktap_match "$1" "$(dmesg_since)" "$2"
}

# dmesg_allow REGEX: the runner, which calls a test failed where the kernel's log has a warning,
# passes over lines that match.  For what a test provokes on purpose, as narrow as possible.
dmesg_allow()
{
	echo "# dmesg-allow: $1"
}

# refused STATUS NAME REGEX COMMAND...: vfiouserctl fails with one line and prints nothing else
refused()
{
	local want=$1 name=$2 regex=$3 status=0

	shift 3
	timeout 60 "$@" >"$WORK/out" 2>"$WORK/err" </dev/null || status=$?
	if [ "$status" = "$want" ] && [ ! -s "$WORK/out" ] && [ "$(wc -l <"$WORK/err")" = 1 ] &&
	   grep -Eq "^vfiouserctl: .*($regex)" "$WORK/err"; then
		ktap_pass "$name"
	else
		ktap_log "$*: exit status $status, not $want; or not one line with '$regex':"
		ktap_log <"$WORK/err"
		ktap_fail "$name"
	fi
}
