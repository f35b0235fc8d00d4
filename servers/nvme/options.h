/* SPDX-License-Identifier: GPL-2.0-only */
/* What the command line says, beside what goes straight into the controller. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include "nvme.h"

#define PROG		"vfiouser-nvme"

struct options {
	struct vfus_config vfus;
	struct disk_options disk;	/* of each */
	struct {
		const char *file;	/* NULL: memory */
		uint64_t ram;
	} backing[NVME_MAX_NS];
	unsigned int nr_backings;
	unsigned int lba_shift;		/* 0: as the backing has it */
	const char *name;
	bool no_ring;
	bool no_keep;			/* the controller's state goes with its client */
	unsigned int irqs;		/* bit per VFIO_PCI_*_IRQ_INDEX */
};

void options_parse(struct options *o, struct nvme_ctrl *c, int argc, char **argv);

#endif
