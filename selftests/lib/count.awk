# SPDX-License-Identifier: GPL-2.0-only
#
# Reads KTAP and prints "PASSED FAILED SKIPPED", and on lines of their own after that the names of
# what failed, each with the diagnostics before it (the last 10 lines), and of what was skipped.  A
# plan that is missing, doubled or not kept, results out of sequence, and a bail out are failures.
# Results of every depth count; plan and sequence are checked at the top level.

function fault(why,	i)
{
	failed++
	notes = notes "not ok " why "\n"
	for (i = said > 10 ? said - 9 : 1; i <= said; i++)
		notes = notes "  " diagnostic[i] "\n"
	said = 0
}

/^[ \t]*#/ {
	sub(/\r$/, "")
	diagnostic[++said] = substr($0, 1, 300)
}

/^[ \t]*not ok( |$)/ {
	sub(/\r$/, "")
	name = $0
	sub(/^[ \t]*not ok */, "", name)
	fault(name)
}

/^[ \t]*ok( |$)/ {
	sub(/\r$/, "")
	if ($0 ~ /# *[Ss][Kk][Ii][Pp]/) {
		skipped++
		name = $0
		sub(/^[ \t]*ok */, "", name)
		notes = notes "skip " name "\n"
	} else {
		passed++
	}
}

/^(not )?ok( |$)/ {
	num = ($1 == "not") ? $3 : $2
	if (num != ++last && !disorder++)
		fault("result number " num " where " last " should be")
}

/^[ \t]*(not )?ok( |$)/ {
	said = 0
}

/^1\.\.[0-9]+/ {
	if (plans++)
		fault("a second plan")
	plan = substr($1, 4) + 0
	if (plan == 0) {
		if ($0 ~ /# *[Ss][Kk][Ii][Pp]/) {
			skipped++
			notes = notes "skip " $0 "\n"
		} else {
			fault("a plan of nothing")
		}
	}
}

/^Bail out!/ {
	fault($0)
}

END {
	if (!plans)
		fault("no plan")
	else if (plan != last)
		fault(plan " results planned, " (last + 0) " reported")
	printf "%d %d %d\n%s", passed, failed, skipped, notes
}
