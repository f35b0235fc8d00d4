// SPDX-License-Identifier: GPL-2.0-only
/*
 * PCI config space in words: header, base address registers, capabilities, as lspci shows them.
 *
 * Pure functions over bytes that a server chose: lists may have loops and point anywhere.
 * Owns nothing. PCI Local Bus Specification 3.0 chapter 6, PCI Express Base Specification chapter
 * 7; the register names are those of <linux/pci_regs.h>.
 */
#include <inttypes.h>
#include <json-c/json.h>
#include <linux/pci_regs.h>
#include <stdbool.h>
#include <string.h>

#include "array.h"
#include "parse.h"
#include "pciconf.h"
#include "virtio.h"

/* A list with an entry at each possible place is this long; what is longer has a loop. */
#define MAX_CAPS	((PCI_CFG_SPACE_SIZE - PCI_STD_HEADER_SIZEOF) / 4)
#define MAX_EXT_CAPS	((PCI_CFG_SPACE_EXP_SIZE - PCI_CFG_SPACE_SIZE) / 8)

/**
 * struct cap - an entry of a capability list
 * @offset: in config space
 * @id: PCI_CAP_ID_* or PCI_EXT_CAP_ID_*
 * @version: of an extended one
 */
struct cap {
	unsigned int offset;
	unsigned int id;
	unsigned int version;
};

/**
 * struct view - config space being decoded
 * @cfg: its bytes
 * @len: how many
 */
struct view {
	const uint8_t *cfg;
	size_t len;
};

/* What is beyond the end reads as a real device's would: all-ones. */
static unsigned int get8(const struct view *v, size_t offset)
{
	return offset < v->len ? v->cfg[offset] : 0xff;
}

static unsigned int get16(const struct view *v, size_t offset)
{
	return get8(v, offset) | get8(v, offset + 1) << 8;
}

static uint32_t get32(const struct view *v, size_t offset)
{
	return get16(v, offset) | (uint32_t)get16(v, offset + 2) << 16;
}

static char sign(unsigned int value, unsigned int bit)
{
	return value & bit ? '+' : '-';
}

static const char *class_name(unsigned int class)
{
	static const struct {
		unsigned int class;
		const char *name;
	} names[] = {
		{ 0x0100, "SCSI storage controller" },
		{ 0x0101, "IDE interface" },
		{ 0x0104, "RAID bus controller" },
		{ 0x0105, "ATA controller" },
		{ 0x0106, "SATA controller" },
		{ 0x0107, "Serial Attached SCSI controller" },
		{ 0x0108, "Non-Volatile memory controller" },
		{ 0x0200, "Ethernet controller" },
		{ 0x0280, "Network controller" },
		{ 0x0300, "VGA compatible controller" },
		{ 0x0302, "3D controller" },
		{ 0x0380, "Display controller" },
		{ 0x0401, "Multimedia audio controller" },
		{ 0x0403, "Audio device" },
		{ 0x0500, "RAM memory" },
		{ 0x0502, "CXL memory" },
		{ 0x0580, "Memory controller" },
		{ 0x0600, "Host bridge" },
		{ 0x0604, "PCI bridge" },
		{ 0x0680, "Bridge" },
		{ 0x0700, "Serial controller" },
		{ 0x0703, "Modem" },
		{ 0x0780, "Communication controller" },
		{ 0x0805, "SD Host controller" },
		{ 0x0880, "System peripheral" },
		{ 0x0c03, "USB controller" },
		{ 0x0c05, "SMBus" },
		{ 0x0d80, "Wireless controller" },
		{ 0x1000, "Network and computing encryption device" },
		{ 0x1080, "Encryption controller" },
		{ 0x1100, "DPIO module" },
		{ 0x1180, "Signal processing controller" },
		{ 0x1200, "Processing accelerators" },
		{ 0xff00, "Unassigned class" },
	};
	static const char *const base[] = {
		"Unclassified device", "Mass storage controller", "Network controller",
		"Display controller", "Multimedia controller", "Memory controller", "Bridge",
		"Communication controller", "Generic system peripheral", "Input device controller",
		"Docking station", "Processor", "Serial bus controller", "Wireless controller",
		"Intelligent controller", "Satellite communications controller",
		"Encryption controller", "Signal processing controller", "Processing accelerators",
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(names); i++)
		if (names[i].class == class)
			return names[i].name;
	return class >> 8 < ARRAY_SIZE(base) ? base[class >> 8] : "Unknown class";
}

