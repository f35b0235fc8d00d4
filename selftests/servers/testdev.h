/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The test device: what vfiouser-testdev offers and the module vfu_test drives.
 *
 *	BAR 0, 256 KiB, 32-bit
 *	0x00000	registers, below
 *	0x10000	the log: the last accesses that the server saw; reading it is not logged
 *	0x20000	memory, 128 KiB
 *	BAR 1, 256 bytes, 32-bit: memory; 64 KiB with --vectors
 *	BAR 2, 64 KiB, 64-bit prefetchable: memory; odd pages can be mapped by the client. The
 *	vector table is in the last page, which is offered all the same, its pending bits are
 *	in the page before.
 *	BAR 4, 64 bytes, I/O ports: memory
 *	BAR 5, 4 KiB or with --bar5-mib more, 32-bit, nothing but the counter, in each of its
 *	registers
 *	expansion ROM, 4 KiB: an image with TESTDEV_ROM_BYTE() behind its header
 *
 * Each access that reaches the server, other than of the log and of the registers that control it,
 * is logged. All values are little-endian, all registers can be accessed with any width.
 */
#ifndef TESTDEV_H
#define TESTDEV_H

#include <linux/types.h>

/* Not assigned by the PCI-SIG, and never will be. */
#define TESTDEV_VENDOR		0xfffe
#define TESTDEV_DEVICE		0x7e57
#define TESTDEV_SUB_VENDOR	0xfffd
#define TESTDEV_SUB_DEVICE	0x0bad
#define TESTDEV_CLASS		0xff0000
#define TESTDEV_REVISION	0x42

#define TESTDEV_BAR0_SIZE	0x40000
#define TESTDEV_BAR1_SIZE	0x100
#define TESTDEV_BAR2_SIZE	0x10000
#define TESTDEV_BAR4_SIZE	0x40
#define TESTDEV_BAR5_SIZE	0x1000
#define TESTDEV_ROM_SIZE	0x1000
#define TESTDEV_PAGE		0x1000

#define TESTDEV_VECTORS		64
/* With more vectors, table and pending bits fill a larger BAR 1. */
#define TESTDEV_MANY_VECTORS	2048
#define TESTDEV_MANY_SIZE	0x10000
#define TESTDEV_MANY_PBA	0x8000
#define TESTDEV_MSI_LOG2	5
#define TESTDEV_MSIX_TABLE	0xf000
#define TESTDEV_MSIX_PBA	0xe000

/* Vendor-specific capability: its text begins behind id, next and length. */
#define TESTDEV_VENDOR_TEXT	"vfiouser test"
/* Extended capabilities: serial number at 0x100, vendor-specific one at 0x10c. */
#define TESTDEV_SERIAL		0x0123456789abcdefULL
#define TESTDEV_DSN		0x100
#define TESTDEV_VSEC		0x10c
#define TESTDEV_VSEC_ID		0x7e57
#define TESTDEV_VSEC_DATA	0xfeedc0de

#define TESTDEV_ROM_HEADER	0x40
#define TESTDEV_ROM_BYTE(i)	((__u8)((i) * 7 + ((i) >> 8)))

/* ---- registers of BAR 0 ---- */

#define TESTDEV_ID		0x00	/* TESTDEV_MAGIC, read-only */
#define TESTDEV_MAGIC		0x54534554
#define TESTDEV_COUNTER		0x08	/* a read returns it and adds one; 8 bytes, writable */
#define TESTDEV_SLOW_US		0x10	/* how long the next register takes */
#define TESTDEV_SLOW		0x14	/* a read returns it, late; a write is handled late */
#define TESTDEV_SCRATCH		0x18	/* 8 bytes of memory */
#define TESTDEV_RESETS		0x20	/* device resets so far, read-only */

#define TESTDEV_LOG_CTL		0x40	/* a write empties the log; bit 0: log from now on */
#define TESTDEV_LOG_COUNT	0x44	/* accesses since then, read-only */

#define TESTDEV_IRQ		0x60	/* a write triggers: vector | VFIO index << 16 */
#define TESTDEV_INTX		0x64	/* level of the line: 0 or 1 */
/* Triggers each vector from 0 on, as many as the low half says, of VFIO index << 16. */
#define TESTDEV_IRQ_ALL		0x68
/* 8 bytes, read-only: when TESTDEV_IRQ was last written, CLOCK_MONOTONIC in ns */
#define TESTDEV_IRQ_STAMP	0x70

/* DMA: done, with its status, before the write of the command is answered. */
#define TESTDEV_DMA_ADDR	0x80	/* 8 bytes */
#define TESTDEV_DMA_LEN		0x88	/* 4 bytes */
#define TESTDEV_DMA_ARG		0x8c	/* READ, WRITE: offset in BAR 0; else: pattern's seed */
#define TESTDEV_DMA_CMD		0x90
#define TESTDEV_DMA_STATUS	0x94	/* 0 or an errno, read-only */
#define TESTDEV_DMA_WRONG	0x98	/* CHECK: bytes that are wrong, read-only */
#define TESTDEV_DMA_FIRST	0x9c	/* and the offset of the first, read-only */

#define TESTDEV_DMA_READ	1	/* from the client's memory into BAR 0 */
#define TESTDEV_DMA_WRITE	2	/* the other way */
#define TESTDEV_DMA_FILL	3	/* the pattern into the client's memory */
#define TESTDEV_DMA_CHECK	4	/* is the pattern in the client's memory? */
#define TESTDEV_DMA_CHECK_BYTE	5	/* is every byte of the client's memory the seed? */

/* Byte @i of the pattern with a seed. */
#define TESTDEV_PATTERN(seed, i) \
	((__u8)((seed) + (i) + ((i) >> 8) * 3 + ((i) >> 16) * 5))

/* ioeventfds in BAR 1 for 4 bytes each, with --doorbells: the server waits for the first one */
#define TESTDEV_DOORBELL	0xf0
#define TESTDEV_DOORBELL_QUIET	0xf8

/* BAR 2 as the server sees it: an offset, and 8 bytes there. */
#define TESTDEV_PEEK_AT		0xa0
#define TESTDEV_PEEK		0xa8

#define TESTDEV_LOG		0x10000
#define TESTDEV_LOG_ENTRIES	2048
#define TESTDEV_RAM		0x20000
#define TESTDEV_RAM_SIZE	0x20000

/**
 * struct testdev_access - one access, as logged
 * @offset: in its region
 * @value: its first 8 bytes, the rest zero
 * @size: bytes
 * @region: VFIO_PCI_*_REGION_INDEX
 * @write: 1 for a write
 * @seq: counts from 0 since the log was emptied; the entry is this modulo TESTDEV_LOG_ENTRIES
 * @pad0: 0
 * @pad: 0
 */
struct testdev_access {
	__u64 offset;
	__u64 value;
	__u32 size;
	__u8 region;
	__u8 write;
	__u16 pad0;
	__u32 seq;
	__u32 pad;
};

#endif
