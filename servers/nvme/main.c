// SPDX-License-Identifier: GPL-2.0-only
/* vfiouser-nvme: the program. A file of its own, for the tests' programs have another main(). */
#include "nvme.h"

int main(int argc, char **argv)
{
	return nvme_main(argc, argv, NULL);
}
