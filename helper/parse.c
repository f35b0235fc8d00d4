// SPDX-License-Identifier: GPL-2.0-only
/*
 * What people type: sizes, durations, PCI addresses, names. Pure functions; nothing here prints.
 */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "array.h"
#include "parse.h"

/* A number without sign or leading space, and where it ends. */
static int number(const char *text, int base, const char **end, uint64_t *value)
{
	char *stop;

	if (!isxdigit((unsigned char)*text))
		return -EINVAL;
	errno = 0;
	*value = strtoull(text, &stop, base);
	if (errno)
		return -errno;
	if (stop == text)
		return -EINVAL;
	*end = stop;
	return 0;
}

/**
 * parse_u64() - a whole number, decimal or 0x...
 * @text: what was typed
 * @max: largest allowed
 * @value: result
 *
 * Context: any.
 * Return: 0, -EINVAL or -ERANGE.
 */
int parse_u64(const char *text, uint64_t max, uint64_t *value)
{
	const char *end;
	int err;

	err = number(text, 0, &end, value);
	if (err)
		return err;
	if (*end)
		return -EINVAL;
	return *value > max ? -ERANGE : 0;
}

/**
 * parse_size() - bytes, with K, M, G or T (powers of 1024; "MiB" and "MB" are read the same way)
 * @text: what was typed
 * @bytes: result
 *
 * Context: any.
 * Return: 0, -EINVAL or -ERANGE.
 */
int parse_size(const char *text, uint64_t *bytes)
{
	static const char units[] = "KMGT";
	const char *end, *unit;
	unsigned int shift;
	uint64_t value;
	int err;

	err = number(text, 0, &end, &value);
	if (err)
		return err;
	if (*end) {
		unit = strchr(units, toupper((unsigned char)*end));
		if (!unit)
			return -EINVAL;
		if (end[1] && strcasecmp(end + 1, "B") && strcasecmp(end + 1, "iB"))
			return -EINVAL;
		shift = 10 * (unit - units + 1);
		if (value > UINT64_MAX >> shift)
			return -ERANGE;
		value <<= shift;
	}
	*bytes = value;
	return 0;
}

/**
 * parse_duration() - a time, with us, ms, s or m
 * @text: what was typed
 * @default_unit_us: microseconds that a bare number counts
 * @us: result, microseconds
 *
 * Context: any.
 * Return: 0, -EINVAL or -ERANGE.
 */
int parse_duration(const char *text, uint64_t default_unit_us, uint64_t *us)
{
	static const struct {
		const char *name;
		uint64_t us;
	} units[] = {
		{ "us", 1 }, { "ms", 1000 }, { "s", 1000000 }, { "m", 60000000 },
	};
	uint64_t value, unit = default_unit_us;
	const char *end;
	size_t i;
	int err;

	err = number(text, 10, &end, &value);
	if (err)
		return err;
	if (*end) {
		for (i = 0; i < ARRAY_SIZE(units); i++)
			if (!strcmp(end, units[i].name))
				break;
		if (i == ARRAY_SIZE(units))
			return -EINVAL;
		unit = units[i].us;
	}
	if (value > UINT64_MAX / unit)
		return -ERANGE;
	*us = value * unit;
	return 0;
}

/**
 * parse_timeout() - how long a server may take, 1 ms to 600 s; a bare number counts seconds
 * @text: what was typed
 * @ms: result, milliseconds
 *
 * Context: any.
 * Return: 0, -EINVAL or -ERANGE.
 */
int parse_timeout(const char *text, unsigned int *ms)
{
	uint64_t us;
	int err = parse_duration(text, 1000000, &us);

	if (err)
		return err;
	if (us < 1000 || us > 600000000)
		return -ERANGE;
	*ms = us / 1000;
	return 0;
}

/**
 * parse_cpus() - a list of CPUs, as 0-3,8
 * @text: what was typed
 * @cpus: result
 *
 * Context: any.
 * Return: 0, -EINVAL or -ERANGE.
 */
int parse_cpus(const char *text, cpu_set_t *cpus)
{
	unsigned long first, last;
	char *end;

	CPU_ZERO(cpus);
	do {
		if (!isdigit((unsigned char)*text))
			return -EINVAL;
		first = strtoul(text, &end, 10);
		last = first;
		if (*end == '-') {
			if (!isdigit((unsigned char)end[1]))
				return -EINVAL;
			last = strtoul(end + 1, &end, 10);
		}
		if (last < first || (*end && *end != ','))
			return -EINVAL;
		if (last >= CPU_SETSIZE)
			return -ERANGE;
		for (; first <= last; first++)
			CPU_SET(first, cpus);
		text = end + 1;
	} while (*end);
	return 0;
}

/**
 * parse_bdf() - a PCI address, DOMAIN:BUS:DEVICE.FUNCTION in hexadecimal
 * @text: what was typed; without a domain it is 0
 * @bdf: result
 *
 * Context: any.
 * Return: 0 or -EINVAL.
 */
int parse_bdf(const char *text, struct bdf *bdf)
{
	uint64_t part[3];
	const char *end = text;
	int n = 0;

	while (n < 3) {
		if (number(end, 16, &end, &part[n]))
			return -EINVAL;
		n++;
		if (*end != ':')
			break;
		end++;
	}
	if (n < 2 || *end != '.' || end[1] < '0' || end[1] > '7' || end[2])
		return -EINVAL;
	if (n == 2) {
		part[2] = part[1];
		part[1] = part[0];
		part[0] = 0;
	}
	if (part[0] > UINT32_MAX || part[1] > 0xff || part[2] > 0x1f)
		return -EINVAL;
	bdf->domain = part[0];
	bdf->bus = part[1];
	bdf->devfn = part[2] << 3 | (end[1] - '0');
	return 0;
}

/**
 * parse_name_valid() - may a device have this name?
 * @name: what was typed
 * @max: bytes there are for it, the NUL included
 *
 * Names end up in sysfs and in messages, and must not be taken for an address or an option.
 *
 * Context: any.
 * Return: true if it is.
 */
bool parse_name_valid(const char *name, size_t max)
{
	struct bdf bdf;
	size_t i;

	if (!isalnum((unsigned char)*name) || strlen(name) >= max)
		return false;
	for (i = 0; name[i]; i++)
		if (!isalnum((unsigned char)name[i]) && !strchr("._-", name[i]))
			return false;
	return parse_bdf(name, &bdf) != 0;
}

/**
 * format_bdf() - as the kernel and lspci write it
 * @text: BDF_TEXT bytes
 * @bdf: address
 *
 * Context: any.
 */
void format_bdf(char text[BDF_TEXT], const struct bdf *bdf)
{
	snprintf(text, BDF_TEXT, "%04x:%02x:%02x.%x", bdf->domain, bdf->bus, bdf->devfn >> 3,
		 bdf->devfn & 7u);
}

/**
 * format_size() - bytes in the largest unit that divides them
 * @text: result
 * @len: bytes there are in @text
 * @bytes: size
 *
 * Context: any.
 */
void format_size(char *text, size_t len, uint64_t bytes)
{
	static const char units[] = " KMGTPE";
	unsigned int unit = 0;

	while (bytes && bytes % 1024 == 0 && unit < 6) {
		bytes /= 1024;
		unit++;
	}
	if (unit)
		snprintf(text, len, "%" PRIu64 "%c", bytes, units[unit]);
	else
		snprintf(text, len, "%" PRIu64, bytes);
}
