#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Makes the initramfs of the test VMs for one kernel:
#
#   initramfs.sh SERIES OUT [EXTRA]
#
# writes OUT/initrd, out of the module built in OUT/build, the programs built in $O, the scripts of
# this tree, and the modules (./modules) and programs (./programs) that the tests need.  The
# programs of the host make one archive, which all kernels share and which is made again only
# where one of them changed.  Nothing is compressed: QEMU loads it faster than a VM unpacks it.

set -euo pipefail

series=$1
mkdir -p "$2"
out=$(realpath "$2")
extra=${3:+$(realpath "$3")}
suffix=${extra:+-$(basename "$extra")}
vm=$(dirname "$(realpath "$0")")
selftests=$(dirname "$vm")
: "${O:=$(dirname "$selftests")/build}"

die()
{
	echo "initramfs: $*" >&2
	exit 1
}

# Make the directories of a root file system.
skeleton()
{
	rm -rf "$1"
	mkdir -p "$1"/{dev,etc,mnt,proc,root,run,share,sys,tmp,var/tmp,usr/bin,usr/lib,usr/lib64}
	ln -s usr/bin "$1/bin"
	ln -s usr/bin "$1/sbin"
	ln -s bin "$1/usr/sbin"
	ln -s usr/lib "$1/lib"
	ln -s usr/lib64 "$1/lib64"
}

# Libraries of fio's for storage that no VM has. Ceph's and what comes with them are most of the image,
# and relocating them is most of what a start of fio takes.
unused='librbd|librados|libgfapi|libnbd|libibverbs|librdmacm|libpmemblk|libpmem'

# stub_libraries PROGRAM: into $stubs, ones of those names, in which whatever the program calls ends it
stub_libraries()
{
	local program=$1 name path

	{ ldd "$program" 2>/dev/null || true; } | sed -nE "s/^[ \t]*(($unused)\.so[.0-9]*) => ([^ ]*).*/\1 \3/p" |
		while read -r name path; do
			awk -v versions="$stubs/$name.map" '
				NR == FNR { sub(/@.*/, "", $3); defined[$3]; next }
				{ split($2, symbol, "@") }
				symbol[1] in defined {
					printf ".globl %s\n%s:\n", symbol[1], symbol[1]
					if (symbol[2] != "")
						node[symbol[2]] = node[symbol[2]] symbol[1] ";"
				}
				END {
					print "ud2\n.section .note.GNU-stack,\"\""
					for (version in node)
						printf "%s { %s };\n", version, node[version] >versions
					if (!length(node))
						print "{ global: *; };" >versions
				}' <(nm -D --defined-only "$path") <(nm -D --undefined-only "$program") |
				gcc -shared -nostdlib -Wl,-soname,"$name" -Wl,--version-script,"$stubs/$name.map" \
					-x assembler - -o "$stubs/$name"
			rm "$stubs/$name.map"
		done
}