static const char *cap_name(unsigned int id)
{
	static const char *const names[] = {
		"Null", "Power Management", "AGP", "Vital Product Data", "Slot ID", "MSI",
		"CompactPCI hot-swap", "PCI-X", "HyperTransport", "Vendor Specific", "Debug port",
		"CompactPCI central resource control", "Hot-plug capable", "Bridge subsystem", "AGP3",
		"Secure device", "Express", "MSI-X", "SATA HBA", "Advanced Features",
		"Enhanced Allocation",
	};

	return id < ARRAY_SIZE(names) ? names[id] : "Unknown";
}

static const char *ext_cap_name(unsigned int id)
{
	static const char *const names[] = {
		[0x01] = "Advanced Error Reporting",
		[0x02] = "Virtual Channel",
		[0x03] = "Device Serial Number",
		[0x04] = "Power Budgeting",
		[0x09] = "Virtual Channel",
		[0x0b] = "Vendor Specific Information",
		[0x0d] = "Access Control Services",
		[0x0e] = "Alternative Routing-ID Interpretation",
		[0x0f] = "Address Translation Service",
		[0x10] = "Single Root I/O Virtualization",
		[0x12] = "Multicast",
		[0x13] = "Page Request Interface",
		[0x15] = "Physical Resizable BAR",
		[0x16] = "Dynamic Power Allocation",
		[0x17] = "Transaction Processing Hints",
		[0x18] = "Latency Tolerance Reporting",
		[0x19] = "Secondary PCI Express",
		[0x1b] = "Process Address Space ID",
		[0x1d] = "Downstream Port Containment",
		[0x1e] = "L1 PM Substates",
		[0x1f] = "Precision Time Measurement",
		[0x23] = "Designated Vendor-Specific",
		[0x24] = "Virtual Resizable BAR",
		[0x25] = "Data Link Feature",
		[0x26] = "Physical Layer 16.0 GT/s",
		[0x27] = "Lane Margining at the Receiver",
	};

	return id < ARRAY_SIZE(names) && names[id] ? names[id] : "Unknown";
}

/* Returns how many were found; *bad is set where the list is broken. */
static unsigned int find_caps(const struct view *v, struct cap caps[MAX_CAPS], bool *bad)
{
	bool seen[PCI_CFG_SPACE_SIZE] = { false };
	unsigned int offset, n = 0;

	if (!(get16(v, PCI_STATUS) & PCI_STATUS_CAP_LIST))
		return 0;
	/* The two low bits are reserved. */
	for (offset = get8(v, PCI_CAPABILITY_LIST) & ~3u; offset;
	     offset = get8(v, offset + PCI_CAP_LIST_NEXT) & ~3u) {
		if (offset < PCI_STD_HEADER_SIZEOF || seen[offset] || n == MAX_CAPS) {
			*bad = true;
			break;
		}
		seen[offset] = true;
		caps[n++] = (struct cap) { offset, get8(v, offset + PCI_CAP_LIST_ID), 0 };
	}
	return n;
}

static unsigned int find_ext_caps(const struct view *v, struct cap caps[MAX_EXT_CAPS], bool *bad)
{
	unsigned int offset = PCI_CFG_SPACE_SIZE, n = 0, i;
	uint32_t header;

	while (offset && v->len > PCI_CFG_SPACE_SIZE) {
		for (i = 0; i < n && caps[i].offset != offset; i++)
			;
		if (offset < PCI_CFG_SPACE_SIZE || offset + 4 > v->len || i < n ||
		    n == MAX_EXT_CAPS) {
			*bad = true;
			break;
		}
		header = get32(v, offset);
		/* An empty list is one null entry, or what is not there at all. */
		if (!header || header == UINT32_MAX)
			break;
		caps[n++] = (struct cap) {
			offset, PCI_EXT_CAP_ID(header), PCI_EXT_CAP_VER(header)
		};
		offset = PCI_EXT_CAP_NEXT(header) & ~3u;
	}
	return n;
}

