#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# EXPECT: 2 0 0 a test for two numbers of CPUs
# SMP: 2 4

. /selftests/lib/ktap.sh

ktap_plan 1
ktap_log "CPUs: $(nproc)"
ktap_match "so many CPUs" "$(nproc)" '^[24]$'
ktap_end
