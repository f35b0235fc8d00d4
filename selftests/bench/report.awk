# SPDX-License-Identifier: GPL-2.0-only
#
# From raw.tsv of the bench to tables: awk -v OUT=DIR -f report.awk raw.tsv
#
# Writes DIR/summary.tsv and summary.json (median, smallest and largest of the repetitions of each
# measurement), the text of the tables to the standard output, and what the plots need
# (DIR/*.dat).

BEGIN { FS = OFS = "\t" }

$5 == "missing" {
	lack[$1, $2] = $6
	lacks[++nr_lacks] = $1 SUBSEP $2
	next
}

{
	key = $1 SUBSEP $2 SUBSEP $3
	if (!(key in count))
		keys[++nr_keys] = key
	values[key, ++count[key]] = $5 + 0
	unit[key] = $6
}

function sorted(key, n,    i, j, t)
{
	for (i = 2; i <= n; i++)
		for (j = i; j > 1 && values[key, j] < values[key, j - 1]; j--) {
			t = values[key, j]
			values[key, j] = values[key, j - 1]
			values[key, j - 1] = t
		}
}

function middle(key, n)
{
	return n % 2 ? values[key, (n + 1) / 2] : (values[key, n / 2] + values[key, n / 2 + 1]) / 2
}

function m(group, variant, name)
{
	return median[group, variant, name]
}

function ns(v)
{
	if (v == "")
		return "-"
	if (v < 100)
		return sprintf("%.1f ns", v)
	if (v < 1e6)
		return sprintf("%.2f us", v / 1e3)
	return sprintf("%.2f ms", v / 1e6)
}

# A median as people read it. What a load on a disk gives has its kind in its name.
function show(key)
{
	if (unit[key] == "bytes")
		return sprintf("%.0f KiB", median[key] / 1024)
	if (unit[key] == "CPUs" || key ~ /-busy$/)
		return sprintf("%.4f CPUs", median[key])
	if (key ~ /-iops$/)
		return sprintf("%.0f /s", median[key])
	if (unit[key] == "Mbit/s")
		return sprintf("%.0f Mbit/s", median[key])
	return ns(median[key])
}

function spread(group, variant, name,    k)
{
	k = group SUBSEP variant SUBSEP name
	if (!(k in median) || !median[k])
		return "-"
	return sprintf("%+.0f%% %+.0f%%", (low[k] / median[k] - 1) * 100, (high[k] / median[k] - 1) * 100)
}

# One line of the table of targets.
function target(what, value, floor, bound, of,    verdict)
{
	if (value == "" || !floor)
		return
	# 1.0 is within what two measurements of the same differ by
	verdict = value <= floor * (bound > 1 ? bound : 1.05) ? "met" : "missed"
	printf "%-34s %12s  / %-12s %6.2f  (%.1f)  %-6s  %s\n", what, ns(value), ns(floor),
		value / floor, bound, verdict, of
	print what, value, floor, value / floor, bound, verdict, of >(OUT "/targets.tsv")
	printf "\"%s\"\t%.3f\t%.2f\n", what, value / floor, bound >(OUT "/ratios.dat")
}

function machine_floor(name)
{
	return m("floors", "process", name)
}