/**
 * struct words - one capability in words
 * @text: after its name, as lspci would
 * @json: its members
 */
struct words {
	char text[256];
	struct json_object *json;
};

static void add_int(struct words *w, const char *name, uint64_t value)
{
	json_object_object_add(w->json, name, json_object_new_uint64(value));
}

static void add_bool(struct words *w, const char *name, bool value)
{
	json_object_object_add(w->json, name, json_object_new_boolean(value));
}

static void say_pm(const struct view *v, unsigned int at, struct words *w)
{
	unsigned int cap = get16(v, at + PCI_PM_PMC), ctrl = get16(v, at + PCI_PM_CTRL);

	add_int(w, "version", cap & PCI_PM_CAP_VER_MASK);
	add_int(w, "state", ctrl & PCI_PM_CTRL_STATE_MASK);
	add_bool(w, "no_soft_reset", ctrl & PCI_PM_CTRL_NO_SOFT_RESET);
	snprintf(w->text, sizeof(w->text), "version %u, state D%u, D1%c D2%c NoSoftRst%c",
		 cap & PCI_PM_CAP_VER_MASK, ctrl & PCI_PM_CTRL_STATE_MASK, sign(cap, PCI_PM_CAP_D1),
		 sign(cap, PCI_PM_CAP_D2), sign(ctrl, PCI_PM_CTRL_NO_SOFT_RESET));
}

static void say_msi(const struct view *v, unsigned int at, struct words *w)
{
	unsigned int flags = get16(v, at + PCI_MSI_FLAGS);
	unsigned int count = 1u << ((flags & PCI_MSI_FLAGS_QMASK) >> 1);
	unsigned int used = 1u << ((flags & PCI_MSI_FLAGS_QSIZE) >> 4);

	add_bool(w, "enabled", flags & PCI_MSI_FLAGS_ENABLE);
	add_int(w, "vectors", count);
	add_int(w, "vectors_enabled", used);
	add_bool(w, "address_64bit", flags & PCI_MSI_FLAGS_64BIT);
	add_bool(w, "maskable", flags & PCI_MSI_FLAGS_MASKBIT);
	snprintf(w->text, sizeof(w->text), "Enable%c Count=%u/%u Maskable%c 64bit%c",
		 sign(flags, PCI_MSI_FLAGS_ENABLE), used, count,
		 sign(flags, PCI_MSI_FLAGS_MASKBIT), sign(flags, PCI_MSI_FLAGS_64BIT));
}

static void say_msix(const struct view *v, unsigned int at, struct words *w)
{
	unsigned int flags = get16(v, at + PCI_MSIX_FLAGS);
	unsigned int count = (flags & PCI_MSIX_FLAGS_QSIZE) + 1;
	uint32_t table = get32(v, at + PCI_MSIX_TABLE), pba = get32(v, at + PCI_MSIX_PBA);

	add_bool(w, "enabled", flags & PCI_MSIX_FLAGS_ENABLE);
	add_bool(w, "masked", flags & PCI_MSIX_FLAGS_MASKALL);
	add_int(w, "vectors", count);
	add_int(w, "table_bar", table & PCI_MSIX_TABLE_BIR);
	add_int(w, "table_offset", table & PCI_MSIX_TABLE_OFFSET);
	add_int(w, "pba_bar", pba & PCI_MSIX_PBA_BIR);
	add_int(w, "pba_offset", pba & PCI_MSIX_PBA_OFFSET);
	snprintf(w->text, sizeof(w->text),
		 "Enable%c Count=%u Masked%c, vector table: BAR=%u offset=%08x, PBA: BAR=%u offset=%08x",
		 sign(flags, PCI_MSIX_FLAGS_ENABLE), count, sign(flags, PCI_MSIX_FLAGS_MASKALL),
		 table & PCI_MSIX_TABLE_BIR, table & (uint32_t)PCI_MSIX_TABLE_OFFSET,
		 pba & PCI_MSIX_PBA_BIR, pba & (uint32_t)PCI_MSIX_PBA_OFFSET);
}

