# title: Passkey: digits found, by the length of the input
# caption: Share of the key's five digits that a model says, against the length of the input, for a needle at the start, in the
#   middle and at the end of the text. Bars are 95 % intervals; models stand a little apart so that bars do not hide each
#   other. Dotted line: guessing finds 10 %. Dotted with crosses: the paper's own values, from models of 1B parameters.
# lead: it stands at the top of the report page
# Draw by hand: palimpsest plots keep=FOLDER, then gnuplot -c plots/passkey_accuracy.gp FOLDER/passkey_accuracy OUT.svg
here = ARG0[1:strlen(ARG0) - strlen("passkey_accuracy.gp")]
folder = ARG1
out = ARG2
load here."style.gnuplot"

across = 3
panel_height = 190
left_gap = 30
right_gap = 2
outer_left = 14
bottom_gap = 46
main_title = "Passkey: digits found, %"
x_title = "length of the input, tokens (1K = 1024)"
load here."canvas.gnuplot"

# Models of a panel stand side by side: each is shifted by a little.
shift(s, p) = 1.07 ** (s - (first_of(p) + last_of(p)) / 2.0)
set logscale x 2
set xtics () rotate by 60 right font ",11"
do for [t = 1:ticks] { if (tick_axis[t] eq "x") { set xtics add (tick_label[t] tick_place[t]) } }
stats points using (column("x")) nooutput
set xrange [STATS_min * 0.6:STATS_max * 1.7]
set yrange [-4:104]
set ytics 20 font ",11"
set key off
do for [p = 1:panels] {
    load here."panel.gnuplot"
    plot 10 with lines lc rgb grey dt 3 lw 1, \
        for [s = first_of(p):last_of(p)] points using (x_of(s) * shift(s, p)):(column("y")):(column("lo")):(column("hi")) \
            with yerrorbars lc rgb color(series_look[s]) dt 1 pt 0 lw 0.7, \
        for [s = first_of(p):last_of(p)] points using (x_of(s) * shift(s, p)):(column("y")) with linespoints \
            lc rgb color(series_look[s]) dt dash(series_look[s]) lw width_of(series_look[s]) pt point(series_look[s]) ps 0.6
}
load here."legend.gnuplot"
