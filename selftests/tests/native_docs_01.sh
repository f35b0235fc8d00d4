#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The documentation against the sources: what it explains is what there is. Needs no build.

dir=$(cd "$(dirname "$0")/.." && pwd)
. "$dir/lib/ktap.sh"

scripts=$(dirname "$dir")/scripts

ktap_plan 4
ktap_run "troubleshooting explains each message" "$scripts/check-messages"
ktap_run "each example command is tested, or says why not" "$scripts/check-commands"
ktap_run "conformance names tests that there are" "$scripts/check-conformance"
ktap_run "json.rst and the schema name the same members" "$scripts/check-json"
ktap_end
