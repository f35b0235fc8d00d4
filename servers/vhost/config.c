// SPDX-License-Identifier: GPL-2.0-only
/*
 * The configuration space of a device whose back end owns it. The driver reads a copy, so that a
 * read never waits and is never torn; the copy changes when the back end says that its own did.
 */
#include <errno.h>
#include <string.h>

#include "vhost.h"

/**
 * config_fetch() - ask the back end for its configuration
 * @h: device
 * @done: gets the answer; its argument is the length that was asked for
 *
 * Some back ends refuse to give more than they have, others give as much as is asked for: so it is
 * the exact length of the device type, the longest one first.
 */
void config_fetch(struct vhost *h, wire_done done)
{
	unsigned int len = h->config_len ? h->config_len : h->type.config[h->config_try];
	struct vu_config c = { .size = len };

	wire_call(&h->wire, VU_GET_CONFIG, WIRE_REPLY, &c, VU_CONFIG_HEAD + len, NULL, 0, done,
		  len);
}

/**
 * config_take() - keep the back end's configuration
 * @h: device
 * @reply: to GET_CONFIG
 * @len: that was asked for
 *
 * Return: 0 or -EPROTO where it does not give that much.
 */
int config_take(struct vhost *h, const struct wire_reply *reply, unsigned int len)
{
	struct vu_config c;

	if (reply->len != VU_CONFIG_HEAD + len)
		return -EPROTO;
	memcpy(&c, reply->payload, reply->len);
	if (c.offset || c.size != len)
		return -EPROTO;
	memcpy(h->config, c.data, len);
	h->config_len = len;
	return 0;
}

/**
 * config_show() - give the driver what the back end has now, and tell it if that is news
 * @h: device with its PCI function built
 */
void config_show(struct vhost *h)
{
	uint8_t now[VIRTIO_CONFIG_MAX];

	if (!h->config_len)
		return;
	memcpy(now, h->config, h->config_len);
	if (h->type.patch)
		h->type.patch(h, now);
	if (!memcmp(now, h->v.config, h->config_len))
		return;
	vhost_log(h, 1, "the configuration has changed");
	virtio_config_changed(&h->v, 0, now, h->config_len);
}

static void came(void *ctx, int err, struct wire_reply *reply, unsigned int len)
{
	struct vhost *h = ctx;

	(void)err;
	if (config_take(h, reply, len))
		vhost_log(h, 0, "the back end says that its configuration has changed, but does not give it");
	else
		config_show(h);
}

/**
 * config_changed() - the back end says that its configuration has
 * @h: device
 */
void config_changed(struct vhost *h)
{
	if (h->config_len)
		config_fetch(h, came);
}

/**
 * config_write() - the driver wrote to the configuration space
 * @v: device
 * @offset: bytes, inside
 * @buf: contents
 * @len: bytes, inside
 *
 * Few fields of few types can be written; what is written elsewhere is dropped here.
 */
void config_write(struct virtio *v, unsigned int offset, const void *buf, unsigned int len)
{
	struct vhost *h = (struct vhost *)v;
	struct vu_config c = { .offset = offset, .size = len };

	if (!h->config_len || offset < h->type.writable ||
	    offset + len > h->type.writable + h->type.writable_len)
		return;
	memcpy(c.data, buf, len);
	ring_set(h, VU_SET_CONFIG, &c, VU_CONFIG_HEAD + len, NULL, 0);
	/* The driver has it as it wrote it, until the back end says otherwise. */
	memcpy(v->config + offset, buf, len);
	memcpy(h->config + offset, buf, len);
	config_fetch(h, came);
}
