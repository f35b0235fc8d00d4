/* SPDX-License-Identifier: GPL-2.0-only */
/* Deliberate misbehaviour of a server, to try a client with: --fault=KIND[:N]. */
#ifndef FAULT_H
#define FAULT_H

#include "vfus.h"

int fault_parse(const char *arg, struct vfus_hooks *hooks);
const char *fault_help(void);

#endif
