# SPDX-License-Identifier: GPL-2.0-only
#
# The plots of the bench: gnuplot -e "dir='DIR'" plots.gp, with what report.awk left in DIR.

set terminal svg size 1200,600 background rgb "white"
set datafile separator "\t"
set style data histogram
set style histogram clustered gap 2
set style fill solid 0.8 border -1
set grid ytics
set key outside
set xtics rotate by -30 left noenhanced
set key noenhanced
set yrange [0:*]

# as many as there are disks: ceilings grey, ours warm, the others cold
array colours[11] = ["#404040", "#a0a0a0", "#7f0000", "#d7301f", "#fc8d59", "#fdd49e", "#f768a1", \
		     "#08306b", "#2171b5", "#6baed6", "#41ab5d"]
do for [i = 1:11] { set linetype i linecolor rgb colours[i] }
set linetype cycle 11

have(file) = int(system("test -s '".dir."/".file."' && echo 1 || echo 0"))
columns(file) = int(system("head -n 1 '".dir."/".file."' | awk -F'\t' '{ print NF }'"))

if (have("ratios.dat")) {
	set output dir."/mmio.svg"
	set title "Registers, doorbells, interrupts: times their floor, and the bound"
	plot dir."/ratios.dat" using 2:xtic(1) title "measured", "" using 3 title "bound"
}
do for [what in "iops cpu"] {
	file = "block-".what.".dat"
	if (have(file)) {
		n = columns(file)
		set output dir."/block-".what.".svg"
		set title what eq "iops" ? "Requests per second" : "CPU time for one request (microseconds, whole system)"
		set logscale y
		set yrange [*:*]
		plot for [i = 2:n] dir."/".file using i:xtic(1) title columnheader(i)
		unset logscale y
	}
}
