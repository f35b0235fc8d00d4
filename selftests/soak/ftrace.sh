#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# TIMEOUT: 1200
# VM: own
#
# Others on the functions that the module hooks, before it and after it: kprobes, kretprobes, handlers of
# ftrace, BPF programs. Accesses stay right, and both can go in either order. Who wants to send a call
# elsewhere, as a live patch, can only be one: whoever comes second is refused, with the reason.

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/vfiouser.sh"
. "$(dirname "$0")/../lib/testdev.sh"

HITS=/sys/module/vfu_hook/parameters/hits

# right: what drivers and processes do with the device arrives
right()
{
	echo widths >"$VFT/run" && grep -q '^ok' "$VFT/result" && ! grep '^not ok' "$VFT/result" &&
		[ "$(setpci -s "$BDF" 0.l 8.b 2c.w | paste -sd' ')" = "7e57fffe 42 fffd" ]
}

# anew: the driver maps its registers again, and uses them
anew()
{
	echo "$BDF" >/sys/bus/pci/drivers/vfu_test/unbind &&
		echo "$BDF" >/sys/bus/pci/drivers/vfu_test/bind && right
}

# gone: the device, and the modules
gone()
{
	detach "$BDF" && wait_for 10 pci_gone "$BDF" && rmmod vfu_test && rmmod vfiouser_pci
}

hook()
{
	modprobe vfu_hook kind="$1" func="$2"
}

SERVER=vfiouser-testdev start_server
modprobe -q nvme

# first KIND FUNCTION: who watches is there before us, and goes before us
first()
{
	local hits

	ktap_run "$1 of $2, then we: it is there" hook "$1" "$2"
	modprobe vfiouser_pci atomic_timeout_ms=5000 && modprobe vfu_test && attach "$SOCKET"
	ktap_ok $? "$1 of $2, then we: a device" || return
	ktap_run "$1 of $2, then we: accesses" anew
	hits=$(cat $HITS)
	[ "$hits" -gt 0 ]
	ktap_ok $? "$1 of $2, then we: it sees calls ($hits)"
	ktap_run "$1 of $2, then we: it goes" rmmod vfu_hook
	ktap_run "$1 of $2, then we: accesses after it" anew
	gone
	ktap_ok $? "$1 of $2, then we: we go"
}

# second KIND FUNCTION: it comes when a driver is at work, and goes after us
second()
{
	modprobe vfiouser_pci atomic_timeout_ms=5000 && modprobe vfu_test && attach "$SOCKET"
	ktap_ok $? "we, then $1 of $2: a device" || return
	ktap_run "we, then $1 of $2: it is there" hook "$1" "$2"
	ktap_run "we, then $1 of $2: accesses" anew
	gone
	ktap_ok $? "we, then $1 of $2: we go"
	ktap_run "we, then $1 of $2: it goes" rmmod vfu_hook
}

first kprobe ioremap
first kretprobe ioremap
first ftrace pci_user_read_config_dword
second kprobe pci_user_read_config_dword
second kretprobe iounmap
second ftrace fixup_exception

# rival NAME FUNCTION ON OFF [blind]: who can send calls elsewhere; the commands that bring it and take it away;
# and that one who comes second may be let in, and see nothing
rival()
{
	dmesg_mark
	ktap_run "$1, then we: it is there" eval "$3"
	ktap_status '!0' "$1, then we: refused" modprobe vfiouser_pci
	dmesg_check "$1, then we: and why" "vfiouser_pci: cannot hook $2\(\): error -16"
	ktap_run "$1, then we: it goes" eval "$4"
	modprobe vfiouser_pci atomic_timeout_ms=5000 && modprobe vfu_test && attach "$SOCKET"
	ktap_ok $? "we, then $1: a device" || return
	if [ -z "${5:-}" ]; then
		ktap_status '!0' "we, then $1: refused" eval "$3"
	elif eval "$3"; then
		# there is a probe, and it is never called
		anew && [ "$(cat $HITS)" = 0 ] && eval "$4"
		ktap_ok $? "we, then $1: it sees nothing"
	else
		ktap_pass "we, then $1: refused"
	fi
	ktap_run "we, then $1: accesses" anew
	gone
	ktap_ok $? "we, then $1: we go"
}
rival "another handler that sends calls elsewhere" ioremap_wc "hook ipmodify ioremap_wc" "rmmod vfu_hook"
# (newer kernels' register_kprobe() keeps the error to itself)
rival "a kprobe with a handler behind" iounmap "hook kprobe-post iounmap" "rmmod vfu_hook" blind

# unpatch: no task is in it any more, and it is unloaded
unpatched()
{
	[ ! -e /sys/kernel/livepatch/vfu_patch ]
}

unpatch()
{
	echo 0 >/sys/kernel/livepatch/vfu_patch/enabled && wait_for 60 unpatched && rmmod vfu_patch
}

if modinfo vfu_patch >/dev/null 2>&1; then
	rival "a live patch" ioremap_wt "modprobe vfu_patch" unpatch
else
	ktap_skip "a live patch" "a kernel with CONFIG_LIVEPATCH"
fi

# BPF, by which tracing tools do it today, under a driver at work
if vfu_fentry fentry ioremap true 2>"$WORK/out"; then
	modprobe vfiouser_pci atomic_timeout_ms=5000 && modprobe vfu_test && attach "$SOCKET"
	for kind in fentry fexit; do
		for function in ioremap fixup_exception pci_user_read_config_dword; do
			# the kernel may say that it cannot be; then nothing has changed
			vfu_fentry $kind $function sh -c "echo $BDF >/sys/bus/pci/drivers/vfu_test/unbind &&
				echo $BDF >/sys/bus/pci/drivers/vfu_test/bind && echo widths >$VFT/run &&
				! grep '^not ok' $VFT/result && [ \"\$(setpci -s $BDF 0.l)\" = 7e57fffe ]" \
				>"$WORK/out" 2>&1
			status=$?
			ktap_log "we, then $kind of $function: status $status $(cat "$WORK/out")"
			[ $status = 0 ] || [ $status = 126 ]
			ktap_ok $? "we, then $kind of $function: accesses"
			ktap_run "we, then $kind of $function: accesses after it" anew
		done
	done
	gone
	ktap_ok $? "we, then BPF: we go"
	for kind in fentry fexit; do
		dmesg_mark
		vfu_fentry $kind ioremap modprobe vfiouser_pci atomic_timeout_ms=5000 >"$WORK/out" 2>&1
		status=$?
		if [ $status = 126 ]; then
			ktap_skip "$kind, then we" "a kernel that lets it be: $(cat "$WORK/out")"
		elif [ $status = 0 ]; then
			ktap_pass "$kind, then we: the module loads"
		else
			dmesg_check "$kind, then we: refused, and why" 'vfiouser_pci: cannot hook ioremap\(\)'
		fi
		[ $status = 0 ] || modprobe vfiouser_pci atomic_timeout_ms=5000
		modprobe vfu_test && attach "$SOCKET" && right
		ktap_ok $? "$kind, then we: accesses after it"
		gone
		ktap_ok $? "$kind, then we: we go"
	done
else
	ktap_skip "BPF programs" "a kernel with them and its type information: $(cat "$WORK/out")"
fi
ktap_end
