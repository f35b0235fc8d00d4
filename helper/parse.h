/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What people type: sizes, durations, PCI addresses, names. And the other way round.
 */
#ifndef HELPER_PARSE_H
#define HELPER_PARSE_H

#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bdf {
	uint32_t domain;
	uint8_t bus;
	uint8_t devfn;
};

#define BDF_TEXT	24

int parse_u64(const char *text, uint64_t max, uint64_t *value);
int parse_size(const char *text, uint64_t *bytes);
int parse_duration(const char *text, uint64_t default_unit_us, uint64_t *us);
int parse_timeout(const char *text, unsigned int *ms);
int parse_cpus(const char *text, cpu_set_t *cpus);
int parse_bdf(const char *text, struct bdf *bdf);
bool parse_name_valid(const char *name, size_t max);
void format_bdf(char text[BDF_TEXT], const struct bdf *bdf);
void format_size(char *text, size_t len, uint64_t bytes);

#endif
