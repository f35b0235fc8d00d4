#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Debian's kernels for the tests: fetches them, and builds modules for them.
#
# Owns the cache directory (VFIOUSER_CACHE), which is outside the tree and may be deleted at any
# time.  In it is one chroot for each Debian release that supplies kernels, with that release's
# compiler and the kernels' header packages; and for each kernel series an unpacked kernel image,
# which is never installed.  The host's apt sources, /boot and /lib/modules are not touched.
#
# Several of these may run at once (flock), and one that was interrupted is simply run again: all
# that takes long is made under another name and renamed, or is apt's business to take up again.
# Mounts are made in a mount namespace of their own and so cannot outlive a killed run.

set -euo pipefail

cache=${VFIOUSER_CACHE:-${XDG_CACHE_HOME:-/var/cache}/vfiouser}
here=$(dirname "$(realpath "$0")")

. "$here/debug.sh"

usage()
{
	cat <<END
usage: kernels.sh fetch SERIES                     print the directory of the newest kernel of SERIES
       kernels.sh build SERIES SRC OUT [MAKEARG..] build the modules of SRC in OUT
       kernels.sh chroot RELEASE [COMMAND..]       run COMMAND in a throw-away copy of a chroot
       kernels.sh overlay SERIES [COMMAND..]       as chroot, with the kernel's modules in it
       kernels.sh systemd SERIES [COMMAND..]       as overlay, with systemd and what it takes to boot it
       kernels.sh checkpatch                       print the path of checkpatch.pl, kernel-doc beside it
       kernels.sh fixups SERIES                    print a directory with the sources of its PCI fixups
       kernels.sh list                             print the series that the tests run on

SERIES is a kernel series as 6.1, with -cloud or -rt behind it that flavour of Debian's, or 6.12-debug or
6.12-kcsan, which are built here out of Debian's source (debug.sh); RELEASE a Debian release as
bookworm.  A kernel that is in the
cache is used as it is; VFIOUSER_UPDATE=1 looks for a newer one.
Cache: $cache (VFIOUSER_CACHE)
END
	exit 2
}

say()
{
	echo "kernels: $*" >&2
}

die()
{
	say "$*"
	exit 1
}

need_root()
{
	[ "$(id -u)" = 0 ] || die "root is needed for chroots: run this as root"
}

# The Debian release whose packages of a kernel series are used.
release_of()
{
	case $1 in
	6.1|6.12|6.1-cloud|6.1-rt|6.12-*) echo bookworm ;;
	6.1[3-9]|6.1[3-9]-*|7.*) echo trixie ;;
	*) die "no Debian release is known for kernel $1: use one of $(list_series)" ;;
	esac
}

list_series()
{
	echo 6.1 6.12 7.2
}

# The first mirror of this machine's own apt sources that matches a pattern, else a default.
mirror()
{
	local uri

	uri=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
	      sed 's|/$||' | grep -E "$1" | head -n 1 || true)
	echo "${uri:-$2}"
}

# Run a command in a chroot with /proc, /sys, /dev; $1 chroot, $2 mount commands or ''.
# The shell is the mount namespace's process 1, so that nothing survives it.
in_chroot()
{
	local root=$1 mounts=$2

	shift 2
	unshare --mount --pid --fork --kill-child -- /bin/bash -euc '
		root=$1; mounts=$2; shift 2
		mount --make-rprivate /
		eval "$mounts"
		mount -t proc proc "$root/proc"
		mount --rbind /dev "$root/dev"
		mount -t tmpfs tmpfs "$root/tmp"
		for f in /etc/resolv.conf /etc/hosts; do
			[ ! -e $f ] || cat $f >"$root$f"
		done
		exec chroot "$root" /usr/bin/env HOME=/root LC_ALL=C.UTF-8 \
			PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
			DEBIAN_FRONTEND=noninteractive "$@"
	' bash "$root" "$mounts" "$@"
}

