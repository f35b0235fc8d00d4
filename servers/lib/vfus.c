// SPDX-License-Identifier: GPL-2.0-only
/*
 * Life of a server: its socket, its event loop, one client after the other.
 *
 * Follows the specification's "Backend Program Conventions": stays in the foreground, takes a
 * socket path or a descriptor, and ends cleanly on SIGTERM (and SIGINT), which is read from a
 * signalfd so that every wait in the library can notice it. Further clients wait in the listen
 * backlog until the current one leaves; what a leaving client leaves behind follows "Client
 * Disconnection".
 */
#include <errno.h>
#include <limits.h>
#include <linux/vfio.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "vfus_priv.h"

/**
 * vfus_log() - one line on standard error
 * @s: server
 * @level: printed where --verbose was given at least this often
 * @fmt: printf format, without newline
 */
void vfus_log(const struct vfus *s, int level, const char *fmt, ...)
{
	char line[256];
	va_list ap;

	if (level > s->cfg.verbose)
		return;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	fprintf(stderr, "%s: %s\n", program_invocation_short_name, line);
}

/**
 * vfus_now_us() - monotonic time in microseconds
 *
 * Return: microseconds since an arbitrary point.
 */
uint64_t vfus_now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000ull + ts.tv_nsec / 1000;
}

/**
 * vfus_config_init() - defaults
 * @cfg: filled in
 */
void vfus_config_init(struct vfus_config *cfg)
{
	*cfg = (struct vfus_config){
		.fd = -1,
		.max_msg_fds = 8,
		.max_xfer = VFIO_USER_DEF_MAX_XFER,
		.max_dma_maps = VFIO_USER_DEF_MAX_MAPS,
		.pgsizes = VFIO_USER_DEF_PGSIZES,
		.write_multiple = true,
		.dma_timeout_ms = 5000,
	};
}

/**
 * vfus_config_parse_fd() - the argument of --fd
 * @cfg: its fd is set
 * @arg: decimal number
 *
 * Return: 0 or -EINVAL.
 */
int vfus_config_parse_fd(struct vfus_config *cfg, const char *arg)
{
	char *end;
	long v;

	errno = 0;
	v = strtol(arg, &end, 10);
	if (errno || end == arg || *end || v < 0 || v > INT_MAX)
		return -EINVAL;
	cfg->fd = (int)v;
	return 0;
}

/* A socket file that nobody listens on any more may be replaced. */
static int remove_stale(const struct sockaddr_un *sun)
{
	struct stat st;
	int fd, ret;

	if (lstat(sun->sun_path, &st))
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	ret = connect(fd, (const struct sockaddr *)sun, sizeof(*sun)) ? -errno : 0;
	close(fd);
	if (ret != -ECONNREFUSED)
		return -EADDRINUSE;
	return unlink(sun->sun_path) ? -errno : 0;
}

static int listen_on_path(struct vfus *s)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	const char *path = s->cfg.socket_path;
	struct stat st;
	int ret;

	if (!*path || strlen(path) >= sizeof(sun.sun_path)) {
		vfus_log(s, 0, "socket path '%s': give 1 to %zu characters", path,
			 sizeof(sun.sun_path) - 1);
		return -EINVAL;
	}
	memcpy(sun.sun_path, path, strlen(path) + 1);
	ret = remove_stale(&sun);
	if (ret) {
		vfus_log(s, 0, "socket path '%s': %s; choose another or remove it", path,
			 strerror(-ret));
		return ret;
	}
	s->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (s->listen_fd < 0 || bind(s->listen_fd, (struct sockaddr *)&sun, sizeof(sun)) ||
	    listen(s->listen_fd, 8)) {
		ret = -errno;
		vfus_log(s, 0, "socket path '%s': %s", path, strerror(-ret));
		return ret;
	}
	if (!lstat(path, &st)) {
		s->bound = true;
		s->sock_dev = st.st_dev;
		s->sock_ino = st.st_ino;
	}
	return 0;
}

