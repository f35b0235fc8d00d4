#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# TIMEOUT: 900
#
# test_hostile_02 for longer, each time with another seed.

HOSTILE_SECONDS=${HOSTILE_SECONDS:-300} exec "$(dirname "$0")/../tests/test_hostile_02.sh"
