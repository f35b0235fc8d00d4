// SPDX-License-Identifier: GPL-2.0-only
/*
 * "trace": what drivers, kernel module and server say to each other, in words.
 *
 * The kernel module's tracepoints (kmod/trace.h), read as text from a tracefs instance of our own,
 * so that nobody else's tracing is in the way. The kernel knows the names of functions; we put the
 * numbers into words.
 */
#include <ctype.h>
#include <errno.h>
#include <dirent.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <linux/pci_regs.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "array.h"
#include "cmd.h"
#include "device.h"
#include "log.h"
#include "proc.h"
#include "status.h"
#include "sysfs.h"
#include "term.h"
#include "virtio.h"

#define INSTANCE	"vfiouserctl-"
#define LINE_MAX_BYTES	4096
#define BUFFER_KIB	"4096"
/* Interrupts' requests, among which reads and writes are not. */
#define CONTROL_OPS	"op >= 3"

struct options {
	const char *target;
	bool json;
	bool all;
	bool dma;
	uint64_t count;		/* 0: no end */
};

/**
 * struct line - a line of the trace
 * @time: seconds since boot
 * @cpu: where
 * @task: who was running
 * @pid: its thread
 * @event: without "vfiouser_"
 * @id: of the device
 * @text: what follows that
 */
struct line {
	double time;
	unsigned int cpu;
	char task[32];
	unsigned int pid;
	const char *event;
	unsigned int id;
	const char *text;
};

/**
 * struct access - what most events are about
 * @write: not a read
 * @posted: nobody waits for it
 * @region: VFIO_PCI_*_REGION_INDEX, or VFIO_PCI_*_IRQ_INDEX; -1: none
 * @offset: in it
 * @count: bytes, or vectors
 * @value: what was read or written
 * @ns: how long it took
 */
struct access {
	bool write;
	bool posted;
	int region;
	uint64_t offset;
	uint32_t count;
	uint64_t value;
	uint64_t ns;
};

/* ---- tracefs ---- */

static char instance[PATH_MAX];

static int put(const char *file, const char *text)
{
	char path[PATH_MAX + 64];
	int fd, err = 0;

	snprintf(path, sizeof(path), "%s/%s", instance, file);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		err = -errno;
	close(fd);
	return err;
}

static int enable(const char *event, const char *filter)
{
	char file[80];
	int err = 0;

	if (filter && *filter) {
		snprintf(file, sizeof(file), "events/vfiouser/%s/filter", event);
		err = put(file, filter);
	}
	snprintf(file, sizeof(file), "events/vfiouser/%s/enable", event);
	return err ? err : put(file, "1");
}

/* What one that was killed has left. */
static void remove_stale(const char *dir)
{
	struct dirent *entry;
	char path[PATH_MAX];
	uint64_t pid;
	DIR *d;

	d = opendir(dir);
	while (d && (entry = readdir(d))) {
		if (strncmp(entry->d_name, INSTANCE, strlen(INSTANCE)) ||
		    parse_u64(entry->d_name + strlen(INSTANCE), INT32_MAX, &pid) || !pid ||
		    !kill(pid, 0) || errno != ESRCH)
			continue;
		if (!sysfs_path(path, "%s/%s", dir, entry->d_name))
			rmdir(path);
	}
	if (d)
		closedir(d);
}

static int make_instance(void)
{
	static const char *const roots[] = { "/sys/kernel/tracing", "/sys/kernel/debug/tracing" };
	char dir[PATH_MAX - 64];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(roots); i++) {
		snprintf(dir, sizeof(dir), "%s/instances", roots[i]);
		if (access(dir, F_OK))
			continue;
		remove_stale(dir);
		snprintf(instance, sizeof(instance), "%s/" INSTANCE "%d", dir, (int)getpid());
		return mkdir(instance, 0700) ? -errno : 0;
	}
	return -ENOENT;
}

