#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# TIMEOUT: 2400
#
# test_hostile_01 for longer, each time with another seed.

SEEDS=${SEEDS:-4} exec "$(dirname "$0")/../tests/test_hostile_01.sh"
