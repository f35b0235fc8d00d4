// SPDX-License-Identifier: GPL-2.0-only
/* VERSION: each rule of the negotiation, capabilities in both directions. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <json-c/json.h>

#include "fake_server.h"
#include "../progs/fuse_file.h"
#include "version.h"

/* ---- the reply: pure ---- */

static unsigned int notes;

static void count_note(void *opaque, const char *text)
{
	(void)opaque;
	assert_non_null(text);
	notes++;
}

static const struct vfuc_proposal all = {
	.max_msg_fds = 16,
	.max_data_xfer_size = 1 << 20,
	.pgsizes = 4096 | 2 << 20,
	.max_dma_maps = 100,
	.write_multiple = true,
	.twin_socket = true,
};

static int judge_bytes(const struct vfuc_proposal *p, const void *data, size_t len,
		       unsigned int nr_fds, struct vfuc_caps *caps, int *twin,
		       struct vfuc_error *error)
{
	/* In memory of exactly that size, so that ASan sees a read beyond it. */
	void *copy = malloc(len ?: 1);
	int err;

	memset(error, 0, sizeof(*error));
	memcpy(copy, data, len);
	notes = 0;
	err = vfuc_version_judge(p, copy, len, nr_fds, caps, twin, count_note, NULL, error);
	free(copy);
	return err;
}

static int judge(const struct vfuc_proposal *p, uint16_t major, uint16_t minor, const char *json,
		 struct vfuc_caps *caps, int *twin, struct vfuc_error *error)
{
	struct vfuc_wire_version version = { .major = major, .minor = minor };
	uint8_t data[8192];
	size_t len = sizeof(version);

	memcpy(data, &version, len);
	if (json) {
		memcpy(data + len, json, strlen(json) + 1);
		len += strlen(json) + 1;
	}
	return judge_bytes(p, data, len, 1, caps, twin, error);
}

static void assert_judged(const char *json, int err, enum vfuc_error_kind kind)
{
	struct vfuc_error error;
	struct vfuc_caps caps;
	int twin;
	int ret;

	ret = judge(&all, 0, 1, json, &caps, &twin, &error);
	if (ret != err || error.kind != kind)
		fail_msg("%s: %d %s (%s), not %d %s", json, ret, vfuc_error_kind_name(error.kind),
			 error.message, err, vfuc_error_kind_name(kind));
	if (err)
		assert_true(strlen(error.message) > 10);
}

static void test_major_minor(void **state)
{
	struct vfuc_error error;
	struct vfuc_caps caps;
	int twin;

	(void)state;
	assert_int_equal(judge(&all, 0, 1, NULL, &caps, &twin, &error), 0);
	assert_int_equal(caps.minor, 1);
	assert_int_equal(judge(&all, 0, 0, NULL, &caps, &twin, &error), 0);
	assert_int_equal(caps.minor, 0);
	assert_int_equal(judge(&all, 0, 2, NULL, &caps, &twin, &error), -EPROTO);
	assert_int_equal(error.kind, VFUC_VERSION);
	assert_int_equal(judge(&all, 1, 0, NULL, &caps, &twin, &error), -EPROTO);
	assert_int_equal(error.kind, VFUC_VERSION);
	assert_int_equal(judge(&all, 0xffff, 0xffff, NULL, &caps, &twin, &error), -EPROTO);
	assert_int_equal(error.kind, VFUC_VERSION);
}

static void test_defaults(void **state)
{
	static const char * const without[] = { NULL, "", "{}", "{\"capabilities\":{}}" };
	struct vfuc_error error;
	struct vfuc_caps caps;
	unsigned int i;
	int twin;

	(void)state;
	for (i = 0; i < 4; i++) {
		assert_int_equal(judge(&all, 0, 1, without[i], &caps, &twin, &error), 0);
		assert_int_equal(caps.max_msg_fds, 1);
		assert_int_equal(caps.max_data_xfer_size, 1048576);
		assert_int_equal(caps.pgsizes, 4096);
		assert_int_equal(caps.max_dma_maps, 100);	/* 65535, but ours is lower */
		assert_false(caps.write_multiple);
		assert_false(caps.twin_socket);
		assert_false(caps.migration);
		assert_int_equal(twin, -1);
		assert_int_equal(notes, 0);
	}
}

