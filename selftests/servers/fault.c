// SPDX-License-Identifier: GPL-2.0-only
/*
 * Deliberate misbehaviour of a server, to try a client with. Sits in vfus' hooks, so that any
 * device model can have it. Faults that count messages happen once in the life of the process, so
 * that a client can be seen to recover; close-when-ready happens each time, so that it cannot.
 */
#include <errno.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <stdlib.h>
#include <string.h>

#include "fault.h"

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

/* Of NVMe: registers, and bytes of memory behind them. */
#define NVME_REG_CSTS	0x1c
#define NVME_CSTS_RDY	1
#define NVME_REG_CMBLOC	0x38
#define NVME_REG_CMBSZ	0x3c
#define CMB_SIZE	(128u << 20)

enum kind {
	VERSION_MAJOR, GARBAGE, BAD_JSON, CLOSE_ON_CONNECT, CLOSE_AFTER, HANG_AFTER, ERROR_AFTER,
	SHORT_AFTER, BAD_ID_AFTER, BAD_REGION_SIZE, BAD_CAP, NOT_PCI, NO_EVENTFD_FLAG,
	ONE_IRQ_TABLE, CMB, MSIX_TABLE_MOVES, CONFIG_MOVES, ERROR_COMMANDS, ANSWER_POSTED,
	CONFIG_WORDS, SURPLUS_FD, CLOSE_WHEN_READY,
};

static const struct {
	const char *name;
	enum kind kind;
	bool counts;
} kinds[] = {
	{ "version-major", VERSION_MAJOR, false },
	{ "garbage", GARBAGE, false },
	{ "bad-json", BAD_JSON, false },
	{ "close-on-connect", CLOSE_ON_CONNECT, false },
	{ "close-after", CLOSE_AFTER, true },
	{ "hang-after", HANG_AFTER, true },
	{ "error-after", ERROR_AFTER, true },
	{ "short-after", SHORT_AFTER, true },
	{ "bad-id-after", BAD_ID_AFTER, true },
	{ "bad-region-size", BAD_REGION_SIZE, false },
	{ "bad-cap", BAD_CAP, false },
	{ "not-pci", NOT_PCI, false },
	{ "no-eventfd-flag", NO_EVENTFD_FLAG, false },
	/* as libvfio-user had it for years, and SPDK v24.01 still has */
	{ "one-irq-table", ONE_IRQ_TABLE, false },
	{ "cmb", CMB, false },
	{ "msix-table-moves", MSIX_TABLE_MOVES, true },
	{ "config-moves", CONFIG_MOVES, false },
	/* as a server library in wide use has it: error replies of the type "command" */
	{ "error-commands", ERROR_COMMANDS, false },
	{ "answer-posted", ANSWER_POSTED, false },
	/* config space no more than a word at a time */
	{ "config-words", CONFIG_WORDS, false },
	/* the descriptor N of the server's, which nobody has asked for */
	{ "surplus-fd", SURPLUS_FD, true },
	/* each time at the same access of the driver's */
	{ "close-when-ready", CLOSE_WHEN_READY, false },
};

static struct {
	enum kind kind;
	unsigned long after;
	unsigned long seen;
	uint64_t msix;		/* where the MSI-X capability is, once it was read */
	bool moved;		/* it was seen enabled */
} fault;

static enum vfus_verdict on_connect(void *priv)
{
	(void)priv;
	return fault.kind == CLOSE_ON_CONNECT ? VFUS_CLOSE : VFUS_PASS;
}

static enum vfus_verdict on_message(void *priv, const struct vfio_user_hdr *hdr)
{
	(void)priv;
	(void)hdr;
	/* N messages are answered as usual, the next one is hit. */
	if (fault.seen++ != fault.after)
		return VFUS_PASS;
	if (fault.kind == CLOSE_AFTER)
		return VFUS_CLOSE;
	return fault.kind == HANG_AFTER ? VFUS_HANG : VFUS_PASS;
}

static void spoil_version(struct vfus_reply *r)
{
	static const char junk[] = "{\"capabilities\": {\"max_msg_fds\": \"many\", [";
	struct vfio_user_version v;
	size_t i;

	if (fault.kind == VERSION_MAJOR) {
		memcpy(&v, r->payload, sizeof(v));
		v.major++;
		memcpy(r->payload, &v, sizeof(v));
	} else if (fault.kind == BAD_JSON) {
		memcpy(r->payload + sizeof(v), junk, sizeof(junk));
		r->len = sizeof(v) + sizeof(junk);
		r->hdr.size = sizeof(r->hdr) + r->len;
	} else if (fault.kind == GARBAGE) {
		memset(&r->hdr, 0xa5, sizeof(r->hdr));
		for (i = 0; i < r->len; i++)
			r->payload[i] = (uint8_t)(i * 167 + 13);
	}
}