static size_t max_msg(const struct vfus *s)
{
	size_t n = sizeof(struct vfio_user_hdr) + sizeof(struct vfio_user_region_access) +
		   s->cfg.max_xfer;

	return n < 65536 ? 65536 : n;
}

/**
 * vfus_forget() - what was kept for another client is of no use any more
 * @s: server that keeps something
 */
void vfus_forget(struct vfus *s)
{
	s->kept = false;
	if (s->dev.ops->connected)
		s->dev.ops->connected(s->dev.priv, false);
}

/* The client is gone: does its device go on? Not one with memory that its messages alone reach. */
static bool keep(struct vfus *s)
{
	size_t i;

	if (!s->keep_ms || !s->dev.ops->keep || s->given_up || s->last || s->stop)
		return false;
	for (i = 0; i < s->nr_wins; i++)
		if (!s->wins[i].va)
			return false;
	/* Before: see vfus_usable(). */
	s->kept = true;
	s->kept = s->dev.ops->keep(s->dev.priv);
	if (!s->kept)
		return false;
	s->kept_until = vfus_now_us() + s->keep_ms * 1000ull;
	for (i = 0; i < s->nr_wins; i++)
		s->wins[i].kept = true;
	vfus_log(s, 1, "what it left goes on until there is another");
	return true;
}

static void drop_client(struct vfus *s)
{
	if (!s->connected)
		return;
	vfus_log(s, 1,
		 "client disconnected; %llu REGION_WRITE_MULTI of %llu writes, %llu replies overtaken",
		 (unsigned long long)s->multi_messages, (unsigned long long)s->multi_writes,
		 (unsigned long long)s->overtaken);
	s->multi_messages = 0;
	s->multi_writes = 0;
	s->overtaken = 0;
	s->held_len = 0;
	s->connected = false;
	if (s->negotiated && !keep(s) && s->dev.ops->connected)
		s->dev.ops->connected(s->dev.priv, false);
	/* its memory goes when the device has done with it: see serve() */
	vfus_irq_release(s);
	vfus_queue_free(&s->queue);
	vfus_queue_free(&s->waiting);
	s->putting_off = false;
	s->put_off_until = 0;
	s->negotiated = false;
	s->hung = false;
	vfus_chan_close(&s->twin);
	vfus_chan_close(&s->chan);
	if (s->last)
		s->stop = true;
}

static void take_client(struct vfus *s, int fd)
{
	const struct vfus_hooks *h = s->cfg.hooks;
	enum vfus_verdict verdict;

	if (vfus_chan_init(&s->chan, fd, max_msg(s)))
		return;
	s->connected = true;
	s->client_max_fds = VFIO_USER_DEF_MAX_FDS;
	s->client_max_xfer = VFIO_USER_DEF_MAX_XFER;
	s->pgsize = VFIO_USER_DEF_PGSIZES;
	s->write_multiple = false;
	vfus_log(s, 1, "client connected");
	verdict = h && h->on_connect ? h->on_connect(h->priv) : VFUS_PASS;
	if (verdict == VFUS_CLOSE)
		s->chan.dead = true;
	else if (verdict == VFUS_HANG)
		s->hung = true;
}

static void accept_client(struct vfus *s)
{
	int fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC);

	if (fd >= 0)
		take_client(s, fd);
	else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
		vfus_log(s, 0, "accept: %s", strerror(errno));
}

static int adopt_fd(struct vfus *s)
{
	int listening = 0, type = 0;
	socklen_t len = sizeof(int);

	if (getsockopt(s->cfg.fd, SOL_SOCKET, SO_TYPE, &type, &len) || type != SOCK_STREAM) {
		vfus_log(s, 0, "--fd=%d is not a stream socket", s->cfg.fd);
		return -EINVAL;
	}
	len = sizeof(int);
	getsockopt(s->cfg.fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len);
	if (listening) {
		/* Clients that come from now on are told that we serve, not who made it. */
		if (listen(s->cfg.fd, 8))
			return -errno;
		s->listen_fd = s->cfg.fd;
		return 0;
	}
	s->last = true;
	take_client(s, s->cfg.fd);
	return s->connected ? 0 : -ENOMEM;
}

