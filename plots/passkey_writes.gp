# title: Passkey: digits found, by the distance from the needle to the question
# caption: One panel a model: percent of the key's digits found against the tokens between the needle and the question, all
#   lengths and depths together, each a point with its 95 % interval. An Infini model writes to its memory once a segment.
#   Dotted: guessing finds 10 %. Needles at the very end are left out.
# Draw by hand: palimpsest plots keep=FOLDER, then gnuplot -c plots/passkey_writes.gp FOLDER/passkey_writes OUT.svg
here = ARG0[1:strlen(ARG0) - strlen("passkey_writes.gp")]
folder = ARG1
out = ARG2
load here."style.gnuplot"

across = 3
title_font = ",11"
title_char = 6.2
panel_height = 130
left_gap = 42
right_gap = 4
bottom_gap = 40
with_legend = 0
main_title = "Passkey: digits found, %, by distance"
x_title = "tokens from the needle to the question (1K = 1024)"
load here."canvas.gnuplot"

stats points using (column("x")) nooutput
set logscale x 2
set xrange [STATS_min * 0.7:STATS_max * 1.5]
set xtics () rotate by 60 right font ",11"
do for [k = 9:24:2] { set xtics add (short(2 ** k) 2 ** k) }
set yrange [-4:104]
set ytics 25 font ",11"
set key off
do for [p = 1:panels] {
    load here."panel.gnuplot"
    k = series_look[first_of(p)]
    plot 10 with lines lc rgb grey dt 3 lw 1, \
        points using (x_of(first_of(p))):(column("y")):(column("lo")):(column("hi")) \
            with yerrorbars lc rgb light dt 1 pt 0 lw 1, \
        points using (x_of(first_of(p))):(column("y")) with points lc rgb color(k) pt point(k) ps 0.6
}
load here."legend.gnuplot"