static void spoil_region(struct vfus_reply *r)
{
	struct vfio_region_info *info = (void *)r->payload;

	if (r->len < sizeof(*info) || info->index != VFIO_PCI_BAR0_REGION_INDEX)
		return;
	if (fault.kind == BAD_REGION_SIZE)
		info->size = 0xfffffffffffff001ull;
	if (fault.kind == CMB)
		info->size = 2 * CMB_SIZE;
	/* a capability chain that points to itself */
	if (fault.kind == BAD_CAP && info->cap_offset) {
		struct vfio_info_cap_header *h = (void *)(r->payload + info->cap_offset);

		h->id = 0x7fff;
		h->next = info->cap_offset;
	}
}

/* Flags that the server should have set: of the device, of its interrupts. */
static void spoil_flags(struct vfus_reply *r)
{
	struct vfio_user_device_info *info = (void *)r->payload;
	struct vfio_irq_info *irq = (void *)r->payload;

	if (fault.kind == NOT_PCI && r->request_cmd == VFIO_USER_DEVICE_GET_INFO &&
	    r->len >= sizeof(*info))
		info->flags &= ~(uint32_t)VFIO_DEVICE_FLAGS_PCI;
	if (fault.kind == NO_EVENTFD_FLAG && r->request_cmd == VFIO_USER_DEVICE_GET_IRQ_INFO &&
	    r->len >= sizeof(*irq))
		irq->flags &= ~(uint32_t)VFIO_IRQ_INFO_EVENTFD;
}

/* An NVMe controller's registers say that half of its BAR is memory for queues. */
static void spoil_read(struct vfus_reply *r)
{
	struct vfio_user_region_access access;
	uint32_t value = CMB_SIZE;

	if (fault.kind != CMB || r->len != sizeof(access) + sizeof(value))
		return;
	memcpy(&access, r->payload, sizeof(access));
	if (access.region != VFIO_PCI_BAR0_REGION_INDEX ||
	    (access.offset != NVME_REG_CMBLOC && access.offset != NVME_REG_CMBSZ))
		return;
	/* the place and the size, in pages; for any use */
	if (access.offset == NVME_REG_CMBSZ)
		value |= 0x1f;
	memcpy(r->payload + sizeof(access), &value, sizeof(value));
}

/* Bytes @value of the register @reg, as far as they are in what was read. */
static void move_register(uint8_t *data, uint64_t offset, size_t count, uint64_t reg,
			  uint32_t value, unsigned int bytes)
{
	unsigned int i;

	for (i = 0; i < bytes; i++)
		if (reg + i >= offset && reg + i < offset + count)
			data[reg + i - offset] = (uint8_t)(value >> 8 * i);
}

static void fail(struct vfus_reply *r, unsigned int err)
{
	r->hdr.flags |= VFIO_USER_F_ERROR;
	r->hdr.error = err;
	r->hdr.size = sizeof(r->hdr);
	r->len = 0;
}

/* Is this what a driver has enabled its controller for? */
static bool says_ready(const struct vfus_reply *r)
{
	struct vfio_user_region_access access;

	if (fault.kind != CLOSE_WHEN_READY || r->len <= sizeof(access))
		return false;
	memcpy(&access, r->payload, sizeof(access));
	return access.region == VFIO_PCI_BAR0_REGION_INDEX && access.offset == NVME_REG_CSTS &&
	       r->payload[sizeof(access)] & NVME_CSTS_RDY;
}

/* Config space that is read a word at a time, as drivers do. */
static void refuse_long(struct vfus_reply *r)
{
	struct vfio_user_region_access access;

	if (fault.kind != CONFIG_WORDS || r->len < sizeof(access))
		return;
	memcpy(&access, r->payload, sizeof(access));
	if (access.region == VFIO_PCI_CONFIG_REGION_INDEX && access.count > 4)
		fail(r, EINVAL);
}

/*
 * Config space that is another once the driver uses MSI-X, which is after it was checked: the table
 * lies @fault.after bytes into its BAR, or the function is a bridge without capabilities.
 */