static void say_express(const struct view *v, unsigned int at, struct words *w)
{
	static const char *const types[16] = {
		"Endpoint", "Legacy Endpoint", "?", "?", "Root Port", "Upstream Port",
		"Downstream Port", "PCI Express to PCI bridge", "PCI to PCI Express bridge",
		"Root Complex Integrated Endpoint", "Root Complex Event Collector",
		"?", "?", "?", "?", "?",
	};
	unsigned int flags = get16(v, at + PCI_EXP_FLAGS);
	unsigned int type = (flags & PCI_EXP_FLAGS_TYPE) >> 4;
	uint32_t cap = get32(v, at + PCI_EXP_DEVCAP), link = get32(v, at + PCI_EXP_LNKCAP);
	unsigned int ctl = get16(v, at + PCI_EXP_DEVCTL);
	unsigned int payload = 128u << (cap & PCI_EXP_DEVCAP_PAYLOAD);
	unsigned int request = 128u << ((ctl & PCI_EXP_DEVCTL_READRQ) >> 12);

	add_int(w, "version", flags & PCI_EXP_FLAGS_VERS);
	add_int(w, "type", type);
	json_object_object_add(w->json, "type_name", json_object_new_string(types[type]));
	add_bool(w, "flr", cap & PCI_EXP_DEVCAP_FLR);
	add_int(w, "max_payload", payload);
	add_int(w, "max_read_request", request);
	add_int(w, "link_speed", link & PCI_EXP_LNKCAP_SLS);
	add_int(w, "link_width", (link & PCI_EXP_LNKCAP_MLW) >> 4);
	snprintf(w->text, sizeof(w->text),
		 "version %u, %s, FLReset%c, MaxPayload %u, MaxReadReq %u, link speed %u width x%u",
		 flags & PCI_EXP_FLAGS_VERS, types[type], sign(cap, PCI_EXP_DEVCAP_FLR), payload,
		 request, link & PCI_EXP_LNKCAP_SLS, (link & PCI_EXP_LNKCAP_MLW) >> 4);
}

static void say_af(const struct view *v, unsigned int at, struct words *w)
{
	unsigned int cap = get8(v, at + PCI_AF_CAP);

	add_bool(w, "flr", cap & PCI_AF_CAP_FLR);
	add_bool(w, "transactions_pending", cap & PCI_AF_CAP_TP);
	snprintf(w->text, sizeof(w->text), "FLR%c TP%c", sign(cap, PCI_AF_CAP_FLR),
		 sign(cap, PCI_AF_CAP_TP));
}

/* One of a virtio device: where it has some of its registers. */
static void say_virtio(const struct view *v, unsigned int at, struct words *w)
{
	unsigned int type = get8(v, at + 3), bar = get8(v, at + 4);
	uint32_t offset = get32(v, at + 8), len = get32(v, at + 12);

	json_object_object_add(w->json, "virtio",
			       json_object_new_string(virtio_part_name(type)));
	add_int(w, "bar", bar);
	add_int(w, "bar_offset", offset);
	add_int(w, "bar_length", len);
	snprintf(w->text, sizeof(w->text), "virtio %s: BAR=%u offset=%08x size=%08x",
		 virtio_part_name(type), bar, offset, len);
}

static void say_vendor(const struct view *v, unsigned int at, struct words *w)
{
	unsigned int len = get8(v, at + PCI_CAP_FLAGS), i, n = 0;
	struct virtio_map map;

	add_int(w, "length", len);
	if (virtio_find(v->cfg, v->len, &map) && len >= 16) {
		say_virtio(v, at, w);
		return;
	}
	n = snprintf(w->text, sizeof(w->text), "Len=%02x", len);
	if (len > 3)
		n += snprintf(w->text + n, sizeof(w->text) - n, ":");
	for (i = 3; i < len && i < 35 && at + i < PCI_CFG_SPACE_SIZE; i++)
		n += snprintf(w->text + n, sizeof(w->text) - n, " %02x", get8(v, at + i));
	if (i < len)
		snprintf(w->text + n, sizeof(w->text) - n, " ...");
}

