/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What of a server's offer the host will not see as the server shows it.
 */
#ifndef HELPER_OFFER_H
#define HELPER_OFFER_H

#include <stddef.h>
#include <stdint.h>

#include "engine/client.h"

/* What becomes of it. */
enum offer_fate {
	OFFER_HIDDEN,		/* it is not shown */
	OFFER_CHANGED,		/* it is shown as something else */
	OFFER_TRAPPED,		/* it works, by messages */
	OFFER_REFUSED,		/* the device is not attached */
};

/**
 * typedef offer_visit_t - one thing to be told
 * @opaque: the caller's
 * @fate: what becomes of it
 * @what: what it is
 * @why: why that is
 */
typedef void (*offer_visit_t)(void *opaque, enum offer_fate fate, const char *what,
			      const char *why);

/**
 * struct offer - what a server has said of its device
 * @config: config space
 * @len: bytes of it
 * @regions: by VFIO_PCI_*_REGION_INDEX
 * @nr_regions: how many there are
 */
struct offer {
	const uint8_t *config;
	size_t len;
	struct vfuc_region_info *const *regions;
	uint32_t nr_regions;
};

void offer_visit(const struct offer *offer, offer_visit_t visit, void *opaque);
const char *offer_fate_name(enum offer_fate fate);

#endif
