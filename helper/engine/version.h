/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Version and capability negotiation: writing the proposal, judging the reply. Pure functions.
 */
#ifndef VFUC_VERSION_H
#define VFUC_VERSION_H

#include "client.h"

#define VFUC_VERSION_MAX_JSON	(64 * 1024)
#define VFUC_LARGEST_XFER	(16u * 1024 * 1024)	/* whatever the server allows */

struct vfuc_proposal {
	uint32_t max_msg_fds;
	uint64_t max_data_xfer_size;
	uint64_t pgsizes;
	uint32_t max_dma_maps;
	bool write_multiple;
	bool twin_socket;
	unsigned int keep_ms;
	uint64_t token;
};

/**
 * vfuc_version_propose() - the JSON text of a proposal
 * @p: what to offer
 *
 * Return: a string to free(), or NULL without memory.
 */
char *vfuc_version_propose(const struct vfuc_proposal *p);

typedef void (*vfuc_version_note_fn)(void *opaque, const char *text);

/**
 * vfuc_version_judge() - check the server's reply and work out what holds
 * @p: what was offered
 * @data: payload of the reply
 * @len: bytes of @data
 * @nr_fds: descriptors that came with it
 * @caps: filled in, all but can_pass_fds and json
 * @twin_index: which descriptor is the twin socket, -1 if none
 * @note: called with a line for each thing ignored
 * @opaque: for @note
 * @error: filled in on failure
 *
 * Implements the rules of VFIO_USER_VERSION: same major, minor not above ours, capabilities a
 * subset of those proposed, defaults for what is missing.
 *
 * Return: 0, -EPROTO or -ENOMEM.
 */
int vfuc_version_judge(const struct vfuc_proposal *p, const void *data, size_t len,
		       unsigned int nr_fds, struct vfuc_caps *caps, int *twin_index,
		       vfuc_version_note_fn note, void *opaque, struct vfuc_error *error);

#endif
