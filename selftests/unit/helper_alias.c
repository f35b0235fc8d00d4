// SPDX-License-Identifier: GPL-2.0-only
/* The lists of modules: what is in them, what is not, and what is wrong with them. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "../../helper/alias.h"
#include "../../helper/sysfs.h"

#define NVME	"pci:v00001B36d00000010sv00001AF4sd00001100bc01sc08i02"
#define OTHER	"pci:v0000FFFEd00007E57sv0000FFFDsd00000BADbcFFsc00i00"

static char root[] = "/tmp/helper_alias.XXXXXX";
static char dir[200];

static void put(const char *name, const char *bytes, size_t len)
{
	char path[300];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (!bytes) {
		unlink(path);
		return;
	}
	f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(bytes, 1, len, f), len);
	fclose(f);
}

static void put_text(const char *name, const char *text)
{
	put(name, text, text ? strlen(text) : 0);
}

static void test_none(void **state)
{
	(void)state;
	put_text("modules.alias", NULL);
	put_text("modules.builtin.modinfo", NULL);
	assert_int_equal(alias_find(NVME), -ENOENT);
}

static void test_module(void **state)
{
	(void)state;
	put_text("modules.alias", "# Aliases\nalias usb:v*d* nothing\n"
		 "alias pci:v*d*sv*sd*bc01sc08i02* nvme\nalias pci:");
	assert_int_equal(alias_find(NVME), 1);
	assert_int_equal(alias_find(OTHER), 0);
	put_text("modules.alias", "alias pci:v0000FFFEd00007E57sv*sd*bc*sc*i* vfu_test");
	assert_int_equal(alias_find(OTHER), 1);
}

static void test_builtin(void **state)
{
	static const char words[] = "nvme.license=GPL\0nvme.alias=pci:v*d*sv*sd*bc01sc08i02*\0x";

	(void)state;
	put_text("modules.alias", "");
	put("modules.builtin.modinfo", words, sizeof(words));
	assert_int_equal(alias_find(NVME), 1);
	assert_int_equal(alias_find(OTHER), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_none),
		cmocka_unit_test(test_module),
		cmocka_unit_test(test_builtin),
	};
	struct utsname uts;
	char command[300];
	int failed;

	if (!mkdtemp(root) || uname(&uts))
		return 1;
	sysfs_root = root;
	snprintf(dir, sizeof(dir), "%s/lib/modules/%s", root, uts.release);
	snprintf(command, sizeof(command), "mkdir -p %s", dir);
	if (system(command))
		return 1;
	failed = cmocka_run_group_tests_name("helper_alias", tests, NULL, NULL);
	snprintf(command, sizeof(command), "rm -rf %s", root);
	return system(command) || failed;
}