static void test_values(void **state)
{
	struct vfuc_error error;
	struct vfuc_caps caps;
	int twin;

	(void)state;
	assert_int_equal(judge(&all, 0, 1,
			       "{\"capabilities\":{\"max_msg_fds\":8,\"max_data_xfer_size\":65536,"
			       "\"pgsizes\":2101248,\"max_dma_maps\":7,\"write_multiple\":true,"
			       "\"twin_socket\":{\"supported\":true,\"fd_index\":0}}}",
			       &caps, &twin, &error), 0);
	assert_int_equal(caps.max_msg_fds, 8);
	assert_int_equal(caps.max_data_xfer_size, 65536);
	assert_int_equal(caps.pgsizes, 4096 | 2 << 20);
	assert_int_equal(caps.max_dma_maps, 7);
	assert_true(caps.write_multiple);
	assert_true(caps.twin_socket);
	assert_int_equal(twin, 0);
	assert_int_equal(notes, 0);
	assert_int_equal(judge(&all, 0, 1,
			       "{\"capabilities\":{\"max_msg_fds\":100000,"
			       "\"max_data_xfer_size\":18446744073709551615,"
			       "\"max_dma_maps\":18446744073709551615,\"write_multiple\":false}}",
			       &caps, &twin, &error), 0);
	assert_int_equal(caps.max_msg_fds, 253);
	assert_int_equal(caps.max_data_xfer_size, VFUC_LARGEST_XFER);
	assert_int_equal(caps.max_dma_maps, 100);
	assert_false(caps.write_multiple);
}

/* What was not proposed is not in force, and said. */
static void test_subset(void **state)
{
	struct vfuc_proposal few = all;
	struct vfuc_error error;
	struct vfuc_caps caps;
	int twin;

	(void)state;
	few.write_multiple = false;
	few.twin_socket = false;
	assert_int_equal(judge(&few, 0, 1,
			       "{\"capabilities\":{\"write_multiple\":true,"
			       "\"twin_socket\":{\"supported\":true,\"fd_index\":0},"
			       "\"migration\":{\"pgsize\":4096},\"colour\":\"green\"}}",
			       &caps, &twin, &error), 0);
	assert_false(caps.write_multiple);
	assert_false(caps.twin_socket);
	assert_int_equal(twin, -1);
	assert_true(caps.migration);
	assert_int_equal(caps.migration_pgsize, 4096);
	assert_int_equal(caps.migration_max_bitmap_size, 256 << 20);
	assert_int_equal(caps.unknown, 4);
	assert_int_equal(notes, 4);
	assert_judged("{\"capabilities\":{\"pgsizes\":8192}}", -EPROTO, VFUC_VERSION);
}

/* The capability of our own: asked for only where it is wanted, and answered in one form only. */
static void test_keep(void **state)
{
	static const char good[] =
		"{\"capabilities\":{\"vfiouser_keep\":{\"token\":\"00000000000000ff\"}}}";
	static const char *const wrong[] = {
		"1", "{}", "{\"token\":255}", "{\"token\":\"ff\"}",
		"{\"token\":\"00000000000000FF\"}", "{\"token\":\"00000000000000ff0\"}",
	};
	struct vfuc_proposal keep = all;
	struct vfuc_error error;
	struct vfuc_caps caps;
	char json[100], *text;
	unsigned int i;
	int twin;

	(void)state;
	text = vfuc_version_propose(&keep);
	assert_null(strstr(text, "keep"));
	free(text);
	assert_int_equal(judge(&keep, 0, 1, good, &caps, &twin, &error), 0);
	assert_int_equal(caps.token, 0);
	assert_int_equal(caps.unknown, 1);

	keep.keep_ms = 60000;
	text = vfuc_version_propose(&keep);
	assert_non_null(strstr(text, "\"vfiouser_keep\":{\"ms\":60000}"));
	free(text);
	keep.token = 0xabc;
	text = vfuc_version_propose(&keep);
	assert_non_null(strstr(text, "\"token\":\"0000000000000abc\""));
	free(text);
	assert_int_equal(judge(&keep, 0, 1, good, &caps, &twin, &error), 0);
	assert_int_equal(caps.token, 0xff);
	assert_int_equal(judge(&keep, 0, 1, "{\"capabilities\":{}}", &caps, &twin, &error), 0);
	assert_int_equal(caps.token, 0);
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		snprintf(json, sizeof(json), "{\"capabilities\":{\"vfiouser_keep\":%s}}", wrong[i]);
		assert_int_equal(judge(&keep, 0, 1, json, &caps, &twin, &error), -EPROTO);
	}
}

