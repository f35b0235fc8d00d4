// SPDX-License-Identifier: GPL-2.0-only
/*
 * "attach": from a server's address to a PCI device that a driver has.
 *
 * Two processes, see proc.c: attach_helper() runs in the child and serves, front_run() waits
 * until the device is usable. With --reconnect there is a third between them, see reconnect.c.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "array.h"
#include "cmd.h"
#include "front.h"
#include "log.h"
#include "notify.h"
#include "proc.h"
#include "reconnect.h"
#include "status.h"

#define CHANNEL			"/dev/" VFIOUSER_DEV_NAME

#define DEFAULT_POLL_US		50
/* With fewer CPUs, spinning takes the CPU that the server needs to answer. */
#define POLL_MIN_CPUS		4

static bool is_path(const char *address)
{
	static const char *const others[] = { "@", "unix-abstract:", "fd:", "vsock:", "tcp:" };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(others); i++)
		if (!strncmp(address, others[i], strlen(others[i])))
			return false;
	return true;
}

/**
 * attach_socket_name() - as others can use it: absolute, where it is a path
 * @name: result
 * @address: as typed
 *
 * Symbolic links stay what they are: whoever connects again follows them to where they lead then.
 * A path that is too long for @name as typed is resolved, which may make it shorter.
 *
 * Context: any.
 */
void attach_socket_name(char name[VFIOUSER_SOCKET_MAX], const char *address)
{
	const char *path = address;
	char real[PATH_MAX];
	char *cwd;
	int len;

	if (!strncmp(path, "unix:", 5))
		path += 5;
	if (!is_path(path)) {
		snprintf(name, VFIOUSER_SOCKET_MAX, "%.*s", VFIOUSER_SOCKET_MAX - 1, address);
		return;
	}
	cwd = *path == '/' ? NULL : getcwd(NULL, 0);
	while (!strncmp(path, "./", 2))
		path += 2;
	len = snprintf(name, VFIOUSER_SOCKET_MAX, "%s%s%s", cwd ? cwd : "", cwd ? "/" : "", path);
	free(cwd);
	if (len >= VFIOUSER_SOCKET_MAX && realpath(path, real))
		snprintf(name, VFIOUSER_SOCKET_MAX, "%.*s", VFIOUSER_SOCKET_MAX - 1, real);
}

/* A device that was attached like this and lost its helper: it is taken over, not made anew. */
static int find_frozen(struct attach_options *opt, struct netlink *nl,
		       struct netlink_device *device)
{
	char socket[VFIOUSER_SOCKET_MAX];
	struct netlink_device *devices;
	size_t count, i;

	if (netlink_device_list(nl, &devices, &count))
		return ST_OK;		/* creating one will tell what is wrong */
	attach_socket_name(socket, opt->address);
	for (i = 0; i < count && !opt->old; i++) {
		if (devices[i].state != VFIOUSER_STATE_FROZEN || devices[i].pid)
			continue;
		if (!find_same_socket(devices[i].socket, socket) ||
		    (opt->name && strcmp(devices[i].name, opt->name)))
			continue;
		/* With what a list does not tell, and if it is still there. */
		if (netlink_device_get(nl, devices[i].id, device))
			continue;
		opt->old = device;
		log_note("%s waits for its helper: taking it over", device->name);
	}
	free(devices);
	return ST_OK;
}

/**
 * attach_run() - start a helper, wait until the device is usable, print it
 * @opt: what to do
 *
 * Context: single threaded.
 * Return: enum status.
 */
int attach_run(struct attach_options *opt)
{
	struct netlink_device old;
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	struct netlink *nl;
	int fd, status;
	pid_t pid;

	if (!proc_privileged())
		return log_fail(ST_PERMISSION, "attaching needs root (CAP_SYS_ADMIN); run it with sudo");
	if (access(CHANNEL, F_OK))
		return log_fail(ST_NO_MODULE, "the kernel module is not loaded (no " CHANNEL "); run \"modprobe vfiouser_pci\"");
	if (cpus == 1 && !opt->force)
		return log_fail(ST_ONE_CPU, "with one CPU online a driver's read could wait for ever; add a CPU, or try your luck with --force");
	if (opt->vhost) {
		status = vhost_start(opt);
		if (status)
			return status;
	}
	if (opt->foreground)
		notify_open();
	notify("STATUS=connecting to %s", opt->address);
	/* With one CPU nobody else can make work; with few the server needs that of the helper. */
	if (opt->poll_us < 0) {
		opt->poll_us = cpus > 1 ? DEFAULT_POLL_US : 0;
		opt->poll_server = cpus >= POLL_MIN_CPUS;
	}
	status = cmd_netlink(&nl);
	if (status)
		return status;
	if (netlink_subscribe(nl)) {
		status = log_fail(ST_FAILED, "cannot follow the kernel's events: %s",
				  netlink_error(nl));
		netlink_close(nl);
		return status;
	}
	if (!opt->old)
		find_frozen(opt, nl, &old);
	pid = proc_fork(&fd);
	if (!pid) {
		netlink_close(nl);
		exit(opt->reconnect ? reconnect_run(opt, fd) : attach_helper(opt, fd));
	}
	if (pid < 0) {
		status = log_fail(ST_FAILED, "cannot start the helper: %s", strerror(-pid));
	} else {
		status = front_run(opt, pid, fd, nl);
		close(fd);
	}
	netlink_close(nl);
	return status;
}

