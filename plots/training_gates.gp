# title: Gates of all heads after training
# caption: As in figure 3 of the Infini-attention paper: one panel a model, layers from left to right, heads from top to bottom.
#   0: the head reads its segment alone; 1: the memory alone.
# Draw by hand: palimpsest plots keep=FOLDER, then gnuplot -c plots/training_gates.gp FOLDER/training_gates OUT.svg
here = ARG0[1:strlen(ARG0) - strlen("training_gates.gp")]
folder = ARG1
out = ARG2
load here."style.gnuplot"

across = 3
title_font = ",11"
title_char = 6.2
panel_height = 96
left_gap = 24
right_gap = 4
bottom_gap = 22
with_legend = 0
axis_gap = 30
main_title = "Gates: 0 reads the segment, 1 the memory".(subject eq "" ? "" : " (".subject.")")
x_title = "layer (across), head (down)"
load here."canvas.gnuplot"

# Cividis: read alike by the colour-blind and in grey.
set palette defined (0 "#00224e", 0.25 "#404c6b", 0.5 "#7c7b78", 0.75 "#bcab62", 1 "#fee838")
set cbrange [0:1]
unset colorbox
unset grid
set border 0
set key off
set xtics 1 scale 0 font ",10" offset 0, 0.5
set ytics 1 scale 0 font ",10" offset 0.8, 0
do for [p = 1:panels] {
    load here."panel.gnuplot"
    s = first_of(p)
    set xrange [*:*]
    set yrange [*:*]
    stats points using (x_of(s)):(column("y")) nooutput
    set xrange [STATS_min_x - 0.5:STATS_max_x + 0.5]
    set yrange [STATS_max_y + 0.5:STATS_min_y - 0.5]
    plot points using (x_of(s)):(column("y")):(0.5):(0.5):(column("z")) with boxxyerror fillstyle solid border lc rgb "white" fc palette, \
        points using (x_of(s)):(column("y")):(sprintf("%.2f", column("z"))):(column("z") > 0.55 ? 0x010101 : 0xffffff) \
            with labels font ",10" textcolor rgb variable
}
load here."legend.gnuplot"
