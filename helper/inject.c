// SPDX-License-Identifier: GPL-2.0-only
/*
 * "attach --inject": which messages something happens to.
 *
 * The numbers are random, but the same each time: a fault that was found can be found again.
 */
#include <ctype.h>
#include <errno.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "array.h"
#include "device.h"
#include "engine/client.h"
#include "engine/protocol.h"
#include "inject.h"
#include "parse.h"

#define MILLION		1000000
#define MAX_DELAY_MS	600000
#define MAX_ERRNO	4095
#define DEFAULT_SEED	1

#define CMD(name)	(1u << VFUC_CMD_##name)

static const struct {
	const char *name;
	uint32_t commands;
} types[] = {
	{ "access", CMD(REGION_READ) | CMD(REGION_WRITE) },
	{ "read", CMD(REGION_READ) },
	{ "write", CMD(REGION_WRITE) },
	{ "irq", CMD(SET_IRQS) },
	{ "reset", CMD(RESET) },
	{ "dma", CMD(DMA_MAP) | CMD(DMA_UNMAP) },
	{ "info", CMD(GET_INFO) | CMD(GET_REGION_INFO) | CMD(GET_IRQ_INFO) |
		  CMD(GET_REGION_IO_FDS) },
	{ "version", CMD(VERSION) },
	{ "all", ~0u },
};

/* "0.25", "1", "25%" */
static int parse_probability(const char *text, unsigned int *millionths)
{
	double value;
	char *end;

	if (!isdigit((unsigned char)*text))
		return -EINVAL;
	value = strtod(text, &end);
	if (*end == '%') {
		value /= 100;
		end++;
	}
	if (*end || !(value >= 0 && value <= 1))
		return -EINVAL;
	*millionths = value * MILLION + 0.5;
	return 0;
}

/* "EIO" or "5" */
static int parse_errno(const char *text, unsigned int *err)
{
	const char *name;
	uint64_t value;
	int i;

	if (!parse_u64(text, MAX_ERRNO, &value) && value) {
		*err = value;
		return 0;
	}
	for (i = 1; i < 200; i++) {
		name = strerrorname_np(i);
		if (name && !strcasecmp(name, text)) {
			*err = i;
			return 0;
		}
	}
	return -EINVAL;
}

/* "read", "read/bar0", "bar0" */
static int parse_where(const char *text, struct inject_rule *rule)
{
	size_t len = strcspn(text, "/"), i;
	const char *region = text[len] ? text + len + 1 : NULL;
	uint32_t commands = 0;

	for (i = 0; i < ARRAY_SIZE(types); i++)
		if (strlen(types[i].name) == len && !strncmp(types[i].name, text, len))
			commands = types[i].commands;
	if (commands)
		rule->commands = commands;
	else if (region)
		return -EINVAL;
	else
		region = text;
	if (!region || commands == ~0u)
		return region && commands ? -EINVAL : 0;
	for (i = 0; i < VFIO_PCI_NUM_REGIONS; i++) {
		if (!strcasecmp(device_region_name(i), region)) {
			rule->region = i;
			return rule->commands & ~types[0].commands ? -EINVAL : 0;
		}
	}
	return -EINVAL;
}

static int parse_rule(struct inject *inject, char *text)
{
	struct inject_rule rule = {
		.millionths = MILLION,
		.commands = types[0].commands,
		.region = -1,
	};
	char *where = strchr(text, '@');
	char *action, *value = NULL, *probability;
	uint64_t number;

	if (where)
		*where++ = '\0';
	action = strsep(&text, ":");
	if (!strcmp(action, "seed")) {
		if (where || !text || parse_u64(text, UINT32_MAX, &number) || !number)
			return -EINVAL;
		inject->seed = number;
		return 0;
	}
	if (strcmp(action, "drop"))
		value = strsep(&text, ":");
	probability = text;
	if (!strcmp(action, "drop")) {
		rule.action = INJECT_DROP;
	} else if (!value) {
		return -EINVAL;
	} else if (!strcmp(action, "delay")) {
		rule.action = INJECT_DELAY;
		if (parse_u64(value, MAX_DELAY_MS, &number))
			return -EINVAL;
		rule.value = number;
	} else if (!strcmp(action, "error")) {
		rule.action = INJECT_ERROR;
		if (parse_errno(value, &rule.value))
			return -EINVAL;
	} else {
		return -EINVAL;
	}
	if (probability && parse_probability(probability, &rule.millionths))
		return -EINVAL;
	if (where && parse_where(where, &rule))
		return -EINVAL;
	if (inject->count == INJECT_RULES)
		return -E2BIG;
	inject->rules[inject->count++] = rule;
	return 0;
}

/**
 * inject_parse() - add rules
 * @inject: zeroed, or with others
 * @text: as typed: rules separated by commas, each ACTION[:VALUE][:PROBABILITY][@WHAT]
 * @wrong: result: where the rule begins that is wrong
 * @len: result: its length
 *
 * Context: any.
 * Return: 0, -EINVAL for a rule that is none, -E2BIG for too many.
 */
int inject_parse(struct inject *inject, const char *text, const char **wrong, size_t *len)
{
	char rule[128];
	int err;

	if (!inject->seed)
		inject->seed = DEFAULT_SEED;
	for (;; text += *len + 1) {
		*wrong = text;
		*len = strcspn(text, ",");
		if (*len >= sizeof(rule))
			return -EINVAL;
		snprintf(rule, sizeof(rule), "%.*s", (int)*len, text);
		err = parse_rule(inject, rule);
		if (err || !text[*len])
			return err;
	}
}

/* xorshift64 */
static unsigned int roll(struct inject *inject)
{
	inject->seed ^= inject->seed << 13;
	inject->seed ^= inject->seed >> 7;
	inject->seed ^= inject->seed << 17;
	return inject->seed % MILLION;
}

/**
 * inject_decide() - what is to become of a message
 * @inject: rules
 * @command: of the message
 * @region: that it accesses, or VFUC_NO_REGION
 * @fault: zeroed; filled in
 *
 * Context: any.
 */
void inject_decide(struct inject *inject, unsigned int command, uint32_t region,
		   struct vfuc_fault *fault)
{
	const struct inject_rule *rule;
	unsigned int i;

	for (i = 0; i < inject->count; i++) {
		rule = &inject->rules[i];
		if (command > 31 || !(rule->commands & 1u << command) ||
		    (rule->region >= 0 && (uint32_t)rule->region != region) ||
		    roll(inject) >= rule->millionths)
			continue;
		if (rule->action == INJECT_DROP)
			fault->drop = true;
		else if (rule->action == INJECT_ERROR)
			fault->error = rule->value;
		else
			fault->delay_ms += rule->value;
	}
}