static int set_up(const struct options *opt, uint32_t id)
{
	static const char *const always[] = {
		"vfiouser_trap", "vfiouser_config", "vfiouser_ioeventfd", "vfiouser_irq",
		"vfiouser_state", "vfiouser_event",
	};
	static const char *const requests[] = { "vfiouser_request", "vfiouser_reply" };
	static const char *const dma[] = {
		"vfiouser_dma_map", "vfiouser_dma_unmap", "vfiouser_dma_sync", "vfiouser_dma_alloc",
		"vfiouser_dma_free",
	};
	char own[40] = "", control[80];
	int err = 0;
	size_t i;

	if (opt->target)
		snprintf(own, sizeof(own), "id == %u", id);
	snprintf(control, sizeof(control), "%s%s%s", own, opt->target ? " && " : "", CONTROL_OPS);
	put("tracing_on", "0");
	/* Wake us for each event, not for half a buffer of them. */
	put("buffer_percent", "0");
	put("buffer_size_kb", BUFFER_KIB);
	put("trace_clock", "mono");
	for (i = 0; !err && i < ARRAY_SIZE(always); i++)
		err = enable(always[i], own);
	for (i = 0; !err && i < ARRAY_SIZE(requests); i++)
		err = enable(requests[i], opt->all ? own : control);
	for (i = 0; !err && opt->dma && i < ARRAY_SIZE(dma); i++)
		err = enable(dma[i], own);
	return err ? err : put("tracing_on", "1");
}

/* ---- lines ---- */

/* "            task-123     [001] d..1. 12.345678: vfiouser_trap: vfu0 ..." */
static bool parse_line(char *text, struct line *line)
{
	char *cpu, *dash, *at;
	int n = 0;

	while (isspace((unsigned char)*text))
		text++;
	for (cpu = strstr(text, " ["); cpu; cpu = strstr(cpu + 1, " ["))
		if (isdigit((unsigned char)cpu[2]) && strchr(cpu, ']'))
			break;
	if (!cpu)
		return false;
	*cpu = '\0';
	dash = strrchr(text, '-');
	if (!dash)
		return false;
	*dash = '\0';
	line->pid = atoi(dash + 1);
	snprintf(line->task, sizeof(line->task), "%.31s", text);
	line->cpu = atoi(cpu + 2);
	/* Flags, then the time. */
	if (sscanf(strchr(cpu + 2, ']') + 1, " %*s %lf: vfiouser_%n", &line->time, &n) < 1 || !n)
		return false;
	at = strchr(cpu + 2, ']') + 1 + n;
	line->event = at;
	at = strchr(at, ':');
	if (!at)
		return false;
	*at++ = '\0';
	n = 0;
	if (sscanf(at, " vfu%u %n", &line->id, &n) < 1 || !n)
		return false;
	line->text = at + n;
	return true;
}

static uint64_t number(const char *text, const char *name)
{
	const char *at = strstr(text, name);

	return at ? strtoull(at + strlen(name), NULL, 0) : 0;
}

/* ---- virtio devices ---- */

/* By number of the device; what is beyond has its registers without names. */
#define KNOWN_MAX	64

/**
 * struct known - what is known of a device
 * @cfg: the first part of its config space
 * @map: where its registers are
 * @asked: that has been looked for
 * @virtio: and found
 */
static struct known {
	uint8_t cfg[PCI_CFG_SPACE_SIZE];
	struct virtio_map map;
	bool asked;
	bool virtio;
} known[KNOWN_MAX];

/* Reading its config space is seen in the trace, by our own process. */
static void know(struct known *k, uint32_t id)
{
	struct netlink_device device;
	unsigned int vendor = 0;
	char path[PATH_MAX];
	struct netlink *nl;
	ssize_t n;
	int fd;

	k->asked = true;
	if (netlink_open(&nl))
		return;
	fd = -1;
	if (!netlink_device_get(nl, id, &device) && device.has_bdf &&
	    !sysfs_pci_id(&device.bdf, "vendor", &vendor) && vendor == VENDOR_VIRTIO &&
	    !sysfs_path(path, "/sys/bus/pci/devices/%04x:%02x:%02x.%x/config", device.bdf.domain,
			device.bdf.bus, device.bdf.devfn >> 3, device.bdf.devfn & 7))
		fd = open(path, O_RDONLY | O_CLOEXEC);
	netlink_close(nl);
	if (fd < 0)
		return;
	n = read(fd, k->cfg, sizeof(k->cfg));
	close(fd);
	k->virtio = n > 0 && virtio_find(k->cfg, n, &k->map);
}

