// SPDX-License-Identifier: GPL-2.0-only
/*
 * Standard output as a terminal: colours, where there is one and nobody minds them.
 *
 * Nobody minds where NO_COLOR is not set (https://no-color.org) and TERM is not "dumb". What goes
 * to a file or a pipe has no escape sequences at all.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/vfiouser.h>

#include "term.h"

static bool dumb(void)
{
	const char *term = getenv("TERM");

	return !isatty(STDOUT_FILENO) || !term || !*term || !strcmp(term, "dumb");
}

/**
 * term_colour() - what switches a colour on
 * @colour: TERM_PLAIN switches all off
 *
 * Context: any.
 * Return: an escape sequence, or "" where there are to be no colours.
 */
const char *term_colour(enum term_colour colour)
{
	static const char *const codes[] = {
		[TERM_PLAIN] = "\033[0m",
		[TERM_BOLD] = "\033[1m",
		[TERM_DIM] = "\033[2m",
		[TERM_RED] = "\033[31m",
		[TERM_GREEN] = "\033[32m",
		[TERM_YELLOW] = "\033[33m",
	};
	const char *no = getenv("NO_COLOR");

	return dumb() || (no && *no) ? "" : codes[colour];
}

/**
 * term_state_colour() - the colour of a device's state
 * @state: enum vfiouser_state
 *
 * Context: any.
 * Return: green for what works, red for what does not, yellow in between.
 */
enum term_colour term_state_colour(uint32_t state)
{
	switch (state) {
	case VFIOUSER_STATE_LIVE:
		return TERM_GREEN;
	case VFIOUSER_STATE_LOST:
	case VFIOUSER_STATE_GONE:
		return TERM_RED;
	}
	return TERM_YELLOW;
}

/**
 * term_clear() - begin a new screen, if standard output is one
 *
 * Context: any.
 */
void term_clear(void)
{
	if (!dumb())
		fputs("\033[H\033[2J", stdout);
}
