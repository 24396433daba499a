# title: Perplexity by the position in the document
# caption: Token perplexity in ranges of position that double, a point in the middle of each range. One panel for each
#   attention module; the others of that size stand behind it in grey. Both axes are logarithmic. Dotted with open marks: the
#   same weights, their memory emptied. Bands are 95 % intervals over documents, of each module's first model alone: documents
#   differ more than models do, and all models read the same.
# Draw by hand: palimpsest plots keep=FOLDER, then gnuplot -c plots/perplexity_position.gp FOLDER/perplexity_position-novels-test OUT.svg
here = ARG0[1:strlen(ARG0) - strlen("perplexity_position.gp")]
folder = ARG1
out = ARG2
load here."style.gnuplot"

across = 2
panel_height = 150
left_gap = 40
right_gap = 8
with_legend = 0
with_names = 1
main_title = "Perplexity by position: ".subject
x_title = "position in the document, tokens (1K = 1024)"
load here."canvas.gnuplot"

set logscale xy
set xtics () font ",11"
do for [k = 8:22:2] { set xtics add (short(2 ** k) 2 ** k) }
set ytics (10, 20, 30, 40, 50, 60, 70, 80, 100, 120, 150, 200, 300, 400, 600, 1000, 2000) font ",11"
set key off
set style fill transparent solid 0.12 noborder
# The limits of a group of panels, so that its panels can be compared.
group_of(s) = panel_group[series_panel[s]]
y_in(g) = panel_group[int(column("panel"))] == g ? column("y") : NaN
do for [p = 1:panels] {
    load here."panel.gnuplot"
    set xrange [*:*]
    set yrange [*:*]
    stats points using (y_in(panel_group[p])) nooutput
    set yrange [STATS_min * 0.97:STATS_max * 1.03]
    set xrange [100:*]
    plot for [s = first_of(p):last_of(p)] points using (band(s) ? x_of(s) : NaN):(column("lo")):(column("hi")) \
            with filledcurves lc rgb color(series_look[s]), \
        for [s = first_of(p):last_of(p)] points using (x_of(s)):(column("y")) with lines \
            lc rgb color(series_look[s]) dt dash(series_look[s]) lw width_of(series_look[s]), \
        for [s = first_of(p):last_of(p)] points using (named(s) ? x_of(s) : NaN):(column("y")) with points \
            lc rgb color(series_look[s]) pt point(series_look[s]) ps 0.5
}
load here."legend.gnuplot"
