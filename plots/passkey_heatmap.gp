# title: Passkey: digits found, by needle depth and length of the input
# caption: One panel a model: percent of the key's digits found, for each length of the input (across) and each depth of the
#   needle (down; 0 is the start of the text). Hatched: not evaluated. Guessing finds 10 %. Panels named "paper" hold the
#   paper's own values, from models of 1B parameters.
# Draw by hand: palimpsest plots keep=FOLDER, then gnuplot -c plots/passkey_heatmap.gp FOLDER/passkey_heatmap OUT.svg
here = ARG0[1:strlen(ARG0) - strlen("passkey_heatmap.gp")]
folder = ARG1
out = ARG2
load here."style.gnuplot"

across = 2
left_gap = 42
right_gap = 6
bottom_gap = 40
top_gap = 26
with_legend = 0
axis_gap = 90
main_title = "Passkey: digits found, %"
columns = sum [t = 1:ticks] (tick_axis[t] eq "x" ? 1 : 0)
rows = ticks - columns
panel_height = 26.0 * rows
# Where a length or depth stands among those that were evaluated.
place(axis, value) = value != value ? NaN : 1 + sum [t = 1:ticks] (tick_axis[t] eq axis && tick_place[t] < value ? 1 : 0)
load here."canvas.gnuplot"

# Cividis: read alike by the colour-blind and in grey.
set palette defined (0 "#00224e", 0.25 "#404c6b", 0.5 "#7c7b78", 0.75 "#bcab62", 1 "#fee838")
set cbrange [0:100]
unset colorbox
unset grid
set border 0
set key off
set xrange [0.5:columns + 0.5]
set yrange [rows + 0.5:0.5]
set xtics () scale 0 rotate by 60 right font ",11" offset 0, 0.4
set ytics () scale 0 font ",11" offset 0.8, 0
do for [t = 1:ticks] {
    if (tick_axis[t] eq "x") { set xtics add (tick_label[t] place("x", tick_place[t])) }
    if (tick_axis[t] eq "y") { set ytics add (tick_label[t] place("y", tick_place[t])) }
}
set object 1 rectangle from graph 0, graph 0 to graph 1, graph 1 behind fillstyle pattern 4 noborder fillcolor rgb "#dddddd"
do for [p = 1:panels] {
    load here."panel.gnuplot"
    s = first_of(p)
    plot points using (place("x", x_of(s))):(place("y", column("z"))):(0.5):(0.5):(column("y")) \
            with boxxyerror fillstyle solid border lc rgb "white" fillcolor palette, \
        points using (place("x", x_of(s))):(place("y", column("z"))):(sprintf("%.0f", column("y"))): \
            (column("y") > 55 ? 0x010101 : 0xffffff) with labels font ",10" textcolor rgb variable
}
# The scale, with chance marked on it.
unset object 1
set label 4 "needle depth, % (down); length of the input in tokens, 1K = 1024 (across)" \
    at screen 0.5, screen (foot - 6) / height center font ",12"
unset label 2
unset label 3
set lmargin at screen 0.2
set rmargin at screen 0.8
set tmargin at screen 60.0 / height
set bmargin at screen 46.0 / height
set xrange [0:100]
set yrange [0:1]
set border 15
unset ytics
set xtics norotate center ("0" 0, "10" 10, "25" 25, "50" 50, "75" 75, "100 %%" 100) scale 0.6 out font ",11" offset 0, 0
set samples 101
set label 5 "chance" at first 10, screen 11.0 / height center font ",11"
plot "+" using 1:(0.5):(0.5):(0.5):1 with boxxyerror fillstyle solid noborder fillcolor palette
unset multiplot
unset output
