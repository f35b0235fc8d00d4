#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# TIMEOUT: 600
#
# vfiouser-nvme as a controller that people administer: every command of nvme-cli that applies, and
# what those that do not are answered; two namespaces, one of which grows.

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/vfiouser.sh"

# answers NAME STATUS COMMAND...: nvme-cli says the status, with the do-not-retry bit
answers()
{
	local name=$1 status=$2 out

	shift 2
	if out=$(nvme "$@" 2>&1 </dev/null); then
		ktap_log "$out"
		ktap_fail "$name"
	elif grep -qi "($status)" <<<"$out"; then
		ktap_pass "$name"
	else
		ktap_log "$out"
		ktap_fail "$name"
	fi
}

works()
{
	local name=$1

	shift
	ktap_run "$name" nvme "$@"
}

sectors_are()
{
	[ "$(cat "/sys/block/${disk#/dev/}/size")" = "$1" ]
}

ktap_plan 109
load_module
image=$WORK/disk
truncate -s 16M "$image"
start_server --file="$image" --ram=8M --name=disk-3
attach "$SOCKET" || ktap_bail "attach failed"
disk=$(disk_of "$BDF") || ktap_bail "no disk"
ctrl=${disk%n*}
head -c 4096 /dev/urandom >"$WORK/data"

ktap_match "serial number" "$(nvme id-ctrl "$ctrl")" 'sn +: disk-3 '
wait_for 20 test -b "${ctrl}n2"
ktap_ok $? "second namespace"
# the driver looks for them side by side, and counts them as they come
[ "$(cat "/sys/block/${disk#/dev/}/nsid")" = 1 ] || disk=${ctrl}n2
for command in list list-subsys; do
	works "$command" $command
done
for command in id-ctrl list-ns fw-log changed-ns-list-log smart-log error-log effects-log; do
	works "$command" $command "$ctrl"
done
for command in id-ns ns-descs get-ns-id flush ; do
	works "$command" $command "$disk"
done
for id in 1 2 4 5 6 7 8 9 0xa 0xb; do
	works "get-feature $id" get-feature "$ctrl" --feature-id=$id
done
works "set-feature: volatile write cache off" set-feature "$ctrl" --feature-id=6 --value=0
works "set-feature: and on" set-feature "$ctrl" --feature-id=6 --value=1
works "write" write "$disk" --start-block=8 --block-count=7 --data-size=4096 --data="$WORK/data"
works "compare" compare "$disk" --start-block=8 --block-count=7 --data-size=4096 --data="$WORK/data"
works "verify" verify "$disk" --start-block=8 --block-count=7
nvme read "$disk" --start-block=8 --block-count=7 --data-size=4096 --data="$WORK/read" >/dev/null 2>&1
ktap_run "read" cmp "$WORK/data" "$WORK/read"
works "write-zeroes" write-zeroes "$disk" --start-block=8 --block-count=0
answers "compare: what is not the same" 0x4285 compare "$disk" --start-block=8 --block-count=7 \
	--data-size=4096 --data="$WORK/data"
works "dsm" dsm "$disk" --ad --slbs=8 --blocks=8
works "format" format "$disk" --ses=1 --force
answers "format: another format" 0x410a format "$disk" --lbaf=1 --force
works "reset" reset "$ctrl"
works "ns-rescan" ns-rescan "$ctrl"

# 1h: there is no such command; 9h: no such log page; 2h: no such field
answers "sanitize" 0x4001 sanitize "$ctrl" --sanact=2
answers "device-self-test" 0x4001 device-self-test "$ctrl" --namespace-id=1 --self-test-code=1
answers "get-lba-status" 0x4001 get-lba-status "$disk" --start-lba=0 --max-dw=16 --action=0x11 \
	--range-len=1
answers "write-uncor" 0x4001 write-uncor "$disk" --start-block=0 --block-count=0
answers "resv-report" 0x4001 resv-report "$disk"
answers "security-recv" 0x4001 security-recv "$ctrl" --size=512 --al=512
answers "create-ns" 0x4001 create-ns "$ctrl" --nsze=100 --ncap=100 --flbas=0
answers "sanitize-log" 0x4109 sanitize-log "$ctrl"
answers "self-test-log" 0x4109 self-test-log "$ctrl"
answers "id-nvmset" 0x4002 id-nvmset "$ctrl"
answers "get-feature: host identifier" 0x4002 get-feature "$ctrl" --feature-id=0x81

# and the rest of "nvme help", but for those for other hosts (fabrics)
works "get-log" get-log "$ctrl" --log-id=2 --log-len=512
works "admin-passthru" admin-passthru "$ctrl" --opcode=6 --cdw10=1 --data-len=4096 --read
ktap_run "io-passthru" sh -c "nvme io-passthru $disk --opcode=2 --namespace-id=1 --data-len=4096 \
	--cdw12=7 --read >/dev/null"
# registers that are trapped are no memory that a process could map, and PCIe has no properties
ktap_status '!0' "show-regs" sh -c "nvme show-regs $ctrl >/dev/null 2>&1"
works "show-topology" show-topology
while read -r status command; do
	# shellcheck disable=SC2086
	answers "${command%% *}" "$status" ${command%% *} ${command#* }
done <<END
0x4001 delete-ns $ctrl --namespace-id=1
0x4001 attach-ns $ctrl --namespace-id=1 --controllers=0
0x4001 detach-ns $ctrl --namespace-id=1 --controllers=0
0x4001 fw-commit $ctrl --slot=1 --action=1
0x4001 fw-download $ctrl --fw=$WORK/data
0x4001 security-send $ctrl --file=$WORK/data --secp=0 --tl=512
0x4001 capacity-mgmt $ctrl --operation=0
0x4001 resv-acquire $disk --namespace-id=1 --crkey=1 --rtype=1
0x4001 resv-register $disk --namespace-id=1 --nrkey=1
0x4001 resv-release $disk --namespace-id=1 --crkey=1
0x4001 copy $disk --sdlba=64 --slbs=8 --blocks=7
0x4001 dir-receive $ctrl --namespace-id=1 --dir-type=0 --dir-oper=1 --data-len=4096
0x4001 dir-send $ctrl --namespace-id=1 --dir-type=0 --dir-oper=1 --target-dir=1 --endir=1
0x4001 virt-mgmt $ctrl --cntlid=0 --act=1
0x4001 lockdown $ctrl --ofi=6
0x4001 io-mgmt-recv $disk --namespace-id=1 --mo=1 --data-len=4096
0x4001 io-mgmt-send $disk --namespace-id=1 --mo=1 --data-len=4096 --data=$WORK/data
0x4001 get-property $ctrl --offset=0
0x4001 set-property $ctrl --offset=0x14 --value=0
0x4002 id-ns-granularity $ctrl
0x4002 id-ns-lba-format $ctrl --lba-format-index=0
0x4002 list-ctrl $ctrl
0x4002 nvm-id-ctrl $ctrl
0x4002 nvm-id-ns $disk
0x4002 nvm-id-ns-lba-format $ctrl --lba-format-index=0
0x4002 primary-ctrl-caps $ctrl
0x4002 list-secondary $ctrl
0x4002 cmdset-ind-id-ns $disk
0x4002 id-uuid $ctrl
0x4002 id-iocs $ctrl
0x4002 id-domain $ctrl
0x4002 list-endgrp $ctrl
0x4109 telemetry-log $ctrl --output-file=$WORK/telemetry
0x4109 ana-log $ctrl
0x4109 endurance-log $ctrl --group-id=1
0x4109 predictable-lat-log $ctrl --nvmset-id=1
0x4109 pred-lat-event-agg-log $ctrl
0x4109 persistent-event-log $ctrl --action=0 --log_len=512
0x4109 endurance-event-agg-log $ctrl
0x4109 lba-status-log $ctrl
0x4109 resv-notif-log $ctrl
0x4109 boot-part-log $ctrl --output-file=$WORK/boot
0x4109 supported-log-pages $ctrl
0x4109 fid-support-effects-log $ctrl
0x4109 mi-cmd-support-effects-log $ctrl
0x4109 media-unit-stat-log $ctrl
0x4109 supported-cap-config-log $ctrl
END
ktap_status '!0' "subsystem-reset: there is none" nvme subsystem-reset "$ctrl"
ktap_match "rpmb: there is none" "$(nvme rpmb "$ctrl" --cmd=info 2>&1)" "No RPMB targets are supported"

# online resize, without being asked
ktap_run "16 MiB" sectors_are 32768
truncate -s 32M "$image"
kill -HUP "$SERVER_PID"
wait_for 30 sectors_are 65536
ktap_ok $? "32 MiB after SIGHUP, without a scan"
truncate -s 48M "$image"
works "ns-rescan" ns-rescan "$ctrl"
wait_for 30 sectors_are 98304
ktap_ok $? "48 MiB after a scan"
ktap_run "its last block" dd if="$WORK/data" of="$disk" bs=4096 seek=12287 oflag=direct

ktap_run "a second server of the image: refused" sh -c \
	"! vfiouser-nvme --socket-path=$WORK/second --file=$image"
detach "$BDF"
ktap_end
