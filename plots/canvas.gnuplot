# Measures the picture, opens it and writes its title: loaded by a script once its sizes are set. Then panel.gnuplot sets the
# margins of each panel p; at the end legend.gnuplot writes the name of the x axis and the legend.

array row_of[panels]
array column_of[panels]
array headings_to[panels]
# Below a row of panels: the names of the panel's own series, where with_names says so.
array names_below[panels + 1]
array top_of[panels + 1]
do for [p = 1:panels + 1] { names_below[p] = 0 }
r = 1
c = -1
h = 0
do for [p = 1:panels] {
    new = p > 1 ? panel_group[p] != panel_group[p - 1] : 0
    c = c + 1
    if (c == across || new) { r = r + 1; c = 0 }
    if ((p == 1 || new) && panel_heading[p] ne "") { h = h + 1 }
    row_of[p] = r
    column_of[p] = c
    headings_to[p] = h
    entries = sum [s = first_of(p):last_of(p)] (kind[series_look[s]] eq "context" ? 0 : 1)
    if (with_names && entries > names_below[r]) { names_below[r] = entries }
}
down = title_gap
do for [k = 1:r] {
    top_of[k] = down
    down = down + top_gap + panel_height + bottom_gap + names_below[k] * name_row
}
cell_width = (width - outer_left - outer_right) / across
# Characters that fit above a panel and below it.
title_most = int((cell_width - left_gap) / title_char)
title_most = title_most < 16 ? 16 : title_most
name_most = int((cell_width - left_gap - 30) / 7.0)
# Where a name would be cut, each takes a line.
do for [k = 1:looks] { if (kind[k] ne "context" && strlen(label[k]) > 76 / legend_across) { legend_across = 1 } }
legend = with_legend ? sum [k = 1:looks] (kind[k] eq "context" ? 0 : 1) : 0
legend_rows = (legend + legend_across - 1) / legend_across
foot = 0.0 + axis_gap + legend_rows * legend_row + 8
height = 0.0 + down + h * heading_gap + foot
if (out[strlen(out) - 3:] eq ".png") {
    set terminal pngcairo size 2 * width, 2 * height font "sans,11" fontscale 2 linewidth 2 pointscale 2
} else {
    set terminal svg size width, height font "sans,14" background rgb "white"
}
set output out
set multiplot
set label 1 main_title at screen 0.5, screen 1 - 18.0 / height center noenhanced font strlen(main_title) > 52 ? ",12" : ",15"