static void test_ranges(void **state)
{
	static const char * const wrong[] = {
		"{\"max_msg_fds\":-1}", "{\"max_msg_fds\":\"8\"}", "{\"max_msg_fds\":1.5}",
		"{\"max_msg_fds\":null}", "{\"max_msg_fds\":4294967296}", "{\"max_msg_fds\":true}",
		"{\"max_data_xfer_size\":0}", "{\"max_data_xfer_size\":-4096}",
		"{\"max_data_xfer_size\":[]}", "{\"pgsizes\":0}", "{\"pgsizes\":\"4096\"}",
		"{\"max_dma_maps\":0}", "{\"max_dma_maps\":{}}", "{\"write_multiple\":1}",
		"{\"write_multiple\":\"true\"}", "{\"migration\":true}",
		"{\"migration\":{\"pgsize\":0}}", "{\"migration\":{\"max_bitmap_size\":-1}}",
		"{\"twin_socket\":true}", "{\"twin_socket\":{\"supported\":1}}",
		"{\"twin_socket\":{\"supported\":true}}",
		"{\"twin_socket\":{\"supported\":true,\"fd_index\":1}}",
		"{\"twin_socket\":{\"supported\":true,\"fd_index\":-1}}",
		"{\"twin_socket\":{\"supported\":true,\"fd_index\":18446744073709551615}}",
		"[]", "7", "null", "\"x\"",
	};
	char text[256];
	unsigned int i;

	(void)state;
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		snprintf(text, sizeof(text), "{\"capabilities\":%s}", wrong[i]);
		assert_judged(text, -EPROTO, VFUC_PROTOCOL);
	}
	assert_judged("{\"capabilities\":{\"twin_socket\":{\"supported\":false}}}", 0, VFUC_OK);
	assert_judged("{\"capabilities\":{\"twin_socket\":{}}}", 0, VFUC_OK);
}

static void test_rubbish(void **state)
{
	static const char * const wrong[] = {
		"{", "}", "[]", "null", "7", "\"\"", "{}x", "{} {}",
		"{\"capabilities\":{\"max_msg_fds\":8,}}", "{\"capabilities\"", "\x01\x02\xff",
		"{\"a\":\"\xff\xfe\"}", "nul",
	};
	uint8_t data[sizeof(struct vfuc_wire_version) + 70000];
	char bomb[4001] = { 0 };
	struct vfuc_error error;
	struct vfuc_caps caps;
	unsigned int i;
	int twin;

	(void)state;
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_judged(wrong[i], -EPROTO, VFUC_PROTOCOL);
	memset(bomb, '[', 4000);
	assert_judged(bomb, -EPROTO, VFUC_PROTOCOL);
	for (i = 0; i < 4000; i += 5)
		memcpy(bomb + i, "{\"a\":", 5);
	assert_judged(bomb, -EPROTO, VFUC_PROTOCOL);

	/* Sizes: none, cut off, no NUL, NUL within, too long. */
	memset(data, 0, sizeof(data));
	data[2] = 1;
	for (i = 0; i < 4; i++) {
		assert_int_equal(judge_bytes(&all, data, i, 0, &caps, &twin, &error), -EPROTO);
		assert_int_equal(error.kind, VFUC_PROTOCOL);
	}
	memcpy(data + 4, "{}", 2);
	assert_int_equal(judge_bytes(&all, data, 4 + 2, 0, &caps, &twin, &error), -EPROTO);
	assert_int_equal(judge_bytes(&all, data, 4 + 3, 0, &caps, &twin, &error), 0);
	assert_int_equal(judge_bytes(&all, data, 4 + 4, 0, &caps, &twin, &error), -EPROTO);
	memset(data + 4, ' ', sizeof(data) - 4);
	memcpy(data + 4, "{}", 2);
	data[sizeof(data) - 1] = 0;
	assert_int_equal(judge_bytes(&all, data, sizeof(data), 0, &caps, &twin, &error), -EPROTO);
}

