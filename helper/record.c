// SPDX-License-Identifier: GPL-2.0-only
/*
 * "attach --record": what travels on the sockets goes to a file as well.
 *
 * The helper waits for each write. A file on a disk which the helper itself serves would make it
 * wait for itself once that has to write pages back: the manual says so.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "engine/client.h"
#include "log.h"
#include "pcapng.h"
#include "record.h"
#include "status.h"

/**
 * record_open() - begin a recording
 * @record: result
 * @path: of the file, which is overwritten unless @again
 * @address: of the server
 * @again: it goes on after another connection, in a section of its own
 *
 * Context: set-up.
 * Return: enum status.
 */
int record_open(struct record *record, const char *path, const char *address, bool again)
{
	int err = 0;

	/* It may hold what goes over the wire: root's business. */
	record->fd = open(path, O_WRONLY | O_CREAT | (again ? O_APPEND : O_TRUNC) | O_CLOEXEC,
			  0600);
	if (record->fd < 0)
		err = -errno;
	if (!err)
		err = pcapng_begin(record->fd, address);
	if (!err)
		return ST_OK;
	record_close(record);
	return log_fail(ST_FAILED, "cannot record to %s: %s", path, strerror(-err));
}

/**
 * record_message() - one more message
 * @record: open, or ended
 * @tap: the message
 *
 * A recording that fails ends, the device goes on.
 *
 * Context: sleeps as a write to the file does.
 */
void record_message(struct record *record, const struct vfuc_tap *tap)
{
	struct pcapng_packet packet = {
		.server = !tap->sent,
		.twin = tap->twin,
		.nr_fds = tap->nr_fds,
	};
	struct timespec now;
	int err;

	if (record->fd < 0)
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	packet.ns = now.tv_sec * 1000000000ull + now.tv_nsec;
	err = pcapng_write(record->fd, &packet, tap->iov, tap->n);
	if (!err)
		return;
	log_error("the recording ends here: %s", strerror(-err));
	record_close(record);
}

/**
 * record_close() - end a recording
 * @record: open or not
 *
 * Context: may sleep.
 */
void record_close(struct record *record)
{
	if (record->fd >= 0)
		close(record->fd);
	record->fd = -1;
}
