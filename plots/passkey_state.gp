# title: Passkey: bytes of streaming state, by the length of the input
# caption: What a model keeps of the text that it has read, for one sequence; both axes are logarithmic. A flat line is a bounded
#   memory. A key-value cache of full attention has room for the longest text of its evaluation. A model without any state
#   stands at "none".
# Draw by hand: palimpsest plots keep=FOLDER, then gnuplot -c plots/passkey_state.gp FOLDER/passkey_state OUT.svg
here = ARG0[1:strlen(ARG0) - strlen("passkey_state.gp")]
folder = ARG1
out = ARG2
load here."style.gnuplot"

across = 1
panel_height = 300
left_gap = 84
bottom_gap = 40
main_title = "Passkey: bytes of streaming state"
x_title = "length of the input, tokens (1K = 1024)"
load here."canvas.gnuplot"

bytes(k) = k < 20 ? sprintf("%d KiB", 2 ** (k - 10)) : k < 30 ? sprintf("%d MiB", 2 ** (k - 20)) : sprintf("%d GiB", 2 ** (k - 30))
set logscale xy 2
set xtics () font ",11"
do for [t = 1:ticks] { if (tick_axis[t] eq "x") { set xtics add (tick_label[t] tick_place[t]) } }
stats points using (column("x")) nooutput
set xrange [STATS_min * 0.7:STATS_max * 1.5]
# No state is drawn at the bottom, two steps below the smallest that there is.
stats points using (column("y")) nooutput
most = STATS_max > 0 ? STATS_max : 2.0 ** 12
stats points using (column("y") > 0 ? column("y") : most) nooutput
least = STATS_min
none = least / 8
drawn(y) = y != y ? NaN : y > 0 ? y : none
set yrange [none / 2:most * 2]
set ytics () font ",11"
set ytics add ("none" none)
do for [k = 10:40:3] { if (2 ** k >= least / 2) { set ytics add (bytes(k) 2 ** k) } }
set key off
do for [p = 1:panels] {
    load here."panel.gnuplot"
    plot for [s = first_of(p):last_of(p)] points using (x_of(s)):(drawn(column("y"))) with linespoints \
        lc rgb color(series_look[s]) dt dash(series_look[s]) lw width_of(series_look[s]) pt point(series_look[s]) ps 0.8
}
load here."legend.gnuplot"
