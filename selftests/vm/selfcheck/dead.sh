#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# EXPECT: 0 1 0 not run: no VM came up for it
# APPEND: rdinit=/nowhere

exit 0
