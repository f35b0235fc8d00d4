# SPDX-License-Identifier: GPL-2.0-only
# The library of the servers, for whoever builds it: its sources.
VFUS := $(addprefix servers/lib/,vfus vfus_msg vfus_version vfus_cmd vfus_irq vfus_dma vfus_turn \
	pcicfg)
# a virtio device on it, for servers that are one
VIRTIO := $(addprefix servers/lib/,virtio_pci virtio_queue)