/* ---- the proposal ---- */

static void expect_number(struct fake_server *s, struct json_object *caps, const char *name,
			  uint64_t value)
{
	struct json_object *o;

	fs_check(s, json_object_object_get_ex(caps, name, &o));
	fs_check(s, json_object_is_type(o, json_type_int));
	fs_check(s, json_object_get_uint64(o) == value);
}

static struct json_object *proposal_of(struct fake_server *s)
{
	struct fs_message *m = fs_expect(s, VFUC_CMD_VERSION);
	struct vfuc_wire_version version;
	struct json_object *top;

	fs_check(s, m->len > sizeof(version) && !m->payload[m->len - 1]);
	fs_check(s, !m->nr_fds && !(m->header.flags & VFUC_FLAG_NO_REPLY));
	memcpy(&version, m->payload, sizeof(version));
	fs_check(s, version.major == 0 && version.minor == 1);
	top = json_tokener_parse((char *)m->payload + sizeof(version));
	fs_check(s, top);
	return top;
}

static const uint8_t version_0_1[4] = { 0, 0, 1, 0 };

static void script_full_proposal(struct fake_server *s)
{
	struct json_object *top = proposal_of(s);
	struct json_object *caps, *o;

	fs_check(s, json_object_object_get_ex(top, "capabilities", &caps));
	expect_number(s, caps, "max_msg_fds", 5);
	expect_number(s, caps, "max_data_xfer_size", 12345);
	expect_number(s, caps, "pgsizes", 0x201000);
	expect_number(s, caps, "max_dma_maps", 9);
	fs_check(s, json_object_object_get_ex(caps, "write_multiple", &o));
	fs_check(s, json_object_get_boolean(o));
	fs_check(s, json_object_object_get_ex(caps, "twin_socket", &o));
	fs_check(s, json_object_object_get_ex(o, "supported", &o));
	fs_check(s, json_object_get_boolean(o));
	json_object_put(top);
	fs_reply(s, version_0_1, sizeof(version_0_1));
	fs_expect_close(s);
}

static void test_full_proposal(void **state)
{
	struct vfuc_config config = {
		.max_msg_fds = 5,
		.max_data_xfer_size = 12345,
		.pgsizes = 0x201000,
		.max_dma_maps = 9,
	};
	struct fake_server s;
	struct vfuc *c;

	(void)state;
	fs_start(&s, script_full_proposal, NULL);
	c = fs_open(&s, &config);
	assert_true(vfuc_caps(c)->can_pass_fds);
	assert_string_equal(vfuc_caps(c)->json, "");
	vfuc_close(c);
	fs_finish(&s);
}

static void script_bare_proposal(struct fake_server *s)
{
	struct json_object *top = proposal_of(s);
	struct json_object *caps, *o;

	fs_check(s, json_object_object_get_ex(top, "capabilities", &caps));
	fs_check(s, !json_object_object_get_ex(caps, "write_multiple", &o));
	fs_check(s, !json_object_object_get_ex(caps, "twin_socket", &o));
	expect_number(s, caps, "max_msg_fds", s->arg ? 0 : VFUC_DEFAULT_MAX_MSG_FDS);
	json_object_put(top);
	fs_reply(s, version_0_1, sizeof(version_0_1));
	fs_expect_close(s);
}

static void test_bare_proposal(void **state)
{
	struct vfuc_config config = { .no_write_multiple = true, .no_fds = true };
	struct fake_server s;
	struct vfuc *c;

	(void)state;
	fs_start(&s, script_bare_proposal, &config);
	c = fs_open(&s, &config);
	assert_false(vfuc_caps(c)->can_pass_fds);
	vfuc_close(c);
	fs_finish(&s);
	config.no_fds = false;
	config.no_twin_socket = true;
	fs_start(&s, script_bare_proposal, NULL);
	c = fs_open(&s, &config);
	assert_true(vfuc_caps(c)->can_pass_fds);
	vfuc_close(c);
	fs_finish(&s);
}

