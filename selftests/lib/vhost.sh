# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# Devices of vhost-user back ends: the back end's process, vfiouser-vhost in front of it, and the
# disk, mount or network card that comes of the two.
#
# Sourced after vfiouser.sh. BACKEND_PID and BACKEND are the last back end's process and socket.

# vhost_drivers: what udev would load
vhost_drivers()
{
	modprobe -q virtio_pci
	modprobe -qa virtio_blk virtio_net virtiofs ext4 2>/dev/null
	:
}

# vhost_backend COMMAND...: runs it; @ in it stands for the socket, which is waited for
vhost_backend()
{
	BACKEND=$BACKEND_SOCKET
	[ -n "$BACKEND" ] || vu_name backend BACKEND
	rm -f "$BACKEND"
	"${@//@/$BACKEND}" >"$BACKEND.log" 2>&1 &
	BACKEND_PID=$!
	SERVER_PIDS="$SERVER_PIDS $BACKEND_PID"
	wait_for 20 test -S "$BACKEND" && return 0
	ktap_log <"$BACKEND.log"
	ktap_bail "$1 makes no socket"
}

# vhost_log: what the back end has said, and whether it is there
vhost_log()
{
	if vu_gone "$BACKEND_PID"; then
		echo "the back end has ended:"
	else
		echo "the back end (process $BACKEND_PID) is there:"
	fi | cat - "$BACKEND.log" | ktap_log
}

# vhost_again COMMAND...: the same back end once more, on the same socket
vhost_again()
{
	BACKEND_SOCKET=$BACKEND vhost_backend "$@"
}

# vhost_kill: the back end's process ends at once
vhost_kill()
{
	kill -KILL "$BACKEND_PID"
	wait_for 10 vu_gone "$BACKEND_PID"
}

# qsd IMAGE QUEUES [EXPORT-OPTION,...]: the command line of a storage daemon
qsd()
{
	QSD=(qemu-storage-daemon
	     --blockdev "driver=file,node-name=f,filename=$1"
	     --export "type=vhost-user-blk,id=e,node-name=f,writable=on,addr.type=unix,addr.path=@,num-queues=$2${3:+,$3}")
}

# qsd_supervise: start a storage daemon again that ended by its own assertion, as a supervisor would
#
# One whose front end is killed with requests in flight waits for them (wait_idle), and ends itself
# if the driver, which lives on here, adds one meanwhile. That it ends otherwise is for who waits.
qsd_supervise()
{
	if ! vu_gone "$BACKEND_PID" || ! grep -q 'Assertion.*wait_idle' "$BACKEND.log"; then
		return 0
	fi
	ktap_log <"$BACKEND.log"
	vhost_again "${QSD[@]}"
}

# vhost_front TYPE [OPTION...]: vfiouser-vhost for the last back end
vhost_front()
{
	local type=$1

	shift
	SERVER=vfiouser-vhost start_server --type="$type" --vhost-socket="$BACKEND" --verbose "$@"
}

# vhost_standby: the process that goes on where vfiouser-vhost is killed; fails where there is none now
vhost_standby()
{
	local pid

	pid=$(cat "/proc/$SERVER_PID/task/$SERVER_PID/children") && [ -n "$pid" ] && echo "${pid%% *}"
}

# vhost_settled: one that stays: it is another one after each event that changes something
vhost_settled()
{
	next=$(vhost_standby) || return 1
	nap 0.3
	[ "$(vhost_standby)" = "$next" ]
}

# vhost_front_kill: kills vfiouser-vhost, and the process that goes on in its place is SERVER_PID
vhost_front_kill()
{
	local next

	wait_for 10 vhost_settled || return 1
	kill -KILL "$SERVER_PID"
	wait_for 10 grep -q "process $SERVER_PID has ended: going on in its place" "$SOCKET.log" || return 1
	SERVER_PID=$next
	SERVER_PIDS="$SERVER_PIDS $next"
	# the helper hears of it, and tells the kernel whose end matters now
	wait_for 10 vhost_served
}

vhost_served()
{
	vfiouserctl show --json "$BDF" | grep -qw "\"server_pid\": *$SERVER_PID"
}

# vdisk_of BDF: waits for the disk of a virtio_blk device and prints its node
vdisk_of()
{
	wait_for "${DISK_TIMEOUT:-60}" vhost_disk "$1" || return 1
	vhost_disk "$1"
}

vhost_disk()
{
	local dir

	for dir in "/sys/bus/pci/devices/$1"/virtio*/block/*; do
		[ -b "/dev/${dir##*/}" ] && echo "/dev/${dir##*/}" && return 0
	done
	return 1
}

# vhost_irqs: interrupts of the last device's request queues
vhost_irqs()
{
	local dev

	dev=$(basename "$(echo "/sys/bus/pci/devices/$BDF"/virtio*)")
	awk -v want="$dev-req" '$NF ~ "^" want { for (i = 2; i < NF; i++) if ($i ~ /^[0-9]+$/) n += $i }
		END { print n + 0 }' /proc/interrupts
}

# switches PID: how often its threads were put on a CPU
switches()
{
	awk '/^nr_switches/ { n += $3 } END { print n + 0 }' "/proc/$1"/task/*/sched
}
