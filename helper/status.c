// SPDX-License-Identifier: GPL-2.0-only
/*
 * From what went wrong to the exit status. Pure functions.
 */
#include <errno.h>

#include "engine/error.h"
#include "status.h"

/**
 * status_of_server() - exit status for a failure of the protocol engine
 * @error: as the engine filled it in
 *
 * Context: any.
 * Return: an enum status, never ST_OK.
 */
int status_of_server(const struct vfuc_error *error)
{
	switch (error->kind) {
	case VFUC_USAGE:
		return ST_USAGE;
	case VFUC_NO_SOCKET:
		return ST_NO_SOCKET;
	case VFUC_NOT_A_SOCKET:
		return ST_NOT_SOCKET;
	case VFUC_REFUSED:
		return ST_REFUSED;
	case VFUC_PERMISSION:
		return ST_PERMISSION;
	case VFUC_CLOSED:
		return ST_CLOSED;
	case VFUC_TIMEOUT:
		return ST_TIMEOUT;
	case VFUC_VERSION:
		return ST_VERSION;
	case VFUC_PROTOCOL:
		return ST_PROTOCOL;
	case VFUC_SERVER_ERROR:
	case VFUC_UNSUPPORTED:
		return ST_SERVER;
	case VFUC_OK:
	case VFUC_SYSTEM:
		break;
	}
	return ST_FAILED;
}

/**
 * status_of_errno() - exit status for the errno a running connection died of
 * @err: negative errno
 *
 * Context: any.
 * Return: an enum status, never ST_OK.
 */
int status_of_errno(int err)
{
	switch (-err) {
	case ETIMEDOUT:
		return ST_TIMEOUT;
	case EPROTO:
	case EBADMSG:
		return ST_PROTOCOL;
	case ECONNRESET:
	case EPIPE:
	case ENOTCONN:
	case ECONNABORTED:
		return ST_CLOSED;
	}
	return ST_FAILED;
}

/**
 * status_of_kernel() - exit status for a refusal of the kernel module
 * @err: negative errno of a netlink answer or of open() of the channel
 *
 * Context: any.
 * Return: an enum status, never ST_OK.
 */
int status_of_kernel(int err)
{
	switch (-err) {
	case EPERM:
	case EACCES:
		return ST_PERMISSION;
	case EEXIST:
		return ST_EXISTS;
	case ENODEV:
		return ST_NO_DEVICE;
	case ENOENT:
	case ENXIO:
		return ST_NO_MODULE;
	case EPROTONOSUPPORT:
		return ST_ABI;
	case ENOMEM:
		return ST_NO_MEMORY;
	case EREMCHG:
		return ST_OTHER_DEVICE;
	}
	return ST_KERNEL;
}
