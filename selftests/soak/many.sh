#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# TIMEOUT: 3600
#
# tests/test_many_01 with 64 devices.

export DEVICES=64
. "$(dirname "$0")/../tests/test_many_01.sh"
