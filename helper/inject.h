/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * "attach --inject": faults of the protocol on request, so that what a driver does about them can
 * be tried with any server.
 */
#ifndef HELPER_INJECT_H
#define HELPER_INJECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define INJECT_RULES	16

struct vfuc_fault;

enum inject_action {
	INJECT_DELAY,
	INJECT_DROP,
	INJECT_ERROR,
};

/**
 * struct inject_rule - what happens to which messages, how often
 * @action: what
 * @value: milliseconds, or errno
 * @millionths: probability
 * @commands: bit for each command of the protocol
 * @region: VFIO_PCI_*_REGION_INDEX, or -1 for any
 */
struct inject_rule {
	enum inject_action action;
	unsigned int value;
	unsigned int millionths;
	uint32_t commands;
	int region;
};

/**
 * struct inject - all rules
 * @count: how many; 0: nothing is injected
 * @rules: them
 * @seed: state of the random numbers
 */
struct inject {
	unsigned int count;
	struct inject_rule rules[INJECT_RULES];
	uint64_t seed;
};

int inject_parse(struct inject *inject, const char *text, const char **wrong, size_t *len);
void inject_decide(struct inject *inject, unsigned int command, uint32_t region,
		   struct vfuc_fault *fault);

#endif
