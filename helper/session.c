// SPDX-License-Identifier: GPL-2.0-only
/*
 * The helper process: it connects to a server, creates a device or takes one over, and serves
 * it until it is gone. See proc.c for how it is started and confined, and serve.c for what it
 * does then.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "cmd.h"
#include "device.h"
#include "engine/client.h"
#include "ioeventfd.h"
#include "log.h"
#include "memory.h"
#include "notify.h"
#include "peer.h"
#include "proc.h"
#include "reconnect.h"
#include "record.h"
#include "ring.h"
#include "serve.h"
#include "status.h"

#define CHANNEL		"/dev/" VFIOUSER_DEV_NAME

#define CONFIG_BYTES		256
/* How often the kernel is asked whether the driver has been told. */
#define RESUME_LOOK_MS		20
/* How often a server is looked for that is not there yet. */
#define LOOK_SERVER_MS		100

/**
 * struct session - what the engine's callbacks work on
 * @memory: that the server can reach
 * @token: of the state that the server is to go on with, or 0
 * @stale: it does, but the driver has been told meanwhile that the device was gone
 * @record: where messages go to as well
 * @inject: faults
 */
struct session {
	struct memory memory;
	uint64_t token;
	bool stale;
	struct record record;
	struct inject inject;
};

static int dma_read(void *opaque, uint64_t iova, void *buf, size_t count)
{
	const struct session *session = opaque;

	return memory_read(&session->memory, iova, buf, count);
}

static int dma_write(void *opaque, uint64_t iova, const void *buf, size_t count)
{
	const struct session *session = opaque;

	return memory_write(&session->memory, iova, buf, count);
}

static void note(void *opaque, enum vfuc_level level, const char *text)
{
	(void)opaque;
	if (level == VFUC_WARN)
		log_note("server: %s", text);
	else
		log_debug("server: %s", text);
}

static void tap(void *opaque, const struct vfuc_tap *message)
{
	struct session *session = opaque;

	record_message(&session->record, message);
}

static void inject(void *opaque, unsigned int command, uint32_t region, struct vfuc_fault *fault)
{
	struct session *session = opaque;

	inject_decide(&session->inject, command, region, fault);
}

static int open_channel(struct ring *ring)
{
	int err = ring_open(ring, CHANNEL);

	if (!err)
		return ST_OK;
	if (err == -ENOENT || err == -ENXIO || err == -ENODEV)
		return log_fail(ST_NO_MODULE,
				"the kernel module is not loaded (no " CHANNEL "); run \"modprobe vfiouser_pci\"");
	if (err == -EINVAL)
		return log_fail(ST_ABI, "the kernel module's request ring has another size; vfiouserctl and vfiouser_pci must be of one version");
	return log_fail(status_of_kernel(err), "cannot open " CHANNEL ": %s", strerror(-err));
}

static int create_device(const struct attach_options *opt, const struct netlink_new *params,
			 struct netlink *nl, uint32_t *id)
{
	int err, status = ST_OK;

	err = netlink_device_new(nl, params, id);
	if (err == -EEXIST)
		status = log_fail(ST_EXISTS, "a device named \"%s\" exists; choose another --name",
				  opt->name ? opt->name : "");
	else if (err == -EBUSY)
		status = log_fail(ST_EXISTS, "slot \"%s\" has a function %u; choose another --function: %s",
				  opt->slot ? opt->slot : "", opt->function, netlink_error(nl));
	else if (err == -EPROTONOSUPPORT)
		status = log_fail(ST_ABI, "the kernel module has another interface (%s); vfiouserctl and vfiouser_pci must be of one version",
				  netlink_error(nl));
	else if (err)
		status = log_fail(status_of_kernel(err) == ST_NO_DEVICE ? ST_KERNEL :
				  status_of_kernel(err),
				  "the kernel refused the device: %s", netlink_error(nl));
	return status;
}

/* By 4 bytes, as drivers do: some servers take no more at a time. */
static int read_config(struct vfuc *server, uint8_t *config, struct vfuc_error *error)
{
	unsigned int i;

	for (i = 0; i < CONFIG_BYTES; i += 4)
		if (vfuc_region_read(server, VFIO_PCI_CONFIG_REGION_INDEX, i, config + i, 4, error))
			return error->err;
	return 0;
}

/*
 * Instead, for a device that exists: it goes on with this server. The server gets the pool when its
 * device is known to be the right one, and the driver to have let go of what it had begun.
 */