# Make the chroot of a release if it is not there; the caller holds the release's lock.
make_chroot()
{
	local release=$1 root=$cache/chroot/$1 deb sec try

	[ ! -e "$root" ] || return 0
	deb=$(mirror '/debian$' http://deb.debian.org/debian)
	sec=$(mirror '/debian-security$' "${deb%/debian}/debian-security")
	say "making a $release chroot from $deb"
	mkdir -p "$cache/debs"
	for try in 1 2 3; do
		rm -rf --one-file-system "$root.partial"
		# debootstrap mounts things in its target: not in our namespace
		if unshare --mount -- debootstrap --variant=minbase --cache-dir="$cache/debs" \
		     --include=ca-certificates,make,gcc,libc6-dev,kmod,sparse,dkms \
		     "$release" "$root.partial" "$deb" >"$cache/debootstrap.$release.log" 2>&1; then
			break
		fi
		[ $try != 3 ] || die "debootstrap failed: see $cache/debootstrap.$release.log"
		say "debootstrap failed, trying again"
	done
	cat >"$root.partial/etc/apt/sources.list" <<-END
	deb $deb $release main
	deb $deb $release-updates main
	deb $deb $release-backports main
	deb $sec $release-security main
	END
	# how this machine reaches its mirror holds in the chroot too
	apt-config dump | grep -E '^Acquire::(https?|ftp|Check-|Retries|ForceIP)' \
		>"$root.partial/etc/apt/apt.conf.d/90host" || true
	cat >>"$root.partial/etc/apt/apt.conf.d/90host" <<-END
	Acquire::Retries "3";
	Acquire::Languages "none";
	APT::Sandbox::User "root";
	APT::Install-Recommends "false";
	END
	rm -f "$root.partial/var/cache/apt/archives/"*.deb
	mv "$root.partial" "$root"
}

# Print the newest version VERSION for which linux-image-VERSION is an amd64 kernel of the series, and of
# the flavour if that is not empty, and linux-headers-VERSION exists; with a third argument, headers or
# not.  Runs in the chroot.
newest='
	series=$1 flavour=$2 any=${3:-}
	apt-cache pkgnames "linux-image-$series." |
		sed -nE "s/^linux-image-([0-9.]+(-[0-9]+)?(\+[a-z]+[0-9.]+)?${flavour:+-$flavour}-amd64)$/\1/p" |
	while read -r v; do
		[ "$any" ] || apt-cache show "linux-headers-$v" >/dev/null 2>&1 || continue
		echo "$(apt-cache policy "linux-image-$v" | sed -n "s/ *Candidate: //p") $v"
	done | grep -v "^(none)" | sort -V | tail -n 1 | cut -d" " -f2
'

# Backports list the images of a series that has been followed by others for as long as there is a list
# of those that were signed, but not its headers, nor its modules where they are a package of their own.
# They stay in the pool.  get PACKAGE fetches one of those that belong to image $1 to the working
# directory; runs in the chroot.  What apt has not in its lists it cannot check the signature of: good
# enough for a kernel that lives in a VM, and only for that.
pool='
	image=$1
	signed=$(apt-get -q download --print-uris "linux-image-$image" | grep -o "http[^ ]*\.deb")
	signed=${signed%/*}
	version=$(apt-cache policy "linux-image-$image" | sed -n "s/ *Candidate: //p")
	get()
	{
		local url

		for url in "${signed%/*}/linux/$1_${version}_amd64" "${signed%/*}/linux/$1_${version}_all" \
				"$signed/$1_${version}_amd64"; do
			! /usr/lib/apt/apt-helper download-file "$url.deb" "$1.deb" || return 0
		done
		return 1
	}
'

# Print the offset and decompressor of the compressed kernel in a bzImage.
payload()
{
	local off

	while read -r magic prog; do
		for off in $(LC_ALL=C grep -obUaP "$magic" "$1" | cut -d: -f1); do
			echo "$off $prog"
		done
	done <<-'END'
	\xfd7zXZ\x00 xz -dcq
	\x28\xb5\x2f\xfd zstd -dcq
	\x1f\x8b\x08 gzip -dcq
	\x02\x21\x4c\x18 lz4 -dcq
	END
}

# The ELF kernel inside a bzImage: QEMU starts it directly (PVH), which saves decompressing it
# at each boot, seconds of time without hardware virtualisation.
extract_vmlinux()
{
	local off prog

	while read -r off prog; do
		# the decompressor complains about what follows the kernel
		{ tail -c +$((off + 1)) "$1" | $prog >"$2.partial"; } 2>/dev/null || true
		if [ "$(head -c 4 "$2.partial" | tail -c 3)" = ELF ]; then
			mv "$2.partial" "$2"
			return 0
		fi
	done < <(payload "$1")
	rm -f "$2.partial"
	return 1
}

fetch()
{
	local series=$1 flavour release root dir version debs boot from

	release=$(release_of "$series")
	root=$cache/chroot/$release
	dir=$cache/kernel/$series

	if [ -n "$(debug_variant "$series")" ]; then
		if ! debug_current "$series" "$dir"; then
			need_root
			debug_fetch "$series" "$dir"
		fi
		echo "$dir"
		return 0
	fi
	if [ -e "$dir/version" ] && [ -z "${VFIOUSER_UPDATE:-}" ]; then
		echo "$dir"
		return 0
	fi
	need_root
	mkdir -p "$cache/chroot" "$cache/kernel"
	exec {lock}>"$cache/lock.$release"
	flock $lock
	if [ -e "$dir/version" ] && [ -z "${VFIOUSER_UPDATE:-}" ]; then
		# another run made it while this one waited
		echo "$dir"
		return 0
	fi

	make_chroot "$release"
	in_chroot "$root" '' apt-get -q update >"$cache/apt.$release.log" 2>&1 ||
		die "apt-get update failed in the $release chroot: see $cache/apt.$release.log"
	case $series in
	*-*) flavour=${series#*-} ;;
	*) flavour= ;;
	esac
	version=$(in_chroot "$root" '' sh -c "$newest" sh "${series%%-*}" "$flavour")
	from=
	if [ -z "$version" ]; then
		version=$(in_chroot "$root" '' sh -c "$newest" sh "${series%%-*}" "$flavour" any)
		[ -n "$version" ] || die "no kernel $series in Debian $release and its backports"
		from=$pool
	fi
	if [ -e "$dir/version" ] && [ "$(cat "$dir/version")" = "$version" ]; then
		echo "$dir"
		return 0
	fi

	say "installing the headers of $version in the $release chroot"
	# the image that the headers of some want is not to be booted from here
	in_chroot "$root" '' env INITRD=No sh -c '
		dpkg --configure -a
		if [ "$2" ]; then
			eval "$2"
			mkdir /tmp/headers
			cd /tmp/headers
			set -- "linux-headers-$image"
			while [ $# -gt 0 ]; do
				get "$1" || exit 1
				got=$1
				shift
				# what is of the same version, which differs from one series to the next
				set -- "$@" $(dpkg-deb -f "$got.deb" Depends | tr "," "\n" |
					sed -nE "s/^ *(linux-(base|headers|kbuild)-[0-9][^ ]*).*/\1/p")
			done
			apt-get -qy install ./*.deb
		else
			apt-get -qy install "linux-headers-$1"
		fi && apt-get clean
	' sh "$version" "$from" >"$cache/apt.$release.log" 2>&1 ||
		die "headers of $version: see $cache/apt.$release.log"

	say "fetching the kernel image of $version"
	debs=$cache/kernel/$series.debs
	mkdir -p "$debs"
	# from 7.0 on the image package is a shell around binary and modules packages; which modules are built
	# in, without which modprobe does not find those, is in the base package
	in_chroot "$root" "mount --bind '$debs' \$root/mnt" sh -c '
		cd /mnt
		eval "$2"
		apt-get -q download "linux-image-$1" || exit
		for package in $(apt-cache depends "linux-image-$1" |
				sed -nE "s/^ *(Pre)?Depends: <?(linux-(base|binary|modules)-[^>]*)>?/\2/p"); do
			apt-get -q download "$package" || get "$package" || exit
		done
	' sh "$version" "$from" >"$cache/apt.$release.log" 2>&1 ||
		die "image of $version: see $cache/apt.$release.log"

	rm -rf "$dir.partial"
	mkdir -p "$dir.partial/usr/lib"
	ln -s usr/lib "$dir.partial/lib"
	for deb in "$debs"/*.deb; do
		dpkg-deb --fsys-tarfile "$deb" | tar -C "$dir.partial" -x --keep-directory-symlink
	done
	for boot in "$dir.partial/boot/vmlinuz-$version" \
		    "$dir.partial/lib/modules/$version/vmlinuz"; do
		[ ! -e "$boot" ] || cp "$boot" "$dir.partial/vmlinuz"
	done
	[ -e "$dir.partial/vmlinuz" ] || die "no vmlinuz in the packages of $version"
	extract_vmlinux "$dir.partial/vmlinuz" "$dir.partial/vmlinux" ||
		say "$version: cannot extract vmlinux, it will decompress itself at each boot"
	rm -rf "$dir.partial/boot" "$dir.partial/usr/share" "$debs"
	depmod -b "$dir.partial" "$version"
	echo "$release" >"$dir.partial/release"
	echo "$version" >"$dir.partial/version"
	# not atomic, but a run between the two simply fetches again
	rm -rf "$dir"
	mv "$dir.partial" "$dir"
	say "$series is $version"
	echo "$dir"
}

# Keep packages from being installed in a kernel's chroot until this process ends.
share_chroot()
{
	exec {shared}>"$cache/lock.$(cat "$1/release")"
	flock -s $shared
}

# Copy the sources of a tree, without its build results, so that one tree can be built for many
# kernels; unchanged files keep their time, and files that are gone go.
sync_tree()
{
	local src=$1 out=$2

	mkdir -p "$out"
	(cd "$src" && find . \( -name .git -o -path ./build -o -path "./${out#"$src"/}" \) -prune -o \
		-type f \( -name '*.[chS]' -o -name Kbuild \) ! -name '*.mod.c' -print |
		LC_ALL=C sort) >"$out/.sources.new"
	if [ -e "$out/.sources" ]; then
		LC_ALL=C comm -23 "$out/.sources" "$out/.sources.new" | (cd "$out" && xargs -rd '\n' rm -f)
	fi
	mv "$out/.sources.new" "$out/.sources"
	(cd "$src" && xargs -rd '\n' cp -u --preserve=timestamps --parents -t "$out") <"$out/.sources"
}

build()
{
	local series=$1 src out dir version root headers mounts

	src=$(realpath "$2")
	mkdir -p "$3"
	out=$(realpath "$3")
	shift 3
	need_root
	dir=$(fetch "$series")
	version=$(cat "$dir/version")
	root=$cache/chroot/$(cat "$dir/release")
	exec {lock}>"$out/.lock"
	flock $lock
	share_chroot "$dir"
	sync_tree "$src" "$out"
	headers=/lib/modules/$version/build
	mounts="mount --bind '$out' \$root/mnt"
	if [ -n "$(debug_variant "$series")" ]; then
		headers=/srv/$(debug_variant "$series")
		mounts+="; mount --bind '$cache/debug' \$root/srv"
	fi
	in_chroot "$root" "$mounts" \
		make -C "$headers" M=/mnt --no-print-directory -j"$(nproc)" "$@" modules
	# modules that only the tests use, and the documentation's
	for dir in selftests/modules Documentation/examples; do
		[ -e "$out/$dir/Kbuild" ] || continue
		in_chroot "$root" "$mounts" \
			make -C "$headers" M="/mnt/$dir" \
				KBUILD_EXTRA_SYMBOLS=/mnt/Module.symvers --no-print-directory \
				-j"$(nproc)" "$@" modules
	done
}

# Run a command in a copy of a chroot that is thrown away; $1: lower directories of the overlay.
# BIND in the environment is a directory to mount in it, at BIND_AT (/mnt).
in_overlay()
{
	local lower=$1 top

	shift
	top=$(mktemp -d "${TMPDIR:-/tmp}/vfiouser-chroot.XXXXXX")
	# shellcheck disable=SC2064
	trap "rmdir '$top'" EXIT
	in_chroot "$top/root" "
		mount -t tmpfs tmpfs '$top'
		mkdir '$top/root' '$top/upper' '$top/work'
		mount -t overlay overlay \
			-o lowerdir='$lower',upperdir='$top/upper',workdir='$top/work' '$top/root'
		[ -z '${BIND:-}' ] || mount --bind '${BIND:-}' '$top/root${BIND_AT:-/mnt}'
	" "$@"
}

# A copy of a release's chroot that systemd can boot; made again when packages of the chroot changed.
make_systemd_chroot()
{
	local release=$1 root=$cache/chroot/$1-systemd stamp
	local packages="systemd-sysv udev dbus e2fsprogs pciutils nvme-cli dmsetup fio
		libjson-c5 libnl-3-200 libnl-genl-3-200 libseccomp2 libcap-ng0"

	exec {lock}>"$cache/lock.$release-systemd"
	flock $lock
	stamp=$(echo "$packages" | cat - "$cache/chroot/$release/var/lib/dpkg/status" | sha256sum)
	[ ! -e "$root/.stamp" ] || [ "$stamp" != "$(cat "$root/.stamp")" ] || return 0
	say "making a $release chroot with systemd"
	rm -rf --one-file-system "$root" "$root.partial"
	mkdir -p "$root.partial"
	# shellcheck disable=SC2016
	BIND=$root.partial in_overlay "$cache/chroot/$release" sh -c '
		apt-get -q update
		# made several times on the way, for a VM that boots with its own
		mkdir -p /etc/initramfs-tools
		echo update_initramfs=no >/etc/initramfs-tools/update-initramfs.conf
		apt-get -qy -o Dpkg::Options::=--force-confold install $1 && apt-get clean
		tar -C / --one-file-system --exclude=./mnt/* -c . | tar -C /mnt -x
	' sh "$packages" >"$cache/apt.$release-systemd.log" 2>&1 ||
		die "systemd in the $release chroot: see $cache/apt.$release-systemd.log"
	rm -rf "$root.partial"/{proc,sys,dev,tmp,mnt,run}/*
	echo "$stamp" >"$root.partial/.stamp"
	mv "$root.partial" "$root"
}

checkpatch()
{
	local dir=$cache/checkpatch release=bookworm

	if [ -e "$dir/kernel-doc" ]; then
		echo "$dir/checkpatch.pl"
		return 0
	fi
	need_root
	fetch 6.12 >/dev/null
	exec {lock}>"$cache/lock.checkpatch"
	flock $lock
	[ ! -e "$dir/kernel-doc" ] || { echo "$dir/checkpatch.pl"; return 0; }
	say "fetching checkpatch.pl and kernel-doc out of linux-source-6.12"
	rm -rf "$dir.partial"
	mkdir -p "$dir.partial"
	in_chroot "$cache/chroot/$release" "mount --bind '$dir.partial' \$root/mnt" \
		sh -c 'cd /mnt && apt-get -q download linux-source-6.12' \
		>"$cache/apt.checkpatch.log" 2>&1 ||
		die "linux-source-6.12: see $cache/apt.checkpatch.log"
	dpkg-deb --fsys-tarfile "$dir.partial"/*.deb |
		tar -xO --wildcards './usr/src/linux-source-*.tar.xz' | xz -dc -T0 |
		tar -C "$dir.partial" -x --strip-components=2 --wildcards \
			'*/scripts/checkpatch.pl' '*/scripts/spelling.txt' \
			'*/scripts/const_structs.checkpatch' '*/scripts/kernel-doc'
	rm -f "$dir.partial"/*.deb
	rm -rf "$dir"
	mv "$dir.partial" "$dir"
	echo "$dir/checkpatch.pl"
}

# What scripts/check-fixups reads of a kernel's source.
fixups()
{
	local series=$1 release dir=$cache/fixups/$1

	if [ -e "$dir/include/linux/pci_ids.h" ]; then
		echo "$dir"
		return 0
	fi
	need_root
	release=$(release_of "$series")
	fetch "$series" >/dev/null
	mkdir -p "$cache/fixups"
	exec {lock}>"$cache/lock.fixups"
	flock $lock
	[ ! -e "$dir/include/linux/pci_ids.h" ] || { echo "$dir"; return 0; }
	say "fetching the sources of PCI fixups out of linux-source-$series"
	rm -rf "$dir.partial"
	mkdir -p "$dir.partial"
	in_chroot "$cache/chroot/$release" "mount --bind '$dir.partial' \$root/mnt" \
		sh -c 'cd /mnt && apt-get -q download "linux-source-$1"' sh "$series" \
		>"$cache/apt.fixups.log" 2>&1 ||
		die "linux-source-$series: see $cache/apt.fixups.log"
	# patterns: which of the files there are differs from kernel to kernel
	dpkg-deb --fsys-tarfile "$dir.partial"/*.deb |
		tar -xO --wildcards './usr/src/linux-source-*.tar.xz' | xz -dc -T0 |
		tar -C "$dir.partial" -x --strip-components=1 --wildcards \
			'*/include/linux/pci_ids.h' '*/arch/x86/kernel/*.c' '*/arch/x86/pci/*.c' \
			'*/drivers/clocksource/*.c' '*/drivers/iommu/intel/*.c' '*/drivers/pci/*.c' \
			'*/drivers/usb/host/pci-quirks.c' '*/drivers/video/*.c'
	rm -f "$dir.partial"/*.deb
	rm -rf "$dir"
	mv "$dir.partial" "$dir"
	echo "$dir"
}

main()
{
	local cmd=${1:-} dir release

	[ $# = 0 ] || shift
	case $cmd in
	fetch)
		[ $# = 1 ] || usage
		fetch "$1"
		;;
	fixups)
		[ $# = 1 ] || usage
		fixups "$1"
		;;
	build)
		[ $# -ge 3 ] || usage
		build "$@"
		;;
	chroot)
		[ $# -ge 1 ] || usage
		need_root
		release=$1
		shift
		mkdir -p "$cache/chroot"
		(exec {lock}>"$cache/lock.$release"; flock $lock; make_chroot "$release")
		in_overlay "$cache/chroot/$release" "${@:-bash}"
		;;
	overlay)
		[ $# -ge 1 ] || usage
		need_root
		dir=$(fetch "$1")
		share_chroot "$dir"
		shift
		in_overlay "$dir:$cache/chroot/$(cat "$dir/release")" "${@:-bash}"
		;;
	systemd)
		[ $# -ge 1 ] || usage
		need_root
		dir=$(fetch "$1")
		share_chroot "$dir"
		shift
		(make_systemd_chroot "$(cat "$dir/release")")
		in_overlay "$dir:$cache/chroot/$(cat "$dir/release")-systemd" "${@:-bash}"
		;;
	checkpatch)
		checkpatch
		;;
	list)
		list_series
		;;
	*)
		usage
		;;
	esac
}

# read to its end before anything runs, so that it may be edited while it runs
main "$@"; exit
