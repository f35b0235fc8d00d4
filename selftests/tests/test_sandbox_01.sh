#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# What a helper that serves may still do, asked of the kernel while it serves; and that it says who
# could take its server's place.  That calls outside the list are refused: helper_proc.

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/vfiouser.sh"

status_of()
{
	sed -n "s/^$1:[ \t]*//p" "/proc/$helper/status"
}

ktap_plan 31
load_module
start_server --ram=16M
attach "$SOCKET"
ktap_ok $? "attach"
ktap_is "no word about a socket of ours" "$(grep -c 'user' "$WORK/attach.err")" 0
helper=$(vfiouserctl list --json | grep -Eo '"pid": *[0-9]+' | grep -Eo '[0-9]+' | head -n 1)
# it serves, so set-up is over
disk_of "$BDF" >/dev/null
ktap_ok $? "it serves"
ktap_is "system calls are filtered" "$(status_of Seccomp)" 2
ktap_is "no new privileges" "$(status_of NoNewPrivs)" 1
for set in CapEff CapPrm CapInh CapAmb CapBnd; do
	ktap_is "$set is empty" "$(status_of $set)" 0000000000000000
done
ktap_match "it is a user of its own" "$(status_of Uid)" '^(187|188)[0-9]{7}\b'
ktap_match "it sees no files" "$(readlink "/proc/$helper/root")" "^/proc/$helper/fdinfo$"
ktap_is "it reads from no terminal" "$(readlink "/proc/$helper/fd/0")" /dev/null
ktap_is "it writes to none" "$(readlink "/proc/$helper/fd/1")" /dev/null
detach
ktap_ok $? "detach"

# sockets that others can take over
chmod 777 "$SOCKET"
attach "$SOCKET"
ktap_match "a socket that is open to all" "$(cat "$WORK/attach.err")" 'every user may connect'
detach
chmod 700 "$SOCKET"
chmod 777 "$WORK"
attach "$SOCKET"
ktap_match "a directory that is" "$(cat "$WORK/attach.err")" 'every user may replace'
detach
chmod 700 "$WORK"

# and who may ask
ktap_status '!0' "attach without privileges" setpriv --reuid=65534 --clear-groups \
	vfiouserctl attach "$SOCKET"

# The network's administrator is not the host's.
attach --name=asked "$SOCKET"
ktap_ok $? "attach"
net_admin=(setpriv --bounding-set=-sys_admin --inh-caps=-sys_admin timeout 20 vfiouserctl)
for what in "list --json" "show asked" "events --count=1" "detach asked"; do
	# shellcheck disable=SC2086
	ktap_status '!0' "$what without CAP_SYS_ADMIN" "${net_admin[@]}" $what
done
nobody=(setpriv --reuid=65534 --clear-groups)
ktap_run "list without privileges" "${nobody[@]}" vfiouserctl list
ktap_match "list without privileges: what anyone may know" "$KTAP_OUT" \
	"^asked +$BDF +live +nvme +nvme[0-9]+n1 +- +-\$"
ktap_is "list without privileges: as root's, but for process and socket" \
	"$(awk '{ print $1, $2, $3, $4, $5 }' <<<"$KTAP_OUT")" \
	"$(vfiouserctl list | awk '{ print $1, $2, $3, $4, $5 }')"
ktap_status 6 "list --json without privileges" "${nobody[@]}" vfiouserctl list --json
ktap_match "list --json without privileges: is told" "$KTAP_OUT" "as JSON needs root"
ktap_is "anyone sees its state" "$(setpriv --reuid=65534 --clear-groups \
	cat /sys/class/vfiouser/asked/state)" live
ktap_is "and its address" "$(setpriv --reuid=65534 --clear-groups \
	cat /sys/class/vfiouser/asked/address)" "$BDF"
detach
ktap_is "/dev/vfiouser is root's" "$(stat -c '%u:%g %a' /dev/vfiouser)" '0:0 600'
ktap_end
