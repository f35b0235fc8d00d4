/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How many elements an array has.
 */
#ifndef HELPER_ARRAY_H
#define HELPER_ARRAY_H

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

#endif
