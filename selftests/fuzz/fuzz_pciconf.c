// SPDX-License-Identifier: GPL-2.0-only
/* A server's config space, as "probe" prints it: text, JSON and hex. */
#include <json-c/json.h>

#include "../../helper/pciconf.h"
#include "input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint64_t sizes[PCICONF_BARS] = { 16384, 0, 32, UINT64_MAX, 1, 4096, 65536 };
	struct json_object *json;
	uint8_t *cfg;
	char *text;
	size_t n;
	FILE *f;

	/* A config space is 256 or 4096 bytes, zeroes where the input ends. */
	n = size > 256 ? 4096 : 256;
	if (size > n)
		return 0;
	cfg = calloc(1, n);
	memcpy(cfg, data, size);
	f = open_memstream(&text, &size);
	pciconf_print(f, cfg, n, sizes);
	pciconf_dump(f, cfg, n);
	fclose(f);
	/* a loop would make it endless */
	FUZZ_CHECK(size < 1024 * 1024);
	free(text);
	json = pciconf_json(cfg, n);
	FUZZ_CHECK(json && strlen(json_object_to_json_string(json)) < 1024 * 1024);
	json_object_put(json);
	free(cfg);
	return 0;
}
