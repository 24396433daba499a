# title: Bits per byte against the memory that a stream keeps
# caption: Down and left is better. One panel for each size of model. The bytes of streaming state are on a logarithmic axis;
#   a model without any stands at "none". Names stand beside the points, moved apart where they would overlap. Bars are
#   95 % intervals of the difference from Transformer-XL of that size and seed, on the same documents.
# lead: it stands at the top of the report page
# Draw by hand: palimpsest plots keep=FOLDER, then gnuplot -c plots/perplexity_state.gp FOLDER/perplexity_state-novels-test OUT.svg
here = ARG0[1:strlen(ARG0) - strlen("perplexity_state.gp")]
folder = ARG1
out = ARG2
load here."style.gnuplot"

across = 1
panel_height = 300
left_gap = 50
right_gap = 190
with_legend = 0
main_title = "Bits per byte against memory: ".subject
x_title = "streaming state of one sequence"
load here."canvas.gnuplot"

bytes(k) = k < 20 ? sprintf("%d KiB", 2 ** (k - 10)) : sprintf("%d MiB", 2 ** (k - 20))
set logscale x 2
# "z" holds where a name goes; no state is drawn at the left end, two steps below the smallest that there is.
stats points using (column("x")) nooutput
most = STATS_max > 0 ? STATS_max : 2.0 ** 12
stats points using (column("x") > 0 ? column("x") : most) nooutput
least = STATS_min
none = least / 8
end = most * 2
drawn(x) = x != x ? NaN : x > 0 ? x : none
set xrange [none / 2:end]
set xtics () font ",11"
set xtics add ("none" none)
do for [k = 10:40:3] { if (2 ** k >= least / 2) { set xtics add (bytes(k) 2 ** k) } }
set ytics font ",11" format "%g"
set key off
do for [p = 1:panels] {
    load here."panel.gnuplot"
    set yrange [*:*]
    stats points using (column("panel") == p ? column("y") : NaN) nooutput
    set yrange [STATS_min - 0.06 * (STATS_max - STATS_min) - 0.001:STATS_max + 0.06 * (STATS_max - STATS_min) + 0.001]
    plot for [s = first_of(p):last_of(p)] points using (drawn(x_of(s))):(column("y")):(column("lo")):(column("hi")) \
            with yerrorbars lc rgb color(series_look[s]) dt 1 pt 0 lw 0.8, \
        for [s = first_of(p):last_of(p)] points using (drawn(x_of(s))):(column("y")):(end - drawn(column("x"))): \
            (column("z") - column("y")) with vectors nohead lc rgb color(series_look[s]) lw 0.5, \
        for [s = first_of(p):last_of(p)] points using (drawn(x_of(s))):(column("y")) with points \
            lc rgb color(series_look[s]) pt point(series_look[s]) ps 0.9, \
        for [s = first_of(p):last_of(p)] points using (column("series") == s ? end : NaN):(column("z")):(cut(label[series_look[s]], 25)) \
            with labels left offset 0.5, 0 noenhanced font ",11"
}
load here."legend.gnuplot"
