#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# DKMS adds, builds, installs and removes the module, as on a user's machine: in a throw-away chroot
# with Debian's dkms, the kernel's headers and the kernel's modules.  Runs natively, not in a VM.
#
# usage: dkms.sh [SERIES]

top=$(dirname "$(dirname "$(dirname "$(realpath "$0")")")")
kernels=$top/selftests/vm/kernels.sh
series=${1:-6.1}

if [ "${1:-}" != --inside ]; then
	. "$top/selftests/lib/ktap.sh"
	stage=$(mktemp -d)
	trap 'rm -rf "$stage"' EXIT
	kernel=$("$kernels" fetch "$series") || ktap_bail "kernel $series cannot be fetched"
	make -s -C "$top" dkms-install DESTDIR="$stage" >&2 || ktap_bail "make dkms-install failed"
	mkdir -p "$stage/selftests/tests"
	cp -r "$top/selftests/lib" "$stage/selftests/"
	cp "$0" "$stage/selftests/tests/"
	# its output follows our heading
	BIND=$stage "$kernels" overlay "$series" \
		/mnt/selftests/tests/dkms.sh --inside "$(cat "$kernel/version")" | grep -v '^KTAP'
	exit "${PIPESTATUS[0]}"
fi

kernel=$2
. "$top/selftests/lib/ktap.sh"
cp -r /mnt/usr/src/vfiouser_pci-* /usr/src/ || ktap_bail "no source to install"
version=$(basename /usr/src/vfiouser_pci-*)
version=${version#vfiouser_pci-}
module=vfiouser_pci/$version

# a version may have a plus sign
pattern=${kernel//./\\.}
pattern=${pattern//+/\\+}

installed()
{
	find "/lib/modules/$kernel/updates" -name 'vfiouser_pci.ko*' 2>/dev/null | grep .
}

ktap_plan 12

ktap_run "add" dkms add "$module"
ktap_match "status: added" "$(dkms status "$module")" "added"
ktap_run "build" dkms build "$module" -k "$kernel" || ktap_log <"/var/lib/dkms/$module/build/make.log"
ktap_run "install" dkms install "$module" -k "$kernel"
ktap_match "status: installed" "$(dkms status "$module")" "$pattern.*installed"
ktap_run "module file" installed
ktap_match "module is for this kernel" "$(modinfo -k "$kernel" -F vermagic vfiouser_pci)" \
	"^$pattern "
ktap_run "modprobe finds it" modprobe -S "$kernel" --show-depends vfiouser_pci
ktap_status '!0' "an unsupported kernel is passed over" \
	dkms build "$module" -k 5.10.0-1-amd64 --kernelsourcedir "/lib/modules/$kernel/build"
ktap_match "and says why" "$KTAP_OUT" BUILD_EXCLUSIVE
ktap_run "remove" dkms remove "$module" --all
ktap_status 1 "nothing left" installed

ktap_end
