# title: Summaries: overall ROUGE, by the length of the input
# caption: The geometric mean of ROUGE-1, -2 and -L, in percent, against the length of the input. Bars are 95 % intervals over
#   texts; a model that scores 0 in every text has none. Grey: rows that take no model.
# lead: it stands at the top of the report page
# Draw by hand: palimpsest plots keep=FOLDER, then gnuplot -c plots/booksum_overall.gp FOLDER/booksum_overall-stories-test OUT.svg
here = ARG0[1:strlen(ARG0) - strlen("booksum_overall.gp")]
folder = ARG1
out = ARG2
load here."style.gnuplot"

across = 1
panel_height = 300
left_gap = 50
right_gap = 16
bottom_gap = 30
main_title = "Overall ROUGE of summaries: ".subject
x_title = "length of the input, tokens (1K = 1024)"
load here."canvas.gnuplot"

shift(s) = 1.025 ** (s - all_series / 2.0)
set logscale x 2
set xtics () font ",12"
do for [t = 1:ticks] { if (tick_axis[t] eq "x") { set xtics add (tick_label[t] tick_place[t]) } }
stats points using (column("x")) nooutput
set xrange [STATS_min * 0.7:STATS_max * 1.5]
set yrange [0:*]
set ytics font ",11"
set key off
lower(s) = column("y") > 0 ? column("lo") : 0
upper(s) = column("y") > 0 ? column("hi") : 0
do for [p = 1:panels] {
    load here."panel.gnuplot"
    plot for [s = 1:all_series] points using (kind[series_look[s]] eq "model" ? x_of(s) * shift(s) : NaN): \
            (column("y")):(lower(s)):(upper(s)) with yerrorbars lc rgb color(series_look[s]) dt 1 pt 0 lw 0.8, \
        for [s = 1:all_series] points using (kind[series_look[s]] eq "model" ? x_of(s) * shift(s) : x_of(s)):(column("y")) \
            with linespoints lc rgb color(series_look[s]) dt dash(series_look[s]) lw width_of(series_look[s]) \
            pt point(series_look[s]) ps 0.8
}
load here."legend.gnuplot"
