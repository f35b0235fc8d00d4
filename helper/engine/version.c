// SPDX-License-Identifier: GPL-2.0-only
/*
 * Version and capability negotiation.
 *
 * A capability that we did not propose breaks the subset rule, but servers in use send "migration"
 * unasked: such ones are ignored with a note, never honoured. A value of the wrong type or out of
 * range is an error: a server that gets its own limits wrong cannot be relied on.
 */
#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol.h"
#include "transport.h"
#include "version.h"

#define MAX_DEPTH	8

/* A capability of our own: see conformance.rst. */
#define KEEP		"vfiouser_keep"
#define TOKEN_DIGITS	16

/* The specification's values for what a reply leaves out. */
#define DEFAULT_MSG_FDS		1
#define DEFAULT_XFER		1048576
#define DEFAULT_PGSIZES		4096
#define DEFAULT_DMA_MAPS	65535
#define DEFAULT_BITMAP		(256ull * 1024 * 1024)

static int add(struct json_object *to, const char *name, struct json_object *value)
{
	if (!value)
		return -ENOMEM;
	if (json_object_object_add(to, name, value)) {
		json_object_put(value);
		return -ENOMEM;
	}
	return 0;
}

static int add_number(struct json_object *to, const char *name, uint64_t value)
{
	return add(to, name, json_object_new_uint64(value));
}

/* The capability of our own: how long, and what to go on with. */
static int add_keep(struct json_object *caps, const struct vfuc_proposal *p)
{
	struct json_object *keep = json_object_new_object();
	char token[TOKEN_DIGITS + 1];
	int err;

	err = add(caps, KEEP, keep);
	err = err ?: add_number(keep, "ms", p->keep_ms);
	snprintf(token, sizeof(token), "%016" PRIx64, p->token);
	if (!err && p->token)
		err = add(keep, "token", json_object_new_string(token));
	return err;
}

char *vfuc_version_propose(const struct vfuc_proposal *p)
{
	struct json_object *top = json_object_new_object();
	struct json_object *caps = json_object_new_object();
	struct json_object *twin = NULL;
	const char *text;
	char *copy = NULL;
	int err;

	if (!top || !caps) {
		json_object_put(caps);
		goto out;
	}
	err = add(top, "capabilities", caps);
	if (err)
		goto out;
	err = add_number(caps, "max_msg_fds", p->max_msg_fds);
	err = err ?: add_number(caps, "max_data_xfer_size", p->max_data_xfer_size);
	err = err ?: add_number(caps, "pgsizes", p->pgsizes);
	err = err ?: add_number(caps, "max_dma_maps", p->max_dma_maps);
	if (!err && p->write_multiple)
		err = add(caps, "write_multiple", json_object_new_boolean(true));
	if (!err && p->twin_socket) {
		twin = json_object_new_object();
		err = add(caps, "twin_socket", twin);
		err = err ?: add(twin, "supported", json_object_new_boolean(true));
	}
	if (!err && p->keep_ms)
		err = add_keep(caps, p);
	if (err)
		goto out;
	text = json_object_to_json_string_ext(top, JSON_C_TO_STRING_PLAIN);
	if (text)
		copy = strdup(text);
out:
	json_object_put(top);
	return copy;
}

struct judge {
	const struct vfuc_proposal *p;
	unsigned int nr_fds;
	struct vfuc_caps *caps;
	int *twin_index;
	vfuc_version_note_fn note;
	void *opaque;
	struct vfuc_error *error;
};

static int bad(struct judge *j, const char *what, const char *why)
{
	return vfuc_error_set(j->error, VFUC_PROTOCOL, -EPROTO,
			      "the server's version reply is wrong: %s %s; report it to the server's authors",
			      what, why);
}

static void ignored(struct judge *j, const char *name, const char *why)
{
	char text[160];

	j->caps->unknown++;
	snprintf(text, sizeof(text), "capability \"%.64s\" ignored: %s", name, why);
	j->note(j->opaque, text);
}

static int number(struct judge *j, const char *name, struct json_object *value, uint64_t min,
		  uint64_t max, uint64_t *out)
{
	if (!json_object_is_type(value, json_type_int))
		return bad(j, name, "is not an integer");
	/* For a value above INT64_MAX the signed getter gives INT64_MAX, never less than 0. */
	if (json_object_get_int64(value) < 0)
		return bad(j, name, "is negative");
	*out = json_object_get_uint64(value);
	if (*out < min || *out > max)
		return bad(j, name, "is out of range");
	return 0;
}