# install_program ROOT FILE...: copy programs with the libraries that they need
install_program()
{
	local root=$1 file lib

	shift
	for file in "$@"; do
		cp -L "$file" "$root/usr/bin/"
		# a static program has no libraries: ldd says so with an error; one that brings its own C library
		# is said to be in need of a newer one
		{ LD_LIBRARY_PATH=$stubs ldd "$file" 2>/dev/null || true; } | sed -nE '/version .* not found/d; s|^[^/]*(/[^ ]*).*|\1|p' |
			while read -r lib; do
				case $lib in
				"$stubs"/*) cp "$lib" "$root/usr/lib/$(basename "$lib")" ;;
				*) [ -e "$root$lib" ] || cp -L --parents "$lib" "$root" ;;
				esac
			done
	done
}

archive()
{
	(cd "$1" && find . -mindepth 1 -print0 | LC_ALL=C sort -z |
		cpio -0 -o -H newc -R 0:0 --quiet) >"$2.partial"
	mv "$2.partial" "$2"
}

# lists NAME: the files of that name
lists()
{
	[ ! -e "$vm/$1" ] || echo "$vm/$1"
	if [ -n "$extra" ] && [ -e "$extra/$1" ]; then
		echo "$extra/$1"
	fi
}

# The host's programs that are to be in, as paths.
host_programs()
{
	local name path files

	mapfile -t files < <(lists programs)

	command -v busybox
	while read -r name; do
		case $name in
		''|'#'*) continue ;;
		esac
		if path=$(command -v "${name#\?}"); then
			echo "$path"
		elif [ "${name#\?}" = "$name" ]; then
			die "no program $name: run scripts/install-deps"
		fi
	done < <(cat "${files[@]}")
}

make_tools()
{
	local root=$O/vm/tools$suffix.root list stamp link applet

	mkdir -p "$O/vm"
	exec {lock}>"$O/vm/tools$suffix.lock"
	flock $lock
	list=$(host_programs)
	# shellcheck disable=SC2046,SC2086
	stamp=$(stat -Lc '%n %s %Y' $list $(lists programs) "$0" | sha256sum)
	[ ! -e "$tools" ] || [ "$stamp" != "$(cat "$tools.stamp")" ] || return 0

	skeleton "$root"
	rm -rf "$stubs"
	mkdir "$stubs"
	stub_libraries "$(command -v fio)"
	# shellcheck disable=SC2086
	install_program "$root" $list
	for link in modprobe insmod rmmod lsmod modinfo depmod; do
		ln -s kmod "$root/usr/bin/$link"
	done
	for link in mkfs.ext4 mkfs.ext2; do
		ln -s mke2fs "$root/usr/bin/$link"
	done
	ln -s e2fsck "$root/usr/bin/fsck.ext4"
	for applet in $(busybox --list); do
		[ -e "$root/usr/bin/$applet" ] || ln -s busybox "$root/usr/bin/$applet"
	done
	# what programs load by name
	for file in /etc/mke2fs.conf /usr/share/misc/pci.ids /etc/nsswitch.conf; do
		[ ! -e "$file" ] || cp -L --parents "$file" "$root"
	done
	for file in $(lists files | xargs -r cat | grep -v '^#'); do
		cp -L --parents "$file" "$root"
	done
	for file in /usr/lib/x86_64-linux-gnu/fio /usr/lib/locale/C.utf8; do
		# (cp -a --parents of coreutils 9.1 wants the path below the current directory too)
		[ ! -d "$file" ] || { mkdir -p "$root${file%/*}" && cp -a "$file" "$root${file%/*}/"; }
	done
	echo "root:x:0:0:root:/root:/bin/sh" >"$root/etc/passwd"
	echo "root:x:0:" >"$root/etc/group"
	touch "$root/etc/ld.so.conf"
	echo /lib/x86_64-linux-gnu >"$root/etc/ld.so.conf"
	echo /usr/lib/x86_64-linux-gnu >>"$root/etc/ld.so.conf"
	ldconfig -r "$root"
	archive "$root" "$tools"
	echo "$stamp" >"$tools.stamp"
	rm -rf "$root" "$stubs"
}

# Copy the kernel's modules that are needed, uncompressed, and ours.
make_modules()
{
	local root=$1 kernel version from name file

	kernel=$("$vm/kernels.sh" fetch "$series")
	version=$(cat "$kernel/version")
	from=$kernel/lib/modules/$version
	mkdir -p "$root/lib/modules/$version/updates"
	lists modules | xargs cat | grep -Ev '^(#|$)' | while read -r name; do
		modprobe -d "$kernel" -S "$version" -C /dev/null --show-depends "$name" 2>/dev/null ||
			true
	done | sed -n 's/^insmod \([^ ]*\).*/\1/p' | sort -u | while read -r file; do
		file=lib/modules/$version/${file#*"/modules/$version/"}
		mkdir -p "$root/$(dirname "$file")"
		case $file in
		*.xz) xz -dc "$kernel/$file" >"$root/${file%.xz}" ;;
		*.zst) zstd -dcq "$kernel/$file" >"$root/${file%.zst}" ;;
		*) cp "$kernel/$file" "$root/$file" ;;
		esac
	done
	for file in "$from"/modules.builtin*; do
		[ ! -e "$file" ] || cp "$file" "$root/lib/modules/$version/"
	done
	touch "$root/lib/modules/$version/modules.order"
	find "$out/build" -name '*.ko' -exec cp -t "$root/lib/modules/$version/updates" {} +
	# 10 MB of what only a debugger on the host reads would be unpacked, and loaded, each time
	strip --strip-debug "$root/lib/modules/$version/updates/"*.ko
	depmod -b "$root" "$version"
}

tools=$O/vm/tools$suffix.cpio
stubs=$O/vm/tools$suffix.stubs
make_tools

exec {lock}>"$out/initrd$suffix.lock"
flock $lock
root=$out/initrd$suffix.root
skeleton "$root"
make_modules "$root"
for dir in "$O/helper" "$O/servers" "$O/tests" "$O/examples" \
	   ${extra:+"$O/${suffix#-}/bin"}; do
	[ -d "$dir" ] || continue
	while read -r file; do
		install_program "$root" "$file"
	done < <(find "$dir" -maxdepth 1 -type f -perm -u+x ! -name '*.so*' ! -name '*-asan')
done
mkdir -p "$root/selftests/vm"
cp -r "$selftests/lib" "$selftests/tests" "$selftests/soak" ${extra:+"$extra"} "$root/selftests/"
[ ! -d "$selftests/debug" ] || cp -r "$selftests/debug" "$root/selftests/"
# the commands in the documentation are tested
mkdir -p "$root/selftests/doc"
cp "$selftests/../scripts/doc-commands" "$selftests/../README.rst" \
	"$selftests"/../Documentation/*.rst "$root/selftests/doc/"
cp -r "$vm/selfcheck" "$vm/demo.sh" "$root/selftests/vm/"
cp "$vm/init" "$root/"
archive "$root" "$out/build$suffix.cpio"
cat "$tools" "$out/build$suffix.cpio" >"$out/initrd$suffix.partial"
mv "$out/initrd$suffix.partial" "$out/initrd$suffix"
rm -rf "$root" "$out/build$suffix.cpio"
