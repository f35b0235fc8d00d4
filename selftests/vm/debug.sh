# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# Kernels built for finding bugs, out of Debian's linux-source: the series 6.12-debug and 6.12-kcsan.
#
# Sourced by kernels.sh, whose cache it shares: in $cache/debug are the source (src) and a build
# directory for each, of which only what building modules needs is kept.  Modules are built where
# the kernel was: with $cache/debug at /srv of the chroot.  The configurations are in debug/; each
# line in them must have come into effect, or the kernel is not the one that was asked for.

# debug_variant SERIES: debug, kcsan, or nothing for a plain series
debug_variant()
{
	case $1 in
	6.12-debug|6.12-kcsan) echo "${1#*-}" ;;
	esac
}

# As 6.13 has it: nvme begins to freeze its queues in one work item and ends that in another, which lockdep
# takes for a lock that is not given back, and turns itself off.
# shellcheck disable=SC2016
debug_patch='
	sed -i -e "/^void nvme_start_freeze/,/^}/s/blk_freeze_queue_start(/blk_freeze_queue_start_non_owner(/" \
		-e "/^void nvme_unfreeze/,/^}/s/blk_mq_unfreeze_queue(/blk_mq_unfreeze_queue_non_owner(/" \
		src/drivers/nvme/host/core.c
	[ "$(grep -c "queue_start_non_owner(\|unfreeze_queue_non_owner(" src/drivers/nvme/host/core.c)" = 2 ]
'

# What runs in the chroot, with $cache/debug at /srv: $1 series of the source, $2 variant
# shellcheck disable=SC2016
debug_build='
	set -eu
	series=$1 variant=$2 jobs=$3
	tools="flex bison bc libelf-dev libssl-dev xz-utils perl"
	apt-get -qy install $tools || { apt-get -q update && apt-get -qy install $tools; }
	cd /srv
	if [ ! -e src/Makefile ]; then
		apt-get -q download "linux-source-$series"
		rm -rf src.partial
		mkdir src.partial
		dpkg-deb --fsys-tarfile linux-source-*.deb |
			tar -xO --wildcards "./usr/src/linux-source-*.tar.xz" | xz -dc -T0 |
			tar -C src.partial -x --strip-components=1
		rm -f linux-source-*.deb
		mv src.partial src
	fi
	'"$debug_patch"'
	out=/srv/$variant
	mkdir -p $out
	cat debug.conf/base.config debug.conf/$variant.config >$out/wanted
	cd src
	make -s O=$out KCONFIG_ALLCONFIG=$out/wanted allnoconfig >/dev/null
	missing=
	while read -r line; do
		case $line in
		CONFIG_*=n) ! grep -q "^${line%=n}=" $out/.config || missing="$missing $line" ;;
		CONFIG_*) grep -qx "$line" $out/.config || missing="$missing $line" ;;
		esac
	done <$out/wanted
	if [ -n "$missing" ]; then
		echo "not in effect:$missing" >&2
		exit 1
	fi
	make -s O=$out LOCALVERSION=-$variant -j$jobs vmlinux modules
	rm -rf $out/root
	make -s O=$out LOCALVERSION=-$variant INSTALL_MOD_PATH=$out/root modules_install
	make -s O=$out LOCALVERSION=-$variant kernelrelease >$out/version
	strip --strip-debug -o $out/root/vmlinux $out/vmlinux
	# modules of ours need headers, tools and Module.symvers
	find $out -name "*.o" ! -path "$out/scripts/*" ! -path "$out/tools/*" -delete
	find $out -path "$out/root" -prune -o \( -name "*.a" -o -name "*.ko" -o -name "vmlinux*" \) -type f \
		! -path "$out/tools/*" ! -name vmlinux.symvers -print | xargs -r rm -f
'

# debug_fetch SERIES DIR: build the kernel of a series into DIR
debug_fetch()
{
	local series=$1 dir=$2 variant base conf log

	variant=$(debug_variant "$series")
	base=${series%-*}
	conf=$cache/debug/debug.conf
	log=$cache/build.$series.log
	fetch "$base" >/dev/null
	mkdir -p "$cache/debug"
	exec {lock}>"$cache/lock.debug"
	flock $lock
	if debug_current "$series" "$dir"; then
		return 0
	fi
	say "building $series out of Debian's linux-source-$base; this takes long, once (log: $log)"
	rm -rf "$conf"
	cp -r "$here/debug" "$conf"
	# installing the tools is lost with the overlay; the lock of the chroot is for what stays
	(
		share_chroot "$cache/kernel/$base"
		BIND=$cache/debug BIND_AT=/srv in_overlay "$cache/chroot/$(release_of "$base")" \
			nice -n "${NICE:-19}" sh -c "$debug_build" sh "$base" "$variant" "$(nproc)"
	) >"$log" 2>&1 || die "$series: see $log"

	rm -rf "$dir.partial"
	mv "$cache/debug/$variant/root" "$dir.partial"
	cp "$cache/debug/$variant/version" "$dir.partial/version"
	echo "$(release_of "$base")" >"$dir.partial/release"
	debug_stamp "$series" >"$dir.partial/stamp"
	depmod -b "$dir.partial" "$(cat "$dir.partial/version")"
	rm -rf "$dir"
	mv "$dir.partial" "$dir"
	say "$series is $(cat "$dir/version")"
}

# debug_stamp SERIES: changes with the configuration and the source
debug_stamp()
{
	{
		cat "$here/debug/base.config" "$here/debug/$(debug_variant "$1").config"
		echo "$debug_patch"
	} | sha256sum
}

# debug_current SERIES DIR: is what is in the cache what the configuration says?
debug_current()
{
	[ -e "$2/version" ] && [ "$(cat "$2/stamp" 2>/dev/null)" = "$(debug_stamp "$1")" ]
}