function targets(    trap)
{
	trap = m("mmio", "default", "trap")
	print "Registers, doorbells, interrupts, beside their floors (bound):"
	print ""
	target("read, helper and server poll", m("mmio", "polling", "read"),
		machine_floor("unix-polling") + trap, 1.3, "polling ping-pong + trap")
	target("the same, where a third one spins", m("mmio", "polling", "read"),
		machine_floor("unix-polling-3") + trap, 1.3, "polling ping-pong beside a spinner + trap")
	target("read, interrupts off, they poll", m("mmio", "polling", "read-atomic"),
		machine_floor("unix-polling") + trap, 1.3, "polling ping-pong + trap")
	target("read", m("mmio", "default", "read"), machine_floor("unix-blocking") + trap, 1.5,
		"blocking ping-pong + trap")
	target("read, interrupts off", m("mmio", "default", "read-atomic"),
		machine_floor("unix-blocking") + trap, 1.5, "blocking ping-pong + trap")
	target("posted write", m("mmio", "default", "write"), m("mmio", "default", "trap-write"), 1.3,
		"trap")
	target("ioeventfd write", m("mmio", "default", "ioeventfd"),
		m("mmio", "default", "trap-write") + machine_floor("eventfd-write"), 1.3,
		"trap + eventfd write")
	target("ioeventfd write, nobody waits", m("mmio", "default", "ioeventfd-quiet"),
		m("mmio", "default", "trap-write") + machine_floor("eventfd-write-quiet"), 1.3,
		"trap + eventfd write")
	target("direct store", m("mmio", "default", "store-direct"),
		m("mmio", "default", "store-plain"), 1.0, "store")
	target("interrupt, to CPU 0", m("mmio", "default", "irq-cpu0"), machine_floor("eventfd") / 2,
		1.3, "eventfd ping-pong, one way")
	target("interrupt, to CPU 1", m("mmio", "default", "irq-cpu1"), machine_floor("eventfd") / 2,
		1.3, "eventfd ping-pong, one way")
	target("way through helper and server", m("path", "default", "read"),
		m("path", "floor", "unix-blocking"), 1.5, "blocking ping-pong (no VM)")
	target("the same, they poll", m("path", "polling", "read"),
		m("path", "floor", "unix-polling"), 1.3, "polling ping-pong (no VM)")
	print ""
}

function table(group,    i, p, title)
{
	for (i = 1; i <= nr_keys; i++) {
		split(keys[i], p, SUBSEP)
		if (p[1] != group)
			continue
		if (!title)
			printf "%-10s %-28s %12s  %-14s %s\n", "variant", "measured", "median",
				"spread", "times"
		title = 1
		printf "%-10s %-28s %12s  %-14s %d\n", p[2], p[3], show(keys[i]),
			spread(p[1], p[2], p[3]), count[keys[i]]
	}
	if (title)
		print ""
}

# The best of those peers that a process serves; sets best_peer
function best(load, what,    i, v, b)
{
	b = ""
	split("nbd ublk vduse qsdnbd qsdfuse nvmetcp", peers, " ")
	for (i in peers) {
		v = m("block", peers[i], load "-" what)
		if (v != "" && (b == "" || (what == "cpu" ? v < b : v > b))) {
			b = v
			best_peer = peers[i]
		}
	}
	return b
}

# One line of the targets of disks: @ratio may be at most @bound
function block_target(what, ratio, bound, of)
{
	printf "%-44s %6.2f  (%.2f)  %-6s  %s\n", what, ratio, bound,
		ratio <= bound ? "met" : "missed", of
	print what, "", "", ratio, bound, ratio <= bound ? "met" : "missed", of >(OUT "/targets.tsv")
}

# Time of one request and CPU time of one request, over those of the best peer.
function against(variant, load, bound,    ours, peer)
{
	ours = m("block", variant, load "-iops")
	peer = best(load, "iops")
	if (ours == "" || peer == "")
		return
	block_target(variant ", " load ": time", peer / ours, bound, best_peer)
	if (load !~ /128k/) {
		peer = best(load, "cpu")
		block_target(variant ", " load ": CPU", m("block", variant, load "-cpu") / peer, bound,
			best_peer)
	}
}

function block_targets_met(    i, j, n, ceiling)
{
	n = split("mmap shadow ioeventfd trap passthrough", ours, " ")
	print "Disks, beside the best peer that a process serves (at most):"
	print ""
	for (i = 1; i <= nr_loads; i++)
		for (j = 1; j <= n; j++)
			against(ours[j], loads[i], loads[i] ~ /128k/ && ours[j] != "passthrough" ? 1.1 : 1)
	for (i = 1; i <= nr_loads; i++) {
		ceiling = m("block", "null", loads[i] "-cpu")
		if (loads[i] ~ /4k-d32/ && ceiling && m("block", "passthrough", loads[i] "-cpu") != "")
			block_target("passthrough, " loads[i] ": CPU",
				m("block", "passthrough", loads[i] "-cpu") / ceiling, 1.5, "null_blk")
	}
	print ""
}

