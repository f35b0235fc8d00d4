#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# TIMEOUT: 600
#
# The server is killed and started again under a file system that is being written: a pause, no
# error, no wrong byte. Both ways to ring a doorbell. The server has its config space read a word at
# a time.

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/vfiouser.sh"
. "$(dirname "$0")/../lib/recover.sh"

ktap_plan 30
load_module

for doorbells in mmap trap; do
	image=$WORK/disk.$doorbells
	truncate -s 64M "$image"
	start_server --file="$image" --doorbells=$doorbells --fault=config-words
	dmesg_mark
	recover_begin "$doorbells" --reconnect=120 "$SOCKET"
	setpci -s "$BDF" CAP_MSI+4.l=fee01000 CAP_MSI+c.w=4021
	for n in 1 2; do
		recover_progress
		kill -KILL "$SERVER_PID"
		wait_for 60 state_is "$BDF" frozen
		ktap_ok $? "$doorbells: frozen without a server, $n"
		restart_server --file="$image" --doorbells=$doorbells --fault=config-words
		wait_for 120 state_is "$BDF" live
		ktap_ok $? "$doorbells: recovered with another, $n"
	done
	ktap_is "$doorbells: the message of an MSI is there again" \
		"$(setpci -s "$BDF" CAP_MSI+4.l CAP_MSI+c.w | tr '\n' ' ')" "fee01000 4021 "
	recover_progress
	recover_end "$doorbells"
	detach "$BDF"
	ktap_ok $? "$doorbells: detach"
	stop_server
	rm "$image"
done
ktap_end