static int judge_migration(struct judge *j, struct json_object *value)
{
	struct json_object *field;
	int err;

	if (!json_object_is_type(value, json_type_object))
		return bad(j, "migration", "is not an object");
	j->caps->migration = true;
	j->caps->migration_max_bitmap_size = DEFAULT_BITMAP;
	if (json_object_object_get_ex(value, "pgsize", &field)) {
		err = number(j, "migration.pgsize", field, 1, UINT64_MAX,
			     &j->caps->migration_pgsize);
		if (err)
			return err;
	}
	if (json_object_object_get_ex(value, "max_bitmap_size", &field)) {
		err = number(j, "migration.max_bitmap_size", field, 0, UINT64_MAX,
			     &j->caps->migration_max_bitmap_size);
		if (err)
			return err;
	}
	ignored(j, "migration", "it was not proposed");
	return 0;
}

static int judge_twin(struct judge *j, struct json_object *value)
{
	struct json_object *field;
	uint64_t index;
	int err;

	if (!json_object_is_type(value, json_type_object))
		return bad(j, "twin_socket", "is not an object");
	if (!json_object_object_get_ex(value, "supported", &field))
		return 0;
	if (!json_object_is_type(field, json_type_boolean))
		return bad(j, "twin_socket.supported", "is not a boolean");
	if (!json_object_get_boolean(field))
		return 0;
	if (!j->p->twin_socket) {
		ignored(j, "twin_socket", "it was not proposed");
		return 0;
	}
	if (!json_object_object_get_ex(value, "fd_index", &field))
		return bad(j, "twin_socket.fd_index", "is missing");
	err = number(j, "twin_socket.fd_index", field, 0, UINT32_MAX, &index);
	if (err)
		return err;
	if (index >= j->nr_fds)
		return bad(j, "twin_socket.fd_index", "names a descriptor that did not come");
	*j->twin_index = index;
	j->caps->twin_socket = true;
	return 0;
}

static int judge_keep(struct judge *j, struct json_object *value)
{
	struct json_object *field;
	const char *text;

	if (!j->p->keep_ms) {
		ignored(j, KEEP, "it was not proposed");
		return 0;
	}
	if (!json_object_is_type(value, json_type_object))
		return bad(j, KEEP, "is not an object");
	if (!json_object_object_get_ex(value, "token", &field))
		return bad(j, KEEP ".token", "is missing");
	text = json_object_is_type(field, json_type_string) ? json_object_get_string(field) : "";
	if (strlen(text) != TOKEN_DIGITS || strspn(text, "0123456789abcdef") != TOKEN_DIGITS)
		return bad(j, KEEP ".token", "is not 16 hexadecimal digits");
	j->caps->token = strtoull(text, NULL, 16);
	return 0;
}

static int judge_cap(struct judge *j, const char *name, struct json_object *value)
{
	struct vfuc_caps *caps = j->caps;
	uint64_t v;
	int err = 0;

	if (!strcmp(name, "max_msg_fds")) {
		err = number(j, name, value, 0, UINT32_MAX, &v);
		if (!err)
			caps->max_msg_fds = v < VFUC_TRANSPORT_MAX_FDS ? v : VFUC_TRANSPORT_MAX_FDS;
	} else if (!strcmp(name, "max_data_xfer_size")) {
		err = number(j, name, value, 8, UINT64_MAX, &v);
		if (!err)
			caps->max_data_xfer_size = v < VFUC_LARGEST_XFER ? v : VFUC_LARGEST_XFER;
	} else if (!strcmp(name, "pgsizes")) {
		err = number(j, name, value, 1, UINT64_MAX, &v);
		if (!err)
			caps->pgsizes = v;
	} else if (!strcmp(name, "max_dma_maps")) {
		err = number(j, name, value, 1, UINT64_MAX, &v);
		if (!err)
			caps->max_dma_maps = v < UINT32_MAX ? v : UINT32_MAX;
	} else if (!strcmp(name, "write_multiple")) {
		if (!json_object_is_type(value, json_type_boolean))
			return bad(j, name, "is not a boolean");
		if (!json_object_get_boolean(value))
			return 0;
		if (j->p->write_multiple)
			caps->write_multiple = true;
		else
			ignored(j, name, "it was not proposed");
	} else if (!strcmp(name, "migration")) {
		err = judge_migration(j, value);
	} else if (!strcmp(name, "twin_socket")) {
		err = judge_twin(j, value);
	} else if (!strcmp(name, KEEP)) {
		err = judge_keep(j, value);
	} else {
		ignored(j, name, "unknown");
	}
	return err;
}

