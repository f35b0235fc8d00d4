/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Is there a kernel module for a device?
 */
#ifndef HELPER_ALIAS_H
#define HELPER_ALIAS_H

int alias_find(const char *modalias);

#endif
