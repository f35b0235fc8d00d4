// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which device is meant: by its name, its PCI address, its server's socket, or its number.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "log.h"
#include "status.h"

/**
 * find_same_socket() - do two addresses lead to one socket?
 * @socket: of a device, "" if it is not known
 * @target: as typed
 *
 * Context: may sleep, looks at files.
 * Return: true if they are the same, as text or where paths lead now.
 */
bool find_same_socket(const char *socket, const char *target)
{
	char real[PATH_MAX], device[PATH_MAX];

	if (!*socket)
		return false;
	if (!strncmp(target, "unix:", 5))
		target += 5;
	if (!strncmp(socket, "unix:", 5))
		socket += 5;
	if (!strcmp(socket, target))
		return true;
	if (*socket != '/' || !realpath(target, real))
		return false;
	return !strcmp(socket, real) || (realpath(socket, device) && !strcmp(device, real));
}

/**
 * find_matches() - is this the device that is meant?
 * @device: candidate
 * @target: as typed: a PCI address, a socket or a number; names go first, see find_device()
 *
 * Context: may sleep.
 * Return: true if it is.
 */
bool find_matches(const struct netlink_device *device, const char *target)
{
	struct bdf bdf;
	uint64_t id;

	if (!strcmp(device->name, target) || find_same_socket(device->socket, target))
		return true;
	if (!parse_u64(target, UINT32_MAX, &id))
		return id == device->id;
	return device->has_bdf && !parse_bdf(target, &bdf) && bdf.domain == device->bdf.domain &&
	       bdf.bus == device->bdf.bus && bdf.devfn == device->bdf.devfn;
}

/**
 * find_device() - look up the device that is meant, or say why there is none
 * @nl: connection
 * @target: as typed
 * @device: result
 *
 * A device of that name is the one, whatever else fits.
 *
 * Context: may sleep.
 * Return: enum status.
 */
int find_device(struct netlink *nl, const char *target, struct netlink_device *device)
{
	struct netlink_device *devices;
	size_t count, i, found = 0;
	int err;

	err = netlink_device_list(nl, &devices, &count);
	if (err == -EPERM || err == -EACCES)
		return log_fail(ST_PERMISSION, "devices are root's business; run it with sudo");
	if (err)
		return log_fail(status_of_kernel(err), "cannot list devices: %s",
				netlink_error(nl));
	for (i = 0; i < count; i++) {
		if (!find_matches(&devices[i], target))
			continue;
		*device = devices[i];
		found++;
		if (!strcmp(devices[i].name, target)) {
			found = 1;
			break;
		}
	}
	free(devices);
	if (!found)
		return log_fail(ST_NO_DEVICE, "no device \"%s\"; \"" PROGRAM " list\" shows what there is",
				target);
	if (found > 1)
		return log_fail(ST_USAGE, "\"%s\" fits %zu devices; use a name of \"" PROGRAM " list\"",
				target, found);
	return ST_OK;
}
