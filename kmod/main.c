// SPDX-License-Identifier: GPL-2.0-only
/*
 * Module entry and exit: which part is set up before which.
 */
#include <linux/init.h>
#include <linux/module.h>

#include "bridge.h"
#include "channel.h"
#include "device.h"
#include "netlink.h"
#include "ram.h"
#include "recover.h"
#include "trap.h"
#include "watch.h"

#define CREATE_TRACE_POINTS
#include "trace.h"

static const struct {
	int (*init)(void);
	void (*exit)(void);
} vfu_parts[] = {
	{ vfu_ram_init, vfu_ram_exit },
	{ vfu_watch_init, vfu_watch_exit },
	{ vfu_device_init, vfu_device_exit },
	{ NULL, vfu_recover_drain },
	{ vfu_trap_init, vfu_trap_exit },
	{ vfu_bridge_init, vfu_bridge_exit },
	{ vfu_channel_init, vfu_channel_exit },
	/* Last: from here on, devices can be made. */
	{ vfu_netlink_init, vfu_netlink_exit },
};

static void vfu_undo(int n)
{
	while (n--)
		vfu_parts[n].exit();
}

static int __init vfu_init(void)
{
	int i, err;

	for (i = 0; i < ARRAY_SIZE(vfu_parts); i++) {
		err = vfu_parts[i].init ? vfu_parts[i].init() : 0;
		if (err) {
			vfu_undo(i);
			return err;
		}
	}
	return 0;
}

static void __exit vfu_exit(void)
{
	vfu_undo(ARRAY_SIZE(vfu_parts));
}

module_init(vfu_init);
module_exit(vfu_exit);

MODULE_DESCRIPTION("PCI devices served by vfio-user servers");
MODULE_LICENSE("GPL");
MODULE_VERSION("0.1.0");
