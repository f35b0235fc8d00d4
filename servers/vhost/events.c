// SPDX-License-Identifier: GPL-2.0-only
/*
 * What happens to the descriptors that are watched, and who is told of it: one epoll instance for
 * all of them, which the library's event loop watches in turn. And the log.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "vhost.h"

#define EVENTS	64		/* in one go */

/**
 * vhost_log() - one line on standard error
 * @h: device
 * @level: printed where --verbose was given at least this often
 * @fmt: printf format, without newline
 */
void vhost_log(const struct vhost *h, int level, const char *fmt, ...)
{
	char line[320];
	va_list ap;

	if (level > h->opt.vfus.verbose)
		return;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	fprintf(stderr, "%s: %s\n", PROG, line);
}

/**
 * vhost_has() - is a feature of the protocol in use?
 * @h: device
 * @bit: feature
 *
 * Return: true if it is.
 */
bool vhost_has(const struct vhost *h, enum vu_protocol_feature bit)
{
	return h->protocol >> bit & 1;
}

/**
 * vhost_earlier() - the sooner of two times to be called again
 * @a: microseconds, or -1 for never
 * @b: likewise
 *
 * Return: microseconds, or -1.
 */
long vhost_earlier(long a, long b)
{
	return b >= 0 && (a < 0 || b < a) ? b : a;
}

/**
 * vhost_watch() - have events of a descriptor handled
 * @h: device
 * @fd: descriptor; vhost_unwatch() before it is closed
 * @events: of epoll
 * @src: what it is
 * @q: queue, where it is one's
 *
 * Return: 0 or a negative errno.
 */
int vhost_watch(struct vhost *h, int fd, uint32_t events, enum vhost_source src, unsigned int q)
{
	struct epoll_event e = { .events = events, .data.u64 = (uint64_t)src << 32 | q };

	return epoll_ctl(h->epfd, EPOLL_CTL_ADD, fd, &e) ? -errno : 0;
}

/**
 * vhost_unwatch() - no more of them
 * @h: device
 * @fd: descriptor
 */
void vhost_unwatch(struct vhost *h, int fd)
{
	epoll_ctl(h->epfd, EPOLL_CTL_DEL, fd, NULL);
}

static void kicked(struct vhost *h, unsigned int q)
{
	uint64_t n;

	if (q < h->nr_rings)
		undertaker_kick(h, q);
	else if (read(h->v.events[q], &n, sizeof(n)) == sizeof(n))
		netctl_kick(h);
}

/**
 * vhost_run_events() - handle what has happened
 * @h: device
 * @timeout_ms: how long to wait for something to happen, -1 for ever
 *
 * An event may be of a descriptor that an earlier one of the same batch had closed: each handler
 * looks for itself whether there is anything.
 */
void vhost_run_events(struct vhost *h, int timeout_ms)
{
	struct epoll_event e[EVENTS];
	int i, n = epoll_wait(h->epfd, e, EVENTS, timeout_ms);

	for (i = 0; i < n; i++) {
		enum vhost_source src = (enum vhost_source)(e[i].data.u64 >> 32);
		unsigned int q = (uint32_t)e[i].data.u64;

		switch (src) {
		case SRC_LINK:
		case SRC_LISTEN:
		case SRC_PEER:
			link_event(h, src, q);
			break;
		case SRC_BACKREQ:
			if (h->backreq >= 0)
				backreq_event(h);
			break;
		case SRC_CALL:
			ring_call_event(h, q);
			break;
		case SRC_ERR:
			ring_err_event(h, q);
			break;
		case SRC_KICK:
			kicked(h, q);
			break;
		case SRC_STATE:
			handover_event(h);
			break;
		case SRC_STANDBY:
			standby_event(h);
			break;
		}
	}
}
