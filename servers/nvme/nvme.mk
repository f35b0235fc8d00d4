# SPDX-License-Identifier: GPL-2.0-only
# vfiouser-nvme: a disk image, or memory, as an NVMe controller. A program of the tests has all of
# it but main().

NVME := $(addprefix servers/nvme/,nvme options nvme_regs nvme_queue nvme_req nvme_shadow nvme_prp \
	nvme_admin nvme_identify nvme_log nvme_format nvme_io nvme_ns io io_ring io_threads disk \
	disk_io disk_erase memory)
NVME_LIBS := -luring -pthread
