/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Configuration spaces that are out of the ordinary, for tests: what a device model decodes only
 * where its registers say, and what a host must not be shown.
 */
#ifndef ODDCFG_H
#define ODDCFG_H

#include "pcicfg.h"

/* Extended capabilities of oddcfg_host_caps(), at 0x100 and from there on. */
#define ODDCFG_ATS	0x100
#define ODDCFG_DSN	0x110
#define ODDCFG_VSEC	0x120
#define ODDCFG_SRIOV	0x130
#define ODDCFG_REBAR	0x170
#define ODDCFG_PRI	0x180
#define ODDCFG_PASID	0x190
#define ODDCFG_LTR	0x1a0

bool oddcfg_decodes(const struct pcicfg *c, unsigned int region, uint64_t size);
void oddcfg_forget_bars(struct pcicfg *c);
void oddcfg_host_caps(struct pcicfg *c, uint64_t serial);

#endif
