/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What went wrong, in a form that a program can tell apart and a person can read.
 *
 * A struct vfuc_error belongs to the caller, holds no pointers and needs no freeing.
 * Every engine function that takes one accepts NULL.
 */
#ifndef VFUC_ERROR_H
#define VFUC_ERROR_H

/**
 * enum vfuc_error_kind - the classes of failure a caller may want to tell apart
 * @VFUC_OK: nothing went wrong
 * @VFUC_USAGE: the address or an argument makes no sense
 * @VFUC_NO_SOCKET: nothing exists at that address
 * @VFUC_NOT_A_SOCKET: the path or descriptor is something else (a file, a directory)
 * @VFUC_REFUSED: the socket exists, nobody listens
 * @VFUC_PERMISSION: we may not connect
 * @VFUC_CLOSED: the server closed the connection
 * @VFUC_TIMEOUT: no answer within the message timeout
 * @VFUC_VERSION: the server speaks another version, or needs what we do not offer
 * @VFUC_PROTOCOL: the server sent what the specification forbids
 * @VFUC_SERVER_ERROR: the server answered with an error; err is its errno, negative
 * @VFUC_UNSUPPORTED: this transport or this server cannot do that
 * @VFUC_SYSTEM: our own system failed us (memory, descriptors, ...)
 */
enum vfuc_error_kind {
	VFUC_OK,
	VFUC_USAGE,
	VFUC_NO_SOCKET,
	VFUC_NOT_A_SOCKET,
	VFUC_REFUSED,
	VFUC_PERMISSION,
	VFUC_CLOSED,
	VFUC_TIMEOUT,
	VFUC_VERSION,
	VFUC_PROTOCOL,
	VFUC_SERVER_ERROR,
	VFUC_UNSUPPORTED,
	VFUC_SYSTEM,
};

/**
 * struct vfuc_error - one failure
 * @kind: its class
 * @err: negative errno, the value the failing function also returned
 * @message: one line for people, no newline: what is wrong and what to do
 */
struct vfuc_error {
	enum vfuc_error_kind kind;
	int err;
	char message[256];
};

/**
 * vfuc_error_set() - fill in an error and return its errno
 * @error: where to put it, or NULL
 * @kind: class
 * @err: negative errno
 * @fmt: printf format of the message, without a newline
 *
 * Return: @err, so that callers can write "return vfuc_error_set(...)".
 */
int vfuc_error_set(struct vfuc_error *error, enum vfuc_error_kind kind, int err,
		   const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/**
 * vfuc_error_kind_name() - short lower-case name of a class, for logs and JSON
 * @kind: class
 *
 * Return: a constant string, "unknown" for a value out of range.
 */
const char *vfuc_error_kind_name(enum vfuc_error_kind kind);

#endif