static int block_signals(struct vfus *s)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	if (s->dev.ops->reload)
		sigaddset(&set, SIGHUP);
	if (sigprocmask(SIG_BLOCK, &set, NULL))
		return -errno;
	s->sigfd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return s->sigfd < 0 ? -errno : 0;
}

/**
 * vfus_create() - set a server up and, with a path, start listening
 * @cfg: copied
 * @dev: copied; what it points to must outlive the server
 *
 * Return: the server, or NULL after saying on standard error what is wrong.
 */
struct vfus *vfus_create(const struct vfus_config *cfg, const struct vfus_device *dev)
{
	struct vfus *s = calloc(1, sizeof(*s));
	struct rlimit files;
	int ret;

	if (!s)
		return NULL;
	s->cfg = *cfg;
	s->dev = *dev;
	/* For each device: see vfus_take_signal(). */
	if (s->dev.nr_irqs > VFIO_PCI_REQ_IRQ_INDEX) {
		s->dev.irqs[VFIO_PCI_ERR_IRQ_INDEX] = (struct vfus_irq_type){
			1, VFIO_IRQ_INFO_EVENTFD };
		s->dev.irqs[VFIO_PCI_REQ_IRQ_INDEX] = (struct vfus_irq_type){
			1, VFIO_IRQ_INFO_EVENTFD };
	}
	s->sigfd = -1;
	s->listen_fd = -1;
	s->chan.fd = -1;
	s->twin.fd = -1;
	vfus_queue_init(&s->queue);
	vfus_queue_init(&s->waiting);
	s->out_cap = max_msg(s);
	s->out = calloc(1, s->out_cap);
	s->held = cfg->reorder ? calloc(1, s->out_cap + sizeof(struct vfio_user_hdr)) : NULL;
	/* An eventfd for each vector. */
	if (!getrlimit(RLIMIT_NOFILE, &files)) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	/* Sleeps of tens of microseconds are what the device's polling lives on. */
	prctl(PR_SET_TIMERSLACK, 1000);
	ret = s->out && (s->held || !cfg->reorder) ? vfus_irq_init(s) : -ENOMEM;
	if (!ret)
		ret = vfus_dma_init(s);
	if (!ret)
		ret = block_signals(s);
	if (ret)
		vfus_log(s, 0, "set-up: %s", strerror(-ret));
	else
		ret = cfg->socket_path ? listen_on_path(s) : adopt_fd(s);
	if (ret) {
		vfus_destroy(s);
		return NULL;
	}
	return s;
}

/**
 * vfus_destroy() - disconnect, remove the socket, free
 * @s: server or NULL
 */
void vfus_destroy(struct vfus *s)
{
	struct stat st;

	if (!s)
		return;
	s->stop = true;
	drop_client(s);
	if (s->kept)
		vfus_forget(s);
	vfus_dma_release(s);
	/* Only our own file: a successor may have bound the same path. */
	if (s->bound && !lstat(s->cfg.socket_path, &st) && st.st_dev == s->sock_dev &&
	    st.st_ino == s->sock_ino)
		unlink(s->cfg.socket_path);
	if (s->listen_fd >= 0)
		close(s->listen_fd);
	if (s->sigfd >= 0)
		close(s->sigfd);
	vfus_irq_free(s);
	free(s->held);
	free(s->out);
	free(s);
}

/**
 * vfus_usable() - is there a client whose memory can be reached?
 * @s: server
 *
 * Return: true if there is, or was one for whose device another may come.
 */
bool vfus_usable(const struct vfus *s)
{
	return s->kept || (s->negotiated && !s->chan.dead);
}

/**
 * vfus_put_off() - a command waits for vfus_resume()
 * @s: server
 * @m: the command, which is the first of those that wait
 *
 * So do those behind it, but for register accesses: nothing may keep those from their answers.
 */
