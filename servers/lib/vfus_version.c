// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO_USER_VERSION: protocol version and capabilities.
 *
 * The reply's capabilities are a subset of those proposed, as the specification demands: what the
 * client did not name is not named in the reply, and the defaults hold. An unacceptable proposal
 * gets an error reply and the connection is closed.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include <json-c/json.h>

#include "vfus_priv.h"

/* A number, if it is there: 1 found, 0 absent, -EINVAL wrong type or negative. */
static int cap_number(struct json_object *caps, const char *name, uint64_t *value)
{
	struct json_object *o;

	if (!json_object_object_get_ex(caps, name, &o))
		return 0;
	if (!json_object_is_type(o, json_type_int) || json_object_get_int64(o) < 0)
		return -EINVAL;
	*value = json_object_get_uint64(o);
	return 1;
}

static int cap_bool(struct json_object *caps, const char *name, bool *value)
{
	struct json_object *o;

	if (!json_object_object_get_ex(caps, name, &o))
		return 0;
	if (!json_object_is_type(o, json_type_boolean))
		return -EINVAL;
	*value = json_object_get_boolean(o);
	return 1;
}

/* Add one number to the reply; json-c takes the value over, also where adding fails. */
static void put_number(struct json_object *caps, const char *name, uint64_t value)
{
	json_object_object_add(caps, name, json_object_new_uint64(value));
}

static int negotiate_twin(struct vfus *s, struct json_object *in, struct json_object *out)
{
	struct json_object *o, *reply;
	bool supported = false;
	int pair[2];

	if (!json_object_object_get_ex(in, "twin_socket", &o))
		return 0;
	if (!json_object_is_type(o, json_type_object) || cap_bool(o, "supported", &supported) < 0)
		return -EINVAL;
	if (!supported || !s->cfg.twin_socket || !s->client_max_fds)
		return 0;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return -errno;
	if (vfus_chan_init(&s->twin, pair[0], s->out_cap)) {
		close(pair[1]);
		return -ENOMEM;
	}
	s->out_fds[s->out_nfds] = pair[1];
	s->out_close = pair[1];
	reply = json_object_new_object();
	json_object_object_add(reply, "supported", json_object_new_boolean(1));
	put_number(reply, "fd_index", s->out_nfds++);
	json_object_object_add(out, "twin_socket", reply);
	return 0;
}

/* A capability of our own, of servers and clients that can go on with another: conformance.rst. */
#define KEEP		"vfiouser_keep"
#define TOKEN_DIGITS	16

/* How long, and what the client would go on with. Without a wish, 0 and 0. */
static int parse_keep(struct json_object *caps, uint64_t *ms, uint64_t *token)
{
	struct json_object *o, *text;
	const char *digits;

	*ms = 0;
	*token = 0;
	if (!json_object_object_get_ex(caps, KEEP, &o))
		return 0;
	if (!json_object_is_type(o, json_type_object) || cap_number(o, "ms", ms) < 0)
		return -EINVAL;
	if (!json_object_object_get_ex(o, "token", &text))
		return 0;
	digits = json_object_is_type(text, json_type_string) ? json_object_get_string(text) : "";
	if (strlen(digits) != TOKEN_DIGITS ||
	    strspn(digits, "0123456789abcdef") != TOKEN_DIGITS)
		return -EINVAL;
	*token = strtoull(digits, NULL, 16);
	return 0;
}

/*
 * Is this the client that the device was kept for? One that is not has to wait until the device is
 * as that of a client that has gone: -EINPROGRESS.
 */
static int settle_keep(struct vfus *s, struct json_object *in, struct json_object *out)
{
	uint64_t ms, token, fresh;
	struct json_object *reply;
	char text[TOKEN_DIGITS + 1];
	bool again;
	int ret;

	ret = parse_keep(in, &ms, &token);
	if (ret)
		return ret;
	again = s->kept && ms && token && token == s->token;
	if (s->kept && !again) {
		vfus_forget(s);
		s->forgetting = true;
	}
	if (s->forgetting && !vfus_accepting(s))
		return -EINPROGRESS;
	if (s->forgetting)
		vfus_dma_release(s);
	s->forgetting = false;
	s->given_up = false;
	s->keep_ms = s->dev.ops->keep ? MIN_T(uint64_t, ms, UINT_MAX) : 0;
	if (!s->keep_ms)
		return 0;
	if (!again) {
		do {
			if (getrandom(&fresh, sizeof(fresh), 0) != sizeof(fresh))
				return -EIO;
		} while (!fresh || fresh == token);
		s->token = fresh;
	}
	snprintf(text, sizeof(text), "%016" PRIx64, s->token);
	reply = json_object_new_object();
	json_object_object_add(reply, "token", json_object_new_string(text));
	json_object_object_add(out, KEEP, reply);
	return 0;
}