static void say_cap(const struct view *v, const struct cap *cap, struct words *w)
{
	switch (cap->id) {
	case PCI_CAP_ID_PM:
		return say_pm(v, cap->offset, w);
	case PCI_CAP_ID_MSI:
		return say_msi(v, cap->offset, w);
	case PCI_CAP_ID_VNDR:
		return say_vendor(v, cap->offset, w);
	case PCI_CAP_ID_EXP:
		return say_express(v, cap->offset, w);
	case PCI_CAP_ID_MSIX:
		return say_msix(v, cap->offset, w);
	case PCI_CAP_ID_AF:
		return say_af(v, cap->offset, w);
	}
}

static void say_ext_cap(const struct view *v, const struct cap *cap, struct words *w)
{
	uint32_t low, high;
	char serial[20];

	switch (cap->id) {
	case PCI_EXT_CAP_ID_DSN:
		low = get32(v, cap->offset + 4);
		high = get32(v, cap->offset + 8);
		snprintf(serial, sizeof(serial), "%08x%08x", high, low);
		json_object_object_add(w->json, "serial", json_object_new_string(serial));
		snprintf(w->text, sizeof(w->text), "%s", serial);
		break;
	case PCI_EXT_CAP_ID_VNDR:
		low = get32(v, cap->offset + 4);
		add_int(w, "vsec_id", low & 0xffff);
		add_int(w, "vsec_revision", low >> 16 & 0xf);
		add_int(w, "length", low >> 20);
		snprintf(w->text, sizeof(w->text), "ID=%04x Rev=%u Len=%03x", low & 0xffff,
			 low >> 16 & 0xf, low >> 20);
		break;
	}
}

/**
 * struct bar - a base address register as config space describes it
 * @io: I/O ports
 * @is64: takes the next register as well
 * @prefetch: prefetchable
 * @addr: what is in it
 */
struct bar {
	bool io;
	bool is64;
	bool prefetch;
	uint64_t addr;
};

static void get_bar(const struct view *v, unsigned int nr, struct bar *bar)
{
	uint32_t value = get32(v, PCI_BASE_ADDRESS_0 + 4 * nr);

	memset(bar, 0, sizeof(*bar));
	bar->io = value & PCI_BASE_ADDRESS_SPACE_IO;
	if (bar->io) {
		bar->addr = value & (uint32_t)PCI_BASE_ADDRESS_IO_MASK;
		return;
	}
	bar->is64 = (value & PCI_BASE_ADDRESS_MEM_TYPE_MASK) == PCI_BASE_ADDRESS_MEM_TYPE_64;
	bar->prefetch = value & PCI_BASE_ADDRESS_MEM_PREFETCH;
	bar->addr = value & (uint32_t)PCI_BASE_ADDRESS_MEM_MASK;
	if (bar->is64 && nr < 5)
		bar->addr |= (uint64_t)get32(v, PCI_BASE_ADDRESS_0 + 4 * (nr + 1)) << 32;
}

static struct json_object *hex(unsigned int value, int digits)
{
	char text[16];

	snprintf(text, sizeof(text), "%0*x", digits, value);
	return json_object_new_string(text);
}

static struct json_object *caps_json(const struct view *v, const struct cap *caps, unsigned int n,
				     bool ext)
{
	struct json_object *array = json_object_new_array();
	unsigned int i;

	for (i = 0; i < n; i++) {
		struct words w = { .json = json_object_new_object() };

		add_int(&w, "offset", caps[i].offset);
		add_int(&w, "id", caps[i].id);
		json_object_object_add(w.json, "name",
				       json_object_new_string(ext ? ext_cap_name(caps[i].id) :
							      cap_name(caps[i].id)));
		if (ext) {
			add_int(&w, "version", caps[i].version);
			say_ext_cap(v, &caps[i], &w);
		} else {
			say_cap(v, &caps[i], &w);
		}
		json_object_array_add(array, w.json);
	}
	return array;
}