/* The register that is accessed and what its value means, or "" each. */
static void say_register(const struct line *line, const struct access *a, char *name, size_t size,
			 char *meaning, size_t meaning_size)
{
	struct known *k = &known[line->id % KNOWN_MAX];

	*name = '\0';
	*meaning = '\0';
	if (line->id >= KNOWN_MAX || a->region < VFIO_PCI_BAR0_REGION_INDEX ||
	    a->region > VFIO_PCI_BAR5_REGION_INDEX)
		return;
	if (!k->asked)
		know(k, line->id);
	if (k->virtio && virtio_register(&k->map, a->region, a->offset, name, size))
		virtio_meaning(name, a->value, meaning, meaning_size);
}

/* Functions between a driver and us, whose names tell nothing. */
static bool is_accessor(const char *name)
{
	static const char *const prefixes[] = {
		"vfu_", "pci_bus_read_config", "pci_bus_write_config", "pci_read_config",
		"pci_write_config", "pci_user_", "pcie_capability_", "pci_find_", "__pci_find_",
		"pci_bus_find_", "0x0",
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(prefixes); i++)
		if (!strncmp(name, prefixes[i], strlen(prefixes[i])))
			return true;
	return false;
}

/*
 * The function that wanted it: the first one of a stack which is no accessor, or the first one. In:
 * "name+0x1/0x2 [module] name+0x3/0x4 ..."; out: "name [module]".
 */
static void caller_of(const char *text, char *out, size_t len)
{
	const char *at = strstr(text, " by ");
	char name[128], module[64], first[200] = "";
	int n, m;

	snprintf(out, len, "?");
	for (at = at ? at + 4 : ""; sscanf(at, " %127s%n", name, &n) == 1; at += n + m) {
		m = 0;
		module[0] = '\0';
		if (sscanf(at + n, " [%62[^]]]%n", module, &m) != 1 || !m) {
			m = 0;
			module[0] = '\0';
		}
		name[strcspn(name, "+")] = '\0';
		snprintf(out, len, "%s%s%s%s", name, *module ? " [" : "", module,
			 *module ? "]" : "");
		if (!is_accessor(name))
			return;
		if (!*first)
			snprintf(first, sizeof(first), "%s", out);
	}
	if (*first)
		snprintf(out, len, "%s", first);
}

static void parse_access(const struct line *line, struct access *a)
{
	const char *text = line->text;

	a->write = !strncmp(text, "write", 5);
	a->posted = strstr(text, " posted ");
	a->region = -1;
	if (strstr(text, "region ") && strstr(text, "region ")[7] != '-')
		a->region = number(text, "region ");
	if (!strcmp(line->event, "config"))
		a->region = VFIO_PCI_CONFIG_REGION_INDEX;
	a->offset = number(text, "offset ");
	a->count = number(text, "count ");
	a->value = number(text, "value ");
	a->ns = number(text, " ns ");
}

static const char *region_name(int region)
{
	return region < 0 ? "none" : device_region_name(region);
}

static void format_ns(char *text, size_t len, uint64_t ns)
{
	if (ns < 1000000)
		snprintf(text, len, "%.1fus", ns / 1e3);
	else
		snprintf(text, len, "%.1fms", ns / 1e6);
}

static bool is_access(const char *event)
{
	return !strcmp(event, "trap") || !strcmp(event, "config") || !strcmp(event, "ioeventfd");
}

/* First word of a text. */
static void word(const char *text, char *out, size_t len)
{
	snprintf(out, len, "%.*s", (int)strcspn(text, "\n "), text);
}

/* ---- text ---- */

