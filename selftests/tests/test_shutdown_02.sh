#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# TIMEOUT: 300
# DISK: 64M
# SHARE: yes
# APPEND: vm.end=kexec
#
# As test_shutdown_01, with a kexec: what a dead device's server and driver leave must not hurt the next
# kernel, nor keep it from starting.

. "$(dirname "$0")/test_shutdown_01.sh"