/**
 * pciconf_json() - config space as an object, whose members are documented in vfiouserctl(8)
 * @cfg: config space
 * @len: its bytes, 256 or 4096
 *
 * Context: any.
 * Return: the object, the caller's.
 */
struct json_object *pciconf_json(const uint8_t *cfg, size_t len)
{
	const struct view v = { cfg, len };
	struct json_object *o = json_object_new_object();
	struct cap caps[MAX_CAPS], ext[MAX_EXT_CAPS];
	bool bad = false;
	unsigned int n;

	json_object_object_add(o, "vendor", hex(get16(&v, PCI_VENDOR_ID), 4));
	json_object_object_add(o, "device", hex(get16(&v, PCI_DEVICE_ID), 4));
	json_object_object_add(o, "subsystem_vendor", hex(get16(&v, PCI_SUBSYSTEM_VENDOR_ID), 4));
	json_object_object_add(o, "subsystem_device", hex(get16(&v, PCI_SUBSYSTEM_ID), 4));
	json_object_object_add(o, "class", hex(get32(&v, PCI_CLASS_REVISION) >> 8, 6));
	json_object_object_add(o, "class_name",
			       json_object_new_string(class_name(get16(&v, PCI_CLASS_DEVICE))));
	json_object_object_add(o, "revision", json_object_new_int(get8(&v, PCI_REVISION_ID)));
	json_object_object_add(o, "header_type", json_object_new_int(get8(&v, PCI_HEADER_TYPE)));
	json_object_object_add(o, "command", json_object_new_int(get16(&v, PCI_COMMAND)));
	json_object_object_add(o, "status", json_object_new_int(get16(&v, PCI_STATUS)));
	json_object_object_add(o, "interrupt_pin",
			       json_object_new_int(get8(&v, PCI_INTERRUPT_PIN)));
	n = find_caps(&v, caps, &bad);
	json_object_object_add(o, "capabilities", caps_json(&v, caps, n, false));
	n = find_ext_caps(&v, ext, &bad);
	json_object_object_add(o, "extended_capabilities", caps_json(&v, ext, n, true));
	json_object_object_add(o, "capabilities_broken", json_object_new_boolean(bad));
	return o;
}

static void print_bars(FILE *out, const struct view *v, const uint64_t bar_size[PCICONF_BARS])
{
	unsigned int i;
	struct bar bar;
	char size[24];

	for (i = 0; i < PCICONF_BARS - 1; i++) {
		if (!bar_size[i])
			continue;
		get_bar(v, i, &bar);
		format_size(size, sizeof(size), bar_size[i]);
		if (bar.io)
			fprintf(out, "  BAR %u: I/O ports at %04" PRIx64 " [size=%s]\n", i,
				bar.addr, size);
		else
			fprintf(out, "  BAR %u: Memory at %08" PRIx64 " (%s-bit, %sprefetchable) [size=%s]\n",
				i, bar.addr, bar.is64 ? "64" : "32", bar.prefetch ? "" : "non-",
				size);
	}
	if (bar_size[PCICONF_BARS - 1]) {
		format_size(size, sizeof(size), bar_size[PCICONF_BARS - 1]);
		fprintf(out, "  Expansion ROM [size=%s]\n", size);
	}
}

static void print_caps(FILE *out, const struct view *v, const struct cap *caps, unsigned int n,
		       bool ext)
{
	unsigned int i;

	for (i = 0; i < n; i++) {
		struct words w = { .json = json_object_new_object() };

		if (ext)
			say_ext_cap(v, &caps[i], &w);
		else
			say_cap(v, &caps[i], &w);
		json_object_put(w.json);
		fprintf(out, ext ? "  Capabilities: [%03x v%u] " : "  Capabilities: [%02x] ",
			caps[i].offset, caps[i].version);
		fprintf(out, "%s", ext ? ext_cap_name(caps[i].id) : cap_name(caps[i].id));
		if (!strcmp(ext ? ext_cap_name(caps[i].id) : cap_name(caps[i].id), "Unknown"))
			fprintf(out, " (ID %02x)", caps[i].id);
		fprintf(out, "%s%s\n", *w.text ? ": " : "", w.text);
	}
}