static void print_access(const struct line *line)
{
	char time[24], caller[200], name[40], meaning[80], words[140] = "";
	struct access a;

	parse_access(line, &a);
	say_register(line, &a, name, sizeof(name), meaning, sizeof(meaning));
	if (*name)
		snprintf(words, sizeof(words), " (%s%s%s)", name, *meaning ? ": " : "", meaning);
	if (!strcmp(line->event, "ioeventfd")) {
		printf("doorbell %s at 0x%" PRIx64 ", %u bytes: 0x%" PRIx64 "%s\n",
		       region_name(a.region), a.offset, a.count, a.value, words);
		return;
	}
	format_ns(time, sizeof(time), a.ns);
	caller_of(line->text, caller, sizeof(caller));
	printf("%s %s at 0x%" PRIx64 ", %u bytes: 0x%" PRIx64 "%s, %s, by %s\n",
	       a.write ? "write" : "read ", region_name(a.region), a.offset, a.count, a.value,
	       words, time, caller);
}

/* The helper's share: a message to the server, or the answer to one. */
static void print_message(const struct line *line)
{
	bool reply = !strcmp(line->event, "reply");
	char op[20], time[24], result[80] = "";
	const char *error = strstr(line->text, "error ");
	struct access a;

	parse_access(line, &a);
	word(line->text, op, sizeof(op));
	format_ns(time, sizeof(time), a.ns);
	if (reply && error && atoi(error + 6))
		snprintf(result, sizeof(result), ": %s", strerror(abs(atoi(error + 6))));
	if (!strcmp(op, "reset"))
		printf("%s reset", reply ? "answer to" : "message:");
	else if (!strncmp(op, "irq_", 4))
		printf("%s %s %s %" PRIu64 "+%u", reply ? "answer to" : "message:", op + 4,
		       device_irq_name(a.region), a.offset, a.count);
	else
		printf("%s %s %s at 0x%" PRIx64 ", %u bytes", reply ? "answer to" : "message:", op,
		       region_name(a.region), a.offset, a.count);
	if (reply)
		printf("%s, %s\n", result, time);
	else
		printf("%s\n", a.posted ? ", not waited for" : "");
}

static void print_text(const struct line *line)
{
	char dir[20] = "";
	const char *at;

	printf("%s%12.6f%s [%03u] %s-%u ", term_colour(TERM_DIM), line->time,
	       term_colour(TERM_PLAIN), line->cpu, line->task, line->pid);
	printf("%u: ", line->id);
	if (is_access(line->event)) {
		print_access(line);
	} else if (!strcmp(line->event, "request") || !strcmp(line->event, "reply")) {
		print_message(line);
	} else if (!strcmp(line->event, "irq")) {
		printf("interrupt %s %" PRIu64 " on CPU %" PRIu64 "\n",
		       device_irq_name(number(line->text, "index ")), number(line->text, "vector "),
		       number(line->text, "cpu "));
	} else if (!strncmp(line->event, "dma_", 4)) {
		at = strstr(line->text, "dir ");
		word(at ? at + 4 : "", dir, sizeof(dir));
		printf("DMA %s at 0x%" PRIx64 ", %" PRIu64 " bytes, %s\n", line->event + 4,
		       number(line->text, "addr "), number(line->text, "size "), dir);
	} else {
		printf("%s\n", line->text);
	}
}

/* ---- JSON ---- */

static void add_text(struct json_object *o, const char *name, const char *text)
{
	json_object_object_add(o, name, json_object_new_string(text));
}

static void add_number(struct json_object *o, const char *name, uint64_t value)
{
	json_object_object_add(o, name, json_object_new_uint64(value));
}

static void add_access(struct json_object *o, const struct line *line)
{
	const char *error = strstr(line->text, "error ");
	char caller[200], op[20], name[40], meaning[80];
	struct access a;

	parse_access(line, &a);
	say_register(line, &a, name, sizeof(name), meaning, sizeof(meaning));
	word(line->text, op, sizeof(op));
	if (!is_access(line->event)) {
		add_text(o, "op", op);
		if (!strcmp(line->event, "request"))
			json_object_object_add(o, "posted", json_object_new_boolean(a.posted));
		if (error)
			json_object_object_add(o, "error",
					       json_object_new_int64(-atoi(error + 6)));
	}
	add_text(o, "region", strncmp(op, "irq_", 4) ? region_name(a.region) :
		 device_irq_name(a.region));
	add_number(o, "offset", a.offset);
	add_number(o, "count", a.count);
	add_number(o, "value", a.value);
	if (*name)
		add_text(o, "register", name);
	if (*meaning)
		add_text(o, "meaning", meaning);
	if (strstr(line->text, " ns "))
		add_number(o, "ns", a.ns);
	if (strstr(line->text, " by ")) {
		caller_of(line->text, caller, sizeof(caller));
		add_text(o, "caller", caller);
	}
}

