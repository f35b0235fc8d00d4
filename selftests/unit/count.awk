# SPDX-License-Identifier: GPL-2.0-only
#
# Reads the TAP of one unit test program, which may hold several groups with a plan each, and prints
# "PASSED FAILED SKIPPED". -v status= is the exit status of the program.

/^1\.\.[0-9]+/ {
	plans++
	planned += substr($1, 4) + 0
}

/^(not )?ok [0-9]+/ {
	reported++
	# cmocka calls a skipped test "not ok N # SKIP".
	if ($0 ~ /# *SKIP/)
		skipped++
	else if ($1 == "not")
		failed++
	else
		passed++
}

END {
	if (!plans || planned != reported)
		failed++
	if (status != 0 && !failed)
		failed++
	printf "%d %d %d\n", passed, failed, skipped
}
