# title: What a needle leaves in the memory, by the segments read since
# caption: Left: the norm of the difference that the needle nearest to the start of the text makes to the memory M, as a part of
#   M's norm. Right: the norm of z, by which every read is divided. Means over the layers whose memory is not empty; both axes
#   are logarithmic.
# Draw by hand: palimpsest plots keep=FOLDER, then gnuplot -c plots/passkey_imprint.gp FOLDER/passkey_imprint OUT.svg
here = ARG0[1:strlen(ARG0) - strlen("passkey_imprint.gp")]
folder = ARG1
out = ARG2
load here."style.gnuplot"

across = 2
panel_height = 230
left_gap = 58
right_gap = 24
main_title = "What a needle leaves in the memory"
x_title = "segments read, each one write"
load here."canvas.gnuplot"

stats points using (column("x")) nooutput
set logscale xy
set xrange [STATS_min:STATS_max]
set xtics font ",11"
set ytics font ",11"
set key off
array format_of[2] = ["%g", "10^{%T}"]
do for [p = 1:panels] {
    load here."panel.gnuplot"
    set format y format_of[p]
    set ytics enhanced
    set yrange [*:*]
    plot for [s = first_of(p):last_of(p)] points using (x_of(s)):(column("y")) with linespoints lc rgb color(series_look[s]) \
        dt dash(series_look[s]) lw width_of(series_look[s]) pt point(series_look[s]) ps 0.7
}
load here."legend.gnuplot"