static const char *event_name(const struct line *line)
{
	if (!strcmp(line->event, "ioeventfd"))
		return "doorbell";
	if (is_access(line->event))
		return strncmp(line->text, "write", 5) ? "read" : "write";
	return line->event;
}

static void print_json(const struct line *line)
{
	struct json_object *o = json_object_new_object();
	const char *at = strchr(line->text, ' ');
	char what[40];

	json_object_object_add(o, "time", json_object_new_double(line->time));
	add_number(o, "cpu", line->cpu);
	add_text(o, "task", line->task);
	add_number(o, "pid", line->pid);
	add_text(o, "event", event_name(line));
	add_number(o, "id", line->id);
	if (!strcmp(line->event, "irq")) {
		add_text(o, "region", device_irq_name(number(line->text, "index ")));
		add_number(o, "vector", number(line->text, "vector "));
		add_number(o, "to_cpu", number(line->text, "cpu "));
	} else if (!strncmp(line->event, "dma_", 4)) {
		add_number(o, "addr", number(line->text, "addr "));
		add_number(o, "size", number(line->text, "size "));
		at = strstr(line->text, "dir ");
		word(at ? at + 4 : "none", what, sizeof(what));
		add_text(o, "direction", what);
	} else if (!strcmp(line->event, "state") || !strcmp(line->event, "event")) {
		word(at ? at + 1 : "", what, sizeof(what));
		add_text(o, strcmp(line->event, "state") ? "what" : "state", what);
	} else {
		add_access(o, line);
	}
	cmd_print_json_line(o);
}

/* ---- the command ---- */

/* Returns whether that was enough. */
static bool take_line(struct options *opt, char *text)
{
	const char *lost = strstr(text, "[LOST ");
	struct line line;
	bool gone;

	if (lost) {
		log_note("%" PRIu64 " events were lost, they came too fast", number(lost, "LOST "));
		return false;
	}
	/* What we read ourselves is not what was asked for. */
	if (!parse_line(text, &line) || line.pid == (unsigned int)getpid())
		return false;
	gone = !strcmp(line.event, "event") && !strncmp(line.text, "event removed", 13);
	if (opt->json)
		print_json(&line);
	else
		print_text(&line);
	fflush(stdout);
	/* Who watches one device has seen all of it. */
	return (opt->target && gone) || (opt->count && !--opt->count);
}

static bool take_lines(struct options *opt, char *buf, size_t *have)
{
	char *start = buf, *end;
	bool enough = false;

	while (!enough && (end = memchr(start, '\n', buf + *have - start))) {
		*end = '\0';
		enough = take_line(opt, start);
		start = end + 1;
	}
	*have -= start - buf;
	memmove(buf, start, *have);
	return enough;
}

static int follow(struct options *opt, int signals)
{
	char path[PATH_MAX + 16], buf[2 * LINE_MAX_BYTES];
	struct pollfd fds[2] = { 0 };
	size_t have = 0;
	bool enough = false;
	ssize_t n;

	snprintf(path, sizeof(path), "%s/trace_pipe", instance);
	fds[0].fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (fds[0].fd < 0)
		return log_fail(ST_FAILED, "cannot read the trace: %s", strerror(errno));
	fds[0].events = POLLIN;
	fds[1].fd = signals;
	fds[1].events = POLLIN;
	while (!enough && !fds[1].revents) {
		n = read(fds[0].fd, buf + have, sizeof(buf) - have);
		if (n > 0) {
			have += n;
			enough = take_lines(opt, buf, &have);
			/* No line is that long. */
			if (have == sizeof(buf))
				have = 0;
			poll(&fds[1], 1, 0);
		} else if (!n || errno == EAGAIN || errno == EINTR) {
			poll(fds, 2, 200);
		} else {
			break;
		}
	}
	close(fds[0].fd);
	return ST_OK;
}