static void spoil_config(struct vfus_reply *r)
{
	struct vfio_user_region_access access;
	uint8_t *data = r->payload + sizeof(access);
	size_t count = r->len - sizeof(access), i;
	uint64_t at;

	if ((fault.kind != MSIX_TABLE_MOVES && fault.kind != CONFIG_MOVES) ||
	    r->len <= sizeof(access))
		return;
	memcpy(&access, r->payload, sizeof(access));
	if (access.region != VFIO_PCI_CONFIG_REGION_INDEX)
		return;
	at = access.offset;
	if (!fault.msix && at >= PCI_STD_HEADER_SIZEOF && at < PCI_CFG_SPACE_SIZE && !(at % 4) &&
	    data[0] == PCI_CAP_ID_MSIX)
		fault.msix = at;
	for (i = 0; fault.msix && i < count; i++)
		if (at + i == fault.msix + PCI_MSIX_FLAGS + 1 &&
		    data[i] & (PCI_MSIX_FLAGS_ENABLE >> 8))
			fault.moved = true;
	if (!fault.moved)
		return;
	if (fault.kind == MSIX_TABLE_MOVES) {
		move_register(data, at, count, fault.msix + PCI_MSIX_TABLE, (uint32_t)fault.after,
			      4);
		return;
	}
	move_register(data, at, count, PCI_VENDOR_ID, 0x12345678, 4);
	move_register(data, at, count, PCI_CLASS_REVISION, 0x06040000, 4);
	move_register(data, at, count, PCI_HEADER_TYPE, PCI_HEADER_TYPE_BRIDGE, 1);
	move_register(data, at, count, PCI_STATUS, 0, 2);
	move_register(data, at, count, PCI_CAPABILITY_LIST, 0, 1);
	move_register(data, at, count, fault.msix, PCI_CAP_ID_EXP, 2);
	move_register(data, at, count, fault.msix + PCI_MSIX_TABLE, 0x7ff8, 4);
	move_register(data, at, count, fault.msix + PCI_MSIX_PBA, 0x7ff8, 4);
}

static enum vfus_verdict on_reply(void *priv, struct vfus_reply *r)
{
	bool now = fault.seen == fault.after + 1;

	(void)priv;
	if (r->hdr.flags & VFIO_USER_F_ERROR) {
		if (fault.kind == ERROR_COMMANDS)
			r->hdr.flags &= ~(uint32_t)VFIO_USER_F_TYPE_MASK;
		return VFUS_PASS;
	}
	if (r->request_cmd == VFIO_USER_VERSION)
		spoil_version(r);
	else if (r->request_cmd == VFIO_USER_DEVICE_GET_REGION_INFO)
		spoil_region(r);
	else if (r->request_cmd == VFIO_USER_REGION_READ)
		spoil_read(r);
	if (r->request_cmd == VFIO_USER_REGION_READ) {
		if (says_ready(r))
			return VFUS_CLOSE;
		spoil_config(r);
		refuse_long(r);
	}
	spoil_flags(r);
	if (!now)
		return VFUS_PASS;
	if (fault.kind == ERROR_AFTER) {
		fail(r, EIO);
	} else if (fault.kind == SHORT_AFTER) {
		r->len = r->len ? r->len - 1 : 0;
		r->hdr.size = sizeof(r->hdr) + r->len;
	} else if (fault.kind == BAD_ID_AFTER) {
		r->hdr.id ^= 0x5555;
	}
	return VFUS_PASS;
}

/**
 * fault_parse() - the argument of --fault
 * @arg: KIND, or KIND:N for those that count messages
 * @hooks: set up
 *
 * Return: 0 or -EINVAL.
 */
int fault_parse(const char *arg, struct vfus_hooks *hooks)
{
	const char *colon = strchr(arg, ':');
	size_t len = colon ? (size_t)(colon - arg) : strlen(arg), i;
	char *end = NULL;

	for (i = 0; i < ARRAY_SIZE(kinds); i++)
		if (strlen(kinds[i].name) == len && !memcmp(kinds[i].name, arg, len))
			break;
	if (i == ARRAY_SIZE(kinds) || kinds[i].counts != !!colon)
		return -EINVAL;
	fault.kind = kinds[i].kind;
	if (colon) {
		fault.after = strtoul(colon + 1, &end, 0);
		if (end == colon + 1 || *end || colon[1] == '-')
			return -EINVAL;
	}
	*hooks = (struct vfus_hooks){
		.on_connect = on_connect, .on_message = on_message, .on_reply = on_reply,
		.one_irq_table = fault.kind == ONE_IRQ_TABLE,
		.answer_posted = fault.kind == ANSWER_POSTED,
		.version_fd = fault.kind == SURPLUS_FD ? (int)fault.after : 0,
	};
	return 0;
}

/**
 * fault_help() - the kinds, for --help
 *
 * Return: the text, without a newline at its end.
 */
const char *fault_help(void)
{
	return "version-major, garbage, bad-json, close-on-connect, bad-region-size, bad-cap,\n"
	       "                        not-pci, no-eventfd-flag, one-irq-table, cmb, config-moves,\n"
	       "                        error-commands, answer-posted, config-words,\n"
	       "                        close-when-ready, msix-table-moves:OFFSET, surplus-fd:FD,\n"
	       "                        and after N messages: close-after:N, hang-after:N,\n"
	       "                        error-after:N, short-after:N, bad-id-after:N";
}