# With instructions for time CPUs take turns: who waits for its turn counts as busy, and no request
# can take more of all CPUs than the time in which one is done.
function work_of_turns(    i, load, cpu, iops)
{
	for (i = 1; i <= nr_keys; i++) {
		load = keys[i]
		if (sub(/-cpu$/, "", load)) {
			cpu = keys[i]
			iops = load "-iops"
			if (iops in median && median[cpu] > 1e9 / median[iops])
				median[cpu] = 1e9 / median[iops]
		}
	}
}

# The targets and the loads of the block group in the order in which they were run.
function block_axes(    i, p, load)
{
	for (i = 1; i <= nr_keys; i++) {
		split(keys[i], p, SUBSEP)
		if (p[1] != "block")
			continue
		if (!((p[2]) in is_target)) {
			is_target[p[2]] = 1
			block_targets[++nr_targets] = p[2]
		}
		load = p[3]
		if (sub(/-iops$/, "", load) && !(load in is_load)) {
			is_load[load] = 1
			loads[++nr_loads] = load
		}
	}
}

function block_table(what, unit, format, scale,    i, j, v, file)
{
	file = OUT "/block-" what ".dat"
	printf "%s\n\n%-22s", unit, ""
	printf "load" >file
	for (j = 1; j <= nr_targets; j++) {
		printf " %10s", block_targets[j]
		printf "\t%s", block_targets[j] >file
	}
	print ""
	printf "\n" >file
	for (i = 1; i <= nr_loads; i++) {
		printf "%-22s", loads[i]
		printf "%s", loads[i] >file
		for (j = 1; j <= nr_targets; j++) {
			v = m("block", block_targets[j], loads[i] "-" what)
			printf " %10s", v == "" ? "-" : sprintf(format, v * scale)
			printf "\t%s", v == "" ? "nan" : v * scale >file
		}
		print ""
		printf "\n" >file
	}
	print ""
}

END {
	print "group", "variant", "measured", "times", "median", "smallest", "largest" \
		>(OUT "/summary.tsv")
	printf "[" >(OUT "/summary.json")
	for (i = 1; i <= nr_keys; i++) {
		key = keys[i]
		n = count[key]
		sorted(key, n)
		median[key] = middle(key, n)
		low[key] = values[key, 1]
		high[key] = values[key, n]
		split(key, p, SUBSEP)
		print p[1], p[2], p[3], n, median[key], low[key], high[key] >(OUT "/summary.tsv")
		printf "%s\n{\"group\": \"%s\", \"variant\": \"%s\", \"measured\": \"%s\", \"times\": %d, \"median\": %s, \"smallest\": %s, \"largest\": %s}",
			(i == 1 ? "" : ","), p[1], p[2], p[3], n, median[key], low[key], high[key] \
			>(OUT "/summary.json")
	}
	printf "\n]\n" >(OUT "/summary.json")
	if (ICOUNT)
		work_of_turns()
	targets()
	table("path")
	table("floors")
	table("mmio")
	block_axes()
	if (nr_loads) {
		block_targets_met()
		block_table("iops", "Block: requests per second", "%.0f", 1)
		block_table("cpu", "Block: CPU time of the whole system for one request, microseconds",
			"%.1f", 1e-3)
		block_table("busy", "Block: CPUs busy", "%.2f", 1)
	}
	table("backing")
	table("shared")
	table("net")
	table("scale")
	for (i = 1; i <= nr_lacks; i++) {
		split(lacks[i], p, SUBSEP)
		printf "not measured: %s %s: %s\n", p[1], p[2], lack[lacks[i]]
	}
}
