# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# KTAP output for test scripts: numbering, plan and exit status.
#
# Owns the counters below and the standard output.  A script sources this file, says ktap_plan (or
# lets ktap_end print the plan), reports each result, and ends with ktap_end, which also ends the
# script.  Everything that is not a result goes out as a "# " diagnostic line.

KTAP_NUM=0
KTAP_FAILED=0
KTAP_PLANNED=

# The exit statuses of kselftest.
KSFT_PASS=0
KSFT_FAIL=1
KSFT_SKIP=4

echo "KTAP version 1"

# ktap_plan N: N results will follow.
ktap_plan()
{
	KTAP_PLANNED=$1
	echo "1..$1"
}

# ktap_log TEXT...: a diagnostic; lines of a pipe where no TEXT is given.
ktap_log()
{
	if [ $# -gt 0 ]; then
		printf '# %s\n' "${*//$'\n'/$'\n'# }"
	else
		sed 's/^/# /'
	fi
}

# ktap_pass NAME
ktap_pass()
{
	KTAP_NUM=$((KTAP_NUM + 1))
	echo "ok $KTAP_NUM $*"
}

# ktap_fail NAME
ktap_fail()
{
	KTAP_NUM=$((KTAP_NUM + 1))
	KTAP_FAILED=$((KTAP_FAILED + 1))
	echo "not ok $KTAP_NUM $*"
}

# ktap_skip NAME REASON: neither pass nor fail; REASON says what would be needed.
ktap_skip()
{
	KTAP_NUM=$((KTAP_NUM + 1))
	echo "ok $KTAP_NUM $1 # SKIP ${2:?a skipped test gives a reason}"
}

# ktap_skip_all REASON: nothing of this script can run here; ends the script.
ktap_skip_all()
{
	echo "1..0 # SKIP $*"
	exit $KSFT_SKIP
}

# ktap_ok STATUS NAME: STATUS 0 is a pass, as in: cmp a b; ktap_ok $? "same content"
ktap_ok()
{
	local status=$1

	shift
	if [ "$status" = 0 ]; then
		ktap_pass "$@"
	else
		ktap_fail "$@"
	fi
	[ "$status" = 0 ]
}

# ktap_run NAME COMMAND...: passes where COMMAND succeeds; what it printed is shown if it fails.
# A function runs in a subshell here: what it assigns is lost.
ktap_run()
{
	ktap_status 0 "$@"
}

# ktap_status STATUS NAME COMMAND...: passes where COMMAND exits with STATUS; "!0" is any failure.
# What it printed stays in KTAP_OUT for the script to look at.
ktap_status()
{
	local want=$1 name=$2 got=0

	shift 2
	KTAP_OUT=$("$@" 2>&1 </dev/null) || got=$?
	if [ "$got" = "$want" ] || { [ "$want" = '!0' ] && [ "$got" != 0 ]; }; then
		ktap_pass "$name"
		return 0
	fi
	ktap_log "$*: exit status $got, not $want"
	printf '%s\n' "$KTAP_OUT" | ktap_log
	ktap_fail "$name"
	return 1
}

# ktap_is NAME GOT WANT: passes where the two strings are equal.
ktap_is()
{
	if [ "$2" = "$3" ]; then
		ktap_pass "$1"
		return 0
	fi
	ktap_log "got '$2', want '$3'"
	ktap_fail "$1"
	return 1
}

# ktap_has STRING REGEX: is the extended regular expression found in one of its lines?
ktap_has()
{
	local line IFS=$'\n' -

	# For what is long, a process is the cheaper one.
	if [ ${#1} -gt 4000 ]; then
		printf '%s\n' "$1" | grep -Eq -- "$2"
		return
	fi
	set -f
	for line in ${1:-''}; do
		[[ ! $line =~ $2 ]] || return 0
	done
	return 1
}

# ktap_match NAME STRING REGEX: passes where the extended regular expression is found in STRING.
ktap_match()
{
	if ktap_has "$2" "$3"; then
		ktap_pass "$1"
		return 0
	fi
	ktap_log "no match of '$3' in:"
	printf '%s\n' "$2" | ktap_log
	ktap_fail "$1"
	return 1
}

# ktap_bail REASON: the rest makes no sense; ends the script as a failure.
ktap_bail()
{
	echo "Bail out! $*"
	exit $KSFT_FAIL
}

# ktap_end: print the plan where there was none, and end the script with its exit status.
ktap_end()
{
	[ -n "$KTAP_PLANNED" ] || echo "1..$KTAP_NUM"
	if [ -n "$KTAP_PLANNED" ] && [ "$KTAP_PLANNED" != "$KTAP_NUM" ]; then
		ktap_log "$KTAP_PLANNED results planned, $KTAP_NUM reported"
		exit $KSFT_FAIL
	fi
	[ "$KTAP_FAILED" = 0 ] || exit $KSFT_FAIL
	exit $KSFT_PASS
}