/**
 * pciconf_print() - config space as text
 * @out: where to
 * @cfg: config space
 * @len: its bytes, 256 or 4096
 * @bar_size: bytes of each BAR and of the ROM, which config space alone does not tell
 *
 * Context: any.
 */
void pciconf_print(FILE *out, const uint8_t *cfg, size_t len,
		   const uint64_t bar_size[PCICONF_BARS])
{
	const struct view v = { cfg, len };
	unsigned int cmd = get16(&v, PCI_COMMAND), status = get16(&v, PCI_STATUS);
	unsigned int pin = get8(&v, PCI_INTERRUPT_PIN), type = get8(&v, PCI_HEADER_TYPE);
	struct cap caps[MAX_CAPS], ext[MAX_EXT_CAPS];
	unsigned int n_ext, n;
	bool bad = false;

	fprintf(out, "  %s [%04x]: %04x:%04x (rev %02x) (prog-if %02x)\n",
		class_name(get16(&v, PCI_CLASS_DEVICE)), get16(&v, PCI_CLASS_DEVICE),
		get16(&v, PCI_VENDOR_ID), get16(&v, PCI_DEVICE_ID), get8(&v, PCI_REVISION_ID),
		get8(&v, PCI_CLASS_PROG));
	if (type & 0x7f)
		fprintf(out, "  Header type %02x: not an ordinary function\n", type & 0x7f);
	fprintf(out, "  Subsystem: %04x:%04x\n", get16(&v, PCI_SUBSYSTEM_VENDOR_ID),
		get16(&v, PCI_SUBSYSTEM_ID));
	fprintf(out, "  Control: I/O%c Mem%c BusMaster%c ParErr%c SERR%c DisINTx%c\n",
		sign(cmd, PCI_COMMAND_IO), sign(cmd, PCI_COMMAND_MEMORY),
		sign(cmd, PCI_COMMAND_MASTER), sign(cmd, PCI_COMMAND_PARITY),
		sign(cmd, PCI_COMMAND_SERR), sign(cmd, PCI_COMMAND_INTX_DISABLE));
	fprintf(out, "  Status: Cap%c 66MHz%c FastB2B%c ParErr%c >TAbort%c <TAbort%c <MAbort%c >SERR%c <PERR%c INTx%c\n",
		sign(status, PCI_STATUS_CAP_LIST), sign(status, PCI_STATUS_66MHZ),
		sign(status, PCI_STATUS_FAST_BACK), sign(status, PCI_STATUS_PARITY),
		sign(status, PCI_STATUS_SIG_TARGET_ABORT),
		sign(status, PCI_STATUS_REC_TARGET_ABORT),
		sign(status, PCI_STATUS_REC_MASTER_ABORT),
		sign(status, PCI_STATUS_SIG_SYSTEM_ERROR),
		sign(status, PCI_STATUS_DETECTED_PARITY), sign(status, PCI_STATUS_INTERRUPT));
	if (pin >= 1 && pin <= 4)
		fprintf(out, "  Interrupt: pin %c\n", 'A' + pin - 1);
	print_bars(out, &v, bar_size);
	n = find_caps(&v, caps, &bad);
	n_ext = find_ext_caps(&v, ext, &bad);
	print_caps(out, &v, caps, n, false);
	print_caps(out, &v, ext, n_ext, true);
	if (bad)
		fprintf(out, "  Capabilities: the list is broken (a loop, or out of bounds)\n");
}

/**
 * pciconf_dump() - config space in hexadecimal, as "lspci -xxxx" and for "lspci -F"
 * @out: where to
 * @cfg: config space
 * @len: its bytes
 *
 * Context: any.
 */
void pciconf_dump(FILE *out, const uint8_t *cfg, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++) {
		if (i % 16 == 0)
			fprintf(out, "%s%02zx:", i ? "\n" : "", i);
		fprintf(out, " %02x", cfg[i]);
	}
	fprintf(out, "\n");
}