static int resume_device(const struct attach_options *opt, const struct netlink_new *params,
			 struct netlink *nl, struct vfuc *server, struct session *session)
{
	struct netlink_new check = *params;
	struct vfuc_error error = { 0 };
	uint8_t config[CONFIG_BYTES];
	int err, status;

	if (read_config(server, config, &error))
		return reconnect_fail(opt, status_of_server(&error), "%s", error.message);
	check.flags |= VFIOUSER_DEV_F_CHECK;
	/* Until its driver knows that it was gone. */
	while ((err = netlink_device_resume(nl, &check, config)) == -EAGAIN)
		poll(NULL, 0, RESUME_LOOK_MS);
	if (!err) {
		status = memory_map(&session->memory, server);
		if (status)
			return status;
		while ((err = netlink_device_resume(nl, params, config)) == -EAGAIN)
			poll(NULL, 0, RESUME_LOOK_MS);
	}
	session->stale = err == -ESTALE;
	if (session->stale)
		return ST_FAILED;
	if (err == -EREMCHG)
		return reconnect_fail(opt, ST_OTHER_DEVICE,
				      "the server came back with another device (%s); start the right one, or detach this",
				      netlink_error(nl));
	if (err)
		return reconnect_fail(opt, status_of_kernel(err),
				      "the kernel does not resume the device: %s",
				      netlink_error(nl));
	return ST_OK;
}

static int offer_device(const struct attach_options *opt, const char *socket, struct vfuc *server,
			const struct ring *ring, const struct device *dev,
			struct session *session, uint32_t *id)
{
	const struct memory *memory = &session->memory;
	struct netlink_new params = {
		.name = opt->name,
		.slot = opt->slot,
		.function = opt->function,
		.socket = socket,
		.channel = ring->fd,
		.timeout_ms = opt->timeout_ms,
		.grace_ms = opt->grace_ms,
		.server = vfuc_caps(server)->server_pid,
		.keeper = opt->reconnect ? (uint32_t)getppid() : 0,
		.options = *opt->helper_options ? opt->helper_options : NULL,
		.token = vfuc_caps(server)->token,
		.device = dev,
		.pool = memory->passthrough ? NULL : &memory->pool,
	};
	struct netlink *nl;
	int status;

	if (dev->info.flags & VFIO_DEVICE_FLAGS_RESET)
		params.flags |= VFIOUSER_DEV_F_RESET;
	if (opt->force)
		params.flags |= VFIOUSER_DEV_F_FORCE;
	params.flags |= opt->io_bars;
	if (!opt->posted_writes)
		params.flags |= VFIOUSER_DEV_F_WAIT_WRITES;
	if (memory->passthrough)
		params.flags |= VFIOUSER_DEV_F_PASSTHROUGH;
	status = cmd_netlink(&nl);
	if (status)
		return status;
	if (opt->old) {
		*id = opt->old->id;
		status = resume_device(opt, &params, nl, server, session);
	} else {
		status = create_device(opt, &params, nl, id);
	}
	netlink_close(nl);
	return status;
}

static void front_gone(void)
{
	log_debug("going on in the background");
	proc_background();
}

static int serve(const struct attach_options *opt, struct vfuc *server, struct ring *ring,
		 const struct device *dev, int front)
{
	/* Callbacks of what is outstanding come until the connection is closed. */
	static struct serve s;
	unsigned int i;
	int err, status;

	s = (struct serve) {
		.ring = ring,
		.server = server,
		.grace = opt->old ? opt->old->grace_ms : opt->grace_ms,
		.poll_us = opt->poll_us,
		.poll_server = opt->poll_server,
		.front_fd = front,
		.front_gone = front_gone,
	};
	serve_watch(&s);

	for (i = 0; i < VFIO_PCI_NUM_IRQS; i++)
		s.irqs.types[i].count = dev->irqs[i].count;
	s.signal_fd = proc_signals();
	if (s.signal_fd < 0)
		return log_fail(ST_FAILED, "cannot receive signals: %s", strerror(-s.signal_fd));
	/* While we may still ask what the descriptors are. */
	serve_ioregions(&s, dev, opt->timeout_ms);
	err = proc_confine(opt->sandbox);
	if (err)
		status = log_fail(ST_FAILED,
				  "cannot confine the helper (%s); --no-sandbox goes without",
				  strerror(-err));
	else
		status = serve_run(&s);
	ioregion_release(&s.ioregions);
	irq_release(&s.irqs);
	close(s.signal_fd);
	if (s.server_fd >= 0)
		close(s.server_fd);
	return status;
}