/* ---- the handshake ---- */

enum answer {
	CLOSE_AT_ONCE,
	CLOSE_AFTER_REQUEST,
	RUBBISH,
	SHORT_SIZE,
	HUGE_SIZE,
	ERROR_REPLY,
	ERROR_REPLY_NO_ERRNO,
	WRONG_COMMAND,
	OWN_COMMAND,
	CUT_OFF,
	SILENCE,
	WRONG_MAJOR,
	NO_PAYLOAD,
	BAD_JSON,
};

static void script_answer(struct fake_server *s)
{
	struct vfuc_header header = { .command = VFUC_CMD_VERSION, .flags = VFUC_TYPE_REPLY };
	enum answer answer = *(enum answer *)s->arg;
	static const uint8_t wrong_major[4] = { 9, 0, 1, 0 };

	if (answer == CLOSE_AT_ONCE)
		return;
	fs_expect(s, VFUC_CMD_VERSION);
	header.id = s->message.header.id;
	header.size = sizeof(header);
	switch (answer) {
	case CLOSE_AT_ONCE:
	case CLOSE_AFTER_REQUEST:
		return;
	case RUBBISH:
		fs_raw(s, s->fd, "SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", 32, NULL, 0);
		break;
	case SHORT_SIZE:
		header.size = 15;
		fs_raw(s, s->fd, &header, sizeof(header), NULL, 0);
		break;
	case HUGE_SIZE:
		header.size = 0xffffffff;
		fs_raw(s, s->fd, &header, sizeof(header), NULL, 0);
		break;
	case ERROR_REPLY:
		fs_reply_error(s, EINVAL);
		break;
	case ERROR_REPLY_NO_ERRNO:
		fs_reply_error(s, 0);
		break;
	case WRONG_COMMAND:
		s->message.header.command = VFUC_CMD_GET_INFO;
		fs_reply(s, version_0_1, sizeof(version_0_1));
		break;
	case OWN_COMMAND:
		fs_command(s, s->fd, 1, VFUC_CMD_DMA_READ, 0, NULL, 0);
		break;
	case CUT_OFF:
		header.size = sizeof(header) + 4;
		fs_raw(s, s->fd, &header, sizeof(header), NULL, 0);
		return;
	case SILENCE:
		break;
	case WRONG_MAJOR:
		fs_reply(s, wrong_major, sizeof(wrong_major));
		break;
	case NO_PAYLOAD:
		fs_reply(s, NULL, 0);
		break;
	case BAD_JSON:
		fs_reply(s, "\0\0\1\0{nonsense", 14);
		break;
	}
	fs_expect_close(s);
}

static void assert_answer(enum answer answer, enum vfuc_error_kind kind, int err)
{
	struct vfuc_config config = { .timeout_ms = answer == SILENCE ? 50 : 0 };
	unsigned int fds = fs_count_fds();
	struct vfuc_error error = { 0 };
	struct fake_server s;
	struct vfuc *c;
	int ret;

	fs_start(&s, script_answer, &answer);
	ret = fs_try_open(&s, &c, &config, &error);
	fs_finish(&s);
	if (ret != err || error.kind != kind || error.err != err)
		fail_msg("answer %d: %d, %s: %s", answer, ret, vfuc_error_kind_name(error.kind),
			 error.message);
	assert_null(strchr(error.message, '\n'));
	assert_int_equal(fs_count_fds(), fds);
}

