# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# Tests that run in the kernel: the module vfu_test (../modules) on vfiouser-testdev.
#
# Sourced after vfiouser.sh. A case of the module becomes one result for each check in it.

VFT=/sys/kernel/debug/vfu_test

# testdev_attach [OPTION...]: a test device with the server's OPTIONs and vfu_test bound to it, attached
# with the options in ATTACH_OPTIONS; sets BDF
testdev_attach()
{
	load_module
	modprobe vfu_test || ktap_bail "modprobe vfu_test failed"
	SERVER=vfiouser-testdev start_server "$@"
	# shellcheck disable=SC2086
	attach $ATTACH_OPTIONS "$SOCKET" || ktap_bail "cannot attach the test device"
	[ "$(driver_of "$BDF")" = vfu_test ] || ktap_bail "vfu_test is not bound to $BDF"
}

# testdev_case NAME [NUMBER]: runs a case and reports its results
testdev_case()
{
	local line any=0

	if ! echo "$*" 2>/dev/null >"$VFT/run"; then
		ktap_fail "$*: does not run"
		return 1
	fi
	while read -r line; do
		case $line in
		'ok '*'# SKIP '*)
			line=${line#ok }
			ktap_skip "$1: ${line%% # SKIP *}" "${line#*# SKIP }"
			any=1
			;;
		'ok '*)
			ktap_pass "$1: ${line#ok }"
			any=1
			;;
		'not ok '*)
			ktap_fail "$1: ${line#not ok }"
			any=1
			;;
		*)
			ktap_log "${line#\# }"
			;;
		esac
	done <"$VFT/result"
	[ $any = 1 ] || ktap_fail "$1: no result"
}

# testdev_detach: the device goes, and nothing in the kernel's log is about its loss
testdev_detach()
{
	if dmesg | grep -q 'vfiouser.*lost:'; then
		dmesg | grep 'vfiouser.*\(no answer\|lost\):' | ktap_log
		ktap_fail "the device was not lost"
	fi
	ktap_run "detach" detach "$BDF"
	ktap_run "the device is gone" wait_for 10 pci_gone "$BDF"
}
