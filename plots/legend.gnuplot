# The name of the x axis and the legend, below all panels: one entry for each look but those of context.
unset label
unset arrow
unset title
unset xlabel
unset ylabel
unset x2label
unset xtics
unset x2tics
unset ytics
unset border
unset grid
unset logscale
unset colorbox
unset key
set lmargin at screen 0
set rmargin at screen 1
set tmargin at screen foot / height
set bmargin at screen 0
set xrange [0:width]
set yrange [foot:0]
set label 1 x_title at width / 2, 8 center noenhanced
e = 0
do for [k = 1:looks] {
    if (legend > 0 && kind[k] ne "context") {
        left = 14 + (width - 20) / legend_across * (e % legend_across)
        down = axis_gap + legend_row * (e / legend_across) + legend_row / 2.0
        set arrow 10 + k from left, down to left + 30, down nohead lc rgb color(k) dt dash(k) lw width_of(k)
        set label 10 + k "" at left + 15, down point pt point(k) lc rgb color(k) ps 0.9
        set label 1000 + k cut(label[k], 76 / legend_across) at left + 36, down left noenhanced font ",12"
        e = e + 1
    }
}
plot NaN notitle
unset multiplot
unset output
