# title: Loss in training
# caption: Loss against tokens trained on, in nats a token (of the answers alone where a task has answers), each point the mean
#   of five rows of the log. One panel for each attention module, the others of that size behind it in grey; of runs whose
#   weights are not here, one panel for each. Marks: loss on held-out text, where it was measured.
# Draw by hand: palimpsest plots keep=FOLDER, then gnuplot -c plots/training_loss.gp FOLDER/training_loss-perplexity OUT.svg
here = ARG0[1:strlen(ARG0) - strlen("training_loss.gp")]
folder = ARG1
out = ARG2
load here."style.gnuplot"

across = 2
panel_height = 150
left_gap = 42
right_gap = 8
with_legend = 0
with_names = panel_group[panels] > 0 && panel_heading[1] ne ""
main_title = "Loss in training, nats a token: ".subject
x_title = "tokens trained on, millions"
load here."canvas.gnuplot"

set xtics font ",11" nomirror
set ytics font ",11"
set key off
y_in(g) = panel_group[int(column("panel"))] == g ? column("y") : NaN
do for [p = 1:panels] {
    load here."panel.gnuplot"
    # The first points of a run would flatten all others: the axis ends at the upper quartile's double height.
    set xrange [*:*]
    set yrange [*:*]
    stats points using (column("x")):(y_in(panel_group[p])) nooutput
    set yrange [STATS_min_y - 0.05 * (STATS_up_quartile_y - STATS_min_y):STATS_up_quartile_y + 1.5 * (STATS_up_quartile_y - STATS_min_y) + 1e-6]
    set xrange [0:STATS_max_x > 0 ? STATS_max_x : 1]
    plot for [s = first_of(p):last_of(p)] points using (column("z") == 1 ? NaN : x_of(s)):(column("y")) with lines \
            lc rgb color(series_look[s]) dt dash(series_look[s]) lw width_of(series_look[s]), \
        for [s = first_of(p):last_of(p)] points using (column("z") == 1 ? x_of(s) : NaN):(column("y")) with points \
            lc rgb color(series_look[s]) pt point(series_look[s]) ps 0.7
}
load here."legend.gnuplot"