static int with_memory(const struct attach_options *opt, const char *socket, struct vfuc *server,
		       struct ring *ring, const struct device *dev, struct session *session,
		       int front)
{
	struct proc_ready ready = { 0 };
	int status;

	/* One that exists has to be ready for it, see resume_device(). */
	if (!opt->old) {
		status = memory_map(&session->memory, server);
		if (status)
			return status;
	}
	status = offer_device(opt, socket, server, ring, dev, session, &ready.id);
	if (status)
		return status;
	log_debug("device %u %s", ready.id, opt->old ? "resumed" : "created");
	ioeventfd_assign(dev, ring);
	/* In the foreground the front stays, and we go with it: by SIGTERM, or see proc_drop(). */
	if (!opt->foreground)
		proc_stay();
	else if (opt->reconnect)
		proc_drop();
	/* A front that died does not matter any more. */
	if (send(front, &ready, sizeof(ready), MSG_NOSIGNAL) < 0)
		log_debug("the front has gone");
	/* A log daemon may be waiting for the very disk that this process serves. */
	if (opt->foreground && notify_active())
		proc_background();
	return serve(opt, server, ring, dev, front);
}

/*
 * Interrupts are eventfds, and the protocol has no message for them: where the server gets none, a
 * driver that waits for an interrupt would wait for ever. It is told beforehand, by a device that
 * has no interrupts, or the administrator is.
 */
static int settle_interrupts(const struct attach_options *opt, const struct vfuc_caps *caps,
			     struct device *dev)
{
	bool possible = caps->can_pass_fds && caps->max_msg_fds;
	unsigned int i;

	if (!possible && opt->interrupts &&
	    (dev->irqs[VFIO_PCI_INTX_IRQ_INDEX].count || dev->irqs[VFIO_PCI_MSI_IRQ_INDEX].count ||
	     dev->irqs[VFIO_PCI_MSIX_IRQ_INDEX].count))
		return log_fail(ST_NO_INTERRUPTS,
				"%s: the device's interrupts cannot work; --no-interrupts attaches it without them",
				caps->can_pass_fds ? "the server takes no descriptors" :
				"this transport passes no descriptors");
	for (i = 0; i < VFIO_PCI_NUM_IRQS && (!possible || !opt->interrupts); i++)
		dev->irqs[i].count = 0;
	if (!caps->can_pass_fds)
		log_note("this transport passes no descriptors: register accesses and DMA go by message");
	else if (!caps->max_msg_fds)
		log_note("the server takes no descriptors: DMA goes by message");
	return ST_OK;
}

/*
 * A server may remember what another client of its has done, or what this device was told over the
 * connection before. A device that can be reset begins afresh, as with any client of vfio's: but
 * not one that goes on where it was.
 */
static int begin(struct vfuc *server, const struct device *dev, uint64_t token)
{
	struct vfuc_error error = { 0 };

	if (token && vfuc_caps(server)->token == token)
		return ST_OK;
	if (!(dev->info.flags & VFIO_DEVICE_FLAGS_RESET) || !vfuc_reset(server, &error))
		return ST_OK;
	if (error.kind != VFUC_SERVER_ERROR)
		return log_fail(status_of_server(&error), "%s", error.message);
	log_note("the server does not reset its device: %s", error.message);
	return ST_OK;
}

static int with_server(const struct attach_options *opt, const char *socket, struct vfuc *server,
		       struct ring *ring, struct session *session, int front)
{
	const struct vfuc_caps *caps = vfuc_caps(server);
	struct pollfd main_socket;
	struct device dev;
	int err, status;

	log_debug("vfio-user %u.%u, %u descriptors a message, %" PRIu64 " bytes a transfer, twin socket %s",
		  caps->major, caps->minor, caps->max_msg_fds, caps->max_data_xfer_size,
		  caps->twin_socket ? "yes" : "no");
	if (vfuc_poll_fds(server, &main_socket, 1) == 1)
		peer_check(main_socket.fd);
	/* After the connection, since the address may be relative to the current directory. */
	err = proc_prepare();
	if (err)
		return log_fail(ST_FAILED, "cannot prepare the helper process: %s",
				strerror(-err));
	status = device_query(&dev, server, opt->direct && caps->can_pass_fds);
	if (status)
		return status;
	status = begin(server, &dev, session->token);
	if (status) {
		device_release(&dev);
		return status;
	}
	status = settle_interrupts(opt, caps, &dev);
	if (!status)
		status = memory_get(&session->memory, opt, ring);
	if (!status) {
		status = with_memory(opt, socket, server, ring, &dev, session, front);
		memory_put(&session->memory);
	}
	device_release(&dev);
	return status;
}