void vfus_put_off(struct vfus *s, struct vfus_msg *m)
{
	struct vfus_queue *q = &s->waiting;
	bool reset = m->hdr.cmd == VFIO_USER_DEVICE_RESET && !q->first;

	m->next = q->first;
	q->first = m;
	if (q->last == &q->first)
		q->last = &m->next;
	q->nr++;
	m->put_off = true;
	s->putting_off = true;
	if (!s->put_off_until)
		s->put_off_until = vfus_now_us() + 1000ull * (reset ? VFUS_PUT_OFF_RESET_MS :
								      VFUS_PUT_OFF_MS);
}

/**
 * vfus_waits() - is there a command that waits for vfus_resume()?
 * @s: server
 *
 * Return: true if so; false also where the device has put one off that has failed since.
 */
bool vfus_waits(const struct vfus *s)
{
	return s->putting_off;
}

/**
 * vfus_resume() - a command that the device put off can be handled now
 * @s: server
 *
 * reset() and dma_unmap() put the command that they belong to off by returning -EINPROGRESS. They
 * are called again after this, with the same command; before that only register accesses are
 * handled, as if it had been executed already. A command that is put off for too long fails with
 * ETIMEDOUT, as clients do not wait for ever.
 */
void vfus_resume(struct vfus *s)
{
	s->putting_off = false;
}

/**
 * vfus_disconnect() - the device is of no more use to the client that there is
 * @s: server
 * @why: for the user
 *
 * A client that loses its server knows best what it still waits for. It may come again.
 */
void vfus_disconnect(struct vfus *s, const char *why)
{
	s->given_up = true;
	s->kept_until = 0;
	if (!s->connected || s->chan.dead)
		return;
	vfus_log(s, 0, "client disconnected: %s", why);
	s->chan.dead = true;
}

static bool is_access(const struct vfus_msg *m)
{
	return m->hdr.cmd == VFIO_USER_REGION_READ || m->hdr.cmd == VFIO_USER_REGION_WRITE ||
	       m->hdr.cmd == VFIO_USER_REGION_WRITE_MULTI;
}

/* Some of it may wait behind a DMA access of an earlier message, or behind a slow command. */
static struct vfus_msg *next_message(struct vfus *s)
{
	struct vfus_msg *m = s->putting_off ? NULL : vfus_queue_take(&s->waiting);
	uint64_t until;

	while (!m) {
		m = vfus_queue_take(&s->queue);
		if (!m)
			m = vfus_chan_next(s, &s->chan);
		if (!m || !s->putting_off || is_access(m))
			break;
		if (!vfus_queue_put(s, &s->waiting, m))
			return NULL;
		m = NULL;
		until = vfus_now_us() + VFUS_PUT_OFF_MS * 1000ull;
		if (s->waiting.nr == 2 && until < s->put_off_until)
			s->put_off_until = until;
	}
	return m;
}

/* Something may be about to change. */
static void touch(struct vfus *s)
{
	if (!s->touched && s->dev.ops->touched)
		s->dev.ops->touched(s->dev.priv);
	s->touched = true;
}

/* Handle what has been received. */
static void drain(struct vfus *s)
{
	struct vfus_msg *m;

	s->put_off_failed = s->putting_off && vfus_now_us() >= s->put_off_until;
	if (s->put_off_failed)
		s->putting_off = false;
	while (!s->stop && !s->hung && !s->chan.dead) {
		bool was = s->negotiated;

		m = next_message(s);
		if (!m)
			break;
		if (!vfus_only_asks(m))
			touch(s);
		vfus_dispatch(s, m);
		s->put_off_failed = false;
		if (s->negotiated && !was && s->dev.ops->connected)
			s->dev.ops->connected(s->dev.priv, true);
	}
}

/**
 * vfus_accepting() - can a client have the device that knows of nothing?
 * @s: server
 *
 * Return: true if it can.
 */
bool vfus_accepting(const struct vfus *s)
{
	return !s->dev.ops->accepting || s->dev.ops->accepting(s->dev.priv);
}

enum { P_SIG, P_SOCK, P_DEV, P_TWIN, P_IRQ };

/* How long nothing has to happen before the device is told that it sleeps. */
#define REST_NS		10000000

