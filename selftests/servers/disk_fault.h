/* SPDX-License-Identifier: GPL-2.0-only */
/* Faults of what a disk's bytes are on: --disk-fault=CALL:WHAT. */
#ifndef DISK_FAULT_H
#define DISK_FAULT_H

int disk_fault_parse(const char *arg);

#endif
