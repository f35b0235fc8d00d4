// SPDX-License-Identifier: GPL-2.0-only
/* helper/peer.c: sockets with good and bad permissions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../helper/peer.h"

static char dir[] = "/tmp/helper-peer.XXXXXX";
static struct sockaddr_un addr = { .sun_family = AF_UNIX };
static char text[512];

static int setup(void **state)
{
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	(void)state;
	if (fd < 0 || !mkdtemp(dir))
		return -1;
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/s", dir);
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)))
		return -1;
	close(fd);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	unlink(addr.sun_path);
	rmdir(dir);
	return 0;
}

static void modes(mode_t socket_mode, mode_t dir_mode)
{
	assert_int_equal(chmod(addr.sun_path, socket_mode), 0);
	assert_int_equal(chmod(dir, dir_mode), 0);
}

static void test_good(void **state)
{
	(void)state;
	modes(0700, 0700);
	assert_int_equal(peer_judge(addr.sun_path, getuid(), text, sizeof(text)), 0);
	/* root may serve for anyone, and a sticky directory protects what is in it */
	modes(0755, 01777);
	assert_int_equal(peer_judge(addr.sun_path, 0, text, sizeof(text)), 0);
	assert_int_equal(peer_judge("/nonexistent/s", 0, text, sizeof(text)), 0);
	assert_int_equal(peer_judge("/dev/null", 1, text, sizeof(text)), 0);
	assert_string_equal(text, "");
}

static void test_other_user(void **state)
{
	(void)state;
	modes(0700, 0700);
	assert_int_not_equal(peer_judge(addr.sun_path, getuid() + 1, text, sizeof(text)), 0);
	assert_non_null(strstr(text, "is it the right server?"));
}

static void test_open_to_all(void **state)
{
	(void)state;
	modes(0777, 0700);
	assert_int_not_equal(peer_judge(addr.sun_path, getuid(), text, sizeof(text)), 0);
	assert_non_null(strstr(text, "chmod o-w"));
	modes(0700, 0777);
	assert_int_not_equal(peer_judge(addr.sun_path, getuid(), text, sizeof(text)), 0);
	assert_non_null(strstr(text, "may replace"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_other_user),
		cmocka_unit_test(test_open_to_all),
	};

	return cmocka_run_group_tests_name("helper_peer", tests, setup, teardown);
}