/* Takes the client's limits over and fills in the answer. */
static int negotiate(struct vfus *s, struct json_object *in, struct json_object *out)
{
	uint64_t v = 0;
	bool flag = false;
	struct json_object *o;
	int ret;

	ret = cap_number(in, "max_msg_fds", &v);
	if (ret < 0)
		return ret;
	if (ret) {
		s->client_max_fds = MIN_T(uint64_t, v, VFUS_MAX_FDS);
		put_number(out, "max_msg_fds", s->cfg.max_msg_fds);
	}

	ret = cap_number(in, "max_data_xfer_size", &v);
	if (ret < 0 || (ret && !v))
		return -EINVAL;
	if (ret) {
		s->client_max_xfer = v;
		put_number(out, "max_data_xfer_size", s->cfg.max_xfer);
	}

	v = VFIO_USER_DEF_PGSIZES;
	ret = cap_number(in, "pgsizes", &v);
	if (ret < 0)
		return ret;
	if (!(v & s->cfg.pgsizes)) {
		vfus_log(s, 0, "no common page size: client 0x%llx, server 0x%x",
			 (unsigned long long)v, s->cfg.pgsizes);
		return -EINVAL;
	}
	v &= s->cfg.pgsizes;
	s->pgsize = v & -v;
	if (ret)
		put_number(out, "pgsizes", s->cfg.pgsizes);

	ret = cap_number(in, "max_dma_maps", &v);
	if (ret < 0)
		return ret;
	if (ret)
		put_number(out, "max_dma_maps", s->cfg.max_dma_maps);

	ret = cap_bool(in, "write_multiple", &flag);
	if (ret < 0)
		return ret;
	if (ret && flag && s->cfg.write_multiple) {
		s->write_multiple = true;
		json_object_object_add(out, "write_multiple", json_object_new_boolean(1));
	}

	/* Migration is not offered; the proposal must still be well-formed. */
	if (json_object_object_get_ex(in, "migration", &o) &&
	    !json_object_is_type(o, json_type_object))
		return -EINVAL;

	return negotiate_twin(s, in, out);
}

/* The optional JSON text of a proposal: an object, or NULL with *err set where it is malformed. */
static struct json_object *parse(const char *text, size_t len, int *err)
{
	struct json_tokener *tok;
	struct json_object *root;
	size_t used;

	*err = -EINVAL;
	if (!len) {
		*err = 0;
		return json_object_new_object();
	}
	if (text[len - 1] || strlen(text) != len - 1)
		return NULL;
	tok = json_tokener_new();
	if (!tok) {
		*err = -ENOMEM;
		return NULL;
	}
	/* The NUL is passed as well: it ends a value that could otherwise go on, as a number. */
	root = json_tokener_parse_ex(tok, text, (int)len);
	used = json_tokener_get_parse_end(tok);
	if (json_tokener_get_error(tok) != json_tokener_success ||
	    strspn(text + used, " \t\r\n") != len - 1 - used ||
	    !json_object_is_type(root, json_type_object)) {
		json_object_put(root);
		root = NULL;
	} else {
		*err = 0;
	}
	json_tokener_free(tok);
	return root;
}

/**
 * vfus_handle_version() - answer the client's proposal
 * @s: server; its limits for this connection are set here
 * @m: the message
 *
 * Return: 0 with the reply in s->out, -EINPROGRESS while the device still works for a client before,
 * or a negative errno; the caller then closes the connection.
 * Specification: "VFIO_USER_VERSION".
 */
int vfus_handle_version(struct vfus *s, struct vfus_msg *m)
{
	struct json_object *root, *caps, *reply = NULL, *out;
	struct vfio_user_version v;
	const char *text;
	int ret;

	if (s->negotiated || m->nfds || m->len < sizeof(v))
		return -EINVAL;
	memcpy(&v, m->payload, sizeof(v));
	if (v.major != VFIO_USER_MAJOR) {
		vfus_log(s, 0, "client speaks protocol %u.%u, this server %u.%u", v.major, v.minor,
			 VFIO_USER_MAJOR, VFIO_USER_MINOR);
		return -ENOTSUP;
	}
	root = parse((char *)m->payload + sizeof(v), m->len - sizeof(v), &ret);
	if (!root) {
		vfus_log(s, 0, "version data is not a NUL-terminated JSON object");
		return ret;
	}
	ret = -EINVAL;
	if (!json_object_object_get_ex(root, "capabilities", &caps))
		caps = NULL;
	else if (!json_object_is_type(caps, json_type_object))
		goto out;

	reply = json_object_new_object();
	out = json_object_new_object();
	json_object_object_add(reply, "capabilities", out);
	ret = settle_keep(s, caps, out);
	if (ret == -EINPROGRESS)
		goto out;
	if (!ret)
		ret = negotiate(s, caps, out);
	if (ret) {
		vfus_log(s, 0, "malformed or unusable capabilities in the version proposal");
		goto out;
	}
	v.minor = MIN_T(uint16_t, v.minor, VFIO_USER_MINOR);
	text = json_object_to_json_string_ext(reply, JSON_C_TO_STRING_PLAIN);
	memcpy(s->out, &v, sizeof(v));
	memcpy(s->out + sizeof(v), text, strlen(text) + 1);
	s->out_len = sizeof(v) + strlen(text) + 1;
	s->negotiated = true;
	/* Not before: where the rest of the proposal is refused, the client may come again. */
	s->kept = false;
out:
	json_object_put(reply);
	json_object_put(root);
	return ret;
}
