#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The demo: builds everything, boots a VM with the newest Debian kernel of a series (DEMO_KERNEL, 6.12),
# and shows what demo.sh does in it.

set -euo pipefail

vm=$(dirname "$(realpath "$0")")
top=$(dirname "$(dirname "$vm")")
: "${O:=$top/build}"
export O
series=${DEMO_KERNEL:-6.12}

mkdir -p "$O"
echo "Fetching Linux $series (the first time only)"
kernel=$("$vm/kernels.sh" fetch "$series")
echo "Building the helper and the bundled server"
if ! make -s -C "$top" helper servers >"$O/demo.log" 2>&1; then
	tail -n 30 "$O/demo.log"
	exit 1
fi
echo "Building the module for Linux $(cat "$kernel/version"), and starting a VM"
echo
if "$vm/run.sh" --raw --timeout "${DEMO_TIMEOUT:-240}" "$series" vm/demo.sh; then
	exit 0
fi
grep -a -m 1 -A 20 -E 'BUG:|Oops|WARNING|Kernel panic' "$O/vm/$series/demo/console.log" || true
echo "The demo failed: the console of the VM is in $O/vm/$series/demo/console.log" >&2
exit 1