static int run(int argc, char **argv)
{
	struct attach_options opt;
	int status;

	status = attach_parse(argc, argv, &opt);
	if (status)
		return status;
	if (opt.help) {
		cmd_help(&cmd_attach);
		return ST_OK;
	}
	return attach_run(&opt);
}

const struct cmd cmd_attach = {
	.name = "attach",
	.synopsis = "[OPTION...] SOCKET | --vhost=TYPE:SOCKET",
	.summary = "make a server's device a PCI device of this host",
	.help =
"Connects to a vfio-user server and makes its device a PCI device of this host. Returns\n"
"when a driver has it (for NVMe: when there is a disk) and prints its name, PCI address,\n"
"IDs, driver, and disks or network interfaces:\n\n"
"  vfu0 10000:00:00.0 1b36:0010 nvme nvme0n1\n\n"
"A helper process serves the device until \"vfiouserctl detach\".\n\n"
"SOCKET is a path (unix:PATH), @NAME (unix-abstract:NAME), fd:N, vsock:CID:PORT or\n"
"tcp:HOST:PORT.\n\n"
"Options:\n"
"  -n, --name=NAME       name of the device (default vfuN)\n"
"  -F, --foreground      stay until the device is gone; ^C detaches it\n"
"      --slot=NAME       put it into a slot that several devices share as its functions\n"
"      --function=N      as which one, 0 to 7 (default 0)\n"
"      --dma=MODE        bounce: the server sees the pool only (default); passthrough: all\n"
"                        memory of this host, nothing is copied (for a trusted server)\n"
"      --pool-size=SIZE  memory that the device can reach by DMA (default 64M)\n"
"      --timeout=TIME    how long the server may take for an answer (default 5s)\n"
"      --wait=TIME       how long to wait for a driver (default 10s, 0: not at all)\n"
"      --wait-server=TIME  how long to wait for a server that is not there yet (default 0)\n"
"      --reconnect[=TIME] connect again, for up to TIME (default 120s), where the server is\n"
"                        gone or hangs; the device waits, its driver goes on as after a\n"
"                        reset\n"
"      --grace=TIME      how long the device waits for another helper if its own is gone\n"
"                        (default: as --reconnect, else not at all); see \"recover\"\n"
"      --poll-us=N       microseconds to look for work before sleeping (default 50; with fewer\n"
"                        than 4 CPUs not for the server's answers)\n"
"      --cpus=LIST       where the helper may run, as 0-3,8; the pool is allocated near them\n"
"      --no-direct       map no BAR of the server, take no doorbells, forward each access\n"
"      --no-interrupts   the device has none: needed where the transport passes no\n"
"                        descriptors (vsock, TCP), for drivers that do without\n"
"      --no-posted-writes  a driver goes on when the server is done with its write, not before:\n"
"                        for a model of a device that cannot do with less\n"
"      --no-sandbox      keep privileges and system calls of the helper (for debugging)\n"
"      --vhost=TYPE:SOCKET  the device of the vhost-user back end at SOCKET, instead of a server's:\n"
"                        blk, fs, net, scsi and others, see vfiouser-vhost(8)\n"
"      --io-bars=HOW     show BARs of I/O ports as memory, or hide them (default: shown where\n"
"                        the device has no other BAR)\n"
"      --force           also with a single CPU, and with IDs of a chipset's on which the kernel\n"
"                        acts beyond the device\n"
"      --record=FILE     record all messages, for \"vfiouserctl replay\" and Wireshark\n"
"      --inject=FAULTS   inject faults, see below\n"
"  -j, --json            print JSON; schema in vfiouserctl(8)\n"
"  -v, --verbose         one line for each event\n"
"  -h, --help            this text\n\n"
"FAULTS are rules with commas in between, each ACTION[:PROBABILITY][@WHAT], where ACTION is\n"
"delay:MS (a message, and all behind it, is sent later), drop (it is not sent) or\n"
"error:ERRNO (its answer is replaced), and WHAT is access (default), read, write, irq,\n"
"reset, dma, info, version or all, for read and write also /REGION (bar0 to bar5, config).\n"
"seed:N makes other random numbers.\n\n"
"Examples:\n"
"  vfiouserctl attach /run/nvme.sock\n"
"  vfiouserctl attach --wait-server=30s /run/nvme.sock\n"
"  vfiouserctl attach --vhost=blk:/run/qsd.sock --name=disk2\n"
"  vfiouserctl attach --inject=delay:20:10%,error:EIO:0.01@read/bar0 /run/nvme.sock\n"
"  vfiouserctl attach --record=disk.pcapng /run/nvme.sock\n"
"  vfiouserctl attach --foreground --verbose --name=disk1 /run/nvme.sock\n",
	.run = run,
};