static void test_handshake_fails(void **state)
{
	(void)state;
	assert_answer(CLOSE_AT_ONCE, VFUC_CLOSED, -ECONNRESET);
	assert_answer(CLOSE_AFTER_REQUEST, VFUC_CLOSED, -ECONNRESET);
	assert_answer(RUBBISH, VFUC_PROTOCOL, -EPROTO);
	assert_answer(SHORT_SIZE, VFUC_PROTOCOL, -EPROTO);
	assert_answer(HUGE_SIZE, VFUC_PROTOCOL, -EPROTO);
	assert_answer(ERROR_REPLY, VFUC_VERSION, -EINVAL);
	assert_answer(ERROR_REPLY_NO_ERRNO, VFUC_VERSION, -EIO);
	assert_answer(WRONG_COMMAND, VFUC_PROTOCOL, -EPROTO);
	assert_answer(OWN_COMMAND, VFUC_PROTOCOL, -EPROTO);
	assert_answer(CUT_OFF, VFUC_CLOSED, -ECONNRESET);
	assert_answer(SILENCE, VFUC_TIMEOUT, -ETIMEDOUT);
	assert_answer(WRONG_MAJOR, VFUC_VERSION, -EPROTO);
	assert_answer(NO_PAYLOAD, VFUC_PROTOCOL, -EPROTO);
	assert_answer(BAD_JSON, VFUC_PROTOCOL, -EPROTO);
}

static void script_json(struct fake_server *s)
{
	fs_version(s, s->arg);
	fs_expect_close(s);
}

static void test_handshake_json(void **state)
{
	static const char json[] = "{\"capabilities\":{\"max_msg_fds\":3,\"novelty\":1}}";
	struct fake_server s;
	struct vfuc *c;

	(void)state;
	fs_start(&s, script_json, (void *)json);
	c = fs_open(&s, NULL);
	assert_int_equal(vfuc_caps(c)->max_msg_fds, 3);
	assert_int_equal(vfuc_caps(c)->unknown, 1);
	assert_string_equal(vfuc_caps(c)->json, json);
	assert_int_equal(vfuc_caps(c)->major, 0);
	assert_int_equal(vfuc_caps(c)->minor, 1);
	vfuc_close(c);
	fs_finish(&s);
}

/* ---- descriptors in the reply ---- */

static void script_surplus(struct fake_server *s)
{
	int fds[3];
	int i;

	fs_expect(s, VFUC_CMD_VERSION);
	for (i = 0; i < 3; i++)
		fds[i] = fs_memory(4096);
	fs_reply_fds(s, version_0_1, sizeof(version_0_1), fds, 3);
	for (i = 0; i < 3; i++)
		close(fds[i]);
	fs_expect_close(s);
}

static void test_surplus_fds(void **state)
{
	unsigned int fds = fs_count_fds();
	struct fake_server s;
	struct vfuc *c;

	(void)state;
	fs_start(&s, script_surplus, NULL);
	c = fs_open(&s, NULL);
	assert_int_equal(vfuc_stats(c)->surplus_fds, 3);
	vfuc_close(c);
	fs_finish(&s);
	assert_int_equal(fs_count_fds(), fds);
}

/* ---- a descriptor that cannot be closed ---- */

