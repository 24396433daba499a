# Measures the picture, opens it and writes its title: loaded by a script once its sizes are set. Then, for each panel p,
# panel.gnuplot sets the margins; at the end legend.gnuplot names the looks.

array row_of[panels]
array column_of[panels]
array headings_to[panels]
r = 0
c = -1
h = 0
do for [p = 1:panels] {
    new = p > 1 && panel_group[p] != panel_group[p - 1]
    c = c + 1
    if (c == across || new) { r = r + 1; c = 0 }
    if ((p == 1 || new) && panel_heading[p] ne "") { h = h + 1 }
    row_of[p] = r
    column_of[p] = c
    headings_to[p] = h
}
cell_width = (width - outer_left - outer_right) / across
cell_height = top_gap + panel_height + bottom_gap
legend = with_legend ? sum [k = 1:looks] (kind[k] eq "context" ? 0 : 1) : 0
legend_rows = (legend + legend_across - 1) / legend_across
foot = axis_gap + legend_rows * legend_row + 10
height = title_gap + h * heading_gap + (r + 1) * cell_height + foot
if (out[strlen(out) - 3:] eq ".png") {
    set terminal pngcairo size 2 * width, 2 * height font "sans,11" fontscale 2 linewidth 2 pointscale 2
} else {
    set terminal svg size width, height font "sans,14" background rgb "white"
}
set output out
set multiplot
set label 1 main_title at screen 0.5, screen 1 - 18.0 / height center noenhanced font ",15"
