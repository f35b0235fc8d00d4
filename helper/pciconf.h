/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * PCI config space in words.
 */
#ifndef HELPER_PCICONF_H
#define HELPER_PCICONF_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define PCICONF_BARS	7	/* six and the ROM */

struct json_object;

struct json_object *pciconf_json(const uint8_t *cfg, size_t len);
void pciconf_print(FILE *out, const uint8_t *cfg, size_t len,
		   const uint64_t bar_size[PCICONF_BARS]);
void pciconf_dump(FILE *out, const uint8_t *cfg, size_t len);

#endif