/* A server that is being started: its socket comes, and then somebody listens on it. */
static int open_server(const struct attach_options *opt, const struct vfuc_config *config,
		       int front, struct vfuc **server, struct vfuc_error *error)
{
	struct pollfd fd = { .fd = front, .events = POLLIN };
	/* Who connects again has a time of its own. */
	int64_t end = now_ms() + (opt->old ? 0 : (int64_t)(opt->server_us / 1000));
	int err;

	while ((err = vfuc_open(server, config, error)) &&
	       (error->kind == VFUC_NO_SOCKET || error->kind == VFUC_REFUSED) && now_ms() < end)
		/* The front is what is interrupted. */
		if (poll(&fd, 1, LOOK_SERVER_MS) > 0)
			break;
	return err;
}

/* For as long as the kernel waits for another helper; where it does not, nobody would come. */
static unsigned int keep_ms(const struct attach_options *opt)
{
	return opt->old ? opt->old->grace_ms : opt->grace_ms;
}

static int with_channel(const struct attach_options *opt, const char *socket, struct ring *ring,
			uint64_t token, int front)
{
	struct session session = {
		.memory = { .passthrough = opt->passthrough },
		.token = token,
		.record = { .fd = -1 },
		.inject = opt->inject,
	};
	/* What is not asked for costs nothing. */
	const struct vfuc_ops ops = {
		.dma_read = dma_read,
		.dma_write = dma_write,
		.note = note,
		.tap = opt->record ? tap : NULL,
		.inject = opt->inject.count ? inject : NULL,
	};
	struct vfuc_config config = {
		.address = opt->address,
		.timeout_ms = opt->timeout_ms,
		.ops = &ops,
		.opaque = &session,
		.keep_ms = keep_ms(opt),
		.token = token,
	};
	struct vfuc_error error = { 0 };
	struct vfuc *server;
	int status;

	if (opt->record) {
		status = record_open(&session.record, opt->record, opt->address, opt->old);
		if (status)
			return status;
	}
	if (open_server(opt, &config, front, &server, &error)) {
		status = reconnect_fail(opt, status_of_server(&error), "%s", error.message);
	} else {
		status = with_server(opt, socket, server, ring, &session, front);
		vfuc_close(server);
	}
	record_close(&session.record);
	/* Once more, then, with a server that begins afresh, as the driver will. */
	if (session.stale && token)
		return with_channel(opt, socket, ring, 0, front);
	return status;
}

/*
 * First of all: who had the device closes its connection then, and a server has one client. Then the
 * kernel says whether the driver can do without knowing, if the server has kept what @token names.
 */
static int take_device(const struct attach_options *opt, const struct ring *ring, uint64_t *token)
{
	struct netlink_device device;
	struct netlink *nl;
	int err, status;

	status = cmd_netlink(&nl);
	if (status)
		return status;
	err = netlink_device_take(nl, opt->old->id, ring->fd);
	if (err)
		status = reconnect_fail(opt, status_of_kernel(err),
					"the kernel does not let the device go: %s",
					netlink_error(nl));
	else if (!netlink_device_get(nl, opt->old->id, &device))
		*token = device.token;
	netlink_close(nl);
	return status;
}

/**
 * attach_helper() - connect to a server, create or take over a device, serve it until it is gone
 * @opt: what to do
 * @front: to whoever waits for it
 *
 * Context: a process of its own.
 * Return: enum status.
 */
int attach_helper(const struct attach_options *opt, int front)
{
	char socket[VFIOUSER_SOCKET_MAX];
	struct ring ring;
	uint64_t token = 0;
	int status;

	log_device(opt->old ? opt->old->name : opt->name ? opt->name : opt->address);
	/* Before the pool is allocated, so that its memory is near. */
	if (CPU_COUNT(&opt->cpus) && sched_setaffinity(0, sizeof(opt->cpus), &opt->cpus))
		return log_fail(ST_USAGE, "none of the CPUs of --cpus can be used: %s",
				strerror(errno));
	attach_socket_name(socket, opt->address);
	status = open_channel(&ring);
	if (status)
		return status;
	if (opt->old)
		status = take_device(opt, &ring, &token);
	if (!status)
		status = with_channel(opt, socket, &ring, token, front);
	/* Now, if it still exists, the device goes, or waits for another helper. */
	ring_close(&ring);
	/* And who waits is told, since what the server sent may keep us from ending. */
	if (!opt->reconnect)
		close(front);
	return status;
}