/* A sleep without an end. Returns what ppoll() does, and 0 where something else is to be done. */
static int sleep_long(struct vfus *s, struct pollfd *p, nfds_t n)
{
	const struct timespec rest = { .tv_nsec = REST_NS };
	int ret;

	/* What belongs to half a message is not to be known to a copy alone. */
	if (s->chan.head != s->chan.tail) {
		touch(s);
		return ppoll(p, n, NULL, NULL);
	}
	if (s->touched) {
		ret = ppoll(p, n, &rest, NULL);
		if (ret)
			return ret;
	}
	s->touched = false;
	if (!s->dev.ops->asleep(s->dev.priv)) {
		s->touched = true;
		return 0;
	}
	ret = ppoll(p, n, NULL, NULL);
	s->dev.ops->awake(s->dev.priv);
	return ret;
}

static int wait_events(struct vfus *s, struct pollfd *p, long us)
{
	struct timespec ts = { us / 1000000, us % 1000000 * 1000 };
	bool serving = s->connected && !s->hung;
	unsigned int i;
	int ret;

	p[P_SIG] = (struct pollfd){ .fd = s->sigfd, .events = POLLIN };
	p[P_SOCK] = s->connected ?
		    (struct pollfd){ .fd = s->chan.fd, .events = s->hung ? POLLRDHUP : POLLIN } :
		    (struct pollfd){ .fd = s->kept || vfus_accepting(s) ? s->listen_fd : -1,
				     .events = POLLIN };
	p[P_DEV] = (struct pollfd){ .fd = serving || s->dev.always ? s->dev.fd : -1,
				    .events = POLLIN };
	/* Nothing is expected on the twin socket between calls, but its end is news. */
	p[P_TWIN] = (struct pollfd){ .fd = serving ? s->twin.fd : -1, .events = POLLIN };
	for (i = 0; i < s->dev.nr_irqs; i++)
		p[P_IRQ + i] = (struct pollfd){ .fd = serving ? s->irqs[i].unmask : -1,
						.events = POLLIN };
	if (us < 0 && s->dev.ops->asleep) {
		ret = sleep_long(s, p, P_IRQ + s->dev.nr_irqs);
	} else {
		touch(s);
		ret = ppoll(p, P_IRQ + s->dev.nr_irqs, us < 0 ? NULL : &ts, NULL);
	}
	if (ret < 0)
		return errno == EINTR ? 0 : -errno;
	return ret;
}

/**
 * vfus_take_signal() - the signalfd is readable
 * @s: server
 *
 * SIGUSR1 signals an error of the device to the client (ERR), SIGUSR2 asks it to let go of the
 * device (REQ).
 *
 * Return: true if the server has to stop.
 */
bool vfus_take_signal(struct vfus *s)
{
	struct signalfd_siginfo info;

	if (read(s->sigfd, &info, sizeof(info)) != sizeof(info))
		return false;
	if (info.ssi_signo == SIGUSR1)
		vfus_irq_trigger(s, VFIO_PCI_ERR_IRQ_INDEX, 0);
	else if (info.ssi_signo == SIGUSR2)
		vfus_irq_trigger(s, VFIO_PCI_REQ_IRQ_INDEX, 0);
	else if (info.ssi_signo == SIGHUP)
		s->dev.ops->reload(s->dev.priv);
	else
		s->stop = true;
	return s->stop;
}

/* Of @n descriptors. */
static void handle_events(struct vfus *s, const struct pollfd *p, int n)
{
	unsigned int i;

	/* Where it is the client alone that has something to say, when it is known what. */
	if (n > 1 || p[P_SOCK].revents != POLLIN || !s->connected)
		touch(s);
	if (p[P_SIG].revents && vfus_take_signal(s))
		return;
	if (p[P_SOCK].revents) {
		if (!s->connected)
			accept_client(s);
		else if (s->hung)
			s->chan.dead = true;
		else if (!vfus_chan_ready(&s->chan))
			vfus_chan_fill(s, &s->chan);
	}
	if (p[P_TWIN].revents) {
		vfus_log(s, 1, "twin socket: unexpected data or end");
		s->chan.dead = true;
	}
	if (p[P_DEV].revents && s->dev.ops->fd_ready)
		s->dev.ops->fd_ready(s->dev.priv);
	for (i = 0; i < s->dev.nr_irqs; i++)
		if (p[P_IRQ + i].revents)
			vfus_irq_unmask_event(s, i);
}

