# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# Results of the bench: where they go, and what the machine was.

RAW=/share/raw.tsv

# cmdline NAME DEFAULT: a word of the kernel's command line
cmdline()
{
	local word

	for word in $(cat /proc/cmdline); do
		case $word in
		"$1"=*) echo "${word#*=}"; return ;;
		esac
	done
	echo "$2"
}

REPS=$(cmdline bench.reps 3)
# of each load on a disk
SECONDS_EACH=$(cmdline bench.seconds 2)

# record GROUP VARIANT CASE REPETITION VALUE UNIT
record()
{
	printf '%s\t%s\t%s\t%s\t%s\t%s\n' "$@" >>$RAW
}

# missing GROUP VARIANT REASON: what cannot be measured here is in the table with the reason
missing()
{
	record "$1" "$2" - 0 missing "$3"
	ktap_skip "$1: $2" "$3"
}

# record_notes GROUP VARIANT REPETITION UNIT: the lines "bench CASE VALUE" of the input
record_notes()
{
	local word name value any=1

	while read -r word name value; do
		[ "$word" = bench ] || continue
		record "$1" "$2" "$name" "$3" "$value" "$4"
		any=0
	done
	return $any
}

record_machine()
{
	{
		echo "kernel	$(uname -r)"
		echo "cpus	$(nproc)"
		echo "cpu	$(sed -n 's/^model name[ \t]*: //p' /proc/cpuinfo | head -n 1)"
		echo "clock	$(cat /sys/devices/system/clocksource/clocksource0/current_clocksource)"
		echo "memory	$(sed -n 's/^MemTotal: *//p' /proc/meminfo)"
		echo "mitigations	$(cmdline mitigations default)"
		echo "repetitions	$REPS"
		echo "seconds	$SECONDS_EACH"
	} >/share/machine.tsv
}
