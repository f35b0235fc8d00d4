/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Descriptors that stand for accesses to the server's BARs, and those among them that the kernel
 * signals by itself.
 */
#ifndef HELPER_IOEVENTFD_H
#define HELPER_IOEVENTFD_H

struct device;
struct ring;
struct vfuc;

void ioeventfd_query(struct device *dev, struct vfuc *c);
void ioeventfd_assign(const struct device *dev, struct ring *ring);

#endif
