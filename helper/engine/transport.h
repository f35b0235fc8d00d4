/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Sockets: turning an address into a connected one, and moving bytes and descriptors through it.
 *
 * Nothing here keeps state besides the socket's descriptor. All sockets are non-blocking.
 */
#ifndef VFUC_TRANSPORT_H
#define VFUC_TRANSPORT_H

#include <stdbool.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "error.h"

#define VFUC_TRANSPORT_MAX_FDS	253	/* the kernel's SCM_MAX_FD */

/**
 * struct vfuc_fds - descriptors received and not yet given to anybody
 * @count: how many of @fd
 * @fd: the descriptors; -1 where one was taken
 * @lost: the kernel had no room for those behind them in this process
 * @sender: process that sent the last bytes, as vfuc_transport_ask_sender() has asked; 0: not known
 */
struct vfuc_fds {
	unsigned int count;
	int fd[VFUC_TRANSPORT_MAX_FDS];
	bool lost;
	pid_t sender;
};

/**
 * vfuc_transport_open() - connect to an address
 * @address: as in struct vfuc_config
 * @timeout_ms: for connecting
 * @fd: the connected stream socket, non-blocking, close-on-exec; the caller's
 * @passes_fds: whether it is a UNIX socket
 * @error: filled in on failure; may be NULL
 *
 * Context: may block, up to @timeout_ms and for name resolution.
 * Return: 0 or a negative errno. An "fd:N" is closed on failure.
 */
int vfuc_transport_open(const char *address, unsigned int timeout_ms, int *fd, bool *passes_fds,
			struct vfuc_error *error);

/**
 * vfuc_transport_adopt() - make a descriptor that came from elsewhere fit for use
 * @fd: should be a stream socket; stays the caller's in any case
 * @passes_fds: whether it is a UNIX socket
 *
 * Return: 0, -ENOTSOCK, -EPROTOTYPE if it is not a stream socket, or another negative errno.
 */
int vfuc_transport_adopt(int fd, bool *passes_fds);

/**
 * vfuc_transport_send() - one sendmsg()
 * @fd: socket
 * @iov: what to send
 * @n: how many of @iov
 * @fds: descriptors to go with the first byte
 * @nr_fds: how many of @fds, at most VFUC_TRANSPORT_MAX_FDS
 *
 * Return: bytes sent, maybe not all; -EAGAIN if the socket takes nothing now; another negative
 * errno if it is broken.
 */
ssize_t vfuc_transport_send(int fd, const struct iovec *iov, int n, const int *fds,
			    unsigned int nr_fds);

/**
 * vfuc_transport_receive() - one recvmsg()
 * @fd: socket
 * @buf: where to
 * @len: bytes at most, not 0
 * @fds: received descriptors are added here; NULL: the kernel drops them
 * @surplus: increased by descriptors that were dropped for want of room; those dropped by the
 *	kernel count as one
 *
 * Return: bytes; -EAGAIN; -ECONNRESET at the end of the stream; another negative errno.
 */
ssize_t vfuc_transport_receive(int fd, void *buf, size_t len, struct vfuc_fds *fds,
			       unsigned int *surplus);

/**
 * vfuc_transport_ask_sender() - have the kernel say who sends what is received from now on
 * @fd: UNIX socket; of other kinds nothing is known
 * @ask: or not any more
 *
 * SO_PEERCRED names whoever called listen(): that is the supervisor which has made the socket, and
 * neither the server that it hands it to nor the child that a server starts for a connection.
 *
 * Context: any. What was sent before is not told.
 */
void vfuc_transport_ask_sender(int fd, bool ask);

/**
 * vfuc_fd_close() - have done with a descriptor that the server sent
 * @fd: descriptor
 *
 * Closing one can wait for whoever made it: for the flush of a FUSE file as long as its server
 * likes, and not even SIGKILL ends that. Files in memory, eventfds, pipes and local sockets have
 * nobody to wait for and are closed; whatever else it is stays open and goes with the process. A
 * server that sends many of those runs into the limit of open files, as one whose descriptors are
 * used does.
 *
 * Context: does not sleep.
 */
void vfuc_fd_close(int fd);

/**
 * vfuc_fds_close() - close and forget what is left
 * @fds: descriptors
 *
 * Return: how many there were.
 */
unsigned int vfuc_fds_close(struct vfuc_fds *fds);

/**
 * vfuc_fds_take() - take one descriptor out; the others keep their indexes
 * @fds: descriptors
 * @index: which
 *
 * Return: the descriptor, now the caller's, or -1 if there is none at @index.
 */
int vfuc_fds_take(struct vfuc_fds *fds, unsigned int index);

#endif