static int judge_json(struct judge *j, struct json_object *top)
{
	struct json_object *caps;
	int err;

	if (!json_object_is_type(top, json_type_object))
		return bad(j, "version data", "is not an object");
	json_object_object_foreach(top, key, value) {
		(void)value;
		if (strcmp(key, "capabilities"))
			ignored(j, key, "unknown, beside the capabilities");
	}
	if (!json_object_object_get_ex(top, "capabilities", &caps))
		return 0;
	if (!json_object_is_type(caps, json_type_object))
		return bad(j, "capabilities", "is not an object");
	json_object_object_foreach(caps, name, cap) {
		err = judge_cap(j, name, cap);
		if (err)
			return err;
	}
	return 0;
}

static int judge_text(struct judge *j, const char *text, size_t len)
{
	struct json_tokener *tokener;
	struct json_object *top;
	int err;

	if (len > VFUC_VERSION_MAX_JSON)
		return bad(j, "version data", "is too long");
	if (memchr(text, '\0', len) != text + len - 1)
		return bad(j, "version data", "does not end with its only NUL");
	if (len == 1)
		return 0;
	tokener = json_tokener_new_ex(MAX_DEPTH);
	if (!tokener)
		return vfuc_error_set(j->error, VFUC_SYSTEM, -ENOMEM, "out of memory");
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	/* The NUL is passed as well: it ends what else might go on, as a bare number. */
	top = json_tokener_parse_ex(tokener, text, len);
	if (json_tokener_get_error(tokener) != json_tokener_success)
		err = bad(j, "version data",
			  json_tokener_error_desc(json_tokener_get_error(tokener)));
	else
		err = judge_json(j, top);
	json_object_put(top);
	json_tokener_free(tokener);
	return err;
}

int vfuc_version_judge(const struct vfuc_proposal *p, const void *data, size_t len,
		       unsigned int nr_fds, struct vfuc_caps *caps, int *twin_index,
		       vfuc_version_note_fn note, void *opaque, struct vfuc_error *error)
{
	struct judge j = {
		.p = p,
		.nr_fds = nr_fds,
		.caps = caps,
		.twin_index = twin_index,
		.note = note,
		.opaque = opaque,
		.error = error,
	};
	struct vfuc_wire_version version;
	int err;

	*twin_index = -1;
	memset(caps, 0, sizeof(*caps));
	caps->max_msg_fds = DEFAULT_MSG_FDS;
	caps->max_data_xfer_size = DEFAULT_XFER;
	caps->pgsizes = DEFAULT_PGSIZES;
	caps->max_dma_maps = DEFAULT_DMA_MAPS;

	if (len < sizeof(version))
		return bad(&j, "the reply", "is too short");
	memcpy(&version, data, sizeof(version));
	caps->major = version.major;
	caps->minor = version.minor;
	if (version.major != VFUC_VERSION_MAJOR)
		return vfuc_error_set(error, VFUC_VERSION, -EPROTO,
				      "the server speaks vfio-user %u.%u, we speak %u.%u; they do not go together",
				      version.major, version.minor, VFUC_VERSION_MAJOR,
				      VFUC_VERSION_MINOR);
	if (version.minor > VFUC_VERSION_MINOR)
		return vfuc_error_set(error, VFUC_VERSION, -EPROTO,
				      "the server insists on vfio-user %u.%u where we proposed %u.%u",
				      version.major, version.minor, VFUC_VERSION_MAJOR,
				      VFUC_VERSION_MINOR);
	if (len > sizeof(version)) {
		err = judge_text(&j, (const char *)data + sizeof(version), len - sizeof(version));
		if (err)
			return err;
	}
	caps->pgsizes &= p->pgsizes;
	if (!caps->pgsizes)
		return vfuc_error_set(error, VFUC_VERSION, -EPROTO,
				      "the server supports none of our DMA page sizes (%#llx)",
				      (unsigned long long)p->pgsizes);
	if (caps->max_dma_maps > p->max_dma_maps)
		caps->max_dma_maps = p->max_dma_maps;
	return 0;
}
