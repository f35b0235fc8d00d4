// SPDX-License-Identifier: GPL-2.0-only
/*
 * vfiouser-nvme-fault: vfiouser-nvme that has --fault=KIND[:N] as well, to try a client with, and
 * --disk-fault=CALL:WHAT, to try the server.
 */
#include <stdio.h>
#include <string.h>

#include "../../servers/nvme/nvme.h"
#include "disk_fault.h"
#include "fault.h"

int main(int argc, char **argv)
{
	static const char option[] = "--fault=", disk[] = "--disk-fault=";
	static struct vfus_hooks hooks;
	int i, n = 1;

	for (i = 1; i < argc; i++) {
		if (!strncmp(argv[i], disk, strlen(disk))) {
			if (!disk_fault_parse(argv[i] + strlen(disk)))
				continue;
			fprintf(stderr, "vfiouser-nvme-fault: %s: see disk_fault.c\n", argv[i]);
			return 2;
		}
		if (strncmp(argv[i], option, strlen(option))) {
			argv[n++] = argv[i];
		} else if (fault_parse(argv[i] + strlen(option), &hooks)) {
			fprintf(stderr, "vfiouser-nvme-fault: %s: give one of %s\n", argv[i],
				fault_help());
			return 2;
		}
	}
	argv[n] = NULL;
	return nvme_main(n, argv, &hooks);
}