static int trace(struct options *opt)
{
	struct netlink_device device = { 0 };
	struct netlink *nl;
	int status, err, signals;

	status = cmd_netlink(&nl);
	if (status)
		return status;
	if (opt->target)
		status = find_device(nl, opt->target, &device);
	netlink_close(nl);
	if (status)
		return status;
	/* From here on there is something to clean up. */
	signals = proc_signals();
	if (signals < 0)
		return log_fail(ST_FAILED, "cannot receive signals: %s", strerror(-signals));
	err = make_instance();
	if (err == -EACCES || err == -EPERM)
		return log_fail(ST_PERMISSION, "tracing needs root, and a kernel that is not locked down");
	if (err == -ENOENT)
		return log_fail(ST_FAILED, "tracing is not mounted; run \"mount -t tracefs none /sys/kernel/tracing\"");
	if (err)
		return log_fail(ST_FAILED, "cannot make %s: %s", instance, strerror(-err));
	err = set_up(opt, device.id);
	if (err)
		status = log_fail(ST_FAILED, "cannot switch the module's tracepoints on: %s",
				  strerror(-err));
	else
		status = follow(opt, signals);
	put("tracing_on", "0");
	put("events/enable", "0");
	if (rmdir(instance))
		log_note("cannot remove %s: %s", instance, strerror(errno));
	return status;
}

static int run(int argc, char **argv)
{
	static const struct option options[] = {
		{ "all", no_argument, NULL, 'a' },
		{ "dma", no_argument, NULL, 'd' },
		{ "json", no_argument, NULL, 'j' },
		{ "count", required_argument, NULL, 'n' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 }
	};
	struct options opt = { 0 };
	int c;

	while ((c = getopt_long(argc, argv, ":adjn:h", options, NULL)) != -1) {
		switch (c) {
		case 'a':
			opt.all = true;
			opt.dma = true;
			break;
		case 'd':
			opt.dma = true;
			break;
		case 'j':
			opt.json = true;
			break;
		case 'n':
			if (parse_u64(optarg, UINT32_MAX, &opt.count) || !opt.count)
				return cmd_usage(&cmd_trace, "\"%s\" is no number of lines",
						 optarg);
			break;
		case 'h':
			cmd_help(&cmd_trace);
			return ST_OK;
		default:
			return cmd_bad_option(&cmd_trace, c, argv);
		}
	}
	if (optind < argc)
		opt.target = argv[optind++];
	if (optind < argc)
		return cmd_usage(&cmd_trace, "it takes one device at most");
	return trace(&opt);
}

const struct cmd cmd_trace = {
	.name = "trace",
	.synopsis = "[OPTION...] [DEVICE]",
	.summary = "watch what driver and server say to each other",
	.help =
"Prints each access of a driver to its device as a line in words: time, CPU, thread, number\n"
"of the device, what was read or written, how long it took, and which function did it:\n\n"
"  40.301 [001] kworker/1:2-57 0: read  BAR0 at 0x1c, 4 bytes: 0x1, 12.3us, by nvme_wait_ready [nvme]\n\n"
"the registers of a virtio device by their names, as \"(device_status: ACKNOWLEDGE DRIVER)\";\n"
"also doorbells, interrupts, interrupts being set up, and what becomes of the device. It\n"
"ends with ^C, or with the device. Without DEVICE it is about all of them, also those that\n"
"are attached later, so that a driver's first steps can be seen. Accesses to pages that\n"
"are mapped directly are not seen by anybody; \"attach --no-direct\" maps none.\n\n"
CMD_DEVICE_HELP
"Options:\n"
"  -d, --dma      also DMA mappings and allocations\n"
"  -a, --all      also the requests that the helper gets, and --dma\n"
"  -j, --json     print each as a JSON object on a line; schema in vfiouserctl(8)\n"
"  -n, --count=N  end after N lines\n"
"  -h, --help     this text\n\n"
"Examples:\n"
"  vfiouserctl trace disk1\n"
"  vfiouserctl trace & vfiouserctl attach --no-direct /run/nvme.sock\n"
"  vfiouserctl trace --json vfu0 | jq -r 'select(.ns > 1000000) | .caller'\n\n"
"The same for perf and trace-cmd: the tracepoints are vfiouser:*.\n",
	.run = run,
};
