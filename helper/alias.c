// SPDX-License-Identifier: GPL-2.0-only
/*
 * Is there a kernel module for a device? In the files that depmod makes of the modules' own words,
 * and which say what udev would load: modules.alias, and for what is built in
 * modules.builtin.modinfo (depmod(8), modules.dep(5)). Before Linux 6.18 the latter has no devices:
 * a driver that is built in may then take what nothing here is for.
 *
 * Owns nothing. Patterns are those of the shell.
 */
#include <errno.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "alias.h"
#include "sysfs.h"

static FILE *open_list(const char *release, const char *name)
{
	char path[PATH_MAX];

	if (snprintf(path, sizeof(path), "%s/lib/modules/%s/%s", sysfs_root, release, name) >=
	    (int)sizeof(path))
		return NULL;
	return fopen(path, "re");
}

/* Lines "alias PATTERN MODULE". */
static int find_module(const char *release, const char *modalias)
{
	FILE *list = open_list(release, "modules.alias");
	char *line = NULL, *pattern, *save;
	int found = 0;
	size_t size = 0;

	if (!list)
		return -ENOENT;
	while (!found && getline(&line, &size, list) > 0) {
		if (strncmp(line, "alias pci:", 10))
			continue;
		strtok_r(line, " \n", &save);
		pattern = strtok_r(NULL, " \n", &save);
		found = pattern && !fnmatch(pattern, modalias, 0);
	}
	free(line);
	fclose(list);
	return found;
}

/* Words "MODULE.alias=PATTERN", each with a NUL behind it. */
static int find_builtin(const char *release, const char *modalias)
{
	FILE *list = open_list(release, "modules.builtin.modinfo");
	char *word = NULL, *pattern;
	int found = 0;
	size_t size = 0;

	if (!list)
		return 0;
	while (!found && getdelim(&word, &size, '\0', list) > 0) {
		pattern = strstr(word, ".alias=");
		found = pattern && !fnmatch(pattern + 7, modalias, 0);
	}
	free(word);
	fclose(list);
	return found;
}

/**
 * alias_find() - is there a module of this kernel's that a device would have loaded?
 * @modalias: of the device, as sysfs has it
 *
 * Context: any; reads files.
 * Return: 1, 0, or -ENOENT where there is no list.
 */
int alias_find(const char *modalias)
{
	struct utsname uts;
	int found;

	if (uname(&uts))
		return -ENOENT;
	found = find_module(uts.release, modalias);
	if (!found)
		found = find_builtin(uts.release, modalias);
	return found;
}
