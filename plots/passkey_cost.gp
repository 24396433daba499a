# title: Passkey: time and memory, by the length of the input
# caption: Left: wall time of one token of input. Right: peak memory of the process, weights and all samples side by side
#   included. Only cells whose samples shared no work are shown: every token of every sample was computed.
# Draw by hand: palimpsest plots keep=FOLDER, then gnuplot -c plots/passkey_cost.gp FOLDER/passkey_cost OUT.svg
here = ARG0[1:strlen(ARG0) - strlen("passkey_cost.gp")]
folder = ARG1
out = ARG2
load here."style.gnuplot"

across = 2
panel_height = 220
left_gap = 70
bottom_gap = 48
main_title = "Passkey: cost of an evaluation"
x_title = "length of the input, tokens (1K = 1024)"
load here."canvas.gnuplot"

set logscale x 2
set logscale y
set xtics () rotate by 60 right font ",11"
do for [t = 1:ticks] { if (tick_axis[t] eq "x") { set xtics add (tick_label[t] tick_place[t]) } }
stats points using (column("x")) nooutput
set xrange [STATS_min * 0.7:STATS_max * 1.5]
set yrange [*:*]
set ytics font ",11"
set key off
do for [p = 1:panels] {
    load here."panel.gnuplot"
    plot for [s = first_of(p):last_of(p)] points using (x_of(s)):(column("y")) with linespoints lc rgb color(series_look[s]) \
        dt dash(series_look[s]) lw width_of(series_look[s]) pt point(series_look[s]) ps 0.7
}
load here."legend.gnuplot"