/* Messages after which the other descriptors get their turn. */
#define LOOK_MESSAGES	256

/* Looks for a message for each one at the clock. */
#define LOOKS		16

/*
 * Look for a message for a while before sleeping. The client goes first: it has only just got its
 * answer. Returns true if a message came, or the client has gone; false if it is time to see what
 * else there is.
 */
static bool look(struct vfus *s)
{
	uint64_t since = 0, now;
	unsigned int looks = 0;

	if (++s->looked % LOOK_MESSAGES == 0)
		return false;
	for (;;) {
		vfus_pause();
		if (vfus_chan_fill(s, &s->chan))
			return true;
		if (++looks % LOOKS)
			continue;
		now = vfus_now_us();
		if (!since)
			since = now;
		if (now - since >= s->cfg.poll_us)
			return false;
	}
}

/* Microseconds to sleep: @us, or until @at on vfus_now_us()'s clock where that is sooner. */
static long sooner(long us, uint64_t at)
{
	uint64_t now = vfus_now_us();
	long left = now < at ? (long)(at - now) : 0;

	return us < 0 || left < us ? left : us;
}

/* The event loop. Returns why it ended: 0, a negative errno, or VFUS_TURN_LOST. */
static int serve(struct vfus *s)
{
	struct pollfd p[P_IRQ + VFUS_MAX_IRQ_TYPES];
	int ret = 0;

	while (!s->stop && ret >= 0) {
		long us = -1;

		if (s->connected && !s->hung) {
			drain(s);
			if ((s->negotiated || s->dev.always) && !s->hung && !s->chan.dead &&
			    s->dev.ops->poll)
				us = s->dev.ops->poll(s->dev.priv);
			if (us == VFUS_TURN_LOST)
				return VFUS_TURN_LOST;
			if (s->forgetting && s->putting_off && vfus_accepting(s))
				vfus_resume(s);
			/* DMA accesses may have brought messages in, or an end been waited for. */
			if (!s->hung && (s->queue.first || vfus_chan_ready(&s->chan) ||
					 (s->waiting.first && !s->putting_off)))
				us = 0;
			if (s->putting_off)
				us = sooner(us, s->put_off_until);
			if (s->held_len && vfus_now_us() - s->held_at >= VFUS_HOLD_US)
				vfus_send_held(s);
			if (s->held_len && (us < 0 || us > VFUS_HOLD_US))
				us = VFUS_HOLD_US;
		} else if (s->dev.always) {
			us = s->dev.ops->poll(s->dev.priv);
			if (us == VFUS_TURN_LOST)
				return VFUS_TURN_LOST;
		}
		if (s->connected && s->chan.dead) {
			drop_client(s);
			continue;
		}
		if (s->kept && !s->connected) {
			if (vfus_now_us() >= s->kept_until) {
				vfus_log(s, 1, "nobody has come to go on with it");
				vfus_forget(s);
				continue;
			}
			us = sooner(us, s->kept_until);
		}
		if (us && s->cfg.poll_us && s->negotiated && !s->hung && look(s))
			continue;
		if (!s->connected && !s->kept && s->nr_wins && vfus_accepting(s))
			vfus_dma_release(s);
		ret = wait_events(s, p, us);
		if (ret > 0)
			handle_events(s, p, ret);
	}
	return ret < 0 ? ret : 0;
}

/**
 * vfus_run() - serve until SIGTERM, or until the one connection given with --fd ends
 * @s: server
 *
 * Return: 0, or a negative errno if the event loop itself fails.
 */
int vfus_run(struct vfus *s)
{
	return s->cfg.stand_in ? vfus_turn_run(s, serve) : serve(s);
}
