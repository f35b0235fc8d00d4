// SPDX-License-Identifier: GPL-2.0-only
/* What a message is, and the names of the protocol's commands. */
#include "protocol.h"

const char *vfuc_command_name(unsigned int command)
{
	static const char * const names[] = {
		[VFUC_CMD_VERSION] = "VERSION",
		[VFUC_CMD_DMA_MAP] = "DMA_MAP",
		[VFUC_CMD_DMA_UNMAP] = "DMA_UNMAP",
		[VFUC_CMD_GET_INFO] = "DEVICE_GET_INFO",
		[VFUC_CMD_GET_REGION_INFO] = "DEVICE_GET_REGION_INFO",
		[VFUC_CMD_GET_REGION_IO_FDS] = "DEVICE_GET_REGION_IO_FDS",
		[VFUC_CMD_GET_IRQ_INFO] = "DEVICE_GET_IRQ_INFO",
		[VFUC_CMD_SET_IRQS] = "DEVICE_SET_IRQS",
		[VFUC_CMD_REGION_READ] = "REGION_READ",
		[VFUC_CMD_REGION_WRITE] = "REGION_WRITE",
		[VFUC_CMD_DMA_READ] = "DMA_READ",
		[VFUC_CMD_DMA_WRITE] = "DMA_WRITE",
		[VFUC_CMD_RESET] = "DEVICE_RESET",
		[VFUC_CMD_REGION_WRITE_MULTI] = "REGION_WRITE_MULTI",
	};

	if (command < sizeof(names) / sizeof(names[0]) && names[command])
		return names[command];
	return "unknown command";
}

bool vfuc_is_reply(const struct vfuc_header *header)
{
	if ((header->flags & VFUC_TYPE_MASK) == VFUC_TYPE_REPLY)
		return true;
	return header->flags & VFUC_FLAG_ERROR && header->command != VFUC_CMD_DMA_READ &&
	       header->command != VFUC_CMD_DMA_WRITE;
}
