/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Standard output as a terminal: colours, where there is one and nobody minds them.
 */
#ifndef HELPER_TERM_H
#define HELPER_TERM_H

#include <stdint.h>

enum term_colour {
	TERM_PLAIN,
	TERM_BOLD,
	TERM_DIM,
	TERM_RED,
	TERM_GREEN,
	TERM_YELLOW,
};

const char *term_colour(enum term_colour colour);
enum term_colour term_state_colour(uint32_t state);
void term_clear(void);

#endif
