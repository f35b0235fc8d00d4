/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The device of vfiouser-iofd, whose doorbells are descriptors.
 *
 *	BAR 0, 4 KiB, all of it little-endian
 *	0x000	doorbells: ioeventfds, see iofd.c, plain memory otherwise
 *	0x200	an ioregionfd of 256 bytes, memory
 *	0x300	an ioregionfd of 16 bytes with posted writes, memory
 *	0x310	an ioregionfd without a size: writes only
 *	0x400	registers, below
 *	0x800	signals that each ioeventfd has had, 8 bytes each
 *	0xa00	the shadow memory, 256 bytes, as the server sees it; read-only
 */
#ifndef IOFD_H
#define IOFD_H

#define IOFD_VENDOR		0xfffe
#define IOFD_DEVICE		0x10fd

#define IOFD_BAR_SIZE		0x1000
#define IOFD_REGION		0x200	/* ioregionfd, waits for the answer to a write */
#define IOFD_REGION_SIZE	0x100
#define IOFD_POSTED		0x300	/* ioregionfd, does not */
#define IOFD_POSTED_SIZE	0x10
#define IOFD_SIZELESS		0x310

/* Registers, 8 bytes each: what came as a message to the first 1 KiB. */
#define IOFD_WRITES		0x400	/* how many writes */
#define IOFD_READS		0x408	/* how many reads */
#define IOFD_LAST_OFFSET	0x410	/* of the last write */
#define IOFD_LAST_SIZE		0x418
#define IOFD_LAST_VALUE		0x420
/* What came over the ioregionfd. */
#define IOFD_CMD_READS		0x440
#define IOFD_CMD_WRITES		0x448
#define IOFD_CMD_OFFSET		0x450	/* of the last command */
#define IOFD_CMD_SIZE		0x458
#define IOFD_CMD_DATA		0x460
#define IOFD_CMD_USER_DATA	0x468
#define IOFD_CMD_RESP		0x470
/* Writing makes: */
#define IOFD_CLEAR		0x480	/* all counters zero */
#define IOFD_HANGUP		0x488	/* the ioregionfd closed */
#define IOFD_DELAY		0x490	/* answers on it as late as this, microseconds */
#define IOFD_MUTE		0x498	/* no answers on it */

#define IOFD_COUNTS		0x800
#define IOFD_SHADOW		0xa00
#define IOFD_SHADOW_SIZE	0x100

#define IOFD_USER_DATA		0x1234567890abcdefULL
#define IOFD_POSTED_USER_DATA	0x5678ULL

#endif
