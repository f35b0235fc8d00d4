# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# One directory in memory, as it is, as virtiofsd behind vfiouser-vhost serves it, and by what else can serve
# a host its own directories: NFS over the loopback, and 9p over a UNIX socket (diod).
#
# A target has SHARED_TARGET_start, which mounts the directory SHARED_OF at SHARED or says why it cannot in
# REASON, and SHARED_TARGET_stop. As in block.sh they take turns.

SHARED_TARGETS=$(cmdline bench.targets bare,virtiofs,nfs,9p)
SHARED_OF=/tmp/shared
SHARED=/mnt
SHARED_FILES=100

shared_bare_start() { mount --bind "$SHARED_OF" $SHARED; }
shared_bare_stop() { umount $SHARED; }

shared_virtiofs_start()
{
	vhost_drivers
	vhost_backend /usr/bin/virtiofsd --socket-path=@ -o "source=$SHARED_OF" -o sandbox=chroot
	SERVER=vfiouser-vhost start_server --type=fs --tag=shared --vhost-socket="$BACKEND"
	attach "$SOCKET" || { REASON=$(head -n 1 "$WORK/attach.err"); return 1; }
	wait_for 30 mount -t virtiofs shared $SHARED || { REASON="it cannot be mounted"; return 1; }
}

shared_virtiofs_stop()
{
	umount $SHARED
	detach && wait_for 20 pci_gone "$BDF"
	stop_server
	# it ends with its connection
	wait_for 10 vu_gone "$BACKEND_PID" || vhost_kill
}

shared_nfs_start()
{
	local nfsd=/proc/fs/nfsd

	type exportfs rpc.mountd >/dev/null 2>&1 || { REASON="no NFS server: see peers() in scripts/bench"; return 1; }
	modprobe -a nfsd nfsv4 2>/dev/null
	mkdir -p /var/lib/nfs/v4recovery /var/lib/nfs/rpc_pipefs /run/rpc_pipefs
	: >/var/lib/nfs/etab
	: >/var/lib/nfs/rmtab
	mount -t nfsd nfsd $nfsd 2>/dev/null || { REASON="this kernel has no nfsd"; return 1; }
	ip link set lo up
	rpc.mountd -N 3 2>/dev/null
	exportfs -i -o rw,no_root_squash,insecure,fsid=0,no_subtree_check "127.0.0.1:$SHARED_OF" 2>/dev/null
	echo '-3 +4 +4.1 +4.2' >$nfsd/versions
	# nobody was here before who might want his locks back
	echo 10 >$nfsd/nfsv4leasetime
	echo 10 >$nfsd/nfsv4gracetime
	echo 'tcp 2049' >$nfsd/portlist
	echo 4 >$nfsd/threads
	echo Y >$nfsd/v4_end_grace
	# by its own parser of options, as there is no mount.nfs4 here
	wait_for 30 mount -i -t nfs4 -o vers=4.2,addr=127.0.0.1,clientaddr=127.0.0.1 127.0.0.1:/ $SHARED ||
		{ REASON="it cannot be mounted"; return 1; }
}

shared_nfs_stop()
{
	umount $SHARED
	echo 0 >/proc/fs/nfsd/threads
	exportfs -ua
	killall rpc.mountd
	umount /proc/fs/nfsd
	rm -rf /var/lib/nfs /run/rpc_pipefs
}

shared_9p_start()
{
	type diod >/dev/null 2>&1 || { REASON="no diod: see peers() in scripts/bench"; return 1; }
	modprobe -a 9p 9pnet_fd 2>/dev/null
	diod -f -n -N -e "$SHARED_OF" -l "$WORK/9p" -L stderr 2>"$WORK/9p.log" &
	SHARED_PID=$!
	wait_for 20 test -S "$WORK/9p"
	wait_for 30 mount -i -t 9p \
		-o "trans=unix,version=9p2000.L,aname=$SHARED_OF,uname=root,cache=none,msize=262144" \
		"$WORK/9p" $SHARED || { REASON="it cannot be mounted"; return 1; }
}

shared_9p_stop()
{
	umount $SHARED
	kill "$SHARED_PID"
	wait "$SHARED_PID"
	rm -f "$WORK/9p"
}

# shared_load TARGET REP RW BS REQUESTS: so many, one at a time, past the cache
shared_load()
{
	local fields

	fio --name=bench --filename=$SHARED/data --direct=1 --ioengine=psync --rw="$3" --bs="$4" --size=64M \
		--number_ios="$5" --fallocate=none --minimal >"$WORK/fio.out" 2>&1 || {
		ktap_log <"$WORK/fio.out"
		return 1
	}
	# requests per second that are reads, and that are writes
	IFS=';' read -ra fields <"$WORK/fio.out"
	record shared "$1" "$3-$4-iops" "$2" $((fields[7] + fields[48])) mixed
}

# shared_files TARGET REP: files are made, written, and removed
shared_files()
{
	local i begin=$EPOCHREALTIME

	for ((i = 0; i < SHARED_FILES; i++)); do
		echo "$i" >"$SHARED/file$i" || return 1
	done
	rm "$SHARED"/file*
	awk -v b="$begin" -v e="$EPOCHREALTIME" -v n=$SHARED_FILES 'BEGIN { print int((e - b) * 1e9 / n) }' |
		while read -r i; do
			record shared "$1" file "$2" "$i" ns
		done
}

shared_loads()
{
	shared_load "$1" "$2" randread 4k 2000 && shared_load "$1" "$2" randwrite 4k 2000 &&
		shared_load "$1" "$2" read 128k 500 && shared_load "$1" "$2" write 128k 500 &&
		shared_files "$1" "$2"
}

group_shared()
{
	local rep target

	load_module
	mkdir -p $SHARED_OF
	dd if=/dev/zero of=$SHARED_OF/data bs=1M count=64 2>/dev/null
	for rep in $(seq "$REPS"); do
		for target in ${SHARED_TARGETS//,/ }; do
			REASON=
			if ! "shared_${target}_start"; then
				[ "$rep" != 1 ] || missing shared "$target" "${REASON:-could not be started}"
				"shared_${target}_stop" >/dev/null 2>&1
				continue
			fi
			shared_loads "$target" "$rep"
			ktap_ok $? "shared: $target, turn $rep"
			"shared_${target}_stop" 2>/dev/null
		done
	done
	rm -rf $SHARED_OF
}