/* Returns a file whose close() ends the process behind it, or -1; *server is to be killed. */
static int fuse_file(const char *dir, pid_t *server)
{
	char path[80];
	int dev, fd;

	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		return -1;
	dev = fuse_mount(dir);
	if (dev < 0)
		return -1;
	*server = fork();
	assert_true(*server >= 0);
	if (!*server)
		_exit(fuse_serve(dev, NULL));
	close(dev);
	snprintf(path, sizeof(path), "%s/" FUSE_FILE, dir);
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

static void script_no_close(struct fake_server *s)
{
	fs_expect(s, VFUC_CMD_VERSION);
	/* ours stays open */
	fs_reply_fds(s, version_0_1, sizeof(version_0_1), s->arg, 1);
	fs_expect_close(s);
}

/* A server can send a file of a file system of its own, which decides when closing it is over. */
static void test_surplus_never_closed(void **state)
{
	char dir[] = "/tmp/engine-version.XXXXXX";
	struct fake_server s;
	struct vfuc *c;
	pid_t server;
	int fd, status;

	(void)state;
	assert_non_null(mkdtemp(dir));
	fd = fuse_file(dir, &server);
	if (fd < 0) {
		rmdir(dir);
		print_message("no file system can be mounted here: %s\n", strerror(errno));
		skip();
	}
	fs_start(&s, script_no_close, &fd);
	c = fs_open(&s, NULL);
	assert_int_equal(vfuc_stats(c)->surplus_fds, 1);
	vfuc_close(c);
	fs_finish(&s);
	/* nobody has closed it */
	kill(server, SIGKILL);
	assert_int_equal(waitpid(server, &status, 0), server);
	assert_true(WIFSIGNALED(status));
	close(fd);
	umount2(dir, MNT_DETACH);
	rmdir(dir);
}

/* The twin socket is no socket, beside descriptors that are for nothing. */
static void script_bad_twin(struct fake_server *s)
{
	static const char text[] =
		"\0\0\1\0{\"capabilities\":{\"twin_socket\":{\"supported\":true,\"fd_index\":1}}}";
	int fds[2] = { fs_memory(4096), eventfd(0, 0) };

	fs_expect(s, VFUC_CMD_VERSION);
	fs_reply_fds(s, text, sizeof(text), fds, 2);
	close(fds[0]);
	close(fds[1]);
	fs_expect_close(s);
}

static void test_bad_twin(void **state)
{
	unsigned int fds = fs_count_fds();
	struct vfuc_error error = { 0 };
	struct fake_server s;
	struct vfuc *c;

	(void)state;
	fs_start(&s, script_bad_twin, NULL);
	assert_int_equal(fs_try_open(&s, &c, NULL, &error), -EPROTO);
	assert_int_equal(error.kind, VFUC_PROTOCOL);
	fs_finish(&s);
	assert_int_equal(fs_count_fds(), fds);
}

static void script_twin(struct fake_server *s)
{
	fs_version_twin(s);
	fs_expect_close(s);
}

static void test_twin(void **state)
{
	unsigned int fds = fs_count_fds();
	struct pollfd pollfds[VFUC_POLL_FDS];
	struct fake_server s;
	struct vfuc *c;

	(void)state;
	fs_start(&s, script_twin, NULL);
	c = fs_open(&s, NULL);
	assert_true(vfuc_caps(c)->twin_socket);
	assert_int_equal(vfuc_poll_fds(c, pollfds, VFUC_POLL_FDS), 2);
	assert_int_equal(vfuc_stats(c)->surplus_fds, 0);
	vfuc_close(c);
	fs_finish(&s);
	assert_int_equal(fs_count_fds(), fds);
}

/*
 * A server that says yes and closes has not opened a connection. Both are in the socket before the
 * client looks; the id of its first request is always the same.
 */
static void script_learn(struct fake_server *s)
{
	fs_expect(s, VFUC_CMD_VERSION);
	*(struct vfuc_header *)s->arg = s->message.header;
}

static void test_yes_and_close(void **state)
{
	struct {
		struct vfuc_header header;
		struct vfuc_wire_version version;
	} reply = { .version = { .minor = 1 } };
	struct vfuc_config config = { 0 };
	struct vfuc_error error = { 0 };
	struct vfuc *c = NULL;
	struct fake_server s;
	char address[32];
	int pair[2];

	(void)state;
	fs_start(&s, script_learn, &reply.header);
	assert_int_not_equal(fs_try_open(&s, &c, NULL, &error), 0);
	fs_finish(&s);
	reply.header.size = sizeof(reply);
	reply.header.flags = VFUC_TYPE_REPLY;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(write(pair[1], &reply, sizeof(reply)), sizeof(reply));
	assert_int_equal(shutdown(pair[1], SHUT_WR), 0);
	snprintf(address, sizeof(address), "fd:%d", pair[0]);
	config.address = address;
	assert_int_equal(vfuc_open(&c, &config, &error), -ECONNRESET);
	assert_int_equal(error.kind, VFUC_CLOSED);
	close(pair[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_major_minor),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_subset),
		cmocka_unit_test(test_keep),
		cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_rubbish),
		cmocka_unit_test(test_full_proposal),
		cmocka_unit_test(test_bare_proposal),
		cmocka_unit_test(test_handshake_fails),
		cmocka_unit_test(test_handshake_json),
		cmocka_unit_test(test_yes_and_close),
		cmocka_unit_test(test_surplus_fds),
		cmocka_unit_test(test_surplus_never_closed),
		cmocka_unit_test(test_bad_twin),
		cmocka_unit_test(test_twin),
	};

	return cmocka_run_group_tests_name("engine_version", tests, NULL, NULL);
}
