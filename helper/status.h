/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Exit statuses of vfiouserctl: one for each kind of failure that a script may want to tell apart.
 * They are an interface (documented in vfiouserctl.8): never renumber, only append.
 */
#ifndef HELPER_STATUS_H
#define HELPER_STATUS_H

#include <stddef.h>

enum status {
	ST_OK		= 0,
	ST_FAILED	= 1,	/* anything that has no status of its own */
	ST_USAGE	= 2,	/* bad option or argument */
	ST_NO_SOCKET	= 3,	/* nothing at the server's address */
	ST_NOT_SOCKET	= 4,	/* something else is there: a file, a directory */
	ST_REFUSED	= 5,	/* a socket where nobody listens */
	ST_PERMISSION	= 6,	/* root is needed, or the socket's mode forbids it */
	ST_CLOSED	= 7,	/* the server closed the connection or died */
	ST_VERSION	= 8,	/* the server speaks another version of the protocol */
	ST_PROTOCOL	= 9,	/* the server breaks the protocol */
	ST_SERVER	= 10,	/* the server answered with an error, or offers too little */
	ST_TIMEOUT	= 11,	/* no answer in time */
	ST_NO_MODULE	= 12,	/* vfiouser_pci is not loaded */
	ST_BUSY		= 13,	/* the device is in use */
	ST_NO_DEVICE	= 14,	/* no device of that name, address or socket */
	ST_EXISTS	= 15,	/* the name is taken */
	ST_KERNEL	= 16,	/* the kernel refused for another reason */
	ST_ABI		= 17,	/* module and vfiouserctl do not fit together */
	ST_ONE_CPU	= 18,	/* one CPU online: an atomic read could never be answered */
	ST_NO_MEMORY	= 19,	/* no memory for the DMA pool */
	ST_OTHER_DEVICE	= 20,	/* the server came back with another device */
	ST_NO_INTERRUPTS = 21,	/* the device has interrupts, and the transport carries none */
	ST_DIFFERENT	= 22,	/* a server answered otherwise than recorded */
	ST_UNSTABLE	= 23,	/* the server comes back, and goes before its device works */
};

struct vfuc_error;

int status_of_server(const struct vfuc_error *error);
int status_of_errno(int err);
int status_of_kernel(int err);

#endif
