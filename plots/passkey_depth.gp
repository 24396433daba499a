# title: Passkey: digits found, by the depth of the needle
# caption: Percent of the key's digits found against the depth of the needle in the text (0: at the start), one panel for each
#   length of the input at which more than three depths were evaluated. Bands are 95 % intervals. Dotted: guessing finds 10 %.
# Draw by hand: palimpsest plots keep=FOLDER, then gnuplot -c plots/passkey_depth.gp FOLDER/passkey_depth OUT.svg
here = ARG0[1:strlen(ARG0) - strlen("passkey_depth.gp")]
folder = ARG1
out = ARG2
load here."style.gnuplot"

across = 2
panel_height = 170
left_gap = 42
right_gap = 8
main_title = "Passkey: digits found, %, by depth"
x_title = "depth of the needle in the text, % (0: the start)"
load here."canvas.gnuplot"

set xrange [-2:102]
set xtics 25 font ",11"
set yrange [-4:104]
set ytics 25 font ",11"
set key off
set style fill transparent solid 0.1 noborder
do for [p = 1:panels] {
    load here."panel.gnuplot"
    plot 10 with lines lc rgb grey dt 3 lw 1, \
        for [s = first_of(p):last_of(p)] points using (x_of(s)):(column("lo")):(column("hi")) \
            with filledcurves lc rgb color(series_look[s]), \
        for [s = first_of(p):last_of(p)] points using (x_of(s)):(column("y")) with linespoints \
            lc rgb color(series_look[s]) dt dash(series_look[s]) lw width_of(series_look[s]) pt point(series_look[s]) ps 0.5
}
load here."legend.gnuplot"
