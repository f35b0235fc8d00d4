# SPDX-License-Identifier: GPL-2.0-only
# vfiouser-vhost, for whoever builds it: its sources but main.c
VHOST := $(addprefix servers/vhost/,wire events link config backreq mem ring inflight recover undertaker \
	handover standby netctl types pci)
